//! What is known of the values of a block, a segment's column, a table's column.
//!
//! Invariants: bounds hold for every value that is neither NULL nor NaN; they are absent for types without an order
//! (intervals, nested values) and where they would be long; counts and sums are exact, but for sums of floats, which are
//! those of the rows as one morsel.
//! Next: `sums.rs`, `sketch.rs`, `column.rs`.

use std::{cmp::Ordering, ops::Range, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryViewArray, BooleanArray, Float32Array,
        PrimitiveArray, StringViewArray, UInt16Array, UInt32Array,
    },
    compute,
    datatypes::*,
};

use crate::{
    VECTOR_SIZE,
    encoding::{Encoding, run_lengths},
    error::Result,
    ledger::array_bytes,
    prune::ColumnRange,
    scalar::Scalar,
    table::{
        sketch::Sketch,
        sums::{self, ExactSums, Sums},
    },
    types::LogicalType,
    vector::{NarrowVector, Vector},
};

/// Longest text or blob, in bytes, that is kept as a bound.
const LONGEST_BOUND: usize = 256;

/// What is known of consecutive rows of a column. Plain data: saved databases hold it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Statistics {
    /// How many rows.
    pub rows: usize,
    /// How many of them are NULL.
    pub nulls: usize,
    /// How many are NaN.
    pub nans: usize,
    /// Whether nothing but the number of rows is known; what the other fields say is meaningless then.
    pub unknown: bool,
    /// The least of the values that are neither NULL nor NaN; absent when there is none, for types without an order and
    /// for long texts.
    pub min: Option<Scalar>,
    /// The greatest of them; absent as `min`.
    pub max: Option<Scalar>,
    /// Sums of the values.
    pub sums: Sums,
}

impl Statistics {
    /// The statistics of the rows of a range, of at most 2^16 rows.
    pub(crate) fn of(encoding: &Encoding, ty: &LogicalType, rows: Range<usize>) -> Result<Self> {
        let nulls = encoding.null_count(rows.clone());
        let len = rows.len();
        if nulls == len {
            let sums = match ty {
                _ if sums::is_exact(ty) => Sums::Exact(ExactSums::default()),
                _ if ty.is_float() => sums::float(&[], None),
                _ => Sums::None,
            };
            return Ok(Self { rows: len, nulls, sums, ..Self::default() });
        }
        if ty.is_float() {
            return Self::of_floats(&encoding.read(ty, rows)?, nulls);
        }
        let mut known = Self { rows: len, nulls, ..Self::default() };
        [known.min, known.max] = bounds_of(encoding, ty, rows.clone())?;
        let bound = |bound: &Option<Scalar>| bound.as_ref().and_then(Scalar::as_i128);
        let whole = bound(&known.min).zip(bound(&known.max));
        known.sums = sums::exact(encoding, ty, rows, whole)?;
        Ok(known)
    }

    /// Those of rows of which nothing is known.
    pub(crate) fn unknown(rows: usize) -> Self {
        Self { rows, unknown: true, ..Self::default() }
    }

    fn of_floats(vector: &Vector, nulls: usize) -> Result<Self> {
        let array = vector.flatten()?;
        let single = *array.data_type() == DataType::Float32;
        let doubles = match single {
            true => compute::cast(&array, &DataType::Float64)?,
            false => array,
        };
        let doubles = doubles.as_primitive::<Float64Type>();
        let holes = doubles.nulls().filter(|nulls| nulls.null_count() > 0);
        let compacted = holes.map(|nulls| sums::compact(doubles.values(), nulls));
        let values = compacted.as_deref().unwrap_or(doubles.values());
        let (min, max, nans) = float_bounds(values);
        let scalar = |value: f64| -> Result<Scalar> {
            #[expect(clippy::cast_possible_truncation, reason = "a value that was single")]
            let narrow = |value: f64| Float32Array::from(vec![value as f32]);
            if single { Scalar::from_array(&narrow(value), 0) } else { Ok(Scalar::float64(value)) }
        };
        let [min, max] = match nans < values.len() {
            true => [Some(scalar(min)?), Some(scalar(max)?)],
            false => [None, None],
        };
        let (rows, sums) = (vector.len(), sums::float(doubles.values(), holes));
        Ok(Self { rows, nulls, nans, min, max, sums, unknown: false })
    }

