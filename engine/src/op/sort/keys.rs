//! Sort keys over held rows: each key column becomes one or two fields of codes whose range is known.
//!
//! Invariants: ascending code order of a field, with its direction and place of NULLs applied, is the key's order; a
//! field whose rows are all alike has no bits and costs nothing. Dictionary columns are coded by the rank of their
//! entries, computed once for the entries that occur.
//! Next: `layout.rs`, which packs fields into integers.

use std::cmp::Ordering;

use arrow::{
    array::{Array, ArrayRef, UInt32Array},
    buffer::NullBuffer,
    compute,
};
use stoadb_storage::{
    Vector,
    vector::{DictionaryValues, DictionaryVector, NarrowVector},
};

use super::{
    jobs::Jobs,
    order::order,
    rows::{Column, Rows},
};
use crate::{
    error::{EngineError, Result},
    kernel::sort_key::{Bytes, Codes, KeyCodes, KeyOrder, array_codes, codes},
};

/// One key: a column of the held rows and its direction.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    pub(super) column: usize,
    pub(super) order: KeyOrder,
}

/// The codes of one field, by block.
#[derive(Debug)]
pub(super) enum FieldCodes {
    Numbers {
        blocks: Vec<Vec<u64>>,
        min: u64,
        max: u64,
    },
    /// Strings: how many first bytes all share, and the longest length.
    Bytes {
        blocks: Vec<Bytes>,
        shared: usize,
        longest: usize,
    },
}

/// A part of the key.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) codes: FieldCodes,
    /// By block. Empty when no row is NULL, or when an earlier field of the same key tells.
    pub(super) nulls: Vec<Option<NullBuffer>>,
    pub(super) order: KeyOrder,
}

impl Field {
    /// Whether a row is NULL.
    pub(super) fn is_null(&self, block: usize, row: usize) -> bool {
        matches!(self.nulls.get(block), Some(Some(nulls)) if nulls.is_null(row))
    }

    /// Whether some row is NULL.
    pub(super) fn has_nulls(&self) -> bool {
        !self.nulls.is_empty()
    }
}

/// All fields of a sort, the most significant first.
#[derive(Debug)]
pub(super) struct Fields {
    pub(super) fields: Vec<Field>,
    /// How many fields the first key has, the first two, and so on.
    pub(super) ends: Vec<usize>,
    pub(super) bits: u32,
}

impl Fields {
    /// The fields of `keys` over `rows`.
    ///
    /// # Errors
    /// `Unsupported` for a type without an order; cancellation.
    pub(super) fn prepare(rows: &Rows, keys: &[Key], jobs: &Jobs<'_>) -> Result<Self> {
        let mut fields = Vec::with_capacity(keys.len());
        let mut ends = Vec::with_capacity(keys.len());
        for key in keys {
            let codes = match &rows.columns[key.column] {
                Column::Constant(_) => {
                    ends.push(fields.len());
                    continue;
                }
                Column::Flat(blocks) => jobs.map(blocks.len(), |i| array_codes(&blocks[i]))?,
                Column::Narrow { ty, base, offsets } => jobs.map(offsets.len(), |i| {
                    let (ty, offsets) = (ty.clone(), offsets[i].clone());
                    codes(&Vector::Narrow(NarrowVector { ty, base: *base, offsets, charge: None }))
                })?,
                Column::Dictionary { codes, dictionary } => ranks(codes, dictionary, jobs)?,
            };
            fields_of(codes, key.order, jobs, &mut fields)?;
            ends.push(fields.len());
        }
        Ok(Self { fields, ends, bits: rows.bits })
    }

    /// How two rows compare from field `first` on, of which the first `skip` bytes are known to be equal.
    pub(super) fn compare(&self, first: usize, skip: usize, a: u32, b: u32) -> Ordering {
        let mask = (1 << self.bits) - 1;
        let at = |row: u32| ((row >> self.bits) as usize, (row & mask) as usize);
        let (a, b) = (at(a), at(b));
        for (i, field) in self.fields[first..].iter().enumerate() {
            let nulls = field.is_null(a.0, a.1).cmp(&field.is_null(b.0, b.1));
            if nulls != Ordering::Equal {
                return if field.order.nulls_first { nulls.reverse() } else { nulls };
            }
            if field.is_null(a.0, a.1) {
                continue;
            }
            let values = match &field.codes {
                FieldCodes::Numbers { blocks, .. } => blocks[a.0][a.1].cmp(&blocks[b.0][b.1]),
                FieldCodes::Bytes { blocks, .. } => {
                    let skip = if i == 0 { skip } else { 0 };
                    let rest = |bytes: &'_ [u8]| skip.min(bytes.len());
                    let (a, b) = (blocks[a.0].get(a.1), blocks[b.0].get(b.1));
                    a[rest(a)..].cmp(&b[rest(b)..])
                }
            };
            if values != Ordering::Equal {
                return if field.order.descending { values.reverse() } else { values };
            }
        }
        Ordering::Equal
    }
}

