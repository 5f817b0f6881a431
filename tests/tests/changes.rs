//! INSERT, UPDATE, DELETE, transactions, VACUUM, SAVE and opening in random order, against a plain list of rows.
//!
//! Invariants: a table's rows stand in the order in which they were inserted, updated ones behind all others; a statement
//! that fails changes nothing; readers keep what they began with.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch, StringViewArray},
    datatypes::{DataType, Field, Schema},
};
use stoadb::{Connection, Database, ErrorKind, Scalar};
use stoadb_tests::rows::{error, rows};

struct Random(u64);

impl Random {
    fn below(&mut self, n: i64) -> i64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let mixed = (self.0 ^ (self.0 >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        ((mixed ^ (mixed >> 29)) >> 1) as i64 % n
    }
}

/// `id`, `v`, `s`.
type Row = (i64, Option<i64>, String);

fn text(row: &Row) -> String {
    let v = row.1.map_or("NULL".to_owned(), |v| v.to_string());
    format!("{}|{v}|{}", row.0, row.2)
}

/// New rows from number `first` on.
fn new_rows(random: &mut Random, first: i64, count: i64) -> Vec<Row> {
    (first..first + count)
        .map(|id| (id, (random.below(7) > 0).then(|| random.below(50)), format!("s{}", id % 13)))
        .collect()
}

fn register(connection: &Connection, rows: &[Row]) {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0)));
    let values: ArrayRef = Arc::new(rows.iter().map(|row| row.1).collect::<Int64Array>());
    let texts = StringViewArray::from_iter_values(rows.iter().map(|row| row.2.as_str()));
    let field = |name: &str, ty| Field::new(name, ty, true);
    let schema = Arc::new(Schema::new(vec![
        field("id", DataType::Int64),
        field("v", DataType::Int64),
        field("s", DataType::Utf8View),
    ]));
    let columns = vec![ids, values, Arc::new(texts) as ArrayRef];
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
    connection.register("fresh", schema, vec![batch]).unwrap();
}

/// Whether a row passes.
type Passes = Box<dyn Fn(&Row) -> bool>;

/// A condition in SQL and as a function.
fn condition(random: &mut Random) -> (String, Passes) {
    let (m, r) = (2 + random.below(9), random.below(3));
    let low = random.below(3000);
    match random.below(7) {
        0 => (format!("id % {m} = {r}"), Box::new(move |row| row.0 % m == r)),
        1 => (format!("v < {low} / 60"), Box::new(move |row| row.1.is_some_and(|v| v < low / 60))),
        2 => ("v IS NULL".into(), Box::new(|row| row.1.is_none())),
        3 => (format!("s = 's{r}'"), Box::new(move |row| row.2 == format!("s{r}"))),
        4 => (
            format!("id BETWEEN {low} AND {}", low + 400),
            Box::new(move |row| (low..=low + 400).contains(&row.0)),
        ),
        5 => (
            format!("id IN (SELECT id FROM t WHERE v = {r}) AND id > {low}"),
            Box::new(move |row| row.1 == Some(r) && row.0 > low),
        ),
        _ => {
            (format!("NOT (v % {m} = {r})"), Box::new(move |row| row.1.is_some_and(|v| v % m != r)))
        }
    }
}

/// Splits the rows into those that are kept and those that fit.
fn split(rows: &[Row], fits: &dyn Fn(&Row) -> bool) -> (Vec<Row>, Vec<Row>) {
    rows.iter().cloned().partition(|row| !fits(row))
}

