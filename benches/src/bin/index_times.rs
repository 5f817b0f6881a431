//! Times questions to an index in process and prints a table, microseconds a call:
//! `index_times [--rows 1000000,10000000] [--calls N] [--scans N]`.
//!
//! For each number of rows, the storage's interface first (one version of an index, one thread), then prepared statements:
//! those that are run again with the same parameters, and those with other parameters at every call. With `--scans`, so
//! many calls of each statement without the index, too.

#![expect(clippy::print_stdout, reason = "this is a command line tool")]

use std::{error::Error, hint::black_box, ops::Bound, sync::Arc, time::Instant};

use arrow::array::{Float64Array, Int64Array};
use stoadb::{Connection, Database};
use stoadb_storage::{
    Scalar, Vector,
    index::{Entries, IncludeColumn, Index, IndexColumn, IndexSpec, KeyRange, Serial},
    types::LogicalType,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A prime, so that its multiples go through all keys in another order.
const STRIDE: u64 = 2_654_435_761;

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 17) % n.max(1)
    }
}

fn main() -> Result<()> {
    let (mut sizes, mut calls, mut scans) = (vec![1_000_000, 10_000_000], 1000, 0);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let value = args.next().ok_or_else(|| format!("{arg} needs a value"))?;
        match arg.as_str() {
            "--rows" => {
                sizes = value.split(',').map(str::parse).collect::<std::result::Result<_, _>>()?;
            }
            "--calls" => calls = value.parse()?,
            "--scans" => scans = value.parse()?,
            _ => return Err(format!("there is no option {arg}").into()),
        }
    }
    println!("{:>12}  {:9}  {:44} {:>12} {:>12}", "rows", "by", "question", "p50", "p99");
    for rows in sizes {
        storage(rows, calls)?;
        statements(rows, calls, scans)?;
    }
    Ok(())
}

/// Runs a question so often, and prints the times in the middle and at the end.
fn time(
    rows: u64,
    by: &str,
    name: &str,
    calls: usize,
    mut call: impl FnMut() -> Result<()>,
) -> Result<()> {
    for _ in 0..calls.min(20) {
        call()?;
    }
    let mut times = Vec::with_capacity(calls);
    for _ in 0..calls {
        let start = Instant::now();
        call()?;
        times.push(start.elapsed().as_nanos() as f64 / 1e3);
    }
    times.sort_by(f64::total_cmp);
    let at = |share: usize| times[(times.len() - 1) * share / 100];
    println!("{rows:>12}  {by:9}  {name:44} {:>12.2} {:>12.2}", at(50), at(99));
    Ok(())
}

/// The row's key, of as many as there are rows.
fn key(row: u64, rows: u64) -> i64 {
    (u128::from(row) * u128::from(STRIDE) % u128::from(rows)) as i64
}

fn build(rows: u64) -> Result<Index> {
    let mut spec = IndexSpec::of(LogicalType::Int64);
    spec.includes = vec![
        IncludeColumn::new(LogicalType::Float64),
        IncludeColumn { ty: LogicalType::Int64, quantiles: true },
    ];
    let mut entries = Entries::new(&spec, rows as usize)?;
    let all: Vec<u64> = (0..rows).collect();
    for chunk in all.chunks(1 << 16) {
        let keys = Int64Array::from_iter_values(chunk.iter().map(|&row| key(row, rows)));
        let x = Float64Array::from_iter_values(chunk.iter().map(|&row| (row % 9973) as f64 / 8.0));
        let p = Int64Array::from_iter_values(chunk.iter().map(|&row| (row * 31 % 100_003) as i64));
        let includes = [Vector::Flat(Arc::new(x)), Vector::Flat(Arc::new(p))];
        entries.push(&[Vector::Flat(Arc::new(keys))], &includes, chunk.iter().copied())?;
    }
    Ok(Index::build(entries, &spec, &Serial)?)
}