/// Appends the fields of one key column.
fn fields_of(
    columns: Vec<KeyCodes>,
    order: KeyOrder,
    jobs: &Jobs<'_>,
    fields: &mut Vec<Field>,
) -> Result<()> {
    let mut nulls: Vec<Option<NullBuffer>> =
        columns.iter().map(|c| c.nulls.clone().filter(|nulls| nulls.null_count() > 0)).collect();
    if nulls.iter().all(Option::is_none) {
        nulls.clear();
    }
    let mut narrow = Vec::new();
    let mut wide = Vec::new();
    let mut bytes = Vec::new();
    for column in columns {
        match column.codes {
            Codes::Narrow(codes) => narrow.push(codes),
            Codes::Wide(codes) => wide.push(codes),
            Codes::Bytes(codes) => bytes.push(codes),
        }
    }
    let null_of = |block: usize| nulls.get(block).and_then(Option::as_ref);
    if !bytes.is_empty() {
        let spans = jobs.map(bytes.len(), |i| Ok(span_bytes(&bytes[i], null_of(i))))?;
        let (shared, longest) = join_spans(&spans, &bytes);
        let codes = FieldCodes::Bytes { blocks: bytes, shared, longest };
        fields.push(Field { codes, nulls, order });
        return Ok(());
    }
    if !wide.is_empty() {
        let ranges = jobs.map(wide.len(), |i| Ok(range(&wide[i], null_of(i))))?;
        let (min, max) = join_ranges(ranges);
        let low = |blocks: &[Vec<u128>], i: usize| {
            Ok(blocks[i].iter().map(|code| code.wrapping_sub(min) as u64).collect::<Vec<u64>>())
        };
        narrow = jobs.map(wide.len(), |i| low(&wide, i))?;
        if let span @ 1.. = (max.wrapping_sub(min) >> 64) as u64 {
            let high = |i: usize| {
                Ok(wide[i].iter().map(|code| (code.wrapping_sub(min) >> 64) as u64).collect())
            };
            let blocks = jobs.map(wide.len(), high)?;
            let codes = FieldCodes::Numbers { blocks, min: 0, max: span };
            fields.push(Field { codes, nulls: nulls.clone(), order });
            // Under a NULL, both rows must be alike in the low half, which has no NULLs of its own.
            narrow = jobs.map(narrow.len(), |i| Ok(zero_nulls(&narrow[i], null_of(i))))?;
            nulls.clear();
        }
    }
    let null_of = |block: usize| nulls.get(block).and_then(Option::as_ref);
    let ranges = jobs.map(narrow.len(), |i| Ok(range(&narrow[i], null_of(i))))?;
    let (min, max) = join_ranges(ranges);
    let codes = FieldCodes::Numbers { blocks: narrow, min, max };
    fields.push(Field { codes, nulls, order });
    Ok(())
}

fn zero_nulls(codes: &[u64], nulls: Option<&NullBuffer>) -> Vec<u64> {
    match nulls {
        None => codes.to_vec(),
        Some(nulls) => {
            codes.iter().zip(nulls).map(|(&code, valid)| if valid { code } else { 0 }).collect()
        }
    }
}

/// The least and greatest code of the rows that are not NULL.
fn range<T: Copy + Ord>(codes: &[T], nulls: Option<&NullBuffer>) -> Option<(T, T)> {
    let join = |range: Option<(T, T)>, code: T| match range {
        None => Some((code, code)),
        Some((min, max)) => Some((min.min(code), max.max(code))),
    };
    match nulls {
        Some(nulls) => nulls.valid_indices().map(|row| codes[row]).fold(None, join),
        None => {
            let first = *codes.first()?;
            Some(
                codes
                    .iter()
                    .fold((first, first), |(min, max), &code| (min.min(code), max.max(code))),
            )
        }
    }
}

fn join_ranges<T: Copy + Ord + Default>(ranges: Vec<Option<(T, T)>>) -> (T, T) {
    let join = |a: (T, T), b: (T, T)| (a.0.min(b.0), a.1.max(b.1));
    ranges.into_iter().flatten().reduce(join).unwrap_or_default()
}

