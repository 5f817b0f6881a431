//! Parquet files as one relation.
//!
//! Invariant: all files have the same columns under the same names and types, or the dataset does not open; files stand
//! in the order of their paths.
//! Next: `scan.rs`.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::{
    footer::{Footer, FooterCache},
    hive,
    scan::ParquetScan,
    stats::group_range,
};
use crate::{
    error::{Result, StorageError},
    files,
    ledger::ScanLedger,
    prune::ColumnRange,
    scalar::Scalar,
    scan::{Relation, Scan, ScanSpec},
    table::Statistics,
    types::{ColumnDef, LogicalType, Schema},
};

/// How files become a relation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ParquetOptions {
    /// Whether `key=value` folders are columns. `None`: if all files have the same keys.
    pub hive_partitioning: Option<bool>,
    /// Whether files may lack columns that others have; these are NULL then.
    pub union_by_name: bool,
    /// Whether a last column `filename` holds each row's path.
    pub filename: bool,
}

/// Where a column of the relation comes from in one file.
#[derive(Debug, Clone)]
pub(crate) enum ColumnSource {
    /// A root column of the file.
    File(usize),
    /// The same value in all rows: a folder's key, the path, NULL for a column that the file lacks.
    Constant(Scalar),
}

/// One file of a dataset.
#[derive(Debug)]
pub(crate) struct FileEntry {
    /// The path as it was found.
    pub path: String,
    /// What its footer says.
    pub footer: Arc<Footer>,
    /// One source per column of the relation.
    pub columns: Vec<ColumnSource>,
}

impl FileEntry {
    /// What is known of a column in a row group.
    pub(crate) fn group_range(&self, group: usize, column: usize, schema: &Schema) -> ColumnRange {
        let (Some(source), Some(def)) = (self.columns.get(column), schema.columns.get(column))
        else {
            return ColumnRange::default();
        };
        let metadata = &self.footer.metadata;
        match source {
            ColumnSource::Constant(value) if value.is_null() => {
                let nulls = u64::try_from(metadata.row_group(group).num_rows()).ok();
                ColumnRange { nulls, no_nan: true, ..ColumnRange::default() }
            }
            ColumnSource::Constant(value) => ColumnRange {
                min: Some(value.clone()),
                max: Some(value.clone()),
                nulls: Some(0),
                no_nan: true,
            },
            ColumnSource::File(source) => {
                let column = &self.footer.schema.columns[*source];
                match column.is_flat() {
                    true => group_range(metadata, group, column.leaves.start, &def.ty),
                    false => ColumnRange { no_nan: true, ..ColumnRange::default() },
                }
            }
        }
    }

    /// What a footer knows of a column in a row group, for answers in place of its rows: the number of NULLs, and bounds
    /// that are values of the column. `None` where it does not say; no bounds where it may have cut them, and for floats,
    /// whose NaN it leaves out.
    pub(crate) fn group_statistics(
        &self,
        group: usize,
        column: usize,
        schema: &Schema,
    ) -> Option<Statistics> {
        let known = self.group_range(group, column, schema);
        let rows = usize::try_from(self.footer.metadata.row_group(group).num_rows()).ok()?;
        let nulls = usize::try_from(known.nulls?).ok().filter(|&nulls| nulls <= rows)?;
        let ty = &schema.columns.get(column)?.ty;
        let exact = !ty.is_float() && self.has_exact_bounds(group, column);
        let (min, max) = if exact { (known.min, known.max) } else { (None, None) };
        Some(Statistics { rows, nulls, min, max, ..Statistics::default() })
    }

    /// Whether the bounds of a row group are values of the column.
    fn has_exact_bounds(&self, group: usize, column: usize) -> bool {
        let Some(ColumnSource::File(source)) = self.columns.get(column) else { return true };
        let leaf = self.footer.schema.columns[*source].leaves.start;
        let chunk = self.footer.metadata.row_group(group).column(leaf);
        chunk.statistics().is_some_and(|known| known.min_is_exact() && known.max_is_exact())
    }

