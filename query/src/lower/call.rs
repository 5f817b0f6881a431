//! Functions and operators that the engine takes by name, and the pattern matches.
//!
//! Invariant: names are lower case; operators without an expression of their own have names that end in `_op`.

use std::sync::Arc;

use datafusion_expr::{Like, Operator};
use stoadb_engine::Expr;
use stoadb_storage::{LogicalType, Scalar};

use super::{Lowerer, coerce, expr::not, fold::fold_constant, scope::Scope};
use crate::error::{Error, ErrorKind, Result};

/// A named function.
pub(super) fn function(name: &str, args: Vec<Expr>, ty: LogicalType) -> Expr {
    let function: Arc<str> = name.to_ascii_lowercase().into();
    Expr::Call { function, args, ty }
}

/// Whether an expression may give another value each time.
pub(crate) fn is_volatile(expr: &Expr) -> bool {
    const VOLATILE: [&str; 7] =
        ["random", "rand", "uuid", "gen_random_uuid", "uuidv4", "uuidv7", "nextval"];
    match expr {
        Expr::Call { function, .. } if VOLATILE.contains(&&**function) => true,
        Expr::Lambda { args, body, .. } => is_volatile(body) || args.iter().any(is_volatile),
        other => other.children().into_iter().any(is_volatile),
    }
}

/// A binary operator that is neither comparison nor arithmetic.
pub(super) fn operator(op: Operator, left: Expr, right: Expr) -> Result<Expr> {
    match op {
        Operator::StringConcat => Ok(concat(left, right)),
        Operator::RegexMatch => Ok(regexp(left, right, false)),
        Operator::RegexIMatch => Ok(regexp(left, right, true)),
        Operator::RegexNotMatch => Ok(not(regexp(left, right, false))),
        Operator::RegexNotIMatch => Ok(not(regexp(left, right, true))),
        Operator::LikeMatch => Ok(like(left, right, false, false)),
        Operator::NotLikeMatch => Ok(like(left, right, true, false)),
        Operator::ILikeMatch => Ok(like(left, right, false, true)),
        Operator::NotILikeMatch => Ok(like(left, right, true, true)),
        Operator::BitwiseAnd => bits("bit_and_op", op, left, right),
        Operator::BitwiseOr => bits("bit_or_op", op, left, right),
        Operator::BitwiseXor => bits("bit_xor_op", op, left, right),
        Operator::BitwiseShiftLeft => bits("shift_left_op", op, left, right),
        Operator::BitwiseShiftRight => bits("shift_right_op", op, left, right),
        Operator::IntegerDivide if left.ty().is_integer() && right.ty().is_integer() => {
            coerce::arithmetic(stoadb_engine::expr::ArithmeticOp::Divide, left, right)
        }
        other => Err(Error::unsupported(format!("the operator {other}"))),
    }
}

/// `||` on texts (anything else is written out first), blobs or lists.
fn concat(left: Expr, right: Expr) -> Expr {
    let ty = match (left.ty(), right.ty()) {
        (LogicalType::Blob, LogicalType::Blob) => LogicalType::Blob,
        (list @ LogicalType::List(_), _) | (_, list @ LogicalType::List(_)) => list,
        _ => LogicalType::Text,
    };
    let bring = |expr| if ty == LogicalType::Text { coerce::cast(expr, &ty) } else { expr };
    function("concat_op", vec![bring(left), bring(right)], ty.clone())
}

fn regexp(input: Expr, pattern: Expr, ignore_case: bool) -> Expr {
    let mut args =
        vec![coerce::cast(input, &LogicalType::Text), coerce::cast(pattern, &LogicalType::Text)];
    if ignore_case {
        args.push(Expr::Literal(Scalar::text("i")));
    }
    function("regexp_like", args, LogicalType::Boolean)
}

