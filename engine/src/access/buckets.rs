//! GROUP BY over the key of an index: groups are ranges of keys, whose aggregates an index answers.
//!
//! Invariants: only expressions that never give a value again once they gave another one, keys ascending; then a group is
//! a stretch of entries of each part of the index, whose beginning is found by halving. The expression is computed for the
//! least and the greatest key of each range, so that one that fails for a key does. Groups come in the order of the index.
//! Next: `monotone.rs`, which expressions; `asked.rs`.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use arrow::array::{Array, ArrayRef};
use stoadb_storage::{
    Scalar, Vector,
    index::{Index, KeyRange, RangeView},
};

use super::{
    AccessPath, Candidate, Choice, Cost, Target,
    asked::Asked,
    cost::{LINE, charge, cheapest},
    monotone::monotone,
    values::Place,
};
use crate::{
    batch::Batch,
    context::QueryContext,
    error::{EngineError, Result},
    eval::{Evaluator, Program},
    expr::Expr,
    kernel::sort_key::{KeyCode, array_codes},
    op::{Source, values::Batches},
    plan::AggregateCall,
};

/// What computing the expression for a key costs, in misses.
const PROBE: u64 = 6;
/// How often an end is looked at, about, until it is found.
const HALVINGS: u64 = 20;
/// Bytes that grouping a row takes, beside reading it.
const GROUPED: u64 = 64;

/// An index that answers a GROUP BY.
struct Grouped<'a> {
    candidate: Candidate<'a>,
    asked: Asked,
    place: Place,
}

impl<'a> Target<'a> {
    /// The groups of the scan's rows with their aggregates, where an index is the cheapest way to them.
    ///
    /// # Errors
    /// What computing the group expression raises; as `answer`.
    pub(crate) fn grouped(
        &self,
        group: &Expr,
        calls: &[AggregateCall],
        context: &QueryContext,
    ) -> Result<Option<Arc<dyn Source>>> {
        let Some((grouped, each)) = self.grouper(group, calls)? else { return Ok(None) };
        let most = match self.path {
            AccessPath::Index => u64::MAX,
            _ => self.group_alternative().nanos() / each.nanos().max(1),
        };
        let Grouped { candidate, asked, place } = &grouped;
        let mut keys = Keys::new(group, candidate, *place, context)?;
        let Some((groups, firsts)) = keys.groups(&candidate.ranges.ranges, most)? else {
            return Ok(None);
        };
        let ranges: Vec<&[KeyRange]> = groups.iter().map(Vec::as_slice).collect();
        let Some(columns) = asked.answer(candidate, &ranges)? else { return Ok(None) };
        candidate.charge_search(self.ledger, groups.len() + keys.probes);
        asked.charge(candidate, groups.len(), |column, lines| {
            charge(self.ledger, column, lines * LINE);
        });
        let columns: Vec<ArrayRef> = std::iter::once(firsts).chain(columns).collect();
        Ok(Some(batches(&columns, groups.len(), context.settings().vector_size)))
    }

    /// The choice, for EXPLAIN; `None` without an index that can answer.
    ///
    /// # Errors
    /// As `answer`.
    pub(crate) fn explain_grouped(
        &self,
        group: &Expr,
        calls: &[AggregateCall],
    ) -> Result<Option<Choice>> {
        let Some((grouped, each)) = self.grouper(group, calls)? else { return Ok(None) };
        let forced = self.path == AccessPath::Index;
        let scan = self.group_alternative();
        let (name, cost) = match (group, grouped.place) {
            (Expr::Column { .. }, Place::Key) => {
                let distinct = |range| grouped.candidate.index.view(range).distinct();
                let groups: u64 = grouped.candidate.ranges.ranges.iter().map(distinct).sum();
                let Cost { misses, bytes } = each;
                let misses = misses.saturating_mul(groups);
                (format!("{}, {groups} groups", grouped.candidate.name()), Cost { misses, bytes })
            }
            _ => (format!("{}, for each group", grouped.candidate.name()), each),
        };
        let mut ways = vec![(name, cost), ("scan".into(), scan)];
        if !forced {
            ways.sort_by_key(|(_, cost)| cost.nanos());
        }
        Ok(Some(Choice { ways, forced }))
    }

