//! CSV files as one relation.
//!
//! Invariant: columns are matched by name; the type of a column holds the samples of all files. Files stand in the order
//! of their paths; files without any text have no rows.
//! Next: `scan.rs`.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::{
    MORSEL_BYTES,
    convert::{Nulls, is_known},
    format::Formats,
    guess::Guess,
    input::{Compression, corrupt},
    options::{CsvOptions, CsvTypes},
    scan::{CsvScan, Lax},
    sniff::{Given, Sniffed, sniff},
};
use crate::{
    error::{Result, StorageError},
    files,
    ledger::ScanLedger,
    parquet::hive,
    prune::ColumnRange,
    scalar::Scalar,
    scan::{Relation, Scan, ScanSpec},
    types::{ColumnDef, LogicalType, Schema},
};

/// Fewest records that are looked at in each of many files.
const MIN_SAMPLE: usize = 256;

/// Where a column of the relation comes from in one file.
#[derive(Debug, Clone)]
pub(crate) enum ColumnSource {
    /// The n-th field of each record.
    Field(usize),
    /// The same value in all rows: a folder's key, the path, NULL for a column that the file lacks.
    Constant(Scalar),
}

/// One file of a dataset.
#[derive(Debug)]
pub(crate) struct FileEntry {
    /// The path as it was found.
    pub path: String,
    /// What it looks like.
    pub sniffed: Sniffed,
    /// One source per column of the relation.
    pub columns: Vec<ColumnSource>,
}

impl FileEntry {
    /// How many times more bytes the file has than the sample; 0 without a sample.
    fn scale(&self) -> f64 {
        let sniffed = &self.sniffed;
        if sniffed.whole {
            return 1.0;
        }
        let text = match sniffed.compression {
            Compression::Plain => sniffed.identity.size.saturating_sub(sniffed.start) as f64,
            // A guess: text takes about four times the space.
            Compression::Gzip | Compression::Zstd => sniffed.identity.size as f64 * 4.0,
        };
        (text / sniffed.sampled.1.max(1) as f64).max(1.0)
    }

    /// About how many rows it has.
    pub(crate) fn rows(&self) -> u64 {
        (self.sniffed.sampled.0 as f64 * self.scale()) as u64
    }

    /// About how many bytes a column's fields take.
    fn stored(&self, column: usize) -> u64 {
        let ColumnSource::Field(field) = self.columns[column] else { return 0 };
        let sampled = self.sniffed.field_bytes.get(field).copied().unwrap_or(0);
        (sampled as f64 * self.scale()) as u64
    }

    /// What is known of a column.
    pub(crate) fn range(&self, column: usize) -> ColumnRange {
        match self.columns.get(column) {
            Some(ColumnSource::Constant(value)) if !value.is_null() => ColumnRange {
                min: Some(value.clone()),
                max: Some(value.clone()),
                nulls: Some(0),
                no_nan: true,
            },
            _ => ColumnRange::default(),
        }
    }
}

/// CSV files as one relation: row order is file (by path), place in the file.
#[derive(Debug)]
pub struct CsvDataset {
    schema: Arc<Schema>,
    files: Arc<[FileEntry]>,
    formats: Arc<Formats>,
    nulls: Arc<Nulls>,
    lax: Lax,
    morsel_bytes: u64,
    /// Bytes that were read to open the dataset; the first scan is charged for them.
    sniffed_bytes: AtomicU64,
}

impl CsvDataset {
    /// Opens the files that the patterns name (files, folders, globs). Of each file the first records are read. Files
    /// whose names end in `.gz` and `.zst` are decompressed.
    ///
    /// # Errors
    /// `Io` when a pattern matches nothing or a file cannot be read; `Corrupt` when one is not sound CSV or all are
    /// empty; `SchemaMismatch` when the files disagree; `Value` for options that make no sense.
    pub fn open(patterns: &[String], options: &CsvOptions) -> Result<Arc<Self>> {
        Self::open_in_morsels(patterns, options, MORSEL_BYTES)
    }

