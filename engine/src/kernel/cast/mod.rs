//! Conversions between types, with PostgreSQL's meaning and DuckDB's text formats.
//!
//! Invariants: a value that does not fit is an error that names the value and both types, or NULL under TRY_CAST;
//! conversions between encodings of one type do not copy. Nested types and pairs without meaning of their own go to
//! Arrow's cast. Next: `number.rs`, `parse.rs`, `format.rs`, `moment.rs`.

mod fields; // text to structs and maps
mod format; // anything to text
mod interval; // text to intervals
mod list; // text to lists
mod moment; // dates, times, timestamps, intervals among each other
mod nested; // lists, structs and maps to text
mod number; // numbers and booleans among each other
mod parse; // text to anything

use arrow::{
    array::{Array, ArrayRef},
    compute::{CastOptions, cast_with_options},
    util::display::FormatOptions,
};
use stoadb_storage::{LogicalType, Vector};

pub(crate) use format::format_value;

use crate::{
    error::{EngineError, Result},
    kernel::{
        arity::OnFailure,
        physical::{is_constant_null, null_vector, one_or_all},
        shift::retyped,
    },
};

/// Whether no value of one type fails to convert to another.
pub(crate) fn never_fails(from: &LogicalType, to: &LogicalType) -> bool {
    use LogicalType as T;
    let digits = |ty: &T| match ty {
        T::Int8 | T::UInt8 => 3,
        T::Int16 | T::UInt16 => 5,
        T::Int32 | T::UInt32 => 10,
        T::Int64 => 19,
        _ => 20,
    };
    match (from, to) {
        _ if from == to => true,
        (T::Null, _) | (_, T::Text) => true,
        (_, T::Float64) => from.is_numeric() || *from == T::Boolean,
        (T::Boolean, to) => to.is_integer(),
        (T::Int8, T::Int16 | T::Int32 | T::Int64)
        | (T::Int16, T::Int32 | T::Int64)
        | (T::Int32 | T::UInt32, T::Int64)
        | (T::UInt8, T::UInt16 | T::UInt32 | T::UInt64 | T::Int16 | T::Int32 | T::Int64)
        | (T::UInt16, T::UInt32 | T::UInt64 | T::Int32 | T::Int64)
        | (T::UInt32, T::UInt64) => true,
        (from, T::Decimal { precision, scale }) if from.is_integer() => {
            i32::from(*precision) - i32::from(*scale) >= digits(from)
        }
        (T::Decimal { precision: p, scale: s }, T::Decimal { precision, scale }) => {
            scale >= s && i32::from(*precision) - i32::from(*scale) >= i32::from(*p) - i32::from(*s)
        }
        _ => false,
    }
}

/// The vector's values as values of another type.
pub(crate) fn cast(input: &Vector, rows: usize, to: &LogicalType, or_null: bool) -> Result<Vector> {
    use LogicalType as T;
    let from = input.ty()?;
    if from == *to {
        return Ok(input.clone());
    }
    if from == T::Null || is_constant_null(input) {
        return Ok(null_vector(to, rows));
    }
    if let Vector::Narrow(narrow) = input
        && let Some(vector) = retyped(narrow, to)
    {
        return Ok(vector);
    }
    let is_number = |ty: &T| ty.is_numeric() || *ty == T::Boolean;
    let is_moment = |ty: &T| {
        matches!(ty, T::Date | T::Time(_) | T::Timestamp(..) | T::Interval | T::Duration(_))
    };
    match (&from, to) {
        (from, T::Text) => format::to_text(input, from, rows),
        (T::Text, to) if !to.is_nested() && *to != T::Null => {
            parse::from_text(input, rows, to, or_null)
        }
        (T::Text, T::List(field)) => list::from_text(input, rows, field, or_null),
        (T::Text, to) if to.is_nested() => fields::from_text(input, rows, to, or_null),
        (from, to) if is_number(from) && is_number(to) => {
            number::convert(input, from, rows, to, or_null)
        }
        (from, to) if is_moment(from) && is_moment(to) && moment::has_meaning(from, to) => {
            moment::convert(input, from, rows, to, or_null)
        }
        _ => by_arrow(input, &from, rows, to, or_null),
    }
}

/// The error of a value that does not convert.
fn failure(input: &Vector, row: usize, from: &LogicalType, to: &LogicalType) -> EngineError {
    let value = input.scalar(row).map_or_else(
        |_| "a value".to_owned(),
        |value| format_value(&value).unwrap_or_else(|_| "a value".to_owned()),
    );
    match from {
        LogicalType::Text => EngineError::Value(format!("could not convert '{value}' to {to}")),
        _ => EngineError::Value(format!(
            "could not convert {value} from {from} to {to}: out of range"
        )),
    }
}

/// Runs a conversion with the failure handling of CAST or TRY_CAST.
fn with_failure<R>(
    input: &Vector,
    from: &LogicalType,
    to: &LogicalType,
    or_null: bool,
    run: impl FnOnce(&OnFailure<'_>) -> Result<R>,
) -> Result<R> {
    let error = |row: usize| failure(input, row, from, to);
    run(&if or_null { OnFailure::Null } else { OnFailure::Error(&error) })
}

fn by_arrow(
    input: &Vector,
    from: &LogicalType,
    rows: usize,
    to: &LogicalType,
    or_null: bool,
) -> Result<Vector> {
    let options = CastOptions { safe: or_null, format_options: FormatOptions::default() };
    let (array, constant): (ArrayRef, bool) = one_or_all(input)?;
    let result = cast_with_options(&array, &to.to_arrow(), &options).map_err(|error| {
        match arrow::compute::can_cast_types(array.data_type(), &to.to_arrow()) {
            true => EngineError::Value(format!("could not convert {from} to {to}: {error}")),
            false => EngineError::Unsupported(format!("casts from {from} to {to}")),
        }
    })?;
    debug_assert!(constant || result.len() == rows);
    let result = Vector::Flat(result);
    Ok(match constant {
        true => Vector::Constant { value: result.scalar(0)?, rows },
        false => result,
    })
}
