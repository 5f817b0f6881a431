//! ORDER BY with a limit: each worker keeps the rows that may still be among the first k.
//!
//! Invariants: a row is dropped only when k rows are known to come before it: k of the worker's own earlier rows with
//! keys that are not greater, or k rows of any worker with lesser keys. So what is dropped may depend on timing, the
//! answer never. Held rows carry their place (morsel, position) in a last column, by which ties are decided at the end.
//! A worker holds O(k + vector) rows.
//! Next: `order.rs`.

use std::{
    cmp::Ordering,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering as Atomic},
    },
};

use arrow::array::UInt64Array;
use stoadb_storage::{Selection, Vector};

use super::{
    Shared,
    jobs::Jobs,
    keys::{Fields, Key},
    order::order,
    rows::{Piece, Rows, vector_bytes},
};
use crate::{
    batch::Batch,
    context::{QueryContext, Reservation},
    error::{EngineError, Result},
    eval::Evaluator,
    kernel::sort_key::{Codes, KeyCode, KeyOrder, codes},
    op::{Feed, LocalSink},
};

/// Bits of a place that are the row's position in its morsel.
const POSITION_BITS: u32 = 32;

/// Keys such that k rows have keys not greater; shared by all workers.
#[derive(Default)]
pub(super) struct Threshold {
    /// Grows with every change, so that workers look only then.
    version: AtomicU64,
    codes: Mutex<Option<Arc<[KeyCode]>>>,
}

impl Threshold {
    /// Lowers the threshold to `codes` if that is less.
    fn lower(&self, codes: &Arc<[KeyCode]>, keys: &[Key]) {
        let mut current = self.codes.lock().unwrap_or_else(PoisonError::into_inner);
        let less = |current: &Arc<[KeyCode]>| compare(codes, current, keys) == Ordering::Less;
        if current.as_ref().is_none_or(less) {
            *current = Some(Arc::clone(codes));
            self.version.fetch_add(1, Atomic::Release);
        }
    }
}

fn compare(a: &[KeyCode], b: &[KeyCode], keys: &[Key]) -> Ordering {
    let one = |((a, b), key): ((&KeyCode, &KeyCode), &Key)| compare_codes(a, b, key.order);
    a.iter().zip(b).zip(keys).map(one).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
}

fn compare_codes(a: &KeyCode, b: &KeyCode, order: KeyOrder) -> Ordering {
    let null = if order.nulls_first { Ordering::Less } else { Ordering::Greater };
    let values = match (a, b) {
        (KeyCode::Null, KeyCode::Null) => return Ordering::Equal,
        (KeyCode::Null, _) => return null,
        (_, KeyCode::Null) => return null.reverse(),
        (KeyCode::Number(a), KeyCode::Number(b)) => a.cmp(b),
        (KeyCode::Bytes(a), KeyCode::Bytes(b)) => a.cmp(b),
        (KeyCode::Number(_), KeyCode::Bytes(_)) | (KeyCode::Bytes(_), KeyCode::Number(_)) => {
            Ordering::Equal
        }
    };
    if order.descending { values.reverse() } else { values }
}

/// One worker's part.
pub(super) struct LocalTopK {
    shared: Arc<Shared>,
    context: Arc<QueryContext>,
    evaluator: Option<Evaluator>,
    limit: usize,
    /// In input order but for the first, which holds the best rows so far, sorted.
    pieces: Vec<Piece>,
    rows: usize,
    reservation: Reservation,
    /// The place of the next row.
    place: u64,
    /// The keys of the k-th of the own rows.
    own: Option<Arc<[KeyCode]>>,
    /// The shared threshold, when it is less than the own one, and its version.
    others: Option<Arc<[KeyCode]>>,
    version: u64,
}

impl LocalTopK {
    pub(super) fn new(shared: Arc<Shared>, limit: usize, context: &Arc<QueryContext>) -> Self {
        Self {
            evaluator: shared.spec.evaluator(),
            shared,
            context: Arc::clone(context),
            limit,
            pieces: Vec::new(),
            rows: 0,
            reservation: context.memory().reservation("top-k sort"),
            place: 0,
            own: None,
            others: None,
            version: 0,
        }
    }

    /// Looks whether other workers have lowered the threshold below the own one.
    fn look(&mut self) {
        let threshold = &self.shared.threshold;
        if threshold.version.load(Atomic::Acquire) == self.version {
            return;
        }
        let codes = threshold.codes.lock().unwrap_or_else(PoisonError::into_inner);
        self.version = threshold.version.load(Atomic::Acquire);
        let keys = &self.shared.spec.keys;
        self.others = codes.clone().filter(|codes| {
            self.own.as_ref().is_none_or(|own| compare(codes, own, keys) == Ordering::Less)
        });
    }

