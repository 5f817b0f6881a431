//! Text to structs and maps: `{'a': 1, b: x}`, `(1, x)`, `{key=value}`.
//!
//! Invariant: fields are found by name, those that are missing are NULL, and a name that the struct does not have makes the
//! text none of it; values are texts that are cast in turn.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, MapArray, StringViewArray, StringViewBuilder, StructArray},
    buffer::{NullBuffer, OffsetBuffer},
    datatypes::{DataType, FieldRef, Fields},
};
use stoadb_storage::{LogicalType, Vector};

use super::list::{element, of_texts, split};
use crate::error::{EngineError, Result};

/// Texts as structs or maps. What is none is an error, or NULL under TRY_CAST.
pub(super) fn from_text(
    input: &Vector,
    rows: usize,
    to: &LogicalType,
    or_null: bool,
) -> Result<Vector> {
    of_texts(input, rows, |texts| match to.to_arrow() {
        DataType::Struct(fields) => Ok(Arc::new(structs(texts, &fields, to, or_null)?)),
        DataType::Map(entries, _) => Ok(Arc::new(maps(texts, &entries, to, or_null)?)),
        _ => Err(EngineError::Unsupported(format!("casts from VARCHAR to {to}"))),
    })
}

type Entries = Vec<(Option<String>, Option<String>)>;

/// What a row's text holds; `None` for NULL.
fn entries_of(
    text: Option<&str>,
    parse: impl Fn(&str) -> Option<Entries>,
    to: &LogicalType,
    or_null: bool,
) -> Result<Option<Entries>> {
    let Some(text) = text else { return Ok(None) };
    match parse(text) {
        None if !or_null => Err(EngineError::Value(format!("could not convert '{text}' to {to}"))),
        found => Ok(found),
    }
}

fn structs(
    texts: &StringViewArray,
    fields: &Fields,
    to: &LogicalType,
    or_null: bool,
) -> Result<StructArray> {
    let mut columns: Vec<StringViewBuilder> =
        fields.iter().map(|_| StringViewBuilder::new()).collect();
    let mut valid = Vec::with_capacity(texts.len());
    for text in texts {
        let found = entries_of(text, |text| fields_of(text, fields), to, or_null)?;
        valid.push(found.is_some());
        let mut found = found.unwrap_or_default();
        for (column, field) in columns.iter_mut().zip(fields) {
            let of_field = |(name, _): &(Option<String>, Option<String>)| {
                name.as_deref() == Some(field.name().as_str())
            };
            let value = found.iter_mut().find(|entry| of_field(entry));
            column.append_option(value.and_then(|(_, value)| value.take()));
        }
    }
    let columns = columns
        .into_iter()
        .zip(fields)
        .map(|(mut column, field)| cast(Arc::new(column.finish()), field.data_type(), or_null))
        .collect::<Result<Vec<_>>>()?;
    Ok(StructArray::try_new(fields.clone(), columns, Some(NullBuffer::from(valid)))?)
}

fn maps(
    texts: &StringViewArray,
    entries: &FieldRef,
    to: &LogicalType,
    or_null: bool,
) -> Result<MapArray> {
    let DataType::Struct(fields) = entries.data_type() else {
        return Err(EngineError::Internal("a map without entries".into()));
    };
    let (mut keys, mut values) = (StringViewBuilder::new(), StringViewBuilder::new());
    let (mut lengths, mut valid) = (Vec::new(), Vec::with_capacity(texts.len()));
    for text in texts {
        let found = entries_of(text, pairs, to, or_null)?;
        valid.push(found.is_some());
        let found = found.unwrap_or_default();
        lengths.push(found.len());
        for (key, value) in found {
            keys.append_option(key);
            values.append_option(value);
        }
    }
    let mut columns = Vec::with_capacity(2);
    for (mut column, field) in [keys, values].into_iter().zip(fields) {
        columns.push(cast(Arc::new(column.finish()), field.data_type(), or_null)?);
    }
    if columns.first().is_some_and(|keys| keys.null_count() > 0) {
        return Err(EngineError::Value("the keys of a map are not NULL".into()));
    }
    let structs = StructArray::try_new(fields.clone(), columns, None)?;
    let offsets = OffsetBuffer::from_lengths(lengths);
    let nulls = Some(NullBuffer::from(valid));
    Ok(MapArray::try_new(Arc::clone(entries), offsets, structs, nulls, false)?)
}

fn cast(texts: ArrayRef, to: &DataType, or_null: bool) -> Result<ArrayRef> {
    let rows = texts.len();
    let ty = LogicalType::from_arrow(to)?;
    let values = super::cast(&Vector::Flat(texts), rows, &ty, or_null)?.flatten()?;
    Ok(arrow::compute::cast(&values, to)?)
}

/// Names and values of `{a: 1, 'b': x}` or `(1, x)`.
fn fields_of(text: &str, fields: &Fields) -> Option<Entries> {
    let text = text.trim();
    if let Some(inner) = text.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
        let values = split(inner, ',')?;
        let named =
            |(field, value): (&FieldRef, &str)| (Some(field.name().clone()), element(value));
        return (values.len() == fields.len())
            .then(|| fields.iter().zip(values).map(named).collect());
    }
    let inner = text.strip_prefix('{')?.strip_suffix('}')?;
    let mut found = Vec::new();
    for part in split(inner, ',')? {
        let parts = split(part, ':')?;
        let (name, _) = parts.split_first().filter(|(_, rest)| !rest.is_empty())?;
        let value = &part[name.len() + 1..];
        let name = element(name)?;
        let field = fields.iter().find(|field| field.name().eq_ignore_ascii_case(&name))?;
        found.push((Some(field.name().clone()), element(value)));
    }
    Some(found)
}

/// Keys and values of `{a=1, b=2}`.
fn pairs(text: &str) -> Option<Entries> {
    let inner = text.trim().strip_prefix('{')?.strip_suffix('}')?;
    let pair = |part: &str| match split(part, '=')?.as_slice() {
        [key, value] => Some((element(key), element(value))),
        _ => None,
    };
    split(inner, ',')?.into_iter().map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::Field;

    #[test]
    fn test_texts_are_taken_apart() {
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(
            pairs("{a=1, 'b c'=NULL}"),
            Some(vec![(text("a"), text("1")), (text("b c"), None)])
        );
        assert_eq!(pairs("{}"), Some(Vec::new()));
        assert_eq!(pairs("{a}"), None);
        assert_eq!(pairs("a=1"), None);
        let fields = Fields::from(vec![
            Field::new("a", DataType::Int64, true),
            Field::new("b", DataType::Utf8View, true),
        ]);
        let both = Some(vec![(text("b"), text("x: y")), (text("a"), text("1"))]);
        assert_eq!(fields_of("{'b': 'x: y', \"a\": 1}", &fields), both);
        assert_eq!(fields_of("(1, [2, 3])", &fields).unwrap()[1].1, text("[2, 3]"));
        assert_eq!(fields_of("{c: 1}", &fields), None);
        assert_eq!(fields_of("(1)", &fields), None);
    }
}
