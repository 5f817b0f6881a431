//! The indexes of a version of a table: those of its keys, and what CREATE INDEX made.
//!
//! How: an index holds the rows that are left under their positions. Every change of the table makes the next version of
//! its indexes from the ones before, which share what stays; an index that nobody asked for yet (after a database was
//! opened) is built when it is first needed.
//! Invariants: an index, once built, holds exactly the rows of its version; in a unique one no two rows share a key unless
//! a value of it is NULL. Putting runs together in the background changes no answer and makes no version.
//! Next: `../index/`, `version.rs`.

use std::sync::{Arc, PoisonError, RwLock};

use crate::{
    BLOCK_ROWS, VECTOR_SIZE,
    error::{Result, StorageError},
    index::{Entries, Index, IndexSpec, Merge, Merged, Serial, Workers},
    table::{
        definition::IndexDefinition, moves::Moves, row_set::RowSet, scan::Live, segment::Segment,
        tail::PartList,
    },
    types::Schema,
    vector::{Selection, Vector},
};

/// An index of one version of a table. Row ids are positions in the table.
#[derive(Debug)]
pub struct TableIndex {
    definition: Arc<IndexDefinition>,
    spec: IndexSpec,
    /// The rows.
    parts: Arc<PartList>,
    /// The index, once somebody asked.
    index: RwLock<Option<Arc<Index>>>,
}

impl TableIndex {
    /// An index that is not built yet.
    ///
    /// # Errors
    /// As `IndexDefinition::spec`.
    pub(crate) fn new(
        definition: IndexDefinition,
        schema: &Schema,
        parts: &Arc<PartList>,
    ) -> Result<Self> {
        let spec = definition.spec(schema)?;
        let (definition, parts) = (Arc::new(definition), Arc::clone(parts));
        Ok(Self { definition, spec, parts, index: RwLock::default() })
    }

    /// The same index under another definition of the same content.
    pub(crate) fn defined(&self, definition: IndexDefinition, parts: &Arc<PartList>) -> Self {
        Self { definition: Arc::new(definition), ..self.next(parts, self.built()) }
    }

    /// The index of other rows.
    fn next(&self, parts: &Arc<PartList>, index: Option<Arc<Index>>) -> Self {
        Self {
            definition: Arc::clone(&self.definition),
            spec: self.spec.clone(),
            parts: Arc::clone(parts),
            index: RwLock::new(index),
        }
    }

    /// What it is over.
    pub fn definition(&self) -> &Arc<IndexDefinition> {
        &self.definition
    }

    /// What it is over, as the index knows it: the columns' types in the place of their ordinals.
    pub fn spec(&self) -> &IndexSpec {
        &self.spec
    }

