//! Some seconds of `fuzz_index`, and the rounds that once failed.

use std::{sync::atomic::Ordering, time::Duration};

use stoadb_tests::index_fuzz::{Tally, fuzz};

#[test]
fn test_indexes_equal_models_under_random_changes() {
    let tally = Tally::default();
    let bad = fuzz(1, Duration::from_secs(20), &tally);
    assert!(bad.is_empty(), "{}", bad.join("\n"));
    let [answers, read] = [&tally.answers, &tally.read].map(|n| n.load(Ordering::Relaxed));
    assert!(answers > 500 && read > 20, "{tally:?}");
}
