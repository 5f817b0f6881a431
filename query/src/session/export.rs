//! EXPORT DATABASE and IMPORT DATABASE: schemas, tables with their rules, macros and views as files that others read.
//!
//! Invariants: the folder appears when all of it is there; what is exported is of one state of the catalog. An import that
//! fails leaves the database as it was.
//! Next: `copy.rs`.

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::{Path, PathBuf},
};

use stoadb_storage::{
    Scalar, TableVersion,
    catalog::{
        Entry,
        name::{MAIN, is_temporary, shown_name, split_name},
    },
};

use crate::{
    error::{Error, ErrorKind, Result},
    session::{
        connection::{Connection, State},
        copy,
        copy_options::{CopyTo, Format},
        index_info,
        kept::KeptPlan,
        result::QueryResult,
        run::{self, Session},
    },
    sql::{
        self, ParsedStatement,
        ast::{
            CopyTarget, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident,
            Statement,
        },
        file_options::{FileOption, OptionValue},
        names::fold,
    },
};

/// Whether a call is one that the parser made of EXPORT DATABASE or IMPORT DATABASE.
pub(crate) fn is_call(call: &Function) -> bool {
    matches!(call.name.to_string().as_str(), "export_database" | "import_database")
}

/// `EXPORT DATABASE 'folder' [(options)]` and `IMPORT DATABASE 'folder'`.
pub(crate) fn run(
    connection: &Connection,
    state: &mut State,
    call: &Function,
    options: &[FileOption],
    parameters: &[Scalar],
) -> Result<QueryResult> {
    let folder = folder(call)?;
    if call.name.to_string() == "import_database" {
        if let Some(option) = options.first() {
            let what = format!("the option {} of IMPORT DATABASE", option.name);
            return Err(Error::unsupported(what).or_span(option.place));
        }
        return import(connection, state, &folder);
    }
    export(&Session::new(connection, state, parameters), &folder, options)
}

fn folder(call: &Function) -> Result<String> {
    if let FunctionArguments::List(list) = &call.args
        && let [FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(value)))] =
            list.args.as_slice()
        && let Some(folder) = value.value.clone().into_string()
        && !folder.is_empty()
    {
        return Ok(folder.trim_end_matches('/').to_owned());
    }
    Err(Error::new(ErrorKind::Type, "the folder is named by a text"))
}

fn write_error(path: &Path, error: std::io::Error) -> Error {
    let path = path.display();
    Error::new(ErrorKind::Io, format!("cannot write '{path}': {error}"))
}

fn export(session: &Session<'_>, folder: &str, options: &[FileOption]) -> Result<QueryResult> {
    let mut given = options.to_vec();
    if !given.iter().any(|option| option.name == "format") {
        let value = OptionValue::Text("parquet".into());
        given.push(FileOption { name: "format".into(), value, place: None });
    }
    let format = CopyTo::new(folder, &given)?.format;
    let target = PathBuf::from(folder);
    let used = fs::read_dir(&target).is_ok_and(|mut entries| entries.next().is_some());
    if used || target.is_file() {
        let message = format!("cannot write '{folder}': it exists and is not an empty folder");
        return Err(Error::new(ErrorKind::Io, message));
    }
    let name = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let temporary = target.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
    fs::create_dir(&temporary).map_err(|error| write_error(&target, error))?;
    let result = export_into(session, folder, &temporary, format, &given).and_then(|rows| {
        // Renaming replaces an empty folder.
        fs::rename(&temporary, &target).map_err(|error| write_error(&target, error))?;
        Ok(QueryResult::changed(rows))
    });
    if result.is_err() {
        // Nothing better can be done about a folder that cannot be removed.
        let _ = fs::remove_dir_all(&temporary);
    }
    result
}

