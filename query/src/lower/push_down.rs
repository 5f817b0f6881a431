//! Filters sink as near to the scans as their columns allow.
//!
//! Invariants: a condition passes an operator only if it then judges the same rows by the same values; conditions with
//! a volatile function stay where they are. A condition that may raise an error (`raises.rs`) is never asked of a row
//! that an earlier condition, or a join below which it was written, keeps from it: conditions of ON come before those of
//! WHERE, and each list keeps its order. The library pushes filters too, unless one may raise an error
//! (`planner/optimizer.rs`); this pass also fuses them into scans and makes the result independent of which of the
//! library's rules ran.

use stoadb_engine::{
    Expr,
    plan::{JoinKind, JoinPlan, Plan, ScanPlan, UnnestColumn},
};

use super::{
    call::is_volatile,
    expr::{and, conjuncts},
    join::{Side, join_plan, key_of, side},
    raises::raises,
};

/// Pushes all filters of a plan down.
pub(super) fn push_filters(plan: Plan) -> Plan {
    push(plan, Vec::new())
}

/// Applies conditions to a plan as far down as they go.
pub(crate) fn push_filter(plan: Plan, conditions: Vec<Expr>) -> Plan {
    if conditions.is_empty() { plan } else { push(plan, conditions) }
}

fn push(plan: Plan, conditions: Vec<Expr>) -> Plan {
    match plan {
        Plan::Filter { input, predicate } => {
            let mut own = conjuncts(predicate);
            let known = own.len();
            own.extend(
                conditions
                    .into_iter()
                    .filter(|condition| !own[..known].contains(condition))
                    .collect::<Vec<_>>(),
            );
            if own.iter().any(is_volatile) {
                return filter(push(*input, Vec::new()), own);
            }
            push(*input, own)
        }
        Plan::Scan(scan) => push_scan(scan, conditions),
        Plan::Project { input, schema, exprs } => {
            let (down, stay) = split(conditions, |condition| through(condition, &exprs));
            let input = Box::new(push(*input, down));
            filter(Plan::Project { input, schema, exprs }, stay)
        }
        Plan::Aggregate { input, schema, groups, grouping_sets, aggregates } => {
            let (down, stay) = split(conditions, |condition| {
                let grouped = all_columns(condition, |index| index < groups.len());
                let pass = grouped && grouping_sets.is_empty() && !groups.is_empty();
                if pass { through(condition, &groups) } else { None }
            });
            let input = Box::new(push(*input, down));
            filter(Plan::Aggregate { input, schema, groups, grouping_sets, aggregates }, stay)
        }
        Plan::Join(join) => push_join(join, conditions),
        Plan::Sort { input, keys, limit: None } => {
            Plan::Sort { input: Box::new(push(*input, conditions)), keys, limit: None }
        }
        Plan::Union { schema, inputs } => {
            let inputs = inputs.into_iter().map(|input| push(input, conditions.clone())).collect();
            Plan::Union { schema, inputs }
        }
        Plan::Sort { input, keys, limit } => {
            let input = Box::new(push(*input, Vec::new()));
            filter(Plan::Sort { input, keys, limit }, conditions)
        }
        Plan::Limit { input, offset, limit } => {
            let input = Box::new(push(*input, Vec::new()));
            filter(Plan::Limit { input, offset, limit }, conditions)
        }
        Plan::Unnest { input, schema, columns } => {
            // Repeated columns judge all rows of an input row alike; no error moves.
            let repeated: Vec<Option<usize>> = columns
                .iter()
                .map(|column| match column {
                    UnnestColumn::Repeat(index) => Some(*index),
                    UnnestColumn::Elements(_) | UnnestColumn::Field(..) => None,
                })
                .collect();
            let (down, stay) = split(conditions, |condition| {
                let whole = all_columns(condition, |index| repeated[index].is_some());
                (whole && !raises(condition)).then(|| {
                    let mut condition = condition.clone();
                    condition.map_columns(&mut |index| repeated[index].unwrap_or(index));
                    condition
                })
            });
            let input = Box::new(push(*input, down));
            filter(Plan::Unnest { input, schema, columns }, stay)
        }
        Plan::Window(mut window) => {
            // All rows of a partition are kept or none; and no error moves.
            let parts = |index: usize| {
                let key = |key: &Expr| matches!(key, Expr::Column { index: i, .. } if *i == index);
                window.partition_by.iter().any(key)
            };
            let (down, stay) = split(conditions, |condition| {
                let whole = all_columns(condition, parts) && !raises(condition);
                whole.then(|| condition.clone())
            });
            window.input = Box::new(push(*window.input, down));
            filter(Plan::Window(window), stay)
        }
        Plan::Recursive(mut plan) => {
            for part in [&mut plan.base, &mut plan.step] {
                let empty = Plan::Values { schema: plan.schema.clone(), rows: Vec::new() };
                **part = push(std::mem::replace(part, empty), Vec::new());
            }
            filter(Plan::Recursive(plan), conditions)
        }
        other @ (Plan::WorkTable { .. } | Plan::Values { .. } | Plan::Shared { .. }) => {
            filter(other, conditions)
        }
    }
}

fn push_scan(mut scan: ScanPlan, conditions: Vec<Expr>) -> Plan {
    if conditions.is_empty() {
        return Plan::Scan(scan);
    }
    let mut all = scan.filter.take().map(conjuncts).unwrap_or_default();
    for mut condition in conditions {
        condition.map_columns(&mut |index| scan.projection[index]);
        if !all.contains(&condition) {
            all.push(condition);
        }
    }
    scan.filter = Some(and(all));
    Plan::Scan(scan)
}

