//! tmp
#![allow(clippy::all, clippy::print_stdout, missing_docs)]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
use arrow::array::Array;
fn main() {
    let con = stoadb::Database::open_in_memory().connect();
    for sql in std::env::args().skip(1) {
        let t = std::time::Instant::now();
        match con.query(&sql) {
            Err(e) => println!("{}", e.render(&sql)),
            Ok(r) => {
                println!(
                    "-- {:?}",
                    r.schema().fields().iter().map(|f| f.name().clone()).collect::<Vec<_>>()
                );
                for b in r {
                    match b {
                        Err(e) => println!("{}", e.render(&sql)),
                        Ok(b) => {
                            let cols: Vec<_> =
                                b.columns().iter().map(|c| stoadb::to_text(c).unwrap()).collect();
                            for i in 0..b.num_rows() {
                                println!(
                                    "{}",
                                    cols.iter()
                                        .map(|c| if c.is_null(i) { "NULL" } else { c.value(i) })
                                        .collect::<Vec<_>>()
                                        .join(" | ")
                                );
                            }
                        }
                    }
                }
            }
        }
        println!("-- {:?}", t.elapsed());
    }
}
