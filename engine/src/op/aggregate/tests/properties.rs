//! Tests of what holds whatever the workers, batches and limits.
//!
//! Invariant: results are compared bit by bit.

use arrow::array::{AsArray, Float64Array, Int64Array};

use super::*;

/// The exact bits of a result.
pub(super) fn bits(columns: &[ArrayRef]) -> Vec<Vec<String>> {
    let cell = |array: &ArrayRef, row: usize| match array.as_primitive_opt() {
        Some(floats) if array.is_valid(row) => {
            let floats: &Float64Array = floats;
            format!("{:x}", floats.value(row).to_bits())
        }
        _ => display(&Vector::Flat(array.clone()), row),
    };
    columns.iter().map(|array| (0..array.len()).map(|row| cell(array, row)).collect()).collect()
}

fn flat(columns: Vec<ArrayRef>) -> Batch {
    let rows = columns[0].len();
    Batch::new(columns.into_iter().map(Vector::Flat).collect(), rows)
}

/// Cuts each morsel into batches of at most `rows` rows.
fn cut(morsels: &[Vec<Batch>], rows: usize) -> Vec<Vec<Batch>> {
    let cut = |batch: &Batch| {
        let starts = (0..batch.rows).step_by(rows);
        let slice = |start: usize| {
            let rows = rows.min(batch.rows - start);
            Batch::new(batch.columns.iter().map(|c| c.slice(start, rows)).collect(), rows)
        };
        starts.map(slice).collect::<Vec<_>>()
    };
    morsels.iter().map(|morsel| morsel.iter().flat_map(cut).collect()).collect()
}

fn hard_float(random: &mut Random, special: u64) -> f64 {
    match random.below(special) {
        0 => f64::NAN,
        1 => f64::INFINITY,
        2 => f64::NEG_INFINITY,
        n => [1e16, 1.0, -1e16, 0.1, -0.0, 3.7e-9, 1e300][n as usize % 7],
    }
}

/// `count` morsels of a key of `keys` values and a float.
fn hard_morsels(random: &mut Random, count: usize, rows: usize, keys: u64) -> Vec<Vec<Batch>> {
    let morsel = |_| {
        let special = if random.below(2) == 0 { 2000 } else { 100_000 };
        let keys: Int64Array = (0..rows).map(|_| Some(random.below(keys) as i64)).collect();
        let floats: Float64Array = (0..rows).map(|_| Some(hard_float(random, special))).collect();
        vec![flat(vec![Arc::new(keys), Arc::new(floats)])]
    };
    (0..count).map(morsel).collect()
}

fn hard_plan(groups: usize) -> Plan {
    let double = LogicalType::Float64;
    let x = || vec![column(1, &double)];
    let functions = [F::Sum, F::Avg, F::VarSamp, F::StddevPop, F::Product, F::Min, F::Max];
    let mut calls: Vec<_> = functions.into_iter().map(|f| call(f, x(), double.clone())).collect();
    for function in [F::First, F::Last, F::AnyValue, F::Mode, F::Median] {
        calls.push(call(function, x(), double.clone()));
    }
    calls.push(AggregateCall { distinct: true, ..calls[0].clone() });
    calls.push(call(
        F::Corr,
        vec![column(1, &double), column(0, &LogicalType::Int64)],
        double.clone(),
    ));
    Plan {
        input: Schema::new(vec![
            ColumnDef::new("k", LogicalType::Int64),
            ColumnDef::new("x", double),
        ]),
        groups: vec![column(0, &LogicalType::Int64); groups],
        sets: vec![],
        calls,
    }
}

#[test]
fn test_workers_deal_and_batches_do_not_change_a_bit() {
    let mut random = Random::new(11);
    for (groups, count, rows, keys) in
        [(0, 70, 100, 1), (1, 70, 100, 5), (1, 64, 400, 30_000), (1, 3, 20_000, 1 << 40)]
    {
        let morsels = hard_morsels(&mut random, count, rows, keys);
        let plan = hard_plan(groups);
        let expected = bits(&plan.run(&morsels, 1, &mut random).unwrap());
        for workers in WORKERS {
            let cut = cut(&morsels, [7, 1000, 8192, 2048][workers % 4]);
            let actual = bits(&plan.run(&cut, workers, &mut random).unwrap());
            assert!(expected == actual, "{groups} {keys} {workers}");
        }
    }
}

