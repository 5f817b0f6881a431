//! Values as normalised bits: what hashing and key packing share.
//!
//! Invariant: two values of one type are equal for GROUP BY and joins exactly if their normalised bits are: -0.0 has the
//! bits of 0.0, every NaN has the same bits, and intervals of one length have the same bits however they spell it.
//! Next: `hash.rs`, `key.rs`.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, ListArray, MapArray,
        PrimitiveArray, StructArray, downcast_primitive_array,
    },
    buffer::{BooleanBuffer, Buffer, NullBuffer, ScalarBuffer},
    datatypes::{
        ArrowNativeType, DataType, Decimal128Type, Float32Type, Float64Type,
        IntervalMonthDayNanoType, UInt8Type, UInt16Type, UInt32Type,
    },
    row::{RowConverter, SortField},
};
use stoadb_storage::{
    LogicalType, TimeUnit, Vector,
    interval::{interval_length, interval_of_length},
    vector::DictionaryVector,
};

use crate::error::{EngineError, Result};

/// The normalised bits of a vector's values, one per row; those under NULL mean nothing.
#[derive(Debug, Clone)]
pub enum Bits {
    /// Of types of up to 64 bits, signed ones sign-extended.
    Narrow(ScalarBuffer<u64>),
    /// Of decimals (sign-extended) and intervals.
    Wide(Vec<u128>),
}

/// How many bits a value of the type needs; `None` for types without a fixed width.
pub fn width(ty: &LogicalType) -> Option<u32> {
    Some(match ty {
        LogicalType::Null => 0,
        LogicalType::Boolean => 1,
        LogicalType::Int8 | LogicalType::UInt8 => 8,
        LogicalType::Int16 | LogicalType::UInt16 => 16,
        LogicalType::Int32
        | LogicalType::UInt32
        | LogicalType::Float32
        | LogicalType::Date
        | LogicalType::Time(TimeUnit::Second | TimeUnit::Millisecond) => 32,
        LogicalType::Int64
        | LogicalType::UInt64
        | LogicalType::Float64
        | LogicalType::Time(_)
        | LogicalType::Timestamp(..)
        | LogicalType::Duration(_) => 64,
        LogicalType::Decimal { precision, .. } if *precision <= 18 => 64,
        LogicalType::Decimal { .. } | LogicalType::Interval => 128,
        LogicalType::Text
        | LogicalType::Blob
        | LogicalType::List(_)
        | LogicalType::Struct(_)
        | LogicalType::Map(..) => return None,
    })
}

/// The bits of a vector whose type has a fixed width.
///
/// # Errors
/// `Internal` for a type without a fixed width, and for a decimal of up to 18 digits that has more.
pub fn bits(vector: &Vector) -> Result<Bits> {
    match vector {
        Vector::Flat(array) => array_bits(array.as_ref()),
        Vector::Constant { value, rows } => Ok(match array_bits(value.array().as_ref())? {
            Bits::Narrow(one) => Bits::Narrow(vec![one[0]; *rows].into()),
            Bits::Wide(one) => Bits::Wide(vec![one[0]; *rows]),
        }),
        Vector::Narrow(narrow) => {
            let values = narrow.values_i64();
            if matches!(width(&narrow.ty), Some(128)) {
                return Ok(Bits::Wide(values.iter().map(|&v| i128::from(v) as u128).collect()));
            }
            let rows = values.len();
            Ok(Bits::Narrow(ScalarBuffer::new(values.into_inner(), 0, rows)))
        }
        Vector::Dictionary(dictionary) => match dictionary_words(dictionary)? {
            Some(words) => Ok(Bits::Narrow(gather_words(dictionary, words))),
            None => array_bits(vector.flatten()?.as_ref()),
        },
    }
}

/// The bits of a dictionary's entries, computed once a dictionary; `None` for types of more than 64 bits.
pub(crate) fn dictionary_words(vector: &DictionaryVector) -> Result<Option<&[u64]>> {
    let ty = LogicalType::from_arrow(vector.dictionary.values().data_type())?;
    if !matches!(width(&ty), Some(0..=64)) {
        return Ok(None);
    }
    let words = vector.dictionary.words(|values| match array_bits(values.as_ref()) {
        Ok(Bits::Narrow(words)) => words.to_vec(),
        _ => Vec::new(),
    });
    // Words are missing only when an entry has too many digits for its type, which `array_bits` reports.
    Ok((words.len() == vector.dictionary.values().len()).then_some(words))
}

