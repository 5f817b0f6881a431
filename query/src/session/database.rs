//! A database: its catalog, its threads, and what its connections share.
//!
//! Invariant: a folder that the database opened or saved to is not written over when somebody else saved to it since.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use arrow::{
    array::{ArrayRef, RecordBatch},
    datatypes::SchemaRef,
};
use rayon::{ThreadPool, ThreadPoolBuilder};
use stoadb_storage::{
    LogicalType, Scalar, StorageError,
    catalog::{Background, Catalog, IfExists},
    disk::{self, Replace, SaveId, Saved},
    parquet::FooterCache,
};

use crate::{
    error::{Error, Result},
    session::{connection::Connection, user_functions::UserFunctions},
};

/// Stack of a worker thread: plans and expressions nest as deeply as SQL does.
const WORKER_STACK_BYTES: usize = 16 << 20;

/// A database: tables in memory or mapped from a folder. Cheap to clone; clones are the same database.
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
    functions: UserFunctions,
    pool: Mutex<Pool>,
    /// Held while a save is under way: saves of one database take turns.
    saving: Mutex<()>,
    folders: Mutex<Folders>,
}

/// The folders that a database opened or saved to.
#[derive(Default)]
struct Folders {
    /// Where `SAVE` without a folder goes.
    home: Option<PathBuf>,
    /// What each held when it was opened or saved to last, by its canonical path.
    known: HashMap<PathBuf, SaveId>,
}

