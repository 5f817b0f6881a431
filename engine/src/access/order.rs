//! The first of sorted rows, found through an index.
//!
//! Invariant: the rows that are found are just those that a stable sort puts at the wanted places; whoever reads them
//! sorts them.
//! Next: `walk.rs`, where a filter leaves out some of them.

use std::{ops::Bound, sync::Arc};

use stoadb_storage::{Scalar, index::KeyRange};

use super::{AccessPath, Candidate, Choice, Cost, Target, cost::cheapest};
use crate::{
    error::Result,
    expr::Expr,
    plan::{Plan, ScanPlan, SortKey},
};

/// The scan below a sort, how many nodes below the sort's input it is, and the keys over its columns.
pub(crate) fn sorted_scan<'a>(
    input: &'a Plan,
    keys: &[SortKey],
) -> Option<(&'a ScanPlan, usize, Vec<SortKey>)> {
    match input {
        Plan::Scan(scan) => Some((scan, 0, keys.to_vec())),
        Plan::Project { input, exprs, .. } => {
            let Plan::Scan(scan) = &**input else { return None };
            let source = |key: &SortKey| match &key.expr {
                Expr::Column { index, .. } => {
                    Some(SortKey { expr: exprs.get(*index)?.clone(), ..key.clone() })
                }
                _ => None,
            };
            Some((scan, 1, keys.iter().map(source).collect::<Option<_>>()?))
        }
        _ => None,
    }
}

/// Sorted rows as an index has them.
pub(super) struct Sorted<'a> {
    pub(super) candidate: Candidate<'a>,
    /// In the order in which their rows are wanted.
    pub(super) ranges: Vec<KeyRange>,
    reversed: bool,
}

impl<'a> Target<'a> {
    /// The positions of up to `limit` rows from the `offset`-th on of the scan's rows sorted by its columns, ascending,
    /// where an index is the cheapest way to them.
    ///
    /// # Errors
    /// `Internal` when an index and its relation do not fit together.
    pub(crate) fn first(
        &self,
        keys: &[SortKey],
        offset: u64,
        limit: u64,
    ) -> Result<Option<Arc<[u64]>>> {
        let Some((sorted, cost)) = self.sorted(keys, limit)? else { return Ok(None) };
        if self.path == AccessPath::Auto && cost.nanos() > self.sort_alternative().nanos() {
            return Ok(None);
        }
        let mut rows = sorted.rows(offset, limit);
        sorted.candidate.charge_search(self.ledger, sorted.ranges.len());
        let column = sorted.candidate.definition.keys[0].column;
        super::cost::charge(self.ledger, column, rows.len() as u64 * 12);
        rows.sort_unstable();
        Ok(Some(rows.into()))
    }

    /// The choice, for EXPLAIN; `None` without an index that can serve.
    ///
    /// # Errors
    /// As `first`.
    pub(crate) fn explain_first(&self, keys: &[SortKey], limit: u64) -> Result<Option<Choice>> {
        let Some((sorted, cost)) = self.sorted(keys, limit)? else { return Ok(None) };
        let name = format!("{} in order", sorted.candidate.name());
        let mut ways = vec![(name, cost), ("scan".into(), self.sort_alternative())];
        let forced = self.path == AccessPath::Index;
        if !forced {
            ways.sort_by_key(|(_, cost)| cost.nanos());
        }
        Ok(Some(Choice { ways, forced }))
    }

    fn sort_alternative(&self) -> Cost {
        self.scan_cost(self.judge(self.plan.prune.as_ref()).read, None)
    }

