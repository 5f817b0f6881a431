//! The error of the crate: what kind, what happened, what to do about it, and where in the SQL text.
//!
//! Invariants: messages speak to the person who wrote the query and name no library; `Internal` means a bug of ours, and
//! nothing else does. Spans count lines and columns from 1 over the whole text that was given to `parse`.
//! Next: `planner/diagnose.rs`, which turns the planner library's errors into ours.

use std::fmt;

use stoadb_engine::EngineError;
use stoadb_storage::StorageError;

/// The result of an operation of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of thing went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The text is not SQL.
    Syntax,
    /// A name that is unknown or ambiguous.
    Name,
    /// Operands or arguments of the wrong type.
    Type,
    /// A feature that StoaDB does not have.
    Unsupported,
    /// A value outside of its type: overflow, a failed cast, division by zero.
    Value,
    /// A row that breaks a rule of its table: PRIMARY KEY, UNIQUE, CHECK.
    Constraint,
    /// A table or view that exists already, is missing, or was changed by another transaction.
    Catalog,
    /// A file that cannot be read or written, or is damaged.
    Io,
    /// The memory budget is used up.
    Memory,
    /// The query was cancelled.
    Cancelled,
    /// The query ran longer than allowed.
    Timeout,
    /// A bug in StoaDB.
    Internal,
}

impl ErrorKind {
    /// Whether such an error is of what a statement says, rather than of its run.
    pub(crate) fn is_of_the_text(self) -> bool {
        matches!(
            self,
            Self::Syntax
                | Self::Name
                | Self::Type
                | Self::Unsupported
                | Self::Value
                | Self::Internal
        )
    }
}

impl ErrorKind {
    /// A word for programs that stays the same in every version.
    ///
    /// ```
    /// let connection = stoadb::Database::open_in_memory().connect();
    /// let error = connection.execute("SELECT 1,\n  colour FROM range(3) t(color)").unwrap_err();
    /// assert_eq!(error.code(), "unknown_name");
    /// let span = error.span.unwrap();
    /// assert_eq!((span.line, span.column, span.end_column), (2, 3, 9));
    /// ```
    pub fn code(self) -> &'static str {
        match self {
            Self::Syntax => "syntax_error",
            Self::Name => "unknown_name",
            Self::Type => "type_mismatch",
            Self::Unsupported => "not_supported",
            Self::Value => "invalid_value",
            Self::Constraint => "constraint_violation",
            Self::Catalog => "catalog_conflict",
            Self::Io => "io_error",
            Self::Memory => "out_of_memory",
            Self::Cancelled => "cancelled",
            Self::Timeout => "timeout",
            Self::Internal => "internal_error",
        }
    }
}

/// A place in the SQL text. Lines and columns (in characters) count from 1; the end is exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span {
    /// The line of the first character.
    pub line: usize,
    /// The column of the first character.
    pub column: usize,
    /// The line of the end.
    pub end_line: usize,
    /// The column after the last character.
    pub end_column: usize,
}

/// What went wrong, for the person who wrote the query.
#[non_exhaustive]
#[derive(Debug, Clone)]
pub struct Error {
    /// The kind.
    pub kind: ErrorKind,
    /// What happened, in one sentence without a full stop.
    pub message: String,
    /// What may help.
    pub hint: Option<String>,
    /// Where, if known.
    pub span: Option<Span>,
}

impl Error {
    /// An error without hint and place.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None, span: None }
    }

    /// The code of the kind: see `ErrorKind::code`.
    pub fn code(&self) -> &'static str {
        self.kind.code()
    }

    /// An unsupported feature, named as in SQL.
    pub fn unsupported(what: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Unsupported, format!("not supported: {what}"))
    }

    /// A LIMIT or OFFSET below zero.
    pub(crate) fn negative(clause: &str, rows: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Value, format!("{clause} must not be negative, but is {rows}"))
    }

    /// A bug of ours.
    pub fn internal(message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Internal, format!("internal error (please report it): {message}"))
    }

    /// The same error with a hint.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same error with a place, unless it has one already.
    #[must_use]
    pub fn or_span(mut self, span: Option<Span>) -> Self {
        self.span = self.span.or(span);
        self
    }

    /// The error as text of several lines: message, the line of `sql` with a caret under the place, hint. `sql` is the
    /// text that was given to `parse`.
    pub fn render(&self, sql: &str) -> String {
        let mut text = format!("error: {}", self.message);
        if let Some((span, line)) =
            self.span.and_then(|span| Some((span, sql.lines().nth(span.line.checked_sub(1)?)?)))
        {
            text.push_str(&render_line(&span, line));
        }
        if let Some(hint) = &self.hint {
            text.push_str("\nhint: ");
            text.push_str(hint);
        }
        text
    }
}

