//! Runs one statement: the table of contents of what StoaDB can be told.
//!
//! Invariant: what is not named here is refused by name.
//! Next: `create.rs`, `insert.rs`, `change.rs`, `explain.rs`, `show.rs`, `summarize.rs`.

use std::{
    borrow::Cow,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::Arc,
};

use arrow::datatypes::{Field, Schema as ArrowSchema, SchemaRef};
use stoadb_engine::{Plan, QueryContext, QueryPlan, scheduler::Workers};
use stoadb_storage::{
    Relation, Scalar,
    catalog::{CatalogSnapshot, EntryKind, Transaction, name::split_name},
    table::TableRules,
};

use crate::{
    error::{Error, ErrorKind, Result},
    lower::{self, LowerSettings, Lowered, translate},
    planner::{NullOrder, PlannerSettings, plan_query},
    session::{
        alter, change,
        connection::{Connection, State},
        copy, create, explain, export, index_info, indexes, insert,
        kept::{KeptPlan, Runnable, Template},
        macros, merge,
        names::Names,
        pivots, pragma, prepared,
        result::QueryResult,
        save, schemas,
        settings::Settings,
        show, summarize, vacuum,
    },
    sql::{
        ParsedStatement,
        ast::{
            DescribeAlias, Expr, Query, Reset, Set, SetExpr, Statement, TransactionAccessMode,
            TransactionIsolationLevel, TransactionMode, Value,
        },
        names::fold,
        raised::Raising,
    },
};

/// What a statement runs under.
pub(crate) struct Session<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) settings: Settings,
    pub(crate) names: Names<'a>,
    pub(crate) parameters: &'a [Scalar],
}

/// A query ready to run.
pub(crate) struct Prepared {
    pub(crate) plan: QueryPlan,
    /// What the plan was made of, if it can be made for other values of parameters too.
    pub(crate) template: Option<Template>,
    pub(crate) relations: Vec<Arc<dyn Relation>>,
    /// The result's columns under the names that the query gives them; names may repeat.
    pub(crate) schema: SchemaRef,
    /// Whether the same query has the same plan on the same catalog: it reads no clock.
    pub(crate) repeatable: bool,
}

impl Prepared {
    /// A plan that reads no relation, for a statement's own use.
    pub(crate) fn alone(root: Plan) -> Self {
        let fields = root.schema().columns.iter();
        let fields = fields.map(|column| Field::new(&column.name, column.ty.to_arrow(), true));
        let schema = Arc::new(ArrowSchema::new(fields.collect::<Vec<_>>()));
        let plan = QueryPlan { root, subqueries: Vec::new(), shared: Vec::new() };
        Self { plan, template: None, relations: Vec::new(), schema, repeatable: true }
    }
}

/// Starts a query whose plan was kept and still holds; `None` when there is none. Needs little stack. The places of errors
/// are those in `text` if it is another one than that which the plan was made for.
pub(crate) fn run_kept(
    connection: &Connection,
    state: &State,
    text: Option<&Statement>,
    parameters: &[Scalar],
    kept: &KeptPlan,
) -> Option<Result<QueryResult>> {
    let session = Session::new(connection, state, parameters);
    let mut runnable = kept.get(&session)?;
    if let (Ok(runnable), Some(text)) = (&mut runnable, text) {
        runnable.place = Some(place_of(text, &session.names.snapshot));
    }
    Some(runnable.and_then(|runnable| session.start(runnable)))
}

