//! What a statement gives: rows as Python values, NumPy arrays, or Arrow data.
//!
//! Invariants: every row is given once, whichever way it is asked for; rows are waited for without the interpreter's
//! lock, and a signal whose handler raises ends the query.
//! Next: `values.rs`, `numpy.rs`, `capsule.rs`.

use std::{
    process,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
    time::{Duration, Instant},
};

use arrow::{
    array::{Array, ArrayRef, RecordBatch, RecordBatchIterator, RecordBatchReader},
    compute::concat,
    datatypes::SchemaRef,
    error::ArrowError,
};
use pyo3::{
    prelude::*,
    types::{PyCapsule, PyList, PyTuple},
};
use stoadb::{Canceller, Progress, QueryResult};

use crate::{
    capsule, errors,
    errors::{InterfaceError, OperationalError, unfit},
    numpy, values, waiting,
};

/// From when on a progress bar is shown, and how often it moves.
const BAR_AFTER: Duration = Duration::from_secs(1);
const BAR_EVERY: Duration = Duration::from_millis(100);

/// A result that is read.
pub(crate) struct Source {
    schema: SchemaRef,
    sql: Arc<str>,
    /// There until the source is dropped.
    result: Mutex<Option<QueryResult>>,
    canceller: Option<Canceller>,
    progress: Option<Progress>,
    /// Called with the rows that scans gave and those that they hold, and with nothing at the end.
    bar: Option<Py<PyAny>>,
    maker: u32,
}

impl Source {
    pub(crate) fn new(result: QueryResult, sql: Arc<str>, bar: Option<Py<PyAny>>) -> Self {
        Self {
            schema: Arc::clone(result.schema()),
            sql,
            canceller: result.canceller(),
            progress: result.progress(),
            result: Mutex::new(Some(result)),
            bar,
            maker: process::id(),
        }
    }

    /// The next batch; looks after signals while it waits.
    ///
    /// # Errors
    /// What the query raises, and what a signal's handler raises, which ends the query.
    pub(crate) fn next(&self, py: Python<'_>) -> PyResult<Option<RecordBatch>> {
        waiting::check_process(self.maker, "result")?;
        waiting::check_outside_of_functions()?;
        let (start, mut shown) = (Instant::now(), None::<Instant>);
        let item = loop {
            let item = py.detach(|| {
                let mut result = self.result.lock().unwrap_or_else(PoisonError::into_inner);
                result.as_mut().map_or(Poll::Ready(None), |rows| rows.next_within(waiting::TURN))
            });
            let Poll::Pending = item else { break item };
            py.check_signals().inspect_err(|_| self.cancel())?;
            if self.bar.is_some()
                && start.elapsed() > BAR_AFTER
                && shown.is_none_or(|last| last.elapsed() > BAR_EVERY)
            {
                shown = Some(Instant::now());
                self.show(py).inspect_err(|_| self.cancel())?;
            }
        };
        if let (Some(bar), true) = (&self.bar, shown.is_some()) {
            bar.call0(py)?;
        }
        match item {
            Poll::Ready(Some(Ok(batch))) => Ok(Some(batch)),
            Poll::Ready(Some(Err(error))) => Err(errors::exception(py, &error, Some(&self.sql))),
            Poll::Ready(None) | Poll::Pending => Ok(None),
        }
    }

    fn show(&self, py: Python<'_>) -> PyResult<()> {
        if let (Some(bar), Some(progress)) = (&self.bar, &self.progress) {
            bar.call1(py, progress.rows())?;
        }
        Ok(())
    }

    fn cancel(&self) {
        if let Some(canceller) = &self.canceller {
            canceller.cancel();
        }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        let result = self.result.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        waiting::let_go(self.maker, result);
    }
}

/// The rows of a statement, each given once.
#[pyclass(frozen, module = "stoadb")]
pub(crate) struct Rows {
    source: Arc<Source>,
    changed: u64,
    /// The rest of a batch of which rows were given one by one.
    rest: Mutex<Option<RecordBatch>>,
}

impl Rows {
    pub(crate) fn new(result: QueryResult, sql: Arc<str>, bar: Option<Py<PyAny>>) -> Self {
        let changed = result.rows_changed();
        Self { source: Arc::new(Source::new(result, sql, bar)), changed, rest: Mutex::default() }
    }

    /// One thread at a time may read; a second one must not wait with the interpreter's lock in its hand.
    fn rest(&self) -> PyResult<MutexGuard<'_, Option<RecordBatch>>> {
        self.rest
            .try_lock()
            .map_err(|_| InterfaceError::new_err("another thread is reading these rows"))
    }

    /// All batches that are left.
    fn collect(&self, py: Python<'_>) -> PyResult<Vec<RecordBatch>> {
        let mut rest = self.rest()?;
        let mut batches: Vec<_> = rest.take().into_iter().collect();
        while let Some(batch) = self.source.next(py)? {
            batches.push(batch);
        }
        Ok(batches)
    }
}

#[pymethods]
impl Rows {
    /// The names of the columns, which may repeat.
    #[getter]
    fn columns(&self) -> Vec<String> {
        self.source.schema.fields().iter().map(|field| field.name().clone()).collect()
    }

