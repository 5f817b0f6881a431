//! Arguments that are a multiple of a column and a constant: `x + 1`, `2 * x - 3`, `CAST(x AS BIGINT) + 7`.
//!
//! Invariants: only whole numbers and decimals, where the arithmetic is exact; `low..=high` are just the column's values
//! for which no step of the expression overflows, so that an aggregate of the expression follows from one of the column
//! as long as no value lies outside.
//! Next: `mod.rs`, `State::affine`.

use arrow::buffer::NullBuffer;
use stoadb_storage::{LogicalType, Scalar, Vector};

use super::{
    Call,
    input::{Ints, ints},
    moments,
};
use crate::{
    error::Result,
    expr::{ArithmeticOp, Expr},
    kernel::physical::with_offsets,
    plan::AggregateFunction as Function,
};

/// `scale * column + offset` (unscaled, for decimals).
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Affine {
    /// The column.
    pub(crate) column: Expr,
    /// What it is multiplied by.
    pub(crate) scale: i128,
    /// What is added.
    pub(crate) offset: i128,
    /// The least value of the column that computes without an error.
    pub(crate) low: i128,
    /// The greatest.
    pub(crate) high: i128,
}

/// A number of steps over a column, or a constant.
#[derive(Debug, Clone)]
struct Line {
    /// `None` for a constant.
    column: Option<Expr>,
    scale: i128,
    offset: i128,
    low: i128,
    high: i128,
}

impl Affine {
    /// The form of an expression over a column, if it has this form and is more than the column.
    pub(crate) fn of(expr: &Expr) -> Option<Self> {
        if matches!(expr, Expr::Column { .. }) {
            return None;
        }
        let Line { column, scale, offset, low, high } = line(expr)?;
        let fits = |value: i128| value.unsigned_abs() < 1 << 63;
        let column = column.filter(|_| fits(scale) && fits(offset))?;
        Some(Self { column, scale, offset, low, high })
    }

    /// Whether an aggregate of the expression follows from one of the column.
    pub(crate) fn derives(&self, call: &Call) -> bool {
        let plain = !call.distinct && call.order_by.is_empty() && call.parameters.is_empty();
        let [ty] = call.args.as_slice() else { return false };
        plain
            && match call.function {
                Function::Count | Function::Sum | Function::Avg | Function::Min | Function::Max => {
                    true
                }
                Function::VarSamp
                | Function::VarPop
                | Function::StddevSamp
                | Function::StddevPop
                | Function::Sem => moments::is_exact(ty),
                _ => false,
            }
    }

    /// The call over the column from whose state that of `call` follows.
    pub(crate) fn base(&self, call: &Call) -> Call {
        let function = match call.function {
            Function::Min if self.scale < 0 => Function::Max,
            Function::Max if self.scale < 0 => Function::Min,
            function => function,
        };
        Call { function, args: vec![self.column.ty()], ..call.clone() }
    }

    /// Whether every value of the column's type computes without an error.
    pub(crate) fn is_total(&self) -> bool {
        limits(&self.column.ty()).is_some_and(|(min, max)| self.low <= min && max <= self.high)
    }
}

/// The least and the greatest value of an exact type of up to 64 bits, or 38 digits.
fn limits(ty: &LogicalType) -> Option<(i128, i128)> {
    Some(match ty {
        LogicalType::Int8 => (i8::MIN.into(), i8::MAX.into()),
        LogicalType::Int16 => (i16::MIN.into(), i16::MAX.into()),
        LogicalType::Int32 => (i32::MIN.into(), i32::MAX.into()),
        LogicalType::Int64 => (i64::MIN.into(), i64::MAX.into()),
        LogicalType::UInt8 => (0, u8::MAX.into()),
        LogicalType::UInt16 => (0, u16::MAX.into()),
        LogicalType::UInt32 => (0, u32::MAX.into()),
        LogicalType::UInt64 => (0, u64::MAX.into()),
        LogicalType::Decimal { precision, .. } => {
            let limit = 10_i128.checked_pow((*precision).into())? - 1;
            (-limit, limit)
        }
        _ => return None,
    })
}

/// Digits after the point.
fn digits(ty: &LogicalType) -> i8 {
    match ty {
        LogicalType::Decimal { scale, .. } => *scale,
        _ => 0,
    }
}

