//! What we plan ourselves of expressions: `//`, `count(*)`, `extract`, field access.
//!
//! Invariant: integer `/` and `//` are integer division, towards zero.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion_common::{
    Column, DFSchema, Result, ScalarValue, TableReference, not_impl_err, plan_err,
    tree_node::Transformed,
};
use datafusion_expr::{
    BinaryExpr, Expr, ExprSchemable, GetFieldAccess, Operator, WindowFrameBound, WindowFrameUnits,
    cast,
    expr::{AggregateFunction, ScalarFunction},
    lit,
    planner::{
        ExprPlanner, PlannerResult, RawAggregateExpr, RawBinaryExpr, RawFieldAccessExpr,
        RawWindowExpr,
    },
};
use datafusion_sql::sqlparser::ast::BinaryOperator;

use crate::functions::dates::{DATE_AND_TIME, INTERVAL_SHARE, INTERVAL_TIMES};
use crate::functions::{TEXT_ITEM, TEXT_SLICE, shown};
use crate::planner::{
    functions::Functions,
    parameters::type_addend,
    scalars::{DIVIDE, TIMESTAMP, digits},
};

/// The expression planners in the order in which they are asked.
pub fn expr_planners(functions: &Arc<Functions>) -> Vec<Arc<dyn ExprPlanner>> {
    vec![
        Arc::new(StoaPlanner { functions: Arc::clone(functions) }),
        Arc::new(datafusion_functions::core::planner::CoreFunctionPlanner::default()),
        Arc::new(datafusion_functions::unicode::planner::UnicodeFunctionPlanner),
        Arc::new(datafusion_functions_nested::planner::NestedFunctionPlanner),
    ]
}

#[derive(Debug)]
struct StoaPlanner {
    functions: Arc<Functions>,
}

impl StoaPlanner {
    fn call(&self, name: &str, args: Vec<Expr>) -> Result<Expr> {
        match self.functions.scalar(name) {
            Some(udf) => Ok(Expr::ScalarFunction(ScalarFunction::new_udf(udf, args))),
            None => plan_err!("there is no function {name}()"),
        }
    }

    /// `value.name`, whatever the case of the name, unless several fields differ only by case.
    fn field(&self, value: Expr, ty: &DataType, name: &str) -> Result<Option<Expr>> {
        let DataType::Struct(fields) = ty else { return Ok(None) };
        let mut matching = fields.iter().filter(|field| field.name().eq_ignore_ascii_case(name));
        let exact = fields.iter().find(|field| field.name() == name);
        let field = match (exact, matching.next(), matching.next()) {
            (Some(field), ..) | (None, Some(field), None) => field,
            (None, Some(_), Some(_)) => return plan_err!("the field \"{name}\" is ambiguous"),
            (None, None, _) => {
                let names: Vec<&str> = fields.iter().map(|field| field.name().as_str()).collect();
                return plan_err!("there is no field \"{name}\", fields are {}", names.join(", "));
            }
        };
        self.call("get_field", vec![value, lit(field.name().clone())]).map(Some)
    }
}

/// A date plus or minus an interval is a timestamp, so that nothing of the interval is lost.
fn moments(mut expr: RawBinaryExpr, schema: &DFSchema) -> RawBinaryExpr {
    let plus = expr.op == BinaryOperator::Plus;
    if !plus && expr.op != BinaryOperator::Minus {
        return expr;
    }
    // Chains nest to the left, so that the right side tells at little cost that most have no dates.
    let Ok(right) = expr.right.get_type(schema) else { return expr };
    if !matches!(right, DataType::Interval(_) | DataType::Date32) {
        return expr;
    }
    let Ok(left) = expr.left.get_type(schema) else { return expr };
    match (left, right) {
        (DataType::Date32, DataType::Interval(_)) => expr.left = cast(expr.left, TIMESTAMP),
        (DataType::Interval(_), DataType::Date32) if plus => {
            expr.right = cast(expr.right, TIMESTAMP);
        }
        _ => {}
    }
    expr
}

/// A text in the place of a condition is what it says: `x AND 'true'`.
fn condition(expr: Expr) -> Expr {
    match expr {
        Expr::Literal(ScalarValue::Utf8(_) | ScalarValue::Utf8View(_), _) => {
            cast(expr, DataType::Boolean)
        }
        expr => expr,
    }
}

/// Whether a division is one of decimals, or of a decimal and an integer.
fn is_decimal_division(expr: &RawBinaryExpr, schema: &DFSchema) -> bool {
    if expr.op != BinaryOperator::Divide {
        return false;
    }
    let Ok(right) = expr.right.get_type(schema) else { return false };
    if digits(&right).is_none() {
        return false;
    }
    let Ok(left) = expr.left.get_type(schema) else { return false };
    digits(&left).is_some() && !(left.is_integer() && right.is_integer())
}

