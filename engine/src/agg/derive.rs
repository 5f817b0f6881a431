//! States that come of less than the rows: of statistics, of the state of another argument.
//!
//! Invariant: what is derived has the bits that the rows would have given.
//! Next: `affine.rs`, `op/aggregate/statistics.rs`.

use stoadb_storage::{LogicalType, Statistics};

use super::{Call, State};
use crate::error::{EngineError, Result};

impl State {
    /// Takes what statistics know of a morsel's argument into the only group, exactly as `merge` would take the state of
    /// the morsel's rows. False, and nothing is taken, when they do not know enough.
    pub(crate) fn absorb(&mut self, call: &Call, rows: u64, known: Option<&Statistics>) -> bool {
        let Some(known) = known else {
            return match self {
                Self::Count(state) if call.args.is_empty() => {
                    state.absorb(rows);
                    true
                }
                _ => false,
            };
        };
        match self {
            Self::Count(state) if !known.unknown => {
                state.absorb((known.rows - known.nulls) as u64);
                true
            }
            Self::Sum(state) => state.absorb(known),
            Self::SumFloat(state) => state.absorb(known),
            Self::MomentsExact(state) => state.absorb(known),
            Self::Moments(state) => state.absorb(known),
            Self::Extreme(state) => state.absorb(known),
            _ => false,
        }
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
            Self::MomentsExact(state) => Self::MomentsExact(state.affine(scale, offset)),
            Self::Extreme(state) => state.affine(scale, offset, ty),
            _ => return Err(EngineError::Internal("an aggregate that is not derived".into())),
        })
    }
}
