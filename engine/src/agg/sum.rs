//! `sum` and `avg` of whole numbers and decimals.
//!
//! Invariant: the sum is exact, of 128 bits and a carry of 64, so that nothing wraps; it is rounded or checked once, at
//! the end.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Decimal128Array, Float64Array, Int64Array},
    buffer::NullBuffer,
    datatypes::i256,
};
use stoadb_storage::{
    LogicalType, Statistics, Sums, Vector,
    lanes::{self, Lane},
};

use super::{
    Call, Groups, count,
    input::{Ints, ints},
    masked::RowMask,
    ratio,
    table::permute,
};
use crate::{
    error::{EngineError, Result},
    kernel::{
        bits::from_bits,
        physical::{offset_value, with_offsets},
    },
    plan::AggregateFunction,
};

/// Exact sums and counts per group.
pub(crate) struct Sum {
    sums: Vec<i128>,
    counts: Vec<i64>,
    /// How often a sum left 128 bits upwards less how often downwards; only kept for types that could.
    carries: Option<Vec<i64>>,
}

impl Sum {
    pub(crate) fn new(ty: &LogicalType) -> Self {
        // 2^40 values of up to 26 digits stay within 128 bits.
        let wide = matches!(ty, LogicalType::Decimal { precision: 27.., .. });
        Self { sums: Vec::new(), counts: Vec::new(), carries: wide.then(Vec::new) }
    }

    /// Sums that stay within 128 bits, and how many values they are of.
    pub(super) fn of(sums: Vec<i128>, counts: Vec<i64>) -> Self {
        Self { sums, counts, carries: None }
    }

    pub(crate) fn resize(&mut self, groups: usize) {
        self.sums.resize(groups, 0);
        self.counts.resize(groups, 0);
        if let Some(carries) = &mut self.carries {
            carries.resize(groups, 0);
        }
    }

    pub(crate) fn reorder(&mut self, order: &[u32]) {
        permute(&mut self.sums, order);
        permute(&mut self.counts, order);
        if let Some(carries) = &mut self.carries {
            permute(carries, order);
        }
    }

    pub(crate) fn update(&mut self, args: &[Vector], groups: Groups<'_>) -> Result<()> {
        let [arg] = args else { return Err(EngineError::Internal("sum of one argument".into())) };
        count::add_rows(&mut self.counts, groups);
        match (ints(arg)?, groups) {
            (Ints::Narrow(offsets, base), Groups::One(rows)) => {
                let sum = with_offsets!(offsets, offsets => lanes::sum(offsets, None));
                self.add(0, sum + i128::from(base) * rows as i128);
            }
            (Ints::Narrow(offsets, base), Groups::Ids(ids)) if self.carries.is_none() => {
                with_offsets!(offsets, offsets => add_offsets(&mut self.sums, ids, offsets, base));
            }
            (Ints::Narrow(offsets, base), _) => with_offsets!(offsets, offsets => {
                for (row, &offset) in offsets.iter().enumerate() {
                    self.add(groups.id(row), base.wrapping_add(offset_value(offset)).into());
                }
            }),
            (Ints::Unsigned(values), _) => {
                for (row, &value) in values.iter().enumerate() {
                    self.add(groups.id(row), value.into());
                }
            }
            (Ints::Wide(values), _) => {
                for (row, &value) in values.iter().enumerate() {
                    self.add(groups.id(row), value);
                }
            }
        }
        Ok(())
    }

    /// Adds the rows of group 0 that count.
    pub(crate) fn add_masked(&mut self, arg: &Vector, mask: &RowMask) -> Result<()> {
        self.counts[0] += mask.rows() as i64;
        match ints(arg)? {
            Ints::Narrow(offsets, base) => {
                let words = Some(mask.words());
                let sum = with_offsets!(offsets, offsets => lanes::sum(offsets, words));
                self.add(0, sum + i128::from(base) * mask.rows() as i128);
            }
            Ints::Unsigned(values) => {
                mask.bits().set_indices().for_each(|row| self.add(0, values[row].into()));
            }
            Ints::Wide(values) => {
                mask.bits().set_indices().for_each(|row| self.add(0, values[row]));
            }
        }
        Ok(())
    }

    #[inline]
    fn add(&mut self, group: usize, value: i128) {
        let (sum, over) = self.sums[group].overflowing_add(value);
        self.sums[group] = sum;
        if over && let Some(carries) = &mut self.carries {
            carries[group] += if value < 0 { -1 } else { 1 };
        }
    }

    pub(crate) fn merge(&mut self, other: &Self, from: &[u32], to: &[u32]) {
        for (&from, &to) in from.iter().zip(to) {
            let (from, to) = (from as usize, to as usize);
            self.counts[to] += other.counts[from];
            self.add(to, other.sums[from]);
            if let (Some(carries), Some(others)) = (&mut self.carries, &other.carries) {
                carries[to] += others[from];
            }
        }
    }

    /// Takes what statistics know of a morsel's rows into the only group.
    pub(crate) fn absorb(&mut self, known: &Statistics) {
        let Sums::Exact(sums) = &known.sums else { return };
        self.counts[0] += (known.rows - known.nulls) as i64;
        self.add(0, sums.sum);
    }

    /// The sums of `scale` times each value plus `offset`, both of at most 64 bits.
    pub(crate) fn affine(&self, scale: i128, offset: i128) -> Self {
        let mut result =
            Self { sums: Vec::new(), counts: self.counts.clone(), carries: Some(Vec::new()) };
        for (group, &count) in self.counts.iter().enumerate() {
            let (scale, offset) = (i256::from_i128(scale), i256::from_i128(offset));
            let offsets = offset.wrapping_mul(i256::from_i128(count.into()));
            let sum = self.exact(group).wrapping_mul(scale).wrapping_add(offsets);
            let (low, high) = sum.to_parts();
            result.sums.push(low as i128);
            if let Some(carries) = &mut result.carries {
                carries.push(high as i64 + i64::from((low as i128) < 0));
            }
        }
        result
    }

