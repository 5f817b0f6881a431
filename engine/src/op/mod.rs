//! The operators and their three small traits: a pipeline is a source, transforms and a sink.
//!
//! Invariants: a morsel is processed by one worker from begin to end, in row order; a transform that answered
//! `NeedInput` holds nothing that belongs to the morsel; what a sink computes depends on the morsels' numbers, never on
//! which worker brought them or when. One operator a file; shared state is `Arc`ed, workers' state is `Local*`.

pub mod scan; // Scan
pub mod entries; // rows of an index alone
pub mod values; // Batches
pub mod filter; // Filter
pub mod project; // Project
pub mod collect; // Collect: limit, offset, shared rows
pub mod sort; // Sort: full sort and top-k
pub mod aggregate; // GROUP BY and aggregation
pub mod unnest; // a row per element of a list
pub mod window; // window functions over sorted rows
pub mod join; // hash join of all kinds, nested loops and cross joins
pub mod write; // Write: rows into segments of a table

use std::sync::Arc;

use crate::{batch::Batch, context::QueryContext, error::Result, scheduler::Workers};

/// Where a pipeline's batches come from. Shared by all workers.
pub trait Source: Send + Sync {
    /// How many morsels there are; asked once, when the pipeline starts.
    fn morsels(&self) -> usize;
    /// State for one worker.
    ///
    /// # Errors
    /// Whatever compiling expressions or opening files raises.
    fn local(&self, context: &Arc<QueryContext>) -> Result<Box<dyn LocalSource>>;
}

/// One worker's reader.
pub trait LocalSource: Send {
    /// Turns to a morsel; what was left of the previous one is dropped.
    ///
    /// # Errors
    /// When a file cannot be read.
    fn begin(&mut self, morsel: usize) -> Result<()>;
    /// The morsel's next batch, in row order; `None` at its end.
    ///
    /// # Errors
    /// When reading or filtering fails.
    fn next(&mut self) -> Result<Option<Batch>>;
}

/// Turns batches into batches. Shared by all workers.
pub trait Transform: Send + Sync {
    /// State for one worker.
    ///
    /// # Errors
    /// Whatever compiling expressions raises.
    fn local(&self, context: &Arc<QueryContext>) -> Result<Box<dyn LocalTransform>>;
}

/// One worker's transform.
pub trait LocalTransform: Send {
    /// Takes a batch (after `NeedInput`) or goes on with what it has (`None`, after `HaveMore`). Empty batches are
    /// neither given nor returned.
    ///
    /// # Errors
    /// When evaluating fails.
    fn step(&mut self, input: Option<Batch>) -> Result<Step>;
    /// The morsel ends, perhaps early: drop what belongs to it.
    fn end_morsel(&mut self) {}
}

/// A transform's answer, and what the caller does next.
#[derive(Debug)]
pub enum Step {
    /// Nothing left: give the next batch.
    NeedInput,
    /// Pass this on, then call again with `None`.
    HaveMore(Batch),
    /// No more output will come of this morsel whatever the input: end it.
    Done,
}

/// Where a pipeline's batches go. Shared by all workers.
pub trait Sink: Send + Sync {
    /// State for one worker.
    ///
    /// # Errors
    /// Whatever compiling expressions raises.
    fn local(&self, context: &Arc<QueryContext>) -> Result<Box<dyn LocalSink>>;
    /// All morsels are through and all locals merged: complete the result, in parallel where it pays.
    ///
    /// # Errors
    /// When computing the result fails.
    fn finish(&self, context: &Arc<QueryContext>, workers: &Workers) -> Result<()>;
    /// Gives memory back if it can, and says how much. Called when the budget is used up, from a thread that may hold
    /// this sink's locks: it takes a lock only if that does not wait.
    fn reclaim(&self, _bytes: u64) -> u64 {
        0
    }
}

/// One worker's part of a sink.
pub trait LocalSink: Send {
    /// A morsel begins. Numbers ascend within a worker and are handed out in order over all of them.
    ///
    /// # Errors
    /// When preparing for it fails.
    fn begin_morsel(&mut self, morsel: usize) -> Result<()>;
    /// Takes a batch of the morsel.
    ///
    /// # Errors
    /// When computing fails or the memory budget is used up.
    fn push(&mut self, batch: Batch) -> Result<Feed>;
    /// The morsel is complete.
    ///
    /// # Errors
    /// As `push`.
    fn end_morsel(&mut self) -> Result<Feed>;
    /// No morsel is left for this worker: hand the state over to the shared part.
    ///
    /// # Errors
    /// As `push`.
    fn merge(self: Box<Self>) -> Result<()>;
}

/// A sink's answer to a batch that it took, and what the caller does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feed {
    /// Go on.
    NeedInput,
    /// Nothing more is needed of this morsel: end it.
    DoneMorsel,
    /// Nothing more is needed of any morsel: end the pipeline.
    Done,
}
