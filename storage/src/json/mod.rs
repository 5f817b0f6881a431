//! JSON files read in place as one relation: an object on each line, in one array, or one behind the other.
//!
//! Invariants: row order is (file by path, place in the file); the morsels of a file depend on its size alone. Every byte
//! of a file is checked to be JSON. A value is converted exactly or the query fails with the file, the line and the column;
//! a key that is not there is NULL.
//! Next: `token.rs` (bytes to values), `guess.rs` (types), `dataset.rs` (the relation), `scan.rs` (morsels), `convert.rs`
//! (values to vectors).

mod convert; // values -> vectors
mod dataset; // JsonDataset: files as one relation
mod guess; // what values may be
mod scan; // morsels
mod sniff; // the layout of a file and the types of its keys
#[cfg(test)]
mod tests;
mod token; // values, keys, strings

pub use dataset::{JsonDataset, JsonOptions};
pub use sniff::JsonLayout;
pub use token::{Bad, items, members, skip_blanks, unescaped, value_end};

pub use crate::write::{json_string as write_string, json_value as write_value};