    /// Compressed bytes of a column.
    fn stored(&self, column: usize) -> u64 {
        let ColumnSource::File(source) = &self.columns[column] else { return 0 };
        let leaves = &self.footer.schema.columns[*source].leaves;
        let groups = self.footer.metadata.row_groups().iter();
        let chunks = groups.flat_map(|group| &group.columns()[leaves.clone()]);
        chunks.map(|chunk| u64::try_from(chunk.compressed_size()).unwrap_or(0)).sum()
    }
}

/// Parquet files as one relation: row order is file (by path), row group, row.
#[derive(Debug)]
pub struct ParquetDataset {
    schema: Arc<Schema>,
    files: Arc<[FileEntry]>,
    rows: u64,
    /// Bytes of footers that were read to open the dataset; the first scan is charged for them.
    footer_bytes: AtomicU64,
}

impl ParquetDataset {
    /// Opens the files that the patterns name (files, folders, globs). Footers come from the cache or are read into it;
    /// nothing else is read.
    ///
    /// # Errors
    /// `Io` when a pattern matches nothing or a file cannot be read; `Corrupt` when one is not sound Parquet;
    /// `SchemaMismatch` when the files disagree; `Unsupported` for types and features that are not read.
    pub fn open(
        patterns: &[String],
        options: &ParquetOptions,
        cache: &FooterCache,
    ) -> Result<Arc<Self>> {
        let paths = files::expand(patterns, "parquet")?;
        let mut footer_bytes = 0;
        let mut footers = Vec::with_capacity(paths.len());
        for path in &paths {
            let (footer, bytes) = cache.get(path)?;
            footer_bytes += bytes;
            footers.push(footer);
        }
        let mut schema = common_schema(&paths, &footers, options.union_by_name)?;
        let mut entries: Vec<FileEntry> = Vec::with_capacity(paths.len());
        for (path, footer) in paths.iter().zip(&footers) {
            let source = |def: &ColumnDef| match footer.schema.find(&def.name) {
                Some(column) => ColumnSource::File(column),
                None => ColumnSource::Constant(Scalar::null(def.ty.clone())),
            };
            let columns = schema.columns.iter().map(source).collect();
            entries.push(FileEntry { path: path.clone(), footer: Arc::clone(footer), columns });
        }
        if options.hive_partitioning != Some(false) {
            for column in hive::columns(&paths, options.hive_partitioning == Some(true))? {
                let nullable = column.values.iter().any(Scalar::is_null);
                let def = ColumnDef { name: column.name, ty: column.ty, nullable };
                add_constant(&mut schema, &mut entries, def, column.values);
            }
        }
        if options.filename {
            let values = paths.iter().map(|path| Scalar::text(path)).collect();
            let ty = LogicalType::Text;
            let def = ColumnDef { name: "filename".into(), ty, nullable: false };
            add_constant(&mut schema, &mut entries, def, values);
        }
        let groups = footers.iter().flat_map(|footer| footer.metadata.row_groups());
        let rows = groups.map(|group| u64::try_from(group.num_rows()).unwrap_or(0)).sum();
        Ok(Arc::new(Self {
            schema: Arc::new(schema),
            files: entries.into(),
            rows,
            footer_bytes: AtomicU64::new(footer_bytes),
        }))
    }

    /// The paths of the files, in row order.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(|entry| entry.path.as_str())
    }

    fn groups(&self) -> impl Iterator<Item = (&FileEntry, usize)> {
        self.files.iter().flat_map(|entry| {
            (0..entry.footer.metadata.num_row_groups()).map(move |group| (entry, group))
        })
    }
}

/// Adds a column of one value per file, or puts it in the place of a column of the same name.
fn add_constant(
    schema: &mut Schema,
    entries: &mut [FileEntry],
    def: ColumnDef,
    values: Vec<Scalar>,
) {
    let known = schema.columns.iter().position(|c| c.name.eq_ignore_ascii_case(&def.name));
    let at = known.unwrap_or(schema.len());
    for (entry, value) in entries.iter_mut().zip(values) {
        match entry.columns.get_mut(at) {
            Some(source) => *source = ColumnSource::Constant(value),
            None => entry.columns.push(ColumnSource::Constant(value)),
        }
    }
    match schema.columns.get_mut(at) {
        Some(known) => *known = def,
        None => schema.columns.push(def),
    }
}

