//! Whole numbers as offsets from a base, in the narrowest of five widths, and the words of keys.
//!
//! Invariant: offsets are in the order of the values.
//! Next: `sums.rs`.

use std::ops::Range;

use arrow::datatypes::i256;

/// A word that keys and offsets are made of.
pub(super) trait Word:
    Copy + Ord + Default + Send + Sync + std::fmt::Debug + 'static
{
    const MAX: Self;
    /// The low bits.
    fn cut(wide: u128) -> Self;
    fn wide(self) -> u128;
}

macro_rules! word {
    ($($native:ident),*) => {
        $(impl Word for $native {
            const MAX: Self = Self::MAX;
            #[inline]
            fn cut(wide: u128) -> Self {
                wide as Self
            }
            #[inline]
            #[allow(clippy::unnecessary_cast, clippy::cast_lossless, reason = "a type of several")]
            fn wide(self) -> u128 {
                self as u128
            }
        })*
    };
}
word!(u8, u16, u32, u64, u128);

/// The sum of offsets and of their squares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) sum: i256,
    pub(super) squares: i256,
}

impl Pair {
    pub(super) const ZERO: Self = Self { sum: i256::ZERO, squares: i256::ZERO };

    #[inline]
    pub(super) fn plus(self, other: Self) -> Self {
        let sum = self.sum.wrapping_add(other.sum);
        Self { sum, squares: self.squares.wrapping_add(other.squares) }
    }

    #[inline]
    pub(super) fn minus(self, other: Self) -> Self {
        let sum = self.sum.wrapping_sub(other.sum);
        Self { sum, squares: self.squares.wrapping_sub(other.squares) }
    }
}

/// The sums of few numbers of up to 32 bits.
pub(super) fn short_sums(values: impl Iterator<Item = u32>) -> Pair {
    // 2^16 numbers of 32 bits, and halves of as many squares, stay within 64 bits.
    let (mut sum, mut low, mut high) = (0_u64, 0_u64, 0_u64);
    for value in values {
        let value = u64::from(value);
        let square = value * value;
        sum += value;
        low += square & 0xffff_ffff;
        high += square >> 32;
    }
    let squares = u128::from(low) + (u128::from(high) << 32);
    Pair { sum: i256::from_parts(sum.into(), 0), squares: i256::from_parts(squares, 0) }
}

/// The sums of few numbers of up to 64 bits.
pub(super) fn long_sums(values: impl Iterator<Item = u64>, squares: bool) -> Pair {
    let (mut sum, mut low, mut high) = (0_u128, 0_u128, 0_i128);
    for value in values {
        let value = u128::from(value);
        sum += value;
        if squares {
            let (total, over) = low.overflowing_add(value * value);
            (low, high) = (total, high + i128::from(over));
        }
    }
    Pair { sum: i256::from_parts(sum, 0), squares: i256::from_parts(low, high) }
}

/// The sums of few numbers of up to 128 bits; of up to 96 where squares are wanted.
pub(super) fn wide_sums(values: impl Iterator<Item = u128>, squares: bool) -> Pair {
    let mut pair = Pair::ZERO;
    for value in values {
        let value = i256::from_parts(value, 0);
        pair.sum = pair.sum.wrapping_add(value);
        if squares {
            pair.squares = pair.squares.wrapping_add(value.wrapping_mul(value));
        }
    }
    pair
}

/// Offsets of one width.
#[derive(Debug, Clone)]
pub(super) enum Offsets {
    U8(Box<[u8]>),
    U16(Box<[u16]>),
    U32(Box<[u32]>),
    U64(Box<[u64]>),
    U128(Box<[u128]>),
}

/// Runs a body with offsets as a slice of their own width.
macro_rules! each_width {
    ($offsets:expr, $values:ident => $body:expr) => {
        match $offsets {
            Offsets::U8($values) => $body,
            Offsets::U16($values) => $body,
            Offsets::U32($values) => $body,
            Offsets::U64($values) => $body,
            Offsets::U128($values) => $body,
        }
    };
}
impl Offsets {
    /// Offsets of which the greatest is `max`.
    pub(super) fn new(max: u128, values: impl Iterator<Item = u128>) -> Self {
        match 128 - max.leading_zeros() {
            0..=8 => Self::U8(values.map(Word::cut).collect()),
            9..=16 => Self::U16(values.map(Word::cut).collect()),
            17..=32 => Self::U32(values.map(Word::cut).collect()),
            33..=64 => Self::U64(values.map(Word::cut).collect()),
            _ => Self::U128(values.collect()),
        }
    }

    #[inline]
    pub(super) fn get(&self, at: usize) -> u128 {
        each_width!(self, values => values[at].wide())
    }

    /// Bytes of memory held.
    pub(super) fn bytes(&self) -> usize {
        each_width!(self, values => size_of_val(&**values))
    }

    /// The sums of offsets at few positions.
    #[inline]
    pub(super) fn sums(&self, range: Range<usize>, squares: bool) -> Pair {
        match self {
            Self::U8(values) => short_sums(values[range].iter().map(|&v| v.into())),
            Self::U16(values) => short_sums(values[range].iter().map(|&v| v.into())),
            Self::U32(values) => short_sums(values[range].iter().copied()),
            Self::U64(values) => long_sums(values[range].iter().copied(), squares),
            Self::U128(values) => wide_sums(values[range].iter().copied(), squares),
        }
    }
}