    fn sorted(&self, keys: &[SortKey], limit: u64) -> Result<Option<(Sorted<'a>, Cost)>> {
        if !self.plan.is_judged() {
            return Ok(None);
        }
        let mut able = Vec::new();
        for candidate in self.candidates(self.plan.prune.as_ref())? {
            if candidate.ranges.exact {
                able.extend(self.sorted_by(keys, candidate)?);
            }
        }
        let cost = |sorted: &Sorted<'_>| {
            let rows = sorted.candidate.count().min(limit);
            let walk = Cost { misses: rows * u64::from(sorted.reversed), bytes: rows * 128 };
            Ok(Some(sorted.candidate.search_cost().plus(walk).plus(self.fetch_cost(rows))))
        };
        cheapest(able, cost)
    }

    /// An index in the order in which a sort wants its rows.
    pub(super) fn sorted_by(
        &self,
        keys: &[SortKey],
        candidate: Candidate<'a>,
    ) -> Result<Option<Sorted<'a>>> {
        let order = self.in_order(keys, &candidate)?;
        Ok(order.map(|(ranges, reversed)| Sorted { candidate, ranges, reversed }))
    }

    /// The ranges of an index in the order in which a sort wants their rows, and whether against the index's order.
    fn in_order(
        &self,
        keys: &[SortKey],
        candidate: &Candidate<'_>,
    ) -> Result<Option<(Vec<KeyRange>, bool)>> {
        let definition = candidate.definition;
        let ranges = &candidate.ranges.ranges;
        // Columns of one value order nothing, if there is but one range.
        let fixed = if ranges.len() == 1 { candidate.ranges.fixed } else { 0 };
        let (known, rest) = definition.keys.split_at(fixed);
        let mut wanted = Vec::with_capacity(keys.len());
        for key in keys {
            let Expr::Column { index, .. } = &key.expr else { return Ok(None) };
            let Some(&column) = self.plan.projection.get(*index) else { return Ok(None) };
            if !known.iter().any(|known| known.column == column) {
                wanted.push((column, key));
            }
        }
        // Rows that agree in all that is wanted come in their own order, so that nothing else may order them.
        let same = wanted.len() == rest.len()
            && !wanted.is_empty()
            && wanted.iter().zip(rest).all(|((column, _), key)| *column == key.column);
        if !same {
            return Ok(None);
        }
        let reversed = wanted[0].1.descending != rest[0].descending;
        if wanted.iter().zip(rest).any(|((_, w), key)| (w.descending != key.descending) != reversed)
        {
            return Ok(None);
        }
        let mut all = ranges.clone();
        if reversed {
            all.reverse();
        }
        let columns = &self.relation.schema().columns;
        // NULLs come last in the index, first against its order.
        let fits = |(column, key): &(usize, &SortKey)| {
            key.nulls_first == reversed || columns.get(*column).is_some_and(|c| !c.nullable)
        };
        if wanted.iter().all(fits) {
            return Ok(Some((all, reversed)));
        }
        let ([(_, key)], 0) = (wanted.as_slice(), fixed) else { return Ok(None) };
        let spec = candidate.index.spec();
        let null = spec.equal(&[Scalar::null(spec.keys[0].ty.clone())])?;
        let valid = spec.range(&[], Bound::Unbounded, Bound::Unbounded)?;
        let of = |part: &KeyRange| -> Vec<KeyRange> {
            all.iter().map(|range| range.intersect(part)).collect()
        };
        let (nulls, others) = (of(&null), of(&valid));
        let both = if key.nulls_first { [nulls, others] } else { [others, nulls] };
        Ok(Some((both.concat(), reversed)))
    }
}

impl Sorted<'_> {
    /// The rows of up to `limit` entries from the `offset`-th on, in the order that is wanted.
    pub(super) fn rows(&self, mut offset: u64, limit: u64) -> Vec<u64> {
        let mut rows = Vec::new();
        for range in &self.ranges {
            let view = self.candidate.index.view(range);
            let count = view.count();
            let left = limit - rows.len() as u64;
            if left == 0 {
                break;
            }
            if offset >= count {
                offset -= count;
                continue;
            }
            let most = usize::try_from(left.min(count - offset)).unwrap_or(usize::MAX);
            rows.extend(match self.reversed {
                true => view.rows_reversed(offset, most),
                false => view.rows(offset, most),
            });
            offset = 0;
        }
        rows
    }
}
