//! Batches to CSV (RFC 4180).
//!
//! Invariant: a value is quoted where a reader would take it for something else: for several fields or lines, for NULL,
//! for a comment. Nested values are written as they are cast to text: `[1, 2]`, `{'a': 1}`, `{key=value}`.

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch, StringViewArray},
    datatypes::{DataType, SchemaRef},
};

use super::{
    text::{TextFormat, mistyped},
    unsupported,
};
use crate::{
    error::{Result, StorageError},
    text::quote,
};

/// Which columns are quoted always.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Quoted {
    /// Those whose values need it.
    Needed,
    /// All.
    All,
    /// These, by ordinal.
    Columns(Vec<usize>),
}

/// How values are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvStyle {
    /// Whether the first record holds the names of the columns.
    pub header: bool,
    /// Between fields: an ASCII character.
    pub delimiter: u8,
    /// Around fields: an ASCII character.
    pub quote: u8,
    /// Before a quote within quotes: an ASCII character.
    pub escape: u8,
    /// What stands for NULL.
    pub null: String,
    /// Which values are quoted without need.
    pub quoted: Quoted,
}

impl Default for CsvStyle {
    fn default() -> Self {
        Self {
            header: true,
            delimiter: b',',
            quote: b'"',
            escape: b'"',
            null: String::new(),
            quoted: Quoted::Needed,
        }
    }
}

struct CsvFormat {
    style: CsvStyle,
    names: Vec<String>,
    /// For each column, whether it is quoted always.
    quoted: Vec<bool>,
    /// For each byte, whether a value with it is quoted.
    special: [bool; 256],
}

/// The format of a file of the given columns: texts and nested values of texts.
///
/// # Errors
/// `Value` for characters that make no sense together.
pub(super) fn format(schema: &SchemaRef, style: &CsvStyle) -> Result<Box<dyn TextFormat>> {
    let CsvStyle { delimiter, quote, escape, .. } = *style;
    let plain = |byte: u8| byte.is_ascii() && !matches!(byte, b'\n' | b'\r' | 0);
    if ![delimiter, quote, escape].into_iter().all(plain) {
        let message = "delimiter, quote and escape are ASCII characters other than line ends";
        return Err(StorageError::Value(message.into()));
    }
    if delimiter == quote || delimiter == escape {
        let message = "the delimiter must differ from quote and escape";
        return Err(StorageError::Value(message.into()));
    }
    let marks = [delimiter, quote, b'\n', b'\r'];
    if style.null.bytes().any(|byte| marks.contains(&byte)) {
        let message = "the text for NULL holds a delimiter, a quote or a line end";
        return Err(StorageError::Value(message.into()));
    }
    let mut special = [false; 256];
    for byte in [b'\n', b'\r', b'#', delimiter, quote, escape] {
        special[usize::from(byte)] = true;
    }
    let columns = schema.fields().len();
    let quoted = match &style.quoted {
        Quoted::Needed => vec![false; columns],
        Quoted::All => vec![true; columns],
        Quoted::Columns(chosen) => (0..columns).map(|column| chosen.contains(&column)).collect(),
    };
    for field in schema.fields() {
        if !is_text(field.data_type()) {
            return Err(unsupported(field.data_type(), field.name(), "CSV files"));
        }
    }
    let names = schema.fields().iter().map(|field| field.name().clone()).collect();
    Ok(Box::new(CsvFormat { style: style.clone(), names, quoted, special }))
}

/// Whether all leaves of a type are texts.
fn is_text(ty: &DataType) -> bool {
    match ty {
        DataType::Utf8View | DataType::Null => true,
        DataType::List(item) | DataType::Map(item, _) => is_text(item.data_type()),
        DataType::Struct(fields) => fields.iter().all(|field| is_text(field.data_type())),
        _ => false,
    }
}

