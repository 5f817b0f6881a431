//! Long and deep expressions: an answer in reasonable time or a clear error, never an overflow of the stack.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use stoadb::{Connection, Database, to_text};

/// Generous, for builds without optimisation on busy machines.
const LIMIT: Duration = Duration::from_secs(60);
/// One long statement at a time, so that each is measured alone.
static ALONE: Mutex<()> = Mutex::new(());
const TERMS: usize = 10_000;

fn connect() -> Connection {
    let connection = Database::open_in_memory().connect();
    connection.execute("CREATE TABLE t AS SELECT * FROM (VALUES (1), (7), (NULL)) v(a)").unwrap();
    connection
}

fn answer(connection: &Connection, sql: &str) -> Result<String, stoadb::Error> {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let started = Instant::now();
    let mut cells = Vec::new();
    for batch in connection.query(sql)? {
        let batch = batch?;
        let text = to_text(batch.column(0)).unwrap();
        cells.extend((0..batch.num_rows()).map(|row| text.value(row).to_owned()));
    }
    let start: String = sql.chars().take(60).collect();
    assert!(started.elapsed() < LIMIT, "{start}: {:?}", started.elapsed());
    Ok(cells.join(","))
}

fn chain(term: impl Fn(usize) -> String, operator: &str) -> String {
    (0..TERMS).map(term).collect::<Vec<_>>().join(operator)
}

#[test]
fn test_long_disjunctions_and_conjunctions() {
    let connection = connect();
    let any = chain(|i| format!("a = {}", i + 5), " OR ");
    assert_eq!(answer(&connection, &format!("SELECT a FROM t WHERE {any}")).unwrap(), "7");
    let all = chain(|i| format!("a <> {}", i + 5), " AND ");
    assert_eq!(answer(&connection, &format!("SELECT a FROM t WHERE {all}")).unwrap(), "1");
}

#[test]
fn test_long_sums() {
    let connection = connect();
    let sum = chain(|i| format!("{}", i % 2), " + ");
    assert_eq!(answer(&connection, &format!("SELECT {sum}")).unwrap(), "5000");
    let sum = chain(|_| "a".to_owned(), " + ");
    let sql = format!("SELECT {sum} FROM t WHERE a = 7");
    assert_eq!(answer(&connection, &sql).unwrap(), "70000");
}

#[test]
fn test_long_lists_and_cases() {
    let connection = connect();
    let list = chain(|i| format!("{}", i + 5), ", ");
    assert_eq!(answer(&connection, &format!("SELECT a FROM t WHERE a IN ({list})")).unwrap(), "7");
    let branches = chain(|i| format!("WHEN {i} THEN {}", i * 2), " ");
    let sql = format!("SELECT CASE a {branches} END FROM t WHERE a > 0");
    assert_eq!(answer(&connection, &sql).unwrap(), "2,14");
}

#[test]
fn test_deep_nesting_answers_or_is_refused() {
    let connection = connect();
    for depth in [40, 300, 5_000] {
        let (open, close) = ("(".repeat(depth), ")".repeat(depth));
        let shapes = [
            format!("SELECT {open}1{close}"),
            format!("SELECT {}1{close}", "abs(".repeat(depth)),
            format!("SELECT {}TRUE", "NOT ".repeat(depth)),
            format!("SELECT {}1", "- ".repeat(depth)),
            format!("SELECT 1{}", " - 0".repeat(depth)),
            format!("{}SELECT 1{close}", "SELECT * FROM (".repeat(depth)),
            format!("SELECT {}1{close}", "(SELECT ".repeat(depth)),
            format!("SELECT {}1{}", "CASE WHEN TRUE THEN ".repeat(depth), " END".repeat(depth)),
        ];
        for sql in shapes {
            match answer(&connection, &sql) {
                Ok(value) => assert!(["1", "-1", "true"].contains(&value.as_str()), "{value}"),
                Err(error) => assert_ne!(error.kind, stoadb::ErrorKind::Internal, "{error}"),
            }
        }
    }
}
