//! Comparisons of dates with timestamps: the date becomes a timestamp of the other side's precision.
//!
//! Why: the planner library would take both to nanoseconds, which hold the years 1677 to 2262 only and hide that a date
//! compares with a midnight as a date does (`lower/fold.rs` takes the cast off again there).
//! Invariant: runs before types are coerced, and changes comparisons of a date with a timestamp without zone alone.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion_common::{
    DFSchema, Result,
    tree_node::{Transformed, TreeNode},
};
use datafusion_expr::{
    Between, BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator, cast, expr::InList,
    expr_rewriter::NamePreserver, utils::merge_schema,
};

/// Rewrites the comparisons of a plan and of its subqueries.
///
/// # Errors
/// Those of the planner library when a plan does not fit together.
pub fn compare_dates(plan: LogicalPlan) -> Result<LogicalPlan> {
    let rewritten = plan.transform_up_with_subqueries(|plan| {
        let schema = match plan.inputs().as_slice() {
            [] => plan.schema().as_ref().clone(),
            inputs => merge_schema(inputs),
        };
        let names = NamePreserver::new(&plan);
        plan.map_expressions(|expr| {
            let name = names.save(&expr);
            let compared = expr.transform_up(|expr| Ok(comparison(expr, &schema)))?;
            Ok(match compared.transformed {
                true => compared.update_data(|expr| name.restore(expr)),
                false => compared,
            })
        })
    })?;
    Ok(rewritten.data)
}

fn compares(op: Operator) -> bool {
    use Operator as O;
    matches!(
        op,
        O::Eq
            | O::NotEq
            | O::Lt
            | O::LtEq
            | O::Gt
            | O::GtEq
            | O::IsDistinctFrom
            | O::IsNotDistinctFrom
    )
}

fn comparison(expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if compares(op) => {
            match common([left.as_ref(), right.as_ref()], schema) {
                Some(ty) => {
                    let sides = [*left, *right].map(|side| Box::new(bring(side, &ty, schema)));
                    let [left, right] = sides;
                    Transformed::yes(Expr::BinaryExpr(BinaryExpr { left, op, right }))
                }
                None => Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right })),
            }
        }
        Expr::Between(Between { expr, negated, low, high }) => {
            match common([expr.as_ref(), low.as_ref(), high.as_ref()], schema) {
                Some(ty) => {
                    let [expr, low, high] =
                        [*expr, *low, *high].map(|side| Box::new(bring(side, &ty, schema)));
                    Transformed::yes(Expr::Between(Between { expr, negated, low, high }))
                }
                None => Transformed::no(Expr::Between(Between { expr, negated, low, high })),
            }
        }
        Expr::InList(InList { expr, list, negated }) => {
            match common(std::iter::once(expr.as_ref()).chain(&list), schema) {
                Some(ty) => {
                    let expr = Box::new(bring(*expr, &ty, schema));
                    let list = list.into_iter().map(|item| bring(item, &ty, schema)).collect();
                    Transformed::yes(Expr::InList(InList { expr, list, negated }))
                }
                None => Transformed::no(Expr::InList(InList { expr, list, negated })),
            }
        }
        other => Transformed::no(other),
    }
}

/// The finest timestamp among operands of which one is a date and all others are dates or timestamps without zone.
fn common<'a>(operands: impl IntoIterator<Item = &'a Expr>, schema: &DFSchema) -> Option<DataType> {
    let (mut dates, mut finest): (bool, Option<TimeUnit>) = (false, None);
    for operand in operands {
        match operand.get_type(schema).ok()? {
            DataType::Date32 => dates = true,
            DataType::Timestamp(unit, None) => {
                finest = Some(finest.map_or(unit, |known| known.max(unit)));
            }
            DataType::Null => {}
            _ => return None,
        }
    }
    finest.filter(|_| dates).map(|unit| DataType::Timestamp(unit, None))
}

fn bring(expr: Expr, ty: &DataType, schema: &DFSchema) -> Expr {
    match expr.get_type(schema) {
        Ok(known) if known != *ty => cast(expr, ty.clone()),
        _ => expr,
    }
}
