//! SQL values as Python values, a column at a time.
//!
//! Invariant: a value that Python's type cannot hold (a date after the year 9999) comes as text; nanoseconds are cut to
//! microseconds; everything else comes exactly.
//! Next: `rows.rs`.

use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::{
        ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, DecimalType, Float32Type,
        Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, IntervalMonthDayNanoType, TimeUnit,
        UInt8Type, UInt16Type, UInt32Type, UInt64Type,
    },
};
use pyo3::{
    IntoPyObjectExt, intern,
    prelude::*,
    types::{PyBytes, PyDict, PyList, PyNone, PyString},
};

use crate::errors::{self, unfit};

type Objects<'py> = Vec<Bound<'py, PyAny>>;

/// The values of a column.
///
/// # Errors
/// When Python has no memory for them.
pub(crate) fn column<'py>(py: Python<'py>, array: &ArrayRef) -> PyResult<Objects<'py>> {
    use DataType as D;
    match array.data_type() {
        D::Null => Ok(vec![PyNone::get(py).to_owned().into_any(); array.len()]),
        D::Boolean => {
            let array = array.as_boolean();
            each(py, array, |row| array.value(row).into_bound_py_any(py))
        }
        D::Int8 => numbers::<Int8Type>(py, array),
        D::Int16 => numbers::<Int16Type>(py, array),
        D::Int32 => numbers::<Int32Type>(py, array),
        D::Int64 => numbers::<Int64Type>(py, array),
        D::UInt8 => numbers::<UInt8Type>(py, array),
        D::UInt16 => numbers::<UInt16Type>(py, array),
        D::UInt32 => numbers::<UInt32Type>(py, array),
        D::UInt64 => numbers::<UInt64Type>(py, array),
        D::Float32 => numbers::<Float32Type>(py, array),
        D::Float64 => numbers::<Float64Type>(py, array),
        D::Utf8View => {
            let array = array.as_string_view();
            each(py, array, |row| Ok(PyString::new(py, array.value(row)).into_any()))
        }
        D::BinaryView => {
            let array = array.as_binary_view();
            each(py, array, |row| Ok(PyBytes::new(py, array.value(row)).into_any()))
        }
        D::Decimal128(precision, scale) => decimals(py, array, *precision, *scale),
        D::Date32 => dates(py, array),
        D::Time32(unit) | D::Time64(unit) => times(py, array, *unit),
        D::Timestamp(unit, zone) => timestamps(py, array, *unit, zone.as_deref()),
        D::Duration(unit) => durations(py, array, *unit),
        D::Interval(_) => intervals(py, array),
        D::List(_) => {
            let array = array.as_list::<i32>();
            each(py, array, |row| Ok(PyList::new(py, column(py, &array.value(row))?)?.into_any()))
        }
        D::Struct(fields) => {
            let array = array.as_struct();
            let columns = array
                .columns()
                .iter()
                .map(|array| column(py, array))
                .collect::<PyResult<Vec<_>>>()?;
            each(py, array, |row| {
                let dict = PyDict::new(py);
                for (field, values) in fields.iter().zip(&columns) {
                    dict.set_item(field.name(), &values[row])?;
                }
                Ok(dict.into_any())
            })
        }
        D::Map(..) => {
            let array = array.as_map();
            each(py, array, |row| {
                let entries = array.value(row);
                let keys = column(py, entries.column(0))?;
                let dict = PyDict::new(py);
                for (key, value) in keys.iter().zip(column(py, entries.column(1))?) {
                    dict.set_item(key, value)?;
                }
                Ok(dict.into_any())
            })
        }
        other => Err(unfit(format!("Python has no type for {other}"))),
    }
}

fn each<'py>(
    py: Python<'py>,
    array: &dyn Array,
    value: impl Fn(usize) -> PyResult<Bound<'py, PyAny>>,
) -> PyResult<Objects<'py>> {
    let object = |row| match array.is_null(row) {
        true => Ok(PyNone::get(py).to_owned().into_any()),
        false => value(row),
    };
    (0..array.len()).map(object).collect()
}

