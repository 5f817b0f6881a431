//! Collects the values of columns of fixed width, and of those that are stored as Arrow puts them together.
//!
//! Invariant: what lies under a NULL means nothing, but a narrowed decimal has 0 there.
//! Next: `text.rs`.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayData, ArrayRef, AsArray, Int64Array, NullBufferBuilder, make_array,
        new_empty_array, new_null_array,
    },
    buffer::{Buffer, NullBuffer},
    compute,
    datatypes::{ArrowNativeType, Decimal128Type},
};

use crate::{
    encoding::Encoding,
    error::{Result, StorageError},
    types::LogicalType,
    vector::Vector,
};

/// Validity of the rows collected so far.
pub(crate) struct Validity(NullBufferBuilder);

impl Default for Validity {
    fn default() -> Self {
        Self(NullBufferBuilder::new(0))
    }
}

impl Validity {
    /// Appends rows of which those of `nulls` are NULL.
    pub(crate) fn push(&mut self, nulls: Option<&NullBuffer>, rows: usize) {
        match nulls {
            Some(nulls) => self.0.append_buffer(nulls),
            None => self.0.append_n_non_nulls(rows),
        }
    }

    /// Appends NULLs.
    pub(crate) fn push_nulls(&mut self, rows: usize) {
        self.0.append_n_nulls(rows);
    }

    /// The bitmap; `None` when there is no NULL.
    pub(crate) fn finish(mut self) -> Option<NullBuffer> {
        self.0.finish().filter(|nulls| nulls.null_count() > 0)
    }
}

/// Whether a vector is of the bare NULL type.
pub(crate) fn is_null_type(vector: &Vector) -> Result<bool> {
    Ok(vector.ty()? == LogicalType::Null)
}

/// Values of one width, as bit patterns.
pub(crate) struct FixedBuilder<T> {
    values: Vec<T>,
    validity: Validity,
}

impl<T> Default for FixedBuilder<T> {
    fn default() -> Self {
        Self { values: vec![], validity: Validity::default() }
    }
}

impl<T: ArrowNativeType> FixedBuilder<T> {
    /// Appends a vector's values.
    pub(crate) fn push(&mut self, vector: &Vector) -> Result<()> {
        if is_null_type(vector)? {
            self.values.resize(self.values.len() + vector.len(), T::default());
            self.validity.push_nulls(vector.len());
            return Ok(());
        }
        let array = vector.flatten()?;
        let data = array.to_data();
        let values = data.buffers().first().map_or(&[][..], |buffer| buffer.typed_data::<T>());
        let (from, to) = (data.offset(), data.offset() + data.len());
        let values = values.get(from..to).ok_or_else(|| {
            StorageError::Internal(format!("a buffer of type {} is short", data.data_type()))
        })?;
        self.values.extend_from_slice(values);
        self.validity.push(array.nulls(), array.len());
        Ok(())
    }

    /// The column.
    pub(crate) fn finish(mut self, ty: &LogicalType) -> Result<Encoding> {
        self.values.shrink_to_fit();
        let data = ArrayData::builder(ty.to_arrow())
            .len(self.values.len())
            .add_buffer(Buffer::from_vec(self.values))
            .nulls(self.validity.finish())
            .build()?;
        Ok(Encoding::Plain(make_array(data)))
    }
}

/// Decimals of up to 18 digits as 64-bit integers.
#[derive(Default)]
pub(crate) struct NarrowBuilder {
    values: Vec<i64>,
    validity: Validity,
}

impl NarrowBuilder {
    /// Appends a vector's values.
    pub(crate) fn push(&mut self, vector: &Vector) -> Result<()> {
        if is_null_type(vector)? {
            self.values.resize(self.values.len() + vector.len(), 0);
            self.validity.push_nulls(vector.len());
            return Ok(());
        }
        if let Vector::Narrow(narrow) = vector {
            self.values.extend_from_slice(&narrow.values_i64());
            self.validity.push(narrow.offsets.nulls(), vector.len());
            return Ok(());
        }
        let array = vector.flatten()?;
        let values = array.as_primitive::<Decimal128Type>();
        match values.nulls().filter(|nulls| nulls.null_count() > 0) {
            None => {
                for &value in values.values() {
                    self.values.push(narrow(value)?);
                }
            }
            Some(_) => {
                for value in values {
                    self.values.push(value.map_or(Ok(0), narrow)?);
                }
            }
        }
        self.validity.push(values.nulls(), values.len());
        Ok(())
    }

    /// The column.
    pub(crate) fn finish(mut self) -> Result<Encoding> {
        self.values.shrink_to_fit();
        let offsets = Int64Array::new(self.values.into(), self.validity.finish());
        Ok(Encoding::Narrow { base: 0, offsets: Arc::new(offsets) })
    }
}

fn narrow(value: i128) -> Result<i64> {
    i64::try_from(value).map_err(|_| {
        StorageError::Value(format!("the unscaled decimal {value} has over 18 digits"))
    })
}

/// Arrays as they come, put together at the end.
#[derive(Default)]
pub(crate) struct PieceBuilder {
    pieces: Vec<ArrayRef>,
}

impl PieceBuilder {
    /// Appends a vector's values.
    pub(crate) fn push(&mut self, vector: &Vector) -> Result<()> {
        self.pieces.push(vector.flatten()?);
        Ok(())
    }

    /// The column.
    pub(crate) fn finish(self, ty: &LogicalType) -> Result<Encoding> {
        let ty = ty.to_arrow();
        let typed = |piece: ArrayRef| match *piece.data_type() == ty {
            true => piece,
            false => new_null_array(&ty, piece.len()),
        };
        let mut pieces: Vec<ArrayRef> = self.pieces.into_iter().map(typed).collect();
        pieces.retain(|piece| !piece.is_empty());
        if pieces.is_empty() {
            pieces.push(new_empty_array(&ty));
        }
        let pieces: Vec<&dyn Array> = pieces.iter().map(AsRef::as_ref).collect();
        Ok(Encoding::Plain(compute::concat(&pieces)?))
    }
}
