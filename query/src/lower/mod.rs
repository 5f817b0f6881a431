//! Lowering: an optimised logical plan becomes the engine's plan.
//!
//! Two steps. First every node is translated as it stands, columns resolved to ordinals once (`plan` and the files
//! named after the nodes). Then the engine's plan is improved as plain data: filters sink to the scans (`push_down`),
//! inner joins are ordered by statistics (`crate::join_order`), columns that nobody reads are dropped (`columns`).
//! Invariants: the output columns of every lowered node have the types and the order of the logical node's schema; a
//! column that cannot be resolved is an error, never a guess. Next: `scope.rs`, `expr.rs`.

mod aggregate;
mod asof;
mod call;
mod coerce;
mod columns;
mod expr;
mod filter;
mod fold;
mod join;
mod lambda;
mod literal;
#[cfg(test)]
pub(crate) mod naive;
mod project;
mod operators;
mod prune;
mod push_down;
mod raises;
mod recursive;
mod scan;
mod scope;
mod share;
mod signed_sum;
mod sort;
mod spelling;
mod subquery;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod union;
mod unnest;
mod verify;
mod window;

use std::sync::Arc;

use datafusion_common::{DFSchema, DataFusionError};
use datafusion_expr::LogicalPlan;
use stoadb_engine::{
    Expr,
    plan::{Plan, QueryPlan, RecursivePlan, WindowPlan},
};
use stoadb_storage::{ColumnDef, LogicalType, Relation, Scalar, Schema};

use crate::{
    error::{Error, Result},
    join_order,
    sql::names::unmark,
};

pub use operators::register_operators;

pub(crate) use self::{
    call::is_volatile,
    coerce::swapped,
    columns::{plain, project},
    expr::{and, conjuncts},
    join::{join_plan, swap_columns, swap_key},
    push_down::{push_filter, substitute},
    raises::{any_raises, may_raise, raises},
};

/// A plan for the engine and the relations that it names by position.
pub struct Lowered {
    /// The plan.
    pub plan: QueryPlan,
    /// What `RelationId`s count in: one entry per scan.
    pub relations: Vec<Arc<dyn Relation>>,
}

/// What may be switched off, for tests and for people who know better.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LowerSettings {
    /// Whether joins are ordered by statistics and repeated subplans are shared; otherwise plans stay as written.
    pub optimize: bool,
}

impl Default for LowerSettings {
    fn default() -> Self {
        Self { optimize: true }
    }
}

/// Translates an optimised logical plan, the first step: every node as it stands. Parameters without values stay.
///
/// # Errors
/// `Unsupported` for features that the engine does not have, named as in SQL; `Internal` for a plan that does not fit
/// together, such as an unbound column.
pub(crate) fn translate(plan: &LogicalPlan) -> Result<Lowered> {
    let mut lowerer = Lowerer::default();
    let root = lowerer.plan(plan)?;
    let Lowerer { relations, subqueries, .. } = lowerer;
    Ok(Lowered { plan: QueryPlan { root, subqueries, shared: Vec::new() }, relations })
}

/// The second step: the plan improved, and checked.
///
/// # Errors
/// `Internal` for a plan that does not fit together.
pub(crate) fn finish(
    plan: QueryPlan,
    relations: &[Arc<dyn Relation>],
    settings: &LowerSettings,
) -> Result<QueryPlan> {
    let improve = |plan| improve(plan, relations, settings);
    let subqueries = plan.subqueries.into_iter().map(improve).collect::<Result<_>>()?;
    let mut plan = QueryPlan { root: improve(plan.root)?, subqueries, shared: Vec::new() };
    // What is read once cannot be read in common.
    if settings.optimize && relations.len() > 1 {
        share::share(&mut plan, relations);
    }
    verify::verify(&plan, relations)?;
    Ok(plan)
}

/// Puts values in the place of a translated plan's parameters.
pub(crate) fn give(plan: &mut QueryPlan, values: &[Scalar]) {
    fn replace(expr: &mut Expr, values: &[Scalar]) {
        if let Expr::Parameter { index, .. } = expr
            && let Some(value) = values.get(*index)
        {
            *expr = Expr::Literal(value.clone());
        }
        expr.children_mut().into_iter().for_each(|child| replace(child, values));
    }
    for part in plan.subqueries.iter_mut().chain([&mut plan.root]) {
        part.for_each_expr_mut(&mut |expr| replace(expr, values));
    }
}

fn improve(plan: Plan, relations: &[Arc<dyn Relation>], settings: &LowerSettings) -> Result<Plan> {
    let schema = plan.schema().clone();
    let mut plan = push_down::push_filters(fold::fold_plan(plan));
    if settings.optimize {
        plan = join_order::reorder(plan, relations);
    }
    let mut plan = columns::drop_unused(plan);
    prune::add(&mut plan);
    spelling::keep_first(&mut plan);
    Ok(rename(plan, schema))
}