/// The word of each row; 0 for a code under NULL into a dictionary without entries.
fn gather_words(vector: &DictionaryVector, words: &[u64]) -> ScalarBuffer<u64> {
    fn gather<T: Copy + Into<u64>>(codes: &[T], words: &[u64]) -> ScalarBuffer<u64> {
        if words.is_empty() {
            return vec![0; codes.len()].into();
        }
        codes.iter().map(|&code| words[code.into() as usize]).collect()
    }
    match vector.codes.data_type() {
        DataType::UInt8 => gather(vector.codes.as_primitive::<UInt8Type>().values(), words),
        DataType::UInt16 => gather(vector.codes.as_primitive::<UInt16Type>().values(), words),
        _ => gather(vector.codes.as_primitive::<UInt32Type>().values(), words),
    }
}

/// The bits of -0.0 are those of 0.0, and all NaNs have the same.
pub fn float64_bits(value: f64) -> u64 {
    if value.is_nan() { f64::NAN.to_bits() } else { (value + 0.0).to_bits() }
}

/// As `float64_bits`.
pub fn float32_bits(value: f32) -> u32 {
    if value.is_nan() { f32::NAN.to_bits() } else { (value + 0.0).to_bits() }
}

fn array_bits(array: &dyn Array) -> Result<Bits> {
    Ok(match array.data_type() {
        DataType::Null => Bits::Narrow(vec![0; array.len()].into()),
        DataType::Boolean => {
            let values = array.as_boolean().values();
            Bits::Narrow(values.iter().map(u64::from).collect())
        }
        DataType::Float32 => {
            let values = array.as_primitive::<Float32Type>().values();
            Bits::Narrow(values.iter().map(|&v| u64::from(float32_bits(v))).collect())
        }
        DataType::Float64 => {
            let values = array.as_primitive::<Float64Type>().values();
            Bits::Narrow(values.iter().map(|&v| float64_bits(v)).collect())
        }
        DataType::Decimal128(precision, _) => {
            let values = array.as_primitive::<Decimal128Type>().values();
            if *precision > 18 {
                return Ok(Bits::Wide(values.iter().map(|&v| v as u128).collect()));
            }
            let fits = |row: usize| i64::try_from(values[row]).is_ok() || array.is_null(row);
            if let Some(row) = (0..values.len()).find(|&row| !fits(row)) {
                return Err(EngineError::Internal(format!(
                    "a decimal of {precision} digits holds {}",
                    values[row]
                )));
            }
            Bits::Narrow(values.iter().map(|&v| v as u64).collect())
        }
        DataType::Interval(_) => {
            let values = array.as_primitive::<IntervalMonthDayNanoType>().values();
            Bits::Wide(values.iter().map(|&v| interval_length(v) as u128).collect())
        }
        _ => integer_bits(array)?,
    })
}

fn integer_bits(array: &dyn Array) -> Result<Bits> {
    fn of<T: ArrowPrimitiveType>(array: &PrimitiveArray<T>) -> Bits {
        if size_of::<T::Native>() == 8 {
            let buffer = array.values().inner().clone();
            return Bits::Narrow(ScalarBuffer::new(buffer, 0, array.len()));
        }
        let widen = |v: &T::Native| v.to_i64().unwrap_or_default() as u64;
        Bits::Narrow(array.values().iter().map(widen).collect())
    }
    downcast_primitive_array!(
        array => Ok(of(array)),
        other => Err(EngineError::Internal(format!("no fixed width for values of type {other}")))
    )
}