#[test]
fn test_many_groups_come_in_order_of_their_first_rows() {
    let mut random = Random::new(12);
    for (rows, keys) in [(600, 5_000), (20_000, 50_000)] {
        let morsels = hard_morsels(&mut random, 40_000 / rows + 2, rows, keys);
        let plan = Plan {
            calls: vec![
                call(F::CountStar, vec![], LogicalType::Int64),
                call(F::Sum, vec![column(0, &LogicalType::Int64)], LogicalType::Int64),
            ],
            ..hard_plan(1)
        };
        let mut place = HashMap::new();
        let mut wanted: Vec<(i64, i64, i64)> = Vec::new();
        for key in values(&morsels, 0) {
            let key = key.as_i128().unwrap() as i64;
            let at = *place.entry(key).or_insert_with(|| {
                wanted.push((key, 0, 0));
                wanted.len() - 1
            });
            wanted[at].1 += 1;
            wanted[at].2 += key;
        }
        let result = plan.run(&cut(&morsels, 2048), 3, &mut random).unwrap();
        let column = |i: usize| -> &Int64Array { result[i].as_primitive() };
        let actual: Vec<_> = (0..result[0].len())
            .map(|row| (column(0).value(row), column(1).value(row), column(2).value(row)))
            .collect();
        assert!(actual == wanted);
    }
}

#[test]
fn test_sum_of_floats_keeps_what_cancellation_leaves() {
    let floats = |values: &[f64]| -> ArrayRef { Arc::new(Float64Array::from(values.to_vec())) };
    let keys = |n: usize| -> ArrayRef { Arc::new(Int64Array::from(vec![1; n])) };
    let values = [1e16, 1.0, -1e16];
    let one = vec![vec![flat(vec![keys(3), floats(&values)])]];
    let three: Vec<_> = values.iter().map(|&v| vec![flat(vec![keys(1), floats(&[v])])]).collect();
    let infinite = vec![vec![flat(vec![keys(2), floats(&[f64::INFINITY, f64::NEG_INFINITY])])]];
    for groups in [0, 1] {
        let plan = hard_plan(groups);
        for (morsels, wanted) in [(&one, 1.0), (&three, 1.0), (&infinite, f64::NAN)] {
            let result = plan.run(morsels, 2, &mut Random::new(1)).unwrap();
            let sum: &Float64Array = result[groups].as_primitive();
            assert_eq!(sum.value(0).to_bits(), wanted.to_bits());
        }
    }
}

#[test]
fn test_empty_input_gives_one_row_without_groups_and_none_with() {
    let mut random = Random::new(3);
    for morsels in [vec![], vec![vec![], vec![]]] {
        for ty in types() {
            let mut plan = Plan {
                input: input(&ty),
                groups: vec![],
                sets: vec![],
                calls: variants(&functions(&ty)),
            };
            compare(&plan, &morsels, &mut random);
            plan.groups = vec![column(0, &LogicalType::Text)];
            compare(&plan, &morsels, &mut random);
        }
    }
}

