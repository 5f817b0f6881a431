//! Loops over one or two columns, with NULLs handled here once and for all.
//!
//! Invariant: the result is NULL where an operand is; operations run over the slots under NULL as well (so that the
//! loops vectorise) and their failures count only in rows that are not NULL. Next: `compare.rs`, `arithmetic.rs`.

use arrow::{
    array::Array,
    buffer::{BooleanBuffer, NullBuffer},
    datatypes::ArrowNativeType,
};
use stoadb_storage::{LogicalType, Vector};

use crate::{
    error::{EngineError, Result},
    kernel::physical::{Column, vector_of},
};

/// The NULLs of two columns together.
pub(crate) fn union_nulls(
    left: Option<&NullBuffer>,
    right: Option<&NullBuffer>,
) -> Option<NullBuffer> {
    NullBuffer::union(left, right).filter(|nulls| nulls.null_count() > 0)
}

/// `f` of every value of one column.
pub(crate) fn map<A: ArrowNativeType, R>(a: &Column<A>, rows: usize, f: impl Fn(A) -> R) -> Vec<R>
where
    R: Clone,
{
    match a.constant {
        true => vec![f(a.values[0]); rows],
        false => a.values.iter().map(|&a| f(a)).collect(),
    }
}

/// `f` of every pair of values of two columns.
pub(crate) fn zip<A: ArrowNativeType, B: ArrowNativeType, R: Clone>(
    a: &Column<A>,
    b: &Column<B>,
    rows: usize,
    mut f: impl FnMut(A, B) -> R,
) -> Vec<R> {
    match (a.constant, b.constant) {
        (true, true) => vec![f(a.values[0], b.values[0]); rows],
        (true, false) => {
            let a = a.values[0];
            b.values.iter().map(|&b| f(a, b)).collect()
        }
        (false, true) => {
            let b = b.values[0];
            a.values.iter().map(|&a| f(a, b)).collect()
        }
        (false, false) => a.values.iter().zip(b.values.iter()).map(|(&a, &b)| f(a, b)).collect(),
    }
}

/// A total operation on one column.
pub(crate) fn unary<A: ArrowNativeType, R: ArrowNativeType>(
    a: &Column<A>,
    rows: usize,
    ty: &LogicalType,
    f: impl Fn(A) -> R,
) -> Result<Vector> {
    vector_of(ty, map(a, rows, f), a.nulls.clone())
}

/// A total operation on two columns.
pub(crate) fn binary<A: ArrowNativeType, B: ArrowNativeType, R: ArrowNativeType>(
    a: &Column<A>,
    b: &Column<B>,
    rows: usize,
    ty: &LogicalType,
    f: impl Fn(A, B) -> R,
) -> Result<Vector> {
    vector_of(ty, zip(a, b, rows, f), union_nulls(a.nulls.as_ref(), b.nulls.as_ref()))
}

/// What happens to a row whose operation fails.
pub(crate) enum OnFailure<'a> {
    /// The row becomes NULL.
    Null,
    /// The query fails; the closure says why, given the row.
    Error(&'a dyn Fn(usize) -> EngineError),
}

/// Values and NULLs of rows that may fail: `f` gives `None` for a row that fails, and is called only for rows that are
/// not NULL.
pub(crate) fn try_rows<R: Default>(
    rows: usize,
    nulls: Option<NullBuffer>,
    on_failure: &OnFailure<'_>,
    mut f: impl FnMut(usize) -> Option<R>,
) -> Result<(Vec<R>, Option<NullBuffer>)> {
    let mut values = Vec::with_capacity(rows);
    let mut failed = Vec::new();
    for row in 0..rows {
        if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            values.push(R::default());
            continue;
        }
        match (f(row), on_failure) {
            (Some(value), _) => values.push(value),
            (None, OnFailure::Null) => {
                failed.push(row);
                values.push(R::default());
            }
            (None, OnFailure::Error(error)) => return Err(error(row)),
        }
    }
    Ok((values, add_nulls(rows, nulls, &failed)))
}

fn add_nulls(rows: usize, nulls: Option<NullBuffer>, failed: &[usize]) -> Option<NullBuffer> {
    if failed.is_empty() {
        return nulls;
    }
    let mut valid = vec![true; rows];
    for &row in failed {
        valid[row] = false;
    }
    NullBuffer::union(nulls.as_ref(), Some(&NullBuffer::from(valid)))
}

/// A vector of rows that may fail.
pub(crate) fn try_vector<R: ArrowNativeType>(
    rows: usize,
    ty: &LogicalType,
    nulls: Option<NullBuffer>,
    on_failure: &OnFailure<'_>,
    f: impl FnMut(usize) -> Option<R>,
) -> Result<Vector> {
    let (values, nulls) = try_rows(rows, nulls, on_failure, f)?;
    vector_of(ty, values, nulls)
}

/// A vector of rows each of which gives a value or an error.
pub(crate) fn fallible<R: ArrowNativeType>(
    rows: usize,
    ty: &LogicalType,
    nulls: Option<NullBuffer>,
    mut f: impl FnMut(usize) -> Result<R>,
) -> Result<Vector> {
    let mut values = vec![R::default(); rows];
    for (row, value) in values.iter_mut().enumerate() {
        if nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)) {
            *value = f(row)?;
        }
    }
    vector_of(ty, values, nulls)
}

