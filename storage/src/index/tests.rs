//! Indexes against a model: a sorted list of entries and recomputation of every answer.

use std::{cmp::Ordering, ops::Bound, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, Int64Array, StringViewArray, UInt32Array},
    compute,
    datatypes::{IntervalMonthDayNanoType, i256},
};

use super::*;
use crate::{
    Scalar, Vector,
    table::{
        Sums,
        tests::{Random, every_type},
    },
    types::LogicalType,
};

/// SQL's order of two values that are not NULL.
fn compare(a: &Scalar, b: &Scalar) -> Ordering {
    if let (Some(a), Some(b)) = (a.as_f64(), b.as_f64()) {
        return a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()));
    }
    if *a.ty() == LogicalType::Interval {
        let length = |value: &Scalar| {
            let value = value.array().as_primitive::<IntervalMonthDayNanoType>().value(0);
            let days = i128::from(value.months) * 30 + i128::from(value.days);
            days * 86_400_000_000_000 + i128::from(value.nanoseconds)
        };
        return length(a).cmp(&length(b));
    }
    (a.as_i128(), a.as_bool(), a.as_bytes()).cmp(&(b.as_i128(), b.as_bool(), b.as_bytes()))
}

/// The order of an index in one column: NULL last.
fn compare_key(key: &KeyColumn, a: &Scalar, b: &Scalar) -> Ordering {
    match (a.is_null(), b.is_null()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        _ if key.descending => compare(b, a),
        _ => compare(a, b),
    }
}

#[derive(Debug, Clone)]
struct ModelEntry {
    keys: Vec<Scalar>,
    row: u64,
    includes: Vec<Scalar>,
}

/// Entries in the order of an index.
#[derive(Clone)]
struct Model {
    spec: IndexSpec,
    entries: Vec<ModelEntry>,
}

impl Model {
    fn compare_keys(&self, a: &[Scalar], b: &[Scalar]) -> Ordering {
        let columns = self.spec.keys.iter().zip(a.iter().zip(b));
        columns.map(|(key, (a, b))| compare_key(key, a, b)).fold(Ordering::Equal, Ordering::then)
    }

    fn sort(&mut self) {
        let model = Self { spec: self.spec.clone(), entries: vec![] };
        self.entries.sort_by(|a, b| model.compare_keys(&a.keys, &b.keys).then(a.row.cmp(&b.row)));
    }

    fn filter(&self, keep: impl Fn(&[Scalar]) -> bool) -> Vec<&ModelEntry> {
        self.entries.iter().filter(|entry| keep(&entry.keys)).collect()
    }
}

/// The exact sum of doubles, rounded once (Shewchuk 1997), as an oracle of another method.
fn exact_sum(values: &[f64]) -> f64 {
    let mut partials: Vec<f64> = vec![];
    for &value in values {
        let mut x = value;
        let mut kept = vec![];
        for &partial in &partials {
            let (mut a, mut b) = (x, partial);
            if a.abs() < b.abs() {
                (a, b) = (b, a);
            }
            let high = a + b;
            let low = b - (high - a);
            if low != 0.0 {
                kept.push(low);
            }
            x = high;
        }
        kept.push(x);
        partials = kept;
    }
    // From the largest on until something is lost; then the next one decides a tie.
    let Some(mut high) = partials.pop() else { return 0.0 };
    let mut low = 0.0;
    while let Some(next) = partials.pop() {
        let before = high;
        high = before + next;
        low = next - (high - before);
        if low != 0.0 {
            break;
        }
    }
    if let Some(&rest) = partials.last()
        && ((low < 0.0 && rest < 0.0) || (low > 0.0 && rest > 0.0))
    {
        let twice = low * 2.0;
        let next = high + twice;
        if twice == next - high {
            high = next;
        }
    }
    high
}

