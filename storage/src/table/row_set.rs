//! Sets of rows of a table by their positions: what a DELETE found.
//!
//! Invariants: positions are those of one layout of the table (`version.rs`); a set takes a bit for each row of the blocks
//! that it has rows of, so that it never takes more than an eighth of a byte per row of the table and 8 KiB.
//! Next: `deletes.rs`, which makes masks of it.

use std::{collections::BTreeMap, ops::Range};

/// Rows of a block of the set: 2^16.
const BLOCK_BITS: u32 = 16;
const WORDS: usize = 1 << (BLOCK_BITS - 6);

/// Positions of rows, each once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RowSet {
    blocks: BTreeMap<u64, Box<[u64; WORDS]>>,
    len: u64,
}

impl RowSet {
    /// How many rows. O(1).
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a row; false when it was there. O(log blocks).
    pub fn insert(&mut self, position: u64) -> bool {
        let block = self.blocks.entry(position >> BLOCK_BITS);
        let words = block.or_insert_with(|| Box::new([0; WORDS]));
        let (word, bit) = place(position);
        let new = words[word] & bit == 0;
        words[word] |= bit;
        self.len += u64::from(new);
        new
    }

    /// Adds rows, quickest when neighbours come together; false when one was there already.
    pub fn insert_all(&mut self, positions: impl IntoIterator<Item = u64>) -> bool {
        let mut positions = positions.into_iter().peekable();
        let mut all_new = true;
        while let Some(&first) = positions.peek() {
            let block = first >> BLOCK_BITS;
            let words = self.blocks.entry(block).or_insert_with(|| Box::new([0; WORDS]));
            while let Some(position) = positions.next_if(|next| next >> BLOCK_BITS == block) {
                let (word, bit) = place(position);
                let new = words[word] & bit == 0;
                words[word] |= bit;
                self.len += u64::from(new);
                all_new &= new;
            }
        }
        all_new
    }

    /// Whether a row is in the set. O(log blocks).
    pub fn contains(&self, position: u64) -> bool {
        let (word, bit) = place(position);
        self.blocks.get(&(position >> BLOCK_BITS)).is_some_and(|words| words[word] & bit != 0)
    }

    /// The greatest position.
    pub fn last(&self) -> Option<u64> {
        self.blocks.iter().next_back().and_then(|(&block, words)| positions(block, words).last())
    }

    /// The positions, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u64> {
        self.blocks.iter().flat_map(|(&block, words)| positions(block, words))
    }

    /// The positions within a range, ascending. O(blocks of the range).
    pub fn within(&self, range: Range<u64>) -> impl Iterator<Item = u64> {
        let (first, last) = (range.start >> BLOCK_BITS, range.end.div_ceil(1 << BLOCK_BITS));
        let blocks = self.blocks.range(first..last.max(first));
        let all = blocks.flat_map(|(&block, words)| positions(block, words));
        all.filter(move |position| range.contains(position))
    }

    /// The set with the positions from `before` on moved so that `before` becomes `now`, which is not less.
    pub(crate) fn moved(&self, before: u64, now: u64) -> Self {
        self.iter().map(|p| if p < before { p } else { p - before + now }).collect()
    }
}

impl FromIterator<u64> for RowSet {
    fn from_iter<I: IntoIterator<Item = u64>>(positions: I) -> Self {
        let mut set = Self::default();
        set.insert_all(positions);
        set
    }
}

/// The word of a block and the bit within it of a position.
#[expect(clippy::cast_possible_truncation, reason = "a place within a block")]
fn place(position: u64) -> (usize, u64) {
    ((position >> 6) as usize % WORDS, 1 << (position % 64))
}

fn positions(block: u64, words: &[u64; WORDS]) -> impl Iterator<Item = u64> {
    let first = block << BLOCK_BITS;
    (0_u64..).zip(words).flat_map(move |(at, &word)| {
        let mut left = word;
        std::iter::from_fn(move || {
            let bit = left.trailing_zeros();
            left &= left.wrapping_sub(1);
            (bit < 64).then(|| first + at * 64 + u64::from(bit))
        })
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::table::tests::Random;

    #[test]
    fn test_a_set_is_what_a_btree_set_is() {
        let mut random = Random(7);
        for limit in [1, 70, 1 << 16, 1 << 20, usize::MAX] {
            let (mut set, mut model) = (RowSet::default(), BTreeSet::new());
            assert_eq!((set.last(), set.is_empty()), (None, true));
            for _ in 0..300 {
                let position = random.below(limit) as u64;
                assert_eq!(set.insert(position), model.insert(position));
                assert!(set.contains(position));
                assert_eq!(set.contains(position ^ 64), model.contains(&(position ^ 64)));
            }
            assert_eq!(set.len(), model.len() as u64);
            assert_eq!(model.iter().copied().collect::<RowSet>(), set);
            assert!(!set.clone().insert_all(model.iter().copied()));
            assert!(set.iter().eq(model.iter().copied()));
            assert_eq!(set.last(), model.last().copied());
            for _ in 0..50 {
                let (a, b) = (random.below(limit) as u64, random.below(limit) as u64);
                let range = a.min(b)..a.max(b);
                assert!(set.within(range.clone()).eq(model.range(range).copied()));
            }
            assert!(set.within(0..0).next().is_none());
            let before = random.below(limit) as u64;
            if limit < usize::MAX {
                let moved = set.moved(before, before + 77);
                let want = model.iter().map(|&p| if p < before { p } else { p + 77 });
                assert!(moved.iter().eq(want));
            }
        }
    }
}
