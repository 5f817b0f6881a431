//! What a statement's names stand for: the catalog's entries as one transaction sees them, and files.

use std::{fs, ops::ControlFlow, path::Path, sync::Arc};

use datafusion_expr::ScalarUDF;
use stoadb_storage::{
    Relation,
    catalog::{
        CatalogSnapshot, Entry,
        name::{
            MAIN, entry_name, is_plain, is_temporary, macro_name, schema_name, shown_name,
            split_name,
        },
    },
    csv::CsvDataset,
    files::is_pattern,
    ipc,
    json::JsonDataset,
    parquet::ParquetDataset,
};

use crate::{
    error::{Error, ErrorKind, Result},
    planner::{Catalog, CatalogEntry, ObjectNameParts, diagnose::closest},
    session::{database::Database, index_info, information, macros, storage_info},
    sql::{
        ast::{
            Expr, Ident, ObjectName, ObjectNamePart, Query, Select, Statement, TableFactor,
            VisitMut, VisitorMut,
        },
        file_options,
        names::{fold, keep_name},
        sources::{FUNCTION, FileRequest, table_functions},
        visit::WalkMut,
        walk,
    },
};

/// The catalog as a statement sees it.
pub(crate) struct Names<'a> {
    pub(crate) database: &'a Database,
    pub(crate) snapshot: Arc<CatalogSnapshot>,
    /// Relations of the statement's own, by names that cannot be typed: what a statement that changes a table reads in
    /// its place.
    pub(crate) own: Vec<(String, Arc<dyn Relation>)>,
    /// Where names without a schema are looked for before `main`, and where new ones go.
    pub(crate) schema: String,
    /// The schema of what only this connection sees; it is looked into first.
    pub(crate) temporary: String,
    /// Whether names without a schema are of `main` alone: within views and macros.
    pub(crate) plain: bool,
}

/// The name of the one database.
pub(crate) const DATABASE: &str = "memory";
/// What `main` is called as well.
const PUBLIC: &str = "public";
/// What the schema of a connection's own tables is called.
const TEMPORARY: &str = "temp";

fn is(name: &str, known: &str) -> bool {
    name.eq_ignore_ascii_case(known)
}

