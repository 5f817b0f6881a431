//! Sorting words by radix, with the order that they came in: stable, parallel, in bounded memory.
//!
//! Method: one pass parts the words by their highest bits that differ (2,048 buckets, chunk by chunk so that chunks are
//! independent), then every bucket, small enough for the caches, is brought together and sorted by its lower bits, byte
//! by byte from the lowest (Knuth 5.2.5; the hybrid of Satish et al. 2010). Bytes that agree in a bucket are skipped;
//! words that are in order already are only looked at.
//! Invariants: equal words keep their order; the result does not depend on the workers. Memory is twice the words and
//! their numbers; a bucket that outgrows the caches takes its own size more.
//! Next: `entries.rs`.

use std::sync::{Mutex, PoisonError};

use super::{bytes::ByteList, offsets::Word};

/// Who does independent pieces of work. Storage has no threads of its own.
pub trait Workers: Sync {
    /// Calls `task` with every number below `tasks` once, in any order and on any threads, and returns after the last call.
    fn run(&self, tasks: usize, task: &(dyn Fn(usize) + Sync));
}

/// The calling thread alone.
#[derive(Debug, Clone, Copy, Default)]
pub struct Serial;

impl Workers for Serial {
    fn run(&self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        (0..tasks).for_each(task);
    }
}

/// Fewer words are sorted by comparison.
const FEW: usize = 512;
/// Most words of a bucket that is sorted by its lower bytes.
const BUCKET: usize = 1 << 17;
/// Bits of the first pass.
const TOP_BITS: u32 = 11;

/// Sorts words; with each the number that it had before.
pub(super) fn sort_words<W: Word>(mut words: Vec<W>, workers: &dyn Workers) -> (Vec<W>, Vec<u32>) {
    let mut order: Vec<u32> = (0..words.len() as u32).collect();
    sort_pairs(&mut words, &mut order, workers);
    (words, order)
}

fn sort_pairs<W: Word>(words: &mut [W], order: &mut [u32], workers: &dyn Workers) {
    if words.is_sorted() {
        return;
    }
    if words.len() <= FEW {
        return sort_few(words, order);
    }
    let (min, max) = words.iter().fold((W::MAX, W::default()), |(a, b), &w| (a.min(w), b.max(w)));
    let bits = 128 - (max.wide() - min.wide()).leading_zeros();
    if words.len() <= BUCKET {
        return sort_low_bytes(words, order, min.wide(), bits);
    }
    let shift = bits.saturating_sub(TOP_BITS);
    let bucket = |word: W| ((word.wide() - min.wide()) >> shift) as usize;
    let parted = Parted::new(words, order, bucket, workers);
    let sizes = parted.sizes();
    let (mut rest_words, mut rest_order) = (words, order);
    let mut places = vec![];
    for size in sizes {
        let (words, more_words) = rest_words.split_at_mut(size);
        let (order, more_order) = rest_order.split_at_mut(size);
        places.push(Mutex::new((words, order)));
        (rest_words, rest_order) = (more_words, more_order);
    }
    workers.run(places.len(), &|at| {
        let mut place = places[at].lock().unwrap_or_else(PoisonError::into_inner);
        let (words, order) = &mut *place;
        parted.collect(at, words, order);
        sort_pairs(words, order, &Serial);
    });
}

/// Chunks of words, each parted by bucket.
struct Parted<W> {
    chunk: usize,
    words: Vec<W>,
    order: Vec<u32>,
    /// Where each bucket starts within each chunk, and the chunk's end.
    starts: Vec<Vec<u32>>,
}

