//! CREATE TABLE, CREATE TABLE AS, CREATE VIEW, DROP.
//!
//! Invariant: a clause that is not honoured is refused by name; a statement that fails leaves no table behind.

use std::{collections::HashSet, sync::Arc};

use stoadb_engine::{Expr, Plan, op::write::Write};
use stoadb_storage::{
    ColumnDef, LogicalType, Schema,
    catalog::{Entry, EntryKind, IfExists, View},
    table::{Segment, TableVersion},
};

use crate::{
    error::{Error, ErrorKind, Result},
    session::{
        connection::{Connection, State},
        names::table_name,
        result::QueryResult,
        run::{self, Prepared, Session},
    },
    sql::{
        self,
        ast::{
            ColumnOption, CreateTable, CreateView, ObjectName, ObjectType, Statement,
            helpers::stmt_create_table::CreateTableBuilder,
        },
    },
};

fn if_exists(or_replace: bool, if_not_exists: bool) -> IfExists {
    match (or_replace, if_not_exists) {
        (_, true) => IfExists::Keep,
        (true, false) => IfExists::Replace,
        (false, false) => IfExists::Fail,
    }
}

/// `CREATE TABLE` with columns or `AS` a query.
pub(crate) fn table(
    session: &Session<'_>,
    state: &mut State,
    create: &CreateTable,
) -> Result<QueryResult> {
    let plain = CreateTableBuilder::new(create.name.clone())
        .or_replace(create.or_replace)
        .if_not_exists(create.if_not_exists)
        .columns(create.columns.clone())
        .query(create.query.clone())
        .build();
    if plain != *create {
        return Err(Error::unsupported("a clause of this CREATE TABLE")
            .with_hint("columns with types and NOT NULL, or AS a query, are"));
    }
    let name = table_name(&create.name)?;
    let if_exists = if_exists(create.or_replace, create.if_not_exists);
    if if_exists == IfExists::Keep && session.names.snapshot.relation(&name).is_some() {
        return Ok(QueryResult::changed(0));
    }
    let (schema, segments) = match &create.query {
        Some(query) if create.columns.is_empty() => {
            let prepared = session.prepare(&Statement::Query(query.clone()))?;
            let schema = Arc::new(table_schema(&prepared)?);
            let segments = write(session, prepared, &schema)?;
            (schema, segments)
        }
        Some(_) => return Err(Error::unsupported("CREATE TABLE with both columns and AS")),
        None => (Arc::new(declared_schema(session, create)?), Vec::new()),
    };
    let rows = segments.iter().map(|segment| segment.rows() as u64).sum();
    let table = TableVersion::new(schema, &segments)?;
    run::change(session.connection, state, |transaction| {
        Ok(transaction.create_table(&name, table, if_exists)?)
    })?;
    Ok(QueryResult::changed(rows))
}

/// Runs a query into segments of a table.
pub(crate) fn write(
    session: &Session<'_>,
    prepared: Prepared,
    schema: &Arc<Schema>,
) -> Result<Vec<Arc<Segment>>> {
    let Prepared { mut plan, relations, .. } = prepared;
    let root = std::mem::replace(
        &mut plan.root,
        Plan::Values { schema: Schema::default(), rows: Vec::new() },
    );
    plan.root = coerce(root, schema);
    let context = session.context(relations);
    let sink = Write::new(Arc::clone(schema));
    let shared: Arc<dyn stoadb_engine::op::Sink> = sink.clone();
    stoadb_engine::execute_into(&plan, &shared, &context, &session.workers()?)?;
    Ok(sink.segments())
}

/// The plan with its columns cast to a table's types where they differ.
pub(crate) fn coerce(root: Plan, schema: &Arc<Schema>) -> Plan {
    let types = root.schema().columns.iter().map(|column| &column.ty);
    if types.eq(schema.columns.iter().map(|column| &column.ty)) {
        return root;
    }
    let cast = |(index, (from, to)): (usize, (&ColumnDef, &ColumnDef))| {
        let input = Expr::column(index, from.ty.clone());
        match from.ty == to.ty {
            true => input,
            false => Expr::Cast { input: Box::new(input), ty: to.ty.clone(), or_null: false },
        }
    };
    let columns = root.schema().columns.iter().zip(&schema.columns).enumerate();
    let exprs = columns.map(cast).collect();
    Plan::Project { input: Box::new(root), schema: schema.as_ref().clone(), exprs }
}

/// The columns of a query's result.
pub(crate) fn result_schema(prepared: &Prepared) -> Result<Schema> {
    Ok(Schema::from_arrow(&prepared.schema)?)
}

/// The columns of the table that a query makes. A bare NULL becomes an INTEGER.
fn table_schema(prepared: &Prepared) -> Result<Schema> {
    let mut schema = result_schema(prepared)?;
    for column in &mut schema.columns {
        match column.ty {
            LogicalType::Null => column.ty = LogicalType::Int32,
            LogicalType::Duration(_) => column.ty = LogicalType::Interval,
            _ => {}
        }
    }
    check_names(&schema)?;
    Ok(schema)
}

