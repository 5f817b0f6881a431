//! Key columns of fixed width seen as lanes: rows of 64-bit integers that are equal exactly when the values are.
//!
//! Invariants: a lane keeps the order of the values (High before Low for 128-bit values), NaN is one value and the
//! largest, -0.0 is 0.0. What stands under NULL is arbitrary. The same value gives the same lane in every encoding.
//! Next: `domain.rs`, which turns lanes into small codes.

use arrow::{
    array::{Array, AsArray},
    buffer::{NullBuffer, ScalarBuffer},
    datatypes::{ArrowNativeType, DataType, Decimal128Type, IntervalMonthDayNanoType},
};
use stoadb_storage::{Vector, interval::interval_length, vector::NarrowVector};

use crate::error::{EngineError, Result};

/// Which 64 bits of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// The whole value; a decimal or an interval's length that does not fit 64 bits has none.
    Whole,
    /// The upper half of a decimal or of an interval's length.
    High,
    /// Its lower half.
    Low,
}

/// Something that is done with all rows of a lane. A row's lane is `None` when the value has no such lane.
pub(super) trait LaneVisitor {
    /// Called once a vector with the stored values and how to read them.
    fn visit<T: Copy>(
        &mut self,
        values: &[T],
        nulls: Option<&NullBuffer>,
        read: impl Fn(T) -> Option<i64>,
    );
}

const SIGN: u64 = 1 << 63;

/// A double as an integer of the same order.
fn order_of(value: f64) -> i64 {
    let bits = if value.is_nan() {
        f64::NAN.to_bits() & !SIGN
    } else if value == 0.0 {
        0
    } else {
        value.to_bits()
    };
    let bits = bits.cast_signed();
    bits ^ ((bits >> 63).cast_unsigned() >> 1).cast_signed()
}

/// The inverse of the order-keeping map of doubles.
pub(super) fn double_of(order: i64) -> f64 {
    let bits = order ^ ((order >> 63).cast_unsigned() >> 1).cast_signed();
    f64::from_bits(bits.cast_unsigned())
}

/// An unsigned integer as a signed one of the same order.
fn shift(value: u64) -> i64 {
    (value ^ SIGN).cast_signed()
}

/// The inverse of the order-keeping map of unsigned integers.
pub(super) fn unshift(value: i64) -> u64 {
    value.cast_unsigned() ^ SIGN
}

/// Shows a lane of a flat or narrow vector of fixed width to a visitor.
///
/// # Errors
/// `Internal` for any other vector.
pub(super) fn visit(vector: &Vector, lane: Lane, visitor: &mut impl LaneVisitor) -> Result<()> {
    match vector {
        Vector::Narrow(narrow) => visit_narrow(narrow, lane, visitor),
        Vector::Flat(array) => visit_flat(array.as_ref(), lane, visitor),
        Vector::Constant { .. } | Vector::Dictionary(_) => {
            Err(EngineError::Internal("a join key lane of an encoded vector".into()))
        }
    }
}

fn visit_narrow(narrow: &NarrowVector, lane: Lane, visitor: &mut impl LaneVisitor) -> Result<()> {
    let base = narrow.base;
    let nulls = narrow.offsets.nulls();
    let offsets = narrow.offsets.as_ref();
    if lane != Lane::Whole {
        let values = narrow.values_i64();
        match lane {
            Lane::High => visitor.visit(&values, nulls, |v: i64| Some(v >> 63)),
            _ => visitor.visit(&values, nulls, |v: i64| Some(shift(v.cast_unsigned()))),
        }
        return Ok(());
    }
    // An unsigned 64-bit column is narrow only when its values fit the signed range: its lane is shifted like a flat one.
    let flip = if narrow.ty == stoadb_storage::LogicalType::UInt64 { i64::MIN } else { 0 };
    let base = base.wrapping_add(flip);
    match offsets.data_type() {
        DataType::UInt8 => {
            visitor.visit(&native::<u8>(offsets), nulls, |v| Some(base.wrapping_add(v.into())));
        }
        DataType::UInt16 => {
            visitor.visit(&native::<u16>(offsets), nulls, |v| Some(base.wrapping_add(v.into())));
        }
        DataType::UInt32 => {
            visitor.visit(&native::<u32>(offsets), nulls, |v| Some(base.wrapping_add(v.into())));
        }
        _ => visitor.visit(&native::<i64>(offsets), nulls, |v| Some(v.wrapping_add(flip))),
    }
    Ok(())
}

