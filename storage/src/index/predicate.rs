//! Which ranges of keys a predicate is.
//!
//! Invariants: the ranges hold every entry for which the predicate is TRUE; where they are called exact, no other one.
//! They ascend in the index's order and do not overlap. A column that has but one value in each range is fixed there, so
//! that the next column orders its entries.
//! Next: `view.rs`, which reads ranges.

use std::{cmp::Ordering, ops::Bound};

use super::{
    code::{self, Codes, misfit},
    range::{KeyCode, KeyRange},
    spec::IndexSpec,
};
use crate::{
    error::Result,
    prune::{Prune, PruneOp},
    scalar::Scalar,
    types::LogicalType,
};

/// Most ranges that a predicate is made of.
const MOST_RANGES: usize = 1 << 16;

/// Ranges of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRanges {
    /// Disjoint, ascending in the order of the index.
    pub ranges: Vec<KeyRange>,
    /// How many of the first key columns have one value in each range.
    pub fixed: usize,
    /// Whether the predicate is TRUE for all entries of the ranges.
    pub exact: bool,
}

impl KeyRanges {
    /// All entries.
    pub fn all() -> Self {
        Self { ranges: vec![KeyRange::all()], fixed: 0, exact: true }
    }
}

/// An edge between values of one column, in SQL's order; only the code and the side count.
#[derive(Debug, Clone)]
enum Edge {
    Start,
    At { code: KeyCode, after: bool, value: Scalar },
    End,
}

impl Edge {
    fn order(&self, other: &Self) -> Ordering {
        let rank = |edge: &Self| match edge {
            Self::Start => 0,
            Self::At { .. } => 1,
            Self::End => 2,
        };
        match (self, other) {
            (Self::At { code: a, after: x, .. }, Self::At { code: b, after: y, .. }) => {
                (a, x).cmp(&(b, y))
            }
            (a, b) => rank(a).cmp(&rank(b)),
        }
    }
}

#[derive(Debug, Clone)]
struct Interval {
    lower: Edge,
    upper: Edge,
}

impl Interval {
    /// The value, if there is but one.
    fn point(&self) -> Option<&Scalar> {
        match (&self.lower, &self.upper) {
            (Edge::At { code: a, after: false, value }, Edge::At { code: b, after: true, .. })
                if a == b =>
            {
                Some(value)
            }
            _ => None,
        }
    }

    fn bounds(&self) -> (Bound<&Scalar>, Bound<&Scalar>) {
        let lower = match &self.lower {
            Edge::At { after: false, value, .. } => Bound::Included(value),
            Edge::At { after: true, value, .. } => Bound::Excluded(value),
            _ => Bound::Unbounded,
        };
        let upper = match &self.upper {
            Edge::At { after: true, value, .. } => Bound::Included(value),
            Edge::At { after: false, value, .. } => Bound::Excluded(value),
            _ => Bound::Unbounded,
        };
        (lower, upper)
    }
}

/// The values of one column for which a condition is TRUE: disjoint ascending intervals, and perhaps NULL.
#[derive(Debug, Clone)]
struct Values {
    intervals: Vec<Interval>,
    null: bool,
}

impl Values {
    /// Of a predicate over one column; `None` when a literal is of another type.
    fn of(prune: &Prune, ty: &LogicalType) -> Result<Option<Self>> {
        Ok(match prune {
            Prune::IsNull { .. } => Some(Self { intervals: vec![], null: true }),
            Prune::IsNotNull { .. } => {
                let all = Interval { lower: Edge::Start, upper: Edge::End };
                Some(Self { intervals: vec![all], null: false })
            }
            Prune::Compare { op, value, .. } => Self::compare(*op, value, ty)?,
            Prune::In { values, .. } => {
                let mut points = vec![];
                for value in values {
                    match Self::compare(PruneOp::Eq, value, ty)? {
                        Some(point) => points.extend(point.intervals),
                        None => return Ok(None),
                    }
                }
                points.sort_by(|a, b| a.lower.order(&b.lower));
                points.dedup_by(|a, b| a.lower.order(&b.lower).is_eq());
                Some(Self { intervals: points, null: false })
            }
            Prune::And(parts) => Self::fold(parts, ty, Self::and)?,
            Prune::Or(parts) => Self::fold(parts, ty, Self::or)?,
        })
    }

    fn fold(
        parts: &[Prune],
        ty: &LogicalType,
        merge: impl Fn(Self, Self) -> Self,
    ) -> Result<Option<Self>> {
        let mut all: Option<Self> = None;
        for part in parts {
            let Some(values) = Self::of(part, ty)? else { return Ok(None) };
            all = Some(match all {
                Some(all) => merge(all, values),
                None => values,
            });
        }
        Ok(all)
    }

