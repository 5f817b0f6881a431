//! A connection: runs statements, knows of Python's data and functions.
//!
//! Invariants: statements run without the interpreter's lock; what a statement reads of Python's variables is known to it
//! alone.
//! Next: `rows.rs`, `inputs.rs`, `functions.rs`.

use std::{
    process,
    sync::{Arc, Mutex, PoisonError},
};

use pyo3::{
    prelude::*,
    types::{PyDict, PyMapping, PySequence, PyString},
};
use stoadb::{
    Connection as Inner, Database, Error as StoaError, QueryResult, Relation, Scalar, Statement,
};

use crate::{
    capsule, errors,
    errors::{InterfaceError, ProgrammingError},
    functions,
    inputs::Input,
    parameters,
    rows::{Rows, Source},
    waiting,
};

/// A connection to a database.
#[pyclass(frozen, module = "stoadb")]
pub(crate) struct Connection {
    inner: Mutex<Option<Arc<Inner>>>,
    maker: u32,
}

impl Connection {
    fn of(inner: Inner) -> Self {
        Self { inner: Mutex::new(Some(Arc::new(inner))), maker: process::id() }
    }

    fn open(&self) -> PyResult<Arc<Inner>> {
        waiting::check_process(self.maker, "connection")?;
        waiting::check_outside_of_functions()?;
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.clone().ok_or_else(|| ProgrammingError::new_err("the connection is closed"))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let inner = self.inner.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        waiting::let_go(self.maker, inner);
    }
}

/// The values of a statement's parameters.
enum Parameters {
    Numbered(Vec<Scalar>),
    Named(Vec<(String, Scalar)>),
}

impl Parameters {
    fn of(given: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        let Some(given) = given else { return Ok(Self::Numbered(Vec::new())) };
        if let Ok(named) = given.cast::<PyMapping>() {
            let item = |item: Bound<'_, PyAny>| {
                let (name, value) = item.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>()?;
                let name = name
                    .cast::<PyString>()
                    .map_err(|_| InterfaceError::new_err("the names of parameters are texts"))?;
                let scalar = parameters::scalar(&value)
                    .map_err(|error| named_error(given.py(), &format!("${name}"), error))?;
                Ok((name.to_string(), scalar))
            };
            return Ok(Self::Named(named.items()?.iter().map(item).collect::<PyResult<_>>()?));
        }
        let is_text = given.is_instance_of::<PyString>();
        if is_text || given.cast::<PySequence>().is_err() {
            let message = "parameters are given as a list, a tuple or a dict";
            return Err(InterfaceError::new_err(message));
        }
        let scalar = |(at, value): (usize, PyResult<Bound<'_, PyAny>>)| {
            parameters::scalar(&value?)
                .map_err(|error| named_error(given.py(), &format!("${}", at + 1), error))
        };
        Ok(Self::Numbered(given.try_iter()?.enumerate().map(scalar).collect::<PyResult<_>>()?))
    }

    fn run(&self, statement: &Statement<'_>) -> Result<QueryResult, StoaError> {
        match self {
            Self::Numbered(values) => statement.query(values),
            Self::Named(values) => {
                let values: Vec<_> =
                    values.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
                statement.query_named(&values)
            }
        }
    }

    /// Refuses values that no parameter of any statement is for.
    fn check(&self, statements: &[Statement<'_>]) -> PyResult<()> {
        match self {
            Self::Numbered(values) => {
                let most = statements.iter().map(Statement::parameters).max().unwrap_or(0);
                if values.len() > most {
                    let given = values.len();
                    return Err(ProgrammingError::new_err(format!(
                        "the statement has {most} parameters, {given} values were given"
                    )));
                }
                if most > 0 && !values.is_empty() {
                    let names: Vec<_> =
                        statements.iter().flat_map(|s| s.parameter_names()).collect();
                    if let Some(name) = names.first() {
                        return Err(ProgrammingError::new_err(format!(
                            "the parameter ${name} has a name: give the values as a dict"
                        )));
                    }
                }
                Ok(())
            }
            Self::Named(values) => {
                let known = |name: &str| {
                    let name = name.to_lowercase();
                    statements.iter().any(|s| s.parameter_names().contains(&name))
                };
                match values.iter().find(|(name, _)| !known(name)) {
                    Some((name, _)) => Err(ProgrammingError::new_err(format!(
                        "the statement has no parameter ${name}"
                    ))),
                    None => Ok(()),
                }
            }
        }
    }
}

fn named_error(py: Python<'_>, name: &str, error: PyErr) -> PyErr {
    let message = format!("parameter {name}: {}", error.value(py));
    let outer = PyErr::from_type(error.get_type(py), message);
    outer.set_cause(py, Some(error));
    outer
}

