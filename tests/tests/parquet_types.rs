//! Columns of every type, written by the parquet crate's writer, come back equal through SQL.
//!
//! Invariant: what the writer was given, cast to the type of the answer, is the answer, cell by cell.

use std::{fs::File, sync::Arc};

use arrow::{
    array::*,
    compute,
    datatypes::{DataType, Field, Int64Type, IntervalDayTime, TimeUnit::*},
};
use parquet::{arrow::ArrowWriter, basic::Compression, file::properties::WriterProperties};
use stoadb::{Connection, Database};

/// Columns of every type that the writer takes and StoaDB holds.
fn every_type() -> RecordBatch {
    const N: usize = 60;
    let whole = || -> ArrayRef {
        let value = |n: usize| (n % 6 != 5).then_some(n as i64 * 2);
        Arc::new((0..N).map(value).collect::<Int64Array>())
    };
    let cast = |ty: DataType| compute::cast(&whole(), &ty).unwrap();
    let text = (0..N).map(|n| (n % 4 != 3).then(|| format!("value {} \u{e4}", n % 11)));
    let text: ArrayRef = Arc::new(text.collect::<StringArray>());
    let of_text = |ty: DataType| compute::cast(&text, &ty).unwrap();
    let floats = (0..N).map(|n| match n {
        0 => Some(-0.0),
        1 => Some(f64::INFINITY),
        2 => Some(f64::MIN_POSITIVE),
        n => (n % 5 != 4).then_some(n as f64 / 8.0),
    });
    let floats: Float64Array = floats.collect();
    let float = |ty: DataType| compute::cast(&(Arc::new(floats.clone()) as ArrayRef), &ty).unwrap();
    let fixed = FixedSizeBinaryArray::try_from_sparse_iter_with_size(
        (0..N).map(|n| (n % 3 != 2).then_some([n as u8; 5])),
        5,
    );
    let wide = (0..N).map(|n| (n % 7 != 6).then_some(10_i128.pow(30) * n as i128 - 5));
    let wide: Decimal128Array = wide.collect();
    let intervals: IntervalDayTimeArray =
        (0..N as i32).map(|n| (n % 3 != 0).then(|| IntervalDayTime::new(n - 20, n * 5))).collect();
    let mut lists = ListBuilder::new(StringBuilder::new());
    let mut maps = MapBuilder::new(None, StringBuilder::new(), Int64Builder::new());
    for n in 0..N as i64 {
        match n % 5 {
            0 => lists.append_null(),
            count => lists.append_value((1..count).map(|i| (i != 2).then(|| format!("{n}.{i}")))),
        }
        for key in 0..n % 3 {
            maps.keys().append_value(format!("key {key}"));
            maps.values().append_option((key == 0).then_some(n));
        }
        maps.append(n % 4 != 1).unwrap();
    }
    let pairs = StructArray::from(vec![
        (Arc::new(Field::new("a", DataType::Int64, true)), whole()),
        (Arc::new(Field::new("B b", DataType::Utf8, true)), Arc::clone(&text)),
    ]);
    let dictionary = DataType::Dictionary(DataType::Int8.into(), DataType::Utf8.into());
    let zone = || Some("Europe/Rome".into());
    let booleans: BooleanArray = (0..N).map(|n| (n % 3 != 1).then_some(n % 2 == 0)).collect();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("boolean", Arc::new(booleans)),
        ("int8", cast(DataType::Int8)),
        ("int16", cast(DataType::Int16)),
        ("int32", cast(DataType::Int32)),
        ("int64", whole()),
        ("uint8", cast(DataType::UInt8)),
        ("uint16", cast(DataType::UInt16)),
        ("uint32", cast(DataType::UInt32)),
        ("uint64", cast(DataType::UInt64)),
        ("float16", float(DataType::Float16)),
        ("float32", float(DataType::Float32)),
        ("float64", float(DataType::Float64)),
        ("decimal32", cast(DataType::Decimal32(9, 2))),
        ("decimal64", cast(DataType::Decimal64(18, 3))),
        ("decimal7", cast(DataType::Decimal128(7, 2))),
        ("decimal15", cast(DataType::Decimal128(15, 4))),
        ("decimal38", Arc::new(wide.with_precision_and_scale(38, 6).unwrap())),
        ("utf8", of_text(DataType::Utf8)),
        ("largeutf8", of_text(DataType::LargeUtf8)),
        ("utf8view", of_text(DataType::Utf8View)),
        ("dictionary", of_text(dictionary)),
        ("binary", of_text(DataType::Binary)),
        ("largebinary", of_text(DataType::LargeBinary)),
        ("binaryview", of_text(DataType::BinaryView)),
        ("fixed", Arc::new(fixed.unwrap())),
        ("date32", compute::cast(&cast(DataType::Int32), &DataType::Date32).unwrap()),
        ("time32", compute::cast(&cast(DataType::Int32), &DataType::Time32(Millisecond)).unwrap()),
        ("time64us", cast(DataType::Time64(Microsecond))),
        ("time64ns", cast(DataType::Time64(Nanosecond))),
        ("ts_s", cast(DataType::Timestamp(Second, None))),
        ("ts_ms", cast(DataType::Timestamp(Millisecond, None))),
        ("ts_us", cast(DataType::Timestamp(Microsecond, None))),
        ("ts_ns", cast(DataType::Timestamp(Nanosecond, None))),
        ("ts_zone", cast(DataType::Timestamp(Microsecond, zone()))),
        ("duration", cast(DataType::Duration(Microsecond))),
        ("interval", Arc::new(intervals)),
        ("list", Arc::new(lists.finish())),
        ("pair", Arc::new(pairs)),
        ("map", Arc::new(maps.finish())),
        ("never", new_null_array(&DataType::Int32, N)),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, a)| (n, a, true)))
        .unwrap()
}

