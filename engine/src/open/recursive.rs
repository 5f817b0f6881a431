//! Recursive queries: a plan that reads its own rows, run again on the rows of its last run until there are none.
//!
//! Invariants: rows come base first, then run by run; with `distinct` a row that came before, in any run, is left out.
//! Which rows are equal is what GROUP BY says. Everything that was collected stays charged while the result lives.

use std::sync::Arc;

use stoadb_storage::Selection;

use super::Opener;
use crate::{
    agg::table::KeyTable,
    batch::Batch,
    context::{QueryContext, Reservation},
    error::Result,
    kernel::key::{KeyLayout, Keys},
    op::{LocalSource, Source, values::Batches},
    plan::RecursivePlan,
    result::Bounds,
};

impl Opener {
    /// Runs a recursive query whose number is `node`; gives all of its rows.
    pub(super) fn recursive(
        &mut self,
        plan: &RecursivePlan,
        node: usize,
    ) -> Result<Arc<dyn Source>> {
        let step = node + 1 + plan.base.node_count();
        let mut seen = plan.distinct.then(|| Seen::new(plan)).transpose()?;
        let mut collected = self.collect(&plan.base, node + 1, Bounds::ALL)?;
        let (mut morsels, mut kept, mut rows) = (Vec::new(), Vec::new(), 0);
        loop {
            self.context.check()?;
            let mut batches = collected.batches();
            if let Some(seen) = &mut seen {
                batches = seen.new_rows(batches)?;
            }
            let fresh: u64 = batches.iter().map(|batch| batch.len() as u64).sum();
            kept.extend(collected.take_reservations());
            if fresh == 0 {
                break;
            }
            rows += fresh;
            morsels.push(batches.clone());
            if plan.limit.is_some_and(|limit| rows >= limit) {
                break;
            }
            self.work.insert(plan.id, Arc::new(Batches::new(vec![batches])));
            collected = self.collect(&plan.step, step, Bounds::ALL)?;
        }
        self.work.remove(&plan.id);
        Ok(Arc::new(Rows { batches: Batches::new(morsels), _kept: kept }))
    }
}

/// All rows, and what keeps them charged.
struct Rows {
    batches: Batches,
    _kept: Vec<Reservation>,
}

impl Source for Rows {
    fn morsels(&self) -> usize {
        self.batches.morsels()
    }

    fn local(&self, context: &Arc<QueryContext>) -> Result<Box<dyn LocalSource>> {
        self.batches.local(context)
    }
}

/// The rows that came before.
struct Seen {
    layout: KeyLayout,
    table: KeyTable,
}

impl Seen {
    fn new(plan: &RecursivePlan) -> Result<Self> {
        let columns: Vec<_> =
            plan.schema.columns.iter().map(|column| (column.ty.clone(), true)).collect();
        let layout = KeyLayout::new(&columns)?;
        Ok(Self { table: KeyTable::new(layout.width()), layout })
    }

    /// The rows that have not come before.
    fn new_rows(&mut self, batches: Vec<Batch>) -> Result<Vec<Batch>> {
        let (mut hashes, mut ids) = (Vec::new(), Vec::new());
        let mut fresh = Vec::with_capacity(batches.len());
        for batch in batches {
            let mut keys = Keys::new(self.layout.width());
            self.layout.pack(&batch.columns, batch.rows, &mut keys)?;
            keys.hashes(&mut hashes);
            let mut next = self.table.len() as u32;
            self.table.insert(&keys, &hashes, 0..batch.rows as u32, &mut ids);
            // Numbers are given out in order: a new row has the next one.
            let is_new = |row: &u32| {
                let new = ids[*row as usize] == next;
                next += u32::from(new);
                new
            };
            let rows: Vec<u32> = (0..batch.rows as u32).filter(is_new).collect();
            if !rows.is_empty() {
                fresh.push(batch.refine(Selection::new(rows)).compact()?);
            }
        }
        Ok(fresh)
    }
}
