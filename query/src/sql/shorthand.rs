//! Short forms that the parser does not know, as tokens that it does: `[x + 1 FOR x IN list IF x > 1]`, `SELECT name: value`,
//! `SELECT * LIKE 'a%'`, `*COLUMNS(..)`, `CREATE TABLE t (a, b) AS query`, `WITH NO DATA`, `ABORT`,
//! `ANALYZE`.
//!
//! Invariant: tokens within quotes stay what they are; every token keeps its place in the text. Next: `clauses.rs`, which
//! calls this.

use datafusion_sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use crate::sql::clauses::{any, is, like, word};

/// Stands for COLUMNS with a star before it.
pub const UNPACKED: &str = "columns_op";

/// Whether a statement may hold a short form.
pub fn is_used(tokens: &[TokenWithSpan]) -> bool {
    let has = |name: &str| tokens.iter().any(|token| is(token, name));
    let stars = || tokens.iter().any(|token| token.token == Token::Mul);
    tokens.iter().any(|token| token.token == Token::Colon)
        || ["for", "abort", "analyze"].into_iter().any(has)
        || (stars() && ["like", "ilike", "similar", "glob", "columns"].into_iter().any(has))
        || (has("create") && has("table") && has("as"))
}

/// Rewrites tokens without white space.
pub fn rewrite(code: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    stars(aliases(comprehensions(tables(code))))
}

fn is_token(code: &[TokenWithSpan], at: usize, token: &Token) -> bool {
    code.get(at).is_some_and(|found| found.token == *token)
}

/// How a token changes the depth.
fn step(token: &Token) -> i32 {
    match token {
        Token::LParen | Token::LBracket | Token::LBrace => 1,
        Token::RParen | Token::RBracket | Token::RBrace => -1,
        _ => 0,
    }
}

/// The first place from `at` on, outside of brackets, that is wanted; none behind the bracket that closes.
fn find(
    code: &[TokenWithSpan],
    at: usize,
    wanted: impl Fn(usize, &TokenWithSpan) -> bool,
) -> Option<usize> {
    let mut depth = 0;
    for (at, token) in code.iter().enumerate().skip(at) {
        if depth == 0 && wanted(at, token) {
            return Some(at);
        }
        depth += step(&token.token);
        if depth < 0 {
            return None;
        }
    }
    None
}

/// Where the bracket closes that is opened at a place.
fn closing(code: &[TokenWithSpan], open: usize) -> Option<usize> {
    let mut depth = 0;
    code.iter().enumerate().skip(open).find_map(|(at, token)| {
        depth += step(&token.token);
        (depth == 0).then_some(at)
    })
}

/// `ABORT` is ROLLBACK, `ANALYZE [t]` a PRAGMA without effect; `CREATE TABLE t (a, b) AS query` and `WITH NO DATA` become queries of their own.
fn tables(mut code: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    if any(code.first(), &["abort"]) {
        code[0] = word("ROLLBACK", &code[0].clone());
        return code;
    }
    if any(code.first(), &["analyze"]) {
        let place = code[0].clone();
        return vec![word("PRAGMA", &place), like(Token::make_word("analyze", None), &place)];
    }
    let head = code.iter().take(8).position(|token| is(token, "table"));
    let Some(table) = head.filter(|_| any(code.first(), &["create"])) else { return code };
    let open = find(&code, table, |_, token| token.token == Token::LParen || is(token, "as"));
    let Some(open) = open else { return code };
    let mut names = Vec::new();
    let mut begin = open;
    if code[open].token == Token::LParen {
        let Some(close) = closing(&code, open) else { return code };
        let inner = &code[open + 1..close];
        let listed = inner.iter().enumerate().all(|(at, token)| match at % 2 {
            0 => matches!(token.token, Token::Word(_)),
            _ => token.token == Token::Comma,
        });
        if !listed || inner.len().is_multiple_of(2) || !any(code.get(close + 1), &["as"]) {
            return code;
        }
        names = inner.to_vec();
        begin = close + 1;
    }
    let mut end = code.len();
    let data = code.last().is_some_and(|token| is(token, "data"));
    let no = data && end > 2 && is(&code[end - 2], "no");
    let with = end.checked_sub(if no { 3 } else { 2 });
    let with = with.filter(|&at| data && is(&code[at], "with"));
    end = with.unwrap_or(end);
    if names.is_empty() && with.is_none() {
        return code;
    }
    let place = code[begin].clone();
    let query = code[begin + 1..end].to_vec();
    code.truncate(open);
    code.extend(["AS", "SELECT"].map(|name| word(name, &place)));
    code.push(like(Token::Mul, &place));
    code.push(word("FROM", &place));
    code.push(like(Token::LParen, &place));
    code.extend(query);
    code.push(like(Token::RParen, &place));
    code.push(word("AS", &place));
    code.push(like(Token::make_word("query", Some('"')), &place));
    if !names.is_empty() {
        code.push(like(Token::LParen, &place));
        code.extend(names);
        code.push(like(Token::RParen, &place));
    }
    if no {
        code.push(word("LIMIT", &place));
        code.push(like(Token::Number("0".to_owned(), false), &place));
    }
    code
}

