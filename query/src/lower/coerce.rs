//! Types brought together: the engine wants comparisons between equal types and arithmetic in the result's type.
//!
//! Invariant: a conversion is inserted only where the types differ; encodings of one logical type never differ here.

use arrow::{array::AsArray, datatypes::IntervalMonthDayNanoType};
use datafusion_expr::{
    Operator,
    type_coercion::binary::{BinaryTypeCoercer, comparison_coercion},
};
use stoadb_engine::expr::{ArithmeticOp, CompareOp, Expr};
use stoadb_storage::{LogicalType, Scalar, types::TimeUnit};

use super::literal::fold_exactly;
use crate::error::{Error, ErrorKind, Result};

/// The expression in a type; itself if it has it.
pub(crate) fn cast(expr: Expr, ty: &LogicalType) -> Expr {
    convert(expr, ty, false)
}

/// A conversion that gives an error, or NULL if `or_null`, for values that do not fit; the expression itself if it has
/// the type.
pub(super) fn convert(expr: Expr, ty: &LogicalType, or_null: bool) -> Expr {
    if expr.ty() == *ty {
        return expr;
    }
    if let Expr::Literal(value) = &expr
        && let Some(value) = fold_exactly(value, ty)
    {
        return Expr::Literal(value);
    }
    Expr::Cast { input: Box::new(expr), ty: ty.clone(), or_null }
}

/// A boolean; a bare NULL becomes a boolean NULL.
pub(super) fn boolean(expr: Expr) -> Result<Expr> {
    match expr.ty() {
        LogicalType::Boolean => Ok(expr),
        LogicalType::Null => Ok(Expr::Literal(Scalar::null(LogicalType::Boolean))),
        ty => Err(Error::new(ErrorKind::Type, format!("a condition must be a boolean, not {ty}"))),
    }
}

/// The type in which values of two types are compared.
pub(super) fn common_type(left: &LogicalType, right: &LogicalType) -> Result<LogicalType> {
    use LogicalType::{Decimal, Null};
    match (left, right) {
        (left, right) if left == right => Ok(left.clone()),
        (Null, other) | (other, Null) => Ok(other.clone()),
        (Decimal { precision: p1, scale: s1 }, Decimal { precision: p2, scale: s2 }) => {
            let scale = *s1.max(s2);
            let whole = |precision: &u8, scale: &i8| i16::from(*precision) - i16::from(*scale);
            let digits = whole(p1, s1).max(whole(p2, s2)) + i16::from(scale);
            Ok(Decimal { precision: u8::try_from(digits.clamp(1, 38)).unwrap_or(38), scale })
        }
        (left, right) => match comparison_coercion(&left.to_arrow(), &right.to_arrow()) {
            Some(ty) => Ok(LogicalType::from_arrow(&ty)?),
            None => {
                let message = format!("values of type {left} and {right} cannot be compared");
                Err(Error::new(ErrorKind::Type, message))
            }
        },
    }
}

/// Both expressions in the type in which they are compared.
pub(super) fn unify(left: Expr, right: Expr) -> Result<(Expr, Expr)> {
    let ty = common_type(&left.ty(), &right.ty())?;
    Ok((cast(left, &ty), cast(right, &ty)))
}

/// A comparison of operands of any two comparable types.
pub(super) fn compare(op: CompareOp, left: Expr, right: Expr) -> Result<Expr> {
    let (left, right) = unify(left, right)?;
    Ok(Expr::Compare { op, left: Box::new(left), right: Box::new(right) })
}

/// Arithmetic: the library's rules give the result's type.
pub(super) fn arithmetic(op: ArithmeticOp, left: Expr, right: Expr) -> Result<Expr> {
    let (left, right) = (whole_days(left, &right), right);
    let (right, left) = (whole_days(right, &left), left);
    let (left_ty, right_ty) = (left.ty(), right.ty());
    let ty = match (&left_ty, &right_ty, op) {
        // The library takes days for an interval; the engine takes them as they are.
        (LogicalType::Date, days, ArithmeticOp::Add | ArithmeticOp::Subtract)
            if days.is_integer() =>
        {
            LogicalType::Date
        }
        (days, LogicalType::Date, ArithmeticOp::Add) if days.is_integer() => LogicalType::Date,
        _ => result_type(op, &left_ty, &right_ty)?,
    };
    let plain = ty.is_integer() || ty.is_float();
    let bring = |expr: Expr| match expr.ty() {
        operand if plain && operand.is_numeric() => cast(expr, &ty),
        LogicalType::Null => cast(expr, &ty),
        operand if matches!(ty, LogicalType::Decimal { .. }) && operand.is_integer() => {
            cast(expr, &decimal_of(&operand))
        }
        _ => expr,
    };
    let (left, right) = (Box::new(bring(left)), Box::new(bring(right)));
    Ok(Expr::Arithmetic { op, left, right, ty })
}

