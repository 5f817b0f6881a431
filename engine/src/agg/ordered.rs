//! Functions over each group's rows laid side by side: quantiles, mode, `string_agg`, `list`.
//!
//! Invariant: rows come sorted by group, in row order or the order asked for; NULLs are gone except for `list`.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BooleanBufferBuilder, Decimal128Array, Float64Array, ListArray,
        StringViewBuilder, UInt32Array,
    },
    buffer::{NullBuffer, OffsetBuffer},
    compute,
    datatypes::{DataType, Decimal128Type, Field, i256},
};
use stoadb_storage::{LogicalType, Vector};

use super::{
    Call,
    collect::{Sorted, take_all},
    input::{OrderKeys, doubles},
    ratio,
    table::KeyTable,
};
use crate::{
    error::{EngineError, Result},
    kernel::key::{KeyLayout, Keys},
    plan::AggregateFunction as Function,
};

/// `median`, `quantile_cont`, `quantile_disc`. NULL over no value.
///
/// # Errors
/// `Value` when the fraction is not between 0 and 1.
pub(crate) fn quantile(rows: &Sorted<'_>, call: &Call) -> Result<ArrayRef> {
    let quantile = Quantile::new(call)?;
    let [values] = rows.columns else { return Err(one_argument()) };
    let vector = Vector::Flat(values.clone());
    let keys = OrderKeys::new(&vector)?;
    let mut order: Vec<u32> = (0..values.len() as u32).collect();
    let places = rows.starts.windows(2).map(|group| {
        let group = &mut order[group[0] as usize..group[1] as usize];
        let place = quantile.place(group.len())?;
        group.sort_by(|&a, &b| keys.compare(a as usize, b as usize));
        Some((group[place.low], group[place.high], place.weight))
    });
    quantile.values(values, places, call)
}

/// Which of sorted values a quantile lies at.
pub(crate) struct Quantile {
    fraction: f64,
    /// Between two values rather than at one.
    between: bool,
}

/// The values that a quantile lies between, and how far from the lower to the higher.
pub(crate) struct Place {
    pub(crate) low: usize,
    pub(crate) high: usize,
    pub(crate) weight: f64,
}

impl Quantile {
    /// That of a call.
    ///
    /// # Errors
    /// `Value` when the fraction is not between 0 and 1.
    pub(crate) fn new(call: &Call) -> Result<Self> {
        let fraction = match call.function {
            Function::Median => 0.5,
            _ => fraction(call)?,
        };
        let numeric = call.args.first().is_some_and(LogicalType::is_numeric);
        Ok(Self { fraction, between: numeric && call.function != Function::QuantileDisc })
    }

    /// The place among so many values; `None` among none.
    pub(crate) fn place(&self, values: usize) -> Option<Place> {
        let last = values.checked_sub(1)?;
        if self.between {
            let place = self.fraction * last as f64;
            let low = (place.floor() as usize).min(last);
            return Some(Place { low, high: (low + 1).min(last), weight: place - low as f64 });
        }
        // The first value at or below which the fraction lies.
        let place = (self.fraction * values as f64).ceil() as usize;
        let low = place.max(1).min(values) - 1;
        Some(Place { low, high: low, weight: 0.0 })
    }

    /// The quantiles that lie between pairs of rows of `values`.
    ///
    /// # Errors
    /// `Internal` for a row past the end.
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
        let low = take(values, low)?;
        if !self.between {
            return Ok(low);
        }
        interpolate(&low, &take(values, high)?, &weights, call)
    }
}

fn fraction(call: &Call) -> Result<f64> {
    let parameter = call.parameters.first();
    let value = parameter.and_then(|value| {
        value.as_f64().or_else(|| {
            let unit = match value.ty() {
                LogicalType::Decimal { scale, .. } => 10_f64.powi((*scale).into()),
                _ => 1.0,
            };
            value.as_i128().map(|v| v as f64 / unit)
        })
    });
    value.filter(|value| (0.0..=1.0).contains(value)).ok_or_else(|| {
        let given = parameter.map_or_else(|| "nothing".into(), ToString::to_string);
        EngineError::Value(format!(
            "the fraction of {} must be a number between 0 and 1, not {given}",
            super::name(call.function)
        ))
    })
}

