//! Subqueries in expressions become joins: EXISTS, IN, ANY and ALL wherever they stand, and scalar subqueries that use
//! columns of the enclosing query.
//!
//! In WHERE, a condition that is one test becomes a semi or anti join. Everywhere else the test becomes a mark join, whose
//! mark the expression reads; where NULL and FALSE differ, IN also asks whether the subquery has rows and NULLs
//! (`value.rs`). Correlation becomes join conditions (`lift.rs`) or, failing that, rows (`domain.rs`).
//! Invariants: runs before types are found; keeps the columns of every plan; leaves no subquery in an expression other
//! than uncorrelated scalar ones, which run first. The work grows with the rows, not with their product, except where the
//! correlation is no equality.

mod domain;
mod guard;
mod lateral;
mod lift;
mod plans;
mod scalar;
mod value;

use std::sync::Arc;

use datafusion_common::{DFSchema, JoinType, Result, tree_node::Transformed};
use datafusion_expr::{
    Aggregate, Distinct, DistinctOn, Expr, Join, LogicalPlan, Sort, SortExpr, Subquery,
    expr::{Exists, InSubquery, SetComparison},
    utils::split_conjunction_owned,
};

use self::{
    guard::{GUARDS, may_raise_within},
    plans::Names,
};
use crate::planner::{
    check::check_lateral,
    functions::Functions,
    trees::{PlanWalk, TreeWalk},
};

/// Rewrites a plan that has no types yet.
///
/// # Errors
/// `Unsupported`, naming the construct, for correlation of a form that is not planned.
pub fn unnest(plan: LogicalPlan, functions: &Functions) -> Result<LogicalPlan> {
    Unnester { functions, names: Names::default(), pushed: 0 }.plan(plan, false)
}

struct Unnester<'a> {
    functions: &'a Functions,
    names: Names,
    /// How many nodes have been computed for all values of a domain.
    pushed: usize,
}

/// A node's input, as far as it has got.
struct Site {
    /// With the columns that stand for subqueries.
    plan: LogicalPlan,
    /// Without them: what subqueries are correlated with.
    base: LogicalPlan,
    /// How many times subqueries guard others here.
    guards: usize,
    /// What holds of the rows for which the subquery at hand is asked.
    guard: Option<Expr>,
}

impl Site {
    fn new(plan: LogicalPlan) -> Self {
        Self { base: plan.clone(), plan, guards: 0, guard: None }
    }

    /// Keeps the rows for which the conditions hold.
    fn filter(&mut self, conditions: Vec<Expr>) -> Result<()> {
        let of_base = conditions.iter().filter(|condition| self.of_base(condition));
        self.base = plans::filter(self.base.clone(), of_base.cloned().collect())?;
        self.plan = plans::filter(self.plan.clone(), conditions)?;
        Ok(())
    }

    /// Takes the rows of `plan` as those that subqueries are correlated with: what has been asked of them guards these.
    fn catch_up(&mut self) -> Result<()> {
        if self.guards < GUARDS && !self.is_volatile()? {
            self.guards += 1;
            self.base = plans::project(self.plan.clone(), plans::columns(self.base.schema()))?;
        }
        Ok(())
    }

    fn is_volatile(&self) -> Result<bool> {
        self.plan.exists_dyn(|node| Ok(node.expressions().iter().any(Expr::is_volatile)))
    }

    /// Whether an expression uses no column that stands for a subquery.
    fn of_base(&self, expr: &Expr) -> bool {
        expr.column_refs().iter().all(|c| self.base.schema().index_of_column(c).is_ok())
    }

    fn schema(&self) -> &DFSchema {
        self.base.schema()
    }
}

/// Whether an expression holds a subquery that has to become a join.
fn needs(expr: &Expr) -> Result<bool> {
    expr.exists_dyn(|expr| {
        Ok(match expr {
            Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_) => true,
            Expr::ScalarSubquery(subquery) => plans::is_correlated(&subquery.subquery)?,
            _ => false,
        })
    })
}

