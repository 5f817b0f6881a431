//! What queries touch: the ledger against the kernel's own count of bytes read, and against pages that must not be read.
//!
//! The tests of this file run one after the other in one process, so that the count of bytes is theirs alone.

use std::{
    fs,
    sync::{Arc, Mutex},
};

use arrow::{
    array::{ArrayRef, AsArray, Int64Array, RecordBatch},
    buffer::{Buffer, ScalarBuffer},
    datatypes::{DataType, Field, Int64Type, Schema},
};
use stoadb::{Connection, Database};
use stoadb_tests::{golden::root, tpch};

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn lines(connection: &Connection, sql: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for batch in connection.query(sql).unwrap() {
        let batch = batch.unwrap();
        lines.extend(batch.column(0).as_string_view().iter().flatten().map(str::to_string));
    }
    lines
}

/// The column lines of EXPLAIN ANALYZE: name and what follows.
fn touched(connection: &Connection, query: &str) -> Vec<(String, String)> {
    let lines = lines(connection, &format!("EXPLAIN ANALYZE {query}"));
    let column = |line: &String| {
        let (name, rest) = line.trim().strip_prefix("- ")?.split_once(": ")?;
        Some((name.to_string(), rest.to_string()))
    };
    lines.iter().filter_map(column).collect()
}

fn number_after(text: &str, word: &str) -> Option<u64> {
    let rest = &text[text.find(word)? + word.len()..];
    rest.trim_start().split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[test]
fn test_a_query_touches_only_its_columns() {
    let _turn = ONE_AT_A_TIME.lock();
    let connection = Database::open_in_memory().connect();
    let flights = format!("'{}/examples/data/flights.parquet'", root().display());
    connection.execute(&format!("CREATE TABLE flights AS SELECT * FROM {flights}")).unwrap();
    for source in [flights.as_str(), "flights"] {
        let touched = touched(&connection, &format!("SELECT avg(dep_delay) FROM {source}"));
        let names: Vec<&str> = touched.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["dep_delay"], "{touched:?}");
    }
}

/// Bytes that this process has got from read() and pread() so far.
fn bytes_read() -> u64 {
    let text = fs::read_to_string("/proc/self/io").unwrap();
    text.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap().parse().unwrap()
}

#[test]
fn test_the_ledger_equals_the_bytes_read_from_files() {
    let _turn = ONE_AT_A_TIME.lock();
    let connection = Database::open_in_memory().connect();
    let flights = format!("'{}/examples/data/flights.parquet'", root().display());
    let queries = [
        "SELECT avg(dep_delay) FROM @",
        "SELECT sum(distance), max(tailnum) FROM @ WHERE carrier = 'HA'",
        "SELECT count(*) FROM @ WHERE month = 7 AND dest = 'LAX'",
    ];
    for query in queries {
        let query = query.replace('@', &flights);
        // The first run reads the footer, which is cached then.
        lines(&connection, &query.replace("SELECT", "EXPLAIN ANALYZE SELECT"));
        let overhead = {
            let before = bytes_read();
            bytes_read() - before
        };
        let before = bytes_read();
        let columns = touched(&connection, &query);
        let read = bytes_read() - before - overhead;
        let charged: u64 =
            columns.iter().filter_map(|(_, text)| number_after(text, "encoded")).sum();
        assert!(charged > 0, "{columns:?}");
        assert_eq!(charged, read, "{query}: {columns:?}");
    }
}

