//! Answers of queries as lines of text, and their errors.

use arrow::array::{Array, StringViewArray};
use stoadb::{Connection, Error, to_text};

/// The rows of a query, their values joined by `|`, NULL for NULL.
///
/// # Errors
/// Whatever the query raises, before or between rows.
pub fn try_rows(connection: &Connection, sql: &str) -> Result<Vec<String>, Error> {
    let mut rows = Vec::new();
    for batch in connection.query(sql)? {
        let batch = batch?;
        let columns = batch.columns().iter().map(to_text).collect::<Result<Vec<_>, _>>()?;
        for row in 0..batch.num_rows() {
            let cell = |column: &StringViewArray| match column.is_null(row) {
                true => "NULL".to_string(),
                false => column.value(row).to_string(),
            };
            rows.push(columns.iter().map(cell).collect::<Vec<_>>().join("|"));
        }
    }
    Ok(rows)
}

/// The rows of a query that works.
///
/// # Panics
/// When it does not.
pub fn rows(connection: &Connection, sql: &str) -> Vec<String> {
    try_rows(connection, sql).unwrap_or_else(|error| panic!("{}", error.render(sql)))
}

/// The error of a query that fails.
///
/// # Panics
/// When it works.
pub fn error(connection: &Connection, sql: &str) -> Error {
    match try_rows(connection, sql) {
        Ok(rows) => panic!("{sql}: gives {} rows", rows.len()),
        Err(error) => error,
    }
}
