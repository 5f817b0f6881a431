//! Statements that are nearly SQL: mutants of the SQL logic tests, a few of them from a seed. `fuzz_sql` runs many.

use std::path::Path;

use stoadb_tests::mutate;

#[test]
fn test_mutants_neither_panic_nor_hang() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("slt");
    let findings = mutate::fuzz(&folder, 1, 3_000, |_| {});
    assert!(findings.bad.is_empty(), "{}", findings.bad.join("\n"));
    assert_eq!(findings.ran, 3_000);
    assert!(findings.answered > 300, "only {} of the mutants were SQL", findings.answered);
}
