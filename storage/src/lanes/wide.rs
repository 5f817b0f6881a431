//! The loops of `mod.rs` written out for 256-bit registers.
//!
//! Invariant: the results are those of the portable loops, whatever the numbers. Every loop asks for its numbers ahead of
//! their use, so that it waits for memory no longer than plain reading does; what a register holds costs 2 to 14
//! instructions. Next: `simd.rs`.

use std::arch::x86_64::*;

use arrow::datatypes::i256;

use super::{AHEAD, Lane, Numbers, portable_sums, whole};
use crate::{
    simd::{self, fetch_ahead},
    table::ExactSums,
};

/// Rows of one word of a mask.
const BLOCK: usize = 64;
/// Rows whose sums stay within the accumulators.
const ROWS: usize = 1 << 16;
/// Rows of 64 bits whose squares, as halves of `HALF` bits, do.
const FEW_ROWS: usize = 1 << 11;
const HALF: u32 = 27;
/// What two of them hold is squared so.
const SHIFT: i64 = 1 << (2 * HALF - 1);

macro_rules! if_wide {
    ($call:expr) => {
        simd::has_wide().then(|| {
            #[expect(
                unsafe_code,
                reason = "calling functions that are compiled for wide registers"
            )]
            // SAFETY: the processor has the features that the functions are compiled for.
            unsafe {
                $call
            }
        })
    };
}

/// As `super::sum`; `None` without such registers.
pub(super) fn sum(values: Numbers<'_>, words: Option<&[u64]>) -> Option<i128> {
    if_wide!(match values {
        Numbers::Bits8(values) => sum8(values, words),
        Numbers::Bits16(values) => sum16(values, words),
        Numbers::Bits32(values) => sum32(values, words),
        Numbers::Bits64(values) => sum64(values, words),
    })
}

/// As `super::sums`; `None` without such registers.
pub(super) fn sums(values: Numbers<'_>, words: Option<&[u64]>) -> Option<ExactSums> {
    if_wide!(match values {
        Numbers::Bits8(values) => sums8(values, words),
        Numbers::Bits16(values) => sums16(values, words),
        Numbers::Bits32(values) => sums32(values, words),
        Numbers::Bits64(values) => sums64(values, words),
    })
}

/// As `super::extreme`; `None` without such registers.
pub(super) fn extreme(values: Numbers<'_>, words: Option<&[u64]>, largest: bool) -> Option<i64> {
    if_wide!(match values {
        Numbers::Bits8(values) => extreme8(values, words, largest).into(),
        Numbers::Bits16(values) => extreme16(values, words, largest).into(),
        Numbers::Bits32(values) => extreme32(values, words, largest).into(),
        Numbers::Bits64(values) => extreme64(values, words, largest),
    })
}

/// A register of the numbers of a block from a place on.
#[inline]
#[target_feature(enable = "avx2")]
fn load<T: Lane>(block: &[T; BLOCK], place: usize) -> __m256i {
    let numbers = &block[place..place + 32 / size_of::<T>()];
    #[expect(unsafe_code, reason = "there is no safe way to load a register")]
    // SAFETY: the slice has 32 bytes, and the instruction takes any address.
    unsafe {
        _mm256_loadu_si256(numbers.as_ptr().cast())
    }
}

