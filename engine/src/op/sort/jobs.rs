//! Indexed jobs of a sort: on all workers when it finishes, on the calling worker while it still takes rows.
//!
//! Invariant: cancellation is seen before every job; a job covers a bounded number of rows.

use crate::{context::QueryContext, error::Result, scheduler::Workers};

/// Where jobs run.
#[derive(Clone, Copy)]
pub(in crate::op) struct Jobs<'a> {
    workers: Option<&'a Workers>,
    context: &'a QueryContext,
}

impl<'a> Jobs<'a> {
    /// On all workers.
    pub(in crate::op) fn parallel(context: &'a QueryContext, workers: &'a Workers) -> Self {
        Self { workers: Some(workers), context }
    }

    /// On the calling thread.
    pub(in crate::op) fn serial(context: &'a QueryContext) -> Self {
        Self { workers: None, context }
    }

    /// Fails once the query is cancelled or out of time.
    pub(in crate::op) fn check(&self) -> Result<()> {
        self.context.check()
    }

    /// What `job` makes of every index below `n`, in order.
    pub(in crate::op) fn map<T: Send>(
        &self,
        n: usize,
        job: impl Fn(usize) -> Result<T> + Sync,
    ) -> Result<Vec<T>> {
        let job = |index| {
            self.context.check()?;
            job(index)
        };
        match self.workers {
            Some(workers) if n > 1 => workers.map(n, job),
            _ => (0..n).map(job).collect(),
        }
    }
}
