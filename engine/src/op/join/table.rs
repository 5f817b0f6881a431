//! The join's table: from a 64-bit key code to the build rows that have it.
//!
//! Codes are exact (`key.rs`): two rows match exactly when their codes are equal. A look-up gives an entry, the ordinal
//! of a distinct code; an entry has a group of row numbers. Two layouts: a bitmap with ranks over the code range when
//! codes are dense (the answer to "is it there" is exact and fits a cache); else a directory of offsets into contiguous
//! distinct codes, each offset tagged with a small bloom filter of its bucket.
//! Invariant: everything is an index, nothing a pointer; a group lists its rows in ascending order, whoever built it.
//! Next: `table_build.rs`; `probe.rs`, which walks the groups.

use std::sync::atomic::{AtomicU64, Ordering};

use super::lane::MISS;

/// The entry, or the row, that is not there.
pub(super) const NONE: u32 = u32::MAX;

/// From codes to groups of build rows.
pub(super) struct Table {
    /// How a code is found.
    pub(super) lookup: Lookup,
    /// The rows of the entries.
    pub(super) groups: Groups,
}

/// How a code becomes an entry.
pub(super) enum Lookup {
    /// There is no key: every row is in entry 0.
    All,
    /// Bit c is set when code c is there; its entry is the number of set bits before it. The last word is empty.
    Ranked(Vec<Word>),
    /// Hashed.
    Hashed(Directory),
}

/// 64 codes of a ranked bitmap.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Word {
    /// Which codes are there.
    pub(super) bits: u64,
    /// How many codes are there in the words before.
    pub(super) rank: u32,
}

/// Buckets of distinct codes, in the order of their hashes.
pub(super) struct Directory {
    /// Per bucket the first of its codes (upper 48 bits) and its tag (lower 16 bits); one more at the end.
    pub(super) buckets: Vec<u64>,
    /// How far a hash is shifted to give its bucket.
    pub(super) shift: u32,
    /// The distinct codes, bucket after bucket.
    pub(super) codes: Vec<u64>,
}

/// The row numbers of each entry.
pub(super) struct Groups {
    /// Where each entry's rows begin, and the end; `None` when every entry has one row.
    pub(super) starts: Option<Vec<u32>>,
    /// The rows, entry after entry.
    pub(super) rows: Rows,
}

/// Row numbers.
pub(super) enum Rows {
    /// All rows in order: one entry, or as many entries as rows.
    Identity(u32),
    /// As listed.
    Listed(Vec<u32>),
}

/// A well-mixed hash of a code: the upper bits choose the bucket, others the tag.
#[inline]
pub(super) fn mix(code: u64) -> u64 {
    let wide = u128::from(code ^ 0x9e37_79b9_7f4a_7c15) * u128::from(0xd6e8_feb8_6659_fd93_u64);
    #[expect(clippy::cast_possible_truncation, reason = "both halves are wanted")]
    let (low, high) = (wide as u64, (wide >> 64) as u64);
    (low ^ high).wrapping_mul(0xa076_1d64_78bd_642f)
}

/// The two bits of a hash in its bucket's tag.
#[inline]
pub(super) fn tag(hash: u64) -> u64 {
    (1 << (hash & 15)) | (1 << ((hash >> 4) & 15))
}

/// Buffers that look-ups reuse.
#[derive(Default)]
pub(super) struct LookupScratch {
    rows: Vec<u32>,
    bounds: Vec<(u32, u32)>,
}

impl Table {
    /// A table without keys over `rows` rows.
    pub(super) fn all(rows: u32) -> Self {
        let starts = Some(vec![0, rows]);
        Self { lookup: Lookup::All, groups: Groups { starts, rows: Rows::Identity(rows) } }
    }

    /// How many entries there are.
    pub(super) fn entries(&self) -> usize {
        match &self.groups.starts {
            Some(starts) => starts.len() - 1,
            None => self.groups.rows.len(),
        }
    }

