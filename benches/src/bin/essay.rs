//! StoaDB's side of `benches/compare/essay.py`, which puts the claims of the essay "Data-oriented Programming in Python"
//! to the test: `essay data DIR ROWS`, `essay memory DIR KIND LAYOUT`, `essay statistics DIR KIND RUNS`,
//! `essay columns`. Prints JSON.

#![expect(clippy::print_stdout, reason = "this is a command line tool")]

use std::{
    error::Error,
    fs::File,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use arrow::{
    array::{Array, ArrayRef, AsArray, Float64Array, Int32Array, Int64Array, RecordBatch},
    datatypes::{Float64Type, Int32Type, Int64Type},
};
use parquet::arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder};
use stoadb::{Connection, Database, Scalar, to_text};
use stoadb_benches::{random::Random, resident};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// The columns of a record, as the peers know them.
const COLUMNS: [&str; 5] = ["id", "time", "status", "price", "reading"];

fn main() -> Outcome<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["data", folder, rows] => data(folder, rows.parse()?),
        ["memory", folder, kind, layout] => memory(folder, kind, layout),
        ["statistics", folder, kind, runs] => statistics(folder, kind, runs.parse()?),
        ["columns"] => columns(),
        _ => Err("usage: essay data DIR ROWS | memory DIR KIND LAYOUT | statistics DIR KIND RUNS | columns".into()),
    }
}

/// Writes `random.parquet` (full-range values) and `typical.parquet` (what logs and sales look like).
fn data(folder: &str, rows: usize) -> Outcome<()> {
    for kind in ["random", "typical"] {
        let mut random = Random::new(7);
        let typical = kind == "typical";
        let mut time = 1_700_000_000_000_000_i64;
        let (mut ids, mut times, mut statuses) = (Vec::new(), Vec::new(), Vec::new());
        let (mut prices, mut readings) = (Vec::new(), Vec::new());
        #[expect(clippy::cast_possible_wrap, clippy::cast_possible_truncation, reason = "any bits")]
        for row in 0..rows {
            if typical {
                time += random.below(2000) as i64 * 1000;
                ids.push(row as i64);
                times.push(time);
                statuses.push(random.skewed(6, 4.0) as i32 * 100);
                prices.push(99 + random.skewed(500, 2.0) as i64 * 100);
                readings.push((random.unit() * 400.0).round() / 10.0);
            } else {
                ids.push(random.bits() as i64);
                times.push(random.bits() as i64);
                statuses.push(random.bits() as i32);
                prices.push(random.bits() as i64);
                readings.push(random.unit() * 2e6 - 1e6);
            }
        }
        let columns: [ArrayRef; 5] = [
            Arc::new(Int64Array::from(ids)),
            Arc::new(Int64Array::from(times)),
            Arc::new(Int32Array::from(statuses)),
            Arc::new(Int64Array::from(prices)),
            Arc::new(Float64Array::from(readings)),
        ];
        let batch = RecordBatch::try_from_iter(COLUMNS.into_iter().zip(columns))?;
        let file = File::create(format!("{folder}/{kind}.parquet"))?;
        let mut writer = ArrowWriter::try_new(file, batch.schema(), None)?;
        writer.write(&batch)?;
        writer.close()?;
    }
    Ok(())
}

fn read(folder: &str, kind: &str) -> Outcome<Vec<RecordBatch>> {
    let file = File::open(format!("{folder}/{kind}.parquet"))?;
    let reader =
        ParquetRecordBatchReaderBuilder::try_new(file)?.with_batch_size(1 << 16).build()?;
    Ok(reader.collect::<Result<_, _>>()?)
}

/// A record whose fields are boxes of their own, as objects of many languages are.
struct Boxed {
    id: Box<i64>,
    time: Box<i64>,
    status: Box<i32>,
    price: Box<i64>,
    reading: Box<f64>,
}

/// Anonymous memory per record in a layout, measured on the process.
fn memory(folder: &str, kind: &str, layout: &str) -> Outcome<()> {
    let connection = Database::open_in_memory().connect();
    let before = resident()?;
    let mut rows = 0;
    let mut stored = None;
    let mut records: Vec<Box<Boxed>> = Vec::new();
    if layout == "encoded" {
        let sql = format!("CREATE TABLE t AS SELECT * FROM '{folder}/{kind}.parquet'");
        rows = usize::try_from(connection.execute(&sql)?)?;
        let bytes = number(&connection, "SELECT sum(bytes) FROM storage_info('t')")?;
        stored = Some(bytes / rows as f64);
    } else {
        let batches = read(folder, kind)?;
        rows += batches.iter().map(RecordBatch::num_rows).sum::<usize>();
        if layout == "boxed" {
            for batch in batches {
                let (ids, times) = (whole(&batch, 0), whole(&batch, 1));
                let statuses = batch.column(2).as_primitive::<Int32Type>();
                let prices = whole(&batch, 3);
                let readings = batch.column(4).as_primitive::<Float64Type>();
                records.extend((0..batch.num_rows()).map(|row| {
                    Box::new(Boxed {
                        id: Box::new(ids.value(row)),
                        time: Box::new(times.value(row)),
                        status: Box::new(statuses.value(row)),
                        price: Box::new(prices.value(row)),
                        reading: Box::new(readings.value(row)),
                    })
                }));
            }
        } else {
            connection.register("t", batches[0].schema(), batches)?;
        }
    }
    // Allocators give back what was freed with a delay, and when asked for more.
    thread::sleep(Duration::from_secs(2));
    if layout != "boxed" {
        connection.query("SELECT * FROM t LIMIT 10000")?.collect::<Result<Vec<_>, _>>()?;
    }
    let per_record = (resident()? - before) / rows as f64;
    // Every field is used, so that none of the layouts can be optimised away.
    let sum: i128 = records
        .iter()
        .map(|r| {
            i128::from(*r.id ^ *r.time ^ *r.price) + i128::from(*r.status) + *r.reading as i128
        })
        .sum();
    let stored = stored.map_or("null".to_string(), |bytes| bytes.to_string());
    println!("{{\"bytes_per_record\": {per_record}, \"stored\": {stored}, \"check\": \"{sum}\"}}");
    Ok(())
}

