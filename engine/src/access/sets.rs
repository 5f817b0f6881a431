//! Sets of rows found through several indexes: what lies in the ranges of all of them, or of one of them.
//!
//! Invariants: a set holds every row for which the predicate may be TRUE, so that leaving an index of an intersection out
//! changes no answer, and leaving one of a union out is not possible. Estimates take conditions on different columns as
//! independent; an index whose first column another one has narrowed already is not added, as it would say the same
//! again.
//! Next: `fetch.rs`, which reads the rows.

use std::rc::Rc;

use stoadb_storage::Prune;

use super::{AccessPath, Candidate, Cost, Target, lookup::Keys};
use crate::error::Result;

/// Bytes of reading a row's position out of a further index and comparing it with others.
const READ: u64 = 32;

/// A set of rows.
pub(super) struct Rows<'a> {
    from: From<'a>,
    /// How many, about; exact for one index.
    pub(super) count: u64,
    /// What finding them costs.
    find: Cost,
}

/// Where it comes from.
enum From<'a> {
    One(Rc<Candidate<'a>>),
    /// Rows that are in all, the smallest first.
    All(Vec<Rows<'a>>),
    /// Rows that are in any.
    Any(Vec<Rows<'a>>),
}

impl<'a> Target<'a> {
    /// The cheapest set that holds all rows of a predicate and of a join's keys.
    pub(super) fn row_set(
        &self,
        candidates: Vec<Rc<Candidate<'a>>>,
        prune: Option<&Prune>,
        keys: &[Keys],
    ) -> Result<Option<Rows<'a>>> {
        let mut sets: Vec<Rows<'a>> = candidates.into_iter().map(Rows::of).collect();
        for part in conjuncts(prune) {
            if let Prune::Or(parts) = part
                && let Some(set) = self.union(parts)?
            {
                sets.push(set);
            }
        }
        let mut columns = Vec::new();
        keys.iter().for_each(|keys| columns.extend(&keys.columns));
        if let Some(prune) = prune {
            prune.visit_columns(&mut |column| columns.push(column));
        }
        Ok(self.intersection(sets, &columns))
    }

    /// The rows of an OR over different columns, where each side has an index.
    fn union(&self, parts: &[Prune]) -> Result<Option<Rows<'a>>> {
        let (mut sets, mut count, mut find) = (Vec::new(), 0_u64, Cost::default());
        for part in parts {
            let candidates = self.candidates_of(Some(part), &[])?;
            let Some(set) = self.row_set(candidates, Some(part), &[])? else { return Ok(None) };
            count = count.saturating_add(set.count);
            find = find.plus(set.find).plus(Cost { misses: 0, bytes: set.count * READ });
            sets.push(set);
        }
        let count = count.min(self.relation.rows());
        Ok(Some(Rows { from: From::Any(sets), count, find }))
    }

    /// The cheapest of some sets, and further ones as long as these leave fewer rows to be read for less.
    fn intersection(&self, mut sets: Vec<Rows<'a>>, columns: &[usize]) -> Option<Rows<'a>> {
        let cost = |set: &Rows<'_>| self.set_cost(set).nanos();
        sets.sort_by_key(|set| (cost(set), set.count));
        let mut sets = sets.into_iter();
        let mut best = sets.next()?;
        let (mut narrowed, rows) =
            (best.narrowed(columns), u128::from(self.relation.rows().max(1)));
        for next in sets {
            let column = next.first_column();
            if column.is_some_and(|column| narrowed.contains(&column)) {
                continue;
            }
            let count = u128::from(best.count) * u128::from(next.count) / rows;
            let count = u64::try_from(count).unwrap_or(u64::MAX);
            let read = Cost { misses: 0, bytes: (best.count.saturating_add(next.count)) * READ };
            let find = best.find.plus(next.find).plus(read);
            let both = Rows { from: From::All(Vec::new()), count, find };
            if cost(&both) >= cost(&best) {
                continue;
            }
            narrowed.extend(next.narrowed(columns));
            let mut all = match best.from {
                From::All(all) => all,
                from => vec![Rows { from, ..best }],
            };
            all.push(next);
            all.sort_by_key(|set| set.count);
            best = Rows { from: From::All(all), ..both };
        }
        Some(best)
    }

    /// What finding and reading the rows costs.
    pub(super) fn set_cost(&self, set: &Rows<'_>) -> Cost {
        set.find.plus(self.fetch_cost(set.count))
    }

    /// The positions of a set, ascending.
    pub(super) fn positions(&self, set: &Rows<'_>) -> Vec<u64> {
        match &set.from {
            From::One(candidate) => {
                let rows = candidate.index.rows_in(&candidate.ranges.ranges);
                candidate.charge_search(self.ledger, candidate.ranges.ranges.len());
                let column = candidate.definition.keys[0].column;
                super::cost::charge(self.ledger, column, rows.len() as u64 * 4);
                rows
            }
            From::All(sets) => {
                let mut sets = sets.iter();
                let mut rows = sets.next().map_or_else(Vec::new, |set| self.positions(set));
                for set in sets {
                    if rows.is_empty() {
                        break;
                    }
                    retain(&mut rows, &self.positions(set));
                }
                rows
            }
            From::Any(sets) => {
                // Sorting finds the stretches that ascend.
                let mut rows: Vec<u64> = sets.iter().flat_map(|set| self.positions(set)).collect();
                rows.sort();
                rows.dedup();
                rows
            }
        }
    }

    /// The indexes that a predicate or a join's keys leave ranges of; look-ups only where they may pay.
    pub(super) fn candidates_of(
        &self,
        prune: Option<&Prune>,
        keys: &[Keys],
    ) -> Result<Vec<Rc<Candidate<'a>>>> {
        let all = if prune.is_some() { self.candidates(prune)? } else { Vec::new() };
        let mut all: Vec<_> = all.into_iter().map(Rc::new).collect();
        if keys.is_empty() {
            return Ok(all);
        }
        let most = match self.path {
            AccessPath::Index => u64::MAX,
            _ => self.joined_scan_cost(prune).nanos(),
        };
        for keys in keys {
            all.extend(self.lookups(keys, prune, most)?.into_iter().map(Rc::new));
        }
        Ok(all)
    }
}