/// An interval times a number or divided by one: a call of which function with which arguments.
fn interval_product(expr: &RawBinaryExpr, schema: &DFSchema) -> Option<(&'static str, Vec<Expr>)> {
    let divides = match expr.op {
        BinaryOperator::Multiply => false,
        BinaryOperator::Divide => true,
        _ => return None,
    };
    let is_interval = |ty: &DataType| matches!(ty, DataType::Interval(_));
    let right = expr.right.get_type(schema).ok()?;
    if is_interval(&right) && !divides {
        return Some((INTERVAL_TIMES, vec![expr.right.clone(), expr.left.clone()]));
    }
    if !right.is_numeric() || !is_interval(&expr.left.get_type(schema).ok()?) {
        return None;
    }
    let name = if divides { INTERVAL_SHARE } else { INTERVAL_TIMES };
    Some((name, vec![expr.left.clone(), expr.right.clone()]))
}

/// `date + time` in microseconds: the library's nanoseconds have no moment after 2262.
fn date_and_time(expr: &RawBinaryExpr, schema: &DFSchema) -> Option<Vec<Expr>> {
    if expr.op != BinaryOperator::Plus {
        return None;
    }
    let is_time = |ty: &DataType| matches!(ty, DataType::Time32(_) | DataType::Time64(_));
    let right = expr.right.get_type(schema).ok()?;
    if !is_time(&right) && right != DataType::Date32 {
        return None;
    }
    let left = expr.left.get_type(schema).ok()?;
    match (left, right) {
        (DataType::Date32, right) if is_time(&right) => {
            Some(vec![expr.left.clone(), expr.right.clone()])
        }
        (left, DataType::Date32) if is_time(&left) => {
            Some(vec![expr.right.clone(), expr.left.clone()])
        }
        _ => None,
    }
}

/// `date + 7` counts days.
fn days(mut expr: RawBinaryExpr, schema: &DFSchema) -> Result<RawBinaryExpr> {
    let plus = expr.op == BinaryOperator::Plus;
    if !plus && expr.op != BinaryOperator::Minus {
        return Ok(expr);
    }
    let interval = |expr: &Expr| match expr {
        Expr::Literal(ScalarValue::Int64(Some(days)), _) => {
            i32::try_from(*days).ok().map(|days| lit(ScalarValue::new_interval_mdn(0, days, 0)))
        }
        _ => None,
    };
    if let Some(days) = interval(&expr.right)
        && expr.left.get_type(schema)? == DataType::Date32
    {
        expr.right = days;
    } else if let Some(days) = interval(&expr.left)
        && plus
        && expr.right.get_type(schema)? == DataType::Date32
    {
        expr.left = days;
    }
    Ok(expr)
}

/// An operator as it is planned now that the types of its operands are known.
///
/// # Errors
/// Those of the planner library when an operand has no type.
pub fn planned(
    expr: BinaryExpr,
    schema: &DFSchema,
    functions: &Arc<Functions>,
) -> Result<Transformed<Expr>> {
    let op = match expr.op {
        Operator::Plus => BinaryOperator::Plus,
        Operator::Minus => BinaryOperator::Minus,
        Operator::Divide => BinaryOperator::Divide,
        _ => return Ok(Transformed::no(Expr::BinaryExpr(expr))),
    };
    let BinaryExpr { left, op: operator, right } = expr;
    let planner = StoaPlanner { functions: Arc::clone(functions) };
    let raw = RawBinaryExpr { op, left: *left, right: *right };
    Ok(Transformed::yes(match planner.plan_binary_op(raw, schema)? {
        PlannerResult::Planned(expr) => expr,
        PlannerResult::Original(RawBinaryExpr { left, right, .. }) => {
            Expr::BinaryExpr(BinaryExpr::new(Box::new(left), operator, Box::new(right)))
        }
    }))
}

#[expect(deprecated, reason = "the planner library still passes count(*) this way")]
fn is_star(args: &[Expr]) -> bool {
    matches!(args, [] | [Expr::Wildcard { .. }])
}

