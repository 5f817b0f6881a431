//! Sums, squares and extremes of whole numbers in their own width, of all rows or of those that a mask names.
//!
//! Invariants: sums are exact, whatever the numbers. Rows that the mask leaves out count for nothing, whatever they hold;
//! they become zero, or what changes no extreme, without a branch.
//! Method: a mask's bits become masks of the numbers' width, a piece of rows at a time, from a table of what four or eight
//! bits make; the loops over two slices that remain become vector instructions. 64-bit numbers are squared as halves of
//! 32 bits, and sums of halves kept apart. `wide.rs` has the same loops for the registers that most processors have; these
//! here are for all others, and what those are tested against. Next: `wide.rs`.

#[cfg(target_arch = "x86_64")]
mod wide;

use std::ops::{BitAnd, BitOr, Not};

use arrow::{buffer::BooleanBuffer, datatypes::i256};

use crate::{
    simd::{self, Kernel},
    table::ExactSums,
};

/// Rows whose masks are made at once.
const PIECE: usize = 512;
/// How many bytes ahead of their use numbers are asked for.
const AHEAD: usize = 4096;

/// Offsets of 8, 16 and 32 bits, and whole numbers of 64.
pub trait Lane:
    Copy + Default + Ord + Into<i64> + BitAnd<Output = Self> + BitOr<Output = Self> + Not<Output = Self>
{
    /// Zero.
    const ZERO: Self;
    /// The least number.
    const LEAST: Self;
    /// The greatest number.
    const GREATEST: Self;
    /// The numbers by their type.
    fn numbers(values: &[Self]) -> Numbers<'_>;
    /// A number of the type from one of 64 bits, which it is.
    fn of(value: i64) -> Self;
    /// Makes of each bit a number whose bits are all the same.
    fn expand(bits: u64, masks: &mut [Self; 64]);
    /// The sum of at most 2^16 numbers.
    fn sum(values: impl ExactSizeIterator<Item = Self>) -> i128;
    /// Adds at most 2^16 numbers.
    fn square(values: impl ExactSizeIterator<Item = Self>, squares: &mut Squares);
}

