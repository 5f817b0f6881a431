//! Write: turns a stream into segments of a table, in the stream's order.
//!
//! Invariant: how rows are cut into segments depends on the morsels alone, not on workers; a segment is encoded as soon
//! as the morsels of its rows are through, so that the plain values of a few segments are held and never those of the
//! table. Nothing is published here: the segments are handed to whoever commits them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use stoadb_storage::{
    SEGMENT_ROWS, Schema,
    table::{PendingColumn, Segment, SegmentBuilder, shared_dictionary, with_shared},
};

use crate::{
    batch::Batch,
    context::{QueryContext, Reservation},
    error::{EngineError, Result},
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
    /// The morsel that is to be looked at next.
    next: usize,
    /// What later morsels collected.
    waiting: BTreeMap<usize, Vec<SegmentBuilder>>,
    /// The rows of the segment that is not closed yet.
    open: Vec<SegmentBuilder>,
    /// How many segments are closed.
    closed: usize,
    /// Closed segments by their number, as far as they are encoded.
    encoded: BTreeMap<usize, Arc<Segment>>,
    segments: Vec<Arc<Segment>>,
    reservation: Option<Reservation>,
}

/// The rows of a segment and its number.
type Closed = (usize, Vec<SegmentBuilder>);

impl State {
    /// Takes what a morsel collected; returns the segments that are complete now.
    fn take(&mut self, morsel: usize, rows: Vec<SegmentBuilder>) -> Vec<Closed> {
        self.waiting.insert(morsel, rows);
        let mut closed = Vec::new();
        while let Some(rows) = self.waiting.remove(&self.next) {
            self.next += 1;
            rows.into_iter().for_each(|rows| closed.extend(self.add(rows)));
        }
        closed
    }

    /// Adds rows to the open segment, which is closed if they do not fit in.
    fn add(&mut self, rows: SegmentBuilder) -> Option<Closed> {
        let open: usize = self.open.iter().map(SegmentBuilder::rows).sum();
        let closed = if open + rows.rows() > SEGMENT_ROWS { self.close() } else { None };
        self.open.push(rows);
        closed
    }

    fn close(&mut self) -> Option<Closed> {
        if self.open.is_empty() {
            return None;
        }
        self.closed += 1;
        Some((self.closed - 1, std::mem::take(&mut self.open)))
    }

    /// Holds memory for `more` bytes, and none any longer for `less`.
    fn account(&mut self, context: &QueryContext, more: u64, less: u64) -> Result<()> {
        let new = || context.memory().reservation("table being written");
        let reservation = self.reservation.get_or_insert_with(new);
        let bytes = (reservation.bytes() + more).saturating_sub(less);
        reservation.resize(bytes)
    }
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

    /// Encodes what is left, column by column.
    fn encode_rest(&self, workers: &Workers, context: &QueryContext) -> Result<()> {
        let (rest, bytes) = {
            let mut state = lock(&self.state);
            // Only after an early end are there morsels left that wait for others.
            let waiting = std::mem::take(&mut state.waiting);
            let rows: Vec<_> = waiting.into_values().flatten().collect();
            let mut rest: Vec<_> = rows.into_iter().filter_map(|rows| state.add(rows)).collect();
            rest.extend(state.close());
            let bytes: u64 =
                rest.iter().flat_map(|(_, rows)| rows).map(SegmentBuilder::bytes).sum();
            (rest, bytes)
        };
        let mut numbers = Vec::new();
        let mut columns: Vec<Mutex<Option<PendingColumn>>> = Vec::new();
        for (number, rows) in rest {
            let pending = joined(&self.schema, rows)?.into_columns();
            numbers.push((number, pending.len()));
            columns.extend(pending.into_iter().map(|column| Mutex::new(Some(column))));
        }
        let encoded = workers.map(columns.len(), |i| {
            context.check()?;
            let column = columns[i].lock().unwrap_or_else(PoisonError::into_inner).take();
            let column =
                column.ok_or_else(|| EngineError::Internal("a column was taken twice".into()))?;
            Ok(column.finish()?)
        })?;
        let mut encoded = encoded.into_iter();
        let mut state = lock(&self.state);
        let mut more = 0;
        for (number, columns) in numbers {
            let segment = Segment::of(encoded.by_ref().take(columns).collect())?;
            more += segment.bytes();
            state.encoded.insert(number, Arc::new(segment));
        }
        state.account(context, more, bytes)
    }
}

