//! What can go wrong in storage. Every variant that a user can cause names the thing: the file, the row group,
//! the column, the table.
//!
//! Invariant: `Internal` means a bug of ours, and nothing else does.

use std::fmt;

use crate::disk::SaveId;

/// The result of a storage operation.
pub type Result<T, E = StorageError> = std::result::Result<T, E>;

/// A storage error. The messages are for the person who wrote the query or laid down the file.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum StorageError {
    /// A file or folder could not be opened, read or written.
    Io {
        /// The path as the user gave it.
        path: String,
        /// What the operating system said.
        message: String,
    },
    /// A file could not be written; what stood there before is still there.
    Write {
        /// The path as the user gave it.
        path: String,
        /// What is in the way.
        message: String,
    },
    /// A database could not be saved; what the folder held before is still there.
    Save {
        /// The folder as the user gave it.
        path: String,
        /// What is in the way.
        message: String,
    },
    /// A save whose new version is in place, but of which the file system did not say that it is on the disk.
    SaveUnsettled {
        /// The folder as the user gave it.
        path: String,
        /// What tells the save from all others: the folder holds it now.
        id: SaveId,
        /// What the file system said.
        message: String,
    },
    /// A file's content is not what its format promises.
    Corrupt {
        /// The path of the file.
        path: String,
        /// The row group, if the damage is in one.
        row_group: Option<usize>,
        /// The column, if the damage is in one.
        column: Option<String>,
        /// What is wrong.
        message: String,
    },
    /// Files that are read as one relation disagree about their columns.
    SchemaMismatch {
        /// The file that disagrees.
        path: String,
        /// How.
        message: String,
    },
    /// A type, encoding or feature that storage does not hold.
    Unsupported(String),
    /// A name that the catalog does not hold, or holds already, or a commit that lost a race.
    Catalog(String),
    /// Another transaction changed what this one changed.
    Conflict(String),
    /// The memory budget of the query is used up.
    OutOfMemory(String),
    /// The query was cancelled.
    Cancelled,
    /// A row that breaks a rule of its table.
    Constraint(String),
    /// A value that does not fit its column.
    Value(String),
    /// An error that a row filter raised while a scan evaluated it; carried through unchanged.
    Filter(FilterError),
    /// A bug in StoaDB.
    Internal(String),
}

/// An error of the layer above, on its way through a scan.
#[derive(Debug, Clone)]
pub struct FilterError(pub std::sync::Arc<dyn std::error::Error + Send + Sync>);

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { path, message } => write!(f, "cannot read '{path}': {message}"),
            Self::Write { path, message } => write!(f, "cannot write '{path}': {message}"),
            Self::Save { path, message } => write!(f, "cannot save to '{path}': {message}"),
            Self::SaveUnsettled { path, message, .. } => write!(
                f,
                "'{path}' holds the new version, but it is not known to be on the disk ({message}): should the \
                 machine stop now, the version before it may be found; save again"
            ),
            Self::Corrupt { path, row_group, column, message } => {
                write!(f, "the file '{path}' is damaged or not what it claims to be")?;
                if let Some(group) = row_group {
                    write!(f, ", row group {group}")?;
                }
                if let Some(column) = column {
                    write!(f, ", column '{column}'")?;
                }
                write!(f, ": {message}")
            }
            Self::SchemaMismatch { path, message } => {
                write!(f, "the file '{path}' does not fit: {message}")
            }
            Self::Unsupported(what) => write!(f, "not supported: {what}"),
            Self::Catalog(message)
            | Self::Conflict(message)
            | Self::OutOfMemory(message)
            | Self::Constraint(message)
            | Self::Value(message) => f.write_str(message),
            Self::Cancelled => f.write_str("the query was cancelled"),
            Self::Filter(inner) => inner.0.fmt(f),
            Self::Internal(message) => {
                write!(f, "internal error (please report it): {message}")
            }
        }
    }
}

impl std::error::Error for StorageError {}

impl From<arrow::error::ArrowError> for StorageError {
    fn from(error: arrow::error::ArrowError) -> Self {
        Self::Internal(error.to_string())
    }
}
