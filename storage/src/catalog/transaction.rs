//! Who changes the catalog: transactions, one commit at a time.
//!
//! Invariants: a transaction reads the state that it began on and its own changes, nothing else; a change that fails
//! leaves no trace; what a commit publishes is one swap of an `Arc`. Autocommit is a transaction of one statement.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::{
    catalog::{
        commit::{Commit, Edit},
        name::{macro_name, schema_name, shown_name},
        snapshot::{CatalogSnapshot, Entry, EntryKind, Macro, View},
    },
    error::{Result, StorageError},
    scan::Relation,
    table::{RowId, RowSet, Segment, TableVersion},
};

/// The catalog of a database, shared by its connections.
#[derive(Debug, Default)]
pub struct Catalog {
    pub(super) current: RwLock<Arc<CatalogSnapshot>>,
    /// Held while a commit is checked and published.
    pub(super) committing: Mutex<()>,
    /// Held while indexes are merged.
    pub(super) merging: Mutex<()>,
    /// How many transactions are open.
    pub(super) open: AtomicUsize,
}

/// Counts a transaction while it is open.
#[derive(Debug)]
struct Open(Arc<Catalog>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Catalog {
    /// An empty catalog.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// The last published state.
    pub fn snapshot(&self) -> Arc<CatalogSnapshot> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Begins a transaction on the last published state.
    pub fn begin(self: &Arc<Self>) -> Transaction {
        // Counted under the lock: whoever holds it for writing knows all that are open.
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        self.open.fetch_add(1, Ordering::Relaxed);
        let base = Arc::clone(&current);
        Transaction {
            open: Open(Arc::clone(self)),
            view: Arc::clone(&base),
            base,
            commit: Commit::default(),
        }
    }
}

/// What to do when a name is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfExists {
    /// `CREATE`: an error.
    Fail,
    /// `CREATE ... IF NOT EXISTS`: leave it as it is.
    Keep,
    /// `CREATE OR REPLACE`: put the new one in its place.
    Replace,
}

/// A point of a transaction to which it can go back.
#[derive(Debug, Clone)]
pub struct Savepoint {
    edits: usize,
    view: Arc<CatalogSnapshot>,
}

/// Changes that nobody else sees yet. Dropping it is rolling it back.
#[derive(Debug)]
pub struct Transaction {
    open: Open,
    base: Arc<CatalogSnapshot>,
    /// `base` with the changes.
    view: Arc<CatalogSnapshot>,
    commit: Commit,
}

impl Transaction {
    /// What the transaction sees: the state that it began on with its own changes.
    pub fn snapshot(&self) -> &Arc<CatalogSnapshot> {
        &self.view
    }

    /// Whether there is nothing to publish.
    pub fn is_unchanged(&self) -> bool {
        self.commit.edits.is_empty()
    }

    /// Creates a table with its first rows. False when the name was taken and is kept.
    ///
    /// # Errors
    /// `Catalog` when the name is taken.
    pub fn create_table(
        &mut self,
        name: &str,
        table: TableVersion,
        if_exists: IfExists,
    ) -> Result<bool> {
        self.create(name, Entry::Table(Arc::new(table)), if_exists)
    }

    /// Creates a view. False when the name was taken and is kept.
    ///
    /// # Errors
    /// As `create_table`.
    pub fn create_view(&mut self, name: &str, view: View, if_exists: IfExists) -> Result<bool> {
        self.create(name, Entry::View(Arc::new(view)), if_exists)
    }

    /// Creates a schema. False when there is one of the name and it is kept.
    ///
    /// # Errors
    /// As `create_table`.
    pub fn create_schema(&mut self, schema: &str, if_exists: IfExists) -> Result<bool> {
        self.create(&schema_name(schema), Entry::Schema, if_exists)
    }

    /// Creates a macro in a schema. False when there is one of the name and it is kept.
    ///
    /// # Errors
    /// As `create_table`.
    pub fn create_macro(
        &mut self,
        schema: &str,
        name: &str,
        text: Macro,
        if_exists: IfExists,
    ) -> Result<bool> {
        self.create(&macro_name(schema, name), Entry::Macro(Arc::new(text)), if_exists)
    }

    /// Registers a relation from outside. False when the name was taken and is kept.
    ///
    /// # Errors
    /// As `create_table`.
    pub fn register(
        &mut self,
        name: &str,
        relation: Arc<dyn Relation>,
        if_exists: IfExists,
    ) -> Result<bool> {
        self.create(name, Entry::External(relation), if_exists)
    }

    /// Puts something behind a name. False when the name was taken and is kept.
    ///
    /// # Errors
    /// `Catalog` when the name is taken, or is of a schema that does not exist.
    pub fn create(&mut self, name: &str, entry: Entry, if_exists: IfExists) -> Result<bool> {
        if let Some(existing) = self.view.relation(name) {
            let taken = |rest: &str| {
                let name = shown_name(self.view.declared_name(name).unwrap_or(name));
                let message = format!("a {} '{name}' exists already{rest}", existing.kind());
                Err(StorageError::Catalog(message))
            };
            match if_exists {
                IfExists::Fail => return taken(""),
                IfExists::Keep => return Ok(false),
                IfExists::Replace if existing.kind() != entry.kind() => {
                    return taken(&format!("; a {} does not replace it", entry.kind()));
                }
                IfExists::Replace => {}
            }
        }
        self.apply(Edit::Create { name: name.into(), entry })?;
        Ok(true)
    }

