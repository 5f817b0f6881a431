//! Look-ups of the keys of a join's build side in an index over the columns of the other side.
//!
//! Invariant: rows that are left out have no match, and keys with a NULL have none either; whoever reads the rows that
//! are found joins them as any others.
//! Next: `sets.rs`.

use std::cell::OnceCell;

use stoadb_storage::{
    Prune, Vector,
    index::{KeyRanges, intersection},
    table::TableIndex,
};

use super::{AccessPath, Candidate, Cost, Target};
use crate::error::Result;

/// Most rows of a build side whose keys are looked up.
pub(crate) const MOST_KEYS: usize = 1 << 14;

/// Bytes that a row of a join's probe side takes, beside reading it.
const PROBED: u64 = 32;

/// What a join knows of the rows of a scan that have a match.
#[derive(Clone)]
pub struct Keys {
    /// Columns of the scan's relation.
    pub columns: Vec<usize>,
    /// For each column a vector; each row of the vectors is a key, perhaps one of several that are equal.
    pub values: Vec<Vector>,
}

impl<'a> Target<'a> {
    /// Indexes in which keys may be looked up for less than `most` nanoseconds, with the keys' ranges.
    pub(super) fn lookups(
        &self,
        keys: &Keys,
        prune: Option<&Prune>,
        most: u64,
    ) -> Result<Vec<Candidate<'a>>> {
        let mut candidates = Vec::new();
        if !self.path.allows_indexes() {
            return Ok(candidates);
        }
        for known in self.relation.indexes() {
            let Some(values) = key_values(known, keys) else { continue };
            let Some(index) = self.entries(known)? else { continue };
            let searches = values.first().map_or(0, Vector::len) as u64;
            if (Cost { misses: index.nodes() * searches, bytes: 0 }).nanos() > most {
                continue;
            }
            let definition = known.definition().as_ref();
            let mut ranges = known.spec().points(&values)?;
            if let Some(prune) = prune
                && let Some(others) = key_ranges(known, prune)?
            {
                ranges = KeyRanges { exact: false, ..intersection(ranges, others) };
            }
            candidates.push(Candidate { definition, index, ranges, count: OnceCell::new() });
        }
        Ok(candidates)
    }

    /// What a scan costs whose rows a join then looks for a match of.
    pub(super) fn joined_scan_cost(&self, prune: Option<&Prune>) -> Cost {
        let read = self.judge(prune).read;
        self.scan_cost(read, None).plus(Cost { misses: 0, bytes: read * PROBED })
    }

    /// The choice for a scan whose rows a join's keys may be looked up for, for EXPLAIN, where keys are not known yet;
    /// `None` without an index over one of the columns.
    pub(crate) fn explain_lookup(&self, columns: &[usize]) -> Result<Option<String>> {
        if !self.path.allows_indexes() {
            return Ok(None);
        }
        let scan = self.joined_scan_cost(self.plan.prune.as_ref()).nanos();
        let mut best: Option<(u64, String)> = None;
        for known in self.relation.indexes() {
            let definition = known.definition();
            let keys = definition.keys.iter().take_while(|key| columns.contains(&key.column));
            let columns = keys.count();
            let Some(index) = self.entries(known)?.filter(|_| columns > 0) else { continue };
            // Rows of a key, as they are on average.
            let distinct = self.relation.distinct(definition.keys[0].column).unwrap_or(1).max(1);
            let each = if columns == definition.keys.len() && definition.is_unique() {
                1
            } else {
                index.len().div_ceil(distinct).max(1)
            };
            let search = Cost { misses: index.nodes(), bytes: 0 }.nanos();
            let many = 1 << 10;
            let read = self.fetch_cost(each * many).nanos() - Cost::pipeline().nanos();
            let key = (search + read / many).max(1);
            let most = match self.path {
                AccessPath::Index => MOST_KEYS as u64,
                _ => (scan.saturating_sub(Cost::pipeline().nanos()) / key).min(MOST_KEYS as u64),
            };
            let name = definition.name.as_deref().unwrap_or("of the key");
            if most > 0 && best.as_ref().is_none_or(|(known, _)| *known < most) {
                let text = format!(
                    "access: index {name} for up to about {most} keys of the join, else scan"
                );
                best = Some((most, text));
            }
        }
        Ok(best.map(|(_, text)| text))
    }
}

/// The values of the first columns of an index among a join's keys; `None` when its first column is not one of them.
fn key_values(known: &TableIndex, keys: &Keys) -> Option<Vec<Vector>> {
    let place = |column: usize| keys.columns.iter().position(|other| *other == column);
    let columns = known.definition().keys.iter().map_while(|key| place(key.column));
    let values: Vec<Vector> = columns.map(|at| keys.values[at].clone()).collect();
    let types = values.iter().zip(&known.spec().keys);
    let fits = types.into_iter().all(|(v, key)| v.ty().is_ok_and(|ty| ty == key.ty));
    (!values.is_empty() && fits).then_some(values)
}

fn key_ranges(known: &TableIndex, prune: &Prune) -> Result<Option<KeyRanges>> {
    let keys: Vec<usize> = known.definition().keys.iter().map(|key| key.column).collect();
    Ok(known.spec().ranges(&keys, prune)?)
}
