//! Numbers and booleans among each other.
//!
//! Invariants: doubles become integers by rounding half to even; decimals round half away from zero; a double becomes
//! the decimal nearest to its shortest text. Out of range is a failure, never a wrap.

use arrow::{array::BooleanArray, datatypes::ArrowNativeType};
use stoadb_storage::{LogicalType, Vector, text::parse_decimal};

use super::with_failure;
use crate::{
    error::{EngineError, Result},
    kernel::{
        arity::{OnFailure, try_rows, try_vector, unary},
        decimal::{
            Decimals, Unscaled, fits, format_decimal, power, rescale, small_vector, wide_vector,
        },
        physical::{Column, Physical, boolean_vector, booleans, column, with_number},
    },
};

/// The conversion; the types differ and the input is not constant NULL.
pub(super) fn convert(
    input: &Vector,
    from: &LogicalType,
    rows: usize,
    to: &LogicalType,
    or_null: bool,
) -> Result<Vector> {
    with_failure(input, from, to, or_null, |on_failure| match (from, to) {
        (LogicalType::Boolean, _) => from_boolean(input, rows, to),
        (_, LogicalType::Boolean) => {
            let truth = with_number!(Physical::of(from), T => {
                let column = column::<T>(input)?;
                let bits = (0..rows).map(|row| column.get(row) != T::default()).collect();
                BooleanArray::new(bits, column.nulls)
            }, _ => return Err(mistyped(from)));
            Ok(boolean_vector(truth))
        }
        (LogicalType::Decimal { .. }, _) => from_decimal(input, rows, to, on_failure),
        (_, LogicalType::Decimal { .. }) if from.is_integer() => {
            from_decimal(input, rows, to, on_failure)
        }
        (_, LogicalType::Decimal { precision, scale }) => {
            float_to_decimal(input, rows, to, (*precision).into(), (*scale).into(), on_failure)
        }
        _ if from.is_float() => from_float(input, from, rows, to, on_failure),
        _ => from_integer(input, from, rows, to, on_failure),
    })
}

fn mistyped(ty: &LogicalType) -> EngineError {
    EngineError::Internal(format!("{ty} is no number"))
}

fn from_boolean(input: &Vector, rows: usize, to: &LogicalType) -> Result<Vector> {
    let array = booleans(input)?;
    let values = array.values().iter().map(u8::from).collect();
    let nulls = arrow::array::Array::nulls(&array).cloned();
    let column = Column { values, nulls, constant: false };
    match to {
        LogicalType::Decimal { scale, .. } => {
            let one = power(u32::try_from(*scale).unwrap_or(0));
            let values = column.values.iter().map(|&value| i128::from(value) * one).collect();
            wide_vector(to, values, column.nulls)
        }
        LogicalType::Float32 => unary(&column, rows, to, f32::from),
        LogicalType::Float64 => unary(&column, rows, to, f64::from),
        _ => with_number!(Physical::of(to), T => unary(&column, rows, to, |value| value as T),
            _ => Err(mistyped(to))),
    }
}

fn from_integer(
    input: &Vector,
    from: &LogicalType,
    rows: usize,
    to: &LogicalType,
    on_failure: &OnFailure<'_>,
) -> Result<Vector> {
    macro_rules! to_integer {
        ($column:expr, $target:ty) => {{
            let column = $column;
            let mut lost = false;
            let values: Vec<$target> = column
                .values
                .iter()
                .map(|&value| {
                    let narrow = <$target>::try_from(value);
                    lost |= narrow.is_err();
                    narrow.unwrap_or_default()
                })
                .collect();
            if !lost && !column.constant {
                return crate::kernel::physical::vector_of(to, values, column.nulls);
            }
            try_vector(rows, to, column.nulls.clone(), on_failure, |row| {
                <$target>::try_from(column.get(row)).ok()
            })
        }};
    }
    macro_rules! from {
        ($source:ty) => {{
            let column = column::<$source>(input)?;
            match Physical::of(to) {
                Physical::I8 => to_integer!(column, i8),
                Physical::I16 => to_integer!(column, i16),
                Physical::I32 => to_integer!(column, i32),
                Physical::I64 => to_integer!(column, i64),
                Physical::U8 => to_integer!(column, u8),
                Physical::U16 => to_integer!(column, u16),
                Physical::U32 => to_integer!(column, u32),
                Physical::U64 => to_integer!(column, u64),
                Physical::F32 => unary(&column, rows, to, |value| value as f32),
                Physical::F64 => unary(&column, rows, to, |value| value as f64),
                _ => Err(mistyped(to)),
            }
        }};
    }
    match Physical::of(from) {
        Physical::I8 => from!(i8),
        Physical::I16 => from!(i16),
        Physical::I32 => from!(i32),
        Physical::I64 => from!(i64),
        Physical::U8 => from!(u8),
        Physical::U16 => from!(u16),
        Physical::U32 => from!(u32),
        Physical::U64 => from!(u64),
        _ => Err(mistyped(from)),
    }
}

