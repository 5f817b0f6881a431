//! Aggregates over frames.
//!
//! Invariants: a frame's aggregate is computed once, however many rows share the frame. States that merge go through the
//! tree (`tree.rs`), quantiles and distinct counts of overlapping frames through a wavelet matrix (`order.rs`); functions
//! that need a frame's rows themselves take them frame by frame. DISTINCT over frames that
//! start with their partition keeps each value's first row and needs no more than the plain function.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanBufferBuilder, UInt32Array},
    buffer::BooleanBuffer,
    compute,
};
use stoadb_storage::{LogicalType, Vector, ledger::array_bytes};

use super::{
    Ordered, chunk_range, chunks,
    frame::Frames,
    order,
    shape::Shape,
    tree::{Rows, Tree},
};
use crate::{
    agg::{Call, State, table::KeyTable},
    context::QueryContext,
    error::Result,
    kernel::key::{KeyLayout, Keys},
    op::sort::{concat, jobs::Jobs},
};

/// Frames that are evaluated together.
const BATCH: usize = 2048;
/// Rows of frames that are evaluated together where rows are needed.
const MOST_ROWS: u64 = 1 << 18;

/// An aggregate over columns.
pub(super) struct Aggregate {
    pub(super) call: Call,
    pub(super) args: Vec<usize>,
    /// What the aggregate's own ORDER BY orders by.
    pub(super) keys: Vec<usize>,
    pub(super) filter: Option<usize>,
}

impl Aggregate {
    /// The results, by chunk.
    ///
    /// # Errors
    /// `Value` when a result is outside of its type; when the memory budget is used up; cancellation.
    pub(super) fn compute(
        &self,
        input: &Ordered,
        shape: &Shape,
        frames: &Frames,
        jobs: &Jobs<'_>,
        context: &Arc<QueryContext>,
    ) -> Result<Vec<ArrayRef>> {
        let mut reservation = context.memory().reservation("window functions");
        let mut rows = self.rows(input, jobs)?;
        let held = rows.args.iter().map(|arg| array_bytes(arg.as_ref())).sum::<u64>();
        // Frames, the number of each row's frame, and about what a tree of states takes.
        reservation.grow(held + frames.frames.len() as u64 * 8 + shape.rows as u64 * 8)?;
        let mut call = self.call.clone();
        if call.distinct && frames.from_start && !frames.has_holes() {
            rows.counting = Some(first_rows(&rows, &call.args, shape)?);
            call.distinct = false;
        }
        let frames_rows = frames.frames.iter().map(|[a, b]| u64::from(b - a)).sum::<u64>();
        let results = if !call.collects() {
            let tree = Tree::build(&call, rows, jobs)?;
            each(frames, jobs, |layers| tree.evaluate(layers))?
        } else if order::answers(&call, frames.has_holes()) && frames_rows > 2 * shape.rows as u64 {
            let ordered = order::Ordered::build(&call, &rows)?;
            reservation.grow(ordered.memory())?;
            each(frames, jobs, |layers| ordered.evaluate(layers))?
        } else {
            let batches = batches(&frames.frames);
            jobs.map(batches.len(), |batch| {
                collected(&call, &rows, frames, batches[batch].clone())
            })?
        };
        spread(&results, frames, &call, jobs)
    }

    /// The arguments and order keys of all rows, and which rows count.
    fn rows(&self, input: &Ordered, jobs: &Jobs<'_>) -> Result<Rows> {
        let count = input.len();
        let columns: Vec<usize> = self.args.iter().chain(&self.keys).copied().collect();
        let parts = jobs.map(chunks(count).len(), |chunk| {
            let rows = chunk_range(chunk, count);
            let column = |&column: &usize| Ok(input.range(column, rows.clone())?.flatten()?);
            let columns = columns.iter().map(column).collect::<Result<Vec<_>>>()?;
            let filter = self.filter.map(|filter| column(&filter)).transpose()?;
            Ok((columns, filter))
        })?;
        let mut counting = BooleanBufferBuilder::new(count);
        for (columns, filter) in &parts {
            let rows = columns.first().or(filter.as_ref()).map_or(0, |column| column.len());
            let mut kept = BooleanBuffer::new_set(rows);
            if let Some(filter) = filter {
                let filter = filter.as_boolean();
                kept = filter.values().clone();
                if let Some(nulls) = filter.nulls() {
                    kept = &kept & nulls.inner();
                }
            }
            if !self.call.keeps_nulls() {
                for nulls in columns[..self.args.len()].iter().filter_map(|arg| arg.logical_nulls())
                {
                    kept = &kept & nulls.inner();
                }
            }
            counting.append_buffer(&kept);
        }
        let counting = counting.finish();
        let all = counting.is_empty() || counting.count_set_bits() == count;
        let column = |index: usize| {
            let parts: Vec<ArrayRef> = parts.iter().map(|part| part.0[index].clone()).collect();
            concat(&parts)
        };
        let args =
            if count == 0 { Ok(Vec::new()) } else { (0..columns.len()).map(column).collect() };
        Ok(Rows { count, args: args?, counting: (!all).then_some(counting) })
    }
}

