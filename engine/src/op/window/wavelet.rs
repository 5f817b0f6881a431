//! A wavelet matrix: order statistics of any range of a sequence of numbers.
//!
//! Invariant: level `i` holds the `i`-th highest bit of every number, the numbers stably parted by the bits above it.
//! Claude and Navarro 2012, "The Wavelet Matrix".

/// Numbers below a power of two, in a fixed order.
pub(super) struct Wavelet {
    levels: Vec<Level>,
}

struct Level {
    words: Vec<u64>,
    /// How many ones there are before each word.
    before: Vec<u32>,
    zeros: u32,
}

impl Level {
    /// How many zeros there are before a position.
    #[inline]
    fn zeros_before(&self, position: u32) -> u32 {
        let (word, bit) = (position as usize / 64, position % 64);
        let ones = self.words[word] & ((1 << bit) - 1);
        position - self.before[word] - ones.count_ones()
    }
}

impl Wavelet {
    /// The matrix of numbers below `bound`. `O(n log bound)`.
    pub(super) fn new(mut numbers: Vec<u32>, bound: u32) -> Self {
        let bits = u32::BITS - bound.saturating_sub(1).leading_zeros();
        let mut levels = Vec::with_capacity(bits as usize);
        let mut ones = Vec::with_capacity(numbers.len());
        for bit in (0..bits).rev() {
            // One word more, so that the end is a position like any other.
            let mut words = vec![0_u64; numbers.len() / 64 + 1];
            for (position, number) in numbers.iter().enumerate() {
                words[position / 64] |= u64::from(number >> bit & 1) << (position % 64);
            }
            let mut count = 0;
            let before = words.iter().map(|word| {
                count += word.count_ones();
                count - word.count_ones()
            });
            let before = before.collect();
            ones.clear();
            ones.extend(numbers.iter().copied().filter(|number| number >> bit & 1 == 1));
            numbers.retain(|number| number >> bit & 1 == 0);
            levels.push(Level { words, before, zeros: numbers.len() as u32 });
            numbers.extend_from_slice(&ones);
        }
        Self { levels }
    }

    /// The `k`-th smallest number, from 0, of those at positions `start..end`, of which there are more than `k`.
    pub(super) fn nth(&self, mut start: u32, mut end: u32, mut k: u32) -> u32 {
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

    /// How many numbers at positions `start..end` are less than `limit`.
    pub(super) fn less(&self, mut start: u32, mut end: u32, limit: u32) -> u32 {
        if limit.checked_shr(self.levels.len() as u32).unwrap_or(0) > 0 {
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
    pub(super) fn memory(&self) -> u64 {
        self.levels.iter().map(|level| level.words.len() as u64 * 12).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(numbers: Vec<u32>, bound: u32) {
        let wavelet = Wavelet::new(numbers.clone(), bound);
        let count = numbers.len();
        let step = (count / 13).max(1);
        for start in (0..=count).step_by(step) {
            for end in (start..=count).step_by(step) {
                let mut sorted = numbers[start..end].to_vec();
                sorted.sort_unstable();
                for (k, number) in sorted.iter().enumerate() {
                    let found = wavelet.nth(start as u32, end as u32, k as u32);
                    assert_eq!(found, *number, "{start}..{end} [{k}]");
                }
                for limit in [0, 1, bound / 2, bound.saturating_sub(1), bound, u32::MAX] {
                    let wanted = sorted.partition_point(|&number| number < limit) as u32;
                    let found = wavelet.less(start as u32, end as u32, limit);
                    assert_eq!(found, wanted, "{start}..{end} < {limit}");
                }
            }
        }
    }

    #[test]
    fn test_order_statistics_equal_those_of_sorted_ranges() {
        let mut state = 7_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888);
            (state >> 33) as u32
        };
        check(Vec::new(), 0);
        check(vec![0], 1);
        check(vec![0; 70], 1);
        check(vec![1, 0, 1, 1], 2);
        for bound in [2, 3, 64, 65, 1000, u32::MAX] {
            for count in [1, 63, 64, 65, 128, 300] {
                check((0..count).map(|_| next() % bound).collect(), bound);
            }
        }
    }
}
