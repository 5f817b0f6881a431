//! The manifest: what one version of a saved database holds, and where.
//!
//! Layout: magic, format version, length of the body, body, CRC-32 of everything before. The body lists dictionaries,
//! segments, tables, views, schemas and macros; the entries of segments and dictionaries are kept as the bytes that they are, so that the
//! next save copies those of files that it keeps.
//! Invariants: a manifest of another format version, or with a wrong byte anywhere, is refused whole.
//! Next: `folder.rs`.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use arrow::{
    array::BooleanBufferBuilder,
    buffer::{BooleanBuffer, Buffer},
    ipc::{
        convert::try_schema_from_flatbuffer_bytes,
        writer::{DictionaryTracker, IpcDataGenerator, IpcWriteOptions},
    },
};
use bytes::Bytes;

use crate::{
    catalog::{Macro, View},
    disk::{
        codec::{Malformed, Reader, Writer},
        layout::{ArrayLayout, Layout},
    },
    error::{Result, StorageError},
    table::{
        CheckRule, DeleteMask, IndexDefinition, IndexInclude, IndexKey, IndexKind, KeyRule,
        TableRules,
    },
    types::Schema,
};

const MAGIC: &[u8; 8] = b"StoaDB\r\n";
/// The format that this version writes and reads.
const FORMAT: u32 = 3;
/// Magic, format, length of the body.
const HEADER_BYTES: usize = 20;

/// What a version of the folder holds.
#[derive(Debug, Default)]
pub(crate) struct Manifest {
    /// The number of the save that wrote it.
    pub(crate) save: u64,
    /// The dictionaries that columns share, by the number of their file, as `DictionaryEntry` bytes.
    pub(crate) dictionaries: BTreeMap<u64, Bytes>,
    /// The segments by the number of their file, as `SegmentEntry` bytes.
    pub(crate) segments: BTreeMap<u64, Bytes>,
    pub(crate) tables: Vec<TableEntry>,
    pub(crate) views: Vec<(String, View)>,
    /// The names of schemas other than `main`.
    pub(crate) schemas: Vec<String>,
    /// Macros by name.
    pub(crate) macros: Vec<(String, Macro)>,
}

/// A table.
#[derive(Debug)]
pub(crate) struct TableEntry {
    pub(crate) name: String,
    pub(crate) schema: Arc<Schema>,
    /// What the table demands of its rows.
    pub(crate) rules: Arc<TableRules>,
    pub(crate) parts: Vec<PartEntry>,
}

/// A segment of a table and its deleted rows.
#[derive(Debug)]
pub(crate) struct PartEntry {
    /// The number of the segment.
    pub(crate) segment: u64,
    /// Whether it is settled, not of the tail.
    pub(crate) settled: bool,
    pub(crate) deletes: Option<Arc<DeleteMask>>,
}

/// A file of a segment.
#[derive(Debug)]
pub(crate) struct SegmentEntry {
    pub(crate) file_bytes: u64,
    pub(crate) rows: usize,
    pub(crate) columns: Vec<ColumnEntry>,
}

/// A column of a segment.
#[derive(Debug)]
pub(crate) struct ColumnEntry {
    pub(crate) layout: Layout,
    /// Bytes stored, as `Encoding::bytes`.
    pub(crate) bytes: u64,
    /// Those of them that are entries of a dictionary.
    pub(crate) dictionary_bytes: u64,
    /// Bytes that the canonical layout of the values would take.
    pub(crate) plain_bytes: u64,
    /// As `statistics.rs` writes them.
    pub(crate) statistics: Bytes,
}

/// A file of a dictionary.
#[derive(Debug)]
pub(crate) struct DictionaryEntry {
    pub(crate) file_bytes: u64,
    /// One column: the entries' type.
    pub(crate) schema: Schema,
    pub(crate) values: ArrayLayout,
}

