//! What a table demands of its rows beside the types of its columns: defaults, checks and keys.
//!
//! Invariants: texts of expressions are kept as SQL, which this crate does not read; keys name columns by ordinal. Keys
//! are enforced here (`unique.rs`), whoever appends; defaults and checks by whoever computes the rows.
//! Next: `unique.rs`.

use std::collections::BTreeMap;

use crate::types::Schema;

/// The rules of a table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableRules {
    /// The columns' default values, as SQL, by ordinal; NULL for the others.
    pub defaults: BTreeMap<usize, String>,
    /// Conditions that no row may make false.
    pub checks: Vec<CheckRule>,
    /// Columns whose values no two rows share.
    pub keys: Vec<KeyRule>,
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
}

impl KeyRule {
    /// The key as SQL declares it: `PRIMARY KEY (a, b)`.
    pub fn describe(&self, schema: &Schema) -> String {
        let kind = if self.primary { "PRIMARY KEY" } else { "UNIQUE" };
        let columns = self.columns.iter().filter_map(|&column| schema.columns.get(column));
        let columns: Vec<&str> = columns.map(|column| column.name.as_str()).collect();
        match &self.name {
            Some(name) => format!("CONSTRAINT {name} {kind} ({})", columns.join(", ")),
            None => format!("{kind} ({})", columns.join(", ")),
        }
    }
}
