//! GROUP BY and aggregation: the sink, and the source of its result.
//!
//! Invariant: the unit of partial aggregation is the morsel. Each is aggregated by itself, and the partial results are
//! merged in morsel order, so that neither values nor the order of rows (that of each group's first row) depend on
//! workers. With grouping sets, the rows of one set follow those of the one before it.
//! Next: `local.rs` (one morsel), `groups.rs` (rows to groups), `texts.rs` (texts to numbers), `statistics.rs` (morsels
//! that need not be read), `whole.rs` (rows of one group), `merge.rs` (all morsels), `source.rs`.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use stoadb_storage::{LogicalType, Schema};

use self::{
    split::Split,
    texts::{TextColumns, Texts, key_type},
};
use super::{LocalSink, Sink, Source};
use crate::{
    agg::{Call, State, affine::Affine},
    context::{QueryContext, Reservation},
    error::{EngineError, Result},
    eval::Program,
    expr::Expr,
    kernel::key::{KeyLayout, Keys},
    plan::{AggregateCall, AggregateFunction},
    scheduler::Workers,
};

mod groups;
mod local;
mod merge;
mod source;
mod split;
mod strings;
pub(crate) mod statistics;
#[cfg(test)]
mod tests;
mod texts;
mod whole;

/// The aggregation of a pipeline's rows.
pub struct Aggregate {
    shared: Arc<Shared>,
}

/// What all workers see.
struct Shared {
    /// Group columns, arguments, filters and order keys, each expression once.
    program: Arc<Program>,
    /// The input column that each output of the program is, if it is a bare column.
    inputs: Vec<Option<usize>>,
    group_types: Vec<LogicalType>,
    sets: Vec<GroupingSet>,
    /// The numbers of texts and blobs, per column of them that is grouped by.
    texts: Vec<Texts>,
    /// Which of them each group column has, if any.
    group_texts: Vec<Option<usize>>,
    /// Whether the output ends in `grouping_id`.
    numbered: bool,
    /// Whether the result is how many groups there are: `count(DISTINCT ...)` alone, over groups of its arguments.
    counts_groups: bool,
    slots: Vec<Slot>,
    /// Where each aggregate's result comes from.
    outputs: Vec<OutputCall>,
    /// What must hold of columns for derived aggregates to have the values that they would compute.
    guards: Vec<Guard>,
    /// The arguments of derived aggregates that can fail, computed for a batch in which a guard does not hold.
    guarded: Option<Arc<Program>>,
    /// What statistics answer.
    answered: OnceLock<statistics::Answered>,
    schema: Schema,
    partials: Mutex<Vec<Partial>>,
    result: OnceLock<merge::Output>,
}

/// What one set groups by.
struct GroupingSet {
    /// Ordinals of the group expressions.
    groups: Vec<usize>,
    /// Their positions among the program's outputs.
    columns: Vec<usize>,
    /// Per column, which of the texts are its values.
    texts: Vec<Option<usize>>,
    layout: KeyLayout,
    grouping_id: i64,
}

/// A state that one or more aggregates read their result from.
struct Slot {
    call: Call,
    /// Positions of the arguments among the program's outputs, those of the order keys after them.
    columns: Vec<usize>,
    filter: Option<usize>,
    /// The first slot that takes the same rows of the same arguments, and whether a slot with these rows looks at them.
    rows_of: usize,
    reads: bool,
    /// Whether it takes a mask of them, as rows of one group.
    masked: bool,
    /// Of the first slot with these rows: whether any slot takes a mask of them, and whether any has them gathered.
    masks: bool,
    gathers: bool,
}

/// An aggregate of the output.
struct OutputCall {
    slot: usize,
    call: Call,
    /// What the slot's argument is multiplied by and what is added to it, where the slot is not of the argument itself.
    affine: Option<(i128, i128)>,
}

/// Bounds of a column's values within which no derived argument fails.
struct Guard {
    /// The column's position among the program's outputs.
    column: usize,
    low: i128,
    high: i128,
}

/// The groups of one morsel.
struct Partial {
    morsel: usize,
    sets: Vec<SetPartial>,
    /// Held until the partial result is merged.
    memory: Reservation,
}

/// The groups of one morsel and set, in the order of their first rows or split into partitions.
struct SetPartial {
    keys: Keys,
    hashes: Vec<u64>,
    states: Vec<State>,
    split: Option<Split>,
}