    fn compare(op: PruneOp, value: &Scalar, ty: &LogicalType) -> Result<Option<Self>> {
        if value.is_null() {
            return Ok(Some(Self { intervals: vec![], null: false }));
        }
        if value.ty() != ty {
            return Ok(None);
        }
        let code = match code::codes(value.array(), ty)? {
            Codes::Narrow(codes) => KeyCode::Narrow(codes[0]),
            Codes::Wide(codes) => KeyCode::Wide(codes[0]),
            Codes::Bytes(texts) => KeyCode::Bytes(texts.value(0).into()),
        };
        let at = |after| Edge::At { code: code.clone(), after, value: value.clone() };
        let between = |lower, upper| Interval { lower, upper };
        let intervals = match op {
            PruneOp::Eq => vec![between(at(false), at(true))],
            PruneOp::NotEq => vec![between(Edge::Start, at(false)), between(at(true), Edge::End)],
            PruneOp::Lt => vec![between(Edge::Start, at(false))],
            PruneOp::LtEq => vec![between(Edge::Start, at(true))],
            PruneOp::Gt => vec![between(at(true), Edge::End)],
            PruneOp::GtEq => vec![between(at(false), Edge::End)],
        };
        Ok(Some(Self { intervals, null: false }))
    }

    fn and(self, other: Self) -> Self {
        let mut intervals = vec![];
        let (mut a, mut b) = (0, 0);
        while let (Some(mine), Some(theirs)) = (self.intervals.get(a), other.intervals.get(b)) {
            let lower = match mine.lower.order(&theirs.lower) {
                Ordering::Less => &theirs.lower,
                _ => &mine.lower,
            };
            let mine_ends = mine.upper.order(&theirs.upper).is_lt();
            let upper = if mine_ends { &mine.upper } else { &theirs.upper };
            if lower.order(upper).is_lt() {
                intervals.push(Interval { lower: lower.clone(), upper: upper.clone() });
            }
            if mine_ends { a += 1 } else { b += 1 }
        }
        Self { intervals, null: self.null && other.null }
    }

    fn or(self, other: Self) -> Self {
        let mut all: Vec<Interval> = self.intervals.into_iter().chain(other.intervals).collect();
        all.sort_by(|a, b| a.lower.order(&b.lower));
        let mut intervals: Vec<Interval> = Vec::with_capacity(all.len());
        for next in all {
            match intervals.last_mut() {
                // Neighbours that touch stay apart, so that points stay points.
                Some(last) if next.lower.order(&last.upper).is_lt() => {
                    if last.upper.order(&next.upper).is_lt() {
                        last.upper = next.upper;
                    }
                }
                _ => intervals.push(next),
            }
        }
        Self { intervals, null: self.null || other.null }
    }

    fn len(&self) -> usize {
        self.intervals.len() + usize::from(self.null)
    }

    /// The values, NULL included, if they can be listed.
    fn points(&self, ty: &LogicalType) -> Option<Vec<Scalar>> {
        let points = self.intervals.iter().map(|interval| interval.point().cloned());
        let null = self.null.then(|| Some(Scalar::null(ty.clone())));
        points.chain(null).collect()
    }
}

impl IndexSpec {
    /// The ranges of keys outside of which a predicate is never TRUE; `columns` are the key columns as the predicate
    /// names them. `None` where the predicate says nothing of the first of them, and where ranges would be too many.
    /// `O(p log p)` for a predicate of size p.
    ///
    /// # Errors
    /// `Internal` when `columns` are not those of the key.
    pub fn ranges(&self, columns: &[usize], prune: &Prune) -> Result<Option<KeyRanges>> {
        if columns.len() != self.keys.len() {
            return Err(misfit());
        }
        match prune {
            Prune::Or(parts) if sole_column(prune).is_none() => {
                let mut all: Option<KeyRanges> = None;
                for part in parts {
                    let Some(ranges) = self.ranges(columns, part)? else { return Ok(None) };
                    all = Some(match all {
                        Some(all) => union(all, ranges),
                        None => ranges,
                    });
                }
                Ok(all.filter(|all| all.ranges.len() <= MOST_RANGES))
            }
            _ => {
                let mut parts = vec![];
                flatten(prune, &mut parts);
                self.conjunction(columns, &parts)
            }
        }
    }

