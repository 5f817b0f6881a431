//! INSERT: rows of a VALUES list or a query, appended to a table. Next: `returning.rs`.
//!
//! Invariant: values are cast to the table's types; columns that are not named get NULL; a statement that fails leaves no
//! row behind.

use std::sync::Arc;

use stoadb_engine::{Expr, Plan};
use stoadb_storage::{ColumnDef, LogicalType, Scalar, Schema, TableVersion};

use crate::{
    error::{Error, ErrorKind, Result},
    session::{
        change::Target,
        connection::State,
        create,
        result::QueryResult,
        returning::returning,
        run::{self, Session},
    },
    sql::ast::{Insert, ObjectName, Statement, TableObject},
};

/// `INSERT INTO table [(columns)] query`.
pub(crate) fn insert(
    session: &Session<'_>,
    state: &mut State,
    insert: &Insert,
) -> Result<QueryResult> {
    let (TableObject::TableName(name), Some(query)) = (&insert.table, &insert.source) else {
        return Err(Error::unsupported("this form of INSERT"));
    };
    let plain = Statement::Insert(Insert {
        optimizer_hints: Vec::new(),
        or: None,
        ignore: false,
        table_alias: None,
        overwrite: false,
        assignments: Vec::new(),
        partitioned: None,
        after_columns: Vec::new(),
        on: None,
        output: None,
        replace_into: false,
        priority: None,
        insert_alias: None,
        settings: None,
        format_clause: None,
        multi_table_insert_type: None,
        multi_table_into_clauses: Vec::new(),
        multi_table_when_clauses: Vec::new(),
        multi_table_else_clause: None,
        ..insert.clone()
    });
    if plain != Statement::Insert(insert.clone()) {
        return Err(Error::unsupported("a clause of this INSERT")
            .with_hint("INSERT INTO table [(columns)] with VALUES or a query is"));
    }
    let target = Target::named(session, name, None)?;
    let name = target.name.clone();
    let schema = Arc::clone(target.table.shared_schema());
    let targets = targets(insert, &schema, &name)?;

    let mut prepared = session.prepare(&Statement::Query(query.clone()))?;
    let given = prepared.plan.root.schema().len();
    if given != targets.len() {
        let message = format!("{} columns of '{name}' get {given} values", targets.len());
        return Err(Error::new(ErrorKind::Type, message));
    }
    let empty = Plan::Values { schema: Schema::default(), rows: Vec::new() };
    let root = std::mem::replace(&mut prepared.plan.root, empty);
    prepared.plan.root = place(root, &schema, &targets);
    let segments = create::write(session, prepared, &schema)?;
    let returned = match &insert.returning {
        None => None,
        Some(items) => {
            let new = Arc::new(TableVersion::new(Arc::clone(&schema), &segments)?);
            Some(returning(session, None, &target, new, items)?)
        }
    };
    let rows = run::change(session.connection, state, |transaction| {
        Ok(transaction.append(&name, segments)?)
    })?;
    Ok(QueryResult::returned(returned, rows))
}

/// The ordinal of a column that a statement names.
pub(super) fn column_of(name: &ObjectName, schema: &Schema, table: &str) -> Result<usize> {
    let name = match name.0.as_slice() {
        [part] => part.as_ident().map_or_else(|| part.to_string(), |i| i.value.clone()),
        _ => name.to_string(),
    };
    schema.columns.iter().position(|c| c.name.eq_ignore_ascii_case(&name)).ok_or_else(|| {
        let names: Vec<_> = schema.columns.iter().map(|column| column.name.as_str()).collect();
        let message = format!("the table '{table}' has no column '{name}'");
        Error::new(ErrorKind::Name, message)
            .with_hint(format!("its columns are {}", names.join(", ")))
    })
}

/// The table's columns that get values, in the order of the values.
fn targets(insert: &Insert, schema: &Schema, table: &str) -> Result<Vec<usize>> {
    if insert.columns.is_empty() {
        return Ok((0..schema.len()).collect());
    }
    let mut targets = Vec::with_capacity(insert.columns.len());
    for name in &insert.columns {
        let found = column_of(name, schema, table)?;
        if targets.contains(&found) {
            let message = format!("the column '{name}' is named twice");
            return Err(Error::new(ErrorKind::Name, message));
        }
        targets.push(found);
    }
    Ok(targets)
}

/// The query's columns where the table has them, NULL elsewhere.
fn place(root: Plan, schema: &Schema, targets: &[usize]) -> Plan {
    if targets.iter().copied().eq(0..schema.len()) {
        return root;
    }
    let source = |column: usize| {
        let position = targets.iter().position(|&target| target == column)?;
        Some(Expr::column(position, root.schema().ty(position).clone()))
    };
    let null = || Expr::Literal(Scalar::null(LogicalType::Null));
    let exprs: Vec<_> =
        (0..schema.len()).map(|column| source(column).unwrap_or_else(null)).collect();
    let columns = schema.columns.iter().zip(&exprs);
    let columns = columns.map(|(column, expr)| ColumnDef::new(column.name.clone(), expr.ty()));
    let schema = Schema::new(columns.collect());
    Plan::Project { input: Box::new(root), schema, exprs }
}
