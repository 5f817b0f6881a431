//! Rules of tables, schemas, macros and prepared statements: what others see, what is saved, and what is left of what fails.

use stoadb::{Connection, Database, ErrorKind, Scalar};
use stoadb_tests::rows::{error, rows};

const SETUP: &str = "
    CREATE TABLE t (id INTEGER PRIMARY KEY, name VARCHAR NOT NULL DEFAULT 'nobody', x DOUBLE CHECK (x > 0), UNIQUE (name, x));
    INSERT INTO t VALUES (1, 'a', 0.5), (2, 'b', NULL);
    CREATE SCHEMA s;
    CREATE TABLE s.t (k VARCHAR UNIQUE);
    INSERT INTO s.t VALUES ('in s');
    CREATE MACRO twice(v) AS v * 2;
    CREATE MACRO s.above(n, label := 'x') AS TABLE SELECT id, label AS l FROM t WHERE id > n;
    CREATE VIEW s.v AS SELECT twice(id) AS d FROM t;
    CREATE TEMP TABLE mine AS SELECT 1 AS one;
";

fn check(connection: &Connection) {
    assert_eq!(rows(connection, "SELECT * FROM s.v ORDER BY 1"), ["2", "4"]);
    assert_eq!(rows(connection, "SELECT * FROM s.above(1)"), ["2|x"]);
    for (sql, part) in [
        (
            "INSERT INTO t VALUES (1, 'c', 1)",
            "the table 't' would have two rows with the key (1): PRIMARY KEY (id)",
        ),
        (
            "INSERT INTO t VALUES (3, 'a', 0.5)",
            "two rows with the key ('a', 0.5): UNIQUE (name, x)",
        ),
        ("INSERT INTO t VALUES (3, 'a', -1)", "breaks CHECK (x > 0): id = 3, name = 'a', x = -1.0"),
        ("UPDATE t SET id = 5", "two rows with the key (5)"),
        (
            "INSERT INTO s.t VALUES ('in s')",
            "the table 's.t' would have two rows with the key ('in s')",
        ),
    ] {
        let error = error(connection, sql);
        assert_eq!(error.kind, ErrorKind::Constraint, "{sql}: {error}");
        assert!(error.to_string().contains(part), "{sql}: {error}");
    }
    connection.execute("BEGIN; INSERT INTO t (id) VALUES (7)").unwrap();
    assert_eq!(rows(connection, "SELECT * FROM t WHERE id = 7"), ["7|nobody|NULL"]);
    connection.execute("ROLLBACK").unwrap();
    assert_eq!(rows(connection, "SELECT count(*) FROM t"), ["2"]);
}

#[test]
fn test_rules_schemas_and_macros_are_saved() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let database = Database::open_in_memory();
    let connection = database.connect();
    connection.execute(SETUP).unwrap();
    check(&connection);
    database.save(&path).unwrap();
    let again = Database::open(&path).unwrap();
    check(&again.connect());
    assert!(again.connect().execute("SELECT * FROM mine").is_err());
    again.connect().execute("ALTER TABLE t ADD COLUMN n INTEGER DEFAULT 3; SAVE").unwrap();
    let third = Database::open(&path).unwrap().connect();
    third.execute("INSERT INTO t (id) VALUES (9)").unwrap();
    assert_eq!(rows(&third, "SELECT id, n FROM t ORDER BY id"), ["1|3", "2|3", "9|3"]);
    third.execute("DROP SCHEMA s CASCADE; DROP MACRO twice; DROP TABLE t; SAVE").unwrap();
    let empty = Database::open(&path).unwrap().connect();
    assert!(rows(&empty, "SELECT * FROM information_schema.tables").is_empty());
    assert_eq!(rows(&empty, "SELECT schema_name FROM information_schema.schemata"), ["main"]);
}

#[test]
fn test_temporary_tables_are_of_one_connection_and_end_with_it() {
    let database = Database::open_in_memory();
    let (one, two) = (database.connect(), database.connect());
    one.execute("CREATE TABLE t AS SELECT 'shared' AS a").unwrap();
    one.execute("CREATE TEMP TABLE t AS SELECT 'own' AS a; CREATE TEMP VIEW v AS SELECT a FROM t")
        .unwrap();
    assert_eq!(rows(&one, "SELECT t.a, v.a FROM t, v"), ["own|own"]);
    assert_eq!(rows(&two, "SELECT a FROM t"), ["shared"]);
    assert!(two.execute("SELECT * FROM v").is_err());
    assert!(two.execute("SELECT * FROM temp.t").is_err());
    assert_eq!(rows(&one, "SHOW TABLES").len(), 3);
    assert_eq!(rows(&two, "SHOW TABLES").len(), 1);
    assert_eq!(rows(&two, "SELECT table_type FROM information_schema.tables"), ["BASE TABLE"]);
    let error = error(&one, "CREATE VIEW lasting AS SELECT * FROM t");
    assert!(error.to_string().contains("temporary"), "{error}");
    // A view that was there before means the table that it meant.
    two.execute("CREATE VIEW lasting AS SELECT a FROM t").unwrap();
    assert_eq!(rows(&one, "SELECT a FROM lasting"), ["shared"]);
    one.execute("BEGIN; INSERT INTO t VALUES ('more')").unwrap();
    drop(one);
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(database.save(folder.path().join("db")).unwrap().tables, 1);
    two.execute("DROP VIEW lasting; DROP TABLE t").unwrap();
    assert!(two.execute("SELECT * FROM t").is_err());
}

