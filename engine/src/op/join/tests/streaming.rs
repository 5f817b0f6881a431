//! Joins with far more pairs than memory: constant memory, cancellation, pruning bounds, budgets.

use std::{sync::Arc, time::Duration};

use arrow::array::{Array, AsArray, Int64Array};
use arrow::datatypes::Int64Type;
use stoadb_storage::{LogicalType, Scalar, Schema, Vector};

use super::harness::{Case, Random, Table, build, context, run, workers};
use crate::{
    batch::Batch,
    context::{QueryContext, QuerySettings},
    error::EngineError,
    expr::{ArithmeticOp, CompareOp, Expr},
    op::{Sink, Step},
    plan::{JoinKey, JoinKind, JoinPlan},
};

const ROWS: i64 = 100_000;

fn serials(rows: i64) -> Vec<Vec<Batch>> {
    let serial = Int64Array::from_iter_values(0..rows);
    let batch = |start: i64| {
        let count = 2048.min(rows - start) as usize;
        let column = Vector::Flat(Arc::new(serial.slice(start as usize, count)));
        vec![Batch::new(vec![column], count)]
    };
    (0..rows).step_by(2048).map(batch).collect()
}

fn plan(kind: JoinKind, keyed: bool, residual: Option<Expr>) -> JoinPlan {
    let table = Table { types: vec![LogicalType::Int64], rows: Vec::new() };
    let key = || Expr::column(0, LogicalType::Int64);
    let keys = keyed.then(|| JoinKey { left: key(), right: key(), null_equal: false });
    JoinPlan {
        left: Box::new(table.plan()),
        right: Box::new(table.plan()),
        kind,
        keys: keys.into_iter().collect(),
        residual,
        nearest: None,
        schema: Schema::default(),
    }
}

#[test]
fn test_cross_join_streams_in_constant_memory() {
    let (context, workers) = (context(2048), workers(2));
    let plan = plan(JoinKind::Inner, false, None);
    let join = build(&plan, &serials(ROWS), &context, &workers, &mut Random(1)).unwrap();
    let held = context.memory().used();
    assert!(held < 2_000_000, "{held} bytes for 800,000 bytes of values");
    let mut probe = join.probe().local(&context).unwrap();
    let mut input = serials(ROWS).swap_remove(0).pop();
    let mut first = 0;
    for vector in 0..100 {
        let Step::HaveMore(batch) = probe.step(input.take()).unwrap() else {
            panic!("10^5 times 2048 pairs end after {vector} vectors");
        };
        assert!((1..=2048).contains(&batch.rows));
        for (column, divide) in [(0, true), (1, false)] {
            let values = batch.columns[column].flatten().unwrap();
            for (i, &value) in values.as_primitive::<Int64Type>().values().iter().enumerate() {
                let pair = first + i as i64;
                assert_eq!(value, if divide { pair / ROWS } else { pair % ROWS });
            }
        }
        first += batch.rows as i64;
    }
    probe.end_morsel();
    assert!(matches!(probe.step(None).unwrap(), Step::NeedInput));
    assert_eq!(context.memory().used(), held);
}

#[test]
fn test_residual_that_rejects_everything_can_be_cancelled() {
    let column = |index| Box::new(Expr::column(index, LogicalType::Int64));
    let never = Expr::And(vec![
        Expr::Compare { op: CompareOp::Lt, left: column(0), right: column(1) },
        Expr::Compare { op: CompareOp::Gt, left: column(0), right: column(1) },
    ]);
    let kinds = [JoinKind::Inner, JoinKind::Left, JoinKind::LeftSemi, JoinKind::RightSemi];
    for kind in kinds {
        let (context, workers) = (context(2048), workers(1));
        let plan = plan(kind, false, Some(never.clone()));
        let join = build(&plan, &serials(ROWS), &context, &workers, &mut Random(1)).unwrap();
        let mut probe = join.probe().local(&context).unwrap();
        let flag = context.cancel_flag();
        let thread = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(30));
            flag.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        let mut input = serials(ROWS).swap_remove(0).pop();
        let error = loop {
            match probe.step(input.take()) {
                Ok(Step::HaveMore(_)) => {}
                Ok(step) => panic!("{kind:?}: {step:?} before the cancellation"),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, EngineError::Cancelled));
        thread.join().unwrap();
    }
}

