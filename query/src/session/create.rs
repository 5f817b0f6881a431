//! CREATE TABLE, CREATE TABLE AS, CREATE VIEW, DROP.
//!
//! Invariant: a clause that is not honoured is refused by name; a statement that fails leaves no table behind.

use std::{collections::HashSet, sync::Arc};

use stoadb_engine::{Expr, Plan, op::write::Write};
use stoadb_storage::{
    ColumnDef, LogicalType, Schema,
    catalog::{
        Entry, EntryKind, IfExists, View,
        name::{is_temporary, shown_name},
    },
    table::{Segment, TableRules, TableVersion},
};

use crate::{
    error::{Error, ErrorKind, Result},
    session::{
        connection::State,
        indexes,
        names::Names,
        result::QueryResult,
        rules,
        run::{self, Prepared, Session},
        schemas,
    },
    sql::{
        self,
        ast::{
            ColumnDef as AstColumn, CreateTable, CreateView, ObjectName, ObjectType, Statement,
            helpers::stmt_create_table::CreateTableBuilder,
        },
    },
};

pub(super) fn if_exists(or_replace: bool, if_not_exists: bool) -> IfExists {
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
        .temporary(create.temporary)
        .columns(create.columns.clone())
        .constraints(create.constraints.clone())
        .query(create.query.clone())
        .build();
    if plain != *create {
        return Err(Error::unsupported("a clause of this CREATE TABLE")
            .with_hint("columns with types and constraints, or AS a query, are"));
    }
    let name = session.names.new_key(&create.name, create.temporary)?;
    let if_exists = if_exists(create.or_replace, create.if_not_exists);
    if if_exists == IfExists::Keep && session.names.snapshot.relation(&name).is_some() {
        return Ok(QueryResult::changed(0));
    }
    let (schema, rules, segments) = match &create.query {
        Some(query) if create.columns.is_empty() && create.constraints.is_empty() => {
            let prepared = session.prepare(&Statement::Query(query.clone()))?;
            let schema = Arc::new(table_schema(&prepared)?);
            let segments = write(session, prepared, &schema)?;
            (schema, TableRules::default(), segments)
        }
        Some(_) => return Err(Error::unsupported("CREATE TABLE with both columns and AS")),
        None if create.columns.is_empty() => {
            let message = format!("the table {} would have no columns", create.name);
            return Err(Error::new(ErrorKind::Catalog, message));
        }
        None => {
            let (schema, rules) =
                rules::declared(session, &name, &create.columns, &create.constraints)?;
            (Arc::new(schema), rules, Vec::new())
        }
    };
    let rows = segments.iter().map(|segment| segment.rows() as u64).sum();
    let table = TableVersion::new(schema, &segments)?
        .with_rules(Arc::new(rules), &stoadb_storage::index::Serial)?;
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
    plan.root = coerce(root, schema)?;
    let context = session.context(relations);
    let sink = Write::new(Arc::clone(schema));
    let shared: Arc<dyn stoadb_engine::op::Sink> = sink.clone();
    // Rows of anything else may take long, or much stack, each.
    let workers = session.workers_for(given_rows(&plan.root).unwrap_or(usize::MAX))?;
    stoadb_engine::execute_into(&plan, &shared, &context, &workers)?;
    Ok(sink.segments())
}

/// How many rows a plan gives that stand in the statement, as constants that are at most cast.
fn given_rows(plan: &Plan) -> Option<usize> {
    let is_plain = |expr: &Expr| match expr {
        Expr::Cast { input, .. } => matches!(**input, Expr::Literal(_) | Expr::Column { .. }),
        expr => matches!(expr, Expr::Literal(_) | Expr::Column { .. }),
    };
    match plan {
        Plan::Values { rows, .. } => rows.iter().flatten().all(is_plain).then_some(rows.len()),
        Plan::Project { input, exprs, .. } if exprs.iter().all(is_plain) => given_rows(input),
        _ => None,
    }
}

