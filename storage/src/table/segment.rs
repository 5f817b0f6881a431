//! Segments: immutable runs of rows, stored column by column.
//!
//! Invariants: every column has the segment's number of rows; a segment never changes. Rows are deleted by masks beside
//! it (`deletes.rs`).
//! Next: `column.rs`, `version.rs`.

use std::{
    ops::Range,
    sync::{Arc, OnceLock},
};

use crate::{
    SEGMENT_ROWS,
    disk::random_number,
    error::{Result, StorageError},
    table::{builder::concat, column::Column},
};

/// Up to `SEGMENT_ROWS` consecutive rows of a table.
#[derive(Debug)]
pub struct Segment {
    rows: usize,
    columns: Box<[Column]>,
    /// The number of its file in a saved database, once it has one.
    number: OnceLock<u64>,
}

impl Segment {
    /// A segment of columns of `rows` rows each.
    pub(crate) fn new(rows: usize, columns: Vec<Column>) -> Self {
        Self { rows, columns: columns.into(), number: OnceLock::new() }
    }

    /// The segment of the file of a number in a saved database.
    pub(crate) fn stored(number: u64, rows: usize, columns: Vec<Column>) -> Self {
        Self { number: number.into(), ..Self::new(rows, columns) }
    }

    /// The number of its file in every saved database that holds it: unique across processes, as the segment never
    /// changes.
    pub(crate) fn number(&self) -> u64 {
        *self.number.get_or_init(random_number)
    }

    /// A segment of columns of a table, in the table's order, at least one.
    ///
    /// # Errors
    /// `Internal` when they differ in their number of rows.
    pub fn of(columns: Vec<Column>) -> Result<Self> {
        let rows = columns.first().map_or(0, Column::rows);
        if columns.iter().any(|column| column.rows() != rows) {
            return Err(StorageError::Internal("columns of different lengths".into()));
        }
        Ok(Self::new(rows, columns))
    }

    /// The same rows with the same codes or values, some of the dictionaries extended: the same file in a saved database.
    pub(crate) fn with_extended(&self, columns: Vec<Column>) -> Result<Self> {
        Ok(Self { number: self.number.clone(), ..Self::of(columns)? })
    }

    /// How many rows, deleted ones included.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The columns, in the table's order.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Bytes stored.
    pub fn bytes(&self) -> u64 {
        self.columns.iter().map(Column::bytes).sum()
    }

    /// Computes the columns' statistics, which would be computed on first use otherwise.
    pub fn prepare(&self) {
        for column in &self.columns {
            column.prepare();
        }
    }
}

/// Which consecutive segments of the given numbers of rows are to become one, so that no table consists of crumbs:
/// segments of a quarter of `SEGMENT_ROWS` or more stay alone, smaller neighbours are put together up to `SEGMENT_ROWS`.
/// Covers all segments, in order.
pub fn merge_groups(rows: &[usize]) -> Vec<Range<usize>> {
    let mut groups: Vec<Range<usize>> = vec![];
    let mut open = 0;
    for (i, &rows) in rows.iter().enumerate() {
        let small = rows < SEGMENT_ROWS / 4;
        match groups.last_mut() {
            Some(last) if small && open > 0 && open + rows <= SEGMENT_ROWS => {
                last.end = i + 1;
                open += rows;
            }
            _ => {
                groups.push(i..i + 1);
                open = if small { rows.max(1) } else { 0 };
            }
        }
    }
    groups
}

/// Puts small consecutive segments together (see `merge_groups`). Row order is kept; large segments are not copied.
///
/// # Errors
/// `Internal` when the segments are not of one table.
pub fn merge_segments(segments: &[Arc<Segment>]) -> Result<Vec<Arc<Segment>>> {
    let rows: Vec<usize> = segments.iter().map(|segment| segment.rows()).collect();
    merge_groups(&rows).into_iter().map(|group| merge_group(&segments[group])).collect()
}

/// One segment of the rows of all. A single one is returned as it is.
///
/// # Errors
/// `Internal` when the segments are not of one table.
pub fn merge_group(segments: &[Arc<Segment>]) -> Result<Arc<Segment>> {
    match segments {
        [one] => Ok(Arc::clone(one)),
        _ => Ok(Arc::new(concat(segments)?)),
    }
}