    /// The index if it is built. `O(1)`.
    pub fn built(&self) -> Option<Arc<Index>> {
        self.index.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The index. `O(1)`, but for an index of a saved database, which is built the first time.
    ///
    /// # Errors
    /// `Corrupt` when a column of a saved database is damaged.
    pub fn index(&self) -> Result<Arc<Index>> {
        self.index_on(&Serial)
    }

    /// As `index`, built by workers if it has to be.
    ///
    /// # Errors
    /// As `index`, and `Constraint` when rows of a unique index share a key.
    pub fn index_on(&self, workers: &dyn Workers) -> Result<Arc<Index>> {
        if let Some(index) = self.built() {
            return Ok(index);
        }
        // Whoever asks at the same time builds it as well: workers must not wait for each other.
        let built = Arc::new(self.build(workers)?);
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        Ok(Arc::clone(index.get_or_insert(built)))
    }

    fn build(&self, workers: &dyn Workers) -> Result<Index> {
        let rows = self.parts.iter().map(|part| part.live_rows()).sum();
        let mut added = Added::new(self, rows)?;
        let mut start = 0;
        for part in self.parts.iter() {
            let rows = part.segment.rows();
            for from in (0..rows).step_by(BLOCK_ROWS) {
                let range = from..rows.min(from + BLOCK_ROWS);
                let live = part.deletes.as_ref().map_or(Live::All, |mask| mask.live(range.clone()));
                let selection = match live {
                    Live::None => continue,
                    Live::All => None,
                    Live::Some(selection) => Some(selection),
                };
                added.push(&part.segment, range, selection.as_ref(), start)?;
            }
            start += rows as u64;
        }
        let segments: Vec<_> = self.parts.iter().map(|part| &part.segment).collect();
        added.insert(&Index::new(self.spec.clone())?, &segments, 0, workers)
    }

    /// The index with the rows of more segments, the first of which gets the position `start`; `None` when it is not built
    /// and need not be.
    ///
    /// # Errors
    /// `Constraint` when a key would be that of two rows.
    fn appended(&self, segments: &[Arc<Segment>], start: u64) -> Result<Option<Arc<Index>>> {
        let index = match self.built() {
            None if !self.definition.is_unique() => return Ok(None),
            None => self.index()?,
            Some(index) => index,
        };
        let rows = segments.iter().map(|segment| segment.rows()).sum();
        let mut added = Added::new(self, rows)?;
        let mut first = start;
        for segment in segments {
            for from in (0..segment.rows()).step_by(BLOCK_ROWS) {
                let range = from..segment.rows().min(from + BLOCK_ROWS);
                added.push(segment, range, None, first)?;
            }
            first += segment.rows() as u64;
        }
        let segments: Vec<_> = segments.iter().collect();
        Ok(Some(Arc::new(added.insert(&index, &segments, start, &Serial)?)))
    }

    /// The index without some rows, which `left` says are not all; `None` when it is not built.
    fn without(&self, gone: &RowSet, left: bool) -> Result<Option<Arc<Index>>> {
        let Some(index) = self.built() else { return Ok(None) };
        if gone.is_empty() {
            return Ok(Some(index));
        }
        if !left {
            return Ok(Some(Arc::new(Index::new(self.spec.clone())?)));
        }
        let columns: Vec<usize> = self.definition.keys.iter().map(|key| key.column).collect();
        let keys = gathered(&self.parts, &columns, gone)?;
        let rows: Vec<u64> = gone.iter().collect();
        Ok(Some(Arc::new(index.delete(&keys, &rows)?)))
    }

    /// The vectors of the key columns of a segment.
    fn key_vectors(&self, segment: &Segment) -> Result<Vec<Vector>> {
        let columns = self.definition.keys.iter().map(|key| key.column);
        columns.map(|column| column_of(segment, column)?.read(0..segment.rows())).collect()
    }

    /// For each row of a segment of the table's columns the position of the table's row with the same key; `None` where
    /// there is none, or a value is NULL. `O(log n)` a row.
    ///
    /// # Errors
    /// As `index`.
    pub fn rows_of(&self, segment: &Segment) -> Result<Vec<Option<u64>>> {
        self.index()?.rows_of(&self.key_vectors(segment)?)
    }

    /// The keys of a segment's rows, as bytes that are equal where the keys are; `None` where a value is NULL.
    ///
    /// # Errors
    /// `Corrupt` when a column of a saved database is damaged.
    pub fn keys_of(&self, segment: &Segment) -> Result<Vec<Option<Box<[u8]>>>> {
        self.spec.key_bytes(&self.key_vectors(segment)?)
    }

    /// What ought to be merged; `None` when nothing is due.
    pub(crate) fn merge_due(&self) -> Option<Merge> {
        self.built()?.merge_due()
    }

    /// Puts merged runs in the place of those that they were made of, if these are still there.
    pub(crate) fn take_merged(&self, merged: &Merged) -> bool {
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        let next = index.as_ref().and_then(|index| index.with_merged(merged));
        let taken = next.is_some();
        if let Some(next) = next {
            *index = Some(Arc::new(next));
        }
        taken
    }

    /// The error of a row whose key another one has.
    fn repeated(&self, segments: &[&Arc<Segment>], mut row: u64) -> StorageError {
        let mut values = Vec::new();
        for segment in segments {
            let rows = segment.rows() as u64;
            if row < rows {
                let at = usize::try_from(row).unwrap_or(0);
                let value = |column: usize| column_of(segment, column)?.read(at..at + 1)?.scalar(0);
                let keys = self.definition.keys.iter();
                values.extend(keys.map(|key| {
                    value(key.column).map_or_else(|_| "?".into(), |value| value.to_string())
                }));
                break;
            }
            row -= rows;
        }
        StorageError::Constraint(values.join(", "))
    }
}

/// The indexes of a version.
pub(crate) type Indexes = Arc<[Arc<TableIndex>]>;

/// The indexes after segments were appended to the rows before `start`.
///
/// # Errors
/// `Constraint`, with the key and its index, when a key would be that of two rows.
pub(crate) fn appended(
    indexes: &Indexes,
    schema: &Schema,
    segments: &[Arc<Segment>],
    start: u64,
) -> Result<Vec<Option<Arc<Index>>>> {
    let next = |index: &Arc<TableIndex>| {
        index.appended(segments, start).map_err(|error| of_index(error, index, schema))
    };
    indexes.iter().map(next).collect()
}

/// The indexes without some rows.
pub(crate) fn without(
    indexes: &Indexes,
    gone: &RowSet,
    left: bool,
) -> Result<Vec<Option<Arc<Index>>>> {
    indexes.iter().map(|index| index.without(gone, left)).collect()
}

/// The indexes of the next version.
pub(crate) fn next(
    indexes: &Indexes,
    parts: &Arc<PartList>,
    built: Vec<Option<Arc<Index>>>,
) -> Indexes {
    let indexes = indexes.iter().zip(built);
    indexes.map(|(index, built)| Arc::new(index.next(parts, built))).collect()
}

/// The indexes after rows were moved to other positions.
pub(crate) fn moved(indexes: &Indexes, parts: &Arc<PartList>, moves: &Moves) -> Result<Indexes> {
    let moved = |index: &Arc<TableIndex>| -> Result<_> {
        let built = index.built().map(|index| index.with_rows(|row| moves.position(row)));
        Ok(Arc::new(index.next(parts, built.transpose()?.map(Arc::new))))
    };
    indexes.iter().map(moved).collect()
}

/// The indexes that definitions ask for: those that are there already as they are, the others built.
///
/// # Errors
/// `Constraint` when rows share a key that may not, and as `TableIndex::new`.
pub(crate) fn defined(
    definitions: Vec<IndexDefinition>,
    known: &Indexes,
    schema: &Schema,
    parts: &Arc<PartList>,
    workers: &dyn Workers,
) -> Result<Indexes> {
    let mut all: Vec<Arc<TableIndex>> = Vec::with_capacity(definitions.len());
    for definition in definitions {
        let serves = |other: &&Arc<TableIndex>| {
            let other = other.definition();
            other.is_like(&definition) && (other.is_unique() || !definition.is_unique())
        };
        let index = match known.iter().chain(&all).find(serves) {
            Some(index) => Arc::new(index.defined(definition, parts)),
            None => {
                let index = Arc::new(TableIndex::new(definition, schema, parts)?);
                index.index_on(workers).map_err(|error| of_index(error, &index, schema))?;
                index
            }
        };
        all.push(index);
    }
    Ok(all.into())
}

/// A key that is taken, with whose it is.
fn of_index(error: StorageError, index: &TableIndex, schema: &Schema) -> StorageError {
    match error {
        StorageError::Constraint(key) => {
            let index = index.definition.describe(schema);
            StorageError::Constraint(format!("two rows with the key ({key}): {index}"))
        }
        other => other,
    }
}

fn column_of(segment: &Segment, column: usize) -> Result<&crate::table::Column> {
    let missing = || StorageError::Internal("an index over a column that is not there".into());
    segment.columns().get(column).ok_or_else(missing)
}

/// Rows on their way into an index.
struct Added<'a> {
    index: &'a TableIndex,
    entries: Entries,
    /// The rows with a NULL in a key that is unique.
    exempt: RowSet,
}

