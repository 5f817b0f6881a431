//! The groups of a morsel split by hash, so that partitions of all morsels are merged side by side.
//!
//! Invariant: within a partition groups keep their order; which partition a group is in never shows. Next: `merge.rs`.

use super::SetPartial;
use crate::agg::{State, table::permute};

/// How many partitions there are.
pub(super) const PARTITIONS: usize = 256;
const SHIFT: u32 = u64::BITS - PARTITIONS.trailing_zeros();

/// Where the groups of a split partial result lie.
pub(super) struct Split {
    /// Places `starts[p]..starts[p + 1]` are those of partition `p`.
    pub(super) starts: Vec<u32>,
    /// The group, as numbered before the split, at each place.
    pub(super) rows: Vec<u32>,
    /// Per state, whether its groups lie in the new order.
    pub(super) moved: Vec<bool>,
}

impl SetPartial {
    /// Puts keys and states into the order of partitions, unless they are.
    pub(super) fn split(&mut self) {
        if self.split.is_some() {
            return;
        }
        let (starts, rows) = order_of(&self.hashes);
        self.keys = self.keys.gather(&rows);
        permute(&mut self.hashes, &rows);
        let moved = self.states.iter_mut().map(|state: &mut State| state.reorder(&rows)).collect();
        self.split = Some(Split { starts, rows, moved });
    }

    /// How many groups.
    pub(super) fn len(&self) -> usize {
        self.hashes.len()
    }
}

/// Where partitions start, and the groups in their order.
fn order_of(hashes: &[u64]) -> (Vec<u32>, Vec<u32>) {
    let partition = |hash: u64| (hash >> SHIFT) as usize;
    let mut starts = vec![0_u32; PARTITIONS + 1];
    for &hash in hashes {
        starts[partition(hash) + 1] += 1;
    }
    for partition in 0..PARTITIONS {
        starts[partition + 1] += starts[partition];
    }
    let mut next = starts.clone();
    let mut rows = vec![0; hashes.len()];
    for (row, &hash) in (0_u32..).zip(hashes) {
        let place = &mut next[partition(hash)];
        rows[*place as usize] = row;
        *place += 1;
    }
    (starts, rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_order_of_keeps_each_group_once_and_partitions_apart() {
        let hashes: Vec<u64> =
            (0..3000_u64).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
        let (starts, rows) = order_of(&hashes);
        assert_eq!((starts[0], starts[PARTITIONS]), (0, 3000));
        for partition in 0..PARTITIONS {
            let rows = &rows[starts[partition] as usize..starts[partition + 1] as usize];
            assert!(rows.windows(2).all(|pair| pair[0] < pair[1]));
            assert!(rows.iter().all(|&row| hashes[row as usize] >> 56 == partition as u64));
        }
        let mut all = rows;
        all.sort_unstable();
        assert!(all.into_iter().eq(0..3000));
    }
}
