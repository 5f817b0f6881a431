//! The probe: left batches against the complete build side.
//!
//! Invariants: a step gives at most one vector of at most `vector_size` rows, and between two looks at the query's
//! cancellation it handles at most one vector of candidate pairs. A row is matched only when the residual is TRUE for one
//! of its pairs. Semi and anti joins only refine the batch's selection.
//! Next: `pairs.rs`, `residual.rs`, `unmatched.rs`.

use std::sync::Arc;

use arrow::array::BooleanArray;
use stoadb_storage::{Selection, Vector};

use crate::{
    batch::Batch,
    context::QueryContext,
    error::{EngineError, Result},
    op::{LocalTransform, Step, Transform},
    plan::JoinKind,
};

use super::{
    Built, Shared,
    gather::{LeftRows, join_rows},
    key::KeyScratch,
    pairs::{PairCursor, Pairs},
    residual::LocalResidual,
    spec::LocalKeys,
    table::NONE,
};

/// The probe of a join.
pub(super) struct Probe {
    /// The join.
    pub(super) shared: Arc<Shared>,
}

impl Transform for Probe {
    fn local(&self, context: &Arc<QueryContext>) -> Result<Box<dyn LocalTransform>> {
        let spec = &self.shared.spec;
        let built = self.shared.built()?;
        Ok(Box::new(LocalProbe {
            keys: spec.left_keys.local(),
            moments: spec.nearest.as_ref().map(|nearest| nearest.left.local()),
            scratch: built.coder.as_ref().map(super::key::KeyCoder::scratch),
            residual: spec.residual.as_ref().map(super::residual::Residual::local),
            shared: Arc::clone(&self.shared),
            context: Arc::clone(context),
            most: context.settings().vector_size.max(1),
            codes: Vec::new(),
            entries: Vec::new(),
            pairs: Pairs::default(),
            pending: None,
        }))
    }
}

/// One worker's probe.
struct LocalProbe {
    shared: Arc<Shared>,
    context: Arc<QueryContext>,
    keys: LocalKeys,
    /// In an ASOF join.
    moments: Option<LocalKeys>,
    scratch: Option<KeyScratch>,
    residual: Option<LocalResidual>,
    /// Most rows of an output vector.
    most: usize,
    codes: Vec<u64>,
    /// Per row of the batch at hand that counts, its entry, in an ASOF join its build row.
    entries: Vec<u32>,
    pairs: Pairs,
    pending: Option<Pending>,
}

/// A batch whose pairs are not all out.
struct Pending {
    batch: Batch,
    cursor: PairCursor,
    /// Whether the row at which the cursor stands has found a match among the pairs before.
    matched: bool,
}

impl LocalTransform for LocalProbe {
    fn step(&mut self, input: Option<Batch>) -> Result<Step> {
        self.context.check()?;
        match input {
            Some(batch) => self.begin(batch),
            None => self.resume(),
        }
    }

    fn end_morsel(&mut self) {
        self.pending = None;
    }
}

