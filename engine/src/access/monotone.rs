//! Expressions of one column that never give a value again once they gave another one, the column ascending.
//!
//! Invariant: each either never falls or never rises with its column, NaN after everything else, and fails for a value
//! between two others only if it fails for one of these; NULL gives NULL.
//! Next: `buckets.rs`.

use stoadb_storage::{LogicalType, Scalar};

use crate::expr::{ArithmeticOp, Expr};

/// What `date_trunc` cuts to; each lies within the next, but for weeks, which lie in order all the same.
const UNITS: [&str; 13] = [
    "microsecond",
    "millisecond",
    "second",
    "minute",
    "hour",
    "day",
    "week",
    "month",
    "quarter",
    "year",
    "decade",
    "century",
    "millennium",
];

/// The input column of such an expression.
pub(super) fn monotone(expr: &Expr) -> Option<usize> {
    match expr {
        // Equal intervals may be written in several ways, of which the key knows one.
        Expr::Column { index, ty } => (*ty != LogicalType::Interval).then_some(*index),
        Expr::Negate(input) if input.ty().is_numeric() => monotone(input),
        Expr::Cast { input, ty, or_null: false } => {
            let from = input.ty();
            let kept = from.is_numeric() && ty.is_numeric() || is_moment(&from) && is_moment(ty);
            monotone(input).filter(|_| kept)
        }
        Expr::Arithmetic { op, left, right, ty } if ty.is_numeric() => {
            let input = match (&**left, &**right) {
                (input, Expr::Literal(value)) if is_factor(value) => input,
                (Expr::Literal(value), input)
                    if is_factor(value) && *op != ArithmeticOp::Divide =>
                {
                    input
                }
                _ => return None,
            };
            let numeric = input.ty().is_numeric() && *op != ArithmeticOp::Modulo;
            monotone(input).filter(|_| numeric)
        }
        Expr::Call { function, args, .. } => match (&**function, args.as_slice()) {
            ("floor" | "ceil" | "ceiling" | "round" | "trunc", [input])
                if input.ty().is_numeric() =>
            {
                monotone(input)
            }
            ("date_trunc" | "datetrunc", [Expr::Literal(unit), input])
                if is_moment(&input.ty()) =>
            {
                let unit = unit.as_str()?.trim().to_ascii_lowercase();
                monotone(input).filter(|_| UNITS.contains(&unit.trim_end_matches('s')))
            }
            ("time_bucket" | "date_bin", [Expr::Literal(width), input, rest @ ..])
                if is_moment(&input.ty()) =>
            {
                let constant = |arg: &Expr| matches!(arg, Expr::Literal(value) if !value.is_null());
                monotone(input).filter(|_| !width.is_null() && rest.iter().all(constant))
            }
            _ => None,
        },
        _ => None,
    }
}

/// A date or a timestamp of no time zone, whose rules might turn the clock back.
fn is_moment(ty: &LogicalType) -> bool {
    matches!(ty, LogicalType::Date | LogicalType::Timestamp(_, None))
}

/// A number that arithmetic with keeps the order, or turns it.
fn is_factor(value: &Scalar) -> bool {
    match value.as_f64() {
        Some(value) => value.is_finite() && value != 0.0,
        None => value.as_i128().is_some_and(|value| value != 0) && value.ty().is_numeric(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn call(function: &str, args: Vec<Expr>, ty: LogicalType) -> Expr {
        Expr::Call { function: Arc::from(function), args, ty }
    }

    #[test]
    fn test_what_keeps_order_is_told_from_what_does_not() {
        let column = |ty: LogicalType| Expr::column(3, ty);
        let whole = || column(LogicalType::Int64);
        let number = |value: i64| Expr::Literal(Scalar::int64(value));
        let arithmetic = |op, left: Expr, right: Expr| Expr::Arithmetic {
            op,
            left: Box::new(left),
            right: Box::new(right),
            ty: LogicalType::Int64,
        };
        let unit = |unit: &str| Expr::Literal(Scalar::text(unit));
        let day = || column(LogicalType::Date);
        let zoned = LogicalType::Timestamp(
            stoadb_storage::TimeUnit::Microsecond,
            Some("Europe/Berlin".into()),
        );
        let kept = [
            whole(),
            arithmetic(ArithmeticOp::Divide, whole(), number(10)),
            arithmetic(ArithmeticOp::Divide, whole(), number(-10)),
            arithmetic(ArithmeticOp::Subtract, number(7), whole()),
            Expr::Negate(Box::new(whole())),
            call("floor", vec![column(LogicalType::Float64)], LogicalType::Float64),
            call("date_trunc", vec![unit(" Months"), day()], LogicalType::Date),
        ];
        for expr in kept {
            assert_eq!(monotone(&expr), Some(3), "{expr:?}");
        }
        let other = [
            number(1),
            arithmetic(ArithmeticOp::Divide, number(10), whole()),
            arithmetic(ArithmeticOp::Divide, whole(), number(0)),
            arithmetic(ArithmeticOp::Multiply, whole(), number(0)),
            arithmetic(ArithmeticOp::Modulo, whole(), number(10)),
            arithmetic(ArithmeticOp::Add, whole(), whole()),
            arithmetic(ArithmeticOp::Add, whole(), Expr::Literal(Scalar::null(LogicalType::Int64))),
            call("abs", vec![whole()], LogicalType::Int64),
            call("date_trunc", vec![unit("dow"), day()], LogicalType::Date),
            call("date_trunc", vec![unit("day"), column(zoned.clone())], zoned),
            column(LogicalType::Interval),
        ];
        for expr in other {
            assert_eq!(monotone(&expr), None, "{expr:?}");
        }
    }
}
