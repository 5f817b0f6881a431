//! The settings of a run, resolved from the flags and the terminal.
//!
//! Invariants: every value is checked, and a wrong one is named in the message; statements come in the order in which
//! they were given, whichever flag gave them.

use std::{ffi::OsString, path::PathBuf};

use clap::{ArgMatches, CommandFactory, FromArgMatches};
use stoadb::Settings;

use crate::{
    args::Args,
    print::{Format, Options},
};

/// Most rows of a table that is printed on a terminal.
const TERMINAL_ROWS: usize = 40;

/// What to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Script {
    /// Statements from the command line.
    Text(String),
    /// Statements in a file.
    File(PathBuf),
    /// Statements from standard input.
    Stdin,
}

/// Where results go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Terminal {
    /// Whether standard output is a terminal.
    pub(crate) is_terminal: bool,
    /// Its width in columns, if known.
    pub(crate) width: Option<usize>,
}

/// A run's settings.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// Files to open under their names, and the folder of a saved database.
    pub(crate) inputs: Vec<PathBuf>,
    /// What to run, in order. Empty: standard input.
    pub(crate) scripts: Vec<Script>,
    /// How results are printed.
    pub(crate) options: Options,
    /// Names and values of the connection's settings that the flags gave.
    pub(crate) settings: Vec<(&'static str, String)>,
}

impl Config {
    /// The settings of a command line, the program's name first.
    ///
    /// # Errors
    /// Clap's error, which also carries the texts of `--help` and `--version`; its `exit` prints them.
    pub(crate) fn parse(
        line: impl IntoIterator<Item = OsString>,
        terminal: Terminal,
    ) -> Result<Self, clap::Error> {
        let matches = Args::command().try_get_matches_from(line)?;
        let args = Args::from_arg_matches(&matches)?;
        Self::resolve(&args, &matches, terminal).map_err(|message| {
            Args::command().error(clap::error::ErrorKind::ValueValidation, message)
        })
    }

    fn resolve(args: &Args, matches: &ArgMatches, terminal: Terminal) -> Result<Self, String> {
        let options = Options {
            format: args.format.unwrap_or(Format::Table),
            header: !args.no_header,
            max_rows: terminal.is_terminal.then_some(TERMINAL_ROWS),
            width: terminal.width.filter(|_| terminal.is_terminal),
        };
        Ok(Self {
            inputs: args.inputs.clone(),
            scripts: scripts(args, matches),
            options,
            settings: settings(args)?,
        })
    }
}

/// The settings that flags give, as the connection reads them.
fn settings(args: &Args) -> Result<Vec<(&'static str, String)>, String> {
    let mut known = Settings::default();
    let mut settings = Vec::new();
    for (flag, name, value) in [
        ("--threads", "threads", &args.threads),
        ("--memory-limit", "memory_limit", &args.memory_limit),
        ("--timeout", "timeout", &args.timeout),
    ] {
        let Some(value) = value else { continue };
        known.set(name, value).map_err(|error| match error.hint {
            Some(hint) => format!("{flag}: {}; {hint}", error.message),
            None => format!("{flag}: {}", error.message),
        })?;
        settings.push((name, value.clone()));
    }
    Ok(settings)
}

fn scripts(args: &Args, matches: &ArgMatches) -> Vec<Script> {
    let file = |path: &PathBuf| match path.as_os_str() == "-" {
        true => Script::Stdin,
        false => Script::File(path.clone()),
    };
    let places = |id: &str| matches.indices_of(id).into_iter().flatten().collect::<Vec<_>>();
    let texts = args.commands.iter().cloned().map(Script::Text);
    let mut scripts: Vec<(usize, Script)> = places("commands").into_iter().zip(texts).collect();
    scripts.extend(places("files").into_iter().zip(args.files.iter().map(file)));
    scripts.sort_by_key(|(place, _)| *place);
    scripts.into_iter().map(|(_, script)| script).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &[&str]) -> Result<Config, String> {
        let line = std::iter::once("stoa").chain(line.iter().copied()).map(OsString::from);
        let terminal = Terminal { is_terminal: true, width: Some(90) };
        Config::parse(line, terminal).map_err(|error| error.to_string())
    }

    #[test]
    fn test_scripts_keep_their_order() {
        let line = ["-c", "a", "-f", "b.sql", "x.csv", "--command=c", "-f", "-", "y.parquet"];
        let config = parse(&line).unwrap();
        let expected = [
            Script::Text("a".into()),
            Script::File("b.sql".into()),
            Script::Text("c".into()),
            Script::Stdin,
        ];
        assert_eq!(config.scripts, expected);
        assert_eq!(config.inputs, [PathBuf::from("x.csv"), PathBuf::from("y.parquet")]);
    }

    #[test]
    fn test_settings() {
        let config = parse(&[]).unwrap();
        assert!(config.scripts.is_empty() && config.inputs.is_empty());
        assert_eq!(config.options.format, Format::Table);
        assert_eq!((config.options.max_rows, config.options.width), (Some(40), Some(90)));
        assert!(config.options.header);
        assert_eq!(config.settings, []);
        let line = ["--threads", "3", "--memory-limit", "1.5 GiB", "--timeout", "500ms"];
        let line = [&line[..], &["--format", "jsonl", "--no-header"]].concat();
        let config = parse(&line).unwrap();
        let settings = [("threads", "3"), ("memory_limit", "1.5 GiB"), ("timeout", "500ms")];
        assert_eq!(config.settings, settings.map(|(name, value)| (name, value.to_owned())));
        assert_eq!(config.options.format, Format::Jsonl);
        assert!(!config.options.header);
    }

    #[test]
    fn test_wrong_settings_are_named() {
        let error = |line: &[&str]| parse(line).unwrap_err();
        let lots = error(&["--memory-limit", "lots"]);
        assert!(lots.contains("--memory-limit: 'lots' is no value"), "{lots}");
        assert!(lots.contains("'512MiB'"), "{lots}");
        assert!(error(&["--timeout", "3 days"]).contains("--timeout: '3 days' is no value"));
        assert!(error(&["--threads", "0"]).contains("--threads: '0' is no value"));
        assert!(error(&["--threads", "many"]).contains("--threads: 'many' is no value"));
        assert!(error(&["--format", "xml"]).contains("'xml'"));
        assert!(error(&["--version"]).starts_with("stoa "));
        assert!(error(&["--help"]).contains("Examples:"));
    }
}
