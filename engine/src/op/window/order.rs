//! Quantiles and distinct counts of frames, without looking at the frames' rows.
//!
//! Invariants: rows that do not count have no position; a value's number is its place among all sorted values, ties in
//! row order, so that a quantile is the row that a stable sort of the frame would put there.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Int64Array},
    buffer::BooleanBuffer,
};
use stoadb_storage::wavelet::Wavelet;

use super::tree::Rows;
use crate::{
    agg::{Call, Quantile},
    error::{EngineError, Result},
    kernel::sort_key::{Codes, array_codes},
    plan::AggregateFunction as Function,
};

/// What answers for any frame.
pub(super) struct Ordered<'a> {
    call: &'a Call,
    rows: &'a Rows,
    positions: Positions,
    wavelet: Wavelet,
    /// For quantiles, the row of each number.
    sorted: Vec<u32>,
}

/// Whether the aggregate has an answer here; `holes` are frames of several pieces.
pub(super) fn answers(call: &Call, holes: bool) -> bool {
    match call.function {
        Function::Median | Function::QuantileCont | Function::QuantileDisc => !call.distinct,
        Function::Count => call.distinct && call.args.len() == 1 && !holes,
        _ => false,
    }
}

impl<'a> Ordered<'a> {
    /// Over all rows. `O(n log n)`.
    ///
    /// # Errors
    /// `Unsupported` for a type without an order.
    pub(super) fn build(call: &'a Call, rows: &'a Rows) -> Result<Self> {
        let [arg] = rows.args.as_slice() else {
            return Err(EngineError::Internal("order statistics of one argument".into()));
        };
        let positions = Positions::new(rows.counting.as_ref(), rows.count);
        let (sorted, equal) = sort(array_codes(arg)?.codes, rows);
        let count = sorted.len();
        let mut numbers = vec![0; count];
        if call.function == Function::Count {
            // The position after that of the value's last occurrence, 0 for the first.
            for (pair, equal) in sorted.windows(2).zip(equal) {
                if equal {
                    numbers[positions.of(pair[1]) as usize] = positions.of(pair[0]) + 1;
                }
            }
            let wavelet = Wavelet::new(numbers, count as u32);
            return Ok(Self { call, rows, positions, wavelet, sorted: Vec::new() });
        }
        for (number, &row) in (0..).zip(&sorted) {
            numbers[positions.of(row) as usize] = number;
        }
        let wavelet = Wavelet::new(numbers, (count as u32).saturating_sub(1));
        Ok(Self { call, rows, positions, wavelet, sorted })
    }

    /// The aggregate of each frame, whose pieces are by layer. `O(log n)` a frame.
    ///
    /// # Errors
    /// `Value` when a fraction is not between 0 and 1.
    pub(super) fn evaluate(&self, layers: &[Vec<[u32; 2]>]) -> Result<ArrayRef> {
        let place = |row| self.positions.of(row) as usize;
        let span = |&[start, end]: &[u32; 2]| (place(start), place(end));
        if layers.len() > 1 {
            return self.of_pieces(layers, span);
        }
        let frames = layers.iter().flatten().map(span);
        if self.call.function == Function::Count {
            let distinct = |(start, end)| self.wavelet.less(start, end, start as u64 + 1) as i64;
            return Ok(Arc::new(Int64Array::from_iter_values(frames.map(distinct))));
        }
        let quantile = Quantile::new(self.call)?;
        let rows = frames.flat_map(|(start, end)| {
            let row = move |k: usize| self.sorted[self.wavelet.nth(start, end, k) as usize];
            let places = quantile.places(end - start);
            places.map(move |place| {
                place.map(|place| (row(place.low), row(place.high), place.weight))
            })
        });
        quantile.values(&self.rows.args[0], rows, self.call)
    }

    /// Quantiles of frames of several pieces.
    fn of_pieces(
        &self,
        layers: &[Vec<[u32; 2]>],
        span: impl Fn(&[u32; 2]) -> (usize, usize),
    ) -> Result<ArrayRef> {
        let quantile = Quantile::new(self.call)?;
        let frames = layers.first().map_or(0, Vec::len);
        let rows = (0..frames).flat_map(|frame| {
            let spans: Vec<_> = layers.iter().map(|layer| span(&layer[frame])).collect();
            let places = quantile.places(spans.iter().map(|(start, end)| end - start).sum());
            places.map(move |place| {
                let row = |k| self.sorted[self.wavelet.nth_of(&spans, k) as usize];
                place.map(|place| (row(place.low), row(place.high), place.weight))
            })
        });
        quantile.values(&self.rows.args[0], rows, self.call)
    }

    /// Bytes of memory held.
    pub(super) fn memory(&self) -> u64 {
        self.wavelet.bytes() as u64 + self.sorted.len() as u64 * 4
    }
}

/// The counting rows in the order of their values, ties in row order, and whether each equals the one before it.
fn sort(codes: Codes, rows: &Rows) -> (Vec<u32>, Vec<bool>) {
    fn pairs<T: Ord + Copy>(codes: &[T], rows: &Rows) -> (Vec<u32>, Vec<bool>) {
        let counting = (0..rows.count as u32).filter(|&row| rows.counts(row));
        let mut pairs: Vec<(T, u32)> = counting.map(|row| (codes[row as usize], row)).collect();
        pairs.sort_unstable();
        let equal = pairs.windows(2).map(|pair| pair[0].0 == pair[1].0).collect();
        (pairs.into_iter().map(|pair| pair.1).collect(), equal)
    }
    match codes {
        Codes::Narrow(codes) => pairs(&codes, rows),
        Codes::Wide(codes) => pairs(&codes, rows),
        Codes::Bytes(bytes) => {
            let of = |row: u32| bytes.get(row as usize);
            let mut sorted: Vec<u32> =
                (0..rows.count as u32).filter(|&row| rows.counts(row)).collect();
            sorted.sort_by(|&a, &b| of(a).cmp(of(b)));
            let equal = sorted.windows(2).map(|pair| of(pair[0]) == of(pair[1])).collect();
            (sorted, equal)
        }
    }
}

/// How many counting rows there are before each row.
struct Positions {
    counting: Option<BooleanBuffer>,
    /// Of every 64 rows.
    before: Vec<u32>,
}

impl Positions {
    fn new(counting: Option<&BooleanBuffer>, rows: usize) -> Self {
        let mut before = Vec::new();
        if let Some(counting) = counting {
            let mut count = 0;
            for word in 0..=rows / 64 {
                before.push(count as u32);
                let first = word * 64;
                count += counting.slice(first, (rows - first).min(64)).count_set_bits();
            }
        }
        Self { counting: counting.cloned(), before }
    }

    fn of(&self, row: u32) -> u32 {
        let Some(counting) = &self.counting else { return row };
        let (word, bit) = (row as usize / 64, row as usize % 64);
        let within = (0..bit).filter(|bit| counting.value(word * 64 + bit)).count();
        self.before[word] + within as u32
    }
}
