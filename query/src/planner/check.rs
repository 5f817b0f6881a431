//! What a finished plan must be like, whatever the rewrites did.
//!
//! Invariant: a plan that passes has no correlated or predicate subquery left, every column of every expression binds to
//! the node's input exactly once, and every node is one that `lower` knows.

use datafusion_common::{Column, DFSchema, HashMap, tree_node::TreeNodeRecursion};
use datafusion_expr::{Expr, LogicalPlan};

use crate::{
    error::{Error, Result},
    planner::trees::{PlanWalk, TreeWalk},
};

/// Checks a plan and the plans of its scalar subqueries.
///
/// # Errors
/// `Unsupported`, naming the construct; `Internal` when a column does not bind.
pub fn check(plan: &LogicalPlan) -> Result<()> {
    check_node(plan)?;
    for input in plan.inputs() {
        check(input)?;
    }
    Ok(())
}

/// Refuses LATERAL subqueries whose meaning the rewrites would change: a window is computed over all rows of the inner
/// relation instead of those that match the outer row, and OFFSET is lost.
///
/// # Errors
/// `Unsupported`, naming the construct.
pub fn check_lateral(plan: &LogicalPlan) -> Result<()> {
    let mut what = None;
    plan.apply_dyn(|node| {
        match node {
            LogicalPlan::Window(_) => what = Some("a window function in a LATERAL subquery"),
            LogicalPlan::Limit(limit) if limit.skip.is_some() => {
                what = Some("OFFSET in a LATERAL subquery");
            }
            LogicalPlan::Limit(_) => what = Some("LIMIT in a LATERAL subquery"),
            LogicalPlan::Distinct(datafusion_expr::Distinct::On(_)) => {
                what = Some("DISTINCT ON in a LATERAL subquery");
            }
            _ => {}
        }
        Ok(if what.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    what.map_or(Ok(()), |what| Err(Error::unsupported(what)))
}

/// Whether an aggregation groups by two expressions or computes two of one name, which later steps could not tell apart.
///
/// # Errors
/// Those of the walk, of which there are none.
pub fn has_namesakes(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries_dyn(|node| {
        if let LogicalPlan::Aggregate(node) = node
            && node.group_expr.len() + node.aggr_expr.len() > 1
        {
            let names = node.group_expr.iter().chain(&node.aggr_expr);
            let mut seen: HashMap<String, &Expr> = HashMap::new();
            for expr in names {
                let before = seen.insert(expr.schema_name().to_string(), expr);
                found |= before.is_some_and(|before| before != expr);
            }
        }
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

fn check_node(plan: &LogicalPlan) -> Result<()> {
    let unsupported = match plan {
        LogicalPlan::Subquery(_) => Some("LATERAL subqueries of this form"),
        LogicalPlan::Repartition(_) => Some("DISTRIBUTE BY"),
        LogicalPlan::Extension(_)
        | LogicalPlan::Explain(_)
        | LogicalPlan::Analyze(_)
        | LogicalPlan::Statement(_)
        | LogicalPlan::DescribeTable(_)
        | LogicalPlan::Dml(_)
        | LogicalPlan::Ddl(_)
        | LogicalPlan::Copy(_) => Some("this statement as a query"),
        _ => None,
    };
    if let Some(what) = unsupported {
        return Err(Error::unsupported(what));
    }
    let inputs = plan.inputs();
    let joined;
    let schema = match inputs.as_slice() {
        [] => plan.schema().as_ref(),
        [input] => input.schema().as_ref(),
        [left, right] if matches!(plan, LogicalPlan::Join(_)) => {
            joined = left.schema().join(right.schema())?;
            &joined
        }
        _ => return Ok(()),
    };
    let mut failed = None;
    plan.apply_expressions_dyn(|expr| {
        expr.apply_dyn(|expr| {
            if let Err(error) = check_expr(expr, schema) {
                failed = Some(error);
                return Ok(TreeNodeRecursion::Stop);
            }
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    failed.map_or(Ok(()), Err)
}

fn check_expr(expr: &Expr, schema: &DFSchema) -> Result<()> {
    match expr {
        Expr::OuterReferenceColumn(_, column) => Err(Error::unsupported(format!(
            "a correlated subquery of this form (it uses the outer column \"{}\")",
            crate::sql::names::unmark(&column.name)
        ))),
        Expr::Exists(_) => Err(Error::unsupported("EXISTS in this place")),
        Expr::InSubquery(_) => Err(Error::unsupported("IN (subquery) in this place")),
        Expr::SetComparison(_) => Err(Error::unsupported("ANY and ALL (subquery) in this place")),
        Expr::ScalarSubquery(subquery) => {
            if !subquery.outer_ref_columns.is_empty() {
                return Err(Error::unsupported("a correlated scalar subquery of this form"));
            }
            check(&subquery.subquery)
        }
        Expr::Column(column) => binds(column, schema),
        Expr::Unnest(_) => Err(Error::unsupported("unnest()")),
        _ => Ok(()),
    }
}

fn binds(column: &Column, schema: &DFSchema) -> Result<()> {
    let found = schema.iter().filter(|(qualifier, field)| {
        field.name() == &column.name
            && column.relation.as_ref().is_none_or(|wanted| {
                qualifier.is_some_and(|qualifier| wanted.resolved_eq(qualifier))
            })
    });
    match found.count() {
        1 => Ok(()),
        0 => Err(Error::unsupported(format!(
            "a subquery of this form (the column \"{}\" is out of reach)",
            crate::sql::names::unmark(&column.name)
        ))),
        _ => Err(Error::internal(format!("the column {} binds twice", column.quoted_flat_name()))),
    }
}
