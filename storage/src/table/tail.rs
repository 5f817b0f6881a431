//! The tail of a table: the small segments at its end, and how they grow together.
//!
//! Invariants: row order and row positions stay what they are; a part that readers may hold is never changed, merged rows
//! are copies. A row is copied O(log rows) times until it lies in a large segment, and there are O(log rows) small parts
//! at any time, so that single-row inserts cost a few microseconds each.
//! Next: `version.rs`.

use std::sync::Arc;

use arrow::{array::BooleanBufferBuilder, buffer::BooleanBuffer};

use crate::{
    BLOCK_ROWS, SEGMENT_ROWS,
    error::Result,
    table::{
        deletes::DeleteMask,
        segment::{Segment, merge_group},
        unify::adopt,
    },
};

/// So many parts of one size class become one.
const FAN_OUT: usize = 8;

/// A segment and the rows of it that are deleted.
#[derive(Debug, Clone)]
pub struct Part {
    /// The segment.
    pub segment: Arc<Segment>,
    /// The deleted rows; `None` when there is none.
    pub deletes: Option<Arc<DeleteMask>>,
}

impl Part {
    /// A segment without deleted rows.
    pub(crate) fn new(segment: Arc<Segment>) -> Self {
        Self { segment, deletes: None }
    }

    /// How many rows are left.
    pub fn live_rows(&self) -> usize {
        self.segment.rows() - self.deletes.as_ref().map_or(0, |mask| mask.count())
    }
}

/// The parts of a table: those that are settled, shared by many versions, and the tail.
#[derive(Debug, Clone, Default)]
pub(crate) struct PartList {
    pub(crate) settled: Arc<Vec<Part>>,
    pub(crate) tail: Vec<Part>,
}

impl PartList {
    /// All parts, in row order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Part> {
        self.settled.iter().chain(&self.tail)
    }

    /// The part of a number.
    pub(crate) fn get(&self, part: usize) -> &Part {
        match part.checked_sub(self.settled.len()) {
            None => &self.settled[part],
            Some(in_tail) => &self.tail[in_tail],
        }
    }

    /// The list with a segment appended.
    pub(crate) fn append(&mut self, segment: Arc<Segment>) -> Result<()> {
        if segment.rows() >= BLOCK_ROWS {
            self.settle()?;
            return settle_part(Arc::make_mut(&mut self.settled), Part::new(segment));
        }
        self.tail.push(Part::new(segment));
        grow_together(&mut self.tail)?;
        let rows: usize = self.tail.iter().map(|part| part.segment.rows()).sum();
        if rows >= BLOCK_ROWS { self.settle() } else { Ok(()) }
    }

    /// Makes the tail one settled part.
    fn settle(&mut self) -> Result<()> {
        if self.tail.is_empty() {
            return Ok(());
        }
        let part = merge(&self.tail)?;
        settle_part(Arc::make_mut(&mut self.settled), part)?;
        self.tail.clear();
        Ok(())
    }
}

/// Appends a part to the settled ones; small ones among them grow together up to a segment's size. The last one uses the
/// others' dictionaries where it can.
fn settle_part(settled: &mut Vec<Part>, part: Part) -> Result<()> {
    settled.push(part);
    let small = |part: &&Part| part.segment.rows() < SEGMENT_ROWS / 4;
    let run = settled.iter().rev().take_while(small).count();
    let first = settled.len() - run;
    let rows: usize = settled[first..].iter().map(|part| part.segment.rows()).sum();
    if rows >= SEGMENT_ROWS / 2 {
        let merged = merge(&settled[first..])?;
        settled.truncate(first);
        settled.push(merged);
    }
    adopt(settled)
}

/// Merges parts at the end while there are `FAN_OUT` of the last one's size class or smaller.
fn grow_together(parts: &mut Vec<Part>) -> Result<()> {
    while let Some(last) = parts.last() {
        let class = size_class(last);
        let run = parts.iter().rev().take_while(|part| size_class(part) <= class).count();
        if run < FAN_OUT {
            break;
        }
        let first = parts.len() - run;
        let merged = merge(&parts[first..])?;
        parts.truncate(first);
        parts.push(merged);
    }
    Ok(())
}

/// 0 for up to 7 rows, 1 for up to 63, and so on.
fn size_class(part: &Part) -> u32 {
    part.segment.rows().max(1).ilog2() / FAN_OUT.ilog2()
}

/// One part of the rows of all, deleted ones included, so that positions stay.
fn merge(parts: &[Part]) -> Result<Part> {
    let segments: Vec<_> = parts.iter().map(|part| Arc::clone(&part.segment)).collect();
    let segment = merge_group(&segments)?;
    let deletes = match parts {
        [one] => one.deletes.clone(),
        _ if parts.iter().all(|part| part.deletes.is_none()) => None,
        _ => {
            let mut bits = BooleanBufferBuilder::new(segment.rows());
            for part in parts {
                match &part.deletes {
                    Some(mask) => bits.append_buffer(mask.bits()),
                    None => bits.append_buffer(&BooleanBuffer::new_unset(part.segment.rows())),
                }
            }
            Some(Arc::new(DeleteMask::new(bits.finish())))
        }
    };
    Ok(Part { segment, deletes })
}
