//! Which conditions may raise an error that people guard against by another condition before them.
//!
//! Those are divisions by what may be zero and conversions that do not take every value. Overflow of sums and products
//! does not count: nobody writes a guard against it, and most conditions compute something.
//! Invariant: the answer is one of an expression's form alone; a plan before and after lowering gets the same.

use std::collections::HashSet;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion_expr::{BinaryExpr, ExprSchemable, LogicalPlan, Operator, utils::merge_schema};
use stoadb_engine::{Expr, expr::ArithmeticOp};

use super::STACK_LEFT;
use crate::planner::{
    scalars::DIVIDE,
    trees::{PlanWalk, TreeWalk},
};

/// Whether a condition may raise such an error.
pub(crate) fn raises(expr: &Expr) -> bool {
    let here = match expr {
        Expr::Arithmetic { op: ArithmeticOp::Divide | ArithmeticOp::Modulo, right, ty, .. } => {
            !ty.is_float()
                && !matches!(&**right, Expr::Literal(value) if value.as_i128() != Some(0))
        }
        Expr::Cast { input, ty, or_null: false } => {
            !matches!(&**input, Expr::Literal(_))
                && !takes_all(&input.ty().to_arrow(), &ty.to_arrow())
        }
        _ => false,
    };
    let below = || expr.children().into_iter().any(raises);
    here || stacker::maybe_grow(STACK_LEFT, super::STACK_GROWTH, below)
}

/// Whether a filter or a join of a typed plan has a condition that may raise such an error, or that uses a column which is
/// computed so: put in its place, the expression would be asked of rows that something below drops.
pub(crate) fn any_raises(plan: &LogicalPlan) -> datafusion_common::Result<bool> {
    use datafusion_common::tree_node::TreeNodeRecursion as Next;
    let mut nodes = Vec::new();
    plan.apply_with_subqueries_dyn(|node| {
        use LogicalPlan as P;
        if matches!(node, P::Filter(_) | P::Join(_) | P::Projection(_) | P::Aggregate(_)) {
            nodes.push(node.clone());
        }
        Ok(Next::Continue)
    })?;
    let mut names: HashSet<String> = HashSet::new();
    // From the leaves to the root: inputs are before what reads them.
    for node in nodes.iter().rev() {
        let (condition, computed) = match node {
            LogicalPlan::Filter(filter) => (Some(&filter.predicate), &[][..]),
            LogicalPlan::Join(join) => (join.filter.as_ref(), &[][..]),
            LogicalPlan::Projection(projection) => (None, projection.expr.as_slice()),
            LogicalPlan::Aggregate(aggregate) => (None, aggregate.group_expr.as_slice()),
            _ => continue,
        };
        let schema = merge_schema(&node.inputs());
        let mut raises = |expr: &datafusion_expr::Expr| {
            let used = expr.column_refs().iter().any(|column| names.contains(&column.name));
            Ok::<_, datafusion_common::DataFusionError>(used || in_condition(expr, &schema)?)
        };
        if condition.map(&mut raises).transpose()?.unwrap_or(false) {
            return Ok(true);
        }
        let mut more = Vec::new();
        for (expr, field) in computed.iter().zip(node.schema().fields()) {
            if raises(expr)? {
                more.push(field.name().clone());
            }
        }
        names.extend(more);
    }
    Ok(false)
}

/// Whether an expression of a plan, typed or not, may raise such an error.
pub(crate) fn may_raise(plan: &LogicalPlan) -> datafusion_common::Result<bool> {
    plan.exists_dyn(|plan| {
        let schema = merge_schema(&plan.inputs());
        let mut found = false;
        plan.apply_expressions_dyn(|expr| {
            found |= in_condition(expr, &schema)?;
            Ok(datafusion_common::tree_node::TreeNodeRecursion::Continue)
        })?;
        Ok(found)
    })
}

fn in_condition(
    expr: &datafusion_expr::Expr,
    schema: &datafusion_common::DFSchema,
) -> datafusion_common::Result<bool> {
    use datafusion_common::tree_node::TreeNodeRecursion as Next;
    let mut found = false;
    expr.apply_dyn(|expr| {
        if let Some(date) = compared_date(expr, schema) {
            found |= in_condition(date, schema)?;
            return Ok(if found { Next::Stop } else { Next::Jump });
        }
        found |= logical(expr, schema);
        Ok(if found { Next::Stop } else { Next::Continue })
    })?;
    Ok(found)
}

