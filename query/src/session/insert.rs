//! INSERT: rows of a VALUES list or a query, appended to a table. Next: `upsert.rs`, `returning.rs`.
//!
//! Invariant: values are cast to the table's types; columns that are not named get their default; a statement that fails
//! leaves no row behind.

use std::sync::Arc;

use stoadb_engine::{Expr as PlanExpr, Plan};
use stoadb_storage::{
    ColumnDef, LogicalType, Scalar, Schema, TableVersion,
    table::{Segment, TableRules},
};

use crate::{
    error::{Error, ErrorKind, Result},
    session::{
        change::{Target, is_default, query},
        connection::State,
        indexes,
        result::QueryResult,
        returning::returning,
        rules,
        run::{self, Prepared, Session},
        upsert, values,
    },
    sql::{
        ast::{
            Expr, Ident, Insert, ObjectName, Query, SelectItem, SetExpr, Statement, TableAlias,
            TableAliasColumnDef, TableFactor, TableObject, Value,
        },
        rewrite::{query_of, select_all, table_factor},
        statements::{BY_NAME, is_by_name},
        walk,
    },
};

/// `INSERT INTO table [(columns)] query`.
pub(crate) fn insert(
    session: &Session<'_>,
    state: &mut State,
    insert: &Insert,
) -> Result<QueryResult> {
    let TableObject::TableName(name) = &insert.table else {
        return Err(Error::unsupported("this form of INSERT"));
    };
    refuse_clauses(insert)?;
    let alias = insert.table_alias.as_ref().map(|alias| alias.alias.clone());
    let target = Target::named(session, name, alias)?;
    let schema = Arc::clone(target.table.shared_schema());
    let rules = Arc::clone(target.table.rules());
    let segments = rows(session, &target, insert)?;
    if let Some(conflict) = upsert::Conflict::of(insert, &target)? {
        return conflict.insert(session, state, &target, segments, insert.returning.as_deref());
    }
    rules::enforce(session, &target.name, &rules, &schema, &segments)?;
    let returned = match &insert.returning {
        None => None,
        Some(items) => {
            let new = Arc::new(TableVersion::new(schema, &segments)?);
            Some(returning(session, None, &target, new, items)?)
        }
    };
    let _memory = indexes::reserve(session, &target.table, &segments)?;
    let rows = run::change(session.connection, state, |transaction| {
        let rows = segments.iter().map(|segment| segment.rows()).sum();
        transaction.set_workers(Arc::new(session.workers_for(rows)?));
        Ok(transaction.append(&target.name, segments)?)
    })?;
    Ok(QueryResult::returned(returned, rows))
}

/// Refuses what no part of INSERT looks at.
fn refuse_clauses(insert: &Insert) -> Result<()> {
    let Insert {
        insert_token: _,
        optimizer_hints,
        or: _,
        ignore,
        into: _,
        table: _,
        table_alias: _,
        columns: _,
        overwrite,
        source: _,
        assignments,
        partitioned,
        after_columns,
        has_table_keyword: _,
        on: _,
        returning: _,
        output,
        replace_into,
        priority,
        insert_alias,
        settings,
        format_clause,
        multi_table_insert_type,
        multi_table_into_clauses,
        multi_table_when_clauses,
        multi_table_else_clause,
    } = insert;
    let plain = optimizer_hints.is_empty()
        && !ignore
        && !overwrite
        && assignments.is_empty()
        && partitioned.is_none()
        && after_columns.iter().all(|name| name.value == BY_NAME)
        && output.is_none()
        && !replace_into
        && priority.is_none()
        && insert_alias.is_none()
        && settings.is_none()
        && format_clause.is_none()
        && multi_table_insert_type.is_none()
        && multi_table_into_clauses.is_empty()
        && multi_table_when_clauses.is_empty()
        && multi_table_else_clause.is_none();
    match plain {
        true => Ok(()),
        false => Err(Error::unsupported("a clause of this INSERT").with_hint(
            "INSERT INTO table [(columns) | BY NAME] with VALUES, a query or DEFAULT VALUES is",
        )),
    }
}

/// The rows that a statement gives, as segments of the table.
fn rows(session: &Session<'_>, target: &Target, insert: &Insert) -> Result<Vec<Arc<Segment>>> {
    let (schema, rules) = (target.table.shared_schema(), target.table.rules());
    let table = target.alias.value.as_str();
    let Some(source) = &insert.source else {
        let items = (0..schema.len()).map(|column| rules::default_of(rules, column));
        let mut select = select_all(table_factor(ObjectName::from(vec![Ident::new(table)]), None));
        select.from.clear();
        select.projection =
            items.map(|item| Ok(SelectItem::UnnamedExpr(item?))).collect::<Result<_>>()?;
        let statement = query(None, SetExpr::Select(Box::new(select)));
        return target.write(session, session.prepare(&statement)?, schema);
    };
    let targets = match is_by_name(insert) {
        true => {
            let prepared = session.prepare(&Statement::Query(source.clone()))?;
            let names = prepared.schema.fields().iter().map(|field| field.name().clone());
            let names: Vec<ObjectName> =
                names.map(|name| ObjectName::from(vec![Ident::with_quote('"', name)])).collect();
            targets(&names, schema, table)?
        }
        false if insert.columns.is_empty() => (0..schema.len()).collect(),
        false => targets(&insert.columns, schema, table)?,
    };
    let defaults = rules.defaults.keys().any(|column| !targets.contains(column));
    let filled = || {
        let mut source = source.clone();
        fill_defaults(&mut source, rules, schema, &targets)?;
        type_parameters(&mut source, session.parameters)?;
        Ok::<_, Error>(source)
    };
    let constants = if defaults { None } else { constants(source, session.parameters) };
    let mut prepared = match constants {
        Some(rows) => Prepared::alone(rows),
        None => session.prepare(&Statement::Query(filled()?))?,
    };
    let given = prepared.plan.root.schema().len();
    if given != targets.len() {
        let message = format!("{} columns of '{table}' get {given} values", targets.len());
        return Err(Error::new(ErrorKind::Type, message));
    }
    if defaults {
        let statement = with_defaults(filled()?, rules, schema, &targets)?;
        return target.write(session, session.prepare(&statement)?, schema);
    }
    let empty = Plan::Values { schema: Schema::default(), rows: Vec::new() };
    let root = std::mem::replace(&mut prepared.plan.root, empty);
    prepared.plan.root = place(root, schema, &targets);
    target.write(session, prepared, schema)
}

