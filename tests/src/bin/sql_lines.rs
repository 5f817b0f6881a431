//! Runs SQL statements from standard input, one a line, and prints their answers for a program to read: the side of
//! StoaDB in `tests/fuzz/differential.py`.
//!
//! A line `\reset` begins with an empty database. An answer is a line `T` with the types of its columns and a line `R`
//! for each row, or a line `E` with the kind of the error and its message, then a line `.`; fields are separated by tabs,
//! backslashes, tabs and line feeds within them escaped, NULL is `\N`.

use std::io::{self, BufRead, Write};

use arrow::array::Array;
use stoadb::{Connection, Database, Error, to_text};

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n").replace('\r', "\\r")
}

fn answer(connection: &Connection, sql: &str) -> Result<String, Error> {
    let result = connection.query(sql)?;
    let mut out = String::from("T");
    for field in result.schema().fields() {
        out.push('\t');
        out.push_str(&escaped(&field.data_type().to_string()));
    }
    out.push('\n');
    for batch in result {
        let batch = batch?;
        let columns = batch.columns().iter().map(to_text).collect::<Result<Vec<_>, _>>()?;
        for row in 0..batch.num_rows() {
            out.push('R');
            for column in &columns {
                out.push('\t');
                if column.is_null(row) {
                    out.push_str("\\N");
                } else {
                    out.push_str(&escaped(column.value(row)));
                }
            }
            out.push('\n');
        }
    }
    Ok(out)
}

fn connect() -> Connection {
    Database::open_in_memory().connect()
}

fn main() -> io::Result<()> {
    let mut connection = connect();
    let mut out = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let line = line?;
        if line == "\\reset" {
            connection = connect();
            writeln!(out, "T\n.")?;
        } else {
            let text = answer(&connection, &line).unwrap_or_else(|error| {
                format!("E\t{:?}\t{}\n", error.kind, escaped(&error.to_string()))
            });
            writeln!(out, "{text}.")?;
        }
        out.flush()?;
    }
    Ok(())
}
