//! CREATE INDEX and DROP INDEX.
//!
//! Invariants: an index belongs to its table and lies in the table's schema, in which its name is that of no other index;
//! it is built before it is published, or nothing is. Every clause that is not honoured is refused by name.
//! Next: `stoadb_storage::table::TableIndex`.

use std::sync::Arc;

use stoadb_storage::{
    LogicalType, Relation,
    catalog::name::{is_plain, shown_name, split_name},
    table::{IndexDefinition, IndexInclude, IndexKey, IndexKind, TableVersion},
};

use crate::{
    error::{Error, ErrorKind, Result},
    session::{
        change::Target,
        connection::State,
        insert::column_of,
        names::{Names, parts_of},
        result::QueryResult,
        run::{self, Session},
    },
    sql::{
        ast::{
            CreateIndex, Expr, Ident, IndexColumn, IndexType, ObjectName, OrderByExpr,
            OrderByOptions, Spanned,
        },
        parse::place,
        statements::take_quantiles,
    },
};

/// `CREATE [UNIQUE] INDEX [IF NOT EXISTS] name ON table (keys) [INCLUDE (columns)]`.
pub(crate) fn create(
    session: &Session<'_>,
    state: &mut State,
    create: &CreateIndex,
) -> Result<QueryResult> {
    refuse_clauses(create)?;
    let Some(name) = &create.name else {
        return Err(Error::unsupported("CREATE INDEX without a name"));
    };
    let target = Target::named(session, &create.table_name, None)?;
    let schema = split_name(&target.name).0;
    let index = new_name(session, name, schema)?;
    let existing = session.names.snapshot.table_of_index(schema, &index);
    if create.if_not_exists && existing.is_some() {
        return Ok(QueryResult::changed(0));
    }
    if let Some((table, _)) = existing {
        let message =
            format!("an index '{index}' exists already, of the table '{}'", shown_name(table));
        return Err(Error::new(ErrorKind::Catalog, message).or_span(place(name.span())));
    }
    let definition = definition(create, index, &target)?;
    let mut rules = target.table.rules().as_ref().clone();
    rules.indexes.push(definition);
    let context = session.context(Vec::new());
    let mut memory = context.memory().reservation("index being built");
    if let Some(index) = rules.indexes.last() {
        memory.resize(index.build_bytes(target.table.shared_schema(), target.table.rows()))?;
    }
    let table = target.table.with_rules(Arc::new(rules), &session.workers()?);
    let table = target.ruled(table)?;
    run::change(session.connection, state, |transaction| {
        Ok(transaction.replace(&target.name, table)?)
    })?;
    Ok(QueryResult::changed(0))
}

/// Refuses what is not honoured, by name and place.
fn refuse_clauses(create: &CreateIndex) -> Result<()> {
    let refuse = |unwanted: bool, what: &str| match unwanted {
        true => Err(Error::unsupported(what)),
        false => Ok(()),
    };
    refuse(create.concurrently, "CREATE INDEX CONCURRENTLY")?;
    refuse(
        !matches!(create.using, None | Some(IndexType::BTree)),
        "CREATE INDEX ... USING anything but btree",
    )?;
    refuse(create.nulls_distinct == Some(false), "CREATE INDEX ... NULLS NOT DISTINCT")?;
    refuse(!create.with.is_empty(), "CREATE INDEX ... WITH")?;
    if let Some(predicate) = &create.predicate {
        let error = Error::unsupported("a partial index (CREATE INDEX ... WHERE)");
        return Err(error.or_span(place(predicate.span())));
    }
    let others = !create.index_options.is_empty() || !create.alter_options.is_empty();
    refuse(others, "options of CREATE INDEX")
}

/// The name of a new index, which may carry the schema of its table.
fn new_name(session: &Session<'_>, name: &ObjectName, schema: &str) -> Result<String> {
    let parts = parts_of(name)?;
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let Some((last, before)) = parts.split_last().filter(|(last, _)| is_plain(last)) else {
        return Err(Error::new(ErrorKind::Name, format!("{name} is no name for anything")));
    };
    match session.names.schema_of(before)? {
        Some(other) if !other.eq_ignore_ascii_case(schema) => {
            let message = format!("{name} cannot be in another schema than its table");
            Err(Error::new(ErrorKind::Catalog, message).or_span(place(name.span())))
        }
        _ => Ok((*last).to_owned()),
    }
}

