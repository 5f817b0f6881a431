//! Tables in memory: immutable segments of columns, and Arrow batches that were registered as they are.
//!
//! Invariants: what a version of a table holds never changes; row order is insertion order; a scan touches only the
//! columns that its projection and its filter name.
//! Next: `scan.rs` (how both kinds are read), then `batches.rs`, `segment.rs`, `version.rs`.

mod batches; // BatchTable: registered Arrow batches
mod scan; // RunScan: morsels over runs of rows

#[cfg(test)]
mod tests;

pub use batches::BatchTable;
