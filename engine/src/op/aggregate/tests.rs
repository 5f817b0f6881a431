//! Tests of aggregation against a row-wise oracle, and of its independence of workers.
//!
//! Invariant: the oracle sees rows as text and plain numbers and shares no code with the kernels.

use std::{cmp::Ordering, collections::HashMap};

use arrow::{
    array::{Array, ArrayRef, AsArray, Float64Array, Int64Array},
    compute,
};
use stoadb_storage::{ColumnDef, Scalar, Selection};

use super::*;
use crate::{
    batch::Batch,
    context::QuerySettings,
    kernel::testing::{Random, display, encodings, sample, types},
    plan::{AggregateFunction as F, SortKey},
};
use stoadb_storage::Vector;

const WORKERS: [usize; 4] = [1, 2, 3, 8];

fn context(vector_size: usize) -> Arc<QueryContext> {
    let settings = QuerySettings { vector_size, ..QuerySettings::default() };
    Arc::new(QueryContext::new(settings, Arc::default(), Vec::new()))
}

fn pool(threads: usize) -> Workers {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    Workers::new(Arc::new(pool), threads)
}

struct Plan {
    input: Schema,
    groups: Vec<Expr>,
    sets: Vec<Vec<usize>>,
    calls: Vec<AggregateCall>,
}

impl Plan {
    fn output(&self) -> Schema {
        let groups = self.groups.iter().map(Expr::ty);
        let calls = self.calls.iter().map(|call| call.ty.clone());
        let id = (!self.sets.is_empty()).then_some(LogicalType::Int64);
        let types = groups.chain(calls).chain(id);
        Schema::new(types.map(|ty| ColumnDef::new("c", ty)).collect())
    }

    /// Deals morsels to workers at random and returns the output columns.
    fn run(
        &self,
        morsels: &[Vec<Batch>],
        workers: usize,
        random: &mut Random,
    ) -> Result<Vec<ArrayRef>> {
        let context = context(1 + random.below(100) as usize);
        let aggregate = Aggregate::new(
            &self.input,
            &self.groups,
            &self.sets,
            &self.calls,
            &self.output(),
            &context,
        )?;
        let mut locals = Vec::new();
        for _ in 0..workers {
            locals.push(aggregate.local(&context)?);
        }
        for (number, morsel) in morsels.iter().enumerate() {
            let local = &mut locals[random.below(workers as u64) as usize];
            local.begin_morsel(number)?;
            for batch in morsel {
                local.push(batch.clone())?;
            }
            local.end_morsel()?;
        }
        while !locals.is_empty() {
            locals.swap_remove(random.below(locals.len() as u64) as usize).merge()?;
        }
        aggregate.finish(&context, &pool(workers))?;
        let source = aggregate.source();
        let mut reader = source.local(&context)?;
        let output = self.output();
        let mut columns: Vec<Vec<ArrayRef>> = vec![Vec::new(); output.len()];
        for morsel in 0..source.morsels() {
            reader.begin(morsel)?;
            while let Some(batch) = reader.next()? {
                for (column, vector) in columns.iter_mut().zip(&batch.columns) {
                    column.push(vector.flatten()?);
                }
            }
        }
        let mut arrays = Vec::new();
        for (parts, column) in columns.iter().zip(&output.columns) {
            let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
            arrays.push(match parts.is_empty() {
                true => arrow::array::new_empty_array(&column.ty.to_arrow()),
                false => compute::concat(&parts).unwrap(),
            });
            assert_eq!(arrays.last().unwrap().data_type(), &column.ty.to_arrow());
        }
        drop(aggregate);
        Ok(arrays)
    }
}

fn call(function: F, args: Vec<Expr>, ty: LogicalType) -> AggregateCall {
    AggregateCall {
        function,
        args,
        parameters: Vec::new(),
        distinct: false,
        filter: None,
        order_by: Vec::new(),
        ty,
    }
}

fn column(index: usize, ty: &LogicalType) -> Expr {
    Expr::column(index, ty.clone())
}

/// The rows that count of a column, as values.
fn values(morsels: &[Vec<Batch>], column: usize) -> Vec<Scalar> {
    let mut all = Vec::new();
    for batch in morsels.iter().flatten() {
        let batch = batch.clone().compact().unwrap();
        all.extend((0..batch.rows).map(|row| batch.columns[column].scalar(row).unwrap()));
    }
    all
}

