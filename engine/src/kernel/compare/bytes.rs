//! Comparisons of texts and blobs by their views, and of nested values.
//!
//! Invariant: bytes beyond the first four are looked at only when length and prefix leave the answer open.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, make_array, make_comparator},
    compute::SortOptions,
    datatypes::{DataType, Float32Type, Float64Type},
};
use stoadb_storage::Vector;

use super::{Relation, Truth, Want, one, tested};
use crate::{
    error::Result,
    kernel::physical::{Bytes, one_or_all},
};

/// Length and first four bytes of a view: two strings that differ here differ.
const HEAD: u128 = u64::MAX as u128;
/// Longest string that a view holds inline, padded with zeros.
const INLINE: u32 = 12;

/// Texts and blobs, bytewise.
pub(super) fn bytes(
    relation: Relation,
    negated: bool,
    left: &Bytes,
    right: &Bytes,
    rows: usize,
    want: Want<'_>,
) -> Truth {
    let views: &[u128] = left.array.views();
    if relation == Relation::Equal && right.constant {
        let (literal, view) = (right.get(0), right.array.views()[0]);
        if view as u32 <= INLINE {
            return one(views, want, |other| (other == view) != negated);
        }
        let equal = |row: usize| views[row] & HEAD == view & HEAD && left.get(row) == literal;
        return tested(rows, want, |row| equal(row) != negated);
    }
    if relation == Relation::Equal {
        let others: &[u128] = right.array.views();
        let equal = |row: usize| {
            let (a, b) = (views[row], others[row]);
            a & HEAD == b & HEAD
                && if a as u32 <= INLINE { a == b } else { left.get(row) == right.get(row) }
        };
        return tested(rows, want, |row| equal(row) != negated);
    }
    let prefix = |view: u128| ((view >> 32) as u32).swap_bytes();
    let others: &[u128] = right.array.views();
    tested(rows, want, |row| {
        let other = others[if right.constant { 0 } else { row }];
        let order = prefix(views[row]).cmp(&prefix(other));
        let order = if order.is_eq() { left.get(row).cmp(right.get(row)) } else { order };
        relation.holds(order) != negated
    })
}

/// Lists, structs and maps: element by element, NULL elements last and equal to each other.
pub(super) fn nested(
    relation: Relation,
    negated: bool,
    left: &Vector,
    right: &Vector,
    rows: usize,
    want: Want<'_>,
) -> Result<Truth> {
    let (left, _) = one_or_all(left)?;
    let (right, constant) = one_or_all(right)?;
    let (left, right) = (canonical_floats(&left)?, canonical_floats(&right)?);
    let options = SortOptions { descending: false, nulls_first: false };
    let comparator = make_comparator(left.as_ref(), right.as_ref(), options)?;
    let order = |row: usize| comparator(row, if constant { 0 } else { row });
    Ok(tested(rows, want, |row| relation.holds(order(row)) != negated))
}

/// The array with every -0.0 inside turned into 0.0 and every NaN into the same one.
fn canonical_floats(array: &ArrayRef) -> Result<ArrayRef> {
    let one_nan = |value: f64| if value.is_nan() { f64::NAN } else { value + 0.0 };
    Ok(match array.data_type() {
        DataType::Float64 => {
            Arc::new(array.as_primitive::<Float64Type>().unary::<_, Float64Type>(one_nan))
        }
        DataType::Float32 => {
            Arc::new(array.as_primitive::<Float32Type>().unary::<_, Float32Type>(|value| {
                if value.is_nan() { f32::NAN } else { value + 0.0 }
            }))
        }
        ty if ty.is_nested() => {
            let data = array.to_data();
            let children = data
                .child_data()
                .iter()
                .map(|child| Ok(canonical_floats(&make_array(child.clone()))?.to_data()));
            let children = children.collect::<Result<Vec<_>>>()?;
            make_array(data.into_builder().child_data(children).build()?)
        }
        _ => Arc::clone(array),
    })
}
