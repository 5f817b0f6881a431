//! Python's data as relations: Arrow streams and arrays, NumPy arrays and lists.
//!
//! Invariant: Arrow data and NumPy numbers are read where they lie; an input holds what it reads from, so that it may be
//! deleted in Python meanwhile.
//! Next: `capsule.rs`, `numpy.rs`.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, RecordBatch, RecordBatchReader},
    datatypes::SchemaRef,
};
use pyo3::{
    prelude::*,
    types::{PyDict, PyList, PyString},
};
use stoadb::{BatchTable, Relation};

use crate::{capsule, errors, errors::unfit, numpy, parameters};

/// Data that a query can read as a table.
#[pyclass(frozen, module = "stoadb")]
pub(crate) struct Input {
    pub(crate) relation: Arc<dyn Relation>,
    schema: SchemaRef,
    /// Where the values of each column of each batch lie.
    addresses: Vec<(String, Vec<usize>)>,
    rows: usize,
}

impl Input {
    fn new(py: Python<'_>, schema: SchemaRef, batches: Vec<RecordBatch>) -> PyResult<Self> {
        let address = |array: &ArrayRef| {
            let data = array.to_data();
            data.buffers().first().map_or(0, |buffer| buffer.as_ptr() as usize)
        };
        let column = |(at, field): (usize, &Arc<arrow::datatypes::Field>)| {
            let addresses = batches.iter().map(|batch| address(batch.column(at))).collect();
            (field.name().clone(), addresses)
        };
        let addresses = schema.fields().iter().enumerate().map(column).collect();
        let rows = batches.iter().map(RecordBatch::num_rows).sum();
        let relation = BatchTable::new(Arc::clone(&schema), batches);
        let relation = relation.map_err(|error| errors::exception(py, &error.into(), None))?;
        Ok(Self { relation, schema, addresses, rows })
    }
}

#[pymethods]
impl Input {
    /// What a capsule of an Arrow stream gives, all of it.
    #[staticmethod]
    fn of_stream(py: Python<'_>, capsule: &Bound<'_, PyAny>) -> PyResult<Self> {
        let reader = capsule::take_stream(capsule)?;
        let schema = reader.schema();
        let batches = py.detach(|| reader.collect::<Result<Vec<_>, _>>());
        Self::new(py, schema, batches.map_err(|error| unfit(error.to_string()))?)
    }

    /// What a pair of capsules of an Arrow array gives: the columns of structs, or one column.
    #[staticmethod]
    fn of_array(py: Python<'_>, pair: &Bound<'_, PyAny>) -> PyResult<Self> {
        let (array, field) = capsule::take_array(pair)?;
        let batch = capsule::batch_of(array, &field)?;
        Self::new(py, batch.schema(), vec![batch])
    }

    /// Columns by name: NumPy arrays of one dimension that lie in one piece, lists, or what has `__arrow_c_array__`.
    #[staticmethod]
    fn of_columns(py: Python<'_>, columns: &Bound<'_, PyDict>) -> PyResult<Self> {
        let mut arrays = Vec::new();
        for (name, values) in columns {
            let name = name.cast::<PyString>()?.to_string();
            let array = column(&values).map_err(|error| {
                let message = format!("column '{name}': {}", error.value(py));
                let outer = unfit(message);
                outer.set_cause(py, Some(error));
                outer
            })?;
            arrays.push((name, array, true));
        }
        if arrays.is_empty() {
            return Err(unfit("a table has at least one column"));
        }
        let rows = arrays[0].1.len();
        if let Some((name, array, _)) = arrays.iter().find(|(_, array, _)| array.len() != rows) {
            let first = &arrays[0].0;
            return Err(unfit(format!(
                "column '{name}' has {} values, column '{first}' has {rows}",
                array.len()
            )));
        }
        let batch = RecordBatch::try_from_iter_with_nullable(arrays);
        let batch = batch.map_err(|error| unfit(error.to_string()))?;
        Self::new(py, batch.schema(), vec![batch])
    }

    /// The names of the columns.
    #[getter]
    fn columns(&self) -> Vec<String> {
        self.schema.fields().iter().map(|field| field.name().clone()).collect()
    }

    /// Where the values of each column lie in memory, one address for each batch: for whoever wants to see that nothing
    /// was copied.
    #[getter]
    fn addresses<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let addresses = PyDict::new(py);
        for (name, batches) in &self.addresses {
            addresses.set_item(name, batches.clone())?;
        }
        Ok(addresses)
    }

    fn __len__(&self) -> usize {
        self.rows
    }
}

/// A column of Python's values.
///
/// # Errors
/// When they are of no type that a column has.
pub(crate) fn column(values: &Bound<'_, PyAny>) -> PyResult<ArrayRef> {
    if let Ok(give) = values.getattr("__arrow_c_array__") {
        return Ok(capsule::take_array(&give.call0()?)?.0);
    }
    if values.hasattr("__array_interface__")? {
        return numpy::borrow(values);
    }
    let values = values.cast::<PyList>()?;
    parameters::array(values.iter())
}