impl<'a> Added<'a> {
    fn new(index: &'a TableIndex, rows: usize) -> Result<Self> {
        let entries = Entries::new(&index.spec, rows)?;
        Ok(Self { index, entries, exempt: RowSet::default() })
    }

    /// Adds some rows of a segment, whose first row is at `start`.
    fn push(
        &mut self,
        segment: &Segment,
        range: std::ops::Range<usize>,
        selection: Option<&Selection>,
        start: u64,
    ) -> Result<()> {
        let definition = &self.index.definition;
        let read = |column: usize| {
            let vector = column_of(segment, column)?.read(range.clone())?;
            match selection {
                None => Ok(vector),
                Some(selection) => vector.select(selection),
            }
        };
        let keys =
            definition.keys.iter().map(|key| read(key.column)).collect::<Result<Vec<_>>>()?;
        let includes = definition.includes.iter().map(|include| read(include.column));
        let includes = includes.collect::<Result<Vec<_>>>()?;
        let first = start + range.start as u64;
        let position = |at: usize| match selection {
            None => first + at as u64,
            Some(selection) => first + u64::from(selection.rows()[at]),
        };
        if definition.is_unique() {
            for nulls in keys.iter().filter_map(Vector::nulls).filter(|n| n.null_count() > 0) {
                let null = (0..nulls.len()).filter(|&at| nulls.is_null(at));
                self.exempt.insert_all(null.map(position));
            }
        }
        let rows = selection.map_or(range.len(), Selection::len);
        self.entries.push(&keys, &includes, (0..rows).map(position))
    }

