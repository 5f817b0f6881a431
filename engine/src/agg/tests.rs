//! Tests of statistics against naive oracles: states of three morsels, merged, over every encoding.
//!
//! Invariant: an oracle computes in the plainest way, in two passes over one group's values, and shares no code with the
//! states.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, AsArray, Date32Array, Decimal128Array, Float64Array, Int64Array,
        IntervalMonthDayNanoArray, StringViewArray, TimestampMicrosecondArray, UInt32Array,
    },
    compute,
    datatypes::{
        DataType, Field, Float64Type, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType,
        TimestampMicrosecondType,
    },
};
use stoadb_storage::{LogicalType, Scalar, TimeUnit, Vector};

use super::*;
use crate::{
    kernel::testing::{Random, display, encodings},
    plan::AggregateFunction as F,
};

const GROUPS: usize = 4;

fn call(function: F, args: &[LogicalType], parameters: Vec<Scalar>, ty: LogicalType) -> Call {
    let call = Call {
        function,
        args: args.to_vec(),
        parameters,
        distinct: false,
        order_by: Vec::new(),
        ty,
    };
    assert!(call.most().is_ok() || !call.lists());
    call
}

/// Row `i` belongs to group `i % 3`, so that the last of four groups is empty; the rows are cut into three morsels.
fn run(call: &Call, args: &[Vector]) -> ArrayRef {
    let rows = args[0].len();
    let mut total = State::new(call).unwrap();
    total.resize(GROUPS);
    let cuts = [0, rows / 5, rows / 2, rows];
    for cut in cuts.windows(2) {
        let mut state = State::new(call).unwrap();
        state.resize(3);
        let ids: Vec<u32> = (cut[0]..cut[1]).map(|row| row as u32 % 3).collect();
        let places: UInt32Array = (cut[0] as u32..cut[1] as u32).collect();
        let args: Vec<Vector> = args.iter().map(|arg| arg.take(&places).unwrap()).collect();
        // In two vectors, of which the first has a single row.
        if !ids.is_empty() {
            let part = |from: u32, to: u32| -> Vec<Vector> {
                let rows: UInt32Array = (from..to).collect();
                args.iter().map(|arg| arg.take(&rows).unwrap()).collect()
            };
            state.update(&part(0, 1), Groups::Ids(&ids[..1])).unwrap();
            state.update(&part(1, ids.len() as u32), Groups::Ids(&ids[1..])).unwrap();
        }
        state.seal().unwrap();
        total.merge(&state, &[0, 1, 2], &[0, 1, 2]).unwrap();
    }
    total.seal().unwrap();
    let result = total.finish(call).unwrap();
    assert_eq!(result.len(), GROUPS);
    assert_eq!(*result.data_type(), call.ty.to_arrow());
    result
}

fn group<T: Copy>(values: &[T], group: usize) -> Vec<T> {
    values.iter().enumerate().filter(|(row, _)| row % 3 == group).map(|(_, &v)| v).collect()
}

fn float(values: &[f64]) -> Vector {
    Vector::Flat(Arc::new(Float64Array::from(values.to_vec())))
}

fn int(values: &[i64]) -> Vector {
    Vector::Flat(Arc::new(Int64Array::from(values.to_vec())))
}

fn floats(function: F, values: &[f64]) -> Vec<Option<f64>> {
    let call = call(function, &[LogicalType::Float64], vec![], LogicalType::Float64);
    run(&call, &[float(values)]).as_primitive::<Float64Type>().iter().collect()
}

fn pairs(function: F, first: &[f64], second: &[f64]) -> Vec<Option<f64>> {
    let types = [LogicalType::Float64, LogicalType::Float64];
    let call = call(function, &types, vec![], LogicalType::Float64);
    let result = run(&call, &[float(first), float(second)]);
    result.as_primitive::<Float64Type>().iter().collect()
}

fn list_of(ty: LogicalType) -> LogicalType {
    LogicalType::List(Arc::new(Field::new("item", ty.to_arrow(), true)))
}

