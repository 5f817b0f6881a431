//! Functions on text, in PostgreSQL's meaning: positions and lengths count characters, from 1.
//!
//! Invariants: NULL in gives NULL out, except for `concat` and `concat_ws`, which skip NULLs; no result is longer than
//! `MAX_BYTES`. Every function has the signature of `NativeFn`. Next: `pad.rs`, `search.rs`.

pub(crate) mod extract; // hexadecimal digits, matches of regular expressions
pub(crate) mod pad; // functions that build longer texts
pub(crate) mod search; // functions that look for a text in a text

use std::sync::Arc;

use arrow::{array::StringViewBuilder, datatypes::ArrowNativeType};
use stoadb_storage::{LogicalType, Vector};

use crate::{
    error::{EngineError, Result},
    kernel::{
        arity::fallible,
        physical::{Bytes, Column, Physical, Texts, column, with_number},
    },
};

/// The most bytes of a text that a function makes, and of all texts of one vector.
pub(crate) const MAX_BYTES: usize = 1 << 30;

/// The error of a text that would be too long.
pub(crate) fn too_long(function: &str) -> EngineError {
    EngineError::Value(format!("{function} would make more than 1 GiB of text"))
}

/// Builds a text per row: `f` writes it, or answers false for NULL.
pub(crate) fn build(
    rows: usize,
    function: &str,
    mut f: impl FnMut(usize, &mut String) -> Result<bool>,
) -> Result<Vector> {
    let mut builder = StringViewBuilder::with_capacity(rows);
    let mut text = String::new();
    let mut total = 0;
    for row in 0..rows {
        text.clear();
        if !f(row, &mut text)? {
            builder.append_null();
            continue;
        }
        total += text.len();
        if total > MAX_BYTES {
            return Err(too_long(function));
        }
        builder.try_append_value(&text)?;
    }
    Ok(Vector::Flat(Arc::new(builder.finish())))
}

/// Builds a text per row that is part of the row's input text.
pub(crate) fn part(
    input: &Texts,
    rows: usize,
    mut f: impl FnMut(usize, &str) -> Result<Option<(usize, usize)>>,
) -> Result<Vector> {
    let mut builder = StringViewBuilder::with_capacity(rows);
    for row in 0..rows {
        let text = input.at(row);
        let range = text.map_or(Ok(None), |text| f(row, text))?;
        match (text, range) {
            (Some(text), Some((begin, end))) => {
                builder.try_append_value(text.get(begin..end).unwrap_or_default())?;
            }
            _ => builder.append_null(),
        }
    }
    Ok(Vector::Flat(Arc::new(builder.finish())))
}

/// An integer argument of any width.
#[expect(clippy::unnecessary_cast, reason = "one width of many is the target already")]
pub(crate) fn integers(vector: &Vector) -> Result<Column<i64>> {
    let ty = vector.ty()?;
    with_number!(Physical::of(&ty), T => {
        let column = column::<T>(vector)?;
        let wide = |&value: &T| i64::try_from(value as i128).unwrap_or(i64::MAX);
        let values = column.values.iter().map(wide).collect();
        Ok(Column { values, nulls: column.nulls, constant: column.constant })
    }, _ => Err(EngineError::Internal(format!("an integer was expected, not {ty}"))))
}

/// The integer of a row, `None` for NULL.
pub(crate) fn integer_at(column: &Column<i64>, row: usize) -> Option<i64> {
    column.is_valid(row).then(|| column.get(row))
}

/// Counts per row as the plan's integer type.
pub(crate) fn counts(
    input: &Vector,
    rows: usize,
    ty: &LogicalType,
    f: impl Fn(usize) -> usize,
) -> Result<Vector> {
    fn typed<T: ArrowNativeType + TryFrom<usize>>(
        input: &Vector,
        rows: usize,
        ty: &LogicalType,
        f: impl Fn(usize) -> usize,
    ) -> Result<Vector> {
        fallible(rows, ty, input.nulls(), |row| {
            T::try_from(f(row)).map_err(|_| EngineError::Value(format!("a length beyond {ty}")))
        })
    }
    match Physical::of(ty) {
        Physical::I32 => typed::<i32>(input, rows, ty, f),
        Physical::I64 => typed::<i64>(input, rows, ty, f),
        Physical::U32 => typed::<u32>(input, rows, ty, f),
        Physical::U64 => typed::<u64>(input, rows, ty, f),
        _ => Err(EngineError::Internal(format!("a length as {ty}"))),
    }
}