/// The columns that all files share.
fn common_schema(paths: &[String], footers: &[Arc<Footer>], union: bool) -> Result<Schema> {
    let mut all: Vec<ColumnDef> = Vec::new();
    for (number, (path, footer)) in paths.iter().zip(footers).enumerate() {
        let mismatch = |message| StorageError::SchemaMismatch { path: path.clone(), message };
        let columns = &footer.schema.columns;
        for column in columns {
            let def = &column.def;
            let known = all.iter_mut().find(|known| known.name == def.name);
            match known {
                Some(known) if !same_type(&known.ty, &def.ty) => {
                    let (name, found, expected) = (&def.name, &def.ty, &known.ty);
                    return Err(mismatch(format!(
                        "column '{name}' is {found} where '{}' has {expected}",
                        paths[0]
                    )));
                }
                Some(known) => known.nullable |= def.nullable,
                None if number == 0 => all.push(def.clone()),
                None if union => all.push(ColumnDef { nullable: true, ..def.clone() }),
                None => {
                    let name = &def.name;
                    return Err(mismatch(format!(
                        "it has a column '{name}', which '{}' has not (union_by_name allows this)",
                        paths[0]
                    )));
                }
            }
        }
        for known in &mut all {
            if footer.schema.find(&known.name).is_some() {
                continue;
            }
            if !union {
                let name = &known.name;
                return Err(mismatch(format!(
                    "it has no column '{name}' (union_by_name allows this)"
                )));
            }
            known.nullable = true;
        }
    }
    Ok(Schema::new(all))
}

/// Whether types are the same but for the names of list items and map entries.
fn same_type(left: &LogicalType, right: &LogicalType) -> bool {
    left == right || left.to_arrow().equals_datatype(&right.to_arrow())
}

impl Relation for ParquetDataset {
    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn rows(&self) -> u64 {
        self.rows
    }

    fn ledger(&self) -> Arc<ScanLedger> {
        let stored = |column: usize| self.files.iter().map(|entry| entry.stored(column)).sum();
        let columns = self.schema.columns.iter().enumerate();
        let ledger = ScanLedger::new(columns.map(|(i, def)| (def.name.clone(), stored(i))));
        ledger.charge_footer(self.footer_bytes.swap(0, Ordering::Relaxed));
        ledger
    }

    fn column_range(&self, column: usize) -> ColumnRange {
        self.groups()
            .map(|(entry, group)| entry.group_range(group, column, &self.schema))
            .reduce(|all, one| all.union(&one))
            .unwrap_or_default()
    }

    fn distinct(&self, column: usize) -> Option<u64> {
        let constants: Option<Vec<_>> = self
            .files
            .iter()
            .map(|entry| match entry.columns.get(column) {
                Some(ColumnSource::Constant(value)) => Some(value.to_string()),
                _ => None,
            })
            .collect();
        if let Some(mut constants) = constants {
            constants.sort_unstable();
            constants.dedup();
            return Some(constants.len() as u64);
        }
        // Of several row groups only a lower bound is known.
        let counts = self.groups().map(|(entry, group)| match entry.columns.get(column)? {
            ColumnSource::File(source) => {
                let leaf = entry.footer.schema.columns[*source].leaves.start;
                let chunk = entry.footer.metadata.row_group(group).column(leaf);
                chunk.statistics()?.distinct_count_opt()
            }
            ColumnSource::Constant(_) => Some(1),
        });
        counts.collect::<Option<Vec<_>>>()?.into_iter().max()
    }

    fn decodes(&self) -> bool {
        true
    }

    fn scan(&self, spec: ScanSpec) -> Result<Box<dyn Scan>> {
        let (files, schema) = (Arc::clone(&self.files), Arc::clone(&self.schema));
        Ok(Box::new(ParquetScan::new(files, schema, spec)?))
    }
}
