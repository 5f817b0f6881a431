//! The join's table: from a 64-bit key code to the build rows that have it.
//!
//! Codes are exact (`key.rs`): two rows match exactly when their codes are equal. A look-up gives an entry, the ordinal
//! of a distinct code; an entry has a group of row numbers. Two layouts: a bitmap with ranks over the code range when
//! codes are dense (the answer to "is it there" is exact and fits a cache); else a directory of offsets into contiguous
//! distinct codes, each offset tagged with a small bloom filter of its bucket.
//! Invariant: everything is an index, nothing a pointer; a group lists its rows in ascending order, whoever built it.
//! Next: `table_build.rs`; `probe.rs`, which walks the groups.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::kernel::hash::hash_u64;

/// The entry, or the row, that is not there.
pub(super) const NONE: u32 = u32::MAX;

/// From codes to groups of build rows.
pub(super) struct Table {
    /// How a code is found.
    pub(super) lookup: Lookup,
    /// How many entries there are.
    pub(super) entries: usize,
    /// The rows of the entries; none in a table that was built without rows.
    pub(super) groups: Groups,
}

/// How a code becomes an entry.
pub(super) enum Lookup {
    /// There is no key: every row is in entry 0.
    All,
    /// Every code below this is there, and is its own entry.
    Full(u64),
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
    Identity,
    /// As listed.
    Listed(Vec<u32>),
}

/// The two bits of a hash in its bucket's tag; its upper bits choose the bucket.
#[inline]
pub(super) fn tag(hash: u64) -> u64 {
    (1 << (hash & 15)) | (1 << ((hash >> 4) & 15))
}

/// Buffers that look-ups reuse.
#[derive(Default)]
pub(super) struct LookupScratch {
    hashes: Vec<u64>,
    buckets: Vec<(u64, u64)>,
    found: Vec<Found>,
    firsts: Vec<u64>,
}

/// A row whose bucket may have its code.
#[derive(Clone, Copy, Default)]
struct Found {
    row: u32,
    start: u32,
    end: u32,
}

impl Table {
    /// A table without keys over `rows` rows.
    pub(super) fn all(rows: u32) -> Self {
        let starts = (rows != 1).then(|| vec![0, rows]);
        let groups = Groups { starts, rows: Rows::Identity };
        Self { lookup: Lookup::All, entries: 1, groups }
    }

    /// Whether every entry has exactly one row.
    pub(super) fn is_unique(&self) -> bool {
        self.groups.starts.is_none()
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> u64 {
        let lookup = match &self.lookup {
            Lookup::All | Lookup::Full(_) => 0,
            Lookup::Ranked(words) => size_of_val(words.as_slice()),
            Lookup::Hashed(directory) => {
                size_of_val(directory.buckets.as_slice()) + size_of_val(directory.codes.as_slice())
            }
        };
        let starts = self.groups.starts.as_ref().map_or(0, Vec::len) * 4;
        let rows = match &self.groups.rows {
            Rows::Identity => 0,
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
            Lookup::Full(end) => {
                let entry = |&code: &u64| if code < *end { code as u32 } else { NONE };
                entries.extend(codes.iter().map(entry));
            }
            Lookup::Ranked(words) => {
                entries.resize(codes.len(), NONE);
                lookup_ranked(words, codes, scratch, entries);
            }
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
    /// Appends the row numbers at `start..start + count`.
    #[inline]
    pub(super) fn extend_into(&self, start: u32, count: u32, out: &mut Vec<u32>) {
        match self {
            Self::Identity => out.extend(start..start + count),
            Self::Listed(rows) => {
                out.extend_from_slice(&rows[start as usize..(start + count) as usize]);
            }
        }
    }
}

/// Bits first, since they are cheap and often clear; ranks for those that are set.
fn lookup_ranked(words: &[Word], codes: &[u64], scratch: &mut LookupScratch, entries: &mut [u32]) {
    let last = words.len() - 1;
    let LookupScratch { found, .. } = scratch;
    found.resize(codes.len(), Found::default());
    let mut count = 0;
    for (row, &code) in (0_u32..).zip(codes) {
        let word = ((code >> 6) as usize).min(last);
        found[count] = Found { row, start: word as u32, end: 0 };
        count += ((words[word].bits >> (code & 63)) & 1) as usize;
    }
    for found in &found[..count] {
        let word = words[found.start as usize];
        let below = (1_u64 << (codes[found.row as usize] & 63)) - 1;
        entries[found.row as usize] = word.rank + (word.bits & below).count_ones();
    }
}

/// Each loop makes one kind of access for the whole vector, so that the memory system works on many at once.
fn lookup_hashed(
    directory: &Directory,
    codes: &[u64],
    scratch: &mut LookupScratch,
    entries: &mut [u32],
) {
    let LookupScratch { hashes, buckets, found, firsts } = scratch;
    hashes.clear();
    hashes.extend(codes.iter().map(|&code| hash_u64(code)));
    buckets.clear();
    buckets.extend(hashes.iter().map(|&hash| {
        let bucket = (hash >> directory.shift) as usize;
        let pair = &directory.buckets[bucket..bucket + 2];
        (pair[0], pair[1])
    }));
    found.resize(codes.len(), Found::default());
    let mut count = 0;
    for (row, (&hash, &(start, end))) in (0_u32..).zip(hashes.iter().zip(&*buckets)) {
        let tag = tag(hash);
        found[count] = Found { row, start: (start >> 16) as u32, end: (end >> 16) as u32 };
        count += usize::from(start & tag == tag);
    }
    // A tag is there only where a bucket has a code, so that the first one exists.
    let found = &found[..count];
    firsts.clear();
    firsts.extend(found.iter().map(|found| directory.codes[found.start as usize]));
    for (&Found { row, start, end }, &first) in found.iter().zip(&*firsts) {
        let code = codes[row as usize];
        if first == code {
            entries[row as usize] = start;
            continue;
        }
        let others = &directory.codes[start as usize + 1..end as usize];
        if let Some(at) = others.iter().position(|&other| other == code) {
            entries[row as usize] = start + 1 + at as u32;
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
