//! COPY: rows of a query or a table into files, and rows of files into a table.
//!
//! Invariants: `COPY ... TO` holds a few row groups, never the result, and a file appears when all of it is there.
//! `COPY ... FROM` is the INSERT of what the file's reader gives, so that a statement that fails leaves the table as it was.
//! Next: `copy_options.rs`; `stoadb_storage::write`.

use std::{path::Path, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, AsArray, ListArray, MapArray, RecordBatch, RecordBatchOptions, StructArray,
    },
    datatypes::{DataType, Field, FieldRef, Schema as ArrowSchema, SchemaRef},
};
use stoadb_engine::{Plan, scheduler::Workers};
use stoadb_storage::{
    ColumnDef, LogicalType, Scalar, Schema, StorageError, TimeUnit, distinct_names,
    write::{CsvStyle, FileStyle, FileWriter, Jobs, PartitionedWriter, Quoted},
};

use crate::{
    error::{Error, ErrorKind, Result},
    session::{
        connection::{Connection, State},
        copy_options::{CopyTo, Format, format_of},
        create,
        result::QueryResult,
        run::{self, Prepared, Session},
        text::to_text,
    },
    sql::{
        self, ParsedStatement,
        ast::{CopySource, CopyTarget, Ident, ObjectName, Statement},
        file_options::{FileOption, OptionValue, is_text_type, type_named},
    },
};

/// `COPY`.
pub(crate) fn run(
    connection: &Connection,
    state: &mut State,
    parsed: &ParsedStatement,
    parameters: &[Scalar],
) -> Result<QueryResult> {
    let Statement::Copy { source, to, target, .. } = &parsed.statement else {
        return Err(Error::internal("not a COPY"));
    };
    let CopyTarget::File { filename } = target else {
        return Err(Error::unsupported(format!("COPY with {target}: a file is named by a text")));
    };
    match (source, to) {
        (source, true) => {
            let session = Session::new(connection, state, parameters);
            let statement = query_of(source)?;
            let place = run::place_of(&statement, &session.names.snapshot);
            let rows = write(&session, &statement, filename, &parsed.options);
            Ok(QueryResult::changed(rows.map_err(|error| place(error))?))
        }
        (CopySource::Table { table_name, columns }, false) => {
            let text = {
                let session = Session::new(connection, state, parameters);
                insert_text(&session, table_name, columns, filename, &parsed.options)?
            };
            // An error's place is one of the text that is made here.
            let placeless = |error: Error| Error { span: None, ..error };
            let parsed = sql::parse(&text).map_err(placeless)?;
            let Some(insert) = parsed.first() else { return Err(Error::internal("no INSERT")) };
            run::autocommit(connection, state, &insert.statement, &[]).map_err(placeless)
        }
        (CopySource::Query(_), false) => Err(Error::unsupported("COPY of a query FROM a file")),
    }
}

/// The query whose rows are copied.
fn query_of(source: &CopySource) -> Result<Statement> {
    let (name, columns) = match source {
        CopySource::Query(query) => return Ok(Statement::Query(query.clone())),
        CopySource::Table { table_name, columns } => (table_name, columns),
    };
    let columns: Vec<String> = columns.iter().map(Ident::to_string).collect();
    let columns = if columns.is_empty() { "*".to_owned() } else { columns.join(", ") };
    let mut parsed = sql::parse(&format!("SELECT {columns} FROM {name}"))?;
    parsed.pop().map(|parsed| parsed.statement).ok_or_else(|| Error::internal("no query"))
}

/// Runs jobs on the workers of the statement.
struct Running<'a>(&'a Workers);

impl Jobs for Running<'_> {
    type Error = Error;

    fn run(
        &self,
        jobs: usize,
        job: &(dyn Fn(usize) -> Result<(), StorageError> + Sync),
    ) -> Result<()> {
        Ok(self.0.for_each(jobs, |number| Ok(job(number)?))?)
    }

    fn width(&self) -> usize {
        self.0.threads()
    }
}