#[test]
fn test_grouping_sets_follow_one_another() {
    let mut random = Random::new(4);
    let ty = LogicalType::Int32;
    let morsels = morsels(&ty, &mut random, 5, 6);
    let groups = vec![column(0, &LogicalType::Text), column(1, &LogicalType::Int8)];
    let calls = functions(&ty);
    let all = Plan {
        input: input(&ty),
        groups: groups.clone(),
        sets: vec![vec![0, 1], vec![], vec![1]],
        calls: calls.clone(),
    };
    let result = bits(&all.run(&morsels, 3, &mut random).unwrap());
    let mut start = 0;
    for (set, id) in [(vec![0, 1], "0"), (vec![], "3"), (vec![1], "2")] {
        let plan = Plan {
            input: input(&ty),
            groups: set.iter().map(|&g: &usize| groups[g].clone()).collect(),
            sets: vec![],
            calls: calls.clone(),
        };
        let alone = bits(&plan.run(&morsels, 2, &mut random).unwrap());
        let rows = alone[0].len();
        let part = |column: usize| &result[column][start..start + rows];
        for group in 0..2 {
            match set.iter().position(|&g| g == group) {
                Some(place) => assert_eq!(part(group), alone[place]),
                None => assert!(part(group).iter().all(|cell| cell == "NULL" || cell.is_empty())),
            }
        }
        for call in 0..calls.len() {
            assert_eq!(part(2 + call), alone[set.len() + call], "{:?}", calls[call]);
        }
        assert!(part(2 + calls.len()).iter().all(|cell| cell == id));
        start += rows;
    }
    assert_eq!(result[0].len(), start);
}

#[test]
fn test_errors_speak_of_the_query() {
    let int = LogicalType::Int64;
    let plan = |call| Plan {
        input: Schema::new(vec![ColumnDef::new("x", LogicalType::Int64)]),
        groups: vec![],
        sets: vec![],
        calls: vec![call],
    };
    let column_of = |v: Vec<i64>| vec![vec![flat(vec![Arc::new(Int64Array::from(v))])]];
    let run = |call, values| {
        plan(call).run(&column_of(values), 1, &mut Random::new(1)).map(|columns| bits(&columns))
    };
    let x = || vec![column(0, &LogicalType::Int64)];
    let error = run(call(F::Sum, x(), int.clone()), vec![i64::MAX, 1]).unwrap_err().to_string();
    assert!(error.contains("9223372036854775808") && error.contains("decimal(38)"), "{error}");
    let back = run(call(F::Sum, x(), int.clone()), vec![i64::MAX, 1, -1]).unwrap();
    assert_eq!(back[0][0], i64::MAX.to_string());
    let error = run(call(F::SingleValue, x(), int.clone()), vec![1, 2]).unwrap_err().to_string();
    assert_eq!(error, "more than one row returned by a subquery used as an expression");
    assert_eq!(run(call(F::SingleValue, x(), int.clone()), vec![5]).unwrap()[0][0], "5");
    let average =
        run(call(F::Avg, x(), LogicalType::Float64), vec![i64::MAX, i64::MAX - 2]).unwrap();
    assert_eq!(average[0][0], format!("{:x}", ((i64::MAX - 1) as f64).to_bits()));
    let text = vec![column(0, &LogicalType::Text)];
    let error = Call::new(&call(F::Sum, text, int)).unwrap_err().to_string();
    assert_eq!(error, "not supported: sum of VARCHAR");
}

#[test]
fn test_decimal_sums_beyond_38_digits_are_errors_and_partial_sums_are_not() {
    let ty = LogicalType::Decimal { precision: 38, scale: 0 };
    let top = 10_i128.pow(38) - 1;
    let run = |values: Vec<i128>| {
        let array = arrow::array::Decimal128Array::from(values).with_data_type(ty.to_arrow());
        let plan = Plan {
            input: Schema::new(vec![ColumnDef::new("x", ty.clone())]),
            groups: vec![],
            sets: vec![],
            calls: vec![call(F::Sum, vec![column(0, &ty)], ty.clone())],
        };
        plan.run(&[vec![flat(vec![Arc::new(array)])]], 1, &mut Random::new(1)).map(|c| bits(&c))
    };
    assert!(run(vec![top, 1]).is_err());
    assert!(run(vec![top, top, top]).is_err());
    assert_eq!(run(vec![top, top, top, -top, -top]).unwrap()[0][0], top.to_string());
}

