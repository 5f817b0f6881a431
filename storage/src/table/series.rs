//! Whole numbers at equal distances as a relation: `range(..)` and `generate_series(..)` in FROM.
//!
//! Invariant: numbers are made vector by vector when a scan asks for them, and none that does not fit is ever made.

use std::{ops::Range, sync::Arc};

use arrow::array::Int64Array;

use crate::{
    error::{Result, StorageError},
    ledger::ScanLedger,
    prune::ColumnRange,
    scalar::Scalar,
    scan::{Relation, Scan, ScanSpec},
    table::scan::{Account, Live, Parts, RunScan, blocks},
    types::{ColumnDef, LogicalType, Schema},
    vector::Vector,
};

/// More numbers are refused: the list of blocks alone would fill memory.
const MOST_ROWS: u64 = 1 << 36;

/// The numbers `first + i * step` for `i` below a count, in one BIGINT column.
pub struct Series {
    schema: Schema,
    numbers: Arc<Numbers>,
}

#[derive(Debug, Clone, Copy)]
struct Numbers {
    first: i64,
    step: i64,
    rows: u64,
}

impl Series {
    /// The numbers from `first` on, `step` apart, before `end`, or up to it if `inclusive`. None when `step` leads away
    /// from `end`.
    ///
    /// # Errors
    /// `Value` for a step of 0 or more than 2^36 numbers.
    pub fn new(
        column: &str,
        first: i64,
        end: i64,
        step: i64,
        inclusive: bool,
    ) -> Result<Arc<Self>> {
        if step == 0 {
            return Err(StorageError::Value("the step of a series must not be 0".into()));
        }
        let distance = (i128::from(end) - i128::from(first)) * i128::from(step.signum());
        let width = u128::from(step.unsigned_abs());
        let rows = match u128::try_from(distance) {
            Ok(distance) if inclusive => distance / width + 1,
            Ok(distance) => distance.div_ceil(width),
            Err(_) => 0,
        };
        let rows = u64::try_from(rows).ok().filter(|rows| *rows <= MOST_ROWS).ok_or_else(|| {
            StorageError::Value(format!("a series of {rows} numbers, more than {MOST_ROWS}"))
        })?;
        let column = ColumnDef { nullable: false, ..ColumnDef::new(column, LogicalType::Int64) };
        let numbers = Arc::new(Numbers { first, step, rows });
        Ok(Arc::new(Self { schema: Schema::new(vec![column]), numbers }))
    }
}

impl Numbers {
    /// The number of a row; rows are within the series.
    fn at(&self, row: u64) -> i64 {
        // Wraps only on the way: the sum is between two numbers that fit.
        self.first.wrapping_add((row as i64).wrapping_mul(self.step))
    }

    fn bounds(&self, rows: Range<u64>) -> ColumnRange {
        let ends = (!rows.is_empty()).then(|| (self.at(rows.start), self.at(rows.end - 1)));
        ColumnRange {
            min: ends.map(|(a, b)| Scalar::int64(a.min(b))),
            max: ends.map(|(a, b)| Scalar::int64(a.max(b))),
            nulls: Some(0),
            no_nan: true,
        }
    }
}

impl Relation for Series {
    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn rows(&self) -> u64 {
        self.numbers.rows
    }

    fn ledger(&self) -> Arc<ScanLedger> {
        ScanLedger::new(self.schema.columns.iter().map(|column| (column.name.clone(), 0)))
    }

    fn column_range(&self, _column: usize) -> ColumnRange {
        self.numbers.bounds(0..self.numbers.rows)
    }

    fn distinct(&self, _column: usize) -> Option<u64> {
        Some(self.numbers.rows)
    }

    fn scan(&self, spec: ScanSpec) -> Result<Box<dyn Scan>> {
        let numbers = &self.numbers;
        let mut runs: Vec<_> = blocks(0, numbers.rows as usize).collect();
        if let Some(prune) = &spec.prune {
            runs.retain(|run| {
                let rows = run.offset as u64..(run.offset + run.rows) as u64;
                prune.may_match(&|_| numbers.bounds(rows.clone()))
            });
        }
        let rows = runs.iter().map(|run| run.rows as u64).sum();
        Ok(Box::new(RunScan::new(Arc::clone(numbers), runs, rows, spec)))
    }
}

impl Parts for Numbers {
    fn live(&self, _part: usize, _rows: Range<usize>) -> Live {
        Live::All
    }

    fn read(
        &self,
        _part: usize,
        _column: usize,
        rows: Range<usize>,
        account: &Account<'_>,
    ) -> Result<Vector> {
        let values = (rows.start as u64..rows.end as u64).map(|row| self.at(row));
        let array = Int64Array::from_iter_values(values);
        Ok(account.hand_out(Vector::Flat(Arc::new(array))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(first: i64, end: i64, step: i64, inclusive: bool) -> Vec<i64> {
        let series = Series::new("x", first, end, step, inclusive).unwrap();
        (0..series.rows()).map(|row| series.numbers.at(row)).collect()
    }

    #[test]
    fn test_series_end_where_they_should() {
        assert_eq!(numbers(0, 3, 1, false), [0, 1, 2]);
        assert_eq!(numbers(0, 3, 1, true), [0, 1, 2, 3]);
        assert_eq!(numbers(1, 8, 3, false), [1, 4, 7]);
        assert_eq!(numbers(1, 7, 3, false), [1, 4]);
        assert_eq!(numbers(5, 1, -2, true), [5, 3, 1]);
        assert_eq!(numbers(5, 1, -2, false), [5, 3]);
        assert!(numbers(1, 5, -1, true).is_empty());
        assert!(numbers(3, 3, 1, false).is_empty());
        assert_eq!(numbers(3, 3, 1, true), [3]);
        let (low, high) = (i64::MIN, i64::MAX);
        assert_eq!(numbers(low, high, high, true), [low, -1, high - 1]);
        assert_eq!(numbers(high - 2, high, 1, true), [high - 2, high - 1, high]);
        assert_eq!(numbers(low + 1, low, -1, true), [low + 1, low]);
        assert!(Series::new("x", 0, 1, 0, true).is_err());
        assert!(Series::new("x", low, high, 1, true).is_err());
    }
}
