//! The key columns of rows packed into one comparable key a row, and keys unpacked into columns again.
//!
//! Invariant: two rows' packed keys are equal exactly if the rows belong to one group: NULLs are equal, NaNs are equal,
//! -0.0 equals 0.0. The layout depends on types alone, so that keys from any vectors, encodings and sides of a join can
//! be compared. Next: `agg/`, `op/aggregate/`.

use std::{borrow::Cow, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, BinaryViewBuilder, StringViewBuilder},
    buffer::{BooleanBuffer, NullBuffer},
    datatypes::DataType,
};
use stoadb_storage::{LogicalType, Vector};

pub use super::keys::{ByteKeys, KeyWidth, Keys};

use super::{
    bits::{Bits, NestedRows, bits, from_bits, width},
    physical::{offset_value, with_offsets},
};
use crate::error::{EngineError, Result};

/// How a list of key columns is packed.
pub struct KeyLayout {
    columns: Vec<KeyColumn>,
    width: KeyWidth,
}

struct KeyColumn {
    ty: LogicalType,
    nullable: bool,
    /// Bits of the value; `None` for texts, blobs and nested values.
    bits: Option<u32>,
    /// Where the value starts in a word key; the NULL flag, if any, is the bit below it.
    shift: u32,
    nested: Option<NestedRows>,
}

impl KeyLayout {
    /// The layout for columns of the given types; the flag says whether NULLs occur. A column declared without NULLs
    /// must not have any in rows whose keys count (their keys are those of arbitrary values).
    ///
    /// # Errors
    /// `Unsupported` for nested types that cannot be compared.
    pub fn new(columns: &[(LogicalType, bool)]) -> Result<Self> {
        let mut shift = 0;
        let mut words = true;
        let mut layout = Vec::with_capacity(columns.len());
        for (ty, nullable) in columns {
            let nested = if ty.is_nested() { Some(NestedRows::new(ty)?) } else { None };
            let nullable = *nullable || *ty == LogicalType::Null;
            let bits = width(ty);
            shift += u32::from(nullable);
            layout.push(KeyColumn { ty: ty.clone(), nullable, bits, shift, nested });
            words &= bits.is_some();
            shift += bits.unwrap_or(0);
        }
        let width = match shift {
            0..=64 if words => KeyWidth::Narrow,
            65..=128 if words => KeyWidth::Wide,
            _ => KeyWidth::Bytes,
        };
        Ok(Self { columns: layout, width })
    }

    /// What the packed keys are.
    pub fn width(&self) -> KeyWidth {
        self.width
    }

    /// The keys of rows, replacing what `out` held (of any width).
    ///
    /// # Errors
    /// `Internal` when the columns are not those of the layout, or of different lengths.
    pub fn pack(&self, columns: &[Vector], rows: usize, out: &mut Keys) -> Result<()> {
        if columns.len() != self.columns.len() || columns.iter().any(|c| c.len() != rows) {
            return Err(EngineError::Internal("key columns that do not fit their layout".into()));
        }
        match (self.width, &mut *out) {
            (KeyWidth::Narrow, Keys::Narrow(keys)) => self.pack_narrow(columns, rows, keys),
            (KeyWidth::Wide, Keys::Wide(keys)) => self.pack_wide(columns, rows, keys),
            (KeyWidth::Bytes, Keys::Bytes(keys)) => self.pack_bytes(columns, rows, keys),
            (width, _) => {
                *out = Keys::new(width);
                self.pack(columns, rows, out)
            }
        }
    }

    fn pack_narrow(&self, columns: &[Vector], rows: usize, out: &mut Vec<u64>) -> Result<()> {
        out.clear();
        out.resize(rows, 0);
        for (column, vector) in self.columns.iter().zip(columns) {
            let (mask, nulls) = (low_bits(column.bits) as u64, column.nulls(vector));
            // A value that fills the word has shift 0 or, with a flag below, does not come here.
            let place = (mask, column.shift & 63, column.flag_shift());
            if let Vector::Narrow(narrow) = vector {
                let base = narrow.base;
                with_offsets!(narrow.offsets, offsets => {
                    let word = |&offset| base.wrapping_add(offset_value(offset)) as u64;
                    put_words(out, offsets.iter().map(word), nulls.as_ref(), place);
                });
                continue;
            }
            let Bits::Narrow(values) = bits(vector)? else { return Err(misfit(&column.ty)) };
            put_words(out, values.iter().copied(), nulls.as_ref(), place);
        }
        Ok(())
    }