impl Names<'_> {
    /// The same names as the text of a view means them: without the connection's own and its current schema.
    pub(crate) fn plain(&self) -> Names<'_> {
        Names {
            database: self.database,
            snapshot: Arc::clone(&self.snapshot),
            own: Vec::new(),
            schema: MAIN.into(),
            temporary: self.temporary.clone(),
            plain: true,
        }
    }

    /// The schema that the parts of a name before the last one mean; `None` when there are none.
    pub(crate) fn schema_of(&self, parts: &[&str]) -> Result<Option<String>> {
        let schema = match parts {
            [] => return Ok(None),
            [schema] if self.has_schema(schema) => schema,
            [database] if is(database, DATABASE) => MAIN,
            [database, schema] if is(database, DATABASE) && self.has_schema(schema) => schema,
            [temporary, main] if is(temporary, TEMPORARY) && is(main, MAIN) => TEMPORARY,
            _ => {
                let message = format!("there is no schema '{}'", parts.join("."));
                return Err(Error::new(ErrorKind::Catalog, message)
                    .with_hint("CREATE SCHEMA makes one; every database has main"));
            }
        };
        Ok(Some(match schema {
            schema if is(schema, TEMPORARY) => self.temporary.clone(),
            schema if is(schema, PUBLIC) => MAIN.into(),
            schema => {
                let declared = self.snapshot.declared_name(&schema_name(schema));
                declared.map_or(schema, |declared| split_name(declared).0).into()
            }
        }))
    }

    /// Whether there is a schema of a name.
    pub(crate) fn has_schema(&self, schema: &str) -> bool {
        [MAIN, PUBLIC, TEMPORARY].iter().any(|known| is(schema, known))
            || self.snapshot.relation(&schema_name(schema)).is_some()
    }

    /// The catalog's name of what a statement names: what is found first of the connection's own, in the current schema,
    /// in `main`; where there is nothing, that of the current schema.
    ///
    /// # Errors
    /// When there is no such schema.
    pub(crate) fn key(&self, name: &ObjectName) -> Result<String> {
        let parts = parts_of(name)?;
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let Some((last, before)) = parts.split_last() else {
            return Err(Error::internal("an empty name"));
        };
        Ok(match self.schema_of(before)? {
            Some(schema) => entry_name(&schema, last),
            None => self.find(|schema| entry_name(schema, last)),
        })
    }

    /// The catalog's name of something new.
    ///
    /// # Errors
    /// When there is no such schema, or the name has a character that no name has.
    pub(crate) fn new_key(&self, name: &ObjectName, temporary: bool) -> Result<String> {
        let (schema, last) = self.place_of(name, temporary)?;
        Ok(entry_name(&schema, &last))
    }

    /// The schema and the name of something new.
    ///
    /// # Errors
    /// As `new_key`.
    pub(crate) fn place_of(&self, name: &ObjectName, temporary: bool) -> Result<(String, String)> {
        let parts = parts_of(name)?;
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let Some((last, before)) = parts.split_last().filter(|(last, _)| is_plain(last)) else {
            let message = format!("{name} is no name for anything");
            return Err(Error::new(ErrorKind::Name, message));
        };
        let schema = match (self.schema_of(before)?, temporary) {
            (None, true) => self.temporary.clone(),
            (None, false) => self.schema.clone(),
            (Some(schema), true) if schema != self.temporary => {
                let message = format!("{name} is TEMPORARY and cannot be in the schema '{schema}'");
                return Err(Error::new(ErrorKind::Catalog, message));
            }
            (Some(schema), _) => schema,
        };
        Ok((schema, (*last).to_owned()))
    }

    /// The catalog's name of a relation that a query names; `None` when there is no such schema.
    pub(crate) fn known_key(&self, parts: &[&str]) -> Option<String> {
        let (last, before) = parts.split_last()?;
        match self.schema_of(before).ok()? {
            Some(schema) => Some(entry_name(&schema, last)),
            None => Some(self.find(|schema| entry_name(schema, last))),
        }
    }

    /// Writes the schema before the names of relations and macros that are not of `main`, so that a text that is kept means
    /// the same wherever it is read.
    ///
    /// # Errors
    /// When one is of this connection alone and `temporary` does not say that the text is, too.
    pub(crate) fn qualify(&self, node: &mut impl VisitMut, temporary: bool) -> Result<()> {
        let mut ctes = CteNames(Vec::new());
        let _ = node.walk_mut(&mut ctes);
        match node.walk_mut(&mut Qualifier {
            names: self,
            ctes: ctes.0,
            temporary,
            of_function: false,
        }) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(error) => Err(error),
        }
    }

    /// The schemas in which names without one are looked for, in order.
    pub(crate) fn path(&self) -> Vec<String> {
        let path = [self.temporary.as_str(), &self.schema, MAIN];
        path[if self.plain { 2 } else { 0 }..].iter().map(|&schema| schema.to_owned()).collect()
    }

    /// The first name in the order of schemas behind which there is something.
    pub(crate) fn find(&self, name: impl Fn(&str) -> String) -> String {
        let path = self.path();
        let known = path.iter().map(|schema| name(schema));
        let mut known = known.filter(|name| self.snapshot.relation(name).is_some());
        known.next().unwrap_or_else(|| name(&self.schema))
    }

    /// The entries that a statement can name, by their names in it, and whether these need no schema.
    pub(crate) fn visible(&self) -> impl Iterator<Item = (String, bool, &Entry)> {
        let is_seen = |name: &str| !is_temporary(name) || split_name(name).0 == self.temporary;
        let entries = self.snapshot.entries().filter(move |(name, _)| is_seen(name));
        entries.map(|(name, entry)| {
            let (schema, last) = split_name(name);
            let plain = schema.eq_ignore_ascii_case(&self.schema) || schema == self.temporary;
            (if plain { last.to_owned() } else { shown_name(name) }, plain, entry)
        })
    }
}

