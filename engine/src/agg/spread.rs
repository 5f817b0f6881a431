//! `mad`: the median of the distances from the median.
//!
//! Invariants: distances of whole numbers, decimals and moments are exact, in halves of the unit, and rounded once; the
//! distance of a double from the median is rounded as a subtraction is. NaN is the largest double.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Float64Array, IntervalMonthDayNanoArray},
    datatypes::{IntervalMonthDayNano, i256},
};
use stoadb_storage::{LogicalType, Vector};

use super::{
    Call,
    collect::Sorted,
    input::{Ints, doubles, ints},
    quantile::select,
    ratio,
};
use crate::{
    error::{EngineError, Result},
    kernel::{
        calendar::{DAY_NANOS, per_second},
        physical::{offset_value, with_offsets},
    },
};

/// A double, or for moments an interval, of each group; NULL over no value. O(rows).
///
/// # Errors
/// `Unsupported` for other types; `Value` when an interval is out of range.
pub(crate) fn mad(rows: &Sorted<'_>, call: &Call) -> Result<ArrayRef> {
    let [values] = rows.columns else {
        return Err(EngineError::Internal("one argument wanted".into()));
    };
    let ty = call.args.first().unwrap_or(&LogicalType::Null);
    let vector = Vector::Flat(Arc::clone(values));
    let groups = rows.starts.windows(2).map(|group| group[0] as usize..group[1] as usize);
    if ty.is_float() || *ty == LogicalType::Null {
        let values = doubles(&vector)?;
        let value = |group: std::ops::Range<usize>| of_doubles(&mut values[group].to_vec());
        return Ok(Arc::new(groups.map(value).collect::<Float64Array>()));
    }
    let values: Vec<i128> = match ints(&vector)? {
        Ints::Narrow(offsets, base) => with_offsets!(offsets, offsets => {
            let value = |&offset| base.wrapping_add(offset_value(offset)).into();
            offsets.iter().map(value).collect()
        }),
        Ints::Unsigned(values) => values.iter().map(|&value| value.into()).collect(),
        Ints::Wide(values) => values.to_vec(),
    };
    let quarters = groups.map(|group| of_wholes(&mut values[group].to_vec()));
    let nanos = match ty {
        LogicalType::Date => DAY_NANOS,
        LogicalType::Timestamp(unit, _) | LogicalType::Time(unit) => {
            1_000_000_000 / per_second(*unit)
        }
        _ => {
            let scale = match ty {
                LogicalType::Decimal { scale, .. } => *scale,
                _ => 0,
            };
            let value = quarters.map(|sum| sum.map(|sum| ratio::divide(sum, 4, scale)));
            return Ok(Arc::new(value.collect::<Float64Array>()));
        }
    };
    let value = |sum: Option<i256>| {
        let Some(sum) = sum else { return Ok(None) };
        let nanos = sum.wrapping_mul(i256::from_i128(nanos.into()));
        let nanos = ratio::divide_half_away(nanos, i256::from_i128(4)).to_i128();
        let nanos = nanos.unwrap_or(i128::MAX);
        // Whole days apart from the rest, as differences of moments have them.
        let day = i128::from(DAY_NANOS);
        let days = i32::try_from(nanos / day)
            .map_err(|_| EngineError::Value("the mad of moments is out of range".into()))?;
        Ok(Some(IntervalMonthDayNano::new(0, days, (nanos % day) as i64)))
    };
    Ok(Arc::new(quarters.map(value).collect::<Result<IntervalMonthDayNanoArray>>()?))
}

/// The two values in the middle, which are one where their number is odd.
fn middle<T: Copy>(
    values: &mut [T],
    compare: impl Fn(&T, &T) -> std::cmp::Ordering,
) -> Option<(T, T)> {
    let (low, high) = (values.len().checked_sub(1)? / 2, values.len() / 2);
    select(values, &[low, high], compare);
    Some((values[low], values[high]))
}

/// Four times the value.
fn of_wholes(values: &mut [i128]) -> Option<i256> {
    let wide = i256::from_i128;
    let (low, high) = middle(values, Ord::cmp)?;
    let median = wide(low).wrapping_add(wide(high));
    let distance = |&value: &i128| {
        let double = wide(value).wrapping_add(wide(value));
        double.wrapping_sub(median).wrapping_abs()
    };
    let mut distances: Vec<i256> = values.iter().map(distance).collect();
    let (low, high) = middle(&mut distances, Ord::cmp)?;
    Some(low.wrapping_add(high))
}

fn of_doubles(values: &mut [f64]) -> Option<f64> {
    // Without signs of zeros and NaNs, which would order equal values.
    let plain = |value: f64| if value.is_nan() { f64::NAN } else { value + 0.0 };
    values.iter_mut().for_each(|value| *value = plain(*value));
    let mean = |(a, b): (f64, f64)| if a == b { a } else { a / 2.0 + b / 2.0 };
    let median = mean(middle(values, f64::total_cmp)?);
    // Infinities are no distance from themselves.
    let distance = |value: f64| if value == median { 0.0 } else { plain((value - median).abs()) };
    values.iter_mut().for_each(|value| *value = distance(*value));
    Some(mean(middle(values, f64::total_cmp)?))
}
