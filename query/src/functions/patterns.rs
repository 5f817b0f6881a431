//! Regular expressions beyond what matches: all matches, whole matches, texts split at matches.
//!
//! Invariant: expressions are those of the `regex` crate; one that is wrong is an error. The last one is kept compiled.

use arrow::array::ArrayRef;
use datafusion_common::{Result, exec_err};
use regex::{Regex, RegexBuilder};

use super::{BOOLEAN, Call, Def, TEXT, TEXTS};
use crate::sql::{calls::GLOB, shorthand::of_glob};

pub(super) const TABLE: &[Def] = &[
    Def {
        name: "regexp_extract_all",
        aliases: &[],
        takes: "text text bigint? text?",
        gives: TEXTS,
        body: extract_all,
    },
    Def {
        name: "regexp_full_match",
        aliases: &[],
        takes: "text text text?",
        gives: BOOLEAN,
        body: full_match,
    },
    Def {
        name: "regexp_split_to_array",
        aliases: &["string_split_regex", "str_split_regex"],
        takes: "text text text?",
        gives: TEXTS,
        body: split,
    },
    Def { name: GLOB, aliases: &[], takes: "text text", gives: BOOLEAN, body: glob },
    Def { name: "regexp_escape", aliases: &[], takes: "text", gives: TEXT, body: escape },
];

/// Compiles patterns, and keeps the last one.
#[derive(Default)]
struct Compiled {
    known: Option<(String, String, Regex)>,
}

impl Compiled {
    fn get(&mut self, pattern: &str, flags: &str) -> Result<&Regex> {
        let same = |(known, with, _): &(String, String, Regex)| known == pattern && with == flags;
        if !self.known.as_ref().is_some_and(same) {
            let mut builder = RegexBuilder::new(pattern);
            builder.size_limit(64 << 20);
            for flag in flags.chars() {
                match flag {
                    'i' => builder.case_insensitive(true),
                    'c' | 'g' => builder.case_insensitive(false),
                    's' => builder.dot_matches_new_line(true),
                    'm' | 'n' | 'p' => builder.multi_line(true),
                    'x' => builder.ignore_whitespace(true),
                    other => return exec_err!("'{other}' is no option of a regular expression"),
                };
            }
            match builder.build() {
                Ok(regex) => self.known = Some((pattern.to_owned(), flags.to_owned(), regex)),
                Err(error) => return exec_err!("'{pattern}' is no regular expression: {error}"),
            }
        }
        match &self.known {
            Some((.., regex)) => Ok(regex),
            None => exec_err!("a pattern was lost"),
        }
    }
}

fn extract_all(call: &Call) -> Result<ArrayRef> {
    let (texts, patterns) = (call.texts(0)?, call.texts(1)?);
    let groups = call.has(2).then(|| call.integers(2)).transpose()?;
    let flags = call.has(3).then(|| call.texts(3)).transpose()?;
    let mut compiled = Compiled::default();
    call.give_text_lists(|row| {
        let group = groups.as_ref().map_or(Some(0), |groups| groups.at(row));
        let flags = flags.as_ref().map_or(Some(""), |flags| flags.at(row));
        let (Some(text), Some(pattern), Some(group), Some(flags)) =
            (texts.at(row), patterns.at(row), group, flags)
        else {
            return Ok(None);
        };
        let regex = compiled.get(pattern, flags)?;
        let known = usize::try_from(group).ok().filter(|group| *group < regex.captures_len());
        let Some(group) = known else {
            return exec_err!("the pattern '{pattern}' has no group {group}");
        };
        let found = regex.captures_iter(text).map(|captures| {
            Some(captures.get(group).map_or_else(String::new, |found| found.as_str().to_owned()))
        });
        Ok(Some(found.collect()))
    })
}

fn full_match(call: &Call) -> Result<ArrayRef> {
    let (texts, patterns) = (call.texts(0)?, call.texts(1)?);
    let flags = call.has(2).then(|| call.texts(2)).transpose()?;
    let mut compiled = Compiled::default();
    call.give_booleans(|row| {
        let flags = flags.as_ref().map_or(Some(""), |flags| flags.at(row));
        let (Some(text), Some(pattern), Some(flags)) = (texts.at(row), patterns.at(row), flags)
        else {
            return Ok(None);
        };
        let whole = format!("^(?:{pattern})$");
        Ok(Some(compiled.get(&whole, flags)?.is_match(text)))
    })
}

fn glob(call: &Call) -> Result<ArrayRef> {
    let (texts, patterns) = (call.texts(0)?, call.texts(1)?);
    let mut compiled = Compiled::default();
    call.give_booleans(|row| {
        let (Some(text), Some(pattern)) = (texts.at(row), patterns.at(row)) else {
            return Ok(None);
        };
        let whole = format!("^{}$", of_glob(pattern));
        Ok(Some(compiled.get(&whole, "")?.is_match(text)))
    })
}

fn split(call: &Call) -> Result<ArrayRef> {
    let (texts, patterns) = (call.texts(0)?, call.texts(1)?);
    let flags = call.has(2).then(|| call.texts(2)).transpose()?;
    let mut compiled = Compiled::default();
    call.give_text_lists(|row| {
        let flags = flags.as_ref().map_or(Some(""), |flags| flags.at(row));
        let (Some(text), Some(pattern), Some(flags)) = (texts.at(row), patterns.at(row), flags)
        else {
            return Ok(None);
        };
        let regex = compiled.get(pattern, flags)?;
        Ok(Some(regex.split(text).map(|part| Some(part.to_owned())).collect()))
    })
}

fn escape(call: &Call) -> Result<ArrayRef> {
    let texts = call.texts(0)?;
    call.give_texts(|row| {
        let mut escaped = String::new();
        let Some(text) = texts.at(row) else { return Ok(None) };
        for c in text.chars() {
            if c.is_ascii() && !c.is_ascii_alphanumeric() && c != '_' {
                escaped.push('\\');
            }
            escaped.push(c);
        }
        Ok(Some(escaped))
    })
}
