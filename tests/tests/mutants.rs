//! Mutated statements of the SQL logic tests: nothing panics, hangs, or takes memory without bound. `fuzz_sql` runs more.

use std::path::Path;

use stoadb_tests::mutate::{self, Event, Watchdog};

const MUTANTS: usize = 4_000;

#[test]
fn test_mutated_statements_neither_panic_nor_hang() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("slt");
    let watchdog = Watchdog::start();
    let findings = mutate::fuzz(&folder, 20_261_123, MUTANTS, |event| {
        if let Event::Runs(sql) = event {
            watchdog.runs(sql);
        }
    });
    assert!(findings.bad.is_empty(), "{}", findings.bad.join("\n"));
    // Mutants that are all refused would test the parser alone.
    assert!(findings.answered > MUTANTS / 20, "only {} answers", findings.answered);
}
