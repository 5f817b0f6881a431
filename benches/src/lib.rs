//! What the benchmarks share: data that is made from a seed.

pub mod hits; // web analytics in the schema of ClickBench
pub mod random; // a generator of random numbers that is the same everywhere
