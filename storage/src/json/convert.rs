//! JSON values to vectors.
//!
//! Invariant: a value is converted exactly or its row is reported; a string is read as a value of a type where its text is
//! one. What is no string is a text as it stands in the file.
//! Next: `scan.rs`.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, ListArray, MapArray, StructArray},
    buffer::{NullBuffer, OffsetBuffer, ScalarBuffer},
    datatypes::{DataType, FieldRef},
};

use super::token::{items, members, unescaped};
use crate::{
    csv::{
        convert::{self as texts, Failure, Fields, Nulls},
        format::Formats,
        options::Dialect,
        split::Span,
    },
    error::StorageError,
    types::LogicalType,
    vector::Vector,
};

/// Where a value stands in the text; of no bytes where there is none.
pub(crate) type Place = (u32, u32);

/// The values of one column.
#[derive(Clone, Copy)]
pub(crate) struct Values<'a> {
    /// What the places point into.
    pub text: &'a str,
    /// One per row.
    pub places: &'a [Place],
    /// Whether keys that a struct does not name are an error.
    pub strict: bool,
    /// How dates are written.
    pub formats: &'a Formats,
}

/// Whether `convert` knows a type.
pub(crate) fn is_known(ty: &LogicalType) -> bool {
    let child = |ty: &DataType| LogicalType::from_arrow(ty).is_ok_and(|ty| is_known(&ty));
    match ty {
        LogicalType::List(item) => child(item.data_type()),
        LogicalType::Struct(fields) => fields.iter().all(|field| child(field.data_type())),
        LogicalType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) => fields.iter().all(|field| child(field.data_type())),
            _ => false,
        },
        ty => texts::is_known(ty),
    }
}

