//! Compaction of the catalog's tables and merging of their indexes: after a commit, and when VACUUM asks for it.
//!
//! Invariants: compaction is a state of the catalog of its own, published after the commit, so that a failure of it undoes
//! nothing; it takes the place of the very version that it was made of or is dropped. Without being asked it happens
//! only while no transaction is open, for deletes of an open one name rows by their places and would have to fail.
//! Merging an index's runs is no state at all: the version holds the same entries, in fewer runs.
//! Next: `../table/compact.rs`, `../table/indexes.rs`.

use std::sync::{Arc, PoisonError, atomic::Ordering};

use crate::{
    catalog::{snapshot::CatalogSnapshot, transaction::Catalog},
    error::Result,
    table::{TableVersion, Thoroughness},
};

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

    /// Merges the runs of a table's indexes as far as it is due. Whoever comes while somebody else does it leaves it to
    /// him. `O(rows of the runs)`, amortised `O(log rows)` an entry.
    ///
    /// # Errors
    /// `Internal` never.
    pub fn merge_indexes(&self, name: &str) -> Result<()> {
        let Ok(_turn) = self.merging.try_lock() else { return Ok(()) };
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
