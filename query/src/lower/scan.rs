//! Table scans. Filters reach them later (`push_down.rs`), statistics' view of them last (`prune.rs`).

use std::sync::Arc;

use datafusion_common::DFSchema;
use datafusion_expr::TableScan;
use stoadb_engine::plan::{Plan, RelationId, ScanPlan};
use stoadb_storage::{ColumnDef, Schema};

use super::{Lowerer, expr::and, planner_error, schema_of, scope::Scope};
use crate::{
    error::{Error, Result},
    planner::source::{StoaTableSource, WorkTableSource},
};

impl Lowerer {
    pub(super) fn scan(&mut self, node: &TableScan) -> Result<Plan> {
        let Some(source) = node.source.downcast_ref::<StoaTableSource>() else {
            if node.source.downcast_ref::<WorkTableSource>().is_some() {
                return self.work_table(node);
            }
            return match node.source.get_logical_plan() {
                Some(plan) => self.plan(&plan),
                None => Err(Error::internal(format!("{} is no relation", node.table_name))),
            };
        };
        let columns = &source.relation.schema().columns;
        let projection = match &node.projection {
            Some(projection) => projection.clone(),
            None => (0..columns.len()).collect(),
        };
        let column = |&index: &usize| columns.get(index).cloned();
        let missing = || Error::internal(format!("a column of {} is missing", source.name));
        let read: Option<Vec<ColumnDef>> = projection.iter().map(column).collect();
        let schema = Schema::new(read.ok_or_else(missing)?);
        if types(&schema) != types(&schema_of(&node.projected_schema)?) {
            return Err(Error::internal(format!("{} has changed its columns", source.name)));
        }
        let filter = match node.filters.as_slice() {
            [] => None,
            filters => {
                let arrow = node.source.schema();
                let all = DFSchema::try_from_qualified_schema(node.table_name.clone(), &arrow);
                let all = all.map_err(planner_error)?;
                let scope = Scope::new(&all);
                let filters = filters.iter().map(|filter| self.condition(filter, &scope));
                Some(and(filters.collect::<Result<_>>()?))
            }
        };
        let relation = RelationId(self.relations.len());
        self.relations.push(Arc::clone(&source.relation));
        let name = source.name.clone();
        let (prune, prune_is_exact) = (None, false);
        let scan = Plan::Scan(ScanPlan {
            relation,
            name,
            schema,
            projection,
            filter,
            prune,
            prune_is_exact,
        });
        Ok(match node.fetch {
            Some(fetch) => {
                Plan::Limit { input: Box::new(scan), offset: 0, limit: Some(fetch as u64) }
            }
            None => scan,
        })
    }
}

fn types(schema: &Schema) -> Vec<&stoadb_storage::LogicalType> {
    schema.columns.iter().map(|column| &column.ty).collect()
}
