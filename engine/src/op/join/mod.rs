//! The hash join, of all kinds, and the nested-loop and cross joins as its case without keys.
//!
//! `JoinBuild` is the sink of the pipeline that reads the right side; its `probe` is a transform over left batches; its
//! `unmatched` is the source of what right and full joins, and right semi and anti joins, give at the end.
//! Invariants: build rows are numbered by (morsel, position) before anything else happens, groups list them in that order
//! and probe rows come in theirs, so that the output's order depends on nothing else. No step produces more than one
//! vector, however many matches a row has.
//! An ASOF join is a join whose probe rows match one row of their group.
//! Read `lane.rs`, `domain.rs` and `key.rs` (values to codes), `table.rs` and `table_build.rs` (codes to rows),
//! `payload.rs` (rows to values), then `build.rs`,
//! `nearest.rs`, `probe.rs`, `residual.rs` and `unmatched.rs`.

mod build;
mod domain;
mod filter;
mod gather;
mod intern;
mod key;
mod lane;
mod nearest;
mod pairs;
mod payload;
mod probe;
mod range;
mod residual;
mod spec;
mod table;
mod table_build;
#[cfg(test)]
mod tests;
mod unmatched;

use std::sync::{
    Arc, Mutex, OnceLock, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use stoadb_storage::{RowFilter, Scalar, Vector};

use crate::{
    context::{QueryContext, Reservation},
    error::{EngineError, Result},
    op::{LocalSink, Sink, Source, Transform},
    plan::{JoinKind, JoinPlan},
    scheduler::Workers,
};

use build::{Collected, LocalBuild};
use key::KeyCoder;
use lane::LaneRange;
use nearest::Nearest;
use spec::Spec;
use table::{Marks, Table};

/// The build side of a join: the sink of the right input, and what the probe and the rest read afterwards.
pub struct JoinBuild {
    shared: Arc<Shared>,
}

/// What all workers of all pipelines of a join share.
struct Shared {
    spec: Spec,
    collected: Mutex<Collected>,
    /// Of how many build rows the keys are kept as they are.
    kept_keys: AtomicUsize,
    built: OnceLock<Built>,
}

/// The build side when it is complete.
struct Built {
    /// How many rows.
    rows: u32,
    /// The right columns that are read again; `None` for the others.
    columns: Vec<Option<Vector>>,
    /// Makes probe codes; `None` without keys.
    coder: Option<KeyCoder>,
    /// From codes to rows.
    table: Table,
    /// Which of the rows with a probe row's keys matches it, in an ASOF join.
    nearest: Option<Nearest>,
    /// Per key the range of its values, for types of 64 bits.
    ranges: Vec<Option<LaneRange>>,
    /// Per key the values of all rows, where they are wanted and few.
    keys: Vec<Vector>,
    /// Whether the first key is NULL in some row.
    null_key: bool,
    /// What has found a match, for kinds that ask for it: rows when there is a residual, else entries.
    marks: Option<Marks>,
    /// The rows that have found a match, made from `marks` once all probes are through.
    matched_rows: OnceLock<Marks>,
    /// The memory of all this.
    _reservation: Reservation,
}

impl Built {
    /// From what a probe row was found to match to build rows: entries with their rows, or in an ASOF join rows.
    fn pairing(&self) -> &Table {
        self.nearest.as_ref().map_or(&self.table, Nearest::identity)
    }
}

impl Shared {
    fn built(&self) -> Result<&Built> {
        let early =
            || EngineError::Internal("a join is read before its build side is complete".into());
        self.built.get().ok_or_else(early)
    }
}

impl JoinBuild {
    /// An empty build side for a join. The residual and the keys name no subquery any more.
    ///
    /// # Errors
    /// Whatever compiling the expressions raises.
    pub fn new(join: &JoinPlan, context: &Arc<QueryContext>) -> Result<Arc<JoinBuild>> {
        let shared = Shared {
            spec: Spec::new(join, context)?,
            collected: Mutex::default(),
            kept_keys: AtomicUsize::new(0),
            built: OnceLock::new(),
        };
        Ok(Arc::new(Self { shared: Arc::new(shared) }))
    }

    /// Asks for the keys of the build side to be kept for `keys`, if it has at most so many rows. Before it is complete.
    pub fn keep_keys(&self, most: usize) {
        self.shared.kept_keys.store(most, Ordering::Relaxed);
    }

    /// The values of a build key (an ordinal of `JoinPlan::keys`) in all rows, NULLs and repeated ones included; `None`
    /// where they were not kept. A join that keeps only matching left rows has no use for others of these.
    pub fn keys(&self, key: usize) -> Option<&Vector> {
        let built = self.shared.built.get()?;
        built.keys.get(key.checked_sub(self.shared.spec.keys_dropped)?)
    }

    /// The transform of left batches. Its workers may start once the build side is complete.
    pub fn probe(self: &Arc<Self>) -> Arc<dyn Transform> {
        Arc::new(probe::Probe { shared: Arc::clone(&self.shared) })
    }

    /// The rows that come after all probe rows: for right and full joins the build rows without a match, left columns
    /// NULL; for right semi and anti joins their whole output. `None` for other kinds. To be read only when all probe
    /// morsels are done.
    pub fn unmatched(self: &Arc<Self>) -> Option<Arc<dyn Source>> {
        let source = || Arc::new(unmatched::Unmatched { shared: Arc::clone(&self.shared) });
        marks_rows(self.shared.spec.kind).then(|| source() as Arc<dyn Source>)
    }

    /// Whether the build side has no row; true before it is complete.
    pub fn is_empty(&self) -> bool {
        self.rows() == 0
    }

    /// How many rows the build side has, those with NULL keys included; 0 before it is complete.
    pub fn rows(&self) -> usize {
        self.shared.built.get().map_or(0, |built| built.rows as usize)
    }

    /// How many different keys the build side has; 0 before it is complete.
    pub fn entries(&self) -> usize {
        self.shared.built.get().map_or(0, |built| built.table.entries)
    }

    /// The smallest and the largest value of a build key (an ordinal of `JoinPlan::keys`). Probe rows outside of it have
    /// no match, so that a join that keeps only matching left rows (inner, left semi, right, right semi, right anti) may
    /// skip them. `None` when there is no value, NULL matches NULL in some row, the largest is NaN, the type has no cheap
    /// bounds, or the build side is not complete.
    pub fn key_range(&self, key: usize) -> Option<(Scalar, Scalar)> {
        let built = self.shared.built.get()?;
        let key = key.checked_sub(self.shared.spec.keys_dropped)?;
        let column = self.shared.spec.keys.get(key)?;
        range::bounds(column, key, built)
    }

    /// A row filter for the scan of the probe side that drops the rows without a match, exactly. `columns` are the scan's
    /// columns that are the left sides of all keys, in the order of the keys. `None` when the join keeps left rows
    /// without a match, has no keys, or the build side is not complete. It costs about as much as the probe's own
    /// look-up, so that it pays where it drops many rows of a scan with further columns.
    pub fn row_filter(self: &Arc<Self>, columns: &[usize]) -> Option<Arc<dyn RowFilter>> {
        let spec = &self.shared.spec;
        let has_keys = !columns.is_empty() && spec.keys.len() == columns.len();
        if !has_keys || keeps_unmatched_left(spec.kind) || self.shared.built.get().is_none() {
            return None;
        }
        Some(Arc::new(filter::KeyFilter::new(&self.shared, columns)))
    }
}

impl Sink for JoinBuild {
    fn local(&self, context: &Arc<QueryContext>) -> Result<Box<dyn LocalSink>> {
        Ok(Box::new(LocalBuild::new(&self.shared, context)))
    }

    fn finish(&self, context: &Arc<QueryContext>, workers: &Workers) -> Result<()> {
        let mut collected = self.shared.collected.lock().unwrap_or_else(PoisonError::into_inner);
        let collected = std::mem::take(&mut *collected);
        let kept_keys = self.shared.kept_keys.load(Ordering::Relaxed);
        let built = build::finish(&self.shared.spec, collected, kept_keys, context, workers)?;
        let twice = |_| EngineError::Internal("a join's build side is completed twice".into());
        self.shared.built.set(built).map_err(twice)
    }
}

/// Whether a kind needs to know which build rows have found a match.
fn marks_rows(kind: JoinKind) -> bool {
    match kind {
        JoinKind::Right | JoinKind::Full | JoinKind::RightSemi | JoinKind::RightAnti => true,
        JoinKind::Inner
        | JoinKind::Left
        | JoinKind::LeftSemi
        | JoinKind::LeftAnti
        | JoinKind::LeftAntiNullAware
        | JoinKind::LeftMark => false,
    }
}

/// Whether left rows without a match may be in the answer.
pub(crate) fn keeps_unmatched_left(kind: JoinKind) -> bool {
    match kind {
        JoinKind::Left
        | JoinKind::Full
        | JoinKind::LeftAnti
        | JoinKind::LeftAntiNullAware
        | JoinKind::LeftMark => true,
        JoinKind::Inner
        | JoinKind::Right
        | JoinKind::LeftSemi
        | JoinKind::RightSemi
        | JoinKind::RightAnti => false,
    }
}

/// Whether a kind gives the columns of the build side.
fn gives_right(kind: JoinKind) -> bool {
    match kind {
        JoinKind::Inner
        | JoinKind::Left
        | JoinKind::Right
        | JoinKind::Full
        | JoinKind::RightSemi
        | JoinKind::RightAnti => true,
        JoinKind::LeftSemi
        | JoinKind::LeftAnti
        | JoinKind::LeftAntiNullAware
        | JoinKind::LeftMark => false,
    }
}
