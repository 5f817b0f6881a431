//! The folder of a saved database: its names, its lock, and how its manifest is replaced.
//!
//! Invariants: what is not ours in the folder is never touched; only who holds the lock changes anything; a new manifest
//! takes the place of the old one by a rename, after everything that it lists is on the disk.
//! Next: `save.rs`, `open.rs`.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
};

use bytes::Bytes;

use crate::{
    disk::{SaveId, manifest::Manifest},
    error::{Result, StorageError},
};

const MANIFEST: &str = "manifest";
const NEW_MANIFEST: &str = "manifest.new";
const LOCK: &str = "lock";
const SUFFIX: &str = ".arrow";

/// Whether a path is the folder of a saved database.
pub fn is_saved_database(path: &Path) -> bool {
    path.join(MANIFEST).is_file()
}

/// The lock of a folder, until it is dropped. It is given back by name: to close the file is not enough while a process that
/// was forked meanwhile has it open, too.
pub(crate) struct Lock(pub(super) File);

impl Drop for Lock {
    fn drop(&mut self) {
        // What fails here leaves the lock to the file's last close.
        let _ = self.0.unlock();
    }
}

/// A folder of a database.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// The folder at a path, which may not exist.
    pub(crate) fn at(path: &Path) -> Self {
        Self { path: path.to_path_buf() }
    }

    /// The path of a file of a number.
    pub(crate) fn file(&self, number: u64) -> PathBuf {
        self.path.join(file_name(number))
    }

    /// The error of a save that failed.
    pub(crate) fn failed(&self, message: impl ToString) -> StorageError {
        StorageError::Save { path: self.path.display().to_string(), message: message.to_string() }
    }

    /// The error of a save whose version is in place, but of which the file system did not say that it stays.
    pub(crate) fn unsettled(&self, id: SaveId, error: StorageError) -> StorageError {
        let message = match error {
            StorageError::Save { message, .. } => message,
            other => other.to_string(),
        };
        StorageError::SaveUnsettled { path: self.path.display().to_string(), id, message }
    }

    /// The manifest; `None` when there is none.
    ///
    /// # Errors
    /// As `Manifest::read`, and `Io` when it cannot be read.
    pub(crate) fn manifest(&self) -> Result<Option<Manifest>> {
        let path = self.path.join(MANIFEST);
        match fs::read(&path) {
            Ok(bytes) => Manifest::read(Bytes::from(bytes), &path).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => {
                let path = path.display().to_string();
                Err(StorageError::Io { path, message: error.to_string() })
            }
        }
    }

    /// Makes the folder if there is none (its parent has to exist), and takes its lock until what is given is dropped.
    ///
    /// # Errors
    /// `Save` when it cannot be made, holds files of somebody else, or another save is under way.
    pub(crate) fn lock(&self) -> Result<Lock> {
        match fs::create_dir(&self.path) {
            Ok(()) => {
                let parent = self.path.parent().filter(|path| !path.as_os_str().is_empty());
                sync(parent.unwrap_or(Path::new("."))).map_err(|error| self.failed(error))?;
            }
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(self.failed(error));
            }
            Err(_) if !self.path.is_dir() => return Err(self.failed("it is a file, not a folder")),
            Err(_) if !is_saved_database(&self.path) => self.check_empty()?,
            Err(_) => {}
        }
        let mut options = File::options();
        options.create(true).truncate(false).write(true);
        let lock = options.open(self.path.join(LOCK)).map_err(|error| self.failed(error))?;
        match lock.try_lock() {
            Ok(()) => Ok(Lock(lock)),
            Err(TryLockError::WouldBlock) => Err(self.failed("another save to it is under way")),
            Err(TryLockError::Error(error)) => Err(self.failed(error)),
        }
    }

    /// That the folder holds nothing but what a save that was killed may have left.
    fn check_empty(&self) -> Result<()> {
        for entry in fs::read_dir(&self.path).map_err(|error| self.failed(error))? {
            let name = entry.map_err(|error| self.failed(error))?.file_name();
            let name = name.to_string_lossy();
            if number_of(&name).is_none() && name != LOCK && name != NEW_MANIFEST {
                let message = format!("the folder is no StoaDB database and holds '{name}'");
                return Err(self.failed(message));
            }
        }
        Ok(())
    }

    /// Puts a manifest in the place of the old one, after making sure that the files' names are on the disk.
    ///
    /// # Errors
    /// Those of the file system. The new manifest is in place if the very last step failed.
    pub(crate) fn replace_manifest(&self, bytes: &[u8]) -> io::Result<()> {
        sync(&self.path)?;
        let new = self.path.join(NEW_MANIFEST);
        let mut file = File::create(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&new, self.path.join(MANIFEST))?;
        sync(&self.path)
    }

    /// Makes sure that the folder's names are on the disk.
    ///
    /// # Errors
    /// Those of the file system.
    pub(crate) fn settle(&self) -> io::Result<()> {
        sync(&self.path)
    }

    /// Unlinks the files of ours that a manifest does not list. What cannot be unlinked is left to the next save.
    pub(crate) fn clean(&self, manifest: &Manifest) {
        for entry in fs::read_dir(&self.path).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let listed = |number| {
                manifest.segments.contains_key(&number)
                    || manifest.dictionaries.contains_key(&number)
            };
            let left = match name.to_str() {
                Some(NEW_MANIFEST) => true,
                Some(name) => number_of(name).is_some_and(|number| !listed(number)),
                None => false,
            };
            if left {
                // A leftover costs space and nothing else.
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// The name of the file of a number.
pub(crate) fn file_name(number: u64) -> String {
    format!("{number:016x}{SUFFIX}")
}

fn number_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX).filter(|digits| digits.len() == 16)?;
    let number = u64::from_str_radix(digits, 16).ok()?;
    (file_name(number) == name).then_some(number)
}

/// Waits until a folder's names are on the disk.
#[cfg(unix)]
fn sync(folder: &Path) -> io::Result<()> {
    #[cfg(test)]
    failing::next()?;
    File::open(folder)?.sync_all()
}

/// Folders are not opened as files elsewhere; a rename there is as durable as the system makes it.
#[cfg(not(unix))]
fn sync(_folder: &Path) -> io::Result<()> {
    #[cfg(test)]
    failing::next()?;
    Ok(())
}

/// Lets a sync of a folder fail, for tests.
#[cfg(test)]
pub(crate) mod failing {
    use std::{cell::Cell, io};

    thread_local! {
        static LEFT: Cell<Option<usize>> = const { Cell::new(None) };
    }

    /// From now on, of this thread's syncs of folders, those after the next `sound` ones fail; `None`: none does.
    pub(crate) fn after(sound: Option<usize>) {
        LEFT.set(sound);
    }

    pub(super) fn next() -> io::Result<()> {
        match LEFT.get() {
            None => Ok(()),
            Some(0) => Err(io::Error::other("the disk does not answer")),
            Some(left) => {
                LEFT.set(Some(left - 1));
                Ok(())
            }
        }
    }
}
