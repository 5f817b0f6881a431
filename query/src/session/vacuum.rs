//! VACUUM: tables are written anew where rows are deleted, and small segments are put together.
//!
//! Invariants: no answer changes, and who reads a table goes on reading what it began with; a table that changes
//! meanwhile is left as it is. Next: `stoadb_storage::table::Thoroughness`.

use std::sync::Arc;

use stoadb_storage::{
    Entry,
    table::{TableVersion, Thoroughness},
};

use crate::{
    error::{Error, ErrorKind, Result},
    session::{connection::State, result::QueryResult, run::Session},
    sql::ast::VacuumStatement,
};

/// `VACUUM [table]`.
pub(crate) fn vacuum(
    session: &Session<'_>,
    state: &State,
    vacuum: &VacuumStatement,
) -> Result<QueryResult> {
    let plain = VacuumStatement {
        full: false,
        sort_only: false,
        delete_only: false,
        reindex: false,
        recluster: false,
        table_name: vacuum.table_name.clone(),
        threshold: None,
        boost: false,
    };
    if plain != *vacuum {
        return Err(Error::unsupported("options of VACUUM"));
    }
    if state.transaction.is_some() {
        let message = "a transaction is open; COMMIT or ROLLBACK it before VACUUM";
        return Err(Error::new(ErrorKind::Catalog, message));
    }
    let snapshot = &session.names.snapshot;
    match &vacuum.table_name {
        Some(name) => {
            let name = session.names.key(name)?;
            compact(session, &name, snapshot.table(&name)?)?;
        }
        None => {
            for (name, entry) in snapshot.entries() {
                if let Entry::Table(table) = entry {
                    compact(session, name, table)?;
                }
            }
        }
    }
    Ok(QueryResult::changed(0))
}

fn compact(session: &Session<'_>, name: &str, table: &Arc<TableVersion>) -> Result<()> {
    let groups = table.compaction(Thoroughness::Whole);
    if groups.is_empty() {
        return Ok(());
    }
    let context = session.context(Vec::new());
    let made = session.workers()?.map(groups.len(), |number| {
        context.check()?;
        Ok(table.compacted_group(&groups[number])?)
    })?;
    let compacted = table.compacted(groups.into_iter().zip(made).collect())?;
    if session.connection.database().catalog().put_compacted(name, table, compacted, true) {
        return Ok(());
    }
    let message = format!("'{name}' was changed meanwhile and is left as it is; run VACUUM again");
    Err(Error::new(ErrorKind::Catalog, message))
}
