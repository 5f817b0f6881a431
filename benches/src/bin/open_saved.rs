//! How soon a saved database answers: `open_saved make FILE FOLDER ROWS` saves the first rows of a Parquet file as table
//! `t`, `open_saved once FOLDER COLUMN` opens the folder and sums one column, reading it. Called by `compare/open.py`.

#![expect(clippy::print_stdout, reason = "this is a command line tool")]

use std::{error::Error, time::Instant};

use arrow::array::Array;
use stoadb::{Connection, Database, to_text};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["make", file, folder, rows] => make(file, folder, rows.parse()?),
        ["once", folder, column] => once(folder, column),
        _ => Err("usage: open_saved make FILE FOLDER ROWS | once FOLDER COLUMN".into()),
    }
}

fn make(file: &str, folder: &str, rows: u64) -> Outcome<()> {
    let database = Database::open_in_memory();
    let connection = database.connect();
    connection.execute(&format!("CREATE TABLE t AS SELECT * FROM '{file}' LIMIT {rows}"))?;
    database.save(folder)?;
    Ok(())
}

/// Opens the folder and sums the column; prints times, and what was touched as three witnesses tell it.
fn once(folder: &str, column: &str) -> Outcome<()> {
    let before = read_from_disk()?;
    let start = Instant::now();
    let connection = Database::open(folder)?.connect();
    let opened = start.elapsed();
    let after_open = read_from_disk()?;
    connection.execute("SET use_statistics = false")?;
    let start = Instant::now();
    let plan = lines(&connection, &format!("EXPLAIN ANALYZE SELECT sum({column}) FROM t"))?;
    let answered = start.elapsed();
    let (from_disk, mapped) = (read_from_disk()? - after_open, mapped_and_touched(folder)?);
    let start = Instant::now();
    lines(&connection, &format!("SELECT sum({column}) FROM t"))?;
    let again = start.elapsed();
    let ledger = plan.iter().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let at = words.iter().position(|word| *word == "touched")?;
        words.get(at + 1)?.parse::<u64>().ok()
    });
    let sql = format!("SELECT sum(bytes) FROM storage_info('t') WHERE column_name = '{column}'");
    let stored = lines(&connection, &sql)?.concat();
    println!(
        "{{\"open_ms\": {:.3}, \"open_disk\": {}, \"query_ms\": {:.3}, \"again_ms\": {:.3}, \"stored\": {stored}, \
         \"ledger\": {}, \"mapped\": {mapped}, \"disk\": {from_disk}}}",
        opened.as_secs_f64() * 1e3,
        after_open - before,
        answered.as_secs_f64() * 1e3,
        again.as_secs_f64() * 1e3,
        ledger.ok_or("the plan says nothing of bytes touched")?
    );
    Ok(())
}

/// The first column of an answer as texts.
fn lines(connection: &Connection, sql: &str) -> Outcome<Vec<String>> {
    let mut lines = Vec::new();
    for rows in connection.query(sql)? {
        let text = to_text(rows?.column(0))?;
        lines.extend((0..text.len()).map(|row| text.value(row).to_string()));
    }
    Ok(lines)
}

/// Bytes that the process has fetched from the disk so far, read ahead included.
fn read_from_disk() -> Outcome<u64> {
    let io = std::fs::read_to_string("/proc/self/io")?;
    let line =
        io.lines().find_map(|line| line.strip_prefix("read_bytes: ")).ok_or("no read_bytes")?;
    Ok(line.trim().parse()?)
}

/// Bytes of the folder's files in pages that this process has touched (or that came with a neighbour in memory).
fn mapped_and_touched(folder: &str) -> Outcome<u64> {
    let (mut ours, mut kib) = (false, 0);
    for line in std::fs::read_to_string("/proc/self/smaps")?.lines() {
        if let Some(size) = line.strip_prefix("Rss:").filter(|_| ours) {
            let size = size.split_whitespace().next().ok_or("no size")?;
            kib += size.parse::<u64>()?;
        } else if line.split_whitespace().next().is_some_and(|word| !word.ends_with(':')) {
            ours = line.ends_with(".arrow") && line.contains(folder.trim_end_matches('/'));
        }
    }
    Ok(kib * 1024)
}
