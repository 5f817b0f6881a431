//! The flags of the command line, as they were given.
//!
//! Invariant: nothing is interpreted here beyond its type; `config.rs` does that.

use std::path::PathBuf;

use clap::Parser;

use crate::print::Format;

const EXAMPLES: &str = "\
Examples:
  stoa < report.sql                             Run the statements on standard input
  stoa -c \"SELECT count(*) FROM 'hits.parquet'\" Run a statement
  stoa -f report.sql --format csv > report.csv  Run a file of statements
  stoa sales.parquet -c 'SELECT * FROM sales'   Open a file under its name and query it
  stoa -c \"CREATE TABLE t AS SELECT * FROM 'hits.parquet'; SAVE TO 'hits'\"
                                                Save a table in the folder 'hits'
  stoa hits -c 'SELECT count(*) FROM t'         Open the folder as the database
  stoa -c 'SELECT 1' -f more.sql -c 'SELECT 2'  Run several, in the order given
  stoa --memory-limit 4GiB --timeout 30s -f heavy.sql";

/// Analytics over columns in memory: runs SQL over files, tables and saved databases.
#[derive(Debug, Clone, PartialEq, Eq, Parser)]
#[command(name = "stoa", version, about, after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A folder that SAVE TO made, opened as the database; or files of data (Parquet, CSV, JSON, Arrow), each opened under its name
    /// without the ending
    #[arg(value_name = "PATH")]
    pub(crate) inputs: Vec<PathBuf>,
    /// Run SQL statements and exit, at the first error; may be repeated
    #[arg(short = 'c', long = "command", value_name = "SQL")]
    pub(crate) commands: Vec<String>,
    /// Run a file of SQL statements and exit, at the first error; '-' for standard input; may be repeated
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// How results are written [default: table]
    #[arg(long, value_name = "FORMAT", value_enum)]
    pub(crate) format: Option<Format>,
    /// Most threads of a query [default: all cores]
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<String>,
    /// Most memory that a query's operators may hold, such as 512MiB or 4GB
    #[arg(long, value_name = "BYTES")]
    pub(crate) memory_limit: Option<String>,
    /// Stop a statement that runs longer, such as 500ms, 30s, 5m or 1h
    #[arg(long, value_name = "TIME")]
    pub(crate) timeout: Option<String>,
    /// Write no names of columns
    #[arg(long)]
    pub(crate) no_header: bool,
}
