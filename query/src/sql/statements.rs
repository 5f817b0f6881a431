//! Statements for which the parser has no words: INSERT ... BY NAME, CREATE FUNCTION as CREATE MACRO, DROP MACRO,
//! QUANTILES in CREATE INDEX.
//!
//! Invariant: tokens are changed only within the words that begin a statement, and of CREATE INDEX in the list behind
//! INCLUDE. Next: `parse.rs`.

use datafusion_sql::sqlparser::{
    ast::{Ident, Insert, Statement},
    keywords::Keyword,
    tokenizer::{Token, TokenWithSpan},
};

use crate::{
    error::{Error, Result},
    sql::{names::EXACT, parse::place},
};

/// Stands where the parser keeps columns that INSERT names late: the columns are those that the query names.
pub const BY_NAME: &str = "\u{1}by name";

/// Ends the name of a column of INCLUDE behind which QUANTILES stands.
const QUANTILES: &str = "\u{1}quantiles";

/// Stands for the parameters of a macro that has none.
const NO_PARAMETER: &str = "\u{1}none";

/// Whether an INSERT finds its columns by the names of the query's.
pub fn is_by_name(insert: &Insert) -> bool {
    debug_assert!(BY_NAME.starts_with(EXACT));
    insert.after_columns.iter().any(|name| name.value == BY_NAME)
}

/// Marks an INSERT as one BY NAME.
pub fn mark_by_name(statement: &mut Statement) {
    if let Statement::Insert(insert) = statement {
        insert.after_columns.push(Ident::with_quote('"', BY_NAME));
    }
}

/// Takes BY NAME or BY POSITION off an INSERT; true for the former.
pub fn take_by_name(tokens: &mut Vec<TokenWithSpan>) -> bool {
    let code = code(tokens);
    if !code.first().is_some_and(|&at| is_word(&tokens[at].token, "insert")) {
        return false;
    }
    let ends = |token: &Token| {
        let words = ["select", "values", "from", "with", "default"];
        *token == Token::LParen || words.iter().any(|word| is_word(token, word))
    };
    let head: Vec<usize> =
        code.iter().copied().take_while(|&at| !ends(&tokens[at].token)).collect();
    // INSERT INTO t BY NAME: a table of the name BY stands right behind INTO.
    let [.., before, by, name] = head.as_slice() else { return false };
    let is_into = is_word(&tokens[*before].token, "into");
    if is_into || head.len() < 4 || !is_word(&tokens[*by].token, "by") {
        return false;
    }
    let by_name = is_word(&tokens[*name].token, "name");
    if !by_name && !is_word(&tokens[*name].token, "position") {
        return false;
    }
    let (by, name) = (*by, *name);
    tokens.remove(name);
    tokens.remove(by);
    by_name
}

/// Reads CREATE FUNCTION f(x) AS as CREATE MACRO, and DROP MACRO [TABLE] as DROP FUNCTION.
pub fn rename_macros(tokens: &mut Vec<TokenWithSpan>) {
    let code = code(tokens);
    let word = |place: usize, wanted: &str| {
        code.get(place).is_some_and(|&at| is_word(&tokens[at].token, wanted))
    };
    if word(0, "drop") && word(1, "macro") {
        let table = word(2, "table").then(|| code[2]);
        tokens[code[1]].token = Token::make_keyword("FUNCTION");
        if let Some(table) = table {
            tokens.remove(table);
        }
        return;
    }
    if !word(0, "create") {
        return;
    }
    let after = if word(1, "or") && word(2, "replace") { 3 } else { 1 };
    let after = if word(after, "temp") || word(after, "temporary") { after + 1 } else { after };
    if !word(after, "function") && !word(after, "macro") {
        return;
    }
    tokens[code[after]].token = Token::make_keyword("MACRO");
    // The parser wants a parameter; `no_parameter` takes it away again.
    let is =
        |place: usize, wanted: &Token| code.get(place).map(|&at| &tokens[at].token) == Some(wanted);
    let open = (after + 2..code.len()).find(|&place| is(place, &Token::LParen));
    if let Some(open) = open.filter(|&open| open <= after + 4 && is(open + 1, &Token::RParen)) {
        let span = tokens[code[open]].span;
        let token = Token::make_word(NO_PARAMETER, Some('"'));
        tokens.insert(code[open + 1], TokenWithSpan { token, span });
    }
}

