//! The index: parts that are runs, some of entries that there are, some of entries that are gone.
//!
//! Invariants: an index never changes; insert, delete and merge make the next one and share the runs that stay, so that a
//! snapshot costs a few counted pointers and readers never wait. An entry (key, row) is in the index when one part more
//! holds it than parts say that it is gone, and no id comes back once it is gone; parts of gone entries carry the values
//! too, so that whatever can be subtracted is subtracted.
//! Method: the logarithmic method (Bentley and Saxe 1980) with deletions as entries of negative count; sizes of parts of
//! one kind differ by a factor of `RATIO`, so that there are few.
//! Next: `view.rs`, what is asked of an index.

use std::sync::Arc;

use super::{
    effects::Effects,
    entries::{Entries, Sorted},
    merge::{Merge, Merged},
    range::{KeyRange, KeyRef},
    raw::Raw,
    run::Run,
    sort::{Serial, Workers},
    spec::{IndexSpec, KeyColumn},
    view::RangeView,
};
use crate::{
    error::{Result, StorageError},
    scalar::Scalar,
    vector::Vector,
};

/// A part is put together with the next smaller one of its kind unless it is so many times as large.
const RATIO: usize = 4;
/// Parts of up to so many entries are put together at once; larger ones when `Index::merge_due` is carried out.
const SETTLED: usize = 1 << 15;
/// Once gone entries are more than this part of the others, all parts are due to be merged.
const GONE: usize = 8;

/// A run and whether its entries are gone.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) run: Arc<Run>,
    pub(super) gone: bool,
}

impl Part {
    pub(super) fn sign(&self) -> i64 {
        if self.gone { -1 } else { 1 }
    }
}

/// A version of an index over rows that are named by ids. Immutable, cheap to clone.
#[derive(Debug, Clone)]
pub struct Index {
    spec: Arc<IndexSpec>,
    pub(super) parts: Arc<[Part]>,
    pub(super) effects: Arc<Effects>,
}

/// What an index takes and consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexInfo {
    /// Entries that there are.
    pub entries: u64,
    /// Bytes of memory held, by all parts.
    pub bytes: u64,
    /// Those of the key, with the rows' ids and the sums of the key, and those of each included column.
    pub column_bytes: Vec<u64>,
    /// Runs, those of gone entries included.
    pub runs: usize,
    /// Entries outside of the largest run, gone ones included: what waits to be merged.
    pub pending: u64,
    /// Levels of nodes of the largest run, leaves included.
    pub height: usize,
    /// Keys of a node.
    pub fan_out: usize,
}

/// One entry of one version of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    pub(super) part: usize,
    pub(super) at: usize,
}

impl Index {
    /// An index without entries.
    ///
    /// # Errors
    /// As `IndexSpec::check`.
    pub fn new(spec: IndexSpec) -> Result<Self> {
        spec.check()?;
        Ok(Self::of(Arc::new(spec), vec![]))
    }

    /// The index of entries. `O(n)` for words, `O(n log n)` for byte strings; memory at its highest about twice that of the
    /// index.
    ///
    /// # Errors
    /// `Internal` never.
    pub fn build(entries: Entries, spec: &IndexSpec, workers: &dyn Workers) -> Result<Self> {
        Self::new(spec.clone())?.insert(entries, workers)
    }

    pub(super) fn of(spec: Arc<IndexSpec>, parts: Vec<Part>) -> Self {
        Self { spec, parts: parts.into(), effects: Arc::default() }
    }

    /// What it is over.
    pub fn spec(&self) -> &IndexSpec {
        &self.spec
    }

    /// The version with more entries. An id is inserted once: a row that was deleted does not come back under it. `O(d log d)`, amortised
    /// `O(log n)` an entry for what is put together at once.
    ///
    /// # Errors
    /// `Internal` when the entries are of another spec.
    pub fn insert(&self, entries: Entries, workers: &dyn Workers) -> Result<Self> {
        self.with_part(entries.into_run(workers)?, false)
    }

