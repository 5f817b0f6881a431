//! One included column of a run: values in key order, and what is known of any range of them.
//!
//! Invariants: whole numbers are offsets from the least one in the narrowest width; texts are places among the distinct
//! texts, in order. What stands under a NULL is offset 0, 0.0 or place 0, and counts nowhere. Doubles keep their bits.
//! Next: `run.rs`.

use std::ops::Range;

use super::{
    bytes::ByteList,
    code::{self, code_f64, decode_f64, misfit},
    extremes::{Extremes, Search},
    offsets::Offsets,
    quantiles::Quantiles,
    raw::{Raw, RawValues},
    spec::IncludeColumn,
    sums::{FloatSums, Validity, WholeSums},
    totals::{TotalSums, Totals},
};
use crate::{error::Result, scalar::Scalar, types::LogicalType};

/// One included column of a run.
#[derive(Debug, Clone)]
pub(super) struct Column {
    ty: LogicalType,
    data: Data,
    valid: Option<Validity>,
    sums: Sums,
    extremes: Bounds,
    quantiles: Option<Quantiles>,
}

#[derive(Debug, Clone)]
enum Data {
    Whole { base: i128, offsets: Offsets },
    Float(Box<[f64]>),
    Bytes { places: Box<[u32]>, texts: ByteList },
}

#[derive(Debug, Clone)]
enum Sums {
    None,
    Whole(WholeSums),
    Float(FloatSums),
}

#[derive(Debug, Clone)]
enum Bounds {
    Narrow(Extremes<u64>),
    Wide(Extremes<u128>),
}

impl Column {
    /// The column of values in key order.
    pub(super) fn new(raw: Raw, spec: &IncludeColumn) -> Self {
        let Raw { ty, values, valid } = raw;
        let len = valid.len();
        let data = match values {
            RawValues::Narrow(values) => whole(&valid, len, |at| values[at].into()),
            RawValues::Wide(values) => whole(&valid, len, |at| values[at]),
            RawValues::Float(values) => Data::Float(values.into()),
            RawValues::Bytes(texts) => distinct(&valid, &texts),
        };
        let sums = match &data {
            Data::Whole { base, offsets } if code::has_sums(&ty) => {
                let max = (0..len).map(|at| offsets.get(at)).max().unwrap_or(0);
                let top = base.saturating_add(i128::try_from(max).unwrap_or(i128::MAX));
                let magnitude = base.unsigned_abs().max(top.unsigned_abs());
                let sum = |range, squares| offsets.sums(range, squares);
                Sums::Whole(WholeSums::new(len, max, magnitude, sum))
            }
            Data::Float(values) => Sums::Float(FloatSums::new(&&**values)),
            _ => Sums::None,
        };
        let validity = Validity::new(&valid);
        let mut column = Self {
            ty,
            data,
            valid: validity,
            sums,
            extremes: Bounds::Narrow(Extremes::new(0, |_| None)),
            quantiles: None,
        };
        column.extremes = match &column.data {
            Data::Whole { offsets: Offsets::U128(_), .. } => {
                Bounds::Wide(Extremes::new(len, |at| column.order(at)))
            }
            _ => Bounds::Narrow(Extremes::new(len, |at| column.narrow_order(at))),
        };
        if spec.quantiles {
            let numbers = || (0..len).filter(|&at| column.is_valid(at)).map(|at| column.number(at));
            let quantiles = Quantiles::new(numbers(), numbers().max().unwrap_or(0));
            column.quantiles = Some(quantiles);
        }
        column
    }

    fn is_valid(&self, at: usize) -> bool {
        self.valid.as_ref().is_none_or(|valid| valid.get(at))
    }

    /// The value as a number in SQL's order.
    fn number(&self, at: usize) -> u128 {
        match &self.data {
            Data::Whole { offsets, .. } => offsets.get(at),
            Data::Float(values) => code_f64(values[at]).into(),
            Data::Bytes { places, .. } => places[at].into(),
        }
    }

    /// The value as a number in SQL's order; `None` for NULL and NaN.
    fn order(&self, at: usize) -> Option<u128> {
        if !self.is_valid(at) || matches!(&self.data, Data::Float(values) if values[at].is_nan()) {
            return None;
        }
        Some(self.number(at))
    }

    fn narrow_order(&self, at: usize) -> Option<u64> {
        self.order(at).map(|number| number as u64)
    }

