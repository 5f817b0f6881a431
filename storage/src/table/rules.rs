//! What a table demands of its rows beside the types of its columns: defaults, checks and keys.
//!
//! Invariants: texts of expressions are kept as SQL, which this crate does not read; keys name columns by ordinal. Keys
//! are enforced here (`indexes.rs`), whoever appends; defaults and checks by whoever computes the rows.
//! Next: `definition.rs`, `indexes.rs`.

use std::collections::BTreeMap;

use crate::{table::definition::IndexDefinition, types::Schema};

/// The rules of a table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableRules {
    /// The columns' default values, as SQL, by ordinal; NULL for the others.
    pub defaults: BTreeMap<usize, String>,
    /// Conditions that no row may make false.
    pub checks: Vec<CheckRule>,
    /// Columns whose values no two rows share.
    pub keys: Vec<KeyRule>,
    /// What CREATE INDEX made, in the order in which it did.
    pub indexes: Vec<IndexDefinition>,
}

/// A condition that no row may make false; NULL is as good as TRUE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckRule {
    /// What CONSTRAINT calls it.
    pub name: Option<String>,
    /// The condition, as SQL over the table's columns.
    pub sql: String,
}

/// Columns whose values no two rows share. Rows with a NULL among them share nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRule {
    /// What CONSTRAINT calls it.
    pub name: Option<String>,
    /// The ordinals of the columns, in the key's order.
    pub columns: Vec<usize>,
    /// Whether it is the PRIMARY KEY, whose columns are NOT NULL.
    pub primary: bool,
}

impl TableRules {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The indexes that a table has under these rules: those of its keys, then the others.
    pub fn definitions(&self) -> Vec<IndexDefinition> {
        let keys = self.keys.iter().map(IndexDefinition::of_key);
        keys.chain(self.indexes.iter().cloned()).collect()
    }
}

impl KeyRule {
    /// The key as SQL declares it: `PRIMARY KEY (a, b)`.
    pub fn describe(&self, schema: &Schema) -> String {
        IndexDefinition::of_key(self).describe(schema)
    }
}
