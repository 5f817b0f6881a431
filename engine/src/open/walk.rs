//! The first rows that pass a filter, in the order of an index: read piece by piece until there are enough.
//!
//! Invariants: the rows that are found are all up to a place in the order, so that whoever filters and sorts them has the
//! first ones; a walk that would take too long is given up for what else there is. An error of the filter is left to the
//! reading that follows.
//! Next: `../access/order.rs`.

use std::sync::Arc;

use super::Opener;
use crate::{
    access::{Target, Walk},
    context::QueryContext,
    error::{EngineError, Result},
    op::{
        Source,
        scan::{Learnt, TableScan},
    },
    plan::{ScanPlan, SortKey},
};

impl Opener {
    /// The positions, ascending, of rows of a scan among which are the first `limit` ones that pass its filter, in each of
    /// some orders; `None` where no index is a cheap way to them. Tried once for each scan, whose number is `node`.
    pub(super) fn walk_once(
        &mut self,
        target: &Target<'_>,
        node: usize,
        orders: &[&[SortKey]],
        limit: u64,
        answered: bool,
    ) -> Result<Option<Arc<[u64]>>> {
        if orders.is_empty() || self.walked.contains(&node) {
            return Ok(None);
        }
        let mut all = Vec::new();
        for keys in orders {
            let rows = match target.walk(keys, limit, answered)? {
                Some(walk) => found(&self.context, target.plan, walk)?,
                None => None,
            };
            let Some(rows) = rows else {
                self.walked.insert(node);
                return Ok(None);
            };
            all.extend(rows);
        }
        all.sort_unstable();
        all.dedup();
        Ok(Some(all.into()))
    }
}

/// The rows of a walk; `None` when it is given up.
fn found(
    context: &Arc<QueryContext>,
    plan: &ScanPlan,
    mut walk: Walk<'_>,
) -> Result<Option<Vec<u64>>> {
    let mut all = Vec::new();
    while let Some(mut rows) = walk.piece() {
        context.check()?;
        rows.sort_unstable();
        match kept(context, plan, &rows) {
            Ok(kept) => walk.note(kept),
            Err(error @ (EngineError::Cancelled | EngineError::Timeout(_))) => return Err(error),
            Err(_) => return Ok(None),
        }
        all.extend(rows);
    }
    Ok(walk.is_done().then_some(all))
}

/// How many of some rows pass the filter.
fn kept(context: &Arc<QueryContext>, plan: &ScanPlan, rows: &[u64]) -> Result<u64> {
    let plan = ScanPlan { projection: Vec::new(), ..plan.clone() };
    let most = context.settings().vector_size;
    let scan = TableScan::open(&plan, Learnt::default(), Some(rows.into()), most, context)?;
    let mut source = scan.local(context)?;
    let mut count = 0;
    for morsel in 0..scan.morsels() {
        source.begin(morsel)?;
        while let Some(batch) = source.next()? {
            count += batch.len() as u64;
        }
    }
    Ok(count)
}
