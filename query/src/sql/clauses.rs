//! Clauses that the parser does not know, as tokens that it does: `LIMIT 10%`, `ASOF JOIN`, samples, PIVOT and UNPIVOT
//! as statements.
//!
//! Invariant: words within quotes and names that are no clause stay what they are; every token keeps its place in the
//! text. Next: `shares.rs`, `asof.rs`, `pivot.rs`, which take what the parser makes of them.

use datafusion_sql::sqlparser::{
    keywords::Keyword,
    tokenizer::{Token, TokenWithSpan},
};

use crate::{
    error::{Error, Result},
    sql::{exclusions, json, parse::span_of, shares::PERCENT_OF_ROWS, shorthand},
};

/// Rewrites the tokens of a statement.
///
/// # Errors
/// `Unsupported` for forms of these clauses that we do not have.
pub fn rewrite(tokens: Vec<TokenWithSpan>) -> Result<Vec<TokenWithSpan>> {
    let has = |name: &str| tokens.iter().any(|token| is(token, name));
    // What stands for ASOF below.
    let global = tokens.iter().position(|token| is(token, "global"));
    if let Some(at) = global
        && any(
            tokens[at + 1..].iter().find(|token| !matches!(token.token, Token::Whitespace(_))),
            &["join", "left", "right", "full", "inner", "semi", "anti"],
        )
    {
        return Err(Error::unsupported("GLOBAL JOIN").or_span(Some(span_of(tokens[at].span))));
    }
    let clauses = [
        "limit",
        "asof",
        "sample",
        "tablesample",
        "pivot",
        "unpivot",
        "pivot_wider",
        "interval",
        "exclude",
        "filter",
    ];
    let arrow = |token: &TokenWithSpan| {
        matches!(token.token, Token::Arrow | Token::HashArrow | Token::HashLongArrow)
    };
    let short = shorthand::is_used(&tokens);
    if !short && !clauses.into_iter().any(has) && !tokens.iter().any(arrow) {
        return Ok(tokens);
    }
    let code: Vec<TokenWithSpan> = tokens
        .into_iter()
        .filter(|token| !matches!(token.token, Token::Whitespace(_) | Token::EOF))
        .collect();
    let code = if short { shorthand::rewrite(code) } else { code };
    let code = filters(intervals(percents(code)));
    let code = json::arrows(exclusions::rewrite(asof(code)?))?;
    let code = samples(code)?;
    pivots(code)
}

pub(super) fn is(token: &TokenWithSpan, name: &str) -> bool {
    matches!(&token.token, Token::Word(word)
        if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(name))
}

pub(super) fn any(token: Option<&TokenWithSpan>, names: &[&str]) -> bool {
    token.is_some_and(|token| names.iter().any(|name| is(token, name)))
}

pub(super) fn like(token: Token, place: &TokenWithSpan) -> TokenWithSpan {
    TokenWithSpan { token, span: place.span }
}

pub(super) fn word(name: &str, place: &TokenWithSpan) -> TokenWithSpan {
    like(Token::make_keyword(name), place)
}

/// `LIMIT 10%` is `LIMIT percent_of_rows(10)`.
fn percents(code: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mut result = Vec::with_capacity(code.len() + 3);
    let mut at = 0;
    while at < code.len() {
        let token = &code[at];
        let sign = code.get(at + 2);
        let ends = match code.get(at + 3).map(|token| &token.token) {
            Some(Token::Number(..) | Token::LParen | Token::Placeholder(_)) => false,
            Some(Token::Word(_)) => {
                any(code.get(at + 3), &["offset", "union", "except", "intersect"])
            }
            _ => true,
        };
        let share = sign.is_some_and(|t| t.token == Token::Mod && ends) || any(sign, &["percent"]);
        match code.get(at + 1) {
            Some(number)
                if is(token, "limit") && share && matches!(number.token, Token::Number(..)) =>
            {
                result.push(token.clone());
                result.push(like(Token::make_word(PERCENT_OF_ROWS, None), number));
                result.push(like(Token::LParen, number));
                result.push(number.clone());
                result.push(like(Token::RParen, number));
                at += 3;
            }
            _ => {
                result.push(token.clone());
                at += 1;
            }
        }
    }
    result
}