    fn pack_wide(&self, columns: &[Vector], rows: usize, out: &mut Vec<u128>) -> Result<()> {
        out.clear();
        out.resize(rows, 0);
        for (column, vector) in self.columns.iter().zip(columns) {
            let mask = low_bits(column.bits);
            let nulls = column.nulls(vector);
            let shift = column.shift & 127;
            let put = |row: usize, key: &mut u128, value: u128| {
                let valid = nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
                *key |= if valid { (value & mask) << shift } else { 1 << column.flag_shift() };
            };
            match bits(vector)? {
                Bits::Narrow(values) => {
                    for (row, (key, &value)) in out.iter_mut().zip(values.iter()).enumerate() {
                        put(row, key, value.into());
                    }
                }
                Bits::Wide(values) => {
                    for (row, (key, &value)) in out.iter_mut().zip(&values).enumerate() {
                        put(row, key, value);
                    }
                }
            }
        }
        Ok(())
    }

    fn pack_bytes(&self, columns: &[Vector], rows: usize, out: &mut ByteKeys) -> Result<()> {
        let mut parts = Vec::with_capacity(columns.len());
        for (column, vector) in self.columns.iter().zip(columns) {
            parts.push((column.part(vector)?, column.nulls(vector)));
        }
        out.clear();
        for row in 0..rows {
            for ((part, nulls), column) in parts.iter().zip(&self.columns) {
                let null = nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
                if column.nullable {
                    out.bytes_mut().push(null.into());
                }
                if !null {
                    part.append(row, out.bytes_mut());
                }
            }
            out.end_key();
        }
        Ok(())
    }

    /// The key columns of packed keys, as flat vectors in the order of the layout.
    ///
    /// # Errors
    /// `Internal` when the keys are not of the layout.
    pub fn unpack(&self, keys: &Keys) -> Result<Vec<Vector>> {
        match keys {
            Keys::Narrow(keys) => self.unpack_words(keys.len(), |row| keys[row].into()),
            Keys::Wide(keys) => self.unpack_words(keys.len(), |row| keys[row]),
            Keys::Bytes(keys) => self.unpack_bytes(keys),
        }
    }

    fn unpack_words(&self, rows: usize, key: impl Fn(usize) -> u128) -> Result<Vec<Vector>> {
        let column = |column: &KeyColumn| {
            let mask = low_bits(column.bits);
            let value = |row: usize| key(row) >> (column.shift & 127) & mask;
            let nulls = column.nullable.then(|| {
                let valid = |row| key(row) >> column.flag_shift() & 1 == 0;
                NullBuffer::new(BooleanBuffer::collect_bool(rows, valid))
            });
            let nulls = nulls.filter(|nulls| nulls.null_count() > 0);
            Ok(Vector::Flat(from_bits(&column.ty, rows, value, nulls)?))
        };
        self.columns.iter().map(column).collect()
    }

    fn unpack_bytes(&self, keys: &ByteKeys) -> Result<Vec<Vector>> {
        let mut cursors: Vec<&[u8]> = (0..keys.len()).map(|row| keys.get(row)).collect();
        let mut vectors = Vec::with_capacity(self.columns.len());
        for column in &self.columns {
            vectors.push(Vector::Flat(column.read(&mut cursors)?));
        }
        Ok(vectors)
    }
}

/// Puts a column's words into keys at a place: the mask of its bits, where they start, and where its NULL flag is.
fn put_words(
    keys: &mut [u64],
    words: impl Iterator<Item = u64>,
    nulls: Option<&NullBuffer>,
    (mask, shift, flag): (u64, u32, u32),
) {
    match nulls {
        None => {
            for (key, word) in keys.iter_mut().zip(words) {
                *key |= (word & mask) << shift;
            }
        }
        Some(nulls) => {
            for ((key, word), valid) in keys.iter_mut().zip(words).zip(nulls) {
                let valid = u64::from(valid);
                *key |= (word & mask & valid.wrapping_neg()) << shift | (valid ^ 1) << flag;
            }
        }
    }
}

impl KeyColumn {
    fn flag_shift(&self) -> u32 {
        self.shift.saturating_sub(1)
    }

    /// The vector's NULLs as far as the layout has room for them.
    fn nulls(&self, vector: &Vector) -> Option<NullBuffer> {
        if !self.nullable {
            return None;
        }
        if self.ty == LogicalType::Null {
            return Some(NullBuffer::new_null(vector.len()));
        }
        vector.nulls().filter(|nulls| nulls.null_count() > 0)
    }

