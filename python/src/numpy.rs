//! NumPy arrays, by the array interface: borrowed as Arrow arrays, and lent as what NumPy makes arrays of.
//!
//! Invariants: numbers are neither copied nor looked at, but for times, whose NaT becomes NULL, and booleans, which NumPy
//! keeps in bytes and Arrow in bits; an array lent is read-only where others may read the same memory.
//! Next: `inputs.rs`, `rows.rs`.

#![expect(unsafe_code, reason = "the array interface gives addresses")]

use std::{panic::RefUnwindSafe, ptr::NonNull, sync::Arc};

use arrow::{
    array::{Array, ArrayData, ArrayRef, AsArray, BooleanArray, make_array},
    buffer::{BooleanBuffer, Buffer, NullBuffer},
    datatypes::{DataType, Int64Type, TimeUnit},
};
use pyo3::{prelude::*, types::PyDict};

use crate::errors::unfit;

/// Keeps the Python object whose memory is read.
struct Owner {
    _object: Py<PyAny>,
}

impl RefUnwindSafe for Owner {}

/// The values of a NumPy array of one dimension and in one piece as an Arrow array.
///
/// # Errors
/// For other arrays, and for types that are not numbers, booleans or times.
pub(crate) fn borrow(array: &Bound<'_, PyAny>) -> PyResult<ArrayRef> {
    let interface = array.getattr("__array_interface__")?;
    let interface = interface.cast::<PyDict>()?;
    let item = |name: &str| {
        let item = interface.get_item(name)?;
        item.ok_or_else(|| unfit(format!("the array interface has no {name}")))
    };
    let shape: Vec<usize> = item("shape")?.extract()?;
    let typestr: String = item("typestr")?.extract()?;
    let (address, _read_only): (usize, bool) = item("data")?.extract()?;
    let strided = interface.get_item("strides")?.is_some_and(|strides| !strides.is_none());
    let &[rows] = shape.as_slice() else { return Err(unfit("the array has not one dimension")) };
    let Some((ty, width)) = arrow_type(&typestr) else {
        return Err(unfit(format!("arrays of type '{typestr}' cannot be read in place")));
    };
    if strided && rows > 1 {
        return Err(unfit("the array does not lie in one piece"));
    }
    let bytes = rows.checked_mul(width).ok_or_else(|| unfit("the array is too large"))?;
    if bytes == 0 {
        return Ok(arrow::array::new_empty_array(&ty));
    }
    if !address.is_multiple_of(width) {
        return Err(unfit("the array does not lie at a multiple of its values' size"));
    }
    let pointer =
        NonNull::new(address as *mut u8).ok_or_else(|| unfit("the array lies nowhere"))?;
    let owner = Arc::new(Owner { _object: array.clone().unbind() });
    // SAFETY: the array interface promises that many bytes at the address while the object is alive, which the owner
    // keeps it. That nobody writes there during a query is the caller's promise, in the package's documentation.
    let buffer = unsafe { Buffer::from_custom_allocation(pointer, bytes, owner) };
    if ty == DataType::Boolean {
        let bits = BooleanBuffer::collect_bool(rows, |at| buffer[at] != 0);
        return Ok(Arc::new(BooleanArray::new(bits, None)));
    }
    let nulls = is_time(&ty).then(|| not_a_time(&buffer, rows)).flatten();
    let data = ArrayData::builder(ty).len(rows).add_buffer(buffer).nulls(nulls).build();
    Ok(make_array(data.map_err(|error| unfit(error.to_string()))?))
}

fn is_time(ty: &DataType) -> bool {
    matches!(ty, DataType::Timestamp(..) | DataType::Duration(_))
}

/// Which of the times are; `None` when all are.
fn not_a_time(buffer: &Buffer, rows: usize) -> Option<NullBuffer> {
    let times: &[i64] = buffer.typed_data();
    if !times.contains(&i64::MIN) {
        return None;
    }
    let valid = BooleanBuffer::collect_bool(rows, |at| times[at] != i64::MIN);
    Some(NullBuffer::new(valid))
}

/// The Arrow type of a NumPy type of this machine's byte order, and the bytes of a value.
fn arrow_type(typestr: &str) -> Option<(DataType, usize)> {
    use DataType as D;
    let native = if cfg!(target_endian = "little") { '<' } else { '>' };
    let mut chars = typestr.chars();
    if !chars.next().is_some_and(|order| order == native || order == '|') {
        return None;
    }
    let unit = |text: &str| {
        Some(match text {
            "8[s]" => TimeUnit::Second,
            "8[ms]" => TimeUnit::Millisecond,
            "8[us]" => TimeUnit::Microsecond,
            "8[ns]" => TimeUnit::Nanosecond,
            _ => return None,
        })
    };
    Some(match chars.as_str() {
        "b1" => (D::Boolean, 1),
        "i1" => (D::Int8, 1),
        "i2" => (D::Int16, 2),
        "i4" => (D::Int32, 4),
        "i8" => (D::Int64, 8),
        "u1" => (D::UInt8, 1),
        "u2" => (D::UInt16, 2),
        "u4" => (D::UInt32, 4),
        "u8" => (D::UInt64, 8),
        "f2" => (D::Float16, 2),
        "f4" => (D::Float32, 4),
        "f8" => (D::Float64, 8),
        other => match other.split_at_checked(1)? {
            ("M", rest) => (D::Timestamp(unit(rest)?, None), 8),
            ("m", rest) => (D::Duration(unit(rest)?), 8),
            _ => return None,
        },
    })
}

