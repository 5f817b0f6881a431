//! Rows that are read by their positions, and what statistics leave of a predicate.
//!
//! Invariant: a run of picked rows begins and ends with one and lies within an aligned vector, so that no vector is
//! touched that has none of them.
//! Next: `scan.rs`, which reads runs.

use std::{ops::Range, sync::Arc};

use hashbrown::HashSet;

use crate::{
    BLOCK_ROWS, VECTOR_SIZE,
    ledger::{BlockUse, ScanLedger},
    prune::{ColumnRange, Prune},
    scan::Judged,
    table::{column::Column, scan::Run, tail::Part},
    vector::Selection,
};

/// The runs of some rows, which ascend; counts the blocks that they lie in.
pub(crate) fn picked_runs<'a>(
    parts: impl Iterator<Item = &'a Part>,
    rows: &[u64],
    ledger: &ScanLedger,
) -> Vec<Run> {
    let mut runs = vec![];
    let (mut start, mut at, mut all) = (0_u64, 0, 0);
    let mut blocks = HashSet::new();
    for (part, known) in parts.enumerate() {
        let len = known.segment.rows();
        all += len.div_ceil(BLOCK_ROWS);
        let end = start + len as u64;
        while let Some(&first) = rows.get(at).filter(|&&first| first < end) {
            #[expect(clippy::cast_possible_truncation, reason = "rows of one part")]
            let offset = (first - start) as usize;
            let next = ((offset / VECTOR_SIZE + 1) * VECTOR_SIZE).min(len);
            let count = rows[at..].partition_point(|&row| row < start + next as u64);
            #[expect(clippy::cast_possible_truncation, reason = "rows of one vector")]
            let span = (rows[at + count - 1] - first) as usize + 1;
            runs.push(Run { part, offset, rows: span, picked: at..at + count });
            blocks.insert((part, offset / BLOCK_ROWS));
            at += count;
        }
        start = end;
    }
    ledger.count_blocks(BlockUse::Read, blocks.len());
    ledger.count_blocks(BlockUse::Skipped, all - blocks.len());
    runs
}

/// Those of the picked rows that lie in a range of a run's part, counted from its start; `None` when they are all of it.
pub(crate) fn picked_in(run: &Run, picked: &Arc<[u64]>, rows: &Range<usize>) -> Option<Selection> {
    let picked = &picked[run.picked.clone()];
    let first = picked.first().copied().unwrap_or_default();
    let place = |row: usize| first + (row - run.offset) as u64;
    let from = picked.partition_point(|&row| row < place(rows.start));
    let to = picked.partition_point(|&row| row < place(rows.end));
    if to - from == rows.len() {
        return None;
    }
    let start = place(rows.start);
    #[expect(clippy::cast_possible_truncation, reason = "rows of one vector")]
    let chosen = picked[from..to].iter().map(|&row| (row - start) as u32).collect();
    Some(Selection::new(chosen))
}

/// The rows of two ascending selections.
pub(crate) fn both(a: &Selection, b: &Selection) -> Selection {
    let mut rest = b.rows().iter().peekable();
    let is_in = |row: &&u32| {
        while rest.next_if(|other| other < row).is_some() {}
        rest.peek() == Some(row)
    };
    Selection::new(a.rows().iter().filter(is_in).copied().collect())
}

/// How many rows of a table's parts a scan would read.
pub(crate) fn judged<'a>(parts: impl Iterator<Item = &'a Part>, prune: Option<&Prune>) -> Judged {
    let mut judged = Judged { read: 0, whole: 0 };
    for part in parts {
        let (rows, deletes) = (part.segment.rows(), part.deletes.is_some());
        let columns = part.segment.columns();
        let known = |i: usize, block: Option<usize>| {
            let known = columns.get(i).map(Column::statistics);
            let known = known.and_then(|known| match block {
                None => Some(&known.whole),
                Some(block) => known.blocks.get(block),
            });
            known.map_or_else(ColumnRange::default, |known| known.range(deletes))
        };
        let of = |block: Option<usize>| {
            let Some(prune) = prune else { return (true, true) };
            let may = prune.may_match(&|i| known(i, block));
            (may, may && prune.all_match(&|i| known(i, block)))
        };
        let mut add = |rows: usize, (may, all): (bool, bool)| {
            judged.read += if may { rows as u64 } else { 0 };
            judged.whole += if all && !deletes { rows as u64 } else { 0 };
        };
        match of(None) {
            whole @ (false, _) | whole @ (_, true) => add(rows, whole),
            whole if rows <= BLOCK_ROWS => add(rows, whole),
            _ => (0..rows.div_ceil(BLOCK_ROWS)).for_each(|block| {
                add(BLOCK_ROWS.min(rows - block * BLOCK_ROWS), of(Some(block)));
            }),
        }
    }
    judged
}
