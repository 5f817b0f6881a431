//! `+ - * / %` and unary minus: dispatch on types; the loops for integers and floats.
//!
//! Invariants: integer loops run without branches over a whole vector and gather an overflow mark; only when it is set
//! does a second pass look for the first row, not NULL, that really overflows, and names its values. Float arithmetic
//! is IEEE 754. Next: `decimal.rs`, `temporal.rs`.

use std::fmt::Display;

use arrow::{
    buffer::NullBuffer,
    datatypes::{ArrowNativeType, IntervalMonthDayNano},
};
use stoadb_storage::{LogicalType, Vector, vector::NarrowVector};

use crate::{
    error::{EngineError, Result},
    expr::ArithmeticOp,
    kernel::{
        arity::{binary, fallible, map, unary, union_nulls, zip},
        decimal,
        physical::{Column, Physical, column, column_i64, null_vector, vector_of, with_number},
        shift::shifted,
        temporal,
    },
};

/// The operator as it is written.
pub(crate) fn symbol(op: ArithmeticOp) -> char {
    match op {
        ArithmeticOp::Add => '+',
        ArithmeticOp::Subtract => '-',
        ArithmeticOp::Multiply => '*',
        ArithmeticOp::Divide => '/',
        ArithmeticOp::Modulo => '%',
    }
}

/// What a division by zero raises.
pub(crate) fn division_by_zero() -> EngineError {
    EngineError::Value("division by zero".into())
}

/// Arithmetic on two vectors, neither of them constant NULL.
pub(crate) fn arithmetic(
    op: ArithmeticOp,
    left: &Vector,
    right: &Vector,
    rows: usize,
    ty: &LogicalType,
) -> Result<Vector> {
    let (left_ty, right_ty) = (left.ty()?, right.ty()?);
    if left_ty == LogicalType::Null || right_ty == LogicalType::Null {
        return Ok(null_vector(ty, rows));
    }
    if let Some(vector) = shifted(op, left, right, ty) {
        return Ok(vector);
    }
    if matches!(ty, LogicalType::Decimal { .. }) {
        return decimal::arithmetic(op, left, right, rows, ty);
    }
    if left_ty == *ty && right_ty == *ty && ty.is_numeric() {
        return match Physical::of(ty) {
            Physical::I8 => integers::<i8>(op, left, right, rows, ty),
            Physical::I16 => integers::<i16>(op, left, right, rows, ty),
            Physical::I32 => integers::<i32>(op, left, right, rows, ty),
            Physical::I64 => integers::<i64>(op, left, right, rows, ty),
            Physical::U8 => integers::<u8>(op, left, right, rows, ty),
            Physical::U16 => integers::<u16>(op, left, right, rows, ty),
            Physical::U32 => integers::<u32>(op, left, right, rows, ty),
            Physical::U64 => integers::<u64>(op, left, right, rows, ty),
            Physical::F32 => floats::<f32>(op, left, right, rows, ty),
            _ => floats::<f64>(op, left, right, rows, ty),
        };
    }
    temporal::arithmetic(op, left, right, rows, ty)
}

/// Integers with wrapping operations that mark overflow.
pub(crate) trait Integer: ArrowNativeType + Display {
    /// The sum, wrapped, and a mark.
    fn add(self, other: Self) -> (Self, Self);
    /// The difference, wrapped, and a mark.
    fn subtract(self, other: Self) -> (Self, Self);
    /// The product, wrapped, and a mark.
    fn multiply(self, other: Self) -> (Self, Self);
    /// The exact result, `None` when it does not fit or the divisor is zero.
    fn checked(self, op: ArithmeticOp, other: Self) -> Option<Self>;
    /// Marks of several rows together.
    fn join(self, other: Self) -> Self;
    /// Whether a row was marked.
    fn is_marked(self) -> bool;
    /// Whether the value is zero.
    fn is_zero(self) -> bool;
}

