//! Count, mean and sum of squared deviations of doubles.
//!
//! Method: a sequence is cut into chunks of `CHUNK` values by position; of each chunk the mean is found first and the
//! deviations from it then, both in lanes; chunks are put together in order (Chan, Golub, LeVeque 1979). One value after
//! the other (Welford 1962) takes a division a value and is kept for groups and for chunks that overflow.
//! Invariant: the bits are a function of the sequence of values, however it was cut into calls. Equal values deviate by
//! exactly zero.
//! Next: `table/sums.rs`.

/// Values of one chunk.
const CHUNK: usize = 1024;
const LANES: usize = 8;

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
    /// The values of the chunk that is not full.
    open: Vec<f64>,
}

impl MomentSum {
    /// Adds values. Cutting a sequence into several calls changes nothing.
    pub fn add(&mut self, values: &[f64]) {
        let mut rest = values;
        if !self.open.is_empty() {
            let (head, tail) = values.split_at(values.len().min(CHUNK - self.open.len()));
            self.open.extend_from_slice(head);
            rest = tail;
            if self.open.len() < CHUNK {
                return;
            }
            self.total.merge(chunk(&self.open));
            self.open.clear();
        }
        let (chunks, tail) = rest.as_chunks::<CHUNK>();
        for values in chunks {
            self.total.merge(chunk(values));
        }
        self.open.extend_from_slice(tail);
    }

    /// The moment of all values.
    pub fn total(&self) -> Moment {
        let mut total = self.total;
        total.merge(chunk(&self.open));
        total
    }

    /// Bytes of memory held.
    pub fn memory(&self) -> usize {
        self.open.capacity() * 8
    }
}

/// The moment of up to `CHUNK` values.
fn chunk(values: &[f64]) -> Moment {
    let Some(&first) = values.first() else { return Moment::default() };
    let count = values.len() as f64;
    // Distances from the first value: none at all where all values are equal. The second look corrects the mean too.
    let shift = distances(values, first);
    let mean = first + shift / count;
    let [rest, squares] = lanes(values, mean);
    let deviations = squares - rest * rest / count;
    if !deviations.is_finite() {
        let mut moment = Moment::default();
        values.iter().for_each(|&value| moment.add(value));
        return moment;
    }
    Moment { count, mean: mean + rest / count, deviations: deviations.max(0.0) }
}

/// The sum of the distances from a point.
fn distances(values: &[f64], point: f64) -> f64 {
    let mut sums = [0.0; LANES];
    let (chunks, tail) = values.as_chunks::<LANES>();
    add_distances(&mut sums, chunks, point);
    for (sum, value) in sums.iter_mut().zip(tail) {
        *sum += value - point;
    }
    sums.iter().sum()
}

/// Adds distances to lanes. By itself, as `add_squares`, so that all lanes become vector instructions.
#[inline(never)]
fn add_distances(sums: &mut [f64; LANES], chunks: &[[f64; LANES]], point: f64) {
    let mut lanes = *sums;
    for chunk in chunks {
        for lane in 0..LANES {
            lanes[lane] += chunk[lane] - point;
        }
    }
    *sums = lanes;
}

/// Adds distances and their squares to lanes.
#[inline(never)]
fn add_squares(
    sums: &mut [f64; LANES],
    squares: &mut [f64; LANES],
    chunks: &[[f64; LANES]],
    point: f64,
) {
    let (mut lanes, mut square_lanes) = (*sums, *squares);
    for chunk in chunks {
        for lane in 0..LANES {
            let distance = chunk[lane] - point;
            lanes[lane] += distance;
            square_lanes[lane] += distance * distance;
        }
    }
    (*sums, *squares) = (lanes, square_lanes);
}

/// The sum of the distances from a point and of their squares.
fn lanes(values: &[f64], point: f64) -> [f64; 2] {
    let (mut sums, mut squares) = ([0.0; LANES], [0.0; LANES]);
    let (chunks, tail) = values.as_chunks::<LANES>();
    add_squares(&mut sums, &mut squares, chunks, point);
    for (lane, value) in tail.iter().enumerate() {
        let distance = value - point;
        sums[lane] += distance;
        squares[lane] += distance * distance;
    }
    [sums.iter().sum(), squares.iter().sum()]
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
