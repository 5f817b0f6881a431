//! Kernels: free functions over slices and vectors, dispatched on type once per vector.
//!
//! Invariant: a kernel holds no state of a query and reads no context; equal values give equal results in every
//! encoding. Read `bits.rs` before `hash.rs` and `key.rs`.

pub mod bits; // values of fixed width as normalised bits, nested values as normalised bytes
pub mod hash; // 64-bit hashes of vectors
pub mod key; // the key columns of rows, packed so that equality of packed keys is SQL's equality of groups
pub mod sort_key; // codes whose unsigned order is the SQL order
pub mod reproducible_sum; // sums of doubles that depend on the input alone
#[cfg(test)]
pub(crate) mod testing; // random values of every type in every encoding
//! Kernels: the inner loops of expressions, free functions over slices, dispatched on type once per vector.
//!
//! Invariant: a kernel gets operands of the types that its expression node promises and never looks at a plan. Slots
//! under NULL hold arbitrary values and never raise errors. Start at `physical.rs`, then `arity.rs`.

pub(crate) mod arithmetic; // + - * / % and unary minus, by type
pub(crate) mod arity; // null handling and loops over one or two columns
pub(crate) mod calendar; // days, months, years and time zones
pub(crate) mod cast; // conversions between types
pub(crate) mod compare; // comparisons to bitmaps or to row positions
pub(crate) mod date_part; // date_part, date_trunc
pub(crate) mod decimal; // decimal arithmetic in i64, in i128 when that overflows
pub(crate) mod in_list; // IN (values)
pub(crate) mod like; // LIKE and ILIKE
pub(crate) mod math; // rounding, roots, logarithms
pub(crate) mod physical; // columns of machine types out of vectors, and back
pub(crate) mod temporal; // arithmetic on dates, times, timestamps, intervals
pub(crate) mod text; // functions on text