fn numbers<'py, T: ArrowPrimitiveType>(py: Python<'py>, array: &ArrayRef) -> PyResult<Objects<'py>>
where
    T::Native: IntoPyObject<'py>,
{
    let array = array.as_primitive::<T>();
    each(py, array, |row| array.value(row).into_bound_py_any(py))
}

/// The values of an array of ticks, as 64-bit integers.
fn ticks(array: &ArrayRef) -> PyResult<arrow::array::Int64Array> {
    let narrow = arrow::compute::cast(array, &DataType::Int32);
    let array = match array.data_type() {
        DataType::Date32 | DataType::Time32(_) => narrow.map_err(|e| unfit(e.to_string()))?,
        _ => array.clone(),
    };
    let wide = arrow::compute::cast(&array, &DataType::Int64);
    Ok(wide.map_err(|error| unfit(error.to_string()))?.as_primitive().clone())
}

/// Whole microseconds of ticks of a unit, rounded down; saturating, which is out of Python's range.
fn micros(ticks: i64, unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => ticks.saturating_mul(1_000_000),
        TimeUnit::Millisecond => ticks.saturating_mul(1_000),
        TimeUnit::Microsecond => ticks,
        TimeUnit::Nanosecond => ticks.div_euclid(1_000),
    }
}

/// `timedelta(microseconds=micros)`, whose days and seconds are told apart, because each is bounded.
fn timedelta<'py>(class: &Bound<'py, PyAny>, micros: i64) -> PyResult<Bound<'py, PyAny>> {
    let seconds = micros.div_euclid(1_000_000);
    class.call1((
        seconds.div_euclid(86_400),
        seconds.rem_euclid(86_400),
        micros.rem_euclid(1_000_000),
    ))
}

/// The value as text, where Python's type does not reach.
fn text<'py>(py: Python<'py>, array: &ArrayRef, row: usize) -> PyResult<Bound<'py, PyAny>> {
    let texts = stoadb::to_text(&array.slice(row, 1));
    let texts = texts.map_err(|error| errors::exception(py, &error, None))?;
    Ok(PyString::new(py, texts.value(0)).into_any())
}

fn decimals<'py>(
    py: Python<'py>,
    array: &ArrayRef,
    precision: u8,
    scale: i8,
) -> PyResult<Objects<'py>> {
    let numbers = array.as_primitive::<Decimal128Type>();
    if scale == 0 {
        return each(py, numbers, |row| numbers.value(row).into_bound_py_any(py));
    }
    let class = py.import(intern!(py, "decimal"))?.getattr(intern!(py, "Decimal"))?;
    each(py, numbers, |row| {
        class.call1((Decimal128Type::format_decimal(numbers.value(row), precision, scale),))
    })
}

fn dates<'py>(py: Python<'py>, array: &ArrayRef) -> PyResult<Objects<'py>> {
    let class = py.import(intern!(py, "datetime"))?.getattr(intern!(py, "date"))?;
    let of_ordinal = class.getattr(intern!(py, "fromordinal"))?;
    let days = array.as_primitive::<Date32Type>();
    each(py, days, |row| {
        let ordinal = i64::from(days.value(row)) + EPOCH_ORDINAL;
        match (1..=LAST_ORDINAL).contains(&ordinal) {
            true => of_ordinal.call1((ordinal,)),
            false => text(py, array, row),
        }
    })
}

/// The ordinals of 1970-01-01 and of 9999-12-31.
const EPOCH_ORDINAL: i64 = 719_163;
const LAST_ORDINAL: i64 = 3_652_059;

fn times<'py>(py: Python<'py>, array: &ArrayRef, unit: TimeUnit) -> PyResult<Objects<'py>> {
    let class = py.import(intern!(py, "datetime"))?.getattr(intern!(py, "time"))?;
    let ticks = ticks(array)?;
    each(py, &ticks, |row| {
        let micros = micros(ticks.value(row), unit);
        let seconds = micros / 1_000_000;
        // 24:00:00 is a time of SQL's, but none of Python's.
        match (0..86_400).contains(&seconds) {
            true => {
                class.call1((seconds / 3600, seconds / 60 % 60, seconds % 60, micros % 1_000_000))
            }
            false => text(py, array, row),
        }
    })
}

