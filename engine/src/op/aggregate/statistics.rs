//! Morsels that need not be read: their statistics hold what the aggregates would make of their rows.
//!
//! Invariants: only aggregations without groups over a bare scan, and only morsels of which every row counts; what
//! statistics give is merged in the morsels' order, as the partial results of those that are read, so that the result
//! has the same bits in both ways. A morsel for which a derived argument could fail is read, so that it does.
//! Next: `merge.rs`.

use stoadb_storage::{LogicalType, Scan, Statistics};

use super::{Aggregate, Guard, Shared, Slot};
use crate::{
    agg::{State, affine::Affine},
    error::{EngineError, Result},
    expr::Expr,
    plan::{AggregateCall, AggregateFunction as Function},
};

/// What statistics say of the morsels that they answer, in the morsels' order.
#[derive(Default)]
pub(super) struct Answered {
    /// How many morsels that are read come before each, and how many rows it has.
    morsels: Vec<(usize, u64)>,
    /// What is known of each slot's column, slot after slot, morsel after morsel; a slot without a column has an
    /// entry of no meaning.
    known: Vec<Option<Statistics>>,
    slots: usize,
}

/// Whether statistics can answer an aggregate of a bare column.
fn answers(function: Function, ty: Option<&LogicalType>) -> bool {
    let Some(ty) = ty else { return function == Function::CountStar };
    let digits = match ty {
        _ if ty.is_integer() || ty.is_float() => Some(0),
        LogicalType::Decimal { precision, .. } => Some(*precision),
        _ => None,
    };
    match function {
        Function::Count => true,
        Function::Sum | Function::Avg => digits.is_some_and(|digits| digits <= 26),
        Function::VarSamp | Function::VarPop | Function::StddevSamp | Function::StddevPop => {
            digits.is_some_and(|digits| digits <= 18)
        }
        Function::Min | Function::Max | Function::BoolAnd | Function::BoolOr => {
            !ty.is_nested() && !matches!(ty, LogicalType::Interval | LogicalType::Null)
        }
        _ => false,
    }
}

/// Whether statistics can answer an aggregate of a scan's columns, as far as the plan shows.
pub(crate) fn can_answer(call: &AggregateCall) -> bool {
    let plain = !call.distinct && call.filter.is_none() && call.order_by.is_empty();
    plain
        && match call.args.as_slice() {
            [] => answers(call.function, None),
            [arg @ Expr::Column { .. }] => answers(call.function, Some(&arg.ty())),
            [arg] => {
                Affine::of(arg).is_some_and(|line| answers(call.function, Some(&line.column.ty())))
            }
            _ => false,
        }
}

impl Aggregate {
    /// Takes what it can from the statistics of a scan, whose filter is no more than what its `prune` says; `projection`
    /// gives the scan's columns as ordinals of the relation. Gives the morsels that are left to be read, in order; `None`
    /// when statistics answer none.
    ///
    /// # Errors
    /// `Internal` when it is called twice.
    pub fn answer(&self, projection: &[usize], scan: &dyn Scan) -> Result<Option<Vec<usize>>> {
        let shared = self.shared.as_ref();
        let Some(columns) = shared.answerable(projection) else { return Ok(None) };
        let whole = scan.whole();
        if whole.iter().all(Option::is_none) {
            return Ok(None);
        }
        let mut probe = shared.states()?;
        probe.iter_mut().for_each(|state| state.resize(1));
        let mut answered = Answered { slots: columns.len(), ..Answered::default() };
        let (mut read, mut left_out) = (Vec::new(), Vec::new());
        for morsel in 0..scan.morsels() {
            let rows = whole.get(morsel).copied().flatten();
            let known =
                rows.and_then(|rows| shared.known(scan, morsel, rows, &columns, &mut probe));
            match (rows, known) {
                (Some(rows), Some(known)) => {
                    answered.morsels.push((read.len(), rows));
                    answered.known.extend(known);
                    left_out.push(morsel);
                }
                _ => read.push(morsel),
            }
        }
        if left_out.is_empty() {
            return Ok(None);
        }
        scan.answered(&left_out);
        let twice = |_| EngineError::Internal("statistics were asked twice".into());
        shared.answered.set(answered).map_err(twice)?;
        Ok(Some(read))
    }
}

impl Shared {
    /// The relation's column of each slot (`None` for `count(*)`), if statistics can answer all slots.
    fn answerable(&self, projection: &[usize]) -> Option<Vec<Option<usize>>> {
        let plain = |set: &super::GroupingSet| set.columns.is_empty();
        if self.sets.len() != 1 || !self.sets.iter().all(plain) || self.counts_groups {
            return None;
        }
        let column = |slot: &Slot| {
            if slot.filter.is_some() || slot.call.distinct || !slot.call.order_by.is_empty() {
                return None;
            }
            if !answers(slot.call.function, slot.call.args.first()) {
                return None;
            }
            match slot.columns.as_slice() {
                [] => Some(None),
                [column] => Some(Some(projection[self.inputs[*column]?])),
                _ => None,
            }
        };
        self.slots.iter().map(column).collect()
    }

    /// What statistics know of the slots' columns in a morsel, if it is enough for all of them. `probe` is a state per
    /// slot, whose contents mean nothing.
    fn known(
        &self,
        scan: &dyn Scan,
        morsel: usize,
        rows: u64,
        columns: &[Option<usize>],
        probe: &mut [State],
    ) -> Option<Vec<Option<Statistics>>> {
        let mut all: Vec<Option<Statistics>> = Vec::with_capacity(columns.len());
        for (index, column) in columns.iter().enumerate() {
            // Slots of one column follow from one look at its statistics.
            let before = columns[..index].iter().position(|other| other == column);
            let known = match (column, before) {
                (None, _) => None,
                (Some(_), Some(before)) => all[before].clone(),
                (Some(column), None) => Some(scan.statistics(morsel, *column)?.into_owned()),
            };
            if !probe[index].absorb(&self.slots[index].call, rows, known.as_ref()) {
                return None;
            }
            all.push(known);
        }
        let holds = |guard: &Guard| {
            let slot = self.slots.iter().position(|slot| slot.columns == [guard.column])?;
            let known = all[slot].as_ref()?;
            if known.rows == known.nulls {
                return Some(());
            }
            let (min, max) = (known.min.as_ref()?.as_i128()?, known.max.as_ref()?.as_i128()?);
            (guard.low <= min && max <= guard.high).then_some(())
        };
        self.guards.iter().try_for_each(holds).map(|()| all)
    }
}

impl Answered {
    /// Merges the morsels between read morsel `read - 1` and read morsel `read` into states of one group.
    pub(super) fn merge_before(
        &self,
        read: usize,
        states: &mut [State],
        shared: &Shared,
    ) -> Result<()> {
        let from = self.morsels.partition_point(|(before, _)| *before < read);
        let to = self.morsels.partition_point(|(before, _)| *before <= read);
        for morsel in from..to {
            let known = &self.known[morsel * self.slots..(morsel + 1) * self.slots];
            for ((state, slot), known) in states.iter_mut().zip(&shared.slots).zip(known) {
                if !state.absorb(&slot.call, self.morsels[morsel].1, known.as_ref()) {
                    return Err(EngineError::Internal("statistics are not enough".into()));
                }
            }
        }
        Ok(())
    }
}
