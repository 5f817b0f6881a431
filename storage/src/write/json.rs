//! Batches to JSON: an object for each row.
//!
//! Invariants: numbers lose nothing (floats in the shortest form that reads back the same, decimals digit by digit); NaN
//! and the infinities are written `NaN`, `Infinity` and `-Infinity`, as DuckDB writes and reads them.

use std::io::Write;

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch},
    datatypes::{self as dt, DataType, SchemaRef},
};

use super::{
    text::{TextFormat, mistyped},
    unsupported,
};
use crate::error::Result;

struct JsonFormat {
    array: bool,
    /// What stands before each column's value: `{"a":`, `,"b":`.
    keys: Vec<Vec<u8>>,
}

/// The format of a file of the given columns: numbers, booleans, texts, and nested values of these.
///
/// # Errors
/// `Unsupported` for other types.
pub(super) fn format(schema: &SchemaRef, array: bool) -> Result<Box<dyn TextFormat>> {
    let mut keys = Vec::new();
    for (column, field) in schema.fields().iter().enumerate() {
        if !is_known(field.data_type()) {
            return Err(unsupported(field.data_type(), field.name(), "JSON files"));
        }
        let mut key = vec![if column == 0 { b'{' } else { b',' }];
        string(field.name(), &mut key);
        key.push(b':');
        keys.push(key);
    }
    Ok(Box::new(JsonFormat { array, keys }))
}

fn is_known(ty: &DataType) -> bool {
    match ty {
        DataType::Utf8View | DataType::Null | DataType::Boolean => true,
        DataType::Decimal128(_, scale) => *scale >= 0,
        DataType::List(item) | DataType::Map(item, _) => is_known(item.data_type()),
        DataType::Struct(fields) => fields.iter().all(|field| is_known(field.data_type())),
        DataType::Float32 | DataType::Float64 => true,
        ty => ty.is_integer(),
    }
}

impl TextFormat for JsonFormat {
    fn begin(&self) -> Vec<u8> {
        if self.array { b"[".to_vec() } else { Vec::new() }
    }

    fn rows(&self, batch: &RecordBatch, first: bool, out: &mut Vec<u8>) -> Result<()> {
        for row in 0..batch.num_rows() {
            if self.array {
                out.extend_from_slice(if first && row == 0 { b"\n\t" } else { b",\n\t" });
            }
            for (key, column) in self.keys.iter().zip(batch.columns()) {
                out.extend_from_slice(key);
                value(column, row, out)?;
            }
            out.extend_from_slice(if self.keys.is_empty() { b"{}" } else { b"}" });
            if !self.array {
                out.push(b'\n');
            }
        }
        Ok(())
    }

    fn end(&self, _empty: bool) -> Vec<u8> {
        if self.array { b"\n]\n".to_vec() } else { Vec::new() }
    }
}

fn value(array: &ArrayRef, row: usize, out: &mut Vec<u8>) -> Result<()> {
    if array.data_type() == &DataType::Null || array.is_null(row) {
        out.extend_from_slice(b"null");
        return Ok(());
    }
    macro_rules! number {
        ($($ty:ident => $arrow:ident),*) => {
            match array.data_type() {
                DataType::Boolean => {
                    let value = array.as_boolean().value(row);
                    out.extend_from_slice(if value { b"true" } else { b"false" });
                }
                DataType::Utf8View => string(array.as_string_view().value(row), out),
                DataType::Float32 => single(array.as_primitive::<dt::Float32Type>().value(row), out),
                DataType::Float64 => float(array.as_primitive::<dt::Float64Type>().value(row), out),
                DataType::Decimal128(_, scale) => {
                    decimal(array.as_primitive::<dt::Decimal128Type>().value(row), *scale, out);
                }
                $(DataType::$ty => {
                    // Writing to memory does not fail.
                    let _ = write!(out, "{}", array.as_primitive::<dt::$arrow>().value(row));
                })*
                DataType::List(_) | DataType::Struct(_) | DataType::Map(..) => {
                    return nested(array, row, out);
                }
                _ => return Err(mistyped()),
            }
        };
    }
    number!(
        Int8 => Int8Type, Int16 => Int16Type, Int32 => Int32Type, Int64 => Int64Type,
        UInt8 => UInt8Type, UInt16 => UInt16Type, UInt32 => UInt32Type, UInt64 => UInt64Type
    );
    Ok(())
}

fn nested(array: &ArrayRef, row: usize, out: &mut Vec<u8>) -> Result<()> {
    match array.data_type() {
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            out.push(b'[');
            for item in 0..items.len() {
                out.extend_from_slice(if item == 0 { b"" } else { b"," });
                value(&items, item, out)?;
            }
            out.push(b']');
        }
        DataType::Struct(fields) => {
            out.push(b'{');
            for (number, field) in fields.iter().enumerate() {
                out.extend_from_slice(if number == 0 { b"" } else { b"," });
                string(field.name(), out);
                out.push(b':');
                value(array.as_struct().column(number), row, out)?;
            }
            out.push(b'}');
        }
        _ => {
            let entries = array.as_map().value(row);
            out.push(b'{');
            for entry in 0..entries.len() {
                out.extend_from_slice(if entry == 0 { b"" } else { b"," });
                let mut key = Vec::new();
                value(entries.column(0), entry, &mut key)?;
                // Keys are strings: what is none becomes one.
                match key.first() {
                    Some(b'"') => out.extend_from_slice(&key),
                    _ => string(&String::from_utf8_lossy(&key), out),
                }
                out.push(b':');
                value(entries.column(1), entry, out)?;
            }
            out.push(b'}');
        }
    }
    Ok(())
}

/// The shortest digits that name a float among those of 32 bits.
fn single(value: f32, out: &mut Vec<u8>) {
    match value.is_finite() {
        true => {
            let _ = write!(out, "{value:?}");
        }
        false => float(value.into(), out),
    }
}

fn float(value: f64, out: &mut Vec<u8>) {
    let name: &[u8] = match value {
        value if value.is_nan() => b"NaN",
        f64::INFINITY => b"Infinity",
        f64::NEG_INFINITY => b"-Infinity",
        value => {
            let _ = write!(out, "{value:?}");
            return;
        }
    };
    out.extend_from_slice(name);
}

fn decimal(value: i128, scale: i8, out: &mut Vec<u8>) {
    let digits = value.unsigned_abs().to_string();
    if value < 0 {
        out.push(b'-');
    }
    let scale = usize::try_from(scale).unwrap_or(0);
    if scale == 0 {
        return out.extend_from_slice(digits.as_bytes());
    }
    let digits = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    out.extend_from_slice(whole.as_bytes());
    out.push(b'.');
    out.extend_from_slice(fraction.as_bytes());
}

/// A JSON string.
fn string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for &byte in text.as_bytes() {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            byte if byte < b' ' => {
                let _ = write!(out, "\\u{byte:04x}");
            }
            byte => out.push(byte),
        }
    }
    out.push(b'"');
}
