//! Reading ranges of a file: one `pread` each, every range checked against the file's size first.
//!
//! Invariant: no allocation is larger than what the file holds. A column chunk stays in memory as long as a decoder
//! points into it, and no longer.
//! Next: `footer.rs`, `column.rs`.

use std::{
    fs::File,
    io::Read,
    sync::atomic::{AtomicU64, Ordering},
    time::UNIX_EPOCH,
};

use bytes::{Buf, Bytes};
use parquet::{
    errors::ParquetError,
    file::reader::{ChunkReader, Length},
};

use crate::error::{Result, StorageError};

/// What tells one version of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileIdentity {
    /// Bytes.
    pub size: u64,
    /// Nanoseconds since 1970, as far as the file system knows.
    modified: u128,
    /// The inode, where there is one.
    inode: u64,
}

impl FileIdentity {
    fn of(metadata: &std::fs::Metadata) -> Self {
        let modified = metadata.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
        Self {
            size: metadata.len(),
            modified: modified.map_or(0, |since| since.as_nanos()),
            inode: inode(metadata),
        }
    }
}

/// A file opened for reading ranges.
#[derive(Debug)]
pub(crate) struct RangeFile {
    file: File,
    path: String,
    identity: FileIdentity,
    /// Bytes asked for so far.
    asked: AtomicU64,
}

impl RangeFile {
    /// Opens a file.
    pub(crate) fn open(path: &str) -> Result<Self> {
        let io = |error: std::io::Error| StorageError::Io {
            path: path.into(),
            message: error.to_string(),
        };
        let file = File::open(path).map_err(io)?;
        let metadata = file.metadata().map_err(io)?;
        if !metadata.is_file() {
            let message = "it is not a regular file".into();
            return Err(StorageError::Io { path: path.into(), message });
        }
        let identity = FileIdentity::of(&metadata);
        Ok(Self { file, path: path.into(), identity, asked: AtomicU64::new(0) })
    }

    /// The path that was opened.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// The version of the file that was opened.
    pub(crate) fn identity(&self) -> FileIdentity {
        self.identity
    }

    /// Bytes asked for so far.
    pub(crate) fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    /// The bytes of a range.
    ///
    /// # Errors
    /// `Corrupt` when the range leaves the file, `Io` when reading fails.
    pub(crate) fn read(&self, start: u64, length: u64) -> Result<Bytes> {
        let end = start.checked_add(length);
        let (Some(_), Ok(length)) =
            (end.filter(|&end| end <= self.identity.size), usize::try_from(length))
        else {
            return Err(StorageError::Corrupt {
                path: self.path.clone(),
                row_group: None,
                column: None,
                message: format!(
                    "it refers to {length} bytes at {start}, but has only {} bytes",
                    self.identity.size
                ),
            });
        };
        let mut buffer = vec![0; length];
        self.fill(start, &mut buffer)?;
        Ok(buffer.into())
    }

    /// Fills a buffer with the bytes from `start` on.
    ///
    /// # Errors
    /// `Io` when the file ends before the buffer is full, or reading fails.
    pub(crate) fn fill(&self, start: u64, buffer: &mut [u8]) -> Result<()> {
        self.asked.fetch_add(buffer.len() as u64, Ordering::Relaxed);
        read_exact_at(&self.file, buffer, start).map_err(|error| StorageError::Io {
            path: self.path.clone(),
            message: error.to_string(),
        })
    }

    /// Whether the file is no longer the version that was opened.
    pub(crate) fn changed(&self) -> bool {
        self.file.metadata().map_or(true, |metadata| FileIdentity::of(&metadata) != self.identity)
    }
}

#[cfg(unix)]
fn inode(metadata: &std::fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn inode(_: &std::fs::Metadata) -> u64 {
    0
}

#[cfg(unix)]
fn read_exact_at(file: &File, buffer: &mut [u8], start: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, start)
}

#[cfg(windows)]
fn read_exact_at(file: &File, buffer: &mut [u8], start: u64) -> std::io::Result<()> {
    let mut done = 0;
    while done < buffer.len() {
        let at = start + done as u64;
        match std::os::windows::fs::FileExt::seek_read(file, &mut buffer[done..], at)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            read => done += read,
        }
    }
    Ok(())
}

/// Parts of a file in memory, addressed by their place in the file: what the page decoder reads from.
#[derive(Debug, Clone)]
pub(crate) struct ChunkBytes {
    /// Start in the file and content; ascending and disjoint.
    parts: Vec<(u64, Bytes)>,
}

impl ChunkBytes {
    /// Parts of a file, ascending and disjoint.
    pub(crate) fn new(parts: Vec<(u64, Bytes)>) -> Self {
        Self { parts }
    }

    /// What is held from `start` on, to the end of the part that `start` lies in.
    fn rest(&self, start: u64) -> Result<Bytes, ParquetError> {
        let index = self.parts.partition_point(|(at, _)| *at <= start);
        let part = index.checked_sub(1).and_then(|index| self.parts.get(index));
        part.and_then(|(at, bytes)| {
            let skip = usize::try_from(start - at).ok().filter(|&skip| skip <= bytes.len())?;
            Some(bytes.slice(skip..))
        })
        .ok_or_else(|| ParquetError::EOF(format!("nothing was read at {start}")))
    }
}

impl Length for ChunkBytes {
    fn len(&self) -> u64 {
        self.parts.last().map_or(0, |(at, bytes)| at + bytes.len() as u64)
    }
}

impl ChunkReader for ChunkBytes {
    type T = bytes::buf::Reader<Bytes>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        Ok(self.rest(start)?.reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let rest = self.rest(start)?;
        if length > rest.len() {
            return Err(ParquetError::EOF(format!("{length} bytes wanted, {} left", rest.len())));
        }
        Ok(rest.slice(..length))
    }
}

/// The file itself as the source of small structures (bloom filters): every read is checked and counted.
impl Length for RangeFile {
    fn len(&self) -> u64 {
        self.identity.size
    }
}

impl ChunkReader for RangeFile {
    type T = Box<dyn Read>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        Err(ParquetError::General(format!("unbounded read at {start}")))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        self.read(start, length as u64).map_err(|error| ParquetError::External(Box::new(error)))
    }
}