fn export_into(
    session: &Session<'_>,
    folder: &str,
    temporary: &Path,
    format: Format,
    options: &[FileOption],
) -> Result<u64> {
    let (mut schemas, mut macros) = (String::new(), String::new());
    let (mut tables, mut indexes, mut load) = (String::new(), String::new(), String::new());
    let (mut rows, mut files, mut views) = (0, Vec::new(), Vec::new());
    for (name, entry) in session.names.snapshot.all_entries() {
        if is_temporary(name) {
            continue;
        }
        let quoted = quoted(name);
        match entry {
            Entry::Table(table) => {
                tables.push_str(&create_text(&quoted, table)?);
                let file = file_name(name, format, &mut files);
                let query = sql::parse(&format!("SELECT * FROM {quoted}"))?;
                let Some(query) = query.first() else { return Err(Error::internal("no query")) };
                let path = temporary.join(&file).to_string_lossy().into_owned();
                rows += copy::write(session, &query.statement, &path, options)?;
                for index in &table.rules().indexes {
                    let text = index_info::create_text(index, &quoted, table.shared_schema());
                    indexes.extend(text.map(|text| format!("{text};\n")));
                }
                load.push_str(&load_text(&quoted, &format!("{folder}/{file}"), format, options));
            }
            Entry::View(view) => views.push((name, view.sql.as_str())),
            Entry::External(_) => {
                return Err(Error::unsupported(format!(
                    "EXPORT DATABASE with the registered relation '{}' (drop it, or make it a table)",
                    shown_name(name)
                )));
            }
            Entry::Schema => {
                let (of, _) = split_name(name);
                schemas.push_str(&format!("CREATE SCHEMA {};\n", ident(of)));
            }
            Entry::Macro(text) => {
                let (of, within) = split_name(name);
                if !of.eq_ignore_ascii_case(MAIN) {
                    return Err(Error::unsupported(format!(
                        "EXPORT DATABASE with the macro '{of}.{within}' outside of the schema main"
                    )));
                }
                macros.push_str(&format!("{};\n", text.sql));
            }
        }
    }
    // Defaults and checks may use macros.
    let mut schema = schemas + &macros + &tables + &indexes;
    for (name, sql) in in_order(session, views)? {
        schema.push_str(&format!("CREATE VIEW {} AS {sql};\n", quoted(name)));
    }
    for (name, text) in [("schema.sql", schema), ("load.sql", load)] {
        let path = temporary.join(name);
        fs::write(&path, text).map_err(|error| write_error(&path, error))?;
    }
    Ok(rows)
}

/// Views after those that they read.
fn in_order<'v>(
    session: &Session<'_>,
    mut left: Vec<(&'v str, &'v str)>,
) -> Result<Vec<(&'v str, &'v str)>> {
    let plain = session.names.plain();
    let reads = |sql: &str| -> Result<Vec<String>> {
        let mut keys = Vec::new();
        for mut parsed in sql::parse(sql)? {
            for relation in sql::sources::collect(&mut parsed.statement)?.relations {
                let parts: Vec<&str> =
                    relation.parts.iter().map(|(part, _)| part.as_str()).collect();
                keys.extend(plain.known_key(&parts));
            }
        }
        Ok(keys)
    };
    let mut ordered = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let names: Vec<String> = left.iter().map(|(name, _)| fold(name)).collect();
        let (mut ready, mut waiting) = (Vec::new(), Vec::new());
        for view in left {
            let waits = reads(view.1)?.iter().any(|key| names.contains(&fold(key)));
            if waits { waiting.push(view) } else { ready.push(view) }
        }
        if ready.is_empty() {
            return Err(Error::internal("views that read one another"));
        }
        ordered.append(&mut ready);
        left = waiting;
    }
    Ok(ordered)
}

fn ident(name: &str) -> Ident {
    Ident::with_quote('"', name)
}

/// An entry's name, with its schema's where that is not `main`.
fn quoted(name: &str) -> String {
    match split_name(name) {
        (MAIN, name) => ident(name).to_string(),
        (schema, name) => format!("{}.{}", ident(schema), ident(name)),
    }
}

/// A name for a table's file that no other table has.
fn file_name(table: &str, format: Format, files: &mut Vec<String>) -> String {
    let plain = |c: char| if c.is_alphanumeric() || c == '_' { c } else { '_' };
    let base: String = table.chars().map(plain).collect::<String>().to_lowercase();
    let mut name = format!("{base}.{}", format.extension());
    let mut number = 1;
    while files.contains(&name) {
        name = format!("{base}_{number}.{}", format.extension());
        number += 1;
    }
    files.push(name.clone());
    name
}

