//! Rounding, roots, powers, logarithms, and the choice among arguments (greatest, least, nullif).
//!
//! Invariants: numbers round half away from zero; arguments outside of a function's domain are errors, as in
//! PostgreSQL; `greatest` and `least` skip NULLs. Every function has the signature of `NativeFn`.

use arrow::{
    array::{Array, BooleanArray},
    compute::interleave,
};
use stoadb_storage::{LogicalType, Vector};

use super::text::integers;
use crate::{
    error::{EngineError, Result},
    expr::{ArithmeticOp, CompareOp},
    kernel::{
        arithmetic,
        arity::{fallible, map, unary, union_nulls},
        compare::compare,
        decimal::{
            Decimals, divide_round, fits, format_decimal, power as power_of_ten, wide_vector,
        },
        physical::{
            Physical, boolean_vector, booleans, column, is_constant_null, null_vector, with_number,
        },
    },
};

/// `abs(number)`.
pub(crate) fn abs(args: &[Vector], rows: usize, ty: &LogicalType) -> Result<Vector> {
    macro_rules! signed {
        ($t:ty) => {{
            let a = column::<$t>(&args[0])?;
            fallible(rows, ty, a.nulls.clone(), |row| {
                let value = a.get(row);
                let overflow =
                    || EngineError::Value(format!("overflow: abs({value}) does not fit {ty}"));
                value.checked_abs().ok_or_else(overflow)
            })
        }};
    }
    match Physical::of(ty) {
        Physical::I8 => signed!(i8),
        Physical::I16 => signed!(i16),
        Physical::I32 => signed!(i32),
        Physical::I64 => signed!(i64),
        Physical::I128 => decimals(args, rows, ty, |_, value, _| Some(value.abs())),
        Physical::F32 => unary(&column::<f32>(&args[0])?, rows, ty, f32::abs),
        Physical::F64 => unary(&column::<f64>(&args[0])?, rows, ty, f64::abs),
        _ => Ok(args[0].clone()),
    }
}

/// `sign(number)`: -1, 0 or 1 in the number's type; of NaN NaN.
#[expect(clippy::unnecessary_cast, reason = "one width of many is the target already")]
pub(crate) fn sign(args: &[Vector], rows: usize, ty: &LogicalType) -> Result<Vector> {
    let of = |value: f64| if value == 0.0 || value.is_nan() { value + 0.0 } else { value.signum() };
    match Physical::of(ty) {
        Physical::F32 => {
            unary(&column::<f32>(&args[0])?, rows, ty, |value| of(f64::from(value)) as f32)
        }
        Physical::F64 => unary(&column::<f64>(&args[0])?, rows, ty, of),
        Physical::I128 => decimals(args, rows, ty, |_, value, scale| {
            Some(value.signum() * power_of_ten(scale.unsigned_abs()))
        }),
        physical => with_number!(physical, T => {
            let a = column::<T>(&args[0])?;
            unary(&a, rows, ty, |value| (value as i128).signum() as T)
        }, _ => Err(EngineError::Internal(format!("sign of {ty}")))),
    }
}

/// `f` of rows, unscaled values and their scale; the result is brought to the plan's type.
fn decimals(
    args: &[Vector],
    rows: usize,
    ty: &LogicalType,
    f: impl Fn(usize, i128, i32) -> Option<i128>,
) -> Result<Vector> {
    let LogicalType::Decimal { precision, scale } = ty else {
        return Err(EngineError::Internal(format!("a decimal was expected, not {ty}")));
    };
    let decimals = Decimals::new(&args[0])?;
    let others = args.get(1).and_then(Vector::nulls);
    let nulls = union_nulls(decimals.nulls(), others.as_ref());
    let mut values = vec![0; rows];
    for (row, value) in values.iter_mut().enumerate() {
        if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            continue;
        }
        let input = decimals.get(row);
        let rescaled = |value| super::decimal::rescale(value, decimals.scale, (*scale).into());
        let result = f(row, input, decimals.scale).and_then(rescaled);
        *value = result.filter(|&value| fits(value, (*precision).into())).ok_or_else(|| {
            let shown = format_decimal(input, decimals.scale);
            EngineError::Value(format!("overflow: the result for {shown} does not fit {ty}"))
        })?;
    }
    wide_vector(ty, values, nulls)
}

/// To which whole number or place a function rounds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rounding {
    Up,
    Down,
    Nearest,
    ToZero,
}

impl Rounding {
    fn double(self, value: f64) -> f64 {
        match self {
            Self::Up => value.ceil(),
            Self::Down => value.floor(),
            Self::Nearest => value.round(),
            Self::ToZero => value.trunc(),
        }
    }

    fn decimal(self, value: i128, unit: i128) -> Option<i128> {
        let whole = match self {
            Self::Up => value.div_euclid(unit) + i128::from(value.rem_euclid(unit) != 0),
            Self::Down => value.div_euclid(unit),
            Self::Nearest => divide_round(value, unit),
            Self::ToZero => value / unit,
        };
        whole.checked_mul(unit)
    }
}

