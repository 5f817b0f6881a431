//! What StoaDB's tests share: the SQL logic test harness, golden answers and TPC-H data.
//!
//! Invariant: expected answers come from a named oracle (DuckDB, PostgreSQL, the SQL standard), never from StoaDB.

pub mod golden; // answers that DuckDB gave
pub mod index_fuzz; // indexes under random changes
pub mod mutate; // SQL that is nearly right
pub mod rows; // answers as lines of text
pub mod slt; // SQL logic tests in a matrix of settings
pub mod tpch; // the TPC-H tables
pub mod versions; // databases that show whether they are whole
