//! Identifiers match in any case, results keep the declared spelling, names may repeat.

use super::*;

fn names(sql: &str) -> Vec<String> {
    ok(sql).output_names
}

#[test]
fn test_identifiers_match_in_any_case() {
    for sql in [
        "SELECT UserID FROM hits",
        "SELECT userid FROM HITS",
        "SELECT USERID FROM Hits",
        "SELECT \"userid\" FROM \"HITS\"",
        "SELECT \"UserID\" FROM hits",
        "SELECT hits.userid FROM hits",
        "SELECT H.UserId FROM hits h",
        "SELECT h.userid FROM hits AS \"H\"",
        "SELECT userID FROM (SELECT * FROM hits) AS x",
        "SELECT X.userID FROM (SELECT * FROM hits) AS x",
        "WITH Cte AS (SELECT * FROM hits) SELECT USERID FROM cTE",
        "SELECT USERID FROM hits ORDER BY userId",
        "SELECT UserID FROM hits WHERE USERID > 1 GROUP BY userid HAVING count(userID) > 1",
        "SELECT * EXCLUDE (URL, eventtime, WIDTH) FROM hits",
    ] {
        assert_eq!(names(sql), ["UserID"], "{sql}");
    }
}

#[test]
fn test_aliases_keep_their_spelling() {
    assert_eq!(names("SELECT a AS \"Total A\", b bB FROM t ORDER BY BB"), ["Total A", "bB"]);
    assert_eq!(names("SELECT total FROM (SELECT sum(a) AS Total FROM t)"), ["Total"]);
    assert_eq!(
        names("WITH c(One, Two) AS (SELECT a, b FROM t) SELECT TWO, one FROM C"),
        ["Two", "One"]
    );
    assert_eq!(
        names(
            "SELECT * FROM (SELECT a AS Foo FROM t) x JOIN (SELECT a AS Bar FROM u) y ON x.foo = Y.BAR"
        ),
        ["Foo", "Bar"]
    );
    assert_eq!(names("SELECT a AS Up FROM t UNION ALL SELECT a FROM u"), ["Up"]);
    assert_eq!(names("SELECT * FROM (VALUES (1, 2)) AS v(X, y)"), ["X", "y"]);
}

#[test]
fn test_expressions_are_named_by_their_text() {
    assert_eq!(
        names("SELECT count(*), a + 1, upper(c) FROM t GROUP BY a, c"),
        ["count(*)", "a + 1", "upper(c)"]
    );
    assert_eq!(names("SELECT COUNT(*) FROM hits"), ["COUNT(*)"]);
    assert_eq!(names("SELECT 1, 'x', NULL, 1.5"), ["1", "'x'", "NULL", "1.5"]);
    assert_eq!(names("SELECT * FROM (SELECT max(a) FROM t)"), ["max(a)"]);
}

#[test]
fn test_names_may_repeat() {
    for (sql, expected) in [
        ("SELECT a, a FROM t", vec!["a", "a"]),
        ("SELECT count(*), count(*) FROM t", vec!["count(*)", "count(*)"]),
        ("SELECT a, A, t.a FROM t", vec!["a", "a", "a"]),
        ("SELECT a AS x, b AS X FROM t", vec!["x", "X"]),
        ("SELECT a, b AS a FROM t", vec!["a", "a"]),
        ("SELECT t.a, u.a FROM t, u", vec!["a", "a"]),
        ("SELECT t.a, u.a, t.a FROM t, u", vec!["a", "a", "a"]),
        ("SELECT *, b + 1 AS a FROM u", vec!["a", "b", "x", "a"]),
        ("SELECT *, a FROM u", vec!["a", "b", "x", "a"]),
        ("SELECT t.*, u.* FROM (SELECT a FROM t) t, (SELECT a FROM u) u", vec!["a", "a"]),
        ("SELECT a, a FROM t UNION SELECT a, a FROM u", vec!["a", "a"]),
        ("SELECT 1, 1", vec!["1", "1"]),
        ("SELECT a, a FROM t ORDER BY a", vec!["a", "a"]),
        ("SELECT DISTINCT a, a FROM t ORDER BY a", vec!["a", "a"]),
        (
            "SELECT sum(a), sum(a) FROM t HAVING sum(a) > 1 ORDER BY sum(a)",
            vec!["sum(a)", "sum(a)"],
        ),
    ] {
        assert_eq!(names(sql), expected, "{sql}");
    }
}

