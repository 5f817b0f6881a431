//! Collects the values of columns of fixed width, and of those that are stored as Arrow puts them together.
//!
//! Invariant: what lies under a NULL means nothing, but narrow offsets and codes are 0 there.
//! Next: `encode.rs`, which encodes what was collected; `text.rs`.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, NullBufferBuilder, new_empty_array, new_null_array},
    buffer::{Buffer, NullBuffer, ScalarBuffer},
    compute,
    datatypes::{ArrowNativeType, Decimal128Type},
};

use crate::{
    encoding::Encoding,
    error::{Result, StorageError},
    narrow,
    scalar::Scalar,
    table::{
        choose::ENCODE_ROWS,
        encode,
        word::{Chunks, Word},
    },
    types::LogicalType,
    vector::Vector,
};

/// Rows of pieces that are put together at once, so that nothing else is kept alive for long.
pub(crate) const PIECE_ROWS: usize = 1 << 16;

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

    /// Appends the `rows` rows of another one.
    pub(crate) fn append(&mut self, other: Self, rows: usize) {
        self.push(other.finish().as_ref(), rows);
    }

    /// The bitmap; `None` when there is no NULL.
    pub(crate) fn finish(mut self) -> Option<NullBuffer> {
        self.0.finish().filter(|nulls| nulls.null_count() > 0)
    }
}

/// Whether a vector is of the bare NULL type.
pub(crate) fn is_null_type(vector: &Vector) -> Result<bool> {
    Ok(match vector {
        Vector::Narrow(_) => false,
        Vector::Flat(array) => array.data_type().is_null(),
        _ => vector.ty()? == LogicalType::Null,
    })
}

/// Values of one width, as bit patterns.
pub(crate) struct FixedBuilder<T> {
    values: Chunks<T>,
    validity: Validity,
}

impl<T> Default for FixedBuilder<T> {
    fn default() -> Self {
        Self { values: Chunks::default(), validity: Validity::default() }
    }
}

impl<T: Word> FixedBuilder<T> {
    /// Bytes held.
    pub(crate) fn bytes(&self) -> u64 {
        self.values.bytes()
    }

    /// Appends a vector's values.
    pub(crate) fn push(&mut self, vector: &Vector) -> Result<()> {
        if self.push_simple(vector)? {
            return Ok(());
        }
        match vector {
            Vector::Constant { value, rows } => {
                let word = words::<T>(value.array())?.first().copied().unwrap_or_default();
                self.values.extend_n(word, *rows);
                self.validity.push(None, *rows);
            }
            Vector::Dictionary(vector) if vector.dictionary.values().null_count() == 0 => {
                let entries = words::<T>(vector.dictionary.values())?;
                // Under a NULL the code may be one of no entry.
                let entry = |code: u32| entries.get(code as usize).copied().unwrap_or_default();
                self.values.extend_map(&vector.codes_u32(), entry);
                self.validity.push(vector.codes.nulls(), vector.codes.len());
            }
            _ => {
                let array = vector.flatten()?;
                self.values.extend_from_slice(&words::<T>(&array)?);
                self.validity.push(array.nulls(), array.len());
            }
        }
        Ok(())
    }

    /// Appends NULLs and narrow values; false when the vector is neither.
    fn push_simple(&mut self, vector: &Vector) -> Result<bool> {
        let null = matches!(vector, Vector::Constant { value, .. } if value.is_null());
        if null || is_null_type(vector)? {
            self.values.extend_n(T::default(), vector.len());
            self.validity.push_nulls(vector.len());
            return Ok(true);
        }
        let Vector::Narrow(narrow) = vector else { return Ok(false) };
        let push = |piece: &[T]| self.values.extend_from_slice(piece);
        narrow::for_each_piece(narrow.base, &narrow.offsets, push);
        self.validity.push(narrow.offsets.nulls(), vector.len());
        Ok(true)
    }

    /// Appends what another builder collected, without copying it.
    pub(crate) fn append(&mut self, other: Self) {
        let rows = other.values.len();
        self.values.append(other.values);
        self.validity.append(other.validity, rows);
    }

    /// The column.
    pub(crate) fn finish(self, ty: &LogicalType) -> Result<Encoding> {
        encode::encode(self.values, self.validity.finish(), ty)
    }
}

