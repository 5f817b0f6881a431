//! How a column of a segment is laid out in memory.
//!
//! Invariants: every encoding is plain Arrow buffers; reading a range of rows gives a `Vector` without copying values
//! (runs excepted, which are expanded); the planner never sees an encoding.
//! Next: `table/column.rs`, which chooses one per segment.

use std::{ops::Range, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, UInt32Array},
    buffer::ScalarBuffer,
    compute,
};

use crate::{
    error::Result,
    ledger::array_bytes,
    scalar::Scalar,
    types::LogicalType,
    vector::{DictionaryValues, DictionaryVector, NarrowVector, Vector},
};

/// The layout of a column's values.
#[derive(Debug, Clone)]
pub enum Encoding {
    /// The same value, or NULL, in every row.
    Constant(Scalar),
    /// The canonical Arrow layout.
    Plain(ArrayRef),
    /// Offsets from a base: `UInt8`, `UInt16`, `UInt32`, or `Int64` with base 0 (decimals of up to 18 digits).
    Narrow {
        /// Added to every offset.
        base: i64,
        /// The offsets; NULLs as in the column.
        offsets: ArrayRef,
    },
    /// Codes (`UInt8`, `UInt16` or `UInt32`; NULLs as in the column) into distinct values without NULL.
    Dictionary {
        /// The codes.
        codes: ArrayRef,
        /// The values that they mean.
        values: Arc<DictionaryValues>,
    },
    /// Runs of equal values.
    RunEnd {
        /// Where each run ends: ascending, the last one is the number of rows.
        ends: ScalarBuffer<u32>,
        /// The value of each run, in canonical layout.
        values: ArrayRef,
    },
    /// Texts or blobs as views into buffers that hold nothing but this column's long values.
    View(ArrayRef),
}

impl Encoding {
    /// The encoding's name, as `EXPLAIN` shows it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Constant(_) => "constant",
            Self::Plain(_) => "plain",
            Self::Narrow { .. } => "narrow",
            Self::Dictionary { .. } => "dictionary",
            Self::RunEnd { .. } => "run-end",
            Self::View(_) => "view",
        }
    }

    /// Bytes that the values take. O(rows) for texts.
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Constant(value) => array_bytes(value.array().as_ref()),
            Self::Plain(array) | Self::View(array) => array_bytes(array.as_ref()),
            Self::Narrow { offsets, .. } => array_bytes(offsets.as_ref()),
            Self::Dictionary { codes, values } => {
                array_bytes(codes.as_ref()) + array_bytes(values.values().as_ref())
            }
            Self::RunEnd { ends, values } => ends.len() as u64 * 4 + array_bytes(values.as_ref()),
        }
    }

    /// The values of a range of rows, which lies within the column. O(1), but O(rows) for run-end.
    ///
    /// # Errors
    /// `Internal` when the runs do not cover the range.
    pub fn read(&self, ty: &LogicalType, rows: Range<usize>) -> Result<Vector> {
        let (offset, len) = (rows.start, rows.len());
        Ok(match self {
            Self::Constant(value) => Vector::constant(value.clone(), len),
            Self::Plain(array) | Self::View(array) => Vector::Flat(array.slice(offset, len)),
            Self::Narrow { base, offsets } => Vector::Narrow(NarrowVector {
                ty: ty.clone(),
                base: *base,
                offsets: offsets.slice(offset, len),
                charge: None,
            }),
            Self::Dictionary { codes, values } => Vector::Dictionary(DictionaryVector {
                codes: codes.slice(offset, len),
                dictionary: Arc::clone(values),
                charge: None,
            }),
            Self::RunEnd { ends, values } => read_runs(ends, values, rows)?,
        })
    }

    /// How many of a range of rows are NULL. O(rows / 64).
    pub fn null_count(&self, rows: Range<usize>) -> usize {
        match self {
            Self::Constant(value) if value.is_null() => rows.len(),
            Self::Constant(_) => 0,
            Self::Plain(array) | Self::View(array) => {
                array.slice(rows.start, rows.len()).logical_null_count()
            }
            Self::Narrow { offsets: inner, .. } | Self::Dictionary { codes: inner, .. } => {
                inner.slice(rows.start, rows.len()).null_count()
            }
            Self::RunEnd { ends, values } => {
                let runs = run_lengths(ends, rows);
                runs.filter(|(run, _)| values.is_null(*run)).map(|(_, len)| len).sum()
            }
        }
    }
}