fn shown(array: &ArrayRef) -> Vec<String> {
    let vector = Vector::Flat(Arc::clone(array));
    (0..array.len()).map(|row| display(&vector, row)).collect()
}

fn near(found: Option<f64>, expected: Option<f64>) {
    match (found, expected) {
        (Some(found), Some(expected)) => {
            let error = (found - expected).abs();
            assert!(error <= 1e-9 * expected.abs().max(1.0), "{found} is not {expected}");
        }
        (found, expected) => assert_eq!(found, expected),
    }
}

fn samples() -> (Vec<f64>, Vec<f64>) {
    let mut random = Random::new(7);
    let x: Vec<f64> = (0..200).map(|_| random.below(1000) as f64 / 8.0 - 20.0).collect();
    let y = x.iter().map(|x| 3.0 * x + 5.0 + random.below(64) as f64).collect();
    (x, y)
}

/// The mean of the powers of distances from the mean.
fn central(values: &[f64], power: i32) -> f64 {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    values.iter().map(|value| (value - mean).powi(power)).sum::<f64>() / values.len() as f64
}

#[test]
fn test_shape_in_two_passes() {
    let (x, _) = samples();
    let found = [F::Skewness, F::Kurtosis, F::KurtosisPop, F::Sem].map(|f| floats(f, &x));
    for at in [0, 1, 2] {
        let values = group(&x, at);
        let n = values.len() as f64;
        let [m2, m3, m4] = [2, 3, 4].map(|power| central(&values, power));
        near(found[0][at], Some(m3 / m2.powf(1.5) * (n * (n - 1.0)).sqrt() / (n - 2.0)));
        let excess = m4 / (m2 * m2) - 3.0;
        let corrected = ((n + 1.0) * excess + 6.0) * (n - 1.0) / ((n - 2.0) * (n - 3.0));
        near(found[1][at], Some(corrected));
        near(found[2][at], Some(excess));
        near(found[3][at], Some((m2 / n).sqrt()));
    }
    assert!(found.iter().all(|found| found[3].is_none()));
}

#[test]
fn test_shape_of_few_equal_and_infinite_values() {
    // Groups of 3, 2 and 2 values.
    let few = [1.0, 2.0, 3.0, 4.0, 6.0, 3.0, 9.0];
    let has =
        |f: F, values: &[f64]| floats(f, values).iter().map(|v| v.is_some()).collect::<Vec<_>>();
    assert_eq!(has(F::Skewness, &few), [true, false, false, false]);
    assert_eq!(has(F::Kurtosis, &few), [false; 4]);
    assert_eq!(has(F::KurtosisPop, &few), [true, true, false, false]);
    assert_eq!(has(F::Sem, &few), [true, true, true, false]);
    assert_eq!(has(F::Skewness, &[0.1; 60]), [false; 4]);
    assert_eq!(has(F::KurtosisPop, &[0.1; 60]), [false; 4]);
    let infinite = floats(F::Skewness, &[f64::INFINITY; 12]);
    assert!(infinite[0].unwrap().is_nan());
}

#[test]
fn test_regression_in_two_passes() {
    let (x, y) = samples();
    let all = [
        F::RegrAvgX,
        F::RegrAvgY,
        F::RegrSxx,
        F::RegrSyy,
        F::RegrSxy,
        F::RegrSlope,
        F::RegrIntercept,
        F::RegrR2,
    ];
    let found = all.map(|f| pairs(f, &y, &x));
    for at in [0, 1, 2] {
        let (x, y) = (group(&x, at), group(&y, at));
        let n = x.len() as f64;
        let (mx, my) = (x.iter().sum::<f64>() / n, y.iter().sum::<f64>() / n);
        let sxy: f64 = x.iter().zip(&y).map(|(x, y)| (x - mx) * (y - my)).sum();
        let (sxx, syy) = (central(&x, 2) * n, central(&y, 2) * n);
        let slope = sxy / sxx;
        let expected = [mx, my, sxx, syy, sxy, slope, my - slope * mx, sxy * sxy / (sxx * syy)];
        for (found, expected) in found.iter().zip(expected) {
            near(found[at], Some(expected));
        }
    }
    assert!(found.iter().all(|found| found[3].is_none()));
    let types = [LogicalType::Float64, LogicalType::Float64];
    let count = call(F::RegrCount, &types, vec![], LogicalType::Int64);
    let count = run(&count, &[float(&y), float(&x)]);
    assert_eq!(count.as_primitive::<Int64Type>().values().as_ref(), [67, 67, 66, 0]);
    // A line of x that never varies, and one of y that never does.
    let (same, rising) = ([2.0; 9], [1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 5.0, 5.0, 5.0]);
    assert_eq!(pairs(F::RegrSlope, &rising, &same), [None; 4]);
    assert_eq!(pairs(F::RegrR2, &rising, &same), [None; 4]);
    assert_eq!(pairs(F::RegrSlope, &same, &rising)[0], Some(0.0));
    assert_eq!(pairs(F::RegrR2, &same, &rising)[0], Some(1.0));
}

