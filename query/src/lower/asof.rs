//! The condition of an ASOF join: equalities, one inequality between the two sides, and what only one side tells.
//!
//! Invariant: what only the right side tells is asked before the nearest row is chosen, what only the left side tells
//! keeps a left row from having one. Next: `join.rs`.

use datafusion_common::JoinType;
use stoadb_engine::{
    Expr,
    expr::CompareOp,
    plan::{JoinKey, NearestKey, Plan},
};

use super::{
    expr::and,
    join::{Side, key_of, side},
};
use crate::error::{Error, ErrorKind, Result};

/// The condition taken apart.
pub(super) struct Parts {
    /// The equalities.
    pub(super) keys: Vec<JoinKey>,
    /// The inequality.
    pub(super) nearest: NearestKey,
    /// Over the left columns.
    pub(super) left: Vec<Expr>,
    /// Over the right columns, counted from the first of these.
    pub(super) right: Vec<Expr>,
}

fn wrong(message: &str) -> Error {
    Error::new(ErrorKind::Syntax, format!("an ASOF JOIN takes {message}"))
        .with_hint("for example ON a.key = b.key AND a.time >= b.time")
}

/// Takes conditions over the columns of both sides apart.
///
/// # Errors
/// `Syntax` when there is not one inequality between the sides, or a condition of another kind between them.
pub(super) fn parts(conditions: Vec<Expr>, width: usize) -> Result<Parts> {
    let (mut keys, mut nearest, mut left, mut right) = (vec![], None, vec![], vec![]);
    for condition in conditions {
        let mut condition = match key_of(condition, width) {
            Ok(key) => {
                keys.push(key);
                continue;
            }
            Err(condition) => condition,
        };
        if let Some(key) = inequality(&condition, width) {
            if nearest.replace(key).is_some() {
                return Err(wrong("one inequality between its two sides, not several"));
            }
            continue;
        }
        match side(&condition, width) {
            Some(Side::Left) => left.push(condition),
            Some(Side::Right) => {
                condition.map_columns(&mut |index| index - width);
                right.push(condition);
            }
            None => return Err(wrong("equalities and one inequality (>=, >, <= or <)")),
        }
    }
    match nearest {
        Some(nearest) => Ok(Parts { keys, nearest, left, right }),
        None => Err(wrong("one inequality between its two sides")),
    }
}

fn inequality(condition: &Expr, width: usize) -> Option<NearestKey> {
    let Expr::Compare { op, left, right } = condition else { return None };
    let turned = match op {
        CompareOp::GtEq => CompareOp::LtEq,
        CompareOp::Gt => CompareOp::Lt,
        CompareOp::LtEq => CompareOp::GtEq,
        CompareOp::Lt => CompareOp::Gt,
        _ => return None,
    };
    let (ours, mut theirs, op) = match (side(left, width)?, side(right, width)?) {
        (Side::Left, Side::Right) => (left.as_ref().clone(), right.as_ref().clone(), *op),
        (Side::Right, Side::Left) => (right.as_ref().clone(), left.as_ref().clone(), turned),
        _ => return None,
    };
    theirs.map_columns(&mut |index| index - width);
    Some(NearestKey { left: ours, right: theirs, op })
}

/// The right side with the rows that meet its own conditions.
///
/// # Errors
/// `Unsupported` where its other rows are in the answer, too.
pub(super) fn before(right: Plan, conditions: Vec<Expr>, kind: JoinType) -> Result<Plan> {
    if conditions.is_empty() {
        return Ok(right);
    }
    if !matches!(kind, JoinType::Inner | JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti) {
        return Err(Error::unsupported("a condition on the right side alone in ASOF RIGHT JOIN"));
    }
    Ok(Plan::Filter { input: Box::new(right), predicate: and(conditions) })
}
