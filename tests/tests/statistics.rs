//! Answers from statistics against answers from scans: the same bits, whatever the data, the filter, the deleted rows and
//! the number of threads.
//!
//! Invariant: what is compared is the bits of every result (NaN and -0.0 included) or the text of the error.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array,
        Int16Array, Int32Array, Int64Array, RecordBatch, StringViewArray,
        TimestampMicrosecondArray, UInt64Array,
    },
    compute,
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use parquet::{arrow::ArrowWriter, file::properties::WriterProperties};
use stoadb::{Connection, Database};
use stoadb_storage::{
    BLOCK_ROWS, Relation, Schema as TableSchema, TableBuilder, TableVersion, Vector,
};

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let mixed = (self.0 ^ (self.0 >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        mixed ^ (mixed >> 29)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }
}

/// Name, whether sums exist, whether arithmetic is exact.
const COLUMNS: [(&str, bool, bool); 12] = [
    ("id", true, true),
    ("small", true, true),
    ("part", true, true),
    ("big", true, true),
    ("wide", true, true),
    ("price", true, true),
    ("x", true, false),
    ("y", true, false),
    ("day", false, false),
    ("at", false, false),
    ("name", false, false),
    ("flag", false, false),
];

/// Rows from number `first` on. `id` and `at` ascend; every other column has its own blocks without NULL and without NaN.
fn rows(random: &mut Random, first: usize, rows: usize) -> RecordBatch {
    let calm = |row: usize, column: usize| ((first + row) / BLOCK_ROWS + column).is_multiple_of(2);
    let values = |random: &mut Random, column: usize| -> Vec<Option<i64>> {
        let value = |row| {
            let value = random.next() as i64;
            (calm(row, column) || value % 11 != 0).then_some(value)
        };
        (0..rows).map(value).collect()
    };
    let ids = (first as i64..(first + rows) as i64).collect::<Vec<_>>();
    let part = values(random, 2);
    let part =
        part.iter().zip(&ids).map(|(v, id)| v.map(|v| (id / 40_000) as i32 * 10 + (v % 3) as i32));
    let doubles = |values: Vec<Option<i64>>, column: usize| -> Vec<Option<f64>> {
        let value = |(row, value): (usize, &Option<i64>)| {
            let value = (*value)?;
            Some(match value.unsigned_abs() % 40 {
                0 if !calm(row, column + 1) => f64::NAN,
                1 if !calm(row, column + 1) && value < 0 => f64::INFINITY,
                2 => -0.0,
                3 => value as f64 * 1e250,
                _ => (value % 100_000) as f64 / 7.0,
            })
        };
        values.iter().enumerate().map(value).collect()
    };
    let (x, y) = (values(random, 6), values(random, 7));
    let (x, y) = (doubles(x, 6), doubles(y, 7));
    let decimals = values(random, 5).into_iter().map(|v| v.map(|v| i128::from(v % 10_000_000_000)));
    let decimals = decimals.collect::<Decimal128Array>().with_precision_and_scale(12, 2).unwrap();
    let texts = values(random, 10).into_iter();
    let texts: Vec<_> =
        texts.map(|v| v.map(|v| format!("name {:03}", v.rem_euclid(500)))).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(ids.clone())),
        Arc::new(values(random, 1).iter().map(|v| v.map(|v| v as i16)).collect::<Int16Array>()),
        Arc::new(part.collect::<Int32Array>()),
        Arc::new(values(random, 3).into_iter().collect::<Int64Array>()),
        Arc::new(values(random, 4).iter().map(|v| v.map(|v| v as u64)).collect::<UInt64Array>()),
        Arc::new(decimals),
        Arc::new(x.into_iter().collect::<Float64Array>()),
        Arc::new(y.iter().map(|v| v.map(|v| v as f32)).collect::<Float32Array>()),
        Arc::new(
            values(random, 8)
                .iter()
                .map(|v| v.map(|v| (v % 20_000) as i32))
                .collect::<Date32Array>(),
        ),
        Arc::new(ids.iter().map(|id| Some(id * 1_000_000)).collect::<TimestampMicrosecondArray>()),
        Arc::new(texts.iter().map(Option::as_deref).collect::<StringViewArray>()),
        Arc::new(values(random, 11).iter().map(|v| v.map(|v| v > 0)).collect::<BooleanArray>()),
    ];
    RecordBatch::try_new(schema(&columns), columns).unwrap()
}