fn check_names(schema: &Schema) -> Result<()> {
    for (index, column) in schema.columns.iter().enumerate() {
        let before = &schema.columns[..index];
        if before.iter().any(|other| other.name.eq_ignore_ascii_case(&column.name)) {
            let message = format!("the table would have two columns of the name '{}'", column.name);
            return Err(Error::new(ErrorKind::Catalog, message).with_hint("rename one with AS"));
        }
    }
    Ok(())
}

/// The columns of a CREATE TABLE.
fn declared_schema(session: &Session<'_>, create: &CreateTable) -> Result<Schema> {
    if create.columns.is_empty() {
        let message = format!("the table {} would have no columns", create.name);
        return Err(Error::new(ErrorKind::Catalog, message));
    }
    // The planner knows what a type's name means: ask it for NULLs of the types.
    let nulls = create.columns.iter().map(|column| format!("CAST(NULL AS {})", column.data_type));
    let query = format!("SELECT {}", nulls.collect::<Vec<_>>().join(", "));
    let parsed = sql::parse(&query)?;
    let Some(parsed) = parsed.first() else { return Err(Error::internal("no query")) };
    let types = session.prepare(&parsed.statement).map_err(|mut error| {
        error.span = None;
        error
    })?;
    let mut schema = result_schema(&types)?;
    for (column, declared) in schema.columns.iter_mut().zip(&create.columns) {
        column.name = declared.name.value.clone();
        for option in &declared.options {
            match &option.option {
                ColumnOption::NotNull => column.nullable = false,
                ColumnOption::Null => column.nullable = true,
                other => {
                    let name = &column.name;
                    return Err(Error::unsupported(format!("{other} of the column '{name}'")));
                }
            }
        }
    }
    check_names(&schema)?;
    Ok(schema)
}

/// The columns of a table, a view or a file.
pub(crate) fn describe(
    session: &Session<'_>,
    name: &ObjectName,
    select: &Statement,
) -> Result<Schema> {
    let table = table_name(name).ok();
    let entry = table.as_deref().and_then(|table| session.names.snapshot.relation(table));
    match entry.and_then(|entry| entry.relation()) {
        Some(relation) => Ok(relation.schema().clone()),
        None => result_schema(&session.prepare(select)?),
    }
}

/// `CREATE VIEW`. The query must be one that can be planned now.
pub(crate) fn view(
    session: &Session<'_>,
    state: &mut State,
    create: &CreateView,
) -> Result<QueryResult> {
    if create.materialized || create.temporary || create.to.is_some() {
        return Err(Error::unsupported("this form of CREATE VIEW"));
    }
    let name = table_name(&create.name)?;
    let columns: Vec<_> = create.columns.iter().map(|column| column.name.to_string()).collect();
    let sql = match columns.is_empty() {
        true => create.query.to_string(),
        false => format!("SELECT * FROM ({}) AS v({})", create.query, columns.join(", ")),
    };
    // An error's place is one of the statement, not of the text that is kept.
    session.prepare(&Statement::Query(create.query.clone()))?;
    let parsed = sql::parse(&sql)?;
    let Some(parsed) = parsed.first() else { return Err(Error::internal("no query")) };
    session.prepare(&parsed.statement).map_err(|error| Error { span: None, ..error })?;
    if create.or_replace && reads(session, &sql, &name, &mut HashSet::new())? {
        let message = format!("the view '{name}' would read itself");
        return Err(Error::new(ErrorKind::Catalog, message).with_hint("give it another name"));
    }
    let view = View { sql };
    let if_exists = if_exists(create.or_replace, create.if_not_exists);
    run::change(session.connection, state, |transaction| {
        Ok(transaction.create_view(&name, view, if_exists)?)
    })?;
    Ok(QueryResult::changed(0))
}

/// Whether a query names a relation, itself or in the views it reads. `seen` holds the views that were looked into.
fn reads(
    session: &Session<'_>,
    sql: &str,
    wanted: &str,
    seen: &mut HashSet<String>,
) -> Result<bool> {
    for parsed in sql::parse(sql)? {
        let mut statement = parsed.statement;
        for relation in sql::sources::collect(&mut statement)?.relations {
            let name = sql::names::fold(relation.last());
            if name == sql::names::fold(wanted) {
                return Ok(true);
            }
            let entry = session.names.snapshot.relation(relation.last());
            if let Some(Entry::View(view)) = entry
                && seen.insert(name)
                && reads(session, &view.sql, wanted, seen)?
            {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// `DROP TABLE` and `DROP VIEW`.
pub(crate) fn drop(
    connection: &Connection,
    state: &mut State,
    kind: ObjectType,
    names: &[ObjectName],
    missing_ok: bool,
) -> Result<QueryResult> {
    let kind = match kind {
        ObjectType::Table => EntryKind::Table,
        ObjectType::View => EntryKind::View,
        other => return Err(Error::unsupported(format!("DROP {other}"))),
    };
    run::change(connection, state, |transaction| {
        for name in names {
            let name = table_name(name)?;
            // A registered relation is a table to whoever drops it.
            let found = transaction.snapshot().relation(&name).map(|entry| entry.kind());
            let external = kind == EntryKind::Table && found == Some(EntryKind::External);
            let kind = if external { EntryKind::External } else { kind };
            transaction.drop_entry(&name, kind, missing_ok)?;
        }
        Ok(QueryResult::changed(0))
    })
}