/// `upper(text)`.
pub(crate) fn upper(args: &[Vector], rows: usize, _: &LogicalType) -> Result<Vector> {
    fold_case(&args[0], rows, "upper", char::to_ascii_uppercase, str::to_uppercase)
}

/// `lower(text)`.
pub(crate) fn lower(args: &[Vector], rows: usize, _: &LogicalType) -> Result<Vector> {
    fold_case(&args[0], rows, "lower", char::to_ascii_lowercase, str::to_lowercase)
}

fn fold_case(
    input: &Vector,
    rows: usize,
    function: &str,
    ascii: impl Fn(&char) -> char,
    unicode: impl Fn(&str) -> String,
) -> Result<Vector> {
    let texts = Texts::new(input)?;
    build(rows, function, |row, out| {
        let Some(text) = texts.at(row) else { return Ok(false) };
        match text.is_ascii() {
            true => out.extend(text.chars().map(|c| ascii(&c))),
            false => out.push_str(&unicode(text)),
        }
        Ok(true)
    })
}

/// `length(text)`, in characters; of a blob in bytes.
pub(crate) fn length(args: &[Vector], rows: usize, ty: &LogicalType) -> Result<Vector> {
    if args[0].ty()? == LogicalType::Blob {
        return octet_length(args, rows, ty);
    }
    let texts = Texts::new(&args[0])?;
    counts(&args[0], rows, ty, |row| characters(texts.get(row)))
}

/// How many characters a text has: bytes that do not continue one.
fn characters(text: &str) -> usize {
    text.bytes().map(|byte| usize::from(byte & 0xC0 != 0x80)).sum()
}

/// `octet_length(text or blob)`.
pub(crate) fn octet_length(args: &[Vector], rows: usize, ty: &LogicalType) -> Result<Vector> {
    let bytes = Bytes::new(&args[0])?;
    counts(&args[0], rows, ty, |row| bytes.get(row).len())
}

/// `bit_length(text or blob)`.
pub(crate) fn bit_length(args: &[Vector], rows: usize, ty: &LogicalType) -> Result<Vector> {
    let bytes = Bytes::new(&args[0])?;
    counts(&args[0], rows, ty, |row| bytes.get(row).len() * 8)
}

/// The byte at which the character of an index begins; the text's end when it has fewer.
pub(crate) fn byte_of(text: &str, character: usize) -> usize {
    if text.is_ascii() {
        return character.min(text.len());
    }
    text.char_indices().nth(character).map_or(text.len(), |(at, _)| at)
}

/// `substr(text, start [, length])`.
pub(crate) fn substr(args: &[Vector], rows: usize, _: &LogicalType) -> Result<Vector> {
    let texts = Texts::new(&args[0])?;
    let start = integers(&args[1])?;
    let length = args.get(2).map(integers).transpose()?;
    part(&texts, rows, |row, text| {
        let Some(start) = integer_at(&start, row) else { return Ok(None) };
        let end = match &length {
            None => i64::MAX,
            Some(length) => match integer_at(length, row) {
                None => return Ok(None),
                Some(length) if length < 0 => {
                    let message = format!("negative substring length: {length}");
                    return Err(EngineError::Value(message));
                }
                Some(length) => start.saturating_add(length),
            },
        };
        // Characters before the first count for the length, as in PostgreSQL.
        let index = |position: i64| usize::try_from(position.max(1) - 1).unwrap_or(usize::MAX);
        let (first, last) = (index(start), index(end));
        let begin = byte_of(text, first);
        let end = begin + byte_of(&text[begin..], last.saturating_sub(first));
        Ok(Some((begin, end)))
    })
}

/// `left(text, n)`; a negative n leaves the last characters out.
pub(crate) fn left(args: &[Vector], rows: usize, _: &LogicalType) -> Result<Vector> {
    let (texts, count) = (Texts::new(&args[0])?, integers(&args[1])?);
    part(&texts, rows, |row, text| {
        let keep = integer_at(&count, row).map(|count| kept(text, count));
        Ok(keep.map(|keep| (0, byte_of(text, keep))))
    })
}

/// `right(text, n)`; a negative n leaves the first characters out.
pub(crate) fn right(args: &[Vector], rows: usize, _: &LogicalType) -> Result<Vector> {
    let (texts, count) = (Texts::new(&args[0])?, integers(&args[1])?);
    part(&texts, rows, |row, text| {
        let keep = integer_at(&count, row).map(|count| kept(text, count));
        Ok(keep.map(|keep| (byte_of(text, characters(text).saturating_sub(keep)), text.len())))
    })
}