/// Runs a statement; `kept` gets its plan for the next run.
pub(crate) fn run(
    connection: &Connection,
    state: &mut State,
    parsed: &ParsedStatement,
    parameters: &[Scalar],
    kept: &KeptPlan,
) -> Result<QueryResult> {
    match &parsed.statement {
        statement if parsed.summarize => {
            summarize::summarize(&Session::new(connection, state, parameters), statement)
        }
        Statement::StartTransaction { modes, .. } => {
            // Every transaction reads and writes, on a snapshot.
            let mode = modes.iter().find(|mode| {
                matches!(
                    mode,
                    TransactionMode::AccessMode(TransactionAccessMode::ReadOnly)
                        | TransactionMode::IsolationLevel(TransactionIsolationLevel::Serializable)
                )
            });
            match mode {
                Some(mode) => Err(Error::unsupported(format!("a transaction that is {mode}"))),
                None => begin(connection, state),
            }
        }
        Statement::Commit { chain: true, .. } | Statement::Rollback { chain: true, .. } => {
            Err(Error::unsupported("AND CHAIN").with_hint("write BEGIN behind it"))
        }
        Statement::Commit { .. } => {
            let transaction = state.transaction.take().ok_or_else(no_transaction)?;
            transaction.commit()?;
            Ok(QueryResult::changed(0))
        }
        Statement::Rollback { savepoint: None, .. } => {
            state.transaction.take().ok_or_else(no_transaction)?;
            Ok(QueryResult::changed(0))
        }
        Statement::Set(set) => assign(connection, state, set),
        Statement::Use(used) => schemas::used(connection, state, used),
        Statement::Prepare { .. } | Statement::Execute { .. } | Statement::Deallocate { .. } => {
            prepared::run(connection, state, parsed, parameters)
        }
        Statement::Reset(reset) => match &reset.reset {
            Reset::ALL => {
                state.settings = Settings::default();
                Ok(QueryResult::changed(0))
            }
            Reset::ConfigurationParameter(name) => {
                state.settings.reset(&name.to_string())?;
                Ok(QueryResult::changed(0))
            }
        },
        Statement::ShowVariable { variable } => match variable.as_slice() {
            [name] if name.value.eq_ignore_ascii_case("all") => show::show_all(&state.settings),
            [name] if name.value.eq_ignore_ascii_case("indexes") => {
                index_info::show(&Session::new(connection, state, parameters).names)
            }
            [name] => show::show_setting(&state.settings, &name.value),
            _ => Err(unsupported(&parsed.statement)),
        },
        Statement::Pragma { name, value, .. } => {
            pragma::run(connection, state, name, value.as_ref().map(|value| &value.value))
        }
        Statement::Copy { .. } => copy::run(connection, state, parsed, parameters),
        Statement::Call(call) if export::is_call(call) => {
            export::run(connection, state, call, &parsed.options, parameters)
        }
        // `SAVE TO 'folder'` is parsed as `CALL save('folder')`.
        Statement::Call(call) => save::call(connection, state, call, parameters),
        statement @ Statement::Query(query) if !is_change(query) => {
            let session = Session::new(connection, state, parameters);
            let place = place_of(statement, &session.names.snapshot);
            let runnable = session.plan(statement, kept, &place);
            runnable.and_then(|runnable| session.start(runnable)).map_err(|error| place(error))
        }
        statement => autocommit(connection, state, statement, parameters),
    }
}

/// Whether a query is a DELETE or an UPDATE behind WITH.
fn is_change(query: &Query) -> bool {
    matches!(&*query.body, SetExpr::Delete(_) | SetExpr::Update(_))
}

/// Runs a statement in the open transaction; a statement that changes something, in one of its own if none is open, so
/// that what it reads and what it changes are of one snapshot.
pub(crate) fn autocommit(
    connection: &Connection,
    state: &mut State,
    statement: &Statement,
    parameters: &[Scalar],
) -> Result<QueryResult> {
    let changes = match statement {
        Statement::Query(query) => is_change(query),
        statement => matches!(
            statement,
            Statement::CreateTable(_)
                | Statement::CreateView(_)
                | Statement::CreateSchema { .. }
                | Statement::CreateMacro { .. }
                | Statement::CreateIndex(_)
                | Statement::AlterTable(_)
                | Statement::DropFunction(_)
                | Statement::Drop { .. }
                | Statement::Insert(_)
                | Statement::Delete(_)
                | Statement::Update(_)
                | Statement::Truncate(_)
                | Statement::Merge(_)
        ),
    };
    if !changes || state.transaction.is_some() {
        return run_on_data(connection, state, statement, parameters);
    }
    state.transaction = Some(connection.database.catalog().begin());
    let run = || run_on_data(connection, state, statement, parameters);
    let result = catch_unwind(AssertUnwindSafe(run));
    // Whatever happened, a panic included, the statement's own transaction ends with it.
    let transaction = state.transaction.take();
    let result = result.unwrap_or_else(|panic| resume_unwind(panic))?;
    transaction.map_or(Ok(0), |transaction| transaction.commit())?;
    Ok(result)
}

