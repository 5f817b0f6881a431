//! Text -> statements. A script is split at its semicolons; tokens are repaired before the parser sees them.
//!
//! Invariants: positional parameters (`?`) leave here numbered in the order of the text; chains of thousands of terms
//! leave here balanced, so that nothing behind recurses deeply. Next: `gate.rs`.

use std::ops::Range;

use datafusion_sql::sqlparser::{
    ast::{
        ColumnDef, DataType, Expr, Ident, SelectItem, SetExpr, Statement, TableAlias,
        TableAliasColumnDef, TableFactor,
    },
    keywords::Keyword,
    parser::{Parser, ParserError},
    tokenizer::{Location, Token, TokenWithSpan, Tokenizer, Whitespace},
};

use crate::{
    error::{Error, ErrorKind, Result, Span},
    sql::{
        balance::balance_statement,
        calls::cast,
        clauses,
        dialect::StoaDialect,
        file_options::FileOption,
        names::fold,
        rewrite::{query_of, select_all},
        statement_options, statements, struct_types,
    },
};

/// How deeply queries and parentheses may nest.
const NESTING_LIMIT: usize = 400;

/// A statement of a script.
#[derive(Debug, Clone)]
pub struct ParsedStatement {
    /// The syntax tree; its spans count lines and columns over the whole script.
    pub statement: Statement,
    /// The bytes of the script that hold the statement, without the semicolon.
    pub range: Range<usize>,
    /// How many values of parameters (`$1`, `?`, `$name`) the statement needs to run.
    pub parameters: usize,
    /// How many parameters its text has: those of PREPARE are for EXECUTE.
    pub placeholders: usize,
    /// The names of its parameters in the order of their numbers, folded; none if they have numbers.
    pub names: Vec<String>,
    /// Whether SUMMARIZE stands before the statement, which is a query then.
    pub summarize: bool,
    /// The options of COPY, EXPORT DATABASE and IMPORT DATABASE.
    pub options: Vec<FileOption>,
}

impl ParsedStatement {
    /// The text of the statement within the script that was parsed.
    pub fn text<'a>(&self, script: &'a str) -> &'a str {
        script.get(self.range.clone()).unwrap_or_default()
    }
}

/// Runs `f` on a stack that is large enough for what a text of `length` bytes can nest: on the thread's own if half of that
/// is left of it, so that a statement asks for a new one once and not at every step.
pub fn with_stack<R>(length: usize, f: impl FnOnce() -> R) -> R {
    const BASE: usize = 32 << 20;
    const PER_BYTE: usize = 32 << 10;
    const MOST: usize = 768 << 20;
    // Macros and views are longer than the text that names them.
    const LENGTH_MIN: usize = 4_000;
    let size = length.max(LENGTH_MIN).saturating_mul(PER_BYTE).saturating_add(BASE).min(MOST);
    stacker::maybe_grow(size / 2, size, f)
}

/// Runs `f`, which copies, compares or hashes the syntax tree of a text of `length` bytes: on the thread's own stack if
/// that is large enough for whatever the text can nest.
pub fn with_stack_for_copies<R>(length: usize, f: impl FnOnce() -> R) -> R {
    const BASE: usize = 128 << 10;
    const PER_BYTE: usize = 12 << 10;
    let needed = length.saturating_mul(PER_BYTE).saturating_add(BASE);
    stacker::maybe_grow(needed, needed, f)
}

