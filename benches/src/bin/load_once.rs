//! Loads a Parquet file into a table and prints time and memory as JSON: `load_once FILE`. Called by `compare/load.py`.
//! Memory is what is held two seconds and one small query later: allocators give back what was freed with a delay.

#![expect(clippy::print_stdout, reason = "this is a command line tool")]

use std::{
    error::Error,
    thread,
    time::{Duration, Instant},
};

use stoadb::Database;
use stoadb_benches::{give_back_all, resident};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const MIB: f64 = 1024.0 * 1024.0;

fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::args().nth(1).ok_or("usage: load_once FILE")?;
    let database = Database::open_in_memory();
    let connection = database.connect();
    connection.execute("SET threads = 2")?;
    let before = resident()?;
    let start = Instant::now();
    connection.execute(&format!("CREATE TABLE t AS SELECT * FROM '{file}'"))?;
    give_back_all(&database);
    let seconds = start.elapsed().as_secs_f64();
    let at_once = (resident()? - before) / MIB;
    thread::sleep(Duration::from_secs(2));
    connection.query("SELECT * FROM t LIMIT 10000")?.collect::<Result<Vec<_>, _>>()?;
    let mib = (resident()? - before) / MIB;
    println!("{{\"seconds\": {seconds}, \"mib\": {mib}, \"mib_at_once\": {at_once}}}");
    Ok(())
}
