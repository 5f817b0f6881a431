//! The columns that an expression may name, and where they stand in the operator's input.
//!
//! Invariant: a name resolves to one ordinal or to an error. Next: `expr.rs`.

use arrow::datatypes::FieldRef;
use datafusion_common::{Column, DFSchema, DataFusionError, ExprSchema};
use stoadb_storage::LogicalType;

use crate::error::{Error, Result};

/// The columns of one input, or of the two inputs of a join, left before right.
#[derive(Debug)]
pub(super) struct Scope<'a> {
    parts: Vec<&'a DFSchema>,
}

impl<'a> Scope<'a> {
    /// The columns of one input.
    pub(super) fn new(schema: &'a DFSchema) -> Self {
        Self { parts: vec![schema] }
    }

    /// The columns of a join's inputs.
    pub(super) fn pair(left: &'a DFSchema, right: &'a DFSchema) -> Self {
        Self { parts: vec![left, right] }
    }

    /// Where a column stands, and its type.
    pub(super) fn resolve(&self, column: &Column) -> Result<(usize, LogicalType)> {
        let (index, field) = self.find(column).ok_or_else(|| {
            Error::internal(format!("the column {} is not bound", column.flat_name()))
        })?;
        Ok((index, LogicalType::from_arrow(field.data_type())?))
    }

    fn find(&self, column: &Column) -> Option<(usize, &'a FieldRef)> {
        let mut offset = 0;
        let mut found = None;
        for part in &self.parts {
            if let Some(index) = part.maybe_index_of_column(column) {
                if found.is_some() {
                    return None;
                }
                found = Some((offset + index, &part.fields()[index]));
            }
            offset += part.fields().len();
        }
        found
    }
}

impl ExprSchema for Scope<'_> {
    fn field_from_column(&self, column: &Column) -> datafusion_common::Result<&FieldRef> {
        let missing =
            || DataFusionError::Internal(format!("column {} is not bound", column.flat_name()));
        self.find(column).map(|(_, field)| field).ok_or_else(missing)
    }
}