fn interpolate(low: &ArrayRef, high: &ArrayRef, weights: &[f64], call: &Call) -> Result<ArrayRef> {
    let nulls = low.logical_nulls();
    let mean = |row: usize| weights[row] == 0.5;
    if let (DataType::Decimal128(..), LogicalType::Decimal { .. }) = (low.data_type(), &call.ty) {
        let (a, b) = (low.as_primitive::<Decimal128Type>(), high.as_primitive::<Decimal128Type>());
        let value = |row: usize| {
            let (a, b) = (a.value(row), b.value(row));
            if mean(row) {
                // The distance fits 129 bits: halve in 256.
                let sum = i256::from_i128(a).wrapping_add(i256::from_i128(b));
                let half = ratio::divide_half_away(sum, i256::from_i128(2));
                return half.to_i128().unwrap_or(a);
            }
            a + ((b - a) as f64 * weights[row]).round() as i128
        };
        let values: Vec<i128> = (0..low.len()).map(value).collect();
        let array = Decimal128Array::new(values.into(), nulls);
        return Ok(Arc::new(array.with_data_type(low.data_type().clone())));
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

/// The most frequent value, the first seen among equals; NULL over no value.
///
/// # Errors
/// `Unsupported` for types that cannot be compared.
pub(crate) fn mode(rows: &Sorted<'_>, call: &Call) -> Result<ArrayRef> {
    let [values] = rows.columns else { return Err(one_argument()) };
    let ty = call.args.first().cloned().unwrap_or(LogicalType::Null);
    let layout = KeyLayout::new(&[(LogicalType::UInt32, false), (ty, false)])?;
    let groups: ArrayRef = Arc::new(UInt32Array::from(rows.groups.to_vec()));
    let vectors = [Vector::Flat(groups), Vector::Flat(values.clone())];
    let mut keys = Keys::new(layout.width());
    layout.pack(&vectors, values.len(), &mut keys)?;
    let (mut hashes, mut ids) = (Vec::new(), Vec::new());
    keys.hashes(&mut hashes);
    let mut table = KeyTable::new(layout.width());
    table.insert(&keys, &hashes, 0..values.len() as u32, &mut ids);
    let mut counts = vec![0_u32; table.len()];
    ids.iter().for_each(|&id| counts[id as usize] += 1);
    let best = rows.starts.windows(2).map(|group| {
        let rows = group[0]..group[1];
        // The last maximum of the reversed rows is the first row of the first maximum.
        rows.rev().max_by_key(|&row| counts[ids[row as usize] as usize])
    });
    take(values, best.collect())
}

/// Texts joined by the separator; NULL over no value.
///
/// # Errors
/// `Internal` when the argument is no text.
pub(crate) fn string_agg(rows: &Sorted<'_>, call: &Call) -> Result<ArrayRef> {
    let [values] = rows.columns else { return Err(one_argument()) };
    let separator = call.parameters.first().and_then(|p| p.as_str()).unwrap_or("");
    let mut builder = StringViewBuilder::with_capacity(rows.starts.len());
    let Some(texts) = values.as_string_view_opt() else {
        return Ok(arrow::array::new_null_array(&DataType::Utf8View, rows.starts.len() - 1));
    };
    let mut joined = String::new();
    for group in rows.starts.windows(2) {
        if group[0] == group[1] {
            builder.append_null();
            continue;
        }
        joined.clear();
        for row in group[0]..group[1] {
            if row > group[0] {
                joined.push_str(separator);
            }
            joined.push_str(texts.value(row as usize));
        }
        builder.append_value(&joined);
    }
    Ok(Arc::new(builder.finish()))
}

/// All values; NULL over no row.
///
/// # Errors
/// `Unsupported` when there are more than 2^31 values.
pub(crate) fn list(rows: &Sorted<'_>, call: &Call) -> Result<ArrayRef> {
    let [values] = rows.columns else { return Err(one_argument()) };
    if i32::try_from(values.len()).is_err() {
        return Err(EngineError::Unsupported("lists of over 2^31 values in all".into()));
    }
    let field = match &call.ty {
        LogicalType::List(field) => Arc::clone(field),
        _ => Arc::new(Field::new("item", values.data_type().clone(), true)),
    };
    let offsets = rows.starts.iter().map(|&start| start as i32).collect::<Vec<_>>();
    let mut valid = BooleanBufferBuilder::new(rows.starts.len());
    rows.starts.windows(2).for_each(|group| valid.append(group[0] < group[1]));
    let nulls = NullBuffer::new(valid.finish());
    let values = match values.data_type() == field.data_type() {
        true => values.clone(),
        false => compute::cast(values, field.data_type()).map_err(internal)?,
    };
    let offsets = OffsetBuffer::new(offsets.into());
    Ok(Arc::new(ListArray::try_new(field, offsets, values, Some(nulls)).map_err(internal)?))
}

fn take(values: &ArrayRef, rows: Vec<Option<u32>>) -> Result<ArrayRef> {
    if rows.iter().all(Option::is_some) {
        let mut columns = [values.clone()];
        take_all(&mut columns, &rows.into_iter().flatten().collect::<Vec<_>>())?;
        let [column] = columns;
        return Ok(column);
    }
    if values.is_empty() {
        return Ok(arrow::array::new_null_array(values.data_type(), rows.len()));
    }
    compute::take(values, &UInt32Array::from(rows), None).map_err(internal)
}

fn internal(error: arrow::error::ArrowError) -> EngineError {
    EngineError::Internal(error.to_string())
}

fn one_argument() -> EngineError {
    EngineError::Internal("one argument wanted".into())
}
