//! `skewness`, `kurtosis`, `kurtosis_pop`: sums of the second, third and fourth powers of distances from the mean.
//!
//! Invariants: per morsel value by value, then merged in morsel order, by the update formulas of Pebay 2008 ("Formulas for
//! robust, one-pass parallel computation of covariances and arbitrary-order statistical moments"). Equal values have
//! exactly no deviations.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array};
use stoadb_storage::Vector;

use super::{Call, Groups, input::doubles, table::permute};
use crate::{
    error::{EngineError, Result},
    plan::AggregateFunction as Function,
};

/// The powers of each group.
#[derive(Default)]
pub(crate) struct Shape {
    groups: Vec<Powers>,
}

#[derive(Clone, Copy, Default)]
struct Powers {
    count: f64,
    mean: f64,
    second: f64,
    third: f64,
    fourth: f64,
}

impl Powers {
    fn one(value: f64) -> Self {
        Self { count: 1.0, mean: value, ..Self::default() }
    }

    /// Takes other rows in.
    fn merge(&mut self, b: &Self) {
        if self.count == 0.0 || b.count == 0.0 {
            if self.count == 0.0 {
                *self = *b;
            }
            return;
        }
        let a = *self;
        let n = a.count + b.count;
        let delta = b.mean - a.mean;
        let step = delta / n;
        let product = a.count * b.count;
        self.count = n;
        self.mean = a.mean + step * b.count;
        self.second = a.second + b.second + delta * step * product;
        self.third = a.third
            + b.third
            + delta * step * step * product * (a.count - b.count)
            + 3.0 * step * (a.count * b.second - b.count * a.second);
        let squares = a.count * a.count - product + b.count * b.count;
        self.fourth = a.fourth
            + b.fourth
            + delta * step * step * step * product * squares
            + 6.0 * step * step * (a.count * a.count * b.second + b.count * b.count * a.second)
            + 4.0 * step * (a.count * b.third - b.count * a.third);
    }

    fn value(&self, function: Function) -> Option<f64> {
        let n = self.count;
        let least = match function {
            Function::Skewness => 3.0,
            Function::Kurtosis => 4.0,
            _ => 2.0,
        };
        if n < least || self.second == 0.0 {
            return None;
        }
        let variance = self.second / n;
        if function == Function::Skewness {
            let skew = self.third / n / (variance * variance.sqrt());
            return Some(skew * (n * (n - 1.0)).sqrt() / (n - 2.0));
        }
        let kurtosis = self.fourth / n / (variance * variance);
        if function == Function::KurtosisPop {
            return Some(kurtosis - 3.0);
        }
        let correction = (n - 1.0) / ((n - 2.0) * (n - 3.0));
        Some(correction * ((n + 1.0) * kurtosis - 3.0 * (n - 1.0)))
    }
}

impl Shape {
    pub(crate) fn resize(&mut self, groups: usize) {
        self.groups.resize(groups, Powers::default());
    }

    pub(crate) fn reorder(&mut self, order: &[u32]) {
        permute(&mut self.groups, order);
    }

    pub(crate) fn update(&mut self, args: &[Vector], groups: Groups<'_>) -> Result<()> {
        let [arg] = args else { return Err(EngineError::Internal("one argument wanted".into())) };
        for (row, &value) in doubles(arg)?.iter().enumerate() {
            self.groups[groups.id(row)].merge(&Powers::one(value));
        }
        Ok(())
    }

    pub(crate) fn merge(&mut self, other: &Self, from: &[u32], to: &[u32]) {
        for (&from, &to) in from.iter().zip(to) {
            self.groups[to as usize].merge(&other.groups[from as usize]);
        }
    }

    pub(crate) fn finish(&self, call: &Call) -> ArrayRef {
        let values = self.groups.iter().map(|group| group.value(call.function));
        Arc::new(values.collect::<Float64Array>())
    }

    pub(crate) fn memory(&self) -> u64 {
        (self.groups.capacity() * size_of::<Powers>()) as u64
    }
}