fn from_float(
    input: &Vector,
    from: &LogicalType,
    rows: usize,
    to: &LogicalType,
    on_failure: &OnFailure<'_>,
) -> Result<Vector> {
    let column = match from {
        LogicalType::Float32 => {
            let column = column::<f32>(input)?;
            let values = column.values.iter().map(|&value| f64::from(value)).collect();
            Column { values, nulls: column.nulls, constant: column.constant }
        }
        _ => column::<f64>(input)?,
    };
    match to {
        LogicalType::Float64 => return unary(&column, rows, to, |value| value),
        LogicalType::Float32 => {
            return try_vector(rows, to, column.nulls.clone(), on_failure, |row| {
                let value = column.get(row);
                let narrow = value as f32;
                (narrow.is_finite() || !value.is_finite()).then_some(narrow)
            });
        }
        _ => {}
    }
    // Every integer type lies within i128, and every double beyond i64 is a whole number.
    let whole = |row: usize| {
        let value = column.get(row).round_ties_even();
        (value.abs() < 1e30).then_some(value as i128)
    };
    let nulls = column.nulls.clone();
    match Physical::of(to) {
        Physical::I8 => integers(rows, to, nulls, on_failure, whole, |v| i8::try_from(v).ok()),
        Physical::I16 => integers(rows, to, nulls, on_failure, whole, |v| i16::try_from(v).ok()),
        Physical::I32 => integers(rows, to, nulls, on_failure, whole, |v| i32::try_from(v).ok()),
        Physical::I64 => integers(rows, to, nulls, on_failure, whole, |v| i64::try_from(v).ok()),
        Physical::U8 => integers(rows, to, nulls, on_failure, whole, |v| u8::try_from(v).ok()),
        Physical::U16 => integers(rows, to, nulls, on_failure, whole, |v| u16::try_from(v).ok()),
        Physical::U32 => integers(rows, to, nulls, on_failure, whole, |v| u32::try_from(v).ok()),
        Physical::U64 => integers(rows, to, nulls, on_failure, whole, |v| u64::try_from(v).ok()),
        _ => Err(mistyped(to)),
    }
}

fn integers<T: ArrowNativeType>(
    rows: usize,
    to: &LogicalType,
    nulls: Option<arrow::buffer::NullBuffer>,
    on_failure: &OnFailure<'_>,
    wide: impl Fn(usize) -> Option<i128>,
    narrow: impl Fn(i128) -> Option<T>,
) -> Result<Vector> {
    try_vector(rows, to, nulls, on_failure, |row| wide(row).and_then(&narrow))
}

/// A double as the decimal nearest to its shortest text.
fn float_to_decimal(
    input: &Vector,
    rows: usize,
    to: &LogicalType,
    precision: u32,
    scale: i32,
    on_failure: &OnFailure<'_>,
) -> Result<Vector> {
    let from = input.ty()?;
    let texts: Box<dyn Fn(usize) -> String>;
    let nulls;
    if from == LogicalType::Float32 {
        let column = column::<f32>(input)?;
        nulls = column.nulls.clone();
        texts = Box::new(move |row| column.get(row).to_string());
    } else {
        let column = column::<f64>(input)?;
        nulls = column.nulls.clone();
        texts = Box::new(move |row| column.get(row).to_string());
    }
    let (values, nulls) = try_rows(rows, nulls, on_failure, |row| {
        parse_decimal(&texts(row), scale).filter(|&value| fits(value, precision))
    })?;
    wide_vector(to, values, nulls)
}

