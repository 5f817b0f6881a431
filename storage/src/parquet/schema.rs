//! From a file's schema to logical types, and how each column is asked of the decoder.
//!
//! Invariant: the Parquet schema decides; the Arrow schema that some writers embed only refines it (time zones, units).
//! Text is valid UTF-8 whoever wrote it: where the decoder does not check it, `column.rs` does.
//! Next: `column.rs`.

use std::{collections::HashSet, ops::Range, sync::Arc};

use arrow::datatypes::{DataType, Field, FieldRef, Fields, TimeUnit};
use parquet::{
    arrow::parquet_to_arrow_schema,
    basic::{ConvertedType, LogicalType as ParquetLogical, Type},
    file::metadata::ParquetMetaData,
    schema::types::{ColumnDescriptor, SchemaDescriptor},
};

use super::footer::Place;
use crate::{
    error::{Result, StorageError},
    types::{ColumnDef, LogicalType},
};

/// How the arrays of a column become vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReadAs {
    /// In plain layout.
    Flat,
    /// Decimals of up to 18 digits, decoded to 64 bits.
    Decimal64,
    /// Decimals of up to 18 digits that stand in more than 8 bytes: decoded to 128 bits, then narrowed.
    Decimal128,
    /// Intervals: months in one reading, days and milliseconds in another.
    Interval,
    /// UUIDs: 16 bytes, which become their text.
    Uuid,
}

/// A root column of a file.
#[derive(Debug)]
pub(crate) struct FileColumn {
    /// Name and type.
    pub def: ColumnDef,
    /// Its leaves, as ordinals of the Parquet schema.
    pub leaves: Range<usize>,
    /// The Arrow type that the decoder is asked for.
    pub read: DataType,
    /// What becomes of it.
    pub read_as: ReadAs,
    /// The type of the dictionary's values, for columns that may stay dictionaries.
    pub dictionary: Option<DataType>,
    /// Whether text arrives unchecked.
    pub unchecked_text: bool,
}

impl FileColumn {
    /// Whether the column holds one value per row.
    pub(crate) fn is_flat(&self) -> bool {
        self.leaves.len() == 1 && !self.def.ty.is_nested()
    }
}

/// The columns of a file.
#[derive(Debug)]
pub(crate) struct FileSchema {
    /// The root columns.
    pub columns: Vec<FileColumn>,
    /// All root fields as the decoder is asked for them.
    hints: Fields,
}

impl FileSchema {
    /// The columns of a file.
    pub(crate) fn new(metadata: &ParquetMetaData, place: &Place) -> Result<Self> {
        let file = metadata.file_metadata();
        let descriptor = file.schema_descr();
        let arrow = place
            .guard(|| parquet_to_arrow_schema(descriptor, file.key_value_metadata()))
            .or_else(|_| place.guard(|| parquet_to_arrow_schema(descriptor, None)))?;
        let roots = root_leaves(descriptor);
        if arrow.fields().len() != roots.len() || roots.iter().any(|leaves| leaves.end == 0) {
            return Err(place.corrupt("its schema has columns without values"));
        }
        let mut names = HashSet::new();
        if let Some(field) = arrow.fields().iter().find(|field| !names.insert(field.name())) {
            let (name, path) = (field.name(), &place.path);
            return Err(StorageError::Unsupported(format!(
                "Parquet files with two columns of one name (the file '{path}', column '{name}')"
            )));
        }
        let column = |(field, leaves): (&FieldRef, &Range<usize>)| {
            file_column(field, leaves.clone(), descriptor).map_err(|error| {
                let (name, path) = (field.name(), &place.path);
                StorageError::Unsupported(match error {
                    StorageError::Unsupported(what) => {
                        format!("{what} (the file '{path}', column '{name}')")
                    }
                    other => format!("the file '{path}', column '{name}': {other}"),
                })
            })
        };
        let columns = arrow.fields().iter().zip(&roots).map(column).collect::<Result<Vec<_>>>()?;
        let hints = arrow.fields().iter().zip(&columns).map(|(field, column)| {
            Arc::new(field.as_ref().clone().with_data_type(column.read.clone()))
        });
        let hints = hints.collect();
        Ok(Self { columns, hints })
    }

    /// The root fields with one of them asked for as `ty`.
    pub(crate) fn hints_with(&self, column: usize, ty: DataType) -> Fields {
        let field = |(index, field): (usize, &FieldRef)| match index == column {
            true => Arc::new(field.as_ref().clone().with_data_type(ty.clone())),
            false => Arc::clone(field),
        };
        self.hints.iter().enumerate().map(field).collect()
    }

    /// The ordinal of the column of a name.
    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.def.name == name)
    }
}

fn root_leaves(descriptor: &SchemaDescriptor) -> Vec<Range<usize>> {
    let mut roots = vec![0..0; descriptor.root_schema().get_fields().len()];
    for leaf in 0..descriptor.num_columns() {
        let range = &mut roots[descriptor.get_column_root_idx(leaf)];
        *range = if range.end == 0 { leaf..leaf + 1 } else { range.start..leaf + 1 };
    }
    roots
}

