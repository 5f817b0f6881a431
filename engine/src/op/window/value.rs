//! Values of other rows: lag, lead, first, last and n-th values.
//!
//! Invariant: what is found is a place in the sorted order; values are gathered once, from the rows as they are held.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray},
    compute::kernels::zip::zip,
    datatypes::Int64Type,
};

use super::{
    Ordered, chunk_range, chunks,
    frame::Frames,
    shape::{Place as At, Shape},
};
use crate::{
    error::{EngineError, Result},
    op::sort::jobs::Jobs,
};

/// `lag` and `lead` over columns.
pub(super) struct Shift {
    pub(super) value: usize,
    pub(super) distance: usize,
    pub(super) default: Option<usize>,
    pub(super) forward: bool,
    pub(super) ignore_nulls: bool,
}

/// Which row of a frame.
pub(super) enum Place {
    First,
    Last,
    Nth(usize),
}

/// `first_value`, `last_value` and `nth_value` over columns.
pub(super) struct Pick {
    pub(super) value: usize,
    pub(super) which: Place,
    pub(super) ignore_nulls: bool,
}

impl Shift {
    /// The values, by chunk.
    ///
    /// # Errors
    /// Cancellation.
    pub(super) fn compute(
        &self,
        input: &Ordered,
        shape: &Shape,
        jobs: &Jobs<'_>,
    ) -> Result<Vec<ArrayRef>> {
        let valid = self.ignore_nulls.then(|| valid(input, self.value, jobs)).transpose()?;
        jobs.map(chunks(shape.rows).len(), |chunk| {
            let rows = chunk_range(chunk, shape.rows);
            let distances = input.range(self.distance, rows.clone())?.flatten()?;
            let distances = distances.as_primitive::<Int64Type>();
            let target = |(index, at): (usize, At)| {
                if distances.is_null(index) {
                    return None;
                }
                let distance = i128::from(distances.value(index));
                let distance = if self.forward { distance } else { -distance };
                match &valid {
                    None => among(i128::from(at.row) + distance, at),
                    Some(valid) => shift_valid(valid, distance, at),
                }
            };
            let targets: Vec<Option<u32>> =
                shape.places(rows.clone()).enumerate().map(target).collect();
            let values = input.at(self.value, &targets)?;
            let Some(default) = self.default else { return Ok(values) };
            let missing = |(index, target): (usize, &Option<u32>)| {
                target.is_none() && distances.is_valid(index)
            };
            let missing: BooleanArray =
                targets.iter().enumerate().map(|target| Some(missing(target))).collect();
            let defaults = input.range(default, rows)?.flatten()?;
            Ok(zip(&missing, &defaults, &values)?)
        })
    }
}

fn among(row: i128, at: At) -> Option<u32> {
    u32::try_from(row).ok().filter(|row| (at.start..at.end).contains(row))
}

/// The row so many valid rows away; a distance of 0 is the row itself.
fn shift_valid(valid: &[u32], distance: i128, at: At) -> Option<u32> {
    let place = match distance {
        0 => return Some(at.row),
        1.. => valid.partition_point(|&row| row <= at.row) as i128 + distance - 1,
        _ => valid.partition_point(|&row| row < at.row) as i128 + distance,
    };
    let row = *valid.get(usize::try_from(place).ok()?)?;
    (at.start..at.end).contains(&row).then_some(row)
}

impl Pick {
    /// The values, by chunk.
    ///
    /// # Errors
    /// `Value` for an n-th row below the first; cancellation.
    pub(super) fn compute(
        &self,
        input: &Ordered,
        frames: &Frames,
        jobs: &Jobs<'_>,
    ) -> Result<Vec<ArrayRef>> {
        let valid = self.ignore_nulls.then(|| valid(input, self.value, jobs)).transpose()?;
        let valid = valid.as_deref();
        jobs.map(chunks(input.len()).len(), |chunk| {
            let rows = chunk_range(chunk, input.len());
            let targets: Vec<Option<u32>> = match self.which {
                Place::First => frames.of(chunk).map(|pieces| nth(valid, pieces, 0)).collect(),
                Place::Last => {
                    let of = |pieces: [[u32; 2]; 3]| {
                        pieces.into_iter().rev().find_map(|piece| last(valid, piece))
                    };
                    frames.of(chunk).map(of).collect()
                }
                Place::Nth(column) => {
                    let numbers = input.range(column, rows)?.flatten()?;
                    let numbers = numbers.as_primitive::<Int64Type>();
                    let pick = |(number, frame): (Option<i64>, [[u32; 2]; 3])| match number {
                        None => Ok(None),
                        Some(number @ 1..) => Ok(nth(valid, frame, number as u64 - 1)),
                        Some(number) => Err(EngineError::Value(format!(
                            "nth_value() counts rows from 1, not {number}"
                        ))),
                    };
                    numbers.iter().zip(frames.of(chunk)).map(pick).collect::<Result<_>>()?
                }
            };
            input.at(self.value, &targets)
        })
    }
}

/// The n-th row of a frame's pieces from 0, of those that are valid.
fn nth(valid: Option<&[u32]>, pieces: [[u32; 2]; 3], mut n: u64) -> Option<u32> {
    for [start, end] in pieces {
        let (first, after) = match valid {
            None => (start as usize, end as usize),
            Some(_) if start >= end => continue,
            Some(valid) => {
                (valid.partition_point(|&row| row < start), valid.partition_point(|&row| row < end))
            }
        };
        let rows = (after - first) as u64;
        if n < rows {
            let at = first + usize::try_from(n).ok()?;
            return valid.map_or(u32::try_from(at).ok(), |valid| valid.get(at).copied());
        }
        n -= rows;
    }
    None
}

/// The last valid row of a piece.
fn last(valid: Option<&[u32]>, [start, end]: [u32; 2]) -> Option<u32> {
    let row = match valid {
        None => end.checked_sub(1)?,
        Some(valid) => valid[valid.partition_point(|&row| row < end).checked_sub(1)?],
    };
    (row >= start).then_some(row)
}

/// The places whose value is not NULL, ascending.
fn valid(input: &Ordered, column: usize, jobs: &Jobs<'_>) -> Result<Arc<[u32]>> {
    let places = jobs.map(chunks(input.len()).len(), |chunk| {
        let rows = chunk_range(chunk, input.len());
        let nulls = input.range(column, rows.clone())?.flatten()?.logical_nulls();
        let valid = |row: &u32| {
            nulls.as_ref().is_none_or(|nulls| nulls.is_valid(*row as usize - rows.start))
        };
        Ok((rows.start as u32..rows.end as u32).filter(valid).collect::<Vec<u32>>())
    })?;
    Ok(places.concat().into())
}
