//! What a footer says of the values of a row group: bounds, NULLs, bloom filters.
//!
//! Invariant: conservative. Statistics whose order is not known to be ours are ignored; NaN is never known to be absent;
//! truncated bounds are bounds still; contradictory ones (min above max) are dropped.
//! Next: `scan.rs`.

use std::{cmp::Ordering, sync::Arc};

use arrow::{
    array::{
        ArrayRef, BinaryViewArray, Date32Array, Float32Array, Int64Array, PrimitiveArray,
        UInt64Array,
    },
    compute,
    datatypes::{
        ArrowPrimitiveType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
        TimestampNanosecondType,
    },
};
use parquet::{
    basic::{ColumnOrder, SortOrder, Type},
    bloom_filter::Sbbf,
    data_type::AsBytes,
    file::{metadata::ParquetMetaData, statistics::Statistics},
};

use crate::{
    prune::{ColumnRange, Prune, PruneOp, compare_scalars},
    scalar::Scalar,
    types::LogicalType,
};

/// What is known of a flat column of logical type `ty` in a row group.
pub(crate) fn group_range(
    metadata: &ParquetMetaData,
    group: usize,
    leaf: usize,
    ty: &LogicalType,
) -> ColumnRange {
    let chunk = metadata.row_group(group).column(leaf);
    let unknown = ColumnRange { no_nan: !ty.is_float(), ..ColumnRange::default() };
    let Some(stats) = chunk.statistics() else { return unknown };
    let rows = u64::try_from(chunk.num_values()).unwrap_or(0);
    let nulls = stats.null_count_opt().filter(|&nulls| nulls <= rows);
    let unknown = ColumnRange { nulls, ..unknown };
    let bytes = matches!(stats, Statistics::ByteArray(_) | Statistics::FixedLenByteArray(_));
    if !ordered(metadata, leaf, bytes, stats.is_min_max_deprecated()) {
        return unknown;
    }
    let (min, max) = (bound(stats, ty, true), bound(stats, ty, false));
    match (&min, &max) {
        (Some(a), Some(b)) if compare_scalars(a, b).is_none_or(Ordering::is_gt) => unknown,
        _ => ColumnRange { min, max, ..unknown },
    }
}

/// Whether the statistics are ordered as our values are.
fn ordered(metadata: &ParquetMetaData, leaf: usize, bytes: bool, deprecated: bool) -> bool {
    let file = metadata.file_metadata();
    let declared = file.column_orders().and_then(|orders| orders.get(leaf).copied());
    let order = file.schema_descr().column(leaf).sort_order();
    match declared {
        Some(ColumnOrder::TYPE_DEFINED_ORDER(_)) if !deprecated => order != SortOrder::UNDEFINED,
        Some(ColumnOrder::UNKNOWN) => false,
        // Before orders were declared, every comparison was signed.
        _ => order == SortOrder::SIGNED && !bytes,
    }
}

fn bound(stats: &Statistics, ty: &LogicalType, lower: bool) -> Option<Scalar> {
    macro_rules! value {
        ($values:expr) => {
            (if lower { $values.min_opt() } else { $values.max_opt() })?
        };
    }
    match stats {
        Statistics::Boolean(values) if *ty == LogicalType::Boolean => {
            Some(Scalar::boolean(*value!(values)))
        }
        Statistics::Int32(values) => from_int32(*value!(values), ty),
        Statistics::Int64(values) => from_int64(*value!(values), ty),
        Statistics::Float(values) if *ty == LogicalType::Float32 => {
            let value = Some(*value!(values)).filter(|value| !value.is_nan())?;
            scalar(Arc::new(Float32Array::from(vec![value])))
        }
        Statistics::Double(values) if *ty == LogicalType::Float64 => {
            let value = Some(*value!(values)).filter(|value| !value.is_nan())?;
            Some(Scalar::float64(value))
        }
        Statistics::ByteArray(values) => from_bytes(value!(values).data(), ty),
        Statistics::FixedLenByteArray(values) => match ty {
            // Half floats and UUIDs stand in fixed-length byte arrays.
            LogicalType::Float32 | LogicalType::Text => None,
            _ => from_bytes(value!(values).data(), ty),
        },
        _ => None,
    }
}

/// A bound of a page's values, from its plain encoding.
pub(crate) fn page_bound(
    metadata: &ParquetMetaData,
    leaf: usize,
    physical: Type,
    bytes: &[u8],
    ty: &LogicalType,
) -> Option<Scalar> {
    let is_bytes = matches!(physical, Type::BYTE_ARRAY | Type::FIXED_LEN_BYTE_ARRAY);
    if !ordered(metadata, leaf, is_bytes, false) {
        return None;
    }
    match physical {
        Type::BOOLEAN if *ty == LogicalType::Boolean => Some(Scalar::boolean(*bytes.first()? != 0)),
        Type::INT32 => from_int32(i32::from_le_bytes(bytes.try_into().ok()?), ty),
        Type::INT64 => from_int64(i64::from_le_bytes(bytes.try_into().ok()?), ty),
        Type::FLOAT if *ty == LogicalType::Float32 => {
            let value = f32::from_le_bytes(bytes.try_into().ok()?);
            (!value.is_nan()).then(|| scalar(Arc::new(Float32Array::from(vec![value]))))?
        }
        Type::DOUBLE if *ty == LogicalType::Float64 => {
            let value = f64::from_le_bytes(bytes.try_into().ok()?);
            (!value.is_nan()).then(|| Scalar::float64(value))
        }
        Type::BYTE_ARRAY => from_bytes(bytes, ty),
        Type::FIXED_LEN_BYTE_ARRAY if !ty.is_float() && *ty != LogicalType::Text => {
            from_bytes(bytes, ty)
        }
        _ => None,
    }
}

