//! Aggregate states: columns indexed by group, one family of functions a file.
//!
//! Invariants: a state is updated in row order within a morsel and merged in morsel order, so that what it computes
//! depends on neither workers nor the size of vectors. Kernels see no NULL except where the function wants them.
//! Next: `derive.rs` (states without rows), `input.rs` (arguments as slices), `op/aggregate/` (groups and the sink).

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::Float64Type,
};
use stoadb_storage::{LogicalType, Vector};

use crate::{
    error::{EngineError, Result},
    plan::AggregateFunction as Function,
};

pub(crate) mod affine;
mod bit;
mod call;
mod collect;
mod comoments;
mod count;
mod derive;
mod extreme;
mod extreme_bytes;
mod frequency;
pub(crate) mod input;
mod interval;
mod lists;
pub(crate) mod masked;
mod moments;
mod ordered;
mod pick;
mod product;
mod quantile;
mod ratio;
mod shape;
mod sketch;
mod spread;
mod sum;
mod sum_float;
pub(crate) mod table;
mod weighted;

pub(crate) use call::Call;
pub use lists::aggregate_lists;
pub(crate) use quantile::Quantile;

/// The group of each row.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Groups<'a> {
    /// All of this many rows belong to group 0.
    One(usize),
    /// One id per row.
    Ids(&'a [u32]),
}

impl Groups<'_> {
    /// How many rows.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::One(rows) => *rows,
            Self::Ids(ids) => ids.len(),
        }
    }

    /// The group of a row.
    #[inline]
    pub(crate) fn id(&self, row: usize) -> usize {
        match self {
            Self::One(_) => 0,
            Self::Ids(ids) => ids[row] as usize,
        }
    }
}

/// The state of one aggregate over all groups.
pub(crate) enum State {
    Count(count::Count),
    Sum(sum::Sum),
    SumFloat(sum_float::SumFloat),
    MomentsExact(moments::Exact),
    Moments(moments::Moments),
    Comoments(comoments::Comoments),
    Shape(shape::Shape),
    Weighted(weighted::Weighted),
    Interval(interval::SumInterval),
    Sketch(sketch::Sketch),
    Product(product::Product),
    Extreme(extreme::Extreme),
    Bit(bit::Bit),
    Pick(pick::Pick),
    Collect(collect::Collect),
}

/// Calls the same method of whichever state it is.
macro_rules! each {
    ($state:expr, $inner:ident => $call:expr) => {
        match $state {
            State::Count($inner) => $call,
            State::Sum($inner) => $call,
            State::SumFloat($inner) => $call,
            State::MomentsExact($inner) => $call,
            State::Moments($inner) => $call,
            State::Comoments($inner) => $call,
            State::Shape($inner) => $call,
            State::Weighted($inner) => $call,
            State::Interval($inner) => $call,
            State::Sketch($inner) => $call,
            State::Product($inner) => $call,
            State::Extreme($inner) => $call,
            State::Bit($inner) => $call,
            State::Pick($inner) => $call,
            State::Collect($inner) => $call,
        }
    };
}

impl State {
    /// A state without groups.
    ///
    /// # Errors
    /// `Unsupported` for arguments that the function does not take.
    pub(crate) fn new(call: &Call) -> Result<Self> {
        if call.collects() {
            return Ok(Self::Collect(collect::Collect::new(call)));
        }
        let arg = call.args.first().unwrap_or(&LogicalType::Null);
        Ok(match call.function {
            Function::CountStar | Function::Count => Self::Count(count::Count::default()),
            Function::Sum | Function::Avg if arg.is_float() => {
                Self::SumFloat(sum_float::SumFloat::default())
            }
            Function::Sum | Function::Avg if *arg == LogicalType::Interval => {
                Self::Interval(interval::SumInterval::default())
            }
            Function::Sum | Function::Avg => Self::Sum(sum::Sum::new(arg)),
            Function::VarSamp
            | Function::VarPop
            | Function::StddevSamp
            | Function::StddevPop
            | Function::Sem => {
                if moments::is_exact(arg) {
                    Self::MomentsExact(moments::Exact::default())
                } else {
                    Self::Moments(moments::Moments::default())
                }
            }
            Function::Skewness | Function::Kurtosis | Function::KurtosisPop => {
                Self::Shape(shape::Shape::default())
            }
            function if function.is_of_pairs() => Self::Comoments(comoments::Comoments::default()),
            Function::GeometricMean | Function::WeightedAvg => {
                Self::Weighted(weighted::Weighted::new(call.function))
            }
            Function::ApproxCountDistinct => Self::Sketch(sketch::Sketch::new(arg)),
            Function::Product => Self::Product(product::Product::default()),
            Function::Min | Function::BoolAnd => extreme::state(arg, false),
            Function::Max | Function::BoolOr => extreme::state(arg, true),
            Function::BitAnd | Function::BitOr | Function::BitXor => {
                Self::Bit(bit::Bit::new(call.function))
            }
            Function::AnyValue => Self::Pick(pick::Pick::new(pick::Rule::First, arg)),
            Function::First => Self::Pick(pick::Pick::new(pick::Rule::First, arg)),
            Function::Last => Self::Pick(pick::Pick::new(pick::Rule::Last, arg)),
            Function::SingleValue => Self::Pick(pick::Pick::new(pick::Rule::Single, arg)),
            Function::ArgMin | Function::ArgMinNull => {
                Self::Pick(pick::Pick::new(pick::Rule::Smallest, arg))
            }
            Function::ArgMax | Function::ArgMaxNull => {
                Self::Pick(pick::Pick::new(pick::Rule::Largest, arg))
            }
            // What collects is a state of its own above.
            _ => Self::Collect(collect::Collect::new(call)),
        })
    }