fn line(expr: &Expr) -> Option<Line> {
    match expr {
        Expr::Column { ty, .. } => {
            let (low, high) = limits(ty).filter(|_| moments::is_exact(ty))?;
            Some(Line { column: Some(expr.clone()), scale: 1, offset: 0, low, high })
        }
        Expr::Literal(value) => constant(value),
        Expr::Cast { input, ty, or_null: false } => {
            let from = input.ty();
            limits(&from)?;
            line(input)?.times(power(digits(ty).checked_sub(digits(&from))?)?)?.within(ty)
        }
        Expr::Negate(input) => line(input)?.times(-1)?.within(&input.ty()),
        Expr::Arithmetic { op, left, right, ty } => {
            let (a, b) = (line(left)?, line(right)?);
            let (a_digits, b_digits) = (digits(&left.ty()), digits(&right.ty()));
            let to = digits(ty);
            match op {
                ArithmeticOp::Add | ArithmeticOp::Subtract => {
                    let a = a.times(power(to.checked_sub(a_digits)?)?)?;
                    let b = b.times(power(to.checked_sub(b_digits)?)?)?;
                    let b = if *op == ArithmeticOp::Subtract { b.times(-1)? } else { b };
                    a.plus(b)?.within(ty)
                }
                ArithmeticOp::Multiply => {
                    let more = power(to.checked_sub(a_digits.checked_add(b_digits)?)?)?;
                    let product = match (&a.column, &b.column) {
                        (_, None) => a.times(b.offset)?,
                        (None, _) => b.times(a.offset)?,
                        _ => return None,
                    };
                    product.times(more)?.within(ty)
                }
                ArithmeticOp::Divide | ArithmeticOp::Modulo => None,
            }
        }
        _ => None,
    }
}

fn constant(value: &Scalar) -> Option<Line> {
    limits(value.ty())?;
    let offset = value.as_i128()?;
    Some(Line { column: None, scale: 0, offset, low: i128::MIN, high: i128::MAX })
}

/// A power of ten; none of a negative number, which would round.
fn power(exponent: i8) -> Option<i128> {
    10_i128.checked_pow(u32::try_from(exponent).ok()?)
}

impl Line {
    fn times(self, factor: i128) -> Option<Self> {
        let scale = self.scale.checked_mul(factor)?;
        let offset = self.offset.checked_mul(factor)?;
        Some(Self { scale, offset, ..self })
    }

    /// The sum of two lines of which at most one has the column.
    fn plus(self, other: Self) -> Option<Self> {
        let offset = self.offset.checked_add(other.offset)?;
        match (&self.column, &other.column) {
            (_, None) => Some(Self { offset, ..self }),
            (None, _) => Some(Self { offset, ..other }),
            _ => None,
        }
    }

    /// The line where its values are of a type.
    fn within(mut self, ty: &LogicalType) -> Option<Self> {
        let (min, max) = limits(ty)?;
        let (min, max) = (min.checked_sub(self.offset)?, max.checked_sub(self.offset)?);
        if self.scale == 0 {
            // A constant that does not fit fails for every row.
            return (min <= 0 && 0 <= max).then_some(self);
        }
        let size = self.scale.abs();
        let (min, max) = if self.scale > 0 { (min, max) } else { (-max, -min) };
        // Rounded towards the inside.
        let (low, high) = (-(-min).div_euclid(size), max.div_euclid(size));
        self.low = self.low.max(low);
        self.high = self.high.min(high);
        Some(self)
    }
}

/// Whether all values of a vector that are not NULL lie between two bounds.
///
/// # Errors
/// `Internal` when they are no whole numbers or decimals.
pub(crate) fn all_within(vector: &Vector, low: i128, high: i128) -> Result<bool> {
    let nulls = vector.nulls();
    Ok(match ints(vector)? {
        Ints::Narrow(offsets, base) => {
            let base = i128::from(base);
            let (low, high) = (low.saturating_sub(base), high.saturating_sub(base));
            with_offsets!(offsets, offsets => within(offsets, nulls.as_ref(), low, high))
        }
        Ints::Unsigned(values) => within(&values, nulls.as_ref(), low, high),
        Ints::Wide(values) => within(&values, nulls.as_ref(), low, high),
    })
}