    /// Drops an entry of a kind. False when there was none and `missing_ok`.
    ///
    /// # Errors
    /// `Catalog` when there is none, or it is of another kind.
    pub fn drop_entry(&mut self, name: &str, kind: EntryKind, missing_ok: bool) -> Result<bool> {
        match self.view.relation(name).map(Entry::kind) {
            None if missing_ok => Ok(false),
            None => {
                let name = shown_name(name);
                Err(StorageError::Catalog(format!("there is no {kind} '{name}'")))
            }
            Some(found) if found != kind => {
                let name = shown_name(self.view.declared_name(name).unwrap_or(name));
                Err(StorageError::Catalog(format!("'{name}' is a {found}, not a {kind}")))
            }
            Some(_) => self.apply(Edit::Drop { name: name.into() }).map(|()| true),
        }
    }

    /// Appends rows to a table; returns how many.
    ///
    /// # Errors
    /// `Catalog` when there is no such table, `Internal` when the segments are not its.
    pub fn append(&mut self, name: &str, segments: Vec<Arc<Segment>>) -> Result<u64> {
        let rows = segments.iter().map(|segment| segment.rows() as u64).sum();
        self.apply(Edit::Append { name: name.into(), segments })?;
        Ok(rows)
    }

    /// Deletes rows of a table, named as in the version that `snapshot` shows; returns how many.
    ///
    /// # Errors
    /// `Catalog` when there is no such table, `Internal` when it has no such row, `Conflict` when one is deleted already.
    pub fn delete_rows(&mut self, name: &str, rows: &[RowId]) -> Result<u64> {
        let positions = self.view.table(name)?.positions_of(rows)?;
        self.delete(name, positions.into_iter().collect())
    }

    /// Deletes rows of a table by their positions in the version that `snapshot` shows; returns how many.
    ///
    /// # Errors
    /// As `delete_rows`.
    pub fn delete(&mut self, name: &str, rows: RowSet) -> Result<u64> {
        let count = rows.len();
        if count > 0 {
            self.apply(Edit::Delete { name: name.into(), rows: Arc::new(rows) })?;
        }
        Ok(count)
    }

    /// Puts other contents in a table's place.
    ///
    /// # Errors
    /// `Catalog` when there is no such table.
    pub fn replace(&mut self, name: &str, table: TableVersion) -> Result<()> {
        self.apply(Edit::Replace { name: name.into(), table: Arc::new(table) })
    }

    fn apply(&mut self, edit: Edit) -> Result<()> {
        // An edit that fails changes nothing.
        edit.apply(Arc::make_mut(&mut self.view))?;
        self.commit.edits.push(edit);
        Ok(())
    }

    /// The point to go back to should the next statement fail. O(1).
    pub fn savepoint(&self) -> Savepoint {
        Savepoint { edits: self.commit.edits.len(), view: Arc::clone(&self.view) }
    }

    /// Goes back to a savepoint of this transaction.
    pub fn rollback_to(&mut self, savepoint: Savepoint) {
        self.commit.edits.truncate(savepoint.edits);
        self.view = savepoint.view;
    }

    /// Drops the changes.
    pub fn rollback(self) {}

    /// Publishes the changes, all at once; returns the number of the state that shows them.
    ///
    /// # Errors
    /// `Conflict`, naming the table, when a transaction that committed meanwhile changed what this one changed; nothing
    /// is published then.
    pub fn commit(self) -> Result<u64> {
        if self.is_unchanged() {
            return Ok(self.base.version());
        }
        let Self { open, base, view, commit } = self;
        let catalog = Arc::clone(&open.0);
        let version = {
            let _turn = catalog.committing.lock().unwrap_or_else(PoisonError::into_inner);
            let current = catalog.snapshot();
            let mut next = match Arc::ptr_eq(&current, &base) {
                true => view,
                false => Arc::new(commit.rebase(&base, &current)?),
            };
            let version = current.version() + 1;
            Arc::make_mut(&mut next).set_version(version);
            *catalog.current.write().unwrap_or_else(PoisonError::into_inner) = next;
            version
        };
        drop(open);
        let deletes = commit.edits.iter().filter(|edit| matches!(edit, Edit::Delete { .. }));
        let names: BTreeSet<&str> = deletes.map(Edit::name).collect();
        for name in names {
            // The commit stands whatever comes of this; damage is an error of whoever reads it.
            let _ = catalog.tidy(name);
        }
        let changed = commit
            .edits
            .iter()
            .filter(|edit| matches!(edit, Edit::Append { .. } | Edit::Delete { .. }));
        let names: BTreeSet<&str> = changed.map(Edit::name).collect();
        for name in names {
            let _ = catalog.merge_indexes(name);
        }
        Ok(version)
    }
}