/// Splits a script into statements and parses each.
///
/// # Errors
/// `Syntax`, with the place, when the text is not SQL.
pub fn parse(sql: &str) -> Result<Vec<ParsedStatement>> {
    with_stack(sql.len(), || {
        let mut first_error = None;
        let mut candidates = StoaDialect::candidates();
        if has_struct_type(sql) {
            // Only as DuckDB's does the parser read `STRUCT(a INTEGER)`.
            candidates.rotate_right(1);
        }
        for dialect in candidates {
            match parse_as(&dialect, sql) {
                Ok(statements) => return Ok(statements),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        Err(first_error.unwrap_or_else(|| Error::internal("no SQL dialect")))
    })
}

/// Whether the word STRUCT stands before a parenthesis.
fn has_struct_type(sql: &str) -> bool {
    let lower = sql.to_ascii_lowercase();
    lower.match_indices("struct").any(|(at, word)| {
        let before = lower[..at].chars().next_back();
        let is_word = !before.is_some_and(|c| c.is_alphanumeric() || c == '_');
        is_word && lower[at + word.len()..].trim_start().starts_with('(')
    })
}

fn parse_as(dialect: &StoaDialect, sql: &str) -> Result<Vec<ParsedStatement>> {
    let tokens = Tokenizer::new(dialect, sql).tokenize_with_location().map_err(|error| {
        let span = Some(point(error.location));
        Error::new(ErrorKind::Syntax, lower_first(&error.message)).or_span(span)
    })?;
    let lines = line_starts(sql);
    let mut parsed = Vec::new();
    let lengths = tokens.split(|token| token.token == Token::SemiColon).map(<[_]>::len);
    let (lengths, mut rest) = (lengths.collect::<Vec<_>>(), tokens.into_iter());
    let statements = lengths.into_iter().map(|length| {
        let statement = rest.by_ref().take(length).collect::<Vec<_>>();
        // The semicolon.
        rest.next();
        statement
    });
    for mut tokens in statements {
        let is_code = |t: &&TokenWithSpan| !matches!(t.token, Token::Whitespace(_) | Token::EOF);
        let Some(first) = tokens.iter().find(is_code) else { continue };
        let start = byte_offset(sql, &lines, first.span.start);
        let end = tokens
            .iter()
            .rev()
            .find(is_code)
            .map_or(start, |t| byte_offset(sql, &lines, t.span.end));
        tops_as_names(&mut tokens);
        let mut names = Vec::new();
        let placeholders = repair_tokens(&mut tokens, sql, &lines, &mut names)?;
        let parameters = if statements::is_prepare(&tokens) { 0 } else { placeholders };
        statements::refuse_unknown(&tokens)?;
        let summarize = take_summarize(&mut tokens);
        let by_name = statements::take_by_name(&mut tokens);
        statements::rename_macros(&mut tokens);
        statements::mark_quantiles(&mut tokens);
        let (tokens, options) = statement_options::take(joined_texts(tokens)?, dialect)?;
        let mut tokens = select_before_from(save_as_call(clauses::rewrite(tokens)?)?);
        let structs = struct_types::angled(&mut tokens);
        let dialect = dialect.with_structs(structs);
        let last = tokens.iter().rev().find(is_code).map(|token| token.span);
        let mut parser = Parser::new(&dialect)
            .with_recursion_limit(NESTING_LIMIT)
            .with_tokens_with_locations(tokens);
        let mut statement = parser.parse_statement().map_err(|error| {
            let error = syntax_error(error);
            match error.message.ends_with(AT_THE_END) {
                true => error.or_span(last.map(|span| point(span.end))),
                false => error,
            }
        })?;
        if parser.peek_token_ref().token != Token::EOF {
            let found = parser.peek_token();
            let message = format!("syntax error at or near \"{}\"", found.token);
            return Err(Error::new(ErrorKind::Syntax, message).or_span(Some(span_of(found.span))));
        }
        if structs {
            struct_types::with_parentheses(&mut statement);
        }
        columns_of_query(&mut statement);
        balance_statement(&mut statement)?;
        statements::no_parameter(&mut statement);
        if by_name {
            statements::mark_by_name(&mut statement);
        }
        if summarize && !matches!(statement, Statement::Query(_)) {
            return Err(Error::new(ErrorKind::Syntax, "SUMMARIZE takes a table or a query"));
        }
        let range = start..end;
        parsed.push(ParsedStatement {
            statement,
            range,
            parameters,
            placeholders,
            names,
            summarize,
            options,
        });
    }
    Ok(parsed)
}

/// Texts on several lines with nothing between them are one text, as SQL has it; `**` is one operator.
///
/// # Errors
/// `Syntax` for a text right behind another value, which the parser would take for its name.
fn joined_texts(tokens: Vec<TokenWithSpan>) -> Result<Vec<TokenWithSpan>> {
    let mut result: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    for token in tokens {
        // `**` is `^`.
        if token.token == Token::Mul
            && let Some(before) = result.last_mut()
            && before.token == Token::Mul
        {
            before.token = Token::Caret;
            continue;
        }
        if let Token::SingleQuotedString(more) = &token.token {
            let spaces =
                result.iter().rev().take_while(|t| matches!(t.token, Token::Whitespace(_)));
            let spaces = spaces.count();
            let before = result.len() - spaces;
            let lines = result[before..]
                .iter()
                .any(|t| matches!(t.token, Token::Whitespace(Whitespace::Newline)));
            match before.checked_sub(1).and_then(|at| result.get_mut(at)) {
                Some(TokenWithSpan { token: Token::SingleQuotedString(text), .. }) if lines => {
                    text.push_str(more);
                    result.truncate(before);
                    continue;
                }
                Some(TokenWithSpan {
                    token: Token::SingleQuotedString(_) | Token::Number(..),
                    ..
                }) => {
                    let message = format!("syntax error at or near \"{}\"", token.token);
                    return Err(Error::new(ErrorKind::Syntax, message)
                        .with_hint("a comma or || is missing, or AS before a name")
                        .or_span(Some(span_of(token.span))));
                }
                _ => {}
            }
        }
        result.push(token);
    }
    Ok(result)
}

/// `CREATE TABLE t (a INT, b) AS query` casts the query's columns and names them. Columns with constraints are left to
/// whoever creates tables.
fn columns_of_query(statement: &mut Statement) {
    let Statement::CreateTable(create) = statement else { return };
    let plain = create.columns.iter().all(|column| column.options.is_empty());
    let Some(query) = create.query.take_if(|_| plain && !create.columns.is_empty()) else { return };
    let columns = std::mem::take(&mut create.columns);
    let alias_column =
        |column: &ColumnDef| TableAliasColumnDef { name: column.name.clone(), data_type: None };
    let alias = TableAlias {
        explicit: true,
        name: Ident::new("query"),
        columns: columns.iter().map(alias_column).collect(),
        at: None,
    };
    let relation =
        TableFactor::Derived { lateral: false, subquery: query, alias: Some(alias), sample: None };
    let mut select = select_all(relation);
    select.projection = columns
        .into_iter()
        .map(|column| {
            let value = Expr::Identifier(column.name.clone());
            let expr = match column.data_type {
                DataType::Unspecified => value,
                ty => cast(value, ty),
            };
            SelectItem::ExprWithAlias { expr, alias: column.name }
        })
        .collect();
    create.query = Some(Box::new(query_of(SetExpr::Select(Box::new(select)))));
}

/// Takes SUMMARIZE off a statement. A table's name after it becomes `FROM name`.
fn take_summarize(tokens: &mut Vec<TokenWithSpan>) -> bool {
    let is_code = |token: &TokenWithSpan| !matches!(token.token, Token::Whitespace(_));
    let Some(first) = tokens.iter().position(is_code) else { return false };
    let named = |token: &Token, name: &str| matches!(token, Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(name));
    if !named(&tokens[first].token, "summarize") {
        return false;
    }
    let Some(next) = tokens[first + 1..].iter().position(is_code) else { return false };
    let next = &tokens[first + 1 + next].token;
    let query = ["SELECT", "WITH", "FROM", "VALUES", "TABLE"].iter().any(|word| named(next, word));
    if query || *next == Token::LParen {
        tokens.remove(first);
    } else {
        tokens[first].token = Token::make_keyword("FROM");
    }
    true
}

/// TOP is a name unless a number follows: the parser takes it for a clause everywhere.
fn tops_as_names(tokens: &mut [TokenWithSpan]) {
    let mut number = false;
    for token in tokens.iter_mut().rev() {
        number = match &mut token.token {
            Token::Whitespace(_) => continue,
            Token::Number(..) => true,
            Token::LParen => number,
            Token::Word(word) if word.keyword == Keyword::TOP && !number => {
                word.keyword = Keyword::NoKeyword;
                false
            }
            _ => false,
        };
    }
}

/// Numbers `?`, makes `0x1F` a number (and leaves `X'1F'` a blob), drops `_` within numbers. Gives the highest
/// parameter number.
fn repair_tokens(
    tokens: &mut [TokenWithSpan],
    sql: &str,
    lines: &[usize],
    names: &mut Vec<String>,
) -> Result<usize> {
    let (mut positional, mut highest) = (0, 0);
    for token in tokens {
        let span = token.span;
        match &mut token.token {
            Token::Placeholder(name) if name == "?" => {
                positional += 1;
                *name = format!("${positional}");
            }
            Token::Placeholder(name) => {
                let text = name.strip_prefix('$').unwrap_or_default();
                if text.starts_with(|c: char| c.is_alphabetic() || c == '_') {
                    let folded = fold(text);
                    let known = names.iter().position(|known| *known == folded);
                    let number = known.unwrap_or_else(|| {
                        names.push(folded);
                        names.len() - 1
                    });
                    *name = format!("${}", number + 1);
                    continue;
                }
                let number = text.parse::<usize>().ok().filter(|n| (1..=65_535).contains(n));
                let Some(number) = number else {
                    let message = format!("a parameter is ?, $1, $2, ... or $name, not {name}");
                    return Err(Error::new(ErrorKind::Syntax, message).or_span(Some(span_of(span))));
                };
                highest = highest.max(number);
            }
            Token::Number(digits, _) => digits.retain(|c| c != '_'),
            Token::HexStringLiteral(digits)
                if sql[byte_offset(sql, lines, span.start)..].starts_with('0') =>
            {
                let number = u128::from_str_radix(digits, 16).map_err(|_| {
                    let message = format!("0x{digits} is not a number of up to 128 bits");
                    Error::new(ErrorKind::Syntax, message).or_span(Some(span_of(span)))
                })?;
                token.token = Token::Number(number.to_string(), false);
            }
            _ => {}
        }
    }
    if usize::from(positional > 0) + usize::from(highest > 0) + usize::from(!names.is_empty()) > 1 {
        let message =
            "a statement takes its parameters as ?, as $1, $2, ... or as $name, in one way";
        return Err(Error::new(ErrorKind::Syntax, message));
    }
    Ok(highest.max(positional).max(names.len()))
}

/// Reads `SAVE TO 'folder'` as `CALL save('folder')`, `SAVE OR REPLACE TO 'folder'` as `CALL save_or_replace('folder')` and
/// `SAVE` as `CALL save()`: the parser has no such statement.
fn save_as_call(tokens: Vec<TokenWithSpan>) -> Result<Vec<TokenWithSpan>> {
    let word = |token: &TokenWithSpan, wanted: &str| {
        matches!(&token.token, Token::Word(word)
            if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(wanted))
    };
    let is_code = |token: &TokenWithSpan| !matches!(token.token, Token::Whitespace(_) | Token::EOF);
    if !tokens.iter().find(|token| is_code(token)).is_some_and(|token| word(token, "save")) {
        return Ok(tokens);
    }
    let mut code = tokens.into_iter().filter(is_code).peekable();
    let Some(save) = code.next() else { return Ok(vec![]) };
    let or = code.next_if(|token| word(token, "or"));
    let replace = or.is_some() && code.next_if(|token| word(token, "replace")).is_some();
    let to = code.next_if(|token| word(token, "to"));
    let is_whole = or.is_none() || (replace && to.is_some());
    if !is_whole || to.is_some() != code.peek().is_some() {
        let message = "SAVE takes nothing, or TO and a folder: SAVE [OR REPLACE] TO 'folder'";
        return Err(Error::new(ErrorKind::Syntax, message).or_span(Some(span_of(save.span))));
    }
    let name = if replace { "save_or_replace" } else { "save" };
    let at = |token| TokenWithSpan { token, span: save.span };
    let before = [Token::make_keyword("CALL"), Token::make_word(name, None), Token::LParen];
    let call = before.map(at).into_iter().chain(code).chain([at(Token::RParen)]);
    Ok(call.collect())
}

/// Puts `SELECT *` before the FROM of a query that has no SELECT at all, and makes `TABLE t` one.
fn select_before_from(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    /// A level of parentheses.
    #[derive(Default)]
    struct Level {
        selected: bool,
        with: bool,
        started: bool,
    }
    let code: Vec<usize> =
        (0..tokens.len()).filter(|&at| !matches!(tokens[at].token, Token::Whitespace(_))).collect();
    let table =
        code.first().copied().filter(|&at| keyword(&tokens[at].token) == Some(Keyword::TABLE));
    let mut levels = vec![Level::default()];
    let mut before: Vec<usize> = Vec::new();
    for (position, &at) in code.iter().enumerate() {
        let previous = position.checked_sub(1).map(|p| &tokens[code[p]].token);
        match &tokens[at].token {
            Token::LParen => levels.push(Level::default()),
            Token::RParen if levels.len() > 1 => {
                levels.pop();
            }
            token => {
                let Some(level) = levels.last_mut() else { continue };
                match keyword(token) {
                    Some(Keyword::SELECT) => level.selected = true,
                    Some(Keyword::WITH) if !level.started => level.with = true,
                    Some(_) if is_set_operator(token, previous) => level.selected = false,
                    Some(Keyword::FROM) if !level.selected => {
                        let starts = match previous {
                            None | Some(Token::LParen) => true,
                            Some(Token::RParen) => level.with,
                            Some(previous) => matches!(
                                keyword(previous),
                                Some(
                                    Keyword::UNION
                                        | Keyword::ALL
                                        | Keyword::EXCEPT
                                        | Keyword::INTERSECT
                                        | Keyword::NAME
                                        | Keyword::AS
                                        | Keyword::EXPLAIN
                                        | Keyword::ANALYZE
                                )
                            ),
                        };
                        if starts && !selects_later(&tokens, &code[position + 1..]) {
                            before.push(at);
                        }
                    }
                    _ => {}
                }
                level.started = true;
            }
        }
    }
    let mut result = Vec::with_capacity(tokens.len() + 2 * before.len());
    for (at, token) in tokens.into_iter().enumerate() {
        if before.contains(&at) || table == Some(at) {
            for inserted in [Token::make_keyword("SELECT"), Token::Mul] {
                result.push(TokenWithSpan { token: inserted, span: token.span });
            }
        }
        result.push(match table == Some(at) {
            true => TokenWithSpan { token: Token::make_keyword("FROM"), span: token.span },
            false => token,
        });
    }
    result
}

/// Whether SELECT follows in the same query.
fn selects_later(tokens: &[TokenWithSpan], rest: &[usize]) -> bool {
    let mut depth = 0_usize;
    let mut previous = None;
    for &at in rest {
        let token = &tokens[at].token;
        match token {
            Token::LParen => depth += 1,
            Token::RParen if depth == 0 => return false,
            Token::RParen => depth -= 1,
            _ if depth > 0 => {}
            _ if keyword(token) == Some(Keyword::SELECT) => return true,
            _ if is_set_operator(token, previous) => return false,
            _ => {}
        }
        previous = Some(token);
    }
    false
}

fn keyword(token: &Token) -> Option<Keyword> {
    match token {
        Token::Word(word) if word.quote_style.is_none() => Some(word.keyword),
        _ => None,
    }
}

/// UNION, EXCEPT or INTERSECT, but not the EXCEPT of `* EXCEPT (a)`.
fn is_set_operator(token: &Token, previous: Option<&Token>) -> bool {
    matches!(keyword(token), Some(Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT))
        && previous != Some(&Token::Mul)
}

/// Says of a syntax error that something is missing.
const AT_THE_END: &str = "at the end of the statement";

pub(super) fn syntax_error(error: ParserError) -> Error {
    let (ParserError::TokenizerError(message) | ParserError::ParserError(message)) = error else {
        return Error::new(ErrorKind::Syntax, "the statement nests too deeply");
    };
    // The parser puts the place at the end of its message: "... at Line: 1, Column: 8".
    let (text, place) = message.rsplit_once(" at Line: ").unwrap_or((&message, ""));
    let place = place.split_once(", Column: ").and_then(|(line, column)| {
        Some(point(Location { line: line.parse().ok()?, column: column.parse().ok()? }))
    });
    if text.contains("MATCH_CONDITION") {
        return Error::unsupported("ASOF JOIN").or_span(place);
    }
    let text = match text.strip_prefix("Expected: ").and_then(|t| t.rsplit_once(", found: ")) {
        Some((_, "EOF")) => format!("syntax error {AT_THE_END}"),
        Some((expected, found)) => {
            format!("syntax error at or near \"{found}\": expected {expected}")
        }
        None => format!("syntax error: {}", lower_first(text)),
    };
    Error::new(ErrorKind::Syntax, text).or_span(place)
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_lowercase().chain(chars).collect(),
        None => String::new(),
    }
}

/// Our span of a parser's span; none for nodes without a place.
pub fn place(span: datafusion_sql::sqlparser::tokenizer::Span) -> Option<Span> {
    (span.start.line > 0).then(|| span_of(span))
}

/// A place of the parser's as one of ours.
pub fn span_of(span: datafusion_sql::sqlparser::tokenizer::Span) -> Span {
    let Location { line, column } = span.start;
    Span {
        line: line as usize,
        column: column as usize,
        end_line: span.end.line as usize,
        end_column: span.end.column as usize,
    }
}

fn point(location: Location) -> Span {
    let (line, column) = (location.line as usize, location.column as usize);
    Span { line, column, end_line: line, end_column: column + 1 }
}

fn line_starts(sql: &str) -> Vec<usize> {
    std::iter::once(0).chain(sql.match_indices('\n').map(|(at, _)| at + 1)).collect()
}

fn byte_offset(sql: &str, lines: &[usize], location: Location) -> usize {
    let line = usize::try_from(location.line).unwrap_or(1).saturating_sub(1);
    let start = lines.get(line).copied().unwrap_or(sql.len());
    let column = usize::try_from(location.column).unwrap_or(1).saturating_sub(1);
    sql[start..].char_indices().nth(column).map_or(sql.len(), |(at, _)| start + at)
}
