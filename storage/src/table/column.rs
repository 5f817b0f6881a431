//! One column of a segment: an encoding of its values and what is known of them.
//!
//! Invariants: a column never changes; its statistics are computed once, by `prepare` or on first use.
//! Next: `block.rs`, `builder.rs`.

use std::{ops::Range, sync::OnceLock};

use crate::{
    encoding::Encoding, error::Result, table::block::ColumnStatistics, types::LogicalType,
    vector::Vector,
};

/// One column of a segment.
#[derive(Debug)]
pub struct Column {
    ty: LogicalType,
    rows: usize,
    encoding: Encoding,
    bytes: u64,
    statistics: OnceLock<ColumnStatistics>,
}

impl Column {
    /// A column of `rows` values of a type.
    pub(crate) fn new(ty: LogicalType, rows: usize, encoding: Encoding) -> Self {
        let bytes = encoding.bytes();
        Self { ty, rows, encoding, bytes, statistics: OnceLock::new() }
    }

    /// The type of its values.
    pub fn ty(&self) -> &LogicalType {
        &self.ty
    }

    /// How its values are laid out.
    pub fn encoding(&self) -> &Encoding {
        &self.encoding
    }

    /// Bytes stored.
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
            ColumnStatistics::of(&self.encoding, &self.ty, self.rows)
                .unwrap_or_else(|_| ColumnStatistics::unknown(self.rows))
        })
    }
}
