//! Morsels that need not be read: their statistics hold what the aggregates would make of their rows.
//!
//! Invariants: only aggregations without groups over a bare scan, and only morsels of which every row counts; what
//! statistics give is merged in the morsels' order, as the partial results of those that are read, so that the result
//! has the same bits in both ways. A morsel for which a derived argument could fail is read, so that it does.
//! Next: `merge.rs`.

use std::borrow::{Borrow, Cow};

use stoadb_storage::{LogicalType, Scalar, Scan, Statistics};

use super::{Aggregate, Guard, Shared, Slot};
use crate::{
    agg::{State, affine::Affine},
    error::{EngineError, Result},
    expr::Expr,
    plan::{AggregateCall, AggregateFunction as Function},
};

/// What statistics say of the morsels that they answer.
pub(super) enum Answered {
    /// Merged already: for states that do not care for order.
    Merged(Vec<State>),
    /// In the morsels' order.
    InOrder(Vec<Morsel>),
}

/// What statistics say of one morsel.
pub(super) struct Morsel {
    /// How many morsels that are read come before it.
    read_before: usize,
    rows: u64,
    /// What is known of each column.
    known: Vec<Statistics>,
}

/// The columns whose statistics answer the slots.
struct Columns {
    /// Ordinals of the relation, each once.
    columns: Vec<usize>,
    /// The position of each slot's column among them; `None` for `count(*)`.
    of_slots: Vec<Option<usize>>,
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
        Function::VarSamp
        | Function::VarPop
        | Function::StddevSamp
        | Function::StddevPop
        | Function::Sem => digits.is_some_and(|digits| digits <= 18),
        Function::Min | Function::Max | Function::BoolAnd | Function::BoolOr => {
            !ty.is_nested() && !matches!(ty, LogicalType::Interval | LogicalType::Null)
        }
        _ => false,
    }
}

/// Whether statistics can answer an aggregate of a scan's columns, as far as the plan shows.
pub(crate) fn can_answer(call: &AggregateCall) -> bool {
    let plain = !call.distinct
        && call.filter.is_none()
        && call.order_by.is_empty()
        && call.parameters.is_empty();
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
        let mut states = shared.states()?;
        states.iter_mut().for_each(|state| state.resize(1));
        let in_order = states.iter().any(State::cares_for_order);
        let (mut morsels, mut read, mut left_out) = (Vec::new(), Vec::new(), Vec::new());
        let mut known = Vec::with_capacity(columns.columns.len());
        for morsel in 0..scan.morsels() {
            let rows = whole.get(morsel).copied().flatten();
            let rows = rows.filter(|_| shared.knows(scan, morsel, &columns, &states, &mut known));
            let Some(rows) = rows else {
                read.push(morsel);
                continue;
            };
            left_out.push(morsel);
            if in_order {
                let known = known.drain(..).map(Cow::into_owned).collect();
                morsels.push(Morsel { read_before: read.len(), rows, known });
            } else {
                shared.absorb(&columns.of_slots, rows, &known, &mut states)?;
            }
        }
        if left_out.is_empty() {
            return Ok(None);
        }
        scan.answered(&left_out);
        let twice = |_| EngineError::Internal("statistics were asked twice".into());
        let answered = if in_order { Answered::InOrder(morsels) } else { Answered::Merged(states) };
        shared.answered.set((columns.of_slots, answered)).map_err(twice)?;
        Ok(Some(read))
    }
}

impl Shared {
    /// The relation's columns that the slots are of, if statistics can answer all slots.
    fn answerable(&self, projection: &[usize]) -> Option<Columns> {
        let plain = |set: &super::GroupingSet| set.columns.is_empty();
        if self.sets.len() != 1 || !self.sets.iter().all(plain) || self.counts_groups {
            return None;
        }
        let mut all = Columns { columns: Vec::new(), of_slots: Vec::new() };
        for Slot { call, columns, filter, .. } in &self.slots {
            let plain = filter.is_none() && !call.distinct && call.order_by.is_empty();
            if !plain || !answers(call.function, call.args.first()) {
                return None;
            }
            let column = match columns.as_slice() {
                [] => None,
                [column] => {
                    let column = projection[self.inputs[*column]?];
                    let known = all.columns.iter().position(|&other| other == column);
                    Some(known.unwrap_or_else(|| {
                        all.columns.push(column);
                        all.columns.len() - 1
                    }))
                }
                _ => return None,
            };
            all.of_slots.push(column);
        }
        Some(all)
    }

    /// Whether statistics know enough of a morsel for all slots; `known` is what they know of each column then.
    fn knows<'a>(
        &self,
        scan: &'a dyn Scan,
        morsel: usize,
        columns: &Columns,
        states: &[State],
        known: &mut Vec<Cow<'a, Statistics>>,
    ) -> bool {
        known.clear();
        for &column in &columns.columns {
            match scan.statistics(morsel, column) {
                Some(one) if !one.unknown => known.push(one),
                _ => return false,
            }
        }
        let of = |slot: usize| columns.of_slots[slot].map(|column| known[column].as_ref());
        let enough = states.iter().enumerate().all(|(slot, state)| state.can_absorb(of(slot)));
        // Where a derived argument could fail, it must be computed.
        let holds = |guard: &Guard| {
            let slot = self.slots.iter().position(|slot| slot.columns == [guard.column]);
            let Some(known) = slot.and_then(of) else { return false };
            let bound = |bound: &Option<Scalar>| bound.as_ref().and_then(Scalar::as_i128);
            known.rows == known.nulls
                || bound(&known.min).is_some_and(|min| guard.low <= min)
                    && bound(&known.max).is_some_and(|max| max <= guard.high)
        };
        enough && self.guards.iter().all(holds)
    }

    /// Takes what statistics know of a morsel's columns into states of one group.
    fn absorb(
        &self,
        of_slots: &[Option<usize>],
        rows: u64,
        known: &[impl Borrow<Statistics>],
        states: &mut [State],
    ) -> Result<()> {
        for (state, column) in states.iter_mut().zip(of_slots) {
            let known = column.and_then(|column| known.get(column)).map(Borrow::borrow);
            if !state.absorb(rows, known) {
                return Err(EngineError::Internal("statistics are not enough".into()));
            }
        }
        Ok(())
    }

    /// Merges the morsels that statistics answer between the read morsels `read - 1` and `read` into states of one group.
    pub(super) fn merge_answered(&self, read: usize, states: &mut [State]) -> Result<()> {
        match self.answered.get() {
            None => {}
            Some((_, Answered::Merged(merged))) if read == 0 => {
                for (state, merged) in states.iter_mut().zip(merged) {
                    state.merge(merged, &[0], &[0])?;
                }
            }
            Some((_, Answered::Merged(_))) => {}
            Some((of_slots, Answered::InOrder(morsels))) => {
                let from = morsels.partition_point(|morsel| morsel.read_before < read);
                let here = morsels[from..].iter().take_while(|morsel| morsel.read_before == read);
                for morsel in here {
                    self.absorb(of_slots, morsel.rows, &morsel.known, states)?;
                }
            }
        }
        Ok(())
    }
}
