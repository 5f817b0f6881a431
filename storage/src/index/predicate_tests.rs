//! Ranges of predicates, rows of ranges and rows against the order, against a list of rows.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Float64Array, Int32Array, StringViewArray, UInt32Array},
    compute,
};

use super::*;
use crate::{Prune, PruneOp, Scalar, Vector, table::tests::Random, types::LogicalType};

/// Two key columns that the predicate calls 3 and 1, few distinct values each.
struct Rows {
    columns: [ArrayRef; 2],
    live: Vec<bool>,
}

const NAMES: [usize; 2] = [3, 1];

impl Rows {
    fn value(&self, row: usize, column: usize) -> Scalar {
        Scalar::from_array(self.columns[column].as_ref(), row).unwrap()
    }

    fn is_true(&self, row: usize, prune: &Prune) -> bool {
        let of = |column: &usize| {
            let place = NAMES.iter().position(|name| name == column);
            place.map(|place| self.value(row, place))
        };
        match prune {
            Prune::Compare { column, op, value } => {
                of(column).is_some_and(|found| !found.is_null() && holds(&found, *op, value))
            }
            Prune::In { column, values } => of(column).is_some_and(|found| {
                !found.is_null() && values.iter().any(|value| holds(&found, PruneOp::Eq, value))
            }),
            Prune::IsNull { column } => of(column).is_some_and(|found| found.is_null()),
            Prune::IsNotNull { column } => of(column).is_some_and(|found| !found.is_null()),
            Prune::And(parts) => parts.iter().all(|part| self.is_true(row, part)),
            Prune::Or(parts) => parts.iter().any(|part| self.is_true(row, part)),
        }
    }
}

fn holds(found: &Scalar, op: PruneOp, value: &Scalar) -> bool {
    let order = match (found.as_f64(), value.as_f64()) {
        (Some(a), Some(b)) => a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan())),
        _ => (found.as_i128(), found.as_bytes()).cmp(&(value.as_i128(), value.as_bytes())),
    };
    match op {
        PruneOp::Eq => order.is_eq(),
        PruneOp::NotEq => order.is_ne(),
        PruneOp::Lt => order.is_lt(),
        PruneOp::LtEq => order.is_le(),
        PruneOp::Gt => order.is_gt(),
        PruneOp::GtEq => order.is_ge(),
    }
}

fn random_column(random: &mut Random, rows: usize) -> ArrayRef {
    let value = |random: &mut Random| random.below(7);
    match random.below(3) {
        0 => Arc::new(Int32Array::from_iter(
            (0..rows).map(|_| (random.below(6) > 0).then(|| value(random) as i32 - 3)),
        )),
        1 => Arc::new(Float64Array::from_iter((0..rows).map(|_| {
            let values = [f64::NAN, -0.0, 0.0, 1.5, f64::NEG_INFINITY, f64::INFINITY, -2.0];
            (random.below(6) > 0).then(|| values[value(random)])
        }))),
        _ => Arc::new(StringViewArray::from_iter((0..rows).map(|_| {
            let values = ["", "a", "ab", "abc", "b", "\u{e9}", "z"];
            (random.below(6) > 0).then(|| values[value(random)])
        }))),
    }
}

fn random_prune(random: &mut Random, rows: &Rows, depth: usize) -> Prune {
    let place = random.below(2);
    // A column that the index does not have, now and then.
    let column = if random.below(12) == 0 { 9 } else { NAMES[place] };
    let value = |random: &mut Random| loop {
        let value = rows.value(random.below(rows.live.len()), place);
        if !value.is_null() {
            return value;
        }
    };
    let parts = |random: &mut Random| {
        (0..random.below(3) + 1).map(|_| random_prune(random, rows, depth - 1)).collect()
    };
    match random.below(if depth == 0 { 6 } else { 10 }) {
        0 => Prune::IsNull { column },
        1 => Prune::IsNotNull { column },
        2 => Prune::In { column, values: (0..random.below(4)).map(|_| value(random)).collect() },
        3..6 => {
            use PruneOp::*;
            let op = [Eq, Eq, NotEq, Lt, LtEq, Gt, GtEq][random.below(7)];
            Prune::Compare { column, op, value: value(random) }
        }
        6..8 => Prune::And(parts(random)),
        _ => Prune::Or(parts(random)),
    }
}

fn take(array: &ArrayRef, rows: &[u64]) -> Vector {
    let rows: UInt32Array = rows.iter().map(|&row| row as u32).collect();
    Vector::Flat(compute::take(array, &rows, None).unwrap())
}