impl CsvFormat {
    fn value(&self, text: &str, quoted: bool, out: &mut Vec<u8>) {
        let bytes = text.as_bytes();
        let needed = quoted
            || bytes.iter().any(|&byte| self.special[usize::from(byte)])
            || text == self.style.null
            || text.is_empty()
            // At the start of a file it would be taken for a mark of the encoding.
            || text.starts_with('\u{feff}');
        if !needed {
            return out.extend_from_slice(bytes);
        }
        let CsvStyle { quote, escape, .. } = self.style;
        out.push(quote);
        for &byte in bytes {
            if byte == quote || byte == escape {
                out.push(escape);
            }
            out.push(byte);
        }
        out.push(quote);
    }
}

impl TextFormat for CsvFormat {
    fn begin(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if self.style.header {
            for (column, name) in self.names.iter().enumerate() {
                if column > 0 {
                    out.push(self.style.delimiter);
                }
                self.value(name, self.quoted[column], &mut out);
            }
            out.push(b'\n');
        }
        out
    }

    fn rows(&self, batch: &RecordBatch, _first: bool, out: &mut Vec<u8>) -> Result<()> {
        let texts = |array: &ArrayRef| -> Result<StringViewArray> {
            match array.data_type() {
                DataType::Utf8View => Ok(array.as_string_view().clone()),
                _ => nested_texts(array),
            }
        };
        let columns = batch.columns().iter().map(texts).collect::<Result<Vec<_>>>()?;
        for row in 0..batch.num_rows() {
            for (column, texts) in columns.iter().enumerate() {
                if column > 0 {
                    out.push(self.style.delimiter);
                }
                match texts.is_null(row) {
                    true => out.extend_from_slice(self.style.null.as_bytes()),
                    false => self.value(texts.value(row), self.quoted[column], out),
                }
            }
            out.push(b'\n');
        }
        Ok(())
    }

    fn end(&self, _empty: bool) -> Vec<u8> {
        Vec::new()
    }
}

/// Nested values of texts as texts.
fn nested_texts(array: &ArrayRef) -> Result<StringViewArray> {
    let mut texts = Vec::with_capacity(array.len());
    for row in 0..array.len() {
        let null = array.data_type() == &DataType::Null || array.is_null(row);
        texts.push(match null {
            true => None,
            false => {
                let mut text = String::new();
                nested(array, row, &mut text)?;
                Some(text)
            }
        });
    }
    Ok(StringViewArray::from(texts))
}

fn nested(array: &ArrayRef, row: usize, out: &mut String) -> Result<()> {
    if array.data_type() == &DataType::Null || array.is_null(row) {
        out.push_str("NULL");
        return Ok(());
    }
    match array.data_type() {
        DataType::Utf8View => part(array.as_string_view().value(row), out),
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            out.push('[');
            for item in 0..items.len() {
                out.push_str(if item == 0 { "" } else { ", " });
                nested(&items, item, out)?;
            }
            out.push(']');
        }
        DataType::Struct(fields) => {
            out.push('{');
            for (number, field) in fields.iter().enumerate() {
                out.push_str(if number == 0 { "" } else { ", " });
                quote(field.name(), out);
                out.push_str(": ");
                nested(array.as_struct().column(number), row, out)?;
            }
            out.push('}');
        }
        DataType::Map(..) => {
            let entries = array.as_map().value(row);
            out.push('{');
            for entry in 0..entries.len() {
                out.push_str(if entry == 0 { "" } else { ", " });
                nested(entries.column(0), entry, out)?;
                out.push('=');
                nested(entries.column(1), entry, out)?;
            }
            out.push('}');
        }
        _ => return Err(mistyped()),
    }
    Ok(())
}

/// A text within a nested value, quoted where it would read as something else.
fn part(text: &str, out: &mut String) {
    let blank = text.starts_with(' ') || text.ends_with(' ');
    let special = text.contains(['"', '\'', '(', ')', ',', ':', '=', '[', '\\', ']', '{', '}']);
    match text.is_empty() || blank || special || text.eq_ignore_ascii_case("null") {
        true => quote(text, out),
        false => out.push_str(text),
    }
}
