//! Freed memory goes back to the system after long statements.
//!
//! The allocator gives pages back while it works, a little with each freed block; after a load it would hold on to what
//! the load's last steps freed until the next large query. Each thread has pages of its own that only it can give back.

use std::time::{Duration, Instant};

use stoadb::Database;

/// Statements that take less leave nothing that is worth the call.
const LONG: Duration = Duration::from_millis(200);

/// Runs something that a database does and, if it took long, gives back what it freed.
pub(crate) fn frugal<T>(database: &Database, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    if start.elapsed() >= LONG {
        database.on_each_thread(give_back);
        give_back();
    }
    result
}

#[expect(unsafe_code, reason = "a C function without a safe wrapper")]
fn give_back() {
    // SAFETY: the function takes no pointers, may be called at any time from any thread, and frees unused pages only.
    unsafe { libmimalloc_sys::mi_collect(true) }
}