/// `INTERVAL (x) DAY` is `to_days(x)`.
fn intervals(mut code: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    const UNITS: [&str; 14] = [
        "millennia",
        "century",
        "centuries",
        "decade",
        "year",
        "quarter",
        "month",
        "week",
        "day",
        "hour",
        "minute",
        "second",
        "millisecond",
        "microsecond",
    ];
    let unit = |token: &TokenWithSpan| {
        let Token::Word(word) = &token.token else { return None };
        let name = word.value.to_ascii_lowercase();
        let known =
            UNITS.iter().find(|unit| name == **unit || name.strip_suffix('s') == Some(unit))?;
        Some(match *known {
            "millennia" | "centuries" => format!("to_{known}"),
            "century" => "to_centuries".to_owned(),
            known => format!("to_{known}s"),
        })
    };
    let mut next = 0;
    while next < code.len() {
        let at = next;
        next += 1;
        if !is(&code[at], "interval") || !is_token(&code, at + 1, &Token::LParen) {
            continue;
        }
        let mut depth = 0_usize;
        let close = code[at + 1..].iter().position(|token| {
            match token.token {
                Token::LParen => depth += 1,
                Token::RParen => depth -= 1,
                _ => {}
            }
            depth == 0
        });
        if let Some(close) = close.map(|close| at + 1 + close)
            && let Some(function) = code.get(close + 1).and_then(unit)
        {
            code[at] = like(Token::make_word(&function, None), &code[at].clone());
            code.remove(close + 1);
        }
    }
    code
}

/// `f(x) FILTER (condition)` is `f(x) FILTER (WHERE condition)`; behind a relation in parentheses FILTER is a name.
fn filters(mut code: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mut at = 2;
    while at + 2 < code.len() {
        if is(&code[at], "filter")
            && code[at - 1].token == Token::RParen
            && is_token(&code, at + 1, &Token::LParen)
            && !is(&code[at + 2], "where")
            && opened_by_call(&code[..at])
        {
            code.insert(at + 2, word("WHERE", &code[at].clone()));
        }
        at += 1;
    }
    code
}

/// Where the parenthesis stands that is open at the end.
pub(super) fn opening(code: &[TokenWithSpan]) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, token) in code.iter().enumerate().rev() {
        match token.token {
            Token::RParen => depth += 1,
            Token::LParen if depth == 0 => return Some(at),
            Token::LParen => depth -= 1,
            _ => {}
        }
    }
    None
}

/// Whether the parenthesis that ends these tokens is that of a call.
fn opened_by_call(code: &[TokenWithSpan]) -> bool {
    let open = code.split_last().and_then(|(_, inner)| opening(inner));
    let before = open.and_then(|open| open.checked_sub(1)).map(|before| &code[before]);
    let no_name = ["from", "join", "as", "lateral", "in", "exists", "select", "and", "or", "not"];
    before.is_some_and(|token| {
        matches!(token.token, Token::Word(_)) && !any(Some(token), &no_name)
            || token.token == Token::RParen
    })
}

/// `ASOF [LEFT] JOIN` is `GLOBAL [LEFT] JOIN`, unless the parser knows it by its MATCH_CONDITION.
fn asof(mut code: Vec<TokenWithSpan>) -> Result<Vec<TokenWithSpan>> {
    if code.iter().any(|token| is(token, "match_condition")) {
        return Ok(code);
    }
    for at in 1..code.len() {
        let joins =
            any(code.get(at + 1), &["join", "left", "right", "full", "inner", "semi", "anti"]);
        if joins && is(&code[at], "asof") {
            code[at] = word("GLOBAL", &code[at].clone());
        }
    }
    Ok(code)
}

/// What a clause of sampling says.
struct Sample {
    method: Option<String>,
    number: TokenWithSpan,
    unit: Option<&'static str>,
    seed: Option<TokenWithSpan>,
    /// Where the tokens go on.
    end: usize,
}

