//! Partitions and groups of peers of sorted rows.
//!
//! Invariant: every partition begins a group of peers; both lists ascend and end with the number of rows.

use std::ops::Range;

/// Where partitions and groups of peers begin.
pub(super) struct Shape {
    pub(super) rows: usize,
    partitions: Vec<u32>,
    /// The first row of each group of peers, and the number of rows.
    pub(super) groups: Vec<u32>,
}

/// A row's partition and group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) row: u32,
    /// The partition's rows.
    pub(super) start: u32,
    pub(super) end: u32,
    /// The row's peers, itself included.
    pub(super) first_peer: u32,
    pub(super) after_peers: u32,
    /// The number of the group among all, and of the partition's first group.
    pub(super) group: u32,
    pub(super) first_group: u32,
}

impl Shape {
    /// Of the first rows of partitions and of groups.
    pub(super) fn new(rows: usize, mut runs: Vec<Vec<u32>>) -> Self {
        let mut next = || {
            let mut starts = runs.pop().unwrap_or_default();
            starts.push(rows as u32);
            starts
        };
        let groups = next();
        Self { rows, groups, partitions: next() }
    }

    /// The places of a range of rows, in order.
    pub(super) fn places(&self, rows: Range<usize>) -> impl Iterator<Item = Place> {
        let first = rows.start as u32;
        let before = |starts: &[u32]| starts.partition_point(|&start| start <= first).max(1) - 1;
        let (mut partition, mut group) = (before(&self.partitions), before(&self.groups));
        let mut first_group = self.first_group(partition);
        (rows.start as u32..rows.end as u32).map(move |row| {
            if row == self.groups[group + 1] {
                group += 1;
                if row == self.partitions[partition + 1] {
                    partition += 1;
                    first_group = group as u32;
                }
            }
            Place {
                row,
                start: self.partitions[partition],
                end: self.partitions[partition + 1],
                first_peer: self.groups[group],
                after_peers: self.groups[group + 1],
                group: group as u32,
                first_group,
            }
        })
    }

    fn first_group(&self, partition: usize) -> u32 {
        let start = self.partitions[partition];
        self.groups.partition_point(|&group| group < start) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_places_of_any_range_agree() {
        let shape = Shape::new(9, vec![vec![0, 4, 5], vec![0, 1, 4, 5, 7]]);
        let all: Vec<Place> = shape.places(0..9).collect();
        assert_eq!(all[2].start..all[2].end, 0..4);
        assert_eq!(all[2].first_peer..all[2].after_peers, 1..4);
        assert_eq!((all[8].group, all[8].first_group), (4, 3));
        for start in 0..9 {
            let rest: Vec<Place> = shape.places(start..9).collect();
            assert_eq!(rest, all[start..], "from row {start}");
        }
        assert_eq!(Shape::new(0, vec![vec![], vec![]]).places(0..0).count(), 0);
    }
}
