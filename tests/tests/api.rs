//! The public interface: connections, transactions, prepared statements, registered batches, errors.

use std::{sync::Arc, thread};

use arrow::{
    array::{
        Array, ArrayRef, AsArray, DictionaryArray, Int64Array, LargeStringArray, RecordBatch,
        StringArray,
    },
    datatypes::{DataType, Field, Int32Type, Int64Type, Schema},
};
use stoadb::{Database, ErrorKind, Scalar, to_text};
use stoadb_tests::rows::{error, rows};

#[test]
fn test_parameters_are_typed_like_constants() {
    let connection = Database::open_in_memory().connect();
    connection.execute("CREATE TABLE t (i INTEGER, d DOUBLE, m DECIMAL(10,2))").unwrap();
    let values = "(1, 1e300, 1.25), (2, 0.5, 7.00)";
    connection.execute(&format!("INSERT INTO t VALUES {values}")).unwrap();
    let check = |sql: &str, value: Scalar, expected: &str| {
        let mut found = Vec::new();
        for batch in connection.prepare(sql).unwrap().query(&[value]).unwrap() {
            let batch = batch.unwrap();
            let column = to_text(batch.column(0)).unwrap();
            found.extend((0..batch.num_rows()).map(|row| column.value(row).to_owned()));
        }
        assert_eq!(found.join(","), expected, "{sql}");
    };
    check("SELECT i FROM t WHERE d + m > $1", Scalar::text("1e299"), "1");
    check("SELECT i FROM t WHERE d > $1", Scalar::int64(1), "1");
    check("SELECT i FROM t WHERE m = $1", Scalar::text("1.25"), "1");
    check("SELECT i FROM t WHERE m = $1", Scalar::text("1.254"), "");
    check("SELECT i FROM t WHERE m > $1", Scalar::int64(7), "");
    check("SELECT i + $1 FROM t", Scalar::int64(40), "41,42");
    check("SELECT m / $1 FROM t WHERE i = 2", Scalar::int64(3), "2.3333333333333333");
}

#[test]
fn test_execute_counts_rows_and_scripts_run_in_order() {
    let connection = Database::open_in_memory().connect();
    let script = "CREATE TABLE t (a INTEGER, b TEXT); INSERT INTO t VALUES (1, 'x'), (2, NULL);
                  INSERT INTO t (b, a) SELECT 'y', 3";
    assert_eq!(connection.execute(script).unwrap(), 1);
    assert_eq!(rows(&connection, "SELECT * FROM t"), ["1|x", "2|NULL", "3|y"]);
    assert_eq!(connection.execute("CREATE TABLE u AS SELECT a FROM t WHERE a > 1").unwrap(), 2);
    assert_eq!(connection.execute("").unwrap(), 0);
    assert_eq!(connection.execute("-- nothing\n;;").unwrap(), 0);
}

#[test]
fn test_many_small_inserts() {
    let connection = Database::open_in_memory().connect();
    connection.execute("CREATE TABLE t (a BIGINT, s TEXT)").unwrap();
    for i in 0..3000 {
        connection.execute(&format!("INSERT INTO t VALUES ({i}, 'row {}')", i % 7)).unwrap();
    }
    assert_eq!(
        rows(&connection, "SELECT count(*), sum(a), count(DISTINCT s) FROM t"),
        ["3000|4498500|7"]
    );
    assert_eq!(rows(&connection, "SELECT a FROM t LIMIT 1 OFFSET 2999"), ["2999"]);
}

#[test]
fn test_a_failed_statement_leaves_nothing_behind() {
    let connection = Database::open_in_memory().connect();
    connection.execute("CREATE TABLE t (a INTEGER NOT NULL)").unwrap();
    for sql in [
        "INSERT INTO t VALUES (1), (NULL)",
        "INSERT INTO t SELECT CAST(x AS INTEGER) FROM (VALUES ('1'), ('two')) v(x)",
        "INSERT INTO t VALUES (99999999999)",
        "INSERT INTO t VALUES (1, 2)",
        "INSERT INTO t (nope) VALUES (1)",
    ] {
        error(&connection, sql);
    }
    let failing = "CREATE TABLE c AS SELECT 10 / x FROM (VALUES (1), (0)) v(x)";
    assert_eq!(error(&connection, failing).kind, ErrorKind::Value);
    assert_eq!(rows(&connection, "SELECT count(*) FROM t"), ["0"]);
    assert_eq!(rows(&connection, "SHOW TABLES"), ["t|table"]);
}

