//! Variances and standard deviations of one argument.
//!
//! Invariants: whole numbers and decimals of up to 18 digits are summed exactly and rounded once; everything else keeps
//! count, mean and sum of squared deviations per morsel, value by value, and merges them in morsel order.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Float64Array},
    datatypes::i256,
};
use stoadb_storage::{LogicalType, Vector};

use super::{
    Call, Groups,
    input::{Ints, Offset, doubles, ints},
    ratio,
    table::permute,
};
use crate::{
    error::{EngineError, Result},
    kernel::physical::with_offsets,
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

    fn add_offsets<T: Offset>(&mut self, offsets: &[T], base: i64, groups: Groups<'_>) {
        // Products of 48 bits, 32 bits and a count stay far below 128 bits.
        if let Groups::One(rows @ 0..=0xffff_ffff) = groups
            && base.unsigned_abs() >> 48 == 0
            && let Some(squares) = T::squares(offsets)
        {
            let (count, base, sum) = (rows as i128, i128::from(base), T::sum(offsets));
            self.counts[0] += rows as i64;
            self.sums[0] += sum + base * count;
            // The squares of base + offset, together not negative.
            let rest = base * base * count + 2 * base * sum;
            self.add_square(0, squares.wrapping_add_signed(rest));
            return;
        }
        for (row, &offset) in offsets.iter().enumerate() {
            self.add(groups.id(row), base.wrapping_add(offset.into()).into());
        }
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
            Some(root(variance, call.function))
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

fn root(variance: f64, function: Function) -> f64 {
    match function {
        Function::StddevSamp | Function::StddevPop => variance.sqrt(),
        _ => variance,
    }
}

/// Count, mean and sum of squared deviations per group.
#[derive(Default)]
pub(crate) struct Moments {
    groups: Vec<Moment>,
}

#[derive(Clone, Copy, Default)]
struct Moment {
    count: f64,
    mean: f64,
    deviations: f64,
}

/// What is known of a group's rows, joined with what is known of others.
pub(super) trait Join: Copy {
    /// How many rows.
    fn count(&self) -> f64;
    /// Takes other rows in; neither side is empty, and `count` is that of both.
    fn join(&mut self, other: &Self, count: f64);
}

/// Joins groups `from[i]` of one list into groups `to[i]` of another, in this order.
pub(super) fn merge_groups<T: Join>(groups: &mut [T], others: &[T], from: &[u32], to: &[u32]) {
    for (&from, &to) in from.iter().zip(to) {
        let (a, b) = (&mut groups[to as usize], &others[from as usize]);
        if b.count() == 0.0 {
            continue;
        }
        if a.count() == 0.0 {
            *a = *b;
        } else {
            a.join(b, a.count() + b.count());
        }
    }
}

impl Join for Moment {
    fn count(&self) -> f64 {
        self.count
    }

    fn join(&mut self, b: &Self, count: f64) {
        let distance = b.mean - self.mean;
        self.mean += distance * (b.count / count);
        self.deviations += b.deviations + distance * distance * (self.count * b.count / count);
        self.count = count;
    }
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
        for (row, &value) in doubles(arg)?.iter().enumerate() {
            let group = &mut self.groups[groups.id(row)];
            group.count += 1.0;
            let before = value - group.mean;
            group.mean += before / group.count;
            group.deviations += before * (value - group.mean);
        }
        Ok(())
    }

    pub(crate) fn merge(&mut self, other: &Self, from: &[u32], to: &[u32]) {
        merge_groups(&mut self.groups, &other.groups, from, to);
    }

    pub(crate) fn finish(&self, call: &Call) -> ArrayRef {
        let less = if is_sample(call.function) { 1.0 } else { 0.0 };
        let value = |group: &Moment| {
            (group.count > less)
                .then(|| root(group.deviations / (group.count - less), call.function))
        };
        Arc::new(self.groups.iter().map(value).collect::<Float64Array>())
    }

    pub(crate) fn memory(&self) -> u64 {
        (self.groups.capacity() * size_of::<Moment>()) as u64
    }
}
