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

/// Chains long enough to be planned as one call, wherever conditions stand, beside the same as short ones.
#[test]
fn test_long_conditions_mean_what_short_ones_mean() {
    let connection = connect();
    connection
        .execute("CREATE TABLE u AS SELECT * FROM (VALUES (7, 2), (8, NULL), (1, 1)) v(b, c)")
        .unwrap();
    let repeated = |term: &str, operator: &str| vec![term; 300].join(operator);
    let shapes = [
        ("SELECT a FROM t WHERE {} ORDER BY a", "a = 7", " OR "),
        ("SELECT a FROM t WHERE NOT ({}) ORDER BY a", "a = 7", " OR "),
        ("SELECT a FROM t WHERE {} ORDER BY a", "a < 7", " AND "),
        ("SELECT count(*) FROM t WHERE ({}) IS NULL", "a < 7", " OR "),
        ("SELECT a, b FROM t, u WHERE a = b AND {} ORDER BY a", "c > 0", " AND "),
        ("SELECT a, b FROM t JOIN u ON a = b AND {} ORDER BY a", "c > 1", " AND "),
        ("SELECT a, b FROM t LEFT JOIN u ON a = b AND ({}) ORDER BY a", "c > 1", " OR "),
        ("SELECT b FROM u GROUP BY b HAVING {} ORDER BY b", "count(*) > 0", " AND "),
        ("SELECT b FROM u GROUP BY b HAVING {} ORDER BY b", "sum(c) > 1", " OR "),
        (
            "SELECT a FROM t WHERE EXISTS (SELECT 1 FROM u WHERE b = a AND {}) ORDER BY a",
            "c > 1",
            " AND ",
        ),
        ("SELECT a FROM t WHERE EXISTS (SELECT 1 FROM u WHERE {}) ORDER BY a", "b = a", " OR "),
        ("SELECT a FROM t WHERE {} ORDER BY a", "a IN (SELECT b FROM u)", " AND "),
        ("SELECT count(*) FILTER (WHERE {}) FROM t", "a > 1", " OR "),
        ("SELECT sum(CASE WHEN {} THEN 1 END) FROM t", "a > 1", " OR "),
        ("SELECT {} FROM t ORDER BY a", "a > 1", " OR "),
        ("SELECT {} AS x FROM t GROUP BY x ORDER BY x", "a > 1", " OR "),
        ("SELECT a FROM t WHERE a = 0 OR {} ORDER BY a", "10 / a > 1", " OR "),
    ];
    for (shape, term, operator) in shapes {
        let long = answer(&connection, &shape.replace("{}", &repeated(term, operator))).unwrap();
        assert_eq!(long, answer(&connection, &shape.replace("{}", term)).unwrap(), "{shape}");
    }
    let error = answer(&connection, &format!("SELECT a FROM t WHERE {}", repeated("a", " OR ")));
    assert!(error.is_err(), "numbers are no conditions");
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
fn test_long_differences() {
    let connection = connect();
    let mixed = format!("a{}", " + a - 2".repeat(TERMS / 2));
    assert_eq!(
        answer(&connection, &format!("SELECT {mixed} FROM t WHERE a = 7")).unwrap(),
        "25007"
    );
    assert_eq!(answer(&connection, &format!("SELECT a FROM t WHERE {mixed} < 0")).unwrap(), "1");
    let least = chain(|_| "a".to_owned(), " - ");
    let types = [
        ("BIGINT", "-69986"),
        ("UTINYINT", ""),
        ("DOUBLE", "-69986.0"),
        ("DECIMAL(3,1)", "-69986.0"),
    ];
    for (ty, expected) in types {
        let sql = format!("SELECT {least} FROM (SELECT a::{ty} AS a FROM t) WHERE a = 7");
        match answer(&connection, &sql) {
            Ok(found) => assert_eq!(found, expected, "{ty}"),
            Err(error) => {
                assert!(expected.is_empty() && error.message.contains("UTINYINT"), "{error}")
            }
        }
    }
    // Neither a sum beyond the type on the way nor one below zero is an error.
    let largest =
        format!("SELECT a{} FROM (SELECT 9223372036854775807 AS a)", " + a - a".repeat(300));
    assert_eq!(answer(&connection, &largest).unwrap(), "9223372036854775807");
    let unsigned = format!("SELECT a{} FROM (SELECT 200::UTINYINT AS a)", " - a + a".repeat(300));
    assert_eq!(answer(&connection, &unsigned).unwrap(), "200");
    let dates = format!("SELECT DATE '2024-01-01'{}", " + 1 - 1".repeat(300));
    let error = answer(&connection, &dates).unwrap_err();
    assert!(error.message.contains("subtractions with a DATE"), "{error}");
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

/// An error at the bottom is found once, not again for every way to read each level.
#[test]
fn test_errors_deep_within_words_that_begin_expressions() {
    let connection = connect();
    for (open, close) in [("NOT (", ")"), ("CAST(", " AS INTEGER)"), ("CASE WHEN ", " THEN 1 END")]
    {
        for depth in [40, 300] {
            let sql = format!("SELECT {}a > {} FROM t", open.repeat(depth), close.repeat(depth));
            assert!(answer(&connection, &sql).is_err(), "{sql}");
        }
    }
}

/// What nests without parentheses, on stacks of the size that threads have unless somebody asks for more: an answer or an
/// error, also when the text is freed.
#[test]
fn test_chains_on_small_stacks() {
    let connection = connect();
    let times = |links: usize, start: &str, link: &str, end: &str| {
        format!("{start}{}{end}", link.repeat(links))
    };
    let chain = |start: &str, link: &str, end: &str| times(3_000, start, link, end);
    let texts = [
        chain("SELECT a", " IS NULL", " FROM t"),
        chain("SELECT a", "::INTEGER", " FROM t"),
        chain("SELECT a", "!", " FROM t"),
        chain("SELECT a", " IN (1)", " FROM t"),
        chain("SELECT a", " BETWEEN 1 AND 2", " FROM t"),
        chain("SELECT a", " LIKE 'x'", " FROM t"),
        chain("SELECT a", " AT TIME ZONE 'UTC'", " FROM t"),
        chain("SELECT a", " % 2", " FROM t"),
        chain("SELECT a", " IS DISTINCT FROM 2", " FROM t"),
        chain("SELECT [a]", "[1]", " FROM t"),
        chain("SELECT a", ".b", " FROM t"),
        times(1_000, "SELECT 1", " UNION ALL SELECT 1", ""),
        times(100, "SELECT 1", " EXCEPT SELECT 1", ""),
        times(100, "SELECT 1 FROM t", " NATURAL JOIN t", ""),
        times(100, "SELECT 1 FROM t", ", t", ""),
    ];
    for text in texts {
        // Met again, a text is remembered and prepared.
        let run = || (0..3).for_each(|_| drop(connection.query(&text).map(drop)));
        std::thread::scope(|scope| {
            let small = std::thread::Builder::new().stack_size(2 << 20);
            small.spawn_scoped(scope, run).map(drop).unwrap();
        });
    }
}
