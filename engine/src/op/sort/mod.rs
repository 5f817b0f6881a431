//! ORDER BY: a sink that holds all rows, or with a limit only those that may still be among the first, and a source of
//! the sorted rows.
//!
//! Invariants: rows with equal keys keep input order (morsel number, position), so the answer does not depend on who
//! brought which morsel. Payload columns keep their encoding and are moved once, when the sorted rows are read.
//! Read next: `rows.rs` (what is held), `keys.rs` (codes of keys), `layout.rs` (packing them), `order.rs` (sorting),
//! `top_k.rs` (with a limit), `runs.rs` (where keys change, for windows).

pub(super) mod jobs;
mod keys;
mod layout;
mod order;
mod rows;
mod runs;
mod top_k;

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use stoadb_storage::{LogicalType, Schema, Vector};

pub(super) use rows::concat;

use self::{
    jobs::Jobs,
    keys::{Fields, Key},
    order::order,
    rows::{Piece, Rows, vector_bytes},
    top_k::{LocalTopK, Threshold},
};
use super::{Feed, LocalSink, LocalSource, Sink, Source};
use crate::{
    batch::Batch,
    context::{QueryContext, Reservation},
    error::{EngineError, Result},
    eval::{Evaluator, Program},
    expr::Expr,
    kernel::sort_key::KeyOrder,
    plan::SortKey,
    scheduler::Workers,
};

/// Constants of a sort that no answer depends on; smaller ones reach every path in tests.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    /// Rows of a block of held rows, as a power of two.
    block_bits: u32,
    /// With a limit, rows held beyond it before the excess is dropped, at least.
    slack: usize,
}

const SIZES: Sizes = Sizes { block_bits: 20, slack: 8192 };

/// The sink of an ORDER BY, with or without a limit.
pub struct Sort {
    shared: Arc<Shared>,
}

/// What all workers see.
struct Shared {
    spec: Spec,
    merged: Mutex<Merged>,
    threshold: Threshold,
    sorted: OnceLock<Sorted>,
}

/// What is sorted and how.
struct Spec {
    /// Types of the held columns: the input's, then those of computed keys, then with a limit the row's place.
    types: Vec<LogicalType>,
    /// How many of them are the input's.
    payload: usize,
    keys: Vec<Key>,
    /// The computed keys.
    program: Option<Arc<Program>>,
    limit: Option<usize>,
    sizes: Sizes,
}

/// What workers have handed over.
struct Merged {
    /// By morsel. With a limit, the number means nothing: places are in a column.
    parts: Vec<(usize, Vec<Piece>)>,
    reservations: Vec<Reservation>,
}

/// Rows and their order, in consecutive pieces.
pub(super) struct Sorted {
    pub(super) rows: Rows,
    pub(super) order: Vec<Vec<u32>>,
    _reservations: Vec<Reservation>,
}

impl Sort {
    /// A sort of rows of `input` by `keys`, the first the most significant; with `limit`, only of the first rows.
    ///
    /// # Errors
    /// Whatever compiling the keys' expressions raises.
    pub fn new(
        input: &Schema,
        keys: &[SortKey],
        limit: Option<u64>,
        context: &Arc<QueryContext>,
    ) -> Result<Arc<Self>> {
        Self::with_sizes(input, keys, limit, context, SIZES)
    }

    fn with_sizes(
        input: &Schema,
        keys: &[SortKey],
        limit: Option<u64>,
        context: &Arc<QueryContext>,
        sizes: Sizes,
    ) -> Result<Arc<Self>> {
        let mut types: Vec<LogicalType> = input.columns.iter().map(|c| c.ty.clone()).collect();
        let mut exprs = Vec::new();
        let mut columns = Vec::new();
        for key in keys {
            let column = match &key.expr {
                Expr::Literal(_) => continue,
                Expr::Column { index, .. } if *index < input.len() => *index,
                expr => {
                    exprs.push(expr.clone());
                    types.push(expr.ty());
                    types.len() - 1
                }
            };
            let order = KeyOrder { descending: key.descending, nulls_first: key.nulls_first };
            // A column that is a key already decides nothing the second time.
            if columns.iter().all(|other: &Key| other.column != column) {
                columns.push(Key { column, order });
            }
        }
        let program = (!exprs.is_empty()).then(|| Program::compile(&exprs, context)).transpose()?;
        let limit = limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
        if limit.is_some() {
            types.push(LogicalType::UInt64);
        }
        let payload = input.len();
        let spec = Spec { types, payload, keys: columns, program, limit, sizes };
        let merged = Merged { parts: Vec::new(), reservations: Vec::new() };
        Ok(Arc::new(Self {
            shared: Arc::new(Shared {
                spec,
                merged: Mutex::new(merged),
                threshold: Threshold::default(),
                sorted: OnceLock::new(),
            }),
        }))
    }

