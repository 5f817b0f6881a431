//! What comes after all probe rows: build rows without a match (right, full, right anti) or with one (right semi).
//!
//! Invariant: rows come in build order, whatever the probe workers did; every row is looked at exactly once.

use std::sync::Arc;

use arrow::array::UInt32Array;
use stoadb_storage::{BLOCK_ROWS, Scalar, Vector};

use crate::{
    batch::Batch,
    context::QueryContext,
    error::{EngineError, Result},
    op::{LocalSource, Source},
    plan::JoinKind,
};

use super::{Built, Shared, table::Marks};

/// The rest of a join.
pub(super) struct Unmatched {
    /// The join.
    pub(super) shared: Arc<Shared>,
}

impl Source for Unmatched {
    fn morsels(&self) -> usize {
        self.shared.built.get().map_or(0, |built| (built.rows as usize).div_ceil(BLOCK_ROWS))
    }

    fn local(&self, context: &Arc<QueryContext>) -> Result<Box<dyn LocalSource>> {
        Ok(Box::new(LocalUnmatched {
            shared: Arc::clone(&self.shared),
            context: Arc::clone(context),
            rows: 0..0,
        }))
    }
}

/// One worker's reader.
struct LocalUnmatched {
    shared: Arc<Shared>,
    context: Arc<QueryContext>,
    rows: std::ops::Range<u32>,
}

impl LocalSource for LocalUnmatched {
    fn begin(&mut self, morsel: usize) -> Result<()> {
        let rows = self.shared.built()?.rows as usize;
        let start = (morsel * BLOCK_ROWS).min(rows);
        let row = |row: usize| {
            u32::try_from(row).map_err(|_| EngineError::Internal("a build row over 2^32".into()))
        };
        self.rows = row(start)?..row((start + BLOCK_ROWS).min(rows))?;
        Ok(())
    }

    fn next(&mut self) -> Result<Option<Batch>> {
        self.context.check()?;
        let shared = Arc::clone(&self.shared);
        let (spec, built) = (&shared.spec, shared.built()?);
        let matched = built.matched(spec.residual.is_some())?;
        let wanted = spec.kind == JoinKind::RightSemi;
        let most = self.context.settings().vector_size.max(1);
        let rows: Vec<u32> =
            self.rows.by_ref().filter(|&row| matched.get(row) == wanted).take(most).collect();
        if rows.is_empty() {
            return Ok(None);
        }
        let count = rows.len();
        let mut columns = Vec::with_capacity(spec.left.len() + spec.right.len());
        if matches!(spec.kind, JoinKind::Right | JoinKind::Full) {
            let null = |ty: &_| Vector::constant(Scalar::null(Clone::clone(ty)), count);
            columns.extend(spec.left.iter().map(null));
        }
        let rows = UInt32Array::new(rows.into(), None);
        for column in built.columns.iter().flatten() {
            columns.push(column.take(&rows)?);
        }
        Ok(Some(Batch::new(columns, count)))
    }
}

impl Built {
    /// The rows that have found a match.
    fn matched(&self, by_row: bool) -> Result<&Marks> {
        let missing = || EngineError::Internal("a join without marks".into());
        let marks = self.marks.as_ref().ok_or_else(missing)?;
        if by_row {
            return Ok(marks);
        }
        Ok(self.matched_rows.get_or_init(|| {
            let rows = Marks::new(self.rows as usize);
            let mut group = Vec::new();
            let table = self.pairing();
            for entry in (0_u32..).take(table.entries).filter(|&entry| marks.get(entry)) {
                let (start, count) = table.group(entry);
                group.clear();
                table.groups.rows.extend_into(start, count, &mut group);
                group.iter().for_each(|&row| rows.set(row));
            }
            rows
        }))
    }
}
