//! Building the join's table, in parallel over ranges of codes or hashes.
//!
//! Invariants: rows are numbered before this starts and travel in ascending order through every step, so that the
//! result depends on the codes alone. A partition is a contiguous range of the table: parts are only put end to end.
//! Next: `table.rs`, which says what the parts mean.

use crate::{
    context::QueryContext,
    error::{EngineError, Result},
    kernel::hash::hash_u64,
    scheduler::Workers,
};

use super::{
    lane::MISS,
    table::{Directory, Groups, Lookup, Rows, Table, Word, tag},
};

/// Rows of one partition, about: what a core sorts within its cache.
const PARTITION_ROWS: usize = 1 << 14;
/// Most partitions, as a power of two.
const PARTITION_BITS_MAX: u32 = 8;
/// Up to how many codes a row a ranked bitmap is smaller than a hashed directory.
const DENSE_CODES_PER_ROW: u64 = 64;
/// Up to how many codes a row a ranked bitmap is preferred while it fits a shared cache.
const DENSE_CODES_PER_ROW_CACHED: u64 = 256;
/// The most codes of a bitmap that fits a shared cache.
const DENSE_CODES_CACHED: u64 = 1 << 25;
/// A bitmap over this many codes is small whatever the number of rows.
const DENSE_CODES_MIN: u64 = 1 << 17;

/// Rows of one chunk by partition, in their order.
struct Scattered {
    codes: Vec<u64>,
    rows: Vec<u32>,
    bounds: Vec<usize>,
}

/// One partition's entries. Starts and ranks count from 0.
struct Part {
    words: Vec<Word>,
    codes: Vec<u64>,
    starts: Option<Vec<u32>>,
    rows: Vec<u32>,
    entries: usize,
}

/// Whether a table lists the rows of its entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Detail {
    /// All rows.
    Rows,
    /// Only which codes are there.
    Codes,
}

/// Builds the table of all rows whose code is not `MISS`. `chunks` are the codes of consecutive rows; no code but
/// `MISS` exceeds `limit`. There are fewer than 2^32 - 1 rows.
///
/// # Errors
/// When the query is cancelled.
pub(super) fn build(
    chunks: &[Vec<u64>],
    limit: u64,
    detail: Detail,
    context: &QueryContext,
    workers: &Workers,
) -> Result<Table> {
    let rows: usize = chunks.iter().map(Vec::len).sum();
    let rows_wide = rows as u64;
    let cached = (rows_wide * DENSE_CODES_PER_ROW_CACHED).min(DENSE_CODES_CACHED);
    let dense = (rows_wide * DENSE_CODES_PER_ROW).max(cached).max(DENSE_CODES_MIN);
    let wanted = (rows / PARTITION_ROWS).max(1).next_power_of_two().ilog2();
    let bits = wanted.min(PARTITION_BITS_MAX);
    if limit < dense {
        let range_bits = limit.checked_ilog2().map_or(0, |bits| bits + 1);
        let shift = range_bits.saturating_sub(bits).max(6);
        let partitions = index(limit >> shift) + 1;
        let of = |code: u64| index(code >> shift);
        let parts = partition(chunks, partitions, of, context, workers, |p, slices| {
            let first = (p as u64) << shift;
            let codes = (limit - first).min((1 << shift) - 1) + 1;
            Ok(ranked(first, codes, detail, slices))
        })?;
        return ranked_table(parts, limit);
    }
    let of = |code: u64| if bits == 0 { 0 } else { index(hash_u64(code) >> (64 - bits)) };
    let fine = bits.max(rows.next_power_of_two().ilog2()).max(1);
    let parts = partition(chunks, 1 << bits, of, context, workers, |p, slices| {
        Ok(hashed(p, bits, fine, detail, slices))
    })?;
    hashed_table(parts, bits, context, workers)
}

/// Per length the sum of those before it.
pub(super) fn sums_before(lengths: impl Iterator<Item = usize>) -> Vec<usize> {
    let before = |sum: &mut usize, length| Some(std::mem::replace(sum, *sum + length));
    lengths.scan(0, before).collect()
}

fn index(value: u64) -> usize {
    value as usize
}

/// Scatters all chunks and makes a part of each partition.
fn partition(
    chunks: &[Vec<u64>],
    partitions: usize,
    of: impl Fn(u64) -> usize + Sync,
    context: &QueryContext,
    workers: &Workers,
    make: impl Fn(usize, &[(&[u64], &[u32])]) -> Result<Part> + Sync,
) -> Result<Vec<Part>> {
    let firsts = sums_before(chunks.iter().map(Vec::len));
    let scattered = workers.map(chunks.len(), |chunk| {
        context.check()?;
        Ok(scatter(&chunks[chunk], firsts[chunk], partitions, &of))
    })?;
    workers.map(partitions, |p| {
        context.check()?;
        let slice = |chunk: &Scattered| {
            let range = chunk.bounds[p]..chunk.bounds[p + 1];
            (range.clone(), range)
        };
        let slices: Vec<(&[u64], &[u32])> = scattered
            .iter()
            .map(|chunk| (slice(chunk), chunk))
            .map(|((codes, rows), chunk)| (&chunk.codes[codes], &chunk.rows[rows]))
            .collect();
        make(p, &slices)
    })
}