/// Left rows keep their partners whatever other left rows there are; right rows may not go before these are found.
fn push_asof(mut join: JoinPlan, conditions: Vec<Expr>) -> Plan {
    let width = join.left.schema().len();
    let kind = join.kind;
    let by_left =
        matches!(kind, JoinKind::Inner | JoinKind::Left | JoinKind::LeftSemi | JoinKind::LeftAnti);
    let (to_left, stay) = split(conditions, |condition| {
        let left = above(condition, kind, width) == Some(Side::Left) && !raises(condition);
        (by_left && left).then(|| condition.clone())
    });
    join.left = Box::new(push(*join.left, to_left));
    join.right = Box::new(push(*join.right, Vec::new()));
    filter(Plan::Join(join), stay)
}

fn push_join(join: JoinPlan, conditions: Vec<Expr>) -> Plan {
    if join.nearest.is_some() {
        return push_asof(join, conditions);
    }
    let JoinPlan { left, right, kind, mut keys, residual, .. } = join;
    let width = left.schema().len();
    let (mut to_left, mut to_right, mut stay, mut kept) = (vec![], vec![], vec![], vec![]);
    // Conditions of the join itself: one side's may be applied before, unless that side's rows all survive.
    for condition in residual.map(conjuncts).unwrap_or_default() {
        let fixed = is_volatile(&condition) || raises(&condition);
        let place = if fixed { None } else { side(&condition, width) };
        match (kind, place) {
            (JoinKind::Inner | JoinKind::LeftSemi | JoinKind::RightSemi, Some(Side::Left))
            | (JoinKind::Right | JoinKind::RightAnti, Some(Side::Left)) => to_left.push(condition),
            (JoinKind::Full | JoinKind::Right | JoinKind::RightAnti, _) => kept.push(condition),
            (_, Some(Side::Right)) => to_right.push(shifted(condition, width)),
            _ => kept.push(condition),
        }
    }
    // Conditions above the join.
    for condition in conditions {
        let place = above(&condition, kind, width);
        let all_rows = matches!(
            (kind, place),
            (JoinKind::Left | JoinKind::LeftMark, Some(Side::Left))
                | (JoinKind::Right, Some(Side::Right))
        );
        if raises(&condition) && !(all_rows && stay.is_empty()) {
            stay.push(condition);
            continue;
        }
        match (kind, place) {
            (JoinKind::RightSemi | JoinKind::RightAnti, _) => to_right.push(condition),
            (JoinKind::Inner | JoinKind::Right, Some(Side::Right)) => {
                to_right.push(shifted(condition, width));
            }
            (JoinKind::Right | JoinKind::Full, _) | (_, Some(Side::Right)) => stay.push(condition),
            (_, Some(Side::Left)) => to_left.push(condition),
            (JoinKind::Inner, None) => match key_of(condition, width) {
                Ok(key) => keys.push(key),
                Err(condition) => kept.push(condition),
            },
            (_, None) => stay.push(condition),
        }
    }
    let residual = (!kept.is_empty()).then(|| and(kept));
    filter(join_plan(kind, push(*left, to_left), push(*right, to_right), keys, residual), stay)
}

/// The side whose columns a condition above a join uses.
fn above(condition: &Expr, kind: JoinKind, width: usize) -> Option<Side> {
    match kind {
        // The output has only the right side's columns.
        JoinKind::RightSemi | JoinKind::RightAnti => Some(Side::Right),
        // A constant condition holds for all rows or for none: ask it first.
        _ if all_columns(condition, |_| false) => Some(Side::Left),
        _ => side(condition, width),
    }
}

/// A condition over right columns only, counted from the first right column.
fn shifted(mut condition: Expr, left_width: usize) -> Expr {
    condition.map_columns(&mut |index| index - left_width);
    condition
}

fn filter(plan: Plan, conditions: Vec<Expr>) -> Plan {
    if conditions.is_empty() {
        return plan;
    }
    Plan::Filter { input: Box::new(plan), predicate: and(conditions) }
}

fn split(conditions: Vec<Expr>, down: impl Fn(&Expr) -> Option<Expr>) -> (Vec<Expr>, Vec<Expr>) {
    let (mut pushed, mut stay) = (Vec::new(), Vec::new());
    for condition in conditions {
        match down(&condition) {
            Some(condition) if stay.is_empty() || !raises(&condition) => pushed.push(condition),
            _ => stay.push(condition),
        }
    }
    (pushed, stay)
}

/// The condition over the input of a projection, if all that it uses are columns or constants there.
fn through(condition: &Expr, exprs: &[Expr]) -> Option<Expr> {
    let plain = |index: usize| matches!(exprs[index], Expr::Column { .. } | Expr::Literal(_));
    all_columns(condition, plain).then(|| substitute(condition.clone(), exprs))
}

fn all_columns(condition: &Expr, holds: impl Fn(usize) -> bool) -> bool {
    let mut all = true;
    condition.for_each_column(&mut |index| all &= holds(index));
    all
}

/// The expression with each column replaced by an expression.
pub(crate) fn substitute(mut expr: Expr, exprs: &[Expr]) -> Expr {
    if let Expr::Column { index, .. } = expr {
        return exprs[index].clone();
    }
    for child in expr.children_mut() {
        let taken = std::mem::replace(child, Expr::And(Vec::new()));
        *child = substitute(taken, exprs);
    }
    expr
}
