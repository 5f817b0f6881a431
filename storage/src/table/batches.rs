//! Arrow batches registered under a name: read where they lie.
//!
//! Invariant: nothing is copied and no value is touched before a scan asks for it; a scan converts one vector at a time
//! and only of the columns that it reads. Dictionaries are converted once and shared by all scans.
//! Next: `scan.rs`.

use std::{
    ops::Range,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use arrow::{
    array::{Array, ArrayData, ArrayRef, AsArray, RecordBatch},
    compute,
    datatypes::{DataType, SchemaRef},
};
use hashbrown::HashSet;

use crate::{
    error::{Result, StorageError},
    ledger::ScanLedger,
    prune::ColumnRange,
    scan::{Relation, Scan, ScanSpec},
    table::scan::{Account, Live, Parts, RunScan, blocks},
    types::{LogicalType, Schema},
    vector::{DictionaryValues, DictionaryVector, Vector, dictionary_codes},
};

/// Arrow batches as a relation. Any Arrow layout is fine; it is brought into canonical layout vector by vector.
pub struct BatchTable {
    schema: Schema,
    rows: u64,
    parts: Arc<Batches>,
}

struct Batches {
    batches: Vec<RecordBatch>,
    /// The dictionary of each dictionary column: one slot per batch and column, filled on first use.
    slots: Vec<OnceLock<Arc<DictionaryValues>>>,
    /// The dictionaries made so far with the arrays that they were made of, per column, to be shared among batches.
    made: Vec<Mutex<Vec<Made>>>,
}

/// An Arrow dictionary and what was made of it.
type Made = (ArrayData, Arc<DictionaryValues>);

impl BatchTable {
    /// A relation of the batches' rows, in order. No value is copied, read or checked.
    ///
    /// # Errors
    /// `Unsupported` for a column type without a logical type; `Value` when a batch does not fit the schema.
    pub fn new(schema: SchemaRef, batches: Vec<RecordBatch>) -> Result<Arc<Self>> {
        let schema = Schema::from_arrow(&schema)?;
        for (i, batch) in batches.iter().enumerate() {
            check(&schema, batch).map_err(|message| {
                StorageError::Value(format!("batch {i} does not fit the schema: {message}"))
            })?;
        }
        let rows = batches.iter().map(|batch| batch.num_rows() as u64).sum();
        let slots = (0..batches.len() * schema.len()).map(|_| OnceLock::new()).collect();
        let made = (0..schema.len()).map(|_| Mutex::default()).collect();
        Ok(Arc::new(Self { schema, rows, parts: Arc::new(Batches { batches, slots, made }) }))
    }
}

fn check(schema: &Schema, batch: &RecordBatch) -> Result<(), String> {
    if batch.num_columns() != schema.len() {
        return Err(format!("{} columns instead of {}", batch.num_columns(), schema.len()));
    }
    for (column, array) in schema.columns.iter().zip(batch.columns()) {
        let ty = LogicalType::from_arrow(array.data_type()).map_err(|error| error.to_string())?;
        if ty != column.ty {
            return Err(format!("column '{}' is {ty} instead of {}", column.name, column.ty));
        }
    }
    Ok(())
}

impl Relation for BatchTable {
    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn rows(&self) -> u64 {
        self.rows
    }

    fn ledger(&self) -> Arc<ScanLedger> {
        let stored = |column| {
            let mut seen = HashSet::new();
            let arrays = self.parts.batches.iter().map(|batch| batch.column(column).to_data());
            arrays.map(|data| stored_bytes(&data, &mut seen)).sum()
        };
        let names = self.schema.columns.iter().enumerate();
        ScanLedger::new(names.map(|(i, column)| (column.name.clone(), stored(i))))
    }

    fn column_range(&self, column: usize) -> ColumnRange {
        let arrays = || self.parts.batches.iter().map(|batch| batch.column(column));
        let plain = |array: &ArrayRef| {
            !matches!(array.data_type(), DataType::Dictionary(..) | DataType::RunEndEncoded(..))
        };
        let nulls = |array: &ArrayRef| match array.nulls() {
            Some(nulls) => nulls.null_count() as u64,
            None if *array.data_type() == DataType::Null => array.len() as u64,
            None => 0,
        };
        ColumnRange {
            min: None,
            max: None,
            nulls: arrays().all(plain).then(|| arrays().map(nulls).sum()),
            no_nan: !self.schema.ty(column).is_float(),
        }
    }

    fn distinct(&self, _column: usize) -> Option<u64> {
        None
    }

    fn scan(&self, spec: ScanSpec) -> Result<Box<dyn Scan>> {
        let batches = self.parts.batches.iter().enumerate();
        let runs = batches.flat_map(|(i, batch)| blocks(i, batch.num_rows())).collect();
        Ok(Box::new(RunScan::new(Arc::clone(&self.parts), runs, self.rows, spec)))
    }
}

/// Bytes of the buffers that an array refers to, children included, each counted once. Touches no value.
fn stored_bytes(data: &ArrayData, seen: &mut HashSet<usize>) -> u64 {
    let validity = data.nulls().map_or(0, |nulls| nulls.len().div_ceil(8) as u64);
    let buffers = data.buffers().iter().filter(|buffer| seen.insert(buffer.as_ptr() as usize));
    let buffers: u64 = buffers.map(|buffer| buffer.len() as u64).sum();
    let children = data.child_data().iter().map(|child| stored_bytes(child, seen));
    validity + buffers + children.sum::<u64>()
}

impl Parts for Batches {
    fn live(&self, _part: usize, _rows: Range<usize>) -> Live {
        Live::All
    }

    fn read(
        &self,
        part: usize,
        column: usize,
        rows: Range<usize>,
        account: &Account<'_>,
    ) -> Result<Vector> {
        let array = self.batches[part].column(column);
        let slice = array.slice(rows.start, rows.len());
        let DataType::Dictionary(_, value) = array.data_type() else {
            return Ok(account.hand_out(Vector::from_arrow(&slice)?));
        };
        if LogicalType::from_arrow(value)?.is_nested() {
            return Ok(account.hand_out(Vector::from_arrow(&slice)?));
        }
        let codes = dictionary_codes(slice.as_any_dictionary().keys())?;
        let dictionary = self.dictionary(part, column, array)?;
        let vector = DictionaryVector { codes, dictionary, charge: None };
        Ok(account.hand_out(Vector::Dictionary(vector)))
    }
}

impl Batches {
    /// The dictionary of a batch's column, made on first use and shared with the batches that point into the same one.
    fn dictionary(
        &self,
        part: usize,
        column: usize,
        array: &ArrayRef,
    ) -> Result<Arc<DictionaryValues>> {
        let slot = &self.slots[part * self.made.len() + column];
        if let Some(dictionary) = slot.get() {
            return Ok(Arc::clone(dictionary));
        }
        let values = array.as_any_dictionary().values();
        let data = values.to_data();
        let mut made = self.made[column].lock().unwrap_or_else(PoisonError::into_inner);
        let known = made.iter().find(|(known, _)| known.ptr_eq(&data));
        let dictionary = match known {
            Some((_, dictionary)) => Arc::clone(dictionary),
            None => {
                let ty = LogicalType::from_arrow(values.data_type())?.to_arrow();
                let canonical = match values.data_type() == &ty {
                    true => Arc::clone(values),
                    false => compute::cast(values, &ty)?,
                };
                let dictionary = Arc::new(DictionaryValues::new(canonical));
                made.push((data, Arc::clone(&dictionary)));
                dictionary
            }
        };
        Ok(Arc::clone(slot.get_or_init(|| dictionary)))
    }
}
