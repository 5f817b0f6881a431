//! Rows found through indexes: by their positions, or made of an index alone.
//!
//! Invariant: the rows that are read are all for which the filter may be TRUE, in row order; the filter is applied to
//! them as to any others.
//! Next: `sets.rs` (positions), `covered.rs` (rows of an index alone), `../op/scan.rs`.

use std::{rc::Rc, sync::Arc};

use stoadb_storage::Prune;

use super::{
    AccessPath, Candidate, Choice, Cost, Target, covered::Covered, lookup::Keys, sets::Rows,
};
use crate::error::Result;

/// The rows that a scan reads.
#[derive(Clone)]
pub(crate) enum Found {
    /// Those at some positions, ascending.
    Rows(Arc<[u64]>),
    /// Those of an index's entries.
    Entries(Arc<Covered>),
}

impl Found {
    /// How many rows.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Rows(rows) => rows.len(),
            Self::Entries(covered) => covered.rows(),
        }
    }
}

/// A way to rows.
enum Way<'a> {
    Rows(Rows<'a>),
    Cover(Rc<Candidate<'a>>),
}

impl Way<'_> {
    fn count(&self) -> u64 {
        match self {
            Self::Rows(rows) => rows.count,
            Self::Cover(candidate) => candidate.count(),
        }
    }

    fn is_estimated(&self) -> bool {
        matches!(self, Self::Rows(rows) if rows.is_estimated())
    }

    fn name(&self) -> String {
        match self {
            Self::Rows(rows) if rows.is_estimated() => {
                format!("{}, about {} rows", rows.name(), rows.count)
            }
            Self::Rows(rows) => format!("{}, {} rows", rows.name(), rows.count),
            Self::Cover(candidate) => {
                format!("{} alone, {} rows", candidate.name(), candidate.count())
            }
        }
    }
}

impl<'a> Target<'a> {
    /// The rows to be read, where indexes are the cheapest way to them; `learnt` and `keys` are what joins know of rows that
    /// matter, `answered` says that statistics may stand for the rows of whole blocks.
    ///
    /// # Errors
    /// `Internal` when an index and its relation do not fit together.
    pub(crate) fn fetch(
        &self,
        learnt: &[Prune],
        keys: &[Keys],
        answered: bool,
    ) -> Result<Option<Found>> {
        let prune = self.plan.prune_with(learnt);
        let Some((way, cost)) = self.way(prune.as_ref(), keys)? else { return Ok(None) };
        // What a scan costs even if its statistics leave nothing to be read.
        let least = self.scan_cost(0, Some(0)).nanos();
        let limit = match self.path {
            AccessPath::Index => u64::MAX,
            // To ask them would cost more than to read the rows.
            _ if cost.nanos() <= least && !way.is_estimated() => least,
            _ if keys.is_empty() => {
                let kept = if learnt.is_empty() { way.count() } else { self.relation.rows() };
                self.scan_alternative(prune.as_ref(), kept, answered).nanos()
            }
            _ => self.joined_scan_cost(prune.as_ref()).nanos(),
        };
        if cost.nanos() > limit {
            return Ok(None);
        }
        Ok(match way {
            Way::Cover(candidate) => {
                self.covered(&candidate).map(|covered| Found::Entries(Arc::new(covered)))
            }
            Way::Rows(set) => {
                let rows = self.positions(&set);
                // Conditions that go together leave more rows than was thought.
                let fits = self.fetch_cost(rows.len() as u64).nanos() <= limit;
                (fits || !set.is_estimated()).then(|| Found::Rows(rows.into()))
            }
        })
    }

    /// The choice, for EXPLAIN; `None` without an index that can serve.
    ///
    /// # Errors
    /// As `fetch`.
    pub(crate) fn explain_fetch(&self) -> Result<Option<Choice>> {
        let prune = self.plan.prune.as_ref();
        let Some((way, cost)) = self.way(prune, &[])? else { return Ok(None) };
        let scan = self.scan_alternative(prune, way.count(), false);
        let forced = self.path == AccessPath::Index;
        let mut ways = vec![(way.name(), cost), ("scan".into(), scan)];
        if !forced && cost.nanos() > scan.nanos() {
            ways.reverse();
        }
        Ok(Some(Choice { ways, forced }))
    }

    /// The cheapest way through indexes.
    fn way(&self, prune: Option<&Prune>, keys: &[Keys]) -> Result<Option<(Way<'a>, Cost)>> {
        if !self.path.allows_indexes() || (prune.is_none() && keys.is_empty()) {
            return Ok(None);
        }
        let candidates = self.candidates_of(prune, keys)?;
        let cover = self.cover(&candidates)?;
        let set = self.row_set(candidates, prune, keys)?;
        let set = set.map(|set| {
            let cost = self.set_cost(&set);
            (Way::Rows(set), cost)
        });
        Ok(match (cover, set) {
            (Some((_, cost)), Some((set, other))) if other.nanos() < cost.nanos() => {
                Some((set, other))
            }
            (Some((candidate, cost)), _) => Some((Way::Cover(candidate), cost)),
            (None, set) => set,
        })
    }

    /// What the scan's rows cost by the cheapest way to all of them.
    ///
    /// # Errors
    /// As `fetch`.
    pub(super) fn other_cost(&self, answered: bool) -> Result<Cost> {
        let prune = self.plan.prune.as_ref();
        let way = self.way(prune, &[])?;
        let scan = self.scan_alternative(prune, self.relation.rows(), answered);
        let ways = way.map(|(_, cost)| cost).into_iter().chain([scan]);
        Ok(ways.min_by_key(|cost| cost.nanos()).unwrap_or(scan))
    }

    fn scan_alternative(&self, prune: Option<&Prune>, kept: u64, answered: bool) -> Cost {
        let judged = self.judge(prune);
        match answered {
            true => self.statistics_cost(judged),
            false => self.scan_cost(judged.read, Some(kept)),
        }
    }
}
