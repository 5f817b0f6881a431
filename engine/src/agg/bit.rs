//! `bit_and`, `bit_or`, `bit_xor` of integers.
//!
//! Invariant: order-free.

use arrow::{array::ArrayRef, buffer::NullBuffer};
use stoadb_storage::Vector;

use super::{Call, Groups, table::permute};
use crate::{
    error::{EngineError, Result},
    kernel::bits::{self, Bits},
    plan::AggregateFunction as Function,
};

/// Folded bits per group and whether a value was seen.
pub(crate) struct Bit {
    fold: fn(u64, u64) -> u64,
    start: u64,
    values: Vec<u64>,
    seen: Vec<bool>,
}

impl Bit {
    pub(crate) fn new(function: Function) -> Self {
        let (fold, start): (fn(u64, u64) -> u64, u64) = match function {
            Function::BitAnd => (|a, b| a & b, u64::MAX),
            Function::BitOr => (|a, b| a | b, 0),
            _ => (|a, b| a ^ b, 0),
        };
        Self { fold, start, values: Vec::new(), seen: Vec::new() }
    }

    pub(crate) fn resize(&mut self, groups: usize) {
        self.values.resize(groups, self.start);
        self.seen.resize(groups, false);
    }

    pub(crate) fn reorder(&mut self, order: &[u32]) {
        permute(&mut self.values, order);
        permute(&mut self.seen, order);
    }

    pub(crate) fn update(&mut self, args: &[Vector], groups: Groups<'_>) -> Result<()> {
        let [arg] = args else { return Err(EngineError::Internal("one argument wanted".into())) };
        let Bits::Narrow(values) = bits::bits(arg)? else {
            return Err(EngineError::Internal("bits of integers wanted".into()));
        };
        for (row, &value) in values.iter().enumerate() {
            let group = groups.id(row);
            self.values[group] = (self.fold)(self.values[group], value);
            self.seen[group] = true;
        }
        Ok(())
    }

    pub(crate) fn merge(&mut self, other: &Self, from: &[u32], to: &[u32]) {
        for (&from, &to) in from.iter().zip(to) {
            let (from, to) = (from as usize, to as usize);
            self.values[to] = (self.fold)(self.values[to], other.values[from]);
            self.seen[to] |= other.seen[from];
        }
    }

    /// # Errors
    /// `Internal` when the result's type is no integer.
    pub(crate) fn finish(&self, call: &Call) -> Result<ArrayRef> {
        let nulls = NullBuffer::from(self.seen.clone());
        bits::from_bits(&call.ty, self.values.len(), |row| self.values[row].into(), Some(nulls))
    }

    pub(crate) fn memory(&self) -> u64 {
        (self.values.capacity() * 9) as u64
    }
}
