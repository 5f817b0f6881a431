//! Batches to Parquet: row groups whose columns are encoded side by side.
//!
//! Invariants: row groups are cut by rows and bytes of values alone, not by workers; types that Parquet has not are
//! brought to the nearest one that loses nothing, or refused. The file says nothing of Arrow: any reader finds the same
//! types.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::{
    array::{Array, ArrayRef, AsArray, FixedSizeBinaryBuilder, RecordBatch},
    compute,
    datatypes::{
        DataType, Field, FieldRef, Fields, IntervalMonthDayNanoType, IntervalUnit, Schema,
        SchemaRef, TimeUnit,
    },
};
use parquet::{
    arrow::{
        ArrowSchemaConverter, ArrowWriter,
        arrow_writer::{
            ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory, ArrowWriterOptions,
            compute_leaves,
        },
    },
    basic::{BrotliLevel, Compression, GzipLevel, ZstdLevel},
    file::{properties::WriterProperties, writer::SerializedFileWriter},
};

use super::{Jobs, ROW_GROUP_BYTES, ROW_GROUP_ROWS, bytes_of, output::Output, unsupported};
use crate::error::{Result, StorageError};

/// Most row groups of a file: the format numbers them with 16 bits.
const MOST_GROUPS: usize = i16::MAX as usize;

/// How pages are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParquetCodec {
    /// Not at all.
    None,
    /// Snappy.
    Snappy,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
    /// Brotli.
    Brotli,
    /// LZ4.
    Lz4,
}

/// How a file is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParquetStyle {
    /// How pages are compressed.
    pub codec: ParquetCodec,
    /// At what level, for gzip, Zstandard and Brotli.
    pub level: Option<i32>,
    /// Rows of a row group.
    pub rows: usize,
    /// Bytes of values from which on a row group is closed though it has fewer rows.
    pub bytes: usize,
    /// Whether columns get bloom filters.
    pub bloom_filters: bool,
}

impl Default for ParquetStyle {
    fn default() -> Self {
        Self {
            codec: ParquetCodec::Snappy,
            level: None,
            rows: ROW_GROUP_ROWS,
            bytes: ROW_GROUP_BYTES,
            bloom_filters: false,
        }
    }
}

impl ParquetStyle {
    fn compression(&self) -> Result<Compression> {
        let wrong = |error: parquet::errors::ParquetError| StorageError::Value(error.to_string());
        let level = |default: u32| {
            let level = self.level.map_or(Ok(default), u32::try_from);
            level.map_err(|_| StorageError::Value("a compression level is at least 0".into()))
        };
        Ok(match self.codec {
            ParquetCodec::None => Compression::UNCOMPRESSED,
            ParquetCodec::Snappy => Compression::SNAPPY,
            ParquetCodec::Lz4 => Compression::LZ4_RAW,
            ParquetCodec::Gzip => Compression::GZIP(GzipLevel::try_new(level(6)?).map_err(wrong)?),
            ParquetCodec::Brotli => {
                Compression::BROTLI(BrotliLevel::try_new(level(1)?).map_err(wrong)?)
            }
            ParquetCodec::Zstd => {
                Compression::ZSTD(ZstdLevel::try_new(self.level.unwrap_or(3)).map_err(wrong)?)
            }
        })
    }
}

/// A row group that is waiting to be encoded.
#[derive(Default)]
struct Group {
    batches: Vec<RecordBatch>,
    rows: usize,
    bytes: usize,
}

/// A file being written.
pub(super) struct ParquetFile {
    writer: SerializedFileWriter<Output>,
    factory: ArrowRowGroupWriterFactory,
    /// The columns as they are given to the encoder.
    columns: Fields,
    /// How many leaves each has.
    leaves: Vec<usize>,
    rows: usize,
    bytes: usize,
    groups: Vec<Group>,
    /// Row groups that are written.
    written: usize,
}

