//! Sums over any range of positions from sums before every block: two look-ups and half a block at each end.
//!
//! Invariants: sums are exact (whole numbers in 256 bits, doubles as `Fixed`), so that differences of sums are the sums
//! of differences, in any order and at any distance. NULLs count as nothing: whole ones are offset 0 and counted
//! elsewhere, doubles are 0.0.
//! Method: prefix sums of Ho et al. 1997, "Range queries in OLAP data cubes", over the blocks of one dimension; the sums
//! being a group, the tree of partial sums is not needed.
//! Next: `extremes.rs`, for what is not a group; `column.rs`.

use std::ops::Range;

use arrow::datatypes::i256;

use super::{
    fixed::{Fixed, SQUARE_UNIT, SUM_UNIT, Window, parts},
    offsets::Pair,
};

/// Entries of one block.
pub(super) const BLOCK: usize = 64;

/// The block boundary nearest to a position.
#[inline]
fn nearest(position: usize) -> usize {
    (position + BLOCK / 2) / BLOCK
}

/// Which values are not NULL.
#[derive(Debug, Clone)]
pub(super) struct Validity {
    words: Box<[u64]>,
    /// How many values there are before each block.
    before: Box<[u32]>,
}

impl Validity {
    /// `None` when no value is NULL. At most 2^32 - 1 positions.
    pub(super) fn new(valid: &[bool]) -> Option<Self> {
        if valid.iter().all(|&valid| valid) {
            return None;
        }
        let mut words = vec![0_u64; valid.len() / BLOCK + 1];
        for (at, &valid) in valid.iter().enumerate() {
            words[at / BLOCK] |= u64::from(valid) << (at % BLOCK);
        }
        let mut count = 0;
        let before = words.iter().map(|word| {
            count += word.count_ones();
            count - word.count_ones()
        });
        Some(Self { before: before.collect(), words: words.into() })
    }

    #[inline]
    pub(super) fn get(&self, at: usize) -> bool {
        self.words[at / BLOCK] >> (at % BLOCK) & 1 == 1
    }

    /// How many values there are before a position.
    #[inline]
    pub(super) fn rank(&self, at: usize) -> usize {
        let ones = self.words[at / BLOCK] & ((1 << (at % BLOCK)) - 1);
        self.before[at / BLOCK] as usize + ones.count_ones() as usize
    }

    pub(super) fn bytes(&self) -> usize {
        self.words.len() * 12
    }
}

/// Sums of offsets of whole numbers before every block.
#[derive(Debug, Clone)]
pub(super) struct WholeSums {
    len: usize,
    sum_words: usize,
    square_words: usize,
    records: Box<[u64]>,
}

/// Wider offsets and values have no sums of squares: these would leave 256 bits.
const SQUARE_BITS: u32 = 95;

impl WholeSums {
    /// Those of `len` offsets of at most `max`, which `sums` adds up for few positions. Squares are kept where all values
    /// have at most 95 bits, of which `magnitude` is the greatest.
    pub(super) fn new(
        len: usize,
        max: u128,
        magnitude: u128,
        sums: impl Fn(Range<usize>, bool) -> Pair,
    ) -> Self {
        let bits = 128 - max.leading_zeros();
        let words = |bits: u32| (bits as usize + 32).div_ceil(64);
        let with_squares = 128 - magnitude.leading_zeros() <= SQUARE_BITS && bits <= SQUARE_BITS;
        let sum_words = words(bits);
        let square_words = if with_squares { words(2 * bits) } else { 0 };
        let mut records = Vec::with_capacity((len / BLOCK + 2) * (sum_words + square_words));
        let mut total = Pair::ZERO;
        for block in 0..=len.div_ceil(BLOCK) {
            push_words(&mut records, total.sum, sum_words);
            push_words(&mut records, total.squares, square_words);
            let start = (block * BLOCK).min(len);
            total = total.plus(sums(start..(start + BLOCK).min(len), with_squares));
        }
        Self { len, sum_words, square_words, records: records.into() }
    }

    pub(super) fn has_squares(&self) -> bool {
        self.square_words > 0
    }

    /// The sums over a range of positions.
    #[inline]
    pub(super) fn between(
        &self,
        range: Range<usize>,
        squares: bool,
        sums: impl Fn(Range<usize>, bool) -> Pair,
    ) -> Pair {
        let squares = squares && self.has_squares();
        let upper = self.before(range.end, squares, &sums);
        upper.minus(self.before(range.start, squares, &sums))
    }