impl SegmentEntry {
    pub(crate) fn write(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.u64(self.file_bytes);
        out.len(self.rows);
        out.len(self.columns.len());
        for column in &self.columns {
            column.layout.write(&mut out);
            out.u64(column.bytes);
            out.u64(column.dictionary_bytes);
            out.u64(column.plain_bytes);
            out.bytes(&column.statistics);
        }
        out.finish()
    }

    pub(crate) fn read(bytes: Bytes) -> Result<Self, Malformed> {
        let mut input = Reader::new(bytes);
        let (file_bytes, rows) = (input.u64()?, input.len()?);
        let columns = input.list(17, |input| {
            Ok(ColumnEntry {
                layout: Layout::read(input, file_bytes)?,
                bytes: input.u64()?,
                dictionary_bytes: input.u64()?,
                plain_bytes: input.u64()?,
                statistics: input.bytes()?,
            })
        })?;
        input.end()?;
        Ok(Self { file_bytes, rows, columns })
    }
}

impl DictionaryEntry {
    pub(crate) fn write(&self) -> Result<Vec<u8>> {
        let mut out = Writer::default();
        out.u64(self.file_bytes);
        write_schema(&self.schema, &mut out)?;
        self.values.write(&mut out);
        Ok(out.finish())
    }

    pub(crate) fn read(bytes: Bytes) -> Result<Self, Malformed> {
        let mut input = Reader::new(bytes);
        let file_bytes = input.u64()?;
        let schema = read_schema(&mut input)?;
        let values = ArrayLayout::read(&mut input, file_bytes)?;
        input.end()?;
        Ok(Self { file_bytes, schema, values })
    }
}

/// The length of the file that an entry of either kind is about.
pub(crate) fn file_bytes(entry: &Bytes) -> Result<u64, Malformed> {
    Reader::new(entry.clone()).u64()
}

/// How many rows the segment of an entry has.
fn segment_rows(entry: &Bytes) -> Result<usize, Malformed> {
    let mut input = Reader::new(entry.clone());
    input.u64()?;
    input.len()
}

impl Manifest {
    /// The manifest as the bytes of a file.
    ///
    /// # Errors
    /// `Unsupported` when a table has a type that the format does not hold.
    pub(crate) fn write(&self) -> Result<Vec<u8>> {
        let mut body = Writer::default();
        body.u64(self.save);
        for entries in [&self.dictionaries, &self.segments] {
            body.len(entries.len());
            for (number, entry) in entries {
                body.u64(*number);
                body.bytes(entry);
            }
        }
        body.len(self.tables.len());
        for table in &self.tables {
            body.text(&table.name);
            write_schema(&table.schema, &mut body)?;
            write_rules(&table.rules, &mut body);
            body.len(table.parts.len());
            for part in &table.parts {
                body.u64(part.segment);
                body.u8(part.settled.into());
                write_deletes(part.deletes.as_deref(), &mut body);
            }
        }
        body.len(self.views.len());
        for (name, view) in &self.views {
            body.text(name);
            body.text(&view.sql);
        }
        body.len(self.schemas.len());
        self.schemas.iter().for_each(|name| body.text(name));
        body.len(self.macros.len());
        for (name, text) in &self.macros {
            body.text(name);
            body.text(&text.sql);
        }
        let mut out = Writer::default();
        out.raw(MAGIC);
        out.u32(FORMAT);
        out.bytes(body.as_slice());
        let checksum = crc32fast::hash(out.as_slice());
        out.u32(checksum);
        Ok(out.finish())
    }

