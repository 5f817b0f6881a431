//! Parameters: their types, and their values in place of the placeholders.
//!
//! Invariant: a parameter with a value reaches the optimizer as a placeholder only where it is left open: its place takes
//! any expression of its type, and what is planned for it is right whatever its value is.

use std::{collections::HashMap, sync::Arc};

use arrow::datatypes::{DataType, Field, IntervalUnit};
use datafusion_common::{
    DFSchema, ScalarValue,
    config::ConfigOptions,
    tree_node::{Transformed, TreeNodeRecursion},
};
use datafusion_expr::{
    Expr, ExprSchemable, LogicalPlan, Operator, expr::Placeholder, expr_rewriter::NamePreserver,
    type_coercion::binary::comparison_coercion, utils::merge_schema,
};
use datafusion_optimizer::{AnalyzerRule, analyzer::type_coercion::TypeCoercion};
use stoadb_storage::{LogicalType, Scalar};

use crate::{
    error::{Error, ErrorKind, Result},
    planner::{
        functions::Functions,
        hooks,
        rules::common_types,
        trees::{PlanWalk, TreeWalk},
    },
};

/// A plan whose parameters have their values, and what it says of them, by number from 1.
pub struct Bound {
    /// The plan.
    pub plan: LogicalPlan,
    /// The type of each parameter; `None` when the statement does not tell.
    pub types: Vec<Option<LogicalType>>,
    /// The types of those that are left as placeholders, though their values are known.
    pub open: Vec<Option<LogicalType>>,
}

/// Puts the known values in, and tells the type of each parameter. With `leave_open`, those that are nothing but operands
/// of comparisons stay.
///
/// # Errors
/// `Value` when a value does not fit the type that the statement wants.
pub fn bind(
    plan: LogicalPlan,
    values: &[Option<Scalar>],
    leave_open: bool,
    options: &ConfigOptions,
    functions: &Arc<Functions>,
) -> Result<Bound> {
    if wanted_types(&plan)?.is_empty() {
        return Ok(Bound { plan, types: Vec::new(), open: Vec::new() });
    }
    let types = types(&plan, options)?;
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
        return Ok(Bound { plan, types: parameters, open: Vec::new() });
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
    let mut open = vec![None; values.len()];
    let compared = if leave_open { compared(&plan, values.len())? } else { Vec::new() };
    for (index, compared) in compared.into_iter().enumerate() {
        if let (true, Some(value), Some(Some(wanted)), Some(Some(literal))) =
            (compared, &values[index], parameters.get(index), literals.get(index))
            && may_be_open(value, wanted)
        {
            open[index] = Some(LogicalType::from_arrow(&literal.data_type())?);
        }
    }
    let value = |placeholder: &Placeholder| {
        let index = number(&placeholder.id)?.checked_sub(1)?;
        let literal = literals.get(index)?.clone()?;
        Some(match open.get(index) {
            Some(Some(_)) => {
                let field = Field::new("", literal.data_type(), true);
                Expr::Placeholder(Placeholder::new_with_field(
                    placeholder.id.clone(),
                    Some(Arc::new(field)),
                ))
            }
            _ => Expr::Literal(literal, None),
        })
    };
    let plan = plan.transform_up_with_subqueries_dyn(|plan| {
        let schema = merge_schema(&plan.inputs());
        let names = NamePreserver::new(&plan);
        let bound = plan.map_expressions_dyn(|expr| {
            let name = names.save(&expr);
            let bound = expr.transform_up_dyn(|expr| match &expr {
                Expr::Placeholder(placeholder) => Ok(match value(placeholder) {
                    Some(value) => Transformed::yes(value),
                    None => Transformed::no(expr),
                }),
                _ => Ok(Transformed::no(expr)),
            })?;
            if !bound.transformed {
                return Ok(bound);
            }
            // The operators are planned anew: some depend on the types of their operands.
            let planned = bound.data.transform_up_dyn(|expr| match expr {
                Expr::BinaryExpr(expr) => hooks::planned(expr, &schema, functions),
                expr => Ok(Transformed::no(expr)),
            })?;
            Ok(Transformed::yes(name.restore(planned.data)))
        })?;
        bound.map_data(LogicalPlan::recompute_schema)
    })?;
    Ok(Bound { plan: plan.data, types: parameters, open })
}

/// The number in a parameter's name.
pub fn number(name: &str) -> Option<usize> {
    name.strip_prefix('$')?.parse().ok()
}