/// A stable counting sort of a chunk's rows by partition; rows without a code are left out.
fn scatter(codes: &[u64], first: usize, partitions: usize, of: impl Fn(u64) -> usize) -> Scattered {
    let mut bounds = vec![0; partitions + 1];
    for &code in codes.iter().filter(|&&code| code != MISS) {
        bounds[of(code) + 1] += 1;
    }
    for p in 0..partitions {
        bounds[p + 1] += bounds[p];
    }
    let mut cursors = bounds.clone();
    let total = bounds[partitions];
    let mut out = Scattered { codes: vec![0; total], rows: vec![0; total], bounds };
    for (row, &code) in codes.iter().enumerate().filter(|&(_, &code)| code != MISS) {
        let cursor = &mut cursors[of(code)];
        out.codes[*cursor] = code;
        out.rows[*cursor] = (first + row) as u32;
        *cursor += 1;
    }
    out
}

/// The bitmap of `codes` codes from `first` on, and the rows of each code.
fn ranked(first: u64, codes: u64, detail: Detail, slices: &[(&[u64], &[u32])]) -> Part {
    let mut words = vec![Word::default(); index(codes.div_ceil(64))];
    let mut rows_total = 0;
    for (codes, _) in slices {
        rows_total += codes.len();
        for &code in *codes {
            words[index((code - first) >> 6)].bits |= 1 << (code & 63);
        }
    }
    let mut entries = 0;
    for word in &mut words {
        word.rank = entries;
        entries += word.bits.count_ones();
    }
    let entry = |code: u64| {
        let word = words[index((code - first) >> 6)];
        (word.rank + (word.bits & ((1 << (code & 63)) - 1)).count_ones()) as usize
    };
    let entries = entries as usize;
    if detail == Detail::Codes {
        return Part { words, codes: Vec::new(), starts: None, rows: Vec::new(), entries };
    }
    let mut rows = vec![0; rows_total];
    if entries == rows_total {
        for (codes, numbers) in slices {
            for (&code, &row) in codes.iter().zip(*numbers) {
                rows[entry(code)] = row;
            }
        }
        return Part { words, codes: Vec::new(), starts: None, rows, entries };
    }
    let mut starts = vec![0_u32; entries + 1];
    for &code in slices.iter().flat_map(|(codes, _)| *codes) {
        starts[entry(code) + 1] += 1;
    }
    sum_up(&mut starts);
    let mut cursors = starts.clone();
    for (codes, numbers) in slices {
        for (&code, &row) in codes.iter().zip(*numbers) {
            let cursor = &mut cursors[entry(code)];
            rows[*cursor as usize] = row;
            *cursor += 1;
        }
    }
    Part { words, codes: Vec::new(), starts: Some(starts), rows, entries }
}

/// Turns counts, each one place too far to the right, into starts.
fn sum_up(counts: &mut [u32]) {
    let mut sum = 0;
    for count in counts {
        sum += *count;
        *count = sum;
    }
}

/// The distinct codes of partition `p` in the order of the upper `fine` bits of their hashes, and their rows.
fn hashed(p: usize, bits: u32, fine: u32, detail: Detail, slices: &[(&[u64], &[u32])]) -> Part {
    let first = p << (fine - bits);
    let bucket = |code: u64| index(hash_u64(code) >> (64 - fine)) - first;
    let mut starts = vec![0_u32; (1 << (fine - bits)) + 1];
    for &code in slices.iter().flat_map(|(codes, _)| *codes) {
        starts[bucket(code) + 1] += 1;
    }
    sum_up(&mut starts);
    let total = starts[starts.len() - 1] as usize;
    let mut pairs = vec![(0_u64, 0_u32); total];
    let mut cursors = starts.clone();
    for (codes, numbers) in slices {
        for (&code, &row) in codes.iter().zip(*numbers) {
            let cursor = &mut cursors[bucket(code)];
            pairs[*cursor as usize] = (code, row);
            *cursor += 1;
        }
    }
    for bounds in starts.windows(2) {
        let bucket = &mut pairs[bounds[0] as usize..bounds[1] as usize];
        // Stable: rows of a code stay in their order.
        match bucket {
            [] | [_] => {}
            [first, second] if first.0 <= second.0 => {}
            [first, second] => std::mem::swap(first, second),
            _ => bucket.sort_by_key(|&(code, _)| code),
        }
    }
    let mut codes: Vec<u64> = Vec::with_capacity(total);
    let mut groups = Vec::with_capacity(total + 1);
    for (at, &(code, _)) in pairs.iter().enumerate() {
        if at == 0 || pairs[at - 1].0 != code {
            codes.push(code);
            groups.push(at as u32);
        }
    }
    groups.push(total as u32);
    let entries = codes.len();
    if detail == Detail::Codes {
        return Part { words: Vec::new(), codes, starts: None, rows: Vec::new(), entries };
    }
    let rows = pairs.into_iter().map(|(_, row)| row).collect();
    let starts = (entries < total).then_some(groups);
    Part { words: Vec::new(), codes, starts, rows, entries }
}

