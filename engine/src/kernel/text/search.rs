//! Functions that look for a text in a text.
//!
//! Invariant: NULL when an argument is NULL; an empty text is found at the first position.

use arrow::{array::BooleanArray, buffer::BooleanBuffer};
use memchr::memmem;
use stoadb_storage::{LogicalType, Vector};

use super::{counts, integer_at, integers, part};
use crate::{
    error::{EngineError, Result},
    kernel::{
        arity::union_nulls,
        physical::{Bytes, Texts, boolean_vector, is_constant_null, null_vector},
    },
};

fn test(args: &[Vector], rows: usize, f: impl Fn(&[u8], &[u8]) -> bool) -> Result<Vector> {
    let (texts, wanted) = (Bytes::new(&args[0])?, Bytes::new(&args[1])?);
    let nulls = union_nulls(args[0].nulls().as_ref(), args[1].nulls().as_ref());
    let bits = BooleanBuffer::collect_bool(rows, |row| f(texts.get(row), wanted.get(row)));
    Ok(boolean_vector(BooleanArray::new(bits, nulls)))
}

/// `starts_with(text, prefix)`.
pub(crate) fn starts_with(args: &[Vector], rows: usize, _: &LogicalType) -> Result<Vector> {
    test(args, rows, |text, prefix| text.starts_with(prefix))
}

/// `ends_with(text, suffix)`.
pub(crate) fn ends_with(args: &[Vector], rows: usize, _: &LogicalType) -> Result<Vector> {
    test(args, rows, |text, suffix| text.ends_with(suffix))
}

/// `contains(text, part)`.
pub(crate) fn contains(args: &[Vector], rows: usize, _: &LogicalType) -> Result<Vector> {
    if let Vector::Constant { value, .. } = &args[1]
        && let Some(part) = value.as_bytes()
    {
        let finder = memmem::Finder::new(part);
        return test(args, rows, |text, _| finder.find(text).is_some());
    }
    test(args, rows, |text, part| memmem::find(text, part).is_some())
}

/// `strpos(text, part)`: the character at which it begins, from 1; 0 when it does not occur.
pub(crate) fn strpos(args: &[Vector], rows: usize, ty: &LogicalType) -> Result<Vector> {
    if args.iter().any(is_constant_null) {
        return Ok(null_vector(ty, rows));
    }
    let (texts, wanted) = (Texts::new(&args[0])?, Texts::new(&args[1])?);
    let nulls = union_nulls(args[0].nulls().as_ref(), args[1].nulls().as_ref());
    let find = |row: usize| {
        let (text, part) = (texts.get(row), wanted.get(row));
        memmem::find(text.as_bytes(), part.as_bytes())
            .map_or(0, |at| text[..at].chars().count() + 1)
    };
    let zeros = BooleanArray::new(BooleanBuffer::new_unset(rows), nulls);
    counts(&boolean_vector(zeros), rows, ty, find)
}

/// `split_part(text, delimiter, n)`: the n-th field from 1, or from the end when n is negative; empty when there is none.
pub(crate) fn split_part(args: &[Vector], rows: usize, _: &LogicalType) -> Result<Vector> {
    let texts = Texts::new(&args[0])?;
    let (delimiters, fields) = (Texts::new(&args[1])?, integers(&args[2])?);
    part(&texts, rows, |row, text| {
        let (Some(delimiter), Some(field)) = (delimiters.at(row), integer_at(&fields, row)) else {
            return Ok(None);
        };
        if field == 0 {
            return Err(EngineError::Value("split_part: the field number must not be 0".into()));
        }
        let index = usize::try_from(field.unsigned_abs() - 1).unwrap_or(usize::MAX);
        if delimiter.is_empty() {
            return Ok(Some((0, if index == 0 { text.len() } else { 0 })));
        }
        let found = match field > 0 {
            true => text.split(delimiter).nth(index),
            false => text.rsplit(delimiter).nth(index),
        };
        let begin = |part: &str| part.as_ptr() as usize - text.as_ptr() as usize;
        Ok(Some(found.map_or((0, 0), |part| (begin(part), begin(part) + part.len()))))
    })
}
