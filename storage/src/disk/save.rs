//! Saves a snapshot of the catalog to a folder.
//!
//! Invariants: until the manifest is replaced nothing of the version before is touched; files that it lists and that are
//! of the same segments are kept as they are; what is saved is one snapshot, whatever others commit meanwhile.
//! Next: `open.rs`.

use std::{collections::HashMap, fs, io, path::Path, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, Int32Array},
    buffer::ScalarBuffer,
    datatypes::{DataType, Field, Schema as ArrowSchema},
};
use bytes::Bytes;

use crate::{
    catalog::{
        CatalogSnapshot, Entry,
        name::{is_temporary, shown_name},
    },
    disk::{
        codec::Writer,
        folder::{Folder, file_name},
        ipc::{Body, IpcFile},
        layout::{ArrayLayout, Entries, Layout, Span, Width},
        manifest::{
            ColumnEntry, DictionaryEntry, Manifest, PartEntry, SegmentEntry, TableEntry, file_bytes,
        },
        physical::Parts,
        random_number, statistics,
    },
    encoding::Encoding,
    error::{Result, StorageError},
    table::{Column, Segment, TableVersion},
    types::{ColumnDef, Schema},
};

/// Tells one save from every other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SaveId(pub(crate) u64);

/// What a save may replace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replace {
    /// Nothing: the folder must hold no database.
    Nothing,
    /// This version: the folder must hold no other one.
    Version(SaveId),
    /// Whatever database the folder holds.
    Any,
}

/// What a save did.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Saved {
    /// Tells it from every other save.
    pub id: SaveId,
    /// How many tables were saved.
    pub tables: usize,
    /// How many views were saved.
    pub views: usize,
    /// The names of registered relations, which are not saved.
    pub skipped: Vec<String>,
    /// How many files of data were written.
    pub files_written: usize,
    /// How many files of data were kept from the version before.
    pub files_kept: usize,
    /// Bytes of the files that were written, the manifest included.
    pub bytes_written: u64,
}

/// Saves the tables and views of a snapshot to a folder, in place of what it held. The folder is made if there is none,
/// but not its parent. Registered relations are skipped. O(bytes that the folder does not hold yet).
///
/// # Errors
/// `Save` when the folder cannot be written, holds somebody else's files, or another save to it is under way; `Conflict`
/// when it holds a database that `replace` does not allow to be replaced; `Corrupt` when a column that has to be read is
/// damaged, or the folder's manifest is. The folder then holds what it held before. `SaveUnsettled`, with the save's number,
/// when the new version is in place, but the file system did not say that it is on the disk: should the machine stop, either
/// version may be found, and the files of both are kept.
pub fn save(snapshot: &CatalogSnapshot, path: &Path, replace: Replace) -> Result<Saved> {
    let folder = Folder::at(path);
    let _lock = folder.lock()?;
    let old = folder.manifest()?;
    let refused = match (&old, replace) {
        (Some(_), Replace::Nothing) => {
            Some("it holds a saved database, which this one neither opened nor saved")
        }
        (Some(old), Replace::Version(id)) if old.save != id.0 => {
            Some("it was saved by another database since this one opened or saved it")
        }
        _ => None,
    };
    if let Some(message) = refused {
        return Err(StorageError::Conflict(folder.failed(message).to_string()));
    }
    let mut work = Work::new(&folder, old.unwrap_or_default());
    let Err(error) = work.save(snapshot) else {
        folder.clean(&work.new);
        return Ok(work.saved);
    };
    // What the folder now holds decides, for the failure may have come after the manifest was replaced.
    let Ok(manifest) = folder.manifest() else { return Err(error) };
    if manifest.as_ref().is_some_and(|manifest| manifest.save == work.saved.id.0) {
        return Err(folder.unsettled(work.saved.id, error));
    }
    // The manifest that is read may be one that is not on the disk yet: the files of the one before are needed until it is.
    if folder.settle().is_ok() {
        folder.clean(&manifest.unwrap_or_default());
    }
    Err(error)
}

struct Work<'a> {
    folder: &'a Folder,
    old: Manifest,
    new: Manifest,
    /// By how many columns each dictionary is used.
    uses: HashMap<u64, usize>,
    saved: Saved,
}

