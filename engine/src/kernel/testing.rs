//! Random values of every type in every encoding, for the tests of kernels and operators.
//!
//! Invariant: everything follows from the seed.

use std::{ops::Not, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryViewArray, BooleanArray,
        Decimal128Array, Float32Array, Float64Array, Int32Array, Int64Array, ListArray,
        PrimitiveArray, StringViewArray, StructArray, UInt8Array, UInt32Array,
    },
    buffer::{NullBuffer, OffsetBuffer},
    compute,
    datatypes::{
        DataType, Field, IntervalMonthDayNano, IntervalMonthDayNanoType, UInt8Type, UInt16Type,
        UInt32Type,
    },
    util::display::{ArrayFormatter, FormatOptions},
};
use stoadb_storage::{
    DictionaryValues, LogicalType, Scalar, TimeUnit, Vector,
    interval::{interval_length, interval_of_length},
    vector::{DictionaryVector, NarrowVector},
};

/// A small generator of random numbers.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 11) % n
    }
}

/// Every type, nested ones included.
pub(crate) fn types() -> Vec<LogicalType> {
    let mut types = flat_types();
    types.push(LogicalType::List(Arc::new(Field::new("item", DataType::Float64, true))));
    types.push(LogicalType::Struct(
        vec![Field::new("a", DataType::Int32, true), Field::new("b", DataType::Utf8View, true)]
            .into(),
    ));
    types
}

/// Every type that is not nested.
pub(crate) fn flat_types() -> Vec<LogicalType> {
    use LogicalType as T;
    vec![
        T::Boolean,
        T::Int8,
        T::Int16,
        T::Int32,
        T::Int64,
        T::UInt8,
        T::UInt16,
        T::UInt32,
        T::UInt64,
        T::Float32,
        T::Float64,
        T::Decimal { precision: 9, scale: 2 },
        T::Decimal { precision: 18, scale: 0 },
        T::Decimal { precision: 38, scale: 10 },
        T::Text,
        T::Blob,
        T::Date,
        T::Time(TimeUnit::Second),
        T::Time(TimeUnit::Microsecond),
        T::Timestamp(TimeUnit::Nanosecond, None),
        T::Timestamp(TimeUnit::Microsecond, Some("+00:00".into())),
        T::Duration(TimeUnit::Millisecond),
        T::Interval,
    ]
}

/// Random values of a type, extremes and repeats included; one in `nulls` is NULL (0: none).
pub(crate) fn sample(ty: &LogicalType, random: &mut Random, rows: usize, nulls: u64) -> ArrayRef {
    let valid: Vec<bool> = (0..rows).map(|_| nulls == 0 || random.below(nulls) != 0).collect();
    let nulls_of = |valid: &[bool]| (nulls != 0).then(|| NullBuffer::from(valid.to_vec()));
    let validity = nulls_of(&valid);
    let array: ArrayRef = match ty {
        LogicalType::Boolean => {
            Arc::new(BooleanArray::new((0..rows).map(|_| random.below(2) == 0).collect(), validity))
        }
        LogicalType::Float64 => {
            let values: Vec<f64> = (0..rows).map(|_| float(random)).collect();
            Arc::new(Float64Array::new(values.into(), validity))
        }
        LogicalType::Float32 => {
            let values: Vec<f32> = (0..rows).map(|_| float(random) as f32).collect();
            Arc::new(Float32Array::new(values.into(), validity))
        }
        LogicalType::Decimal { precision, .. } => {
            let top = 10_i128.pow(u32::from(*precision)) - 1;
            let extremes = if random.below(2) == 0 { 0 } else { 2 };
            let values: Vec<i128> = (0..rows)
                .map(|_| match random.below(20) + 2 - extremes {
                    0 => top / 1_000_000,
                    1 => -top / 1_000_000,
                    _ => i128::from(random.below(40)) - 20,
                })
                .collect();
            Arc::new(Decimal128Array::new(values.into(), validity).with_data_type(ty.to_arrow()))
        }
        LogicalType::Text => {
            let values: Vec<_> = valid.iter().map(|&v| v.then(|| text(random))).collect();
            Arc::new(StringViewArray::from_iter(values))
        }
        LogicalType::Blob => {
            let values: Vec<_> = valid.iter().map(|&v| v.then(|| text(random))).collect();
            Arc::new(BinaryViewArray::from_iter(values))
        }
        LogicalType::Interval => {
            let values: Vec<_> = (0..rows)
                .map(|_| IntervalMonthDayNano {
                    months: random.below(3) as i32 - 1,
                    days: (random.below(5) as i32 - 2) * [1, 30][random.below(2) as usize],
                    nanoseconds: random.below(3) as i64 - 1,
                })
                .collect();
            Arc::new(arrow::array::IntervalMonthDayNanoArray::new(values.into(), validity))
        }
        LogicalType::List(field) => {
            let lengths: Vec<usize> = (0..rows).map(|_| random.below(4) as usize).collect();
            let values = sample(&LogicalType::Float64, random, lengths.iter().sum(), 4);
            let offsets = OffsetBuffer::from_lengths(lengths);
            Arc::new(ListArray::new(Arc::clone(field), offsets, values, validity))
        }
        LogicalType::Struct(fields) => {
            let children = fields
                .iter()
                .map(|f| sample(&LogicalType::from_arrow(f.data_type()).unwrap(), random, rows, 3))
                .collect();
            Arc::new(StructArray::new(fields.clone(), children, validity))
        }
        _ => whole(ty, random, rows, validity),
    };
    assert_eq!(array.data_type(), &ty.to_arrow());
    array
}

