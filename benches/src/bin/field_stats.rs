//! One-field statistics: their latency when block statistics answer them, and the bytes per second of a scan beside the
//! bandwidth of plain reading. `field_stats [ROWS [RUNS [COLUMNS]]]`, by default 50 million rows; every answer of the
//! one way is compared with that of the other, bit for bit.

#![expect(clippy::print_stdout, reason = "this is a command line tool")]

use std::{
    error::Error,
    hint::black_box,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use arrow::{
    array::{
        ArrayRef, AsArray, Float64Array, Int32Array, Int64Array, RecordBatch,
        TimestampMicrosecondArray,
    },
    datatypes::Int64Type,
};
use stoadb::{Connection, Database, to_text};
use stoadb_benches::random::Random;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Rows of one batch that is loaded, and of one segment.
const BATCH_ROWS: usize = 1 << 20;

const STATISTICS: [&str; 6] = ["count", "sum", "avg", "stddev", "min", "max"];

/// The columns that are summed: name and what they are.
const COLUMNS: [(&str, &str); 6] = [
    ("reading", "doubles"),
    ("reading_n", "doubles, a tenth NULL"),
    ("id", "whole numbers of 8 bytes"),
    ("id_n", "whole numbers of 8 bytes, a tenth NULL"),
    ("price", "whole numbers below 2^31"),
    ("status", "whole numbers below 1000"),
];

fn main() -> Outcome<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default: usize| args.get(at).map_or(Ok(default), |arg| arg.parse());
    let (rows, runs) = (number(0, 50_000_000)?, number(1, 7)?);
    let wanted = |name: &str| args.get(2).is_none_or(|list| list.split(',').any(|one| one == name));
    let connection = load(rows)?;
    let bandwidth = [bandwidth(1, runs)?, bandwidth(2, runs)?];
    println!(
        "plain reads of 512 MiB: {:.2} GB/s on 1 thread, {:.2} GB/s on 2\n",
        bandwidth[0], bandwidth[1]
    );
    println!("{rows} rows; scans: GB/s of encoded bytes (and of the bandwidth) on 1 and 2 threads");
    println!("| column | statistic | MB | 1 thread | 2 threads | by statistics p50 | p99 |");
    println!("|---|---|---|---|---|---|---|");
    for (column, _) in COLUMNS.iter().filter(|(name, _)| wanted(name)) {
        let bytes = bytes_of(&connection, column)?;
        for statistic in STATISTICS {
            let sql = format!("SELECT {statistic}({column}) FROM t");
            let mut cells = vec![format!("{:.0}", bytes / 1e6)];
            let answer = answer_of(&connection, &sql)?;
            connection.execute("SET use_statistics = false")?;
            for (threads, bandwidth) in (1..).zip(bandwidth) {
                connection.execute(&format!("SET threads = {threads}"))?;
                let scanned = answer_of(&connection, &sql)?;
                if answer != scanned {
                    return Err(format!("{sql}: {answer} and {scanned}").into());
                }
                let best = latencies(&connection, &sql, runs)?[0].as_secs_f64();
                let speed = bytes / best / 1e9;
                cells.push(format!("{:.2} ms {speed:.2} ({:.2})", best * 1e3, speed / bandwidth));
            }
            connection.execute("SET use_statistics = true")?;
            cells.extend(percentiles(&connection, &sql)?);
            println!("| {column} | {statistic} | {} |", cells.join(" | "));
        }
    }
    println!("\n| several at once, or a range of the clustered timestamp | p50 | p99 |");
    println!("|---|---|---|");
    let all = |column: &str| STATISTICS.map(|name| format!("{name}({column})")).join(", ");
    let (low, high) = (START + rows as i64 / 7 * STEP + 1, START + rows as i64 / 7 * 6 * STEP);
    let range = format!("at >= {} AND at < {}", instant(low), instant(high));
    for (column, _) in COLUMNS.iter().filter(|(name, _)| wanted(name)) {
        let sql = format!("SELECT {} FROM t", all(column));
        println!("| all six of {column} | {} |", percentiles(&connection, &sql)?.join(" | "));
        for statistic in STATISTICS {
            let sql = format!("SELECT {statistic}({column}) FROM t WHERE {range}");
            let answer = answer_of(&connection, &sql)?;
            connection.execute("SET use_statistics = false")?;
            let scanned = answer_of(&connection, &sql)?;
            connection.execute("SET use_statistics = true")?;
            if answer != scanned {
                return Err(format!("{sql}: {answer} and {scanned}").into());
            }
            let cells = percentiles(&connection, &sql)?.join(" | ");
            println!("| {statistic}({column}) in a range | {cells} |");
        }
    }
    Ok(())
}

/// The first instant and the distance between two rows, in microseconds.
const START: i64 = 1_700_000_000_000_000;
const STEP: i64 = 1_500;