/// What `evaluate` makes of all frames, some at a time, in layers of pieces.
fn each(
    frames: &Frames,
    jobs: &Jobs<'_>,
    evaluate: impl Fn(&[Vec<[u32; 2]>]) -> Result<ArrayRef> + Sync,
) -> Result<Vec<ArrayRef>> {
    let count = frames.frames.len();
    jobs.map(count.div_ceil(BATCH), |batch| {
        evaluate(&frames.layers(batch * BATCH..count.min((batch + 1) * BATCH)))
    })
}

/// Ranges of frames whose rows together are not too many, unless one frame is.
fn batches(frames: &[[u32; 2]]) -> Vec<std::ops::Range<usize>> {
    let mut batches = Vec::new();
    let (mut first, mut rows) = (0, 0);
    for (index, [start, end]) in frames.iter().enumerate() {
        let more = u64::from(end - start);
        if index > first && (rows + more > MOST_ROWS || index - first >= BATCH) {
            batches.push(first..index);
            (first, rows) = (index, 0);
        }
        rows += more;
    }
    if first < frames.len() {
        batches.push(first..frames.len());
    }
    batches
}

/// The aggregate of frames out of their rows. `O(frame)` a frame.
fn collected(
    call: &Call,
    rows: &Rows,
    frames: &Frames,
    wanted: std::ops::Range<usize>,
) -> Result<ArrayRef> {
    let (mut places, mut groups) = (Vec::new(), Vec::new());
    for (number, frame) in (0_u32..).zip(wanted.clone()) {
        for [start, end] in frames.pieces(frame) {
            places.extend((start..end).filter(|&row| rows.counts(row)));
        }
        groups.resize(places.len(), number);
    }
    let mut state = State::new(call)?;
    state.resize(wanted.len());
    rows.update(&mut state, &places, &groups)?;
    state.seal()?;
    state.finish(call)
}

/// Each row's result out of those of the frames, by chunk.
fn spread(
    results: &[ArrayRef],
    frames: &Frames,
    call: &Call,
    jobs: &Jobs<'_>,
) -> Result<Vec<ArrayRef>> {
    let all = match results {
        [] => arrow::array::new_empty_array(&call.ty.to_arrow()),
        results => concat(results)?,
    };
    jobs.map(frames.of_row.len(), |chunk| {
        let numbers = &frames.of_row[chunk];
        let (first, last) = (numbers.first().copied(), numbers.last().copied());
        match (first, last) {
            (Some(first), Some(last)) if (last - first) as usize + 1 == numbers.len() => {
                Ok(all.slice(first as usize, numbers.len()))
            }
            _ => Ok(compute::take(&all, &UInt32Array::from(numbers.clone()), None)?),
        }
    })
}

/// The first counting row of each distinct argument tuple of each partition.
fn first_rows(rows: &Rows, types: &[LogicalType], shape: &Shape) -> Result<BooleanBuffer> {
    let mut layout = vec![(LogicalType::UInt32, false)];
    layout.extend(types.iter().map(|ty| (ty.clone(), true)));
    let layout = KeyLayout::new(&layout)?;
    let mut table = KeyTable::new(layout.width());
    let mut first = BooleanBufferBuilder::new(rows.count);
    let (mut hashes, mut ids, mut known) = (Vec::new(), Vec::new(), 0);
    for range in chunks(rows.count) {
        let places = shape.places(range.clone());
        let partitions: ArrayRef =
            Arc::new(UInt32Array::from_iter_values(places.map(|place| place.start)));
        let mut vectors = vec![Vector::Flat(partitions)];
        let slice = |arg: &ArrayRef| Vector::Flat(arg.slice(range.start, range.len()));
        vectors.extend(rows.args[..types.len()].iter().map(slice));
        let mut keys = Keys::new(layout.width());
        layout.pack(&vectors, range.len(), &mut keys)?;
        keys.hashes(&mut hashes);
        let offset = range.start as u32;
        let counting: Vec<u32> =
            (0..range.len() as u32).filter(|row| rows.counts(offset + row)).collect();
        table.insert(&keys, &hashes, counting.iter().copied(), &mut ids);
        let mut next = counting.iter().zip(&ids).peekable();
        for row in 0..range.len() as u32 {
            let id = next.next_if(|(counting, _)| **counting == row).map(|(_, id)| *id as usize);
            let is_first = id == Some(known);
            known += usize::from(is_first);
            first.append(is_first);
        }
    }
    Ok(first.finish())
}
