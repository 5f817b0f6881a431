//! Window functions: a sink that sorts its rows by partition and order and computes every call over them, and a source
//! of the sorted rows with the results beside them.
//!
//! Invariants: rows are numbered by their place in the sorted order; results are computed in chunks of a fixed number
//! of rows, whoever computes them, so that no answer depends on the number of workers. No frame costs its length,
//! except where the output has that length. Leis et al. 2015, "Efficient Processing of Window Functions in Analytical
//! SQL Queries".
//! Read next: `shape.rs` (partitions and peers), `frame.rs` (frames), `rank.rs`, `value.rs`, `aggregate.rs`.

mod aggregate;
mod columns;
mod frame;
mod order;
mod rank;
mod shape;
mod source;
#[cfg(test)]
mod tests;
mod tree;
mod value;

use std::{
    ops::Range,
    sync::{Arc, OnceLock},
};

use arrow::array::ArrayRef;
use stoadb_storage::{LogicalType, Schema, Vector, ledger::array_bytes};

use self::{
    columns::{Call, Columns},
    shape::Shape,
};
use super::{
    LocalSink, Sink, Source,
    sort::{Sort, Sorted, jobs::Jobs},
};
use crate::{
    context::{QueryContext, Reservation},
    error::{EngineError, Result},
    expr::Expr,
    plan::WindowPlan,
    scheduler::Workers,
};

/// Rows of a chunk: the unit of parallel work and of the output's morsels. Smaller ones reach every path in tests.
const CHUNK: usize = if cfg!(test) { 1 << 8 } else { 1 << 16 };

/// The sink of window functions over one partitioning and order.
pub struct Window {
    sort: Arc<Sort>,
    spec: Spec,
    result: OnceLock<Arc<Output>>,
}

/// What is computed.
struct Spec {
    /// How many columns the input has; computed ones follow.
    width: usize,
    /// How many of the sort's keys part the rows, and how many order them besides.
    keys: [usize; 2],
    calls: Vec<Call>,
}

/// The sorted rows and the results.
struct Output {
    input: Ordered,
    /// By call, then by chunk.
    results: Vec<Vec<ArrayRef>>,
    _reservation: Reservation,
}

/// Rows in window order.
struct Ordered {
    sorted: Sorted,
    order: Vec<u32>,
}

impl Window {
    /// The sink for a plan's calls. The expressions, if any, are what the input must be projected to before it comes
    /// here: its own columns, then those that the calls need.
    ///
    /// # Errors
    /// `Unsupported` when an aggregate does not take its arguments.
    pub fn new(
        plan: &WindowPlan,
        context: &Arc<QueryContext>,
    ) -> Result<(Arc<Self>, Option<Vec<Expr>>)> {
        let input = plan.input.schema();
        let mut columns = Columns::new(input);
        let partition = columns.keys(&plan.partition_by, &[]);
        let order = columns.order(&plan.order_by, &partition);
        let calls = plan.calls.iter().map(|call| columns.call(call, &plan.order_by));
        let calls = calls.collect::<Result<_>>()?;
        let spec = Spec { width: input.len(), keys: [partition.len(), order.len()], calls };
        let keys: Vec<_> = partition.into_iter().chain(order).collect();
        let schema = columns.schema();
        let sort = Sort::new(&schema, &keys, None, context)?;
        Ok((Arc::new(Self { sort, spec, result: OnceLock::new() }), columns.computed()))
    }

    /// The rows with the results, once `finish` has succeeded. Morsels are consecutive ranges of them.
    pub fn source(self: &Arc<Self>) -> Arc<dyn Source> {
        source::source(self)
    }
}

impl Sink for Window {
    fn local(&self, context: &Arc<QueryContext>) -> Result<Box<dyn LocalSink>> {
        self.sort.local(context)
    }

    fn finish(&self, context: &Arc<QueryContext>, workers: &Workers) -> Result<()> {
        let [partition, order] = self.spec.keys;
        let prefixes = [partition, partition + order];
        let (sorted, runs) = self.sort.sorted(context, workers, &prefixes)?;
        let mut reservation = context.memory().reservation("window functions");
        let rows = sorted.rows.len;
        // The order and where partitions and groups of peers begin.
        let runs_bytes = runs.iter().map(|run| run.len() as u64 * 4).sum::<u64>();
        reservation.grow(rows as u64 * 4 + runs_bytes)?;
        let input = Ordered { order: sorted.order.concat(), sorted };
        let shape = Shape::new(rows, runs);
        let jobs = Jobs::parallel(context, workers);
        let mut results = Vec::with_capacity(self.spec.calls.len());
        for call in &self.spec.calls {
            let chunks = call.compute(&input, &shape, &jobs, context)?;
            // Chunks may be slices of one array.
            reservation.grow(chunks.iter().map(|a| array_bytes(a.as_ref())).sum())?;
            results.push(chunks);
        }
        let output = Output { input, results, _reservation: reservation };
        let again = |_| EngineError::Internal("a window was finished twice".into());
        self.result.set(Arc::new(output)).map_err(again)
    }
}

impl Ordered {
    fn len(&self) -> usize {
        self.order.len()
    }

    /// A column's values at a range of places.
    fn range(&self, column: usize, places: Range<usize>) -> Result<Vector> {
        self.sorted.rows.gather(column, &self.order[places])
    }

    /// A column's values at some places; NULL where there is none.
    fn at(&self, column: usize, places: &[Option<u32>]) -> Result<ArrayRef> {
        let first = self.order.first().copied().unwrap_or(0);
        let row = |place: &Option<u32>| place.map_or(first, |place| self.order[place as usize]);
        let rows: Vec<u32> = places.iter().map(row).collect();
        let values = self.sorted.rows.gather(column, &rows)?.flatten()?;
        if places.iter().all(Option::is_some) {
            return Ok(values);
        }
        let missing = places.iter().map(|place| Some(place.is_none())).collect();
        Ok(arrow::compute::nullif(&values, &missing)?)
    }
}

/// The chunks of so many rows.
fn chunks(rows: usize) -> impl ExactSizeIterator<Item = Range<usize>> {
    (0..rows.div_ceil(CHUNK)).map(move |chunk| chunk_range(chunk, rows))
}

fn chunk_range(chunk: usize, rows: usize) -> Range<usize> {
    chunk * CHUNK..rows.min((chunk + 1) * CHUNK)
}

/// A schema of nameless columns.
fn nameless(types: impl Iterator<Item = LogicalType>) -> Schema {
    Schema::new(types.map(|ty| stoadb_storage::ColumnDef::new("", ty)).collect())
}
