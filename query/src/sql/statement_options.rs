//! The options behind COPY, EXPORT DATABASE and IMPORT DATABASE, which the parser does not read: DuckDB's
//! `(FORMAT parquet, ROW_GROUP_SIZE 1000)`, PostgreSQL's `WITH (FORMAT csv, HEADER)`, and its older `WITH CSV HEADER`.
//!
//! Invariant: all tokens behind the file's name are options, or the statement is refused at its place; whether an option
//! has a meaning is said where it is used.
//! Next: `session/copy.rs`.

use datafusion_sql::sqlparser::{
    keywords::Keyword,
    parser::Parser,
    tokenizer::{Token, TokenWithSpan},
};

use crate::{
    error::{Error, ErrorKind, Result},
    sql::{
        dialect::StoaDialect,
        file_options::{FileOption, OptionValue, literal},
        names::fold,
        parse::{place, syntax_error},
    },
};

/// Takes the options off a statement; EXPORT DATABASE and IMPORT DATABASE become `CALL export_database('folder')`.
///
/// # Errors
/// `Syntax` for what is no list of options.
pub fn take(
    tokens: Vec<TokenWithSpan>,
    dialect: &StoaDialect,
) -> Result<(Vec<TokenWithSpan>, Vec<FileOption>)> {
    let is_code =
        |token: &&TokenWithSpan| !matches!(token.token, Token::Whitespace(_) | Token::EOF);
    let mut first = tokens.iter().filter(is_code).map(|token| &token.token);
    let (first, second) = (first.next(), first.next());
    if is_word(first, "copy") {
        return take_copy(tokens, dialect);
    }
    let call = match (is_word(first, "export"), is_word(first, "import")) {
        (true, _) => "export_database",
        (_, true) => "import_database",
        _ => return Ok((tokens, Vec::new())),
    };
    if !is_word(second, "database") {
        return Ok((tokens, Vec::new()));
    }
    let code: Vec<TokenWithSpan> = tokens.into_iter().filter(|token| is_code(&token)).collect();
    let folder = match code.get(2) {
        Some(token) if matches!(token.token, Token::SingleQuotedString(_)) => token.clone(),
        _ => {
            let message = "EXPORT DATABASE and IMPORT DATABASE take the path of a folder as a text";
            return Err(Error::new(ErrorKind::Syntax, message).or_span(place(code[1].span)));
        }
    };
    let span = folder.span;
    let at = |token| TokenWithSpan { token, span };
    let head = [Token::make_keyword("CALL"), Token::make_word(call, None), Token::LParen];
    let head = head.map(at).into_iter().chain([folder, at(Token::RParen)]).collect();
    Ok((head, options(code[3..].to_vec(), dialect)?))
}

fn is_word(token: Option<&Token>, wanted: &str) -> bool {
    matches!(token, Some(Token::Word(word))
        if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(wanted))
}

fn take_copy(
    tokens: Vec<TokenWithSpan>,
    dialect: &StoaDialect,
) -> Result<(Vec<TokenWithSpan>, Vec<FileOption>)> {
    let mut depth = 0_usize;
    let mut target = None;
    for (at, token) in tokens.iter().enumerate() {
        match &token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.saturating_sub(1),
            token if depth == 0 && (is_word(Some(token), "to") || is_word(Some(token), "from")) => {
                target = Some(at + 1);
                break;
            }
            _ => {}
        }
    }
    let code = |token: &TokenWithSpan| !matches!(token.token, Token::Whitespace(_) | Token::EOF);
    let file = target.and_then(|at| Some(at + tokens[at..].iter().position(code)?));
    let Some(file) = file else { return Ok((tokens, Vec::new())) };
    let mut head = tokens;
    let rest = head.split_off(file + 1);
    let rest = rest.into_iter().filter(code).collect();
    Ok((head, options(rest, dialect)?))
}

