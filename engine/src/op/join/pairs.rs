//! Walking through the candidate pairs of a probe batch, a bounded number at a time.
//!
//! Invariant: pairs come in the order of the probe rows, those of one row in the order of the build rows, and the cursor
//! alone knows where they stopped.

use super::table::{NONE, Rows, Table};

/// From how many build rows of one probe row on its pairs are not mixed with those of others: the probe row's values are
/// constants then.
const LARGE_GROUP: u32 = 512;

/// Where the walk is.
#[derive(Default)]
pub(super) struct PairCursor {
    /// The probe rows to visit (positions among those that count), ascending.
    hits: Vec<u32>,
    /// The next of `hits`.
    index: usize,
    /// How many build rows of its group are done.
    within: u32,
}

/// Candidate pairs.
#[derive(Default)]
pub(super) struct Pairs {
    /// Probe rows: positions among those that count.
    pub(super) left: Vec<u32>,
    /// Build rows; `NONE` for a probe row without candidates.
    pub(super) right: Vec<u32>,
}

impl PairCursor {
    /// A walk over the probe rows that have an entry, or, when `padded`, over all of them.
    pub(super) fn new(entries: &[u32], padded: bool) -> Self {
        let mut hits = vec![0; entries.len()];
        let mut count = 0;
        for (row, &entry) in (0_u32..).zip(entries) {
            hits[count] = row;
            count += usize::from(padded || entry != NONE);
        }
        hits.truncate(count);
        Self { hits, index: 0, within: 0 }
    }

    /// Whether the row that the last pair belongs to has more.
    pub(super) fn is_within(&self) -> bool {
        self.within > 0
    }

    /// Leaves the rest of the row at which the walk stands.
    pub(super) fn skip_row(&mut self) {
        self.index += 1;
        self.within = 0;
    }

    /// The row at which the walk stands.
    pub(super) fn row(&self) -> Option<u32> {
        self.hits.get(self.index).copied()
    }

    /// Replaces `pairs` by the next ones, at most `most`; none at the end.
    pub(super) fn fill(&mut self, table: &Table, entries: &[u32], most: usize, pairs: &mut Pairs) {
        pairs.left.clear();
        pairs.right.clear();
        if table.is_unique() {
            let end = self.hits.len().min(self.index + most);
            let hits = &self.hits[self.index..end];
            self.index = end;
            pairs.left.extend_from_slice(hits);
            unique_rows(&table.groups.rows, entries, hits, &mut pairs.right);
            return;
        }
        while pairs.left.len() < most {
            let Some(row) = self.row() else { break };
            let entry = entries[row as usize];
            if entry == NONE {
                pairs.left.push(row);
                pairs.right.push(NONE);
                self.skip_row();
                continue;
            }
            let (start, count) = table.group(entry);
            let room = u32::try_from(most - pairs.left.len()).unwrap_or(u32::MAX);
            let taken = room.min(count - self.within);
            if count >= LARGE_GROUP && !pairs.left.is_empty() {
                break;
            }
            pairs.left.resize(pairs.left.len() + taken as usize, row);
            table.groups.rows.extend_into(start + self.within, taken, &mut pairs.right);
            self.within += taken;
            if self.within == count {
                self.skip_row();
            }
            if count >= LARGE_GROUP {
                break;
            }
        }
    }
}

/// The rows of entries that have one each.
fn unique_rows(rows: &Rows, entries: &[u32], hits: &[u32], out: &mut Vec<u32>) {
    match rows {
        Rows::Identity => out.extend(hits.iter().map(|&hit| entries[hit as usize])),
        Rows::Listed(rows) => out.extend(hits.iter().map(|&hit| {
            let entry = entries[hit as usize];
            // `NONE` is past the end of every table.
            rows.get(entry as usize).copied().unwrap_or(NONE)
        })),
    }
}