/// An index over some rows in several parts, and the rows.
fn random_index(random: &mut Random, keys: usize) -> (Rows, Index) {
    let count = 200;
    let columns = [random_column(random, count), random_column(random, count)];
    let key = |column: &ArrayRef, random: &mut Random| KeyColumn {
        ty: LogicalType::from_arrow(column.data_type()).unwrap(),
        descending: random.below(2) == 0,
    };
    let spec = IndexSpec {
        keys: columns[..keys].iter().map(|column| key(column, random)).collect(),
        includes: vec![],
    };
    let mut rows = Rows { columns, live: vec![true; count] };
    let mut index = Index::new(spec.clone()).unwrap();
    let of = |rows: &Rows, ids: &[u64]| -> Vec<Vector> {
        rows.columns[..keys].iter().map(|column| take(column, ids)).collect()
    };
    for ids in (0..count as u64).collect::<Vec<_>>().chunks(90) {
        let mut entries = Entries::new(&spec, 0).unwrap();
        entries.push(&of(&rows, ids), &[], ids.iter().copied()).unwrap();
        index = index.insert(entries, &Serial).unwrap();
        if random.below(3) == 0
            && let Some(merge) = index.merge_all()
        {
            index = index.with_merged(&merge.run().unwrap()).unwrap();
        }
    }
    let gone: Vec<u64> = (0..count as u64).filter(|_| random.below(9) == 0).collect();
    gone.iter().for_each(|&row| rows.live[row as usize] = false);
    index = index.delete(&of(&rows, &gone), &gone).unwrap();
    (rows, index)
}

#[test]
fn test_ranges_are_what_the_predicate_says() {
    let mut random = Random(11);
    let (mut exact, mut some) = (0, 0);
    for round in 0..60 {
        let keys = 1 + round % 2;
        let (rows, index) = random_index(&mut random, keys);
        for _ in 0..60 {
            let prune = random_prune(&mut random, &rows, 3);
            let Some(ranges) = index.spec().ranges(&NAMES[..keys], &prune).unwrap() else {
                continue;
            };
            some += 1;
            let found = index.rows_in(&ranges.ranges);
            let want: Vec<u64> = (0..rows.live.len())
                .filter(|&row| rows.live[row] && rows.is_true(row, &prune))
                .map(|row| row as u64)
                .collect();
            if ranges.exact {
                exact += 1;
                assert_eq!(found, want, "{prune:?}");
            } else {
                assert!(want.iter().all(|row| found.binary_search(row).is_ok()), "{prune:?}");
            }
            let count: u64 = ranges.ranges.iter().map(|range| index.view(range).count()).sum();
            assert_eq!(count, found.len() as u64, "{prune:?} gives ranges that overlap");
            for range in &ranges.ranges {
                let view = index.view(range);
                let of = |at: u64| index.key_values(view.select(at).unwrap()).unwrap();
                let firsts = (0..view.count()).map(|at| {
                    of(at)[..ranges.fixed].iter().map(ToString::to_string).collect::<Vec<_>>()
                });
                let firsts: std::collections::BTreeSet<_> = firsts.collect();
                assert!(firsts.len() <= 1, "{prune:?} does not fix {} columns", ranges.fixed);
            }
        }
    }
    assert!(exact > 500 && some > exact + 100, "{exact} {some}");
}

#[test]
fn test_rows_against_the_order_keep_equal_keys_in_row_order() {
    let mut random = Random(5);
    for round in 0..40 {
        let (_, index) = random_index(&mut random, 1 + round % 2);
        let all = KeyRange::all();
        let view = index.view(&all);
        let entries: Vec<_> = view.entries(0).collect();
        let key = |at: usize| {
            let values = index.key_values(entries[at]).unwrap();
            values.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let mut want: Vec<u64> = vec![];
        let mut end = entries.len();
        while end > 0 {
            let start = (0..end).rev().find(|&at| key(at) != key(end - 1)).map_or(0, |at| at + 1);
            assert_eq!(view.equal_to(end as u64 - 1), start as u64..end as u64);
            assert_eq!(view.equal_to(start as u64), start as u64..end as u64);
            let part = view.onwards(start as u64).unwrap();
            let next = view.onwards(end as u64);
            let part = next.map_or(part.clone(), |next| part.until(&next));
            assert_eq!(index.view(&part).count(), (end - start) as u64);
            want.extend((start..end).map(|at| index.row(entries[at])));
            end = start;
        }
        for _ in 0..30 {
            let offset = random.below(want.len() + 3);
            let limit = random.below(want.len());
            let from = offset.min(want.len());
            let to = (from + limit).min(want.len());
            assert_eq!(view.rows_reversed(offset as u64, limit), want[from..to]);
        }
    }
}
