//! Cells in SQL's order, an ordered map of entries, and what an index must answer over them.
//!
//! Invariant: answers are recomputed from the entries by other methods than the index's.

use std::{cmp::Ordering, collections::BTreeMap, ops::Bound, sync::Arc};

use arrow::{
    array::{ArrayRef, Float64Array, Int64Array, StringViewArray},
    compute::cast,
    datatypes::{DataType, i256},
};
use stoadb_benches::random::Random;
use stoadb_storage::{
    Scalar, Vector,
    index::{IncludeColumn, Index, IndexColumn, IndexSpec, KeyColumn, KeyRange, RangeView},
    types::LogicalType,
};

/// A value.
#[derive(Debug, Clone)]
pub(super) enum Cell {
    Null,
    Int(i64),
    Double(f64),
    Text(String),
}

impl Cell {
    pub(super) fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    pub(super) fn int(&self) -> Option<i64> {
        if let Self::Int(value) = self { Some(*value) } else { None }
    }

    pub(super) fn text(&self) -> Option<&str> {
        if let Self::Text(value) = self { Some(value) } else { None }
    }

    pub(super) fn of(scalar: &Scalar) -> Self {
        let int = || scalar.as_i128().map(|value| Self::Int(i64::try_from(value).unwrap()));
        let text = || scalar.as_str().map(|value| Self::Text(value.to_owned()));
        int().or_else(|| scalar.as_f64().map(Self::Double)).or_else(text).unwrap_or(Self::Null)
    }

    /// SQL's order: zeros equal, NaN the greatest, NULL after everything.
    pub(super) fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Null, _) | (_, Self::Null) => self.is_null().cmp(&other.is_null()),
            (Self::Int(a), Self::Int(b)) => a.cmp(b),
            (Self::Text(a), Self::Text(b)) => a.as_bytes().cmp(b.as_bytes()),
            (Self::Double(a), Self::Double(b)) => {
                a.partial_cmp(b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
            }
            _ => panic!("{self:?} beside {other:?}"),
        }
    }
}

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Int16,
    Int32,
    Int64,
    Decimal,
    Date,
    Timestamp,
    Double,
    Text,
}

pub(super) const KINDS: [Kind; 8] = [
    Kind::Int16,
    Kind::Int32,
    Kind::Int64,
    Kind::Decimal,
    Kind::Date,
    Kind::Timestamp,
    Kind::Double,
    Kind::Text,
];

impl Kind {
    pub(super) fn ty(self) -> LogicalType {
        LogicalType::from_arrow(self.array(&[]).data_type()).unwrap()
    }

    pub(super) fn array(self, cells: &[&Cell]) -> ArrayRef {
        match self {
            Self::Double => {
                let value = |cell: &&Cell| if let Cell::Double(v) = cell { Some(*v) } else { None };
                return Arc::new(cells.iter().map(value).collect::<Float64Array>());
            }
            Self::Text => {
                return Arc::new(cells.iter().map(|cell| cell.text()).collect::<StringViewArray>());
            }
            _ => {}
        }
        let ints: ArrayRef = Arc::new(cells.iter().map(|cell| cell.int()).collect::<Int64Array>());
        let to = match self {
            Self::Int16 => DataType::Int16,
            Self::Int32 | Self::Date => DataType::Int32,
            Self::Decimal => DataType::Decimal128(38, 0),
            Self::Timestamp => {
                LogicalType::Timestamp(stoadb_storage::TimeUnit::Microsecond, None).to_arrow()
            }
            _ => DataType::Int64,
        };
        let array = cast(&ints, &to).unwrap();
        if self == Self::Date { cast(&array, &DataType::Date32).unwrap() } else { array }
    }

    pub(super) fn scalar(self, cell: &Cell) -> Scalar {
        Scalar::from_array(&self.array(&[cell]), 0).unwrap()
    }

