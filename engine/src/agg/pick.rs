//! Functions that give the value of one row: `any_value`, `first`, `last`, `arg_min`, `arg_max`, scalar subqueries, and
//! `min`/`max` of intervals and nested values.
//!
//! Invariant: of equal candidates the first in row order wins (the last, for `last`).

use arrow::{
    array::{Array, ArrayRef, UInt32Array, new_empty_array, new_null_array},
    compute,
};
use stoadb_storage::{LogicalType, Vector, ledger::array_bytes};

use super::{
    Call, Groups,
    input::{OrderKey, OrderKeys},
    table::permute,
};
use crate::error::{EngineError, Result};

/// Chunks are brought together when there are more.
const CHUNKS: usize = 128;
const NONE: u64 = u64::MAX;

/// Which row is picked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    First,
    Last,
    /// The only one; a second one is an error.
    Single,
    /// The last argument is smallest.
    Smallest,
    /// The last argument is largest.
    Largest,
}

/// Picked values per group, as positions in chunks of values.
pub(crate) struct Pick {
    rule: Rule,
    ty: LogicalType,
    chunks: Vec<ArrayRef>,
    /// Chunk in the upper half, row in the lower.
    places: Vec<u64>,
    /// By which the picked rows won, for `Smallest` and `Largest`.
    keys: Vec<Option<OrderKey>>,
}

impl Pick {
    pub(crate) fn new(rule: Rule, ty: &LogicalType) -> Self {
        Self { rule, ty: ty.clone(), chunks: Vec::new(), places: Vec::new(), keys: Vec::new() }
    }

    pub(crate) fn resize(&mut self, groups: usize) {
        self.places.resize(groups, NONE);
        if self.by_key() {
            self.keys.resize(groups, None);
        }
    }

    fn by_key(&self) -> bool {
        matches!(self.rule, Rule::Smallest | Rule::Largest)
    }

    pub(crate) fn reorder(&mut self, order: &[u32]) {
        permute(&mut self.places, order);
        if self.by_key() {
            permute(&mut self.keys, order);
        }
    }

    /// # Errors
    /// `Value` when `Single` sees a second row.
    pub(crate) fn update(&mut self, args: &[Vector], groups: Groups<'_>) -> Result<()> {
        let (Some(values), Some(by)) = (args.first(), args.last()) else {
            return Err(EngineError::Internal("an argument wanted".into()));
        };
        let keys = if self.by_key() { Some(OrderKeys::new(by)?) } else { None };
        // Where NULLs are kept, those of the value count and those of the key do not.
        let missing = by.nulls().filter(|nulls| keys.is_some() && nulls.null_count() > 0);
        let chunk = (self.chunks.len() as u64) << 32;
        // Winners are marked with their row in the vector first, then only they are copied.
        let mut touched = Vec::new();
        for row in 0..groups.len() {
            if missing.as_ref().is_some_and(|missing| missing.is_null(row)) {
                continue;
            }
            let group = groups.id(row);
            let place = self.places[group];
            let wins = match (self.rule, &keys) {
                _ if place == NONE => true,
                (Rule::Single, _) => return Err(second_row()),
                (Rule::Last, _) => true,
                (Rule::Smallest, Some(keys)) => {
                    let best = self.keys[group].as_ref();
                    best.is_none_or(|best| keys.compare_to(row, best).is_lt())
                }
                (Rule::Largest, Some(keys)) => {
                    let best = self.keys[group].as_ref();
                    best.is_none_or(|best| keys.compare_to(row, best).is_gt())
                }
                _ => false,
            };
            if wins {
                if place == NONE || place < chunk {
                    touched.push(group);
                }
                self.places[group] = chunk | row as u64;
                if let Some(keys) = &keys {
                    self.keys[group] = Some(keys.key(row));
                }
            }
        }
        self.keep(values, &touched)
    }

