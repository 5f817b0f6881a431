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
pub(super) struct Answered {
    columns: Columns,
    /// The states that do not care for order have all of it; the others what comes before the first morsel that is read.
    states: Vec<State>,
    /// The other morsels, in their order, where a state cares for it: how many morsels that are read come before each,
    /// and its rows.
    later: Vec<(usize, u64)>,
    /// What is known of each column in each of these, without bounds.
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
pub(crate) fn answers(function: Function, ty: Option<&LogicalType>) -> bool {
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
    /// Whether all that it asks of a scan may be found in statistics.
    pub(crate) fn is_of_statistics(&self, projection: &[usize]) -> bool {
        self.shared.answerable(projection).is_some()
    }

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
        let mut answered = Answered { columns, states, later: Vec::new(), known: Vec::new() };
        let (mut read, mut left_out, mut morsel) = (Vec::new(), Vec::new(), 0);
        let mut known = Vec::with_capacity(answered.columns.columns.len());
        while morsel < scan.morsels() {
            let together = match in_order {
                true => None,
                false => shared.knows_together(scan, morsel, &whole, &answered, &mut known),
            };
            if let Some((morsels, rows)) = together {
                shared.absorb(&answered.columns, rows, &known, &mut answered.states, |_| true)?;
                left_out.extend(morsel..morsel + morsels);
                morsel += morsels;
                continue;
            }
            let rows = whole.get(morsel).copied().flatten();
            match rows.filter(|_| shared.knows(scan, morsel, &answered, &mut known)) {
                Some(rows) => {
                    left_out.push(morsel);
                    shared.take(&mut answered, read.len(), rows, &known)?;
                }
                None => read.push(morsel),
            }
            morsel += 1;
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
        answered: &Answered,
        known: &mut Vec<Cow<'a, Statistics>>,
    ) -> bool {
        known.clear();
        for &column in &answered.columns.columns {
            match scan.statistics(morsel, column) {
                Some(one) if !one.unknown => known.push(one),
                _ => return false,
            }
        }
        self.suffices(answered, known)
    }

    /// Like `knows`, of several morsels at once; says how many they are, and their rows.
    fn knows_together<'a>(
        &self,
        scan: &'a dyn Scan,
        first: usize,
        whole: &[Option<u64>],
        answered: &Answered,
        known: &mut Vec<Cow<'a, Statistics>>,
    ) -> Option<(usize, u64)> {
        known.clear();
        let mut all = 0;
        for &column in &answered.columns.columns {
            let (morsels, one) = scan.statistics_together(first, column)?;
            if morsels < 2 || all != 0 && all != morsels {
                return None;
            }
            all = morsels;
            known.push(Cow::Borrowed(one));
        }
        let rows: Option<u64> = whole.get(first..first + all)?.iter().copied().sum();
        rows.filter(|_| all > 0 && self.suffices(answered, known)).map(|rows| (all, rows))
    }

    /// Whether what is known of the columns is enough for all slots.
    fn suffices(&self, answered: &Answered, known: &[Cow<'_, Statistics>]) -> bool {
        let Answered { columns, states, .. } = answered;
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

    /// Takes what is known of a morsel with `read` morsels that are read before it.
    fn take(
        &self,
        answered: &mut Answered,
        read: usize,
        rows: u64,
        known: &[Cow<'_, Statistics>],
    ) -> Result<()> {
        let Answered { columns, states, later, known: kept } = answered;
        if read == 0 {
            return self.absorb(columns, rows, known, states, |_| true);
        }
        self.absorb(columns, rows, known, states, |state| !state.cares_for_order())?;
        if states.iter().any(State::cares_for_order) {
            later.push((read, rows));
            let bare = |known: &Cow<'_, Statistics>| Statistics {
                sums: known.sums.clone(),
                min: None,
                max: None,
                ..**known
            };
            kept.extend(known.iter().map(bare));
        }
        Ok(())
    }

    /// Takes what statistics know of a morsel's columns into those states of one group that `wanted` names.
    fn absorb(
        &self,
        columns: &Columns,
        rows: u64,
        known: &[impl Borrow<Statistics>],
        states: &mut [State],
        wanted: impl Fn(&State) -> bool,
    ) -> Result<()> {
        for (state, column) in states.iter_mut().zip(&columns.of_slots) {
            let known = column.and_then(|column| known.get(column)).map(Borrow::borrow);
            if wanted(state) && !state.absorb(rows, known) {
                return Err(EngineError::Internal("statistics are not enough".into()));
            }
        }
        Ok(())
    }

    /// Merges the morsels that statistics answer between the read morsels `read - 1` and `read` into states of one group;
    /// before the first one, those too whose place does not matter.
    pub(super) fn merge_answered(&self, read: usize, states: &mut [State]) -> Result<()> {
        let Some(Answered { columns, states: merged, later, known }) = self.answered.get() else {
            return Ok(());
        };
        if read == 0 {
            for (state, merged) in states.iter_mut().zip(merged) {
                state.merge(merged, &[0], &[0])?;
            }
        }
        let width = columns.columns.len();
        let from = later.partition_point(|(before, _)| *before < read);
        let here = later[from..].iter().take_while(|(before, _)| *before == read);
        for ((_, rows), known) in here.zip(known.chunks(width.max(1)).skip(from)) {
            self.absorb(columns, *rows, known, states, State::cares_for_order)?;
        }
        Ok(())
    }
}
