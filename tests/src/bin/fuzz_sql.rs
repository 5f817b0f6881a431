//! Mutated SQL in numbers: `fuzz_sql INPUTS [SEED]`, from the folder `tests`. Prints how far it is, and at once what did
//! what it must not: panic, or take more of the processor than its time-out explains.
//!
//! Invariant: a statement that runs for a minute, and memory of more than 2 GiB, end the run with the statement. Next:
//! `../mutate.rs`.

use std::{process::ExitCode, time::Instant};

use stoadb_tests::mutate::{self, Event, Watchdog};

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1).map(|arg| arg.parse::<u64>());
    let (Some(Ok(inputs)), seed) = (args.next(), args.next().and_then(Result::ok).unwrap_or(1))
    else {
        println!("usage: fuzz_sql INPUTS [SEED]");
        return ExitCode::from(2);
    };
    let watchdog = Watchdog::start();
    let started = Instant::now();
    let folder = std::path::Path::new("slt");
    let mut told = 0;
    let findings =
        mutate::fuzz(folder, seed, usize::try_from(inputs).unwrap_or(usize::MAX), |event| {
            let sql = match event {
                Event::Runs(sql) => sql,
                Event::Bad(bad) => return println!("BAD: {bad}"),
            };
            watchdog.runs(sql);
            told += 1;
            if told % 5_000 == 0 {
                println!("{told} after {:?}", started.elapsed());
            }
        });
    println!(
        "{} mutants, {} answered, {} bad, {:?}",
        findings.ran,
        findings.answered,
        findings.bad.len(),
        started.elapsed()
    );
    if findings.bad.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