    /// A value out of about `spread` different ones.
    pub(super) fn random(self, random: &mut Random, spread: u64) -> Cell {
        if random.below(11) == 0 {
            return Cell::Null;
        }
        let number = random.below(spread).cast_signed() - (spread / 3).cast_signed();
        match self {
            Self::Double => Cell::Double(match random.below(30) {
                0 => f64::NAN,
                1 => -0.0,
                2 => f64::INFINITY,
                3 => -1e15 - 0.1,
                4 => 1e15 + 0.3,
                5 => 1e-20,
                _ => number as f64 / 8.0,
            }),
            Self::Text => Cell::Text(match random.below(12) {
                0 => String::new(),
                1 => "\0".repeat(1 + random.below(3) as usize),
                2 => format!("{number}\0{number}"),
                3 => "\u{10ffff}".into(),
                _ => format!("a common beginning/{number}"),
            }),
            // The wide ones at random, too.
            Self::Int64 | Self::Decimal | Self::Timestamp if random.below(8) == 0 => {
                Cell::Int((random.bits() >> 3).cast_signed() - (1 << 60))
            }
            Self::Int16 => Cell::Int(number % 30_000),
            _ => Cell::Int(number),
        }
    }
}

/// What an index is over: columns of rows by number.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    pub(super) kinds: Vec<Kind>,
    /// With whether they descend.
    pub(super) keys: Vec<(usize, bool)>,
    /// With whether they have quantiles.
    pub(super) includes: Vec<(usize, bool)>,
}

impl Shape {
    pub(super) fn spec(&self) -> IndexSpec {
        let key =
            |&(at, descending): &(usize, bool)| KeyColumn { ty: self.kinds[at].ty(), descending };
        let include =
            |&(at, quantiles): &(usize, bool)| IncludeColumn { ty: self.kinds[at].ty(), quantiles };
        IndexSpec {
            keys: self.keys.iter().map(key).collect(),
            includes: self.includes.iter().map(include).collect(),
        }
    }

    pub(super) fn vectors<'a>(
        &self,
        columns: &[(usize, bool)],
        rows: impl Iterator<Item = &'a Row> + Clone,
    ) -> Vec<Vector> {
        let vector = |&(at, _): &(usize, bool)| {
            let cells: Vec<&Cell> = rows.clone().map(|row| &row[at]).collect();
            Vector::Flat(self.kinds[at].array(&cells))
        };
        columns.iter().map(vector).collect()
    }

    pub(super) fn key(&self, id: u64, row: &Row) -> Key {
        let cells = self.keys.iter().map(|&(at, descending)| (row[at].clone(), descending));
        Key { cells: cells.collect(), id }
    }
}

pub(super) type Row = Vec<Cell>;

/// A key of an entry, in the order of its index.
#[derive(Debug, Clone)]
pub(super) struct Key {
    /// With whether they descend.
    pub(super) cells: Vec<(Cell, bool)>,
    pub(super) id: u64,
}

