//! Saved databases: one folder of a manifest and immutable Arrow IPC files, mapped into memory when it is opened.
//!
//! Invariants: a file that a manifest lists never changes, so whoever mapped it may go on reading; the manifest is
//! replaced whole, so a save that is killed leaves the version before it; no byte of a column is used before the
//! checksum of its buffer was verified. `docs/ARCHITECTURE.md` draws the format.
//! Read the modules in the order below.

mod codec; // numbers and strings of the manifest
mod layout; // where a column's buffers lie in a file
mod physical; // arrays taken apart into buffers, and put together again
mod ipc; // buffers into an Arrow IPC file
mod map; // a file in memory, the only unsafe code
mod stored; // StoredColumn: verified and put together on first use
mod statistics; // statistics in the manifest
mod manifest; // Manifest: what a version of the folder holds
mod folder; // Folder: lock, atomic replacement, leftovers
mod save; // a snapshot into a folder
mod open; // a folder into catalog entries

#[cfg(test)]
mod tests;

pub(crate) use map::map_file;
pub(crate) use physical::{Parts, put_together};
pub(crate) use stored::{StoredColumn, random_number};

pub use folder::is_saved_database;
pub use open::{Opened, open};
pub use save::{Replace, SaveId, Saved, save};