fn any_needs<'e>(exprs: impl IntoIterator<Item = &'e Expr>) -> Result<bool> {
    for expr in exprs {
        if needs(expr)? {
            return Ok(true);
        }
    }
    Ok(false)
}

impl Unnester<'_> {
    /// A plan and what is below it. `beside`: it is the right side of a join, whose left side LATERAL sees.
    fn plan(&mut self, plan: LogicalPlan, beside: bool) -> Result<LogicalPlan> {
        stacker::maybe_grow(256 << 10, 4 << 20, || self.node(plan, beside))
    }

    fn node(&mut self, plan: LogicalPlan, beside: bool) -> Result<LogicalPlan> {
        if let LogicalPlan::Aggregate(node) = &plan
            && node.aggr_expr.iter().any(is_of_outer)
        {
            return plans::refuse("an outer query's aggregate within a subquery");
        }
        if let LogicalPlan::Join(join) = &plan
            && let Some(joined) = self.lateral(join)?
        {
            // What stands in ON is asked of the rows.
            return if any_needs(&joined.expressions())? {
                self.joined(joined)
            } else {
                Ok(joined)
            };
        }
        let is_join = matches!(plan, LogicalPlan::Join(_));
        let passes = match &plan {
            LogicalPlan::Subquery(lateral) => {
                if !beside {
                    // Nothing stands beside it: its outer columns are those of an enclosing query.
                    return self.plan(lateral.subquery.as_ref().clone(), false);
                }
                if !lateral.outer_ref_columns.is_empty() {
                    check_lateral(&lateral.subquery).map_err(plans::external)?;
                }
                false
            }
            LogicalPlan::SubqueryAlias(_) | LogicalPlan::Projection(_) => beside,
            _ => false,
        };
        let mut child = 0;
        let plan = plan.map_children_dyn(|input| {
            child += 1;
            let beside = if is_join { child == 2 } else { passes };
            self.plan(input, beside).map(Transformed::yes)
        });
        let plan = plan?.data;
        let plan =
            plan.map_expressions_dyn(|expr| expr.transform_up_dyn(|expr| self.inside(expr)))?.data;
        if any_needs(&plan.expressions())? { self.joined(plan) } else { Ok(plan) }
    }

    /// A node whose expressions hold subqueries, over its input joined with them.
    fn joined(&mut self, plan: LogicalPlan) -> Result<LogicalPlan> {
        match plan {
            LogicalPlan::Filter(node) => {
                self.filter(Arc::unwrap_or_clone(node.input), node.predicate)
            }
            LogicalPlan::Projection(node) => {
                let mut site = Site::new(Arc::unwrap_or_clone(node.input));
                let exprs = self.values(node.expr, &node.schema, 0, &mut site)?;
                plans::project(site.plan, exprs)
            }
            LogicalPlan::Aggregate(node) => {
                let mut site = Site::new(Arc::unwrap_or_clone(node.input));
                let first = node.schema.fields().len() - node.aggr_expr.len();
                let groups = self.values(node.group_expr, &node.schema, 0, &mut site)?;
                let calls = self.values(node.aggr_expr, &node.schema, first, &mut site)?;
                let rows = Aggregate::try_new(Arc::new(site.plan), groups, calls)?;
                Ok(LogicalPlan::Aggregate(rows))
            }
            LogicalPlan::Sort(node) => {
                let shown = plans::columns(node.input.schema());
                let mut site = Site::new(with_columns_of(&node)?);
                let expr = self.keys(node.expr, &mut site)?;
                let input = Arc::new(site.plan);
                plans::project(LogicalPlan::Sort(Sort { expr, input, fetch: node.fetch }), shown)
            }
            LogicalPlan::Distinct(Distinct::On(node)) => {
                let mut site = Site::new(Arc::unwrap_or_clone(node.input));
                let rewrite = |this: &mut Self, exprs: Vec<Expr>, site: &mut Site| {
                    let value = |expr| this.value(expr, site, false);
                    exprs.into_iter().map(value).collect::<Result<Vec<_>>>()
                };
                let on = rewrite(self, node.on_expr, &mut site)?;
                let selected = self.values(node.select_expr, &node.schema, 0, &mut site)?;
                let keys = node.sort_expr.map(|keys| self.keys(keys, &mut site)).transpose()?;
                let rows = DistinctOn::try_new(on, selected, keys, Arc::new(site.plan))?;
                Ok(LogicalPlan::Distinct(Distinct::On(rows)))
            }
            LogicalPlan::Join(node) => self.condition_of_join(node),
            LogicalPlan::Values(_) => {
                plans::refuse("EXISTS, IN and correlated subqueries in VALUES (write SELECT)")
            }
            LogicalPlan::Window(_) => {
                plans::refuse("EXISTS and IN (subquery) in a window function")
            }
            LogicalPlan::Limit(_) => plans::refuse("a subquery in LIMIT or OFFSET"),
            plan => Ok(plan),
        }
    }

    /// The subqueries within a subquery.
    fn inside(&mut self, expr: Expr) -> Result<Transformed<Expr>> {
        let mut inside = |subquery: Subquery| -> Result<Subquery> {
            let plan = self.plan(Arc::unwrap_or_clone(subquery.subquery), false)?;
            Ok(Subquery { subquery: Arc::new(plan), ..subquery })
        };
        Ok(Transformed::yes(match expr {
            Expr::ScalarSubquery(subquery) => Expr::ScalarSubquery(inside(subquery)?),
            Expr::Exists(Exists { subquery, negated }) => {
                Expr::Exists(Exists { subquery: inside(subquery)?, negated })
            }
            Expr::InSubquery(InSubquery { expr, subquery, negated }) => {
                Expr::InSubquery(InSubquery { expr, subquery: inside(subquery)?, negated })
            }
            Expr::SetComparison(SetComparison { expr, subquery, op, quantifier }) => {
                let subquery = inside(subquery)?;
                Expr::SetComparison(SetComparison { expr, subquery, op, quantifier })
            }
            other => return Ok(Transformed::no(other)),
        }))
    }

    /// Expressions under the names that fields of a schema have.
    fn values(
        &mut self,
        exprs: Vec<Expr>,
        schema: &DFSchema,
        first: usize,
        site: &mut Site,
    ) -> Result<Vec<Expr>> {
        let mut values = Vec::with_capacity(exprs.len());
        for (position, expr) in exprs.into_iter().enumerate() {
            let sets = matches!(expr, Expr::GroupingSet(_));
            let value = self.value(expr, site, false)?;
            values.push(match sets {
                true => value,
                false => plans::keep_name(value, schema, first + position),
            });
        }
        Ok(values)
    }

    fn keys(&mut self, keys: Vec<SortExpr>, site: &mut Site) -> Result<Vec<SortExpr>> {
        let key = |key: SortExpr| Ok(SortExpr { expr: self.value(key.expr, site, false)?, ..key });
        keys.into_iter().map(key).collect()
    }

    /// WHERE and HAVING: condition after condition, so that those before a test guard it.
    fn filter(&mut self, input: LogicalPlan, predicate: Expr) -> Result<LogicalPlan> {
        let shown = plans::columns(input.schema());
        let mut site = Site::new(input);
        let (mut pending, mut tested) = (Vec::new(), false);
        for condition in split_conjunction_owned(predicate) {
            if !needs(&condition)? {
                pending.push(condition);
                continue;
            }
            site.filter(std::mem::take(&mut pending))?;
            if tested && may_raise_within(&condition)? {
                site.catch_up()?;
            }
            tested = true;
            if let Some(condition) = self.test(condition, &mut site)? {
                pending.push(condition);
            }
        }
        site.filter(pending)?;
        match site.plan.schema().fields().len() == shown.len() {
            true => Ok(site.plan),
            false => plans::project(site.plan, shown),
        }
    }

    /// ON: the tests of an inner join are asked above it, those of an outer one below it on the side that they use.
    fn condition_of_join(&mut self, node: Join) -> Result<LogicalPlan> {
        let on = node.on.iter().flat_map(|(left, right)| [left, right]);
        if any_needs(on)? {
            return plans::refuse("a correlated subquery in USING");
        }
        let Some(filter) = node.filter else { return Ok(LogicalPlan::Join(node)) };
        let shown = plans::columns(&node.schema);
        let (mut tests, mut plain) = (Vec::new(), Vec::new());
        for condition in split_conjunction_owned(filter) {
            if needs(&condition)? { tests.push(condition) } else { plain.push(condition) }
        }
        if node.join_type == JoinType::Inner {
            let filter = datafusion_expr::utils::conjunction(plain);
            let joined = LogicalPlan::Join(Join { filter, ..node });
            let Some(tests) = datafusion_expr::utils::conjunction(tests) else { return Ok(joined) };
            return self.filter(joined, tests);
        }
        let mut left = Site::new(Arc::unwrap_or_clone(node.left));
        let mut right = Site::new(Arc::unwrap_or_clone(node.right));
        for test in tests {
            let columns = columns_of(&test)?;
            let within = |side: &Site| {
                columns.iter().all(|column| side.schema().index_of_column(column).is_ok())
            };
            let side = match (within(&left), within(&right)) {
                (true, _) => &mut left,
                (_, true) => &mut right,
                _ => {
                    return plans::refuse(
                        "a subquery in ON of an outer join that uses columns of both sides",
                    );
                }
            };
            plain.push(self.value(test, side, true)?);
        }
        let joined = Join::try_new(
            Arc::new(left.plan),
            Arc::new(right.plan),
            node.on,
            datafusion_expr::utils::conjunction(plain),
            node.join_type,
            node.join_constraint,
            node.null_equality,
            node.null_aware,
        )?;
        plans::project(LogicalPlan::Join(joined), shown)
    }
}