fn scalar(array: ArrayRef) -> Option<Scalar> {
    Scalar::from_array(array.as_ref(), 0).ok()
}

fn from_int32(value: i32, ty: &LogicalType) -> Option<Scalar> {
    match ty {
        LogicalType::Date => scalar(Arc::new(Date32Array::from(vec![value]))),
        LogicalType::UInt8 | LogicalType::UInt16 | LogicalType::UInt32 => {
            let array: ArrayRef =
                Arc::new(UInt64Array::from(vec![u64::from(value.cast_unsigned())]));
            cast(&array, ty)
        }
        LogicalType::Int8 | LogicalType::Int16 | LogicalType::Int32 | LogicalType::Time(_) => {
            let array: ArrayRef = Arc::new(arrow::array::Int32Array::from(vec![value]));
            cast(&array, ty)
        }
        LogicalType::Decimal { precision, scale } => {
            Some(Scalar::decimal(value.into(), *precision, *scale))
        }
        _ => None,
    }
}

fn from_int64(value: i64, ty: &LogicalType) -> Option<Scalar> {
    match ty {
        LogicalType::UInt64 => scalar(Arc::new(UInt64Array::from(vec![value.cast_unsigned()]))),
        LogicalType::Int64 | LogicalType::Time(_) | LogicalType::Duration(_) => {
            let array: ArrayRef = Arc::new(Int64Array::from(vec![value]));
            cast(&array, ty)
        }
        LogicalType::Timestamp(unit, _) => match unit {
            TimeUnit::Second => None,
            TimeUnit::Millisecond => timestamp::<TimestampMillisecondType>(value, ty),
            TimeUnit::Microsecond => timestamp::<TimestampMicrosecondType>(value, ty),
            TimeUnit::Nanosecond => timestamp::<TimestampNanosecondType>(value, ty),
        },
        LogicalType::Decimal { precision, scale } => {
            Some(Scalar::decimal(value.into(), *precision, *scale))
        }
        _ => None,
    }
}

fn timestamp<T>(value: i64, ty: &LogicalType) -> Option<Scalar>
where
    T: ArrowPrimitiveType<Native = i64>,
{
    let array = PrimitiveArray::<T>::new(vec![value].into(), None).with_data_type(ty.to_arrow());
    scalar(Arc::new(array))
}

/// A value cast without change; a value that does not fit gives nothing.
fn cast(array: &ArrayRef, ty: &LogicalType) -> Option<Scalar> {
    let options = compute::CastOptions { safe: false, ..Default::default() };
    scalar(compute::cast_with_options(array, &ty.to_arrow(), &options).ok()?)
}

fn from_bytes(bytes: &[u8], ty: &LogicalType) -> Option<Scalar> {
    match ty {
        LogicalType::Text => Some(Scalar::text(std::str::from_utf8(bytes).ok()?)),
        LogicalType::Blob => scalar(Arc::new(BinaryViewArray::from(vec![bytes]))),
        LogicalType::Decimal { precision, scale } if (1..=16).contains(&bytes.len()) => {
            let fill = if bytes[0] & 0x80 == 0 { 0 } else { 0xff };
            let mut wide = [fill; 16];
            wide[16 - bytes.len()..].copy_from_slice(bytes);
            Some(Scalar::decimal(i128::from_be_bytes(wide), *precision, *scale))
        }
        _ => None,
    }
}

/// A bloom filter and the physical type of its values.
pub(crate) type Bloom = (Sbbf, Type);

/// Whether bloom filters allow a match. `filter` gives the filter of a column, if it has one.
///
/// # Errors
/// Those of `filter`.
pub(crate) fn bloom_may_match<E>(
    prune: &Prune,
    filter: &mut dyn FnMut(usize) -> Result<Option<Bloom>, E>,
) -> Result<bool, E> {
    let mut any = |column: usize, values: &[Scalar]| {
        let Some((filter, ty)) = filter(column)? else { return Ok(true) };
        Ok(values.iter().any(|value| in_filter(&filter, ty, value)))
    };
    match prune {
        Prune::Compare { column, op: PruneOp::Eq, value } => {
            any(*column, std::slice::from_ref(value))
        }
        Prune::In { column, values } => any(*column, values),
        Prune::And(parts) => {
            for part in parts {
                if !bloom_may_match(part, filter)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        Prune::Or(parts) => {
            for part in parts {
                if bloom_may_match(part, filter)? {
                    return Ok(true);
                }
            }
            Ok(parts.is_empty())
        }
        _ => Ok(true),
    }
}

fn in_filter(filter: &Sbbf, ty: Type, value: &Scalar) -> bool {
    fn check<T: AsBytes>(filter: &Sbbf, value: Option<T>) -> bool {
        value.is_none_or(|value| filter.check(&value))
    }
    match (ty, value.ty()) {
        (Type::BYTE_ARRAY, LogicalType::Text | LogicalType::Blob) => {
            value.as_bytes().is_none_or(|bytes| filter.check(bytes))
        }
        // Unsigned values are hashed by their bits; decimals by their unscaled value.
        (Type::INT32, ty) if !ty.is_float() => {
            let narrow = |v: i128| {
                i32::try_from(v).ok().or_else(|| u32::try_from(v).ok().map(u32::cast_signed))
            };
            check(filter, value.as_i128().and_then(narrow))
        }
        (Type::INT64, ty) if !ty.is_float() => {
            let narrow = |v: i128| {
                i64::try_from(v).ok().or_else(|| u64::try_from(v).ok().map(u64::cast_signed))
            };
            check(filter, value.as_i128().and_then(narrow))
        }
        // Floats are left out: -0.0 equals 0.0, and NaN has many bit patterns.
        _ => true,
    }
}
