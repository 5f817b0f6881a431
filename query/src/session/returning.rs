//! RETURNING: what a statement gives of the rows that it inserted, changed or deleted.
//!
//! Invariant: it is computed to its end before anything is published, within the statement's memory budget, so that a
//! failure undoes the statement.

use std::sync::Arc;

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use stoadb_storage::{Relation, ledger::array_bytes};

use crate::{
    error::{Error, Result},
    session::{
        change::{Target, query},
        run::{Prepared, Session},
    },
    sql::{
        ast::{Expr, SelectItem, SetExpr, Spanned, With},
        gate::is_aggregate_call,
        parse::place,
        rewrite::select_all,
        walk,
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
    refuse_aggregates(items)?;
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

/// RETURNING gives a row for each row: what takes several is refused.
fn refuse_aggregates(items: &[SelectItem]) -> Result<()> {
    for item in items {
        let mut found = None;
        let several = |expr: &Expr| {
            let Expr::Function(function) = expr else { return false };
            let what = match function.over {
                Some(_) => "a window function",
                None if is_aggregate_call(function) => "an aggregate",
                None => return false,
            };
            found = Some((what, place(expr.span())));
            true
        };
        if walk::any(item, several)
            && let Some((what, place)) = found
        {
            return Err(Error::unsupported(format!("{what} in RETURNING")).or_span(place));
        }
    }
    Ok(())
}