fn schema(columns: &[ArrayRef]) -> SchemaRef {
    let field = |(array, (name, ..)): (&ArrayRef, &(&str, bool, bool))| {
        Field::new(*name, array.data_type().clone(), true)
    };
    Arc::new(Schema::new(columns.iter().zip(&COLUMNS).map(field).collect::<Vec<_>>()))
}

/// A table of segments of several lengths, loaded one after the other.
fn table(random: &mut Random) -> TableVersion {
    let first = rows(random, 0, 1);
    let schema = Arc::new(TableSchema::from_arrow(&first.schema()).unwrap());
    let mut table = TableVersion::new(Arc::clone(&schema), &[]).unwrap();
    let mut start = 0;
    for length in [2 * BLOCK_ROWS + 1_000, BLOCK_ROWS, 3_000, 200] {
        let batch = rows(random, start, length);
        start += length;
        let vectors: Vec<_> =
            batch.columns().iter().map(|array| Vector::from_arrow(array).unwrap()).collect();
        let mut builder = TableBuilder::new(Arc::clone(&schema));
        builder.push(&vectors, None).unwrap();
        table = table.append(&builder.finish().unwrap()).unwrap();
    }
    table
}

fn aggregate(random: &mut Random) -> String {
    let (name, sums, exact) = COLUMNS[random.below(COLUMNS.len())];
    let text = match random.below(8) {
        0 => return "count(*)".into(),
        1..5 if sums => random.pick(&["sum", "avg", "stddev", "var_pop"]),
        5 => "count",
        _ => random.pick(&["min", "max"]),
    };
    // One of the forms overflows for some rows.
    let argument = match random.below(6) {
        0 if exact => format!("{name} + {}", random.below(100)),
        1 if exact => format!("3 * {name}"),
        2 if exact => format!("{} - {name}", random.below(100)),
        3 if exact && random.below(4) == 0 => format!("{name} * 100000"),
        _ => name.to_string(),
    };
    format!("{text}({argument})")
}

fn filter(random: &mut Random, rows: usize) -> String {
    let low = random.below(rows);
    let high = low + random.below(rows);
    match random.below(9) {
        0 | 1 => String::new(),
        2 => format!("WHERE id BETWEEN {low} AND {high}"),
        3 => format!("WHERE at >= TIMESTAMP '1970-01-02' AND id < {high}"),
        4 => format!("WHERE part IN (10, 20, 30) OR id >= {low}"),
        5 => "WHERE x IS NOT NULL AND x < 1e300".into(),
        6 => format!("WHERE name LIKE 'name%' AND id <> {low}"),
        7 => format!("WHERE id > {low} AND id % 7 <> 1"),
        _ => format!("WHERE {} > -1e30", random.pick(&["y", "x"])),
    }
}

/// The bits of the answer's only row, or the error.
fn answer(connection: &Connection, sql: &str) -> String {
    let result = connection.query(sql).and_then(|result| result.collect::<Result<Vec<_>, _>>());
    let batches = match result {
        Ok(batches) => batches,
        Err(error) => return error.to_string(),
    };
    let batch = batches.iter().find(|batch| batch.num_rows() > 0).unwrap();
    let bits = |array: &ArrayRef| match array.data_type() {
        DataType::Float64 if array.is_valid(0) => {
            let value = compute::cast(array, &DataType::Float64).unwrap();
            let value =
                arrow::array::AsArray::as_primitive::<arrow::datatypes::Float64Type>(&value);
            format!("{:x}", value.value(0).to_bits())
        }
        DataType::Float32 if array.is_valid(0) => {
            let value = arrow::array::AsArray::as_primitive::<arrow::datatypes::Float32Type>(array);
            format!("{:x}", value.value(0).to_bits())
        }
        _ => format!("{array:?}"),
    };
    batch.columns().iter().map(bits).collect::<Vec<_>>().join(" ")
}