/// Makes a random change to the table and the model.
fn change(connection: &Connection, random: &mut Random, model: &mut Vec<Row>, next: &mut i64) {
    let (sql, fits) = condition(random);
    match random.below(9) {
        0..3 => {
            let count = if random.below(12) == 0 { 70_000 } else { 1 + random.below(40) };
            let new = new_rows(random, *next, count);
            *next += count;
            register(connection, &new);
            let inserted = connection.execute("INSERT INTO t SELECT * FROM fresh").unwrap();
            assert_eq!(inserted, count as u64);
            model.extend(new);
        }
        3..5 => {
            let (kept, gone) = split(model, &fits);
            let deleted = connection.execute(&format!("DELETE FROM t WHERE {sql}")).unwrap();
            assert_eq!(deleted, gone.len() as u64, "{sql}");
            *model = kept;
        }
        5 => {
            let (mut kept, changed) = split(model, &fits);
            let update = format!("UPDATE t SET v = v + 1, s = s || v WHERE {sql}");
            assert_eq!(connection.execute(&update).unwrap(), changed.len() as u64, "{sql}");
            let text = |s: String, v: i64| format!("{s}{v}");
            // A text with NULL is NULL: rows without v are left out of this change by the next line.
            let update = "UPDATE t SET s = 'none' WHERE s IS NULL";
            connection.execute(update).unwrap();
            let (with, without): (Vec<Row>, Vec<Row>) =
                changed.into_iter().partition(|row| row.1.is_some());
            let with = with.into_iter().map(|(id, v, s)| {
                let v = v.unwrap_or_default();
                (id, Some(v + 1), text(s, v))
            });
            kept.extend(with.clone().collect::<Vec<_>>());
            // Both kinds went to the end together, then those without a text again.
            let without: Vec<Row> =
                without.into_iter().map(|(id, v, _)| (id, v, "none".into())).collect();
            kept.extend(without);
            *model = kept;
        }
        6 => {
            let bad = random.below(60);
            let update = format!("UPDATE t SET v = 100 / (v - {bad}) WHERE {sql}");
            let (mut kept, changed) = split(model, &fits);
            match changed.iter().any(|row| row.1 == Some(bad)) {
                true => assert!(connection.execute(&update).is_err(), "{update}"),
                false => {
                    assert_eq!(connection.execute(&update).unwrap(), changed.len() as u64);
                    let divided = |(id, v, s): Row| (id, v.map(|v| 100 / (v - bad)), s);
                    kept.extend(changed.into_iter().map(divided));
                    *model = kept;
                }
            }
        }
        7 => {
            let delete = format!("DELETE FROM t WHERE {sql} RETURNING id, v, s");
            let (kept, gone) = split(model, &fits);
            assert_eq!(rows(connection, &delete), gone.iter().map(text).collect::<Vec<_>>());
            *model = kept;
        }
        _ => {
            if random.below(4) == 0 {
                let statement = ["DELETE FROM t", "TRUNCATE t"][random.below(2) as usize];
                assert_eq!(connection.execute(statement).unwrap(), model.len() as u64);
                model.clear();
            }
        }
    }
}

fn check(connection: &Connection, model: &[Row]) {
    let sums = "SELECT count(*), count(v), sum(v), min(id), max(id), min(v), max(v) FROM t";
    let some = |found: Option<i64>| found.map_or("NULL".to_owned(), |v| v.to_string());
    let values = || model.iter().filter_map(|row| row.1);
    let sum = values().next().map(|_| values().sum());
    let ids = || model.iter().map(|row| row.0);
    let want = [
        model.len().to_string(),
        values().count().to_string(),
        some(sum),
        some(ids().min()),
        some(ids().max()),
        some(values().min()),
        some(values().max()),
    ];
    assert_eq!(rows(connection, sums), [want.join("|")]);
    if model.len() < 5_000 {
        let found = rows(connection, "SELECT id, v, s FROM t");
        assert_eq!(found, model.iter().map(text).collect::<Vec<_>>());
    }
}

#[test]
fn test_random_changes_are_what_a_list_of_rows_says() {
    let folder = tempfile::tempdir().unwrap();
    for seed in 0..4 {
        let mut random = Random(seed);
        let path = folder.path().join(seed.to_string());
        let mut database = Database::open_in_memory();
        let mut connection = database.connect();
        connection.execute("CREATE TABLE t (id BIGINT, v BIGINT, s VARCHAR)").unwrap();
        let (mut model, mut next) = (Vec::new(), 0);
        for _ in 0..60 {
            match random.below(10) {
                0..6 => change(&connection, &mut random, &mut model, &mut next),
                6..8 => {
                    let other = database.connect();
                    let mut draft = model.clone();
                    connection.execute("BEGIN").unwrap();
                    for _ in 0..1 + random.below(4) {
                        change(&connection, &mut random, &mut draft, &mut next);
                        check(&connection, &draft);
                    }
                    check(&other, &model);
                    match random.below(2) {
                        0 => connection.execute("ROLLBACK").unwrap(),
                        _ => {
                            model = draft;
                            connection.execute("COMMIT").unwrap()
                        }
                    };
                }
                8 => {
                    connection.execute("VACUUM t").unwrap();
                }
                _ => {
                    database.save(&path).unwrap();
                    database = Database::open(&path).unwrap();
                    connection = database.connect();
                }
            }
            connection.execute(&format!("SET threads = {}", 1 + random.below(3))).unwrap();
            check(&connection, &model);
        }
    }
}

fn numbers(connection: &Connection, count: i64) {
    let rows: Vec<Row> = (0..count).map(|id| (id, Some(id % 10), format!("s{}", id % 3))).collect();
    register(connection, &rows);
    connection.execute("CREATE TABLE t AS SELECT * FROM fresh").unwrap();
    connection.execute("DROP TABLE fresh").unwrap();
}

