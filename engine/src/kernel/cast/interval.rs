//! Text to intervals: `1 year 2 mons -3 days 04:05:06.7`, `90 minutes`, `1.5 hours ago`.
//!
//! Invariant: every part is a number and a unit, or a time of day; fractions of months become days of a thirtieth
//! month, fractions of days become time.

use arrow::datatypes::IntervalMonthDayNano;
use stoadb_storage::text::{parse_clock, parse_decimal};

use crate::kernel::{calendar::DAY_NANOS, decimal::divide_round};

/// Billionths, in which numbers are read.
const ONE: i128 = 1_000_000_000;

/// An interval; `None` when the text is none.
pub(super) fn parse_interval(text: &str) -> Option<IntervalMonthDayNano> {
    let lower = text.to_ascii_lowercase();
    let (body, ago) = match lower.strip_suffix(" ago") {
        Some(body) => (body, true),
        None => (lower.as_str(), false),
    };
    let body = body.strip_prefix('@').unwrap_or(body);
    let mut total = Total::default();
    let mut words = body.split_whitespace().flat_map(split_number).peekable();
    words.peek()?;
    while let Some(word) = words.next() {
        if word.contains(':') {
            let (negative, time) = match word.strip_prefix(['-', '+']) {
                Some(time) => (word.starts_with('-'), time),
                None => (false, word),
            };
            let nanos = i128::from(parse_long_clock(time)?);
            total.nanos += if negative { -nanos } else { nanos };
            continue;
        }
        let number = parse_decimal(word, 9)?;
        // A bare number counts seconds.
        total.add(number, words.next().unwrap_or("second"))?;
    }
    total.finish(ago)
}

/// `10days` as `10` and `days`.
fn split_number(word: &str) -> impl Iterator<Item = &str> {
    let is_number = |c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.');
    let at = match word.find(|c: char| !is_number(c)) {
        Some(at) if at > 0 && !word.contains(':') => at,
        _ => word.len(),
    };
    [&word[..at], &word[at..]].into_iter().filter(|part| !part.is_empty())
}

/// A time whose hours may exceed a day.
fn parse_long_clock(text: &str) -> Option<i64> {
    let (hours, rest) = text.split_once(':')?;
    let hours: i64 = hours.parse().ok().filter(|&hours| hours >= 0)?;
    let padded = format!("00:{rest}");
    let (nanos, tail) = parse_clock(&padded, 1_000_000_000)?;
    if !tail.is_empty() {
        return None;
    }
    hours.checked_mul(3_600_000_000_000)?.checked_add(nanos)
}

#[derive(Default)]
struct Total {
    months: i128,
    days: i128,
    nanos: i128,
}

impl Total {
    /// Adds so many billionths of a unit.
    fn add(&mut self, number: i128, unit: &str) -> Option<()> {
        let unit = unit.trim_end_matches(',');
        let months = match unit {
            "millennium" | "millennia" | "millenniums" => 12_000,
            "century" | "centuries" | "c" => 1_200,
            "decade" | "decades" => 120,
            "year" | "years" | "y" | "yr" | "yrs" => 12,
            "quarter" | "quarters" => 3,
            "month" | "months" | "mon" | "mons" => 1,
            _ => 0,
        };
        if months > 0 {
            let scaled = number.checked_mul(months)?;
            self.months = self.months.checked_add(scaled / ONE)?;
            return self.add_days((scaled % ONE).checked_mul(30)?);
        }
        let nanos: i128 = match unit {
            "week" | "weeks" | "w" => return self.add_days(number.checked_mul(7)?),
            "day" | "days" | "d" => return self.add_days(number),
            "hour" | "hours" | "h" | "hr" | "hrs" => 3_600 * ONE,
            "minute" | "minutes" | "m" | "min" | "mins" => 60 * ONE,
            "second" | "seconds" | "s" | "sec" | "secs" => ONE,
            "millisecond" | "milliseconds" | "ms" | "msec" | "msecs" => 1_000_000,
            "microsecond" | "microseconds" | "us" | "usec" | "usecs" => 1_000,
            "nanosecond" | "nanoseconds" | "ns" => 1,
            _ => return None,
        };
        self.nanos = self.nanos.checked_add(divide_round(number.checked_mul(nanos)?, ONE))?;
        Some(())
    }

    fn add_days(&mut self, number: i128) -> Option<()> {
        self.days = self.days.checked_add(number / ONE)?;
        let rest = (number % ONE).checked_mul(i128::from(DAY_NANOS))?;
        self.nanos = self.nanos.checked_add(divide_round(rest, ONE))?;
        Some(())
    }

    fn finish(self, ago: bool) -> Option<IntervalMonthDayNano> {
        let sign = if ago { -1 } else { 1 };
        Some(IntervalMonthDayNano {
            months: i32::try_from(self.months * sign).ok()?,
            days: i32::try_from(self.days * sign).ok()?,
            nanoseconds: i64::try_from(self.nanos * sign).ok()?,
        })
    }
}
