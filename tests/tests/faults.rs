//! Parquet files as SQL meets them: damaged, missing, changed and odd files, and good ones of every shape.
//!
//! Invariants: a bad file gives an error of its kind that names it; the statement that met it leaves no table and no
//! row behind, and the connection goes on working. Nothing panics, hangs, or believes a size that it was told.

use std::{
    fs,
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use arrow::{
    array::*,
    datatypes::{DataType, Field, Schema},
};
use parquet::{
    arrow::ArrowWriter,
    basic::Compression,
    file::{
        metadata::{ParquetMetaData, ParquetMetaDataReader, ParquetMetaDataWriter},
        properties::WriterProperties,
        writer::SerializedFileWriter,
    },
    schema::parser::parse_message_type,
};
use stoadb::{Connection, Database, Error, ErrorKind, to_text};
use stoadb_tests::rows::{error, rows, try_rows};

const ROWS: i64 = 240;
const GROUPS: usize = 4;

/// Runs a test of which a failure would be that it never ends.
fn within(seconds: u64, test: impl FnOnce() + Send + 'static) {
    let (done, wait) = mpsc::channel();
    let worker = thread::spawn(move || {
        test();
        // Nobody waits any longer after a timeout.
        done.send(()).ok();
    });
    match wait.recv_timeout(Duration::from_secs(seconds)) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("it hangs"),
        _ => worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
    }
}

/// Bytes of memory that this process had reserved at most, where the system tells.
fn peak_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmPeak:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? << 10)
}

/// Far above what these tests need (threads reserve some address space each), and below what their files claim.
const MEMORY: u64 = 6 << 30;

fn table() -> RecordBatch {
    let numbers: Int64Array = (0..ROWS).map(|n| (n % 7 != 0).then_some(n * 31)).collect();
    let words: StringArray = (0..ROWS).map(|n| Some(format!("word {}", n % 9))).collect();
    let texts: StringArray =
        (0..ROWS).map(|n| (n % 5 != 0).then(|| format!("text of {n}"))).collect();
    let decimals: Decimal128Array = (0..ROWS).map(|n| Some(i128::from(n))).collect();
    let floats: Float64Array = (0..ROWS).map(|n| Some(n as f64 / 3.0)).collect();
    let columns: [(&str, ArrayRef); 5] = [
        ("numbers", Arc::new(numbers)),
        ("words", Arc::new(words)),
        ("texts", Arc::new(texts)),
        ("decimals", Arc::new(decimals.with_precision_and_scale(12, 2).unwrap())),
        ("floats", Arc::new(floats)),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, array)| (name, array, true)))
        .unwrap()
}

fn properties() -> WriterProperties {
    WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_max_row_group_row_count(Some(ROWS as usize / GROUPS))
        .set_data_page_row_count_limit(25)
        .set_write_batch_size(5)
        .set_column_dictionary_enabled("texts".into(), false)
        .build()
}

fn bytes_of(batch: &RecordBatch, properties: WriterProperties) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
    // The writer recurses once per row group of a batch: of many small ones it gets a few at a time.
    for start in (0..batch.num_rows()).step_by(100) {
        writer.write(&batch.slice(start, (batch.num_rows() - start).min(100))).unwrap();
    }
    writer.close().unwrap();
    bytes
}

fn numbers(name: &str, values: impl IntoIterator<Item = i64>) -> RecordBatch {
    let array: ArrayRef = Arc::new(Int64Array::from_iter_values(values));
    RecordBatch::try_from_iter([(name, array)]).unwrap()
}

/// Where the footer stands.
fn footer(bytes: &[u8]) -> Range<usize> {
    let end = bytes.len() - 8;
    let length = u32::from_le_bytes(bytes[end..end + 4].try_into().unwrap());
    end - length as usize..end
}

fn metadata(bytes: &[u8]) -> ParquetMetaData {
    ParquetMetaDataReader::decode_metadata(&bytes[footer(bytes)]).unwrap()
}

/// Where the bytes of a column of a row group stand.
fn chunk(bytes: &[u8], group: usize, column: usize) -> Range<usize> {
    let (start, length) = metadata(bytes).row_group(group).column(column).byte_range();
    start as usize..(start + length) as usize
}