fn check_totals(view: &RangeView<'_>, column: IndexColumn, values: &[Scalar], rows: usize) {
    let ordered: Vec<&Scalar> =
        values.iter().filter(|v| v.as_f64().is_none_or(|v| !v.is_nan())).collect();
    let min = ordered.iter().copied().min_by(|a, b| compare(a, b));
    let max = ordered.iter().copied().max_by(|a, b| compare(a, b));
    let statistics = view.statistics(column).unwrap();
    for (found, want) in [(&statistics.min, min), (&statistics.max, max)] {
        match (found, want) {
            (Some(found), Some(want)) => assert_eq!(compare(found, want), Ordering::Equal),
            (found, want) => assert_eq!(found.is_none(), want.is_none()),
        }
    }
    assert_eq!(statistics.rows, rows);
    assert_eq!(statistics.nulls, rows - values.len());
    assert_eq!(statistics.nans, values.len() - ordered.len());
    let totals = view.totals(column, true).unwrap();
    assert_eq!(totals.values(), values.len() as u64);
    let n = values.len() as f64;
    if let Some(sum) = totals.exact_sum() {
        let wide = |value: &Scalar| i256::from_i128(value.as_i128().unwrap());
        let total = values.iter().fold(i256::ZERO, |sum, v| sum.wrapping_add(wide(v)));
        assert_eq!(sum, total);
        let squares = |v: &Scalar| wide(v).wrapping_mul(wide(v));
        if let Some(found) = totals.exact_squares() {
            let all = values.iter().fold(i256::ZERO, |sum, v| sum.wrapping_add(squares(v)));
            assert_eq!(found, all);
        }
        if let Sums::Exact(sums) = &statistics.sums {
            assert_eq!(Some(sums.sum), total.to_i128());
        }
        let plain: Vec<f64> = values.iter().map(|v| v.as_i128().unwrap() as f64).collect();
        check_spread(&totals, &plain, n);
    }
    let doubles: Vec<f64> = values.iter().filter_map(Scalar::as_f64).collect();
    if !doubles.is_empty() {
        let finite: Vec<f64> = doubles.iter().copied().filter(|v| v.is_finite()).collect();
        let special: f64 = doubles.iter().filter(|v| !v.is_finite()).sum();
        let found = totals.sum_f64().unwrap();
        if finite.len() == doubles.len() {
            // Scaled, so that nothing but the sum itself can leave the range of doubles.
            let scaled: Vec<f64> = finite.iter().map(|v| v * 2_f64.powi(-100)).collect();
            assert_eq!(found, exact_sum(&scaled) * 2_f64.powi(100));
            check_spread(&totals, &finite, n);
        } else {
            assert_eq!(found.to_bits() & !(1 << 63), special.to_bits() & !(1 << 63));
            assert!(totals.deviations().unwrap().is_nan());
        }
        let Sums::Float { sum, .. } = statistics.sums else { panic!("no sums") };
        assert_eq!(sum.total().to_bits(), found.to_bits());
    }
}

/// Deviations of values near each other: two roundings at most, against a sum in two passes.
fn check_spread(totals: &Totals, values: &[f64], n: f64) {
    let Some(found) = totals.deviations() else { return };
    let mean = values.iter().sum::<f64>() / n.max(1.0);
    let want: f64 = values.iter().map(|v| (v - mean) * (v - mean)).sum();
    if want.is_finite() {
        // The oracle's mean is off by some units in its last place.
        let slack = n * (mean * 1e-15).powi(2);
        assert!((found - want).abs() <= want * 1e-9 + slack, "{found} {want}");
    }
    assert_eq!(totals.variance_sample().is_some(), n > 1.0);
    assert_eq!(totals.variance_population().is_some(), n > 0.0);
}

fn equal(found: Option<&Scalar>, want: Option<&Scalar>) {
    match (found, want) {
        (Some(found), Some(want)) => assert_eq!(compare(found, want), Ordering::Equal),
        (found, want) => assert_eq!(found.is_some(), want.is_some(), "{found:?} {want:?}"),
    }
}

