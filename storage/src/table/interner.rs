//! Distinct texts with their codes, and the codes of the rows so far.
//!
//! Invariants: entries are distinct, not NULL, and stand in order of arrival; the code of a NULL row is 0.
//! Next: `unify.rs`, which makes the codes of several segments agree.

use std::sync::Arc;

use crate::{
    encoding::Encoding,
    error::Result,
    scalar::Scalar,
    table::{
        choose::{RUN_ROWS, runs_pay},
        fixed::Validity,
        sketch::bytes as hash_bytes,
        slots::{NONE, Slots},
        text::views,
        word::Chunks,
    },
    vector::{DictionaryValues, DictionaryVector},
};
use arrow::{
    array::{
        Array, ArrayRef, GenericByteViewArray, GenericByteViewBuilder, UInt8Array, UInt16Array,
        UInt32Array,
    },
    buffer::NullBuffer,
    compute,
    datatypes::ByteViewType,
};

/// Bytes of a view, and of a slot of the table with its share of free ones.
const ENTRY_BYTES: usize = 32;

/// Collects values as codes.
pub(crate) struct Interner<T: ByteViewType> {
    entries: GenericByteViewBuilder<T>,
    /// Bytes of the entries and of the table.
    entry_bytes: usize,
    /// The entries' codes by their folded hashes.
    table: Slots,
    /// The code of each row; any below the number of entries, or 0, under NULL.
    codes: Chunks<u32>,
    validity: Validity,
    /// The dictionary seen last, by its id, and the codes that its entries have here.
    translation: (u64, Vec<u32>),
}

impl<T: ByteViewType> Default for Interner<T> {
    fn default() -> Self {
        Self {
            entries: GenericByteViewBuilder::new(),
            entry_bytes: 0,
            table: Slots::default(),
            codes: Chunks::default(),
            validity: Validity::default(),
            translation: (0, vec![]),
        }
    }
}

impl<T: ByteViewType> Interner<T> {
    /// How many entries.
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> u64 {
        self.codes.bytes() + self.entry_bytes as u64
    }

    /// Average bytes of an entry.
    pub(crate) fn entry_length(&self) -> usize {
        (self.entry_bytes / self.len().max(1)).saturating_sub(ENTRY_BYTES)
    }

    /// Appends NULLs.
    pub(crate) fn push_nulls(&mut self, rows: usize) {
        self.validity.push_nulls(rows);
        self.codes.extend_n(0, rows);
    }

    /// Appends the first value of an array several times.
    pub(crate) fn push_constant(
        &mut self,
        array: &GenericByteViewArray<T>,
        rows: usize,
    ) -> Result<()> {
        if rows == 0 {
            return Ok(());
        }
        if array.is_null(0) {
            self.push_nulls(rows);
            return Ok(());
        }
        let code = self.intern(array.value(0))?;
        self.codes.extend_n(code, rows);
        self.validity.push(None, rows);
        Ok(())
    }

