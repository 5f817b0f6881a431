//! One row group as a morsel: the columns of the filter first, the others only for the rows that it kept.
//!
//! Invariants: a column outside of filter and projection is never read; a column outside of the filter is read only if
//! the filter kept a row of the group. Batches keep row order. What is decoded at once is bounded by `DECODE_ROWS`.
//! Next: `column.rs`.

use std::{
    collections::{HashMap, VecDeque},
    ops::Range,
    sync::Arc,
};

use parquet::arrow::arrow_reader::{RowSelection, RowSelector};

use super::{
    chunk::Chunk,
    column::{ColumnStream, concat},
    dataset::{ColumnSource, FileEntry},
    footer::Place,
    index::PageIndex,
    source::RangeFile,
};
use crate::{
    VECTOR_SIZE,
    error::{Result, StorageError},
    ledger::ColumnCharge,
    scan::{MorselScan, RowFilter, ScanBatch, ScanSpec},
    types::Schema,
    vector::{Selection, Vector},
};

/// When fewer than one in so many rows of the kept vectors survives, the other columns are decoded row by row.
const SPARSE: usize = 64;
/// Chunks of fewer bytes are read whole: finding their pages costs as much.
const MIN_PAGED_BYTES: i64 = 1 << 14;
/// Average rows of a run (of skips or of reads) from which single pages are read.
const MIN_PAGED_RUN: usize = 128;

/// What all morsels of a scan share.
pub(crate) struct Shared {
    /// The files.
    pub files: Arc<[FileEntry]>,
    /// The columns of the relation.
    pub schema: Arc<Schema>,
    /// What to read.
    pub spec: ScanSpec,
    /// The distinct columns of the projection.
    pub columns: Vec<usize>,
    /// For each projected column, its position in `columns`.
    pub slots: Vec<usize>,
}

impl Shared {
    /// A scan of the given files.
    pub(crate) fn new(
        files: Arc<[FileEntry]>,
        schema: Arc<Schema>,
        spec: ScanSpec,
    ) -> Result<Self> {
        let filter = spec.filter.iter().flat_map(|filter| filter.columns());
        if spec.projection.iter().chain(filter).any(|&column| column >= schema.len()) {
            return Err(StorageError::Internal("a scan names a column that is not there".into()));
        }
        let mut columns: Vec<usize> = Vec::new();
        let mut slots = Vec::new();
        for &column in &spec.projection {
            let slot = columns.iter().position(|&known| known == column).unwrap_or(columns.len());
            if slot == columns.len() {
                columns.push(column);
            }
            slots.push(slot);
        }
        Ok(Self { files, schema, spec, columns, slots })
    }

    fn vector_size(&self) -> usize {
        self.spec.vector_size.clamp(1, VECTOR_SIZE)
    }
}

/// A row group being read.
pub(crate) struct GroupScan {
    shared: Arc<Shared>,
    file: usize,
    group: usize,
    rows: usize,
    handle: Arc<RangeFile>,
    state: State,
}

enum State {
    /// Nothing was read yet.
    Start,
    /// Rows flow straight through.
    Straight { streams: Vec<ColumnStream>, left: usize },
    /// The filter kept many rows: whole vectors with their selections.
    Dense { kept: VecDeque<Kept>, columns: Vec<Output> },
    /// The filter kept few rows: only these, packed.
    Sparse { columns: Vec<Output>, done: usize, rows: usize },
    /// Nothing is left, or an error was reported.
    Done,
}

/// A vector of which the filter kept a row.
struct Kept {
    start: usize,
    rows: usize,
    selection: Option<Selection>,
    /// The filter's columns that are projected, too.
    carried: Vec<Vector>,
}

impl Kept {
    fn survivors(&self) -> usize {
        self.selection.as_ref().map_or(self.rows, Selection::len)
    }
}

/// Where an output column comes from.
enum Output {
    /// The n-th carried column of each kept vector.
    Carried(usize),
    /// A carried column whose surviving rows stand packed.
    Packed(Vector),
    /// Read after the filter.
    Stream(ColumnStream),
}

