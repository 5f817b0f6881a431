//! From the plan's expressions to columns: what the calls need is computed once, before the rows are sorted.
//!
//! Invariant: equal expressions become one column; a column of the input is not copied.

use std::sync::Arc;

use arrow::array::ArrayRef;
use stoadb_storage::Schema;

use super::{Ordered, aggregate, frame, nameless, rank, shape::Shape, value};
use crate::{
    agg,
    context::QueryContext,
    error::Result,
    expr::Expr,
    kernel::sort_key::KeyOrder,
    op::sort::jobs::Jobs,
    plan::{Frame, FrameBound, Rank, SortKey, Which, WindowCall},
};

/// A call over columns.
pub(super) enum Call {
    Rank(Rank),
    Ntile(usize),
    Shift(value::Shift),
    Pick(value::Pick, frame::Bounds),
    Aggregate(aggregate::Aggregate, frame::Bounds),
}

impl Call {
    /// The results, by chunk.
    pub(super) fn compute(
        &self,
        input: &Ordered,
        shape: &Shape,
        jobs: &Jobs<'_>,
        context: &Arc<QueryContext>,
    ) -> Result<Vec<ArrayRef>> {
        match self {
            Self::Rank(rank) => rank::rank(*rank, shape, jobs),
            Self::Ntile(buckets) => rank::ntile(*buckets, input, shape, jobs),
            Self::Shift(shift) => shift.compute(input, shape, jobs),
            Self::Pick(pick, bounds) => {
                pick.compute(input, &bounds.frames(input, shape, jobs)?, jobs)
            }
            Self::Aggregate(aggregate, bounds) => {
                let frames = bounds.frames(input, shape, jobs)?;
                aggregate.compute(input, shape, &frames, jobs, context)
            }
        }
    }
}

/// The columns that the sort holds.
pub(super) struct Columns {
    exprs: Vec<Expr>,
    width: usize,
}

impl Columns {
    /// Those of the input.
    pub(super) fn new(input: &Schema) -> Self {
        let columns = input.columns.iter().enumerate();
        let exprs = columns.map(|(index, column)| Expr::column(index, column.ty.clone())).collect();
        Self { exprs, width: input.len() }
    }

    fn add(&mut self, expr: &Expr) -> usize {
        self.exprs.iter().position(|known| known == expr).unwrap_or_else(|| {
            self.exprs.push(expr.clone());
            self.exprs.len() - 1
        })
    }

    /// Keys that part rows: their columns, each once and not in `known`.
    pub(super) fn keys(&mut self, exprs: &[Expr], known: &[SortKey]) -> Vec<SortKey> {
        let keys: Vec<SortKey> = exprs
            .iter()
            .map(|expr| SortKey { expr: expr.clone(), descending: false, nulls_first: false })
            .collect();
        self.order(&keys, known)
    }

    /// Keys that order rows: their columns, each once and not in `known`.
    pub(super) fn order(&mut self, keys: &[SortKey], known: &[SortKey]) -> Vec<SortKey> {
        let mut order: Vec<SortKey> = Vec::with_capacity(keys.len());
        for key in keys {
            let expr = Expr::column(self.add(&key.expr), key.expr.ty());
            if known.iter().chain(&order).all(|other| other.expr != expr) {
                order.push(SortKey { expr, ..key.clone() });
            }
        }
        order
    }

    /// A call whose rows are ordered by `order`.
    pub(super) fn call(&mut self, call: &WindowCall, order: &[SortKey]) -> Result<Call> {
        Ok(match call {
            WindowCall::Rank(rank) => Call::Rank(*rank),
            WindowCall::Ntile(buckets) => Call::Ntile(self.add(buckets)),
            WindowCall::Shift { value, distance, default, forward, ignore_nulls } => {
                Call::Shift(value::Shift {
                    value: self.add(value),
                    distance: self.add(distance),
                    default: default.as_ref().map(|default| self.add(default)),
                    forward: *forward,
                    ignore_nulls: *ignore_nulls,
                })
            }
            WindowCall::Pick { value, which, ignore_nulls, frame } => {
                let which = match which {
                    Which::First => value::Place::First,
                    Which::Last => value::Place::Last,
                    Which::Nth(number) => value::Place::Nth(self.add(number)),
                };
                let value = self.add(value);
                let pick = value::Pick { value, which, ignore_nulls: *ignore_nulls };
                Call::Pick(pick, self.bounds(frame, order))
            }
            WindowCall::Aggregate { call, frame } => {
                let keys = call.order_by.iter().map(|key| &key.expr);
                let aggregate = aggregate::Aggregate {
                    call: agg::Call::new(call)?,
                    args: call.args.iter().map(|arg| self.add(arg)).collect(),
                    keys: keys.map(|key| self.add(key)).collect(),
                    filter: call.filter.as_ref().map(|filter| self.add(filter)),
                };
                Call::Aggregate(aggregate, self.bounds(frame, order))
            }
        })
    }

    fn bounds(&mut self, frame: &Frame, order: &[SortKey]) -> frame::Bounds {
        let mut range_key = None;
        let mut bound = |bound: &FrameBound| match bound {
            FrameBound::Unbounded => frame::Bound::Unbounded,
            FrameBound::CurrentRow => frame::Bound::CurrentRow,
            FrameBound::Offset(distance) => frame::Bound::Offset(*distance),
            FrameBound::Key { key, limit } => {
                range_key = Some(self.add(key));
                frame::Bound::Key(self.add(limit))
            }
        };
        let (start, end) = (bound(&frame.start), bound(&frame.end));
        let key = range_key.zip(order.first()).map(|(column, key)| {
            let order = KeyOrder { descending: key.descending, nulls_first: key.nulls_first };
            (column, order)
        });
        frame::Bounds { unit: frame.unit, start, end, exclude: frame.exclude, key }
    }

    /// The types of all columns.
    pub(super) fn schema(&self) -> Schema {
        nameless(self.exprs.iter().map(Expr::ty))
    }

    /// All columns as expressions over the input, when some are not the input's.
    pub(super) fn computed(self) -> Option<Vec<Expr>> {
        (self.exprs.len() > self.width).then_some(self.exprs)
    }
}