const METHODS: [&str; 3] = ["bernoulli", "system", "reservoir"];

fn method(token: Option<&TokenWithSpan>) -> Option<String> {
    let token = token.filter(|token| any(Some(token), &METHODS))?;
    Some(token.token.to_string().to_ascii_lowercase())
}

fn is_token(code: &[TokenWithSpan], at: usize, token: &Token) -> bool {
    code.get(at).is_some_and(|found| found.token == *token)
}

fn read_sample(code: &[TokenWithSpan], mut at: usize) -> Option<Sample> {
    let mut how = method(code.get(at));
    at += usize::from(how.is_some());
    let called = how.is_some();
    let open = is_token(code, at, &Token::LParen);
    at += usize::from(open);
    let number = code.get(at).filter(|token| matches!(token.token, Token::Number(..)))?.clone();
    at += 1;
    let unit = match code.get(at) {
        Some(token) if token.token == Token::Mod || is(token, "percent") => Some("PERCENT"),
        Some(token) if is(token, "rows") => Some("ROWS"),
        _ => None,
    };
    at += usize::from(unit.is_some());
    if open {
        if !is_token(code, at, &Token::RParen) {
            return None;
        }
        at += 1;
    }
    let mut seed = None;
    if is_token(code, at, &Token::LParen) && method(code.get(at + 1)).is_some() {
        how = method(code.get(at + 1));
        at += 2;
        if is_token(code, at, &Token::Comma) {
            seed = code.get(at + 1).cloned();
            at += 2;
        }
        if !is_token(code, at, &Token::RParen) {
            return None;
        }
        at += 1;
    }
    if any(code.get(at), &["repeatable"]) {
        if !is_token(code, at + 1, &Token::LParen) || !is_token(code, at + 3, &Token::RParen) {
            return None;
        }
        seed = code.get(at + 2).cloned();
        at += 4;
    }
    // A bare number is a share of what a method is asked for by name, and rows otherwise.
    let share = called && how.as_deref() != Some("reservoir");
    let unit = unit.or(Some(if share { "PERCENT" } else { "ROWS" }));
    Some(Sample { method: how, number, unit, seed, end: at })
}

impl Sample {
    fn tokens(self) -> Vec<TokenWithSpan> {
        let place = self.number.clone();
        let exact = self.method.as_deref() == Some("reservoir");
        let mut tokens = vec![
            word("TABLESAMPLE", &place),
            word(if exact { "ROW" } else { "BERNOULLI" }, &place),
            like(Token::LParen, &place),
            self.number,
            word(self.unit.unwrap_or("PERCENT"), &place),
            like(Token::RParen, &place),
        ];
        if let Some(seed) = self.seed {
            tokens.push(word("REPEATABLE", &place));
            tokens.extend([like(Token::LParen, &place), seed, like(Token::RParen, &place)]);
        }
        tokens
    }
}

/// Brings TABLESAMPLE into one form, and USING SAMPLE to the relation that it is about.
fn samples(mut code: Vec<TokenWithSpan>) -> Result<Vec<TokenWithSpan>> {
    let mut at = 0;
    while at < code.len() {
        let using = any(code.get(at), &["using"]) && any(code.get(at + 1), &["sample"]);
        if !using && !any(code.get(at), &["tablesample"]) {
            at += 1;
            continue;
        }
        let place = code[at].span;
        let Some(sample) = read_sample(&code, at + if using { 2 } else { 1 }) else {
            let what = "this form of a sample (write TABLESAMPLE BERNOULLI (10 PERCENT) or RESERVOIR (10 ROWS))";
            return Err(Error::unsupported(what).or_span(Some(span_of(place))));
        };
        let end = sample.end;
        let tokens = sample.tokens();
        let after = at + tokens.len();
        if using {
            let to = sampled_relation(&code, at).ok_or_else(|| {
                Error::unsupported("USING SAMPLE over anything but one relation")
                    .or_span(Some(span_of(place)))
            })?;
            code.drain(at..end);
            code.splice(to..to, tokens);
        } else {
            code.splice(at..end, tokens);
        }
        at = after;
    }
    Ok(code)
}

