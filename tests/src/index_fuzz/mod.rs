//! Indexes under random changes, against maps and recomputation: of entries alone, of tables in a catalog, through SQL.
//!
//! Invariant: what a round does depends on its number alone, but for what readers in other threads see of it; whatever
//! they see must be a state that there was.
//! Next: `model.rs`, then the three kinds of rounds.

use std::{
    panic::{self, AssertUnwindSafe},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

mod entries; // an index by itself
mod model; // cells, rows, what an index of them must answer
mod questions; // SQL and its answers
mod statements; // through SQL
mod tables; // tables in a catalog, transactions, compaction

/// What was done.
#[derive(Debug, Default)]
pub struct Tally {
    /// Rounds.
    pub rounds: AtomicU64,
    /// Insertions, deletions, updates, merges, compactions, commits, ..., and how many of them were refused as they had to
    /// be.
    pub changes: AtomicU64,
    /// See `changes`.
    pub refused: AtomicU64,
    /// Answers compared by those who change.
    pub answers: AtomicU64,
    /// Answers compared by readers in other threads.
    pub read: AtomicU64,
}

impl Tally {
    fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// The first panic's message.
static FIRST: Mutex<Option<String>> = Mutex::new(None);

fn first() -> std::sync::MutexGuard<'static, Option<String>> {
    FIRST.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs rounds from the number `seed` on until the time is up, one at least; gives what went wrong, with the numbers of the
/// rounds, and stops after the fifth of them.
pub fn fuzz(seed: u64, time: Duration, tally: &Tally) -> Vec<String> {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|info| {
        first().get_or_insert_with(|| info.to_string());
    }));
    let (mut bad, start) = (Vec::new(), Instant::now());
    for number in seed.. {
        first().take();
        let (name, round): (_, fn(u64, &Tally)) = match number % 3 {
            0 => ("entries", entries::round),
            1 => ("tables", tables::round),
            _ => ("statements", statements::round),
        };
        if panic::catch_unwind(AssertUnwindSafe(|| round(number, tally))).is_err() {
            let message = first().take().unwrap_or_default();
            bad.push(format!("seed {number} ({name}): {message}"));
        }
        Tally::count(&tally.rounds);
        if start.elapsed() >= time || bad.len() > 4 {
            break;
        }
    }
    panic::set_hook(hook);
    bad
}
