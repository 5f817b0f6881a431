//! What errors say, and where they point.

use super::*;

fn rendered(sql: &str) -> String {
    match plan(sql) {
        Ok(planned) => panic!("{sql} plans:\n{}", planned.plan.display_indent()),
        Err(error) => error.render(sql),
    }
}

/// The part of the SQL text under the caret.
fn marked(sql: &str) -> (Error, String) {
    let error = plan(sql).map(|p| p.plan.display_indent().to_string()).expect_err(sql);
    let span = error.span.unwrap_or_else(|| panic!("no place: {sql}: {error}"));
    let line: Vec<char> = sql.lines().nth(span.line - 1).unwrap().chars().collect();
    let end = (span.end_column - 1).min(line.len());
    (error, line[span.column - 1..end].iter().collect())
}

#[test]
fn test_unknown_names_have_a_place_and_a_suggestion() {
    let sql = "SELECT UserI FROM hits";
    assert_eq!(
        rendered(sql),
        "error: there is no column \"UserI\"\nLINE 1: SELECT UserI FROM hits\n               ^^^^^\nhint: did you mean \"UserID\"?"
    );
    let (error, place) = marked("SELECT *\nFROM hitz");
    assert_eq!((error.kind, place.as_str()), (ErrorKind::Name, "hitz"));
    assert_eq!(error.hint.as_deref(), Some("did you mean \"hits\"?"));
    let (error, place) = marked("SELECT x.a FROM t");
    assert_eq!((error.kind, place.as_str()), (ErrorKind::Name, "x.a"));
    let error = plan("SELECT uper(c) FROM t").unwrap_err();
    assert_eq!(error.message, "there is no function uper()");
    assert_eq!(error.hint.as_deref(), Some("did you mean upper()?"));
    let (error, _) = marked("SELECT a FROM t, u");
    assert!(error.message.contains("ambiguous"), "{error}");
}

#[test]
fn test_syntax_errors_have_a_place() {
    let error = sql::parse("SELECT 1;\nSELECT FROM WHERE").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Syntax);
    assert_eq!(error.span.map(|span| span.line), Some(2));
    let error = sql::parse("SELECT 'abc").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Syntax);
    assert!(error.span.is_some());
    let error = sql::parse("SELECT a FROM t WHERE").unwrap_err();
    assert!(error.message.contains("end of the statement"), "{error}");
    assert!(sql::parse("SELECT a b c d").is_err());
    assert!(sql::parse("SELECT ? + $1").is_err());
    assert_eq!(sql::parse(" ;; \n -- nothing\n").unwrap().len(), 0);
}

#[test]
fn test_scripts_are_split_with_their_ranges() {
    let script = "SELECT ';' ; -- one;\n  SELECT \"a;b\" FROM t;\nSELECT ?, ?";
    let statements = sql::parse(script).unwrap();
    let texts: Vec<&str> = statements.iter().map(|statement| statement.text(script)).collect();
    assert_eq!(texts, ["SELECT ';'", "SELECT \"a;b\" FROM t", "SELECT ?, ?"]);
    assert_eq!(statements[2].parameters, 2);
}

#[test]
fn test_refusals_name_the_construct() {
    for (sql, name, place) in [
        ("SELECT * FROM t POSITIONAL JOIN u", "POSITIONAL JOIN", ""),
        ("SELECT c COLLATE \"de\" FROM t", "COLLATE", "c COLLATE \"de\""),
        ("SELECT * FROM t JOIN u", "ON or USING", ""),
        ("SELECT * FROM t FETCH FIRST 3 ROWS WITH TIES", "WITH TIES", ""),
        ("SELECT a FROM t FOR UPDATE", "FOR UPDATE", ""),
        ("SELECT TOP 3 a FROM t", "TOP", ""),
        (
            "SELECT a, (SELECT max(u.a) FROM u FULL JOIN t v ON u.a = v.a AND u.b = t.b) FROM t",
            "FULL JOIN in a correlated subquery",
            "",
        ),
        ("SELECT upper(lambda x: x + 1)", "lambda", ""),
    ] {
        let error = match plan(sql) {
            Ok(planned) => panic!("{sql} plans:\n{}", planned.plan.display_indent()),
            Err(error) => error,
        };
        assert!(error.to_string().contains(name), "{sql}: {error}");
        if !place.is_empty() {
            assert_eq!(marked(sql).1, place, "{sql}");
        }
    }
}

#[test]
fn test_type_errors() {
    let error = plan("SELECT sum(c) FROM t").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Type, "{error}");
    assert!(error.message.contains("needs a number"), "{error}");
    let error = plan("SELECT a + h FROM t").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Type, "{error}");
    assert!(!error.message.contains("DataFusion"), "{error}");
}

#[test]
fn test_errors_in_views_say_so() {
    let error = plan("SELECT * FROM broken").unwrap_err();
    assert!(error.message.starts_with("in the view \"broken\": there is no column"), "{error}");
    let error = plan("SELECT * FROM loops").unwrap_err();
    assert!(error.message.contains("uses itself"), "{error}");
}

#[test]
fn test_missing_files_keep_their_error() {
    let error = plan("SELECT * FROM 'missing.parquet'").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Io);
}

#[test]
fn test_places_of_what_stands_in_clauses_and_arithmetic() {
    for (sql, message, place) in [
        ("SELECT aa + 1 FROM t", "there is no column \"aa\"", "aa"),
        ("SELECT t.aa + 1 FROM t", "there is no column \"t.aa\"", "t.aa"),
        ("SELECT zz + 1 FROM t WHERE zz + 2 > 3", "there is no column \"zz\"", "zz"),
        ("SELECT c FROM t WHERE sum(a) > 1", "WHERE chooses rows", "sum(a) > 1"),
        ("SELECT c FROM t ORDER BY 25", "ORDER BY 25: the columns of SELECT are 1 to 1", "25"),
        ("SELECT c FROM t GROUP BY 3", "GROUP BY 3: the columns of SELECT are 1 to 1", "3"),
        ("SELECT * FROM t JOIN u USING (nope)", "there is no column \"nope\" on the left", "nope"),
        ("SELECT coun(DISTINCT c) FROM t", "coun() is no aggregate", "coun(DISTINCT c"),
        ("SELECT abs(*) FROM t", "abs() does not take *", "abs"),
        ("SELECT :name", "a parameter is ?", ":name"),
    ] {
        let (error, found) = marked(sql);
        assert!(error.message.starts_with(message), "{sql}: {error}");
        assert_eq!(found, place, "{sql}");
    }
    // Two SELECTs: either may be the one without the column.
    assert!(
        plan("SELECT aa + 1 FROM t WHERE 1 + aa IN (SELECT aa + 1 FROM u)")
            .unwrap_err()
            .span
            .is_none()
    );
    let digits = "1".repeat(39);
    let (error, found) = marked(&format!("SELECT {digits}"));
    assert_eq!((error.kind, found), (ErrorKind::Value, digits));
    let error = sql::parse("SELECT 1 +").unwrap_err();
    assert_eq!(error.span.map(|span| span.column), Some(11));
}