/// Values in one piece of memory, for `numpy.asarray(this)`.
#[pyclass(frozen, module = "stoadb")]
pub(crate) struct Values {
    buffer: Buffer,
    rows: usize,
    typestr: String,
    read_only: bool,
}

#[pymethods]
impl Values {
    #[getter]
    fn __array_interface__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let interface = PyDict::new(py);
        interface.set_item("version", 3)?;
        interface.set_item("typestr", &self.typestr)?;
        interface.set_item("shape", (self.rows,))?;
        interface.set_item("data", (self.buffer.as_ptr() as usize, self.read_only))?;
        Ok(interface)
    }
}

/// Lends the values of an array, and which of them are NULL if any is; `None` for types that NumPy has no numbers for.
/// NULL among times is NaT and not told.
pub(crate) fn lend(array: &ArrayRef, shared: bool) -> Option<(Values, Option<Values>)> {
    use DataType as D;
    let order = if cfg!(target_endian = "little") { '<' } else { '>' };
    let unit = |unit: &TimeUnit| match unit {
        TimeUnit::Second => "s",
        TimeUnit::Millisecond => "ms",
        TimeUnit::Microsecond => "us",
        TimeUnit::Nanosecond => "ns",
    };
    let typestr = match array.data_type() {
        D::Boolean => "|b1".to_owned(),
        D::Int8 => "|i1".to_owned(),
        D::UInt8 => "|u1".to_owned(),
        D::Int16 => format!("{order}i2"),
        D::Int32 => format!("{order}i4"),
        D::Int64 => format!("{order}i8"),
        D::UInt16 => format!("{order}u2"),
        D::UInt32 => format!("{order}u4"),
        D::UInt64 => format!("{order}u8"),
        D::Float32 => format!("{order}f4"),
        D::Float64 | D::Decimal128(..) => format!("{order}f8"),
        D::Timestamp(of, _) => format!("{order}M8[{}]", unit(of)),
        D::Duration(of) => format!("{order}m8[{}]", unit(of)),
        D::Date32 => format!("{order}M8[D]"),
        _ => return None,
    };
    let (rows, nulls) = (array.len(), array.nulls().filter(|nulls| nulls.null_count() > 0));
    let values = |buffer: Buffer, typestr: &str, read_only| Values {
        buffer,
        rows,
        typestr: typestr.to_owned(),
        read_only,
    };
    let bytes = |bit: &dyn Fn(usize) -> bool| {
        Buffer::from_vec((0..rows).map(|at| u8::from(bit(at))).collect::<Vec<u8>>())
    };
    let mask = || {
        let nulls = nulls?;
        Some(values(bytes(&|at| nulls.is_null(at)), "|b1", false))
    };
    match array.data_type() {
        D::Boolean => {
            let bits = array.as_boolean();
            Some((values(bytes(&|at| bits.value(at)), &typestr, false), mask()))
        }
        D::Decimal128(..) => {
            let doubles = arrow::compute::cast(array, &D::Float64).ok()?;
            let (doubles, _) = lend(&doubles, false)?;
            Some((doubles, mask()))
        }
        D::Date32 => {
            let days = arrow::compute::cast(array, &D::Int32).ok()?;
            let days = arrow::compute::cast(&days, &D::Int64).ok()?;
            Some((values(with_nat(&days, nulls), &typestr, false), None))
        }
        ty if is_time(ty) && nulls.is_some() => {
            let ticks = arrow::compute::cast(array, &D::Int64).ok()?;
            Some((values(with_nat(&ticks, nulls), &typestr, false), None))
        }
        ty => {
            let width = ty.primitive_width()?;
            let data = array.to_data();
            let buffer = data.buffers()[0].slice_with_length(data.offset() * width, rows * width);
            Some((values(buffer, &typestr, shared), mask()))
        }
    }
}

/// Numbers of ticks, with NumPy's "not a time" where there is NULL.
fn with_nat(ticks: &ArrayRef, nulls: Option<&NullBuffer>) -> Buffer {
    let ticks = ticks.as_primitive::<Int64Type>().values();
    let tick = |(at, &tick): (usize, &i64)| match nulls {
        Some(nulls) if nulls.is_null(at) => i64::MIN,
        _ => tick,
    };
    Buffer::from_vec(ticks.iter().enumerate().map(tick).collect::<Vec<i64>>())
}
