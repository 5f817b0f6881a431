//! Which share of rows a condition keeps.
//!
//! Invariant: shares lie between 0 and 1; ranges over one column are intersected, not multiplied.

use stoadb_engine::{Expr, expr::CompareOp};

use super::cardinality::{ColumnEstimate, Estimate, number};
use crate::lower::swapped;

/// Shares of conditions of which nothing better is known.
const RANGE: f64 = 1.0 / 3.0;
const LIKE: f64 = 0.1;
const NULLS: f64 = 0.05;
const OTHER: f64 = 1.0 / 3.0;
const EQUAL: f64 = 0.1;

/// A column that is compared with constants has seldom more values than this, unless statistics say so.
const CATEGORIES: f64 = 25.0;

/// The rows that satisfy all conditions.
pub(super) fn apply(mut estimate: Estimate, conditions: &[Expr]) -> Estimate {
    let mut share = 1.0;
    let mut narrowed: Vec<(usize, ColumnEstimate)> = Vec::new();
    for condition in conditions {
        match bound(condition, &estimate) {
            Some((column, low, high)) => {
                narrowed.push((column, estimate.columns[column].clone()));
                narrow(&mut estimate.columns[column], low, high);
            }
            None => share *= chance(condition, &estimate),
        }
    }
    narrowed.sort_by_key(|(column, _)| *column);
    narrowed.dedup_by_key(|(column, _)| *column);
    for (column, before) in narrowed {
        share *= remaining(&before, &mut estimate.columns[column]);
    }
    for condition in conditions {
        pin(condition, &mut estimate);
    }
    if estimate.rows > 0.0 {
        estimate.rows = (estimate.rows * share).max(1.0);
    }
    estimate.settle()
}

/// A comparison of a column whose range is known with a constant: the values that it allows.
fn bound(condition: &Expr, estimate: &Estimate) -> Option<(usize, f64, f64)> {
    let Expr::Compare { op, left, right } = condition else { return None };
    let (op, column, value) = match (&**left, &**right) {
        (Expr::Column { index, .. }, Expr::Literal(value)) => (*op, *index, value),
        (Expr::Literal(value), Expr::Column { index, .. }) => (swapped(*op), *index, value),
        _ => return None,
    };
    let known = &estimate.columns[column];
    known.range?;
    let value = number(value)?;
    let step = if known.whole { 1.0 } else { 0.0 };
    match op {
        CompareOp::Lt => Some((column, f64::NEG_INFINITY, value - step)),
        CompareOp::LtEq => Some((column, f64::NEG_INFINITY, value)),
        CompareOp::Gt => Some((column, value + step, f64::INFINITY)),
        CompareOp::GtEq => Some((column, value, f64::INFINITY)),
        _ => None,
    }
}

fn narrow(column: &mut ColumnEstimate, low: f64, high: f64) {
    if let Some((from, to)) = &mut column.range {
        *from = from.max(low);
        *to = to.min(high);
    }
}

/// The share of a column's values that its narrowed range keeps. An empty range is undone, but keeps nothing.
fn remaining(before: &ColumnEstimate, after: &mut ColumnEstimate) -> f64 {
    let (Some((low, high)), Some((from, to))) = (before.range, after.range) else { return RANGE };
    let not_null = 1.0 - before.nulls.unwrap_or(0.0);
    if from > to {
        after.range = before.range;
        after.distinct = 1.0;
        return 0.0;
    }
    let step = if before.whole { 1.0 } else { 0.0 };
    let width = high - low + step;
    let share = if width > 0.0 { ((to - from + step) / width).clamp(0.0, 1.0) } else { 1.0 };
    after.distinct = (before.distinct * share).max(1.0);
    share * not_null
}

