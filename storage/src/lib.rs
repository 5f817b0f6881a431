//! StoaDB storage: typed columns, vectors, statistics, tables, the catalog and files.
//!
//! Invariants: this crate knows Arrow and Parquet, and neither plans nor SQL. A row object exists nowhere in it.
//! Read the modules in the order below; `docs/ARCHITECTURE.md` draws the map.

pub mod error; // StorageError: what can go wrong below the engine
pub mod types; // LogicalType, ColumnDef, Schema: what SQL and the planner see
pub mod scalar; // Scalar: one typed value
pub mod encoding; // Encoding: how a column is laid out in memory
mod narrow; // offsets from a base, read back
mod rank; // the order of a dictionary's entries
pub mod vector; // Vector, Selection: up to VECTOR_SIZE values, perhaps still encoded
pub mod ledger; // Ledger: bytes touched per scan, column and level
pub mod prune; // Prune: what a predicate says about ranges of values
pub mod simd; // loops compiled for wide registers, too
pub mod lanes; // sums and extremes of whole numbers, under masks
pub mod reproducible_sum; // sums of doubles that depend on the input alone
pub mod moment; // means and squared deviations of doubles
pub mod interval; // lengths of intervals
pub mod wavelet; // order statistics of any range of a sequence
pub mod scan; // ScanSpec, Scan: how the engine reads a relation
pub mod table; // tables in memory and registered Arrow batches
pub mod index; // indexes: ranges of keys answered without reading them
pub mod text; // text to numbers, dates and times
pub mod files; // from path patterns to files
pub mod parquet; // ParquetDataset: Parquet files in place
pub mod csv; // CsvDataset: text files of separated values
pub mod json; // JsonDataset: JSON files
pub mod ipc; // Arrow IPC files
pub mod write; // rows into files
pub mod catalog; // names, snapshots, transactions
pub mod disk; // saved databases

pub use catalog::{Catalog, CatalogSnapshot, Entry, EntryKind, Transaction};
pub use encoding::Encoding;
pub use error::{Result, StorageError};
pub use ledger::{BlockUse, Level, ScanLedger};
pub use moment::{Moment, MomentSum};
pub use prune::{ColumnRange, Prune, PruneOp};
pub use scalar::Scalar;
pub use scan::{
    Judged, LocalRowFilter, MorselScan, Relation, RowFilter, Scan, ScanBatch, ScanSpec,
};
pub use table::{
    BatchTable, ExactSums, Segment, SegmentBuilder, Statistics, Sums, TableBuilder, TableVersion,
};
pub use types::{ColumnDef, LogicalType, Schema, TimeUnit, distinct_names};
pub use vector::{DictionaryValues, Selection, Vector};

/// Rows of one vector: the unit of execution.
pub const VECTOR_SIZE: usize = 2048;
/// Rows of one block: the unit of statistics and of parallel work.
pub const BLOCK_ROWS: usize = 1 << 16;
/// Most rows of one segment.
pub const SEGMENT_ROWS: usize = 1 << 20;