impl<'a> Work<'a> {
    fn new(folder: &'a Folder, old: Manifest) -> Self {
        let id = random_number();
        let saved = Saved {
            id: SaveId(id),
            tables: 0,
            views: 0,
            skipped: vec![],
            files_written: 0,
            files_kept: 0,
            bytes_written: 0,
        };
        let new = Manifest { save: id, ..Manifest::default() };
        Self { folder, old, new, uses: HashMap::new(), saved }
    }

    fn save(&mut self, snapshot: &CatalogSnapshot) -> Result<()> {
        // What is of one connection alone ends with it.
        let saved = || snapshot.all_entries().filter(|(name, _)| !is_temporary(name));
        for (_, entry) in saved() {
            if let Entry::Table(table) = entry {
                self.count(table);
            }
        }
        for (name, entry) in saved() {
            match entry {
                Entry::Table(table) => self.table(name, table)?,
                Entry::View(view) => self.new.views.push((name.to_owned(), view.as_ref().clone())),
                Entry::External(_) => self.saved.skipped.push(shown_name(name)),
                Entry::Schema => self.new.schemas.push(name.to_owned()),
                Entry::Macro(text) => {
                    self.new.macros.push((name.to_owned(), text.as_ref().clone()))
                }
            }
        }
        (self.saved.tables, self.saved.views) = (self.new.tables.len(), self.new.views.len());
        self.saved.files_kept =
            self.new.segments.len() + self.new.dictionaries.len() - self.saved.files_written;
        let bytes = self.new.write()?;
        self.saved.bytes_written += bytes.len() as u64;
        self.folder.replace_manifest(&bytes).map_err(|error| self.folder.failed(error))
    }

    /// Counts by how many columns of the table each dictionary is used.
    fn count(&mut self, table: &TableVersion) {
        for part in table.parts() {
            let columns = part.segment.columns().iter();
            for number in columns.filter_map(Column::dictionary_number) {
                *self.uses.entry(number).or_default() += 1;
            }
        }
    }

    /// Keeps the file of a segment that the folder holds already. Its dictionaries may have been extended since, or be
    /// shared by now: then those are written. False when the file is missing.
    fn keep(&mut self, segment: &Segment) -> Result<bool> {
        let number = segment.number();
        let Some(bytes) = self.old.segments.get(&number).filter(|e| self.is_there(number, e))
        else {
            return Ok(false);
        };
        let mut bytes = bytes.clone();
        let Ok(mut entry) = SegmentEntry::read(bytes.clone()) else { return Ok(false) };
        let mut changed = false;
        for (entry, column) in entry.columns.iter_mut().zip(segment.columns()) {
            let Layout::Dictionary { entries, .. } = &mut entry.layout else { continue };
            let Some(number) = column.dictionary_number() else { return Ok(false) };
            match entries {
                Entries::Own(_) if !self.is_shared(number) => {}
                Entries::Shared(old) if *old == number && self.keep_dictionary(number) => {}
                _ => {
                    self.dictionary(number, column)?;
                    *entries = Entries::Shared(number);
                    (entry.bytes, entry.dictionary_bytes) =
                        (column.bytes(), column.dictionary_bytes());
                    changed = true;
                }
            }
        }
        if changed {
            bytes = entry.write().into();
        }
        self.new.segments.insert(number, bytes);
        Ok(true)
    }

    /// Whether a dictionary has a file of its own: if it has one already, or several columns use it.
    fn is_shared(&self, number: u64) -> bool {
        self.uses.get(&number).is_some_and(|&uses| uses > 1)
            || self.new.dictionaries.contains_key(&number)
            || self.old.dictionaries.get(&number).is_some_and(|entry| self.is_there(number, entry))
    }

    fn keep_dictionary(&mut self, number: u64) -> bool {
        if self.new.dictionaries.contains_key(&number) {
            return true;
        }
        match self.old.dictionaries.get(&number).filter(|entry| self.is_there(number, entry)) {
            None => false,
            Some(entry) => {
                self.new.dictionaries.insert(number, entry.clone());
                true
            }
        }
    }

    /// Whether a listed file is there, at its length.
    fn is_there(&self, number: u64, entry: &Bytes) -> bool {
        let found = fs::metadata(self.folder.file(number)).map(|file| file.len());
        matches!((found, file_bytes(entry)), (Ok(found), Ok(listed)) if found == listed)
    }

