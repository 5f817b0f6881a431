//! All kinds, with and without residuals and NULL keys, over all key types and encodings.

use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, BinaryViewArray, Date32Array, DurationMillisecondArray, Float32Array,
        Float64Array, IntervalMonthDayNanoArray, ListArray, Time32SecondArray,
        TimestampMicrosecondArray, UInt64Array,
    },
    datatypes::{DataType, Field, Int32Type, IntervalMonthDayNanoType},
};
use stoadb_storage::{LogicalType, Scalar, TimeUnit};

use super::harness::{Case, PairTest, Random, Table, context, printed, run, workers};
use crate::{
    expr::{CompareOp, Expr},
    plan::JoinKind,
    scheduler::Workers,
};

const KINDS: [JoinKind; 10] = [
    JoinKind::Inner,
    JoinKind::Left,
    JoinKind::Right,
    JoinKind::Full,
    JoinKind::LeftSemi,
    JoinKind::LeftAnti,
    JoinKind::LeftAntiNullAware,
    JoinKind::RightSemi,
    JoinKind::RightAnti,
    JoinKind::LeftMark,
];

/// Values of a type, NULL among them.
fn pool(ty: &LogicalType) -> Vec<Scalar> {
    let decimal = |v: i128| match ty {
        LogicalType::Decimal { precision, scale } => Scalar::decimal(v, *precision, *scale),
        _ => Scalar::null(ty.clone()),
    };
    let list = |rows: Vec<Option<Vec<Option<i32>>>>| {
        Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(rows)) as ArrayRef
    };
    let interval = IntervalMonthDayNanoType::make_value;
    let array: ArrayRef = match ty {
        LogicalType::UInt64 => Arc::new(UInt64Array::from(vec![0, 1, 7, 1 << 63, u64::MAX])),
        LogicalType::Float64 => {
            Arc::new(Float64Array::from(vec![0.0, -0.0, 1.5, f64::NAN, -f64::NAN, f64::INFINITY]))
        }
        LogicalType::Float32 => {
            Arc::new(Float32Array::from(vec![0.0, -0.0, f32::MIN, f32::NAN, 1e-45]))
        }
        LogicalType::Blob => {
            let long: &[u8] = &[255; 40];
            Arc::new(BinaryViewArray::from(vec![&b""[..], b"a", b"a\0", long]))
        }
        LogicalType::Date => Arc::new(Date32Array::from(vec![i32::MIN, -1, 0, 19000, i32::MAX])),
        LogicalType::Time(_) => Arc::new(Time32SecondArray::from(vec![0, 1, 86399])),
        LogicalType::Timestamp(..) => {
            Arc::new(TimestampMicrosecondArray::from(vec![i64::MIN, 0, 1, i64::MAX]))
        }
        LogicalType::Duration(_) => Arc::new(DurationMillisecondArray::from(vec![-5, 0, 5])),
        LogicalType::Interval => Arc::new(IntervalMonthDayNanoArray::from(vec![
            interval(0, 0, 0),
            interval(1, 0, 0),
            interval(0, 30, 0),
            interval(0, -1, i64::MIN),
            interval(-1, -1, i64::MAX),
        ])),
        LogicalType::List(_) => {
            list(vec![Some(vec![]), Some(vec![Some(1)]), Some(vec![Some(1), None])])
        }
        LogicalType::Decimal { .. } => {
            let mut values: Vec<Scalar> = [-1, 0, 1, 250].into_iter().map(decimal).collect();
            if matches!(ty, LogicalType::Decimal { precision: 38, .. }) {
                let wide = [i128::from(i64::MAX) + 1, 10_i128.pow(37), -(10_i128.pow(37)), 1 << 64];
                values.extend(wide.into_iter().map(decimal));
            }
            values.push(Scalar::null(ty.clone()));
            return values;
        }
        LogicalType::Text => {
            let long = "a text that is longer than twelve bytes";
            let mut values: Vec<Scalar> = ["", "a", "b", long, "\u{e9}"].map(Scalar::text).into();
            values.push(Scalar::null(LogicalType::Text));
            return values;
        }
        LogicalType::Boolean => {
            return vec![
                Scalar::boolean(false),
                Scalar::boolean(true),
                Scalar::null(LogicalType::Boolean),
            ];
        }
        LogicalType::Null => return vec![Scalar::null(LogicalType::Null)],
        _ => {
            let values = arrow::array::Int64Array::from(vec![-128, -3, 0, 1, 2, 127]);
            arrow::compute::cast(&values, &ty.to_arrow()).unwrap()
        }
    };
    let mut values: Vec<Scalar> =
        (0..array.len()).map(|row| Scalar::from_array(array.as_ref(), row).unwrap()).collect();
    values.push(Scalar::null(ty.clone()));
    values
}

