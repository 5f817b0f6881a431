//! Common subplans: what a statement would compute twice (a CTE that is named twice, a view in a subquery) is computed
//! once and read as `Plan::Shared`.
//!
//! Invariants: two subplans are the same when they read the same relations through the same operators and expressions;
//! names of columns do not count. Nothing volatile is shared, and nothing that is cheaper to scan again than to keep.

use std::{fmt::Write, sync::Arc};

use datafusion_common::HashMap;
use stoadb_engine::{
    Expr, Plan, QueryPlan,
    plan::{AggregateCall, SortKey, WindowPlan},
};
use stoadb_storage::Relation;

use super::call::is_volatile;

/// Replaces repeated subplans of a statement by shared ones.
pub(super) fn share(plan: &mut QueryPlan, relations: &[Arc<dyn Relation>]) {
    let mut sharer =
        Sharer { relations, counts: HashMap::new(), ids: HashMap::new(), plans: vec![] };
    for subquery in &plan.subqueries {
        sharer.count(subquery);
    }
    sharer.count(&plan.root);
    if sharer.counts.values().all(|&count| count < 2) {
        return;
    }
    for subquery in &mut plan.subqueries {
        sharer.replace(subquery, 1);
    }
    sharer.replace(&mut plan.root, 1);
    plan.shared = sharer.plans;
}

struct Sharer<'a> {
    relations: &'a [Arc<dyn Relation>],
    /// How often each costly subplan occurs, by its key.
    counts: HashMap<String, usize>,
    ids: HashMap<String, usize>,
    plans: Vec<Plan>,
}

impl Sharer<'_> {
    fn count(&mut self, plan: &Plan) {
        if let Some(key) = self.key_of_costly(plan) {
            *self.counts.entry(key).or_default() += 1;
        }
        plan.inputs().into_iter().for_each(|input| self.count(input));
    }

    /// Replaces subplans that occur more often than the one around them does.
    fn replace(&mut self, plan: &mut Plan, around: usize) {
        let key = self.key_of_costly(plan);
        let count = key.as_ref().and_then(|key| self.counts.get(key)).copied().unwrap_or(0);
        let (Some(key), true) = (key, count > around) else {
            plan.inputs_mut().into_iter().for_each(|input| self.replace(input, around));
            return;
        };
        let schema = plan.schema().clone();
        let id = match self.ids.get(&key) {
            Some(&id) => id,
            None => {
                let empty = Plan::Values { schema: schema.clone(), rows: Vec::new() };
                let mut shared = std::mem::replace(plan, empty);
                shared.inputs_mut().into_iter().for_each(|input| self.replace(input, count));
                self.plans.push(shared);
                self.ids.insert(key, self.plans.len() - 1);
                self.plans.len() - 1
            }
        };
        *plan = Plan::Shared { id, schema };
    }

    /// A text that equal subplans have in common; `None` for those that are not worth keeping or may not be.
    fn key_of_costly(&self, plan: &Plan) -> Option<String> {
        let costly = matches!(
            plan,
            Plan::Aggregate { .. } | Plan::Join(_) | Plan::Sort { .. } | Plan::Window(_)
        );
        if !costly || has_volatile(plan) {
            return None;
        }
        let mut key = String::new();
        // Writing to a String cannot fail.
        self.write(plan, &mut key).ok()?;
        Some(key)
    }

    fn write(&self, plan: &Plan, key: &mut String) -> std::fmt::Result {
        match plan {
            Plan::Values { schema, rows } => {
                // No rows of one type are others than no rows of another.
                let types: Vec<_> = schema.columns.iter().map(|column| &column.ty).collect();
                write!(key, "values {types:?} {rows:?}")?;
            }
            Plan::Scan(scan) => {
                let relation = self.relations.get(scan.relation.0).map(Arc::as_ptr);
                write!(key, "scan {relation:?} {:?} {:?}", scan.projection, scan.filter)?;
            }
            Plan::Shared { id, .. } => write!(key, "shared {id}")?,
            Plan::WorkTable { id, .. } => write!(key, "work table {id}")?,
            Plan::Recursive(plan) => write!(key, "recursive {} {}", plan.id, plan.distinct)?,
            Plan::Filter { predicate, .. } => write!(key, "filter {predicate:?}")?,
            Plan::Project { exprs, .. } => write!(key, "project {exprs:?}")?,
            Plan::Aggregate { groups, grouping_sets, aggregates, .. } => {
                write!(key, "aggregate {groups:?} {grouping_sets:?} {aggregates:?}")?;
            }
            Plan::Join(join) => {
                let (kind, keys) = (join.kind, &join.keys);
                let (residual, nearest) = (&join.residual, &join.nearest);
                write!(key, "join {kind:?} {keys:?} {residual:?} {nearest:?}")?;
            }
            Plan::Sort { keys, limit, .. } => write!(key, "sort {keys:?} {limit:?}")?,
            Plan::Limit { offset, limit, .. } => write!(key, "limit {offset} {limit:?}")?,
            Plan::Window(window) => {
                let WindowPlan { partition_by, order_by, calls, .. } = window;
                write!(key, "window {partition_by:?} {order_by:?} {calls:?}")?;
            }
            Plan::Unnest { columns, .. } => write!(key, "unnest {columns:?}")?,
            Plan::Union { .. } => key.push_str("union"),
        }
        for input in plan.inputs() {
            key.push_str(" (");
            self.write(input, key)?;
            key.push(')');
        }
        Ok(())
    }
}

/// Whether a plan may give other rows each time, or names a scalar subquery, whose value comes after the shared plans.
fn has_volatile(plan: &Plan) -> bool {
    let is_volatile = |expr: &Expr| is_volatile(expr) || names_subquery(expr);
    let volatile = match plan {
        Plan::Values { rows, .. } => rows.iter().flatten().any(is_volatile),
        Plan::Scan(scan) => scan.filter.iter().any(is_volatile),
        Plan::Filter { predicate, .. } => is_volatile(predicate),
        Plan::Project { exprs, .. } => exprs.iter().any(is_volatile),
        Plan::Aggregate { groups, aggregates, .. } => {
            groups.iter().chain(aggregates.iter().flat_map(exprs_of)).any(is_volatile)
        }
        Plan::Join(join) => {
            let keys = join.keys.iter().flat_map(|key| [&key.left, &key.right]);
            let nearest = join.nearest.iter().flat_map(|key| [&key.left, &key.right]);
            keys.chain(nearest).chain(&join.residual).any(is_volatile)
        }
        Plan::Sort { keys, .. } => keys.iter().map(|key: &SortKey| &key.expr).any(is_volatile),
        Plan::Window(window) => window.exprs().into_iter().any(is_volatile),
        // Its rows are others in every run.
        Plan::WorkTable { .. } => true,
        Plan::Recursive(_)
        | Plan::Shared { .. }
        | Plan::Limit { .. }
        | Plan::Unnest { .. }
        | Plan::Union { .. } => false,
    };
    volatile || plan.inputs().into_iter().any(has_volatile)
}

fn names_subquery(expr: &Expr) -> bool {
    matches!(expr, Expr::Subquery { .. }) || expr.children().into_iter().any(names_subquery)
}

fn exprs_of(call: &AggregateCall) -> impl Iterator<Item = &Expr> {
    call.args.iter().chain(&call.filter).chain(call.order_by.iter().map(|key| &key.expr))
}