/// Numbers by their type.
#[derive(Debug, Clone, Copy)]
pub enum Numbers<'a> {
    /// Of 8 bits.
    Bits8(&'a [u8]),
    /// Of 16 bits.
    Bits16(&'a [u16]),
    /// Of 32 bits.
    Bits32(&'a [u32]),
    /// Of 64 bits, with a sign.
    Bits64(&'a [i64]),
}

/// Sums of numbers and of their squares. 64-bit numbers are those that lie 2^63 above the ones given.
#[derive(Debug, Clone, Copy, Default)]
pub struct Squares {
    /// How many numbers are shifted so.
    shifted: u64,
    sum: u128,
    /// The squares of the lower halves, the products of the halves, the squares of the upper ones.
    parts: [u128; 3],
}

impl Squares {
    fn total(&self) -> ExactSums {
        let wide = |value: u128| i256::from_parts(value, 0);
        let power = |shift: u8| i256::ONE << shift;
        let [low, mixed, high] = self.parts.map(wide);
        let mut squares = low
            .wrapping_add(mixed.wrapping_mul(power(33)))
            .wrapping_add(high.wrapping_mul(power(64)));
        if self.shifted > 0 {
            // (y - s)^2 = y^2 - 2ys + s^2 for s = 2^63.
            squares = squares
                .wrapping_sub(wide(self.sum).wrapping_mul(power(64)))
                .wrapping_add(wide(self.shifted.into()).wrapping_mul(power(126)));
        }
        let sum = self.sum.wrapping_sub(u128::from(self.shifted) << 63).cast_signed();
        ExactSums::new(sum, squares)
    }

    fn add_parts(&mut self, parts: [[u64; 2]; 3]) {
        for (sum, [total, upper]) in self.parts.iter_mut().zip(parts) {
            *sum += whole(total, upper, 32);
        }
    }
}

/// The sum of at most 2^16 numbers, given modulo 2^64, and the sum of what is above their lowest `bits` bits.
#[inline(always)]
fn whole(total: u64, upper: u64, bits: u32) -> u128 {
    let lower = total.wrapping_sub(upper << bits);
    (u128::from(upper) << bits) + u128::from(lower)
}

/// The numbers that so many bits make, for every value of the bits.
macro_rules! table {
    ($type:ty, $bits:literal) => {{
        let mut table = [[0; $bits]; 1 << $bits];
        let mut at = 0;
        while at < 1 << $bits {
            let mut bit = 0;
            while bit < $bits {
                if at >> bit & 1 == 1 {
                    table[at][bit] = !0;
                }
                bit += 1;
            }
            at += 1;
        }
        table
    }};
}

/// Masks of 64 bits, made of four bits at a time: for loops over doubles.
pub static NIBBLES: [[u64; 4]; 16] = table!(u64, 4);

macro_rules! lane {
    ($type:ty, $bits:literal, $numbers:ident) => {
        const ZERO: Self = 0;
        const LEAST: Self = <$type>::MIN;
        const GREATEST: Self = <$type>::MAX;
        fn numbers(values: &[Self]) -> Numbers<'_> {
            Numbers::$numbers(values)
        }
        fn of(value: i64) -> Self {
            value as $type
        }
        #[inline(always)]
        fn expand(mut bits: u64, masks: &mut [Self; 64]) {
            static TABLE: [[$type; $bits]; 1 << $bits] = table!($type, $bits);
            for masks in masks.as_chunks_mut::<$bits>().0 {
                *masks = TABLE[(bits % (1 << $bits)) as usize];
                bits >>= $bits;
            }
        }
    };
}

impl Lane for u8 {
    lane!(u8, 8, Bits8);
    #[inline(always)]
    fn sum(values: impl ExactSizeIterator<Item = Self>) -> i128 {
        values.fold(0_u32, |sum, value| sum.wrapping_add(value.into())).into()
    }
    #[inline(always)]
    fn square(values: impl ExactSizeIterator<Item = Self>, squares: &mut Squares) {
        let (mut sum, mut square) = (0_u32, 0_u32);
        for value in values {
            let value = u32::from(value);
            sum = sum.wrapping_add(value);
            square = square.wrapping_add(value * value);
        }
        squares.sum += u128::from(sum);
        squares.parts[0] += u128::from(square);
    }
}

impl Lane for u16 {
    lane!(u16, 8, Bits16);
    #[inline(always)]
    fn sum(values: impl ExactSizeIterator<Item = Self>) -> i128 {
        values.fold(0_u32, |sum, value| sum.wrapping_add(value.into())).into()
    }
    #[inline(always)]
    fn square(values: impl ExactSizeIterator<Item = Self>, squares: &mut Squares) {
        let (mut sum, mut total, mut upper) = (0_u32, 0_u32, 0_u32);
        for value in values {
            let square = u32::from(value) * u32::from(value);
            sum = sum.wrapping_add(value.into());
            total = total.wrapping_add(square);
            upper = upper.wrapping_add(square >> 16);
        }
        squares.sum += u128::from(sum);
        let lower = total.wrapping_sub(upper << 16);
        squares.parts[0] += (u128::from(upper) << 16) + u128::from(lower);
    }
}

impl Lane for u32 {
    lane!(u32, 4, Bits32);
    #[inline(always)]
    fn sum(values: impl ExactSizeIterator<Item = Self>) -> i128 {
        values.fold(0_u64, |sum, value| sum.wrapping_add(value.into())).into()
    }
    #[inline(always)]
    fn square(values: impl ExactSizeIterator<Item = Self>, squares: &mut Squares) {
        let (mut sum, mut total, mut upper) = (0_u64, 0_u64, 0_u64);
        for value in values {
            let value = u64::from(value);
            let square = value * value;
            sum = sum.wrapping_add(value);
            total = total.wrapping_add(square);
            // Not 32 bits: of those the compiler would make another multiplication.
            upper = upper.wrapping_add(square >> 24);
        }
        squares.sum += u128::from(sum);
        squares.parts[0] += whole(total, upper, 24);
    }
}

impl Lane for i64 {
    lane!(i64, 4, Bits64);
    #[inline(always)]
    fn sum(values: impl ExactSizeIterator<Item = Self>) -> i128 {
        let count = values.len() as i128;
        let (mut total, mut upper) = (0_u64, 0_u64);
        for value in values {
            let value = shifted(value);
            total = total.wrapping_add(value);
            upper = upper.wrapping_add(value >> 32);
        }
        whole(total, upper, 32).cast_signed() - (count << 63)
    }
    #[inline(always)]
    fn square(values: impl ExactSizeIterator<Item = Self>, squares: &mut Squares) {
        squares.shifted += values.len() as u64;
        let (mut sum, mut sum_upper, mut parts) = (0_u64, 0_u64, [[0_u64; 2]; 3]);
        for value in values {
            let value = shifted(value);
            let (lower, upper) = (value & 0xffff_ffff, value >> 32);
            sum = sum.wrapping_add(value);
            sum_upper = sum_upper.wrapping_add(upper);
            let products = [lower * lower, lower * upper, upper * upper];
            for ([total, upper], product) in parts.iter_mut().zip(products) {
                *total = total.wrapping_add(product);
                *upper = upper.wrapping_add(product >> 32);
            }
        }
        squares.sum += whole(sum, sum_upper, 32);
        squares.add_parts(parts);
    }
}

/// The number 2^63 above.
#[inline(always)]
fn shifted(value: i64) -> u64 {
    value.cast_unsigned() ^ 1 << 63
}

/// What a pass over numbers makes of them.
trait Fold<T: Lane>: Sized {
    /// What stands for rows that are left out.
    const NEUTRAL: T;
    /// Takes at most 2^16 numbers.
    fn add(&mut self, values: impl ExactSizeIterator<Item = T>);
}

struct Sum(i128);

impl<T: Lane> Fold<T> for Sum {
    const NEUTRAL: T = T::ZERO;
    #[inline(always)]
    fn add(&mut self, values: impl ExactSizeIterator<Item = T>) {
        self.0 += T::sum(values);
    }
}

impl<T: Lane> Fold<T> for Squares {
    const NEUTRAL: T = T::ZERO;
    #[inline(always)]
    fn add(&mut self, values: impl ExactSizeIterator<Item = T>) {
        T::square(values, self);
    }
}

struct Least<T>(T);

impl<T: Lane> Fold<T> for Least<T> {
    const NEUTRAL: T = T::GREATEST;
    #[inline(always)]
    fn add(&mut self, values: impl ExactSizeIterator<Item = T>) {
        self.0 = values.fold(self.0, |a, b| if b < a { b } else { a });
    }
}

struct Greatest<T>(T);

impl<T: Lane> Fold<T> for Greatest<T> {
    const NEUTRAL: T = T::LEAST;
    #[inline(always)]
    fn add(&mut self, values: impl ExactSizeIterator<Item = T>) {
        self.0 = values.fold(self.0, |a, b| if b > a { b } else { a });
    }
}

/// A pass over all numbers.
struct All<'a, T, F> {
    values: &'a [T],
    fold: F,
}

impl<T: Lane, F: Fold<T>> Kernel for All<'_, T, F> {
    type Output = F;
    #[inline(always)]
    fn run(self) -> F {
        let mut fold = self.fold;
        let (pieces, rest) = self.values.as_chunks::<PIECE>();
        for piece in pieces {
            simd::fetch_ahead(piece, AHEAD);
            fold.add(piece.iter().copied());
        }
        fold.add(rest.iter().copied());
        fold
    }
}

