//! The keys of a run in order: words one an entry, byte strings one a distinct key.
//!
//! Invariants: positions count the entries whose key has a code; the NULLs of a single column come after them and are
//! the run's matter. Entries of one key are neighbours.
//! Next: `run.rs`.

use super::{bytes::ByteTree, offsets::Word, range::KeyRef, sums::BLOCK, words::WordTree};

/// Keys in order.
#[derive(Debug, Clone)]
pub(super) enum Keys {
    Narrow(WordKeys<u64>),
    Wide(WordKeys<u128>),
    Bytes(ByteKeys),
}

/// Words, one an entry.
#[derive(Debug, Clone)]
pub(super) struct WordKeys<W> {
    pub(super) tree: WordTree<W>,
    /// How many entries before each block have another key than the entry before them; empty when all have.
    firsts: Box<[u32]>,
}

/// Byte strings, each once.
#[derive(Debug, Clone)]
pub(super) struct ByteKeys {
    pub(super) tree: ByteTree,
    /// The first entry of each string, and the number of entries at the end; empty when every string has one entry.
    starts: Box<[u32]>,
}

impl<W: Word> WordKeys<W> {
    pub(super) fn new(words: Vec<W>) -> Self {
        let (mut firsts, mut count) = (Vec::new(), 0_u32);
        for (block, chunk) in words.chunks(BLOCK).enumerate() {
            firsts.push(count);
            let mut before = (block > 0).then(|| words[block * BLOCK - 1]);
            for &word in chunk {
                count += u32::from(before != Some(word));
                before = Some(word);
            }
        }
        firsts.push(count);
        if count as usize == words.len() {
            firsts.clear();
        }
        Self { firsts: firsts.into(), tree: WordTree::new(words) }
    }

    /// How many entries before a position have another key than the one before them.
    fn firsts_before(&self, position: usize) -> usize {
        if self.firsts.is_empty() {
            return position;
        }
        let words = self.tree.words();
        let start = position / BLOCK * BLOCK;
        let first = |at: usize| at == 0 || words[at] != words[at - 1];
        self.firsts[position / BLOCK] as usize + (start..position).filter(|&at| first(at)).count()
    }

    fn bytes(&self) -> usize {
        self.tree.bytes() + self.firsts.len() * 4
    }
}

impl ByteKeys {
    /// Strings of as many entries each as `counts` says; empty `counts` stand for one each.
    pub(super) fn new(tree: ByteTree, counts: &[u32]) -> Self {
        if counts.iter().all(|&count| count == 1) {
            return Self { tree, starts: Box::default() };
        }
        let mut starts = vec![0];
        let mut end = 0;
        starts.extend(counts.iter().map(|&count| {
            end += count;
            end
        }));
        Self { tree, starts: starts.into() }
    }

    /// The first entry of a string.
    #[inline]
    fn start(&self, string: usize) -> usize {
        if self.starts.is_empty() { string } else { self.starts[string] as usize }
    }

    /// The string of an entry.
    #[inline]
    fn string(&self, position: usize) -> usize {
        match self.starts.is_empty() {
            true => position,
            false => self.starts.partition_point(|&start| start as usize <= position) - 1,
        }
    }

    fn len(&self) -> usize {
        self.start(self.tree.len())
    }
}

impl Keys {
    /// How many entries have a key with a code.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Narrow(keys) => keys.tree.len(),
            Self::Wide(keys) => keys.tree.len(),
            Self::Bytes(keys) => keys.len(),
        }
    }

    /// The position of the first entry whose key is not less. `O(log n)`.
    #[inline]
    pub(super) fn lower_bound(&self, key: KeyRef<'_>) -> usize {
        match (self, key) {
            (Self::Narrow(keys), KeyRef::Narrow(word)) => keys.tree.lower_bound(word),
            (Self::Wide(keys), KeyRef::Wide(word)) => keys.tree.lower_bound(word),
            (Self::Bytes(keys), KeyRef::Bytes(bytes)) => keys.start(keys.tree.lower_bound(bytes)),
            _ => self.len(),
        }
    }

    /// The position of the first entry whose key is greater. `O(log n)`.
    #[inline]
    pub(super) fn upper_bound(&self, key: KeyRef<'_>) -> usize {
        match (self, key) {
            (Self::Narrow(keys), KeyRef::Narrow(word)) => keys.tree.upper_bound(word),
            (Self::Wide(keys), KeyRef::Wide(word)) => keys.tree.upper_bound(word),
            (Self::Bytes(keys), KeyRef::Bytes(bytes)) => {
                let string = keys.tree.lower_bound(bytes);
                let equal = string < keys.tree.len() && keys.tree.get(string) == bytes;
                keys.start(string + usize::from(equal))
            }
            _ => self.len(),
        }
    }

    /// The key of an entry. `O(1)` for words, `O(log n)` for byte strings that repeat.
    #[inline]
    pub(super) fn get(&self, position: usize) -> KeyRef<'_> {
        match self {
            Self::Narrow(keys) => KeyRef::Narrow(keys.tree.words()[position]),
            Self::Wide(keys) => KeyRef::Wide(keys.tree.words()[position]),
            Self::Bytes(keys) => KeyRef::Bytes(keys.tree.get(keys.string(position))),
        }
    }

    /// How many distinct keys entries `start..end` have. `O(1)` for words, `O(log n)` for byte strings.
    pub(super) fn distinct(&self, start: usize, end: usize) -> usize {
        if start >= end {
            return 0;
        }
        match self {
            Self::Narrow(keys) => keys.firsts_before(end) - keys.firsts_before(start + 1) + 1,
            Self::Wide(keys) => keys.firsts_before(end) - keys.firsts_before(start + 1) + 1,
            Self::Bytes(keys) => keys.string(end - 1) - keys.string(start) + 1,
        }
    }

    /// Levels of the tree.
    pub(super) fn height(&self) -> usize {
        match self {
            Self::Narrow(keys) => keys.tree.height(),
            Self::Wide(keys) => keys.tree.height(),
            Self::Bytes(keys) => keys.tree.height(),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Narrow(keys) => keys.bytes(),
            Self::Wide(keys) => keys.bytes(),
            Self::Bytes(keys) => keys.tree.bytes() + keys.starts.len() * 4,
        }
    }
}
