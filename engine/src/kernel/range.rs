//! Whole numbers between two bounds, straight to row positions: what conjuncts that compare one column with literals
//! come down to.
//!
//! Invariants: bounds are inclusive and of the values' own unit; a NULL lies in no range; positions ascend.
//! Next: `compare.rs`, for every other comparison.

use arrow::{array::Array, datatypes::ArrowNativeType};
use stoadb_storage::{Vector, vector::NarrowVector};

use crate::{
    error::Result,
    expr::CompareOp,
    kernel::{
        arity::{compress, positions},
        physical::{Physical, buffer, with_offsets},
    },
};

/// The whole numbers from `low` to `high`, both included; none when `low` is above `high`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    low: i128,
    high: i128,
}

impl Range {
    /// The numbers that compare with a literal as `op` says; `None` when they are no range.
    pub(crate) fn of(op: CompareOp, literal: i128) -> Option<Self> {
        let (low, high) = match op {
            CompareOp::Eq => (literal, literal),
            CompareOp::Lt => (i128::MIN, literal.checked_sub(1)?),
            CompareOp::LtEq => (i128::MIN, literal),
            CompareOp::Gt => (literal.checked_add(1)?, i128::MAX),
            CompareOp::GtEq => (literal, i128::MAX),
            CompareOp::NotEq | CompareOp::Distinct | CompareOp::NotDistinct => return None,
        };
        Some(Self { low, high })
    }

    /// The numbers that are in both.
    pub(crate) fn and(self, other: Self) -> Self {
        Self { low: self.low.max(other.low), high: self.high.min(other.high) }
    }
}

/// Integers whose distance from a bound is an unsigned integer of the same width.
trait Whole: ArrowNativeType {
    /// The smallest and the largest value.
    const BOUNDS: (i128, i128);
    /// The value, which lies within the bounds.
    fn of(value: i128) -> Self;
    /// Whether the distance from `low` is at most `width`, both modulo 2^bits.
    fn within(self, low: Self, width: Self) -> bool;
    /// `self - low` modulo 2^bits.
    fn distance(self, low: Self) -> Self;
}

macro_rules! whole {
    ($($integer:ty, $unsigned:ty);*) => {$(
        impl Whole for $integer {
            const BOUNDS: (i128, i128) = (<$integer>::MIN as i128, <$integer>::MAX as i128);
            fn of(value: i128) -> Self { value as $integer }
            #[inline]
            fn within(self, low: Self, width: Self) -> bool {
                self.wrapping_sub(low) as $unsigned <= width as $unsigned
            }
            fn distance(self, low: Self) -> Self { self.wrapping_sub(low) }
        }
    )*};
}
whole!(i8, u8; i16, u16; i32, u32; i64, u64; u8, u8; u16, u16; u32, u32; u64, u64);

/// The rows among the candidates (`None`: all) whose value lies in a range; `None` for a vector that does not hold
/// whole numbers in place.
pub(crate) fn rows_in_range(
    vector: &Vector,
    range: Range,
    candidates: Option<&[u32]>,
) -> Result<Option<Vec<u32>>> {
    let kept = match vector {
        Vector::Narrow(narrow) => rows_of_narrow(narrow, range, candidates),
        Vector::Flat(array) => {
            let array = array.as_ref();
            match Physical::of(&vector.ty()?) {
                Physical::I8 => rows::<i8>(&buffer(array)?, range, candidates),
                Physical::I16 => rows::<i16>(&buffer(array)?, range, candidates),
                Physical::I32 => rows::<i32>(&buffer(array)?, range, candidates),
                Physical::I64 => rows::<i64>(&buffer(array)?, range, candidates),
                Physical::U8 => rows::<u8>(&buffer(array)?, range, candidates),
                Physical::U16 => rows::<u16>(&buffer(array)?, range, candidates),
                Physical::U32 => rows::<u32>(&buffer(array)?, range, candidates),
                Physical::U64 => rows::<u64>(&buffer(array)?, range, candidates),
                _ => return Ok(None),
            }
        }
        Vector::Constant { .. } | Vector::Dictionary(_) => return Ok(None),
    };
    let nulls = match vector {
        Vector::Narrow(narrow) => narrow.offsets.nulls(),
        Vector::Flat(array) => array.nulls(),
        _ => None,
    };
    Ok(Some(match nulls.filter(|nulls| nulls.null_count() > 0) {
        None => kept,
        Some(nulls) => kept.into_iter().filter(|&row| nulls.is_valid(row as usize)).collect(),
    }))
}

fn rows_of_narrow(narrow: &NarrowVector, range: Range, candidates: Option<&[u32]>) -> Vec<u32> {
    let base = i128::from(narrow.base);
    let Range { low, high } = range;
    let range = Range { low: low.saturating_sub(base), high: high.saturating_sub(base) };
    with_offsets!(narrow.offsets, offsets => rows(offsets, range, candidates))
}