impl<'a> Values<'a> {
    /// The text of a value; `None` where there is none, and for null.
    fn get(&self, row: usize) -> Option<&'a str> {
        let (start, end) = self.places[row];
        let text = self.text.get(start as usize..end as usize)?;
        (!text.is_empty() && text != "null").then_some(text)
    }

    /// The values as a vector.
    ///
    /// # Errors
    /// The first row whose value is none of the type.
    pub(crate) fn convert(&self, ty: &LogicalType) -> Result<Vector, Failure> {
        Ok(match ty {
            LogicalType::List(item) => Vector::Flat(self.lists(item)?),
            LogicalType::Struct(_) => {
                let DataType::Struct(fields) = ty.to_arrow() else { return Err(mistyped()) };
                let columns: Vec<&FieldRef> = fields.iter().collect();
                let (arrays, nulls) = self.structs(&columns)?;
                let rows = self.places.len();
                Vector::Flat(Arc::new(StructArray::try_new_with_length(
                    fields.clone(),
                    arrays,
                    nulls,
                    rows,
                )?))
            }
            LogicalType::Map(entries, sorted) => Vector::Flat(self.maps(entries, *sorted)?),
            ty => self.scalars(ty)?,
        })
    }

    fn scalars(&self, ty: &LogicalType) -> Result<Vector, Failure> {
        let rows = self.places.len();
        let escaped = (0..rows).any(|row| {
            self.get(row).is_some_and(|text| text.starts_with('"') && text.contains('\\'))
        });
        let mut spans = Vec::with_capacity(rows);
        let mut arena = String::new();
        for row in 0..rows {
            let Some(text) = self.get(row) else {
                spans.push(Span::NULL);
                continue;
            };
            let string = text.starts_with('"');
            if escaped {
                let start = arena.len();
                match string {
                    true => arena.push_str(&unescaped(text)),
                    false => arena.push_str(text),
                }
                spans.push(Span::new(start, arena.len(), false));
            } else {
                let (start, end) = self.places[row];
                let (start, end) = (start as usize, end as usize);
                let quote = usize::from(string);
                spans.push(Span::new(start + quote, end - quote, false));
            }
        }
        let dialect = Dialect::plain();
        let text = if escaped { arena.as_str() } else { self.text };
        let fields = Fields { text, spans: &spans, dialect: &dialect, nulls: &Nulls::NONE };
        texts::convert(&fields, ty, self.formats)
    }

    fn child(&self, places: &[Place], field: &FieldRef) -> Result<ArrayRef, Failure> {
        let ty = LogicalType::from_arrow(field.data_type())?;
        let values = Values { places, ..*self };
        Ok(values.convert(&ty)?.flatten()?)
    }

    fn lists(&self, item: &FieldRef) -> Result<ArrayRef, Failure> {
        let (mut places, mut offsets, mut valid) = (Vec::new(), vec![0_i32], Vec::new());
        for row in 0..self.places.len() {
            let text = self.get(row);
            valid.push(text.is_some());
            if let Some(text) = text {
                if !text.starts_with('[') {
                    return Err(Failure::Row(row, None));
                }
                let base = self.places[row].0;
                // Buffers are far smaller than 2^31 bytes.
                items(text.as_bytes(), 0, |(start, end)| {
                    places.push((base + start as u32, base + end as u32));
                });
            }
            offsets.push(i32::try_from(places.len()).map_err(|_| mistyped())?);
        }
        let values = self.child(&places, item).map_err(|failure| parent(failure, &offsets))?;
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        let nulls = nulls_of(valid);
        Ok(Arc::new(ListArray::try_new(Arc::clone(item), offsets, values, nulls)?))
    }

    fn structs(
        &self,
        fields: &[&FieldRef],
    ) -> Result<(Vec<ArrayRef>, Option<NullBuffer>), Failure> {
        let rows = self.places.len();
        let mut places = vec![vec![(0, 0); rows]; fields.len()];
        let mut valid = Vec::with_capacity(rows);
        for (row, &(base, _)) in self.places.iter().enumerate() {
            let text = self.get(row);
            valid.push(text.is_some());
            let Some(text) = text else { continue };
            if !text.starts_with('{') {
                return Err(Failure::Row(row, None));
            }
            let mut wrong = None;
            members(text.as_bytes(), 0, |key, value| {
                let name = unescaped(&text[key.0..key.1]);
                match fields.iter().position(|field| *field.name() == name) {
                    Some(field) if places[field][row] != (0, 0) => {
                        wrong = Some(format!("the key \"{name}\" stands twice in an object"));
                    }
                    Some(field) => {
                        places[field][row] = (base + value.0 as u32, base + value.1 as u32);
                    }
                    None if self.strict => wrong = wrong.take().or(Some(unknown_key(&name))),
                    None => {}
                }
            });
            if wrong.is_some() {
                return Err(Failure::Row(row, wrong));
            }
        }
        let arrays = fields.iter().zip(&places).map(|(field, places)| self.child(places, field));
        Ok((arrays.collect::<Result<_, _>>()?, nulls_of(valid)))
    }

    fn maps(&self, entries: &FieldRef, sorted: bool) -> Result<ArrayRef, Failure> {
        let DataType::Struct(fields) = entries.data_type() else { return Err(mistyped()) };
        let (mut keys, mut values, mut offsets, mut valid) =
            (Vec::new(), Vec::new(), vec![0_i32], Vec::new());
        for row in 0..self.places.len() {
            let text = self.get(row);
            valid.push(text.is_some());
            if let Some(text) = text {
                if !text.starts_with('{') {
                    return Err(Failure::Row(row, None));
                }
                let base = self.places[row].0;
                members(text.as_bytes(), 0, |key, value| {
                    keys.push((base + key.0 as u32, base + key.1 as u32));
                    values.push((base + value.0 as u32, base + value.1 as u32));
                });
            }
            offsets.push(i32::try_from(keys.len()).map_err(|_| mistyped())?);
        }
        let child = |places: &[Place], field: &FieldRef| {
            self.child(places, field).map_err(|failure| parent(failure, &offsets))
        };
        let [key, value] = &fields[..] else { return Err(mistyped()) };
        let arrays = vec![child(&keys, key)?, child(&values, value)?];
        let inner = StructArray::try_new(fields.clone(), arrays, None)?;
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        let (entries, nulls) = (Arc::clone(entries), nulls_of(valid));
        Ok(Arc::new(MapArray::try_new(entries, offsets, inner, nulls, sorted)?))
    }
}

/// What is said of a key that no column has.
pub(crate) fn unknown_key(key: &str) -> String {
    format!(
        "the key \"{key}\" was in none of the values that the columns were taken from (a larger sample_size finds it, the \
         option columns says which keys are read)"
    )
}

/// The failure of the row whose list or map an item is in.
fn parent(failure: Failure, offsets: &[i32]) -> Failure {
    match failure {
        Failure::Row(item, message) => {
            let row = offsets.partition_point(|&offset| offset as usize <= item) - 1;
            Failure::Row(row, message)
        }
        other => other,
    }
}

fn nulls_of(valid: Vec<bool>) -> Option<NullBuffer> {
    valid.contains(&false).then(|| NullBuffer::from(valid))
}

fn mistyped() -> Failure {
    Failure::Other(StorageError::Internal("a JSON column of another layout".into()))
}