#[test]
fn test_repeated_names_in_subqueries() {
    assert_eq!(names("SELECT a FROM (SELECT a, b AS a FROM t)"), ["a"]);
    assert_eq!(names("SELECT * FROM (SELECT a, a FROM t)"), ["a", "a"]);
    assert_eq!(
        names("SELECT * FROM (SELECT * FROM t JOIN u ON t.a = u.a) WHERE x > 'a'").len(),
        11
    );
    ok("SELECT * FROM t WHERE EXISTS (SELECT a, a FROM u WHERE u.a = t.a)");
}

#[test]
fn test_columns_that_differ_by_case() {
    assert_eq!(names("SELECT \"id\" FROM clash"), ["id"]);
    assert_eq!(names("SELECT \"ID\" FROM clash"), ["ID"]);
    assert_eq!(names("SELECT * FROM clash"), ["id", "ID", "other"]);
    assert_eq!(names("SELECT c.\"ID\", OTHER FROM clash c ORDER BY \"id\""), ["ID", "other"]);
    let error = plan("SELECT Id FROM clash").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Name);
    assert!(error.message.contains("ambiguous"), "{error}");
    assert!(error.to_string().contains("\"id\", \"ID\""), "{error}");
}

#[test]
fn test_joins_using() {
    assert_eq!(names("SELECT * FROM t JOIN u USING (A)").len(), 10);
    assert_eq!(names("SELECT A, x FROM t JOIN u USING (a)"), ["a", "x"]);
    assert_eq!(names("SELECT a, t.a, u.A FROM t JOIN u USING (a)"), ["a", "a", "a"]);
    assert_eq!(names("SELECT * FROM u NATURAL JOIN (SELECT a, b FROM t) s"), ["a", "b", "x"]);
    assert_eq!(names("SELECT * FROM u JOIN hits ON u.a = userid LEFT JOIN t USING (b)").len(), 14);
    assert_eq!(
        names("WITH t AS (SELECT * FROM t JOIN u USING (a)) SELECT a, X FROM t"),
        ["a", "x"]
    );
    assert_eq!(names("SELECT * EXCLUDE (b) FROM u JOIN (SELECT a FROM t) s USING (a)"), ["a", "x"]);
    let error = plan("SELECT * FROM t JOIN u USING (x)").unwrap_err();
    assert!(error.message.contains("\"x\" on the left side"), "{error}");
}

#[test]
fn test_views_and_files() {
    assert_eq!(names("SELECT * FROM V"), ["UserID", "Visits"]);
    assert_eq!(names("SELECT visits, w.userid FROM v AS w"), ["Visits", "UserID"]);
    for sql in [
        "SELECT depdelay FROM 'data/Flights.parquet'",
        "SELECT flights.depdelay FROM 'data/Flights.parquet'",
        "SELECT DEPDELAY FROM \"data/Flights.parquet\"",
        "SELECT f.depdelay FROM 'a.parquet' f",
        "SELECT depdelay FROM read_parquet('a/*.parquet')",
        "SELECT depdelay FROM read_parquet(['a.parquet', 'b.parquet'], union_by_name => true)",
        "SELECT depdelay FROM read_parquet('a', hive_partitioning = true)",
    ] {
        assert_eq!(names(sql), ["DepDelay"], "{sql}");
    }
    assert_eq!(
        names("SELECT count(*) FROM 'a.parquet' x JOIN 'a.parquet' y USING (carrier)"),
        ["count(*)"]
    );
}

#[test]
fn test_merged_columns_of_outer_joins() {
    let first = |sql: &str| text(sql).lines().next().unwrap().to_owned();
    let s = "(SELECT a FROM t) s";
    assert_eq!(
        first(&format!("SELECT * FROM u LEFT JOIN {s} USING (a)")),
        "Projection: u.a, u.b, u.x"
    );
    assert_eq!(
        first(&format!("SELECT * FROM u RIGHT JOIN {s} USING (a)")),
        "Projection: s.a, u.b, u.x"
    );
    let full = first(&format!("SELECT a, x FROM u FULL JOIN {s} USING (a)"));
    assert!(
        full.contains("u.a IS NOT NULL THEN u.a ELSE s.a") || full.contains("coalesce(u.a, s.a)"),
        "{full}"
    );
}
