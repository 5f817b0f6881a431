//! A database: its catalog, its threads, and what its connections share.

use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use datafusion_common::config::ConfigOptions;

use rayon::{ThreadPool, ThreadPoolBuilder};
use stoadb_engine::function::FunctionRegistry;
use stoadb_storage::{catalog::Catalog, parquet::FooterCache};

use crate::{
    error::{Error, Result},
    lower::register_operators,
    planner::{LibraryFunction, scalar_functions},
    session::connection::Connection,
};

/// Stack of a worker thread: plans and expressions nest as deeply as SQL does.
const WORKER_STACK_BYTES: usize = 16 << 20;

/// The library's functions, as the engine calls them.
static FUNCTIONS: LazyLock<Arc<FunctionRegistry>> = LazyLock::new(|| {
    let options = Arc::new(ConfigOptions::default());
    let mut registry = FunctionRegistry::default();
    register_operators(&mut registry);
    for (name, function) in scalar_functions() {
        registry.register(&name, Arc::new(LibraryFunction::new(function, Arc::clone(&options))));
    }
    Arc::new(registry)
});

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
    pool: Mutex<Option<Arc<ThreadPool>>>,
}

impl Database {
    /// An empty database in memory.
    pub fn open_in_memory() -> Self {
        let shared = Shared {
            catalog: Catalog::new(),
            footers: FooterCache::default(),
            functions: Arc::clone(&FUNCTIONS),
            pool: Mutex::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// An empty database in memory that works on the host's threads. Queries may be read from within that pool.
    pub fn open_in_memory_on(pool: Arc<ThreadPool>) -> Self {
        let database = Self::open_in_memory();
        *database.shared.pool.lock().unwrap_or_else(PoisonError::into_inner) = Some(pool);
        database
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

    /// The thread pool, which has at least `threads` threads; it grows when a connection asks for more.
    pub(crate) fn pool(&self, threads: usize) -> Result<Arc<ThreadPool>> {
        let mut pool = self.shared.pool.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = pool.as_ref().filter(|pool| pool.current_num_threads() >= threads) {
            return Ok(Arc::clone(pool));
        }
        let built = ThreadPoolBuilder::new()
            .num_threads(threads)
            .stack_size(WORKER_STACK_BYTES)
            .thread_name(|index| format!("stoadb-{index}"))
            .build()
            .map_err(|error| Error::internal(format!("cannot start {threads} threads: {error}")))?;
        Ok(Arc::clone(pool.insert(Arc::new(built))))
    }
}
