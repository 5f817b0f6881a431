//! What an index knows of a column in ranges of its keys.
//!
//! Invariants: values are those of the rows, but that of equal floats the key gives one for all (0.0 for -0.0). A column
//! of a composite key is known only where the columns before it have one value in each range, as entries are in its
//! order there.
//! Next: `answer.rs`.

use std::ops::Bound;

use stoadb_storage::{
    LogicalType, Scalar, Statistics, Sums,
    index::{Index, IndexColumn, KeyRange, RangeView},
};

use super::Candidate;
use crate::error::{EngineError, Result};

/// Where an index holds a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The key, of one column.
    Key,
    /// A column of a key of several.
    Part(usize),
    /// An included column.
    Include(usize),
}

impl Place {
    /// Where a relation's column is; `None` where nothing is known of it.
    pub(super) fn of(column: usize, candidate: &Candidate<'_>) -> Option<Self> {
        let definition = candidate.definition;
        let key = definition.keys.iter().position(|key| key.column == column);
        let include = definition.includes.iter().position(|other| other.column == column);
        match key {
            Some(0) if definition.keys.len() == 1 => Some(Self::Key),
            Some(part) => {
                let ty = &candidate.index.spec().keys.get(part)?.ty;
                let plain = !ty.is_float() && *ty != LogicalType::Interval;
                let ordered = part <= candidate.ranges.fixed && plain;
                ordered.then_some(Self::Part(part)).or(include.map(Self::Include))
            }
            None => include.map(Self::Include),
        }
    }

    /// The relation's column.
    pub(super) fn column(self, candidate: &Candidate<'_>) -> usize {
        let definition = candidate.definition;
        match self {
            Self::Key => definition.keys[0].column,
            Self::Part(part) => definition.keys[part].column,
            Self::Include(at) => definition.includes[at].column,
        }
    }

    /// Whether the index gives values by their ranks.
    pub(super) fn has_order(self, candidate: &Candidate<'_>) -> bool {
        let one = candidate.ranges.ranges.len() == 1;
        match self {
            // Of equal intervals the key gives another one.
            Self::Key => candidate.index.spec().keys[0].ty != LogicalType::Interval,
            Self::Part(part) => one && part == candidate.ranges.fixed,
            Self::Include(at) => one && candidate.definition.includes[at].quantiles,
        }
    }

    /// Whether the entries of each range are in the order of the place.
    pub(super) fn is_order(self, candidate: &Candidate<'_>) -> bool {
        match self {
            Self::Key => true,
            Self::Part(_) => candidate.ranges.ranges.len() == 1,
            Self::Include(_) => false,
        }
    }

    /// Whether the index counts distinct values.
    pub(super) fn counts_distinct(self, candidate: &Candidate<'_>) -> bool {
        let last = candidate.definition.keys.len() - 1;
        match self {
            Self::Key => true,
            Self::Part(part) => part == last && self.has_order(candidate),
            Self::Include(_) => false,
        }
    }

    /// All that is asked of the place in a range.
    pub(super) fn statistics(
        self,
        candidate: &Candidate<'_>,
        view: &RangeView<'_>,
        range: &KeyRange,
        squares: bool,
        bounds: bool,
    ) -> Result<Statistics> {
        let column = match self {
            Self::Key => IndexColumn::Key,
            Self::Include(at) => IndexColumn::Include(at),
            Self::Part(part) => return part_statistics(candidate, view, range, part, bounds),
        };
        Ok(view.statistics_with(column, squares, bounds)?)
    }

    /// How many distinct values there are in disjoint ranges, NULL not counted; `None` when that is not known.
    pub(super) fn distinct(
        self,
        candidate: &Candidate<'_>,
        ranges: &[KeyRange],
    ) -> Result<Option<u64>> {
        if !matches!(self, Self::Key) && ranges.len() != 1 {
            return Ok(None);
        }
        let mut count = 0;
        for range in ranges {
            let range = self.not_null(candidate, range)?;
            count += range.map_or(0, |range| candidate.index.view(&range).distinct());
        }
        Ok(Some(count))
    }