/// Relations that are known while a statement is started.
struct Known<'a> {
    connection: &'a Inner,
    names: Vec<String>,
}

impl<'a> Known<'a> {
    fn register(
        connection: &'a Inner,
        inputs: Vec<(String, Arc<dyn Relation>)>,
    ) -> Result<Self, StoaError> {
        let mut known = Self { connection, names: Vec::new() };
        for (name, relation) in inputs {
            connection.register_temporary(&name, relation)?;
            known.names.push(name);
        }
        Ok(known)
    }
}

impl Drop for Known<'_> {
    fn drop(&mut self) {
        for name in &self.names {
            // A statement may have dropped it, or have put something else behind the name.
            let _ = self.connection.unregister(name, true);
        }
    }
}

#[pymethods]
impl Connection {
    /// A database in memory or, with a path, a saved one.
    #[new]
    #[pyo3(signature = (path = None))]
    fn new(py: Python<'_>, path: Option<std::path::PathBuf>) -> PyResult<Self> {
        waiting::check_outside_of_functions()?;
        let database = py.detach(|| match path {
            Some(path) => Database::open(path),
            None => Ok(Database::open_in_memory()),
        });
        let database = database.map_err(|error| errors::exception(py, &error, None))?;
        Ok(Self::of(database.connect()))
    }

    /// Another connection to the same database.
    fn duplicate(&self) -> PyResult<Self> {
        Ok(Self::of(self.open()?.database().connect()))
    }

    /// Runs the statements of a text and gives what the last one gives.
    #[pyo3(signature = (sql, parameters = None, inputs = None, bar = None))]
    fn run(
        &self,
        py: Python<'_>,
        sql: &str,
        parameters: Option<&Bound<'_, PyAny>>,
        inputs: Option<&Bound<'_, PyDict>>,
        bar: Option<Py<PyAny>>,
    ) -> PyResult<Rows> {
        let connection = self.open()?;
        let failed = |error: StoaError| errors::exception(py, &error, Some(sql));
        let parameters = Parameters::of(parameters)?;
        let statements = py.detach(|| connection.remembered(sql)).map_err(failed)?;
        parameters.check(&statements)?;
        let mut relations = Vec::new();
        for (name, input) in inputs.into_iter().flatten() {
            let relation = Arc::clone(&input.cast::<Input>()?.get().relation);
            relations.push((name.extract()?, relation));
        }
        let known = py.detach(|| Known::register(&connection, relations)).map_err(failed)?;
        let text: Arc<str> = sql.into();
        let mut last = None;
        for statement in &statements {
            if let Some(before) = last.replace(run(py, &connection, statement, &parameters, sql)?) {
                let source = Source::new(before, Arc::clone(&text), None);
                while source.next(py)?.is_some() {}
            }
        }
        py.detach(|| drop(known));
        let last = match last {
            Some(last) => last,
            None => connection.query("").map_err(failed)?,
        };
        Ok(Rows::new(last, text, bar))
    }

