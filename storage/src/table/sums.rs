//! Sums and sums of squares of consecutive rows of a column.
//!
//! Invariants: those of whole numbers (decimals unscaled) are exact; those of floats are what an aggregation keeps of the
//! same rows as one morsel, bit for bit, so that an answer from statistics and one from a scan are the same.
//! Next: `stats.rs`; `../reproducible_sum.rs`, `../moment.rs`.

use std::ops::Range;

use arrow::{
    array::{Array, ArrayRef, AsArray, PrimitiveArray, UInt32Array, downcast_integer_array},
    buffer::NullBuffer,
    compute,
    datatypes::{ArrowPrimitiveType, DataType, Decimal128Type, i256},
};

use crate::{
    encoding::{Encoding, run_lengths},
    error::{Result, StorageError},
    moment::{Moment, MomentSum},
    reproducible_sum::{Accumulator, LaneSum},
    types::LogicalType,
    vector::Vector,
};

/// The sums of consecutive rows of a column, NULLs left out.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Sums {
    /// The type has none, or they are not known.
    #[default]
    None,
    /// Of integers, and of decimals of up to 26 digits, unscaled.
    Exact(ExactSums),
    /// Of floats.
    Float {
        /// The sum.
        sum: Accumulator,
        /// Mean and squared deviations.
        moment: Moment,
    },
}

/// Exact sums of whole numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ExactSums {
    /// The sum.
    pub sum: i128,
    /// The sum of squares, without what left 128 bits; zero for decimals of more than 18 digits.
    pub squares: u128,
    /// How often it left 128 bits.
    pub carries: u32,
}

impl ExactSums {
    /// Those of a sum of squares that is not negative.
    pub(crate) fn new(sum: i128, squares: i256) -> Self {
        let mut sums = Self { sum, ..Self::default() };
        sums.add_wide(squares);
        sums
    }

    /// Adds what another one holds.
    pub fn merge(&mut self, other: &Self) {
        self.sum += other.sum;
        self.add_square(other.squares);
        self.carries += other.carries;
    }

    #[inline]
    fn add_square(&mut self, square: u128) {
        let (sum, over) = self.squares.overflowing_add(square);
        self.squares = sum;
        self.carries += u32::from(over);
    }

    /// Adds a value of up to 64 bits of magnitude as often as `count` says.
    fn add(&mut self, value: i128, count: usize) {
        let square = i256::from_parts(value.unsigned_abs().wrapping_pow(2), 0);
        self.sum += value * count as i128;
        self.add_wide(square.wrapping_mul(i256::from_i128(count as i128)));
    }

    fn add_wide(&mut self, squares: i256) {
        let (low, high) = squares.to_parts();
        self.add_square(low);
        // Up to 2^16 squares of 128 bits leave 128 bits fewer than 2^16 times.
        self.carries += u32::try_from(high).unwrap_or_default();
    }

    /// The sums of `count` values that are `base` and more, given those of what is more.
    /// The base has up to 64 bits of magnitude, offsets have up to 32.
    pub fn above(base: i128, count: usize, offsets: u64, squares: u128) -> Self {
        let wide = |value: i128| i256::from_i128(value);
        let count = count as i128;
        let sum = base * count + i128::from(offsets);
        let base = wide(base);
        let twice = base.wrapping_mul(wide(2 * i128::from(offsets)));
        let squared = base.wrapping_mul(base).wrapping_mul(wide(count));
        let rest = i256::from_parts(squares, 0);
        let squares = squared.wrapping_add(twice).wrapping_add(rest);
        Self::new(sum, squares)
    }
}

/// Whether sums of a type are kept as exact ones.
pub(crate) fn is_exact(ty: &LogicalType) -> bool {
    ty.is_integer() || matches!(ty, LogicalType::Decimal { precision: 0..=26, .. })
}

