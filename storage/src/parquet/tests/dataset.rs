//! Many files as one relation: order, key folders, disagreement, changes.

use std::sync::Arc;

use arrow::{array::*, datatypes::Int64Type};
use parquet::file::properties::WriterProperties;

use super::*;
use crate::{prune::PruneOp, scalar::Scalar, types::LogicalType};

fn numbers(name: &str, values: &[i64]) -> RecordBatch {
    let array: ArrayRef = Arc::new(Int64Array::from(values.to_vec()));
    RecordBatch::try_from_iter([(name, array)]).unwrap()
}

fn put(folder: &Path, name: &str, batch: &RecordBatch) -> String {
    write(folder, name, batch, WriterProperties::default())
}

fn open_with(pattern: &Path, options: &ParquetOptions) -> Result<Arc<ParquetDataset>> {
    let pattern = pattern.to_str().unwrap().to_owned();
    ParquetDataset::open(&[pattern], options, &FooterCache::new())
}

#[test]
fn test_files_stand_in_order_of_paths() {
    let folder = tempfile::tempdir().unwrap();
    for (name, value) in [("b.parquet", 2), ("c.parquet", 3), ("a.parquet", 1)] {
        put(folder.path(), name, &numbers("n", &[value, value * 10]));
    }
    let options = ParquetOptions { filename: true, ..ParquetOptions::default() };
    for pattern in [folder.path().to_owned(), folder.path().join("*.parquet")] {
        let dataset = open_with(&pattern, &options).unwrap();
        let found = read(dataset.as_ref(), &Request::columns([0, 1])).unwrap();
        assert_eq!(found.column(0).as_primitive::<Int64Type>().values(), &[1, 10, 2, 20, 3, 30]);
        assert!(found.column(1).as_string_view().value(2).ends_with("b.parquet"));
        assert_eq!(dataset.distinct(1), Some(3));
        assert_eq!(dataset.rows(), 6);
    }
}

#[test]
fn test_hive_keys_are_columns_and_prune_files() {
    let folder = tempfile::tempdir().unwrap();
    for (year, day) in [(2023, "2023-05-01"), (2024, "2024-05-01"), (2025, "2025-05-01")] {
        let name = format!("year={year}/day={day}/x.parquet");
        put(folder.path(), &name, &numbers("n", &[year, -year]));
    }
    let dataset = open_with(folder.path(), &ParquetOptions::default()).unwrap();
    let types: Vec<_> = dataset.schema().columns.iter().map(|c| (c.name.as_str(), &c.ty)).collect();
    let expected =
        [("n", &LogicalType::Int64), ("year", &LogicalType::Int64), ("day", &LogicalType::Date)];
    assert_eq!(types, expected);
    let year = |op, year| Prune::Compare { column: 1, op, value: Scalar::int64(year) };
    let request = Request { prune: Some(year(PruneOp::Gt, 2023)), ..Request::columns([1, 0]) };
    let (batches, _) = scan(dataset.as_ref(), &request).unwrap();
    assert_eq!(batches.len(), 2);
    assert!(matches!(batches[0].columns[0], Vector::Constant { .. }));
    let found = read(dataset.as_ref(), &request).unwrap();
    assert_eq!(found.column(0).as_primitive::<Int64Type>().values(), &[2024, 2024, 2025, 2025]);
    let range = dataset.column_range(1);
    assert_eq!((range.min, range.max), (Some(Scalar::int64(2023)), Some(Scalar::int64(2025))));
    // A filter on a key alone reads no file.
    let filter = TestFilter::new([1], |arrays, row| {
        arrays[0].as_primitive::<Int64Type>().value(row) == 2025
    });
    let request = Request { filter: Some(Arc::new(filter)), ..Request::columns([0]) };
    let found = read(dataset.as_ref(), &request).unwrap();
    assert_eq!(found.column(0).as_primitive::<Int64Type>().values(), &[2025, -2025]);
    let off = ParquetOptions { hive_partitioning: Some(false), ..ParquetOptions::default() };
    assert_eq!(open_with(folder.path(), &off).unwrap().schema().len(), 1);
}

