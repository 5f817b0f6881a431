//! Correlation as conditions: what a subquery asks of the enclosing query's columns in WHERE and ON moves up to the join
//! of the two.
//!
//! Invariants: the lifted plan uses no column of the enclosing query and keeps all columns of its own; the conditions use
//! the made names of columns that it has got besides. Below an aggregation only equalities move, whose other side is
//! grouped by, and only those of types in which values that equal the same one are equal (the text '01' and the text '1'
//! both equal the number 1). What does not move gives `None` (`domain.rs` takes it).

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion_common::{Column, DFSchema, JoinType, Result, tree_node::Transformed};
use datafusion_expr::{
    Aggregate, BinaryExpr, Distinct, Expr, ExprSchemable, Join, LogicalPlan, Operator, Sort,
    utils::split_conjunction_owned,
};

use super::plans::{self, Names};
use crate::planner::{rules::is_asof, trees::TreeWalk};

/// A subquery without the columns of the enclosing one.
pub(super) struct Lifted {
    pub(super) plan: LogicalPlan,
    /// What joins it: over columns of the enclosing query, and made names as columns without table.
    pub(super) conditions: Vec<Expr>,
    /// The made names, in the order of the columns.
    pub(super) names: Vec<String>,
}

/// Moves correlation up. `any` conditions, or equalities alone.
pub(super) fn lift(
    plan: &LogicalPlan,
    outer: &DFSchema,
    any: bool,
    names: &mut Names,
) -> Result<Option<Lifted>> {
    if plans::used(plan, outer)?.is_empty() {
        let plan = plan.clone();
        return Ok(Some(Lifted { plan, conditions: Vec::new(), names: Vec::new() }));
    }
    let uses = |expr: &Expr| plans::uses(expr, outer);
    match plan {
        LogicalPlan::Filter(node) => {
            let Some(below) = lift(&node.input, outer, any, names)? else { return Ok(None) };
            conditions(below, node.predicate.clone(), outer, any, names)
        }
        LogicalPlan::Projection(node) if !node.expr.iter().any(uses) => {
            let Some(mut below) = lift(&node.input, outer, any, names)? else { return Ok(None) };
            let mut exprs = node.expr.clone();
            exprs.extend(made(&below)?);
            below.plan = plans::project(below.plan, exprs)?;
            Ok(Some(below))
        }
        LogicalPlan::SubqueryAlias(node) => {
            let Some(mut below) = lift(&node.input, outer, any, names)? else { return Ok(None) };
            below.plan = plans::alias(below.plan, node.alias.table())?;
            Ok(Some(below))
        }
        LogicalPlan::Sort(node) if !node.expr.iter().any(|key| uses(&key.expr)) => {
            let Some(mut below) = lift(&node.input, outer, any, names)? else { return Ok(None) };
            let sort = Sort { input: Arc::new(below.plan), ..node.clone() };
            below.plan = LogicalPlan::Sort(sort);
            Ok(Some(below))
        }
        LogicalPlan::Distinct(Distinct::All(input)) => {
            let Some(mut below) = lift(input, outer, any, names)? else { return Ok(None) };
            below.plan = LogicalPlan::Distinct(Distinct::All(Arc::new(below.plan)));
            Ok(Some(below))
        }
        LogicalPlan::Aggregate(node) => aggregate(node, outer, names),
        LogicalPlan::Join(node) => join(node, outer, any, names),
        _ => Ok(None),
    }
}

fn made(lifted: &Lifted) -> Result<Vec<Expr>> {
    lifted.names.iter().map(|name| plans::named(lifted.plan.schema(), name)).collect()
}

/// The conjuncts of a predicate over a lifted plan, kept or moved.
fn conditions(
    below: Lifted,
    predicate: Expr,
    outer: &DFSchema,
    any: bool,
    names: &mut Names,
) -> Result<Option<Lifted>> {
    let Lifted { plan, mut conditions, names: mut known } = below;
    let (moved, kept): (Vec<Expr>, Vec<Expr>) =
        split_conjunction_owned(predicate).into_iter().partition(|expr| plans::uses(expr, outer));
    let plan = plans::filter(plan, kept)?;
    let mut more = Vec::new();
    for condition in moved {
        let condition = match equality(condition, outer) {
            Ok((theirs, ours)) => {
                if !any && !groups_alike(&theirs, &ours, plan.schema()) {
                    return Ok(None);
                }
                let name = names.next_for(&ours);
                more.push(ours.alias(name.clone()));
                known.push(name.clone());
                theirs.eq(Expr::Column(Column::new_unqualified(name)))
            }
            Err(condition) if any => {
                let named = condition.transform_up_dyn(|expr| match expr {
                    column @ Expr::Column(_) => {
                        let name = names.next_for(&column);
                        more.push(column.alias(name.clone()));
                        known.push(name.clone());
                        Ok(Transformed::yes(Expr::Column(Column::new_unqualified(name))))
                    }
                    expr => Ok(Transformed::no(expr)),
                })?;
                named.data
            }
            Err(_) => return Ok(None),
        };
        conditions.push(plans::inward(condition, outer)?);
    }
    let plan = plans::extend(plan, more)?;
    Ok(Some(Lifted { plan, conditions, names: known }))
}