impl LocalProbe {
    fn begin(&mut self, batch: Batch) -> Result<Step> {
        let shared = Arc::clone(&self.shared);
        let (kind, built) = (shared.spec.kind, shared.built()?);
        if built.rows == 0 {
            match kind {
                JoinKind::Inner
                | JoinKind::Right
                | JoinKind::LeftSemi
                | JoinKind::RightSemi
                | JoinKind::RightAnti => return Ok(Step::Done),
                JoinKind::LeftAnti | JoinKind::LeftAntiNullAware => {
                    return Ok(Step::HaveMore(batch));
                }
                JoinKind::Left | JoinKind::Full | JoinKind::LeftMark => {}
            }
        }
        let left_keys = self.find_entries(&batch, built)?;
        match kind {
            JoinKind::Inner | JoinKind::Left | JoinKind::Right | JoinKind::Full => {
                let padded = matches!(kind, JoinKind::Left | JoinKind::Full);
                if self.residual.is_none() {
                    self.mark_entries(built);
                }
                let cursor = PairCursor::new(&self.entries, padded);
                self.pending = Some(Pending { batch, cursor, matched: false });
                self.resume()
            }
            JoinKind::RightSemi | JoinKind::RightAnti => {
                match self.residual {
                    None => self.mark_entries(built),
                    Some(_) => self.mark_rows(&batch, built)?,
                }
                Ok(Step::NeedInput)
            }
            JoinKind::LeftSemi => {
                let matched = self.matched(&batch, built)?;
                Ok(keep(batch, |row| matched[row]))
            }
            JoinKind::LeftAnti => {
                let matched = self.matched(&batch, built)?;
                Ok(keep(batch, |row| !matched[row]))
            }
            JoinKind::LeftAntiNullAware if built.null_key => Ok(Step::Done),
            JoinKind::LeftAntiNullAware => {
                let nulls = left_keys.first().and_then(Vector::nulls);
                let is_null = |row| nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
                Ok(keep(batch, |row| self.entries[row] == NONE && !is_null(row)))
            }
            JoinKind::LeftMark => {
                let matched = self.matched(&batch, built)?;
                let mut batch = batch.compact()?;
                batch.columns.push(Vector::Flat(Arc::new(BooleanArray::from(matched))));
                Ok(Step::HaveMore(batch))
            }
        }
    }

    /// Looks all rows of a batch up and gives their keys.
    fn find_entries(&mut self, batch: &Batch, built: &Built) -> Result<Vec<Vector>> {
        let keys = self.find_groups(batch, built)?;
        if built.rows > 0
            && let (Some(nearest), Some(moments)) = (&built.nearest, &mut self.moments)
            && let Some(moments) = moments.evaluate(batch)?.pop()
        {
            nearest.find(&moments, &mut self.entries)?;
        }
        Ok(keys)
    }

    fn find_groups(&mut self, batch: &Batch, built: &Built) -> Result<Vec<Vector>> {
        self.entries.clear();
        match (&built.coder, &mut self.scratch) {
            (Some(coder), Some(scratch)) if built.rows > 0 => {
                let keys = self.keys.evaluate(batch)?;
                coder.encode(&keys, scratch, &mut self.codes)?;
                built.table.lookup(&self.codes, &mut scratch.lookup, &mut self.entries);
                Ok(keys)
            }
            _ => {
                let entry = if built.rows > 0 { 0 } else { NONE };
                self.entries.resize(batch.len(), entry);
                Ok(Vec::new())
            }
        }
    }

    fn mark_entries(&self, built: &Built) {
        if let Some(marks) = &built.marks {
            self.entries.iter().filter(|&&entry| entry != NONE).for_each(|&e| marks.set(e));
        }
    }

    /// Per row of the batch whether it has a match.
    fn matched(&mut self, batch: &Batch, built: &Built) -> Result<Vec<bool>> {
        let Some(residual) = &mut self.residual else {
            return Ok(self.entries.iter().map(|&entry| entry != NONE).collect());
        };
        let mut matched = vec![false; self.entries.len()];
        let mut cursor = PairCursor::new(&self.entries, false);
        loop {
            self.context.check()?;
            if cursor.is_within() && cursor.row().is_some_and(|row| matched[row as usize]) {
                cursor.skip_row();
            }
            cursor.fill(built.pairing(), &self.entries, self.most, &mut self.pairs);
            if self.pairs.left.is_empty() {
                return Ok(matched);
            }
            let left = LeftRows::new(batch, &self.pairs.left);
            let mut mark = |pair: usize| matched[self.pairs.left[pair] as usize] = true;
            match residual.select(batch, built, &left, &self.pairs.right)? {
                None => (0..self.pairs.left.len()).for_each(mark),
                Some(kept) => kept.rows().iter().for_each(|&pair| mark(pair as usize)),
            }
        }
    }