#[test]
fn test_memory_limit_is_an_error_and_memory_is_given_back() {
    let mut random = Random::new(5);
    let morsels = hard_morsels(&mut random, 4, 9_000, 1 << 40);
    let plan = hard_plan(1);
    // The peak of one morsel leaves no room for four.
    let settings = QuerySettings { memory_limit: 6_000_000, ..QuerySettings::default() };
    let context = Arc::new(QueryContext::new(settings, Arc::default(), Vec::new()));
    let (input, groups, output) = (&plan.input, &plan.groups, plan.output());
    let aggregate = Aggregate::new(input, groups, &[], &plan.calls, &output, &context).unwrap();
    let mut local = aggregate.local(&context).unwrap();
    let mut failed = None;
    for (number, morsel) in morsels.iter().enumerate() {
        local.begin_morsel(number).unwrap();
        local.push(morsel[0].clone()).unwrap();
        failed = local.end_morsel().err();
        if failed.is_some() {
            break;
        }
    }
    assert!(matches!(failed, Some(EngineError::OutOfMemory(_))));
    drop((local, aggregate));
    assert_eq!(context.memory().used(), 0);
    assert!(context.memory().peak() > 0);
}

#[test]
fn test_count_distinct_alone_equals_the_oracle() {
    let mut random = Random::new(21);
    for ty in types() {
        for nulls in [0, 5] {
            let morsels = morsels(&ty, &mut random, 5, nulls);
            let args = [vec![column(2, &ty)], vec![column(2, &ty), column(3, &LogicalType::Int16)]];
            for args in args {
                for filter in [None, Some(column(4, &LogicalType::Boolean))] {
                    let count = call(F::Count, args.clone(), LogicalType::Int64);
                    let calls = vec![AggregateCall { distinct: true, filter, ..count }];
                    let plan = Plan { input: input(&ty), groups: vec![], sets: vec![], calls };
                    compare(&plan, &morsels, &mut random);
                    compare(&plan, &[], &mut random);
                }
            }
        }
    }
    let many = hard_morsels(&mut random, 3, 12_000, 20_000);
    let distinct: std::collections::HashSet<_> = values(&many, 0).iter().map(text).collect();
    let count = call(F::Count, vec![column(0, &LogicalType::Int64)], LogicalType::Int64);
    let calls = vec![AggregateCall { distinct: true, ..count }];
    let result = Plan { calls, ..hard_plan(0) }.run(&cut(&many, 2048), 2, &mut random).unwrap();
    assert_eq!(display(&Vector::Flat(result[0].clone()), 0), distinct.len().to_string());
}

#[test]
fn test_sums_of_few_groups_keep_large_values() {
    let mut random = Random::new(22);
    let rows = 5000;
    let keys: Int64Array = (0..rows).map(|_| Some(random.below(5) as i64)).collect();
    let large = |random: &mut Random| match random.below(2) {
        0 => (random.next() >> 12) as i64 - (1 << 51),
        _ => i64::MIN + random.below(10) as i64,
    };
    for extreme in [false, true] {
        let xs: Int64Array = (0..rows)
            .map(|_| {
                let value = large(&mut random);
                Some(if extreme { value } else { value.rem_euclid(1 << 52) })
            })
            .collect();
        let morsels = vec![vec![flat(vec![Arc::new(keys.clone()), Arc::new(xs.clone())])]];
        let int = LogicalType::Int64;
        let decimal = LogicalType::Decimal { precision: 38, scale: 0 };
        let plan = Plan {
            input: Schema::new(vec![
                ColumnDef::new("k", int.clone()),
                ColumnDef::new("x", int.clone()),
            ]),
            groups: vec![column(0, &int)],
            sets: vec![],
            calls: vec![
                call(F::Sum, vec![column(1, &int)], decimal),
                call(F::Count, vec![column(1, &int)], int.clone()),
            ],
        };
        let result = plan.run(&morsels, 1, &mut random).unwrap();
        for row in 0..5 {
            let key = display(&Vector::Flat(result[0].clone()), row).parse::<i64>().unwrap();
            let members = (0..rows as usize).filter(|&r| keys.value(r) == key);
            let values: Vec<i128> = members.map(|r| xs.value(r).into()).collect();
            let cell = |column: usize| display(&Vector::Flat(result[column].clone()), row);
            assert_eq!(cell(1), values.iter().sum::<i128>().to_string());
            assert_eq!(cell(2), values.len().to_string());
        }
    }
}
