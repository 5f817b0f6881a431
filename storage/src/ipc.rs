//! Arrow IPC files, of the file format and of the stream format, as one relation.
//!
//! Invariants: files are mapped, and buffers that are not compressed stay where they are; every array is validated before
//! its first value is used. The files of a dataset have the same columns. A file that is cut short is an error.
//! Next: `table/batches.rs`.

use std::{
    fs::File,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use arrow::{
    array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array},
    buffer::Buffer,
    datatypes::{DataType, Field, SchemaRef},
    ipc::reader::StreamDecoder,
};
use bytes::Bytes;

use crate::{
    disk::map_file,
    error::{Result, StorageError},
    files,
    scan::Relation,
    table::BatchTable,
    types::LogicalType,
};

/// What the file format begins and ends with.
const MAGIC: &[u8] = b"ARROW1";

/// How files become a relation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ArrowOptions {
    /// Whether files may lack columns that others have; these are NULL then.
    pub union_by_name: bool,
    /// Whether a last column `filename` holds each row's path.
    pub filename: bool,
}

/// Opens the files that the patterns name (files, folders, globs). O(bytes): values are validated.
///
/// # Errors
/// `Io` when a pattern matches nothing or a file cannot be read; `Corrupt` when one is not sound; `SchemaMismatch` when
/// the files disagree; `Unsupported` for types that are not held.
pub fn open(patterns: &[String], options: &ArrowOptions) -> Result<Arc<dyn Relation>> {
    let paths = files::expand(patterns, "arrow")?;
    let mut read = Vec::with_capacity(paths.len());
    for path in &paths {
        read.push(batches(path)?);
    }
    let schema = common(&paths, &read, options)?;
    let mut all = Vec::new();
    for (path, (_, batches)) in paths.iter().zip(&read) {
        for batch in batches {
            let column = |field: &Arc<Field>| -> ArrayRef {
                if options.filename && field.name() == "filename" {
                    let path = arrow::array::StringViewArray::from(vec![path.as_str()]);
                    let zero = arrow::array::UInt32Array::from(vec![0; batch.num_rows()]);
                    return arrow::compute::take(&path, &zero, None)
                        .unwrap_or_else(|_| new_null_array(&DataType::Utf8View, batch.num_rows()));
                }
                match batch.column_by_name(field.name()) {
                    Some(column) => Arc::clone(column),
                    None => new_null_array(field.data_type(), batch.num_rows()),
                }
            };
            let columns: Vec<ArrayRef> = schema.fields().iter().map(column).collect();
            // Files may hold a type in other layouts than the first one.
            let fields = schema.fields().iter().zip(&columns);
            let fields = fields
                .map(|(field, column)| Field::new(field.name(), column.data_type().clone(), true));
            let own = Arc::new(arrow::datatypes::Schema::new(fields.collect::<Vec<_>>()));
            let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            all.push(RecordBatch::try_new_with_options(own, columns, &rows)?);
        }
    }
    Ok(BatchTable::new(schema, all)?)
}

type Batches = (SchemaRef, Vec<RecordBatch>);