    /// The ranges of the parts of a conjunction.
    fn conjunction(&self, columns: &[usize], parts: &[&Prune]) -> Result<Option<KeyRanges>> {
        let mut sets: Vec<Option<Values>> = vec![None; columns.len()];
        let (mut mixed, mut exact) = (vec![], true);
        for part in parts {
            let key = match sole_column(part) {
                None => {
                    mixed.push(*part);
                    continue;
                }
                Some(column) => columns.iter().position(|key| *key == column),
            };
            let Some(key) = key else {
                exact = false;
                continue;
            };
            match (Values::of(part, &self.keys[key].ty)?, sets[key].take()) {
                (Some(values), Some(all)) => sets[key] = Some(all.and(values)),
                (Some(values), None) => sets[key] = Some(values),
                (None, all) => (sets[key], exact) = (all, false),
            }
        }
        let mut found = self.product(&sets)?;
        for part in mixed {
            match (self.ranges(columns, part)?, found.take()) {
                (Some(ranges), Some(all)) => found = Some(intersection(all, ranges)),
                (Some(ranges), None) => found = Some(ranges),
                (None, all) => (found, exact) = (all, false),
            }
        }
        Ok(found.map(|found| KeyRanges { exact: found.exact && exact, ..found }))
    }

    /// The ranges in which each key column has one of its values.
    fn product(&self, sets: &[Option<Values>]) -> Result<Option<KeyRanges>> {
        if sets[0].is_none() {
            return Ok(None);
        }
        let mut prefixes: Vec<Vec<Scalar>> = vec![vec![]];
        let (mut fixed, mut ranges) = (0, vec![]);
        let mut used = 0;
        for (key, set) in self.keys.iter().zip(sets) {
            let Some(set) = set else { break };
            if prefixes.len().saturating_mul(set.len()) > MOST_RANGES {
                break;
            }
            used += 1;
            if let Some(points) = set.points(&key.ty) {
                let with = |prefix: &Vec<Scalar>| {
                    let prefix = prefix.clone();
                    points
                        .iter()
                        .map(move |point| [&prefix[..], std::slice::from_ref(point)].concat())
                };
                prefixes = prefixes.iter().flat_map(with).collect();
                fixed += 1;
                continue;
            }
            for prefix in &prefixes {
                for interval in &set.intervals {
                    let (lower, upper) = interval.bounds();
                    ranges.push(self.range(prefix, lower, upper)?);
                }
                if set.null {
                    let null = Scalar::null(key.ty.clone());
                    ranges.push(self.equal(&[&prefix[..], &[null]].concat())?);
                }
            }
            break;
        }
        if used == 0 {
            return Ok(None);
        }
        if used == fixed {
            ranges = prefixes.iter().map(|p| self.equal(p)).collect::<Result<_>>()?;
        }
        let exact = sets[used..].iter().all(Option::is_none);
        Ok(Some(KeyRanges { ranges: disjoint(ranges), fixed, exact }))
    }
}

/// The column of a predicate over one only.
fn sole_column(prune: &Prune) -> Option<usize> {
    let (mut first, mut several) = (None, false);
    prune.visit_columns(&mut |column| several |= *first.get_or_insert(column) != column);
    first.filter(|_| !several)
}

/// The parts of nested conjunctions.
fn flatten<'a>(prune: &'a Prune, parts: &mut Vec<&'a Prune>) {
    match prune {
        Prune::And(all) => all.iter().for_each(|part| flatten(part, parts)),
        part => parts.push(part),
    }
}

/// Ranges in order, those that overlap as one.
pub(super) fn disjoint(mut ranges: Vec<KeyRange>) -> Vec<KeyRange> {
    ranges.retain(|range| range.lower < range.upper);
    ranges.sort_by(|a, b| a.lower.cmp(&b.lower));
    let mut all: Vec<KeyRange> = Vec::with_capacity(ranges.len());
    for next in ranges {
        match all.last_mut() {
            // Ranges that only touch may be of different values of the fixed columns.
            Some(last) if next.lower < last.upper => {
                if last.upper < next.upper {
                    last.upper = next.upper;
                }
            }
            _ => all.push(next),
        }
    }
    all
}

fn union(a: KeyRanges, b: KeyRanges) -> KeyRanges {
    let ranges = disjoint(a.ranges.into_iter().chain(b.ranges).collect());
    KeyRanges { ranges, fixed: a.fixed.min(b.fixed), exact: a.exact && b.exact }
}

/// What lies in ranges of both.
pub fn intersection(a: KeyRanges, b: KeyRanges) -> KeyRanges {
    let (mut ranges, mut i, mut j) = (vec![], 0, 0);
    while let (Some(x), Some(y)) = (a.ranges.get(i), b.ranges.get(j)) {
        let lower = (&x.lower).max(&y.lower).clone();
        let upper = (&x.upper).min(&y.upper).clone();
        if x.upper < y.upper {
            i += 1
        } else {
            j += 1
        }
        if lower < upper {
            ranges.push(KeyRange { lower, upper });
        }
    }
    KeyRanges { ranges, fixed: a.fixed.max(b.fixed), exact: a.exact && b.exact }
}
