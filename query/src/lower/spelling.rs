//! Groups of intervals show the spelling of their first row.
//!
//! Invariant: intervals of one length are one group, however they are spelt (`1 month`, `30 days`); the engine's keys
//! know their length alone, so the value that is shown comes from the group's first row.

use stoadb_engine::{
    Expr,
    plan::{AggregateCall, AggregateFunction, Plan},
};
use stoadb_storage::{ColumnDef, LogicalType, Scalar, Schema};

use super::columns_of;

/// Gives every aggregation by intervals the first spelling of each.
pub(super) fn keep_first(plan: &mut Plan) {
    plan.inputs_mut().into_iter().for_each(keep_first);
    let Plan::Aggregate { schema, groups, grouping_sets, aggregates, .. } = plan else { return };
    let intervals: Vec<usize> =
        (0..groups.len()).filter(|&group| groups[group].ty() == LogicalType::Interval).collect();
    if intervals.is_empty() {
        return;
    }
    let output = schema.clone();
    let first = groups.len() + aggregates.len();
    let columns = intervals
        .iter()
        .map(|&group| ColumnDef { nullable: true, ..schema.columns[group].clone() });
    let mut wide = output.columns.clone();
    wide.splice(first..first, columns);
    *schema = Schema::new(wide);
    aggregates.extend(intervals.iter().map(|&group| AggregateCall {
        function: AggregateFunction::First,
        args: vec![groups[group].clone()],
        parameters: Vec::new(),
        distinct: false,
        filter: None,
        order_by: Vec::new(),
        ty: LogicalType::Interval,
    }));
    let mut exprs = columns_of(schema);
    let spelt: Vec<Expr> = exprs.splice(first..first + intervals.len(), []).collect();
    for (&group, spelt) in intervals.iter().zip(spelt) {
        // A set without the column has NULL there.
        exprs[group] = match grouping_sets.is_empty() {
            true => spelt,
            false => left_out_is_null(exprs[group].clone(), spelt),
        };
    }
    let input =
        std::mem::replace(plan, Plan::Values { schema: Schema::default(), rows: Vec::new() });
    *plan = Plan::Project { input: Box::new(input), schema: output, exprs };
}

fn left_out_is_null(group: Expr, spelt: Expr) -> Expr {
    let missing = Expr::Literal(Scalar::null(LogicalType::Interval));
    let left_out = Expr::IsNull(Box::new(group));
    Expr::Case {
        branches: vec![(left_out, missing)],
        otherwise: Some(Box::new(spelt)),
        ty: LogicalType::Interval,
    }
}