    /// Runs a statement once for each of the parameters, all or none of them; says how many rows were changed.
    fn run_many(&self, py: Python<'_>, sql: &str, many: &Bound<'_, PyAny>) -> PyResult<u64> {
        let connection = self.open()?;
        let failed = |error: StoaError| errors::exception(py, &error, Some(sql));
        let statement = py.detach(|| connection.prepare(sql)).map_err(failed)?;
        let many = many.try_iter()?.map(|given| {
            let parameters = Parameters::of(Some(&given?))?;
            parameters.check(std::slice::from_ref(&statement))?;
            Ok(parameters)
        });
        let many = many.collect::<PyResult<Vec<_>>>()?;
        let run = || {
            let own = !connection.is_in_transaction();
            if own {
                connection.execute("BEGIN")?;
            }
            let one = |parameters: &Parameters| {
                let mut rows = parameters.run(&statement)?;
                let changed = rows.rows_changed();
                rows.try_for_each(|batch| batch.map(drop))?;
                Ok(changed)
            };
            let done = many.iter().map(one).sum::<Result<u64, StoaError>>();
            if own {
                connection.execute(if done.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
            }
            done
        };
        waiting::on_another_thread(py, &connection, run)?.map_err(failed)
    }

    /// The names that a text reads from and that the database does not know.
    fn unknown_names(&self, py: Python<'_>, sql: &str) -> PyResult<Vec<String>> {
        let connection = self.open()?;
        let names = py.detach(|| {
            let statements = connection.remembered(sql)?;
            Ok(statements.iter().flat_map(Statement::unknown_names).collect())
        });
        names.map_err(|error: StoaError| errors::exception(py, &error, Some(sql)))
    }

    /// Whether a text is one query: it has rows and changes nothing.
    fn is_query(&self, py: Python<'_>, sql: &str) -> PyResult<bool> {
        let connection = self.open()?;
        let statements = py.detach(|| connection.remembered(sql));
        let statements = statements.map_err(|error| errors::exception(py, &error, Some(sql)))?;
        Ok(matches!(statements.as_slice(), [one] if one.is_query()))
    }

    /// Makes an input readable as a table.
    fn register(&self, py: Python<'_>, name: &str, input: &Bound<'_, Input>) -> PyResult<()> {
        let (connection, relation) = (self.open()?, Arc::clone(&input.get().relation));
        let done = py.detach(|| connection.register_relation(name, relation));
        done.map_err(|error| errors::exception(py, &error, None))
    }

    /// Takes back what `register` did; false when there is nothing of the name.
    fn unregister(&self, py: Python<'_>, name: &str) -> PyResult<bool> {
        let connection = self.open()?;
        let done = py.detach(|| connection.unregister(name, false));
        done.map_err(|error| errors::exception(py, &error, None))
    }

    /// Makes a function known to all connections of the database.
    fn create_function(
        &self,
        py: Python<'_>,
        name: &str,
        function: Py<PyAny>,
        kind: &str,
        arguments: Vec<String>,
        result: &str,
    ) -> PyResult<()> {
        let connection = self.open()?;
        let kind = functions::Kind::of(kind)?;
        let ty = |name: &str| functions::type_of(py, &connection, name);
        let arguments = arguments.iter().map(|name| ty(name)).collect::<PyResult<Vec<_>>>()?;
        let result = ty(result)?;
        functions::register(py, &connection, name, function, kind, &arguments, result)
    }

    /// The SQL name of the type of a capsule of an Arrow schema.
    #[staticmethod]
    fn type_name(capsule: &Bound<'_, PyAny>) -> PyResult<String> {
        Ok(stoadb::type_name(&capsule::take_type(capsule)?))
    }

    /// Cancels what the connection runs; the one method that does not wait for that.
    fn interrupt(&self) -> PyResult<()> {
        self.open()?.interrupt();
        Ok(())
    }

    /// Saves the database to a folder, over whatever database it holds if `replace`, and says how many tables and bytes
    /// were written.
    fn save(
        &self,
        py: Python<'_>,
        path: std::path::PathBuf,
        replace: bool,
    ) -> PyResult<(usize, u64)> {
        let connection = self.open()?;
        let database = connection.database();
        let saved =
            py.detach(|| if replace { database.save_over(path) } else { database.save(path) });
        let saved = saved.map_err(|error| errors::exception(py, &error, None))?;
        Ok((saved.tables, saved.bytes_written))
    }

    /// The folder that the database was opened from or first saved to.
    #[getter]
    fn folder(&self) -> PyResult<Option<std::path::PathBuf>> {
        Ok(self.open()?.database().folder())
    }

    /// Whether a transaction is open.
    #[getter]
    fn in_transaction(&self, py: Python<'_>) -> PyResult<bool> {
        let connection = self.open()?;
        Ok(py.detach(|| connection.is_in_transaction()))
    }

    /// Changes a setting.
    fn set(&self, py: Python<'_>, name: &str, value: &str) -> PyResult<()> {
        let connection = self.open()?;
        let done = py.detach(|| connection.set(name, value));
        done.map_err(|error| errors::exception(py, &error, None))
    }

    /// A setting's value as text.
    fn get(&self, py: Python<'_>, name: &str) -> PyResult<String> {
        let connection = self.open()?;
        let value = py.detach(|| connection.settings().get(name));
        value.map_err(|error| errors::exception(py, &error, None))
    }

    /// Closes the connection; the database goes with its last one. Rows that are being read go on.
    fn close(&self, py: Python<'_>) {
        if self.maker == process::id() {
            let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner).take();
            py.detach(|| drop(inner));
        }
    }

    /// Whether it is closed.
    #[getter]
    fn closed(&self) -> bool {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }
}

/// Starts a query, or runs another statement to its end.
fn run(
    py: Python<'_>,
    connection: &Inner,
    statement: &Statement<'_>,
    parameters: &Parameters,
    sql: &str,
) -> PyResult<QueryResult> {
    let done = match statement.is_query() {
        true => py.detach(|| parameters.run(statement)),
        false => waiting::on_another_thread(py, connection, || parameters.run(statement))?,
    };
    done.map_err(|error| errors::exception(py, &error, Some(sql)))
}
