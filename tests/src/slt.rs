//! SQL logic tests: runs `.slt` files against a fresh database under one configuration of the matrix.
//!
//! Invariant: every record of every file is run and counted; a record that does not run is a failure, not a skip.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use sqllogictest::{DBOutput, DefaultColumnType, Record, Runner};
use stoadb::{Connection, Database, to_text};

/// One configuration of the matrix: settings that no answer may depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// The name in reports.
    pub name: &'static str,
    /// Statements that set it up.
    pub setup: &'static [&'static str],
    /// How often each query is asked; the last answer counts.
    pub runs: u32,
}

impl Config {
    const fn new(name: &'static str, setup: &'static [&'static str]) -> Self {
        Self { name, setup, runs: 1 }
    }
}

/// The matrix: everything that must not change an answer.
pub const MATRIX: &[Config] = &[
    Config::new("default", &[]),
    Config::new("one thread", &["SET threads = 1"]),
    Config::new("eight threads", &["SET threads = 8"]),
    Config::new("vectors of one row", &["SET vector_size = 1"]),
    Config::new("vectors of seven rows", &["SET vector_size = 7", "SET threads = 3"]),
    Config::new("optimizer off", &["SET optimizer = false"]),
    Config::new("statistics off", &["SET use_statistics = false"]),
    Config::new("indexes wherever they serve", &["SET access_path = 'index'"]),
    Config::new("scans only", &["SET access_path = 'scan'"]),
    // Its plan is kept then.
    Config { name: "each query three times", setup: &[], runs: 3 },
];

/// What a file's records did.
#[derive(Debug, Default)]
pub struct Report {
    /// Records that did what the file says.
    pub passed: usize,
    /// What went wrong in the others, with their place.
    pub failures: Vec<String>,
}

/// A connection that speaks the harness's language.
struct Session {
    connection: Connection,
    /// How often a query is asked.
    runs: u32,
}

/// An error in the harness's language.
#[derive(Debug)]
struct SessionError(String);

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SessionError {}

impl From<stoadb::Error> for SessionError {
    fn from(error: stoadb::Error) -> Self {
        Self(error.to_string())
    }
}

impl sqllogictest::DB for Session {
    type Error = SessionError;
    type ColumnType = DefaultColumnType;

    fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, SessionError> {
        if is_query(sql) {
            for _ in 1..self.runs {
                self.connection.query(sql)?.try_for_each(|batch| batch.map(drop))?;
            }
        }
        let result = self.connection.query(sql)?;
        let types: Vec<_> =
            result.schema().fields().iter().map(|f| f.data_type().clone()).collect();
        let mut rows = Vec::new();
        for batch in result {
            let batch = batch?;
            let columns: Vec<_> = batch.columns().iter().map(to_text).collect::<Result<_, _>>()?;
            for row in 0..batch.num_rows() {
                let cell = |text: &arrow::array::StringViewArray| match text {
                    text if arrow::array::Array::is_null(text, row) => "NULL".to_string(),
                    text if text.value(row).is_empty() => "(empty)".to_string(),
                    text => text.value(row).to_string(),
                };
                rows.push(columns.iter().map(cell).collect());
            }
        }
        if types.is_empty() {
            return Ok(DBOutput::StatementComplete(0));
        }
        Ok(DBOutput::Rows { types: types.iter().map(column_type).collect(), rows })
    }

    fn engine_name(&self) -> &'static str {
        "stoadb"
    }
}

/// Whether a text reads and does nothing else.
fn is_query(sql: &str) -> bool {
    let word =
        sql.trim_start_matches(['(', ' ', '\n', '\t']).split(|c: char| !c.is_alphabetic()).next();
    let first = ["select", "from", "values"]
        .map(|known| word.is_some_and(|word| word.eq_ignore_ascii_case(known)));
    first.contains(&true) && !sql.contains(';')
}

fn column_type(ty: &arrow::datatypes::DataType) -> DefaultColumnType {
    match ty {
        ty if ty.is_integer() => DefaultColumnType::Integer,
        ty if ty.is_numeric() => DefaultColumnType::FloatingPoint,
        _ => DefaultColumnType::Text,
    }
}

/// The `.slt` files below a folder, in order; of a file itself.
///
/// # Errors
/// When a folder cannot be read.
pub fn files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    if folder.is_file() {
        return Ok(vec![folder.to_path_buf()]);
    }
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if matches!(path.extension().and_then(|e| e.to_str()), Some("slt" | "test")) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Runs a file on a fresh database.
pub fn run_file(path: &Path, config: Config) -> Report {
    let mut report = Report::default();
    let records = match sqllogictest::parse_file::<DefaultColumnType>(path) {
        Ok(records) => records,
        Err(error) => {
            report.failures.push(format!("{}: {error}", path.display()));
            return report;
        }
    };
    let database = Database::open_in_memory();
    let mut runner = Runner::new(|| {
        let connection = database.connect();
        async {
            for statement in config.setup {
                connection.execute(statement)?;
            }
            Ok(Session { connection, runs: config.runs })
        }
    });
    for record in records {
        let counts = matches!(record, Record::Statement { .. } | Record::Query { .. });
        if matches!(record, Record::Halt { .. }) {
            break;
        }
        match runner.run(record) {
            Ok(_) if counts => report.passed += 1,
            Ok(_) => {}
            Err(error) => report.failures.push(error.display(false).to_string()),
        }
    }
    report
}
