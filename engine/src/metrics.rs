//! Counters per operator of a running plan, for EXPLAIN ANALYZE.
//!
//! Operators are numbered in pre-order: those of the subqueries, of the shared plans, of the main plan.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::explain::NodeMetrics;

/// Counters of all operators of a query.
#[derive(Debug)]
pub struct Metrics {
    nodes: Vec<Counters>,
}

#[derive(Debug, Default)]
struct Counters {
    rows: AtomicU64,
    batches: AtomicU64,
    nanos: AtomicU64,
}

impl Metrics {
    /// Counters for `nodes` operators.
    pub fn new(nodes: usize) -> Self {
        Self { nodes: (0..nodes).map(|_| Counters::default()).collect() }
    }

    /// Adds a batch of `rows` rows (none if 0) and the time that it took.
    pub fn record(&self, node: usize, rows: usize, time: Duration) {
        let Some(counters) = self.nodes.get(node) else { return };
        if rows > 0 {
            counters.rows.fetch_add(rows as u64, Ordering::Relaxed);
            counters.batches.fetch_add(1, Ordering::Relaxed);
        }
        self.record_time(node, time);
    }

    /// Adds time.
    pub fn record_time(&self, node: usize, time: Duration) {
        if let Some(counters) = self.nodes.get(node) {
            let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
            counters.nanos.fetch_add(nanos, Ordering::Relaxed);
        }
    }

    /// The counters so far, by operator number.
    pub fn snapshot(&self) -> Vec<NodeMetrics> {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let node = |counters: &Counters| NodeMetrics {
            rows: read(&counters.rows),
            batches: read(&counters.batches),
            nanos: read(&counters.nanos),
            detail: Vec::new(),
        };
        self.nodes.iter().map(node).collect()
    }
}
