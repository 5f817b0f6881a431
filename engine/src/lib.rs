//! The StoaDB engine: plans, expressions, pipelines, vectorised operators and kernels.
//!
//! Invariants: this crate knows no SQL and no `datafusion-*` crate; below the result stream no row object exists; no
//! choice that shows in an answer depends on threads, timing, vector size or free memory.
//! Read the modules in the order below; `docs/ARCHITECTURE.md` draws the map.

pub mod batch; // Batch: vectors and a selection
pub mod context; // QueryContext: cancellation, memory budget, progress, settings
pub mod error; // EngineError: what a query can fail with while it runs
pub mod eval; // Program, Evaluator: expressions over batches
pub mod expr; // Expr: typed scalar expressions, plain data
pub mod function; // ScalarFunction: functions that come from outside the engine
mod kernel; // the inner loops of expressions
pub mod op;
pub mod plan; // Plan: the physical plan, plain data
pub mod scheduler; // Workers: indexed work on the thread pool // the operators: Source, Transform, Sink and their implementations

pub use batch::Batch;
pub use context::QueryContext;
pub use error::{EngineError, Result};
pub use eval::{Evaluator, Program};
pub use expr::Expr;
pub use plan::Plan;
