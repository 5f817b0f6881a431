//! Lists: elements by position and by condition, orders, aggregates of elements.
//!
//! Invariant: positions count from 1; an element that is not there is NULL.

use std::{collections::HashSet, ops::Range, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, ListArray, UInt32Array, UInt64Array},
    buffer::{NullBuffer, OffsetBuffer},
    compute::{self, SortOptions},
    datatypes::{DataType, Field, Float64Type},
    row::{RowConverter, SortField},
};
use datafusion_common::{Result, ScalarValue, exec_err, plan_err};
use stoadb_engine::agg::aggregate_lists;
use stoadb_engine::plan::AggregateFunction;
use stoadb_storage::{LogicalType, Scalar};

use super::{BIGINT, BIGINTS, Call, DOUBLE, Def, Gives, element};
use crate::planner::{aggregate_function, functions::aggregate_udf};

pub(super) const TABLE: &[Def] = &[
    Def {
        name: "array_distinct",
        aliases: &["list_distinct"],
        takes: "list",
        gives: Gives::Same(0),
        body: distinct,
    },
    Def {
        name: "list_where",
        aliases: &["array_where"],
        takes: "list booleans",
        gives: Gives::Same(0),
        body: by_mask,
    },
    Def {
        name: "list_select",
        aliases: &["array_select"],
        takes: "list bigints",
        gives: Gives::Same(0),
        body: by_position,
    },
    Def {
        name: "list_reverse_sort",
        aliases: &["array_reverse_sort"],
        takes: "list text?",
        gives: Gives::Same(0),
        body: reverse_sort,
    },
    Def {
        name: "list_grade_up",
        aliases: &["array_grade_up", "grade_up"],
        takes: "list text? text?",
        gives: BIGINTS,
        body: grade_up,
    },
    Def {
        name: "list_unique",
        aliases: &["array_unique"],
        takes: "list",
        gives: BIGINT,
        body: unique,
    },
    Def {
        name: "list_cosine_similarity",
        aliases: &["array_cosine_similarity"],
        takes: "doubles doubles",
        gives: DOUBLE,
        body: |call| products(call, |ab, aa, bb| ab / (aa * bb).sqrt()),
    },
    Def {
        name: "list_negative_inner_product",
        aliases: &[
            "array_negative_inner_product",
            "list_negative_dot_product",
            "array_negative_dot_product",
        ],
        takes: "doubles doubles",
        gives: DOUBLE,
        body: |call| products(call, |ab, _, _| -ab),
    },
    Def {
        name: "list_inner_product",
        aliases: &["array_inner_product", "list_dot_product", "array_dot_product"],
        takes: "doubles doubles",
        gives: DOUBLE,
        body: |call| products(call, |ab, _, _| ab),
    },
    Def {
        name: "list_cosine_distance",
        aliases: &["array_cosine_distance"],
        takes: "doubles doubles",
        gives: DOUBLE,
        body: |call| products(call, |ab, aa, bb| 1.0 - ab / (aa * bb).sqrt()),
    },
    Def {
        name: "array_cross_product",
        aliases: &[],
        takes: "doubles doubles",
        gives: Gives::ListOf(|| DataType::Float64),
        body: cross_product,
    },
    Def {
        name: "list_aggregate",
        aliases: &["array_aggregate", "aggregate", "list_aggr", "array_aggr"],
        takes: "list name any*",
        gives: Gives::From(aggregate_type),
        body: aggregate,
    },
];

/// The elements that differ, each where it comes first, without NULLs.
fn distinct(call: &Call) -> Result<ArrayRef> {
    let lists = call.args[0].as_list::<i32>();
    let values = lists.values();
    let converter = RowConverter::new(vec![SortField::new(values.data_type().clone())])?;
    let keys = converter.convert_columns(&[Arc::clone(values)])?;
    let mut kept: Vec<u32> = Vec::new();
    let mut lengths = Vec::with_capacity(lists.len());
    for list in 0..lists.len() {
        let before = kept.len();
        let offsets = lists.value_offsets();
        let mut known = HashSet::new();
        for at in offsets[list]..offsets[list + 1] {
            let at = usize::try_from(at).unwrap_or_default();
            if lists.is_valid(list) && values.is_valid(at) && known.insert(keys.row(at)) {
                kept.push(u32::try_from(at).unwrap_or_default());
            }
        }
        lengths.push(kept.len() - before);
    }
    let values = compute::take(values, &UInt32Array::from(kept), None)?;
    let DataType::List(field) = lists.data_type() else { return exec_err!("no list") };
    let offsets = OffsetBuffer::from_lengths(lengths);
    Ok(Arc::new(ListArray::try_new(Arc::clone(field), offsets, values, lists.nulls().cloned())?))
}