/// The same columns under the given names.
fn rename(plan: Plan, names: Schema) -> Plan {
    if *plan.schema() == names {
        return plan;
    }
    match plan {
        Plan::Project { input, exprs, .. } => Plan::Project { input, schema: names, exprs },
        Plan::Aggregate { input, groups, grouping_sets, aggregates, .. } => {
            Plan::Aggregate { input, schema: names, groups, grouping_sets, aggregates }
        }
        Plan::Values { rows, .. } => Plan::Values { schema: names, rows },
        Plan::Union { inputs, .. } => Plan::Union { schema: names, inputs },
        Plan::Unnest { input, columns, .. } => Plan::Unnest { input, schema: names, columns },
        Plan::Window(plan) => Plan::Window(WindowPlan { schema: names, ..plan }),
        Plan::Filter { input, predicate } => {
            Plan::Filter { input: Box::new(rename(*input, names)), predicate }
        }
        Plan::Sort { input, keys, limit } => {
            Plan::Sort { input: Box::new(rename(*input, names)), keys, limit }
        }
        Plan::Limit { input, offset, limit } => {
            Plan::Limit { input: Box::new(rename(*input, names)), offset, limit }
        }
        Plan::Recursive(plan) => Plan::Recursive(RecursivePlan { schema: names, ..plan }),
        other @ (Plan::Scan(_) | Plan::Join(_) | Plan::Shared { .. } | Plan::WorkTable { .. }) => {
            let exprs = columns_of(other.schema());
            Plan::Project { input: Box::new(other), schema: names, exprs }
        }
    }
}

/// All columns of a schema, in order.
pub(crate) fn columns_of(schema: &Schema) -> Vec<Expr> {
    let column = |(index, column): (usize, &ColumnDef)| Expr::column(index, column.ty.clone());
    schema.columns.iter().enumerate().map(column).collect()
}

/// The state of one lowering.
#[derive(Default)]
struct Lowerer {
    relations: Vec<Arc<dyn Relation>>,
    subqueries: Vec<Plan>,
    seen: Vec<subquery::Seen>,
    /// The recursive queries whose steps are being translated, outermost first: name and id.
    recursive: Vec<(String, usize)>,
    /// The parameters of the lambdas around the expression that is being translated, outermost first.
    lambdas: Vec<Vec<String>>,
    /// How many recursive queries there are.
    recursions: usize,
}

impl Lowerer {
    /// Translates a node and what is below it.
    fn plan(&mut self, plan: &LogicalPlan) -> Result<Plan> {
        stacker::maybe_grow(STACK_LEFT, STACK_GROWTH, || self.node(plan))
    }

    fn node(&mut self, plan: &LogicalPlan) -> Result<Plan> {
        match plan {
            LogicalPlan::Projection(node) => self.project(node),
            LogicalPlan::Filter(node) => self.filter(node),
            LogicalPlan::TableScan(node) => self.scan(node),
            LogicalPlan::Aggregate(node) => self.aggregate(node),
            LogicalPlan::Distinct(node) => self.distinct(node),
            LogicalPlan::Sort(node) => self.sort(node),
            LogicalPlan::Limit(node) => self.limit(node),
            LogicalPlan::Join(node) => self.join(node),
            LogicalPlan::Union(node) => self.union(node),
            LogicalPlan::Values(node) => self.values(node),
            LogicalPlan::EmptyRelation(node) => empty(node),
            LogicalPlan::SubqueryAlias(node) => self.plan(&node.input),
            LogicalPlan::Subquery(node) => self.plan(&node.subquery),
            LogicalPlan::Repartition(node) => self.plan(&node.input),
            LogicalPlan::Window(node) => self.window(node),
            LogicalPlan::Unnest(node) => self.unnest(node),
            LogicalPlan::RecursiveQuery(node) => self.recursive(node),
            LogicalPlan::Extension(node) => {
                Err(Error::unsupported(format!("the plan node {}", node.node.name())))
            }
            other => Err(Error::internal(format!("not a query: {}", other.display()))),
        }
    }
}

/// When less stack than this is left, recursion goes on on a new piece of this size.
const STACK_LEFT: usize = 128 << 10;
const STACK_GROWTH: usize = 2 << 20;

fn empty(node: &datafusion_expr::EmptyRelation) -> Result<Plan> {
    let schema = schema_of(&node.schema)?;
    let rows = match (node.produce_one_row, schema.is_empty()) {
        (false, _) => Vec::new(),
        (true, true) => vec![Vec::new()],
        (true, false) => return Err(Error::internal("an empty relation with columns and a row")),
    };
    Ok(Plan::Values { schema, rows })
}

/// The engine's view of a logical schema.
fn schema_of(schema: &DFSchema) -> Result<Schema> {
    let column = |field: &arrow::datatypes::FieldRef| -> Result<ColumnDef> {
        Ok(ColumnDef {
            name: unmark(field.name()).to_owned(),
            ty: LogicalType::from_arrow(field.data_type())?,
            nullable: field.is_nullable(),
        })
    };
    Ok(Schema::new(schema.fields().iter().map(column).collect::<Result<_>>()?))
}

/// The library could not do what a bound plan must allow.
fn planner_error(error: DataFusionError) -> Error {
    Error::internal(error.strip_backtrace())
}