/// `ceil(number)`.
pub(crate) fn ceil(args: &[Vector], rows: usize, ty: &LogicalType) -> Result<Vector> {
    rounded(Rounding::Up, args, rows, ty)
}

/// `floor(number)`.
pub(crate) fn floor(args: &[Vector], rows: usize, ty: &LogicalType) -> Result<Vector> {
    rounded(Rounding::Down, args, rows, ty)
}

/// `round(number [, places])`.
pub(crate) fn round(args: &[Vector], rows: usize, ty: &LogicalType) -> Result<Vector> {
    rounded(Rounding::Nearest, args, rows, ty)
}

/// `trunc(number [, places])`.
pub(crate) fn trunc(args: &[Vector], rows: usize, ty: &LogicalType) -> Result<Vector> {
    rounded(Rounding::ToZero, args, rows, ty)
}

#[expect(clippy::unnecessary_cast, reason = "one width of many is the target already")]
fn rounded(how: Rounding, args: &[Vector], rows: usize, ty: &LogicalType) -> Result<Vector> {
    if args.iter().any(is_constant_null) {
        return Ok(null_vector(ty, rows));
    }
    let places = match args.get(1) {
        Some(places) => integers(places)?,
        None => integers(&Vector::Constant { value: stoadb_storage::Scalar::int64(0), rows })?,
    };
    match Physical::of(ty) {
        Physical::F64 => {
            let a = column::<f64>(&args[0])?;
            let nulls = union_nulls(a.nulls.as_ref(), places.nulls.as_ref());
            fallible(rows, ty, nulls, |row| Ok(round_double(how, a.get(row), places.get(row))))
        }
        Physical::F32 => {
            let a = column::<f32>(&args[0])?;
            let nulls = union_nulls(a.nulls.as_ref(), places.nulls.as_ref());
            fallible(rows, ty, nulls, |row| {
                Ok(round_double(how, a.get(row).into(), places.get(row)) as f32)
            })
        }
        Physical::I128 => decimals(args, rows, ty, |row, value, scale| {
            // A place beyond the scale leaves the value as it is; digits before the point become zeros.
            let dropped = i64::from(scale).saturating_sub(places.get(row));
            match u32::try_from(dropped.max(0)) {
                Ok(0) => Some(value),
                Ok(dropped @ ..=38) => how.decimal(value, power_of_ten(dropped)),
                _ => Some(0),
            }
        }),
        _ if args.len() == 1 => Ok(args[0].clone()),
        physical => with_number!(physical, T => {
            let a = column::<T>(&args[0])?;
            let nulls = union_nulls(a.nulls.as_ref(), places.nulls.as_ref());
            fallible(rows, ty, nulls, |row| {
                let value = a.get(row) as i128;
                let rounded = match u32::try_from(places.get(row).saturating_neg().max(0)) {
                    Ok(0) => Some(value),
                    Ok(dropped @ ..=20) => how.decimal(value, power_of_ten(dropped)),
                    _ => Some(0),
                };
                let fits = rounded.filter(|&wide| wide as T as i128 == wide);
                let fits = fits.map(|wide| wide as T);
                fits.ok_or_else(|| {
                    EngineError::Value(format!("overflow: the result for {value} does not fit {ty}"))
                })
            })
        }, _ => Err(EngineError::Internal(format!("rounding of {ty}")))),
    }
}

fn round_double(how: Rounding, value: f64, places: i64) -> f64 {
    if places == 0 || !value.is_finite() {
        return how.double(value);
    }
    let factor = 10_f64.powi(places.unsigned_abs().min(400) as i32);
    let (scaled, back) = match places > 0 {
        true => (value * factor, how.double(value * factor) / factor),
        false => (value / factor, how.double(value / factor) * factor),
    };
    match (scaled.is_finite() && factor.is_finite(), places > 0) {
        (true, _) => back,
        (false, true) => value,
        (false, false) => 0.0,
    }
}

fn doubles(
    args: &[Vector],
    rows: usize,
    ty: &LogicalType,
    f: impl Fn(f64) -> Result<f64>,
) -> Result<Vector> {
    if *ty == LogicalType::Float32 {
        let a = column::<f32>(&args[0])?;
        return fallible(rows, ty, a.nulls.clone(), |row| Ok(f(a.get(row).into())? as f32));
    }
    let a = column::<f64>(&args[0])?;
    fallible(rows, ty, a.nulls.clone(), |row| f(a.get(row)))
}

/// `isinf(float)`.
pub(crate) fn is_infinite(args: &[Vector], rows: usize, _: &LogicalType) -> Result<Vector> {
    test(args, rows, f64::is_infinite)
}

/// `isfinite(float)`.
pub(crate) fn is_finite(args: &[Vector], rows: usize, _: &LogicalType) -> Result<Vector> {
    test(args, rows, f64::is_finite)
}

