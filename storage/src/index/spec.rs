//! What an index is over, and how its key columns become one code.
//!
//! Invariants: codes of one index are of one form, and their order is the index's: column by column, each ascending or
//! descending, NULL after every value in both directions. Codes of composite keys are prefix-free column by column, so
//! that all entries that agree in the first columns are neighbours.
//! Forms: one column of up to 128 bits is a word (its NULLs stand at the end of the index, without a code), as are several
//! columns that fit 128 bits together with a bit each for NULL; one ascending text or blob is its own bytes; everything
//! else is a byte string: for every column a byte for NULL, then the value in big-endian order, texts with 0 escaped and
//! closed by two zeros; bits turned where descending.
//! Next: `range.rs`.

use arrow::array::{Array, ArrayRef, BinaryViewArray};

use super::{
    bytes::ByteList,
    code::{self, Codes, code_bits, mask, misfit},
};
use crate::{
    error::{Result, StorageError},
    scalar::Scalar,
    types::LogicalType,
    vector::Vector,
};

/// One column of the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyColumn {
    /// The type of its values: any but lists, structs and maps.
    pub ty: LogicalType,
    /// Whether greater values come first. NULLs come last in any case.
    pub descending: bool,
}

impl KeyColumn {
    /// An ascending column.
    pub fn new(ty: LogicalType) -> Self {
        Self { ty, descending: false }
    }
}

/// A column that is stored beside the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncludeColumn {
    /// The type of its values: any but intervals, lists, structs and maps.
    pub ty: LogicalType,
    /// Whether the index answers quantiles of it.
    pub quantiles: bool,
}

impl IncludeColumn {
    /// A column without quantiles.
    pub fn new(ty: LogicalType) -> Self {
        Self { ty, quantiles: false }
    }
}

/// What an index is over. Plain data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexSpec {
    /// The columns of the key, at least one.
    pub keys: Vec<KeyColumn>,
    /// The columns stored beside it.
    pub includes: Vec<IncludeColumn>,
}

/// What the codes of an index are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// One column as a word of up to 64 or of 128 bits.
    One { wide: bool },
    /// Several columns in one word of so many bits.
    Packed { bits: u32 },
    /// One text or blob as it is.
    Raw,
    /// A byte string of all columns.
    Encoded,
}

/// Before the value of a column in a byte string.
pub(super) const VALUE: u8 = 1;
/// In its place.
pub(super) const NULL: u8 = 2;

/// The codes of a batch of keys, NULLs of a single column at the end left out.
#[derive(Debug)]
pub(super) enum KeyCodes {
    Narrow(Vec<u64>),
    Wide(Vec<u128>),
    Raw(BinaryViewArray),
    Encoded(ByteList),
}

impl IndexSpec {
    /// An index of one ascending key column.
    pub fn of(ty: LogicalType) -> Self {
        Self { keys: vec![KeyColumn::new(ty)], includes: vec![] }
    }

    /// That the index can be made.
    ///
    /// # Errors
    /// `Unsupported`, naming the type that a key or an included column cannot have; `Internal` without a key.
    pub fn check(&self) -> Result<()> {
        self.form()?;
        for column in &self.includes {
            if !column.ty.is_float()
                && !code::is_whole(&column.ty)
                && code_bits(&column.ty)?.is_some()
            {
                let message = format!("an included column of type {}", column.ty);
                return Err(StorageError::Unsupported(message));
            }
        }
        Ok(())
    }

    pub(super) fn form(&self) -> Result<Form> {
        let bits = self.keys.iter().map(|key| code_bits(&key.ty)).collect::<Result<Vec<_>>>()?;
        match (bits.as_slice(), self.keys.as_slice()) {
            ([], _) => Err(StorageError::Internal("an index without a key".into())),
            ([Some(bits)], _) => Ok(Form::One { wide: *bits > 64 }),
            ([None], [key]) if !key.descending => Ok(Form::Raw),
            _ => {
                let packed: Option<u32> = bits.iter().map(|bits| bits.map(|b| b + 1)).sum();
                Ok(match packed {
                    Some(bits @ ..=128) => Form::Packed { bits },
                    _ => Form::Encoded,
                })
            }
        }
    }

