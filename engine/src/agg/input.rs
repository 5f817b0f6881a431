//! Arguments as slices that kernels run over.
//!
//! Invariant: the vectors given have no NULLs that matter; values under NULL are arbitrary.

use std::{cmp::Ordering, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, Int64Array},
    buffer::ScalarBuffer,
    datatypes::{DataType, Decimal128Type, Float32Type, Float64Type},
};
use stoadb_storage::{LogicalType, Vector, vector::DictionaryVector};

use crate::{
    error::{EngineError, Result},
    kernel::{
        bits::{self, Bits, NestedRows},
        physical::{offset_value, with_codes, with_offsets},
    },
};

/// Whole numbers (unscaled, for decimals).
pub(crate) enum Ints {
    /// Offsets of any narrow width from a base, for `with_offsets!`.
    Narrow(ArrayRef, i64),
    Unsigned(ScalarBuffer<u64>),
    Wide(ScalarBuffer<i128>),
}

/// The values of integers, decimals, dates, times, timestamps and durations. Narrow vectors stay in their width.
///
/// # Errors
/// `Internal` for other types.
pub(crate) fn ints(vector: &Vector) -> Result<Ints> {
    if let Vector::Narrow(narrow) = vector {
        return Ok(Ints::Narrow(Arc::clone(&narrow.offsets), narrow.base));
    }
    let ty = vector.ty()?;
    let is_dictionary = matches!(vector, Vector::Dictionary(_));
    if matches!(ty, LogicalType::Decimal { .. }) && !is_dictionary {
        let array = vector.flatten()?;
        return Ok(Ints::Wide(array.as_primitive::<Decimal128Type>().values().clone()));
    }
    match bits::bits(vector)? {
        Bits::Narrow(values) if ty == LogicalType::UInt64 => Ok(Ints::Unsigned(values)),
        Bits::Narrow(values) => {
            let values = ScalarBuffer::<i64>::from(values.into_inner());
            Ok(Ints::Narrow(Arc::new(Int64Array::new(values, None)), 0))
        }
        Bits::Wide(values) if matches!(ty, LogicalType::Decimal { .. }) => {
            Ok(Ints::Wide(values.iter().map(|&v| v as i128).collect()))
        }
        Bits::Wide(_) => Err(EngineError::Internal("intervals are no whole numbers".into())),
    }
}

/// The values of numbers as doubles, rounded once where they do not fit.
///
/// # Errors
/// `Internal` for other types.
pub(crate) fn doubles(vector: &Vector) -> Result<ScalarBuffer<f64>> {
    if let Vector::Dictionary(dictionary) = vector
        && let Some(entries) = dictionary.dictionary.values().as_primitive_opt::<Float64Type>()
    {
        return Ok(gather(dictionary, entries.values()));
    }
    let ty = vector.ty()?;
    match ty {
        LogicalType::Null => return Ok(vec![0.0; vector.len()].into()),
        LogicalType::Float64 => {
            return Ok(vector.flatten()?.as_primitive::<Float64Type>().values().clone());
        }
        LogicalType::Float32 => {
            let array = vector.flatten()?;
            let values = array.as_primitive::<Float32Type>().values();
            return Ok(values.iter().map(|&v| f64::from(v)).collect());
        }
        _ => {}
    }
    let unit = match ty {
        LogicalType::Decimal { scale, .. } => 10_f64.powi(scale.into()),
        _ => 1.0,
    };
    Ok(match ints(vector)? {
        Ints::Narrow(offsets, base) => with_offsets!(offsets, offsets => {
            let value = |&offset| base.wrapping_add(offset_value(offset)) as f64 / unit;
            offsets.iter().map(value).collect()
        }),
        Ints::Unsigned(values) => values.iter().map(|&v| v as f64 / unit).collect(),
        Ints::Wide(values) => values.iter().map(|&v| v as f64 / unit).collect(),
    })
}

/// The entry of each row; 0 for a code under NULL into a dictionary without entries.
fn gather(vector: &DictionaryVector, entries: &[f64]) -> ScalarBuffer<f64> {
    if entries.is_empty() {
        return vec![0.0; vector.codes.len()].into();
    }
    with_codes!(vector.codes, codes => codes.iter().map(|&code| entries[code as usize]).collect())
}

