//! Tests of Parquet in place: files are written by the parquet crate, and answers are compared with its plain reader.

mod damage;
mod dataset;
mod encodings;
mod filter;
mod foreign;
mod pruning;
mod types;

use std::{fs::File, path::Path, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, RecordBatch, RecordBatchOptions},
    compute,
};
use parquet::{
    arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder},
    file::properties::WriterProperties,
};

use super::{FooterCache, ParquetDataset, ParquetOptions};
use crate::{
    error::{Result, StorageError},
    ledger::ScanLedger,
    prune::Prune,
    scan::{LocalRowFilter, Relation, RowFilter, ScanBatch, ScanSpec},
    vector::{Selection, Vector},
};

/// Writes a batch to `folder/name`; gives the path.
fn write(folder: &Path, name: &str, batch: &RecordBatch, properties: WriterProperties) -> String {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let file = File::create(&path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    path.to_str().unwrap().to_owned()
}

fn small_groups() -> WriterProperties {
    WriterProperties::builder().set_max_row_group_row_count(Some(1300)).build()
}

fn open(path: &str) -> Result<Arc<ParquetDataset>> {
    ParquetDataset::open(&[path.to_owned()], &ParquetOptions::default(), &FooterCache::new())
}

/// The plain reader's answer in canonical layout.
fn oracle(path: &str) -> RecordBatch {
    let file = File::open(path).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let schema = Arc::clone(reader.schema());
    let batches: Vec<_> = reader.build().unwrap().map(|batch| batch.unwrap()).collect();
    let all = compute::concat_batches(&schema, &batches).unwrap();
    let target = crate::types::Schema::from_arrow(&schema).unwrap().to_arrow();
    let cast = |(array, field): (&ArrayRef, &arrow::datatypes::FieldRef)| {
        compute::cast(array, field.data_type()).unwrap()
    };
    let columns: Vec<_> = all.columns().iter().zip(target.fields()).map(cast).collect();
    batch(columns, all.num_rows())
}

/// A batch of unnamed nullable columns: what is compared is values.
fn batch(columns: Vec<ArrayRef>, rows: usize) -> RecordBatch {
    let field = |(i, array): (usize, &ArrayRef)| {
        arrow::datatypes::Field::new(format!("c{i}"), array.data_type().clone(), true)
    };
    let fields: Vec<_> = columns.iter().enumerate().map(field).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let schema = Arc::new(arrow::datatypes::Schema::new(fields));
    RecordBatch::try_new_with_options(schema, columns, &options).unwrap()
}

struct Request {
    projection: Vec<usize>,
    prune: Option<Prune>,
    filter: Option<Arc<dyn RowFilter>>,
    vector_size: usize,
}

impl Request {
    fn columns(projection: impl IntoIterator<Item = usize>) -> Self {
        let projection = projection.into_iter().collect();
        Self { projection, prune: None, filter: None, vector_size: 2048 }
    }
}

/// All batches of a scan and its ledger.
fn scan(relation: &dyn Relation, request: &Request) -> Result<(Vec<ScanBatch>, Arc<ScanLedger>)> {
    let ledger = relation.ledger();
    let scan = relation.scan(ScanSpec {
        projection: request.projection.clone(),
        prune: request.prune.clone(),
        filter: request.filter.clone(),
        rows: None,
        vector_size: request.vector_size,
        ledger: Arc::clone(&ledger),
    })?;
    let mut batches = Vec::new();
    for morsel in 0..scan.morsels() {
        let mut morsel = scan.open(morsel)?;
        while let Some(batch) = morsel.next()? {
            assert!(batch.rows > 0 && batch.rows <= request.vector_size);
            assert_eq!(batch.columns.len(), request.projection.len());
            assert!(batch.columns.iter().all(|column| column.len() == batch.rows));
            assert!(batch.selection.as_ref().is_none_or(|s| !s.is_empty()));
            batches.push(batch);
        }
        assert!(morsel.next()?.is_none());
    }
    Ok((batches, ledger))
}

/// The rows of a scan as one batch.
fn read(relation: &dyn Relation, request: &Request) -> Result<RecordBatch> {
    let (batches, _) = scan(relation, request)?;
    let rows = |b: &ScanBatch| b.selection.as_ref().map_or(b.rows, Selection::len);
    let total = batches.iter().map(rows).sum();
    let mut columns = Vec::new();
    for (at, &column) in request.projection.iter().enumerate() {
        let ty = relation.schema().ty(column).to_arrow();
        let mut parts: Vec<ArrayRef> = vec![arrow::array::new_empty_array(&ty)];
        for batch in &batches {
            let vector = &batch.columns[at];
            let vector = match &batch.selection {
                Some(selection) => vector.select(selection)?,
                None => vector.clone(),
            };
            assert_eq!(vector.ty()?.to_arrow(), ty);
            let array = vector.flatten()?;
            assert_eq!(*array.data_type(), ty);
            parts.push(array);
        }
        let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
        columns.push(compute::concat(&parts)?);
    }
    Ok(batch(columns, total))
}

/// Judges one row from the filter's columns in canonical layout.
type RowPredicate = dyn Fn(&[ArrayRef], usize) -> bool + Send + Sync;

/// A filter that judges row by row.
#[derive(Clone)]
struct TestFilter {
    columns: Vec<usize>,
    predicate: Arc<RowPredicate>,
}

impl TestFilter {
    fn new(
        columns: impl IntoIterator<Item = usize>,
        predicate: impl Fn(&[ArrayRef], usize) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self { columns: columns.into_iter().collect(), predicate: Arc::new(predicate) }
    }
}

impl RowFilter for TestFilter {
    fn columns(&self) -> &[usize] {
        &self.columns
    }

    fn local(&self) -> Result<Box<dyn LocalRowFilter>> {
        Ok(Box::new(self.clone()))
    }
}

impl LocalRowFilter for TestFilter {
    fn select(&mut self, columns: &[Vector], rows: usize) -> Result<Option<Selection>> {
        assert_eq!(columns.len(), self.columns.len());
        let arrays = columns.iter().map(Vector::flatten).collect::<Result<Vec<_>>>()?;
        assert!(arrays.iter().all(|array| array.len() == rows));
        let kept = (0..rows).filter(|&row| (self.predicate)(&arrays, row));
        let kept: Vec<u32> = kept.map(|row| u32::try_from(row).unwrap()).collect();
        Ok((kept.len() < rows).then(|| Selection::new(kept)))
    }
}

/// A filter that fails.
struct FailingFilter;

impl RowFilter for FailingFilter {
    fn columns(&self) -> &[usize] {
        &[0]
    }

    fn local(&self) -> Result<Box<dyn LocalRowFilter>> {
        Err(StorageError::Cancelled)
    }
}

/// A small generator of numbers that do not repeat soon; the same on every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        self.0 >> 33
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next()).unwrap() % end
    }
}
