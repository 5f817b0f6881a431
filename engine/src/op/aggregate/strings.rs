//! Distinct byte strings as Arrow views, found by their hashes: a part of a table that is locked by itself.
//!
//! Invariants: equal strings have one place; strings of up to 12 bytes lie in their view, longer ones in blocks that
//! become Arrow buffers as they are. Next: `texts.rs`, which owns the parts.

use arrow::{
    array::{ArrayRef, AsArray, builder::make_view},
    datatypes::DataType,
};

use super::texts::SHARD_BITS;
use crate::{
    context::{QueryContext, Reservation},
    error::{EngineError, Result},
};

/// A string's number has so many bits for its place.
const MOST_STRINGS: usize = 1 << (u32::BITS - SHARD_BITS);
/// Bytes of long strings are kept in blocks of this size, longer ones in a block of their own.
const BLOCK_BYTES: usize = 1 << 20;
/// Strings of up to so many bytes lie in their view.
const INLINE: usize = 12;

/// Strings whose hashes share their lowest bits, as Arrow views into blocks.
pub(super) struct Shard {
    pub(super) views: Vec<u128>,
    pub(super) blocks: Vec<Vec<u8>>,
    block_bytes: usize,
    /// Zero, or the hash in the upper half and the place plus one in the lower.
    pub(super) slots: Vec<u64>,
    /// Held as long as the aggregation's result.
    pub(super) memory: Reservation,
}

/// What a look-up found first: perhaps the string, perhaps another one with the same hash.
#[derive(Clone, Copy, Default)]
pub(super) struct Candidate {
    /// 0 for nothing.
    pub(super) slot: u64,
    view: u128,
}

impl Shard {
    /// No string.
    pub(super) fn new(context: &QueryContext) -> Self {
        Self {
            views: Vec::new(),
            blocks: Vec::new(),
            block_bytes: 0,
            slots: Vec::new(),
            memory: context.memory().reservation("aggregation"),
        }
    }

    /// Makes room for `more` strings at a load of at most one half.
    pub(super) fn reserve(&mut self, more: usize) -> Result<()> {
        let wanted = (self.views.len() + more) * 2;
        if wanted > self.slots.len() {
            let size = wanted.next_power_of_two().max(64);
            self.memory.grow(((size - self.slots.len()) * 8 + size / 2 * 16) as u64)?;
            let mut slots = vec![0; size];
            for &slot in self.slots.iter().filter(|slot| **slot != 0) {
                let mut at = start((slot >> 32) as u32, size);
                while slots[at] != 0 {
                    at = (at + 1) & (size - 1);
                }
                slots[at] = slot;
            }
            self.slots = slots;
        }
        Ok(())
    }