    /// Reads the bytes of the file at `path`.
    ///
    /// # Errors
    /// `Corrupt` when they are not a manifest, `Unsupported` when they are one of another format version.
    pub(crate) fn read(bytes: Bytes, path: &Path) -> Result<Self> {
        let path = path.display().to_string();
        let corrupt = |message: String| StorageError::Corrupt {
            path: path.clone(),
            row_group: None,
            column: None,
            message,
        };
        if bytes.len() < HEADER_BYTES + 4 || bytes[..8] != MAGIC[..] {
            return Err(corrupt("it is no manifest of a StoaDB database".into()));
        }
        let mut header = Reader::new(bytes.slice(8..HEADER_BYTES));
        let format = header.u32().map_err(corrupt)?;
        if format != FORMAT {
            return Err(StorageError::Unsupported(format!(
                "'{path}' is of format version {format}; this StoaDB reads and writes version {FORMAT}"
            )));
        }
        let (checked, checksum) = (bytes.slice(..bytes.len() - 4), bytes.slice(bytes.len() - 4..));
        let checksum = Reader::new(checksum).u32().map_err(corrupt)?;
        if crc32fast::hash(&checked) != checksum {
            return Err(corrupt("its checksum is wrong".into()));
        }
        let mut input = Reader::new(checked.slice(12..));
        let body = input.bytes().map_err(corrupt)?;
        input.end().map_err(corrupt)?;
        Self::read_body(body).map_err(corrupt)
    }

    fn read_body(body: Bytes) -> Result<Self, Malformed> {
        let mut input = Reader::new(body);
        let save = input.u64()?;
        let entry = |input: &mut Reader| Ok((input.u64()?, input.bytes()?));
        let dictionaries = input.list(16, entry)?.into_iter().collect();
        let segments: BTreeMap<u64, Bytes> = input.list(16, entry)?.into_iter().collect();
        let tables = input.list(24, |input| {
            let name = input.text()?;
            let schema = Arc::new(read_schema(input)?);
            let rules = Arc::new(read_rules(input, schema.len())?);
            let parts = input.list(10, |input| {
                let (segment, settled) = (input.u64()?, input.u8()? != 0);
                let entry = segments.get(&segment).ok_or("a segment is not listed")?;
                let rows = segment_rows(entry)?;
                Ok(PartEntry { segment, settled, deletes: read_deletes(input, rows)? })
            })?;
            Ok(TableEntry { name, schema, rules, parts })
        })?;
        let views = input.list(16, |input| {
            let (name, sql) = (input.text()?, input.text()?);
            Ok((name, View { sql }))
        })?;
        let schemas = input.list(8, Reader::text)?;
        let macros = input.list(16, |input| {
            let (name, sql) = (input.text()?, input.text()?);
            Ok((name, Macro { sql }))
        })?;
        input.end()?;
        Ok(Self { save, dictionaries, segments, tables, views, schemas, macros })
    }
}

/// A schema as the header of an Arrow IPC message. What does not come back the same is refused.
fn write_schema(schema: &Schema, out: &mut Writer) -> Result<()> {
    let arrow = schema.to_arrow();
    if Schema::from_arrow(&arrow)? != *schema {
        let types: Vec<_> = schema.columns.iter().map(|column| column.ty.to_string()).collect();
        return Err(StorageError::Unsupported(format!("saving columns of {}", types.join(", "))));
    }
    let header = IpcDataGenerator::default().schema_to_bytes_with_dictionary_tracker(
        &arrow,
        &mut DictionaryTracker::new(true),
        &IpcWriteOptions::default(),
    );
    out.bytes(&header.ipc_message);
    Ok(())
}

fn read_schema(input: &mut Reader) -> Result<Schema, Malformed> {
    // Copied, because the header has to be aligned.
    let header = input.bytes()?.to_vec();
    let schema = try_schema_from_flatbuffer_bytes(&header).map_err(|error| error.to_string())?;
    Schema::from_arrow(&schema).map_err(|error| error.to_string())
}