/// A folder with a sound file, a connection, and an empty table `t` of the file's columns.
struct Ground {
    folder: tempfile::TempDir,
    connection: Connection,
    sound: Vec<u8>,
}

impl Ground {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let sound = bytes_of(&table(), properties());
        let connection = Database::open_in_memory().connect();
        let ground = Self { folder, connection, sound };
        let path = ground.put("sound.parquet", &ground.sound);
        let create = format!("CREATE TABLE t AS SELECT * FROM '{path}' LIMIT 0");
        ground.connection.execute(&create).unwrap();
        ground
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file; gives its path.
    fn put(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn put_batch(&self, name: &str, batch: &RecordBatch) -> String {
        self.put(name, &bytes_of(batch, WriterProperties::default()))
    }

    /// There is no table but `t`, `t` is empty, and the sound file can be read.
    fn assert_clean(&self, after: &str) {
        assert_eq!(rows(&self.connection, "SHOW TABLES"), ["t|table"], "{after}");
        assert_eq!(rows(&self.connection, "SELECT count(*) FROM t"), ["0"], "{after}");
        let path = self.path("sound.parquet");
        let sql =
            format!("SELECT count(*), count(numbers), sum(decimals) FROM '{}'", path.display());
        assert_eq!(rows(&self.connection, &sql), ["240|205|286.80"], "{after}");
    }

    /// Every statement that reads `source` (as it stands in FROM) fails, names all of `parts`, and leaves nothing.
    fn refuses(&self, source: &str, kind: ErrorKind, parts: &[&str]) {
        let select = format!("SELECT * FROM {source}");
        let create = format!("CREATE TABLE c AS {select}");
        let insert = format!("INSERT INTO t {select}");
        let check = |sql: &str| {
            let error = error(&self.connection, sql);
            assert_eq!(error.kind, kind, "{sql}: {error}");
            for part in parts {
                assert!(error.to_string().contains(part), "{sql}: {error} (without {part})");
            }
        };
        for sql in [&select, &create, &insert] {
            check(sql);
            self.assert_clean(sql);
        }
        // A failed statement is taken back within a transaction; the statements around it stay.
        self.connection.execute("BEGIN; CREATE TABLE before_it AS SELECT 1 AS a").unwrap();
        check(&create);
        check(&insert);
        assert_eq!(rows(&self.connection, "SHOW TABLES"), ["before_it|table", "t|table"]);
        assert_eq!(rows(&self.connection, "SELECT count(*) FROM t"), ["0"]);
        self.connection.execute("DROP TABLE before_it; COMMIT").unwrap();
        self.assert_clean(&select);
    }
}

/// A generator of test input (splitmix64): the same numbers in every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}

#[test]
fn test_files_that_are_not_parquet_are_named() {
    let ground = Ground::new();
    let quoted = |name: &str, bytes: &[u8]| format!("'{}'", ground.put(name, bytes));
    let missing = format!("'{}'", ground.path("missing.parquet").display());
    ground.refuses(&missing, ErrorKind::Io, &["missing.parquet"]);
    let empty = quoted("empty.parquet", b"");
    ground.refuses(&empty, ErrorKind::Io, &["empty.parquet", "it is empty"]);
    let short = quoted("short.parquet", b"PAR1PAR1");
    ground.refuses(&short, ErrorKind::Io, &["short.parquet", "too short"]);
    let text = quoted("text.parquet", b"year,carrier\n2013,UA\n2013,AA\n");
    ground.refuses(&text, ErrorKind::Io, &["text.parquet", "does not end"]);
    let mut secret = ground.sound.clone();
    let end = secret.len();
    secret[end - 4..].copy_from_slice(b"PARE");
    let secret = quoted("secret.parquet", &secret);
    ground.refuses(&secret, ErrorKind::Unsupported, &["secret.parquet", "encrypted"]);
    let mut huge = ground.sound.clone();
    huge[end - 8..end - 4].copy_from_slice(&u32::MAX.to_le_bytes());
    ground.refuses(&quoted("huge.parquet", &huge), ErrorKind::Io, &["huge.parquet", "4294967295"]);

    fs::create_dir(ground.path("hollow")).unwrap();
    ground.put("hollow/_SUCCESS", b"");
    let hollow = format!("'{}'", ground.path("hollow").display());
    ground.refuses(&hollow, ErrorKind::Io, &["hollow", "no .parquet file"]);
    let glob = format!("'{}'", ground.path("hollow/*.parquet").display());
    ground.refuses(&glob, ErrorKind::Io, &["hollow/*.parquet", "no file matches"]);
    let list = format!("read_parquet(['{}', {missing}])", ground.path("sound.parquet").display());
    ground.refuses(&list, ErrorKind::Io, &["missing.parquet"]);
    let json = quoted("some.json", b"{}");
    ground.refuses(&json, ErrorKind::Value, &["some.json", "no keys"]);
    let other = quoted("some.xlsx", b"PK");
    ground.refuses(&other, ErrorKind::Unsupported, &["some.xlsx", "Parquet"]);
}

#[test]
fn test_truncated_files_are_refused() {
    let ground = Ground::new();
    let length = ground.sound.len();
    let footer = footer(&ground.sound).start;
    let cuts = [1, 4, 11, 12, 13, 100, length / 2, footer, footer + 1, length - 9, length - 4];
    for cut in cuts.into_iter().chain([length - 1]) {
        let path = ground.put("cut.parquet", &ground.sound[..cut]);
        let error = error(&ground.connection, &format!("SELECT * FROM '{path}'"));
        assert_eq!(error.kind, ErrorKind::Io, "{cut}: {error}");
        assert!(error.message.contains("cut.parquet"), "{cut}: {error}");
    }
    // The start is gone instead: the footer is sound, but points beside the pages.
    let path = ground.put("headless.parquet", &ground.sound[1000..]);
    ground.refuses(&format!("'{path}'"), ErrorKind::Io, &["headless.parquet"]);
    let path = ground.put("cut.parquet", &ground.sound[..length - 20]);
    ground.refuses(&format!("'{path}'"), ErrorKind::Io, &["cut.parquet"]);
}

#[test]
fn test_damage_in_the_last_row_group_leaves_nothing() {
    let ground = Ground::new();
    for (name, column) in [("numbers", 0), ("words", 1), ("texts", 2), ("floats", 4)] {
        let mut bytes = ground.sound.clone();
        let place = chunk(&bytes, GROUPS - 1, column);
        bytes[place].fill(0x5a);
        let path = ground.put("last.parquet", &bytes);
        let parts = ["last.parquet", "row group 3", &format!("column '{name}'")];
        ground.refuses(&format!("'{path}'"), ErrorKind::Io, &parts);
        // Columns and row groups that are not touched are none the worse.
        let other = if column == 4 { "numbers" } else { "floats" };
        let sql = format!("SELECT count({other}) FROM '{path}'");
        assert_eq!(rows(&ground.connection, &sql), [["240", "205"][usize::from(column == 4)]]);
    }
    // With two vectors at a time and several threads, too.
    let mut bytes = ground.sound.clone();
    let place = chunk(&bytes, GROUPS - 1, 2);
    bytes[place.end - 30..place.end].fill(0xff);
    let path = ground.put("tail.parquet", &bytes);
    for threads in [1, 4] {
        ground.connection.execute(&format!("SET threads = {threads}")).unwrap();
        ground.refuses(&format!("'{path}'"), ErrorKind::Io, &["tail.parquet", "row group 3"]);
    }
}

/// What reading a damaged file may do: all rows, or an error of the file.
fn check_damaged(ground: &Ground, path: &str, what: &str) -> bool {
    let name = Path::new(path).file_name().unwrap().to_str().unwrap();
    let outcome = |sql: &str, result: Result<u64, Error>| match result {
        Ok(count) => Some(count),
        Err(error) => {
            let known = matches!(error.kind, ErrorKind::Io | ErrorKind::Unsupported);
            assert!(known, "{what}: {sql}: {:?} {error}", error.kind);
            assert!(error.to_string().contains(name), "{what}: {sql}: {error}");
            None
        }
    };
    let create = format!("CREATE TABLE c AS SELECT * FROM '{path}'");
    let created = outcome(&create, ground.connection.execute(&create));
    let tables = rows(&ground.connection, "SHOW TABLES");
    match created {
        Some(count) => {
            assert_eq!(count, ROWS as u64, "{what}");
            assert_eq!(rows(&ground.connection, "SELECT count(*) FROM c"), ["240"], "{what}");
            ground.connection.execute("DROP TABLE c").unwrap();
        }
        None => assert_eq!(tables, ["t|table"], "{what}"),
    }
    // The filter makes use of statistics and page indexes.
    let columns = "numbers, words, texts, decimals, floats";
    let insert = format!("INSERT INTO t SELECT {columns} FROM '{path}' WHERE numbers >= 0");
    let inserted = match ground.connection.execute(&insert) {
        // A name or type that was flipped is an error of the statement.
        Err(error)
            if matches!(error.kind, ErrorKind::Name | ErrorKind::Type | ErrorKind::Value) =>
        {
            assert!(created.is_some(), "{what}: {error}");
            None
        }
        result => outcome(&insert, result),
    };
    let count = rows(&ground.connection, "SELECT count(*) FROM t");
    assert_eq!(count, [inserted.unwrap_or(0).to_string()], "{what}");
    if inserted != Some(0) {
        let again = "CREATE OR REPLACE TABLE t AS SELECT * FROM t LIMIT 0";
        ground.connection.execute(again).unwrap();
    }
    created.is_some()
}

#[test]
fn test_flipped_bytes_give_errors_or_rows() {
    within(500, || {
        let ground = Ground::new();
        let length = ground.sound.len();
        let footer = footer(&ground.sound).start;
        let mut numbers = Numbers(7);
        let mut errors = [0; 3];
        for round in 0..360 {
            let mut bytes = ground.sound.clone();
            let (group, column) = (numbers.below(GROUPS), numbers.below(5));
            let place = match round % 3 {
                0 => footer..length,
                1 => {
                    let start = chunk(&bytes, group, column).start;
                    start..start + 16
                }
                _ => chunk(&bytes, group, column),
            };
            let at = place.start + numbers.below(place.len());
            match round / 3 % 3 {
                0 => bytes[at] ^= 1 << numbers.below(8),
                1 => bytes[at] = numbers.next() as u8,
                _ => bytes.iter_mut().skip(at).take(4).for_each(|byte| *byte = 0xff),
            }
            let path = ground.put("flipped.parquet", &bytes);
            let read = check_damaged(&ground, &path, &format!("round {round}, byte {at}"));
            errors[round % 3] += usize::from(!read);
        }
        ground.assert_clean("flipped bytes");
        assert!(errors.iter().all(|&errors| errors >= 15), "{errors:?} errors");
        assert!(peak_memory().is_none_or(|bytes| bytes < MEMORY), "{:?} bytes", peak_memory());
    });
}

/// A sound file whose footer is replaced by another.
fn with_footer(sound: &[u8], change: impl Fn(ParquetMetaData) -> ParquetMetaData) -> Vec<u8> {
    let mut bytes = sound[..footer(sound).start].to_vec();
    ParquetMetaDataWriter::new(&mut bytes, &change(metadata(sound))).finish().unwrap();
    bytes
}

/// A footer whose last row group claims so many rows and values, and as many bytes per column, if given.
fn claiming(footer: ParquetMetaData, rows: i64, values: i64, size: Option<i64>) -> ParquetMetaData {
    let mut groups = footer.row_groups().to_vec();
    let group = groups.pop().unwrap();
    let columns = group.columns().iter().map(|column| {
        let column = column.clone().into_builder().set_num_values(values);
        match size {
            Some(size) => column.set_total_compressed_size(size).build().unwrap(),
            None => column.build().unwrap(),
        }
    });
    let columns = columns.collect();
    let group = group.into_builder().set_num_rows(rows).set_column_metadata(columns);
    groups.push(group.build().unwrap());
    footer.into_builder().set_row_groups(groups).build()
}

#[test]
fn test_huge_claims_are_not_believed() {
    within(120, || {
        let ground = Ground::new();
        let size = ground.sound.len() as i64;
        let group = ROWS / GROUPS as i64;
        let cases = [
            ("rows", i64::MAX - ROWS, group, None),
            ("values", group, i64::MAX, None),
            ("both", 1 << 40, 1 << 40, None),
            ("all", i64::MAX - 1000, i64::MAX - 1000, None),
            ("few", 3, 3, None),
            ("more", group + 1, group + 1, None),
            ("negative", -1, -1, None),
            ("bytes", group, group, Some(i64::MAX / 5)),
            ("file", group, group, Some(size)),
            ("minus", group, group, Some(-1)),
            ("none", group, group, Some(0)),
        ];
        for (name, rows, values, bytes) in cases {
            let bytes = with_footer(&ground.sound, |footer| claiming(footer, rows, values, bytes));
            let name = format!("{name}.parquet");
            let path = ground.put(&name, &bytes);
            ground.refuses(&format!("'{path}'"), ErrorKind::Io, &[&name, "row group 3"]);
        }
        assert!(peak_memory().is_none_or(|bytes| bytes < MEMORY), "{:?} bytes", peak_memory());
    });
}

#[test]
fn test_rows_that_no_bytes_back_are_refused_where_nothing_is_read() {
    within(120, || {
        let ground = Ground::new();
        for rows in [1 << 50, i64::MAX - 1000] {
            let bytes = with_footer(&ground.sound, |footer| claiming(footer, rows, rows, None));
            let path = ground.put("many.parquet", &bytes);
            for sql in ["SELECT count(*) FROM", "CREATE TABLE c AS SELECT 1 AS one FROM"] {
                let error = error(&ground.connection, &format!("{sql} '{path}'"));
                assert_eq!(error.kind, ErrorKind::Io, "{sql}: {error}");
                assert!(error.message.contains("many.parquet"), "{error}");
                ground.assert_clean(sql);
            }
        }
    });
}

#[test]
fn test_files_that_disagree_are_named_with_the_column() {
    let ground = Ground::new();
    ground.put_batch("types/a.parquet", &numbers("n", [1]));
    let text: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
    ground.put_batch("types/b.parquet", &RecordBatch::try_from_iter([("n", text)]).unwrap());
    let source = format!("'{}'", ground.path("types").display());
    ground.refuses(&source, ErrorKind::Io, &["types/b.parquet", "'n'", "VARCHAR", "BIGINT"]);
    let union = format!("read_parquet({source}, union_by_name => true)");
    ground.refuses(&union, ErrorKind::Io, &["types/b.parquet", "'n'"]);

    ground.put_batch("names/a.parquet", &numbers("n", [1]));
    ground.put_batch("names/b.parquet", &numbers("m", [2]));
    let source = format!("'{}'", ground.path("names/*.parquet").display());
    ground.refuses(&source, ErrorKind::Io, &["names/b.parquet", "'m'", "union_by_name"]);

    ground.put_batch("fewer/a.parquet", &table());
    ground.put_batch("fewer/b.parquet", &table().project(&[0, 1]).unwrap());
    let source = format!("'{}'", ground.path("fewer").display());
    ground.refuses(&source, ErrorKind::Io, &["fewer/b.parquet", "'texts'"]);

    ground.put_batch("keys/a=1/x.parquet", &numbers("n", [1]));
    ground.put_batch("keys/b=1/x.parquet", &numbers("n", [1]));
    let folder = ground.path("keys/*/*.parquet");
    let source = format!("read_parquet('{}', hive_partitioning => true)", folder.display());
    ground.refuses(&source, ErrorKind::Io, &["keys/b=1/x.parquet"]);
}

#[test]
fn test_files_that_are_replaced_are_read_anew() {
    let ground = Ground::new();
    let connection = &ground.connection;
    let path = ground.put_batch("x.parquet", &numbers("n", [1, 2]));
    let (sum, all) = (format!("SELECT sum(n) FROM '{path}'"), format!("SELECT * FROM '{path}'"));
    let prepared = connection.prepare(&sum).unwrap();
    assert_eq!(rows(connection, &sum), ["3"]);
    // By another file of the same size, by other columns, by garbage, by nothing, and back again.
    let other = ground.put_batch("y.parquet", &numbers("n", [5, 2]));
    fs::rename(&other, &path).unwrap();
    assert_eq!(rows(connection, &sum), ["7"]);
    let again: Vec<_> = prepared.query(&[]).unwrap().map(Result::unwrap).collect();
    assert_eq!(to_text(again[0].column(0)).unwrap().value(0), "7");
    ground.put_batch("x.parquet", &numbers("m", [1, 2, 3]));
    assert_eq!(error(connection, &sum).kind, ErrorKind::Name);
    assert_eq!(rows(connection, &all), ["1", "2", "3"]);
    ground.put("x.parquet", b"garbage that is not Parquet");
    assert_eq!(error(connection, &all).kind, ErrorKind::Io);
    fs::remove_file(&path).unwrap();
    assert_eq!(error(connection, &all).kind, ErrorKind::Io);
    assert!(prepared.query(&[]).is_err());
    ground.put_batch("x.parquet", &numbers("n", [1, 2]));
    assert_eq!(rows(connection, &sum), ["3"]);
    let again: Vec<_> = prepared.query(&[]).unwrap().map(Result::unwrap).collect();
    assert_eq!(to_text(again[0].column(0)).unwrap().value(0), "3");
}

#[test]
fn test_odd_shapes() {
    let ground = Ground::new();
    let connection = &ground.connection;
    let array = |n| Arc::new(Int64Array::from(vec![n])) as ArrayRef;
    let field = |name: &str| Field::new(name, DataType::Int64, true);
    let twice = Schema::new(vec![field("a"), field("b"), field("a")]);
    let twice = RecordBatch::try_new(Arc::new(twice), vec![array(1), array(2), array(3)]).unwrap();
    let path = ground.put_batch("twice.parquet", &twice);
    let parts = ["twice.parquet", "column 'a'"];
    ground.refuses(&format!("'{path}'"), ErrorKind::Unsupported, &parts);

    // No rows, with and without row groups; one row; many row groups.
    let none = ground.put_batch("none.parquet", &numbers("n", []));
    assert_eq!(rows(connection, &format!("SELECT count(*), sum(n) FROM '{none}'")), ["0|NULL"]);
    assert!(rows(connection, &format!("SELECT * FROM '{none}' WHERE n > 1")).is_empty());
    let schema = Arc::new(parse_message_type("message m { optional int64 n; }").unwrap());
    let mut bytes = Vec::new();
    let writer = SerializedFileWriter::new(&mut bytes, Arc::clone(&schema), Arc::default());
    writer.unwrap().close().unwrap();
    assert_eq!(metadata(&bytes).num_row_groups(), 0);
    let path = ground.put("groups0.parquet", &bytes);
    assert_eq!(rows(connection, &format!("SELECT count(*), max(n) FROM '{path}'")), ["0|NULL"]);
    let mut bytes = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, Arc::default()).unwrap();
    for _ in 0..2 {
        let mut group = writer.next_row_group().unwrap();
        group.next_column().unwrap().unwrap().close().unwrap();
        group.close().unwrap();
    }
    writer.close().unwrap();
    assert_eq!(metadata(&bytes).num_row_groups(), 2);
    let path = ground.put("groups2.parquet", &bytes);
    assert_eq!(rows(connection, &format!("SELECT count(*), max(n) FROM '{path}'")), ["0|NULL"]);
    assert_eq!(
        connection.execute(&format!("CREATE TABLE c AS SELECT * FROM '{path}'")).unwrap(),
        0
    );
    assert_eq!(rows(connection, "SELECT count(*) FROM c"), ["0"]);
    connection.execute("DROP TABLE c").unwrap();
    let one = ground.put_batch("one.parquet", &numbers("n", [42]));
    assert_eq!(rows(connection, &format!("SELECT * FROM '{one}'")), ["42"]);
    let groups = WriterProperties::builder().set_max_row_group_row_count(Some(1)).build();
    let path = ground.put("many.parquet", &bytes_of(&numbers("n", 0..1500), groups));
    let sql = format!("SELECT count(*), sum(n), min(n), max(n) FROM '{path}'");
    assert_eq!(rows(connection, &sql), ["1500|1124250|0|1499"]);
    let sql = format!("SELECT n FROM '{path}' WHERE n % 500 = 7");
    assert_eq!(rows(connection, &sql), ["7", "507", "1007"]);
    ground.assert_clean("odd shapes");
}

