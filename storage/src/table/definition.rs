//! What an index of a table is over, as plain data.
//!
//! Invariant: columns are named by ordinal, so that renaming one changes nothing.
//! Next: `indexes.rs`.

use crate::{
    error::{Result, StorageError},
    index::{IncludeColumn, IndexSpec, KeyColumn},
    table::rules::KeyRule,
    types::{ColumnDef, LogicalType, Schema},
};

/// Where an index comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexKind {
    /// `CREATE INDEX`.
    Plain,
    /// `CREATE UNIQUE INDEX`.
    Unique,
    /// The constraint `UNIQUE`.
    UniqueKey,
    /// The constraint `PRIMARY KEY`.
    PrimaryKey,
}

/// A column of an index's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexKey {
    /// The ordinal of the table's column.
    pub column: usize,
    /// Whether greater values come first. NULLs come last in any case.
    pub descending: bool,
}

/// A column that an index stores beside its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexInclude {
    /// The ordinal of the table's column.
    pub column: usize,
    /// Whether the index answers quantiles of it.
    pub quantiles: bool,
}

/// An index of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexDefinition {
    /// The name within the table's schema; of a constraint what CONSTRAINT calls it, if it is called anything.
    pub name: Option<String>,
    /// Where it comes from.
    pub kind: IndexKind,
    /// The columns of the key, at least one.
    pub keys: Vec<IndexKey>,
    /// The columns stored beside it.
    pub includes: Vec<IndexInclude>,
}

impl IndexDefinition {
    /// The index that enforces a key of a table.
    pub fn of_key(rule: &KeyRule) -> Self {
        let key = |&column: &usize| IndexKey { column, descending: false };
        Self {
            name: rule.name.clone(),
            kind: if rule.primary { IndexKind::PrimaryKey } else { IndexKind::UniqueKey },
            keys: rule.columns.iter().map(key).collect(),
            includes: Vec::new(),
        }
    }

    /// Whether no two rows share a key. Rows with a NULL in theirs share nothing.
    pub fn is_unique(&self) -> bool {
        self.kind != IndexKind::Plain
    }

    /// Whether a constraint of the table makes it, not CREATE INDEX.
    pub fn is_constraint(&self) -> bool {
        matches!(self.kind, IndexKind::UniqueKey | IndexKind::PrimaryKey)
    }

    /// Whether the index holds what another one would.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        self.keys == other.keys && self.includes == other.includes
    }

    /// Whether it needs a column.
    pub fn uses(&self, column: usize) -> bool {
        self.keys.iter().any(|key| key.column == column)
            || self.includes.iter().any(|include| include.column == column)
    }

    /// The same over columns of other ordinals; `None` when one of its columns has none.
    pub fn with_columns(&self, ordinal: impl Fn(usize) -> Option<usize>) -> Option<Self> {
        let key = |key: &IndexKey| Some(IndexKey { column: ordinal(key.column)?, ..*key });
        let include = |include: &IndexInclude| {
            Some(IndexInclude { column: ordinal(include.column)?, ..*include })
        };
        Some(Self {
            name: self.name.clone(),
            kind: self.kind,
            keys: self.keys.iter().map(key).collect::<Option<_>>()?,
            includes: self.includes.iter().map(include).collect::<Option<_>>()?,
        })
    }

    /// The index as SQL declares it: `UNIQUE INDEX i (a, b DESC) INCLUDE (c)`, `PRIMARY KEY (a, b)`.
    pub fn describe(&self, schema: &Schema) -> String {
        let name = self.name.as_deref().unwrap_or_default();
        let head = match self.kind {
            IndexKind::Plain => format!("INDEX {name}"),
            IndexKind::Unique => format!("UNIQUE INDEX {name}"),
            kind => {
                let kind = if kind == IndexKind::PrimaryKey { "PRIMARY KEY" } else { "UNIQUE" };
                let named = |name: &String| format!("CONSTRAINT {name} {kind}");
                self.name.as_ref().map_or_else(|| kind.into(), named)
            }
        };
        format!("{head} {}", self.columns(schema, str::to_owned))
    }

    /// The columns as SQL names them: `(a, b DESC) INCLUDE (c QUANTILES)`.
    pub fn columns(&self, schema: &Schema, quoted: impl Fn(&str) -> String) -> String {
        let name = |column: usize| schema.columns.get(column).map_or("?", |c| c.name.as_str());
        let key = |key: &IndexKey| {
            let order = if key.descending { " DESC" } else { "" };
            format!("{}{order}", quoted(name(key.column)))
        };
        let include = |include: &IndexInclude| {
            let quantiles = if include.quantiles { " QUANTILES" } else { "" };
            format!("{}{quantiles}", quoted(name(include.column)))
        };
        let keys: Vec<String> = self.keys.iter().map(key).collect();
        let includes: Vec<String> = self.includes.iter().map(include).collect();
        match includes.is_empty() {
            true => format!("({})", keys.join(", ")),
            false => format!("({}) INCLUDE ({})", keys.join(", "), includes.join(", ")),
        }
    }

    /// About how many bytes building the index takes at its highest, of so many rows of a table with the given columns.
    pub fn build_bytes(&self, schema: &Schema, rows: u64) -> u64 {
        let width = |column: usize| match schema.columns.get(column).map(|column| &column.ty) {
            Some(LogicalType::Text | LogicalType::Blob) => 32,
            Some(LogicalType::Decimal { .. } | LogicalType::Interval) => 16,
            _ => 8,
        };
        let keys: u64 = self.keys.iter().map(|key| width(key.column)).sum();
        let includes: u64 = self.includes.iter().map(|include| 2 * width(include.column)).sum();
        // Keys twice while they are sorted, with their numbers; row ids.
        rows.saturating_mul(2 * keys + 12 + includes)
    }

    /// What the index is over, of a table with the given columns.
    ///
    /// # Errors
    /// `Unsupported`, naming the type, when a column cannot be indexed; `Internal` when there is no such column.
    pub fn spec(&self, schema: &Schema) -> Result<IndexSpec> {
        let column = |ordinal: usize| -> Result<&ColumnDef> {
            let missing =
                || StorageError::Internal("an index over a column that is not there".into());
            schema.columns.get(ordinal).ok_or_else(missing)
        };
        let key = |key: &IndexKey| {
            Ok(KeyColumn { ty: column(key.column)?.ty.clone(), descending: key.descending })
        };
        let include = |include: &IndexInclude| {
            let ty = column(include.column)?.ty.clone();
            Ok(IncludeColumn { ty, quantiles: include.quantiles })
        };
        let spec = IndexSpec {
            keys: self.keys.iter().map(key).collect::<Result<_>>()?,
            includes: self.includes.iter().map(include).collect::<Result<_>>()?,
        };
        spec.check()?;
        Ok(spec)
    }
}
