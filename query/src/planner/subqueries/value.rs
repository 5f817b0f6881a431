//! EXISTS, IN, ANY and ALL as values.
//!
//! Invariant: NULL comes out exactly where SQL has it: for `x IN (q)` when nothing matches and `x` or a value of `q` is
//! NULL, unless `q` is empty. `x < ANY (q)` is decided by the largest value of `q`, its NULLs and its number of rows.

use std::sync::Arc;

use datafusion_common::{Column, JoinType, Result, ScalarValue, tree_node::Transformed};
use datafusion_expr::{
    Aggregate, BinaryExpr, Distinct, Expr, ExprSchemable, FetchType, LogicalPlan,
    LogicalPlanBuilder, Operator, SkipType, Subquery,
    expr::{AggregateFunction, Exists, InSubquery, SetComparison, SetQuantifier},
    lit, when,
};

use super::{
    Site, Unnester,
    domain::Domain,
    lift::lift,
    needs,
    plans::{self, alias, columns, external, named, of},
};
use crate::{error::Error, planner::trees::TreeWalk};

/// A subquery as the right side of a join.
struct Matching {
    plan: LogicalPlan,
    conditions: Vec<Expr>,
    /// The side's name.
    name: String,
    /// Whether a condition uses its columns.
    joins: bool,
}

fn null() -> Expr {
    Expr::Literal(ScalarValue::Boolean(None), None)
}