/// The exact sums of rows of a column whose values that are not NULL lie between the given bounds; `Sums::None` when the
/// type has none.
pub(crate) fn exact(
    encoding: &Encoding,
    ty: &LogicalType,
    rows: Range<usize>,
    bounds: Option<(i128, i128)>,
) -> Result<Sums> {
    let Some(bounds) = bounds.filter(|_| is_exact(ty)) else { return Ok(Sums::None) };
    let mut sums = ExactSums::default();
    match encoding {
        Encoding::Constant(_) => sums.add(bounds.0, rows.len()),
        Encoding::Plain(array) | Encoding::View(array) => {
            sums = of_array(&array.slice(rows.start, rows.len()), bounds)?;
        }
        Encoding::Narrow { base, offsets } => {
            let base = i128::from(*base);
            let array = offsets.slice(rows.start, rows.len());
            let count = rows.len() - array.null_count();
            let inner = of_array(&array, (bounds.0 - base, bounds.1 - base))?;
            sums = match u64::try_from(inner.sum) {
                _ if base == 0 => inner,
                Ok(offsets) => ExactSums::above(base, count, offsets, inner.squares),
                Err(_) => return Err(misfit()),
            };
        }
        Encoding::Dictionary { values, .. } => {
            let counts = code_counts(encoding, ty, rows)?;
            let used: UInt32Array =
                (0..).zip(&counts).filter(|(_, count)| **count > 0).map(|(code, _)| code).collect();
            let entries = whole_numbers(&compute::take(values.values(), &used, None)?)?;
            for (value, &code) in entries.into_iter().zip(used.values()) {
                if let Some(value) = value {
                    sums.add(value, counts[code as usize] as usize);
                }
            }
        }
        Encoding::RunEnd { ends, values } => {
            let runs: Vec<(usize, usize)> = run_lengths(ends, rows).collect();
            let first = runs.first().map_or(0, |(run, _)| *run);
            let entries = whole_numbers(&values.slice(first, runs.len()))?;
            for (value, (_, count)) in entries.into_iter().zip(runs) {
                if let Some(value) = value {
                    sums.add(value, count);
                }
            }
        }
    }
    Ok(Sums::Exact(sums))
}

fn misfit() -> StorageError {
    StorageError::Internal("a column's layout is not that of its type".into())
}

/// How often each entry of a dictionary column's dictionary occurs among rows.
pub(crate) fn code_counts(
    encoding: &Encoding,
    ty: &LogicalType,
    rows: Range<usize>,
) -> Result<Vec<u32>> {
    let Vector::Dictionary(vector) = encoding.read(ty, rows)? else { return Err(misfit()) };
    let mut counts = vec![0; vector.dictionary.values().len()];
    let codes = vector.codes_u32();
    match vector.codes.nulls().filter(|nulls| nulls.null_count() > 0) {
        None => codes.iter().for_each(|&code| counts[code as usize] += 1),
        Some(nulls) => nulls.valid_indices().for_each(|row| counts[codes[row] as usize] += 1),
    }
    Ok(counts)
}

/// The values of an array of whole numbers, one by one.
fn whole_numbers(array: &ArrayRef) -> Result<Vec<Option<i128>>> {
    if let Some(values) = array.as_primitive_opt::<Decimal128Type>() {
        return Ok(values.iter().collect());
    }
    downcast_integer_array!(
        array => Ok(array.iter().map(|value| value.map(i128::from)).collect()),
        _ => Err(misfit())
    )
}

fn of_array(array: &ArrayRef, bounds: (i128, i128)) -> Result<ExactSums> {
    if let Some(values) = array.as_primitive_opt::<Decimal128Type>() {
        let mut sums = ExactSums::default();
        for value in &*valid(values) {
            sums.sum += value;
            sums.add_square(value.unsigned_abs().wrapping_pow(2));
        }
        if matches!(array.data_type(), DataType::Decimal128(19.., _)) {
            (sums.squares, sums.carries) = (0, 0);
        }
        return Ok(sums);
    }
    downcast_integer_array!(
        array => Ok(of_integers(&valid(array), bounds)),
        _ => Err(misfit())
    )
}