/// Statements that read or change tables.
fn run_on_data(
    connection: &Connection,
    state: &mut State,
    statement: &Statement,
    parameters: &[Scalar],
) -> Result<QueryResult> {
    let session = Session::new(connection, state, parameters);
    let place = place_of(statement, &session.names.snapshot);
    let result = run_with(&session, state, statement);
    result.map(|rows| rows.with_place(Some(Arc::clone(&place)))).map_err(|error| place(error))
}

/// What finds the places of errors that rows of the statement raise.
pub(crate) fn place_of(
    statement: &Statement,
    snapshot: &CatalogSnapshot,
) -> Arc<dyn Fn(Error) -> Error + Send + Sync> {
    let raising = Raising::of(statement);
    let views = snapshot.entries().filter(|(_, entry)| entry.kind() == EntryKind::View);
    let views: Vec<String> = views.map(|(name, _)| fold(split_name(name).1)).collect();
    Arc::new(move |error| raising.placed(error, |name| views.iter().any(|view| view == name)))
}

fn run_with(
    session: &Session<'_>,
    state: &mut State,
    statement: &Statement,
) -> Result<QueryResult> {
    match statement {
        // WITH stands before a DELETE or an UPDATE.
        Statement::Query(query) => match &*query.body {
            SetExpr::Delete(Statement::Delete(delete)) => {
                change::delete(session, state, query.with.as_ref(), delete)
            }
            SetExpr::Update(Statement::Update(update)) => {
                change::update(session, state, query.with.as_ref(), update)
            }
            _ => Err(unsupported(statement)),
        },
        Statement::Explain { verbose: true, .. } => Err(Error::unsupported("EXPLAIN VERBOSE")
            .with_hint("EXPLAIN ANALYZE runs the query and says most")),
        Statement::Explain { describe_alias, analyze, statement, format, options, .. } => {
            let how = explain::How::of(*analyze, format.as_ref(), options.as_deref())?;
            match describe_alias {
                DescribeAlias::Explain => explain::explain(session, statement, how),
                _ => {
                    let schema = create::result_schema(&session.prepare(statement)?)?;
                    show::describe(&schema, &TableRules::default())
                }
            }
        }
        Statement::ExplainTable { table_name, .. } => {
            let query = crate::sql::parse(&format!("SELECT * FROM {table_name}"))?;
            match query.first() {
                Some(query) => {
                    let (schema, rules) = create::describe(session, table_name, &query.statement)?;
                    show::describe(&schema, &rules)
                }
                None => Err(unsupported(statement)),
            }
        }
        Statement::ShowTables { .. } if statement.to_string() != "SHOW TABLES" => {
            Err(Error::unsupported("a clause of this SHOW TABLES"))
        }
        Statement::ShowTables { .. } => {
            let tables = session.names.visible().filter(|(_, plain, _)| *plain);
            show::show_tables(tables.map(|(name, _, e)| (name, e.kind().to_string())).collect())
        }
        Statement::CreateTable(create) => create::table(session, state, create),
        Statement::CreateView(create) => create::view(session, state, create),
        Statement::CreateSchema { .. } => schemas::create(session, state, statement),
        Statement::CreateMacro { .. } => macros::create(session, state, statement),
        Statement::DropFunction(drop) => macros::drop(session, state, drop),
        Statement::CreateIndex(create) => indexes::create(session, state, create),
        Statement::AlterTable(change) => alter::table(session, state, change),
        Statement::Drop { object_type, if_exists, names, cascade, temporary, table, .. } => {
            if *temporary || table.is_some() {
                return Err(Error::unsupported("this form of DROP"));
            }
            create::drop(session, state, *object_type, names, *if_exists, *cascade)
        }
        Statement::Insert(insert) => insert::insert(session, state, insert),
        Statement::Delete(delete) => change::delete(session, state, None, delete),
        Statement::Update(update) => change::update(session, state, None, update),
        Statement::Merge(merging) => merge::merge(session, state, merging),
        Statement::Truncate(truncate) => change::truncate(session, state, truncate),
        Statement::Vacuum(what) => vacuum::vacuum(session, state, what),
        other => Err(unsupported(other)),
    }
}

