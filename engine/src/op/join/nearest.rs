//! ASOF joins: of the build rows with equal keys, the nearest on one side of the probe row's moment.
//!
//! The rows of each entry are sorted by their moments once; a probe row finds its own by binary search. Invariants: a
//! probe row has at most one build row, of those with equal moments the last; a NULL moment matches nothing; what is
//! found depends on values and row numbers alone. O((n + m) log m) for n probe and m build rows.
//! Next: `probe.rs`, for which every build row is an entry of its own here.

use std::ops::Range;

use arrow::buffer::NullBuffer;
use stoadb_storage::Vector;

use crate::{
    context::QueryContext,
    error::{EngineError, Result},
    expr::CompareOp,
    kernel::sort_key::{Bytes, Codes, KeyCodes, codes},
    scheduler::Workers,
};

use super::{
    spec::NearestSpec,
    table::{Groups, Lookup, NONE, Rows, Table},
};

/// Rows of one unit of parallel work, about.
const CHUNK_ROWS: usize = 1 << 16;
/// Bytes a row that sorting takes at most, and that the sorted rows keep.
pub(super) const NEAREST_BYTES_PER_ROW: u64 = 64;

/// The build rows of every entry by their moments.
pub(super) struct Nearest {
    /// Where each entry's rows begin, and the end.
    starts: Vec<u32>,
    rows: Vec<u32>,
    moments: Moments,
    side: Side,
    /// Every build row as an entry.
    identity: Table,
}

/// Which build rows count, seen from the probe row's moment.
#[derive(Debug, Clone, Copy)]
struct Side {
    /// Those before it; else those after it.
    before: bool,
    /// And those at it.
    equal: bool,
}

/// The moments of the sorted rows.
enum Moments {
    Narrow(Vec<u64>),
    Wide(Vec<u128>),
    /// By build row.
    Bytes(Bytes),
}

impl Nearest {
    /// Sorts the rows of every entry of `table` by their moments. `rows` is the number of build rows.
    ///
    /// # Errors
    /// `Unsupported` for a type without an order; when the query is cancelled.
    pub(super) fn build(
        spec: &NearestSpec,
        moments: &Vector,
        table: &Table,
        rows: u32,
        context: &QueryContext,
        workers: &Workers,
    ) -> Result<Self> {
        let side = match spec.op {
            CompareOp::GtEq => Side { before: true, equal: true },
            CompareOp::Gt => Side { before: true, equal: false },
            CompareOp::LtEq => Side { before: false, equal: true },
            CompareOp::Lt => Side { before: false, equal: false },
            _ => return Err(EngineError::Internal("an ASOF join on no inequality".into())),
        };
        let KeyCodes { codes, nulls } = codes(moments)?;
        let sorter = Sorter { table, nulls: nulls.as_ref(), side, context, workers };
        let (starts, rows_sorted, moments) = match codes {
            Codes::Narrow(codes) => {
                let (starts, rows) = sorter.sort(|row| codes[row as usize])?;
                let codes = rows.iter().map(|&row| codes[row as usize]).collect();
                (starts, rows, Moments::Narrow(codes))
            }
            Codes::Wide(codes) => {
                let (starts, rows) = sorter.sort(|row| codes[row as usize])?;
                let codes = rows.iter().map(|&row| codes[row as usize]).collect();
                (starts, rows, Moments::Wide(codes))
            }
            Codes::Bytes(bytes) => {
                let (starts, rows) = sorter.sort(|row| bytes.get(row as usize))?;
                (starts, rows, Moments::Bytes(bytes))
            }
        };
        let groups = Groups { starts: None, rows: Rows::Identity };
        let identity = Table { lookup: Lookup::All, entries: rows as usize, groups };
        Ok(Self { starts, rows: rows_sorted, moments, side, identity })
    }

    /// The table in which every build row is an entry.
    pub(super) fn identity(&self) -> &Table {
        &self.identity
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> u64 {
        let moments = match &self.moments {
            Moments::Narrow(codes) => size_of_val(codes.as_slice()),
            Moments::Wide(codes) => size_of_val(codes.as_slice()),
            Moments::Bytes(bytes) => bytes.len() * 16,
        };
        ((self.starts.len() + self.rows.len()) * 4 + moments) as u64
    }

    /// Replaces each probe row's entry by the build row that is nearest to its moment, `NONE` where there is none.
    ///
    /// # Errors
    /// `Internal` when the moments are of another type than those of the build rows.
    pub(super) fn find(&self, moments: &Vector, entries: &mut [u32]) -> Result<()> {
        let KeyCodes { codes, nulls } = codes(moments)?;
        let nulls = nulls.as_ref();
        match (&self.moments, &codes) {
            (Moments::Narrow(build), Codes::Narrow(probe)) => {
                self.search(entries, nulls, |at| build[at], |row| probe[row]);
            }
            (Moments::Wide(build), Codes::Wide(probe)) => {
                self.search(entries, nulls, |at| build[at], |row| probe[row]);
            }
            (Moments::Bytes(build), Codes::Bytes(probe)) => {
                let build = |at: usize| build.get(self.rows[at] as usize);
                self.search(entries, nulls, build, |row| probe.get(row));
            }
            _ => return Err(EngineError::Internal("moments of two types".into())),
        }
        Ok(())
    }

    fn search<C: Ord>(
        &self,
        entries: &mut [u32],
        nulls: Option<&NullBuffer>,
        build: impl Fn(usize) -> C,
        probe: impl Fn(usize) -> C,
    ) {
        let Side { before, equal } = self.side;
        for (row, entry) in entries.iter_mut().enumerate() {
            if *entry == NONE {
                continue;
            }
            if nulls.is_some_and(|nulls| nulls.is_null(row)) {
                *entry = NONE;
                continue;
            }
            let bounds = &self.starts[*entry as usize..*entry as usize + 2];
            let range = bounds[0] as usize..bounds[1] as usize;
            let moment = probe(row);
            // Rows at the moment lie below the cut when what is before it counts them, or what is after does not.
            let cut = match before == equal {
                true => partition_point(range.clone(), |at| build(at) <= moment),
                false => partition_point(range.clone(), |at| build(at) < moment),
            };
            let found = match before {
                true => cut.checked_sub(1).filter(|&at| at >= range.start),
                false => Some(cut).filter(|&at| at < range.end),
            };
            *entry = found.map_or(NONE, |at| self.rows[at]);
        }
    }
}

/// The first position for which `below` does not hold.
fn partition_point(range: Range<usize>, below: impl Fn(usize) -> bool) -> usize {
    let Range { mut start, mut end } = range;
    while start < end {
        let middle = start + (end - start) / 2;
        if below(middle) {
            start = middle + 1;
        } else {
            end = middle;
        }
    }
    start
}

struct Sorter<'a> {
    table: &'a Table,
    nulls: Option<&'a NullBuffer>,
    side: Side,
    context: &'a QueryContext,
    workers: &'a Workers,
}

