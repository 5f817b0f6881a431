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
    let mut words = Vec::with_capacity(values.len().div_ceil(64));
    for chunk in values.chunks(64) {
        let mut word = 0_u64;
        for (i, &value) in chunk.iter().enumerate() {
            word |= u64::from(f(value)) << i;
        }
        words.push(word);
    }
    BooleanBuffer::new(arrow::buffer::Buffer::from_vec(words), 0, values.len())
}

/// A bitmap of `f` over pairs of values.
pub(crate) fn bits2<T: Copy>(a: &[T], b: &[T], f: impl Fn(T, T) -> bool) -> BooleanBuffer {
    let mut words = Vec::with_capacity(a.len().div_ceil(64));
    for (a, b) in a.chunks(64).zip(b.chunks(64)) {
        let mut word = 0_u64;
        for (i, (&a, &b)) in a.iter().zip(b).enumerate() {
            word |= u64::from(f(a, b)) << i;
        }
        words.push(word);
    }
    BooleanBuffer::new(arrow::buffer::Buffer::from_vec(words), 0, a.len().min(b.len()))
}

/// The rows among the candidates (`None`: all of `rows`) for which `f` holds, without branches.
pub(crate) fn positions(
    rows: usize,
    candidates: Option<&[u32]>,
    f: impl Fn(usize) -> bool,
) -> Vec<u32> {
    let mut kept = vec![0_u32; candidates.map_or(rows, <[u32]>::len)];
    let mut count = 0;
    match candidates {
        None => {
            for row in 0..rows {
                kept[count] = row as u32;
                count += usize::from(f(row));
            }
        }
        Some(candidates) => {
            for &row in candidates {
                kept[count] = row;
                count += usize::from(f(row as usize));
            }
        }
    }
    kept.truncate(count);
    kept
}

/// The positions of TRUE in a bitmap of booleans, NULL not being TRUE.
pub(crate) fn true_rows(array: &arrow::array::BooleanArray) -> Vec<u32> {
    match array.nulls() {
        Some(nulls) => (array.values() & nulls.inner()).set_indices_u32().collect(),
        None => array.values().set_indices_u32().collect(),
    }
}
