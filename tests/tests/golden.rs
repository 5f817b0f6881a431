//! Queries whose answers DuckDB gave: the flights of the README, TPC-H at scale 0.01 from tables, from registered
//! batches and from Parquet files in place, at several thread counts, and TPC-DS at scale 0.01 from tables and files.
//!
//! Of some queries of TPC-DS the parameters are not those of the specification, whose answers are empty at this scale.

use stoadb::{Connection, Database};
use stoadb_tests::{golden, tpch};

const SCALE: f64 = 0.01;

fn check_tpch(connection: &Connection, what: &str) {
    let failures: Vec<String> = (1..=22)
        .filter_map(|number| golden::check(connection, "tpch", &format!("q{number:02}")).err())
        .collect();
    assert!(failures.is_empty(), "{what}:\n{}", failures.join("\n"));
}

#[test]
fn test_flights() {
    for threads in [1, 3] {
        let connection = Database::open_in_memory().connect();
        connection.execute(&format!("SET threads = {threads}")).unwrap();
        for name in ["f1", "f2", "f3", "f4", "f5"] {
            golden::check(&connection, "flights", name).unwrap();
        }
    }
}

#[test]
fn test_tpch_over_registered_batches() {
    let connection = Database::open_in_memory().connect();
    for table in tpch::tables(SCALE).unwrap() {
        connection.register(table.name, table.schema, table.batches).unwrap();
    }
    check_tpch(&connection, "registered batches");
    connection.execute("SET optimizer = false").unwrap();
    check_tpch(&connection, "registered batches, optimizer off");
}

#[test]
fn test_tpch_over_parquet_and_tables() {
    let folder = tempfile::tempdir().unwrap();
    tpch::write_parquet(folder.path(), SCALE).unwrap();
    let files = Database::open_in_memory().connect();
    let tables = Database::open_in_memory().connect();
    for name in tpch::NAMES {
        let file = folder.path().join(format!("{name}.parquet"));
        let select = format!("{name} AS SELECT * FROM '{}'", file.display());
        files.execute(&format!("CREATE VIEW {select}")).unwrap();
        tables.execute(&format!("CREATE TABLE {select}")).unwrap();
    }
    for threads in [1, 2, 5] {
        for (connection, what) in [(&files, "Parquet"), (&tables, "tables")] {
            connection.execute(&format!("SET threads = {threads}")).unwrap();
            check_tpch(connection, &format!("{what}, {threads} threads"));
        }
    }
}

#[test]
fn test_tpcds() {
    let files = Database::open_in_memory().connect();
    let tables = Database::open_in_memory().connect();
    for file in std::fs::read_dir(golden::root().join("tests/data/tpcds")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "parquet") {
            let name = path.file_stem().unwrap().to_str().unwrap();
            let select = format!("{name} AS SELECT * FROM '{}'", path.display());
            files.execute(&format!("CREATE VIEW {select}")).unwrap();
            tables.execute(&format!("CREATE TABLE {select}")).unwrap();
        }
    }
    for (connection, threads, what) in [(&tables, 1, "tables"), (&files, 3, "Parquet")] {
        connection.execute(&format!("SET threads = {threads}")).unwrap();
        let failures: Vec<String> = (1..=99)
            .filter_map(|number| golden::check(connection, "tpcds", &format!("q{number:02}")).err())
            .collect();
        assert!(failures.is_empty(), "{what}, {threads} threads:\n{}", failures.join("\n"));
    }
}
