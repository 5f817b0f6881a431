//! States that come of less than the rows: of statistics, of the state of another argument.
//!
//! Invariant: what is derived has the bits that the rows would have given.
//! Next: `affine.rs`, `op/aggregate/statistics.rs`.

use stoadb_storage::{LogicalType, Statistics, Sums};

use super::{Call, State};
use crate::error::{EngineError, Result};

impl State {
    /// Whether the order in which morsels are merged shows in the result.
    pub(crate) fn cares_for_order(&self) -> bool {
        !matches!(
            self,
            Self::Count(_)
                | Self::Sum(_)
                | Self::MomentsExact(_)
                | Self::Interval(_)
                | Self::Sketch(_)
                | Self::Extreme(_)
                | Self::Bit(_)
        )
    }

    /// Whether statistics of the argument (`None`: there is none) know enough for `absorb`.
    pub(crate) fn can_absorb(&self, known: Option<&Statistics>) -> bool {
        let Some(known) = known else { return matches!(self, Self::Count(_)) };
        !known.unknown
            && match self {
                Self::Count(_) => true,
                Self::Sum(_) | Self::MomentsExact(_) => matches!(known.sums, Sums::Exact(_)),
                Self::SumFloat(_) | Self::Moments(_) => matches!(known.sums, Sums::Float { .. }),
                Self::Extreme(state) => state.can_absorb(known),
                _ => false,
            }
    }

    /// Takes what statistics know of the argument in a morsel of `rows` rows into the only group, exactly as `merge` would
    /// take the state of the morsel's rows. False, and nothing is taken, when they do not know enough.
    pub(crate) fn absorb(&mut self, rows: u64, known: Option<&Statistics>) -> bool {
        if !self.can_absorb(known) {
            return false;
        }
        match (self, known) {
            (Self::Count(state), None) => state.absorb(rows),
            (Self::Count(state), Some(known)) => state.absorb((known.rows - known.nulls) as u64),
            (Self::Sum(state), Some(known)) => state.absorb(known),
            (Self::SumFloat(state), Some(known)) => state.absorb(known),
            (Self::MomentsExact(state), Some(known)) => state.absorb(known),
            (Self::Moments(state), Some(known)) => state.absorb(known),
            (Self::Extreme(state), Some(known)) => state.absorb(known),
            _ => return false,
        }
        true
    }

    /// The sealed state that `call` would have over `scale` times each value plus `offset`, of a state over the values
    /// (which is that of the other extreme where the scale is negative).
    ///
    /// # Errors
    /// `Internal` for functions that are not derived.
    pub(crate) fn affine(&self, call: &Call, scale: i128, offset: i128) -> Result<Self> {
        let ty = call.args.first().unwrap_or(&LogicalType::Null);
        Ok(match self {
            Self::Count(state) => Self::Count(state.clone()),
            Self::Sum(state) => Self::Sum(state.affine(scale, offset)),
            Self::MomentsExact(state) if call.sums() => {
                Self::Sum(state.sum().affine(scale, offset))
            }
            Self::MomentsExact(state) => Self::MomentsExact(state.affine(scale, offset)),
            Self::Extreme(state) => state.affine(scale, offset, ty),
            _ => return Err(EngineError::Internal("an aggregate that is not derived".into())),
        })
    }
}