impl<'a> Session<'a> {
    pub(crate) fn new(connection: &'a Connection, state: &State, parameters: &'a [Scalar]) -> Self {
        let snapshot = match &state.transaction {
            Some(transaction) => Arc::clone(transaction.snapshot()),
            None => connection.database.catalog().snapshot(),
        };
        let names = Names {
            database: &connection.database,
            snapshot,
            own: Vec::new(),
            schema: state.settings.schema.clone(),
            temporary: connection.temporary.clone(),
            plain: false,
        };
        Self { connection, settings: state.settings.clone(), names, parameters }
    }

    /// The same with a relation that stands for the table that the statement changes.
    pub(crate) fn reading(&self, target: Arc<dyn Relation>) -> Session<'_> {
        self.reading_all(vec![(change::target_name(), target)])
    }

    /// The same with relations of the statement's own.
    pub(crate) fn reading_all(&self, own: Vec<(String, Arc<dyn Relation>)>) -> Session<'_> {
        let names = Names {
            own,
            snapshot: Arc::clone(&self.names.snapshot),
            schema: self.names.schema.clone(),
            temporary: self.names.temporary.clone(),
            ..self.names
        };
        Session { names, ..self.same() }
    }

    /// The same.
    pub(crate) fn same(&self) -> Session<'_> {
        let (connection, parameters) = (self.connection, self.parameters);
        let names = Names {
            own: self.names.own.clone(),
            snapshot: Arc::clone(&self.names.snapshot),
            schema: self.names.schema.clone(),
            temporary: self.names.temporary.clone(),
            ..self.names
        };
        Session { connection, settings: self.settings.clone(), names, parameters }
    }

    /// Plans a query.
    pub(crate) fn prepare(&self, statement: &Statement) -> Result<Prepared> {
        self.prepare_for(statement, false)
    }

    /// Plans a query, with `leave_open` for other values of its parameters too.
    pub(super) fn prepare_for(&self, statement: &Statement, leave_open: bool) -> Result<Prepared> {
        let null_order = if self.settings.nulls_first { NullOrder::First } else { NullOrder::Last };
        let settings = PlannerSettings {
            default_null_order: null_order,
            time_zone: None,
            optimizer: self.settings.optimizer,
            open_parameters: leave_open,
        };
        let parameters: Vec<_> = self.parameters.iter().cloned().map(Some).collect();
        let resolved = pivots::resolve(self, statement)?;
        let asked = matches!(resolved, Cow::Owned(_));
        let statement = resolved.as_ref();
        let planned = plan_query(statement, &self.names, &settings, &parameters)?;
        let Lowered { plan, relations } = translate(&planned.plan)?;
        let open = planned.open.iter().any(Option::is_some);
        let template = open.then(|| Template { plan: plan.clone(), open: planned.open });
        let values = template.as_ref().map(|template| template.values(self.parameters));
        let missing = || Error::internal("a parameter has no value of its type");
        let values = values.map(|values| values.ok_or_else(missing)).transpose()?;
        let plan = self.finish(plan, &relations, &values.unwrap_or_default())?;
        let columns = &plan.root.schema().columns;
        let field = |(column, name): (&stoadb_storage::ColumnDef, &String)| {
            Field::new(name, column.ty.to_arrow(), true)
        };
        if columns.len() != planned.output_names.len() {
            return Err(Error::internal("the plan lost a column"));
        }
        let fields: Vec<_> = columns.iter().zip(&planned.output_names).map(field).collect();
        let schema = Arc::new(ArrowSchema::new(fields));
        // Other data may have other values to pivot on.
        let repeatable = planned.repeatable && !asked;
        Ok(Prepared { plan, template, relations, schema, repeatable })
    }

    /// Gives a translated plan the values of its parameters, and makes of it what runs.
    pub(crate) fn finish(
        &self,
        mut plan: QueryPlan,
        relations: &[Arc<dyn Relation>],
        values: &[Scalar],
    ) -> Result<QueryPlan> {
        lower::give(&mut plan, values);
        lower::finish(plan, relations, &LowerSettings { optimize: self.settings.optimizer })
    }

    /// A context for running over some relations.
    pub(crate) fn context(&self, relations: Vec<Arc<dyn Relation>>) -> Arc<QueryContext> {
        let functions = self.connection.database.functions().registry();
        let context = QueryContext::new(self.settings.engine.clone(), functions, relations);
        self.connection.started(&context.cancel_flag());
        Arc::new(context)
    }

    /// The workers of a query.
    pub(crate) fn workers(&self) -> Result<Workers> {
        let threads = self.settings.engine.threads;
        Ok(Workers::new(self.connection.database.pool(threads)?, threads))
    }

    /// The workers of a change by so many rows: the calling thread where they are few, as waking others would take longer.
    pub(crate) fn workers_for(&self, rows: usize) -> Result<Workers> {
        const FEW: usize = 1 << 10;
        let workers = self.workers()?;
        Ok(if rows <= FEW { workers.here() } else { workers })
    }

    /// Starts a query.
    pub(crate) fn stream(&self, prepared: Prepared) -> Result<QueryResult> {
        let Prepared { plan, relations, schema, .. } = prepared;
        self.start(Runnable { plan: Arc::new(plan), relations, schema, place: None })
    }

    /// Plans a query and keeps the plan for the next run where it will be the same.
    fn plan(
        &self,
        statement: &Statement,
        kept: &KeptPlan,
        place: &Arc<dyn Fn(Error) -> Error + Send + Sync>,
    ) -> Result<Runnable> {
        // What cannot be planned for all values may be for these, and otherwise its error is of these.
        let opened = (!self.parameters.is_empty()).then(|| self.prepare_for(statement, true));
        let prepared = opened.and_then(Result::ok).map_or_else(|| self.prepare(statement), Ok)?;
        let Prepared { plan, template, relations, schema, repeatable } = prepared;
        let place = Some(Arc::clone(place));
        let runnable = Runnable { plan: Arc::new(plan), relations, schema, place };
        if repeatable {
            kept.put(self, &runnable, template);
        }
        Ok(runnable)
    }

    fn start(&self, runnable: Runnable) -> Result<QueryResult> {
        let Runnable { plan, relations, schema, place } = runnable;
        let stream = stoadb_engine::execute(plan, schema, self.context(relations), self.workers()?);
        Ok(QueryResult::stream(stream).with_place(place))
    }
}

