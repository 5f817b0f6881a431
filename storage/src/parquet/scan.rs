//! A scan over Parquet files: which row groups are read, and opening each as a morsel.
//!
//! Invariant: the morsels are fixed when the scan is opened (statistics and key folders decide, nothing is read for it);
//! bloom filters are read when a morsel is opened and can only make it empty.
//! Next: `group.rs`.

use std::{borrow::Cow, sync::Arc};

use parquet::bloom_filter::Sbbf;

use super::{
    dataset::{ColumnSource, FileEntry},
    footer::Place,
    group::{GroupScan, Shared},
    source::RangeFile,
    stats::{Bloom, bloom_may_match},
};
use crate::{
    error::{Result, StorageError},
    ledger::{BlockUse, Level},
    scan::{MorselScan, Scan, ScanBatch, ScanSpec},
    table::Statistics,
    types::Schema,
};

/// An opened scan.
pub(crate) struct ParquetScan {
    shared: Arc<Shared>,
    /// File and row group of each morsel, in row order.
    morsels: Vec<(usize, usize)>,
    rows: u64,
}

impl ParquetScan {
    /// Opens a scan: row groups that cannot hold a match are left out.
    pub(crate) fn new(
        files: Arc<[FileEntry]>,
        schema: Arc<Schema>,
        spec: ScanSpec,
    ) -> Result<Self> {
        let mut morsels = Vec::new();
        let mut rows = 0;
        for (number, entry) in files.iter().enumerate() {
            for (group, metadata) in entry.footer.metadata.row_groups().iter().enumerate() {
                let count = u64::try_from(metadata.num_rows()).unwrap_or(0);
                let may_match = spec.prune.as_ref().is_none_or(|prune| {
                    prune.may_match(&|column| entry.group_range(group, column, &schema))
                });
                if count > 0 && may_match {
                    morsels.push((number, group));
                    rows += count;
                }
            }
        }
        let groups: usize = files.iter().map(|entry| entry.footer.metadata.num_row_groups()).sum();
        spec.ledger.count_blocks(BlockUse::Skipped, groups - morsels.len());
        let shared = Arc::new(Shared::new(files, schema, spec)?);
        Ok(Self { shared, morsels, rows })
    }

    /// Whether the bloom filters of a row group allow a match.
    fn bloom_allows(&self, file: usize, group: usize, handle: &RangeFile) -> Result<bool> {
        let Some(prune) = &self.shared.spec.prune else { return Ok(true) };
        let entry = &self.shared.files[file];
        let mut filter = |column: usize| -> Result<Option<Bloom>> {
            let Some(ColumnSource::File(source)) = entry.columns.get(column) else {
                return Ok(None);
            };
            let file_column = &entry.footer.schema.columns[*source];
            let chunk = entry.footer.metadata.row_group(group).column(file_column.leaves.start);
            if !file_column.is_flat() || chunk.bloom_filter_offset().is_none() {
                return Ok(None);
            }
            let place = Place {
                path: entry.path.clone(),
                row_group: Some(group),
                column: Some(file_column.def.name.clone()),
            };
            let before = handle.asked();
            let found = place.guard(|| Sbbf::read_from_column_chunk(chunk, handle))?;
            let bytes = handle.asked() - before;
            self.shared.spec.ledger.charge(column, Level::Metadata, bytes);
            Ok(found.filter(|f| f.num_blocks() > 0).map(|f| (f, chunk.column_type())))
        };
        bloom_may_match(prune, &mut filter)
    }
}

impl Scan for ParquetScan {
    fn morsels(&self) -> usize {
        self.morsels.len()
    }

    fn rows(&self) -> u64 {
        self.rows
    }

    fn whole(&self) -> Vec<Option<u64>> {
        let Shared { files, schema, spec, .. } = self.shared.as_ref();
        let whole = |&(file, group): &(usize, usize)| {
            let entry = &files[file];
            let passes = match &spec.prune {
                None => spec.filter.is_none(),
                Some(prune) => prune.all_match(&|column| entry.group_range(group, column, schema)),
            };
            let rows = entry.footer.metadata.row_group(group).num_rows();
            u64::try_from(rows).ok().filter(|_| passes)
        };
        self.morsels.iter().map(whole).collect()
    }

    fn statistics(&self, morsel: usize, column: usize) -> Option<Cow<'_, Statistics>> {
        let &(file, group) = self.morsels.get(morsel)?;
        let Shared { files, schema, spec, .. } = self.shared.as_ref();
        let known = files[file].group_statistics(group, column, schema)?;
        spec.ledger.charge(column, Level::Metadata, known.all_bytes());
        Some(Cow::Owned(known))
    }

    fn answered(&self, morsels: &[usize]) {
        self.shared.spec.ledger.count_blocks(BlockUse::Answered, morsels.len());
    }

    fn open(&self, morsel: usize) -> Result<Box<dyn MorselScan>> {
        let Some(&(file, group)) = self.morsels.get(morsel) else { return Ok(Box::new(Nothing)) };
        let entry = &self.shared.files[file];
        let handle = RangeFile::open(&entry.path)?;
        if handle.identity() != entry.footer.identity {
            return Err(StorageError::Io {
                path: entry.path.clone(),
                message: "it was changed since the query began".into(),
            });
        }
        if !self.bloom_allows(file, group, &handle)? {
            self.shared.spec.ledger.count_blocks(BlockUse::Skipped, 1);
            return Ok(Box::new(Nothing));
        }
        self.shared.spec.ledger.count_blocks(BlockUse::Read, 1);
        let shared = Arc::clone(&self.shared);
        Ok(Box::new(GroupScan::new(shared, file, group, Arc::new(handle))?))
    }
}

/// A morsel without rows.
struct Nothing;

impl MorselScan for Nothing {
    fn next(&mut self) -> Result<Option<ScanBatch>> {
        Ok(None)
    }
}