    fn table(&mut self, name: &str, table: &TableVersion) -> Result<()> {
        let schema = table.shared_schema();
        let mut parts = vec![];
        for (part, settled) in table.parts_settled() {
            let number = part.segment.number();
            if !self.new.segments.contains_key(&number) && !self.keep(&part.segment)? {
                self.segment(&part.segment, schema)?;
            }
            parts.push(PartEntry { segment: number, settled, deletes: part.deletes.clone() });
        }
        let (name, schema) = (name.to_owned(), Arc::clone(schema));
        let rules = Arc::clone(table.rules());
        self.new.tables.push(TableEntry { name, schema, rules, parts });
        Ok(())
    }

    /// Writes the file of a segment.
    fn segment(&mut self, segment: &Segment, schema: &Schema) -> Result<()> {
        let rows = segment.rows();
        let mut columns = vec![];
        for (column, def) in segment.columns().iter().zip(&schema.columns) {
            let encoding = column.encoding()?;
            let dictionary = column.dictionary_number().filter(|&number| self.is_shared(number));
            if let Some(number) = dictionary {
                self.dictionary(number, column)?;
            }
            columns.push(Pending::new(def, encoding, rows, dictionary)?);
        }
        let fields: Vec<Field> = columns.iter().map(|column| column.field.clone()).collect();
        let number = segment.number();
        let written = write_segment(
            &self.folder.file(number),
            &ArrowSchema::new(fields),
            rows as u64,
            &columns,
        );
        let (file_bytes, layouts) = written.map_err(|error| self.folder.failed(error))?;
        let columns = segment.columns().iter().zip(layouts).map(|(column, layout)| {
            let mut out = Writer::default();
            statistics::write(column.statistics(), column.ty(), &mut out);
            let dictionary_bytes = column.dictionary_bytes();
            let (bytes, plain_bytes) = (column.bytes(), column.plain_bytes());
            let statistics = out.finish().into();
            ColumnEntry { layout, bytes, dictionary_bytes, plain_bytes, statistics }
        });
        let entry = SegmentEntry { file_bytes, rows, columns: columns.collect() };
        self.new.segments.insert(number, entry.write().into());
        self.saved.files_written += 1;
        self.saved.bytes_written += file_bytes;
        Ok(())
    }

    /// Writes the file of a column's dictionary, unless it is there.
    fn dictionary(&mut self, number: u64, column: &Column) -> Result<()> {
        if self.keep_dictionary(number) {
            return Ok(());
        }
        let Some(values) = column.dictionary()? else { return Err(odd("a lost dictionary")) };
        let ty = column.ty();
        let schema = Schema::new(vec![ColumnDef::new("entries", ty.clone())]);
        let parts = parts_of(values.values(), &ty.to_arrow())?;
        let write = || {
            let arrow = schema.to_arrow();
            let mut file = IpcFile::create(&self.folder.file(number), &arrow)?;
            let mut body = Body::default();
            body.push(&parts);
            let spans = file.batch(values.values().len() as u64, &body)?;
            Ok((file.finish()?, parts.layout(&mut spans.into_iter())))
        };
        let written: io::Result<(u64, ArrayLayout)> = write();
        let (file_bytes, values) = written.map_err(|error| self.folder.failed(error))?;
        let entry = DictionaryEntry { file_bytes, schema, values };
        self.new.dictionaries.insert(number, entry.write()?.into());
        self.saved.files_written += 1;
        self.saved.bytes_written += file_bytes;
        Ok(())
    }
}

/// A column about to be written.
struct Pending<'a> {
    field: Field,
    encoding: &'a Encoding,
    /// The arrays of the record batch.
    arrays: Vec<Parts>,
    /// The entries of a dictionary that goes into the same file.
    entries: Option<Parts>,
    /// The file of a dictionary that does not.
    dictionary: Option<u64>,
}

