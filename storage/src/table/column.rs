//! One column of a segment: an encoding of its values and what is known of them.
//!
//! Invariants: a column never changes; its statistics are computed once, by `prepare` or on first use. A column of a
//! saved database is read and verified on first use; what cannot be trusted is never handed out.
//! Next: `block.rs`, `builder.rs`.

use std::{ops::Range, sync::OnceLock};

use crate::{
    disk::StoredColumn, encoding::Encoding, error::Result, table::block::ColumnStatistics,
    types::LogicalType, vector::Vector,
};

/// One column of a segment.
#[derive(Debug)]
pub struct Column {
    ty: LogicalType,
    rows: usize,
    data: Data,
    bytes: u64,
    statistics: OnceLock<ColumnStatistics>,
}

/// Where the values are.
#[derive(Debug)]
enum Data {
    Memory(Encoding),
    /// In a file of a saved database.
    Stored(Box<StoredColumn>),
}

impl Column {
    /// A column of `rows` values of a type.
    pub(crate) fn new(ty: LogicalType, rows: usize, encoding: Encoding) -> Self {
        let bytes = encoding.bytes();
        Self { ty, rows, data: Data::Memory(encoding), bytes, statistics: OnceLock::new() }
    }

    /// A column of a saved database, which takes `bytes` bytes. Nothing of it is read.
    pub(crate) fn stored(ty: LogicalType, rows: usize, bytes: u64, column: StoredColumn) -> Self {
        Self { ty, rows, data: Data::Stored(Box::new(column)), bytes, statistics: OnceLock::new() }
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

    /// The encoding's name, without reading the column.
    pub fn encoding_name(&self) -> &'static str {
        match &self.data {
            Data::Memory(encoding) => encoding.name(),
            Data::Stored(column) => column.encoding_name(),
        }
    }

    /// Bytes stored.
    pub fn bytes(&self) -> u64 {
        self.bytes
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
            known.unwrap_or_else(|| ColumnStatistics::unknown(self.rows))
        })
    }
}
