//! Batches that are at hand: VALUES, collected results. One morsel per run of batches.

use std::sync::Arc;

use arrow::array::ArrayRef;
use stoadb_storage::{Scalar, Schema, Vector};

use crate::{
    batch::Batch,
    context::QueryContext,
    error::{EngineError, Result},
    eval,
    expr::Expr,
    op::{LocalSource, Source},
};

/// A source of batches that are at hand.
pub struct Batches {
    morsels: Arc<[Vec<Batch>]>,
}

impl Batches {
    /// A source with the given morsels.
    pub fn new(morsels: Vec<Vec<Batch>>) -> Self {
        Self { morsels: morsels.into() }
    }

    /// The rows of a VALUES list.
    ///
    /// # Errors
    /// Whatever evaluating the expressions raises.
    pub fn from_rows(schema: &Schema, rows: &[Vec<Expr>], context: &QueryContext) -> Result<Self> {
        let batch = |rows: &[Vec<Expr>]| {
            let column = |index: usize| {
                let values = rows.iter().map(|row| eval::constant(&row[index], context));
                concat(&values.collect::<Result<Vec<_>>>()?)
            };
            let columns = (0..schema.len()).map(column).collect::<Result<_>>()?;
            Ok(Batch::new(columns, rows.len()))
        };
        let batches = rows.chunks(context.settings().vector_size).map(batch);
        Ok(Self::new(vec![batches.collect::<Result<_>>()?]))
    }
}

fn concat(values: &[Scalar]) -> Result<Vector> {
    let arrays: Vec<&dyn arrow::array::Array> =
        values.iter().map(|value| value.array() as &dyn arrow::array::Array).collect();
    let array: ArrayRef = arrow::compute::concat(&arrays)
        .map_err(|error| EngineError::Internal(format!("VALUES of mixed types: {error}")))?;
    Ok(Vector::Flat(array))
}

impl Source for Batches {
    fn morsels(&self) -> usize {
        self.morsels.len()
    }

    fn local(&self, _context: &Arc<QueryContext>) -> Result<Box<dyn LocalSource>> {
        Ok(Box::new(LocalBatches { morsels: Arc::clone(&self.morsels), morsel: 0, next: 0 }))
    }
}

struct LocalBatches {
    morsels: Arc<[Vec<Batch>]>,
    morsel: usize,
    next: usize,
}

impl LocalSource for LocalBatches {
    fn begin(&mut self, morsel: usize) -> Result<()> {
        (self.morsel, self.next) = (morsel, 0);
        Ok(())
    }

    fn next(&mut self) -> Result<Option<Batch>> {
        self.next += 1;
        Ok(self.morsels[self.morsel].get(self.next - 1).cloned())
    }
}
