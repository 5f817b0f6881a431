//! Counts, sums, bounds of the entries in a range of keys.
//!
//! Invariants: a range is one stretch of positions in every part; what is a difference or a sum is found from both ends of
//! each stretch, and parts of gone entries are subtracted, exactly. Deleted entries never bound anything.
//! Next: `select.rs`, for order statistics.

use std::ops::{Bound, Range};

use super::{
    code,
    column::Value,
    effects::largest,
    range::KeyRange,
    totals::Totals,
    version::{Index, Part},
};
use crate::{
    error::Result,
    scalar::Scalar,
    table::{Statistics, Sums},
    types::LogicalType,
};

/// A column that an index knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IndexColumn {
    /// The key, if it is of one column: of others nothing but NULLs and bounds is known.
    Key,
    /// An included column.
    Include(usize),
}

/// The entries of a range of keys in one version of an index.
#[derive(Debug, Clone)]
pub struct RangeView<'a> {
    pub(super) index: &'a Index,
    pub(super) range: &'a KeyRange,
    /// Of every part.
    pub(super) stretches: Vec<Range<usize>>,
}

impl<'a> RangeView<'a> {
    pub(super) fn new(index: &'a Index, range: &'a KeyRange) -> Self {
        let stretch = |part: &Part| {
            let lower = part.run.position(&range.lower);
            lower..part.run.position(&range.upper).max(lower)
        };
        Self { index, range, stretches: index.parts.iter().map(stretch).collect() }
    }

    /// Parts with their stretches.
    pub(super) fn parts(&self) -> impl Iterator<Item = (&'a Part, &Range<usize>)> {
        self.index.parts.iter().zip(&self.stretches)
    }

    /// What of these entries lies in another range too.
    pub(super) fn within(&self, range: &'a KeyRange) -> Self {
        let mut view = Self::new(self.index, range);
        for (mine, other) in view.stretches.iter_mut().zip(&self.stretches) {
            let start = mine.start.max(other.start);
            *mine = start..mine.end.min(other.end).max(start);
        }
        view
    }

    /// How many entries. `O(1)`.
    pub fn count(&self) -> u64 {
        let counts = self.parts().map(|(part, stretch)| part.sign() * stretch.len() as i64);
        counts.sum::<i64>().unsigned_abs()
    }

