//! Count, mean and sum of squared deviations of doubles.
//!
//! Method: a sequence is cut into chunks of `CHUNK` rows by position; of each chunk the mean is found first and the
//! deviations from it then, both in lanes; chunks are put together in order (Chan, Golub, LeVeque 1979). One value after
//! the other (Welford 1962) takes a division a value and is kept for groups and for chunks that overflow. A row that does
//! not count (a NULL, or left out by FILTER) has its place and deviates by zero.
//! Invariant: the bits are a function of the sequence of values, however it was cut into calls. Equal values deviate by
//! exactly zero.
//! Next: `table/sums.rs`.

use arrow::buffer::BooleanBuffer;

use crate::{
    lanes::{NIBBLES, mask_words},
    reproducible_sum::masked,
    simd::{self, Kernel},
};

/// Rows of one chunk.
const CHUNK: usize = 1024;
const LANES: usize = 8;
/// Rows of one word of a mask.
const BLOCK: usize = 64;

/// Count, mean and sum of squared deviations.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Moment {
    /// How many values.
    pub count: f64,
    /// Their mean; 0 of none.
    pub mean: f64,
    /// The sum of the squares of their distances from the mean.
    pub deviations: f64,
}

impl Moment {
    /// Adds a value.
    #[inline]
    pub fn add(&mut self, value: f64) {
        self.count += 1.0;
        let before = value - self.mean;
        self.mean += before / self.count;
        self.deviations += before * (value - self.mean);
    }

    /// Adds what another one holds.
    #[inline]
    pub fn merge(&mut self, other: Self) {
        if other.count == 0.0 {
            return;
        }
        if self.count == 0.0 {
            *self = other;
            return;
        }
        let count = self.count + other.count;
        let distance = other.mean - self.mean;
        self.mean += distance * (other.count / count);
        self.deviations +=
            other.deviations + distance * distance * (self.count * other.count / count);
        self.count = count;
    }
}

/// The moment of a sequence of values that comes in pieces.
#[derive(Debug, Clone, Default)]
pub struct MomentSum {
    total: Moment,
    /// The values of the chunk that is not full, and which of them count.
    open: Vec<f64>,
    mask: [u64; CHUNK / BLOCK],
}

impl MomentSum {
    /// Adds the values of consecutive rows. Cutting a sequence into several calls changes nothing.
    pub fn add(&mut self, values: &[f64]) {
        let rest = self.fill(values, |_| u64::MAX);
        let (chunks, tail) = rest.as_chunks::<CHUNK>();
        for values in chunks {
            self.total.merge(chunk(values, None));
        }
        self.fill(tail, |_| u64::MAX);
    }

    /// Adds the values of those of consecutive rows for which the mask, of as many rows, is set.
    pub fn add_masked(&mut self, values: &[f64], mask: &BooleanBuffer) {
        let bits = |from: usize| mask_words(&mask.slice(from, BLOCK.min(values.len() - from)))[0];
        let rest = self.fill(values, bits);
        let from = values.len() - rest.len();
        let words = mask_words(&mask.slice(from, rest.len()));
        let (chunks, tail) = rest.as_chunks::<CHUNK>();
        for (values, words) in chunks.iter().zip(words.as_chunks().0) {
            self.total.merge(chunk(values, Some(words)));
        }
        let from = values.len() - tail.len();
        self.fill(tail, |at| bits(from + at));
    }

    /// Adds values to the chunk that is begun, or begins one if they are fewer than a chunk, and gives those that are
    /// left. `bits` gives the mask's next bits from a value on.
    fn fill<'a>(&mut self, values: &'a [f64], bits: impl Fn(usize) -> u64) -> &'a [f64] {
        if self.open.is_empty() && values.len() >= CHUNK {
            return values;
        }
        let (head, rest) = values.split_at(values.len().min(CHUNK - self.open.len()));
        let mut done = 0;
        while done < head.len() {
            // As many as the next word has room for.
            let (word, bit) = (self.open.len() / BLOCK, self.open.len() % BLOCK);
            let taken = (BLOCK - bit).min(head.len() - done);
            let kept = bits(done) & (u64::MAX >> (BLOCK - taken));
            self.mask[word] |= kept << bit;
            self.open.extend_from_slice(&head[done..done + taken]);
            done += taken;
        }
        if self.open.len() == CHUNK {
            self.total.merge(chunk(&self.open, Some(&self.mask)));
            self.open.clear();
            self.mask = Default::default();
        }
        rest
    }

    /// The moment of all values.
    pub fn total(&self) -> Moment {
        let mut total = self.total;
        total.merge(chunk(&self.open, Some(&self.mask)));
        total
    }

    /// Bytes of memory held.
    pub fn memory(&self) -> usize {
        self.open.capacity() * 8
    }
}

