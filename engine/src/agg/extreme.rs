//! `min`, `max`, `bool_and`, `bool_or`.
//!
//! Invariant: order-free: values of up to 64 bits are compared as numbers of the same order, decimals as 128-bit
//! numbers, texts and blobs bytewise (`extreme_bytes.rs`); NaN is the largest float. Intervals and nested values go to
//! `pick.rs`.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, AsArray, BinaryViewBuilder, StringViewBuilder},
    buffer::{NullBuffer, ScalarBuffer},
    datatypes::{DataType, Float64Type},
};
use stoadb_storage::{
    LogicalType, Scalar, Selection, Statistics, Vector, lanes, vector::DictionaryVector,
};

use super::{
    Call, Groups, State,
    extreme_bytes::{Met, is_better},
    input::ordering,
    masked::RowMask,
    pick::{Pick, Rule},
    table::permute,
};
use crate::{
    error::{EngineError, Result},
    kernel::{
        bits::{self, Bits, from_bits},
        extreme::extreme_double,
        physical::{offset_value, with_codes, with_offsets},
    },
};

/// The state for a type.
pub(crate) fn state(ty: &LogicalType, largest: bool) -> State {
    let best = match ty {
        LogicalType::Interval
        | LogicalType::List(_)
        | LogicalType::Struct(_)
        | LogicalType::Map(..) => {
            let rule = if largest { Rule::Largest } else { Rule::Smallest };
            return State::Pick(Pick::new(rule, ty));
        }
        LogicalType::Text | LogicalType::Blob => Best::Bytes(Vec::new()),
        LogicalType::Decimal { precision: 19.., .. } => Best::Wide(Vec::new()),
        _ => Best::Narrow(Vec::new()),
    };
    let (seen, met) = (Vec::new(), Met::default());
    State::Extreme(Extreme { ty: ty.clone(), largest, best, seen, met })
}

/// The smallest or largest value per group.
pub(crate) struct Extreme {
    ty: LogicalType,
    pub(super) largest: bool,
    pub(super) best: Best,
    pub(super) seen: Vec<bool>,
    pub(super) met: Met,
}

pub(super) enum Best {
    Narrow(Vec<i64>),
    Wide(Vec<i128>),
    Bytes(Vec<Box<[u8]>>),
}

impl Extreme {
    pub(crate) fn resize(&mut self, groups: usize) {
        match &mut self.best {
            Best::Narrow(best) => {
                best.resize(groups, if self.largest { i64::MIN } else { i64::MAX })
            }
            Best::Wide(best) => {
                best.resize(groups, if self.largest { i128::MIN } else { i128::MAX })
            }
            Best::Bytes(best) => best.resize(groups, Box::default()),
        }
        self.seen.resize(groups, false);
    }

    pub(crate) fn reorder(&mut self, order: &[u32]) {
        permute(&mut self.seen, order);
        match &mut self.best {
            Best::Narrow(best) => permute(best, order),
            Best::Wide(best) => permute(best, order),
            Best::Bytes(best) => permute(best, order),
        }
    }

    pub(crate) fn update(&mut self, args: &[Vector], groups: Groups<'_>) -> Result<()> {
        let [arg] = args else { return Err(EngineError::Internal("one argument wanted".into())) };
        let ids = match groups {
            Groups::One(0) => return Ok(()),
            Groups::One(_) => return self.add_rows(arg, None),
            Groups::Ids(ids) => ids,
        };
        match (&mut self.best, arg) {
            (Best::Narrow(best), Vector::Narrow(narrow)) => {
                let flip = if self.ty == LogicalType::UInt64 { i64::MIN } else { 0 };
                with_offsets!(narrow.offsets, offsets => {
                    let key = |&offset| narrow.base.wrapping_add(offset_value(offset)) ^ flip;
                    fold(best, ids, offsets.iter().map(key), self.largest);
                });
            }
            (Best::Narrow(best), _) => {
                fold(best, ids, keys_of(&self.ty, arg)?.iter().copied(), self.largest);
            }
            (Best::Wide(best), _) => fold(best, ids, wide_keys(arg)?.into_iter(), self.largest),
            (Best::Bytes(_), _) => return self.update_bytes(arg, groups),
        }
        ids.iter().for_each(|&id| self.seen[id as usize] = true);
        Ok(())
    }