/// The bit patterns of a canonical array. A buffer of somebody else's may lie where a word of this width may not: it is
/// copied.
fn words<T: ArrowNativeType>(array: &ArrayRef) -> Result<ScalarBuffer<T>> {
    let data = array.to_data();
    let short =
        || StorageError::Internal(format!("a buffer of type {} is short", data.data_type()));
    if data.is_empty() {
        return Ok(ScalarBuffer::from(Vec::<T>::new()));
    }
    let buffer = data.buffers().first().ok_or_else(short)?;
    let width = size_of::<T>();
    let (start, bytes) = (data.offset() * width, data.len() * width);
    let values = buffer.as_slice().get(start..start + bytes).ok_or_else(short)?;
    Ok(match values.as_ptr().align_offset(align_of::<T>()) {
        0 => ScalarBuffer::new(buffer.clone(), data.offset(), data.len()),
        _ => ScalarBuffer::new(Buffer::from_slice_ref(values), 0, data.len()),
    })
}

/// Decimals of up to 18 digits as 64-bit integers.
#[derive(Default)]
pub(crate) struct NarrowBuilder(FixedBuilder<u64>);

impl NarrowBuilder {
    /// Bytes held.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.bytes()
    }

    /// Appends a vector's values.
    pub(crate) fn push(&mut self, vector: &Vector) -> Result<()> {
        if self.0.push_simple(vector)? {
            return Ok(());
        }
        let array = vector.flatten()?;
        let values = array.as_primitive::<Decimal128Type>();
        #[expect(clippy::cast_possible_truncation, reason = "looked for right below")]
        let narrow = |value: i128| value as i64;
        let lost = |value: &&i128| i128::from(narrow(**value)) != **value;
        if values.values().iter().any(|value| lost(&value))
            && let Some(value) = values.iter().flatten().find(|value| lost(&value))
        {
            return Err(StorageError::Value(format!(
                "the unscaled decimal {value} has over 18 digits"
            )));
        }
        self.0.values.extend_map(values.values(), |value| narrow(value).cast_unsigned());
        self.0.validity.push(values.nulls(), values.len());
        Ok(())
    }

    /// Appends what another builder collected, without copying it.
    pub(crate) fn append(&mut self, other: Self) {
        self.0.append(other.0);
    }

    /// The column.
    pub(crate) fn finish(self, ty: &LogicalType) -> Result<Encoding> {
        self.0.finish(ty)
    }
}

/// Arrays as they come, put together a piece at a time.
#[derive(Default)]
pub(crate) struct PieceBuilder {
    /// Pieces that own what they hold.
    pieces: Vec<ArrayRef>,
    /// Slices of whatever was handed in.
    pending: Vec<ArrayRef>,
    pending_rows: usize,
}

impl PieceBuilder {
    /// Bytes held.
    pub(crate) fn bytes(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.get_buffer_memory_size() as u64).sum()
    }

    /// Appends a vector's values.
    pub(crate) fn push(&mut self, vector: &Vector, ty: &LogicalType) -> Result<()> {
        let ty = ty.to_arrow();
        let array = vector.flatten()?;
        let array = match *array.data_type() == ty {
            true => array,
            false => new_null_array(&ty, array.len()),
        };
        self.pending_rows += array.len();
        self.pending.push(array);
        if self.pending_rows >= PIECE_ROWS { self.compact() } else { Ok(()) }
    }

    fn compact(&mut self) -> Result<()> {
        if self.pending_rows > 0 {
            self.pieces.push(concat(&std::mem::take(&mut self.pending))?);
        }
        self.pending.clear();
        self.pending_rows = 0;
        Ok(())
    }

    /// Appends what another builder collected.
    pub(crate) fn append(&mut self, mut other: Self) -> Result<()> {
        self.compact()?;
        other.compact()?;
        self.pieces.extend(other.pieces);
        Ok(())
    }

    /// The column.
    pub(crate) fn finish(mut self, ty: &LogicalType) -> Result<Encoding> {
        self.compact()?;
        if self.pieces.is_empty() {
            self.pieces.push(new_empty_array(&ty.to_arrow()));
        }
        let all = match self.pieces.as_slice() {
            [one] => Arc::clone(one),
            pieces => concat(pieces)?,
        };
        let rows = all.len();
        if rows < ENCODE_ROWS || *ty == LogicalType::Null {
            return Ok(Encoding::Plain(all));
        }
        if all.null_count() == rows {
            return Ok(Encoding::Constant(Scalar::null(ty.clone())));
        }
        match all.as_boolean_opt() {
            Some(values) => encode::encode_booleans(values),
            None => Ok(Encoding::Plain(all)),
        }
    }
}

/// All rows of some arrays of one type.
pub(crate) fn concat(pieces: &[ArrayRef]) -> Result<ArrayRef> {
    let pieces: Vec<&dyn Array> = pieces.iter().map(AsRef::as_ref).collect();
    Ok(compute::concat(&pieces)?)
}
