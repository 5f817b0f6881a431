//! Indexed tables under random statements, against a map of rows and recomputation of every answer.
//!
//! Invariants: a statement either does what the map does or is refused and changes nothing; every index holds as many
//! entries as the table has rows; answers over ranges of keys are those of the rows.

use std::collections::BTreeMap;

use stoadb::{Connection, Database, ErrorKind};
use stoadb_tests::rows::rows;

struct Random(u64);

impl Random {
    fn below(&mut self, n: i64) -> i64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let mixed = (self.0 ^ (self.0 >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        ((mixed ^ (mixed >> 29)) >> 1) as i64 % n
    }
}

/// `v`, `s`, `d` of a row; `s` is unique.
type Row = (Option<i64>, Option<String>, i64);
type Model = BTreeMap<i64, Row>;

fn literal(id: i64, row: &Row) -> String {
    let v = row.0.map_or("NULL".into(), |v| v.to_string());
    let s = row.1.as_ref().map_or("NULL".into(), |s| format!("'{s}'"));
    format!("({id}, {v}, {s}, {})", row.2)
}

fn shown(id: i64, row: &Row) -> String {
    let v = row.0.map_or("NULL".into(), |v| v.to_string());
    format!("{id}|{v}|{}|{}", row.1.as_deref().unwrap_or("NULL"), row.2)
}

fn row(random: &mut Random) -> Row {
    let v = Some(random.below(30)).filter(|v| v % 6 > 0);
    let s = Some(format!("s{}", random.below(120))).filter(|_| random.below(3) > 0);
    (v, s, random.below(1000) - 500)
}

/// Whether all texts differ.
fn is_sound(model: &Model) -> bool {
    let mut texts: Vec<&String> = model.values().filter_map(|row| row.1.as_ref()).collect();
    texts.sort_unstable();
    texts.windows(2).all(|pair| pair[0] != pair[1])
}

/// A statement and what it makes of the map; `None` where it is to be refused.
fn statement(random: &mut Random, model: &Model) -> (String, Option<Model>) {
    let mut next = model.clone();
    let sound = |next: Model, refused: bool| {
        let fits = !refused && is_sound(&next);
        fits.then_some(next)
    };
    let count = 1 + random.below(5);
    let new: Vec<(i64, Row)> = (0..count).map(|_| (random.below(150), row(random))).collect();
    let values: Vec<String> = new.iter().map(|(id, row)| literal(*id, row)).collect();
    let values = values.join(", ");
    let (m, r) = (2 + random.below(7), random.below(2));
    match random.below(10) {
        0..3 => {
            let taken = new.iter().any(|(id, row)| next.insert(*id, row.clone()).is_some());
            (format!("INSERT INTO t VALUES {values}"), sound(next, taken))
        }
        3 => {
            // The first row of a key counts, whichever of the keys it is.
            for (id, row) in &new {
                let text = row.1.is_some() && next.values().any(|other| other.1 == row.1);
                if !next.contains_key(id) && !text {
                    next.insert(*id, row.clone());
                }
            }
            (format!("INSERT INTO t VALUES {values} ON CONFLICT DO NOTHING"), Some(next))
        }
        4 => {
            let mut twice = false;
            for (at, (id, row)) in new.iter().enumerate() {
                twice |= new[..at].iter().any(|(other, _)| other == id);
                match next.get_mut(id) {
                    Some(old) => (old.0, old.2) = (row.0, old.2 + row.2),
                    None => drop(next.insert(*id, row.clone())),
                }
            }
            let sql = format!(
                "INSERT INTO t VALUES {values} ON CONFLICT (id)
                 DO UPDATE SET v = excluded.v, d = d + excluded.d"
            );
            (sql, sound(next, twice))
        }
        5 => {
            // Keys move past each other.
            let moved = next
                .into_iter()
                .map(|(id, row)| if id % m == r { (id + m, row) } else { (id, row) });
            let moved: Vec<(i64, Row)> = moved.collect();
            let next: Model = moved.iter().cloned().collect();
            let taken = next.len() < moved.len();
            (format!("UPDATE t SET id = id + {m} WHERE id % {m} = {r}"), sound(next, taken))
        }
        6 => {
            for (id, row) in &mut next {
                if id % m == r {
                    row.0 = row.0.map(|v| v + 1);
                    row.2 -= 1;
                }
            }
            (format!("UPDATE t SET v = v + 1, d = d - 1 WHERE id % {m} = {r}"), Some(next))
        }
        7 => {
            next.retain(|_, row| row.0.is_none_or(|v| v % m != r));
            (format!("DELETE FROM t WHERE v % {m} = {r}"), Some(next))
        }
        8 => {
            let mut seen = vec![];
            let unique: Vec<&(i64, Row)> = new
                .iter()
                .filter(|(id, _)| {
                    let fresh = !seen.contains(id);
                    seen.push(*id);
                    fresh
                })
                .collect();
            for (id, row) in &unique {
                match next.get_mut(id) {
                    Some(old) if old.2 < 0 => drop(next.remove(id)),
                    Some(old) => old.0 = row.0,
                    None => drop(next.insert(*id, row.clone())),
                }
            }
            let values: Vec<String> = unique.iter().map(|(id, row)| literal(*id, row)).collect();
            let sql = format!(
                "MERGE INTO t USING (VALUES {}) n(id, v, s, d) ON t.id = n.id
                 WHEN MATCHED AND t.d < 0 THEN DELETE
                 WHEN MATCHED THEN UPDATE SET v = n.v
                 WHEN NOT MATCHED THEN INSERT VALUES (n.id, n.v, n.s, n.d)",
                values.join(", ")
            );
            (sql, sound(next, false))
        }
        _ => {
            next.retain(|id, _| id % 50 != r);
            (format!("DELETE FROM t WHERE id % 50 = {r}"), Some(next))
        }
    }
}

/// That the table, its indexes and answers over ranges of keys are those of the map.
fn check(connection: &Connection, random: &mut Random, model: &Model) {
    let want: Vec<String> = model.iter().map(|(id, row)| shown(*id, row)).collect();
    assert_eq!(rows(connection, "SELECT id, v, s, d FROM t ORDER BY id"), want);
    let short =
        "SELECT DISTINCT index_name FROM index_info('t') WHERE entries <> (SELECT count(*) FROM t)";
    assert_eq!(rows(connection, short), Vec::<String>::new());
    let (a, b) = (random.below(160) - 5, random.below(160) - 5);
    let (low, high) = (a.min(b), a.max(b));
    let ids: Vec<&Row> = model.range(low..=high).map(|(_, row)| row).collect();
    let text = |value: Option<i64>| value.map_or("NULL".into(), |value| value.to_string());
    let sum = (!ids.is_empty()).then(|| ids.iter().map(|row| row.2).sum::<i64>());
    let sql = format!(
        "SELECT count(*), sum(d), min(d), max(d), count(v) FROM t WHERE id BETWEEN {low} AND {high}"
    );
    let want = format!(
        "{}|{}|{}|{}|{}",
        ids.len(),
        text(sum),
        text(ids.iter().map(|row| row.2).min()),
        text(ids.iter().map(|row| row.2).max()),
        ids.iter().filter(|row| row.0.is_some()).count()
    );
    assert_eq!(rows(connection, &sql), [want], "{sql}");
    let (v, d) = (random.below(32), random.below(900) - 450);
    for (condition, fits) in [
        (
            format!("v < {v}"),
            Box::new(move |row: &Row| row.0.is_some_and(|x| x < v)) as Box<dyn Fn(&Row) -> bool>,
        ),
        (
            format!("v IS NULL AND d >= {d}"),
            Box::new(move |row: &Row| row.0.is_none() && row.2 >= d),
        ),
        (
            format!("v = {v} OR v IN (1, 2, {d})"),
            Box::new(move |row: &Row| row.0.is_some_and(|x| x == v || x == 1 || x == 2 || x == d)),
        ),
        (
            format!("s LIKE 's1%' AND d < {d}"),
            Box::new(move |row: &Row| {
                row.2 < d && row.1.as_ref().is_some_and(|s| s.starts_with("s1"))
            }),
        ),
    ] {
        let hit: Vec<&Row> = model.values().filter(|row| fits(row)).collect();
        let mut sorted: Vec<i64> = hit.iter().map(|row| row.2).collect();
        sorted.sort_unstable();
        let sum = (!hit.is_empty()).then(|| sorted.iter().sum::<i64>());
        let lowest = sorted.get(sorted.len().saturating_sub(1) / 2).copied();
        let want = format!("{}|{}|{}", hit.len(), text(sum), text(lowest));
        let sql =
            format!("SELECT count(*), sum(d), quantile_disc(d, 0.5) FROM t WHERE {condition}");
        assert_eq!(rows(connection, &sql), [want], "{sql}");
    }
    let (id, s) = (random.below(150), format!("s{}", random.below(120)));
    let want: Vec<String> = model.get(&id).map(|row| shown(id, row)).into_iter().collect();
    assert_eq!(rows(connection, &format!("SELECT id, v, s, d FROM t WHERE id = {id}")), want);
    let named = model.iter().filter(|(_, row)| row.1.as_ref() == Some(&s));
    let want: Vec<String> = named.map(|(id, row)| shown(*id, row)).collect();
    assert_eq!(rows(connection, &format!("SELECT id, v, s, d FROM t WHERE s = '{s}'")), want);
}

const INDEXES: [(&str, &str); 5] = [
    ("by_v", "(v) INCLUDE (d QUANTILES)"),
    ("by_v_d", "(v DESC, d) INCLUDE (id, s)"),
    ("by_d", "(d DESC)"),
    ("by_s", "(s, v) INCLUDE (v QUANTILES)"),
    ("by_id", "(id) INCLUDE (d, v)"),
];

#[test]
fn test_random_statements_on_indexed_tables_equal_a_map() {
    let folder = tempfile::tempdir().unwrap();
    let (mut refused, mut done) = (0, 0);
    for seed in 0..4 {
        let mut random = Random(seed * 77 + 3);
        let mut database = Database::open_in_memory();
        let mut connection = database.connect();
        connection
            .execute("CREATE TABLE t (id BIGINT PRIMARY KEY, v INTEGER, s VARCHAR, d INTEGER)")
            .unwrap();
        connection.execute("CREATE UNIQUE INDEX u ON t (s)").unwrap();
        let mut model = Model::new();
        let mut made = [false; INDEXES.len()];
        for step in 0..140 {
            let (sql, next) = statement(&mut random, &model);
            let rolled_back = random.below(7) == 0;
            if rolled_back {
                connection.execute("BEGIN").unwrap();
            }
            match (connection.execute(&sql), next) {
                (Ok(_), Some(next)) => {
                    if rolled_back {
                        check(&connection, &mut random, &next);
                    } else {
                        model = next;
                    }
                    done += 1;
                }
                (Err(error), None) => {
                    let kind = error.kind;
                    assert!(matches!(kind, ErrorKind::Constraint | ErrorKind::Value), "{error}");
                    refused += 1;
                }
                (Ok(_), None) => panic!("seed {seed}, step {step}: not refused: {sql}"),
                (Err(error), Some(_)) => panic!("seed {seed}, step {step}: {error}: {sql}"),
            }
            if rolled_back {
                connection.execute("ROLLBACK").unwrap();
            }
            let at = random.below(INDEXES.len() as i64) as usize;
            match random.below(24) {
                0..3 => {
                    let (name, columns) = INDEXES[at];
                    let sql = match made[at] {
                        true => format!("DROP INDEX {name}"),
                        false => format!("CREATE INDEX {name} ON t {columns}"),
                    };
                    connection.execute(&sql).unwrap();
                    made[at] = !made[at];
                }
                3 => drop(connection.execute("VACUUM").unwrap()),
                4 => {
                    let path = folder.path().join(format!("db{seed}_{step}"));
                    database.save(&path).unwrap();
                    database = Database::open(&path).unwrap();
                    connection = database.connect();
                }
                _ => {}
            }
            if step % 4 == 0 {
                check(&connection, &mut random, &model);
            }
        }
        check(&connection, &mut random, &model);
    }
    assert!(refused > 25 && done > 200, "{refused} refused, {done} done");
}

#[test]
fn test_transactions_that_claim_one_key_or_one_name_do_not_both_commit() {
    let database = Database::open_in_memory();
    let (one, two) = (database.connect(), database.connect());
    one.execute(
        "CREATE TABLE t (a INTEGER); CREATE UNIQUE INDEX u ON t (a); CREATE TABLE o (a INTEGER)",
    )
    .unwrap();
    for connection in [&one, &two] {
        connection.execute("BEGIN; INSERT INTO t VALUES (1)").unwrap();
    }
    one.execute("COMMIT").unwrap();
    let error = two.execute("COMMIT").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Constraint);
    assert_eq!(
        error.message,
        "the table 't' would have two rows with the key (1): UNIQUE INDEX u (a)"
    );
    for (connection, table) in [(&one, "t"), (&two, "o")] {
        connection.execute(&format!("BEGIN; CREATE INDEX same ON {table} (a)")).unwrap();
    }
    one.execute("COMMIT").unwrap();
    let error = two.execute("COMMIT").unwrap_err();
    assert_eq!(error.message, "an index 'same' exists already, of the table 't'");
    // Whoever changes a table that gets an index meanwhile is in conflict, and the other way round.
    one.execute("BEGIN; CREATE INDEX i ON o (a)").unwrap();
    two.execute("INSERT INTO o VALUES (1)").unwrap();
    assert_eq!(one.execute("COMMIT").unwrap_err().kind, ErrorKind::Catalog);
    one.execute("BEGIN; INSERT INTO o VALUES (1)").unwrap();
    two.execute("CREATE INDEX i ON o (a)").unwrap();
    assert_eq!(one.execute("COMMIT").unwrap_err().kind, ErrorKind::Catalog);
    assert_eq!(rows(&one, "SELECT index_name, entries FROM index_info('i')"), ["i|1"]);
}