#[expect(clippy::unnecessary_cast, reason = "one width of many is the target already")]
fn test(args: &[Vector], rows: usize, f: impl Fn(f64) -> bool) -> Result<Vector> {
    if is_constant_null(&args[0]) {
        return Ok(null_vector(&LogicalType::Boolean, rows));
    }
    with_number!(Physical::of(&args[0].ty()?), T => {
        let a = column::<T>(&args[0])?;
        let values = map(&a, rows, |value| f(value as f64));
        Ok(boolean_vector(BooleanArray::new(values.into(), a.nulls)))
    }, _ => Err(EngineError::Internal("a float was expected".into())))
}

/// `sqrt(double)`.
pub(crate) fn sqrt(args: &[Vector], rows: usize, ty: &LogicalType) -> Result<Vector> {
    doubles(args, rows, ty, |value| {
        if value < 0.0 {
            let message = format!("sqrt of a negative number: {value}");
            return Err(EngineError::Value(message));
        }
        Ok(value.sqrt())
    })
}

/// `exp(double)`.
pub(crate) fn exp(args: &[Vector], rows: usize, ty: &LogicalType) -> Result<Vector> {
    doubles(args, rows, ty, |value| Ok(value.exp()))
}

/// `ln(double)`.
pub(crate) fn ln(args: &[Vector], rows: usize, ty: &LogicalType) -> Result<Vector> {
    doubles(args, rows, ty, |value| positive("ln", value).map(f64::ln))
}

/// `log10(double)`.
pub(crate) fn log10(args: &[Vector], rows: usize, ty: &LogicalType) -> Result<Vector> {
    doubles(args, rows, ty, |value| positive("log10", value).map(f64::log10))
}

/// `log2(double)`.
pub(crate) fn log2(args: &[Vector], rows: usize, ty: &LogicalType) -> Result<Vector> {
    doubles(args, rows, ty, |value| positive("log2", value).map(f64::log2))
}

fn positive(function: &str, value: f64) -> Result<f64> {
    if value <= 0.0 {
        let what = if value == 0.0 { "zero" } else { "a negative number" };
        return Err(EngineError::Value(format!("{function} of {what}")));
    }
    Ok(value)
}

/// `power(double, double)`.
pub(crate) fn power(args: &[Vector], rows: usize, ty: &LogicalType) -> Result<Vector> {
    let (a, b) = (column::<f64>(&args[0])?, column::<f64>(&args[1])?);
    crate::kernel::arity::binary(&a, &b, rows, ty, f64::powf)
}

/// `mod(a, b)`, as `a % b`.
pub(crate) fn modulo(args: &[Vector], rows: usize, ty: &LogicalType) -> Result<Vector> {
    if args.iter().any(is_constant_null) {
        return Ok(null_vector(ty, rows));
    }
    arithmetic::arithmetic(ArithmeticOp::Modulo, &args[0], &args[1], rows, ty)
}

/// `greatest(a, b, ..)`.
pub(crate) fn greatest(args: &[Vector], rows: usize, _: &LogicalType) -> Result<Vector> {
    extreme(CompareOp::Gt, args, rows)
}

/// `least(a, b, ..)`.
pub(crate) fn least(args: &[Vector], rows: usize, _: &LogicalType) -> Result<Vector> {
    extreme(CompareOp::Lt, args, rows)
}

fn extreme(op: CompareOp, args: &[Vector], rows: usize) -> Result<Vector> {
    let mut best = args[0].clone();
    for other in &args[1..] {
        let better = booleans(&compare(op, other, &best, rows)?)?;
        let (best_nulls, other_nulls) = (best.nulls(), other.nulls());
        let is_null = |nulls: &Option<arrow::buffer::NullBuffer>, row: usize| {
            nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
        };
        best = choose(&best, other, rows, |row| {
            !is_null(&other_nulls, row)
                && (is_null(&best_nulls, row) || (better.is_valid(row) && better.value(row)))
        })?;
    }
    Ok(best)
}

/// The rows of `second` where `f` holds, of `first` elsewhere.
fn choose(
    first: &Vector,
    second: &Vector,
    rows: usize,
    f: impl Fn(usize) -> bool,
) -> Result<Vector> {
    let (first, second) = (first.flatten()?, second.flatten()?);
    let places: Vec<(usize, usize)> = (0..rows).map(|row| (usize::from(f(row)), row)).collect();
    Ok(Vector::Flat(interleave(&[first.as_ref(), second.as_ref()], &places)?))
}

/// `nullif(a, b)`.
pub(crate) fn nullif(args: &[Vector], rows: usize, _: &LogicalType) -> Result<Vector> {
    let equal = booleans(&compare(CompareOp::Eq, &args[0], &args[1], rows)?)?;
    Ok(Vector::Flat(arrow::compute::nullif(args[0].flatten()?.as_ref(), &equal)?))
}
