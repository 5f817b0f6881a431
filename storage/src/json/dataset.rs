//! JSON files as one relation.
//!
//! Invariant: columns are the keys of the objects of all files, by name; the type of a column holds the samples of all
//! files. Files stand in the order of their paths.
//! Next: `scan.rs`.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::{
    convert::is_known,
    guess::Guess,
    scan::JsonScan,
    sniff::{JsonLayout, Sniffed, sniff},
};
use crate::{
    csv::{MORSEL_BYTES, format::Formats, input::Compression},
    error::{Result, StorageError},
    files,
    ledger::ScanLedger,
    parquet::hive,
    prune::ColumnRange,
    scalar::Scalar,
    scan::{Relation, Scan, ScanSpec},
    types::{ColumnDef, LogicalType, Schema, distinct_names},
};

/// Fewest values that are looked at in each of many files.
const MIN_SAMPLE: usize = 256;

/// How JSON files become a relation. What is `None` is found out from the files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonOptions {
    /// The columns: keys and their types. Other keys are left out then.
    pub columns: Option<Vec<(String, LogicalType)>>,
    /// How the values of a file stand in it.
    pub layout: Option<JsonLayout>,
    /// `none`, `gzip` or `zstd`; by the ends of the names without it.
    pub compression: Option<String>,
    /// Format of dates, with the specifiers of `strptime`; ISO 8601 without one.
    pub date_format: Option<String>,
    /// Format of timestamps, likewise.
    pub timestamp_format: Option<String>,
    /// From how many values of each file the types are taken.
    pub sample_rows: usize,
    /// Whether `key=value` folders are columns. `None`: if all files have the same keys.
    pub hive_partitioning: Option<bool>,
    /// Whether a last column `filename` holds each row's path.
    pub filename: bool,
}

impl Default for JsonOptions {
    fn default() -> Self {
        Self {
            columns: None,
            layout: None,
            compression: None,
            date_format: None,
            timestamp_format: None,
            sample_rows: 20_480,
            hive_partitioning: None,
            filename: false,
        }
    }
}

/// Where a column comes from.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// A key of each object.
    Key(String),
    /// The value itself, where the files hold no objects.
    Value,
    /// The same value in all rows of a file.
    Constant(Vec<Scalar>),
}

/// What all scans of a dataset share.
#[derive(Debug)]
pub(crate) struct Files {
    pub schema: Schema,
    /// One per column.
    pub sources: Vec<Source>,
    /// Paths and what they look like.
    pub files: Vec<(String, Sniffed)>,
    pub formats: Formats,
    /// Whether keys that are no columns are an error.
    pub strict: bool,
    pub morsel_bytes: u64,
}

/// JSON files as one relation: row order is file (by path), place in the file.
#[derive(Debug)]
pub struct JsonDataset {
    files: Arc<Files>,
    /// Bytes that were read to open the dataset; the first scan is charged for them.
    sniffed_bytes: AtomicU64,
}

impl JsonDataset {
    /// Opens the files that the patterns name (files, folders, globs). Of each file the first values are read. Files
    /// whose names end in `.gz` and `.zst` are decompressed.
    ///
    /// # Errors
    /// `Io` when a pattern matches nothing or a file cannot be read; `Corrupt` when one is not JSON; `Value` for options
    /// that make no sense.
    pub fn open(patterns: &[String], options: &JsonOptions) -> Result<Arc<Self>> {
        Self::open_in_morsels(patterns, options, MORSEL_BYTES)
    }

    /// As `open`, with morsels of so many bytes.
    pub(crate) fn open_in_morsels(
        patterns: &[String],
        options: &JsonOptions,
        morsel_bytes: u64,
    ) -> Result<Arc<Self>> {
        let paths = files::expand(patterns, "json")?;
        let formats =
            Formats::new(options.date_format.as_deref(), options.timestamp_format.as_deref())?;
        let few = (options.sample_rows / paths.len()).max(MIN_SAMPLE.min(options.sample_rows));
        let few = if options.columns.is_some() { 1 } else { few };
        let (mut found, mut sniffed_bytes, mut guess) = (Vec::new(), 0, Guess::Null);
        for path in &paths {
            let compression = Compression::chosen(options.compression.as_deref(), path)?;
            let (sniffed, bytes) = sniff(path, compression, options.layout, &formats, few)?;
            sniffed_bytes += bytes;
            guess = guess.join(sniffed.guess.clone());
            found.push((path.clone(), sniffed));
        }
        let (mut schema, mut sources) = match &options.columns {
            Some(columns) => columns
                .iter()
                .map(|(name, ty)| (ColumnDef::new(name, ty.clone()), Source::Key(name.clone())))
                .unzip(),
            None => guessed(&guess, &paths[0])?,
        };
        if let Some(def) = schema.iter().find(|def: &&ColumnDef| !is_known(&def.ty)) {
            let (name, ty) = (&def.name, &def.ty);
            let what = format!("a column of type {ty} in JSON files (column '{name}')");
            return Err(StorageError::Unsupported(what));
        }
        add_constants(&mut schema, &mut sources, &paths, options)?;
        let strict = options.columns.is_none();
        let schema = Schema::new(schema);
        let files = Files { schema, sources, files: found, formats, strict, morsel_bytes };
        Ok(Arc::new(Self { files: Arc::new(files), sniffed_bytes: sniffed_bytes.into() }))
    }
}