/// Where the only relation of the FROM before a place ends.
fn sampled_relation(code: &[TokenWithSpan], place: usize) -> Option<usize> {
    let mut depth = 0_usize;
    let mut end = place;
    for at in (0..place).rev() {
        match &code[at].token {
            Token::RParen => depth += 1,
            Token::LParen if depth == 0 => return None,
            Token::LParen => depth -= 1,
            Token::Word(_) if depth == 0 && is(&code[at], "from") => {
                let relation = &code[at + 1..end];
                let mut inner = 0_usize;
                let single = relation.iter().all(|token| {
                    match token.token {
                        Token::LParen => inner += 1,
                        Token::RParen => inner = inner.saturating_sub(1),
                        _ => {}
                    }
                    inner > 0 || (token.token != Token::Comma && !is(token, "join"))
                });
                return single.then_some(end);
            }
            Token::Word(_)
                if depth == 0
                    && any(
                        code.get(at),
                        &["where", "group", "having", "window", "qualify", "order", "limit"],
                    ) =>
            {
                end = at;
            }
            _ => {}
        }
    }
    None
}

/// PIVOT and UNPIVOT where a query may stand are those of a relation, the innermost first.
fn pivots(mut code: Vec<TokenWithSpan>) -> Result<Vec<TokenWithSpan>> {
    let makes = any(code.first(), &["create", "prepare"]);
    let begins = |code: &[TokenWithSpan], at: usize| {
        let before = at.checked_sub(1).and_then(|before| code.get(before));
        let operand = match code.get(at + 1).map(|token| &token.token) {
            Some(Token::Word(_)) => !any(code.get(at + 1), &["include", "exclude"]),
            Some(Token::SingleQuotedString(_)) => true,
            Some(Token::LParen) => before.is_none_or(|token| token.token != Token::RParen),
            _ => false,
        };
        operand
            && match before {
                None => true,
                Some(token) if token.token == Token::LParen => true,
                Some(token) if token.token == Token::RParen => {
                    any(code.first(), &["with", "create"])
                }
                Some(token) => {
                    (makes && is(token, "as")) || any(Some(token), &["explain", "analyze"])
                }
            }
    };
    for at in (0..code.len()).rev() {
        if !any(code.get(at), &["pivot", "pivot_wider", "unpivot"]) || !begins(&code, at) {
            continue;
        }
        let mut depth = 0_usize;
        let length = code[at..].iter().position(|token| match token.token {
            Token::LParen => {
                depth += 1;
                false
            }
            Token::RParen if depth == 0 => true,
            Token::RParen => {
                depth -= 1;
                false
            }
            _ => false,
        });
        let rest = length.map_or_else(Vec::new, |length| code.split_off(at + length));
        let pivot = statement(code.split_off(at))?;
        code.extend(pivot);
        code.extend(rest);
    }
    Ok(code)
}