/// Which parameters stand nowhere but as operands of comparisons.
fn compared(plan: &LogicalPlan, count: usize) -> Result<Vec<bool>> {
    let mut places = vec![(0, 0); count];
    let mut note = |expr: &Expr, is_operand: bool| {
        if let Expr::Placeholder(placeholder) = expr
            && let Some(number) = number(&placeholder.id)
            && let Some((all, operands)) = places.get_mut(number.wrapping_sub(1))
        {
            let counter = if is_operand { operands } else { all };
            *counter += 1;
        }
    };
    plan.apply_with_subqueries_dyn(|plan| {
        plan.apply_expressions_dyn(|expr| {
            expr.apply_dyn(|expr| {
                note(expr, false);
                match expr {
                    Expr::BinaryExpr(binary) if is_comparison(binary.op) => {
                        [&binary.left, &binary.right].into_iter().for_each(|e| note(e, true));
                    }
                    Expr::Between(between) => {
                        let operands = [&between.expr, &between.low, &between.high];
                        operands.into_iter().for_each(|e| note(e, true));
                    }
                    Expr::InList(list) => list.list.iter().for_each(|e| note(e, true)),
                    _ => {}
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(places.into_iter().map(|(all, operands)| all > 0 && all == operands).collect())
}

fn is_comparison(op: Operator) -> bool {
    use Operator as O;
    let distinct = matches!(op, O::IsDistinctFrom | O::IsNotDistinctFrom);
    distinct || matches!(op, O::Eq | O::NotEq | O::Lt | O::LtEq | O::Gt | O::GtEq)
}

/// Whether a comparison means the same with a value and with any expression of its type: where the value takes no other
/// type because of the operand beside it, but for a text that is a moment, and where none would be rounded otherwise.
fn may_be_open(value: &Scalar, wanted: &LogicalType) -> bool {
    use LogicalType as T;
    let exact = |ty: &T| ty.is_integer() || matches!(ty, T::Decimal { .. });
    // So few digits are a quotient of two doubles, which is rounded once.
    let short = |ty: &T| !matches!(ty, T::Decimal { precision: 16.., .. });
    let moment = |ty: &T| matches!(ty, T::Date | T::Time(_) | T::Timestamp(..));
    let fits = match (value.ty(), wanted) {
        (T::Text, wanted) if moment(wanted) => true,
        (given, T::Float64) if exact(given) => short(given),
        (given, wanted) => given == wanted || exact(given) && exact(wanted),
    };
    fits && !value.is_null()
}

/// A value in the type of an open parameter; `None` where it is not a value of it.
pub fn brought(value: &Scalar, ty: &LogicalType) -> Option<Scalar> {
    if value.ty() == ty {
        return Some(value.clone());
    }
    let literal = literal(value, Some(&Some(ty.clone()))).ok()?;
    Scalar::from_array(literal.to_array().ok()?.as_ref(), 0).ok().filter(|value| value.ty() == ty)
}

/// The types that a statement wants of its parameters, by name: those of the operands beside them, after these were
/// brought together as they are with constants.
fn types(plan: &LogicalPlan, options: &ConfigOptions) -> Result<HashMap<String, Option<DataType>>> {
    let mut types = wanted_types(plan)?;
    if types.is_empty() {
        return Ok(types);
    }
    // Where this fails, binding or planning says why.
    let Ok(typed) = forgotten(plan.clone()).and_then(common_types).and_then(inferred) else {
        return Ok(types);
    };
    let coerced = TypeCoercion::new().analyze(typed.clone(), options);
    for plan in coerced.into_iter().chain([typed]) {
        let Ok(known) = wanted_types(&plan) else { continue };
        types.extend(
            known.into_iter().filter(|(_, ty)| ty.as_ref().is_some_and(|ty| !ty.is_null())),
        );
    }
    Ok(types)
}

/// The types that a plan's parameters have, by name. Where different numbers are wanted, it is the type in which these are
/// compared.
fn wanted_types(plan: &LogicalPlan) -> Result<HashMap<String, Option<DataType>>> {
    let mut types: HashMap<String, Option<DataType>> = HashMap::new();
    let mut clash = false;
    plan.apply_with_subqueries_dyn(|plan| {
        plan.apply_expressions_dyn(|expr| {
            expr.apply_dyn(|expr| {
                if let Expr::Placeholder(Placeholder { id, field }) = expr {
                    let known = types.entry(id.clone()).or_default();
                    let ty = field.as_ref().map(|field| field.data_type().clone());
                    *known = match (known.take(), ty) {
                        (Some(known), Some(ty)) if known != ty => {
                            let both = known.is_numeric() && ty.is_numeric();
                            let common = comparison_coercion(&known, &ty).filter(|_| both);
                            clash |= common.is_none();
                            common
                        }
                        (known, ty) => known.or(ty),
                    };
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    // The library's error names the types.
    Ok(if clash { plan.get_parameter_types()? } else { types })
}

/// The plan without the types that the library gave to parameters because of the operands beside them.
fn forgotten(plan: LogicalPlan) -> datafusion_common::Result<LogicalPlan> {
    let forget = |expr: &mut Expr| {
        if let Expr::Placeholder(placeholder) = expr {
            placeholder.field = None;
        }
    };
    let forgotten = plan.transform_up_with_subqueries_dyn(|plan| {
        plan.map_expressions_dyn(|expr| {
            expr.transform_up_dyn(|mut expr| {
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
    let inferred = plan.transform_up_with_subqueries_dyn(|plan| {
        let schema = merge_schema(&plan.inputs());
        let plan = plan.map_expressions_dyn(|expr| {
            let expr = expr.transform_up_dyn(|expr| Ok(added_to_moment(expr, &schema)))?;
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