/// A decimal (or integer) as another number.
fn from_decimal(
    input: &Vector,
    rows: usize,
    to: &LogicalType,
    on_failure: &OnFailure<'_>,
) -> Result<Vector> {
    let decimals = Decimals::new(input)?;
    let (nulls, from) = (decimals.nulls().cloned(), decimals.scale);
    match to {
        LogicalType::Decimal { precision, scale } => {
            let (precision, scale) = (u32::from(*precision), i32::from(*scale));
            if let Some(values) = rescale_small(&decimals, rows, precision, scale) {
                return Ok(small_vector(to, values, nulls));
            }
            let (values, nulls) = try_rows(rows, nulls, on_failure, |row| {
                rescale(decimals.get(row), from, scale).filter(|&value| fits(value, precision))
            })?;
            wide_vector(to, values, nulls)
        }
        LogicalType::Float64 => {
            try_vector(rows, to, nulls, on_failure, |row| Some(to_f64(decimals.get(row), from)))
        }
        LogicalType::Float32 => try_vector(rows, to, nulls, on_failure, |row| {
            format_decimal(decimals.get(row), from).parse::<f32>().ok()
        }),
        _ => {
            let whole = |row: usize| rescale(decimals.get(row), from, 0);
            match Physical::of(to) {
                Physical::I8 => integers(rows, to, nulls, on_failure, whole, |v| {
                    v.try_into().ok() as Option<i8>
                }),
                Physical::I16 => {
                    integers(rows, to, nulls, on_failure, whole, |v| i16::try_from(v).ok())
                }
                Physical::I32 => {
                    integers(rows, to, nulls, on_failure, whole, |v| i32::try_from(v).ok())
                }
                Physical::I64 => {
                    integers(rows, to, nulls, on_failure, whole, |v| i64::try_from(v).ok())
                }
                Physical::U8 => {
                    integers(rows, to, nulls, on_failure, whole, |v| u8::try_from(v).ok())
                }
                Physical::U16 => {
                    integers(rows, to, nulls, on_failure, whole, |v| u16::try_from(v).ok())
                }
                Physical::U32 => {
                    integers(rows, to, nulls, on_failure, whole, |v| u32::try_from(v).ok())
                }
                Physical::U64 => {
                    integers(rows, to, nulls, on_failure, whole, |v| u64::try_from(v).ok())
                }
                _ => Err(mistyped(to)),
            }
        }
    }
}

/// The whole vector at a scale that is not smaller, in 64 bits; `None` when a value does not fit.
fn rescale_small(decimals: &Decimals, rows: usize, precision: u32, scale: i32) -> Option<Vec<i64>> {
    let Unscaled::Small(column) = &decimals.values else { return None };
    let up = u32::try_from(scale - decimals.scale).ok()?;
    let factor = i64::try_from(power(up)).ok().filter(|_| up <= 18)?;
    let limit = i64::try_from(power(precision)).unwrap_or(i64::MAX);
    let mut lost = false;
    let values = crate::kernel::arity::map(column, rows, |value| value.overflowing_mul(factor));
    let values = values.into_iter().map(|(value, overflow)| {
        lost |= overflow | (value >= limit) | (value <= -limit);
        value
    });
    let values: Vec<i64> = values.collect();
    (!lost).then_some(values)
}

/// The double nearest to a decimal.
pub(crate) fn to_f64(value: i128, scale: i32) -> f64 {
    // Both are exact doubles then, and one division rounds once.
    if value.unsigned_abs() < 1 << 53 && (0..=22).contains(&scale) {
        return value as f64 / power(scale.unsigned_abs()) as f64;
    }
    format_decimal(value, scale).parse().unwrap_or(f64::NAN)
}
