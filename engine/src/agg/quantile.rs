//! `median`, `quantile_cont`, `quantile_disc`: one quantile or a list of them.
//!
//! Invariants: ties are in row order, so that which row answers does not depend on how values were sorted; a quantile
//! between two values is rounded once. Next: `collect.rs`, which lays the rows side by side; `op/window/order.rs`.

use std::{ops::Range, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BooleanBufferBuilder, Decimal128Array, Float64Array, ListArray,
    },
    buffer::{NullBuffer, OffsetBuffer},
    datatypes::{DataType, Decimal128Type, FieldRef, i256},
};
use stoadb_storage::{LogicalType, Scalar, Vector};

use super::{
    Call,
    collect::{Sorted, take_some},
    input::{Ints, doubles, ints},
    ratio,
};
use crate::{
    error::{EngineError, Result},
    kernel::{
        bits::from_bits,
        physical::{offset_value, with_offsets},
        sort_key::{Codes, array_codes},
    },
    plan::AggregateFunction as Function,
};

/// Where sorting beats selecting one rank after the other.
const MANY_RANKS: usize = 8;

/// The quantiles of each group. NULL over no value. O(rows) for few fractions.
///
/// # Errors
/// `Value` when a fraction is not between -1 and 1.
pub(crate) fn quantile(rows: &Sorted<'_>, call: &Call) -> Result<ArrayRef> {
    let quantile = Quantile::new(call)?;
    let [values] = rows.columns else {
        return Err(EngineError::Internal("one argument wanted".into()));
    };
    let codes = array_codes(values)?.codes;
    let mut found = Vec::with_capacity((rows.starts.len() - 1) * quantile.width());
    for group in rows.starts.windows(2) {
        let places: Vec<_> = quantile.places((group[1] - group[0]) as usize).collect();
        let ranks = places.iter().flatten().flat_map(|place| [place.low, place.high]);
        let rows = ranked(&codes, group[0]..group[1], ranks.collect());
        let row = |rank: usize| {
            let found = rows.binary_search_by_key(&rank, |&(rank, _)| rank);
            found.map_or(0, |index| rows[index].1)
        };
        let place = |place: &Place| (row(place.low), row(place.high), place.weight);
        found.extend(places.iter().map(|found| found.as_ref().map(place)));
    }
    quantile.values(values, found.into_iter(), call)
}

/// The rows that a stable sort of a range of rows would put at some ranks, with these ranks, ascending.
pub(super) fn ranked(codes: &Codes, rows: Range<u32>, mut ranks: Vec<usize>) -> Vec<(usize, u32)> {
    fn numbers<T: Ord + Copy>(codes: &[T], rows: Range<u32>, ranks: &[usize]) -> Vec<u32> {
        let mut pairs: Vec<(T, u32)> = rows.map(|row| (codes[row as usize], row)).collect();
        select(&mut pairs, ranks, Ord::cmp);
        ranks.iter().map(|&rank| pairs[rank].1).collect()
    }
    ranks.sort_unstable();
    ranks.dedup();
    let found = match codes {
        Codes::Narrow(codes) => numbers(codes, rows, &ranks),
        Codes::Wide(codes) => numbers(codes, rows, &ranks),
        Codes::Bytes(bytes) => {
            let mut order: Vec<u32> = rows.collect();
            let key = |row: u32| (bytes.get(row as usize), row);
            select(&mut order, &ranks, |&a, &b| key(a).cmp(&key(b)));
            ranks.iter().map(|&rank| order[rank]).collect()
        }
    };
    ranks.into_iter().zip(found).collect()
}

/// Puts the values of ascending ranks into their places.
pub(super) fn select<T>(
    values: &mut [T],
    ranks: &[usize],
    compare: impl Fn(&T, &T) -> std::cmp::Ordering,
) {
    if ranks.len() > MANY_RANKS {
        return values.sort_unstable_by(compare);
    }
    // What is selected parts the smaller values from the larger ones, where the next rank lies.
    let (mut rest, mut base) = (values, 0);
    for &rank in ranks {
        if rank < base || rank - base >= rest.len() {
            continue;
        }
        rest.select_nth_unstable_by(rank - base, &compare);
        rest = &mut rest[rank - base + 1..];
        base = rank + 1;
    }
}