fn visit_flat(array: &dyn Array, lane: Lane, visitor: &mut impl LaneVisitor) -> Result<()> {
    let nulls = array.nulls();
    match array.data_type() {
        DataType::Int8 => visitor.visit(&native::<i8>(array), nulls, |v| Some(v.into())),
        DataType::Int16 => visitor.visit(&native::<i16>(array), nulls, |v| Some(v.into())),
        DataType::Int32 | DataType::Date32 | DataType::Time32(_) => {
            visitor.visit(&native::<i32>(array), nulls, |v| Some(v.into()));
        }
        DataType::Int64 | DataType::Time64(_) | DataType::Timestamp(..) | DataType::Duration(_) => {
            visitor.visit(&native::<i64>(array), nulls, Some)
        }
        DataType::UInt8 => visitor.visit(&native::<u8>(array), nulls, |v| Some(v.into())),
        DataType::UInt16 => visitor.visit(&native::<u16>(array), nulls, |v| Some(v.into())),
        DataType::UInt32 => visitor.visit(&native::<u32>(array), nulls, |v| Some(v.into())),
        DataType::UInt64 => visitor.visit(&native::<u64>(array), nulls, |v| Some(shift(v))),
        DataType::Float32 => {
            visitor.visit(&native::<f32>(array), nulls, |v| Some(order_of(v.into())));
        }
        DataType::Float64 => visitor.visit(&native::<f64>(array), nulls, |v| Some(order_of(v))),
        DataType::Boolean => {
            let values: Vec<bool> = array.as_boolean().values().iter().collect();
            visitor.visit(&values, nulls, |v| Some(v.into()));
        }
        DataType::Decimal128(..) => {
            let values = array.as_primitive::<Decimal128Type>().values();
            match lane {
                Lane::Whole => visitor.visit(values, nulls, |v: i128| i64::try_from(v).ok()),
                Lane::High => visitor.visit(values, nulls, |v: i128| Some(high(v))),
                Lane::Low => visitor.visit(values, nulls, |v: i128| Some(low(v))),
            }
        }
        DataType::Interval(_) => {
            let values = array.as_primitive::<IntervalMonthDayNanoType>().values();
            match lane {
                Lane::Whole => {
                    visitor.visit(values, nulls, |v| i64::try_from(interval_length(v)).ok());
                }
                Lane::High => visitor.visit(values, nulls, |v| Some(high(interval_length(v)))),
                Lane::Low => visitor.visit(values, nulls, |v| Some(low(interval_length(v)))),
            }
        }
        other => return Err(EngineError::Internal(format!("a join key lane of {other}"))),
    }
    Ok(())
}

fn high(value: i128) -> i64 {
    (value >> 64) as i64
}

fn low(value: i128) -> i64 {
    shift(value as u64)
}

/// The values of a primitive array whose type is as wide as `T`.
fn native<T: ArrowNativeType>(array: &dyn Array) -> ScalarBuffer<T> {
    let data = array.to_data();
    ScalarBuffer::new(data.buffers()[0].clone(), data.offset(), data.len())
}

/// The smallest and the largest lane of the rows that are not NULL, whether a row is NULL, and whether a value lacks
/// the lane.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct LaneRange {
    /// Smallest and largest; `None` over no value.
    pub(super) bounds: Option<(i64, i64)>,
    /// Whether a row is NULL.
    pub(super) nulls: bool,
    /// Whether a value has no such lane.
    pub(super) lacking: bool,
}