impl<W: Word> Parted<W> {
    fn new(
        words: &[W],
        order: &[u32],
        bucket: impl Fn(W) -> usize + Sync,
        workers: &dyn Workers,
    ) -> Self {
        let buckets = 1 << TOP_BITS;
        let chunk = (words.len() / 64).clamp(1 << 15, 1 << 22);
        let mut parted_words = vec![W::default(); words.len()];
        let mut parted_order = vec![0; words.len()];
        let places = parted_words.chunks_mut(chunk).zip(parted_order.chunks_mut(chunk));
        let places: Vec<_> =
            places.map(|(words, order)| Mutex::new((words, order, Vec::new()))).collect();
        workers.run(places.len(), &|at| {
            let mut place = places[at].lock().unwrap_or_else(PoisonError::into_inner);
            let (to_words, to_order, starts) = &mut *place;
            let range = at * chunk..at * chunk + to_words.len();
            let mut ends = vec![0_u32; buckets + 1];
            for &word in &words[range.clone()] {
                ends[bucket(word) + 1] += 1;
            }
            (0..buckets).for_each(|bucket| ends[bucket + 1] += ends[bucket]);
            *starts = ends.clone();
            for (&word, &number) in words[range.clone()].iter().zip(&order[range]) {
                let end = &mut ends[bucket(word)];
                to_words[*end as usize] = word;
                to_order[*end as usize] = number;
                *end += 1;
            }
        });
        let starts = places
            .into_iter()
            .map(|place| place.into_inner().unwrap_or_else(PoisonError::into_inner).2)
            .collect();
        Self { chunk, words: parted_words, order: parted_order, starts }
    }

    /// How many words each bucket has.
    fn sizes(&self) -> Vec<usize> {
        let size = |bucket: usize| {
            self.starts.iter().map(|starts| (starts[bucket + 1] - starts[bucket]) as usize).sum()
        };
        (0..1 << TOP_BITS).map(size).collect()
    }

    /// Brings a bucket together, in the order of the chunks.
    fn collect(&self, bucket: usize, words: &mut [W], order: &mut [u32]) {
        let mut at = 0;
        for (chunk, starts) in self.starts.iter().enumerate() {
            let (start, end) = (starts[bucket] as usize, starts[bucket + 1] as usize);
            let from = chunk * self.chunk + start..chunk * self.chunk + end;
            let to = at..at + from.len();
            words[to.clone()].copy_from_slice(&self.words[from.clone()]);
            order[to.clone()].copy_from_slice(&self.order[from]);
            at = to.end;
        }
    }
}

fn sort_few<W: Word>(words: &mut [W], order: &mut [u32]) {
    let mut pairs: Vec<(W, u32, u32)> = words
        .iter()
        .zip(order.iter())
        .enumerate()
        .map(|(place, (&word, &number))| (word, place as u32, number))
        .collect();
    pairs.sort_unstable();
    for ((word, number), pair) in words.iter_mut().zip(order).zip(pairs) {
        (*word, *number) = (pair.0, pair.2);
    }
}

/// Sorts by the low bits of the distance from the least word, one byte after the other.
fn sort_low_bytes<W: Word>(words: &mut [W], order: &mut [u32], min: u128, bits: u32) {
    let (mut other_words, mut other_order) = (words.to_vec(), order.to_vec());
    let passes = bits.div_ceil(8);
    let mut swapped = false;
    for pass in 0..passes {
        let digit = |word: W| ((word.wide() - min) >> (8 * pass)) as usize & 0xff;
        let done = match swapped {
            false => scatter((&*words, &*order), (&mut other_words, &mut other_order), digit),
            true => scatter((&other_words, &other_order), (&mut *words, &mut *order), digit),
        };
        swapped ^= done;
    }
    if swapped {
        words.copy_from_slice(&other_words);
        order.copy_from_slice(&other_order);
    }
}

/// Whether it was done: it is not where all digits agree.
fn scatter<W: Word>(
    from: (&[W], &[u32]),
    to: (&mut [W], &mut [u32]),
    digit: impl Fn(W) -> usize,
) -> bool {
    let mut ends = [0_u32; 257];
    for &word in from.0 {
        ends[digit(word) + 1] += 1;
    }
    if ends.iter().any(|&count| count as usize == from.0.len()) {
        return false;
    }
    (0..256).for_each(|digit| ends[digit + 1] += ends[digit]);
    for (&word, &number) in from.0.iter().zip(from.1) {
        let end = &mut ends[digit(word)];
        to.0[*end as usize] = word;
        to.1[*end as usize] = number;
        *end += 1;
    }
    true
}