    /// Which of the rows may be among the first k; `None` means all.
    fn survivors(&self, columns: &[Vector], rows: usize) -> Result<Option<Vec<u32>>> {
        let (threshold, keep_equal) = match (&self.others, &self.own) {
            (Some(others), _) => (others, true),
            (None, Some(own)) => (own, false),
            (None, None) => return Ok(None),
        };
        let mut kept = Vec::new();
        let mut tied: Option<Vec<u32>> = None;
        for (key, code) in self.shared.spec.keys.iter().zip(threshold.iter()) {
            let vector = &columns[key.column];
            let mut still = Vec::new();
            let mut judge = |row: u32, order| match order {
                Ordering::Less => kept.push(row),
                Ordering::Equal => still.push(row),
                Ordering::Greater => {}
            };
            match (&tied, vector) {
                (Some(tied), _) if tied.is_empty() => break,
                (Some(tied), _) => {
                    let vector = vector.select(&Selection::new(tied.clone()))?;
                    let codes = codes(&vector)?;
                    for (i, &row) in tied.iter().enumerate() {
                        judge(row, codes.compare(i, code, key.order));
                    }
                }
                (None, Vector::Constant { .. }) => {
                    let order = codes(&vector.slice(0, rows.min(1)))?;
                    for row in 0..rows {
                        judge(row as u32, order.compare(0, code, key.order));
                    }
                }
                (None, vector) => {
                    let codes = codes(vector)?;
                    match (&codes.codes, &codes.nulls, code) {
                        (Codes::Narrow(values), None, KeyCode::Number(last)) => {
                            let (flip, last) = match key.order.descending {
                                true => (u64::MAX, !(*last as u64)),
                                false => (0, *last as u64),
                            };
                            for (row, &value) in (0..).zip(values) {
                                judge(row, (value ^ flip).cmp(&last));
                            }
                        }
                        _ => {
                            for row in 0..rows {
                                judge(row as u32, codes.compare(row, code, key.order));
                            }
                        }
                    }
                }
            }
            tied = Some(still);
        }
        if keep_equal {
            kept.extend(tied.unwrap_or_else(|| (0..rows as u32).collect()));
        }
        kept.sort_unstable();
        Ok(Some(kept))
    }

    /// Keeps the best k of the held rows, sorted, and lowers the threshold.
    fn compact(&mut self) -> Result<()> {
        let spec = &self.shared.spec;
        let jobs = Jobs::serial(&self.context);
        let pieces = std::mem::take(&mut self.pieces);
        let rows = Rows::build(pieces, &spec.types, spec.sizes.block_bits, &jobs)?;
        let fields = Fields::prepare(&rows, &spec.keys, &jobs)?;
        let best = order(&fields, rows.len, self.limit, &jobs)?.concat();
        let gather = |column| match rows.gather(column, &best)? {
            // Merged dictionaries would grow with every round.
            vector @ Vector::Dictionary(_) => Ok(Vector::Flat(vector.flatten()?)),
            vector => Ok(vector),
        };
        let columns = (0..spec.types.len()).map(gather).collect::<Result<Vec<_>>>()?;
        self.reservation.resize(columns.iter().map(vector_bytes).sum())?;
        self.rows = best.len();
        if let Some(last) = self.limit.checked_sub(1).filter(|&last| last < self.rows) {
            let code = |key: &Key| Ok(codes(&columns[key.column].slice(last, 1))?.get(0));
            let own: Arc<[KeyCode]> = spec.keys.iter().map(code).collect::<Result<_>>()?;
            self.shared.threshold.lower(&own, &spec.keys);
            self.own = Some(own);
            // Look again, now against the new own threshold.
            self.version = u64::MAX;
        }
        self.pieces.push(Piece { columns, rows: self.rows });
        Ok(())
    }
}

impl LocalSink for LocalTopK {
    fn begin_morsel(&mut self, morsel: usize) -> Result<()> {
        self.place = (morsel as u64) << POSITION_BITS;
        Ok(())
    }

    fn push(&mut self, batch: Batch) -> Result<Feed> {
        self.context.check()?;
        if self.limit == 0 {
            return Ok(Feed::Done);
        }
        let first = self.place;
        let rows = batch.len();
        self.place += rows as u64;
        if self.place >> POSITION_BITS != first >> POSITION_BITS {
            return Err(EngineError::Internal("a morsel of more than 2^32 rows".into()));
        }
        self.look();
        let mut columns = self.shared.spec.columns(self.evaluator.as_mut(), batch)?;
        let places = match self.survivors(&columns, rows)? {
            None => UInt64Array::from_iter_values(first..self.place),
            Some(kept) if kept.is_empty() => return Ok(Feed::NeedInput),
            Some(kept) => {
                let places = kept.iter().map(|&row| first + u64::from(row));
                let places = UInt64Array::from_iter_values(places);
                if kept.len() < rows {
                    let kept = Selection::new(kept);
                    let select = |column: &Vector| Ok(column.select(&kept)?);
                    columns = columns.iter().map(select).collect::<Result<_>>()?;
                }
                places
            }
        };
        let rows = places.len();
        columns.push(Vector::Flat(Arc::new(places)));
        self.reservation.grow(columns.iter().map(vector_bytes).sum())?;
        self.pieces.push(Piece { columns, rows });
        self.rows += rows;
        let slack = self.limit.max(self.shared.spec.sizes.slack);
        if self.rows >= self.limit.saturating_add(slack) {
            self.compact()?;
        }
        Ok(Feed::NeedInput)
    }

    fn end_morsel(&mut self) -> Result<Feed> {
        Ok(if self.limit == 0 { Feed::Done } else { Feed::NeedInput })
    }

    fn merge(mut self: Box<Self>) -> Result<()> {
        if self.rows > self.limit {
            self.compact()?;
        }
        let this = *self;
        this.shared.merge(vec![(0, this.pieces)], this.reservation);
        Ok(())
    }
}
