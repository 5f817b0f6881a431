//! What the catalog holds, as relations: `information_schema` and `duckdb_tables()` and its like.
//!
//! Invariant: a statement finds what it could name itself, as it sees it; other connections' own tables are not shown.
//! Next: `names.rs`.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray};
use stoadb_storage::{
    BatchTable, LogicalType, Relation, Schema, StorageError,
    catalog::{
        Entry,
        name::{MAIN, is_temporary, split_name},
    },
    table::TableRules,
};

use crate::{
    error::Result,
    planner::{
        PlannerSettings,
        listed::{ListedFunction, listed_functions},
        plan_query,
    },
    session::names::{DATABASE, Names},
};

/// The schema of the relations about the catalog.
pub(crate) const SCHEMA: &str = "information_schema";

/// Whether a function in FROM shows the catalog.
pub(crate) fn is_function(name: &str) -> bool {
    let names =
        ["duckdb_tables", "duckdb_columns", "duckdb_views", "duckdb_schemas", "duckdb_functions"];
    names.contains(&name)
}

/// The relation of a name; `None` when it is none of these.
pub(crate) fn relation(names: &Names<'_>, parts: &[&str]) -> Result<Option<Arc<dyn Relation>>> {
    let name = match parts {
        [schema, name] if schema.eq_ignore_ascii_case(SCHEMA) => name,
        [database, schema, name]
            if database.eq_ignore_ascii_case(DATABASE) && schema.eq_ignore_ascii_case(SCHEMA) =>
        {
            name
        }
        _ => return Ok(None),
    };
    let columns = match name.to_ascii_lowercase().as_str() {
        "tables" => tables(names),
        "columns" => columns(names),
        "views" => views(names),
        "schemata" => schemata(names),
        "duckdb_tables" => duckdb_tables(names),
        "duckdb_columns" => duckdb_columns(names),
        "duckdb_views" => duckdb_views(names),
        "duckdb_schemas" => duckdb_schemas(names),
        "duckdb_functions" => duckdb_functions(names),
        _ => return Ok(None),
    };
    let columns = columns.into_iter().map(|(name, values)| (name, values, true));
    let batch = RecordBatch::try_from_iter_with_nullable(columns).map_err(StorageError::from)?;
    Ok(Some(BatchTable::new(batch.schema(), vec![batch])?))
}

type Columns = Vec<(&'static str, ArrayRef)>;

/// A table or a view.
struct Item<'a> {
    schema: String,
    name: &'a str,
    temporary: bool,
    entry: &'a Entry,
}

impl Item<'_> {
    fn rules(&self) -> Arc<TableRules> {
        match self.entry {
            Entry::Table(table) => Arc::clone(table.rules()),
            _ => Arc::default(),
        }
    }

    /// The columns; of a view those that planning it gives, none if it cannot be planned any more.
    fn columns(&self, names: &Names<'_>) -> Schema {
        match self.entry {
            Entry::View(view) => planned(names, &view.sql).unwrap_or_default(),
            entry => entry.relation().map(|r| r.schema().clone()).unwrap_or_default(),
        }
    }
}

fn planned(names: &Names<'_>, sql: &str) -> Option<Schema> {
    let parsed = crate::sql::parse(sql).ok()?.pop()?;
    let settings = PlannerSettings::default();
    let planned = plan_query(&parsed.statement, &names.plain(), &settings, &[]).ok()?;
    let mut schema = Schema::from_arrow(planned.plan.schema().as_arrow()).ok()?;
    for (column, name) in schema.columns.iter_mut().zip(planned.output_names) {
        column.name = name;
        column.nullable = true;
        if column.ty == LogicalType::Null {
            column.ty = LogicalType::Int32;
        }
    }
    Some(schema)
}

/// The tables and views that the statement could name, by schema and name.
fn items<'a>(names: &'a Names<'_>) -> Vec<Item<'a>> {
    let items = names.snapshot.entries().filter_map(|(name, entry)| {
        let (schema, last) = split_name(name);
        let temporary = is_temporary(name);
        if temporary && schema != names.temporary {
            return None;
        }
        // DuckDB shows a connection's own tables in the schema main of a database of their own.
        let schema = if temporary { MAIN } else { schema }.to_owned();
        Some(Item { schema, name: last, temporary, entry })
    });
    let mut items: Vec<_> = items.collect();
    items.sort_by(|a, b| (&a.schema, a.name).cmp(&(&b.schema, b.name)));
    items
}