fn text(value: &Scalar) -> String {
    display(&Vector::constant(value.clone(), 1), 0)
}

fn number(value: &Scalar) -> f64 {
    let unit = match value.ty() {
        LogicalType::Decimal { scale, .. } => 10_f64.powi((*scale).into()),
        _ => 1.0,
    };
    value.as_f64().unwrap_or_else(|| value.as_i128().map_or(f64::NAN, |v| v as f64 / unit))
}

fn order(a: &Scalar, b: &Scalar) -> Ordering {
    if let (Some(a), Some(b)) = (a.as_i128(), b.as_i128()) {
        return a.cmp(&b);
    }
    if let (Some(a), Some(b)) = (a.as_f64(), b.as_f64()) {
        return match (a.is_nan(), b.is_nan()) {
            (false, false) => a.partial_cmp(&b).unwrap(),
            (a, b) => a.cmp(&b),
        };
    }
    if let (Some(a), Some(b)) = (a.as_bytes(), b.as_bytes()) {
        return a.cmp(b);
    }
    if let (Some(a), Some(b)) = (a.as_bool(), b.as_bool()) {
        return a.cmp(&b);
    }
    let length = |v: &Scalar| {
        let array = v.array().as_any();
        let v = array.downcast_ref::<arrow::array::IntervalMonthDayNanoArray>().unwrap().value(0);
        (i128::from(v.months) * 30 + i128::from(v.days)) * 86_400_000_000_000
            + i128::from(v.nanoseconds)
    };
    length(a).cmp(&length(b))
}

/// What the oracle expects: a value as text, or a double that need not be exact.
#[derive(Debug, Clone, PartialEq)]
enum Expected {
    Null,
    Text(String),
    About(f64),
}

fn about(value: f64) -> Expected {
    Expected::About(value)
}

fn exactly(value: Option<&Scalar>) -> Expected {
    value.filter(|v| !v.is_null()).map_or(Expected::Null, |v| Expected::Text(text(v)))
}

