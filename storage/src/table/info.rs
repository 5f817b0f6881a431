//! What `storage_info` shows: how each column of each segment is stored.
//!
//! Invariant: a dictionary that several segments share is counted once, for the first of them.

use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::DataType,
};
use hashbrown::HashSet;

use crate::{
    encoding::{Encoding, run_lengths},
    ledger::array_bytes,
    scalar::Scalar,
    table::{column::Column, tail::Part, version::TableVersion},
    types::LogicalType,
    vector::DictionaryValues,
};

/// Longest text or blob, in bytes, that lies within its view.
const INLINE: usize = 12;

/// How one column of one segment is stored.
#[derive(Debug, Clone)]
pub struct ColumnInfo {
    /// The segment's number within the table, from 0.
    pub segment: usize,
    /// The column's ordinal.
    pub column: usize,
    /// The encoding with its width, as `narrow(u8)`.
    pub encoding: String,
    /// Rows, deleted ones included.
    pub rows: u64,
    /// Bytes stored.
    pub bytes: u64,
    /// Bytes that the canonical layout would take.
    pub plain_bytes: u64,
    /// How many rows are NULL; `None` when that is not known.
    pub nulls: Option<u64>,
    /// The least value; `None` when there is none, the type has no order, or it is long.
    pub min: Option<Scalar>,
    /// The greatest value; as `min`. NaN is no bound.
    pub max: Option<Scalar>,
}

/// How a table's columns are stored: segment by segment, column by column. O(rows) for texts.
pub fn storage_info(table: &TableVersion) -> Vec<ColumnInfo> {
    let mut seen = HashSet::new();
    let mut infos = vec![];
    for (segment, part) in table.parts().enumerate() {
        for (i, column) in part.segment.columns().iter().enumerate() {
            let range = column.statistics().whole.range(false);
            infos.push(ColumnInfo {
                segment,
                column: i,
                encoding: column.encoding_label(),
                rows: part.segment.rows() as u64,
                bytes: once(column, &mut seen),
                plain_bytes: column.plain_bytes(),
                nulls: range.nulls,
                min: range.min,
                max: range.max,
            });
        }
    }
    infos
}

/// Bytes of a column over a table's parts.
pub(crate) fn stored<'a>(parts: impl Iterator<Item = &'a Part>, column: usize) -> u64 {
    let mut seen = HashSet::new();
    parts.map(|part| once(&part.segment.columns()[column], &mut seen)).sum()
}

/// Bytes of a column without those of a dictionary that was seen before.
fn once(column: &Column, seen: &mut HashSet<u64>) -> u64 {
    match column.dictionary_id() {
        Some(id) if !seen.insert(id) => column.bytes().saturating_sub(column.dictionary_bytes()),
        _ => column.bytes(),
    }
}

/// The encoding's name with the width of its codes or offsets.
pub(crate) fn label(encoding: &Encoding) -> String {
    let name = encoding.name();
    let (Encoding::Narrow { offsets: inner, .. } | Encoding::Dictionary { codes: inner, .. }) =
        encoding
    else {
        return name.to_owned();
    };
    let width = match inner.data_type() {
        DataType::UInt8 => "u8",
        DataType::UInt16 => "u16",
        DataType::UInt32 => "u32",
        _ => "i64",
    };
    format!("{name}({width})")
}

/// Bytes that the canonical layout of an encoded column would take.
pub(crate) fn plain_bytes(encoding: &Encoding, ty: &LogicalType, rows: usize) -> u64 {
    let (n, nulls) = (rows as u64, encoding.null_count(0..rows));
    let validity = if nulls > 0 { n.div_ceil(8) } else { 0 };
    if let Some(width) = ty.to_arrow().primitive_width() {
        return n * width as u64 + validity;
    }
    if *ty == LogicalType::Boolean {
        return n.div_ceil(8) + validity;
    }
    let long = match encoding {
        Encoding::Plain(array) | Encoding::View(array) => return array_bytes(array.as_ref()),
        Encoding::Constant(value) if matches!(ty, LogicalType::Text | LogicalType::Blob) => {
            n * long_lengths(value.array()).iter().sum::<u64>()
        }
        Encoding::Constant(value) => return n * array_bytes(value.array().as_ref()),
        Encoding::Narrow { .. } => 0,
        Encoding::Dictionary { codes, values } => long_by_code(codes, values),
        Encoding::RunEnd { ends, values } => {
            let lengths = long_lengths(values);
            run_lengths(ends, 0..rows).map(|(run, len)| lengths[run] * len as u64).sum()
        }
    };
    n * 16 + validity + long
}

/// Bytes that each text or blob has outside of its view.
fn long_lengths(values: &ArrayRef) -> Vec<u64> {
    let long = |len: usize| if len > INLINE { len as u64 } else { 0 };
    match values.data_type() {
        DataType::Utf8View => {
            values.as_string_view().iter().map(|v| v.map_or(0, |v| long(v.len()))).collect()
        }
        DataType::BinaryView => {
            values.as_binary_view().iter().map(|v| v.map_or(0, |v| long(v.len()))).collect()
        }
        _ => vec![0; values.len()],
    }
}

fn long_by_code(codes: &ArrayRef, values: &DictionaryValues) -> u64 {
    use arrow::datatypes::{UInt8Type, UInt16Type, UInt32Type};
    let lengths = long_lengths(values.values());
    let of = |code: usize| lengths.get(code).copied().unwrap_or(0);
    match codes.data_type() {
        DataType::UInt8 => {
            codes.as_primitive::<UInt8Type>().iter().flatten().map(|c| of(c.into())).sum()
        }
        DataType::UInt16 => {
            codes.as_primitive::<UInt16Type>().iter().flatten().map(|c| of(c.into())).sum()
        }
        _ => codes.as_primitive::<UInt32Type>().iter().flatten().map(|c| of(c as usize)).sum(),
    }
}
