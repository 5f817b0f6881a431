//! One worker: aggregates each of its morsels by itself.
//!
//! Invariant: what a partial result holds depends on its morsel's rows alone, not on how they were cut into batches.

use std::sync::{Arc, PoisonError};

use arrow::{
    array::{Array, AsArray, UInt32Array},
    buffer::NullBuffer,
};
use stoadb_storage::Vector;

use super::{Guard, Partial, SetPartial, Shared, Slot, groups::GroupIds};
use crate::{
    agg::{Groups, State, affine::all_within, masked::RowMask},
    batch::Batch,
    context::{QueryContext, Reservation},
    error::{EngineError, Result},
    eval::Evaluator,
    op::{Feed, LocalSink},
};

/// Batches between two looks at the memory held.
const MEMORY_BATCHES: usize = 16;
/// A morsel of more groups than this is split into partitions.
const MANY_GROUPS: usize = 1 << 12;

pub(super) struct LocalAggregate {
    shared: Arc<Shared>,
    context: Arc<QueryContext>,
    evaluator: Evaluator,
    morsel: usize,
    sets: Vec<SetState>,
    /// What the current morsel holds.
    memory: Reservation,
    batches: usize,
    done: Vec<Partial>,
}

struct SetState {
    groups: GroupIds,
    states: Vec<State>,
}

/// A slot's rows of a batch: all, or those that pass its filter and have no NULL.
struct SlotRows {
    args: Vec<Vector>,
    kept: Option<Vec<u32>>,
    /// In place of `kept`, for slots that take masks: the arguments of all rows, and which of these count.
    masked: Option<(Vec<Vector>, RowMask)>,
}

impl LocalAggregate {
    pub(super) fn new(shared: &Arc<Shared>, context: &Arc<QueryContext>) -> Self {
        Self {
            shared: Arc::clone(shared),
            context: Arc::clone(context),
            evaluator: Evaluator::new(&shared.program),
            morsel: 0,
            sets: Vec::new(),
            memory: reservation(context),
            batches: 0,
            done: Vec::new(),
        }
    }

    fn reserve(&mut self) -> Result<()> {
        let set = |set: &SetState| {
            set.groups.memory() + set.states.iter().map(State::memory).sum::<u64>()
        };
        let bytes = self.sets.iter().map(set).sum();
        self.memory.resize(bytes)
    }

    /// Where a derived aggregate's argument could fail, it is computed, so that it does.
    fn check_guards(&mut self, batch: &Batch, columns: &[Vector]) -> Result<()> {
        let Some(guarded) = &self.shared.guarded else { return Ok(()) };
        for Guard { column, low, high } in &self.shared.guards {
            if !all_within(&columns[*column], *low, *high)? {
                Evaluator::new(guarded).project(batch)?;
                return Ok(());
            }
        }
        Ok(())
    }

    /// The rows of each slot that does not share those of one before it.
    fn slot_rows(&self, columns: &[Vector], rows: usize) -> Result<Vec<Option<SlotRows>>> {
        let slots = self.shared.slots.iter().enumerate();
        let own = slots.map(|(index, slot)| match slot.rows_of == index {
            true => slot_rows(slot, columns, rows).map(Some),
            false => Ok(None),
        });
        own.collect()
    }

    fn batch_done(&mut self) -> Result<Feed> {
        self.batches += 1;
        if self.batches.is_multiple_of(MEMORY_BATCHES) {
            self.reserve()?;
        }
        Ok(Feed::NeedInput)
    }

    /// Takes the arguments of `count(DISTINCT ...)` as keys.
    fn push_distinct(&mut self, slots: &[Option<SlotRows>]) -> Result<Feed> {
        let shared = Arc::clone(&self.shared);
        for ((set, definition), slot) in
            self.sets.iter_mut().zip(&shared.sets).zip(slots.iter().flatten())
        {
            let rows = slot.args.first().map_or(0, Vector::len);
            if rows > 0 {
                set.groups.assign(definition, &shared.texts, &slot.args, rows)?;
            }
        }
        self.batch_done()
    }
}

fn reservation(context: &QueryContext) -> Reservation {
    context.memory().reservation("aggregation")
}

impl LocalSink for LocalAggregate {
    fn begin_morsel(&mut self, morsel: usize) -> Result<()> {
        self.morsel = morsel;
        self.batches = 0;
        self.sets.clear();
        for set in &self.shared.sets {
            let mut states = self.shared.states()?;
            if set.columns.is_empty() {
                states.iter_mut().for_each(|state| state.resize(1));
            }
            self.sets.push(SetState { groups: GroupIds::new(set), states });
        }
        Ok(())
    }

