//! Columns of machine types out of vectors, and arrays out of machine values.
//!
//! Invariant: a `Column` either has one value per row or is marked constant and has one value in all; a constant
//! column is never NULL (a constant NULL is expanded). Next: `arity.rs`.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayData, ArrayRef, AsArray, BinaryViewArray, BooleanArray, StringViewArray,
        make_array,
    },
    buffer::{Buffer, NullBuffer, ScalarBuffer},
    datatypes::{ArrowNativeType, DataType},
};
use stoadb_storage::{LogicalType, Scalar, Vector, vector::NarrowVector};

use crate::error::{EngineError, Result};

/// How the values of a type lie in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Physical {
    Bool,
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
    F32,
    F64,
    I128,
    Bytes,
    Interval,
    Other,
}

impl Physical {
    /// The layout of a type's canonical array.
    pub(crate) fn of(ty: &LogicalType) -> Self {
        use stoadb_storage::TimeUnit::{Millisecond, Second};
        match ty {
            LogicalType::Boolean => Self::Bool,
            LogicalType::Int8 => Self::I8,
            LogicalType::Int16 => Self::I16,
            LogicalType::Int32 | LogicalType::Date | LogicalType::Time(Second | Millisecond) => {
                Self::I32
            }
            LogicalType::Int64
            | LogicalType::Time(_)
            | LogicalType::Timestamp(..)
            | LogicalType::Duration(_) => Self::I64,
            LogicalType::UInt8 => Self::U8,
            LogicalType::UInt16 => Self::U16,
            LogicalType::UInt32 => Self::U32,
            LogicalType::UInt64 => Self::U64,
            LogicalType::Float32 => Self::F32,
            LogicalType::Float64 => Self::F64,
            LogicalType::Decimal { .. } => Self::I128,
            LogicalType::Text | LogicalType::Blob => Self::Bytes,
            LogicalType::Interval => Self::Interval,
            LogicalType::Null
            | LogicalType::List(_)
            | LogicalType::Struct(_)
            | LogicalType::Map(..) => Self::Other,
        }
    }
}

/// Runs a body with the machine type of a physical number, or another body for everything else.
macro_rules! with_number {
    ($physical:expr, $t:ident => $body:expr, _ => $other:expr) => {{
        match $physical {
            $crate::kernel::physical::Physical::I8 => {
                type $t = i8;
                $body
            }
            $crate::kernel::physical::Physical::I16 => {
                type $t = i16;
                $body
            }
            $crate::kernel::physical::Physical::I32 => {
                type $t = i32;
                $body
            }
            $crate::kernel::physical::Physical::I64 => {
                type $t = i64;
                $body
            }
            $crate::kernel::physical::Physical::U8 => {
                type $t = u8;
                $body
            }
            $crate::kernel::physical::Physical::U16 => {
                type $t = u16;
                $body
            }
            $crate::kernel::physical::Physical::U32 => {
                type $t = u32;
                $body
            }
            $crate::kernel::physical::Physical::U64 => {
                type $t = u64;
                $body
            }
            $crate::kernel::physical::Physical::F32 => {
                type $t = f32;
                $body
            }
            $crate::kernel::physical::Physical::F64 => {
                type $t = f64;
                $body
            }
            $crate::kernel::physical::Physical::I128 => {
                type $t = i128;
                $body
            }
            _ => $other,
        }
    }};
}
pub(crate) use with_number;

pub(crate) use stoadb_storage::with_offsets;

/// Runs a body with the codes of a dictionary vector as a slice of their own width: `u8`, `u16` or `u32`.
macro_rules! with_codes {
    ($codes:expr, $values:ident => $body:expr) => {{
        use ::arrow::array::AsArray as _;
        let codes = &$codes;
        match codes.data_type() {
            ::arrow::datatypes::DataType::UInt8 => {
                let $values: &[u8] = codes.as_primitive::<::arrow::datatypes::UInt8Type>().values();
                $body
            }
            ::arrow::datatypes::DataType::UInt16 => {
                let $values: &[u16] =
                    codes.as_primitive::<::arrow::datatypes::UInt16Type>().values();
                $body
            }
            _ => {
                let $values: &[u32] =
                    codes.as_primitive::<::arrow::datatypes::UInt32Type>().values();
                $body
            }
        }
    }};
}
pub(crate) use with_codes;