/// Where the rows go.
enum Target {
    One(FileWriter),
    Many(Box<PartitionedWriter>, Vec<usize>),
}

/// Writes the rows of a query; how many there are.
pub(crate) fn write(
    session: &Session<'_>,
    query: &Statement,
    path: &str,
    options: &[FileOption],
) -> Result<u64> {
    let mut copy = CopyTo::new(path, options)?;
    let Prepared { mut plan, relations, schema, .. } = session.prepare(query)?;
    if schema.fields().is_empty() {
        return Err(Error::unsupported("files without columns"));
    }
    let names = names(&schema, !matches!(copy.format, Format::Csv));
    let columns = |names: &[String]| -> Result<Vec<usize>> {
        names.iter().map(|name| column_of(&schema, name)).collect()
    };
    let keys = columns(&copy.partition_by)?;
    let forced = columns(&copy.force_quote)?;
    if let (FileStyle::Csv(CsvStyle { quoted, .. }, _), false) =
        (&mut copy.style, forced.is_empty())
    {
        // Of partitioned files the keys are no columns.
        let place = |column: &usize| keys.iter().filter(|key| *key < column).count();
        *quoted = Quoted::Columns(forced.iter().map(|column| column - place(column)).collect());
    }
    let given: Vec<ColumnDef> = names
        .iter()
        .zip(&plan.root.schema().columns)
        .map(|(name, column)| ColumnDef::new(name, written_type(&column.ty, copy.format)))
        .collect();
    let given = Arc::new(Schema::new(given));
    let empty = Plan::Values { schema: Schema::default(), rows: Vec::new() };
    plan.root = create::coerce(std::mem::replace(&mut plan.root, empty), &given)?;
    let fields = given.columns.iter().map(|column| {
        let ty = with_texts(&column.ty.to_arrow(), copy.format);
        Field::new(&column.name, ty, true)
    });
    let stored: SchemaRef = Arc::new(ArrowSchema::new(fields.collect::<Vec<_>>()));
    let mut target = target(path, &stored, copy, keys)?;
    let workers = session.workers()?;
    let jobs = Running(&workers);
    let (context, arrow) = (session.context(relations), given.to_arrow());
    let rows = stoadb_engine::execute(Arc::new(plan), arrow, context, workers.clone());
    for batch in rows {
        let batch = restored(&batch?, &stored)?;
        match &mut target {
            Target::One(file) => file.write(batch, &jobs)?,
            Target::Many(files, keys) => {
                let texts = keys.iter().map(|&key| to_text(batch.column(key)));
                let texts = texts.collect::<Result<Vec<_>>>()?;
                files.write(&batch, &texts, &jobs)?;
            }
        }
    }
    match target {
        Target::One(file) => file.finish(&jobs),
        Target::Many(files, _) => files.finish(&jobs),
    }
}

fn target(path: &str, schema: &SchemaRef, copy: CopyTo, keys: Vec<usize>) -> Result<Target> {
    if keys.is_empty() {
        return Ok(Target::One(FileWriter::create(path, schema, &copy.style)?));
    }
    let extension = copy.format.extension();
    let files =
        PartitionedWriter::create(path, schema, &keys, copy.style, extension, copy.existing)?;
    Ok(Target::Many(Box::new(files), keys))
}

/// The names of the columns; where they have to differ, later ones get a number.
fn names(schema: &SchemaRef, differ: bool) -> Vec<String> {
    let names = schema.fields().iter().map(|field| field.name().as_str());
    match differ {
        true => distinct_names(names),
        false => names.map(str::to_owned).collect(),
    }
}

fn column_of(schema: &SchemaRef, name: &str) -> Result<usize> {
    let found = schema.fields().iter().position(|field| field.name().eq_ignore_ascii_case(name));
    found.ok_or_else(|| {
        let known: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        Error::new(ErrorKind::Name, format!("there is no column '{name}' to write"))
            .with_hint(format!("the columns are {}", known.join(", ")))
    })
}

