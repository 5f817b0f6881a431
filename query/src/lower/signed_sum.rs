//! Long chains of `+` and `-` as shallow trees.
//!
//! Invariants: neighbours are added first, in the order of the text; exact numbers are added in a type that holds every
//! partial sum of 10,000 terms, and checked once at the end, so that an order of addition neither makes nor hides an
//! overflow of the result.

use stoadb_engine::expr::{ArithmeticOp, Expr};
use stoadb_storage::LogicalType;

use super::coerce;
use crate::error::{Error, Result};

/// The sum of terms, the first argument being the text of their signs, of which the first is `+`.
pub(super) fn signed_sum(args: Vec<Expr>, ty: &LogicalType) -> Result<Expr> {
    let mut args = args.into_iter();
    let Some(Expr::Literal(signs)) = args.next() else {
        return Err(Error::internal("a sum without signs"));
    };
    let wide = wide(ty);
    let signs = signs.as_str().unwrap_or_default().chars().map(|sign| sign == '-');
    let mut terms: Vec<(Expr, bool)> =
        args.map(|term| coerce::cast(term, &wide)).zip(signs).collect();
    while terms.len() > 1 {
        let mut rest = terms.into_iter();
        let mut pairs = Vec::with_capacity(rest.len().div_ceil(2));
        while let Some(left) = rest.next() {
            pairs.push(match rest.next() {
                Some(right) => pair(left, right, &wide),
                None => left,
            });
        }
        terms = pairs;
    }
    match terms.pop() {
        Some((sum, false)) => Ok(coerce::cast(sum, ty)),
        _ => Err(Error::internal("a sum whose first sign is a minus")),
    }
}

/// Two parts of a sum as one of the first one's sign.
fn pair(
    (left, minus): (Expr, bool),
    (right, other): (Expr, bool),
    ty: &LogicalType,
) -> (Expr, bool) {
    let op = if minus == other { ArithmeticOp::Add } else { ArithmeticOp::Subtract };
    let (left, right) = (Box::new(left), Box::new(right));
    (Expr::Arithmetic { op, left, right, ty: ty.clone() }, minus)
}

fn wide(ty: &LogicalType) -> LogicalType {
    use LogicalType as L;
    match ty {
        L::Int8 | L::Int16 | L::Int32 | L::UInt8 | L::UInt16 | L::UInt32 => L::Int64,
        L::Int64 | L::UInt64 => L::Decimal { precision: 38, scale: 0 },
        L::Decimal { scale, .. } => L::Decimal { precision: 38, scale: *scale },
        other => other.clone(),
    }
}
