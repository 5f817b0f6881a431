//! `sum` and `avg` of intervals.
//!
//! Invariants: months, days and nanoseconds are summed apart and exactly. An average carries what is left of the months
//! into days (30 a month) and what is left of those into time, rounded once, half away from zero.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, AsArray, IntervalMonthDayNanoArray},
    datatypes::{IntervalMonthDayNano, IntervalMonthDayNanoType, i256},
};
use stoadb_storage::Vector;

use super::{Call, Groups, ratio, table::permute};
use crate::{
    error::{EngineError, Result},
    kernel::calendar::DAY_NANOS,
    plan::AggregateFunction as Function,
};

/// Sums per group.
#[derive(Default)]
pub(crate) struct SumInterval {
    groups: Vec<Sums>,
}

#[derive(Clone, Copy, Default)]
struct Sums {
    count: i64,
    months: i64,
    days: i64,
    nanos: i128,
}

impl SumInterval {
    pub(crate) fn resize(&mut self, groups: usize) {
        self.groups.resize(groups, Sums::default());
    }

    pub(crate) fn reorder(&mut self, order: &[u32]) {
        permute(&mut self.groups, order);
    }

    pub(crate) fn update(&mut self, args: &[Vector], groups: Groups<'_>) -> Result<()> {
        let [arg] = args else { return Err(EngineError::Internal("one argument wanted".into())) };
        let array = arg.flatten()?;
        let values = array
            .as_primitive_opt::<IntervalMonthDayNanoType>()
            .ok_or_else(|| EngineError::Internal("intervals wanted".into()))?
            .values();
        // 2^32 rows of 32-bit parts fit 64 bits.
        for (row, value) in values.iter().enumerate() {
            let sums = &mut self.groups[groups.id(row)];
            sums.count += 1;
            sums.months += i64::from(value.months);
            sums.days += i64::from(value.days);
            sums.nanos += i128::from(value.nanoseconds);
        }
        Ok(())
    }

    pub(crate) fn merge(&mut self, other: &Self, from: &[u32], to: &[u32]) {
        for (&from, &to) in from.iter().zip(to) {
            let (ours, theirs) = (&mut self.groups[to as usize], &other.groups[from as usize]);
            ours.count += theirs.count;
            ours.months += theirs.months;
            ours.days += theirs.days;
            ours.nanos += theirs.nanos;
        }
    }

    /// # Errors
    /// `Value` when a part does not fit an interval.
    pub(crate) fn finish(&self, call: &Call) -> Result<ArrayRef> {
        let failure = || {
            EngineError::Value(format!("the {} of intervals is out of range", call.function.name()))
        };
        let value = |sums: &Sums| {
            if sums.count == 0 {
                return Ok(None);
            }
            let average = call.function == Function::Avg;
            let (months, days, nanos) =
                if average { mean(sums) } else { (sums.months, sums.days, sums.nanos) };
            let months = i32::try_from(months).map_err(|_| failure())?;
            let days = i32::try_from(days).map_err(|_| failure())?;
            let nanos = i64::try_from(nanos).map_err(|_| failure())?;
            Ok(Some(IntervalMonthDayNano::new(months, days, nanos)))
        };
        let values = self.groups.iter().map(value);
        Ok(Arc::new(values.collect::<Result<IntervalMonthDayNanoArray>>()?))
    }

    pub(crate) fn memory(&self) -> u64 {
        (self.groups.capacity() * size_of::<Sums>()) as u64
    }
}

fn mean(sums: &Sums) -> (i64, i64, i128) {
    let count = sums.count;
    let months = sums.months / count;
    let days = i128::from(sums.days) + i128::from(sums.months % count) * 30;
    let nanos = sums.nanos + days % i128::from(count) * i128::from(DAY_NANOS);
    let nanos = ratio::divide_half_away(i256::from_i128(nanos), i256::from_i128(count.into()));
    (months, (days / i128::from(count)) as i64, nanos.to_i128().unwrap_or(i128::MAX))
}