impl LaneRange {
    /// The range of two sets of rows together.
    pub(super) fn union(self, other: Self) -> Self {
        let bounds = match (self.bounds, other.bounds) {
            (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
            (some, None) => some,
            (None, some) => some,
        };
        Self { bounds, nulls: self.nulls || other.nulls, lacking: self.lacking || other.lacking }
    }
}

impl LaneVisitor for LaneRange {
    fn visit<T: Copy>(
        &mut self,
        values: &[T],
        nulls: Option<&NullBuffer>,
        read: impl Fn(T) -> Option<i64>,
    ) {
        let (mut min, mut max, mut seen, mut lacking) = (i64::MAX, i64::MIN, false, false);
        let mut add = |value: T| match read(value) {
            Some(value) => {
                min = min.min(value);
                max = max.max(value);
                seen = true;
            }
            None => lacking = true,
        };
        match nulls.filter(|nulls| nulls.null_count() > 0) {
            None => values.iter().for_each(|&value| add(value)),
            Some(nulls) => {
                self.nulls = true;
                nulls.valid_indices().for_each(|row| add(values[row]));
            }
        }
        let bounds = seen.then_some((min, max));
        *self = self.union(Self { bounds, nulls: false, lacking });
    }
}

/// Writes codes: a lane's distance from `base`, or `MISS` when it is beyond `range`.
pub(super) struct LaneCodes<'a> {
    /// Code 0.
    pub(super) base: i64,
    /// The largest code.
    pub(super) range: u64,
    /// The code of NULL.
    pub(super) null: u64,
    /// One code per row is appended.
    pub(super) codes: &'a mut Vec<u64>,
}

/// The code of a row that matches nothing.
pub(super) const MISS: u64 = u64::MAX;

impl LaneVisitor for LaneCodes<'_> {
    fn visit<T: Copy>(
        &mut self,
        values: &[T],
        nulls: Option<&NullBuffer>,
        read: impl Fn(T) -> Option<i64>,
    ) {
        let (base, range) = (self.base, self.range);
        let start = self.codes.len();
        self.codes.extend(values.iter().map(|&value| match read(value) {
            Some(value) => {
                let code = value.wrapping_sub(base).cast_unsigned();
                if code <= range { code } else { MISS }
            }
            None => MISS,
        }));
        if let Some(nulls) = nulls.filter(|nulls| nulls.null_count() > 0) {
            let codes = &mut self.codes[start..];
            for (code, valid) in codes.iter_mut().zip(nulls) {
                *code = if valid { *code } else { self.null };
            }
        }
    }
}

/// Writes the upper or the lower 32 bits of a lane as codes: for lanes that spread over all 64 bits.
pub(super) struct LaneHalves<'a> {
    /// Whether the upper bits are wanted.
    pub(super) upper: bool,
    /// The code of NULL.
    pub(super) null: u64,
    /// One code per row is appended.
    pub(super) codes: &'a mut Vec<u64>,
}

impl LaneVisitor for LaneHalves<'_> {
    fn visit<T: Copy>(
        &mut self,
        values: &[T],
        nulls: Option<&NullBuffer>,
        read: impl Fn(T) -> Option<i64>,
    ) {
        let (upper, null) = (self.upper, self.null);
        let half = |value: T| match read(value).map(i64::cast_unsigned) {
            Some(value) if upper => value >> 32,
            Some(value) => value & 0xffff_ffff,
            None => MISS,
        };
        match nulls {
            None => self.codes.extend(values.iter().map(|&value| half(value))),
            Some(nulls) => self.codes.extend(
                values.iter().zip(nulls).map(|(&v, valid)| if valid { half(v) } else { null }),
            ),
        }
    }
}
