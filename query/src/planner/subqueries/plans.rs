//! Building blocks: nodes over plans that are not typed yet, names that no statement has, columns of enclosing queries.
//!
//! Invariant: a name made here holds a mark that no identifier holds, and is made once in a statement.

use std::sync::Arc;

use datafusion_common::{
    Column, DFSchema, DataFusionError, JoinType, NullEquality, Result, TableReference,
    tree_node::{Transformed, TreeNodeRecursion},
};
use datafusion_expr::{
    Expr, Filter, Join, JoinConstraint, LogicalPlan, Projection, SubqueryAlias, utils::conjunction,
};

use crate::{
    error::Error,
    planner::trees::{PlanWalk, TreeWalk},
    sql::names::{EXACT, unmark},
};

/// Makes names.
#[derive(Debug, Default)]
pub(super) struct Names {
    made: usize,
}

impl Names {
    /// A name that nothing else has.
    pub(super) fn next(&mut self) -> String {
        self.shown_as("value")
    }

    /// A name that nothing else has, for an expression: a column's is shown as before.
    pub(super) fn next_for(&mut self, expr: &Expr) -> String {
        match expr {
            Expr::Column(column) => self.shown_as(unmark(&column.name)),
            _ => self.next(),
        }
    }

    fn shown_as(&mut self, shown: &str) -> String {
        self.made += 1;
        format!("subquery {}{EXACT}{shown}", self.made)
    }
}

/// The columns of a schema, in order.
pub(super) fn columns(schema: &DFSchema) -> Vec<Expr> {
    schema.iter().map(|field| Expr::Column(Column::from(field))).collect()
}

/// The column of a made name, with the table that it has got.
pub(super) fn named(schema: &DFSchema, name: &str) -> Result<Expr> {
    let mut found = schema.iter().filter(|(_, field)| field.name() == name);
    match found.next() {
        Some(field) => Ok(Expr::Column(Column::from(field))),
        None => Err(external(Error::internal("a subquery lost the column that joins it"))),
    }
}

/// A column of a named side of a join.
pub(super) fn of(side: &str, name: &str) -> Expr {
    Expr::Column(Column::new(Some(TableReference::bare(side)), name))
}

pub(super) fn project(input: LogicalPlan, exprs: Vec<Expr>) -> Result<LogicalPlan> {
    Projection::try_new(exprs, Arc::new(input)).map(LogicalPlan::Projection)
}

/// The plan with some columns more.
pub(super) fn extend(input: LogicalPlan, more: Vec<Expr>) -> Result<LogicalPlan> {
    if more.is_empty() {
        return Ok(input);
    }
    let mut exprs = columns(input.schema());
    exprs.extend(more);
    project(input, exprs)
}

pub(super) fn filter(input: LogicalPlan, conditions: Vec<Expr>) -> Result<LogicalPlan> {
    match conjunction(conditions) {
        Some(predicate) => Filter::try_new(predicate, Arc::new(input)).map(LogicalPlan::Filter),
        None => Ok(input),
    }
}

pub(super) fn alias(input: LogicalPlan, name: &str) -> Result<LogicalPlan> {
    SubqueryAlias::try_new(Arc::new(input), TableReference::bare(name))
        .map(LogicalPlan::SubqueryAlias)
}

pub(super) fn join(
    left: LogicalPlan,
    right: LogicalPlan,
    kind: JoinType,
    conditions: Vec<Expr>,
    null_aware: bool,
) -> Result<LogicalPlan> {
    let condition = conjunction(conditions);
    let (left, right) = (Arc::new(left), Arc::new(right));
    let nulls = NullEquality::NullEqualsNothing;
    Join::try_new(left, right, Vec::new(), condition, kind, JoinConstraint::On, nulls, null_aware)
        .map(LogicalPlan::Join)
}

/// `left IS NOT DISTINCT FROM right`.
pub(super) fn same(left: Expr, right: Expr) -> Expr {
    datafusion_expr::binary_expr(left, datafusion_expr::Operator::IsNotDistinctFrom, right)
}

/// Whether a column of an enclosing query is one of a schema.
fn is_of(column: &Column, schema: &DFSchema) -> bool {
    schema.index_of_column(column).is_ok()
}

/// Whether an expression uses a column that `outer` has as the enclosing query.
pub(super) fn uses(expr: &Expr, outer: &DFSchema) -> bool {
    let used = expr.exists_dyn(|expr| {
        Ok(matches!(expr, Expr::OuterReferenceColumn(_, column) if is_of(column, outer)))
    });
    used.unwrap_or(true)
}

/// The columns of `outer` that a plan uses as those of the enclosing query, each once.
pub(super) fn used(plan: &LogicalPlan, outer: &DFSchema) -> Result<Vec<Column>> {
    let mut found: Vec<Column> = Vec::new();
    plan.apply_dyn(|node| {
        if matches!(node, LogicalPlan::Subquery(_)) {
            // LATERAL has names of its own.
            return Ok(TreeNodeRecursion::Jump);
        }
        node.apply_expressions_dyn(|expr| {
            expr.apply_dyn(|expr| {
                if let Expr::OuterReferenceColumn(_, column) = expr
                    && is_of(column, outer)
                    && !found.contains(column)
                {
                    found.push(column.clone());
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(found)
}

/// Whether a plan uses columns of any enclosing query.
pub(super) fn is_correlated(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_dyn(|node| {
        if matches!(node, LogicalPlan::Subquery(_)) {
            return Ok(TreeNodeRecursion::Jump);
        }
        found |= node.contains_outer_reference();
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

/// The expression with the enclosing query's columns of `outer` as plain columns: for a node over that query.
pub(super) fn inward(expr: Expr, outer: &DFSchema) -> Result<Expr> {
    let moved = expr.transform_up_dyn(|expr| match expr {
        Expr::OuterReferenceColumn(_, column) if is_of(&column, outer) => {
            Ok(Transformed::yes(Expr::Column(column)))
        }
        expr => Ok(Transformed::no(expr)),
    })?;
    Ok(moved.data)
}

/// The expression under the name that a field of a schema has.
pub(super) fn keep_name(expr: Expr, schema: &DFSchema, field: usize) -> Expr {
    let (qualifier, field) = schema.qualified_field(field);
    let (found_qualifier, found) = expr.qualified_name();
    if found_qualifier.as_ref() == qualifier && found == *field.name() {
        return expr;
    }
    expr.alias_qualified(qualifier.cloned(), field.name())
}

pub(super) fn external(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// A refusal by name.
pub(super) fn refuse<T>(what: impl std::fmt::Display) -> Result<T> {
    Err(external(Error::unsupported(what)))
}
