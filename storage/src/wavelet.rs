//! A wavelet matrix: order statistics of any range of a sequence of numbers.
//!
//! Invariant: level `i` holds the `i`-th highest bit of every number, the numbers stably parted by the bits above it.
//! Method: Claude and Navarro 2012, "The Wavelet Matrix". Bits lie in cache lines of 448 with the number of ones before
//! them, so that a step costs one line.
//! Next: `index/quantiles.rs`; the engine's windows use it as well.

/// Bits of one line.
const LINE: usize = 448;

/// The number of ones before, and the bits.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Line([u64; 8]);

/// Numbers below a power of two, in a fixed order.
#[derive(Debug, Clone)]
pub struct Wavelet {
    len: usize,
    levels: Vec<Level>,
}

#[derive(Debug, Clone)]
struct Level {
    lines: Box<[Line]>,
    zeros: usize,
}

impl Level {
    /// The level of bits, one a number.
    fn new(len: usize, bits: impl Iterator<Item = bool>) -> Self {
        // One line more where the end is a multiple, so that the end is a position like any other.
        let mut lines = vec![Line([0; 8]); len / LINE + 1];
        for (position, bit) in bits.enumerate() {
            let within = position % LINE;
            lines[position / LINE].0[1 + within / 64] |= u64::from(bit) << (within % 64);
        }
        let mut ones = 0;
        for line in &mut lines {
            line.0[0] = ones;
            ones += line.0[1..].iter().map(|word| u64::from(word.count_ones())).sum::<u64>();
        }
        Self { lines: lines.into(), zeros: len - ones as usize }
    }

    /// How many zeros there are before a position.
    #[inline]
    fn zeros_before(&self, position: usize) -> usize {
        let line = &self.lines[position / LINE].0;
        let within = position % LINE;
        let mut ones = line[0] as usize;
        for word in &line[1..=within / 64] {
            ones += word.count_ones() as usize;
        }
        // No word after the last one is read: a line has seven, and within is below their bits.
        ones += (line[1 + within / 64] & ((1 << (within % 64)) - 1)).count_ones() as usize;
        position - ones
    }
}

impl Wavelet {
    /// The matrix of numbers of which none is greater than `max`. `O(n log max)`.
    pub fn new(mut numbers: Vec<u32>, max: u32) -> Self {
        let bits = u32::BITS - max.leading_zeros();
        let len = numbers.len();
        let mut levels = Vec::with_capacity(bits as usize);
        let mut ones = Vec::new();
        for bit in (0..bits).rev() {
            levels.push(Level::new(len, numbers.iter().map(|number| number >> bit & 1 == 1)));
            ones.clear();
            ones.extend(numbers.iter().copied().filter(|number| number >> bit & 1 == 1));
            numbers.retain(|number| number >> bit & 1 == 0);
            numbers.extend_from_slice(&ones);
        }
        Self { len, levels }
    }

    /// How many numbers.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The `k`-th smallest number, from 0, of those at positions `start..end`, of which there are more than `k`.
    pub fn nth(&self, mut start: usize, mut end: usize, mut k: usize) -> u32 {
        let mut number = 0;
        for level in &self.levels {
            let zeros = (level.zeros_before(start), level.zeros_before(end));
            let count = zeros.1 - zeros.0;
            number <<= 1;
            if k < count {
                (start, end) = zeros;
            } else {
                k -= count;
                (start, end) = (level.zeros + start - zeros.0, level.zeros + end - zeros.1);
                number |= 1;
            }
        }
        number
    }

    /// The `k`-th smallest number, from 0, of those at the positions of several ranges, of which there are more than `k`.
    pub fn nth_of(&self, ranges: &[(usize, usize)], mut k: usize) -> u32 {
        let mut ranges = ranges.to_vec();
        let mut number = 0;
        for level in &self.levels {
            let zeros = |&(start, end): &(usize, usize)| {
                (level.zeros_before(start), level.zeros_before(end))
            };
            let below: Vec<(usize, usize)> = ranges.iter().map(zeros).collect();
            let count = below.iter().map(|(start, end)| end - start).sum();
            number <<= 1;
            if k < count {
                ranges = below;
            } else {
                k -= count;
                for (range, zeros) in ranges.iter_mut().zip(&below) {
                    range.0 = level.zeros + range.0 - zeros.0;
                    range.1 = level.zeros + range.1 - zeros.1;
                }
                number |= 1;
            }
        }
        number
    }

    /// How many numbers at positions `start..end` are less than `limit`.
    pub fn less(&self, mut start: usize, mut end: usize, limit: u64) -> usize {
        if limit >> self.levels.len() > 0 {
            return end - start;
        }
        let mut less = 0;
        for (index, level) in self.levels.iter().enumerate() {
            let zeros = (level.zeros_before(start), level.zeros_before(end));
            if limit >> (self.levels.len() - 1 - index) & 1 == 1 {
                less += zeros.1 - zeros.0;
                (start, end) = (level.zeros + start - zeros.0, level.zeros + end - zeros.1);
            } else {
                (start, end) = zeros;
            }
        }
        less
    }

    /// Bytes of memory held.
    pub fn bytes(&self) -> usize {
        self.levels.iter().map(|level| size_of_val(&*level.lines)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::tests::Random;

    fn check(numbers: Vec<u32>, max: u32) {
        let wavelet = Wavelet::new(numbers.clone(), max);
        let count = numbers.len();
        let step = (count / 13).max(1);
        for start in (0..=count).step_by(step) {
            for end in (start..=count).step_by(step) {
                let mut sorted = numbers[start..end].to_vec();
                sorted.sort_unstable();
                for (k, number) in sorted.iter().enumerate() {
                    assert_eq!(wavelet.nth(start, end, k), *number, "{start}..{end} [{k}]");
                }
                for limit in [
                    0,
                    1,
                    u64::from(max) / 2,
                    max.into(),
                    u64::from(max) + 1,
                    u32::MAX.into(),
                    1 << 40,
                ] {
                    let wanted = sorted.partition_point(|&number| u64::from(number) < limit);
                    assert_eq!(wavelet.less(start, end, limit), wanted, "{start}..{end} < {limit}");
                }
            }
        }
    }

    #[test]
    fn test_order_statistics_equal_those_of_sorted_ranges() {
        let mut random = Random(7);
        check(Vec::new(), 0);
        check(vec![0], 0);
        check(vec![0; 70], 0);
        check(vec![1, 0, 1, 1], 1);
        for max in [1, 2, 63, 64, 999, 1000, u32::MAX - 1, u32::MAX] {
            for count in [1, 63, 64, 65, 128, 300, 447, 448, 449, 900] {
                check(
                    (0..count).map(|_| (random.next() % (u64::from(max) + 1)) as u32).collect(),
                    max,
                );
            }
        }
    }
}