fn instant(micros: i64) -> String {
    let (seconds, micros) = (micros / 1_000_000, micros % 1_000_000);
    format!(
        "(TIMESTAMP '1970-01-01' + INTERVAL '{seconds} seconds' + INTERVAL '{micros} microseconds')"
    )
}

/// A table of random values and a clustered timestamp.
fn load(rows: usize) -> Outcome<Connection> {
    let connection = Database::open_in_memory().connect();
    let mut random = Random::new(11);
    for first in (0..rows).step_by(BATCH_ROWS) {
        let batch = batch(first, BATCH_ROWS.min(rows - first), &mut random)?;
        connection.register("batch", batch.schema(), vec![batch])?;
        connection.execute(match first {
            0 => "CREATE TABLE t AS SELECT * FROM batch",
            _ => "INSERT INTO t SELECT * FROM batch",
        })?;
    }
    Ok(connection)
}

#[expect(clippy::cast_possible_wrap, clippy::cast_possible_truncation, reason = "any bits")]
fn batch(first: usize, rows: usize, random: &mut Random) -> Outcome<RecordBatch> {
    let at = (first..first + rows).map(|row| START + row as i64 * STEP);
    let at: TimestampMicrosecondArray = at.map(Some).collect();
    let readings: Vec<f64> = (0..rows).map(|_| random.unit() * 2e6 - 1e6).collect();
    let holes = readings.iter().map(|&value| (!random.chance(100)).then_some(value));
    let holes: Float64Array = holes.collect();
    let ids: Vec<i64> = (0..rows).map(|_| random.bits() as i64 >> 16).collect();
    let id_holes: Int64Array =
        ids.iter().map(|&value| (!random.chance(100)).then_some(value)).collect();
    let prices: Int64Array = (0..rows).map(|_| Some(random.below(1 << 31) as i64)).collect();
    let statuses: Int32Array = (0..rows).map(|_| Some(random.below(1000) as i32)).collect();
    let columns: [(&str, ArrayRef); 7] = [
        ("at", Arc::new(at)),
        ("reading", Arc::new(Float64Array::from(readings))),
        ("reading_n", Arc::new(holes)),
        ("id", Arc::new(Int64Array::from(ids))),
        ("id_n", Arc::new(id_holes)),
        ("price", Arc::new(prices)),
        ("status", Arc::new(statuses)),
    ];
    Ok(RecordBatch::try_from_iter(columns)?)
}

/// GB/s at which so many threads together sum 512 MiB of words.
fn bandwidth(threads: usize, runs: usize) -> Outcome<f64> {
    let words: Vec<u64> = (0..1 << 26).collect();
    let sum = |words: &[u64]| {
        let mut sums = [0_u64; 16];
        for chunk in words.as_chunks::<16>().0 {
            for (sum, &word) in sums.iter_mut().zip(chunk) {
                *sum = sum.wrapping_add(word);
            }
        }
        black_box(sums);
    };
    let mut best = f64::MAX;
    for _ in 0..=runs {
        let start = Instant::now();
        thread::scope(|scope| {
            for part in words.chunks(words.len().div_ceil(threads)) {
                scope.spawn(|| sum(black_box(part)));
            }
        });
        best = best.min(start.elapsed().as_secs_f64());
    }
    Ok(words.len() as f64 * 8.0 / best / 1e9)
}

fn bytes_of(connection: &Connection, column: &str) -> Outcome<f64> {
    let sql = format!(
        "SELECT cast(sum(bytes) AS BIGINT) FROM storage_info('t') WHERE column_name = '{column}'"
    );
    let batch = connection.query(&sql)?.next().ok_or("no row")??;
    Ok(batch.column(0).as_primitive::<Int64Type>().value(0) as f64)
}

/// All values of the only row, doubles by their bits.
fn answer_of(connection: &Connection, sql: &str) -> Outcome<String> {
    let batch = connection.query(sql)?.next().ok_or("no row")??;
    let mut answer = String::new();
    for column in batch.columns() {
        answer.push_str(to_text(column)?.value(0));
        answer.push(' ');
    }
    Ok(answer)
}

/// How long each of `runs` runs of a prepared statement took, its rows read; the shortest first.
fn latencies(connection: &Connection, sql: &str, runs: usize) -> Outcome<Vec<Duration>> {
    let statement = connection.prepare(sql)?;
    let mut times = Vec::with_capacity(runs);
    for run in 0..=runs {
        let start = Instant::now();
        for batch in statement.query(&[])? {
            black_box(batch?);
        }
        if run > 0 {
            times.push(start.elapsed());
        }
    }
    times.sort_unstable();
    Ok(times)
}

fn percentiles(connection: &Connection, sql: &str) -> Outcome<[String; 2]> {
    let times = latencies(connection, sql, 1000)?;
    let at = |per_mille: usize| format!("{:.1} us", times[per_mille].as_secs_f64() * 1e6);
    Ok([at(500), at(990)])
}
