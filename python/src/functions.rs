//! Functions written in Python: over Arrow arrays, over the values of single rows, and over groups of rows.
//!
//! Invariants: a function takes the interpreter's lock once per batch of rows; what it raises is the cause of the
//! query's exception; it cannot use a connection, for which its own query may be waiting.
//! Next: `inputs.rs`, which reads what it gives.

use std::cell::Cell;

use arrow::{
    array::{Array, ArrayRef},
    datatypes::DataType,
};
use pyo3::{
    prelude::*,
    types::{PyList, PyTuple},
};
use stoadb::{Connection, ErrorKind, LogicalType, Scalar};

use crate::{
    capsule::ArrowArray,
    errors,
    errors::{InterfaceError, unfit},
    inputs, parameters, values,
};

thread_local! {
    /// How many functions this thread is in.
    static RUNNING: Cell<usize> = const { Cell::new(0) };
}

/// Whether this thread is in a function that a query calls.
pub(crate) fn is_running() -> bool {
    RUNNING.get() > 0
}

struct Running;

impl Running {
    fn enter() -> Self {
        RUNNING.set(RUNNING.get() + 1);
        Self
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        RUNNING.set(RUNNING.get() - 1);
    }
}

/// How a function is called.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// With Arrow arrays; gives an array.
    Arrow,
    /// With the values of a row, none of them NULL; gives a value.
    Row,
    /// With the values of a row, NULL as `None`.
    RowWithNulls,
    /// With the Arrow arrays of a group's rows; gives a value.
    Aggregate,
}

impl Kind {
    pub(crate) fn of(name: &str) -> PyResult<Self> {
        Ok(match name {
            "arrow" => Self::Arrow,
            "row" => Self::Row,
            "row_with_nulls" => Self::RowWithNulls,
            "aggregate" => Self::Aggregate,
            _ => return Err(InterfaceError::new_err(format!("no kind of functions: '{name}'"))),
        })
    }
}

/// The type that a name means.
pub(crate) fn type_of(
    py: Python<'_>,
    connection: &Connection,
    name: &str,
) -> PyResult<LogicalType> {
    let rows = py.detach(|| connection.query(&format!("SELECT CAST(NULL AS {name}) AS x")));
    let no_type = || InterfaceError::new_err(format!("'{name}' is no type"));
    let rows = rows.map_err(|error| match error.kind {
        ErrorKind::Syntax | ErrorKind::Unsupported => no_type(),
        _ => errors::exception(py, &error, None),
    })?;
    let field = rows.schema().fields().first().cloned().ok_or_else(no_type)?;
    LogicalType::from_arrow(field.data_type()).map_err(|error| unfit(error.to_string()))
}

/// A function, the way it is called, and what it promised to give.
struct Body {
    name: String,
    function: Py<PyAny>,
    /// Makes what functions take of Arrow arrays.
    adapter: Py<PyAny>,
    kind: Kind,
    result: DataType,
}

/// Makes a function known to the database.
pub(crate) fn register(
    py: Python<'_>,
    connection: &Connection,
    name: &str,
    function: Py<PyAny>,
    kind: Kind,
    arguments: &[LogicalType],
    result: LogicalType,
) -> PyResult<()> {
    let adapter = py.import("stoadb._functions")?.getattr("as_arrow")?.unbind();
    let (name, ty) = (name.to_owned(), result.to_arrow());
    let body = Body { name: name.clone(), function, adapter, kind, result: ty };
    let database = connection.database();
    let registered = py.detach(|| match kind {
        Kind::Aggregate => {
            let body =
                move |args: &[ArrayRef], _rows: usize| body.run(|py| body.aggregate(py, args));
            database.register_aggregate_function(&name, arguments, result, body)
        }
        _ => {
            let body =
                move |args: &[ArrayRef], rows: usize| body.run(|py| body.call(py, args, rows));
            database.register_scalar_function(&name, arguments, result, body)
        }
    });
    registered.map_err(|error| errors::exception(py, &error, None))
}

impl Body {
    fn run<T>(&self, call: impl FnOnce(Python<'_>) -> PyResult<T>) -> Result<T, String> {
        let _running = Running::enter();
        let done = Python::try_attach(|py| {
            call(py).map_err(|error| {
                let class = error.get_type(py).name().map(|name| name.to_string());
                let class = class.unwrap_or_else(|_| "an exception".into());
                let text = format!("{class}: {}", error.value(py));
                errors::remember(&text, error);
                text
            })
        });
        done.unwrap_or_else(|| Err("the interpreter has ended".into()))
    }

    fn call(&self, py: Python<'_>, args: &[ArrayRef], rows: usize) -> PyResult<ArrayRef> {
        match self.kind {
            Kind::Arrow => {
                let given = self.function.bind(py).call1(self.arrays(py, args)?)?;
                let array = inputs::column(&given)?;
                if array.len() != rows {
                    let given = array.len();
                    return Err(unfit(format!("{}() gave {given} values for {rows}", self.name)));
                }
                parameters::convert(&array, &self.result)
            }
            _ => self.by_rows(py, args, rows),
        }
    }

    fn by_rows(&self, py: Python<'_>, args: &[ArrayRef], rows: usize) -> PyResult<ArrayRef> {
        let function = self.function.bind(py);
        let columns =
            args.iter().map(|array| values::column(py, array)).collect::<PyResult<Vec<_>>>()?;
        let value = |row: usize| {
            if self.kind == Kind::Row && columns.iter().any(|column| column[row].is_none()) {
                return Ok(py.None().into_bound(py));
            }
            function.call1(PyTuple::new(py, columns.iter().map(|column| &column[row]))?)
        };
        let given = (0..rows).map(value).collect::<PyResult<Vec<_>>>()?;
        parameters::array_of(given, &self.result)
    }

    fn aggregate(&self, py: Python<'_>, args: &[ArrayRef]) -> PyResult<Scalar> {
        let given = self.function.bind(py).call1(self.arrays(py, args)?)?;
        let array = parameters::array_of(vec![given], &self.result)?;
        Scalar::from_array(array.as_ref(), 0).map_err(|error| unfit(error.to_string()))
    }

    fn arrays<'py>(&self, py: Python<'py>, args: &[ArrayRef]) -> PyResult<Bound<'py, PyTuple>> {
        let arrays = args.iter().map(|array| Bound::new(py, ArrowArray(array.clone())));
        let arrays = PyList::new(py, arrays.collect::<PyResult<Vec<_>>>()?)?;
        let arrays = self.adapter.bind(py).call1((arrays,))?;
        Ok(arrays.cast_into::<PyTuple>()?)
    }
}