/// The moment of up to `CHUNK` rows, or of those of them whose bit is set.
fn chunk(values: &[f64], words: Option<&[u64; CHUNK / BLOCK]>) -> Moment {
    let is_set = |words: &[u64; _], row: usize| words[row / BLOCK] >> (row % BLOCK) & 1 == 1;
    let counts = |row: &usize| words.is_none_or(|words| is_set(words, *row));
    let Some(first) = (0..values.len()).find(counts) else { return Moment::default() };
    let count = words
        .map_or(values.len(), |words| words.iter().map(|word| word.count_ones() as usize).sum());
    let some = words.filter(|_| count != values.len()).map(<[u64; _]>::as_slice);
    let count = count as f64;
    // Distances from the first value: none at all where all values are equal. The second look corrects the mean too.
    let first = values[first];
    let [shift, _] = distances(values, some, first);
    let mean = first + shift / count;
    let [rest, squares] = distances(values, some, mean);
    let deviations = squares - rest * rest / count;
    if !deviations.is_finite() {
        let mut moment = Moment::default();
        (0..values.len()).filter(counts).for_each(|row| moment.add(values[row]));
        return moment;
    }
    Moment { count, mean: mean + rest / count, deviations: deviations.max(0.0) }
}

/// The sum of the distances from a point and of their squares.
fn distances(values: &[f64], words: Option<&[u64]>, point: f64) -> [f64; 2] {
    let (blocks, tail) = values.as_chunks::<BLOCK>();
    let (mut sums, mut squares) = match words {
        None => simd::run(Distances::<false> { blocks, words: &[], point }),
        Some(words) => simd::run(Distances::<true> { blocks, words, point }),
    };
    let word = words.map_or(u64::MAX, |words| words.get(blocks.len()).copied().unwrap_or(0));
    for (row, value) in tail.iter().enumerate().filter(|(row, _)| word >> row & 1 == 1) {
        let distance = value - point;
        sums[row % LANES] += distance;
        squares[row % LANES] += distance * distance;
    }
    [sums.iter().sum(), squares.iter().sum()]
}

/// The distances from a point and their squares, summed in lanes; with `MASKED` those of the values whose bit is set.
struct Distances<'a, const MASKED: bool> {
    blocks: &'a [[f64; BLOCK]],
    words: &'a [u64],
    point: f64,
}