    /// Appends values.
    pub(crate) fn push_values(&mut self, array: &GenericByteViewArray<T>) -> Result<()> {
        let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0);
        self.validity.push(nulls, array.len());
        let valid = |row: usize| nulls.is_none_or(|nulls| nulls.is_valid(row));
        let hash = |row| if valid(row) { folded(array.value(row).as_ref()) } else { 0 };
        let hashes: Vec<u32> = (0..array.len()).map(hash).collect();
        // All slots first, so that the processor waits for many of them at once.
        let mut codes: Vec<u32> = hashes.iter().map(|&hash| self.table.candidate(hash)).collect();
        for (row, code) in codes.iter_mut().enumerate() {
            if !valid(row) {
                *code = 0;
                continue;
            }
            let value = array.value(row);
            let bytes: &[u8] = value.as_ref();
            if *code == NONE || self.entries.get_value(*code as usize) != bytes {
                *code = self.intern_hashed(value, hashes[row])?;
            }
        }
        self.codes.extend_from_slice(&codes);
        Ok(())
    }

    /// Appends the codes of another dictionary, whose entries are not NULL, translated through a table.
    pub(crate) fn push_codes(&mut self, vector: &DictionaryVector) -> Result<()> {
        let entries = views::<T>(vector.dictionary.values())?;
        let (id, mut known) = std::mem::take(&mut self.translation);
        if id != vector.dictionary.id() {
            known.clear();
            known.resize(entries.len(), NONE);
        }
        let nulls = vector.codes.nulls().filter(|nulls| nulls.null_count() > 0);
        let codes = vector.codes_u32();
        let unknown = |known: &[u32], code: u32| known.get(code as usize) == Some(&NONE);
        if codes.iter().any(|&code| unknown(&known, code)) {
            for (row, &code) in codes.iter().enumerate() {
                if unknown(&known, code) && nulls.is_none_or(|nulls| nulls.is_valid(row)) {
                    known[code as usize] = self.intern(entries.value(code as usize))?;
                }
            }
        }
        // Under a NULL the code may be one of no entry.
        let translate = |code: u32| match known.get(code as usize) {
            Some(&known) if known != NONE => known,
            _ => 0,
        };
        self.codes.extend_map(&codes, translate);
        self.validity.push(nulls, codes.len());
        self.translation = (vector.dictionary.id(), known);
        Ok(())
    }

    /// Appends what another one collected.
    pub(crate) fn append(&mut self, mut other: Self) -> Result<()> {
        let entries = other.entries.finish();
        self.table.reserve(entries.len());
        let entry = |(entry, hash)| self.intern_hashed(entries.value(entry), hash);
        let hashes = other.table.hashes().into_iter().enumerate();
        let codes = hashes.map(entry).collect::<Result<Vec<u32>>>()?;
        for chunk in other.codes.iter_mut() {
            for code in chunk {
                *code = codes.get(*code as usize).copied().unwrap_or(0);
            }
        }
        self.validity.append(other.validity, other.codes.len());
        self.codes.append(other.codes);
        Ok(())
    }

    /// The code of a value, a new one if need be.
    fn intern(&mut self, value: &T::Native) -> Result<u32> {
        self.intern_hashed(value, folded(value.as_ref()))
    }

    /// The code of a value whose folded hash is known.
    fn intern_hashed(&mut self, value: &T::Native, hash: u32) -> Result<u32> {
        let bytes: &[u8] = value.as_ref();
        let same = |code: u32| self.entries.get_value(code as usize) == bytes;
        if let Some(code) = self.table.find(hash, same) {
            return Ok(code);
        }
        self.entries.try_append_value(value)?;
        self.entry_bytes += ENTRY_BYTES + bytes.len();
        Ok(self.table.insert(hash))
    }

    /// The values as views, which share the entries' bytes.
    pub(crate) fn into_views(mut self) -> Result<ArrayRef> {
        if let Some(nulls) = self.validity.finish() {
            // One entry more, so that a NULL points at no bytes.
            #[expect(clippy::cast_possible_truncation, reason = "a code was made of it")]
            self.codes.fill((!nulls.inner()).set_indices(), self.table.len() as u32);
            self.entries.append_null();
        }
        let entries: ArrayRef = Arc::new(self.entries.finish());
        let codes = UInt32Array::new(self.codes.into_vec().into(), None);
        Ok(compute::take(&entries, &codes, None)?)
    }

    /// The column: codes into the entries, unless it is one value or a few runs.
    pub(crate) fn finish(mut self) -> Result<Encoding> {
        let mut entries = self.entries.finish();
        entries.shrink_to_fit();
        let entries: ArrayRef = Arc::new(entries);
        let nulls = self.validity.finish();
        match (entries.len(), &nulls) {
            (0, _) => {
                let null = arrow::array::new_null_array(&T::DATA_TYPE, 1);
                return Ok(Encoding::Constant(Scalar::from_array(null.as_ref(), 0)?));
            }
            (1, None) => return Ok(Encoding::Constant(Scalar::from_array(entries.as_ref(), 0)?)),
            _ => {}
        }
        let mut codes = self.codes;
        if let Some(nulls) = &nulls {
            codes.fill((!nulls.inner()).set_indices(), 0);
        }
        let width = code_width(entries.len());
        let starts = run_starts(&codes, nulls.as_ref(), codes.len() / RUN_ROWS);
        if let Some(starts) = starts.filter(|s| runs_pay(codes.len(), s.len(), 16, width)) {
            return runs(&entries, &codes, nulls.as_ref(), &starts);
        }
        let codes = pack(codes, nulls, width);
        Ok(Encoding::Dictionary { codes, values: Arc::new(DictionaryValues::new(entries)) })
    }
}

/// The hash that is kept beside a code.
#[expect(clippy::cast_possible_truncation, reason = "the halves are folded")]
fn folded(bytes: &[u8]) -> u32 {
    let hash = hash_bytes(bytes);
    (hash ^ hash >> 32) as u32
}

/// Bytes of a code into so many entries.
pub(crate) fn code_width(entries: usize) -> usize {
    match entries {
        ..=0x100 => 1,
        0x101..=0x1_0000 => 2,
        _ => 4,
    }
}

/// Codes of the given width.
#[expect(clippy::cast_possible_truncation, reason = "codes are below the number of entries")]
fn pack(codes: Chunks<u32>, nulls: Option<NullBuffer>, width: usize) -> ArrayRef {
    match width {
        1 => {
            let codes = codes.convert(|chunk, all| all.extend(chunk.iter().map(|&c| c as u8)));
            Arc::new(UInt8Array::new(codes.into(), nulls))
        }
        2 => {
            let codes = codes.convert(|chunk, all| all.extend(chunk.iter().map(|&c| c as u16)));
            Arc::new(UInt16Array::new(codes.into(), nulls))
        }
        _ => Arc::new(UInt32Array::new(codes.into_vec().into(), nulls)),
    }
}

/// Where runs of equal values start; `None` when there are more than `most`.
fn run_starts(codes: &Chunks<u32>, nulls: Option<&NullBuffer>, most: usize) -> Option<Vec<u32>> {
    let mut starts = vec![];
    let mut last = None;
    for (row, code) in (0_u32..).zip(codes.values()) {
        let here = (code, nulls.is_none_or(|nulls| nulls.is_valid(row as usize)));
        if last != Some(here) {
            starts.push(row);
            last = Some(here);
            if starts.len() > most {
                return None;
            }
        }
    }
    Some(starts)
}

fn runs(
    entries: &ArrayRef,
    codes: &Chunks<u32>,
    nulls: Option<&NullBuffer>,
    starts: &[u32],
) -> Result<Encoding> {
    let run = |&start: &u32| {
        let valid = nulls.is_none_or(|nulls| nulls.is_valid(start as usize));
        codes.get(start as usize).filter(|_| valid)
    };
    let values = compute::take(entries, &starts.iter().map(run).collect::<UInt32Array>(), None)?;
    #[expect(clippy::cast_possible_truncation, reason = "a segment has fewer than 2^32 rows")]
    let rows = codes.len() as u32;
    let ends: Vec<u32> = starts.iter().skip(1).copied().chain([rows]).collect();
    Ok(Encoding::RunEnd { ends: ends.into(), values })
}