    /// The version without entries: the vectors of their key columns and the ids of their rows, ascending.
    /// `O(d log n)`.
    ///
    /// # Errors
    /// `Internal` when one of them is not in the index.
    pub fn delete(&self, keys: &[Vector], rows: &[u64]) -> Result<Self> {
        let bare = IndexSpec { keys: self.spec.keys.clone(), includes: vec![] };
        let mut entries = Entries::new(&bare, rows.len())?;
        entries.push(keys, &[], rows.iter().copied())?;
        let Sorted { keys, rows, .. } = entries.sorted(&Serial);
        let bare = Run::new(&bare, keys, rows, vec![])?;
        let mut includes: Vec<Raw> =
            self.spec.includes.iter().map(|column| Raw::new(&column.ty, bare.len())).collect();
        for at in 0..bare.len() {
            let entry = self.find(bare.key(at), bare.row(at)).ok_or_else(|| {
                StorageError::Internal(format!("row {} is not in the index", bare.row(at)))
            })?;
            let columns = &self.parts[entry.part].run.columns;
            for (raw, column) in includes.iter_mut().zip(columns) {
                column.append_to(raw, entry.at..entry.at + 1);
            }
        }
        if bare.len() == 0 {
            return Ok(self.clone());
        }
        let run = bare.with_columns(&self.spec, includes);
        self.with_part(run, true)
    }

    /// The entry of a key and row, if it is in the index. `O(log n)` a part.
    pub(super) fn find(&self, key: KeyRef<'_>, row: u64) -> Option<Entry> {
        let (mut count, mut found) = (0, None);
        for (part, Part { run, gone }) in self.parts.iter().enumerate() {
            let at = run.rank(key, row);
            if run.is_at(at, key, row) {
                count += if *gone { -1 } else { 1 };
                found = if *gone { found } else { Some(Entry { part, at }) };
            }
        }
        found.filter(|_| count > 0)
    }

    pub(super) fn with_part(&self, run: Run, gone: bool) -> Result<Self> {
        let mut parts = self.parts.to_vec();
        if run.len() > 0 {
            parts.push(Part { run: Arc::new(run), gone });
        }
        while let Some(pair) = unsettled(&parts, SETTLED) {
            let merge = Merge {
                spec: Arc::clone(&self.spec),
                parts: pair.iter().map(|&i| parts[i].clone()).collect(),
            };
            let merged = merge.run()?;
            parts = replaced(&parts, &merged).ok_or_else(changed)?;
        }
        Ok(Self::of(Arc::clone(&self.spec), parts))
    }

    /// What ought to be merged so that answers stay fast and memory is given back: to be carried out whenever there is
    /// time, and taken by `with_merged`. `None` when nothing is due.
    pub fn merge_due(&self) -> Option<Merge> {
        let size = |gone| -> usize {
            self.parts.iter().filter(|part| part.gone == gone).map(|part| part.run.len()).sum()
        };
        if size(true) * GONE > size(false) {
            return self.merge_all();
        }
        let pair = unsettled(&self.parts, usize::MAX)?;
        let parts = pair.iter().map(|&i| self.parts[i].clone()).collect();
        Some(Merge { spec: Arc::clone(&self.spec), parts })
    }

    /// All parts into one; `None` when there is but one.
    pub fn merge_all(&self) -> Option<Merge> {
        if let [] | [Part { gone: false, .. }] = &*self.parts {
            return None;
        }
        Some(Merge { spec: Arc::clone(&self.spec), parts: self.parts.to_vec() })
    }

    /// The version with parts merged, which may have been those of an earlier version; `None` when one of them is not a part
    /// any more.
    pub fn with_merged(&self, merged: &Merged) -> Option<Self> {
        Some(Self::of(Arc::clone(&self.spec), replaced(&self.parts, merged)?))
    }

    /// The version whose rows have other ids, after the table was laid out anew. The order of ids must be kept. All parts
    /// are merged. `O(n)`.
    ///
    /// # Errors
    /// `Internal` when the order is not kept.
    pub fn with_rows(&self, id: impl Fn(u64) -> u64) -> Result<Self> {
        let one = match self.merge_all() {
            None => self.clone(),
            Some(merge) => self.with_merged(&merge.run()?).ok_or_else(changed)?,
        };
        let Some(part) = one.parts.first() else { return Ok(one) };
        let run = part.run.with_rows(&id)?;
        Ok(Self::of(one.spec, vec![Part { run: Arc::new(run), gone: false }]))
    }

    /// What lies in a range of keys, made by this index's spec. `O(log n)` a part.
    #[inline]
    pub fn view<'a>(&'a self, range: &'a KeyRange) -> RangeView<'a> {
        RangeView::new(self, range)
    }