/// Which of sorted values quantiles lie at.
pub(crate) struct Quantile {
    /// Each with whether it counts from the largest value.
    fractions: Vec<(f64, bool)>,
    /// Between two values rather than at one.
    between: bool,
    /// Of the list that the result is.
    field: Option<FieldRef>,
}

/// The values that a quantile lies between, and how far from the first to the second.
pub(crate) struct Place {
    pub(crate) low: usize,
    pub(crate) high: usize,
    pub(crate) weight: f64,
}

impl Quantile {
    /// Those of a call.
    ///
    /// # Errors
    /// `Value` when a fraction is not between -1 and 1.
    pub(crate) fn new(call: &Call) -> Result<Self> {
        let fractions = match call.function {
            Function::Median => vec![(0.5, false)],
            _ if call.parameters.is_empty() => return Err(wrong_fraction(call, None)),
            _ => call.parameters.iter().map(|p| fraction(call, p)).collect::<Result<_>>()?,
        };
        let field = match &call.ty {
            LogicalType::List(field) if call.function != Function::Median => {
                // The values themselves may be lists.
                let plain = call.args.first() == Some(&call.ty);
                (!plain).then(|| Arc::clone(field))
            }
            _ => None,
        };
        let measured = call.args.first().is_some_and(|ty| {
            ty.is_numeric() || matches!(ty, LogicalType::Timestamp(..) | LogicalType::Time(_))
        });
        let between = measured && call.function != Function::QuantileDisc;
        Ok(Self { fractions, between, field })
    }

    /// How many quantiles there are of each group.
    pub(crate) fn width(&self) -> usize {
        self.fractions.len()
    }

    /// The places among so many values; `None` among none.
    pub(crate) fn places(&self, values: usize) -> impl Iterator<Item = Option<Place>> {
        self.fractions.iter().map(move |&(fraction, descending)| {
            let last = values.checked_sub(1)?;
            let from = |place: usize| if descending { last - place } else { place };
            if self.between {
                let place = fraction * last as f64;
                let low = (place.floor() as usize).min(last);
                let (high, weight) = ((low + 1).min(last), place - low as f64);
                return Some(Place { low: from(low), high: from(high), weight });
            }
            // The first value at or below which the fraction lies.
            let place = (fraction * values as f64).ceil() as usize;
            let low = from(place.max(1).min(values) - 1);
            Some(Place { low, high: low, weight: 0.0 })
        })
    }

    /// The quantiles that lie between pairs of rows of `values`: as many places a group as there are fractions.
    ///
    /// # Errors
    /// `Internal` for a row past the end; `Unsupported` when there are more than 2^31 values in lists.
    pub(crate) fn values(
        &self,
        values: &ArrayRef,
        places: impl Iterator<Item = Option<(u32, u32, f64)>>,
        call: &Call,
    ) -> Result<ArrayRef> {
        let (mut low, mut high, mut weights) = (Vec::new(), Vec::new(), Vec::new());
        for place in places {
            low.push(place.map(|place| place.0));
            high.push(place.map(|place| place.1));
            weights.push(place.map_or(0.0, |place| place.2));
        }
        let mut found = take_some(values, low)?;
        let ty = match &self.field {
            Some(field) => LogicalType::from_arrow(field.data_type())?,
            None => call.ty.clone(),
        };
        if self.between {
            found = interpolate(&found, &take_some(values, high)?, &weights, &ty)?;
        }
        match &self.field {
            Some(field) => lists(&found, self.width(), field),
            None => Ok(found),
        }
    }
}

/// Lists of so many values each; NULL where the first of them is.
fn lists(values: &ArrayRef, width: usize, field: &FieldRef) -> Result<ArrayRef> {
    let values = match values.data_type() == field.data_type() {
        true => Arc::clone(values),
        false => arrow::compute::cast(values, field.data_type())?,
    };
    let groups = values.len() / width.max(1);
    let length = i32::try_from(width).ok().filter(|_| i32::try_from(values.len()).is_ok());
    let length = length
        .ok_or_else(|| EngineError::Unsupported("lists of over 2^31 values in all".into()))?;
    let mut valid = BooleanBufferBuilder::new(groups);
    let nulls = values.logical_nulls();
    let is_null = |row: usize| nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
    (0..groups).for_each(|group| valid.append(!is_null(group * width)));
    let offsets: Vec<i32> = (0..=groups as i32).map(|group| group * length).collect();
    let offsets = OffsetBuffer::new(offsets.into());
    let nulls = Some(NullBuffer::new(valid.finish()));
    Ok(Arc::new(ListArray::try_new(Arc::clone(field), offsets, values, nulls)?))
}

