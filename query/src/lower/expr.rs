//! Expressions: the library's become the engine's, with ordinals, types and no sugar.
//!
//! Invariants: AND and OR are flat; operands are coerced (`coerce.rs`); every sugared form (BETWEEN, CASE x WHEN, IS
//! TRUE) is spelt out, so that the engine's expression type stays small. Next: `call.rs`, `literal.rs`.

use std::sync::Arc;

use datafusion_expr::{
    Between, BinaryExpr, Case, Expr as Logical, ExprSchemable, Operator,
    expr::{InList, Placeholder},
};
use stoadb_engine::expr::{ArithmeticOp, CompareOp, Expr};
use stoadb_storage::{LogicalType, Scalar};

use super::{
    Lowerer, STACK_GROWTH, STACK_LEFT, call, coerce, literal, planner_error, scope::Scope,
    signed_sum::signed_sum,
};
use crate::{
    error::{Error, Result},
    planner::{
        parameters,
        scalars::{ALL_OF, ANY_OF, DIVIDE, SAME, SIGNED_SUM, TRY},
    },
};

fn conditions(args: Vec<Expr>) -> Result<Vec<Expr>> {
    args.into_iter().map(coerce::boolean).collect()
}

impl Lowerer {
    /// Translates an expression over the columns of `scope`.
    pub(super) fn expr(&mut self, expr: &Logical, scope: &Scope) -> Result<Expr> {
        stacker::maybe_grow(STACK_LEFT, STACK_GROWTH, || self.any(expr, scope))
    }

