//! Functions that put each group's rows together: `string_agg`, `list`, lists of the smallest and largest values.
//!
//! Invariant: rows come sorted by group, in row order or the order asked for; NULLs are gone except for `list`.

use std::{cmp::Ordering, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanBufferBuilder, ListArray, StringViewBuilder},
    buffer::{NullBuffer, OffsetBuffer},
    compute,
    datatypes::{DataType, Field},
};
use stoadb_storage::LogicalType;

use super::{
    Call,
    collect::{Sorted, take_all},
    quantile::select,
};
use crate::{
    error::{EngineError, Result},
    kernel::sort_key::{Codes, array_codes},
    plan::AggregateFunction as Function,
};

/// Texts joined by the separator; NULL over no value.
///
/// # Errors
/// `Internal` when the argument is no text.
pub(crate) fn string_agg(rows: &Sorted<'_>, call: &Call) -> Result<ArrayRef> {
    let [values] = rows.columns else { return Err(one_argument()) };
    let separator = call.parameters.first().and_then(|p| p.as_str()).unwrap_or("");
    let mut builder = StringViewBuilder::with_capacity(rows.starts.len());
    let Some(texts) = values.as_string_view_opt() else {
        return Ok(arrow::array::new_null_array(&DataType::Utf8View, rows.starts.len() - 1));
    };
    let mut joined = String::new();
    for group in rows.starts.windows(2) {
        if group[0] == group[1] {
            builder.append_null();
            continue;
        }
        joined.clear();
        for row in group[0]..group[1] {
            if row > group[0] {
                joined.push_str(separator);
            }
            joined.push_str(texts.value(row as usize));
        }
        builder.append_value(&joined);
    }
    Ok(Arc::new(builder.finish()))
}

/// All values; NULL over no row.
///
/// # Errors
/// `Unsupported` when there are more than 2^31 values.
pub(crate) fn list(rows: &Sorted<'_>, call: &Call) -> Result<ArrayRef> {
    let [values] = rows.columns else { return Err(one_argument()) };
    list_of(values, rows.starts, call)
}

/// The smallest or largest values, or the values of the rows where the last argument is smallest or largest, in this
/// order; ties in row order. NULL over no value. O(rows log n).
///
/// # Errors
/// As `list`; `Value` when the number of values is not positive.
pub(crate) fn extremes(rows: &Sorted<'_>, call: &Call) -> Result<ArrayRef> {
    let (Some(values), Some(by)) = (rows.columns.first(), rows.columns.last()) else {
        return Err(one_argument());
    };
    let most = call.most()?;
    let largest = matches!(call.function, Function::Max | Function::ArgMax);
    let codes = array_codes(by)?.codes;
    let (mut kept, mut starts) = (Vec::new(), vec![0]);
    for group in rows.starts.windows(2) {
        let mut order: Vec<u32> = (group[0]..group[1]).collect();
        let compare = |&a: &u32, &b: &u32| {
            let ordering = compare(&codes, a as usize, b as usize);
            (if largest { ordering.reverse() } else { ordering }).then(a.cmp(&b))
        };
        if most < order.len() {
            select(&mut order, &[most], compare);
            order.truncate(most);
        }
        order.sort_unstable_by(compare);
        kept.extend(order);
        starts.push(kept.len() as u32);
    }
    let mut values = [Arc::clone(values)];
    take_all(&mut values, &kept)?;
    list_of(&values[0], &starts, call)
}

fn compare(codes: &Codes, a: usize, b: usize) -> Ordering {
    match codes {
        Codes::Narrow(codes) => codes[a].cmp(&codes[b]),
        Codes::Wide(codes) => codes[a].cmp(&codes[b]),
        Codes::Bytes(bytes) => bytes.get(a).cmp(bytes.get(b)),
    }
}

/// Values cut into lists; NULL for an empty one.
pub(super) fn list_of(values: &ArrayRef, starts: &[u32], call: &Call) -> Result<ArrayRef> {
    if i32::try_from(values.len()).is_err() {
        return Err(EngineError::Unsupported("lists of over 2^31 values in all".into()));
    }
    let field = match &call.ty {
        LogicalType::List(field) => Arc::clone(field),
        _ => Arc::new(Field::new("item", values.data_type().clone(), true)),
    };
    let offsets = starts.iter().map(|&start| start as i32).collect::<Vec<_>>();
    let mut valid = BooleanBufferBuilder::new(starts.len());
    starts.windows(2).for_each(|group| valid.append(group[0] < group[1]));
    let nulls = NullBuffer::new(valid.finish());
    let values = match values.data_type() == field.data_type() {
        true => values.clone(),
        false => compute::cast(values, field.data_type()).map_err(internal)?,
    };
    let offsets = OffsetBuffer::new(offsets.into());
    Ok(Arc::new(ListArray::try_new(field, offsets, values, Some(nulls)).map_err(internal)?))
}

fn internal(error: arrow::error::ArrowError) -> EngineError {
    EngineError::Internal(error.to_string())
}

fn one_argument() -> EngineError {
    EngineError::Internal("one argument wanted".into())
}