#[test]
fn test_files_without_columns() {
    let ground = Ground::new();
    let schema = Arc::new(parse_message_type("message m { }").unwrap());
    let mut bytes = Vec::new();
    let writer = SerializedFileWriter::new(&mut bytes, schema, Arc::default());
    writer.unwrap().close().unwrap();
    let path = ground.put("bare.parquet", &bytes);
    // There is nothing that could be read: an error or no rows, never a panic.
    for sql in ["SELECT * FROM", "SELECT count(*) FROM", "CREATE TABLE c AS SELECT * FROM"] {
        let error = error(&ground.connection, &format!("{sql} '{path}'"));
        assert_eq!(error.kind, ErrorKind::Io, "{sql}: {error}");
        assert!(error.message.contains("bare.parquet"), "{error}");
        assert!(error.message.contains("no columns"), "{error}");
        ground.assert_clean(sql);
    }
}

/// The bytes of a column that a scan read from files, by EXPLAIN ANALYZE.
fn encoded(plan: &[String], column: &str) -> u64 {
    let start = format!("{column}: ");
    let line = plan.iter().find(|line| line.trim_start_matches([' ', '-']).starts_with(&start));
    let Some(line) = line else { return 0 };
    let Some((_, rest)) = line.split_once("encoded ") else { return 0 };
    rest.split([' ', ',']).next().unwrap().parse().unwrap()
}

