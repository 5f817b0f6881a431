//! The rows of a window operator, with its results beside them.
//!
//! Invariant: a morsel is a chunk of places; the input's columns keep the encoding in which they were held.

use std::sync::Arc;

use stoadb_storage::Vector;

use super::{Output, Window, chunk_range, chunks};
use crate::{
    batch::Batch,
    context::QueryContext,
    error::{EngineError, Result},
    op::{LocalSource, Source},
};

/// The rows of a window, once it is finished.
pub(super) fn source(window: &Arc<Window>) -> Arc<dyn Source> {
    Arc::new(WindowSource(Arc::clone(window)))
}

struct WindowSource(Arc<Window>);

impl Source for WindowSource {
    fn morsels(&self) -> usize {
        self.0.result.get().map_or(0, |output| chunks(output.input.len()).len())
    }

    fn local(&self, context: &Arc<QueryContext>) -> Result<Box<dyn LocalSource>> {
        let missing = || EngineError::Internal("a window was read before it was computed".into());
        let output = Arc::clone(self.0.result.get().ok_or_else(missing)?);
        let (context, width) = (Arc::clone(context), self.0.spec.width);
        Ok(Box::new(LocalWindow { output, context, width, chunk: 0, next: 0 }))
    }
}

struct LocalWindow {
    output: Arc<Output>,
    context: Arc<QueryContext>,
    width: usize,
    chunk: usize,
    /// The next row of the chunk.
    next: usize,
}

impl LocalSource for LocalWindow {
    fn begin(&mut self, morsel: usize) -> Result<()> {
        (self.chunk, self.next) = (morsel, 0);
        Ok(())
    }

    fn next(&mut self) -> Result<Option<Batch>> {
        self.context.check()?;
        let Output { input, results, .. } = &*self.output;
        let chunk = chunk_range(self.chunk, input.len());
        let rows = (chunk.len() - self.next).min(self.context.settings().vector_size.max(1));
        if rows == 0 {
            return Ok(None);
        }
        let first = chunk.start + self.next;
        let order = &input.order[first..first + rows];
        let mut columns = Vec::with_capacity(self.width + results.len());
        for column in 0..self.width {
            columns.push(input.sorted.output(column, order)?);
        }
        let results = results.iter().map(|chunks| chunks[self.chunk].slice(self.next, rows));
        columns.extend(results.map(Vector::Flat));
        self.next += rows;
        Ok(Some(Batch::new(columns, rows)))
    }
}