/// The type that the values of a column are cast to before they are written.
fn written_type(ty: &LogicalType, format: Format) -> LogicalType {
    match format {
        Format::Csv if !ty.is_nested() => LogicalType::Text,
        Format::Json if !ty.is_nested() && !is_json(ty) => LogicalType::Text,
        _ => ty.clone(),
    }
}

/// Whether JSON has the values of a type other than as strings.
fn is_json(ty: &LogicalType) -> bool {
    ty.is_numeric() || matches!(ty, LogicalType::Boolean | LogicalType::Null)
}

/// A nested type whose leaves are texts where the format has no other way to write them.
fn with_texts(ty: &DataType, format: Format) -> DataType {
    let child = |field: &FieldRef| -> FieldRef {
        Arc::new(Field::clone(field).with_data_type(with_texts(field.data_type(), format)))
    };
    match (format, ty) {
        (Format::Parquet | Format::Arrow(_), ty) => ty.clone(),
        (_, DataType::List(item)) => DataType::List(child(item)),
        (_, DataType::Struct(fields)) => DataType::Struct(fields.iter().map(child).collect()),
        (_, DataType::Map(entries, sorted)) => DataType::Map(child(entries), *sorted),
        (Format::Json, ty) if LogicalType::from_arrow(ty).is_ok_and(|ty| is_json(&ty)) => {
            ty.clone()
        }
        _ => DataType::Utf8View,
    }
}

/// A batch with the leaves of nested columns as the schema has them.
fn restored(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let columns = batch.columns().iter().zip(schema.fields());
    let columns = columns.map(|(column, field)| restored_array(column, field.data_type()));
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let columns = columns.collect::<Result<Vec<_>>>()?;
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
        .map_err(Error::internal)
}

fn restored_array(array: &ArrayRef, ty: &DataType) -> Result<ArrayRef> {
    if array.data_type() == ty {
        return Ok(Arc::clone(array));
    }
    let nulls = array.nulls().cloned();
    Ok(match ty {
        DataType::List(item) => {
            let list = array.as_list::<i32>();
            let values = restored_array(list.values(), item.data_type())?;
            let list = ListArray::try_new(Arc::clone(item), list.offsets().clone(), values, nulls);
            Arc::new(list.map_err(Error::internal)?)
        }
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns().iter().zip(fields);
            let columns = columns.map(|(column, field)| restored_array(column, field.data_type()));
            let columns = columns.collect::<Result<Vec<_>>>()?;
            let parts =
                StructArray::try_new_with_length(fields.clone(), columns, nulls, array.len());
            Arc::new(parts.map_err(Error::internal)?)
        }
        DataType::Map(entries, sorted) => {
            let map = array.as_map();
            let inner: ArrayRef = Arc::new(map.entries().clone());
            let inner = restored_array(&inner, entries.data_type())?.as_struct().clone();
            let (entries, offsets) = (Arc::clone(entries), map.offsets().clone());
            let map = MapArray::try_new(entries, offsets, inner, nulls, *sorted);
            Arc::new(map.map_err(Error::internal)?)
        }
        _ => Arc::new(to_text(array)?),
    })
}