    /// The index with these rows, which are those of the segments from `start` on.
    fn insert(
        self,
        index: &Index,
        segments: &[&Arc<Segment>],
        start: u64,
        workers: &dyn Workers,
    ) -> Result<Index> {
        if !self.index.definition.is_unique() {
            return index.insert(self.entries, workers);
        }
        let exempt = |row| !self.exempt.is_empty() && self.exempt.contains(row);
        let inserted = index.insert_unique(self.entries, &exempt, workers)?;
        inserted.map_err(|row| self.index.repeated(segments, row - start))
    }
}

/// The values of columns in some rows, row after row.
fn gathered(parts: &PartList, columns: &[usize], rows: &RowSet) -> Result<Vec<Vector>> {
    let mut pieces = vec![Vec::new(); columns.len()];
    let mut start = 0;
    for part in parts.iter() {
        let end = start + part.segment.rows() as u64;
        let mut here = rows.within(start..end).peekable();
        while let Some(first) = here.next() {
            // Rows that are near each other are read at once.
            let window = first + VECTOR_SIZE as u64;
            let mut selected = vec![0_u32];
            while let Some(row) = here.next_if(|&row| row < window) {
                selected.push((row - first) as u32);
            }
            let from = usize::try_from(first - start).unwrap_or(usize::MAX);
            let last = selected.last().map_or(0, |&row| row as usize);
            let selection = Selection::new(selected);
            for (pieces, &column) in pieces.iter_mut().zip(columns) {
                let vector = column_of(&part.segment, column)?.read(from..from + last + 1)?;
                pieces.push(vector.select(&selection)?.flatten()?);
            }
        }
        start = end;
    }
    let joined = |pieces: &Vec<arrow::array::ArrayRef>| {
        let pieces: Vec<&dyn arrow::array::Array> = pieces.iter().map(AsRef::as_ref).collect();
        Ok(Vector::Flat(arrow::compute::concat(&pieces)?))
    };
    pieces.iter().map(joined).collect()
}
