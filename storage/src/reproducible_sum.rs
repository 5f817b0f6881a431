//! Sums of doubles that do not depend on workers, nor on how rows are cut into vectors.
//!
//! Method: an accumulator is an unevaluated sum of two doubles; each addition keeps its exact rounding error in the
//! second one, so that a total is off by about n^2 * 2^-106 of the sum of magnitudes and then rounded once. Without
//! groups, value i of a morsel goes to lane i mod 8, whatever vector it came in, and lanes are added in order.
//! Why not bins of fixed exponents, which would be free of order: extracting three of them measured 3 to 4 ns a value
//! (plain lanes: 0.6 to 0.9 from memory; this: 0.8 to 1.3), and their state per group is twice as large.
//! Invariant: the bits are a function of the sequence of values of each morsel and of the order of morsels.
//! Next: `moment.rs`.

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
    /// Adds values. Cutting a sequence into several calls changes nothing.
    pub fn add(&mut self, values: &[f64]) {
        let head = values.len().min((LANES - self.next) % LANES);
        let (head, rest) = values.split_at(head);
        self.add_few(head);
        let (chunks, tail) = rest.as_chunks::<LANES>();
        add_chunks(&mut self.high, &mut self.low, chunks);
        self.add_few(tail);
    }

    fn add_few(&mut self, values: &[f64]) {
        for &value in values {
            let (sum, error) = two_sum(self.high[self.next], value);
            self.high[self.next] = sum;
            self.low[self.next] += error;
            self.next = (self.next + 1) % LANES;
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

/// Adds chunks to lanes. By itself, because only then all lanes become vector instructions: what is done with the lanes
/// afterwards would decide which of them do otherwise. It halves the time.
#[inline(never)]
fn add_chunks(high: &mut [f64; LANES], low: &mut [f64; LANES], chunks: &[[f64; LANES]]) {
    let (mut highs, mut lows) = (*high, *low);
    for chunk in chunks {
        for lane in 0..LANES {
            let (sum, error) = two_sum(highs[lane], chunk[lane]);
            highs[lane] = sum;
            lows[lane] += error;
        }
    }
    (*high, *low) = (highs, lows);
}

/// The rounded sum and its exact error, for any order of magnitudes.
#[inline]
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
