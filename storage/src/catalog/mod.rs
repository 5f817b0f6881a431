//! The catalog: names of tables, views and registered relations, and how they change.
//!
//! Invariants: a snapshot never changes; readers hold one and are never blocked; every change, DDL too, is a list of
//! plain `Edit`s that is published whole or not at all; the first transaction to commit wins.
//! Read the modules in the order below.

mod commit; // Edit, Commit: changes as plain data
pub mod name; // names with and without schemas
mod snapshot; // CatalogSnapshot: what a query sees
mod transaction; // Catalog, Transaction: who changes it and when
mod tidy; // compaction of tables

#[cfg(test)]
mod tests;

pub use commit::{Commit, Edit};
pub use snapshot::{CatalogSnapshot, Entry, EntryKind, Macro, View};
pub use tidy::{Background, Spawn};
pub use transaction::{Catalog, IfExists, Savepoint, Transaction};
