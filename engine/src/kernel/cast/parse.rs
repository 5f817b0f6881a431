//! Text to anything, strictly: the whole text, blanks around it trimmed, is a value, or the conversion fails.
//!
//! Invariant: what `format.rs` writes reads back to the same value.

use std::{str::FromStr, sync::Arc};

use arrow::{
    array::{BinaryViewBuilder, BooleanArray},
    datatypes::ArrowNativeType,
};
use stoadb_storage::{
    LogicalType, Vector,
    text::{parse_boolean, parse_clock, parse_date, parse_decimal, parse_float, parse_offset},
};

use super::{interval::parse_interval, with_failure};
use crate::{
    error::{EngineError, Result},
    kernel::{
        arity::{OnFailure, try_rows, try_vector},
        calendar::{Clock, DAY_SECONDS, Zone},
        decimal::{fits, wide_vector},
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
