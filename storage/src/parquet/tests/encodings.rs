//! Every page encoding of every type that has it, under every compression: values come back to the last bit, extremes
//! included, and footers answer for them without changing one.

use std::sync::Arc;

use arrow::{
    array::*,
    compute,
    datatypes::{DataType, Decimal128Type, Field, Schema, TimeUnit},
};
use parquet::{
    basic::{BrotliLevel, Compression, Encoding, GzipLevel, ZstdLevel},
    file::properties::{WriterProperties, WriterVersion},
};

use super::*;
use crate::{ledger::Level, prune::compare_scalars, scalar::Scalar, types::LogicalType};

const ROWS: usize = 2600;

/// Values of a kind: extremes first, then runs, small steps and noise; a NULL now and then.
fn mixed<T: Copy>(extremes: &[T], noise: impl Fn(u64) -> T) -> Vec<Option<T>> {
    let mut numbers = Numbers(17);
    let mut value = |row: usize| match row {
        row if row < extremes.len() => extremes[row],
        row if row % 500 < 150 => noise(row as u64 / 60),
        row if row % 500 < 300 => noise(row as u64),
        row if row % 97 == 5 => extremes[row % extremes.len()],
        _ => noise(numbers.next() << 31 ^ numbers.next()),
    };
    (0..ROWS).map(|row| (row % 41 != 40).then(|| value(row))).collect()
}

/// Columns with the encodings that a writer may choose for them.
fn columns() -> Vec<(ArrayRef, Vec<Encoding>)> {
    use Encoding::{
        BYTE_STREAM_SPLIT, DELTA_BINARY_PACKED, DELTA_BYTE_ARRAY, DELTA_LENGTH_BYTE_ARRAY, PLAIN,
        RLE,
    };
    let cast = |array: &ArrayRef, ty: &DataType| compute::cast(array, ty).unwrap();
    let bits = |array: &ArrayRef, ty: &DataType| {
        make_array(array.to_data().into_builder().data_type(ty.clone()).build().unwrap())
    };
    let i32s: ArrayRef = Arc::new(
        mixed(&[i32::MIN, i32::MAX, 0, -1, 1], |n| n as i32).into_iter().collect::<Int32Array>(),
    );
    let i64s: ArrayRef = Arc::new(
        mixed(&[i64::MIN, i64::MAX, 0, -1, 1], |n| (n as i64) << 13)
            .into_iter()
            .collect::<Int64Array>(),
    );
    let i8s: ArrayRef =
        Arc::new(mixed(&[i8::MIN, i8::MAX, 0], |n| n as i8).into_iter().collect::<Int8Array>());
    let u16s: ArrayRef =
        Arc::new(mixed(&[u16::MAX, 0, 1], |n| n as u16).into_iter().collect::<UInt16Array>());
    let whole = vec![PLAIN, DELTA_BINARY_PACKED, BYTE_STREAM_SPLIT];
    let mut all = vec![(i8s, whole.clone()), (u16s, whole.clone())];
    for ty in [
        DataType::Int32,
        DataType::UInt32,
        DataType::Date32,
        DataType::Time32(TimeUnit::Millisecond),
    ] {
        all.push((bits(&i32s, &ty), whole.clone()));
    }
    let zone: Option<Arc<str>> = Some("America/New_York".into());
    for ty in [
        DataType::Int64,
        DataType::UInt64,
        DataType::Time64(TimeUnit::Nanosecond),
        DataType::Timestamp(TimeUnit::Millisecond, None),
        DataType::Timestamp(TimeUnit::Microsecond, zone),
        DataType::Timestamp(TimeUnit::Nanosecond, None),
        DataType::Duration(TimeUnit::Microsecond),
    ] {
        all.push((bits(&i64s, &ty), whole.clone()));
    }
    let small: ArrayRef = Arc::new(
        mixed(&[99_999_i64, -99_999, 0], |n| (n % 99_999) as i64)
            .into_iter()
            .collect::<Int64Array>(),
    );
    for (precision, scale) in [(5, 2), (16, 3)] {
        let ty = DataType::Decimal128(precision, scale);
        let unscaled = cast(
            &cast(&small, &DataType::Decimal128(precision, 0)),
            &DataType::Decimal128(precision, 0),
        );
        all.push((bits(&unscaled, &ty), whole.clone()));
    }
    let most = 10_i128.pow(38) - 1;
    let wide = mixed(&[most, -most, 0, -1], |n| (i128::from(n) << 60) - (1 << 80));
    let wide: Decimal128Array = wide.into_iter().collect();
    let fixed = vec![PLAIN, DELTA_BYTE_ARRAY, BYTE_STREAM_SPLIT];
    all.push((Arc::new(wide.with_precision_and_scale(38, 10).unwrap()), fixed));
    let floats = [
        f64::NAN,
        -f64::NAN,
        f64::from_bits(0x7ff0_0000_dead_beef),
        -0.0,
        0.0,
        f64::MIN,
        f64::INFINITY,
        5e-324,
    ];
    let doubles = mixed(&floats, |n| n as f64 * 0.1);
    let singles =
        mixed(&[f32::NAN, -0.0, f32::MAX, f32::from_bits(0x7f80_0bad), 1e-45], |n| n as f32 * 0.1);
    all.push((
        Arc::new(doubles.into_iter().collect::<Float64Array>()),
        vec![PLAIN, BYTE_STREAM_SPLIT],
    ));
    all.push((
        Arc::new(singles.into_iter().collect::<Float32Array>()),
        vec![PLAIN, BYTE_STREAM_SPLIT],
    ));
    let texts = mixed(&[0_u64, u64::MAX], |n| n).into_iter().enumerate();
    let texts: StringArray = texts
        .map(|(row, n)| n.map(|n| format!("{}{n:x}", "pre\u{e9}fix/".repeat(row % 9))))
        .collect();
    let texts: ArrayRef = Arc::new(texts);
    let bytes = vec![PLAIN, DELTA_LENGTH_BYTE_ARRAY, DELTA_BYTE_ARRAY];
    all.push((cast(&texts, &DataType::Binary), bytes.clone()));
    all.push((texts, bytes));
    let flags = mixed(&[true, false], |n| n % 7 < 3);
    all.push((Arc::new(flags.into_iter().collect::<BooleanArray>()), vec![PLAIN, RLE]));
    all
}

