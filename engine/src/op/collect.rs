//! Collect: keeps the rows between OFFSET and LIMIT, in order, for whoever reads them next.
//!
//! Invariant: which rows are kept depends on (morsel, position) alone. Workers stop early only when the morsels before
//! theirs are known to hold enough rows.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{
    batch::Batch,
    context::{QueryContext, Reservation},
    error::Result,
    op::values::Batches,
    op::{Feed, LocalSink, LocalSource, Sink, Source},
    result::Bounds,
    scheduler::Workers,
};
use stoadb_storage::{Vector, ledger::array_bytes};

/// The rows of a stream, or those between two bounds.
pub struct Collect {
    bounds: Bounds,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// Completed morsels; `None` while a morsel before the last completed one is still under way.
    morsels: Vec<Option<Vec<Batch>>>,
    /// Morsels complete without a gap, and the rows in them.
    prefix: usize,
    prefix_rows: u64,
    reservations: Vec<Reservation>,
    result: Option<Arc<Batches>>,
}

impl Collect {
    /// Keeps the rows within the bounds.
    pub fn new(bounds: Bounds) -> Arc<Self> {
        Arc::new(Self { bounds, state: Arc::default() })
    }

    /// The rows, after `finish`: morsels as they came in, less what the bounds cut off.
    pub fn source(self: &Arc<Self>) -> Arc<dyn Source> {
        Arc::new(CollectSource(Arc::clone(self)))
    }

    /// The rows, after `finish`, in order.
    pub fn batches(&self) -> Vec<Batch> {
        lock(&self.state).morsels.iter().flatten().flatten().cloned().collect()
    }

    /// What the rows are charged with, for whoever keeps them longer than this.
    pub fn take_reservations(&self) -> Vec<Reservation> {
        std::mem::take(&mut lock(&self.state).reservations)
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sink for Collect {
    fn local(&self, context: &Arc<QueryContext>) -> Result<Box<dyn LocalSink>> {
        Ok(Box::new(LocalCollect {
            needed: self.bounds.offset.saturating_add(self.bounds.limit),
            state: Arc::clone(&self.state),
            reservation: context.memory().reservation("collected rows"),
            morsel: 0,
            rows: 0,
            batches: Vec::new(),
        }))
    }

    fn finish(&self, _context: &Arc<QueryContext>, _workers: &Workers) -> Result<()> {
        let mut state = lock(&self.state);
        let Bounds { mut offset, mut limit } = self.bounds;
        for batches in state.morsels.iter_mut().flatten() {
            for batch in std::mem::take(batches) {
                let rows = batch.rows as u64;
                let skipped = offset.min(rows);
                offset -= skipped;
                let kept = (rows - skipped).min(limit);
                limit -= kept;
                if kept == rows {
                    batches.push(batch);
                } else if kept > 0 {
                    batches.push(slice(&batch, skipped as usize, kept as usize));
                }
            }
        }
        let morsels = state.morsels.iter().flatten().filter(|batches| !batches.is_empty());
        let morsels = morsels.cloned().collect();
        state.result = Some(Arc::new(Batches::new(morsels)));
        Ok(())
    }
}

fn slice(batch: &Batch, offset: usize, rows: usize) -> Batch {
    Batch::new(batch.columns.iter().map(|column| column.slice(offset, rows)).collect(), rows)
}

struct LocalCollect {
    needed: u64,
    state: Arc<Mutex<State>>,
    reservation: Reservation,
    morsel: usize,
    rows: u64,
    batches: Vec<Batch>,
}

impl LocalSink for LocalCollect {
    fn begin_morsel(&mut self, morsel: usize) -> Result<()> {
        (self.morsel, self.rows) = (morsel, 0);
        Ok(())
    }

    fn push(&mut self, batch: Batch) -> Result<Feed> {
        let batch = batch.compact()?;
        self.reservation.grow(batch.columns.iter().map(vector_bytes).sum())?;
        self.rows += batch.rows as u64;
        self.batches.push(batch);
        Ok(if self.rows >= self.needed { Feed::DoneMorsel } else { Feed::NeedInput })
    }

    fn end_morsel(&mut self) -> Result<Feed> {
        let mut state = lock(&self.state);
        if state.morsels.len() <= self.morsel {
            state.morsels.resize_with(self.morsel + 1, || None);
        }
        state.morsels[self.morsel] = Some(std::mem::take(&mut self.batches));
        while let Some(Some(batches)) = state.morsels.get(state.prefix) {
            state.prefix_rows += batches.iter().map(|batch| batch.rows as u64).sum::<u64>();
            state.prefix += 1;
        }
        Ok(if state.prefix_rows >= self.needed { Feed::Done } else { Feed::NeedInput })
    }

    fn merge(self: Box<Self>) -> Result<()> {
        lock(&self.state).reservations.push(self.reservation);
        Ok(())
    }
}

/// About the bytes that a vector keeps alive on its own; shared dictionaries are not its own.
fn vector_bytes(vector: &Vector) -> u64 {
    match vector {
        Vector::Flat(array) => array_bytes(array.as_ref()),
        Vector::Constant { .. } => 0,
        Vector::Dictionary(vector) => array_bytes(vector.codes.as_ref()),
        Vector::Narrow(vector) => array_bytes(vector.offsets.as_ref()),
    }
}

struct CollectSource(Arc<Collect>);

impl CollectSource {
    fn result(&self) -> Option<Arc<Batches>> {
        lock(&self.0.state).result.clone()
    }
}

impl Source for CollectSource {
    fn morsels(&self) -> usize {
        self.result().map_or(0, |batches| batches.morsels())
    }

    fn local(&self, context: &Arc<QueryContext>) -> Result<Box<dyn LocalSource>> {
        match self.result() {
            Some(batches) => batches.local(context),
            None => Batches::new(Vec::new()).local(context),
        }
    }
}
