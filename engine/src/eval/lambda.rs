//! Lambda functions of lists: their bodies run over the elements of many lists at once.
//!
//! Invariant: a body sees rows of elements in the order of rows, then of elements; elements of lists that are NULL are
//! never computed. Next: `compile.rs`, which compiles the body once.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BooleanArray, Int64Array, ListArray, UInt32Array, UInt64Array,
    },
    buffer::{NullBuffer, OffsetBuffer},
    compute,
    datatypes::Field,
};
use stoadb_storage::{LogicalType, Scalar, StorageError, Vector};

use super::{Evaluator, Program};
use crate::{
    batch::Batch,
    error::{EngineError, Result},
    expr::LambdaKind,
};

/// The elements that a body runs over.
struct Elements {
    /// Places among the lists' values.
    places: Vec<u32>,
    /// The row of each.
    rows: Vec<u32>,
    /// The position of each within its list, from 1.
    positions: Vec<i64>,
}

/// Runs a lambda function. `args` are the lists, the first value of a reduction that has one, and the captured columns.
///
/// # Errors
/// Those of the body; `Value` for a reduction of an empty list without a first value.
pub(super) fn run(
    kind: LambdaKind,
    body: &Arc<Program>,
    args: &[Vector],
    rows: usize,
    ty: &LogicalType,
) -> Result<Vector> {
    if kind == LambdaKind::Try {
        return attempt(body, args, rows, ty);
    }
    let lists =
        args.first().ok_or_else(|| EngineError::Internal("a lambda without lists".into()))?;
    let lists = lists.flatten()?;
    let Some(lists) = lists.as_list_opt::<i32>() else {
        return Ok(Vector::Constant { value: Scalar::null(ty.clone()), rows });
    };
    if let LambdaKind::Reduce { initial } = kind {
        return reduce(body, lists, &args[1..], initial, ty);
    }
    let elements = elements(lists);
    let values = compute::take(lists.values(), &UInt32Array::from(elements.places.clone()), None)?;
    let mut columns = vec![
        Vector::from_arrow(&values)?,
        Vector::Flat(Arc::new(Int64Array::from(elements.positions.clone()))),
    ];
    columns.extend(captured(&args[1..], &elements.rows)?);
    let result = evaluate(body, columns, elements.rows.len())?;
    match kind {
        LambdaKind::Transform => transformed(lists, &result, ty),
        LambdaKind::Filter => filtered(lists, &elements, result.as_boolean(), &values, ty),
        LambdaKind::AnyMatch => Ok(any_match(lists, &elements, result.as_boolean())),
        LambdaKind::Reduce { .. } | LambdaKind::Try => {
            Err(EngineError::Internal("a reduction".into()))
        }
    }
}

/// The values of the body, NULL in the rows in which it fails: rows are halved until those are alone.
fn attempt(
    body: &Arc<Program>,
    columns: &[Vector],
    rows: usize,
    ty: &LogicalType,
) -> Result<Vector> {
    let null = || Ok(Vector::Constant { value: Scalar::null(ty.clone()), rows });
    match evaluate(body, columns.to_vec(), rows) {
        Ok(values) => Ok(Vector::Flat(values)),
        Err(EngineError::Value(_) | EngineError::Storage(StorageError::Value(_))) => {
            let constant = columns.iter().all(|column| matches!(column, Vector::Constant { .. }));
            if rows <= 1 || constant {
                return null();
            }
            let part = |start: usize, rows: usize| {
                let columns: Vec<Vector> =
                    columns.iter().map(|column| column.slice(start, rows)).collect();
                attempt(body, &columns, rows, ty)?.flatten().map_err(EngineError::from)
            };
            let (first, second) = (part(0, rows / 2)?, part(rows / 2, rows - rows / 2)?);
            Ok(Vector::Flat(compute::concat(&[first.as_ref(), second.as_ref()])?))
        }
        Err(error) => Err(error),
    }
}

fn elements(lists: &ListArray) -> Elements {
    let (mut places, mut rows, mut positions) = (Vec::new(), Vec::new(), Vec::new());
    for (row, bounds) in lists.value_offsets().windows(2).enumerate() {
        if lists.is_null(row) {
            continue;
        }
        for (at, place) in (bounds[0] as u32..bounds[1] as u32).enumerate() {
            places.push(place);
            rows.push(row as u32);
            positions.push(at as i64 + 1);
        }
    }
    Elements { places, rows, positions }
}

/// Columns from outside of the lambda, a row for each element.
fn captured(args: &[Vector], rows: &[u32]) -> Result<Vec<Vector>> {
    let places = UInt32Array::from(rows.to_vec());
    let capture = |arg: &Vector| match arg {
        Vector::Constant { value, .. } => {
            Ok(Vector::Constant { value: value.clone(), rows: rows.len() })
        }
        arg => Ok(Vector::Flat(compute::take(&arg.flatten()?, &places, None)?)),
    };
    args.iter().map(capture).collect()
}

