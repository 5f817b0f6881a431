//! Checked JSON texts: blanks left out, laid out for people, compared, merged.
//!
//! Invariant: what comes in passed `checked`; what goes out would pass it, too.

use datafusion_common::{Result, exec_err};
use stoadb_storage::json::{Bad, skip_blanks, unescaped, value_end, write_string};

use super::path::{each_member, items_of};

/// The value of a text without the blanks around it.
///
/// # Errors
/// Where and why the text is no JSON.
pub(super) fn checked(text: &str) -> Result<&str> {
    let bytes = text.as_bytes();
    let start = skip_blanks(bytes, 0);
    match value_end(bytes, 0) {
        Ok(end) if skip_blanks(bytes, end) == bytes.len() => Ok(&text[start..end]),
        Ok(end) => {
            let at = skip_blanks(bytes, end);
            exec_err!("malformed JSON at byte {at}: more follows the value in '{}'", short(text))
        }
        Err(Bad::Incomplete) => {
            exec_err!(
                "malformed JSON at byte {}: it ends too early in '{}'",
                text.len(),
                short(text)
            )
        }
        Err(Bad::At(at, why)) => {
            exec_err!("malformed JSON at byte {at}: {why} in '{}'", short(text))
        }
    }
}

fn short(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// Whether a value is an object or an array.
pub(super) fn is_container(json: &str) -> bool {
    json.starts_with(['{', '['])
}

/// A string in quotes.
pub(super) fn quoted(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len() + 2);
    write_string(text, &mut out);
    String::from_utf8(out).unwrap_or_default()
}

/// A value without blanks.
pub(super) fn minified(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    minify(json, &mut out);
    out
}

fn minify(json: &str, out: &mut String) {
    match json.as_bytes().first() {
        Some(b'{') => {
            out.push('{');
            each_member(json, |key, value| {
                if !out.ends_with('{') {
                    out.push(',');
                }
                out.push_str(&quoted(&unescaped(key)));
                out.push(':');
                minify(value, out);
            });
            out.push('}');
        }
        Some(b'[') => {
            out.push('[');
            for (at, item) in items_of(json).into_iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                minify(item, out);
            }
            out.push(']');
        }
        Some(b'"') => out.push_str(&quoted(&unescaped(json))),
        _ => out.push_str(json),
    }
}

/// A value with a line for each member and item.
pub(super) fn pretty(json: &str, depth: usize, out: &mut String) {
    let line = |depth: usize, out: &mut String| {
        out.push('\n');
        out.push_str(&"    ".repeat(depth));
    };
    let mut first = true;
    let mut begin = |out: &mut String| {
        if !std::mem::take(&mut first) {
            out.push(',');
        }
        line(depth + 1, out);
    };
    match json.as_bytes().first() {
        Some(b'{') => {
            out.push('{');
            each_member(json, |key, value| {
                begin(out);
                out.push_str(&quoted(&unescaped(key)));
                out.push_str(": ");
                pretty(value, depth + 1, out);
            });
            if !first {
                line(depth, out);
            }
            out.push('}');
        }
        Some(b'[') => {
            out.push('[');
            for item in items_of(json) {
                begin(out);
                pretty(item, depth + 1, out);
            }
            if !first {
                line(depth, out);
            }
            out.push(']');
        }
        _ => minify(json, out),
    }
}

/// Whether a value or one within it has all that another has.
pub(super) fn contains(json: &str, wanted: &str) -> bool {
    if covers(json, wanted) {
        return true;
    }
    match json.as_bytes().first() {
        Some(b'{') => {
            let mut found = false;
            each_member(json, |_, value| found = found || contains(value, wanted));
            found
        }
        Some(b'[') => items_of(json).into_iter().any(|item| contains(item, wanted)),
        _ => false,
    }
}

fn covers(json: &str, wanted: &str) -> bool {
    let kinds = (json.as_bytes().first(), wanted.as_bytes().first());
    match kinds {
        (Some(b'{'), Some(b'{')) => {
            let mut all = true;
            each_member(wanted, |key, value| {
                let key = unescaped(key);
                let mut found = false;
                each_member(json, |name, member| {
                    found = found || unescaped(name) == key && covers(member, value);
                });
                all = all && found;
            });
            all
        }
        (Some(b'['), Some(b'[')) => {
            let items = items_of(json);
            items_of(wanted).into_iter().all(|item| items.iter().any(|own| covers(own, item)))
        }
        (Some(b'"'), Some(b'"')) => unescaped(json) == unescaped(wanted),
        (Some(b'{' | b'[' | b'"'), _) | (_, Some(b'{' | b'[' | b'"')) => false,
        _ => json == wanted || json.parse::<f64>().is_ok_and(|a| wanted.parse() == Ok(a)),
    }
}

/// A value changed by a merge patch (RFC 7396).
pub(super) fn merged(target: Option<&str>, patch: &str) -> String {
    if !patch.starts_with('{') {
        return minified(patch);
    }
    let mut members: Vec<(String, String)> = Vec::new();
    if let Some(target) = target.filter(|target| target.starts_with('{')) {
        each_member(target, |key, value| members.push((unescaped(key).into_owned(), value.into())));
    }
    each_member(patch, |key, value| {
        let key = unescaped(key);
        let known = members.iter().position(|(name, _)| *name == key);
        if value == "null" {
            known.map(|known| members.remove(known));
            return;
        }
        let changed = merged(known.map(|known| members[known].1.as_str()), value);
        match known {
            Some(known) => members[known].1 = changed,
            None => members.push((key.into_owned(), changed)),
        }
    });
    let members: Vec<String> =
        members.iter().map(|(key, value)| format!("{}:{}", quoted(key), minified(value))).collect();
    format!("{{{}}}", members.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_checked_names_the_byte() {
        assert_eq!(checked(" {\"a\" : 1} ").unwrap(), "{\"a\" : 1}");
        for (text, at) in
            [("{", 1), ("", 0), ("[1] x", 4), ("{\"a\":1,}", 7), ("01", 0), ("\"a", 2)]
        {
            let error = checked(text).unwrap_err().to_string();
            assert!(error.contains(&format!("at byte {at}:")), "{text}: {error}");
        }
    }

    #[test]
    fn test_minified_keeps_values() {
        assert_eq!(
            minified("[ 1 , {\"a\" :\t\"\\u00e9\\n\\/\"} , [ ] ]"),
            "[1,{\"a\":\"\u{e9}\\n/\"},[]]"
        );
        assert_eq!(minified("{\"a\":{}, \"b\":[{}]}"), "{\"a\":{},\"b\":[{}]}");
    }

    #[test]
    fn test_contains_looks_into_values() {
        for (json, wanted, holds) in [
            ("{\"a\":[1,{\"b\":2}]}", "{\"b\":2}", true),
            ("[1,2,3]", "[3,1]", true),
            ("[[1,2]]", "[1]", true),
            ("{\"a\":1}", "{\"a\":2}", false),
            ("{\"a\":1}", "{}", true),
            ("1.0", "1", true),
            ("\"1\"", "1", false),
            ("null", "null", true),
        ] {
            assert_eq!(contains(json, wanted), holds, "{json} {wanted}");
        }
    }
}
