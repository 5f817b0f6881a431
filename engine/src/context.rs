//! What goes through every operator of a running query: cancellation, deadline, memory budget, progress, settings,
//! the relations and functions that the plan names.
//!
//! Invariant: an operator asks `QueryContext::check` at every vector, and holds a `Reservation` for what it keeps.

use std::{
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use stoadb_storage::{Relation, ScanLedger, VECTOR_SIZE};

use crate::{
    access::AccessPath,
    error::{EngineError, Result},
    function::FunctionRegistry,
    op::Sink,
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
    /// Whether aggregates are answered from statistics where these suffice. No answer depends on it.
    pub use_statistics: bool,
    /// Which ways to rows and answers may be taken. No answer depends on it but for the last bits of sums of floats.
    pub access_path: AccessPath,
}

impl Default for QuerySettings {
    fn default() -> Self {
        Self {
            threads: 1,
            memory_limit: u64::MAX,
            timeout: None,
            vector_size: VECTOR_SIZE,
            use_statistics: true,
            access_path: AccessPath::Auto,
        }
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
            deadline: settings.timeout.and_then(|timeout| Instant::now().checked_add(timeout)),
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
pub struct MemoryPool {
    limit: u64,
    used: AtomicU64,
    peak: AtomicU64,
    /// Who is asked to give memory back when the budget is used up.
    sinks: Mutex<Vec<Weak<dyn Sink>>>,
}

impl MemoryPool {
    fn new(limit: u64) -> Arc<Self> {
        let (used, peak, sinks) = (AtomicU64::new(0), AtomicU64::new(0), Mutex::default());
        Arc::new(Self { limit, used, peak, sinks })
    }

    /// From now on the sink is asked to give memory back when the budget is used up.
    pub fn register(&self, sink: &Arc<dyn Sink>) {
        let mut sinks = self.sinks.lock().unwrap_or_else(PoisonError::into_inner);
        sinks.retain(|sink| sink.strong_count() > 0);
        sinks.push(Arc::downgrade(sink));
    }

    /// Asks sinks, the oldest first, until `bytes` are given back; says how many were.
    fn reclaim(&self, bytes: u64) -> u64 {
        let sinks = self.sinks.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut freed = 0;
        for sink in sinks.iter().filter_map(Weak::upgrade) {
            if freed >= bytes {
                break;
            }
            freed += sink.reclaim(bytes - freed);
        }
        freed
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
        let mut used = self.pool.used.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if used > self.pool.limit && self.pool.reclaim(used - self.pool.limit) > 0 {
            used = self.pool.used.load(Ordering::Relaxed);
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{op::LocalSink, scheduler::Workers};

    fn pool(limit: u64) -> Arc<MemoryPool> {
        MemoryPool::new(limit)
    }

    /// A sink that holds memory until it is asked for it.
    struct Hoard(Mutex<Reservation>);

    impl Sink for Hoard {
        fn local(&self, _context: &Arc<QueryContext>) -> Result<Box<dyn LocalSink>> {
            Err(EngineError::Internal("takes no rows".into()))
        }

        fn finish(&self, _context: &Arc<QueryContext>, _workers: &Workers) -> Result<()> {
            Ok(())
        }

        fn reclaim(&self, bytes: u64) -> u64 {
            let mut held = self.0.lock().unwrap();
            let given = bytes.min(held.bytes());
            let left = held.bytes() - given;
            held.resize(left).unwrap();
            given
        }
    }

    #[test]
    fn test_reservations_stay_within_the_budget() {
        let pool = pool(100);
        let mut one = pool.reservation("sort");
        let mut two = pool.reservation("join");
        one.grow(60).unwrap();
        let error = two.grow(41).unwrap_err().to_string();
        assert!(error.contains("join") && error.contains("memory_limit"), "{error}");
        assert_eq!((pool.used(), two.bytes()), (60, 0));
        two.grow(40).unwrap();
        one.resize(10).unwrap();
        assert_eq!(pool.used(), 50);
        drop((one, two));
        assert_eq!((pool.used(), pool.peak()), (0, 100));
    }

    #[test]
    fn test_sinks_are_asked_to_give_memory_back() {
        let pool = pool(100);
        let mut held = pool.reservation("hoard");
        held.grow(80).unwrap();
        let sink: Arc<dyn Sink> = Arc::new(Hoard(Mutex::new(held)));
        pool.register(&sink);
        let mut other = pool.reservation("sort");
        other.grow(50).unwrap();
        assert_eq!(pool.used(), 100);
        assert!(other.grow(71).is_err());
    }

    #[test]
    fn test_a_timeout_names_the_setting() {
        let settings = QuerySettings { timeout: Some(Duration::ZERO), ..QuerySettings::default() };
        let context = QueryContext::new(settings, Arc::default(), Vec::new());
        assert!(context.check().unwrap_err().to_string().contains("SET timeout"));
    }
}
