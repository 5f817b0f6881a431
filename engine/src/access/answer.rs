//! Aggregates from an index: counts, sums, variances, bounds, distinct keys and quantiles of ranges of keys.
//!
//! Invariants: only where the ranges are all that the filter says. Exact values are those that the rows would give;
//! sums of doubles are the exact sum rounded once. A result that cannot be formed from what the index knows is left to
//! the rows, which also raise the errors.
//! Next: `asked.rs`, what is asked; `values.rs`, what the index knows.

use std::sync::Arc;

use arrow::array::ArrayRef;
use stoadb_storage::{Vector, index::KeyRange};

use super::{
    AccessPath, Candidate, Choice, Cost, Target,
    asked::Asked,
    cost::{LINE, charge, cheapest},
};
use crate::{
    batch::Batch,
    error::Result,
    op::{Source, aggregate::statistics::can_answer, values::Batches},
    plan::AggregateCall,
};

impl<'a> Target<'a> {
    /// The aggregates of all rows of the scan, where an index is the cheapest way to them: one row.
    ///
    /// # Errors
    /// `Internal` when an index and its relation do not fit together; `Value` when a result does not fit its type.
    pub(crate) fn answer(&self, calls: &[AggregateCall]) -> Result<Option<Arc<dyn Source>>> {
        let Some((candidate, asked, cost)) = self.answerer(calls)? else { return Ok(None) };
        // What statistics or a scan cost at least.
        if self.path == AccessPath::Auto && cost.nanos() > Cost::pipeline().nanos() {
            let (_, other) = self.answer_alternative(calls);
            if other.nanos() < cost.nanos() {
                return Ok(None);
            }
        }
        let ranges: &[KeyRange] = &candidate.ranges.ranges;
        let Some(columns) = asked.answer(&candidate, &[ranges])? else { return Ok(None) };
        candidate.charge_search(self.ledger, ranges.len());
        asked.charge(&candidate, ranges.len(), |column, lines| {
            charge(self.ledger, column, lines * LINE);
        });
        Ok(Some(one_batch(columns, 1)))
    }

    /// The choice, for EXPLAIN; `None` without an index that can answer.
    ///
    /// # Errors
    /// As `answer`.
    pub(crate) fn explain_answer(&self, calls: &[AggregateCall]) -> Result<Option<Choice>> {
        let Some((candidate, _, cost)) = self.answerer(calls)? else { return Ok(None) };
        let mut ways = vec![(candidate.name(), cost)];
        if self.may_use_statistics(calls) {
            let judged = self.judge(self.plan.prune.as_ref());
            ways.push(("statistics".into(), self.statistics_cost(judged)));
        }
        let read = self.judge(self.plan.prune.as_ref()).read;
        ways.push(("scan".into(), self.scan_cost(read, None)));
        let forced = self.path == AccessPath::Index;
        if !forced {
            ways.sort_by_key(|(_, cost)| cost.nanos());
        }
        Ok(Some(Choice { ways, forced }))
    }

    /// The index that answers at the least cost, if one can.
    fn answerer(&self, calls: &[AggregateCall]) -> Result<Option<(Candidate<'a>, Asked, Cost)>> {
        if !self.plan.is_judged() {
            return Ok(None);
        }
        let mut able = Vec::new();
        for candidate in self.candidates(self.plan.prune.as_ref())? {
            if candidate.ranges.exact
                && let Some(asked) = Asked::of(calls, self.plan, &candidate)?
            {
                able.push((candidate, asked));
            }
        }
        let cost = |(candidate, asked): &(Candidate<'_>, Asked)| {
            let ranges = candidate.ranges.ranges.len() as u64;
            Ok(Some(candidate.search_cost().plus(asked.cost(candidate, ranges))))
        };
        let best = cheapest(able, cost)?;
        Ok(best.map(|((candidate, asked), cost)| (candidate, asked, cost)))
    }

    fn may_use_statistics(&self, calls: &[AggregateCall]) -> bool {
        self.use_statistics && self.path.allows_statistics() && calls.iter().all(can_answer)
    }

    /// The cheaper of statistics and a scan.
    fn answer_alternative(&self, calls: &[AggregateCall]) -> (&'static str, Cost) {
        let judged = self.judge(self.plan.prune.as_ref());
        match self.may_use_statistics(calls) {
            true => ("statistics", self.statistics_cost(judged)),
            false => ("scan", self.scan_cost(judged.read, None)),
        }
    }
}

/// A source of one batch.
pub(super) fn one_batch(columns: Vec<ArrayRef>, rows: usize) -> Arc<dyn Source> {
    let columns = columns.into_iter().map(Vector::Flat).collect();
    let batches = if rows == 0 { vec![] } else { vec![Batch::new(columns, rows)] };
    Arc::new(Batches::new(vec![batches]))
}