/// A pass over those whose bit is set in as many words as they need.
struct Masked<'a, T, F> {
    values: &'a [T],
    words: &'a [u64],
    fold: F,
}

impl<T: Lane, F: Fold<T>> Kernel for Masked<'_, T, F> {
    type Output = F;
    #[inline(always)]
    fn run(self) -> F {
        let mut fold = self.fold;
        let mut masks = [T::default(); PIECE];
        for (values, words) in self.values.chunks(PIECE).zip(self.words.chunks(PIECE / 64)) {
            if words.iter().all(|&word| word == 0) {
                continue;
            }
            if words.iter().all(|&word| word == u64::MAX) {
                fold.add(values.iter().copied());
                continue;
            }
            for (masks, &word) in masks.as_chunks_mut::<64>().0.iter_mut().zip(words) {
                T::expand(word, masks);
            }
            let kept = |(&value, &mask): (&T, &T)| (value & mask) | (F::NEUTRAL & !mask);
            fold.add(values.iter().zip(&masks).map(kept));
        }
        fold
    }
}

fn pass<T: Lane, F: Fold<T>>(values: &[T], words: Option<&[u64]>, fold: F) -> F {
    match words {
        None => simd::run(All { values, fold }),
        Some(words) => simd::run(Masked { values, words, fold }),
    }
}

/// The exact sum of the numbers whose bit is set; without `words` of all. O(values).
pub fn sum<T: Lane>(values: &[T], words: Option<&[u64]>) -> i128 {
    #[cfg(target_arch = "x86_64")]
    if let Some(sum) = wide::sum(T::numbers(values), words) {
        return sum;
    }
    portable_sum(values, words)
}

/// The exact sum of the numbers and that of their squares, as `sum`.
pub fn sums<T: Lane>(values: &[T], words: Option<&[u64]>) -> ExactSums {
    #[cfg(target_arch = "x86_64")]
    if let Some(sums) = wide::sums(T::numbers(values), words) {
        return sums;
    }
    portable_sums(values, words)
}

/// The least or the greatest of the numbers, as `sum`; that of none is the greatest or the least of the type.
pub fn extreme<T: Lane>(values: &[T], words: Option<&[u64]>, largest: bool) -> T {
    #[cfg(target_arch = "x86_64")]
    if let Some(best) = wide::extreme(T::numbers(values), words, largest) {
        return T::of(best);
    }
    portable_extreme(values, words, largest)
}