/// The INSERT that `COPY table FROM 'file'` is.
fn insert_text(
    session: &Session<'_>,
    table: &ObjectName,
    columns: &[Ident],
    path: &str,
    options: &[FileOption],
) -> Result<String> {
    let format = format_of(path, options)?;
    let name = session.names.key(table)?;
    let known = session.names.snapshot.table(&name)?;
    let all = &known.shared_schema().columns;
    let chosen: Vec<&ColumnDef> = match columns.is_empty() {
        true => all.iter().collect(),
        false => columns
            .iter()
            .filter_map(|c| all.iter().find(|def| def.name.eq_ignore_ascii_case(&c.value)))
            .collect(),
    };
    let into: Vec<String> = columns.iter().map(Ident::to_string).collect();
    let into = if into.is_empty() { String::new() } else { format!(" ({})", into.join(", ")) };
    let mut arguments = vec![quoted(path)];
    let mut items = "*".to_owned();
    let reader = match format {
        Format::Parquet => "read_parquet",
        Format::Arrow(_) => "read_arrow",
        Format::Csv => {
            let typed = chosen.iter().map(|def| {
                let ty = if is_text_type(&def.ty) { def.ty.to_string() } else { "VARCHAR".into() };
                format!("{}: {}", quoted(&def.name), quoted(&ty))
            });
            let typed = typed.collect::<Vec<_>>().join(", ");
            if chosen.len() >= columns.len() {
                arguments.push(format!("columns = {{{typed}}}"));
            }
            "read_csv"
        }
        Format::Json => {
            let typed = chosen.iter().map(|def| {
                // What the reader does not know is read as a text, and cast by the INSERT.
                let ty = Some(sql_type(&def.ty)).filter(|ty| type_named(ty).is_some());
                format!("{}: {}", quoted(&def.name), quoted(&ty.unwrap_or("VARCHAR".into())))
            });
            arguments.push(format!("columns = {{{}}}", typed.collect::<Vec<_>>().join(", ")));
            let names = chosen.iter().map(|def| Ident::with_quote('"', &def.name).to_string());
            items = names.collect::<Vec<_>>().join(", ");
            "read_json"
        }
    };
    let hive = options.iter().any(|option| option.name == "hive_partitioning");
    if !hive && !matches!(format, Format::Arrow(_)) && Path::new(path).is_file() {
        // The folders that one file stands in say nothing of its columns.
        arguments.push("hive_partitioning = false".into());
    }
    for option in options.iter().filter(|option| option.name != "format") {
        // PostgreSQL's names of what StoaDB does anyway.
        if option.name == "encoding" || (option.name == "freeze" && format == Format::Csv) {
            continue;
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if !option.name.chars().all(plain) {
            let error = Error::unsupported(format!("the option \"{}\" of COPY", option.name));
            return Err(error.or_span(option.place));
        }
        arguments.push(format!("{} = {}", option.name, value_text(&option.value)));
    }
    Ok(format!("INSERT INTO {table}{into} SELECT {items} FROM {reader}({})", arguments.join(", ")))
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn value_text(value: &OptionValue) -> String {
    let list = |values: Vec<String>| values.join(", ");
    match value {
        OptionValue::Boolean(flag) => flag.to_string(),
        OptionValue::Number(number) => number.to_string(),
        OptionValue::Text(text) => quoted(text),
        OptionValue::List(values) => format!("[{}]", list(values.iter().map(value_text).collect())),
        OptionValue::Pairs(pairs) => {
            let pair = |(name, value): &(String, OptionValue)| {
                format!("{}: {}", quoted(name), value_text(value))
            };
            format!("{{{}}}", list(pairs.iter().map(pair).collect()))
        }
    }
}

/// Digits behind the second.
fn digits(unit: TimeUnit) -> usize {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    }
}

/// The name of a type as a statement reads it back.
pub(crate) fn sql_type(ty: &LogicalType) -> String {
    let part = |ty: &DataType| {
        LogicalType::from_arrow(ty).map_or_else(|_| ty.to_string(), |ty| sql_type(&ty))
    };
    match ty {
        LogicalType::Null => "INTEGER".into(),
        LogicalType::Time(unit) if *unit != TimeUnit::Microsecond => {
            format!("TIME({})", digits(*unit))
        }
        LogicalType::Timestamp(unit, Some(_)) if *unit != TimeUnit::Microsecond => {
            format!("TIMESTAMP({}) WITH TIME ZONE", digits(*unit))
        }
        LogicalType::List(item) => format!("{}[]", part(item.data_type())),
        LogicalType::Struct(fields) => {
            let field = |field: &FieldRef| {
                format!("{} {}", Ident::with_quote('"', field.name()), part(field.data_type()))
            };
            format!("STRUCT({})", fields.iter().map(field).collect::<Vec<_>>().join(", "))
        }
        LogicalType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) if fields.len() == 2 => {
                format!("MAP({}, {})", part(fields[0].data_type()), part(fields[1].data_type()))
            }
            _ => ty.to_string(),
        },
        ty => ty.to_string(),
    }
}