    /// Takes the rows of group 0 that count.
    pub(crate) fn add_masked(&mut self, arg: &Vector, mask: &RowMask) -> Result<()> {
        match self.best {
            _ if mask.rows() == 0 => Ok(()),
            Best::Narrow(_) => self.add_rows(arg, Some(mask.words())),
            _ => {
                let kept = Selection::new(mask.bits().set_indices_u32().collect());
                self.add_rows(&arg.select(&kept)?, None)
            }
        }
    }

    /// Takes rows of group 0, at least one: all, or those whose bit is set in `words`.
    fn add_rows(&mut self, arg: &Vector, words: Option<&[u64]>) -> Result<()> {
        let largest = self.largest;
        match (&mut self.best, arg) {
            (Best::Wide(best), _) => {
                let keys = wide_keys(arg)?.into_iter();
                best[0] = keys.fold(best[0], if largest { i128::max } else { i128::min });
                self.seen[0] = true;
            }
            (Best::Bytes(_), _) => self.update_bytes(arg, Groups::One(arg.len()))?,
            (Best::Narrow(_), Vector::Narrow(narrow)) => {
                let offset = with_offsets!(narrow.offsets, offsets => {
                    offset_value(lanes::extreme(offsets, words, largest))
                });
                self.consider_whole(narrow.base.wrapping_add(offset));
            }
            (Best::Narrow(_), Vector::Flat(array)) if *array.data_type() == DataType::Float64 => {
                let values = array.as_primitive::<Float64Type>().values();
                if let Some(value) = extreme_double(values, words, largest) {
                    self.consider_double(value);
                }
            }
            (Best::Narrow(_), _) => {
                let keys = match arg {
                    Vector::Dictionary(dictionary) => entries_in_use(dictionary, words)?,
                    _ => None,
                };
                let order = ordering(&self.ty);
                let key = match keys {
                    Some(used) => {
                        let keys: Vec<i64> = used.into_iter().map(order).collect();
                        lanes::extreme(&keys, None, largest)
                    }
                    None => lanes::extreme(&keys_of(&self.ty, arg)?, words, largest),
                };
                self.consider_key(key);
            }
        }
        Ok(())
    }

    /// Takes a value of group 0 by its key.
    fn consider_key(&mut self, key: i64) {
        if let Best::Narrow(best) = &mut self.best {
            best[0] = if self.largest { best[0].max(key) } else { best[0].min(key) };
            self.seen[0] = true;
        }
    }

    /// Takes a double of group 0.
    fn consider_double(&mut self, value: f64) {
        self.consider_key(ordering(&LogicalType::Float64)(bits::float64_bits(value)));
    }

    /// Takes a whole number of group 0, one of 64 bits without a sign by its bits.
    fn consider_whole(&mut self, value: i64) {
        self.consider_key(ordering(&self.ty)(value as u64));
    }

    pub(crate) fn merge(&mut self, other: &Self, from: &[u32], to: &[u32]) {
        let largest = self.largest;
        for (&from, &to) in from.iter().zip(to) {
            let (from, to) = (from as usize, to as usize);
            if !other.seen[from] {
                continue;
            }
            match (&mut self.best, &other.best) {
                (Best::Narrow(a), Best::Narrow(b)) => {
                    a[to] = if largest { a[to].max(b[from]) } else { a[to].min(b[from]) };
                }
                (Best::Wide(a), Best::Wide(b)) => {
                    a[to] = if largest { a[to].max(b[from]) } else { a[to].min(b[from]) };
                }
                (Best::Bytes(a), Best::Bytes(b))
                    if !self.seen[to] || is_better(&b[from], &a[to], largest) =>
                {
                    a[to].clone_from(&b[from]);
                }
                _ => {}
            }
            self.seen[to] = true;
        }
    }