/// One aggregate over the rows of one group: pairs of (x, y).
fn oracle(call: &AggregateCall, rows: &[(Scalar, Scalar)]) -> Expected {
    let keeps = matches!(call.function, F::First | F::Last | F::List | F::CountStar);
    let both = call.args.len() == 2;
    let mut rows: Vec<&(Scalar, Scalar)> =
        rows.iter().filter(|(x, y)| keeps || !x.is_null() && !(both && y.is_null())).collect();
    if call.distinct {
        let mut seen = std::collections::HashSet::new();
        rows.retain(|(x, y)| seen.insert((text(x), both.then(|| text(y)))));
    }
    if let Some(key) = call.order_by.first() {
        rows.sort_by(|(_, a), (_, b)| match (a.is_null(), b.is_null()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            _ if key.descending => order(b, a),
            _ => order(a, b),
        });
    }
    let xs: Vec<&Scalar> = rows.iter().map(|(x, _)| x).collect();
    let n = xs.len() as f64;
    if matches!(call.function, F::Count | F::CountStar) {
        return Expected::Text(xs.len().to_string());
    }
    if xs.is_empty() {
        return Expected::Null;
    }

    let whole: i128 = xs.iter().filter_map(|x| x.as_i128()).fold(0, i128::wrapping_add);
    let sum: f64 = xs.iter().map(|x| number(x)).sum();
    let unit = match xs[0].ty() {
        LogicalType::Decimal { scale, .. } => 10_f64.powi((*scale).into()),
        _ => 1.0,
    };
    let float = xs[0].as_f64().is_some() || !xs[0].ty().is_numeric();
    let mean = if float { sum / n } else { whole as f64 / unit / n };
    let moment = |a: f64, b: f64| {
        rows.iter()
            .map(|(x, y)| (number(x) - a) * (if both { number(y) - b } else { number(x) - a }))
            .sum::<f64>()
    };
    let bits = |fold: fn(i128, i128) -> i128| {
        Expected::Text(xs.iter().filter_map(|x| x.as_i128()).reduce(fold).unwrap().to_string())
    };
    let mut sorted = xs.clone();
    if !keeps && !xs[0].ty().is_nested() {
        sorted.sort_by(|a, b| order(a, b));
    }
    match call.function {
        F::Sum if xs[0].as_f64().is_some() => about(sum),
        F::Sum => match call.ty {
            LogicalType::Decimal { precision, scale } => {
                exactly(Some(&Scalar::decimal(whole, precision, scale)))
            }
            _ => Expected::Text(whole.to_string()),
        },
        F::Avg if matches!(call.ty, LogicalType::Decimal { .. }) => {
            let scaled = whole * 10_000;
            let (n, half) = (xs.len() as i128, scaled.signum() * xs.len() as i128);
            let LogicalType::Decimal { precision, scale } = call.ty else { unreachable!() };
            exactly(Some(&Scalar::decimal((scaled * 2 + half) / (2 * n), precision, scale)))
        }
        F::Avg => about(mean),
        F::Min | F::BoolAnd => exactly(sorted.first().copied()),
        F::Max | F::BoolOr => {
            let largest = sorted.iter().find(|x| order(x, sorted[sorted.len() - 1]).is_eq());
            exactly(largest.copied())
        }
        F::VarPop => about(moment(mean, mean) / n),
        F::VarSamp if n > 1.0 => about(moment(mean, mean) / (n - 1.0)),
        F::StddevPop => about((moment(mean, mean) / n).sqrt()),
        F::StddevSamp if n > 1.0 => about((moment(mean, mean) / (n - 1.0)).sqrt()),
        F::VarSamp | F::StddevSamp => Expected::Null,
        F::BitAnd => bits(|a, b| a & b),
        F::BitOr => bits(|a, b| a | b),
        F::BitXor => bits(|a, b| a ^ b),
        F::AnyValue | F::First => exactly(xs.first().copied()),
        F::Last => exactly(xs.last().copied()),
        F::ArgMin | F::ArgMax => {
            let largest = call.function == F::ArgMax;
            let better = |a: &Scalar, b: &Scalar| {
                if largest { order(a, b).is_gt() } else { order(a, b).is_lt() }
            };
            let mut best = rows[0];
            for row in &rows {
                if better(&row.1, &best.1) {
                    best = row;
                }
            }
            exactly(Some(&best.0))
        }
        F::QuantileDisc => {
            let place = (0.3 * n).ceil().max(1.0) as usize;
            exactly(sorted.get(place - 1).copied())
        }
        F::Median | F::QuantileCont if xs[0].ty().is_numeric() => {
            let place = if call.function == F::Median { 0.5 } else { 0.3 } * (n - 1.0);
            let low = number(sorted[place.floor() as usize]);
            let high = number(sorted[place.ceil() as usize]);
            let weight = place - place.floor();
            match weight == 0.0 || low == high {
                true => about(low),
                false if weight == 0.5 => about(low / 2.0 + high / 2.0),
                false => about(low + (high - low) * weight),
            }
        }
        F::Median => exactly(sorted.get((0.5 * n).ceil().max(1.0) as usize - 1).copied()),
        F::Mode => {
            let count = |x: &Scalar| xs.iter().filter(|other| text(other) == text(x)).count();
            let most = xs.iter().map(|x| count(x)).max();
            exactly(xs.iter().find(|x| Some(count(x)) == most).copied())
        }
        F::StringAgg => {
            let texts: Vec<&str> = xs.iter().filter_map(|x| x.as_str()).collect();
            Expected::Text(texts.join(", "))
        }
        F::List => Expected::Text(xs.iter().map(|x| text(x)).collect::<Vec<_>>().join("|")),
        F::Product => about(xs.iter().map(|x| number(x)).product()),
        F::Corr | F::CovarPop | F::CovarSamp => {
            let mean_y = rows.iter().map(|(_, y)| number(y)).sum::<f64>() / n;
            let xy = moment(mean, mean_y);
            let xx: f64 = xs.iter().map(|x| (number(x) - mean).powi(2)).sum();
            let yy: f64 = rows.iter().map(|(_, y)| (number(y) - mean_y).powi(2)).sum();
            match call.function {
                F::CovarPop => about(xy / n),
                F::CovarSamp if n > 1.0 => about(xy / (n - 1.0)),
                F::Corr if xx != 0.0 && yy != 0.0 => about(xy / (xx * yy).sqrt()),
                _ => Expected::Null,
            }
        }
        _ => unreachable!("{:?} is not for the oracle", call.function),
    }
}