/// Runs a change in the open transaction, or in one of its own. If it fails, nothing of it is left.
pub(crate) fn change<T>(
    connection: &Connection,
    state: &mut State,
    change: impl FnOnce(&mut Transaction) -> Result<T>,
) -> Result<T> {
    if let Some(transaction) = &mut state.transaction {
        let savepoint = transaction.savepoint();
        return change(transaction).inspect_err(|_| transaction.rollback_to(savepoint));
    }
    let mut transaction = connection.database.catalog().begin();
    let value = change(&mut transaction)?;
    transaction.commit()?;
    Ok(value)
}

fn begin(connection: &Connection, state: &mut State) -> Result<QueryResult> {
    if state.transaction.is_some() {
        let message = "a transaction is open already; COMMIT or ROLLBACK it first";
        return Err(Error::new(ErrorKind::Catalog, message));
    }
    state.transaction = Some(connection.database.catalog().begin());
    Ok(QueryResult::changed(0))
}

fn no_transaction() -> Error {
    Error::new(ErrorKind::Catalog, "no transaction is open; BEGIN opens one")
}

fn assign(connection: &Connection, state: &mut State, set: &Set) -> Result<QueryResult> {
    let Set::SingleAssignment { scope: None, hivevar: false, variable, values } = set else {
        return Err(Error::unsupported(set));
    };
    let [value] = values.as_slice() else {
        return Err(Error::unsupported(format!("SET {variable} to several values")));
    };
    let text = match value {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) | Value::Number(text, _) => text.clone(),
            Value::Boolean(value) => value.to_string(),
            other => other.to_string(),
        },
        Expr::Identifier(name) => name.value.clone(),
        other => other.to_string(),
    };
    let name = variable.to_string();
    if ["schema", "search_path"].iter().any(|schema| name.eq_ignore_ascii_case(schema)) {
        return schemas::set(connection, state, &text);
    }
    let settings = &mut state.settings;
    match text.eq_ignore_ascii_case("default") {
        true => settings.reset(&name)?,
        false => settings.set(&name, &text)?,
    }
    Ok(QueryResult::changed(0))
}

/// Refuses a statement by its first words.
pub(crate) fn unsupported(statement: &Statement) -> Error {
    let text = statement.to_string();
    let words: Vec<_> = text.split_whitespace().take(2).collect();
    Error::unsupported(format!("the statement {}", words.join(" ")))
}
