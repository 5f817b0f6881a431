//! One column of a segment: an encoding of its values and what is known of them.
//!
//! Invariants: a column never changes; its statistics are computed once, by `prepare` or on first use. A column of a
//! saved database is read and verified on first use; what cannot be trusted is never handed out.
//! Next: `block.rs`, `builder.rs`.

use std::{
    ops::Range,
    sync::{Arc, OnceLock},
};

use crate::{
    disk::StoredColumn,
    encoding::Encoding,
    error::{Result, StorageError},
    ledger::array_bytes,
    table::{block::ColumnStatistics, info},
    types::LogicalType,
    vector::{DictionaryValues, Vector},
};

/// One column of a segment. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Column {
    ty: LogicalType,
    rows: usize,
    data: Data,
    bytes: u64,
    statistics: OnceLock<Arc<ColumnStatistics>>,
}

/// Where the values are.
#[derive(Debug, Clone)]
enum Data {
    Memory(Encoding),
    /// In a file of a saved database.
    Stored(Arc<StoredColumn>),
}

impl Column {
    /// A column of `rows` values of a type.
    pub(crate) fn new(ty: LogicalType, rows: usize, encoding: Encoding) -> Self {
        let bytes = encoding.bytes();
        Self { ty, rows, data: Data::Memory(encoding), bytes, statistics: OnceLock::new() }
    }

    /// A column of a saved database, which takes `bytes` bytes. Nothing of it is read.
    pub(crate) fn stored(ty: LogicalType, rows: usize, bytes: u64, column: StoredColumn) -> Self {
        let data = Data::Stored(Arc::new(column));
        Self { ty, rows, data, bytes, statistics: OnceLock::new() }
    }

    /// The same values in another encoding.
    pub(crate) fn with_encoding(&self, encoding: Encoding) -> Self {
        let bytes = encoding.bytes();
        Self { data: Data::Memory(encoding), bytes, ..self.clone() }
    }

    /// The same codes in a dictionary that extends theirs. Nothing is read.
    ///
    /// # Errors
    /// `Internal` when the column has no dictionary.
    pub(crate) fn with_dictionary(&self, values: &Arc<DictionaryValues>) -> Result<Self> {
        let data = match &self.data {
            Data::Memory(Encoding::Dictionary { codes, .. }) => {
                let (codes, values) = (Arc::clone(codes), Arc::clone(values));
                Data::Memory(Encoding::Dictionary { codes, values })
            }
            Data::Stored(column) => Data::Stored(Arc::new(column.with_dictionary(values))),
            Data::Memory(other) => {
                let message = format!("codes of a column that is {}", other.name());
                return Err(StorageError::Internal(message));
            }
        };
        let codes = self.bytes.saturating_sub(self.dictionary_bytes());
        let bytes = codes + array_bytes(values.values().as_ref());
        Ok(Self { data, bytes, ..self.clone() })
    }

    /// How many rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Computes the statistics, which would be computed on first use otherwise.
    pub fn prepare(&self) {
        self.statistics();
    }

    /// The type of its values.
    pub fn ty(&self) -> &LogicalType {
        &self.ty
    }

    /// How its values are laid out. A column of a saved database is read and verified the first time: O(bytes) then.
    ///
    /// # Errors
    /// `Corrupt`, naming file and column, when it is damaged.
    pub fn encoding(&self) -> Result<&Encoding> {
        match &self.data {
            Data::Memory(encoding) => Ok(encoding),
            Data::Stored(column) => column.encoding(&self.ty, self.rows),
        }
    }

    /// The encoding with the width of its codes or offsets, as `narrow(u8)`, `dictionary(u16)`, `run-end`. Reads nothing.
    pub fn encoding_label(&self) -> String {
        match &self.data {
            Data::Memory(encoding) => info::label(encoding),
            Data::Stored(column) => column.encoding_label(),
        }
    }

    /// The dictionary that the codes are of, if there is one. Of a saved database its entries alone are read.
    ///
    /// # Errors
    /// As `encoding`.
    pub(crate) fn dictionary(&self) -> Result<Option<&Arc<DictionaryValues>>> {
        match &self.data {
            Data::Memory(Encoding::Dictionary { values, .. }) => Ok(Some(values)),
            Data::Memory(_) => Ok(None),
            Data::Stored(column) => column.dictionary(),
        }
    }

    /// The id that `dictionary` has. Reads nothing.
    pub(crate) fn dictionary_id(&self) -> Option<u64> {
        match &self.data {
            Data::Memory(Encoding::Dictionary { values, .. }) => Some(values.id()),
            Data::Memory(_) => None,
            Data::Stored(column) => column.dictionary.as_ref().map(|dictionary| dictionary.id),
        }
    }

    /// The number that `dictionary` has. Reads nothing.
    pub(crate) fn dictionary_number(&self) -> Option<u64> {
        match &self.data {
            Data::Memory(Encoding::Dictionary { values, .. }) => Some(values.number()),
            Data::Memory(_) => None,
            Data::Stored(column) => column.dictionary.as_ref().map(|dictionary| dictionary.number),
        }
    }

    /// Bytes of the entries of `dictionary`; 0 without one. Reads nothing of a saved database.
    pub(crate) fn dictionary_bytes(&self) -> u64 {
        match &self.data {
            Data::Memory(Encoding::Dictionary { values, .. }) => {
                array_bytes(values.values().as_ref())
            }
            Data::Memory(_) => 0,
            Data::Stored(column) => {
                column.dictionary.as_ref().map_or(0, |dictionary| dictionary.bytes)
            }
        }
    }

    /// Bytes stored, those of a dictionary that other segments use too included.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes that the canonical layout of the values would take. O(rows) for texts in memory.
    pub fn plain_bytes(&self) -> u64 {
        match &self.data {
            Data::Memory(encoding) => info::plain_bytes(encoding, &self.ty, self.rows),
            Data::Stored(column) => column.plain_bytes,
        }
    }

    /// The values of a range of rows, without copying.
    ///
    /// # Errors
    /// As `encoding` and `Encoding::read`.
    pub fn read(&self, rows: Range<usize>) -> Result<Vector> {
        self.encoding()?.read(&self.ty, rows)
    }

    /// What is known of the values; computed, or taken from the manifest of a saved database, on first use. Where that
    /// fails nothing is known.
    pub(crate) fn statistics(&self) -> &ColumnStatistics {
        self.statistics.get_or_init(|| {
            let known = match &self.data {
                Data::Memory(encoding) => ColumnStatistics::of(encoding, &self.ty, self.rows).ok(),
                Data::Stored(column) => column.statistics(&self.ty, self.rows).ok(),
            };
            Arc::new(known.unwrap_or_else(|| ColumnStatistics::unknown(self.rows)))
        })
    }
}
