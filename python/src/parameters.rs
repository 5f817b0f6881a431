//! Python values as SQL values: parameters, and the columns of lists.
//!
//! Invariant: no value changes on the way: an integer that fits no SQL type, or a list of values of different types, is
//! refused.
//! Next: `values.rs`, the way back.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, BinaryViewArray, BooleanArray, Date32Array, Float64Array, Int64Array,
        IntervalMonthDayNanoArray, ListArray, NullArray, StringViewBuilder, StructArray,
        Time64MicrosecondArray, TimestampMicrosecondArray, UInt64Array, new_null_array,
    },
    buffer::OffsetBuffer,
    compute::{cast, concat},
    datatypes::{DataType, Field, Fields, IntervalMonthDayNano},
};
use pyo3::{
    prelude::*,
    types::{
        IntoPyDict, PyBool, PyByteArray, PyBytes, PyDict, PyFloat, PyInt, PyList, PyMapping,
        PyString, PyTuple,
    },
};
use stoadb::{LogicalType, Scalar};

use crate::errors::{InterfaceError, unfit};

fn from_array(array: ArrayRef) -> PyResult<Scalar> {
    let scalar = Scalar::from_array(array.as_ref(), 0);
    scalar.map_err(|error| unfit(error.to_string()))
}

/// A value of Python's as one of SQL's.
///
/// # Errors
/// `InterfaceError` for types without a counterpart, `DataError` for values out of range.
pub(crate) fn scalar(value: &Bound<'_, PyAny>) -> PyResult<Scalar> {
    if value.is_none() {
        return Ok(Scalar::null(LogicalType::Null));
    }
    if let Ok(value) = value.cast::<PyBool>() {
        return Ok(Scalar::boolean(value.is_true()));
    }
    if value.is_instance_of::<PyInt>() {
        return integer(value);
    }
    if let Ok(value) = value.cast::<PyFloat>() {
        return Ok(Scalar::float64(value.extract()?));
    }
    if let Ok(value) = value.cast::<PyString>() {
        return Ok(Scalar::text(&value.to_cow().map_err(|_| unfit("text that is not Unicode"))?));
    }
    if let Ok(value) = value.cast::<PyBytes>() {
        return blob(value.as_bytes());
    }
    if let Ok(value) = value.cast::<PyByteArray>() {
        return blob(&value.to_vec());
    }
    if let Ok(value) = value.cast::<PyDict>() {
        return structure(value);
    }
    if value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>() {
        let items = value.try_iter()?.collect::<PyResult<Vec<_>>>()?;
        return from_array(list(array(items.into_iter())?)?);
    }
    other(value)
}

fn integer(value: &Bound<'_, PyAny>) -> PyResult<Scalar> {
    if let Ok(value) = value.extract::<i64>() {
        return Ok(Scalar::int64(value));
    }
    if let Ok(value) = value.extract::<u64>() {
        return from_array(Arc::new(UInt64Array::from(vec![value])));
    }
    match value.extract::<i128>() {
        Ok(value) if value.unsigned_abs() < 10_u128.pow(38) => Ok(Scalar::decimal(value, 38, 0)),
        _ => Err(unfit("an integer of more than 38 digits")),
    }
}

fn blob(bytes: &[u8]) -> PyResult<Scalar> {
    from_array(Arc::new(BinaryViewArray::from_iter_values([bytes])))
}

fn list(items: ArrayRef) -> PyResult<ArrayRef> {
    let field = Arc::new(Field::new_list_field(items.data_type().clone(), true));
    let offsets = OffsetBuffer::from_lengths([items.len()]);
    let list = ListArray::try_new(field, offsets, items, None);
    Ok(Arc::new(list.map_err(|error| unfit(error.to_string()))?))
}

fn structure(value: &Bound<'_, PyDict>) -> PyResult<Scalar> {
    let (mut fields, mut arrays) = (Vec::new(), Vec::new());
    for (name, value) in value {
        let name = name.cast_into::<PyString>().map_err(|_| {
            InterfaceError::new_err("the keys of a dict that is a parameter are texts")
        })?;
        let value = scalar(&value)?;
        fields.push(Field::new(name.to_string(), value.ty().to_arrow(), true));
        arrays.push(Arc::clone(value.array()));
    }
    let fields = Fields::from(fields);
    let array = StructArray::try_new_with_length(fields, arrays, None, 1);
    from_array(Arc::new(array.map_err(|error| unfit(error.to_string()))?))
}

