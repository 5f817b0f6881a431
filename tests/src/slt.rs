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
}

/// The matrix: everything that must not change an answer.
pub const MATRIX: &[Config] = &[
    Config { name: "default", setup: &[] },
    Config { name: "one thread", setup: &["SET threads = 1"] },
    Config { name: "eight threads", setup: &["SET threads = 8"] },
    Config { name: "vectors of one row", setup: &["SET vector_size = 1"] },
    Config { name: "vectors of seven rows", setup: &["SET vector_size = 7", "SET threads = 3"] },
    Config { name: "optimizer off", setup: &["SET optimizer = false"] },
    Config { name: "statistics off", setup: &["SET use_statistics = false"] },
    Config { name: "indexes wherever they serve", setup: &["SET access_path = 'index'"] },
    Config { name: "scans only", setup: &["SET access_path = 'scan'"] },
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
            Ok(Session { connection })
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
