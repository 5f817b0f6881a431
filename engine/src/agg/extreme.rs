//! `min`, `max`, `bool_and`, `bool_or`.
//!
//! Invariant: order-free: values of up to 64 bits are compared as numbers of the same order, decimals as 128-bit
//! numbers, texts and blobs bytewise; NaN is the largest float. Intervals and nested values go to `pick.rs`.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, BinaryViewBuilder, StringViewBuilder},
    buffer::NullBuffer,
};
use stoadb_storage::{LogicalType, Scalar, Statistics, Vector, vector::NarrowVector};

use super::{
    Call, Groups, State,
    input::{Offset, ordering, text},
    pick::{Pick, Rule},
    table::permute,
};
use crate::{
    error::{EngineError, Result},
    kernel::{
        bits::{self, Bits, from_bits},
        physical::with_offsets,
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
    State::Extreme(Extreme { ty: ty.clone(), largest, best, seen: Vec::new() })
}

/// The smallest or largest value per group.
pub(crate) struct Extreme {
    ty: LogicalType,
    largest: bool,
    best: Best,
    seen: Vec<bool>,
}

enum Best {
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
        match &mut self.best {
            Best::Narrow(best) => match arg {
                Vector::Narrow(narrow) => with_offsets!(narrow.offsets, offsets => {
                    fold_offsets(best, offsets, narrow, groups, self.largest);
                }),
                _ => {
                    let Bits::Narrow(values) = bits::bits(arg)? else { return Err(misfit()) };
                    let order = ordering(&self.ty);
                    let keys = values.iter().map(|&v| order(v));
                    fold(best, keys, groups, self.largest);
                }
            },
            Best::Wide(best) => {
                let Bits::Wide(values) = bits::bits(arg)? else { return Err(misfit()) };
                fold(best, values.iter().map(|&v| v as i128), groups, self.largest);
            }
            Best::Bytes(_) => return self.update_bytes(arg, groups),
        }
        match groups {
            Groups::One(0) => {}
            Groups::One(_) => self.seen[0] = true,
            Groups::Ids(ids) => ids.iter().for_each(|&id| self.seen[id as usize] = true),
        }
        Ok(())
    }

    fn update_bytes(&mut self, arg: &Vector, groups: Groups<'_>) -> Result<()> {
        match arg {
            Vector::Dictionary(vector) => {
                let entries = vector.dictionary.values();
                for (row, &code) in vector.codes_u32().iter().enumerate() {
                    self.consider(groups.id(row), text(entries, code as usize));
                }
            }
            Vector::Constant { value, rows } => {
                let value = text(value.array(), 0);
                (0..*rows).for_each(|row| self.consider(groups.id(row), value));
            }
            _ => {
                let array = arg.flatten()?;
                (0..array.len()).for_each(|row| self.consider(groups.id(row), text(&array, row)));
            }
        }
        Ok(())
    }

    fn consider(&mut self, group: usize, value: &[u8]) {
        let Best::Bytes(best) = &mut self.best else { return };
        if !self.seen[group] || is_better(value, &best[group], self.largest) {
            best[group] = value.into();
            self.seen[group] = true;
        }
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
        State::Extreme(Self { ty: ty.clone(), largest, best, seen })
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
        (best + self.seen.capacity()) as u64
    }
}

/// Folds offsets in their own width; only the best one of a group is widened where all rows are of one group.
fn fold_offsets<T: Offset>(
    best: &mut [i64],
    offsets: &[T],
    narrow: &NarrowVector,
    groups: Groups<'_>,
    largest: bool,
) {
    let flip = if narrow.ty == LogicalType::UInt64 { i64::MIN } else { 0 };
    let key = |offset: T| narrow.base.wrapping_add(offset.into()) ^ flip;
    match groups {
        Groups::One(_) => {
            let offsets = offsets.iter().copied();
            let found = if largest { offsets.max() } else { offsets.min() };
            fold(best, found.map(key).into_iter(), groups, largest);
        }
        Groups::Ids(_) => fold(best, offsets.iter().map(|&o| key(o)), groups, largest),
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

fn fold<T: Copy + Ord>(
    best: &mut [T],
    keys: impl Iterator<Item = T>,
    groups: Groups<'_>,
    largest: bool,
) {
    match (groups, largest) {
        (Groups::One(_), true) => best[0] = keys.fold(best[0], T::max),
        (Groups::One(_), false) => best[0] = keys.fold(best[0], T::min),
        (Groups::Ids(ids), true) => {
            for (&id, key) in ids.iter().zip(keys) {
                best[id as usize] = best[id as usize].max(key);
            }
        }
        (Groups::Ids(ids), false) => {
            for (&id, key) in ids.iter().zip(keys) {
                best[id as usize] = best[id as usize].min(key);
            }
        }
    }
}

fn is_better(value: &[u8], best: &[u8], largest: bool) -> bool {
    if largest { value > best } else { value < best }
}

fn misfit() -> EngineError {
    EngineError::Internal("an argument is not of its type".into())
}
