//! `stoa`: runs SQL from the command line, from files and from standard input.
//!
//! Invariants: results go to standard output, errors to standard error; the exit code is 0 when every statement worked,
//! 1 when one failed, 2 when the command line is wrong. A reader that closes the pipe ends the run cleanly.
//! Read next: `args.rs` (flags as given), `config.rs` (resolved), `print/` (results as text).

mod args;
mod config;
mod memory;
mod print;

use std::{
    fs,
    io::{self, BufWriter, IsTerminal, Read, Write},
    path::Path,
    process::ExitCode,
    thread,
};

use stoadb::{Connection, Database, QueryResult, is_saved_database, type_name};

use crate::{
    config::{Config, Script, Terminal},
    print::{Column, PrintError},
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Stack of the thread that runs the statements: enough to plan one without another stack. Only what is used of it takes
/// memory.
const STACK_BYTES: usize = 256 << 20;

fn main() -> ExitCode {
    let is_terminal = io::stdout().is_terminal();
    let width = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let terminal = Terminal { is_terminal, width };
    let config = match Config::parse(std::env::args_os(), terminal) {
        Ok(config) => config,
        Err(error) => error.exit(),
    };
    let run = thread::Builder::new().stack_size(STACK_BYTES).spawn(move || run(&config));
    let lost = || Err("error: the thread that runs the statements was lost".to_owned());
    let done = match run {
        Ok(thread) => thread.join().unwrap_or_else(|_| lost()),
        Err(error) => Err(format!("error: cannot start a thread: {error}")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            // Nowhere is left to report that standard error is closed.
            let _ = writeln!(io::stderr(), "{message}");
            ExitCode::FAILURE
        }
    }
}

fn run(config: &Config) -> Result<(), String> {
    let (folders, files): (Vec<&Path>, Vec<&Path>) =
        config.inputs.iter().map(AsRef::as_ref).partition(|path| is_saved_database(path));
    let database = match folders.as_slice() {
        [] => Database::open_in_memory(),
        [folder] => Database::open(folder).map_err(|error| error.render(""))?,
        [first, second, ..] => {
            let (first, second) = (first.display(), second.display());
            return Err(format!(
                "error: '{first}' and '{second}' are databases; open one at a time"
            ));
        }
    };
    let connection = database.connect();
    let set =
        |(name, value): &(&str, String)| format!("SET {name} = '{}'", value.replace('\'', "''"));
    for sql in config.settings.iter().map(set) {
        connection.execute(&sql).map_err(|error| error.render(&sql))?;
    }
    files.iter().try_for_each(|file| open_file(&connection, file))?;
    if config.scripts.is_empty() && (files.is_empty() || !folders.is_empty()) {
        return script(&connection, &read_stdin()?, config, &mut false).map(drop);
    }
    if config.scripts.is_empty() {
        let names = files.iter().map(|file| format!("DESCRIBE {}", quoted(&stem(file))));
        let text = names.collect::<Vec<_>>().join(";");
        return script(&connection, &text, config, &mut false).map(drop);
    }
    let mut printed = false;
    for text in &config.scripts {
        let text = match text {
            Script::Text(text) => text.clone(),
            Script::File(path) => fs::read_to_string(path)
                .map_err(|error| format!("error: cannot read '{}': {error}", path.display()))?,
            Script::Stdin => read_stdin()?,
        };
        // Editors of some systems mark UTF-8 so.
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        if !script(&connection, text, config, &mut printed)? {
            break;
        }
    }
    Ok(())
}

fn read_stdin() -> Result<String, String> {
    let mut text = String::new();
    let read = io::stdin().read_to_string(&mut text);
    read.map_err(|error| format!("error: cannot read standard input: {error}"))?;
    Ok(text)
}

/// The name under which a file is opened: its own without folder and extension, that of a compression included.
fn stem(path: &Path) -> String {
    let packed = |path: &Path| {
        path.extension()
            .is_some_and(|e| e.eq_ignore_ascii_case("gz") || e.eq_ignore_ascii_case("zst"))
    };
    let name = path.file_stem().unwrap_or(path.as_os_str());
    let inner = Path::new(name).file_stem().filter(|_| packed(path));
    inner.unwrap_or(name).to_string_lossy().into_owned()
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Opens a file, or a folder of files, under its name.
fn open_file(connection: &Connection, path: &Path) -> Result<(), String> {
    let file = path.display().to_string().replace('\'', "''");
    let sql = format!("CREATE VIEW {} AS SELECT * FROM '{file}'", quoted(&stem(path)));
    let opened = connection.execute(&sql).map_err(|error| error.render(&sql));
    opened.map(drop).map_err(|message| match path.is_dir() {
        true => {
            format!("{message}\nhint: the folder is no saved database either: it has no manifest")
        }
        false => message,
    })
}

/// Runs the statements of a text and prints what they give. False when nobody reads any more. `printed` tells whether a
/// result stands before those of this text, and then whether one stands before what follows.
fn script(
    connection: &Connection,
    text: &str,
    config: &Config,
    printed: &mut bool,
) -> Result<bool, String> {
    let statements = connection.statements(text).map_err(|error| error.render(text))?;
    for statement in statements {
        let shown = memory::frugal(connection.database(), || {
            let result = statement.query(&[]).map_err(|error| error.render(text))?;
            show(result, config, text, printed)
        })?;
        if !shown {
            return Ok(false);
        }
    }
    Ok(true)
}

fn show(
    result: QueryResult,
    config: &Config,
    text: &str,
    printed: &mut bool,
) -> Result<bool, String> {
    let column = |field: &arrow::datatypes::FieldRef| Column {
        name: field.name().clone(),
        type_name: type_name(field.data_type()),
        data_type: field.data_type().clone(),
    };
    let columns: Vec<Column> = result.schema().fields().iter().map(column).collect();
    if columns.is_empty() {
        return Ok(true);
    }
    let mut out = BufWriter::new(io::stdout().lock());
    if std::mem::replace(printed, true) && config.options.format == print::Format::Markdown {
        // Without a blank line the next table would be more rows of the last one.
        let _ = writeln!(out);
    }
    match print::print(&mut out, &columns, result, config.options) {
        Ok(done) => {
            let flushed = out.flush();
            Ok(!done.closed && flushed.is_ok())
        }
        Err(PrintError::Query(error)) => {
            // What was printed before the error is shown, if anybody still reads.
            let _ = out.flush();
            Err(error.render(text))
        }
        Err(error) => Err(format!("error: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_a_file_is_opened_under_its_name_without_extensions() {
        for (path, name) in [
            ("a.csv", "a"),
            ("data/a.csv.gz", "a"),
            ("a.tsv.ZST", "a"),
            ("a.b.parquet", "a.b"),
            ("a.gz", "a"),
            ("flights", "flights"),
            (".csv", ".csv"),
        ] {
            assert_eq!(stem(Path::new(path)), name, "{path}");
        }
    }
}
