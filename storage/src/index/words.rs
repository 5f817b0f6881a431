//! Sorted words, and the static tree over them.
//!
//! Invariants: words ascend. Level `i` holds the last word of every node of the level below (the words themselves are
//! the lowest level), filled up with the greatest word to whole nodes; there is no pointer: the node below the `j`-th word
//! of a level is the `j`-th one.
//! Method: within a node the words less than the needle are counted, all lanes at once and without a branch, so that
//! every level costs one or two cache lines and no misprediction (Kim et al. 2010, "FAST"; the layout is that of a
//! static B+-tree).
//! Next: `bytes.rs`, the same for byte strings; `keys.rs`.

use super::offsets::Word;

/// Words of one node: 128 bytes of 64-bit words, two neighbouring cache lines that are fetched together.
pub(super) const FAN_OUT: usize = 16;

/// Ascending words, searchable.
#[derive(Debug, Clone)]
pub(super) struct WordTree<W> {
    words: Vec<W>,
    /// From the lowest to the highest.
    levels: Vec<Box<[W]>>,
}

#[inline]
fn count_less<W: Word>(node: &[W; FAN_OUT], needle: W) -> usize {
    let mut less = 0;
    for &word in node {
        less += usize::from(word < needle);
    }
    less
}

impl<W: Word> WordTree<W> {
    /// Over ascending words.
    pub(super) fn new(words: Vec<W>) -> Self {
        let mut levels: Vec<Box<[W]>> = vec![];
        loop {
            let below = levels.last().map_or(words.as_slice(), |level| level);
            if below.len() <= FAN_OUT {
                return Self { words, levels };
            }
            let last = |node: &[W]| node[node.len() - 1];
            let mut level: Vec<W> = below.chunks(FAN_OUT).map(last).collect();
            level.resize(level.len().next_multiple_of(FAN_OUT), W::MAX);
            levels.push(level.into());
        }
    }

    pub(super) fn len(&self) -> usize {
        self.words.len()
    }

    pub(super) fn words(&self) -> &[W] {
        &self.words
    }

    /// How many words are less than a needle. `O(log n)`.
    #[inline]
    pub(super) fn lower_bound(&self, needle: W) -> usize {
        let mut node = 0;
        for level in self.levels.iter().rev() {
            let Some(words) = level[node * FAN_OUT..].first_chunk::<FAN_OUT>() else {
                return self.words.len();
            };
            node = node * FAN_OUT + count_less(words, needle);
            if node == level.len() {
                return self.words.len();
            }
        }
        let start = (node * FAN_OUT).min(self.words.len());
        let rest = &self.words[start..];
        match rest.first_chunk::<FAN_OUT>() {
            Some(words) => start + count_less(words, needle),
            None => start + rest.iter().filter(|&&word| word < needle).count(),
        }
    }

    /// How many words are not greater than a needle. `O(log n)`.
    #[inline]
    pub(super) fn upper_bound(&self, needle: W) -> usize {
        match needle == W::MAX {
            true => self.words.len(),
            false => self.lower_bound(W::cut(needle.wide() + 1)),
        }
    }

    /// Levels, the words included.
    pub(super) fn height(&self) -> usize {
        self.levels.len() + 1
    }

    pub(super) fn bytes(&self) -> usize {
        let levels: usize = self.levels.iter().map(|level| size_of_val(&**level)).sum();
        levels + self.words.capacity() * size_of::<W>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::tests::Random;

    #[test]
    fn test_bounds_equal_those_of_a_sorted_list() {
        let mut random = Random(9);
        for count in [0, 1, 15, 16, 17, 255, 256, 257, 5000] {
            for limit in [1, 7, 1 << 40] {
                let mut words: Vec<u64> = (0..count).map(|_| random.next() % limit).collect();
                words.extend([0, u64::MAX].iter().take(count % 3));
                words.sort_unstable();
                let tree = WordTree::new(words.clone());
                let near = words.iter().flat_map(|&w| [w, w.wrapping_add(1), w.wrapping_sub(1)]);
                for needle in near.chain([0, 1, u64::MAX]) {
                    let lower = words.partition_point(|&word| word < needle);
                    let upper = words.partition_point(|&word| word <= needle);
                    assert_eq!(tree.lower_bound(needle), lower);
                    assert_eq!(tree.upper_bound(needle), upper);
                }
            }
        }
    }
}
