//! Variances, standard deviations and the standard error of one argument.
//!
//! Invariants: whole numbers and decimals of up to 18 digits are summed exactly and rounded once; everything else keeps
//! count, mean and sum of squared deviations per morsel (`storage/src/moment.rs`) and merges them in morsel order.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Float64Array},
    datatypes::i256,
};
use stoadb_storage::{
    ExactSums, LogicalType, Moment, MomentSum, Statistics, Sums, Vector,
    lanes::{self, Lane},
};

use super::{
    Call, Groups,
    input::{Ints, doubles, for_each_doubles, ints},
    masked::RowMask,
    ratio,
    sum::Sum,
    table::permute,
};
use crate::{
    error::{EngineError, Result},
    kernel::physical::{offset_value, with_offsets},
    plan::AggregateFunction as Function,
};

/// Whether variances of the type are computed exactly.
pub(crate) fn is_exact(ty: &LogicalType) -> bool {
    ty.is_integer() || matches!(ty, LogicalType::Decimal { precision: 0..=18, .. })
}

/// Exact sums and sums of squares per group.
#[derive(Default)]
pub(crate) struct Exact {
    counts: Vec<i64>,
    sums: Vec<i128>,
    squares: Vec<u128>,
    /// How often the squares left 128 bits.
    carries: Vec<u32>,
}

impl Exact {
    pub(crate) fn resize(&mut self, groups: usize) {
        self.counts.resize(groups, 0);
        self.sums.resize(groups, 0);
        self.squares.resize(groups, 0);
        self.carries.resize(groups, 0);
    }

    pub(crate) fn reorder(&mut self, order: &[u32]) {
        permute(&mut self.counts, order);
        permute(&mut self.sums, order);
        permute(&mut self.squares, order);
        permute(&mut self.carries, order);
    }

    pub(crate) fn update(&mut self, args: &[Vector], groups: Groups<'_>) -> Result<()> {
        let [arg] = args else { return Err(EngineError::Internal("one argument wanted".into())) };
        match ints(arg)? {
            Ints::Narrow(offsets, base) => with_offsets!(offsets, offsets => {
                self.add_offsets(offsets, base, groups);
            }),
            Ints::Unsigned(values) => {
                for (row, &value) in values.iter().enumerate() {
                    self.add(groups.id(row), value.into());
                }
            }
            Ints::Wide(values) => {
                for (row, &value) in values.iter().enumerate() {
                    self.add(groups.id(row), value);
                }
            }
        }
        Ok(())
    }

    fn add_offsets<T: Lane>(&mut self, offsets: &[T], base: i64, groups: Groups<'_>) {
        if let Groups::One(rows) = groups
            && self.add_rows(offsets, base, None, rows)
        {
            return;
        }
        for (row, &offset) in offsets.iter().enumerate() {
            self.add(groups.id(row), base.wrapping_add(offset.into()).into());
        }
    }

    /// Adds offsets to group 0: all, or those of the `rows` rows whose bit is set in `words`. False, and nothing is added,
    /// where they are to be summed one by one.
    fn add_rows<T: Lane>(
        &mut self,
        offsets: &[T],
        base: i64,
        words: Option<&[u64]>,
        rows: usize,
    ) -> bool {
        let inner = lanes::sums(offsets, words);
        let sums = match u64::try_from(inner.sum) {
            _ if base == 0 => inner,
            Ok(sum) if T::LEAST == T::ZERO => {
                ExactSums::above(base.into(), rows, sum, inner.squares)
            }
            _ => return false,
        };
        self.counts[0] += rows as i64;
        self.add_sums(0, &sums);
        true
    }