    /// The SQL types of the columns.
    #[getter]
    fn types(&self) -> Vec<String> {
        let types = self.source.schema.fields().iter();
        types.map(|field| stoadb::type_name(field.data_type())).collect()
    }

    /// How many rows the statement inserted, updated or deleted.
    #[getter]
    fn rows_changed(&self) -> u64 {
        self.changed
    }

    /// Bytes of stored data that scans have touched so far; `None` for statements that are not queries.
    #[getter]
    fn bytes_touched(&self) -> Option<u64> {
        self.source.progress.as_ref().map(Progress::bytes_touched)
    }

    /// At most that many of the rows that are left, as tuples; all without a number.
    #[pyo3(signature = (count = None))]
    fn fetch<'py>(&self, py: Python<'py>, count: Option<usize>) -> PyResult<Bound<'py, PyList>> {
        let list = PyList::empty(py);
        let mut left = count.unwrap_or(usize::MAX);
        let mut rest = self.rest()?;
        while left > 0 {
            let batch = match rest.take() {
                Some(batch) => batch,
                None => match self.source.next(py)? {
                    Some(batch) => batch,
                    None => break,
                },
            };
            let rows = batch.num_rows().min(left);
            let given = batch.slice(0, rows);
            if rows < batch.num_rows() {
                *rest = Some(batch.slice(rows, batch.num_rows() - rows));
            }
            left -= rows;
            let columns = given.columns().iter().map(|array| values::column(py, array));
            let mut columns =
                columns.map(|column| Ok(column?.into_iter())).collect::<PyResult<Vec<_>>>()?;
            for _ in 0..rows {
                let row: Vec<_> = columns.iter_mut().filter_map(Iterator::next).collect();
                list.append(PyTuple::new(py, row)?)?;
            }
        }
        Ok(list)
    }

    /// All rows that are left, as a capsule of an Arrow stream. They are waited for.
    fn table<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        let batches = self.collect(py)?.into_iter().map(Ok);
        let reader = RecordBatchIterator::new(batches, Arc::clone(&self.source.schema));
        capsule::give_stream(py, Box::new(reader))
    }

    /// The rows that are left, as a capsule of an Arrow stream that computes them while it is read.
    fn stream<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        let reader = Reader { source: Arc::clone(&self.source), first: self.rest()?.take() };
        capsule::give_stream(py, Box::new(reader))
    }

    /// The columns' names and types, as a capsule of an Arrow schema.
    fn schema<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        capsule::give_schema(py, &self.source.schema)
    }

    /// The columns of all rows that are left: their names, their values (for `numpy.asarray`, or a list), and which of
    /// these are NULL, if any is and the values do not say it.
    fn arrays<'py>(&self, py: Python<'py>) -> PyResult<Vec<Column<'py>>> {
        let batches = self.collect(py)?;
        let shared = batches.len() == 1;
        let column = |at: usize| {
            let field = self.source.schema.field(at);
            let array = py.detach(|| whole(&batches, at, field.data_type()));
            let array = array.map_err(|error| unfit(error.to_string()))?;
            let name = field.name().clone();
            Ok(match py.detach(|| numpy::lend(&array, shared)) {
                Some((values, mask)) => {
                    let mask = mask.map(|mask| Bound::new(py, mask)).transpose()?;
                    (name, Bound::new(py, values)?.into_any(), mask)
                }
                None => (name, PyList::new(py, values::column(py, &array)?)?.into_any(), None),
            })
        };
        (0..self.source.schema.fields().len()).map(column).collect()
    }

    /// Ends the query; rows that are not given yet are lost.
    fn cancel(&self) {
        self.source.cancel();
    }
}

type Column<'py> = (String, Bound<'py, PyAny>, Option<Bound<'py, numpy::Values>>);

/// A column of all batches in one piece.
fn whole(
    batches: &[RecordBatch],
    column: usize,
    ty: &arrow::datatypes::DataType,
) -> Result<ArrayRef, ArrowError> {
    let arrays: Vec<&dyn Array> =
        batches.iter().map(|batch| batch.column(column).as_ref()).collect();
    match batches {
        [] => Ok(arrow::array::new_empty_array(ty)),
        [batch] => Ok(Arc::clone(batch.column(column))),
        _ => concat(&arrays),
    }
}

/// A stream that computes its batches while it is read, by whoever reads it.
struct Reader {
    source: Arc<Source>,
    first: Option<RecordBatch>,
}

impl Iterator for Reader {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(batch) = self.first.take() {
            return Some(Ok(batch));
        }
        // A reader that holds the interpreter's lock lets go of it in `Source::next`, so that functions written in Python
        // can run meanwhile.
        let item = Python::try_attach(|py| self.source.next(py));
        let ended = || Err(OperationalError::new_err("the interpreter has ended"));
        let item = item.unwrap_or_else(ended).transpose()?;
        Some(item.map_err(|error| ArrowError::ExternalError(Box::new(error))))
    }
}

impl RecordBatchReader for Reader {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.source.schema)
    }
}