impl ParquetFile {
    pub(super) fn new(output: Output, schema: &SchemaRef, style: &ParquetStyle) -> Result<Self> {
        if style.rows == 0 || style.bytes == 0 {
            return Err(StorageError::Value("a row group has at least one row".into()));
        }
        if schema.fields().is_empty() {
            return Err(StorageError::Unsupported("Parquet files without columns".into()));
        }
        let field = |field: &FieldRef, described: bool| -> Result<FieldRef> {
            let ty = stored(field.data_type(), described)
                .ok_or_else(|| unsupported(field.data_type(), field.name(), "Parquet files"))?;
            Ok(Arc::new(Field::new(field.name(), ty, true)))
        };
        let columns =
            schema.fields().iter().map(|f| field(f, false)).collect::<Result<Fields>>()?;
        let described =
            schema.fields().iter().map(|f| field(f, true)).collect::<Result<Fields>>()?;
        let described = ArrowSchemaConverter::new()
            .convert(&Schema::new(described))
            .map_err(|error| output.failed(&error))?;
        let mut leaves = vec![0; columns.len()];
        for leaf in 0..described.num_columns() {
            leaves[described.get_column_root_idx(leaf)] += 1;
        }
        let properties = WriterProperties::builder()
            .set_compression(style.compression()?)
            .set_bloom_filter_enabled(style.bloom_filters)
            .set_created_by(format!("StoaDB version {}", env!("CARGO_PKG_VERSION")))
            .build();
        let options = ArrowWriterOptions::new()
            .with_properties(properties)
            .with_skip_arrow_metadata(true)
            .with_parquet_schema(described);
        let given = Arc::new(Schema::new(columns.clone()));
        let writer = ArrowWriter::try_new_with_options(output, given, options).map_err(failed)?;
        let (writer, factory) = writer.into_serialized_writer().map_err(failed)?;
        let (rows, bytes) = (style.rows, style.bytes);
        Ok(Self {
            writer,
            factory,
            columns,
            leaves,
            rows,
            bytes,
            groups: vec![Group::default()],
            written: 0,
        })
    }

    pub(super) fn held(&self) -> usize {
        self.groups.iter().map(|group| group.bytes).sum()
    }

    pub(super) fn write<J: Jobs>(
        &mut self,
        batch: RecordBatch,
        jobs: &J,
    ) -> std::result::Result<(), J::Error> {
        let mut rest = batch;
        while rest.num_rows() > 0 {
            let Some(open) = self.groups.last_mut() else { return Ok(()) };
            let taken = rest.slice(0, rest.num_rows().min(self.rows - open.rows));
            rest = rest.slice(taken.num_rows(), rest.num_rows() - taken.num_rows());
            open.rows += taken.num_rows();
            open.bytes += bytes_of(&taken);
            open.batches.push(taken);
            if open.rows < self.rows && open.bytes < self.bytes {
                continue;
            }
            // Columns give work to several workers; where they are few, several row groups do.
            if self.groups.len() >= jobs.width().div_ceil(self.columns.len()) {
                self.flush(jobs)?;
            } else {
                self.groups.push(Group::default());
            }
        }
        Ok(())
    }