impl ExprPlanner for StoaPlanner {
    fn plan_binary_op(
        &self,
        mut expr: RawBinaryExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawBinaryExpr>> {
        if matches!(expr.op, BinaryOperator::And | BinaryOperator::Or) {
            expr.left = condition(expr.left);
            expr.right = condition(expr.right);
            return Ok(PlannerResult::Original(expr));
        }
        if expr.op == BinaryOperator::Plus {
            // The library would take the parameter for another date.
            type_addend(&mut expr.left, &mut expr.right, schema);
        }
        if let Some((name, args)) = interval_product(&expr, schema) {
            return Ok(PlannerResult::Planned(self.call(name, args)?));
        }
        if let Some(args) = date_and_time(&expr, schema) {
            return Ok(PlannerResult::Planned(self.call(DATE_AND_TIME, args)?));
        }
        if expr.op != BinaryOperator::DuckIntegerDivide {
            let expr = days(moments(expr, schema), schema)?;
            if is_decimal_division(&expr, schema) {
                let args = vec![expr.left, expr.right];
                return Ok(PlannerResult::Planned(self.call(DIVIDE, args)?));
            }
            return Ok(PlannerResult::Original(expr));
        }
        let whole = |ty: DataType| ty.is_integer() || ty.is_null();
        let integers = whole(expr.left.get_type(schema)?) && whole(expr.right.get_type(schema)?);
        let (left, right) = (Box::new(expr.left), Box::new(expr.right));
        let quotient = Expr::BinaryExpr(BinaryExpr::new(left, Operator::Divide, right));
        if integers {
            return Ok(PlannerResult::Planned(quotient));
        }
        Ok(PlannerResult::Planned(self.call("trunc", vec![quotient])?))
    }

    fn plan_extract(&self, args: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
        Ok(PlannerResult::Planned(self.call("date_part", args)?))
    }

    fn plan_aggregate(&self, expr: RawAggregateExpr) -> Result<PlannerResult<RawAggregateExpr>> {
        if !is_star(&expr.args) {
            return Ok(PlannerResult::Original(expr));
        }
        if expr.func.name() != "count" {
            return plan_err!("{}() needs an argument", expr.func.name());
        }
        if expr.distinct {
            return not_impl_err!("count(DISTINCT *)");
        }
        let count = AggregateFunction::new_udf(
            expr.func,
            vec![lit(1_i64)],
            false,
            expr.filter,
            expr.order_by,
            expr.null_treatment,
        );
        Ok(PlannerResult::Planned(Expr::AggregateFunction(count)))
    }

    fn plan_window(&self, mut expr: RawWindowExpr) -> Result<PlannerResult<RawWindowExpr>> {
        if expr.func_def.name() == "count" && is_star(&expr.args) {
            expr.args = vec![lit(1_i64)];
        }
        // Without distances both mean peers, and GROUPS takes order keys of every type.
        let frame = &mut expr.window_frame;
        let plain = |bound: &WindowFrameBound| {
            bound.is_unbounded() || matches!(bound, WindowFrameBound::CurrentRow)
        };
        if frame.units == WindowFrameUnits::Range
            && plain(&frame.start_bound)
            && plain(&frame.end_bound)
        {
            frame.units = WindowFrameUnits::Groups;
        }
        Ok(PlannerResult::Original(expr))
    }

    fn plan_compound_identifier(
        &self,
        field: &Field,
        qualifier: Option<&TableReference>,
        nested_names: &[String],
    ) -> Result<PlannerResult<Vec<Expr>>> {
        let mut expr = Expr::Column(Column::from((qualifier, field)));
        let mut ty = field.data_type().clone();
        for name in nested_names {
            let Some(next) = self.field(expr.clone(), &ty, name)? else {
                return plan_err!("\"{}\" has no fields", field.name());
            };
            if let DataType::Struct(fields) = &ty {
                let found = fields.iter().find(|field| field.name().eq_ignore_ascii_case(name));
                ty = found.map_or(DataType::Null, |field| field.data_type().clone());
            }
            expr = next;
        }
        Ok(PlannerResult::Planned(expr))
    }

    fn plan_field_access(
        &self,
        expr: RawFieldAccessExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawFieldAccessExpr>> {
        let RawFieldAccessExpr { field_access, expr } = expr;
        let ty = expr.get_type(schema)?;
        Ok(PlannerResult::Planned(match field_access {
            GetFieldAccess::NamedStructField { .. }
                if ty.is_primitive() || ty.is_string() || ty.is_list() =>
            {
                return plan_err!("a {} has no fields", shown(&ty));
            }
            GetFieldAccess::NamedStructField { name } => {
                let text = name.try_as_str().flatten().unwrap_or_default().to_owned();
                match self.field(expr.clone(), &ty, &text)? {
                    Some(field) => field,
                    None => self.call("get_field", vec![expr, Expr::Literal(name, None)])?,
                }
            }
            GetFieldAccess::ListIndex { key } if matches!(ty, DataType::Map(..)) => {
                self.call("get_field", vec![expr, *key])?
            }
            GetFieldAccess::ListIndex { key } if ty.is_string() => {
                self.call(TEXT_ITEM, vec![expr, *key])?
            }
            GetFieldAccess::ListIndex { key } => self.call("array_element", vec![expr, *key])?,
            GetFieldAccess::ListRange { start, stop, .. } if ty.is_string() => {
                self.call(TEXT_SLICE, vec![expr, *start, *stop])?
            }
            GetFieldAccess::ListRange { start, stop, stride } => {
                let step_one = matches!(*stride, Expr::Literal(ScalarValue::Int64(Some(1)), _));
                let mut args = vec![expr, *start, *stop];
                if !step_one {
                    args.push(*stride);
                }
                self.call("array_slice", args)?
            }
        }))
    }
}