    /// How many values are neither NULL nor NaN.
    pub fn ordered(&self) -> usize {
        self.rows - self.nulls - self.nans
    }

    /// The statistics of these rows and those of `other` after them together. Sums of floats are those of the parts one
    /// after the other, which are not those of one morsel.
    pub(crate) fn merge(&mut self, other: &Self) {
        if self.unknown || other.unknown {
            *self = Self::unknown(self.rows + other.rows);
            return;
        }
        match (&mut self.sums, &other.sums) {
            (Sums::Exact(mine), Sums::Exact(other)) => mine.merge(other),
            (Sums::Float { sum, moment }, Sums::Float { sum: other_sum, moment: other }) => {
                sum.merge(*other_sum);
                moment.merge(*other);
            }
            (mine, other) if self.rows == 0 => *mine = other.clone(),
            (mine, _) if other.rows > 0 => *mine = Sums::None,
            _ => {}
        }
        if self.ordered() == 0 {
            (self.min, self.max) = (other.min.clone(), other.max.clone());
        } else if other.ordered() > 0 {
            self.min = extreme(self.min.take(), other.min.as_ref(), Ordering::Less);
            self.max = extreme(self.max.take(), other.max.as_ref(), Ordering::Greater);
        }
        self.rows += other.rows;
        self.nulls += other.nulls;
        self.nans += other.nans;
    }

    /// What a predicate may use. The number of NULLs is not known once rows are deleted, unless there was none.
    pub(crate) fn range(&self, deletes: bool) -> ColumnRange {
        if self.unknown {
            return ColumnRange::default();
        }
        let nulls = (!deletes || self.nulls == 0).then_some(self.nulls as u64);
        ColumnRange { min: self.min.clone(), max: self.max.clone(), nulls, no_nan: self.nans == 0 }
    }

    /// Bytes of the counts and bounds, as the ledger counts them.
    pub(crate) fn bytes(&self) -> u64 {
        let bound = |bound: &Option<Scalar>| {
            bound.as_ref().map_or(0, |bound| array_bytes(bound.array().as_ref()))
        };
        bound(&self.min) + bound(&self.max) + 9
    }

    /// Bytes of all that is known, as the ledger counts them.
    pub(crate) fn all_bytes(&self) -> u64 {
        let sums = match self.sums {
            Sums::None => 0,
            Sums::Exact(_) => 36,
            Sums::Float { .. } => 40,
        };
        self.bytes() + sums
    }
}

/// Least and greatest value of rows of which one is not NULL, for types other than floats.
fn bounds_of(
    encoding: &Encoding,
    ty: &LogicalType,
    rows: Range<usize>,
) -> Result<[Option<Scalar>; 2]> {
    let len = rows.len();
    let values = match encoding {
        Encoding::Constant(value) => Arc::clone(value.array()),
        Encoding::Plain(array) | Encoding::View(array) => array.slice(rows.start, len),
        Encoding::Narrow { base, offsets } => {
            let scalar = |offsets: ArrayRef| {
                let (ty, base) = (ty.clone(), *base);
                Vector::Narrow(NarrowVector { ty, base, offsets, charge: None }).scalar(0)
            };
            return match bounds(&offsets.slice(rows.start, len)) {
                None => Ok([None, None]),
                Some([min, max]) => Ok([Some(scalar(min)?), Some(scalar(max)?)]),
            };
        }
        Encoding::Dictionary { values, .. } => {
            let codes = used_codes(encoding, ty, rows, values.values().len())?;
            compute::take(values.values(), &codes, None)?
        }
        Encoding::RunEnd { ends, values } => {
            let mut runs = run_lengths(ends, rows).map(|(run, _)| run);
            let first = runs.next().unwrap_or(0);
            values.slice(first, runs.last().unwrap_or(first) + 1 - first)
        }
    };
    let [min, max] = match bounds(&values) {
        None => [None, None],
        Some(bounds) => bounds.map(|array| short(&array)),
    };
    Ok([min.transpose()?, max.transpose()?])
}