#[test]
fn test_dictionary_columns_are_not_decoded() {
    let _turn = ONE_AT_A_TIME.lock();
    let folder = tempfile::tempdir().unwrap();
    tpch::write_parquet(folder.path(), 0.01).unwrap();
    let connection = Database::open_in_memory().connect();
    for name in tpch::NAMES {
        let file = folder.path().join(format!("{name}.parquet"));
        let sql = format!("CREATE VIEW {name} AS SELECT * FROM '{}'", file.display());
        connection.execute(&sql).unwrap();
    }
    let decoded = |query: &str, column: &str| {
        let sql = stoadb_tests::golden::query("tpch", query);
        let touched = touched(&connection, sql.trim_end().trim_end_matches(';'));
        let (_, text) = touched.iter().find(|(name, _)| name == column).unwrap_or_else(|| {
            panic!("{query} does not touch {column}: {touched:?}");
        });
        assert!(number_after(text, "encoded").is_some(), "{query}, {column}: {text}");
        number_after(text, "decoded").unwrap_or(0)
    };
    for (query, column) in [
        ("q01", "l_returnflag"),
        ("q01", "l_linestatus"),
        ("q12", "l_shipmode"),
        ("q12", "o_orderpriority"),
    ] {
        assert_eq!(decoded(query, column), 0, "{query}, {column}");
    }
}

/// A column whose pages cannot be read until `allow` is called.
struct Guarded {
    pages: *mut libc::c_void,
    bytes: usize,
}

#[expect(unsafe_code, reason = "page protection is what this test is about")]
mod guarded {
    use super::*;

    // SAFETY: the pages are mapped for as long as the value lives and are only ever read.
    unsafe impl Send for Guarded {}
    // SAFETY: as above.
    unsafe impl Sync for Guarded {}

    impl Guarded {
        pub(super) fn column(values: &[i64], readable: bool) -> ArrayRef {
            let bytes = size_of_val(values).next_multiple_of(4096);
            // SAFETY: a fresh anonymous mapping of `bytes` bytes, filled within its bounds, then protected.
            let pages = unsafe {
                let pages = libc::mmap(
                    std::ptr::null_mut(),
                    bytes,
                    libc::PROT_READ | libc::PROT_WRITE,
                    libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                    -1,
                    0,
                );
                assert_ne!(pages, libc::MAP_FAILED);
                std::ptr::copy_nonoverlapping(values.as_ptr(), pages.cast::<i64>(), values.len());
                let protection = if readable { libc::PROT_READ } else { libc::PROT_NONE };
                assert_eq!(libc::mprotect(pages, bytes, protection), 0);
                pages
            };
            let owner = Arc::new(Guarded { pages, bytes });
            let pointer = std::ptr::NonNull::new(pages.cast::<u8>()).unwrap();
            // SAFETY: `owner` keeps the mapping for as long as the buffer lives.
            let buffer =
                unsafe { Buffer::from_custom_allocation(pointer, size_of_val(values), owner) };
            Arc::new(Int64Array::new(ScalarBuffer::from(buffer), None))
        }
    }

    impl Drop for Guarded {
        fn drop(&mut self) {
            // SAFETY: unmaps what `column` mapped.
            unsafe { libc::munmap(self.pages, self.bytes) };
        }
    }
}

#[test]
fn test_unread_columns_may_be_unreadable() {
    let _turn = ONE_AT_A_TIME.lock();
    let values: Vec<i64> = (0..100_000).collect();
    let field = |name: &str| Field::new(name, DataType::Int64, true);
    let schema = Arc::new(Schema::new(vec![field("a"), field("secret"), field("b")]));
    let columns = vec![
        Guarded::column(&values, true),
        Guarded::column(&values, false),
        Guarded::column(&values, true),
    ];
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
    let connection = Database::open_in_memory().connect();
    connection.register("t", schema, vec![batch]).unwrap();
    for (query, expected) in [
        ("SELECT sum(a) FROM t", 4_999_950_000),
        ("SELECT sum(b) FROM t WHERE a < 10", 45),
        ("SELECT count(*) FROM t", 100_000),
        ("SELECT max(x.a) FROM t x JOIN t y ON x.b = y.b WHERE y.a < 7", 6),
        ("SELECT b FROM t ORDER BY a DESC LIMIT 1", 99_999),
    ] {
        let batches: Vec<_> = connection.query(query).unwrap().map(Result::unwrap).collect();
        assert_eq!(batches[0].column(0).as_primitive::<Int64Type>().value(0), expected, "{query}");
    }
}