#[test]
fn test_altering_a_table_conflicts_with_changing_it() {
    let database = Database::open_in_memory();
    let (one, two) = (database.connect(), database.connect());
    one.execute("CREATE TABLE t (a INTEGER); INSERT INTO t VALUES (1), (2)").unwrap();
    for alter in ["ADD COLUMN b INTEGER DEFAULT 5", "RENAME TO u", "ALTER a TYPE VARCHAR", "DROP b"]
    {
        let table = if alter == "DROP b" || alter.contains("TYPE") { "u" } else { "t" };
        two.execute("BEGIN").unwrap();
        let old = rows(&two, &format!("SELECT * FROM {table}"));
        one.execute(&format!("ALTER TABLE {table} {alter}")).unwrap();
        assert_eq!(rows(&two, &format!("SELECT * FROM {table}")), old, "{alter}");
        two.execute(&format!("DELETE FROM {table} WHERE a = '1'")).unwrap();
        let error = error(&two, "COMMIT");
        assert_eq!(error.kind, ErrorKind::Catalog, "{error}");
    }
    assert_eq!(rows(&one, "SELECT * FROM u"), ["1", "2"]);
    // The other way round: the table was changed before the change of its columns is committed.
    one.execute("BEGIN; ALTER TABLE u RENAME TO w").unwrap();
    two.execute("INSERT INTO u VALUES ('3')").unwrap();
    assert!(
        one.execute("COMMIT").unwrap_err().to_string().contains("another transaction changed 'u'")
    );
    assert_eq!(rows(&two, "SELECT count(*) FROM u"), ["3"]);
    assert!(two.execute("SELECT * FROM w").is_err());
}

#[test]
fn test_keys_hold_between_transactions() {
    let database = Database::open_in_memory();
    let (one, two) = (database.connect(), database.connect());
    one.execute("CREATE TABLE t (k INTEGER PRIMARY KEY, v VARCHAR); INSERT INTO t VALUES (1, 'a')")
        .unwrap();
    one.execute("BEGIN; INSERT INTO t VALUES (2, 'one')").unwrap();
    two.execute("BEGIN; INSERT INTO t VALUES (2, 'two'), (3, 'two')").unwrap();
    one.execute("COMMIT").unwrap();
    let error = error(&two, "COMMIT");
    assert_eq!(error.kind, ErrorKind::Constraint, "{error}");
    assert_eq!(rows(&two, "SELECT * FROM t ORDER BY k"), ["1|a", "2|one"]);
    // Moving keys along within one statement is no conflict.
    assert_eq!(two.execute("UPDATE t SET k = k + 1").unwrap(), 2);
    assert_eq!(rows(&two, "SELECT k FROM t ORDER BY k"), ["2", "3"]);
    for i in 0..300 {
        two.execute(&format!("INSERT INTO t VALUES ({}, 'x')", i + 10)).unwrap();
    }
    assert!(two.execute("INSERT INTO t VALUES (200, 'y')").is_err());
    two.execute("DELETE FROM t WHERE k % 2 = 0; VACUUM; INSERT INTO t VALUES (200, 'y')").unwrap();
    assert!(two.execute("INSERT INTO t VALUES (201, 'y')").is_err());
    assert_eq!(rows(&two, "SELECT count(*), count(DISTINCT k) FROM t"), ["152|152"]);
}

#[test]
fn test_keys_hold_when_connections_insert_at_once() {
    let database = Database::open_in_memory();
    let one = database.connect();
    one.execute("CREATE TABLE t (k INTEGER PRIMARY KEY, by_whom INTEGER)").unwrap();
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let connection = database.connect();
            scope.spawn(move || {
                for key in 0..60 {
                    let sql = match (key + writer) % 3 {
                        0 => format!("INSERT INTO t VALUES ({key}, {writer})"),
                        1 => {
                            format!("INSERT INTO t VALUES ({key}, {writer}) ON CONFLICT DO NOTHING")
                        }
                        _ => format!("BEGIN; INSERT INTO t VALUES ({key}, {writer}); COMMIT"),
                    };
                    if let Err(error) = connection.execute(&sql) {
                        let known = [ErrorKind::Constraint, ErrorKind::Catalog];
                        assert!(known.contains(&error.kind), "{error}");
                        // A statement that fails leaves its transaction open.
                        let _ = connection.execute("ROLLBACK");
                    }
                }
            });
        }
    });
    let found = rows(&one, "SELECT count(*), count(DISTINCT k), min(k), max(k) FROM t");
    assert_eq!(found, ["60|60|0|59"]);
}

