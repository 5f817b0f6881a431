//! Simplification of lowered expressions: constants are computed, conditions shortened, casts taken off columns.
//!
//! Invariants: a constant is computed by the engine's own kernels, so that it has the value that a column would give; one
//! that raises an error stays as it is, and raises it only if a row reaches it. Every rewrite holds in three-valued logic.

use std::sync::Arc;

use stoadb_engine::{Expr, Plan, QueryContext, QuerySettings, eval, expr::CompareOp};
use stoadb_storage::{LogicalType, Scalar};

use super::{
    STACK_GROWTH, STACK_LEFT, call, coerce,
    expr::{and, not, or},
    literal::fold_exactly,
};
use crate::planner::registry::registry;

/// Simplifies all expressions of a plan; filters that let everything or nothing through disappear.
pub(super) fn fold_plan(mut plan: Plan) -> Plan {
    let folder = Folder { context: context() };
    plan.for_each_expr_mut(&mut |expr| {
        let taken = std::mem::replace(expr, boolean(false));
        *expr = folder.fold(taken);
    });
    drop_filters(plan)
}

/// The value of an expression over constants, or the expression as it was.
pub(super) fn fold_constant(expr: Expr) -> Expr {
    if matches!(expr, Expr::Literal(_)) {
        return expr;
    }
    Folder { context: context() }.fold(expr)
}

/// Most bytes that a function may make of constants in a plan; one that would make more stays, to run with the query's own
/// budget.
const FOLDED_BYTES: u64 = 1 << 20;

fn context() -> QueryContext {
    let settings = QuerySettings { memory_limit: FOLDED_BYTES, ..QuerySettings::default() };
    QueryContext::new(settings, Arc::clone(registry()), Vec::new())
}

fn drop_filters(mut plan: Plan) -> Plan {
    for input in plan.inputs_mut() {
        let empty = Plan::Values { schema: input.schema().clone(), rows: Vec::new() };
        *input = drop_filters(std::mem::replace(input, empty));
    }
    match plan {
        Plan::Filter { input, predicate } => match truth(&predicate) {
            Some(Some(true)) => *input,
            Some(_) => Plan::Values { schema: input.schema().clone(), rows: Vec::new() },
            None => Plan::Filter { input, predicate },
        },
        plan => plan,
    }
}

/// The value of a constant condition: `Some(None)` is NULL.
fn truth(expr: &Expr) -> Option<Option<bool>> {
    match expr {
        Expr::Literal(value) => Some(value.as_bool()),
        _ => None,
    }
}

fn boolean(value: bool) -> Expr {
    Expr::Literal(Scalar::boolean(value))
}

struct Folder {
    context: QueryContext,
}

impl Folder {
    fn fold(&self, expr: Expr) -> Expr {
        stacker::maybe_grow(STACK_LEFT, STACK_GROWTH, || self.fold_here(expr))
    }

    fn fold_here(&self, mut expr: Expr) -> Expr {
        for child in expr.children_mut() {
            let taken = std::mem::replace(child, boolean(false));
            *child = self.fold(taken);
        }
        if let Some(value) = self.constant(&expr) {
            return Expr::Literal(value);
        }
        match expr {
            Expr::And(operands) => conjunction(operands),
            Expr::Or(operands) => disjunction(operands),
            Expr::Not(operand) => not(*operand),
            Expr::Compare { op, left, right } => comparison(op, *left, *right),
            Expr::InList { input, list, negated } => in_list(*input, list, negated),
            other => other,
        }
    }

    /// The value of an expression over constants alone, unless it raises an error or is another each time.
    fn constant(&self, expr: &Expr) -> Option<Scalar> {
        let literal = |child: &&Expr| matches!(child, Expr::Literal(_));
        let constant = match expr {
            Expr::Column { .. }
            | Expr::Literal(_)
            | Expr::Subquery { .. }
            | Expr::Parameter { .. } => false,
            Expr::Call { function, .. } => {
                let external = self.context.functions().get(function);
                external.is_none_or(|function| function.is_pure())
            }
            _ => true,
        };
        if !constant || !expr.children().iter().all(literal) {
            return None;
        }
        eval::constant(expr, &self.context).ok()
    }
}

