//! One typed value: a literal, a bound parameter, a minimum.
//!
//! Invariant: the value is a one-row array of the type's canonical Arrow layout, so that nested types need no case
//! of their own and no kernel needs a second path.

use std::{fmt, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Float64Array, Int64Array,
        StringViewArray, new_null_array,
    },
    datatypes::{Float32Type, Float64Type},
    util::display::{ArrayFormatter, FormatOptions},
};

use crate::{
    error::{Result, StorageError},
    types::LogicalType,
};

/// One typed value, possibly NULL.
#[derive(Debug, Clone)]
pub struct Scalar {
    ty: LogicalType,
    value: ArrayRef,
}

impl Scalar {
    /// NULL of a type.
    pub fn null(ty: LogicalType) -> Self {
        let value = new_null_array(&ty.to_arrow(), 1);
        Self { ty, value }
    }

    /// A boolean.
    pub fn boolean(value: bool) -> Self {
        Self { ty: LogicalType::Boolean, value: Arc::new(BooleanArray::from(vec![value])) }
    }

    /// A BIGINT.
    pub fn int64(value: i64) -> Self {
        Self { ty: LogicalType::Int64, value: Arc::new(Int64Array::from(vec![value])) }
    }

    /// A DOUBLE.
    pub fn float64(value: f64) -> Self {
        Self { ty: LogicalType::Float64, value: Arc::new(Float64Array::from(vec![value])) }
    }

    /// A TEXT.
    pub fn text(value: &str) -> Self {
        Self { ty: LogicalType::Text, value: Arc::new(StringViewArray::from(vec![value])) }
    }

    /// A DECIMAL of the given unscaled value.
    pub fn decimal(value: i128, precision: u8, scale: i8) -> Self {
        let ty = LogicalType::Decimal { precision, scale };
        let array = Decimal128Array::from(vec![value]).with_data_type(ty.to_arrow());
        Self { ty, value: Arc::new(array) }
    }

    /// The value of row `row` of an array, brought into canonical layout.
    ///
    /// # Errors
    /// `Unsupported` when the array's type has no logical type; `Internal` when `row` is out of range.
    pub fn from_array(array: &dyn Array, row: usize) -> Result<Self> {
        if row >= array.len() {
            return Err(StorageError::Internal(format!("row {row} of {} rows", array.len())));
        }
        let ty = LogicalType::from_arrow(array.data_type())?;
        let value = arrow::compute::cast(&array.slice(row, 1), &ty.to_arrow())?;
        // A slice of a view array keeps all of its buffers alive; a scalar must not.
        let value = match &ty {
            LogicalType::Text => Arc::new(value.as_string_view().gc()) as ArrayRef,
            LogicalType::Blob => Arc::new(value.as_binary_view().gc()) as ArrayRef,
            _ => value,
        };
        Ok(Self { ty, value })
    }

    /// The type.
    pub fn ty(&self) -> &LogicalType {
        &self.ty
    }

    /// The value as a one-row array of canonical layout.
    pub fn array(&self) -> &ArrayRef {
        &self.value
    }

    /// Whether the value is NULL.
    pub fn is_null(&self) -> bool {
        self.ty == LogicalType::Null || self.value.is_null(0)
    }

    /// The value of an integer, date, time, timestamp, duration or decimal (unscaled) as a wide integer; `None` for
    /// NULL and for every other type.
    pub fn as_i128(&self) -> Option<i128> {
        use arrow::datatypes as dt;
        use dt::{DataType as D, TimeUnit as U};
        macro_rules! read {
            ($arrow:ident) => {
                i128::from(self.value.as_primitive::<dt::$arrow>().value(0))
            };
        }
        if self.is_null() {
            return None;
        }
        Some(match self.value.data_type() {
            D::Int8 => read!(Int8Type),
            D::Int16 => read!(Int16Type),
            D::Int32 => read!(Int32Type),
            D::Int64 => read!(Int64Type),
            D::UInt8 => read!(UInt8Type),
            D::UInt16 => read!(UInt16Type),
            D::UInt32 => read!(UInt32Type),
            D::UInt64 => read!(UInt64Type),
            D::Decimal128(..) => read!(Decimal128Type),
            D::Date32 => read!(Date32Type),
            D::Time32(U::Second) => read!(Time32SecondType),
            D::Time32(U::Millisecond) => read!(Time32MillisecondType),
            D::Time64(U::Microsecond) => read!(Time64MicrosecondType),
            D::Time64(U::Nanosecond) => read!(Time64NanosecondType),
            D::Timestamp(U::Second, _) => read!(TimestampSecondType),
            D::Timestamp(U::Millisecond, _) => read!(TimestampMillisecondType),
            D::Timestamp(U::Microsecond, _) => read!(TimestampMicrosecondType),
            D::Timestamp(U::Nanosecond, _) => read!(TimestampNanosecondType),
            D::Duration(U::Second) => read!(DurationSecondType),
            D::Duration(U::Millisecond) => read!(DurationMillisecondType),
            D::Duration(U::Microsecond) => read!(DurationMicrosecondType),
            D::Duration(U::Nanosecond) => read!(DurationNanosecondType),
            _ => return None,
        })
    }

    /// The value of a float as a double; `None` for NULL and for every other type.
    pub fn as_f64(&self) -> Option<f64> {
        match self.ty {
            _ if self.is_null() => None,
            LogicalType::Float32 => {
                Some(f64::from(self.value.as_primitive::<Float32Type>().value(0)))
            }
            LogicalType::Float64 => Some(self.value.as_primitive::<Float64Type>().value(0)),
            _ => None,
        }
    }

    /// The value of a text; `None` for NULL and for every other type.
    pub fn as_str(&self) -> Option<&str> {
        match self.ty {
            LogicalType::Text if !self.is_null() => Some(self.value.as_string_view().value(0)),
            _ => None,
        }
    }

    /// The value of a text or blob as bytes; `None` for NULL and for every other type.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self.ty {
            LogicalType::Blob if !self.is_null() => Some(self.value.as_binary_view().value(0)),
            _ => self.as_str().map(str::as_bytes),
        }
    }

    /// The value of a boolean; `None` for NULL and for every other type.
    pub fn as_bool(&self) -> Option<bool> {
        match self.ty {
            LogicalType::Boolean if !self.is_null() => Some(self.value.as_boolean().value(0)),
            _ => None,
        }
    }
}

/// Two scalars are equal when their types and their values are; NULL equals NULL, as plans need it.
impl PartialEq for Scalar {
    fn eq(&self, other: &Self) -> bool {
        self.ty == other.ty && self.value.to_data() == other.value.to_data()
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_null() {
            return f.write_str("NULL");
        }
        let options = FormatOptions::default();
        let shown = ArrayFormatter::try_new(self.value.as_ref(), &options)
            .and_then(|formatter| formatter.value(0).try_to_string());
        // Dates beyond the calendar that Arrow prints are shown as the number that they are.
        let text = match (shown, self.as_i128()) {
            (Ok(text), _) => text,
            (Err(_), Some(number)) => number.to_string(),
            (Err(_), None) => "?".to_string(),
        };
        match self.ty {
            LogicalType::Text => write!(f, "'{}'", text.replace('\'', "''")),
            ref ty if ty.is_numeric() || *ty == LogicalType::Boolean => f.write_str(&text),
            ref ty => write!(f, "{ty} '{text}'"),
        }
    }
}