fn whole(
    ty: &LogicalType,
    random: &mut Random,
    rows: usize,
    nulls: Option<NullBuffer>,
) -> ArrayRef {
    let (low, high) = match ty {
        LogicalType::Int8 => (i8::MIN.into(), i8::MAX.into()),
        LogicalType::Int16 => (i16::MIN.into(), i16::MAX.into()),
        LogicalType::Date => (-1_000_000, 1_000_000),
        LogicalType::Timestamp(..) => (-1_000_000_000_000_000, 1_000_000_000_000_000),
        LogicalType::Int32 => (i32::MIN.into(), i32::MAX.into()),
        LogicalType::UInt8 => (0, u8::MAX.into()),
        LogicalType::UInt16 => (0, u16::MAX.into()),
        LogicalType::UInt32 => (0, u32::MAX.into()),
        LogicalType::UInt64 => (0, i64::MAX),
        LogicalType::Time(TimeUnit::Second) => (0, 86_399),
        LogicalType::Time(_) => (0, 86_399_999_999),
        _ => (i64::MIN, i64::MAX),
    };
    // Every other array keeps off the extremes, so that narrow offsets hold it.
    let extremes = if random.below(2) == 0 { 0 } else { 2 };
    let values: Vec<i64> = (0..rows)
        .map(|_| match random.below(30) + 2 - extremes {
            0 => low,
            1 => high,
            _ => (random.below(50) as i64).saturating_sub(if low < 0 { 25 } else { 0 }),
        })
        .collect();
    let values = Int64Array::new(values.into(), nulls);
    let narrow = NarrowVector::from_i64(ty.clone(), values);
    Vector::Narrow(narrow).flatten().unwrap()
}

fn float(random: &mut Random) -> f64 {
    match random.below(14) {
        0 => f64::NAN,
        1 => -f64::NAN,
        2 => 0.0,
        3 => -0.0,
        4 => f64::INFINITY,
        5 => f64::NEG_INFINITY,
        6 => 1e5,
        _ => random.below(40) as f64 / 4.0 - 5.0,
    }
}

fn text(random: &mut Random) -> String {
    let n = random.below(30);
    match n {
        0 => String::new(),
        1..20 => format!("t{n}"),
        _ => format!("a text that is too long to be inlined into a view {n}"),
    }
}

