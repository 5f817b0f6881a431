//! Fields to vectors.
//!
//! Invariant: a value is converted exactly (decimals to their scale, half away from zero; doubles to the nearest one) or
//! the row is reported. Blanks around values that are not text do not matter.
//! Next: `scan.rs`.

use std::{str::FromStr, sync::Arc};

use arrow::{
    array::{
        ArrayRef, ArrowPrimitiveType, BooleanArray, Decimal128Array, Int64Array, NullBufferBuilder,
        PrimitiveArray, StringViewBuilder,
    },
    buffer::NullBuffer,
    datatypes::{self as dt, TimeUnit},
};

use super::{
    format::Formats,
    options::{CsvOptions, Dialect},
    split::{Span, unescape},
};
use crate::{
    error::StorageError,
    text::{parse_boolean, parse_clock, parse_decimal, parse_float},
    types::LogicalType,
    vector::{NarrowVector, Vector},
};

/// The fields of one column in the records of a batch.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'a> {
    /// What the spans point into.
    pub text: &'a str,
    /// One per row.
    pub spans: &'a [Span],
    /// How escapes are written.
    pub dialect: &'a Dialect,
    /// The texts that mean NULL.
    pub nulls: &'a Nulls,
}

/// Why a column cannot be converted, of CSV and of JSON files.
pub(crate) enum Failure {
    /// The text of this row is no value of the type, or holds something that is named.
    Row(usize, Option<String>),
    /// Anything else.
    Other(StorageError),
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Self {
        Self::Other(error)
    }
}

impl From<arrow::error::ArrowError> for Failure {
    fn from(error: arrow::error::ArrowError) -> Self {
        Self::Other(error.into())
    }
}

type Converted<T> = Result<T, Failure>;

/// Whether `convert` knows a type.
pub(crate) fn is_known(ty: &LogicalType) -> bool {
    use LogicalType as T;
    ty.is_numeric() || matches!(ty, T::Boolean | T::Text | T::Date | T::Time(_) | T::Timestamp(..))
}

/// The values of a column.
///
/// # Errors
/// The first row whose text is no value of the type.
pub(crate) fn convert(
    fields: &Fields<'_>,
    ty: &LogicalType,
    formats: &Formats,
) -> Converted<Vector> {
    Ok(match ty {
        LogicalType::Boolean => {
            let (values, nulls) = values(fields, |text| parse_boolean(trimmed(text)?))?;
            Vector::Flat(Arc::new(BooleanArray::new(values.into(), nulls)))
        }
        LogicalType::Int8 => primitive::<dt::Int8Type>(fields, whole)?,
        LogicalType::Int16 => primitive::<dt::Int16Type>(fields, whole)?,
        LogicalType::Int32 => primitive::<dt::Int32Type>(fields, whole)?,
        LogicalType::Int64 => primitive::<dt::Int64Type>(fields, whole)?,
        LogicalType::UInt8 => primitive::<dt::UInt8Type>(fields, whole)?,
        LogicalType::UInt16 => primitive::<dt::UInt16Type>(fields, whole)?,
        LogicalType::UInt32 => primitive::<dt::UInt32Type>(fields, whole)?,
        LogicalType::UInt64 => primitive::<dt::UInt64Type>(fields, whole)?,
        LogicalType::Float32 => {
            primitive::<dt::Float32Type>(fields, |text| parse_float(trimmed(text)?))?
        }
        LogicalType::Float64 => primitive::<dt::Float64Type>(fields, float)?,
        LogicalType::Decimal { precision, scale } => decimals(fields, *precision, *scale)?,
        LogicalType::Text => Vector::Flat(texts(fields)?),
        LogicalType::Date => {
            primitive::<dt::Date32Type>(fields, |text| formats.date(text.trim_ascii()))?
        }
        LogicalType::Time(unit) => times(fields, *unit)?,
        LogicalType::Timestamp(unit, zone) => timestamps(fields, *unit, zone, formats)?,
        other => {
            let message = format!("columns of type {other} in CSV files");
            return Err(StorageError::Unsupported(message).into());
        }
    })
}

