//! What flows between operators: vectors of equal length and a selection over them.

use stoadb_storage::{Selection, Vector};

use crate::error::Result;

/// Columns of equal length, of which perhaps only some rows count.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The columns, each of `rows` rows.
    pub columns: Vec<Vector>,
    /// Rows of each column, before the selection. At most `VECTOR_SIZE`.
    pub rows: usize,
    /// The rows that count; `None` means all.
    pub selection: Option<Selection>,
}

impl Batch {
    /// A batch in which every row counts.
    pub fn new(columns: Vec<Vector>, rows: usize) -> Self {
        debug_assert!(columns.iter().all(|column| column.len() == rows));
        Self { columns, rows, selection: None }
    }

    /// How many rows count.
    pub fn len(&self) -> usize {
        self.selection.as_ref().map_or(self.rows, Selection::len)
    }

    /// Whether no row counts.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The batch with the selection applied: every row counts. Encodings are kept.
    ///
    /// # Errors
    /// `Internal` when the selection points past the end.
    pub fn compact(self) -> Result<Self> {
        let Some(selection) = self.selection else { return Ok(self) };
        let select = |column: &Vector| Ok(column.select(&selection)?);
        let columns = self.columns.iter().map(select).collect::<Result<_>>()?;
        Ok(Self { columns, rows: selection.len(), selection: None })
    }

    /// The batch with only the rows that `inner` selects among those that count now.
    pub fn refine(mut self, inner: Selection) -> Self {
        self.selection = Some(match &self.selection {
            Some(outer) => outer.compose(&inner),
            None => inner,
        });
        self
    }
}