    pub(super) fn flush<J: Jobs>(&mut self, jobs: &J) -> std::result::Result<(), J::Error> {
        let mut groups = std::mem::replace(&mut self.groups, vec![Group::default()]);
        groups.retain(|group| group.rows > 0);
        if self.written + groups.len() > MOST_GROUPS {
            let message = format!(
                "a Parquet file has {MOST_GROUPS} row groups at most: they are too small (ROW_GROUP_SIZE, \
                 ROW_GROUP_SIZE_BYTES)"
            );
            return Err(StorageError::Value(message).into());
        }
        let columns = self.columns.len();
        let mut slots: Vec<Mutex<Slot>> = Vec::with_capacity(groups.len() * columns);
        for group in 0..groups.len() {
            let writers = self.factory.create_column_writers(self.written + group);
            let mut writers = writers.map_err(failed)?.into_iter();
            slots.extend(
                self.leaves
                    .iter()
                    .map(|&leaves| Mutex::new(Slot::Open(writers.by_ref().take(leaves).collect()))),
            );
        }
        jobs.run(slots.len(), &|job| {
            let mut slot = slots[job].lock().unwrap_or_else(PoisonError::into_inner);
            if let Slot::Open(writers) = &mut *slot {
                let writers = std::mem::take(writers);
                let (field, group) = (&self.columns[job % columns], &groups[job / columns]);
                *slot = Slot::Done(encode(field, job % columns, &group.batches, writers)?);
            }
            Ok(())
        })?;
        let mut slots = slots.into_iter();
        for _ in 0..groups.len() {
            let mut group = self.writer.next_row_group().map_err(failed)?;
            for slot in slots.by_ref().take(columns) {
                if let Slot::Done(chunks) =
                    slot.into_inner().unwrap_or_else(PoisonError::into_inner)
                {
                    for chunk in chunks {
                        chunk.append_to_row_group(&mut group).map_err(failed)?;
                    }
                }
            }
            group.close().map_err(failed)?;
            self.written += 1;
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<Output> {
        self.writer.into_inner().map_err(failed)
    }
}

/// The work on one column of a row group.
enum Slot {
    Open(Vec<ArrowColumnWriter>),
    Done(Vec<ArrowColumnChunk>),
}

fn encode(
    field: &FieldRef,
    column: usize,
    batches: &[RecordBatch],
    mut writers: Vec<ArrowColumnWriter>,
) -> Result<Vec<ArrowColumnChunk>> {
    for batch in batches {
        let array = converted(batch.column(column), field)?;
        let leaves = compute_leaves(field, &array).map_err(failed)?;
        for (leaf, writer) in leaves.iter().zip(&mut writers) {
            writer.write(leaf).map_err(failed)?;
        }
    }
    writers.into_iter().map(|writer| writer.close().map_err(failed)).collect()
}

fn failed(error: parquet::errors::ParquetError) -> StorageError {
    match error {
        parquet::errors::ParquetError::External(inner) => {
            StorageError::Write { path: "the Parquet file".into(), message: inner.to_string() }
        }
        other => StorageError::Internal(format!("writing Parquet: {other}")),
    }
}

/// The type in which values are given to the encoder, or with which they are described in the file.
fn stored(ty: &DataType, described: bool) -> Option<DataType> {
    let child = |field: &FieldRef| -> Option<FieldRef> {
        // Intervals are read as whole columns only.
        if matches!(field.data_type(), DataType::Interval(_) | DataType::Duration(_)) {
            return None;
        }
        let ty = stored(field.data_type(), described)?;
        Some(Arc::new(Field::clone(field).with_data_type(ty)))
    };
    Some(match ty {
        DataType::Null => DataType::Int32,
        DataType::Interval(_) | DataType::Duration(_) => match described {
            true => DataType::Interval(IntervalUnit::DayTime),
            false => DataType::FixedSizeBinary(12),
        },
        DataType::Time32(_) => DataType::Time32(TimeUnit::Millisecond),
        DataType::Timestamp(TimeUnit::Second, zone) => {
            DataType::Timestamp(TimeUnit::Millisecond, zone.clone())
        }
        DataType::Decimal128(_, scale) if *scale < 0 => return None,
        DataType::List(item) => DataType::List(child(item)?),
        DataType::Struct(fields) if fields.is_empty() => return None,
        DataType::Struct(fields) => {
            DataType::Struct(fields.iter().map(child).collect::<Option<_>>()?)
        }
        DataType::Map(entries, sorted) => DataType::Map(child(entries)?, *sorted),
        other => other.clone(),
    })
}

fn converted(array: &ArrayRef, field: &FieldRef) -> Result<ArrayRef> {
    match (array.data_type(), field.data_type()) {
        (from, to) if from == to => Ok(Arc::clone(array)),
        (DataType::Interval(_), DataType::FixedSizeBinary(_)) => intervals(array, field.name()),
        (DataType::Duration(_), DataType::FixedSizeBinary(_)) => {
            let ty = DataType::Interval(IntervalUnit::MonthDayNano);
            intervals(&compute::cast(array, &ty)?, field.name())
        }
        (_, to) => {
            let options = compute::CastOptions { safe: false, ..Default::default() };
            compute::cast_with_options(array, to, &options).map_err(|error| {
                let name = field.name();
                StorageError::Value(format!("the column '{name}' cannot be written: {error}"))
            })
        }
    }
}

/// Intervals as months, days and milliseconds of 32 bits without sign.
fn intervals(array: &ArrayRef, column: &str) -> Result<ArrayRef> {
    let Some(values) = array.as_primitive_opt::<IntervalMonthDayNanoType>() else {
        return Err(StorageError::Internal("an interval of another layout".into()));
    };
    let mut builder = FixedSizeBinaryBuilder::with_capacity(values.len(), 12);
    for value in values {
        let Some(value) = value else {
            builder.append_null();
            continue;
        };
        let exact = value.nanoseconds % 1_000_000 == 0;
        let parts = [
            u32::try_from(value.months).ok(),
            u32::try_from(value.days).ok(),
            u32::try_from(value.nanoseconds / 1_000_000).ok().filter(|_| exact),
        ];
        let [Some(months), Some(days), Some(millis)] = parts else {
            return Err(StorageError::Value(format!(
                "the column '{column}' holds an interval that Parquet has not: it keeps whole milliseconds and nothing \
                 negative (cast the column to VARCHAR)"
            )));
        };
        let mut bytes = [0; 12];
        for (at, part) in [months, days, millis].into_iter().enumerate() {
            bytes[4 * at..][..4].copy_from_slice(&part.to_le_bytes());
        }
        builder.append_value(bytes)?;
    }
    Ok(Arc::new(builder.finish()))
}
