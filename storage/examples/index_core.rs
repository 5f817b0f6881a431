//! Times of the index layer by itself: building, look-ups, ranges, medians, and the same with changes that wait.
//!
//! Usage: `cargo run --release -p stoadb-storage --example index_core -- [rows ...]`, by default 10^6 and 10^7. Prints one
//! line a figure: median and 99th percentile of single calls in nanoseconds, each at another random place, the clock's
//! own time taken away.
#![expect(clippy::print_stdout, reason = "it prints what it measured")]

use std::{
    error::Error,
    hint::black_box,
    ops::Bound,
    sync::Arc,
    time::{Duration, Instant},
};

use arrow::array::{Float64Array, Int64Array};
use stoadb_storage::{
    LogicalType, Scalar, Vector,
    index::{Entries, IncludeColumn, Index, IndexColumn, IndexSpec, KeyRange, Workers},
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Calls of which the median is taken.
const CALLS: usize = 2000;
/// Rows of one vector that is handed over.
const VECTOR: usize = 1 << 16;

/// All cores.
struct Threads;

impl Workers for Threads {
    fn run(&self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let next = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    loop {
                        let at = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        if at >= tasks {
                            return;
                        }
                        task(at);
                    }
                });
            }
        });
    }
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// A key that is as good as random over all 64 bits; another number of the row for a key.
fn key(row: u64) -> i64 {
    Random(row.wrapping_mul(0x2545_f491_4f6c_dd1d)).next().cast_signed()
}

fn keys(rows: std::ops::Range<u64>) -> Vector {
    Vector::Flat(Arc::new(
        rows.map(key).collect::<Vec<_>>().into_iter().map(Some).collect::<Int64Array>(),
    ))
}

fn quantity(row: u64) -> i64 {
    1 + (row * 7919 % 50).cast_signed()
}

fn price(row: u64) -> f64 {
    (row * 104_729 % 100_000) as f64 / 100.0
}

fn entries(spec: &IndexSpec, rows: std::ops::Range<u64>) -> Result<Entries> {
    let mut entries = Entries::new(spec, (rows.end - rows.start) as usize)?;
    let mut at = rows.start;
    while at < rows.end {
        let end = (at + VECTOR as u64).min(rows.end);
        let mut includes: Vec<Vector> = vec![];
        for column in &spec.includes {
            includes.push(Vector::Flat(match column.ty {
                LogicalType::Float64 => {
                    Arc::new((at..end).map(|row| Some(price(row))).collect::<Float64Array>())
                }
                _ => Arc::new((at..end).map(|row| Some(quantity(row))).collect::<Int64Array>()),
            }));
        }
        entries.push(&[keys(at..end)], &includes, at..end)?;
        at = end;
    }
    Ok(entries)
}

/// The most memory that the process held, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// Prints median and 99th percentile of calls with prepared ranges.
fn time<T>(rows: u64, name: &str, ranges: &[KeyRange], mut call: impl FnMut(&KeyRange) -> T) {
    let clock = {
        let mut times: Vec<Duration> = (0..1000).map(|_| Instant::now().elapsed()).collect();
        times.sort_unstable();
        times[500]
    };
    let mut times: Vec<Duration> = ranges
        .iter()
        .map(|range| {
            let start = Instant::now();
            black_box(call(range));
            start.elapsed().saturating_sub(clock)
        })
        .collect();
    times.sort_unstable();
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize].as_nanos();
    println!("{rows} rows\t{name}\tp50 {} ns\tp99 {} ns", at(0.5), at(0.99));
}

/// Ranges of a part of all keys, at random places.
fn ranges(spec: &IndexSpec, part: f64) -> Result<Vec<KeyRange>> {
    let mut random = Random(7);
    let width = (part * u64::MAX as f64) as u64;
    (0..CALLS)
        .map(|_| {
            let start = random.next() % (u64::MAX - width);
            let signed = |code: u64| Scalar::int64((code ^ (1 << 63)).cast_signed());
            let (low, high) = (signed(start), signed(start + width));
            Ok(spec.range(&[], Bound::Included(&low), Bound::Included(&high))?)
        })
        .collect()
}