fn check_quantiles(
    sorted: &[&Scalar],
    disc: impl Fn(f64) -> Option<Scalar>,
    cont: impl Fn(f64) -> Option<Between>,
) {
    for fraction in [0.0, 0.1, 0.5, 0.77, 1.0] {
        let n = sorted.len();
        let place = ((fraction * n as f64).ceil() as usize).max(1) - 1;
        equal(disc(fraction).as_ref(), sorted.get(place).copied());
        let found = cont(fraction);
        let place = fraction * n.saturating_sub(1) as f64;
        let low = place.floor() as usize;
        equal(found.as_ref().map(|b| &b.low), sorted.get(low).copied());
        let high = (low + 1).min(n.saturating_sub(1));
        equal(found.as_ref().map(|b| &b.high), sorted.get(high).copied());
        assert_eq!(found.map_or(place, |b| b.weight + low as f64), place);
    }
    assert!(disc(-0.1).is_none() && disc(f64::NAN).is_none() && cont(1.1).is_none());
}

fn check_view(index: &Index, model: &Model, view: &RangeView<'_>, want: &[&ModelEntry]) {
    let n = want.len();
    assert_eq!(view.count(), n as u64);
    let rows: Vec<u64> = want.iter().map(|entry| entry.row).collect();
    assert_eq!(view.rows(0, usize::MAX), rows);
    for k in [0, 1, n / 3, n / 2, n.saturating_sub(2), n.saturating_sub(1), n] {
        let entry = view.select(k as u64);
        assert_eq!(entry.map(|entry| index.row(entry)), rows.get(k).copied(), "{k} of {n}");
        assert_eq!(view.rows(k as u64, 3), rows[k.min(n)..(k + 3).min(n)]);
        if let Some(entry) = entry {
            let keys = index.key_values(entry).unwrap();
            assert_eq!(model.compare_keys(&keys, &want[k].keys), Ordering::Equal);
            for (at, value) in want[k].includes.iter().enumerate() {
                assert_eq!(index.included_value(entry, at).unwrap().to_string(), value.to_string());
            }
        }
    }
    let differ = |pair: &&[&ModelEntry]| model.compare_keys(&pair[0].keys, &pair[1].keys).is_ne();
    let distinct = want.windows(2).filter(differ).count() + usize::from(n > 0);
    assert_eq!(view.distinct(), distinct as u64);
    if let [key] = model.spec.keys.as_slice() {
        let mut values: Vec<Scalar> =
            want.iter().map(|e| e.keys[0].clone()).filter(|v| !v.is_null()).collect();
        check_totals(view, IndexColumn::Key, &values, n);
        if key.descending {
            values.reverse();
        }
        let sorted: Vec<&Scalar> = values.iter().collect();
        let cont = |fraction| view.quantile_between(fraction).unwrap();
        check_quantiles(&sorted, |fraction| view.quantile(fraction).unwrap(), cont);
    }
    for (at, spec) in model.spec.includes.iter().enumerate() {
        let values: Vec<Scalar> =
            want.iter().map(|e| e.includes[at].clone()).filter(|v| !v.is_null()).collect();
        check_totals(view, IndexColumn::Include(at), &values, n);
        if spec.quantiles {
            let mut sorted: Vec<&Scalar> = values.iter().collect();
            sorted.sort_by(|a, b| compare(a, b));
            let cont = |fraction| view.included_between(at, fraction).unwrap();
            let disc = |fraction| view.included_quantile(at, fraction).unwrap();
            check_quantiles(&sorted, disc, cont);
        }
    }
    let histogram = view.histogram(7).unwrap();
    assert_eq!(histogram.len(), n.min(7));
    assert_eq!(histogram.iter().map(|bucket| bucket.rows).sum::<u64>(), n as u64);
    if let Some(bucket) = histogram.last() {
        assert!(model.compare_keys(&bucket.last, &want[n - 1].keys).is_eq());
    }
}