/// Values of classes of Python's library, by the names of these.
fn other(value: &Bound<'_, PyAny>) -> PyResult<Scalar> {
    let py = value.py();
    let is = |module: &str, class: &str| -> PyResult<bool> {
        value.is_instance(&py.import(module)?.getattr(class)?)
    };
    if is("decimal", "Decimal")? {
        return decimal(value);
    }
    // A datetime is a date, too.
    if is("datetime", "datetime")? {
        return timestamp(value);
    }
    if is("datetime", "date")? {
        let days: i32 = value.call_method0("toordinal")?.extract()?;
        return from_array(Arc::new(Date32Array::from(vec![days - EPOCH_ORDINAL])));
    }
    if is("datetime", "time")? {
        let part = |name: &str| value.getattr(name)?.extract::<i64>();
        let seconds = (part("hour")? * 60 + part("minute")?) * 60 + part("second")?;
        let micros = seconds * 1_000_000 + part("microsecond")?;
        return from_array(Arc::new(Time64MicrosecondArray::from(vec![micros])));
    }
    if is("datetime", "timedelta")? {
        let micros = micros_of(value)?;
        let nanos = micros.checked_mul(1000).ok_or_else(|| unfit("the timedelta is too long"))?;
        let interval = IntervalMonthDayNano::new(0, 0, nanos);
        return from_array(Arc::new(IntervalMonthDayNanoArray::from(vec![interval])));
    }
    if is("uuid", "UUID")? {
        return Ok(Scalar::text(&value.str()?.to_cow()?));
    }
    // NumPy's values, and arrays as lists.
    for plain in ["item", "tolist"] {
        if value.hasattr("dtype")?
            && let Ok(plain) = value.call_method0(plain)
            && !plain.hasattr("dtype")?
        {
            return scalar(&plain);
        }
    }
    if value.is_instance_of::<PyMapping>() {
        let plain = py.get_type::<PyDict>().call1((value,))?;
        return structure(plain.cast::<PyDict>()?);
    }
    let class = value.get_type();
    Err(InterfaceError::new_err(format!("a {} is no value of SQL", class.name()?)))
}

/// The ordinal of 1970-01-01.
const EPOCH_ORDINAL: i32 = 719_163;

fn micros_of(delta: &Bound<'_, PyAny>) -> PyResult<i64> {
    let part = |name: &str| delta.getattr(name)?.extract::<i64>();
    Ok((part("days")? * 86_400 + part("seconds")?) * 1_000_000 + part("microseconds")?)
}

fn timestamp(value: &Bound<'_, PyAny>) -> PyResult<Scalar> {
    let py = value.py();
    let zone = value.getattr("tzinfo")?;
    let datetime = py.import("datetime")?;
    let utc = datetime.getattr("timezone")?.getattr("utc")?;
    let epoch = datetime.getattr("datetime")?.call1((1970, 1, 1))?;
    if zone.is_none() {
        let micros = micros_of(&value.sub(epoch)?)?;
        return from_array(Arc::new(TimestampMicrosecondArray::from(vec![micros])));
    }
    let epoch = epoch.call_method("replace", (), Some(&[("tzinfo", &utc)].into_py_dict(py)?))?;
    let micros = micros_of(&value.sub(epoch)?)?;
    let array = TimestampMicrosecondArray::from(vec![micros]).with_timezone("UTC");
    from_array(Arc::new(array))
}

fn decimal(value: &Bound<'_, PyAny>) -> PyResult<Scalar> {
    let (sign, digits, exponent) =
        value.call_method0("as_tuple")?.extract::<(u8, Vec<u8>, Bound<'_, PyAny>)>()?;
    let Ok(exponent) = exponent.extract::<i32>() else {
        return Err(unfit(format!("the decimal {} has no digits", value.str()?)));
    };
    let too_long = || unfit("a decimal of more than 38 digits");
    let zeros = usize::try_from(exponent).unwrap_or(0);
    let scale = u8::try_from(exponent.min(0).unsigned_abs()).map_err(|_| too_long())?;
    if digits.len() + zeros > 38 || scale > 38 {
        return Err(too_long());
    }
    let digit = |number: i128, &digit: &u8| number * 10 + i128::from(digit);
    let number = digits.iter().chain(&vec![0; zeros]).fold(0, digit);
    let precision = (digits.len() + zeros).max(usize::from(scale)).max(1);
    // At most 38.
    Ok(Scalar::decimal(if sign == 1 { -number } else { number }, precision as u8, scale as i8))
}

/// Values of one type as an array; integers among doubles become doubles. NULL is `None`.
///
/// # Errors
/// When the types differ otherwise.
pub(crate) fn array<'py>(
    values: impl ExactSizeIterator<Item = Bound<'py, PyAny>>,
) -> PyResult<ArrayRef> {
    let values: Vec<Bound<'_, PyAny>> = values.collect();
    if let Some(array) = plain(&values)? {
        return Ok(array);
    }
    let scalars = values.iter().map(scalar).collect::<PyResult<Vec<_>>>()?;
    let mut types: Vec<DataType> = Vec::new();
    for scalar in scalars.iter().filter(|scalar| *scalar.ty() != LogicalType::Null) {
        let ty = scalar.ty().to_arrow();
        if !types.contains(&ty) {
            types.push(ty);
        }
    }
    let Some(ty) = common(&types) else {
        if types.is_empty() {
            return Ok(Arc::new(NullArray::new(values.len())));
        }
        let names: Vec<_> = types.iter().map(stoadb::type_name).collect();
        return Err(unfit(format!("values of different types: {}", names.join(", "))));
    };
    let arrays = scalars.iter().map(|scalar| match scalar.ty() {
        LogicalType::Null => Ok(new_null_array(&ty, 1)),
        _ => cast(scalar.array(), &ty),
    });
    let arrays = arrays.collect::<Result<Vec<_>, _>>().map_err(|error| unfit(error.to_string()))?;
    let arrays: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
    concat(&arrays).map_err(|error| unfit(error.to_string()))
}