fn evaluate(body: &Arc<Program>, columns: Vec<Vector>, rows: usize) -> Result<ArrayRef> {
    let results = Evaluator::new(body).project(&Batch::new(columns, rows))?;
    let missing = || EngineError::Internal("a lambda has one result".into());
    Ok(results.first().ok_or_else(missing)?.flatten()?)
}

/// How many elements each list has, none of one that is NULL.
fn lengths(lists: &ListArray) -> Vec<usize> {
    let length = |(row, bounds): (usize, &[i32])| match lists.is_null(row) {
        true => 0,
        false => (bounds[1] - bounds[0]) as usize,
    };
    lists.value_offsets().windows(2).enumerate().map(length).collect()
}

fn list_of(
    lengths: Vec<usize>,
    values: ArrayRef,
    nulls: Option<NullBuffer>,
    ty: &LogicalType,
) -> Result<Vector> {
    let field = Arc::new(Field::new_list_field(values.data_type().clone(), true));
    let list = ListArray::try_new(field, OffsetBuffer::from_lengths(lengths), values, nulls)?;
    let list: ArrayRef = Arc::new(list);
    let wanted = ty.to_arrow();
    Ok(Vector::Flat(match *list.data_type() == wanted {
        true => list,
        false => compute::cast(&list, &wanted)?,
    }))
}

fn transformed(lists: &ListArray, values: &ArrayRef, ty: &LogicalType) -> Result<Vector> {
    list_of(lengths(lists), Arc::clone(values), lists.nulls().cloned(), ty)
}

/// Whether a condition is TRUE.
fn holds(condition: &BooleanArray, at: usize) -> bool {
    condition.is_valid(at) && condition.value(at)
}

fn filtered(
    lists: &ListArray,
    elements: &Elements,
    condition: &BooleanArray,
    values: &ArrayRef,
    ty: &LogicalType,
) -> Result<Vector> {
    let mut lengths = vec![0; lists.len()];
    let mut kept = Vec::new();
    for (at, row) in elements.rows.iter().enumerate() {
        if holds(condition, at) {
            lengths[*row as usize] += 1;
            kept.push(at as u64);
        }
    }
    let values = compute::take(values, &UInt64Array::from(kept), None)?;
    list_of(lengths, values, lists.nulls().cloned(), ty)
}

/// Whether the condition is TRUE for an element; NULL where it is not but is NULL for one.
fn any_match(lists: &ListArray, elements: &Elements, condition: &BooleanArray) -> Vector {
    let mut found: Vec<Option<bool>> =
        (0..lists.len()).map(|row| lists.is_valid(row).then_some(false)).collect();
    for (at, row) in elements.rows.iter().enumerate() {
        let found = &mut found[*row as usize];
        if holds(condition, at) {
            *found = Some(true);
        } else if condition.is_null(at) && *found == Some(false) {
            *found = None;
        }
    }
    Vector::Flat(Arc::new(BooleanArray::from(found)))
}