fn within<T: Copy + Ord + Into<i128>>(
    values: &[T],
    nulls: Option<&NullBuffer>,
    low: i128,
    high: i128,
) -> bool {
    let Some(&first) = values.first() else { return true };
    let (min, max) =
        values.iter().fold((first, first), |(min, max), &value| (min.min(value), max.max(value)));
    let inside = |value: T| (low..=high).contains(&value.into());
    // Values under NULL are arbitrary: they are left out only once they matter.
    inside(min) && inside(max)
        || nulls.is_some_and(|nulls| nulls.valid_indices().all(|row| inside(values[row])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing::Random;

    fn column(ty: LogicalType) -> Expr {
        Expr::column(0, ty)
    }

    fn arithmetic(op: ArithmeticOp, left: Expr, right: Expr, ty: LogicalType) -> Expr {
        Expr::Arithmetic { op, left: Box::new(left), right: Box::new(right), ty }
    }

    fn cast(input: Expr, ty: LogicalType) -> Expr {
        Expr::Cast { input: Box::new(input), ty, or_null: false }
    }

    /// The value of an expression of 64-bit whole numbers, or `None` where a step overflows.
    fn eval(expr: &Expr, x: i128) -> Option<i128> {
        let value = match expr {
            Expr::Column { .. } => x,
            Expr::Literal(value) => value.as_i128()?,
            Expr::Cast { input, .. } => eval(input, x)?,
            Expr::Negate(input) => -eval(input, x)?,
            Expr::Arithmetic { op, left, right, .. } => {
                let (a, b) = (eval(left, x)?, eval(right, x)?);
                match op {
                    ArithmeticOp::Add => a + b,
                    ArithmeticOp::Subtract => a - b,
                    _ => a * b,
                }
            }
            _ => return None,
        };
        let (min, max) = limits(&expr.ty())?;
        (min..=max).contains(&value).then_some(value)
    }

    #[test]
    fn test_lines_are_exact_within_their_bounds_and_fail_outside() {
        let mut random = Random::new(21);
        let types = [LogicalType::Int8, LogicalType::Int16, LogicalType::UInt8];
        let mut found = 0;
        for _ in 0..3000 {
            let ty = types[random.below(3) as usize].clone();
            let mut expr = column(ty.clone());
            for _ in 0..1 + random.below(3) {
                let literal = random.below(600) as i64 - 300;
                let narrow = cast(Expr::Literal(Scalar::int64(literal)), LogicalType::Int16);
                let (op, other, wide) = match random.below(5) {
                    0 => (ArithmeticOp::Add, narrow, LogicalType::Int16),
                    1 => (ArithmeticOp::Subtract, narrow, LogicalType::Int16),
                    2 => (ArithmeticOp::Multiply, narrow, LogicalType::Int16),
                    3 => {
                        expr = Expr::Negate(Box::new(cast(expr, LogicalType::Int16)));
                        continue;
                    }
                    _ => (
                        ArithmeticOp::Add,
                        Expr::Literal(Scalar::int64(literal)),
                        LogicalType::Int64,
                    ),
                };
                let input = cast(expr, wide.clone());
                let (left, right) =
                    if random.below(2) == 0 { (input, other) } else { (other, input) };
                expr = arithmetic(op, left, right, wide);
            }
            let (min, max) = limits(&ty).unwrap();
            let Some(line) = Affine::of(&expr) else {
                assert!((min..=max).all(|x| eval(&expr, x).is_none()), "{expr:?}");
                continue;
            };
            found += 1;
            let mut total = true;
            for x in min..=max {
                let inside = (line.low..=line.high).contains(&x);
                total &= inside;
                assert_eq!(eval(&expr, x).is_some(), inside, "{expr:?} {x} {line:?}");
                if let Some(value) = eval(&expr, x) {
                    assert_eq!(value, line.scale * x + line.offset, "{expr:?} {x}");
                }
            }
            assert_eq!(line.is_total(), total);
        }
        assert!(found > 2000);
    }

    #[test]
    fn test_decimals_are_brought_to_the_scale_of_the_result() {
        let narrow = LogicalType::Decimal { precision: 4, scale: 1 };
        let wide = LogicalType::Decimal { precision: 7, scale: 3 };
        let literal = || Expr::Literal(Scalar::decimal(25, 3, 2));
        let add = arithmetic(ArithmeticOp::Add, column(narrow.clone()), literal(), wide.clone());
        let line = Affine::of(&add).unwrap();
        assert_eq!((line.scale, line.offset), (100, 250));
        assert!(line.is_total());
        let times = arithmetic(ArithmeticOp::Multiply, literal(), column(narrow.clone()), wide);
        let line = Affine::of(&times).unwrap();
        assert_eq!((line.scale, line.offset), (25, 0));
        // A result of fewer digits would round.
        let short = LogicalType::Decimal { precision: 9, scale: 2 };
        let times = arithmetic(ArithmeticOp::Multiply, literal(), column(narrow.clone()), short);
        assert!(Affine::of(&times).is_none());
        let double = cast(column(narrow.clone()), LogicalType::Float64);
        assert!(Affine::of(&double).is_none() && Affine::of(&column(narrow)).is_none());
    }

    #[test]
    fn test_values_under_null_do_not_matter() {
        let values = arrow::array::Int64Array::new(vec![1, 900, 3].into(), None);
        let all = Vector::Flat(std::sync::Arc::new(values));
        assert!(all_within(&all, 1, 900).unwrap() && !all_within(&all, 1, 899).unwrap());
        let nulls = Some(NullBuffer::from(vec![true, false, true]));
        let values = arrow::array::Int64Array::new(vec![1, 900, 3].into(), nulls);
        let some = Vector::Flat(std::sync::Arc::new(values));
        assert!(all_within(&some, 1, 3).unwrap() && !all_within(&some, 2, 3).unwrap());
    }
}
