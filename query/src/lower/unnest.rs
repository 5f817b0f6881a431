//! unnest(): lists become rows.
//!
//! Invariant: the output follows the logical schema: each input column in its place, replaced by what it is unnested to.

use datafusion_expr::Unnest;
use stoadb_engine::plan::{Plan, UnnestColumn};

use super::{Lowerer, schema_of};
use crate::error::{Error, Result};

impl Lowerer {
    pub(super) fn unnest(&mut self, node: &Unnest) -> Result<Plan> {
        let input = Box::new(self.plan(&node.input)?);
        if node.list_type_columns.iter().any(|(_, list)| list.depth != 1) {
            return Err(Error::unsupported("unnest(.., recursive := true) and nested unnest()"));
        }
        let mut columns = Vec::with_capacity(node.dependency_indices.len());
        for &index in &node.dependency_indices {
            if node.struct_type_columns.contains(&index) {
                let known = columns.iter().filter(
                    |column| matches!(column, UnnestColumn::Field(input, _) if *input == index),
                );
                columns.push(UnnestColumn::Field(index, known.count()));
            } else if node.list_type_columns.iter().any(|(list, _)| *list == index) {
                columns.push(UnnestColumn::Elements(index));
            } else {
                columns.push(UnnestColumn::Repeat(index));
            }
        }
        Ok(Plan::Unnest { input, schema: schema_of(&node.schema)?, columns })
    }
}