impl Unnester<'_> {
    /// A condition of WHERE that holds a subquery. What is left to ask of the rows, unless a join has asked it.
    pub(super) fn test(&mut self, condition: Expr, site: &mut Site) -> Result<Option<Expr>> {
        match turned(condition) {
            Expr::Exists(Exists { subquery, negated }) => {
                let found = self.matching(site, &subquery.subquery, None)?;
                if !found.joins {
                    let exists = self.rows(found, site)?;
                    return Ok(Some(if negated { !exists } else { exists }));
                }
                let kind = if negated { JoinType::LeftAnti } else { JoinType::LeftSemi };
                site.plan =
                    plans::join(site.plan.clone(), found.plan, kind, found.conditions, false)?;
                Ok(None)
            }
            Expr::InSubquery(InSubquery { expr, subquery, negated }) if !needs(&expr)? => {
                let plan = &subquery.subquery;
                let alone = plans::used(plan, site.schema())?.is_empty();
                if negated && !(alone && expr.any_column_refs()) {
                    let test = InSubquery { expr, subquery, negated };
                    return self.value(Expr::InSubquery(test), site, true).map(Some);
                }
                let nulls = expr.nullable(site.plan.schema()).unwrap_or(true)
                    || plan.schema().fields().iter().any(|field| field.is_nullable());
                let found = self.matching(site, plan, Some(*expr))?;
                let (left, asked) = (site.plan.clone(), found.conditions);
                site.plan = match negated {
                    true => plans::join(left, found.plan, JoinType::LeftAnti, asked, nulls)?,
                    false => plans::join(left, found.plan, JoinType::LeftSemi, asked, false)?,
                };
                Ok(None)
            }
            other => self.value(other, site, true).map(Some),
        }
    }

    /// An expression with its subqueries as columns of the site. `truth`: FALSE and NULL mean the same here.
    pub(super) fn value(&mut self, expr: Expr, site: &mut Site, truth: bool) -> Result<Expr> {
        if !needs(&expr)? {
            return Ok(expr);
        }
        stacker::maybe_grow(256 << 10, 4 << 20, || self.value_here(expr, site, truth))
    }

    fn value_here(&mut self, expr: Expr, site: &mut Site, truth: bool) -> Result<Expr> {
        match if truth { turned(expr) } else { expr } {
            Expr::BinaryExpr(junction) if matches!(junction.op, Operator::And | Operator::Or) => {
                self.junction(junction, site, truth)
            }
            Expr::Case(case) => self.case(case, site),
            Expr::ScalarFunction(call) if call.name() == "coalesce" => self.coalesce(call, site),
            Expr::Exists(Exists { subquery, negated }) => {
                let exists = self.mark(site, &subquery.subquery, None)?;
                Ok(if negated { !exists } else { exists })
            }
            Expr::InSubquery(InSubquery { expr, subquery, negated }) => {
                let expr = self.value(*expr, site, false)?;
                self.is_in(site, expr, &subquery, negated, truth)
            }
            Expr::SetComparison(SetComparison { expr, subquery, op, quantifier }) => {
                let expr = self.value(*expr, site, false)?;
                let all = quantifier == SetQuantifier::All;
                match (op, all) {
                    (Operator::Eq, false) => self.is_in(site, expr, &subquery, false, truth),
                    (Operator::NotEq, true) => self.is_in(site, expr, &subquery, true, truth),
                    (op, false) => self.is_any(site, expr, &subquery, op),
                    (op, true) => match op.negate() {
                        Some(op) => Ok(!self.is_any(site, expr, &subquery, op)?),
                        None => plans::refuse(format!("{op} ALL (subquery)")),
                    },
                }
            }
            Expr::ScalarSubquery(subquery) if plans::is_correlated(&subquery.subquery)? => {
                self.scalar(site, &subquery.subquery)
            }
            other => {
                let inner = other.map_children_dyn(|child| {
                    self.value(child, site, false).map(Transformed::yes)
                })?;
                Ok(inner.data)
            }
        }
    }

    /// Whether the subquery has a row, one whose first column equals `value` if that is given.
    fn mark(&mut self, site: &mut Site, plan: &LogicalPlan, value: Option<Expr>) -> Result<Expr> {
        let found = self.matching(site, plan, value)?;
        if !found.joins {
            return self.rows(found, site);
        }
        let mark = of(&found.name, "mark");
        let kind = JoinType::LeftMark;
        site.plan = plans::join(site.plan.clone(), found.plan, kind, found.conditions, false)?;
        Ok(mark)
    }

    fn is_in(
        &mut self,
        site: &mut Site,
        value: Expr,
        subquery: &Subquery,
        negated: bool,
        truth: bool,
    ) -> Result<Expr> {
        let plan = &subquery.subquery;
        one_column(plan)?;
        let mark = self.mark(site, plan, Some(value.clone()))?;
        if truth && !negated {
            return Ok(mark);
        }
        let column = columns(plan.schema()).swap_remove(0);
        let rows = self.call("count", lit(1_i64))?;
        let values = self.call("count", column)?;
        // 0: no rows, 1: no NULL among them, 2: some.
        let kind = |rows: Expr, values: Expr| {
            when(rows.clone().eq(lit(0_i64)), lit(0_i64))
                .when(values.lt(rows), lit(2_i64))
                .otherwise(lit(1_i64))
        };
        let kind = self.of_all(site, plan, vec![rows, values], |mut made| {
            let values = made.pop().unwrap_or_default();
            kind(made.pop().unwrap_or_default(), values)
        })?;
        let found = when(mark, lit(true))
            .when(kind.clone().eq(lit(0_i64)), lit(false))
            .when(value.is_null().or(kind.eq(lit(2_i64))), null())
            .otherwise(lit(false))?;
        Ok(if negated { !found } else { found })
    }

    /// `value op ANY (q)` for an order or `<>`.
    fn is_any(
        &mut self,
        site: &mut Site,
        value: Expr,
        subquery: &Subquery,
        op: Operator,
    ) -> Result<Expr> {
        let plan = &subquery.subquery;
        one_column(plan)?;
        let bounds: &[&str] = match op {
            Operator::Lt | Operator::LtEq => &["max"],
            Operator::Gt | Operator::GtEq => &["min"],
            Operator::Eq | Operator::NotEq => &["min", "max"],
            op => return plans::refuse(format!("{op} ANY (subquery)")),
        };
        let column = columns(plan.schema()).swap_remove(0);
        let mut hit: Option<Expr> = None;
        for bound in bounds {
            let call = self.call(bound, column.clone())?;
            let first = |made: Vec<Expr>| Ok(made.into_iter().next().unwrap_or_default());
            let bound = self.of_all(site, plan, vec![call], first)?;
            let test = datafusion_expr::binary_expr(value.clone(), op, bound);
            hit = Some(match hit {
                Some(hit) if op == Operator::Eq => hit.and(test),
                Some(hit) => hit.or(test),
                None => test,
            });
        }
        let rows = self.call("count", lit(1_i64))?;
        let values = self.call("count", column)?;
        let kind = self.of_all(site, plan, vec![rows, values], |mut made| {
            let values = made.pop().unwrap_or_default();
            let rows = made.pop().unwrap_or_default();
            when(rows.clone().eq(lit(0_i64)), lit(0_i64))
                .when(values.lt(rows), lit(2_i64))
                .otherwise(lit(1_i64))
        })?;
        when(kind.clone().eq(lit(0_i64)), lit(false))
            .when(hit.unwrap_or_else(null), lit(true))
            .when(value.is_null().or(kind.eq(lit(2_i64))), null())
            .otherwise(lit(false))
    }

    /// What is computed of aggregates over all rows of a subquery.
    fn of_all(
        &mut self,
        site: &mut Site,
        plan: &LogicalPlan,
        calls: Vec<Expr>,
        result: impl FnOnce(Vec<Expr>) -> Result<Expr>,
    ) -> Result<Expr> {
        let rows = Aggregate::try_new(Arc::new(plan.clone()), Vec::new(), calls)?;
        let rows = LogicalPlan::Aggregate(rows);
        let result = result(columns(rows.schema()))?.alias("value");
        self.scalar(site, &plans::project(rows, vec![result])?)
    }

    /// A call of one of our aggregates.
    pub(super) fn call(&mut self, name: &str, arg: Expr) -> Result<Expr> {
        let Some(function) = self.functions.aggregate(name) else {
            return Err(external(Error::internal(format!("there is no aggregate {name}()"))));
        };
        let call = AggregateFunction::new_udf(function, vec![arg], false, None, Vec::new(), None);
        Ok(Expr::AggregateFunction(call).alias(self.names.next()))
    }

    /// Whether rows exist, of a subquery that no condition joins.
    fn rows(&mut self, found: Matching, site: &mut Site) -> Result<Expr> {
        let mut plan = found.plan;
        if !plans::is_correlated(&plan)? {
            plan = LogicalPlanBuilder::from(plan).limit(0, Some(1))?.build()?;
        }
        let count = self.call("count", lit(1_i64))?;
        let any = |made: Vec<Expr>| Ok(made.into_iter().next().unwrap_or_default().gt(lit(0_i64)));
        let exists = self.of_all(site, &plan, vec![count], any)?;
        let asked = datafusion_expr::utils::conjunction(found.conditions);
        Ok(match asked {
            Some(asked) => asked.is_true().and(exists),
            None => exists,
        })
    }

    /// A subquery as the right side of a semi, anti or mark join.
    fn matching(
        &mut self,
        site: &Site,
        plan: &LogicalPlan,
        value: Option<Expr>,
    ) -> Result<Matching> {
        let plan = stripped(plan, value.is_none())?;
        let first = match &value {
            Some(_) => {
                one_column(plan)?;
                Some(columns(plan.schema()).swap_remove(0))
            }
            None => None,
        };
        let outer = site.base.schema();
        let used = plans::used(plan, outer)?;
        let (rows, asked, names) = match lift(plan, outer, true, &mut self.names)? {
            Some(lifted) => (lifted.plan, lifted.conditions, lifted.names),
            None => {
                let domain = Domain::new(&site.base, &used, &mut self.names)?;
                let rows = self.push(plan, &domain)?;
                let asked = domain.columns().iter().map(|(column, name)| {
                    let made = Expr::Column(Column::new_unqualified(name.clone()));
                    plans::same(Expr::Column(column.clone()), made)
                });
                let names = domain.columns().iter().map(|(_, name)| name.clone()).collect();
                (rows, asked.collect(), names)
            }
        };
        let name = self.names.next();
        let mut shown = Vec::with_capacity(names.len() + 1);
        let mut conditions = Vec::with_capacity(asked.len() + 1);
        if let (Some(first), Some(value)) = (first, value) {
            let made = self.names.next_for(&first);
            shown.push(first.alias(made.clone()));
            conditions.push(site.behind_guard(value.eq(of(&name, &made)))?);
        }
        for made in &names {
            shown.push(named(rows.schema(), made)?.alias(made.clone()));
        }
        let joins = !shown.is_empty();
        if !joins {
            shown.push(lit(true).alias(self.names.next()));
        }
        for condition in asked {
            let of_side = condition.transform_up_dyn(|expr| match expr {
                Expr::Column(column) if names.contains(&column.name) => {
                    Ok(Transformed::yes(of(&name, &column.name)))
                }
                expr => Ok(Transformed::no(expr)),
            })?;
            conditions.push(site.behind_guard(of_side.data)?);
        }
        let plan = alias(plans::project(rows, shown)?, &name)?;
        Ok(Matching { plan, conditions, name, joins })
    }
}