    /// Whether every entry has exactly one row.
    pub(super) fn is_unique(&self) -> bool {
        self.groups.starts.is_none()
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> u64 {
        let lookup = match &self.lookup {
            Lookup::All => 0,
            Lookup::Ranked(words) => size_of_val(words.as_slice()),
            Lookup::Hashed(directory) => {
                size_of_val(directory.buckets.as_slice()) + size_of_val(directory.codes.as_slice())
            }
        };
        let starts = self.groups.starts.as_ref().map_or(0, Vec::len) * 4;
        let rows = match &self.groups.rows {
            Rows::Identity(_) => 0,
            Rows::Listed(rows) => rows.len() * 4,
        };
        (lookup + starts + rows) as u64
    }

    /// The entry of each code, `NONE` for those that are not there (`MISS` never is), replacing what `entries` held.
    pub(super) fn lookup(
        &self,
        codes: &[u64],
        scratch: &mut LookupScratch,
        entries: &mut Vec<u32>,
    ) {
        entries.clear();
        match &self.lookup {
            Lookup::All => entries.resize(codes.len(), 0),
            Lookup::Ranked(words) => lookup_ranked(words, codes, entries),
            Lookup::Hashed(directory) => {
                entries.resize(codes.len(), NONE);
                lookup_hashed(directory, codes, scratch, entries);
            }
        }
    }

    /// Where the rows of an entry stand in `Groups::rows`: first and number.
    #[inline]
    pub(super) fn group(&self, entry: u32) -> (u32, u32) {
        match &self.groups.starts {
            Some(starts) => {
                let start = starts[entry as usize];
                (start, starts[entry as usize + 1] - start)
            }
            None => (entry, 1),
        }
    }
}

impl Rows {
    /// How many rows.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Identity(rows) => *rows as usize,
            Self::Listed(rows) => rows.len(),
        }
    }

    /// Appends the row numbers at `start..start + count`.
    #[inline]
    pub(super) fn extend_into(&self, start: u32, count: u32, out: &mut Vec<u32>) {
        match self {
            Self::Identity(_) => out.extend(start..start + count),
            Self::Listed(rows) => {
                out.extend_from_slice(&rows[start as usize..(start + count) as usize]);
            }
        }
    }
}

fn lookup_ranked(words: &[Word], codes: &[u64], entries: &mut Vec<u32>) {
    let last = words.len() as u64 - 1;
    entries.extend(codes.iter().map(|&code| {
        #[expect(clippy::cast_possible_truncation, reason = "at most the last word's index")]
        let word = words[(code >> 6).min(last) as usize];
        let bit = 1_u64 << (code & 63);
        let entry = word.rank + (word.bits & (bit - 1)).count_ones();
        if word.bits & bit != 0 { entry } else { NONE }
    }));
}

#[expect(clippy::cast_possible_truncation, reason = "offsets are row counts below 2^32")]
fn lookup_hashed(
    directory: &Directory,
    codes: &[u64],
    scratch: &mut LookupScratch,
    entries: &mut [u32],
) {
    scratch.rows.resize(codes.len(), 0);
    scratch.bounds.resize(codes.len(), (0, 0));
    let mut found = 0;
    // The loads of this loop do not depend on each other, so that the memory system works on many at once.
    for (row, &code) in codes.iter().enumerate() {
        let hash = mix(code);
        let bucket = (hash >> directory.shift) as usize;
        let pair = &directory.buckets[bucket..bucket + 2];
        let tag = tag(hash);
        scratch.rows[found] = row as u32;
        scratch.bounds[found] = ((pair[0] >> 16) as u32, (pair[1] >> 16) as u32);
        found += usize::from(pair[0] & tag == tag && code != MISS);
    }
    for (&row, &(start, end)) in scratch.rows[..found].iter().zip(&scratch.bounds[..found]) {
        let code = codes[row as usize];
        let bucket = &directory.codes[start as usize..end as usize];
        if let Some(at) = bucket.iter().position(|&other| other == code) {
            entries[row as usize] = start + at as u32;
        }
    }
}

/// A bitmap that workers set concurrently: which entries or rows have found a match.
pub(super) struct Marks {
    words: Vec<AtomicU64>,
}

impl Marks {
    /// Nothing is marked of `len`.
    pub(super) fn new(len: usize) -> Self {
        Self { words: (0..len.div_ceil(64)).map(|_| AtomicU64::new(0)).collect() }
    }

    /// Marks one.
    #[inline]
    pub(super) fn set(&self, index: u32) {
        let word = &self.words[index as usize / 64];
        let bit = 1_u64 << (index % 64);
        if word.load(Ordering::Relaxed) & bit == 0 {
            word.fetch_or(bit, Ordering::Relaxed);
        }
    }

    /// Whether one is marked.
    #[inline]
    pub(super) fn get(&self, index: u32) -> bool {
        self.words[index as usize / 64].load(Ordering::Relaxed) & (1 << (index % 64)) != 0
    }
}