#[test]
fn test_merge_counts_every_row_once() {
    let connection = Database::open_in_memory().connect();
    connection.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b INTEGER)").unwrap();
    connection.execute("INSERT INTO t VALUES (1, 1), (2, 2), (3, 3)").unwrap();
    let merge =
        "MERGE INTO t USING (VALUES (2, 20), (3, 30), (4, 40), (5, 50)) s(a, b) ON t.a = s.a
                 WHEN MATCHED AND s.a = 2 THEN DELETE
                 WHEN MATCHED THEN UPDATE SET b = s.b
                 WHEN NOT MATCHED AND s.a = 4 THEN INSERT VALUES (s.a, s.b)
                 WHEN NOT MATCHED BY SOURCE THEN DELETE";
    assert_eq!(connection.execute(merge).unwrap(), 4);
    assert_eq!(rows(&connection, "FROM t ORDER BY a"), ["3|30", "4|40"]);
}

#[test]
fn test_exports_and_saved_databases_keep_indexes() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open_in_memory();
    let connection = database.connect();
    let script = "CREATE SCHEMA s; CREATE TABLE s.t (a INTEGER, \"B b\" VARCHAR, c DOUBLE);
                  INSERT INTO s.t VALUES (1, 'x', 1.5), (2, 'y', NULL), (NULL, 'z', 2.5);
                  CREATE UNIQUE INDEX u ON s.t (a DESC, \"B b\");
                  CREATE INDEX \"I i\" ON s.t (\"B b\") INCLUDE (c QUANTILES, a)";
    connection.execute(script).unwrap();
    let shown = "SELECT index_name, table_name, is_unique, column_name, role, descending, quantiles
                 FROM index_info('s.t')";
    let want = rows(&connection, shown);
    assert_eq!(want.len(), 5);
    let path = folder.path().join("out");
    connection.execute(&format!("EXPORT DATABASE '{}'", path.display())).unwrap();
    let imported = Database::open_in_memory().connect();
    imported.execute(&format!("IMPORT DATABASE '{}'", path.display())).unwrap();
    assert_eq!(rows(&imported, shown), want);
    assert!(imported.execute("INSERT INTO s.t VALUES (1, 'x', 0)").is_err());
    let path = folder.path().join("db");
    database.save(&path).unwrap();
    let opened = Database::open(&path).unwrap().connect();
    assert_eq!(rows(&opened, shown), want);
    let entries = "SELECT DISTINCT index_name, entries FROM index_info('s.t') ORDER BY 1";
    assert_eq!(rows(&opened, entries), ["s.I i|NULL", "s.u|NULL"]);
    let error = opened.execute("INSERT INTO s.t VALUES (1, 'x', 0)").unwrap_err();
    assert!(
        error.message.ends_with("two rows with the key (1, 'x'): UNIQUE INDEX u (a DESC, B b)")
    );
    opened.execute("INSERT INTO s.t VALUES (NULL, 'z', 0); DELETE FROM s.t WHERE a = 2").unwrap();
    assert_eq!(rows(&opened, entries), ["s.I i|NULL", "s.u|3"]);
    let made = "SELECT sql FROM duckdb_indexes() ORDER BY index_name";
    let sql = rows(&opened, made);
    assert_eq!(
        sql,
        [
            "CREATE INDEX \"I i\" ON \"s\".\"t\" (\"B b\") INCLUDE (\"c\" QUANTILES, \"a\");",
            "CREATE UNIQUE INDEX \"u\" ON \"s\".\"t\" (\"a\" DESC, \"B b\");"
        ]
    );
}