/// AND without TRUE, repetitions and nesting.
fn conjunction(operands: Vec<Expr>) -> Expr {
    let mut kept: Vec<Expr> = Vec::with_capacity(operands.len());
    for operand in operands {
        match operand {
            Expr::And(inner) => kept.extend(inner),
            operand => kept.push(operand),
        }
    }
    if kept.iter().any(|operand| truth(operand) == Some(Some(false))) {
        return boolean(false);
    }
    kept.retain(|operand| truth(operand) != Some(Some(true)));
    remove_repeated(&mut kept);
    if kept.is_empty() { boolean(true) } else { in_lists(and(kept)) }
}

/// OR without FALSE, repetitions and nesting; what all alternatives demand stands before it; equalities with constants
/// become a list.
fn disjunction(operands: Vec<Expr>) -> Expr {
    let mut kept: Vec<Expr> = Vec::with_capacity(operands.len());
    for operand in operands {
        match operand {
            Expr::Or(inner) => kept.extend(inner),
            operand => kept.push(operand),
        }
    }
    if kept.iter().any(|operand| truth(operand) == Some(Some(true))) {
        return boolean(true);
    }
    kept.retain(|operand| truth(operand) != Some(Some(false)));
    remove_repeated(&mut kept);
    match kept.len() {
        0 => boolean(false),
        1 => or(kept),
        _ => in_lists(factor(kept)),
    }
}

/// Quadratic in distinct operands, so it stops at a number that people write by hand.
fn remove_repeated(operands: &mut Vec<Expr>) {
    if operands.len() <= 64 && !operands.iter().any(call::is_volatile) {
        let mut index = 0;
        while index < operands.len() {
            match operands[..index].contains(&operands[index]) {
                true => drop(operands.remove(index)),
                false => index += 1,
            }
        }
    }
}

/// `(a AND b) OR (a AND c)` is `a AND (b OR c)`.
fn factor(alternatives: Vec<Expr>) -> Expr {
    let conjuncts = |expr: Expr| match expr {
        Expr::And(operands) => operands,
        other => vec![other],
    };
    let mut alternatives: Vec<Vec<Expr>> = alternatives.into_iter().map(conjuncts).collect();
    let Some((first, rest)) = alternatives.split_first() else { return boolean(false) };
    let everywhere = |expr: &&Expr| rest.iter().all(|other| other.contains(expr));
    let mut common: Vec<Expr> = match alternatives.len() {
        2..=64 => first.iter().filter(everywhere).cloned().collect(),
        _ => Vec::new(),
    };
    if common.is_empty() {
        let joined = |operands| and(operands);
        return or(alternatives.into_iter().map(joined).collect());
    }
    for alternative in &mut alternatives {
        alternative.retain(|expr| !common.contains(expr));
    }
    // An alternative that demands nothing else lets all of the common part through.
    if alternatives.iter().all(|alternative| !alternative.is_empty()) {
        common.push(disjunction(alternatives.into_iter().map(and).collect()));
    }
    and(common)
}

