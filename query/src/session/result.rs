//! What a query gives: a schema and record batches as they come.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::Poll,
    time::Duration,
    vec,
};

use arrow::{
    array::{ArrayRef, RecordBatch, RecordBatchOptions, StringViewArray},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use stoadb_engine::{QueryContext, ResultStream};
use stoadb_storage::ScanLedger;

use crate::error::{Error, Result};

/// The rows of a statement: an iterator of record batches, computed while it is read. Dropping it ends the query.
///
/// Column names may repeat, as in `SELECT a, a`. Statements that give no rows have no columns.
pub struct QueryResult {
    schema: SchemaRef,
    rows: Rows,
    changed: u64,
    place: Place,
}

/// Finds the place of an error that a row raised.
pub(crate) type Place = Option<Arc<dyn Fn(Error) -> Error + Send + Sync>>;

enum Rows {
    Stream(Box<ResultStream>),
    Batches(vec::IntoIter<RecordBatch>),
}

/// Cancels a query from another thread.
#[derive(Debug, Clone)]
pub struct Canceller(Arc<AtomicBool>);

/// What is known of a query while it runs and afterwards, from any thread.
#[derive(Clone)]
pub struct Progress(Arc<QueryContext>);

impl Progress {
    /// How many rows scans have handed out, and how many those that were opened so far hold.
    pub fn rows(&self) -> (u64, u64) {
        let progress = self.0.progress();
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (read(&progress.rows_done), read(&progress.rows_total))
    }

    /// The bytes of stored data that scans have touched so far: what `EXPLAIN ANALYZE` calls touched, over all scans and
    /// columns.
    pub fn bytes_touched(&self) -> u64 {
        let touched = |ledger: &Arc<ScanLedger>| {
            (0..ledger.columns()).map(|column| ledger.read(column)).sum::<u64>()
        };
        self.0.ledgers().iter().map(touched).sum()
    }
}

impl Canceller {
    /// Cancels the query: after the batches that are ready, an error comes.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl QueryResult {
    pub(crate) fn stream(stream: ResultStream) -> Self {
        let schema = Arc::clone(stream.schema());
        Self { schema, rows: Rows::Stream(Box::new(stream)), changed: 0, place: None }
    }

    pub(crate) fn batches(schema: SchemaRef, batches: Vec<RecordBatch>) -> Self {
        Self { schema, rows: Rows::Batches(batches.into_iter()), changed: 0, place: None }
    }

    /// The result of a statement without rows that changed `rows` rows.
    pub(crate) fn changed(rows: u64) -> Self {
        Self { changed: rows, ..Self::batches(Arc::new(Schema::empty()), Vec::new()) }
    }

    /// The result of a statement that changed `rows` rows, with what RETURNING gives of them.
    pub(crate) fn returned(returned: Option<(SchemaRef, Vec<RecordBatch>)>, rows: u64) -> Self {
        match returned {
            None => Self::changed(rows),
            Some((schema, batches)) => Self { changed: rows, ..Self::batches(schema, batches) },
        }
    }

    /// The same result, whose errors get their place.
    pub(crate) fn with_place(mut self, place: Place) -> Self {
        self.place = place;
        self
    }

    /// A result of text columns.
    pub(crate) fn texts(columns: Vec<(&str, Vec<Option<String>>)>) -> Result<Self> {
        let field = |(name, _): &(&str, _)| Field::new(*name, DataType::Utf8View, true);
        let schema = Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()));
        let rows = columns.first().map_or(0, |(_, values)| values.len());
        let array = |(_, values)| Arc::new(StringViewArray::from_iter(values)) as ArrayRef;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let arrays = columns.into_iter().map(array).collect();
        let batch = RecordBatch::try_new_with_options(Arc::clone(&schema), arrays, &options)
            .map_err(Error::internal)?;
        Ok(Self::batches(schema, vec![batch]))
    }

    /// The columns. Text is `Utf8View`, decimals are `Decimal128`.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// How many rows the statement inserted, updated or deleted; 0 for queries.
    pub fn rows_changed(&self) -> u64 {
        self.changed
    }

    /// A handle that cancels the query; `None` when all rows are at hand.
    pub fn canceller(&self) -> Option<Canceller> {
        match &self.rows {
            Rows::Stream(stream) => Some(Canceller(stream.context().cancel_flag())),
            Rows::Batches(_) => None,
        }
    }

    /// A handle that tells how far the query is; `None` when all rows are at hand.
    pub fn progress(&self) -> Option<Progress> {
        match &self.rows {
            Rows::Stream(stream) => Some(Progress(Arc::clone(stream.context()))),
            Rows::Batches(_) => None,
        }
    }

    /// The next batch if it is there within a time, `Pending` if it is not; for readers that have other things to look
    /// after meanwhile, such as signals.
    pub fn next_within(&mut self, time: Duration) -> Poll<Option<Result<RecordBatch>>> {
        match &mut self.rows {
            Rows::Stream(stream) => {
                stream.next_within(time).map_err(|error| placed(&self.place, error.into()))
            }
            Rows::Batches(batches) => Poll::Ready(batches.next().map(Ok)),
        }
    }
}

fn placed(place: &Place, error: Error) -> Error {
    match place {
        Some(place) => place(error),
        None => error,
    }
}

impl Iterator for QueryResult {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.rows {
            Rows::Stream(stream) => {
                let next = stream.next();
                next.map(|batch| batch.map_err(|error| placed(&self.place, error.into())))
            }
            Rows::Batches(batches) => batches.next().map(Ok),
        }
    }
}
