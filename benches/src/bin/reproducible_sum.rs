//! Reproducible sums of doubles against naive ones, without groups and with few, some and many groups:
//! `reproducible_sum [RUNS]`.
//!
//! Invariant: every variant sums the same values; the figures are nanoseconds a value, the least of some runs.

#![expect(clippy::print_stdout, reason = "this is a command line tool")]

use std::{hint::black_box, time::Instant};

use stoadb_benches::random::Random;
use stoadb_storage::reproducible_sum::{Accumulator, LaneSum};

const VALUES: usize = 1 << 20;
const MORSEL: usize = 1 << 16;
const VECTOR: usize = 1 << 11;

fn lanes(values: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    for chunk in values.as_chunks::<8>().0 {
        for (sum, value) in sums.iter_mut().zip(chunk) {
            *sum += value;
        }
    }
    sums.iter().sum()
}

fn reproducible(values: &[f64]) -> f64 {
    let mut total = Accumulator::default();
    for morsel in values.chunks(MORSEL) {
        let mut sum = LaneSum::default();
        morsel.chunks(VECTOR).for_each(|vector| sum.add(vector));
        total.merge(sum.total());
    }
    total.total()
}

/// Prints the least time of some runs, per value.
fn time<T>(name: &str, runs: usize, mut work: impl FnMut() -> T) {
    let run = |_| {
        let start = Instant::now();
        black_box(work());
        start.elapsed().as_nanos()
    };
    let least = (0..runs.max(1)).map(run).min().unwrap_or_default();
    println!("| {name} | {:.2} |", least as f64 / VALUES as f64);
}

fn main() -> Result<(), std::num::ParseIntError> {
    let runs = std::env::args().nth(1).map_or(Ok(50), |runs| runs.parse())?;
    let mut random = Random::new(88_172_645_463_325_252);
    let values: Vec<f64> = (0..VALUES).map(|_| (random.bits() >> 11) as f64 / 1e7).collect();
    println!("| sums of {VALUES} doubles | ns a value |\n|---|---|");
    time("naive", runs, || black_box(&values).iter().sum::<f64>());
    time("lanes", runs, || lanes(black_box(&values)));
    time("reproducible", runs, || reproducible(black_box(&values)));
    for groups in [4, 1000, 100_000] {
        let ids: Vec<u32> = (0..VALUES).map(|_| (random.bits() >> 33) as u32 % groups).collect();
        let pairs = || ids.iter().zip(black_box(&values));
        time(&format!("naive, {groups} groups"), runs, || {
            let mut sums = vec![0.0; groups as usize];
            pairs().for_each(|(&id, &value)| sums[id as usize] += value);
            sums
        });
        time(&format!("reproducible, {groups} groups"), runs, || {
            let mut sums = vec![Accumulator::default(); groups as usize];
            pairs().for_each(|(&id, &value)| sums[id as usize].add(value));
            sums
        });
    }
    Ok(())
}
