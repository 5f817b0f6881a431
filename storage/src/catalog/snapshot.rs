//! What a query sees of the catalog: an immutable map of names to relations.
//!
//! Invariants: names are unique whatever their case; an entry's object number tells it from every other entry that had
//! or will have the name.
//! Next: `commit.rs`.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::{
    catalog::name::{MAIN, entry_name, is_temporary, schema_name, shown_name, split_name},
    error::{Result, StorageError},
    scan::Relation,
    table::TableVersion,
};

/// A view: a query under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// The query's text, which names all columns.
    pub sql: String,
}

/// A macro: an expression or a query with parameters, under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Macro {
    /// The text of the statement that creates it.
    pub sql: String,
}

/// What stands behind a name. Cheap to clone.
#[derive(Clone)]
pub enum Entry {
    /// A table in a version.
    Table(Arc<TableVersion>),
    /// A view.
    View(Arc<View>),
    /// Something that was registered from outside and can only be read.
    External(Arc<dyn Relation>),
    /// A schema (`name::schema_name`).
    Schema,
    /// A macro (`name::macro_name`).
    Macro(Arc<Macro>),
}

/// The kinds of entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A table.
    Table,
    /// A view.
    View,
    /// Something that was registered from outside.
    External,
    /// A schema.
    Schema,
    /// A macro.
    Macro,
}

impl fmt::Display for EntryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Table => "table",
            Self::View => "view",
            Self::External => "registered relation",
            Self::Schema => "schema",
            Self::Macro => "macro",
        })
    }
}

impl Entry {
    /// The entry's kind.
    pub fn kind(&self) -> EntryKind {
        match self {
            Self::Table(_) => EntryKind::Table,
            Self::View(_) => EntryKind::View,
            Self::External(_) => EntryKind::External,
            Self::Schema => EntryKind::Schema,
            Self::Macro(_) => EntryKind::Macro,
        }
    }

    /// What can be scanned; `None` for views, schemas and macros.
    pub fn relation(&self) -> Option<Arc<dyn Relation>> {
        match self {
            Self::Table(table) => Some(Arc::clone(table) as Arc<dyn Relation>),
            Self::View(_) | Self::Schema | Self::Macro(_) => None,
            Self::External(relation) => Some(Arc::clone(relation)),
        }
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Table(table) => write!(f, "table of {} rows", table.rows()),
            Self::View(view) => write!(f, "view {}", view.sql),
            Self::External(relation) => write!(f, "registered, {} rows", relation.rows()),
            Self::Schema => f.write_str("schema"),
            Self::Macro(text) => write!(f, "macro {}", text.sql),
        }
    }
}

#[derive(Debug, Clone)]
struct Slot {
    /// The name as it was declared.
    name: Arc<str>,
    object: u64,
    entry: Entry,
}

/// A state of the catalog.
#[derive(Debug, Clone, Default)]
pub struct CatalogSnapshot {
    slots: BTreeMap<Arc<str>, Slot>,
    version: u64,
}

/// Names that differ in case only are the same.
fn fold(name: &str) -> Arc<str> {
    name.to_lowercase().into()
}

impl CatalogSnapshot {
    /// The number of the state: every commit makes the next one.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// What stands behind a name, whatever its case. O(log names).
    pub fn relation(&self, name: &str) -> Option<&Entry> {
        self.slots.get(&fold(name)).map(|slot| &slot.entry)
    }

    /// A name as it was declared.
    pub fn declared_name(&self, name: &str) -> Option<&str> {
        self.slots.get(&fold(name)).map(|slot| slot.name.as_ref())
    }

