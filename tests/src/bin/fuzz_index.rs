//! Indexes under random changes against models, for so long: `fuzz_index SECONDS [SEED]`. Rounds are numbered from the seed on;
//! one that failed is repeated by `fuzz_index 0 SEED`.

use std::{process::ExitCode, sync::atomic::Ordering, time::Duration};

use stoadb_tests::index_fuzz::{Tally, fuzz};

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1).map(|arg| arg.parse::<u64>());
    let (Some(Ok(seconds)), seed) = (args.next(), args.next().and_then(Result::ok).unwrap_or(1))
    else {
        println!("usage: fuzz_index SECONDS [SEED]");
        return ExitCode::from(2);
    };
    let tally = Tally::default();
    let bad = fuzz(seed, Duration::from_secs(seconds), &tally);
    bad.iter().for_each(|bad| println!("{bad}"));
    let [rounds, changes, refused, answers, read] =
        [&tally.rounds, &tally.changes, &tally.refused, &tally.answers, &tally.read]
            .map(|counter| counter.load(Ordering::Relaxed));
    println!(
        "{rounds} rounds from {seed} on, {changes} changes, {refused} of them refused, {answers} answers compared, \
         {read} by readers, {} bad",
        bad.len()
    );
    if bad.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