/// The array of `rows` values given by row, the inverse of `bits` up to normalisation (intervals come back in their
/// largest units). Bits above the type's width are ignored.
///
/// # Errors
/// `Internal` for a type without a fixed width.
pub fn from_bits(
    ty: &LogicalType,
    rows: usize,
    value: impl Fn(usize) -> u128,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef> {
    let arrow = ty.to_arrow();
    let array: ArrayRef = match width(ty) {
        Some(0) => arrow::array::new_null_array(&arrow, rows),
        Some(1) => {
            let set = BooleanBuffer::collect_bool(rows, |row| value(row) & 1 == 1);
            Arc::new(BooleanArray::new(set, nulls))
        }
        Some(8) => raw(&arrow, &collect(rows, |row| value(row) as u8), nulls)?,
        Some(16) => raw(&arrow, &collect(rows, |row| value(row) as u16), nulls)?,
        Some(32) => raw(&arrow, &collect(rows, |row| value(row) as u32), nulls)?,
        Some(64) if matches!(ty, LogicalType::Decimal { .. }) => {
            raw(&arrow, &collect(rows, |row| i128::from(value(row) as i64)), nulls)?
        }
        Some(64) => raw(&arrow, &collect(rows, |row| value(row) as u64), nulls)?,
        Some(_) if *ty == LogicalType::Interval => {
            let unpack = |row: usize| interval_of_length(value(row) as i128);
            raw(&arrow, &collect(rows, unpack), nulls)?
        }
        Some(_) => raw(&arrow, &collect(rows, |row| value(row) as i128), nulls)?,
        None => return Err(EngineError::Internal(format!("no fixed width for {ty}"))),
    };
    Ok(array)
}

fn collect<T: ArrowNativeType>(rows: usize, f: impl Fn(usize) -> T) -> Buffer {
    Buffer::from_vec((0..rows).map(f).collect::<Vec<T>>())
}

fn raw(ty: &DataType, values: &Buffer, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
    let width = ty.primitive_width().unwrap_or(1);
    let builder = arrow::array::ArrayData::builder(ty.clone())
        .len(values.len() / width)
        .nulls(nulls)
        .add_buffer(values.clone());
    let data = builder.build().map_err(|error| EngineError::Internal(error.to_string()))?;
    Ok(arrow::array::make_array(data))
}

/// Nested values as byte strings that are equal exactly if the values are (NULLs and NaNs inside equal themselves).
pub struct NestedRows {
    converter: RowConverter,
}

impl NestedRows {
    /// For values of a nested type.
    ///
    /// # Errors
    /// `Unsupported` for types that cannot be compared.
    pub fn new(ty: &LogicalType) -> Result<Self> {
        let converter = RowConverter::new(vec![SortField::new(ty.to_arrow())])
            .map_err(|error| EngineError::Unsupported(format!("grouping by {ty}: {error}")))?;
        Ok(Self { converter })
    }

    /// The byte strings of an array's values.
    ///
    /// # Errors
    /// `Internal` when the array is not of the type.
    pub fn encode(&self, array: &ArrayRef) -> Result<arrow::row::Rows> {
        let array = normalise(array)?;
        self.converter.convert_columns(&[array]).map_err(internal)
    }

    /// The values of byte strings that `encode` gave.
    ///
    /// # Errors
    /// `Internal` when they are something else.
    pub fn decode<'a>(&self, rows: impl Iterator<Item = &'a [u8]>) -> Result<ArrayRef> {
        let parser = self.converter.parser();
        let columns = self.converter.convert_rows(rows.map(|row| parser.parse(row)));
        let mut columns = columns.map_err(internal)?;
        columns.pop().ok_or_else(|| EngineError::Internal("no column in a nested key".into()))
    }
}

fn internal(error: arrow::error::ArrowError) -> EngineError {
    EngineError::Internal(error.to_string())
}

/// The same values with normalised floats at every depth.
fn normalise(array: &ArrayRef) -> Result<ArrayRef> {
    Ok(match array.data_type() {
        DataType::Float32 => {
            let values = array.as_primitive::<Float32Type>();
            Arc::new(values.unary::<_, Float32Type>(|v| f32::from_bits(float32_bits(v))))
        }
        DataType::Float64 => {
            let values = array.as_primitive::<Float64Type>();
            Arc::new(values.unary::<_, Float64Type>(|v| f64::from_bits(float64_bits(v))))
        }
        DataType::List(field) => {
            let list = array.as_list::<i32>();
            Arc::new(ListArray::new(
                Arc::clone(field),
                list.offsets().clone(),
                normalise(list.values())?,
                list.nulls().cloned(),
            ))
        }
        DataType::Struct(fields) => {
            let columns = array.as_struct();
            let children = columns.columns().iter().map(normalise).collect::<Result<Vec<_>>>()?;
            if children.is_empty() {
                return Ok(Arc::clone(array));
            }
            Arc::new(StructArray::new(fields.clone(), children, columns.nulls().cloned()))
        }
        DataType::Map(field, sorted) => {
            let map = array.as_map();
            let entries: ArrayRef = Arc::new(map.entries().clone());
            let entries = normalise(&entries)?.as_struct().clone();
            let offsets = map.offsets().clone();
            let nulls = map.nulls().cloned();
            Arc::new(MapArray::new(Arc::clone(field), offsets, entries, nulls, *sorted))
        }
        _ => Arc::clone(array),
    })
}