/// Rows made of an index alone.
fn check_places(index: &Index, ranges: &[KeyRange], want: &[&ModelEntry]) {
    let mut want = want.to_vec();
    want.sort_by_key(|entry| entry.row);
    let places = index.places_in(ranges);
    assert!(index.rows_at(&places).eq(want.iter().map(|entry| entry.row)));
    assert_eq!(index.rows_in(ranges).len(), want.len());
    // As text, which tells 0.0 from -0.0.
    let same = |array: &ArrayRef, values: &mut dyn Iterator<Item = &Scalar>| {
        assert_eq!(array.len(), want.len());
        for (at, value) in values.enumerate() {
            let found = Scalar::from_array(array.as_ref(), at).unwrap();
            assert_eq!(format!("{found:?}"), format!("{value:?}"));
        }
    };
    for column in 0..index.spec().keys.len() {
        match index.spec().gives_key(column) {
            true => same(
                &index.key_array(&places, column).unwrap(),
                &mut want.iter().map(|entry| &entry.keys[column]),
            ),
            false => assert!(index.key_array(&places, column).is_err()),
        }
    }
    for column in 0..index.spec().includes.len() {
        let array = index.included_array(&places, column).unwrap();
        same(&array, &mut want.iter().map(|entry| &entry.includes[column]));
    }
}

/// Look-ups of keys, each of one to all columns, some of them twice, some with NULL.
fn check_points(index: &Index, model: &Model, random: &mut Random) {
    let columns = 1 + random.below(model.spec.keys.len());
    let mut points: Vec<&[Scalar]> = vec![];
    for _ in 0..random.below(6) {
        let entry = &model.entries[random.below(model.entries.len())];
        points.extend([&entry.keys[..columns]; 2]);
    }
    let vector = |column: usize| {
        let values: Vec<_> = points.iter().map(|point| point[column].array().as_ref()).collect();
        let none = || arrow::array::new_empty_array(&model.spec.keys[column].ty.to_arrow());
        Vector::Flat(if values.is_empty() { none() } else { compute::concat(&values).unwrap() })
    };
    let vectors: Vec<Vector> = (0..columns).map(vector).collect();
    let found = index.spec().points(&vectors).unwrap();
    assert!(found.ranges.is_sorted_by(|a, b| a.upper <= b.lower));
    let want = model.filter(|keys| {
        points.iter().any(|point| {
            let pairs = keys.iter().zip(*point);
            pairs.clone().all(|(key, value)| {
                !key.is_null() && !value.is_null() && compare(key, value).is_eq()
            })
        })
    });
    check_places(index, &found.ranges, &want);
}

/// Some ranges on the column after `equal` ones, and everything.
fn check(index: &Index, model: &Model, random: &mut Random, ranges: usize) {
    assert_eq!(index.len(), model.entries.len() as u64);
    let all = KeyRange::all();
    check_view(index, model, &index.view(&all), &model.filter(|_| true));
    check_places(index, std::slice::from_ref(&all), &model.filter(|_| true));
    for _ in 0..ranges {
        let column = random.below(model.spec.keys.len());
        let pick = |random: &mut Random| -> Option<Vec<Scalar>> {
            let entry = model.entries.get(random.below(model.entries.len().max(1)))?;
            Some(entry.keys.clone())
        };
        let (Some(a), Some(b)) = (pick(random), pick(random)) else { return };
        let bound = |random: &mut Random, keys: &Vec<Scalar>| match random.below(5) {
            0 => Bound::Unbounded,
            1 | 2 => Bound::Included(keys[column].clone()),
            _ => Bound::Excluded(keys[column].clone()),
        };
        let (lower, upper) = (bound(random, &a), bound(random, &b));
        let equal = &a[..column];
        let range = index.spec().range(equal, lower.as_ref(), upper.as_ref()).unwrap();
        let prefix = |keys: &[Scalar], len: usize| {
            let key = &model.spec.keys;
            (0..len).all(|i| compare_key(&key[i], &keys[i], &a[i]).is_eq())
        };
        let within = |keys: &[Scalar]| {
            let value = &keys[column];
            let low = match &lower {
                Bound::Unbounded => true,
                Bound::Included(low) => !low.is_null() && compare(value, low).is_ge(),
                Bound::Excluded(low) => !low.is_null() && compare(value, low).is_gt(),
            };
            let high = match &upper {
                Bound::Unbounded => true,
                Bound::Included(high) => !high.is_null() && compare(value, high).is_le(),
                Bound::Excluded(high) => !high.is_null() && compare(value, high).is_lt(),
            };
            prefix(keys, column) && !value.is_null() && low && high
        };
        check_view(index, model, &index.view(&range), &model.filter(within));
        check_places(index, std::slice::from_ref(&range), &model.filter(within));
        check_points(index, model, random);
        let range = index.spec().equal(&a[..=column]).unwrap();
        let same = |keys: &[Scalar]| prefix(keys, column + 1);
        check_view(index, model, &index.view(&range), &model.filter(same));
        if let Some(bytes) = a[column].as_bytes() {
            let start = &bytes[..bytes.len().min(random.below(4))];
            let range = index.spec().starting_with(equal, start).unwrap();
            let begins = |keys: &[Scalar]| {
                let starts = keys[column].as_bytes().is_some_and(|b| b.starts_with(start));
                prefix(keys, column) && starts
            };
            check_view(index, model, &index.view(&range), &model.filter(begins));
        }
    }
}