/// Collects the names that WITH gives.
struct CteNames(Vec<String>);

impl VisitorMut for CteNames {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let ctes = query.with.iter().flat_map(|with| &with.cte_tables);
        self.0.extend(ctes.map(|cte| fold(&cte.alias.name.value)));
        ControlFlow::Continue(())
    }
}

struct Qualifier<'a> {
    names: &'a Names<'a>,
    ctes: Vec<String>,
    temporary: bool,
    /// Whether the name that comes next is a function's.
    of_function: bool,
}

impl Qualifier<'_> {
    /// Writes the schema before the name of what stands under `key`, if that is in the catalog and not of `main`.
    fn qualify(&self, name: &mut ObjectName, key: &str) -> Result<()> {
        let [ObjectNamePart::Identifier(last)] = name.0.as_slice() else { return Ok(()) };
        let schema = split_name(key).0;
        if self.names.snapshot.relation(key).is_none() || schema == MAIN {
            return Ok(());
        }
        if is_temporary(schema) && !self.temporary {
            let message = format!("'{}' is temporary, what would use it is not", last.value);
            let error = Error::new(ErrorKind::Catalog, message);
            return Err(error.with_hint("make it TEMPORARY too"));
        }
        let shown = if is_temporary(schema) { TEMPORARY } else { schema };
        name.0.insert(0, ObjectNamePart::Identifier(Ident::with_quote('"', shown)));
        Ok(())
    }

    fn qualify_call(&self, name: &mut ObjectName) -> Result<()> {
        self.key_of_call(name).map_or(Ok(()), |key| self.qualify(name, &key))
    }

    fn key_of_call(&self, name: &ObjectName) -> Option<String> {
        let [ObjectNamePart::Identifier(last)] = name.0.as_slice() else { return None };
        Some(self.names.find(|schema| macro_name(schema, &last.value)))
    }
}

/// How a walk goes on.
fn flow(result: Result<()>) -> ControlFlow<Error> {
    match result {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => ControlFlow::Break(error),
    }
}

