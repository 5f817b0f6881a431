//! Row numbers, ranks and buckets.
//!
//! Invariant: results depend on a row's place in its partition alone.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, Float64Array, Int64Array},
    datatypes::Int64Type,
};

use super::{
    Ordered, chunk_range, chunks,
    shape::{Place, Shape},
};
use crate::{
    error::{EngineError, Result},
    op::sort::jobs::Jobs,
    plan::Rank,
};

/// A rank of every row, by chunk.
///
/// # Errors
/// Cancellation.
pub(super) fn rank(rank: Rank, shape: &Shape, jobs: &Jobs<'_>) -> Result<Vec<ArrayRef>> {
    jobs.map(chunks(shape.rows).len(), |chunk| {
        let places = || shape.places(chunk_range(chunk, shape.rows));
        let number = |of: fn(Place) -> u32| -> ArrayRef {
            Arc::new(Int64Array::from_iter_values(places().map(|place| i64::from(of(place)))))
        };
        Ok(match rank {
            Rank::RowNumber => number(|place| place.row - place.start + 1),
            Rank::Rank => number(|place| place.first_peer - place.start + 1),
            Rank::DenseRank => number(|place| place.group - place.first_group + 1),
            Rank::PercentRank => Arc::new(Float64Array::from_iter_values(places().map(|place| {
                let others = place.end - place.start - 1;
                if others == 0 {
                    return 0.0;
                }
                f64::from(place.first_peer - place.start) / f64::from(others)
            }))),
            Rank::CumeDist => Arc::new(Float64Array::from_iter_values(places().map(|place| {
                f64::from(place.after_peers - place.start) / f64::from(place.end - place.start)
            }))),
        })
    })
}

/// The bucket of every row, by chunk; `column` says how many buckets.
///
/// # Errors
/// `Value` for less than one bucket; cancellation.
pub(super) fn ntile(
    column: usize,
    input: &Ordered,
    shape: &Shape,
    jobs: &Jobs<'_>,
) -> Result<Vec<ArrayRef>> {
    jobs.map(chunks(shape.rows).len(), |chunk| {
        let rows = chunk_range(chunk, shape.rows);
        let buckets = input.range(column, rows.clone())?.flatten()?;
        let buckets = buckets.as_primitive::<Int64Type>();
        let bucket = |(index, place): (usize, Place)| {
            if buckets.is_null(index) {
                return Ok(None);
            }
            match buckets.value(index) {
                buckets @ 1.. => Ok(Some(bucket(place, buckets as u64) as i64)),
                buckets => Err(EngineError::Value(format!(
                    "ntile() needs at least one bucket, not {buckets}"
                ))),
            }
        };
        let values = shape.places(rows).enumerate().map(bucket).collect::<Result<Int64Array>>()?;
        Ok(Arc::new(values) as ArrayRef)
    })
}

/// The first `rows % buckets` buckets have one row more than the others.
fn bucket(place: Place, buckets: u64) -> u64 {
    let (rows, index) = (u64::from(place.end - place.start), u64::from(place.row - place.start));
    let (size, larger) = (rows / buckets, rows % buckets);
    let in_larger = larger * (size + 1);
    if index < in_larger { index / (size + 1) + 1 } else { larger + (index - in_larger) / size + 1 }
}