fn take(array: &ArrayRef, rows: &[u64]) -> Vector {
    let rows = rows.iter().map(|&row| row as u32).collect::<UInt32Array>();
    Vector::Flat(compute::take(array, &rows, None).unwrap())
}

/// An index over rows of arrays, with its model.
struct Pair {
    index: Index,
    model: Model,
    keys: Vec<ArrayRef>,
    includes: Vec<ArrayRef>,
}

impl Pair {
    fn new(keys: &[(ArrayRef, bool)], includes: &[(ArrayRef, bool)]) -> Self {
        let ty = |array: &ArrayRef| LogicalType::from_arrow(array.data_type()).unwrap();
        let spec = IndexSpec {
            keys: keys
                .iter()
                .map(|(array, descending)| KeyColumn { ty: ty(array), descending: *descending })
                .collect(),
            includes: includes
                .iter()
                .map(|(array, quantiles)| IncludeColumn { ty: ty(array), quantiles: *quantiles })
                .collect(),
        };
        let arrays = |columns: &[(ArrayRef, bool)]| columns.iter().map(|c| c.0.clone()).collect();
        Self {
            index: Index::new(spec.clone()).unwrap(),
            model: Model { spec, entries: vec![] },
            keys: arrays(keys),
            includes: arrays(includes),
        }
    }

    fn insert(&mut self, rows: &[u64]) {
        let mut entries = Entries::new(&self.model.spec, 0).unwrap();
        for rows in rows.chunks(rows.len() / 2 + 1) {
            let keys: Vec<Vector> = self.keys.iter().map(|array| take(array, rows)).collect();
            let includes: Vec<Vector> = self.includes.iter().map(|a| take(a, rows)).collect();
            entries.push(&keys, &includes, rows.iter().copied()).unwrap();
        }
        self.index = self.index.insert(entries, &Serial).unwrap();
        let scalar = |array: &ArrayRef, row: u64| Scalar::from_array(array, row as usize).unwrap();
        self.model.entries.extend(rows.iter().map(|&row| ModelEntry {
            keys: self.keys.iter().map(|array| scalar(array, row)).collect(),
            row,
            includes: self.includes.iter().map(|array| scalar(array, row)).collect(),
        }));
        self.model.sort();
    }

    fn delete(&mut self, rows: &[u64]) {
        let keys: Vec<Vector> = self.keys.iter().map(|array| take(array, rows)).collect();
        self.index = self.index.delete(&keys, rows).unwrap();
        self.model.entries.retain(|entry| !rows.contains(&entry.row));
    }

    fn merge(&mut self, all: bool) {
        let merge = if all { self.index.merge_all() } else { self.index.merge_due() };
        if let Some(merge) = merge {
            self.index = self.index.with_merged(&merge.run().unwrap()).unwrap();
        }
        if all {
            assert!(self.index.info().runs <= 1);
            assert_eq!(self.index.info().pending, 0);
        }
    }
}

