//! SQL text to an optimised logical plan.
//!
//! Invariant: only this folder and `lower/` name the planner library. Next: `source.rs`.

pub mod source; // StoaTableSource: a relation as the planner sees it