impl Key {
    fn cells_order(&self, other: &Self) -> Ordering {
        let pairs = self.cells.iter().zip(&other.cells);
        let order = |((a, descending), (b, _)): (&(Cell, bool), &(Cell, bool))| {
            let turn = *descending && !a.is_null() && !b.is_null();
            if turn { b.order(a) } else { a.order(b) }
        };
        pairs.map(order).fold(Ordering::Equal, Ordering::then)
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        self.cells_order(other).then(self.id.cmp(&other.id))
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Key {}

/// The entries of an index.
pub(super) type Entries = BTreeMap<Key, Row>;
/// Some of them, in order.
type Chosen<'a> = Vec<(&'a Key, &'a Row)>;

/// Compares an index with its entries over all of them and over some ranges; gives the number of ranges.
pub(super) fn check(
    index: &Index,
    shape: &Shape,
    entries: &Entries,
    random: &mut Random,
    ranges: usize,
) -> u64 {
    assert_eq!(index.len(), entries.len() as u64);
    let all = KeyRange::all();
    check_view(index, shape, &index.view(&all), &entries.iter().collect(), random);
    let mut done = 1;
    for _ in 0..ranges {
        let pick =
            |random: &mut Random| entries.keys().nth(random.below(entries.len() as u64) as usize);
        if entries.is_empty() {
            break;
        }
        let (Some(a), Some(b)) = (pick(random), pick(random)) else { break };
        let place = random.below(shape.keys.len() as u64) as usize;
        let (range, fits) = range_of(shape, a, b, place, random);
        let want = entries.iter().filter(|(key, _)| fits(key)).collect();
        check_view(index, shape, &index.view(&range), &want, random);
        done += 1;
    }
    done
}

type Fits<'a> = Box<dyn Fn(&Key) -> bool + 'a>;

/// A range, and which keys lie in it.
fn range_of<'a>(
    shape: &Shape,
    a: &'a Key,
    b: &'a Key,
    place: usize,
    random: &mut Random,
) -> (KeyRange, Fits<'a>) {
    let spec = shape.spec();
    let scalar = |at: usize, cell: &Cell| shape.kinds[shape.keys[at].0].scalar(cell);
    let agrees = move |key: &Key, columns: usize| {
        let pairs = key.cells.iter().zip(&a.cells).take(columns);
        pairs.into_iter().all(|((x, _), (y, _))| x.order(y).is_eq())
    };
    let equal: Vec<Scalar> = (0..place).map(|at| scalar(at, &a.cells[at].0)).collect();
    let (first, second) = (&a.cells[place].0, &b.cells[place].0);
    if let (Some(text), 0) = (first.text(), random.below(3)) {
        let mut start = text.len().min(random.below(22) as usize);
        while !text.is_char_boundary(start) {
            start -= 1;
        }
        let start = &text[..start];
        let range = spec.starting_with(&equal, start.as_bytes()).unwrap();
        let begins = move |key: &Key| {
            agrees(key, place) && key.cells[place].0.text().is_some_and(|t| t.starts_with(start))
        };
        return (range, Box::new(begins));
    }
    if random.below(4) == 0 {
        let mut equal = equal;
        equal.push(scalar(place, first));
        let range = spec.equal(&equal).unwrap();
        return (range, Box::new(move |key| agrees(key, place + 1)));
    }
    let (from, to) = (random.below(3), random.below(3));
    let (low, high) = (scalar(place, first), scalar(place, second));
    fn bound<T>(kind: u64, value: T) -> Bound<T> {
        match kind {
            0 => Bound::Unbounded,
            1 => Bound::Included(value),
            _ => Bound::Excluded(value),
        }
    }
    let range = spec.range(&equal, bound(from, &low), bound(to, &high)).unwrap();
    let within = move |key: &Key| {
        let cell = &key.cells[place].0;
        let above = match from {
            0 => true,
            1 => !first.is_null() && cell.order(first).is_ge(),
            _ => !first.is_null() && cell.order(first).is_gt(),
        };
        let below = match to {
            0 => true,
            1 => !second.is_null() && cell.order(second).is_le(),
            _ => !second.is_null() && cell.order(second).is_lt(),
        };
        agrees(key, place) && !cell.is_null() && above && below
    };
    (range, Box::new(within))
}

fn check_view(
    index: &Index,
    shape: &Shape,
    view: &RangeView<'_>,
    want: &Chosen<'_>,
    random: &mut Random,
) {
    let n = want.len();
    assert_eq!(view.count(), n as u64);
    let offset = random.below(n as u64 + 2);
    let limit = [5, 50, usize::MAX][random.below(3) as usize];
    let rows: Vec<u64> =
        want.iter().skip(offset as usize).take(limit).map(|(key, _)| key.id).collect();
    assert_eq!(view.rows(offset, limit), rows, "rows from {offset}");
    for _ in 0..3 {
        let k = random.below(n as u64 + 1);
        let found = view.select(k);
        let entry = want.get(k as usize);
        assert_eq!(
            found.map(|entry| index.row(entry)),
            entry.map(|(key, _)| key.id),
            "entry {k} of {n}"
        );
        if let (Some(found), Some((key, row))) = (found, entry) {
            let values = index.key_values(found).unwrap();
            for (value, (cell, _)) in values.iter().zip(&key.cells) {
                assert!(Cell::of(value).order(cell).is_eq(), "{value} {cell:?}");
            }
            for (at, (column, _)) in shape.includes.iter().enumerate() {
                let value = Cell::of(&index.included_value(found, at).unwrap());
                assert!(value.order(&row[*column]).is_eq(), "{value:?} {:?}", row[*column]);
            }
        }
    }
    let steps = want.windows(2).filter(|pair| pair[0].0.cells_order(pair[1].0).is_ne()).count();
    assert_eq!(view.distinct(), (steps + usize::from(n > 0)) as u64, "distinct keys");
    if let [(column, _)] = shape.keys[..] {
        let sorted = sorted(want, column);
        check_totals(view, IndexColumn::Key, &sorted, n);
        for fraction in fractions(random) {
            let disc = view.quantile(fraction).unwrap();
            let cont = view.quantile_between(fraction).unwrap();
            check_quantile(
                &sorted,
                fraction,
                disc.as_ref(),
                cont.map(|b| (b.low, b.high, b.weight)),
            );
        }
    }
    for (at, (column, quantiles)) in shape.includes.iter().enumerate() {
        let sorted = sorted(want, *column);
        check_totals(view, IndexColumn::Include(at), &sorted, n);
        for fraction in fractions(random).into_iter().filter(|_| *quantiles) {
            let disc = view.included_quantile(at, fraction).unwrap();
            let cont = view.included_between(at, fraction).unwrap();
            check_quantile(
                &sorted,
                fraction,
                disc.as_ref(),
                cont.map(|b| (b.low, b.high, b.weight)),
            );
        }
    }
    let histogram = view.histogram(5).unwrap();
    assert_eq!(histogram.iter().map(|bucket| bucket.rows).sum::<u64>(), n as u64);
    let mut end = 0;
    for bucket in histogram {
        end += bucket.rows as usize;
        for (value, (cell, _)) in bucket.last.iter().zip(&want[end - 1].0.cells) {
            assert!(Cell::of(value).order(cell).is_eq(), "a bucket up to {value}, not {cell:?}");
        }
    }
}

fn fractions(random: &mut Random) -> [f64; 3] {
    [0.5, random.unit(), [0.0, 1.0, 0.99][random.below(3) as usize]]
}

/// The values of a column that are not NULL.
fn sorted<'a>(want: &Chosen<'a>, column: usize) -> Vec<&'a Cell> {
    let cells = want.iter().map(|(_, row)| &row[column]);
    let mut sorted: Vec<&Cell> = cells.filter(|cell| !cell.is_null()).collect();
    sorted.sort_by(|a, b| a.order(b));
    sorted
}