/// The values that are not NULL, in order.
fn valid<T: ArrowPrimitiveType>(array: &PrimitiveArray<T>) -> std::borrow::Cow<'_, [T::Native]> {
    match array.nulls().filter(|nulls| nulls.null_count() > 0) {
        None => array.values().as_ref().into(),
        Some(nulls) => compact(array.values(), nulls).into(),
    }
}

/// The values that are not NULL, in order.
pub(crate) fn compact<T: Copy + Default>(values: &[T], nulls: &NullBuffer) -> Vec<T> {
    let mut kept = vec![T::default(); values.len()];
    let mut at = 0;
    for (&value, valid) in values.iter().zip(nulls.inner()) {
        // Written in any case and kept where valid: no branch to guess.
        kept[at] = value;
        at += usize::from(valid);
    }
    kept.truncate(at);
    kept
}

/// A whole number of up to 64 bits.
trait Whole: Copy {
    /// From a number of the type.
    fn narrow(value: i128) -> Self;
    /// How far the value lies above a base, modulo 2^32.
    fn above(self, base: Self) -> u32;
    fn wide(self) -> i128;
}

macro_rules! whole {
    ($($signed:ident $unsigned:ident),*) => {
        $(
            whole!(@ $signed, $unsigned);
            whole!(@ $unsigned, $unsigned);
        )*
    };
    (@ $type:ident, $unsigned:ident) => {
        #[expect(clippy::cast_possible_truncation, reason = "values of the type, or modulo 2^32")]
        #[allow(clippy::unnecessary_cast, clippy::cast_lossless, reason = "a type of several")]
        impl Whole for $type {
            #[inline]
            fn narrow(value: i128) -> Self {
                value as Self
            }
            #[inline]
            fn above(self, base: Self) -> u32 {
                self.wrapping_sub(base) as $unsigned as u32
            }
            #[inline]
            fn wide(self) -> i128 {
                self.into()
            }
        }
    };
}
whole!(i8 u8, i16 u16, i32 u32, i64 u64);

/// The sums of up to 2^16 values between the given bounds.
fn of_integers<T: Whole>(values: &[T], (min, max): (i128, i128)) -> ExactSums {
    if max - min <= u32::MAX.into() {
        let (offsets, squares) = offset_sums(values, T::narrow(min));
        return ExactSums::above(min, values.len(), offsets, squares);
    }
    let mut sums = ExactSums::default();
    for value in values {
        let value = value.wide();
        sums.sum += value;
        sums.add_square(value.unsigned_abs().wrapping_pow(2));
    }
    sums
}

/// The sum of the distances from a base, which are below 2^32, and of their squares.
fn offset_sums<T: Whole>(values: &[T], base: T) -> (u64, u128) {
    // 2^16 numbers of 32 bits, and halves of as many squares, stay within 64 bits.
    let (mut sum, mut low, mut high) = (0_u64, 0_u64, 0_u64);
    for &value in values {
        let offset = u64::from(value.above(base));
        let square = offset * offset;
        sum += offset;
        low += square & 0xffff_ffff;
        high += square >> 32;
    }
    (sum, u128::from(low) + (u128::from(high) << 32))
}

/// The sums of doubles, in row order.
pub(crate) fn float(values: &[f64], nulls: Option<&NullBuffer>) -> Sums {
    let (mut lanes, mut moment) = (LaneSum::default(), MomentSum::default());
    match nulls {
        None => {
            lanes.add(values);
            moment.add(values);
        }
        Some(nulls) => {
            lanes.add_masked(values, nulls.inner());
            moment.add_masked(values, nulls.inner());
        }
    }
    Sums::Float { sum: lanes.total(), moment: moment.total() }
}