fn whole(batch: &RecordBatch, column: usize) -> &arrow::array::PrimitiveArray<Int64Type> {
    batch.column(column).as_primitive::<Int64Type>()
}

/// Least seconds of one-field statistics: from block statistics, by a scan on one thread, by a scan on two.
fn statistics(folder: &str, kind: &str, runs: usize) -> Outcome<()> {
    let connection = Database::open_in_memory().connect();
    connection.execute(&format!("CREATE TABLE t AS SELECT * FROM '{folder}/{kind}.parquet'"))?;
    let mut lines = Vec::new();
    for column in ["price", "reading"] {
        for statistic in ["sum", "avg", "stddev", "min", "max"] {
            let statement = connection.prepare(&format!("SELECT {statistic}({column}) FROM t"))?;
            let mut times = Vec::new();
            for (use_statistics, threads) in [(true, 1), (false, 1), (false, 2)] {
                connection.execute(&format!("SET use_statistics = {use_statistics}"))?;
                connection.execute(&format!("SET threads = {threads}"))?;
                let mut least = f64::INFINITY;
                for _ in 0..runs {
                    let start = Instant::now();
                    let rows = statement.query(&[])?.collect::<Result<Vec<_>, _>>()?;
                    least = least.min(start.elapsed().as_secs_f64());
                    assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 1);
                }
                times.push(least.to_string());
            }
            lines.push(format!("\"{statistic}({column})\": [{}]", times.join(", ")));
        }
    }
    println!("{{{}}}", lines.join(", "));
    Ok(())
}

/// Bytes that `sum` of one of 100 columns touches, of a table and of a Parquet file, and the size of that column.
fn columns() -> Outcome<()> {
    let mut random = Random::new(3);
    let columns = (0..100).map(|i| {
        let values: Float64Array = (0..1_000_000).map(|_| Some(random.unit())).collect();
        (format!("c{i}"), Arc::new(values) as ArrayRef)
    });
    let batch = RecordBatch::try_from_iter(columns)?;
    let file = std::env::temp_dir().join(format!("essay-{}.parquet", std::process::id()));
    let mut writer = ArrowWriter::try_new(File::create(&file)?, batch.schema(), None)?;
    writer.write(&batch)?;
    let metadata = writer.close()?;
    let groups = metadata.row_groups().iter();
    let in_file: i64 = groups.map(|group| group.columns()[42].compressed_size()).sum();
    let path = file.display().to_string();
    let connection = Database::open_in_memory().connect();
    connection.execute("SET use_statistics = false")?;
    connection.execute(&format!("CREATE TABLE t AS SELECT * FROM '{path}'"))?;
    let before = read_bytes()?;
    number(&connection, &format!("SELECT sum(c42) FROM '{path}'"))?;
    let requested = read_bytes()? - before;
    let plan = connection.query("EXPLAIN ANALYZE SELECT sum(c42) FROM t")?;
    let mut lines = Vec::new();
    for rows in plan {
        let text = to_text(rows?.column(0))?;
        lines.extend((0..text.len()).map(|row| text.value(row).to_string()));
    }
    std::fs::remove_file(&file)?;
    let touched = lines.iter().filter(|line| line.contains("touched")).cloned();
    let touched = touched.collect::<Vec<_>>().join("; ").replace('"', "'");
    println!(
        "{{\"file\": {{\"column\": {in_file}, \"requested\": {requested}}}, \"table\": {{\"column\": 8000000, \"ledger\": \"{touched}\"}}}}"
    );
    Ok(())
}

fn number(connection: &Connection, sql: &str) -> Outcome<f64> {
    let rows = connection.query_with(sql, &[] as &[Scalar])?.collect::<Result<Vec<_>, _>>()?;
    Ok(to_text(rows[0].column(0))?.value(0).parse()?)
}

/// Bytes that the process has read from files so far.
fn read_bytes() -> Outcome<u64> {
    let io = std::fs::read_to_string("/proc/self/io")?;
    let line = io.lines().find_map(|line| line.strip_prefix("rchar: ")).ok_or("no rchar")?;
    Ok(line.trim().parse()?)
}
