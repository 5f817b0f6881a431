//! Write: turns a stream into segments of a table, in the stream's order.
//!
//! Invariant: how rows are cut into segments depends on the morsels alone, not on workers. Nothing is published here:
//! the segments are handed to whoever commits them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use stoadb_storage::{
    Schema,
    table::{Segment, SegmentBuilder, merge_group, merge_groups},
};

use crate::{
    batch::Batch,
    context::{QueryContext, Reservation},
    error::Result,
    op::{Feed, LocalSink, Sink},
    scheduler::Workers,
};

/// Collects the rows of a stream as segments.
pub struct Write {
    schema: Arc<Schema>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    morsels: Vec<(usize, Vec<Arc<Segment>>)>,
    reservations: Vec<Reservation>,
    segments: Vec<Arc<Segment>>,
}

impl Write {
    /// Segments of a table with the given columns; the stream has these types.
    pub fn new(schema: Arc<Schema>) -> Arc<Self> {
        Arc::new(Self { schema, state: Arc::default() })
    }

    /// The segments, after `finish`, in order.
    pub fn segments(&self) -> Vec<Arc<Segment>> {
        lock(&self.state).segments.clone()
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sink for Write {
    fn local(&self, context: &Arc<QueryContext>) -> Result<Box<dyn LocalSink>> {
        Ok(Box::new(LocalWrite {
            schema: Arc::clone(&self.schema),
            state: Arc::clone(&self.state),
            reservation: context.memory().reservation("table being written"),
            morsel: 0,
            builder: SegmentBuilder::new(Arc::clone(&self.schema)),
            segments: Vec::new(),
        }))
    }

    fn finish(&self, context: &Arc<QueryContext>, workers: &Workers) -> Result<()> {
        let mut morsels = std::mem::take(&mut lock(&self.state).morsels);
        morsels.sort_unstable_by_key(|(morsel, _)| *morsel);
        let segments: Vec<_> = morsels.into_iter().flat_map(|(_, segments)| segments).collect();
        let rows: Vec<usize> = segments.iter().map(|segment| segment.rows()).collect();
        let groups = merge_groups(&rows);
        let merged = workers.map(groups.len(), |group| {
            context.check()?;
            let segment = merge_group(&segments[groups[group].clone()])?;
            segment.prepare();
            Ok(segment)
        })?;
        lock(&self.state).segments = merged;
        Ok(())
    }
}

struct LocalWrite {
    schema: Arc<Schema>,
    state: Arc<Mutex<State>>,
    reservation: Reservation,
    morsel: usize,
    builder: SegmentBuilder,
    segments: Vec<Arc<Segment>>,
}

impl LocalWrite {
    fn seal(&mut self) -> Result<()> {
        let empty = SegmentBuilder::new(Arc::clone(&self.schema));
        let segment = std::mem::replace(&mut self.builder, empty).finish()?;
        self.reservation.grow(segment.bytes())?;
        self.segments.push(Arc::new(segment));
        Ok(())
    }
}

impl LocalSink for LocalWrite {
    fn begin_morsel(&mut self, morsel: usize) -> Result<()> {
        self.morsel = morsel;
        Ok(())
    }

    fn push(&mut self, batch: Batch) -> Result<Feed> {
        self.builder.push(&batch.columns, batch.selection.as_ref())?;
        if self.builder.is_full() {
            self.seal()?;
        }
        Ok(Feed::NeedInput)
    }

    fn end_morsel(&mut self) -> Result<Feed> {
        if self.builder.rows() > 0 {
            self.seal()?;
        }
        let segments = std::mem::take(&mut self.segments);
        lock(&self.state).morsels.push((self.morsel, segments));
        Ok(Feed::NeedInput)
    }

    fn merge(self: Box<Self>) -> Result<()> {
        lock(&self.state).reservations.push(self.reservation);
        Ok(())
    }
}