    /// Sorts what the workers have handed over. Besides, for each of `prefixes`, where rows differ from the row before
    /// them in the first so many keys, as positions in the order of the sort.
    ///
    /// # Errors
    /// When the memory budget is used up; `Unsupported` beyond 2^32 rows or for a type without an order; cancellation.
    pub(super) fn sorted(
        &self,
        context: &Arc<QueryContext>,
        workers: &Workers,
        prefixes: &[usize],
    ) -> Result<(Sorted, Vec<Vec<u32>>)> {
        let spec = &self.shared.spec;
        let merged = &mut *self.shared.merged.lock().unwrap_or_else(PoisonError::into_inner);
        let mut parts = std::mem::take(&mut merged.parts);
        let mut reservations = std::mem::take(&mut merged.reservations);
        let mut keys = spec.keys.clone();
        match spec.limit {
            None => parts.sort_by_key(|part| part.0),
            Some(_) => keys.push(Key {
                column: spec.types.len() - 1,
                order: KeyOrder { descending: false, nulls_first: false },
            }),
        }
        let pieces: Vec<Piece> = parts.into_iter().flat_map(|part| part.1).collect();
        let len = pieces.iter().map(|piece| piece.rows as u64).sum::<u64>();
        // While sorting: a code a key and two copies of the packed elements; afterwards the order remains.
        let mut reservation = context.memory().reservation("sort");
        reservation.grow(len * (8 * keys.len() as u64 + 2 * 16 + 4))?;
        let jobs = Jobs::parallel(context, workers);
        let mut rows = Rows::build(pieces, &spec.types, spec.sizes.block_bits, &jobs)?;
        let fields = Fields::prepare(&rows, &keys, &jobs)?;
        let order = order(&fields, rows.len, spec.limit.unwrap_or(usize::MAX), &jobs)?;
        let starts = |&keys: &usize| runs::starts(&fields, keys, &order, &jobs);
        let runs = prefixes.iter().map(starts).collect::<Result<_>>()?;
        drop(fields);
        rows.columns.truncate(spec.payload);
        reservation.resize(len * 4)?;
        reservations.push(reservation);
        Ok((Sorted { rows, order, _reservations: reservations }, runs))
    }

    /// The sorted rows, once `finish` has succeeded. Morsels are consecutive ranges of them.
    pub fn source(self: &Arc<Self>) -> Arc<dyn Source> {
        Arc::new(SortedSource { shared: Arc::clone(&self.shared) })
    }
}

impl Sorted {
    /// The values of a column in the given order of rows, as a result shows them.
    ///
    /// # Errors
    /// As `Rows::gather`.
    pub(super) fn output(&self, column: usize, order: &[u32]) -> Result<Vector> {
        match self.rows.gather(column, order)? {
            // A dictionary larger than the result would cost its readers more than it saves.
            Vector::Dictionary(vector) if vector.dictionary.values().len() > self.rows.len => {
                Ok(Vector::Flat(Vector::Dictionary(vector).flatten()?))
            }
            vector => Ok(vector),
        }
    }
}

impl Shared {
    fn merge(&self, parts: Vec<(usize, Vec<Piece>)>, reservation: Reservation) {
        let mut merged = self.merged.lock().unwrap_or_else(PoisonError::into_inner);
        merged.parts.extend(parts);
        merged.reservations.push(reservation);
    }
}

