//! Opens a saved database: its manifest is read, its files are mapped.
//!
//! Invariant: no byte of a column is read; time and memory grow with the number of segments and columns alone.
//! Next: `stored.rs`.

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, OnceLock},
};

use crate::{
    catalog::Entry,
    disk::{
        folder::Folder,
        layout::{Entries, Layout},
        manifest::{DictionaryEntry, Manifest, SegmentEntry, TableEntry},
        map::MappedFile,
        random_number,
        save::SaveId,
        stored::{StoredColumn, StoredDictionary},
    },
    error::{Result, StorageError},
    table::{Column, Part, Segment, TableVersion},
    types::Schema,
    vector::DictionaryValues,
};

/// How often the folder is looked at again when a save takes files away while it is being opened.
const TRIES: usize = 20;

/// What a folder holds.
#[derive(Debug)]
#[non_exhaustive]
pub struct Opened {
    /// Tables and views with their names.
    pub entries: Vec<(String, Entry)>,
    /// The save that wrote it.
    pub id: SaveId,
}

/// Opens a folder. Columns are mapped, and read and verified when they are first used. O(segments x columns).
///
/// # Errors
/// `Io` when there is no database or a file is missing, `Corrupt` when the manifest is damaged or a file has another
/// length than it says, `Unsupported` when it is of another format version.
pub fn open(path: &Path) -> Result<Opened> {
    let folder = Folder::at(path);
    let mut tried = None;
    loop {
        let Some(manifest) = folder.manifest()? else {
            let message = match path.is_dir() {
                true => "the folder is no StoaDB database: it has no manifest",
                false => "there is no such folder",
            };
            let path = path.display().to_string();
            return Err(StorageError::Io { path, message: message.into() });
        };
        let save = manifest.save;
        match map(&folder, manifest) {
            // A save may have replaced the manifest and unlinked files meanwhile; the new one lists others.
            Err(StorageError::Io { .. })
                if tried.is_none_or(|(last, n)| last != save && n < TRIES) =>
            {
                tried = Some((save, tried.map_or(0, |(_, n)| n + 1)));
            }
            done => return Ok(Opened { entries: done?, id: SaveId(save) }),
        }
    }
}

fn map(folder: &Folder, manifest: Manifest) -> Result<Vec<(String, Entry)>> {
    let mut files = Files { folder, manifest: &manifest, dictionaries: HashMap::new() };
    let mut segments = HashMap::new();
    let schemas = manifest.schemas.iter();
    let mut entries: Vec<_> = schemas.map(|name| (name.clone(), Entry::Schema)).collect();
    for table in &manifest.tables {
        let version = files.table(table, &mut segments)?;
        entries.push((table.name.clone(), Entry::Table(Arc::new(version))));
    }
    let views = manifest.views.iter();
    entries.extend(views.map(|(name, view)| (name.clone(), Entry::View(Arc::new(view.clone())))));
    let macros = manifest.macros.iter();
    entries.extend(macros.map(|(name, text)| (name.clone(), Entry::Macro(Arc::new(text.clone())))));
    Ok(entries)
}

/// The error of a file that is not what the manifest says.
fn damaged(path: &Path, message: String) -> StorageError {
    let path = path.display().to_string();
    StorageError::Corrupt { path, row_group: None, column: None, message }
}

struct Files<'a> {
    folder: &'a Folder,
    manifest: &'a Manifest,
    dictionaries: HashMap<u64, Arc<StoredDictionary>>,
}

impl Files<'_> {
    fn table(
        &mut self,
        table: &TableEntry,
        segments: &mut HashMap<u64, Arc<Segment>>,
    ) -> Result<TableVersion> {
        let (mut settled, mut tail) = (vec![], vec![]);
        for entry in &table.parts {
            let segment = match segments.get(&entry.segment) {
                Some(segment) => Arc::clone(segment),
                None => {
                    let segment = Arc::new(self.segment(entry.segment, &table.schema)?);
                    segments.insert(entry.segment, Arc::clone(&segment));
                    segment
                }
            };
            let part = Part { segment, deletes: entry.deletes.clone() };
            if entry.settled { settled.push(part) } else { tail.push(part) }
        }
        let (schema, rules) = (Arc::clone(&table.schema), Arc::clone(&table.rules));
        TableVersion::restored(schema, rules, settled, tail)
    }

    fn segment(&mut self, number: u64, schema: &Schema) -> Result<Segment> {
        let path = self.folder.file(number);
        let damaged = |message: String| damaged(&path, message);
        let entry = self.manifest.segments.get(&number);
        let entry = entry.ok_or_else(|| damaged("the manifest does not list it".into()))?;
        let entry = SegmentEntry::read(entry.clone()).map_err(damaged)?;
        if entry.columns.len() != schema.len() {
            let (got, want) = (entry.columns.len(), schema.len());
            return Err(damaged(format!("{got} columns, the table has {want}")));
        }
        let file = Arc::new(MappedFile::open(&path, entry.file_bytes)?);
        let mut columns = vec![];
        for (column, def) in entry.columns.into_iter().zip(&schema.columns) {
            let bytes = column.dictionary_bytes;
            let dictionary = match &column.layout {
                Layout::Dictionary { entries: Entries::Own(layout), .. } => {
                    Some(Arc::new(StoredDictionary {
                        id: DictionaryValues::next_id(),
                        number: random_number(),
                        ty: def.ty.clone(),
                        bytes,
                        file: Arc::clone(&file),
                        layout: layout.clone(),
                        loaded: OnceLock::new(),
                    }))
                }
                Layout::Dictionary { entries: Entries::Shared(number), .. } => {
                    Some(self.dictionary(*number, bytes)?)
                }
                _ => None,
            };
            let stored = StoredColumn {
                name: def.name.clone(),
                file: Arc::clone(&file),
                layout: column.layout,
                dictionary,
                plain_bytes: column.plain_bytes,
                statistics: column.statistics,
                loaded: OnceLock::new(),
            };
            columns.push(Column::stored(def.ty.clone(), entry.rows, column.bytes, stored));
        }
        Ok(Segment::stored(number, entry.rows, columns))
    }

    fn dictionary(&mut self, number: u64, bytes: u64) -> Result<Arc<StoredDictionary>> {
        if let Some(dictionary) = self.dictionaries.get(&number) {
            return Ok(Arc::clone(dictionary));
        }
        let path = self.folder.file(number);
        let damaged = |message: String| damaged(&path, message);
        let entry = self.manifest.dictionaries.get(&number);
        let entry = entry.ok_or_else(|| damaged("the manifest does not list it".into()))?;
        let entry = DictionaryEntry::read(entry.clone()).map_err(damaged)?;
        let Some(column) = entry.schema.columns.into_iter().next() else {
            return Err(damaged("a dictionary without a type".into()));
        };
        let dictionary = Arc::new(StoredDictionary {
            id: DictionaryValues::next_id(),
            number,
            ty: column.ty,
            bytes,
            file: Arc::new(MappedFile::open(&path, entry.file_bytes)?),
            layout: entry.values,
            loaded: OnceLock::new(),
        });
        self.dictionaries.insert(number, Arc::clone(&dictionary));
        Ok(dictionary)
    }
}