impl Aggregate {
    /// An aggregation of rows of the `input` schema. `grouping_sets` is empty for plain GROUP BY; the output schema is
    /// that of `Plan::Aggregate`.
    ///
    /// # Errors
    /// `Unsupported` when a function does not take its arguments' types, when a group's type cannot be compared, or when
    /// an expression names a function that nobody registered; `Internal` when the plan is inconsistent.
    pub fn new(
        input: &Schema,
        groups: &[Expr],
        grouping_sets: &[Vec<usize>],
        aggregates: &[AggregateCall],
        output: &Schema,
        context: &Arc<QueryContext>,
    ) -> Result<Arc<Self>> {
        let width = groups.len() + aggregates.len() + usize::from(!grouping_sets.is_empty());
        if output.len() != width {
            return Err(EngineError::Internal(format!(
                "an aggregate of {width} columns with an output of {}",
                output.len()
            )));
        }
        let mut exprs = Exprs { input, exprs: Vec::new() };
        let columns = groups.iter().map(|group| exprs.add(group)).collect::<Result<Vec<_>>>()?;
        let plain: Vec<Vec<usize>> = vec![(0..groups.len()).collect()];
        let sets = if grouping_sets.is_empty() { &plain } else { grouping_sets };
        let mut texts = TextColumns::new(context);
        let group_texts: Vec<_> =
            groups.iter().zip(&columns).map(|(g, &column)| texts.add(&g.ty(), column)).collect();
        let sets = sets.iter().map(|set| grouping_set(set, groups, &columns, &group_texts, input));
        let sets = sets.collect::<Result<Vec<_>>>()?;
        let mut calls = Calls::default();
        for aggregate in aggregates {
            calls.add(aggregate, &mut exprs)?;
        }
        let Calls { mut slots, outputs, guards, guarded } = calls;
        share_rows(&mut slots);
        whole::mask_rows(&mut slots, groups.is_empty() && grouping_sets.is_empty());
        let counts_groups = groups.is_empty()
            && grouping_sets.is_empty()
            && matches!(outputs.as_slice(), [OutputCall { call, .. }] if call.distinct && call.function == AggregateFunction::Count);
        let sets = if counts_groups { vec![arguments_set(&slots[0], &mut texts)?] } else { sets };
        let shared = Shared {
            counts_groups,
            program: Program::compile(&exprs.exprs, context)?,
            inputs: exprs.exprs.iter().map(bare_column).collect(),
            group_types: groups.iter().map(Expr::ty).collect(),
            sets,
            texts: texts.texts,
            group_texts,
            numbered: !grouping_sets.is_empty(),
            slots,
            outputs,
            guards,
            guarded: match guarded.as_slice() {
                [] => None,
                exprs => Some(Program::compile(exprs, context)?),
            },
            answered: OnceLock::new(),
            schema: output.clone(),
            partials: Mutex::default(),
            result: OnceLock::new(),
        };
        Ok(Arc::new(Self { shared: Arc::new(shared) }))
    }

    /// The groups, once `Sink::finish` has run: a morsel is a range of groups in output order.
    pub fn source(self: &Arc<Self>) -> Arc<dyn Source> {
        Arc::new(source::AggregateSource::new(&self.shared))
    }
}

fn grouping_set(
    set: &[usize],
    groups: &[Expr],
    columns: &[usize],
    texts: &[Option<usize>],
    input: &Schema,
) -> Result<GroupingSet> {
    if set.iter().any(|&group| group >= groups.len()) {
        return Err(EngineError::Internal("a grouping set names a missing group".into()));
    }
    let mut set = set.to_vec();
    set.sort_unstable();
    set.dedup();
    let nullable = |group: &Expr| match group {
        Expr::Column { index, .. } => input.columns.get(*index).is_none_or(|c| c.nullable),
        _ => true,
    };
    let key = |&group: &usize| (key_type(&groups[group].ty()), nullable(&groups[group]));
    let types: Vec<_> = set.iter().map(key).collect();
    let last = groups.len().wrapping_sub(1);
    let absent = (0..groups.len()).filter(|group| !set.contains(group));
    Ok(GroupingSet {
        columns: set.iter().map(|&group| columns[group]).collect(),
        texts: set.iter().map(|&group| texts[group]).collect(),
        layout: KeyLayout::new(&types)?,
        grouping_id: absent.map(|group| 1_i64 << (last - group).min(63)).sum(),
        groups: set,
    })
}

/// Groups by the arguments of a slot, of which none is NULL.
fn arguments_set(slot: &Slot, texts: &mut TextColumns<'_>) -> Result<GroupingSet> {
    let args = &slot.call.args;
    let types: Vec<_> = args.iter().map(|ty| (key_type(ty), false)).collect();
    let texts = args.iter().zip(&slot.columns).map(|(ty, &column)| texts.add(ty, column));
    Ok(GroupingSet {
        groups: Vec::new(),
        texts: texts.collect(),
        columns: slot.columns.clone(),
        layout: KeyLayout::new(&types)?,
        grouping_id: 0,
    })
}

fn bare_column(expr: &Expr) -> Option<usize> {
    match expr {
        Expr::Column { index, .. } => Some(*index),
        _ => None,
    }
}

/// The aggregates of a plan as they are computed.
#[derive(Default)]
struct Calls {
    slots: Vec<Slot>,
    outputs: Vec<OutputCall>,
    guards: Vec<Guard>,
    guarded: Vec<Expr>,
}

