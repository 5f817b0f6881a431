//! A folder that appears at once: filled under another name beside its place, then moved there.
//!
//! Invariants: what is in the folder is on the disk before it gets its name. A folder that is put down leaves nothing behind,
//! and where its files are added to those of another and one cannot be, the others are taken back.
//! Next: `output.rs`.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::output::{beside, failed, resolved, sync_folder};
use crate::error::Result;

/// What becomes of files that stand in the folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// There must be none.
    Refuse,
    /// They are removed.
    Replace,
    /// They stay, but for those of the same names.
    Keep,
}

/// A folder that is being filled.
#[derive(Debug)]
pub struct NewFolder {
    target: PathBuf,
    temporary: PathBuf,
    existing: Existing,
    /// Whether the temporary folder is to be removed.
    pending: bool,
}

impl NewFolder {
    /// Begins a folder. A link to a folder stays one: what it leads to is filled.
    ///
    /// # Errors
    /// `Write` when it cannot be made, or when there are files that are not to be replaced.
    pub fn create(path: &str, existing: Existing) -> Result<Self> {
        let target = resolved(PathBuf::from(path.trim_end_matches('/')));
        if existing == Existing::Refuse && is_used(&target) {
            return Err(failed(&target, &"it exists and is not an empty folder"));
        }
        if target.exists() && !target.is_dir() {
            return Err(failed(&target, &"it is no folder"));
        }
        let temporary = beside(&target);
        fs::create_dir(&temporary).map_err(|error| failed(&target, &error))?;
        Ok(Self { target, temporary, existing, pending: true })
    }

    /// Where its files are to be written until it is finished.
    pub fn path(&self) -> &Path {
        &self.temporary
    }

    /// Where it will be.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Gives the folder its name, or adds its files to those that are there.
    ///
    /// # Errors
    /// `Write` when that fails; what was there before still is then.
    pub fn finish(mut self) -> Result<()> {
        let done = self.settle();
        done.map_err(|error| failed(&self.target, &error))
    }

    fn settle(&mut self) -> io::Result<()> {
        sync_tree(&self.temporary)?;
        if self.existing == Existing::Keep && self.target.exists() {
            let mut moves = Moves::default();
            let kept = beside(&self.target);
            fs::create_dir(&kept)?;
            let moved = moves.add(&self.temporary, &self.target, &kept);
            let moved = moved.and_then(|()| sync_tree(&self.target));
            if moved.is_err() {
                moves.take_back();
            }
            let _ = fs::remove_dir_all(&kept);
            moved?;
            // What it was filled in is empty now, but for folders.
            let _ = fs::remove_dir_all(&self.temporary);
        } else if self.target.exists() {
            let old = beside(&self.target);
            fs::rename(&self.target, &old)?;
            if let Err(error) = fs::rename(&self.temporary, &self.target) {
                fs::rename(&old, &self.target)?;
                return Err(error);
            }
            // The folder is in its place: that what it replaced cannot be removed is no failure of it.
            let _ = fs::remove_dir_all(&old);
        } else {
            fs::rename(&self.temporary, &self.target)?;
        }
        self.pending = false;
        sync_folder(&self.target)
    }
}

impl Drop for NewFolder {
    fn drop(&mut self) {
        if self.pending {
            // Nothing better can be done about a folder that cannot be removed.
            let _ = fs::remove_dir_all(&self.temporary);
        }
    }
}

/// Whether something stands in a folder.
pub(super) fn is_used(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some())
}

/// Brings the names in a folder and in those below it to the disk.
fn sync_tree(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_tree(&entry.path())?;
        }
    }
    // Any name in it names it.
    sync_folder(&folder.join("_"))
}

/// What was done to add the files of a folder to those of another, so that it can be undone.
#[derive(Default)]
struct Moves {
    folders: Vec<PathBuf>,
    /// Files that were moved, and where the one stands that had the name before.
    files: Vec<(PathBuf, Option<PathBuf>)>,
}

