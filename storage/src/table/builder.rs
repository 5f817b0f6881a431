//! Builds segments from vectors.
//!
//! Invariants: a segment holds values in the table's types and owns its buffers (texts are copied out of wherever they
//! lay); a NULL in a NOT NULL column is refused before anything of its batch is kept; which encoding a column gets
//! depends on its values alone.
//! Next: `text.rs` (texts and blobs), `fixed.rs` (everything else).

use std::sync::Arc;

use crate::{
    SEGMENT_ROWS,
    error::{Result, StorageError},
    table::{
        column::Column,
        fixed::{FixedBuilder, NarrowBuilder, PieceBuilder},
        segment::Segment,
        text::{BlobBuilder, TextBuilder},
    },
    types::{LogicalType, Schema},
    vector::{Selection, Vector},
};

/// Segments of at least so many rows get their statistics when they are built; smaller ones, which are likely to be
/// merged, on first use.
const PREPARE_ROWS: usize = SEGMENT_ROWS / 4;

/// Collects rows of one segment.
pub struct SegmentBuilder {
    schema: Arc<Schema>,
    rows: usize,
    columns: Vec<ColumnBuilder>,
}

impl SegmentBuilder {
    /// An empty segment of a table with the given columns.
    pub fn new(schema: Arc<Schema>) -> Self {
        let columns = schema.columns.iter().map(|column| ColumnBuilder::new(&column.ty)).collect();
        Self { schema, rows: 0, columns }
    }

    /// How many rows were pushed.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Whether the segment has all the rows that it may have.
    pub fn is_full(&self) -> bool {
        self.rows >= SEGMENT_ROWS
    }

    /// Appends the selected rows of vectors, one vector per column. Vectors of the bare NULL type fit every column.
    ///
    /// # Errors
    /// `Value` when a NOT NULL column would get a NULL, naming it, or when a value does not fit; nothing of the batch is
    /// kept in the former case, and the builder is of no further use in the latter. `Internal` when the vectors are not
    /// the table's.
    pub fn push(&mut self, columns: &[Vector], selection: Option<&Selection>) -> Result<()> {
        if columns.len() != self.columns.len() {
            let (got, want) = (columns.len(), self.columns.len());
            return Err(StorageError::Internal(format!("{got} vectors for {want} columns")));
        }
        let Some(rows) = selection.map_or(columns.first().map(Vector::len), |s| Some(s.len()))
        else {
            return Ok(());
        };
        let selected = match selection {
            None => None,
            Some(s) => Some(columns.iter().map(|c| c.select(s)).collect::<Result<Vec<_>>>()?),
        };
        let columns = selected.as_deref().unwrap_or(columns);
        for (column, vector) in self.schema.columns.iter().zip(columns) {
            let ty = vector.ty()?;
            if vector.len() != rows || (ty != column.ty && ty != LogicalType::Null) {
                return Err(StorageError::Internal(format!(
                    "{} rows of type {ty} for {rows} rows of column '{}' of type {}",
                    vector.len(),
                    column.name,
                    column.ty
                )));
            }
            if !column.nullable && vector.nulls().is_some_and(|nulls| nulls.null_count() > 0) {
                return Err(StorageError::Value(format!(
                    "column '{}' is NOT NULL, but a row has NULL there",
                    column.name
                )));
            }
        }
        for (builder, vector) in self.columns.iter_mut().zip(columns) {
            builder.push(vector)?;
        }
        self.rows += rows;
        Ok(())
    }

    /// The segment.
    ///
    /// # Errors
    /// `Internal` when arrays cannot be put together.
    pub fn finish(self) -> Result<Segment> {
        finish(self.rows, self.columns, self.schema.columns.iter().map(|column| &column.ty))
    }
}

/// Collects the rows of a table into as many segments as they need.
pub struct TableBuilder {
    schema: Arc<Schema>,
    done: Vec<Arc<Segment>>,
    open: SegmentBuilder,
}

impl TableBuilder {
    /// An empty table with the given columns.
    pub fn new(schema: Arc<Schema>) -> Self {
        Self { open: SegmentBuilder::new(Arc::clone(&schema)), done: vec![], schema }
    }

