//! `EXCLUDE` behind a window's frame, which the parser does not know, becomes a constant in PARTITION BY: it parts nothing,
//! and `lower/window.rs` takes it for what it says.
//!
//! Invariant: only what stands behind a frame's end within parentheses is taken for the clause; `SELECT * EXCLUDE` and
//! columns of that name stay. The constant cannot be typed. Next: `named_windows.rs`.

use datafusion_sql::sqlparser::{
    ast::{Expr, Value},
    tokenizer::{Token, TokenWithSpan},
};

use super::clauses::{any, is, like, opening, word};

/// Begins the constant.
pub const EXCLUDE: &str = "\u{4}exclude ";

/// Whether an expression of PARTITION BY is the constant.
pub fn is_marker(expr: &Expr) -> bool {
    if let Expr::Nested(inner) = expr {
        return is_marker(inner);
    }
    matches!(expr, Expr::Value(value)
        if matches!(&value.value, Value::SingleQuotedString(text) if text.starts_with(EXCLUDE)))
}

/// A text of SQL without the constants.
pub fn unmarked(text: String) -> String {
    let Some(start) = text.find(&format!("('{EXCLUDE}")) else { return text };
    let Some(length) = text[start..].find("')") else { return text };
    let (before, after) = (&text[..start], &text[start + length + 2..]);
    unmarked(match after.strip_prefix(", ") {
        Some(after) => format!("{before}{after}"),
        None => format!("{}{}", before.trim_end_matches("PARTITION BY "), after.trim_start()),
    })
}

/// Rewrites the clauses.
pub fn rewrite(mut code: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mut at = 1;
    while at < code.len() {
        let behind = any(code.get(at - 1), &["row", "preceding", "following"]);
        let what = code.get(at + 1).filter(|_| behind && is(&code[at], "exclude"));
        let found = what.and_then(|what| match &what.token {
            Token::Word(first) if any(code.get(at + 2), &["row", "others"]) => {
                match first.value.to_ascii_lowercase().as_str() {
                    "current" => Some(("current row", 3)),
                    "no" => Some(("no others", 3)),
                    _ => None,
                }
            }
            Token::Word(first) => match first.value.to_ascii_lowercase().as_str() {
                "group" => Some(("group", 2)),
                "ties" => Some(("ties", 2)),
                _ => None,
            },
            _ => None,
        });
        if let Some((what, tokens)) = found
            && let Some(open) = opening(&code[..at])
        {
            let place = code[at].clone();
            code.drain(at..at + tokens);
            insert(&mut code, open, what, &place);
            at = 0;
        }
        at += 1;
    }
    code
}

fn insert(code: &mut Vec<TokenWithSpan>, open: usize, what: &str, place: &TokenWithSpan) {
    // In parentheses: the planner library drops bare constants.
    let text = Token::SingleQuotedString(format!("{EXCLUDE}{what}"));
    let constant = [Token::LParen, text, Token::RParen].map(|token| like(token, place));
    let (mut depth, mut at) = (0_usize, open + 1);
    while let Some(token) = code.get(at) {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.saturating_sub(1),
            _ if depth > 0 => {}
            _ if is(token, "partition") => {
                let comma = like(Token::Comma, place);
                code.splice(at + 2..at + 2, constant.into_iter().chain([comma]));
                return;
            }
            _ if any(code.get(at), &["order", "rows", "range", "groups"]) => {
                let clause = [word("PARTITION", place), word("BY", place)];
                code.splice(at..at, clause.into_iter().chain(constant));
                return;
            }
            _ => {}
        }
        at += 1;
    }
}