/// Lists of the type of the argument, of elements at places in its values.
fn picked(
    call: &Call,
    mut f: impl FnMut(usize, Range<usize>) -> Result<Option<Vec<Option<u64>>>>,
) -> Result<ArrayRef> {
    let lists = call.lists(0)?;
    let (mut places, mut lengths, mut valid) = (Vec::new(), Vec::new(), Vec::new());
    for row in 0..call.rows {
        let picked = match lists.range(row) {
            Some(range) => f(row, range)?,
            None => None,
        };
        valid.push(picked.is_some());
        let picked = picked.unwrap_or_default();
        lengths.push(picked.len());
        places.extend(picked);
    }
    let values = compute::take(lists.array().values(), &UInt64Array::from(places), None)?;
    let field = Arc::new(Field::new_list_field(values.data_type().clone(), true));
    let offsets = OffsetBuffer::from_lengths(lengths);
    Ok(Arc::new(ListArray::try_new(field, offsets, values, Some(NullBuffer::from(valid)))?))
}

fn by_mask(call: &Call) -> Result<ArrayRef> {
    let masks = call.lists(1)?;
    picked(call, |row, range| {
        let Some(mask) = masks.at(row) else { return Ok(None) };
        let mask = mask.as_boolean();
        if mask.null_count() > 0 {
            return exec_err!("a NULL among the conditions");
        }
        // A condition beyond the end keeps a NULL.
        let kept = (0..mask.len()).filter(|at| mask.value(*at));
        let place = |at: usize| (at < range.len()).then_some((range.start + at) as u64);
        Ok(Some(kept.map(place).collect()))
    })
}

fn by_position(call: &Call) -> Result<ArrayRef> {
    let positions = call.lists(1)?;
    picked(call, |row, range| {
        let Some(positions) = positions.at(row) else { return Ok(None) };
        let place = |position: Option<i64>| {
            let at = usize::try_from(position?).ok()?.checked_sub(1)?;
            (at < range.len()).then_some((range.start + at) as u64)
        };
        Ok(Some(super::call::integers_of(&positions).into_iter().map(place).collect()))
    })
}

fn options(descending: Option<&str>, nulls: Option<&str>) -> Result<SortOptions> {
    let descending = match descending.map(str::to_ascii_uppercase).as_deref() {
        None | Some("ASC" | "ASCENDING") => false,
        Some("DESC" | "DESCENDING") => true,
        Some(other) => return exec_err!("an order is ASC or DESC, not {other}"),
    };
    let nulls_first = match nulls.map(str::to_ascii_uppercase).as_deref() {
        Some("NULLS FIRST") => true,
        None | Some("NULLS LAST") => false,
        Some(other) => return exec_err!("NULLs sort NULLS FIRST or NULLS LAST, not {other}"),
    };
    Ok(SortOptions { descending, nulls_first })
}

fn order(values: &ArrayRef, options: SortOptions) -> Result<Vec<u64>> {
    let order = compute::sort_to_indices(values, Some(options), None)?;
    Ok(order.values().iter().map(|place| u64::from(*place)).collect())
}

fn reverse_sort(call: &Call) -> Result<ArrayRef> {
    let lists = call.lists(0)?;
    let nulls = call.has(1).then(|| call.texts(1)).transpose()?;
    picked(call, |row, range| {
        let nulls = nulls.as_ref().and_then(|nulls| nulls.at(row));
        let options = SortOptions { descending: true, ..options(None, nulls)? };
        let Some(values) = lists.at(row) else { return Ok(None) };
        let start = range.start as u64;
        Ok(Some(order(&values, options)?.into_iter().map(|place| Some(start + place)).collect()))
    })
}

fn grade_up(call: &Call) -> Result<ArrayRef> {
    let lists = call.lists(0)?;
    let text = |at| call.has(at).then(|| call.texts(at)).transpose();
    let (orders, nulls) = (text(1)?, text(2)?);
    call.give_integer_lists(|row| {
        let Some(values) = lists.at(row) else { return Ok(None) };
        let given = |texts: &Option<super::call::Values<'_, arrow::array::StringViewArray>>| {
            texts.as_ref().and_then(|texts| texts.at(row).map(str::to_owned))
        };
        let options = options(given(&orders).as_deref(), given(&nulls).as_deref())?;
        let places = order(&values, options)?;
        Ok(Some(places.into_iter().map(|place| i64::try_from(place + 1).ok()).collect()))
    })
}

fn unique(call: &Call) -> Result<ArrayRef> {
    let lists = call.lists(0)?;
    let converter = SortField::new(lists.array().value_type());
    let converter = RowConverter::new(vec![converter])?;
    call.give_integers(|row| {
        let Some(values) = lists.at(row) else { return Ok(None) };
        let rows = converter.convert_columns(std::slice::from_ref(&values))?;
        let nulls = values.logical_nulls();
        let valid =
            (0..values.len()).filter(|at| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(*at)));
        let distinct: std::collections::BTreeSet<_> = valid.map(|at| rows.row(at)).collect();
        Ok(i64::try_from(distinct.len()).ok())
    })
}

