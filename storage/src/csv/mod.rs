//! CSV files read in place as one relation.
//!
//! Invariants: row order is (file by path, place in the file); the morsels of a file depend on its size alone; memory is
//! bounded by the longest record, and a record by `MAX_RECORD`. A value is converted exactly or the query fails with
//! the file, the line and the column; values of columns that a query does not name are stepped over.
//! Next: `options.rs`, `split.rs` (bytes to fields), `sniff.rs` (dialect and types), `dataset.rs` (the relation),
//! `scan.rs` (morsels), `convert.rs` (fields to vectors).

mod bounds; // where morsels begin when quotes hide line ends
pub(crate) mod convert; // fields -> vectors
mod dataset; // CsvDataset: files as one relation
pub(crate) mod format; // date and timestamp formats
pub(crate) mod guess; // which types a text may be of
pub(crate) mod input; // bytes of plain and compressed files
pub(crate) mod options; // what the reader is told, what it finds out
mod scan; // morsels
mod sniff; // dialect, header and types
pub(crate) mod split; // records and fields
#[cfg(test)]
mod tests;

pub use dataset::CsvDataset;
pub use format::MomentFormat;
pub use options::{CsvOptions, CsvTypes};

/// Bytes of a file that are one morsel.
pub(crate) const MORSEL_BYTES: u64 = 4 << 20;
/// Bytes that are read at once.
pub(crate) const CHUNK_BYTES: usize = 256 << 10;
/// Most bytes of a record.
pub(crate) const MAX_RECORD: usize = 16 << 20;
