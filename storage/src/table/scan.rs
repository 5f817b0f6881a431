//! Scans of whatever lies in memory as parts of rows: the segments of a table, registered batches.
//!
//! Invariants: a morsel is a list of runs of consecutive rows, in row order, of at most `BLOCK_ROWS` rows in all; the
//! filter's columns are read first and the others only for vectors with a surviving row; a deleted row is never shown
//! to the filter. Bytes are charged by `Parts::read`, the only accessor.
//! Next: `batches.rs` and `version.rs`, which implement `Parts`.

use std::{
    borrow::Cow,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use hashbrown::HashSet;

use crate::{
    BLOCK_ROWS,
    error::Result,
    ledger::{BlockUse, ColumnCharge, Level, array_bytes},
    prune::ColumnRange,
    scan::{LocalRowFilter, MorselScan, Scan, ScanBatch, ScanSpec},
    table::{
        Statistics, Sums,
        picked::{both, picked_in},
    },
    vector::{Selection, Vector},
};

/// Consecutive rows of one part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Run {
    /// The part.
    pub(crate) part: usize,
    /// Its first row within the part.
    pub(crate) offset: usize,
    /// How many rows.
    pub(crate) rows: usize,
    /// Those of `ScanSpec::rows` that it holds; it begins with the first of them.
    pub(crate) picked: Range<usize>,
}

/// Rows in memory, in parts of any length.
pub(crate) trait Parts: Send + Sync + 'static {
    /// Which of a part's rows are not deleted.
    fn live(&self, part: usize, rows: Range<usize>) -> Live;
    /// The rows of a column, charged to `account`.
    fn read(
        &self,
        part: usize,
        column: usize,
        rows: Range<usize>,
        account: &Account<'_>,
    ) -> Result<Vector>;
    /// What is known of a column in one block of a part, or in all of it.
    fn statistics(
        &self,
        _part: usize,
        _column: usize,
        _block: Option<usize>,
    ) -> Option<&Statistics> {
        None
    }
}

/// Which rows of a range are not deleted.
#[derive(Debug)]
pub(crate) enum Live {
    /// All.
    All,
    /// None.
    None,
    /// These, counted from the start of the range.
    Some(Selection),
}

/// Where the reading of one column is charged.
pub(crate) struct Account<'a> {
    column: usize,
    spec: &'a ScanSpec,
    dictionaries: &'a Mutex<HashSet<(usize, u64)>>,
}

impl Account<'_> {
    /// Charges bytes that are stored in plain layout.
    pub(crate) fn plain(&self, bytes: u64) {
        self.spec.ledger.charge_plain(self.column, bytes);
    }

    /// Charges encoded bytes.
    pub(crate) fn encoded(&self, bytes: u64) {
        self.spec.ledger.charge(self.column, Level::Encoded, bytes);
    }

    /// The charge that an encoded vector carries along.
    pub(crate) fn charge(&self) -> ColumnCharge {
        ColumnCharge::new(&self.spec.ledger, self.column)
    }

    /// Charges a vector as it is handed out: plain values as decoded, codes and offsets as encoded; the entries of a
    /// dictionary once a scan. Encoded vectors carry the charge for later decoding along.
    pub(crate) fn hand_out(&self, mut vector: Vector) -> Vector {
        match &mut vector {
            Vector::Flat(array) => self.plain(array_bytes(array.as_ref())),
            Vector::Constant { value, .. } => self.encoded(array_bytes(value.array().as_ref())),
            Vector::Dictionary(inner) => {
                self.encoded(array_bytes(inner.codes.as_ref()));
                let key = (self.column, inner.dictionary.id());
                let mut seen = self.dictionaries.lock().unwrap_or_else(PoisonError::into_inner);
                if seen.insert(key) {
                    self.encoded(array_bytes(inner.dictionary.values().as_ref()));
                }
                inner.charge = Some(self.charge());
            }
            Vector::Narrow(inner) => {
                self.encoded(array_bytes(inner.offsets.as_ref()));
                inner.charge = Some(self.charge());
            }
        }
        vector
    }
}

/// A scan over runs of rows.
pub(crate) struct RunScan<P> {
    shared: Arc<Shared<P>>,
}

struct Shared<P> {
    parts: Arc<P>,
    spec: ScanSpec,
    runs: Vec<Run>,
    morsels: Vec<Range<usize>>,
    rows: u64,
    vector_size: usize,
    filter_columns: Vec<usize>,
    /// For each projected column, its place among the filter's.
    filtered: Vec<Option<usize>>,
    /// Compiled filters that no morsel uses at the moment.
    idle: Mutex<Vec<Box<dyn LocalRowFilter>>>,
    dictionaries: Mutex<HashSet<(usize, u64)>>,
}

