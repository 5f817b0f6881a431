//! Build sides large enough for several partitions, in both layouts of the table, against a hash map.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use arrow::{
    array::{Array, ArrayRef, AsArray, Int64Array, StringViewArray},
    datatypes::Int64Type,
};
use stoadb_storage::{LogicalType, Vector};

use super::harness::{Random, Table, build, context, workers};
use crate::{
    batch::Batch,
    expr::Expr,
    op::{LocalSink, LocalTransform, Sink, Step, join::JoinBuild},
    plan::{JoinKey, JoinKind, JoinPlan},
    scheduler::Flow,
};

const ROWS: usize = 200_000;

fn plan(ty: &LogicalType, kind: JoinKind) -> JoinPlan {
    let table = Table { types: vec![ty.clone(), LogicalType::Int64], rows: Vec::new() };
    let key = || Expr::column(0, ty.clone());
    JoinPlan {
        left: Box::new(table.plan()),
        right: Box::new(table.plan()),
        kind,
        keys: vec![JoinKey { left: key(), right: key(), null_equal: false }],
        residual: None,
        nearest: None,
        schema: stoadb_storage::Schema::default(),
    }
}

fn batches(keys: &[Option<i64>], text: bool) -> Vec<Vec<Batch>> {
    let batch = |(chunk, keys): (usize, &[Option<i64>])| {
        let key: ArrayRef = if text {
            let texts = keys.iter().map(|key| key.map(|key| format!("the key number {key}")));
            Arc::new(texts.collect::<StringViewArray>())
        } else {
            Arc::new(keys.iter().copied().collect::<Int64Array>())
        };
        let first = (chunk * 2048) as i64;
        let serial = Int64Array::from_iter_values(first..first + keys.len() as i64);
        vec![Batch::new(vec![Vector::Flat(key), Vector::Flat(Arc::new(serial))], keys.len())]
    };
    keys.chunks(2048).enumerate().map(batch).collect()
}

fn check(build_keys: &[Option<i64>], probe_keys: &[Option<i64>], text: bool) {
    let ty = if text { LogicalType::Text } else { LogicalType::Int64 };
    let mut rows: HashMap<i64, Vec<i64>> = HashMap::new();
    for (row, key) in build_keys.iter().enumerate() {
        if let Some(key) = key {
            rows.entry(*key).or_default().push(row as i64);
        }
    }
    let mut expected = Vec::new();
    for (row, key) in probe_keys.iter().enumerate() {
        for other in key.as_ref().and_then(|key| rows.get(key)).into_iter().flatten() {
            expected.push((row as i64, *other));
        }
    }
    assert!(!expected.is_empty());
    for threads in [1, 3] {
        let (context, workers) = (context(2048), workers(threads));
        let morsels = batches(build_keys, text);
        let mut random = Random(9);
        let plan = plan(&ty, JoinKind::Inner);
        let join = build(&plan, &morsels, &context, &workers, &mut random).unwrap();
        assert!(context.memory().used() > build_keys.len() as u64 * 8);
        let mut probe = join.probe().local(&context).unwrap();
        let mut found = Vec::new();
        for batch in batches(probe_keys, text).into_iter().flatten() {
            let mut input = Some(batch);
            while let Step::HaveMore(batch) = probe.step(input.take()).unwrap() {
                let flat = |c: usize| batch.columns[c].flatten().unwrap();
                let (left, right) = (flat(1), flat(3));
                let left = left.as_primitive::<Int64Type>().values().to_vec();
                let right = right.as_primitive::<Int64Type>().values().to_vec();
                found.extend(left.into_iter().zip(right));
            }
        }
        assert!(found == expected);
        drop((probe, join));
        assert_eq!(context.memory().used(), 0);
    }
}

fn keys(rows: usize, random: &mut Random, key: impl Fn(usize) -> i64) -> Vec<Option<i64>> {
    (0..rows).map(|_| (random.below(50) > 0).then(|| key(random.below(1 << 40)))).collect()
}

#[test]
fn test_large_build_of_dense_keys() {
    let mut random = Random(1);
    let build = keys(ROWS, &mut random, |n| (n % 300_000) as i64 - 1000);
    let probe = keys(30_000, &mut random, |n| (n % 400_000) as i64 - 2000);
    check(&build, &probe, false);
}

#[test]
fn test_large_build_of_unique_dense_keys() {
    let build: Vec<Option<i64>> = (0..ROWS as i64).map(|key| Some(key * 3 % 600_001)).collect();
    let probe = keys(30_000, &mut Random(2), |n| (n % 700_000) as i64);
    check(&build, &probe, false);
}

#[test]
fn test_large_build_of_sparse_keys() {
    let mut random = Random(3);
    let spread = |n: usize| (n as i64 % 150_000).wrapping_mul(0x5851_f42d_4c95_7f2d);
    let build = keys(ROWS, &mut random, spread);
    let probe = keys(30_000, &mut random, spread);
    check(&build, &probe, false);
}

