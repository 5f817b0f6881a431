//! Names in the keys of ORDER BY: a bare name is an output column, within an expression it is a column of the input.
//!
//! The planner library takes it for the output column in both places. Where an alias hides a column of the input, the
//! column is passed on beside the output under a name of its own, and dropped again above the sort.
//! Invariant: the columns of the plan stay.

use std::sync::Arc;

use datafusion_common::{
    Column, DFSchema, DataFusionError, Result, SchemaError, tree_node::Transformed,
};
use datafusion_expr::{Distinct, Expr, LogicalPlan, Projection, Sort};

use crate::{
    error::Error,
    planner::trees::{PlanWalk, TreeWalk},
    sql::names::{REPEATED, unmark},
};

/// Makes the names within expressions of ORDER BY mean what SQL means by them. Takes the plan before any rewrite.
///
/// # Errors
/// `Name` when such a name fits several columns of the input; `Unsupported` below DISTINCT, which has no other columns
/// than those of the output.
pub fn sort_names(plan: LogicalPlan) -> Result<LogicalPlan> {
    let renamed = plan.transform_up_with_subqueries_dyn(|plan| match plan {
        LogicalPlan::Sort(sort) => rename(sort),
        plan => Ok(Transformed::no(plan)),
    })?;
    Ok(renamed.data)
}

fn rename(mut sort: Sort) -> Result<Transformed<LogicalPlan>> {
    let (projection, distinct) = match sort.input.as_ref() {
        LogicalPlan::Projection(projection) => (projection, false),
        LogicalPlan::Distinct(Distinct::All(input)) => match input.as_ref() {
            LogicalPlan::Projection(projection) => (projection, true),
            _ => return Ok(Transformed::no(LogicalPlan::Sort(sort))),
        },
        _ => return Ok(Transformed::no(LogicalPlan::Sort(sort))),
    };
    let mut exprs = projection.expr.clone();
    let keys = sort.expr.iter().map(|key| {
        if matches!(key.expr, Expr::Column(_)) {
            return Ok(key.clone());
        }
        let named = key.expr.clone().transform_up_dyn(|expr| match expr {
            Expr::Column(column) if hides(&column, projection) => {
                if distinct {
                    return Err(in_distinct(&column));
                }
                input_column(&column, projection, &mut exprs).map(Transformed::yes)
            }
            expr => Ok(Transformed::no(expr)),
        })?;
        Ok(datafusion_expr::SortExpr { expr: named.data, ..key.clone() })
    });
    let keys = keys.collect::<Result<Vec<_>>>()?;
    if exprs.len() == projection.expr.len() {
        return Ok(Transformed::no(LogicalPlan::Sort(sort)));
    }
    let shown = projection.schema.iter().map(|field| Expr::Column(Column::from(field))).collect();
    let wider = Projection::try_new(exprs, Arc::clone(&projection.input))?;
    sort.input = Arc::new(LogicalPlan::Projection(wider));
    sort.expr = keys;
    let sorted = Arc::new(LogicalPlan::Sort(sort));
    Ok(Transformed::yes(LogicalPlan::Projection(Projection::try_new(shown, sorted)?)))
}

/// Whether a name stands for an alias, and for another column of the input.
fn hides(column: &Column, projection: &Projection) -> bool {
    if column.relation.is_some() {
        return false;
    }
    let alias = projection.expr.iter().find_map(|item| match item {
        Expr::Alias(alias) if alias.relation.is_none() && alias.name == column.name => {
            Some(alias.expr.as_ref())
        }
        _ => None,
    });
    let same = |item: &Expr| matches!(item, Expr::Column(other) if other.name == column.name);
    alias.is_some_and(|item| !same(item)) && !of_name(&column.name, &projection.input).is_empty()
}

fn of_name(name: &str, input: &LogicalPlan) -> Vec<Column> {
    let schema: &DFSchema = input.schema();
    schema.iter().filter(|(_, field)| field.name() == name).map(Column::from).collect()
}

/// The input's column of a name, under a name of its own among the projection's expressions.
fn input_column(column: &Column, projection: &Projection, exprs: &mut Vec<Expr>) -> Result<Expr> {
    let mut found = of_name(&column.name, &projection.input);
    let Some(input) = found.pop().filter(|_| found.is_empty()) else {
        let error = SchemaError::AmbiguousReference { field: Box::new(column.clone()) };
        return Err(DataFusionError::SchemaError(Box::new(error), Box::new(None)));
    };
    let name = format!("{}{REPEATED}input", column.name);
    let passed = Expr::Column(input).alias(name.clone());
    if !exprs.contains(&passed) {
        exprs.push(passed);
    }
    Ok(Expr::Column(Column::new_unqualified(name)))
}

fn in_distinct(column: &Column) -> DataFusionError {
    let name = unmark(&column.name);
    let what = format!(
        "SELECT DISTINCT with ORDER BY an expression of \"{name}\", the name of an input and of an output column"
    );
    let error = Error::unsupported(what).with_hint("give the output column another name");
    DataFusionError::External(Box::new(error))
}
