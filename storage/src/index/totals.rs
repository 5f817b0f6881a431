//! What is known of the values of a range: how many, their sum, the sum of their squares.
//!
//! Invariants: whole numbers and decimals are exact in 256 bits, doubles are exact on a fixed grid; a result is rounded
//! when it is asked for. So an answer depends neither on runs nor on the order of entries, and taking entries away undoes
//! adding them.
//! Next: `view.rs`.

use arrow::datatypes::i256;

use super::{offsets::Pair, sums::FloatTotals};
use crate::{
    moment::Moment,
    reproducible_sum::Accumulator,
    table::{ExactSums, Sums},
    types::LogicalType,
};

/// Count and sums of the values of a range that are not NULL.
#[derive(Debug, Clone)]
pub struct Totals {
    pub(super) ty: LogicalType,
    pub(super) values: i64,
    pub(super) sums: TotalSums,
}

#[derive(Debug, Clone)]
pub(super) enum TotalSums {
    None,
    Whole { sum: i256, squares: Option<i256> },
    Float(Box<FloatTotals>),
}

impl Totals {
    /// Of no values of a type.
    pub(super) fn new(ty: &LogicalType) -> Self {
        let sums = match ty {
            _ if ty.is_float() => TotalSums::Float(Box::new(FloatTotals::new())),
            _ if super::code::has_sums(ty) => {
                TotalSums::Whole { sum: i256::ZERO, squares: Some(i256::ZERO) }
            }
            _ => TotalSums::None,
        };
        Self { ty: ty.clone(), values: 0, sums }
    }

    pub(super) fn count(&mut self, values: usize, subtract: bool) {
        self.values += if subtract { -(values as i64) } else { values as i64 };
    }

    /// Adds the sums of `count` values that are `base` and more, given those of what is more.
    pub(super) fn add_whole(
        &mut self,
        base: i128,
        count: usize,
        offsets: Pair,
        has_squares: bool,
        subtract: bool,
    ) {
        let TotalSums::Whole { sum, squares } = &mut self.sums else { return };
        let (base, count) = (i256::from_i128(base), i256::from_i128(count as i128));
        let based = base.wrapping_mul(count);
        let mut add = Pair { sum: offsets.sum.wrapping_add(based), squares: i256::ZERO };
        if has_squares {
            let twice = offsets.sum.wrapping_add(offsets.sum).wrapping_add(based);
            add.squares = offsets.squares.wrapping_add(twice.wrapping_mul(base));
        } else {
            *squares = None;
        }
        let signed =
            |a: i256, b: i256| if subtract { a.wrapping_sub(b) } else { a.wrapping_add(b) };
        *sum = signed(*sum, add.sum);
        *squares = squares.map(|squares| signed(squares, add.squares));
    }

    /// How many values are not NULL.
    pub fn values(&self) -> u64 {
        self.values.unsigned_abs()
    }

    /// How many of them are NaN.
    pub fn nans(&self) -> u64 {
        match &self.sums {
            TotalSums::Float(totals) => totals.specials[0].unsigned_abs(),
            _ => 0,
        }
    }

    /// The exact sum of whole numbers, durations and decimals (unscaled); `None` for other types. 0 of no values.
    pub fn exact_sum(&self) -> Option<i256> {
        match &self.sums {
            TotalSums::Whole { sum, .. } => Some(*sum),
            _ => None,
        }
    }

    /// The exact sum of squares of whole numbers and decimals (unscaled); `None` for other types, and where values of
    /// over 95 bits are in the index. 0 of no values.
    pub fn exact_squares(&self) -> Option<i256> {
        match &self.sums {
            TotalSums::Whole { squares, .. } => *squares,
            _ => None,
        }
    }

    /// The sum as a double, rounded once (decimals unscaled); of floats that of IEEE 754 where NaN or infinities are among
    /// them. `None` for types without sums. 0 of no values.
    pub fn sum_f64(&self) -> Option<f64> {
        match &self.sums {
            TotalSums::None => None,
            TotalSums::Whole { sum, .. } => Some(to_f64(*sum)),
            TotalSums::Float(totals) => Some(match totals.specials {
                [0, 0, 0] => totals.sum.to_f64(),
                [0, _, 0] => f64::INFINITY,
                [0, 0, _] => f64::NEG_INFINITY,
                _ => f64::NAN,
            }),
        }
    }

