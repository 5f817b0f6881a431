//! Sorted rows of which a filter leaves out some: the index is read in its order, a piece at a time, until enough rows have
//! passed.
//!
//! Invariants: every piece goes on where the last one ended. How many rows pass is not known before; a walk is given up
//! as soon as what has passed so far shows that it would cost more than a part of what else there is.
//! Next: `../open/walk.rs`, which filters the pieces.

use std::cell::OnceCell;

use stoadb_storage::{LogicalType, index::KeyRanges};

use super::{AccessPath, Candidate, Choice, Cost, Target, order::Sorted};
use crate::{
    error::Result,
    expr::Expr,
    plan::{AggregateCall, AggregateFunction, SortKey},
};

/// Rows of the first piece, at least.
const FIRST: u64 = 256;
/// A walk may cost one in so many parts of what else there is.
const PART: u64 = 4;

/// A walk through an index.
pub(crate) struct Walk<'a> {
    sorted: Sorted<'a>,
    /// How many rows have to pass.
    limit: u64,
    /// How many rows may be read, and have been.
    most: u64,
    walked: u64,
    /// How many rows have passed.
    kept: u64,
    /// How many rows are read next; 0 once the walk is over.
    next: u64,
}

impl Walk<'_> {
    /// The positions of the next rows, in the order of the walk; `None` when it is over or given up.
    pub(crate) fn piece(&mut self) -> Option<Vec<u64>> {
        if self.next == 0 {
            return None;
        }
        let rows = self.sorted.rows(self.walked, self.next);
        self.walked += rows.len() as u64;
        if rows.is_empty() { None } else { Some(rows) }
    }

    /// Notes how many rows of the last piece have passed.
    pub(crate) fn note(&mut self, kept: u64) {
        self.kept += kept;
        if self.is_done() {
            self.next = 0;
            return;
        }
        let missing = u128::from(self.limit - self.kept);
        let rows = missing * u128::from(self.walked) / u128::from(self.kept.max(1));
        let rows = u64::try_from(rows).unwrap_or(u64::MAX);
        let fits = self.walked.saturating_add(rows) <= self.most;
        let size = rows.saturating_add(rows / 4).clamp(FIRST, self.walked.saturating_mul(4));
        self.next = if fits { size } else { 0 };
    }

    /// Whether enough rows have passed, or all rows have been read.
    pub(crate) fn is_done(&self) -> bool {
        self.kept >= self.limit || self.walked >= self.sorted.candidate.count()
    }
}

/// The orders whose first rows tell the aggregates, where these are bounds of columns; else none.
pub(crate) fn extreme_keys(calls: &[AggregateCall]) -> Vec<SortKey> {
    let key = |call: &AggregateCall| {
        let descending = match call.function {
            AggregateFunction::Min => false,
            AggregateFunction::Max => true,
            _ => return None,
        };
        let [expr @ Expr::Column { ty, .. }] = call.args.as_slice() else { return None };
        // Of equal values of these types the answer may be another one.
        let plain = !ty.is_float() && *ty != LogicalType::Interval;
        let bare = call.filter.is_none() && call.parameters.is_empty() && call.order_by.is_empty();
        (plain && bare).then(|| SortKey { expr: expr.clone(), descending, nulls_first: false })
    };
    calls.iter().map(key).collect::<Option<_>>().unwrap_or_default()
}

impl<'a> Target<'a> {
    /// A walk to the first `limit` rows that pass the filter, sorted by columns of the scan, where an index may be a cheap
    /// way to them; `answered` where statistics may stand for the rows of whole blocks.
    ///
    /// # Errors
    /// `Internal` when an index and its relation do not fit together.
    pub(crate) fn walk(
        &self,
        keys: &[SortKey],
        limit: u64,
        answered: bool,
    ) -> Result<Option<Walk<'a>>> {
        if self.plan.filter.is_none() || limit == 0 {
            return Ok(None);
        }
        let mut best: Option<Sorted<'a>> = None;
        for candidate in self.ordered()? {
            // `first` has these.
            let known = self.plan.is_judged() && candidate.ranges.exact;
            if !known
                && best.as_ref().is_none_or(|best| candidate.count() < best.candidate.count())
                && let Some(sorted) = self.sorted_by(keys, candidate)?
            {
                best = Some(sorted);
            }
        }
        let Some(sorted) = best else { return Ok(None) };
        let most = match self.path {
            AccessPath::Index => u64::MAX,
            _ => self.affordable(self.other_cost(answered)?),
        };
        let next = FIRST.max(limit);
        let walk = Walk { sorted, limit, most, walked: 0, kept: 0, next };
        Ok((next <= most).then_some(walk))
    }

    /// The choice, for EXPLAIN; `None` where no index is in the order.
    ///
    /// # Errors
    /// As `walk`.
    pub(crate) fn explain_walk(
        &self,
        orders: &[&[SortKey]],
        limit: u64,
        answered: bool,
    ) -> Result<Option<Choice>> {
        let (mut names, mut all) = (Vec::new(), Cost::default());
        for keys in orders {
            let Some(walk) = self.walk(keys, limit, answered)? else { return Ok(None) };
            let name = walk.sorted.candidate.name();
            if !names.contains(&name) {
                names.push(name);
            }
            all = all.plus(walk.sorted.candidate.search_cost()).plus(self.fetch_cost(walk.next));
        }
        if names.is_empty() {
            return Ok(None);
        }
        let rows = if limit == 1 { "a row passes".into() } else { format!("{limit} rows pass") };
        let name = format!("{} in order until {rows}", names.join(", "));
        let other = self.other_cost(answered)?;
        let forced = self.path == AccessPath::Index;
        Ok(Some(Choice { ways: vec![(name, all), ("others".into(), other)], forced }))
    }

    /// How many rows may be read for a part of a cost.
    fn affordable(&self, cost: Cost) -> u64 {
        const MANY: u64 = 1 << 12;
        let pipeline = Cost::pipeline().nanos();
        let each = (self.fetch_cost(MANY).nanos() - pipeline).max(MANY);
        u64::try_from(
            u128::from((cost.nanos() / PART).saturating_sub(pipeline)) * u128::from(MANY)
                / u128::from(each),
        )
        .unwrap_or(u64::MAX)
    }

    /// All indexes with what the predicate leaves of them.
    fn ordered(&self) -> Result<Vec<Candidate<'a>>> {
        let mut candidates = Vec::new();
        if !self.path.allows_indexes() {
            return Ok(candidates);
        }
        for known in self.relation.indexes() {
            let definition = known.definition().as_ref();
            let keys: Vec<usize> = definition.keys.iter().map(|key| key.column).collect();
            let ranges = match &self.plan.prune {
                Some(prune) => known.spec().ranges(&keys, prune)?,
                None => None,
            };
            let ranges = ranges.unwrap_or(KeyRanges { exact: false, ..KeyRanges::all() });
            if let Some(index) = self.entries(known)? {
                candidates.push(Candidate { definition, index, ranges, count: OnceCell::new() });
            }
        }
        Ok(candidates)
    }
}