/// Of the strings that are not NULL: the row of the first, how many first bytes all share, the longest length.
fn span_bytes(bytes: &Bytes, nulls: Option<&NullBuffer>) -> Option<(usize, usize, usize)> {
    let mut rows = (0..bytes.len()).filter(|&row| nulls.is_none_or(|nulls| nulls.is_valid(row)));
    let first = rows.next()?;
    let mut shared = bytes.get(first);
    let mut longest = shared.len();
    for row in rows {
        let value = bytes.get(row);
        longest = longest.max(value.len());
        shared = &shared[..common(shared, value)];
    }
    Some((first, shared.len(), longest))
}

fn join_spans(spans: &[Option<(usize, usize, usize)>], bytes: &[Bytes]) -> (usize, usize) {
    let mut all: Option<(&[u8], usize)> = None;
    for (span, bytes) in spans.iter().zip(bytes) {
        let Some((row, shared, longest)) = *span else { continue };
        let value = &bytes.get(row)[..shared];
        all = Some(match all {
            None => (value, longest),
            Some((other, most)) => (&other[..common(other, value)], most.max(longest)),
        });
    }
    all.map_or((0, 0), |(shared, longest)| (shared.len(), longest))
}

fn common(a: &[u8], b: &[u8]) -> usize {
    if b.starts_with(a) {
        return a.len();
    }
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// Dictionaries of more entries are not ranked when few rows point into them.
const LARGE_DICTIONARY: usize = 1 << 16;

/// The dense rank of each row's entry among the entries that occur.
fn ranks(
    blocks: &[ArrayRef],
    dictionary: &DictionaryValues,
    jobs: &Jobs<'_>,
) -> Result<Vec<KeyCodes>> {
    let values = dictionary.values();
    let rows = blocks.iter().map(|block| block.len()).sum::<usize>();
    if values.len() > LARGE_DICTIONARY.max(4 * rows) {
        return jobs.map(blocks.len(), |i| array_codes(&compute::take(values, &blocks[i], None)?));
    }
    let widen = |block: usize| {
        let (codes, dictionary) =
            (blocks[block].clone(), DictionaryValues::new(values.slice(0, 0)));
        DictionaryVector { codes, dictionary: dictionary.into(), charge: None }.codes_u32()
    };
    let mut used = vec![false; values.len()];
    for (block, codes) in blocks.iter().enumerate() {
        jobs.check()?;
        let codes_u32 = widen(block);
        match codes.nulls() {
            Some(nulls) => nulls.valid_indices().for_each(|i| used[codes_u32[i] as usize] = true),
            None => codes_u32.iter().for_each(|&code| used[code as usize] = true),
        }
    }
    let used: Vec<u32> = (0u32..).zip(&used).filter(|(_, used)| **used).map(|(i, _)| i).collect();
    let rank = rank_entries(values, &used, jobs)?;
    let entry_nulls = values.logical_nulls();
    jobs.map(blocks.len(), |block| {
        let rows = widen(block);
        let codes = rows.iter().map(|&code| rank.get(code as usize).copied().unwrap_or(0).into());
        let own = blocks[block].nulls().cloned();
        let nulls = match &entry_nulls {
            None => own,
            Some(entries) => {
                // The code of a NULL row may name no entry.
                let valid = |code: usize| code < entries.len() && entries.is_valid(code);
                let entries: NullBuffer = rows.iter().map(|&code| valid(code as usize)).collect();
                NullBuffer::union(own.as_ref(), Some(&entries))
            }
        };
        Ok(KeyCodes { codes: Codes::Narrow(codes.collect()), nulls })
    })
}

/// The rank of each entry among those in `used`; equal entries have equal ranks.
fn rank_entries(values: &ArrayRef, used: &[u32], jobs: &Jobs<'_>) -> Result<Vec<u32>> {
    let entries = compute::take(values, &UInt32Array::from(used.to_vec()), None)?;
    let rows = Rows {
        len: entries.len(),
        bits: u32::BITS - 1,
        columns: vec![Column::Flat(vec![entries])],
    };
    let key = Key { column: 0, order: KeyOrder { descending: false, nulls_first: false } };
    let fields = Fields::prepare(&rows, &[key], jobs)?;
    let mut ranks = vec![0; values.len()];
    let (mut rank, mut last) = (0, None);
    for row in order(&fields, rows.len, usize::MAX, jobs)?.into_iter().flatten() {
        if last.is_some_and(|last| fields.compare(0, 0, last, row) != Ordering::Equal) {
            rank += 1;
        }
        last = Some(row);
        let entry = used.get(row as usize).and_then(|&entry| ranks.get_mut(entry as usize));
        *entry.ok_or_else(|| EngineError::Internal("a dictionary code out of range".into()))? =
            rank;
    }
    Ok(ranks)
}
