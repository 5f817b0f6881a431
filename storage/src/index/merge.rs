//! Putting parts of an index together.
//!
//! Invariants: an entry is counted as often as parts hold it, less as often as parts say that it is gone; putting parts
//! together keeps these counts, whichever parts and in whatever order. The parts merged stay as they are: readers of
//! older versions are not disturbed.
//! Method: the k-way merge copies whole stretches of one part up to the next entry of another, so that merging few
//! entries into many costs `O(few log many)` comparisons and a copy.
//! Next: `version.rs`.

use std::{cmp::Ordering, ops::Range, sync::Arc};

use super::{
    range::KeyRef,
    raw::Raw,
    run::{RowIds, Run, SortedKeys},
    spec::IndexSpec,
    version::Part,
};
use crate::error::Result;

/// Parts of an index that are to become one. Plain data: it may be carried out on any thread.
#[derive(Debug, Clone)]
pub struct Merge {
    pub(super) spec: Arc<IndexSpec>,
    pub(super) parts: Vec<Part>,
}

/// What became of parts.
#[derive(Debug, Clone)]
pub struct Merged {
    pub(super) from: Vec<Part>,
    pub(super) to: Vec<Part>,
}

impl Merge {
    /// How many entries are merged: what it costs is proportional.
    pub fn entries(&self) -> u64 {
        self.parts.iter().map(|part| part.run.len() as u64).sum()
    }

    /// Merges. Memory: what the result takes and about as much again, one column at a time.
    ///
    /// # Errors
    /// `Internal` never.
    pub fn run(&self) -> Result<Merged> {
        let spans = spans(&self.parts);
        let mut to = vec![];
        for (gone, spans) in [(false, &spans[0]), (true, &spans[1])] {
            if !spans.is_empty() {
                let run = Arc::new(build(&self.spec, &self.parts, spans)?);
                to.push(Part { run, gone });
            }
        }
        Ok(Merged { from: self.parts.clone(), to })
    }
}

/// Entries of one part that follow each other in the result.
#[derive(Debug, Clone, Copy)]
struct Span {
    part: u32,
    start: u32,
    end: u32,
}

fn push(spans: &mut Vec<Span>, part: usize, range: Range<usize>) {
    let (part, start, end) = (part as u32, range.start as u32, range.end as u32);
    match spans.last_mut() {
        Some(last) if last.part == part && last.end == start => last.end = end,
        _ => spans.push(Span { part, start, end }),
    }
}

/// The entries that there are in the end, and those that are gone of parts that are not merged.
fn spans(parts: &[Part]) -> [Vec<Span>; 2] {
    let mut spans = [vec![], vec![]];
    let mut heads = vec![0; parts.len()];
    loop {
        let entry = |part: usize, at: usize| (parts[part].run.key(at), parts[part].run.row(at));
        let mut first: Option<(usize, (KeyRef<'_>, u64))> = None;
        let mut second = None;
        for (part, &head) in heads.iter().enumerate().filter(|(i, h)| **h < parts[*i].run.len()) {
            let entry = entry(part, head);
            if first.is_none_or(|(_, least)| entry < least) {
                second = first.map(|(_, least)| least);
                first = Some((part, entry));
            } else if second.is_none_or(|least| entry < least) {
                second = Some(entry);
            }
        }
        let Some((part, least)) = first else { return spans };
        let (head, run) = (heads[part], &parts[part].run);
        let Some(second) = second else {
            push(&mut spans[usize::from(parts[part].gone)], part, head..run.len());
            heads[part] = run.len();
            continue;
        };
        if second != least {
            let alone = head + 1 >= run.len() || entry(part, head + 1) >= second;
            let end = if alone { head + 1 } else { run.rank(second.0, second.1) };
            push(&mut spans[usize::from(parts[part].gone)], part, head..end);
            heads[part] = end;
            continue;
        }
        let same: Vec<usize> =
            (0..parts.len()).filter(|&i| parts[i].run.is_at(heads[i], least.0, least.1)).collect();
        let count: i64 = same.iter().map(|&i| parts[i].sign()).sum();
        let gone = match count.cmp(&0) {
            Ordering::Equal => None,
            order => Some(order == Ordering::Less),
        };
        if let Some(gone) = gone
            && let Some(&i) = same.iter().find(|&&i| parts[i].gone == gone)
        {
            push(&mut spans[usize::from(gone)], i, heads[i]..heads[i] + 1);
        }
        same.iter().for_each(|&i| heads[i] += 1);
    }
}

fn build(spec: &IndexSpec, parts: &[Part], spans: &[Span]) -> Result<Run> {
    let entries = spans.iter().map(|span| (span.end - span.start) as usize).sum();
    let mut keys = SortedKeys::new(spec.form()?, entries);
    let mut rows = RowIds::Narrow(Vec::with_capacity(entries));
    let mut columns: Vec<Raw> =
        spec.includes.iter().map(|column| Raw::new(&column.ty, entries)).collect();
    for span in spans {
        let (run, range) = (&parts[span.part as usize].run, span.start as usize..span.end as usize);
        run.append_keys(&range, &mut keys);
        range.clone().for_each(|at| rows.push(run.row(at)));
        for (raw, column) in columns.iter_mut().zip(&run.columns) {
            column.append_to(raw, range.clone());
        }
    }
    Run::new(spec, keys, rows, columns)
}
