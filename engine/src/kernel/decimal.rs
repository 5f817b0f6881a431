//! Decimal arithmetic: 64-bit unscaled values with overflow detection over the whole vector, 128-bit when that strikes,
//! 256-bit for intermediate results of single rows.
//!
//! Invariants: the result's scale is the plan's; values are rounded half away from zero to it; a result of more digits
//! than the plan's precision is an error. Results that fit 64 bits stay narrow.

use arrow::{
    array::Int64Array,
    buffer::{NullBuffer, ScalarBuffer},
    datatypes::i256,
};
use stoadb_storage::{LogicalType, Vector, vector::NarrowVector};

use crate::{
    error::{EngineError, Result},
    expr::ArithmeticOp,
    kernel::{
        arithmetic::{division_by_zero, symbol},
        arity::{union_nulls, zip},
        physical::{Column, Physical, column, column_i64, vector_of, with_number},
    },
};

/// Powers of ten that fit 128 bits.
pub(crate) fn power(exponent: u32) -> i128 {
    10_i128.pow(exponent.min(38))
}

/// Unscaled values in the narrowest width at hand.
pub(crate) enum Unscaled {
    /// All fit 64 bits.
    Small(Column<i64>),
    /// Not known to fit.
    Wide(Column<i128>),
}

/// A decimal (or integer) operand.
pub(crate) struct Decimals {
    /// The values.
    pub(crate) values: Unscaled,
    /// Digits in all, at most 38.
    pub(crate) precision: u32,
    /// Digits after the point.
    pub(crate) scale: i32,
}

impl Decimals {
    /// Reads a vector of decimals or integers.
    #[expect(clippy::unnecessary_cast, reason = "one width of many is the target already")]
    pub(crate) fn new(vector: &Vector) -> Result<Self> {
        let ty = vector.ty()?;
        let (precision, scale) = match ty {
            LogicalType::Decimal { precision, scale } => (u32::from(precision), i32::from(scale)),
            LogicalType::Int8 | LogicalType::UInt8 => (3, 0),
            LogicalType::Int16 | LogicalType::UInt16 => (5, 0),
            LogicalType::Int32 | LogicalType::UInt32 => (10, 0),
            _ => (20, 0),
        };
        let values = match (vector, Physical::of(&ty)) {
            (Vector::Narrow(_), _) | (_, Physical::I64) => Unscaled::Small(column_i64(vector)?),
            (_, Physical::I128) => narrowed(column::<i128>(vector)?),
            (_, physical) => with_number!(physical, T => {
                let column = column::<T>(vector)?;
                let wide = column.values.iter().map(|&value| value as i128).collect();
                narrowed(Column { values: wide, nulls: column.nulls, constant: column.constant })
            }, _ => return Err(EngineError::Internal(format!("decimal arithmetic on {ty}")))),
        };
        Ok(Self { values, precision, scale })
    }

    /// The NULLs.
    pub(crate) fn nulls(&self) -> Option<&NullBuffer> {
        match &self.values {
            Unscaled::Small(column) => column.nulls.as_ref(),
            Unscaled::Wide(column) => column.nulls.as_ref(),
        }
    }

    /// The unscaled value of a row.
    pub(crate) fn get(&self, row: usize) -> i128 {
        match &self.values {
            Unscaled::Small(column) => i128::from(column.get(row)),
            Unscaled::Wide(column) => column.get(row),
        }
    }
}

/// 128-bit values as 64-bit ones if all of them fit.
fn narrowed(column: Column<i128>) -> Unscaled {
    match shrink(&column.values) {
        Some(values) => {
            Unscaled::Small(Column { values, nulls: column.nulls, constant: column.constant })
        }
        None => Unscaled::Wide(column),
    }
}

fn shrink(values: &[i128]) -> Option<ScalarBuffer<i64>> {
    let mut lost = 0_i128;
    #[expect(clippy::cast_possible_truncation, reason = "`lost` says whether bits were lost")]
    let small: Vec<i64> = values
        .iter()
        .map(|&value| {
            lost |= (value as i64 as i128) ^ value;
            value as i64
        })
        .collect();
    (lost == 0).then(|| small.into())
}

/// A decimal vector of 64-bit unscaled values.
pub(crate) fn small_vector(
    ty: &LogicalType,
    values: Vec<i64>,
    nulls: Option<NullBuffer>,
) -> Vector {
    Vector::Narrow(NarrowVector::from_i64(ty.clone(), Int64Array::new(values.into(), nulls)))
}

/// A decimal vector of 128-bit unscaled values, narrow if they fit.
pub(crate) fn wide_vector(
    ty: &LogicalType,
    values: Vec<i128>,
    nulls: Option<NullBuffer>,
) -> Result<Vector> {
    match shrink(&values) {
        Some(small) => {
            Ok(Vector::Narrow(NarrowVector::from_i64(ty.clone(), Int64Array::new(small, nulls))))
        }
        None => vector_of(ty, values, nulls),
    }
}

