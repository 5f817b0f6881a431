//! Entries on their way into an index: rows in row order become a sorted run.
//!
//! Invariants: row ids ascend over all calls; a NULL of a key of one column has no code, only a place.
//! Next: `run.rs`.

use super::{
    bytes::ByteList,
    raw::Raw,
    run::{RowIds, Run, SortedKeys, push_bytes},
    sort::{Workers, sort_bytes, sort_words},
    spec::{IndexSpec, KeyCodes},
};
use crate::{
    error::{Result, StorageError},
    vector::Vector,
};

/// Entries of an index, in the order of their rows, before they are sorted.
#[derive(Debug)]
pub struct Entries {
    spec: IndexSpec,
    codes: Unsorted,
    rows: RowIds,
    /// The entries whose key is NULL and, once there is one, those whose key is not.
    nulls: Vec<u32>,
    others: Vec<u32>,
    includes: Vec<Raw>,
}

/// Codes in row order.
#[derive(Debug)]
enum Unsorted {
    None,
    Narrow(Vec<u64>),
    Wide(Vec<u128>),
    Bytes(ByteList),
}

impl Unsorted {
    fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::Narrow(words) => words.len(),
            Self::Wide(words) => words.len(),
            Self::Bytes(list) => list.len(),
        }
    }
}

/// Sorted entries.
pub(super) struct Sorted {
    pub(super) keys: SortedKeys,
    pub(super) rows: RowIds,
    pub(super) includes: Vec<Raw>,
}

impl Entries {
    /// No entries yet, with room for about `rows` of them: what is reserved is not copied again.
    ///
    /// # Errors
    /// As `IndexSpec::check`.
    pub fn new(spec: &IndexSpec, rows: usize) -> Result<Self> {
        spec.check()?;
        let codes = match SortedKeys::new(spec.form()?, rows) {
            SortedKeys::Narrow(words) => Unsorted::Narrow(words),
            SortedKeys::Wide(words) => Unsorted::Wide(words),
            SortedKeys::Bytes(list, _) => Unsorted::Bytes(list),
        };
        Ok(Self {
            spec: spec.clone(),
            codes,
            rows: RowIds::Narrow(Vec::with_capacity(rows)),
            nulls: vec![],
            others: vec![],
            includes: spec.includes.iter().map(|column| Raw::new(&column.ty, rows)).collect(),
        })
    }

    /// How many entries.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds rows: the vectors of the key columns, those of the included columns, and the rows' ids, which are greater than
    /// all before and ascend. Ids are whatever the table counts its rows by. `O(rows)`.
    ///
    /// # Errors
    /// `Internal` when types, lengths or the order of ids are not right; `Unsupported` beyond 2^32 - 1 entries. What was
    /// added is undefined after an error.
    pub fn push(
        &mut self,
        keys: &[Vector],
        includes: &[Vector],
        rows: impl IntoIterator<Item = u64>,
    ) -> Result<()> {
        let start = self.len();
        let mut last = start.checked_sub(1).map(|at| self.rows.get(at));
        for row in rows {
            if last.is_some_and(|last| last >= row) {
                return Err(StorageError::Internal("index entries out of row order".into()));
            }
            last = Some(row);
            self.rows.push(row);
        }
        let added = self.len() - start;
        let lengths = keys.iter().chain(includes).map(Vector::len);
        if includes.len() != self.includes.len() || lengths.into_iter().any(|len| len != added) {
            return Err(StorageError::Internal("index entries of different lengths".into()));
        }
        if u32::try_from(self.len() + 1).is_err() {
            return Err(StorageError::Unsupported("an index of over 2^32 rows".into()));
        }
        let (codes, valid) = self.spec.codes(keys)?;
        let valid = valid.as_deref();
        match (&mut self.codes, codes) {
            (Unsorted::Narrow(all), KeyCodes::Narrow(codes)) => extend(all, &codes, valid),
            (Unsorted::Wide(all), KeyCodes::Wide(codes)) => extend(all, &codes, valid),
            (Unsorted::Bytes(all), KeyCodes::Raw(codes)) => {
                let is_valid = |row: usize| valid.is_none_or(|valid| valid[row]);
                (0..added).filter(|&row| is_valid(row)).for_each(|row| all.push(codes.value(row)));
            }
            (Unsorted::Bytes(all), KeyCodes::Encoded(codes)) => {
                (0..added).for_each(|row| all.push(codes.get(row)));
            }
            _ => return Err(super::code::misfit()),
        }
        self.note_nulls(start, added, valid);
        for (column, vector) in self.includes.iter_mut().zip(includes) {
            column.push(vector)?;
        }
        Ok(())
    }

    fn note_nulls(&mut self, start: usize, added: usize, valid: Option<&[bool]>) {
        let rows = start as u32..(start + added) as u32;
        match valid {
            None if self.nulls.is_empty() => {}
            None => self.others.extend(rows),
            Some(valid) => {
                if self.nulls.is_empty() {
                    self.others = (0..start as u32).collect();
                }
                for (row, &valid) in rows.zip(valid) {
                    if valid { self.others.push(row) } else { self.nulls.push(row) }
                }
            }
        }
    }

    /// The entries in order of key and row. `O(n)` for words of few different bytes, `O(n log n)` for byte strings.
    pub(super) fn sorted(mut self, workers: &dyn Workers) -> Sorted {
        let codes = std::mem::replace(&mut self.codes, Unsorted::None);
        debug_assert_eq!(codes.len() + self.nulls.len(), self.rows.len());
        let (keys, mut order) = match codes {
            Unsorted::Narrow(words) => {
                let (words, order) = sort_words(words, workers);
                (SortedKeys::Narrow(words), order)
            }
            Unsorted::Wide(words) => {
                let (words, order) = sort_words(words, workers);
                (SortedKeys::Wide(words), order)
            }
            Unsorted::Bytes(list) => {
                let order = sort_bytes(&list, workers);
                let (mut distinct, mut counts) = (ByteList::default(), vec![]);
                for &at in &order {
                    push_bytes(&mut distinct, &mut counts, list.get(at as usize));
                }
                (SortedKeys::Bytes(distinct, counts), order)
            }
            Unsorted::None => (SortedKeys::Narrow(vec![]), vec![]),
        };
        if !self.nulls.is_empty() {
            order.iter_mut().for_each(|at| *at = self.others[*at as usize]);
            order.append(&mut self.nulls);
        }
        if order.is_sorted() {
            return Sorted { keys, rows: self.rows, includes: self.includes };
        }
        let includes = self.includes.into_iter().map(|raw| raw.gather(&order)).collect();
        Sorted { keys, rows: self.rows.gather(&order), includes }
    }

    /// The run of the entries.
    ///
    /// # Errors
    /// `Internal` never.
    pub(super) fn into_run(self, workers: &dyn Workers) -> Result<Run> {
        let spec = self.spec.clone();
        let Sorted { keys, rows, includes } = self.sorted(workers);
        Run::new(&spec, keys, rows, includes)
    }
}

fn extend<T: Copy>(all: &mut Vec<T>, codes: &[T], valid: Option<&[bool]>) {
    match valid {
        None => all.extend_from_slice(codes),
        Some(valid) => {
            all.extend(codes.iter().zip(valid).filter(|(_, valid)| **valid).map(|(code, _)| *code));
        }
    }
}
