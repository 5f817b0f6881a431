//! EXPORT DATABASE and IMPORT DATABASE: schemas, tables with their rules, macros and views as files that others read.
//!
//! Invariants: the folder appears when all of it is there; what is exported is of one state of the catalog. An import that
//! fails leaves the database as it was.
//! Next: `copy.rs`.

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::Path,
};

use stoadb_storage::{
    LogicalType, Scalar, Schema, TableVersion,
    catalog::{
        Entry,
        name::{MAIN, is_temporary, shown_name, split_name},
    },
    write::{CsvStyle, Existing, FileStyle, NewFolder, TextCompression, write_file},
};

use crate::{
    error::{Error, ErrorKind, Result},
    session::{
        connection::{Connection, State},
        copy,
        copy_options::{CopyTo, Format},
        create, index_info,
        kept::KeptPlan,
        macros,
        result::QueryResult,
        run::{self, Session},
    },
    sql::{
        self, ParsedStatement,
        ast::{
            CopyTarget, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident,
            Statement,
        },
        file_options::{FileOption, OptionValue, type_named},
        names::fold,
    },
};

/// Most bytes of the part of a file's name that is its table's.
const MOST_NAME: usize = 100;

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

fn export(session: &Session<'_>, folder: &str, options: &[FileOption]) -> Result<QueryResult> {
    let mut given = options.to_vec();
    if !given.iter().any(|option| option.name == "format") {
        let value = OptionValue::Text("parquet".into());
        given.push(FileOption { name: "format".into(), value, place: None });
    }
    // The folder holds one file for each table, and is new.
    let others = ["partition_by", "overwrite", "overwrite_or_ignore", "force_quote"];
    if let Some(option) = given.iter().find(|option| others.contains(&option.name.as_str())) {
        let what = format!("the option {} of EXPORT DATABASE", option.name);
        return Err(Error::unsupported(what).or_span(option.place));
    }
    let copy = CopyTo::new(folder, &given)?;
    for (name, entry) in session.names.snapshot.all_entries() {
        match entry {
            Entry::Table(table) if !is_temporary(name) => {
                refuse_types(session, name, table.shared_schema(), copy.format)?;
            }
            _ => {}
        }
    }
    let made = NewFolder::create(folder, Existing::Refuse)?;
    let rows = export_into(session, folder, made.path(), &copy, &given)?;
    made.finish()?;
    Ok(QueryResult::changed(rows))
}

/// Refuses columns whose values would not come back as they are.
fn refuse_types(session: &Session<'_>, table: &str, schema: &Schema, format: Format) -> Result<()> {
    let names: Vec<Ident> = schema.columns.iter().map(|column| ident(&column.name)).collect();
    for (column, name) in schema.columns.iter().zip(&names) {
        let (ty, column_name) = (&column.ty, &column.name);
        let text = copy::sql_type(ty);
        let declared = format!("SELECT CAST(NULL AS {text}) AS {name}");
        let again = sql::parse(&declared).and_then(|parsed| {
            let Some(parsed) = parsed.first() else { return Err(Error::internal("no query")) };
            create::result_schema(&session.prepare(&parsed.statement)?)
        });
        let kept = again.is_ok_and(|again| {
            *ty == LogicalType::Null
                || again.columns.first().is_some_and(|again| copy::sql_type(&again.ty) == text)
        });
        let zone = match ty {
            LogicalType::Timestamp(_, Some(zone)) => matches!(zone.as_ref(), "UTC" | "+00:00"),
            _ => true,
        };
        let table = shown_name(table);
        if !kept || !zone {
            let what = format!("EXPORT DATABASE with '{table}.{column_name}' of type {ty}");
            return Err(Error::unsupported(what)
                .with_hint("CREATE TABLE has no name for this type: cast the column"));
        }
        let readable = match format {
            Format::Csv => !ty.is_nested(),
            Format::Json => !ty.is_nested() || type_named(&text).is_some(),
            Format::Parquet | Format::Arrow(_) => true,
        };
        if !readable {
            let files = format.extension();
            let what = format!(
                "EXPORT DATABASE to {files} files with '{table}.{column_name}' of type {ty}"
            );
            return Err(Error::unsupported(what).with_hint("FORMAT parquet and arrow keep it"));
        }
    }
    Ok(())
}

