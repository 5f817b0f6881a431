//! Every type, encoding, compression and page version gives what the plain reader gives.

use std::sync::Arc;

use arrow::{
    array::*,
    buffer::{NullBuffer, OffsetBuffer},
    compute,
    datatypes::{DataType, Field, Fields, Int32Type, Schema, TimeUnit},
};
use parquet::{
    basic::{BrotliLevel, Compression, Encoding, GzipLevel, ZstdLevel},
    file::properties::{WriterProperties, WriterVersion},
};

use super::*;
use crate::{VECTOR_SIZE, ledger::Level, types::LogicalType};

const ROWS: usize = 3000;

fn valid(row: usize, every: usize) -> bool {
    row % every != 1
}

fn ints(every: usize) -> Int64Array {
    let mut numbers = Numbers(7);
    (0..ROWS)
        .map(|row| valid(row, every).then(|| numbers.next().cast_signed() - (1 << 29)))
        .collect()
}

fn words(every: usize, kinds: usize) -> StringArray {
    let mut numbers = Numbers(11);
    let word = |n: usize| format!("word \u{e9} {n}{}", "long ".repeat(n % 7));
    (0..ROWS).map(|row| valid(row, every).then(|| word(numbers.below(kinds)))).collect()
}

fn lists() -> ListArray {
    let offsets =
        OffsetBuffer::from_lengths((0..ROWS).map(|row| if valid(row, 5) { row % 4 } else { 0 }));
    let count = *offsets.last().unwrap();
    let items: StringArray =
        (0..count).map(|i| (i % 3 != 0).then(|| format!("item {}", i % 50))).collect();
    let nulls: NullBuffer = (0..ROWS).map(|row| valid(row, 5)).collect();
    let field = Arc::new(Field::new("item", DataType::Utf8, true));
    ListArray::new(field, offsets, Arc::new(items), Some(nulls))
}

fn structs() -> StructArray {
    let fields = Fields::from(vec![
        Field::new("n", DataType::Int64, true),
        Field::new("l", lists().data_type().clone(), true),
        Field::new("d", DataType::Decimal128(9, 2), true),
    ]);
    let nulls: NullBuffer = (0..ROWS).map(|row| valid(row, 9)).collect();
    let decimals =
        compute::cast(&Int32Array::from_iter_values(0..3000), &DataType::Decimal128(9, 2));
    StructArray::new(
        fields,
        vec![Arc::new(ints(4)), Arc::new(lists()), decimals.unwrap()],
        Some(nulls),
    )
}

fn maps() -> MapArray {
    let mut builder = MapBuilder::new(None, StringBuilder::new(), Int64Builder::new());
    for row in 0..ROWS {
        for entry in 0..row % 3 {
            builder.keys().append_value(format!("k{entry}"));
            builder.values().append_option((row % 2 == 0).then_some(7));
        }
        builder.append(valid(row, 8)).unwrap();
    }
    builder.finish()
}

fn floats() -> Float64Array {
    let special = [f64::NAN, -0.0, 0.0, f64::INFINITY, f64::NEG_INFINITY, f64::MIN_POSITIVE, 1e16];
    (0..ROWS).map(|row| valid(row, 6).then(|| special[row % special.len()])).collect()
}

/// One column of every type that Arrow writes.
fn everything() -> RecordBatch {
    let numbers: ArrayRef = Arc::new(ints(3));
    let small: ArrayRef = Arc::new(
        (0..ROWS).map(|row| valid(row, 7).then_some((row % 120) as i64)).collect::<Int64Array>(),
    );
    let cast = |array: &ArrayRef, ty: DataType| compute::cast(array, &ty).unwrap();
    let zone: Option<Arc<str>> = Some("Europe/Berlin".into());
    let mut columns: Vec<(String, ArrayRef)> = Vec::new();
    let mut add = |array: ArrayRef| {
        columns.push((format!("c{} {}", columns.len(), array.data_type()), array));
    };
    for ty in [
        DataType::Int8,
        DataType::Int16,
        DataType::Int32,
        DataType::Int64,
        DataType::UInt8,
        DataType::UInt16,
        DataType::UInt32,
        DataType::UInt64,
        DataType::Float32,
        DataType::Float16,
        DataType::Date32,
        DataType::Decimal128(5, 2),
        DataType::Decimal128(18, 3),
        DataType::Decimal128(25, 5),
        DataType::Decimal64(12, 2),
        DataType::Boolean,
    ] {
        let by_way = match ty {
            DataType::Date32 => cast(&small, DataType::Int32),
            _ => Arc::clone(&small),
        };
        add(cast(&by_way, ty));
    }
    for unit in
        [TimeUnit::Second, TimeUnit::Millisecond, TimeUnit::Microsecond, TimeUnit::Nanosecond]
    {
        add(cast(&numbers, DataType::Timestamp(unit, None)));
        add(cast(&numbers, DataType::Timestamp(unit, zone.clone())));
        add(cast(&small, DataType::Duration(unit)));
    }
    add(cast(&cast(&small, DataType::Int32), DataType::Time32(TimeUnit::Second)));
    add(cast(&cast(&small, DataType::Int32), DataType::Time32(TimeUnit::Millisecond)));
    add(cast(&small, DataType::Time64(TimeUnit::Microsecond)));
    add(cast(&small, DataType::Time64(TimeUnit::Nanosecond)));
    add(cast(&numbers, DataType::Date64));
    add(Arc::new(floats()));
    let text: ArrayRef = Arc::new(words(4, 40));
    for ty in [
        DataType::Utf8,
        DataType::LargeUtf8,
        DataType::Utf8View,
        DataType::Binary,
        DataType::BinaryView,
    ] {
        add(cast(&text, ty));
    }
    add(Arc::new(words(usize::MAX, ROWS * 10)));
    add(Arc::new(words(5, 3).iter().collect::<DictionaryArray<Int32Type>>()));
    let fixed = (0..ROWS).map(|row| valid(row, 3).then_some([row as u8, 1, 2, 3]));
    add(Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(fixed, 4).unwrap()));
    add(Arc::new(NullArray::new(ROWS)));
    add(new_null_array(&DataType::Utf8, ROWS));
    add(Arc::new(lists()));
    add(Arc::new(structs()));
    add(Arc::new(maps()));
    let fields: Vec<Field> = columns
        .iter()
        .map(|(name, array)| Field::new(name, array.data_type().clone(), true))
        .collect();
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