fn check(call: &AggregateCall, expected: &Expected, array: &ArrayRef, row: usize) {
    let message = || format!("{call:?}: {expected:?} against row {row} of {array:?}");
    match expected {
        Expected::Null => assert!(array.is_null(row), "{}", message()),
        Expected::Text(wanted) => {
            assert!(array.is_valid(row), "{}", message());
            let actual = match array.as_any().downcast_ref::<arrow::array::ListArray>() {
                Some(list) => {
                    let values = Vector::Flat(list.value(row));
                    let texts: Vec<_> = (0..values.len()).map(|i| display(&values, i)).collect();
                    texts.join("|")
                }
                None => display(&Vector::Flat(array.clone()), row),
            };
            assert_eq!(&actual, wanted, "{}", message());
        }
        Expected::About(wanted) => {
            assert!(array.is_valid(row), "{}", message());
            let actual = number(&Scalar::from_array(array.as_ref(), row).unwrap());
            let close = (actual - wanted).abs() <= 1e-7 * wanted.abs().max(1e-3);
            let special = actual.is_nan() && wanted.is_nan() || actual == *wanted;
            // Cancellation of huge terms may differ between methods, infinities and NaN may not.
            assert!(close || special, "{actual}: {}", message());
        }
    }
}

/// The functions that take a type, with the type of their result.
fn functions(ty: &LogicalType) -> Vec<AggregateCall> {
    let double = LogicalType::Float64;
    let x = || vec![column(2, ty)];
    let xy = || vec![column(2, ty), column(3, &LogicalType::Int16)];
    let mut calls = vec![
        call(F::CountStar, vec![], LogicalType::Int64),
        call(F::Count, x(), LogicalType::Int64),
        call(F::AnyValue, x(), ty.clone()),
        call(F::First, x(), ty.clone()),
        call(F::Last, x(), ty.clone()),
        call(F::ArgMin, xy(), ty.clone()),
        call(F::ArgMax, xy(), ty.clone()),
        call(F::Mode, x(), ty.clone()),
        call(F::List, x(), {
            let field = arrow::datatypes::Field::new("item", ty.to_arrow(), true);
            LogicalType::List(Arc::new(field))
        }),
    ];
    if !ty.is_nested() {
        calls.push(call(F::Min, x(), ty.clone()));
        calls.push(call(F::Max, x(), ty.clone()));
        let mut disc = call(F::QuantileDisc, x(), ty.clone());
        disc.parameters = vec![Scalar::float64(0.3)];
        calls.push(disc);
        let median = if ty.is_numeric() { double.clone() } else { ty.clone() };
        calls.push(call(F::Median, x(), median));
    }
    match ty {
        LogicalType::Boolean => {
            calls.push(call(F::BoolAnd, x(), ty.clone()));
            calls.push(call(F::BoolOr, x(), ty.clone()));
        }
        LogicalType::Text => {
            let mut joined = call(F::StringAgg, x(), ty.clone());
            joined.parameters = vec![Scalar::text(", ")];
            calls.push(joined);
        }
        _ => {}
    }
    if ty.is_integer() {
        for function in [F::BitAnd, F::BitOr, F::BitXor] {
            calls.push(call(function, x(), ty.clone()));
        }
    }
    if ty.is_numeric() {
        let sum = match ty {
            LogicalType::Decimal { scale, .. } => {
                LogicalType::Decimal { precision: 38, scale: *scale }
            }
            _ if ty.is_float() => double.clone(),
            LogicalType::Int64 | LogicalType::UInt64 => {
                LogicalType::Decimal { precision: 38, scale: 0 }
            }
            _ => LogicalType::Int64,
        };
        let avg = match ty {
            LogicalType::Decimal { scale, .. } => {
                LogicalType::Decimal { precision: 38, scale: scale + 4 }
            }
            _ => double.clone(),
        };
        calls.push(call(F::Sum, x(), sum));
        calls.push(call(F::Avg, x(), avg));
        for function in [F::VarSamp, F::VarPop, F::StddevSamp, F::StddevPop, F::Product] {
            calls.push(call(function, x(), double.clone()));
        }
        for function in [F::Corr, F::CovarSamp, F::CovarPop] {
            calls.push(call(function, xy(), double.clone()));
        }
        let mut cont = call(F::QuantileCont, x(), double);
        cont.parameters = vec![Scalar::float64(0.3)];
        calls.push(cont);
    }
    calls
}