fn file_column(
    field: &FieldRef,
    leaves: Range<usize>,
    descriptor: &SchemaDescriptor,
) -> Result<FileColumn> {
    let mut ty = LogicalType::from_arrow(field.data_type())?;
    let leaf = descriptor.column(leaves.start);
    let nested = ty.is_nested();
    if nested && has_interval(field.data_type()) {
        return Err(StorageError::Unsupported("intervals within lists or structs".into()));
    }
    let uuid = !nested && is_uuid(&leaf);
    if uuid || (!nested && is_enum(&leaf)) {
        ty = LogicalType::Text;
    }
    if let (Type::INT96, LogicalType::Timestamp(unit @ TimeUnit::Nanosecond, _)) =
        (leaf.physical_type(), &mut ty)
    {
        // 96-bit timestamps reach far beyond what 64-bit nanoseconds hold; microseconds hold all that writers put.
        *unit = TimeUnit::Microsecond;
    }
    let (read, read_as) = match (&ty, leaf.physical_type()) {
        _ if nested => (readable(field.data_type()), ReadAs::Flat),
        _ if uuid => (DataType::FixedSizeBinary(16), ReadAs::Uuid),
        (LogicalType::Interval, _) => (field.data_type().clone(), ReadAs::Interval),
        (LogicalType::Decimal { precision: 0..=18, .. }, physical)
            if physical == Type::BYTE_ARRAY || leaf.type_length() > 8 =>
        {
            (ty.to_arrow(), ReadAs::Decimal128)
        }
        (LogicalType::Decimal { precision: precision @ 0..=18, scale }, _) => {
            (DataType::Decimal64(*precision, *scale), ReadAs::Decimal64)
        }
        (LogicalType::Decimal { .. }, _) | (LogicalType::Timestamp(..), Type::INT96) => {
            (ty.to_arrow(), ReadAs::Flat)
        }
        (LogicalType::Text, _) if is_enum(&leaf) => (DataType::BinaryView, ReadAs::Flat),
        _ => (readable(field.data_type()), ReadAs::Flat),
    };
    let dictionary = match (&read, leaf.physical_type()) {
        _ if nested => None,
        (DataType::Utf8View, Type::BYTE_ARRAY) if is_utf8(&leaf) => Some(DataType::Utf8),
        (DataType::BinaryView, Type::BYTE_ARRAY) if !is_utf8(&leaf) => Some(DataType::Binary),
        _ => None,
    };
    let unchecked_text = match nested {
        // Blobs are among these, too; checking a few too many does no harm.
        true => leaves
            .clone()
            .map(|leaf| descriptor.column(leaf))
            .any(|leaf| leaf.physical_type() == Type::BYTE_ARRAY && !is_utf8(&leaf)),
        false => read == DataType::Utf8View && !is_utf8(&leaf),
    };
    let def = ColumnDef { name: field.name().clone(), ty, nullable: field.is_nullable() };
    Ok(FileColumn { def, leaves, read, read_as, dictionary, unchecked_text })
}

/// Whether the decoder checks the text of a leaf.
fn is_utf8(leaf: &ColumnDescriptor) -> bool {
    leaf.converted_type() == ConvertedType::UTF8
}

fn is_enum(leaf: &ColumnDescriptor) -> bool {
    leaf.converted_type() == ConvertedType::ENUM
        || matches!(leaf.logical_type_ref(), Some(ParquetLogical::Enum))
}

fn is_uuid(leaf: &ColumnDescriptor) -> bool {
    matches!(leaf.logical_type_ref(), Some(ParquetLogical::Uuid)) && leaf.type_length() == 16
}

fn has_interval(ty: &DataType) -> bool {
    match ty {
        DataType::Interval(_) => true,
        DataType::Struct(fields) => fields.iter().any(|field| has_interval(field.data_type())),
        DataType::List(field)
        | DataType::LargeList(field)
        | DataType::FixedSizeList(field, _)
        | DataType::Map(field, _) => has_interval(field.data_type()),
        _ => false,
    }
}

/// The Arrow type nearest to the canonical one that the decoder produces.
fn readable(ty: &DataType) -> DataType {
    let child = |field: &FieldRef| -> FieldRef {
        Arc::new(Field::clone(field).with_data_type(readable(field.data_type())))
    };
    match ty {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8View,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => DataType::BinaryView,
        DataType::Dictionary(_, value) => readable(value),
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) => DataType::Decimal128(*p, *s),
        DataType::List(field)
        | DataType::LargeList(field)
        | DataType::ListView(field)
        | DataType::LargeListView(field)
        | DataType::FixedSizeList(field, _) => DataType::List(child(field)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(child).collect()),
        DataType::Map(entries, sorted) => DataType::Map(child(entries), *sorted),
        other => other.clone(),
    }
}
