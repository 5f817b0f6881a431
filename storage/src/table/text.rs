//! Collects texts and blobs: as codes into a dictionary while that pays, as views otherwise.
//!
//! Invariants: the column owns its bytes; entries of a dictionary are distinct, not NULL, and stand in order of arrival;
//! the choice between the two depends on the values and on nothing else.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, AsArray, GenericByteViewArray, GenericByteViewBuilder, UInt8Array,
        UInt16Array, UInt32Array,
    },
    datatypes::{BinaryViewType, ByteViewType, StringViewType},
};
use hashbrown::HashTable;

use crate::{
    encoding::Encoding,
    error::{Result, StorageError},
    table::{
        fixed::{Validity, is_null_type},
        sketch::bytes as hash_bytes,
    },
    vector::{DictionaryValues, DictionaryVector, Vector},
};

/// Collects texts.
pub(crate) type TextBuilder = ViewBuilder<StringViewType>;
/// Collects blobs.
pub(crate) type BlobBuilder = ViewBuilder<BinaryViewType>;

/// Distinct values up to which a dictionary is kept whatever the number of rows.
const ENTRIES_AT_LEAST: usize = 1 << 15;
/// Above that, and when the segment is finished, a dictionary needs so many rows per entry.
const ROWS_PER_ENTRY: usize = 4;
/// Segments of fewer rows get no dictionary.
const DICTIONARY_ROWS: usize = 1024;
/// No code was given to this entry of another dictionary yet.
const UNKNOWN: u32 = u32::MAX;

/// Collects the values of a text or blob column.
pub(crate) struct ViewBuilder<T: ByteViewType> {
    rows: usize,
    values: Values<T>,
}

enum Values<T: ByteViewType> {
    /// While that pays.
    Dictionary(Interner<T>),
    /// From then on.
    Views(GenericByteViewBuilder<T>),
}

impl<T: ByteViewType> Default for ViewBuilder<T> {
    fn default() -> Self {
        Self { rows: 0, values: Values::Dictionary(Interner::default()) }
    }
}

impl<T: ByteViewType> ViewBuilder<T> {
    /// Appends a vector's values.
    pub(crate) fn push(&mut self, vector: &Vector) -> Result<()> {
        self.rows += vector.len();
        match (&mut self.values, vector) {
            (values, _) if is_null_type(vector)? => match values {
                Values::Dictionary(interner) => interner.push_nulls(vector.len()),
                Values::Views(views) => (0..vector.len()).for_each(|_| views.append_null()),
            },
            (Values::Dictionary(interner), Vector::Dictionary(codes))
                if codes.dictionary.values().null_count() == 0 =>
            {
                interner.push_codes(codes)?;
            }
            (values, _) => {
                let array = vector.flatten()?;
                let array = views::<T>(&array)?;
                match values {
                    Values::Dictionary(interner) => interner.push_values(array)?,
                    Values::Views(views) => push_views(views, array)?,
                }
            }
        }
        let limit = ENTRIES_AT_LEAST.max(self.rows / ROWS_PER_ENTRY);
        if matches!(&self.values, Values::Dictionary(interner) if interner.len() > limit) {
            self.give_up()?;
        }
        Ok(())
    }

    /// Turns the codes so far into views.
    fn give_up(&mut self) -> Result<()> {
        if let Values::Dictionary(interner) = &mut self.values {
            self.values = Values::Views(std::mem::take(interner).into_views()?);
        }
        Ok(())
    }

    /// The column.
    pub(crate) fn finish(mut self) -> Result<Encoding> {
        let pays = |interner: &Interner<T>| {
            self.rows >= DICTIONARY_ROWS && interner.len() <= self.rows / ROWS_PER_ENTRY
        };
        if !matches!(&self.values, Values::Dictionary(interner) if pays(interner)) {
            self.give_up()?;
        }
        match self.values {
            Values::Dictionary(interner) => Ok(interner.finish()),
            Values::Views(mut views) => Ok(Encoding::View(Arc::new(views.finish()))),
        }
    }
}

fn views<T: ByteViewType>(array: &ArrayRef) -> Result<&GenericByteViewArray<T>> {
    array.as_byte_view_opt::<T>().ok_or_else(|| {
        StorageError::Internal(format!("a text or blob of Arrow type {}", array.data_type()))
    })
}

fn push_views<T: ByteViewType>(
    views: &mut GenericByteViewBuilder<T>,
    array: &GenericByteViewArray<T>,
) -> Result<()> {
    let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0);
    for row in 0..array.len() {
        if nulls.is_none_or(|nulls| nulls.is_valid(row)) {
            views.try_append_value(array.value(row))?;
        } else {
            views.append_null();
        }
    }
    Ok(())
}

