//! Delete masks: which rows of a segment are gone in a version of a table.
//!
//! Invariants: a mask never changes, a later version has another one; it stands beside the segment, never inside it.

use std::ops::Range;

use arrow::{array::BooleanBufferBuilder, buffer::BooleanBuffer};

use crate::{table::scan::Live, vector::Selection};

/// The deleted rows of one segment.
#[derive(Debug, Clone)]
pub struct DeleteMask {
    /// A bit per row, set where the row is deleted.
    deleted: BooleanBuffer,
    count: usize,
}

impl DeleteMask {
    /// A mask of `rows` rows of which those of `deleted` are deleted.
    pub(crate) fn new(deleted: BooleanBuffer) -> Self {
        Self { count: deleted.count_set_bits(), deleted }
    }

    /// How many rows are deleted.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Whether a row is deleted.
    pub fn is_deleted(&self, row: usize) -> bool {
        self.deleted.value(row)
    }

    /// The mask as bits.
    pub(crate) fn bits(&self) -> &BooleanBuffer {
        &self.deleted
    }

    /// Which rows of a range are left.
    pub(crate) fn live(&self, rows: Range<usize>) -> Live {
        let deleted = self.deleted.slice(rows.start, rows.len());
        match deleted.count_set_bits() {
            0 => Live::All,
            count if count == rows.len() => Live::None,
            _ => {
                #[expect(clippy::cast_possible_truncation, reason = "a vector's rows")]
                let live = (!&deleted).set_indices().map(|row| row as u32).collect();
                Live::Some(Selection::new(live))
            }
        }
    }

    /// The mask of a segment of `rows` rows after deleting `more` (ascending), or the first of them that was deleted
    /// before.
    pub(crate) fn with(
        mask: Option<&Self>,
        rows: usize,
        more: impl Iterator<Item = usize>,
    ) -> Result<Self, usize> {
        let mut bits = BooleanBufferBuilder::new(rows);
        match mask {
            Some(mask) => bits.append_buffer(&mask.deleted),
            None => bits.append_n(rows, false),
        }
        for row in more {
            if bits.get_bit(row) {
                return Err(row);
            }
            bits.set_bit(row, true);
        }
        Ok(Self::new(bits.finish()))
    }
}