impl<'a> Rows<'a> {
    fn of(candidate: Rc<Candidate<'a>>) -> Self {
        let (count, find) = (candidate.count(), candidate.search_cost());
        Self { from: From::One(candidate), count, find }
    }

    /// The first key column of the index, if it is but one.
    fn first_column(&self) -> Option<usize> {
        match &self.from {
            From::One(candidate) => candidate.definition.keys.first().map(|key| key.column),
            From::All(_) | From::Any(_) => None,
        }
    }

    /// The columns, among those that conditions name, by which the index narrows the rows.
    fn narrowed(&self, named: &[usize]) -> Vec<usize> {
        match &self.from {
            From::One(candidate) => {
                let keys = candidate.definition.keys.iter().map(|key| key.column);
                keys.take(candidate.ranges.fixed + 1).filter(|key| named.contains(key)).collect()
            }
            From::All(_) | From::Any(_) => Vec::new(),
        }
    }

    /// Whether the number of rows is an estimate.
    pub(super) fn is_estimated(&self) -> bool {
        !matches!(self.from, From::One(_))
    }

    /// For EXPLAIN.
    pub(super) fn name(&self) -> String {
        let join = |sets: &[Self], word: &str| {
            let name = |set: &Self| match set.from {
                From::One(_) => set.name(),
                From::All(_) | From::Any(_) => format!("({})", set.name()),
            };
            sets.iter().map(name).collect::<Vec<_>>().join(word)
        };
        match &self.from {
            From::One(candidate) => candidate.name(),
            From::All(sets) => join(sets, " and "),
            From::Any(sets) => join(sets, " or "),
        }
    }
}

/// The parts of nested conjunctions.
fn conjuncts(prune: Option<&Prune>) -> Vec<&Prune> {
    match prune {
        None => Vec::new(),
        Some(Prune::And(parts)) => parts.iter().flat_map(|part| conjuncts(Some(part))).collect(),
        Some(part) => vec![part],
    }
}

/// Keeps the numbers that another list has; both ascend.
fn retain(rows: &mut Vec<u64>, other: &[u64]) {
    let mut at = 0;
    rows.retain(|row| {
        // Doubling steps, as one list may be much longer than the other.
        let (mut step, mut end) = (1, at);
        while end < other.len() && other[end] < *row {
            at = end + 1;
            end += step;
            step *= 2;
        }
        at += other[at..end.min(other.len())].partition_point(|other| other < row);
        other.get(at) == Some(row)
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_retain_keeps_what_both_lists_have() {
        let mut state = 7_u64;
        let mut random = |n: u64| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) % n
        };
        for (a, b) in [(0, 5), (5, 0), (3, 400), (400, 3), (300, 300), (1, 1)] {
            for span in [1, 50, 1000] {
                let mut list = |len: usize| {
                    let mut all: Vec<u64> = (0..len).map(|_| random(span)).collect();
                    all.sort_unstable();
                    all.dedup();
                    all
                };
                let (mut rows, other) = (list(a), list(b));
                let want: Vec<u64> =
                    rows.iter().copied().filter(|row| other.contains(row)).collect();
                retain(&mut rows, &other);
                assert_eq!(rows, want);
            }
        }
    }

    #[test]
    fn test_conjuncts_of_nested_ands() {
        let null = |column| Prune::IsNull { column };
        let or = Prune::Or(vec![null(3), null(4)]);
        let nested = Prune::And(vec![null(1), Prune::And(vec![null(2), or.clone()])]);
        assert_eq!(conjuncts(Some(&nested)), [&null(1), &null(2), &or]);
        assert!(conjuncts(None).is_empty());
    }
}
