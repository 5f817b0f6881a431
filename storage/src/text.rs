//! Text to values, strictly: numbers, booleans, dates and times of day. The one place that says which texts are values,
//! for casts in SQL and for text files alike.
//!
//! Invariants: `None` means that the text is no such value, or one outside of the type; nothing is rounded but what a
//! function says it rounds. Days count from 1970-01-01 in the proleptic Gregorian calendar.
//! Next: `csv/convert.rs`.

use std::str::FromStr;

/// Appends a text in single quotes, as it stands within a list, a struct or a map: a backslash stands before quotes and
/// backslashes.
pub fn quote(text: &str, out: &mut String) {
    out.push('\'');
    for c in text.chars() {
        if matches!(c, '\'' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('\'');
}

/// A word for TRUE or FALSE, any beginning of one, or `1` or `0`; `None` otherwise.
pub fn parse_boolean(text: &str) -> Option<bool> {
    // PostgreSQL takes every beginning of a word that is not the beginning of the other one.
    let lower = text.to_ascii_lowercase();
    let begins = |word: &str| !lower.is_empty() && word.starts_with(&lower);
    if begins("true") || begins("yes") || lower == "on" || lower == "1" {
        return Some(true);
    }
    let off = begins("off") && lower.len() > 1;
    (begins("false") || begins("no") || off || lower == "0").then_some(false)
}

/// A decimal or exponential number, `inf`, `infinity` or `nan`; `None` when it is none or out of range.
pub fn parse_float<T: FromStr + Into<f64> + Copy>(text: &str) -> Option<T> {
    let value = text.parse::<T>().ok()?;
    // Digits that parse to infinity are out of range.
    let named = text.bytes().any(|byte| matches!(byte, b'i' | b'I'));
    (named || !value.into().is_infinite()).then_some(value)
}

/// A decimal text as an unscaled value, rounded half away from zero; `None` when it is none or too large.
pub fn parse_decimal(text: &str, scale: i32) -> Option<i128> {
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], text[at + 1..].parse::<i32>().ok()?.clamp(-10_000, 10_000)),
        None => (text, 0),
    };
    let (negative, digits) = match mantissa.as_bytes().first()? {
        b'-' => (true, &mantissa[1..]),
        b'+' => (false, &mantissa[1..]),
        _ => (false, mantissa),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all = || whole.bytes().chain(fraction.bytes());
    if all().next().is_none() || !all().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // The digits before this place are kept, the one at it rounds.
    let kept = i64::try_from(whole.len()).ok()? + i64::from(exponent) + i64::from(scale);
    let mut value = 0_i128;
    let mut count = 0_i64;
    for digit in all().map(|byte| i128::from(byte - b'0')) {
        if count == kept {
            value += i128::from(digit >= 5);
        }
        if count >= kept {
            break;
        }
        value = value.checked_mul(10)?.checked_add(digit)?;
        count += 1;
    }
    if value != 0 && kept > count && i64::try_from(all().count()).ok()? == count {
        let zeros = u32::try_from(kept - count).ok().filter(|&zeros| zeros <= 38)?;
        value = value.checked_mul(10_i128.pow(zeros))?;
    }
    Some(if negative { -value } else { value })
}

/// Up to `most` digits in front, as a number, and what follows.
fn digits(text: &str, most: usize) -> Option<(i64, &str)> {
    let count = text.bytes().take_while(u8::is_ascii_digit).count();
    (count > 0 && count <= most).then(|| &text[..count])?.parse().ok().map(|n| (n, &text[count..]))
}

/// `YYYY-MM-DD` or `YYYY/MM/DD` in front as a day, and what follows.
pub fn parse_date(text: &str) -> Option<(i64, &str)> {
    let (before_christ, text) = match text.strip_suffix(" BC") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (year, rest) = digits(text, 6)?;
    let separator = if rest.starts_with('/') { '/' } else { '-' };
    let (month, rest) = digits(rest.strip_prefix(separator)?, 2)?;
    let (day, rest) = digits(rest.strip_prefix(separator)?, 2)?;
    let year = if before_christ { 1 - year } else { year };
    let (month, day) = (u32::try_from(month).ok()?, u32::try_from(day).ok()?);
    let valid = (1..=12).contains(&month) && (1..=month_days(year, month)).contains(&day);
    valid.then(|| (days_of(year, month, day), rest))
}

/// `HH:MM[:SS[.fraction]]` in front in units, the fraction rounded, and what follows.
pub fn parse_clock(text: &str, per_second: i64) -> Option<(i64, &str)> {
    let (hour, rest) = digits(text, 2)?;
    let (minute, rest) = digits(rest.strip_prefix(':')?, 2)?;
    let (second, rest) = match rest.strip_prefix(':') {
        Some(rest) => digits(rest, 2)?,
        None => (0, rest),
    };
    let mut units = 0;
    let mut rest = rest;
    if let Some(fraction) = rest.strip_prefix('.') {
        let count = fraction.bytes().take_while(u8::is_ascii_digit).count();
        let text = &fraction[..count.min(18)];
        let digits = text.parse::<i128>().ok()?;
        let scale = 10_i128.pow(u32::try_from(text.len()).ok()?);
        let wide = (digits * i128::from(per_second) * 2 + scale) / (2 * scale);
        units = i64::try_from(wide).ok()?;
        rest = &fraction[count..];
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    Some(((hour * 3_600 + minute * 60 + second) * per_second + units, rest))
}

/// The day of a year, month 1 to 12 and day of month.
pub fn days_of(year: i64, month: u32, day: u32) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month = (i64::from(month) + 9) % 12;
    let day_of_year = (153 * month + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// How many days a month has.
pub fn month_days(year: i64, month: u32) -> u32 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// `+hh`, `+hhmm`, `+hh:mm` or `+hh:mm:ss` as seconds.
pub fn parse_offset(text: &str) -> Option<i64> {
    let (sign, rest) = match text.as_bytes().first()? {
        b'+' => (1, &text[1..]),
        b'-' => (-1, &text[1..]),
        _ => return None,
    };
    let digits: String = rest.chars().filter(|&c| c != ':').collect();
    let well_formed = digits.bytes().all(|byte| byte.is_ascii_digit())
        && matches!(digits.len(), 1 | 2 | 4 | 6)
        && rest.len() <= 8;
    if !well_formed {
        return None;
    }
    let hours = digits[..digits.len().min(2)].parse::<i64>().ok()?;
    let minutes = digits.get(2..4).map_or(Some(0), |m| m.parse::<i64>().ok())?;
    let seconds = digits.get(4..6).map_or(Some(0), |s| s.parse::<i64>().ok())?;
    (hours < 24 && minutes < 60 && seconds < 60)
        .then_some(sign * (hours * 3_600 + minutes * 60 + seconds))
}
