//! Batches to Arrow IPC: the file format, or the stream format.
//!
//! Invariant: texts and blobs are written with 32-bit offsets, which every reader of the format knows, and never with the
//! buffers that a view shares with others.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, RecordBatch, RecordBatchOptions},
    compute,
    datatypes::{DataType, FieldRef, Fields, Schema, SchemaRef},
    ipc::writer::{FileWriter, StreamWriter},
};

use super::{ROW_GROUP_BYTES, bytes_of, output::Output};
use crate::error::{Result, StorageError};

/// A file being written.
pub(super) struct ArrowFile {
    writer: Writer,
    given: SchemaRef,
    stored: SchemaRef,
    most_rows: usize,
    batches: Vec<RecordBatch>,
    rows: usize,
    bytes: usize,
}

enum Writer {
    File(FileWriter<Output>),
    Stream(StreamWriter<Output>),
}

impl ArrowFile {
    pub(super) fn new(
        output: Output,
        schema: &SchemaRef,
        stream: bool,
        most_rows: usize,
    ) -> Result<Self> {
        let stored = Arc::new(Schema::new(schema.fields().iter().map(column).collect::<Fields>()));
        let writer = match stream {
            true => Writer::Stream(StreamWriter::try_new(output, &stored).map_err(failed)?),
            false => Writer::File(FileWriter::try_new(output, &stored).map_err(failed)?),
        };
        let nullable = |field: &FieldRef| Arc::new(field.as_ref().clone().with_nullable(true));
        let given = Arc::new(Schema::new(schema.fields().iter().map(nullable).collect::<Fields>()));
        let batches = Vec::new();
        Ok(Self { writer, given, stored, most_rows: most_rows.max(1), batches, rows: 0, bytes: 0 })
    }

    pub(super) fn held(&self) -> usize {
        self.bytes
    }

    pub(super) fn write(&mut self, batch: RecordBatch) -> Result<()> {
        let mut rest = batch;
        while rest.num_rows() > 0 {
            let taken = rest.slice(0, rest.num_rows().min(self.most_rows - self.rows));
            rest = rest.slice(taken.num_rows(), rest.num_rows() - taken.num_rows());
            self.rows += taken.num_rows();
            self.bytes += bytes_of(&taken);
            self.batches.push(taken);
            if self.rows >= self.most_rows || self.bytes >= ROW_GROUP_BYTES {
                self.flush()?;
            }
        }
        Ok(())
    }

    pub(super) fn flush(&mut self) -> Result<()> {
        if self.batches.is_empty() {
            return Ok(());
        }
        let batch = compute::concat_batches(&self.given, &self.batches)?;
        self.batches.clear();
        (self.rows, self.bytes) = (0, 0);
        let stored = self.stored.fields().iter();
        let converted = |(array, field): (&ArrayRef, &FieldRef)| -> Result<ArrayRef> {
            match array.data_type() == field.data_type() {
                true => Ok(Arc::clone(array)),
                false => Ok(compute::cast(array, field.data_type())?),
            }
        };
        let columns = batch.columns().iter().zip(stored).map(converted).collect::<Result<_>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.stored), columns, &options)?;
        match &mut self.writer {
            Writer::File(writer) => writer.write(&batch).map_err(failed),
            Writer::Stream(writer) => writer.write(&batch).map_err(failed),
        }
    }

    pub(super) fn finish(self) -> Result<Output> {
        match self.writer {
            Writer::File(mut writer) => {
                writer.finish().map_err(failed)?;
                writer.into_inner().map_err(failed)
            }
            Writer::Stream(mut writer) => {
                writer.finish().map_err(failed)?;
                writer.into_inner().map_err(failed)
            }
        }
    }
}

fn failed(error: arrow::error::ArrowError) -> StorageError {
    match error {
        arrow::error::ArrowError::IoError(message, _) => {
            StorageError::Write { path: "the Arrow file".into(), message }
        }
        other => other.into(),
    }
}

fn column(column: &FieldRef) -> FieldRef {
    Arc::new(field(column).as_ref().clone().with_nullable(true))
}

fn field(field: &FieldRef) -> FieldRef {
    Arc::new(field.as_ref().clone().with_data_type(stored(field.data_type())))
}

fn stored(ty: &DataType) -> DataType {
    match ty {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::List(item) => DataType::List(field(item)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(field).collect()),
        DataType::Map(entries, sorted) => DataType::Map(field(entries), *sorted),
        other => other.clone(),
    }
}