    /// Makes room for `groups` groups; never fewer than before.
    pub(crate) fn resize(&mut self, groups: usize) {
        each!(self, state => state.resize(groups));
    }

    /// Takes rows in order. `args` are the arguments (and order keys, for collecting states), without NULLs unless the
    /// function keeps them.
    ///
    /// # Errors
    /// `Value` when a value is outside of what can be computed.
    pub(crate) fn update(&mut self, args: &[Vector], groups: Groups<'_>) -> Result<()> {
        each!(self, state => state.update(args, groups))
    }

    /// The morsel's last row is in.
    ///
    /// # Errors
    /// As `update`.
    pub(crate) fn seal(&mut self) -> Result<()> {
        match self {
            Self::SumFloat(state) => state.seal(),
            Self::Moments(state) => state.seal(),
            Self::Sketch(state) => state.seal(),
            Self::Collect(state) => state.seal()?,
            _ => {}
        }
        Ok(())
    }

    /// Takes groups of a sealed state of the same call: its group `from[i]` into ours `to[i]`, in this order. Repeats
    /// are allowed.
    ///
    /// # Errors
    /// As `update`; `Internal` when the states are of different calls.
    pub(crate) fn merge(&mut self, other: &Self, from: &[u32], to: &[u32]) -> Result<()> {
        match (self, other) {
            (Self::Count(a), Self::Count(b)) => a.merge(b, from, to),
            (Self::Sum(a), Self::Sum(b)) => a.merge(b, from, to),
            (Self::SumFloat(a), Self::SumFloat(b)) => a.merge(b, from, to),
            (Self::MomentsExact(a), Self::MomentsExact(b)) => a.merge(b, from, to),
            (Self::Moments(a), Self::Moments(b)) => a.merge(b, from, to),
            (Self::Comoments(a), Self::Comoments(b)) => a.merge(b, from, to),
            (Self::Shape(a), Self::Shape(b)) => a.merge(b, from, to),
            (Self::Weighted(a), Self::Weighted(b)) => a.merge(b, from, to),
            (Self::Interval(a), Self::Interval(b)) => a.merge(b, from, to),
            (Self::Sketch(a), Self::Sketch(b)) => a.merge(b, from, to),
            (Self::Product(a), Self::Product(b)) => a.merge(b, from, to),
            (Self::Extreme(a), Self::Extreme(b)) => a.merge(b, from, to),
            (Self::Bit(a), Self::Bit(b)) => a.merge(b, from, to),
            (Self::Pick(a), Self::Pick(b)) => return a.merge(b, from, to),
            (Self::Collect(a), Self::Collect(b)) => return a.merge(b, from, to),
            _ => return Err(EngineError::Internal("aggregate states of two kinds".into())),
        }
        Ok(())
    }

    /// Puts the groups into another order: group `order[i]` becomes group `i`. Says whether it did; a state that does
    /// not lie by group keeps its order.
    pub(crate) fn reorder(&mut self, order: &[u32]) -> bool {
        each!(self, state => state.reorder(order));
        !matches!(self, Self::Collect(_))
    }

    /// The results of all groups, of the call's type.
    ///
    /// # Errors
    /// `Value` when a result is outside of its type.
    pub(crate) fn finish(&self, call: &Call) -> Result<ArrayRef> {
        let array = match self {
            Self::Count(state) => state.finish(),
            Self::Sum(state) => state.finish(call)?,
            Self::SumFloat(state) => state.finish(call),
            Self::MomentsExact(state) if call.sums() => state.sum().finish(call)?,
            Self::MomentsExact(state) => state.finish(call),
            Self::Moments(state) => state.finish(call),
            Self::Comoments(state) => state.finish(call),
            Self::Shape(state) => state.finish(call),
            Self::Weighted(state) => state.finish(call),
            Self::Interval(state) => state.finish(call)?,
            Self::Sketch(state) => state.finish(),
            Self::Product(state) => state.finish(),
            Self::Extreme(state) => state.finish(call)?,
            Self::Bit(state) => state.finish(call)?,
            Self::Pick(state) => state.finish(call)?,
            Self::Collect(state) => state.finish(call)?,
        };
        let array = match self {
            // Values of the input, as they are.
            Self::Extreme(_) | Self::Pick(_) | Self::Collect(_) => array,
            _ => one_nan(array),
        };
        let wanted = call.ty.to_arrow();
        if *array.data_type() == wanted {
            return Ok(array);
        }
        arrow::compute::cast(&array, &wanted)
            .map_err(|error| EngineError::Internal(error.to_string()))
    }

    /// Bytes of memory held, about.
    pub(crate) fn memory(&self) -> u64 {
        each!(self, state => state.memory())
    }
}

/// Doubles that were computed: which of the many NaNs it is says only in which order that happened, so all become one.
fn one_nan(array: ArrayRef) -> ArrayRef {
    match array.as_primitive_opt::<Float64Type>() {
        Some(values) if values.values().iter().any(|value| value.is_nan()) => {
            let one = |value: f64| if value.is_nan() { f64::NAN } else { value };
            Arc::new(values.unary::<_, Float64Type>(one))
        }
        _ => array,
    }
}

#[cfg(test)]
mod tests;