fn write_rules(rules: &TableRules, out: &mut Writer) {
    let name = |name: &Option<String>, out: &mut Writer| {
        out.u8(name.is_some().into());
        out.text(name.as_deref().unwrap_or_default());
    };
    out.len(rules.defaults.len());
    for (column, sql) in &rules.defaults {
        out.len(*column);
        out.text(sql);
    }
    out.len(rules.checks.len());
    for check in &rules.checks {
        name(&check.name, out);
        out.text(&check.sql);
    }
    out.len(rules.keys.len());
    for key in &rules.keys {
        name(&key.name, out);
        out.u8(key.primary.into());
        out.len(key.columns.len());
        key.columns.iter().for_each(|column| out.len(*column));
    }
    out.len(rules.indexes.len());
    for index in &rules.indexes {
        name(&index.name, out);
        out.u8(index.is_unique().into());
        out.len(index.keys.len());
        for key in &index.keys {
            out.len(key.column);
            out.u8(key.descending.into());
        }
        out.len(index.includes.len());
        for include in &index.includes {
            out.len(include.column);
            out.u8(include.quantiles.into());
        }
    }
}

fn read_rules(input: &mut Reader, columns: usize) -> Result<TableRules, Malformed> {
    let name = |input: &mut Reader| -> Result<Option<String>, Malformed> {
        let (named, name) = (input.u8()? != 0, input.text()?);
        Ok(named.then_some(name))
    };
    let column = |input: &mut Reader| match input.len()? {
        column if column < columns => Ok(column),
        column => Err(format!("a rule over column {column} of {columns}")),
    };
    let defaults = input.list(16, |input| Ok((column(input)?, input.text()?)))?;
    let checks =
        input.list(17, |input| Ok(CheckRule { name: name(input)?, sql: input.text()? }))?;
    let keys = input.list(18, |input| {
        let (name, primary) = (name(input)?, input.u8()? != 0);
        Ok(KeyRule { name, primary, columns: input.list(8, column)? })
    })?;
    let indexes = input.list(26, |input| {
        let (name, unique) = (name(input)?, input.u8()? != 0);
        let kind = if unique { IndexKind::Unique } else { IndexKind::Plain };
        let key = |input: &mut Reader| {
            Ok(IndexKey { column: column(input)?, descending: input.u8()? != 0 })
        };
        let include = |input: &mut Reader| {
            Ok(IndexInclude { column: column(input)?, quantiles: input.u8()? != 0 })
        };
        Ok(IndexDefinition {
            name,
            kind,
            keys: input.list(9, key)?,
            includes: input.list(9, include)?,
        })
    })?;
    Ok(TableRules { defaults: defaults.into_iter().collect(), checks, keys, indexes })
}

/// Deleted rows: none, as positions, or as a bitmap, whichever is shortest.
fn write_deletes(mask: Option<&DeleteMask>, out: &mut Writer) {
    let Some(mask) = mask else { return out.u8(0) };
    let bits = mask.bits();
    if mask.count() * 32 < bits.len() {
        out.u8(1);
        out.len(mask.count());
        #[expect(clippy::cast_possible_truncation, reason = "rows of one segment")]
        bits.set_indices().for_each(|row| out.u32(row as u32));
    } else {
        out.u8(2);
        out.bytes(bits.sliced().as_slice());
    }
}

fn read_deletes(input: &mut Reader, rows: usize) -> Result<Option<Arc<DeleteMask>>, Malformed> {
    let bits = match input.u8()? {
        0 => return Ok(None),
        1 => {
            let mut bits = BooleanBufferBuilder::new(rows);
            bits.append_n(rows, false);
            for row in input.list(4, Reader::u32)? {
                match row as usize {
                    row if row < rows => bits.set_bit(row, true),
                    row => return Err(format!("row {row} of {rows} is deleted")),
                }
            }
            bits.finish()
        }
        2 => match input.bytes()? {
            bytes if bytes.len() >= rows.div_ceil(8) => {
                BooleanBuffer::new(Buffer::from(&bytes[..]), 0, rows)
            }
            bytes => return Err(format!("{} bytes of deletes for {rows} rows", bytes.len())),
        },
        other => return Err(format!("deletes of kind {other}")),
    };
    Ok(Some(Arc::new(DeleteMask::new(bits))))
}