    /// Adds the rows of group 0 that count.
    pub(crate) fn add_masked(&mut self, arg: &Vector, mask: &RowMask) -> Result<()> {
        match ints(arg)? {
            Ints::Narrow(offsets, base) => with_offsets!(offsets, offsets => {
                if !self.add_rows(offsets, base, Some(mask.words()), mask.rows()) {
                    for row in mask.bits().set_indices() {
                        self.add(0, base.wrapping_add(offset_value(offsets[row])).into());
                    }
                }
            }),
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
        self.counts[group] += 1;
        self.sums[group] += value;
        // Values have at most 64 bits of magnitude.
        self.add_square(group, value.unsigned_abs().wrapping_mul(value.unsigned_abs()));
    }

    #[inline]
    fn add_square(&mut self, group: usize, square: u128) {
        let (sum, over) = self.squares[group].overflowing_add(square);
        self.squares[group] = sum;
        self.carries[group] += u32::from(over);
    }

    fn add_sums(&mut self, group: usize, sums: &ExactSums) {
        self.sums[group] += sums.sum;
        self.add_square(group, sums.squares);
        self.carries[group] += sums.carries;
    }

    /// Takes what statistics know of a morsel's rows into the only group.
    pub(crate) fn absorb(&mut self, known: &Statistics) {
        let Sums::Exact(sums) = &known.sums else { return };
        self.counts[0] += (known.rows - known.nulls) as i64;
        self.add_sums(0, sums);
    }

    /// The sums alone.
    pub(crate) fn sum(&self) -> Sum {
        Sum::of(self.sums.clone(), self.counts.clone())
    }

    /// The sums of `scale` times each value plus `offset`, both of at most 64 bits, where the results have as many.
    pub(crate) fn affine(&self, scale: i128, offset: i128) -> Self {
        let mut result = Self { counts: self.counts.clone(), ..Self::default() };
        let wide = i256::from_i128;
        let (scale, offset) = (wide(scale), wide(offset));
        for (group, &count) in self.counts.iter().enumerate() {
            let offsets = offset.wrapping_mul(wide(count.into()));
            let scaled = scale.wrapping_mul(wide(self.sums[group]));
            let squares = i256::from_parts(self.squares[group], self.carries[group].into());
            // (ax + b)^2 = a^2 x^2 + b (2ax + b)
            let squares = squares.wrapping_mul(scale).wrapping_mul(scale);
            let mixed = scaled.wrapping_add(scaled).wrapping_add(offsets).wrapping_mul(offset);
            let (low, high) = squares.wrapping_add(mixed).to_parts();
            result.sums.push(scaled.wrapping_add(offsets).to_i128().unwrap_or_default());
            result.squares.push(low);
            result.carries.push(high as u32);
        }
        result
    }

    pub(crate) fn merge(&mut self, other: &Self, from: &[u32], to: &[u32]) {
        for (&from, &to) in from.iter().zip(to) {
            let (from, to) = (from as usize, to as usize);
            self.counts[to] += other.counts[from];
            self.sums[to] += other.sums[from];
            self.add_square(to, other.squares[from]);
            self.carries[to] += other.carries[from];
        }
    }

    pub(crate) fn finish(&self, call: &Call) -> ArrayRef {
        let scale = match call.args.first() {
            Some(LogicalType::Decimal { scale, .. }) => *scale,
            _ => 0,
        };
        let sample = is_sample(call.function);
        let value = |group: usize| {
            let count = self.counts[group];
            let divisor = count - i64::from(sample);
            if divisor <= 0 {
                return None;
            }
            // n * sum(x^2) - sum(x)^2 over n * divisor: at most 2^40 values keep it within 256 bits.
            let squares = i256::from_parts(self.squares[group], self.carries[group].into());
            let sum = i256::from_i128(self.sums[group]);
            let deviations = squares
                .wrapping_mul(i256::from_i128(count.into()))
                .wrapping_sub(sum.wrapping_mul(sum));
            let denominator = count as u128 * divisor as u128;
            let variance = if scale == 0 {
                ratio::divide(deviations, denominator, 0)
            } else {
                ratio::divide(deviations, denominator, scale.saturating_mul(2))
            };
            Some(root(variance, count as f64, call.function))
        };
        Arc::new((0..self.counts.len()).map(value).collect::<Float64Array>())
    }

    pub(crate) fn memory(&self) -> u64 {
        (self.counts.capacity() * 44) as u64
    }
}

fn is_sample(function: Function) -> bool {
    matches!(function, Function::VarSamp | Function::StddevSamp)
}

fn root(variance: f64, count: f64, function: Function) -> f64 {
    match function {
        Function::Sem => (variance / count).sqrt(),
        Function::StddevSamp | Function::StddevPop => variance.sqrt(),
        _ => variance,
    }
}

/// Count, mean and sum of squared deviations per group.
#[derive(Default)]
pub(crate) struct Moments {
    groups: Vec<Moment>,
    /// That of rows that all belong to group 0, until `seal`.
    one: MomentSum,
}

impl Moments {
    pub(crate) fn resize(&mut self, groups: usize) {
        self.groups.resize(groups, Moment::default());
    }

    pub(crate) fn reorder(&mut self, order: &[u32]) {
        permute(&mut self.groups, order);
    }

    pub(crate) fn update(&mut self, args: &[Vector], groups: Groups<'_>) -> Result<()> {
        let [arg] = args else { return Err(EngineError::Internal("one argument wanted".into())) };
        match groups {
            Groups::One(_) => for_each_doubles(arg, |_, values| self.one.add(values))?,
            Groups::Ids(ids) => {
                for (&id, &value) in ids.iter().zip(doubles(arg)?.iter()) {
                    self.groups[id as usize].add(value);
                }
            }
        }
        Ok(())
    }

    /// Adds the rows of group 0 that count.
    pub(crate) fn add_masked(&mut self, arg: &Vector, mask: &RowMask) -> Result<()> {
        for_each_doubles(arg, |first, values| {
            self.one.add_masked(values, &mask.bits().slice(first, values.len()));
        })
    }

    /// Brings the rows of the only group into it.
    pub(crate) fn seal(&mut self) {
        let moment = std::mem::take(&mut self.one).total();
        if let Some(first) = self.groups.first_mut() {
            first.merge(moment);
        }
    }

    /// Takes what statistics know of a morsel's rows into the only group.
    pub(crate) fn absorb(&mut self, known: &Statistics) {
        let Sums::Float { moment, .. } = known.sums else { return };
        self.groups[0].merge(moment);
    }

    pub(crate) fn merge(&mut self, other: &Self, from: &[u32], to: &[u32]) {
        for (&from, &to) in from.iter().zip(to) {
            self.groups[to as usize].merge(other.groups[from as usize]);
        }
    }

    pub(crate) fn finish(&self, call: &Call) -> ArrayRef {
        let less = if is_sample(call.function) { 1.0 } else { 0.0 };
        let value = |group: &Moment| {
            let variance = group.deviations / (group.count - less);
            (group.count > less).then(|| root(variance, group.count, call.function))
        };
        Arc::new(self.groups.iter().map(value).collect::<Float64Array>())
    }

    pub(crate) fn memory(&self) -> u64 {
        (self.groups.capacity() * size_of::<Moment>() + self.one.memory()) as u64
    }
}