/// `[e FOR x IN list IF c]` is `list_transform(list_filter(list, x -> (c)), x -> (e))`, the innermost first.
fn comprehensions(mut code: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    if !code.iter().any(|token| is(token, "for")) {
        return code;
    }
    for open in (0..code.len()).rev() {
        if code[open].token != Token::LBracket {
            continue;
        }
        let for_ = find(&code, open + 1, |_, token| is(token, "for"));
        let in_ = for_.and_then(|at| find(&code, at + 1, |_, token| is(token, "in")));
        let (Some(close), Some(for_), Some(in_)) = (closing(&code, open), for_, in_) else {
            continue;
        };
        // IF(..) may be what the list begins with; behind an operand it is no call.
        let operand = |at: usize| {
            let before = &code[at - 1].token;
            step(before) < 0
                || matches!(before, Token::Word(_) | Token::Number(..))
                || matches!(before, Token::SingleQuotedString(_))
        };
        let if_ = find(&code, in_ + 1, |at, token| at > in_ + 1 && is(token, "if") && operand(at));
        let value = code[open + 1..for_].to_vec();
        let variables = code[for_ + 1..in_].to_vec();
        let list = code[in_ + 1..if_.unwrap_or(close)].to_vec();
        let condition = if_.map(|at| code[at + 1..close].to_vec());
        let place = code[open].clone();
        let made = comprehension(&place, value, &variables, list, condition);
        code.splice(open..=close, made);
    }
    code
}

fn comprehension(
    place: &TokenWithSpan,
    value: Vec<TokenWithSpan>,
    variables: &[TokenWithSpan],
    list: Vec<TokenWithSpan>,
    condition: Option<Vec<TokenWithSpan>>,
) -> Vec<TokenWithSpan> {
    let name = |name: &str| like(Token::make_word(name, None), place);
    let token = |token: Token| like(token, place);
    let call = |function: &str, list: Vec<TokenWithSpan>, parameters: &[TokenWithSpan], body| {
        let mut made = vec![name(function), token(Token::LParen)];
        made.extend(list);
        made.push(token(Token::Comma));
        let several = parameters.len() > 1;
        made.extend(several.then(|| token(Token::LParen)));
        made.extend_from_slice(parameters);
        made.extend(several.then(|| token(Token::RParen)));
        made.extend([token(Token::Arrow), token(Token::LParen)]);
        made.extend::<Vec<_>>(body);
        made.extend([token(Token::RParen), token(Token::RParen)]);
        made
    };
    let Some(condition) = condition else { return call("list_transform", list, variables, value) };
    if variables.len() == 1 {
        let kept = call("list_filter", list, variables, condition);
        return call("list_transform", kept, variables, value);
    }
    // Positions are those of the whole list.
    let mut both = vec![name("struct_pack"), token(Token::LParen), name("keep")];
    both.push(token(Token::Assignment));
    both.extend(condition);
    both.extend([token(Token::Comma), name("value"), token(Token::Assignment)]);
    both.extend(value);
    both.push(token(Token::RParen));
    let item = [name("item")];
    let field = |field: &str| vec![name("item"), token(Token::Period), name(field)];
    let pairs = call("list_transform", list, variables, both);
    let kept = call("list_filter", pairs, &item, field("keep"));
    call("list_transform", kept, &item, field("value"))
}

const CLAUSES: [&str; 14] = [
    "from",
    "into",
    "where",
    "group",
    "having",
    "window",
    "qualify",
    "order",
    "limit",
    "offset",
    "union",
    "except",
    "intersect",
    "fetch",
];

/// `SELECT name: value` is `SELECT value AS name`.
fn aliases(mut code: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    if !code.iter().any(|token| token.token == Token::Colon) {
        return code;
    }
    // Whether each open bracket is a parenthesis, and whether its SELECT list is open.
    let mut levels = vec![(true, false)];
    let mut at = 0;
    while at < code.len() {
        let nested = levels.len() > 1;
        let Some((paren, listing)) = levels.last_mut() else { break };
        let begins = at > 0
            && (code[at - 1].token == Token::Comma
                || any(code.get(at - 1), &["select", "distinct", "all"]));
        if begins
            && *paren
            && *listing
            && matches!(code[at].token, Token::Word(_))
            && is_token(&code, at + 1, &Token::Colon)
        {
            let ends = |place: usize, token: &TokenWithSpan| {
                let distinct = is(token, "from") && any(code.get(place - 1), &["distinct"]);
                token.token == Token::Comma || (any(Some(token), &CLAUSES) && !distinct)
            };
            let close = || {
                let mut depth = 0;
                let inner = |token: &TokenWithSpan| {
                    depth += step(&token.token);
                    depth < 0
                };
                code[at + 2..].iter().position(inner).map(|length| at + 2 + length)
            };
            let end = find(&code, at + 2, ends).or_else(close).unwrap_or(code.len());
            let name = code[at].clone();
            code.splice(end..end, [word("AS", &name), name]);
            code.drain(at..at + 2);
            continue;
        }
        match &code[at].token {
            Token::LParen => levels.push((true, false)),
            Token::LBracket | Token::LBrace => levels.push((false, false)),
            token if step(token) < 0 && nested => {
                levels.pop();
            }
            _ if is(&code[at], "select") => *listing = true,
            _ if any(code.get(at), &CLAUSES) => *listing = false,
            _ => {}
        }
        at += 1;
    }
    code
}

