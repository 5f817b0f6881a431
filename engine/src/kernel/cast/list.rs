//! Text to lists: `[1, 2]`, `[a, 'b, c', NULL]`, `[[1], [2, 3]]`.
//!
//! Invariant: elements are texts that are cast in turn, so that lists of lists nest; NULL without quotes is NULL.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, ListArray, StringViewArray, StringViewBuilder},
    buffer::{NullBuffer, OffsetBuffer},
    datatypes::{DataType, FieldRef},
};
use stoadb_storage::{LogicalType, Vector};

use crate::{
    error::{EngineError, Result},
    kernel::physical::one_or_all,
};

/// Texts as lists. What is no list is an error, or NULL under TRY_CAST.
pub(super) fn from_text(
    input: &Vector,
    rows: usize,
    field: &FieldRef,
    or_null: bool,
) -> Result<Vector> {
    let to = LogicalType::List(Arc::clone(field));
    of_texts(input, rows, |texts| lists(texts, field, &to, or_null))
}

/// What becomes of texts; of a constant, a constant.
pub(super) fn of_texts(
    input: &Vector,
    rows: usize,
    made: impl FnOnce(&StringViewArray) -> Result<ArrayRef>,
) -> Result<Vector> {
    let (array, constant): (ArrayRef, bool) = one_or_all(input)?;
    let array = arrow::compute::cast(&array, &DataType::Utf8View)?;
    let result = Vector::Flat(made(array.as_string_view())?);
    Ok(match constant {
        true => Vector::Constant { value: result.scalar(0)?, rows },
        false => result,
    })
}

fn lists(
    texts: &StringViewArray,
    field: &FieldRef,
    to: &LogicalType,
    or_null: bool,
) -> Result<ArrayRef> {
    let mut lengths = Vec::with_capacity(texts.len());
    let mut valid = Vec::with_capacity(texts.len());
    let mut items = StringViewBuilder::new();
    for text in texts {
        let found = text.and_then(elements);
        if let (Some(text), None, false) = (text, &found, or_null) {
            let message = format!("could not convert '{text}' to {to}: a list is like [1, 2]");
            return Err(EngineError::Value(message));
        }
        valid.push(found.is_some());
        let found = found.unwrap_or_default();
        lengths.push(found.len());
        found.into_iter().for_each(|item| items.append_option(item));
    }
    let items = Vector::Flat(Arc::new(items.finish()));
    let element = LogicalType::from_arrow(field.data_type())?;
    let items = super::cast(&items, items.len(), &element, or_null)?.flatten()?;
    let items = arrow::compute::cast(&items, field.data_type())?;
    let offsets = OffsetBuffer::from_lengths(lengths);
    let list =
        ListArray::try_new(Arc::clone(field), offsets, items, Some(NullBuffer::from(valid)))?;
    Ok(Arc::new(list))
}

/// The texts between the brackets; `None` when the text is no list.
fn elements(text: &str) -> Option<Vec<Option<String>>> {
    let inner = text.trim().strip_prefix('[')?.strip_suffix(']')?;
    Some(split(inner, ',')?.into_iter().map(element).collect())
}

/// The parts of a text between separators outside of brackets and quotes; none of a blank one, `None` where brackets or
/// quotes do not match.
pub(super) fn split(inner: &str, separator: char) -> Option<Vec<&str>> {
    let mut found = Vec::new();
    if inner.trim().is_empty() {
        return Some(found);
    }
    let (mut depth, mut quote, mut escaped, mut start) = (0_usize, None, false, 0);
    for (at, c) in inner.char_indices() {
        match (quote, c) {
            (Some(_), _) if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            // Within a word it is an apostrophe.
            (None, '\'' | '"') if depth > 0 || begins_word(&inner[start..at]) => {
                quote = Some(c);
            }
            (None, '[' | '{' | '(') => depth += 1,
            (None, ']' | '}' | ')') => depth = depth.checked_sub(1)?,
            (None, c) if depth == 0 && c == separator => {
                found.push(&inner[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    if depth > 0 || quote.is_some() {
        return None;
    }
    found.push(&inner[start..]);
    Some(found)
}

/// Whether what comes next begins an element, a field's value or a key.
fn begins_word(before: &str) -> bool {
    before.trim_end().is_empty() || before.trim_end().ends_with([':', '='])
}

/// An element without the spaces and the quotes around it.
pub(super) fn element(text: &str) -> Option<String> {
    let text = text.trim();
    for quote in ['\'', '"'] {
        if let Some(inner) = text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)) {
            let mut plain = String::with_capacity(inner.len());
            let mut chars = inner.chars();
            while let Some(c) = chars.next() {
                plain.extend(if c == '\\' { chars.next() } else { Some(c) });
            }
            return Some(plain);
        }
    }
    (!text.eq_ignore_ascii_case("null")).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_texts_are_taken_apart_at_their_commas() {
        let some = |texts: &[&str]| Some(texts.iter().map(|t| Some((*t).to_owned())).collect());
        assert_eq!(elements("[a, b]"), some(&["a", "b"]));
        assert_eq!(elements(" [ ] "), Some(Vec::new()));
        assert_eq!(elements("['a, b', \"c\", it's]"), some(&["a, b", "c", "it's"]));
        assert_eq!(elements("[[1, 2], {a: 3, b: 4}]"), some(&["[1, 2]", "{a: 3, b: 4}"]));
        assert_eq!(elements("[1,,2]"), some(&["1", "", "2"]));
        assert_eq!(elements("[NULL, 'NULL']"), Some(vec![None, Some("NULL".to_owned())]));
        for bad in ["", "a", "[a", "a]", "[[1]", "['a]", "[1]]"] {
            assert_eq!(elements(bad), None, "{bad}");
        }
    }
}
