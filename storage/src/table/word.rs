//! Words: values of a fixed width as bit patterns, and the chunks in which a column collects them.
//!
//! Invariants: a chunk is filled, never grown beyond `CHUNK`, so that collecting copies a value once and chunks of
//! several collectors are put together without copying; no chunk is empty.
//! Next: `fixed.rs`.

use arrow::datatypes::ArrowNativeType;

use crate::narrow::FromWide;

/// Values of one chunk.
const CHUNK: usize = 1 << 14;

/// A value's bit pattern: unsigned, or signed where it is the widest.
pub(crate) trait Word: FromWide + Ord {
    /// What to XOR a pattern with so that patterns are ordered as the values are.
    fn flip(signed: bool) -> Self;
    /// The pattern in the order of the values.
    fn ordered(self, flip: Self) -> Self;
    /// How far a pattern is above another one that is not greater.
    fn above(self, base: Self) -> u128;
    /// The value, if it fits.
    fn to_wide(self, signed: bool) -> Option<i64>;
    /// The low bits of how far the pattern is above another one.
    fn offset(self, base: Self) -> u64;
    /// The bits of the pattern, folded.
    fn hash(self) -> u64;
}

macro_rules! word {
    ($unsigned:ty, $signed:ty) => {
        impl Word for $unsigned {
            fn flip(signed: bool) -> Self {
                if signed { 1 << (Self::BITS - 1) } else { 0 }
            }

            fn ordered(self, flip: Self) -> Self {
                self ^ flip
            }

            fn above(self, base: Self) -> u128 {
                self.wrapping_sub(base).into()
            }

            fn to_wide(self, signed: bool) -> Option<i64> {
                match signed {
                    true => Some(self.cast_signed().into()),
                    false => self.try_into().ok(),
                }
            }

            fn offset(self, base: Self) -> u64 {
                self.wrapping_sub(base).into()
            }

            fn hash(self) -> u64 {
                mix(self.into())
            }
        }
    };
}
word!(u8, i8);
word!(u16, i16);
word!(u32, i32);
word!(u64, i64);

impl Word for i128 {
    fn flip(_signed: bool) -> Self {
        0
    }

    fn ordered(self, _flip: Self) -> Self {
        self
    }

    fn above(self, base: Self) -> u128 {
        self.wrapping_sub(base).cast_unsigned()
    }

    fn to_wide(self, _signed: bool) -> Option<i64> {
        self.try_into().ok()
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the low bits")]
    fn offset(self, base: Self) -> u64 {
        self.wrapping_sub(base) as u64
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the two halves")]
    fn hash(self) -> u64 {
        mix(self as u64 ^ mix((self >> 64) as u64))
    }
}

fn mix(value: u64) -> u64 {
    let product = value.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    product ^ (product >> 32)
}

/// Values in the order in which they came.
#[derive(Debug)]
pub(crate) struct Chunks<T> {
    chunks: Vec<Vec<T>>,
    len: usize,
}

impl<T> Default for Chunks<T> {
    fn default() -> Self {
        Self { chunks: vec![], len: 0 }
    }
}

impl<T: ArrowNativeType> Chunks<T> {
    /// How many values.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> u64 {
        self.chunks.iter().map(|chunk| (chunk.capacity() * size_of::<T>()) as u64).sum()
    }

    /// The chunks, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[T]> {
        self.chunks.iter().map(Vec::as_slice)
    }