#[test]
fn test_parameters_by_name_and_prepared_statements() {
    let connection = Database::open_in_memory().connect();
    connection.execute("CREATE TABLE t (a INTEGER, s VARCHAR)").unwrap();
    let insert = connection.prepare("INSERT INTO t VALUES ($number, $Text)").unwrap();
    assert_eq!(insert.parameter_names(), ["number", "text"]);
    for number in 1..4 {
        let text = Scalar::text(&format!("t{number}"));
        let values = [("TEXT", text), ("number", Scalar::int64(number))];
        assert_eq!(insert.query_named(&values).unwrap().rows_changed(), 1);
    }
    let missing = insert.query_named(&[("number", Scalar::int64(1))]).err().unwrap();
    assert!(missing.to_string().contains("$text has no value"), "{missing}");
    let sql = "SELECT s FROM t WHERE a >= $from AND a <= $until ORDER BY a";
    let found = connection
        .query_named(sql, &[("from", Scalar::int64(2)), ("until", Scalar::int64(3))])
        .unwrap();
    assert_eq!(found.map(|batch| batch.unwrap().num_rows()).sum::<usize>(), 2);
    assert!(connection.query("SELECT $a + $1").is_err());
    // A prepared statement sees changes, and another connection does not know it.
    connection.execute("PREPARE p AS SELECT count(*) FROM t WHERE a > $1").unwrap();
    assert_eq!(rows(&connection, "EXECUTE p(1)"), ["2"]);
    connection.execute("DELETE FROM t WHERE a = 3").unwrap();
    assert_eq!(rows(&connection, "EXECUTE p(1)"), ["1"]);
    assert!(connection.database().connect().execute("EXECUTE p(1)").is_err());
    connection.execute("DEALLOCATE ALL").unwrap();
    assert!(connection.execute("EXECUTE p(1)").is_err());
}

#[test]
fn test_macros_that_capture_or_recur_are_refused() {
    let connection = Database::open_in_memory().connect();
    connection
        .execute("CREATE TABLE t (a INTEGER, b INTEGER); INSERT INTO t VALUES (1, 10), (2, 20)")
        .unwrap();
    connection.execute("CREATE TABLE u (c INTEGER); INSERT INTO u VALUES (15)").unwrap();
    connection.execute("CREATE MACRO above(n) AS (SELECT count(*) FROM t WHERE t.b > n)").unwrap();
    assert_eq!(rows(&connection, "SELECT above(c), above(u.c) FROM u"), ["1|1"]);
    let captured = error(&connection, "SELECT above(a) FROM t AS o");
    assert!(captured.to_string().contains("own query"), "{captured}");
    assert_eq!(rows(&connection, "SELECT above(o.a * 10) FROM t AS o ORDER BY o.a"), ["1", "0"]);
    assert!(error(&connection, "SELECT above(t.a) FROM t").to_string().contains("own query"));
    connection.execute("CREATE MACRO f(x) AS x + 1; CREATE MACRO g(x) AS f(x) * 2").unwrap();
    let recursive = error(&connection, "CREATE OR REPLACE MACRO f(x) AS g(x)");
    assert!(recursive.to_string().contains("would use itself"), "{recursive}");
    assert_eq!(rows(&connection, "SELECT g(1)"), ["4"]);
    // Doubling macros end with an error and not with all memory.
    connection.execute("CREATE MACRO d0(x) AS x + x").unwrap();
    for i in 0..40 {
        connection.execute(&format!("CREATE MACRO d{}(x) AS d{i}(d{i}(x))", i + 1)).unwrap();
    }
    assert!(error(&connection, "SELECT d40(1)").to_string().contains("nest too deeply"));
    assert!(connection.execute("CREATE MACRO bad(x, X) AS 1").is_err());
    assert!(connection.execute("CREATE MACRO bad(x) AS $1").is_err());
    let columns = connection.query("SELECT f(1), g(f(2)) AS named FROM t").unwrap();
    let names: Vec<_> =
        columns.schema().fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(names, ["f(1)", "named"]);
}

#[test]
fn test_explain_as_json() {
    let connection = Database::open_in_memory().connect();
    connection.execute("CREATE TABLE t AS SELECT range AS a FROM range(10)").unwrap();
    let plan = rows(&connection, "EXPLAIN (FORMAT json) SELECT sum(a) FROM t WHERE a > 5").concat();
    assert!(plan.starts_with("[{\"name\":\"") && plan.contains("\"children\":["), "{plan}");
    assert!(!plan.contains("measured"), "{plan}");
    let plan = rows(&connection, "EXPLAIN (ANALYZE, FORMAT json) SELECT a FROM t").concat();
    assert!(plan.contains("\"measured\":\"rows 10"), "{plan}");
    assert!(error(&connection, "EXPLAIN (FORMAT yaml) SELECT 1").to_string().contains("yaml"));
    assert!(error(&connection, "EXPLAIN (VERBOSE) SELECT 1").to_string().contains("VERBOSE"));
}