fn set(connection: &Connection, threads: usize, statistics: bool) {
    connection.execute(&format!("SET threads = {threads}")).unwrap();
    connection.execute(&format!("SET use_statistics = {statistics}")).unwrap();
}

/// How many blocks statistics answered.
fn answered(connection: &Connection, sql: &str) -> usize {
    let mut found = 0;
    for batch in connection.query(&format!("EXPLAIN ANALYZE {sql}")).unwrap() {
        let batch = batch.unwrap();
        let lines = arrow::array::AsArray::as_string_view(batch.column(0));
        for line in lines.iter().flatten() {
            if let Some((_, rest)) = line.split_once("statistics answered ") {
                found += rest.split(' ').next().unwrap().parse::<usize>().unwrap();
            }
        }
    }
    found
}

#[test]
fn test_statistics_and_scans_give_the_same_bits() {
    let mut random = Random(2026);
    let whole = table(&mut random);
    let rows = whole.rows() as usize;
    let thinned = whole.without(&[70_000, rows as u64 - 1]).unwrap();
    let connection = Database::open_in_memory().connect();
    connection.register_relation("whole", Arc::new(whole)).unwrap();
    connection.register_relation("thinned", Arc::new(thinned)).unwrap();
    let mut from_statistics = 0;
    for _ in 0..40 {
        let calls: Vec<_> = (0..1 + random.below(6)).map(|_| aggregate(&mut random)).collect();
        let filter = filter(&mut random, rows);
        let table = random.pick(&["whole", "thinned"]);
        let sql = format!("SELECT {} FROM {table} {filter}", calls.join(", "));
        set(&connection, 1, false);
        let want = answer(&connection, &sql);
        for threads in [1, 3] {
            set(&connection, threads, true);
            assert_eq!(answer(&connection, &sql), want, "{threads} threads: {sql}");
        }
        set(&connection, 2, false);
        assert_eq!(answer(&connection, &sql), want, "{sql}");
        set(&connection, 2, true);
        if !want.contains("rror") && connection.query(&sql).is_ok_and(|mut r| r.all(|b| b.is_ok()))
        {
            from_statistics += usize::from(answered(&connection, &sql) > 0);
        }
    }
    assert!(from_statistics > 15, "only {from_statistics} queries used statistics");
}

#[test]
fn test_blocks_with_deleted_rows_are_read() {
    let mut random = Random(7);
    let whole = table(&mut random);
    let thinned = whole.without(&[BLOCK_ROWS as u64 + 5]).unwrap();
    let connection = Database::open_in_memory().connect();
    connection.register_relation("whole", Arc::new(whole)).unwrap();
    connection.register_relation("thinned", Arc::new(thinned)).unwrap();
    let count =
        |table: &str| answered(&connection, &format!("SELECT sum(id), count(*) FROM {table}"));
    assert_eq!(count("whole"), count("thinned") + 1);
    let gone = "SELECT count(*) FROM thinned WHERE id = 65541";
    assert!(answer(&connection, gone).contains("\n  0,"), "{}", answer(&connection, gone));
}

