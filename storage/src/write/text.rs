//! Files of text: chunks of rows are formatted and compressed side by side and written in order.
//!
//! Invariant: the bytes of a file do not depend on the number of workers: chunks are cut by rows alone. Compressed files
//! are of one member or frame for each chunk, which every reader of the formats joins.
//! Next: `csv.rs`, `json.rs`.

use std::{
    io::Write,
    sync::{Mutex, PoisonError},
};

use arrow::array::RecordBatch;

use super::{Jobs, bytes_of, output::Output};
use crate::error::{Result, StorageError};

/// Rows of a chunk.
const CHUNK_ROWS: usize = 1 << 15;
/// Bytes of values from which on a chunk is closed though it has fewer rows.
const CHUNK_BYTES: usize = 16 << 20;

/// How text is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextCompression {
    /// Not at all.
    None,
    /// gzip, at a level from 1 to 9.
    Gzip(u32),
    /// Zstandard, at a level from 1 to 22.
    Zstd(i32),
}

impl TextCompression {
    /// What the end of a path says.
    pub fn of(path: &str) -> Self {
        let path = path.to_ascii_lowercase();
        if path.ends_with(".gz") {
            Self::Gzip(6)
        } else if path.ends_with(".zst") {
            Self::Zstd(3)
        } else {
            Self::None
        }
    }
}

/// Turns batches into text.
pub(super) trait TextFormat: Send + Sync {
    /// What stands in front of all rows.
    fn begin(&self) -> Vec<u8>;
    /// Appends the rows of a batch; `first` says whether no row stands before them.
    fn rows(&self, batch: &RecordBatch, first: bool, out: &mut Vec<u8>) -> Result<()>;
    /// What stands behind all rows.
    fn end(&self, empty: bool) -> Vec<u8>;
}

/// A file of text being written.
pub(super) struct TextFile {
    output: Output,
    format: Box<dyn TextFormat>,
    compression: TextCompression,
    /// Chunks that are complete, and one that is not.
    chunks: Vec<Vec<RecordBatch>>,
    open_rows: usize,
    open_bytes: usize,
    held: usize,
    empty: bool,
}

impl TextFile {
    pub(super) fn new(
        mut output: Output,
        format: Box<dyn TextFormat>,
        compression: TextCompression,
    ) -> Result<Self> {
        let begin = compressed(format.begin(), compression).map_err(|e| output.failed(&e))?;
        output.write_all(&begin).map_err(|error| output.failed(&error))?;
        Ok(Self {
            output,
            format,
            compression,
            chunks: vec![Vec::new()],
            open_rows: 0,
            open_bytes: 0,
            held: 0,
            empty: true,
        })
    }

    pub(super) fn held(&self) -> usize {
        self.held
    }

    pub(super) fn write<J: Jobs>(
        &mut self,
        batch: RecordBatch,
        jobs: &J,
    ) -> std::result::Result<(), J::Error> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let bytes = bytes_of(&batch);
        self.held += bytes;
        self.open_bytes += bytes;
        self.open_rows += batch.num_rows();
        if let Some(open) = self.chunks.last_mut() {
            open.push(batch);
        }
        if self.open_rows < CHUNK_ROWS && self.open_bytes < CHUNK_BYTES {
            return Ok(());
        }
        if self.chunks.len() >= 2 * jobs.width() {
            return self.flush(jobs);
        }
        self.chunks.push(Vec::new());
        (self.open_rows, self.open_bytes) = (0, 0);
        Ok(())
    }

    pub(super) fn flush<J: Jobs>(&mut self, jobs: &J) -> std::result::Result<(), J::Error> {
        let mut chunks = std::mem::replace(&mut self.chunks, vec![Vec::new()]);
        chunks.retain(|chunk| !chunk.is_empty());
        (self.open_rows, self.open_bytes, self.held) = (0, 0, 0);
        let texts: Vec<Mutex<Vec<u8>>> = chunks.iter().map(|_| Mutex::default()).collect();
        let (format, compression, empty) = (&self.format, self.compression, self.empty);
        let output = &self.output;
        jobs.run(chunks.len(), &|chunk| {
            let mut text = Vec::new();
            for (number, batch) in chunks[chunk].iter().enumerate() {
                format.rows(batch, empty && chunk == 0 && number == 0, &mut text)?;
            }
            let text = compressed(text, compression).map_err(|error| output.failed(&error))?;
            *texts[chunk].lock().unwrap_or_else(PoisonError::into_inner) = text;
            Ok(())
        })?;
        self.empty &= chunks.is_empty();
        for text in texts {
            let text = text.into_inner().unwrap_or_else(PoisonError::into_inner);
            self.output.write_all(&text).map_err(|error| self.output.failed(&error))?;
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<Output> {
        let end = self.format.end(self.empty);
        // A compressed file of nothing has a member or frame, too.
        let nothing = self.empty && end.is_empty() && self.format.begin().is_empty();
        let end = match nothing {
            true => member(&end, self.compression),
            false => compressed(end, self.compression),
        };
        let end = end.map_err(|error| self.output.failed(&error))?;
        self.output.write_all(&end).map_err(|error| self.output.failed(&error))?;
        Ok(self.output)
    }
}

fn compressed(text: Vec<u8>, compression: TextCompression) -> std::io::Result<Vec<u8>> {
    match text.is_empty() || compression == TextCompression::None {
        true => Ok(text),
        false => member(&text, compression),
    }
}

/// A member or frame of a text, of an empty one, too.
fn member(text: &[u8], compression: TextCompression) -> std::io::Result<Vec<u8>> {
    match compression {
        TextCompression::None => Ok(text.to_vec()),
        TextCompression::Gzip(level) => {
            let level = flate2::Compression::new(level);
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            encoder.write_all(text)?;
            encoder.finish()
        }
        TextCompression::Zstd(level) => zstd::bulk::compress(text, level),
    }
}

/// The error about an array whose type is not what the format was made for.
pub(super) fn mistyped() -> StorageError {
    StorageError::Internal("a batch has other columns than its file".into())
}