impl<P: Parts> RunScan<P> {
    /// A scan of `runs`, which hold `rows` rows that are not deleted.
    pub(crate) fn new(parts: Arc<P>, runs: Vec<Run>, rows: u64, spec: ScanSpec) -> Self {
        let filter_columns = spec.filter.as_ref().map_or(vec![], |f| f.columns().to_vec());
        let place = |column: &usize| filter_columns.iter().position(|c| c == column);
        let filtered = spec.projection.iter().map(place).collect();
        let shared = Shared {
            parts,
            morsels: group(&runs),
            runs,
            rows,
            vector_size: spec.vector_size.clamp(1, BLOCK_ROWS),
            filter_columns,
            filtered,
            spec,
            idle: Mutex::default(),
            dictionaries: Mutex::default(),
        };
        Self { shared: Arc::new(shared) }
    }
}

/// Cuts a part of `rows` rows into runs of one block each.
pub(crate) fn blocks(part: usize, rows: usize) -> impl Iterator<Item = Run> {
    (0..rows).step_by(BLOCK_ROWS).map(move |offset| Run {
        part,
        offset,
        rows: BLOCK_ROWS.min(rows - offset),
        picked: 0..0,
    })
}

/// Groups consecutive runs into morsels: as many as fit `BLOCK_ROWS` rows together.
fn group(runs: &[Run]) -> Vec<Range<usize>> {
    let mut morsels = vec![];
    let (mut first, mut rows) = (0, 0);
    for (i, run) in runs.iter().enumerate() {
        if i > first && rows + run.rows > BLOCK_ROWS {
            morsels.push(first..i);
            (first, rows) = (i, 0);
        }
        rows += run.rows;
    }
    if first < runs.len() {
        morsels.push(first..runs.len());
    }
    morsels
}

impl<P: Parts> Scan for RunScan<P> {
    fn morsels(&self) -> usize {
        self.shared.morsels.len()
    }

    fn rows(&self) -> u64 {
        self.shared.rows
    }

    fn whole(&self) -> Vec<Option<u64>> {
        let shared = self.shared.as_ref();
        if shared.spec.rows.is_some() {
            return Vec::new();
        }
        let mut parts = WholeParts { shared, part: usize::MAX, all: false };
        let morsel = |runs: &Range<usize>| {
            let runs = &shared.runs[runs.clone()];
            let whole = runs.iter().all(|run| parts.is_whole(run));
            whole.then(|| runs.iter().map(|run| run.rows as u64).sum())
        };
        shared.morsels.iter().map(morsel).collect()
    }

    fn statistics(&self, morsel: usize, column: usize) -> Option<Cow<'_, Statistics>> {
        let shared = self.shared.as_ref();
        let known = |run: &Run| {
            let block = Some(run.offset / BLOCK_ROWS);
            let known = shared.parts.statistics(run.part, column, block)?;
            shared.spec.ledger.charge(column, Level::Metadata, known.all_bytes());
            (!known.unknown && known.rows == run.rows).then_some(known)
        };
        match &shared.runs[shared.morsels.get(morsel)?.clone()] {
            [run] => known(run).map(Cow::Borrowed),
            runs => {
                let mut all = Statistics::default();
                for run in runs {
                    all.merge(known(run)?);
                }
                if matches!(all.sums, Sums::Float { .. }) {
                    all.sums = Sums::None;
                }
                Some(Cow::Owned(all))
            }
        }
    }

    fn statistics_together(&self, first: usize, column: usize) -> Option<(usize, &Statistics)> {
        let shared = self.shared.as_ref();
        let alone = |morsel: usize| match &shared.runs[shared.morsels.get(morsel)?.clone()] {
            [run] => Some(run),
            _ => None,
        };
        let run = alone(first).filter(|run| run.offset == 0 && run.rows == BLOCK_ROWS)?;
        let known = shared.parts.statistics(run.part, column, None)?;
        let blocks = known.rows.div_ceil(BLOCK_ROWS);
        let last = alone(first + blocks.checked_sub(1)?)?;
        // Runs come in order, each once: those between are the part's other blocks.
        let whole = last.part == run.part && last.offset + last.rows == known.rows;
        if known.unknown || !whole {
            return None;
        }
        shared.spec.ledger.charge(column, Level::Metadata, known.all_bytes());
        Some((blocks, known))
    }

    fn answered(&self, morsels: &[usize]) {
        let blocks = morsels.iter().map(|&morsel| self.shared.morsels[morsel].len()).sum();
        self.shared.spec.ledger.count_blocks(BlockUse::Answered, blocks);
    }

    fn open(&self, morsel: usize) -> Result<Box<dyn MorselScan>> {
        let shared = Arc::clone(&self.shared);
        if shared.spec.rows.is_none() {
            shared.spec.ledger.count_blocks(BlockUse::Read, shared.morsels[morsel].len());
        }
        let filter = match &shared.spec.filter {
            None => None,
            Some(filter) => {
                let idle = shared.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
                Some(idle.map_or_else(|| filter.local(), Ok)?)
            }
        };
        let runs = shared.morsels[morsel].clone();
        Ok(Box::new(RunMorsel { shared, filter, runs, done: 0 }))
    }
}

