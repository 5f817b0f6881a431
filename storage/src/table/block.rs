//! Blocks: the statistics of each `BLOCK_ROWS` rows of a column, and of the column as a whole.
//!
//! Invariant: block `i` describes the rows from `i * BLOCK_ROWS` on; the whole is the blocks' union.
//! Next: `stats.rs`.

use crate::{
    BLOCK_ROWS,
    encoding::Encoding,
    error::Result,
    table::{
        sketch::Sketch,
        stats::{Statistics, sketch},
    },
    types::LogicalType,
};

/// What is known of a segment's column.
#[derive(Debug)]
pub(crate) struct ColumnStatistics {
    pub(crate) whole: Statistics,
    pub(crate) blocks: Box<[Statistics]>,
    pub(crate) sketch: Option<Sketch>,
}

impl ColumnStatistics {
    /// Computes them. O(rows).
    pub(crate) fn of(encoding: &Encoding, ty: &LogicalType, rows: usize) -> Result<Self> {
        let starts = (0..rows).step_by(BLOCK_ROWS);
        let block = |at| Statistics::of(encoding, ty, at..rows.min(at + BLOCK_ROWS));
        let blocks: Box<[Statistics]> = starts.map(block).collect::<Result<_>>()?;
        let mut whole = Statistics::default();
        blocks.iter().for_each(|block| whole.merge(block));
        Ok(Self { whole, blocks, sketch: sketch(encoding, ty) })
    }

    /// Nothing is known but the number of rows: every block is kept.
    pub(crate) fn unknown(rows: usize) -> Self {
        let block = |at: usize| Statistics::unknown(BLOCK_ROWS.min(rows - at));
        let blocks = (0..rows).step_by(BLOCK_ROWS).map(block).collect();
        Self { whole: Statistics::unknown(rows), blocks, sketch: None }
    }
}
