//! Sums of doubles that do not depend on workers, nor on how rows are cut into vectors.
//!
//! Method: an accumulator is an unevaluated sum of two doubles; each addition keeps its exact rounding error in the
//! second one, so that a total is off by about n^2 * 2^-106 of the sum of magnitudes and then rounded once. Without
//! groups, value i of a morsel goes to lane i mod 8, whatever vector it came in, and lanes are added in order.
//! Invariant: the bits are a function of the sequence of values of each morsel and of the order of morsels.

/// The lanes of `LaneSum`.
const LANES: usize = 8;

/// A sum of doubles and its error so far. Infinities and NaN behave as in IEEE addition.
#[derive(Debug, Clone, Copy, Default)]
pub struct Accumulator {
    high: f64,
    low: f64,
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
        // The error term of an infinite or NaN sum is NaN and means nothing.
        if self.high.is_finite() { self.high + self.low } else { self.high }
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
        let (mut high, mut low) = (self.high, self.low);
        for chunk in chunks {
            for lane in 0..LANES {
                let (sum, error) = two_sum(high[lane], chunk[lane]);
                high[lane] = sum;
                low[lane] += error;
            }
        }
        (self.high, self.low) = (high, low);
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

/// The rounded sum and its exact error, for any order of magnitudes.
#[inline]
fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let part = sum - a;
    (sum, (a - (sum - part)) + (b - part))
}
