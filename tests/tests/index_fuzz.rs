//! Some seconds of `fuzz_index`: rounds of each kind, and then as many as there is time for.

use std::{sync::atomic::Ordering, time::Duration};

use stoadb_tests::index_fuzz::{Tally, fuzz};

#[test]
fn test_indexes_equal_models_under_random_changes() {
    let tally = Tally::default();
    let mut bad = Vec::new();
    for (seed, seconds) in [(0, 0), (1, 0), (2, 0), (3, 15)] {
        bad.extend(fuzz(seed, Duration::from_secs(seconds), &tally));
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
    let all = [&tally.changes, &tally.refused, &tally.answers, &tally.read];
    assert!(all.iter().all(|counter| counter.load(Ordering::Relaxed) > 0), "{tally:?}");
}
