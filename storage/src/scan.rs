//! How the engine reads a relation: a scan gives morsels, a morsel gives batches of vectors.
//!
//! Invariants: only the columns of the projection and of the row filter are touched, and those of the projection only
//! where the filter kept a row. Morsels are numbered in row order and their number is fixed when the scan is opened.
//! Next: `table/`, `parquet/` and `csv/`, which implement `Scan`.

use std::{borrow::Cow, sync::Arc};

use crate::{
    error::Result,
    ledger::ScanLedger,
    prune::{ColumnRange, Prune},
    table::{Statistics, TableIndex},
    types::Schema,
    vector::{Selection, Vector},
};

/// Something that can be scanned: one version of a table, a set of files. Immutable.
pub trait Relation: Send + Sync {
    /// The columns.
    fn schema(&self) -> &Schema;
    /// How many rows; about, for formats that do not say (CSV). For estimates only, never for answers.
    fn rows(&self) -> u64;
    /// A fresh ledger with one account per column.
    fn ledger(&self) -> Arc<ScanLedger>;
    /// What is known of a column over all rows, without reading it.
    fn column_range(&self, column: usize) -> ColumnRange;
    /// About how many distinct values a column has, if known without reading it.
    fn distinct(&self, column: usize) -> Option<u64>;
    /// The indexes over its rows, whose row ids are what `ScanSpec::rows` names rows by.
    fn indexes(&self) -> &[Arc<TableIndex>] {
        &[]
    }
    /// What statistics leave to be read of a predicate's rows, for estimates. O(blocks).
    fn judged(&self, _prune: Option<&Prune>) -> Judged {
        Judged { read: self.rows(), whole: 0 }
    }
    /// Opens a scan.
    ///
    /// # Errors
    /// When a file cannot be opened or is damaged.
    fn scan(&self, spec: ScanSpec) -> Result<Box<dyn Scan>>;
}

/// What statistics make of a predicate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judged {
    /// Rows of the blocks that may hold a match.
    pub read: u64,
    /// Of these the rows of blocks that statistics stand for: no row is deleted and all match.
    pub whole: u64,
}

/// What to read.
#[derive(Clone)]
pub struct ScanSpec {
    /// The columns to return, as ordinals of the relation, in output order. May be empty (then only row counts flow).
    pub projection: Vec<usize>,
    /// The predicate as far as statistics can judge it; the row filter holds the whole predicate.
    pub prune: Option<Prune>,
    /// The predicate, evaluated by the scan on the columns that it needs before the others are read.
    pub filter: Option<Arc<dyn RowFilter>>,
    /// Positions of the only rows that are read, ascending, each once; of relations with indexes. `None` for all rows.
    pub rows: Option<Arc<[u64]>>,
    /// Most rows of a batch, at most `BLOCK_ROWS`. More than `VECTOR_SIZE` pay where whatever reads them makes no
    /// intermediate vectors; scans of files give no more than that.
    pub vector_size: usize,
    /// The account to charge; it has one entry per column of the relation.
    pub ledger: Arc<ScanLedger>,
}

/// A predicate that a scan evaluates for the engine.
pub trait RowFilter: Send + Sync {
    /// The columns that it reads, as ordinals of the relation, ascending.
    fn columns(&self) -> &[usize];
    /// State for one worker.
    ///
    /// # Errors
    /// Whatever compiling the predicate raises.
    fn local(&self) -> Result<Box<dyn LocalRowFilter>>;
}

/// One worker's filter.
pub trait LocalRowFilter: Send {
    /// The rows (of `rows`) for which the predicate is TRUE; `None` when it is for all of them. `columns` stand in the
    /// order of `RowFilter::columns`.
    ///
    /// # Errors
    /// Whatever evaluating the predicate raises, wrapped in `StorageError::Filter`.
    fn select(&mut self, columns: &[Vector], rows: usize) -> Result<Option<Selection>>;
}

/// Vectors of the projection, in its order.
#[derive(Debug, Clone)]
pub struct ScanBatch {
    /// One vector per projected column, each of `rows` rows.
    pub columns: Vec<Vector>,
    /// Rows of each vector, before the selection.
    pub rows: usize,
    /// The rows that the filter kept; `None` means all.
    pub selection: Option<Selection>,
}

/// An opened scan, shared by all workers.
pub trait Scan: Send + Sync {
    /// How many morsels there are. Fixed.
    fn morsels(&self) -> usize;
    /// Rows before any filter, after pruning; about, for formats that do not say. For progress only.
    fn rows(&self) -> u64;
    /// Starts reading a morsel.
    ///
    /// # Errors
    /// When a file cannot be read or is damaged.
    fn open(&self, morsel: usize) -> Result<Box<dyn MorselScan>>;
    /// Which morsels `statistics` describes as they are: for each morsel, how many rows it has if none of them is deleted
    /// and `ScanSpec::prune` is TRUE for all of them, as statistics prove. Whoever asks knows that `prune` says all that
    /// the filter does (or that there is neither). May be shorter than the number of morsels; the rest is not known.
    fn whole(&self) -> Vec<Option<u64>> {
        Vec::new()
    }
    /// What is known of a column (an ordinal of the relation) over all rows of a morsel, deleted ones included, charged
    /// as metadata; `None` when nothing is. Sums of floats are those of the morsel's rows in order, or absent.
    fn statistics(&self, _morsel: usize, _column: usize) -> Option<Cow<'_, Statistics>> {
        None
    }
    /// What is known of a column over the rows of `first` and the morsels after it, deleted rows included, charged as
    /// metadata, and how many morsels these are: several that statistics describe together. `None` where there are no
    /// such morsels, or nothing is known.
    fn statistics_together(&self, _first: usize, _column: usize) -> Option<(usize, &Statistics)> {
        None
    }
    /// Notes that these morsels were answered by their statistics and will not be opened.
    fn answered(&self, _morsels: &[usize]) {}
}

/// A morsel being read. Batches without a surviving row are left out.
pub trait MorselScan: Send {
    /// The next batch; `None` at the end.
    ///
    /// # Errors
    /// When a file is damaged, the filter fails or the query is cancelled.
    fn next(&mut self) -> Result<Option<ScanBatch>>;
}
