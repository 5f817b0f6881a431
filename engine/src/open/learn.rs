//! What a join tells the scans of its probe side once its build side is known: the keys' range, a filter of the keys, the
//! keys themselves for indexes.
//!
//! Invariant: only of kinds that keep no probe row without a match, so that leaving such rows out changes nothing.
//! Next: `../access/lookup.rs`, `../op/join/filter.rs`.

use std::sync::Arc;

use stoadb_storage::{Prune, PruneOp};

use super::{
    Opener,
    trace::{find_scan, trace_column},
};
use crate::{access::Keys, error::Result, op::join::JoinBuild, plan::JoinPlan};

/// A join's keys are looked for in a scan if they are at most one in so many numbers of the column's range.
const FEW_KEYS: u128 = 8;

impl Opener {
    /// Notes what the scans of the probe side, whose node is `left`, may leave out.
    pub(super) fn learn(
        &mut self,
        join: &JoinPlan,
        left: usize,
        build: &Arc<JoinBuild>,
    ) -> Result<()> {
        for (index, key) in join.keys.iter().enumerate().filter(|(_, key)| !key.null_equal) {
            let Some((scan, column)) = trace_column(&join.left, left, &key.left) else { continue };
            let learnt = self.learnt.entry(scan).or_default();
            if let Some((min, max)) = build.key_range(index) {
                learnt.prunes.extend([
                    Prune::Compare { column, op: PruneOp::GtEq, value: min },
                    Prune::Compare { column, op: PruneOp::LtEq, value: max },
                ]);
            }
        }
        self.learn_lookups(join, left, build);
        self.learn_filter(join, left, build)
    }

    /// Whether an index over a scan of the probe side begins with a key, so that look-ups of few keys may pay.
    pub(super) fn may_look_up(&self, join: &JoinPlan, left: usize) -> Result<bool> {
        if !self.context.settings().access_path.allows_indexes() {
            return Ok(false);
        }
        for key in join.keys.iter().filter(|key| !key.null_equal) {
            let Some((node, column)) = trace_column(&join.left, left, &key.left) else { continue };
            let Some(scan) = find_scan(&join.left, left, node) else { continue };
            let (relation, _) = self.context.relation(scan.relation)?;
            let mut firsts = relation.indexes().iter().map(|index| index.definition().keys.first());
            if firsts.any(|first| first.is_some_and(|first| first.column == column)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Gives the keys to the scans whose columns they are compared with, those of one scan together.
    fn learn_lookups(&mut self, join: &JoinPlan, left: usize, build: &JoinBuild) {
        let mut scans: Vec<(usize, Keys)> = Vec::new();
        for (index, key) in join.keys.iter().enumerate().filter(|(_, key)| !key.null_equal) {
            let place = trace_column(&join.left, left, &key.left);
            let (Some((scan, column)), Some(values)) = (place, build.keys(index)) else { continue };
            let at = scans.iter().position(|(other, _)| *other == scan).unwrap_or_else(|| {
                scans.push((scan, Keys { columns: Vec::new(), values: Vec::new() }));
                scans.len() - 1
            });
            scans[at].1.columns.push(column);
            scans[at].1.values.push(values.clone());
        }
        for (scan, keys) in scans {
            self.learnt.entry(scan).or_default().keys.push(keys);
        }
    }

    /// Lets a scan of the probe side, whose node is `left`, drop rows without a match before it decodes its other columns,
    /// where few rows have one.
    fn learn_filter(&mut self, join: &JoinPlan, left: usize, build: &Arc<JoinBuild>) -> Result<()> {
        let places = join.keys.iter().map(|key| trace_column(&join.left, left, &key.left));
        let Some(places) = places.collect::<Option<Vec<_>>>() else { return Ok(()) };
        let Some(&(node, first)) = places.first() else { return Ok(()) };
        let Some(scan) = find_scan(&join.left, left, node) else { return Ok(()) };
        let (relation, _) = self.context.relation(scan.relation)?;
        let columns: Vec<usize> = places.iter().map(|(_, column)| *column).collect();
        let others = scan.projection.iter().any(|column| !columns.contains(column));
        let values = relation.column_range(first).whole_numbers();
        let few = values.is_some_and(|values| build.entries() as u128 * FEW_KEYS <= values);
        if relation.decodes()
            && others
            && few
            && places.iter().all(|(other, _)| *other == node)
            && let Some(filter) = build.row_filter(&columns)
        {
            self.learnt.entry(node).or_default().filters.push(filter);
        }
        Ok(())
    }
}