impl Calls {
    fn add(&mut self, aggregate: &AggregateCall, exprs: &mut Exprs<'_>) -> Result<()> {
        let call = Call::new(aggregate)?;
        let filter = aggregate.filter.as_ref().map(|f| exprs.add(f)).transpose()?;
        let line = match aggregate.args.as_slice() {
            [arg] if filter.is_none() => Affine::of(arg).filter(|line| line.derives(&call)),
            _ => None,
        };
        let Some(line) = line else {
            let args = aggregate.args.iter().chain(call.order_by.iter().map(|key| &key.expr));
            let columns = args.map(|arg| exprs.add(arg)).collect::<Result<Vec<_>>>()?;
            let slot = self.slot(&call, columns, filter);
            self.outputs.push(OutputCall { slot, call, affine: None });
            return Ok(());
        };
        let column = exprs.add(&line.column)?;
        if !line.is_total() {
            self.guard(column, line.low, line.high);
            self.guarded.extend(aggregate.args.iter().cloned());
        }
        let slot = self.slot(&line.base(&call), vec![column], None);
        self.outputs.push(OutputCall { slot, call, affine: Some((line.scale, line.offset)) });
        Ok(())
    }

    fn slot(&mut self, call: &Call, columns: Vec<usize>, filter: Option<usize>) -> usize {
        let known = self.slots.iter_mut().enumerate().find_map(|(index, slot)| {
            if slot.columns != columns || slot.filter != filter {
                return None;
            }
            if call.covers(&slot.call) {
                slot.call = call.clone();
            }
            (slot.call.shares_state(call) || slot.call.covers(call)).then_some(index)
        });
        known.unwrap_or_else(|| {
            let rows_of = self.slots.len();
            self.slots.push(Slot {
                call: call.clone(),
                columns,
                filter,
                rows_of,
                reads: true,
                masked: false,
                masks: false,
                gathers: false,
            });
            rows_of
        })
    }

    fn guard(&mut self, column: usize, low: i128, high: i128) {
        match self.guards.iter_mut().find(|guard| guard.column == column) {
            Some(guard) => {
                guard.low = guard.low.max(low);
                guard.high = guard.high.min(high);
            }
            None => self.guards.push(Guard { column, low, high }),
        }
    }
}

/// Lets slots that take the same rows of the same arguments take them together.
fn share_rows(slots: &mut [Slot]) {
    for index in 0..slots.len() {
        let (before, rest) = slots.split_at_mut(index);
        let slot = &mut rest[0];
        let counts =
            matches!(slot.call.function, AggregateFunction::CountStar | AggregateFunction::Count);
        slot.reads = slot.call.distinct || !counts;
        let arguments = slot.call.args.len();
        let twin = before.iter_mut().find(|other| {
            other.columns == slot.columns
                && other.call.args.len() == arguments
                && other.filter == slot.filter
                && other.call.keeps_nulls() == slot.call.keeps_nulls()
        });
        if let Some(twin) = twin {
            slot.rows_of = twin.rows_of;
            twin.reads |= slot.reads;
        }
    }
}

/// Collects expressions, each once.
struct Exprs<'a> {
    input: &'a Schema,
    exprs: Vec<Expr>,
}

impl Exprs<'_> {
    fn add(&mut self, expr: &Expr) -> Result<usize> {
        let mut missing = None;
        expr.for_each_column(&mut |index| {
            if index >= self.input.len() {
                missing = Some(index);
            }
        });
        if let Some(index) = missing {
            return Err(EngineError::Internal(format!(
                "an aggregate reads missing column {index}"
            )));
        }
        if let Some(known) = self.exprs.iter().position(|known| known == expr) {
            return Ok(known);
        }
        self.exprs.push(expr.clone());
        Ok(self.exprs.len() - 1)
    }
}

impl Shared {
    /// Empty states of all slots.
    fn states(&self) -> Result<Vec<State>> {
        if self.counts_groups {
            return Ok(Vec::new());
        }
        self.slots.iter().map(|slot| State::new(&slot.call)).collect()
    }
}

impl Sink for Aggregate {
    fn local(&self, context: &Arc<QueryContext>) -> Result<Box<dyn LocalSink>> {
        Ok(Box::new(local::LocalAggregate::new(&self.shared, context)))
    }

    fn finish(&self, context: &Arc<QueryContext>, workers: &Workers) -> Result<()> {
        let mut partials = std::mem::take(
            &mut *self.shared.partials.lock().unwrap_or_else(PoisonError::into_inner),
        );
        partials.sort_by_key(|partial| partial.morsel);
        let output = merge::merge(&self.shared, partials, context, workers)?;
        self.shared
            .result
            .set(output)
            .map_err(|_| EngineError::Internal("an aggregate was finished twice".into()))
    }
}