/// Least and greatest of values, NaN left out, and how many are NaN.
fn float_bounds(values: &[f64]) -> (f64, f64, usize) {
    const LANES: usize = 8;
    let mut mins = [f64::INFINITY; LANES];
    let mut maxs = [f64::NEG_INFINITY; LANES];
    let mut nans = [0_usize; LANES];
    let mut see = |lane: usize, value: f64| {
        mins[lane] = if value < mins[lane] { value } else { mins[lane] };
        maxs[lane] = if value > maxs[lane] { value } else { maxs[lane] };
        nans[lane] += usize::from(value.is_nan());
    };
    let (chunks, tail) = values.as_chunks::<LANES>();
    for chunk in chunks {
        chunk.iter().enumerate().for_each(|(lane, &value)| see(lane, value));
    }
    tail.iter().enumerate().for_each(|(lane, &value)| see(lane, value));
    let min = mins.into_iter().fold(f64::INFINITY, f64::min);
    let max = maxs.into_iter().fold(f64::NEG_INFINITY, f64::max);
    (min, max, nans.iter().sum())
}

/// The codes that occur among the rows of a dictionary column, ascending.
fn used_codes(
    encoding: &Encoding,
    ty: &LogicalType,
    rows: Range<usize>,
    entries: usize,
) -> Result<UInt32Array> {
    let Vector::Dictionary(vector) = encoding.read(ty, rows)? else {
        return Ok(UInt32Array::from(Vec::<u32>::new()));
    };
    let mut used = vec![false; entries];
    let codes = vector.codes_u32();
    match vector.codes.nulls().filter(|nulls| nulls.null_count() > 0) {
        None => codes.iter().for_each(|&code| used[code as usize] = true),
        Some(nulls) => nulls.valid_indices().for_each(|row| used[codes[row] as usize] = true),
    }
    Ok((0..).zip(used).filter(|(_, used)| *used).map(|(code, _)| code).collect())
}

/// The scalar of a bound, unless it is long.
fn short(array: &ArrayRef) -> Option<Result<Scalar>> {
    let length = match array.data_type() {
        DataType::Utf8View => array.as_string_view().value(0).len(),
        DataType::BinaryView => array.as_binary_view().value(0).len(),
        _ => 0,
    };
    (length <= LONGEST_BOUND).then(|| Scalar::from_array(array.as_ref(), 0))
}

/// The lesser or greater of two bounds; unknown if one of them is.
fn extreme(mine: Option<Scalar>, other: Option<&Scalar>, wanted: Ordering) -> Option<Scalar> {
    let (mine, other) = (mine?, other?);
    Some(if compare(other, &mine)? == wanted { other.clone() } else { mine })
}

fn compare(a: &Scalar, b: &Scalar) -> Option<Ordering> {
    if let (Some(a), Some(b)) = (a.as_i128(), b.as_i128()) {
        return Some(a.cmp(&b));
    }
    if let (Some(a), Some(b)) = (a.as_f64(), b.as_f64()) {
        return a.partial_cmp(&b);
    }
    if let (Some(a), Some(b)) = (a.as_bool(), b.as_bool()) {
        return Some(a.cmp(&b));
    }
    Some(a.as_bytes()?.cmp(b.as_bytes()?))
}