fn codecs() -> [Compression; 7] {
    [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(GzipLevel::default()),
        Compression::BROTLI(BrotliLevel::default()),
        Compression::LZ4,
        Compression::LZ4_RAW,
        Compression::ZSTD(ZstdLevel::default()),
    ]
}

/// The bits of an array's values: a decimal that stands in 64 bits is the same as one in 128.
fn canonical(array: &ArrayRef) -> ArrayRef {
    let ty = LogicalType::from_arrow(array.data_type()).unwrap().to_arrow();
    if *array.data_type() == ty { Arc::clone(array) } else { compute::cast(array, &ty).unwrap() }
}

#[test]
fn test_every_encoding_comes_back_to_the_last_bit() {
    let folder = tempfile::tempdir().unwrap();
    for (number, (array, encodings)) in columns().into_iter().enumerate() {
        let item = Field::new("item", array.data_type().clone(), true);
        let pairs = arrow::buffer::OffsetBuffer::from_lengths((0..ROWS / 2).map(|_| 2));
        let lists: ArrayRef =
            Arc::new(ListArray::new(Arc::new(item), pairs, Arc::clone(&array), None));
        for (at, encoding) in encodings.into_iter().enumerate() {
            let codec = codecs()[(number + at * 3) % 7];
            for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
                let properties = || {
                    WriterProperties::builder()
                        .set_dictionary_enabled(false)
                        .set_encoding(encoding)
                        .set_compression(codec)
                        .set_writer_version(version)
                        .set_data_page_row_count_limit(300)
                        .set_write_batch_size(64)
                        .set_max_row_group_row_count(Some(1100))
                        .build()
                };
                let field = Field::new("v", array.data_type().clone(), true);
                let what = format!("{field} {encoding} {codec} {version:?}");
                let schema = Arc::new(Schema::new(vec![field]));
                let batch = RecordBatch::try_new(schema, vec![Arc::clone(&array)]).unwrap();
                let path = write(folder.path(), "flat.parquet", &batch, properties());
                let found = read(open(&path).unwrap().as_ref(), &Request::columns([0])).unwrap();
                assert_eq!(found.column(0).to_data(), canonical(&array).to_data(), "{what}");
                let batch = RecordBatch::try_from_iter([("l", Arc::clone(&lists))]).unwrap();
                let path = write(folder.path(), "lists.parquet", &batch, properties());
                let found = read(open(&path).unwrap().as_ref(), &Request::columns([0])).unwrap();
                let found = found.column(0).as_list::<i32>().values();
                assert_eq!(found.to_data(), canonical(&array).to_data(), "{what} in lists");
            }
        }
    }
}

#[test]
fn test_every_codec_reads_every_column_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let columns = columns();
    let named =
        columns.iter().enumerate().map(|(i, (array, _))| (format!("c{i}"), Arc::clone(array)));
    let batch =
        RecordBatch::try_from_iter_with_nullable(named.map(|(name, array)| (name, array, true)))
            .unwrap();
    for (number, codec) in codecs().into_iter().enumerate() {
        let properties = WriterProperties::builder()
            .set_compression(codec)
            .set_dictionary_enabled(number % 2 == 0)
            .set_dictionary_page_size_limit(2000)
            .build();
        let path = write(folder.path(), "x.parquet", &batch, properties);
        let found =
            read(open(&path).unwrap().as_ref(), &Request::columns(0..columns.len())).unwrap();
        for (at, (array, _)) in columns.iter().enumerate() {
            assert_eq!(
                found.column(at).to_data(),
                canonical(array).to_data(),
                "{codec} {}",
                array.data_type()
            );
        }
    }
}

