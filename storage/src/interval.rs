//! The lengths of intervals, by which they compare.
//!
//! Invariant: a month has 30 days and a day 24 hours. A length gives back an interval that equals the first one, in its
//! largest units.

use arrow::datatypes::IntervalMonthDayNano;

/// Nanoseconds of a day.
pub(crate) const DAY: i128 = 86_400_000_000_000;

/// An interval's length in nanoseconds, by which intervals compare.
pub fn interval_length(interval: IntervalMonthDayNano) -> i128 {
    let days = i128::from(interval.months) * 30 + i128::from(interval.days);
    days * DAY + i128::from(interval.nanoseconds)
}

/// The interval of a length in its largest units, the inverse of `interval_length` up to equality.
pub fn interval_of_length(nanos: i128) -> IntervalMonthDayNano {
    let days = nanos / DAY;
    let fit = |value: i128| value.clamp(i32::MIN.into(), i32::MAX.into()) as i32;
    let months = fit(days / 30);
    let days = fit(days - i128::from(months) * 30);
    let whole = interval_length(IntervalMonthDayNano { months, days, nanoseconds: 0 });
    IntervalMonthDayNano { months, days, nanoseconds: (nanos - whole) as i64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_a_length_gives_back_an_equal_interval() {
        let extremes = |n: usize| [i32::MIN, -1, 0, 1, 31, i32::MAX][n];
        for (months, days) in (0..36).map(|n| (extremes(n / 6), extremes(n % 6))) {
            for nanoseconds in [i64::MIN, -1, 0, 90_000_000_000_000, i64::MAX] {
                let length = interval_length(IntervalMonthDayNano { months, days, nanoseconds });
                assert_eq!(interval_length(interval_of_length(length)), length);
            }
        }
        let spelt = interval_of_length(75 * DAY + 1);
        assert_eq!((spelt.months, spelt.days, spelt.nanoseconds), (2, 15, 1));
    }
}
