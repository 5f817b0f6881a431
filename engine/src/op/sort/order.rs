//! Sorting row numbers by packed keys: cut into buckets by sampled keys, sort the buckets, go on where keys tie.
//!
//! Invariants: the order is that of a stable sort, whatever the chunks, buckets and workers: elements end in the row's
//! number and buckets are cut between different keys. All choices depend on the data and on constants only. Every job
//! covers a bounded number of rows, or rows of one key, which need no sorting.
//! Next: `mod.rs`, which holds rows and hands the sorted ones out.

use super::{
    jobs::Jobs,
    keys::Fields,
    layout::{Cursor, Element, Level, RowSet},
};
use crate::error::Result;

/// Rows of one packing job.
const CHUNK_BITS: u32 = 17;
/// Rows that a bucket should have.
const BUCKET_BITS: u32 = 15;
const MOST_BUCKETS: usize = 1024;
/// Sampled keys for every bucket.
const OVERSAMPLING: usize = 32;
/// Rows of one key that are worth a parallel sort of their own by the rest of the key.
const LARGE_TIE: usize = 1 << 17;
/// Up to so many rows with equal packed keys are compared directly.
const SMALL_TIE: usize = 24;
/// After so many packings of ever later parts of the key, rows are compared directly.
const MOST_LEVELS: usize = 16;

/// The first `limit` rows of `0..len` in key order, ties by number, as consecutive lists.
///
/// # Errors
/// Cancellation.
pub(super) fn order(
    fields: &Fields,
    len: usize,
    limit: usize,
    jobs: &Jobs<'_>,
) -> Result<Vec<Vec<u32>>> {
    let row_bits = usize::BITS - len.saturating_sub(1).leading_zeros();
    let sorter = Sorter { fields, row_bits: row_bits.max(1), jobs };
    let mut lists = sorter.sort(Input::First(len), Cursor::default(), limit.min(len))?;
    let mut left = limit.min(len);
    lists.retain_mut(|list| {
        list.truncate(left);
        left -= list.len();
        !list.is_empty()
    });
    Ok(lists)
}

struct Sorter<'a> {
    fields: &'a Fields,
    row_bits: u32,
    jobs: &'a Jobs<'a>,
}

/// The rows of one sort, ascending.
enum Input {
    First(usize),
    List(Vec<u32>),
}

/// A finished stretch of the order, or one that needs a sort of its own.
enum Stretch {
    Sorted(Vec<u32>),
    Tied(Vec<u32>, Cursor),
}

/// A chunk's elements by bucket; bucket `b` is `starts[b]..starts[b + 1]`.
struct Chunk<E> {
    elements: Vec<E>,
    starts: Vec<u32>,
}