    /// The first slot from a hash's start on that is empty or has the same hash.
    pub(super) fn find(&self, hash: u32) -> u64 {
        let mut at = start(hash, self.slots.len());
        loop {
            let slot = self.slots[at];
            if slot == 0 || (slot >> 32) as u32 == hash {
                return slot;
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }

    /// Reads the view of what was found.
    pub(super) fn look(&self, found: &mut Candidate) {
        if found.slot != 0 {
            found.view = self.views[found.slot as u32 as usize - 1];
        }
    }

    /// Reads one byte of what was found, if that is long.
    pub(super) fn touch(&self, found: &Candidate) -> u8 {
        if found.view as u32 as usize > INLINE { self.bytes(found.view, 1)[0] } else { 0 }
    }

    /// The first bytes of a long string.
    fn bytes(&self, view: u128, length: usize) -> &[u8] {
        let (block, offset) = ((view >> 64) as u32, (view >> 96) as usize);
        &self.blocks[block as usize][offset..offset + length]
    }

    /// The place of a string, a new one if need be; there is room. `found` is the first candidate, perhaps from before
    /// other strings came.
    pub(super) fn intern(&mut self, hash: u32, value: &[u8], found: &Candidate) -> Result<u32> {
        let own = make_view(value, 0, 0);
        if found.slot != 0 && self.is(found.view, own, value) {
            return Ok(found.slot as u32 - 1);
        }
        let mask = self.slots.len() - 1;
        let mut at = start(hash, self.slots.len());
        loop {
            let slot = self.slots[at];
            if slot == 0 {
                break;
            }
            let place = slot as u32 as usize - 1;
            if (slot >> 32) as u32 == hash && self.is(self.views[place], own, value) {
                return Ok(place as u32);
            }
            at = (at + 1) & mask;
        }
        let place = self.views.len();
        if place + 1 >= MOST_STRINGS {
            return Err(EngineError::Unsupported("groups of over 2^32 texts".into()));
        }
        let view = self.keep(value)?;
        self.views.push(view);
        self.slots[at] = u64::from(hash) << 32 | (place as u64 + 1);
        Ok(place as u32)
    }

    /// Copies a long string into a block and gives its view.
    fn keep(&mut self, value: &[u8]) -> Result<u128> {
        if value.len() <= INLINE {
            return Ok(make_view(value, 0, 0));
        }
        let fits = |block: &Vec<u8>| block.capacity() - block.len() >= value.len();
        if !self.blocks.last().is_some_and(fits) {
            // Shards that hold little do not take a whole block.
            self.block_bytes = (self.block_bytes * 2).clamp(1 << 12, BLOCK_BYTES);
            let bytes = self.block_bytes.max(value.len());
            self.memory.grow(bytes as u64)?;
            self.blocks.push(Vec::with_capacity(bytes));
        }
        let number = self.blocks.len() as u32 - 1;
        let Some(block) = self.blocks.last_mut() else {
            return Err(EngineError::Internal("no block for a text".into()));
        };
        let offset = block.len() as u32;
        block.extend_from_slice(value);
        Ok(make_view(value, number, offset))
    }

    /// Whether a string is the one of a view; `own` is its view but for where it lies.
    fn is(&self, view: u128, own: u128, value: &[u8]) -> bool {
        if value.len() <= INLINE || view as u64 != own as u64 {
            return view == own;
        }
        self.bytes(view, value.len()) == value
    }
}

/// Where a hash is looked for first; its lowest bits chose the shard.
fn start(hash: u32, slots: usize) -> usize {
    (hash >> SHARD_BITS) as usize & (slots - 1)
}

/// Lengths, beginnings and places of texts or blobs: where those of two rows are equal, so are the rows.
pub(super) fn views(array: &ArrayRef) -> &[u128] {
    match array.data_type() {
        DataType::Utf8View => array.as_string_view().views(),
        _ => array.as_binary_view().views(),
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, sync::Arc};

    use super::*;
    use crate::{context::QuerySettings, kernel::testing::Random};

    #[test]
    fn test_strings_have_one_place_each_whatever_their_hashes() {
        let context = QueryContext::new(QuerySettings::default(), Arc::default(), Vec::new());
        let mut random = Random::new(3);
        // Hashes of six bits: most strings share theirs with others.
        for bits in [6, 32] {
            let mut shard = Shard::new(&context);
            let mut places: HashMap<Vec<u8>, u32> = HashMap::new();
            for _ in 0..4000 {
                let n = random.below(900);
                let value = format!("{n}{}", "x".repeat((n % 23) as usize)).into_bytes();
                let hash = crate::kernel::hash::hash_bytes(&value) >> (32 - bits) << SHARD_BITS;
                shard.reserve(1).unwrap();
                let mut found = Candidate { slot: shard.find(hash), ..Candidate::default() };
                shard.look(&mut found);
                shard.touch(&found);
                let place = shard.intern(hash, &value, &found).unwrap();
                let next = places.len() as u32;
                assert_eq!(*places.entry(value).or_insert(next), place);
            }
            assert_eq!(shard.views.len(), places.len());
        }
        assert!(context.memory().used() == 0 && context.memory().peak() > 0);
    }
}
