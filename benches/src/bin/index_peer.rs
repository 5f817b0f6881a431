//! StoaDB's side of `benches/compare/index.py`: runs what it is told on standard input, one command a line, fields separated by
//! tabs, and answers each with one line.
//!
//! - `sql TEXT`: runs statements to their end; answers the seconds and the bytes of memory that they held at their highest,
//!   more than before.
//! - `rows TEXT`: the rows of a query, `;` between rows and `,` between values.
//! - `ask SECONDS CALLS TEXT PARAMETERS`: a prepared query with pairs `low,high` of parameters, one pair a call, `CALLS` of
//!   them at most; answers p50 and p99 in microseconds, the calls, and the rows of the first three, `/` between them.
//! - `change insert|delete BATCH SECONDS START ROWS`: batches of rows into, or by their keys out of, the table `t` of so many
//!   rows; answers rows a second.
//!
//! What fails is answered `error` and why.

#![expect(clippy::print_stdout, reason = "this is a command line tool")]

use std::{
    error::Error,
    fs,
    io::{self, BufRead, Write},
    sync::Arc,
    time::{Duration, Instant},
};

use arrow::array::{Array, ArrayRef, Float64Array, Int64Array, RecordBatch, StringViewArray};
use stoadb::{Connection, Database, Scalar, to_text};
use stoadb_benches::resident;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// A prime, so that its multiples go through all keys in another order.
const STRIDE: u64 = 2_654_435_761;

fn main() -> Outcome<()> {
    let connection = Database::open_in_memory().connect();
    for line in io::stdin().lock().lines() {
        let line = line?;
        let fields: Vec<&str> = line.split('\t').collect();
        let answer = answer(&connection, &fields)
            .unwrap_or_else(|error| format!("error\t{}", error.to_string().replace('\n', " ")));
        println!("{answer}");
        io::stdout().flush()?;
    }
    Ok(())
}

fn answer(connection: &Connection, fields: &[&str]) -> Outcome<String> {
    match fields {
        ["sql", text] => timed(connection, text),
        ["rows", text] => rows(&connection.query(text)?.collect::<Result<Vec<_>, _>>()?),
        ["ask", seconds, calls, text, pairs] => {
            ask(connection, text, pairs, limit(seconds)?, calls.parse()?)
        }
        ["change", kind, batch, seconds, start, rows] => {
            let change = Change {
                connection,
                batch: batch.parse()?,
                rows: rows.parse()?,
                next: start.parse()?,
            };
            change.rate(*kind == "insert", limit(seconds)?)
        }
        _ => Err("no such command".into()),
    }
}

fn limit(seconds: &str) -> Outcome<Duration> {
    Ok(Duration::from_secs_f64(seconds.parse()?))
}

fn timed(connection: &Connection, text: &str) -> Outcome<String> {
    // Where the system lets nobody reset its mark the figure is that of the whole process.
    let _ = fs::write("/proc/self/clear_refs", "5");
    let before = resident()?;
    let start = Instant::now();
    connection.execute(text)?;
    let seconds = start.elapsed().as_secs_f64();
    Ok(format!("{seconds}\t{}", highest()? - before))
}

/// Bytes that the process held at its highest.
fn highest() -> Outcome<f64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).ok_or("no VmHWM")?;
    let file = status.lines().find_map(|line| line.strip_prefix("RssFile:"));
    let file = file.and_then(|line| line.split_whitespace().next()).ok_or("no RssFile")?;
    Ok((kib.parse::<f64>()? - file.parse::<f64>()?) * 1024.0)
}

fn rows(batches: &[RecordBatch]) -> Outcome<String> {
    let mut rows = Vec::new();
    for batch in batches {
        let columns = batch.columns().iter().map(to_text).collect::<Result<Vec<_>, _>>()?;
        rows.extend((0..batch.num_rows()).map(|row| {
            let cell = |column: &StringViewArray| match column.is_null(row) {
                true => "NULL".to_owned(),
                false => column.value(row).to_owned(),
            };
            columns.iter().map(cell).collect::<Vec<_>>().join(",")
        }));
    }
    Ok(rows.join(";"))
}