#[test]
fn test_footers_answer_as_the_values_do() {
    let folder = tempfile::tempdir().unwrap();
    for (array, _) in columns() {
        let field = Field::new("v", array.data_type().clone(), true);
        let batch =
            RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![Arc::clone(&array)])
                .unwrap();
        let path = write(folder.path(), "x.parquet", &batch, small_groups());
        let dataset = open(&path).unwrap();
        let ledger = dataset.ledger();
        let spec = ScanSpec {
            projection: vec![0],
            prune: None,
            filter: None,
            rows: None,
            vector_size: 2048,
            ledger,
        };
        let scan = dataset.scan(spec).unwrap();
        let canonical = canonical(&array);
        let ty = LogicalType::from_arrow(array.data_type()).unwrap();
        let mut bounded = 0;
        for morsel in 0..scan.morsels() {
            let rows = morsel * 1300..ROWS.min((morsel + 1) * 1300);
            assert_eq!(scan.whole()[morsel], Some(rows.len() as u64));
            let Some(known) = scan.statistics(morsel, 0) else {
                panic!("nothing is known of {ty}")
            };
            let values: Vec<Scalar> = rows
                .clone()
                .map(|row| Scalar::from_array(canonical.as_ref(), row).unwrap())
                .collect();
            assert_eq!(known.nulls, values.iter().filter(|value| value.is_null()).count(), "{ty}");
            let valid = || values.iter().filter(|value| !value.is_null());
            let order = |a: &&Scalar, b: &&Scalar| compare_scalars(a, b).unwrap();
            if known.min.is_some() {
                assert_eq!(known.min.as_ref(), valid().min_by(order), "{ty}");
                assert_eq!(known.max.as_ref(), valid().max_by(order), "{ty}");
                bounded += 1;
            }
        }
        // NaN is not among the bounds of floats; long texts are cut.
        match ty {
            LogicalType::Text | LogicalType::Blob => {}
            _ => assert_eq!(bounded, if ty.is_float() { 0 } else { scan.morsels() }, "{ty}"),
        }
        assert_eq!(dataset.ledger().touched(0, Level::Encoded), 0);
    }
}

#[test]
fn test_decimals_of_any_physical_type() {
    use parquet::{
        data_type::{
            ByteArray, ByteArrayType, FixedLenByteArray, FixedLenByteArrayType, Int32Type,
            Int64Type,
        },
        file::writer::SerializedFileWriter,
        schema::parser::parse_message_type,
    };
    let schema = "message m {
        required int32 a (DECIMAL(9, 2));
        required int64 b (DECIMAL(18, 2));
        required fixed_len_byte_array(3) c (DECIMAL(6, 2));
        required fixed_len_byte_array(16) d (DECIMAL(38, 2));
        required binary e (DECIMAL(12, 2));
        required binary f (DECIMAL(30, 2));
    }";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.parquet");
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut writer =
        SerializedFileWriter::new(File::create(&path).unwrap(), schema, Arc::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let values = [-999_999_i64, -256, -129, -128, -1, 0, 1, 127, 128, 65_535, 999_999];
    // As few bytes as hold the value, as writers of byte arrays put them.
    let short = |value: i64| {
        let bytes = value.to_be_bytes();
        let fits = |cut: &usize| {
            i64::from_be_bytes({
                let mut wide = [if bytes[*cut] & 0x80 == 0 { 0 } else { 0xff }; 8];
                wide[*cut..].copy_from_slice(&bytes[*cut..]);
                wide
            }) == value
        };
        let cut = (0..8).rev().find(fits).unwrap();
        bytes[cut..].to_vec()
    };
    for column in 0..6 {
        let mut writer = group.next_column().unwrap().unwrap();
        let long = |value: &i64| i128::from(*value).to_be_bytes();
        match column {
            0 => {
                let values = values.map(|value| value as i32);
                writer.typed::<Int32Type>().write_batch(&values, None, None).unwrap();
            }
            1 => {
                writer.typed::<Int64Type>().write_batch(&values, None, None).unwrap();
            }
            2 | 3 => {
                let cut = if column == 2 { 13 } else { 0 };
                let values =
                    values.map(|value| FixedLenByteArray::from(long(&value)[cut..].to_vec()));
                writer.typed::<FixedLenByteArrayType>().write_batch(&values, None, None).unwrap();
            }
            _ => {
                let values = values.map(|value| ByteArray::from(short(value)));
                writer.typed::<ByteArrayType>().write_batch(&values, None, None).unwrap();
            }
        }
        writer.close().unwrap();
    }
    group.close().unwrap();
    writer.close().unwrap();
    let dataset = open(path.to_str().unwrap()).unwrap();
    let found = read(dataset.as_ref(), &Request::columns(0..6)).unwrap();
    for column in found.columns() {
        let column = column.as_primitive::<Decimal128Type>();
        assert!(
            column.values().iter().copied().eq(values.map(i128::from)),
            "{}",
            column.data_type()
        );
    }
    // Bounds of a row group that leave room for no wrong answer.
    for column in 0..6 {
        let range = dataset.column_range(column);
        if let Some((min, max)) = range.min.zip(range.max) {
            assert_eq!((min.as_i128(), max.as_i128()), (Some(-999_999), Some(999_999)));
        }
    }
}
