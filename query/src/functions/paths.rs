//! Parts of file names.
//!
//! Invariant: a separator is `/` or `\\` unless an argument says which.

use arrow::array::ArrayRef;
use datafusion_common::{Result, exec_err};

use super::{Call, Def, TEXT, TEXTS};

pub(super) const TABLE: &[Def] = &[
    Def {
        name: "parse_filename",
        aliases: &[],
        takes: "text any? text?",
        gives: TEXT,
        body: filename,
    },
    Def { name: "parse_dirname", aliases: &[], takes: "text text?", gives: TEXT, body: dirname },
    Def { name: "parse_dirpath", aliases: &[], takes: "text text?", gives: TEXT, body: dirpath },
    Def { name: "parse_path", aliases: &[], takes: "text text?", gives: TEXTS, body: parts },
];

/// Which characters separate the parts.
fn separators(name: Option<&str>) -> Result<&'static [char]> {
    match name {
        None | Some("system" | "forward_slash") => Ok(&['/']),
        Some("backslash") => Ok(&['\\']),
        Some("both_slash") => Ok(&['/', '\\']),
        Some(other) => {
            exec_err!("separators are system, both_slash, forward_slash and backslash, not {other}")
        }
    }
}

fn split(
    call: &Call,
    separator: Option<usize>,
    f: impl Fn(&str, &[char]) -> String,
) -> Result<ArrayRef> {
    let texts = call.texts(0)?;
    let names = separator.map(|at| call.texts(at)).transpose()?;
    call.give_texts(|row| {
        let name = names.as_ref().map(|names| names.at(row));
        let (Some(text), Some(name)) = (texts.at(row), name.map_or(Some(None), |n| n.map(Some)))
        else {
            return Ok(None);
        };
        let separators = if separator.is_none() { &['/', '\\'][..] } else { separators(name)? };
        Ok(Some(f(text, separators)))
    })
}

fn filename(call: &Call) -> Result<ArrayRef> {
    use arrow::datatypes::DataType;
    let trims = call.has(1) && *call.args[1].data_type() == DataType::Boolean;
    let trimmed = match trims {
        true => call.booleans(1)?.at(0).unwrap_or(false),
        false => false,
    };
    let separator = match (call.has(2), call.has(1) && !trims) {
        (true, _) => Some(2),
        (_, true) => Some(1),
        _ => None,
    };
    split(call, separator, |text, separators| {
        let name = text.rsplit(separators).next().unwrap_or(text);
        match name.rsplit_once('.') {
            Some((stem, _)) if trimmed && !stem.is_empty() => stem.to_owned(),
            _ => name.to_owned(),
        }
    })
}

fn dirname(call: &Call) -> Result<ArrayRef> {
    split(call, call.has(1).then_some(1), |text, separators| match text.find(separators) {
        Some(0) => text[..1].to_owned(),
        Some(at) => text[..at].to_owned(),
        None => String::new(),
    })
}

fn dirpath(call: &Call) -> Result<ArrayRef> {
    split(call, call.has(1).then_some(1), |text, separators| {
        text.rfind(separators).map_or_else(String::new, |at| text[..at.max(1)].to_owned())
    })
}

fn parts(call: &Call) -> Result<ArrayRef> {
    let texts = call.texts(0)?;
    let names = call.has(1).then(|| call.texts(1)).transpose()?;
    call.give_text_lists(|row| {
        let Some(text) = texts.at(row) else { return Ok(None) };
        let separators = match &names {
            None => &['/', '\\'][..],
            Some(names) => match names.at(row) {
                None => return Ok(None),
                name => separators(name)?,
            },
        };
        let mut parts = Vec::new();
        if text.starts_with(separators) {
            parts.push(Some(text[..1].to_owned()));
        }
        let named = text.split(separators).filter(|part| !part.is_empty());
        parts.extend(named.map(|part| Some(part.to_owned())));
        Ok(Some(parts))
    })
}
