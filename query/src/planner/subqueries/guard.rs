//! Subqueries behind conditions within an expression: CASE, AND, OR and COALESCE.
//!
//! Invariant: a subquery that may raise an error is computed for those rows only for which the expression asks for its
//! value: the conditions before it narrow the rows that it is correlated with. Where conditions draw a random value, or
//! more than a few are themselves subqueries, it is computed for all rows, as without them.

use datafusion_common::Result;
use datafusion_expr::{
    Expr, LogicalPlan, Operator,
    expr::{BinaryExpr, Case, Exists, InSubquery, ScalarFunction, SetComparison},
    when,
};

use super::{Site, Unnester, needs, plans, scalar::at_most_one};
use crate::{lower::may_raise, planner::trees::TreeWalk};

/// How many times at most subqueries guard others at one place: each guard holds the plans of those before it.
pub(super) const GUARDS: usize = 4;

impl Site {
    /// Narrows the rows that subqueries are correlated with to those for which the conditions hold. What was before, if
    /// that was possible.
    fn narrow(&mut self, conditions: &[Expr]) -> Result<Option<(LogicalPlan, Option<Expr>)>> {
        if conditions.iter().any(Expr::is_volatile) {
            return Ok(None);
        }
        let of_base = conditions.iter().all(|condition| self.of_base(condition));
        if !of_base && (self.guards >= GUARDS || self.is_volatile()?) {
            return Ok(None);
        }
        let before = self.base.clone();
        self.base = match of_base {
            true => plans::filter(before.clone(), conditions.to_vec())?,
            false => {
                self.guards += 1;
                let rows = plans::filter(self.plan.clone(), conditions.to_vec())?;
                plans::project(rows, plans::columns(before.schema()))?
            }
        };
        let guard = conditions.iter().cloned().chain(self.guard.clone()).reduce(Expr::and);
        Ok(Some((before, std::mem::replace(&mut self.guard, guard))))
    }

    /// A condition of a join whose enclosing query's side is computed where the guard holds; elsewhere nothing matches.
    pub(super) fn behind_guard(&self, condition: Expr) -> Result<Expr> {
        let Some(guard) = &self.guard else { return Ok(condition) };
        let behind = |expr: Expr| match expr {
            Expr::Column(_) | Expr::Literal(..) => Ok(expr),
            expr => when(guard.clone(), expr).end(),
        };
        match condition {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right })
                if matches!(*right, Expr::Column(_)) =>
            {
                Ok(behind(*left)?.eq(*right))
            }
            condition => behind(condition),
        }
    }
}

impl Unnester<'_> {
    /// An expression with its subqueries as columns, computed for rows for which the conditions hold.
    fn guarded(
        &mut self,
        expr: Expr,
        site: &mut Site,
        conditions: &[Expr],
        truth: bool,
    ) -> Result<Expr> {
        let narrow = !conditions.is_empty() && (may_raise_within(&expr)? || computes(&expr)?);
        let before = if narrow { site.narrow(conditions)? } else { None };
        let value = self.value(expr, site, truth);
        if let Some(before) = before {
            (site.base, site.guard) = before;
        }
        value
    }

    /// `left AND right`, `left OR right`.
    pub(super) fn junction(
        &mut self,
        BinaryExpr { left, op, right }: BinaryExpr,
        site: &mut Site,
        truth: bool,
    ) -> Result<Expr> {
        let left = self.value(*left, site, truth)?;
        let asked = match op {
            Operator::Or => left.clone().is_not_true(),
            _ if truth => left.clone(),
            _ => left.clone().is_not_false(),
        };
        let right = self.guarded(*right, site, &[asked], truth)?;
        Ok(Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right))))
    }

    pub(super) fn case(&mut self, case: Case, site: &mut Site) -> Result<Expr> {
        let mut value = |expr: Expr, conditions: &[Expr], site: &mut Site| {
            self.guarded(expr, site, conditions, false).map(Box::new)
        };
        let expr = case.expr.map(|expr| value(*expr, &[], site)).transpose()?;
        let mut conditions: Vec<Expr> = Vec::new();
        let mut when_then_expr = Vec::with_capacity(case.when_then_expr.len());
        for (when, then) in case.when_then_expr {
            let when = value(*when, &conditions, site)?;
            let asked = match &expr {
                Some(expr) => expr.as_ref().clone().eq(when.as_ref().clone()),
                None => when.as_ref().clone(),
            };
            conditions.push(asked.clone());
            let then = value(*then, &conditions, site)?;
            conditions.pop();
            conditions.push(asked.is_not_true());
            when_then_expr.push((when, then));
        }
        let else_expr = case.else_expr.map(|expr| value(*expr, &conditions, site)).transpose()?;
        Ok(Expr::Case(Case { expr, when_then_expr, else_expr }))
    }

    /// COALESCE: an argument counts where those before it are NULL.
    pub(super) fn coalesce(&mut self, call: ScalarFunction, site: &mut Site) -> Result<Expr> {
        let mut conditions: Vec<Expr> = Vec::new();
        let mut args = Vec::with_capacity(call.args.len());
        for arg in call.args {
            let arg = self.guarded(arg, site, &conditions, false)?;
            conditions.push(arg.clone().is_null());
            args.push(arg);
        }
        Ok(Expr::ScalarFunction(ScalarFunction { args, ..call }))
    }
}

/// Whether a value is computed that is looked for in a subquery.
fn computes(expr: &Expr) -> Result<bool> {
    expr.exists_dyn(|expr| {
        let (Expr::InSubquery(InSubquery { expr, .. })
        | Expr::SetComparison(SetComparison { expr, .. })) = expr
        else {
            return Ok(false);
        };
        Ok(!matches!(expr.as_ref(), Expr::Column(_) | Expr::Literal(..)))
    })
}

/// Whether an expression holds a subquery that may raise an error which conditions before it can keep away.
pub(super) fn may_raise_within(expr: &Expr) -> Result<bool> {
    if !needs(expr)? {
        return Ok(false);
    }
    expr.exists_dyn(|expr| {
        let raises = |plan| Ok(plans::is_correlated(plan)? && may_raise(plan)?);
        match expr {
            Expr::Exists(Exists { subquery, .. })
            | Expr::InSubquery(InSubquery { subquery, .. })
            | Expr::SetComparison(SetComparison { subquery, .. }) => raises(&subquery.subquery),
            Expr::ScalarSubquery(subquery) => {
                let plan = &subquery.subquery;
                Ok(raises(plan)? || (plans::is_correlated(plan)? && !at_most_one(plan)?))
            }
            _ => Ok(false),
        }
    })
}
