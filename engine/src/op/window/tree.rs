//! A segment tree of aggregate states over sorted rows: any frame is a few nodes and rows (Leis et al. 2015).
//!
//! Invariants: a node covers `FANOUT` neighbouring nodes of the level below, counted from the first row of all, so a
//! frame is put together alike whoever asks for it; its parts are merged in row order.

use arrow::{
    array::{Array, ArrayRef, UInt32Array},
    buffer::BooleanBuffer,
    compute,
};
use stoadb_storage::Vector;

use super::{CHUNK, chunk_range, chunks};
use crate::{
    agg::{Call, Groups, State},
    error::Result,
    op::sort::jobs::Jobs,
};

const FANOUT: usize = 16;

/// The arguments of an aggregate at every place.
pub(super) struct Rows {
    pub(super) count: usize,
    pub(super) args: Vec<ArrayRef>,
    /// Which rows count; `None` when all do.
    pub(super) counting: Option<BooleanBuffer>,
}

impl Rows {
    /// Whether a row counts.
    pub(super) fn counts(&self, row: u32) -> bool {
        self.counting.as_ref().is_none_or(|counting| counting.value(row as usize))
    }

    /// The arguments at some places.
    pub(super) fn take(&self, places: &[u32]) -> Result<Vec<Vector>> {
        let places = UInt32Array::from(places.to_vec());
        let take = |arg: &ArrayRef| Ok(Vector::Flat(compute::take(arg, &places, None)?));
        self.args.iter().map(take).collect()
    }

    /// Brings rows into their groups, in this order; all of them count.
    pub(super) fn update(&self, state: &mut State, rows: &[u32], groups: &[u32]) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        state.update(&self.take(rows)?, Groups::Ids(groups))
    }
}

/// The tree; it owns its leaves' arguments.
pub(super) struct Tree {
    call: Call,
    rows: Rows,
    /// The states of groups of 16 rows, of 16 of these, and so on.
    levels: Vec<State>,
}

impl Tree {
    /// The tree over all rows. `O(n)`.
    ///
    /// # Errors
    /// As `State::update`; cancellation.
    pub(super) fn build(call: &Call, rows: Rows, jobs: &Jobs<'_>) -> Result<Self> {
        let mut levels = Vec::new();
        let mut nodes = rows.count.div_ceil(FANOUT);
        if rows.count > FANOUT {
            let parts = jobs.map(chunks(rows.count).len(), |chunk| leaves(call, &rows, chunk))?;
            let mut level = State::new(call)?;
            level.resize(nodes);
            for (chunk, part) in parts.iter().enumerate() {
                let first = (chunk * (CHUNK / FANOUT)) as u32;
                let to: Vec<u32> =
                    (first..(first + (CHUNK / FANOUT) as u32).min(nodes as u32)).collect();
                let from: Vec<u32> = (0..to.len() as u32).collect();
                level.merge(part, &from, &to)?;
            }
            levels.push(level);
        }
        while nodes > FANOUT {
            let from: Vec<u32> = (0..nodes as u32).collect();
            let to: Vec<u32> = from.iter().map(|node| node / FANOUT as u32).collect();
            nodes = nodes.div_ceil(FANOUT);
            let mut level = State::new(call)?;
            level.resize(nodes);
            if let Some(below) = levels.last() {
                level.merge(below, &from, &to)?;
            }
            levels.push(level);
        }
        Ok(Self { call: call.clone(), rows, levels })
    }

    /// The aggregate of each frame, whose pieces are by layer. `O(log n)` a frame.
    ///
    /// # Errors
    /// As `State::finish`.
    pub(super) fn evaluate(&self, layers: &[Vec<[u32; 2]>]) -> Result<ArrayRef> {
        let [first, rest @ ..] = layers else {
            return State::new(&self.call)?.finish(&self.call);
        };
        let mut state = self.state(first)?;
        let all: Vec<u32> = (0..first.len() as u32).collect();
        for layer in rest {
            state.merge(&self.state(layer)?, &all, &all)?;
        }
        state.finish(&self.call)
    }

    fn state(&self, frames: &[[u32; 2]]) -> Result<State> {
        let mut parts = Parts::new(self.levels.len());
        for (frame, &[start, end]) in (0..).zip(frames) {
            self.add(frame, start, end, &mut parts);
        }
        let mut state = State::new(&self.call)?;
        state.resize(frames.len());
        self.rows.update(&mut state, &parts.left[0].nodes, &parts.left[0].frames)?;
        state.seal()?;
        for (level, part) in self.levels.iter().zip(&parts.left[1..]) {
            state.merge(level, &part.nodes, &part.frames)?;
        }
        for (level, part) in self.levels.iter().zip(&parts.right[1..]).rev() {
            state.merge(level, &part.nodes, &part.frames)?;
        }
        let rest = &parts.right[0];
        if !rest.nodes.is_empty() {
            let mut last = State::new(&self.call)?;
            last.resize(frames.len());
            self.rows.update(&mut last, &rest.nodes, &rest.frames)?;
            last.seal()?;
            let all: Vec<u32> = (0..frames.len() as u32).collect();
            state.merge(&last, &all, &all)?;
        }
        Ok(state)
    }

    /// Cuts a frame into rows and nodes: ascending ones on the left, then descending ones on the right.
    fn add(&self, frame: u32, start: u32, end: u32, parts: &mut Parts) {
        let fanout = FANOUT as u32;
        let (mut start, mut end) = (start, end);
        for level in 0..=self.levels.len() {
            let (first, after) = (start.div_ceil(fanout), end / fanout);
            let keep = |node: &u32| level > 0 || self.rows.counts(*node);
            if level == self.levels.len() || first >= after {
                parts.left[level].push(frame, (start..end).filter(keep));
                return;
            }
            parts.left[level].push(frame, (start..first * fanout).filter(keep));
            parts.right[level].push(frame, (after * fanout..end).filter(keep));
            (start, end) = (first, after);
        }
    }
}

/// The states of the groups of 16 rows of a chunk.
fn leaves(call: &Call, rows: &Rows, chunk: usize) -> Result<State> {
    let range = chunk_range(chunk, rows.count);
    let mut state = State::new(call)?;
    state.resize(range.len().div_ceil(FANOUT));
    let first = range.start as u32;
    let group = |row: u32| (row - first) / FANOUT as u32;
    if rows.counting.is_none() {
        let groups: Vec<u32> = (first..range.end as u32).map(group).collect();
        let slice = |arg: &ArrayRef| Vector::Flat(arg.slice(range.start, range.len()));
        let args: Vec<Vector> = rows.args.iter().map(slice).collect();
        state.update(&args, Groups::Ids(&groups))?;
    } else {
        let kept: Vec<u32> = (first..range.end as u32).filter(|&row| rows.counts(row)).collect();
        let groups: Vec<u32> = kept.iter().map(|&row| group(row)).collect();
        rows.update(&mut state, &kept, &groups)?;
    }
    state.seal()?;
    Ok(state)
}

/// Nodes (on level 0 rows) and the frames that they are part of.
#[derive(Default, Clone)]
struct Part {
    nodes: Vec<u32>,
    frames: Vec<u32>,
}

impl Part {
    fn push(&mut self, frame: u32, nodes: impl Iterator<Item = u32>) {
        self.nodes.extend(nodes);
        self.frames.resize(self.nodes.len(), frame);
    }
}

struct Parts {
    left: Vec<Part>,
    right: Vec<Part>,
}

impl Parts {
    fn new(levels: usize) -> Self {
        Self { left: vec![Part::default(); levels + 1], right: vec![Part::default(); levels + 1] }
    }
}
