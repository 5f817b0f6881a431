//! Columns and dictionaries of a saved database, verified and put together when they are first used.
//!
//! Invariants: until then no byte of their files is read; checksums are verified once; what failed fails again the same
//! way, naming file and column.
//! Next: `manifest.rs`, `../table/column.rs`.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    sync::{Arc, OnceLock},
    time::{SystemTime, UNIX_EPOCH},
};

use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::{DataType, UInt8Type, UInt16Type, UInt32Type},
};
use bytes::Bytes;

use crate::{
    disk::{
        codec::Malformed,
        layout::{ArrayLayout, Layout},
        map::MappedFile,
        statistics,
    },
    encoding::Encoding,
    error::Result,
    ledger::array_bytes,
    scalar::Scalar,
    table::ColumnStatistics,
    types::LogicalType,
    vector::DictionaryValues,
};

/// A number that nothing else gets, in this process or any other: names of files, of saves.
pub(crate) fn random_number() -> u64 {
    // The keys of the hasher are random, but a forked process has those of its parent.
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    hasher.write_u128(now.as_nanos());
    hasher.finish()
}

/// The entries of a dictionary: in a file of their own, or in that of the one column that uses them.
#[derive(Debug)]
pub(crate) struct StoredDictionary {
    /// The id that the entries have once they are read.
    pub(crate) id: u64,
    /// The number of their own file, in whichever folder they get one.
    pub(crate) number: u64,
    pub(crate) ty: LogicalType,
    /// As `array_bytes` of the entries.
    pub(crate) bytes: u64,
    pub(crate) file: Arc<MappedFile>,
    pub(crate) layout: ArrayLayout,
    pub(crate) loaded: OnceLock<Result<Arc<DictionaryValues>>>,
}

impl StoredDictionary {
    /// The entries, for a column of a name.
    fn values(&self, column: &str) -> Result<&Arc<DictionaryValues>> {
        let load = || {
            let values = self.file.array(&self.ty.to_arrow(), &self.layout, column)?;
            Ok(Arc::new(DictionaryValues::stored(values, self.id, self.number)))
        };
        self.loaded.get_or_init(load).as_ref().map_err(Clone::clone)
    }
}

/// A column in a file.
#[derive(Debug)]
pub(crate) struct StoredColumn {
    pub(crate) name: String,
    pub(crate) file: Arc<MappedFile>,
    pub(crate) layout: Layout,
    /// The dictionary that its codes are of.
    pub(crate) dictionary: Option<Arc<StoredDictionary>>,
    /// Bytes that the canonical layout of the values would take.
    pub(crate) plain_bytes: u64,
    /// Its statistics as the manifest has them.
    pub(crate) statistics: Bytes,
    pub(crate) loaded: OnceLock<Result<Encoding>>,
}

impl StoredColumn {
    /// As `Column::encoding_label`.
    pub(crate) fn encoding_label(&self) -> String {
        self.layout.label()
    }

    /// The dictionary, of which the entries alone are read.
    ///
    /// # Errors
    /// As `encoding`.
    pub(crate) fn dictionary(&self) -> Result<Option<&Arc<DictionaryValues>>> {
        self.dictionary.as_ref().map(|dictionary| dictionary.values(&self.name)).transpose()
    }

    /// The same codes in a dictionary that extends theirs. Nothing is read.
    pub(crate) fn with_dictionary(&self, values: &Arc<DictionaryValues>) -> Self {
        let dictionary = self.dictionary.as_ref().map(|dictionary| {
            Arc::new(StoredDictionary {
                id: values.id(),
                number: values.number(),
                ty: dictionary.ty.clone(),
                bytes: array_bytes(values.values().as_ref()),
                file: Arc::clone(&dictionary.file),
                layout: dictionary.layout.clone(),
                loaded: Ok(Arc::clone(values)).into(),
            })
        });
        Self {
            name: self.name.clone(),
            file: Arc::clone(&self.file),
            layout: self.layout.clone(),
            dictionary,
            plain_bytes: self.plain_bytes,
            statistics: self.statistics.clone(),
            loaded: OnceLock::new(),
        }
    }