/// Integers over the whole range of their type.
fn extremes() -> Vec<Scalar> {
    let values = [i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX - 1, i64::MAX];
    let mut values: Vec<Scalar> = values.map(Scalar::int64).into();
    values.push(Scalar::null(LogicalType::Int64));
    values
}

/// A table of a serial number, a BIGINT for residuals, and columns of values from pools.
fn table(rows: usize, pools: &[(LogicalType, Vec<Scalar>)], random: &mut Random) -> Table {
    let mut types = vec![LogicalType::Int64, LogicalType::Int64];
    types.extend(pools.iter().map(|(ty, _)| ty.clone()));
    let row = |serial: usize| {
        let measure = match random.below(5) {
            0 => Scalar::null(LogicalType::Int64),
            n => Scalar::int64(n as i64),
        };
        let mut row = vec![Scalar::int64(serial as i64), measure];
        row.extend(pools.iter().map(|(_, pool)| pool[random.below(pool.len())].clone()));
        row
    };
    Table { types, rows: (0..rows).map(row).collect() }
}

/// The left measure is less than the right one.
fn residual(left_columns: usize) -> (Expr, PairTest) {
    let column = |index| Box::new(Expr::column(index, LogicalType::Int64));
    let expr =
        Expr::Compare { op: CompareOp::Lt, left: column(1), right: column(left_columns + 1) };
    (expr, |left, right| match (left[1].as_i128(), right[1].as_i128()) {
        (Some(left), Some(right)) => left < right,
        _ => false,
    })
}

struct Deals(Vec<(usize, Workers)>);

impl Deals {
    fn new() -> Self {
        Self([(1, 1), (7, 2), (2048, 3), (7, 8)].map(|(size, n)| (size, workers(n))).into())
    }

    /// Checks a case for all vector sizes and deals.
    fn check(&self, case: &Case, random: &mut Random, what: &str) {
        if case.kind == JoinKind::LeftAntiNullAware && case.keys.is_empty() {
            return;
        }
        let nested = case.keys.iter().any(|&(left, ..)| case.left.types[left].is_nested());
        if case.kind == JoinKind::LeftAntiNullAware && nested && case.residual.is_some() {
            // There the key becomes a comparison, which expressions do not have for nested types.
            return;
        }
        let expected = case.oracle();
        for (size, workers) in &self.0 {
            let batches = run(case, &context(*size), workers, random).unwrap();
            let rows: Vec<_> = printed(&batches);
            assert!(
                rows == expected,
                "{what}: {:?} keys {:?} residual {} vectors {size} threads {}\n{rows:?}\n{expected:?}",
                case.kind,
                case.keys,
                case.residual.is_some(),
                workers.threads(),
            );
            let gives_pairs = case.residual.is_some() || batches.len() > 1;
            if matches!(case.kind, JoinKind::Inner | JoinKind::Full) && gives_pairs {
                assert!(batches.iter().all(|batch| batch.rows <= *size));
            }
        }
    }

    fn check_all(&self, base: &Case, random: &mut Random, what: &str) {
        for kind in KINDS {
            for residual in [None, Some(residual(base.left.types.len()))] {
                self.check(&Case { kind, residual, ..base.clone() }, random, what);
            }
        }
    }
}

fn case(left: Table, right: Table, keys: Vec<(usize, usize, bool)>) -> Case {
    Case { kind: JoinKind::Inner, left, right, keys, residual: None, nearest: None }
}

