//! The partial results of all morsels merged, in morsel order.
//!
//! Invariant: whether and how groups are partitioned follows from the partial results alone. Few groups are merged in
//! one go, which numbers them in output order; many are split by hash into partitions that are merged side by side, and
//! the output order is found from where each group was first seen.

use std::{
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use arrow::array::{ArrayRef, Int64Array, new_null_array};

use super::{GroupingSet, OutputCall, Partial, SetPartial, Shared};
use crate::{
    agg::{State, table::KeyTable},
    context::{QueryContext, Reservation},
    error::{EngineError, Result},
    kernel::key::Keys,
    scheduler::Workers,
};

/// How many partitions many groups are split into.
const PARTITIONS: usize = 64;
/// Up to how many partial groups are merged in one go.
const FEW_GROUPS: usize = 1 << 14;

/// The result of all sets.
pub(super) struct Output {
    pub(super) sets: Vec<SetOutput>,
    _memory: Vec<Reservation>,
}

/// The groups of one set.
pub(super) struct SetOutput {
    /// Columns by partition.
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

/// Groups by partition: `rows[starts[p]..starts[p + 1]]` are those of partition `p`, ascending.
struct Split {
    starts: Vec<u32>,
    rows: Vec<u32>,
    /// Keys and hashes in the order of `rows`, so that a partition reads them in one stretch; `None` when they stand in
    /// this order already.
    moved: Option<(Keys, Vec<u64>)>,
}

pub(super) fn merge(
    shared: &Shared,
    partials: &[Partial],
    context: &Arc<QueryContext>,
    workers: &Workers,
) -> Result<Output> {
    let memory = Mutex::default();
    let mut sets = Vec::with_capacity(shared.sets.len());
    for (index, set) in shared.sets.iter().enumerate() {
        let partials: Vec<&SetPartial> = partials.iter().map(|p| &p.sets[index]).collect();
        sets.push(merge_set(shared, set, &partials, &memory, context, workers)?);
    }
    Ok(Output { sets, _memory: memory.into_inner().unwrap_or_else(PoisonError::into_inner) })
}

fn merge_set(
    shared: &Shared,
    set: &GroupingSet,
    partials: &[&SetPartial],
    memory: &Mutex<Vec<Reservation>>,
    context: &Arc<QueryContext>,
    workers: &Workers,
) -> Result<SetOutput> {
    let mut bases = Vec::with_capacity(partials.len());
    let mut total = 0;
    for partial in partials {
        bases.push(total);
        total += partial.hashes.len() as u64;
    }
    let partitions = if total as usize <= FEW_GROUPS { 1 } else { PARTITIONS };
    let splits = workers.map(partials.len(), |index| {
        context.check()?;
        Ok(split(partials[index], partitions))
    })?;
    let merged = workers.map(partitions, |partition| {
        let mut reservation = context.memory().reservation("aggregation");
        let rows = |partial: usize| {
            let split = &splits[partial];
            (split, split.starts[partition]..split.starts[partition + 1])
        };
        let merged =
            merge_partition(shared, set, partials, &bases, &rows, &mut reservation, context)?;
        memory.lock().unwrap_or_else(PoisonError::into_inner).push(reservation);
        Ok(merged)
    })?;
    if shared.counts_groups {
        let groups: usize = merged.iter().map(|merged| merged.first.len()).sum();
        let count: ArrayRef = Arc::new(Int64Array::from(vec![groups as i64]));
        return Ok(SetOutput { partitions: vec![vec![count]], order: None, rows: 1 });
    }
    let rows = if set.columns.is_empty() { 1 } else { merged.iter().map(|m| m.first.len()).sum() };
    let order = (partitions > 1).then(|| output_order(&merged, total as usize, rows));
    let partitions = merged.into_iter().map(|merged| merged.columns).collect();
    Ok(SetOutput { partitions, order, rows })
}

fn split(partial: &SetPartial, partitions: usize) -> Split {
    let hashes = &partial.hashes;
    if partitions == 1 {
        let rows = hashes.len() as u32;
        return Split { starts: vec![0, rows], rows: (0..rows).collect(), moved: None };
    }
    let partition = |hash: u64| (hash >> 58) as usize;
    let mut starts = vec![0_u32; partitions + 1];
    for &hash in hashes {
        starts[partition(hash) + 1] += 1;
    }
    for partition in 0..partitions {
        starts[partition + 1] += starts[partition];
    }
    let mut next = starts.clone();
    let mut rows = vec![0; hashes.len()];
    for (row, &hash) in hashes.iter().enumerate() {
        let place = &mut next[partition(hash)];
        rows[*place as usize] = row as u32;
        *place += 1;
    }
    let hashes = rows.iter().map(|&row| hashes[row as usize]).collect();
    let moved = Some((partial.keys.gather(&rows), hashes));
    Split { starts, rows, moved }
}

fn merge_partition<'a>(
    shared: &Shared,
    set: &GroupingSet,
    partials: &[&SetPartial],
    bases: &[u64],
    rows_of: &impl Fn(usize) -> (&'a Split, Range<u32>),
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
    }
    for (index, partial) in partials.iter().enumerate() {
        context.check()?;
        if let Some(answered) = shared.answered.get() {
            answered.merge_before(index, &mut states, shared)?;
        }
        let (split, range) = rows_of(index);
        let rows =
            if single { &[0] } else { &split.rows[range.start as usize..range.end as usize] };
        if single {
            to.clear();
            to.push(0);
        } else {
            let mut next = table.len() as u32;
            let (keys, hashes) = match &split.moved {
                Some((keys, hashes)) => (keys, hashes),
                None => (&partial.keys, &partial.hashes),
            };
            table.insert(keys, hashes, range, &mut to);
            for (&row, &id) in rows.iter().zip(&to) {
                if id == next {
                    first.push(bases[index] + u64::from(row));
                    next += 1;
                }
            }
        }
        let groups = if single { 1 } else { table.len() };
        for (state, other) in states.iter_mut().zip(&partial.states) {
            state.resize(groups);
            state.merge(other, rows, &to)?;
        }
        if index.is_multiple_of(8) {
            reservation.resize(held(&table, &states))?;
        }
    }
    if let Some(answered) = shared.answered.get() {
        answered.merge_before(partials.len(), &mut states, shared)?;
    }
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
            None => new_null_array(&ty.to_arrow(), rows),
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

/// Partition and row of each group, in the order in which groups were first seen.
fn output_order(merged: &[Merged], total: usize, rows: usize) -> Vec<(u32, u32)> {
    const NONE: (u32, u32) = (u32::MAX, u32::MAX);
    let mut places = vec![NONE; total];
    for (partition, merged) in merged.iter().enumerate() {
        for (row, &first) in merged.first.iter().enumerate() {
            places[first as usize] = (partition as u32, row as u32);
        }
    }
    let mut order = Vec::with_capacity(rows);
    order.extend(places.into_iter().filter(|&place| place != NONE));
    order
}
