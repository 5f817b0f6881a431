//! JSON's operators and type: `->` and `->>` are functions, a cast to JSON checks a text or writes a value.
//!
//! Invariant: an arrow behind a parameter in an argument of a function that takes lambdas is a lambda's, every other one
//! is an operator. The parser takes `name ->` for a lambda everywhere: operators are given to it as `#>`, which nobody
//! else may write. They bind as `||` does, as in PostgreSQL. Next: `functions/json/`.

use datafusion_sql::sqlparser::{
    ast::{
        BinaryOperator, CastKind, DataType, Expr, Function, FunctionArg, FunctionArgExpr,
        FunctionArguments, Ident, ObjectName, Value,
    },
    tokenizer::{Token, TokenWithSpan},
};

use super::{
    calls::{call_of, taken},
    clauses::{like, opening},
    names::fold,
    parse::span_of,
};
use crate::{
    error::{Error, Result},
    functions::{JSON_CAST, JSON_TRY_CAST},
    planner::lambdas::lambda_names,
};

/// Writes the operator `->` so that the parser knows it.
///
/// # Errors
/// `Unsupported` for PostgreSQL's operators with `#`.
pub fn arrows(mut code: Vec<TokenWithSpan>) -> Result<Vec<TokenWithSpan>> {
    for at in 0..code.len() {
        match code[at].token {
            Token::HashArrow | Token::HashLongArrow => {
                return Err(Error::unsupported("the operators #> and #>>")
                    .with_hint("json_extract(x, '$.a.b') takes a path")
                    .or_span(Some(span_of(code[at].span))));
            }
            Token::Arrow if !is_lambda(&code[..at]) => {
                code[at] = like(Token::HashArrow, &code[at].clone());
            }
            _ => {}
        }
    }
    Ok(code)
}

/// Whether an arrow behind these tokens is a lambda's.
fn is_lambda(before: &[TokenWithSpan]) -> bool {
    let parameters = match before.last().map(|token| &token.token) {
        Some(Token::Word(_)) => before.len() - 1,
        Some(Token::RParen) => match opening(&before[..before.len() - 1]) {
            Some(open) => open,
            None => return false,
        },
        _ => return false,
    };
    let before = &before[..parameters];
    if !matches!(before.last().map(|token| &token.token), Some(Token::Comma)) {
        return false;
    }
    let Some(open) = opening(before) else { return false };
    match open.checked_sub(1).map(|name| &before[name].token) {
        Some(Token::Word(word)) => lambda_names().any(|name| word.value.eq_ignore_ascii_case(name)),
        _ => false,
    }
}

/// Whether `rewrite` changes an expression.
pub fn changes(expr: &Expr) -> bool {
    match expr {
        Expr::BinaryOp { op, .. } => is_arrow(op),
        Expr::Cast { data_type, .. } => matches!(data_type, DataType::JSON | DataType::JSONB),
        Expr::TypedString(typed) => matches!(typed.data_type, DataType::JSON | DataType::JSONB),
        Expr::Function(function) => is_grouping(&fold(&function.name.to_string())),
        _ => false,
    }
}

const GROUP_ARRAY: &str = "json_group_array";
const GROUP_OBJECT: &str = "json_group_object";

/// Whether a name is one of the aggregates that make JSON.
pub fn is_grouping(name: &str) -> bool {
    matches!(name, GROUP_ARRAY | GROUP_OBJECT)
}

fn is_arrow(op: &BinaryOperator) -> bool {
    matches!(op, BinaryOperator::Arrow | BinaryOperator::HashArrow | BinaryOperator::LongArrow)
}

/// Rewrites an expression whose parts are rewritten.
pub fn rewrite(expr: &mut Expr) {
    match expr {
        Expr::BinaryOp { left, op, right } if is_arrow(op) => {
            let name = match op {
                BinaryOperator::LongArrow => "json_extract_string",
                _ => "json_extract",
            };
            *expr = call_of(name, vec![taken(left), taken(right)]);
        }
        Expr::Cast { kind, expr: value, data_type: DataType::JSON | DataType::JSONB, .. } => {
            let tries = matches!(kind, CastKind::TryCast | CastKind::SafeCast);
            let name = if tries { JSON_TRY_CAST } else { JSON_CAST };
            *expr = call_of(name, vec![taken(value)]);
        }
        Expr::TypedString(typed) if matches!(typed.data_type, DataType::JSON | DataType::JSONB) => {
            *expr = call_of(JSON_CAST, vec![Expr::Value(typed.value.clone())]);
        }
        Expr::Cast { expr: value, data_type, .. } if !is_text(data_type) => as_string(value),
        Expr::Function(function) => {
            if let Some(grouped) = grouped(function) {
                *expr = grouped;
            }
        }
        _ => {}
    }
}

fn is_text(ty: &DataType) -> bool {
    matches!(
        ty,
        DataType::Varchar(_)
            | DataType::Text
            | DataType::String(_)
            | DataType::Char(_)
            | DataType::Character(_)
            | DataType::CharVarying(_)
            | DataType::CharacterVarying(_)
            | DataType::Nvarchar(_)
    )
}

/// A string that is cast has no quotes: `(j -> 'a')::DATE`.
fn as_string(value: &mut Expr) {
    match value {
        Expr::Nested(inner) => as_string(inner),
        Expr::Function(function) if function.name.to_string() == "json_extract" => {
            function.name = named("json_extract_string");
        }
        _ => {}
    }
}

fn named(name: &str) -> ObjectName {
    ObjectName::from(vec![Ident::new(name)])
}

/// `json_group_array(x)` is the list as JSON, `json_group_object(k, v)` a list of pairs.
fn grouped(function: &mut Function) -> Option<Expr> {
    let name = fold(&function.name.to_string());
    if !is_grouping(&name) {
        return None;
    }
    let FunctionArguments::List(list) = &mut function.args else { return None };
    if name == GROUP_OBJECT {
        let mut values = Vec::new();
        for (arg, field) in list.args.iter().zip(["key", "value"]) {
            let FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) = arg else { return None };
            let field = Value::SingleQuotedString(field.to_owned());
            values.extend([Expr::Value(field.into()), value.clone()]);
        }
        if list.args.len() != 2 {
            return None;
        }
        let pair = call_of("named_struct", values);
        list.args = vec![FunctionArg::Unnamed(FunctionArgExpr::Expr(pair))];
    }
    function.name = named("list");
    let list = Expr::Function(function.clone());
    let name = if name == GROUP_OBJECT { "json_object_of_op" } else { "to_json" };
    Some(call_of(name, vec![list]))
}