/// The type that values of several types fit.
fn common(types: &[DataType]) -> Option<DataType> {
    let all = |is: fn(&DataType) -> bool| types.iter().all(is);
    match types {
        [] => None,
        [one] => Some(one.clone()),
        _ if all(|ty| matches!(ty, DataType::Decimal128(..))) => {
            let parts = types.iter().filter_map(|ty| match ty {
                DataType::Decimal128(precision, scale) => Some((*precision as i8 - scale, *scale)),
                _ => None,
            });
            let (whole, scale) = parts.fold((0, 0), |(a, b), (c, d)| (a.max(c), b.max(d)));
            let precision = u8::try_from(whole + scale).ok().filter(|digits| *digits <= 38)?;
            Some(DataType::Decimal128(precision, scale))
        }
        _ if all(|ty| ty.is_numeric()) => Some(DataType::Float64),
        _ => None,
    }
}

/// Arrays of the types that most lists have, without a detour by single values; `None` for others.
fn plain(values: &[Bound<'_, PyAny>]) -> PyResult<Option<ArrayRef>> {
    let Some(first) = values.iter().find(|value| !value.is_none()) else { return Ok(None) };
    let class = first.get_type();
    if !values.iter().all(|value| value.is_none() || value.get_type().is(&class)) {
        return Ok(None);
    }
    fn read<'a, 'py, T: FromPyObject<'a, 'py>>(
        values: &'a [Bound<'py, PyAny>],
    ) -> Option<Vec<Option<T>>> {
        values.iter().map(|value| value.extract::<Option<T>>().ok()).collect()
    }
    let array: Option<ArrayRef> = if first.is_exact_instance_of::<PyBool>() {
        read(values).map(|values| Arc::new(BooleanArray::from(values)) as ArrayRef)
    } else if first.is_exact_instance_of::<PyInt>() {
        read(values).map(|values| Arc::new(Int64Array::from(values)) as ArrayRef)
    } else if first.is_exact_instance_of::<PyFloat>() {
        read(values).map(|values| Arc::new(Float64Array::from(values)) as ArrayRef)
    } else if first.is_exact_instance_of::<PyString>() {
        let mut texts = StringViewBuilder::with_capacity(values.len());
        for value in values {
            match value.cast::<PyString>() {
                Ok(text) => {
                    let text = text.to_cow().map_err(|_| unfit("text that is not Unicode"))?;
                    texts.append_value(text);
                }
                Err(_) => texts.append_null(),
            }
        }
        Some(Arc::new(texts.finish()))
    } else {
        None
    };
    Ok(array)
}

/// Values as an array of a type.
///
/// # Errors
/// When one is not of the type.
pub(crate) fn array_of(values: Vec<Bound<'_, PyAny>>, ty: &DataType) -> PyResult<ArrayRef> {
    convert(&array(values.into_iter())?, ty)
}

/// An array as one of a type that a function promised.
///
/// # Errors
/// When a value does not fit the type.
pub(crate) fn convert(array: &ArrayRef, ty: &DataType) -> PyResult<ArrayRef> {
    let options = arrow::compute::CastOptions { safe: false, ..Default::default() };
    arrow::compute::cast_with_options(array, ty, &options).map_err(|error| {
        let (from, to) = (stoadb::type_name(array.data_type()), stoadb::type_name(ty));
        unfit(format!("{from} does not become {to}: {error}"))
    })
}