/// An equality with a constant leaves one value, a list as many as it has.
fn pin(condition: &Expr, estimate: &mut Estimate) {
    let (input, values) = match condition {
        Expr::Compare { op: CompareOp::Eq, left, right } => match (&**left, &**right) {
            (input, Expr::Literal(_) | Expr::Subquery { .. })
            | (Expr::Literal(_) | Expr::Subquery { .. }, input) => (input, 1.0),
            _ => return,
        },
        Expr::InList { input, list, negated: false } => (&**input, list.len() as f64),
        _ => return,
    };
    if let Expr::Column { index, .. } = input {
        let column = &mut estimate.columns[*index];
        column.distinct = column.distinct.min(values);
    }
}

/// The share of rows for which a condition is TRUE.
pub(super) fn chance(condition: &Expr, estimate: &Estimate) -> f64 {
    let share = match condition {
        Expr::Literal(value) => {
            if value.as_bool() == Some(true) {
                1.0
            } else {
                0.0
            }
        }
        Expr::And(all) => {
            let before = Estimate { rows: 1e18, columns: estimate.columns.clone() };
            apply(before, all).rows / 1e18
        }
        Expr::Or(any) => 1.0 - any.iter().map(|one| 1.0 - chance(one, estimate)).product::<f64>(),
        Expr::Not(input) => 1.0 - chance(input, estimate),
        Expr::IsNull(input) => null_share(input, estimate),
        Expr::IsNotNull(input) => 1.0 - null_share(input, estimate),
        Expr::Compare { op, left, right } => compare(*op, left, right, estimate),
        Expr::InList { input, list, negated } => {
            let share = (list.len() as f64 * equal_share(input, estimate)).min(1.0);
            if *negated { 1.0 - share } else { share }
        }
        Expr::Like { negated, .. } => {
            if *negated {
                1.0 - LIKE
            } else {
                LIKE
            }
        }
        Expr::Column { .. } => 0.5,
        _ => OTHER,
    };
    share.clamp(0.0, 1.0)
}

fn null_share(input: &Expr, estimate: &Estimate) -> f64 {
    match input {
        Expr::Column { index, .. } => estimate.columns[*index].nulls.unwrap_or(NULLS),
        _ => NULLS,
    }
}

fn compare(op: CompareOp, left: &Expr, right: &Expr, estimate: &Estimate) -> f64 {
    let constant = |expr: &Expr| matches!(expr, Expr::Literal(_) | Expr::Subquery { .. });
    let equal = match (constant(left), constant(right)) {
        (_, true) => equal_constant(left, right, estimate),
        (true, _) => equal_constant(right, left, estimate),
        _ => 1.0 / estimate.distinct(left).max(estimate.distinct(right)).max(1.0),
    };
    match op {
        CompareOp::Eq | CompareOp::NotDistinct => equal,
        CompareOp::NotEq | CompareOp::Distinct => 1.0 - equal,
        _ => bound_share(op, left, right, estimate).unwrap_or(RANGE),
    }
}

/// The share of a single range condition inside a disjunction.
fn bound_share(op: CompareOp, left: &Expr, right: &Expr, estimate: &Estimate) -> Option<f64> {
    let condition =
        Expr::Compare { op, left: Box::new(left.clone()), right: Box::new(right.clone()) };
    let (column, low, high) = bound(&condition, estimate)?;
    let before = &estimate.columns[column];
    let mut after = before.clone();
    narrow(&mut after, low, high);
    Some(remaining(before, &mut after))
}

fn equal_constant(input: &Expr, value: &Expr, estimate: &Estimate) -> f64 {
    if let (Expr::Column { index, .. }, Expr::Literal(value)) = (input, value) {
        let outside = estimate.columns[*index].range.zip(number(value));
        if outside.is_some_and(|((low, high), value)| value < low || value > high) {
            return 0.0;
        }
    }
    equal_share(input, estimate)
}

/// The share of rows in which an expression has a given value.
fn equal_share(input: &Expr, estimate: &Estimate) -> f64 {
    match input {
        Expr::Column { index, .. } => {
            let column = &estimate.columns[*index];
            let values =
                if column.known { column.distinct } else { column.distinct.min(CATEGORIES) };
            (1.0 - column.nulls.unwrap_or(0.0)) / values.max(1.0)
        }
        Expr::Cast { input, .. } => equal_share(input, estimate),
        _ => EQUAL,
    }
}
