//! Taking the build side in and completing it.
//!
//! Invariant: what a worker brought is ordered by morsel before rows get their numbers. Memory is reserved before it is
//! used. Next: `key.rs`, `table_build.rs`, `payload.rs`.

use std::{
    ops::Range,
    sync::{Arc, OnceLock, PoisonError},
};

use stoadb_storage::Vector;

use crate::{
    batch::Batch,
    context::{QueryContext, Reservation},
    error::{EngineError, Result},
    op::{Feed, LocalSink},
    plan::JoinKind,
    scheduler::Workers,
};

use super::{
    Built, Shared, gives_right,
    key::{BuiltKeys, KeyCoder, KeyColumn},
    lane::MISS,
    marks_rows,
    nearest::{NEAREST_BYTES_PER_ROW, Nearest},
    payload,
    spec::{LocalKeys, Spec, select},
    table::{Marks, Table},
    table_build::{self, Detail},
};

/// Rows of one unit of parallel work, at least.
const CHUNK_ROWS: usize = 1 << 15;
/// Bytes a row that building keys and table takes besides the rows themselves, about.
const BUILD_BYTES_PER_ROW: u64 = 56;

/// The rows of a batch that count.
struct BuildBatch {
    rows: usize,
    keys: Vec<Vector>,
    /// In an ASOF join.
    moments: Option<Vector>,
    /// The right columns that are kept, in their order.
    columns: Vec<Vector>,
}

/// What all workers have brought.
#[derive(Default)]
pub(super) struct Collected {
    morsels: Vec<(usize, Vec<BuildBatch>)>,
    reservations: Vec<Reservation>,
}

/// One worker's part of the sink.
pub(super) struct LocalBuild {
    shared: Arc<Shared>,
    keys: LocalKeys,
    moments: Option<LocalKeys>,
    collected: Collected,
    reservation: Reservation,
}

impl LocalBuild {
    /// State for one worker.
    pub(super) fn new(shared: &Arc<Shared>, context: &QueryContext) -> Self {
        Self {
            shared: Arc::clone(shared),
            keys: shared.spec.right_keys.local(),
            moments: shared.spec.nearest.as_ref().map(|nearest| nearest.right.local()),
            collected: Collected::default(),
            reservation: context.memory().reservation("join"),
        }
    }
}

impl LocalSink for LocalBuild {
    fn begin_morsel(&mut self, morsel: usize) -> Result<()> {
        self.collected.morsels.push((morsel, Vec::new()));
        Ok(())
    }

    fn push(&mut self, batch: Batch) -> Result<Feed> {
        let keys = self.keys.evaluate(&batch)?;
        let moments = match &mut self.moments {
            Some(moments) => moments.evaluate(&batch)?.pop(),
            None => None,
        };
        let kept = batch.columns.iter().zip(&self.shared.spec.right_kept);
        let kept = kept.filter(|(_, kept)| **kept).map(|(column, _)| column);
        let columns = select(kept, &batch)?;
        let batch = BuildBatch { rows: batch.len(), keys, moments, columns };
        let vectors = batch.keys.iter().chain(&batch.moments).chain(&batch.columns);
        self.reservation.grow(vectors.map(payload::vector_bytes).sum())?;
        match self.collected.morsels.last_mut() {
            Some((_, batches)) => batches.push(batch),
            None => return Err(EngineError::Internal("a batch outside of a morsel".into())),
        }
        Ok(Feed::NeedInput)
    }

    fn end_morsel(&mut self) -> Result<Feed> {
        Ok(Feed::NeedInput)
    }

    fn merge(self: Box<Self>) -> Result<()> {
        let mut shared = self.shared.collected.lock().unwrap_or_else(PoisonError::into_inner);
        shared.morsels.extend(self.collected.morsels);
        shared.reservations.push(self.reservation);
        Ok(())
    }
}

