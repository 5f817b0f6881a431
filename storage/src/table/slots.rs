//! A table from hashes to codes: open addressing, one word a code, so that a look-up meets memory once.
//!
//! Invariants: codes count up from 0; a slot holds half of its entry's hash beside the code, and at least a quarter of the
//! slots are free. Who looks up compares the values: hashes may agree by chance.
//! Next: `interner.rs`.

/// No code.
pub(crate) const NONE: u32 = u32::MAX;
/// Slots at first.
const LEAST: usize = 64;

/// Codes by the hash of their entries.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    /// The hash above, the code + 1 below; 0 where free.
    slots: Vec<u64>,
    len: u32,
}

impl Slots {
    /// How many codes.
    pub(crate) fn len(&self) -> usize {
        self.len as usize
    }

    /// Where the search for a hash starts.
    #[expect(clippy::cast_possible_truncation, reason = "shifted to be a slot's position")]
    fn start(&self, hash: u32) -> usize {
        let spread = u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (spread >> 32) as usize & (self.slots.len() - 1)
    }

    /// The first code of a hash, `NONE` if there is none.
    pub(crate) fn candidate(&self, hash: u32) -> u32 {
        self.find(hash, |_| true).unwrap_or(NONE)
    }

    /// The code of a hash that is the right one.
    #[expect(clippy::cast_possible_truncation, reason = "the halves of a slot")]
    pub(crate) fn find(&self, hash: u32, is: impl Fn(u32) -> bool) -> Option<u32> {
        if self.slots.is_empty() {
            return None;
        }
        let mut at = self.start(hash);
        loop {
            let slot = self.slots[at];
            if slot == 0 {
                return None;
            }
            let code = (slot as u32).wrapping_sub(1);
            if (slot >> 32) as u32 == hash && is(code) {
                return Some(code);
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }

    /// Gives a hash the next code.
    pub(crate) fn insert(&mut self, hash: u32) -> u32 {
        self.reserve(1);
        let code = self.len;
        self.len += 1;
        self.put(u64::from(hash) << 32 | u64::from(self.len));
        code
    }

    #[expect(clippy::cast_possible_truncation, reason = "the upper half of a slot")]
    fn put(&mut self, slot: u64) {
        let mut at = self.start((slot >> 32) as u32);
        while self.slots[at] != 0 {
            at = (at + 1) & (self.slots.len() - 1);
        }
        self.slots[at] = slot;
    }

    /// Makes room for so many codes more.
    pub(crate) fn reserve(&mut self, more: usize) {
        let wanted = (self.len() + more).max(LEAST / 2) * 4 / 3;
        if wanted < self.slots.len() {
            return;
        }
        let slots = vec![0; (wanted + 1).next_power_of_two()];
        for slot in std::mem::replace(&mut self.slots, slots).into_iter().filter(|&slot| slot != 0)
        {
            self.put(slot);
        }
    }

    /// The hash of each code.
    #[expect(clippy::cast_possible_truncation, reason = "the halves of a slot")]
    pub(crate) fn hashes(&self) -> Vec<u32> {
        let mut hashes = vec![0; self.len()];
        for &slot in self.slots.iter().filter(|&&slot| slot != 0) {
            hashes[slot as u32 as usize - 1] = (slot >> 32) as u32;
        }
        hashes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_codes_are_found_by_hash_and_value() {
        // Few hashes for many values, hashes that differ in few bits, and scattered ones.
        let kinds: [fn(u32) -> u32; 4] =
            [|i| i % 5, |i| i << 20, |i| i, |i| i.wrapping_mul(2_654_435_761)];
        for hash in kinds {
            let mut slots = Slots::default();
            assert_eq!((slots.candidate(0), slots.find(0, |_| true)), (NONE, None));
            for i in 0..3000 {
                assert_eq!(slots.find(hash(i), |code| code == i), None);
                assert_eq!(slots.insert(hash(i)), i);
            }
            for i in 0..3000 {
                assert_eq!(slots.find(hash(i), |code| code == i), Some(i));
                assert_eq!(hash(slots.candidate(hash(i))), hash(i));
            }
            assert_eq!(slots.len(), 3000);
            assert!(slots.hashes().into_iter().eq((0..3000).map(hash)));
            assert_eq!(slots.candidate(0xdead_beef), NONE);
        }
    }
}
