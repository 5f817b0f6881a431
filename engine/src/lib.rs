//! The StoaDB engine: plans, expressions, pipelines, vectorised operators and kernels.
//!
//! Invariants: this crate knows no SQL and no `datafusion-*` crate; below the result stream no row object exists; no
//! choice that shows in an answer depends on threads, timing, vector size or free memory.
//! Read the modules in the order below; `docs/ARCHITECTURE.md` draws the map.

pub mod error; // EngineError: what a query can fail with while it runs
pub mod expr; // Expr: typed scalar expressions, plain data
pub mod plan; // Plan: the physical plan, plain data
mod expr_display; // expressions as SQL-like text
pub mod explain; // plans as text
pub mod function; // ScalarFunction: functions that come from outside the engine
pub mod context; // QueryContext: cancellation, memory budget, progress, settings
pub mod metrics; // Metrics: counters per operator
pub mod batch; // Batch: vectors and a selection
pub mod eval; // Program, Evaluator: expressions over batches
pub mod kernel; // free functions over slices
pub mod scheduler; // Workers: indexed work on the thread pool
pub mod agg; // aggregate functions: states as columns
pub mod op; // the operators: Source, Transform, Sink and their implementations
pub mod access; // AccessPath: statistics, an index or the rows
pub mod pipeline; // Stream, Chain: how batches flow into a sink
pub mod result; // ResultStream: the last pipeline, run for its reader
pub mod open; // from plan to pipelines

pub use access::AccessPath;
pub use batch::Batch;
pub use context::{QueryContext, QuerySettings};
pub use error::{EngineError, Result};
pub use eval::{Evaluator, Program};
pub use expr::Expr;
pub use open::{execute, execute_into};
pub use plan::{Plan, QueryPlan};
pub use result::ResultStream;
