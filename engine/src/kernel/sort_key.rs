//! Normalised sort keys: every value as an unsigned number or a byte string whose plain order is the SQL order.
//!
//! Invariants: two values have the same code exactly when `ORDER BY` holds them equal (-0.0 equals 0.0, every NaN equals
//! every other and is the greatest, a month is 30 days and a day 24 hours). Which of the three forms a type has depends
//! on the type alone, never on the encoding, so that codes of different vectors compare. NULL has no code: it is kept
//! in a validity mask beside the codes, and the number under it is arbitrary.
//! Next: `op/sort/`, which packs codes into keys.

use std::{cmp::Ordering, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, BinaryArray, BinaryViewArray, StringViewArray, make_array},
    buffer::NullBuffer,
    compute, datatypes as dt,
    datatypes::{ArrowPrimitiveType, DataType, IntervalMonthDayNano},
    row::{RowConverter, SortField},
};
use stoadb_storage::{LogicalType, Vector, interval::interval_length};

use super::physical::{offset_value, with_offsets};
use crate::error::{EngineError, Result};

/// The codes of one vector's values.
#[derive(Debug, Clone)]
pub enum Codes {
    /// Types of up to 64 bits, and decimals of up to 18 digits.
    Narrow(Vec<u64>),
    /// Wider decimals and intervals.
    Wide(Vec<u128>),
    /// Text, blobs and nested types.
    Bytes(Bytes),
}

/// The codes of a vector and which rows have one.
#[derive(Debug, Clone)]
pub struct KeyCodes {
    /// One code a row.
    pub codes: Codes,
    /// Which rows hold a value; `None` when all do.
    pub nulls: Option<NullBuffer>,
}

/// Byte strings, one a row.
#[derive(Debug, Clone)]
pub enum Bytes {
    /// Text.
    Text(StringViewArray),
    /// Blobs.
    Blob(BinaryViewArray),
    /// Nested values, already brought into bytewise order.
    Rows(BinaryArray),
}

