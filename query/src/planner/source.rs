//! A relation as the planner library sees it.
//!
//! Invariant: the planner only learns names and types; statistics stay with the relation, which `lower/` finds here.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion_expr::TableSource;
use stoadb_storage::Relation;

/// A relation under the name that the statement uses.
pub struct StoaTableSource {
    /// The relation.
    pub relation: Arc<dyn Relation>,
    /// The name, for EXPLAIN.
    pub name: String,
}

impl TableSource for StoaTableSource {
    fn schema(&self) -> SchemaRef {
        self.relation.schema().to_arrow()
    }
}
