//! Every `.slt` file under every configuration of the matrix.

use std::path::Path;

use stoadb_tests::slt::{self, MATRIX};

/// Fewer records than this means that files were lost.
const RECORDS_MIN: usize = 6000;

fn run(name: &str) {
    let config = MATRIX.iter().find(|config| config.name == name).expect("a known configuration");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("slt");
    let reports: Vec<_> =
        slt::files(&folder).unwrap().iter().map(|file| slt::run_file(file, *config)).collect();
    let failures: Vec<_> = reports.iter().flat_map(|report| &report.failures).cloned().collect();
    let passed: usize = reports.iter().map(|report| report.passed).sum();
    println!("{name}: {passed} passed, {} failed", failures.len());
    assert!(failures.is_empty(), "{name}:\n{}", failures.join("\n"));
    assert!(passed >= RECORDS_MIN, "{name}: only {passed} records");
}

#[test]
fn test_slt_default() {
    run("default");
}

#[test]
fn test_slt_one_thread() {
    run("one thread");
}

#[test]
fn test_slt_eight_threads() {
    run("eight threads");
}

#[test]
fn test_slt_vectors_of_one_row() {
    run("vectors of one row");
}

#[test]
fn test_slt_vectors_of_seven_rows() {
    run("vectors of seven rows");
}

#[test]
fn test_slt_optimizer_off() {
    run("optimizer off");
}

#[test]
fn test_slt_statistics_off() {
    run("statistics off");
}

#[test]
fn test_slt_each_query_three_times() {
    run("each query three times");
}
