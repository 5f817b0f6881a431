//! Frames: which rows around a row a function sees, as ranges of places in the sorted order.
//!
//! Invariants: a frame lies within its row's partition; empty frames are `[0, 0]`; equal frames of neighbouring rows are
//! one frame, so that work done once a frame is done once for peers and for whole partitions.

use std::ops::Range;

use stoadb_storage::Vector;

use super::{
    Ordered, chunk_range, chunks,
    shape::{Place, Shape},
};
use crate::{
    error::{EngineError, Result},
    kernel::sort_key::{Codes, KeyOrder, codes},
    op::sort::jobs::Jobs,
    plan::{Exclude, FrameUnit},
};

/// A frame over columns.
pub(super) struct Bounds {
    pub(super) unit: FrameUnit,
    pub(super) start: Bound,
    pub(super) end: Bound,
    pub(super) exclude: Exclude,
    /// What the limits are compared with: the order key.
    pub(super) key: Option<(usize, KeyOrder)>,
}

/// One end of a frame.
pub(super) enum Bound {
    Unbounded,
    CurrentRow,
    Offset(i64),
    /// A column of limits.
    Key(usize),
}

/// The frames of all rows.
pub(super) struct Frames {
    /// First row and row after the last, without repetitions among neighbours.
    pub(super) frames: Vec<[u32; 2]>,
    /// What is left out of each; empty when nothing is.
    holes: Vec<Hole>,
    /// By chunk, the number of each row's frame.
    pub(super) of_row: Vec<Vec<u32>>,
    /// Whether every frame starts where its partition does.
    pub(super) from_start: bool,
}

impl Frames {
    /// Whether rows are left out of frames.
    pub(super) fn has_holes(&self) -> bool {
        !self.holes.is_empty()
    }

    /// The frames of a chunk's rows, each in pieces that ascend; pieces may be empty.
    pub(super) fn of(&self, chunk: usize) -> impl Iterator<Item = [[u32; 2]; 3]> {
        self.of_row[chunk].iter().map(|&frame| self.pieces(frame as usize))
    }

    /// The pieces of a frame.
    pub(super) fn pieces(&self, frame: usize) -> [[u32; 2]; 3] {
        let [start, end] = self.frames[frame];
        match self.holes.get(frame) {
            None => [[start, end], [end; 2], [end; 2]],
            Some(hole) => {
                let kept = [hole.kept, hole.kept + u32::from(hole.keeps)];
                [[start, hole.start], kept, [hole.end, end]]
            }
        }
    }

    /// The pieces of some frames: the first of each, the second of each and so on.
    pub(super) fn layers(&self, frames: Range<usize>) -> Vec<Vec<[u32; 2]>> {
        if self.holes.is_empty() {
            return vec![self.frames[frames].to_vec()];
        }
        let layer = |piece: usize| frames.clone().map(|frame| self.pieces(frame)[piece]).collect();
        (0..3).map(layer).collect()
    }
}

impl Bounds {
    /// The frame of every row. `O(n)`, with `RANGE` distances `O(n log n)`.
    ///
    /// # Errors
    /// `Internal` when a `RANGE` distance has no order key; cancellation.
    pub(super) fn frames(&self, input: &Ordered, shape: &Shape, jobs: &Jobs<'_>) -> Result<Frames> {
        let keys = match (&self.start, &self.end) {
            (Bound::Key(_), _) | (_, Bound::Key(_)) => Some(Keys::new(self, input, jobs)?),
            _ => None,
        };
        let of_chunk = |chunk: usize| -> Result<Distinct> {
            let rows = chunk_range(chunk, shape.rows);
            let start = self.ends(&self.start, input, rows.clone())?;
            let end = self.ends(&self.end, input, rows.clone())?;
            let mut distinct = Distinct::default();
            for (index, place) in shape.places(rows).enumerate() {
                let limit = |limits: &[u128]| limits.get(index).copied();
                let first = self.edge(false, place, shape, keys.as_ref(), limit(&start));
                let after = self.edge(true, place, shape, keys.as_ref(), limit(&end));
                let frame = if first < after { [first, after] } else { [0, 0] };
                distinct.push(frame, self.hole(frame, place));
            }
            Ok(distinct)
        };
        let parts = jobs.map(chunks(shape.rows).len(), of_chunk)?;
        let mut all = Frames {
            frames: Vec::new(),
            holes: Vec::new(),
            of_row: Vec::with_capacity(parts.len()),
            from_start: matches!(self.start, Bound::Unbounded),
        };
        for mut part in parts {
            let same =
                part.frames.first() == all.frames.last() && part.holes.first() == all.holes.last();
            let base = all.frames.len() as u32 - u32::from(same);
            part.of_row.iter_mut().for_each(|frame| *frame += base);
            all.frames.extend(part.frames.into_iter().skip(usize::from(same)));
            all.holes.extend(part.holes.into_iter().skip(usize::from(same)));
            all.of_row.push(part.of_row);
        }
        Ok(all)
    }

    /// What a row leaves out of its frame; `None` when frames are whole.
    fn hole(&self, [first, after]: [u32; 2], place: Place) -> Option<Hole> {
        let (start, end) = match self.exclude {
            Exclude::Nothing => return None,
            Exclude::CurrentRow => (place.row, place.row + 1),
            Exclude::Group | Exclude::Ties => (place.first_peer, place.after_peers),
        };
        let start = start.clamp(first, after);
        let keeps = self.exclude == Exclude::Ties && (first..after).contains(&place.row);
        let kept = if keeps { place.row } else { start };
        Some(Hole { start, end: end.clamp(start, after), kept, keeps })
    }

