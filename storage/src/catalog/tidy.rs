//! Compaction of the catalog's tables and merging of their indexes: after a commit, and when VACUUM asks for it.
//!
//! Invariants: compaction is a state of the catalog of its own, published after the commit, so that a failure of it undoes
//! nothing; it takes the place of the very version that it was made of or is dropped. Without being asked it happens
//! only while no transaction is open, for deletes of an open one name rows by their places and would have to fail.
//! Merging an index's runs is no state at all: the version holds the same entries, in fewer runs.
//! Next: `../table/compact.rs`, `../table/indexes.rs`.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, PoisonError, atomic::Ordering},
};

use crate::{
    catalog::{snapshot::CatalogSnapshot, transaction::Catalog},
    error::Result,
    table::{TableVersion, Thoroughness},
};

/// Merges of up to so many entries, some 20 ms, are carried out by whoever commits. Tests get by with fewer.
const AT_ONCE: u64 = if cfg!(test) { 1 << 16 } else { 1 << 20 };

/// Runs a task on another thread, at some time.
pub type Spawn = dyn Fn(Box<dyn FnOnce() + Send>) + Send + Sync;

/// Who carries out work that nobody waits for.
pub struct Background(pub Box<Spawn>);

impl fmt::Debug for Background {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("background")
    }
}

/// The tables whose indexes are to be merged.
#[derive(Debug, Default)]
pub(super) struct Merging {
    /// By folded names.
    waiting: BTreeSet<String>,
    /// Whether somebody is at it.
    busy: bool,
}

impl Catalog {
    /// Compacts a table a little, if it needs it and no transaction is open.
    ///
    /// # Errors
    /// `Corrupt` when a column of a saved database is damaged; nothing is changed then.
    pub(crate) fn tidy(&self, name: &str) -> Result<()> {
        if self.open.load(Ordering::Relaxed) > 0 {
            return Ok(());
        }
        let snapshot = self.snapshot();
        let Ok(table) = snapshot.table(name) else { return Ok(()) };
        if !table.is_worth_moving() {
            return Ok(());
        }
        let groups = table.compaction(Thoroughness::Bounded);
        if groups.is_empty() {
            return Ok(());
        }
        let made = groups.into_iter().map(|group| {
            let segment = table.compacted_group(&group)?;
            Ok((group, segment))
        });
        let compacted = table.compacted(made.collect::<Result<_>>()?)?;
        self.put_compacted(name, table, compacted, false);
        Ok(())
    }

    /// Lets large merges of indexes be carried out by somebody else than whoever commits.
    pub fn set_background(&self, background: Background) {
        // Who set one first keeps it.
        let _ = self.background.set(background);
    }

    /// Merges the runs of a table's indexes where it is due: small ones at once, large ones in the background, if there is
    /// one.
    pub(super) fn merge_after_commit(self: &Arc<Self>, name: &str) {
        let snapshot = self.snapshot();
        let Ok(table) = snapshot.table(name) else { return };
        let due = table.indexes().iter().filter_map(|index| index.merge_due());
        let Some(entries) = due.map(|merge| merge.entries()).max() else { return };
        match self.background.get() {
            Some(Background(spawn)) if entries > AT_ONCE => {
                let (catalog, name) = (Arc::downgrade(self), name.to_owned());
                spawn(Box::new(move || {
                    if let Some(catalog) = catalog.upgrade() {
                        let _ = catalog.merge_indexes(&name);
                    }
                }));
            }
            // What fails is tried again after the next commit; the index answers as it is.
            _ => drop(self.merge_indexes(name)),
        }
    }

    /// Merges the runs of a table's indexes as far as it is due. Whoever comes while somebody else does it leaves it to
    /// him. `O(entries of the runs)`, amortised `O(log rows)` an entry.
    ///
    /// # Errors
    /// `Internal` never.
    pub fn merge_indexes(&self, name: &str) -> Result<()> {
        let lock = || self.merging.lock().unwrap_or_else(PoisonError::into_inner);
        {
            let mut merging = lock();
            merging.waiting.insert(name.to_lowercase());
            if merging.busy {
                return Ok(());
            }
            merging.busy = true;
        }
        let mut result = Ok(());
        loop {
            let next = {
                let mut merging = lock();
                let next = merging.waiting.pop_first();
                merging.busy = next.is_some();
                next
            };
            let Some(name) = next else { return result };
            result = result.and(self.merge_table(&name));
        }
    }

    fn merge_table(&self, name: &str) -> Result<()> {
        loop {
            let snapshot = self.snapshot();
            let Ok(table) = snapshot.table(name) else { return Ok(()) };
            let Some(due) = table.indexes().iter().find_map(|index| index.merge_due()) else {
                return Ok(());
            };
            let merged = due.run()?;
            // Versions made meanwhile have the same runs and more.
            let latest = self.snapshot();
            let mut taken = false;
            for table in [Ok(table), latest.table(name)].into_iter().flatten() {
                for index in table.indexes() {
                    taken |= index.take_merged(&merged);
                }
            }
            if !taken {
                return Ok(());
            }
        }
    }

    /// Puts a compacted version in the place of the one that it was made of. False when that is no longer the current
    /// one or, unless `always`, when a transaction is open. With `always`, open transactions that delete rows of the table
    /// will fail.
    pub fn put_compacted(
        &self,
        name: &str,
        before: &Arc<TableVersion>,
        compacted: TableVersion,
        always: bool,
    ) -> bool {
        let _turn = self.committing.lock().unwrap_or_else(PoisonError::into_inner);
        // Transactions begin under the read lock.
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let same = current.table(name).is_ok_and(|table| Arc::ptr_eq(table, before));
        if !same || (!always && self.open.load(Ordering::Relaxed) > 0) {
            return false;
        }
        let mut next = CatalogSnapshot::clone(&current);
        if next.update(name, compacted).is_err() {
            return false;
        }
        next.set_version(current.version() + 1);
        *current = Arc::new(next);
        true
    }
}
