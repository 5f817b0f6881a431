//! What the reader of CSV files is told, and the dialect that it works with.
//!
//! Invariant: the bytes of a dialect (delimiter, quote, escape, line end) are ASCII, so that they never fall into the
//! middle of a character.
//! Next: `split.rs`.

use crate::{
    error::{Result, StorageError},
    types::LogicalType,
};

/// How CSV files become a relation. What is `None` is found out from the files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvOptions {
    /// What stands between fields: one ASCII character.
    pub delimiter: Option<String>,
    /// What stands around fields that hold delimiters or line ends: one ASCII character, or empty for nothing.
    pub quote: Option<String>,
    /// What stands before a quote within quotes: one ASCII character, or empty for nothing.
    pub escape: Option<String>,
    /// Whether the first record holds the names of the columns.
    pub header: Option<bool>,
    /// The texts that mean NULL.
    pub nulls: Vec<String>,
    /// Whether these mean NULL in quotes too.
    pub quoted_nulls: bool,
    /// Names of the first columns, in place of those of the header.
    pub names: Vec<String>,
    /// Types of columns, in place of those that the sample suggests.
    pub types: CsvTypes,
    /// Whether all columns without a type of their own are VARCHAR.
    pub all_varchar: bool,
    /// Lines to leave out at the start of each file.
    pub skip: usize,
    /// Format of dates, with the specifiers of `strptime`; ISO 8601 without one.
    pub date_format: Option<String>,
    /// Format of timestamps, likewise.
    pub timestamp_format: Option<String>,
    /// From how many records of each file the types are taken.
    pub sample_rows: usize,
    /// Whether `key=value` folders are columns. `None`: if all files have the same keys.
    pub hive_partitioning: Option<bool>,
    /// Whether files may lack columns that others have; these are NULL then.
    pub union_by_name: bool,
    /// Whether a last column `filename` holds each row's path.
    pub filename: bool,
    /// What begins a line that is left out: one ASCII character.
    pub comment: Option<String>,
    /// Whether records may have fewer fields than others; these are NULL then.
    pub null_padding: bool,
    /// Whether records of another number of fields or with a value that is none of its type are left out.
    pub ignore_errors: bool,
    /// `none`, `gzip` or `zstd`; by the ends of the names without it.
    pub compression: Option<String>,
}

/// Types that the caller gives.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum CsvTypes {
    /// None.
    #[default]
    Sampled,
    /// Of the first columns, in order.
    Positional(Vec<LogicalType>),
    /// Of the columns with these names (case does not matter).
    Named(Vec<(String, LogicalType)>),
    /// Of exactly these columns, in order, with their names.
    Columns(Vec<(String, LogicalType)>),
}

impl Default for CsvOptions {
    fn default() -> Self {
        Self {
            delimiter: None,
            quote: None,
            escape: None,
            header: None,
            nulls: vec![String::new()],
            quoted_nulls: true,
            names: Vec::new(),
            types: CsvTypes::Sampled,
            all_varchar: false,
            skip: 0,
            date_format: None,
            timestamp_format: None,
            sample_rows: 20_480,
            hive_partitioning: None,
            union_by_name: false,
            filename: false,
            comment: None,
            null_padding: false,
            ignore_errors: false,
            compression: None,
        }
    }
}

/// One character of a dialect as the caller gave it: `None` if not given, `Some(None)` if empty.
type Given = Option<Option<u8>>;

impl CsvOptions {
    /// The delimiter, if given.
    ///
    /// # Errors
    /// `Value` when it is not one ASCII character that can separate fields.
    pub(crate) fn given_delimiter(&self) -> Result<Option<u8>> {
        match character("delim", self.delimiter.as_deref())? {
            Some(None) => Err(StorageError::Value("the option delim must not be empty".into())),
            given => Ok(given.flatten()),
        }
    }

    /// The quote, if given.
    ///
    /// # Errors
    /// As `given_delimiter`.
    pub(crate) fn given_quote(&self) -> Result<Given> {
        character("quote", self.quote.as_deref())
    }

    /// The escape, if given.
    ///
    /// # Errors
    /// As `given_delimiter`.
    pub(crate) fn given_escape(&self) -> Result<Given> {
        character("escape", self.escape.as_deref())
    }
}

impl CsvOptions {
    /// What begins a line that is left out, if given.
    ///
    /// # Errors
    /// As `given_delimiter`.
    pub(crate) fn given_comment(&self) -> Result<Option<u8>> {
        Ok(character("comment", self.comment.as_deref())?.flatten())
    }
}

fn character(option: &str, given: Option<&str>) -> Result<Given> {
    let Some(text) = given else { return Ok(None) };
    match text.as_bytes() {
        [] => Ok(Some(None)),
        b"\\t" => Ok(Some(Some(b'\t'))),
        [byte] if byte.is_ascii() && !matches!(byte, b'\n' | b'\r' | 0) => Ok(Some(Some(*byte))),
        _ => Err(StorageError::Value(format!(
            "the option {option} is one ASCII character other than a line end, not '{text}'"
        ))),
    }
}

/// How the fields of a file are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dialect {
    /// Between fields.
    pub delimiter: u8,
    /// Around fields.
    pub quote: Option<u8>,
    /// Before a quote within quotes; may be the quote itself.
    pub escape: Option<u8>,
    /// What begins a line that is left out.
    pub comment: Option<u8>,
    /// The last byte of a line: a line feed (a carriage return before it is not part of the line), or a carriage return.
    pub line_end: u8,
}

impl Dialect {
    /// Of texts that stand as they are.
    pub(crate) fn plain() -> Self {
        Self { delimiter: b',', quote: None, escape: None, line_end: b'\n', comment: None }
    }

    /// Whether blanks around quotes are not part of a field.
    pub(crate) fn blanks(&self, byte: u8) -> bool {
        byte == b' ' && self.delimiter != b' '
    }
}
