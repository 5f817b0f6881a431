//! Bytes to JSON values: where they end, what they are made of.
//!
//! Invariant: what passes `value_end` is JSON as RFC 8259 defines it, or one of the names `NaN`, `Infinity` and `-Infinity`,
//! which writers of doubles use; walking it afterwards cannot fail.

use std::borrow::Cow;

/// How deeply values may nest.
const MAX_DEPTH: usize = 200;

/// Why a value cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bad {
    /// The bytes end within it.
    Incomplete,
    /// A byte that does not belong there, and where.
    At(usize, &'static str),
}

/// The first byte that is no blank.
pub fn skip_blanks(bytes: &[u8], mut at: usize) -> usize {
    while matches!(bytes.get(at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
        at += 1;
    }
    at
}

/// The end of the value that begins at `at`, blanks in front of it aside.
///
/// # Errors
/// Where and why it is no value.
pub fn value_end(bytes: &[u8], at: usize) -> Result<usize, Bad> {
    end_at(bytes, skip_blanks(bytes, at), 0)
}

fn end_at(bytes: &[u8], at: usize, depth: usize) -> Result<usize, Bad> {
    if depth > MAX_DEPTH {
        return Err(Bad::At(at, "values nest too deeply"));
    }
    match bytes.get(at).ok_or(Bad::Incomplete)? {
        b'"' => string_end(bytes, at),
        b'{' => container_end(bytes, at, b'}', depth),
        b'[' => container_end(bytes, at, b']', depth),
        b't' => name_end(bytes, at, b"true"),
        b'f' => name_end(bytes, at, b"false"),
        b'n' => name_end(bytes, at, b"null"),
        b'N' => name_end(bytes, at, b"NaN"),
        b'I' => name_end(bytes, at, b"Infinity"),
        b'-' if bytes.get(at + 1) == Some(&b'I') => name_end(bytes, at + 1, b"Infinity"),
        b'-' | b'0'..=b'9' => number_end(bytes, at),
        _ => Err(Bad::At(at, "a value is expected")),
    }
}

fn name_end(bytes: &[u8], at: usize, name: &'static [u8]) -> Result<usize, Bad> {
    let found = &bytes[at..bytes.len().min(at + name.len())];
    match found == name {
        true => Ok(at + name.len()),
        false if name.starts_with(found) => Err(Bad::Incomplete),
        false => Err(Bad::At(at, "a value is expected")),
    }
}

fn number_end(bytes: &[u8], start: usize) -> Result<usize, Bad> {
    let digits = |mut at: usize| {
        let from = at;
        while bytes.get(at).is_some_and(u8::is_ascii_digit) {
            at += 1;
        }
        match at == from {
            false => Ok(at),
            true if at == bytes.len() => Err(Bad::Incomplete),
            true => Err(Bad::At(at, "a digit is expected")),
        }
    };
    let first = start + usize::from(bytes[start] == b'-');
    let mut at = digits(first)?;
    if bytes[first] == b'0' && at > first + 1 {
        return Err(Bad::At(first, "a number does not begin with 0"));
    }
    if bytes.get(at) == Some(&b'.') {
        at = digits(at + 1)?;
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        at += 1 + usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        at = digits(at)?;
    }
    Ok(at)
}

/// The end of a string, whose escapes are checked.
fn string_end(bytes: &[u8], start: usize) -> Result<usize, Bad> {
    let mut at = start + 1;
    loop {
        let rest = bytes.get(at..).ok_or(Bad::Incomplete)?;
        let stop = rest.iter().position(|&byte| byte == b'"' || byte == b'\\' || byte < b' ');
        at += stop.ok_or(Bad::Incomplete)?;
        match bytes[at] {
            b'"' => return Ok(at + 1),
            b'\\' => match bytes.get(at + 1).ok_or(Bad::Incomplete)? {
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => at += 2,
                b'u' => {
                    let hex = bytes.get(at + 2..at + 6).ok_or(Bad::Incomplete)?;
                    if !hex.iter().all(u8::is_ascii_hexdigit) {
                        return Err(Bad::At(at, "four hexadecimal digits follow \\u"));
                    }
                    at += 6;
                }
                _ => return Err(Bad::At(at, "an escape that JSON has not")),
            },
            _ => return Err(Bad::At(at, "a control character within a string")),
        }
    }
}

fn container_end(bytes: &[u8], start: usize, close: u8, depth: usize) -> Result<usize, Bad> {
    let mut at = skip_blanks(bytes, start + 1);
    if bytes.get(at) == Some(&close) {
        return Ok(at + 1);
    }
    loop {
        if close == b'}' {
            if bytes.get(at).ok_or(Bad::Incomplete)? != &b'"' {
                return Err(Bad::At(at, "a key in double quotes is expected"));
            }
            at = skip_blanks(bytes, string_end(bytes, at)?);
            if bytes.get(at).ok_or(Bad::Incomplete)? != &b':' {
                return Err(Bad::At(at, "':' is expected"));
            }
            at = skip_blanks(bytes, at + 1);
        }
        at = skip_blanks(bytes, end_at(bytes, at, depth + 1)?);
        match bytes.get(at).ok_or(Bad::Incomplete)? {
            b',' => at = skip_blanks(bytes, at + 1),
            byte if *byte == close => return Ok(at + 1),
            _ => return Err(Bad::At(at, "',' or the closing bracket is expected")),
        }
    }
}

/// The key (with its quotes) and the value of each member of a checked object that begins at `at`: starts and ends.
pub fn members(bytes: &[u8], start: usize, mut each: impl FnMut((usize, usize), (usize, usize))) {
    let mut at = skip_blanks(bytes, start + 1);
    while bytes.get(at) == Some(&b'"') {
        let Ok(key_end) = string_end(bytes, at) else { return };
        let value = skip_blanks(bytes, skip_blanks(bytes, key_end) + 1);
        let Ok(value_end) = end_at(bytes, value, 0) else { return };
        each((at, key_end), (value, value_end));
        at = skip_blanks(bytes, value_end);
        if bytes.get(at) != Some(&b',') {
            return;
        }
        at = skip_blanks(bytes, at + 1);
    }
}

/// The items of a checked array that begins at `at`: starts and ends.
pub fn items(bytes: &[u8], start: usize, mut each: impl FnMut((usize, usize))) {
    let mut at = skip_blanks(bytes, start + 1);
    while let Ok(end) = end_at(bytes, at, 0) {
        each((at, end));
        at = skip_blanks(bytes, end);
        if bytes.get(at) != Some(&b',') {
            return;
        }
        at = skip_blanks(bytes, at + 1);
    }
}

/// What a checked string (with its quotes) says. Halves of surrogate pairs without the other one become U+FFFD.
pub fn unescaped(text: &str) -> Cow<'_, str> {
    let inner = text.get(1..text.len().saturating_sub(1)).unwrap_or_default();
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    let mut out = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let kind = rest.as_bytes().get(at + 1).copied().unwrap_or(b'\\');
        let mut used = 2;
        match kind {
            b'b' => out.push('\u{8}'),
            b'f' => out.push('\u{c}'),
            b'n' => out.push('\n'),
            b'r' => out.push('\r'),
            b't' => out.push('\t'),
            b'u' => {
                let unit = |at: usize| {
                    let escape = rest.get(at..at + 6)?.strip_prefix("\\u")?;
                    u32::from_str_radix(escape, 16).ok()
                };
                let first = unit(at).unwrap_or(0xfffd);
                used = 6;
                let pair = match (first, unit(at + 6)) {
                    (0xd800..=0xdbff, Some(low @ 0xdc00..=0xdfff)) => {
                        used = 12;
                        char::from_u32(0x10000 + ((first - 0xd800) << 10) + (low - 0xdc00))
                    }
                    _ => char::from_u32(first),
                };
                out.push(pair.unwrap_or('\u{fffd}'));
            }
            other => out.push(char::from(other)),
        }
        rest = rest.get(at + used..).unwrap_or_default();
    }
    out.push_str(rest);
    Cow::Owned(out)
}
