//! The type `STRUCT(a INTEGER, b VARCHAR)`, which the parser reads only with angle brackets: `STRUCT<a INTEGER, b VARCHAR>`.
//!
//! Invariant: only parentheses that hold a name and the name of a type are a type's; those of a call of the function
//! `struct` stay. Next: `parse.rs`.

use std::ops::ControlFlow;

use datafusion_sql::sqlparser::{
    ast::{ArrayElemTypeDef, DataType, Expr, Statement, StructBracketKind, VisitorMut},
    tokenizer::{Token, TokenWithSpan},
};

use crate::sql::{
    statements::{code, is_word},
    visit::WalkMut,
};

/// Words that may follow a name within an expression.
const OPERATORS: [&str; 16] = [
    "and", "or", "is", "isnull", "notnull", "not", "in", "like", "ilike", "between", "collate",
    "similar", "div", "as", "at", "glob",
];

/// Writes the types of structs as the parser reads them; whether there are any.
pub fn angled(tokens: &mut [TokenWithSpan]) -> bool {
    let code = code(tokens);
    let token = |tokens: &[TokenWithSpan], place: usize| {
        code.get(place).map_or(Token::EOF, |&at| tokens[at].token.clone())
    };
    let mut found = false;
    for place in 0..code.len() {
        let is_struct = is_word(&token(tokens, place), "struct");
        if !is_struct && !is_word(&token(tokens, place), "row") {
            continue;
        }
        if token(tokens, place + 1) == Token::Lt {
            found |= is_struct;
            continue;
        }
        let typed = token(tokens, place + 1) == Token::LParen
            && matches!(token(tokens, place + 2), Token::Word(_))
            && matches!(token(tokens, place + 3), Token::Word(word)
                if word.quote_style.is_some() || !OPERATORS.contains(&word.value.to_ascii_lowercase().as_str()));
        let Some(close) = typed.then(|| closing(tokens, &code, place + 1)).flatten() else {
            continue;
        };
        tokens[code[place]].token = Token::make_keyword("STRUCT");
        tokens[code[place + 1]].token = Token::Lt;
        tokens[code[close]].token = Token::Gt;
        found = true;
    }
    found
}

/// The place of the parenthesis that closes the one at `open`.
fn closing(tokens: &[TokenWithSpan], code: &[usize], open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (place, &at) in code.iter().enumerate().skip(open) {
        match tokens[at].token {
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(place);
        }
    }
    None
}

/// Shows the types of structs with parentheses again.
pub fn with_parentheses(statement: &mut Statement) {
    struct Types;
    impl VisitorMut for Types {
        type Break = ();

        fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            if let Expr::Cast { data_type, .. } = expr {
                parenthesise(data_type);
            }
            ControlFlow::Continue(())
        }
    }
    let _ = statement.walk_mut(&mut Types);
}

fn parenthesise(ty: &mut DataType) {
    match ty {
        DataType::Struct(fields, brackets) => {
            *brackets = StructBracketKind::Parentheses;
            fields.iter_mut().for_each(|field| parenthesise(&mut field.field_type));
        }
        DataType::Array(
            ArrayElemTypeDef::SquareBracket(item, _) | ArrayElemTypeDef::AngleBracket(item),
        ) => parenthesise(item),
        DataType::Map(key, value) => {
            parenthesise(key);
            parenthesise(value);
        }
        _ => {}
    }
}