/// NOT, moved inwards by one level where there is a rule for it.
fn turned(expr: Expr) -> Expr {
    let Expr::Not(inner) = expr else { return expr };
    match *inner {
        Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right }) => {
            let op = if op == Operator::And { Operator::Or } else { Operator::And };
            let (left, right) = (Box::new(!*left), Box::new(!*right));
            Expr::BinaryExpr(BinaryExpr::new(left, op, right))
        }
        Expr::Not(inner) => turned(*inner),
        Expr::Exists(test) => Expr::Exists(Exists { negated: !test.negated, ..test }),
        Expr::InSubquery(test) => Expr::InSubquery(InSubquery { negated: !test.negated, ..test }),
        other => Expr::Not(Box::new(other)),
    }
}

fn one_column(plan: &LogicalPlan) -> Result<()> {
    match plan.schema().fields().len() {
        1 => Ok(()),
        found => {
            let message = format!("a subquery behind IN, ANY or ALL has one column, not {found}");
            Err(external(Error::new(crate::ErrorKind::Type, message)))
        }
    }
}

/// A subquery without what does not change which values it has; for EXISTS, whether it has any.
fn stripped(plan: &LogicalPlan, exists: bool) -> Result<&LogicalPlan> {
    Ok(match plan {
        LogicalPlan::Sort(node) if node.fetch.is_none() => stripped(&node.input, exists)?,
        LogicalPlan::Distinct(Distinct::All(input)) => stripped(input, exists)?,
        LogicalPlan::Projection(node) if exists => stripped(&node.input, exists)?,
        LogicalPlan::SubqueryAlias(node) if exists => stripped(&node.input, exists)?,
        LogicalPlan::Aggregate(node)
            if exists
                && !node.group_expr.is_empty()
                && !node.group_expr.iter().any(|expr| matches!(expr, Expr::GroupingSet(_))) =>
        {
            stripped(&node.input, exists)?
        }
        LogicalPlan::Limit(node) if exists => {
            let some = matches!(node.get_fetch_type()?, FetchType::Literal(Some(rows)) if rows > 0);
            let from_start = matches!(node.get_skip_type()?, SkipType::Literal(0));
            if some && from_start { stripped(&node.input, exists)? } else { plan }
        }
        plan => plan,
    })
}
