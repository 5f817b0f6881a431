//! The columns of pairs: left and build rows gathered into vectors.
//!
//! Invariant: encodings are kept; one row repeated many times becomes a constant, consecutive build rows a slice.

use arrow::{
    array::UInt32Array,
    buffer::{NullBuffer, ScalarBuffer},
};
use stoadb_storage::{Scalar, Vector};

use crate::{batch::Batch, error::Result};

use super::{Built, pairs::Pairs, table::NONE};

/// From how many pairs of one row on its values are made constants.
const REPEATED_MIN: usize = 64;

/// The left rows of pairs, as positions in the batch's columns.
pub(super) struct LeftRows {
    positions: UInt32Array,
    /// Whether it is one row many times.
    repeated: bool,
}

impl LeftRows {
    /// From positions among the rows that count.
    pub(super) fn new(batch: &Batch, rows: &[u32]) -> Self {
        let positions: ScalarBuffer<u32> = match &batch.selection {
            Some(selection) => rows.iter().map(|&row| selection.rows()[row as usize]).collect(),
            None => rows.iter().copied().collect(),
        };
        // Rows ascend.
        let repeated = rows.len() >= REPEATED_MIN && rows.first() == rows.last();
        Self { positions: UInt32Array::new(positions, None), repeated }
    }

    /// The values of a left column at these rows.
    ///
    /// # Errors
    /// `Internal` when a position is past the end.
    pub(super) fn gather(&self, column: &Vector) -> Result<Vector> {
        if self.repeated {
            let value = column.scalar(self.positions.value(0) as usize)?;
            return Ok(Vector::constant(value, self.positions.len()));
        }
        Ok(column.take(&self.positions)?)
    }
}

/// The columns of both sides, one row per pair.
pub(super) fn join_rows(batch: &Batch, built: &Built, pairs: &Pairs) -> Result<Batch> {
    let rows = pairs.left.len();
    let whole = batch.selection.is_none()
        && rows == batch.rows
        && (0_u32..).zip(&pairs.left).all(|(i, &row)| i == row);
    let mut columns = Vec::with_capacity(batch.columns.len() + built.columns.len());
    if whole {
        columns.extend(batch.columns.iter().cloned());
    } else {
        let left = LeftRows::new(batch, &pairs.left);
        for column in &batch.columns {
            columns.push(left.gather(column)?);
        }
    }
    let right = RightRows::new(&pairs.right);
    for column in built.columns.iter().flatten() {
        columns.push(right.gather(column)?);
    }
    Ok(Batch::new(columns, rows))
}

/// The build rows of pairs.
pub(super) enum RightRows {
    /// Consecutive ones: first and number.
    Run(usize, usize),
    /// One row, or NULL, many times.
    Repeated(Option<usize>, usize),
    /// Any, `NONE` as NULL.
    Any(UInt32Array),
}

impl RightRows {
    /// From row numbers.
    pub(super) fn new(rows: &[u32]) -> Self {
        if let Some(&first) = rows.first()
            && rows.len() >= REPEATED_MIN
            && rows.iter().all(|&row| row == first)
        {
            return Self::Repeated((first != NONE).then_some(first as usize), rows.len());
        }
        if let Some(&first) = rows.first()
            && first != NONE
            && rows.iter().zip(first..).all(|(&row, next)| row == next)
        {
            return Self::Run(first as usize, rows.len());
        }
        if !rows.contains(&NONE) {
            return Self::Any(UInt32Array::new(rows.iter().copied().collect(), None));
        }
        let valid: NullBuffer = rows.iter().map(|&row| row != NONE).collect();
        let rows = rows.iter().map(|&row| if row == NONE { 0 } else { row });
        Self::Any(UInt32Array::new(rows.collect(), Some(valid)))
    }

    /// The values of a build column at these rows.
    ///
    /// # Errors
    /// `Internal` when a row number is past the end.
    pub(super) fn gather(&self, column: &Vector) -> Result<Vector> {
        match self {
            Self::Run(first, rows) => Ok(column.slice(*first, *rows)),
            Self::Repeated(Some(row), rows) => Ok(Vector::constant(column.scalar(*row)?, *rows)),
            Self::Repeated(None, rows) => Ok(Vector::constant(Scalar::null(column.ty()?), *rows)),
            Self::Any(rows) if column.is_empty() => {
                // The build side is empty and every row is NULL.
                Ok(Vector::constant(Scalar::null(column.ty()?), rows.len()))
            }
            Self::Any(rows) => Ok(column.take(rows)?),
        }
    }
}