impl Moves {
    /// Moves the files below a folder to the same places below another; files that are replaced go to `kept`.
    fn add(&mut self, from: &Path, to: &Path, kept: &Path) -> io::Result<()> {
        if !to.exists() {
            fs::create_dir(to)?;
            self.folders.push(to.to_owned());
        }
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            let (source, target) = (entry.path(), to.join(entry.file_name()));
            if entry.file_type()?.is_dir() {
                self.add(&source, &target, kept)?;
                continue;
            }
            let old = match target.symlink_metadata() {
                Ok(known) if known.is_dir() => {
                    let message = format!("'{}' is a folder", target.display());
                    return Err(io::Error::other(message));
                }
                Ok(_) => {
                    let old = kept.join(self.files.len().to_string());
                    // A second name, so that the first one is never without a file, where there are such.
                    fs::hard_link(&target, &old).or_else(|_| fs::rename(&target, &old))?;
                    Some(old)
                }
                Err(_) => None,
            };
            self.files.push((target.clone(), old));
            fs::rename(&source, &target)?;
        }
        Ok(())
    }

    /// Undoes it as far as that is possible.
    fn take_back(self) {
        for (file, old) in self.files.into_iter().rev() {
            let _ = match old {
                Some(old) => fs::rename(&old, &file),
                None => fs::remove_file(&file),
            };
        }
        for folder in self.folders.into_iter().rev() {
            let _ = fs::remove_dir(&folder);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(folder: &NewFolder, files: &[&str]) {
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("new {file}")).unwrap();
        }
    }

    fn begin(path: &Path, existing: Existing) -> Result<NewFolder> {
        NewFolder::create(path.to_str().unwrap(), existing)
    }

    fn text(path: PathBuf) -> String {
        fs::read_to_string(path).unwrap()
    }

    fn names(folder: &Path) -> Vec<String> {
        let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn test_folders_appear_are_replaced_and_added_to() {
        let place = tempfile::tempdir().unwrap();
        let target = place.path().join("out");
        let folder = begin(&target, Existing::Refuse).unwrap();
        fill(&folder, &["a=1/b=1/x", "a=2/x"]);
        assert!(!target.exists());
        folder.finish().unwrap();
        assert_eq!(names(&target), ["a=1", "a=2"]);
        assert!(begin(&target, Existing::Refuse).is_err());
        let folder = begin(&target, Existing::Keep).unwrap();
        fill(&folder, &["a=2/x", "a=3/b=1/x"]);
        fs::write(target.join("a=2/x"), "old").unwrap();
        fs::write(target.join("a=2/y"), "old").unwrap();
        folder.finish().unwrap();
        assert_eq!(names(&target), ["a=1", "a=2", "a=3"]);
        assert_eq!(text(target.join("a=2/x")), "new a=2/x");
        assert_eq!(text(target.join("a=2/y")), "old");
        drop(begin(&target, Existing::Replace).unwrap());
        assert_eq!(names(&target), ["a=1", "a=2", "a=3"]);
        let folder = begin(&target, Existing::Replace).unwrap();
        fill(&folder, &["z"]);
        folder.finish().unwrap();
        assert_eq!(names(&target), ["z"]);
        assert_eq!(names(place.path()), ["out"]);
    }

    #[test]
    fn test_what_cannot_be_added_is_taken_back() {
        let place = tempfile::tempdir().unwrap();
        let target = place.path().join("out");
        let blocked = ["a=1/x", "a=2/x", "a=3/x", "a=4/x"];
        // Whatever the order in which a folder's names are read, one of these comes last.
        for folder_named_so in blocked {
            fs::create_dir_all(target.join(folder_named_so)).unwrap();
            for file in blocked.iter().filter(|file| **file != folder_named_so).take(2) {
                fs::create_dir_all(target.join(file).parent().unwrap()).unwrap();
                fs::write(target.join(file), format!("old {file}")).unwrap();
            }
            let before: Vec<_> = names(&target).iter().map(|f| names(&target.join(f))).collect();
            let folder = begin(&target, Existing::Keep).unwrap();
            fill(&folder, &blocked);
            assert!(folder.finish().is_err());
            let after: Vec<_> = names(&target).iter().map(|f| names(&target.join(f))).collect();
            assert_eq!(before, after);
            for file in blocked.iter().filter(|file| **file != folder_named_so).take(2) {
                assert_eq!(text(target.join(file)), format!("old {file}"));
            }
            assert_eq!(names(place.path()), ["out"]);
            fs::remove_dir_all(&target).unwrap();
        }
    }

    #[test]
    #[cfg(unix)]
    fn test_links_stay_and_long_names_fit() {
        let place = tempfile::tempdir().unwrap();
        let (real, link) = (place.path().join("real"), place.path().join("link"));
        fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink("real", &link).unwrap();
        for existing in [Existing::Replace, Existing::Keep] {
            let folder = begin(&link, existing).unwrap();
            fill(&folder, &["x"]);
            folder.finish().unwrap();
            assert!(link.symlink_metadata().unwrap().is_symlink());
            assert_eq!(names(&real), ["x"]);
        }
        let dangling = place.path().join("dangling");
        std::os::unix::fs::symlink("later", &dangling).unwrap();
        let folder = begin(&dangling, Existing::Refuse).unwrap();
        fill(&folder, &["x"]);
        folder.finish().unwrap();
        assert!(dangling.symlink_metadata().unwrap().is_symlink());
        assert_eq!(names(&place.path().join("later")), ["x"]);
        let long = place.path().join("n".repeat(255));
        let folder = begin(&long, Existing::Refuse).unwrap();
        fill(&folder, &["x"]);
        folder.finish().unwrap();
        assert_eq!(names(&long), ["x"]);
    }
}