    /// As `open`, with morsels of so many bytes.
    pub(crate) fn open_in_morsels(
        patterns: &[String],
        options: &CsvOptions,
        morsel_bytes: u64,
    ) -> Result<Arc<Self>> {
        let paths = files::expand(patterns, "csv")?;
        let formats =
            Formats::new(options.date_format.as_deref(), options.timestamp_format.as_deref())?;
        let few = (options.sample_rows / paths.len()).max(MIN_SAMPLE.min(options.sample_rows));
        let nulls = Nulls::of(options);
        let given = Given { options: options.clone(), formats, nulls, sample_rows: few };
        let (mut found, mut sniffed_bytes) = (Vec::new(), 0);
        let mut header: Option<Vec<String>> = None;
        for path in &paths {
            let (sniffed, bytes) = sniff(path, &given, header.as_deref())?;
            sniffed_bytes += bytes;
            let Some(sniffed) = sniffed else { continue };
            header.get_or_insert_with(|| sniffed.names.clone());
            found.push((path.clone(), sniffed));
        }
        if found.is_empty() {
            return Err(corrupt(&paths[0], "it is empty".into()));
        }
        let mut schema = typed(common_columns(&found, options.union_by_name)?, options)?;
        let mut entries: Vec<FileEntry> = Vec::with_capacity(found.len());
        for (path, sniffed) in found {
            let source = |def: &ColumnDef| match position(&sniffed.names, &def.name) {
                Some(field) => ColumnSource::Field(field),
                None => ColumnSource::Constant(Scalar::null(def.ty.clone())),
            };
            let columns = schema.columns.iter().map(source).collect();
            entries.push(FileEntry { path, sniffed, columns });
        }
        add_constants(&mut schema, &mut entries, options)?;
        Ok(Arc::new(Self {
            schema: Arc::new(schema),
            files: entries.into(),
            formats: Arc::new(given.formats),
            nulls: Arc::new(given.nulls),
            lax: Lax { padding: options.null_padding, skipping: options.ignore_errors },
            morsel_bytes,
            sniffed_bytes: sniffed_bytes.into(),
        }))
    }
}

fn position(names: &[String], name: &str) -> Option<usize> {
    names.iter().position(|known| known.eq_ignore_ascii_case(name))
}

/// The columns that all files share, and what their texts may be.
fn common_columns(files: &[(String, Sniffed)], union: bool) -> Result<Vec<(String, Guess)>> {
    let mut all: Vec<(String, Guess)> = Vec::new();
    for (number, (path, sniffed)) in files.iter().enumerate() {
        let mismatch = |message| StorageError::SchemaMismatch { path: path.clone(), message };
        for (name, guess) in sniffed.names.iter().zip(&sniffed.guesses) {
            let known = all.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(name));
            match known {
                Some((_, known)) => *known = known.join(*guess),
                None if number == 0 || union => all.push((name.clone(), *guess)),
                None => {
                    let first = &files[0].0;
                    return Err(mismatch(format!(
                        "it has a column '{name}', which '{first}' has not (union_by_name allows this)"
                    )));
                }
            }
        }
        let lacking = all.iter().find(|(name, _)| position(&sniffed.names, name).is_none());
        if let Some((name, _)) = lacking.filter(|_| !union) {
            return Err(mismatch(format!("it has no column '{name}' (union_by_name allows this)")));
        }
    }
    Ok(all)
}