impl Bytes {
    /// The string of a row; empty or arbitrary under NULL.
    pub fn get(&self, row: usize) -> &[u8] {
        match self {
            Self::Text(array) => array.value(row).as_bytes(),
            Self::Blob(array) => array.value(row),
            Self::Rows(array) => array.value(row),
        }
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Text(array) => array.len(),
            Self::Blob(array) => array.len(),
            Self::Rows(array) => array.len(),
        }
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One code, taken out of its vector; `None` is NULL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyCode {
    /// NULL.
    Null,
    /// Of a type with `Codes::Narrow` or `Codes::Wide`.
    Number(u128),
    /// Of a type with `Codes::Bytes`.
    Bytes(Box<[u8]>),
}

impl KeyCodes {
    /// How many rows.
    pub fn len(&self) -> usize {
        match &self.codes {
            Codes::Narrow(codes) => codes.len(),
            Codes::Wide(codes) => codes.len(),
            Codes::Bytes(bytes) => bytes.len(),
        }
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a row is NULL.
    pub fn is_null(&self, row: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
    }

    /// The code of a row.
    pub fn get(&self, row: usize) -> KeyCode {
        if self.is_null(row) {
            return KeyCode::Null;
        }
        match &self.codes {
            Codes::Narrow(codes) => KeyCode::Number(codes[row].into()),
            Codes::Wide(codes) => KeyCode::Number(codes[row]),
            Codes::Bytes(bytes) => KeyCode::Bytes(bytes.get(row).into()),
        }
    }

    /// How the value of a row compares with a code of the same type, in the order of the key.
    pub fn compare(&self, row: usize, other: &KeyCode, order: KeyOrder) -> Ordering {
        let nulls = |null_is_left: bool| match null_is_left == order.nulls_first {
            true => Ordering::Less,
            false => Ordering::Greater,
        };
        let values = match (self.is_null(row), other) {
            (true, KeyCode::Null) => return Ordering::Equal,
            (true, _) => return nulls(true),
            (false, KeyCode::Null) => return nulls(false),
            (false, KeyCode::Number(other)) => match &self.codes {
                Codes::Narrow(codes) => u128::from(codes[row]).cmp(other),
                Codes::Wide(codes) => codes[row].cmp(other),
                Codes::Bytes(_) => Ordering::Equal,
            },
            (false, KeyCode::Bytes(other)) => match &self.codes {
                Codes::Bytes(bytes) => bytes.get(row).cmp(other),
                Codes::Narrow(_) | Codes::Wide(_) => Ordering::Equal,
            },
        };
        if order.descending { values.reverse() } else { values }
    }
}

/// The direction of one sort key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyOrder {
    /// Largest first.
    pub descending: bool,
    /// NULLs before everything else, whatever the direction.
    pub nulls_first: bool,
}

/// The code of a signed number.
pub fn code_i64(value: i64) -> u64 {
    value.cast_unsigned() ^ (1 << 63)
}

/// The code of a wide signed number.
pub fn code_i128(value: i128) -> u128 {
    value.cast_unsigned() ^ (1 << 127)
}

/// The code of a double.
pub fn code_f64(value: f64) -> u64 {
    // Adding zero turns -0.0 into 0.0 and leaves every other value as it is.
    let value = if value.is_nan() { f64::NAN.abs() } else { value + 0.0 };
    let bits = value.to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

/// The code of a single-precision float.
pub fn code_f32(value: f32) -> u64 {
    let value = if value.is_nan() { f32::NAN.abs() } else { value + 0.0 };
    let bits = value.to_bits();
    u64::from(if bits >> 31 == 1 { !bits } else { bits | 1 << 31 })
}

/// The code of an interval: its length with months of 30 days and days of 24 hours.
pub fn code_interval(value: IntervalMonthDayNano) -> u128 {
    code_i128(interval_length(value))
}

/// The codes of a vector in any encoding.
///
/// # Errors
/// `Unsupported` for nested types that hold a type without an order; `Internal` for a broken vector.
pub fn codes(vector: &Vector) -> Result<KeyCodes> {
    if let Vector::Narrow(narrow) = vector {
        let (base, nulls) = (narrow.base, narrow.offsets.nulls().cloned());
        let value = |offset: i64| base.wrapping_add(offset);
        let codes = with_offsets!(narrow.offsets, offsets => {
            let values = offsets.iter().map(|&offset| value(offset_value(offset)));
            match &narrow.ty {
                LogicalType::Decimal { precision, .. } if *precision > NARROW_DIGITS => {
                    Codes::Wide(values.map(|v| code_i128(v.into())).collect())
                }
                LogicalType::UInt8
                | LogicalType::UInt16
                | LogicalType::UInt32
                | LogicalType::UInt64 => Codes::Narrow(values.map(i64::cast_unsigned).collect()),
                _ => Codes::Narrow(values.map(code_i64).collect()),
            }
        });
        return Ok(KeyCodes { codes, nulls });
    }
    array_codes(&vector.flatten()?)
}

/// Decimals of up to so many digits have 64-bit codes.
const NARROW_DIGITS: u8 = 18;

/// The codes of an array of canonical layout.
///
/// # Errors
/// As `codes`.
pub fn array_codes(array: &ArrayRef) -> Result<KeyCodes> {
    let codes = match array.data_type() {
        DataType::Utf8View => Codes::Bytes(Bytes::Text(array.as_string_view().clone())),
        DataType::BinaryView => Codes::Bytes(Bytes::Blob(array.as_binary_view().clone())),
        DataType::List(_) | DataType::Struct(_) | DataType::Map(..) => {
            Codes::Bytes(Bytes::Rows(nested(array)?))
        }
        DataType::Interval(_) => {
            let values = array.as_primitive::<dt::IntervalMonthDayNanoType>().values();
            Codes::Wide(values.iter().map(|&v| code_interval(v)).collect())
        }
        DataType::Decimal128(precision, _) => {
            let values = array.as_primitive::<dt::Decimal128Type>().values();
            match *precision > NARROW_DIGITS {
                true => Codes::Wide(values.iter().map(|&v| code_i128(v)).collect()),
                // The bytes under a NULL may be anything: cutting them is harmless.
                false => Codes::Narrow(values.iter().map(|&v| code_i64(v as i64)).collect()),
            }
        }
        _ => Codes::Narrow(narrow(array)?),
    };
    Ok(KeyCodes { codes, nulls: array.logical_nulls() })
}

fn map<T: ArrowPrimitiveType>(array: &ArrayRef, code: impl Fn(T::Native) -> u64) -> Vec<u64> {
    array.as_primitive::<T>().values().iter().map(|&value| code(value)).collect()
}

fn narrow(array: &ArrayRef) -> Result<Vec<u64>> {
    use dt::TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    Ok(match array.data_type() {
        DataType::Null => vec![0; array.len()],
        DataType::Boolean => array.as_boolean().values().iter().map(u64::from).collect(),
        DataType::Int8 => map::<dt::Int8Type>(array, |v| code_i64(v.into())),
        DataType::Int16 => map::<dt::Int16Type>(array, |v| code_i64(v.into())),
        DataType::Int32 => map::<dt::Int32Type>(array, |v| code_i64(v.into())),
        DataType::Int64 => map::<dt::Int64Type>(array, code_i64),
        DataType::UInt8 => map::<dt::UInt8Type>(array, u64::from),
        DataType::UInt16 => map::<dt::UInt16Type>(array, u64::from),
        DataType::UInt32 => map::<dt::UInt32Type>(array, u64::from),
        DataType::UInt64 => map::<dt::UInt64Type>(array, |v| v),
        DataType::Float32 => map::<dt::Float32Type>(array, code_f32),
        DataType::Float64 => map::<dt::Float64Type>(array, code_f64),
        DataType::Date32 => map::<dt::Date32Type>(array, |v| code_i64(v.into())),
        DataType::Time32(Second) => map::<dt::Time32SecondType>(array, |v| code_i64(v.into())),
        DataType::Time32(_) => map::<dt::Time32MillisecondType>(array, |v| code_i64(v.into())),
        DataType::Time64(Microsecond) => map::<dt::Time64MicrosecondType>(array, code_i64),
        DataType::Time64(_) => map::<dt::Time64NanosecondType>(array, code_i64),
        DataType::Timestamp(Second, _) => map::<dt::TimestampSecondType>(array, code_i64),
        DataType::Timestamp(Millisecond, _) => map::<dt::TimestampMillisecondType>(array, code_i64),
        DataType::Timestamp(Microsecond, _) => map::<dt::TimestampMicrosecondType>(array, code_i64),
        DataType::Timestamp(Nanosecond, _) => map::<dt::TimestampNanosecondType>(array, code_i64),
        DataType::Duration(Second) => map::<dt::DurationSecondType>(array, code_i64),
        DataType::Duration(Millisecond) => map::<dt::DurationMillisecondType>(array, code_i64),
        DataType::Duration(Microsecond) => map::<dt::DurationMicrosecondType>(array, code_i64),
        DataType::Duration(Nanosecond) => map::<dt::DurationNanosecondType>(array, code_i64),
        other => return Err(EngineError::Internal(format!("no sort key for Arrow type {other}"))),
    })
}

/// Nested values as byte strings. Inside of them NULL is the greatest value.
fn nested(array: &ArrayRef) -> Result<BinaryArray> {
    let array = plain(array)?;
    let ascending = compute::SortOptions { descending: false, nulls_first: false };
    let field = SortField::new_with_options(array.data_type().clone(), ascending);
    if !RowConverter::supports_fields(std::slice::from_ref(&field)) {
        let ty = LogicalType::from_arrow(array.data_type())?;
        return Err(EngineError::Unsupported(format!("ORDER BY on a value of type {ty}")));
    }
    let rows = RowConverter::new(vec![field])?.convert_columns(&[array])?;
    Ok(rows.try_into_binary()?)
}

/// The array with maps as lists and with the floats and intervals within it brought into one form per equal value.
fn plain(array: &ArrayRef) -> Result<ArrayRef> {
    Ok(match array.data_type() {
        DataType::Float32 => {
            let plain = |v: f32| if v.is_nan() { f32::NAN.abs() } else { v + 0.0 };
            Arc::new(array.as_primitive::<dt::Float32Type>().unary::<_, dt::Float32Type>(plain))
        }
        DataType::Float64 => {
            let plain = |v: f64| if v.is_nan() { f64::NAN.abs() } else { v + 0.0 };
            Arc::new(array.as_primitive::<dt::Float64Type>().unary::<_, dt::Float64Type>(plain))
        }
        DataType::Interval(_) => {
            let length = |v| (code_interval(v) ^ (1 << 127)).cast_signed();
            let array = array.as_primitive::<dt::IntervalMonthDayNanoType>();
            Arc::new(array.unary::<_, dt::Decimal128Type>(length))
        }
        DataType::List(field) => {
            let list = array.as_list::<i32>();
            let values = plain(list.values())?;
            let field = field.as_ref().clone().with_data_type(values.data_type().clone());
            let (offsets, nulls) = (list.offsets().clone(), list.nulls().cloned());
            Arc::new(arrow::array::ListArray::try_new(Arc::new(field), offsets, values, nulls)?)
        }
        DataType::Map(field, _) => {
            let map = array.as_map();
            let entries = plain(&make_array(map.entries().to_data()))?;
            let field = field.as_ref().clone().with_data_type(entries.data_type().clone());
            let (offsets, nulls) = (map.offsets().clone(), map.nulls().cloned());
            Arc::new(arrow::array::ListArray::try_new(Arc::new(field), offsets, entries, nulls)?)
        }
        DataType::Struct(fields) if !fields.is_empty() => {
            let parts = array.as_struct();
            let columns = parts.columns().iter().map(plain).collect::<Result<Vec<_>>>()?;
            let retype = |(field, column): (&dt::FieldRef, &ArrayRef)| {
                Arc::new(field.as_ref().clone().with_data_type(column.data_type().clone()))
            };
            let fields: dt::Fields = fields.iter().zip(&columns).map(retype).collect();
            let nulls = parts.nulls().cloned();
            Arc::new(arrow::array::StructArray::try_new(fields, columns, nulls)?)
        }
        _ => Arc::clone(array),
    })
}
