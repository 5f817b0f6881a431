//! RETURNING: what a statement gives of the rows that it inserted, changed or deleted.
//!
//! Invariant: it is computed to its end before anything is published, within the statement's memory budget, so that a
//! failure undoes the statement.

use std::sync::Arc;

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use stoadb_storage::{Relation, ledger::array_bytes};

use crate::{
    error::Result,
    session::{
        change::{Target, query},
        run::{Prepared, Session},
    },
    sql::{
        ast::{SelectItem, SetExpr, With},
        rewrite::select_all,
    },
};

/// The rows of a RETURNING clause and their columns.
pub(crate) type Returned = (SchemaRef, Vec<RecordBatch>);

/// `items` over some rows of the table that a statement changes.
///
/// # Errors
/// As a query of them, and `Memory` when their rows do not fit the budget.
pub(super) fn returning(
    session: &Session<'_>,
    with: Option<&With>,
    target: &Target,
    rows: Arc<dyn Relation>,
    items: &[SelectItem],
) -> Result<Returned> {
    let mut select = select_all(target.factor());
    select.projection = items.to_vec();
    let statement = query(with, SetExpr::Select(Box::new(select)));
    let Prepared { plan, relations, schema, .. } = session.reading(rows).prepare(&statement)?;
    let context = session.context(relations);
    let mut memory = context.memory().reservation("rows of RETURNING");
    let workers = session.workers()?;
    let stream =
        stoadb_engine::execute(Arc::new(plan), Arc::clone(&schema), Arc::clone(&context), workers);
    let mut batches = Vec::new();
    for batch in stream {
        let batch = batch?;
        memory.grow(batch.columns().iter().map(|column| array_bytes(column.as_ref())).sum())?;
        batches.push(batch);
    }
    Ok((schema, batches))
}
