//! Builds segments from vectors.
//!
//! Invariants: a segment holds values in the table's types and owns its buffers (texts are copied out of wherever they
//! lay); a NULL in a NOT NULL column is refused before anything of its batch is kept; which encoding a column gets
//! depends on its values alone.
//! Next: `column_builder.rs`.

use std::sync::Arc;

use crate::{
    SEGMENT_ROWS,
    error::{Result, StorageError},
    table::{column::Column, column_builder::PendingColumn, segment::Segment},
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
    columns: Vec<PendingColumn>,
}

impl SegmentBuilder {
    /// An empty segment of a table with the given columns.
    pub fn new(schema: Arc<Schema>) -> Self {
        let columns = schema.columns.iter().map(|column| PendingColumn::new(&column.ty)).collect();
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
                return Err(StorageError::Constraint(format!(
                    "NULL in the column '{}', which is NOT NULL",
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
        let rows = self.rows;
        let columns = self.columns.into_iter().map(PendingColumn::finish);
        Ok(prepared(Segment::new(rows, columns.collect::<Result<_>>()?)))
    }

    /// Bytes held, about.
    pub fn bytes(&self) -> u64 {
        self.columns.iter().map(PendingColumn::bytes).sum()
    }

    /// Appends the rows of another builder of the same table. Numbers and long texts are not copied.
    ///
    /// # Errors
    /// `Internal` when the builders are not of one table.
    pub fn append(&mut self, other: Self) -> Result<()> {
        if self.schema != other.schema {
            return Err(StorageError::Internal("rows of different tables".into()));
        }
        for (mine, theirs) in self.columns.iter_mut().zip(other.columns) {
            mine.append(theirs)?;
        }
        self.rows += other.rows;
        Ok(())
    }

    /// The columns as they were collected, to be finished on their own and put together by `Segment::of`.
    pub fn into_columns(self) -> Vec<PendingColumn> {
        self.columns
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
    let types = || first.columns().iter().map(Column::ty);
    if !segments.iter().all(|segment| segment.columns().iter().map(Column::ty).eq(types())) {
        return Err(StorageError::Internal("segments of different tables".into()));
    }
    let column = |(i, ty): (usize, &LogicalType)| {
        let mut column = PendingColumn::new(ty);
        for segment in segments {
            column.push(&segment.columns()[i].read(0..segment.rows())?)?;
        }
        column.finish()
    };
    let columns = types().enumerate().map(column).collect::<Result<_>>()?;
    Ok(prepared(Segment::new(rows, columns)))
}

/// The segment with its statistics, unless it is small.
fn prepared(segment: Segment) -> Segment {
    if segment.rows() >= PREPARE_ROWS {
        segment.prepare();
    }
    segment
}