/// The rows of a query that is nothing but a VALUES list of constants.
fn constants(source: &Query, parameters: &[Scalar]) -> Option<Plan> {
    let SetExpr::Values(list) = source.body.as_ref() else { return None };
    let plain = source.with.is_none()
        && source.order_by.is_none()
        && source.limit_clause.is_none()
        && source.fetch.is_none()
        && source.locks.is_empty()
        && source.for_clause.is_none()
        && source.settings.is_none()
        && source.format_clause.is_none()
        && source.pipe_operators.is_empty();
    if plain { values::rows(list, parameters) } else { None }
}

/// Puts the columns' defaults in the place of DEFAULT in a VALUES list.
fn fill_defaults(
    query: &mut Query,
    rules: &TableRules,
    schema: &Schema,
    targets: &[usize],
) -> Result<()> {
    let SetExpr::Values(values) = query.body.as_mut() else { return Ok(()) };
    for row in &mut values.rows {
        for (value, &column) in row.iter_mut().zip(targets) {
            if is_default(value) {
                let text = rules.defaults.get(&column).map_or("NULL", String::as_str);
                let ty = &schema.columns[column].ty;
                *value = rules::expression(&format!("CAST(({text}) AS {ty})"))?;
            }
        }
    }
    Ok(())
}

/// Gives the parameters in a VALUES list the types of their values: nothing beside them does.
fn type_parameters(query: &mut Query, parameters: &[Scalar]) -> Result<()> {
    let SetExpr::Values(list) = query.body.as_mut() else { return Ok(()) };
    if parameters.is_empty() {
        return Ok(());
    }
    let typed = |expr: &mut Expr| -> Result<()> {
        let Expr::Value(value) = &*expr else { return Ok(()) };
        let Value::Placeholder(name) = &value.value else { return Ok(()) };
        *expr = match values::parameter(name, parameters).map(Scalar::ty) {
            None => return Ok(()),
            Some(LogicalType::Null) => Expr::Value(Value::Null.into()),
            Some(ty) => rules::expression(&format!("CAST({name} AS {ty})"))?,
        };
        Ok(())
    };
    list.rows
        .iter_mut()
        .try_for_each(|row| row.iter_mut().try_for_each(|value| walk::change(value, typed)))
}

/// A query for all columns of the table: those of `source` where `targets` says, defaults elsewhere.
fn with_defaults(
    source: Box<Query>,
    rules: &TableRules,
    schema: &Schema,
    targets: &[usize],
) -> Result<Statement> {
    let name = |number: usize| Ident::with_quote('"', format!("c{number}"));
    let column = |number| TableAliasColumnDef { name: name(number), data_type: None };
    let alias = TableAlias {
        explicit: true,
        name: Ident::with_quote('"', "given"),
        columns: (0..targets.len()).map(column).collect(),
        at: None,
    };
    let factor =
        TableFactor::Derived { lateral: false, subquery: source, alias: Some(alias), sample: None };
    let mut select = select_all(factor);
    let item = |column: usize| {
        let given = targets.iter().position(|&target| target == column);
        Ok(SelectItem::ExprWithAlias {
            expr: match given {
                Some(place) => Expr::Identifier(name(place)),
                None => rules::default_of(rules, column)?,
            },
            alias: Ident::with_quote('"', format!("t{column}")),
        })
    };
    select.projection = (0..schema.len()).map(item).collect::<Result<_>>()?;
    Ok(Statement::Query(Box::new(query_of(SetExpr::Select(Box::new(select))))))
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
fn targets(columns: &[ObjectName], schema: &Schema, table: &str) -> Result<Vec<usize>> {
    let mut targets = Vec::with_capacity(columns.len());
    for name in columns {
        let found = column_of(name, schema, table)?;
        if targets.contains(&found) {
            let message = format!("the column {name} is named twice");
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
        Some(PlanExpr::column(position, root.schema().ty(position).clone()))
    };
    let null = || PlanExpr::Literal(Scalar::null(LogicalType::Null));
    let exprs: Vec<_> =
        (0..schema.len()).map(|column| source(column).unwrap_or_else(null)).collect();
    let columns = schema.columns.iter().zip(&exprs);
    let columns = columns.map(|(column, expr)| ColumnDef::new(column.name.clone(), expr.ty()));
    let schema = Schema::new(columns.collect());
    Plan::Project { input: Box::new(root), schema, exprs }
}
