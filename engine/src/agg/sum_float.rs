//! `sum` and `avg` of floats.
//!
//! Invariant: the bits of a sum depend on the order of the values within morsels and of the morsels, and on nothing else.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array};
use stoadb_storage::{
    Statistics, Sums, Vector,
    reproducible_sum::{Accumulator, LaneSum},
};

use super::{
    Call, Groups, count,
    input::{doubles, for_each_doubles},
    masked::RowMask,
    table::permute,
};
use crate::{
    error::{EngineError, Result},
    plan::AggregateFunction,
};

/// Sums and counts per group.
#[derive(Default)]
pub(crate) struct SumFloat {
    sums: Vec<Accumulator>,
    counts: Vec<i64>,
    /// The sum of rows that all belong to group 0, until `seal`.
    lanes: LaneSum,
}

impl SumFloat {
    pub(crate) fn resize(&mut self, groups: usize) {
        self.sums.resize(groups, Accumulator::default());
        self.counts.resize(groups, 0);
    }

    pub(crate) fn reorder(&mut self, order: &[u32]) {
        permute(&mut self.sums, order);
        permute(&mut self.counts, order);
    }

    pub(crate) fn update(&mut self, args: &[Vector], groups: Groups<'_>) -> Result<()> {
        let [arg] = args else { return Err(EngineError::Internal("sum of one argument".into())) };
        count::add_rows(&mut self.counts, groups);
        match groups {
            Groups::One(_) => for_each_doubles(arg, |_, values| self.lanes.add(values))?,
            Groups::Ids(ids) => {
                for (&id, &value) in ids.iter().zip(doubles(arg)?.iter()) {
                    self.sums[id as usize].add(value);
                }
            }
        }
        Ok(())
    }

    /// Adds the rows of group 0 that count.
    pub(crate) fn add_masked(&mut self, arg: &Vector, mask: &RowMask) -> Result<()> {
        self.counts[0] += mask.rows() as i64;
        for_each_doubles(arg, |first, values| {
            self.lanes.add_masked(values, &mask.bits().slice(first, values.len()));
        })
    }

    /// Brings what the lanes hold into group 0.
    pub(crate) fn seal(&mut self) {
        let sum = std::mem::take(&mut self.lanes).total();
        if let Some(first) = self.sums.first_mut() {
            first.merge(sum);
        }
    }

    pub(crate) fn merge(&mut self, other: &Self, from: &[u32], to: &[u32]) {
        for (&from, &to) in from.iter().zip(to) {
            self.sums[to as usize].merge(other.sums[from as usize]);
            self.counts[to as usize] += other.counts[from as usize];
        }
    }

    /// Takes what statistics know of a morsel's rows into the only group.
    pub(crate) fn absorb(&mut self, known: &Statistics) {
        let Sums::Float { sum, .. } = known.sums else { return };
        // As a morsel's partial result is formed, and then merged.
        let mut partial = Accumulator::default();
        partial.merge(sum);
        self.sums[0].merge(partial);
        self.counts[0] += (known.rows - known.nulls) as i64;
    }

    pub(crate) fn finish(&self, call: &Call) -> ArrayRef {
        let divide = call.function == AggregateFunction::Avg;
        let value = |(sum, &count): (&Accumulator, &i64)| match count {
            0 => None,
            count if divide => Some(sum.total() / count as f64),
            _ => Some(sum.total()),
        };
        Arc::new(self.sums.iter().zip(&self.counts).map(value).collect::<Float64Array>())
    }

    pub(crate) fn memory(&self) -> u64 {
        (self.sums.capacity() * size_of::<Accumulator>() + self.counts.capacity() * 8) as u64
    }
}
