//! Comparisons of narrow columns with a literal, in the domain of the offsets, and with each other.
//!
//! Invariant: nothing is decoded into a vector; a literal outside of the offsets' range decides every row at once.

use arrow::{
    array::Array,
    datatypes::{ArrowNativeType, DataType},
};
use stoadb_storage::vector::NarrowVector;

use super::{Relation, Total, Truth, Want, all, one, pairs};
use crate::{
    error::Result,
    kernel::{
        arity::pack_flags,
        physical::{Column, buffer, offset_value, with_offsets},
    },
};

/// Compares offsets with a literal from which the base was taken away.
pub(super) fn narrow_with_literal(
    relation: Relation,
    negated: bool,
    narrow: &NarrowVector,
    literal: i128,
    want: Want<'_>,
) -> Truth {
    // A literal of 128 bits stays outside of the offsets' range when it saturates.
    let offset = literal.saturating_sub(i128::from(narrow.base));
    with_offsets!(narrow.offsets, values => with_literal(relation, negated, values, offset, want))
}

fn with_literal<T: Total + TryFrom<i128>>(
    relation: Relation,
    negated: bool,
    values: &[T],
    literal: i128,
    want: Want<'_>,
) -> Truth {
    let Ok(literal) = T::try_from(literal) else {
        let truth = match relation {
            Relation::Equal => false,
            Relation::Less => literal > 0,
            Relation::Greater => literal < 0,
        };
        return all(values.len(), truth != negated, want);
    };
    match relation {
        Relation::Equal => one(values, want, |value| value.same(literal) != negated),
        Relation::Less => one(values, want, |value| value.below(literal) != negated),
        Relation::Greater => one(values, want, |value| literal.below(value) != negated),
    }
}

/// Compares two narrow columns row by row.
pub(super) fn narrow_pairs(
    relation: Relation,
    negated: bool,
    left: &NarrowVector,
    right: &NarrowVector,
    want: Want<'_>,
) -> Result<Truth> {
    if left.base == right.base && left.offsets.data_type() == right.offsets.data_type() {
        let same = (relation, negated);
        return match left.offsets.data_type() {
            DataType::UInt8 => same_width::<u8>(same, left, right, want),
            DataType::UInt16 => same_width::<u16>(same, left, right, want),
            DataType::UInt32 => same_width::<u32>(same, left, right, want),
            _ => same_width::<i64>(same, left, right, want),
        };
    }
    Ok(match relation {
        Relation::Equal => widened(left, right, |a, b| (a == b) != negated),
        Relation::Less => widened(left, right, |a, b| (a < b) != negated),
        Relation::Greater => widened(left, right, |a, b| (a > b) != negated),
    })
}

fn same_width<T: Total + ArrowNativeType>(
    (relation, negated): (Relation, bool),
    left: &NarrowVector,
    right: &NarrowVector,
    want: Want<'_>,
) -> Result<Truth> {
    let column = |narrow: &NarrowVector| -> Result<Column<T>> {
        Ok(Column { values: buffer(narrow.offsets.as_ref())?, nulls: None, constant: false })
    };
    Ok(pairs(relation, negated, &column(left)?, &column(right)?, want))
}

/// Rows of different widths or bases, widened 64 at a time.
fn widened(left: &NarrowVector, right: &NarrowVector, f: impl Fn(i64, i64) -> bool) -> Truth {
    let rows = left.offsets.len().min(right.offsets.len());
    Truth::Bits(pack_flags(rows, |first, flags| {
        let (mut a, mut b) = ([0; 64], [0; 64]);
        load(left, first, &mut a[..flags.len()]);
        load(right, first, &mut b[..flags.len()]);
        for ((&a, &b), flag) in a.iter().zip(&b).zip(flags) {
            *flag = u8::from(f(a, b));
        }
    }))
}

/// The values of the rows from `first` on.
fn load(narrow: &NarrowVector, first: usize, out: &mut [i64]) {
    let base = narrow.base;
    with_offsets!(narrow.offsets, offsets => {
        for (out, &offset) in out.iter_mut().zip(&offsets[first..]) {
            *out = base.wrapping_add(offset_value(offset));
        }
    });
}
