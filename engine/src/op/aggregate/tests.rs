//! Tests of aggregation against a row-wise oracle, and of its independence of workers.
//!
//! Invariant: the oracle sees rows as text and plain numbers and shares no code with the kernels.

use std::{cmp::Ordering, collections::HashMap};

use arrow::{
    array::{Array, ArrayRef, Int64Array},
    compute,
    datatypes::DataType,
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

mod encoded;
mod properties;

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
    /// The value, and by how much cancellation may change it.
    About(f64, f64),
}

fn about(value: f64) -> Expected {
    Expected::About(value, 0.0)
}

fn exactly(value: Option<&Scalar>) -> Expected {
    value.filter(|v| !v.is_null()).map_or(Expected::Null, |v| Expected::Text(text(v)))
}

/// Whether a finite value never varies, whatever rounding makes of its mean.
/// A time or timestamp of so many units.
fn moment_of(ty: &LogicalType, units: i128) -> Scalar {
    let wide = Int64Array::from(vec![i64::try_from(units).unwrap()]);
    let ty = ty.to_arrow();
    let array = match ty {
        DataType::Time32(_) => {
            let narrow = compute::cast(&wide, &DataType::Int32).unwrap();
            compute::cast(&narrow, &ty).unwrap()
        }
        _ => compute::cast(&wide, &ty).unwrap(),
    };
    Scalar::from_array(&array, 0).unwrap()
}

fn constant(values: &[&Scalar]) -> bool {
    let first = number(values[0]);
    first.is_finite() && values.iter().all(|value| number(value) == first)
}

/// One aggregate over the rows of one group: pairs of (x, y).
fn oracle(call: &AggregateCall, rows: &[(Scalar, Scalar)]) -> Expected {
    let keeps = matches!(call.function, F::First | F::Last | F::List | F::CountStar);
    let both = call.args.len() == 2;
    let mut rows: Vec<&(Scalar, Scalar)> =
        rows.iter().filter(|(x, y)| keeps || !(x.is_null() || both && y.is_null())).collect();
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
        F::Median if matches!(xs[0].ty(), LogicalType::Time(_) | LogicalType::Timestamp(..)) => {
            let place = |k: usize| sorted[k].as_i128().unwrap();
            let sum = place((xs.len() - 1) / 2) + place(xs.len() / 2);
            exactly(Some(&moment_of(xs[0].ty(), (sum + (sum % 2).signum()) / 2)))
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
            let ys: Vec<&Scalar> = rows.iter().map(|(_, y)| y).collect();
            let mean_y = rows.iter().map(|(_, y)| number(y)).sum::<f64>() / n;
            let xy = moment(mean, mean_y);
            let xx: f64 = xs.iter().map(|x| (number(x) - mean).powi(2)).sum();
            let yy: f64 = rows.iter().map(|(_, y)| (number(y) - mean_y).powi(2)).sum();
            match call.function {
                F::CovarPop => Expected::About(xy / n, 1e-12 * (xx * yy).sqrt()),
                F::CovarSamp if n > 1.0 => {
                    Expected::About(xy / (n - 1.0), 1e-12 * (xx * yy).sqrt())
                }
                F::Corr if !constant(&xs) && !constant(&ys) => about(xy / (xx * yy).sqrt()),
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
            let actual = match array
                .as_any()
                .downcast_ref::<arrow::array::ListArray>()
                .filter(|_| call.function == F::List)
            {
                Some(list) => {
                    let values = Vector::Flat(list.value(row));
                    let texts: Vec<_> = (0..values.len()).map(|i| display(&values, i)).collect();
                    texts.join("|")
                }
                None => display(&Vector::Flat(array.clone()), row),
            };
            assert_eq!(&actual, wanted, "{}", message());
        }
        Expected::About(wanted, slack) => {
            assert!(array.is_valid(row), "{}", message());
            let actual = number(&Scalar::from_array(array.as_ref(), row).unwrap());
            let off = (actual - wanted).abs();
            let close = off <= 1e-7 * wanted.abs().max(1e-3) || off <= *slack;
            let special = actual.is_nan() && wanted.is_nan() || actual == *wanted;
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
        (0..rows).for_each(|row| {
            let cell = |&k: &usize| text(&columns[k][row]);
            let key: Vec<String> = keys.iter().map(cell).collect();
            let at = *place.entry(key.clone()).or_insert_with(|| {
                groups.push((key, Vec::new()));
                groups.len() - 1
            });
            groups[at].1.push(row);
        });
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
        for round in 0..2 {
            let morsels = morsels(&ty, &mut random, 4, if round == 1 { 0 } else { 5 });
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
