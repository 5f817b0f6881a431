//! What indexes there are and what they consist of: SHOW INDEXES, `index_info('name')`, `duckdb_indexes()`.
//!
//! Invariant: an index that is not built yet is shown without figures and stays as it is.
//! Next: `indexes.rs`.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray};
use stoadb_storage::{
    BatchTable, Entry, Relation, Schema, StorageError,
    index::IndexInfo,
    table::{IndexDefinition, TableIndex, TableVersion},
};

use crate::{
    error::{Error, ErrorKind, Result},
    planner::diagnose::closest,
    session::{names::Names, result::QueryResult},
    sql::{ast::Ident, names::fold},
};

/// An index that a statement could name.
struct Item {
    /// Its name, with its schema's where the table needs it; of a key without a name what declares it.
    name: String,
    table: String,
    index: Arc<TableIndex>,
    schema: Arc<Schema>,
}

impl Item {
    fn all_of(table: &str, version: &TableVersion) -> Vec<Self> {
        let item = |index: &Arc<TableIndex>| {
            let schema = Arc::clone(version.shared_schema());
            let name = name_of(index.definition(), &schema);
            let name = match table.rsplit_once('.') {
                Some((of, _)) if index.definition().name.is_some() => format!("{of}.{name}"),
                _ => name,
            };
            Self { name, table: table.to_owned(), index: Arc::clone(index), schema }
        };
        version.indexes().iter().map(item).collect()
    }
}

/// What an index is called: its name, or what declares the key.
fn name_of(definition: &IndexDefinition, schema: &Schema) -> String {
    definition.name.clone().unwrap_or_else(|| definition.describe(schema))
}

fn items(names: &Names<'_>) -> Vec<Item> {
    let tables = names.visible().filter_map(|(name, _, entry)| match entry {
        Entry::Table(table) => Some((name, Arc::clone(table))),
        _ => None,
    });
    tables.flat_map(|(name, table)| Item::all_of(&name, &table)).collect()
}

/// `SHOW INDEXES`: a row an index, by table.
pub(crate) fn show(names: &Names<'_>) -> Result<QueryResult> {
    let items = items(names);
    let column = |value: &dyn Fn(&Item) -> Option<String>| items.iter().map(value).collect();
    let info = |item: &Item| item.index.built().map(|index| index.info());
    let yes_or_no = |value: bool| Some(if value { "YES" } else { "NO" }.to_owned());
    QueryResult::texts(vec![
        ("name", column(&|item| Some(item.name.clone()))),
        ("table_name", column(&|item| Some(item.table.clone()))),
        ("columns", column(&|i| Some(i.index.definition().columns(&i.schema, str::to_owned)))),
        ("unique", column(&|item| yes_or_no(item.index.definition().is_unique()))),
        ("entries", column(&|item| info(item).map(|info| info.entries.to_string()))),
        ("bytes", column(&|item| info(item).map(|info| info.bytes.to_string()))),
    ])
}

/// A column of an index.
struct Row {
    item: usize,
    column: usize,
    /// Its place in `IndexInfo::column_bytes`.
    part: usize,
    key: bool,
    descending: bool,
    quantiles: bool,
}

/// The rows of `index_info` for an index, or for all of a table: one a column.
pub(crate) fn relation(names: &Names<'_>, wanted: &str) -> Result<Arc<dyn Relation>> {
    let mut items = items(names);
    let is = |name: &str| fold(name) == fold(wanted);
    if !items.iter().any(|item| is(&item.name)) && !items.iter().any(|item| is(&item.table)) {
        let error = Error::new(ErrorKind::Name, format!("there is no index '{wanted}'"));
        let known = items.iter().map(|item| item.name.as_str());
        return Err(match closest(&fold(wanted), known) {
            Some(close) => error.with_hint(format!("did you mean '{close}'?")),
            None => error,
        });
    }
    let named = items.iter().any(|item| is(&item.name));
    items.retain(|item| is(if named { &item.name } else { &item.table }));
    let infos: Vec<Option<IndexInfo>> =
        items.iter().map(|item| item.index.built().map(|index| index.info())).collect();
    let mut rows = Vec::new();
    for (at, item) in items.iter().enumerate() {
        let definition = item.index.definition();
        rows.extend(definition.keys.iter().map(|key| Row {
            item: at,
            column: key.column,
            part: 0,
            key: true,
            descending: key.descending,
            quantiles: false,
        }));
        rows.extend(definition.includes.iter().enumerate().map(|(place, include)| Row {
            item: at,
            column: include.column,
            part: place + 1,
            key: false,
            descending: false,
            quantiles: include.quantiles,
        }));
    }
    let text = |value: &dyn Fn(&Row) -> Option<String>| -> ArrayRef {
        Arc::new(rows.iter().map(value).collect::<StringArray>())
    };
    let flag = |value: &dyn Fn(&Row) -> bool| -> ArrayRef {
        Arc::new(rows.iter().map(|row| Some(value(row))).collect::<BooleanArray>())
    };
    let number = |value: &dyn Fn(&IndexInfo, &Row) -> u64| -> ArrayRef {
        let value = |row: &Row| infos[row.item].as_ref().map(|info| value(info, row));
        let values = rows.iter().map(|row| value(row).and_then(|v| i64::try_from(v).ok()));
        Arc::new(values.collect::<Int64Array>())
    };
    let column = |row: &Row| items[row.item].schema.columns.get(row.column).cloned();
    let role = |row: &Row| Some(if row.key { "key" } else { "include" }.to_owned());
    let own = |info: &IndexInfo, row: &Row| info.column_bytes.get(row.part).copied().unwrap_or(0);
    let arrays: Vec<(&str, ArrayRef)> = vec![
        ("index_name", text(&|row| Some(items[row.item].name.clone()))),
        ("table_name", text(&|row| Some(items[row.item].table.clone()))),
        ("is_unique", flag(&|row| items[row.item].index.definition().is_unique())),
        ("height", number(&|info, _| info.height as u64)),
        ("fan_out", number(&|info, _| info.fan_out as u64)),
        ("entries", number(&|info, _| info.entries)),
        ("runs", number(&|info, _| info.runs as u64)),
        ("pending", number(&|info, _| info.pending)),
        ("bytes", number(&|info, _| info.bytes)),
        ("column_name", text(&|row| column(row).map(|column| column.name))),
        ("column_type", text(&|row| column(row).map(|column| column.ty.to_string()))),
        ("role", text(&role)),
        ("descending", flag(&|row| row.descending)),
        ("quantiles", flag(&|row| row.quantiles)),
        ("column_bytes", number(&own)),
    ];
    let columns = arrays.into_iter().map(|(name, array)| (name, array, true));
    let batch = RecordBatch::try_from_iter_with_nullable(columns).map_err(StorageError::from)?;
    Ok(BatchTable::new(batch.schema(), vec![batch])?)
}

/// The statement that makes an index of a table whose name is given as SQL; `None` for that of a key.
pub(crate) fn create_text(
    definition: &IndexDefinition,
    table: &str,
    schema: &Schema,
) -> Option<String> {
    let quoted = |name: &str| Ident::with_quote('"', name).to_string();
    let name = definition.name.as_ref().filter(|_| !definition.is_constraint())?;
    let unique = if definition.is_unique() { "UNIQUE " } else { "" };
    let columns = definition.columns(schema, quoted);
    Some(format!("CREATE {unique}INDEX {} ON {table} {columns}", quoted(name)))
}
