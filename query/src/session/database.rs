//! A database: its catalog, its threads, and what its connections share.

use std::sync::{Arc, Mutex, PoisonError};

use rayon::{ThreadPool, ThreadPoolBuilder};
use stoadb_engine::function::FunctionRegistry;
use stoadb_storage::{catalog::Catalog, parquet::FooterCache};

use crate::{
    error::{Error, Result},
    planner::registry::registry,
    session::connection::Connection,
};

/// Stack of a worker thread: plans and expressions nest as deeply as SQL does.
const WORKER_STACK_BYTES: usize = 16 << 20;

/// A database in memory. Cheap to clone; clones are the same database.
///
/// ```
/// let database = stoadb::Database::open_in_memory();
/// let connection = database.connect();
/// connection.execute("CREATE TABLE t AS SELECT * FROM (VALUES (1), (2), (3)) v(x)")?;
/// let rows: usize = connection.query("SELECT x FROM t WHERE x > 1")?
///     .map(|batch| batch.map(|batch| batch.num_rows()))
///     .sum::<Result<_, _>>()?;
/// assert_eq!(rows, 2);
/// # Ok::<(), stoadb::Error>(())
/// ```
#[derive(Clone)]
pub struct Database {
    shared: Arc<Shared>,
}

struct Shared {
    catalog: Arc<Catalog>,
    footers: FooterCache,
    functions: Arc<FunctionRegistry>,
    pool: Mutex<Pool>,
}

/// The threads of a database.
enum Pool {
    /// Started when first needed, and again when a connection asks for more threads.
    Own(Option<Arc<ThreadPool>>),
    /// The host's: as many threads as it has.
    Host(Arc<ThreadPool>),
}

impl Database {
    /// An empty database in memory.
    pub fn open_in_memory() -> Self {
        Self::with_pool(Pool::Own(None))
    }

    fn with_pool(pool: Pool) -> Self {
        let shared = Shared {
            catalog: Catalog::new(),
            footers: FooterCache::default(),
            functions: Arc::clone(registry()),
            pool: Mutex::new(pool),
        };
        Self { shared: Arc::new(shared) }
    }

    /// An empty database in memory that works on the host's threads and starts none of its own. Queries may be read from
    /// within that pool.
    pub fn open_in_memory_on(pool: Arc<ThreadPool>) -> Self {
        Self::with_pool(Pool::Host(pool))
    }

    /// A new connection, with settings and a transaction of its own.
    pub fn connect(&self) -> Connection {
        Connection::new(self.clone())
    }

    pub(crate) fn catalog(&self) -> &Arc<Catalog> {
        &self.shared.catalog
    }

    pub(crate) fn footers(&self) -> &FooterCache {
        &self.shared.footers
    }

    pub(crate) fn functions(&self) -> &Arc<FunctionRegistry> {
        &self.shared.functions
    }

    /// The thread pool, which has at least `threads` threads unless it is the host's.
    pub(crate) fn pool(&self, threads: usize) -> Result<Arc<ThreadPool>> {
        let mut pool = self.shared.pool.lock().unwrap_or_else(PoisonError::into_inner);
        let own = match &mut *pool {
            Pool::Host(pool) => return Ok(Arc::clone(pool)),
            Pool::Own(own) => own,
        };
        if let Some(pool) = own.as_ref().filter(|pool| pool.current_num_threads() >= threads) {
            return Ok(Arc::clone(pool));
        }
        let built = ThreadPoolBuilder::new()
            .num_threads(threads)
            .stack_size(WORKER_STACK_BYTES)
            .thread_name(|index| format!("stoadb-{index}"))
            .build()
            .map_err(|error| Error::internal(format!("cannot start {threads} threads: {error}")))?;
        Ok(Arc::clone(own.insert(Arc::new(built))))
    }
}
