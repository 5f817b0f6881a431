//! Anything to text.
//!
//! Invariants: doubles print as few digits as read back to the same value, always with a point or an exponent;
//! fractions of seconds print without trailing zeros; timestamps with a zone show local time and its offset; intervals
//! print as PostgreSQL prints them; bytes of a blob that are no printable ASCII print as `\xHH`.

use std::fmt::Write;

use arrow::{array::StringViewBuilder, datatypes::IntervalMonthDayNano};
use stoadb_storage::{LogicalType, Scalar, Vector};

use super::nested;
use crate::{
    error::{EngineError, Result},
    kernel::{
        calendar::{Clock, DAY_SECONDS, civil, per_second},
        decimal::{Decimals, format_decimal},
        physical::{Bytes, Physical, booleans, column, column_i64, with_number},
    },
};

/// Writes one row's value, which is not NULL.
pub(super) type Writer = Box<dyn Fn(usize, &mut String)>;

/// A vector of texts.
pub(super) fn to_text(input: &Vector, from: &LogicalType, rows: usize) -> Result<Vector> {
    let nulls = input.nulls();
    if from.is_nested() {
        return nested::to_text(input, rows);
    }
    let write = writer(input, from)?;
    let mut builder = StringViewBuilder::with_capacity(rows);
    let mut text = String::new();
    for row in 0..rows {
        if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            builder.append_null();
            continue;
        }
        text.clear();
        write(row, &mut text);
        builder.try_append_value(&text)?;
    }
    Ok(Vector::Flat(std::sync::Arc::new(builder.finish())))
}

/// One value as text, NULL as `NULL`.
pub(crate) fn format_value(value: &Scalar) -> Result<String> {
    if value.is_null() {
        return Ok("NULL".into());
    }
    let mut text = String::new();
    if let Some(same) = value.as_str() {
        text.push_str(same);
    } else if value.ty().is_nested() {
        text = nested::first(value.array())?;
    } else {
        writer(&Vector::Constant { value: value.clone(), rows: 1 }, value.ty())?(0, &mut text);
    }
    Ok(text)
}

pub(super) fn writer(input: &Vector, from: &LogicalType) -> Result<Writer> {
    Ok(match from {
        LogicalType::Boolean => {
            let array = booleans(input)?;
            Box::new(move |row, out| {
                out.push_str(if array.value(row.min(array.len() - 1)) { "true" } else { "false" });
            })
        }
        LogicalType::Float32 => {
            let column = column::<f32>(input)?;
            Box::new(move |row, out| format_float(&format!("{:e}", column.get(row)), out))
        }
        LogicalType::Float64 => {
            let column = column::<f64>(input)?;
            Box::new(move |row, out| format_float(&format!("{:e}", column.get(row)), out))
        }
        LogicalType::Decimal { .. } => {
            let decimals = Decimals::new(input)?;
            Box::new(move |row, out| {
                out.push_str(&format_decimal(decimals.get(row), decimals.scale));
            })
        }
        LogicalType::Blob => {
            let bytes = Bytes::new(input)?;
            Box::new(move |row, out| format_bytes(bytes.get(row), out))
        }
        LogicalType::Date => {
            let column = column::<i32>(input)?;
            Box::new(move |row, out| format_date(column.get(row).into(), out))
        }
        LogicalType::Time(unit) => {
            let per_second = per_second(*unit);
            if Physical::of(from) == Physical::I32 {
                let column = column::<i32>(input)?;
                return Ok(Box::new(move |row, out| {
                    format_time(column.get(row).into(), per_second, out);
                }));
            }
            let column = column_i64(input)?;
            Box::new(move |row, out| format_time(column.get(row), per_second, out))
        }
        LogicalType::Timestamp(unit, zone) => {
            let column = column_i64(input)?;
            let clock = Clock::new(*unit, zone.as_deref())?;
            Box::new(move |row, out| format_timestamp(clock, column.get(row), out))
        }
        LogicalType::Interval => {
            let column = column::<IntervalMonthDayNano>(input)?;
            Box::new(move |row, out| format_interval(column.get(row), out))
        }
        LogicalType::Duration(unit) => {
            let (column, per_second) = (column_i64(input)?, per_second(*unit));
            Box::new(move |row, out| {
                let value = column.get(row);
                let days = value / (per_second * DAY_SECONDS);
                let within = value % (per_second * DAY_SECONDS);
                let nanos = within * (1_000_000_000 / per_second);
                // At most 10^14 days of seconds; beyond 32 bits the days are still printed in full.
                format_parts(0, days, nanos, out);
            })
        }
        _ => with_number!(Physical::of(from), T => {
            let column = column::<T>(input)?;
            Box::new(move |row, out| {
                let _ = write!(out, "{}", column.get(row));
            })
        }, _ => return Err(EngineError::Unsupported(format!("casts from {from} to VARCHAR")))),
    })
}

