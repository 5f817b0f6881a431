//! Scalar subqueries that use columns of the enclosing query: an outer join that adds their value.
//!
//! Invariants: a subquery without rows is NULL, one with several is an error, an aggregate without groups has a row even
//! for no rows (`count` is 0 then). A subquery that may divide by zero or fail to convert is computed only for the values
//! that the enclosing query has.

use std::sync::Arc;

use datafusion_common::{Column, JoinType, Result, tree_node::Transformed};
use datafusion_expr::{Aggregate, Expr, LogicalPlan, Subquery, lit, when};

use super::{
    Site, Unnester,
    domain::{Domain, or_nothing},
    lift::lift,
    plans::{self, alias, columns, named, of},
};
use crate::{lower::may_raise, planner::trees::TreeWalk};

impl Unnester<'_> {
    /// The value of a subquery of one column.
    pub(super) fn scalar(&mut self, site: &mut Site, plan: &LogicalPlan) -> Result<Expr> {
        if !plans::is_correlated(plan)? {
            let subquery = Arc::new(plan.clone());
            let (outer_ref_columns, spans) = (Vec::new(), Default::default());
            return Ok(Expr::ScalarSubquery(Subquery { subquery, outer_ref_columns, spans }));
        }
        let used = plans::used(plan, site.schema())?;
        if !used.is_empty()
            && let Some(value) = self.by_keys(site, plan)?
        {
            return Ok(value);
        }
        let one = at_most_one(plan)?;
        let value = columns(plan.schema()).swap_remove(0);
        let (name, made) = (self.names.next(), self.names.next());
        if used.is_empty() {
            // The columns are those of a query further out.
            let plan = match one {
                true => plan.clone(),
                false => self.single(plan.clone(), &value, Vec::new())?,
            };
            let value = columns(plan.schema()).swap_remove(0).alias(made.clone());
            let side = alias(plans::project(plan, vec![value])?, &name)?;
            let always = vec![lit(true)];
            site.plan = plans::join(site.plan.clone(), side, JoinType::Left, always, false)?;
            return Ok(of(&name, &made));
        }
        let domain = Domain::new(&site.base, &used, &mut self.names)?;
        let mut rows = self.push(plan, &domain)?;
        let mut value = value;
        if !one {
            let by = domain.columns().iter().map(|(_, name)| named(rows.schema(), name));
            let by = by.collect::<Result<Vec<_>>>()?;
            rows = self.single(rows, &value, by)?;
            let last = rows.schema().fields().len() - 1;
            value = columns(rows.schema()).swap_remove(last);
        }
        let mut shown = vec![value.alias(made.clone())];
        let mut conditions = Vec::new();
        for (column, key) in domain.columns() {
            shown.push(named(rows.schema(), key)?.alias(key.clone()));
            conditions.push(plans::same(Expr::Column(column.clone()), of(&name, key)));
        }
        let side = alias(plans::project(rows, shown)?, &name)?;
        site.plan = plans::join(site.plan.clone(), side, JoinType::Left, conditions, false)?;
        Ok(of(&name, &made))
    }

    /// One row of each group, or an error.
    fn single(&mut self, plan: LogicalPlan, value: &Expr, by: Vec<Expr>) -> Result<LogicalPlan> {
        let call = self.call("single_value", value.clone())?;
        Aggregate::try_new(Arc::new(plan), by, vec![call]).map(LogicalPlan::Aggregate)
    }

    /// An aggregate over rows that equalities choose: grouped by their other side, and joined on it.
    fn by_keys(&mut self, site: &mut Site, plan: &LogicalPlan) -> Result<Option<Expr>> {
        let outer = site.base.schema();
        let Some((value, node)) = peeled(plan)? else { return Ok(None) };
        if node.aggr_expr.iter().any(|call| plans::uses(call, outer)) || may_raise(plan)? {
            return Ok(None);
        }
        let Some(below) = lift(&node.input, outer, false, &mut self.names)? else {
            return Ok(None);
        };
        if below.names.is_empty() {
            return Ok(None);
        }
        let keys = below.names.iter().map(|name| named(below.plan.schema(), name));
        let keys = keys.collect::<Result<Vec<_>>>()?;
        let rows = Aggregate::try_new(Arc::new(below.plan), keys, node.aggr_expr.clone())?;
        let rows = LogicalPlan::Aggregate(rows);
        let name = self.names.next();
        let mut shown = Vec::new();
        for key in &below.names {
            shown.push(named(rows.schema(), key)?.alias(key.clone()));
        }
        let mut made = Vec::with_capacity(node.aggr_expr.len());
        for (position, call) in node.aggr_expr.iter().enumerate() {
            let column = Column::from(node.schema.qualified_field(position));
            let own = self.names.next();
            shown.push(Expr::Column(column.clone()).alias(own.clone()));
            made.push((column, or_nothing(of(&name, &own), call, &node.input)?));
        }
        let side = alias(plans::project(rows, shown)?, &name)?;
        let conditions = below.conditions.into_iter().map(|condition| {
            let of_side = condition.transform_up_dyn(|expr| match expr {
                Expr::Column(column) if below.names.contains(&column.name) => {
                    Ok(Transformed::yes(of(&name, &column.name)))
                }
                expr => Ok(Transformed::no(expr)),
            })?;
            Ok(of_side.data)
        });
        let conditions = conditions.collect::<Result<Vec<_>>>()?;
        let value = value.transform_up_dyn(|expr| match expr {
            Expr::Column(column) => match made.iter().find(|(known, _)| *known == column) {
                Some((_, value)) => Ok(Transformed::yes(value.clone())),
                None => Ok(Transformed::no(Expr::Column(column))),
            },
            expr => Ok(Transformed::no(expr)),
        })?;
        let value = plans::inward(value.data, site.base.schema())?;
        site.plan = plans::join(site.plan.clone(), side, JoinType::Left, conditions, false)?;
        Ok(Some(value))
    }
}