macro_rules! integer {
    ($marked:expr, $sum:expr, $difference:expr, $product:expr; $($t:ident as $wide:ident),*) => {$(
        impl Integer for $t {
            fn add(self, other: Self) -> (Self, Self) {
                let result = self.wrapping_add(other);
                (result, $sum(self, other, result))
            }
            fn subtract(self, other: Self) -> (Self, Self) {
                let result = self.wrapping_sub(other);
                (result, $difference(self, other, result))
            }
            fn multiply(self, other: Self) -> (Self, Self) {
                let wide = $wide::from(self).wrapping_mul($wide::from(other));
                #[expect(clippy::allow_attributes, reason = "only some widths truncate")]
                #[allow(clippy::cast_possible_truncation, reason = "the mark says when it lost bits")]
                let result = wide as $t;
                let lost = size_of::<$t>() == size_of::<$wide>() && self.overflowing_mul(other).1;
                (result, $product(lost | (wide != $wide::from(result))))
            }
            fn checked(self, op: ArithmeticOp, other: Self) -> Option<Self> {
                match op {
                    ArithmeticOp::Add => self.checked_add(other),
                    ArithmeticOp::Subtract => self.checked_sub(other),
                    ArithmeticOp::Multiply => self.checked_mul(other),
                    ArithmeticOp::Divide => self.checked_div(other),
                    ArithmeticOp::Modulo => (other != 0).then(|| self.wrapping_rem(other)),
                }
            }
            fn join(self, other: Self) -> Self { self | other }
            fn is_marked(self) -> bool { $marked(self) }
            fn is_zero(self) -> bool { self == 0 }
        }
    )*};
}

// Signed marks live in the sign bit, unsigned marks in the lowest.
integer!(
    |mark| mark < 0, |a, b, r| (a ^ r) & (b ^ r), |a, b, r| (a ^ b) & (a ^ r), |lost| -Self::from(lost);
    i8 as i32, i16 as i32, i32 as i64, i64 as i64
);
integer!(
    |mark| mark != 0, |a, _, r| Self::from(r < a), |a, b, _| Self::from(a < b), Self::from;
    u8 as u32, u16 as u32, u32 as u64, u64 as u64
);

fn integers<T: Integer>(
    op: ArithmeticOp,
    left: &Vector,
    right: &Vector,
    rows: usize,
    ty: &LogicalType,
) -> Result<Vector> {
    let (a, b) = (column::<T>(left)?, column::<T>(right)?);
    let nulls = union_nulls(a.nulls.as_ref(), b.nulls.as_ref());
    let (values, marked) = match op {
        ArithmeticOp::Add => marked(&a, &b, rows, T::add),
        ArithmeticOp::Subtract => marked(&a, &b, rows, T::subtract),
        ArithmeticOp::Multiply => marked(&a, &b, rows, T::multiply),
        ArithmeticOp::Divide | ArithmeticOp::Modulo => divided(op, &a, &b, rows),
    };
    if marked {
        find_overflow(op, &a, &b, rows, nulls.as_ref(), ty)?;
    }
    vector_of(ty, values, nulls)
}

fn marked<T: Integer>(
    a: &Column<T>,
    b: &Column<T>,
    rows: usize,
    f: impl Fn(T, T) -> (T, T),
) -> (Vec<T>, bool) {
    let mut marks = T::default();
    let values = zip(a, b, rows, |a, b| {
        let (value, mark) = f(a, b);
        marks = marks.join(mark);
        value
    });
    (values, marks.is_marked())
}

fn divided<T: Integer>(
    op: ArithmeticOp,
    a: &Column<T>,
    b: &Column<T>,
    rows: usize,
) -> (Vec<T>, bool) {
    let mut failed = false;
    let values = zip(a, b, rows, |a, b| {
        a.checked(op, b).unwrap_or_else(|| {
            failed = true;
            T::default()
        })
    });
    (values, failed)
}

/// The error of the first row, not NULL, that overflows or divides by zero, if there is one.
#[cold]
fn find_overflow<T: Integer>(
    op: ArithmeticOp,
    a: &Column<T>,
    b: &Column<T>,
    rows: usize,
    nulls: Option<&NullBuffer>,
    ty: &LogicalType,
) -> Result<()> {
    for row in (0..rows).filter(|&row| nulls.is_none_or(|nulls| nulls.is_valid(row))) {
        let (a, b) = (a.get(row), b.get(row));
        if a.checked(op, b).is_none() {
            if b.is_zero() && matches!(op, ArithmeticOp::Divide | ArithmeticOp::Modulo) {
                return Err(division_by_zero());
            }
            return Err(EngineError::Value(format!(
                "overflow: {a} {} {b} does not fit {ty}; cast an operand to {}",
                symbol(op),
                wider(ty)
            )));
        }
    }
    Ok(())
}

