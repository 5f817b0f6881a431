//! StoaDB as a library: a file in place, a table, a prepared statement, rows as Arrow batches.
//!
//! Run it from the root of the repository: `cargo run --release -p stoadb --example quickstart`

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use arrow::array::AsArray;
use stoadb::{Database, Result, Scalar, to_text};

fn main() -> Result<()> {
    let connection = Database::open_in_memory().connect();

    // A file is a table.
    let busiest = "SELECT dest, count(*) AS flights FROM 'examples/data/flights.parquet'
                   GROUP BY dest ORDER BY flights DESC, dest LIMIT 3";
    for batch in connection.query(busiest)? {
        let batch = batch?;
        let (dest, flights) = (to_text(batch.column(0))?, to_text(batch.column(1))?);
        for row in 0..batch.num_rows() {
            println!("{}: {} flights", dest.value(row), flights.value(row));
        }
    }

    // Columns that are asked often live in memory.
    connection.execute(
        "CREATE TABLE delays AS
         SELECT carrier, month, dep_delay FROM 'examples/data/flights.parquet'",
    )?;
    let statement = connection.prepare("SELECT avg(dep_delay) FROM delays WHERE month = $1")?;
    for month in 1..=12 {
        for batch in statement.query(&[Scalar::int64(month)])? {
            let average = to_text(batch?.column(0))?;
            println!("month {month}: {} minutes late on average", average.value(0));
        }
    }

    // What a query touches.
    let explain = "EXPLAIN ANALYZE SELECT avg(dep_delay) FROM delays";
    for batch in connection.query(explain)? {
        for line in batch?.column(0).as_string_view().iter().flatten() {
            println!("{line}");
        }
    }
    Ok(())
}
