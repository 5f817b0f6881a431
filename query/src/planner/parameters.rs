//! Parameters: their types, and their values in place of the placeholders.
//!
//! Invariant: a parameter with a value never reaches the optimizer as a placeholder.

use std::{collections::HashMap, sync::Arc};

use arrow::datatypes::{DataType, Field, IntervalUnit};
use datafusion_common::{
    DFSchema, ScalarValue,
    config::ConfigOptions,
    tree_node::{Transformed, TreeNode},
};
use datafusion_expr::{
    Expr, ExprSchemable, LogicalPlan, Operator, expr::Placeholder, expr_rewriter::NamePreserver,
    utils::merge_schema,
};
use datafusion_optimizer::{AnalyzerRule, analyzer::type_coercion::TypeCoercion};
use stoadb_storage::{LogicalType, Scalar};

use crate::{
    error::{Error, ErrorKind, Result},
    planner::{functions::Functions, hooks, rules::common_types},
};

/// Puts the known values in, and tells the type of each parameter by number from 1.
///
/// # Errors
/// `Value` when a value does not fit the type that the statement wants.
pub fn bind(
    plan: LogicalPlan,
    values: &[Option<Scalar>],
    options: &ConfigOptions,
    functions: &Arc<Functions>,
) -> Result<(LogicalPlan, Vec<Option<LogicalType>>)> {
    if plan.get_parameter_types()?.is_empty() {
        return Ok((plan, Vec::new()));
    }
    let types = types(&plan, options)?;
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
    let value = |placeholder: &Placeholder| {
        number(&placeholder.id).and_then(|number| literals.get(number.checked_sub(1)?)?.clone())
    };
    let plan = plan.transform_up_with_subqueries(|plan| {
        let schema = merge_schema(&plan.inputs());
        let names = NamePreserver::new(&plan);
        let bound = plan.map_expressions(|expr| {
            let name = names.save(&expr);
            let bound = expr.transform_up(|expr| match &expr {
                Expr::Placeholder(placeholder) => Ok(match value(placeholder) {
                    Some(value) => Transformed::yes(Expr::Literal(value, None)),
                    None => Transformed::no(expr),
                }),
                _ => Ok(Transformed::no(expr)),
            })?;
            if !bound.transformed {
                return Ok(bound);
            }
            // The operators are planned anew: some depend on the types of their operands.
            let planned = bound.data.transform_up(|expr| match expr {
                Expr::BinaryExpr(expr) => hooks::planned(expr, &schema, functions),
                expr => Ok(Transformed::no(expr)),
            })?;
            Ok(Transformed::yes(name.restore(planned.data)))
        })?;
        bound.map_data(LogicalPlan::recompute_schema)
    })?;
    Ok((plan.data, parameters))
}

/// The types that a statement wants of its parameters, by name: those of the operands beside them, after these were
/// brought together as they are with constants.
fn types(plan: &LogicalPlan, options: &ConfigOptions) -> Result<HashMap<String, Option<DataType>>> {
    let mut types = plan.get_parameter_types()?;
    if types.is_empty() {
        return Ok(types);
    }
    // Where this fails, binding or planning says why.
    let Ok(typed) = forgotten(plan.clone()).and_then(common_types).and_then(inferred) else {
        return Ok(types);
    };
    let coerced = TypeCoercion::new().analyze(typed.clone(), options);
    for plan in coerced.into_iter().chain([typed]) {
        let Ok(known) = plan.get_parameter_types() else { continue };
        types.extend(
            known.into_iter().filter(|(_, ty)| ty.as_ref().is_some_and(|ty| !ty.is_null())),
        );
    }
    Ok(types)
}

/// The plan without the types that the library gave to parameters because of the operands beside them.
fn forgotten(plan: LogicalPlan) -> datafusion_common::Result<LogicalPlan> {
    let forget = |expr: &mut Expr| {
        if let Expr::Placeholder(placeholder) = expr {
            placeholder.field = None;
        }
    };
    let forgotten = plan.transform_up_with_subqueries(|plan| {
        plan.map_expressions(|expr| {
            expr.transform_up(|mut expr| {
                match &mut expr {
                    Expr::BinaryExpr(binary) => {
                        [&mut binary.left, &mut binary.right].into_iter().for_each(|e| forget(e));
                    }
                    Expr::Between(between) => {
                        [&mut between.low, &mut between.high].into_iter().for_each(|e| forget(e));
                    }
                    Expr::InList(list) => list.list.iter_mut().for_each(forget),
                    _ => return Ok(Transformed::no(expr)),
                }
                Ok(Transformed::yes(expr))
            })
        })
    })?;
    Ok(forgotten.data)
}