/// The runs that overlap a range of rows, with the length of the overlap.
pub(crate) fn run_lengths(
    ends: &[u32],
    rows: Range<usize>,
) -> impl Iterator<Item = (usize, usize)> + '_ {
    let first = ends.partition_point(|&end| end as usize <= rows.start);
    let overlap = move |run: usize| {
        let begin = if run == 0 { 0 } else { ends[run - 1] as usize };
        let end = (ends[run] as usize).min(rows.end);
        (run, end.saturating_sub(begin.max(rows.start)))
    };
    (first..ends.len()).map(overlap).take_while(|(_, len)| *len > 0)
}

fn read_runs(ends: &[u32], values: &ArrayRef, rows: Range<usize>) -> Result<Vector> {
    let len = rows.len();
    let mut positions: Vec<u32> = Vec::with_capacity(len);
    let mut runs = 0;
    for (run, len) in run_lengths(ends, rows) {
        #[expect(clippy::cast_possible_truncation, reason = "a segment has fewer than 2^32 runs")]
        positions.extend(std::iter::repeat_n(run as u32, len));
        runs += 1;
    }
    match positions.first() {
        Some(&run) if runs == 1 => {
            let value = Scalar::from_array(values.as_ref(), run as usize)?;
            Ok(Vector::constant(value, len))
        }
        _ => Ok(Vector::Flat(compute::take(values, &UInt32Array::from(positions), None)?)),
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, Int64Array};
    use arrow::datatypes::Int64Type;

    use super::*;

    #[test]
    fn test_read_of_every_encoding_equals_the_values() {
        let plain = Int64Array::from(vec![Some(7), Some(7), None, None, None, Some(-3), Some(7)]);
        let codes = arrow::array::UInt8Array::from(vec![
            Some(1),
            Some(1),
            None,
            None,
            None,
            Some(0),
            Some(1),
        ]);
        let offsets = arrow::array::UInt16Array::from(vec![
            Some(10),
            Some(10),
            None,
            None,
            None,
            Some(0),
            Some(10),
        ]);
        let runs = Int64Array::from(vec![Some(7), None, Some(-3), Some(7)]);
        let entries: ArrayRef = Arc::new(Int64Array::from(vec![-3, 7]));
        let encodings = [
            Encoding::Plain(Arc::new(plain.clone())),
            Encoding::Dictionary {
                codes: Arc::new(codes),
                values: Arc::new(DictionaryValues::new(entries)),
            },
            Encoding::Narrow { base: -3, offsets: Arc::new(offsets) },
            Encoding::RunEnd { ends: vec![2, 5, 6, 7].into(), values: Arc::new(runs) },
        ];
        for encoding in encodings {
            for start in 0..=7 {
                for end in start..=7 {
                    let vector = encoding.read(&LogicalType::Int64, start..end).unwrap();
                    let array = vector.flatten().unwrap();
                    let want = plain.slice(start, end - start);
                    let name = encoding.name();
                    assert_eq!(array.as_primitive::<Int64Type>(), &want, "{name} {start}..{end}");
                    assert_eq!(encoding.null_count(start..end), want.null_count(), "{name}");
                }
            }
        }
        let constant = Encoding::Constant(Scalar::int64(7));
        let array = constant.read(&LogicalType::Int64, 0..2).unwrap().flatten().unwrap();
        assert_eq!(array.as_primitive::<Int64Type>(), &plain.slice(0, 2));
    }
}
