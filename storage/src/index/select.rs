//! The k-th entry of a range, quantiles, the entries in order.
//!
//! Invariants: entries are in the order of key and row, deleted ones left out. Finding the k-th one of several parts keeps
//! for each part a stretch in which it must lie; every third step halves the longest one, the others guess.
//! Method: selection in sorted arrays (Frederickson and Johnson 1982, simplified): the number of entries before any entry
//! is a sum over parts, gone ones negative, and grows with the entry.

use std::ops::{Bound, Range};

use super::{
    column::Value,
    range::KeyRef,
    version::{Entry, Part},
    view::RangeView,
};
use crate::{error::Result, scalar::Scalar};

/// Values that a quantile lies between.
#[derive(Debug, Clone, PartialEq)]
pub struct Between {
    /// The value at or below it.
    pub low: Scalar,
    /// The value at or above it.
    pub high: Scalar,
    /// How far it lies from `low` to `high`: 0 up to, not including, 1.
    pub weight: f64,
}

/// A bucket of an equi-depth histogram.
#[derive(Debug, Clone, PartialEq)]
pub struct DepthBucket {
    /// The greatest key of the bucket, in the order of the index.
    pub last: Vec<Scalar>,
    /// How many entries lie in it.
    pub rows: u64,
}

impl<'a> RangeView<'a> {
    /// The `k`-th entry, from 0; `None` when there are not so many. `O(1)` with one part, else `O(log d)` steps of
    /// `O(log n)` a part for d entries outside of the largest run.
    pub fn select(&self, k: u64) -> Option<Entry> {
        let heads = self.places(k)?;
        match &*self.index.parts {
            [_] => Some(Entry { part: 0, at: heads[0] }),
            _ => EntryIter { view: self.clone(), heads }.next(),
        }
    }

    /// For each part, the position that what comes before the `k`-th entry ends at; `None` when there are not so many
    /// entries.
    fn places(&self, k: u64) -> Option<Vec<usize>> {
        if k >= self.count() {
            return None;
        }
        let k = k as i64;
        let mut open = self.stretches.clone();
        if let [stretch] = open.as_slice() {
            return Some(vec![stretch.start + k as usize]);
        }
        // The k-th entry's place in a part cannot be further from k than other parts have entries.
        let sizes = |gone| -> i64 {
            self.parts().filter(|(p, _)| p.gone == gone).map(|(_, s)| s.len() as i64).sum()
        };
        let (there, gone) = (sizes(false), sizes(true));
        for ((part, stretch), open) in self.parts().zip(&mut open).filter(|((p, _), _)| !p.gone) {
            let others = there - stretch.len() as i64;
            let (start, len) = (stretch.start as i64, stretch.len() as i64);
            debug_assert!(part.run.len() as i64 >= start + len);
            let low = (k - others).clamp(0, len);
            let high = (k + gone + 1).clamp(low, len);
            *open = (start + low) as usize..(start + high) as usize;
        }
        for step in 0_usize.. {
            let longest = self
                .parts()
                .zip(&open)
                .enumerate()
                .filter(|(_, ((part, _), open))| !part.gone && !open.is_empty())
                .max_by_key(|(_, (_, open))| open.len());
            // The entry lies in an open stretch until it is the middle of one.
            let (part, (_, stretch)) = longest?;
            let mid = match step % 3 {
                2 => stretch.start.midpoint(stretch.end),
                side => self.guess(k, &open, stretch, side == 0),
            };
            let run = &self.index.parts[part].run;
            let (key, row) = (run.key(mid), run.row(mid));
            let ranks = self.ranks(key, row);
            let before = self.signed(&ranks);
            let live: i64 = self
                .parts()
                .zip(&ranks)
                .filter(|((part, _), rank)| part.run.is_at(**rank, key, row))
                .map(|((part, _), _)| part.sign())
                .sum();
            if k < before {
                for (open, &rank) in open.iter_mut().zip(&ranks) {
                    open.end = open.end.min(rank.max(open.start));
                }
                // The middle itself is ruled out: its rank is its own position.
                open[part].end = mid;
            } else if k < before + live {
                return Some(ranks);
            } else {
                for (((other, _), open), &rank) in self.parts().zip(&mut open).zip(&ranks) {
                    let after = rank + usize::from(other.run.is_at(rank, key, row));
                    open.start = open.start.max(after.min(open.end));
                }
                open[part].start = mid + 1;
            }
        }
        None
    }