/// PIVOT and UNPIVOT that begin a statement are those of a relation.
fn statement(code: Vec<TokenWithSpan>) -> Result<Vec<TokenWithSpan>> {
    let wide = any(code.first(), &["pivot", "pivot_wider"]);
    if !wide && !any(code.first(), &["unpivot"]) {
        return Ok(code);
    }
    let parts = Parts::new(&code[1..]);
    let place = code[0].clone();
    let refuse = |what: &str| Error::unsupported(what).or_span(Some(span_of(place.span)));
    let (Some(source), Some(on)) = (parts.named("source"), parts.named("on")) else {
        return Err(refuse("PIVOT and UNPIVOT without ON"));
    };
    let mut result = vec![word("SELECT", &place), like(Token::Mul, &place), word("FROM", &place)];
    result.extend_from_slice(source);
    result.push(word(if wide { "PIVOT" } else { "UNPIVOT" }, &place));
    result.push(like(Token::LParen, &place));
    if wide {
        let values = on.iter().position(|token| is(token, "in"));
        let single = !top_level(on).any(|token| token.token == Token::Comma);
        if !single {
            return Err(refuse("PIVOT ON several columns (write one, or an expression of them)"));
        }
        let (column, list) = on.split_at(values.unwrap_or(on.len()));
        match parts.named("using") {
            Some(aggregates) => result.extend_from_slice(aggregates),
            None => {
                result.push(like(Token::make_word("count", None), &place));
                result.extend([Token::LParen, Token::Mul, Token::RParen].map(|t| like(t, &place)));
            }
        }
        result.push(word("FOR", &place));
        match column {
            [_] => result.extend_from_slice(column),
            _ => {
                result.push(like(Token::LParen, &place));
                result.extend_from_slice(column);
                result.push(like(Token::RParen, &place));
            }
        }
        result.extend_from_slice(list);
        if values.is_none() {
            result.push(word("IN", &place));
            result.push(like(Token::LParen, &place));
            result.push(word("ANY", &place));
            result.push(like(Token::RParen, &place));
        }
        if let Some(groups) = parts.named("group") {
            result.extend(["DEFAULT", "ON", "NULL"].map(|name| word(name, &place)));
            result.extend([Token::LParen, Token::LParen].map(|token| like(token, &place)));
            result.extend_from_slice(groups);
            result.extend([Token::RParen, Token::RParen].map(|token| like(token, &place)));
        }
    } else {
        let into = parts.named("into").unwrap_or_default();
        let name = |key: &str, otherwise: &str| match into.iter().position(|token| is(token, key)) {
            Some(at) => into.get(at + 1).cloned(),
            None => Some(like(Token::make_word(otherwise, None), &place)),
        };
        let (Some(name), Some(value)) = (name("name", "name"), name("value", "value")) else {
            return Err(refuse("UNPIVOT INTO without NAME and VALUE"));
        };
        if on.iter().any(|token| is(token, "columns") || token.token == Token::Mul) {
            return Err(refuse("UNPIVOT ON COLUMNS (write the columns)"));
        }
        result.extend([value, word("FOR", &place), name, word("IN", &place)]);
        result.push(like(Token::LParen, &place));
        result.extend_from_slice(on);
        result.push(like(Token::RParen, &place));
    }
    result.push(like(Token::RParen, &place));
    result.extend_from_slice(parts.rest);
    Ok(result)
}

fn top_level(tokens: &[TokenWithSpan]) -> impl Iterator<Item = &TokenWithSpan> {
    let mut depth = 0_usize;
    tokens.iter().filter(move |token| {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0
    })
}

/// The clauses of a PIVOT or UNPIVOT, by their first words.
struct Parts<'a> {
    parts: Vec<(&'static str, &'a [TokenWithSpan])>,
    rest: &'a [TokenWithSpan],
}

impl<'a> Parts<'a> {
    fn new(code: &'a [TokenWithSpan]) -> Self {
        let mut parts = Vec::new();
        let (mut name, mut start, mut depth) = ("source", 0, 0_usize);
        let mut end = code.len();
        for (at, token) in code.iter().enumerate() {
            match &token.token {
                Token::LParen => depth += 1,
                Token::RParen => depth = depth.saturating_sub(1),
                Token::Word(word) if depth == 0 && word.quote_style.is_none() => {
                    let next = match word.keyword {
                        Keyword::ON => "on",
                        Keyword::USING => "using",
                        Keyword::GROUP => "group",
                        Keyword::INTO => "into",
                        Keyword::ORDER | Keyword::LIMIT => {
                            end = at;
                            break;
                        }
                        _ => continue,
                    };
                    parts.push((name, &code[start.min(at)..at]));
                    // GROUP BY is two words.
                    (name, start) = (next, at + if next == "group" { 2 } else { 1 });
                }
                _ => {}
            }
        }
        parts.push((name, &code[start.min(end)..end]));
        Self { parts, rest: &code[end..] }
    }

    fn named(&self, name: &str) -> Option<&'a [TokenWithSpan]> {
        self.parts.iter().find(|(known, _)| *known == name).map(|(_, tokens)| *tokens)
    }
}
