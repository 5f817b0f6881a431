//! One value as text or as JSON.
//!
//! Invariants: numbers lose nothing (doubles in the shortest form that reads back the same, decimals digit by digit);
//! dates and times are ISO 8601 with a blank between date and time; a nested value is JSON in every format.
//! Next: `calendar.rs`, which turns counts of days and seconds into dates and times.

use std::fmt::Write as _;

use arrow::{
    array::{Array, AsArray},
    datatypes as dt,
    datatypes::DataType,
    error::ArrowError,
    util::display::{ArrayFormatter, FormatOptions},
};

use super::calendar;

/// Appends the text of a value that is not NULL.
///
/// # Errors
/// When the value is outside of what its type can show, such as an unknown time zone.
pub(super) fn write_text(
    out: &mut String,
    array: &dyn Array,
    row: usize,
) -> Result<(), ArrowError> {
    match array.data_type() {
        DataType::Utf8View => out.push_str(array.as_string_view().value(row)),
        DataType::Utf8 => out.push_str(array.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => out.push_str(array.as_string::<i64>().value(row)),
        DataType::BinaryView => write_blob(out, array.as_binary_view().value(row)),
        DataType::Binary => write_blob(out, array.as_binary::<i32>().value(row)),
        DataType::LargeBinary => write_blob(out, array.as_binary::<i64>().value(row)),
        DataType::FixedSizeBinary(_) => write_blob(out, array.as_fixed_size_binary().value(row)),
        DataType::Float32 => {
            write_float(out, array.as_primitive::<dt::Float32Type>().value(row));
        }
        DataType::Float64 => {
            write_float(out, array.as_primitive::<dt::Float64Type>().value(row));
        }
        DataType::Decimal128(_, scale) => {
            write_decimal(out, array.as_primitive::<dt::Decimal128Type>().value(row), *scale);
        }
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            let entry = dictionary.normalized_keys()[row];
            return write_text(out, dictionary.values().as_ref(), entry);
        }
        DataType::List(_) | DataType::Struct(_) | DataType::Map(..) => {
            return write_json(out, array, row);
        }
        ty if calendar::is_time(ty) => return calendar::write(out, array, row),
        _ => {
            let options = FormatOptions::default();
            let text = ArrayFormatter::try_new(array, &options)?.value(row).try_to_string()?;
            out.push_str(&text);
        }
    }
    Ok(())
}

/// Appends a value, NULL too, as JSON: numbers and booleans bare, lists as arrays, structs and maps as objects, all
/// else as strings; NaN and the infinities as strings, for JSON has no such numbers.
///
/// # Errors
/// As `write_text`.
pub(super) fn write_json(
    out: &mut String,
    array: &dyn Array,
    row: usize,
) -> Result<(), ArrowError> {
    if array.data_type() == &DataType::Null || array.is_null(row) {
        out.push_str("null");
        return Ok(());
    }
    match array.data_type() {
        DataType::Float32 if !array.as_primitive::<dt::Float32Type>().value(row).is_finite() => {}
        DataType::Float64 if !array.as_primitive::<dt::Float64Type>().value(row).is_finite() => {}
        DataType::Boolean => return write_text(out, array, row),
        ty if ty.is_numeric() => return write_text(out, array, row),
        DataType::List(_) => {
            let values = array.as_list::<i32>().value(row);
            return write_json_items(out, values.as_ref());
        }
        DataType::Struct(fields) => {
            let parts = array.as_struct();
            out.push('{');
            for (i, (field, column)) in fields.iter().zip(parts.columns()).enumerate() {
                out.push_str(if i == 0 { "" } else { "," });
                write_json_text(out, field.name());
                out.push(':');
                write_json(out, column.as_ref(), row)?;
            }
            out.push('}');
            return Ok(());
        }
        DataType::Map(..) => {
            let entries = array.as_map().value(row);
            let (keys, values) = (entries.column(0), entries.column(1));
            out.push('{');
            for entry in 0..entries.len() {
                out.push_str(if entry == 0 { "" } else { "," });
                let mut key = String::new();
                write_text(&mut key, keys.as_ref(), entry)?;
                write_json_text(out, &key);
                out.push(':');
                write_json(out, values.as_ref(), entry)?;
            }
            out.push('}');
            return Ok(());
        }
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            let entry = dictionary.normalized_keys()[row];
            return write_json(out, dictionary.values().as_ref(), entry);
        }
        _ => {}
    }
    let mut text = String::new();
    write_text(&mut text, array, row)?;
    write_json_text(out, &text);
    Ok(())
}

fn write_json_items(out: &mut String, values: &dyn Array) -> Result<(), ArrowError> {
    out.push('[');
    for row in 0..values.len() {
        out.push_str(if row == 0 { "" } else { "," });
        write_json(out, values, row)?;
    }
    out.push(']');
    Ok(())
}

/// Appends a JSON string.
pub(super) fn write_json_text(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Printable ASCII as it is, all else (and the backslash) as `\xNN`.
fn write_blob(out: &mut String, bytes: &[u8]) {
    for &byte in bytes {
        if (b' '..=b'~').contains(&byte) && byte != b'\\' {
            out.push(byte.into());
        } else {
            let _ = write!(out, "\\x{byte:02X}");
        }
    }
}

/// Shortest digits that read back the same: `1.0`, `0.1`, `1e300`, `NaN`, `inf`.
fn write_float(out: &mut String, value: impl std::fmt::Debug) {
    let _ = write!(out, "{value:?}");
}

fn write_decimal(out: &mut String, value: i128, scale: i8) {
    let digits = value.unsigned_abs().to_string();
    if value < 0 {
        out.push('-');
    }
    let Ok(scale) = usize::try_from(scale) else {
        out.push_str(&digits);
        if value != 0 {
            (0..scale.unsigned_abs()).for_each(|_| out.push('0'));
        }
        return;
    };
    if scale == 0 {
        out.push_str(&digits);
        return;
    }
    let whole = digits.len().saturating_sub(scale);
    out.push_str(if whole == 0 { "0" } else { &digits[..whole] });
    out.push('.');
    (digits.len()..scale).for_each(|_| out.push('0'));
    out.push_str(&digits[whole..]);
}
