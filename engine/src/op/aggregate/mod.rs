//! GROUP BY and aggregation: the sink, and the source of its result.
//!
//! Invariant: the unit of partial aggregation is the morsel. Each is aggregated by itself, and the partial results are
//! merged in morsel order, so that neither values nor the order of rows (that of each group's first row) depend on
//! workers. With grouping sets, the rows of one set follow those of the one before it.
//! Next: `local.rs` (one morsel), `groups.rs` (rows to groups), `texts.rs` (texts to numbers), `merge.rs` (all
//! morsels), `source.rs`.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use stoadb_storage::{LogicalType, Schema};

use self::{split::Split, texts::Texts};
use super::{LocalSink, Sink, Source};
use crate::{
    agg::{Call, State},
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
#[cfg(test)]
mod tests;
mod texts;

/// The aggregation of a pipeline's rows.
pub struct Aggregate {
    shared: Arc<Shared>,
}

/// What all workers see.
struct Shared {
    /// Group columns, arguments, filters and order keys, each expression once.
    program: Arc<Program>,
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
    /// The slot and the call of each aggregate.
    outputs: Vec<(usize, Call)>,
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
        let mut texts = TextColumns { context, texts: Vec::new(), columns: Vec::new() };
        let group_texts: Vec<_> =
            groups.iter().zip(&columns).map(|(g, &column)| texts.add(&g.ty(), column)).collect();
        let sets = sets.iter().map(|set| grouping_set(set, groups, &columns, &group_texts, input));
        let sets = sets.collect::<Result<Vec<_>>>()?;
        let mut slots: Vec<Slot> = Vec::new();
        let mut outputs = Vec::with_capacity(aggregates.len());
        for aggregate in aggregates {
            let call = Call::new(aggregate)?;
            let args = aggregate.args.iter().chain(call.order_by.iter().map(|key| &key.expr));
            let columns = args.map(|arg| exprs.add(arg)).collect::<Result<Vec<_>>>()?;
            let filter = aggregate.filter.as_ref().map(|f| exprs.add(f)).transpose()?;
            let slot = slots.iter().position(|slot| {
                slot.columns == columns && slot.filter == filter && slot.call.shares_state(&call)
            });
            let slot = slot.unwrap_or_else(|| {
                slots.push(Slot { call: call.clone(), columns, filter });
                slots.len() - 1
            });
            outputs.push((slot, call));
        }
        let counts_groups = groups.is_empty()
            && grouping_sets.is_empty()
            && matches!(outputs.as_slice(), [(_, call)] if call.distinct && call.function == AggregateFunction::Count);
        let sets = if counts_groups { vec![arguments_set(&slots[0], &mut texts)?] } else { sets };
        let shared = Shared {
            counts_groups,
            program: Program::compile(&exprs.exprs, context)?,
            group_types: groups.iter().map(Expr::ty).collect(),
            sets,
            texts: texts.texts,
            group_texts,
            numbered: !grouping_sets.is_empty(),
            slots,
            outputs,
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

/// The type under which values of a type stand in keys: texts and blobs as their numbers.
fn key_type(ty: &LogicalType) -> LogicalType {
    match ty {
        LogicalType::Text | LogicalType::Blob => LogicalType::UInt32,
        other => other.clone(),
    }
}

/// Collects the columns of texts and blobs that are grouped by, each once.
struct TextColumns<'a> {
    context: &'a QueryContext,
    texts: Vec<Texts>,
    columns: Vec<usize>,
}

impl TextColumns<'_> {
    fn add(&mut self, ty: &LogicalType, column: usize) -> Option<usize> {
        if key_type(ty) == *ty {
            return None;
        }
        let known = self.columns.iter().position(|&known| known == column);
        Some(known.unwrap_or_else(|| {
            self.columns.push(column);
            self.texts.push(Texts::new(ty, self.context));
            self.texts.len() - 1
        }))
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
