//! What FROM names: relations of the catalog, files, table functions.
//!
//! How: a file or a call of a table function is replaced by a name of its own (`\u{1}file0`), under which the provider finds
//! the opened files. Invariant: no string literal and no table function is left in FROM.

use std::{fmt, ops::ControlFlow};

use datafusion_sql::sqlparser::ast::{
    Array, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList,
    FunctionArguments, Ident, ObjectName, ObjectNamePart, Spanned, Statement, TableAlias,
    TableAliasColumnDef, TableFactor, UnaryOperator, Value, VisitorMut,
};

use crate::{
    error::{Error, ErrorKind, Result},
    planner::ObjectNameParts,
    sql::{
        calls,
        file_options::FileOption,
        names::{EXACT, fold},
        parse::place,
        visit::WalkMut,
    },
};

const UNNEST: &str = "unnest";
/// Functions whose lists are rows in FROM.
const SERIES: [&str; 2] = ["range", "generate_series"];

/// Functions that read files, and the format of these.
const READERS: [(&str, &str); 11] = [
    ("read_parquet", "parquet"),
    ("parquet_scan", "parquet"),
    ("read_csv", "csv"),
    ("read_csv_auto", "csv"),
    ("read_json", "json"),
    ("read_json_auto", "json"),
    ("read_ndjson", "ndjson"),
    ("read_ndjson_auto", "ndjson"),
    ("read_arrow", "arrow"),
    ("read_ipc", "arrow"),
    ("read_feather", "arrow"),
];

/// The functions that stand in FROM alone, but for those about the catalog.
pub(crate) fn table_functions() -> impl Iterator<Item = &'static str> {
    READERS.into_iter().map(|(name, _)| name).chain(SERIES).chain([UNNEST, STORAGE_INFO])
}

/// Whether a function in FROM gives the elements of a list.
pub fn is_unnested(name: &ObjectName) -> bool {
    let name = fold(&name.to_string());
    name == UNNEST || SERIES.contains(&name.as_str())
}

fn argument(arg: FunctionArg) -> Option<Expr> {
    match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
        _ => None,
    }
}

/// The table function that shows how a table is stored.
const STORAGE_INFO: &str = "storage_info";
/// The table function that shows what an index consists of.
pub const INDEX_INFO: &str = "index_info";

/// The format of a request that is a call of a table function that a program registered.
pub const FUNCTION: &str = "function";

/// Files that are read as one relation.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct FileRequest {
    /// Paths or patterns, in order.
    pub patterns: Vec<String>,
    /// The format (`parquet`, `csv`, `json`, `ndjson`, `arrow`), if the function says it; `None` to tell by the extension.
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
    /// What `storage_info` and `index_info` are to show, by the name that now stands for the call: function and argument.
    pub shown: Vec<(String, &'static str, String)>,
    /// Series of whole numbers by the name that now stands for them.
    pub series: Vec<(String, SeriesRequest)>,
}

/// `range(..)` or `generate_series(..)` over constants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesRequest {
    /// The function, which is the column's name too.
    pub function: String,
    /// The first number.
    pub first: i64,
    /// Where it ends.
    pub end: i64,
    /// From number to number.
    pub step: i64,
    /// Whether `end` belongs to it.
    pub inclusive: bool,
}

/// Collects what a statement reads and replaces files by names.
///
/// # Errors
/// `Unsupported` for other table functions and other options.
pub fn collect(statement: &mut Statement) -> Result<Found> {
    let mut collector = Collector::default();
    match statement.walk_mut(&mut collector) {
        ControlFlow::Continue(()) => Ok(collector.0),
        ControlFlow::Break(error) => Err(error),
    }
}

#[derive(Default)]
struct Collector(Found);

