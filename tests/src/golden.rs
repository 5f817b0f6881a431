//! Golden answers: text files that DuckDB wrote (`tests/golden/refresh.py`), compared cell by cell.
//!
//! Invariant: exact types are compared exactly; doubles within 1e-9 relative.

use std::path::{Path, PathBuf};

use arrow::{array::Array, datatypes::DataType};
use stoadb::{Connection, to_text};

/// The root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The text of a query of `tests/queries`, with files named from the root of the repository.
pub fn query(workload: &str, name: &str) -> String {
    let path = root().join("tests/queries").join(workload).join(format!("{name}.sql"));
    let text = std::fs::read_to_string(&path);
    let text = text.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.replace("'examples/data/", &format!("'{}/examples/data/", root().display()))
}

/// A query that leaves the order of some rows open, with an order that does not: the columns that its first line names,
/// `-- ties: a, b`, come behind its own keys. A query without such a line stays as it is.
pub fn ordered(sql: &str) -> String {
    let Some(rest) = sql.strip_prefix("-- ties: ") else { return sql.to_string() };
    let (ties, body) = rest.split_once('\n').unwrap_or((rest, ""));
    let body = body.trim_end().trim_end_matches(';');
    let (body, limit) = body.split_at(body.rfind("\nLIMIT").unwrap_or(body.len()));
    let joint = if body.contains("\nORDER BY") { "," } else { "\nORDER BY" };
    format!("{body}{joint} {ties}{limit}")
}

/// Runs a query and compares its answer with the golden one; says where they differ.
///
/// # Errors
/// The first difference, or why the query failed.
pub fn check(connection: &Connection, workload: &str, name: &str) -> Result<(), String> {
    let sql = ordered(&query(workload, name));
    let path = root().join("tests/golden").join(workload).join(format!("{name}.tsv"));
    let golden = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let golden: Vec<Vec<&str>> = golden.lines().map(|line| line.split('\t').collect()).collect();
    let result = connection.query(&sql).map_err(|error| error.render(&sql))?;
    let mut row_number = 0;
    for batch in result {
        let batch = batch.map_err(|error| format!("{name}: {error}"))?;
        let texts: Vec<_> = batch.columns().iter().map(|c| to_text(c).unwrap()).collect();
        for row in 0..batch.num_rows() {
            let expected = golden.get(row_number).ok_or(format!("{name}: too many rows"))?;
            for (column, text) in texts.iter().enumerate() {
                let actual = if text.is_null(row) { "\\N" } else { text.value(row) };
                let ty = batch.column(column).data_type();
                if !same(actual, expected[column], ty) {
                    let expected = expected[column];
                    return Err(format!(
                        "{name}: row {row_number}, column {column}: {actual}, expected {expected}"
                    ));
                }
            }
            row_number += 1;
        }
    }
    if row_number != golden.len() {
        return Err(format!("{name}: {row_number} rows, expected {}", golden.len()));
    }
    Ok(())
}

fn same(actual: &str, expected: &str, ty: &DataType) -> bool {
    if actual == expected {
        return true;
    }
    let (Ok(a), Ok(e)) = (actual.parse::<f64>(), expected.parse::<f64>()) else { return false };
    match ty {
        DataType::Float32 | DataType::Float64 => (a - e).abs() <= 1e-9 * e.abs().max(1e-300),
        // Where DuckDB answers with a double and StoaDB with a decimal, the decimal's digits count, as
        // far as the double has them.
        DataType::Decimal128(..) if expected.contains('.') => {
            let digits = actual.split('.').nth(1).map_or(0, str::len);
            let half = 0.5000001 * 10f64.powi(-i32::try_from(digits).unwrap_or(0));
            digits >= 2 && (a - e).abs() <= half.max(1e-12 * e.abs())
        }
        _ => a == e && ty.is_numeric(),
    }
}