fn check_quantile(
    sorted: &[&Cell],
    fraction: f64,
    disc: Option<&Scalar>,
    cont: Option<(Scalar, Scalar, f64)>,
) {
    let same = |found: &Scalar, at: usize| Cell::of(found).order(sorted[at]).is_eq();
    let n = sorted.len();
    assert_eq!((disc.is_some(), cont.is_some()), (n > 0, n > 0));
    let (Some(disc), Some((low, high, weight))) = (disc, cont) else { return };
    let place = ((fraction * n as f64).ceil() as usize).clamp(1, n) - 1;
    assert!(same(disc, place), "quantile {fraction} of {n}: {disc}, not {:?}", sorted[place]);
    let place = fraction * (n - 1) as f64;
    let below = place.floor() as usize;
    assert!(same(&low, below), "quantile {fraction} of {n} from {low}, not {:?}", sorted[below]);
    assert!(same(&high, (below + 1).min(n - 1)), "quantile {fraction} of {n} up to {high}");
    assert_eq!(weight, place - below as f64);
}

fn check_totals(view: &RangeView<'_>, column: IndexColumn, sorted: &[&Cell], n: usize) {
    let statistics = view.statistics(column).unwrap();
    let is_nan = |cell: &&Cell| matches!(cell, Cell::Double(v) if v.is_nan());
    let nans = sorted.iter().filter(|cell| is_nan(cell)).count();
    let bounded = &sorted[..sorted.len() - nans];
    assert_eq!((statistics.rows, statistics.nulls, statistics.nans), (n, n - sorted.len(), nans));
    for (found, want) in [(&statistics.min, bounded.first()), (&statistics.max, bounded.last())] {
        assert_eq!(found.is_some(), want.is_some());
        if let (Some(found), Some(want)) = (found, want) {
            assert!(Cell::of(found).order(want).is_eq(), "bound {found}, not {want:?}");
        }
    }
    let totals = view.totals(column, true).unwrap();
    assert_eq!(totals.values(), sorted.len() as u64);
    let ints: Vec<i64> = sorted.iter().filter_map(|cell| cell.int()).collect();
    if let (Some(sum), false) = (totals.exact_sum(), ints.is_empty()) {
        let total: i128 = ints.iter().map(|&v| i128::from(v)).sum();
        assert_eq!(sum, i256::from_i128(total));
    }
    if let (Some(found), false) = (totals.exact_squares(), ints.is_empty()) {
        let wide = ints.iter().map(|&v| i256::from_i128(i128::from(v) * i128::from(v)));
        assert_eq!(found, wide.fold(i256::ZERO, i256::wrapping_add));
    }
    let doubles: Vec<f64> = sorted
        .iter()
        .filter_map(|c| if let Cell::Double(v) = c { Some(*v) } else { None })
        .collect();
    if doubles.is_empty() {
        return;
    }
    let (found, special) = (totals.sum_f64().unwrap(), doubles.iter().any(|v| !v.is_finite()));
    let want = if special { doubles.iter().sum() } else { exact_sum(&doubles) };
    let same = found == want || (found.is_nan() && want.is_nan());
    assert!(same, "sum {found}, not {want}");
    if let (Some(found), false) = (totals.variance_sample(), special || doubles.len() < 2) {
        let count = doubles.len() as f64;
        let mean = want / count;
        let squares: f64 = doubles.iter().map(|v| (v - mean) * (v - mean)).sum();
        let want = squares / (count - 1.0);
        let slack = want * 1e-9 + (mean * 1e-12) * (mean * 1e-12);
        assert!((found - want).abs() <= slack, "variance {found}, not {want}");
    }
}

/// The exact sum rounded once, from partial sums that do not overlap (Shewchuk 1997).
fn exact_sum(values: &[f64]) -> f64 {
    let mut partials: Vec<f64> = Vec::new();
    for &value in values {
        let mut x = value;
        let mut kept = 0;
        for at in 0..partials.len() {
            let y = partials[at];
            let (large, small) = if x.abs() < y.abs() { (y, x) } else { (x, y) };
            let high = large + small;
            let low = small - (high - large);
            if low != 0.0 {
                partials[kept] = low;
                kept += 1;
            }
            x = high;
        }
        partials.truncate(kept);
        partials.push(x);
    }
    let Some(mut sum) = partials.pop() else { return 0.0 };
    let mut rest = 0.0;
    while let Some(next) = partials.pop() {
        let before = sum;
        sum = before + next;
        rest = next - (sum - before);
        if rest != 0.0 {
            break;
        }
    }
    // A tie is decided by what lies below it.
    if let Some(&below) = partials.last()
        && (rest < 0.0) == (below < 0.0)
        && rest != 0.0
    {
        let twice = rest * 2.0;
        let next = sum + twice;
        if next - sum == twice {
            sum = next;
        }
    }
    sum
}