/// `a = 1 OR a = 2` is `a IN (1, 2)`; `a <> 1 AND a <> 2` is `a NOT IN (1, 2)`. Lists stand where their first value
/// stood.
fn in_lists(condition: Expr) -> Expr {
    let (args, negated) = match condition {
        Expr::Or(args) => (args, false),
        Expr::And(args) => (args, true),
        other => return other,
    };
    let mut lists: Vec<(Expr, Vec<Scalar>)> = Vec::new();
    let mut places: Vec<Result<Expr, usize>> = Vec::new();
    for arg in args {
        match listed(arg, negated) {
            Ok((input, values)) => match lists.iter().position(|(known, _)| *known == input) {
                Some(known) => lists[known].1.extend(values),
                None => {
                    places.push(Err(lists.len()));
                    lists.push((input, values));
                }
            },
            Err(other) => places.push(Ok(other)),
        }
    }
    let op = if negated { CompareOp::NotEq } else { CompareOp::Eq };
    let rebuilt = |place: Result<Expr, usize>| match place {
        Ok(expr) => expr,
        Err(list) => {
            let (input, mut values): (Expr, Vec<Scalar>) = lists[list].clone();
            let input = Box::new(input);
            match values.len() {
                1 => {
                    let right = Box::new(Expr::Literal(values.remove(0)));
                    Expr::Compare { op, left: input, right }
                }
                _ => Expr::InList { input, list: values.into(), negated },
            }
        }
    };
    let args = places.into_iter().map(rebuilt).collect();
    if negated { and(args) } else { or(args) }
}

/// What an equality with a constant, or a list of constants, asks for.
fn listed(condition: Expr, negated: bool) -> Result<(Expr, Vec<Scalar>), Expr> {
    let wanted = if negated { CompareOp::NotEq } else { CompareOp::Eq };
    match condition {
        Expr::Compare { op, left, right } if op == wanted => match (*left, *right) {
            (Expr::Literal(value), input) | (input, Expr::Literal(value))
                if !call::is_volatile(&input) =>
            {
                Ok((input, vec![value]))
            }
            (left, right) => {
                Err(Expr::Compare { op, left: Box::new(left), right: Box::new(right) })
            }
        },
        Expr::InList { input, list, negated: other }
            if other == negated && !call::is_volatile(&input) =>
        {
            Ok((*input, list.to_vec()))
        }
        other => Err(other),
    }
}

/// A constant stands on the right; a cast of a column gives way to one of the constant where no value is lost.
fn comparison(op: CompareOp, left: Expr, right: Expr) -> Expr {
    if matches!(left, Expr::Literal(_)) && !matches!(right, Expr::Literal(_)) {
        return comparison(coerce::swapped(op), right, left);
    }
    if let (Expr::Cast { input, ty, or_null: false }, Expr::Literal(value)) = (&left, &right)
        && keeps_order(&input.ty(), ty)
        && let Some(value) = fold_exactly(value, &input.ty())
    {
        let right = Box::new(Expr::Literal(value));
        return Expr::Compare { op, left: input.clone(), right };
    }
    Expr::Compare { op, left: Box::new(left), right: Box::new(right) }
}

fn in_list(input: Expr, list: Arc<[Scalar]>, negated: bool) -> Expr {
    if let Expr::Cast { input: inner, ty, or_null: false } = &input
        && keeps_order(&inner.ty(), ty)
        && let Some(list) = list.iter().map(|value| fold_exactly(value, &inner.ty())).collect()
    {
        return Expr::InList { input: inner.clone(), list, negated };
    }
    Expr::InList { input: Box::new(input), list, negated }
}

