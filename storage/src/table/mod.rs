//! Tables in memory: immutable segments of columns, and Arrow batches that were registered as they are.
//!
//! Invariants: what a version of a table holds never changes; row order is insertion order; a scan touches only the
//! columns that its projection and its filter name.
//! Read the modules in the order below.

mod scan; // RunScan: morsels over runs of rows, for both kinds
mod picked; // rows by their positions

mod batches; // BatchTable: registered Arrow batches

mod series; // Series: whole numbers at equal distances
mod block; // statistics of blocks
mod column; // Column: an encoding and what is known of its values
mod row_set; // RowSet: rows by position
mod deletes; // DeleteMask: rows that are gone
mod segment; // Segment: consecutive rows, column by column
mod sketch; // distinct values, about
mod stats; // Statistics: bounds, NULLs, NaN, sums
pub mod sums; // sums and squares of whole numbers
mod tail; // Part; how small segments grow together
mod version; // TableVersion: the relation that queries read
mod positions; // ... with the positions of its rows
mod compact; // parts written anew without what is deleted
mod columns; // a table with other columns
mod rules; // defaults, checks, keys
mod definition; // what an index is over
mod indexes; // the indexes of a version
mod moves; // where compaction puts rows

mod builder; // SegmentBuilder, TableBuilder: vectors into segments
mod column_builder; // the values of one column
mod word; // bit patterns in chunks
mod fixed; // columns of fixed width
mod encode; // ... as they are stored
mod choose; // the cheapest encoding
mod settle; // large arrays in memory of their own
mod distinct; // dictionaries of fixed-width values
mod text; // texts and blobs
mod interner; // distinct texts
mod slots; // ... by their hashes
mod unify; // one dictionary for the segments of a table
mod info; // what storage_info shows

#[cfg(test)]
pub(crate) mod tests;
#[cfg(test)]
mod encoding_tests;
#[cfg(test)]
mod stats_tests;
#[cfg(test)]
mod version_tests;
#[cfg(test)]
mod rules_tests;
#[cfg(test)]
mod index_tests;
#[cfg(test)]
mod compact_tests;

pub(crate) use block::ColumnStatistics;
pub(crate) use sketch::Sketch;

pub use batches::BatchTable;
pub use builder::{SegmentBuilder, TableBuilder};
pub use column::Column;
pub use column_builder::PendingColumn;
pub use columns::NewColumn;
pub use compact::{CompactionGroup, Thoroughness};
pub use definition::{IndexDefinition, IndexInclude, IndexKey, IndexKind};
pub use deletes::DeleteMask;
pub use indexes::TableIndex;
pub use info::{ColumnInfo, storage_info};
pub use positions::WithPositions;
pub use row_set::RowSet;
pub use rules::{CheckRule, KeyRule, TableRules};
pub use segment::{Segment, merge_group, merge_groups, merge_segments};
pub use series::Series;
pub use stats::Statistics;
pub use sums::{ExactSums, Sums};
pub use tail::Part;
pub use unify::{SharedDictionary, shared_dictionary, with_shared};
pub use version::{RowId, TableVersion};