/// Takes one element of every list in each step, as long as lists have one.
fn reduce(
    body: &Arc<Program>,
    lists: &ListArray,
    args: &[Vector],
    initial: bool,
    ty: &LogicalType,
) -> Result<Vector> {
    let lengths = lengths(lists);
    let offsets = lists.value_offsets();
    let wanted = ty.to_arrow();
    let (mut state, args, first): (ArrayRef, &[Vector], usize) = match (initial, args) {
        (true, [initial, rest @ ..]) => (initial.flatten()?, rest, 0),
        _ => {
            if (0..lists.len()).any(|row| lists.is_valid(row) && lengths[row] == 0) {
                let message =
                    "a list without elements needs a first value: list_reduce(list, lambda, value)";
                return Err(EngineError::Value(message.into()));
            }
            let place = |row: usize| (lengths[row] > 0).then_some(offsets[row] as u32);
            let places: UInt32Array = (0..lists.len()).map(place).collect();
            (compute::take(lists.values(), &places, None)?, args, 1)
        }
    };
    if *state.data_type() != wanted {
        state = compute::cast(&state, &wanted)?;
    }
    for step in first..lengths.iter().copied().max().unwrap_or(0) {
        let rows: Vec<u32> =
            (0..lists.len() as u32).filter(|row| lengths[*row as usize] > step).collect();
        let place = |row: &u32| offsets[*row as usize] as u32 + step as u32;
        let places: Vec<u32> = rows.iter().map(place).collect();
        let taken = UInt32Array::from(rows.clone());
        let mut columns = vec![
            Vector::from_arrow(&compute::take(&state, &taken, None)?)?,
            Vector::from_arrow(&compute::take(lists.values(), &UInt32Array::from(places), None)?)?,
            Vector::Constant { value: Scalar::int64(step as i64 + 1), rows: rows.len() },
        ];
        columns.extend(captured(args, &rows)?);
        let mut next = evaluate(body, columns, rows.len())?;
        if *next.data_type() != wanted {
            next = compute::cast(&next, &wanted)?;
        }
        // Rows without a further element keep what they have.
        let mut picked: Vec<(usize, usize)> = (0..lists.len()).map(|row| (0, row)).collect();
        for (at, row) in rows.iter().enumerate() {
            picked[*row as usize] = (1, at);
        }
        state = compute::interleave(&[state.as_ref(), next.as_ref()], &picked)?;
    }
    if let Some(nulls) = lists.nulls() {
        state = compute::nullif(&state, &BooleanArray::new(!nulls.inner(), None))?;
    }
    Ok(Vector::Flat(state))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        context::{QueryContext, QuerySettings},
        expr::{ArithmeticOp, CompareOp, Expr},
        kernel::testing::display,
    };
    use arrow::datatypes::Int64Type;

    const INT: LogicalType = LogicalType::Int64;

    fn program(body: Expr) -> Arc<Program> {
        let context = QueryContext::new(QuerySettings::default(), Arc::default(), Vec::new());
        Program::compile(&[body], &context).unwrap()
    }

    fn lists() -> Vector {
        Vector::Flat(Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>([
            Some(vec![Some(1), None, Some(5)]),
            None,
            Some(vec![]),
            Some(vec![Some(7)]),
        ])))
    }

    fn binary(op: ArithmeticOp, left: usize, right: usize) -> Expr {
        let (left, right) = (Box::new(Expr::column(left, INT)), Box::new(Expr::column(right, INT)));
        Expr::Arithmetic { op, left, right, ty: INT }
    }

    fn shown(vector: &Vector) -> Vec<String> {
        (0..vector.len()).map(|row| display(vector, row)).collect()
    }

    #[test]
    fn test_transform_sees_elements_positions_and_captures() {
        let ty = lists().ty().unwrap();
        let body = program(binary(ArithmeticOp::Add, 0, 1));
        let result = run(LambdaKind::Transform, &body, &[lists()], 4, &ty).unwrap();
        assert_eq!(shown(&result), ["[2, NULL, 8]", "NULL", "[]", "[8]"]);
        let body = program(binary(ArithmeticOp::Multiply, 0, 2));
        let factor = Vector::Flat(Arc::new(Int64Array::from(vec![10, 0, 0, 3])));
        let result = run(LambdaKind::Transform, &body, &[lists(), factor], 4, &ty).unwrap();
        assert_eq!(shown(&result), ["[10, NULL, 50]", "NULL", "[]", "[21]"]);
    }

    #[test]
    fn test_filter_and_any_match_treat_null_as_sql_does() {
        let ty = lists().ty().unwrap();
        let large = |bound| Expr::Compare {
            op: CompareOp::Gt,
            left: Box::new(Expr::column(0, INT)),
            right: Box::new(Expr::Literal(Scalar::int64(bound))),
        };
        let kept = run(LambdaKind::Filter, &program(large(1)), &[lists()], 4, &ty).unwrap();
        assert_eq!(shown(&kept), ["[5]", "NULL", "[]", "[7]"]);
        let any = |bound| {
            let body = program(large(bound));
            shown(&run(LambdaKind::AnyMatch, &body, &[lists()], 4, &LogicalType::Boolean).unwrap())
        };
        assert_eq!(any(4), ["true", "NULL", "false", "true"]);
        assert_eq!(any(6), ["NULL", "NULL", "false", "true"]);
    }

    #[test]
    fn test_reduce_goes_through_each_list() {
        let body = program(binary(ArithmeticOp::Add, 0, 1));
        let zero = Vector::Constant { value: Scalar::int64(100), rows: 4 };
        let sums = run(LambdaKind::Reduce { initial: true }, &body, &[lists(), zero], 4, &INT);
        assert_eq!(shown(&sums.unwrap()), ["NULL", "NULL", "100", "107"]);
        let kind = LambdaKind::Reduce { initial: false };
        assert!(run(kind, &body, &[lists()], 4, &INT).is_err());
        let full = Vector::Flat(Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>([
            Some(vec![Some(1), Some(2), Some(3)]),
            Some(vec![Some(9)]),
        ])));
        assert_eq!(shown(&run(kind, &body, &[full], 2, &INT).unwrap()), ["6", "9"]);
    }

    #[test]
    fn test_try_is_null_where_the_body_fails() {
        let column = || Expr::column(0, INT);
        let quotient = Expr::Arithmetic {
            op: ArithmeticOp::Divide,
            left: Box::new(Expr::Literal(Scalar::int64(12))),
            right: Box::new(column()),
            ty: INT,
        };
        let body = program(quotient);
        let divisors = [Some(0), Some(3), None, Some(0), Some(4), Some(0), Some(12)];
        let wanted = [None, Some(4), None, None, Some(3), None, Some(1)];
        for rows in 0..=divisors.len() {
            let values = Vector::Flat(Arc::new(Int64Array::from(divisors[..rows].to_vec())));
            let result = run(LambdaKind::Try, &body, &[values], rows, &INT).unwrap();
            let result = result.flatten().unwrap();
            let expected: ArrayRef = Arc::new(Int64Array::from(wanted[..rows].to_vec()));
            assert_eq!(&result, &expected, "{rows}");
        }
    }
}
