//! Where a column of a join's probe side comes from: what a join's build side says of its keys holds for the scan there.
//!
//! Invariant: only ways on which a row that is missing from the scan is missing from the output and does nothing else.
//! Next: `../open.rs`.

use crate::{
    expr::Expr,
    plan::{JoinKind, Plan, ScanPlan},
};

/// The scan (by node number) and its relation's column that an expression over `plan` passes through unchanged, where
/// a row that is missing from the scan is missing from the output and does nothing else.
pub(crate) fn trace_column(plan: &Plan, node: usize, expr: &Expr) -> Option<(usize, usize)> {
    let Expr::Column { index, .. } = expr else { return None };
    match plan {
        Plan::Scan(scan) => Some((node, scan.projection[*index])),
        Plan::Filter { input, .. } => trace_column(input, node + 1, expr),
        Plan::Project { input, exprs, .. } => trace_column(input, node + 1, &exprs[*index]),
        Plan::Join(join) => match join.kind {
            JoinKind::Inner
            | JoinKind::Left
            | JoinKind::LeftSemi
            | JoinKind::LeftAnti
            | JoinKind::LeftAntiNullAware
            | JoinKind::LeftMark
                if *index < join.left.schema().len() =>
            {
                trace_column(&join.left, node + 1, expr)
            }
            _ => None,
        },
        Plan::Values { .. }
        | Plan::Shared { .. }
        | Plan::Recursive(_)
        | Plan::WorkTable { .. }
        | Plan::Aggregate { .. }
        | Plan::Sort { .. }
        | Plan::Limit { .. }
        | Plan::Window(_)
        | Plan::Unnest { .. }
        | Plan::Union { .. } => None,
    }
}

/// The scan whose number is `wanted`, of the plan whose number is `node`.
pub(crate) fn find_scan(plan: &Plan, node: usize, wanted: usize) -> Option<&ScanPlan> {
    match plan {
        Plan::Scan(scan) => (node == wanted).then_some(scan),
        Plan::Filter { input, .. } | Plan::Project { input, .. } => {
            find_scan(input, node + 1, wanted)
        }
        Plan::Join(join) => find_scan(&join.left, node + 1, wanted),
        _ => None,
    }
}