    /// Whether there is no entry. `O(1)`.
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    fn column_type(&self, column: IndexColumn) -> Option<&'a LogicalType> {
        let spec = self.index.spec();
        match (column, spec.keys.as_slice()) {
            (IndexColumn::Key, [key]) => Some(&key.ty),
            (IndexColumn::Key, _) => None,
            (IndexColumn::Include(at), _) => Some(&spec.includes.get(at)?.ty),
        }
    }

    /// Counts and sums of a column, squares only if they are wanted (they come to nothing otherwise). `None` for the key
    /// of several columns and for a column that there is not. `O(1)` a part.
    pub fn totals(&self, column: IndexColumn, squares: bool) -> Option<Totals> {
        let mut totals = Totals::new(self.column_type(column)?);
        for (part, stretch) in self.parts() {
            match column {
                IndexColumn::Key => part.run.add_key_to(&mut totals, stretch, squares, part.gone),
                IndexColumn::Include(at) => {
                    let column = part.run.columns.get(at)?;
                    column.add_to(&mut totals, stretch.clone(), squares, part.gone);
                }
            }
        }
        Some(totals)
    }

    /// The least value of a column that is neither NULL nor NaN; `None` when there is none. `O(log n)` a part for the key;
    /// for included columns the same, and more where the least values were deleted and are not merged yet.
    ///
    /// # Errors
    /// `Internal` never.
    pub fn min(&self, column: IndexColumn) -> Result<Option<Scalar>> {
        self.extreme(column, false)
    }

    /// The greatest value, as `min`.
    ///
    /// # Errors
    /// As `min`.
    pub fn max(&self, column: IndexColumn) -> Result<Option<Scalar>> {
        self.extreme(column, true)
    }

    fn extreme(&self, column: IndexColumn, greatest: bool) -> Result<Option<Scalar>> {
        let Some(ty) = self.column_type(column) else { return Ok(None) };
        let IndexColumn::Include(column) = column else { return self.key_extreme(greatest) };
        let mut best: Option<Value<'_>> = None;
        for (part, stretch) in self.parts().filter(|(part, _)| !part.gone) {
            let Some(column) = part.run.columns.get(column) else { return Ok(None) };
            let dead = |range: Range<usize>| self.is_dead(part, range);
            let value = column.extreme(stretch.clone(), greatest, dead);
            best = match (best, value) {
                (Some(best), Some(value)) if (value > best) == greatest => Some(value),
                (None, value) => value,
                (best, _) => best,
            };
        }
        best.map(|value| value.to_scalar(ty)).transpose()
    }

    /// Whether entries of a part may be deleted among positions; exact for one.
    fn is_dead(&self, part: &Part, range: Range<usize>) -> bool {
        let run = &part.run;
        let one = range.len() == 1;
        let (first, last) = (range.start, range.end - 1);
        self.index.parts.iter().filter(|part| part.gone).any(|gone| {
            let at = gone.run.rank(run.key(first), run.row(first));
            let hit = gone.run.is_at(at, run.key(first), run.row(first));
            if one || hit {
                return hit;
            }
            at < gone.run.len()
                && (gone.run.key(at), gone.run.row(at)) <= (run.key(last), run.row(last))
        })
    }

    fn key_extreme(&self, greatest: bool) -> Result<Option<Scalar>> {
        let range = self.ordered_keys()?;
        let view = self.within(&range);
        let descending = self.index.spec().keys[0].descending;
        let at = if greatest == descending { Some(0) } else { view.count().checked_sub(1) };
        let keys = at.map_or(Ok(None), |at| view.keys_at(at))?;
        Ok(keys.and_then(|keys| keys.into_iter().next()))
    }

    /// The keys of one column that are neither NULL nor NaN.
    fn ordered_keys(&self) -> Result<KeyRange> {
        let spec = self.index.spec();
        let ty = &spec.keys[0].ty;
        if !ty.is_float() {
            return spec.range(&[], Bound::Unbounded, Bound::Unbounded);
        }
        let nan = code::float_scalar(ty, f64::NAN)?;
        spec.range(&[], Bound::Unbounded, Bound::Excluded(&nan))
    }

    /// How many distinct keys there are, NULL counted as one. `O(log n)` a part, and `O(d log n)` for d entries of the range
    /// outside of the largest run, until a version was asked for ranges that come to all of these.
    pub fn distinct(&self) -> u64 {
        if self.is_empty() {
            return 0;
        }
        let base = largest(&self.index.parts);
        let count = base
            .map_or(0, |base| self.index.parts[base].run.distinct(&self.stretches[base]) as i64);
        if self.index.parts.len() < 2 {
            return count.unsigned_abs();
        }
        let effects = self.index.effects.of(&self.index.parts, self.range, &self.stretches);
        (count + effects).unsigned_abs()
    }

    /// All that is known of a column, in the form that blocks of a table have it in. Sums of floats are those of exact
    /// sums. For the key of several columns and a column that there is not only the number of rows is known.
    ///
    /// # Errors
    /// `Internal` never.
    pub fn statistics(&self, column: IndexColumn) -> Result<Statistics> {
        self.statistics_with(column, true, true)
    }

    /// As `statistics`; without `squares`, what goes back to squares means nothing; without `bounds` there are none.
    ///
    /// # Errors
    /// As `statistics`.
    pub fn statistics_with(
        &self,
        column: IndexColumn,
        squares: bool,
        bounds: bool,
    ) -> Result<Statistics> {
        let rows = self.count() as usize;
        let Some(totals) = self.totals(column, squares) else {
            return Ok(Statistics { rows, unknown: true, ..Statistics::default() });
        };
        let sums = match totals.to_sums() {
            // Of values that have no squares nothing is claimed.
            Sums::Exact(_) if squares && totals.exact_squares().is_none() => Sums::None,
            sums => sums,
        };
        let [min, max] = match bounds {
            true => [self.min(column)?, self.max(column)?],
            false => [None, None],
        };
        let (nulls, nans) = (rows - totals.values() as usize, totals.nans() as usize);
        Ok(Statistics { rows, nulls, nans, unknown: false, min, max, sums })
    }
}
