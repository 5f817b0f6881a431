//! The build side as a row filter of the probe side's scan: rows without a match are dropped before the scan reads any
//! other column.
//!
//! Invariant: exact; it keeps a row if and only if some build row has its key.

use std::sync::Arc;

use stoadb_storage::{
    LocalRowFilter, RowFilter, Selection, StorageError, Vector, error::Result as StorageResult,
};

use crate::error::EngineError;

use super::{
    Shared,
    key::{KeyCoder, KeyScratch},
    table::NONE,
};

/// A filter by the keys of a complete build side.
pub(super) struct KeyFilter {
    shared: Arc<Shared>,
    /// The columns that are read, ascending.
    columns: Vec<usize>,
    /// Per key where its column stands in `columns`.
    places: Vec<usize>,
}

impl KeyFilter {
    /// A filter that reads the given columns, one per key.
    pub(super) fn new(shared: &Arc<Shared>, keys: &[usize]) -> Self {
        let mut columns = keys.to_vec();
        columns.sort_unstable();
        columns.dedup();
        let places = keys.iter().map(|key| columns.partition_point(|column| column < key));
        Self { places: places.collect(), columns, shared: Arc::clone(shared) }
    }
}

impl RowFilter for KeyFilter {
    fn columns(&self) -> &[usize] {
        &self.columns
    }

    fn local(&self) -> StorageResult<Box<dyn LocalRowFilter>> {
        let built = self.shared.built().map_err(StorageError::from)?;
        Ok(Box::new(LocalKeyFilter {
            scratch: built.coder.as_ref().map(KeyCoder::scratch),
            shared: Arc::clone(&self.shared),
            places: self.places.clone(),
            codes: Vec::new(),
            entries: Vec::new(),
        }))
    }
}

struct LocalKeyFilter {
    shared: Arc<Shared>,
    places: Vec<usize>,
    scratch: Option<KeyScratch>,
    codes: Vec<u64>,
    entries: Vec<u32>,
}

impl LocalRowFilter for LocalKeyFilter {
    fn select(&mut self, columns: &[Vector], rows: usize) -> StorageResult<Option<Selection>> {
        let built = self.shared.built().map_err(StorageError::from)?;
        let (Some(coder), Some(scratch)) = (&built.coder, &mut self.scratch) else {
            let error = EngineError::Internal("a key filter without keys".into());
            return Err(error.into());
        };
        let keys: Vec<Vector> = self.places.iter().map(|&place| columns[place].clone()).collect();
        coder.encode(&keys, scratch, &mut self.codes).map_err(StorageError::from)?;
        built.table.lookup(&self.codes, &mut scratch.lookup, &mut self.entries);
        let mut kept = vec![0; rows];
        let mut count = 0;
        for (row, &entry) in (0_u32..).zip(&self.entries) {
            kept[count] = row;
            count += usize::from(entry != NONE);
        }
        if count == rows {
            return Ok(None);
        }
        kept.truncate(count);
        Ok(Some(Selection::new(kept)))
    }
}
