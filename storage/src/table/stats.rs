//! What is known of the values of a block, a segment's column, a table's column.
//!
//! Invariants: bounds hold for every value that is neither NULL nor NaN; they are absent for types without an order
//! (intervals, nested values) and where they would be long; counts are exact.
//! Next: `sketch.rs`, `column.rs`.

use std::{cmp::Ordering, ops::Range, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryViewArray, BooleanArray,
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
    table::sketch::Sketch,
    types::LogicalType,
    vector::{NarrowVector, Vector},
};

/// Longest text or blob, in bytes, that is kept as a bound.
const LONGEST_BOUND: usize = 256;

/// What is known of consecutive rows of a column.
#[derive(Debug, Clone, Default)]
pub(crate) struct Statistics {
    pub(crate) rows: usize,
    nulls: usize,
    /// Whether a value is NaN.
    nan: bool,
    min: Option<Scalar>,
    max: Option<Scalar>,
}

impl Statistics {
    /// The statistics of the rows of a range.
    pub(crate) fn of(encoding: &Encoding, ty: &LogicalType, rows: Range<usize>) -> Result<Self> {
        let nulls = encoding.null_count(rows.clone());
        let len = rows.len();
        let values = match encoding {
            _ if nulls == len => return Ok(Self { rows: len, nulls, ..Self::default() }),
            Encoding::Constant(value) => Arc::clone(value.array()),
            Encoding::Plain(array) | Encoding::View(array) => array.slice(rows.start, len),
            Encoding::Narrow { base, offsets } => {
                return Self::of_narrow(*base, &offsets.slice(rows.start, len), ty, nulls);
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
        let (bounds, nan) = bounds(&values);
        let [min, max] = match bounds {
            None => [None, None],
            Some(bounds) => bounds.map(|array| short(&array)),
        };
        Ok(Self { rows: len, nulls, nan, min: min.transpose()?, max: max.transpose()? })
    }

    /// Those of rows of which nothing is known.
    pub(crate) fn unknown(rows: usize) -> Self {
        Self { rows, nulls: 0, nan: true, min: None, max: None }
    }

    fn of_narrow(base: i64, offsets: &ArrayRef, ty: &LogicalType, nulls: usize) -> Result<Self> {
        let scalar = |offsets: &ArrayRef| {
            let vector =
                NarrowVector { ty: ty.clone(), base, offsets: offsets.clone(), charge: None };
            Vector::Narrow(vector).scalar(0)
        };
        let (min, max) = match bounds(offsets).0 {
            None => (None, None),
            Some([min, max]) => (Some(scalar(&min)?), Some(scalar(&max)?)),
        };
        Ok(Self { rows: offsets.len(), nulls, nan: false, min, max })
    }

    /// The statistics of these rows and those of `other` together.
    pub(crate) fn merge(&mut self, other: &Self) {
        let mine = self.rows == self.nulls && !self.nan;
        if mine {
            (self.min, self.max) = (other.min.clone(), other.max.clone());
        } else if other.rows > other.nulls {
            self.min = extreme(self.min.take(), other.min.as_ref(), Ordering::Less);
            self.max = extreme(self.max.take(), other.max.as_ref(), Ordering::Greater);
        }
        self.rows += other.rows;
        self.nulls += other.nulls;
        self.nan |= other.nan;
    }

    /// What a predicate may use. The number of NULLs is not known once rows are deleted, unless there was none.
    pub(crate) fn range(&self, deletes: bool) -> ColumnRange {
        let nulls = (!deletes || self.nulls == 0).then_some(self.nulls as u64);
        ColumnRange { min: self.min.clone(), max: self.max.clone(), nulls, no_nan: !self.nan }
    }

    /// Bytes of these statistics, as the ledger counts them.
    pub(crate) fn bytes(&self) -> u64 {
        let bound = |bound: &Option<Scalar>| {
            bound.as_ref().map_or(0, |bound| array_bytes(bound.array().as_ref()))
        };
        bound(&self.min) + bound(&self.max) + 9
    }
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

/// Least and greatest value of a canonical array as one-row arrays, NULL and NaN left out; and whether NaN occurs.
fn bounds(array: &ArrayRef) -> (Option<[ArrayRef; 2]>, bool) {
    macro_rules! ordered {
        ($($arrow:ident),*) => {
            match array.data_type() {
                DataType::Float32 => return floats::<Float32Type>(array),
                DataType::Float64 => return floats::<Float64Type>(array),
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
    let found = ordered!(
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
    );
    (found, false)
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

fn floats<T>(array: &ArrayRef) -> (Option<[ArrayRef; 2]>, bool)
where
    T: ArrowPrimitiveType<Native: PartialOrd>,
{
    let values = array.as_primitive::<T>();
    let mut found: Option<(T::Native, T::Native)> = None;
    let mut nan = false;
    let mut see = |value: T::Native| {
        // NaN alone is not comparable with itself.
        if value.partial_cmp(&value).is_none() {
            nan = true;
            return;
        }
        let (min, max) = found.get_or_insert((value, value));
        *min = if value < *min { value } else { *min };
        *max = if value > *max { value } else { *max };
    };
    match values.nulls().filter(|nulls| nulls.null_count() > 0) {
        None => values.values().iter().for_each(|&value| see(value)),
        Some(nulls) => nulls.valid_indices().for_each(|row| see(values.value(row))),
    }
    (found.map(|(min, max)| [one::<T>(min, array), one::<T>(max, array)]), nan)
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
