//! Sums of doubles that do not depend on workers, nor on how rows are cut into vectors.
//!
//! Method: an accumulator is an unevaluated sum of two doubles; each addition keeps its exact rounding error in the
//! second one, so that a total is off by about n^2 * 2^-106 of the sum of magnitudes and then rounded once. Without
//! groups, row i of a morsel goes to lane i mod 8, whatever vector it came in, and lanes are added in order. A row that does
//! not count (a NULL, or left out by FILTER) has its place and adds zero, which changes no bit.
//! Why not bins of fixed exponents, which would be free of order: extracting three of them measured 3 to 4 ns a value
//! (plain lanes: 0.6 to 0.9 from memory; this: 0.8 to 1.3), and their state per group is twice as large.
//! Invariant: the bits are a function of the sequence of values of each morsel and of the order of morsels.
//! Next: `moment.rs`; `lanes/mod.rs` for masks.

use std::hint::black_box;

use arrow::buffer::BooleanBuffer;

use crate::{
    lanes::{NIBBLES, mask_words},
    simd::{self, Kernel},
};

/// The lanes of `LaneSum`.
const LANES: usize = 8;

/// A sum of doubles and its error so far. Infinities and NaN behave as in IEEE addition.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Accumulator {
    pub(crate) high: f64,
    pub(crate) low: f64,
}

impl Accumulator {
    /// Adds a value.
    #[inline]
    pub fn add(&mut self, value: f64) {
        let (sum, error) = two_sum(self.high, value);
        self.high = sum;
        self.low += error;
    }

    /// Adds what another accumulator holds.
    #[inline]
    pub fn merge(&mut self, other: Self) {
        self.add(other.high);
        self.low += other.low;
    }

    /// The sum, rounded once.
    pub fn total(&self) -> f64 {
        // The error term of an infinite or NaN sum is NaN and means nothing; a NaN's sign differs between machines.
        if self.high.is_finite() {
            return self.high + self.low;
        }
        if self.high.is_nan() { f64::NAN } else { self.high }
    }
}

/// The sum of the values of one morsel, in lanes.
#[derive(Debug, Clone, Default)]
pub struct LaneSum {
    high: [f64; LANES],
    low: [f64; LANES],
    /// The lane of the next value.
    next: usize,
}

impl LaneSum {
    /// Adds the values of consecutive rows. Cutting a sequence into several calls changes nothing.
    pub fn add(&mut self, values: &[f64]) {
        let head = values.len().min((LANES - self.next) % LANES);
        let (head, rest) = values.split_at(head);
        self.add_few(head, u64::MAX);
        let (blocks, rest) = rest.as_chunks::<BLOCK>();
        let (high, low) = (&mut self.high, &mut self.low);
        simd::run(AddBlocks::<false> { high, low, blocks, words: &[] });
        for chunk in rest.chunks(LANES) {
            self.add_few(chunk, u64::MAX);
        }
    }

    /// Adds the values of those of consecutive rows for which the mask, of as many rows, is set.
    pub fn add_masked(&mut self, values: &[f64], mask: &BooleanBuffer) {
        let head = values.len().min((LANES - self.next) % LANES);
        let (head, rest) = values.split_at(head);
        if !head.is_empty() {
            self.add_few(head, mask_words(&mask.slice(0, head.len()))[0]);
        }
        let words = mask_words(&mask.slice(head.len(), rest.len()));
        let (blocks, rest) = rest.as_chunks::<BLOCK>();
        let (high, low) = (&mut self.high, &mut self.low);
        simd::run(AddBlocks::<true> { high, low, blocks, words: &words });
        let mut word = words.last().copied().unwrap_or_default();
        for chunk in rest.chunks(LANES) {
            self.add_few(chunk, word);
            word >>= LANES;
        }
    }

    /// Adds up to a word of values whose bit is set.
    fn add_few(&mut self, values: &[f64], mut word: u64) {
        for &value in values {
            let value = if word & 1 == 1 { value } else { 0.0 };
            let (sum, error) = two_sum(self.high[self.next], value);
            self.high[self.next] = sum;
            self.low[self.next] += error;
            self.next = (self.next + 1) % LANES;
            word >>= 1;
        }
    }

    /// The sum over all lanes.
    pub fn total(&self) -> Accumulator {
        let mut total = Accumulator::default();
        for (&high, &low) in self.high.iter().zip(&self.low) {
            total.merge(Accumulator { high, low });
        }
        total
    }
}

/// Values that are added together: one for each bit of a word.
const BLOCK: usize = LANES * LANES;

/// How many bytes ahead of their use values are asked for: sums of doubles in memory took 0.61 ns a value without, 0.46 with.
const AHEAD: usize = 2048;

/// Adds blocks to lanes; with `MASKED` those values whose bit is set in the block's word.
struct AddBlocks<'a, const MASKED: bool> {
    high: &'a mut [f64; LANES],
    low: &'a mut [f64; LANES],
    blocks: &'a [[f64; BLOCK]],
    words: &'a [u64],
}

impl<const MASKED: bool> Kernel for AddBlocks<'_, MASKED> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        self.add_by(|high, low, value| {
            let (sum, error) = two_sum(high, value);
            (sum, low + error)
        });
    }
    /// Some processors have units for additions and others for multiplying and adding. With a factor of one these take
    /// half of the work: 0.31 ns a value became 0.20 in the caches. The factor is hidden, or the compiler would drop it.
    #[inline(always)]
    fn run_fused(self) {
        let (one, minus) = (black_box(1.0_f64), black_box(-1.0_f64));
        self.add_by(|high, low, value| {
            let sum = high.mul_add(one, value);
            let part = sum - high;
            let rest = part.mul_add(minus, sum).mul_add(minus, high);
            let error = rest + (value - part);
            (sum, error.mul_add(one, low))
        });
    }
}