/// The two sides of an equality of the enclosing query's columns and our own.
fn equality(condition: Expr, outer: &DFSchema) -> Result<(Expr, Expr), Expr> {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = condition else {
        return Err(condition);
    };
    let theirs = |expr: &Expr| plans::uses(expr, outer) && !expr.any_column_refs();
    let ours = |expr: &Expr| !plans::uses(expr, outer) && expr.any_column_refs();
    if theirs(&left) && ours(&right) {
        Ok((*left, *right))
    } else if theirs(&right) && ours(&left) {
        Ok((*right, *left))
    } else {
        Err(Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }))
    }
}

/// Whether the values of `ours` that equal one of `theirs` are one group: when their comparison casts none of them, or in
/// a way that keeps them apart. `false` where a type is not known yet.
fn groups_alike(theirs: &Expr, ours: &Expr, schema: &DFSchema) -> bool {
    let (Ok(theirs), Ok(ours)) = (theirs.get_type(schema), ours.get_type(schema)) else {
        return false;
    };
    let text =
        |ty: &DataType| matches!(ty, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    if theirs == ours || (text(&theirs) && text(&ours)) {
        return true;
    }
    // Numbers of a fixed point meet in a type that holds both, if there is one.
    if let (Some((whole, scale)), Some((more, finer))) = (digits(&theirs), digits(&ours)) {
        return whole.max(more) + scale.max(finer) <= 38;
    }
    // Integers of 32 bits have a float of their own each.
    let exact = ours == DataType::Float32
        || digits(&ours).is_some_and(|(whole, scale)| whole <= 10 && scale == 0);
    exact && theirs == DataType::Float64
}

/// The digits of a number before and behind its point.
fn digits(ty: &DataType) -> Option<(i16, i16)> {
    match *ty {
        DataType::Decimal128(precision, scale) => {
            Some((i16::from(precision) - i16::from(scale), i16::from(scale)))
        }
        ref ty if ty.is_integer() => Some((if ty.primitive_width()? > 4 { 20 } else { 10 }, 0)),
        _ => None,
    }
}

/// GROUP BY with groups of its own: those of each value of the equalities apart.
fn aggregate(node: &Aggregate, outer: &DFSchema, names: &mut Names) -> Result<Option<Lifted>> {
    let sets = node.group_expr.iter().any(|group| matches!(group, Expr::GroupingSet(_)));
    let mut exprs = node.group_expr.iter().chain(&node.aggr_expr);
    if sets || node.group_expr.is_empty() || exprs.any(|expr| plans::uses(expr, outer)) {
        return Ok(None);
    }
    let Some(mut below) = lift(&node.input, outer, false, names)? else { return Ok(None) };
    let mut groups = node.group_expr.clone();
    groups.extend(made(&below)?);
    let aggregate = Aggregate::try_new(Arc::new(below.plan), groups, node.aggr_expr.clone())?;
    below.plan = LogicalPlan::Aggregate(aggregate);
    Ok(Some(below))
}

fn join(node: &Join, outer: &DFSchema, any: bool, names: &mut Names) -> Result<Option<Lifted>> {
    let inner = node.join_type == JoinType::Inner;
    let left_only = matches!(
        node.join_type,
        JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark
    );
    let mut on = node.on.iter().flat_map(|(left, right)| [left, right]);
    if !(inner || left_only) || on.any(|expr| plans::uses(expr, outer)) {
        return Ok(None);
    }
    if is_asof(node) && !plans::used(&node.right, outer)?.is_empty() {
        return Ok(None);
    }
    let in_filter = node.filter.as_ref().is_some_and(|filter| plans::uses(filter, outer));
    if left_only && (in_filter || !plans::used(&node.right, outer)?.is_empty()) {
        return Ok(None);
    }
    let Some(left) = lift(&node.left, outer, any, names)? else { return Ok(None) };
    let Some(right) = lift(&node.right, outer, any, names)? else { return Ok(None) };
    let (filter, above) = match &node.filter {
        Some(filter) if in_filter => (None, Some(filter.clone())),
        filter => (filter.clone(), None),
    };
    let joined = Join::try_new(
        Arc::new(left.plan),
        Arc::new(right.plan),
        node.on.clone(),
        filter,
        node.join_type,
        node.join_constraint,
        node.null_equality,
        node.null_aware,
    )?;
    let below = Lifted {
        plan: LogicalPlan::Join(joined),
        conditions: left.conditions.into_iter().chain(right.conditions).collect(),
        names: left.names.into_iter().chain(right.names).collect(),
    };
    match above {
        Some(filter) => conditions(below, filter, outer, any, names),
        None => Ok(Some(below)),
    }
}
