//! Indexes: entries (key, row, included values) in the order of their keys, that answer counts, sums, variances, bounds,
//! distinct counts, quantiles and the k-th entry of any range of keys in `O(log n)`, exactly.
//!
//! An index never changes; every change makes the next version, which shares the runs that stay. Nothing here knows
//! tables: rows are named by ids that ascend, and what an id means is the table's matter.
//! Invariants: answers are those of recomputing from the entries: whole numbers and decimals exactly, sums of doubles as
//! the exact sum rounded once, whatever parts an index has and in whatever order entries came.
//! Read the modules in the order below.

mod code; // values as numbers in SQL's order
mod spec; // IndexSpec: what an index is over; keys as one code
mod range; // KeyRange: from where to where
mod predicate; // KeyRanges: what a predicate leaves

mod offsets; // whole numbers in the narrowest width
mod words; // a static tree over words
mod bytes; // a static tree over byte strings
mod keys; // ... as keys of entries

mod fixed; // exact sums of doubles
mod sums; // sums before every block
mod extremes; // bounds of blocks
mod quantiles; // order statistics of a column
mod totals; // Totals: count, sum, variance

mod raw; // values on their way into a run
mod column; // an included column of a run
mod run; // Run: sorted entries
mod sort; // Workers: radix sort
mod entries; // Entries: rows on their way into a run
mod merge; // Merge: parts into one

mod version; // Index: a version
mod unique; // one entry a key
mod effects; // distinct keys of several parts
mod view; // RangeView: counts, sums, bounds of a range
mod select; // ... order statistics
mod order; // ... rows
mod covered; // ... values, in the order of rows
mod points; // look-ups of many keys

#[cfg(test)]
mod tests;
#[cfg(test)]
mod predicate_tests;

pub use covered::Place;
pub use entries::Entries;
pub use merge::{Merge, Merged};
pub use predicate::{KeyRanges, intersection};
pub use range::KeyRange;
pub use select::{Between, DepthBucket, EntryIter};
pub use sort::{Serial, Workers};
pub use spec::{IncludeColumn, IndexSpec, KeyColumn};
pub use totals::Totals;
pub use version::{Entry, Index, IndexInfo};
pub use view::{IndexColumn, RangeView};