/// Inserts, deletes and merges at random, compared with the model after each, and an early snapshot at the end.
fn exercise(mut pair: Pair, rows: u64, random: &mut Random, steps: usize, ranges: usize) {
    let mut next = rows / 3;
    pair.insert(&(0..next).collect::<Vec<_>>());
    check(&pair.index, &pair.model, random, ranges);
    let early = (pair.index.clone(), pair.model.clone());
    for _ in 0..steps {
        match random.below(6) {
            0..3 if next < rows => {
                let end = (next + 1 + random.below(rows as usize / 8) as u64).min(rows);
                pair.insert(&(next..end).collect::<Vec<_>>());
                next = end;
            }
            0..5 if !pair.model.entries.is_empty() => {
                let count = 1 + random.below(pair.model.entries.len() / 6 + 1);
                let mut gone: Vec<u64> = (0..count)
                    .map(|_| pair.model.entries[random.below(pair.model.entries.len())].row)
                    .collect();
                if random.below(3) == 0 {
                    // Neighbours in the order of the index, so that whole keys and bounds go.
                    let start = random.below(pair.model.entries.len());
                    let near = pair.model.entries.iter().skip(start).take(count);
                    gone = near.map(|entry| entry.row).collect();
                }
                gone.sort_unstable();
                gone.dedup();
                pair.delete(&gone);
            }
            _ => pair.merge(random.below(2) == 0),
        }
        check(&pair.index, &pair.model, random, ranges);
    }
    pair.merge(true);
    check(&pair.index, &pair.model, random, ranges);
    check(&early.0, &early.1, random, 1);
}

/// Types that keys may have, with names.
fn orderable(rows: usize, seed: u64) -> Vec<(&'static str, ArrayRef)> {
    let mut types = every_type(rows, seed);
    types.retain(|(name, _)| !["null", "list", "struct", "map"].contains(name));
    assert!(types.len() >= 22, "{}", types.len());
    types
}

