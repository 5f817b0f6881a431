//! Long chains of operators become shallow: the parser nests `a OR b OR c ...` to the left, one level a term, which costs
//! the planner quadratic time and a deep stack.
//!
//! Chains of one associative operator become balanced trees. Longer ones of `+` and `-`, of OR, and of AND in WHERE become
//! one call, whose arguments the planner types one by one; lowering takes it apart (`lower/signed_sum.rs`). Within a
//! subquery they stay trees: decorrelation looks for the terms.
//! Invariant: the order of the terms stays; only the parentheses move, and for arithmetic only in chains so long that
//! nobody computed the rounding by hand. Nothing here recurses on the length of a chain.

use std::ops::ControlFlow;

use datafusion_sql::sqlparser::ast::{
    BinaryOperator, Expr, Select, Statement, TableFactor, Value, VisitorMut,
};

use crate::{
    error::{Error, Result},
    planner::scalars::{ALL_OF, ANY_OF, SIGNED_SUM},
    sql::{
        calls::{call_of, taken},
        names::keep_name,
        visit::{Walk, WalkMut},
    },
};

/// Chains of AND and OR of at least this many terms are balanced.
const LOGICAL_TERMS: usize = 8;
/// Chains of other operators of at least this many terms are balanced.
const ARITHMETIC_TERMS: usize = 128;
/// Chains of more operators become a call.
const CALL_TERMS: usize = 256;
/// Deepest nesting of expressions: what is freed needs a stack, too, and there is but the caller's then.
const DEPTH: usize = 800;