/// The quotient of decimals or integers in a decimal type.
pub(super) fn quotient(left: Expr, right: Expr, ty: LogicalType) -> Expr {
    let bring = |expr: Expr| match expr.ty() {
        LogicalType::Null => cast(expr, &ty),
        operand if operand.is_integer() => cast(expr, &decimal_of(&operand)),
        _ => expr,
    };
    let (left, right) = (Box::new(bring(left)), Box::new(bring(right)));
    Expr::Arithmetic { op: ArithmeticOp::Divide, left, right, ty }
}

fn result_type(op: ArithmeticOp, left: &LogicalType, right: &LogicalType) -> Result<LogicalType> {
    let op = match op {
        ArithmeticOp::Add => Operator::Plus,
        ArithmeticOp::Subtract => Operator::Minus,
        ArithmeticOp::Multiply => Operator::Multiply,
        ArithmeticOp::Divide => Operator::Divide,
        ArithmeticOp::Modulo => Operator::Modulo,
    };
    let (lhs, rhs) = (left.to_arrow(), right.to_arrow());
    let ty = BinaryTypeCoercer::new(&lhs, &op, &rhs).get_result_type().map_err(|_| {
        let message = format!("there is no operator {left} {op} {right}");
        Error::new(ErrorKind::Type, message).with_hint("CAST an operand")
    })?;
    Ok(LogicalType::from_arrow(&ty)?)
}

/// The planner turns the integer in `date + 5` into an interval of as many seconds; the engine wants the integer.
fn whole_days(expr: Expr, other: &Expr) -> Expr {
    if other.ty() != LogicalType::Date {
        return expr;
    }
    match &expr {
        Expr::Cast { input, ty: LogicalType::Interval, .. } => {
            let seconds = match &**input {
                Expr::Cast { input, ty: LogicalType::Duration(TimeUnit::Second), .. } => input,
                _ => input,
            };
            match &**seconds {
                Expr::Arithmetic { op: ArithmeticOp::Multiply, left, right, .. }
                    if left.ty().is_integer() && is_seconds_of_day(right) =>
                {
                    (**left).clone()
                }
                _ => expr,
            }
        }
        Expr::Literal(value) => match days(value) {
            Some(days) => Expr::Literal(Scalar::int64(days)),
            None => expr,
        },
        _ => expr,
    }
}

const SECONDS_OF_DAY: i64 = 86_400;

fn is_seconds_of_day(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(value) if value.as_i128() == Some(i128::from(SECONDS_OF_DAY)))
}

/// The days of an interval that is a whole number of them.
fn days(value: &Scalar) -> Option<i64> {
    const NANOS_OF_DAY: i64 = SECONDS_OF_DAY * 1_000_000_000;
    if *value.ty() != LogicalType::Interval || value.is_null() {
        return None;
    }
    let interval = value.array().as_primitive_opt::<IntervalMonthDayNanoType>()?.value(0);
    let whole = interval.months == 0 && interval.nanoseconds % NANOS_OF_DAY == 0;
    whole.then(|| i64::from(interval.days) + interval.nanoseconds / NANOS_OF_DAY)
}

/// A decimal that holds every value of an integer type.
fn decimal_of(ty: &LogicalType) -> LogicalType {
    let precision = match ty {
        LogicalType::Int8 | LogicalType::UInt8 => 3,
        LogicalType::Int16 | LogicalType::UInt16 => 5,
        LogicalType::Int32 | LogicalType::UInt32 => 10,
        LogicalType::Int64 => 19,
        _ => 20,
    };
    LogicalType::Decimal { precision, scale: 0 }
}

/// The comparison that is TRUE where `op` is FALSE, and NULL where it is. Values of one type are totally ordered, NaN
/// included.
pub(super) fn negated(op: CompareOp) -> CompareOp {
    match op {
        CompareOp::Eq => CompareOp::NotEq,
        CompareOp::NotEq => CompareOp::Eq,
        CompareOp::Lt => CompareOp::GtEq,
        CompareOp::LtEq => CompareOp::Gt,
        CompareOp::Gt => CompareOp::LtEq,
        CompareOp::GtEq => CompareOp::Lt,
        CompareOp::Distinct => CompareOp::NotDistinct,
        CompareOp::NotDistinct => CompareOp::Distinct,
    }
}

/// The comparison with its operands exchanged.
pub(crate) fn swapped(op: CompareOp) -> CompareOp {
    match op {
        CompareOp::Lt => CompareOp::Gt,
        CompareOp::LtEq => CompareOp::GtEq,
        CompareOp::Gt => CompareOp::Lt,
        CompareOp::GtEq => CompareOp::LtEq,
        other => other,
    }
}
