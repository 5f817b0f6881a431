//! Order-preserving codes: a value as an unsigned number whose order is SQL's.
//!
//! Invariants: two values have the same code exactly when SQL calls them equal (-0.0 equals 0.0, every NaN equals every
//! other and is the greatest, a month is 30 days and a day 24 hours). A code uses the low `bits` bits that its type
//! says. What stands under a NULL is arbitrary.
//! Next: `key.rs`, which puts codes of several columns together.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BinaryViewArray, BooleanArray, Float32Array, Float64Array,
        Int64Array, IntervalMonthDayNanoArray, UInt64Array,
    },
    datatypes::{
        DataType, Decimal128Type, Float32Type, Float64Type, IntervalMonthDayNano,
        IntervalMonthDayNanoType, TimeUnit,
    },
};

use crate::{
    error::{Result, StorageError},
    interval::{DAY, interval_length},
    narrow,
    scalar::Scalar,
    types::LogicalType,
};

/// Decimals of up to so many digits fit 64 bits.
const NARROW_DIGITS: u8 = 18;

/// Codes of an array, one a row.
#[derive(Debug)]
pub(super) enum Codes {
    /// Types of up to 64 bits.
    Narrow(Vec<u64>),
    /// Wider decimals and intervals.
    Wide(Vec<u128>),
    /// Texts and blobs: their bytes are their codes.
    Bytes(BinaryViewArray),
}

/// How many bits the codes of a type have; `None` for texts and blobs.
///
/// # Errors
/// `Unsupported` for types without an order.
pub(super) fn code_bits(ty: &LogicalType) -> Result<Option<u32>> {
    use LogicalType as Ty;
    Ok(Some(match ty {
        Ty::Boolean => 1,
        Ty::Int8 | Ty::UInt8 => 8,
        Ty::Int16 | Ty::UInt16 => 16,
        Ty::Int32 | Ty::UInt32 | Ty::Float32 | Ty::Date => 32,
        Ty::Time(TimeUnit::Second | TimeUnit::Millisecond) => 32,
        Ty::Int64 | Ty::UInt64 | Ty::Float64 | Ty::Time(_) | Ty::Timestamp(..) => 64,
        Ty::Duration(_) => 64,
        Ty::Decimal { precision: ..=NARROW_DIGITS, .. } => 64,
        Ty::Decimal { .. } | Ty::Interval => 128,
        Ty::Text | Ty::Blob => return Ok(None),
        Ty::Null | Ty::List(_) | Ty::Struct(_) | Ty::Map(..) => {
            return Err(StorageError::Unsupported(format!("an index on values of type {ty}")));
        }
    }))
}

/// Whether a code stands for a signed number by its distance from the least one.
fn is_signed(ty: &LogicalType) -> bool {
    use LogicalType as Ty;
    !matches!(ty, Ty::Boolean | Ty::UInt8 | Ty::UInt16 | Ty::UInt32 | Ty::UInt64)
}

/// Whether values are whole numbers or are counted by them (decimals, dates, times, durations, booleans).
pub(super) fn is_whole(ty: &LogicalType) -> bool {
    !ty.is_float()
        && !ty.is_nested()
        && !matches!(
            ty,
            LogicalType::Null | LogicalType::Text | LogicalType::Blob | LogicalType::Interval
        )
}

/// Whether sums of a type have a meaning.
pub(super) fn has_sums(ty: &LogicalType) -> bool {
    ty.is_numeric() || matches!(ty, LogicalType::Duration(_))
}

