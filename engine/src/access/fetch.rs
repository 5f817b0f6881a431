//! Rows by their positions, found through an index.
//!
//! Invariant: the rows that are read are all for which the filter may be TRUE, in row order; the filter is applied to
//! them as to any others.
//! Next: `../op/scan.rs`.

use std::sync::Arc;

use stoadb_storage::Prune;

use super::{AccessPath, Candidate, Choice, Cost, Target, cost::cheapest};
use crate::error::Result;

impl Target<'_> {
    /// The positions of the rows to be read, ascending, where an index is the cheapest way to them; `answered` where
    /// statistics may stand for the rows of whole blocks.
    ///
    /// # Errors
    /// `Internal` when an index and its relation do not fit together.
    pub(crate) fn fetch(&self, learnt: &[Prune], answered: bool) -> Result<Option<Arc<[u64]>>> {
        let Some(prune) = self.fetch_prune(learnt) else { return Ok(None) };
        let Some((candidate, cost)) = self.fetch_candidate(&prune)? else { return Ok(None) };
        let forced = self.path == AccessPath::Index;
        if !forced
            && cost.nanos() > self.scan_alternative(&prune, candidate.count(), answered).nanos()
        {
            return Ok(None);
        }
        let rows = candidate.index.rows_in(&candidate.ranges.ranges);
        candidate.charge_search(self.ledger, candidate.ranges.ranges.len());
        super::cost::charge(
            self.ledger,
            candidate.definition.keys[0].column,
            rows.len() as u64 * 4,
        );
        Ok(Some(rows.into()))
    }

    /// The choice, for EXPLAIN; `None` without an index that can serve.
    ///
    /// # Errors
    /// As `fetch`.
    pub(crate) fn explain_fetch(&self) -> Result<Option<Choice>> {
        let Some(prune) = self.fetch_prune(&[]) else { return Ok(None) };
        let Some((candidate, cost)) = self.fetch_candidate(&prune)? else { return Ok(None) };
        let scan = self.scan_alternative(&prune, candidate.count(), false);
        let forced = self.path == AccessPath::Index;
        let name = format!("{}, {} rows", candidate.name(), candidate.count());
        let mut ways = vec![(name, cost), ("scan".into(), scan)];
        if !forced && cost.nanos() > scan.nanos() {
            ways.reverse();
        }
        Ok(Some(Choice { ways, forced }))
    }

    /// What is known of the rows that are wanted.
    fn fetch_prune(&self, learnt: &[Prune]) -> Option<Prune> {
        if !self.path.allows_indexes() {
            return None;
        }
        self.plan.prune_with(learnt)
    }

    fn fetch_candidate(&self, prune: &Prune) -> Result<Option<(Candidate<'_>, Cost)>> {
        let candidates = self.candidates(Some(prune))?;
        let cost = |candidate: &Candidate<'_>| {
            let search = candidate.search_cost();
            Ok(Some(search.plus(self.fetch_cost(candidate.count()))))
        };
        cheapest(candidates, cost)
    }

    fn scan_alternative(&self, prune: &Prune, kept: u64, answered: bool) -> Cost {
        let judged = self.judge(Some(prune));
        match answered {
            true => self.statistics_cost(judged),
            false => self.scan_cost(judged.read, Some(kept)),
        }
    }
}