/// The plan with its columns cast to a table's types where they differ.
///
/// # Errors
/// `Type` when numbers would become moments or moments numbers.
pub(crate) fn coerce(root: Plan, schema: &Arc<Schema>) -> Result<Plan> {
    let types = root.schema().columns.iter().map(|column| &column.ty);
    if types.eq(schema.columns.iter().map(|column| &column.ty)) {
        return Ok(root);
    }
    for (from, ColumnDef { name, ty: to, .. }) in root.schema().columns.iter().zip(&schema.columns)
    {
        let hint = match (&from.ty, to) {
            (from, to) if from.is_numeric() && to.is_moment() => "write a text: '2024-01-31'",
            (from, to) if from.is_moment() && to.is_numeric() => "epoch(x) gives the seconds",
            _ => continue,
        };
        let message = format!("the column '{name}' is of type {to}, but gets {}", from.ty);
        return Err(Error::new(ErrorKind::Type, message).with_hint(hint));
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
    Ok(Plan::Project { input: Box::new(root), schema: schema.as_ref().clone(), exprs })
}

/// The columns of a query's result.
pub(crate) fn result_schema(prepared: &Prepared) -> Result<Schema> {
    Ok(Schema::from_arrow(&prepared.schema)?)
}

/// The columns of the table that a query makes. A bare NULL becomes an INTEGER.
pub(super) fn table_schema(prepared: &Prepared) -> Result<Schema> {
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

pub(super) fn check_names(schema: &Schema) -> Result<()> {
    for (index, column) in schema.columns.iter().enumerate() {
        let before = &schema.columns[..index];
        if before.iter().any(|other| other.name.eq_ignore_ascii_case(&column.name)) {
            let message = format!("the table would have two columns of the name '{}'", column.name);
            return Err(Error::new(ErrorKind::Catalog, message).with_hint("rename one with AS"));
        }
    }
    Ok(())
}

/// Columns of the names and types that are declared.
pub(super) fn declared_types(session: &Session<'_>, columns: &[AstColumn]) -> Result<Schema> {
    // The planner knows what a type's name means: ask it for NULLs of the types.
    let nulls = columns.iter().map(|column| format!("CAST(NULL AS {})", column.data_type));
    let query = format!("SELECT {}", nulls.collect::<Vec<_>>().join(", "));
    let parsed = sql::parse(&query)?;
    let Some(parsed) = parsed.first() else { return Err(Error::internal("no query")) };
    let types = session.prepare(&parsed.statement).map_err(|mut error| {
        error.span = None;
        error
    })?;
    let mut schema = result_schema(&types)?;
    for (column, declared) in schema.columns.iter_mut().zip(columns) {
        column.name.clone_from(&declared.name.value);
    }
    Ok(schema)
}

/// The columns of a table, a view or a file, and the rules of a table.
pub(crate) fn describe(
    session: &Session<'_>,
    name: &ObjectName,
    select: &Statement,
) -> Result<(Schema, Arc<TableRules>)> {
    let key = session.names.key(name).ok();
    match key.as_deref().and_then(|key| session.names.snapshot.relation(key)) {
        Some(Entry::Table(table)) => {
            Ok((table.shared_schema().as_ref().clone(), Arc::clone(table.rules())))
        }
        Some(Entry::External(relation)) => Ok((relation.schema().clone(), Arc::default())),
        _ => Ok((result_schema(&session.prepare(select)?)?, Arc::default())),
    }
}

/// `CREATE VIEW`. The query must be one that can be planned now.
pub(crate) fn view(
    session: &Session<'_>,
    state: &mut State,
    create: &CreateView,
) -> Result<QueryResult> {
    if create.materialized || create.to.is_some() {
        return Err(Error::unsupported("this form of CREATE VIEW"));
    }
    let name = session.names.new_key(&create.name, create.temporary)?;
    let columns: Vec<_> = create.columns.iter().map(|column| column.name.to_string()).collect();
    let mut query = create.query.clone();
    session.names.qualify(&mut query, is_temporary(&name))?;
    let sql = match columns.is_empty() {
        true => query.to_string(),
        false => format!("SELECT * FROM ({query}) AS v({})", columns.join(", ")),
    };
    // An error's place is one of the statement, not of the text that is kept.
    session.prepare(&Statement::Query(create.query.clone()))?;
    let parsed = sql::parse(&sql)?;
    let Some(parsed) = parsed.first() else { return Err(Error::internal("no query")) };
    let plain = Session { names: session.names.plain(), ..session.same() };
    plain.prepare(&parsed.statement).map_err(|error| Error { span: None, ..error })?;
    if create.or_replace && reads(&plain.names, &sql, &name, &mut HashSet::new())? {
        let message = format!("the view '{}' would read itself", shown_name(&name));
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
fn reads(names: &Names<'_>, sql: &str, wanted: &str, seen: &mut HashSet<String>) -> Result<bool> {
    for parsed in sql::parse(sql)? {
        let mut statement = parsed.statement;
        for relation in sql::sources::collect(&mut statement)?.relations {
            let parts: Vec<&str> = relation.parts.iter().map(|(part, _)| part.as_str()).collect();
            let Some(name) = names.known_key(&parts) else { continue };
            if sql::names::fold(&name) == sql::names::fold(wanted) {
                return Ok(true);
            }
            if let Some(Entry::View(view)) = names.snapshot.relation(&name)
                && seen.insert(name)
                && reads(names, &view.sql, wanted, seen)?
            {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// `DROP TABLE` and `DROP VIEW`.
pub(crate) fn drop(
    session: &Session<'_>,
    state: &mut State,
    kind: ObjectType,
    names: &[ObjectName],
    missing_ok: bool,
    cascade: bool,
) -> Result<QueryResult> {
    let kind = match kind {
        // No view, key or macro depends on a table: CASCADE has nothing to do.
        ObjectType::Table => EntryKind::Table,
        ObjectType::View => EntryKind::View,
        ObjectType::Index => return indexes::drop(session, state, names, missing_ok),
        ObjectType::Schema => return schemas::drop(session, state, names, missing_ok, cascade),
        other => return Err(Error::unsupported(format!("DROP {other}"))),
    };
    run::change(session.connection, state, |transaction| {
        for name in names {
            let name = match session.names.key(name) {
                Err(_) if missing_ok => continue,
                name => name?,
            };
            // A registered relation is a table to whoever drops it.
            let found = transaction.snapshot().relation(&name).map(|entry| entry.kind());
            let external = kind == EntryKind::Table && found == Some(EntryKind::External);
            let kind = if external { EntryKind::External } else { kind };
            transaction.drop_entry(&name, kind, missing_ok)?;
        }
        Ok(QueryResult::changed(0))
    })
}