/// Balances every long chain of a statement.
///
/// # Errors
/// `Unsupported` when operators that are not associative nest many hundred levels deep.
pub fn balance_statement(statement: &mut Statement) -> Result<()> {
    match statement.walk_mut(&mut Balancer::default()) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

#[derive(Default)]
struct Balancer {
    /// How many subqueries within expressions or after LATERAL are open.
    subqueries: usize,
    /// How many expressions are.
    depth: usize,
}

impl VisitorMut for Balancer {
    type Break = Error;

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        for item in &mut select.projection {
            keep_name(item, has_calls);
        }
        if let Some(condition) = &mut select.selection {
            self.call(condition, &BinaryOperator::And, ALL_OF);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Error> {
        self.subqueries += usize::from(is_lateral(factor));
        ControlFlow::Continue(())
    }

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Error> {
        self.subqueries -= usize::from(is_lateral(factor));
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        self.depth += 1;
        if self.depth > DEPTH {
            return ControlFlow::Break(Error::unsupported(format!(
                "an expression of more than {DEPTH} nested operators"
            )));
        }
        self.subqueries += usize::from(is_subquery(expr));
        if is_long(expr, is_sign) {
            *expr = signed_sum(expr);
            return ControlFlow::Continue(());
        }
        self.call(expr, &BinaryOperator::Or, ANY_OF);
        let Expr::BinaryOp { op, .. } = expr else { return ControlFlow::Continue(()) };
        let least = match op {
            BinaryOperator::And | BinaryOperator::Or => LOGICAL_TERMS,
            BinaryOperator::Plus | BinaryOperator::Multiply | BinaryOperator::StringConcat => {
                ARITHMETIC_TERMS
            }
            _ => usize::MAX,
        };
        let op = op.clone();
        if chain_length(expr, &op) >= least {
            let terms = take_terms(expr, &op);
            *expr = balanced(terms, &op);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        self.depth -= 1;
        self.subqueries -= usize::from(is_subquery(expr));
        ControlFlow::Continue(())
    }
}

impl Balancer {
    /// Turns a long chain of conditions into a call, where nothing needs to see its terms.
    fn call(&self, expr: &mut Expr, op: &BinaryOperator, function: &str) {
        let has_subquery = |expr: &Expr| {
            let found = expr.walk_expressions(|expr| match is_subquery(expr) {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            });
            found.is_break()
        };
        if self.subqueries == 0 && is_long(expr, |other| other == op) && !has_subquery(expr) {
            *expr = call_of(function, take_terms(expr, op));
        }
    }
}

fn is_lateral(factor: &TableFactor) -> bool {
    matches!(factor, TableFactor::Derived { lateral: true, .. })
}

fn is_subquery(expr: &Expr) -> bool {
    matches!(expr, Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. })
        || matches!(expr, Expr::AnyOp { .. } | Expr::AllOp { .. })
}

fn is_sign(op: &BinaryOperator) -> bool {
    matches!(op, BinaryOperator::Plus | BinaryOperator::Minus)
}

/// Whether an expression holds a chain that becomes a call.
fn has_calls(expr: &Expr) -> bool {
    let found = expr.walk_expressions(|expr| {
        match is_long(expr, is_sign) || is_long(expr, |op| *op == BinaryOperator::Or) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    });
    found.is_break()
}

/// Whether more than `CALL_TERMS` operators of a kind nest to the left. O(1): it looks no further.
fn is_long(expr: &Expr, belongs: impl Fn(&BinaryOperator) -> bool) -> bool {
    let (mut depth, mut next) = (0, expr);
    while depth <= CALL_TERMS
        && let Expr::BinaryOp { left, op, .. } = next
        && belongs(op)
    {
        depth += 1;
        next = left;
    }
    depth > CALL_TERMS
}

/// `a - b + c` as a call with the signs `+-+` and the terms.
fn signed_sum(expr: &mut Expr) -> Expr {
    let (mut signs, mut terms) = (Vec::new(), Vec::new());
    let mut next = taken(expr);
    loop {
        match next {
            Expr::BinaryOp {
                left,
                op: op @ (BinaryOperator::Plus | BinaryOperator::Minus),
                right,
            } => {
                signs.push(if op == BinaryOperator::Plus { '+' } else { '-' });
                terms.push(*right);
                next = *left;
            }
            first => {
                signs.push('+');
                terms.push(first);
                break;
            }
        }
    }
    let signs: String = signs.into_iter().rev().collect();
    terms.push(Expr::Value(Value::SingleQuotedString(signs).into()));
    terms.reverse();
    call_of(SIGNED_SUM, terms)
}

fn chain_length(expr: &Expr, chain: &BinaryOperator) -> usize {
    let (mut terms, mut next) = (1, expr);
    while let Expr::BinaryOp { left, op, .. } = next
        && op == chain
    {
        terms += 1;
        next = left;
    }
    terms
}

/// The terms along the left spine, in order. Leaves a placeholder behind.
fn take_terms(expr: &mut Expr, chain: &BinaryOperator) -> Vec<Expr> {
    let mut terms = Vec::new();
    let mut next = taken(expr);
    loop {
        match next {
            Expr::BinaryOp { left, op, right } if op == *chain => {
                terms.push(*right);
                next = *left;
            }
            last => {
                terms.push(last);
                break;
            }
        }
    }
    terms.reverse();
    terms
}

fn balanced(mut terms: Vec<Expr>, op: &BinaryOperator) -> Expr {
    while terms.len() > 1 {
        let mut pairs = Vec::with_capacity(terms.len().div_ceil(2));
        let mut rest = terms.into_iter();
        while let Some(left) = rest.next() {
            pairs.push(match rest.next() {
                Some(right) => {
                    Expr::BinaryOp { left: Box::new(left), op: op.clone(), right: Box::new(right) }
                }
                None => left,
            });
        }
        terms = pairs;
    }
    terms.pop().unwrap_or(Expr::Value(Value::Null.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::parse;

    #[test]
    fn test_balanced_chain_prints_as_before() {
        let terms: Vec<String> = (0..200).map(|i| format!("a = {i}")).collect();
        let sql = format!("SELECT * FROM t WHERE {}", terms.join(" OR "));
        let statements = parse(&sql).unwrap();
        assert_eq!(statements[0].statement.to_string(), sql);
    }

    #[test]
    fn test_long_conditions_become_calls_outside_subqueries() {
        let any = vec!["a = 1"; 1_000].join(" OR ");
        let all = vec!["a = 1"; 1_000].join(" AND ");
        let text = |sql: &str| parse(sql).unwrap()[0].statement.to_string();
        assert!(text(&format!("SELECT 1 FROM t WHERE {any}")).contains("WHERE any_of_op("));
        assert!(text(&format!("SELECT 1 FROM t WHERE {all}")).contains("WHERE all_of_op("));
        assert!(text(&format!("SELECT {any} FROM t")).starts_with("SELECT any_of_op("));
        for inner in [&any, &all] {
            let sql = format!("SELECT 1 FROM t WHERE EXISTS (SELECT 1 FROM u WHERE {inner})");
            assert_eq!(text(&sql), sql);
        }
        let sql = format!("SELECT 1 FROM t JOIN u ON {all}");
        assert_eq!(text(&sql), sql);
        let sql = format!("SELECT 1 FROM t WHERE {any} OR EXISTS (SELECT 1)");
        assert_eq!(text(&sql), sql);
    }

    #[test]
    fn test_balanced_chain_is_shallow() {
        let sql = format!("SELECT {}", vec!["a"; 10_000].join(" * "));
        let statements = parse(&sql).unwrap();
        struct Depth(usize, usize);
        impl VisitorMut for Depth {
            type Break = ();
            fn pre_visit_expr(&mut self, _: &mut Expr) -> ControlFlow<()> {
                self.0 += 1;
                self.1 = self.1.max(self.0);
                ControlFlow::Continue(())
            }
            fn post_visit_expr(&mut self, _: &mut Expr) -> ControlFlow<()> {
                self.0 -= 1;
                ControlFlow::Continue(())
            }
        }
        let mut depth = Depth(0, 0);
        let _ = statements[0].statement.clone().walk_mut(&mut depth);
        assert!(depth.1 <= 15, "{}", depth.1);
    }

    #[test]
    fn test_long_differences_become_a_call() {
        let sql = format!("SELECT {}", vec!["a"; 10_000].join(" - "));
        let statement = parse(&sql).unwrap()[0].statement.to_string();
        assert!(statement.starts_with("SELECT signed_sum_op('+----"), "{:.80}", statement);
        assert!(statement.ends_with("...\""), "the name is that of the text");
        let sql = format!("SELECT {}", vec!["a"; 100].join(" - "));
        assert_eq!(parse(&sql).unwrap()[0].statement.to_string(), sql);
    }

    #[test]
    fn test_deep_quotients_are_refused() {
        let sql = format!("SELECT {}", vec!["a"; 10_000].join(" / "));
        let error = parse(&sql).map(|_| ()).unwrap_err();
        assert!(error.message.contains("nested operators"), "{error}");
    }
}