#[test]
fn test_readers_keep_what_they_began_with() {
    let database = Database::open_in_memory();
    let (reader, writer) = (database.connect(), database.connect());
    numbers(&writer, 300_000);
    let mut stream = reader.query("SELECT id FROM t").unwrap();
    let mut seen = stream.next().unwrap().unwrap().num_rows();
    let parked = database.connect();
    parked.execute("BEGIN").unwrap();
    let sum = "SELECT count(*), sum(id) FROM t";
    let before = rows(&parked, sum);
    writer.execute("DELETE FROM t WHERE id % 2 = 0").unwrap();
    writer.execute("UPDATE t SET id = -1 WHERE id > 1000").unwrap();
    writer.execute("VACUUM").unwrap();
    writer.execute("DELETE FROM t").unwrap();
    assert_eq!(rows(&writer, sum), ["0|NULL"]);
    assert_eq!(rows(&parked, sum), before);
    seen += stream.map(|batch| batch.unwrap().num_rows()).sum::<usize>();
    assert_eq!(seen, 300_000);
    parked.execute("COMMIT").unwrap();
    assert_eq!(rows(&parked, sum), ["0|NULL"]);
}

#[test]
fn test_transactions_on_the_same_rows_conflict_and_on_others_do_not() {
    let database = Database::open_in_memory();
    let (one, two) = (database.connect(), database.connect());
    numbers(&one, 1000);
    for connection in [&one, &two] {
        connection.execute("BEGIN").unwrap();
    }
    one.execute("UPDATE t SET v = 100 WHERE id = 1").unwrap();
    two.execute("UPDATE t SET v = 200 WHERE id = 2").unwrap();
    two.execute("DELETE FROM t WHERE id BETWEEN 500 AND 990").unwrap();
    two.execute("INSERT INTO t VALUES (5000, 1, 'new')").unwrap();
    two.execute("UPDATE t SET v = 201 WHERE id IN (2, 5000)").unwrap();
    one.execute("COMMIT").unwrap();
    two.execute("COMMIT").unwrap();
    let some = "SELECT id, v FROM t WHERE id IN (1, 2, 5000) ORDER BY id";
    assert_eq!(rows(&one, some), ["1|100", "2|201", "5000|201"]);
    assert_eq!(rows(&one, "SELECT count(*) FROM t"), ["510"]);

    for connection in [&one, &two] {
        connection.execute("BEGIN").unwrap();
    }
    one.execute("DELETE FROM t WHERE id = 1").unwrap();
    two.execute("UPDATE t SET v = 0 WHERE id < 3").unwrap();
    one.execute("COMMIT").unwrap();
    let conflict = two.execute("COMMIT").unwrap_err();
    assert_eq!(conflict.kind, ErrorKind::Catalog);
    assert!(conflict.message.contains("another transaction changed 't'"), "{conflict}");
    assert_eq!(rows(&two, some), ["2|201", "5000|201"]);

    // VACUUM moves rows: who deletes meanwhile has to try again, who appends does not.
    for connection in [&one, &two] {
        connection.execute("BEGIN").unwrap();
    }
    one.execute("DELETE FROM t WHERE id = 2").unwrap();
    two.execute("INSERT INTO t VALUES (6000, 6, 'six')").unwrap();
    let error = error(&one, "VACUUM");
    assert!(error.to_string().contains("COMMIT or ROLLBACK"), "{error}");
    database.connect().execute("VACUUM t").unwrap();
    assert!(one.execute("COMMIT").is_err());
    two.execute("COMMIT").unwrap();
    assert_eq!(rows(&two, "SELECT v FROM t WHERE id IN (2, 6000) ORDER BY id"), ["201", "6"]);
}

#[test]
fn test_deleted_rows_are_given_back() {
    let database = Database::open_in_memory();
    let connection = database.connect();
    numbers(&connection, 200_000);
    let stored =
        "SELECT sum(rows)::BIGINT, count(*) FROM storage_info('t') WHERE column_name = 'id'";
    connection.execute("DELETE FROM t WHERE id % 3 = 0").unwrap();
    assert_eq!(rows(&connection, stored), ["200000|1"]);
    // More than half: the rest is written anew, unless somebody's transaction would suffer.
    let other = database.connect();
    other.execute("BEGIN").unwrap();
    connection.execute("DELETE FROM t WHERE id % 3 = 1").unwrap();
    assert_eq!(rows(&connection, stored), ["200000|1"]);
    other.execute("ROLLBACK").unwrap();
    connection.execute("DELETE FROM t WHERE id = 2").unwrap();
    assert_eq!(rows(&connection, stored), ["66665|1"]);
    let rest = rows(&connection, "SELECT count(*), min(id), sum(v)::BIGINT FROM t");
    let want: i64 = (3..200_000).filter(|id| id % 3 == 2).map(|id| id % 10).sum();
    assert_eq!(rest, [format!("66665|5|{want}")]);
    connection.execute("DELETE FROM t").unwrap();
    assert_eq!(rows(&connection, stored), ["NULL|0"]);
    // The same row again and again.
    connection.execute("INSERT INTO t VALUES (1, 0, 'x')").unwrap();
    for _ in 0..100 {
        connection.execute("UPDATE t SET v = v + 1").unwrap();
    }
    assert_eq!(rows(&connection, "SELECT * FROM t"), ["1|100|x"]);
    assert_eq!(rows(&connection, stored), ["1|1"]);
}

