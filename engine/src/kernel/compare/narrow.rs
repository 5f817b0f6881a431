//! Comparisons of a narrow column with a literal, in the domain of its offsets.
//!
//! Invariant: nothing is decoded; a literal outside of the offsets' range decides every row at once.

use arrow::{
    array::{Array, AsArray},
    datatypes::{DataType, UInt8Type, UInt16Type, UInt32Type},
};
use stoadb_storage::vector::NarrowVector;

use super::{Relation, Truth, Want, all, pairs};
use crate::kernel::physical::Column;

/// Compares offsets with a literal from which the base was taken away.
pub(super) fn narrow_with_literal(
    relation: Relation,
    negated: bool,
    narrow: &NarrowVector,
    literal: i128,
    want: Want<'_>,
) -> Truth {
    let offset = literal - i128::from(narrow.base);
    let (low, high) = match narrow.offsets.data_type() {
        DataType::UInt8 => (0, i128::from(u8::MAX)),
        DataType::UInt16 => (0, i128::from(u16::MAX)),
        DataType::UInt32 => (0, i128::from(u32::MAX)),
        _ => (i128::from(i64::MIN), i128::from(i64::MAX)),
    };
    if offset < low || offset > high {
        let truth = match relation {
            Relation::Equal => false,
            Relation::Less => offset > high,
            Relation::Greater => offset < low,
        };
        return all(narrow.offsets.len(), truth != negated, want);
    }
    macro_rules! offsets {
        ($arrow:ident, $native:ty) => {{
            let values = narrow.offsets.as_primitive::<$arrow>().values().clone();
            let left = Column { values, nulls: None, constant: false };
            #[expect(clippy::cast_possible_truncation, reason = "the range was checked above")]
            #[expect(clippy::cast_sign_loss, reason = "the range was checked above")]
            let values = vec![offset as $native].into();
            let right = Column { values, nulls: None, constant: true };
            pairs(relation, negated, &left, &right, want)
        }};
    }
    match narrow.offsets.data_type() {
        DataType::UInt8 => offsets!(UInt8Type, u8),
        DataType::UInt16 => offsets!(UInt16Type, u16),
        DataType::UInt32 => offsets!(UInt32Type, u32),
        _ => {
            let left = Column { values: narrow.values_i64(), nulls: None, constant: false };
            #[expect(clippy::cast_possible_truncation, reason = "the range was checked above")]
            let values = vec![offset as i64].into();
            let right = Column { values, nulls: None, constant: true };
            pairs(relation, negated, &left, &right, want)
        }
    }
}
