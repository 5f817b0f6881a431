//! Encodes the values of a column of fixed width as `choose.rs` says.
//!
//! Invariants: offsets and codes are 0 under NULL; runs, entries and constants are of canonical layout; the collected
//! chunks are given back while the encoded column is made of them.
//! Next: `distinct.rs`.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayData, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, Decimal128Array,
        Int64Array, PrimitiveArray, UInt8Array, UInt16Array, make_array,
    },
    buffer::{BooleanBuffer, Buffer, NullBuffer},
    datatypes::{DataType, Float32Type, Float64Type, UInt8Type, UInt16Type, UInt32Type},
};

use crate::{
    encoding::Encoding,
    error::Result,
    narrow::FromWide,
    scalar::Scalar,
    table::{
        choose::{Choice, ENCODE_ROWS, Kind, Profile, choose},
        distinct,
        word::{Chunks, Word},
    },
    types::LogicalType,
    vector::DictionaryValues,
};

/// Runs of booleans, which take a bit each when plain, must be so long on average.
const BOOLEAN_RUN_ROWS: usize = 512;

/// The column of collected values.
pub(crate) fn encode<T: Word>(
    mut values: Chunks<T>,
    nulls: Option<NullBuffer>,
    ty: &LogicalType,
) -> Result<Encoding> {
    let rows = values.len();
    if rows < ENCODE_ROWS {
        return plain(values, nulls, ty);
    }
    let kind = Kind::of(ty);
    if let Some(nulls) = &nulls {
        let Some(first) = nulls.valid_indices().next() else {
            return Ok(Encoding::Constant(Scalar::null(ty.clone())));
        };
        // What lies under a NULL shall not widen the range.
        let filler = values.get(first).unwrap_or_default();
        values.fill(null_rows(nulls).set_indices(), filler);
    }
    let Some(profile) = Profile::of(&values, T::flip(kind.signed)) else {
        return plain(values, nulls, ty);
    };
    let null_changes = nulls.as_ref().map(|nulls| changes(nulls.inner()));
    let (choice, most_entries) = choose(rows, null_changes, &profile, kind);
    if let Some((codes, entries)) = distinct::codes(&values, most_entries) {
        let entries = canonical(entries, None, ty)?;
        if are_distinct(&entries) {
            return Ok(dictionary(codes, nulls, entries));
        }
    }
    match choice {
        Choice::Constant => {
            let value = canonical(values.get(0).into_iter().collect(), None, ty)?;
            Ok(Encoding::Constant(Scalar::from_array(value.as_ref(), 0)?))
        }
        Choice::Plain => plain(values, nulls, ty),
        Choice::Narrow { width, base } => Ok(narrow(values, nulls, width, base)),
        Choice::Runs => runs(&values, nulls.as_ref(), ty),
    }
}

/// The rows that are NULL.
fn null_rows(nulls: &NullBuffer) -> BooleanBuffer {
    !nulls.inner()
}

/// How often a bit is unlike the one before.
fn changes(bits: &BooleanBuffer) -> usize {
    match bits.len() {
        0 | 1 => 0,
        len => (&bits.slice(0, len - 1) ^ &bits.slice(1, len - 1)).count_set_bits(),
    }
}

/// Every value as it is; decimals of up to 18 digits as 64-bit integers.
fn plain<T: Word>(
    values: Chunks<T>,
    nulls: Option<NullBuffer>,
    ty: &LogicalType,
) -> Result<Encoding> {
    if Kind::of(ty).decimal && size_of::<T>() == 8 {
        return Ok(narrow(values, nulls, 8, 0));
    }
    Ok(Encoding::Plain(canonical(values.into_vec(), nulls, ty)?))
}

/// An array of canonical layout.
fn canonical<T: Word>(
    values: Vec<T>,
    nulls: Option<NullBuffer>,
    ty: &LogicalType,
) -> Result<ArrayRef> {
    let target = ty.to_arrow();
    if let DataType::Decimal128(..) = target {
        let wide = match size_of::<T>() {
            // The buffer is taken as it is.
            16 => Buffer::from_vec(values).into(),
            _ => values.iter().map(|v| i128::from(v.to_wide(true).unwrap_or(0))).collect(),
        };
        return Ok(Arc::new(Decimal128Array::new(wide, nulls).with_data_type(target)));
    }
    let data = ArrayData::builder(target).len(values.len()).add_buffer(Buffer::from_vec(values));
    Ok(make_array(data.nulls(nulls).build()?))
}

fn narrow<T: Word>(
    values: Chunks<T>,
    nulls: Option<NullBuffer>,
    width: usize,
    base: i64,
) -> Encoding {
    let nulls = nulls.as_ref();
    let offsets = match width {
        1 => offsets::<T, UInt8Type>(values, nulls, base),
        2 => offsets::<T, UInt16Type>(values, nulls, base),
        4 => offsets::<T, UInt32Type>(values, nulls, base),
        _ => {
            let mut all = values.convert(|chunk, all| {
                all.extend(chunk.iter().map(|v| v.to_wide(true).unwrap_or(0)));
            });
            zero(&mut all, nulls);
            Arc::new(Int64Array::new(all.into(), nulls.cloned()))
        }
    };
    Encoding::Narrow { base, offsets }
}