/// The code of a double.
pub(super) fn code_f64(value: f64) -> u64 {
    // Adding zero turns -0.0 into 0.0 and leaves every other value as it is.
    let value = if value.is_nan() { f64::NAN.abs() } else { value + 0.0 };
    let bits = value.to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

/// The double of a code; 0.0 where it was -0.0.
pub(super) fn decode_f64(code: u64) -> f64 {
    f64::from_bits(if code >> 63 == 1 { code & !(1 << 63) } else { !code })
}

fn code_f32(value: f32) -> u64 {
    let value = if value.is_nan() { f32::NAN.abs() } else { value + 0.0 };
    let bits = value.to_bits();
    u64::from(if bits >> 31 == 1 { !bits } else { bits | 1 << 31 })
}

fn decode_f32(code: u64) -> f32 {
    let code = code as u32;
    f32::from_bits(if code >> 31 == 1 { code & !(1 << 31) } else { !code })
}

/// The whole number of a code.
pub(super) fn decode_whole(ty: &LogicalType, bits: u32, code: u128) -> i128 {
    match is_signed(ty) {
        // The subtraction wraps to a negative number below the middle.
        true => code.wrapping_sub(1 << (bits - 1)).cast_signed(),
        false => code.cast_signed(),
    }
}

/// The lowest `bits` bits.
pub(super) fn mask(bits: u32) -> u128 {
    if bits >= 128 { u128::MAX } else { (1 << bits) - 1 }
}

/// Whole numbers of up to 64 bits (of a UBIGINT its bits).
///
/// # Errors
/// `Internal` when the array has another layout.
pub(super) fn integers(array: &ArrayRef) -> Result<Vec<i64>> {
    if let Some(values) = array.as_boolean_opt() {
        return Ok(values.values().iter().map(i64::from).collect());
    }
    if let Some(values) = array.as_primitive_opt::<Decimal128Type>() {
        // Whatever lies under a NULL may be cut.
        return Ok(values.values().iter().map(|&value| value as i64).collect());
    }
    let data = array.to_data();
    let rows = array.len();
    macro_rules! widen {
        ($native:ty) => {
            data.buffer::<$native>(0)[..rows].iter().map(|&value| i64::from(value)).collect()
        };
    }
    Ok(match (array.data_type(), array.data_type().primitive_width()) {
        (DataType::UInt8, _) => widen!(u8),
        (DataType::UInt16, _) => widen!(u16),
        (DataType::UInt32, _) => widen!(u32),
        (DataType::Float32 | DataType::Float64, _) => return Err(misfit()),
        (_, Some(1)) => widen!(i8),
        (_, Some(2)) => widen!(i16),
        (_, Some(4)) => widen!(i32),
        (_, Some(8)) => data.buffer::<i64>(0)[..rows].to_vec(),
        _ => return Err(misfit()),
    })
}

/// Whole numbers of any width.
///
/// # Errors
/// As `integers`.
pub(super) fn wide_integers(array: &ArrayRef) -> Result<Vec<i128>> {
    if let Some(values) = array.as_primitive_opt::<Decimal128Type>() {
        return Ok(values.values().to_vec());
    }
    let values = integers(array)?;
    Ok(match array.data_type() {
        DataType::UInt64 => values.into_iter().map(|v| i128::from(v.cast_unsigned())).collect(),
        _ => values.into_iter().map(i128::from).collect(),
    })
}

/// Floats as doubles.
///
/// # Errors
/// As `integers`.
pub(super) fn doubles(array: &ArrayRef) -> Result<Vec<f64>> {
    if let Some(values) = array.as_primitive_opt::<Float32Type>() {
        return Ok(values.values().iter().map(|&value| f64::from(value)).collect());
    }
    let values = array.as_primitive_opt::<Float64Type>().ok_or_else(misfit)?;
    Ok(values.values().to_vec())
}

/// Texts or blobs as byte strings.
///
/// # Errors
/// As `integers`.
pub(super) fn byte_strings(array: &ArrayRef) -> Result<BinaryViewArray> {
    match array.data_type() {
        DataType::Utf8View => Ok(array.as_string_view().clone().to_binary_view()),
        DataType::BinaryView => Ok(array.as_binary_view().clone()),
        _ => Err(misfit()),
    }
}

/// The codes of an array of the canonical layout of a type.
///
/// # Errors
/// `Unsupported` for types without an order, `Internal` for another layout.
pub(super) fn codes(array: &ArrayRef, ty: &LogicalType) -> Result<Codes> {
    if *array.data_type() != ty.to_arrow() {
        return Err(misfit());
    }
    let Some(bits) = code_bits(ty)? else { return Ok(Codes::Bytes(byte_strings(array)?)) };
    if bits == 128 {
        let wide = |value: i128| value.cast_unsigned() ^ (1 << 127);
        if let Some(values) = array.as_primitive_opt::<IntervalMonthDayNanoType>() {
            let values = values.values().iter();
            return Ok(Codes::Wide(values.map(|&v| wide(interval_length(v))).collect()));
        }
        return Ok(Codes::Wide(wide_integers(array)?.into_iter().map(wide).collect()));
    }
    if let Some(values) = array.as_primitive_opt::<Float32Type>() {
        return Ok(Codes::Narrow(values.values().iter().map(|&v| code_f32(v)).collect()));
    }
    if let Some(values) = array.as_primitive_opt::<Float64Type>() {
        return Ok(Codes::Narrow(values.values().iter().map(|&v| code_f64(v)).collect()));
    }
    let shift = if is_signed(ty) { 1_u64 << (bits - 1) } else { 0 };
    let mask = mask(bits) as u64;
    let code = |value: i64| value.cast_unsigned().wrapping_add(shift) & mask;
    Ok(Codes::Narrow(integers(array)?.into_iter().map(code).collect()))
}

/// The value of a whole number, of a type for which `is_whole` says so.
///
/// # Errors
/// `Internal` for other types.
pub(super) fn whole_scalar(ty: &LogicalType, value: i128) -> Result<Scalar> {
    let array: ArrayRef = match ty {
        LogicalType::Boolean => Arc::new(BooleanArray::from(vec![value != 0])),
        LogicalType::UInt64 => Arc::new(UInt64Array::from(vec![value as u64])),
        LogicalType::Decimal { precision, scale } => {
            return Ok(Scalar::decimal(value, *precision, *scale));
        }
        LogicalType::Int64 => return Ok(Scalar::int64(value as i64)),
        _ => {
            let offsets: ArrayRef = Arc::new(Int64Array::from(vec![value as i64]));
            narrow::flatten(&ty.to_arrow(), 0, &offsets)?
        }
    };
    Scalar::from_array(array.as_ref(), 0)
}

/// The value of a float.
///
/// # Errors
/// `Internal` never.
pub(super) fn float_scalar(ty: &LogicalType, value: f64) -> Result<Scalar> {
    match ty {
        LogicalType::Float32 => Scalar::from_array(&Float32Array::from(vec![value as f32]), 0),
        _ => Scalar::from_array(&Float64Array::from(vec![value]), 0),
    }
}

/// The value of a code of a type of fixed width. Where several values have one code: 0.0, the positive NaN, the interval
/// of days and nanoseconds.
///
/// # Errors
/// `Internal` for texts and blobs.
pub(super) fn decode(ty: &LogicalType, code: u128) -> Result<Scalar> {
    let bits = code_bits(ty)?.ok_or_else(misfit)?;
    match ty {
        LogicalType::Float64 => float_scalar(ty, decode_f64(code as u64)),
        LogicalType::Float32 => float_scalar(ty, f64::from(decode_f32(code as u64))),
        LogicalType::Interval => {
            let length = decode_whole(ty, bits, code);
            let (days, rest) = (length.div_euclid(DAY), length.rem_euclid(DAY));
            // Lengths of over 2^31 days come of months.
            let (months, days) = match i32::try_from(days) {
                Ok(days) => (0, days),
                Err(_) => ((days / 30) as i32, (days % 30) as i32),
            };
            let value = IntervalMonthDayNano::new(months, days, rest as i64);
            Scalar::from_array(&IntervalMonthDayNanoArray::from(vec![value]), 0)
        }
        _ => whole_scalar(ty, decode_whole(ty, bits, code)),
    }
}

/// The double of a code of a float type.
pub(super) fn decode_double(ty: &LogicalType, code: u64) -> f64 {
    match ty {
        LogicalType::Float32 => f64::from(decode_f32(code)),
        _ => decode_f64(code),
    }
}

/// The value of the bytes of a text or blob.
///
/// # Errors
/// `Internal` when a text is not UTF-8.
pub(super) fn bytes_scalar(ty: &LogicalType, bytes: &[u8]) -> Result<Scalar> {
    match ty {
        LogicalType::Text => Ok(Scalar::text(std::str::from_utf8(bytes).map_err(|_| misfit())?)),
        _ => Scalar::from_array(&BinaryViewArray::from(vec![bytes]), 0),
    }
}

/// An error of ours: values of another layout than the index was made for.
pub(super) fn misfit() -> StorageError {
    StorageError::Internal("values of another type than the index has".into())
}
