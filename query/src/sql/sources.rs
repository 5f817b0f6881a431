//! What FROM names: relations of the catalog, files, table functions.
//!
//! How: a file or a call of a table function is replaced by a name of its own (`\u{1}file0`), under which the provider finds
//! the opened files. Invariant: no string literal and no table function is left in FROM.

use std::{fmt, ops::ControlFlow};

use datafusion_sql::sqlparser::ast::{
    Array, Expr, FunctionArg, FunctionArgExpr, Ident, ObjectName, ObjectNamePart, Spanned,
    Statement, TableAlias, TableFactor, VisitMut, VisitorMut,
};

use crate::{
    error::{Error, ErrorKind, Result},
    planner::ObjectNameParts,
    sql::{
        file_options::FileOption,
        names::{EXACT, fold},
        parse::place,
    },
};

/// The table function that shows how a table is stored.
const STORAGE_INFO: &str = "storage_info";

/// Files that are read as one relation.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct FileRequest {
    /// Paths or patterns, in order.
    pub patterns: Vec<String>,
    /// The format (`parquet`, `csv`), if the function says it; `None` to tell by the extension.
    pub format: Option<String>,
    /// How to read them, in order.
    pub options: Vec<FileOption>,
}

impl fmt::Display for FileRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}'", self.patterns.join("', '"))
    }
}

/// What a statement reads.
#[derive(Debug, Default)]
pub struct Found {
    /// Names as written (CTE names among them).
    pub relations: Vec<ObjectNameParts>,
    /// Files by the name that now stands for them.
    pub files: Vec<(String, FileRequest)>,
    /// Tables that `storage_info` is to show, by the name that now stands for the call.
    pub tables: Vec<(String, String)>,
}

/// Collects what a statement reads and replaces files by names.
///
/// # Errors
/// `Unsupported` for other table functions and other options.
pub fn collect(statement: &mut Statement) -> Result<Found> {
    let mut collector = Collector::default();
    match statement.visit(&mut collector) {
        ControlFlow::Continue(()) => Ok(collector.0),
        ControlFlow::Break(error) => Err(error),
    }
}

#[derive(Default)]
struct Collector(Found);

impl Collector {
    fn factor(&mut self, factor: &mut TableFactor) -> Result<()> {
        let TableFactor::Table { name, alias, args, .. } = factor else { return Ok(()) };
        let request = match args.take() {
            Some(args) if fold(&name.to_string()) == STORAGE_INFO => {
                let known = format!("{EXACT}table{}", self.0.tables.len());
                self.0.tables.push((known.clone(), table_argument(&args.args)?));
                replace(name, alias, STORAGE_INFO.into(), known);
                return Ok(());
            }
            Some(args) => call(name, &args.args)?,
            None => match file_name(name) {
                Some(pattern) => FileRequest { patterns: vec![pattern], ..FileRequest::default() },
                None => {
                    let parts = name.0.iter().filter_map(ObjectNamePart::as_ident);
                    let parts = parts.map(|i| (i.value.clone(), i.quote_style.is_some()));
                    self.0.relations.push(ObjectNameParts { parts: parts.collect() });
                    return Ok(());
                }
            },
        };
        let known = format!("{EXACT}file{}", self.0.files.len());
        replace(name, alias, default_alias(&request), known.clone());
        self.0.files.push((known, request));
        Ok(())
    }
}

/// Puts a name in a file's or a call's place; it is called `default` unless it has an alias.
fn replace(name: &mut ObjectName, alias: &mut Option<TableAlias>, default: String, known: String) {
    let span = name.span();
    if alias.is_none() {
        let name = Ident::with_quote_and_span('"', span, default);
        *alias = Some(TableAlias { explicit: true, name, columns: Vec::new(), at: None });
    }
    *name = ObjectName::from(vec![Ident::with_quote_and_span('"', span, known)]);
}

/// The table that `storage_info` is called for: a text.
fn table_argument(args: &[FunctionArg]) -> Result<String> {
    if let [FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(value)))] = args
        && let Some(table) = value.value.clone().into_string()
    {
        return Ok(table);
    }
    let message = "storage_info() needs the name of one table as a text";
    Err(Error::new(ErrorKind::Type, message).with_hint("storage_info('t')"))
}

impl VisitorMut for Collector {
    type Break = Error;

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Error> {
        let span = factor.span();
        match self.factor(factor) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error.or_span(place(span))),
        }
    }
}

/// The path, if a name in FROM is one: a string literal, or a quoted name that looks like a file.
fn file_name(name: &ObjectName) -> Option<String> {
    let [ObjectNamePart::Identifier(ident)] = name.0.as_slice() else { return None };
    let path = &ident.value;
    let known = [
        ".parquet", ".parq", ".csv", ".tsv", ".csv.gz", ".tsv.gz", ".csv.zst", ".tsv.zst", ".json",
        ".jsonl", ".ndjson", ".arrow",
    ];
    let is_file = match ident.quote_style {
        Some('\'') => true,
        Some(_) => path.contains('*') || known.iter().any(|end| fold(path).ends_with(end)),
        None => false,
    };
    is_file.then(|| path.clone())
}

/// The name of the file without folder and ending.
fn default_alias(request: &FileRequest) -> String {
    let path = request.patterns.first().map_or("", String::as_str);
    let name = path.rsplit(['/', '\\']).next().unwrap_or(path);
    name.split('.').next().unwrap_or(name).to_owned()
}

fn call(name: &ObjectName, args: &[FunctionArg]) -> Result<FileRequest> {
    let function = fold(&name.to_string());
    let format = match function.as_str() {
        "read_parquet" | "parquet_scan" => "parquet",
        "read_csv" | "read_csv_auto" => "csv",
        other => return Err(Error::unsupported(format!("the table function {other}()"))),
    };
    let mut request = FileRequest { format: Some(format.to_owned()), ..FileRequest::default() };
    for arg in args {
        match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) if request.patterns.is_empty() => {
                request.patterns = patterns(expr)?;
            }
            FunctionArg::Named { name, arg: FunctionArgExpr::Expr(value), .. } => {
                request.options.push(FileOption::new(fold(&name.value), value)?);
            }
            FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::BinaryOp { left, right, .. })) => {
                request.options.push(FileOption::new(fold(&left.to_string()), right)?);
            }
            other => {
                return Err(Error::unsupported(format!("the argument {other} of {function}()")));
            }
        }
    }
    if request.patterns.is_empty() {
        let message = format!("{function}() needs a file, a pattern or a list of them");
        return Err(Error::new(ErrorKind::Type, message));
    }
    Ok(request)
}

fn patterns(expr: &Expr) -> Result<Vec<String>> {
    let one = |expr: &Expr| match expr {
        Expr::Value(value) => value.value.clone().into_string(),
        _ => None,
    };
    let list = match expr {
        Expr::Array(Array { elem, .. }) => elem.iter().map(one).collect(),
        expr => one(expr).map(|pattern| vec![pattern]),
    };
    list.filter(|list| !list.is_empty()).ok_or_else(|| {
        let message = "files are named by a text or a list of texts";
        Error::new(ErrorKind::Type, message).or_span(place(expr.span()))
    })
}
