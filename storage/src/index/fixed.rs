//! Exact sums of doubles and of their squares: integers on one fixed grid, as wide as the values need.
//!
//! Method: a double is a whole number of 53 bits at a place; added at its place to a wide two's-complement integer
//! nothing is lost (Kulisch and Miranker 1986; Neal 2015, "Fast exact summation using small and large
//! superaccumulators"). Sums are therefore independent of order, add and subtract exactly, and are rounded once.
//! Invariant: word `i` of a `Fixed` counts in units of `2^(unit + 64 i)`; words below `low` are zero, words from `high` on
//! repeat the sign.
//! Next: `sums.rs`.

/// Words that hold every sum of 2^32 squares of doubles: 4,400 bits.
const WORDS: usize = 72;

/// The place of the lowest bit of sums: below the least double, at a multiple of 64.
pub(super) const SUM_UNIT: i32 = -64 * 17;
/// The place of the lowest bit of sums of squares.
pub(super) const SQUARE_UNIT: i32 = 2 * SUM_UNIT;

/// A wide number on a fixed grid.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fixed {
    unit: i32,
    low: usize,
    high: usize,
    words: [u64; WORDS],
}

/// Which words of the grid are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Window {
    pub(super) low: usize,
    pub(super) words: usize,
}

impl Window {
    /// The words for sums of up to 2^32 numbers whose bits lie in places `lowest..=highest`; none where no number has a
    /// bit.
    pub(super) fn of(unit: i32, lowest: i32, highest: i32) -> Self {
        if lowest > highest {
            return Self::default();
        }
        let low = ((lowest - unit) / 64) as usize;
        // 32 bits for the count, one for the sign.
        let high = ((highest + 33 - unit) / 64) as usize + 1;
        Self { low, words: high - low }
    }
}

/// Sign, whole number and place of a finite double.
pub(super) fn parts(value: f64) -> (bool, u64, i32) {
    let bits = value.to_bits();
    let exponent = (bits >> 52 & 0x7ff) as i32;
    let fraction = bits & ((1 << 52) - 1);
    match exponent {
        0 => (bits >> 63 == 1, fraction, -1074),
        _ => (bits >> 63 == 1, fraction | 1 << 52, exponent - 1075),
    }
}

impl Fixed {
    /// Zero.
    pub(super) fn new(unit: i32) -> Self {
        Self { unit, low: 0, high: 0, words: [0; WORDS] }
    }

    /// Makes room for what is to be added: the words of a window and one more.
    #[inline]
    pub(super) fn widen(&mut self, window: Window) {
        if window.words == 0 {
            return;
        }
        if self.high == 0 {
            self.low = window.low;
            self.high = window.low;
        }
        self.low = self.low.min(window.low);
        let high = (window.low + window.words + 1).min(WORDS);
        if high > self.high {
            let sign = self.sign();
            self.words[self.high..high].fill(sign);
            self.high = high;
        }
    }

    fn sign(&self) -> u64 {
        match self.high {
            0 => 0,
            high if self.words[high - 1] >> 63 == 1 => u64::MAX,
            _ => 0,
        }
    }

    /// Adds or subtracts stored words of a window.
    #[inline]
    pub(super) fn add_words(&mut self, window: Window, words: &[u64], subtract: bool) {
        self.widen(window);
        let sign = match words.last() {
            Some(&last) if last >> 63 == 1 => u64::MAX,
            _ => 0,
        };
        self.add(window.low, words, sign, subtract);
    }

    #[inline]
    fn add(&mut self, at: usize, words: &[u64], sign: u64, subtract: bool) {
        let flip = if subtract { u64::MAX } else { 0 };
        let mut carry = subtract;
        let (mine, rest) = self.words[at..self.high].split_at_mut(words.len().min(self.high - at));
        for (mine, word) in mine.iter_mut().zip(words) {
            let (sum, over) = mine.overflowing_add(word ^ flip);
            let (sum, again) = sum.overflowing_add(carry.into());
            (*mine, carry) = (sum, over | again);
        }
        let filler = sign ^ flip;
        for mine in rest {
            if filler == (if carry { u64::MAX } else { 0 }) {
                return;
            }
            let (sum, over) = mine.overflowing_add(filler);
            let (sum, again) = sum.overflowing_add(carry.into());
            (*mine, carry) = (sum, over | again);
        }
    }

