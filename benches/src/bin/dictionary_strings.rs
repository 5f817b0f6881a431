//! Work on texts of few distinct values over growing numbers of rows: `dictionary_strings [RUNS]`. In a table the texts
//! are a dictionary, so that the work on texts is done once per distinct value and a row takes the load of its code; the
//! same texts one by one, as a registered batch of plain values holds them, stand beside it.

#![expect(clippy::print_stdout, reason = "this is a command line tool")]

use std::{error::Error, hint::black_box, sync::Arc, time::Instant};

use arrow::array::{ArrayRef, RecordBatch, StringViewArray};
use stoadb::{Connection, Database, to_text};
use stoadb_benches::random::Random;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Outcome<T> = Result<T, Box<dyn Error>>;

const DISTINCT: u64 = 1000;

const QUERIES: [(&str, &str); 7] = [
    ("equality", "SELECT count(*) FROM $t WHERE s = 'https://example.org/shop/17/item'"),
    ("LIKE", "SELECT count(*) FROM $t WHERE s LIKE '%shop/1%item'"),
    ("regular expression", "SELECT count(*) FROM $t WHERE regexp_matches(s, 'shop/[0-9]*7/')"),
    ("IN", "SELECT count(*) FROM $t WHERE s IN ('a', 'https://example.org/shop/5/item', 'b')"),
    ("length", "SELECT sum(length(s)) FROM $t"),
    ("upper", "SELECT min(upper(s)), max(upper(s)) FROM $t"),
    ("GROUP BY", "SELECT count(*) FROM (SELECT s, count(*) FROM $t GROUP BY s) g"),
];

fn main() -> Outcome<()> {
    let runs = std::env::args().nth(1).map_or(Ok(7), |runs| runs.parse())?;
    println!("ns per row, {DISTINCT} distinct texts, one thread: a dictionary (plain values)");
    println!("| rows | {} |", QUERIES.map(|(name, _)| name).join(" | "));
    println!("|---|{}", "---|".repeat(QUERIES.len()));
    for rows in [100_000, 1_000_000, 10_000_000] {
        let connection = load(rows)?;
        let mut cells = Vec::new();
        for (name, query) in QUERIES {
            let sql = |table: &str| query.replace("$t", table);
            let answers = [answer(&connection, &sql("t"))?, answer(&connection, &sql("plain"))?];
            if answers[0] != answers[1] {
                return Err(format!("{name}: {answers:?}").into());
            }
            let encoded = best(&connection, &sql("t"), runs)? / rows as f64;
            let plain = best(&connection, &sql("plain"), runs.min(3))? / rows as f64;
            cells.push(format!("{encoded:.2} ({plain:.2})"));
        }
        println!("| {rows} | {} |", cells.join(" | "));
    }
    Ok(())
}

fn load(rows: usize) -> Outcome<Connection> {
    let connection = Database::open_in_memory().connect();
    connection.execute("SET threads = 1")?;
    let mut random = Random::new(3);
    let text = |number| format!("https://example.org/shop/{number}/item");
    let texts: Vec<String> = (0..DISTINCT).map(text).collect();
    let mut batches = Vec::new();
    for first in (0..rows).step_by(1 << 20) {
        let rows = (rows - first).min(1 << 20);
        let value = |_| usize::try_from(random.below(DISTINCT)).map(|at| texts[at].as_str());
        let values = (0..rows).map(value).collect::<Result<Vec<_>, _>>()?;
        let column: ArrayRef = Arc::new(StringViewArray::from(values));
        batches.push(RecordBatch::try_from_iter([("s", column)])?);
    }
    let schema = batches.first().ok_or("no rows")?.schema();
    connection.register("plain", schema, batches)?;
    connection.execute("CREATE TABLE t AS SELECT * FROM plain")?;
    Ok(connection)
}

fn answer(connection: &Connection, sql: &str) -> Outcome<String> {
    let batch = connection.query(sql)?.next().ok_or("no row")??;
    Ok(to_text(batch.column(0))?.value(0).to_owned())
}

/// The least time of a prepared statement, in nanoseconds.
fn best(connection: &Connection, sql: &str, runs: usize) -> Outcome<f64> {
    let statement = connection.prepare(sql)?;
    let mut best = f64::MAX;
    for _ in 0..=runs {
        let start = Instant::now();
        for batch in statement.query(&[])? {
            black_box(batch?);
        }
        best = best.min(start.elapsed().as_secs_f64() * 1e9);
    }
    Ok(best)
}
