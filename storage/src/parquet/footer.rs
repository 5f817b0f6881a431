//! Footers: read once, checked against the file's size, kept until the file changes.
//!
//! Invariant: a `Footer` promises nothing that the file cannot hold: every column chunk lies within the file, every row
//! group has every column, flat columns have as many values as rows.
//! Next: `schema.rs`, `dataset.rs`.

use std::{
    collections::HashMap,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
};

use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, ParquetMetaDataReader};

use super::{
    index::PageIndexes,
    schema::FileSchema,
    source::{FileIdentity, RangeFile},
    thrift::check_footer,
};
use crate::error::{Result, StorageError};

/// Where something is wrong, for error messages.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// The file.
    pub path: String,
    /// The row group, if in one.
    pub row_group: Option<usize>,
    /// The column, if in one.
    pub column: Option<String>,
}

impl Place {
    /// A whole file.
    pub(crate) fn file(path: &str) -> Self {
        Self { path: path.into(), row_group: None, column: None }
    }

    /// The error that the file is damaged here.
    pub(crate) fn corrupt(&self, message: impl Into<String>) -> StorageError {
        StorageError::Corrupt {
            path: self.path.clone(),
            row_group: self.row_group,
            column: self.column.clone(),
            message: message.into(),
        }
    }

    /// Fills in this place where an error names the file only.
    pub(crate) fn refine(&self, error: StorageError) -> StorageError {
        match error {
            StorageError::Corrupt { row_group: None, column: None, message, .. } => {
                self.corrupt(message)
            }
            other => other,
        }
    }

    /// Runs a decoder over bytes that may be damaged: errors and panics both become an error that names this place.
    pub(crate) fn guard<T, E: std::fmt::Display>(
        &self,
        decode: impl FnOnce() -> Result<T, E>,
    ) -> Result<T> {
        match catch_unwind(AssertUnwindSafe(decode)) {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(self.corrupt(error.to_string())),
            Err(_) => Err(self.corrupt("it cannot be decoded")),
        }
    }
}

/// What a file's footer says.
#[derive(Debug)]
pub(crate) struct Footer {
    /// The version of the file that it was read from.
    pub identity: FileIdentity,
    /// The decoded footer.
    pub metadata: Arc<ParquetMetaData>,
    /// The columns.
    pub schema: FileSchema,
    /// The page indexes that were needed so far.
    pub pages: PageIndexes,
}

/// Parsed footers by path; share one among all queries of a database. A footer is read again when the file's size,
/// modification time or inode changed.
#[derive(Debug, Default)]
pub struct FooterCache {
    footers: Mutex<HashMap<String, Arc<Footer>>>,
}

/// Most footers kept; when there are more, the cache starts afresh.
const MAX_FOOTERS: usize = 1 << 14;

impl FooterCache {
    /// An empty cache.
    pub fn new() -> Self {
        Self::default()
    }

