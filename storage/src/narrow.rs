//! Narrow offsets: reading them back as wide or canonical values, in one pass.
//!
//! Invariant: arithmetic wraps and casts truncate, so that what lies under a NULL (anything) never fails; a value that is
//! not NULL fits its type, because the offsets were made of values of it.
//! Next: `table/fixed.rs`, which makes the offsets.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayData, ArrayRef, AsArray, Decimal128Array, make_array},
    buffer::{Buffer, ScalarBuffer},
    datatypes::{ArrowNativeType, DataType, Int64Type},
};

use crate::error::{Result, StorageError};

/// Whole numbers of a fixed width that take the low bits of a 64-bit integer.
pub(crate) trait FromWide: ArrowNativeType {
    /// The low bits; sign-extended where the type is wider.
    fn from_wide(value: i64) -> Self;
}

macro_rules! from_wide {
    ($($native:ty),*) => {
        $(impl FromWide for $native {
            #[expect(
                clippy::allow_attributes_without_reason,
                clippy::allow_attributes,
                reason = "not every type loses bits"
            )]
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_lossless)]
            fn from_wide(value: i64) -> Self {
                value as Self
            }
        })*
    };
}
from_wide!(u8, u16, u32, u64, i64, i128);

/// Runs a body with the offsets of a narrow vector as a slice of their own width: `u8`, `u16`, `u32` or `i64`.
#[macro_export]
macro_rules! with_offsets {
    ($offsets:expr, $values:ident => $body:expr) => {{
        use ::arrow::{array::AsArray as _, datatypes::DataType};
        let offsets = &$offsets;
        match offsets.data_type() {
            DataType::UInt8 => {
                let $values: &[u8] =
                    offsets.as_primitive::<::arrow::datatypes::UInt8Type>().values();
                $body
            }
            DataType::UInt16 => {
                let $values: &[u16] =
                    offsets.as_primitive::<::arrow::datatypes::UInt16Type>().values();
                $body
            }
            DataType::UInt32 => {
                let $values: &[u32] =
                    offsets.as_primitive::<::arrow::datatypes::UInt32Type>().values();
                $body
            }
            _ => {
                let $values: &[i64] =
                    offsets.as_primitive::<::arrow::datatypes::Int64Type>().values();
                $body
            }
        }
    }};
}

fn decode<O: Copy + Into<i64>, T: FromWide>(offsets: &[O], base: i64) -> Vec<T> {
    offsets.iter().map(|&offset| T::from_wide(base.wrapping_add(offset.into()))).collect()
}

/// The values as 64-bit integers; the buffer is shared when there is nothing to add.
pub(crate) fn values_i64(base: i64, offsets: &ArrayRef) -> ScalarBuffer<i64> {
    if base == 0 && *offsets.data_type() == DataType::Int64 {
        return offsets.as_primitive::<Int64Type>().values().clone();
    }
    with_offsets!(offsets, values => decode::<_, i64>(values, base).into())
}

/// Calls `push` with the values of consecutive rows, a piece at a time, as numbers of the width that the reader wants.
pub(crate) fn for_each_piece<T: FromWide>(
    base: i64,
    offsets: &ArrayRef,
    mut push: impl FnMut(&[T]),
) {
    const PIECE: usize = 2048;
    with_offsets!(offsets, values => {
        for piece in values.chunks(PIECE) {
            push(&decode::<_, T>(piece, base));
        }
    });
}