/// Takes away what `rename_macros` put in the place of no parameters.
pub fn no_parameter(statement: &mut Statement) {
    if let Statement::CreateMacro { args: Some(args), .. } = statement {
        args.retain(|arg| arg.name.value != NO_PARAMETER);
    }
}

/// Refuses statements that the parser has no word for by their names.
///
/// # Errors
/// `Unsupported`, with what to write instead.
pub fn refuse_unknown(tokens: &[TokenWithSpan]) -> Result<()> {
    let code = code(tokens);
    let word = |place: usize, wanted: &str| {
        code.get(place).is_some_and(|&at| is_word(&tokens[at].token, wanted))
    };
    let checkpoint = word(0, "checkpoint") || (word(0, "force") && word(1, "checkpoint"));
    match code.first() {
        Some(&first) if checkpoint => Err(Error::unsupported("the statement CHECKPOINT")
            .with_hint("SAVE TO 'folder' writes the database to the disk")
            .or_span(place(tokens[first].span))),
        _ => Ok(()),
    }
}

/// Takes QUANTILES off the columns in `CREATE INDEX ... INCLUDE (a, b QUANTILES)` and marks these.
pub fn mark_quantiles(tokens: &mut Vec<TokenWithSpan>) {
    let code = code(tokens);
    let word = |place: usize, wanted: &str| {
        code.get(place).is_some_and(|&at| is_word(&tokens[at].token, wanted))
    };
    if !(word(0, "create") && (word(1, "index") || word(1, "unique") && word(2, "index"))) {
        return;
    }
    let open = |place: &usize| {
        word(*place, "include")
            && code.get(place + 1).is_some_and(|&at| tokens[at].token == Token::LParen)
    };
    let Some(open) = (0..code.len()).rev().find(open) else { return };
    let mut marked = Vec::new();
    for place in open + 3..code.len() {
        let before = &tokens[code[place - 1]].token;
        let is_column = matches!(before, Token::Word(_))
            && !matches!(tokens[code[place - 2]].token, Token::Word(_));
        if is_column && word(place, "quantiles") {
            marked.push((code[place - 1], code[place]));
        }
    }
    for (column, quantiles) in marked.into_iter().rev() {
        if let Token::Word(name) = &tokens[column].token {
            let name = format!("{}{QUANTILES}", name.value);
            tokens[column].token = Token::make_word(&name, Some('"'));
        }
        tokens.remove(quantiles);
    }
}

/// A column of INCLUDE, and whether QUANTILES stands behind it.
pub fn take_quantiles(column: &Ident) -> (Ident, bool) {
    match column.value.strip_suffix(QUANTILES) {
        Some(name) => (Ident { value: name.to_owned(), ..column.clone() }, true),
        None => (column.clone(), false),
    }
}

/// The places of what is not white space.
pub(super) fn code(tokens: &[TokenWithSpan]) -> Vec<usize> {
    let is_code = |at: &usize| !matches!(tokens[*at].token, Token::Whitespace(_) | Token::EOF);
    (0..tokens.len()).filter(is_code).collect()
}

pub(super) fn is_word(token: &Token, wanted: &str) -> bool {
    matches!(token, Token::Word(word)
        if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(wanted))
}

/// Whether a statement keeps its parameters for later runs.
pub fn is_prepare(tokens: &[TokenWithSpan]) -> bool {
    let first = code(tokens).first().map(|&at| &tokens[at].token);
    matches!(first, Some(Token::Word(word))
        if word.quote_style.is_none() && word.keyword == Keyword::PREPARE)
}