impl<const MASKED: bool> Kernel for Distances<'_, MASKED> {
    type Output = ([f64; LANES], [f64; LANES]);
    #[inline(always)]
    fn run(self) -> Self::Output {
        let (mut sums, mut squares) = ([0.0; LANES], [0.0; LANES]);
        for (at, block) in self.blocks.iter().enumerate() {
            let mut word = if MASKED { self.words[at] } else { 0 };
            for chunk in block.as_chunks::<LANES>().0 {
                let masks = [&NIBBLES[(word & 15) as usize], &NIBBLES[(word >> 4 & 15) as usize]];
                word >>= LANES;
                for lane in 0..LANES {
                    let distance = chunk[lane] - self.point;
                    let distance = match MASKED {
                        true => masked(distance, masks[lane / 4][lane % 4]),
                        false => distance,
                    };
                    sums[lane] += distance;
                    squares[lane] += distance * distance;
                }
            }
        }
        (sums, squares)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::tests::Random;

    fn cut(values: &[f64], size: usize) -> Moment {
        let mut sum = MomentSum::default();
        values.chunks(size).for_each(|piece| sum.add(piece));
        sum.total()
    }

    #[test]
    fn test_cutting_into_pieces_changes_nothing() {
        let mut random = Random(3);
        let values: Vec<f64> = (0..5000).map(|_| (random.next() >> 20) as f64 - 1e12).collect();
        let whole = cut(&values, values.len());
        for size in [1, 7, 1023, 1024, 1025, 2048] {
            assert_eq!(cut(&values, size), whole);
        }
    }

    #[test]
    fn test_moments_are_those_of_exact_sums() {
        let mut random = Random(4);
        for rows in [0, 1, 2, 7, 1024, 1025, 4000] {
            for offset in [0_i64, 1 << 40] {
                let whole: Vec<i64> =
                    (0..rows).map(|_| offset + random.below(1 << 20) as i64).collect();
                let values: Vec<f64> = whole.iter().map(|&v| v as f64).collect();
                let moment = cut(&values, 100);
                let n = rows as i128;
                let sum: i128 = whole.iter().map(|&v| i128::from(v)).sum();
                let squares: i128 = whole.iter().map(|&v| i128::from(v) * i128::from(v)).sum();
                assert_eq!(moment.count, rows as f64);
                if rows > 0 {
                    let mean = sum as f64 / n as f64;
                    assert!((moment.mean - mean).abs() <= mean.abs() * 1e-15);
                    let exact = (n * squares - sum * sum) as f64 / n as f64;
                    assert!((moment.deviations - exact).abs() <= exact * 1e-12, "{exact}");
                }
            }
        }
    }

    #[test]
    fn test_rows_left_out_have_a_place_and_deviate_by_nothing() {
        let mut random = Random(5);
        for n in [0, 1, 7, 63, 64, 1023, 1024, 1025, 3000, 5000] {
            for of in [1, 2, 10, 3000] {
                let values: Vec<f64> = (0..n).map(|_| (random.next() >> 20) as f64 + 1e9).collect();
                let mask: Vec<bool> = (0..n).map(|_| random.below(of) != 0).collect();
                let garbage = [f64::NAN, f64::INFINITY, -0.0, 1e300];
                let hidden = |(row, (&value, &kept)): (usize, (&f64, &bool))| match kept {
                    true => value,
                    false => garbage[row % 4],
                };
                let hidden: Vec<f64> = values.iter().zip(&mask).enumerate().map(hidden).collect();
                let bits = BooleanBuffer::from(mask.clone());
                let masked = |size: usize| {
                    let mut sum = MomentSum::default();
                    for (at, piece) in hidden.chunks(size).enumerate() {
                        sum.add_masked(piece, &bits.slice(at * size, piece.len()));
                    }
                    sum.total()
                };
                let whole = masked(n.max(1));
                for size in [1, 7, 64, 100, 1024, 1030] {
                    assert_eq!(masked(size), whole, "{n} {of} {size}");
                }
                let kept = values.iter().zip(&mask).filter(|(_, kept)| **kept);
                let kept: Vec<f64> = kept.map(|(&value, _)| value).collect();
                let wanted = cut(&kept, 100);
                let close = |a: f64, b: f64| (a - b).abs() <= b.abs() * 1e-12;
                assert_eq!(whole.count, wanted.count);
                assert!(
                    close(whole.mean, wanted.mean) && close(whole.deviations, wanted.deviations)
                );
                if kept.len() == n {
                    assert_eq!(whole, wanted);
                }
            }
        }
    }

    #[test]
    fn test_a_mask_hides_what_overflows() {
        let mut sum = MomentSum::default();
        let mask: BooleanBuffer = [true, true, false].into_iter().collect();
        sum.add_masked(&[1e308, -1e308, 5.0], &mask);
        assert!(!sum.total().deviations.is_finite());
        assert_eq!(sum.total().count, 2.0);
        let mut sum = MomentSum::default();
        sum.add_masked(&[2.0, 1.0, f64::NAN], &mask);
        assert_eq!(sum.total(), Moment { count: 2.0, mean: 1.5, deviations: 0.5 });
    }

    #[test]
    fn test_extremes() {
        assert_eq!(cut(&[0.1; 3000], 7), Moment { count: 3000.0, mean: 0.1, deviations: 0.0 });
        assert!(cut(&[1.0, f64::NAN], 2).deviations.is_nan());
        assert!(cut(&[1.0, f64::INFINITY], 2).deviations.is_nan());
        assert!(!cut(&[1e308, -1e308, 1e308], 2).deviations.is_finite());
        let near = cut(&[1e300; 2000], 2);
        assert_eq!((near.mean, near.deviations), (1e300, 0.0));
        // An outlier in front does not spoil the others' distances.
        let mut values = vec![1e15];
        values.extend((0..1000).map(|i| f64::from(i % 2)));
        let sum: f64 = values.iter().sum();
        assert_eq!(cut(&values, 64).mean, sum / 1001.0);
    }
}