/// Numbers the rows, makes keys and table, and puts the columns end to end.
///
/// # Errors
/// `Unsupported` for 2^32 - 1 rows or more, and for keys that cannot be compared; `OutOfMemory`; `Cancelled`.
pub(super) fn finish(
    spec: &Spec,
    collected: Collected,
    kept_keys: usize,
    context: &QueryContext,
    workers: &Workers,
) -> Result<Built> {
    let Collected { mut morsels, reservations } = collected;
    morsels.sort_by_key(|(morsel, _)| *morsel);
    let batches: Vec<BuildBatch> = morsels.into_iter().flat_map(|(_, batches)| batches).collect();
    let total: usize = batches.iter().map(|batch| batch.rows).sum();
    let rows = row_count(total)?;
    let mut reservation = context.memory().reservation("join");
    let held: u64 = reservations.iter().map(Reservation::bytes).sum();
    let keyed = if spec.keys.is_empty() { 0 } else { BUILD_BYTES_PER_ROW };
    reservation.grow(held + u64::from(rows) * keyed)?;
    let BuiltKeys { coder, codes, ranges } = if spec.keys.is_empty() {
        BuiltKeys { coder: None, codes: Vec::new(), ranges: Vec::new() }
    } else {
        let keys: Vec<&[Vector]> = batches.iter().map(|batch| batch.keys.as_slice()).collect();
        KeyCoder::build(&spec.keys, &keys, &chunks(&batches), context, workers)?
    };
    let table = match &coder {
        Some(coder) => table_build::build(&codes, coder.limit(), detail(spec), context, workers)?,
        None => Table::all(rows),
    };
    let null_key =
        spec.kind == JoinKind::LeftAntiNullAware && codes.iter().any(|codes| codes.contains(&MISS));
    drop(codes);
    let nearest = match &spec.nearest {
        Some(nearest) => {
            reservation.grow(u64::from(rows) * NEAREST_BYTES_PER_ROW)?;
            let moments: Vec<&Vector> = batches.iter().flat_map(|batch| &batch.moments).collect();
            let moments = payload::concat(&nearest.ty, &moments)?;
            Some(Nearest::build(nearest, &moments, &table, rows, context, workers)?)
        }
        None => None,
    };
    let keys = if total <= kept_keys { key_vectors(spec, &batches)? } else { Vec::new() };
    let columns = concat(spec, batches, context, workers)?;
    drop(reservations);
    let marked = match (&spec.residual, &nearest) {
        (None, None) => table.entries,
        _ => total,
    };
    let marks = marks_rows(spec.kind).then(|| Marks::new(marked));
    let payload: u64 = columns.iter().flatten().chain(&keys).map(payload::vector_bytes).sum();
    let table_bytes = table.bytes() + coder.as_ref().map_or(0, KeyCoder::memory);
    let nearest_bytes = nearest.as_ref().map_or(0, Nearest::bytes);
    reservation.resize(payload + table_bytes + nearest_bytes + (marked / 8) as u64)?;
    let matched_rows = OnceLock::new();
    Ok(Built {
        rows,
        columns,
        coder,
        table,
        nearest,
        ranges,
        keys,
        null_key,
        marks,
        matched_rows,
        _reservation: reservation,
    })
}

/// The values of each key in all rows.
fn key_vectors(spec: &Spec, batches: &[BuildBatch]) -> Result<Vec<Vector>> {
    let vector = |(key, column): (usize, &KeyColumn)| {
        let vectors: Vec<&Vector> = batches.iter().map(|batch| &batch.keys[key]).collect();
        payload::concat(&column.ty, &vectors)
    };
    spec.keys.iter().enumerate().map(vector).collect()
}

/// Whether anybody asks for the rows of an entry.
fn detail(spec: &Spec) -> Detail {
    let counts_rows = gives_right(spec.kind) || spec.residual.is_some() || spec.nearest.is_some();
    if counts_rows { Detail::Rows } else { Detail::Codes }
}

/// The number of build rows as far as row numbers reach.
fn row_count(rows: usize) -> Result<u32> {
    u32::try_from(rows).ok().filter(|&rows| rows < u32::MAX).ok_or_else(|| {
        EngineError::Unsupported(format!(
            "a join whose right side has {rows} rows (at most {})",
            u32::MAX - 1
        ))
    })
}

/// Ranges of consecutive batches of `CHUNK_ROWS` rows or a little more.
fn chunks(batches: &[BuildBatch]) -> Vec<Range<usize>> {
    let mut chunks = Vec::new();
    let (mut start, mut rows) = (0, 0);
    for (at, batch) in batches.iter().enumerate() {
        rows += batch.rows;
        if rows >= CHUNK_ROWS {
            chunks.push(start..at + 1);
            (start, rows) = (at + 1, 0);
        }
    }
    if start < batches.len() {
        chunks.push(start..batches.len());
    }
    chunks
}

/// The kept columns of all batches, each end to end.
fn concat(
    spec: &Spec,
    batches: Vec<BuildBatch>,
    context: &QueryContext,
    workers: &Workers,
) -> Result<Vec<Option<Vector>>> {
    let kept: Vec<usize> = (0..spec.right.len()).filter(|&c| spec.right_kept[c]).collect();
    let vectors = workers.map(kept.len(), |i| {
        context.check()?;
        let vectors: Vec<&Vector> = batches.iter().map(|batch| &batch.columns[i]).collect();
        payload::concat(&spec.right[kept[i]], &vectors)
    })?;
    let mut columns = vec![None; spec.right.len()];
    for (column, vector) in kept.into_iter().zip(vectors) {
        columns[column] = Some(vector);
    }
    Ok(columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_row_count_refuses_what_row_numbers_cannot_hold() {
        assert_eq!(row_count(0).unwrap(), 0);
        assert_eq!(row_count(u32::MAX as usize - 1).unwrap(), u32::MAX - 1);
        let error = row_count(u32::MAX as usize).unwrap_err().to_string();
        assert!(error.contains("4294967295 rows"), "{error}");
    }
}