    /// The codes of rows of the key columns, and for a single column which rows are not NULL.
    pub(super) fn codes(&self, columns: &[Vector]) -> Result<(KeyCodes, Option<Vec<bool>>)> {
        if columns.len() != self.keys.len() {
            return Err(misfit());
        }
        let arrays = columns.iter().map(Vector::flatten).collect::<Result<Vec<_>>>()?;
        let form = self.form()?;
        match (form, arrays.as_slice(), self.keys.as_slice()) {
            (Form::One { .. } | Form::Raw, [array], [key]) => {
                let valid = array
                    .logical_nulls()
                    .filter(|nulls| nulls.null_count() > 0)
                    .map(|nulls| nulls.iter().collect());
                let bits = code_bits(&key.ty)?.unwrap_or(0);
                let codes = match code::codes(array, &key.ty)? {
                    Codes::Narrow(mut codes) => {
                        if key.descending {
                            let mask = mask(bits) as u64;
                            codes.iter_mut().for_each(|code| *code = !*code & mask);
                        }
                        KeyCodes::Narrow(codes)
                    }
                    Codes::Wide(mut codes) => {
                        if key.descending {
                            codes.iter_mut().for_each(|code| *code = !*code);
                        }
                        KeyCodes::Wide(codes)
                    }
                    Codes::Bytes(bytes) => KeyCodes::Raw(bytes),
                };
                Ok((codes, valid))
            }
            (Form::Packed { bits }, ..) => Ok((self.packed(&arrays, bits)?, None)),
            _ => Ok((KeyCodes::Encoded(self.encoded(&arrays)?), None)),
        }
    }

    fn packed(&self, arrays: &[ArrayRef], bits: u32) -> Result<KeyCodes> {
        let rows = arrays.first().map_or(0, |array| array.len());
        let mut words = vec![0_u128; rows];
        for (array, key) in arrays.iter().zip(&self.keys) {
            let nulls = array.logical_nulls();
            let bits = code_bits(&key.ty)?.ok_or_else(misfit)?;
            let flip = if key.descending { mask(bits) } else { 0 };
            let mut push = |row: usize, code: u128| {
                let null = nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
                let code = if null { 1 << bits } else { code ^ flip };
                words[row] = words[row] << 1 << bits | code;
            };
            match code::codes(array, &key.ty)? {
                Codes::Narrow(codes) => {
                    codes.iter().enumerate().for_each(|(row, &code)| push(row, code.into()));
                }
                Codes::Wide(codes) => {
                    codes.iter().enumerate().for_each(|(row, &code)| push(row, code));
                }
                Codes::Bytes(_) => return Err(misfit()),
            }
        }
        Ok(match bits {
            ..=64 => KeyCodes::Narrow(words.into_iter().map(|word| word as u64).collect()),
            _ => KeyCodes::Wide(words),
        })
    }

