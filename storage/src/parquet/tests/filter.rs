//! Filters before the other columns: the same rows as filtering afterwards, and only the bytes that were needed.

use std::sync::Arc;

use arrow::{
    array::*,
    compute,
    datatypes::{Float64Type, Int64Type},
};
use parquet::file::properties::WriterProperties;

use super::*;
use crate::{ledger::Level, prune::PruneOp, scalar::Scalar};

const ROWS: i64 = 20_000;

/// Ascending numbers with few NULLs, scattered numbers, few words, long texts, decimals.
fn table() -> RecordBatch {
    let mut numbers = Numbers(3);
    let scattered: Int64Array = (0..ROWS).map(|_| Some(numbers.next() as i64 % 1000)).collect();
    let ascending: Int64Array = (0..ROWS).map(|row| (row % 97 != 5).then_some(row)).collect();
    let words: StringArray =
        (0..ROWS).map(|row| (row % 11 != 0).then(|| format!("w{}", row % 5))).collect();
    let long: StringArray =
        (0..ROWS).map(|row| Some(format!("a long text of row {row}"))).collect();
    let decimals: Decimal128Array = (0..ROWS).map(|row| Some(i128::from(row) * 3)).collect();
    let decimals = decimals.with_precision_and_scale(15, 2).unwrap();
    RecordBatch::try_from_iter([
        ("ascending", Arc::new(ascending) as ArrayRef),
        ("scattered", Arc::new(scattered)),
        ("words", Arc::new(words)),
        ("long", Arc::new(long)),
        ("decimals", Arc::new(decimals)),
    ])
    .unwrap()
}

fn groups_of(rows: usize) -> WriterProperties {
    WriterProperties::builder()
        .set_max_row_group_row_count(Some(rows))
        .set_data_page_row_count_limit(500)
        .set_write_batch_size(100)
        .build()
}

fn below(column: usize, limit: i64) -> TestFilter {
    TestFilter::new([column], move |arrays, row| {
        let array = arrays[0].as_primitive::<Int64Type>();
        array.is_valid(row) && array.value(row) < limit
    })
}

fn expected(table: &RecordBatch, keep: impl Fn(usize) -> bool) -> Vec<ArrayRef> {
    let mask: BooleanArray = (0..table.num_rows()).map(|row| Some(keep(row))).collect();
    let filtered = compute::filter_record_batch(table, &mask).unwrap();
    let target = crate::types::Schema::from_arrow(&table.schema()).unwrap().to_arrow();
    let columns = filtered.columns().iter().zip(target.fields());
    columns.map(|(array, field)| compute::cast(array, field.data_type()).unwrap()).collect()
}

#[test]
fn test_filter_first_equals_filter_after() {
    let folder = tempfile::tempdir().unwrap();
    let table = table();
    let path = write(folder.path(), "x.parquet", &table, groups_of(7000));
    let dataset = open(&path).unwrap();
    let scattered = table.column(1).as_primitive::<Int64Type>();
    // From nothing over a few rows (packed) and many rows (whole vectors) to all.
    for limit in [0, 1, 5, 20, 100, 999, 1000] {
        for projection in [vec![0, 2, 3, 4], vec![4, 1, 2], vec![1], vec![], vec![3, 3, 1]] {
            for vector_size in [7, 1000, 2048] {
                let request = Request {
                    filter: Some(Arc::new(below(1, limit))),
                    vector_size,
                    ..Request::columns(projection.clone())
                };
                let found = read(dataset.as_ref(), &request).unwrap();
                let all = expected(&table, |row| scattered.value(row) < limit);
                assert_eq!(found.num_rows(), all[0].len(), "{limit} {projection:?}");
                for (at, &column) in projection.iter().enumerate() {
                    assert_eq!(found.column(at), &all[column], "{limit} {projection:?}");
                }
            }
        }
    }
}