fn measure(rows: u64, what: &str, index: &Index) -> Result<()> {
    let spec = index.spec();
    let mut random = Random(3);
    let points: Vec<KeyRange> = (0..CALLS)
        .map(|_| spec.equal(&[Scalar::int64(key(random.next() % rows))]))
        .collect::<std::result::Result<_, _>>()?;
    let name = |call: &str| format!("{what} {call}");
    let row = |range: &KeyRange| index.view(range).select(0).map(|entry| index.row(entry));
    time(rows, &name("point"), &points, row);
    for part in [0.01, 0.1, 0.9] {
        let ranges = ranges(spec, part)?;
        let name = |call: &str| name(&format!("{:2}% {call}", part * 100.0));
        let first =
            if spec.includes.is_empty() { IndexColumn::Key } else { IndexColumn::Include(0) };
        time(rows, &name("count"), &ranges, |range| index.view(range).count());
        time(rows, &name("sum"), &ranges, |range| {
            index.view(range).totals(first, false).and_then(|totals| totals.exact_sum())
        });
        time(rows, &name("avg"), &ranges, |range| {
            index.view(range).totals(first, false).and_then(|totals| totals.mean())
        });
        time(rows, &name("stddev"), &ranges, |range| {
            let totals = index.view(range).totals(first, true);
            totals.and_then(|totals| totals.variance_sample()).map(f64::sqrt)
        });
        time(rows, &name("median of key"), &ranges, |range| {
            let view = index.view(range);
            view.select(view.count() / 2).map(|entry| index.row(entry))
        });
        if spec.includes.len() < 2 {
            continue;
        }
        let second = IndexColumn::Include(1);
        time(rows, &name("sum of doubles"), &ranges, |range| {
            index.view(range).totals(second, false).and_then(|totals| totals.sum_f64())
        });
        time(rows, &name("stddev of doubles"), &ranges, |range| {
            let totals = index.view(range).totals(second, true);
            totals.and_then(|totals| totals.variance_sample()).map(f64::sqrt)
        });
        time(rows, &name("max of doubles"), &ranges, |range| index.view(range).max(second).is_ok());
        time(rows, &name("median of doubles"), &ranges, |range| {
            index.view(range).included_quantile(1, 0.5).is_ok()
        });
        time(rows, &name("distinct keys"), &ranges, |range| index.view(range).distinct());
    }
    Ok(())
}

fn build(rows: u64, what: &str, spec: &IndexSpec) -> Result<Index> {
    let entries = entries(spec, 0..rows)?;
    let start = Instant::now();
    let index = Index::build(entries, spec, &Threads)?;
    let (time, info) = (start.elapsed(), index.info());
    println!(
        "{rows} rows\t{what} build {:.2} s\t{:.1} bytes an entry\theight {}\tpeak {:.1} bytes an entry",
        time.as_secs_f64(),
        info.bytes as f64 / rows as f64,
        info.height,
        peak() as f64 / rows as f64,
    );
    Ok(index)
}

/// Inserts and deletes in small batches until a twelfth of the entries is gone and waits.
fn change(rows: u64, index: Index) -> Result<Index> {
    let mut index = index;
    let start = Instant::now();
    let batches = 160_u64;
    let size = rows / 10 / 200;
    for batch in 0..batches {
        // Every tenth row, batch by batch.
        let gone: Vec<u64> = (batch * size..(batch + 1) * size).map(|i| i * 10).collect();
        let keys: Int64Array = gone.iter().map(|&row| Some(key(row))).collect();
        index = index.delete(&[Vector::Flat(Arc::new(keys))], &gone)?;
        let fresh = rows + batch * 100;
        index = index.insert(entries(index.spec(), fresh..fresh + 100)?, &Threads)?;
        index = merged(index)?;
    }
    let each = start.elapsed().as_nanos() / u128::from(batches * (size + 100));
    println!("{rows} rows\tchange {each} ns a row, in batches of {size} deleted and 100 inserted");
    let start = Instant::now();
    let single = 2000;
    for row in rows * 2..rows * 2 + single {
        index = index.insert(entries(index.spec(), row..row + 1)?, &Threads)?;
    }
    let each = start.elapsed().as_nanos() / u128::from(single);
    println!("{rows} rows\tsingle inserts {each} ns a row\truns {}", index.info().runs);
    Ok(index)
}

/// The index after all merges that are due.
fn merged(mut index: Index) -> Result<Index> {
    while let Some(merge) = index.merge_due() {
        index = index.with_merged(&merge.run()?).ok_or("an index changed")?;
    }
    Ok(index)
}

fn main() -> Result<()> {
    let sizes: Vec<u64> =
        std::env::args().skip(1).map(|arg| arg.parse()).collect::<std::result::Result<_, _>>()?;
    let sizes = if sizes.is_empty() { vec![1_000_000, 10_000_000] } else { sizes };
    for &rows in &sizes {
        let plain = IndexSpec::of(LogicalType::Int64);
        measure(rows, "key", &build(rows, "key", &plain)?)?;
        if rows > 20_000_000 {
            continue;
        }
        let mut spec = plain;
        spec.includes = vec![
            IncludeColumn::new(LogicalType::Int64),
            IncludeColumn { ty: LogicalType::Float64, quantiles: true },
        ];
        let index = build(rows, "includes", &spec)?;
        measure(rows, "includes", &index)?;
        let index = change(rows, index)?;
        measure(rows, "changed", &index)?;
        let start = Instant::now();
        if let Some(merge) = index.merge_all() {
            black_box(index.with_merged(&merge.run()?));
        }
        println!("{rows} rows\tmerge {:.2} s", start.elapsed().as_secs_f64());
    }
    Ok(())
}
