//! `count(*)`, `count(x)`.
//!
//! Invariant: a group's count is the number of rows that reached it.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use stoadb_storage::Vector;

use super::Groups;
use crate::error::Result;

/// Rows per group.
#[derive(Default)]
pub(crate) struct Count {
    rows: Vec<i64>,
}

impl Count {
    pub(crate) fn resize(&mut self, groups: usize) {
        self.rows.resize(groups, 0);
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

    pub(crate) fn finish(&self) -> ArrayRef {
        Arc::new(Int64Array::from(self.rows.clone()))
    }

    pub(crate) fn memory(&self) -> u64 {
        self.rows.capacity() as u64 * 8
    }
}

/// Counts rows into their groups.
pub(crate) fn add_rows(counts: &mut [i64], groups: Groups<'_>) {
    match groups {
        Groups::One(rows) => counts[0] += rows as i64,
        Groups::Ids(ids) => {
            for &id in ids {
                counts[id as usize] += 1;
            }
        }
    }
}