fn ranked_table(parts: Vec<Part>, limit: u64) -> Result<Table> {
    let entries = parts.iter().map(|part| part.entries).sum();
    if entries as u64 > limit {
        return Ok(Table { lookup: Lookup::Full(limit + 1), entries, groups: groups(parts)? });
    }
    let mut words =
        Vec::with_capacity(parts.iter().map(|part| part.words.len()).sum::<usize>() + 1);
    let mut rank = 0;
    for part in &parts {
        words.extend(part.words.iter().map(|word| Word { rank: word.rank + rank, ..*word }));
        rank += row_number(part.entries)?;
    }
    words.push(Word { bits: 0, rank });
    Ok(Table { lookup: Lookup::Ranked(words), entries, groups: groups(parts)? })
}

fn hashed_table(
    parts: Vec<Part>,
    bits: u32,
    context: &QueryContext,
    workers: &Workers,
) -> Result<Table> {
    let entries: usize = parts.iter().map(|part| part.entries).sum();
    let directory_bits = bits.max(entries.next_power_of_two().ilog2()).max(1);
    let shift = 64 - directory_bits;
    let firsts = sums_before(parts.iter().map(|part| part.entries));
    let pieces = workers.map(parts.len(), |p| {
        context.check()?;
        Ok(directory_part(&parts[p].codes, firsts[p], p, bits, directory_bits))
    })?;
    let mut buckets = Vec::with_capacity((1 << directory_bits) + 1);
    for piece in pieces {
        buckets.extend_from_slice(&piece);
    }
    buckets.push((entries as u64) << 16);
    let mut codes = Vec::with_capacity(entries);
    for part in &parts {
        codes.extend_from_slice(&part.codes);
    }
    let lookup = Lookup::Hashed(Directory { buckets, shift, codes });
    Ok(Table { lookup, entries, groups: groups(parts)? })
}

/// The buckets of partition `p`, whose codes begin at entry `first`.
fn directory_part(
    codes: &[u64],
    first: usize,
    p: usize,
    bits: u32,
    directory_bits: u32,
) -> Vec<u64> {
    let buckets = 1 << (directory_bits - bits);
    let base = p << (directory_bits - bits);
    let mut out = Vec::with_capacity(buckets);
    let mut at = 0;
    for bucket in 0..buckets {
        let start = at;
        let mut tags = 0;
        while let Some(&code) = codes.get(at) {
            let hash = hash_u64(code);
            if index(hash >> (64 - directory_bits)) - base != bucket {
                break;
            }
            tags |= tag(hash);
            at += 1;
        }
        out.push(((first + start) as u64) << 16 | tags);
    }
    out
}

/// Puts the parts' groups end to end.
fn groups(parts: Vec<Part>) -> Result<Groups> {
    let total = parts.iter().map(|part| part.rows.len()).sum();
    let entries: usize = parts.iter().map(|part| part.entries).sum();
    let mut starts = Vec::new();
    if entries < total {
        starts.reserve_exact(entries + 1);
        let mut offset = 0;
        for part in &parts {
            let rows = row_number(part.rows.len())?;
            match &part.starts {
                Some(part) => starts.extend(part[..part.len() - 1].iter().map(|s| s + offset)),
                None => starts.extend(offset..offset + rows),
            }
            offset += rows;
        }
        starts.push(offset);
    }
    let mut parts = parts;
    let rows = if parts.len() == 1 {
        parts.remove(0).rows
    } else {
        let mut rows = Vec::with_capacity(total);
        parts.iter().for_each(|part| rows.extend_from_slice(&part.rows));
        rows
    };
    let identity = starts.is_empty() && rows.iter().enumerate().all(|(i, &row)| i == row as usize);
    let rows = if identity { Rows::Identity } else { Rows::Listed(rows) };
    Ok(Groups { starts: (entries < total).then_some(starts), rows })
}

fn row_number(rows: usize) -> Result<u32> {
    u32::try_from(rows).map_err(|_| EngineError::Internal("over 2^32 rows in a join table".into()))
}