fn kept(text: &str, count: i64) -> usize {
    let size = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    if count >= 0 { size } else { characters(text).saturating_sub(size) }
}

/// `btrim(text [, characters])`.
pub(crate) fn trim(args: &[Vector], rows: usize, _: &LogicalType) -> Result<Vector> {
    trimmed(args, rows, true, true)
}

/// `ltrim(text [, characters])`.
pub(crate) fn ltrim(args: &[Vector], rows: usize, _: &LogicalType) -> Result<Vector> {
    trimmed(args, rows, true, false)
}

/// `rtrim(text [, characters])`.
pub(crate) fn rtrim(args: &[Vector], rows: usize, _: &LogicalType) -> Result<Vector> {
    trimmed(args, rows, false, true)
}

fn trimmed(args: &[Vector], rows: usize, front: bool, back: bool) -> Result<Vector> {
    let texts = Texts::new(&args[0])?;
    let set = args.get(1).map(Texts::new).transpose()?;
    part(&texts, rows, |row, text| {
        let set = match &set {
            None => " ",
            Some(set) => match set.at(row) {
                None => return Ok(None),
                Some(set) => set,
            },
        };
        let strip = |c: char| set.contains(c);
        let rest = if front { text.trim_start_matches(strip) } else { text };
        let begin = text.len() - rest.len();
        let rest = if back { rest.trim_end_matches(strip) } else { rest };
        Ok(Some((begin, begin + rest.len())))
    })
}

/// `concat(a, b, ..)`; NULLs are skipped.
pub(crate) fn concat(args: &[Vector], rows: usize, _: &LogicalType) -> Result<Vector> {
    let texts = args.iter().map(Texts::new).collect::<Result<Vec<_>>>()?;
    build(rows, "concat", |row, out| {
        for text in texts.iter().filter_map(|texts| texts.at(row)) {
            out.push_str(text);
        }
        Ok(true)
    })
}

/// `a || b`; NULL when one of them is.
pub(crate) fn concat_op(args: &[Vector], rows: usize, _: &LogicalType) -> Result<Vector> {
    let texts = args.iter().map(Texts::new).collect::<Result<Vec<_>>>()?;
    build(rows, "||", |row, out| {
        for texts in &texts {
            let Some(text) = texts.at(row) else { return Ok(false) };
            out.push_str(text);
        }
        Ok(true)
    })
}

/// `a || b` of blobs; NULL when one of them is.
pub(crate) fn concat_blobs(args: &[Vector], rows: usize, _: &LogicalType) -> Result<Vector> {
    let blobs = args.iter().map(Bytes::new).collect::<Result<Vec<_>>>()?;
    let nulls: Vec<_> = args.iter().map(Vector::nulls).collect();
    let mut builder = arrow::array::BinaryViewBuilder::with_capacity(rows);
    let mut joined = Vec::new();
    for row in 0..rows {
        if nulls.iter().flatten().any(|nulls| nulls.is_null(row)) {
            builder.append_null();
            continue;
        }
        joined.clear();
        blobs.iter().for_each(|blobs| joined.extend_from_slice(blobs.get(row)));
        builder.try_append_value(&joined)?;
    }
    Ok(Vector::Flat(Arc::new(builder.finish())))
}

/// `concat_ws(separator, a, b, ..)`; NULLs are skipped, but a NULL separator gives NULL.
pub(crate) fn concat_ws(args: &[Vector], rows: usize, _: &LogicalType) -> Result<Vector> {
    let texts = args.iter().map(Texts::new).collect::<Result<Vec<_>>>()?;
    build(rows, "concat_ws", |row, out| {
        let Some(separator) = texts[0].at(row) else { return Ok(false) };
        let mut first = true;
        for text in texts[1..].iter().filter_map(|texts| texts.at(row)) {
            if !std::mem::take(&mut first) {
                out.push_str(separator);
            }
            out.push_str(text);
        }
        Ok(true)
    })
}

/// `reverse(text)`, by characters.
pub(crate) fn reverse(args: &[Vector], rows: usize, _: &LogicalType) -> Result<Vector> {
    let texts = Texts::new(&args[0])?;
    build(rows, "reverse", |row, out| {
        let Some(text) = texts.at(row) else { return Ok(false) };
        out.extend(text.chars().rev());
        Ok(true)
    })
}