/// Each call plain, filtered, distinct, ordered, and distinct and filtered.
fn variants(calls: &[AggregateCall]) -> Vec<AggregateCall> {
    let mut all = Vec::new();
    for call in calls {
        all.push(call.clone());
        let filter = Some(column(4, &LogicalType::Boolean));
        all.push(AggregateCall { filter: filter.clone(), ..call.clone() });
        if call.function != F::CountStar {
            all.push(AggregateCall { distinct: true, ..call.clone() });
            all.push(AggregateCall { distinct: true, filter, ..call.clone() });
            let key = SortKey {
                expr: column(3, &LogicalType::Int16),
                descending: true,
                nulls_first: true,
            };
            if !matches!(call.function, F::Mode) {
                all.push(AggregateCall { order_by: vec![key], ..call.clone() });
            }
        }
    }
    all
}

fn input(ty: &LogicalType) -> Schema {
    let types = [
        LogicalType::Text,
        LogicalType::Int8,
        ty.clone(),
        LogicalType::Int16,
        LogicalType::Boolean,
    ];
    Schema::new(types.into_iter().map(|ty| ColumnDef::new("c", ty)).collect())
}

fn morsels(ty: &LogicalType, random: &mut Random, count: usize, nulls: u64) -> Vec<Vec<Batch>> {
    let schema = input(ty);
    let batch = |random: &mut Random| {
        let rows = 1 + random.below(40) as usize;
        let columns = schema
            .columns
            .iter()
            .map(|column| {
                let array = sample(&column.ty, random, rows, nulls);
                let mut encoded = encodings(&array, random);
                encoded.swap_remove(random.below(encoded.len() as u64) as usize)
            })
            .collect();
        let batch = Batch::new(columns, rows);
        match random.below(3) {
            0 => {
                let rows = (0..rows as u32).filter(|_| random.below(3) > 0).collect();
                batch.refine(Selection::new(rows))
            }
            _ => batch,
        }
    };
    (0..count)
        .map(|_| {
            let batches = random.below(4) as usize;
            let batches: Vec<Batch> = (0..batches).map(|_| batch(random)).collect();
            batches.into_iter().filter(|batch| !batch.is_empty()).collect()
        })
        .collect()
}

/// Runs a plan and compares every cell and the order of rows with the oracle.
fn compare(plan: &Plan, morsels: &[Vec<Batch>], random: &mut Random) {
    let result = plan.run(morsels, 1 + random.below(3) as usize, random).unwrap();
    let columns: Vec<Vec<Scalar>> =
        (0..plan.input.len()).map(|column| values(morsels, column)).collect();
    let rows = columns[0].len();
    let keys: Vec<usize> = (0..plan.groups.len()).collect();
    let mut place: HashMap<Vec<String>, usize> = HashMap::new();
    let mut groups: Vec<(Vec<String>, Vec<usize>)> = Vec::new();
    if keys.is_empty() {
        groups.push((Vec::new(), (0..rows).collect()));
    } else {
        for row in 0..rows {
            let key: Vec<String> = keys.iter().map(|&k| text(&columns[k][row])).collect();
            let at = *place.entry(key.clone()).or_insert_with(|| {
                groups.push((key, Vec::new()));
                groups.len() - 1
            });
            groups[at].1.push(row);
        }
    }
    assert!(result.iter().all(|column| column.len() == groups.len()));
    for (at, (key, members)) in groups.iter().enumerate() {
        for (column, wanted) in key.iter().enumerate() {
            assert_eq!(&display(&Vector::Flat(result[column].clone()), at), wanted);
        }
        for (number, call) in plan.calls.iter().enumerate() {
            let passes =
                |&&row: &&usize| call.filter.is_none() || columns[4][row].as_bool() == Some(true);
            let pairs: Vec<_> = members
                .iter()
                .filter(passes)
                .map(|&row| (columns[2][row].clone(), columns[3][row].clone()))
                .collect();
            check(call, &oracle(call, &pairs), &result[keys.len() + number], at);
        }
    }
}

#[test]
fn test_every_function_type_and_encoding_equals_the_oracle() {
    let mut random = Random::new(7);
    for ty in types() {
        for round in 0..4 {
            let morsels = morsels(&ty, &mut random, 4, if round == 3 { 0 } else { 5 });
            for groups in 0..3 {
                let keys = [column(0, &LogicalType::Text), column(1, &LogicalType::Int8)];
                let plan = Plan {
                    input: input(&ty),
                    groups: keys[..groups].to_vec(),
                    sets: vec![],
                    calls: variants(&functions(&ty)),
                };
                compare(&plan, &morsels, &mut random);
            }
        }
    }
}

/// The exact bits of a result.
fn bits(columns: &[ArrayRef]) -> Vec<Vec<String>> {
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
