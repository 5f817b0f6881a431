//! Collects texts and blobs: as codes into a dictionary while that pays, as views otherwise.
//!
//! Invariants: the column owns its bytes; entries of a dictionary are distinct, not NULL, and stand in order of arrival;
//! the choice between the two depends on the values and on nothing else.
//! Next: `interner.rs`.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, GenericByteViewArray, new_null_array},
    datatypes::{BinaryViewType, ByteViewType, StringViewType},
};
use hashbrown::HashSet;

use crate::{
    encoding::Encoding,
    error::{Result, StorageError},
    ledger::array_bytes,
    table::{
        choose::ENCODE_ROWS,
        fixed::{PIECE_ROWS, concat, is_null_type},
        interner::Interner,
        sketch::bytes as hash_bytes,
    },
    vector::Vector,
};

/// Collects texts.
pub(crate) type TextBuilder = ViewBuilder<StringViewType>;
/// Collects blobs.
pub(crate) type BlobBuilder = ViewBuilder<BinaryViewType>;

/// Distinct values up to which a dictionary is kept whatever the number of rows.
const ENTRIES_AT_LEAST: usize = 1 << 15;
/// Above that, and when the segment is finished, a dictionary needs so many rows per entry,
const ROWS_PER_ENTRY: usize = 4;
/// or so many if its entries are too long on average to lie in their views: it takes about half of what views take then.
const ROWS_PER_LONG_ENTRY: usize = 2;
/// Longest text or blob, in bytes, that lies within its view.
const INLINE: usize = 12;
/// After so many plain values a dictionary is given up if three of four were new.
const FIRST_ROWS: usize = 4096;
/// How many rows are looked at to estimate the number of distinct values at the end.
const SAMPLE: usize = 1 << 14;

/// Collects the values of a text or blob column.
pub(crate) struct ViewBuilder<T: ByteViewType> {
    rows: usize,
    values: Values<T>,
    /// Plain values looked up so far.
    looked_up: usize,
}

enum Values<T: ByteViewType> {
    /// While that pays.
    Dictionary(Box<Interner<T>>),
    /// From then on.
    Views(Views),
}

impl<T: ByteViewType> Default for ViewBuilder<T> {
    fn default() -> Self {
        Self { rows: 0, values: Values::Dictionary(Box::default()), looked_up: 0 }
    }
}

impl<T: ByteViewType> ViewBuilder<T> {
    /// Bytes held.
    pub(crate) fn bytes(&self) -> u64 {
        match &self.values {
            Values::Dictionary(interner) => interner.bytes(),
            Values::Views(views) => views.bytes,
        }
    }

    /// Appends a vector's values.
    pub(crate) fn push(&mut self, vector: &Vector) -> Result<()> {
        self.rows += vector.len();
        let null = is_null_type(vector)?;
        match (&mut self.values, vector) {
            (Values::Dictionary(interner), _) if null => interner.push_nulls(vector.len()),
            (Values::Views(views), _) if null => {
                views.push::<T>(new_null_array(&T::DATA_TYPE, vector.len()))?;
            }
            (Values::Dictionary(interner), Vector::Dictionary(codes))
                if codes.dictionary.values().null_count() == 0 =>
            {
                interner.push_codes(codes)?;
            }
            (Values::Dictionary(interner), Vector::Constant { value, rows }) => {
                interner.push_constant(views::<T>(value.array())?, *rows)?;
            }
            (Values::Dictionary(interner), vector) => {
                interner.push_values(views::<T>(&vector.flatten()?)?)?;
                let before = self.looked_up;
                self.looked_up += vector.len();
                let first = before < FIRST_ROWS && self.looked_up >= FIRST_ROWS;
                if first && interner.len() > self.looked_up / 4 * 3 {
                    return self.give_up();
                }
            }
            (Values::Views(views), vector) => views.push::<T>(vector.flatten()?)?,
        }
        self.check()
    }

    /// Gives a dictionary up that got too large.
    fn check(&mut self) -> Result<()> {
        match &self.values {
            Values::Dictionary(interner) => match interner.len() {
                ..=ENTRIES_AT_LEAST => Ok(()),
                entries if entries <= most_entries(self.rows, interner.entry_length()) => Ok(()),
                _ => self.give_up(),
            },
            Values::Views(_) => Ok(()),
        }
    }

    /// Turns the codes so far into views.
    fn give_up(&mut self) -> Result<()> {
        if let Values::Dictionary(interner) = &mut self.values {
            let mut views = Views::default();
            views.keep(std::mem::take(interner).into_views()?);
            self.values = Values::Views(views);
        }
        Ok(())
    }

