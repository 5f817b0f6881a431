//! Composite keys as one 64-bit code per row: the codes of the parts as digits of a mixed-radix number.
//!
//! Invariant: codes are exact, equal if and only if the keys match; a row that cannot match has `MISS`. Where the digits
//! would overflow, what came before is numbered anew (there are no more numbers than build rows, so that two such numbers
//! always fit). Next: `table.rs`.

use std::ops::Range;

use stoadb_storage::{LogicalType, Vector};

use crate::{context::QueryContext, error::Result, scheduler::Workers};

use super::{
    domain::{self, Memo, Part, inspect},
    lane::{LaneRange, MISS},
    table::{LookupScratch, NONE, Table},
    table_build::{self, Detail},
};

/// How the key columns of either side become codes.
pub(super) struct KeyCoder {
    digits: Vec<Digit>,
    limit: u64,
}

/// One part of the key.
struct Digit {
    part: Part,
    /// How many codes the part has, after renumbering.
    radix: u64,
    /// Renumbers the code of all digits before this one.
    prefix: Option<Table>,
    /// Renumbers the part's code.
    own: Option<Table>,
}

/// One worker's buffers for making codes.
pub(super) struct KeyScratch {
    memos: Vec<Memo>,
    digit: Vec<u64>,
    entries: Vec<u32>,
    /// Buffers for look-ups in tables.
    pub(super) lookup: LookupScratch,
}

/// A join key, as far as its values matter.
pub(super) struct KeyColumn {
    /// The type of both sides.
    pub(super) ty: LogicalType,
    /// Whether NULL matches NULL.
    pub(super) null_equal: bool,
}

/// The build side's keys.
pub(super) struct BuiltKeys {
    /// Makes the codes of probe rows; `None` without keys.
    pub(super) coder: Option<KeyCoder>,
    /// The codes of the build rows, chunk after chunk.
    pub(super) codes: Vec<Vec<u64>>,
    /// The range of each key column whose values are 64-bit lanes.
    pub(super) ranges: Vec<Option<LaneRange>>,
}

impl KeyCoder {
    /// Learns the build side's keys (`batches` of one vector per key column) and gives the codes of its rows, chunk
    /// after chunk (`chunks` are ranges of batches).
    ///
    /// # Errors
    /// `Unsupported` for keys that cannot be compared; when the query is cancelled.
    pub(super) fn build(
        keys: &[KeyColumn],
        batches: &[&[Vector]],
        chunks: &[Range<usize>],
        context: &QueryContext,
        workers: &Workers,
    ) -> Result<BuiltKeys> {
        let facts = workers.map(keys.len(), |column| {
            let vectors = |chunk: &Range<usize>| {
                batches[chunk.clone()].iter().map(move |batch| &batch[column])
            };
            let range = |lane| {
                let ranges = workers.map(chunks.len(), |chunk| {
                    context.check()?;
                    domain::range(vectors(&chunks[chunk]), lane)
                })?;
                Ok(ranges.into_iter().fold(LaneRange::default(), LaneRange::union))
            };
            let KeyColumn { ty, null_equal } = &keys[column];
            inspect(column, ty, *null_equal, chunks.iter().map(vectors), range)
        })?;
        let ranges = facts.iter().map(|facts| facts.range).collect();
        let mut coder = Self { digits: Vec::new(), limit: 0 };
        let mut codes: Vec<Vec<u64>> = Vec::new();
        for mut facts in facts {
            for part in facts.parts {
                let own = match facts.codes.take() {
                    Some(codes) => codes,
                    None => encode_all(&part, batches, chunks, context, workers)?,
                };
                coder.push(part, own, &mut codes, context, workers)?;
            }
        }
        Ok(BuiltKeys { coder: Some(coder), codes, ranges })
    }

    /// Adds a digit, and its codes to those of the build rows.
    fn push(
        &mut self,
        part: Part,
        mut own: Vec<Vec<u64>>,
        codes: &mut Vec<Vec<u64>>,
        context: &QueryContext,
        workers: &Workers,
    ) -> Result<()> {
        let mut digit = Digit { radix: part.codes(), part, prefix: None, own: None };
        if self.digits.is_empty() {
            self.limit = digit.radix.saturating_sub(1);
            self.digits.push(digit);
            *codes = own;
            return Ok(());
        }
        let fits = |limit: u64, radix: u64| {
            let codes = (u128::from(limit) + 1) * u128::from(radix);
            codes < u128::from(MISS)
        };
        if !fits(self.limit, digit.radix) {
            let table = table_build::build(codes, self.limit, Detail::Codes, context, workers)?;
            self.limit = renumber_all(&table, codes, workers)?;
            digit.prefix = Some(table);
        }
        if !fits(self.limit, digit.radix) {
            let table = table_build::build(&own, digit.radix - 1, Detail::Codes, context, workers)?;
            digit.radix = renumber_all(&table, &mut own, workers)? + 1;
            digit.own = Some(table);
        }
        for (codes, own) in codes.iter_mut().zip(&own) {
            append_digit(codes, own, digit.radix);
        }
        self.limit = ((self.limit + 1) * digit.radix).saturating_sub(1);
        self.digits.push(digit);
        Ok(())
    }