    fn push(&mut self, batch: Batch) -> Result<Feed> {
        let rows = batch.len();
        let columns = self.evaluator.project(&batch)?;
        self.check_guards(&batch, &columns)?;
        let slots = self.slot_rows(&columns, rows)?;
        if self.shared.counts_groups {
            return self.push_distinct(&slots);
        }
        let mut kept_ids = Vec::new();
        let shared = &self.shared;
        for (set, definition) in self.sets.iter_mut().zip(&shared.sets) {
            let grouped = !definition.columns.is_empty();
            if grouped {
                let keys: Vec<Vector> =
                    definition.columns.iter().map(|&column| columns[column].clone()).collect();
                set.groups.assign(definition, &shared.texts, &keys, rows)?;
            }
            for (state, Slot { rows_of, masked, .. }) in set.states.iter_mut().zip(&shared.slots) {
                let Some(slot) = &slots[*rows_of] else { continue };
                if let Some((args, mask)) = slot.masked.as_ref().filter(|_| *masked) {
                    state.update_masked(args, mask)?;
                    continue;
                }
                let groups = match (&slot.kept, grouped) {
                    (None, false) => Groups::One(rows),
                    (Some(kept), false) => Groups::One(kept.len()),
                    (None, true) => Groups::Ids(set.groups.ids()),
                    (Some(kept), true) => {
                        let ids = set.groups.ids();
                        kept_ids.clear();
                        kept_ids.extend(kept.iter().map(|&row| ids[row as usize]));
                        Groups::Ids(&kept_ids)
                    }
                };
                if grouped {
                    state.resize(set.groups.len());
                }
                if groups.len() > 0 {
                    state.update(&slot.args, groups)?;
                }
            }
        }
        self.batch_done()
    }

    fn end_morsel(&mut self) -> Result<Feed> {
        for state in self.sets.iter_mut().flat_map(|set| &mut set.states) {
            state.seal()?;
        }
        self.reserve()?;
        let sets = self.sets.drain(..).map(|set| {
            let (keys, hashes) = set.groups.into_parts();
            let many = hashes.len() > MANY_GROUPS;
            let mut partial = SetPartial { keys, hashes, states: set.states, split: None };
            if many {
                // Now, while it is in the caches.
                partial.split();
            }
            partial
        });
        let sets = sets.collect();
        let memory = std::mem::replace(&mut self.memory, reservation(&self.context));
        self.done.push(Partial { morsel: self.morsel, sets, memory });
        Ok(Feed::NeedInput)
    }

    fn merge(self: Box<Self>) -> Result<()> {
        let mut partials = self.shared.partials.lock().unwrap_or_else(PoisonError::into_inner);
        partials.extend(self.done);
        Ok(())
    }
}

fn slot_rows(slot: &Slot, columns: &[Vector], rows: usize) -> Result<SlotRows> {
    let arguments = slot.call.args.len();
    let mut valid: Option<NullBuffer> = None;
    if !slot.call.keeps_nulls() {
        for &column in &slot.columns[..arguments] {
            valid = NullBuffer::union(valid.as_ref(), columns[column].nulls().as_ref());
        }
    }
    let mut some = valid.filter(|valid| valid.null_count() > 0).map(|valid| {
        let count = valid.len() - valid.null_count();
        (valid.into_inner(), count)
    });
    if let Some(filter) = slot.filter {
        let filter = columns[filter].flatten()?;
        let truth = filter
            .as_boolean_opt()
            .ok_or_else(|| EngineError::Internal("an aggregate's filter is not boolean".into()))?;
        let mut mask = match truth.nulls() {
            Some(nulls) => truth.values() & nulls.inner(),
            None => truth.values().clone(),
        };
        if let Some((valid, _)) = &some {
            mask = &mask & valid;
        }
        let count = mask.count_set_bits();
        some = Some((mask, count)).filter(|_| count < rows);
    }
    let arguments = || slot.columns.iter().map(|&column| columns[column].clone());
    let read = || if slot.reads { arguments().collect() } else { Vec::new() };
    let Some((mask, count)) = some else {
        return Ok(SlotRows { args: read(), kept: None, masked: None });
    };
    let mut gathered = SlotRows { args: Vec::new(), kept: None, masked: None };
    if slot.gathers {
        let kept: Vec<u32> = mask.set_indices_u32().collect();
        if slot.reads {
            let kept = UInt32Array::from(kept.clone());
            let taken = arguments().map(|arg| Ok(arg.take(&kept)?));
            gathered.args = taken.collect::<Result<_>>()?;
        }
        gathered.kept = Some(kept);
    }
    if slot.masks {
        gathered.masked = Some((read(), RowMask::new(mask, count)));
    }
    Ok(gathered)
}
