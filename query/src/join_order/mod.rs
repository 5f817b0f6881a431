//! The order and the sides of joins, from what the relations know of themselves.
//!
//! A maximal tree of inner joins (with the filters and column-picking projections between them) is taken apart into
//! leaves and conditions (`Region`), the conditions become a graph (`graph.rs`), the cheapest tree is searched
//! (`enumerate.rs`) by estimated rows (`cardinality.rs`), and the plan is put together again. Other joins keep their
//! place; their sides are exchanged when the build side is much the larger.
//! Invariants: every condition is applied exactly where all its columns first meet (implied equalities once per join);
//! the output columns keep their order; the same plan and statistics give the same order.

mod cardinality;
mod enumerate;
mod graph;
mod selectivity;

use std::sync::Arc;

use stoadb_engine::{
    Expr,
    plan::{JoinKind, JoinPlan, Plan, QueryPlan, RecursivePlan, WindowPlan},
};
use stoadb_storage::Relation;

use self::{
    enumerate::Tree,
    graph::{Graph, Mask},
};
use crate::lower::{
    columns_of, conjuncts, is_volatile, join_plan, plain, project, push_filter, raises, substitute,
    swap_columns, swap_key,
};

/// A build side this many times larger than the probe side makes it worth exchanging the sides of an outer, semi or
/// anti join: building costs about twice what probing does.
const EXCHANGE_FACTOR: f64 = 2.0;

/// Orders the joins of a plan and chooses their sides.
pub(crate) fn reorder(plan: Plan, relations: &[Arc<dyn Relation>]) -> Plan {
    if is_region(&plan) {
        return region(plan, relations);
    }
    let next = |plan: Box<Plan>| Box::new(reorder(*plan, relations));
    match plan {
        Plan::Values { .. } | Plan::Scan(_) | Plan::Shared { .. } | Plan::WorkTable { .. } => plan,
        Plan::Filter { input, predicate } => Plan::Filter { input: next(input), predicate },
        Plan::Project { input, schema, exprs } => {
            Plan::Project { input: next(input), schema, exprs }
        }
        Plan::Aggregate { input, schema, groups, grouping_sets, aggregates } => {
            Plan::Aggregate { input: next(input), schema, groups, grouping_sets, aggregates }
        }
        Plan::Sort { input, keys, limit } => Plan::Sort { input: next(input), keys, limit },
        Plan::Limit { input, offset, limit } => Plan::Limit { input: next(input), offset, limit },
        Plan::Recursive(plan) => {
            let (base, step) = (next(plan.base), next(plan.step));
            Plan::Recursive(RecursivePlan { base, step, ..plan })
        }
        Plan::Unnest { input, schema, columns } => {
            Plan::Unnest { input: next(input), schema, columns }
        }
        Plan::Window(window) => Plan::Window(WindowPlan { input: next(window.input), ..window }),
        Plan::Union { schema, inputs } => {
            let inputs = inputs.into_iter().map(|input| reorder(input, relations)).collect();
            Plan::Union { schema, inputs }
        }
        Plan::Join(mut join) => {
            join.left = next(join.left);
            join.right = next(join.right);
            choose_sides(join, relations)
        }
    }
}

/// How many rows each node of a plan is expected to give, in the order of the lines of EXPLAIN.
pub fn expected_rows(plan: &QueryPlan, relations: &[Arc<dyn Relation>]) -> Vec<u64> {
    fn visit(plan: &Plan, relations: &[Arc<dyn Relation>], rows: &mut Vec<u64>) {
        rows.push(cardinality::estimate(plan, relations).rows.round() as u64);
        plan.inputs().into_iter().for_each(|input| visit(input, relations, rows));
    }
    let mut rows = Vec::new();
    let plans = plan.subqueries.iter().chain(&plan.shared).chain([&plan.root]);
    plans.for_each(|plan| visit(plan, relations, &mut rows));
    rows
}

/// Exchanges the sides of a join that is not inner when the build side is much the larger.
fn choose_sides(join: JoinPlan, relations: &[Arc<dyn Relation>]) -> Plan {
    if join.nearest.is_some() {
        return Plan::Join(join);
    }
    let exchanged = match join.kind {
        JoinKind::Inner | JoinKind::Full => join.kind,
        JoinKind::Left => JoinKind::Right,
        JoinKind::Right => JoinKind::Left,
        JoinKind::LeftSemi => JoinKind::RightSemi,
        JoinKind::RightSemi => JoinKind::LeftSemi,
        JoinKind::LeftAnti => JoinKind::RightAnti,
        JoinKind::RightAnti => JoinKind::LeftAnti,
        JoinKind::LeftAntiNullAware | JoinKind::LeftMark => return Plan::Join(join),
    };
    let probe = cardinality::estimate(&join.left, relations).rows;
    let build = cardinality::estimate(&join.right, relations).rows;
    if build <= EXCHANGE_FACTOR * probe {
        return Plan::Join(join);
    }
    let (left, right) = (join.left.schema().len(), join.right.schema().len());
    let keys = join.keys.into_iter().map(swap_key).collect();
    let residual = join.residual.map(|residual| swap_columns(residual, left, right));
    let plan = join_plan(exchanged, *join.right, *join.left, keys, residual);
    if plan.schema().len() != left + right {
        return plan;
    }
    let columns = columns_of(plan.schema());
    let exprs = (right..right + left).chain(0..right).map(|i| columns[i].clone()).collect();
    project(plan, join.schema, exprs)
}