    /// About where in a stretch the `k`-th entry lies, were the stretches of all parts alike; a little before or after it, so
    /// that it ends up between two guesses.
    fn guess(&self, k: i64, open: &[Range<usize>], stretch: &Range<usize>, before: bool) -> usize {
        let (mut left, mut all) = (k, 0);
        for ((part, whole), open) in self.parts().zip(open) {
            left -= part.sign() * (open.start - whole.start) as i64;
            all += part.sign() * open.len() as i64;
        }
        let share = (left as f64 / all.max(1) as f64).clamp(0.0, 1.0);
        let place = (stretch.len() as f64 * share) as usize;
        let apart = stretch.len().isqrt();
        let place = if before { place.saturating_sub(apart) } else { place + apart };
        stretch.start + place.min(stretch.len() - 1)
    }

    /// The position of an entry in every part, within the range.
    fn ranks(&self, key: KeyRef<'_>, row: u64) -> Vec<usize> {
        let rank = |(part, stretch): (&Part, &Range<usize>)| {
            part.run.rank(key, row).clamp(stretch.start, stretch.end)
        };
        self.parts().map(rank).collect()
    }

    /// How many entries lie before positions.
    fn signed(&self, positions: &[usize]) -> i64 {
        let before = |((part, stretch), &position): ((&Part, &Range<usize>), &usize)| {
            part.sign() * (position - stretch.start) as i64
        };
        self.parts().zip(positions).map(before).sum()
    }

    /// The entries from the `offset`-th on, in the order of the index. `O(log n)`, then `O(parts)` an entry.
    pub fn entries(&self, offset: u64) -> EntryIter<'a> {
        let ends = || self.stretches.iter().map(|stretch| stretch.end).collect();
        EntryIter { view: self.clone(), heads: self.places(offset).unwrap_or_else(ends) }
    }

    /// The rows of up to `limit` entries from the `offset`-th on, in the order of the index.
    pub fn rows(&self, offset: u64, limit: usize) -> Vec<u64> {
        self.entries(offset).take(limit).map(|entry| self.index.row(entry)).collect()
    }

    /// The place among so many values that is the first one at or below which the fraction lies.
    fn place_at(fraction: f64, values: u64) -> Option<u64> {
        let place = (fraction * values as f64).ceil() as u64;
        Some(place.clamp(1, values.max(1)) - 1)
            .filter(|_| values > 0 && (0.0..=1.0).contains(&fraction))
    }

    /// The key, of one column, that `quantile_disc` names: the least one at or below which a fraction of the keys lies that
    /// are not NULL. `None` of no keys, and for fractions outside of 0 to 1. As `select`.
    ///
    /// # Errors
    /// `Internal` for a key of several columns.
    pub fn quantile(&self, fraction: f64) -> Result<Option<Scalar>> {
        let range = self.index.spec().range(&[], Bound::Unbounded, Bound::Unbounded)?;
        let view = self.within(&range);
        let place = Self::place_at(fraction, view.count());
        place.map_or(Ok(None), |place| view.key_at(place))
    }

    /// The keys, of one column, that `quantile_cont` lies between: median at a fraction of one half. As `quantile`.
    ///
    /// # Errors
    /// As `quantile`.
    pub fn quantile_between(&self, fraction: f64) -> Result<Option<Between>> {
        let range = self.index.spec().range(&[], Bound::Unbounded, Bound::Unbounded)?;
        let view = self.within(&range);
        between(fraction, view.count(), |place| view.key_at(place))
    }

    /// The key of one column at a place that counts from the least value.
    fn key_at(&self, place: u64) -> Result<Option<Scalar>> {
        let [key] = self.index.spec().keys.as_slice() else { return Err(super::code::misfit()) };
        let place =
            if key.descending { (self.count() - 1).checked_sub(place) } else { Some(place) };
        let keys = place.map_or(Ok(None), |place| self.keys_at(place))?;
        Ok(keys.and_then(|keys| keys.into_iter().next()))
    }

    /// As `quantile`, of an included column with quantiles; `None` for others too. `O(log s)` for s distinct values with one
    /// part, else `O(log^2 s)` a part.
    ///
    /// # Errors
    /// `Internal` never.
    pub fn included_quantile(&self, column: usize, fraction: f64) -> Result<Option<Scalar>> {
        let values = self.included_values(column);
        let place = Self::place_at(fraction, values);
        place.map_or(Ok(None), |place| self.included_at(column, place))
    }

    /// As `quantile_between`, of an included column with quantiles; `None` for others too.
    ///
    /// # Errors
    /// `Internal` never.
    pub fn included_between(&self, column: usize, fraction: f64) -> Result<Option<Between>> {
        between(fraction, self.included_values(column), |place| self.included_at(column, place))
    }

    /// How many values of an included column are not NULL.
    fn included_values(&self, column: usize) -> u64 {
        let values = |(part, stretch): (&Part, &Range<usize>)| {
            let column = part.run.columns.get(column);
            part.sign() * column.map_or(0, |column| column.values(stretch)) as i64
        };
        self.parts().map(values).sum::<i64>().unsigned_abs()
    }

    /// The `k`-th smallest value of an included column with quantiles, from 0, NULLs left out.
    ///
    /// # Errors
    /// `Internal` never.
    pub fn included_at(&self, column: usize, k: u64) -> Result<Option<Scalar>> {
        let Some(spec) = self.index.spec().includes.get(column) else { return Ok(None) };
        if !spec.quantiles || k >= self.included_values(column) {
            return Ok(None);
        }
        if let ([part], [stretch]) = (&*self.index.parts, self.stretches.as_slice()) {
            let value = part.run.columns[column].nth(stretch, k as usize);
            return value.map(|value| value.to_scalar(&spec.ty)).transpose();
        }
        // The least value up to which there are more than k lies in one of the parts. What the largest part says of it
        // leaves few values of the others.
        let up_to = |value: Value<'_>| -> i64 {
            let count = |(part, stretch): (&Part, &Range<usize>)| {
                part.sign() * part.run.columns[column].up_to(stretch, value) as i64
            };
            self.parts().map(count).sum()
        };
        let mut parts: Vec<&Part> = self.index.parts.iter().filter(|part| !part.gone).collect();
        parts.sort_by_key(|part| std::cmp::Reverse(part.run.len()));
        let (mut below, mut best): (Option<Value<'_>>, Option<Value<'_>>) = (None, None);
        for part in parts {
            let column = &part.run.columns[column];
            let place = |is_before: &dyn Fn(Value<'_>) -> bool| {
                let (mut low, mut high) = (0, column.places().unwrap_or(0));
                while low < high {
                    let mid = low.midpoint(high);
                    match column.place_value(mid).is_some_and(is_before) {
                        true => low = mid + 1,
                        false => high = mid,
                    }
                }
                low
            };
            let mut low = place(&|value| below.is_some_and(|below| value <= below));
            let end = place(&|value| best.is_none_or(|best| value < best));
            let mut high = end;
            while low < high {
                let mid = low.midpoint(high);
                let Some(value) = column.place_value(mid) else { break };
                if up_to(value) > k as i64 {
                    high = mid;
                } else {
                    low = mid + 1;
                    below = Some(value);
                }
            }
            if low < end {
                best = column.place_value(low);
            }
        }
        best.map(|value| value.to_scalar(&spec.ty)).transpose()
    }

    /// Buckets of as equal numbers of entries as can be: `buckets` of them, fewer where there are fewer entries.
    ///
    /// # Errors
    /// `Internal` never.
    pub fn histogram(&self, buckets: u64) -> Result<Vec<DepthBucket>> {
        let (count, mut found, mut start) = (self.count(), vec![], 0);
        for bucket in 1..=buckets {
            let end = (u128::from(count) * u128::from(bucket) / u128::from(buckets)) as u64;
            if end > start
                && let Some(last) = self.keys_at(end - 1)?
            {
                found.push(DepthBucket { last, rows: end - start });
                start = end;
            }
        }
        Ok(found)
    }
}