#[test]
fn test_transactions_see_their_snapshot() {
    let database = Database::open_in_memory();
    let (one, two) = (database.connect(), database.connect());
    one.execute("CREATE TABLE t AS SELECT 1 AS a").unwrap();
    one.execute("BEGIN").unwrap();
    one.execute("INSERT INTO t VALUES (2)").unwrap();
    one.execute("CREATE TABLE u AS SELECT 5 AS b").unwrap();
    assert_eq!(rows(&one, "SELECT sum(a) FROM t"), ["3"]);
    assert_eq!(rows(&two, "SELECT sum(a) FROM t"), ["1"]);
    assert_eq!(error(&two, "SELECT * FROM u").kind, ErrorKind::Name);
    // An append by somebody else is no conflict with an append.
    two.execute("INSERT INTO t VALUES (10)").unwrap();
    assert_eq!(rows(&one, "SELECT sum(a) FROM t"), ["3"]);
    error(&one, "INSERT INTO t SELECT 1 / 0");
    assert_eq!(rows(&one, "SELECT sum(a) FROM t"), ["3"]);
    one.execute("COMMIT").unwrap();
    assert_eq!(rows(&two, "SELECT sum(a) FROM t"), ["13"]);
    assert_eq!(rows(&two, "SELECT * FROM u"), ["5"]);

    one.execute("BEGIN TRANSACTION; DROP TABLE t; ROLLBACK").unwrap();
    assert_eq!(rows(&one, "SELECT count(*) FROM t"), ["3"]);
    assert!(error(&one, "COMMIT").message.contains("BEGIN"));
}

#[test]
fn test_the_first_to_commit_wins() {
    let database = Database::open_in_memory();
    let (one, two) = (database.connect(), database.connect());
    one.execute("BEGIN; CREATE TABLE t AS SELECT 1 AS a").unwrap();
    two.execute("BEGIN; CREATE TABLE t AS SELECT 2 AS a").unwrap();
    one.execute("COMMIT").unwrap();
    let error = error(&two, "COMMIT");
    assert!(error.message.contains('t'), "{error}");
    assert_eq!(rows(&two, "SELECT a FROM t"), ["1"]);
}

#[test]
fn test_prepared_statements_take_parameters() {
    let connection = Database::open_in_memory().connect();
    connection
        .execute("CREATE TABLE t AS SELECT * FROM (VALUES (1, 'a'), (2, 'b')) v(x, s)")
        .unwrap();
    let statement = connection.prepare("SELECT x * ? FROM t WHERE s = ?").unwrap();
    assert_eq!(statement.parameters(), 2);
    for (factor, text, expected) in [(10, "b", 20), (7, "a", 7)] {
        let mut result = statement.query(&[Scalar::int64(factor), Scalar::text(text)]).unwrap();
        let batch = result.next().unwrap().unwrap();
        assert_eq!(to_text(batch.column(0)).unwrap().value(0), expected.to_string());
    }
    assert!(statement.query(&[Scalar::int64(1)]).is_err());
    let numbered = connection.prepare("SELECT $2, $1, $2").unwrap();
    let mut result = numbered.query(&[Scalar::int64(1), Scalar::text("z")]).unwrap();
    let batch = result.next().unwrap().unwrap();
    assert_eq!(to_text(batch.column(2)).unwrap().value(0), "z");
    assert!(connection.prepare("SELECT 1; SELECT 2").is_err());
}

#[test]
fn test_registered_batches_of_any_layout() {
    let connection = Database::open_in_memory().connect();
    let dictionary: DictionaryArray<Int32Type> =
        vec![Some("red"), None, Some("blue"), Some("red")].into_iter().collect();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("n", Arc::new(Int64Array::from(vec![Some(1), Some(2), None, Some(4)]))),
        ("s", Arc::new(StringArray::from(vec![Some("a"), Some(""), None, Some("dd")]))),
        ("l", Arc::new(LargeStringArray::from(vec!["w", "x", "y", "z"]))),
        ("c", Arc::new(dictionary)),
    ];
    let field =
        |(name, array): &(&str, ArrayRef)| Field::new(*name, array.data_type().clone(), true);
    let schema = Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()));
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    let batch = RecordBatch::try_new(Arc::clone(&schema), arrays).unwrap();
    connection.register("t", schema, vec![batch.clone(), batch.slice(1, 2)]).unwrap();
    assert_eq!(
        rows(
            &connection,
            "SELECT c, count(*), sum(n), max(s), min(l) FROM t GROUP BY c ORDER BY c"
        ),
        ["blue|2|NULL|NULL|y", "red|2|5|dd|w", "NULL|2|4||x"]
    );
    assert_eq!(rows(&connection, "SELECT n FROM t WHERE c = 'red'"), ["1", "4"]);
    connection.execute("DROP TABLE t").unwrap();
    assert_eq!(error(&connection, "SELECT * FROM t").kind, ErrorKind::Name);
}