#[test]
fn test_keys_of_folders_choose_the_files() {
    let ground = Ground::new();
    let connection = &ground.connection;
    let mut sizes = Vec::new();
    for year in 2020..2025 {
        let batch = numbers("n", (0..300 * (year - 2018)).map(|n| n * year));
        let path = ground.put_batch(&format!("flights/year={year}/part.parquet"), &batch);
        sizes.push(chunk(&fs::read(path).unwrap(), 0, 0).len() as u64);
    }
    let folder = ground.path("flights");
    let glob = ground.path("flights/*/*.parquet");
    let sources = [
        format!("'{}'", folder.display()),
        format!("'{}'", glob.display()),
        format!("read_parquet('{}', hive_partitioning => true)", glob.display()),
    ];
    for source in &sources {
        let sql =
            format!("SELECT year, count(*), max(n) FROM {source} GROUP BY year ORDER BY year");
        let expected = (2020..2025).map(|year: i64| {
            let count = 300 * (year - 2018);
            format!("{year}|{count}|{}", (count - 1) * year)
        });
        assert_eq!(rows(connection, &sql), expected.collect::<Vec<_>>());
        for (condition, expected) in [
            ("TRUE", sizes.iter().sum::<u64>()),
            ("year = 2022", sizes[2]),
            ("year IN (2020, 2024)", sizes[0] + sizes[4]),
            ("year > 2022", sizes[3] + sizes[4]),
            ("year = 2019", 0),
        ] {
            let sql = format!("EXPLAIN ANALYZE SELECT sum(n) FROM {source} WHERE {condition}");
            let plan = rows(connection, &sql);
            assert_eq!(encoded(&plan, "n"), expected, "{sql}:\n{}", plan.join("\n"));
        }
    }
    let source = format!("read_parquet('{}', hive_partitioning => false)", glob.display());
    let wrong = error(connection, &format!("SELECT year FROM {source}"));
    assert_eq!(wrong.kind, ErrorKind::Name);
    assert_eq!(rows(connection, &format!("SELECT count(*) FROM {source}")), ["6000"]);
    // A damaged file that the key leaves out does no harm.
    ground.put("flights/year=2020/part.parquet", &{
        let mut bytes = fs::read(ground.path("flights/year=2020/part.parquet")).unwrap();
        let place = chunk(&bytes, 0, 0);
        bytes[place].fill(0x5a);
        bytes
    });
    let sql = format!("SELECT max(n) FROM {} WHERE year = 2021", sources[0]);
    assert_eq!(rows(connection, &sql), [(899 * 2021).to_string()]);
    // Footers know the maximum, but not the sum.
    let error = error(connection, &format!("SELECT sum(n) FROM {} WHERE year < 2022", sources[0]));
    for part in ["year=2020/part.parquet", "row group 0", "'n'"] {
        assert!(error.message.contains(part), "{error}");
    }
}