    #[inline]
    fn before(
        &self,
        position: usize,
        squares: bool,
        sums: &impl Fn(Range<usize>, bool) -> Pair,
    ) -> Pair {
        let block = nearest(position);
        let stride = self.sum_words + self.square_words;
        let record = &self.records[block * stride..(block + 1) * stride];
        let (sum, of_squares) = record.split_at(self.sum_words);
        let mut total = Pair { sum: wide(sum), squares: i256::ZERO };
        if squares {
            total.squares = wide(of_squares);
        }
        let start = block * BLOCK;
        match position >= start {
            true => total.plus(sums(start..position, squares)),
            false => total.minus(sums(position..start.min(self.len), squares)),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.records.len() * 8
    }
}

fn push_words(records: &mut Vec<u64>, value: i256, words: usize) {
    let (low, high) = value.to_parts();
    let all = [low as u64, (low >> 64) as u64, high as u64, (high >> 64) as u64];
    records.extend_from_slice(&all[..words]);
}

#[inline]
fn wide(words: &[u64]) -> i256 {
    let word = |at: usize| u128::from(words.get(at).copied().unwrap_or(0));
    i256::from_parts(word(0) | word(1) << 64, (word(2) | word(3) << 64).cast_signed())
}

/// Where doubles come from.
pub(super) trait Doubles {
    /// How many positions.
    fn len(&self) -> usize;
    /// Calls `see` with each value of a range of positions.
    fn each(&self, range: Range<usize>, see: impl FnMut(f64));
}

impl Doubles for &[f64] {
    fn len(&self) -> usize {
        <[f64]>::len(self)
    }

    #[inline]
    fn each(&self, range: Range<usize>, see: impl FnMut(f64)) {
        self[range].iter().copied().for_each(see);
    }
}

/// Sums of doubles before every block.
#[derive(Debug, Clone)]
pub(super) struct FloatSums {
    sum: Window,
    squares: Window,
    records: Box<[u64]>,
    /// NaNs, positive and negative infinities before every block; empty when there are none.
    specials: Box<[[u32; 3]]>,
}

/// Sums of doubles so far.
#[derive(Debug, Clone)]
pub(super) struct FloatTotals {
    /// Of the finite values.
    pub(super) sum: Fixed,
    /// Of their squares.
    pub(super) squares: Fixed,
    /// NaNs, positive and negative infinities.
    pub(super) specials: [i64; 3],
}

impl FloatTotals {
    pub(super) fn new() -> Self {
        Self { sum: Fixed::new(SUM_UNIT), squares: Fixed::new(SQUARE_UNIT), specials: [0; 3] }
    }

    #[inline]
    fn see(&mut self, value: f64, squares: bool, subtract: bool) {
        if value.is_finite() {
            self.sum.add_double(value, subtract);
            if squares {
                self.squares.add_square(value, subtract);
            }
            return;
        }
        let kind = if value.is_nan() { 0 } else { 1 + usize::from(value < 0.0) };
        self.specials[kind] += if subtract { -1 } else { 1 };
    }
}

impl FloatSums {
    pub(super) fn new(values: &impl Doubles) -> Self {
        let (mut lowest, mut highest, mut special) = (i32::MAX, i32::MIN, false);
        values.each(0..values.len(), |value| {
            if !value.is_finite() {
                special = true;
            } else if value != 0.0 {
                let (_, number, place) = parts(value);
                lowest = lowest.min(place + number.trailing_zeros() as i32);
                highest = highest.max(place + 63 - number.leading_zeros() as i32);
            }
        });
        let sum = Window::of(SUM_UNIT, lowest, highest);
        let squares = match lowest <= highest {
            true => Window::of(SQUARE_UNIT, 2 * lowest, 2 * highest + 1),
            false => Window::default(),
        };
        let mut totals = FloatTotals::new();
        totals.sum.widen(sum);
        totals.squares.widen(squares);
        let (mut records, mut specials) = (Vec::new(), Vec::new());
        let len = values.len();
        for block in 0..=len.div_ceil(BLOCK) {
            records.extend_from_slice(totals.sum.window(sum));
            records.extend_from_slice(totals.squares.window(squares));
            if special {
                specials.push(totals.specials.map(|count| count as u32));
            }
            let start = (block * BLOCK).min(len);
            values.each(start..(start + BLOCK).min(len), |value| totals.see(value, true, false));
        }
        Self { sum, squares, records: records.into(), specials: specials.into() }
    }

    /// Adds the sums over a range of positions, or takes them away.
    pub(super) fn add_to(
        &self,
        totals: &mut FloatTotals,
        range: Range<usize>,
        values: &impl Doubles,
        squares: bool,
        subtract: bool,
    ) {
        totals.sum.widen(self.sum);
        totals.squares.widen(self.squares);
        self.add_before(totals, range.end, values, squares, subtract);
        self.add_before(totals, range.start, values, squares, !subtract);
    }

    fn add_before(
        &self,
        totals: &mut FloatTotals,
        position: usize,
        values: &impl Doubles,
        squares: bool,
        subtract: bool,
    ) {
        let block = nearest(position);
        let stride = self.sum.words + self.squares.words;
        let record = &self.records[block * stride..(block + 1) * stride];
        let (sum, of_squares) = record.split_at(self.sum.words);
        totals.sum.add_words(self.sum, sum, subtract);
        if squares {
            totals.squares.add_words(self.squares, of_squares, subtract);
        }
        if let Some(counts) = self.specials.get(block) {
            for (total, &count) in totals.specials.iter_mut().zip(counts) {
                *total += if subtract { -i64::from(count) } else { count.into() };
            }
        }
        let start = block * BLOCK;
        match position >= start {
            true => values.each(start..position, |value| totals.see(value, squares, subtract)),
            false => values.each(position..start.min(values.len()), |value| {
                totals.see(value, squares, !subtract);
            }),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.records.len() * 8 + self.specials.len() * 12
    }
}