/// An offset of any width in 64 bits.
#[inline]
pub(crate) fn offset_value(offset: impl Into<i64>) -> i64 {
    offset.into()
}

/// The values of a vector as machine values.
#[derive(Debug, Clone)]
pub(crate) struct Column<T: ArrowNativeType> {
    /// One per row, or one in all.
    pub(crate) values: ScalarBuffer<T>,
    /// NULLs; `None` when there are none or the column is constant.
    pub(crate) nulls: Option<NullBuffer>,
    /// Whether the one value stands for every row.
    pub(crate) constant: bool,
}

impl<T: ArrowNativeType> Column<T> {
    /// The value of a row.
    pub(crate) fn get(&self, row: usize) -> T {
        self.values[if self.constant { 0 } else { row }]
    }

    /// Whether a row is not NULL.
    pub(crate) fn is_valid(&self, row: usize) -> bool {
        self.nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row))
    }
}

/// The values of a vector whose canonical layout is an array of `T`.
pub(crate) fn column<T: ArrowNativeType>(vector: &Vector) -> Result<Column<T>> {
    match vector {
        Vector::Constant { value, .. } if !value.is_null() => {
            Ok(Column { values: buffer(value.array().as_ref())?, nulls: None, constant: true })
        }
        Vector::Narrow(narrow) if Physical::of(&narrow.ty) != Physical::I64 => {
            let nulls = narrow.offsets.nulls().cloned();
            Ok(Column { values: widened(narrow)?, nulls, constant: false })
        }
        Vector::Narrow(_) => {
            let Column { values, nulls, constant } = column_i64(vector)?;
            Ok(Column { values: cast_buffer(values.into_inner())?, nulls, constant })
        }
        _ => {
            let array = vector.flatten()?;
            let values = buffer(array.as_ref())?;
            Ok(Column { values, nulls: array.nulls().cloned(), constant: false })
        }
    }
}

/// The values of a 64-bit vector: without decoding when it is narrow with 64-bit offsets.
pub(crate) fn column_i64(vector: &Vector) -> Result<Column<i64>> {
    let Vector::Narrow(narrow) = vector else { return column(vector) };
    if let Some(charge) = &narrow.charge
        && *narrow.offsets.data_type() != DataType::Int64
    {
        charge.decoded(8 * narrow.offsets.len() as u64);
    }
    let nulls = narrow.offsets.nulls().cloned();
    Ok(Column { values: narrow.values_i64(), nulls, constant: false })
}

/// The values of a narrow vector in the width of its type, in one pass. Charged as decoded.
fn widened<T: ArrowNativeType>(narrow: &NarrowVector) -> Result<ScalarBuffer<T>> {
    let base = narrow.base;
    let buffer = with_number!(Physical::of(&narrow.ty), N => with_offsets!(narrow.offsets, offsets => {
        let widen = |&offset| base.wrapping_add(offset_value(offset)) as N;
        Buffer::from_vec(offsets.iter().map(widen).collect::<Vec<N>>())
    }), _ => return Err(EngineError::Internal(format!("{} in narrow offsets", narrow.ty))));
    if let Some(charge) = &narrow.charge {
        charge.decoded(buffer.len() as u64);
    }
    cast_buffer(buffer)
}

fn cast_buffer<T: ArrowNativeType>(buffer: Buffer) -> Result<ScalarBuffer<T>> {
    let rows = buffer.len() / size_of::<T>();
    match buffer.len().is_multiple_of(size_of::<T>()) {
        true => Ok(ScalarBuffer::new(buffer, 0, rows)),
        false => Err(EngineError::Internal("values of another width".into())),
    }
}

/// The first buffer of an array of fixed-width values.
pub(crate) fn buffer<T: ArrowNativeType>(array: &dyn Array) -> Result<ScalarBuffer<T>> {
    let data = array.to_data();
    match (data.data_type().primitive_width(), data.buffers().first()) {
        (Some(width), Some(buffer)) if width == size_of::<T>() => {
            Ok(ScalarBuffer::new(buffer.clone(), data.offset(), data.len()))
        }
        _ => Err(EngineError::Internal(format!(
            "values of {} bytes in an array of {}",
            size_of::<T>(),
            data.data_type()
        ))),
    }
}

