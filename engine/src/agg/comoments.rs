//! `corr`, `covar_samp`, `covar_pop`, `regr_slope` and the other functions of regression.
//!
//! Invariant: per morsel value by value, then merged in morsel order; pairs with a NULL do not come here.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array};
use stoadb_storage::Vector;

use super::{Call, Groups, input::doubles, table::permute};
use crate::{
    error::{EngineError, Result},
    plan::AggregateFunction as Function,
};

/// Means, squared deviations and their product per group.
#[derive(Default)]
pub(crate) struct Comoments {
    groups: Vec<Comoment>,
}

#[derive(Clone, Copy, Default)]
struct Comoment {
    count: f64,
    mean_x: f64,
    mean_y: f64,
    xx: f64,
    yy: f64,
    xy: f64,
}

impl Comoment {
    /// Takes other rows in.
    fn merge(&mut self, b: &Self) {
        if self.count == 0.0 || b.count == 0.0 {
            if self.count == 0.0 {
                *self = *b;
            }
            return;
        }
        let count = self.count + b.count;
        let (dx, dy) = (b.mean_x - self.mean_x, b.mean_y - self.mean_y);
        let weight = self.count * b.count / count;
        self.xx += b.xx + dx * dx * weight;
        self.yy += b.yy + dy * dy * weight;
        self.xy += b.xy + dx * dy * weight;
        self.mean_x += dx * (b.count / count);
        self.mean_y += dy * (b.count / count);
        self.count = count;
    }

    fn value(&self, function: Function) -> Option<f64> {
        let some = |value: f64| (self.count > 0.0).then_some(value);
        // No pair, or a side that never varies, has no correlation and no line; NaN stays NaN.
        let slope = (self.xx != 0.0).then(|| self.xy / self.xx);
        match function {
            Function::Corr => {
                (self.xx != 0.0 && self.yy != 0.0).then(|| self.xy / (self.xx * self.yy).sqrt())
            }
            Function::CovarSamp => (self.count > 1.0).then(|| self.xy / (self.count - 1.0)),
            Function::RegrAvgX => some(self.mean_x),
            Function::RegrAvgY => some(self.mean_y),
            Function::RegrSxx => some(self.xx),
            Function::RegrSyy => some(self.yy),
            Function::RegrSxy => some(self.xy),
            Function::RegrSlope => slope,
            Function::RegrIntercept => slope.map(|slope| self.mean_y - slope * self.mean_x),
            Function::RegrR2 if self.yy == 0.0 => slope.map(|_| 1.0),
            Function::RegrR2 => slope.map(|slope| slope * (self.xy / self.yy)),
            _ => some(self.xy / self.count),
        }
    }
}

impl Comoments {
    pub(crate) fn resize(&mut self, groups: usize) {
        self.groups.resize(groups, Comoment::default());
    }

    pub(crate) fn reorder(&mut self, order: &[u32]) {
        permute(&mut self.groups, order);
    }

    pub(crate) fn update(&mut self, args: &[Vector], groups: Groups<'_>) -> Result<()> {
        let [y, x] = args else { return Err(EngineError::Internal("two arguments wanted".into())) };
        let (xs, ys) = (doubles(x)?, doubles(y)?);
        for (row, (&x, &y)) in xs.iter().zip(ys.iter()).enumerate() {
            let group = &mut self.groups[groups.id(row)];
            group.count += 1.0;
            let (dx, dy) = (x - group.mean_x, y - group.mean_y);
            group.mean_x += dx / group.count;
            group.mean_y += dy / group.count;
            group.xx += dx * (x - group.mean_x);
            group.yy += dy * (y - group.mean_y);
            group.xy += dx * (y - group.mean_y);
        }
        Ok(())
    }

    pub(crate) fn merge(&mut self, other: &Self, from: &[u32], to: &[u32]) {
        for (&from, &to) in from.iter().zip(to) {
            self.groups[to as usize].merge(&other.groups[from as usize]);
        }
    }

    pub(crate) fn finish(&self, call: &Call) -> ArrayRef {
        if call.function == Function::RegrCount {
            let counts = self.groups.iter().map(|group| group.count as i64);
            return Arc::new(Int64Array::from_iter_values(counts));
        }
        let values = self.groups.iter().map(|group| group.value(call.function));
        Arc::new(values.collect::<Float64Array>())
    }

    pub(crate) fn memory(&self) -> u64 {
        (self.groups.capacity() * size_of::<Comoment>()) as u64
    }
}