    fn part<'a>(&self, vector: &'a Vector) -> Result<Part<'a>> {
        if let Some(bits_wide) = self.bits {
            return Ok(Part::Fixed(bits(vector)?, bits_wide.div_ceil(8) as usize));
        }
        if let Some(nested) = &self.nested {
            return Ok(Part::Nested(nested.encode(&vector.flatten()?)?));
        }
        Ok(match vector {
            Vector::Flat(array) => Part::Text(Cow::Borrowed(array), None),
            Vector::Constant { value, rows } => {
                Part::Text(Cow::Borrowed(value.array()), Some(vec![0; *rows].into()))
            }
            Vector::Dictionary(dictionary) => Part::Text(
                Cow::Borrowed(dictionary.dictionary.values()),
                Some(dictionary.codes_u32()),
            ),
            Vector::Narrow(_) => return Err(misfit(&self.ty)),
        })
    }

    /// Reads the column's value from the front of each key.
    fn read(&self, cursors: &mut [&[u8]]) -> Result<ArrayRef> {
        let short = || EngineError::Internal("a packed key ends early".into());
        let mut valid = vec![true; cursors.len()];
        if self.nullable {
            for (cursor, valid) in cursors.iter_mut().zip(&mut valid) {
                let (&flag, rest) = cursor.split_first().ok_or_else(short)?;
                *valid = flag == 0;
                *cursor = rest;
            }
        }
        let nulls = NullBuffer::from(valid.clone());
        if let Some(bits) = self.bits {
            let width = bits.div_ceil(8) as usize;
            let mut values = vec![0_u128; cursors.len()];
            for (row, cursor) in cursors.iter_mut().enumerate().filter(|(row, _)| valid[*row]) {
                let (bytes, rest) = cursor.split_at_checked(width).ok_or_else(short)?;
                let mut word = [0; 16];
                word[..width].copy_from_slice(bytes);
                values[row] = u128::from_le_bytes(word);
                *cursor = rest;
            }
            let nulls = Some(nulls).filter(|nulls| nulls.null_count() > 0);
            return from_bits(&self.ty, values.len(), |row| values[row], nulls);
        }
        let mut values: Vec<Option<&[u8]>> = vec![None; cursors.len()];
        for (row, cursor) in cursors.iter_mut().enumerate().filter(|(row, _)| valid[*row]) {
            let (length, rest) = cursor.split_first_chunk::<4>().ok_or_else(short)?;
            let length = u32::from_le_bytes(*length) as usize;
            let (bytes, rest) = rest.split_at_checked(length).ok_or_else(short)?;
            values[row] = Some(bytes);
            *cursor = rest;
        }
        self.variable(&values)
    }

    fn variable(&self, values: &[Option<&[u8]>]) -> Result<ArrayRef> {
        if let Some(nested) = &self.nested {
            let null = nested.encode(&arrow::array::new_null_array(&self.ty.to_arrow(), 1))?;
            return nested.decode(values.iter().map(|v| v.unwrap_or_else(|| null.row(0).data())));
        }
        if self.ty == LogicalType::Blob {
            let mut builder = BinaryViewBuilder::with_capacity(values.len());
            for &value in values {
                builder.append_option(value);
            }
            return Ok(Arc::new(builder.finish()));
        }
        let mut builder = StringViewBuilder::with_capacity(values.len());
        for value in values {
            let text = value.map(std::str::from_utf8).transpose();
            builder.append_option(text.map_err(|error| EngineError::Internal(error.to_string()))?);
        }
        Ok(Arc::new(builder.finish()))
    }
}

/// A column on its way into byte keys.
enum Part<'a> {
    Fixed(Bits, usize),
    Text(Cow<'a, ArrayRef>, Option<arrow::buffer::ScalarBuffer<u32>>),
    Nested(arrow::row::Rows),
}

impl Part<'_> {
    #[inline]
    fn append(&self, row: usize, out: &mut Vec<u8>) {
        match self {
            Self::Fixed(Bits::Narrow(values), width) => {
                out.extend_from_slice(&values[row].to_le_bytes()[..*width]);
            }
            Self::Fixed(Bits::Wide(values), width) => {
                out.extend_from_slice(&values[row].to_le_bytes()[..*width]);
            }
            Self::Text(values, codes) => {
                let row = codes.as_ref().map_or(row, |codes| codes[row] as usize);
                // Only a NULL in a column declared without NULLs can point past the end.
                let bytes = match values.data_type() {
                    _ if row >= values.len() => &[],
                    DataType::Utf8View => values.as_string_view().value(row).as_bytes(),
                    _ => values.as_binary_view().value(row),
                };
                append_bytes(bytes, out);
            }
            Self::Nested(rows) => append_bytes(rows.row(row).data(), out),
        }
    }
}

