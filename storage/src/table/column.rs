//! One column of a segment: an encoding of its values and what is known of them.
//!
//! Invariants: a column never changes; its statistics are computed once, by `prepare` or on first use.
//! Next: `block.rs`, `builder.rs`.

use std::{
    ops::Range,
    sync::{Arc, OnceLock},
};

use crate::{
    encoding::Encoding,
    error::Result,
    table::{block::ColumnStatistics, info},
    types::LogicalType,
    vector::Vector,
};

/// One column of a segment. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Column {
    ty: LogicalType,
    rows: usize,
    encoding: Encoding,
    bytes: u64,
    statistics: OnceLock<Arc<ColumnStatistics>>,
}

impl Column {
    /// A column of `rows` values of a type.
    pub(crate) fn new(ty: LogicalType, rows: usize, encoding: Encoding) -> Self {
        let bytes = encoding.bytes();
        Self { ty, rows, encoding, bytes, statistics: OnceLock::new() }
    }

    /// The same values in another encoding.
    pub(crate) fn with_encoding(&self, encoding: Encoding) -> Self {
        let bytes = encoding.bytes();
        Self { encoding, bytes, ..self.clone() }
    }

    /// How many rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Computes the statistics, which would be computed on first use otherwise.
    pub fn prepare(&self) {
        self.statistics();
    }

    /// The encoding with the width of its codes or offsets, as `narrow(u8)`, `dictionary(u16)`, `run-end`.
    pub fn encoding_label(&self) -> String {
        info::label(&self.encoding)
    }

    /// Bytes that the canonical layout of the values would take. O(rows) for texts.
    pub fn plain_bytes(&self) -> u64 {
        info::plain_bytes(&self.encoding, &self.ty, self.rows)
    }

    /// The type of its values.
    pub fn ty(&self) -> &LogicalType {
        &self.ty
    }

    /// How its values are laid out.
    pub fn encoding(&self) -> &Encoding {
        &self.encoding
    }

    /// Bytes stored, those of a dictionary that other segments use too included.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The values of a range of rows, without copying.
    ///
    /// # Errors
    /// As `Encoding::read`.
    pub fn read(&self, rows: Range<usize>) -> Result<Vector> {
        self.encoding.read(&self.ty, rows)
    }

    /// What is known of the values; computed on first use. Where computing fails nothing is known.
    pub(crate) fn statistics(&self) -> &ColumnStatistics {
        self.statistics.get_or_init(|| {
            let statistics = ColumnStatistics::of(&self.encoding, &self.ty, self.rows);
            Arc::new(statistics.unwrap_or_else(|_| ColumnStatistics::unknown(self.rows)))
        })
    }
}