/// The array in every encoding that can hold it; the constant one repeats its first value.
pub(crate) fn encodings(array: &ArrayRef, random: &mut Random) -> Vec<Vector> {
    let ty = LogicalType::from_arrow(array.data_type()).unwrap();
    let mut all = vec![Vector::Flat(Arc::clone(array))];
    if !array.is_empty() {
        let value = Scalar::from_array(array.as_ref(), 0).unwrap();
        all.push(Vector::constant(value, array.len()));
    }
    if !ty.is_nested() {
        all.extend(dictionaries(array, random));
    }
    let castable = ty.is_integer()
        || matches!(ty, LogicalType::Date | LogicalType::Timestamp(..) | LogicalType::Duration(_))
        || matches!(ty, LogicalType::Time(_) | LogicalType::Decimal { precision: 0..=18, .. });
    if castable {
        let values = match array.data_type() {
            DataType::Decimal128(..) => array
                .as_primitive::<arrow::datatypes::Decimal128Type>()
                .iter()
                .map(|v| v.map(|v| v as i64))
                .collect(),
            DataType::Date32 | DataType::Time32(_) => {
                let days = compute::cast(array, &DataType::Int32).unwrap();
                let days: &Int32Array = days.as_primitive();
                days.iter().map(|v| v.map(i64::from)).collect()
            }
            _ => compute::cast(array, &DataType::Int64)
                .unwrap()
                .as_primitive::<arrow::datatypes::Int64Type>()
                .clone(),
        };
        all.push(Vector::Narrow(NarrowVector::from_i64(ty.clone(), values.clone())));
        all.extend(based::<UInt8Type>(&ty, &values));
        all.extend(based::<UInt16Type>(&ty, &values));
        all.extend(based::<UInt32Type>(&ty, &values));
    }
    all
}

/// Offsets of a width from the smallest value or one below it, when they fit; whatever the width holds under NULL.
fn based<T>(ty: &LogicalType, values: &Int64Array) -> Option<Vector>
where
    T: ArrowPrimitiveType<Native: TryFrom<i64> + Not<Output = T::Native>>,
{
    let base = values.iter().flatten().min()?;
    let base = base.saturating_sub(values.len() as i64 % 3);
    let offset = |value: Option<i64>| match value {
        Some(value) => T::Native::try_from(value.checked_sub(base)?).ok(),
        None => Some(!T::Native::default()),
    };
    let offsets: Option<Vec<T::Native>> = values.iter().map(offset).collect();
    let offsets = Arc::new(PrimitiveArray::<T>::new(offsets?.into(), values.nulls().cloned()));
    Some(Vector::Narrow(NarrowVector { ty: ty.clone(), base, offsets, charge: None }))
}

/// A dictionary with an entry a row, in shuffled order, and one with NULLs among the codes instead.
fn dictionaries(array: &ArrayRef, random: &mut Random) -> Vec<Vector> {
    let rows = array.len() as u32;
    let mut order: Vec<u32> = (0..rows).collect();
    for i in (1..order.len()).rev() {
        order.swap(i, random.below(i as u64 + 1) as usize);
    }
    let entries = compute::take(array, &UInt32Array::from(order.clone()), None).unwrap();
    let mut place = vec![0_u32; order.len()];
    for (i, &row) in order.iter().enumerate() {
        place[row as usize] = i as u32;
    }
    let dictionary = Arc::new(DictionaryValues::new(entries));
    let wide = UInt32Array::from(place.clone());
    let with_nulls = UInt32Array::new(place.clone().into(), array.logical_nulls());
    let mut all: Vec<ArrayRef> = vec![Arc::new(wide), Arc::new(with_nulls)];
    if rows < 200 {
        all.push(Arc::new(UInt8Array::from_iter_values(place.iter().map(|&p| p as u8))));
    }
    debug_assert!(all.iter().all(|codes| codes.len() == array.len()));
    all.into_iter()
        .map(|codes| {
            let dictionary = Arc::clone(&dictionary);
            Vector::Dictionary(DictionaryVector { codes, dictionary, charge: None })
        })
        .collect()
}

/// A value as text, equal exactly for values of one group.
pub(crate) fn display(vector: &Vector, row: usize) -> String {
    let mut value = vector.scalar(row).unwrap();
    if vector.ty().unwrap() == LogicalType::Interval && !value.is_null() {
        let spelt = value.array().as_primitive::<IntervalMonthDayNanoType>().value(0);
        let one = interval_of_length(interval_length(spelt));
        let array = arrow::array::IntervalMonthDayNanoArray::from(vec![one]);
        value = Scalar::from_array(&array, 0).unwrap();
    }
    let options = FormatOptions::default().with_null("NULL");
    let formatter = ArrayFormatter::try_new(value.array().as_ref(), &options).unwrap();
    let text = formatter.value(0).to_string();
    if text == "-0.0" {
        return "0.0".into();
    }
    text.replace("-0.0,", "0.0,").replace("-0.0]", "0.0]")
}