/// The order of byte strings; equal ones keep theirs.
pub(super) fn sort_bytes(list: &ByteList, workers: &dyn Workers) -> Vec<u32> {
    let len = list.len();
    if len == 0 {
        return vec![];
    }
    let first = list.get(0);
    let mut shared = first.len();
    for at in 1..len {
        let other = list.get(at);
        let agree = |at: &usize| other.get(*at) == first.get(*at);
        shared = (0..shared).take_while(agree).count();
    }
    let prefix = |bytes: &[u8]| {
        let mut chunk = [0; 8];
        let rest = &bytes[shared..];
        let taken = rest.len().min(8);
        chunk[..taken].copy_from_slice(&rest[..taken]);
        u64::from_be_bytes(chunk)
    };
    let words = (0..len).map(|at| prefix(list.get(at))).collect();
    let (words, mut order) = sort_words::<u64>(words, workers);
    let (mut rest, mut places) = (order.as_mut_slice(), vec![]);
    for group in words.chunk_by(|a, b| a == b) {
        let (group, more) = rest.split_at_mut(group.len());
        rest = more;
        if group.len() > 1 {
            places.push(Mutex::new(group));
        }
    }
    // Many groups a task, so that tasks are not tiny.
    const GROUPS: usize = 256;
    workers.run(places.len().div_ceil(GROUPS), &|task| {
        for place in &places[task * GROUPS..((task + 1) * GROUPS).min(places.len())] {
            let mut group = place.lock().unwrap_or_else(PoisonError::into_inner);
            group.sort_by(|&a, &b| list.get(a as usize).cmp(list.get(b as usize)));
        }
    });
    drop(places);
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::tests::Random;

    /// Two threads.
    struct Two;
    impl Workers for Two {
        fn run(&self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
            std::thread::scope(|scope| {
                scope.spawn(|| (0..tasks).step_by(2).for_each(task));
                (1..tasks).step_by(2).for_each(task);
            });
        }
    }

    fn check(words: &[u128]) {
        let mut want: Vec<(u128, u32)> = words.iter().copied().zip(0..).collect();
        want.sort();
        let order: Vec<u32> = want.iter().map(|pair| pair.1).collect();
        let narrow: Vec<u64> = words.iter().map(|&word| word as u64).collect();
        for workers in [&Serial as &dyn Workers, &Two] {
            let (sorted, found) = sort_words(words.to_vec(), workers);
            assert!(sorted.iter().copied().eq(want.iter().map(|pair| pair.0)));
            assert!(found == order);
            if words.iter().all(|&word| word <= u64::MAX.into()) {
                assert!(sort_words(narrow.clone(), workers).1 == order);
            }
        }
    }

    #[test]
    fn test_words_are_sorted_and_ties_keep_their_order() {
        let mut random = Random(11);
        check(&[]);
        check(&[3, 1, 2, 1]);
        for count in [FEW + 1, 5000, BUCKET + 70_000] {
            check(&vec![7; count]);
            check(&(0..count as u128).rev().collect::<Vec<_>>());
            for bits in [3, 20, 63] {
                let mut words: Vec<u128> =
                    (0..count).map(|_| u128::from(random.next() >> (64 - bits))).collect();
                check(&words);
                // One far away puts all others into one bucket.
                words[count / 2] = u64::MAX.into();
                check(&words);
                words[0] = u128::MAX;
                check(&words);
            }
        }
    }

    #[test]
    fn test_byte_strings_are_sorted() {
        let mut random = Random(12);
        for prefix in ["", "http://example.org/a/long/common/prefix/"] {
            let mut list = ByteList::default();
            let mut want = vec![];
            for at in 0..3000_u32 {
                let length = random.below(12);
                let mut bytes = prefix.as_bytes().to_vec();
                bytes.extend((0..length).map(|_| random.below(3) as u8));
                list.push(&bytes);
                want.push((bytes, at));
            }
            want.sort();
            let order: Vec<u32> = want.iter().map(|pair| pair.1).collect();
            assert_eq!(sort_bytes(&list, &Two), order);
        }
        assert!(sort_bytes(&ByteList::default(), &Serial).is_empty());
    }
}
