//! What a query can fail with while it runs.
//!
//! Invariant: messages speak to the person who wrote the query: they name the value, the types, the function.
//! `Internal` means a bug of ours, and nothing else does.

use std::fmt;

use stoadb_storage::StorageError;

/// The result of an engine operation.
pub type Result<T, E = EngineError> = std::result::Result<T, E>;

/// An error while a plan is opened or runs.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum EngineError {
    /// Storage failed.
    Storage(StorageError),
    /// A value is outside of its type: overflow, a failed cast, division by zero, a bad argument.
    Value(String),
    /// A feature that the engine does not have, named as in SQL.
    Unsupported(String),
    /// The memory budget of the query is used up.
    OutOfMemory(String),
    /// The query was cancelled.
    Cancelled,
    /// The query ran longer than `SET timeout` allows.
    Timeout(String),
    /// A bug in StoaDB.
    Internal(String),
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Storage(error) => error.fmt(f),
            Self::Value(message) | Self::OutOfMemory(message) | Self::Timeout(message) => {
                f.write_str(message)
            }
            Self::Unsupported(what) => write!(f, "not supported: {what}"),
            Self::Cancelled => f.write_str("the query was cancelled"),
            Self::Internal(message) => {
                write!(f, "internal error (please report it): {message}")
            }
        }
    }
}

impl std::error::Error for EngineError {}

impl From<StorageError> for EngineError {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Cancelled => Self::Cancelled,
            StorageError::OutOfMemory(message) => Self::OutOfMemory(message),
            StorageError::Filter(inner) => match inner.0.downcast_ref::<EngineError>() {
                Some(error) => error.clone(),
                None => Self::Internal(inner.0.to_string()),
            },
            other => Self::Storage(other),
        }
    }
}

/// An engine error on its way up through a storage scan that evaluates a filter.
impl From<EngineError> for StorageError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Storage(error) => error,
            EngineError::Cancelled => Self::Cancelled,
            other => Self::Filter(stoadb_storage::error::FilterError(std::sync::Arc::new(other))),
        }
    }
}

impl From<arrow::error::ArrowError> for EngineError {
    fn from(error: arrow::error::ArrowError) -> Self {
        Self::Internal(error.to_string())
    }
}
