//! Times queries over TPC-H Parquet files and prints JSON: `sql_times --data DIR --mode memory|parquet --runs N FILE...`.
//! The StoaDB side of `benches/compare/compare.py`.

#![expect(clippy::print_stdout, reason = "this is a command line tool")]

use std::{error::Error, fmt::Write, path::PathBuf, time::Instant};

use arrow::array::{Array, RecordBatch};
use stoadb::{Connection, Database, to_text};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const TABLES: [&str; 8] =
    ["nation", "region", "supplier", "customer", "part", "partsupp", "orders", "lineitem"];

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (mut data, mut mode, mut runs, mut files) = (String::new(), String::new(), 1, Vec::new());
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
        match arg.as_str() {
            "--data" => data = value()?,
            "--mode" => mode = value()?,
            "--runs" => runs = value()?.parse()?,
            _ => files.push(PathBuf::from(arg)),
        }
    }
    let connection = Database::open_in_memory().connect();
    connection.execute("SET threads = 2")?;
    let start = Instant::now();
    let kind = if mode == "memory" { "TABLE" } else { "VIEW" };
    for table in TABLES {
        let sql = format!("CREATE {kind} {table} AS SELECT * FROM '{data}/{table}.parquet'");
        connection.execute(&sql)?;
    }
    let load = start.elapsed().as_secs_f64() * 1e3;
    let queries = files.iter().map(|file| time_query(&connection, file, runs));
    let queries = queries.collect::<Result<Vec<_>, _>>()?;
    println!("{{\"load_ms\": {load}, \"queries\": [{}]}}", queries.join(", "));
    Ok(())
}

fn time_query(
    connection: &Connection,
    file: &PathBuf,
    runs: usize,
) -> Result<String, Box<dyn Error>> {
    let sql = std::fs::read_to_string(file)?;
    let (mut times, mut answer) = (Vec::new(), Vec::new());
    for _ in 0..=runs {
        let start = Instant::now();
        answer = connection.query(&sql)?.collect::<Result<Vec<_>, _>>()?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let rows = json_rows(&answer)?;
    Ok(format!("{{\"cold_ms\": {}, \"hot_ms\": {:?}, \"rows\": {rows}}}", times[0], &times[1..]))
}

fn json_rows(batches: &[RecordBatch]) -> Result<String, Box<dyn Error>> {
    let mut rows = Vec::new();
    for batch in batches {
        let columns = batch.columns().iter().map(to_text).collect::<Result<Vec<_>, _>>()?;
        for row in 0..batch.num_rows() {
            let cells: Vec<String> = columns
                .iter()
                .map(|column| match column.is_null(row) {
                    true => "null".to_string(),
                    false => json_text(column.value(row)),
                })
                .collect();
            rows.push(format!("[{}]", cells.join(", ")));
        }
    }
    Ok(format!("[{}]", rows.join(", ")))
}

fn json_text(text: &str) -> String {
    let mut json = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => json.extend(['\\', c]),
            c if (c as u32) < 0x20 => {
                // Writing to a String cannot fail.
                let _ = write!(json, "\\u{:04x}", c as u32);
            }
            c => json.push(c),
        }
    }
    json.push('"');
    json
}