fn text<T>(items: &[T], value: impl Fn(&T) -> Option<String>) -> ArrayRef {
    Arc::new(items.iter().map(value).collect::<StringArray>())
}

fn number<T>(items: &[T], value: impl Fn(&T) -> Option<usize>) -> ArrayRef {
    let value = |item| value(item).and_then(|value| i64::try_from(value).ok());
    Arc::new(items.iter().map(value).collect::<Int64Array>())
}

fn flag<T>(items: &[T], value: impl Fn(&T) -> bool) -> ArrayRef {
    Arc::new(items.iter().map(|item| Some(value(item))).collect::<BooleanArray>())
}

fn database(item: &Item<'_>) -> Option<String> {
    Some(if item.temporary { "temp" } else { DATABASE }.into())
}

fn yes_or_no(value: bool) -> Option<String> {
    Some(if value { "YES" } else { "NO" }.into())
}

fn tables(names: &Names<'_>) -> Columns {
    let items = items(names);
    let kind = |item: &Item<'_>| match (item.entry, item.temporary) {
        (Entry::View(_), _) => Some("VIEW".into()),
        (_, true) => Some("LOCAL TEMPORARY".into()),
        (_, false) => Some("BASE TABLE".into()),
    };
    let insertable = |item: &Item<'_>| yes_or_no(matches!(item.entry, Entry::Table(_)));
    vec![
        ("table_catalog", text(&items, database)),
        ("table_schema", text(&items, |item| Some(item.schema.clone()))),
        ("table_name", text(&items, |item| Some(item.name.into()))),
        ("table_type", text(&items, kind)),
        ("is_insertable_into", text(&items, insertable)),
        ("is_typed", text(&items, |_| yes_or_no(false))),
    ]
}

/// A column of a table or a view.
struct ColumnOf {
    database: Option<String>,
    schema: String,
    table: String,
    name: String,
    place: usize,
    default: Option<String>,
    nullable: bool,
    ty: String,
}

fn all_columns(names: &Names<'_>) -> Vec<ColumnOf> {
    let mut all = Vec::new();
    for item in items(names) {
        let rules = item.rules();
        for (place, column) in item.columns(names).columns.into_iter().enumerate() {
            all.push(ColumnOf {
                database: database(&item),
                schema: item.schema.clone(),
                table: item.name.into(),
                place: place + 1,
                default: rules.defaults.get(&place).cloned(),
                nullable: column.nullable,
                ty: column.ty.to_string(),
                name: column.name,
            });
        }
    }
    all
}

fn columns(names: &Names<'_>) -> Columns {
    let all = all_columns(names);
    vec![
        ("table_catalog", text(&all, |column| column.database.clone())),
        ("table_schema", text(&all, |column| Some(column.schema.clone()))),
        ("table_name", text(&all, |column| Some(column.table.clone()))),
        ("column_name", text(&all, |column| Some(column.name.clone()))),
        ("ordinal_position", number(&all, |column| Some(column.place))),
        ("column_default", text(&all, |column| column.default.clone())),
        ("is_nullable", text(&all, |column| yes_or_no(column.nullable))),
        ("data_type", text(&all, |column| Some(column.ty.clone()))),
    ]
}

fn duckdb_columns(names: &Names<'_>) -> Columns {
    let all = all_columns(names);
    vec![
        ("database_name", text(&all, |column| column.database.clone())),
        ("schema_name", text(&all, |column| Some(column.schema.clone()))),
        ("table_name", text(&all, |column| Some(column.table.clone()))),
        ("column_name", text(&all, |column| Some(column.name.clone()))),
        ("column_index", number(&all, |column| Some(column.place))),
        ("internal", flag(&all, |_| false)),
        ("column_default", text(&all, |column| column.default.clone())),
        ("is_nullable", flag(&all, |column| column.nullable)),
        ("data_type", text(&all, |column| Some(column.ty.clone()))),
    ]
}

fn view_items<'a>(names: &'a Names<'_>) -> Vec<Item<'a>> {
    let mut items = items(names);
    items.retain(|item| matches!(item.entry, Entry::View(_)));
    items
}

