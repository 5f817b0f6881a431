//! LATERAL subqueries over tables: the left rows join the subquery's rows for all of their distinct values (`domain.rs`).
//!
//! Invariants: left to the library is what it does right, correlation by equalities alone; left to `ComputeLateral` is what
//! computes from the left row alone. The rows keep their columns.

use std::sync::Arc;

use datafusion_common::{
    JoinType, Result,
    tree_node::{Transformed, TransformedResult, TreeNodeRecursion},
};
use datafusion_expr::{
    BinaryExpr, Expr, Join, LogicalPlan, Operator, Subquery, utils::split_conjunction,
};

use super::{Unnester, domain::Domain, plans};
use crate::planner::{check::check_lateral, rules::is_computed, trees::TreeWalk};

impl Unnester<'_> {
    /// A join with a LATERAL subquery; `None` where it is left to others.
    pub(super) fn lateral(&mut self, join: &Join) -> Result<Option<LogicalPlan>> {
        let kinds = matches!(join.join_type, JoinType::Inner | JoinType::Left);
        if !kinds || !join.on.is_empty() {
            return Ok(None);
        }
        let Some(lateral) = lateral_of(&join.right) else { return Ok(None) };
        if lateral.outer_ref_columns.is_empty()
            || (join.join_type == JoinType::Inner && is_computed(&join.right))
        {
            return Ok(None);
        }
        let refused = check_lateral(&lateral.subquery).is_err();
        if !refused && by_equality(&lateral.subquery)? {
            return Ok(None);
        }
        let left = self.plan(join.left.as_ref().clone(), false)?;
        match self.lateral_rows(join, left) {
            Ok(plan) => Ok(Some(plan)),
            Err(error) if refused => Err(error),
            Err(_) => Ok(None),
        }
    }

    fn lateral_rows(&mut self, join: &Join, left: LogicalPlan) -> Result<LogicalPlan> {
        // The subquery under its names, as if it stood there without LATERAL.
        let inner = join.right.as_ref().clone().transform_down_dyn(|node| match node {
            LogicalPlan::Subquery(Subquery { subquery, .. }) => {
                Ok(Transformed::new(Arc::unwrap_or_clone(subquery), true, TreeNodeRecursion::Stop))
            }
            node => Ok(Transformed::no(node)),
        });
        let inner = self.plan(inner.data()?, false)?;
        let used = plans::used(&inner, left.schema())?;
        if used.is_empty() {
            return plans::refuse("a LATERAL subquery that uses columns of a query further out");
        }
        let domain = Domain::new(&left, &used, &mut self.names)?;
        let rows = self.push(&inner, &domain)?;
        let mut conditions: Vec<Expr> = join.filter.iter().cloned().collect();
        for (column, name) in domain.columns() {
            let value = plans::named(rows.schema(), name)?;
            conditions.push(plans::same(Expr::Column(column.clone()), value));
        }
        let joined = plans::join(left, rows, join.join_type, conditions, false)?;
        plans::project(joined, plans::columns(&join.schema))
    }
}

/// The LATERAL subquery that a join's right side is, under other names perhaps.
fn lateral_of(plan: &LogicalPlan) -> Option<&Subquery> {
    match plan {
        LogicalPlan::Subquery(subquery) => Some(subquery),
        LogicalPlan::SubqueryAlias(alias) => lateral_of(&alias.input),
        LogicalPlan::Projection(projection) => lateral_of(&projection.input),
        _ => None,
    }
}

/// Whether the columns of the outer query stand nowhere but in equalities of a filter.
fn by_equality(plan: &LogicalPlan) -> Result<bool> {
    let is_outer = |expr: &Expr| matches!(expr, Expr::OuterReferenceColumn(..));
    let uses_outer = |expr: &Expr| expr.exists_dyn(|expr| Ok(is_outer(expr))).unwrap_or(true);
    let mut found = true;
    plan.apply_dyn(|node| {
        let plain = match node {
            LogicalPlan::Filter(filter) => {
                split_conjunction(&filter.predicate).into_iter().all(|condition| match condition {
                    Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
                        (is_outer(left) && !uses_outer(right))
                            || (is_outer(right) && !uses_outer(left))
                            || !uses_outer(condition)
                    }
                    condition => !uses_outer(condition),
                })
            }
            node => !node.expressions().iter().any(uses_outer),
        };
        found &= plain;
        Ok(if found { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    })?;
    Ok(found)
}
