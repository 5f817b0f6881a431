//! Collects the values of one column, by the way in which its type is stored.
//!
//! Invariant: finishing a column depends on nothing but its values, so that the columns of a segment can be finished in
//! any order and on any thread.
//! Next: `text.rs` (texts and blobs), `fixed.rs` (everything else).

use crate::{
    encoding::Encoding,
    error::{Result, StorageError},
    table::{
        column::Column,
        fixed::{FixedBuilder, NarrowBuilder, PieceBuilder},
        settle::settled,
        text::{BlobBuilder, TextBuilder},
    },
    types::LogicalType,
    vector::Vector,
};

/// The values of one column of a segment, not encoded yet.
pub struct PendingColumn {
    ty: LogicalType,
    rows: usize,
    values: ColumnBuilder,
}

impl PendingColumn {
    /// A column without rows.
    pub(crate) fn new(ty: &LogicalType) -> Self {
        Self { ty: ty.clone(), rows: 0, values: ColumnBuilder::new(ty) }
    }

    /// Bytes held, about.
    pub(crate) fn bytes(&self) -> u64 {
        match &self.values {
            ColumnBuilder::Byte(builder) => builder.bytes(),
            ColumnBuilder::Short(builder) => builder.bytes(),
            ColumnBuilder::Word(builder) => builder.bytes(),
            ColumnBuilder::Long(builder) => builder.bytes(),
            ColumnBuilder::Wide(builder) => builder.bytes(),
            ColumnBuilder::Narrow(builder) => builder.bytes(),
            ColumnBuilder::Text(builder) => builder.bytes(),
            ColumnBuilder::Blob(builder) => builder.bytes(),
            ColumnBuilder::Pieces(builder) => builder.bytes(),
        }
    }

    /// Appends a vector's values.
    pub(crate) fn push(&mut self, vector: &Vector) -> Result<()> {
        self.rows += vector.len();
        match &mut self.values {
            ColumnBuilder::Byte(builder) => builder.push(vector),
            ColumnBuilder::Short(builder) => builder.push(vector),
            ColumnBuilder::Word(builder) => builder.push(vector),
            ColumnBuilder::Long(builder) => builder.push(vector),
            ColumnBuilder::Wide(builder) => builder.push(vector),
            ColumnBuilder::Narrow(builder) => builder.push(vector),
            ColumnBuilder::Text(builder) => builder.push(vector),
            ColumnBuilder::Blob(builder) => builder.push(vector),
            ColumnBuilder::Pieces(builder) => builder.push(vector, &self.ty),
        }
    }

    /// Appends the values of another column of the same type.
    pub(crate) fn append(&mut self, other: Self) -> Result<()> {
        use ColumnBuilder::{Blob, Byte, Long, Narrow, Pieces, Short, Text, Wide, Word};
        self.rows += other.rows;
        match (&mut self.values, other.values) {
            (Byte(mine), Byte(theirs)) => mine.append(theirs),
            (Short(mine), Short(theirs)) => mine.append(theirs),
            (Word(mine), Word(theirs)) => mine.append(theirs),
            (Long(mine), Long(theirs)) => mine.append(theirs),
            (Wide(mine), Wide(theirs)) => mine.append(theirs),
            (Narrow(mine), Narrow(theirs)) => mine.append(theirs),
            (Text(mine), Text(theirs)) => mine.append(theirs)?,
            (Blob(mine), Blob(theirs)) => mine.append(theirs)?,
            (Pieces(mine), Pieces(theirs)) => mine.append(theirs)?,
            _ => return Err(StorageError::Internal("columns of two types".into())),
        }
        Ok(())
    }

    /// The column, in the encoding that suits its values; without statistics yet. O(rows).
    ///
    /// # Errors
    /// `Internal` when arrays cannot be put together.
    pub fn finish(self) -> Result<Column> {
        let encoding = settled(self.values.finish(&self.ty)?)?;
        Ok(Column::new(self.ty, self.rows, encoding))
    }
}

enum ColumnBuilder {
    /// Numbers and times of one width.
    Byte(FixedBuilder<u8>),
    Short(FixedBuilder<u16>),
    Word(FixedBuilder<u32>),
    Long(FixedBuilder<u64>),
    Wide(FixedBuilder<i128>),
    /// Decimals of up to 18 digits.
    Narrow(NarrowBuilder),
    Text(TextBuilder),
    Blob(BlobBuilder),
    /// Booleans, intervals, nested values.
    Pieces(PieceBuilder),
}

impl ColumnBuilder {
    fn new(ty: &LogicalType) -> Self {
        match ty {
            LogicalType::Decimal { precision: ..=18, .. } => Self::Narrow(NarrowBuilder::default()),
            LogicalType::Text => Self::Text(TextBuilder::default()),
            LogicalType::Blob => Self::Blob(BlobBuilder::default()),
            LogicalType::Interval => Self::Pieces(PieceBuilder::default()),
            _ => match ty.to_arrow().primitive_width() {
                Some(1) => Self::Byte(FixedBuilder::default()),
                Some(2) => Self::Short(FixedBuilder::default()),
                Some(4) => Self::Word(FixedBuilder::default()),
                Some(8) => Self::Long(FixedBuilder::default()),
                Some(16) => Self::Wide(FixedBuilder::default()),
                _ => Self::Pieces(PieceBuilder::default()),
            },
        }
    }

    fn finish(self, ty: &LogicalType) -> Result<Encoding> {
        match self {
            Self::Byte(builder) => builder.finish(ty),
            Self::Short(builder) => builder.finish(ty),
            Self::Word(builder) => builder.finish(ty),
            Self::Long(builder) => builder.finish(ty),
            Self::Wide(builder) => builder.finish(ty),
            Self::Narrow(builder) => builder.finish(ty),
            Self::Text(builder) => builder.finish(),
            Self::Blob(builder) => builder.finish(),
            Self::Pieces(builder) => builder.finish(ty),
        }
    }
}