impl GroupScan {
    /// A row group of a file; nothing is read yet.
    pub(crate) fn new(
        shared: Arc<Shared>,
        file: usize,
        group: usize,
        handle: Arc<RangeFile>,
    ) -> Result<Self> {
        let rows = shared.files[file].footer.metadata.row_group(group).num_rows();
        let rows = usize::try_from(rows)
            .map_err(|_| StorageError::Unsupported("row groups of over 2^32 rows".into()))?;
        Ok(Self { shared, file, group, rows, handle, state: State::Start })
    }

    fn stream(&self, column: usize, selection: Option<&RowSelection>) -> Result<ColumnStream> {
        let shared = &self.shared;
        let entry = &shared.files[self.file];
        let def = &shared.schema.columns[column];
        let place = Place {
            path: entry.path.clone(),
            row_group: Some(self.group),
            column: Some(def.name.clone()),
        };
        let charge = ColumnCharge::new(&shared.spec.ledger, column);
        match &entry.columns[column] {
            ColumnSource::Constant(value) => {
                Ok(ColumnStream::constant(value.clone(), place, charge))
            }
            ColumnSource::File(source) => {
                let (file, footer) = (self.handle.as_ref(), entry.footer.as_ref());
                let index = match selection.is_some_and(|s| self.worth_pages(*source, s)) {
                    true => self.page_index(column)?,
                    false => None,
                };
                let pages = index.as_ref().map(|index| index.locations.as_slice());
                let chunk = Chunk { file, footer, group: self.group, column: *source, pages };
                ColumnStream::open(&chunk, &def.ty, place, charge, selection.cloned())
            }
        }
    }

    /// Whether reading only the pages that a selection needs may save bytes. The decoder must not meet rows between
    /// selected ones (it does where runs are short), since their pages are not there.
    fn worth_pages(&self, source: usize, selection: &RowSelection) -> bool {
        let footer = &self.shared.files[self.file].footer;
        let column = &footer.schema.columns[source];
        let chunk = footer.metadata.row_group(self.group).column(column.leaves.start);
        let runs = selection.iter().count();
        column.is_flat()
            && chunk.compressed_size() >= MIN_PAGED_BYTES
            && selection.row_count() * 4 <= self.rows * 3
            && runs * MIN_PAGED_RUN <= self.rows
    }

    /// The page index of a flat column, if its file has one.
    fn page_index(&self, column: usize) -> Result<Option<Arc<PageIndex>>> {
        let shared = &self.shared;
        let entry = &shared.files[self.file];
        let ColumnSource::File(source) = entry.columns[column] else { return Ok(None) };
        let file_column = &entry.footer.schema.columns[source];
        if !file_column.is_flat() {
            return Ok(None);
        }
        let key = (self.group, file_column.leaves.start);
        let (footer, ty) = (entry.footer.as_ref(), &shared.schema.columns[column].ty);
        footer.pages.get(footer, &self.handle, key, ty, &shared.spec.ledger)
    }

    /// The rows whose pages may hold a match; `None` for all rows, as where there is no page index.
    fn candidates(&self) -> Result<Option<Vec<Range<usize>>>> {
        let Some(prune) = &self.shared.spec.prune else { return Ok(None) };
        let mut columns = Vec::new();
        prune.visit_columns(&mut |column| columns.push(column));
        columns.sort_unstable();
        columns.dedup();
        let mut indexes: HashMap<usize, Arc<PageIndex>> = HashMap::new();
        for column in columns.into_iter().filter(|&column| column < self.shared.schema.len()) {
            if let Some(index) = self.page_index(column)?.filter(|index| !index.ranges.is_empty()) {
                indexes.insert(column, index);
            }
        }
        if indexes.is_empty() {
            return Ok(None);
        }
        let pages = indexes.values().flat_map(|index| &index.locations);
        let mut bounds: Vec<usize> =
            pages.filter_map(|page| usize::try_from(page.first_row_index).ok()).collect();
        bounds.push(self.rows);
        bounds.sort_unstable();
        bounds.dedup();
        let (entry, schema) = (&self.shared.files[self.file], &self.shared.schema);
        let mut kept: Vec<Range<usize>> = Vec::new();
        for pair in bounds.windows(2) {
            let may_match = prune.may_match(&|column| match indexes.get(&column) {
                Some(index) => index.ranges[index.page_of(pair[0])].clone(),
                None => entry.group_range(self.group, column, schema),
            });
            match kept.last_mut() {
                Some(last) if may_match && last.end == pair[0] => last.end = pair[1],
                _ if may_match => kept.push(pair[0]..pair[1]),
                _ => {}
            }
        }
        let all = kept.first().is_some_and(|first| first.len() == self.rows);
        Ok((!all).then_some(kept))
    }