    /// Adds a whole number of up to 110 bits at a place. The words must have been made room for.
    #[inline]
    fn add_at(&mut self, number: u128, place: i32, negative: bool) {
        if number == 0 {
            return;
        }
        let bit = (place - self.unit) as usize;
        let (word, shift) = (bit / 64, bit % 64);
        let low = number << shift;
        let high = if shift == 0 { 0 } else { (number >> (128 - shift)) as u64 };
        self.add(word, &[low as u64, (low >> 64) as u64, high], 0, negative);
    }

    /// Adds or subtracts a finite double.
    #[inline]
    pub(super) fn add_double(&mut self, value: f64, subtract: bool) {
        let (negative, number, place) = parts(value);
        let zeros = number.trailing_zeros().min(63);
        self.add_at((number >> zeros).into(), place + zeros as i32, negative != subtract);
    }

    /// Adds or subtracts the square of a finite double.
    #[inline]
    pub(super) fn add_square(&mut self, value: f64, subtract: bool) {
        let (_, number, place) = parts(value);
        let zeros = number.trailing_zeros().min(63);
        let number = u128::from(number >> zeros);
        self.add_at(number * number, 2 * (place + zeros as i32), subtract);
    }

    /// The words of a window.
    pub(super) fn window(&self, window: Window) -> &[u64] {
        &self.words[window.low..window.low + window.words]
    }

    /// `count * squares - sum^2`, where `self` are the squares: never negative.
    pub(super) fn deviations(&self, count: u64, sum: &Self) -> Self {
        let mut result = Self::new(SQUARE_UNIT);
        let low = self.low.min(2 * sum.low);
        let high = (self.high + 1).max(2 * sum.high + 1).min(WORDS);
        (result.low, result.high) = (low, high);
        for (at, &word) in self.words[self.low..self.high].iter().enumerate() {
            let product = u128::from(word) * u128::from(count);
            let words = [product as u64, (product >> 64) as u64];
            result.add(self.low + at, &words, 0, false);
        }
        let (_, magnitude) = sum.magnitude();
        for (i, &a) in (sum.low..).zip(&magnitude[sum.low..sum.high]) {
            for (j, &b) in (sum.low..).zip(&magnitude[sum.low..sum.high]) {
                let product = u128::from(a) * u128::from(b);
                if product != 0 {
                    let words = [product as u64, (product >> 64) as u64];
                    result.add(i + j, &words, 0, true);
                }
            }
        }
        result
    }

    fn magnitude(&self) -> (bool, [u64; WORDS]) {
        let negative = self.sign() != 0;
        if !negative {
            return (false, self.words);
        }
        let mut words = self.words;
        let mut carry = true;
        for word in &mut words[self.low..self.high] {
            let (sum, over) = (!*word).overflowing_add(carry.into());
            (*word, carry) = (sum, over);
        }
        (true, words)
    }

    /// The nearest double, ties to even.
    pub(super) fn to_f64(&self) -> f64 {
        let (negative, words) = self.magnitude();
        let Some(top) = (self.low..self.high).rev().find(|&i| words[i] != 0) else { return 0.0 };
        let zeros = words[top].leading_zeros();
        let below = if top > 0 { words[top - 1] } else { 0 };
        let mut number = words[top] << zeros;
        let mut lost = below != 0;
        if zeros > 0 {
            number |= below >> (64 - zeros);
            lost = below << zeros != 0;
        }
        lost |= words[self.low..top.saturating_sub(1).max(self.low)].iter().any(|&word| word != 0);
        // 64 bits, the last one sticky: the conversion rounds as the exact number would.
        let value = (number | u64::from(lost)) as f64;
        let place = self.unit + 64 * top as i32 - zeros as i32;
        let value = scale(value, place);
        if negative { -value } else { value }
    }

    /// What is left when a double is taken away.
    pub(super) fn minus(&self, value: f64) -> Self {
        let mut rest = self.clone();
        if value != 0.0 && value.is_finite() {
            let (_, number, place) = parts(value);
            let highest = place + 63 - number.leading_zeros() as i32;
            rest.widen(Window::of(rest.unit, place + number.trailing_zeros() as i32, highest));
            rest.add_double(value, true);
        }
        rest
    }
}