#[test]
fn test_lists_of_files_and_union_by_name() {
    let ground = Ground::new();
    let connection = &ground.connection;
    let a = ground.put_batch("a.parquet", &numbers("n", [1, 2]));
    let text: ArrayRef = Arc::new(StringArray::from(vec!["x", "y"]));
    let more: ArrayRef = Arc::new(Int64Array::from(vec![3, 4]));
    let b = RecordBatch::try_from_iter([("s", text), ("n", more)]).unwrap();
    let b = ground.put_batch("b.parquet", &b);
    let union = format!("read_parquet(['{a}', '{b}'], union_by_name => true)");
    let expected = ["1|NULL", "2|NULL", "3|x", "4|y"];
    assert_eq!(rows(connection, &format!("SELECT * FROM {union} ORDER BY n")), expected);
    assert_eq!(rows(connection, &format!("SELECT n FROM {union} WHERE s = 'y'")), ["4"]);
    assert_eq!(rows(connection, &format!("SELECT count(*) FROM {union} WHERE s IS NULL")), ["2"]);
    connection.execute(&format!("CREATE TABLE c AS SELECT * FROM {union}")).unwrap();
    assert_eq!(rows(connection, "SELECT * FROM c ORDER BY n"), expected);
    let same = format!("read_parquet(['{a}', '{a}'])");
    let apart = format!("SELECT sum(n) FROM read_parquet(['{a}'])");
    assert_eq!(rows(connection, &apart), ["3"]);
    assert!(try_rows(connection, &format!("SELECT * FROM {same}")).is_ok());
    let wrong = error(connection, &format!("SELECT * FROM read_parquet(['{a}', '{b}'])"));
    assert_eq!(wrong.kind, ErrorKind::Io);
    assert!(wrong.message.contains("b.parquet") && wrong.message.contains("'s'"), "{wrong}");
    let wrong = error(connection, "SELECT * FROM read_parquet([])");
    assert_eq!(wrong.kind, ErrorKind::Type, "{wrong}");
    let option = format!("SELECT * FROM read_parquet('{a}', colour => true)");
    assert!(error(connection, &option).message.contains("colour"));
}

