//! Long chains of operators become shallow: the parser nests `a OR b OR c ...` to the left, one level a term, which costs
//! the planner quadratic time and a deep stack.
//!
//! Chains of one associative operator become balanced trees; longer ones of `+` and `-` become one call, which
//! `lower/signed_sum.rs` takes apart when the types are known.
//! Invariant: the order of the terms stays; only the parentheses move, and for arithmetic only in chains so long that
//! nobody computed the rounding by hand. Nothing here recurses on the length of a chain.

use std::ops::ControlFlow;

use datafusion_sql::sqlparser::ast::{
    BinaryOperator, Expr, Ident, Select, SelectItem, Spanned, Statement, Value, VisitMut,
    VisitorMut, visit_expressions,
};

use crate::{
    error::{Error, Result},
    planner::scalars::SIGNED_SUM,
    sql::{names::expression_name, rewrite::call_of},
};

/// Chains of AND and OR of at least this many terms are balanced.
const LOGICAL_TERMS: usize = 8;
/// Chains of other operators of at least this many terms are balanced.
const ARITHMETIC_TERMS: usize = 128;
/// Deepest nesting to the left of operators: longer chains of `+` and `-` become a call, others are refused.
const LEFT_DEPTH: usize = 400;

/// Balances every long chain of a statement.
///
/// # Errors
/// `Unsupported` when operators that are not associative nest thousands of levels deep.
pub fn balance_statement(statement: &mut Statement) -> Result<()> {
    match statement.visit(&mut Balancer) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Balancer;

impl VisitorMut for Balancer {
    type Break = Error;

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        for item in &mut select.projection {
            if let SelectItem::UnnamedExpr(expr) = item
                && has_differences(expr)
            {
                // The name is that of the text.
                let mut alias = Ident::with_quote('"', expression_name(expr));
                alias.span = expr.span();
                let expr = std::mem::replace(expr, Expr::Value(Value::Null.into()));
                *item = SelectItem::ExprWithAlias { expr, alias };
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        if is_difference(expr) {
            *expr = signed_sum(expr);
            return ControlFlow::Continue(());
        }
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
        if left_depth(expr) > LEFT_DEPTH {
            return ControlFlow::Break(Error::unsupported(format!(
                "an expression of more than {LEFT_DEPTH} nested operators"
            )));
        }
        ControlFlow::Continue(())
    }
}

fn has_differences(expr: &Expr) -> bool {
    let found = visit_expressions(expr, |expr| match is_difference(expr) {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    });
    found.is_break()
}

/// Whether an expression is a long chain of `+` and `-`, with a `-` among the last terms: others are balanced.
fn is_difference(expr: &Expr) -> bool {
    let (mut depth, mut minus, mut next) = (0, false, expr);
    while depth <= LEFT_DEPTH
        && let Expr::BinaryOp {
            left, op: op @ (BinaryOperator::Plus | BinaryOperator::Minus), ..
        } = next
    {
        depth += 1;
        minus |= *op == BinaryOperator::Minus;
        next = left;
    }
    minus && depth > LEFT_DEPTH
}

/// `a - b + c` as a call with the signs `+-+` and the terms.
fn signed_sum(expr: &mut Expr) -> Expr {
    let (mut signs, mut terms) = (Vec::new(), Vec::new());
    let mut next = std::mem::replace(expr, Expr::Value(Value::Null.into()));
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

fn left_depth(expr: &Expr) -> usize {
    let (mut depth, mut next) = (0, expr);
    while let Expr::BinaryOp { left, .. } = next {
        depth += 1;
        next = left;
    }
    depth
}

/// The terms along the left spine, in order. Leaves a placeholder behind.
fn take_terms(expr: &mut Expr, chain: &BinaryOperator) -> Vec<Expr> {
    let mut terms = Vec::new();
    let mut next = std::mem::replace(expr, Expr::Value(Value::Null.into()));
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
        let terms: Vec<String> = (0..1_000).map(|i| format!("a = {i}")).collect();
        let sql = format!("SELECT * FROM t WHERE {}", terms.join(" OR "));
        let statements = parse(&sql).unwrap();
        assert_eq!(statements[0].statement.to_string(), sql);
    }

    #[test]
    fn test_balanced_chain_is_shallow() {
        let sql = format!("SELECT {}", vec!["a"; 10_000].join(" + "));
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
        let _ = statements[0].statement.clone().visit(&mut depth);
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