fn definition(item: &Item<'_>) -> Option<String> {
    match item.entry {
        Entry::View(view) => Some(view.sql.clone()),
        _ => None,
    }
}

fn views(names: &Names<'_>) -> Columns {
    let items = view_items(names);
    vec![
        ("table_catalog", text(&items, database)),
        ("table_schema", text(&items, |item| Some(item.schema.clone()))),
        ("table_name", text(&items, |item| Some(item.name.into()))),
        ("view_definition", text(&items, definition)),
    ]
}

fn duckdb_views(names: &Names<'_>) -> Columns {
    let items = view_items(names);
    let width = |item: &Item<'_>| Some(item.columns(names).len());
    vec![
        ("database_name", text(&items, database)),
        ("schema_name", text(&items, |item| Some(item.schema.clone()))),
        ("view_name", text(&items, |item| Some(item.name.into()))),
        ("internal", flag(&items, |_| false)),
        ("temporary", flag(&items, |item| item.temporary)),
        ("column_count", number(&items, width)),
        ("sql", text(&items, definition)),
    ]
}

fn duckdb_tables(names: &Names<'_>) -> Columns {
    let mut items = items(names);
    items.retain(|item| !matches!(item.entry, Entry::View(_)));
    let rows = |item: &Item<'_>| {
        let relation = item.entry.relation()?;
        usize::try_from(relation.rows()).ok()
    };
    let width = |item: &Item<'_>| Some(item.columns(names).len());
    vec![
        ("database_name", text(&items, database)),
        ("schema_name", text(&items, |item| Some(item.schema.clone()))),
        ("table_name", text(&items, |item| Some(item.name.into()))),
        ("internal", flag(&items, |_| false)),
        ("temporary", flag(&items, |item| item.temporary)),
        ("has_primary_key", flag(&items, |item| item.rules().keys.iter().any(|key| key.primary))),
        ("estimated_size", number(&items, rows)),
        ("column_count", number(&items, width)),
        ("check_constraint_count", number(&items, |item| Some(item.rules().checks.len()))),
    ]
}

fn schema_names(names: &Names<'_>) -> Vec<String> {
    let schemas = names.snapshot.all_entries().filter_map(|(name, entry)| match entry {
        Entry::Schema => Some(split_name(name).0.to_owned()),
        _ => None,
    });
    let mut schemas: Vec<String> = schemas.chain([MAIN.to_owned()]).collect();
    schemas.sort();
    schemas
}

fn schemata(names: &Names<'_>) -> Columns {
    let schemas = schema_names(names);
    vec![
        ("catalog_name", text(&schemas, |_| Some(DATABASE.into()))),
        ("schema_name", text(&schemas, |schema| Some(schema.clone()))),
        ("schema_owner", text(&schemas, |_| Some("stoadb".into()))),
    ]
}

fn duckdb_schemas(names: &Names<'_>) -> Columns {
    let schemas = schema_names(names);
    vec![
        ("database_name", text(&schemas, |_| Some(DATABASE.into()))),
        ("schema_name", text(&schemas, |schema| Some(schema.clone()))),
        ("internal", flag(&schemas, |_| false)),
    ]
}

fn duckdb_functions(names: &Names<'_>) -> Columns {
    let listed = listed_functions().into_iter().map(|function| (MAIN.to_owned(), function));
    let macros = names.snapshot.all_entries().filter_map(|(name, entry)| {
        let (schema, last) = split_name(name);
        let temporary = is_temporary(name);
        let seen = matches!(entry, Entry::Macro(_)) && (!temporary || schema == names.temporary);
        let function = ListedFunction { name: last.into(), alias_of: None, kind: "macro" };
        seen.then(|| (if temporary { MAIN } else { schema }.to_owned(), function))
    });
    let mut all: Vec<_> = listed.chain(macros).collect();
    all.sort_by(|(a, f), (b, g)| (a, &f.name, f.kind).cmp(&(b, &g.name, g.kind)));
    vec![
        ("database_name", text(&all, |_| Some(DATABASE.into()))),
        ("schema_name", text(&all, |(schema, _)| Some(schema.clone()))),
        ("function_name", text(&all, |(_, function)| Some(function.name.clone()))),
        ("alias_of", text(&all, |(_, function)| function.alias_of.clone())),
        ("function_type", text(&all, |(_, function)| Some(function.kind.into()))),
    ]
}