#[test]
fn test_weighted_and_geometric_means() {
    let (x, y) = samples();
    let found = pairs(F::WeightedAvg, &x, &y);
    let positive: Vec<f64> = x.iter().map(|x| x.abs() + 0.5).collect();
    let geometric = floats(F::GeometricMean, &positive);
    for at in [0, 1, 2] {
        let (x, y, positive) = (group(&x, at), group(&y, at), group(&positive, at));
        let products: f64 = x.iter().zip(&y).map(|(x, y)| x * y).sum();
        near(found[at], Some(products / y.iter().sum::<f64>()));
        let logarithms: f64 = positive.iter().map(|x| x.ln()).sum();
        near(geometric[at], Some((logarithms / positive.len() as f64).exp()));
    }
    assert_eq!((found[3], geometric[3]), (None, None));
    let edge = floats(F::GeometricMean, &[0.0, -1.0, 4.0, 5.0, 2.0, 4.0]);
    assert_eq!((edge[0], edge[2]), (Some(0.0), Some(4.0)));
    assert!(edge[1].unwrap().is_nan());
}

fn quantiles(function: F, values: &[i64], fractions: &[f64]) -> Vec<String> {
    let element =
        if function == F::QuantileCont { LogicalType::Float64 } else { LogicalType::Int64 };
    let parameters = fractions.iter().map(|&fraction| Scalar::float64(fraction)).collect();
    let call = call(function, &[LogicalType::Int64], parameters, list_of(element));
    shown(&run(&call, &[int(values)]))
}