#[test]
fn test_filter_on_dictionary_and_two_columns() {
    let folder = tempfile::tempdir().unwrap();
    let table = table();
    let path = write(folder.path(), "x.parquet", &table, groups_of(4000));
    let dataset = open(&path).unwrap();
    for limit in [3, 300, 15_000] {
        let filter = TestFilter::new([0, 2], move |arrays, row| {
            let (n, w) = (arrays[0].as_primitive::<Int64Type>(), arrays[1].as_string_view());
            n.is_valid(row) && n.value(row) >= limit && w.is_valid(row) && w.value(row) == "w3"
        });
        let request = Request { filter: Some(Arc::new(filter)), ..Request::columns([2, 3]) };
        let found = read(dataset.as_ref(), &request).unwrap();
        let numbers = table.column(0).as_primitive::<Int64Type>();
        let words = table.column(2).as_string::<i32>();
        let all = expected(&table, |row| {
            numbers.is_valid(row)
                && numbers.value(row) >= limit
                && words.is_valid(row)
                && words.value(row) == "w3"
        });
        assert_eq!(found.column(0), &all[2]);
        assert_eq!(found.column(1), &all[3]);
    }
}

#[test]
fn test_ledger_is_charged_what_was_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "x.parquet", &table(), groups_of(5000));
    let dataset = open(&path).unwrap();
    let encoded = |ledger: &ScanLedger, column| ledger.touched(column, Level::Encoded);
    let (_, ledger) = scan(dataset.as_ref(), &Request::columns([0, 4])).unwrap();
    assert!(ledger.footer_bytes() > 0, "the first scan read the footer");
    for column in 0..5 {
        let expected = if column % 4 == 0 { ledger.stored(column) } else { 0 };
        assert!(ledger.stored(column) > 0);
        assert_eq!(encoded(&ledger, column), expected);
        assert_eq!(ledger.touched(column, Level::Decoded) > 0, column % 4 == 0);
    }
    assert_eq!(ledger.touched(4, Level::Decoded), 8 * ROWS as u64);
    // A filter that keeps nothing leaves the projection unread.
    let filter = Some(Arc::new(below(1, -1)) as Arc<dyn RowFilter>);
    let request = Request { filter, ..Request::columns([0, 3]) };
    let (batches, ledger) = scan(dataset.as_ref(), &request).unwrap();
    assert!(batches.is_empty());
    assert_eq!(ledger.footer_bytes(), 0, "the footer was cached");
    assert_eq!(encoded(&ledger, 1), ledger.stored(1));
    assert_eq!((0..5).map(|column| encoded(&ledger, column)).sum::<u64>(), ledger.stored(1));
    // One that keeps rows of the first row group only reads the projection there only.
    let filter = Some(Arc::new(below(0, 100)) as Arc<dyn RowFilter>);
    let request = Request { filter, ..Request::columns([3]) };
    let (_, ledger) = scan(dataset.as_ref(), &request).unwrap();
    assert!(encoded(&ledger, 3) > 0 && encoded(&ledger, 3) < ledger.stored(3) / 3);
}

#[test]
fn test_row_groups_are_pruned_by_statistics() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "x.parquet", &table(), groups_of(1000));
    let dataset = open(&path).unwrap();
    let morsels = |prune: Prune| {
        let spec = ScanSpec {
            projection: vec![0],
            prune: Some(prune),
            filter: None,
            rows: None,
            vector_size: 2048,
            ledger: dataset.ledger(),
        };
        let scan = dataset.scan(spec).unwrap();
        (scan.morsels(), scan.rows())
    };
    let compare = |column, op, value| Prune::Compare { column, op, value };
    assert_eq!(morsels(compare(0, PruneOp::Lt, Scalar::int64(1000))), (1, 1000));
    assert_eq!(morsels(compare(0, PruneOp::GtEq, Scalar::int64(18_500))).0, 2);
    assert_eq!(morsels(compare(0, PruneOp::Gt, Scalar::int64(ROWS))).0, 0);
    assert_eq!(morsels(compare(2, PruneOp::Eq, Scalar::text("w9"))).0, 0);
    assert_eq!(morsels(compare(2, PruneOp::Eq, Scalar::text("w1"))).0, 20);
    assert_eq!(morsels(compare(3, PruneOp::Lt, Scalar::text("a long text of row 1"))).0, 1);
    assert_eq!(morsels(compare(4, PruneOp::Lt, Scalar::decimal(2998, 15, 2))).0, 1);
    assert_eq!(morsels(Prune::IsNull { column: 1 }).0, 0);
    assert_eq!(morsels(Prune::IsNull { column: 0 }).0, 20);
    let range = dataset.column_range(0);
    assert_eq!(range.min.and_then(|min| min.as_i128()), Some(0));
    assert_eq!(range.max.and_then(|max| max.as_i128()), Some(i128::from(ROWS) - 1));
    assert_eq!(range.nulls, Some((0..ROWS).filter(|row| row % 97 == 5).count() as u64));
}

