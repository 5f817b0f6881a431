//! A connection: settings, perhaps an open transaction, and the public ways to run SQL.
//!
//! Invariant: a statement outside of a transaction is a transaction of its own; one that fails leaves nothing behind.
//! Next: `run.rs`, which runs one statement.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, ThreadId},
};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use stoadb_storage::{
    BatchTable, Relation, Scalar,
    catalog::{
        EntryKind, IfExists, Transaction,
        name::{entry_name, temporary_schema},
    },
};

use crate::{
    error::{Error, ErrorKind, Result},
    session::{
        database::Database,
        kept::KeptPlan,
        prepared::Named,
        repeated::{General, Repeated},
        result::QueryResult,
        run::{self, Session},
        schemas,
        scripts::{Script, Scripts},
        settings::Settings,
        unknown,
    },
    sql::{
        self, ParsedStatement,
        ast::{self, SetExpr},
    },
};

/// A connection to a database. Several threads may use one; their statements take turns.
pub struct Connection {
    pub(crate) database: Database,
    pub(crate) state: Mutex<State>,
    /// The cancel flags of statements under way.
    running: Mutex<Vec<Weak<AtomicBool>>>,
    /// The thread that runs a statement now.
    owner: Mutex<Option<ThreadId>>,
    /// The schema of what only this connection sees.
    pub(crate) temporary: String,
    /// Texts that were run lately.
    scripts: Scripts,
    /// Queries that were run lately.
    pub(super) repeated: Repeated,
}

impl Drop for Connection {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        state.transaction = None;
        // What only this connection saw goes with it; nobody else changes it, so that the commit cannot fail.
        let _ = schemas::drop_temporary(self);
    }
}

/// What a connection remembers between statements.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) settings: Settings,
    pub(crate) transaction: Option<Transaction>,
    /// What PREPARE gave a name, by folded names.
    pub(crate) prepared: HashMap<String, Arc<Named>>,
}

impl Connection {
    pub(crate) fn new(database: Database) -> Self {
        let (state, running, owner) = (Mutex::default(), Mutex::default(), Mutex::default());
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let temporary = temporary_schema(NEXT.fetch_add(1, Ordering::Relaxed));
        let (scripts, repeated) = (Scripts::default(), Repeated::default());
        Self { database, state, running, owner, temporary, scripts, repeated }
    }

    /// The database.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Runs the statements of `sql` in order and gives the rows of the last one as they come. Statements before it are
    /// run to their end first.
    ///
    /// # Errors
    /// When the text is not SQL, a name is unknown, types do not fit, ... The statements before the failing one stay
    /// done. Errors that arise while rows are computed come out of the result.
    pub fn query(&self, sql: &str) -> Result<QueryResult> {
        self.query_with(sql, &[])
    }

    /// Like `query`, with values for `$1`, `$2`, ... or `?` in their order. All statements see the same values.
    ///
    /// # Errors
    /// As `query`, and when a value is missing or does not fit its place.
    pub fn query_with(&self, sql: &str, parameters: &[Scalar]) -> Result<QueryResult> {
        let script = self.scripts.get(sql)?;
        let Some(((last, own), before)) = script.statements.split_last() else {
            return Ok(QueryResult::changed(0));
        };
        for (statement, kept) in before {
            for batch in self.run(statement, parameters, kept)? {
                batch?;
            }
        }
        self.run(last, parameters, own)
    }

    /// Like `query_with`, with values for `$name` by name.
    ///
    /// # Errors
    /// As `query_with`.
    pub fn query_named(&self, sql: &str, parameters: &[(&str, Scalar)]) -> Result<QueryResult> {
        let statements = self.statements(sql)?;
        let Some((last, before)) = statements.split_last() else {
            return Ok(QueryResult::changed(0));
        };
        for statement in before {
            for batch in statement.query_named(parameters)? {
                batch?;
            }
        }
        last.query_named(parameters)
    }

    /// Runs the statements of `sql` to their end and says how many rows the last one changed.
    ///
    /// # Errors
    /// As `query`, and what arises while rows are computed.
    pub fn execute(&self, sql: &str) -> Result<u64> {
        let mut result = self.query(sql)?;
        let changed = result.rows_changed();
        result.try_for_each(|batch| batch.map(drop))?;
        Ok(changed)
    }