    /// The value of such a number, comparable across runs.
    fn value_of(&self, number: u128) -> Value<'_> {
        match &self.data {
            Data::Whole { base, .. } => Value::Whole(base.wrapping_add_unsigned(number)),
            Data::Float(_) => Value::Float(number as u64),
            Data::Bytes { texts, .. } => Value::Bytes(texts.get(number as usize)),
        }
    }

    /// How many of the numbers of this run lie below a value of another one.
    fn number_of(&self, value: Value<'_>) -> Option<u128> {
        match (&self.data, value) {
            (Data::Whole { base, .. }, Value::Whole(value)) => match value <= *base {
                true => Some(0),
                false => Some(value.wrapping_sub(*base).cast_unsigned()),
            },
            (Data::Float(_), Value::Float(code)) => Some(code.into()),
            (Data::Bytes { texts, .. }, Value::Bytes(bytes)) => {
                let (mut low, mut high) = (0, texts.len());
                while low < high {
                    let mid = low.midpoint(high);
                    match texts.get(mid) < bytes {
                        true => low = mid + 1,
                        false => high = mid,
                    }
                }
                Some(low as u128)
            }
            _ => None,
        }
    }

    /// How many values of a range are not NULL. `O(1)`.
    pub(super) fn values(&self, range: &Range<usize>) -> usize {
        match &self.valid {
            None => range.len(),
            Some(valid) => valid.rank(range.end) - valid.rank(range.start),
        }
    }

    /// Adds what is known of a range to totals, or takes it away. `O(1)`: two look-ups and half a block at each end.
    pub(super) fn add_to(
        &self,
        totals: &mut Totals,
        range: Range<usize>,
        squares: bool,
        subtract: bool,
    ) {
        let count = self.values(&range);
        totals.count(count, subtract);
        match (&self.sums, &self.data) {
            (Sums::Whole(sums), Data::Whole { base, offsets }) => {
                let each = |range, squares| offsets.sums(range, squares);
                let pair = sums.between(range, squares, each);
                totals.add_whole(*base, count, pair, squares && sums.has_squares(), subtract);
            }
            (Sums::Float(sums), Data::Float(values)) => {
                if let TotalSums::Float(totals) = &mut totals.sums {
                    sums.add_to(totals, range, &&**values, squares, subtract);
                }
            }
            _ => {}
        }
    }

    /// The least or greatest value of a range that is neither NULL nor NaN, entries that `dead` names left out.
    pub(super) fn extreme(
        &self,
        range: Range<usize>,
        greatest: bool,
        dead: impl Fn(Range<usize>) -> bool,
    ) -> Option<Value<'_>> {
        let number = match &self.extremes {
            Bounds::Narrow(extremes) => {
                let mut best = None;
                let value = |at: usize| self.narrow_order(at);
                extremes.search(Search { value, dead, range, greatest, best: &mut best });
                best?.into()
            }
            Bounds::Wide(extremes) => {
                let mut best = None;
                let value = |at: usize| self.order(at);
                extremes.search(Search { value, dead, range, greatest, best: &mut best });
                best?
            }
        };
        Some(self.value_of(number))
    }

    /// The value at a position.
    ///
    /// # Errors
    /// `Internal` when a text is not UTF-8.
    pub(super) fn scalar(&self, at: usize) -> Result<Scalar> {
        match &self.data {
            _ if !self.is_valid(at) => Ok(Scalar::null(self.ty.clone())),
            Data::Float(values) => code::float_scalar(&self.ty, values[at]),
            _ => self.value_of(self.number(at)).to_scalar(&self.ty),
        }
    }

    /// Appends the values at some positions to raw ones.
    pub(super) fn append_to(&self, raw: &mut Raw, range: impl Iterator<Item = usize> + Clone) {
        raw.valid.extend(range.clone().map(|at| self.is_valid(at)));
        match (&mut raw.values, &self.data) {
            (RawValues::Narrow(all), Data::Whole { base, offsets }) => {
                let value = |at| base.wrapping_add_unsigned(offsets.get(at)) as i64;
                all.extend(range.map(|at| if self.is_valid(at) { value(at) } else { 0 }));
            }
            (RawValues::Wide(all), Data::Whole { base, offsets }) => {
                let value = |at| base.wrapping_add_unsigned(offsets.get(at));
                all.extend(range.map(|at| if self.is_valid(at) { value(at) } else { 0 }));
            }
            (RawValues::Float(all), Data::Float(values)) => {
                all.extend(range.map(|at| values[at]));
            }
            (RawValues::Bytes(all), Data::Bytes { places, texts }) => {
                for at in range {
                    let text = || texts.get(places[at] as usize);
                    all.push(if self.is_valid(at) { text() } else { &[] });
                }
            }
            _ => {}
        }
    }

    /// The positions of a range in the matrix.
    fn matrix_range(&self, range: &Range<usize>) -> Range<usize> {
        match &self.valid {
            None => range.clone(),
            Some(valid) => valid.rank(range.start)..valid.rank(range.end),
        }
    }

    /// How many distinct values of the run there are to try; `None` without quantiles.
    pub(super) fn places(&self) -> Option<usize> {
        self.quantiles.as_ref().map(|quantiles| quantiles.values.len())
    }

    /// The value at a place among the distinct ones.
    pub(super) fn place_value(&self, place: usize) -> Option<Value<'_>> {
        let quantiles = self.quantiles.as_ref()?;
        Some(self.value_of(quantiles.values.get(place)))
    }

    /// How many values of a range are not greater than a value, which may be of another run.
    pub(super) fn up_to(&self, range: &Range<usize>, value: Value<'_>) -> usize {
        let (Some(quantiles), Some(number)) = (&self.quantiles, self.number_of(value)) else {
            return 0;
        };
        let equal = match (&self.data, value) {
            (Data::Whole { base, .. }, Value::Whole(value)) => value >= *base,
            (Data::Bytes { texts, .. }, Value::Bytes(bytes)) => {
                (number as usize) < texts.len() && texts.get(number as usize) == bytes
            }
            _ => true,
        };
        let place = quantiles.values.rank(number.saturating_add(equal.into()));
        let range = self.matrix_range(range);
        quantiles.wavelet.less(range.start, range.end, place as u64)
    }

    /// The `k`-th smallest value of a range, from 0, of more than `k`.
    pub(super) fn nth(&self, range: &Range<usize>, k: usize) -> Option<Value<'_>> {
        let quantiles = self.quantiles.as_ref()?;
        let range = self.matrix_range(range);
        if k >= range.len() || range.end > quantiles.wavelet.len() {
            return None;
        }
        let place = quantiles.wavelet.nth(range.start, range.end, k);
        self.place_value(place as usize)
    }

    /// Bytes of memory held.
    pub(super) fn bytes(&self) -> usize {
        let data = match &self.data {
            Data::Whole { offsets, .. } => offsets.bytes(),
            Data::Float(values) => size_of_val(&**values),
            Data::Bytes { places, texts } => size_of_val(&**places) + texts.bytes(),
        };
        let sums = match &self.sums {
            Sums::None => 0,
            Sums::Whole(sums) => sums.bytes(),
            Sums::Float(sums) => sums.bytes(),
        };
        let extremes = match &self.extremes {
            Bounds::Narrow(extremes) => extremes.bytes(),
            Bounds::Wide(extremes) => extremes.bytes(),
        };
        let valid = self.valid.as_ref().map_or(0, Validity::bytes);
        data + sums + extremes + valid + self.quantiles.as_ref().map_or(0, Quantiles::bytes)
    }
}