/// A vector of machine values under a type whose canonical layout is an array of them.
pub(crate) fn vector_of<T: ArrowNativeType>(
    ty: &LogicalType,
    values: impl Into<ScalarBuffer<T>>,
    nulls: Option<NullBuffer>,
) -> Result<Vector> {
    let values: ScalarBuffer<T> = values.into();
    let data = ArrayData::builder(ty.to_arrow())
        .len(values.len())
        .add_buffer(values.into_inner())
        .nulls(nulls)
        .build()?;
    Ok(Vector::Flat(make_array(data)))
}

/// A boolean vector.
pub(crate) fn boolean_vector(array: BooleanArray) -> Vector {
    Vector::Flat(Arc::new(array))
}

/// NULL in every row.
pub(crate) fn null_vector(ty: &LogicalType, rows: usize) -> Vector {
    Vector::Constant { value: Scalar::null(ty.clone()), rows }
}

/// Whether a vector is NULL in every row by its encoding or type.
pub(crate) fn is_constant_null(vector: &Vector) -> bool {
    match vector {
        Vector::Constant { value, .. } => value.is_null(),
        Vector::Flat(array) => *array.data_type() == DataType::Null,
        _ => false,
    }
}

/// The values of a text or blob vector as bytes.
#[derive(Debug, Clone)]
pub(crate) struct Bytes {
    /// One per row, or one in all.
    pub(crate) array: BinaryViewArray,
    /// Whether the one value stands for every row.
    pub(crate) constant: bool,
}

impl Bytes {
    /// The values of a vector.
    pub(crate) fn new(vector: &Vector) -> Result<Self> {
        let (array, constant) = one_or_all(vector)?;
        let array = match array.as_string_view_opt() {
            Some(text) => text.clone().to_binary_view(),
            None => array.as_binary_view_opt().cloned().ok_or_else(|| mistyped("bytes", &array))?,
        };
        Ok(Self { array, constant })
    }

    /// The value of a row; arbitrary under NULL.
    pub(crate) fn get(&self, row: usize) -> &[u8] {
        self.array.value(if self.constant { 0 } else { row })
    }
}

/// The values of a text vector.
#[derive(Debug, Clone)]
pub(crate) struct Texts {
    /// One per row, or one in all.
    pub(crate) array: StringViewArray,
    /// Whether the one value stands for every row.
    pub(crate) constant: bool,
}

impl Texts {
    /// The values of a vector.
    pub(crate) fn new(vector: &Vector) -> Result<Self> {
        let (array, constant) = one_or_all(vector)?;
        let array = array.as_string_view_opt().cloned();
        let array = array.ok_or_else(|| EngineError::Internal("a text was expected".into()))?;
        Ok(Self { array, constant })
    }

    /// The value of a row; arbitrary under NULL.
    pub(crate) fn get(&self, row: usize) -> &str {
        self.array.value(if self.constant { 0 } else { row })
    }

    /// The value of a row, `None` for NULL.
    pub(crate) fn at(&self, row: usize) -> Option<&str> {
        let row = if self.constant { 0 } else { row };
        self.array.is_valid(row).then(|| self.array.value(row))
    }
}

/// The one-row array of a constant that is not NULL, or the array of all rows; and which of the two.
pub(crate) fn one_or_all(vector: &Vector) -> Result<(ArrayRef, bool)> {
    Ok(match vector {
        Vector::Constant { value, .. } if !value.is_null() => (Arc::clone(value.array()), true),
        _ => (vector.flatten()?, false),
    })
}

/// The boolean array of a vector.
pub(crate) fn booleans(vector: &Vector) -> Result<BooleanArray> {
    let array = vector.flatten()?;
    if *array.data_type() == DataType::Null {
        return Ok(BooleanArray::new_null(array.len()));
    }
    array.as_boolean_opt().cloned().ok_or_else(|| mistyped("a boolean", &array))
}

fn mistyped(expected: &str, array: &ArrayRef) -> EngineError {
    EngineError::Internal(format!("{expected} was expected, not {}", array.data_type()))
}