    fn start(&self) -> Result<State> {
        let shared = &self.shared;
        let Some(filter) = &shared.spec.filter else {
            let streams = shared.columns.iter().map(|&column| self.stream(column, None));
            let streams = streams.collect::<Result<_>>()?;
            return Ok(State::Straight { streams, left: self.rows });
        };
        let carried: Vec<usize> =
            filter.columns().iter().copied().filter(|c| shared.columns.contains(c)).collect();
        let kept = self.filter(filter.as_ref(), &carried)?;
        let survivors: usize = kept.iter().map(Kept::survivors).sum();
        if survivors == 0 {
            return Ok(State::Done);
        }
        let rows: usize = kept.iter().map(|kept| kept.rows).sum();
        let alone = shared.columns.iter().all(|column| carried.contains(column));
        if !alone && survivors * SPARSE < rows {
            return self.sparse(kept, &carried, survivors);
        }
        let selection = (rows < self.rows).then(|| self.kept_vectors(&kept));
        let output = |column: &usize| match carried.iter().position(|c| c == column) {
            Some(at) => Ok(Output::Carried(at)),
            None => self.stream(*column, selection.as_ref()).map(Output::Stream),
        };
        let columns = shared.columns.iter().map(output).collect::<Result<_>>()?;
        Ok(State::Dense { kept, columns })
    }

    /// Evaluates the filter over the whole group.
    fn filter(&self, filter: &dyn RowFilter, carried: &[usize]) -> Result<VecDeque<Kept>> {
        let columns = filter.columns();
        let candidates = self.candidates()?;
        let selection = candidates
            .as_ref()
            .map(|ranges| RowSelection::from_consecutive_ranges(ranges.iter().cloned(), self.rows));
        let candidates = candidates.unwrap_or_else(|| std::iter::once(0..self.rows).collect());
        let mut kept = VecDeque::new();
        if candidates.is_empty() {
            self.count_unread(columns)?;
            return Ok(kept);
        }
        let streams = columns.iter().map(|&column| self.stream(column, selection.as_ref()));
        let mut streams = streams.collect::<Result<Vec<_>>>()?;
        let mut local = filter.local()?;
        let size = self.shared.vector_size();
        let steps = candidates.iter().flat_map(|range| {
            range.clone().step_by(size).map(|start| (start, size.min(range.end - start)))
        });
        for (start, rows) in steps {
            let vectors =
                streams.iter_mut().map(|stream| stream.next(rows)).collect::<Result<Vec<_>>>()?;
            let selection = local.select(&vectors, rows)?.filter(|found| found.len() < rows);
            if selection.as_ref().is_none_or(|found| !found.is_empty()) {
                let pairs = columns.iter().zip(vectors);
                let carried = pairs.filter(|(column, _)| carried.contains(column));
                let carried = carried.map(|(_, vector)| vector).collect();
                kept.push_back(Kept { start, rows, selection, carried });
            }
        }
        Ok(kept)
    }

    /// Counts the pages of a filter's columns where the page index leaves no row to look at.
    fn count_unread(&self, columns: &[usize]) -> Result<()> {
        for &column in columns {
            if let Some(index) = self.page_index(column)? {
                self.shared.spec.ledger.count_pages(index.locations.len(), 0);
            }
        }
        Ok(())
    }