#[test]
fn test_join_of_every_key_type() {
    let mut random = Random(1);
    let deals = Deals::new();
    let list = Arc::new(Field::new("item", DataType::Int32, true));
    let types = [
        LogicalType::Int8,
        LogicalType::Int32,
        LogicalType::Int64,
        LogicalType::UInt64,
        LogicalType::Float32,
        LogicalType::Float64,
        LogicalType::Boolean,
        LogicalType::Text,
        LogicalType::Blob,
        LogicalType::Date,
        LogicalType::Time(TimeUnit::Second),
        LogicalType::Timestamp(TimeUnit::Microsecond, None),
        LogicalType::Duration(TimeUnit::Millisecond),
        LogicalType::Interval,
        LogicalType::Decimal { precision: 10, scale: 2 },
        LogicalType::Decimal { precision: 38, scale: 2 },
        LogicalType::List(list),
        LogicalType::Null,
    ];
    for ty in types {
        let pools = [(ty.clone(), pool(&ty))];
        let (left, right) = (table(40, &pools, &mut random), table(25, &pools, &mut random));
        for null_equal in [false, true] {
            let base = case(left.clone(), right.clone(), vec![(2, 2, null_equal)]);
            deals.check_all(&base, &mut random, &ty.to_string());
        }
    }
}

#[test]
fn test_join_of_two_and_three_keys() {
    let mut random = Random(2);
    let deals = Deals::new();
    let of = |ty: LogicalType| (ty.clone(), pool(&ty));
    let wide = || (LogicalType::Int64, extremes());
    let combinations = [
        vec![of(LogicalType::Int32), of(LogicalType::Int8)],
        vec![of(LogicalType::Text), of(LogicalType::Date)],
        vec![wide(), wide()],
        vec![wide(), of(LogicalType::Float64), wide()],
        vec![of(LogicalType::Interval), of(LogicalType::Boolean)],
        vec![of(LogicalType::Decimal { precision: 38, scale: 0 }), wide(), of(LogicalType::Text)],
    ];
    for pools in combinations {
        // Few values, so that composite keys match.
        let few = |(ty, pool): &(LogicalType, Vec<Scalar>)| {
            let mut pool: Vec<Scalar> = pool.iter().rev().take(3).cloned().collect();
            pool.dedup();
            (ty.clone(), pool)
        };
        let pools: Vec<_> = pools.iter().map(few).collect();
        let (left, right) = (table(40, &pools, &mut random), table(30, &pools, &mut random));
        for equal in 0..2 {
            let keys = (0..pools.len()).map(|i| (i + 2, i + 2, i % 2 == equal)).collect();
            let base = case(left.clone(), right.clone(), keys);
            deals.check_all(&base, &mut random, &format!("{:?}", left.types));
        }
    }
}

#[test]
fn test_join_without_keys() {
    let mut random = Random(3);
    let deals = Deals::new();
    let (left, right) = (table(30, &[], &mut random), table(20, &[], &mut random));
    deals.check_all(&case(left, right, vec![]), &mut random, "no keys");
}

#[test]
fn test_join_of_empty_sides() {
    let mut random = Random(4);
    let deals = Deals::new();
    let pools = [(LogicalType::Int64, extremes()), (LogicalType::Text, pool(&LogicalType::Text))];
    for (left, right) in [(0, 0), (0, 20), (20, 0), (1, 1)] {
        for keys in [vec![], vec![(2, 2, false)], vec![(2, 2, true), (3, 3, false)]] {
            let (left, right) =
                (table(left, &pools, &mut random), table(right, &pools, &mut random));
            deals.check_all(&case(left, right, keys), &mut random, "empty sides");
        }
    }
}

#[test]
fn test_join_where_all_build_keys_are_null() {
    let mut random = Random(5);
    let deals = Deals::new();
    let all = [(LogicalType::Int64, extremes())];
    let nulls = [(LogicalType::Int64, vec![Scalar::null(LogicalType::Int64)])];
    for null_equal in [false, true] {
        let (left, right) = (table(20, &all, &mut random), table(10, &nulls, &mut random));
        let base = case(left, right, vec![(2, 2, null_equal)]);
        deals.check_all(&base, &mut random, "NULL keys");
    }
}