/// Rows of numbers that are made doubles at once: these stay in the nearest cache.
const PIECE: usize = 2048;

/// Calls `f` with the values of consecutive rows as doubles, and the first of these rows.
///
/// # Errors
/// As `doubles`.
pub(crate) fn for_each_doubles(vector: &Vector, mut f: impl FnMut(usize, &[f64])) -> Result<()> {
    if let Vector::Flat(array) = vector
        && let Some(values) = array.as_primitive_opt::<Float64Type>()
    {
        f(0, values.values());
        return Ok(());
    }
    for first in (0..vector.len()).step_by(PIECE) {
        let piece = vector.slice(first, PIECE.min(vector.len() - first));
        f(first, &doubles(&piece)?);
    }
    Ok(())
}

/// Values by their order: numbers whose order is that of the values, or byte strings.
pub(crate) enum OrderKeys {
    Int(Vec<i128>),
    Text(ArrayRef),
    Nested(arrow::row::Rows),
}

impl OrderKeys {
    /// The keys of a vector; those under NULL are arbitrary. NaN is the largest float, intervals compare by their length
    /// with months of 30 days.
    ///
    /// # Errors
    /// `Unsupported` for nested types that cannot be compared.
    pub(crate) fn new(vector: &Vector) -> Result<Self> {
        let ty = vector.ty()?;
        match ty {
            LogicalType::Text | LogicalType::Blob => return Ok(Self::Text(vector.flatten()?)),
            _ if ty.is_nested() => {
                return Ok(Self::Nested(NestedRows::new(&ty)?.encode(&vector.flatten()?)?));
            }
            _ => {}
        }
        Ok(Self::Int(match bits::bits(vector)? {
            Bits::Narrow(values) => {
                let order = ordering(&ty);
                values.iter().map(|&v| i128::from(order(v))).collect()
            }
            Bits::Wide(values) => values.iter().map(|&v| v as i128).collect(),
        }))
    }

    /// How two rows compare.
    #[inline]
    pub(crate) fn compare(&self, a: usize, b: usize) -> Ordering {
        match self {
            Self::Int(keys) => keys[a].cmp(&keys[b]),
            Self::Text(array) => text(array, a).cmp(text(array, b)),
            Self::Nested(rows) => rows.row(a).cmp(&rows.row(b)),
        }
    }

    /// The key of a row, to be kept.
    pub(crate) fn key(&self, row: usize) -> OrderKey {
        match self {
            Self::Int(keys) => OrderKey::Int(keys[row]),
            Self::Text(array) => OrderKey::Bytes(text(array, row).into()),
            Self::Nested(rows) => OrderKey::Bytes(rows.row(row).data().into()),
        }
    }

    /// How a row compares to a key that was kept.
    #[inline]
    pub(crate) fn compare_to(&self, row: usize, key: &OrderKey) -> Ordering {
        match (self, key) {
            (Self::Int(keys), OrderKey::Int(key)) => keys[row].cmp(key),
            (Self::Text(array), OrderKey::Bytes(key)) => text(array, row).cmp(key),
            (Self::Nested(rows), OrderKey::Bytes(key)) => rows.row(row).data().cmp(key),
            _ => Ordering::Equal,
        }
    }
}

/// One row's key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum OrderKey {
    Int(i128),
    Bytes(Arc<[u8]>),
}

/// From normalised bits to numbers of the same order; for types of up to 64 bits. Its own inverse.
pub(crate) fn ordering(ty: &LogicalType) -> fn(u64) -> i64 {
    match ty {
        LogicalType::Float64 => |v| (v ^ (((v as i64) >> 63) as u64 >> 1)) as i64,
        LogicalType::Float32 => |v| {
            let v = v as u32;
            i64::from((v ^ (((v as i32) >> 31) as u32 >> 1)) as i32)
        },
        LogicalType::UInt64 => |v| (v ^ (1 << 63)) as i64,
        _ => |v| v as i64,
    }
}

/// The bytes of a text or blob.
#[inline]
pub(crate) fn text(array: &ArrayRef, row: usize) -> &[u8] {
    match array.data_type() {
        DataType::Utf8View => array.as_string_view().value(row).as_bytes(),
        _ => array.as_binary_view().value(row),
    }
}