/// Whether a cast never fails, keeps different values different and keeps their order.
fn keeps_order(from: &LogicalType, to: &LogicalType) -> bool {
    use LogicalType as L;
    let range = |ty: &LogicalType| match ty {
        L::Int8 => Some((true, 7)),
        L::Int16 => Some((true, 15)),
        L::Int32 => Some((true, 31)),
        L::Int64 => Some((true, 63)),
        L::UInt8 => Some((false, 8)),
        L::UInt16 => Some((false, 16)),
        L::UInt32 => Some((false, 32)),
        L::UInt64 => Some((false, 64)),
        _ => None,
    };
    match (from, to) {
        (L::Float32, L::Float64) | (L::Date, L::Timestamp(_, None)) => {
            // A nanosecond timestamp does not hold every date.
            !matches!(to, L::Timestamp(stoadb_storage::TimeUnit::Nanosecond, _))
        }
        (L::Decimal { precision, scale }, L::Decimal { precision: p, scale: s }) => {
            let whole = |p: u8, s: i8| i16::from(p) - i16::from(s);
            s >= scale && whole(*p, *s) >= whole(*precision, *scale)
        }
        (from, to) => match (range(from), range(to)) {
            (Some((signed, bits)), Some((to_signed, to_bits))) => {
                bits <= to_bits && (to_signed || !signed)
            }
            _ => false,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(expr: Expr) -> String {
        let context =
            QueryContext::new(QuerySettings::default(), Arc::clone(registry()), Vec::new());
        Folder { context }.fold(expr).to_string()
    }

    fn column(index: usize, ty: LogicalType) -> Expr {
        Expr::column(index, ty)
    }

    fn long(value: i64) -> Expr {
        Expr::Literal(Scalar::int64(value))
    }

    fn compare(op: CompareOp, left: Expr, right: Expr) -> Expr {
        Expr::Compare { op, left: Box::new(left), right: Box::new(right) }
    }

    fn eq(index: usize, value: i64) -> Expr {
        compare(CompareOp::Eq, column(index, LogicalType::Int64), long(value))
    }

    fn add(left: Expr, right: Expr) -> Expr {
        use stoadb_engine::expr::ArithmeticOp;
        let (left, right) = (Box::new(left), Box::new(right));
        Expr::Arithmetic { op: ArithmeticOp::Add, left, right, ty: LogicalType::Int64 }
    }

    #[test]
    fn test_constants_are_computed_unless_they_fail() {
        assert_eq!(folded(add(long(1), add(long(2), long(3)))), "6");
        let overflow = add(long(i64::MAX), long(1));
        assert_eq!(folded(overflow.clone()), overflow.to_string());
    }

    #[test]
    fn test_conditions_are_shortened() {
        let (a, b, c) = (eq(0, 1), eq(1, 2), eq(2, 3));
        let yes = || boolean(true);
        assert_eq!(folded(and(vec![a.clone(), yes(), a.clone()])), a.to_string());
        assert_eq!(folded(and(vec![a.clone(), boolean(false)])), boolean(false).to_string());
        assert_eq!(folded(or(vec![a.clone(), yes()])), yes().to_string());
        let common = or(vec![and(vec![a.clone(), b.clone()]), and(vec![c.clone(), a.clone()])]);
        let expected = and(vec![a.clone(), or(vec![b.clone(), c])]);
        assert_eq!(folded(common), expected.to_string());
        let absorbed = or(vec![a.clone(), and(vec![a.clone(), b])]);
        assert_eq!(folded(absorbed), a.to_string());
        assert_eq!(
            folded(Expr::Not(Box::new(a))),
            compare(CompareOp::NotEq, column(0, LogicalType::Int64), long(1)).to_string()
        );
    }

    #[test]
    fn test_alternatives_become_a_list() {
        let alternatives = or(vec![eq(0, 1), eq(1, 9), eq(0, 2), eq(0, 3)]);
        let list = Expr::InList {
            input: Box::new(column(0, LogicalType::Int64)),
            list: [1, 2, 3].map(Scalar::int64).into(),
            negated: false,
        };
        assert_eq!(folded(alternatives), or(vec![list, eq(1, 9)]).to_string());
    }

    #[test]
    fn test_casts_of_columns_give_way() {
        let wide = |ty| Expr::Cast {
            input: Box::new(column(0, ty)),
            ty: LogicalType::Int64,
            or_null: false,
        };
        let narrow = compare(CompareOp::Gt, long(5), wide(LogicalType::Int16));
        let Expr::Compare { op: CompareOp::Lt, left, right } = (Folder {
            context: QueryContext::new(QuerySettings::default(), Arc::default(), Vec::new()),
        })
        .fold(narrow) else {
            panic!("the sides are exchanged");
        };
        assert_eq!((left.ty(), right.ty()), (LogicalType::Int16, LogicalType::Int16));
        let too_large = compare(CompareOp::Gt, wide(LogicalType::Int16), long(40_000));
        assert_eq!(folded(too_large.clone()), too_large.to_string());
    }
}
