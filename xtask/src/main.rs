//! The jobs that people repeat: `cargo xtask <job>`. Without a job, the list.

#![expect(clippy::print_stdout, reason = "this is a command line tool")]

use std::process::{Command, ExitCode};

const HELP: &str = "\
cargo xtask check        format, lints and all tests: what CI runs
cargo xtask slt DIR      run the .slt files of a folder; --verbose prints failures, --matrix runs every configuration
cargo xtask lint         format and lints only
cargo xtask compare [workload] [--sf N]   side by side with other engines (needs Python; see docs/PERFORMANCE.md)";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args.as_slice() {
        ["check"] => lint() && cargo(&["test", "--workspace", "--release"]),
        ["lint"] => lint(),
        ["slt", rest @ ..] => {
            let run = ["run", "--release", "-q", "-p", "stoadb-tests", "--bin", "slt", "--"];
            cargo(&[&run, rest].concat())
        }
        ["compare", rest @ ..] => {
            cargo(&["build", "--release", "-p", "stoadb-benches", "--bin", "sql_times"])
                && run("python3", &[&["benches/compare/compare.py"], rest].concat())
        }
        _ => {
            println!("{HELP}");
            return ExitCode::from(if args.is_empty() { 0 } else { 2 });
        }
    };
    if done { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn lint() -> bool {
    cargo(&["fmt", "--all", "--check"])
        && cargo(&["clippy", "--workspace", "--all-targets", "--release", "--", "-D", "warnings"])
}

fn cargo(args: &[&str]) -> bool {
    run("cargo", args)
}

fn run(program: &str, args: &[&str]) -> bool {
    println!("$ {program} {}", args.join(" "));
    match Command::new(program).args(args).status() {
        Ok(status) => status.success(),
        Err(error) => {
            println!("cannot start {program}: {error}");
            false
        }
    }
}
