//! Parameters: their types, and their values in place of the placeholders.
//!
//! Invariant: a parameter with a value never reaches the optimizer as a placeholder.

use datafusion_common::{
    ScalarValue,
    config::ConfigOptions,
    tree_node::{Transformed, TreeNode},
};
use datafusion_expr::{Expr, LogicalPlan};
use datafusion_optimizer::{AnalyzerRule, analyzer::type_coercion::TypeCoercion};
use stoadb_storage::{LogicalType, Scalar};

use crate::error::{Error, ErrorKind, Result};

/// Puts the known values in, and tells the type of each parameter by number from 1.
///
/// # Errors
/// `Value` when a value does not fit the type that the statement wants.
pub fn bind(
    plan: LogicalPlan,
    values: &[Option<Scalar>],
    options: &ConfigOptions,
) -> Result<(LogicalPlan, Vec<Option<LogicalType>>)> {
    let types = plan.get_parameter_types()?;
    if types.is_empty() {
        return Ok((plan, Vec::new()));
    }
    let mut types = types;
    if types.values().any(Option::is_none)
        && let Ok(typed) = TypeCoercion::new().analyze(plan.clone(), options)
    {
        types = typed.get_parameter_types()?;
    }
    let number = |name: &str| name.strip_prefix('$').and_then(|n| n.parse::<usize>().ok());
    let most = types.keys().filter_map(|name| number(name)).max().unwrap_or(0);
    let mut parameters = vec![None; most];
    for (name, ty) in &types {
        if let (Some(number), Some(ty)) = (number(name), ty) {
            parameters[number - 1] = Some(LogicalType::from_arrow(ty)?);
        }
    }
    for (position, value) in values.iter().enumerate() {
        if let (Some(slot @ None), Some(value)) = (parameters.get_mut(position), value) {
            *slot = Some(value.ty().clone());
        }
    }
    if values.iter().all(Option::is_none) {
        return Ok((plan, parameters));
    }
    let literals = values
        .iter()
        .enumerate()
        .map(|(position, value)| {
            let value = value.as_ref().map(|value| literal(value, parameters.get(position)));
            value.transpose().map_err(|error| {
                let message = format!("the value of parameter {}: {error}", position + 1);
                Error::new(ErrorKind::Value, message)
            })
        })
        .collect::<Result<Vec<Option<ScalarValue>>>>()?;
    let plan = plan.transform_up_with_subqueries(|plan| {
        let bound = plan.map_expressions(|expr| {
            expr.transform_up(|expr| match &expr {
                Expr::Placeholder(placeholder) => {
                    let value = number(&placeholder.id)
                        .and_then(|number| literals.get(number.checked_sub(1)?)?.clone());
                    Ok(match value {
                        Some(value) => Transformed::yes(Expr::Literal(value, None)),
                        None => Transformed::no(expr),
                    })
                }
                _ => Ok(Transformed::no(expr)),
            })
        })?;
        bound.map_data(LogicalPlan::recompute_schema)
    })?;
    Ok((plan.data, parameters))
}

/// A value as a literal, brought to the wanted type when the statement knows one.
fn literal(value: &Scalar, wanted: Option<&Option<LogicalType>>) -> Result<ScalarValue> {
    let literal = ScalarValue::try_from_array(value.array(), 0)?;
    match wanted {
        // A NULL or a text takes the type that its place wants.
        Some(Some(ty))
            if ty != value.ty() && matches!(value.ty(), LogicalType::Null | LogicalType::Text) =>
        {
            Ok(literal.cast_to(&ty.to_arrow())?)
        }
        _ => Ok(literal),
    }
}