/// The numbers of a row's two lists, which are as long.
fn pairs(call: &Call, row: usize) -> Result<Option<Vec<(f64, f64)>>> {
    let (Some(left), Some(right)) = (call.lists(0)?.at(row), call.lists(1)?.at(row)) else {
        return Ok(None);
    };
    if left.len() != right.len() {
        return exec_err!(
            "the lists have {} and {} elements: they need as many",
            left.len(),
            right.len()
        );
    }
    if left.null_count() + right.null_count() > 0 {
        return exec_err!("a NULL among the elements");
    }
    let (left, right) = (left.as_primitive::<Float64Type>(), right.as_primitive::<Float64Type>());
    Ok(Some(left.values().iter().copied().zip(right.values().iter().copied()).collect()))
}

fn products(call: &Call, f: impl Fn(f64, f64, f64) -> f64) -> Result<ArrayRef> {
    call.give_numbers::<Float64Type>(|row| {
        let Some(pairs) = pairs(call, row)? else { return Ok(None) };
        let sum = |g: fn(f64, f64) -> f64| pairs.iter().map(|(a, b)| g(*a, *b)).sum::<f64>();
        Ok(Some(f(sum(|a, b| a * b), sum(|a, _| a * a), sum(|_, b| b * b))))
    })
}

fn cross_product(call: &Call) -> Result<ArrayRef> {
    let mut builder = arrow::array::ListBuilder::new(arrow::array::Float64Builder::new());
    for row in 0..call.rows {
        match pairs(call, row)?.as_deref() {
            Some([(a1, b1), (a2, b2), (a3, b3)]) => {
                let product = [a2 * b3 - a3 * b2, a3 * b1 - a1 * b3, a1 * b2 - a2 * b1];
                builder.values().append_slice(&product);
                builder.append(true);
            }
            Some(other) => return exec_err!("lists of 3 elements, not {}", other.len()),
            None => builder.append(false),
        }
    }
    Ok(Arc::new(builder.finish()))
}

/// The aggregate of a name, the type of its elements, and the type of its result.
struct Aggregate {
    function: AggregateFunction,
    element: DataType,
    result: DataType,
}

fn named(name: Option<&str>, types: &[DataType]) -> Result<Aggregate> {
    let Some(name) = name else {
        return plan_err!("the name of an aggregate is a constant, such as 'sum'");
    };
    let name = name.to_ascii_lowercase();
    let (Some(udf), Some(list)) = (aggregate_udf(&name), types.first()) else {
        return plan_err!("there is no aggregate function {name}()");
    };
    let Some(function) = aggregate_function(udf.name()) else {
        return plan_err!("there is no aggregate function {name}() of lists");
    };
    let mut args = vec![element(list).cloned().unwrap_or(DataType::Null)];
    args.extend(types.iter().skip(2).cloned());
    let coerced = udf.coerce_types(&args)?;
    let mut element = coerced.first().cloned().unwrap_or(DataType::Null);
    if udf.name() == crate::planner::COUNT_IF {
        element = DataType::Int64;
    }
    Ok(Aggregate { function, element, result: udf.return_type(&coerced)? })
}

fn aggregate_type(types: &[DataType], constants: &[Option<&ScalarValue>]) -> Result<DataType> {
    let name = constants.get(1).copied().flatten();
    Ok(named(name.and_then(|name| name.try_as_str().flatten()), types)?.result)
}

fn aggregate(call: &Call) -> Result<ArrayRef> {
    let types: Vec<DataType> = call.args.iter().map(|array| array.data_type().clone()).collect();
    let Aggregate { function, element, .. } = named(Some(&call.texts_of(1)?), &types)?;
    if !call.constant[1..].iter().all(|constant| *constant) {
        return exec_err!("the name of an aggregate and its parameters must be constants");
    }
    let list = DataType::List(Arc::new(Field::new_list_field(element, true)));
    let lists = compute::cast(&call.args[0], &list)?;
    let mut parameters = Vec::new();
    for array in &call.args[2..] {
        match array.data_type() {
            DataType::List(_) => {
                let values = array.as_list::<i32>().value(0);
                for at in 0..values.len() {
                    parameters.push(parameter(&values, at)?);
                }
            }
            _ => parameters.push(parameter(array, 0)?),
        }
    }
    if function == AggregateFunction::StringAgg && parameters.is_empty() {
        parameters.push(Scalar::text(","));
    }
    let ty = match LogicalType::from_arrow(&call.ty) {
        Ok(ty) => ty,
        Err(error) => return exec_err!("{error}"),
    };
    let result = match aggregate_lists(function, parameters, lists.as_list::<i32>(), &ty) {
        Ok(result) => result,
        Err(error) => return exec_err!("{error}"),
    };
    if call.constant[0] && call.rows != 1 {
        let first = UInt64Array::from(vec![0_u64; call.rows]);
        return Ok(compute::take(&result, &first, None)?);
    }
    Ok(result)
}

/// A constant of an aggregate: numbers with a fraction are doubles.
fn parameter(array: &ArrayRef, at: usize) -> Result<Scalar> {
    let array = match array.data_type() {
        ty if ty.is_decimal() => compute::cast(array, &DataType::Float64)?,
        _ => Arc::clone(array),
    };
    Scalar::from_array(&array, at).or_else(|error| exec_err!("{error}"))
}