/// The values that a continuous quantile lies between.
fn between(
    fraction: f64,
    values: u64,
    at: impl Fn(u64) -> Result<Option<Scalar>>,
) -> Result<Option<Between>> {
    if values == 0 || !(0.0..=1.0).contains(&fraction) {
        return Ok(None);
    }
    let place = fraction * (values - 1) as f64;
    let low = (place.floor() as u64).min(values - 1);
    let high = (low + 1).min(values - 1);
    let (first, second) = (at(low)?, at(high)?);
    let pair = first.zip(second);
    Ok(pair.map(|(first, second)| Between { low: first, high: second, weight: place - low as f64 }))
}

/// Entries in the order of the index.
#[derive(Debug, Clone)]
pub struct EntryIter<'a> {
    view: RangeView<'a>,
    heads: Vec<usize>,
}

impl Iterator for EntryIter<'_> {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        let view = &self.view;
        if let ([head], [stretch]) = (self.heads.as_mut_slice(), view.stretches.as_slice()) {
            let at = (*head < stretch.end).then_some(*head)?;
            *head += 1;
            return Some(Entry { part: 0, at });
        }
        loop {
            let heads = view.parts().zip(&self.heads).enumerate();
            let (_, (key, row)) = heads
                .filter(|(_, ((_, stretch), head))| **head < stretch.end)
                .map(|(i, ((part, _), &head))| (i, (part.run.key(head), part.run.row(head))))
                .min_by_key(|(_, entry)| *entry)?;
            let (mut count, mut found) = (0, None);
            for (i, ((part, stretch), head)) in view.parts().zip(&mut self.heads).enumerate() {
                if *head < stretch.end && part.run.is_at(*head, key, row) {
                    count += part.sign();
                    found = if part.gone { found } else { Some(Entry { part: i, at: *head }) };
                    *head += 1;
                }
            }
            if count > 0 && found.is_some() {
                return found;
            }
        }
    }
}