/// The rows of several builders in one.
fn joined(schema: &Arc<Schema>, rows: Vec<SegmentBuilder>) -> Result<SegmentBuilder> {
    let mut rows = rows.into_iter();
    let mut all = rows.next().unwrap_or_else(|| SegmentBuilder::new(Arc::clone(schema)));
    for more in rows {
        all.append(more)?;
    }
    Ok(all)
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sink for Write {
    fn local(&self, context: &Arc<QueryContext>) -> Result<Box<dyn LocalSink>> {
        Ok(Box::new(LocalWrite {
            context: Arc::clone(context),
            schema: Arc::clone(&self.schema),
            state: Arc::clone(&self.state),
            morsel: 0,
            builder: SegmentBuilder::new(Arc::clone(&self.schema)),
            full: Vec::new(),
        }))
    }

    fn finish(&self, context: &Arc<QueryContext>, workers: &Workers) -> Result<()> {
        self.encode_rest(workers, context)?;
        let segments: Vec<Arc<Segment>> =
            std::mem::take(&mut lock(&self.state).encoded).into_values().collect();
        let columns = self.schema.len();
        let shared = workers.map(columns, |column| Ok(shared_dictionary(&segments, column)?))?;
        let segments = workers.map(segments.len(), |number| {
            context.check()?;
            Ok(with_shared(&segments[number], number, &shared)?)
        })?;
        workers.for_each(segments.len() * columns, |i| {
            context.check()?;
            segments[i / columns].columns()[i % columns].prepare();
            Ok(())
        })?;
        lock(&self.state).segments = segments;
        Ok(())
    }
}

struct LocalWrite {
    context: Arc<QueryContext>,
    schema: Arc<Schema>,
    state: Arc<Mutex<State>>,
    morsel: usize,
    builder: SegmentBuilder,
    /// Builders of this morsel that have all the rows that a segment may have.
    full: Vec<SegmentBuilder>,
}

impl LocalWrite {
    fn next_builder(&mut self) -> Result<()> {
        let empty = SegmentBuilder::new(Arc::clone(&self.schema));
        let full = std::mem::replace(&mut self.builder, empty);
        lock(&self.state).account(&self.context, full.bytes(), 0)?;
        self.full.push(full);
        Ok(())
    }
}

impl LocalSink for LocalWrite {
    fn begin_morsel(&mut self, morsel: usize) -> Result<()> {
        self.morsel = morsel;
        Ok(())
    }

    fn push(&mut self, batch: Batch) -> Result<Feed> {
        if self.builder.rows() + batch.len() > SEGMENT_ROWS {
            self.next_builder()?;
        }
        self.builder.push(&batch.columns, batch.selection.as_ref())?;
        Ok(Feed::NeedInput)
    }

    fn end_morsel(&mut self) -> Result<Feed> {
        if self.builder.rows() > 0 {
            self.next_builder()?;
        }
        let rows = std::mem::take(&mut self.full);
        let closed = lock(&self.state).take(self.morsel, rows);
        for (number, rows) in closed {
            let held = rows.iter().map(SegmentBuilder::bytes).sum();
            let columns = joined(&self.schema, rows)?.into_columns();
            let columns = columns.into_iter().map(PendingColumn::finish);
            let segment = Segment::of(columns.collect::<Result<_, _>>()?)?;
            let mut state = lock(&self.state);
            state.account(&self.context, segment.bytes(), held)?;
            state.encoded.insert(number, Arc::new(segment));
        }
        Ok(Feed::NeedInput)
    }

    fn merge(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array};
    use stoadb_storage::{ColumnDef, LogicalType, Vector};

    use super::*;

    fn rows(schema: &Arc<Schema>, from: i64, rows: usize) -> SegmentBuilder {
        let mut builder = SegmentBuilder::new(Arc::clone(schema));
        let values: ArrayRef = Arc::new(Int64Array::from_iter_values(from..from + rows as i64));
        builder.push(&[Vector::Flat(values)], None).unwrap();
        builder
    }

    #[test]
    fn test_segments_do_not_depend_on_the_order_in_which_morsels_end() {
        let schema = Arc::new(Schema::new(vec![ColumnDef::new("i", LogicalType::Int64)]));
        let sizes = [400_000, 400_000, 0, 400_000, 1, SEGMENT_ROWS, 7, 500_000];
        let starts: Vec<i64> = (0..sizes.len() as i64).map(|i| i << 32).collect();
        let mut all: Vec<Vec<(usize, Vec<usize>)>> = Vec::new();
        for order in [[0, 1, 2, 3, 4, 5, 6, 7], [7, 6, 5, 4, 3, 2, 1, 0], [3, 0, 2, 1, 7, 5, 4, 6]]
        {
            let mut state = State::default();
            let mut closed = Vec::new();
            for morsel in order {
                let pieces = match sizes[morsel] {
                    0 => Vec::new(),
                    n => vec![rows(&schema, starts[morsel], n)],
                };
                closed.extend(state.take(morsel, pieces));
            }
            assert!(state.waiting.is_empty());
            closed.extend(state.close());
            assert!(state.close().is_none());
            closed.sort_by_key(|(number, _)| *number);
            let shape = |(number, rows): &Closed| {
                (*number, rows.iter().map(SegmentBuilder::rows).collect::<Vec<_>>())
            };
            all.push(closed.iter().map(shape).collect());
        }
        let want = vec![
            (0, vec![400_000, 400_000]),
            (1, vec![400_000, 1]),
            (2, vec![SEGMENT_ROWS]),
            (3, vec![7, 500_000]),
        ];
        assert!(all.iter().all(|shape| *shape == want), "{all:?}");
    }
}
