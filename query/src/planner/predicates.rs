//! Predicate subqueries in a form that the decorrelation rules get right.
//!
//! Why: the rules make a mark join of IN below OR and CASE, whose mark is FALSE where IN is NULL; harmless where FALSE and
//! NULL both drop the row, wrong below NOT and IS NULL. And they push a constant's comparison into the subquery, which
//! loses its NULLs. So NOT moves inwards here; `x NOT IN (q)`, unless it is a conjunct over a column and not correlated, becomes
//! `NOT EXISTS (q WHERE y IS NULL OR x IS NULL OR y = x)`; every other place is refused.
//! Invariant: afterwards IN (subquery) occurs in filters only, below nothing but AND and OR, and NOT IN only as a
//! conjunct over columns, not correlated.

use std::{ops::Not, sync::Arc};

use datafusion_common::{
    Column, DFSchema, DataFusionError, ExprSchema, Result,
    tree_node::{Transformed, TreeNode},
};
use datafusion_expr::{
    BinaryExpr, Expr, Filter, LogicalPlan, LogicalPlanBuilder, Operator, Subquery,
    expr::{Exists, InSubquery},
};

use crate::error::Error;

/// Rewrites the filters of a typed plan.
///
/// # Errors
/// `Unsupported` when IN (subquery) stands where its NULL would be lost.
pub fn rewrite(plan: LogicalPlan) -> Result<LogicalPlan> {
    let mut sets = 0;
    let plan = plan.transform_up_with_subqueries(|plan| {
        plan.map_expressions(|expr| expr.transform_up(|expr| renamed(expr, &mut sets)))
    })?;
    let rewritten = plan.data.transform_up_with_subqueries(|plan| match plan {
        LogicalPlan::Filter(filter) if has_in(&filter.predicate) => {
            let schema = Arc::clone(filter.input.schema());
            let predicate = place(filter.predicate, &schema, true)?;
            Ok(Transformed::yes(LogicalPlan::Filter(Filter::try_new(predicate, filter.input)?)))
        }
        plan => Ok(Transformed::no(plan)),
    })?;
    Ok(rewritten.data)
}

/// `x op ANY (q)` with a name of its own for `q`: the library compares the two sides by their names, which may be the same.
fn renamed(expr: Expr, sets: &mut usize) -> Result<Transformed<Expr>> {
    let Expr::SetComparison(mut set) = expr else { return Ok(Transformed::no(expr)) };
    *sets += 1;
    let rows = LogicalPlanBuilder::from(Arc::unwrap_or_clone(set.subquery.subquery));
    set.subquery.subquery = Arc::new(rows.alias(format!("\u{1}set{sets}"))?.build()?);
    Ok(Transformed::yes(Expr::SetComparison(set)))
}

fn has_in(expr: &Expr) -> bool {
    expr.exists(|expr| Ok(matches!(expr, Expr::InSubquery(_)))).unwrap_or(true)
}

/// Rewrites an expression of which FALSE and NULL mean the same. `conjunct`: only AND is above it.
fn place(expr: Expr, schema: &DFSchema, conjunct: bool) -> Result<Expr> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right }) => {
            let conjunct = conjunct && op == Operator::And;
            let left = Box::new(place(*left, schema, conjunct)?);
            let right = Box::new(place(*right, schema, conjunct)?);
            Ok(Expr::BinaryExpr(BinaryExpr::new(left, op, right)))
        }
        Expr::Not(inner) if has_in(&inner) => match inner_not(*inner) {
            Expr::Not(inner) => refuse(*inner),
            moved => place(moved, schema, conjunct),
        },
        Expr::InSubquery(test) => {
            let over_columns = !test.expr.column_refs().is_empty();
            if has_in(&test.expr) {
                return refuse(Expr::InSubquery(test));
            }
            // The equalities of a correlated one would become keys of the join and drop the NULLs that it looks for.
            let alone = test.subquery.outer_ref_columns.is_empty();
            if test.negated && !(conjunct && over_columns && alone) {
                return not_exists(test, schema);
            }
            Ok(Expr::InSubquery(test))
        }
        expr if has_in(&expr) => refuse(expr),
        expr => Ok(expr),
    }
}

fn refuse(_expr: Expr) -> Result<Expr> {
    let error = Error::unsupported("IN (subquery) within this expression");
    Err(DataFusionError::External(Box::new(error)))
}

/// NOT of an expression, moved inwards by one level where there is a rule for it.
fn inner_not(expr: Expr) -> Expr {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right }) => {
            let op = if op == Operator::And { Operator::Or } else { Operator::And };
            let (left, right) = (Box::new(left.not()), Box::new(right.not()));
            Expr::BinaryExpr(BinaryExpr::new(left, op, right))
        }
        Expr::Not(inner) => *inner,
        Expr::InSubquery(test) => Expr::InSubquery(InSubquery { negated: !test.negated, ..test }),
        other => Expr::Not(Box::new(other)),
    }
}

/// `x NOT IN (q)` as NOT EXISTS, for places where NULL means FALSE.
fn not_exists(test: InSubquery, schema: &DFSchema) -> Result<Expr> {
    let inner = test.subquery.subquery;
    let value = Expr::Column(Column::from(inner.schema().qualified_field(0)));
    let outer = test.expr.transform_up(|expr| match expr {
        Expr::Column(column) => {
            let field = Arc::clone(schema.field_from_column(&column)?);
            Ok(Transformed::yes(Expr::OuterReferenceColumn(field, column)))
        }
        expr => Ok(Transformed::no(expr)),
    })?;
    let outer = outer.data;
    let mut unknown = value.clone().is_null();
    if !matches!(&outer, Expr::Literal(literal, _) if !literal.is_null()) {
        unknown = unknown.or(outer.clone().is_null());
    }
    let plan = LogicalPlanBuilder::from(Arc::unwrap_or_clone(inner))
        .filter(unknown.or(value.eq(outer)))?
        .build()?;
    let outer_ref_columns = plan.all_out_ref_exprs();
    let subquery =
        Subquery { subquery: Arc::new(plan), outer_ref_columns, spans: test.subquery.spans };
    Ok(Expr::Exists(Exists { subquery, negated: true }))
}
