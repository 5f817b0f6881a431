//! Tables in memory: immutable segments of columns, and Arrow batches that were registered as they are.
//!
//! Invariants: what a version of a table holds never changes; row order is insertion order; a scan touches only the
//! columns that its projection and its filter name.
//! Read the modules in the order below.

mod scan; // RunScan: morsels over runs of rows, for both kinds

mod batches; // BatchTable: registered Arrow batches

mod block; // statistics of blocks
mod column; // Column: an encoding and what is known of its values
mod deletes; // DeleteMask: rows that are gone
mod segment; // Segment: consecutive rows, column by column
mod sketch;
mod stats; // Statistics: bounds, NULLs, NaN, sums
pub mod sums; // sums and squares of whole numbers
mod tail; // Part; how small segments grow together
mod version; // TableVersion: the relation that queries read // distinct values, about

mod builder; // SegmentBuilder, TableBuilder: vectors into segments
mod fixed; // columns of fixed width
mod text; // texts and blobs

#[cfg(test)]
pub(crate) mod tests;
#[cfg(test)]
mod stats_tests;
#[cfg(test)]
mod version_tests;

pub use batches::BatchTable;
pub use builder::{SegmentBuilder, TableBuilder};
pub use column::Column;
pub use deletes::DeleteMask;
pub use segment::{Segment, merge_group, merge_groups, merge_segments};
pub use stats::Statistics;
pub use sums::{ExactSums, Sums};
pub use tail::Part;
pub use version::{RowId, TableVersion};