impl Spec {
    /// The held columns of a batch's rows that count, but for their places.
    fn columns(&self, evaluator: Option<&mut Evaluator>, batch: Batch) -> Result<Vec<Vector>> {
        let computed = match evaluator {
            Some(evaluator) => evaluator.project(&batch)?,
            None => Vec::new(),
        };
        let mut columns = batch.compact()?.columns;
        columns.extend(computed);
        Ok(columns)
    }

    fn evaluator(&self) -> Option<Evaluator> {
        self.program.as_ref().map(Evaluator::new)
    }
}

impl Sink for Sort {
    fn local(&self, context: &Arc<QueryContext>) -> Result<Box<dyn LocalSink>> {
        let shared = Arc::clone(&self.shared);
        if let Some(limit) = self.shared.spec.limit {
            return Ok(Box::new(LocalTopK::new(shared, limit, context)));
        }
        Ok(Box::new(LocalSort {
            evaluator: shared.spec.evaluator(),
            shared,
            context: Arc::clone(context),
            parts: Vec::new(),
            reservation: context.memory().reservation("sort"),
        }))
    }

    fn finish(&self, context: &Arc<QueryContext>, workers: &Workers) -> Result<()> {
        let (sorted, _) = self.sorted(context, workers, &[])?;
        let again = |_| EngineError::Internal("a sort was finished twice".into());
        self.shared.sorted.set(sorted).map_err(again)
    }
}

/// One worker's part of a sort without a limit.
struct LocalSort {
    shared: Arc<Shared>,
    context: Arc<QueryContext>,
    evaluator: Option<Evaluator>,
    parts: Vec<(usize, Vec<Piece>)>,
    reservation: Reservation,
}

impl LocalSink for LocalSort {
    fn begin_morsel(&mut self, morsel: usize) -> Result<()> {
        self.parts.push((morsel, Vec::new()));
        Ok(())
    }

    fn push(&mut self, batch: Batch) -> Result<Feed> {
        self.context.check()?;
        let rows = batch.len();
        let columns = self.shared.spec.columns(self.evaluator.as_mut(), batch)?;
        self.reservation.grow(columns.iter().map(vector_bytes).sum())?;
        match self.parts.last_mut() {
            Some(part) => part.1.push(Piece { columns, rows }),
            None => return Err(EngineError::Internal("a batch outside of a morsel".into())),
        }
        Ok(Feed::NeedInput)
    }

    fn end_morsel(&mut self) -> Result<Feed> {
        Ok(Feed::NeedInput)
    }

    fn merge(self: Box<Self>) -> Result<()> {
        self.shared.merge(self.parts, self.reservation);
        Ok(())
    }
}

struct SortedSource {
    shared: Arc<Shared>,
}

impl Source for SortedSource {
    fn morsels(&self) -> usize {
        self.shared.sorted.get().map_or(0, |sorted| sorted.order.len())
    }

    fn local(&self, context: &Arc<QueryContext>) -> Result<Box<dyn LocalSource>> {
        if self.shared.sorted.get().is_none() {
            return Err(EngineError::Internal("sorted rows were read before the sort".into()));
        }
        let shared = Arc::clone(&self.shared);
        let context = Arc::clone(context);
        Ok(Box::new(LocalSorted { shared, context, morsel: usize::MAX, next: 0 }))
    }
}

struct LocalSorted {
    shared: Arc<Shared>,
    context: Arc<QueryContext>,
    morsel: usize,
    next: usize,
}

impl LocalSource for LocalSorted {
    fn begin(&mut self, morsel: usize) -> Result<()> {
        (self.morsel, self.next) = (morsel, 0);
        Ok(())
    }

    fn next(&mut self) -> Result<Option<Batch>> {
        self.context.check()?;
        let Some(sorted) = self.shared.sorted.get() else { return Ok(None) };
        let Some(order) = sorted.order.get(self.morsel) else { return Ok(None) };
        let rest = &order[self.next..];
        if rest.is_empty() {
            return Ok(None);
        }
        let order = &rest[..rest.len().min(self.context.settings().vector_size.max(1))];
        self.next += order.len();
        let columns = (0..self.shared.spec.payload).map(|column| sorted.output(column, order));
        let columns = columns.collect::<Result<_>>()?;
        Ok(Some(Batch::new(columns, order.len())))
    }
}