    /// The largest code.
    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    /// The distinct strings of a key column of texts or blobs.
    pub(super) fn strings(&self, column: usize) -> Option<impl Iterator<Item = &[u8]>> {
        self.digits.iter().find(|digit| digit.part.column == column)?.part.strings()
    }

    /// Bytes held.
    pub(super) fn memory(&self) -> u64 {
        let table = |table: &Option<Table>| table.as_ref().map_or(0, Table::bytes);
        let digit = |d: &Digit| d.part.memory() + table(&d.prefix) + table(&d.own);
        self.digits.iter().map(digit).sum()
    }

    /// Buffers for `encode`.
    pub(super) fn scratch(&self) -> KeyScratch {
        KeyScratch {
            memos: self.digits.iter().map(|_| Memo::default()).collect(),
            digit: Vec::new(),
            entries: Vec::new(),
            lookup: LookupScratch::default(),
        }
    }

    /// The code of each row, replacing what `codes` held; `columns` has one vector per key.
    ///
    /// # Errors
    /// `Internal` when a vector is not of its key's type.
    pub(super) fn encode(
        &self,
        columns: &[Vector],
        scratch: &mut KeyScratch,
        codes: &mut Vec<u64>,
    ) -> Result<()> {
        codes.clear();
        let KeyScratch { memos, digit: own, entries, lookup } = scratch;
        for (i, (digit, memo)) in self.digits.iter().zip(memos).enumerate() {
            let vector = &columns[digit.part.column];
            if i == 0 {
                digit.part.encode(vector, memo, codes)?;
                continue;
            }
            own.clear();
            digit.part.encode(vector, memo, own)?;
            if let Some(table) = &digit.prefix {
                renumber(table, codes, lookup, entries);
            }
            if let Some(table) = &digit.own {
                renumber(table, own, lookup, entries);
            }
            append_digit(codes, own, digit.radix);
        }
        Ok(())
    }
}

/// The codes of all build rows, chunk after chunk.
fn encode_all(
    part: &Part,
    batches: &[&[Vector]],
    chunks: &[Range<usize>],
    context: &QueryContext,
    workers: &Workers,
) -> Result<Vec<Vec<u64>>> {
    workers.map(chunks.len(), |chunk| {
        context.check()?;
        let (mut memo, mut out) = (Memo::default(), Vec::new());
        for batch in &batches[chunks[chunk].clone()] {
            part.encode(&batch[part.column], &mut memo, &mut out)?;
        }
        Ok(out)
    })
}

/// Replaces codes by their entries in a table.
fn renumber(table: &Table, codes: &mut [u64], scratch: &mut LookupScratch, entries: &mut Vec<u32>) {
    table.lookup(codes, scratch, entries);
    for (code, &entry) in codes.iter_mut().zip(&*entries) {
        *code = if entry == NONE { MISS } else { entry.into() };
    }
}

/// Renumbers the codes of all chunks and gives the largest number.
fn renumber_all(table: &Table, codes: &mut [Vec<u64>], workers: &Workers) -> Result<u64> {
    let renumbered = workers.map(codes.len(), |chunk| {
        let mut codes = codes[chunk].clone();
        renumber(table, &mut codes, &mut LookupScratch::default(), &mut Vec::new());
        Ok(codes)
    })?;
    codes.iter_mut().zip(renumbered).for_each(|(codes, renumbered)| *codes = renumbered);
    Ok((table.entries as u64).saturating_sub(1))
}

/// Makes `code * radix + digit` of each pair; what lacks either part lacks both.
fn append_digit(codes: &mut [u64], digits: &[u64], radix: u64) {
    for (code, &digit) in codes.iter_mut().zip(digits) {
        let both = code.wrapping_mul(radix).wrapping_add(digit);
        *code = if *code == MISS || digit == MISS { MISS } else { both };
    }
}
