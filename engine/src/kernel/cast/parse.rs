//! Text to anything, strictly: the whole text, blanks around it trimmed, is a value, or the conversion fails.
//!
//! Invariant: what `format.rs` writes reads back to the same value.

use std::{str::FromStr, sync::Arc};

use arrow::{
    array::{BinaryViewBuilder, BooleanArray},
    datatypes::ArrowNativeType,
};
use stoadb_storage::{LogicalType, Vector};

use super::{interval::parse_interval, with_failure};
use crate::{
    error::{EngineError, Result},
    kernel::{
        arity::{OnFailure, try_rows, try_vector},
        calendar::{Clock, DAY_SECONDS, Zone, days_of, month_days, parse_offset},
        decimal::{fits, power, wide_vector},
        physical::{Physical, Texts, boolean_vector},
    },
};

/// The conversion; the input is not constant NULL.
pub(super) fn from_text(
    input: &Vector,
    rows: usize,
    to: &LogicalType,
    or_null: bool,
) -> Result<Vector> {
    let texts = Texts::new(input)?;
    let text = |row: usize| texts.get(row).trim();
    with_failure(input, &LogicalType::Text, to, or_null, |on_failure| {
        let nulls = input.nulls();
        match to {
            LogicalType::Boolean => {
                let (values, nulls) =
                    try_rows(rows, nulls, on_failure, |row| parse_boolean(text(row)))?;
                Ok(boolean_vector(BooleanArray::new(values.into(), nulls)))
            }
            LogicalType::Float32 => {
                try_vector(rows, to, nulls, on_failure, |row| parse_float::<f32>(text(row)))
            }
            LogicalType::Float64 => {
                try_vector(rows, to, nulls, on_failure, |row| parse_float::<f64>(text(row)))
            }
            LogicalType::Decimal { precision, scale } => {
                let (precision, scale) = (u32::from(*precision), i32::from(*scale));
                let (values, nulls) = try_rows(rows, nulls, on_failure, |row| {
                    parse_decimal(text(row), scale).filter(|&value| fits(value, precision))
                })?;
                wide_vector(to, values, nulls)
            }
            LogicalType::Blob => {
                let (values, nulls) =
                    try_rows(rows, nulls, on_failure, |row| parse_bytes(texts.get(row)))?;
                let mut builder = BinaryViewBuilder::with_capacity(rows);
                for (row, value) in values.iter().enumerate() {
                    match nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)) {
                        true => builder.try_append_value(value)?,
                        false => builder.append_null(),
                    }
                }
                Ok(Vector::Flat(Arc::new(builder.finish())))
            }
            LogicalType::Date => try_vector(rows, to, nulls, on_failure, |row| {
                let (day, rest) = parse_date(text(row))?;
                let rest = rest.strip_prefix(['T', ' ']).map_or(rest, str::trim);
                let valid = rest.is_empty() || parse_clock(rest, 1_000_000_000).is_some();
                i32::try_from(day).ok().filter(|_| valid)
            }),
            LogicalType::Time(unit) => {
                let clock = Clock::new(*unit, None)?;
                let time = |row: usize| match parse_clock(text(row), clock.per_second)? {
                    (time, "") if time < clock.per_day() => Some(time),
                    _ => None,
                };
                match Physical::of(to) {
                    Physical::I32 => try_vector(rows, to, nulls, on_failure, |row| {
                        time(row).and_then(|time| i32::try_from(time).ok())
                    }),
                    _ => try_vector(rows, to, nulls, on_failure, time),
                }
            }
            LogicalType::Timestamp(unit, zone) => {
                let clock = Clock::new(*unit, zone.as_deref())?;
                try_vector(rows, to, nulls, on_failure, |row| parse_timestamp(text(row), clock))
            }
            LogicalType::Interval => {
                try_vector(rows, to, nulls, on_failure, |row| parse_interval(text(row)))
            }
            LogicalType::Int8 => integers::<i8>(&texts, rows, to, input, on_failure),
            LogicalType::Int16 => integers::<i16>(&texts, rows, to, input, on_failure),
            LogicalType::Int32 => integers::<i32>(&texts, rows, to, input, on_failure),
            LogicalType::Int64 => integers::<i64>(&texts, rows, to, input, on_failure),
            LogicalType::UInt8 => integers::<u8>(&texts, rows, to, input, on_failure),
            LogicalType::UInt16 => integers::<u16>(&texts, rows, to, input, on_failure),
            LogicalType::UInt32 => integers::<u32>(&texts, rows, to, input, on_failure),
            LogicalType::UInt64 => integers::<u64>(&texts, rows, to, input, on_failure),
            other => Err(EngineError::Unsupported(format!("casts from VARCHAR to {other}"))),
        }
    })
}