fn inferred(plan: LogicalPlan) -> datafusion_common::Result<LogicalPlan> {
    let inferred = plan.transform_up_with_subqueries(|plan| {
        let schema = merge_schema(&plan.inputs());
        let plan = plan.map_expressions(|expr| {
            let expr = expr.transform_up(|expr| Ok(added_to_moment(expr, &schema)))?;
            let (found, added) = (expr.transformed, expr.data);
            let (expr, inferred) = added.infer_placeholder_types(&schema)?;
            Ok(if found || inferred { Transformed::yes(expr) } else { Transformed::no(expr) })
        })?;
        match plan.transformed {
            true => plan.map_data(LogicalPlan::recompute_schema),
            false => Ok(plan),
        }
    })?;
    Ok(inferred.data)
}

/// What is added to a date is a number of days, what is added to a timestamp is an interval.
fn added_to_moment(mut expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
    let Expr::BinaryExpr(sum) = &mut expr else { return Transformed::no(expr) };
    let typed = sum.op == Operator::Plus && type_addend(&mut sum.left, &mut sum.right, schema);
    if typed { Transformed::yes(expr) } else { Transformed::no(expr) }
}

/// Types the parameter in a sum with a date or a timestamp; whether that was new.
pub fn type_addend(left: &mut Expr, right: &mut Expr, schema: &DFSchema) -> bool {
    let (placeholder, moment) = match (left, right) {
        (Expr::Placeholder(placeholder), moment) | (moment, Expr::Placeholder(placeholder)) => {
            (placeholder, moment)
        }
        _ => return false,
    };
    let ty = match moment.get_type(schema) {
        Ok(DataType::Date32) => DataType::Int64,
        Ok(DataType::Timestamp(..)) => DataType::Interval(IntervalUnit::MonthDayNano),
        _ => return false,
    };
    if placeholder.field.as_ref().is_some_and(|field| *field.data_type() == ty) {
        return false;
    }
    placeholder.field = Some(Arc::new(Field::new("", ty, true)));
    true
}

/// A value as a literal, brought to the wanted type when the statement knows one.
fn literal(value: &Scalar, wanted: Option<&Option<LogicalType>>) -> Result<ScalarValue> {
    let literal = ScalarValue::try_from_array(value.array(), 0)?;
    match wanted {
        // A NULL or a text takes the type that its place wants.
        Some(Some(ty))
            if ty != value.ty() && matches!(value.ty(), LogicalType::Null | LogicalType::Text) =>
        {
            let ty = match (value.as_str(), ty) {
                (Some(text), LogicalType::Decimal { precision, scale }) => {
                    with_digits_of(text, *precision, *scale)
                }
                (_, ty) => ty.clone(),
            };
            Ok(literal.cast_to(&ty.to_arrow())?)
        }
        _ => Ok(literal),
    }
}

/// A decimal type that has all digits of a text behind the point, and room for those before it.
fn with_digits_of(text: &str, precision: u8, scale: i8) -> LogicalType {
    let text = text.trim();
    let (digits, exponent) = match text.split_once(['e', 'E']) {
        Some((digits, exponent)) => (digits, exponent.parse::<i16>().unwrap_or(0)),
        None => (text, 0),
    };
    let (before, behind) = digits.split_once('.').unwrap_or((digits, ""));
    let before = before.trim_start_matches(['+', '-', '0']);
    let count = |digits: &str| i16::try_from(digits.len().min(100)).unwrap_or(100);
    let whole = i16::from(precision) - i16::from(scale);
    let whole = whole.max(count(before).saturating_add(exponent));
    let scale = count(behind).saturating_sub(exponent).clamp(i16::from(scale), 38);
    let precision = u8::try_from((whole + scale).clamp(1, 38)).unwrap_or(38);
    LogicalType::Decimal { precision, scale: i8::try_from(scale).unwrap_or(38) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_digits_of_texts() {
        let digits = |text: &str| match with_digits_of(text, 5, 2) {
            LogicalType::Decimal { precision, scale } => (precision, scale),
            other => panic!("{other}"),
        };
        assert_eq!(digits("1.5"), (5, 2));
        assert_eq!(digits("1.2345"), (7, 4));
        assert_eq!(digits("12345"), (7, 2));
        assert_eq!(digits("1e3"), (6, 2));
        assert_eq!(digits("1.25e-3"), (8, 5));
        assert_eq!(digits("-0.5E-2"), (6, 3));
        assert_eq!(digits("1.2345e2"), (5, 2));
        assert_eq!(digits("1e-60"), (38, 38));
    }
}