    /// Marks the build rows that pass the residual with a row of the batch.
    fn mark_rows(&mut self, batch: &Batch, built: &Built) -> Result<()> {
        let (Some(residual), Some(marks)) = (&mut self.residual, &built.marks) else {
            return Err(EngineError::Internal("a join without marks".into()));
        };
        let mut cursor = PairCursor::new(&self.entries, false);
        loop {
            self.context.check()?;
            cursor.fill(built.pairing(), &self.entries, self.most, &mut self.pairs);
            let Pairs { left, right } = &self.pairs;
            if left.is_empty() {
                return Ok(());
            }
            match residual.select(batch, built, &LeftRows::new(batch, left), right)? {
                None => right.iter().for_each(|&row| marks.set(row)),
                Some(kept) => kept.rows().iter().for_each(|&pair| marks.set(right[pair as usize])),
            }
        }
    }

    /// The next output vector of the batch at hand.
    fn resume(&mut self) -> Result<Step> {
        let shared = Arc::clone(&self.shared);
        let built = shared.built()?;
        let Some(mut pending) = self.pending.take() else { return Ok(Step::NeedInput) };
        loop {
            pending.cursor.fill(built.pairing(), &self.entries, self.most, &mut self.pairs);
            if self.pairs.left.is_empty() {
                return Ok(Step::NeedInput);
            }
            if self.residual.is_some() {
                self.filter_pairs(&mut pending, built)?;
            }
            if !self.pairs.left.is_empty() {
                let output = join_rows(&pending.batch, built, &self.pairs)?;
                self.pending = Some(pending);
                return Ok(Step::HaveMore(output));
            }
            self.context.check()?;
        }
    }

    /// Drops the pairs that do not pass the residual; in left and full joins a row that ends without a match stays, with
    /// no build row.
    fn filter_pairs(&mut self, pending: &mut Pending, built: &Built) -> Result<()> {
        let Some(residual) = &mut self.residual else { return Ok(()) };
        let padded = matches!(self.shared.spec.kind, JoinKind::Left | JoinKind::Full);
        let Pairs { left, right } = &self.pairs;
        let mut passes = vec![false; left.len()];
        let real: Vec<usize> = (0..left.len()).filter(|&pair| right[pair] != NONE).collect();
        if !real.is_empty() {
            let rows: Vec<u32> = real.iter().map(|&pair| left[pair]).collect();
            let builds: Vec<u32> = real.iter().map(|&pair| right[pair]).collect();
            let rows = LeftRows::new(&pending.batch, &rows);
            match residual.select(&pending.batch, built, &rows, &builds)? {
                None => real.iter().for_each(|&pair| passes[pair] = true),
                Some(kept) => kept.rows().iter().for_each(|&i| passes[real[i as usize]] = true),
            }
        }
        let mut out = Pairs::default();
        for pair in 0..left.len() {
            if passes[pair] {
                out.left.push(left[pair]);
                out.right.push(right[pair]);
                pending.matched = true;
                if let Some(marks) = &built.marks {
                    marks.set(right[pair]);
                }
            }
            let ends = match left.get(pair + 1) {
                Some(next) => *next != left[pair],
                None => !pending.cursor.is_within(),
            };
            if ends {
                if padded && !pending.matched {
                    out.left.push(left[pair]);
                    out.right.push(NONE);
                }
                pending.matched = false;
            }
        }
        self.pairs = out;
        Ok(())
    }
}

/// The rows of a batch for which `wanted` holds (of positions among those that count).
fn keep(batch: Batch, wanted: impl Fn(usize) -> bool) -> Step {
    let rows = batch.len();
    let kept: Vec<u32> = (0_u32..).take(rows).filter(|&row| wanted(row as usize)).collect();
    if kept.is_empty() {
        return Step::NeedInput;
    }
    if kept.len() == rows {
        return Step::HaveMore(batch);
    }
    Step::HaveMore(batch.refine(Selection::new(kept)))
}