/// Tells which runs are whole: no row deleted, the predicate TRUE for all. Runs come in order.
struct WholeParts<'a, P> {
    shared: &'a Shared<P>,
    /// The part of the last run, and whether the predicate is TRUE for all of the part.
    part: usize,
    all: bool,
}

impl<P: Parts> WholeParts<'_, P> {
    fn is_whole(&mut self, run: &Run) -> bool {
        let &Run { part, offset, rows, .. } = run;
        let Shared { parts, spec, .. } = self.shared;
        if !matches!(parts.live(part, offset..offset + rows), Live::All) {
            return false;
        }
        let Some(prune) = &spec.prune else { return spec.filter.is_none() };
        let all_match = |block: Option<usize>| {
            prune.all_match(&|column| {
                let known = parts.statistics(part, column, block);
                known.map_or_else(ColumnRange::default, |known| known.range(false))
            })
        };
        if self.part != part {
            (self.part, self.all) = (part, all_match(None));
        }
        self.all || all_match(Some(offset / BLOCK_ROWS))
    }
}

struct RunMorsel<P: Parts> {
    shared: Arc<Shared<P>>,
    filter: Option<Box<dyn LocalRowFilter>>,
    /// The runs that are not finished.
    runs: Range<usize>,
    /// Rows of the first of them that are.
    done: usize,
}

impl<P: Parts> MorselScan for RunMorsel<P> {
    fn next(&mut self) -> Result<Option<ScanBatch>> {
        while let Some((run, rows)) = self.advance() {
            if let Some(batch) = self.batch(run, rows)? {
                return Ok(Some(batch));
            }
        }
        Ok(None)
    }
}

impl<P: Parts> RunMorsel<P> {
    /// The next vector's run and rows.
    fn advance(&mut self) -> Option<(usize, Range<usize>)> {
        while !self.runs.is_empty() {
            let run = &self.shared.runs[self.runs.start];
            if self.done < run.rows {
                let first = run.offset + self.done;
                let rows = self.shared.vector_size.min(run.rows - self.done);
                self.done += rows;
                return Some((self.runs.start, first..first + rows));
            }
            self.runs.start += 1;
            self.done = 0;
        }
        None
    }

    fn batch(&mut self, run: usize, rows: Range<usize>) -> Result<Option<ScanBatch>> {
        let run = &self.shared.runs[run];
        let part = run.part;
        let live = match self.shared.parts.live(part, rows.clone()) {
            Live::None => return Ok(None),
            Live::All => None,
            Live::Some(live) => Some(live),
        };
        let picked = self.shared.spec.rows.as_ref().and_then(|all| picked_in(run, all, &rows));
        let live = match (live, picked) {
            (Some(live), Some(picked)) => Some(both(&live, &picked)),
            (live, picked) => live.or(picked),
        };
        if live.as_ref().is_some_and(Selection::is_empty) {
            return Ok(None);
        }
        let (filtered, selection) = match self.filter.take() {
            None => (vec![], live),
            Some(mut filter) => {
                let read = |&column: &usize| self.read(part, column, &rows);
                let columns = self.shared.filter_columns.iter().map(read);
                let columns = columns.collect::<Result<Vec<_>>>()?;
                let selection = select(filter.as_mut(), &columns, rows.len(), live);
                self.filter = Some(filter);
                (columns, selection?)
            }
        };
        if selection.as_ref().is_some_and(Selection::is_empty) {
            return Ok(None);
        }
        let projected = self.shared.spec.projection.iter().zip(&self.shared.filtered);
        let columns = projected.map(|(&column, place)| match place {
            Some(place) => Ok(filtered[*place].clone()),
            None => self.read(part, column, &rows),
        });
        Ok(Some(ScanBatch {
            columns: columns.collect::<Result<_>>()?,
            rows: rows.len(),
            selection,
        }))
    }

    fn read(&self, part: usize, column: usize, rows: &Range<usize>) -> Result<Vector> {
        let Shared { parts, spec, dictionaries, .. } = self.shared.as_ref();
        parts.read(part, column, rows.clone(), &Account { column, spec, dictionaries })
    }
}

/// The live rows that the filter keeps. Deleted rows are cut out before it sees the vectors, for it may fail on them.
fn select(
    filter: &mut dyn LocalRowFilter,
    columns: &[Vector],
    rows: usize,
    live: Option<Selection>,
) -> Result<Option<Selection>> {
    let Some(live) = live else { return filter.select(columns, rows) };
    let columns = columns.iter().map(|column| column.select(&live)).collect::<Result<Vec<_>>>()?;
    Ok(Some(match filter.select(&columns, live.len())? {
        None => live,
        Some(kept) => live.compose(&kept),
    }))
}

impl<P: Parts> Drop for RunMorsel<P> {
    fn drop(&mut self) {
        if let Some(filter) = self.filter.take() {
            self.shared.idle.lock().unwrap_or_else(PoisonError::into_inner).push(filter);
        }
    }
}