    /// The footer of a file, and how many bytes had to be read for it.
    pub(crate) fn get(&self, path: &str) -> Result<(Arc<Footer>, u64)> {
        let file = RangeFile::open(path)?;
        let known = self.lock().get(path).cloned();
        if let Some(footer) = known.filter(|footer| footer.identity == file.identity()) {
            return Ok((footer, 0));
        }
        let footer = Arc::new(parse(path, &file)?);
        let mut footers = self.lock();
        if footers.len() >= MAX_FOOTERS {
            footers.clear();
        }
        footers.insert(path.into(), Arc::clone(&footer));
        Ok((footer, file.asked()))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Footer>>> {
        self.footers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes after the footer: its length and the magic number.
const TAIL: u64 = 8;
/// Bytes before the first column chunk: the magic number.
const HEAD: u64 = 4;
/// Least bytes of a data page; its header alone has more. A page holds fewer than 2^31 values.
const MIN_PAGE: i64 = 8;
/// What is read from the end of a file at first; most footers fit.
const FIRST_READ: u64 = 1 << 16;

fn parse(path: &str, file: &RangeFile) -> Result<Footer> {
    let place = Place::file(path);
    let size = file.identity().size;
    if size == 0 {
        return Err(place.corrupt("it is empty"));
    }
    if size < HEAD + TAIL {
        return Err(place.corrupt("it is too short to be a Parquet file"));
    }
    let first = size.min(FIRST_READ);
    let mut end = file.read(size - first, first)?;
    let tail = end.split_off(end.len() - TAIL as usize);
    match &tail[4..] {
        b"PAR1" => {}
        b"PARE" => {
            return Err(StorageError::Unsupported(format!(
                "encrypted Parquet files (the file '{path}')"
            )));
        }
        _ => return Err(place.corrupt("it does not end as a Parquet file does")),
    }
    let length = u64::from(u32::from_le_bytes([tail[0], tail[1], tail[2], tail[3]]));
    if length > size - HEAD - TAIL {
        return Err(place.corrupt(format!("its footer claims {length} of {size} bytes")));
    }
    let start = size - TAIL - length;
    let bytes = match end.len() as u64 {
        have if have >= length => end.split_off((have - length) as usize),
        have => {
            let mut all = file.read(start, length - have)?.to_vec();
            all.extend_from_slice(&end);
            all.into()
        }
    };
    check_footer(&bytes).map_err(|what| place.corrupt(format!("its footer is damaged: {what}")))?;
    let metadata = place.guard(|| ParquetMetaDataReader::decode_metadata(&bytes))?;
    check_groups(&metadata, &place, HEAD..start)?;
    let schema = FileSchema::new(&metadata, &place)?;
    if schema.columns.is_empty() {
        return Err(place.corrupt("it has no columns"));
    }
    Ok(Footer {
        identity: file.identity(),
        metadata: Arc::new(metadata),
        schema,
        pages: PageIndexes::default(),
    })
}

fn check_groups(metadata: &ParquetMetaData, place: &Place, data: Range<u64>) -> Result<()> {
    let leaves = metadata.file_metadata().schema_descr().num_columns();
    let mut total = 0_i64;
    for (number, group) in metadata.row_groups().iter().enumerate() {
        let place = Place { row_group: Some(number), ..place.clone() };
        if group.num_columns() != leaves {
            let found = group.num_columns();
            return Err(
                place.corrupt(format!("it has {found} columns where {leaves} are declared"))
            );
        }
        total = Some(group.num_rows())
            .filter(|&rows| rows >= 0)
            .and_then(|rows| total.checked_add(rows))
            .ok_or_else(|| place.corrupt("its number of rows is impossible"))?;
        for chunk in group.columns() {
            let place = Place { column: Some(chunk.column_path().string()), ..place.clone() };
            check_chunk(chunk, group.num_rows(), &place, &data)?;
        }
    }
    Ok(())
}

fn check_chunk(
    chunk: &ColumnChunkMetaData,
    rows: i64,
    place: &Place,
    data: &Range<u64>,
) -> Result<()> {
    if chunk.file_path().is_some_and(|path| !path.is_empty()) {
        return Err(StorageError::Unsupported(format!(
            "Parquet files whose columns stand in other files (the file '{}')",
            place.path
        )));
    }
    let fits = u64::try_from(chunk.compressed_size()).is_ok_and(|size| size <= data.end);
    if rows == 0 && chunk.num_values() == 0 && fits {
        // Writers put no data pages, and no place of them, where there are no rows; nothing is read there.
        return Ok(());
    }
    let range = chunk_range(chunk);
    if !range.as_ref().is_some_and(|range| data.start <= range.start && range.end <= data.end) {
        return Err(place.corrupt("its place lies outside of the file"));
    }
    let nested = chunk.column_descr().max_rep_level() > 0;
    let values = chunk.num_values();
    // A row of a nested column has at least one entry, be it for NULL.
    if values < rows || (!nested && values != rows) {
        return Err(place.corrupt(format!("it has {values} values in {rows} rows")));
    }
    if values > chunk.compressed_size() / MIN_PAGE * i64::from(i32::MAX) {
        let bytes = chunk.compressed_size();
        return Err(place.corrupt(format!("{values} values are claimed in {bytes} bytes")));
    }
    if chunk.uncompressed_size() < 0 {
        return Err(place.corrupt("its size is negative"));
    }
    Ok(())
}

/// Where a chunk stands in its file. A dictionary offset that cannot be one (some writers put 0) is ignored.
pub(crate) fn chunk_range(chunk: &ColumnChunkMetaData) -> Option<Range<u64>> {
    let data = u64::try_from(chunk.data_page_offset()).ok()?;
    let length = u64::try_from(chunk.compressed_size()).ok()?;
    let start = dictionary_offset(chunk).unwrap_or(data);
    Some(start..start.checked_add(length)?)
}

/// Where a chunk's dictionary page stands, if it has one.
pub(crate) fn dictionary_offset(chunk: &ColumnChunkMetaData) -> Option<u64> {
    let offset = u64::try_from(chunk.dictionary_page_offset()?).ok()?;
    (offset >= HEAD && chunk.data_page_offset().cast_unsigned() > offset).then_some(offset)
}