#[test]
fn test_names_of_columns_and_paths() {
    let ground = Ground::new();
    let connection = &ground.connection;
    let one = |n: i64| Arc::new(Int64Array::from(vec![n])) as ArrayRef;
    let batch = RecordBatch::try_from_iter([
        ("Upper", one(1)),
        ("lower", one(2)),
        ("two words", one(3)),
        ("quo\"te", one(4)),
        ("select", one(5)),
        ("\u{e4}\u{20ac}", one(6)),
    ]);
    let batch = batch.unwrap();
    for name in ["plain.parquet", "two words.parquet", "it's.parquet", "q\"q.parquet", "Up.PARQUET"]
    {
        let path = ground.put_batch(name, &batch).replace('\'', "''");
        let sql = format!("SELECT * FROM '{path}'");
        let result = connection.query(&sql).unwrap();
        let names: Vec<_> = result.schema().fields().iter().map(|f| f.name().clone()).collect();
        assert_eq!(
            names,
            batch.schema().fields().iter().map(|f| f.name().clone()).collect::<Vec<_>>()
        );
        assert_eq!(rows(connection, &sql), ["1|2|3|4|5|6"], "{name}");
        let sql = format!(
            "SELECT \"Upper\", upper, UPPER, LOWER, \"two words\", \"quo\"\"te\", \"select\", \"\u{e4}\u{20ac}\"
             FROM '{path}' WHERE upper = 1 AND \"quo\"\"te\" > 3"
        );
        assert_eq!(rows(connection, &sql), ["1|1|1|2|3|4|5|6"], "{name}");
        connection
            .execute(&format!("CREATE OR REPLACE TABLE c AS SELECT * FROM '{path}'"))
            .unwrap();
        assert_eq!(rows(connection, "SELECT \"two words\", \"Upper\" FROM c"), ["3|1"]);
    }
    let path = ground.put_batch("some folder/x'y/z.parquet", &batch).replace('\'', "''");
    assert_eq!(rows(connection, &format!("SELECT lower FROM '{path}'")), ["2"]);
    assert_eq!(rows(connection, &format!("SELECT z.lower FROM read_parquet('{path}') z")), ["2"]);
    assert_eq!(rows(connection, &format!("SELECT z.lower FROM '{path}'")), ["2"]);
}
