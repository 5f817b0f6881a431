//! The settings of a run, resolved from the flags and the terminal.
//!
//! Invariants: every value is checked, and a wrong one is named in the message; statements come in the order in which
//! they were given, whichever flag gave them.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{ArgMatches, CommandFactory, FromArgMatches};

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
    /// What to run, in order. Empty: the shell, or standard input when that is no terminal.
    pub(crate) scripts: Vec<Script>,
    /// How results are printed.
    pub(crate) options: Options,
    /// Most threads of a query; `None` for all cores.
    pub(crate) threads: Option<usize>,
    /// Most bytes of a query's operators; `None` for the library's default.
    pub(crate) memory_limit: Option<u64>,
    /// After how long a statement fails; `None` for never.
    pub(crate) timeout: Option<Duration>,
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
        if args.threads == Some(0) {
            return Err("--threads must be at least 1".into());
        }
        let options = Options {
            format: args.format.unwrap_or(Format::Table),
            header: !args.no_header,
            max_rows: terminal.is_terminal.then_some(TERMINAL_ROWS),
            width: terminal.width.filter(|_| terminal.is_terminal),
        };
        let memory_limit = args.memory_limit.as_deref().map(parse_bytes).transpose();
        let timeout = args.timeout.as_deref().map(parse_time).transpose();
        Ok(Self {
            inputs: args.inputs.clone(),
            scripts: scripts(args, matches),
            options,
            threads: args.threads,
            memory_limit: memory_limit.map_err(|message| format!("--memory-limit: {message}"))?,
            timeout: timeout.map_err(|message| format!("--timeout: {message}"))?,
        })
    }
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

/// A number, perhaps with a fraction, and a unit behind it.
fn split_unit(text: &str) -> Option<(f64, String)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit.trim().to_ascii_lowercase()))
}

/// `4GB`, `512 MiB`, `1.5g`, `1000000`. Units of one letter and those with an i count in 1024s.
fn parse_bytes(text: &str) -> Result<u64, String> {
    let wrong = || format!("'{text}' is not a size; write for example 512MiB or 4GB");
    if let Ok(bytes) = text.trim().parse() {
        return Ok(bytes);
    }
    let (number, unit) = split_unit(text).ok_or_else(wrong)?;
    let scale: u64 = match unit.as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        "kb" => 1000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return Err(wrong()),
    };
    let bytes = number * scale as f64;
    // Beyond 2^63 the product is not what anybody means.
    if bytes < 9.2e18 { Ok(bytes as u64) } else { Err(wrong()) }
}

/// `500ms`, `30s`, `5m`, `1.5h`; seconds without a unit.
fn parse_time(text: &str) -> Result<Duration, String> {
    let wrong = || format!("'{text}' is not a time; write for example 500ms, 30s, 5m or 1h");
    let (number, unit) = split_unit(text).ok_or_else(wrong)?;
    let seconds = match unit.as_str() {
        "ms" => number / 1000.0,
        "" | "s" => number,
        "m" | "min" => number * 60.0,
        "h" => number * 3600.0,
        _ => return Err(wrong()),
    };
    Duration::try_from_secs_f64(seconds).map_err(|_| wrong())
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
        assert_eq!((config.threads, config.memory_limit, config.timeout), (None, None, None));
        let line = ["--threads", "3", "--memory-limit", "1.5 GiB", "--timeout", "500ms"];
        let line = [&line[..], &["--format", "jsonl", "--no-header"]].concat();
        let config = parse(&line).unwrap();
        assert_eq!(config.threads, Some(3));
        assert_eq!(config.memory_limit, Some(3 << 29));
        assert_eq!(config.timeout, Some(Duration::from_millis(500)));
        assert_eq!(config.options.format, Format::Jsonl);
        assert!(!config.options.header);
    }

    #[test]
    fn test_wrong_settings_are_named() {
        let error = |line: &[&str]| parse(line).unwrap_err();
        assert!(
            error(&["--memory-limit", "lots"]).contains("--memory-limit: 'lots' is not a size")
        );
        assert!(error(&["--memory-limit", "9e99GB"]).contains("'9e99GB' is not a size"));
        assert!(error(&["--timeout", "3 days"]).contains("--timeout: '3 days' is not a time"));
        assert!(error(&["--threads", "0"]).contains("--threads must be at least 1"));
        assert!(error(&["--format", "xml"]).contains("'xml'"));
        assert!(error(&["--version"]).starts_with("stoa "));
        assert!(error(&["--help"]).contains("Examples:"));
    }

    #[test]
    fn test_sizes_and_times() {
        let sizes = [("7", 7), ("4GB", 4_000_000_000), ("2k", 2048), (" 1 tib ", 1 << 40)];
        for (text, bytes) in sizes {
            assert_eq!(parse_bytes(text), Ok(bytes));
        }
        assert_eq!(parse_bytes("18446744073709551615"), Ok(u64::MAX));
        assert!(parse_bytes("-1").is_err() && parse_bytes("").is_err());
        let times = [("2", 2000), ("1.5h", 5_400_000), ("2 min", 120_000), ("0.25s", 250)];
        for (text, ms) in times {
            assert_eq!(parse_time(text), Ok(Duration::from_millis(ms)));
        }
        assert!(parse_time("s").is_err() && parse_time("1.2.3s").is_err());
    }
}
