//! Kernels: free functions over slices and vectors, dispatched on type once per vector.
//!
//! Invariants: a kernel holds no state of a query, reads no context and never looks at a plan; it gets operands of the
//! types that its caller promises. Slots under NULL hold arbitrary values and never raise errors. Equal values give equal
//! results in every encoding. Start at `physical.rs`, then `arity.rs`; read `bits.rs` before `hash.rs` and `key.rs`.

pub(crate) mod physical; // columns of machine types out of vectors, and back
pub(crate) mod arity; // null handling and loops over one or two columns
pub(crate) mod arithmetic; // + - * / % and unary minus, by type
pub(crate) mod decimal; // decimal arithmetic in i64, in i128 when that overflows
pub(crate) mod bitwise; // & | xor ~ << >>
pub(crate) mod math; // rounding, roots, logarithms
pub(crate) mod compare; // comparisons to bitmaps or to row positions
pub(crate) mod range; // whole numbers between two bounds to row positions
pub(crate) mod in_list; // IN (values)
pub(crate) mod like; // LIKE and ILIKE
pub(crate) mod text; // functions on text
pub(crate) mod calendar; // days, months, years and time zones
pub(crate) mod date_part; // date_part, date_trunc
pub(crate) mod time_bucket; // time_bucket, date_bin, date_trunc of intervals
pub(crate) mod moments; // date_diff, last_day, names of months and days
pub(crate) mod temporal; // arithmetic on dates, times, timestamps, intervals
pub(crate) mod cast; // conversions between types
pub mod bits; // values of fixed width as normalised bits, nested values as normalised bytes
pub mod hash; // 64-bit hashes of vectors
pub mod key; // the key columns of rows, packed so that equality of packed keys is SQL's equality of groups
pub(crate) mod extreme; // the least and the greatest of doubles
pub(crate) mod shift; // narrow columns under another base or type
pub mod sort_key; // codes whose unsigned order is the SQL order
pub mod keys; // packed keys
#[cfg(test)]
pub(crate) mod testing; // random values of every type in every encoding

pub use calendar::{DAY_NAMES, MONTH_NAMES};