/// Distinct values with their codes, and the codes of the rows so far.
struct Interner<T: ByteViewType> {
    entries: GenericByteViewBuilder<T>,
    /// Hash and code of each entry.
    table: HashTable<(u64, u32)>,
    /// The code of each row; 0 under NULL.
    codes: Vec<u32>,
    validity: Validity,
    /// The dictionary seen last, by its id, and the codes that its entries have here.
    translation: (u64, Vec<u32>),
}

impl<T: ByteViewType> Default for Interner<T> {
    fn default() -> Self {
        Self {
            entries: GenericByteViewBuilder::new(),
            table: HashTable::new(),
            codes: vec![],
            validity: Validity::default(),
            translation: (0, vec![]),
        }
    }
}

impl<T: ByteViewType> Interner<T> {
    fn len(&self) -> usize {
        self.table.len()
    }

    fn push_nulls(&mut self, rows: usize) {
        self.validity.push_nulls(rows);
        self.codes.resize(self.codes.len() + rows, 0);
    }

    fn push_values(&mut self, array: &GenericByteViewArray<T>) -> Result<()> {
        let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0);
        self.validity.push(nulls, array.len());
        self.codes.reserve(array.len());
        for row in 0..array.len() {
            let valid = nulls.is_none_or(|nulls| nulls.is_valid(row));
            let code = if valid { self.intern(array.value(row))? } else { 0 };
            self.codes.push(code);
        }
        Ok(())
    }

    fn push_codes(&mut self, vector: &DictionaryVector) -> Result<()> {
        let entries = views::<T>(vector.dictionary.values())?;
        let (id, mut known) = std::mem::take(&mut self.translation);
        if id != vector.dictionary.id() {
            known.clear();
            known.resize(entries.len(), UNKNOWN);
        }
        let nulls = vector.codes.nulls().filter(|nulls| nulls.null_count() > 0);
        self.validity.push(nulls, vector.codes.len());
        self.codes.reserve(vector.codes.len());
        for (row, &code) in vector.codes_u32().iter().enumerate() {
            if nulls.is_some_and(|nulls| nulls.is_null(row)) {
                self.codes.push(0);
                continue;
            }
            let code = code as usize;
            if known[code] == UNKNOWN {
                known[code] = self.intern(entries.value(code))?;
            }
            self.codes.push(known[code]);
        }
        self.translation = (vector.dictionary.id(), known);
        Ok(())
    }

    /// The code of a value, a new one if need be.
    fn intern(&mut self, value: &T::Native) -> Result<u32> {
        let bytes: &[u8] = value.as_ref();
        let hash = hash_bytes(bytes);
        let same = |&(other, code): &(u64, u32)| {
            other == hash && self.entries.get_value(code as usize) == bytes
        };
        if let Some(&(_, code)) = self.table.find(hash, same) {
            return Ok(code);
        }
        #[expect(clippy::cast_possible_truncation, reason = "a segment has fewer than 2^32 rows")]
        let code = self.table.len() as u32;
        self.entries.try_append_value(value)?;
        self.table.insert_unique(hash, (hash, code), |&(hash, _)| hash);
        Ok(code)
    }

    fn into_views(mut self) -> Result<GenericByteViewBuilder<T>> {
        let entries = self.entries.finish();
        let nulls = self.validity.finish();
        let mut views = GenericByteViewBuilder::new();
        for (row, &code) in self.codes.iter().enumerate() {
            if nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)) {
                views.try_append_value(entries.value(code as usize))?;
            } else {
                views.append_null();
            }
        }
        Ok(views)
    }

    #[expect(clippy::cast_possible_truncation, reason = "codes are below the number of entries")]
    fn finish(mut self) -> Encoding {
        let entries = self.entries.finish();
        let (codes, nulls) = (self.codes, self.validity.finish());
        let codes: ArrayRef = match entries.len() {
            ..=0x100 => Arc::new(UInt8Array::new(codes.iter().map(|&c| c as u8).collect(), nulls)),
            0x101..=0x1_0000 => {
                Arc::new(UInt16Array::new(codes.iter().map(|&c| c as u16).collect(), nulls))
            }
            _ => Arc::new(UInt32Array::new(codes.into(), nulls)),
        };
        Encoding::Dictionary { codes, values: Arc::new(DictionaryValues::new(Arc::new(entries))) }
    }
}
