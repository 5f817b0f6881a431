//! The join against nested loops over rows: every kind, key type, encoding, vector size and deal of morsels.

mod harness;
mod large;
mod matrix;
mod streaming;