fn settings() -> Vec<WriterProperties> {
    let zstd = Compression::ZSTD(ZstdLevel::default());
    let brotli = Compression::BROTLI(BrotliLevel::default());
    let gzip = Compression::GZIP(GzipLevel::default());
    let all = [
        (Compression::UNCOMPRESSED, WriterVersion::PARQUET_1_0, true),
        (Compression::SNAPPY, WriterVersion::PARQUET_2_0, true),
        (zstd, WriterVersion::PARQUET_1_0, false),
        (Compression::LZ4_RAW, WriterVersion::PARQUET_2_0, false),
        (Compression::LZ4, WriterVersion::PARQUET_1_0, true),
        (gzip, WriterVersion::PARQUET_2_0, true),
        (brotli, WriterVersion::PARQUET_1_0, false),
    ];
    let properties = |(codec, version, dictionary)| {
        WriterProperties::builder()
            .set_compression(codec)
            .set_writer_version(version)
            .set_dictionary_enabled(dictionary)
            .set_max_row_group_row_count(Some(1300))
            .set_data_page_row_count_limit(300)
            .set_write_batch_size(64)
            .build()
    };
    all.into_iter().map(properties).collect()
}

#[test]
fn test_every_type_equals_plain_reader() {
    let folder = tempfile::tempdir().unwrap();
    let batch = everything();
    for (number, properties) in settings().into_iter().enumerate() {
        let path = write(folder.path(), &format!("{number}.parquet"), &batch, properties);
        let expected = oracle(&path);
        let dataset = open(&path).unwrap();
        assert_eq!(dataset.rows(), ROWS as u64);
        for vector_size in [7, 1000, VECTOR_SIZE] {
            let request = Request { vector_size, ..Request::columns(0..batch.num_columns()) };
            let found = read(dataset.as_ref(), &request).unwrap();
            for (column, field) in batch.schema().fields().iter().enumerate() {
                // NaN is compared by its bits, which array equality does.
                let (found, expected) = (found.column(column), expected.column(column));
                assert_eq!(found.to_data(), expected.to_data(), "{number} {}", field.name());
            }
        }
    }
}

#[test]
fn test_types_are_canonical() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "x.parquet", &everything(), small_groups());
    let dataset = open(&path).unwrap();
    let has = |ty: LogicalType| dataset.schema().columns.iter().any(|column| column.ty == ty);
    assert!(has(LogicalType::Timestamp(TimeUnit::Nanosecond, Some("Europe/Berlin".into()))));
    assert!(has(LogicalType::Timestamp(TimeUnit::Second, None)));
    assert!(has(LogicalType::Duration(TimeUnit::Millisecond)));
    assert!(has(LogicalType::Time(TimeUnit::Second)));
    assert!(has(LogicalType::Decimal { precision: 12, scale: 2 }));
    assert!(has(LogicalType::Null));
    let request = Request::columns(0..dataset.schema().len());
    let (batches, _) = scan(dataset.as_ref(), &request).unwrap();
    for batch in batches {
        for (column, vector) in batch.columns.iter().enumerate() {
            let ty = dataset.schema().ty(column);
            match ty {
                LogicalType::Decimal { precision: 0..=18, .. } => {
                    assert!(matches!(vector, Vector::Narrow(_)), "{ty}");
                }
                LogicalType::Text | LogicalType::Blob => {}
                _ => assert!(matches!(vector, Vector::Flat(_)), "{ty}"),
            }
        }
    }
}

