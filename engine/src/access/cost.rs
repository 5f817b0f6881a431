//! What a way to an answer costs, about: cache misses that wait for each other, and bytes that are read.
//!
//! Invariants: an estimate never decides what an answer is. Everything is estimated for data in memory.
//! Next: `mod.rs`.

use stoadb_storage::{BLOCK_ROWS, Judged, Level, Prune, ScanLedger, VECTOR_SIZE};

use super::Target;
use crate::{error::Result, plan::ScanPlan};

/// Nanoseconds of a miss that nothing else hides.
const MISS: u64 = 80;
/// Bytes read in a nanosecond by one core.
const BYTES: u64 = 8;
/// Bytes of a cache line: what is touched at least.
pub(crate) const LINE: u64 = 64;
/// What opening a scan and running a pipeline costs, in misses.
const PIPELINE: u64 = 128;
/// What handling a vector of a column costs beside its values, in bytes.
const VECTOR: u64 = 2048;
/// What asking the statistics of a block of a column costs, in bytes.
const BLOCK: u64 = 256;

/// An estimate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Cost {
    /// Misses that wait for each other.
    pub(crate) misses: u64,
    /// Bytes read.
    pub(crate) bytes: u64,
}

impl Cost {
    /// Nanoseconds of one core, about.
    pub(crate) fn nanos(self) -> u64 {
        self.misses.saturating_mul(MISS).saturating_add(self.bytes / BYTES)
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            misses: self.misses.saturating_add(other.misses),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }

    /// What running a pipeline costs at least.
    pub(crate) fn pipeline() -> Self {
        Self { misses: PIPELINE, bytes: 0 }
    }
}

/// The ways that there are, the chosen one first.
#[derive(Debug, Default)]
pub(crate) struct Choice {
    /// Each with its name.
    pub(crate) ways: Vec<(String, Cost)>,
    /// Whether a setting chose.
    pub(crate) forced: bool,
}

impl Choice {
    /// Whether an index was chosen.
    pub(crate) fn is_by_index(&self) -> bool {
        self.ways.first().is_some_and(|(name, _)| name.trim_start_matches('(').starts_with("index"))
    }

    /// For EXPLAIN.
    pub(crate) fn describe(&self) -> String {
        let way = |(name, cost): &(String, Cost)| {
            let nanos = cost.nanos();
            match nanos {
                0..1_000_000 => format!("{name} ({:.1} us)", nanos as f64 / 1e3),
                _ => format!("{name} ({:.1} ms)", nanos as f64 / 1e6),
            }
        };
        let mut text = format!("access: {}", self.ways.first().map_or_else(String::new, way));
        if self.forced {
            text.push_str(" by access_path");
        }
        let others: Vec<String> = self.ways.iter().skip(1).map(way).collect();
        if !others.is_empty() {
            text.push_str(&format!("; not {}", others.join(", ")));
        }
        text
    }
}

/// Charges an account with bytes of an index, if the relation has the column.
pub(crate) fn charge(ledger: &ScanLedger, column: usize, bytes: u64) {
    if column < ledger.columns() {
        ledger.charge(column, Level::Index, bytes);
    }
}

/// The columns that a scan reads of every row, and those that it reads of the rows that its filter keeps.
pub(super) fn columns(plan: &ScanPlan) -> (Vec<usize>, Vec<usize>) {
    let mut filter = Vec::new();
    if let Some(expr) = &plan.filter {
        expr.for_each_column(&mut |column| filter.push(column));
    }
    filter.sort_unstable();
    filter.dedup();
    let rest = plan.projection.iter().copied().filter(|column| !filter.contains(column));
    (filter.clone(), rest.collect())
}

impl Target<'_> {
    /// Bytes of a row of columns, at least one each.
    fn width(&self, columns: &[usize]) -> u64 {
        let rows = self.relation.rows().max(1);
        let known = columns.iter().filter(|&&column| column < self.ledger.columns());
        known.map(|&column| (self.ledger.stored(column) / rows).max(1)).sum()
    }

    /// What a scan costs that reads the rows of the blocks that may match; `kept` of them pass the filter, if known.
    pub(crate) fn scan_cost(&self, rows: u64, kept: Option<u64>) -> Cost {
        let (filter, rest) = columns(self.plan);
        let vectors = rows.div_ceil(VECTOR_SIZE as u64);
        let touched = kept.unwrap_or(rows).min(vectors);
        let rest_rows = kept.map_or(rows, |kept| rows.min(kept.saturating_mul(LINE)));
        let bytes = rows * self.width(&filter)
            + rest_rows * self.width(&rest)
            + (vectors * filter.len() as u64 + touched * rest.len() as u64) * VECTOR
            + self.relation.rows() / BLOCK_ROWS as u64 * BLOCK;
        Cost::pipeline().plus(Cost { misses: 0, bytes })
    }

    /// What reading some rows by their positions costs, without finding them.
    pub(crate) fn fetch_cost(&self, rows: u64) -> Cost {
        let (filter, rest) = columns(self.plan);
        let columns = (filter.len() + rest.len()) as u64;
        let vectors = rows.min(self.relation.rows().div_ceil(VECTOR_SIZE as u64));
        // A line for every row and column, 8 bytes for its position, in two passes.
        let bytes = rows * (columns * LINE + 16) + vectors * columns * VECTOR;
        Cost::pipeline().plus(Cost { misses: 0, bytes })
    }

    /// What statistics and the rows that they leave cost.
    pub(crate) fn statistics_cost(&self, judged: Judged) -> Cost {
        self.scan_cost(judged.read - judged.whole, None)
    }

    /// What of a predicate statistics leave.
    pub(crate) fn judge(&self, prune: Option<&Prune>) -> Judged {
        self.relation.judged(prune)
    }
}

/// The cheapest of some candidates, by a cost that not all have.
pub(crate) fn cheapest<T>(
    all: impl IntoIterator<Item = T>,
    mut cost: impl FnMut(&T) -> Result<Option<Cost>>,
) -> Result<Option<(T, Cost)>> {
    let mut best: Option<(T, Cost)> = None;
    for one in all {
        if let Some(cost) = cost(&one)?
            && best.as_ref().is_none_or(|(_, known)| cost.nanos() < known.nanos())
        {
            best = Some((one, cost));
        }
    }
    Ok(best)
}
