//! The numbers of equal rows that INTERSECT ALL and EXCEPT ALL compare (`sql/set_all.rs`).
//!
//! Invariant: rows are equal when all their columns are, NULLs among them.

use std::sync::Arc;

use datafusion_common::{
    Column, Result,
    tree_node::{Transformed, TransformedResult},
};
use datafusion_expr::{Expr, LogicalPlan, Projection, Window, expr::WindowFunction};

use crate::{planner::trees::PlanWalk, sql::set_all::OCCURRENCE};

/// Lets the columns of that name count within equal rows. Takes the plan before any rewrite.
///
/// # Errors
/// Whatever building plan nodes raises.
pub fn number_occurrences(plan: LogicalPlan) -> Result<LogicalPlan> {
    let number = |plan| match plan {
        LogicalPlan::Projection(projection) if numbers(&projection) => {
            within_equal_rows(&projection).map(Transformed::yes)
        }
        plan => Ok(Transformed::no(plan)),
    };
    plan.transform_up_with_subqueries_dyn(number).data()
}

fn numbers(projection: &Projection) -> bool {
    let named = |expr: &Expr| matches!(expr, Expr::Alias(alias) if alias.name == OCCURRENCE);
    projection.expr.last().is_some_and(named)
        && matches!(projection.input.as_ref(), LogicalPlan::Window(_))
}

fn within_equal_rows(projection: &Projection) -> Result<LogicalPlan> {
    let LogicalPlan::Window(window) = projection.input.as_ref() else {
        return Ok(LogicalPlan::Projection(projection.clone()));
    };
    let columns: Vec<Expr> =
        window.input.schema().iter().map(|field| Expr::Column(Column::from(field))).collect();
    let part = |expr: &Expr| match expr {
        Expr::WindowFunction(function) => {
            let mut function: WindowFunction = function.as_ref().clone();
            function.params.partition_by.clone_from(&columns);
            let name = expr.schema_name().to_string();
            Expr::WindowFunction(Box::new(function)).alias(name)
        }
        other => other.clone(),
    };
    let calls = window.window_expr.iter().map(part).collect();
    let window = LogicalPlan::Window(Window::try_new(calls, Arc::clone(&window.input))?);
    let exprs = projection.expr.clone();
    Ok(LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(window))?))
}