    /// The codes of a bound's keys in a range of rows.
    fn ends(&self, bound: &Bound, input: &Ordered, rows: Range<usize>) -> Result<Vec<u128>> {
        match (bound, self.key) {
            (Bound::Key(column), Some((_, order))) => {
                Ok(numbers(&input.range(*column, rows)?, order)?.0)
            }
            _ => Ok(Vec::new()),
        }
    }

    /// The frame's first row, or the row after its last.
    fn edge(
        &self,
        is_end: bool,
        place: Place,
        shape: &Shape,
        keys: Option<&Keys>,
        limit: Option<u128>,
    ) -> u32 {
        let (bound, whole, peers) = match is_end {
            false => (&self.start, place.start, place.first_peer),
            true => (&self.end, place.end, place.after_peers),
        };
        // An end is the row after the last, so one further.
        let more = u32::from(is_end);
        match (bound, self.unit) {
            (Bound::Unbounded, _) => whole,
            (Bound::CurrentRow, FrameUnit::Rows) => place.row + more,
            (Bound::CurrentRow, _) => peers,
            (Bound::Offset(by), FrameUnit::Rows) => {
                clamp(place.row, by.saturating_add(more.into()), place)
            }
            (Bound::Offset(by), _) => group_at(shape, place, by.saturating_add(more.into())),
            (Bound::Key(_), _) => match (keys, limit) {
                (Some(keys), Some(limit)) if !keys.is_null(place.row) => {
                    keys.search(place, |key| key < limit || is_end && key == limit)
                }
                _ => peers,
            },
        }
    }
}

fn clamp(row: u32, by: i64, place: Place) -> u32 {
    i64::from(row).saturating_add(by).clamp(place.start.into(), place.end.into()) as u32
}

/// The first row of the group that is so many groups away, within the partition.
fn group_at(shape: &Shape, place: Place, by: i64) -> u32 {
    let group = i64::from(place.group).saturating_add(by).max(place.first_group.into());
    let row = usize::try_from(group).ok().and_then(|group| shape.groups.get(group));
    row.map_or(place.end, |&row| row.min(place.end))
}

/// The first order key of all rows as ascending numbers.
struct Keys {
    codes: Vec<u128>,
    nulls: Vec<bool>,
}

impl Keys {
    fn new(bounds: &Bounds, input: &Ordered, jobs: &Jobs<'_>) -> Result<Self> {
        let Some((column, order)) = bounds.key else {
            return Err(EngineError::Internal("a RANGE distance without an order key".into()));
        };
        let parts = jobs.map(chunks(input.len()).len(), |chunk| {
            numbers(&input.range(column, chunk_range(chunk, input.len()))?, order)
        })?;
        let (mut codes, mut nulls) = (Vec::new(), Vec::new());
        for part in parts {
            codes.extend(part.0);
            nulls.extend(part.1);
        }
        Ok(Self { codes, nulls })
    }

    fn is_null(&self, row: u32) -> bool {
        self.nulls[row as usize]
    }

    /// The partition's first row whose key is not NULL and not `before` the bound; the row after the last such key
    /// when there is none.
    fn search(&self, place: Place, before: impl Fn(u128) -> bool) -> u32 {
        let range = place.start as usize..place.end as usize;
        let nulls = &self.nulls[range.clone()];
        // NULLs lie at one end of the partition, and the row itself is none.
        let (skipped, kept) = match nulls.first() {
            Some(true) => {
                let first = nulls.partition_point(|null| *null);
                (first, nulls.len() - first)
            }
            _ => (0, nulls.partition_point(|null| !*null)),
        };
        let codes = &self.codes[range][skipped..skipped + kept];
        place.start + (skipped + codes.partition_point(|&code| before(code))) as u32
    }
}

/// Codes that ascend in the order of the key, and which rows are NULL.
fn numbers(vector: &Vector, order: KeyOrder) -> Result<(Vec<u128>, Vec<bool>)> {
    let codes = codes(vector)?;
    let nulls = (0..codes.len()).map(|row| codes.is_null(row)).collect();
    let flip = if order.descending { u128::MAX } else { 0 };
    let numbers = match codes.codes {
        Codes::Narrow(codes) => codes.into_iter().map(|code| u128::from(code) ^ flip).collect(),
        Codes::Wide(codes) => codes.into_iter().map(|code| code ^ flip).collect(),
        Codes::Bytes(_) => {
            return Err(EngineError::Internal("a RANGE distance over byte strings".into()));
        }
    };
    Ok((numbers, nulls))
}

/// Rows that are left out of a frame, within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Hole {
    start: u32,
    end: u32,
    /// The row that stays.
    kept: u32,
    keeps: bool,
}

#[derive(Default)]
struct Distinct {
    frames: Vec<[u32; 2]>,
    holes: Vec<Hole>,
    of_row: Vec<u32>,
}

impl Distinct {
    fn push(&mut self, frame: [u32; 2], hole: Option<Hole>) {
        if self.frames.last() != Some(&frame) || self.holes.last().copied() != hole {
            self.frames.push(frame);
            self.holes.extend(hole);
        }
        self.of_row.push(self.frames.len() as u32 - 1);
    }
}