    /// Parses one statement, to be run several times with other parameters.
    ///
    /// ```
    /// use stoadb::{Database, Scalar};
    ///
    /// let connection = Database::open_in_memory().connect();
    /// let statement = connection.prepare("SELECT $1 + 1")?;
    /// for batch in statement.query(&[Scalar::int64(41)])? {
    ///     assert_eq!(stoadb::to_text(batch?.column(0))?.value(0), "42");
    /// }
    /// # Ok::<(), stoadb::Error>(())
    /// ```
    ///
    /// # Errors
    /// When the text is not exactly one SQL statement.
    pub fn prepare(&self, sql: &str) -> Result<Statement<'_>> {
        let mut statements = self.statements(sql)?;
        match (statements.pop(), statements.pop()) {
            (Some(statement), None) => Ok(statement),
            _ => Err(Error::new(ErrorKind::Syntax, "prepare takes exactly one statement")),
        }
    }

    /// Parses the statements of a script, to be run one by one.
    ///
    /// # Errors
    /// When the text is not SQL.
    pub fn statements(&self, sql: &str) -> Result<Vec<Statement<'_>>> {
        Ok(self.statements_of(Arc::new(Script::parse(sql)?)))
    }

    /// Like `statements`, but the connection remembers what it made of the texts that it was given lately: for programs
    /// that run the same text again and again without holding prepared statements.
    ///
    /// # Errors
    /// As `statements`.
    pub fn remembered(&self, sql: &str) -> Result<Vec<Statement<'_>>> {
        Ok(self.statements_of(self.scripts.get(sql)?))
    }

    fn statements_of(&self, script: Arc<Script>) -> Vec<Statement<'_>> {
        let statement =
            |number| Statement { connection: self, script: Arc::clone(&script), number };
        (0..script.statements.len()).map(statement).collect()
    }

    /// Makes Arrow batches readable as a table, without copying or looking at them. A registered relation
    /// of that name is replaced.
    ///
    /// # Errors
    /// When a column's type has no counterpart in SQL, a batch does not fit the schema, or a table or a view has the name.
    pub fn register(&self, name: &str, schema: SchemaRef, batches: Vec<RecordBatch>) -> Result<()> {
        self.register_relation(name, BatchTable::new(schema, batches)?)
    }

    /// Makes a relation of the caller's own readable as a table. A registered relation of that name is replaced.
    ///
    /// # Errors
    /// When a table or a view has the name.
    pub fn register_relation(&self, name: &str, relation: Arc<dyn Relation>) -> Result<()> {
        let mut state = self.lock();
        let key = entry_name(&state.settings.schema, name);
        run::change(self, &mut state, |transaction| {
            transaction.register(&key, relation, IfExists::Replace)?;
            Ok(())
        })
    }

    /// Makes a relation of the caller's own readable as a table by this connection alone. One of that name is replaced;
    /// a table of that name in another schema is hidden.
    ///
    /// # Errors
    /// When a temporary table or a view has the name.
    pub fn register_temporary(&self, name: &str, relation: Arc<dyn Relation>) -> Result<()> {
        let mut state = self.lock();
        let key = entry_name(&self.temporary, name);
        run::change(self, &mut state, |transaction| {
            transaction.register(&key, relation, IfExists::Replace)?;
            Ok(())
        })
    }

    /// Takes back what `register_relation` or, if `temporary`, `register_temporary` registered. Queries under way go on
    /// reading it. False when there is nothing of the name.
    ///
    /// # Errors
    /// When a table or a view has the name.
    pub fn unregister(&self, name: &str, temporary: bool) -> Result<bool> {
        let mut state = self.lock();
        let schema = if temporary { &self.temporary } else { &state.settings.schema };
        let key = entry_name(schema, name);
        run::change(self, &mut state, |transaction| {
            Ok(transaction.drop_entry(&key, EntryKind::External, true)?)
        })
    }

    /// Whether a transaction is open.
    pub fn is_in_transaction(&self) -> bool {
        self.lock().transaction.is_some()
    }

    /// Changes a setting, as SET does.
    ///
    /// # Errors
    /// As `Settings::set`.
    pub fn set(&self, name: &str, value: &str) -> Result<()> {
        self.lock().settings.set(name, value)
    }

    /// Cancels the statements that this connection is running, from another thread.
    pub fn interrupt(&self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        for flag in running.iter().filter_map(Weak::upgrade) {
            flag.store(true, Ordering::Relaxed);
        }
    }

    /// The settings of the connection.
    pub fn settings(&self) -> Settings {
        self.lock().settings.clone()
    }

    fn owner(&self) -> MutexGuard<'_, Option<ThreadId>> {
        self.owner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers a statement's cancel flag while the statement lives.
    pub(crate) fn started(&self, flag: &Arc<AtomicBool>) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.retain(|flag| flag.strong_count() > 0);
        running.push(Arc::downgrade(flag));
    }

    fn run(
        &self,
        statement: &ParsedStatement,
        parameters: &[Scalar],
        kept: &KeptPlan,
    ) -> Result<QueryResult> {
        let again = if kept.is_made() { None } else { self.repeated.find(statement) };
        if let Some(general) = &again {
            let General { statement: asked, values, kept } = general;
            let result = self.run_for(asked, values, kept, Some(&statement.statement));
            // An error of planning is to be about the text as it stands.
            if !matches!(&result, Err(error) if error.kind.is_of_the_text()) {
                return result;
            }
        }
        self.run_for(statement, parameters, kept, None)
    }

    /// The same. Errors have their places in `text` where that is not the statement of the plan that is kept.
    fn run_for(
        &self,
        statement: &ParsedStatement,
        parameters: &[Scalar],
        kept: &KeptPlan,
        text: Option<&ast::Statement>,
    ) -> Result<QueryResult> {
        if parameters.len() < statement.parameters {
            let (given, wanted) = (parameters.len(), statement.parameters);
            let message = format!("the statement has {wanted} parameters, {given} were given");
            return Err(Error::new(ErrorKind::Value, message));
        }
        // On a host's pool a thread that waits for a statement's workers may be given another task of the host's.
        if *self.owner() == Some(thread::current().id()) {
            let message = "the connection is busy with another statement on this thread";
            return Err(Error::new(ErrorKind::Catalog, message)
                .with_hint("give every task a connection of its own"));
        }
        let run = || {
            let mut state = self.lock();
            *self.owner() = Some(thread::current().id());
            let result = match run::run_kept(self, &state, text, parameters, kept) {
                Some(result) => result,
                None => sql::parse::with_stack(statement.range.len(), || {
                    run::run(self, &mut state, statement, parameters, kept)
                }),
            };
            *self.owner() = None;
            result
        };
        // A panic in planning is a bug of ours, but not one to end the host's process with.
        catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| {
            *self.owner() = None;
            Err(Error::internal("planning or running the statement panicked"))
        })
    }
}

