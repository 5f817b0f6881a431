//! Ranks: the place of each entry of a dictionary in SQL's order, so that codes can be compared instead of values.
//!
//! Invariants: entries that SQL calls equal have the same rank (-0.0 and 0.0, every NaN, which is the greatest); ranks
//! are dense from 0 on, so that `rank(a) < rank(b)` exactly when `a < b`.
//! Next: `vector.rs`, which keeps them beside the entries.

use std::{cmp::Ordering, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, ArrowPrimitiveType, AsArray, Float32Array, Float64Array, make_comparator,
    },
    compute::SortOptions,
    datatypes::{DataType, Float32Type, Float64Type},
};

/// The rank of a NULL entry: above every other.
pub const NULL_RANK: u32 = u32::MAX;

/// The rank of each entry; `None` for types whose order is not that of their Arrow values (intervals, nested values).
/// O(entries * log(entries)).
pub(crate) fn ranks(values: &ArrayRef) -> Option<Vec<u32>> {
    let values: ArrayRef = match values.data_type() {
        DataType::Float32 => {
            let normal = |v: f32| if v.is_nan() { f32::NAN } else { v + 0.0 };
            Arc::new(floats::<Float32Type>(values, normal).collect::<Float32Array>())
        }
        DataType::Float64 => {
            let normal = |v: f64| if v.is_nan() { f64::NAN } else { v + 0.0 };
            Arc::new(floats::<Float64Type>(values, normal).collect::<Float64Array>())
        }
        DataType::Interval(_) | DataType::Null => return None,
        ty if ty.is_nested() => return None,
        _ => Arc::clone(values),
    };
    let nulls = values.nulls().filter(|nulls| nulls.null_count() > 0);
    let mut order: Vec<u32> = match nulls {
        None => (0..u32::try_from(values.len()).ok()?).collect(),
        #[expect(clippy::cast_possible_truncation, reason = "checked for the length above")]
        Some(nulls) => nulls.valid_indices().map(|row| row as u32).collect(),
    };
    let mut ranks = vec![NULL_RANK; values.len()];
    match values.data_type() {
        DataType::Utf8View => {
            let texts = values.as_string_view();
            number(&mut order, &mut ranks, |a, b| texts.value(a).cmp(texts.value(b)));
        }
        DataType::BinaryView => {
            let blobs = values.as_binary_view();
            number(&mut order, &mut ranks, |a, b| blobs.value(a).cmp(blobs.value(b)));
        }
        _ => {
            let compare = make_comparator(&values, &values, SortOptions::default()).ok()?;
            number(&mut order, &mut ranks, compare);
        }
    }
    Some(ranks)
}

fn floats<T: ArrowPrimitiveType>(
    values: &ArrayRef,
    normal: impl Fn(T::Native) -> T::Native,
) -> impl Iterator<Item = Option<T::Native>> {
    values.as_primitive::<T>().iter().map(move |value| value.map(&normal))
}

/// Sorts the entries and numbers them, equal ones alike.
fn number(order: &mut [u32], ranks: &mut [u32], compare: impl Fn(usize, usize) -> Ordering) {
    order.sort_unstable_by(|&a, &b| compare(a as usize, b as usize));
    let mut rank = 0;
    let mut last: Option<u32> = None;
    for &entry in order.iter() {
        if last.is_some_and(|last| compare(last as usize, entry as usize) != Ordering::Equal) {
            rank += 1;
        }
        ranks[entry as usize] = rank;
        last = Some(entry);
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::*;

    use super::*;
    use crate::{scalar::Scalar, table::tests::every_type};

    #[test]
    fn test_ranks_of_floats_follow_sql() {
        let entries = vec![
            Some(f64::NAN),
            Some(0.0),
            None,
            Some(-0.0),
            Some(f64::INFINITY),
            Some(f64::NEG_INFINITY),
            Some(-f64::NAN),
            Some(-1.5),
        ];
        let values: ArrayRef = Arc::new(Float64Array::from(entries.clone()));
        let want = vec![4, 2, NULL_RANK, 2, 3, 0, 4, 1];
        assert_eq!(ranks(&values).unwrap(), want);
        let values: ArrayRef =
            Arc::new(Float32Array::from_iter(entries.iter().map(|v| v.map(|v| v as f32))));
        assert_eq!(ranks(&values).unwrap(), want);
        let none: ArrayRef = Arc::new(StringViewArray::from(Vec::<&str>::new()));
        assert_eq!(ranks(&none).unwrap(), Vec::<u32>::new());
    }

    #[test]
    fn test_ranks_order_every_pair_of_every_type() {
        for (name, array) in every_type(150, 9) {
            let unordered = ["interval", "null", "list", "struct", "map"].contains(&name);
            let Some(ranks) = ranks(&array) else {
                assert!(unordered, "{name}");
                continue;
            };
            assert!(!unordered, "{name}");
            let value = |row| Scalar::from_array(array.as_ref(), row).unwrap();
            let values: Vec<Scalar> = (0..150).map(value).collect();
            for (a, x) in values.iter().enumerate() {
                assert_eq!(ranks[a] == NULL_RANK, x.is_null(), "{name}");
                for (b, y) in
                    values.iter().enumerate().filter(|(_, y)| !x.is_null() && !y.is_null())
                {
                    let want = match (x.as_f64(), y.as_f64()) {
                        (Some(x), Some(y)) if x.is_nan() || y.is_nan() => {
                            x.is_nan().cmp(&y.is_nan())
                        }
                        (Some(x), Some(y)) => x.partial_cmp(&y).unwrap(),
                        _ => (x.as_i128(), x.as_bool(), x.as_bytes()).cmp(&(
                            y.as_i128(),
                            y.as_bool(),
                            y.as_bytes(),
                        )),
                    };
                    assert_eq!(ranks[a].cmp(&ranks[b]), want, "{name} {x} {y}");
                }
            }
        }
    }
}