#[test]
fn test_build_beyond_the_budget_is_an_error() {
    let settings = QuerySettings { memory_limit: 1_000_000, ..QuerySettings::default() };
    let context = Arc::new(QueryContext::new(settings, Arc::default(), Vec::new()));
    let plan = plan(JoinKind::Inner, true, None);
    let error = build(&plan, &serials(ROWS), &context, &workers(1), &mut Random(1));
    let error = error.err().unwrap();
    assert!(matches!(error, EngineError::OutOfMemory(_)), "{error}");
    assert!(error.to_string().contains("join"));
    assert_eq!(context.memory().used(), 0);
}

#[test]
fn test_probe_before_the_build_is_complete_is_an_error() {
    let context = context(2048);
    let join = JoinBuildOf::new(&context);
    assert!(join.probe().local(&context).is_err());
    assert!(join.is_empty());
    join.finish(&context, &workers(1)).unwrap();
    assert!(join.probe().local(&context).is_ok());
    assert!(join.finish(&context, &workers(1)).is_err());
}

struct JoinBuildOf;

impl JoinBuildOf {
    #[expect(clippy::new_ret_no_self, reason = "a shorthand")]
    fn new(context: &Arc<QueryContext>) -> Arc<super::super::JoinBuild> {
        super::super::JoinBuild::new(&plan(JoinKind::Inner, true, None), context).unwrap()
    }
}

fn range(values: Vec<Scalar>, null_equal: bool) -> Option<(String, String)> {
    let types = vec![values[0].ty().clone()];
    let rows = values.into_iter().map(|value| vec![value]).collect();
    let right = Table { types, rows };
    let case = Case {
        kind: JoinKind::Inner,
        left: Table { rows: Vec::new(), ..right.clone() },
        right,
        keys: vec![(0, 0, null_equal)],
        nearest: None,
        residual: None,
    };
    let (context, workers, mut random) = (context(7), workers(1), Random(1));
    assert!(run(&case, &context, &workers, &mut random).unwrap().is_empty());
    let morsels = case.right.morsels(&mut random, 3);
    let join = build(&case.plan(), &morsels, &context, &workers, &mut random).unwrap();
    assert!(join.key_range(1).is_none());
    join.key_range(0).map(|(min, max)| (min.to_string(), max.to_string()))
}

#[test]
fn test_key_range_bounds_the_build_keys() {
    let pair = |min: &str, max: &str| Some((min.to_string(), max.to_string()));
    let integers = || vec![Scalar::int64(3), Scalar::int64(-7), Scalar::null(LogicalType::Int64)];
    assert_eq!(range(integers(), false), pair("-7", "3"));
    assert_eq!(range(integers(), true), None);
    assert_eq!(range(integers()[..2].to_vec(), true), pair("-7", "3"));
    assert_eq!(range(integers()[2..].to_vec(), false), None);
    let decimals = vec![Scalar::decimal(150, 10, 2), Scalar::decimal(-5, 10, 2)];
    assert_eq!(range(decimals, false), pair("-0.05", "1.50"));
    let texts = ["b", "", "\u{e9}"].map(Scalar::text).to_vec();
    assert_eq!(range(texts, false), pair("''", "'\u{e9}'"));
    let doubles = |values: &[f64]| values.iter().copied().map(Scalar::float64).collect();
    assert_eq!(range(doubles(&[2.5, -1.0]), false), pair("-1.0", "2.5"));
    assert_eq!(range(doubles(&[2.5, f64::NAN]), false), None);
    let unsigned = arrow::array::UInt64Array::from(vec![u64::MAX, 5]);
    let unsigned = (0..2).map(|row| Scalar::from_array(&unsigned, row).unwrap()).collect();
    assert_eq!(range(unsigned, false), pair("5", "18446744073709551615"));
}