fn wider(ty: &LogicalType) -> &'static str {
    match ty {
        LogicalType::Int8 | LogicalType::UInt8 => "SMALLINT",
        LogicalType::Int16 | LogicalType::UInt16 => "INTEGER",
        LogicalType::Int32 | LogicalType::UInt32 => "BIGINT",
        _ => "DECIMAL(38,0)",
    }
}

fn floats<T>(
    op: ArithmeticOp,
    left: &Vector,
    right: &Vector,
    rows: usize,
    ty: &LogicalType,
) -> Result<Vector>
where
    T: ArrowNativeType
        + std::ops::Add<Output = T>
        + std::ops::Sub<Output = T>
        + std::ops::Mul<Output = T>
        + std::ops::Div<Output = T>
        + std::ops::Rem<Output = T>,
{
    let (a, b) = (column::<T>(left)?, column::<T>(right)?);
    match op {
        ArithmeticOp::Add => binary(&a, &b, rows, ty, |a, b| a + b),
        ArithmeticOp::Subtract => binary(&a, &b, rows, ty, |a, b| a - b),
        ArithmeticOp::Multiply => binary(&a, &b, rows, ty, |a, b| a * b),
        ArithmeticOp::Divide => binary(&a, &b, rows, ty, |a, b| a / b),
        ArithmeticOp::Modulo => binary(&a, &b, rows, ty, |a, b| a % b),
    }
}

/// Unary minus on a vector that is not constant NULL.
pub(crate) fn negate(input: &Vector, rows: usize) -> Result<Vector> {
    let ty = input.ty()?;
    let overflow =
        |value: &dyn Display| EngineError::Value(format!("overflow: -({value}) does not fit {ty}"));
    macro_rules! signed {
        ($t:ty) => {{
            let a = column::<$t>(input)?;
            if !a.values.contains(&<$t>::MIN) {
                return unary(&a, rows, &ty, |value| value.wrapping_neg());
            }
            fallible(rows, &ty, a.nulls.clone(), |row| {
                a.get(row).checked_neg().ok_or_else(|| overflow(&a.get(row)))
            })
        }};
    }
    match Physical::of(&ty) {
        Physical::F32 => unary(&column::<f32>(input)?, rows, &ty, |value| -value),
        Physical::F64 => unary(&column::<f64>(input)?, rows, &ty, |value| -value),
        Physical::I8 => signed!(i8),
        Physical::I16 => signed!(i16),
        Physical::I32 => signed!(i32),
        Physical::I64 => signed!(i64),
        Physical::I128 => match input {
            Vector::Narrow(_) => {
                let a = column_i64(input)?;
                if a.values.contains(&i64::MIN) {
                    return unary(&column::<i128>(input)?, rows, &ty, |value| -value);
                }
                let values = map(&a, rows, |value| value.wrapping_neg());
                let array = arrow::array::Int64Array::new(values.into(), a.nulls);
                Ok(Vector::Narrow(NarrowVector::from_i64(ty, array)))
            }
            _ => unary(&column::<i128>(input)?, rows, &ty, |value| value.wrapping_neg()),
        },
        Physical::Interval => {
            let a = column::<IntervalMonthDayNano>(input)?;
            fallible(rows, &ty, a.nulls.clone(), |row| {
                temporal::negate_interval(a.get(row)).ok_or_else(|| overflow(&"interval"))
            })
        }
        physical => with_number!(physical, T => {
            let a = column::<T>(input)?;
            fallible(rows, &ty, a.nulls.clone(), |row| match a.get(row) {
                value if value == T::default() => Ok(value),
                value => Err(overflow(&value)),
            })
        }, _ => Err(EngineError::Unsupported(format!("unary minus on {ty}")))),
    }
}
