//! The partial results of all morsels merged, in morsel order.
//!
//! Invariant: whether and how groups are partitioned follows from the partial results alone. Few groups are merged in
//! one go, which numbers them in output order; many are split by hash into partitions that are merged side by side, and
//! the output order is found from where each group was first seen. Next: `split.rs`.

use std::{
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use arrow::array::{ArrayRef, Int64Array, new_null_array};

use super::{
    GroupingSet, OutputCall, Partial, SetPartial, Shared, split::PARTITIONS, texts::key_type,
};
use crate::{
    agg::{State, table::KeyTable},
    context::{QueryContext, Reservation},
    error::{EngineError, Result},
    scheduler::Workers,
};

/// Up to how many partial groups are merged in one go.
const FEW_GROUPS: usize = 1 << 14;

/// The result of all sets.
pub(super) struct Output {
    pub(super) sets: Vec<SetOutput>,
    _memory: Vec<Reservation>,
}

/// The groups of one set.
pub(super) struct SetOutput {
    /// Columns by partition; those of texts and blobs as numbers.
    pub(super) partitions: Vec<Vec<ArrayRef>>,
    /// Partition and row of each output row; `None` when there is one partition, in output order.
    pub(super) order: Option<Vec<(u32, u32)>>,
    pub(super) rows: usize,
}

/// A partition merged.
struct Merged {
    columns: Vec<ArrayRef>,
    /// Where each group was first seen, as the ordinal of the partial group among all.
    first: Vec<u64>,
}

pub(super) fn merge(
    shared: &Shared,
    partials: Vec<Partial>,
    context: &Arc<QueryContext>,
    workers: &Workers,
) -> Result<Output> {
    let memory = Mutex::default();
    let mut held = Vec::with_capacity(partials.len());
    let mut by_set: Vec<Vec<SetPartial>> = shared.sets.iter().map(|_| Vec::new()).collect();
    for partial in partials {
        held.push(partial.memory);
        for (of_set, partial) in by_set.iter_mut().zip(partial.sets) {
            of_set.push(partial);
        }
    }
    let mut sets = Vec::with_capacity(shared.sets.len());
    for (set, partials) in shared.sets.iter().zip(by_set) {
        sets.push(merge_set(shared, set, partials, &memory, context, workers)?);
    }
    if !shared.counts_groups {
        shared.texts.iter().try_for_each(|texts| texts.seal(workers))?;
    }
    Ok(Output { sets, _memory: memory.into_inner().unwrap_or_else(PoisonError::into_inner) })
}

fn merge_set(
    shared: &Shared,
    set: &GroupingSet,
    partials: Vec<SetPartial>,
    memory: &Mutex<Vec<Reservation>>,
    context: &Arc<QueryContext>,
    workers: &Workers,
) -> Result<SetOutput> {
    let mut bases = Vec::with_capacity(partials.len());
    let mut total = 0;
    for partial in &partials {
        bases.push(total);
        total += partial.len() as u64;
    }
    let split = total as usize > FEW_GROUPS || partials.iter().any(|p| p.split.is_some());
    let partitions = if split { PARTITIONS } else { 1 };
    let partials = if split { split_all(partials, context, workers)? } else { partials };
    let longest = partials.iter().map(SetPartial::len).max().unwrap_or(0).max(1);
    let identity: Vec<u32> = (0..longest as u32).collect();
    let merged = workers.map(partitions, |partition| {
        let mut reservation = context.memory().reservation("aggregation");
        let parts = partials
            .iter()
            .zip(&bases)
            .map(|(partial, &base)| Part::new(partial, partition, base, &identity));
        let merged = merge_partition(shared, set, parts, &mut reservation, context)?;
        memory.lock().unwrap_or_else(PoisonError::into_inner).push(reservation);
        Ok(merged)
    })?;
    if shared.counts_groups {
        let groups: usize = merged.iter().map(|merged| merged.first.len()).sum();
        let count: ArrayRef = Arc::new(Int64Array::from(vec![groups as i64]));
        return Ok(SetOutput { partitions: vec![vec![count]], order: None, rows: 1 });
    }
    let rows = if set.columns.is_empty() { 1 } else { merged.iter().map(|m| m.first.len()).sum() };
    let order = if split { Some(output_order(&merged, &partials, &bases, workers)?) } else { None };
    let partitions = merged.into_iter().map(|merged| merged.columns).collect();
    Ok(SetOutput { partitions, order, rows })
}

/// Splits the partial results that are not split yet.
fn split_all(
    partials: Vec<SetPartial>,
    context: &QueryContext,
    workers: &Workers,
) -> Result<Vec<SetPartial>> {
    let partials: Vec<_> = partials.into_iter().map(|partial| Mutex::new(Some(partial))).collect();
    workers.map(partials.len(), |index| {
        context.check()?;
        let partial = partials[index].lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut partial =
            partial.ok_or_else(|| EngineError::Internal("a partial result taken twice".into()))?;
        partial.split();
        Ok(partial)
    })
}

/// The groups of one partial result that are in one partition.
struct Part<'a> {
    partial: &'a SetPartial,
    places: Range<usize>,
    /// The ordinal of the partial result's first group among all.
    base: u64,
    identity: &'a [u32],
}