    /// Whether NaN, the largest value, is the extreme of the rows that statistics describe.
    fn is_nan(&self, known: &Statistics) -> bool {
        self.ty.is_float() && if self.largest { known.nans > 0 } else { known.ordered() == 0 }
    }

    fn bound<'a>(&self, known: &'a Statistics) -> Option<&'a Scalar> {
        let bound = if self.largest { &known.max } else { &known.min };
        bound.as_ref().filter(|bound| !self.is_nan(known) && *bound.ty() == self.ty)
    }

    /// Whether statistics know enough for `absorb`.
    pub(crate) fn can_absorb(&self, known: &Statistics) -> bool {
        known.rows == known.nulls || self.is_nan(known) || self.bound(known).is_some()
    }

    /// Takes what statistics know of a morsel's rows into the only group.
    pub(crate) fn absorb(&mut self, known: &Statistics) {
        if known.rows == known.nulls {
            return;
        }
        let (largest, bound) = (self.largest, self.bound(known));
        match &mut self.best {
            Best::Narrow(best) => {
                let Some(key) = narrow_key(&self.ty, bound) else { return };
                best[0] = if largest { best[0].max(key) } else { best[0].min(key) };
            }
            Best::Wide(best) => {
                let Some(key) = bound.and_then(Scalar::as_i128) else { return };
                best[0] = if largest { best[0].max(key) } else { best[0].min(key) };
            }
            Best::Bytes(best) => {
                let Some(value) = bound.and_then(Scalar::as_bytes) else { return };
                if !self.seen[0] || is_better(value, &best[0], largest) {
                    best[0] = value.into();
                }
            }
        }
        self.seen[0] = true;
    }

    /// The extremes of `scale` times each value plus `offset`, as values of `ty`, which they fit.
    pub(crate) fn affine(&self, scale: i128, offset: i128, ty: &LogicalType) -> State {
        let order = ordering(&self.ty);
        let value = |group: usize| match &self.best {
            Best::Narrow(best) if self.ty == LogicalType::UInt64 => {
                i128::from(order(best[group] as u64) as u64)
            }
            Best::Narrow(best) => best[group].into(),
            Best::Wide(best) => best[group],
            Best::Bytes(_) => 0,
        };
        let values = self.seen.iter().enumerate().map(|(group, &seen)| match seen {
            true => value(group).wrapping_mul(scale).wrapping_add(offset),
            false => 0,
        });
        let wide = matches!(ty, LogicalType::Decimal { precision: 19.., .. });
        let order = ordering(ty);
        let best = match wide {
            true => Best::Wide(values.collect()),
            false => Best::Narrow(values.map(|value| order(value as u64)).collect()),
        };
        let (largest, seen) = (self.largest, self.seen.clone());
        State::Extreme(Self { ty: ty.clone(), largest, best, seen, met: Met::default() })
    }

    /// # Errors
    /// `Internal` when a text is no UTF-8.
    pub(crate) fn finish(&self, call: &Call) -> Result<ArrayRef> {
        let nulls = NullBuffer::from(self.seen.clone());
        match &self.best {
            Best::Narrow(best) => {
                let order = ordering(&self.ty);
                let value = |row: usize| u128::from(order(best[row] as u64) as u64);
                from_bits(&self.ty, best.len(), value, Some(nulls))
            }
            Best::Wide(best) => {
                from_bits(&self.ty, best.len(), |row| best[row] as u128, Some(nulls))
            }
            Best::Bytes(best) if call.ty == LogicalType::Blob => {
                let mut builder = BinaryViewBuilder::with_capacity(best.len());
                for (value, &seen) in best.iter().zip(&self.seen) {
                    builder.append_option(seen.then_some(value));
                }
                Ok(Arc::new(builder.finish()))
            }
            Best::Bytes(best) => {
                let mut builder = StringViewBuilder::with_capacity(best.len());
                for (value, &seen) in best.iter().zip(&self.seen) {
                    let text = std::str::from_utf8(value);
                    let text = text.map_err(|error| EngineError::Internal(error.to_string()))?;
                    builder.append_option(seen.then_some(text));
                }
                Ok(Arc::new(builder.finish()))
            }
        }
    }

    pub(crate) fn memory(&self) -> u64 {
        let best = match &self.best {
            Best::Narrow(best) => best.capacity() * 8,
            Best::Wide(best) => best.capacity() * 16,
            Best::Bytes(best) => best.capacity() * 16 + best.iter().map(|b| b.len()).sum::<usize>(),
        };
        (best + self.seen.capacity() + self.met.entries.capacity()) as u64
    }
}