#[test]
fn test_files_that_disagree_are_named() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "a.parquet", &numbers("n", &[1]));
    let text: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
    let other = RecordBatch::try_from_iter([("n", Arc::clone(&text))]).unwrap();
    let path = put(folder.path(), "b.parquet", &other);
    let union = ParquetOptions { union_by_name: true, ..ParquetOptions::default() };
    for options in [ParquetOptions::default(), union.clone()] {
        let error = open_with(folder.path(), &options).unwrap_err().to_string();
        assert!(error.contains("b.parquet") && error.contains("'n'"), "{error}");
        assert!(error.contains("VARCHAR") && error.contains("BIGINT"), "{error}");
    }
    std::fs::remove_file(&path).unwrap();
    let more: ArrayRef = Arc::new(Int64Array::from(vec![2]));
    let more = RecordBatch::try_from_iter([("m", text), ("n", more)]).unwrap();
    put(folder.path(), "b.parquet", &more);
    let error = open_with(folder.path(), &ParquetOptions::default()).unwrap_err().to_string();
    assert!(error.contains("b.parquet") && error.contains("'m'"), "{error}");
    let dataset = open_with(folder.path(), &union).unwrap();
    let found = read(dataset.as_ref(), &Request::columns([0, 1])).unwrap();
    assert_eq!(found.column(0).as_primitive::<Int64Type>().values(), &[1, 2]);
    assert!(found.column(1).is_null(0));
    assert_eq!(found.column(1).as_string_view().value(1), "x");
    let range = dataset.column_range(1);
    assert_eq!(range.nulls, Some(1));
}

#[test]
fn test_order_of_columns_may_differ() {
    let folder = tempfile::tempdir().unwrap();
    let array = |value: i64| Arc::new(Int64Array::from(vec![value])) as ArrayRef;
    let one = RecordBatch::try_from_iter([("a", array(1)), ("b", array(2))]).unwrap();
    let two = RecordBatch::try_from_iter([("b", array(4)), ("a", array(3))]).unwrap();
    put(folder.path(), "1.parquet", &one);
    put(folder.path(), "2.parquet", &two);
    let dataset = open_with(folder.path(), &ParquetOptions::default()).unwrap();
    let found = read(dataset.as_ref(), &Request::columns([0, 1])).unwrap();
    assert_eq!(found.column(0).as_primitive::<Int64Type>().values(), &[1, 3]);
    assert_eq!(found.column(1).as_primitive::<Int64Type>().values(), &[2, 4]);
}

#[test]
fn test_footer_cache_notices_changes() {
    let folder = tempfile::tempdir().unwrap();
    let cache = FooterCache::new();
    let path = put(folder.path(), "a.parquet", &numbers("n", &[1, 2, 3]));
    let open = || {
        let patterns = std::slice::from_ref(&path);
        ParquetDataset::open(patterns, &ParquetOptions::default(), &cache).unwrap()
    };
    let before = open();
    assert!(before.ledger().footer_bytes() > 0);
    assert_eq!(before.ledger().footer_bytes(), 0);
    assert_eq!(open().ledger().footer_bytes(), 0);
    put(folder.path(), "a.parquet", &numbers("n", &[1, 2, 3, 4, 5, 6, 7, 8]));
    let after = open();
    assert_eq!(after.rows(), 8);
    assert!(after.ledger().footer_bytes() > 0);
    let error = read(before.as_ref(), &Request::columns([0])).unwrap_err().to_string();
    assert!(error.contains("a.parquet") && error.contains("changed"), "{error}");
}

#[test]
fn test_missing_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["nothing.parquet", "*.parquet", "sub/"] {
        let error = open_with(&folder.path().join(name), &ParquetOptions::default()).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
    }
    assert!(open_with(folder.path(), &ParquetOptions::default()).is_err());
}
