//! Quantiles of an included column over any range of positions.
//!
//! Invariant: a number of the matrix is the place of a value among the distinct values, or its offset where offsets have
//! at most 32 bits; NULLs have no position in it, so that positions of entries go through the column's validity. NaN
//! is the greatest value.
//! Next: `column.rs`.

use super::{
    offsets::Word,
    sort::{Serial, sort_words},
};
use crate::wavelet::Wavelet;

/// A matrix and what its numbers mean.
#[derive(Debug, Clone)]
pub(super) struct Quantiles {
    pub(super) wavelet: Wavelet,
    pub(super) values: Distinct,
}

/// The distinct values in order, as order-preserving numbers.
#[derive(Debug, Clone)]
pub(super) enum Distinct {
    /// Every number is its own place.
    All {
        /// One past the greatest.
        bound: u64,
    },
    Narrow(Box<[u64]>),
    Wide(Box<[u128]>),
}

impl Quantiles {
    /// Of numbers of at most `max`; which take a place among the distinct ones where they do not fit 32 bits.
    pub(super) fn new(numbers: impl Iterator<Item = u128>, max: u128) -> Self {
        if let Ok(max) = u32::try_from(max) {
            let bound = u64::from(max) + 1;
            let numbers = numbers.map(u32::cut).collect();
            return Self { wavelet: Wavelet::new(numbers, max), values: Distinct::All { bound } };
        }
        match u64::try_from(max) {
            Ok(_) => {
                let (ranks, distinct) = ranks(numbers.map(u64::cut).collect());
                Self::ranked(ranks, Distinct::Narrow(distinct))
            }
            Err(_) => {
                let (ranks, distinct) = ranks(numbers.collect());
                Self::ranked(ranks, Distinct::Wide(distinct))
            }
        }
    }

    fn ranked(ranks: Vec<u32>, values: Distinct) -> Self {
        let max = values.len().saturating_sub(1) as u32;
        Self { wavelet: Wavelet::new(ranks, max), values }
    }

    pub(super) fn bytes(&self) -> usize {
        let values = match &self.values {
            Distinct::All { .. } => 0,
            Distinct::Narrow(values) => size_of_val(&**values),
            Distinct::Wide(values) => size_of_val(&**values),
        };
        self.wavelet.bytes() + values
    }
}

impl Distinct {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::All { bound } => *bound as usize,
            Self::Narrow(values) => values.len(),
            Self::Wide(values) => values.len(),
        }
    }

    /// The number at a place.
    pub(super) fn get(&self, place: usize) -> u128 {
        match self {
            Self::All { .. } => place as u128,
            Self::Narrow(values) => values[place].wide(),
            Self::Wide(values) => values[place],
        }
    }

    /// How many are less than a number.
    pub(super) fn rank(&self, number: u128) -> usize {
        match self {
            Self::All { bound } => number.min((*bound).into()) as usize,
            Self::Narrow(values) => values.partition_point(|&value| value.wide() < number),
            Self::Wide(values) => values.partition_point(|&value| value < number),
        }
    }
}

/// The place of each number among the distinct ones, and these in order.
fn ranks<W: Word>(numbers: Vec<W>) -> (Vec<u32>, Box<[W]>) {
    let (sorted, order) = sort_words(numbers, &Serial);
    let mut ranks = vec![0; sorted.len()];
    let mut distinct: Vec<W> = vec![];
    for (number, at) in sorted.into_iter().zip(order) {
        if distinct.last() != Some(&number) {
            distinct.push(number);
        }
        ranks[at as usize] = distinct.len() as u32 - 1;
    }
    (ranks, distinct.into())
}