#[test]
fn test_results_carry_names_and_types() {
    let connection = Database::open_in_memory().connect();
    let mut result = connection.query("SELECT 1 AS a, 'x' AS a, count(*), count(*)").unwrap();
    let names: Vec<&str> = result.schema().fields().iter().map(|f| f.name().as_str()).collect();
    assert_eq!(names, ["a", "a", "count(*)", "count(*)"]);
    assert_eq!(*result.schema().field(1).data_type(), DataType::Utf8View);
    let batch = result.next().unwrap().unwrap();
    assert_eq!(batch.column(2).as_primitive::<Int64Type>().value(0), 1);
    assert!(result.next().is_none());
}

#[test]
fn test_errors_show_the_place_and_suggest() {
    let connection = Database::open_in_memory().connect();
    connection.execute("CREATE TABLE flights (carrier TEXT, delay INTEGER)").unwrap();
    let sql = "SELECT carrier,\n       dellay FROM flights";
    let rendered = error(&connection, sql).render(sql);
    assert!(rendered.contains("dellay FROM flights\n"), "{rendered}");
    assert!(rendered.contains("^^^^^^") && rendered.contains("delay"), "{rendered}");
    for (sql, kind) in [
        ("SELEC 1", ErrorKind::Syntax),
        ("SELECT * FROM flight", ErrorKind::Name),
        ("SELECT carrier + 1 FROM flights", ErrorKind::Type),
        ("SELECT nofunction(1)", ErrorKind::Name),
        ("SELECT 1 / 0", ErrorKind::Value),
        ("SELECT CAST('x' AS INTEGER)", ErrorKind::Value),
        ("SELECT 9223372036854775807 + 1", ErrorKind::Value),
        ("CREATE SEQUENCE s", ErrorKind::Unsupported),
        ("SELECT 'a' COLLATE \"de\"", ErrorKind::Unsupported),
        ("SELECT * FROM 'missing.parquet'", ErrorKind::Io),
        ("CREATE TABLE flights (a INTEGER)", ErrorKind::Catalog),
        ("SELECT (SELECT * FROM (VALUES (1), (2)) v(x))", ErrorKind::Value),
    ] {
        connection.execute("INSERT INTO flights VALUES ('AA', 1)").unwrap();
        let error = error(&connection, sql);
        assert_eq!(error.kind, kind, "{sql}: {error}");
        assert!(!error.message.is_empty() && !error.message.contains("DataFusion"), "{error}");
    }
}

#[test]
fn test_connections_are_shared_between_threads() {
    let database = Database::open_in_memory();
    let connection = Arc::new(database.connect());
    connection.execute("CREATE TABLE t (a BIGINT)").unwrap();
    let workers: Vec<_> = (0..4)
        .map(|worker| {
            let (shared, own) = (Arc::clone(&connection), database.connect());
            thread::spawn(move || {
                for i in 0..25 {
                    let sql = format!("INSERT INTO t VALUES ({})", worker * 25 + i);
                    if i % 2 == 0 { shared.execute(&sql) } else { own.execute(&sql) }.unwrap();
                    own.execute("SELECT count(*), sum(a) FROM t").unwrap();
                }
            })
        })
        .collect();
    workers.into_iter().for_each(|worker| worker.join().unwrap());
    assert_eq!(rows(&connection, "SELECT count(*), sum(a) FROM t"), ["100|4950"]);
}

#[test]
fn test_a_host_pool_is_used_from_within() {
    let pool = Arc::new(rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap());
    let database = Database::open_in_memory_on(Arc::clone(&pool));
    let connection = database.connect();
    connection.execute("SET threads = 1").unwrap();
    let sum = pool.install(|| rows(&connection, "SELECT sum(x) FROM (VALUES (1), (2)) v(x)"));
    assert_eq!(sum, ["3"]);
}

#[test]
fn test_settings() {
    let connection = Database::open_in_memory().connect();
    connection.execute("SET threads = 3; SET timeout TO '90s'").unwrap();
    assert_eq!(rows(&connection, "SHOW threads"), ["3"]);
    assert_eq!(rows(&connection, "SHOW timeout"), ["90s"]);
    connection.execute("RESET ALL").unwrap();
    assert_eq!(rows(&connection, "SHOW timeout"), ["none"]);
    let all = rows(&connection, "SHOW ALL").join("\n");
    for name in ["threads", "memory_limit", "timeout", "vector_size", "default_null_order"] {
        assert!(all.contains(name), "{all}");
    }
    let error = error(&connection, "SET thread = 3");
    assert!(error.hint.unwrap().contains("threads"));
}