#[inline]
fn append_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    // Arrow's views and rows hold values of less than 2^32 bytes.
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

fn low_bits(bits: Option<u32>) -> u128 {
    match bits.unwrap_or(0) {
        0 => 0,
        bits => u128::MAX >> (128 - bits),
    }
}

fn misfit(ty: &LogicalType) -> EngineError {
    EngineError::Internal(format!("a key column is not of its type {ty}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{
        hash::{hash_columns, hash_vector},
        testing::{Random, display, encodings, sample, types},
    };

    #[test]
    fn test_hash_of_equal_values_is_equal_in_every_encoding() {
        let mut random = Random::new(1);
        for ty in types() {
            let array = sample(&ty, &mut random, 200, 4);
            let mut by_value = std::collections::HashMap::new();
            for vector in encodings(&array, &mut random) {
                let mut hashes = Vec::new();
                hash_vector(&vector, &mut hashes).unwrap();
                assert_eq!(hashes.len(), vector.len());
                for (row, &hash) in hashes.iter().enumerate() {
                    let value = display(&vector, row);
                    assert_eq!(
                        *by_value.entry(value.clone()).or_insert(hash),
                        hash,
                        "{ty} {value}"
                    );
                }
            }
            let distinct: std::collections::HashSet<_> = by_value.values().collect();
            assert_eq!(distinct.len(), by_value.len(), "{ty}: values share a hash");
        }
    }

    #[test]
    fn test_pack_equality_is_group_equality() {
        let mut random = Random::new(2);
        let types = types();
        for round in 0..400 {
            let n = 1 + random.below(3) as usize;
            let picked: Vec<_> =
                (0..n).map(|_| types[random.below(types.len() as u64) as usize].clone()).collect();
            let picked = if round < types.len() { vec![types[round].clone()] } else { picked };
            let layout =
                KeyLayout::new(&picked.iter().map(|ty| (ty.clone(), true)).collect::<Vec<_>>())
                    .unwrap();
            let mut seen = std::collections::HashMap::new();
            for _ in 0..3 {
                let rows = 1 + random.below(60) as usize;
                let columns: Vec<_> = picked
                    .iter()
                    .map(|ty| {
                        let array = sample(ty, &mut random, rows, 3);
                        let mut encoded = encodings(&array, &mut random);
                        encoded.swap_remove(random.below(encoded.len() as u64) as usize)
                    })
                    .collect();
                let mut keys = Keys::new(KeyWidth::Narrow);
                layout.pack(&columns, rows, &mut keys).unwrap();
                let unpacked = layout.unpack(&keys).unwrap();
                let mut hashes = Vec::new();
                keys.hashes(&mut hashes);
                let mut other = Vec::new();
                hash_columns(&columns, rows, &mut other).unwrap();
                for row in 0..rows {
                    let text: Vec<_> = columns.iter().map(|c| display(c, row)).collect();
                    let back: Vec<_> = unpacked.iter().map(|c| display(c, row)).collect();
                    assert_eq!(text, back, "{picked:?}");
                    let key = match &keys {
                        Keys::Narrow(keys) => keys[row].to_le_bytes().to_vec(),
                        Keys::Wide(keys) => keys[row].to_le_bytes().to_vec(),
                        Keys::Bytes(keys) => keys.get(row).to_vec(),
                    };
                    let entry = (key, hashes[row], other[row]);
                    assert_eq!(*seen.entry(text).or_insert(entry.clone()), entry, "{picked:?}");
                }
            }
            let keys: std::collections::HashSet<_> = seen.values().map(|e| &e.0).collect();
            assert_eq!(keys.len(), seen.len(), "{picked:?}: different values share a key");
        }
    }

    #[test]
    fn test_pack_without_nulls_uses_narrow_words() {
        let width = |columns: &[_]| KeyLayout::new(columns).unwrap().width();
        assert_eq!(width(&[(LogicalType::Int64, false)]), KeyWidth::Narrow);
        assert_eq!(width(&[(LogicalType::Int64, true)]), KeyWidth::Wide);
        assert_eq!(width(&[(LogicalType::Int32, true)]), KeyWidth::Narrow);
        assert_eq!(width(&[(LogicalType::Interval, false)]), KeyWidth::Wide);
        assert_eq!(width(&[(LogicalType::Interval, true)]), KeyWidth::Bytes);
        assert_eq!(width(&[(LogicalType::Text, false)]), KeyWidth::Bytes);
        assert_eq!(width(&[]), KeyWidth::Narrow);
    }
}