/// The columns that all files share.
fn common(paths: &[String], read: &[Batches], options: &ArrowOptions) -> Result<SchemaRef> {
    let mut fields: Vec<Arc<Field>> = Vec::new();
    for (number, (path, (schema, _))) in paths.iter().zip(read).enumerate() {
        let mismatch = |message| StorageError::SchemaMismatch { path: path.clone(), message };
        for field in schema.fields() {
            if fields.iter().filter(|known| known.name() == field.name()).count() > 1
                || schema.fields().iter().filter(|other| other.name() == field.name()).count() > 1
            {
                return Err(StorageError::Unsupported(format!(
                    "Arrow files with two columns of one name (the file '{path}', column '{}')",
                    field.name()
                )));
            }
            let ty = LogicalType::from_arrow(field.data_type()).map_err(|error| {
                let name = field.name();
                StorageError::Unsupported(format!("{error} (the file '{path}', column '{name}')"))
            })?;
            match fields.iter().find(|known| known.name() == field.name()) {
                Some(known) if LogicalType::from_arrow(known.data_type())? == ty => {}
                Some(known) => {
                    let (name, first) = (field.name(), &paths[0]);
                    let expected = LogicalType::from_arrow(known.data_type())?;
                    return Err(mismatch(format!(
                        "column '{name}' is {ty} where '{first}' has {expected}"
                    )));
                }
                None if number == 0 || options.union_by_name => {
                    fields.push(Arc::new(field.as_ref().clone().with_nullable(true)));
                }
                None => {
                    let (name, first) = (field.name(), &paths[0]);
                    return Err(mismatch(format!(
                        "it has a column '{name}', which '{first}' has not (union_by_name allows this)"
                    )));
                }
            }
        }
        let lacking = fields.iter().find(|field| schema.field_with_name(field.name()).is_err());
        if let Some(field) = lacking.filter(|_| !options.union_by_name) {
            let name = field.name();
            return Err(mismatch(format!("it has no column '{name}' (union_by_name allows this)")));
        }
    }
    if options.filename {
        fields.retain(|field| field.name() != "filename");
        fields.push(Arc::new(Field::new("filename", DataType::Utf8View, true)));
    }
    Ok(Arc::new(arrow::datatypes::Schema::new(fields)))
}

/// The batches of a file.
fn batches(path: &str) -> Result<Batches> {
    let io =
        |error: std::io::Error| StorageError::Io { path: path.into(), message: error.to_string() };
    let file = File::open(path).map_err(io)?;
    let metadata = file.metadata().map_err(io)?;
    if !metadata.is_file() {
        return Err(io(std::io::Error::other("it is not a regular file")));
    }
    let bytes = match metadata.len() {
        0 => Bytes::new(),
        _ => Bytes::from_owner(map_file(&file).map_err(io)?),
    };
    let corrupt = |message: String| StorageError::Corrupt {
        path: path.into(),
        row_group: None,
        column: None,
        message,
    };
    let messages = messages(bytes).map_err(corrupt)?;
    let decoded = catch_unwind(AssertUnwindSafe(|| decode(messages)));
    decoded.unwrap_or_else(|_| Err("decoding it fails".into())).map_err(corrupt)
}

/// The part of a file that is a stream of messages: all of it, or of the file format what stands before the footer.
fn messages(bytes: Bytes) -> std::result::Result<Bytes, String> {
    if !bytes.starts_with(MAGIC) {
        return Ok(bytes);
    }
    let end = bytes.len().saturating_sub(MAGIC.len() + 4);
    let tail = bytes.get(end..).filter(|tail| tail.len() == 10 && tail.ends_with(MAGIC));
    let length = tail.and_then(|tail| tail.first_chunk::<4>());
    let length = length.and_then(|length| usize::try_from(i32::from_le_bytes(*length)).ok());
    let footer = length.and_then(|length| end.checked_sub(length)).filter(|&footer| footer >= 8);
    let footer = footer.ok_or("it is cut short: its footer is missing")?;
    // The mark in front is padded with zeros, which no message begins with.
    let mut start = 8;
    while start + 8 <= footer && bytes[start..start + 8] == [0; 8] {
        start += 8;
    }
    Ok(bytes.slice(start..footer))
}

fn decode(bytes: Bytes) -> std::result::Result<Batches, String> {
    let mut decoder = StreamDecoder::new();
    let mut rest = Buffer::from(bytes);
    let mut batches = Vec::new();
    let wrong = |error: arrow::error::ArrowError| error.to_string();
    while !rest.is_empty() {
        match decoder.decode(&mut rest).map_err(wrong)? {
            Some(batch) => batches.push(batch),
            None if rest.is_empty() => {}
            None => return Err("bytes follow the end of its stream".into()),
        }
    }
    // Only behind the mark of its end a stream takes no further byte.
    if decoder.decode(&mut Buffer::from(vec![0_u8])).is_ok() {
        return Err("it is cut short: the mark of its end is missing".into());
    }
    let schema = decoder.schema().ok_or("it has no schema")?;
    Ok((schema, batches))
}
