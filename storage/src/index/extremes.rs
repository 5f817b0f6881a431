//! Least and greatest value over any range of positions, entries that were deleted since left out.
//!
//! Invariant: a node of level 0 bounds the values of one block, a node above those of up to 16 nodes below; a node
//! without values has a least above its greatest.
//! Method: a tree of small materialised aggregates (Moerkotte 1998), searched branch and bound, so that a node is opened
//! only if it can hold something better than what is known and is not wholly live and inside.
//! Next: `column.rs`.

use std::ops::Range;

use super::{offsets::Word, sums::BLOCK};

/// Children of a node.
const FAN_OUT: usize = 16;

/// Bounds of blocks and of nodes above.
#[derive(Debug, Clone)]
pub(super) struct Extremes<T> {
    levels: Vec<Box<[[T; 2]]>>,
}

/// What is searched for.
pub(super) struct Search<'a, T, V, D> {
    /// The value at a position; `None` is left out.
    pub(super) value: V,
    /// How many deleted entries there may be among positions; exact for a single one.
    pub(super) dead: D,
    /// Positions.
    pub(super) range: Range<usize>,
    /// The greatest rather than the least.
    pub(super) greatest: bool,
    /// The best so far.
    pub(super) best: &'a mut Option<T>,
}

impl<T: Word> Extremes<T> {
    /// The bounds of `len` values, where `None` is left out.
    pub(super) fn new(len: usize, value: impl Fn(usize) -> Option<T>) -> Self {
        let empty = [T::MAX, T::default()];
        let bounds = |start: usize| {
            let mut bounds = empty;
            for value in (start..(start + BLOCK).min(len)).filter_map(&value) {
                bounds = [bounds[0].min(value), bounds[1].max(value)];
            }
            bounds
        };
        let mut level: Box<[[T; 2]]> = (0..len).step_by(BLOCK).map(bounds).collect();
        let mut levels = vec![];
        while level.len() > FAN_OUT {
            let join = |nodes: &[[T; 2]]| {
                nodes.iter().fold(empty, |a, b| [a[0].min(b[0]), a[1].max(b[1])])
            };
            let above = level.chunks(FAN_OUT).map(join).collect();
            levels.push(level);
            level = above;
        }
        levels.push(level);
        Self { levels }
    }

    /// Improves what is known by the values of a range. `O(log n)`, and more where the best values were deleted.
    pub(super) fn search<V, D>(&self, mut search: Search<'_, T, V, D>)
    where
        V: Fn(usize) -> Option<T>,
        D: Fn(Range<usize>) -> bool,
    {
        let top = self.levels.len() - 1;
        for node in 0..self.levels[top].len() {
            self.visit(top, node, &mut search);
        }
    }

    fn visit<V, D>(&self, level: usize, node: usize, search: &mut Search<'_, T, V, D>)
    where
        V: Fn(usize) -> Option<T>,
        D: Fn(Range<usize>) -> bool,
    {
        let width = BLOCK * FAN_OUT.pow(level as u32);
        let (start, end) = (node * width, (node + 1) * width);
        let inside = start.max(search.range.start)..end.min(search.range.end);
        let bounds = self.levels[level][node];
        if inside.is_empty() || bounds[0] > bounds[1] {
            return;
        }
        let stored = bounds[usize::from(search.greatest)];
        if !better(stored, search.best, search.greatest) {
            return;
        }
        if inside.len() == width && !(search.dead)(inside.clone()) {
            *search.best = Some(stored);
            return;
        }
        if level > 0 {
            let children = self.levels[level - 1].len();
            for child in node * FAN_OUT..((node + 1) * FAN_OUT).min(children) {
                self.visit(level - 1, child, search);
            }
            return;
        }
        let dead = (search.dead)(inside.clone());
        for at in inside {
            if let Some(value) = (search.value)(at)
                && better(value, search.best, search.greatest)
                && !(dead && (search.dead)(at..at + 1))
            {
                *search.best = Some(value);
            }
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.levels.iter().map(|level| size_of_val(&**level)).sum()
    }
}

#[inline]
fn better<T: Ord + Copy>(value: T, best: &Option<T>, greatest: bool) -> bool {
    match *best {
        None => true,
        Some(best) if greatest => value > best,
        Some(best) => value < best,
    }
}
