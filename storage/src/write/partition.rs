//! One file for each key, in `key=value` folders.
//!
//! Invariants: within a file rows stand in the order in which they came; what is held of all files together is bounded.
//! The files are written in a folder beside the target and moved there when all are on the disk; a writer that fails
//! leaves nothing behind.
//! Next: `folder.rs`.

use std::{fs, path::Path, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, StringViewArray, UInt32Array},
    compute,
    datatypes::{Fields, Schema, SchemaRef},
};
use hashbrown::HashMap;

use super::{
    FileStyle, FileWriter, Jobs,
    folder::{Existing, NewFolder, is_used},
    output::failed,
};
use crate::{
    error::{Result, StorageError},
    parquet::hive::{NULL_FOLDER, encode},
};

/// Bytes of rows that are held of all files together.
const MOST_HELD: usize = 512 << 20;
/// Most files.
const MOST_FILES: usize = 100_000;

/// Files in `key=value` folders that are being written.
pub struct PartitionedWriter {
    folder: NewFolder,
    style: FileStyle,
    extension: String,
    /// The columns that stand in the files.
    schema: SchemaRef,
    columns: Vec<usize>,
    keys: Vec<(usize, String)>,
    files: HashMap<String, usize>,
    writers: Vec<FileWriter>,
    held: usize,
}

impl PartitionedWriter {
    /// Begins files of the columns of `schema` other than the `keys`, whose values name the folders. The files' names end
    /// in `extension`.
    ///
    /// # Errors
    /// `Write` when the folder cannot be made or holds files that are not to be replaced; `Unsupported` when no column is
    /// left.
    pub fn create(
        folder: &str,
        schema: &SchemaRef,
        keys: &[usize],
        style: FileStyle,
        extension: &str,
        existing: Existing,
    ) -> Result<Self> {
        if existing == Existing::Refuse && is_used(Path::new(folder)) {
            let message = "the folder is not empty (the options OVERWRITE and OVERWRITE_OR_IGNORE allow this)";
            return Err(failed(Path::new(folder), &message));
        }
        let fields = schema.fields();
        let columns: Vec<usize> = (0..fields.len()).filter(|c| !keys.contains(c)).collect();
        if columns.is_empty() {
            let message = "partitioned files without any column but their keys";
            return Err(StorageError::Unsupported(message.into()));
        }
        let kept: Fields = columns.iter().map(|&column| Arc::clone(&fields[column])).collect();
        Ok(Self {
            folder: NewFolder::create(folder, existing)?,
            style,
            extension: extension.to_owned(),
            schema: Arc::new(Schema::new(kept)),
            columns,
            keys: keys.iter().map(|&key| (key, encode(fields[key].name()))).collect(),
            files: HashMap::new(),
            writers: Vec::new(),
            held: 0,
        })
    }

    /// Adds rows; `keys` are the texts of the keys' values, in order.
    ///
    /// # Errors
    /// `Write` when writing fails; what the jobs raise.
    pub fn write<J: Jobs>(
        &mut self,
        batch: &RecordBatch,
        keys: &[StringViewArray],
        jobs: &J,
    ) -> std::result::Result<(), J::Error> {
        let mut rows: Vec<(usize, Vec<u32>)> = Vec::new();
        let mut places: HashMap<usize, usize> = HashMap::new();
        let mut path = String::new();
        for row in 0..batch.num_rows() {
            path.clear();
            for ((_, name), values) in self.keys.iter().zip(keys) {
                path.push_str(name);
                path.push('=');
                match values.is_null(row) {
                    true => path.push_str(NULL_FOLDER),
                    false => path.push_str(&encode(values.value(row))),
                }
                path.push('/');
            }
            let file = match self.files.get(path.as_str()) {
                Some(&file) => file,
                None => self.open(&path)?,
            };
            let place = *places.entry(file).or_insert_with(|| {
                rows.push((file, Vec::new()));
                rows.len() - 1
            });
            // A batch has fewer rows than 32 bits count.
            rows[place].1.push(row as u32);
        }
        for (file, rows) in rows {
            let rows = UInt32Array::from(rows);
            let take = |&column: &usize| -> Result<ArrayRef> {
                Ok(compute::take(batch.column(column), &rows, None)?)
            };
            let columns = self.columns.iter().map(take).collect::<Result<Vec<_>>>()?;
            let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
            let schema = Arc::clone(&self.schema);
            let part = RecordBatch::try_new_with_options(schema, columns, &options)
                .map_err(StorageError::from)?;
            let writer = &mut self.writers[file];
            let before = writer.held();
            writer.write(part, jobs)?;
            self.held = self.held + writer.held() - before;
        }
        if self.held > MOST_HELD {
            for writer in &mut self.writers {
                writer.flush(jobs)?;
            }
            self.held = 0;
        }
        Ok(())
    }

    fn open(&mut self, path: &str) -> Result<usize> {
        if self.writers.len() == MOST_FILES {
            return Err(StorageError::Unsupported(format!("more than {MOST_FILES} partitions")));
        }
        let (folder, target) = (self.folder.path().join(path), self.folder.target());
        fs::create_dir_all(&folder).map_err(|error| failed(target, &error))?;
        let file = folder.join(format!("data_0.{}", self.extension));
        let file = file.to_str().ok_or_else(|| failed(target, &"it is not valid UTF-8"))?;
        self.writers.push(FileWriter::create(file, &self.schema, &self.style)?);
        self.files.insert(path.to_owned(), self.writers.len() - 1);
        Ok(self.writers.len() - 1)
    }

    /// Ends the files and moves them to the folder. How many rows they have.
    ///
    /// # Errors
    /// As `write`.
    pub fn finish<J: Jobs>(self, jobs: &J) -> std::result::Result<u64, J::Error> {
        let mut rows = 0;
        for writer in self.writers {
            rows += writer.finish(jobs)?;
        }
        self.folder.finish()?;
        Ok(rows)
    }
}
