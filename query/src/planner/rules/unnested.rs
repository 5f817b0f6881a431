//! What is unique below unnest() is not unique above it.
//!
//! The planner library passes the keys of a GROUP BY on through an unnest, and then drops DISTINCT, grouping columns and
//! sort keys that it takes for determined by them; and it adds such columns to a GROUP BY, which nobody asked for.
//! Invariants: groups are those of the text (`sql/grouped.rs`); no column above an unnest is one of those below.

use std::sync::Arc;

use datafusion_common::{
    Column, HashSet, Result,
    tree_node::{Transformed, TreeNodeRecursion},
};
use datafusion_expr::{Aggregate, Expr, LogicalPlan, Projection};

use crate::planner::{
    scalars::{SAME, same},
    trees::{PlanWalk, TreeWalk},
};

/// Takes the marks out of the groups, with what the library added behind them, and gives the rows of unnest() over groups
/// columns of their own.
///
/// # Errors
/// What the library says of its own plan; none are known.
pub fn unmark_groups(plan: LogicalPlan) -> Result<LogicalPlan> {
    let (mut grouped, mut unnested) = (false, false);
    plan.apply_with_subqueries_dyn(|node| {
        grouped |= matches!(node, LogicalPlan::Aggregate(_));
        unnested |= matches!(node, LogicalPlan::Unnest(_));
        Ok(TreeNodeRecursion::Continue)
    })?;
    let plan = match (grouped, unnested) {
        (false, _) => return Ok(plan),
        (true, false) => return Ok(plan.transform_up_with_subqueries_dyn(unmarked)?.data),
        (true, true) => plan.transform_down_with_subqueries_dyn(as_named)?.data,
    };
    let plan = plan.transform_up_with_subqueries_dyn(unmarked)?.data;
    let renewed = plan.transform_up_with_subqueries_dyn(|node| {
        let node = node.recompute_schema()?;
        Ok(Transformed::yes(if is_keyed(&node) { renewed(node)? } else { node }))
    })?;
    Ok(renewed.data)
}

fn is_mark(expr: &Expr) -> bool {
    matches!(expr, Expr::ScalarFunction(call) if call.name() == SAME)
}

fn unmarked(node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    match node {
        LogicalPlan::Aggregate(node) => match node.group_expr.iter().position(is_mark) {
            Some(written) => grouped_by(&node, written).map(Transformed::yes),
            None => Ok(Transformed::no(LogicalPlan::Aggregate(node))),
        },
        // The one node that lists its input's columns again.
        LogicalPlan::Window(_) => node.recompute_schema().map(Transformed::yes),
        node => Ok(Transformed::no(node)),
    }
}

/// The aggregation by the first of its expressions alone.
fn grouped_by(node: &Aggregate, written: usize) -> Result<LogicalPlan> {
    let groups = node.group_expr.iter().take(written).cloned().collect();
    let node = Aggregate::try_new(Arc::clone(&node.input), groups, node.aggr_expr.clone())?;
    Ok(LogicalPlan::Aggregate(node))
}

fn is_keyed(node: &LogicalPlan) -> bool {
    matches!(node, LogicalPlan::Unnest(unnest) if has_keys(&unnest.input))
}

/// Whether columns are determined by others.
pub(super) fn has_keys(plan: &LogicalPlan) -> bool {
    plan.schema().functional_dependencies().iter().next().is_some()
}

/// The same columns, as if computed.
fn renewed(plan: LogicalPlan) -> Result<LogicalPlan> {
    let columns = plan.schema().iter().map(|(qualifier, field)| {
        let column = Expr::Column(Column::from((qualifier, field)));
        same(column).alias_qualified(qualifier.cloned(), field.name())
    });
    let columns = columns.collect::<Vec<_>>();
    Ok(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(plan))?))
}

/// A projection over the groups of GROUP BY ALL, without columns behind those that it names: these were added.
fn as_named(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    if !matches!(plan, LogicalPlan::Projection(_)) {
        return Ok(Transformed::no(plan));
    }
    let mut named = HashSet::new();
    let mut node = &plan;
    let aggregate = loop {
        for expr in node.expressions() {
            named.extend(expr.column_refs().into_iter().cloned());
        }
        match node.inputs().as_slice() {
            [LogicalPlan::Aggregate(aggregate)] => break aggregate,
            [LogicalPlan::Projection(_)] => return Ok(Transformed::no(plan)),
            [input] => node = input,
            _ => return Ok(Transformed::no(plan)),
        }
    };
    let written = |expr: &Expr| match expr {
        Expr::Column(column) => named.contains(column),
        _ => true,
    };
    let kept = aggregate.group_expr.iter().rposition(written).map_or(0, |last| last + 1);
    let all = aggregate.group_expr.len();
    if kept == 0 || kept == all || aggregate.group_expr.iter().any(is_mark) {
        return Ok(Transformed::no(plan));
    }
    let less = grouped_by(aggregate, kept)?;
    plan.transform_down_dyn(|node| match node {
        LogicalPlan::Aggregate(_) => {
            Ok(Transformed::new(less.clone(), true, TreeNodeRecursion::Stop))
        }
        node => Ok(Transformed::no(node)),
    })
}
