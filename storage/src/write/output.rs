//! A file that appears at once: written under another name in the same folder, then renamed.
//!
//! Invariants: whoever reads the name finds the old file or the new one, whole; a writer that fails leaves nothing behind.
//! No handle is kept open between writes of `BUFFER` bytes, so that thousands of files can be written side by side.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use crate::error::{Result, StorageError};

/// Bytes that are collected before they go to the file.
const BUFFER: usize = 1 << 20;

/// Tells apart what one process writes at the same time.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Most bytes of a name that the name beside it repeats: file systems allow 255 for the whole.
const MOST_NAME: usize = 200;
/// Most links that lead from one to the next.
const MOST_LINKS: usize = 40;

/// A name in the folder of `path` that nobody else uses.
pub(super) fn beside(path: &Path) -> PathBuf {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = &name[..name.floor_char_boundary(MOST_NAME)];
    path.with_file_name(format!(".{name}.{}-{number}.tmp", std::process::id()))
}

/// The path that a path leads to, by links if it is one: also by those to where there is nothing yet.
pub(super) fn resolved(path: PathBuf) -> PathBuf {
    let mut path = path;
    for _ in 0..MOST_LINKS {
        if let Ok(known) = fs::canonicalize(&path) {
            return known;
        }
        let Ok(next) = fs::read_link(&path) else { break };
        path = path.parent().unwrap_or(Path::new("")).join(next);
    }
    path
}

/// A file being written.
#[derive(Debug)]
pub(super) struct Output {
    path: PathBuf,
    temporary: PathBuf,
    buffer: Vec<u8>,
    /// Whether the temporary file is to be removed.
    pending: bool,
}

impl Output {
    /// Begins a file.
    ///
    /// # Errors
    /// `Write` when it cannot be made.
    pub(super) fn create(path: &str) -> Result<Self> {
        let path = PathBuf::from(path);
        if path.is_dir() {
            return Err(failed(&path, &"it is a folder"));
        }
        if path.exists() && !path.is_file() {
            return Err(failed(&path, &"it is no plain file"));
        }
        // A link stays a link: what it leads to is replaced.
        let path = resolved(path);
        let temporary = beside(&path);
        let made = OpenOptions::new().write(true).create_new(true).open(&temporary);
        made.map_err(|error| failed(&path, &error))?;
        Ok(Self { path, temporary, buffer: Vec::new(), pending: true })
    }

    /// The error about the file.
    pub(super) fn failed(&self, error: &dyn std::fmt::Display) -> StorageError {
        failed(&self.path, error)
    }

    /// Brings all of it to the disk and gives it its name.
    ///
    /// # Errors
    /// `Write` when that fails; the file that had the name before is still there then.
    pub(super) fn commit(mut self) -> Result<()> {
        let done = self.settle();
        done.map_err(|error| self.failed(&error))
    }

    fn settle(&mut self) -> io::Result<()> {
        self.flush()?;
        if let Ok(known) = fs::metadata(&self.path) {
            fs::set_permissions(&self.temporary, known.permissions())?;
        }
        OpenOptions::new().append(true).open(&self.temporary)?.sync_all()?;
        fs::rename(&self.temporary, &self.path)?;
        self.pending = false;
        sync_folder(&self.path)
    }
}

/// Writes a small file.
///
/// # Errors
/// `Write` when that fails; the file that had the name before is still there then.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    let name = path.to_str().ok_or_else(|| failed(path, &"its name is not valid UTF-8"))?;
    let mut output = Output::create(name)?;
    output.buffer.extend_from_slice(bytes);
    output.commit()
}

/// Brings the names in the folder of a path to the disk.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    match File::open(folder.unwrap_or(Path::new("."))) {
        // Not every system can sync a folder.
        Ok(folder) => folder.sync_all().or(Ok(())),
        Err(_) => Ok(()),
    }
}

/// The error about a file that cannot be written.
pub(super) fn failed(path: &Path, error: &dyn std::fmt::Display) -> StorageError {
    StorageError::Write { path: path.display().to_string(), message: error.to_string() }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BUFFER {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.buffer.is_empty() {
            OpenOptions::new().append(true).open(&self.temporary)?.write_all(&self.buffer)?;
            self.buffer.clear();
        }
        Ok(())
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if self.pending {
            // Nothing better can be done about a file that cannot be removed.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}