/// A prepared statement. A query is planned when it is first run, and again only when something that its plan depends on
/// has changed since: the catalog, a setting, a parameter that is more than an operand of a comparison, a file, the clock.
pub struct Statement<'a> {
    connection: &'a Connection,
    script: Arc<Script>,
    /// Which statement of the script.
    number: usize,
}

impl Statement<'_> {
    fn parts(&self) -> &(ParsedStatement, KeptPlan) {
        &self.script.statements[self.number]
    }

    #[cfg(test)]
    pub(crate) fn kept(&self) -> &KeptPlan {
        &self.parts().1
    }

    /// How many parameters it has.
    pub fn parameters(&self) -> usize {
        self.parts().0.parameters
    }

    /// The names of its parameters, in the order of their numbers; none if they have numbers alone.
    pub fn parameter_names(&self) -> &[String] {
        &self.parts().0.names
    }

    /// Whether it only reads: its rows are computed on the database's threads while they are read. Any other statement
    /// runs to its end on the calling thread.
    pub fn is_query(&self) -> bool {
        let (parsed, _) = self.parts();
        match &parsed.statement {
            ast::Statement::Query(query) => {
                let changes = matches!(*query.body, SetExpr::Delete(_) | SetExpr::Update(_));
                !changes && !parsed.summarize
            }
            _ => false,
        }
    }

    /// The names without a schema, as they are written, that the statement reads from and behind which there is nothing
    /// now; those that it makes itself left out. For hosts that know of more tables than the catalog.
    pub fn unknown_names(&self) -> Vec<String> {
        let state = self.connection.lock();
        let session = Session::new(self.connection, &state, &[]);
        drop(state);
        unknown::unknown(&session.names, &self.parts().0.statement)
    }

    /// Runs it with values for its parameters by name, whose case does not count.
    ///
    /// # Errors
    /// As `Connection::query_with`.
    pub fn query_named(&self, parameters: &[(&str, Scalar)]) -> Result<QueryResult> {
        let value = |name: &String| {
            let given = parameters.iter().find(|(given, _)| given.to_lowercase() == *name);
            given.map(|(_, value)| value.clone()).ok_or_else(|| {
                let message = format!("the parameter ${name} has no value");
                Error::new(ErrorKind::Value, message)
            })
        };
        self.query(&self.parameter_names().iter().map(value).collect::<Result<Vec<_>>>()?)
    }

    /// Runs it with values for its parameters.
    ///
    /// # Errors
    /// As `Connection::query_with`.
    pub fn query(&self, parameters: &[Scalar]) -> Result<QueryResult> {
        let (parsed, kept) = self.parts();
        self.connection.run(parsed, parameters, kept)
    }
}
