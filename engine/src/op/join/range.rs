//! The smallest and the largest build key as scalars, for pruning the probe side's scan.
//!
//! Invariant: conservative; where a bound would have to consider NaN or NULL there is none.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Float32Array, Float64Array, Int64Array, UInt64Array};
use stoadb_storage::{LogicalType, Scalar, Vector, vector::NarrowVector};

use super::{
    Built,
    key::KeyColumn,
    lane::{double_of, unshift},
};

/// The bounds of key `key`.
pub(super) fn bounds(column: &KeyColumn, key: usize, built: &Built) -> Option<(Scalar, Scalar)> {
    let Some(range) = built.ranges.get(key).copied().flatten() else {
        let coder = built.coder.as_ref().filter(|_| !column.null_equal)?;
        return text_bounds(&column.ty, coder.strings(key)?);
    };
    if column.null_equal && range.nulls {
        return None;
    }
    let (min, max) = range.bounds?;
    let array: ArrayRef = match &column.ty {
        LogicalType::Boolean | LogicalType::Interval => return None,
        LogicalType::UInt64 => Arc::new(UInt64Array::from(vec![unshift(min), unshift(max)])),
        LogicalType::Float32 | LogicalType::Float64 => {
            let (min, max) = (double_of(min), double_of(max));
            if min.is_nan() || max.is_nan() {
                return None;
            }
            match column.ty {
                LogicalType::Float32 => Arc::new(Float32Array::from(vec![min as f32, max as f32])),
                _ => Arc::new(Float64Array::from(vec![min, max])),
            }
        }
        ty => {
            let values = Int64Array::from(vec![min, max]);
            Vector::Narrow(NarrowVector::from_i64(ty.clone(), values)).flatten().ok()?
        }
    };
    pair(array.as_ref())
}

fn pair(array: &dyn Array) -> Option<(Scalar, Scalar)> {
    Some((Scalar::from_array(array, 0).ok()?, Scalar::from_array(array, 1).ok()?))
}

fn text_bounds<'a>(
    ty: &LogicalType,
    strings: impl Iterator<Item = &'a [u8]>,
) -> Option<(Scalar, Scalar)> {
    if *ty != LogicalType::Text {
        return None;
    }
    let mut bounds: Option<(&[u8], &[u8])> = None;
    for string in strings {
        let (min, max) = bounds.unwrap_or((string, string));
        bounds = Some((min.min(string), max.max(string)));
    }
    let (min, max) = bounds?;
    let text = |bytes| std::str::from_utf8(bytes).ok().map(Scalar::text);
    Some((text(min)?, text(max)?))
}
