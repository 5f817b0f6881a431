//! Where sorted rows change: the first row of every run of rows that are equal in the leading keys.
//!
//! Invariant: runs are those that ORDER BY sees: NULLs are equal, NaNs are equal, -0.0 equals 0.0.

use super::{
    jobs::Jobs,
    keys::{Field, FieldCodes, Fields},
};
use crate::error::Result;

/// The positions, ascending, at which rows in the given order differ from the row before them in one of the first `keys`
/// keys; the first row is one of them. `O(rows x keys)`, in parallel.
///
/// # Errors
/// Cancellation.
pub(super) fn starts(
    fields: &Fields,
    keys: usize,
    order: &[Vec<u32>],
    jobs: &Jobs<'_>,
) -> Result<Vec<u32>> {
    let end = keys.checked_sub(1).map_or(0, |last| fields.ends[last]);
    let fields = (&fields.fields[..end], fields.bits);
    let mut before = vec![0];
    for piece in order {
        before.push(before[before.len() - 1] + piece.len());
    }
    let found = jobs.map(order.len(), |i| {
        let last = order[..i].iter().rev().find_map(|piece| piece.last());
        let mut changed = vec![false; order[i].len()];
        mark(fields, last.copied(), &order[i], &mut changed);
        let positions = (before[i] as u32..).zip(changed);
        Ok(positions.filter(|(_, changed)| *changed).map(|(at, _)| at).collect::<Vec<u32>>())
    })?;
    Ok(found.concat())
}

fn mark((fields, bits): (&[Field], u32), last: Option<u32>, rows: &[u32], changed: &mut [bool]) {
    let (Some(first), Some(&row)) = (changed.first_mut(), rows.first()) else { return };
    *first = match last {
        None => true,
        Some(last) => fields.iter().any(|field| differs(field, bits, last, row)),
    };
    for field in fields {
        for (pair, changed) in rows.windows(2).zip(&mut changed[1..]) {
            *changed = *changed || differs(field, bits, pair[0], pair[1]);
        }
    }
}

#[inline]
fn differs(field: &Field, bits: u32, a: u32, b: u32) -> bool {
    let mask = (1 << bits) - 1;
    let at = |row: u32| ((row >> bits) as usize, (row & mask) as usize);
    let ((a_block, a), (b_block, b)) = (at(a), at(b));
    if field.has_nulls() {
        match (field.is_null(a_block, a), field.is_null(b_block, b)) {
            (true, true) => return false,
            (false, false) => {}
            _ => return true,
        }
    }
    match &field.codes {
        FieldCodes::Numbers { blocks, .. } => blocks[a_block][a] != blocks[b_block][b],
        FieldCodes::Bytes { blocks, .. } => blocks[a_block].get(a) != blocks[b_block].get(b),
    }
}
