//! `count(*)`, `count(x)`.
//!
//! Invariant: a group's count is the number of rows that reached it.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use stoadb_storage::Vector;

use super::{Groups, table::permute};
use crate::error::Result;

/// Rows per group.
#[derive(Default, Clone)]
pub(crate) struct Count {
    rows: Vec<i64>,
}

impl Count {
    pub(crate) fn resize(&mut self, groups: usize) {
        self.rows.resize(groups, 0);
    }

    pub(crate) fn reorder(&mut self, order: &[u32]) {
        permute(&mut self.rows, order);
    }

    pub(crate) fn update(&mut self, _args: &[Vector], groups: Groups<'_>) -> Result<()> {
        add_rows(&mut self.rows, groups);
        Ok(())
    }

    pub(crate) fn merge(&mut self, other: &Self, from: &[u32], to: &[u32]) {
        for (&from, &to) in from.iter().zip(to) {
            self.rows[to as usize] += other.rows[from as usize];
        }
    }

    /// Counts rows of the only group.
    pub(crate) fn absorb(&mut self, rows: u64) {
        self.rows[0] += rows as i64;
    }

    pub(crate) fn finish(&self) -> ArrayRef {
        Arc::new(Int64Array::from(self.rows.clone()))
    }

    pub(crate) fn memory(&self) -> u64 {
        self.rows.capacity() as u64 * 8
    }
}

/// Up to how many groups kernels keep several copies of their sums, so that neighbouring rows of one group do not wait
/// for each other.
pub(crate) const FEW_GROUPS: usize = 64;

/// Counts rows into their groups.
pub(crate) fn add_rows(counts: &mut [i64], groups: Groups<'_>) {
    match groups {
        Groups::One(rows) => counts[0] += rows as i64,
        Groups::Ids(ids) if counts.len() <= FEW_GROUPS => {
            let mut lanes = [[0_u32; FEW_GROUPS]; 4];
            let (quads, rest) = ids.as_chunks::<4>();
            for quad in quads {
                for (lane, &id) in lanes.iter_mut().zip(quad) {
                    lane[id as usize % FEW_GROUPS] += 1;
                }
            }
            for &id in rest {
                lanes[0][id as usize % FEW_GROUPS] += 1;
            }
            for (group, count) in counts.iter_mut().enumerate() {
                *count += lanes.iter().map(|lane| i64::from(lane[group])).sum::<i64>();
            }
        }
        Groups::Ids(ids) => {
            for &id in ids {
                counts[id as usize] += 1;
            }
        }
    }
}
