//! What entries hold, as arrays in the order of their rows: so that rows can be made of an index alone.
//!
//! Invariants: entries that are gone are left out; values are those of the rows, bit by bit, which is why floats and
//! intervals of the key are not given: equal ones differ there. Included columns give whatever they hold.
//! Next: `points.rs`, look-ups of many keys.

use std::{borrow::Cow, sync::Arc};

use arrow::{
    array::{
        ArrayRef, BinaryViewBuilder, BooleanArray, Decimal128Array, Float32Array, Float64Array,
        Int64Array, StringViewBuilder, UInt64Array,
    },
    buffer::NullBuffer,
};

use super::{
    code::{code_bits, decode_whole, mask, misfit},
    order::{MANY, SPARSE, ascending},
    range::{KeyRange, KeyRef},
    raw::{Raw, RawValues},
    spec::{Form, IndexSpec, NULL, unescape, width},
    version::Index,
};
use crate::{error::Result, narrow, types::LogicalType};

/// Where an entry is, in few bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    part: u32,
    at: u32,
}

/// One column of a key that is a byte string.
enum Field<'a> {
    Null,
    Code(u128),
    Bytes(Cow<'a, [u8]>),
}

impl Index {
    /// The entries of disjoint ranges in the order of their rows. `O(log n)` a range and part, and `O(m)` for m entries
    /// where rows lie close together, else `O(m log m)`.
    pub fn places_in(&self, ranges: &[KeyRange]) -> Vec<Place> {
        let (mut rows, mut places, mut gone) = (vec![], vec![], vec![]);
        for range in ranges {
            let view = self.view(range);
            for (number, (part, stretch)) in view.parts().enumerate() {
                if part.gone {
                    gone.extend(stretch.clone().map(|at| part.run.row(at)));
                    continue;
                }
                rows.extend(stretch.clone().map(|at| part.run.row(at)));
                let place = |at: usize| Place { part: number as u32, at: at as u32 };
                places.extend(stretch.clone().map(place));
            }
        }
        if !gone.is_empty() {
            let gone = ascending(gone);
            let is_live = |row: &u64| gone.binary_search(row).is_err();
            places = rows.iter().zip(places).filter(|(row, _)| is_live(row)).map(|e| e.1).collect();
            rows.retain(is_live);
        }
        in_row_order(&rows, places)
    }

    /// The rows of entries.
    pub fn rows_at<'a>(&'a self, places: &'a [Place]) -> impl Iterator<Item = u64> + 'a {
        places.iter().map(|place| self.parts[place.part as usize].run.row(place.at as usize))
    }

    /// The values of a key column of some entries. `O(1)` each for keys that are words, `O(log n)` for byte strings that
    /// repeat.
    ///
    /// # Errors
    /// `Internal` for a column that there is not or that `IndexSpec::gives_key` refuses.
    pub fn key_array(&self, places: &[Place], column: usize) -> Result<ArrayRef> {
        let spec = self.spec();
        let key = spec.keys.get(column).filter(|_| spec.gives_key(column)).ok_or_else(misfit)?;
        let form = spec.form()?;
        let mut raw = Raw::new(&key.ty, places.len());
        let bits = code_bits(&key.ty)?.unwrap_or(0);
        let flip = if key.descending { mask(bits) } else { 0 };
        let mut shift = 0;
        if let Form::Packed { .. } = form {
            for later in &spec.keys[column + 1..] {
                shift += code_bits(&later.ty)?.ok_or_else(misfit)? + 1;
            }
        }
        let word = |word: u128| match form {
            Form::One { .. } => Field::Code(word ^ flip),
            _ if word >> shift >> bits & 1 == 1 => Field::Null,
            _ => Field::Code((word >> shift & mask(bits)) ^ flip),
        };
        for place in places {
            let run = &self.parts[place.part as usize].run;
            let field = match run.key(place.at as usize) {
                KeyRef::Null => Field::Null,
                KeyRef::Narrow(narrow) => word(narrow.into()),
                KeyRef::Wide(wide) => word(wide),
                KeyRef::Bytes(bytes) if form == Form::Raw => Field::Bytes(bytes.into()),
                KeyRef::Bytes(bytes) => spec.field(bytes, column)?,
            };
            push(&mut raw, bits, field)?;
        }
        into_array(raw)
    }

    /// The values of an included column of some entries, as they were. `O(1)` each.
    ///
    /// # Errors
    /// `Internal` when there is no such column.
    pub fn included_array(&self, places: &[Place], column: usize) -> Result<ArrayRef> {
        let include = self.spec().includes.get(column).ok_or_else(misfit)?;
        let mut raw = Raw::new(&include.ty, places.len());
        for places in places.chunk_by(|a, b| a.part == b.part) {
            let column = self.parts[places[0].part as usize].run.columns.get(column);
            let positions = places.iter().map(|place| place.at as usize);
            column.ok_or_else(misfit)?.append_to(&mut raw, positions);
        }
        into_array(raw)
    }
}

impl IndexSpec {
    /// Whether a key column can be read back: not where values that SQL calls equal differ.
    pub fn gives_key(&self, column: usize) -> bool {
        let key = self.keys.get(column);
        key.is_some_and(|key| !key.ty.is_float() && key.ty != LogicalType::Interval)
    }

