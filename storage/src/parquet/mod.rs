//! Parquet files read in place as one relation.
//!
//! Invariants: nothing of a file is trusted before it is checked against the file's size; the ledger's encoded bytes are
//! exactly the bytes asked of the files; columns that a scan does not name are never read; row order is (file by path,
//! row group, row). Whatever the decoder does with damaged bytes, the caller gets an error that names the place.
//! Next: `dataset.rs` (the relation), `scan.rs` (morsels), `group.rs` (one row group), `column.rs` (one column).

mod chunk; // the bytes of one root column of one row group
mod column; // one root column of one row group -> vectors
mod dataset; // ParquetDataset: files as one relation
mod footer; // footers, parsed once and cached
mod group; // one row group: filter first, then the rest
pub(crate) mod hive; // key=value folders
mod index; // the page index
mod scan; // which row groups are read
mod schema; // Parquet types -> logical types and reading hints
pub(crate) mod source; // pread, and a column chunk in memory
mod stats; // statistics and bloom filters
#[cfg(test)]
mod tests;
mod thrift; // bounds checks of footers and page headers

pub use dataset::{ParquetDataset, ParquetOptions};
pub use footer::FooterCache;