fn offsets<T: Word, O: ArrowPrimitiveType<Native: FromWide>>(
    values: Chunks<T>,
    nulls: Option<&NullBuffer>,
    base: i64,
) -> ArrayRef {
    let base = T::from_wide(base);
    let mut all = values.convert(|chunk, all: &mut Vec<O::Native>| {
        all.extend(
            chunk.iter().map(|value| O::Native::from_wide(value.offset(base).cast_signed())),
        );
    });
    zero(&mut all, nulls);
    Arc::new(PrimitiveArray::<O>::new(all.into(), nulls.cloned()))
}

/// Zeroes what lies under NULL.
fn zero<T: Default>(values: &mut [T], nulls: Option<&NullBuffer>) {
    if let Some(nulls) = nulls {
        null_rows(nulls).set_indices().for_each(|row| values[row] = T::default());
    }
}

/// Whether SQL takes no two entries, whose bits differ, for the same value.
pub(crate) fn are_distinct(entries: &ArrayRef) -> bool {
    fn at_most_one<T: Copy>(values: &[T], is: impl Fn(T) -> bool) -> bool {
        values.iter().filter(|value| is(**value)).count() <= 1
    }
    match entries.data_type() {
        DataType::Float32 => {
            let values = entries.as_primitive::<Float32Type>().values();
            at_most_one(values, f32::is_nan) && at_most_one(values, |v| v == 0.0)
        }
        DataType::Float64 => {
            let values = entries.as_primitive::<Float64Type>().values();
            at_most_one(values, f64::is_nan) && at_most_one(values, |v| v == 0.0)
        }
        _ => true,
    }
}

fn dictionary(mut codes: Vec<u16>, nulls: Option<NullBuffer>, entries: ArrayRef) -> Encoding {
    zero(&mut codes, nulls.as_ref());
    let codes: ArrayRef = match entries.len() {
        #[expect(clippy::cast_possible_truncation, reason = "codes are below 256")]
        ..=0x100 => Arc::new(UInt8Array::new(codes.iter().map(|&c| c as u8).collect(), nulls)),
        _ => Arc::new(UInt16Array::new(codes.into(), nulls)),
    };
    Encoding::Dictionary { codes, values: Arc::new(DictionaryValues::new(entries)) }
}

fn runs<T: Word>(
    values: &Chunks<T>,
    nulls: Option<&NullBuffer>,
    ty: &LogicalType,
) -> Result<Encoding> {
    let (mut ends, mut kept, mut valid) = (vec![], vec![], vec![]);
    let mut last = None;
    for (row, value) in (0_u32..).zip(values.values()) {
        let here = (nulls.is_none_or(|nulls| nulls.is_valid(row as usize)), value);
        if last != Some(here) {
            if last.is_some() {
                ends.push(row);
            }
            valid.push(here.0);
            kept.push(value);
            last = Some(here);
        }
    }
    #[expect(clippy::cast_possible_truncation, reason = "a segment has fewer than 2^32 rows")]
    ends.push(values.len() as u32);
    let nulls = nulls.map(|_| NullBuffer::from(valid));
    Ok(Encoding::RunEnd { ends: ends.into(), values: canonical(kept, nulls, ty)? })
}

/// The column of booleans, of which some are not NULL.
pub(crate) fn encode_booleans(array: &BooleanArray) -> Result<Encoding> {
    let plain = || Encoding::Plain(Arc::new(array.clone()));
    if array.null_count() > 0 {
        return Ok(plain());
    }
    let bits = array.values();
    let runs = changes(bits) + 1;
    if runs == 1 {
        return Ok(Encoding::Constant(Scalar::boolean(bits.value(0))));
    }
    if bits.len() / runs < BOOLEAN_RUN_ROWS {
        return Ok(plain());
    }
    let mut ends = vec![];
    for (from, to) in bits.set_slices() {
        #[expect(clippy::cast_possible_truncation, reason = "a segment has fewer than 2^32 rows")]
        ends.extend([from as u32, to as u32]);
    }
    // Runs alternate, the first one is of FALSE unless it would be empty.
    let first = ends.first() == Some(&0);
    if first {
        ends.remove(0);
    }
    #[expect(clippy::cast_possible_truncation, reason = "a segment has fewer than 2^32 rows")]
    let rows = bits.len() as u32;
    if ends.last() != Some(&rows) {
        ends.push(rows);
    }
    let values: BooleanArray = (0..ends.len()).map(|run| Some((run % 2 == 0) == first)).collect();
    Ok(Encoding::RunEnd { ends: ends.into(), values: Arc::new(values) })
}