/// Whether an aggregate belongs to an enclosing query: it is over columns of such queries alone.
fn is_of_outer(call: &Expr) -> bool {
    let outer = call.exists_dyn(|expr| Ok(matches!(expr, Expr::OuterReferenceColumn(..))));
    outer.unwrap_or(true) && !call.any_column_refs()
}

/// The input of a sort, with the columns that only subqueries in its keys use.
fn with_columns_of(sort: &Sort) -> Result<LogicalPlan> {
    let mut missing: Vec<Expr> = Vec::new();
    let input = sort.input.as_ref();
    for key in &sort.expr {
        for column in columns_of(&key.expr)? {
            let column_expr = Expr::Column(column.clone());
            if input.schema().index_of_column(&column).is_err() && !missing.contains(&column_expr) {
                missing.push(column_expr);
            }
        }
    }
    if missing.is_empty() {
        return Ok(input.clone());
    }
    let LogicalPlan::Projection(projection) = input else {
        return plans::refuse("a subquery in ORDER BY with a column that is not in the output");
    };
    let mut exprs = projection.expr.clone();
    let below = projection.input.schema();
    for column in missing {
        let known = column.column_refs().iter().all(|c| below.index_of_column(c).is_ok());
        // Others are columns of a query further out.
        if known {
            exprs.push(column);
        }
    }
    plans::project(projection.input.as_ref().clone(), exprs)
}

/// The columns that an expression uses, its subqueries included.
fn columns_of(expr: &Expr) -> Result<Vec<datafusion_common::Column>> {
    use datafusion_common::tree_node::TreeNodeRecursion;
    let mut found: Vec<datafusion_common::Column> =
        expr.column_refs().into_iter().cloned().collect();
    expr.apply_dyn(|expr| {
        let (Expr::Exists(Exists { subquery, .. })
        | Expr::InSubquery(InSubquery { subquery, .. })
        | Expr::SetComparison(SetComparison { subquery, .. })
        | Expr::ScalarSubquery(subquery)) = expr
        else {
            return Ok(TreeNodeRecursion::Continue);
        };
        for outer in subquery.subquery.all_out_ref_exprs() {
            if let Expr::OuterReferenceColumn(_, column) = outer {
                found.push(column);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}