fn timestamps<'py>(
    py: Python<'py>,
    array: &ArrayRef,
    unit: TimeUnit,
    zone: Option<&str>,
) -> PyResult<Objects<'py>> {
    let datetime = py.import(intern!(py, "datetime"))?;
    let class = datetime.getattr(intern!(py, "timedelta"))?;
    let utc = datetime.getattr("timezone")?.getattr("utc")?;
    let zone = zone.map(|zone| time_zone(py, zone)).transpose()?;
    let epoch = datetime.getattr("datetime")?;
    let epoch = match &zone {
        Some(_) => epoch.call1((1970, 1, 1, 0, 0, 0, 0, &utc))?,
        None => epoch.call1((1970, 1, 1))?,
    };
    let ticks = ticks(array)?;
    each(py, &ticks, |row| {
        let micros = micros(ticks.value(row), unit);
        let days = micros.div_euclid(86_400_000_000) + EPOCH_ORDINAL;
        // A day less at both ends leaves room for any zone.
        let (first, last) = if zone.is_some() { (2, LAST_ORDINAL - 1) } else { (1, LAST_ORDINAL) };
        if !(first..=last).contains(&days) {
            return text(py, array, row);
        }
        let time = epoch.add(timedelta(&class, micros)?)?;
        match &zone {
            Some(zone) => time.call_method1(intern!(py, "astimezone"), (zone,)),
            None => Ok(time),
        }
    })
}

/// The `tzinfo` of a zone: a name of the IANA's or an offset such as `+02:00`.
fn time_zone<'py>(py: Python<'py>, zone: &str) -> PyResult<Bound<'py, PyAny>> {
    let datetime = py.import(intern!(py, "datetime"))?;
    let class = datetime.getattr("timezone")?;
    if zone.eq_ignore_ascii_case("UTC") || zone == "Z" {
        return class.getattr("utc");
    }
    let offset = zone.strip_prefix(['+', '-']).and_then(|digits| {
        let digits = digits.replace(':', "");
        let minutes = digits.get(2..).filter(|minutes| !minutes.is_empty()).unwrap_or("0");
        Some(digits.get(..2)?.parse::<i64>().ok()? * 60 + minutes.parse::<i64>().ok()?)
    });
    match offset {
        Some(minutes) => {
            let minutes = if zone.starts_with('-') { -minutes } else { minutes };
            let delta = datetime.getattr("timedelta")?.call1((0, minutes * 60))?;
            class.call1((delta,))
        }
        None => py.import("zoneinfo")?.getattr("ZoneInfo")?.call1((zone,)),
    }
}

fn durations<'py>(py: Python<'py>, array: &ArrayRef, unit: TimeUnit) -> PyResult<Objects<'py>> {
    let class = py.import(intern!(py, "datetime"))?.getattr(intern!(py, "timedelta"))?;
    let ticks = ticks(array)?;
    each(py, &ticks, |row| {
        let micros = micros(ticks.value(row), unit);
        timedelta(&class, micros)
    })
}

/// Intervals without months are timedeltas; the others come as text, because a month has no length.
fn intervals<'py>(py: Python<'py>, array: &ArrayRef) -> PyResult<Objects<'py>> {
    let class = py.import(intern!(py, "datetime"))?.getattr(intern!(py, "timedelta"))?;
    let intervals = array.as_primitive::<IntervalMonthDayNanoType>();
    each(py, intervals, |row| {
        let interval = intervals.value(row);
        if interval.months != 0 {
            return text(py, array, row);
        }
        let micros = interval.nanoseconds.div_euclid(1_000);
        let seconds = micros.div_euclid(1_000_000);
        class.call1((interval.days, seconds, micros.rem_euclid(1_000_000)))
    })
}