#[test]
fn test_nan_is_not_pruned_away() {
    let folder = tempfile::tempdir().unwrap();
    // Statistics say [1, 2]; NaN is not part of them.
    let values: ArrayRef = Arc::new(Float64Array::from(vec![1.0, f64::NAN, 2.0]));
    let batch = RecordBatch::try_from_iter([("f", values)]).unwrap();
    let path = write(folder.path(), "x.parquet", &batch, WriterProperties::default());
    let dataset = open(&path).unwrap();
    let filter = TestFilter::new([0], |arrays, row| {
        let value = arrays[0].as_primitive::<Float64Type>().value(row);
        value.is_nan() || value > 5.0
    });
    for (op, literal, rows) in [
        (PruneOp::Gt, 5.0, 1),
        (PruneOp::GtEq, 5.0, 1),
        (PruneOp::Eq, f64::NAN, 1),
        (PruneOp::Lt, 0.5, 0),
        (PruneOp::Eq, 7.0, 0),
    ] {
        let prune = Some(Prune::Compare { column: 0, op, value: Scalar::float64(literal) });
        let filter = Some(Arc::new(filter.clone()) as Arc<dyn RowFilter>);
        let request = Request { prune, filter, ..Request::columns([0]) };
        assert_eq!(read(dataset.as_ref(), &request).unwrap().num_rows(), rows, "{op:?} {literal}");
    }
}

#[test]
fn test_bloom_filters_spare_reading() {
    let folder = tempfile::tempdir().unwrap();
    let evens: Int64Array = (0..1000).map(|n| Some(n * 2)).collect();
    let words: StringArray = (0..1000).map(|n| Some(format!("key {}", n * 2))).collect();
    let batch = RecordBatch::try_from_iter([
        ("n", Arc::new(evens) as ArrayRef),
        ("w", Arc::new(words) as ArrayRef),
    ]);
    let properties = WriterProperties::builder().set_bloom_filter_enabled(true).build();
    let path = write(folder.path(), "x.parquet", &batch.unwrap(), properties);
    let dataset = open(&path).unwrap();
    let run = |prune: Prune| {
        let request = Request { prune: Some(prune), ..Request::columns([0]) };
        scan(dataset.as_ref(), &request).unwrap()
    };
    let equal = |column, value| Prune::Compare { column, op: PruneOp::Eq, value };
    for absent in [
        equal(0, Scalar::int64(777)),
        equal(1, Scalar::text("key 777")),
        Prune::In { column: 0, values: vec![Scalar::int64(1), Scalar::int64(801)] },
    ] {
        let (batches, ledger) = run(absent.clone());
        assert!(batches.is_empty(), "{absent:?}");
        assert_eq!(ledger.touched(0, Level::Encoded), 0);
        assert!(ledger.touched(0, Level::Metadata) + ledger.touched(1, Level::Metadata) > 0);
    }
    for present in [equal(0, Scalar::int64(778)), equal(1, Scalar::text("key 778"))] {
        assert_eq!(run(present).0.iter().map(|batch| batch.rows).sum::<usize>(), 1000);
    }
}

#[test]
fn test_filter_errors_come_through() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "x.parquet", &table(), groups_of(5000));
    let filter = Some(Arc::new(FailingFilter) as Arc<dyn RowFilter>);
    let request = Request { filter, ..Request::columns([0]) };
    let error = scan(open(&path).unwrap().as_ref(), &request).unwrap_err();
    assert!(matches!(error, StorageError::Cancelled));
}