/// The key of a number, time or boolean (`None`: NaN) by which values of the type are ordered.
fn narrow_key(ty: &LogicalType, value: Option<&Scalar>) -> Option<i64> {
    let bits = match (ty, value) {
        (LogicalType::Float32, None) => u64::from(bits::float32_bits(f32::NAN)),
        (_, None) => bits::float64_bits(f64::NAN),
        (LogicalType::Float32, Some(value)) => {
            u64::from(bits::float32_bits(value.as_f64()? as f32))
        }
        (LogicalType::Float64, Some(value)) => bits::float64_bits(value.as_f64()?),
        (LogicalType::Boolean, Some(value)) => u64::from(value.as_bool()?),
        (_, Some(value)) => value.as_i128()? as u64,
    };
    Some(ordering(ty)(bits))
}

/// The values of a type of up to 64 bits as numbers of the same order; without copying where they are such.
fn keys_of(ty: &LogicalType, arg: &Vector) -> Result<ScalarBuffer<i64>> {
    let Bits::Narrow(values) = bits::bits(arg)? else { return Err(misfit()) };
    Ok(match ty {
        LogicalType::Float32 | LogicalType::Float64 | LogicalType::UInt64 => {
            let order = ordering(ty);
            values.iter().map(|&value| order(value)).collect()
        }
        _ => ScalarBuffer::from(values.into_inner()),
    })
}

fn wide_keys(arg: &Vector) -> Result<Vec<i128>> {
    let Bits::Wide(values) = bits::bits(arg)? else { return Err(misfit()) };
    Ok(values.iter().map(|&value| value as i128).collect())
}

/// The normalised bits of the entries that rows are of; `None` where that is no less work than to look at the rows.
fn entries_in_use(vector: &DictionaryVector, words: Option<&[u64]>) -> Result<Option<Vec<u64>>> {
    let Some(entries) = bits::dictionary_words(vector)? else { return Ok(None) };
    if entries.is_empty() || entries.len() > vector.codes.len() {
        return Ok(None);
    }
    // A place more: that of the rows that do not count.
    let mut used = vec![false; entries.len() + 1];
    with_codes!(vector.codes, codes => match words {
        None => codes.iter().for_each(|&code| used[code as usize] = true),
        Some(words) => {
            for (codes, word) in codes.chunks(64).zip(words) {
                for (bit, &code) in codes.iter().enumerate() {
                    let counts = word >> bit & 1 == 1;
                    used[if counts { code as usize } else { entries.len() }] = true;
                }
            }
        }
    });
    let used = entries.iter().zip(&used).filter(|(_, used)| **used);
    Ok(Some(used.map(|(&entry, _)| entry).collect()))
}

fn fold<T: Copy + Ord>(best: &mut [T], ids: &[u32], keys: impl Iterator<Item = T>, largest: bool) {
    match largest {
        true => {
            for (&id, key) in ids.iter().zip(keys) {
                best[id as usize] = best[id as usize].max(key);
            }
        }
        false => {
            for (&id, key) in ids.iter().zip(keys) {
                best[id as usize] = best[id as usize].min(key);
            }
        }
    }
}

fn misfit() -> EngineError {
    EngineError::Internal("an argument is not of its type".into())
}