fn export_into(
    session: &Session<'_>,
    folder: &str,
    temporary: &Path,
    copy: &CopyTo,
    options: &[FileOption],
) -> Result<u64> {
    let extension = extension(copy);
    let (mut schemas, mut macros) = (String::new(), String::new());
    let (mut tables, mut load) = (String::new(), String::new());
    let (mut rows, mut files, mut views) = (0, Vec::new(), Vec::new());
    // Made when the rows are there.
    let mut indexes = String::new();
    for (name, entry) in session.names.snapshot.all_entries() {
        if is_temporary(name) {
            continue;
        }
        let quoted = quoted(name);
        match entry {
            Entry::Table(table) => {
                tables.push_str(&create_text(&quoted, table)?);
                let file = file_name(name, &extension, &mut files);
                let query = sql::parse(&format!("SELECT * FROM {quoted}"))?;
                let Some(query) = query.first() else { return Err(Error::internal("no query")) };
                let path = temporary.join(&file).to_string_lossy().into_owned();
                rows += copy::write(session, &query.statement, &path, options)?;
                for index in &table.rules().indexes {
                    let text = index_info::create_text(index, &quoted, table.shared_schema());
                    indexes.extend(text.map(|text| format!("{text};\n")));
                }
                load.push_str(&load_text(&quoted, &format!("{folder}/{file}"), copy));
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
                let path = [ident(of), ident(within)];
                macros.push_str(&format!("{};\n", macros::create_text(&text.sql, path)?));
            }
        }
    }
    // Views may use macros.
    let mut schema = schemas + &macros + &tables;
    for (name, sql) in in_order(session, views)? {
        schema.push_str(&format!("CREATE VIEW {} AS {sql};\n", quoted(name)));
    }
    for (name, text) in [("schema.sql", schema), ("load.sql", load + &indexes)] {
        write_file(&temporary.join(name), text.as_bytes())?;
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
            macros::expand(&plain, &mut parsed.statement)?;
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

/// An entry's name with its schema's.
fn quoted(name: &str) -> String {
    let (schema, name) = split_name(name);
    format!("{}.{}", ident(schema), ident(name))
}

/// What the names of files end in: readers find out by it how texts are compressed.
fn extension(copy: &CopyTo) -> String {
    let end = match &copy.style {
        FileStyle::Csv(_, compression) | FileStyle::Json { compression, .. } => match compression {
            TextCompression::None => "",
            TextCompression::Gzip(_) => ".gz",
            TextCompression::Zstd(_) => ".zst",
        },
        FileStyle::Parquet(_) | FileStyle::Arrow { .. } => "",
    };
    format!("{}{end}", copy.format.extension())
}

/// A name for a table's file that no other table has.
fn file_name(table: &str, extension: &str, files: &mut Vec<String>) -> String {
    let plain = |c: char| if c.is_alphanumeric() || c == '_' { c } else { '_' };
    let base: String = table.chars().map(plain).collect::<String>().to_lowercase();
    let base = &base[..base.floor_char_boundary(MOST_NAME)];
    let mut name = format!("{base}.{extension}");
    let mut number = 1;
    while files.contains(&name) {
        name = format!("{base}_{number}.{extension}");
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

/// The statement that reads a table's file. Nothing is left to be found out from the file.
fn load_text(table: &str, path: &str, copy: &CopyTo) -> String {
    let text = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let byte = |byte: u8| text(&char::from(byte).to_string());
    let mut given = vec![format!("FORMAT {}", copy.format.extension())];
    if let FileStyle::Csv(style, _) = &copy.style {
        let CsvStyle { header, delimiter, quote, escape, null, .. } = style;
        given.push(format!(
            "HEADER {header}, DELIMITER {}, QUOTE {}",
            byte(*delimiter),
            byte(*quote)
        ));
        given.push(format!("ESCAPE {}, NULLSTR {}", byte(*escape), text(null)));
        // A text that was written in quotes is one, whatever stands for NULL.
        given.push("ALLOW_QUOTED_NULLS false".into());
    }
    format!("COPY {table} FROM {} ({});\n", text(path), given.join(", "))
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
    // The texts mean what they meant in `main`, wherever they are read.
    let schema = std::mem::replace(&mut state.settings.schema, MAIN.into());
    let before = state.transaction.as_ref().map(|transaction| transaction.savepoint());
    let run = || {
        statements
            .into_iter()
            .try_fold(0, |rows, statement| Ok(rows + one(connection, state, statement, folder)?))
    };
    let result = catch_unwind(AssertUnwindSafe(run));
    state.settings.schema = schema;
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
        | Statement::CreateIndex(_)
        | Statement::CreateView(_)
        | Statement::CreateSchema { .. }
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
