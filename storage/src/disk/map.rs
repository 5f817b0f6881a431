//! A file mapped into memory: the only unsafe code of the crate.
//!
//! Invariant: a `MappedFile` hands out bytes only after their checksum was verified. The file must not be written to or
//! truncated while it is mapped: saving never does (new files get new names, old ones are unlinked, which a map survives).
//! Next: `stored.rs`.

use std::{fs::File, ops::Range, path::Path, sync::Arc};

use arrow::{array::ArrayRef, buffer::Buffer, datatypes::DataType};
use bytes::Bytes;
use memmap2::Mmap;

use crate::{
    disk::{
        layout::{ArrayLayout, Span},
        physical::put_together,
    },
    error::{Result, StorageError},
};

/// A file of a saved database.
#[derive(Debug)]
pub(crate) struct MappedFile {
    path: String,
    #[cfg(unix)]
    map: Arc<Mmap>,
    /// What the map shows.
    bytes: Bytes,
}

/// A map that bytes point into.
struct Shown(Arc<Mmap>);

impl AsRef<[u8]> for Shown {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// How much is asked for in one call: systems grant less than asked, but no less than this.
#[cfg(unix)]
const FETCH: usize = 128 << 10;

impl MappedFile {
    /// Maps a file that has to be `length` bytes long. Reads nothing of it.
    ///
    /// # Errors
    /// `Io` when it cannot be opened, `Corrupt` when its length is another.
    pub(crate) fn open(path: &Path, length: u64) -> Result<Self> {
        let name = path.display().to_string();
        let io = |error: std::io::Error| StorageError::Io {
            path: name.clone(),
            message: error.to_string(),
        };
        let file = File::open(path).map_err(io)?;
        let found = file.metadata().map_err(io)?.len();
        if found != length {
            let message = format!("it is {found} bytes long, the manifest says {length}");
            return Err(StorageError::Corrupt {
                path: name,
                row_group: None,
                column: None,
                message,
            });
        }
        let map = Arc::new(map(&file).map_err(io)?);
        // Columns lie side by side: what the system would read ahead belongs to others. `fetch` says what is needed.
        #[cfg(unix)]
        map.advise(memmap2::Advice::Random).map_err(io)?;
        let bytes = Bytes::from_owner(Shown(Arc::clone(&map)));
        Ok(Self {
            path: name,
            #[cfg(unix)]
            map,
            bytes,
        })
    }

    /// The array of a type that lies as `layout` says, for a column of a name. O(bytes): checksums are verified and
    /// values validated. The array's buffers are the mapped ones.
    ///
    /// # Errors
    /// `Corrupt`, naming file and column.
    pub(crate) fn array(
        &self,
        ty: &DataType,
        layout: &ArrayLayout,
        column: &str,
    ) -> Result<ArrayRef> {
        let buffers = layout.spans.iter().map(|span| self.verified(span, column));
        let buffers = buffers.collect::<Result<Vec<_>>>()?;
        put_together(ty, layout, buffers).map_err(|message| self.corrupt(column, message))
    }

    /// The error of a damaged column.
    pub(crate) fn corrupt(&self, column: &str, message: String) -> StorageError {
        let (path, column) = (self.path.clone(), Some(column.to_owned()));
        StorageError::Corrupt { path, row_group: None, column, message }
    }

    /// Asks the system to read a range of the file, all at once and nothing else.
    #[cfg(unix)]
    fn fetch(&self, range: Range<usize>) -> std::io::Result<()> {
        range.clone().step_by(FETCH).try_for_each(|start| {
            let length = FETCH.min(range.end - start);
            self.map.advise_range(memmap2::Advice::WillNeed, start, length)
        })
    }

    #[cfg(not(unix))]
    fn fetch(&self, _: Range<usize>) -> std::io::Result<()> {
        Ok(())
    }

    fn verified(&self, span: &Span, column: &str) -> Result<Buffer> {
        if span.len == 0 {
            return Ok(Buffer::default());
        }
        let place = |at: u64| usize::try_from(at).ok().filter(|&at| at <= self.bytes.len());
        let (Some(start), Some(end)) = (place(span.offset), place(span.offset + span.len)) else {
            return Err(self.corrupt(column, format!("{span:?} lies outside of the file")));
        };
        self.fetch(start..end).map_err(|error| self.corrupt(column, error.to_string()))?;
        let bytes = self.bytes.slice(start..end);
        if crc32fast::hash(&bytes) != span.crc {
            let message = format!("the checksum of the bytes {start} to {end} is wrong");
            return Err(self.corrupt(column, message));
        }
        Ok(Buffer::from(bytes))
    }
}

#[expect(unsafe_code, reason = "there is no other way to map a file")]
fn map(file: &File) -> std::io::Result<Mmap> {
    // SAFETY: the mapped bytes must not change while they are borrowed. The file is one of a saved database, and those
    // are written before a manifest names them and never again: a save makes files of other names and unlinks old ones,
    // which leaves the map as it is. Whoever else changes them breaks the folder's documented rule.
    unsafe { Mmap::map(file) }
}