/// A text without blanks around it; `None` when it is no text at all.
fn trimmed(text: &[u8]) -> Option<&str> {
    std::str::from_utf8(text.trim_ascii()).ok()
}

/// One value per field.
fn values<T: Default>(
    fields: &Fields<'_>,
    parse: impl Fn(&[u8]) -> Option<T>,
) -> Converted<(Vec<T>, Option<NullBuffer>)> {
    let mut values = Vec::with_capacity(fields.spans.len());
    let mut valid = NullBufferBuilder::new(fields.spans.len());
    let mut scratch = Vec::new();
    for (row, &span) in fields.spans.iter().enumerate() {
        match fields.get(span, &mut scratch) {
            Some(text) => {
                values.push(parse(text).ok_or(Failure::Row(row, None))?);
                valid.append_non_null();
            }
            None => {
                values.push(T::default());
                valid.append_null();
            }
        }
    }
    Ok((values, valid.finish()))
}

impl Fields<'_> {
    /// The text of a field without its escapes; `None` for NULL.
    pub(crate) fn get<'a>(&'a self, span: Span, scratch: &'a mut Vec<u8>) -> Option<&'a [u8]> {
        if span.is_null() {
            return None;
        }
        let mut text = span.of(self.text.as_bytes());
        if span.is_escaped() {
            unescape(text, self.dialect, scratch);
            text = scratch;
        }
        (!self.nulls.is_null(span, text)).then_some(text)
    }
}

/// Which fields are NULL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Nulls {
    /// The texts that mean it.
    pub texts: Vec<String>,
    /// Whether they do so in quotes too.
    pub quoted: bool,
}

impl Nulls {
    /// No field is.
    pub(crate) const NONE: Self = Self { texts: Vec::new(), quoted: false };

    /// Those that the caller wants.
    pub(crate) fn of(options: &CsvOptions) -> Self {
        Self { texts: options.nulls.clone(), quoted: options.quoted_nulls }
    }

    /// Whether a field of a text, its escapes taken back, is NULL.
    pub(crate) fn is_null(&self, span: Span, text: &[u8]) -> bool {
        (self.quoted || !span.is_quoted()) && self.texts.iter().any(|null| null.as_bytes() == text)
    }
}

fn primitive<T: ArrowPrimitiveType>(
    fields: &Fields<'_>,
    parse: impl Fn(&[u8]) -> Option<T::Native>,
) -> Converted<Vector> {
    let (values, nulls) = values(fields, parse)?;
    Ok(Vector::Flat(Arc::new(PrimitiveArray::<T>::new(values.into(), nulls))))
}

/// A whole number.
fn whole<T: TryFrom<i64> + FromStr>(text: &[u8]) -> Option<T> {
    let text = text.trim_ascii();
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    // Up to 18 digits fit 64 bits whatever they are.
    if digits.is_empty() || digits.len() > 18 || !digits.iter().all(u8::is_ascii_digit) {
        return std::str::from_utf8(text).ok()?.parse().ok();
    }
    let number = digits.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0'));
    T::try_from(if digits.len() < text.len() { -number } else { number }).ok()
}

/// Powers of ten that are doubles.
const POWERS: [f64; 16] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

/// The double nearest to a number.
fn float(text: &[u8]) -> Option<f64> {
    short_float(text).or_else(|| parse_float(trimmed(text)?))
}

/// A number of up to 15 digits without an exponent: digits and power of ten are doubles, and one division rounds once.
fn short_float(text: &[u8]) -> Option<f64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    if digits.len() > 16 {
        return None;
    }
    let (mut number, mut count, mut point) = (0_u64, 0_usize, None);
    for &byte in digits {
        match byte {
            b'0'..=b'9' => {
                number = number * 10 + u64::from(byte - b'0');
                count += 1;
            }
            b'.' if point.is_none() => point = Some(count),
            _ => return None,
        }
    }
    if count == 0 || count > 15 {
        return None;
    }
    let value = number as f64 / POWERS[count - point.unwrap_or(count)];
    Some(if digits.len() < text.len() { -value } else { value })
}