/// Rewrites Rust's shortest scientific form: `1.0`, `0.001`, `1e-05`, `1e+300`, `nan`, `inf`.
fn format_float(scientific: &str, out: &mut String) {
    let (mantissa, exponent) = match scientific.split_once('e') {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().unwrap_or(0)),
        None => return out.push_str(&scientific.to_lowercase()),
    };
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", mantissa),
    };
    let digits: String = mantissa.chars().filter(|&c| c != '.').collect();
    out.push_str(sign);
    if !(-4..16).contains(&exponent) {
        out.push_str(mantissa);
        let sign = if exponent < 0 { '-' } else { '+' };
        let _ = write!(out, "e{sign}{:02}", exponent.unsigned_abs());
        return;
    }
    let Ok(point) = usize::try_from(exponent + 1) else {
        out.push_str("0.");
        out.extend(std::iter::repeat_n('0', (-exponent - 1).unsigned_abs() as usize));
        return out.push_str(&digits);
    };
    if point == 0 {
        out.push_str("0.");
        out.push_str(&digits);
    } else if digits.len() > point {
        out.push_str(&digits[..point]);
        out.push('.');
        out.push_str(&digits[point..]);
    } else {
        out.push_str(&digits);
        out.extend(std::iter::repeat_n('0', point - digits.len()));
        out.push_str(".0");
    }
}

fn format_bytes(bytes: &[u8], out: &mut String) {
    for &byte in bytes {
        match byte {
            b' '..=b'~' if byte != b'\\' => out.push(char::from(byte)),
            _ => {
                let _ = write!(out, "\\x{byte:02X}");
            }
        }
    }
}

fn format_date(days: i64, out: &mut String) {
    let (year, month, day) = civil(days);
    let (shown, suffix) = if year > 0 { (year, "") } else { (1 - year, " BC") };
    let _ = write!(out, "{shown:04}-{month:02}-{day:02}{suffix}");
}

fn format_time(value: i64, per_second: i64, out: &mut String) {
    let (seconds, fraction) = (value.div_euclid(per_second), value.rem_euclid(per_second));
    let (minutes, second) = (seconds / 60, seconds % 60);
    let _ = write!(out, "{:02}:{:02}:{second:02}", minutes / 60, minutes % 60);
    format_fraction(fraction * (1_000_000_000 / per_second), out);
}

fn format_fraction(nanos: i64, out: &mut String) {
    if nanos != 0 {
        let digits = format!("{nanos:09}");
        out.push('.');
        out.push_str(digits.trim_end_matches('0'));
    }
}

fn format_timestamp(clock: Clock, value: i64, out: &mut String) {
    let offset = clock.offset(value);
    let local = i128::from(value) + i128::from(offset);
    let per_day = i128::from(clock.per_day());
    // Both fit 64 bits: the local time is less than a day beyond them.
    let (day, within) = (local.div_euclid(per_day) as i64, local.rem_euclid(per_day) as i64);
    format_date(day, out);
    let bc = out.strip_suffix(" BC").map(str::len);
    out.truncate(bc.unwrap_or(out.len()));
    out.push(' ');
    format_time(within, clock.per_second, out);
    if clock.zone.is_some() {
        let seconds = offset / clock.per_second;
        let sign = if seconds < 0 { '-' } else { '+' };
        let (hours, rest) = (seconds.abs() / 3_600, seconds.abs() % 3_600);
        let _ = write!(out, "{sign}{hours:02}");
        if rest != 0 {
            let _ = write!(out, ":{:02}", rest / 60);
        }
        if rest % 60 != 0 {
            let _ = write!(out, ":{:02}", rest % 60);
        }
    }
    if bc.is_some() {
        out.push_str(" BC");
    }
}

fn format_interval(interval: IntervalMonthDayNano, out: &mut String) {
    format_parts(interval.months.into(), interval.days.into(), interval.nanoseconds, out);
}

fn format_parts(months: i64, days: i64, nanos: i64, out: &mut String) {
    let begin = out.len();
    for (count, unit) in [(months / 12, "year"), (months % 12, "mon"), (days, "day")] {
        if count != 0 {
            let space = if out.len() == begin { "" } else { " " };
            let plural = if count == 1 { "" } else { "s" };
            let _ = write!(out, "{space}{count} {unit}{plural}");
        }
    }
    if nanos != 0 || out.len() == begin {
        let space = if out.len() == begin { "" } else { " " };
        let sign = if nanos < 0 { "-" } else { "" };
        let (seconds, fraction) =
            (nanos.unsigned_abs() / 1_000_000_000, nanos.unsigned_abs() % 1_000_000_000);
        let (minutes, second) = (seconds / 60, seconds % 60);
        let _ = write!(out, "{space}{sign}{:02}:{:02}:{second:02}", minutes / 60, minutes % 60);
        format_fraction(fraction as i64, out);
    }
}
