//! Distinct words: the codes of a column's values into a dictionary, as long as that stays small.
//!
//! Invariants: entries stand in order of arrival; values that SQL calls equal but whose bits differ (-0.0 and 0.0, NaNs)
//! get no dictionary, so that entries are distinct in SQL too. Giving up is early and depends on the values alone.
//! Next: `fixed.rs`.

use crate::table::word::{Chunks, Word};

/// So many values are looked at first.
const SAMPLE: usize = 4096;
/// Their share of distinct values above which there is no dictionary.
const SAMPLE_ROWS_PER_ENTRY: usize = 2;

/// The distinct values in order of arrival, and the code of each row. `None` when there are more than `most` (at most
/// 65,536), or seem to be.
pub(crate) fn codes<T: Word>(values: &Chunks<T>, most: usize) -> Option<(Vec<u16>, Vec<T>)> {
    if most == 0 {
        return None;
    }
    let sampled = values.len().min(SAMPLE);
    let mut sample = Interner::new();
    values.values().take(sampled).for_each(|value| {
        sample.code(value);
    });
    if sample.entries.len() > most.min(sampled / SAMPLE_ROWS_PER_ENTRY) {
        return None;
    }
    let mut interner = sample;
    let mut codes = Vec::with_capacity(values.len());
    for chunk in values.iter() {
        for &value in chunk {
            codes.push(interner.code(value));
        }
        if interner.entries.len() > most {
            return None;
        }
    }
    Some((codes, interner.entries))
}

/// A table from values to codes: open addressing, one slot a code.
struct Interner<T> {
    entries: Vec<T>,
    /// The code + 1 of the entry that hashes here; 0 in free slots.
    slots: Vec<u32>,
    /// What was asked for last, for values come in runs.
    last: Option<(T, u16)>,
}

impl<T: Word> Interner<T> {
    fn new() -> Self {
        Self { entries: vec![], slots: vec![0; 1024], last: None }
    }

    /// The code of a value, a new one if need be. Meaningless once there are more than 65,536.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "hashes are cut to slots, codes to 16 bits"
    )]
    fn code(&mut self, value: T) -> u16 {
        if let Some((last, code)) = self.last
            && last == value
        {
            return code;
        }
        let mask = self.slots.len() - 1;
        let mut slot = value.hash() as usize & mask;
        let code = loop {
            match self.slots[slot] {
                0 => break self.insert(slot, value),
                code if self.entries[code as usize - 1] == value => break code - 1,
                _ => slot = (slot + 1) & mask,
            }
        } as u16;
        self.last = Some((value, code));
        code
    }

    #[expect(clippy::cast_possible_truncation, reason = "far fewer than 2^32 entries")]
    fn insert(&mut self, slot: usize, value: T) -> u32 {
        self.entries.push(value);
        self.slots[slot] = self.entries.len() as u32;
        if self.entries.len() * 2 > self.slots.len() {
            self.grow();
        }
        self.entries.len() as u32 - 1
    }

    #[expect(clippy::cast_possible_truncation, reason = "hashes are cut to slots")]
    fn grow(&mut self) {
        let mut slots = vec![0; self.slots.len() * 4];
        let mask = slots.len() - 1;
        for (code, value) in (1..).zip(&self.entries) {
            let mut slot = value.hash() as usize & mask;
            while slots[slot] != 0 {
                slot = (slot + 1) & mask;
            }
            slots[slot] = code;
        }
        self.slots = slots;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_codes_name_the_values() {
        for n in [1_u64, 2, 255, 256, 257, 5000, 65_536] {
            let values: Vec<u64> = (0..200_000).map(|i| (i % n) << 40).collect();
            let mut chunks = Chunks::default();
            chunks.extend_from_slice(&values);
            let found = codes(&chunks, 65_536);
            if n > SAMPLE as u64 / 2 {
                assert!(found.is_none(), "{n}");
                continue;
            }
            let (codes, entries) = found.unwrap();
            assert_eq!(entries, (0..n).map(|i| i << 40).collect::<Vec<_>>());
            assert!(codes.iter().map(|&code| entries[code as usize]).eq(values));
            assert!(super::codes(&chunks, n as usize - 1).is_none());
        }
    }

    #[test]
    fn test_more_entries_than_codes_are_given_up() {
        // Few in the sample, too many later on.
        let values = (0..400_000_i128).map(|i| if i < 10_000 { i % 3 } else { i / 4 });
        let mut chunks = Chunks::default();
        chunks.extend_from_slice(&values.collect::<Vec<_>>());
        assert!(codes(&chunks, 65_536).is_none());
        let mut few = Chunks::default();
        few.extend_from_slice(
            &(0..200_000).map(|i| i128::from(i % 60_000 / 20) << 70).collect::<Vec<_>>(),
        );
        let (codes, entries) = codes(&few, 65_536).unwrap();
        assert_eq!(entries.len(), 3000);
        assert!(codes.iter().map(|&code| entries[code as usize]).eq(few.values()));
    }
}
