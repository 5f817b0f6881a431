//! Keys to dense ids: open addressing with linear probing.
//!
//! Invariant: ids are given out in the order in which keys are first seen, from 0.

use crate::kernel::key::{ByteKeys, KeyWidth, Keys};

/// A table of distinct packed keys.
pub(crate) struct KeyTable {
    keys: Keys,
    hashes: Vec<u64>,
    /// Zero, or the upper half of the hash and the id plus one.
    slots: Vec<u64>,
}

trait KeyStore {
    fn equal(&self, at: usize, other: &Self, row: usize) -> bool;
    fn push_from(&mut self, other: &Self, row: usize);
}

impl<T: Copy + PartialEq> KeyStore for Vec<T> {
    #[inline]
    fn equal(&self, at: usize, other: &Self, row: usize) -> bool {
        self[at] == other[row]
    }
    #[inline]
    fn push_from(&mut self, other: &Self, row: usize) {
        self.push(other[row]);
    }
}

impl KeyStore for ByteKeys {
    #[inline]
    fn equal(&self, at: usize, other: &Self, row: usize) -> bool {
        self.get(at) == other.get(row)
    }
    #[inline]
    fn push_from(&mut self, other: &Self, row: usize) {
        self.push(other.get(row));
    }
}

impl KeyTable {
    /// An empty table.
    pub(crate) fn new(width: KeyWidth) -> Self {
        Self { keys: Keys::new(width), hashes: Vec::new(), slots: Vec::new() }
    }

    /// How many keys.
    pub(crate) fn len(&self) -> usize {
        self.hashes.len()
    }

    /// The keys in id order, and their hashes.
    pub(crate) fn into_parts(self) -> (Keys, Vec<u64>) {
        (self.keys, self.hashes)
    }

    /// The keys in id order.
    pub(crate) fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The ids of rows, replacing what `ids` held; keys not seen before are added. Keys are of the table's width and
    /// `hashes` are theirs.
    pub(crate) fn insert(
        &mut self,
        keys: &Keys,
        hashes: &[u64],
        rows: impl ExactSizeIterator<Item = u32>,
        ids: &mut Vec<u32>,
    ) {
        ids.clear();
        if rows.len() == 0 {
            return;
        }
        self.reserve(rows.len());
        let (slots, known) = (&mut self.slots, &mut self.hashes);
        match (&mut self.keys, keys) {
            (Keys::Narrow(own), Keys::Narrow(keys)) => {
                probe(own, known, slots, keys, hashes, rows, ids);
            }
            (Keys::Wide(own), Keys::Wide(keys)) => {
                probe(own, known, slots, keys, hashes, rows, ids);
            }
            (Keys::Bytes(own), Keys::Bytes(keys)) => {
                probe(own, known, slots, keys, hashes, rows, ids);
            }
            _ => debug_assert!(false, "keys of another width"),
        }
    }

    /// Gives every row from `start` on an id of its own without looking for equals. No `insert` may follow.
    pub(crate) fn append(&mut self, keys: &Keys, hashes: &[u64], start: usize, ids: &mut Vec<u32>) {
        let first = self.len() as u32;
        ids.clear();
        ids.extend(first..first + (hashes.len() - start) as u32);
        self.hashes.extend_from_slice(&hashes[start..]);
        match (&mut self.keys, keys) {
            (Keys::Narrow(own), Keys::Narrow(keys)) => own.extend_from_slice(&keys[start..]),
            (Keys::Wide(own), Keys::Wide(keys)) => own.extend_from_slice(&keys[start..]),
            (Keys::Bytes(own), Keys::Bytes(keys)) => {
                (start..keys.len()).for_each(|row| own.push_from(keys, row));
            }
            _ => debug_assert!(false, "keys of another width"),
        }
    }

    /// Makes room for `more` keys at a load of at most one half.
    fn reserve(&mut self, more: usize) {
        let wanted = (self.len() + more) * 2;
        if wanted <= self.slots.len() {
            return;
        }
        let size = wanted.next_power_of_two().max(64);
        self.slots.clear();
        self.slots.resize(size, 0);
        for (id, &hash) in self.hashes.iter().enumerate() {
            let mut at = hash as usize & (size - 1);
            while self.slots[at] != 0 {
                at = (at + 1) & (size - 1);
            }
            self.slots[at] = entry(hash, id);
        }
    }

    /// Bytes of memory held.
    pub(crate) fn memory(&self) -> u64 {
        self.keys.memory() + (self.hashes.capacity() + self.slots.capacity()) as u64 * 8
    }
}

#[inline]
fn entry(hash: u64, id: usize) -> u64 {
    hash & 0xffff_ffff_0000_0000 | (id as u64 + 1)
}

fn probe<K: KeyStore>(
    own: &mut K,
    known: &mut Vec<u64>,
    slots: &mut [u64],
    keys: &K,
    hashes: &[u64],
    rows: impl Iterator<Item = u32>,
    ids: &mut Vec<u32>,
) {
    let mask = slots.len() - 1;
    for row in rows {
        let row = row as usize;
        let hash = hashes[row];
        let mut at = hash as usize & mask;
        let id = loop {
            let slot = slots[at];
            if slot == 0 {
                let id = known.len();
                slots[at] = entry(hash, id);
                known.push(hash);
                own.push_from(keys, row);
                break id;
            }
            if (slot ^ hash) >> 32 == 0 {
                let id = (slot as u32 - 1) as usize;
                if own.equal(id, keys, row) {
                    break id;
                }
            }
            at = (at + 1) & mask;
        };
        ids.push(id as u32);
    }
}

/// The values at some places, in their order.
pub(crate) fn permute<T: Clone>(values: &mut Vec<T>, order: &[u32]) {
    *values = order.iter().map(|&place| values[place as usize].clone()).collect();
}