/// Whether a value has at most `precision` digits.
pub(crate) fn fits(value: i128, precision: u32) -> bool {
    value.unsigned_abs() < power(precision).unsigned_abs()
}

/// `value / divisor`, rounded half away from zero; the divisor is positive.
pub(crate) fn divide_round(value: i128, divisor: i128) -> i128 {
    let (quotient, rest) = (value / divisor, value % divisor);
    match rest.unsigned_abs() >= divisor.unsigned_abs() - rest.unsigned_abs() {
        true if rest != 0 => quotient + value.signum(),
        _ => quotient,
    }
}

/// The value at another scale, rounded half away from zero; `None` when it does not fit 128 bits.
pub(crate) fn rescale(value: i128, from: i32, to: i32) -> Option<i128> {
    match to - from {
        0 => Some(value),
        up @ 1..=38 => value.checked_mul(power(up.unsigned_abs())),
        down @ -38..=-1 => Some(divide_round(value, power(down.unsigned_abs()))),
        up if up > 0 => (value == 0).then_some(0),
        _ => Some(0),
    }
}

/// Decimal arithmetic on two vectors, neither of them constant NULL.
pub(crate) fn arithmetic(
    op: ArithmeticOp,
    left: &Vector,
    right: &Vector,
    rows: usize,
    ty: &LogicalType,
) -> Result<Vector> {
    let LogicalType::Decimal { precision, scale } = ty else {
        return Err(EngineError::Internal(format!("decimal arithmetic to {ty}")));
    };
    let (precision, scale) = (u32::from(*precision), i32::from(*scale));
    let (a, b) = (Decimals::new(left)?, Decimals::new(right)?);
    let nulls = union_nulls(a.nulls(), b.nulls());
    if let (Unscaled::Small(x), Unscaled::Small(y)) = (&a.values, &b.values)
        && let Some(values) = small(op, (&a, x), (&b, y), rows, (precision, scale))
    {
        return Ok(small_vector(ty, values, nulls));
    }
    let mut values = vec![0_i128; rows];
    for (row, value) in values.iter_mut().enumerate() {
        if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            continue;
        }
        let (x, y) = (a.get(row), b.get(row));
        if y == 0 && matches!(op, ArithmeticOp::Divide | ArithmeticOp::Modulo) {
            return Err(division_by_zero());
        }
        *value = exact(op, (x, a.scale), (y, b.scale), scale)
            .filter(|&value| fits(value, precision))
            .ok_or_else(|| {
                EngineError::Value(format!(
                    "overflow: {} {} {} does not fit {ty}; cast an operand to DOUBLE or to a smaller scale",
                    format_decimal(x, a.scale),
                    symbol(op),
                    format_decimal(y, b.scale)
                ))
            })?;
    }
    wide_vector(ty, values, nulls)
}

/// The whole vector in 64 bits; `None` when a value (even under NULL) does not fit or fails.
fn small(
    op: ArithmeticOp,
    (a, x): (&Decimals, &Column<i64>),
    (b, y): (&Decimals, &Column<i64>),
    rows: usize,
    (precision, scale): (u32, i32),
) -> Option<Vec<i64>> {
    let factor = |from: i32, to: i32| i64::try_from(power(u32::try_from(to - from).ok()?)).ok();
    let mut overflow = false;
    let values = match op {
        ArithmeticOp::Add | ArithmeticOp::Subtract => {
            let (fa, fb) = (factor(a.scale, scale)?, factor(b.scale, scale)?);
            let add = op == ArithmeticOp::Add;
            // Both operands have at most 17 digits at the result's scale: no sum overflows.
            let digits = |d: &Decimals| i64::from(d.precision) + i64::from(scale - d.scale);
            if digits(a).max(digits(b)) <= 17 && precision > 17 {
                match add {
                    true => {
                        zip(x, y, rows, |x, y| x.wrapping_mul(fa).wrapping_add(y.wrapping_mul(fb)))
                    }
                    false => {
                        zip(x, y, rows, |x, y| x.wrapping_mul(fa).wrapping_sub(y.wrapping_mul(fb)))
                    }
                }
            } else {
                zip(x, y, rows, |x, y| {
                    let ((x, ox), (y, oy)) = (x.overflowing_mul(fa), y.overflowing_mul(fb));
                    let (sum, o) = if add { x.overflowing_add(y) } else { x.overflowing_sub(y) };
                    overflow |= ox | oy | o;
                    sum
                })
            }
        }
        ArithmeticOp::Multiply if a.scale + b.scale == scale => {
            if a.precision + b.precision <= 18 {
                zip(x, y, rows, i64::wrapping_mul)
            } else {
                zip(x, y, rows, |x, y| {
                    let (product, o) = x.overflowing_mul(y);
                    overflow |= o;
                    product
                })
            }
        }
        ArithmeticOp::Divide => {
            let up = factor(a.scale - b.scale, scale)?;
            zip(x, y, rows, |x, y| {
                let (x, o) = x.overflowing_mul(up);
                // -1 and the least value are left to the exact path with zero.
                overflow |= o | (y == 0) | (x == i64::MIN) | (y == i64::MIN);
                let y = if y == 0 { 1 } else { y };
                let (quotient, rest) = (x.wrapping_div(y), x.wrapping_rem(y).unsigned_abs());
                let up = rest >= y.unsigned_abs() - rest && rest != 0;
                quotient.wrapping_add(if up { (x ^ y) >> 63 | 1 } else { 0 })
            })
        }
        ArithmeticOp::Modulo => {
            let common = a.scale.max(b.scale);
            if common != scale {
                return None;
            }
            let (fa, fb) = (factor(a.scale, common)?, factor(b.scale, common)?);
            zip(x, y, rows, |x, y| {
                let ((x, ox), (y, oy)) = (x.overflowing_mul(fa), y.overflowing_mul(fb));
                overflow |= ox | oy | (y == 0);
                x.wrapping_rem(if y == 0 { 1 } else { y })
            })
        }
        ArithmeticOp::Multiply => return None,
    };
    (!overflow && within(&values, precision)).then_some(values)
}