    /// The rows of the kept vectors.
    fn kept_vectors(&self, kept: &VecDeque<Kept>) -> RowSelection {
        let ranges = kept.iter().map(|kept| kept.start..kept.start + kept.rows);
        RowSelection::from_consecutive_ranges(ranges, self.rows)
    }

    fn sparse(&self, kept: VecDeque<Kept>, carried: &[usize], survivors: usize) -> Result<State> {
        let selection = RowSelection::from(selectors(&kept, self.rows));
        let output = |column: &usize| match carried.iter().position(|c| c == column) {
            None => self.stream(*column, Some(&selection)).map(Output::Stream),
            Some(at) => {
                let pack = |kept: &Kept| match &kept.selection {
                    Some(selection) => kept.carried[at].select(selection),
                    None => Ok(kept.carried[at].clone()),
                };
                Ok(Output::Packed(concat(kept.iter().map(pack).collect::<Result<_>>()?)?))
            }
        };
        let columns = self.shared.columns.iter().map(output).collect::<Result<_>>()?;
        Ok(State::Sparse { columns, done: 0, rows: survivors })
    }

    fn step(&mut self) -> Result<Option<ScanBatch>> {
        if matches!(self.state, State::Start) {
            self.state = self.start()?;
        }
        let size = self.shared.vector_size();
        let (vectors, rows, selection) = match &mut self.state {
            State::Start | State::Done => return Ok(None),
            State::Straight { left: 0, .. } => return Ok(None),
            State::Straight { streams, left } => {
                let rows = size.min(*left);
                *left -= rows;
                let vectors = streams.iter_mut().map(|stream| stream.next(rows));
                (vectors.collect::<Result<Vec<_>>>()?, rows, None)
            }
            State::Dense { kept, columns } => {
                let Some(kept) = kept.pop_front() else { return Ok(None) };
                let output = |output: &mut Output| match output {
                    Output::Carried(at) => Ok(kept.carried[*at].clone()),
                    Output::Packed(vector) => Ok(vector.clone()),
                    Output::Stream(stream) => stream.next(kept.rows),
                };
                let vectors = columns.iter_mut().map(output).collect::<Result<Vec<_>>>()?;
                (vectors, kept.rows, kept.selection)
            }
            State::Sparse { done, rows, .. } if done == rows => return Ok(None),
            State::Sparse { columns, done, rows } => {
                let (start, count) = (*done, size.min(*rows - *done));
                *done += count;
                let output = |output: &mut Output| match output {
                    Output::Packed(vector) => Ok(vector.slice(start, count)),
                    Output::Stream(stream) => stream.next(count),
                    Output::Carried(_) => {
                        Err(StorageError::Internal("a carried column was not packed".into()))
                    }
                };
                (columns.iter_mut().map(output).collect::<Result<Vec<_>>>()?, count, None)
            }
        };
        let columns = self.shared.slots.iter().map(|&slot| vectors[slot].clone()).collect();
        Ok(Some(ScanBatch { columns, rows, selection }))
    }
}

impl MorselScan for GroupScan {
    fn next(&mut self) -> Result<Option<ScanBatch>> {
        let result = self.step();
        if !matches!(result, Ok(Some(_))) {
            // What was read is given back; after an error there is no next batch.
            self.state = State::Done;
        }
        result
    }
}

/// The surviving rows of a group of `rows` rows as runs of skips and reads.
fn selectors(kept: &VecDeque<Kept>, rows: usize) -> Vec<RowSelector> {
    let mut runs: Vec<RowSelector> = Vec::new();
    let mut at = 0;
    let mut take = |start: usize, count: usize| {
        if start > at {
            runs.push(RowSelector::skip(start - at));
        }
        at = start + count;
        match runs.last_mut() {
            Some(last) if !last.skip => last.row_count += count,
            _ => runs.push(RowSelector::select(count)),
        }
    };
    for kept in kept {
        match &kept.selection {
            None => take(kept.start, kept.rows),
            Some(selection) => {
                selection.rows().iter().for_each(|&row| take(kept.start + row as usize, 1));
            }
        }
    }
    if at < rows {
        runs.push(RowSelector::skip(rows - at));
    }
    runs
}
