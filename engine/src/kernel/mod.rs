//! Kernels: free functions over slices and vectors, dispatched on type once per vector.

pub mod sort_key; // codes whose unsigned order is the SQL order