#[test]
fn test_large_build_of_one_frequent_sparse_key() {
    let mut random = Random(4);
    let skewed = |n: usize| if n.is_multiple_of(4) { (n as i64) << 8 } else { 1 << 50 };
    let build = keys(ROWS, &mut random, skewed);
    let mut probe = keys(3000, &mut random, |n| (n as i64) << 8);
    probe.extend([Some(1 << 50), build[0], build[1], build[2], build[3]]);
    check(&build, &probe, false);
}

#[test]
fn test_large_build_of_texts() {
    let mut random = Random(5);
    let build = keys(ROWS / 2, &mut random, |n| (n % 90_000) as i64);
    let probe = keys(10_000, &mut random, |n| (n % 120_000) as i64);
    check(&build, &probe, true);
}

/// The integers of a full join's output, row after row, computed by workers that really run at once.
fn full_join(
    build_side: &[Vec<Batch>],
    probe_side: &[Vec<Batch>],
    threads: usize,
) -> Vec<Vec<Option<i64>>> {
    let (context, workers) = (context(2048), workers(threads));
    let join = JoinBuild::new(&plan(&LogicalType::Int64, JoinKind::Full), &context).unwrap();
    let take = |local: &mut Box<dyn LocalSink>, morsel: usize| {
        local.begin_morsel(morsel)?;
        for batch in &build_side[morsel] {
            local.push(batch.clone())?;
        }
        local.end_morsel()?;
        Ok(Flow::Continue)
    };
    let local = || join.local(&context);
    workers.run(build_side.len(), local, take, |local| local.merge()).unwrap();
    join.finish(&context, &workers).unwrap();
    let outputs: Vec<Mutex<Vec<Batch>>> = probe_side.iter().map(|_| Mutex::default()).collect();
    let probe = join.probe();
    let look_up = |local: &mut Box<dyn LocalTransform>, morsel: usize| {
        for batch in &probe_side[morsel] {
            let mut input = Some(batch.clone());
            while let Step::HaveMore(batch) = local.step(input.take())? {
                outputs[morsel].lock().unwrap().push(batch);
            }
        }
        local.end_morsel();
        Ok(Flow::Continue)
    };
    workers.run(probe_side.len(), || probe.local(&context), look_up, |_| Ok(())).unwrap();
    let mut batches: Vec<Batch> =
        outputs.into_iter().flat_map(|output| output.into_inner().unwrap()).collect();
    let rest = join.unmatched().unwrap();
    let read = |morsel: usize| {
        let mut local = rest.local(&context)?;
        local.begin(morsel)?;
        let mut batches = Vec::new();
        while let Some(batch) = local.next()? {
            batches.push(batch);
        }
        Ok(batches)
    };
    batches.extend(workers.map(rest.morsels(), read).unwrap().into_iter().flatten());
    let mut rows = Vec::new();
    for batch in batches {
        let columns: Vec<ArrayRef> = batch.columns.iter().map(|c| c.flatten().unwrap()).collect();
        let columns: Vec<&Int64Array> =
            columns.iter().map(|column| column.as_primitive::<Int64Type>()).collect();
        for row in 0..batch.rows {
            let value = |c: &&Int64Array| (!c.is_null(row)).then(|| c.value(row));
            rows.push(columns.iter().map(value).collect());
        }
    }
    rows
}

#[test]
fn test_full_join_by_concurrent_workers_keeps_rows_and_order() {
    let mut random = Random(6);
    let spread = |n: usize| (n as i64 % 40_000).wrapping_mul(0x5851_f42d_4c95_7f2d);
    for key in [spread as fn(usize) -> i64, |n: usize| n as i64 % 40_000] {
        let build_keys = keys(70_000, &mut random, key);
        let probe_keys = keys(20_000, &mut random, key);
        let mut groups: HashMap<i64, Vec<usize>> = HashMap::new();
        for (row, key) in build_keys.iter().enumerate() {
            key.iter().for_each(|&key| groups.entry(key).or_default().push(row));
        }
        let mut expected = Vec::new();
        let mut seen = vec![false; build_keys.len()];
        for (row, key) in (0_i64..).zip(&probe_keys) {
            let group = key.as_ref().and_then(|key| groups.get(key));
            for &other in group.into_iter().flatten() {
                seen[other] = true;
                expected.push(vec![*key, Some(row), build_keys[other], Some(other as i64)]);
            }
            if group.is_none() {
                expected.push(vec![*key, Some(row), None, None]);
            }
        }
        for (other, _) in seen.iter().enumerate().filter(|(_, seen)| !**seen) {
            expected.push(vec![None, None, build_keys[other], Some(other as i64)]);
        }
        let (build_side, probe_side) = (batches(&build_keys, false), batches(&probe_keys, false));
        for threads in [1, 4] {
            assert!(full_join(&build_side, &probe_side, threads) == expected);
        }
    }
}