fn storage(rows: u64, calls: usize) -> Result<()> {
    let start = Instant::now();
    let index = build(rows)?;
    let (bytes, seconds) = (index.info().bytes, start.elapsed().as_secs_f64());
    println!("{rows:>12}  storage    built in {seconds:.2} s, {bytes} bytes");
    let mut random = Random(rows);
    let mut range = |width: u64| -> Result<KeyRange> {
        let low = random.below(rows - width + 1);
        let (low, high) = (Scalar::int64(low as i64), Scalar::int64((low + width) as i64));
        Ok(index.spec().range(&[], Bound::Included(&low), Bound::Excluded(&high))?)
    };
    time(rows, "storage", "point look-up", calls, || {
        let range = range(1)?;
        black_box(index.view(&range).rows(0, 1));
        Ok(())
    })?;
    for percent in [1, 10, 90] {
        let width = (rows * percent / 100).max(1);
        let name = format!("count, sum, avg, stddev over {percent} %");
        time(rows, "storage", &name, calls, || {
            let range = range(width)?;
            let totals = index.view(&range).totals(IndexColumn::Include(0), true);
            let totals = totals.ok_or("no such column")?;
            black_box((totals.values(), totals.sum_f64(), totals.mean(), totals.variance_sample()));
            Ok(())
        })?;
    }
    let width = (rows / 10).max(1);
    time(rows, "storage", "median of the key over 10 %", calls, || {
        let range = range(width)?;
        black_box(index.view(&range).quantile_between(0.5)?);
        Ok(())
    })?;
    time(rows, "storage", "median of an included column over 10 %", calls, || {
        let range = range(width)?;
        black_box(index.view(&range).included_between(1, 0.5)?);
        Ok(())
    })
}

fn statements(rows: u64, calls: usize, scans: usize) -> Result<()> {
    let connection = Database::open_in_memory().connect();
    let keys = format!("(i::DECIMAL(38, 0) * {STRIDE} % {rows})::BIGINT");
    connection.execute(&format!(
        "CREATE TABLE t AS SELECT {keys} AS k, (i % 9973) / 8e0 AS x, i * 31 % 100003 AS p FROM range({rows}) r(i)"
    ))?;
    let start = Instant::now();
    connection.execute("CREATE INDEX t_k ON t (k) INCLUDE (x, p QUANTILES)")?;
    println!("{rows:>12}  SQL        created in {:.2} s", start.elapsed().as_secs_f64());
    let within = "FROM t WHERE k >= $1 AND k < $2";
    let mut questions = vec![("point look-up".to_owned(), format!("SELECT x {within}"), 1)];
    for percent in [1, 10, 90] {
        let width = (rows * percent / 100).max(1);
        for aggregate in ["count(*)", "sum(x)", "avg(x)", "stddev_samp(x)"] {
            let name = format!("{aggregate} over {percent} %");
            questions.push((name, format!("SELECT {aggregate} {within}"), width));
        }
    }
    let width = (rows / 10).max(1);
    for aggregate in ["median(k)", "quantile_cont(k, 0.99)", "median(p)", "quantile_cont(p, 0.99)"]
    {
        let name = format!("{aggregate} over 10 %");
        questions.push((name, format!("SELECT {aggregate} {within}"), width));
    }
    let bucket = (width / 100).max(1);
    let sql = format!("SELECT k // {bucket} AS b, count(*), sum(x) {within} GROUP BY b");
    questions.push(("100 buckets over 10 %".into(), sql, width));
    for (name, sql, width) in &questions {
        ask(&connection, rows, (name, sql, *width), calls, scans)?;
    }
    Ok(())
}

fn ask(
    connection: &Connection,
    rows: u64,
    (name, sql, width): (&str, &str, u64),
    calls: usize,
    scans: usize,
) -> Result<()> {
    let statement = connection.prepare(sql)?;
    let mut random = Random(width);
    let mut parameters = || {
        let low = random.below(rows - width + 1);
        [Scalar::int64(low as i64), Scalar::int64((low + width) as i64)]
    };
    let run = |parameters: &[Scalar]| -> Result<()> {
        for batch in statement.query(parameters)? {
            black_box(batch?);
        }
        Ok(())
    };
    let same = parameters();
    time(rows, "same", name, calls, || run(&same))?;
    time(rows, "other", name, calls, || run(&parameters()))?;
    if scans > 0 {
        connection.execute("SET access_path = 'scan'")?;
        time(rows, "scan", name, scans, || run(&parameters()))?;
        connection.execute("SET access_path = 'auto'")?;
    }
    Ok(())
}
