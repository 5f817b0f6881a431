//! LATERAL subqueries over no table, such as `FROM t, unnest(t.list) u(x)`: what they compute is computed on the left rows.
//!
//! Invariants: the plan keeps its schema; columns of the subquery have names of their own on the way, so that none of
//! them is taken for one of the left side. Subqueries over tables are left to the library.

use std::sync::Arc;

use datafusion_common::{
    Column, HashMap, Result, UnnestOptions,
    tree_node::{Transformed, TransformedResult},
};
use datafusion_expr::{
    Expr, Filter, Join, JoinType, LogicalPlan, Projection, Unnest, logical_plan::Subquery,
};
use datafusion_optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

use crate::planner::{rules::unnested::has_keys, scalars::same, trees::TreeWalk};

/// The rule.
#[derive(Debug)]
pub struct ComputeLateral;

impl OptimizerRule for ComputeLateral {
    fn name(&self) -> &str {
        "compute_lateral"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        match plan {
            LogicalPlan::Join(join) if join.join_type == JoinType::Inner && join.on.is_empty() => {
                match chain(&join.right) {
                    Some(nodes) => Ok(Transformed::yes(computed(&join, &nodes)?)),
                    None => Ok(Transformed::no(LogicalPlan::Join(join))),
                }
            }
            other => Ok(Transformed::no(other)),
        }
    }
}

/// Whether the right side of a join is a lateral subquery that computes from the left row alone.
pub fn is_computed(plan: &LogicalPlan) -> bool {
    chain(plan).is_some()
}

/// The nodes of a lateral subquery, the lowest first, when they compute from one row without columns.
fn chain(plan: &LogicalPlan) -> Option<Vec<&LogicalPlan>> {
    let mut nodes = Vec::new();
    let (mut plan, mut lateral) = (plan, false);
    loop {
        plan = match plan {
            LogicalPlan::EmptyRelation(empty)
                if empty.produce_one_row && empty.schema.fields().is_empty() =>
            {
                nodes.reverse();
                return lateral.then_some(nodes);
            }
            LogicalPlan::Subquery(Subquery { subquery, .. }) => {
                lateral = true;
                nodes.push(plan);
                subquery
            }
            LogicalPlan::SubqueryAlias(alias) => {
                nodes.push(plan);
                &alias.input
            }
            LogicalPlan::Projection(projection) => {
                nodes.push(plan);
                &projection.input
            }
            LogicalPlan::Unnest(unnest) => {
                nodes.push(plan);
                &unnest.input
            }
            LogicalPlan::Filter(filter) => {
                nodes.push(plan);
                &filter.input
            }
            _ => return None,
        };
    }
}

/// The left rows, and what the nodes compute of them.
fn computed(join: &Join, nodes: &[&LogicalPlan]) -> Result<LogicalPlan> {
    let mut lateral = Lateral { width: join.left.schema().fields().len(), names: 0 };
    // Its columns: the left side's, then those of the node that was computed last.
    let mut plan = Arc::clone(&join.left);
    let mut inner: Option<&LogicalPlan> = None;
    for &node in nodes {
        plan = lateral.apply(plan, inner, node)?;
        inner = Some(node);
    }
    let rows = nodes.iter().any(|node| matches!(node, LogicalPlan::Unnest(_)));
    let mut exprs = lateral.left(&plan);
    if rows && has_keys(&join.left) {
        for (expr, (qualifier, field)) in exprs.iter_mut().zip(join.left.schema().iter()) {
            *expr = same(expr.clone()).alias_qualified(qualifier.cloned(), field.name());
        }
    }
    let columns = (lateral.width..).map(|index| column(&plan, index));
    for ((qualifier, field), column) in join.right.schema().iter().zip(columns) {
        exprs.push(Expr::Column(column).alias_qualified(qualifier.cloned(), field.name()));
    }
    let plan = LogicalPlan::Projection(Projection::try_new(exprs, plan)?);
    match &join.filter {
        Some(filter) => Ok(LogicalPlan::Filter(Filter::try_new(filter.clone(), Arc::new(plan))?)),
        None => Ok(plan),
    }
}

fn column(plan: &LogicalPlan, index: usize) -> Column {
    Column::from(plan.schema().qualified_field(index))
}

struct Lateral {
    /// How many columns the left side has.
    width: usize,
    /// How many names were made.
    names: usize,
}

impl Lateral {
    fn left(&self, plan: &LogicalPlan) -> Vec<Expr> {
        (0..self.width).map(|index| Expr::Column(column(plan, index))).collect()
    }

    fn name(&mut self) -> String {
        self.names += 1;
        format!("\u{1}lateral{}", self.names)
    }

    /// A node over `plan` instead of over `inner`, its input.
    fn apply(
        &mut self,
        plan: Arc<LogicalPlan>,
        inner: Option<&LogicalPlan>,
        node: &LogicalPlan,
    ) -> Result<Arc<LogicalPlan>> {
        let mut known = HashMap::new();
        for (index, field) in inner.iter().flat_map(|inner| inner.schema().iter()).enumerate() {
            known.insert(Column::from(field), column(&plan, self.width + index));
        }
        let node = match node {
            LogicalPlan::Projection(projection) => {
                let mut exprs = self.left(&plan);
                for expr in &projection.expr {
                    exprs.push(over_left(expr, &known)?.unalias().alias(self.name()));
                }
                LogicalPlan::Projection(Projection::try_new(exprs, plan)?)
            }
            LogicalPlan::Filter(filter) => {
                let predicate = over_left(&filter.predicate, &known)?;
                LogicalPlan::Filter(Filter::try_new(predicate, plan)?)
            }
            LogicalPlan::Unnest(unnest) => {
                let of = |column: &Column| known.get(column).unwrap_or(column).clone();
                let mut options =
                    UnnestOptions { recursions: Vec::new(), ..unnest.options.clone() };
                for recursion in &unnest.options.recursions {
                    let mut recursion = recursion.clone();
                    recursion.input_column = of(&recursion.input_column);
                    recursion.output_column = Column::from_name(self.name());
                    options.recursions.push(recursion);
                }
                let columns = unnest.exec_columns.iter().map(of).collect();
                LogicalPlan::Unnest(Unnest::try_new(plan, columns, options)?)
            }
            // Only other names for the same columns.
            _ => return Ok(plan),
        };
        Ok(Arc::new(node))
    }
}

/// An expression of the subquery over the left side's columns and those known by other names.
fn over_left(expr: &Expr, known: &HashMap<Column, Column>) -> Result<Expr> {
    let replace = |expr: Expr| {
        Ok(match expr {
            Expr::OuterReferenceColumn(_, column) => Transformed::yes(Expr::Column(column)),
            Expr::Column(column) => match known.get(&column) {
                Some(known) => Transformed::yes(Expr::Column(known.clone())),
                None => Transformed::no(Expr::Column(column)),
            },
            other => Transformed::no(other),
        })
    };
    expr.clone().transform_down_dyn(replace).data()
}
