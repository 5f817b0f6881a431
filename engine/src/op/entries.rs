//! Entries: a scan's rows made of an index alone.
//!
//! Invariant: rows come in the order of the table, in morsels of as many as a block has; the filter sees the columns that
//! it names, and the others are read for the rows that it keeps.
//! Next: `../access/covered.rs`.

use std::{
    ops::Range,
    sync::{Arc, atomic::Ordering},
};

use stoadb_storage::{BLOCK_ROWS, LocalRowFilter, RowFilter, Selection, Vector, index::Place};

use crate::{
    access::Covered,
    batch::Batch,
    context::QueryContext,
    error::Result,
    op::{LocalSource, Source, scan::row_filter},
    plan::ScanPlan,
};

/// A scan of entries.
pub struct EntryScan {
    covered: Arc<Covered>,
    projection: Arc<[usize]>,
    filter: Option<Arc<dyn RowFilter>>,
    vector_rows: usize,
}

impl EntryScan {
    /// A scan of the entries that were found for a plan, in vectors of at most `vector_rows` rows.
    ///
    /// # Errors
    /// When the filter does not compile.
    pub(crate) fn new(
        plan: &ScanPlan,
        covered: Arc<Covered>,
        vector_rows: usize,
        context: &QueryContext,
    ) -> Result<Self> {
        let filter = row_filter(plan, Vec::new(), context)?;
        context.progress().rows_total.fetch_add(covered.rows() as u64, Ordering::Relaxed);
        Ok(Self { covered, projection: plan.projection.as_slice().into(), filter, vector_rows })
    }
}

impl Source for EntryScan {
    fn morsels(&self) -> usize {
        self.covered.rows().div_ceil(BLOCK_ROWS)
    }

    fn local(&self, context: &Arc<QueryContext>) -> Result<Box<dyn LocalSource>> {
        let filter = self.filter.as_ref().map(|filter| (filter.columns().to_vec(), filter.local()));
        let filter = match filter {
            Some((columns, filter)) => Some((columns, filter?)),
            None => None,
        };
        Ok(Box::new(LocalEntries {
            covered: Arc::clone(&self.covered),
            projection: Arc::clone(&self.projection),
            filter,
            context: Arc::clone(context),
            vector_rows: self.vector_rows.max(1),
            left: 0..0,
        }))
    }
}

struct LocalEntries {
    covered: Arc<Covered>,
    projection: Arc<[usize]>,
    /// With its columns.
    filter: Option<(Vec<usize>, Box<dyn LocalRowFilter>)>,
    context: Arc<QueryContext>,
    vector_rows: usize,
    /// What is left of the morsel.
    left: Range<usize>,
}

impl LocalSource for LocalEntries {
    fn begin(&mut self, morsel: usize) -> Result<()> {
        let start = morsel * BLOCK_ROWS;
        self.left = start..(start + BLOCK_ROWS).min(self.covered.rows());
        Ok(())
    }

    fn next(&mut self) -> Result<Option<Batch>> {
        while !self.left.is_empty() {
            let start = self.left.start;
            self.left.start = self.left.end.min(start + self.vector_rows);
            let rows = start..self.left.start;
            self.context.progress().rows_done.fetch_add(rows.len() as u64, Ordering::Relaxed);
            if let Some(batch) = self.batch(rows)? {
                return Ok(Some(batch));
            }
        }
        Ok(None)
    }
}

impl LocalEntries {
    /// Rows of one vector; `None` where the filter keeps none.
    fn batch(&mut self, rows: Range<usize>) -> Result<Option<Batch>> {
        let covered = Arc::clone(&self.covered);
        let places = &covered.places()[rows];
        let (mut known, mut kept) = (Vec::new(), None);
        if let Some((columns, filter)) = &mut self.filter {
            known = vectors(&covered, columns, places)?;
            let vectors: Vec<Vector> = known.iter().map(|(_, vector)| vector.clone()).collect();
            kept = filter.select(&vectors, places.len())?;
        }
        let chosen: Vec<Place>;
        let places = match &kept {
            None => places,
            Some(kept) if kept.is_empty() => return Ok(None),
            Some(kept) => {
                chosen = kept.rows().iter().map(|&row| places[row as usize]).collect();
                &chosen
            }
        };
        let column = |column: &usize| match known.iter().find(|(other, _)| other == column) {
            Some((_, vector)) => selected(vector, kept.as_ref()),
            None => Ok(Vector::Flat(covered.read(*column, places)?)),
        };
        let columns = self.projection.iter().map(column).collect::<Result<Vec<_>>>()?;
        Ok(Some(Batch::new(columns, places.len())))
    }
}

fn vectors(covered: &Covered, columns: &[usize], places: &[Place]) -> Result<Vec<(usize, Vector)>> {
    let vector = |&column: &usize| Ok((column, Vector::Flat(covered.read(column, places)?)));
    columns.iter().map(vector).collect()
}

fn selected(vector: &Vector, kept: Option<&Selection>) -> Result<Vector> {
    match kept {
        None => Ok(vector.clone()),
        Some(kept) => Ok(vector.select(kept)?),
    }
}