impl Folders {
    fn remember(&mut self, path: &Path, id: SaveId) {
        // A folder that was there a moment ago; if it is gone there is nothing to remember.
        let Ok(path) = fs::canonicalize(path) else { return };
        self.home.get_or_insert_with(|| path.clone());
        self.known.insert(path, id);
    }
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
            functions: UserFunctions::default(),
            pool: Mutex::new(pool),
            saving: Mutex::default(),
            folders: Mutex::default(),
        };
        let database = Self { shared: Arc::new(shared) };
        let weak = Arc::downgrade(&database.shared);
        let spawn = move |task: Box<dyn FnOnce() + Send>| {
            let shared = weak.upgrade();
            match shared.map(|shared| Self { shared }.pool(1)) {
                Some(Ok(pool)) => pool.spawn(task),
                _ => task(),
            }
        };
        database.catalog().set_background(Background(Box::new(spawn)));
        database
    }

    /// Opens the folder of a saved database. Its files are mapped: opening reads no data, and a query reads the columns
    /// that it names, whose checksums are verified the first time. What changes from then on is in memory until it is
    /// saved.
    ///
    /// ```
    /// use stoadb::Database;
    ///
    /// let folder = std::env::temp_dir().join(format!("stoadb-example-{}", std::process::id()));
    /// let database = Database::open_in_memory();
    /// database.connect().execute("CREATE TABLE t AS SELECT * FROM (VALUES (1), (2), (3)) v(x)")?;
    /// database.save(&folder)?;
    ///
    /// let again = Database::open(&folder)?;
    /// let connection = again.connect();
    /// connection.execute("INSERT INTO t VALUES (4)")?;
    /// connection.execute("SAVE")?; // to the folder that was opened; only the new row is written
    /// let mut rows = Database::open(&folder)?.connect().query("SELECT count(*) FROM t")?;
    /// assert_eq!(stoadb::to_text(rows.next().unwrap()?.column(0))?.value(0), "4");
    /// # std::fs::remove_dir_all(&folder).unwrap();
    /// # Ok::<(), stoadb::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Io` when there is no saved database in the folder, a file is missing, or the manifest is damaged; damage in a
    /// column is an error of the query that reads it.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path.as_ref(), Pool::Own(None))
    }

    /// Like `open`, on the host's threads.
    ///
    /// # Errors
    /// As `open`.
    pub fn open_on(path: impl AsRef<Path>, pool: Arc<ThreadPool>) -> Result<Self> {
        Self::open_with(path.as_ref(), Pool::Host(pool))
    }

    fn open_with(path: &Path, pool: Pool) -> Result<Self> {
        let opened = disk::open(path)?;
        let database = Self::with_pool(pool);
        let mut transaction = database.catalog().begin();
        for (name, entry) in opened.entries {
            transaction.create(&name, entry, IfExists::Fail)?;
        }
        transaction.commit()?;
        database.folders().remember(path, opened.id);
        Ok(database)
    }

    /// Saves all tables and views, as they are committed now, to a folder, which is made if there is none (its parent is
    /// not). The version that this database opened there, or saved last, is replaced in one step: a save that fails or is
    /// killed leaves it whole. Any other database there is not replaced: `save_over` does that. What the folder holds
    /// already is not written again. Registered relations are not saved; `Saved::skipped` names them. Others may read and
    /// write meanwhile.
    ///
    /// # Errors
    /// `Io` when the folder cannot be written, holds other files, or is being saved to; `Catalog` when it holds a database
    /// that this one neither opened nor saved, or another database saved to it since. An `Io` error that says that the
    /// folder holds the new version means that only its being on the disk is in doubt; saving again makes it sure.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<Saved> {
        let path = path.as_ref();
        self.save_in_turn(path, || {
            let known = fs::canonicalize(path).ok();
            let known = known.and_then(|path| self.folders().known.get(&path).copied());
            known.map_or(Replace::Nothing, Replace::Version)
        })
    }

    /// Like `save`, and replaces whatever database the folder holds.
    ///
    /// # Errors
    /// `Io` as for `save`.
    pub fn save_over(&self, path: impl AsRef<Path>) -> Result<Saved> {
        self.save_in_turn(path.as_ref(), || Replace::Any)
    }

    fn save_in_turn(&self, path: &Path, replace: impl FnOnce() -> Replace) -> Result<Saved> {
        let _turn = self.shared.saving.lock().unwrap_or_else(PoisonError::into_inner);
        let saved = disk::save(&self.catalog().snapshot(), path, replace());
        match &saved {
            Ok(Saved { id, .. }) | Err(StorageError::SaveUnsettled { id, .. }) => {
                self.folders().remember(path, *id);
            }
            Err(_) => {}
        }
        match saved {
            Err(error @ StorageError::Conflict(_)) => {
                let hint = "open it to change it, or SAVE OR REPLACE TO 'folder'";
                Err(Error::from(error).with_hint(hint))
            }
            saved => Ok(saved?),
        }
    }

    /// The folder to which `SAVE` without a folder goes: the one that was opened or, if none was, the first that was
    /// saved to.
    pub fn folder(&self) -> Option<PathBuf> {
        self.folders().home.clone()
    }

    fn folders(&self) -> MutexGuard<'_, Folders> {
        self.shared.folders.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// Makes a function of values of one row known to all connections. It gets the arguments as arrays of the declared types,
    /// as many rows of each as the second parameter says, and gives an array of as many rows. It is called on batches of
    /// rows, from several threads, with NULLs among them, and must depend on its arguments alone.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use arrow::array::{ArrayRef, AsArray, Int64Array};
    /// use arrow::datatypes::Int64Type;
    /// use stoadb::{Database, LogicalType};
    ///
    /// let database = Database::open_in_memory();
    /// let int = LogicalType::Int64;
    /// database.register_scalar_function("triangular", &[int.clone()], int, |args, _rows| {
    ///     let numbers = args[0].as_primitive::<Int64Type>();
    ///     Ok(Arc::new(numbers.iter().map(|n| n.map(|n| n * (n + 1) / 2)).collect::<Int64Array>()))
    /// })?;
    /// let mut rows = database.connect().query("SELECT sum(triangular(i)) FROM range(4) r(i)")?;
    /// assert_eq!(stoadb::to_text(rows.next().unwrap()?.column(0))?.value(0), "10");
    /// # Ok::<(), stoadb::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Catalog` when SQL has a function of the name, or one is registered with other types. An error that the function
    /// returns is a `Value` error of the query.
    pub fn register_scalar_function(
        &self,
        name: &str,
        arguments: &[LogicalType],
        result: LogicalType,
        body: impl Fn(&[ArrayRef], usize) -> Result<ArrayRef, String> + Send + Sync + 'static,
    ) -> Result<()> {
        self.functions().add_scalar(name, arguments, result, Arc::new(body))
    }

    /// Makes an aggregate known to all connections. It gets the rows of a group, as arrays of the declared types with as
    /// many rows as the second parameter says, and gives one value. DISTINCT, FILTER, ORDER BY and OVER choose and order
    /// the rows, as for every aggregate; a group without rows gives arrays without rows. The values of all groups are
    /// held in memory until then.
    ///
    /// ```
    /// use arrow::array::AsArray;
    /// use arrow::datatypes::Float64Type;
    /// use stoadb::{Database, LogicalType, Scalar};
    ///
    /// let database = Database::open_in_memory();
    /// let double = LogicalType::Float64;
    /// database.register_aggregate_function("spread", &[double.clone()], double, |args, _rows| {
    ///     let values = args[0].as_primitive::<Float64Type>();
    ///     let (min, max) = (arrow::compute::min(values), arrow::compute::max(values));
    ///     Ok(max.zip(min).map_or(Scalar::null(LogicalType::Float64), |(a, b)| Scalar::float64(a - b)))
    /// })?;
    /// let connection = database.connect();
    /// let mut rows = connection.query("SELECT i % 2, spread(i) FROM range(10) r(i) GROUP BY 1 ORDER BY 1")?;
    /// let batch = rows.next().unwrap()?;
    /// assert_eq!(batch.column(1).as_primitive::<Float64Type>().values(), &[8.0, 8.0]);
    /// # Ok::<(), stoadb::Error>(())
    /// ```
    ///
    /// # Errors
    /// As `register_scalar_function`, and `Type` for an aggregate without arguments.
    pub fn register_aggregate_function(
        &self,
        name: &str,
        arguments: &[LogicalType],
        result: LogicalType,
        body: impl Fn(&[ArrayRef], usize) -> Result<Scalar, String> + Send + Sync + 'static,
    ) -> Result<()> {
        self.functions().add_aggregate(name, arguments, result, Arc::new(body))
    }

    /// Makes a table function known to all connections: `FROM name(1, 'a')`. It gets the literals that it is called with
    /// and gives columns and their rows, each time that a statement which names it is planned. A function of the name
    /// is replaced; those of SQL come first.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use arrow::array::{Int64Array, RecordBatch};
    /// use arrow::datatypes::{DataType, Field, Schema};
    /// use stoadb::Database;
    ///
    /// let database = Database::open_in_memory();
    /// database.register_table_function("squares", |args| {
    ///     let count = args.first().and_then(|n| n.as_i128()).ok_or("squares(n) takes a number")?;
    ///     let squares: Int64Array = (0..count as i64).map(|n| Some(n * n)).collect();
    ///     let schema = Arc::new(Schema::new(vec![Field::new("square", DataType::Int64, true)]));
    ///     let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(squares)]);
    ///     Ok((schema, vec![batch.map_err(|error| error.to_string())?]))
    /// })?;
    /// let mut rows = database.connect().query("SELECT max(square) FROM squares(5)")?;
    /// assert_eq!(stoadb::to_text(rows.next().unwrap()?.column(0))?.value(0), "16");
    /// # Ok::<(), stoadb::Error>(())
    /// ```
    ///
    /// # Errors
    /// None now. An error that the function returns is a `Value` error of the statement.
    pub fn register_table_function(
        &self,
        name: &str,
        body: impl Fn(&[Scalar]) -> Result<(SchemaRef, Vec<RecordBatch>), String>
        + Send
        + Sync
        + 'static,
    ) -> Result<()> {
        self.functions().add_table(name, Arc::new(body))
    }

    /// Runs something once on each of the threads that the database started, and waits until it has run on all; does nothing
    /// where there are none yet, or where they are the host's. For allocators that keep what a thread freed until that
    /// thread gives it back: the shell does so after long statements.
    pub fn on_each_thread(&self, work: impl Fn() + Sync) {
        let pool = self.shared.pool.lock().unwrap_or_else(PoisonError::into_inner);
        let own = if let Pool::Own(Some(pool)) = &*pool { Some(Arc::clone(pool)) } else { None };
        drop(pool);
        if let Some(pool) = own {
            pool.broadcast(|_| work());
        }
    }

    pub(crate) fn catalog(&self) -> &Arc<Catalog> {
        &self.shared.catalog
    }

    pub(crate) fn footers(&self) -> &FooterCache {
        &self.shared.footers
    }

    pub(crate) fn functions(&self) -> &UserFunctions {
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
