//! The texts that a connection was given lately, with what was made of them.
//!
//! Invariant: a text's statements do not depend on the database; a plan that is kept with them says itself whether it
//! still holds. So a remembered text answers as a new one would. Next: `kept.rs`, `connection.rs`.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    error::Result,
    session::kept::KeptPlan,
    sql::{self, ParsedStatement},
};

/// Most texts that are remembered, and the most bytes that one may have.
const TEXTS_MAX: usize = 32;
const TEXT_BYTES_MAX: usize = 1 << 14;

/// A text and its statements, each with a place for its plan.
pub(crate) struct Script {
    pub(crate) sql: Arc<str>,
    pub(crate) statements: Vec<(ParsedStatement, KeptPlan)>,
}

impl Script {
    /// The statements of a text.
    ///
    /// # Errors
    /// When the text is not SQL.
    pub(crate) fn parse(sql: &str) -> Result<Self> {
        let statements = sql::parse(sql)?.into_iter();
        let statements = statements.map(|statement| (statement, KeptPlan::default())).collect();
        Ok(Self { sql: sql.into(), statements })
    }
}

/// The texts that were used last, the latest first.
#[derive(Default)]
pub(crate) struct Scripts(Mutex<VecDeque<Arc<Script>>>);

impl Scripts {
    /// The statements of a text, which is remembered.
    ///
    /// # Errors
    /// When the text is not SQL.
    pub(crate) fn get(&self, sql: &str) -> Result<Arc<Script>> {
        if sql.len() > TEXT_BYTES_MAX {
            return Ok(Arc::new(Script::parse(sql)?));
        }
        if let Some(script) = self.touch(sql) {
            return Ok(script);
        }
        let script = Arc::new(Script::parse(sql)?);
        let mut texts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        texts.truncate(TEXTS_MAX - 1);
        texts.push_front(Arc::clone(&script));
        Ok(script)
    }

    /// A remembered text, which becomes the latest.
    fn touch(&self, sql: &str) -> Option<Arc<Script>> {
        let mut texts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = texts.iter().position(|script| *script.sql == *sql)?;
        let script = texts.remove(place)?;
        texts.push_front(Arc::clone(&script));
        Some(script)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Database, Scalar, to_text};

    #[test]
    fn test_the_latest_texts_are_remembered() {
        let scripts = Scripts::default();
        let first = scripts.get("SELECT 0").unwrap();
        for i in 1..TEXTS_MAX {
            scripts.get(&format!("SELECT {i}")).unwrap();
        }
        assert!(Arc::ptr_eq(&first, &scripts.get("SELECT 0").unwrap()));
        scripts.get("SELECT 'one more'").unwrap();
        assert!(Arc::ptr_eq(&first, &scripts.get("SELECT 0").unwrap()));
        assert!(scripts.touch("SELECT 1").is_none(), "the oldest was forgotten");
        let long = format!("SELECT '{}'", "x".repeat(TEXT_BYTES_MAX));
        scripts.get(&long).unwrap();
        assert!(scripts.touch(&long).is_none());
        assert!(scripts.get("SELEC").is_err());
    }

    #[test]
    fn test_a_remembered_text_sees_what_changed() {
        let connection = Database::open_in_memory().connect();
        connection.execute("CREATE TABLE t AS SELECT 1 AS x").unwrap();
        let sum = |parameter| {
            let statements = connection.remembered("SELECT sum(x) + $1 FROM t").unwrap();
            assert!(statements[0].is_query());
            let mut rows = statements[0].query(&[Scalar::int64(parameter)]).unwrap();
            to_text(rows.next().unwrap().unwrap().column(0)).unwrap().value(0).to_owned()
        };
        assert_eq!(sum(0), "1");
        assert_eq!(sum(10), "11");
        connection.execute("INSERT INTO t VALUES (5)").unwrap();
        assert_eq!(sum(10), "16");
        connection.execute("CREATE OR REPLACE TABLE t AS SELECT 7.5 AS x").unwrap();
        assert_eq!(sum(0), "7.5");
    }

    #[test]
    fn test_unknown_names_are_those_that_a_host_may_know() {
        let connection = Database::open_in_memory().connect();
        connection.execute("CREATE TABLE known AS SELECT 1 AS x").unwrap();
        let unknown = |sql: &str| connection.statements(sql).unwrap()[0].unknown_names();
        let none: [&str; 0] = [];
        assert_eq!(unknown("SELECT * FROM known JOIN \"Frame\" USING (x)"), ["Frame"]);
        assert_eq!(unknown("WITH c AS (SELECT * FROM inner_one) SELECT * FROM c"), ["inner_one"]);
        assert_eq!(unknown("SELECT (SELECT max(x) FROM a) FROM a, b"), ["a", "b"]);
        assert_eq!(unknown("SELECT * FROM 'file.parquet', range(3), s.t"), none);
        assert_eq!(unknown("INSERT INTO known SELECT * FROM frame"), ["frame"]);
        assert_eq!(unknown("CREATE TABLE frame AS SELECT * FROM frame"), ["frame"]);
        assert_eq!(unknown("CREATE TABLE new_one AS SELECT * FROM known"), none);
        assert_eq!(unknown("DROP TABLE IF EXISTS frame"), none);
        assert_eq!(unknown("CREATE TABLE fresh (x INT)"), none);
    }

    #[test]
    fn test_temporary_registrations_are_the_connections_own() {
        let database = Database::open_in_memory();
        let (one, other) = (database.connect(), database.connect());
        let batch = one.query("SELECT 1 AS x").unwrap().next().unwrap().unwrap();
        let table = stoadb_storage::BatchTable::new(batch.schema(), vec![batch]).unwrap();
        one.register_temporary("f", table.clone()).unwrap();
        one.register_temporary("f", table).unwrap();
        assert_eq!(one.execute("SELECT * FROM f").unwrap(), 0);
        assert!(other.execute("SELECT * FROM f").is_err());
        let reading = one.query("SELECT * FROM f").unwrap();
        assert!(one.unregister("f", true).unwrap());
        assert!(!one.unregister("f", true).unwrap());
        assert_eq!(reading.map(|batch| batch.unwrap().num_rows()).sum::<usize>(), 1);
        assert!(one.execute("SELECT * FROM f").is_err());
    }
}