    /// Translates expressions in order.
    pub(super) fn exprs<'e>(
        &mut self,
        exprs: impl IntoIterator<Item = &'e Logical>,
        scope: &Scope,
    ) -> Result<Vec<Expr>> {
        exprs.into_iter().map(|expr| self.expr(expr, scope)).collect()
    }

    /// Translates a condition.
    pub(super) fn condition(&mut self, expr: &Logical, scope: &Scope) -> Result<Expr> {
        coerce::boolean(self.expr(expr, scope)?)
    }

    fn any(&mut self, expr: &Logical, scope: &Scope) -> Result<Expr> {
        match expr {
            Logical::Alias(alias) => self.expr(&alias.expr, scope),
            Logical::Column(column) => {
                let (index, ty) = scope.resolve(column)?;
                Ok(Expr::Column { index, ty })
            }
            Logical::Literal(value, _) => Ok(Expr::Literal(literal::scalar(value)?)),
            Logical::Placeholder(placeholder) => parameter(placeholder),
            Logical::BinaryExpr(binary) => self.binary(binary, scope),
            Logical::Like(like) => self.like(like, scope),
            Logical::SimilarTo(like) => self.similar_to(like, scope),
            Logical::Not(input) => Ok(not(self.condition(input, scope)?)),
            Logical::IsNull(input) | Logical::IsUnknown(input) => {
                Ok(Expr::IsNull(Box::new(self.expr(input, scope)?)))
            }
            Logical::IsNotNull(input) | Logical::IsNotUnknown(input) => {
                Ok(Expr::IsNotNull(Box::new(self.expr(input, scope)?)))
            }
            Logical::IsTrue(input) => self.is(input, CompareOp::NotDistinct, true, scope),
            Logical::IsFalse(input) => self.is(input, CompareOp::NotDistinct, false, scope),
            Logical::IsNotTrue(input) => self.is(input, CompareOp::Distinct, true, scope),
            Logical::IsNotFalse(input) => self.is(input, CompareOp::Distinct, false, scope),
            Logical::Negative(input) => Ok(Expr::Negate(Box::new(self.expr(input, scope)?))),
            Logical::Between(between) => self.between(between, scope),
            Logical::Case(case) => self.case(case, scope),
            Logical::Cast(cast) => {
                let ty = LogicalType::from_arrow(cast.field.data_type())?;
                Ok(coerce::cast(self.expr(&cast.expr, scope)?, &ty))
            }
            Logical::TryCast(cast) => {
                let ty = LogicalType::from_arrow(cast.field.data_type())?;
                Ok(coerce::convert(self.expr(&cast.expr, scope)?, &ty, true))
            }
            Logical::ScalarFunction(function) => {
                let ty = expr.get_type(scope).map_err(planner_error)?;
                let mut args = self.exprs(&function.args, scope)?;
                match function.name() {
                    SIGNED_SUM => return signed_sum(args, &LogicalType::from_arrow(&ty)?),
                    ANY_OF => return Ok(or(conditions(args)?)),
                    ALL_OF => return Ok(and(conditions(args)?)),
                    TRY => {
                        let ty = LogicalType::from_arrow(&ty)?;
                        let body = args.pop().ok_or_else(|| Error::internal("TRY of nothing"))?;
                        return Ok(self.attempt(coerce::cast(body, &ty), ty));
                    }
                    _ => {}
                }
                if function.name() == SAME
                    && let Some(argument) = args.pop()
                {
                    return Ok(argument);
                }
                if function.name() == DIVIDE
                    && let (Some(right), Some(left)) = (args.pop(), args.pop())
                {
                    return Ok(coerce::quotient(left, right, LogicalType::from_arrow(&ty)?));
                }
                Ok(call::function(function.name(), args, LogicalType::from_arrow(&ty)?))
            }
            Logical::HigherOrderFunction(call) => self.lambda(call, expr, scope),
            Logical::LambdaVariable(variable) => {
                let ty = LogicalType::from_arrow(&expr.get_type(scope).map_err(planner_error)?)?;
                self.lambda_variable(&variable.name, ty)
            }
            Logical::InList(list) => self.in_list(list, scope),
            Logical::ScalarSubquery(subquery) => self.scalar_subquery(subquery),
            other => Err(refusal(other)),
        }
    }

    fn is(&mut self, input: &Logical, op: CompareOp, value: bool, scope: &Scope) -> Result<Expr> {
        let left = Box::new(self.condition(input, scope)?);
        Ok(Expr::Compare { op, left, right: Box::new(literal::boolean(value)) })
    }

    fn binary(&mut self, binary: &BinaryExpr, scope: &Scope) -> Result<Expr> {
        let junction = match binary.op {
            Operator::And => Some(and as fn(Vec<Expr>) -> Expr),
            Operator::Or => Some(or as fn(Vec<Expr>) -> Expr),
            _ => None,
        };
        if let Some(junction) = junction {
            let operands = operands(binary);
            let operands = operands.into_iter().map(|operand| self.condition(operand, scope));
            return Ok(junction(operands.collect::<Result<_>>()?));
        }
        let left = self.expr(&binary.left, scope)?;
        let right = self.expr(&binary.right, scope)?;
        if let Some(op) = compare_op(binary.op) {
            return coerce::compare(op, left, right);
        }
        match arithmetic_op(binary.op) {
            Some(op) => coerce::arithmetic(op, left, right),
            None => call::operator(binary.op, left, right),
        }
    }

    fn between(&mut self, between: &Between, scope: &Scope) -> Result<Expr> {
        let input = self.expr(&between.expr, scope)?;
        let low = self.expr(&between.low, scope)?;
        let high = self.expr(&between.high, scope)?;
        let (above, below) = match between.negated {
            false => (CompareOp::GtEq, CompareOp::LtEq),
            true => (CompareOp::Lt, CompareOp::Gt),
        };
        let bounds =
            vec![coerce::compare(above, input.clone(), low)?, coerce::compare(below, input, high)?];
        Ok(if between.negated { or(bounds) } else { and(bounds) })
    }

    fn case(&mut self, case: &Case, scope: &Scope) -> Result<Expr> {
        let operand = case.expr.as_ref().map(|operand| self.expr(operand, scope)).transpose()?;
        let mut branches = Vec::with_capacity(case.when_then_expr.len());
        for (when, then) in &case.when_then_expr {
            let when = match &operand {
                Some(operand) => {
                    let value = self.expr(when, scope)?;
                    coerce::compare(CompareOp::Eq, operand.clone(), value)?
                }
                None => self.condition(when, scope)?,
            };
            branches.push((when, self.expr(then, scope)?));
        }
        let otherwise = case.else_expr.as_ref().map(|expr| self.expr(expr, scope)).transpose()?;
        let mut ty = LogicalType::Null;
        for result in branches.iter().map(|(_, then)| then).chain(&otherwise) {
            ty = coerce::common_type(&ty, &result.ty())?;
        }
        for (_, then) in &mut branches {
            *then = coerce::cast(std::mem::replace(then, literal::boolean(true)), &ty);
        }
        let otherwise = otherwise.map(|expr| Box::new(coerce::cast(expr, &ty)));
        Ok(Expr::Case { branches, otherwise, ty })
    }

    fn in_list(&mut self, list: &InList, scope: &Scope) -> Result<Expr> {
        let mut input = self.expr(&list.expr, scope)?;
        let items = self.exprs(&list.list, scope)?;
        if items.is_empty() {
            return Ok(literal::boolean(list.negated));
        }
        let mut ty = input.ty();
        for item in &items {
            ty = coerce::common_type(&ty, &item.ty())?;
        }
        input = coerce::cast(input, &ty);
        let items: Vec<Expr> = items.into_iter().map(|item| coerce::cast(item, &ty)).collect();
        let scalar = |item: &Expr| match item {
            Expr::Literal(value) => Some(value.clone()),
            _ => None,
        };
        if let Some(list_values) = items.iter().map(scalar).collect::<Option<Arc<[Scalar]>>>() {
            return Ok(Expr::InList {
                input: Box::new(input),
                list: list_values,
                negated: list.negated,
            });
        }
        let op = if list.negated { CompareOp::NotEq } else { CompareOp::Eq };
        let compare = |item| coerce::compare(op, input.clone(), item);
        let compared = items.into_iter().map(compare).collect::<Result<_>>()?;
        Ok(if list.negated { and(compared) } else { or(compared) })
    }
}

/// The operands of nested ANDs or ORs, in order.
fn operands(binary: &BinaryExpr) -> Vec<&Logical> {
    let mut operands = Vec::new();
    let mut pending = vec![&*binary.right, &*binary.left];
    while let Some(expr) = pending.pop() {
        match expr {
            Logical::BinaryExpr(inner) if inner.op == binary.op => {
                pending.extend([&*inner.right, &*inner.left]);
            }
            other => operands.push(other),
        }
    }
    operands
}

