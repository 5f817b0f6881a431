//! WITH RECURSIVE.
//!
//! Invariant: base and step have the types of the node's columns; a step reads the rows of the innermost recursive query
//! of the name.

use datafusion_common::DFSchema;
use datafusion_expr::{RecursiveQuery, TableScan};
use stoadb_engine::plan::{Plan, RecursivePlan};
use stoadb_storage::Schema;

use super::{
    Lowerer, coerce, columns_of, expr::and, planner_error, project, schema_of, scope::Scope,
};
use crate::error::{Error, Result};

impl Lowerer {
    pub(super) fn recursive(&mut self, node: &RecursiveQuery) -> Result<Plan> {
        let schema = schema_of(node.static_term.schema())?;
        let base = Box::new(self.plan(&node.static_term)?);
        let id = self.recursions;
        self.recursions += 1;
        self.recursive.push((node.name.clone(), id));
        let step = self.plan(&node.recursive_term);
        self.recursive.pop();
        let step = Box::new(in_types(step?, &schema));
        let (distinct, limit) = (node.is_distinct, None);
        Ok(Plan::Recursive(RecursivePlan { id, schema, base, step, distinct, limit }))
    }

    /// The rows of the last run.
    pub(super) fn work_table(&mut self, node: &TableScan) -> Result<Plan> {
        let name = node.table_name.table();
        let known = self.recursive.iter().rev().find(|(known, _)| known == name);
        let Some(&(_, id)) = known else {
            // The planner sees no recursion where only subqueries of the step read the rows.
            return Err(Error::unsupported(format!(
                "WITH RECURSIVE whose step reads {name} in a scalar subquery, or in no FROM of its own (join {name} instead)"
            )));
        };
        let arrow = node.source.schema();
        let all = DFSchema::try_from_qualified_schema(node.table_name.clone(), &arrow);
        let all = all.map_err(planner_error)?;
        let schema = schema_of(&all)?;
        let mut plan = Plan::WorkTable { id, schema: schema.clone() };
        if !node.filters.is_empty() {
            let scope = Scope::new(&all);
            let filters = node.filters.iter().map(|filter| self.condition(filter, &scope));
            let predicate = and(filters.collect::<Result<_>>()?);
            plan = Plan::Filter { input: Box::new(plan), predicate };
        }
        let Some(projection) = &node.projection else { return Ok(plan) };
        let columns = columns_of(&schema);
        let pick = |&index: &usize| (schema.columns[index].clone(), columns[index].clone());
        let (names, exprs) = projection.iter().map(pick).unzip();
        Ok(project(plan, Schema::new(names), exprs))
    }
}

/// The plan's columns in the types of `schema`.
fn in_types(plan: Plan, schema: &Schema) -> Plan {
    let columns = columns_of(plan.schema()).into_iter().zip(&schema.columns);
    let exprs = columns.map(|(expr, column)| coerce::cast(expr, &column.ty)).collect();
    project(plan, schema.clone(), exprs)
}