/// Whether a plan is a tree of inner joins that can be taken apart.
fn is_region(plan: &Plan) -> bool {
    match plan {
        Plan::Join(join) => {
            let mut exprs =
                join.keys.iter().flat_map(|key| [&key.left, &key.right]).chain(&join.residual);
            let fixed = join.residual.as_ref().is_some_and(raises);
            let plain = join.nearest.is_none() && join.kind == JoinKind::Inner;
            plain && !fixed && !exprs.any(is_volatile)
        }
        // A condition that may raise an error stays above the joins that it was written over.
        Plan::Filter { input, predicate } => {
            !is_volatile(predicate) && !raises(predicate) && is_region(input)
        }
        Plan::Project { input, exprs, .. } => exprs.iter().all(plain) && is_region(input),
        _ => false,
    }
}

fn region(plan: Plan, relations: &[Arc<dyn Relation>]) -> Plan {
    let schema = plan.schema().clone();
    let mut region = Region { relations, leaves: Vec::new(), conditions: Vec::new(), width: 0 };
    let written = plan.clone();
    let outputs = region.take_apart(plan);
    if region.leaves.len() > Mask::BITS as usize {
        return written;
    }
    let Region { leaves, conditions, .. } = region;
    let widths: Vec<usize> = leaves.iter().map(|leaf| leaf.schema().len()).collect();
    let mut graph = Graph::new(&widths, conditions);
    graph.infer(&leaves);
    let filters = std::mem::take(&mut graph.filters);
    let leaves: Vec<Plan> = leaves
        .into_iter()
        .zip(filters)
        .enumerate()
        .map(|(leaf, (plan, filters))| push_filter(plan, graph.localised(leaf, filters)))
        .collect();
    let estimates: Vec<_> =
        leaves.iter().map(|leaf| cardinality::estimate(leaf, relations)).collect();
    let sizes = cardinality::Sizes::new(&graph, &estimates);
    let tree = enumerate::cheapest(&graph, &sizes);
    let mut leaves: Vec<Option<Plan>> = leaves.into_iter().map(Some).collect();
    let Some(built) = assemble(&tree, &graph, &mut leaves) else { return written };
    let position = built.positions(graph.width());
    let restored = outputs.into_iter().map(|mut output| {
        output.map_columns(&mut |column| position[column]);
        output
    });
    let exprs = restored.collect();
    project(built.plan, schema, exprs)
}

/// A tree of inner joins taken apart. Columns count over all leaves in order.
struct Region<'a> {
    relations: &'a [Arc<dyn Relation>],
    leaves: Vec<Plan>,
    conditions: Vec<Expr>,
    width: usize,
}

impl Region<'_> {
    /// Adds a plan's leaves and conditions; gives its output columns.
    fn take_apart(&mut self, plan: Plan) -> Vec<Expr> {
        if !is_region(&plan) {
            let plan = reorder(plan, self.relations);
            let mut columns = columns_of(plan.schema());
            columns
                .iter_mut()
                .for_each(|column| column.map_columns(&mut |index| index + self.width));
            self.width += columns.len();
            self.leaves.push(plan);
            return columns;
        }
        match plan {
            Plan::Join(join) => {
                let mut columns = self.take_apart(*join.left);
                let right = self.take_apart(*join.right);
                for key in join.keys {
                    let sides = (substitute(key.left, &columns), substitute(key.right, &right));
                    self.conditions.push(graph::equality(sides, key.null_equal));
                }
                columns.extend(right);
                let residual = join.residual.map(conjuncts).unwrap_or_default();
                let residual = residual.into_iter().map(|expr| substitute(expr, &columns));
                self.conditions.extend(residual);
                columns
            }
            Plan::Filter { input, predicate } => {
                let columns = self.take_apart(*input);
                let own = conjuncts(predicate).into_iter();
                self.conditions.extend(own.map(|condition| substitute(condition, &columns)));
                columns
            }
            Plan::Project { input, exprs, .. } => {
                let columns = self.take_apart(*input);
                exprs.into_iter().map(|expr| substitute(expr, &columns)).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// A part of the new plan, with the region's columns that it has in order.
struct Built {
    plan: Plan,
    columns: Vec<usize>,
    mask: Mask,
}

impl Built {
    fn positions(&self, width: usize) -> Vec<usize> {
        let mut positions = vec![usize::MAX; width];
        for (position, &column) in self.columns.iter().enumerate() {
            positions[column] = position;
        }
        positions
    }
}

/// The plan of a tree; `None` if a leaf stands in it twice, which would be a bug.
fn assemble(tree: &Tree, graph: &Graph, leaves: &mut [Option<Plan>]) -> Option<Built> {
    match tree {
        Tree::Leaf(leaf) => Some(Built {
            plan: leaves[*leaf].take()?,
            columns: graph.columns(*leaf).collect(),
            mask: 1 << leaf,
        }),
        Tree::Join { probe, build } => {
            let left = assemble(probe, graph, leaves)?;
            let right = assemble(build, graph, leaves)?;
            let (mut keys, residual) = graph.conditions_between(left.mask, right.mask);
            let mut columns = left.columns.clone();
            columns.extend(&right.columns);
            let (at_left, at_right) =
                (left.positions(graph.width()), right.positions(graph.width()));
            for key in &mut keys {
                key.left.map_columns(&mut |column| at_left[column]);
                key.right.map_columns(&mut |column| at_right[column]);
            }
            let mask = left.mask | right.mask;
            let (left, right) = (left.plan, right.plan);
            let offset = left.schema().len();
            let residual = residual.map(|mut residual| {
                residual.map_columns(&mut |column| match at_left[column] {
                    usize::MAX => at_right[column] + offset,
                    position => position,
                });
                residual
            });
            let plan = join_plan(JoinKind::Inner, left, right, keys, residual);
            Some(Built { plan, columns, mask })
        }
    }
}

#[cfg(test)]
mod tests;
