//! Arrow data across the border, by the Arrow C data interface in PyCapsules: no value is copied.
//!
//! Invariant: what is taken out of a capsule is moved out, so that the capsule's own release does nothing; what is put
//! into one is released by whoever takes it or, if nobody does, with the capsule.
//! Next: `inputs.rs`, `rows.rs`.

#![expect(unsafe_code, reason = "the C data interface is pointers")]

use std::ffi::CStr;

use arrow::{
    array::{Array, ArrayRef, RecordBatch, RecordBatchReader, StructArray, make_array},
    datatypes::{DataType, Field, SchemaRef},
    ffi::{FFI_ArrowArray, FFI_ArrowSchema, from_ffi, to_ffi},
    ffi_stream::{ArrowArrayStreamReader, FFI_ArrowArrayStream},
};
use pyo3::{
    prelude::*,
    types::{PyCapsule, PyTuple},
};

use crate::errors::{InterfaceError, unfit};

const SCHEMA: &CStr = c"arrow_schema";
const ARRAY: &CStr = c"arrow_array";
const STREAM: &CStr = c"arrow_array_stream";

fn not_a(what: &CStr) -> PyErr {
    InterfaceError::new_err(format!("not a capsule of {}", what.to_string_lossy()))
}

fn pointer<T>(capsule: &Bound<'_, PyAny>, name: &CStr) -> PyResult<*mut T> {
    let capsule = capsule.cast::<PyCapsule>().map_err(|_| not_a(name))?;
    let pointer = capsule.pointer_checked(Some(name)).map_err(|_| not_a(name))?;
    Ok(pointer.cast().as_ptr())
}

/// The reader of a stream that an object gives; reading it takes no lock of the interpreter unless the producer does.
pub(crate) fn take_stream(capsule: &Bound<'_, PyAny>) -> PyResult<ArrowArrayStreamReader> {
    let stream = pointer::<FFI_ArrowArrayStream>(capsule, STREAM)?;
    // SAFETY: a capsule of that name holds a stream, valid while the capsule is; moving it out leaves an empty one.
    let stream = unsafe { FFI_ArrowArrayStream::from_raw(stream) };
    ArrowArrayStreamReader::try_new(stream).map_err(|error| unfit(error.to_string()))
}

/// The array of a pair of capsules.
pub(crate) fn take_array(pair: &Bound<'_, PyAny>) -> PyResult<(ArrayRef, Field)> {
    let (schema, array) = pair.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>()?;
    let (schema, array) =
        (pointer::<FFI_ArrowSchema>(&schema, SCHEMA)?, pointer::<FFI_ArrowArray>(&array, ARRAY)?);
    // SAFETY: capsules of these names hold a schema and an array, valid while the capsules are. The array is moved out,
    // the schema only read; that the array is of the schema is what the producer promises.
    let (data, field) = unsafe {
        let array = FFI_ArrowArray::from_raw(array);
        (from_ffi(array, &*schema), Field::try_from(&*schema))
    };
    let data = data.map_err(|error| unfit(error.to_string()))?;
    Ok((make_array(data), field.map_err(|error| unfit(error.to_string()))?))
}

/// The type of a schema's capsule.
pub(crate) fn take_type(capsule: &Bound<'_, PyAny>) -> PyResult<DataType> {
    let schema = pointer::<FFI_ArrowSchema>(capsule, SCHEMA)?;
    // SAFETY: a capsule of that name holds a schema, valid while the capsule is; it is only read.
    let ty = unsafe { DataType::try_from(&*schema) };
    ty.map_err(|error| unfit(error.to_string()))
}

/// A stream as a capsule.
pub(crate) fn give_stream<'py>(
    py: Python<'py>,
    reader: Box<dyn RecordBatchReader + Send>,
) -> PyResult<Bound<'py, PyCapsule>> {
    PyCapsule::new_with_value(py, FFI_ArrowArrayStream::new(reader), STREAM)
}

/// A schema as a capsule.
pub(crate) fn give_schema<'py>(
    py: Python<'py>,
    schema: &SchemaRef,
) -> PyResult<Bound<'py, PyCapsule>> {
    let schema = FFI_ArrowSchema::try_from(schema.as_ref());
    PyCapsule::new_with_value(py, schema.map_err(|error| unfit(error.to_string()))?, SCHEMA)
}

/// An Arrow array for whoever speaks the Arrow C data interface: `pyarrow.array(this)`.
#[pyclass(frozen, module = "stoadb")]
pub(crate) struct ArrowArray(pub(crate) ArrayRef);

#[pymethods]
impl ArrowArray {
    #[pyo3(signature = (requested_schema = None))]
    fn __arrow_c_array__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        // A wish that need not be granted.
        let _ = requested_schema;
        let (array, schema) =
            to_ffi(&self.0.to_data()).map_err(|error| unfit(error.to_string()))?;
        let schema = PyCapsule::new_with_value(py, schema, SCHEMA)?;
        let array = PyCapsule::new_with_value(py, array, ARRAY)?;
        PyTuple::new(py, [schema, array])
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }
}

/// The batch of an array of structs; an array of anything else is a batch of one column.
pub(crate) fn batch_of(array: ArrayRef, field: &Field) -> PyResult<RecordBatch> {
    if let Some(rows) = array.as_any().downcast_ref::<StructArray>()
        && rows.null_count() == 0
    {
        return Ok(RecordBatch::from(rows));
    }
    let name = if field.name().is_empty() { "value" } else { field.name() };
    RecordBatch::try_from_iter_with_nullable([(name, array, true)])
        .map_err(|error| unfit(error.to_string()))
}