    /// Appends what another builder collected; long values are not copied.
    pub(crate) fn append(&mut self, mut other: Self) -> Result<()> {
        if self.rows == 0 {
            *self = other;
            return Ok(());
        }
        if matches!(self.values, Values::Views(_)) {
            other.give_up()?;
        }
        if matches!(other.values, Values::Views(_)) {
            self.give_up()?;
        }
        self.rows += other.rows;
        self.looked_up += other.looked_up;
        match (&mut self.values, other.values) {
            (Values::Dictionary(mine), Values::Dictionary(theirs)) => mine.append(*theirs)?,
            (Values::Views(mine), Values::Views(theirs)) => mine.append::<T>(theirs)?,
            _ => return Err(StorageError::Internal("texts in two layouts".into())),
        }
        self.check()
    }

    /// The column.
    pub(crate) fn finish(mut self) -> Result<Encoding> {
        if self.rows < ENCODE_ROWS {
            self.give_up()?;
        }
        if let Values::Views(views) = &mut self.values {
            views.compact::<T>()?;
            if self.rows >= ENCODE_ROWS
                && let Some(interner) = intern::<T>(&views.pieces, self.rows)?
            {
                self.values = Values::Dictionary(Box::new(interner));
            }
        }
        if matches!(&self.values, Values::Dictionary(i) if i.len() > most_entries(self.rows, i.entry_length()))
        {
            self.give_up()?;
        }
        match self.values {
            Values::Dictionary(interner) => interner.finish(),
            Values::Views(views) => Ok(Encoding::View(match views.pieces.as_slice() {
                [] => new_null_array(&T::DATA_TYPE, 0),
                [one] => Arc::clone(one),
                pieces => concat(pieces)?,
            })),
        }
    }
}

/// Entries of an average length that a dictionary of so many rows may have.
fn most_entries(rows: usize, length: usize) -> usize {
    rows / if length > INLINE { ROWS_PER_LONG_ENTRY } else { ROWS_PER_ENTRY }
}

/// Views of which most own what they point at.
#[derive(Default)]
struct Views {
    /// Arrays that own what they hold.
    pieces: Vec<ArrayRef>,
    /// Bytes of the pieces.
    bytes: u64,
    /// Slices of whatever was handed in.
    pending: Vec<ArrayRef>,
    pending_rows: usize,
}

impl Views {
    fn push<T: ByteViewType>(&mut self, array: ArrayRef) -> Result<()> {
        views::<T>(&array)?;
        self.pending_rows += array.len();
        self.pending.push(array);
        if self.pending_rows >= PIECE_ROWS { self.compact::<T>() } else { Ok(()) }
    }

    fn keep(&mut self, piece: ArrayRef) {
        if !piece.is_empty() {
            self.bytes += array_bytes(piece.as_ref());
            self.pieces.push(piece);
        }
    }

    /// Copies what is pending out of wherever it lies.
    fn compact<T: ByteViewType>(&mut self) -> Result<()> {
        if self.pending_rows > 0 {
            let all = concat(&std::mem::take(&mut self.pending))?;
            self.keep(Arc::new(views::<T>(&all)?.gc()));
        }
        self.pending.clear();
        self.pending_rows = 0;
        Ok(())
    }

    fn append<T: ByteViewType>(&mut self, mut other: Self) -> Result<()> {
        self.compact::<T>()?;
        other.compact::<T>()?;
        other.pieces.into_iter().for_each(|piece| self.keep(piece));
        Ok(())
    }
}

/// The values as a dictionary, if a sample says that there may be few enough distinct ones and there are.
fn intern<T: ByteViewType>(pieces: &[ArrayRef], rows: usize) -> Result<Option<Interner<T>>> {
    let step = rows / SAMPLE.min(rows / ROWS_PER_ENTRY).max(1);
    let (mut sampled, mut distinct, mut skip) = (0_usize, HashSet::new(), 0);
    let mut length = 0;
    for piece in pieces {
        let array = views::<T>(piece)?;
        for row in (skip..array.len()).step_by(step).filter(|&row| array.is_valid(row)) {
            sampled += 1;
            let value: &[u8] = array.value(row).as_ref();
            if distinct.insert(hash_bytes(value)) {
                length += value.len();
            }
        }
        let last = array.len().saturating_sub(skip);
        skip = skip.saturating_sub(array.len()) + (step - last % step) % step;
    }
    // Of D distinct values, a sample of s rows shows s * k * (1 - e^(-1/k)) where k is D / s: the start of the series.
    let most = most_entries(rows, length / distinct.len().max(1));
    let k = most as f64 / sampled.max(1) as f64;
    let share = (1.0 - 0.5 / k + 1.0 / (6.0 * k * k)).min(1.0);
    if distinct.len() as f64 > sampled as f64 * share {
        return Ok(None);
    }
    let mut interner = Interner::default();
    for piece in pieces {
        interner.push_values(views::<T>(piece)?)?;
        if interner.len() > most {
            return Ok(None);
        }
    }
    Ok(Some(interner))
}

/// The views of a canonical text or blob array.
pub(crate) fn views<T: ByteViewType>(array: &ArrayRef) -> Result<&GenericByteViewArray<T>> {
    array.as_byte_view_opt::<T>().ok_or_else(|| {
        StorageError::Internal(format!("a text or blob of Arrow type {}", array.data_type()))
    })
}