fn named(types: &[(&'static str, ArrayRef)], name: &str) -> ArrayRef {
    types.iter().find(|(other, _)| *other == name).unwrap().1.clone()
}

#[test]
fn test_every_key_type_answers_as_the_model() {
    let rows = 150;
    let types = orderable(rows, 21);
    let mut random = Random(22);
    for (at, (_, key)) in types.iter().enumerate() {
        for descending in [false, true] {
            // Some other type beside it, in turn.
            let include = &types[(at * 7 + 3) % types.len()].1;
            let interval = *include.data_type() == LogicalType::Interval.to_arrow();
            let include = if interval { key } else { include };
            let includes = match *key.data_type() == LogicalType::Interval.to_arrow() {
                true => vec![],
                false => vec![(include.clone(), true)],
            };
            let pair = Pair::new(&[(key.clone(), descending)], &includes);
            exercise(pair, rows as u64, &mut random, 4, 2);
        }
    }
}

#[test]
fn test_every_included_type_answers_as_the_model() {
    let rows = 200;
    let types = orderable(rows, 23);
    let mut random = Random(24);
    let key = named(&types, "i32");
    for quantiles in [false, true] {
        let includes: Vec<(ArrayRef, bool)> = types
            .iter()
            .filter(|(_, array)| *array.data_type() != LogicalType::Interval.to_arrow())
            .map(|(_, array)| (array.clone(), quantiles))
            .collect();
        exercise(Pair::new(&[(key.clone(), false)], &includes), rows as u64, &mut random, 3, 1);
    }
}

#[test]
fn test_composite_keys_answer_as_the_model() {
    let rows = 160;
    let types = orderable(rows, 25);
    let mut random = Random(26);
    for round in 0..40 {
        let columns = 2 + random.below(2);
        let keys: Vec<(ArrayRef, bool)> = (0..columns)
            .map(|_| (types[random.below(types.len())].1.clone(), random.below(2) == 0))
            .collect();
        let include = named(&types, if round % 2 == 0 { "f64" } else { "i64" });
        let pair = Pair::new(&keys, &[(include, round % 3 == 0)]);
        exercise(pair, rows as u64, &mut random, 2, 4);
    }
}

#[test]
fn test_many_rows_span_levels_and_blocks() {
    let rows = 9_000_u64;
    let mut random = Random(27);
    let few: ArrayRef =
        Arc::new((0..rows).map(|_| Some(random.below(40) as i64 - 20)).collect::<Int64Array>());
    let many: ArrayRef =
        Arc::new((0..rows).map(|_| Some(random.next() as i64)).collect::<Int64Array>());
    let text = |_| {
        let host = random.below(4);
        let path = random.below(500);
        Some(format!("http://host{host}.example.org/a/rather/long/path/{path}"))
    };
    let texts: ArrayRef = Arc::new((0..rows).map(text).collect::<StringViewArray>());
    let mut random = Random(28);
    for (key, include) in [(&few, &many), (&many, &few), (&texts, &many)] {
        let pair = Pair::new(&[(key.clone(), false)], &[(include.clone(), true)]);
        exercise(pair, rows, &mut random, 5, 3);
    }
}

#[test]
fn test_few_entries_and_none() {
    let types = orderable(5, 29);
    let mut random = Random(30);
    for (_, key) in &types {
        let mut pair = Pair::new(&[(key.clone(), false)], &[(named(&types, "f64"), true)]);
        pair.insert(&[]);
        check(&pair.index, &pair.model, &mut random, 1);
        assert!(pair.index.is_empty() && pair.index.merge_due().is_none());
        for row in 0..3 {
            pair.insert(&[row]);
            check(&pair.index, &pair.model, &mut random, 2);
        }
        pair.delete(&[0, 1, 2]);
        check(&pair.index, &pair.model, &mut random, 1);
        pair.merge(true);
        check(&pair.index, &pair.model, &mut random, 1);
        assert_eq!(pair.index.info().runs, 0);
    }
}

#[test]
fn test_the_parts_that_an_index_has_do_not_change_a_bit() {
    let types = orderable(400, 31);
    let (key, value) = (named(&types, "i64"), named(&types, "f64"));
    let finite = compute::filter(
        &value,
        &value
            .as_primitive::<arrow::datatypes::Float64Type>()
            .iter()
            .map(|v| Some(v.is_some_and(f64::is_finite)))
            .collect(),
    )
    .unwrap();
    let rows = finite.len() as u64;
    let pair = |step: usize| {
        let mut pair = Pair::new(&[(key.clone(), false)], &[(finite.clone(), false)]);
        let all: Vec<u64> = (0..rows).collect();
        all.chunks(step).for_each(|rows| pair.insert(rows));
        pair
    };
    let (whole, mut pieces) = (pair(1000), pair(7));
    let all = KeyRange::all();
    for _ in 0..2 {
        let find = |pair: &Pair| pair.index.view(&all).statistics(IndexColumn::Include(0)).unwrap();
        assert_eq!(find(&whole).sums, find(&pieces).sums);
        assert!(!matches!(find(&whole).sums, Sums::None));
        pieces.merge(true);
    }
}

#[test]
fn test_merges_go_on_beside_changes() {
    let types = orderable(600, 33);
    let mut random = Random(34);
    let key = named(&types, "i32");
    let mut pair = Pair::new(&[(key, false)], &[(named(&types, "text"), true)]);
    pair.insert(&(0..300).collect::<Vec<_>>());
    pair.delete(&(0..100).collect::<Vec<_>>());
    let merge = pair.index.merge_all().unwrap();
    assert_eq!(merge.entries(), 400);
    let merged = merge.run().unwrap();
    // Few entries join no part that is merged meanwhile.
    pair.insert(&[300, 301, 302]);
    let early = pair.index.clone();
    let next = pair.index.with_merged(&merged).unwrap();
    check(&next, &pair.model, &mut random, 3);
    check(&early, &pair.model, &mut random, 3);
    pair.index = next;
    assert!(pair.index.with_merged(&merged).is_none());
    pair.insert(&(303..600).collect::<Vec<_>>());
    check(&pair.index, &pair.model, &mut random, 3);
    std::thread::scope(|scope| {
        let (early, model) = (&early, &pair.model);
        let reader = scope.spawn(move || {
            let all = KeyRange::all();
            (0..200).map(|_| early.view(&all).count()).all(|count| count == 203)
        });
        while let Some(merge) = pair.index.merge_due() {
            pair.index = pair.index.with_merged(&merge.run().unwrap()).unwrap();
        }
        check(&pair.index, model, &mut random, 2);
        assert!(reader.join().unwrap());
    });
}

#[test]
fn test_rows_get_new_ids() {
    let types = orderable(300, 35);
    let mut random = Random(36);
    let mut pair = Pair::new(&[(named(&types, "text"), true)], &[]);
    pair.insert(&(0..300).collect::<Vec<_>>());
    pair.delete(&[5, 9, 200]);
    let shift = |row: u64| row + (1 << 33);
    pair.index = pair.index.with_rows(shift).unwrap();
    pair.model.entries.iter_mut().for_each(|entry| entry.row = shift(entry.row));
    check(&pair.index, &pair.model, &mut random, 3);
    assert!(pair.index.with_rows(|row| u64::MAX - row).is_err());
}

#[test]
fn test_misuse_is_an_error() {
    let types = orderable(10, 37);
    let mut pair = Pair::new(&[(named(&types, "i64"), false)], &[]);
    pair.insert(&[0, 1, 2]);
    let key = [take(&pair.keys[0], &[7])];
    assert!(pair.index.delete(&key, &[7]).is_err());
    let mut entries = Entries::new(&pair.model.spec, 1).unwrap();
    assert!(entries.push(&key, &[], [5, 6]).is_err());
    let mut entries = Entries::new(&pair.model.spec, 1).unwrap();
    let two = [take(&pair.keys[0], &[7, 8])];
    assert!(entries.push(&two, &[], [6, 5]).is_err());
    assert!(entries.push(&[take(&named(&types, "text"), &[1])], &[], [9]).is_err());
    let spec = &pair.model.spec;
    let text = Scalar::text("a");
    assert!(spec.range(&[], Bound::Included(&text), Bound::Unbounded).is_err());
    assert!(spec.range(&[Scalar::int64(1)], Bound::Unbounded, Bound::Unbounded).is_err());
    assert!(spec.starting_with(&[], b"a").is_err());
    let null = Scalar::null(LogicalType::Int64);
    let range = spec.range(&[], Bound::Included(&null), Bound::Unbounded).unwrap();
    assert!(pair.index.view(&range).is_empty());
    let list = every_type(3, 1).into_iter().find(|(name, _)| *name == "list").unwrap().1;
    let ty = LogicalType::from_arrow(list.data_type()).unwrap();
    assert!(Index::new(IndexSpec::of(ty)).is_err());
    assert!(Index::new(IndexSpec { keys: vec![], includes: vec![] }).is_err());
    let interval = IncludeColumn::new(LogicalType::Interval);
    let keys = vec![KeyColumn::new(LogicalType::Int64)];
    assert!(Index::new(IndexSpec { keys, includes: vec![interval] }).is_err());
}

#[test]
fn test_places_of_many_rows_come_in_row_order() {
    let rows = 5000_u64;
    let mut random = Random(31);
    let keys: ArrayRef =
        Arc::new((0..rows).map(|_| random.below(900) as i64).collect::<Int64Array>());
    let rows_of: ArrayRef = Arc::new((0..rows as i64).collect::<Int64Array>());
    let mut pair = Pair::new(&[(keys, false)], &[(rows_of, false)]);
    pair.insert(&(0..rows).collect::<Vec<_>>());
    let value = Scalar::int64(700);
    let range = pair.index.spec().range(&[], Bound::Unbounded, Bound::Excluded(&value)).unwrap();
    let below = |keys: &[Scalar]| keys[0].as_i128().is_some_and(|key| key < 700);
    check_places(&pair.index, std::slice::from_ref(&range), &pair.model.filter(below));
    pair.delete(&(0..rows).step_by(3).collect::<Vec<_>>());
    assert!(pair.index.parts() > 1);
    check_places(&pair.index, std::slice::from_ref(&range), &pair.model.filter(below));
}
