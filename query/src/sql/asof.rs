//! ASOF joins: of the right rows on one side of a moment the nearest one.
//!
//! How: the whole condition becomes the argument of a function of a name that is ours, in an ordinary join. No rule looks
//! into it; `lower/asof.rs` takes it apart when every column is known.
//! Invariant: `global` marks an ASOF join until its condition is ON.

use datafusion_sql::sqlparser::ast::{
    BinaryOperator, Expr, Join, JoinConstraint, JoinOperator, Select, Spanned,
};

use crate::{
    error::{Error, ErrorKind, Result},
    planner::ASOF,
    sql::{calls::call_of, names::constraint_mut, parse::place},
};

/// Marks the conditions of the ASOF joins of a query.
///
/// # Errors
/// `Syntax` for an ASOF join without a condition.
pub fn rewrite(select: &mut Select) -> Result<()> {
    select.from.iter_mut().flat_map(|table| &mut table.joins).try_for_each(one)
}

fn one(join: &mut Join) -> Result<()> {
    if let JoinOperator::AsOf { match_condition, constraint } = &join.join_operator {
        let condition = match constraint {
            JoinConstraint::On(keys) => Expr::BinaryOp {
                left: Box::new(Expr::Nested(Box::new(keys.clone()))),
                op: BinaryOperator::And,
                right: Box::new(match_condition.clone()),
            },
            JoinConstraint::None => match_condition.clone(),
            _ => return Err(Error::unsupported("MATCH_CONDITION with USING (write ON)")),
        };
        // As where it comes from: a left row without a match is kept.
        join.join_operator = JoinOperator::LeftOuter(JoinConstraint::On(marked(condition)));
        return Ok(());
    }
    if !join.global {
        return Ok(());
    }
    let span = place(join.relation.span());
    match constraint_mut(&mut join.join_operator) {
        Some(JoinConstraint::On(condition)) => {
            join.global = false;
            *condition = marked(condition.clone());
            Ok(())
        }
        Some(JoinConstraint::Using(_)) => Ok(()),
        _ => Err(Error::new(ErrorKind::Syntax, "an ASOF JOIN needs ON or USING").or_span(span)),
    }
}

/// The condition of an ASOF join for the planner.
pub fn marked(condition: Expr) -> Expr {
    call_of(ASOF, vec![condition])
}

/// The equality of USING's last column as what it means in an ASOF join.
pub fn at_or_before(left: Expr, right: Expr) -> Expr {
    Expr::BinaryOp { left: Box::new(left), op: BinaryOperator::GtEq, right: Box::new(right) }
}
