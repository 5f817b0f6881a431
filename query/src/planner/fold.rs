//! Constant arithmetic that the library would get wrong: integers that overflow, numbers that are cast to integers.
//!
//! Why: the library folds constants with wrapping integers and truncating casts; the engine checks and rounds.
//! Decimals round half away from zero, floats half to even, as PostgreSQL does.
//! Invariant: what is folded here gives what the engine's kernels give.

use arrow::datatypes::DataType;
use datafusion_common::{
    DataFusionError, Result, ScalarValue,
    tree_node::{Transformed, TreeNode},
};
use datafusion_expr::{
    BinaryExpr, Expr, LogicalPlan, Operator, expr::Cast, expr_rewriter::NamePreserver,
};

use crate::error::{Error, ErrorKind};

/// Folds the constants of a typed plan.
///
/// # Errors
/// `Value` when a constant overflows its type.
pub fn fold(plan: LogicalPlan) -> Result<LogicalPlan> {
    let folded = plan.transform_up_with_subqueries(|plan| {
        let names = NamePreserver::new(&plan);
        plan.map_expressions(|expr| {
            let name = names.save(&expr);
            Ok(expr.transform_up(fold_node)?.update_data(|expr| name.restore(expr)))
        })
    })?;
    Ok(folded.data)
}

fn fold_node(expr: Expr) -> Result<Transformed<Expr>> {
    let folded = match &expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match (left.as_ref(), right.as_ref()) {
            (Expr::Literal(left, _), Expr::Literal(right, _)) => arithmetic(left, *op, right)?,
            _ => None,
        },
        Expr::Cast(Cast { expr, field }) => match expr.as_ref() {
            Expr::Literal(value, _) if field.data_type().is_integer() => {
                rounded(value, field.data_type())?
            }
            _ => None,
        },
        Expr::Negative(inner) => match inner.as_ref() {
            Expr::Literal(value, _) if value.data_type().is_integer() => {
                let ty = value.data_type();
                integer(value).map(|n| fit(-n, &ty, "-")).transpose()?
            }
            _ => None,
        },
        _ => None,
    };
    Ok(match folded {
        Some(value) => Transformed::yes(Expr::Literal(value, None)),
        None => Transformed::no(expr),
    })
}

fn integer(value: &ScalarValue) -> Option<i128> {
    Some(match value {
        ScalarValue::Int8(Some(n)) => i128::from(*n),
        ScalarValue::Int16(Some(n)) => i128::from(*n),
        ScalarValue::Int32(Some(n)) => i128::from(*n),
        ScalarValue::Int64(Some(n)) => i128::from(*n),
        ScalarValue::UInt8(Some(n)) => i128::from(*n),
        ScalarValue::UInt16(Some(n)) => i128::from(*n),
        ScalarValue::UInt32(Some(n)) => i128::from(*n),
        ScalarValue::UInt64(Some(n)) => i128::from(*n),
        _ => return None,
    })
}

fn out_of_range(what: &str, ty: &DataType) -> DataFusionError {
    let ty = stoadb_storage::LogicalType::from_arrow(ty)
        .map_or_else(|_| ty.to_string(), |ty| ty.to_string());
    let error = Error::new(ErrorKind::Value, format!("{what} is out of the range of {ty}"));
    DataFusionError::External(Box::new(error))
}

fn fit(value: i128, ty: &DataType, what: &str) -> Result<ScalarValue> {
    let literal = match ty {
        DataType::Int8 => i8::try_from(value).ok().map(|n| ScalarValue::Int8(Some(n))),
        DataType::Int16 => i16::try_from(value).ok().map(|n| ScalarValue::Int16(Some(n))),
        DataType::Int32 => i32::try_from(value).ok().map(|n| ScalarValue::Int32(Some(n))),
        DataType::Int64 => i64::try_from(value).ok().map(|n| ScalarValue::Int64(Some(n))),
        DataType::UInt8 => u8::try_from(value).ok().map(|n| ScalarValue::UInt8(Some(n))),
        DataType::UInt16 => u16::try_from(value).ok().map(|n| ScalarValue::UInt16(Some(n))),
        DataType::UInt32 => u32::try_from(value).ok().map(|n| ScalarValue::UInt32(Some(n))),
        DataType::UInt64 => u64::try_from(value).ok().map(|n| ScalarValue::UInt64(Some(n))),
        _ => None,
    };
    literal.ok_or_else(|| out_of_range(what, ty))
}