#[test]
fn test_quantiles_by_sorting() {
    let mut random = Random::new(3);
    for rows in [0, 1, 2, 3, 4, 10, 100, 1000] {
        let values: Vec<i64> = (0..rows).map(|_| random.below(50) as i64 - 25).collect();
        for fractions in [vec![0.5], vec![0.25, 0.5, 0.75], vec![1.0, 0.0, -0.0, -0.3], {
            (0..20).map(|i| f64::from(i) / 19.0).collect()
        }] {
            let (mut exact, mut between) = (Vec::new(), Vec::new());
            for at in 0..GROUPS {
                let mut sorted = group(&values, at);
                sorted.sort_unstable();
                if sorted.is_empty() {
                    exact.push("NULL".to_string());
                    between.push("NULL".to_string());
                    continue;
                }
                let pick = |&fraction: &f64| {
                    let mut sorted = sorted.clone();
                    if fraction.is_sign_negative() {
                        sorted.reverse();
                    }
                    let n = sorted.len() as f64;
                    let at = ((fraction.abs() * n).ceil().max(1.0) as usize) - 1;
                    let place = fraction.abs() * (n - 1.0);
                    let (low, high) =
                        (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
                    (sorted[at], low as f64 + (high - low) as f64 * place.fract())
                };
                let picked: Vec<(i64, f64)> = fractions.iter().map(pick).collect();
                exact.push(format!("{:?}", picked.iter().map(|p| p.0).collect::<Vec<_>>()));
                let means = picked.iter().map(|p| p.1 + 0.0).collect::<Vec<f64>>();
                between.push(format!("{means:?}"));
            }
            assert_eq!(quantiles(F::QuantileDisc, &values, &fractions), exact);
            assert_eq!(quantiles(F::QuantileCont, &values, &fractions), between, "{fractions:?}");
        }
    }
}

#[test]
fn test_quantiles_of_moments_lie_between_them() {
    let ty = LogicalType::Timestamp(TimeUnit::Microsecond, None);
    let values = TimestampMicrosecondArray::from(vec![10, -5, 0, 13, -8, 0]);
    let call = call(F::Median, std::slice::from_ref(&ty), vec![], ty.clone());
    let found = run(&call, &[Vector::Flat(Arc::new(values))]);
    let found: Vec<_> = found.as_primitive::<TimestampMicrosecondType>().iter().collect();
    assert_eq!(found, [Some(12), Some(-7), Some(0), None]);
}

#[test]
fn test_fractions_out_of_range_are_errors() {
    for fraction in [Scalar::float64(1.5), Scalar::float64(f64::NAN), Scalar::text("x")] {
        let call = call(F::QuantileDisc, &[LogicalType::Int64], vec![fraction], LogicalType::Int64);
        let error = Quantile::new(&call).err().unwrap().to_string();
        assert!(error.contains("between 0 and 1"), "{error}");
    }
}

/// The median of the distances from the median, as doubles.
fn naive_mad(mut values: Vec<f64>) -> Option<f64> {
    let median = |values: &mut Vec<f64>| {
        values.sort_by(f64::total_cmp);
        let n = values.len();
        (n > 0).then(|| (values[(n - 1) / 2] + values[n / 2]) / 2.0)
    };
    let middle = median(&mut values)?;
    median(&mut values.iter().map(|value| (value - middle).abs()).collect())
}

#[test]
fn test_mad_by_sorting() {
    let mut random = Random::new(11);
    for rows in [0, 1, 2, 5, 8, 300] {
        let values: Vec<i64> = (0..rows).map(|_| random.below(1000) as i64 - 500).collect();
        let doubles: Vec<f64> = values.iter().map(|&v| v as f64).collect();
        let expected: Vec<_> = (0..GROUPS).map(|at| naive_mad(group(&doubles, at))).collect();
        assert_eq!(floats(F::Mad, &doubles), expected);
        let of_ints = call(F::Mad, &[LogicalType::Int64], vec![], LogicalType::Float64);
        let found = run(&of_ints, &[int(&values)]);
        assert_eq!(found.as_primitive::<Float64Type>().iter().collect::<Vec<_>>(), expected);
        let of_dates = call(F::Mad, &[LogicalType::Date], vec![], LogicalType::Interval);
        let dates = Date32Array::from_iter_values(values.iter().map(|&day| day as i32));
        let found = run(&of_dates, &[Vector::Flat(Arc::new(dates))]);
        let days = |v: IntervalMonthDayNano| f64::from(v.days) + v.nanoseconds as f64 / 86.4e12;
        let found = found.as_primitive::<IntervalMonthDayNanoType>().iter();
        assert_eq!(found.map(|v| v.map(days)).collect::<Vec<_>>(), expected);
    }
}

#[test]
fn test_mad_of_extremes_is_exact() {
    let ty = LogicalType::Decimal { precision: 38, scale: 2 };
    let most = 10_i128.pow(38) - 1;
    let values = Decimal128Array::from(vec![most, 1, 3, -most, 2, 3, most, 4, 3])
        .with_data_type(ty.to_arrow());
    let of_decimals = call(F::Mad, &[ty], vec![], LogicalType::Float64);
    let found = run(&of_decimals, &[Vector::Flat(Arc::new(values))]);
    let found: Vec<_> = found.as_primitive::<Float64Type>().iter().collect();
    assert_eq!(found, [Some(0.0), Some(0.01), Some(0.0), None]);
    let wide = [f64::MAX, 0.0, f64::NAN, f64::MAX, -0.0, f64::NAN];
    let found = floats(F::Mad, &wide);
    assert_eq!((found[0], found[1]), (Some(0.0), Some(0.0)));
    assert!(found[2].unwrap().is_nan());
}

#[test]
fn test_frequencies_by_counting() {
    let mut random = Random::new(5);
    let values: Vec<i64> = (0..500).map(|_| (random.below(6) * random.below(6)) as i64).collect();
    let entries = DataType::Struct(
        vec![
            Field::new("key", DataType::Int64, false),
            Field::new("value", DataType::UInt64, true),
        ]
        .into(),
    );
    let map = LogicalType::Map(Arc::new(Field::new("entries", entries, false)), false);
    let int_ty = [LogicalType::Int64];
    let histogram = shown(&run(&call(F::Histogram, &int_ty, vec![], map), &[int(&values)]));
    let top = call(F::ApproxTopK, &int_ty, vec![Scalar::int64(4)], list_of(LogicalType::Int64));
    let top = shown(&run(&top, &[int(&values)]));
    let mode = shown(&run(&call(F::Mode, &int_ty, vec![], LogicalType::Int64), &[int(&values)]));
    let entropy = call(F::Entropy, &int_ty, vec![], LogicalType::Float64);
    let entropy = run(&entropy, &[int(&values)]);
    let entropy = entropy.as_primitive::<Float64Type>();
    for at in [0, 1, 2] {
        let values = group(&values, at);
        // Value, count, place of the first one.
        let mut counts: Vec<(i64, usize, usize)> = Vec::new();
        for (place, &value) in values.iter().enumerate() {
            match counts.iter_mut().find(|known| known.0 == value) {
                Some(known) => known.1 += 1,
                None => counts.push((value, 1, place)),
            }
        }
        counts.sort_unstable();
        let pairs: Vec<String> = counts.iter().map(|c| format!("{}: {}", c.0, c.1)).collect();
        assert_eq!(histogram[at], format!("{{{}}}", pairs.join(", ")));
        let share = |c: &(i64, usize, usize)| c.1 as f64 / values.len() as f64;
        near(
            Some(entropy.value(at)),
            Some(-counts.iter().map(|c| share(c) * share(c).log2()).sum::<f64>()),
        );
        counts.sort_by_key(|&(_, count, first)| (std::cmp::Reverse(count), first));
        let first: Vec<i64> = counts.iter().take(4).map(|c| c.0).collect();
        assert_eq!(top[at], format!("{first:?}"));
        assert_eq!(mode[at], first[0].to_string());
    }
    let rest = [histogram[3].as_str(), top[3].as_str(), mode[3].as_str()];
    assert_eq!((rest, entropy.value(3).to_bits()), (["NULL"; 3], 0));
}

#[test]
fn test_lists_of_extremes_by_sorting() {
    let mut random = Random::new(9);
    let values: Vec<i64> = (0..300).map(|_| random.below(40) as i64).collect();
    let by: Vec<i64> = (0..300).map(|_| random.below(10) as i64).collect();
    for most in [1, 3, 1000] {
        let lists = |function: F, args: &[Vector]| {
            let types = vec![LogicalType::Int64; args.len()];
            let ty = list_of(LogicalType::Int64);
            shown(&run(&call(function, &types, vec![Scalar::int64(most)], ty), args))
        };
        let one = [int(&values)];
        let two = [int(&values), int(&by)];
        let found = [F::Min, F::Max].map(|f| lists(f, &one));
        let found_by = [F::ArgMin, F::ArgMax].map(|f| lists(f, &two));
        for at in [0, 1, 2] {
            let mut sorted = group(&values, at);
            sorted.sort_unstable();
            let first = |values: &[i64]| {
                format!("{:?}", values.iter().take(most as usize).collect::<Vec<_>>())
            };
            assert_eq!(found[0][at], first(&sorted));
            sorted.reverse();
            assert_eq!(found[1][at], first(&sorted));
            let mut pairs: Vec<_> = group(&by, at).into_iter().zip(group(&values, at)).collect();
            pairs.sort_by_key(|pair| pair.0);
            assert_eq!(found_by[0][at], first(&pairs.iter().map(|p| p.1).collect::<Vec<_>>()));
            pairs.sort_by_key(|pair| std::cmp::Reverse(pair.0));
            assert_eq!(found_by[1][at], first(&pairs.iter().map(|p| p.1).collect::<Vec<_>>()));
        }
        assert!(found.iter().chain(&found_by).all(|found| found[3] == "NULL"));
    }
}

#[test]
fn test_arg_min_null_keeps_null_values_and_drops_null_keys() {
    let types = [LogicalType::Int64, LogicalType::Int64];
    let values = Int64Array::from(vec![None, Some(1), Some(2), Some(3), Some(4), None]);
    let keys = Int64Array::from(vec![Some(1), None, None, Some(2), Some(9), None]);
    let args = [Vector::Flat(Arc::new(values) as ArrayRef), Vector::Flat(Arc::new(keys))];
    let least = run(&call(F::ArgMinNull, &types, vec![], LogicalType::Int64), &args);
    assert_eq!(shown(&least), ["NULL", "4", "NULL", "NULL"]);
    let most = run(&call(F::ArgMaxNull, &types, vec![], LogicalType::Int64), &args);
    assert_eq!(shown(&most), ["3", "4", "NULL", "NULL"]);
}

#[test]
fn test_sums_and_averages_of_intervals() {
    let new = IntervalMonthDayNano::new;
    let values = IntervalMonthDayNanoArray::from(vec![
        new(1, 3, 0),
        new(0, 1, 0),
        new(0, 0, -3),
        new(0, 2, 5),
        new(0, 0, 0),
        new(0, 0, 0),
    ]);
    let args = [Vector::Flat(Arc::new(values) as ArrayRef)];
    let ty = LogicalType::Interval;
    let of = |f: F| {
        let found = run(&call(f, std::slice::from_ref(&ty), vec![], ty.clone()), &args);
        found.as_primitive::<IntervalMonthDayNanoType>().iter().collect::<Vec<_>>()
    };
    assert_eq!(of(F::Sum), [Some(new(1, 5, 5)), Some(new(0, 1, 0)), Some(new(0, 0, -3)), None]);
    let half_day = 43_200_000_000_000;
    let expected = [new(0, 17, half_day + 3), new(0, 0, half_day), new(0, 0, -2)];
    assert_eq!(of(F::Avg)[..3], expected.map(Some));
    let large = IntervalMonthDayNanoArray::from(vec![new(i32::MAX, 0, 0); 6]);
    let mut state =
        State::new(&call(F::Sum, std::slice::from_ref(&ty), vec![], ty.clone())).unwrap();
    state.resize(1);
    state.update(&[Vector::Flat(Arc::new(large))], Groups::One(6)).unwrap();
    let error =
        state.finish(&call(F::Sum, std::slice::from_ref(&ty), vec![], ty.clone())).unwrap_err();
    assert!(error.to_string().contains("out of range"), "{error}");
}

#[test]
fn test_distinct_estimates_are_exact_for_few_and_near_for_many() {
    for distinct in [0_i64, 1, 100, 2048, 2049, 5000, 40_000, 300_000] {
        let values: Vec<i64> =
            (0..distinct * 2).map(|i| (i % distinct.max(1)) * 1_000_003).collect();
        let estimate = |cuts: usize| {
            let ty = LogicalType::Int64;
            let call = call(F::ApproxCountDistinct, &[ty], vec![], LogicalType::Int64);
            let mut total = State::new(&call).unwrap();
            total.resize(1);
            for part in values.chunks((values.len() / cuts).max(1)) {
                let mut state = State::new(&call).unwrap();
                state.resize(1);
                state.update(&[int(part)], Groups::One(part.len())).unwrap();
                state.seal().unwrap();
                total.merge(&state, &[0], &[0]).unwrap();
            }
            let found = total.finish(&call).unwrap();
            found.as_primitive::<Int64Type>().value(0)
        };
        let found = estimate(1);
        assert_eq!([found; 2], [estimate(3), estimate(17)], "cuts show");
        if distinct <= 2048 {
            assert_eq!(found, distinct);
        } else {
            let error = (found - distinct).abs() as f64 / distinct as f64;
            assert!(error < 0.03, "{found} of {distinct}");
        }
    }
}

/// What each function makes of whole numbers from 0 to 9, by name and result.
fn every_function() -> Vec<Call> {
    let (one, two) = (vec![LogicalType::Int64], vec![LogicalType::Int64; 2]);
    let float = LogicalType::Float64;
    let half = vec![Scalar::float64(0.5), Scalar::float64(0.9)];
    let mut calls = vec![
        call(F::QuantileCont, &one, half.clone(), list_of(float.clone())),
        call(F::QuantileDisc, &one, half, list_of(LogicalType::Int64)),
        call(F::Max, &one, vec![Scalar::int64(3)], list_of(LogicalType::Int64)),
        call(F::ArgMax, &two, vec![Scalar::int64(3)], list_of(LogicalType::Int64)),
        call(F::ApproxTopK, &one, vec![Scalar::int64(3)], list_of(LogicalType::Int64)),
        call(F::ApproxCountDistinct, &one, vec![], LogicalType::Int64),
    ];
    for function in [F::Mad, F::Entropy, F::Skewness, F::Kurtosis, F::Sem, F::GeometricMean] {
        calls.push(call(function, &one, vec![], float.clone()));
    }
    for function in [F::RegrSlope, F::RegrR2, F::RegrSxy, F::WeightedAvg] {
        calls.push(call(function, &two, vec![], float.clone()));
    }
    calls
}

#[test]
fn test_every_encoding_gives_the_same() {
    let mut random = Random::new(13);
    let values: Vec<i64> = (0..90).map(|_| 1 + random.below(9) as i64).collect();
    let array: ArrayRef = Arc::new(Int64Array::from(values));
    for call in every_function() {
        let with = |vector: &Vector| run(&call, &vec![vector.clone(); call.args.len()]);
        let expected = with(&Vector::Flat(Arc::clone(&array)));
        for vector in encodings(&array, &mut random) {
            if let Vector::Constant { .. } = vector {
                let flat = Vector::Flat(vector.flatten().unwrap());
                assert_eq!(shown(&with(&vector)), shown(&with(&flat)), "{:?}", call.function);
                continue;
            }
            assert_eq!(shown(&with(&vector)), shown(&expected), "{:?}", call.function);
        }
    }
}

#[test]
fn test_texts_have_frequencies_and_extremes() {
    let texts = StringViewArray::from(vec![
        "b",
        "x",
        "long text beyond twelve bytes",
        "a",
        "x",
        "",
        "b",
        "y",
        "",
    ]);
    let array: ArrayRef = Arc::new(texts);
    let arg = [Vector::Flat(array)];
    let list = list_of(LogicalType::Text);
    let two = vec![Scalar::int64(2)];
    let found = run(&call(F::Min, &[LogicalType::Text], two.clone(), list.clone()), &arg);
    assert_eq!(shown(&found), ["[a, b]", "[x, x]", "[, ]", "NULL"]);
    let found = run(&call(F::ApproxTopK, &[LogicalType::Text], two, list), &arg);
    assert_eq!(shown(&found)[0], "[b, a]");
    let found =
        run(&call(F::ApproxCountDistinct, &[LogicalType::Text], vec![], LogicalType::Int64), &arg);
    assert_eq!(shown(&found), ["2", "2", "2", "0"]);
}

#[test]
fn test_averages_of_moments_are_cut_towards_zero() {
    let ty = LogicalType::Timestamp(TimeUnit::Microsecond, None);
    let values = TimestampMicrosecondArray::from(vec![1, -1, i64::MAX, 2, -2, i64::MAX]);
    let call = call(F::Avg, std::slice::from_ref(&ty), vec![], ty.clone());
    let found = run(&call, &[Vector::Flat(Arc::new(values))]);
    let found = compute::cast(&found, &DataType::Int64).unwrap();
    let found: Vec<_> = found.as_primitive::<Int64Type>().iter().collect();
    assert_eq!(found, [Some(1), Some(-1), Some(i64::MAX), None]);
}
