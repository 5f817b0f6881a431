//! What goes through every operator of a running query: cancellation, deadline, memory budget, progress, settings,
//! the relations and functions that the plan names.
//!
//! Invariant: an operator asks `QueryContext::check` at every vector, and holds a `Reservation` for what it keeps.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use stoadb_storage::{Relation, ScanLedger, VECTOR_SIZE};

use crate::{
    error::{EngineError, Result},
    function::FunctionRegistry,
    plan::RelationId,
};

/// The settings of a connection that reach the engine.
#[derive(Debug, Clone, PartialEq)]
pub struct QuerySettings {
    /// Most workers of one query; at least 1. No answer depends on it.
    pub threads: usize,
    /// Most bytes that the query's operators may hold.
    pub memory_limit: u64,
    /// After how long the query fails.
    pub timeout: Option<Duration>,
    /// Most rows of a vector, 1 to `VECTOR_SIZE`. No answer depends on it; for tests.
    pub vector_size: usize,
}

impl Default for QuerySettings {
    fn default() -> Self {
        Self { threads: 1, memory_limit: u64::MAX, timeout: None, vector_size: VECTOR_SIZE }
    }
}

/// A running query.
pub struct QueryContext {
    settings: QuerySettings,
    cancel: Arc<AtomicBool>,
    deadline: Option<Instant>,
    memory: Arc<MemoryPool>,
    progress: Progress,
    functions: Arc<FunctionRegistry>,
    relations: Vec<Arc<dyn Relation>>,
    ledgers: Vec<Arc<ScanLedger>>,
}

impl QueryContext {
    /// A context for one run of a plan.
    pub fn new(
        settings: QuerySettings,
        functions: Arc<FunctionRegistry>,
        relations: Vec<Arc<dyn Relation>>,
    ) -> Self {
        let ledgers = relations.iter().map(|relation| relation.ledger()).collect();
        Self {
            cancel: Arc::default(),
            deadline: settings.timeout.map(|timeout| Instant::now() + timeout),
            memory: MemoryPool::new(settings.memory_limit),
            progress: Progress::default(),
            settings,
            functions,
            relations,
            ledgers,
        }
    }

    /// The settings.
    pub fn settings(&self) -> &QuerySettings {
        &self.settings
    }

    /// Fails once the query is cancelled or out of time. Cheap: one relaxed load, and the clock every call only when
    /// there is a deadline.
    ///
    /// # Errors
    /// `Cancelled` or `Timeout`.
    pub fn check(&self) -> Result<()> {
        if self.cancel.load(Ordering::Relaxed) {
            return Err(EngineError::Cancelled);
        }
        match self.deadline {
            Some(deadline) if Instant::now() >= deadline => {
                let limit = self.settings.timeout.unwrap_or_default();
                Err(EngineError::Timeout(format!(
                    "the query ran longer than {limit:?}; raise it with SET timeout = '...'"
                )))
            }
            _ => Ok(()),
        }
    }

    /// The flag that cancels the query from another thread.
    pub fn cancel_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.cancel)
    }

    /// The memory budget.
    pub fn memory(&self) -> &Arc<MemoryPool> {
        &self.memory
    }

    /// Counters that a progress bar reads.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// The functions that expressions name.
    pub fn functions(&self) -> &FunctionRegistry {
        &self.functions
    }

    /// A relation and the ledger that its scans charge.
    ///
    /// # Errors
    /// `Internal` when the plan names a relation that the statement does not have.
    pub fn relation(&self, id: RelationId) -> Result<(&Arc<dyn Relation>, &Arc<ScanLedger>)> {
        let missing = || EngineError::Internal(format!("the plan names relation {}", id.0));
        let relation = self.relations.get(id.0).ok_or_else(missing)?;
        Ok((relation, self.ledgers.get(id.0).ok_or_else(missing)?))
    }

    /// The ledgers of all relations, in their order.
    pub fn ledgers(&self) -> &[Arc<ScanLedger>] {
        &self.ledgers
    }
}

/// Rows that sources have handed out, and how many they will.
#[derive(Debug, Default)]
pub struct Progress {
    /// Rows handed out so far.
    pub rows_done: AtomicU64,
    /// Rows that opened scans hold in all.
    pub rows_total: AtomicU64,
}

/// The bytes that a query's operators may hold.
#[derive(Debug)]
pub struct MemoryPool {
    limit: u64,
    used: AtomicU64,
    peak: AtomicU64,
}

impl MemoryPool {
    fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self { limit, used: AtomicU64::new(0), peak: AtomicU64::new(0) })
    }

    /// An empty reservation for one consumer, named for error messages.
    pub fn reservation(self: &Arc<Self>, consumer: &'static str) -> Reservation {
        Reservation { pool: Arc::clone(self), consumer, bytes: 0 }
    }

    /// Bytes held now.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Most bytes held at once.
    pub fn peak(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }
}

/// Bytes held by one consumer; given back on drop.
#[derive(Debug)]
pub struct Reservation {
    pool: Arc<MemoryPool>,
    consumer: &'static str,
    bytes: u64,
}

impl Reservation {
    /// Holds `bytes` more.
    ///
    /// # Errors
    /// `OutOfMemory` when the budget is used up; nothing is held then.
    pub fn grow(&mut self, bytes: u64) -> Result<()> {
        let used = self.pool.used.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if used > self.pool.limit {
            self.pool.used.fetch_sub(bytes, Ordering::Relaxed);
            return Err(EngineError::OutOfMemory(format!(
                "out of memory: the {} needs {bytes} bytes more, {} of {} are in use; raise the budget with SET memory_limit = '...'",
                self.consumer,
                used - bytes,
                self.pool.limit
            )));
        }
        self.pool.peak.fetch_max(used, Ordering::Relaxed);
        self.bytes += bytes;
        Ok(())
    }

    /// Holds exactly `bytes`.
    ///
    /// # Errors
    /// As `grow`.
    pub fn resize(&mut self, bytes: u64) -> Result<()> {
        if bytes > self.bytes {
            return self.grow(bytes - self.bytes);
        }
        self.pool.used.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
        self.bytes = bytes;
        Ok(())
    }

    /// Bytes held.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.pool.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