#[test]
fn test_join_of_not_in_without_nulls() {
    let mut random = Random(6);
    let deals = Deals::new();
    let values =
        |values: &[i64]| -> Vec<Scalar> { values.iter().copied().map(Scalar::int64).collect() };
    let left = [(LogicalType::Int64, extremes()), (LogicalType::Int64, values(&[1, 2, 3]))];
    let right = [(LogicalType::Int64, values(&[0, 1])), (LogicalType::Int64, values(&[1, 2]))];
    for keys in [vec![(2, 2, false)], vec![(2, 2, false), (3, 3, false)]] {
        let (left, right) = (table(30, &left, &mut random), table(10, &right, &mut random));
        let kind = JoinKind::LeftAntiNullAware;
        let base = Case { kind, ..case(left, right, keys) };
        assert!(!base.oracle().is_empty());
        deals.check(&base, &mut random, "NOT IN");
    }
}

#[test]
fn test_join_with_a_side_of_bare_nulls() {
    let mut random = Random(7);
    let deals = Deals::new();
    let text = [(LogicalType::Text, pool(&LogicalType::Text))];
    let bare = [(LogicalType::Null, pool(&LogicalType::Null))];
    for (left, right) in [(&text, &bare), (&bare, &text)] {
        for null_equal in [false, true] {
            let (left, right) = (table(20, left, &mut random), table(10, right, &mut random));
            let mut base = case(left, right, vec![(2, 2, null_equal)]);
            for kind in KINDS {
                base.kind = kind;
                deals.check(&base, &mut random, "bare NULLs");
            }
        }
    }
}

#[test]
fn test_join_of_large_groups() {
    let mut random = Random(8);
    let deals = Deals(vec![(2048, workers(2)), (600, workers(1))]);
    let few = [(LogicalType::Int64, vec![Scalar::int64(1), Scalar::int64(5)])];
    let (left, right) = (table(4, &few, &mut random), table(1300, &few, &mut random));
    deals.check_all(&case(left.clone(), right.clone(), vec![(2, 2, false)]), &mut random, "large");
    deals.check_all(&case(left, right, vec![]), &mut random, "large without keys");
}

#[test]
fn test_join_of_many_rows_with_one_or_none() {
    let mut random = Random(9);
    let deals = Deals(vec![(2048, workers(2)), (100, workers(1))]);
    let few = [(LogicalType::Int64, vec![Scalar::int64(1)])];
    let other = [(LogicalType::Int64, vec![Scalar::int64(2)])];
    for right in [&few, &other] {
        let (left, right) = (table(300, &few, &mut random), table(1, right, &mut random));
        let base = case(left.clone(), right.clone(), vec![(2, 2, false)]);
        deals.check_all(&base, &mut random, "one row");
        deals.check_all(&case(left, right, vec![]), &mut random, "one row without keys");
    }
}

#[test]
fn test_asof_join_pairs_each_row_with_the_nearest() {
    let mut random = Random(9);
    let deals = Deals::new();
    let types = [
        LogicalType::Int32,
        LogicalType::Int64,
        LogicalType::UInt64,
        LogicalType::Float64,
        LogicalType::Text,
        LogicalType::Date,
        LogicalType::Decimal { precision: 10, scale: 2 },
        LogicalType::Decimal { precision: 38, scale: 2 },
    ];
    let kinds = [
        JoinKind::Inner,
        JoinKind::Left,
        JoinKind::Right,
        JoinKind::Full,
        JoinKind::LeftSemi,
        JoinKind::LeftAnti,
    ];
    for ty in types {
        let pools = [(ty.clone(), pool(&ty)), (LogicalType::Int8, pool(&LogicalType::Int8))];
        for (rows, build) in [(40, 60), (3, 1), (5, 0), (0, 4)] {
            let (left, right) =
                (table(rows, &pools, &mut random), table(build, &pools, &mut random));
            for op in [CompareOp::GtEq, CompareOp::Gt, CompareOp::LtEq, CompareOp::Lt] {
                for keys in [vec![], vec![(3, 3, false)], vec![(3, 3, true), (1, 1, false)]] {
                    for kind in kinds {
                        for residual in [None, Some(residual(left.types.len()))] {
                            let base = case(left.clone(), right.clone(), keys.clone());
                            let nearest = Some((2, 2, op));
                            let case = Case { kind, residual, nearest, ..base };
                            deals.check(&case, &mut random, &format!("{ty} {op:?}"));
                        }
                    }
                }
            }
        }
    }
}