    /// An index that answers, and what a group costs.
    fn grouper(
        &self,
        group: &Expr,
        calls: &[AggregateCall],
    ) -> Result<Option<(Grouped<'a>, Cost)>> {
        if !self.plan.is_judged() {
            return Ok(None);
        }
        let Some(column) = monotone(group) else { return Ok(None) };
        let Some(&column) = self.plan.projection.get(column) else { return Ok(None) };
        let mut able = Vec::new();
        for candidate in self.candidates(self.plan.prune.as_ref())? {
            let place = Place::of(column, &candidate).filter(|place| place.is_order(&candidate));
            if candidate.ranges.exact
                && let Some(place) = place
                && let Some(asked) = Asked::of(calls, self.plan, &candidate)?
            {
                able.push(Grouped { candidate, asked, place });
            }
        }
        let cost = |grouped: &Grouped<'_>| {
            let Grouped { candidate, asked, .. } = grouped;
            let nodes = candidate.index.nodes();
            let halvings = HALVINGS * candidate.index.parts() as u64;
            let find = Cost { misses: nodes + halvings * PROBE, bytes: 0 };
            Ok(Some(find.plus(asked.cost(candidate, 1))))
        };
        cheapest(able, cost)
    }

    fn group_alternative(&self) -> Cost {
        let read = self.judge(self.plan.prune.as_ref()).read;
        self.scan_cost(read, None).plus(Cost { misses: 0, bytes: read * GROUPED })
    }
}

/// The values of a group expression by the places of keys.
struct Keys<'a> {
    candidate: &'a Candidate<'a>,
    /// The parts of the index, each alone; none where the index is but one.
    layers: Arc<[Index]>,
    part: usize,
    evaluator: Evaluator,
    /// How many keys it was computed for.
    probes: usize,
    most: usize,
}

/// Where a group begins: the range from there on, its value there, and the value's code.
struct Start {
    onwards: KeyRange,
    value: ArrayRef,
    code: KeyCode,
}

impl<'a> Keys<'a> {
    fn new(
        group: &Expr,
        candidate: &'a Candidate<'a>,
        place: Place,
        context: &QueryContext,
    ) -> Result<Self> {
        let mut group = group.clone();
        group.map_columns(&mut |_| 0);
        let program = Program::compile(&[group], context)?;
        let part = if let Place::Part(part) = place { part } else { 0 };
        let (evaluator, most) = (Evaluator::new(&program), context.settings().vector_size);
        let layers = if candidate.index.parts() > 1 { candidate.index.layers() } else { vec![] };
        Ok(Self { candidate, layers: layers.into(), part, evaluator, probes: 0, most })
    }

    /// The ranges of each group, with the groups' values; `None` when there are more than `most`.
    fn groups(
        &mut self,
        ranges: &[KeyRange],
        most: u64,
    ) -> Result<Option<(Vec<Vec<KeyRange>>, ArrayRef)>> {
        let mut groups: Vec<Vec<KeyRange>> = Vec::new();
        let mut values: Vec<ArrayRef> = Vec::new();
        let mut last: Option<KeyCode> = None;
        for range in ranges {
            let left = most.saturating_sub(groups.len() as u64);
            let Some(starts) = self.starts(range, left)? else { return Ok(None) };
            let ends = starts.iter().skip(1).map(Some).chain([None]);
            for (start, end) in starts.iter().zip(ends) {
                let onwards = || start.onwards.clone();
                let part = end.map_or_else(onwards, |end| start.onwards.until(&end.onwards));
                // The keys that a layer has may all be deleted.
                if !self.layers.is_empty() && self.candidate.index.view(&part).is_empty() {
                    continue;
                }
                match groups.last_mut() {
                    Some(group) if last.as_ref() == Some(&start.code) => group.push(part),
                    _ => {
                        groups.push(vec![part]);
                        values.push(Arc::clone(&start.value));
                    }
                }
                last = Some(start.code.clone());
            }
        }
        let values: Vec<&dyn Array> = values.iter().map(AsRef::as_ref).collect();
        let values = match values.as_slice() {
            [] => self.compute(&[])?,
            values => arrow::compute::concat(values)?,
        };
        Ok(Some((groups, values)))
    }

    /// Where the groups of a range begin, in the order of the index, groups without a live entry perhaps among them; `None`
    /// when there are more than `most`.
    fn starts(&mut self, range: &KeyRange, most: u64) -> Result<Option<Vec<Start>>> {
        let (candidate, layers) = (self.candidate, Arc::clone(&self.layers));
        if !layers.is_empty() {
            match self.starts_in_layers(&layers, range, most) {
                Err(EngineError::Value(_)) => {}
                found => return found,
            }
        }
        // There is but one part, or the expression fails for a key, which may be a deleted one.
        self.starts_in(&candidate.index.view(range), most)
    }

    /// The same from the parts of the index, each of which is one run: looking for places in all of them at once takes a
    /// hundred times as long.
    fn starts_in_layers(
        &mut self,
        layers: &[Index],
        range: &KeyRange,
        most: u64,
    ) -> Result<Option<Vec<Start>>> {
        let mut starts: Vec<Start> = Vec::new();
        for layer in layers {
            let Some(found) = self.starts_in(&layer.view(range), most)? else { return Ok(None) };
            starts.extend(found);
        }
        starts.sort_by(|a, b| a.onwards.cmp_begin(&b.onwards));
        starts.dedup_by(|next, start| next.code == start.code);
        Ok(Some(starts).filter(|starts| starts.len() as u64 <= most))
    }

