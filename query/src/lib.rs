//! StoaDB: a columnar in-memory analytics engine with SQL.
//!
//! Invariant: this is the only crate that names the planner library (`datafusion-*`).
//! Read the modules in the order below; `docs/ARCHITECTURE.md` draws the map.

pub mod error; // Error: what went wrong, where, and what may help
pub mod sql; // SQL text -> syntax tree
pub mod planner; // syntax tree -> optimised logical plan
mod functions; // scalar functions of our own over Arrow arrays
pub mod lower; // optimised logical plan -> the engine's plan
pub mod join_order; // the order and the sides of joins, from statistics
pub mod session; // databases, connections, statements

pub use error::{Error, ErrorKind, Result, Span};
pub use session::{
    connection::{Connection, Statement},
    database::Database,
    result::{Canceller, Progress, QueryResult},
    settings::Settings,
    text::{to_text, type_name},
};
pub use stoadb_storage::{
    BatchTable, LogicalType, Relation, Scalar,
    disk::{Saved, is_saved_database},
    distinct_names,
};