/// The first three calls give the answers and do not count, unless they take as long as there is.
fn ask(
    connection: &Connection,
    text: &str,
    pairs: &str,
    limit: Duration,
    calls: usize,
) -> Outcome<String> {
    let statement = connection.prepare(text)?;
    let pairs = pairs.split(' ').map(|pair| -> Outcome<_> {
        let (low, high) = pair.split_once(',').ok_or("a pair has a comma")?;
        let pair = [Scalar::int64(low.parse()?), Scalar::int64(high.parse()?)];
        Ok(pair[..statement.parameters()].to_vec())
    });
    let pairs: Vec<_> = pairs.collect::<Outcome<_>>()?;
    let (mut answers, mut times) = (Vec::new(), Vec::new());
    let mut spent = Duration::ZERO;
    for (at, pair) in pairs.iter().cycle().take(calls + 3).enumerate() {
        if at == 3 {
            (times, spent) = (Vec::new(), Duration::ZERO);
        }
        let start = Instant::now();
        let found = statement.query(pair)?.collect::<Result<Vec<_>, _>>()?;
        let took = start.elapsed();
        times.push(took.as_secs_f64() * 1e6);
        spent += took;
        if at < 3 {
            answers.push(rows(&found)?);
        }
        if spent > limit {
            break;
        }
    }
    times.sort_by(f64::total_cmp);
    let at = |share: usize| times[(times.len() - 1) * share / 100];
    Ok(format!("{}\t{}\t{}\t{}", at(50), at(99), times.len(), answers.join("/")))
}

struct Change<'a> {
    connection: &'a Connection,
    batch: u64,
    /// Of the table, which its keys are below.
    rows: u64,
    /// The number of the next row.
    next: u64,
}

impl Change<'_> {
    fn key(&self, row: u64) -> i64 {
        i64::try_from(u128::from(row) * u128::from(STRIDE) % u128::from(self.rows)).unwrap_or(0)
    }

    /// The next rows, as a table `batch`.
    fn register(&mut self) -> Outcome<()> {
        let rows = self.next..self.next + self.batch;
        self.next = rows.end;
        let keys = Int64Array::from_iter_values(rows.clone().map(|row| self.key(row)));
        let x = Float64Array::from_iter_values(rows.clone().map(|row| (row % 9973) as f64 / 8.0));
        let p = rows.map(|row| i64::try_from(row * 31 % 100_003).unwrap_or(0));
        let columns: [(&str, ArrayRef); 3] = [
            ("k", Arc::new(keys)),
            ("x", Arc::new(x)),
            ("p", Arc::new(Int64Array::from_iter_values(p))),
        ];
        let batch = RecordBatch::try_from_iter(columns)?;
        Ok(self.connection.register("batch", batch.schema(), vec![batch])?)
    }

    fn rate(mut self, insert: bool, limit: Duration) -> Outcome<String> {
        let text = match (insert, self.batch) {
            (true, 1) => "INSERT INTO t VALUES ($1, $2, $3)",
            (true, _) => "INSERT INTO t SELECT k, x, p FROM batch",
            (false, 1) => "DELETE FROM t WHERE k = $1",
            (false, _) => "DELETE FROM t WHERE k IN (SELECT k FROM batch)",
        };
        let statement = self.connection.prepare(text)?;
        let (mut rows, started) = (0, Instant::now());
        while started.elapsed() < limit {
            let mut parameters = Vec::new();
            if self.batch > 1 {
                self.register()?;
            } else {
                let row = self.next;
                self.next += 1;
                parameters.push(Scalar::int64(self.key(row)));
                if insert {
                    parameters.push(Scalar::float64((row % 9973) as f64 / 8.0));
                    parameters.push(Scalar::int64(i64::try_from(row * 31 % 100_003)?));
                }
            }
            let mut result = statement.query(&parameters)?;
            result.try_for_each(|batch| batch.map(drop))?;
            rows += self.batch;
        }
        Ok(format!("{}", rows as f64 / started.elapsed().as_secs_f64()))
    }
}