/// Most characters of a source line that are shown.
const SHOWN: usize = 100;

fn render_line(span: &Span, line: &str) -> String {
    let chars: Vec<char> = line.chars().map(|c| if c == '\t' { ' ' } else { c }).collect();
    let start = span.column.saturating_sub(1).min(chars.len());
    let end =
        if span.end_line == span.line { span.end_column.saturating_sub(1) } else { chars.len() };
    // A long line is cut so that the place is in view.
    let from = start.saturating_sub(SHOWN / 2);
    let until = chars.len().min(from + SHOWN);
    let width = end.clamp(start + 1, until.max(start + 1)) - start;
    let number = format!("LINE {}: ", span.line);
    let cut = if from > 0 { "..." } else { "" };
    let shown: String = chars[from..until].iter().collect();
    let indent = number.len() + cut.len() + start - from;
    format!("\n{number}{cut}{shown}\n{}{}", " ".repeat(indent), "^".repeat(width))
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

impl From<EngineError> for Error {
    fn from(error: EngineError) -> Self {
        let kind = match &error {
            EngineError::Storage(inner) => return inner.clone().into(),
            EngineError::Value(_) => ErrorKind::Value,
            EngineError::Unsupported(_) => ErrorKind::Unsupported,
            EngineError::OutOfMemory(_) => ErrorKind::Memory,
            EngineError::Cancelled => ErrorKind::Cancelled,
            EngineError::Timeout(_) => ErrorKind::Timeout,
            _ => ErrorKind::Internal,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<StorageError> for Error {
    fn from(error: StorageError) -> Self {
        let kind = match &error {
            StorageError::Filter(inner) => {
                return match inner.0.downcast_ref::<EngineError>() {
                    Some(inner) => inner.clone().into(),
                    None => Self::internal(&inner.0),
                };
            }
            StorageError::Io { .. }
            | StorageError::Write { .. }
            | StorageError::Save { .. }
            | StorageError::SaveUnsettled { .. }
            | StorageError::Corrupt { .. }
            | StorageError::SchemaMismatch { .. } => ErrorKind::Io,
            StorageError::Unsupported(_) => ErrorKind::Unsupported,
            StorageError::Catalog(_) | StorageError::Conflict(_) => ErrorKind::Catalog,
            StorageError::OutOfMemory(_) => ErrorKind::Memory,
            StorageError::Cancelled => ErrorKind::Cancelled,
            StorageError::Value(_) => ErrorKind::Value,
            StorageError::Constraint(_) => ErrorKind::Constraint,
            _ => ErrorKind::Internal,
        };
        Self::new(kind, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_render_puts_the_caret_under_the_place() {
        let span = Span { line: 2, column: 3, end_line: 2, end_column: 6 };
        let error =
            Error::new(ErrorKind::Name, "no column foo").or_span(Some(span)).with_hint("try bar");
        let text = error.render("SELECT\n  foo\nFROM t");
        assert_eq!(text, "error: no column foo\nLINE 2:   foo\n          ^^^\nhint: try bar");
    }

    #[test]
    fn test_render_cuts_long_lines_and_survives_bad_places() {
        let sql = format!("{}foo{}", "x".repeat(300), "y".repeat(300));
        let span = Span { line: 1, column: 301, end_line: 1, end_column: 304 };
        let text = Error::new(ErrorKind::Name, "m").or_span(Some(span)).render(&sql);
        let mut lines = text.lines().skip(1);
        let (line, caret) = (lines.next().unwrap(), lines.next().unwrap());
        assert!(line.len() < 120);
        assert_eq!(&line[caret.find('^').unwrap()..][..3], "foo");
        let beyond = Span { line: 9, column: 9, end_line: 9, end_column: 9 };
        assert_eq!(Error::new(ErrorKind::Name, "m").or_span(Some(beyond)).render("a"), "error: m");
        let at_end = Span { line: 1, column: 50, end_line: 1, end_column: 50 };
        assert!(Error::new(ErrorKind::Name, "m").or_span(Some(at_end)).render("a").ends_with('^'));
    }
}