    /// The names of all tables, views and registered relations as they were declared, with what stands behind them, in
    /// alphabetical order.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Entry)> {
        let all = self.all_entries();
        all.filter(|(_, entry)| !matches!(entry, Entry::Schema | Entry::Macro(_)))
    }

    /// The same with schemas and macros.
    pub fn all_entries(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.slots.values().map(|slot| (slot.name.as_ref(), &slot.entry))
    }

    /// Whether there is a schema that could hold an entry of a name.
    ///
    /// # Errors
    /// `Catalog` when there is none.
    pub(crate) fn check_schema(&self, name: &str) -> Result<()> {
        let (schema, within) = split_name(name);
        let known = within.is_empty() || schema == MAIN || is_temporary(schema);
        if known || self.relation(&schema_name(schema)).is_some() {
            return Ok(());
        }
        Err(StorageError::Catalog(format!("there is no schema '{schema}'")))
    }

    /// Whether a name is one that can be freed: that of a schema only when nothing is left in it.
    ///
    /// # Errors
    /// `Catalog`, naming what is left.
    pub(crate) fn check_empty(&self, name: &str) -> Result<()> {
        let (schema, within) = split_name(name);
        if !within.is_empty() {
            return Ok(());
        }
        let inside = |other: &&str| {
            let (of, within) = split_name(other);
            of.eq_ignore_ascii_case(schema) && !within.is_empty()
        };
        match self.all_entries().map(|(name, _)| name).find(inside) {
            None => Ok(()),
            Some(inside) => Err(StorageError::Catalog(format!(
                "the schema '{schema}' is not empty: it holds {}",
                shown_name(inside)
            ))),
        }
    }

    /// The table of a schema that has an index of a name, whatever its case, as they were declared. O(tables).
    pub fn table_of_index(&self, schema: &str, index: &str) -> Option<(&str, &Arc<TableVersion>)> {
        let mut tables = self.slots.values().filter_map(|slot| match &slot.entry {
            Entry::Table(table) => Some((slot.name.as_ref(), table)),
            _ => None,
        });
        let is = |name: &Option<String>| {
            name.as_ref().is_some_and(|name| name.to_lowercase() == index.to_lowercase())
        };
        tables.find(|(name, table)| {
            split_name(name).0.eq_ignore_ascii_case(schema)
                && table.rules().indexes.iter().any(|index| is(&index.name))
        })
    }

    /// Whether the names of a table's indexes are those of no other table of its schema.
    ///
    /// # Errors
    /// `Catalog`, naming the one that is.
    pub(crate) fn check_indexes(&self, name: &str, table: &TableVersion) -> Result<()> {
        let schema = split_name(name).0;
        for index in table.rules().indexes.iter().filter_map(|index| index.name.as_ref()) {
            if let Some((other, _)) = self.table_of_index(schema, index)
                && other.to_lowercase() != name.to_lowercase()
            {
                let (index, table) = (entry_name(schema, index), shown_name(other));
                let index = shown_name(&index);
                let message = format!("an index '{index}' exists already, of the table '{table}'");
                return Err(StorageError::Catalog(message));
            }
        }
        Ok(())
    }

    /// A table.
    ///
    /// # Errors
    /// `Catalog` when there is none of the name, or something else has it.
    pub fn table(&self, name: &str) -> Result<&Arc<TableVersion>> {
        match self.relation(name) {
            Some(Entry::Table(table)) => Ok(table),
            Some(entry) => {
                let name = shown_name(self.declared_name(name).unwrap_or(name));
                Err(StorageError::Catalog(format!("'{name}' is a {}, not a table", entry.kind())))
            }
            None => {
                let message = format!("there is no table '{}'", shown_name(name));
                Err(StorageError::Catalog(message))
            }
        }
    }

    /// The number that tells the entry of a name from all others that had the name; `None` when the name is free.
    pub(crate) fn object(&self, name: &str) -> Option<u64> {
        self.slots.get(&fold(name)).map(|slot| slot.object)
    }

    /// Puts a new entry behind a name, whatever was there.
    pub(crate) fn put(&mut self, name: &str, entry: Entry) {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let object = NEXT.fetch_add(1, Ordering::Relaxed);
        self.slots.insert(fold(name), Slot { name: name.into(), object, entry });
    }

    /// Puts the next version of a table in its place.
    pub(crate) fn update(&mut self, name: &str, table: TableVersion) -> Result<()> {
        self.table(name)?;
        if let Some(slot) = self.slots.get_mut(&fold(name)) {
            slot.entry = Entry::Table(Arc::new(table));
        }
        Ok(())
    }

    /// Frees a name.
    pub(crate) fn remove(&mut self, name: &str) {
        self.slots.remove(&fold(name));
    }

    /// Numbers the state.
    pub(crate) fn set_version(&mut self, version: u64) {
        self.version = version;
    }
}
