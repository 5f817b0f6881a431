//! A table with other columns: columns left out, renamed or added, without touching the values of those that stay.
//!
//! Invariants: rows, their order, their positions and what is deleted stay what they are; a column that is added is one
//! constant in every segment. Next: `column.rs`.

use std::sync::Arc;

use crate::{
    encoding::Encoding,
    error::{Result, StorageError},
    index::Workers,
    scalar::Scalar,
    table::{
        column::Column,
        rules::TableRules,
        segment::Segment,
        tail::{Part, PartList},
        version::TableVersion,
    },
    types::{ColumnDef, Schema},
};

/// Where a column of `TableVersion::with_columns` comes from.
#[derive(Debug, Clone)]
pub enum NewColumn {
    /// It is the column of this ordinal.
    Old(usize),
    /// It has this value in every row.
    New(Scalar),
}

impl TableVersion {
    /// The version with the columns of `schema`, each from where `from` says, under rules. O(segments), and O(rows) for
    /// indexes that there were not.
    ///
    /// # Errors
    /// `Internal` when there is no such column, it is of another type, or there would be none at all; as `with_rules`.
    pub fn with_columns(
        &self,
        schema: Arc<Schema>,
        from: &[NewColumn],
        rules: Arc<TableRules>,
        workers: &dyn Workers,
    ) -> Result<Self> {
        let wrong = || StorageError::Internal("columns that the table does not have".into());
        let old = &self.shared_schema().columns;
        let is_typed = |(from, def): (&NewColumn, &ColumnDef)| match from {
            NewColumn::Old(column) => old.get(*column).is_some_and(|old| old.ty == def.ty),
            NewColumn::New(value) => *value.ty() == def.ty,
        };
        let typed = from.iter().zip(&schema.columns).all(is_typed);
        if from.is_empty() || from.len() != schema.len() || !typed {
            return Err(wrong());
        }
        let segment = |segment: &Arc<Segment>| -> Result<Arc<Segment>> {
            let column = |from: &NewColumn| {
                let column = match from {
                    NewColumn::Old(from) => segment.columns().get(*from).cloned(),
                    NewColumn::New(value) => {
                        let encoding = Encoding::Constant(value.clone());
                        Some(Column::new(value.ty().clone(), segment.rows(), encoding))
                    }
                };
                column.ok_or_else(wrong)
            };
            let columns = from.iter().map(column);
            Ok(Arc::new(Segment::of(columns.collect::<Result<_>>()?)?))
        };
        let all = (0..old.len()).map(Some);
        let given = from.iter().map(|from| match from {
            NewColumn::Old(column) => Some(*column),
            NewColumn::New(_) => None,
        });
        let same = given.eq(all);
        let part = |part: &Part| -> Result<Part> {
            let deletes = part.deletes.clone();
            match same {
                true => Ok(part.clone()),
                false => Ok(Part { segment: segment(&part.segment)?, deletes }),
            }
        };
        let parts = self.part_list();
        let settled = parts.settled.iter().map(part).collect::<Result<Vec<_>>>()?;
        let tail = parts.tail.iter().map(part).collect::<Result<Vec<_>>>()?;
        let ordinal = |old: usize| {
            from.iter().position(|from| matches!(from, NewColumn::Old(column) if *column == old))
        };
        let parts = PartList { settled: Arc::new(settled), tail };
        self.of_columns(schema, parts, ordinal, rules, workers)
    }
}