/// A subquery's value over the columns of the aggregation without groups that it is computed from.
fn peeled(plan: &LogicalPlan) -> Result<Option<(Expr, &Aggregate)>> {
    let mut value = columns(plan.schema()).swap_remove(0);
    let mut node = plan;
    loop {
        // What a column of the node's schema is over the columns below.
        let (input, exprs): (&LogicalPlan, Vec<Expr>) = match node {
            LogicalPlan::Projection(projection) => {
                let plain = |expr: &Expr| match expr {
                    Expr::Alias(alias) => alias.expr.as_ref().clone(),
                    expr => expr.clone(),
                };
                (&projection.input, projection.expr.iter().map(plain).collect())
            }
            LogicalPlan::SubqueryAlias(alias) => (&alias.input, columns(alias.input.schema())),
            LogicalPlan::Filter(filter) => {
                value = when(filter.predicate.clone(), value).end()?;
                node = &filter.input;
                continue;
            }
            LogicalPlan::Sort(sort) if sort.fetch.is_none() => {
                node = &sort.input;
                continue;
            }
            LogicalPlan::Aggregate(aggregate) if aggregate.group_expr.is_empty() => {
                return Ok(Some((value, aggregate)));
            }
            _ => return Ok(None),
        };
        let schema = node.schema();
        let below = value.transform_up_dyn(|expr| match expr {
            Expr::Column(column) => match schema.index_of_column(&column) {
                Ok(index) => Ok(Transformed::yes(exprs[index].clone())),
                Err(_) => Ok(Transformed::no(Expr::Column(column))),
            },
            expr => Ok(Transformed::no(expr)),
        })?;
        value = below.data;
        node = input;
    }
}

/// Whether a subquery has one row at most whatever the data.
pub(super) fn at_most_one(plan: &LogicalPlan) -> Result<bool> {
    Ok(match plan {
        LogicalPlan::Projection(node) => at_most_one(&node.input)?,
        LogicalPlan::SubqueryAlias(node) => at_most_one(&node.input)?,
        LogicalPlan::Filter(node) => at_most_one(&node.input)?,
        LogicalPlan::Sort(node) => at_most_one(&node.input)?,
        LogicalPlan::Limit(_) => plan.max_rows().is_some_and(|rows| rows <= 1),
        LogicalPlan::Aggregate(node) => node.group_expr.is_empty(),
        LogicalPlan::EmptyRelation(_) => true,
        _ => false,
    })
}
