//! Byte strings of a key column numbered from 0 on, so that a text is compared once and a small number ever after.
//!
//! Invariant: equal strings have one number, different strings different ones. Numbers depend on the order in which the
//! build rows brought the strings, and are never shown.

use hashbrown::HashTable;

use crate::kernel::{
    hash::{hash_bytes, hash_u64},
    key::ByteKeys,
};

/// Distinct byte strings.
#[derive(Default)]
pub(super) struct Interner {
    numbers: HashTable<u32>,
    hashes: Vec<u32>,
    strings: ByteKeys,
}

impl Interner {
    /// How many strings there are.
    pub(super) fn len(&self) -> usize {
        self.strings.len()
    }

    /// Bytes held.
    pub(super) fn memory(&self) -> u64 {
        (self.numbers.capacity() * 5 + self.hashes.capacity() * 4) as u64 + self.strings.memory()
    }

    /// A string by its number.
    pub(super) fn get(&self, number: usize) -> &[u8] {
        self.strings.get(number)
    }

    /// The number of a string, if it has one.
    #[inline]
    pub(super) fn find(&self, string: &[u8]) -> Option<u32> {
        let hash = hash_bytes(string);
        let equal = |&number: &u32| {
            let number = number as usize;
            self.hashes[number] == hash && self.get(number) == string
        };
        self.numbers.find(hash_u64(hash.into()), equal).copied()
    }

    /// The number of a string, a new one if need be. There are fewer strings than rows, and fewer rows than 2^32.
    pub(super) fn intern(&mut self, string: &[u8]) -> u32 {
        if let Some(number) = self.find(string) {
            return number;
        }
        let number = self.strings.len() as u32;
        let hash = hash_bytes(string);
        self.hashes.push(hash);
        self.strings.push(string);
        let hashes = &self.hashes;
        let rehash = |&number: &u32| hash_u64(hashes[number as usize].into());
        self.numbers.insert_unique(hash_u64(hash.into()), number, rehash);
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_intern_numbers_distinct_strings_once() {
        let mut interner = Interner::default();
        let strings: Vec<Vec<u8>> = (0..5000_u32).map(|i| vec![7; (i % 700) as usize]).collect();
        for (i, string) in strings.iter().enumerate() {
            assert_eq!(interner.intern(string) as usize, i % 700);
        }
        assert_eq!(interner.len(), 700);
        for (i, string) in strings.iter().enumerate() {
            assert_eq!(interner.find(string), Some(i as u32 % 700));
            assert_eq!(interner.get(i % 700), string.as_slice());
        }
        assert_eq!(interner.find(&[8]), None);
        assert!(interner.memory() > 0);
    }
}
