//! Functions that build longer texts out of shorter ones, within `MAX_BYTES`.
//!
//! Invariant: a length is checked before anything of that length is built.

use stoadb_storage::{LogicalType, Vector};

use super::{MAX_BYTES, build, byte_of, integer_at, integers, too_long};
use crate::{error::Result, kernel::physical::Texts};

/// `repeat(text, n)`; empty for n below one.
pub(crate) fn repeat(args: &[Vector], rows: usize, _: &LogicalType) -> Result<Vector> {
    let (texts, counts) = (Texts::new(&args[0])?, integers(&args[1])?);
    let mut total = 0_usize;
    build(rows, "repeat", |row, out| {
        let (Some(text), Some(count)) = (texts.at(row), integer_at(&counts, row)) else {
            return Ok(false);
        };
        let count = usize::try_from(count.max(0)).unwrap_or(usize::MAX);
        total = total.saturating_add(text.len().saturating_mul(count));
        if total > MAX_BYTES {
            return Err(too_long("repeat"));
        }
        if !text.is_empty() {
            out.extend(std::iter::repeat_n(text, count));
        }
        Ok(true)
    })
}

/// `lpad(text, n [, fill])`: exactly n characters, cut at the right.
pub(crate) fn lpad(args: &[Vector], rows: usize, _: &LogicalType) -> Result<Vector> {
    padded(args, rows, "lpad", true)
}

/// `rpad(text, n [, fill])`: exactly n characters, cut at the right.
pub(crate) fn rpad(args: &[Vector], rows: usize, _: &LogicalType) -> Result<Vector> {
    padded(args, rows, "rpad", false)
}

fn padded(args: &[Vector], rows: usize, function: &str, before: bool) -> Result<Vector> {
    let (texts, lengths) = (Texts::new(&args[0])?, integers(&args[1])?);
    let fills = args.get(2).map(Texts::new).transpose()?;
    let mut total = 0_usize;
    build(rows, function, |row, out| {
        let (Some(text), Some(length)) = (texts.at(row), integer_at(&lengths, row)) else {
            return Ok(false);
        };
        let fill = match &fills {
            None => " ",
            Some(fills) => match fills.at(row) {
                None => return Ok(false),
                Some(fill) => fill,
            },
        };
        let length = usize::try_from(length.max(0)).unwrap_or(usize::MAX);
        let missing = length.saturating_sub(text.chars().count());
        if missing == 0 || fill.is_empty() {
            out.push_str(&text[..byte_of(text, length)]);
            return Ok(true);
        }
        // A character has one byte at least, so that this bound is reached before memory is.
        total = total.saturating_add(length);
        if total > MAX_BYTES {
            return Err(too_long(function));
        }
        let padding = fill.chars().cycle().take(missing);
        if before {
            out.extend(padding);
            out.push_str(text);
        } else {
            out.push_str(text);
            out.extend(padding);
        }
        Ok(true)
    })
}

/// `replace(text, from, to)`; an empty `from` replaces nothing.
pub(crate) fn replace(args: &[Vector], rows: usize, _: &LogicalType) -> Result<Vector> {
    let texts = Texts::new(&args[0])?;
    let (from, to) = (Texts::new(&args[1])?, Texts::new(&args[2])?);
    build(rows, "replace", |row, out| {
        let (Some(text), Some(from), Some(to)) = (texts.at(row), from.at(row), to.at(row)) else {
            return Ok(false);
        };
        if from.is_empty() {
            out.push_str(text);
            return Ok(true);
        }
        let mut rest = 0;
        for at in memchr::memmem::find_iter(text.as_bytes(), from.as_bytes()) {
            out.push_str(&text[rest..at]);
            out.push_str(to);
            rest = at + from.len();
            if out.len() > MAX_BYTES {
                return Err(too_long("replace"));
            }
        }
        out.push_str(&text[rest..]);
        Ok(true)
    })
}