/// A value that is not NULL, comparable across runs of one column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Value<'a> {
    Whole(i128),
    /// The code of a double.
    Float(u64),
    Bytes(&'a [u8]),
}

impl Value<'_> {
    /// # Errors
    /// `Internal` when a text is not UTF-8.
    pub(super) fn to_scalar(self, ty: &LogicalType) -> Result<Scalar> {
        match self {
            Self::Whole(value) if code::is_whole(ty) => code::whole_scalar(ty, value),
            Self::Float(code) if ty.is_float() => code::float_scalar(ty, decode_f64(code)),
            Self::Bytes(bytes) => code::bytes_scalar(ty, bytes),
            _ => Err(misfit()),
        }
    }
}

fn whole(valid: &[bool], len: usize, value: impl Fn(usize) -> i128) -> Data {
    let values = || (0..len).filter(|&at| valid[at]).map(&value);
    let (base, top) = (values().min().unwrap_or(0), values().max().unwrap_or(0));
    let offset = |at: usize| {
        if valid[at] { value(at).wrapping_sub(base).cast_unsigned() } else { 0 }
    };
    let max = top.wrapping_sub(base).cast_unsigned();
    Data::Whole { base, offsets: Offsets::new(max, (0..len).map(offset)) }
}

fn distinct(valid: &[bool], all: &ByteList) -> Data {
    let mut order: Vec<u32> = (0..valid.len() as u32).filter(|&at| valid[at as usize]).collect();
    order.sort_unstable_by(|&a, &b| all.get(a as usize).cmp(all.get(b as usize)));
    let (mut texts, mut places) = (ByteList::default(), vec![0; valid.len()]);
    let mut last: Option<&[u8]> = None;
    for at in order {
        let text = all.get(at as usize);
        if last != Some(text) {
            texts.push(text);
            last = Some(text);
        }
        places[at as usize] = texts.len() as u32 - 1;
    }
    texts.shrink();
    Data::Bytes { places: places.into(), texts }
}
