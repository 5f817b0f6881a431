//! Ways to what a plan asks of a scan: statistics of blocks, an index, or the rows.
//!
//! Invariants: a way is chosen when a plan is opened, so that it fits the values of parameters and the version of the
//! table; the choice depends on these and the settings alone. Whatever is chosen, rows and exact values are the same;
//! groups may come in another order, and sums of floats are rounded as ARCHITECTURE.md says.
//! Next: `cost.rs` (what a way costs), `answer.rs` (aggregates), `fetch.rs` (rows; `sets.rs`, `covered.rs` and `lookup.rs`
//! are ways to them), `order.rs` (the first of sorted rows; `walk.rs` where a filter leaves some out), `buckets.rs` (groups of the key).

use std::{cell::OnceCell, sync::Arc};

use stoadb_storage::{
    Prune, Relation, ScanLedger,
    index::{Index, KeyRanges},
    table::{IndexDefinition, TableIndex},
};

use crate::{context::QueryContext, error::Result, plan::ScanPlan};

pub(crate) use self::{
    cost::{Choice, Cost},
    covered::Covered,
    fetch::Found,
    lookup::{Keys, MOST_KEYS},
    order::sorted_scan,
    walk::{Walk, extreme_keys},
};

mod answer;
mod asked;
mod buckets;
mod cost;
mod covered;
mod fetch;
mod lookup;
mod monotone;
mod order;
mod sets;
mod values;
mod walk;

/// Which ways may be taken. No answer depends on it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AccessPath {
    /// The cheapest one, as estimated.
    #[default]
    Auto,
    /// An index wherever one can serve.
    Index,
    /// Rows only, in the blocks that may hold a match.
    Scan,
    /// Statistics wherever they suffice, and no index.
    Statistics,
}

impl AccessPath {
    /// Whether indexes are asked at all.
    pub(crate) fn allows_indexes(self) -> bool {
        matches!(self, Self::Auto | Self::Index)
    }

    /// Whether statistics may stand for rows.
    pub(crate) fn allows_statistics(self) -> bool {
        self != Self::Scan
    }
}

/// A scan and what a way to its rows is chosen by.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) plan: &'a ScanPlan,
    pub(crate) relation: &'a dyn Relation,
    pub(crate) ledger: &'a Arc<ScanLedger>,
    pub(crate) path: AccessPath,
    pub(crate) use_statistics: bool,
}

/// An index with the ranges of keys that a scan's filter leaves.
pub(crate) struct Candidate<'a> {
    pub(crate) definition: &'a IndexDefinition,
    pub(crate) index: Arc<Index>,
    pub(crate) ranges: KeyRanges,
    /// How many entries lie in the ranges, once somebody asked.
    count: OnceCell<u64>,
}

impl<'a> Target<'a> {
    /// The scan of a plan in a running query.
    ///
    /// # Errors
    /// `Internal` when the plan names a relation that the statement does not have.
    pub(crate) fn new(plan: &'a ScanPlan, context: &'a QueryContext) -> Result<Self> {
        let (relation, ledger) = context.relation(plan.relation)?;
        let settings = context.settings();
        let (path, use_statistics) = (settings.access_path, settings.use_statistics);
        Ok(Self { plan, relation: relation.as_ref(), ledger, path, use_statistics })
    }

    /// The indexes that a predicate leaves ranges of. Without a predicate each with all of its entries.
    ///
    /// # Errors
    /// `Internal` when an index and its relation do not fit together.
    pub(crate) fn candidates(&self, prune: Option<&Prune>) -> Result<Vec<Candidate<'a>>> {
        let mut candidates = Vec::new();
        if !self.path.allows_indexes() {
            return Ok(candidates);
        }
        for known in self.relation.indexes() {
            let definition = known.definition().as_ref();
            let ranges = match prune {
                None => Some(KeyRanges::all()),
                Some(prune) => {
                    let keys: Vec<usize> = definition.keys.iter().map(|key| key.column).collect();
                    known.spec().ranges(&keys, prune)?
                }
            };
            if let Some(ranges) = ranges
                && let Some(index) = self.entries(known)?
            {
                candidates.push(Candidate { definition, index, ranges, count: OnceCell::new() });
            }
        }
        Ok(candidates)
    }

    /// An index's entries. Whoever made an index waits for it to be built after a database was opened; the index of a
    /// constraint is built for the sake of reading only if a setting asks for it.
    fn entries(&self, known: &TableIndex) -> Result<Option<Arc<Index>>> {
        match known.built() {
            Some(index) => Ok(Some(index)),
            None if known.definition().is_constraint() && self.path == AccessPath::Auto => Ok(None),
            None => Ok(Some(known.index()?)),
        }
    }
}

impl Candidate<'_> {
    /// Charges what the searches in the ranges touch to the first key column.
    pub(crate) fn charge_search(&self, ledger: &ScanLedger, searches: usize) {
        let bytes = self.index.nodes() * cost::LINE * searches as u64;
        cost::charge(ledger, self.definition.keys[0].column, bytes);
    }

    /// How the index and its ranges are called in EXPLAIN.
    pub(crate) fn name(&self) -> String {
        let name = self.definition.name.as_deref().unwrap_or("of the key");
        match self.ranges.ranges.len() {
            1 => format!("index {name} over 1 range"),
            n => format!("index {name} over {n} ranges"),
        }
    }

    /// How many entries lie in the ranges.
    pub(crate) fn count(&self) -> u64 {
        *self.count.get_or_init(|| {
            let count = |range| self.index.view(range).count();
            self.ranges.ranges.iter().map(count).sum()
        })
    }

    /// What finding the ranges costs.
    pub(crate) fn search_cost(&self) -> Cost {
        Cost { misses: self.index.nodes() * self.ranges.ranges.len() as u64, bytes: 0 }
    }
}