/// The values in the canonical layout of an integer-like type.
///
/// # Errors
/// `Internal` when the type is not integer-like.
pub(crate) fn flatten(target: &DataType, base: i64, offsets: &ArrayRef) -> Result<ArrayRef> {
    let nulls = offsets.nulls().cloned();
    if let DataType::Decimal128(..) = target {
        let wide = with_offsets!(offsets, values => decode::<_, i128>(values, base));
        return Ok(Arc::new(
            Decimal128Array::new(wide.into(), nulls).with_data_type(target.clone()),
        ));
    }
    let buffer = match target.primitive_width() {
        Some(1) => buffer::<u8>(base, offsets),
        Some(2) => buffer::<u16>(base, offsets),
        Some(4) => buffer::<u32>(base, offsets),
        Some(8) => buffer::<u64>(base, offsets),
        _ => {
            return Err(StorageError::Internal(format!("narrow offsets of type {target}")));
        }
    };
    let data = ArrayData::builder(target.clone()).len(offsets.len()).add_buffer(buffer);
    Ok(make_array(data.nulls(nulls).build()?))
}

fn buffer<T: FromWide>(base: i64, offsets: &ArrayRef) -> Buffer {
    with_offsets!(offsets, values => Buffer::from_vec(decode::<_, T>(values, base)))
}

#[cfg(test)]
mod tests {
    use arrow::{array::*, buffer::NullBuffer, datatypes::*};

    use super::*;

    #[test]
    fn test_flatten_wraps_under_null_and_is_exact_elsewhere() {
        let nulls = || Some(NullBuffer::from(vec![true, false, true]));
        let offsets: ArrayRef = Arc::new(UInt8Array::new(vec![0, 255, 255].into(), nulls()));
        let flat = |ty: DataType, base| flatten(&ty, base, &offsets).unwrap();
        let array = flat(DataType::Int8, i8::MIN.into());
        let want = Int8Array::from(vec![Some(i8::MIN), None, Some(i8::MAX)]);
        assert_eq!(array.as_primitive::<Int8Type>(), &want);
        let array = flat(DataType::Date32, i64::from(i32::MAX) - 255);
        let want = Date32Array::from(vec![Some(i32::MAX - 255), None, Some(i32::MAX)]);
        assert_eq!(array.as_primitive::<Date32Type>(), &want);
        let array = flat(DataType::Int64, i64::MIN);
        let want = Int64Array::from(vec![Some(i64::MIN), None, Some(i64::MIN + 255)]);
        assert_eq!(array.as_primitive::<Int64Type>(), &want);
        let array = flat(DataType::UInt64, i64::MAX - 255);
        let want =
            UInt64Array::from(vec![Some(i64::MAX as u64 - 255), None, Some(i64::MAX as u64)]);
        assert_eq!(array.as_primitive::<UInt64Type>(), &want);
        let array = flat(DataType::Decimal128(38, 5), -3);
        let want = Decimal128Array::from(vec![Some(-3), None, Some(252)]);
        assert!(array.as_primitive::<Decimal128Type>().iter().eq(want.iter()));
        assert!(flatten(&DataType::Utf8View, 0, &offsets).is_err());
        // Even garbage under a NULL does not fail.
        let garbage: ArrayRef = Arc::new(Int64Array::new(vec![1, i64::MAX, 2].into(), nulls()));
        for ty in [DataType::Time32(TimeUnit::Second), DataType::Int8, DataType::Decimal128(5, 0)] {
            assert_eq!(flatten(&ty, 0, &garbage).unwrap().null_count(), 1);
        }
    }

    #[test]
    fn test_values_of_every_width() {
        let widths: [ArrayRef; 4] = [
            Arc::new(UInt8Array::from_iter_values(0..100)),
            Arc::new(UInt16Array::from_iter_values(0..100)),
            Arc::new(UInt32Array::from_iter_values(0..100)),
            Arc::new(Int64Array::from_iter_values(0..100)),
        ];
        for offsets in widths {
            let offsets = offsets.slice(3, 90);
            let want: Vec<i64> = (-4..86).collect();
            assert_eq!(&values_i64(-7, &offsets)[..], &want[..]);
            let mut pieces = vec![];
            for_each_piece::<i128>(-7, &offsets, |piece| pieces.extend_from_slice(piece));
            assert!(
                pieces.iter().eq(want.iter().map(|&v| i128::from(v)).collect::<Vec<_>>().iter())
            );
        }
    }
}
