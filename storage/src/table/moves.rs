//! Where compaction puts rows: from old positions to new ones.
//!
//! Invariant: the order of rows stays what it is; what becomes of the position of a row that is gone means nothing.
//! Next: `compact.rs`.

use std::sync::Arc;

use crate::table::deletes::DeleteMask;

/// Rows between two counts of deleted ones.
const STEP: usize = 512;

/// The new positions of a table's rows.
#[derive(Debug, Default)]
pub(crate) struct Moves {
    pieces: Vec<Piece>,
    /// Positions before and after.
    old: u64,
    new: u64,
}

/// A part of the table as it was.
#[derive(Debug)]
struct Piece {
    old: u64,
    new: u64,
    /// The deleted rows of a part that is written anew without them, and how many there are before every `STEP` rows.
    gone: Option<(Arc<DeleteMask>, Box<[u32]>)>,
}

impl Moves {
    /// A part of so many rows stays as it is.
    pub(crate) fn keep(&mut self, rows: usize) {
        self.pieces.push(Piece { old: self.old, new: self.new, gone: None });
        self.old += rows as u64;
        self.new += rows as u64;
    }

    /// A part of so many rows is written anew without its deleted rows.
    pub(crate) fn compact(&mut self, rows: usize, deletes: Option<&Arc<DeleteMask>>) {
        let Some(mask) = deletes else { return self.keep(rows) };
        let mut count = 0_u32;
        let before = |start: usize| {
            let here = mask.bits().slice(start, STEP.min(rows - start)).count_set_bits();
            #[expect(clippy::cast_possible_truncation, reason = "rows of one segment")]
            {
                count += here as u32;
            }
            count - here as u32
        };
        let counts = (0..rows).step_by(STEP).map(before).collect();
        let gone = Some((Arc::clone(mask), counts));
        self.pieces.push(Piece { old: self.old, new: self.new, gone });
        self.old += rows as u64;
        self.new += (rows - mask.count()) as u64;
    }

    /// The new position of a row that is not deleted. `O(log parts)`.
    pub(crate) fn position(&self, old: u64) -> u64 {
        let after = self.pieces.partition_point(|piece| piece.old <= old);
        let Some(piece) = after.checked_sub(1).and_then(|at| self.pieces.get(at)) else {
            return old;
        };
        let row = old - piece.old;
        let Some((mask, counts)) = &piece.gone else { return piece.new + row };
        let at = usize::try_from(row).unwrap_or(usize::MAX);
        let start = at / STEP * STEP;
        let gone = counts.get(at / STEP).copied().unwrap_or(0) as usize
            + mask.bits().slice(start, at - start).count_set_bits();
        piece.new + row - gone as u64
    }
}