    /// A column of a byte string of all key columns.
    fn field<'a>(&self, mut bytes: &'a [u8], wanted: usize) -> Result<Field<'a>> {
        for (column, key) in self.keys.iter().enumerate().take(wanted + 1) {
            let (&tag, rest) = bytes.split_first().ok_or_else(misfit)?;
            bytes = rest;
            let flip = if key.descending { u8::MAX } else { 0 };
            let field = match code_bits(&key.ty)? {
                _ if tag == NULL => Field::Null,
                Some(bits) => {
                    let (head, rest) = bytes.split_at_checked(width(bits)).ok_or_else(misfit)?;
                    bytes = rest;
                    let join = |code, &byte: &u8| code << 8 | u128::from(byte ^ flip);
                    Field::Code(head.iter().fold(0, join) & mask(bits))
                }
                None => {
                    let (text, rest) = unescape(bytes, flip)?;
                    bytes = rest;
                    Field::Bytes(text.into())
                }
            };
            if column == wanted {
                return Ok(field);
            }
        }
        Err(misfit())
    }
}

/// Appends a value of a key column whose codes have so many bits.
fn push(raw: &mut Raw, bits: u32, field: Field<'_>) -> Result<()> {
    raw.valid.push(!matches!(field, Field::Null));
    match (&mut raw.values, field) {
        (RawValues::Narrow(all), Field::Code(code)) => {
            all.push(decode_whole(&raw.ty, bits, code) as i64);
        }
        (RawValues::Wide(all), Field::Code(code)) => all.push(decode_whole(&raw.ty, bits, code)),
        (RawValues::Bytes(all), Field::Bytes(bytes)) => all.push(&bytes),
        (RawValues::Narrow(all), Field::Null) => all.push(0),
        (RawValues::Wide(all), Field::Null) => all.push(0),
        (RawValues::Bytes(all), Field::Null) => all.push(&[]),
        _ => return Err(misfit()),
    }
    Ok(())
}

/// Values in the canonical layout of their type.
fn into_array(raw: Raw) -> Result<ArrayRef> {
    let Raw { ty, values, valid } = raw;
    let nulls = valid.contains(&false).then(|| NullBuffer::from(valid));
    let is_valid = |at: usize| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(at));
    Ok(match values {
        RawValues::Narrow(values) if ty == LogicalType::Boolean => {
            let bits = values.iter().map(|&value| value != 0).collect();
            Arc::new(BooleanArray::new(bits, nulls))
        }
        RawValues::Narrow(values) => {
            let values: ArrayRef = Arc::new(Int64Array::new(values.into(), nulls));
            narrow::flatten(&ty.to_arrow(), 0, &values)?
        }
        RawValues::Wide(values) if ty == LogicalType::UInt64 => {
            let values: Vec<u64> = values.into_iter().map(|value| value as u64).collect();
            Arc::new(UInt64Array::new(values.into(), nulls))
        }
        RawValues::Wide(values) => {
            let values = Decimal128Array::new(values.into(), nulls);
            Arc::new(values.with_data_type(ty.to_arrow()))
        }
        RawValues::Float(values) if ty == LogicalType::Float32 => {
            let values: Vec<f32> = values.into_iter().map(|value| value as f32).collect();
            Arc::new(Float32Array::new(values.into(), nulls))
        }
        RawValues::Float(values) => Arc::new(Float64Array::new(values.into(), nulls)),
        RawValues::Bytes(values) if ty == LogicalType::Text => {
            let mut texts = StringViewBuilder::with_capacity(values.len());
            for at in 0..values.len() {
                let text = std::str::from_utf8(values.get(at)).map_err(|_| misfit())?;
                texts.append_option(is_valid(at).then_some(text));
            }
            Arc::new(texts.finish())
        }
        RawValues::Bytes(values) => {
            let mut blobs = BinaryViewBuilder::with_capacity(values.len());
            for at in 0..values.len() {
                blobs.append_option(is_valid(at).then(|| values.get(at)));
            }
            Arc::new(blobs.finish())
        }
    })
}

/// Entries in the order of their rows, each of which is there once.
fn in_row_order(rows: &[u64], places: Vec<Place>) -> Vec<Place> {
    if rows.is_sorted() {
        return places;
    }
    let words = rows.iter().max().map_or(0, |last| last / 64 + 1);
    if rows.len() < MANY || words > SPARSE * rows.len() as u64 {
        let mut pairs: Vec<(u64, Place)> = rows.iter().copied().zip(places).collect();
        pairs.sort_unstable_by_key(|(row, _)| *row);
        return pairs.into_iter().map(|(_, place)| place).collect();
    }
    // An entry's place is the number of rows before its own.
    let mut bits = vec![0_u64; words as usize];
    for row in rows {
        bits[(row / 64) as usize] |= 1 << (row % 64);
    }
    let mut before = Vec::with_capacity(bits.len());
    let mut count = 0_u32;
    for word in &bits {
        before.push(count);
        count += word.count_ones();
    }
    let mut sorted = places.clone();
    for (row, place) in rows.iter().zip(places) {
        let word = (row / 64) as usize;
        let rank = before[word] + (bits[word] & ((1 << (row % 64)) - 1)).count_ones();
        sorted[rank as usize] = place;
    }
    sorted
}