/// Whether all values have at most `precision` digits.
fn within(values: &[i64], precision: u32) -> bool {
    let Ok(limit) = i64::try_from(power(precision)) else { return true };
    let mut outside = false;
    for &value in values {
        outside |= (value >= limit) | (value <= -limit);
    }
    !outside
}

/// One result, exact and then rounded to the scale; `None` when it does not fit 128 bits. The divisor is not zero.
fn exact(op: ArithmeticOp, (x, xs): (i128, i32), (y, ys): (i128, i32), scale: i32) -> Option<i128> {
    let common = xs.max(ys);
    match op {
        ArithmeticOp::Add | ArithmeticOp::Subtract | ArithmeticOp::Modulo => {
            let wide = |value: i128, from: i32| {
                i256::from_i128(value).checked_mul(wide_power((common - from).unsigned_abs()))
            };
            let (x, y) = (wide(x, xs)?, wide(y, ys)?);
            let result = match op {
                ArithmeticOp::Add => x.checked_add(y)?,
                ArithmeticOp::Subtract => x.checked_sub(y)?,
                _ => x.checked_rem(y)?,
            };
            rescale_wide(result, common, scale)
        }
        ArithmeticOp::Multiply => {
            rescale_wide(i256::from_i128(x).checked_mul(i256::from_i128(y))?, xs + ys, scale)
        }
        ArithmeticOp::Divide => {
            let up = scale - xs + ys;
            let (mut x, mut y) = (i256::from_i128(x), i256::from_i128(y));
            if y.is_negative() {
                (x, y) = (x.wrapping_neg(), y.wrapping_neg());
            }
            if up >= 0 {
                x = x.checked_mul(wide_power(up.unsigned_abs()))?;
            } else {
                y = y.checked_mul(wide_power(up.unsigned_abs()))?;
            }
            round_wide(x, y)?.to_i128()
        }
    }
}

fn wide_power(exponent: u32) -> i256 {
    i256::from_i128(10).wrapping_pow(exponent.min(76))
}

fn rescale_wide(value: i256, from: i32, to: i32) -> Option<i128> {
    match to >= from {
        true => value.checked_mul(wide_power((to - from).unsigned_abs()))?.to_i128(),
        false => round_wide(value, wide_power((from - to).unsigned_abs()))?.to_i128(),
    }
}

/// `x / y` rounded half away from zero; `y` is positive.
fn round_wide(x: i256, y: i256) -> Option<i256> {
    let (quotient, rest) = (x.checked_div(y)?, x.checked_rem(y)?);
    let rest = if rest.is_negative() { rest.wrapping_neg() } else { rest };
    let up = rest != i256::ZERO && rest >= y.checked_sub(rest)?;
    let one = if x.is_negative() { i256::MINUS_ONE } else { i256::ONE };
    if up { quotient.checked_add(one) } else { Some(quotient) }
}

/// A decimal as text.
pub(crate) fn format_decimal(value: i128, scale: i32) -> String {
    let digits = value.unsigned_abs().to_string();
    let sign = if value < 0 { "-" } else { "" };
    let Ok(scale) = usize::try_from(scale) else {
        let zeros = if value == 0 { 0 } else { scale.unsigned_abs() as usize };
        return format!("{sign}{digits}{}", "0".repeat(zeros));
    };
    if scale == 0 {
        return format!("{sign}{digits}");
    }
    let digits = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    format!("{sign}{whole}.{fraction}")
}