#[test]
fn test_statistics_follow_deletes_updates_and_compaction() {
    let mut random = Random(31);
    let first = rows(&mut random, 0, 3 * BLOCK_ROWS + 777);
    let connection = Database::open_in_memory().connect();
    connection.register("b", first.schema(), vec![first]).unwrap();
    connection.execute("CREATE TABLE t AS SELECT * FROM b").unwrap();
    let most = 3 * BLOCK_ROWS + 777;
    let mut from_statistics = 0;
    for round in 0..14 {
        let low = random.below(most);
        let change = match random.below(7) {
            0 => format!("DELETE FROM t WHERE id = {low}"),
            1 => format!("DELETE FROM t WHERE id BETWEEN {low} AND {}", low + random.below(90_000)),
            2 => format!("DELETE FROM t WHERE id % {} = 1", 2 + random.below(5)),
            3 => "DELETE FROM t WHERE x IS NULL OR x > 1e300".to_owned(),
            4 => format!("UPDATE t SET x = -x, price = NULL WHERE id > {low} AND id % 50 = 0"),
            5 => format!("INSERT INTO t SELECT * FROM b WHERE id < {}", random.below(most / 2)),
            _ => "VACUUM t".to_owned(),
        };
        connection.execute(&change).unwrap();
        for _ in 0..3 {
            let calls: Vec<_> = (0..1 + random.below(5)).map(|_| aggregate(&mut random)).collect();
            let filter = filter(&mut random, most);
            let sql = format!("SELECT {} FROM t {filter}", calls.join(", "));
            set(&connection, 1, false);
            let want = answer(&connection, &sql);
            for (threads, statistics) in [(1, true), (2, true), (3, true), (2, false)] {
                set(&connection, threads, statistics);
                let got = answer(&connection, &sql);
                assert_eq!(got, want, "round {round}, {threads} threads, after {change}: {sql}");
            }
        }
        set(&connection, 2, true);
        from_statistics += answered(&connection, "SELECT count(*), sum(id), min(day) FROM t");
    }
    assert!(from_statistics > 0, "no block was answered");
}

#[test]
fn test_nan_is_never_answered_wrongly() {
    let connection = Database::open_in_memory().connect();
    let rows = 3 * BLOCK_ROWS;
    let value = |row: usize| if row == BLOCK_ROWS + 3 { f64::NAN } else { (row % 100) as f64 };
    let array: ArrayRef = Arc::new((0..rows).map(|row| Some(value(row))).collect::<Float64Array>());
    let field = Field::new("x", DataType::Float64, true);
    let batch = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![array]).unwrap();
    connection.register("b", batch.schema(), vec![batch]).unwrap();
    connection.execute("CREATE TABLE t AS SELECT * FROM b").unwrap();
    for (sql, want) in [
        ("SELECT count(*) FROM t WHERE x < 100", rows - 1),
        ("SELECT count(*) FROM t WHERE x <= 99", rows - 1),
        ("SELECT count(*) FROM t WHERE x >= 0", rows),
        ("SELECT count(*) FROM t WHERE x > -1", rows),
        ("SELECT count(*) FROM t WHERE x <> 200", rows),
        ("SELECT count(*) FROM t WHERE x = 'nan'::double", 1),
        ("SELECT count(*) FROM t WHERE x <> 'nan'::double", rows - 1),
        ("SELECT count(*) FROM t WHERE x < 'nan'::double", rows - 1),
        ("SELECT count(x) FROM t", rows),
    ] {
        let got = answer(&connection, sql);
        assert!(got.contains(&format!("\n  {want},\n")), "{sql}: {got}");
    }
    assert_eq!(answer(&connection, "SELECT max(x) FROM t"), format!("{:x}", f64::NAN.to_bits()));
    assert_eq!(answer(&connection, "SELECT min(x) FROM t"), "0");
    assert_eq!(answered(&connection, "SELECT count(*) FROM t WHERE x < 100"), 2);
    assert_eq!(answered(&connection, "SELECT count(*) FROM t WHERE x >= 0"), 3);
}

