//! Reproducible sums of doubles against naive ones, without groups and with few, some and many groups.
//!
//! Invariant: every variant sums the same values; the figures are per call over all of them.

#![allow(missing_docs, reason = "criterion's macros declare undocumented items")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use stoadb_storage::reproducible_sum::{Accumulator, LaneSum};

const VALUES: usize = 1 << 20;
const MORSEL: usize = 1 << 16;
const VECTOR: usize = 1 << 11;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

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

fn benchmark(criterion: &mut Criterion) {
    let mut random = Random(88_172_645_463_325_252);
    let values: Vec<f64> = (0..VALUES).map(|_| (random.next() >> 11) as f64 / 1e7).collect();
    let mut group = criterion.benchmark_group("reproducible_sum");
    group.throughput(Throughput::Elements(VALUES as u64));
    group.bench_function("naive", |b| b.iter(|| black_box(&values).iter().sum::<f64>()));
    group.bench_function("lanes", |b| b.iter(|| lanes(black_box(&values))));
    group.bench_function("reproducible", |b| b.iter(|| reproducible(black_box(&values))));
    for groups in [4, 1000, 100_000] {
        let ids: Vec<u32> = (0..VALUES).map(|_| (random.next() >> 33) as u32 % groups).collect();
        group.bench_function(format!("naive, {groups} groups"), |b| {
            b.iter(|| {
                let mut sums = vec![0.0; groups as usize];
                for (&id, &value) in ids.iter().zip(black_box(&values)) {
                    sums[id as usize] += value;
                }
                sums
            });
        });
        group.bench_function(format!("reproducible, {groups} groups"), |b| {
            b.iter(|| {
                let mut sums = vec![Accumulator::default(); groups as usize];
                for (&id, &value) in ids.iter().zip(black_box(&values)) {
                    sums[id as usize].add(value);
                }
                sums
            });
        });
    }
    group.finish();
}

criterion_group!(benches, benchmark);
criterion_main!(benches);