fn integers<T: ArrowNativeType + FromStr>(
    texts: &Texts,
    rows: usize,
    to: &LogicalType,
    input: &Vector,
    on_failure: &OnFailure<'_>,
) -> Result<Vector> {
    try_vector(rows, to, input.nulls(), on_failure, |row| texts.get(row).trim().parse::<T>().ok())
}

fn parse_boolean(text: &str) -> Option<bool> {
    // PostgreSQL takes every beginning of a word that is not the beginning of the other one.
    let lower = text.to_ascii_lowercase();
    let begins = |word: &str| !lower.is_empty() && word.starts_with(&lower);
    if begins("true") || begins("yes") || lower == "on" || lower == "1" {
        return Some(true);
    }
    let off = begins("off") && lower.len() > 1;
    (begins("false") || begins("no") || off || lower == "0").then_some(false)
}

fn parse_float<T: FromStr + Into<f64> + Copy>(text: &str) -> Option<T> {
    let value = text.parse::<T>().ok()?;
    // Digits that parse to infinity are out of range.
    let named = text.bytes().any(|byte| matches!(byte, b'i' | b'I'));
    (named || !value.into().is_infinite()).then_some(value)
}

/// A decimal text as an unscaled value, rounded half away from zero; `None` when it is none or too large.
pub(super) fn parse_decimal(text: &str, scale: i32) -> Option<i128> {
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
        value = value.checked_mul(power(zeros))?;
    }
    Some(if negative { -value } else { value })
}

/// `\xHH` stands for a byte, everything else for itself.
fn parse_bytes(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        let hex = tail.strip_prefix(b"x")?.get(..2)?;
        bytes.push(u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()?);
        rest = &tail[3..];
    }
    Some(bytes)
}

/// Up to `most` digits in front, as a number, and what follows.
fn digits(text: &str, most: usize) -> Option<(i64, &str)> {
    let count = text.bytes().take_while(u8::is_ascii_digit).count();
    (count > 0 && count <= most).then(|| &text[..count])?.parse().ok().map(|n| (n, &text[count..]))
}

/// `YYYY-MM-DD` in front as a day, and what follows.
pub(super) fn parse_date(text: &str) -> Option<(i64, &str)> {
    let (before_christ, text) = match text.strip_suffix(" BC") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (year, rest) = digits(text, 6)?;
    let (month, rest) = digits(rest.strip_prefix('-')?, 2)?;
    let (day, rest) = digits(rest.strip_prefix('-')?, 2)?;
    let year = if before_christ { 1 - year } else { year };
    let (month, day) = (u32::try_from(month).ok()?, u32::try_from(day).ok()?);
    let valid = (1..=12).contains(&month) && (1..=month_days(year, month)).contains(&day);
    valid.then(|| (days_of(year, month, day), rest))
}

/// `HH:MM[:SS[.fraction]]` in front in units, the fraction rounded, and what follows.
pub(super) fn parse_clock(text: &str, per_second: i64) -> Option<(i64, &str)> {
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

/// A date, perhaps with a time and a zone. A zone counts only when the type has one, as in PostgreSQL.
fn parse_timestamp(text: &str, clock: Clock) -> Option<i64> {
    let (day, rest) = parse_date(text)?;
    let (within, rest) = match rest.strip_prefix(['T', ' ']) {
        Some(time) if !time.trim().is_empty() => parse_clock(time.trim_start(), clock.per_second)?,
        _ => (0, rest),
    };
    let local = clock.join(day, within)?;
    let zone = match rest.trim() {
        "" => return clock.stored(local),
        name => match parse_offset(name) {
            Some(seconds) => Zone::Fixed(seconds),
            None => Zone::parse(name).ok()?,
        },
    };
    debug_assert!(within <= clock.per_second * DAY_SECONDS);
    match clock.zone {
        Some(_) => Clock { zone: Some(zone), ..clock }.stored(local),
        None => Some(local),
    }
}