    /// The sum of the squared distances from the mean, times the number of values squared over that number: exact for
    /// whole numbers until it is rounded, for floats within two roundings. NaN where a value is NaN or infinite. `None`
    /// for types without sums and where `exact_squares` is `None` for whole numbers. 0 of no values.
    pub fn deviations(&self) -> Option<f64> {
        let count = self.values();
        if count == 0 {
            return (!matches!(self.sums, TotalSums::None)).then_some(0.0);
        }
        match &self.sums {
            TotalSums::None => None,
            TotalSums::Whole { sum, squares } => {
                let sum_wide = sum.to_i128()?;
                // n * squares - sum^2 stays within 256 bits for values of 64 bits; others go by distances in doubles.
                let n = i256::from_i128(count.into());
                let narrow = sum_wide.unsigned_abs() >> 126 == 0;
                let numerator = squares.as_ref()?.checked_mul(n).filter(|_| narrow)?;
                let numerator = numerator.checked_sub(sum.checked_mul(*sum)?)?;
                Some(to_f64(numerator) / count as f64)
            }
            TotalSums::Float(totals) if totals.specials != [0; 3] => Some(f64::NAN),
            TotalSums::Float(totals) => {
                Some(totals.squares.deviations(count, &totals.sum).to_f64() / count as f64)
            }
        }
    }

    /// The variance of all values, `None` of none and as `deviations` (decimals unscaled).
    pub fn variance_population(&self) -> Option<f64> {
        (self.values() > 0).then(|| self.deviations().map(|d| d / self.values() as f64))?
    }

    /// The variance of a sample, `None` of fewer than two values and as `deviations` (decimals unscaled).
    pub fn variance_sample(&self) -> Option<f64> {
        (self.values() > 1).then(|| self.deviations().map(|d| d / (self.values() - 1) as f64))?
    }

    /// The mean, `None` of no values and for types without sums (decimals unscaled).
    pub fn mean(&self) -> Option<f64> {
        (self.values() > 0).then(|| self.sum_f64().map(|sum| sum / self.values() as f64))?
    }

    /// The sums in the form that blocks have them in, for whatever merges those: the bits that follow are those of an
    /// exact sum. `Sums::None` for what blocks keep no sums of.
    pub fn to_sums(&self) -> Sums {
        match &self.sums {
            TotalSums::None => Sums::None,
            TotalSums::Whole { sum, squares } if crate::table::sums::is_exact(&self.ty) => {
                let Some(sum) = sum.to_i128() else { return Sums::None };
                let wide = matches!(self.ty, LogicalType::Decimal { precision: 19.., .. });
                let (low, high) = match squares {
                    Some(squares) if !wide => squares.to_parts(),
                    _ => (0, 0),
                };
                let carries = u32::try_from(high).unwrap_or_default();
                Sums::Exact(ExactSums { sum, squares: low, carries })
            }
            TotalSums::Whole { .. } => Sums::None,
            TotalSums::Float(totals) => {
                let high = self.sum_f64().unwrap_or_default();
                let low = match high.is_finite() {
                    true => totals.sum.minus(high).to_f64(),
                    false => 0.0,
                };
                let moment = Moment {
                    count: self.values() as f64,
                    mean: self.mean().unwrap_or_default(),
                    deviations: self.deviations().unwrap_or_default(),
                };
                Sums::Float { sum: Accumulator { high, low }, moment }
            }
        }
    }
}

/// The nearest double.
fn to_f64(value: i256) -> f64 {
    let negative = value < i256::ZERO;
    let (low, high) = value.wrapping_abs().to_parts();
    let high = high.cast_unsigned();
    let value = match high {
        0 => low as f64,
        _ => {
            // The high half normalised, its last bit sticky: 128 bits round as all of them would.
            let zeros = high.leading_zeros();
            let top = if zeros == 0 { high } else { high << zeros | low >> (128 - zeros) };
            let lost = low << zeros != 0;
            (top | u128::from(lost)) as f64 * 2_f64.powi(128 - zeros as i32)
        }
    };
    if negative { -value } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_wide_numbers_round_once() {
        for shift in [0_u8, 1, 60, 74, 75, 76, 100, 140, 200] {
            for number in [1_i128, 3, (1 << 53) + 1, (1 << 54) + 3, -((1 << 60) + 129), 1 << 100] {
                let shift = if number == 1 << 100 { shift.min(140) } else { shift.min(190) };
                let exact = i256::from_i128(number) << shift;
                assert_eq!(to_f64(exact), number as f64 * 2_f64.powi(shift.into()));
                if shift > 60 {
                    // Just above the half way between two doubles.
                    let above = (i256::from_i128((1 << 53) + 1) << shift).wrapping_add(i256::ONE);
                    assert_eq!(
                        to_f64(above),
                        ((1_i64 << 53) + 2) as f64 * 2_f64.powi(shift.into())
                    );
                }
            }
        }
        assert_eq!(to_f64(i256::ZERO), 0.0);
        assert_eq!(to_f64(i256::MIN), -(2_f64.powi(255)));
    }
}
