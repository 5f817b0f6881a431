//! The names of a statement's result columns, as people spelled them.
//!
//! Invariant: an alias keeps the spelling of the text, a column that of its relation; names may repeat.

use datafusion_common::DFSchema;
use datafusion_expr::{Distinct, Expr, JoinType, LogicalPlan};

use crate::{
    planner::source::StoaTableSource,
    sql::names::{Spelling, unmark},
};

/// The names of a plan's columns. The plan must not have been optimised yet.
pub fn output_names(plan: &LogicalPlan, spelling: &Spelling) -> Vec<String> {
    (0..plan.schema().fields().len()).map(|column| name(plan, column, spelling)).collect()
}

fn name(plan: &LogicalPlan, column: usize, spelling: &Spelling) -> String {
    let field = |schema: &DFSchema| {
        let name = schema.field(column).name();
        spelling.of(name).unwrap_or_else(|| unmark(name)).to_owned()
    };
    match plan {
        LogicalPlan::Projection(node) => match node.expr.get(column) {
            Some(expr) => expr_name(expr, &node.input, spelling),
            None => field(&node.schema),
        },
        LogicalPlan::Distinct(Distinct::On(node)) => match node.select_expr.get(column) {
            Some(expr) => expr_name(expr, &node.input, spelling),
            None => field(&node.schema),
        },
        LogicalPlan::Distinct(Distinct::All(input)) => name(input, column, spelling),
        LogicalPlan::SubqueryAlias(node) => name(&node.input, column, spelling),
        LogicalPlan::Filter(node) => name(&node.input, column, spelling),
        LogicalPlan::Sort(node) => name(&node.input, column, spelling),
        LogicalPlan::Limit(node) => name(&node.input, column, spelling),
        LogicalPlan::Union(node) => match node.inputs.first() {
            Some(input) => name(input, column, spelling),
            None => field(&node.schema),
        },
        LogicalPlan::Window(node) if column < node.input.schema().fields().len() => {
            name(&node.input, column, spelling)
        }
        LogicalPlan::Aggregate(node) => match node.group_expr.get(column) {
            Some(expr) if !matches!(expr, Expr::GroupingSet(_)) => {
                expr_name(expr, &node.input, spelling)
            }
            _ => field(&node.schema),
        },
        LogicalPlan::Join(node) => {
            let left = match node.join_type {
                JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => 0,
                _ => node.left.schema().fields().len(),
            };
            if column < left {
                name(&node.left, column, spelling)
            } else if column - left < node.right.schema().fields().len() {
                name(&node.right, column - left, spelling)
            } else {
                field(&node.schema)
            }
        }
        LogicalPlan::TableScan(node) => {
            let source = node.source.as_ref();
            let Some(source) =
                <dyn datafusion_expr::TableSource>::downcast_ref::<StoaTableSource>(source)
            else {
                return field(plan.schema());
            };
            let at = node.projection.as_ref().map_or(Some(&column), |columns| columns.get(column));
            match at.and_then(|&at| source.relation.schema().columns.get(at)) {
                Some(column) => column.name.clone(),
                None => field(plan.schema()),
            }
        }
        _ => field(plan.schema()),
    }
}

fn expr_name(expr: &Expr, input: &LogicalPlan, spelling: &Spelling) -> String {
    match expr {
        Expr::Alias(alias) => {
            let plain = unmark(&alias.name);
            match (spelling.get(&alias.name), alias.expr.as_ref()) {
                (Some(spelled), _) => spelled.to_owned(),
                // A column that another item's alias made a repetition.
                (None, Expr::Column(column)) if unmark(&column.name) == plain => {
                    expr_name(&alias.expr, input, spelling)
                }
                (None, _) if spelling.get(plain).is_some() => {
                    spelling.get(plain).unwrap_or(plain).to_owned()
                }
                // `unnest(struct)`: a field has its own name.
                (None, Expr::Column(column)) if unnested(&column.name).is_some() => {
                    unnested(&column.name).unwrap_or(plain).to_owned()
                }
                // The library itself tells equal names apart as `a`, `a:1`, ...
                (None, Expr::Column(column)) if is_numbered(plain, &column.name) => {
                    expr_name(&alias.expr, input, spelling)
                }
                (None, _) => plain.to_owned(),
            }
        }
        Expr::Column(column) => match input.schema().index_of_column(column) {
            Ok(index) => name(input, index, spelling),
            Err(_) => unmark(&column.name).to_owned(),
        },
        // A field has its own name, whatever holds it.
        Expr::ScalarFunction(call) if call.func.name() == "get_field" => match call.args.last() {
            Some(Expr::Literal(name, _)) => match name.try_as_str().flatten() {
                Some(name) => name.to_owned(),
                None => unmark(&expr.schema_name().to_string()).to_owned(),
            },
            _ => unmark(&expr.schema_name().to_string()).to_owned(),
        },
        other => {
            let name = other.schema_name().to_string();
            unmark(&name).to_owned()
        }
    }
}

/// The field of an unnested struct that a column is, by the library's name for it.
fn unnested(name: &str) -> Option<&str> {
    let (_, field) = name.strip_prefix("__unnest_placeholder(")?.rsplit_once(").")?;
    Some(field).filter(|field| !field.ends_with(')'))
}

fn is_numbered(name: &str, column: &str) -> bool {
    let number = name.strip_prefix(column).and_then(|rest| rest.strip_prefix(':'));
    number.is_some_and(|number| number.bytes().all(|b| b.is_ascii_digit()))
}
