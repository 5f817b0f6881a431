//! StoaDB: a columnar in-memory analytics engine with SQL.
//!
//! Invariant: this is the only crate that names the planner library.

pub mod error; // Error: kind, message, hint, place
pub mod join_order; // the order and the sides of joins, from statistics
pub mod lower; // optimised logical plan to the engine's plan
pub mod planner; // SQL text to an optimised logical plan

pub use error::{Error, ErrorKind, Result};
