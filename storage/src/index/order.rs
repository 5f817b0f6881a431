//! Rows of ranges: as a set, and in the reverse order of keys.
//!
//! Invariants: rows that are gone are left out; among rows of one key those come first that come first in the table, in
//! both directions, as a stable sort leaves them.
//! Next: `select.rs`, the order of the index itself.

use std::ops::Range;

use super::{
    range::{Cut, KeyRange, KeyRef},
    version::Index,
    view::RangeView,
};
use crate::{error::Result, scalar::Scalar};

/// From how many rows on a bit for every row up to the last one takes less time than sorting, if these are not more
/// than `SPARSE` words a row.
pub(super) const MANY: usize = 1 << 10;
pub(super) const SPARSE: u64 = 4;

impl Index {
    /// The rows of all entries in disjoint ranges, ascending. `O(log n)` a range and part and `O(m log m)` for m rows.
    pub fn rows_in(&self, ranges: &[KeyRange]) -> Vec<u64> {
        let (mut there, mut gone) = (vec![], vec![]);
        for range in ranges {
            let view = self.view(range);
            for (part, stretch) in view.parts() {
                let rows = stretch.clone().map(|at| part.run.row(at));
                if part.gone { gone.extend(rows) } else { there.extend(rows) }
            }
        }
        let there = ascending(there);
        if gone.is_empty() {
            return there;
        }
        // An id does not come back once it is gone.
        let gone = ascending(gone);
        let mut gone = gone.iter().peekable();
        let is_live = |row: &u64| {
            while gone.next_if(|gone| *gone < row).is_some() {}
            gone.peek() != Some(&row)
        };
        there.into_iter().filter(is_live).collect()
    }
}

/// Numbers in order.
pub(super) fn ascending(mut rows: Vec<u64>) -> Vec<u64> {
    let words = rows.iter().max().map_or(0, |last| last / 64 + 1);
    if rows.len() < MANY || words > SPARSE * rows.len() as u64 {
        rows.sort_unstable();
        return rows;
    }
    let mut bits = vec![0_u64; words as usize];
    for row in &rows {
        bits[(row / 64) as usize] |= 1 << (row % 64);
    }
    rows.clear();
    for (word, mut left) in (0_u64..).zip(bits) {
        while left != 0 {
            rows.push(word * 64 + u64::from(left.trailing_zeros()));
            left &= left - 1;
        }
    }
    rows
}

impl RangeView<'_> {
    /// The rows of up to `limit` entries from the `offset`-th on, greatest keys of the index's order first, rows of one
    /// key ascending. `O(log n)` a distinct key that has several rows, `O(1)` another one with one part.
    pub fn rows_reversed(&self, offset: u64, limit: usize) -> Vec<u64> {
        let mut rows = vec![];
        let count = self.count();
        let (mut skip, mut end) = (0, count.saturating_sub(offset));
        if end > 0 && offset > 0 {
            // The keys that the offset lies in begin before and end after it.
            let group = self.equal_to(end - 1);
            skip = group.end - end;
            end = group.end;
        }
        while end > 0 && rows.len() < limit {
            let group = self.equal_to(end - 1);
            let wanted = (group.end - group.start - skip).min((limit - rows.len()) as u64);
            rows.extend(self.rows(group.start + skip, wanted as usize));
            (end, skip) = (group.start, 0);
        }
        rows
    }

    /// The places of the entries whose key is that of the `k`-th one, which there is.
    pub fn equal_to(&self, k: u64) -> Range<u64> {
        let Some(key) = self.code_at(k) else { return k..k + 1 };
        let is_equal = |place: u64| self.code_at(place) == Some(key);
        let start = match k.checked_sub(1).is_some_and(is_equal) {
            true => self.places_before(&Cut::Before(key.to_owned())),
            false => k,
        };
        if !is_equal(k + 1) {
            return start..k + 1;
        }
        let end = |part: &super::version::Part| part.run.equal(key).end;
        let ends = self.parts().map(|(part, stretch)| {
            let at = end(part).clamp(stretch.start, stretch.end);
            part.sign() * (at - stretch.start) as i64
        });
        start..ends.sum::<i64>().unsigned_abs()
    }

    /// The code of the `k`-th entry's key.
    fn code_at(&self, k: u64) -> Option<KeyRef<'_>> {
        let entry = self.select(k)?;
        Some(self.index.parts[entry.part].run.key(entry.at))
    }

    /// The key of the `k`-th entry; `None` when there are not so many. As `select`.
    ///
    /// # Errors
    /// `Internal` when the bytes of a key are none of its types'.
    pub fn keys_at(&self, k: u64) -> Result<Option<Vec<Scalar>>> {
        self.select(k).map(|entry| self.index.key_values(entry)).transpose()
    }

    /// The range from the key of the `k`-th entry on; `None` when there are not so many.
    pub fn onwards(&self, k: u64) -> Option<KeyRange> {
        let key = self.code_at(k)?.to_owned();
        Some(KeyRange { lower: Cut::Before(key), upper: self.range.upper.clone() })
    }

    /// How many entries of the range lie before a cut.
    fn places_before(&self, cut: &Cut) -> u64 {
        let places = self.parts().map(|(part, stretch)| {
            let at = part.run.position(cut).clamp(stretch.start, stretch.end);
            part.sign() * (at - stretch.start) as i64
        });
        places.sum::<i64>().unsigned_abs()
    }
}