    fn starts_in(&mut self, view: &RangeView<'_>, most: u64) -> Result<Option<Vec<Start>>> {
        let Some(found) = self.places(view, most)? else { return Ok(None) };
        let keys = found.keys().map(|&place| self.key(view, place)).collect::<Result<Vec<_>>>()?;
        let values = self.compute(&keys)?;
        let start = |(row, (place, code)): (usize, (u64, KeyCode))| {
            let onwards = view.onwards(place).ok_or_else(missing)?;
            Ok(Start { onwards, value: values.slice(row, 1), code })
        };
        found.into_iter().enumerate().map(start).collect::<Result<_>>().map(Some)
    }

    /// The places at which the groups of a range begin, with their codes; `None` when there are more than `most`.
    fn places(
        &mut self,
        view: &RangeView<'_>,
        most: u64,
    ) -> Result<Option<BTreeMap<u64, KeyCode>>> {
        let mut found = BTreeMap::new();
        let Some(last) = view.count().checked_sub(1) else { return Ok(Some(found)) };
        let ends = self.codes(view, &[0, last])?;
        found.insert(0, ends[0].clone());
        // Between two places of different values another group begins: at the first place that is not like the left one.
        let mut open: Vec<(Range<u64>, KeyCode, KeyCode)> = Vec::new();
        if ends[0] != ends[1] {
            open.push((0..last, ends[0].clone(), ends[1].clone()));
        }
        while !open.is_empty() {
            if (open.len() + found.len()) as u64 > most {
                return Ok(None);
            }
            let (mut next, mut halved) = (Vec::new(), Vec::new());
            for (places, low, high) in open {
                match places.end - places.start {
                    1 => {
                        found.insert(places.end, high);
                    }
                    _ => halved.push((places, low, high)),
                }
            }
            let mids: Vec<u64> = halved.iter().map(|(p, ..)| p.start.midpoint(p.end)).collect();
            let codes = self.codes(view, &mids)?;
            for (((places, low, high), mid), code) in halved.into_iter().zip(mids).zip(codes) {
                if code != low {
                    next.push((places.start..mid, low, code.clone()));
                }
                if code != high {
                    next.push((mid..places.end, code, high));
                }
            }
            open = next;
        }
        Ok(Some(found))
    }

    fn key(&self, view: &RangeView<'_>, place: u64) -> Result<Scalar> {
        let values = view.keys_at(place)?.ok_or_else(missing)?;
        values.into_iter().nth(self.part).ok_or_else(missing)
    }

    fn codes(&mut self, view: &RangeView<'_>, places: &[u64]) -> Result<Vec<KeyCode>> {
        if places.is_empty() {
            return Ok(Vec::new());
        }
        let keys: Vec<Scalar> =
            places.iter().map(|&place| self.key(view, place)).collect::<Result<_>>()?;
        self.probes += keys.len();
        let codes = array_codes(&self.compute(&keys)?)?;
        Ok((0..keys.len()).map(|row| codes.get(row)).collect())
    }

    /// The expression of keys.
    fn compute(&mut self, keys: &[Scalar]) -> Result<ArrayRef> {
        let mut arrays = Vec::with_capacity(keys.len() / self.most + 1);
        for keys in keys.chunks(self.most) {
            let parts: Vec<_> = keys.iter().map(|key| key.array().as_ref()).collect();
            let column = Vector::Flat(arrow::compute::concat(&parts)?);
            let values = self.evaluator.project(&Batch::new(vec![column], keys.len()))?;
            let missing = || EngineError::Internal("an expression without a value".into());
            arrays.push(values.first().ok_or_else(missing)?.flatten()?);
        }
        if arrays.is_empty() {
            let ty = &self.candidate.index.spec().keys[self.part].ty;
            return Ok(arrow::array::new_empty_array(&ty.to_arrow()));
        }
        let parts: Vec<_> = arrays.iter().map(AsRef::as_ref).collect();
        Ok(arrow::compute::concat(&parts)?)
    }
}

fn missing() -> EngineError {
    EngineError::Internal("an index has no such place".into())
}

/// Rows of columns in batches.
fn batches(columns: &[ArrayRef], rows: usize, most: usize) -> Arc<dyn Source> {
    let batch = |start: usize| {
        let rows = most.min(rows - start);
        let slice = |column: &ArrayRef| Vector::Flat(column.slice(start, rows));
        Batch::new(columns.iter().map(slice).collect(), rows)
    };
    Arc::new(Batches::new(vec![(0..rows).step_by(most.max(1)).map(batch).collect()]))
}
