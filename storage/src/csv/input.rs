//! The bytes of a file, plain or compressed, in a buffer that moves along.
//!
//! Invariants: offsets count bytes of the text, after decompression. The buffer holds one batch of records and what was
//! read ahead; it never grows beyond `MAX_BUFFER`, so that a span's 30 bits suffice.
//! Next: `scan.rs`, `sniff.rs`.

use std::{io::Read, sync::Arc};

use super::{CHUNK_BYTES, MAX_RECORD};
use crate::{
    error::{Result, StorageError},
    parquet::source::{FileIdentity, RangeFile},
    scan::ScanBatch,
};

/// Most bytes in a buffer.
const MAX_BUFFER: usize = 2 * MAX_RECORD;

/// How a file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    /// Not at all: any range can be read.
    Plain,
    /// gzip, perhaps of several members.
    Gzip,
    /// Zstandard.
    Zstd,
}

impl Compression {
    /// By the end of the name.
    pub(crate) fn of(path: &str) -> Self {
        let ends = |end: &str| {
            let at = path.len().checked_sub(end.len());
            at.and_then(|at| path.get(at..)).is_some_and(|tail| tail.eq_ignore_ascii_case(end))
        };
        if ends(".gz") {
            Self::Gzip
        } else if ends(".zst") {
            Self::Zstd
        } else {
            Self::Plain
        }
    }
}

impl Compression {
    /// What an option says, or the end of the name.
    ///
    /// # Errors
    /// `Value` for a compression that is not known.
    pub(crate) fn chosen(option: Option<&str>, path: &str) -> Result<Self> {
        Ok(match option.map(str::to_ascii_lowercase).as_deref() {
            None | Some("auto" | "auto_detect") => Self::of(path),
            Some("none" | "uncompressed") => Self::Plain,
            Some("gzip" | "gz") => Self::Gzip,
            Some("zstd" | "zst") => Self::Zstd,
            Some(other) => {
                let message =
                    format!("the option compression is none, gzip or zstd, not '{other}'");
                return Err(StorageError::Value(message));
            }
        })
    }
}

/// The error about a file's content.
pub(crate) fn corrupt(path: &str, message: String) -> StorageError {
    StorageError::Corrupt { path: path.into(), row_group: None, column: None, message }
}

/// A file from its start, or from an offset.
enum Source {
    Plain { at: u64 },
    Compressed(Box<dyn Read + Send>),
}

/// A file being read, and the part of it that is in memory.
pub(crate) struct Input {
    file: Arc<RangeFile>,
    source: Source,
    bytes: Vec<u8>,
    /// The offset of the first byte in memory.
    offset: u64,
    /// Bytes in memory that are done with.
    done: usize,
    /// Whether nothing follows what is in memory.
    ended: bool,
}

impl Input {
    /// Opens a file at an offset; a compressed one is read up to there.
    ///
    /// # Errors
    /// `Io` when the file cannot be read; `Corrupt` when it is not compressed as its name says.
    pub(crate) fn open(file: Arc<RangeFile>, compression: Compression, at: u64) -> Result<Self> {
        let reader = Sequential { file: Arc::clone(&file), at: 0 };
        let source = match compression {
            Compression::Plain => Source::Plain { at },
            Compression::Gzip => {
                Source::Compressed(Box::new(flate2::read::MultiGzDecoder::new(reader)))
            }
            Compression::Zstd => {
                let decoder = zstd::stream::read::Decoder::new(reader);
                Source::Compressed(Box::new(decoder.map_err(|error| io(&file, &error))?))
            }
        };
        let mut input = Self { file, source, bytes: Vec::new(), offset: 0, done: 0, ended: false };
        match input.source {
            Source::Plain { .. } => input.offset = at,
            Source::Compressed(_) => input.step_over(at)?,
        }
        Ok(input)
    }

    /// Goes to an offset that is not behind.
    fn step_over(&mut self, to: u64) -> Result<()> {
        while self.offset < to {
            self.more(CHUNK_BYTES)?;
            let ahead = usize::try_from(to - self.offset).unwrap_or(usize::MAX);
            if self.bytes.is_empty() {
                return Err(StorageError::Io {
                    path: self.file.path().into(),
                    message: "it is shorter than before".into(),
                });
            }
            self.advance(ahead.min(self.bytes.len()));
            self.forget();
        }
        Ok(())
    }

    /// What is in memory and not done with.
    pub(crate) fn rest(&self) -> &[u8] {
        &self.bytes[self.done..]
    }

    /// The offset of the first byte of `rest`.
    pub(crate) fn position(&self) -> u64 {
        self.offset + self.done as u64
    }

    /// Whether nothing follows `rest` in the file.
    pub(crate) fn ended(&self) -> bool {
        self.ended
    }