impl<'a> Pending<'a> {
    fn new(
        def: &ColumnDef,
        encoding: &'a Encoding,
        rows: usize,
        dictionary: Option<u64>,
    ) -> Result<Self> {
        let ty = def.ty.to_arrow();
        let field = |ty: DataType| Field::new(&def.name, ty, true);
        let runs = |values: &DataType| {
            let ends = Field::new("run_ends", DataType::Int32, false);
            let values = Field::new("values", values.clone(), true);
            field(DataType::RunEndEncoded(ends.into(), values.into()))
        };
        let mut entries = None;
        let (field, arrays) = match encoding {
            Encoding::Constant(value) => {
                let ends = i32::try_from(rows).map_err(|_| odd("a segment's rows"))?;
                let ends = Parts::of(&Int32Array::from(vec![ends]))?;
                (runs(&ty), vec![ends, parts_of(value.array(), &ty)?])
            }
            Encoding::Plain(values) | Encoding::View(values) => {
                (field(ty.clone()), vec![parts_of(values, &ty)?])
            }
            Encoding::Narrow { base, offsets } => {
                let (base, meaning) = (base.to_string(), def.ty.to_string());
                let about = [("stoadb.base", base), ("stoadb.type", meaning)];
                let field = field(offsets.data_type().clone()).with_metadata(metadata(about));
                (field, vec![Parts::of(offsets)?])
            }
            Encoding::Dictionary { codes, values } => {
                let width = codes.data_type().clone();
                let field = match dictionary {
                    Some(number) => {
                        let about = [("stoadb.dictionary", file_name(number))];
                        field(width).with_metadata(metadata(about))
                    }
                    None => {
                        entries = Some(parts_of(values.values(), &ty)?);
                        field(DataType::Dictionary(width.into(), ty.into()))
                    }
                };
                (field, vec![Parts::of(codes)?])
            }
            Encoding::RunEnd { ends, values } => {
                // Ends are below 2^31: the same bits with a sign.
                let ends = ScalarBuffer::<i32>::from(ends.inner().clone());
                let ends = Parts::of(&Int32Array::new(ends, None))?;
                (runs(&ty), vec![ends, parts_of(values, &ty)?])
            }
        };
        Ok(Self { field, encoding, arrays, entries, dictionary })
    }

    /// Where the column lies, its buffers being the next of `spans`.
    fn layout(
        &self,
        spans: &mut impl Iterator<Item = Span>,
        entries: Option<ArrayLayout>,
    ) -> io::Result<Layout> {
        let mut arrays: Vec<_> = self.arrays.iter().map(|parts| parts.layout(spans)).collect();
        let last = arrays.pop().unwrap_or_default();
        let width =
            |array: &ArrayRef| Width::of(array.data_type()).ok_or(io::ErrorKind::InvalidData);
        Ok(match self.encoding {
            Encoding::Constant(_) => Layout::Constant(last),
            Encoding::Plain(_) => Layout::Plain(last),
            Encoding::View(_) => Layout::View(last),
            Encoding::Narrow { base, offsets } => {
                Layout::Narrow { base: *base, width: width(offsets)?, offsets: last }
            }
            Encoding::Dictionary { codes, .. } => {
                let entries = match self.dictionary {
                    Some(number) => Entries::Shared(number),
                    None => Entries::Own(entries.unwrap_or_default()),
                };
                Layout::Dictionary { width: width(codes)?, codes: last, entries }
            }
            Encoding::RunEnd { .. } => {
                Layout::RunEnd { ends: arrays.pop().unwrap_or_default(), values: last }
            }
        })
    }
}

fn write_segment(
    path: &Path,
    schema: &ArrowSchema,
    rows: u64,
    columns: &[Pending<'_>],
) -> io::Result<(u64, Vec<Layout>)> {
    let mut file = IpcFile::create(path, schema)?;
    let mut entries = vec![];
    for parts in columns.iter().filter_map(|column| column.entries.as_ref()) {
        let mut body = Body::default();
        body.push(parts);
        let length = parts.nodes.first().map_or(0, |&(length, _)| length);
        let spans = file.dictionary(entries.len(), length, &body)?;
        entries.push(parts.layout(&mut spans.into_iter()));
    }
    let mut body = Body::default();
    for column in columns {
        if column.arrays.len() > 1 {
            body.push_node(rows);
        }
        column.arrays.iter().for_each(|parts| body.push(parts));
    }
    let mut spans = file.batch(rows, &body)?.into_iter();
    let mut entries = entries.into_iter();
    let layout = |column: &Pending<'_>| {
        let own = column.entries.as_ref().and_then(|_| entries.next());
        column.layout(&mut spans, own)
    };
    let layouts = columns.iter().map(layout).collect::<io::Result<_>>()?;
    Ok((file.finish()?, layouts))
}

/// The parts of an array that has to be of a type.
fn parts_of(array: &ArrayRef, ty: &DataType) -> Result<Parts> {
    match array.data_type() == ty {
        true => Parts::of(array),
        false => Err(odd(&format!("a column of {ty} holds {}", array.data_type()))),
    }
}

fn odd(what: &str) -> StorageError {
    StorageError::Internal(format!("cannot be saved: {what}"))
}

fn metadata<const N: usize>(about: [(&str, String); N]) -> HashMap<String, String> {
    about.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}