/// Least and greatest value of a canonical array as one-row arrays, NULL left out; none for floats.
fn bounds(array: &ArrayRef) -> Option<[ArrayRef; 2]> {
    macro_rules! ordered {
        ($($arrow:ident),*) => {
            match array.data_type() {
                DataType::Boolean => {
                    let values = array.as_boolean();
                    let pair = [compute::min_boolean(values), compute::max_boolean(values)];
                    both(pair.map(|v| v.map(|v| Arc::new(BooleanArray::from(vec![v])) as ArrayRef)))
                }
                DataType::Utf8View => {
                    let values = array.as_string_view();
                    let pair = [compute::min_string_view(values), compute::max_string_view(values)];
                    both(pair.map(|v| v.map(|v| Arc::new(StringViewArray::from(vec![v])) as ArrayRef)))
                }
                DataType::BinaryView => {
                    let values = array.as_binary_view();
                    let pair = [compute::min_binary_view(values), compute::max_binary_view(values)];
                    both(pair.map(|v| v.map(|v| Arc::new(BinaryViewArray::from(vec![v])) as ArrayRef)))
                }
                DataType::Decimal128(..) => integers::<Decimal128Type>(array),
                DataType::Timestamp(TimeUnit::Second, _) => integers::<TimestampSecondType>(array),
                DataType::Timestamp(TimeUnit::Millisecond, _) => integers::<TimestampMillisecondType>(array),
                DataType::Timestamp(TimeUnit::Microsecond, _) => integers::<TimestampMicrosecondType>(array),
                DataType::Timestamp(TimeUnit::Nanosecond, _) => integers::<TimestampNanosecondType>(array),
                $(ty if *ty == $arrow::DATA_TYPE => integers::<$arrow>(array),)*
                _ => None,
            }
        };
    }
    ordered!(
        Int8Type,
        Int16Type,
        Int32Type,
        Int64Type,
        UInt8Type,
        UInt16Type,
        UInt32Type,
        UInt64Type,
        Date32Type,
        Time32SecondType,
        Time32MillisecondType,
        Time64MicrosecondType,
        Time64NanosecondType,
        DurationSecondType,
        DurationMillisecondType,
        DurationMicrosecondType,
        DurationNanosecondType
    )
}

fn both(pair: [Option<ArrayRef>; 2]) -> Option<[ArrayRef; 2]> {
    let [min, max] = pair;
    Some([min?, max?])
}

fn one<T: ArrowPrimitiveType>(value: T::Native, like: &ArrayRef) -> ArrayRef {
    let array = PrimitiveArray::<T>::new(vec![value].into(), None);
    Arc::new(array.with_data_type(like.data_type().clone()))
}

fn integers<T: ArrowPrimitiveType<Native: PartialOrd>>(array: &ArrayRef) -> Option<[ArrayRef; 2]> {
    let values = array.as_primitive::<T>();
    let pair = [compute::min(values)?, compute::max(values)?];
    Some(pair.map(|value| one::<T>(value, array)))
}

/// The sketch of a column's distinct values; `None` when its type has none. Values are hashed in canonical layout, so that
/// sketches of different encodings agree.
pub(crate) fn sketch(encoding: &Encoding, ty: &LogicalType) -> Option<Sketch> {
    let mut sketch = Sketch::new();
    let values = match encoding {
        Encoding::Constant(value) => value.array(),
        Encoding::Plain(array) | Encoding::View(array) => array,
        Encoding::Narrow { base, offsets } => {
            let offsets = &distinct_offsets(offsets);
            for at in (0..offsets.len()).step_by(VECTOR_SIZE) {
                let offsets = offsets.slice(at, VECTOR_SIZE.min(offsets.len() - at));
                let vector = NarrowVector { ty: ty.clone(), base: *base, offsets, charge: None };
                let values = Vector::Narrow(vector).flatten().ok()?;
                sketch.add_array(values.as_ref()).then_some(())?;
            }
            return Some(sketch);
        }
        Encoding::Dictionary { values, .. } => values.values(),
        Encoding::RunEnd { values, .. } => values,
    };
    sketch.add_array(values.as_ref()).then_some(sketch)
}

/// Each offset of one or two bytes once; wider ones as they are.
fn distinct_offsets(offsets: &ArrayRef) -> ArrayRef {
    fn used<T: ArrowPrimitiveType<Native: Into<u16>>>(offsets: &ArrayRef) -> ArrayRef {
        let array = offsets.as_primitive::<T>();
        let mut used = vec![false; 1 << 16];
        let mut mark = |value: T::Native| used[usize::from(value.into())] = true;
        match array.nulls().filter(|nulls| nulls.null_count() > 0) {
            None => array.values().iter().for_each(|&value| mark(value)),
            Some(nulls) => nulls.valid_indices().for_each(|row| mark(array.value(row))),
        }
        let distinct = (0..=u16::MAX).zip(used).filter(|(_, used)| *used);
        Arc::new(distinct.map(|(value, _)| Some(value)).collect::<UInt16Array>())
    }
    match offsets.data_type() {
        DataType::UInt8 => used::<UInt8Type>(offsets),
        DataType::UInt16 => used::<UInt16Type>(offsets),
        _ => Arc::clone(offsets),
    }
}