impl VisitorMut for Qualifier<'_> {
    type Break = Error;

    fn pre_visit_relation(&mut self, name: &mut ObjectName) -> ControlFlow<Error> {
        let of_function = std::mem::take(&mut self.of_function);
        let [ObjectNamePart::Identifier(last)] = name.0.as_slice() else {
            return ControlFlow::Continue(());
        };
        if of_function || self.ctes.contains(&fold(&last.value)) {
            return ControlFlow::Continue(());
        }
        let key = self.names.find(|schema| entry_name(schema, &last.value));
        flow(self.qualify(name, &key))
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        // A column keeps the name that its call gives it.
        for item in &mut select.projection {
            let changes = |expr: &Expr| {
                let Expr::Function(function) = expr else { return false };
                self.key_of_call(&function.name).is_some_and(|key| {
                    self.names.snapshot.relation(&key).is_some() && split_name(&key).0 != MAIN
                })
            };
            keep_name(item, |expr| walk::any(expr, changes));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        match expr {
            Expr::Function(function) => flow(self.qualify_call(&mut function.name)),
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Error> {
        match factor {
            TableFactor::Table { name, args: Some(_), .. } => {
                self.of_function = true;
                flow(self.qualify_call(name))
            }
            TableFactor::Function { name, .. } => flow(self.qualify_call(name)),
            _ => ControlFlow::Continue(()),
        }
    }
}

/// The parts of a name.
pub(super) fn parts_of(name: &ObjectName) -> Result<Vec<String>> {
    let part = |part: &ObjectNamePart| part.as_ident().map(|part| part.value.clone());
    let parts = name.0.iter().map(part).collect::<Option<Vec<_>>>();
    parts.ok_or_else(|| Error::new(ErrorKind::Name, format!("{name} is no name of a table")))
}

impl Catalog for Names<'_> {
    fn relation(&self, name: &ObjectNameParts) -> Result<Option<CatalogEntry>> {
        let own = self.own.iter().find(|(own, _)| own == name.last());
        if let Some((_, relation)) = own {
            return Ok(Some(CatalogEntry::Relation(Arc::clone(relation))));
        }
        let parts: Vec<&str> = name.parts.iter().map(|(part, _)| part.as_str()).collect();
        if let Some(relation) = information::relation(self, &parts)? {
            return Ok(Some(CatalogEntry::Relation(relation)));
        }
        let Some(key) = self.known_key(&parts) else { return Ok(None) };
        Ok(self.snapshot.relation(&key).and_then(|entry| match entry {
            Entry::View(view) => Some(CatalogEntry::View { sql: view.sql.clone() }),
            entry => entry.relation().map(CatalogEntry::Relation),
        }))
    }

    fn for_views(&self) -> Option<Box<dyn Catalog + '_>> {
        Some(Box::new(self.plain()))
    }

    fn expand(&self, statement: &mut Statement) -> Result<()> {
        macros::expand(self, statement)?;
        self.database.functions().expand(statement)
    }

    fn relation_names(&self) -> Vec<String> {
        self.visible().map(|(name, ..)| name).collect()
    }

    fn scalar_function(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.database.functions().scalar(name)
    }

    fn file(&self, request: &FileRequest) -> Result<Arc<dyn Relation>> {
        if request.format.as_deref() == Some(FUNCTION) {
            let name = request.patterns.first().map_or("", String::as_str);
            let rows = self.database.functions().table(name, &request.options);
            let unknown = || {
                let error = Error::unsupported(format!("the table function {name}()"));
                Err(match closest(name, table_functions()) {
                    Some(meant) => error.with_hint(format!("did you mean {meant}()?")),
                    None => error,
                })
            };
            return rows.unwrap_or_else(unknown);
        }
        if let Some(address) = request.patterns.iter().find(|pattern| pattern.contains("://")) {
            let what =
                format!("reading from addresses ('{address}'): only files and folders are read");
            return Err(Error::unsupported(what).with_hint("download the file first"));
        }
        if let Some(missing) = request.patterns.iter().find(|path| is_missing(path)) {
            return Err(no_file(missing));
        }
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

    fn index_info(&self, index: &str) -> Result<Arc<dyn Relation>> {
        index_info::relation(self, index)
    }

    fn storage_info(&self, table: &str) -> Result<Arc<dyn Relation>> {
        let parts: Vec<&str> = table.split('.').collect();
        let whole = self.find(|schema| entry_name(schema, table));
        let entry = self.snapshot.relation(&whole).or_else(|| {
            let (last, before) = parts.split_last()?;
            let schema = self.schema_of(before).ok()??;
            self.snapshot.relation(&entry_name(&schema, last))
        });
        match entry {
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

/// Whether there is nothing at a path that is no pattern.
fn is_missing(path: &str) -> bool {
    let is_path = !is_pattern(path) && !path.contains("://");
    is_path && matches!(Path::new(path).try_exists(), Ok(false))
}

/// The error about a file that is not there, with the one in its folder that may be meant.
fn no_file(path: &str) -> Error {
    let error = Error::new(ErrorKind::Io, format!("there is no file '{path}'"));
    let file = Path::new(path);
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let entries = fs::read_dir(folder.unwrap_or(Path::new("."))).into_iter().flatten();
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let names: Vec<String> = names.collect();
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    match closest(&name, names.iter().map(String::as_str)) {
        Some(meant) => {
            let meant = file.with_file_name(meant);
            error.with_hint(format!("did you mean '{}'?", meant.display()))
        }
        None => error,
    }
}
