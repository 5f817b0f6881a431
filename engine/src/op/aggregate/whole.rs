//! Aggregations of all rows into one group: what they can do in larger pieces and without gathering.
//!
//! Invariant: answers do not depend on how rows are cut into vectors (`local.rs`).

use stoadb_storage::{BLOCK_ROWS, VECTOR_SIZE};

use super::{Aggregate, Slot};
use crate::{agg::masked::takes_masks, plan::ScanPlan};

/// Most rows of vectors that one state looks at: a block at once, of which kernels make nothing larger than a piece.
const ONE_ROWS: usize = BLOCK_ROWS;
/// Most rows of vectors that several states look at one after the other: they stay in the caches.
const SEVERAL_ROWS: usize = 1 << 13;

/// Marks the slots whose rows are given as masks.
pub(super) fn mask_rows(slots: &mut [Slot], one_group: bool) {
    for index in 0..slots.len() {
        let masked = one_group && takes_masks(&slots[index].call);
        slots[index].masked = masked;
        let first = &mut slots[slots[index].rows_of];
        first.masks |= masked;
        first.gathers |= !masked;
    }
}

impl Aggregate {
    /// Most rows of the vectors that the scan below is to give, where others would be of `vector_rows`: more where bare
    /// columns are aggregated into one group, so that no vector is made of them, and the work per vector weighs less.
    pub fn vector_rows(&self, scan: &ScanPlan, vector_rows: usize) -> usize {
        let shared = self.shared.as_ref();
        let bare = scan.filter.is_none()
            && shared.guarded.is_none()
            && shared.inputs.iter().all(Option::is_some)
            && shared.slots.iter().all(|slot| slot.masked && slot.filter.is_none());
        // A smaller size than usual was asked for to see that no answer depends on it.
        if !bare || vector_rows < VECTOR_SIZE {
            return vector_rows;
        }
        match shared.slots.iter().filter(|slot| slot.reads).count() {
            0 | 1 => ONE_ROWS,
            _ => SEVERAL_ROWS,
        }
    }
}