#[test]
fn test_indexes_are_within_the_memory_limit() {
    let connection = Database::open_in_memory().connect();
    connection.execute("CREATE TABLE t AS SELECT i AS a FROM range(1000000) r(i)").unwrap();
    connection.execute("SET memory_limit = '5MB'").unwrap();
    let error = connection.execute("CREATE INDEX i ON t (a)").unwrap_err();
    assert!(error.message.contains("out of memory: the index being built"), "{error}");
    connection.execute("CREATE TABLE k (a BIGINT PRIMARY KEY)").unwrap();
    let error = connection.execute("INSERT INTO k SELECT a * 77 % 1000003 FROM t").unwrap_err();
    assert!(error.message.contains("out of memory"), "{error}");
    connection.execute("SET memory_limit = '500MB'").unwrap();
    connection.execute("INSERT INTO k SELECT a FROM t; CREATE INDEX i ON t (a)").unwrap();
    let info =
        "SELECT entries, runs, fan_out, bytes > 8000000 AND bytes < 20000000, bytes = column_bytes
                FROM index_info('i')";
    assert_eq!(rows(&connection, info), ["1000000|1|16|true|true"]);
}

#[test]
fn test_large_changes_and_compaction_leave_every_key_where_its_row_is() {
    let connection = Database::open_in_memory().connect();
    connection
        .execute(
            "CREATE TABLE t (id BIGINT PRIMARY KEY, v INTEGER);
             CREATE INDEX i ON t (v DESC) INCLUDE (id);
             CREATE TABLE plain (id BIGINT, v INTEGER)",
        )
        .unwrap();
    let both = |statement: &str| {
        for table in ["t", "plain"] {
            connection.execute(&statement.replace("$t", table)).unwrap();
        }
    };
    both("INSERT INTO $t SELECT x * 7 % 150001, x % 1000 FROM range(150000) r(x)");
    both("DELETE FROM $t WHERE v < 450");
    both("UPDATE $t SET id = id + 1000000, v = v + 1 WHERE v > 900");
    both("DELETE FROM $t WHERE id % 3 = 0");
    both("VACUUM $t");
    both("DELETE FROM $t WHERE id % 5 = 1 AND v < 700");
    both("INSERT INTO $t SELECT -x - 1, x % 77 FROM range(70000) r(x)");
    let counts = "SELECT count(*), count(DISTINCT id), sum(v), sum(id)";
    let want = rows(&connection, &format!("{counts} FROM plain"));
    assert_eq!(rows(&connection, &format!("{counts} FROM t")), want);
    let entries = "SELECT DISTINCT entries = (SELECT count(*) FROM plain) FROM index_info('t')";
    assert_eq!(rows(&connection, entries), ["true"]);
    // Every key is found, with its row, and none that is gone.
    let upsert = "INSERT INTO t SELECT id, v FROM plain ON CONFLICT (id) DO NOTHING";
    assert_eq!(connection.execute(upsert).unwrap(), 0);
    let update = "INSERT INTO t SELECT id, v + 1 FROM plain
                  ON CONFLICT (id) DO UPDATE SET v = CASE WHEN excluded.v = t.v + 1 THEN t.v END";
    connection.execute(update).unwrap();
    assert_eq!(rows(&connection, &format!("{counts} FROM t")), want);
    let gone = "INSERT INTO t SELECT x, 0 FROM range(150001) r(x)
                WHERE x NOT IN (SELECT id FROM plain)";
    assert!(connection.execute(gone).unwrap() > 50_000);
    for (low, high) in [(0, 10), (450, 460), (900, 2000), (-5, 0)] {
        let count = |table: &str| {
            let only = if table == "t" { " AND id IN (SELECT id FROM plain)" } else { "" };
            let sql = format!(
                "SELECT count(*), sum(id) FROM {table} WHERE v BETWEEN {low} AND {high}{only}"
            );
            rows(&connection, &sql)
        };
        assert_eq!(count("t"), count("plain"));
    }
}
