//! The source of an aggregation's result.
//!
//! Invariant: a morsel is a fixed range of a set's groups in output order.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef},
    compute,
};
use stoadb_storage::{BLOCK_ROWS, Vector};

use super::{Shared, merge::SetOutput};
use crate::{
    batch::Batch,
    context::QueryContext,
    error::{EngineError, Result},
    op::{LocalSource, Source},
};

pub(super) struct AggregateSource {
    shared: Arc<Shared>,
}

impl AggregateSource {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::clone(shared) }
    }
}

impl Source for AggregateSource {
    fn morsels(&self) -> usize {
        let sets = self.shared.result.get().map(|output| output.sets.as_slice());
        sets.unwrap_or_default().iter().map(|set| set.rows.div_ceil(BLOCK_ROWS)).sum()
    }

    fn local(&self, context: &Arc<QueryContext>) -> Result<Box<dyn LocalSource>> {
        Ok(Box::new(LocalAggregateSource {
            shared: Arc::clone(&self.shared),
            vector_size: context.settings().vector_size.max(1),
            columns: Vec::new(),
            rows: 0,
            next: 0,
        }))
    }
}

struct LocalAggregateSource {
    shared: Arc<Shared>,
    vector_size: usize,
    columns: Vec<Vector>,
    rows: usize,
    next: usize,
}

impl LocalSource for LocalAggregateSource {
    fn begin(&mut self, morsel: usize) -> Result<()> {
        let output = self.shared.result.get();
        let output =
            output.ok_or_else(|| EngineError::Internal("no aggregate result yet".into()))?;
        let mut morsel = morsel;
        for set in &output.sets {
            let morsels = set.rows.div_ceil(BLOCK_ROWS);
            if morsel < morsels {
                let start = morsel * BLOCK_ROWS;
                self.rows = BLOCK_ROWS.min(set.rows - start);
                self.columns = self.shared.vectors(&gather(set, start, self.rows)?)?;
                self.next = 0;
                return Ok(());
            }
            morsel -= morsels;
        }
        Err(EngineError::Internal("an aggregate result has no such morsel".into()))
    }

    fn next(&mut self) -> Result<Option<Batch>> {
        let rows = self.vector_size.min(self.rows - self.next);
        if rows == 0 {
            return Ok(None);
        }
        let slice = |column: &Vector| column.slice(self.next, rows);
        let columns = self.columns.iter().map(slice).collect();
        self.next += rows;
        Ok(Some(Batch::new(columns, rows)))
    }
}

impl Shared {
    /// The output's columns, with the values of texts and blobs in place of their numbers.
    fn vectors(&self, columns: &[ArrayRef]) -> Result<Vec<Vector>> {
        let texts = self.group_texts.iter().copied().chain(std::iter::repeat(None));
        let vector = |(column, texts): (&ArrayRef, Option<usize>)| match texts
            .and_then(|texts| self.texts.get(texts))
        {
            Some(texts) => texts.strings(column),
            None => Ok(Vector::Flat(Arc::clone(column))),
        };
        columns.iter().zip(texts).map(vector).collect()
    }
}

/// The columns of a range of output rows.
fn gather(set: &SetOutput, start: usize, rows: usize) -> Result<Vec<ArrayRef>> {
    let Some(order) = &set.order else {
        let columns = set.partitions.first().map(Vec::as_slice).unwrap_or_default();
        return Ok(columns.iter().map(|column| column.slice(start, rows)).collect());
    };
    let places = &order[start..start + rows];
    let places: Vec<(usize, usize)> =
        places.iter().map(|&(partition, row)| (partition as usize, row as usize)).collect();
    let width = set.partitions.first().map_or(0, Vec::len);
    let column = |column: usize| {
        let parts: Vec<&dyn Array> = set.partitions.iter().map(|p| p[column].as_ref()).collect();
        compute::interleave(&parts, &places)
            .map_err(|error| EngineError::Internal(error.to_string()))
    };
    (0..width).map(column).collect()
}
