//! Kernels: free functions over slices and vectors, dispatched on type once per vector.
//!
//! Invariant: a kernel holds no state of a query and reads no context; equal values give equal results in every
//! encoding. Read `bits.rs` before `hash.rs` and `key.rs`.

pub mod bits; // values of fixed width as normalised bits, nested values as normalised bytes
pub mod hash; // 64-bit hashes of vectors
pub mod key; // the key columns of rows, packed so that equality of packed keys is SQL's equality of groups
pub mod keys; // packed keys
pub mod reproducible_sum; // sums of doubles that depend on the input alone
#[cfg(test)]
pub(crate) mod testing; // random values of every type in every encoding
