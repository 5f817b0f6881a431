//! The values of an included column on their way into a run.
//!
//! Invariant: a NULL is 0 or empty, and said to be NULL beside.
//! Next: `column.rs`, what becomes of them.

use arrow::array::Array;

use super::{
    bytes::ByteList,
    code::{self, misfit},
};
use crate::{error::Result, types::LogicalType, vector::Vector};

/// Values one after the other.
#[derive(Debug, Clone)]
pub(super) enum RawValues {
    /// Whole numbers of up to 64 bits.
    Narrow(Vec<i64>),
    /// UBIGINT and wider decimals.
    Wide(Vec<i128>),
    Float(Vec<f64>),
    Bytes(ByteList),
}

/// Values and which of them are not NULL.
#[derive(Debug, Clone)]
pub(super) struct Raw {
    pub(super) ty: LogicalType,
    pub(super) values: RawValues,
    pub(super) valid: Vec<bool>,
}

impl Raw {
    /// No values, with room for some.
    pub(super) fn new(ty: &LogicalType, room: usize) -> Self {
        let values = match ty {
            LogicalType::Text | LogicalType::Blob => RawValues::Bytes(ByteList::default()),
            LogicalType::UInt64 | LogicalType::Decimal { precision: 19.., .. } => {
                RawValues::Wide(Vec::with_capacity(room))
            }
            _ if ty.is_float() => RawValues::Float(Vec::with_capacity(room)),
            _ => RawValues::Narrow(Vec::with_capacity(room)),
        };
        Self { ty: ty.clone(), values, valid: Vec::with_capacity(room) }
    }

    pub(super) fn len(&self) -> usize {
        self.valid.len()
    }

    /// Appends the values of a vector.
    ///
    /// # Errors
    /// `Internal` when it is of another type.
    pub(super) fn push(&mut self, vector: &Vector) -> Result<()> {
        let array = vector.flatten()?;
        if *array.data_type() != self.ty.to_arrow() {
            return Err(misfit());
        }
        let start = self.len();
        match array.logical_nulls().filter(|nulls| nulls.null_count() > 0) {
            None => self.valid.resize(start + array.len(), true),
            Some(nulls) => self.valid.extend(nulls.iter()),
        }
        let valid = &self.valid[start..];
        fn clean<T: Default + Copy>(valid: &[bool], values: Vec<T>) -> impl Iterator<Item = T> {
            values
                .into_iter()
                .zip(valid)
                .map(|(value, &valid)| if valid { value } else { T::default() })
        }
        match &mut self.values {
            RawValues::Narrow(all) => all.extend(clean(valid, code::integers(&array)?)),
            RawValues::Wide(all) => all.extend(clean(valid, code::wide_integers(&array)?)),
            RawValues::Float(all) => all.extend(clean(valid, code::doubles(&array)?)),
            RawValues::Bytes(all) => {
                let texts = code::byte_strings(&array)?;
                for (row, &valid) in valid.iter().enumerate() {
                    all.push(if valid { texts.value(row) } else { &[] });
                }
            }
        }
        Ok(())
    }

    /// The values in another order.
    pub(super) fn gather(self, order: &[u32]) -> Self {
        fn pick<T: Copy>(values: &[T], order: &[u32]) -> Vec<T> {
            order.iter().map(|&at| values[at as usize]).collect()
        }
        let values = match &self.values {
            RawValues::Narrow(values) => RawValues::Narrow(pick(values, order)),
            RawValues::Wide(values) => RawValues::Wide(pick(values, order)),
            RawValues::Float(values) => RawValues::Float(pick(values, order)),
            RawValues::Bytes(values) => {
                let mut sorted = ByteList::default();
                order.iter().for_each(|&at| sorted.push(values.get(at as usize)));
                RawValues::Bytes(sorted)
            }
        };
        let valid = pick(&self.valid, order);
        Self { ty: self.ty, values, valid }
    }
}