/// The date of a comparison of a date as a timestamp with a constant, which becomes one of dates.
fn compared_date<'e>(
    expr: &'e datafusion_expr::Expr,
    schema: &datafusion_common::DFSchema,
) -> Option<&'e datafusion_expr::Expr> {
    use datafusion_expr::Expr as E;
    let E::BinaryExpr(BinaryExpr { left, op, right }) = expr else { return None };
    let (side, other) = if left.any_column_refs() { (left, right) } else { (right, left) };
    let E::Cast(cast) = side.as_ref() else { return None };
    let date = cast.expr.get_type(schema).is_ok_and(|ty| ty == DataType::Date32);
    use Operator as O;
    let compares = matches!(op, O::Eq | O::NotEq | O::Lt | O::LtEq | O::Gt | O::GtEq);
    (compares && date && !other.any_column_refs()).then_some(&*cast.expr)
}

fn logical(expr: &datafusion_expr::Expr, schema: &datafusion_common::DFSchema) -> bool {
    use datafusion_expr::Expr as E;
    let constant = |expr: &E| match expr {
        E::Cast(cast) => matches!(&*cast.expr, E::Literal(..)),
        expr => matches!(expr, E::Literal(..)),
    };
    match expr {
        E::BinaryExpr(BinaryExpr { op: Operator::Divide | Operator::Modulo, left, right }) => {
            let floating = |side: &E| side.get_type(schema).is_ok_and(|ty| ty.is_floating());
            !constant(right) && !floating(right) && !floating(left)
        }
        E::ScalarFunction(call) => {
            call.func.name() == DIVIDE && !call.args.get(1).is_some_and(constant)
        }
        E::Cast(cast) => {
            !constant(&cast.expr)
                && cast
                    .expr
                    .get_type(schema)
                    .is_ok_and(|ty| !takes_all(&ty, cast.field.data_type()))
        }
        _ => false,
    }
}

/// Whether a conversion takes every value of a type.
fn takes_all(from: &DataType, to: &DataType) -> bool {
    use DataType as D;
    match (from, to) {
        (from, to) if from == to => true,
        (D::Null, _) | (_, D::Utf8 | D::LargeUtf8 | D::Utf8View) => true,
        (from, to) if to.is_floating() => from.is_numeric(),
        // Dates go far beyond the years that 64 bits of microseconds reach.
        (D::Date32, D::Timestamp(unit, _)) => *unit <= TimeUnit::Millisecond,
        (D::Timestamp(from, _), D::Timestamp(to, _)) => to <= from,
        (D::Timestamp(..), D::Date32) => true,
        (from, to) => match (needs(from), needs(to)) {
            (Some((negative, whole, scale)), Some((to_negative, to_whole, to_scale))) => {
                // An integer type does not hold all numbers of its largest one's digits.
                let holds = to_whole - i16::from(to.is_integer());
                (to_negative || !negative) && whole <= holds && scale <= to_scale
            }
            _ => false,
        },
    }
}

/// Whether a type has negative numbers, and how many digits its numbers need before and behind the point.
fn needs(ty: &DataType) -> Option<(bool, i16, i16)> {
    use DataType as D;
    Some(match ty {
        D::Int8 => (true, 3, 0),
        D::UInt8 => (false, 3, 0),
        D::Int16 => (true, 5, 0),
        D::UInt16 => (false, 5, 0),
        D::Int32 => (true, 10, 0),
        D::UInt32 => (false, 10, 0),
        D::Int64 => (true, 19, 0),
        D::UInt64 => (false, 20, 0),
        D::Decimal32(digits, scale)
        | D::Decimal64(digits, scale)
        | D::Decimal128(digits, scale)
        | D::Decimal256(digits, scale) => {
            (true, i16::from(*digits) - i16::from(*scale), i16::from(*scale))
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_conversions_that_take_every_value() {
        use DataType as D;
        let decimal = |digits, scale| D::Decimal128(digits, scale);
        let micros = D::Timestamp(TimeUnit::Microsecond, None);
        for (from, to, all) in [
            (D::Int32, D::Int64, true),
            (D::Int64, D::Int32, false),
            (D::Int32, D::UInt64, false),
            (D::UInt32, D::Int32, false),
            (D::UInt32, D::Int64, true),
            (D::Int64, decimal(19, 0), true),
            (D::Int64, decimal(19, 2), false),
            (decimal(15, 2), decimal(38, 17), true),
            (decimal(15, 2), decimal(14, 2), false),
            (decimal(15, 2), D::Float64, true),
            (D::Float64, D::Int64, false),
            (D::Utf8View, D::Int64, false),
            (D::Utf8View, D::Date32, false),
            (D::Int64, D::Utf8View, true),
            (D::Date32, micros.clone(), false),
            (D::Date32, D::Timestamp(TimeUnit::Millisecond, None), true),
            (micros, D::Timestamp(TimeUnit::Nanosecond, None), false),
        ] {
            assert_eq!(takes_all(&from, &to), all, "{from} to {to}");
        }
    }
}