fn create_text(name: &str, table: &TableVersion) -> Result<String> {
    let (schema, rules) = (table.shared_schema(), table.rules());
    let columns: Vec<Ident> = schema.columns.iter().map(|column| ident(&column.name)).collect();
    let mut parts = Vec::new();
    for (ordinal, (column, name)) in schema.columns.iter().zip(&columns).enumerate() {
        let null = if column.nullable { "" } else { " NOT NULL" };
        let default = rules.defaults.get(&ordinal).map(|text| format!(" DEFAULT ({text})"));
        let default = default.unwrap_or_default();
        parts.push(format!("{name} {}{default}{null}", copy::sql_type(&column.ty)));
    }
    let named = |name: &Option<String>| {
        name.as_ref().map(|name| format!("CONSTRAINT {} ", ident(name))).unwrap_or_default()
    };
    parts.extend(
        rules.checks.iter().map(|rule| format!("{}CHECK ({})", named(&rule.name), rule.sql)),
    );
    for key in &rules.keys {
        let over = key.columns.iter().map(|&column| {
            let column =
                columns.get(column).ok_or_else(|| Error::internal("a key of no column"))?;
            Ok(column.to_string())
        });
        let over = over.collect::<Result<Vec<_>>>()?.join(", ");
        let kind = if key.primary { "PRIMARY KEY" } else { "UNIQUE" };
        parts.push(format!("{}{kind} ({over})", named(&key.name)));
    }
    Ok(format!("CREATE TABLE {name} ({});\n", parts.join(", ")))
}

fn load_text(table: &str, path: &str, format: Format, options: &[FileOption]) -> String {
    let mut given = vec![format!("FORMAT {}", format.extension())];
    if format == Format::Csv {
        let names = ["delim", "sep", "delimiter", "quote", "escape", "null", "nullstr", "header"];
        let header = options.iter().any(|option| option.name == "header");
        if !header {
            given.push("HEADER true".into());
        }
        for option in options.iter().filter(|option| names.contains(&option.name.as_str())) {
            given.push(format!("{} {}", option.name, copy::value_text(&option.value)));
        }
    }
    let path = path.replace('\'', "''");
    format!("COPY {table} FROM '{path}' ({});\n", given.join(", "))
}

fn import(connection: &Connection, state: &mut State, folder: &str) -> Result<QueryResult> {
    let read = |name: &str| {
        let path = Path::new(folder).join(name);
        let text = fs::read_to_string(&path).map_err(|error| {
            let message = format!("cannot read '{}': {error}", path.display());
            Error::new(ErrorKind::Io, message)
        })?;
        sql::parse(&text).map_err(|error| {
            let message = format!("'{}': {}", path.display(), error.message);
            Error { message, span: None, ..error }
        })
    };
    let mut statements = read("schema.sql")?;
    statements.extend(read("load.sql")?);
    let own = state.transaction.is_none();
    if own {
        state.transaction = Some(connection.database().catalog().begin());
    }
    let before = state.transaction.as_ref().map(|transaction| transaction.savepoint());
    let run = || {
        statements
            .into_iter()
            .try_fold(0, |rows, statement| Ok(rows + one(connection, state, statement, folder)?))
    };
    let result = catch_unwind(AssertUnwindSafe(run));
    // Whatever happened, a panic included, the statement's own transaction ends with it.
    let mut transaction = if own { state.transaction.take() } else { None };
    let result = result.unwrap_or_else(|panic| resume_unwind(panic));
    match (result, &mut transaction) {
        (Ok(rows), transaction) => {
            transaction.take().map_or(Ok(0), |transaction| transaction.commit())?;
            Ok(QueryResult::changed(rows))
        }
        (Err(error), None) => {
            if let (Some(open), Some(before)) = (&mut state.transaction, before) {
                open.rollback_to(before);
            }
            Err(Error { span: None, ..error })
        }
        (Err(error), Some(_)) => Err(Error { span: None, ..error }),
    }
}

/// Runs a statement of an export. Its files are those of the folder, wherever that was when it was written.
fn one(
    connection: &Connection,
    state: &mut State,
    mut parsed: ParsedStatement,
    folder: &str,
) -> Result<u64> {
    match &mut parsed.statement {
        Statement::Copy { to: false, target: CopyTarget::File { filename }, .. } => {
            let name = Path::new(filename.as_str()).file_name().unwrap_or_default();
            let here = Path::new(folder).join(name);
            if here.exists() {
                *filename = here.to_string_lossy().into_owned();
            }
        }
        Statement::CreateTable(_)
        | Statement::CreateView(_)
        | Statement::CreateSchema { .. }
        | Statement::CreateIndex(_)
        | Statement::CreateMacro { .. } => {}
        other => {
            let what = format!("{} in an exported database", run::unsupported(other).message);
            return Err(Error::new(ErrorKind::Unsupported, what));
        }
    }
    let result = run::run(connection, state, &parsed, &[], &KeptPlan::default())?;
    let rows = result.rows_changed();
    let copied = matches!(parsed.statement, Statement::Copy { .. });
    Ok(if copied { rows } else { 0 })
}