/// The flat conjunction of conditions; TRUE of none.
pub(crate) fn and(conditions: Vec<Expr>) -> Expr {
    let mut flat = Vec::with_capacity(conditions.len());
    for condition in conditions {
        match condition {
            Expr::And(inner) => flat.extend(inner),
            other => flat.push(other),
        }
    }
    match flat.len() {
        0 => literal::boolean(true),
        1 => flat.remove(0),
        _ => Expr::And(flat),
    }
}

/// The flat disjunction of conditions; FALSE of none.
pub(crate) fn or(conditions: Vec<Expr>) -> Expr {
    let mut flat = Vec::with_capacity(conditions.len());
    for condition in conditions {
        match condition {
            Expr::Or(inner) => flat.extend(inner),
            other => flat.push(other),
        }
    }
    match flat.len() {
        0 => literal::boolean(false),
        1 => flat.remove(0),
        _ => Expr::Or(flat),
    }
}

/// The conditions whose conjunction a condition is.
pub(crate) fn conjuncts(condition: Expr) -> Vec<Expr> {
    match condition {
        Expr::And(inner) => inner.into_iter().flat_map(conjuncts).collect(),
        Expr::Literal(value) if value.as_bool() == Some(true) => Vec::new(),
        other => vec![other],
    }
}

/// The negation, taken into the condition where it has a form for it.
pub(super) fn not(condition: Expr) -> Expr {
    match condition {
        Expr::Compare { op, left, right } => Expr::Compare { op: coerce::negated(op), left, right },
        Expr::Not(inner) => *inner,
        Expr::IsNull(inner) => Expr::IsNotNull(inner),
        Expr::IsNotNull(inner) => Expr::IsNull(inner),
        Expr::InList { input, list, negated } => Expr::InList { input, list, negated: !negated },
        Expr::Like { input, pattern, escape, negated, ignore_case } => {
            Expr::Like { input, pattern, escape, negated: !negated, ignore_case }
        }
        other => Expr::Not(Box::new(other)),
    }
}

fn compare_op(op: Operator) -> Option<CompareOp> {
    Some(match op {
        Operator::Eq => CompareOp::Eq,
        Operator::NotEq => CompareOp::NotEq,
        Operator::Lt => CompareOp::Lt,
        Operator::LtEq => CompareOp::LtEq,
        Operator::Gt => CompareOp::Gt,
        Operator::GtEq => CompareOp::GtEq,
        Operator::IsDistinctFrom => CompareOp::Distinct,
        Operator::IsNotDistinctFrom => CompareOp::NotDistinct,
        _ => return None,
    })
}

fn arithmetic_op(op: Operator) -> Option<ArithmeticOp> {
    Some(match op {
        Operator::Plus => ArithmeticOp::Add,
        Operator::Minus => ArithmeticOp::Subtract,
        Operator::Multiply => ArithmeticOp::Multiply,
        Operator::Divide => ArithmeticOp::Divide,
        Operator::Modulo => ArithmeticOp::Modulo,
        _ => return None,
    })
}

/// A parameter whose value is not in the plan, but whose type is.
fn parameter(placeholder: &Placeholder) -> Result<Expr> {
    let number = parameters::number(&placeholder.id).and_then(|number| number.checked_sub(1));
    match (number, &placeholder.field) {
        (Some(index), Some(field)) => {
            Ok(Expr::Parameter { index, ty: LogicalType::from_arrow(field.data_type())? })
        }
        _ => Err(Error::internal(format!("the parameter {} has no value", placeholder.id))),
    }
}

/// Why an expression has no counterpart, in the words of SQL.
fn refusal(expr: &Logical) -> Error {
    match expr {
        Logical::Exists(_) => Error::unsupported("EXISTS with an outer column in this place"),
        Logical::InSubquery(_) => Error::unsupported("IN (SELECT ..) in this place"),
        Logical::SetComparison(_) => Error::unsupported("ANY and ALL over a subquery"),
        Logical::OuterReferenceColumn(_, column) => Error::unsupported(format!(
            "a subquery that uses the outer column {} in this way",
            column.name
        )),
        Logical::WindowFunction(_) => Error::unsupported(
            "a window function here (it stands in SELECT, QUALIFY or ORDER BY; a subquery may give its value)",
        ),
        Logical::AggregateFunction(call) => Error::unsupported(format!(
            "{}() here (an aggregate stands in SELECT, HAVING or ORDER BY; a subquery may give its value)",
            call.func.name()
        )),
        Logical::Unnest(_) => Error::unsupported("UNNEST"),
        Logical::HigherOrderFunction(_) | Logical::Lambda(_) | Logical::LambdaVariable(_) => {
            Error::unsupported("lambda functions")
        }
        Logical::ScalarVariable(_, names) => {
            Error::unsupported(format!("the variable {}", names.join(".")))
        }
        other => Error::internal(format!("{} in a scalar expression", other.variant_name())),
    }
}