/// Calls `add` with all numbers, a register at a time, and with the mask of those that count: their bits are set in `words`.
/// The last register is filled up with numbers that do not count. `mask` makes a mask of the bits from a place on.
#[inline]
#[target_feature(enable = "avx2")]
fn each<T: Lane>(
    values: &[T],
    words: Option<&[u64]>,
    mask: impl Fn(u64, usize) -> __m256i,
    mut add: impl FnMut(__m256i, __m256i),
) {
    let lanes = 32 / size_of::<T>();
    let (blocks, tail) = values.as_chunks::<BLOCK>();
    match words {
        None => {
            for block in blocks {
                fetch_ahead(block, AHEAD);
                for place in (0..BLOCK).step_by(lanes) {
                    add(load(block, place), _mm256_set1_epi8(-1));
                }
            }
        }
        Some(words) => {
            for (block, &word) in blocks.iter().zip(words) {
                fetch_ahead(block, AHEAD);
                for place in (0..BLOCK).step_by(lanes) {
                    add(load(block, place), mask(word, place));
                }
            }
        }
    }
    if !tail.is_empty() {
        let mut block = [T::ZERO; BLOCK];
        block[..tail.len()].copy_from_slice(tail);
        let all = u64::MAX >> (BLOCK - tail.len());
        let word = words.map_or(all, |words| words[blocks.len()] & all);
        for place in (0..BLOCK).step_by(lanes) {
            add(load(&block, place), mask(word, place));
        }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn mask8(word: u64, place: usize) -> __m256i {
    let bits = _mm256_set1_epi32((word >> place) as i32);
    let spread =
        _mm256_setr_epi64x(0, 0x0101_0101_0101_0101, 0x0202_0202_0202_0202, 0x0303_0303_0303_0303);
    let each = _mm256_set1_epi64x(0x8040_2010_0804_0201_u64.cast_signed());
    _mm256_cmpeq_epi8(_mm256_and_si256(_mm256_shuffle_epi8(bits, spread), each), each)
}

#[inline]
#[target_feature(enable = "avx2")]
fn mask16(word: u64, place: usize) -> __m256i {
    let bits = _mm256_set1_epi16((word >> place) as i16);
    let each = _mm256_setr_epi16(
        1,
        2,
        4,
        8,
        16,
        32,
        64,
        128,
        256,
        512,
        1024,
        2048,
        4096,
        8192,
        16384,
        i16::MIN,
    );
    _mm256_cmpeq_epi16(_mm256_and_si256(bits, each), each)
}

#[inline]
#[target_feature(enable = "avx2")]
fn mask32(word: u64, place: usize) -> __m256i {
    let bits = _mm256_set1_epi32((word >> place) as i32);
    let each = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    _mm256_cmpeq_epi32(_mm256_and_si256(bits, each), each)
}

#[inline]
#[target_feature(enable = "avx2")]
fn mask64(word: u64, place: usize) -> __m256i {
    let bits = _mm256_set1_epi64x(word.cast_signed());
    let each = 1 << place;
    let each = _mm256_setr_epi64x(each, each << 1, each << 2, each << 3);
    _mm256_cmpeq_epi64(_mm256_and_si256(bits, each), each)
}

#[inline]
#[target_feature(enable = "avx2")]
fn words_of(register: __m256i) -> [u64; 4] {
    [
        _mm256_extract_epi64::<0>(register),
        _mm256_extract_epi64::<1>(register),
        _mm256_extract_epi64::<2>(register),
        _mm256_extract_epi64::<3>(register),
    ]
    .map(i64::cast_unsigned)
}

#[inline]
#[target_feature(enable = "avx2")]
fn total(register: __m256i) -> u128 {
    words_of(register).into_iter().map(u128::from).sum()
}

/// The sum of the eight signed halves of words.
#[inline]
#[target_feature(enable = "avx2")]
fn total32(register: __m256i) -> i128 {
    let halves = |word: u64| i128::from(word as i32) + i128::from((word >> 32) as i32);
    words_of(register).into_iter().map(halves).sum()
}

#[inline]
#[target_feature(enable = "avx2")]
fn total_whole(totals: __m256i, uppers: __m256i) -> u128 {
    words_of(totals)
        .into_iter()
        .zip(words_of(uppers))
        .map(|(total, upper)| whole(total, upper, 32))
        .sum()
}

/// Cuts numbers and words into pieces of so many rows.
fn pieces<'a, T>(
    values: &'a [T],
    words: Option<&'a [u64]>,
    rows: usize,
) -> impl Iterator<Item = (&'a [T], Option<&'a [u64]>)> {
    values
        .chunks(rows)
        .enumerate()
        .map(move |(piece, values)| (values, words.map(|words| &words[piece * (rows / BLOCK)..])))
}

#[target_feature(enable = "avx2")]
fn sum8(values: &[u8], words: Option<&[u64]>) -> i128 {
    let mut sum = _mm256_setzero_si256();
    each(
        values,
        words,
        |word, place| mask8(word, place),
        |value, mask| {
            let sums = _mm256_sad_epu8(_mm256_and_si256(value, mask), _mm256_setzero_si256());
            sum = _mm256_add_epi64(sum, sums);
        },
    );
    total(sum).cast_signed()
}

#[target_feature(enable = "avx2")]
fn sums8(values: &[u8], words: Option<&[u64]>) -> ExactSums {
    let mut all = [0_i128; 2];
    for (values, words) in pieces(values, words, ROWS) {
        let zero = _mm256_setzero_si256();
        let (mut sum, mut squares) = (zero, zero);
        each(
            values,
            words,
            |word, place| mask8(word, place),
            |value, mask| {
                let value = _mm256_and_si256(value, mask);
                let (low, high) =
                    (_mm256_unpacklo_epi8(value, zero), _mm256_unpackhi_epi8(value, zero));
                sum = _mm256_add_epi64(sum, _mm256_sad_epu8(value, zero));
                let pairs =
                    _mm256_add_epi32(_mm256_madd_epi16(low, low), _mm256_madd_epi16(high, high));
                squares = _mm256_add_epi32(squares, pairs);
            },
        );
        all[0] += total(sum).cast_signed();
        all[1] += total32(squares);
    }
    ExactSums::new(all[0], i256::from_i128(all[1]))
}

#[target_feature(enable = "avx2")]
fn sum16(values: &[u16], words: Option<&[u64]>) -> i128 {
    let mut all = 0;
    let lower = _mm256_set1_epi32(0xffff);
    for (values, words) in pieces(values, words, ROWS) {
        let mut sum = _mm256_setzero_si256();
        each(
            values,
            words,
            |word, place| mask16(word, place),
            |value, mask| {
                let value = _mm256_and_si256(value, mask);
                let pairs = _mm256_add_epi32(
                    _mm256_and_si256(value, lower),
                    _mm256_srli_epi32::<16>(value),
                );
                sum = _mm256_add_epi32(sum, pairs);
            },
        );
        all += total32(sum);
    }
    all
}

#[target_feature(enable = "avx2")]
fn sums16(values: &[u16], words: Option<&[u64]>) -> ExactSums {
    let (mut all, mut all_squares) = (0, 0);
    let (one, lower) = (_mm256_set1_epi16(1), _mm256_set1_epi64x(0xffff_ffff));
    for (values, words) in pieces(values, words, ROWS) {
        let zero = _mm256_setzero_si256();
        let (mut sum, mut even, mut odd) = (zero, zero, zero);
        each(
            values,
            words,
            |word, place| mask16(word, place),
            |value, mask| {
                // Signed numbers, 2^15 below, of which two squares fit 32 bits.
                let value =
                    _mm256_xor_si256(_mm256_and_si256(value, mask), _mm256_set1_epi16(i16::MIN));
                let squares = _mm256_madd_epi16(value, value);
                sum = _mm256_add_epi32(sum, _mm256_madd_epi16(value, one));
                even = _mm256_add_epi64(even, _mm256_and_si256(squares, lower));
                odd = _mm256_add_epi64(odd, _mm256_srli_epi64::<32>(squares));
            },
        );
        let count = values.len().next_multiple_of(BLOCK) as i128;
        let (sum, squares) = (total32(sum), total(_mm256_add_epi64(even, odd)).cast_signed());
        all += sum + (count << 15);
        all_squares += squares + (sum << 16) + (count << 30);
    }
    ExactSums::new(all, i256::from_i128(all_squares))
}

#[target_feature(enable = "avx2")]
fn sum32(values: &[u32], words: Option<&[u64]>) -> i128 {
    let zero = _mm256_setzero_si256();
    let (mut even, mut odd) = (zero, zero);
    let lower = _mm256_set1_epi64x(0xffff_ffff);
    each(
        values,
        words,
        |word, place| mask32(word, place),
        |value, mask| {
            let value = _mm256_and_si256(value, mask);
            even = _mm256_add_epi64(even, _mm256_and_si256(value, lower));
            odd = _mm256_add_epi64(odd, _mm256_srli_epi64::<32>(value));
        },
    );
    (total(even) + total(odd)).cast_signed()
}

#[target_feature(enable = "avx2")]
fn sums32(values: &[u32], words: Option<&[u64]>) -> ExactSums {
    let (mut all, mut all_squares) = (0, i256::ZERO);
    let lower = _mm256_set1_epi64x(0xffff_ffff);
    for (values, words) in pieces(values, words, ROWS) {
        let zero = _mm256_setzero_si256();
        let (mut sum, mut totals, mut uppers) = (zero, zero, zero);
        each(
            values,
            words,
            |word, place| mask32(word, place),
            |value, mask| {
                let value = _mm256_and_si256(value, mask);
                let odd = _mm256_srli_epi64::<32>(value);
                sum = _mm256_add_epi64(sum, _mm256_add_epi64(_mm256_and_si256(value, lower), odd));
                let (even, odd) = (_mm256_mul_epu32(value, value), _mm256_mul_epu32(odd, odd));
                totals = _mm256_add_epi64(totals, _mm256_add_epi64(even, odd));
                let upper =
                    _mm256_add_epi64(_mm256_srli_epi64::<32>(even), _mm256_srli_epi64::<32>(odd));
                uppers = _mm256_add_epi64(uppers, upper);
            },
        );
        all += total(sum).cast_signed();
        all_squares = all_squares.wrapping_add(i256::from_parts(total_whole(totals, uppers), 0));
    }
    ExactSums::new(all, all_squares)
}

#[target_feature(enable = "avx2")]
fn sum64(values: &[i64], words: Option<&[u64]>) -> i128 {
    let mut all = 0;
    for (values, words) in pieces(values, words, ROWS) {
        let zero = _mm256_setzero_si256();
        let (mut totals, mut uppers) = (zero, zero);
        each(
            values,
            words,
            |word, place| mask64(word, place),
            |value, mask| {
                let value =
                    _mm256_xor_si256(_mm256_and_si256(value, mask), _mm256_set1_epi64x(i64::MIN));
                totals = _mm256_add_epi64(totals, value);
                uppers = _mm256_add_epi64(uppers, _mm256_srli_epi64::<32>(value));
            },
        );
        let count = values.len().next_multiple_of(BLOCK) as i128;
        all += total_whole(totals, uppers).cast_signed() - (count << 63);
    }
    all
}

/// Numbers of up to 53 bits and a sign are squared as two halves without a sign; from the first other one on they are left
/// to the portable loop.
#[target_feature(enable = "avx2")]
fn sums64(values: &[i64], words: Option<&[u64]>) -> ExactSums {
    let (mut all, mut all_squares) = (0, i256::ZERO);
    let shifts = _mm256_set1_epi64x(SHIFT);
    let lower_bits = _mm256_set1_epi64x((1 << HALF) - 1);
    for (piece, (numbers, bits)) in pieces(values, words, FEW_ROWS).enumerate() {
        let zero = _mm256_setzero_si256();
        let (mut seen, mut sum) = (zero, zero);
        let (mut low, mut mixed, mut high) = (zero, zero, zero);
        each(
            numbers,
            bits,
            |word, place| mask64(word, place),
            |value, mask| {
                let value = _mm256_add_epi64(_mm256_and_si256(value, mask), shifts);
                seen = _mm256_or_si256(seen, value);
                sum = _mm256_add_epi64(sum, value);
                let lower = _mm256_and_si256(value, lower_bits);
                let upper = _mm256_srli_epi64::<{ HALF as i32 }>(value);
                low = _mm256_add_epi64(low, _mm256_mul_epu32(lower, lower));
                mixed = _mm256_add_epi64(mixed, _mm256_mul_epu32(lower, upper));
                high = _mm256_add_epi64(high, _mm256_mul_epu32(upper, upper));
            },
        );
        if words_of(seen).into_iter().any(|seen| seen >> (2 * HALF) != 0) {
            let done = piece * FEW_ROWS;
            let rest = portable_sums(&values[done..], words.map(|words| &words[done / BLOCK..]));
            let mut sums = ExactSums::new(all, all_squares);
            sums.merge(&rest);
            return sums;
        }
        let count = numbers.len().next_multiple_of(BLOCK) as i128;
        let shift = i128::from(SHIFT);
        let sum = total(sum).cast_signed();
        let squares = total(low) + (total(mixed) << (HALF + 1)) + (total(high) << (2 * HALF));
        all += sum - count * shift;
        let squares = squares.cast_signed() - 2 * shift * sum + count * shift * shift;
        all_squares = all_squares.wrapping_add(i256::from_i128(squares));
    }
    ExactSums::new(all, all_squares)
}

macro_rules! extreme {
    ($name:ident, $type:ty, $mask:ident, $set:ident, $most:ident, $least:ident) => {
        #[target_feature(enable = "avx2")]
        fn $name(values: &[$type], words: Option<&[u64]>, largest: bool) -> $type {
            let none = if largest { <$type>::MIN } else { <$type>::MAX };
            let nothing = $set(none.cast_signed());
            let mut best = nothing;
            let kept = |value, mask| _mm256_blendv_epi8(nothing, value, mask);
            match largest {
                true => each(
                    values,
                    words,
                    |word, place| $mask(word, place),
                    |value, mask| best = $most(best, kept(value, mask)),
                ),
                false => each(
                    values,
                    words,
                    |word, place| $mask(word, place),
                    |value, mask| best = $least(best, kept(value, mask)),
                ),
            }
            let lanes = words_of(best).map(u64::to_ne_bytes);
            let lanes = lanes
                .as_flattened()
                .as_chunks()
                .0
                .iter()
                .map(|&bytes| <$type>::from_ne_bytes(bytes));
            lanes.fold(none, |a, b| if largest { a.max(b) } else { a.min(b) })
        }
    };
}

extreme!(extreme8, u8, mask8, _mm256_set1_epi8, _mm256_max_epu8, _mm256_min_epu8);
extreme!(extreme16, u16, mask16, _mm256_set1_epi16, _mm256_max_epu16, _mm256_min_epu16);
extreme!(extreme32, u32, mask32, _mm256_set1_epi32, _mm256_max_epu32, _mm256_min_epu32);

#[inline]
#[target_feature(enable = "avx2")]
fn max64(a: __m256i, b: __m256i) -> __m256i {
    _mm256_blendv_epi8(a, b, _mm256_cmpgt_epi64(b, a))
}

#[inline]
#[target_feature(enable = "avx2")]
fn min64(a: __m256i, b: __m256i) -> __m256i {
    _mm256_blendv_epi8(a, b, _mm256_cmpgt_epi64(a, b))
}

#[target_feature(enable = "avx2")]
fn extreme64(values: &[i64], words: Option<&[u64]>, largest: bool) -> i64 {
    let none = if largest { i64::MIN } else { i64::MAX };
    let nothing = _mm256_set1_epi64x(none);
    let mut best = nothing;
    let kept = |value, mask| _mm256_blendv_epi8(nothing, value, mask);
    match largest {
        true => each(
            values,
            words,
            |word, place| mask64(word, place),
            |value, mask| best = max64(best, kept(value, mask)),
        ),
        false => each(
            values,
            words,
            |word, place| mask64(word, place),
            |value, mask| best = min64(best, kept(value, mask)),
        ),
    }
    let lanes = words_of(best).map(u64::cast_signed).into_iter();
    lanes.fold(none, |a, b| if largest { a.max(b) } else { a.min(b) })
}