fn rows<T: Whole>(values: &[T], range: Range, candidates: Option<&[u32]>) -> Vec<u32> {
    let low = range.low.max(T::BOUNDS.0);
    let high = range.high.min(T::BOUNDS.1);
    if low > high {
        return Vec::new();
    }
    let low = T::of(low);
    let width = T::of(high).distance(low);
    match candidates {
        None => compress(values, |value| value.within(low, width)),
        Some(_) => positions(values.len(), candidates, |row| values[row].within(low, width)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int32Array, Int64Array, UInt8Array, UInt64Array};
    use stoadb_storage::LogicalType;

    use super::*;

    const OPS: [CompareOp; 5] =
        [CompareOp::Eq, CompareOp::Lt, CompareOp::LtEq, CompareOp::Gt, CompareOp::GtEq];

    fn holds(op: CompareOp, value: i128, literal: i128) -> bool {
        match op {
            CompareOp::Eq => value == literal,
            CompareOp::Lt => value < literal,
            CompareOp::LtEq => value <= literal,
            CompareOp::Gt => value > literal,
            _ => value >= literal,
        }
    }

    fn check(vector: &Vector, values: &[Option<i128>], literals: &[i128]) {
        let rows = values.len() as u32;
        let every_third: Vec<u32> = (0..rows).step_by(3).collect();
        for (op, &literal) in OPS.iter().flat_map(|op| literals.iter().map(move |l| (*op, l))) {
            for (other, &bound) in OPS.iter().flat_map(|op| literals.iter().map(move |l| (*op, l)))
            {
                let range = Range::of(op, literal).unwrap().and(Range::of(other, bound).unwrap());
                let wanted = |row: &u32| {
                    values[*row as usize]
                        .is_some_and(|v| holds(op, v, literal) && holds(other, v, bound))
                };
                let want: Vec<u32> = (0..rows).filter(wanted).collect();
                assert_eq!(rows_in_range(vector, range, None).unwrap().unwrap(), want);
                let want: Vec<u32> = every_third.iter().copied().filter(|r| wanted(r)).collect();
                let got = rows_in_range(vector, range, Some(&every_third)).unwrap().unwrap();
                assert_eq!(got, want);
            }
        }
    }

    #[test]
    fn test_ranges_agree_with_row_by_row_comparison_in_every_encoding() {
        for rows in [0, 1, 63, 64, 65, 300] {
            let nullable = |row: i64| (row % 7 != 3).then_some(row * 37 % 101 - 50);
            for nulls in [false, true] {
                let value =
                    |row: i64| if nulls { nullable(row) } else { Some(row * 37 % 101 - 50) };
                let values: Vec<Option<i128>> =
                    (0..rows).map(|r| value(r).map(i128::from)).collect();
                let literals = [i128::from(i64::MIN), -51, -50, -3, 0, 50, 51, i128::MAX - 1];
                let ints: Int32Array = (0..rows).map(|r| value(r).map(|v| v as i32)).collect();
                check(&Vector::Flat(Arc::new(ints)), &values, &literals);
                let wide: Int64Array = (0..rows).map(value).collect();
                let ty = LogicalType::Decimal { precision: 15, scale: 2 };
                check(
                    &Vector::Narrow(NarrowVector::from_i64(ty.clone(), wide)),
                    &values,
                    &literals,
                );
                let offsets: UInt8Array =
                    (0..rows).map(|r| value(r).map(|v| (v + 50) as u8)).collect();
                let offsets: ArrayRef = Arc::new(offsets);
                let narrow = NarrowVector { ty, base: -50, offsets, charge: None };
                check(&Vector::Narrow(narrow), &values, &literals);
            }
        }
    }

    #[test]
    fn test_ranges_reach_the_extremes() {
        let extremes = [0, 1, u64::MAX - 1, u64::MAX];
        let values: Vec<Option<i128>> = extremes.iter().map(|&v| Some(v.into())).collect();
        let literals = [-1, 0, 1, i128::from(u64::MAX), i128::from(u64::MAX) + 1];
        let array = UInt64Array::from(extremes.to_vec());
        check(&Vector::Flat(Arc::new(array)), &values, &literals);
        let extremes = [i64::MIN, -1, 0, i64::MAX];
        let values: Vec<Option<i128>> = extremes.iter().map(|&v| Some(v.into())).collect();
        let literals = [i64::MIN.into(), i128::from(i64::MIN) - 1, 0, i64::MAX.into(), 1 << 70];
        check(&Vector::Flat(Arc::new(Int64Array::from(extremes.to_vec()))), &values, &literals);
    }
}
