//! The exceptions of PEP 249, with what is known of the error as attributes.
//!
//! Invariant: every error of the engine becomes exactly one of them; `code` says which kind it was, for programs.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use pyo3::{create_exception, exceptions::PyException, prelude::*};
use stoadb::{Error as StoaError, ErrorKind};

create_exception!(stoadb, Warning, PyException, "An important warning.");
create_exception!(stoadb, Error, PyException, "Whatever goes wrong.");
create_exception!(stoadb, InterfaceError, Error, "The package was used wrongly.");
create_exception!(stoadb, DatabaseError, Error, "Something went wrong in the database.");
create_exception!(stoadb, DataError, DatabaseError, "A value that does not fit.");
create_exception!(stoadb, OperationalError, DatabaseError, "Files, memory, time, cancellation.");
create_exception!(stoadb, IntegrityError, DatabaseError, "A row that breaks a rule of its table.");
create_exception!(stoadb, InternalError, DatabaseError, "A bug in StoaDB.");
create_exception!(stoadb, ProgrammingError, DatabaseError, "A statement that is wrong.");
create_exception!(stoadb, NotSupportedError, DatabaseError, "A feature that StoaDB does not have.");

/// Puts the exceptions into the module.
pub(crate) fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    module.add("Warning", py.get_type::<Warning>())?;
    module.add("Error", py.get_type::<Error>())?;
    module.add("InterfaceError", py.get_type::<InterfaceError>())?;
    module.add("DatabaseError", py.get_type::<DatabaseError>())?;
    module.add("DataError", py.get_type::<DataError>())?;
    module.add("OperationalError", py.get_type::<OperationalError>())?;
    module.add("IntegrityError", py.get_type::<IntegrityError>())?;
    module.add("InternalError", py.get_type::<InternalError>())?;
    module.add("ProgrammingError", py.get_type::<ProgrammingError>())?;
    module.add("NotSupportedError", py.get_type::<NotSupportedError>())
}

/// The exception of an error; `sql` is the text that its place is in.
pub(crate) fn exception(py: Python<'_>, error: &StoaError, sql: Option<&str>) -> PyErr {
    let rendered = sql.map_or_else(|| error.to_string(), |sql| error.render(sql));
    let text = rendered.strip_prefix("error: ").unwrap_or(&rendered).to_owned();
    let raised = match error.kind {
        ErrorKind::Syntax | ErrorKind::Name | ErrorKind::Type | ErrorKind::Catalog => {
            ProgrammingError::new_err(text)
        }
        ErrorKind::Unsupported => NotSupportedError::new_err(text),
        ErrorKind::Value => DataError::new_err(text),
        ErrorKind::Constraint => IntegrityError::new_err(text),
        ErrorKind::Internal => InternalError::new_err(text),
        _ => OperationalError::new_err(text),
    };
    let value = raised.value(py);
    let place = error.span.map(|span| (span.line, span.column));
    // An exception takes attributes; if it did not, its text would still say it all.
    let _ = value.setattr("code", error.code());
    let _ = value.setattr("hint", error.hint.as_deref());
    let _ = value.setattr("line", place.map(|(line, _)| line));
    let _ = value.setattr("column", place.map(|(_, column)| column));
    raised.set_cause(py, raised_by_function(&error.message));
    raised
}

/// An exception of data that do not fit.
pub(crate) fn unfit(message: impl Into<String>) -> PyErr {
    DataError::new_err(message.into())
}

/// What functions of the program raised lately, by the text that the query's error has of it.
static RAISED: Mutex<VecDeque<(String, PyErr)>> = Mutex::new(VecDeque::new());
const RAISED_MAX: usize = 8;

/// Remembers what a function raised, as the cause of the query's error.
pub(crate) fn remember(text: &str, error: PyErr) {
    let mut raised = RAISED.lock().unwrap_or_else(PoisonError::into_inner);
    raised.truncate(RAISED_MAX - 1);
    raised.push_front((text.to_owned(), error));
}

fn raised_by_function(message: &str) -> Option<PyErr> {
    let mut raised = RAISED.lock().unwrap_or_else(PoisonError::into_inner);
    let place = raised.iter().position(|(text, _)| message.contains(text.as_str()))?;
    raised.remove(place).map(|(_, error)| error)
}