impl Collector {
    fn factor(&mut self, factor: &mut TableFactor) -> Result<()> {
        if let TableFactor::Function { name, args, alias, .. } = factor {
            let function = fold(&name.to_string());
            name_column(alias, &function);
            let (args, alias) = (std::mem::take(args), alias.take());
            *factor = if function == UNNEST {
                unnest(args.into_iter().filter_map(argument).collect(), alias)
            } else {
                unnest(vec![call_of(name, args)], alias)
            };
            return Ok(());
        }
        if let TableFactor::UNNEST { alias, array_exprs, with_ordinality, .. } = factor {
            name_column(alias, UNNEST);
            if std::mem::take(with_ordinality) {
                number(array_exprs, alias)?;
            }
            return Ok(());
        }
        let TableFactor::Table { name, alias, args, .. } = factor else { return Ok(()) };
        let function = fold(&name.to_string());
        if SERIES.contains(&function.as_str())
            && let Some(args) = args.take()
        {
            name_column(alias, &function);
            let Some(request) = series(&function, &args.args) else {
                *factor = unnest(vec![call_of(name, args.args)], alias.take());
                return Ok(());
            };
            let known = format!("{EXACT}series{}", self.0.series.len());
            replace(name, alias, function, known.clone());
            self.0.series.push((known, request));
            return Ok(());
        }
        let request = match args.take() {
            Some(args) if function == STORAGE_INFO || function == INDEX_INFO => {
                let info = if function == INDEX_INFO { INDEX_INFO } else { STORAGE_INFO };
                let known = format!("{EXACT}table{}", self.0.shown.len());
                self.0.shown.push((known.clone(), info, shown_argument(info, &args.args)?));
                replace(name, alias, info.into(), known);
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

/// A function in FROM without a list of columns: its alias, or `default`, names its one column too, as in PostgreSQL.
fn name_column(alias: &mut Option<TableAlias>, default: &str) {
    let alias = alias.get_or_insert_with(|| TableAlias {
        explicit: true,
        name: Ident::new(default),
        columns: Vec::new(),
        at: None,
    });
    if alias.columns.is_empty() {
        alias.columns.push(TableAliasColumnDef { name: alias.name.clone(), data_type: None });
    }
}

/// WITH ORDINALITY: a second list, of the elements' places, is read side by side with the first.
fn number(lists: &mut Vec<Expr>, alias: &mut Option<TableAlias>) -> Result<()> {
    let [list] = lists.as_slice() else {
        return Err(Error::unsupported("unnest() of several lists WITH ORDINALITY"));
    };
    let number = |digits: &str| Expr::Value(Value::Number(digits.to_owned(), false).into());
    let length = calls::call_of("array_length", vec![list.clone()]);
    let length = calls::call_of("coalesce", vec![length, number("0")]);
    let length = calls::cast(length, DataType::BigInt(None));
    lists.push(calls::call_of("generate_series", vec![number("1"), length]));
    if let Some(alias) = alias
        && alias.columns.len() == 1
    {
        let name = Ident::new("ordinality");
        alias.columns.push(TableAliasColumnDef { name, data_type: None });
    }
    Ok(())
}

/// The numbers of a call whose arguments are constants.
fn series(function: &str, args: &[FunctionArg]) -> Option<SeriesRequest> {
    let number = |arg: &FunctionArg| {
        let FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) = arg else { return None };
        let (sign, expr) = match expr {
            Expr::UnaryOp { op: UnaryOperator::Minus, expr } => ("-", expr.as_ref()),
            expr => ("", expr),
        };
        let Expr::Value(value) = expr else { return None };
        let Value::Number(digits, _) = &value.value else { return None };
        format!("{sign}{digits}").parse::<i64>().ok()
    };
    let numbers = args.iter().map(number).collect::<Option<Vec<i64>>>()?;
    let (first, end, step) = match *numbers.as_slice() {
        [end] => (0, end, 1),
        [first, end] => (first, end, 1),
        [first, end, step] => (first, end, step),
        _ => return None,
    };
    let inclusive = function == "generate_series";
    Some(SeriesRequest { function: function.to_owned(), first, end, step, inclusive })
}

fn call_of(name: &ObjectName, args: Vec<FunctionArg>) -> Expr {
    let (duplicate_treatment, clauses) = (None, Vec::new());
    let args = FunctionArgumentList { duplicate_treatment, args, clauses };
    Expr::Function(Function {
        name: name.clone(),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(args),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

fn unnest(array_exprs: Vec<Expr>, alias: Option<TableAlias>) -> TableFactor {
    TableFactor::UNNEST {
        alias,
        array_exprs,
        with_offset: false,
        with_offset_alias: None,
        with_ordinality: false,
    }
}

/// What `storage_info` or `index_info` is called for: a text.
fn shown_argument(info: &str, args: &[FunctionArg]) -> Result<String> {
    if let [FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(value)))] = args
        && let Some(table) = value.value.clone().into_string()
    {
        return Ok(table);
    }
    let (what, hint) = match info {
        INDEX_INFO => ("index", "index_info('i')"),
        _ => ("table", "storage_info('t')"),
    };
    let message = format!("{info}() needs the name of one {what} as a text");
    Err(Error::new(ErrorKind::Type, message).with_hint(hint))
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
        ".parquet",
        ".parq",
        ".csv",
        ".tsv",
        ".csv.gz",
        ".tsv.gz",
        ".csv.zst",
        ".tsv.zst",
        ".json",
        ".jsonl",
        ".ndjson",
        ".json.gz",
        ".jsonl.gz",
        ".ndjson.gz",
        ".json.zst",
        ".jsonl.zst",
        ".ndjson.zst",
        ".arrow",
        ".arrows",
        ".feather",
        ".ipc",
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
    let Some((_, format)) = READERS.iter().find(|(name, _)| *name == function) else {
        return registered(&function, args);
    };
    let mut request = FileRequest { format: Some((*format).to_owned()), ..FileRequest::default() };
    for arg in args {
        match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) if request.patterns.is_empty() => {
                request.patterns = patterns(expr)?;
            }
            FunctionArg::Named { name, arg: FunctionArgExpr::Expr(value), .. } => {
                request.options.push(FileOption::new(fold(&name.value), value, place(name.span))?);
            }
            FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::BinaryOp { left, right, .. })) => {
                request.options.push(FileOption::new(
                    fold(&left.to_string()),
                    right,
                    place(left.span()),
                )?);
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

/// A call of a function that a program may have registered.
fn registered(name: &str, args: &[FunctionArg]) -> Result<FileRequest> {
    let unknown = || Error::unsupported(format!("the table function {name}()"));
    let option = |(at, arg): (usize, &FunctionArg)| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => {
            FileOption::new((at + 1).to_string(), value, None).map_err(|_| unknown())
        }
        _ => Err(unknown()),
    };
    Ok(FileRequest {
        patterns: vec![name.to_owned()],
        format: Some(FUNCTION.to_owned()),
        options: args.iter().enumerate().map(option).collect::<Result<_>>()?,
    })
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