fn decimals(fields: &Fields<'_>, precision: u8, scale: i8) -> Converted<Vector> {
    let limit = 10_i128.checked_pow(precision.into()).unwrap_or(i128::MAX);
    let (values, nulls) = values(fields, |text| {
        parse_decimal(trimmed(text)?, scale.into()).filter(|value| value.abs() < limit)
    })?;
    let ty = LogicalType::Decimal { precision, scale };
    if precision > 18 {
        let array = Decimal128Array::new(values.into(), nulls).with_data_type(ty.to_arrow());
        return Ok(Vector::Flat(Arc::new(array)));
    }
    // Below the limit they fit 64 bits.
    let values = values.into_iter().map(|value| value as i64).collect();
    Ok(Vector::Narrow(NarrowVector::from_i64(ty, Int64Array::new(values, nulls))))
}

fn texts(fields: &Fields<'_>) -> Converted<ArrayRef> {
    let mut builder = StringViewBuilder::with_capacity(fields.spans.len());
    let mut scratch = Vec::new();
    for (row, &span) in fields.spans.iter().enumerate() {
        if span.is_null() {
            builder.append_null();
            continue;
        }
        if span.is_escaped() {
            match fields.get(span, &mut scratch) {
                Some(text) => {
                    let text = std::str::from_utf8(text).map_err(|_| Failure::Row(row, None))?;
                    builder.try_append_value(text)?;
                }
                None => builder.append_null(),
            }
            continue;
        }
        let start = span.start as usize;
        let text = fields.text.get(start..start + span.len()).ok_or(Failure::Row(row, None))?;
        match fields.nulls.is_null(span, text.as_bytes()) {
            true => builder.append_null(),
            false => builder.try_append_value(text)?,
        }
    }
    Ok(Arc::new(builder.finish()))
}

fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

fn times(fields: &Fields<'_>, unit: TimeUnit) -> Converted<Vector> {
    let per_second = per_second(unit);
    let time = |text: &[u8]| match parse_clock(trimmed(text)?, per_second)? {
        (time, "") if time < 86_400 * per_second => Some(time),
        _ => None,
    };
    let narrow = |text: &[u8]| time(text).and_then(|time| i32::try_from(time).ok());
    match unit {
        TimeUnit::Second => primitive::<dt::Time32SecondType>(fields, narrow),
        TimeUnit::Millisecond => primitive::<dt::Time32MillisecondType>(fields, narrow),
        TimeUnit::Microsecond => primitive::<dt::Time64MicrosecondType>(fields, time),
        TimeUnit::Nanosecond => primitive::<dt::Time64NanosecondType>(fields, time),
    }
}

fn timestamps(
    fields: &Fields<'_>,
    unit: TimeUnit,
    zone: &Option<Arc<str>>,
    formats: &Formats,
) -> Converted<Vector> {
    if zone.as_deref().is_some_and(|zone| !matches!(zone, "UTC" | "+00:00")) {
        let message = "instants of a zone other than UTC in CSV files";
        return Err(StorageError::Unsupported(message.into()).into());
    }
    let per_second = per_second(unit);
    let (values, nulls) =
        values(fields, |text| formats.timestamp(text.trim_ascii(), per_second, zone.is_some()))?;
    let (values, zone) = (values.into(), zone.clone());
    let array: ArrayRef = match unit {
        TimeUnit::Second => {
            let array = PrimitiveArray::<dt::TimestampSecondType>::new(values, nulls);
            Arc::new(array.with_timezone_opt(zone))
        }
        TimeUnit::Millisecond => {
            let array = PrimitiveArray::<dt::TimestampMillisecondType>::new(values, nulls);
            Arc::new(array.with_timezone_opt(zone))
        }
        TimeUnit::Microsecond => {
            let array = PrimitiveArray::<dt::TimestampMicrosecondType>::new(values, nulls);
            Arc::new(array.with_timezone_opt(zone))
        }
        TimeUnit::Nanosecond => {
            let array = PrimitiveArray::<dt::TimestampNanosecondType>::new(values, nulls);
            Arc::new(array.with_timezone_opt(zone))
        }
    };
    Ok(Vector::Flat(array))
}