/// The options that some tokens are.
fn options(tokens: Vec<TokenWithSpan>, dialect: &StoaDialect) -> Result<Vec<FileOption>> {
    let mut parser = Parser::new(dialect).with_tokens_with_locations(tokens);
    let _ = parser.parse_keyword(Keyword::WITH);
    let mut found: Vec<FileOption> = Vec::new();
    if parser.consume_token(&Token::LParen) {
        while !parser.consume_token(&Token::RParen) {
            found.push(option(&mut parser)?);
            if !parser.consume_token(&Token::Comma) && parser.peek_token().token != Token::RParen {
                return Err(unexpected(&parser));
            }
        }
        if parser.peek_token().token != Token::EOF {
            return Err(unexpected(&parser));
        }
    } else {
        while parser.peek_token().token != Token::EOF {
            found.push(older_option(&mut parser)?);
        }
    }
    for (at, option) in found.iter().enumerate() {
        if found[..at].iter().any(|before| before.name == option.name) {
            let message = format!("the option {} is given twice", option.name);
            return Err(Error::new(ErrorKind::Syntax, message).or_span(option.place));
        }
    }
    Ok(found)
}

fn unexpected(parser: &Parser<'_>) -> Error {
    let found = parser.peek_token();
    let message = match found.token {
        Token::EOF => "syntax error at the end of the options".to_owned(),
        token => format!("syntax error at or near \"{token}\" in the options"),
    };
    Error::new(ErrorKind::Syntax, message).or_span(place(found.span))
}

fn name(parser: &mut Parser<'_>) -> Result<FileOption> {
    let token = parser.next_token();
    match &token.token {
        Token::Word(word) => Ok(FileOption {
            name: fold(&word.value),
            value: OptionValue::Boolean(true),
            place: place(token.span),
        }),
        _ => {
            parser.prev_token();
            Err(unexpected(parser))
        }
    }
}

/// `NAME`, `NAME value`, `NAME = value`.
fn option(parser: &mut Parser<'_>) -> Result<FileOption> {
    let mut option = name(parser)?;
    let _ = parser.consume_token(&Token::Eq) || parser.consume_token(&Token::Assignment);
    match parser.peek_token().token {
        Token::Comma | Token::RParen => {}
        Token::Mul => {
            parser.next_token();
            option.value = OptionValue::Text("*".into());
        }
        Token::LParen => {
            parser.next_token();
            let mut list = Vec::new();
            while !parser.consume_token(&Token::RParen) {
                list.push(value(parser, &option)?);
                if !parser.consume_token(&Token::Comma)
                    && parser.peek_token().token != Token::RParen
                {
                    return Err(unexpected(parser));
                }
            }
            option.value = OptionValue::List(list);
        }
        _ => option.value = value(parser, &option)?,
    }
    Ok(option)
}

/// A literal, or a name as a text.
fn value(parser: &mut Parser<'_>, option: &FileOption) -> Result<OptionValue> {
    if let Token::Word(word) = &parser.peek_token().token
        && !matches!(word.keyword, Keyword::TRUE | Keyword::FALSE)
    {
        parser.next_token();
        return Ok(OptionValue::Text(word.value.clone()));
    }
    let expr = parser.parse_expr().map_err(syntax_error)?;
    literal(&expr).ok_or_else(|| {
        let message = format!("the option {} is a literal, not {expr}", option.name);
        Error::new(ErrorKind::Type, message).or_span(option.place)
    })
}

/// `CSV`, `HEADER`, `DELIMITER [AS] ','`, `FORCE QUOTE *`.
fn older_option(parser: &mut Parser<'_>) -> Result<FileOption> {
    let mut option = name(parser)?;
    match option.name.as_str() {
        "csv" | "parquet" | "json" | "arrow" | "binary" => {
            option.value = OptionValue::Text(std::mem::replace(&mut option.name, "format".into()));
        }
        "header" | "freeze" => {}
        "delimiter" | "delimiters" | "null" | "quote" | "escape" | "encoding" => {
            let _ = parser.parse_keyword(Keyword::AS);
            option.value = value(parser, &option)?;
        }
        "force" if is_word(Some(&parser.peek_token().token), "quote") => {
            parser.next_token();
            option.name = "force_quote".into();
            if parser.consume_token(&Token::Mul) {
                option.value = OptionValue::Text("*".into());
                return Ok(option);
            }
            let mut columns = vec![value(parser, &option)?];
            while parser.consume_token(&Token::Comma) {
                columns.push(value(parser, &option)?);
            }
            option.value = OptionValue::List(columns);
        }
        _ => {
            parser.prev_token();
            return Err(unexpected(parser).with_hint("options stand in parentheses: (FORMAT csv)"));
        }
    }
    Ok(option)
}