/// Some entries: where the rows of each end, and the rows.
type Sorted = (Vec<u32>, Vec<u32>);

impl Sorter<'_> {
    /// The starts of all entries and their rows by moment; of equal ones, the last row is met first by a search.
    fn sort<C: Ord + Send>(&self, code: impl Fn(u32) -> C + Sync) -> Result<Sorted> {
        let chunks = self.chunks();
        let parts = self.workers.map(chunks.len(), |chunk| {
            self.context.check()?;
            let entries = chunks[chunk].clone();
            match entries.len() {
                1 if self.rows_of(entries.start) > 2 * CHUNK_ROWS => Ok(None),
                _ => Ok(Some(self.sort_small(entries, &code))),
            }
        })?;
        let (mut starts, mut rows) = (vec![0], Vec::new());
        for (chunk, part) in chunks.into_iter().zip(parts) {
            let (ends, part) = match part {
                Some(part) => part,
                None => self.sort_large(chunk.start, &code)?,
            };
            let first = rows.len() as u32;
            starts.extend(ends.iter().map(|end| end + first));
            rows.extend_from_slice(&part);
        }
        Ok((starts, rows))
    }

    fn rows_of(&self, entry: usize) -> usize {
        self.table.group(entry as u32).1 as usize
    }

    /// Ranges of entries with about `CHUNK_ROWS` rows; a larger entry is alone.
    fn chunks(&self) -> Vec<Range<usize>> {
        let mut chunks = Vec::new();
        let (mut start, mut rows) = (0, 0);
        for entry in 0..self.table.entries {
            let more = self.rows_of(entry);
            if rows > 0 && rows + more > CHUNK_ROWS {
                chunks.push(start..entry);
                (start, rows) = (entry, 0);
            }
            rows += more;
        }
        if start < self.table.entries {
            chunks.push(start..self.table.entries);
        }
        chunks
    }

    /// Rows with a moment, of positions within an entry's group.
    fn keyed<C>(&self, start: u32, count: u32, code: impl Fn(u32) -> C) -> Vec<(C, u32)> {
        let mut rows = Vec::with_capacity(count as usize);
        self.table.groups.rows.extend_into(start, count, &mut rows);
        rows.retain(|&row| self.nulls.is_none_or(|nulls| nulls.is_valid(row as usize)));
        rows.into_iter().map(|row| (code(row), self.tie(row))).collect()
    }

    /// Orders rows of equal moments; it is its own inverse.
    fn tie(&self, row: u32) -> u32 {
        if self.side.before { row } else { !row }
    }

    fn sort_small<C: Ord>(&self, entries: Range<usize>, code: impl Fn(u32) -> C) -> Sorted {
        let (mut ends, mut rows) = (Vec::with_capacity(entries.len()), Vec::new());
        for entry in entries {
            let (start, count) = self.table.group(entry as u32);
            let mut keyed = self.keyed(start, count, &code);
            keyed.sort_unstable();
            rows.extend(keyed.into_iter().map(|(_, row)| self.tie(row)));
            ends.push(rows.len() as u32);
        }
        (ends, rows)
    }

    /// Sorts pieces in parallel, then merges the sorted runs.
    fn sort_large<C: Ord + Send>(
        &self,
        entry: usize,
        code: impl Fn(u32) -> C + Sync,
    ) -> Result<Sorted> {
        let (start, count) = self.table.group(entry as u32);
        let pieces = (count as usize).div_ceil(CHUNK_ROWS);
        let runs = self.workers.map(pieces, |piece| {
            self.context.check()?;
            let first = (piece * CHUNK_ROWS) as u32;
            let mut keyed =
                self.keyed(start + first, (count - first).min(CHUNK_ROWS as u32), &code);
            keyed.sort_unstable();
            Ok(keyed)
        })?;
        let mut keyed: Vec<(C, u32)> = runs.into_iter().flatten().collect();
        self.context.check()?;
        // Stable sorting finds the runs and only merges them.
        keyed.sort();
        let rows: Vec<u32> = keyed.into_iter().map(|(_, row)| self.tie(row)).collect();
        Ok((vec![rows.len() as u32], rows))
    }
}
