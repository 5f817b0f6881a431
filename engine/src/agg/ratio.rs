//! Quotients of wide integers, rounded once.
//!
//! Invariant: `divide` gives the double nearest to the exact quotient, ties to even.

use arrow::datatypes::i256;

/// The double nearest to `numerator / (denominator * 10^scale)`; the denominator is positive.
pub(crate) fn divide(numerator: i256, denominator: u128, scale: i8) -> f64 {
    const EXACT: u128 = 1 << 53;
    if scale == 0
        && let Some(small) = numerator.to_i128()
        && small.unsigned_abs() <= EXACT
        && denominator <= EXACT
    {
        return small as f64 / denominator as f64;
    }
    let mut denominator = i256::from_parts(denominator, 0);
    let mut numerator = numerator;
    let ten = i256::from_i128(10);
    for _ in 0..scale.unsigned_abs() {
        // Scales are at most 38 (126 bits) and denominators of at most 80 bits come with a scale.
        if scale > 0 {
            denominator = denominator.wrapping_mul(ten);
        } else {
            numerator = numerator.wrapping_mul(ten);
        }
    }
    let negative = numerator < i256::ZERO;
    let magnitude = numerator.wrapping_abs();
    if magnitude == i256::ZERO {
        return 0.0;
    }
    let shift = 254_u32.saturating_sub(bit_length(magnitude));
    let magnitude = magnitude << shift as u8;
    // The denominator has at most 190 bits, so that the quotient has at least 64.
    let quotient = magnitude.wrapping_div(denominator);
    let exact = quotient.wrapping_mul(denominator) == magnitude;
    let surplus = bit_length(quotient).saturating_sub(64);
    let (top, _) = (quotient >> surplus as u8).to_parts();
    let lost = (quotient >> surplus as u8) << surplus as u8 != quotient || !exact;
    // 64 bits, the last one sticky: the conversion to 53 bits rounds as the exact quotient would.
    let sticky = top as u64 | u64::from(lost);
    let value = sticky as f64 * 2_f64.powi(surplus as i32 - shift as i32);
    if negative { -value } else { value }
}

/// `numerator / denominator` rounded half away from zero; the denominator is positive.
pub(crate) fn divide_half_away(numerator: i256, denominator: i256) -> i256 {
    let quotient = numerator.wrapping_div(denominator);
    let rest = numerator.wrapping_sub(quotient.wrapping_mul(denominator)).wrapping_abs();
    if rest < denominator.wrapping_sub(rest) {
        return quotient;
    }
    let one = if numerator < i256::ZERO { i256::MINUS_ONE } else { i256::ONE };
    quotient.wrapping_add(one)
}

fn bit_length(value: i256) -> u32 {
    let (low, high) = value.to_parts();
    match high {
        0 => 128 - low.leading_zeros(),
        high => 256 - high.leading_zeros(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_divide_rounds_once() {
        let divide = |n: i128, d: u128, s| divide(i256::from_i128(n), d, s);
        assert_eq!(divide(1, 3, 0), 1.0 / 3.0);
        assert_eq!(divide(-7, 2, 0), -3.5);
        assert_eq!(divide(0, 5, 2), 0.0);
        assert_eq!(divide(1, 1, 1), 0.1);
        assert_eq!(divide(12345, 1, 2), 123.45);
        assert_eq!(divide(5, 1, -2), 500.0);
        assert_eq!(divide((1 << 53) + 1, 1, 0), ((1_i64 << 53) + 1) as f64);
        assert_eq!(divide((1 << 54) + 3, 1, 0), ((1_i64 << 54) + 3) as f64);
        assert_eq!(divide(i128::MAX, 1, 0), i128::MAX as f64);
        assert_eq!(divide(i128::MIN + 1, 3, 0), (i128::MIN + 1) as f64 / 3.0);
        // One third of 2^100 as text parses to the nearest double.
        let third: f64 = "422550200076076467165567735125.3333333333333".parse().unwrap();
        assert_eq!(divide(1 << 100, 3, 0), third);
    }

    #[test]
    fn test_divide_half_away() {
        let check = |n: i128, d: i128| {
            divide_half_away(i256::from_i128(n), i256::from_i128(d)).to_i128().unwrap()
        };
        assert_eq!(
            [check(5, 2), check(-5, 2), check(4, 3), check(-4, 3), check(5, 3)],
            [3, -3, 1, -1, 2]
        );
    }
}