fn definition(create: &CreateIndex, name: String, target: &Target) -> Result<IndexDefinition> {
    let mut keys: Vec<IndexKey> = Vec::with_capacity(create.columns.len());
    for column in &create.columns {
        let key = key(column, target)?;
        if keys.iter().any(|other| other.column == key.column) {
            return Err(twice(target, key.column, "the key").or_span(place(column.column.span())));
        }
        keys.push(key);
    }
    let mut includes: Vec<IndexInclude> = Vec::with_capacity(create.include.len());
    for column in &create.include {
        let span = place(column.span);
        let (name, quantiles) = take_quantiles(column);
        let include = IndexInclude { column: ordinal(&name, target)?, quantiles };
        if includes.iter().any(|other| other.column == include.column) {
            return Err(twice(target, include.column, "INCLUDE").or_span(span));
        }
        refuse_type(target, include.column, true).map_err(|error| error.or_span(span))?;
        includes.push(include);
    }
    let kind = if create.unique { IndexKind::Unique } else { IndexKind::Plain };
    Ok(IndexDefinition { name: Some(name), kind, keys, includes })
}

fn ordinal(name: &Ident, target: &Target) -> Result<usize> {
    let schema = target.table.shared_schema();
    column_of(&ObjectName::from(vec![name.clone()]), schema, &target.alias.value)
        .map_err(|error| error.or_span(place(name.span)))
}

fn twice(target: &Target, column: usize, what: &str) -> Error {
    let name = &target.table.shared_schema().columns[column].name;
    Error::new(ErrorKind::Catalog, format!("the column '{name}' is twice in {what}"))
}

/// A column of the key.
fn key(column: &IndexColumn, target: &Target) -> Result<IndexKey> {
    let IndexColumn { column: OrderByExpr { expr, options, with_fill }, operator_class } = column;
    let OrderByOptions { asc, nulls_first } = options;
    let span = place(expr.span());
    if with_fill.is_some() || operator_class.is_some() {
        return Err(Error::unsupported("an operator class of an index").or_span(span));
    }
    if *nulls_first == Some(true) {
        let error = Error::unsupported("NULLS FIRST in an index");
        return Err(error.with_hint("NULLs come last in every index").or_span(span));
    }
    let Expr::Identifier(name) = expr else {
        let error = Error::unsupported(format!("an index over the expression {expr}"));
        return Err(error.with_hint("the key of an index is columns").or_span(span));
    };
    let ordinal = ordinal(name, target)?;
    refuse_type(target, ordinal, false).map_err(|error| error.or_span(span))?;
    Ok(IndexKey { column: ordinal, descending: *asc == Some(false) })
}

fn refuse_type(target: &Target, column: usize, include: bool) -> Result<()> {
    let column = &target.table.shared_schema().columns[column];
    let ty = &column.ty;
    let interval = include && *ty == LogicalType::Interval;
    if ty.is_nested() || interval || *ty == LogicalType::Null {
        let name = &column.name;
        let message = format!("an index over the column '{name}' of type {ty}");
        return Err(Error::unsupported(message));
    }
    Ok(())
}

/// `DROP INDEX [IF EXISTS] names`.
pub(crate) fn drop(
    session: &Session<'_>,
    state: &mut State,
    names: &[ObjectName],
    missing_ok: bool,
) -> Result<QueryResult> {
    run::change(session.connection, state, |transaction| {
        for name in names {
            let snapshot = Arc::clone(transaction.snapshot());
            let found = match find(&session.names, &snapshot, name) {
                Err(_) if missing_ok => continue,
                found => found?,
            };
            let Some((table, version, index)) = found else {
                if missing_ok {
                    continue;
                }
                let message = format!("there is no index '{name}'");
                return Err(Error::new(ErrorKind::Catalog, message).or_span(place(name.span())));
            };
            let mut rules = version.rules().as_ref().clone();
            rules.indexes.retain(|other| {
                !other.name.as_ref().is_some_and(|name| name.eq_ignore_ascii_case(&index))
            });
            let rules = Arc::new(rules);
            transaction.replace(&table, version.with_rules(rules, &session.workers()?)?)?;
        }
        Ok(QueryResult::changed(0))
    })
}

/// The table of an index of a name with its version, and the index's name.
type Found = Option<(String, Arc<TableVersion>, String)>;

/// The index that a statement names: of its schema, else of the first one in the order in which tables are looked for.
fn find(
    names: &Names<'_>,
    snapshot: &stoadb_storage::CatalogSnapshot,
    name: &ObjectName,
) -> Result<Found> {
    let parts = parts_of(name)?;
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let Some((last, before)) = parts.split_last() else { return Ok(None) };
    let schemas = match names.schema_of(before)? {
        Some(schema) => vec![schema],
        None => names.path(),
    };
    let found = schemas.iter().find_map(|schema| snapshot.table_of_index(schema, last));
    Ok(found.map(|(table, version)| (table.to_owned(), Arc::clone(version), (*last).to_owned())))
}
