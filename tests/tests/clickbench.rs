//! The queries of ClickBench over synthetic page views, in DuckDB's words; DuckDB gave the answers.
//!
//! Most of them leave open which rows of equal rank they give. So each runs twice: with an order that leaves nothing open,
//! where every value must be DuckDB's, and as written, where the ranks must be those of that answer and every row one of
//! the rows that the query gives without its limit.

use std::collections::HashSet;

use stoadb::{Connection, Database};
use stoadb_benches::hits::{Hits, schema};
use stoadb_tests::{golden, rows::rows};

const ROWS: u64 = 60_000;

fn hits() -> Connection {
    let connection = Database::open_in_memory().connect();
    let hits = Hits::new(ROWS, 1);
    let batches = (0..hits.chunks()).map(|chunk| hits.chunk(chunk).unwrap()).collect();
    connection.register("made", schema(), batches).unwrap();
    let sql = std::fs::read_to_string(golden::root().join("tests/data/clickbench/hits.sql"));
    connection.execute(&sql.unwrap().replace("'HITS'", "made")).unwrap();
    connection
}

/// What is wrong with the answer to a query as written, whose ties may be broken in any way.
fn check_open(connection: &Connection, sql: &str) -> Option<String> {
    let body = sql.trim_end().trim_end_matches(';');
    let (unlimited, _) = body.split_at(body.rfind("\nLIMIT").unwrap_or(body.len()));
    let all: HashSet<String> = rows(connection, unlimited).into_iter().collect();
    let strict = rows(connection, &golden::ordered(sql));
    let open = rows(connection, sql);
    if let Some(row) = open.iter().find(|row| !all.contains(*row)) {
        return Some(format!("{sql}\ngives {row}, which is none of its rows"));
    }
    if open.iter().collect::<HashSet<_>>().len() != open.len()
        && !sql.contains("SELECT SearchPhrase\n")
    {
        return Some(format!("{sql}\ngives a row twice"));
    }
    let key = body.split("\nORDER BY ").nth(1)?.split([' ', '\n']).next()?;
    let schema = connection.query(sql).unwrap().schema().clone();
    let key = schema.fields().iter().position(|field| field.name().eq_ignore_ascii_case(key));
    let keys = |rows: &[String]| -> Vec<String> {
        let cell =
            |row: &String| key.map_or(String::new(), |key| row.split('|').nth(key).unwrap().into());
        rows.iter().map(cell).collect()
    };
    (keys(&open) != keys(&strict))
        .then(|| format!("{sql}\nis ranked {open:?}, expected {strict:?}"))
}

#[test]
fn test_clickbench() {
    let connection = hits();
    for threads in [1, 4] {
        connection.execute(&format!("SET threads = {threads}")).unwrap();
        let mut failures = Vec::new();
        for number in 0..43 {
            let name = format!("q{number:02}");
            failures.extend(golden::check(&connection, "clickbench", &name).err());
            let sql = golden::query("clickbench", &name);
            failures.extend(
                sql.starts_with("-- ties").then(|| check_open(&connection, &sql)).flatten(),
            );
        }
        assert!(failures.is_empty(), "{threads} threads:\n{}", failures.join("\n"));
    }
}