/// All rows of a query as one batch.
fn whole(connection: &Connection, sql: &str) -> RecordBatch {
    let result = connection.query(sql).unwrap_or_else(|error| panic!("{}", error.render(sql)));
    let schema = Arc::clone(result.schema());
    let batches: Vec<_> =
        result.map(|batch| batch.unwrap_or_else(|e| panic!("{sql}: {e}"))).collect();
    compute::concat_batches(&schema, &batches).unwrap()
}

#[test]
fn test_every_type_is_read_as_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let connection = Database::open_in_memory().connect();
    let expected = every_type();
    let check = |sql: &str| {
        let found = whole(&connection, sql);
        assert_eq!(found.num_rows(), expected.num_rows(), "{sql}");
        assert_eq!(found.num_columns(), expected.num_columns(), "{sql}");
        let columns = expected.schema();
        for (at, (found, expected)) in found.columns().iter().zip(expected.columns()).enumerate() {
            let name = columns.field(at).name();
            let expected = compute::cast(expected, found.data_type()).unwrap();
            assert_eq!(found, &expected, "column {name} of {sql}");
        }
    };
    let groups = |rows, dictionary| {
        WriterProperties::builder()
            .set_max_row_group_row_count(Some(rows))
            .set_dictionary_enabled(dictionary)
            .set_compression(Compression::ZSTD(Default::default()))
            .build()
    };
    for (rows, dictionary) in [(1000, true), (17, true), (1000, false)] {
        let path = folder.path().join("types.parquet").display().to_string();
        let file = File::create(&path).unwrap();
        let groups = Some(groups(rows, dictionary));
        let mut writer = ArrowWriter::try_new(file, expected.schema(), groups).unwrap();
        writer.write(&expected).unwrap();
        writer.close().unwrap();
        check(&format!("SELECT * FROM '{path}'"));
        let create = format!("CREATE OR REPLACE TABLE c AS SELECT * FROM '{path}'");
        connection.execute(&create).unwrap();
        check("SELECT * FROM c");
        let insert = format!("INSERT INTO c SELECT * FROM '{path}'");
        assert_eq!(connection.execute(&insert).unwrap(), 60);
        assert_eq!(rows_of(&connection, "c"), 120);
    }
}

fn rows_of(connection: &Connection, table: &str) -> i64 {
    let batch = whole(connection, &format!("SELECT count(*) FROM {table}"));
    batch.column(0).as_primitive::<Int64Type>().value(0)
}