    /// The column as it was saved. O(bytes) the first time, O(1) then.
    ///
    /// # Errors
    /// `Corrupt`, naming file and column.
    pub(crate) fn encoding(&self, ty: &LogicalType, rows: usize) -> Result<&Encoding> {
        self.loaded.get_or_init(|| self.load(ty, rows)).as_ref().map_err(Clone::clone)
    }

    /// The statistics. Reads nothing but the manifest.
    ///
    /// # Errors
    /// When they are not what this version writes.
    pub(crate) fn statistics(
        &self,
        ty: &LogicalType,
        rows: usize,
    ) -> Result<ColumnStatistics, Malformed> {
        statistics::read(self.statistics.clone(), ty, rows)
    }

    fn load(&self, ty: &LogicalType, rows: usize) -> Result<Encoding> {
        let damaged = |message: Malformed| self.file.corrupt(&self.name, message);
        let array = |ty: &DataType, layout| self.file.array(ty, layout, &self.name);
        let all_rows = |array: ArrayRef| match array.len() {
            len if len == rows => Ok(array),
            len => Err(damaged(format!("{len} values for {rows} rows"))),
        };
        let plain = ty.to_arrow();
        Ok(match &self.layout {
            Layout::Constant(value) => {
                let value = Scalar::from_array(array(&plain, value)?.as_ref(), 0);
                Encoding::Constant(value.map_err(|error| damaged(error.to_string()))?)
            }
            Layout::Plain(values) => Encoding::Plain(all_rows(array(&plain, values)?)?),
            Layout::View(values) => Encoding::View(all_rows(array(&plain, values)?)?),
            Layout::Narrow { base, width, offsets } => Encoding::Narrow {
                base: *base,
                offsets: all_rows(array(&width.to_arrow(), offsets)?)?,
            },
            Layout::Dictionary { width, codes, .. } => {
                let codes = all_rows(array(&width.to_arrow(), codes)?)?;
                let values = match &self.dictionary {
                    Some(dictionary) if dictionary.ty == *ty => {
                        Arc::clone(dictionary.values(&self.name)?)
                    }
                    _ => return Err(damaged(format!("no dictionary of type {ty}"))),
                };
                check_codes(&codes, values.values().len()).map_err(damaged)?;
                Encoding::Dictionary { codes, values }
            }
            Layout::RunEnd { ends, values } => {
                let ends = array(&DataType::UInt32, ends)?;
                let ends = ends.as_primitive::<UInt32Type>().values().clone();
                let values = array(&plain, values)?;
                check_runs(&ends, values.len(), rows).map_err(damaged)?;
                Encoding::RunEnd { ends, values }
            }
        })
    }
}

/// That every code means an entry. Codes under NULL may be 0 even if there is none.
fn check_codes(codes: &ArrayRef, entries: usize) -> Result<(), Malformed> {
    let greatest = match codes.data_type() {
        DataType::UInt8 => greatest(codes.as_primitive::<UInt8Type>().values()),
        DataType::UInt16 => greatest(codes.as_primitive::<UInt16Type>().values()),
        DataType::UInt32 => greatest(codes.as_primitive::<UInt32Type>().values()),
        other => return Err(format!("codes of type {other}")),
    };
    match greatest as usize {
        0 if codes.null_count() < codes.len() && entries == 0 => Err("no entries".into()),
        code if code > 0 && code >= entries => Err(format!("code {code} of {entries} entries")),
        _ => Ok(()),
    }
}

fn greatest<T: Copy + Into<u32>>(codes: &[T]) -> u32 {
    codes.iter().fold(0, |greatest, &code| greatest.max(code.into()))
}

/// That runs are not empty and cover the rows.
fn check_runs(ends: &[u32], values: usize, rows: usize) -> Result<(), Malformed> {
    let ascending = ends.first().is_none_or(|&end| end > 0) && ends.is_sorted_by(|a, b| a < b);
    let covered = ends.last().map_or(0, |&end| end as usize) == rows;
    match ascending && covered && ends.len() == values {
        true => Ok(()),
        false => Err(format!("{} runs and {values} values for {rows} rows", ends.len())),
    }
}
