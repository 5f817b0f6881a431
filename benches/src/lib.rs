//! What the benchmarks share: data that is made from a seed, and what the process holds.

pub mod hits; // web analytics in the schema of ClickBench
pub mod random; // a generator of random numbers that is the same everywhere

/// Bytes of anonymous memory that the process holds.
///
/// # Errors
/// Where the system does not say (`/proc/self/status`).
pub fn resident() -> Result<f64, Box<dyn std::error::Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).ok_or("no RssAnon")?;
    Ok(kib.parse::<f64>()? * 1024.0)
}

/// Gives back what the allocator holds for reuse, as the shell does after long statements.
pub fn give_back_all(database: &stoadb::Database) {
    database.on_each_thread(give_back);
    give_back();
}

/// Gives back what the allocator holds for this thread.
#[expect(unsafe_code, reason = "a C function without a safe wrapper")]
fn give_back() {
    // SAFETY: the function takes no pointers, may be called at any time from any thread, and frees unused pages only.
    unsafe { libmimalloc_sys::mi_collect(true) }
}
