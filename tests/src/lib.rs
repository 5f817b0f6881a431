//! What the tests share.

pub mod tpch; // the TPC-H tables
