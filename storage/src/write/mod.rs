//! Rows into files: Parquet, CSV, JSON, Arrow IPC.
//!
//! Invariants: rows are written in the order in which they come; what is held in memory is bounded by a few row groups. A
//! file appears under its name when all of it is on the disk, or not at all: until then it stands under another name in the
//! same folder, which is removed when anything fails.
//! Next: `output.rs` and `folder.rs` (files and folders that appear at once), `parquet.rs`, `text.rs`, `csv.rs`, `json.rs`,
//! `arrow.rs`; `partition.rs` (one file for each key).

mod arrow; // batches -> Arrow IPC
mod csv; // batches -> CSV
mod folder; // folders that appear at once
mod json; // batches -> JSON
mod output; // files that appear at once
mod parquet; // batches -> Parquet
mod partition; // one file for each key
mod text; // chunks of text, compressed
#[cfg(test)]
mod tests;

use ::arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch},
    datatypes::{DataType, SchemaRef},
};

use self::{arrow::ArrowFile, output::Output, parquet::ParquetFile, text::TextFile};
pub use self::{
    csv::{CsvStyle, Quoted},
    folder::{Existing, NewFolder},
    output::write_file,
    parquet::{ParquetCodec, ParquetStyle},
    partition::PartitionedWriter,
    text::TextCompression,
};
use crate::error::{Result, StorageError};

/// Rows of a row group unless the caller says otherwise.
pub const ROW_GROUP_ROWS: usize = 122_880;
/// Bytes of values from which on a row group is closed though it has fewer rows.
const ROW_GROUP_BYTES: usize = 256 << 20;

/// What is to be written.
#[derive(Debug, Clone)]
pub enum FileStyle {
    /// Parquet.
    Parquet(ParquetStyle),
    /// Values separated by a character. All columns are texts, or nested values of texts.
    Csv(CsvStyle, TextCompression),
    /// An object for each row: one on a line, or all in an array. Columns are numbers, booleans and texts, or nested
    /// values of these.
    Json {
        /// Whether the objects stand in an array.
        array: bool,
        /// How the text is compressed.
        compression: TextCompression,
    },
    /// Arrow IPC.
    Arrow {
        /// Whether it is the stream format, which has no footer.
        stream: bool,
        /// Most rows of a batch.
        rows: usize,
    },
}

/// Runs jobs, perhaps at once: calls the function for every number below the given one.
pub trait Jobs {
    /// What can go wrong around a job.
    type Error: From<StorageError>;
    /// Runs them; all are through when it returns.
    ///
    /// # Errors
    /// The first error of a job.
    fn run(
        &self,
        jobs: usize,
        job: &(dyn Fn(usize) -> Result<()> + Sync),
    ) -> std::result::Result<(), Self::Error>;
    /// How many jobs run at once.
    fn width(&self) -> usize;
}

/// A file that is being written.
pub struct FileWriter {
    kind: Kind,
    rows: u64,
}

enum Kind {
    Parquet(Box<ParquetFile>),
    Text(Box<TextFile>),
    Arrow(Box<ArrowFile>),
}

impl FileWriter {
    /// Begins a file of batches of the given columns.
    ///
    /// # Errors
    /// `Write` when it cannot be made; `Unsupported` for types that the format has not.
    pub fn create(path: &str, schema: &SchemaRef, style: &FileStyle) -> Result<Self> {
        let output = Output::create(path)?;
        let kind = match style {
            FileStyle::Parquet(style) => {
                Kind::Parquet(Box::new(ParquetFile::new(output, schema, style)?))
            }
            FileStyle::Csv(style, compression) => {
                let format = csv::format(schema, style)?;
                Kind::Text(Box::new(TextFile::new(output, format, *compression)?))
            }
            FileStyle::Json { array, compression } => {
                let format = json::format(schema, *array)?;
                Kind::Text(Box::new(TextFile::new(output, format, *compression)?))
            }
            FileStyle::Arrow { stream, rows } => {
                Kind::Arrow(Box::new(ArrowFile::new(output, schema, *stream, *rows)?))
            }
        };
        Ok(Self { kind, rows: 0 })
    }

    /// Adds rows; writes when enough are together.
    ///
    /// # Errors
    /// `Write` when writing fails; what the jobs raise.
    pub fn write<J: Jobs>(
        &mut self,
        batch: RecordBatch,
        jobs: &J,
    ) -> std::result::Result<(), J::Error> {
        self.rows += batch.num_rows() as u64;
        match &mut self.kind {
            Kind::Parquet(file) => file.write(batch, jobs),
            Kind::Text(file) => file.write(batch, jobs),
            Kind::Arrow(file) => Ok(file.write(batch)?),
        }
    }

    /// Bytes of rows that are held back.
    pub fn held(&self) -> usize {
        match &self.kind {
            Kind::Parquet(file) => file.held(),
            Kind::Text(file) => file.held(),
            Kind::Arrow(file) => file.held(),
        }
    }

    /// Writes the rows that are held back.
    ///
    /// # Errors
    /// As `write`.
    pub fn flush<J: Jobs>(&mut self, jobs: &J) -> std::result::Result<(), J::Error> {
        match &mut self.kind {
            Kind::Parquet(file) => file.flush(jobs),
            Kind::Text(file) => file.flush(jobs),
            Kind::Arrow(file) => Ok(file.flush()?),
        }
    }

    /// Ends the file and gives it its name. How many rows it has.
    ///
    /// # Errors
    /// As `write`. The file that had the name before is still there then.
    pub fn finish<J: Jobs>(mut self, jobs: &J) -> std::result::Result<u64, J::Error> {
        self.flush(jobs)?;
        let output = match self.kind {
            Kind::Parquet(file) => file.finish()?,
            Kind::Text(file) => file.finish()?,
            Kind::Arrow(file) => file.finish()?,
        };
        output.commit()?;
        Ok(self.rows)
    }
}

/// About how many bytes the values of a batch take.
fn bytes_of(batch: &RecordBatch) -> usize {
    batch.columns().iter().map(array_bytes).sum()
}

fn array_bytes(array: &ArrayRef) -> usize {
    // The low half of a view's first word is the length of the value; buffers may be shared with other batches.
    let views = |views: &[u128]| {
        views.len() * 16 + views.iter().map(|view| (view & 0xffff_ffff) as usize).sum::<usize>()
    };
    match array.data_type() {
        DataType::Utf8View => views(array.as_string_view().views()),
        DataType::BinaryView => views(array.as_binary_view().views()),
        _ => array.to_data().get_slice_memory_size().unwrap_or_default(),
    }
}

/// The error about a type that a format has not.
fn unsupported(ty: &DataType, column: &str, format: &str) -> StorageError {
    let ty = crate::types::LogicalType::from_arrow(ty)
        .map_or_else(|_| ty.to_string(), |ty| ty.to_string());
    StorageError::Unsupported(format!("{format} with values of type {ty} (column '{column}')"))
}