    /// The chunks, in order, to be changed in place.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut [T]> {
        self.chunks.iter_mut().map(Vec::as_mut_slice)
    }

    /// The values, in order.
    pub(crate) fn values(&self) -> impl Iterator<Item = T> {
        self.iter().flatten().copied()
    }

    /// The chunk with room at the end, and how much room it has.
    fn open(&mut self) -> (&mut Vec<T>, usize) {
        if self.chunks.last().is_none_or(|last| last.len() >= CHUNK) {
            // The first one grows as needed: many columns are small.
            let capacity = if self.chunks.is_empty() { 0 } else { CHUNK };
            self.chunks.push(Vec::with_capacity(capacity));
        }
        let last = self.chunks.len() - 1;
        let chunk = &mut self.chunks[last];
        let room = CHUNK - chunk.len();
        (chunk, room)
    }

    /// Appends values.
    pub(crate) fn extend_from_slice(&mut self, values: &[T]) {
        let mut rest = values;
        while !rest.is_empty() {
            let (chunk, room) = self.open();
            let (now, later) = rest.split_at(room.min(rest.len()));
            chunk.extend_from_slice(now);
            rest = later;
        }
        self.len += values.len();
    }

    /// Appends what `value` makes of each of `sources`.
    pub(crate) fn extend_map<S: Copy>(&mut self, sources: &[S], value: impl Fn(S) -> T) {
        let mut rest = sources;
        while !rest.is_empty() {
            let (chunk, room) = self.open();
            let (now, later) = rest.split_at(room.min(rest.len()));
            chunk.extend(now.iter().map(|&source| value(source)));
            rest = later;
        }
        self.len += sources.len();
    }

    /// Appends the same value several times.
    pub(crate) fn extend_n(&mut self, value: T, n: usize) {
        let mut rest = n;
        while rest > 0 {
            let (chunk, room) = self.open();
            let now = room.min(rest);
            chunk.extend(std::iter::repeat_n(value, now));
            rest -= now;
        }
        self.len += n;
    }

    /// Appends the values of another collector, without copying them.
    pub(crate) fn append(&mut self, other: Self) {
        self.len += other.len;
        self.chunks.extend(other.chunks);
    }

    /// The value at a position.
    pub(crate) fn get(&self, mut at: usize) -> Option<T> {
        for chunk in &self.chunks {
            match chunk.get(at) {
                Some(value) => return Some(*value),
                None => at -= chunk.len(),
            }
        }
        None
    }

    /// Overwrites the values at ascending positions.
    pub(crate) fn fill(&mut self, positions: impl Iterator<Item = usize>, value: T) {
        let mut chunks = self.chunks.iter_mut();
        let (mut start, mut chunk): (usize, &mut [T]) = (0, &mut []);
        for position in positions {
            while position - start >= chunk.len() {
                start += chunk.len();
                let Some(next) = chunks.next() else { return };
                chunk = next;
            }
            chunk[position - start] = value;
        }
    }

    /// All values in one piece; chunks are given back as they are copied.
    pub(crate) fn into_vec(mut self) -> Vec<T> {
        if self.chunks.len() == 1 {
            let mut only = self.chunks.pop().unwrap_or_default();
            only.shrink_to_fit();
            return only;
        }
        self.convert(|chunk, all| all.extend_from_slice(chunk))
    }

    /// One value for each value, in one piece; chunks are given back as they are converted.
    pub(crate) fn convert<O>(self, push: impl Fn(&[T], &mut Vec<O>)) -> Vec<O> {
        let mut all = Vec::with_capacity(self.len);
        for chunk in self.chunks {
            push(&chunk, &mut all);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_chunks_equal_a_vector() {
        let mut chunks = Chunks::<u32>::default();
        let mut want = vec![];
        for n in [0, 1, 7, CHUNK - 8, 3, 2 * CHUNK + 5, 100] {
            let values: Vec<u32> = (0..n as u32).map(|i| i * 7 + 1).collect();
            let mut other = Chunks::default();
            chunks.extend_from_slice(&values);
            chunks.extend_map(&values, |v| v + 1);
            other.extend_n(9, n);
            chunks.append(other);
            want.extend_from_slice(&values);
            want.extend(values.iter().map(|v| v + 1));
            want.resize(want.len() + n, 9);
            assert_eq!(chunks.len(), want.len());
            assert!(chunks.values().eq(want.iter().copied()));
        }
        let marked = [0, 1, CHUNK, CHUNK + 1, 3 * CHUNK, want.len() - 1];
        chunks.fill(marked.into_iter(), 77);
        marked.iter().for_each(|&at| want[at] = 77);
        assert!(chunks.values().eq(want.iter().copied()));
        assert_eq!(chunks.get(CHUNK), Some(77));
        assert_eq!(chunks.get(want.len()), None);
        assert_eq!(chunks.into_vec(), want);
        let mut one = Chunks::<u8>::default();
        one.extend_from_slice(&[1, 2]);
        assert_eq!(one.into_vec(), [1, 2]);
    }

    #[test]
    fn test_words_are_ordered_as_their_values() {
        let ints = [i64::MIN, -2, -1, 0, 1, 5, i64::MAX];
        let flip = u64::flip(true);
        for pair in ints.windows(2) {
            let [a, b] = [pair[0].cast_unsigned(), pair[1].cast_unsigned()];
            assert!(a.ordered(flip) < b.ordered(flip));
            assert_eq!(
                b.ordered(flip).above(a.ordered(flip)),
                u128::from(pair[0].abs_diff(pair[1]))
            );
            assert_eq!(a.to_wide(true), Some(pair[0]));
        }
        assert_eq!(u64::MAX.to_wide(false), None);
        assert_eq!(200_u8.to_wide(true), Some(-56));
        assert_eq!(200_u8.to_wide(false), Some(200));
        assert_eq!(i128::MAX.above(i128::MIN), u128::MAX);
        assert_eq!((i128::from(i64::MAX) + 1).to_wide(true), None);
        assert_eq!(3_u8.offset(250), 9);
    }
}