impl<const MASKED: bool> AddBlocks<'_, MASKED> {
    /// Adds with a function that takes a lane's sum, its error so far and a value.
    #[inline(always)]
    fn add_by(self, add: impl Fn(f64, f64, f64) -> (f64, f64)) {
        let (mut highs, mut lows) = (*self.high, *self.low);
        // Chunk by chunk: of a loop over a block's chunks the compiler makes worse code.
        for (at, chunk) in self.blocks.as_flattened().as_chunks::<LANES>().0.iter().enumerate() {
            simd::fetch_ahead(chunk, AHEAD);
            let bits = if MASKED { self.words[at / LANES] >> (at % LANES * LANES) } else { 0 };
            let masks = [&NIBBLES[(bits & 15) as usize], &NIBBLES[(bits >> 4 & 15) as usize]];
            for lane in 0..LANES {
                let value = match MASKED {
                    true => masked(chunk[lane], masks[lane / 4][lane % 4]),
                    false => chunk[lane],
                };
                (highs[lane], lows[lane]) = add(highs[lane], lows[lane], value);
            }
        }
        (*self.high, *self.low) = (highs, lows);
    }
}

/// The value where all bits of the mask are set, zero where none is.
#[inline(always)]
pub(crate) fn masked(value: f64, mask: u64) -> f64 {
    f64::from_bits(value.to_bits() & mask)
}

/// The rounded sum and its exact error, for any order of magnitudes.
#[inline(always)]
fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let part = sum - a;
    (sum, (a - (sum - part)) + (b - part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::tests::Random;

    /// The exact sum of multiples of 2^-60 below 2^40, rounded once.
    fn exact(values: &[f64]) -> f64 {
        let unit = 2_f64.powi(60);
        let sum: i128 = values.iter().map(|v| (v * unit) as i128).sum();
        sum as f64 / unit
    }

    fn values(random: &mut Random, n: usize) -> Vec<f64> {
        let value = |_| {
            let magnitude = 2_f64.powi(random.below(40) as i32 - 10);
            let whole = (random.next() >> 14) as i64 - (1 << 49);
            whole as f64 * 2_f64.powi(-49) * magnitude.min(2_f64.powi(30))
        };
        (0..n).map(value).collect()
    }

    fn lanes(values: &[f64], cut: usize) -> f64 {
        let mut sum = LaneSum::default();
        values.chunks(cut).for_each(|chunk| sum.add(chunk));
        sum.total().total()
    }

    #[test]
    fn test_total_is_the_exact_sum_rounded_once() {
        let mut random = Random(1);
        for n in [0, 1, 2, 7, 8, 9, 100, 5000] {
            let mut values = values(&mut random, n);
            let negated: Vec<f64> = values.iter().skip(n / 10).map(|v| -v).collect();
            values.extend(negated);
            let mut grouped = Accumulator::default();
            values.iter().for_each(|&v| grouped.add(v));
            assert_eq!(lanes(&values, 2048).to_bits(), exact(&values).to_bits());
            assert_eq!(grouped.total().to_bits(), exact(&values).to_bits());
        }
    }

    #[test]
    fn test_cutting_into_vectors_changes_nothing() {
        let mut random = Random(2);
        let mut values = values(&mut random, 3000);
        values.extend([1e300, -1e300, 1e16, f64::MIN_POSITIVE, -1e16]);
        let whole = lanes(&values, values.len()).to_bits();
        for cut in [1, 2, 3, 7, 8, 9, 64, 2047, 2048] {
            assert_eq!(lanes(&values, cut).to_bits(), whole);
        }
    }

    #[test]
    fn test_rows_left_out_have_a_place_and_add_nothing() {
        let mut random = Random(3);
        for n in [0, 1, 7, 8, 63, 64, 65, 200, 3000] {
            for of in [1, 2, 10, 1000] {
                let mut values = values(&mut random, n);
                let mask: Vec<bool> = (0..n).map(|_| random.below(of) != 0).collect();
                let zeroed = |(&value, &kept): (&f64, &bool)| if kept { value } else { 0.0 };
                let wanted: Vec<f64> = values.iter().zip(&mask).map(zeroed).collect();
                let garbage = [f64::NAN, f64::INFINITY, -0.0, 1e300];
                for (row, _) in mask.iter().enumerate().filter(|(_, kept)| !**kept) {
                    values[row] = garbage[row % 4];
                }
                let mask = BooleanBuffer::from(mask);
                for cut in [1, 5, 8, 64, 71, 2048] {
                    let mut sum = LaneSum::default();
                    for (at, piece) in values.chunks(cut).enumerate() {
                        sum.add_masked(piece, &mask.slice(at * cut, piece.len()));
                    }
                    let total = sum.total();
                    assert_eq!(total.total().to_bits(), lanes(&wanted, cut).to_bits());
                    assert_eq!(sum.next, n % LANES);
                }
            }
        }
    }

    #[test]
    fn test_infinities_and_nan_behave_as_in_ieee_addition() {
        const INFINITY: f64 = f64::INFINITY;
        let total = |values: &[f64]| lanes(values, 2);
        assert_eq!(total(&[1.0, INFINITY, 2.0]), INFINITY);
        assert_eq!(total(&[-INFINITY, 1.0]), -INFINITY);
        assert_eq!(total(&[INFINITY, -INFINITY]).to_bits(), f64::NAN.to_bits());
        assert_eq!(total(&[1.0, -f64::NAN]).to_bits(), f64::NAN.to_bits());
        assert_eq!(total(&[1e16, 1.0, -1e16]), 1.0);
    }
}