    /// Appends rows. See `SegmentBuilder::push`.
    ///
    /// # Errors
    /// As `SegmentBuilder::push`; nothing is to be done with the builder after one.
    pub fn push(&mut self, columns: &[Vector], selection: Option<&Selection>) -> Result<()> {
        let room = SEGMENT_ROWS - self.open.rows();
        let rows = selection.map_or(columns.first().map_or(0, Vector::len), Selection::len);
        if rows <= room {
            self.open.push(columns, selection)?;
        } else {
            let columns: Vec<Vector> = match selection {
                None => columns.to_vec(),
                Some(s) => columns.iter().map(|c| c.select(s)).collect::<Result<_>>()?,
            };
            let cut = |from: usize, len| -> Vec<Vector> {
                columns.iter().map(|column| column.slice(from, len)).collect()
            };
            self.open.push(&cut(0, room), None)?;
            self.seal()?;
            return self.push(&cut(room, rows - room), None);
        }
        if self.open.is_full() { self.seal() } else { Ok(()) }
    }

    fn seal(&mut self) -> Result<()> {
        let next = SegmentBuilder::new(Arc::clone(&self.schema));
        let full = std::mem::replace(&mut self.open, next);
        self.done.push(Arc::new(full.finish()?));
        Ok(())
    }

    /// The segments, in order; none if no row was pushed.
    ///
    /// # Errors
    /// As `SegmentBuilder::finish`.
    pub fn finish(mut self) -> Result<Vec<Arc<Segment>>> {
        if self.open.rows() > 0 {
            self.seal()?;
        }
        Ok(self.done)
    }
}

/// One segment of the rows of all, in order.
pub(crate) fn concat(segments: &[Arc<Segment>]) -> Result<Segment> {
    let rows = segments.iter().map(|segment| segment.rows()).sum();
    let Some(first) = segments.first() else { return Ok(Segment::new(0, vec![])) };
    let types: Vec<&LogicalType> = first.columns().iter().map(Column::ty).collect();
    let mut columns: Vec<ColumnBuilder> = types.iter().map(|ty| ColumnBuilder::new(ty)).collect();
    for segment in segments {
        if !segment.columns().iter().map(Column::ty).eq(types.iter().copied()) {
            return Err(StorageError::Internal("segments of different tables".into()));
        }
        for (builder, column) in columns.iter_mut().zip(segment.columns()) {
            builder.push(&column.read(0..segment.rows())?)?;
        }
    }
    finish(rows, columns, types)
}

fn finish<'a>(
    rows: usize,
    columns: Vec<ColumnBuilder>,
    types: impl IntoIterator<Item = &'a LogicalType>,
) -> Result<Segment> {
    let column = |(builder, ty): (ColumnBuilder, &LogicalType)| {
        Ok(Column::new(ty.clone(), rows, builder.finish(ty)?))
    };
    let columns = columns.into_iter().zip(types).map(column).collect::<Result<_>>()?;
    let segment = Segment::new(rows, columns);
    if rows >= PREPARE_ROWS {
        segment.prepare();
    }
    Ok(segment)
}

/// Collects the values of one column, by the way in which its type is stored.
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

    fn push(&mut self, vector: &Vector) -> Result<()> {
        match self {
            Self::Byte(builder) => builder.push(vector),
            Self::Short(builder) => builder.push(vector),
            Self::Word(builder) => builder.push(vector),
            Self::Long(builder) => builder.push(vector),
            Self::Wide(builder) => builder.push(vector),
            Self::Narrow(builder) => builder.push(vector),
            Self::Text(builder) => builder.push(vector),
            Self::Blob(builder) => builder.push(vector),
            Self::Pieces(builder) => builder.push(vector),
        }
    }

    fn finish(self, ty: &LogicalType) -> Result<crate::encoding::Encoding> {
        match self {
            Self::Byte(builder) => builder.finish(ty),
            Self::Short(builder) => builder.finish(ty),
            Self::Word(builder) => builder.finish(ty),
            Self::Long(builder) => builder.finish(ty),
            Self::Wide(builder) => builder.finish(ty),
            Self::Narrow(builder) => builder.finish(),
            Self::Text(builder) => builder.finish(),
            Self::Blob(builder) => builder.finish(),
            Self::Pieces(builder) => builder.finish(ty),
        }
    }
}