    fn encoded(&self, arrays: &[ArrayRef]) -> Result<ByteList> {
        let rows = arrays.first().map_or(0, |array| array.len());
        let mut columns = vec![];
        for (array, key) in arrays.iter().zip(&self.keys) {
            let codes = code::codes(array, &key.ty)?;
            columns.push((codes, array.logical_nulls(), key, code_bits(&key.ty)?.unwrap_or(0)));
        }
        let (mut list, mut bytes) = (ByteList::default(), Vec::new());
        for row in 0..rows {
            bytes.clear();
            for (codes, nulls, key, bits) in &columns {
                if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
                    bytes.push(NULL);
                    continue;
                }
                match codes {
                    Codes::Narrow(codes) => push_code(&mut bytes, key, *bits, codes[row].into()),
                    Codes::Wide(codes) => push_code(&mut bytes, key, *bits, codes[row]),
                    Codes::Bytes(texts) => push_text(&mut bytes, key, texts.value(row), true),
                }
            }
            list.push(&bytes);
        }
        Ok(list)
    }

    /// The values of a word's columns.
    pub(super) fn decode_word(&self, form: Form, word: u128) -> Result<Vec<Scalar>> {
        if let Form::One { .. } = form {
            let key = &self.keys[0];
            let bits = code_bits(&key.ty)?.ok_or_else(misfit)?;
            let code = if key.descending { word ^ mask(bits) } else { word };
            return Ok(vec![code::decode(&key.ty, code)?]);
        }
        let (mut word, mut values) = (word, vec![]);
        for key in self.keys.iter().rev() {
            let bits = code_bits(&key.ty)?.ok_or_else(misfit)?;
            let flip = if key.descending { mask(bits) } else { 0 };
            values.push(match word >> bits & 1 {
                1 => Scalar::null(key.ty.clone()),
                _ => code::decode(&key.ty, (word & mask(bits)) ^ flip)?,
            });
            word = word.checked_shr(bits + 1).unwrap_or(0);
        }
        values.reverse();
        Ok(values)
    }

    /// The values of a byte string's columns.
    pub(super) fn decode_bytes(&self, form: Form, mut bytes: &[u8]) -> Result<Vec<Scalar>> {
        if form == Form::Raw {
            return Ok(vec![code::bytes_scalar(&self.keys[0].ty, bytes)?]);
        }
        let mut values = vec![];
        for key in &self.keys {
            let (&tag, rest) = bytes.split_first().ok_or_else(misfit)?;
            bytes = rest;
            let flip = if key.descending { u8::MAX } else { 0 };
            values.push(match code_bits(&key.ty)? {
                _ if tag == NULL => Scalar::null(key.ty.clone()),
                Some(bits) => {
                    let (head, rest) = bytes.split_at_checked(width(bits)).ok_or_else(misfit)?;
                    bytes = rest;
                    let join = |code, &byte: &u8| code << 8 | u128::from(byte ^ flip);
                    code::decode(&key.ty, head.iter().fold(0, join) & mask(bits))?
                }
                None => {
                    let (text, rest) = unescape(bytes, flip)?;
                    bytes = rest;
                    code::bytes_scalar(&key.ty, &text)?
                }
            });
        }
        Ok(values)
    }
}

/// Bytes of a code in a byte string.
pub(super) fn width(bits: u32) -> usize {
    bits.div_ceil(8) as usize
}

/// Appends a column of fixed width to a byte string.
pub(super) fn push_code(bytes: &mut Vec<u8>, key: &KeyColumn, bits: u32, code: u128) {
    let flip = if key.descending { u128::MAX } else { 0 };
    bytes.push(VALUE);
    bytes.extend_from_slice(&(code ^ flip).to_be_bytes()[16 - width(bits)..]);
}

/// Appends a text to a byte string; one that is not closed is the beginning of others.
pub(super) fn push_text(bytes: &mut Vec<u8>, key: &KeyColumn, text: &[u8], close: bool) {
    let flip = if key.descending { u8::MAX } else { 0 };
    bytes.push(VALUE);
    for &byte in text {
        bytes.push(byte ^ flip);
        if byte == 0 {
            bytes.push(u8::MAX ^ flip);
        }
    }
    if close {
        bytes.extend([flip; 2]);
    }
}

pub(super) fn unescape(bytes: &[u8], flip: u8) -> Result<(Vec<u8>, &[u8])> {
    let mut text = vec![];
    let mut rest = bytes;
    loop {
        rest = match rest {
            [a, b, rest @ ..] if *a == flip && *b == flip => return Ok((text, rest)),
            [a, _, rest @ ..] if *a == flip => {
                text.push(0);
                rest
            }
            [byte, rest @ ..] => {
                text.push(byte ^ flip);
                rest
            }
            [] => return Err(misfit()),
        };
    }
}
