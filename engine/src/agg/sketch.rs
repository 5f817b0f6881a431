//! `approx_count_distinct`: the hashes themselves while there are few, then a HyperLogLog of 2^14 registers (Flajolet,
//! Fusy, Gandouet and Meunier 2007; estimated without bias correction tables as by Ertl 2017).
//!
//! Invariants: what a group holds is a function of the set of its values, so that neither the order of rows nor how they
//! were cut into morsels shows. A list of hashes takes at most the memory of the registers.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use stoadb_storage::{LogicalType, Vector};

use super::{Groups, table::permute};
use crate::{
    error::{EngineError, Result},
    kernel::hash::hash_vector,
};

/// Bits of a hash that name its register.
const BITS: u32 = 14;
const REGISTERS: usize = 1 << BITS;
/// Hashes that take the memory of the registers.
const FEW: usize = REGISTERS / size_of::<u64>();

/// The distinct hashes of each group.
pub(crate) struct Sketch {
    groups: Vec<Distinct>,
    /// Whether values were hashed to 32 bits first, so that many of them share a hash.
    is_short: bool,
}

#[derive(Clone)]
enum Distinct {
    /// Ascending without repeats up to `sorted`, then as they came.
    Few { hashes: Vec<u64>, sorted: usize },
    /// The longest run of zeros seen, plus one, of each register.
    Many(Box<[u8]>),
}

impl Distinct {
    fn add(&mut self, hash: u64) {
        match self {
            Self::Few { hashes, sorted } => {
                // Within a cache line a look back saves most repeats.
                if hashes.iter().rev().take(8).any(|&known| known == hash) {
                    return;
                }
                hashes.push(hash);
                if hashes.len() >= 2 * FEW || hashes.len() >= 64 + 2 * *sorted {
                    self.settle();
                }
            }
            Self::Many(registers) => note(registers, hash),
        }
    }

    /// Sorts the hashes out, or goes over to registers.
    fn settle(&mut self) {
        let Self::Few { hashes, sorted } = self else { return };
        hashes.sort_unstable();
        hashes.dedup();
        *sorted = hashes.len();
        if hashes.len() > FEW {
            let mut registers = vec![0; REGISTERS].into_boxed_slice();
            hashes.iter().for_each(|&hash| note(&mut registers, hash));
            *self = Self::Many(registers);
        }
    }

    fn merge(&mut self, other: &Self) {
        match other {
            Self::Few { hashes, .. } => hashes.iter().for_each(|&hash| self.add(hash)),
            Self::Many(others) => match self {
                Self::Few { hashes, .. } => {
                    let mut registers = others.clone();
                    hashes.iter().for_each(|&hash| note(&mut registers, hash));
                    *self = Self::Many(registers);
                }
                Self::Many(registers) => {
                    registers.iter_mut().zip(others).for_each(|(ours, &theirs)| {
                        *ours = (*ours).max(theirs);
                    });
                }
            },
        }
    }

    /// About how many distinct hashes there were.
    fn estimate(&self) -> f64 {
        match self {
            Self::Few { hashes, .. } => hashes.len() as f64,
            Self::Many(registers) => estimate(registers),
        }
    }

    fn memory(&self) -> usize {
        match self {
            Self::Few { hashes, .. } => hashes.capacity() * size_of::<u64>(),
            Self::Many(_) => REGISTERS,
        }
    }
}

fn note(registers: &mut [u8], hash: u64) {
    let register = &mut registers[(hash >> (64 - BITS)) as usize];
    // A set bit behind the hash's own bounds the run.
    let run = (hash << BITS | 1 << (BITS - 1)).leading_zeros() as u8 + 1;
    *register = (*register).max(run);
}

/// Ertl's estimator over the counts of register values.
fn estimate(registers: &[u8]) -> f64 {
    const LONGEST: usize = (64 - BITS) as usize;
    let mut counts = [0_u32; LONGEST + 2];
    registers.iter().for_each(|&run| counts[usize::from(run).min(LONGEST + 1)] += 1);
    let all = registers.len() as f64;
    let mut z = all * tau(1.0 - f64::from(counts[LONGEST + 1]) / all);
    for run in (1..=LONGEST).rev() {
        z = 0.5 * (z + f64::from(counts[run]));
    }
    z += all * sigma(f64::from(counts[0]) / all);
    all * all / (2.0 * std::f64::consts::LN_2 * z)
}

fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let last = z;
        z += x * y;
        y += y;
        if z == last {
            return z;
        }
    }
}

fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let last = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if z == last {
            return z / 3.0;
        }
    }
}

impl Sketch {
    pub(crate) fn new(ty: &LogicalType) -> Self {
        let is_short = matches!(ty, LogicalType::Text | LogicalType::Blob) || ty.is_nested();
        Self { groups: Vec::new(), is_short }
    }

    pub(crate) fn resize(&mut self, groups: usize) {
        self.groups.resize(groups, Distinct::Few { hashes: Vec::new(), sorted: 0 });
    }

    pub(crate) fn reorder(&mut self, order: &[u32]) {
        permute(&mut self.groups, order);
    }

    pub(crate) fn update(&mut self, args: &[Vector], groups: Groups<'_>) -> Result<()> {
        let [arg] = args else { return Err(EngineError::Internal("one argument wanted".into())) };
        let mut hashes = Vec::new();
        hash_vector(arg, &mut hashes)?;
        for (row, &hash) in hashes.iter().enumerate() {
            self.groups[groups.id(row)].add(hash);
        }
        Ok(())
    }

    /// The morsel's last row is in.
    pub(crate) fn seal(&mut self) {
        self.groups.iter_mut().for_each(Distinct::settle);
    }

    pub(crate) fn merge(&mut self, other: &Self, from: &[u32], to: &[u32]) {
        for (&from, &to) in from.iter().zip(to) {
            self.groups[to as usize].merge(&other.groups[from as usize]);
        }
    }

    pub(crate) fn finish(&self) -> ArrayRef {
        const HASHES: f64 = 4_294_967_296.0;
        let value = |group: &Distinct| {
            let mut group = group.clone();
            group.settle();
            let distinct = group.estimate();
            // How many values have so many distinct hashes of 32 bits.
            let fraction = (distinct / HASHES).min(0.999_999);
            let values = if self.is_short { -HASHES * (-fraction).ln_1p() } else { distinct };
            values.round() as i64
        };
        Arc::new(Int64Array::from_iter_values(self.groups.iter().map(value)))
    }

    pub(crate) fn memory(&self) -> u64 {
        let held: usize = self.groups.iter().map(Distinct::memory).sum();
        (held + self.groups.capacity() * size_of::<Distinct>()) as u64
    }
}
