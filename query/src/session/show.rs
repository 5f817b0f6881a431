//! SHOW and DESCRIBE: what the catalog and the settings hold, as rows of text.

use stoadb_storage::{Schema, table::TableRules};

use crate::{
    error::Result,
    session::{result::QueryResult, settings::Settings},
};

/// `SHOW ALL`.
pub(crate) fn show_all(settings: &Settings) -> Result<QueryResult> {
    let all = settings.all();
    let column = |f: fn(&(&str, String, &str)) -> String| all.iter().map(|s| Some(f(s))).collect();
    QueryResult::texts(vec![
        ("name", column(|(name, ..)| (*name).to_string())),
        ("value", column(|(_, value, _)| value.clone())),
        ("meaning", column(|(.., meaning)| (*meaning).to_string())),
    ])
}

/// `SHOW name`.
pub(crate) fn show_setting(settings: &Settings, name: &str) -> Result<QueryResult> {
    let value = settings.get(name)?;
    QueryResult::texts(vec![(&name.to_ascii_lowercase(), vec![Some(value)])])
}

/// `SHOW TABLES`: names and kinds, by name.
pub(crate) fn show_tables(mut tables: Vec<(String, String)>) -> Result<QueryResult> {
    tables.sort();
    QueryResult::texts(vec![
        ("name", tables.iter().map(|(name, _)| Some(name.clone())).collect()),
        ("kind", tables.iter().map(|(_, kind)| Some(kind.clone())).collect()),
    ])
}

/// `DESCRIBE`: one row per column.
pub(crate) fn describe(schema: &Schema, rules: &TableRules) -> Result<QueryResult> {
    let columns = &schema.columns;
    let key = |column: usize| {
        let mut keys = rules.keys.iter().filter(|key| key.columns.contains(&column)).peekable();
        keys.peek()?;
        Some(if keys.any(|key| key.primary) { "PRI" } else { "UNI" }.to_string())
    };
    let all = || 0..columns.len();
    let null = |nullable| Some(if nullable { "YES" } else { "NO" }.to_string());
    QueryResult::texts(vec![
        ("column_name", columns.iter().map(|column| Some(column.name.clone())).collect()),
        ("column_type", columns.iter().map(|column| Some(column.ty.to_string())).collect()),
        ("null", columns.iter().map(|column| null(column.nullable)).collect()),
        ("key", all().map(key).collect()),
        ("default", all().map(|column| rules.defaults.get(&column).cloned()).collect()),
        ("extra", all().map(|_| None).collect()),
    ])
}