    /// Reads the beginning of a text and goes behind its byte order mark.
    ///
    /// # Errors
    /// As `more`; `Corrupt` when the mark is that of UTF-16.
    pub(crate) fn begin(&mut self, path: &str) -> Result<()> {
        self.more(CHUNK_BYTES)?;
        if self.rest().starts_with(b"\xef\xbb\xbf") {
            self.advance(3);
        } else if self.rest().starts_with(b"\xff\xfe") || self.rest().starts_with(b"\xfe\xff") {
            return Err(corrupt(path, "it is UTF-16 text; UTF-8 is read".into()));
        }
        Ok(())
    }

    /// Marks bytes of `rest` as done with.
    pub(crate) fn advance(&mut self, bytes: usize) {
        self.done = (self.done + bytes).min(self.bytes.len());
    }

    /// Drops the bytes that are done with.
    fn forget(&mut self) {
        self.bytes.drain(..self.done);
        self.offset += self.done as u64;
        self.done = 0;
    }

    /// Reads about so many bytes more behind `rest`. Nothing is read when the file has ended or `rest` is full; then it
    /// says so.
    ///
    /// # Errors
    /// `Io` when reading fails, also when the file became shorter; `Corrupt` when decompressing does.
    pub(crate) fn more(&mut self, bytes: usize) -> Result<bool> {
        self.forget();
        let before = self.bytes.len();
        let wanted = bytes.min(MAX_BUFFER.saturating_sub(before));
        if self.ended || wanted == 0 {
            return Ok(false);
        }
        let size = self.file.identity().size;
        match &mut self.source {
            Source::Plain { at } => {
                let wanted =
                    wanted.min(usize::try_from(size.saturating_sub(*at)).unwrap_or(wanted));
                self.bytes.resize(before + wanted, 0);
                self.file.fill(*at, &mut self.bytes[before..])?;
                *at += wanted as u64;
                self.ended = *at >= size;
            }
            Source::Compressed(reader) => {
                let read = reader.take(wanted as u64).read_to_end(&mut self.bytes);
                let read = read.map_err(|error| match error.get_ref() {
                    Some(inner) if inner.is::<StorageError>() => io(&self.file, &error),
                    _ => StorageError::Corrupt {
                        path: self.file.path().into(),
                        row_group: None,
                        column: None,
                        message: format!("decompressing fails: {error}"),
                    },
                })?;
                self.ended = read < wanted;
            }
        }
        Ok(self.bytes.len() > before)
    }
}

fn io(file: &RangeFile, error: &std::io::Error) -> StorageError {
    StorageError::Io { path: file.path().into(), message: error.to_string() }
}

/// The bytes of a file in order.
struct Sequential {
    file: Arc<RangeFile>,
    at: u64,
}

impl Read for Sequential {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let left = self.file.identity().size.saturating_sub(self.at);
        let length = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        self.file.fill(self.at, &mut buffer[..length]).map_err(std::io::Error::other)?;
        self.at += length as u64;
        Ok(length)
    }
}

/// A file opened again, if it is still the one that was seen before.
///
/// # Errors
/// `Io` when it cannot be opened or is another one.
pub(crate) fn reopen(path: &str, identity: FileIdentity) -> Result<Arc<RangeFile>> {
    let file = RangeFile::open(path)?;
    match file.identity() == identity {
        true => Ok(Arc::new(file)),
        false => Err(changed(path)),
    }
}

/// The error about a file that changed while it was read.
pub(crate) fn changed(path: &str) -> StorageError {
    StorageError::Io { path: path.into(), message: "it was changed since the query began".into() }
}

/// The line, from 1, on which the text at an offset stands. Reads the file up to there.
///
/// # Errors
/// `Io` when the file cannot be read.
pub(crate) fn line_at(
    file: &Arc<RangeFile>,
    compression: Compression,
    line_end: u8,
    offset: u64,
) -> Result<u64> {
    let mut input = Input::open(Arc::clone(file), compression, 0)?;
    let mut lines = 1;
    while input.position() < offset && (!input.rest().is_empty() || input.more(CHUNK_BYTES)?) {
        let left = usize::try_from(offset - input.position()).unwrap_or(usize::MAX);
        let count = left.min(input.rest().len());
        lines += memchr::memchr_iter(line_end, &input.rest()[..count]).count() as u64;
        input.advance(count);
    }
    Ok(lines)
}

/// The next batch of a range of a text file. At the end, or when an error ends it, the range is settled once: its account,
/// and whether the file is still the same.
pub(crate) fn next_batch<R>(
    range: &mut R,
    finished: fn(&mut R) -> &mut bool,
    step: fn(&mut R) -> Result<Option<ScanBatch>>,
    settle: fn(&R) -> Result<()>,
) -> Result<Option<ScanBatch>> {
    if *finished(range) {
        return Ok(None);
    }
    let found = step(range);
    if !matches!(found, Ok(Some(_))) {
        *finished(range) = true;
        settle(range)?;
    }
    found
}
