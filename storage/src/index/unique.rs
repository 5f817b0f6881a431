//! One entry a key: what PRIMARY KEY and UNIQUE ask of an index.
//!
//! Invariants: an entry that is gone stands in nobody's way; rows that share nothing (those with a NULL in the key) are
//! exempt whatever their key is. Which row is refused depends on keys and rows alone: the first one in row order.
//! Next: `view.rs`.

use std::{
    ops::Range,
    sync::atomic::{AtomicU64, Ordering},
};

use super::{
    entries::Entries,
    range::{Cut, KeyCode, KeyRange, KeyRef},
    run::Run,
    sort::Workers,
    spec::{IndexSpec, KeyCodes},
    version::{Index, Part},
};
use crate::{error::Result, vector::Vector};

/// Entries that are looked up by one task.
const CHUNK: usize = 1 << 13;

impl Index {
    /// The version with more entries, each with a key of its own, or the first of their rows whose key another entry or an
    /// earlier one of these rows has. `is_exempt` tells the rows that share nothing. As `insert`, and `O(log n)` an entry.
    ///
    /// # Errors
    /// As `insert`.
    pub fn insert_unique(
        &self,
        entries: Entries,
        is_exempt: &(dyn Fn(u64) -> bool + Sync),
        workers: &dyn Workers,
    ) -> Result<std::result::Result<Self, u64>> {
        let run = entries.into_run(workers)?;
        let near: Vec<&Part> = self.parts.iter().filter(|part| overlaps(&part.run, &run)).collect();
        let repeated = AtomicU64::new(u64::MAX);
        workers.run(run.len().div_ceil(CHUNK), &|chunk| {
            let range = chunk * CHUNK..run.len().min((chunk + 1) * CHUNK);
            repeated.fetch_min(first_repeated(&run, range, &near, is_exempt), Ordering::Relaxed);
        });
        match repeated.into_inner() {
            u64::MAX => Ok(Ok(self.with_part(run, false)?)),
            row => Ok(Err(row)),
        }
    }

    /// For every row of the key columns the row of the first entry of the same key; `None` where there is none or one of
    /// the row's values is NULL. `O(log n)` a row and part.
    ///
    /// # Errors
    /// `Internal` when the columns are not those of the key.
    pub fn rows_of(&self, keys: &[Vector]) -> Result<Vec<Option<u64>>> {
        let find = |code: KeyCode| {
            let range = KeyRange { upper: after(&code), lower: Cut::Before(code) };
            let entry = self.view(&range).select(0)?;
            Some(self.row(entry))
        };
        let codes = self.spec().complete_codes(keys)?;
        Ok(codes.into_iter().map(|code| code.and_then(find)).collect())
    }
}

impl IndexSpec {
    /// For every row of the key columns bytes that are equal where the keys are; `None` where one of the row's values is
    /// NULL.
    ///
    /// # Errors
    /// `Internal` when the columns are not those of the key.
    pub fn key_bytes(&self, keys: &[Vector]) -> Result<Vec<Option<Box<[u8]>>>> {
        let bytes = |code: KeyCode| match code {
            KeyCode::Narrow(word) => Some(word.to_be_bytes().into()),
            KeyCode::Wide(word) => Some(word.to_be_bytes().into()),
            KeyCode::Bytes(bytes) => Some(bytes),
            KeyCode::Null => None,
        };
        Ok(self.complete_codes(keys)?.into_iter().map(|code| code.and_then(bytes)).collect())
    }

    /// The codes of rows none of whose values is NULL.
    fn complete_codes(&self, keys: &[Vector]) -> Result<Vec<Option<KeyCode>>> {
        let rows = keys.first().map_or(0, Vector::len);
        let mut complete = vec![true; rows];
        for nulls in keys.iter().filter_map(Vector::nulls) {
            complete.iter_mut().zip(nulls.iter()).for_each(|(complete, valid)| *complete &= valid);
        }
        // NULLs have codes too, which mean nothing.
        let (codes, _) = self.codes(keys)?;
        let code = |row: usize| match &codes {
            KeyCodes::Narrow(words) => KeyCode::Narrow(words[row]),
            KeyCodes::Wide(words) => KeyCode::Wide(words[row]),
            KeyCodes::Raw(texts) => KeyCode::Bytes(texts.value(row).into()),
            KeyCodes::Encoded(list) => KeyCode::Bytes(list.get(row).into()),
        };
        Ok((0..rows).map(|row| complete[row].then(|| code(row))).collect())
    }
}

/// The cut after all entries of a key.
fn after(code: &KeyCode) -> Cut {
    Cut::Before(match code {
        KeyCode::Narrow(word) => word.checked_add(1).map_or(KeyCode::Null, KeyCode::Narrow),
        KeyCode::Wide(word) => word.checked_add(1).map_or(KeyCode::Null, KeyCode::Wide),
        KeyCode::Bytes(bytes) => {
            // The least string after this one.
            KeyCode::Bytes([&**bytes, &[0]].concat().into())
        }
        KeyCode::Null => return Cut::End,
    })
}

/// Whether keys of one run may be among those of another.
fn overlaps(of: &Run, new: &Run) -> bool {
    let Some(last) = new.len().checked_sub(1) else { return false };
    of.equal(new.key(0)).start < of.equal(new.key(last)).end
}

/// The least row in a range of a run whose key is taken; `u64::MAX` when none is.
fn first_repeated(
    run: &Run,
    range: Range<usize>,
    parts: &[&Part],
    is_exempt: &(dyn Fn(u64) -> bool + Sync),
) -> u64 {
    let mut first = u64::MAX;
    let mut before: Option<KeyRef<'_>> = range.start.checked_sub(1).map(|at| run.key(at));
    for at in range {
        let (key, row) = (run.key(at), run.row(at));
        let repeated = before.replace(key) == Some(key);
        if row < first && !is_exempt(row) && (repeated || is_taken(parts, key)) {
            first = row;
        }
    }
    first
}

/// Whether there is an entry of a key.
fn is_taken(parts: &[&Part], key: KeyRef<'_>) -> bool {
    let count = |part: &&Part| part.sign() * part.run.equal(key).len() as i64;
    parts.iter().map(count).sum::<i64>() > 0
}