/// `SELECT * LIKE 'a%'` is `SELECT COLUMNS('^a.*$')`, and `*COLUMNS(..)` the call of another name.
fn stars(mut code: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    for at in (1..code.len()).rev() {
        if code[at].token != Token::Mul {
            continue;
        }
        let begins = code[at - 1].token == Token::Comma
            || code[at - 1].token == Token::LParen
            || any(code.get(at - 1), &["select", "distinct", "all"]);
        if begins && any(code.get(at + 1), &["columns"]) && is_token(&code, at + 2, &Token::LParen)
        {
            code[at + 1] = like(Token::make_word(UNPACKED, None), &code[at].clone());
            code.remove(at);
            continue;
        }
        let similar = any(code.get(at + 1), &["similar"]) && any(code.get(at + 2), &["to"]);
        let length = if similar { 4 } else { 3 };
        let Some(Token::SingleQuotedString(pattern)) =
            code.get(at + length - 1).map(|token| &token.token)
        else {
            continue;
        };
        let pattern = match () {
            () if !begins => continue,
            () if similar => format!("(?-i:{pattern})"),
            () if any(code.get(at + 1), &["like"]) => format!("(?s-i:{})", of_like(pattern)),
            () if any(code.get(at + 1), &["ilike"]) => format!("(?s:{})", of_like(pattern)),
            () if any(code.get(at + 1), &["glob"]) => of_glob(pattern),
            () => continue,
        };
        let place = code[at].clone();
        let call = [
            Token::make_word("columns", None),
            Token::LParen,
            Token::SingleQuotedString(format!("^{pattern}$")),
            Token::RParen,
        ];
        code.splice(at..at + length, call.map(|token| like(token, &place)));
    }
    code
}

/// The regular expression of a pattern of LIKE, with a backslash that escapes.
fn of_like(pattern: &str) -> String {
    let mut regex = String::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '%' => regex.push_str(".*"),
            '_' => regex.push('.'),
            '\\' => regex.extend(chars.next().map(|c| regex::escape(&c.to_string()))),
            c => regex.push_str(&regex::escape(&c.to_string())),
        }
    }
    regex
}

/// The regular expression of a pattern of GLOB: `*`, `?`, `[a-z]`, `[!a-z]`.
pub fn of_glob(pattern: &str) -> String {
    let mut regex = String::from("(?s-i:");
    let chars: Vec<char> = pattern.chars().collect();
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        at += 1;
        match c {
            '*' => regex.push_str(".*"),
            '?' => regex.push('.'),
            '[' => {
                let negated = matches!(chars.get(at), Some('!' | '^'));
                let begin = at + usize::from(negated);
                let length = chars.iter().skip(begin + 1).position(|&c| c == ']');
                let Some(end) = length.map(|length| begin + 1 + length) else {
                    regex.push_str("\\[");
                    continue;
                };
                regex.push_str(if negated { "[^" } else { "[" });
                for &c in &chars[begin..end] {
                    match c {
                        '-' => regex.push('-'),
                        c => regex.push_str(&regex::escape(&c.to_string())),
                    }
                }
                regex.push(']');
                at = end + 1;
            }
            '\\' => {
                regex.extend(chars.get(at).map(|c| regex::escape(&c.to_string())));
                at += 1;
            }
            c => regex.push_str(&regex::escape(&c.to_string())),
        }
    }
    regex.push(')');
    regex
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_patterns_become_regular_expressions() {
        let matches = |pattern: &str, text: &str| {
            regex::Regex::new(&format!("^{}$", of_glob(pattern))).unwrap().is_match(text)
        };
        for (pattern, text) in [
            ("a*", "abc"),
            ("a?c", "abc"),
            ("[a-c]x", "bx"),
            ("[!a]x", "bx"),
            ("a.b", "a.b"),
            ("[", "["),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in
            [("a*", "ba"), ("a?c", "ac"), ("[!b]x", "bx"), ("a.b", "axb"), ("A", "a")]
        {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
        assert_eq!(of_like("a%_\\%"), "a.*.%");
    }
}