/// The columns that a sample suggests.
fn guessed(guess: &Guess, path: &str) -> Result<(Vec<ColumnDef>, Vec<Source>)> {
    let fields = match guess {
        Guess::Object(fields) => fields,
        Guess::Null => {
            let message = format!(
                "'{path}' holds no object that says what its columns are (the option columns = {{'a': 'INTEGER'}} does)"
            );
            return Err(StorageError::Value(message));
        }
        other => return Ok((vec![ColumnDef::new("json", other.ty())], vec![Source::Value])),
    };
    let names = distinct_names(fields.iter().map(|(key, _)| key.as_str()));
    let mut columns = (Vec::new(), Vec::new());
    for ((key, guess), name) in fields.iter().zip(names) {
        columns.0.push(ColumnDef::new(name, guess.ty()));
        columns.1.push(Source::Key(key.clone()));
    }
    if columns.0.is_empty() {
        return Err(StorageError::Value(format!("the objects of '{path}' have no keys")));
    }
    Ok(columns)
}

/// Adds the columns that have one value per file; they take the place of columns of the same name.
fn add_constants(
    schema: &mut Vec<ColumnDef>,
    sources: &mut Vec<Source>,
    paths: &[String],
    options: &JsonOptions,
) -> Result<()> {
    let mut add = |def: ColumnDef, values: Vec<Scalar>| {
        let known = schema.iter().position(|known| known.name.eq_ignore_ascii_case(&def.name));
        match known {
            Some(at) => (schema[at], sources[at]) = (def, Source::Constant(values)),
            None => {
                schema.push(def);
                sources.push(Source::Constant(values));
            }
        }
    };
    if options.hive_partitioning != Some(false) {
        for column in hive::columns(paths, options.hive_partitioning == Some(true))? {
            add(ColumnDef::new(column.name, column.ty), column.values);
        }
    }
    if options.filename {
        let values = paths.iter().map(|path| Scalar::text(path)).collect();
        add(ColumnDef::new("filename", LogicalType::Text), values);
    }
    Ok(())
}

impl Files {
    /// What is known of a column in a file.
    pub(crate) fn range(&self, file: usize, column: usize) -> ColumnRange {
        match self.sources.get(column) {
            Some(Source::Constant(values)) if !values[file].is_null() => ColumnRange {
                min: Some(values[file].clone()),
                max: Some(values[file].clone()),
                nulls: Some(0),
                no_nan: true,
            },
            _ => ColumnRange::default(),
        }
    }

    /// About how many rows a file has.
    pub(crate) fn rows(&self, file: usize) -> u64 {
        let sniffed = &self.files[file].1;
        if sniffed.whole {
            return sniffed.sampled.0;
        }
        let size = match sniffed.compression {
            Compression::Plain => sniffed.identity.size as f64,
            // A guess: text takes several times the space.
            Compression::Gzip | Compression::Zstd => sniffed.identity.size as f64 * 6.0,
        };
        (sniffed.sampled.0 as f64 * size / sniffed.sampled.1.max(1) as f64) as u64
    }
}

impl Relation for JsonDataset {
    fn schema(&self) -> &Schema {
        &self.files.schema
    }

    /// About: the sample, scaled to the size of the files.
    fn rows(&self) -> u64 {
        (0..self.files.files.len()).map(|file| self.files.rows(file)).sum()
    }

    /// What the columns take of the files is not known; what a scan asks of the files is charged as footers.
    fn ledger(&self) -> Arc<ScanLedger> {
        let columns = self.files.schema.columns.iter();
        let ledger = ScanLedger::new(columns.map(|def| (def.name.clone(), 0)));
        ledger.charge_footer(self.sniffed_bytes.swap(0, Ordering::Relaxed));
        ledger
    }

    fn column_range(&self, column: usize) -> ColumnRange {
        let ranges = (0..self.files.files.len()).map(|file| self.files.range(file, column));
        ranges.reduce(|all, one| all.union(&one)).unwrap_or_default()
    }

    fn distinct(&self, _column: usize) -> Option<u64> {
        None
    }

    fn scan(&self, spec: ScanSpec) -> Result<Box<dyn Scan>> {
        Ok(Box::new(JsonScan::new(Arc::clone(&self.files), spec)?))
    }
}