    /// The part of a range where the column is not NULL; `None` for an empty range.
    fn not_null(self, candidate: &Candidate<'_>, range: &KeyRange) -> Result<Option<KeyRange>> {
        let index = candidate.index.as_ref();
        let prefix = match self {
            Self::Key | Self::Include(_) => Vec::new(),
            Self::Part(part) => match first(index, range)? {
                Some(values) => values[..part].to_vec(),
                None => return Ok(None),
            },
        };
        let all = index.spec().range(&prefix, Bound::Unbounded, Bound::Unbounded)?;
        Ok(Some(range.intersect(&all)))
    }
}

/// The key of the first entry of a range.
fn first(index: &Index, range: &KeyRange) -> Result<Option<Vec<Scalar>>> {
    Ok(index.view(range).keys_at(0)?)
}

/// Count, NULLs and bounds of a column of the key; the columns before it have one value in the range.
fn part_statistics(
    candidate: &Candidate<'_>,
    view: &RangeView<'_>,
    range: &KeyRange,
    part: usize,
    bounds: bool,
) -> Result<Statistics> {
    let rows = view.count() as usize;
    let none = Statistics { rows, nulls: rows, ..Statistics::default() };
    let place = Place::Part(part);
    let Some(valid) = place.not_null(candidate, range)? else { return Ok(none) };
    let index = candidate.index.as_ref();
    let view = index.view(&valid);
    let count = view.count();
    if count == 0 {
        return Ok(none);
    }
    let value = |at: u64| -> Result<Option<Scalar>> {
        let values = view.keys_at(at)?;
        Ok(values.and_then(|values| values.into_iter().nth(part)))
    };
    let [mut min, mut max] = match bounds {
        true => [value(0)?, value(count - 1)?],
        false => [None, None],
    };
    if index.spec().keys[part].descending {
        std::mem::swap(&mut min, &mut max);
    }
    let nulls = rows - count as usize;
    Ok(Statistics { rows, nulls, nans: 0, unknown: false, min, max, sums: Sums::None })
}

/// The values of a column in ranges, NULLs left out, in ascending order.
pub(super) struct Sequence<'a> {
    candidate: &'a Candidate<'a>,
    place: Place,
    ranges: Vec<KeyRange>,
    /// How many values there are up to the end of each range.
    ends: Vec<u64>,
}

impl<'a> Sequence<'a> {
    /// `None` where the index does not order them.
    pub(super) fn new(
        place: Place,
        candidate: &'a Candidate<'a>,
        ranges: &[KeyRange],
    ) -> Result<Option<Self>> {
        if !matches!(place, Place::Key) && ranges.len() != 1 {
            return Ok(None);
        }
        let (mut own, mut ends, mut end) = (Vec::new(), Vec::new(), 0);
        for range in ranges {
            let included = match place {
                Place::Include(at) => Some(IndexColumn::Include(at)),
                _ => None,
            };
            let range = match included {
                Some(_) => Some(range.clone()),
                None => place.not_null(candidate, range)?,
            };
            let Some(range) = range else { continue };
            let view = candidate.index.view(&range);
            end += match included {
                Some(column) => view.totals(column, false).map_or(0, |totals| totals.values()),
                None => view.count(),
            };
            ends.push(end);
            own.push(range);
        }
        Ok(Some(Self { candidate, place, ranges: own, ends }))
    }

    /// How many.
    pub(super) fn len(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0)
    }

    /// A value by its rank.
    ///
    /// # Errors
    /// `Internal` past the end.
    pub(super) fn get(&self, rank: u64) -> Result<Scalar> {
        let missing = || EngineError::Internal("an index has no such rank".into());
        let index = self.candidate.index.as_ref();
        if let Place::Include(column) = self.place {
            let range = self.ranges.first().ok_or_else(missing)?;
            return index.view(range).included_at(column, rank)?.ok_or_else(missing);
        }
        let part = if let Place::Part(part) = self.place { part } else { 0 };
        let rank = match index.spec().keys[part].descending {
            true => self.len().checked_sub(rank + 1).ok_or_else(missing)?,
            false => rank,
        };
        let at = self.ends.partition_point(|&end| end <= rank);
        let before = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        let range = self.ranges.get(at).ok_or_else(missing)?;
        let values = index.view(range).keys_at(rank - before)?.ok_or_else(missing)?;
        values.into_iter().nth(part).ok_or_else(missing)
    }
}
