//! PRAGMA: DuckDB's other way to say SET, and switches of its own.
//!
//! Invariant: a switch is taken without effect only where StoaDB does always what it asks for; others are refused by name.
//! Next: `settings.rs`.

use crate::{
    error::{Error, Result},
    session::{
        connection::{Connection, State},
        result::QueryResult,
        schemas,
        settings::SETTINGS,
    },
    sql::{
        ast::{ObjectName, Value},
        names::fold,
    },
};

/// Stands for ANALYZE: statistics are those of the data at any time.
const ANALYZE: &str = "analyze";

/// What StoaDB does, or does not, whatever they say: plans are verified, progress is shown by the caller, footers of files
/// are kept and looked at again.
const AS_EVER: [&str; 9] = [
    ANALYZE,
    "enable_verification",
    "disable_verification",
    "verify_parallelism",
    "disable_verify_parallelism",
    "disable_progress_bar",
    "disable_print_progress_bar",
    "enable_object_cache",
    "disable_profiling",
];

/// What else says the same.
const HINTS: [(&str, &str); 9] = [
    ("table_info", "DESCRIBE table"),
    ("show", "DESCRIBE table"),
    ("show_tables", "SHOW TABLES"),
    ("show_tables_expanded", "FROM duckdb_tables()"),
    ("storage_info", "FROM storage_info('table')"),
    ("version", "SELECT version()"),
    ("enable_profiling", "EXPLAIN ANALYZE query"),
    ("database_list", "SELECT current_database()"),
    ("functions", "docs/sql.md lists the functions"),
];

/// `PRAGMA name`, `PRAGMA name = value`, `PRAGMA name('argument')`.
pub(crate) fn run(
    connection: &Connection,
    state: &mut State,
    name: &ObjectName,
    value: Option<&Value>,
) -> Result<QueryResult> {
    let name = fold(&name.to_string());
    match value {
        Some(value) if SETTINGS.iter().any(|setting| setting.name == name) => {
            let text = value.clone().into_string().unwrap_or_else(|| value.to_string());
            match name.as_str() {
                "schema" => return schemas::set(connection, state, &text),
                name => state.settings.set(name, &text)?,
            }
        }
        None if name == "enable_optimizer" => state.settings.set("optimizer", "true")?,
        None if name == "disable_optimizer" => state.settings.set("optimizer", "false")?,
        None if AS_EVER.contains(&name.as_str()) => {}
        _ => {
            let error = Error::unsupported(format!("PRAGMA {name}"));
            let hint = HINTS.iter().find(|(known, _)| *known == name);
            return Err(match hint {
                Some((_, hint)) => error.with_hint(*hint),
                None => error.with_hint("SHOW ALL lists the settings; SET changes them"),
            });
        }
    }
    Ok(QueryResult::changed(0))
}