fn like(input: Expr, pattern: Expr, negated: bool, ignore_case: bool) -> Expr {
    let ty = match input.ty() {
        LogicalType::Blob => LogicalType::Blob,
        _ => LogicalType::Text,
    };
    let input = Box::new(coerce::cast(input, &ty));
    let pattern = Box::new(coerce::cast(pattern, &ty));
    Expr::Like { input, pattern, escape: None, negated, ignore_case }
}

/// Integers of one type; a shift's distance may have its own.
fn bits(name: &str, op: Operator, left: Expr, right: Expr) -> Result<Expr> {
    let ty = coerce::common_type(&left.ty(), &right.ty())?;
    if ty == LogicalType::Null {
        return Ok(Expr::Literal(Scalar::null(LogicalType::Int64)));
    }
    if !ty.is_integer() {
        let message = format!("there is no operator {} {op} {}", left.ty(), right.ty());
        return Err(Error::new(ErrorKind::Type, message));
    }
    Ok(function(name, vec![coerce::cast(left, &ty), coerce::cast(right, &ty)], ty))
}

impl Lowerer {
    pub(super) fn like(&mut self, node: &Like, scope: &Scope) -> Result<Expr> {
        let input = self.expr(&node.expr, scope)?;
        let pattern = self.expr(&node.pattern, scope)?;
        let mut lowered = like(input, pattern, node.negated, node.case_insensitive);
        if let Expr::Like { escape, .. } = &mut lowered {
            *escape = node.escape_char;
        }
        Ok(lowered)
    }

    /// SIMILAR TO with a constant pattern, as a regular expression over the whole text.
    pub(super) fn similar_to(&mut self, node: &Like, scope: &Scope) -> Result<Expr> {
        let input = self.expr(&node.expr, scope)?;
        let pattern = self.expr(&node.pattern, scope)?;
        let Expr::Literal(pattern) = fold_constant(coerce::cast(pattern, &LogicalType::Text))
        else {
            return Err(Error::unsupported("SIMILAR TO with a pattern that is not a constant"));
        };
        let pattern = match pattern.as_str() {
            Some(text) => Scalar::text(&similar_to_regexp(text, node.escape_char.unwrap_or('\\'))),
            None => Scalar::null(LogicalType::Text),
        };
        let matched = regexp(input, Expr::Literal(pattern), false);
        Ok(if node.negated { not(matched) } else { matched })
    }
}

/// The regular expression of a SIMILAR TO pattern: `%` and `_` are wildcards, `| * + ? {} () []` mean what they mean
/// in regular expressions, everything else is itself.
fn similar_to_regexp(pattern: &str, escape: char) -> String {
    let mut regexp = String::from("(?s)^(?:");
    let mut chars = pattern.chars();
    let mut in_brackets = false;
    while let Some(c) = chars.next() {
        match c {
            c if c == escape => {
                let next = chars.next().unwrap_or(escape);
                regexp.push_str(&escaped(next));
            }
            '[' | ']' => {
                in_brackets = c == '[';
                regexp.push(c);
            }
            '^' if in_brackets => regexp.push('^'),
            '%' if !in_brackets => regexp.push_str(".*"),
            '_' if !in_brackets => regexp.push('.'),
            '.' | '^' | '$' | '\\' => regexp.push_str(&escaped(c)),
            c => regexp.push(c),
        }
    }
    regexp.push_str(")$");
    regexp
}

fn escaped(c: char) -> String {
    if c.is_ascii_punctuation() { format!("\\{c}") } else { c.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_similar_to_regexp_translates_wildcards_and_quotes_the_rest() {
        assert_eq!(similar_to_regexp("a%_c", '\\'), "(?s)^(?:a.*.c)$");
        assert_eq!(similar_to_regexp("(ab|c)+.x$", '\\'), "(?s)^(?:(ab|c)+\\.x\\$)$");
        assert_eq!(similar_to_regexp("10!%[_%^a]", '!'), "(?s)^(?:10\\%[_%^a])$");
        assert_eq!(similar_to_regexp("x\\", '\\'), "(?s)^(?:x\\\\)$");
    }
}