/// A fraction without its sign, and whether it had one.
fn fraction(call: &Call, value: &Scalar) -> Result<(f64, bool)> {
    let number = value.as_f64().or_else(|| {
        let unit = match value.ty() {
            LogicalType::Decimal { scale, .. } => 10_f64.powi((*scale).into()),
            _ => 1.0,
        };
        value.as_i128().map(|v| v as f64 / unit)
    });
    let number = number.filter(|number| (-1.0..=1.0).contains(number));
    let number = number.ok_or_else(|| wrong_fraction(call, Some(value)))?;
    Ok((number.abs(), number.is_sign_negative()))
}

fn wrong_fraction(call: &Call, given: Option<&Scalar>) -> EngineError {
    let given = given.map_or_else(|| "nothing".into(), ToString::to_string);
    EngineError::Value(format!(
        "the fraction of {} must be a number between 0 and 1, not {given}",
        call.function.name()
    ))
}

fn interpolate(
    low: &ArrayRef,
    high: &ArrayRef,
    weights: &[f64],
    ty: &LogicalType,
) -> Result<ArrayRef> {
    let nulls = low.logical_nulls();
    let mean = |row: usize| weights[row] == 0.5;
    if let (DataType::Decimal128(..), LogicalType::Decimal { .. }) = (low.data_type(), ty) {
        let (a, b) = (low.as_primitive::<Decimal128Type>(), high.as_primitive::<Decimal128Type>());
        let value = |row: usize| {
            let (a, b) = (a.value(row), b.value(row));
            if mean(row) {
                return middle(a, b);
            }
            a + ((b - a) as f64 * weights[row]).round() as i128
        };
        let values: Vec<i128> = (0..low.len()).map(value).collect();
        let array = Decimal128Array::new(values.into(), nulls);
        return Ok(Arc::new(array.with_data_type(low.data_type().clone())));
    }
    if !ty.is_float() {
        let (a, b) = (whole(low)?, whole(high)?);
        let value = |row: usize| {
            let (a, b) = (i128::from(a[row]), i128::from(b[row]));
            let value = match mean(row) {
                true => middle(a, b),
                false => a + ((b - a) as f64 * weights[row]).round() as i128,
            };
            u128::from(value as u64)
        };
        return from_bits(ty, low.len(), value, nulls);
    }
    let a = doubles(&Vector::Flat(low.clone()))?;
    let b = doubles(&Vector::Flat(high.clone()))?;
    let value = |row: usize| match weights[row] {
        0.0 => a[row],
        _ if a[row] == b[row] => a[row],
        _ if mean(row) => a[row] / 2.0 + b[row] / 2.0,
        weight => a[row] + (b[row] - a[row]) * weight,
    };
    let values: Vec<f64> = (0..low.len()).map(value).collect();
    Ok(Arc::new(Float64Array::new(values.into(), nulls)))
}

/// The middle of two numbers, rounded half away from zero.
fn middle(a: i128, b: i128) -> i128 {
    // The distance fits 129 bits: halve in 256.
    let sum = i256::from_i128(a).wrapping_add(i256::from_i128(b));
    ratio::divide_half_away(sum, i256::from_i128(2)).to_i128().unwrap_or(a)
}

/// Times and timestamps as numbers of their unit.
fn whole(values: &ArrayRef) -> Result<Vec<i64>> {
    match ints(&Vector::Flat(Arc::clone(values)))? {
        Ints::Narrow(offsets, base) => Ok(with_offsets!(offsets, offsets => {
            offsets.iter().map(|&offset| base.wrapping_add(offset_value(offset))).collect()
        })),
        _ => Err(EngineError::Internal("moments wanted".into())),
    }
}