fn arithmetic(
    left: &ScalarValue,
    op: Operator,
    right: &ScalarValue,
) -> Result<Option<ScalarValue>> {
    let ty = left.data_type();
    let (Some(l), Some(r)) = (integer(left), integer(right)) else { return Ok(None) };
    if ty != right.data_type() {
        return Ok(None);
    }
    let value = match op {
        Operator::Plus => l + r,
        Operator::Minus => l - r,
        Operator::Multiply => match l.checked_mul(r) {
            Some(product) => product,
            None => return Err(out_of_range(&format!("{l} * {r}"), &ty)),
        },
        // A division by zero stays: it fails only if a row reaches it.
        Operator::Divide if r != 0 => l / r,
        Operator::Modulo if r != 0 => l % r,
        _ => return Ok(None),
    };
    fit(value, &ty, &format!("{l} {op} {r}")).map(Some)
}

/// A number with a fraction as an integer.
fn rounded(value: &ScalarValue, ty: &DataType) -> Result<Option<ScalarValue>> {
    let whole = match value {
        ScalarValue::Decimal128(Some(unscaled), _, scale) => {
            let Ok(scale) = u32::try_from(*scale) else { return Ok(None) };
            let Some(unit) = 10_i128.checked_pow(scale) else { return Ok(None) };
            let (whole, rest) = (unscaled / unit, unscaled % unit);
            let up = rest.abs() >= unit - rest.abs();
            if scale > 0 && up { whole + unscaled.signum() } else { whole }
        }
        ScalarValue::Float64(Some(number)) => float(*number, ty)?,
        ScalarValue::Float32(Some(number)) => float(f64::from(*number), ty)?,
        _ => return Ok(None),
    };
    fit(whole, ty, &value.to_string()).map(Some)
}

fn float(number: f64, ty: &DataType) -> Result<i128> {
    let rounded = number.round_ties_even();
    // Far outside of every integer type there is nothing to convert; NaN fails the comparison too.
    if rounded.abs() < 1e20 {
        #[expect(clippy::cast_possible_truncation, reason = "checked above")]
        return Ok(rounded as i128);
    }
    Err(out_of_range(&number.to_string(), ty))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cast(value: ScalarValue, ty: DataType) -> Option<ScalarValue> {
        rounded(&value, &ty).ok().flatten()
    }

    #[test]
    fn test_casts_round() {
        let decimal = |n, scale| ScalarValue::Decimal128(Some(n), 20, scale);
        let int = |n| Some(ScalarValue::Int32(Some(n)));
        for (unscaled, scale, expected) in [
            (15, 1, 2),
            (14, 1, 1),
            (-15, 1, -2),
            (-14, 1, -1),
            (7, 0, 7),
            (25, 1, 3),
            (49, 2, 0),
            (-50, 2, -1),
        ] {
            assert_eq!(
                cast(decimal(unscaled, scale), DataType::Int32),
                int(expected),
                "{unscaled}"
            );
        }
        for (number, expected) in [(2.5, 2), (3.5, 4), (-2.5, -2), (0.49, 0)] {
            assert_eq!(cast(ScalarValue::from(number), DataType::Int32), int(expected), "{number}");
        }
        assert!(rounded(&ScalarValue::from(f64::NAN), &DataType::Int32).is_err());
        assert!(rounded(&ScalarValue::from(1e300), &DataType::Int64).is_err());
        assert!(rounded(&ScalarValue::from(3e9), &DataType::Int32).is_err());
    }

    #[test]
    fn test_integers_are_checked() {
        let int = |n| ScalarValue::Int64(Some(n));
        let value = arithmetic(&int(i64::MAX), Operator::Minus, &int(1)).unwrap();
        assert_eq!(value, Some(int(i64::MAX - 1)));
        assert!(arithmetic(&int(i64::MAX), Operator::Plus, &int(1)).is_err());
        assert!(arithmetic(&int(i64::MIN), Operator::Divide, &int(-1)).is_err());
        assert_eq!(arithmetic(&int(1), Operator::Divide, &int(0)).unwrap(), None);
        assert_eq!(arithmetic(&int(-7), Operator::Divide, &int(2)).unwrap(), Some(int(-3)));
    }
}