#[test]
fn test_statements_say_how_many_rows_and_take_parameters() {
    let connection = Database::open_in_memory().connect();
    numbers(&connection, 100);
    let update =
        connection.prepare("UPDATE t SET v = $1, s = $2 WHERE id < $3 RETURNING id").unwrap();
    let parameters = [Scalar::int64(7), Scalar::text("seven"), Scalar::int64(3)];
    for _ in 0..2 {
        let result = update.query(&parameters).unwrap();
        assert_eq!(result.rows_changed(), 3);
        assert_eq!(result.map(|batch| batch.unwrap().num_rows()).sum::<usize>(), 3);
    }
    let delete = connection.prepare("DELETE FROM t WHERE v = ? AND s = ?").unwrap();
    assert_eq!(delete.query(&parameters[..2]).unwrap().rows_changed(), 3);
    assert_eq!(delete.query(&parameters[..2]).unwrap().rows_changed(), 0);
    assert_eq!(connection.execute("TRUNCATE t").unwrap(), 97);
    assert_eq!(connection.execute("INSERT INTO t VALUES (1, 2, '3') RETURNING *").unwrap(), 1);
}

#[test]
fn test_what_fails_changes_nothing_and_says_why() {
    let connection = Database::open_in_memory().connect();
    numbers(&connection, 1000);
    connection.execute("CREATE TABLE pairs AS SELECT id % 500 AS id, id AS w FROM t").unwrap();
    let before = rows(&connection, "SELECT * FROM t");
    for (sql, part) in [
        ("UPDATE t SET v = w FROM pairs WHERE pairs.id = t.id", "updated twice"),
        ("UPDATE t SET v = 9223372036854775807 + id", "BIGINT"),
        ("UPDATE t SET v = s", "'s0'"),
        ("UPDATE t SET v = 1 / (id - 999)", "zero"),
        ("DELETE FROM t WHERE 1 / (id - 999) > 0", "zero"),
        ("DELETE FROM t RETURNING 1 / (id - 999)", "zero"),
        ("UPDATE t SET id = 999 - id RETURNING 1 / id", "zero"),
        ("INSERT INTO t VALUES (1, 1, 'x') RETURNING s::INTEGER", "'x'"),
        ("UPDATE t SET w = 1", "has no column 'w'"),
        ("UPDATE t SET v = 1, V = 2", "assigned twice"),
        ("UPDATE t SET (id, v) = (1, 2, 3)", "2 columns get 3 values"),
        ("UPDATE t SET v = 1 ORDER BY id LIMIT 1", "ORDER"),
        ("DELETE FROM t ORDER BY id LIMIT 1", "ORDER"),
        ("DELETE FROM missing", "there is no table 'missing'"),
        ("TRUNCATE missing", "there is no table 'missing'"),
        ("VACUUM missing", "there is no table 'missing'"),
        ("VACUUM FULL t", "options of VACUUM"),
    ] {
        let error = error(&connection, sql).to_string();
        assert!(error.contains(part), "{sql}: {error}");
        assert_eq!(rows(&connection, "SELECT count(*) FROM t"), ["1000"], "{sql}");
    }
    assert_eq!(rows(&connection, "SELECT * FROM t"), before);
    // Within a transaction, the statements before the failing one stay.
    connection.execute("BEGIN").unwrap();
    connection.execute("DELETE FROM t WHERE id >= 10").unwrap();
    assert!(connection.execute("UPDATE t SET v = 1 / (id - 9)").is_err());
    connection.execute("COMMIT").unwrap();
    assert_eq!(rows(&connection, "SELECT * FROM t"), before[..10]);
    connection.execute("SET memory_limit = '10kB'").unwrap();
    let error = error(&connection, "UPDATE t SET s = repeat('x', 100000)");
    assert_eq!(error.kind, ErrorKind::Memory, "{error}");
    connection.execute("RESET memory_limit").unwrap();
    assert_eq!(rows(&connection, "SELECT * FROM t"), before[..10]);
}
