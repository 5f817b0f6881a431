//! `stoa`: the StoaDB shell and batch runner.
//!
//! Read next: `args.rs` (flags as given), `config.rs` (resolved), `print/` (results as text).
#![allow(dead_code, reason = "the modules come before the program that uses them")]

mod args;
mod config;
mod print;

fn main() {}