#[test]
fn test_row_filter_keeps_exactly_the_matching_rows() {
    let (context, workers) = (context(2048), workers(2));
    let texts = ["a", "b", "c"].map(Scalar::text);
    let row = |serial: i64| vec![Scalar::int64(serial), texts[(serial % 3) as usize].clone()];
    let types = vec![LogicalType::Int64, LogicalType::Text];
    let right = Table { types: types.clone(), rows: (0..50).map(|i| row(i * 7)).collect() };
    for kind in [JoinKind::Inner, JoinKind::LeftSemi, JoinKind::RightAnti, JoinKind::Left] {
        let left = Table { types: types.clone(), rows: Vec::new() };
        let keys = vec![(0, 0, false), (1, 1, false)];
        let case = Case { kind, left, right: right.clone(), keys, residual: None, nearest: None };
        let mut random = Random(3);
        let morsels = right.morsels(&mut random, 5);
        let join = build(&case.plan(), &morsels, &context, &workers, &mut random).unwrap();
        assert!(join.row_filter(&[4]).is_none());
        let Some(filter) = join.row_filter(&[4, 2]) else {
            assert_eq!(kind, JoinKind::Left);
            continue;
        };
        assert_eq!(filter.columns(), &[2, 4]);
        let serials = Vector::Flat(Arc::new(Int64Array::from_iter_values(0..700)));
        let all: Vec<Scalar> = (0..700).map(|i| texts[(i % 3) as usize].clone()).collect();
        let all = super::harness::vector(&LogicalType::Text, &all, &mut random);
        let mut local = filter.local().unwrap();
        let selection = local.select(&[all.clone(), serials.clone()], 700).unwrap().unwrap();
        let expected: Vec<u32> = (0..50).map(|i| i * 7).collect();
        assert_eq!(selection.rows(), expected);
        let selection = local.select(&[all.slice(7, 1), serials.slice(7, 1)], 1).unwrap();
        assert!(selection.is_none());
    }
}

/// All rows of a probe over one batch, as integers.
fn probe_all(plan: &JoinPlan, rows: i64) -> Vec<Vec<Option<i64>>> {
    let (context, workers) = (context(7), workers(1));
    let join = build(plan, &serials(rows), &context, &workers, &mut Random(1)).unwrap();
    let mut probe = join.probe().local(&context).unwrap();
    let mut input = serials(rows).swap_remove(0).pop();
    let mut out = Vec::new();
    while let Step::HaveMore(batch) = probe.step(input.take()).unwrap() {
        let columns: Vec<_> = batch.columns.iter().map(|c| c.flatten().unwrap()).collect();
        for row in 0..batch.rows {
            let value = |column: &arrow::array::ArrayRef| {
                let column = column.as_primitive::<Int64Type>();
                (!column.is_null(row)).then(|| column.value(row))
            };
            out.push(columns.iter().map(value).collect());
        }
    }
    out
}

#[test]
fn test_join_on_computed_keys() {
    let column = || Box::new(Expr::column(0, LogicalType::Int64));
    let mut plan = plan(JoinKind::Inner, true, None);
    plan.keys[0].left = Expr::Arithmetic {
        op: ArithmeticOp::Multiply,
        left: column(),
        right: Box::new(Expr::Literal(Scalar::int64(2))),
        ty: LogicalType::Int64,
    };
    let expected: Vec<_> = (0..15).map(|i| vec![Some(i), Some(2 * i)]).collect();
    assert_eq!(probe_all(&plan, 30), expected);
}

#[test]
fn test_residual_without_columns() {
    for truth in [true, false] {
        let residual = Some(Expr::Literal(Scalar::boolean(truth)));
        let row = |i| vec![Some(i), truth.then_some(i)];
        let expected: Vec<_> = (0..30).map(row).collect();
        assert_eq!(probe_all(&plan(JoinKind::Left, true, residual), 30), expected);
    }
}
