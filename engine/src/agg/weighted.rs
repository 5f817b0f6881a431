//! `weighted_avg` and `geometric_mean`: quotients of two compensated sums.
//!
//! Invariant: the bits depend on the order of the values within morsels and of the morsels, and on nothing else.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array};
use stoadb_storage::{Vector, reproducible_sum::Accumulator};

use super::{Call, Groups, input::doubles, table::permute};
use crate::{
    error::{EngineError, Result},
    plan::AggregateFunction as Function,
};

/// Sums of the values and of their weights per group.
pub(crate) struct Weighted {
    function: Function,
    groups: Vec<Sums>,
}

#[derive(Clone, Copy, Default)]
struct Sums {
    values: Accumulator,
    weights: Accumulator,
    count: u64,
}

impl Weighted {
    pub(crate) fn new(function: Function) -> Self {
        Self { function, groups: Vec::new() }
    }

    pub(crate) fn resize(&mut self, groups: usize) {
        self.groups.resize(groups, Sums::default());
    }

    pub(crate) fn reorder(&mut self, order: &[u32]) {
        permute(&mut self.groups, order);
    }

    pub(crate) fn update(&mut self, args: &[Vector], groups: Groups<'_>) -> Result<()> {
        let mut add = |row: usize, value: f64, weight: f64| {
            let sums = &mut self.groups[groups.id(row)];
            sums.values.add(value);
            sums.weights.add(weight);
            sums.count += 1;
        };
        match (self.function, args) {
            (Function::GeometricMean, [values]) => {
                let values = doubles(values)?;
                values.iter().enumerate().for_each(|(row, value)| add(row, value.ln(), 1.0));
            }
            (Function::WeightedAvg, [values, weights]) => {
                let (values, weights) = (doubles(values)?, doubles(weights)?);
                let pairs = values.iter().zip(weights.iter()).enumerate();
                pairs.for_each(|(row, (&value, &weight))| add(row, value * weight, weight));
            }
            _ => return Err(EngineError::Internal("values and weights wanted".into())),
        }
        Ok(())
    }

    pub(crate) fn merge(&mut self, other: &Self, from: &[u32], to: &[u32]) {
        for (&from, &to) in from.iter().zip(to) {
            let (ours, theirs) = (&mut self.groups[to as usize], &other.groups[from as usize]);
            ours.values.merge(theirs.values);
            ours.weights.merge(theirs.weights);
            ours.count += theirs.count;
        }
    }

    pub(crate) fn finish(&self, call: &Call) -> ArrayRef {
        let value = |sums: &Sums| {
            let mean = sums.values.total() / sums.weights.total();
            let mean = if call.function == Function::GeometricMean { mean.exp() } else { mean };
            (sums.count > 0).then_some(mean)
        };
        Arc::new(self.groups.iter().map(value).collect::<Float64Array>())
    }

    pub(crate) fn memory(&self) -> u64 {
        (self.groups.capacity() * size_of::<Sums>()) as u64
    }
}
