//! Sorted byte strings, and the tree over them: nodes of 16 prefixes of 8 bytes, each after what the node has in common.
//!
//! Invariants: strings are distinct and ascending. A node's strings share their first `skip` bytes; a prefix is the 8
//! bytes after those, zeros where a string ends. A needle is compared with what is shared, then with 16 prefixes at once
//! by counting, and with whole strings only where a prefix is its own: long common prefixes (URLs, paths) cost nothing.
//! Method: prefix truncation per node (Bayer and Unterauer 1977), poor man's normalised keys (Graefe and Larson 2001).
//! Next: `keys.rs`.

use std::cmp::Ordering;

/// Strings of one node.
const FAN_OUT: usize = 16;

/// Byte strings, one after the other.
#[derive(Debug, Clone, Default)]
pub(super) struct ByteList {
    ends: Vec<u64>,
    data: Vec<u8>,
}

impl ByteList {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.data.extend_from_slice(bytes);
        self.ends.push(self.data.len() as u64);
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    #[inline]
    pub(super) fn get(&self, at: usize) -> &[u8] {
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.data[start as usize..self.ends[at] as usize]
    }

    /// Gives back what was reserved and not used.
    pub(super) fn shrink(&mut self) {
        self.ends.shrink_to_fit();
        self.data.shrink_to_fit();
    }

    pub(super) fn bytes(&self) -> usize {
        self.ends.capacity() * 8 + self.data.capacity()
    }
}

/// One level of nodes. The separators of a level are the last strings of the nodes below.
#[derive(Debug, Clone)]
struct Level {
    /// Of each string, in nodes of `FAN_OUT`; the last node is filled up.
    words: Box<[u64]>,
    /// Of each node.
    skips: Box<[u32]>,
    /// How many strings the level has.
    len: usize,
    /// How many strings of the list one string of the level stands for.
    width: usize,
}

/// Distinct byte strings in order, searchable.
#[derive(Debug, Clone)]
pub(super) struct ByteTree {
    list: ByteList,
    levels: Vec<Level>,
}

/// The 8 bytes after the first `skip`, zeros where there are none.
#[inline]
fn word(bytes: &[u8], skip: usize) -> u64 {
    let rest = bytes.get(skip..).unwrap_or_default();
    match rest.first_chunk::<8>() {
        Some(chunk) => u64::from_be_bytes(*chunk),
        None => {
            let mut chunk = [0; 8];
            chunk[..rest.len()].copy_from_slice(rest);
            u64::from_be_bytes(chunk)
        }
    }
}

fn common(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

impl Level {
    fn new(list: &ByteList, width: usize) -> Self {
        let len = list.len().div_ceil(width);
        let string = |at: usize| list.get(((at + 1) * width).min(list.len()) - 1);
        let (mut words, mut skips) = (Vec::new(), Vec::new());
        for start in (0..len).step_by(FAN_OUT) {
            let end = (start + FAN_OUT).min(len);
            let skip = common(string(start), string(end - 1));
            skips.push(skip as u32);
            words.extend((start..end).map(|at| word(string(at), skip)));
            words.resize(start + FAN_OUT, u64::MAX);
        }
        Self { words: words.into(), skips: skips.into(), len, width }
    }

    /// The first string of a node that is not less than the needle, as a number in the level; the end of the node where
    /// all are.
    fn search(&self, list: &ByteList, node: usize, needle: &[u8]) -> usize {
        let start = node * FAN_OUT;
        let end = (start + FAN_OUT).min(self.len);
        let string = |at: usize| list.get(((at + 1) * self.width).min(list.len()) - 1);
        let skip = self.skips[node] as usize;
        if skip > 0 {
            let shared = &string(end - 1)[..skip];
            match needle[..needle.len().min(skip)].cmp(shared) {
                Ordering::Less => return start,
                Ordering::Greater => return end,
                Ordering::Equal => {}
            }
        }
        let wanted = word(needle, skip);
        let (mut less, mut up_to) = (0, 0);
        for &word in &self.words[start..start + FAN_OUT] {
            less += usize::from(word < wanted);
            up_to += usize::from(word <= wanted);
        }
        let mut at = start + less;
        let ties = (start + up_to).min(end);
        while at < ties && string(at) < needle {
            at += 1;
        }
        at
    }
}

impl ByteTree {
    /// Over distinct ascending strings.
    pub(super) fn new(mut list: ByteList) -> Self {
        list.shrink();
        let (mut levels, mut width) = (vec![], 1);
        loop {
            let level = Level::new(&list, width);
            let done = level.len <= FAN_OUT;
            levels.push(level);
            if done {
                return Self { list, levels };
            }
            width *= FAN_OUT;
        }
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    #[inline]
    pub(super) fn get(&self, at: usize) -> &[u8] {
        self.list.get(at)
    }

    /// How many strings are less than a needle. `O(log n)`.
    pub(super) fn lower_bound(&self, needle: &[u8]) -> usize {
        let mut node = 0;
        for (depth, level) in self.levels.iter().enumerate().rev() {
            if level.len == 0 {
                return 0;
            }
            node = level.search(&self.list, node, needle);
            if node == level.len && depth > 0 {
                return self.list.len();
            }
        }
        node
    }

    /// Levels of nodes.
    pub(super) fn height(&self) -> usize {
        self.levels.len()
    }

    pub(super) fn bytes(&self) -> usize {
        let level = |level: &Level| level.words.len() * 8 + level.skips.len() * 4;
        self.list.bytes() + self.levels.iter().map(level).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::tests::Random;

    #[test]
    fn test_lower_bound_equals_that_of_a_sorted_list() {
        let mut random = Random(8);
        for (count, prefix) in
            [(0, ""), (1, ""), (16, "x"), (17, ""), (3000, "http://example.org/")]
        {
            for alphabet in [2, 200] {
                let mut strings: Vec<Vec<u8>> = (0..count)
                    .map(|i| {
                        let mut bytes =
                            if i % 3 == 0 { vec![] } else { prefix.as_bytes().to_vec() };
                        let len = random.below(20);
                        bytes.extend((0..len).map(|_| random.below(alphabet) as u8));
                        bytes
                    })
                    .collect();
                let mut needles = strings.clone();
                strings.sort();
                strings.dedup();
                let mut list = ByteList::default();
                strings.iter().for_each(|bytes| list.push(bytes));
                let tree = ByteTree::new(list);
                assert_eq!(tree.len(), strings.len());
                for bytes in &strings {
                    let longer = [bytes.as_slice(), &[0]].concat();
                    let shorter = bytes[..bytes.len() / 2].to_vec();
                    needles.extend([longer, shorter, [bytes.as_slice(), &[255]].concat()]);
                }
                needles.extend([vec![], vec![0], vec![255; 30], b"http://example.org".to_vec()]);
                for needle in &needles {
                    let want = strings.partition_point(|bytes| bytes < needle);
                    assert_eq!(tree.lower_bound(needle), want, "{needle:?}");
                }
            }
        }
    }
}
