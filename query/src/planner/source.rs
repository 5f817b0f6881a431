//! A relation as the planner library sees it: names and types.
//!
//! Invariant: filters are never taken over: they stay above the scan, where `lower` finds them. Column names are folded
//! (see `sql/names.rs`); their declared spelling is the relation's.

use std::{borrow::Cow, fmt, sync::Arc};

use arrow::datatypes::{Field, Schema as ArrowSchema, SchemaRef};
use datafusion_common::{HashMap, HashSet};
use datafusion_expr::{LogicalPlan, TableSource};
use stoadb_storage::{Relation, Schema};

use crate::sql::names::{REPEATED, exact, fold};

/// A relation that a plan scans; `lower` finds it by downcasting the scan's source.
pub struct StoaTableSource {
    /// What is scanned.
    pub relation: Arc<dyn Relation>,
    /// Its name, for EXPLAIN and error messages.
    pub name: String,
    schema: SchemaRef,
}

impl fmt::Debug for StoaTableSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoaTableSource({})", self.name)
    }
}

impl StoaTableSource {
    /// A source of a relation.
    pub fn new(relation: Arc<dyn Relation>, name: String) -> Self {
        let schema = folded_schema(relation.schema());
        Self { relation, name, schema }
    }
}

impl TableSource for StoaTableSource {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

/// A view: its plan takes the place of the scan.
pub struct ViewSource {
    plan: LogicalPlan,
}

impl ViewSource {
    /// A source that stands for a planned query.
    pub fn new(plan: LogicalPlan) -> Self {
        Self { plan }
    }
}

impl TableSource for ViewSource {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.plan.schema().inner())
    }

    fn get_logical_plan(&'_ self) -> Option<Cow<'_, LogicalPlan>> {
        Some(Cow::Borrowed(&self.plan))
    }
}

/// The rows of a recursive query's last run, which its step reads.
pub struct WorkTableSource {
    schema: SchemaRef,
}

impl WorkTableSource {
    /// A source with the columns of a recursive query.
    pub fn new(schema: SchemaRef) -> Self {
        Self { schema }
    }
}

impl TableSource for WorkTableSource {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

/// The exact names of the columns that differ from a sibling only by case.
pub fn clashing_names(schema: &Schema) -> HashSet<String> {
    let mut count: HashMap<String, usize> = HashMap::new();
    for column in &schema.columns {
        *count.entry(fold(&column.name)).or_default() += 1;
    }
    let clashes = |name: &&String| count.get(&fold(name)).is_some_and(|&n| n > 1);
    schema.columns.iter().map(|column| &column.name).filter(clashes).cloned().collect()
}

/// The columns as the planner library sees them.
fn folded_schema(schema: &Schema) -> SchemaRef {
    let clashing = clashing_names(schema);
    let mut seen = HashSet::new();
    let field = |(position, column): (usize, &stoadb_storage::ColumnDef)| {
        let mut name =
            if clashing.contains(&column.name) { exact(&column.name) } else { fold(&column.name) };
        if !seen.insert(name.clone()) {
            name = format!("{name}{REPEATED}{position}");
        }
        Field::new(name, column.ty.to_arrow(), column.nullable)
    };
    Arc::new(ArrowSchema::new(schema.columns.iter().enumerate().map(field).collect::<Vec<_>>()))
}
