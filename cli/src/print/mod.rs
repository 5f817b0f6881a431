//! Printing a result: a stream of Arrow batches as a table, CSV, TSV, JSON or Markdown.
//!
//! Invariants: memory does not grow with the result, but for what a table prints; output names may repeat and are kept, but
//! for JSON, where they are keys; a reader that closes the pipe ends the printing without an error.
//! Read next: `cell.rs` (one value), then a file for each format.

mod calendar;
mod cell;
mod delimited;
mod json;
mod markdown;
mod table;

#[cfg(test)]
mod tests;

use std::{
    fmt,
    io::{self, ErrorKind, Write},
};

use arrow::{array::RecordBatch, datatypes::DataType, error::ArrowError};

/// How a result is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Format {
    /// A table drawn with lines, for people
    #[default]
    Table,
    /// Comma-separated values
    Csv,
    /// Tab-separated values
    Tsv,
    /// One JSON array of objects a result
    Json,
    /// One JSON object a line
    Jsonl,
    /// A Markdown table
    Markdown,
}

/// An output column.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    /// Its name; names may repeat.
    pub(crate) name: String,
    /// Its type as SQL writes it.
    pub(crate) type_name: String,
    /// Its type in the batches.
    pub(crate) data_type: DataType,
}

impl Column {
    /// Whether values are aligned to the right.
    fn is_number(&self) -> bool {
        self.data_type.is_numeric()
    }
}

/// What a format may heed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    /// How the result is written.
    pub(crate) format: Format,
    /// Whether names are written.
    pub(crate) header: bool,
    /// Most rows of a table: the first and the last ones. `None`: all.
    pub(crate) max_rows: Option<usize>,
    /// Most columns of the terminal that a table takes. `None`: as many as it needs.
    pub(crate) width: Option<usize>,
}

/// What became of a printing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Printed {
    /// Rows that the result had, as far as it was read.
    pub(crate) rows: u64,
    /// The reader went away; nothing more can be printed.
    pub(crate) closed: bool,
}

/// What can go wrong.
#[derive(Debug)]
pub(crate) enum PrintError<E> {
    /// The query failed while its result was read.
    Query(E),
    /// Writing failed.
    Io(io::Error),
    /// A value has no text.
    Value(ArrowError),
}

impl<E> From<io::Error> for PrintError<E> {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl<E> From<ArrowError> for PrintError<E> {
    fn from(error: ArrowError) -> Self {
        Self::Value(error)
    }
}

impl<E: fmt::Display> fmt::Display for PrintError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Query(error) => error.fmt(f),
            Self::Io(error) => write!(f, "cannot write the result: {error}"),
            Self::Value(error) => write!(f, "cannot show a value: {error}"),
        }
    }
}

/// What a format does with a result: begin, each batch, end.
trait Printer {
    /// Before the first batch.
    fn begin(&mut self, out: &mut dyn Write) -> io::Result<()>;
    /// A batch with the columns that were announced.
    fn batch(&mut self, out: &mut dyn Write, batch: &RecordBatch) -> Result<(), Failure>;
    /// After the last batch.
    fn end(&mut self, out: &mut dyn Write) -> Result<(), Failure>;
}

/// `PrintError` without the query's own errors.
enum Failure {
    Io(io::Error),
    Value(ArrowError),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<ArrowError> for Failure {
    fn from(error: ArrowError) -> Self {
        Self::Value(error)
    }
}

impl<E> From<Failure> for PrintError<E> {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Io(error) => Self::Io(error),
            Failure::Value(error) => Self::Value(error),
        }
    }
}

/// Writes a result and flushes.
///
/// # Errors
/// The query's error, or what writing raised; a closed pipe is no error.
pub(crate) fn print<E>(
    out: &mut dyn Write,
    columns: &[Column],
    batches: impl IntoIterator<Item = Result<RecordBatch, E>>,
    options: Options,
) -> Result<Printed, PrintError<E>> {
    let mut printer: Box<dyn Printer + '_> = match options.format {
        Format::Table => Box::new(table::Table::new(columns, options)),
        Format::Csv => Box::new(delimited::Delimited::new(columns, ',', options.header)),
        Format::Tsv => Box::new(delimited::Delimited::new(columns, '\t', options.header)),
        Format::Json => Box::new(json::Json::array(columns)),
        Format::Jsonl => Box::new(json::Json::lines(columns)),
        Format::Markdown => Box::new(markdown::Markdown::new(columns, options.header)),
    };
    let mut rows = 0;
    let write = || -> Result<(), PrintError<E>> {
        printer.begin(out)?;
        for batch in batches {
            let batch = batch.map_err(PrintError::Query)?;
            rows += batch.num_rows() as u64;
            printer.batch(out, &batch)?;
        }
        printer.end(out)?;
        Ok(out.flush()?)
    };
    match write() {
        Ok(()) => Ok(Printed { rows, closed: false }),
        Err(PrintError::Io(error)) if error.kind() == ErrorKind::BrokenPipe => {
            Ok(Printed { rows, closed: true })
        }
        Err(error) => Err(error),
    }
}