    /// How many entries there are.
    pub fn len(&self) -> u64 {
        let count: i64 = self.parts.iter().map(|part| part.sign() * part.run.len() as i64).sum();
        count.unsigned_abs()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The row of an entry.
    #[inline]
    pub fn row(&self, entry: Entry) -> u64 {
        self.parts[entry.part].run.row(entry.at)
    }

    /// The values of an entry's key columns. Where several values are equal in SQL: 0.0 for -0.0, the positive NaN, an
    /// interval of days and nanoseconds.
    ///
    /// # Errors
    /// `Internal` never.
    pub fn key_values(&self, entry: Entry) -> Result<Vec<Scalar>> {
        let form = self.spec.form()?;
        match self.parts[entry.part].run.key(entry.at) {
            KeyRef::Narrow(word) => self.spec.decode_word(form, word.into()),
            KeyRef::Wide(word) => self.spec.decode_word(form, word),
            KeyRef::Bytes(bytes) => self.spec.decode_bytes(form, bytes),
            KeyRef::Null => {
                let null = |key: &KeyColumn| Scalar::null(key.ty.clone());
                Ok(self.spec.keys.iter().map(null).collect())
            }
        }
    }

    /// The value of an included column of an entry, as it was.
    ///
    /// # Errors
    /// `Internal` when there is no such column.
    pub fn included_value(&self, entry: Entry, column: usize) -> Result<Scalar> {
        let columns = &self.parts[entry.part].run.columns;
        columns.get(column).ok_or_else(super::code::misfit)?.scalar(entry.at)
    }

    /// Each part as an index of its own, of entries that there are: what is deleted is in them, and so are deletions.
    pub fn layers(&self) -> Vec<Self> {
        let layer = |part: &Part| {
            let part = Part { run: Arc::clone(&part.run), gone: false };
            Self::of(Arc::clone(&self.spec), vec![part])
        };
        self.parts.iter().map(layer).collect()
    }

    /// How many parts it has: what every question is asked of.
    pub fn parts(&self) -> usize {
        self.parts.len()
    }

    /// Nodes on the ways to the entries of a range's ends, over all parts. `O(parts)`.
    pub fn nodes(&self) -> u64 {
        self.parts.iter().map(|part| 2 * part.run.height() as u64).sum()
    }

    /// What it takes and consists of.
    pub fn info(&self) -> IndexInfo {
        let sizes = || self.parts.iter().map(|part| part.run.len() as u64);
        let largest = self.parts.iter().max_by_key(|part| part.run.len());
        let mut column_bytes = vec![0; self.spec.includes.len() + 1];
        for part in self.parts.iter() {
            let bytes = part.run.column_bytes();
            column_bytes.iter_mut().zip(bytes).for_each(|(all, bytes)| *all += bytes as u64);
        }
        IndexInfo {
            entries: self.len(),
            bytes: column_bytes.iter().sum(),
            column_bytes,
            runs: self.parts.len(),
            pending: sizes().sum::<u64>() - sizes().max().unwrap_or(0),
            height: largest.map_or(0, |part| part.run.height()),
            fan_out: super::words::FAN_OUT,
        }
    }
}

fn changed() -> StorageError {
    StorageError::Internal("an index changed while it was merged".into())
}

/// Two parts of one kind, of up to `limit` entries together, that are too near in size.
fn unsettled(parts: &[Part], limit: usize) -> Option<[usize; 2]> {
    for gone in [false, true] {
        let mut order: Vec<usize> = (0..parts.len()).filter(|&i| parts[i].gone == gone).collect();
        order.sort_by_key(|&i| parts[i].run.len());
        let near = order.windows(2).find(|pair| {
            let (small, large) = (parts[pair[0]].run.len(), parts[pair[1]].run.len());
            large < small.saturating_mul(RATIO) && small + large <= limit
        });
        if let Some(&[a, b]) = near {
            return Some([a, b]);
        }
    }
    None
}

/// The parts with some of them merged; `None` when one of those is not there.
fn replaced(parts: &[Part], merged: &Merged) -> Option<Vec<Part>> {
    let is_from = |part: &Part| {
        merged.from.iter().any(|from| from.gone == part.gone && Arc::ptr_eq(&from.run, &part.run))
    };
    let mut rest: Vec<Part> = parts.iter().filter(|part| !is_from(part)).cloned().collect();
    (parts.len() - rest.len() == merged.from.len()).then(|| {
        rest.extend(merged.to.iter().cloned());
        rest
    })
}
