//! StoaDB: SQL text becomes a plan of the engine.
//!
//! Invariant: this is the only crate that names the planner library.
//! Read the modules in the order below; `docs/ARCHITECTURE.md` draws the map.

pub mod error; // Error: what went wrong, where, and what may help
pub mod join_order; // engine's plan -> the same plan with joins ordered by statistics
pub mod lower; // optimised logical plan -> engine's plan
pub mod planner; // syntax tree -> optimised logical plan
pub mod sql; // SQL text -> syntax tree

pub use error::{Error, ErrorKind, Result, Span};