fn two_texts() -> RecordBatch {
    let few: ArrayRef = Arc::new(words(4, 40));
    let many: ArrayRef = Arc::new(words(4, 40));
    RecordBatch::try_from_iter([("few", few), ("many", many)]).unwrap()
}

#[test]
fn test_dictionary_pages_stay_dictionaries() {
    let folder = tempfile::tempdir().unwrap();
    let properties = WriterProperties::builder()
        .set_column_dictionary_enabled("many".into(), false)
        .set_max_row_group_row_count(Some(2000))
        .build();
    let path = write(folder.path(), "x.parquet", &two_texts(), properties);
    let dataset = open(&path).unwrap();
    let request = Request { vector_size: 512, ..Request::columns([0, 1]) };
    let (batches, ledger) = scan(dataset.as_ref(), &request).unwrap();
    let mut ids = Vec::new();
    for batch in &batches {
        let Vector::Dictionary(few) = &batch.columns[0] else { panic!("not a dictionary") };
        assert_eq!(*few.codes.data_type(), DataType::UInt8);
        assert_eq!(*few.dictionary.values().data_type(), DataType::Utf8View);
        assert!(few.dictionary.values().len() <= 40);
        ids.push(few.dictionary.id());
        assert!(matches!(&batch.columns[1], Vector::Flat(_)));
    }
    ids.dedup();
    assert_eq!(ids.len(), 2, "one dictionary per row group");
    assert_eq!(ledger.touched(0, Level::Decoded), 0);
    assert!(ledger.touched(1, Level::Decoded) > 0);
    let decoded = batches[0].columns[0].flatten().unwrap();
    let bytes = crate::ledger::array_bytes(decoded.as_ref());
    assert_eq!(ledger.touched(0, Level::Decoded), bytes, "decoding later is charged");
}

#[test]
fn test_dictionary_that_falls_back_arrives_flat() {
    let folder = tempfile::tempdir().unwrap();
    let text: ArrayRef = Arc::new(words(usize::MAX, ROWS * 10));
    let batch = RecordBatch::try_from_iter([("t", text)]).unwrap();
    let properties = WriterProperties::builder()
        .set_dictionary_page_size_limit(4096)
        .set_data_page_row_count_limit(200)
        .set_write_batch_size(64)
        .set_encoding(Encoding::PLAIN)
        .build();
    let path = write(folder.path(), "x.parquet", &batch, properties);
    let dataset = open(&path).unwrap();
    let (batches, _) = scan(dataset.as_ref(), &Request::columns([0])).unwrap();
    assert!(batches.iter().all(|batch| matches!(batch.columns[0], Vector::Flat(_))));
    assert_eq!(read(dataset.as_ref(), &Request::columns([0])).unwrap(), oracle(&path));
}

#[test]
fn test_wide_dictionaries_have_wider_codes() {
    let folder = tempfile::tempdir().unwrap();
    for (rows, expected) in
        [(255, DataType::UInt8), (256, DataType::UInt16), (65536, DataType::UInt32)]
    {
        let text: ArrayRef =
            Arc::new(StringArray::from_iter_values((0..rows).map(|n| format!("{n}"))));
        let batch = RecordBatch::try_from_iter([("t", text)]).unwrap();
        let path =
            write(folder.path(), &format!("{rows}.parquet"), &batch, WriterProperties::default());
        let dataset = open(&path).unwrap();
        let (batches, _) = scan(dataset.as_ref(), &Request::columns([0])).unwrap();
        for batch in &batches {
            let Vector::Dictionary(vector) = &batch.columns[0] else { panic!("not a dictionary") };
            assert_eq!(*vector.codes.data_type(), expected);
        }
        assert_eq!(read(dataset.as_ref(), &Request::columns([0])).unwrap(), oracle(&path));
    }
}

#[test]
fn test_empty_file_and_empty_projection() {
    let folder = tempfile::tempdir().unwrap();
    let batch = everything();
    let path =
        write(folder.path(), "none.parquet", &batch.slice(0, 0), WriterProperties::default());
    let dataset = open(&path).unwrap();
    assert_eq!(dataset.rows(), 0);
    assert_eq!(read(dataset.as_ref(), &Request::columns([0, 3])).unwrap().num_rows(), 0);
    let path = write(folder.path(), "some.parquet", &batch, small_groups());
    let dataset = open(&path).unwrap();
    let (batches, ledger) = scan(dataset.as_ref(), &Request::columns([])).unwrap();
    assert_eq!(batches.iter().map(|batch| batch.rows).sum::<usize>(), ROWS);
    assert!((0..ledger.columns()).all(|column| ledger.touched(column, Level::Encoded) == 0));
    // One row, and a repeated column.
    let path = write(folder.path(), "one.parquet", &batch.slice(2, 1), WriterProperties::default());
    let found = read(open(&path).unwrap().as_ref(), &Request::columns([3, 3, 0])).unwrap();
    assert_eq!(found.num_rows(), 1);
    assert_eq!(found.column(0), found.column(1));
}
