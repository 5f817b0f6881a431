//! Changes of the catalog as plain data.
//!
//! Invariants: an edit says what changes and not how; applied to the snapshot that it was made on, it cannot conflict;
//! applied to a later one, it either means the same there or is refused. A log of commits rebuilds the catalog.
//! Next: `transaction.rs`.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    catalog::{
        name::shown_name,
        snapshot::{CatalogSnapshot, Entry},
    },
    error::{Result, StorageError},
    table::{RowSet, Segment, TableVersion},
};

/// One change.
#[derive(Debug, Clone)]
pub enum Edit {
    /// Puts a new table, view or registered relation behind a name, in place of what was there.
    Create {
        /// The name as declared.
        name: String,
        /// The table with its first rows, the view, the relation.
        entry: Entry,
    },
    /// Frees a name.
    Drop {
        /// The name.
        name: String,
    },
    /// Appends rows to a table.
    Append {
        /// The table.
        name: String,
        /// The rows.
        segments: Vec<Arc<Segment>>,
    },
    /// Deletes rows of a table.
    Delete {
        /// The table.
        name: String,
        /// The rows, as in the table that the edit was made on.
        rows: Arc<RowSet>,
    },
    /// Puts other contents in a table's place: nobody else may have changed it meanwhile.
    Replace {
        /// The table.
        name: String,
        /// The contents.
        table: Arc<TableVersion>,
    },
}

impl Edit {
    /// The name that the edit is about.
    pub fn name(&self) -> &str {
        match self {
            Self::Create { name, .. }
            | Self::Drop { name }
            | Self::Append { name, .. }
            | Self::Delete { name, .. }
            | Self::Replace { name, .. } => name,
        }
    }

    /// Makes the change. Nothing is changed on error.
    ///
    /// # Errors
    /// `Catalog` when there is no such table or an index of a new one has a name that is taken, `Conflict` when a row was
    /// deleted before.
    pub(crate) fn apply(&self, snapshot: &mut CatalogSnapshot) -> Result<()> {
        match self {
            Self::Create { name, entry } => {
                snapshot.check_schema(name)?;
                if let Entry::Table(table) = entry {
                    snapshot.check_indexes(name, table)?;
                }
                snapshot.put(name, entry.clone());
            }
            Self::Drop { name } => {
                snapshot.check_empty(name)?;
                snapshot.remove(name);
            }
            Self::Append { name, segments } => {
                let table = snapshot.table(name)?.append(segments);
                let table = table.map_err(|error| of_table(error, name))?;
                snapshot.update(name, table)?;
            }
            Self::Delete { name, rows } => {
                let table = snapshot.table(name)?.without_rows(rows)?;
                snapshot.update(name, table)?;
            }
            Self::Replace { name, table } => {
                snapshot.table(name)?;
                snapshot.check_indexes(name, table)?;
                // A new object: whoever appends to or deletes from the old contents meanwhile loses.
                let declared = snapshot.declared_name(name).unwrap_or(name).to_owned();
                snapshot.put(&declared, Entry::Table(Arc::clone(table)));
            }
        }
        Ok(())
    }
}

/// The changes of one transaction, in order.
#[derive(Debug, Clone, Default)]
pub struct Commit {
    /// The changes.
    pub edits: Vec<Edit>,
}

impl Commit {
    /// The state after the changes, which were made on `base`, on top of `current`.
    ///
    /// # Errors
    /// `Conflict`, naming the table, when `current` differs from `base` in a way that the changes cannot be made on.
    pub(crate) fn rebase(
        &self,
        base: &CatalogSnapshot,
        current: &CatalogSnapshot,
    ) -> Result<CatalogSnapshot> {
        // Per name: where the rows that this transaction appended begin, in `base` and in `current`.
        let mut starts: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        for edit in &self.edits {
            let name = edit.name();
            if base.object(name) != current.object(name) {
                return Err(conflict(name));
            }
            if let (Ok(before), Ok(now)) = (base.table(name), current.table(name)) {
                let moved = match edit {
                    Edit::Replace { .. } => before.version() != now.version(),
                    Edit::Delete { .. } => before.layout() != now.layout(),
                    _ => false,
                };
                if moved {
                    return Err(conflict(name));
                }
                starts.insert(name.to_lowercase(), (before.positions(), now.positions()));
            }
        }
        let mut next = current.clone();
        for edit in &self.edits {
            let key = edit.name().to_lowercase();
            if matches!(edit, Edit::Create { .. } | Edit::Drop { .. } | Edit::Replace { .. }) {
                // From here on nobody else's rows are in it.
                starts.remove(&key);
            }
            let result = match (edit, starts.get(&key)) {
                (Edit::Delete { name, rows }, Some(&(before, now))) if before != now => {
                    let rows = Arc::new(rows.moved(before, now));
                    Edit::Delete { name: name.clone(), rows }.apply(&mut next)
                }
                _ => edit.apply(&mut next),
            };
            match result {
                Err(StorageError::Conflict(_)) => return Err(conflict(edit.name())),
                other => other?,
            }
        }
        Ok(next)
    }
}

fn conflict(name: &str) -> StorageError {
    StorageError::Conflict(format!(
        "another transaction changed '{}' meanwhile; nothing of this one was kept, run it again",
        shown_name(name)
    ))
}

/// A broken rule, with the table whose rule it is.
fn of_table(error: StorageError, name: &str) -> StorageError {
    match error {
        StorageError::Constraint(message) => {
            let name = shown_name(name);
            StorageError::Constraint(format!("the table '{name}' would have {message}"))
        }
        other => other,
    }
}