#[test]
fn test_arguments_that_follow_from_a_column_have_the_values_that_are_computed() {
    let mut random = Random(99);
    let whole = table(&mut random);
    let connection = Database::open_in_memory().connect();
    connection.register_relation("whole", Arc::new(whole)).unwrap();
    let arguments = [
        "id + 7",
        "id - 9",
        "11 - id",
        "id * 3",
        "-id",
        "2 * (id - 5) + 1",
        "small + 89",
        "30000 + small",
        "small * 2",
        "part * 10000000",
        "big + 1",
        "big - 1",
        "wide * 1",
        "price + 1",
        "price * 2",
        "price - 0.005",
        "0.5 * price",
        "1 - price",
        "id * 0",
    ];
    let functions = ["count", "sum", "avg", "min", "max", "stddev", "var_pop"];
    for (number, argument) in arguments.iter().enumerate() {
        for group in ["", "GROUP BY part % 3 ORDER BY part % 3"] {
            // A CASE is computed row by row.
            let plain: Vec<_> = functions.iter().map(|f| format!("{f}({argument})")).collect();
            let computed: Vec<_> = functions
                .iter()
                .map(|f| format!("{f}(CASE WHEN id >= 0 THEN {argument} END)"))
                .collect();
            let ask = |calls: &[String]| {
                answer(&connection, &format!("SELECT {} FROM whole {group}", calls.join(", ")))
            };
            if group.is_empty() || number % 4 == 0 {
                assert_eq!(ask(&plain), ask(&computed), "{argument} {group}");
            }
        }
    }
}

#[test]
fn test_footers_and_scans_of_files_give_the_same_bits() {
    let mut random = Random(5);
    let batch = rows(&mut random, 60_000, 20_000);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.parquet");
    let file = std::fs::File::create(&path).unwrap();
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(3_000)).build();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let connection = Database::open_in_memory().connect();
    let from = format!("FROM '{}'", path.display());
    for (select, groups) in [
        ("count(*)", 7),
        ("count(*), count(small), min(small), max(id)", 7),
        ("min(day), max(day), max(wide), min(big), max(part + 1)", 7),
        ("min(x), max(x)", 0),
        ("min(y), max(at)", 0),
        ("min(name), max(price)", 7),
        ("sum(id)", 0),
        ("count(name), count(x)", 7),
    ] {
        for (filter, some) in [("", 7), ("WHERE id >= 70000 AND id < 76000", 1)] {
            let sql = format!("SELECT {select} {from} {filter}");
            set(&connection, 2, false);
            let want = answer(&connection, &sql);
            set(&connection, 2, true);
            assert_eq!(answer(&connection, &sql), want, "{sql}");
            assert_eq!(answered(&connection, &sql), some.min(groups), "{sql}");
        }
    }
}

#[test]
fn test_explain_says_what_statistics_can_answer() {
    let connection = Database::open_in_memory().connect();
    connection.execute("CREATE TABLE t AS SELECT 1 AS a, 2 AS b, 'x' AS s").unwrap();
    let marked = |sql: &str| {
        let mut text = String::new();
        for batch in connection.query(&format!("EXPLAIN {sql}")).unwrap() {
            let batch = batch.unwrap();
            let lines = arrow::array::AsArray::as_string_view(batch.column(0));
            lines.iter().flatten().for_each(|line| text.push_str(line));
        }
        text.contains("from statistics where they suffice")
    };
    for sql in [
        "SELECT sum(a), count(*), max(s) FROM t WHERE b BETWEEN 1 AND 5 AND s LIKE 'x%'",
        "SELECT stddev(a + 3) FROM t WHERE a IN (1, NULL) OR b IS NULL",
    ] {
        assert!(marked(sql), "{sql}");
    }
    for sql in [
        "SELECT sum(a) FROM t WHERE b % 2 = 1 AND a > 0",
        "SELECT sum(a) FROM t WHERE s LIKE 'x%y'",
        "SELECT sum(a) FROM t WHERE NOT (a > 1 AND b > 1) AND a + b > 1",
        "SELECT sum(DISTINCT a) FROM t",
        "SELECT sum(a) FILTER (WHERE b > 1) FROM t",
        "SELECT b, sum(a) FROM t GROUP BY b",
        "SELECT sum(a * b) FROM t",
        "SELECT median(a) FROM t",
    ] {
        assert!(!marked(sql), "{sql}");
    }
    set(&connection, 1, false);
    assert!(!marked("SELECT sum(a) FROM t"));
}
