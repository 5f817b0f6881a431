//! Path patterns: from what a query names (a file, a folder, a glob) to a list of files.
//!
//! Invariants: the files of a pattern are sorted by path and free of repeats, so that row order does not depend on the
//! file system; those of several patterns follow one another, as often as they are named; a pattern without a match is an
//! error, never an empty answer.
//! Next: `parquet/dataset.rs` and `csv/dataset.rs`, which read the files as one relation.

use std::path::Path;

use crate::error::{Result, StorageError};

/// The files that the patterns name, in the order of the patterns, those of one sorted by path. A pattern is a file, a
/// folder (every file below it whose name ends in `.extension`; names that start with `.` or `_` are left out), or a glob (`*`, `?`, `[a-c]`, `**`).
///
/// # Errors
/// `Io`, naming the pattern that matches nothing or cannot be read.
pub fn expand(patterns: &[String], extension: &str) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for pattern in patterns {
        let mut files = Vec::new();
        let path = Path::new(pattern);
        if path.is_dir() {
            walk(path, extension, 0, &mut files)?;
            if files.is_empty() {
                return Err(io(pattern, format!("the folder holds no .{extension} file")));
            }
        } else if path.exists() || !is_pattern(pattern) {
            // A missing file is reported by the operating system's own words when it is opened.
            std::fs::metadata(path).map_err(|error| io(pattern, error.to_string()))?;
            files.push(pattern.clone());
        } else {
            expand_glob(pattern, extension, &mut files)?;
            if files.is_empty() {
                return Err(io(pattern, "no file matches the pattern".into()));
            }
        }
        files.sort_unstable();
        files.dedup();
        all.append(&mut files);
    }
    if all.is_empty() {
        return Err(io("", "no file is named".into()));
    }
    Ok(all)
}

/// Whether a path has a sign that stands for others.
pub fn is_pattern(path: &str) -> bool {
    path.contains(['*', '?', '['])
}

/// Deepest nesting of folders that is followed; a cycle of links ends here.
const MAX_DEPTH: usize = 64;

fn walk(folder: &Path, extension: &str, depth: usize, files: &mut Vec<String>) -> Result<()> {
    let name = folder.to_string_lossy();
    if depth > MAX_DEPTH {
        return Err(io(&name, format!("folders are nested more than {MAX_DEPTH} deep")));
    }
    let entries = std::fs::read_dir(folder).map_err(|error| io(&name, error.to_string()))?;
    for entry in entries {
        let path = entry.map_err(|error| io(&name, error.to_string()))?.path();
        let hidden =
            path.file_name().is_none_or(|name| name.to_string_lossy().starts_with(['.', '_']));
        if hidden {
            continue;
        }
        if path.is_dir() {
            walk(&path, extension, depth + 1, files)?;
        } else if has_extension(&path, extension) {
            files.push(utf8(&path)?);
        }
    }
    Ok(())
}

fn expand_glob(pattern: &str, extension: &str, files: &mut Vec<String>) -> Result<()> {
    let options = glob::MatchOptions {
        case_sensitive: true,
        require_literal_separator: true,
        require_literal_leading_dot: true,
    };
    let matches = glob::glob_with(pattern, options)
        .map_err(|error| io(pattern, format!("the pattern is not valid: {error}")))?;
    for path in matches {
        let path = path.map_err(|error| io(pattern, error.to_string()))?;
        if path.is_dir() {
            // `dir/**` and `dir/*` name folders too; of those only what a trailing `**` means is read.
            if pattern.ends_with("**") {
                continue_into(&path, extension, files)?;
            }
        } else {
            files.push(utf8(&path)?);
        }
    }
    Ok(())
}

/// The files that stand directly in a folder; deeper ones are matched by the pattern on their own.
fn continue_into(folder: &Path, extension: &str, files: &mut Vec<String>) -> Result<()> {
    let name = folder.to_string_lossy();
    for entry in std::fs::read_dir(folder).map_err(|error| io(&name, error.to_string()))? {
        let path = entry.map_err(|error| io(&name, error.to_string()))?.path();
        if path.is_file() && has_extension(&path, extension) {
            files.push(utf8(&path)?);
        }
    }
    Ok(())
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found.eq_ignore_ascii_case(extension))
}

fn utf8(path: &Path) -> Result<String> {
    path.to_str()
        .map(str::to_owned)
        .ok_or_else(|| io(&path.to_string_lossy(), "the path is not valid UTF-8".into()))
}

fn io(path: &str, message: String) -> StorageError {
    StorageError::Io { path: path.into(), message }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path, patterns: &[&str]) -> Result<Vec<String>> {
        let patterns: Vec<String> =
            patterns.iter().map(|p| format!("{}/{p}", folder.display())).collect();
        let prefix = format!("{}/", folder.display());
        let found = expand(&patterns, "parquet")?;
        Ok(found.iter().map(|path| path.trim_start_matches(&prefix).to_owned()).collect())
    }

    #[test]
    fn test_expand_files_folders_and_globs() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for name in ["b.parquet", "a.parquet", "c.csv", "k=1/x.parquet", "k=1/_tmp.parquet"] {
            let path = root.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"").unwrap();
        }
        let all = ["a.parquet", "b.parquet", "k=1/x.parquet"];
        assert_eq!(names(root, &[""]).unwrap(), all);
        assert_eq!(names(root, &["*.parquet"]).unwrap(), ["a.parquet", "b.parquet"]);
        assert_eq!(names(root, &["k=*/x*"]).unwrap(), ["k=1/x.parquet"]);
        assert!(names(root, &["**/*.parquet"]).unwrap().len() >= 3);
        assert_eq!(names(root, &["c.csv"]).unwrap(), ["c.csv"]);
        assert_eq!(
            names(root, &["b.parquet", "a.parquet", "b.parquet"]).unwrap(),
            ["b.parquet", "a.parquet", "b.parquet"]
        );
        assert_eq!(names(root, &["b.parquet", "*.parquet"]).unwrap().len(), 3);
        for bad in ["none.parquet", "z*.parquet", "[.parquet"] {
            let error = names(root, &[bad]).unwrap_err().to_string();
            assert!(error.contains(bad), "{error}");
        }
        std::fs::create_dir(root.join("empty")).unwrap();
        assert!(names(root, &["empty"]).is_err());
        assert!(expand(&[], "parquet").is_err());
    }
}