impl Sorter<'_> {
    fn sort(&self, input: Input, cursor: Cursor, limit: usize) -> Result<Vec<Vec<u32>>> {
        let level = Level::new(self.fields, cursor, self.row_bits);
        if level.bits == 0 && level.is_exact() {
            return Ok(match input {
                Input::First(_) => {
                    let (limit, step) = (limit as u32, 1 << CHUNK_BITS);
                    let end = |start: u32| limit.min(start.saturating_add(step));
                    let starts = (0..limit).step_by(step as usize);
                    starts.map(|start| (start..end(start)).collect()).collect()
                }
                Input::List(rows) => vec![rows],
            });
        }
        if level.is_exact() && level.bits + self.row_bits <= u64::BITS {
            self.sort_level::<u64>(&level, &input, limit)
        } else {
            self.sort_level::<u128>(&level, &input, limit)
        }
    }

    fn sort_level<E: Element>(
        &self,
        level: &Level<'_>,
        input: &Input,
        limit: usize,
    ) -> Result<Vec<Vec<u32>>> {
        let bounds: Vec<E> = self.bounds(level, input);
        let step = 1_usize << CHUNK_BITS.min(self.fields.bits);
        let len = input.len();
        let chunks = self.jobs.map(len.div_ceil(step), |chunk| {
            let start = chunk * step;
            let len = step.min(len - start);
            let elements = level.pack(input.range(start, len));
            Ok(partition(level, elements, &bounds))
        })?;
        let buckets = buckets_for(&chunks, bounds.len() + 1, limit);
        let stretches = self.jobs.map(buckets, |bucket| {
            let mut elements = Vec::new();
            for chunk in &chunks {
                let range = chunk.starts[bucket] as usize..chunk.starts[bucket + 1] as usize;
                elements.extend_from_slice(&chunk.elements[range]);
            }
            // Between bounds `k` and `k + 1` there is one key, and its rows have come in order.
            let one_key = bucket > 0
                && bounds
                    .get(bucket)
                    .is_some_and(|next| next.to_u128() == bounds[bucket - 1].to_u128() + 1);
            if !one_key {
                elements.sort_unstable();
            }
            Ok(self.stretches(level, &elements))
        })?;
        drop(chunks);
        let mut lists = Vec::new();
        for stretch in stretches.into_iter().flatten() {
            match stretch {
                Stretch::Sorted(rows) => lists.push(rows),
                Stretch::Tied(rows, cursor) => {
                    let len = rows.len();
                    lists.extend(self.sort(Input::List(rows), cursor, len)?);
                }
            }
        }
        Ok(lists)
    }

    /// Ascending keys at which buckets begin. A key so frequent that it would fill a bucket has one to itself.
    fn bounds<E: Element>(&self, level: &Level<'_>, input: &Input) -> Vec<E> {
        let len = input.len();
        let buckets = (len >> BUCKET_BITS).min(MOST_BUCKETS);
        if buckets < 2 {
            return Vec::new();
        }
        let samples = buckets * OVERSAMPLING;
        let stride = len / samples;
        // Positions are spread within their strides, so that a period in the data does not fool the sample.
        let spread = |i: usize| (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let rows: Vec<u32> =
            (0..samples).map(|i| input.row(i * stride + spread(i) as usize % stride)).collect();
        let mut keys: Vec<E> = level.pack(RowSet::List(&rows));
        keys.iter_mut().for_each(|key| *key = level.key(*key));
        keys.sort_unstable();
        let mut bounds: Vec<E> = Vec::with_capacity(2 * buckets);
        for i in (OVERSAMPLING..samples).step_by(OVERSAMPLING) {
            let key = keys[i];
            if bounds.last().is_none_or(|&last| last < key) {
                bounds.push(key);
            }
            let next = key.to_u128() + 1;
            if key == keys[i - OVERSAMPLING]
                && next >> level.bits == 0
                && bounds.last().is_some_and(|&last| last.to_u128() < next)
            {
                bounds.push(E::of(next));
            }
        }
        bounds
    }

    /// Rows of sorted elements, those with equal keys put in order by the rest of the key.
    fn stretches<E: Element>(&self, level: &Level<'_>, elements: &[E]) -> Vec<Stretch> {
        let mut rows = Vec::with_capacity(elements.len());
        if level.is_exact() {
            rows.extend(elements.iter().map(|&element| level.row(element)));
            return vec![Stretch::Sorted(rows)];
        }
        let mut stretches = Vec::new();
        for tie in elements.chunk_by(|&a, &b| level.key(a) == level.key(b)) {
            let tied = tie.iter().map(|&element| level.row(element));
            match level.after(level.key(tie[0]).to_u128()) {
                Some(cursor) if tie.len() >= LARGE_TIE => {
                    stretches.push(Stretch::Sorted(std::mem::take(&mut rows)));
                    stretches.push(Stretch::Tied(tied.collect(), cursor));
                }
                Some(cursor) if tie.len() > 1 => {
                    let start = rows.len();
                    rows.extend(tied);
                    self.refine(&mut rows[start..], cursor, 1);
                }
                _ => rows.extend(tied),
            }
        }
        stretches.push(Stretch::Sorted(rows));
        stretches
    }

    /// Sorts ascending rows by the key from `cursor` on.
    fn refine(&self, rows: &mut [u32], cursor: Cursor, depth: usize) {
        if rows.len() <= SMALL_TIE || depth > MOST_LEVELS {
            rows.sort_unstable_by(|&a, &b| {
                self.fields.compare(cursor.field, cursor.offset, a, b).then(a.cmp(&b))
            });
            return;
        }
        let level = Level::new(self.fields, cursor, self.row_bits);
        let mut elements: Vec<u128> = level.pack(RowSet::List(rows));
        elements.sort_unstable();
        let mut start = 0;
        for tie in elements.chunk_by(|&a, &b| level.key(a) == level.key(b)) {
            let place = &mut rows[start..start + tie.len()];
            start += tie.len();
            for (row, &element) in place.iter_mut().zip(tie) {
                *row = level.row(element);
            }
            if let Some(cursor) = level.after(level.key(tie[0])).filter(|_| tie.len() > 1) {
                self.refine(place, cursor, depth + 1);
            }
        }
    }
}

impl Input {
    fn len(&self) -> usize {
        match self {
            Self::First(len) => *len,
            Self::List(rows) => rows.len(),
        }
    }

    fn row(&self, position: usize) -> u32 {
        match self {
            Self::First(_) => position as u32,
            Self::List(rows) => rows[position],
        }
    }

    fn range(&self, start: usize, len: usize) -> RowSet<'_> {
        match self {
            Self::First(_) => RowSet::Range { start: start as u32, len },
            Self::List(rows) => RowSet::List(&rows[start..start + len]),
        }
    }
}

/// Groups elements by bucket, keeping their order within each.
fn partition<E: Element>(level: &Level<'_>, elements: Vec<E>, bounds: &[E]) -> Chunk<E> {
    if bounds.is_empty() {
        let starts = vec![0, elements.len() as u32];
        return Chunk { elements, starts };
    }
    let bucket = |&element: &E| {
        let key = level.key(element);
        bounds.partition_point(|bound| *bound <= key) as u16
    };
    let buckets: Vec<u16> = elements.iter().map(bucket).collect();
    let mut starts = vec![0_u32; bounds.len() + 2];
    for &bucket in &buckets {
        starts[bucket as usize + 1] += 1;
    }
    for i in 1..starts.len() {
        starts[i] += starts[i - 1];
    }
    let mut next = starts.clone();
    let mut grouped = vec![E::default(); elements.len()];
    for (element, &bucket) in elements.into_iter().zip(&buckets) {
        let place = &mut next[bucket as usize];
        grouped[*place as usize] = element;
        *place += 1;
    }
    Chunk { elements: grouped, starts }
}

/// How many of the first buckets hold `limit` rows.
fn buckets_for<E>(chunks: &[Chunk<E>], buckets: usize, limit: usize) -> usize {
    let mut rows = 0;
    for bucket in 0..buckets {
        if rows >= limit {
            return bucket;
        }
        let size = |chunk: &Chunk<E>| (chunk.starts[bucket + 1] - chunk.starts[bucket]) as usize;
        rows += chunks.iter().map(size).sum::<usize>();
    }
    buckets
}
