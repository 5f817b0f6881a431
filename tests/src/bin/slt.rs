//! Runs the `.slt` files of a folder and prints how many records passed and failed, per file and in all.
//!
//! `slt DIR [--verbose] [--matrix]`: with `--verbose` failures are printed, with `--matrix` every configuration runs.

use std::{path::Path, process::ExitCode};

use stoadb_tests::slt::{self, MATRIX};

fn main() -> ExitCode {
    let (flags, folders): (Vec<_>, Vec<_>) =
        std::env::args().skip(1).partition(|arg| arg.starts_with("--"));
    let has = |flag: &str| flags.iter().any(|other| other == flag);
    let [folder] = folders.as_slice() else {
        println!("usage: slt DIR [--verbose] [--matrix]");
        return ExitCode::from(2);
    };
    let files = match slt::files(Path::new(folder)) {
        Ok(files) => files,
        Err(error) => {
            println!("cannot read '{folder}': {error}");
            return ExitCode::from(2);
        }
    };
    let configs = if has("--matrix") { MATRIX } else { &MATRIX[..1] };
    let (mut passed, mut failed) = (0, 0);
    for &config in configs {
        for file in &files {
            let report = slt::run_file(file, config);
            println!(
                "{} [{}]: {} passed, {} failed",
                file.display(),
                config.name,
                report.passed,
                report.failures.len()
            );
            if has("--verbose") {
                report.failures.iter().for_each(|failure| println!("  {failure}"));
            }
            passed += report.passed;
            failed += report.failures.len();
        }
    }
    println!("{passed} passed, {failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