    /// Copies the rows that won in the current vector, those of the `touched` groups.
    fn keep(&mut self, values: &Vector, touched: &[usize]) -> Result<()> {
        if touched.is_empty() {
            return Ok(());
        }
        let chunk = (self.chunks.len() as u64) << 32;
        let rows: UInt32Array =
            touched.iter().map(|&group| Some(self.places[group] as u32)).collect();
        self.chunks.push(values.take(&rows)?.flatten()?);
        for (row, &group) in touched.iter().enumerate() {
            self.places[group] = chunk | row as u64;
        }
        if self.chunks.len() > CHUNKS {
            let all = self.gather()?;
            let picked = self.places.iter_mut().filter(|place| **place != NONE);
            for (next, place) in picked.enumerate() {
                *place = next as u64;
            }
            self.chunks = vec![all];
        }
        Ok(())
    }

    /// The picked values of all groups that have one, in group order.
    fn gather(&self) -> Result<ArrayRef> {
        let chunks: Vec<&dyn Array> = self.chunks.iter().map(AsRef::as_ref).collect();
        let picked = self.places.iter().filter(|&&place| place != NONE);
        let rows: Vec<(usize, usize)> =
            picked.map(|&place| ((place >> 32) as usize, place as u32 as usize)).collect();
        if chunks.is_empty() {
            return Ok(new_empty_array(&self.ty.to_arrow()));
        }
        compute::interleave(&chunks, &rows)
            .map_err(|error| EngineError::Internal(error.to_string()))
    }

    /// # Errors
    /// As `update`.
    pub(crate) fn merge(&mut self, other: &Self, from: &[u32], to: &[u32]) -> Result<()> {
        let chunk = (self.chunks.len() as u64) << 32;
        let mut touched = Vec::new();
        let mut winners: Vec<(usize, usize)> = Vec::new();
        for (&from, &to) in from.iter().zip(to) {
            let (from, to) = (from as usize, to as usize);
            let candidate = other.places[from];
            if candidate == NONE {
                continue;
            }
            let place = self.places[to];
            let wins = match self.rule {
                _ if place == NONE => true,
                Rule::Single => return Err(second_row()),
                Rule::First => false,
                Rule::Last => true,
                Rule::Smallest => other.keys[from] < self.keys[to],
                Rule::Largest => other.keys[from] > self.keys[to],
            };
            if wins {
                if place == NONE || place < chunk {
                    touched.push(to);
                }
                self.places[to] = chunk | winners.len() as u64;
                winners.push(((candidate >> 32) as usize, candidate as u32 as usize));
                if self.by_key() {
                    self.keys[to].clone_from(&other.keys[from]);
                }
            }
        }
        if touched.is_empty() {
            return Ok(());
        }
        let chunks: Vec<&dyn Array> = other.chunks.iter().map(AsRef::as_ref).collect();
        let values = compute::interleave(&chunks, &winners)
            .map_err(|error| EngineError::Internal(error.to_string()))?;
        self.keep(&Vector::Flat(values), &touched)
    }

    /// # Errors
    /// `Internal` when chunks are inconsistent.
    pub(crate) fn finish(&self, call: &Call) -> Result<ArrayRef> {
        let internal = |error: arrow::error::ArrowError| EngineError::Internal(error.to_string());
        let picked = self.gather()?;
        let mut next = 0;
        let rows = self.places.iter().map(|&place| {
            (place != NONE).then(|| {
                next += 1;
                next - 1
            })
        });
        let rows: UInt32Array = rows.collect();
        if picked.is_empty() {
            return Ok(new_null_array(&call.ty.to_arrow(), rows.len()));
        }
        compute::take(&picked, &rows, None).map_err(internal)
    }

    pub(crate) fn memory(&self) -> u64 {
        let chunks: u64 = self.chunks.iter().map(|chunk| array_bytes(chunk.as_ref())).sum();
        chunks + (self.places.capacity() * 8 + self.keys.capacity() * 32) as u64
    }
}

fn second_row() -> EngineError {
    EngineError::Value("more than one row returned by a subquery used as an expression".into())
}