/// The columns with their types: those that the options give, or those that the samples suggest.
fn typed(columns: Vec<(String, Guess)>, options: &CsvOptions) -> Result<Schema> {
    let sampled = |guess: &Guess| match options.all_varchar {
        true => LogicalType::Text,
        false => guess.ty(),
    };
    let mut defs: Vec<ColumnDef> =
        columns.iter().map(|(name, guess)| ColumnDef::new(name.clone(), sampled(guess))).collect();
    match &options.types {
        CsvTypes::Sampled => {}
        CsvTypes::Positional(types) => {
            if types.len() > defs.len() {
                let (given, columns) = (types.len(), defs.len());
                let message = format!("the option types gives {given} types for {columns} columns");
                return Err(StorageError::Value(message));
            }
            for (def, ty) in defs.iter_mut().zip(types) {
                def.ty = ty.clone();
            }
        }
        CsvTypes::Named(types) | CsvTypes::Columns(types) => {
            for (name, ty) in types {
                let def = defs.iter_mut().find(|def| def.name.eq_ignore_ascii_case(name));
                let Some(def) = def else {
                    let known: Vec<_> = columns.iter().map(|(name, _)| name.as_str()).collect();
                    return Err(StorageError::Value(format!(
                        "the option types names a column '{name}', which is none of: {}",
                        known.join(", ")
                    )));
                };
                def.ty = ty.clone();
            }
        }
    }
    match defs.iter().find(|def| !is_known(&def.ty)) {
        Some(def) => Err(StorageError::Unsupported(format!(
            "a column of type {} in CSV files (column '{}')",
            def.ty, def.name
        ))),
        None => Ok(Schema::new(defs)),
    }
}

/// Adds the columns that have one value per file; they take the place of columns of the same name.
fn add_constants(
    schema: &mut Schema,
    entries: &mut [FileEntry],
    options: &CsvOptions,
) -> Result<()> {
    let paths: Vec<String> = entries.iter().map(|entry| entry.path.clone()).collect();
    let mut add = |def: ColumnDef, values: Vec<Scalar>| {
        let known = schema.columns.iter().position(|c| c.name.eq_ignore_ascii_case(&def.name));
        for (entry, value) in entries.iter_mut().zip(values) {
            match known {
                Some(at) => entry.columns[at] = ColumnSource::Constant(value),
                None => entry.columns.push(ColumnSource::Constant(value)),
            }
        }
        match known {
            Some(at) => schema.columns[at] = def,
            None => schema.columns.push(def),
        }
    };
    if options.hive_partitioning != Some(false) {
        for column in hive::columns(&paths, options.hive_partitioning == Some(true))? {
            add(ColumnDef::new(column.name, column.ty), column.values);
        }
    }
    if options.filename {
        let values = paths.iter().map(|path| Scalar::text(path)).collect();
        add(ColumnDef { nullable: false, ..ColumnDef::new("filename", LogicalType::Text) }, values);
    }
    Ok(())
}

impl Relation for CsvDataset {
    fn schema(&self) -> &Schema {
        &self.schema
    }

    /// About: the sample, scaled to the size of the files.
    fn rows(&self) -> u64 {
        self.files.iter().map(FileEntry::rows).sum()
    }

    /// The bytes stored of a column are about those of its fields. What a scan asks of the files beyond the fields that
    /// it converts (delimiters, other columns, the search for quotes, the sample) is charged as footers.
    fn ledger(&self) -> Arc<ScanLedger> {
        let stored = |column: usize| self.files.iter().map(|entry| entry.stored(column)).sum();
        let columns = self.schema.columns.iter().enumerate();
        let ledger = ScanLedger::new(columns.map(|(i, def)| (def.name.clone(), stored(i))));
        ledger.charge_footer(self.sniffed_bytes.swap(0, Ordering::Relaxed));
        ledger
    }

    fn column_range(&self, column: usize) -> ColumnRange {
        let ranges = self.files.iter().map(|entry| entry.range(column));
        ranges.reduce(|all, one| all.union(&one)).unwrap_or_default()
    }

    fn distinct(&self, _column: usize) -> Option<u64> {
        None
    }

    fn scan(&self, spec: ScanSpec) -> Result<Box<dyn Scan>> {
        let (files, schema) = (Arc::clone(&self.files), Arc::clone(&self.schema));
        let (formats, nulls) = (Arc::clone(&self.formats), Arc::clone(&self.nulls));
        Ok(Box::new(CsvScan::new(
            files,
            schema,
            spec,
            (formats, nulls, self.lax),
            self.morsel_bytes,
        )?))
    }
}