/// One row group of many pages, without dictionaries.
fn paged() -> WriterProperties {
    WriterProperties::builder()
        .set_dictionary_enabled(false)
        .set_data_page_row_count_limit(500)
        .set_write_batch_size(100)
        .build()
}

#[test]
fn test_page_index_spares_pages() {
    let folder = tempfile::tempdir().unwrap();
    let table = table();
    let path = write(folder.path(), "x.parquet", &table, paged());
    let dataset = open(&path).unwrap();
    let numbers = table.column(0).as_primitive::<Int64Type>();
    for (op, limit, bound) in
        [(PruneOp::Lt, 300, 10), (PruneOp::GtEq, 19_900, 10), (PruneOp::Gt, 9_000, 1)]
    {
        let holds = move |value: i64| match op {
            PruneOp::Lt => value < limit,
            PruneOp::Gt => value > limit,
            _ => value >= limit,
        };
        let filter = TestFilter::new([0], move |arrays, row| {
            let array = arrays[0].as_primitive::<Int64Type>();
            array.is_valid(row) && holds(array.value(row))
        });
        for vector_size in [100, 2048] {
            let request = Request {
                filter: Some(Arc::new(filter.clone())),
                prune: Some(Prune::Compare { column: 0, op, value: Scalar::int64(limit) }),
                vector_size,
                ..Request::columns([3, 0, 4, 2])
            };
            let found = read(dataset.as_ref(), &request).unwrap();
            let all = expected(&table, |row| numbers.is_valid(row) && holds(numbers.value(row)));
            for (at, column) in [3, 0, 4, 2].into_iter().enumerate() {
                assert_eq!(found.column(at), &all[column], "{op:?} {limit}");
            }
            let (_, ledger) = scan(dataset.as_ref(), &request).unwrap();
            for column in [0, 3, 4] {
                let read = ledger.touched(column, Level::Encoded);
                assert!(read > 0 && read * bound <= ledger.stored(column), "{column}: {read}");
            }
        }
    }
    // Two columns whose pages end at different rows.
    let prune = Prune::And(vec![
        Prune::Compare { column: 0, op: PruneOp::Lt, value: Scalar::int64(700) },
        Prune::Compare { column: 4, op: PruneOp::GtEq, value: Scalar::decimal(1800, 15, 2) },
    ]);
    let filter = TestFilter::new([0], |arrays, row| {
        let array = arrays[0].as_primitive::<Int64Type>();
        array.is_valid(row) && (600..700).contains(&array.value(row))
    });
    let request =
        Request { filter: Some(Arc::new(filter)), prune: Some(prune), ..Request::columns([0, 3]) };
    let found = read(dataset.as_ref(), &request).unwrap();
    let all =
        expected(&table, |row| numbers.is_valid(row) && (600..700).contains(&numbers.value(row)));
    assert_eq!((found.column(0), found.column(1)), (&all[0], &all[3]));
}

#[test]
fn test_damaged_page_index_is_no_panic() {
    let folder = tempfile::tempdir().unwrap();
    let sound = write(folder.path(), "x.parquet", &table().slice(0, 6000), paged());
    let sound = std::fs::read(sound).unwrap();
    let path = folder.path().join("damaged.parquet");
    let mut numbers = Numbers(5);
    let mut errors = 0;
    for _ in 0..150 {
        let mut bytes = sound.clone();
        // The page index and the footer stand at the end.
        let at = bytes.len() - 1 - numbers.below(3000);
        bytes[at] ^= 1 << numbers.below(8);
        std::fs::write(&path, &bytes).unwrap();
        let request = Request {
            filter: Some(Arc::new(below(0, 300))),
            prune: Some(Prune::Compare { column: 0, op: PruneOp::Lt, value: Scalar::int64(300) }),
            ..Request::columns([3])
        };
        match open(path.to_str().unwrap()).and_then(|dataset| read(dataset.as_ref(), &request)) {
            Ok(found) => assert!(found.num_rows() <= 300),
            Err(error) => {
                errors += 1;
                assert!(!matches!(error, StorageError::Internal(_)), "{error}");
            }
        }
    }
    assert!(errors > 0);
}