/// A bitmap of `f` over values.
pub(crate) fn bits<T: Copy>(values: &[T], f: impl Fn(T) -> bool) -> BooleanBuffer {
    pack_flags(values.len(), |first, flags| {
        for (&value, flag) in values[first..].iter().zip(flags) {
            *flag = u8::from(f(value));
        }
    })
}

/// A bitmap of `f` over pairs of values.
pub(crate) fn bits2<T: Copy>(a: &[T], b: &[T], f: impl Fn(T, T) -> bool) -> BooleanBuffer {
    pack_flags(a.len().min(b.len()), |first, flags| {
        for ((&a, &b), flag) in a[first..].iter().zip(&b[first..]).zip(flags) {
            *flag = u8::from(f(a, b));
        }
    })
}

/// A bitmap of the rows that get the flag 1; `fill` as for `compress_flags`.
pub(crate) fn pack_flags(rows: usize, fill: impl Fn(usize, &mut [u8])) -> BooleanBuffer {
    let mut words = Vec::with_capacity(rows.div_ceil(64));
    for first in (0..rows).step_by(64) {
        let mut flags = [0_u8; 64];
        // A slice of known length makes the common loop one without a rest.
        if rows - first >= 64 {
            fill(first, &mut flags);
        } else {
            fill(first, &mut flags[..rows - first]);
        }
        words.push(pack(&flags));
    }
    BooleanBuffer::new(arrow::buffer::Buffer::from_vec(words), 0, rows)
}

/// The rows among the candidates (`None`: all of `rows`) for which `f` holds, without branches.
pub(crate) fn positions(
    rows: usize,
    candidates: Option<&[u32]>,
    f: impl Fn(usize) -> bool,
) -> Vec<u32> {
    let Some(candidates) = candidates else {
        return compress_flags(rows, |first, flags| {
            for (row, flag) in (first..).zip(flags) {
                *flag = u8::from(f(row));
            }
        });
    };
    let mut kept = vec![0_u32; candidates.len()];
    let mut count = 0;
    for &row in candidates {
        kept[count] = row;
        count += usize::from(f(row as usize));
    }
    kept.truncate(count);
    kept
}

/// The positions of the values for which `f` holds.
pub(crate) fn compress<T: Copy>(values: &[T], f: impl Fn(T) -> bool) -> Vec<u32> {
    compress_flags(values.len(), |first, flags| {
        for (&value, flag) in values[first..].iter().zip(flags) {
            *flag = u8::from(f(value));
        }
    })
}

/// The positions of the pairs of values for which `f` holds.
pub(crate) fn compress2<T: Copy>(a: &[T], b: &[T], f: impl Fn(T, T) -> bool) -> Vec<u32> {
    compress_flags(a.len().min(b.len()), |first, flags| {
        for ((&a, &b), flag) in a[first..].iter().zip(&b[first..]).zip(flags) {
            *flag = u8::from(f(a, b));
        }
    })
}

/// The rows that get the flag 1: `fill` is given a row and the flags (0 at first) of that row and those after it. Flags
/// are made 64 at a time, so that making them vectorises.
fn compress_flags(rows: usize, fill: impl Fn(usize, &mut [u8])) -> Vec<u32> {
    let mut kept = vec![0_u32; rows];
    let mut count = 0;
    for first in (0..rows).step_by(64) {
        let mut flags = [0_u8; 64];
        if rows - first >= 64 {
            fill(first, &mut flags);
        } else {
            fill(first, &mut flags[..rows - first]);
        }
        let mut word = pack(&flags);
        let ones = word.count_ones() as usize;
        let row = first as u32;
        let room = &mut kept[count..];
        if ones == 64 {
            room.iter_mut().take(64).zip(row..).for_each(|(kept, row)| *kept = row);
        } else if ones <= 24 {
            for kept in &mut room[..ones] {
                *kept = row + word.trailing_zeros();
                word &= word.wrapping_sub(1);
            }
        } else {
            let mut dense = [0_u32; 64];
            let mut at = 0_usize;
            for (row, &flag) in (row..).zip(&flags) {
                dense[at & 63] = row;
                at += usize::from(flag);
            }
            room[..ones].copy_from_slice(&dense[..ones]);
        }
        count += ones;
    }
    kept.truncate(count);
    kept
}

/// 64 flags of 0 or 1 as bits.
fn pack(flags: &[u8; 64]) -> u64 {
    /// Moves the lowest bit of byte i to bit 56 + i.
    const GATHER: u64 = 0x0102_0408_1020_4080;
    let (bytes, _) = flags.as_chunks::<8>();
    let bits = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes).wrapping_mul(GATHER) >> 56;
    bytes.iter().rev().fold(0, |word, bytes| word << 8 | bits(bytes))
}

/// The positions of TRUE in a bitmap of booleans, NULL not being TRUE.
pub(crate) fn true_rows(array: &arrow::array::BooleanArray) -> Vec<u32> {
    match array.nulls() {
        Some(nulls) => (array.values() & nulls.inner()).set_indices_u32().collect(),
        None => array.values().set_indices_u32().collect(),
    }
}