    fn exact(&self, group: usize) -> i256 {
        let sum = i256::from_i128(self.sums[group]);
        let carry = self.carries.as_ref().map_or(0, |carries| carries[group]);
        sum.wrapping_add(i256::from_parts(0, carry.into()))
    }

    /// # Errors
    /// `Value` when a sum does not fit the result's type.
    pub(crate) fn finish(&self, call: &Call) -> Result<ArrayRef> {
        let scale = match call.args.first() {
            Some(LogicalType::Decimal { scale, .. }) => *scale,
            _ => 0,
        };
        let groups = 0..self.sums.len();
        let counted = |&group: &usize| self.counts[group] > 0;
        let average = call.function == AggregateFunction::Avg;
        if let LogicalType::Decimal { precision, scale: wanted } = call.ty {
            let value = |group: usize| {
                let count = if average { self.counts[group] } else { 1 };
                decimal(self.exact(group), count, wanted - scale, precision, call)
            };
            let values = groups.map(|g| Some(g).filter(counted).map(value).transpose());
            let array = values.collect::<Result<Decimal128Array>>()?;
            return Ok(Arc::new(array.with_data_type(call.ty.to_arrow())));
        }
        if average && !call.ty.is_numeric() {
            // Moments: the mean falls between two of the unit, and the one nearer to 0 is taken.
            let value = |group: usize| {
                let count = i256::from_i128(self.counts[group].max(1).into());
                let mean = self.exact(group).wrapping_div(count).to_i128().unwrap_or_default();
                u128::from(mean as u64)
            };
            let valid: Vec<bool> = self.counts.iter().map(|&count| count > 0).collect();
            return from_bits(&call.ty, valid.len(), value, Some(NullBuffer::from(valid)));
        }
        if average || call.ty.is_float() {
            let value = |group: usize| {
                let count = if average { self.counts[group] as u128 } else { 1 };
                ratio::divide(self.exact(group), count, scale)
            };
            let values = groups.map(|g| Some(g).filter(counted).map(value));
            return Ok(Arc::new(values.collect::<Float64Array>()));
        }
        let value = |group: usize| {
            let sum = self.exact(group);
            sum.to_i128().and_then(|sum| i64::try_from(sum).ok()).ok_or_else(|| {
                EngineError::Value(format!(
                    "the sum {sum} does not fit BIGINT; sum the values as decimals: sum(x::decimal(38))"
                ))
            })
        };
        let values = groups.map(|g| Some(g).filter(counted).map(value).transpose());
        Ok(Arc::new(values.collect::<Result<Int64Array>>()?))
    }

    pub(crate) fn memory(&self) -> u64 {
        let carries = self.carries.as_ref().map_or(0, Vec::capacity);
        (self.sums.capacity() * 16 + self.counts.capacity() * 8 + carries * 8) as u64
    }
}

/// `sum / count`, brought to `rescale` more digits after the point, rounded half away from zero.
fn decimal(sum: i256, count: i64, rescale: i8, precision: u8, call: &Call) -> Result<i128> {
    let power = i256::from_i128(10).wrapping_pow(rescale.unsigned_abs().into());
    let overflow = || {
        EngineError::Value(format!(
            "the result of {} does not fit {}: it has more than {precision} digits",
            call.function.name(),
            call.ty
        ))
    };
    let count = i256::from_i128(count.into());
    let value = if rescale >= 0 {
        ratio::divide_half_away(sum.checked_mul(power).ok_or_else(overflow)?, count)
    } else {
        ratio::divide_half_away(sum, count.checked_mul(power).ok_or_else(overflow)?)
    };
    let limit = 10_u128.pow(precision.min(38).into());
    value.to_i128().filter(|value| value.unsigned_abs() < limit).ok_or_else(overflow)
}

/// Adds offsets from a base to the sums of their groups.
fn add_offsets<T: Lane>(sums: &mut [i128], ids: &[u32], offsets: &[T], base: i64) {
    const ROWS: usize = 1 << 11;
    let value = |&offset: &T| base.wrapping_add(offset.into());
    let magnitude = |bits: i64, offset: &T| bits | (value(offset) ^ (value(offset) >> 63));
    // Values below 2^52 of magnitude: 2^11 of them fit 64 bits.
    if sums.len() > count::FEW_GROUPS || offsets.iter().fold(0, magnitude) >> 52 != 0 {
        for (&id, offset) in ids.iter().zip(offsets) {
            sums[id as usize] += i128::from(value(offset));
        }
        return;
    }
    for (ids, offsets) in ids.chunks(ROWS).zip(offsets.chunks(ROWS)) {
        let mut lanes = [[0_i64; count::FEW_GROUPS]; 4];
        let ((id_quads, ids), (quads, offsets)) = (ids.as_chunks::<4>(), offsets.as_chunks::<4>());
        for (ids, quad) in id_quads.iter().zip(quads) {
            for (lane, (&id, offset)) in lanes.iter_mut().zip(ids.iter().zip(quad)) {
                lane[id as usize % count::FEW_GROUPS] += value(offset);
            }
        }
        for (&id, offset) in ids.iter().zip(offsets) {
            lanes[0][id as usize % count::FEW_GROUPS] += value(offset);
        }
        for (group, sum) in sums.iter_mut().enumerate() {
            *sum += lanes.iter().map(|lane| i128::from(lane[group])).sum::<i128>();
        }
    }
}
