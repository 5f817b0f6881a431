//! The jobs that people repeat: `cargo xtask <job>`. Without a job, the list.

#![expect(clippy::print_stdout, reason = "this is a command line tool")]

use std::{
    path::Path,
    process::{Command, ExitCode},
};

/// What the tests of the Python package need.
const PYTHON_PACKAGES: [&str; 8] =
    ["pytest", "numpy", "pandas", "pyarrow", "polars", "nbclient", "nbformat", "ipykernel"];

const HELP: &str = "\
cargo xtask test         all tests: of the crates, and of the Python package, which is built into target/python
cargo xtask python       the tests of the Python package alone
cargo xtask check        format, lints and all tests, optimised
cargo xtask slt DIR      run the .slt files of a folder; --verbose prints failures, --matrix runs every configuration
cargo xtask lint         format and lints only
cargo xtask compare [workload] [--sf N]   side by side with other engines (needs Python; see docs/PERFORMANCE.md)";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args.as_slice() {
        ["test"] => cargo(&["test", "--workspace"]) && python(),
        ["python"] => python(),
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

/// Builds the Python package into an environment of its own below `target/` and runs its tests there.
fn python() -> bool {
    let environment = Path::new("target/python");
    let program = |name: &str| environment.join("bin").join(name).display().to_string();
    let (pip, maturin, tests) = (program("pip"), program("maturin"), program("python"));
    let made = Path::new(&tests).exists() || run("python3", &["-m", "venv", "target/python"]);
    // What is there already is left as it is, so that a second run needs no network.
    let install = [
        ["install", "--quiet", "--disable-pip-version-check", "maturin>=1.9.4,<2"].as_slice(),
        &PYTHON_PACKAGES,
    ];
    let build = ["develop", "--manifest-path", "python/Cargo.toml"];
    made && run(&pip, &install.concat())
        && run_in(environment, &maturin, &build)
        && run(&tests, &["-m", "pytest", "python/tests"])
}

fn cargo(args: &[&str]) -> bool {
    run("cargo", args)
}

fn run(program: &str, args: &[&str]) -> bool {
    finish(program, args, &mut Command::new(program))
}

/// Runs a program in a Python environment.
fn run_in(environment: &Path, program: &str, args: &[&str]) -> bool {
    let absolute = std::path::absolute(environment).unwrap_or_else(|_| environment.into());
    finish(program, args, Command::new(program).env("VIRTUAL_ENV", absolute))
}

fn finish(program: &str, args: &[&str], command: &mut Command) -> bool {
    println!("$ {program} {}", args.join(" "));
    match command.args(args).status() {
        Ok(status) => status.success(),
        Err(error) => {
            println!("cannot start {program}: {error}");
            false
        }
    }
}