/// `value * 2^place`, in two steps so that no power leaves the range of doubles.
fn scale(value: f64, place: i32) -> f64 {
    let first = place.clamp(-900, 900);
    value * 2_f64.powi(first) * 2_f64.powi((place - first).clamp(-1000, 1000))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::tests::Random;

    fn range(values: &[f64]) -> (i32, i32) {
        let mut range = (i32::MAX, i32::MIN);
        for &value in values.iter().filter(|value| **value != 0.0) {
            let (_, number, place) = parts(value);
            range.0 = range.0.min(place + number.trailing_zeros() as i32);
            range.1 = range.1.max(place + 63 - number.leading_zeros() as i32);
        }
        range
    }

    fn sums(values: &[f64]) -> (Fixed, Fixed) {
        let (lowest, highest) = range(values);
        let (mut sum, mut squares) = (Fixed::new(SUM_UNIT), Fixed::new(SQUARE_UNIT));
        sum.widen(Window::of(SUM_UNIT, lowest, highest));
        if lowest <= highest {
            squares.widen(Window::of(SQUARE_UNIT, 2 * lowest, 2 * highest + 1));
        }
        for &value in values {
            sum.add_double(value, false);
            squares.add_square(value, false);
        }
        (sum, squares)
    }

    #[test]
    fn test_sums_are_exact_and_rounded_once() {
        let sum = |values: &[f64]| sums(values).0.to_f64();
        assert_eq!(sum(&[]), 0.0);
        assert_eq!(sum(&[1e16, 1.0, -1e16]), 1.0);
        assert_eq!(sum(&[f64::MAX, f64::MAX, -f64::MAX]), f64::MAX);
        assert_eq!(sum(&[f64::MAX, f64::MAX]), f64::INFINITY);
        assert_eq!(sum(&[1e300, 1.0, 5e-324, -1e300, -1.0]), 5e-324);
        assert_eq!(sum(&[-1e300, 5e-324, 1e300]), 5e-324);
        assert_eq!(sum(&[f64::MIN_POSITIVE, -5e-324]), f64::MIN_POSITIVE - 5e-324);
        assert_eq!(sum(&[(1_i64 << 53) as f64, 1.0]), (1_i64 << 53) as f64);
        assert_eq!(sum(&[(1_i64 << 53) as f64, 1.0, 1e-300]), ((1_i64 << 53) + 2) as f64);
        assert_eq!(sum(&[-0.1, 0.3]), {
            // 0.3 - 0.1 with both as they are stored, exact: the doubles are multiples of 2^-56.
            let unit = 2_f64.powi(56);
            ((0.3 * unit) as i64 - (0.1 * unit) as i64) as f64 / unit
        });
    }

    #[test]
    fn test_order_does_not_matter_and_subtraction_undoes() {
        let mut random = Random(5);
        for _ in 0..50 {
            let values: Vec<f64> = (0..40)
                .map(|_| f64::from_bits(random.next()))
                .filter(|value| value.is_finite())
                .collect();
            let (sum, squares) = sums(&values);
            let mut reversed = values.clone();
            reversed.reverse();
            assert_eq!(sums(&reversed), (sum.clone(), squares.clone()));
            let (mut rest, mut rest_squares) = (sum, squares);
            for &value in &values[1..] {
                rest.add_double(value, true);
                rest_squares.add_square(value, true);
            }
            assert_eq!(rest.to_f64(), values[0]);
            assert_eq!(rest.minus(values[0]).to_f64(), 0.0);
            assert_eq!(rest_squares.to_f64(), values[0] * values[0]);
        }
    }

    #[test]
    fn test_deviations_equal_those_of_integers() {
        let mut random = Random(6);
        for offset in [0_i64, 1 << 30, -(1 << 40)] {
            let whole: Vec<i64> = (0..200).map(|_| offset + random.below(1 << 20) as i64).collect();
            let values: Vec<f64> = whole.iter().map(|&v| v as f64).collect();
            let (sum, squares) = sums(&values);
            let n = 200_i128;
            let total: i128 = whole.iter().map(|&v| i128::from(v)).sum();
            let of_squares: i128 = whole.iter().map(|&v| i128::from(v) * i128::from(v)).sum();
            let exact = n * of_squares - total * total;
            assert_eq!(squares.deviations(200, &sum).to_f64(), exact as f64);
        }
        let (sum, squares) = sums(&[1e308, -1e308, 5e-324]);
        assert_eq!(squares.deviations(3, &sum).to_f64(), f64::INFINITY);
        let (sum, squares) = sums(&[0.1; 77]);
        assert_eq!(squares.deviations(77, &sum).to_f64(), 0.0);
    }
}