impl<'a> Part<'a> {
    fn new(partial: &'a SetPartial, partition: usize, base: u64, identity: &'a [u32]) -> Self {
        let places = match &partial.split {
            Some(split) => split.starts[partition] as usize..split.starts[partition + 1] as usize,
            None => 0..partial.len(),
        };
        Self { partial, places, base, identity }
    }

    /// The groups' numbers before the split.
    fn rows(&self) -> &'a [u32] {
        match &self.partial.split {
            Some(split) => &split.rows[self.places.clone()],
            None => &self.identity[self.places.clone()],
        }
    }

    /// Where the groups lie in a state.
    fn places_in(&self, state: usize) -> &'a [u32] {
        match &self.partial.split {
            Some(split) if !split.moved[state] => self.rows(),
            _ => &self.identity[self.places.clone()],
        }
    }
}

fn merge_partition<'a>(
    shared: &Shared,
    set: &GroupingSet,
    parts: impl Iterator<Item = Part<'a>>,
    reservation: &mut Reservation,
    context: &QueryContext,
) -> Result<Merged> {
    let mut table = KeyTable::new(set.layout.width());
    let mut states = shared.states()?;
    let mut first = Vec::new();
    let mut to = Vec::new();
    let single = set.columns.is_empty();
    if single {
        states.iter_mut().for_each(|state| state.resize(1));
        to.push(0);
    }
    let mut read = 0;
    for (index, part) in parts.enumerate() {
        context.check()?;
        read = index + 1;
        shared.merge_answered(index, &mut states)?;
        if !single {
            let mut next = table.len() as u32;
            let places = part.places.start as u32..part.places.end as u32;
            table.insert(&part.partial.keys, &part.partial.hashes, places, &mut to);
            for (&row, &id) in part.rows().iter().zip(&to) {
                if id == next {
                    first.push(part.base + u64::from(row));
                    next += 1;
                }
            }
        }
        let groups = if single { 1 } else { table.len() };
        for (number, (state, other)) in states.iter_mut().zip(&part.partial.states).enumerate() {
            let from = if single { &part.identity[..1] } else { part.places_in(number) };
            state.resize(groups);
            state.merge(other, from, &to)?;
        }
        if index.is_multiple_of(8) {
            reservation.resize(held(&table, &states))?;
        }
    }
    shared.merge_answered(read, &mut states)?;
    reservation.resize(held(&table, &states))?;
    if shared.counts_groups {
        return Ok(Merged { columns: Vec::new(), first });
    }
    for state in &mut states {
        context.check()?;
        state.seal()?;
    }
    let columns = columns(shared, set, &table, &states, if single { 1 } else { table.len() })?;
    Ok(Merged { columns, first })
}

fn held(table: &KeyTable, states: &[State]) -> u64 {
    table.memory() + states.iter().map(State::memory).sum::<u64>()
}

fn columns(
    shared: &Shared,
    set: &GroupingSet,
    table: &KeyTable,
    states: &[State],
    rows: usize,
) -> Result<Vec<ArrayRef>> {
    let keys = set.layout.unpack(table.keys())?;
    let mut columns = Vec::with_capacity(shared.schema.len());
    for (group, ty) in shared.group_types.iter().enumerate() {
        columns.push(match set.groups.iter().position(|&g| g == group) {
            Some(place) => keys[place].flatten()?,
            None => new_null_array(&key_type(ty).to_arrow(), rows),
        });
    }
    for OutputCall { slot, call, affine } in &shared.outputs {
        columns.push(match affine {
            None => states[*slot].finish(call)?,
            Some((scale, offset)) => states[*slot].affine(call, *scale, *offset)?.finish(call)?,
        });
    }
    if shared.numbered {
        columns.push(Arc::new(Int64Array::from(vec![set.grouping_id; rows])));
    }
    if columns.iter().any(|column| column.len() != rows) {
        return Err(EngineError::Internal("an aggregate lost groups".into()));
    }
    Ok(columns)
}

/// Partition and row of each group, in the order in which groups were first seen: that of the partial results, each of
/// which is put in order by itself.
fn output_order(
    merged: &[Merged],
    partials: &[SetPartial],
    bases: &[u64],
    workers: &Workers,
) -> Result<Vec<(u32, u32)>> {
    const NONE: (u32, u32) = (u32::MAX, u32::MAX);
    let orders = workers.map(partials.len(), |index| {
        let (base, groups) = (bases[index], partials[index].len());
        let mut places = vec![NONE; groups];
        for (partition, merged) in merged.iter().enumerate() {
            // A partition's groups were first seen in ascending order.
            let start = merged.first.partition_point(|&first| first < base);
            for (row, &first) in (start..).zip(&merged.first[start..]) {
                match places.get_mut((first - base) as usize) {
                    Some(place) => *place = (partition as u32, row as u32),
                    None => break,
                }
            }
        }
        places.retain(|&place| place != NONE);
        Ok(places)
    })?;
    Ok(orders.concat())
}
