//! A table with one column more: the positions of its rows, by which DELETE and UPDATE name them.
//!
//! Invariant: the column holds the positions of the version's layout; deleted rows are not shown.
//! Next: `row_set.rs`, which holds what was found.

use std::{ops::Range, sync::Arc};

use arrow::array::Int64Array;

use crate::{
    error::Result,
    ledger::ScanLedger,
    prune::{ColumnRange, Prune},
    scan::{Judged, Relation, Scan, ScanSpec},
    table::{
        indexes::TableIndex,
        scan::{Account, Live, Parts, RunScan},
        stats::Statistics,
        tail::PartList,
        version::TableVersion,
    },
    types::{ColumnDef, LogicalType, Schema},
    vector::Vector,
};

/// The rows of a version of a table with their positions in a last column.
pub struct WithPositions {
    table: TableVersion,
    schema: Schema,
    parts: Arc<Positioned>,
}

/// The parts of a table with the positions of their first rows.
struct Positioned {
    parts: Arc<PartList>,
    starts: Vec<u64>,
    /// The ordinal of the positions' column.
    column: usize,
}

impl WithPositions {
    /// A table whose last column, of a name that no other one has, is the rows' positions as BIGINT.
    pub fn new(table: &TableVersion, name: &str) -> Arc<Self> {
        let mut schema = table.schema().clone();
        let mut position = ColumnDef::new(name, LogicalType::Int64);
        position.nullable = false;
        schema.columns.push(position);
        let mut starts = vec![];
        let mut start = 0;
        for part in table.parts() {
            starts.push(start);
            start += part.segment.rows() as u64;
        }
        let column = schema.len() - 1;
        let parts = Arc::new(Positioned { parts: table.part_list(), starts, column });
        Arc::new(Self { table: table.clone(), schema, parts })
    }
}

impl Relation for WithPositions {
    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn rows(&self) -> u64 {
        self.table.rows()
    }

    fn ledger(&self) -> Arc<ScanLedger> {
        let position = self.schema.columns.last().map(|column| (column.name.clone(), 0));
        ScanLedger::new(self.table.stored_columns().chain(position))
    }

    fn column_range(&self, column: usize) -> ColumnRange {
        match column == self.parts.column {
            true => ColumnRange::default(),
            false => self.table.column_range(column),
        }
    }

    fn distinct(&self, column: usize) -> Option<u64> {
        match column == self.parts.column {
            true => Some(self.table.rows()),
            false => self.table.distinct(column),
        }
    }

    fn indexes(&self) -> &[Arc<TableIndex>] {
        self.table.indexes()
    }

    fn judged(&self, prune: Option<&Prune>) -> Judged {
        self.table.judged(prune)
    }

    fn scan(&self, spec: ScanSpec) -> Result<Box<dyn Scan>> {
        let (runs, rows) = self.table.runs(&spec);
        Ok(Box::new(RunScan::new(Arc::clone(&self.parts), runs, rows, spec)))
    }
}

impl Parts for Positioned {
    fn live(&self, part: usize, rows: Range<usize>) -> Live {
        self.parts.live(part, rows)
    }

    fn read(
        &self,
        part: usize,
        column: usize,
        rows: Range<usize>,
        account: &Account<'_>,
    ) -> Result<Vector> {
        if column != self.column {
            return self.parts.read(part, column, rows, account);
        }
        #[expect(clippy::cast_possible_wrap, reason = "tables have fewer than 2^63 rows")]
        let first = (self.starts[part] + rows.start as u64) as i64;
        #[expect(clippy::cast_possible_wrap, reason = "the rows of a vector")]
        let positions = first..first + rows.len() as i64;
        Ok(Vector::Flat(Arc::new(Int64Array::from_iter_values(positions))))
    }

    fn statistics(&self, part: usize, column: usize, block: Option<usize>) -> Option<&Statistics> {
        match column == self.column {
            true => None,
            false => self.parts.statistics(part, column, block),
        }
    }
}