fn portable_sum<T: Lane>(values: &[T], words: Option<&[u64]>) -> i128 {
    pass(values, words, Sum(0)).0
}

fn portable_sums<T: Lane>(values: &[T], words: Option<&[u64]>) -> ExactSums {
    pass(values, words, Squares::default()).total()
}

fn portable_extreme<T: Lane>(values: &[T], words: Option<&[u64]>, largest: bool) -> T {
    match largest {
        true => pass(values, words, Greatest(T::LEAST)).0,
        false => pass(values, words, Least(T::GREATEST)).0,
    }
}

/// The words of a mask; bits past its end are not set.
pub fn mask_words(mask: &BooleanBuffer) -> Vec<u64> {
    let chunks = mask.bit_chunks();
    let rest = (chunks.remainder_len() > 0).then(|| chunks.remainder_bits());
    chunks.iter().chain(rest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::tests::Random;

    /// No mask, and masks of many shapes; those of a whole word and of pieces without any row among them.
    fn masks(rows: usize, random: &mut Random) -> Vec<Option<BooleanBuffer>> {
        let mut masks = vec![None];
        for of in [1, 2, 10, 500] {
            let bits: Vec<bool> = (0..rows).map(|_| random.below(of) != 0).collect();
            masks.push(Some(bits.into()));
        }
        masks.push(Some((0..rows).map(|row| row / PIECE % 2 == 1).collect()));
        masks.push(Some((0..rows).map(|row| row / 64 % 3 != 1).collect()));
        masks.push(Some(BooleanBuffer::new_set(rows)));
        masks
    }

    fn check<T: Lane + std::fmt::Debug>(values: &[T], random: &mut Random) {
        for mask in masks(values.len(), random) {
            let words = mask.as_ref().map(mask_words);
            let words = words.as_deref();
            let kept = |row: &usize| mask.as_ref().is_none_or(|mask| mask.value(*row));
            let kept: Vec<T> = (0..values.len()).filter(kept).map(|row| values[row]).collect();
            let wide = |value: &T| i128::from((*value).into());
            let total: i128 = kept.iter().map(wide).sum();
            let squares = kept.iter().fold(i256::ZERO, |sum, value| {
                sum + i256::from_i128(wide(value)) * i256::from_i128(wide(value))
            });
            assert_eq!(sum(values, words), total);
            assert_eq!(portable_sum(values, words), total);
            let (low, high) = squares.to_parts();
            let wanted = ExactSums { sum: total, squares: low, carries: high as u32 };
            assert_eq!(sums(values, words), wanted);
            assert_eq!(portable_sums(values, words), wanted);
            let least = kept.iter().copied().min().unwrap_or(T::GREATEST);
            let greatest = kept.iter().copied().max().unwrap_or(T::LEAST);
            assert_eq!(extreme(values, words, false), least);
            assert_eq!(extreme(values, words, true), greatest);
            assert_eq!(portable_extreme(values, words, false), least);
            assert_eq!(portable_extreme(values, words, true), greatest);
        }
    }

    #[test]
    fn test_sums_and_extremes_are_those_of_numbers_one_by_one() {
        let mut random = Random(21);
        for rows in [0, 1, 3, 63, 64, 65, 511, 512, 513, 1100, 5000] {
            for shift in [0, 1, 9, 10, 11, 20, 31, 32, 33, 48, 63] {
                let values: Vec<i64> = (0..rows).map(|_| random.next() as i64 >> shift).collect();
                check(&values, &mut random);
                check(&values.iter().map(|&v| v as u32).collect::<Vec<_>>(), &mut random);
                check(&values.iter().map(|&v| v as u16).collect::<Vec<_>>(), &mut random);
                check(&values.iter().map(|&v| v as u8).collect::<Vec<_>>(), &mut random);
            }
        }
    }

    #[test]
    fn test_nothing_overflows() {
        let mut random = Random(22);
        let rows = 3 * (1 << 16) + 70;
        let halves = 1 << 53;
        for value in [i64::MIN, i64::MIN + 1, i64::MAX, -1, 0, halves - 1, halves, -halves] {
            check(&vec![value; rows], &mut random);
        }
        // The numbers that two halves do not hold come late.
        let mut values = vec![halves - 1; rows];
        values[rows - 100] = i64::MIN;
        check(&values, &mut random);
        check(&vec![u32::MAX; rows], &mut random);
        check(&vec![u16::MAX; rows], &mut random);
        check(&vec![u8::MAX; rows], &mut random);
    }
}
