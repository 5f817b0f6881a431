//! What a statement's names stand for: the catalog's entries as one transaction sees them, and files.

use std::sync::Arc;

use stoadb_storage::{
    Relation,
    catalog::{CatalogSnapshot, Entry},
    csv::CsvDataset,
    ipc,
    json::JsonDataset,
    parquet::ParquetDataset,
};

use crate::{
    error::{Error, ErrorKind, Result},
    planner::{Catalog, CatalogEntry, ObjectNameParts, diagnose::closest},
    session::{change::target_name, database::Database, storage_info},
    sql::{ast::ObjectName, file_options, names::fold, sources::FileRequest},
};

/// The catalog as a statement sees it.
pub(crate) struct Names<'a> {
    pub(crate) database: &'a Database,
    pub(crate) snapshot: Arc<CatalogSnapshot>,
    /// What a statement that changes a table reads in its place.
    pub(crate) target: Option<Arc<dyn Relation>>,
}

/// Schemas that every database has; they hold all its tables.
const SCHEMAS: [&str; 2] = ["main", "public"];

impl Catalog for Names<'_> {
    fn relation(&self, name: &ObjectNameParts) -> Result<Option<CatalogEntry>> {
        if let Some(target) = &self.target
            && name.last() == target_name()
        {
            return Ok(Some(CatalogEntry::Relation(Arc::clone(target))));
        }
        let schemas = &name.parts[..name.parts.len().saturating_sub(1)];
        let known = |(schema, _): &(String, bool)| {
            SCHEMAS.iter().any(|known| known.eq_ignore_ascii_case(schema))
        };
        if schemas.len() > 1 || !schemas.iter().all(known) {
            return Ok(None);
        }
        Ok(self.snapshot.relation(name.last()).map(|entry| match entry {
            Entry::View(view) => CatalogEntry::View { sql: view.sql.clone() },
            Entry::Table(table) => CatalogEntry::Relation(Arc::clone(table) as Arc<dyn Relation>),
            Entry::External(relation) => CatalogEntry::Relation(Arc::clone(relation)),
        }))
    }

    fn relation_names(&self) -> Vec<String> {
        self.snapshot.entries().map(|(name, _)| name.to_string()).collect()
    }

    fn file(&self, request: &FileRequest) -> Result<Arc<dyn Relation>> {
        match file_format(request) {
            Some(FileFormat::Parquet) => {
                let options = file_options::parquet(&request.options)?;
                Ok(ParquetDataset::open(&request.patterns, &options, self.database.footers())?)
            }
            Some(FileFormat::Csv) => {
                let options = file_options::csv(&request.options)?;
                Ok(CsvDataset::open(&request.patterns, &options)?)
            }
            Some(FileFormat::Json) => {
                let lines = request.format.as_deref() == Some("ndjson");
                let options = file_options::json(&request.options, lines)?;
                Ok(JsonDataset::open(&request.patterns, &options)?)
            }
            Some(FileFormat::Arrow) => {
                let options = file_options::arrow(&request.options)?;
                Ok(ipc::open(&request.patterns, &options)?)
            }
            None => {
                let what =
                    format!("reading {request}: only Parquet, CSV, JSON and Arrow files are");
                Err(Error::unsupported(what).with_hint(
                    "names end in .parquet, .csv, .tsv, .json, .jsonl, .ndjson or .arrow, those of texts perhaps with \
                     .gz or .zst; read_csv('file') and its like read files of other names",
                ))
            }
        }
    }

    fn storage_info(&self, table: &str) -> Result<Arc<dyn Relation>> {
        let known = |(schema, _): &(&str, &str)| {
            SCHEMAS.iter().any(|known| known.eq_ignore_ascii_case(schema))
        };
        let within = table.split_once('.').filter(known).map(|(_, table)| table);
        let entry = self.snapshot.relation(table);
        match entry.or_else(|| self.snapshot.relation(within?)) {
            Some(Entry::Table(table)) => storage_info::relation(table),
            Some(_) => Err(Error::new(
                ErrorKind::Catalog,
                format!("'{table}' is not a table: storage_info() shows how tables are stored"),
            )),
            None => {
                let error = Error::new(ErrorKind::Name, format!("there is no table '{table}'"));
                let names = self.relation_names();
                Err(match closest(&fold(table), names.iter().map(String::as_str)) {
                    Some(close) => error.with_hint(format!("did you mean '{close}'?")),
                    None => error,
                })
            }
        }
    }
}

/// The formats that are read.
enum FileFormat {
    Parquet,
    Csv,
    Json,
    Arrow,
}

/// The format of files: what the function says, or what all their names end in.
fn file_format(request: &FileRequest) -> Option<FileFormat> {
    if let Some(format) = &request.format {
        return match format.as_str() {
            "parquet" => Some(FileFormat::Parquet),
            "csv" => Some(FileFormat::Csv),
            "json" | "ndjson" => Some(FileFormat::Json),
            "arrow" => Some(FileFormat::Arrow),
            _ => None,
        };
    }
    let all = |test: &dyn Fn(&str) -> bool| request.patterns.iter().all(|pattern| test(pattern));
    let text = |pattern: &str, endings: &[&str]| {
        let name = pattern.to_ascii_lowercase();
        let plain = name.strip_suffix(".gz").or(name.strip_suffix(".zst")).unwrap_or(&name);
        endings.iter().any(|ending| plain.ends_with(ending))
    };
    let is_csv = |pattern: &str| text(pattern, &[".csv", ".tsv"]);
    let is_json = |pattern: &str| text(pattern, &[".json", ".jsonl", ".ndjson"]);
    let is_arrow = |pattern: &str| {
        let name = pattern.to_ascii_lowercase();
        [".arrow", ".arrows", ".feather", ".ipc"].iter().any(|ending| name.ends_with(ending))
    };
    let is_parquet = |pattern: &str| {
        let extension = pattern.rsplit_once('.').map(|(_, extension)| extension);
        // A folder or a pattern without extension holds Parquet files, if anything.
        extension.is_none_or(|e| {
            ["parquet", "parq"].iter().any(|p| e.eq_ignore_ascii_case(p)) || e.contains('/')
        })
    };
    if all(&is_csv) {
        return Some(FileFormat::Csv);
    }
    if all(&is_json) {
        return Some(FileFormat::Json);
    }
    if all(&is_arrow) {
        return Some(FileFormat::Arrow);
    }
    all(&is_parquet).then_some(FileFormat::Parquet)
}

/// The name of a table to create, drop or insert into: the last part; parts before it name the one schema there is.
pub(crate) fn table_name(name: &ObjectName) -> Result<String> {
    let parts: Vec<_> = name.0.iter().filter_map(|part| part.as_ident()).collect();
    match parts.as_slice() {
        [table] => Ok(table.value.clone()),
        [schema, table] if SCHEMAS.iter().any(|s| s.eq_ignore_ascii_case(&schema.value)) => {
            Ok(table.value.clone())
        }
        _ => Err(Error::new(ErrorKind::Catalog, format!("there is no schema of the name {name}"))
            .with_hint("all tables are in the schema main")),
    }
}
