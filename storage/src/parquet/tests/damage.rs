//! Damaged files give errors that name the place: never a panic, a hang, or a wrong number of rows.

use std::sync::Arc;

use arrow::{
    array::*,
    datatypes::{DataType, Field, Int64Type},
};
use parquet::{
    basic::Compression,
    file::{
        properties::{WriterProperties, WriterVersion},
        reader::{FileReader, SerializedFileReader},
    },
};

use super::*;
use crate::parquet::thrift::{ChunkFacts, check_footer, walk_pages};

const ROWS: i64 = 300;

fn table() -> RecordBatch {
    let numbers: Int64Array = (0..ROWS).map(|n| (n % 7 != 0).then_some(n * 31)).collect();
    let words: StringArray = (0..ROWS).map(|n| Some(format!("word {}", n % 9))).collect();
    let texts: StringArray =
        (0..ROWS).map(|n| (n % 5 != 0).then(|| format!("text of {n}"))).collect();
    let decimals: Decimal128Array = (0..ROWS).map(|n| Some(i128::from(n))).collect();
    let floats: Float64Array = (0..ROWS).map(|n| Some(n as f64 / 3.0)).collect();
    let mut lists = ListBuilder::new(Int64Builder::new());
    for n in 0..ROWS {
        lists.append_value((0..n % 4).map(Some));
    }
    let lists = lists.finish();
    let fields = vec![
        Field::new("numbers", DataType::Int64, true),
        Field::new("words", DataType::Utf8, true),
        Field::new("texts", DataType::Utf8, true),
        Field::new("decimals", DataType::Decimal128(12, 2), true),
        Field::new("floats", DataType::Float64, false),
        Field::new("lists", lists.data_type().clone(), true),
    ];
    RecordBatch::try_new(
        Arc::new(arrow::datatypes::Schema::new(fields)),
        vec![
            Arc::new(numbers),
            Arc::new(words),
            Arc::new(texts),
            Arc::new(decimals.with_precision_and_scale(12, 2).unwrap()),
            Arc::new(floats),
            Arc::new(lists),
        ],
    )
    .unwrap()
}

fn properties(version: WriterVersion, codec: Compression) -> WriterProperties {
    WriterProperties::builder()
        .set_writer_version(version)
        .set_compression(codec)
        .set_max_row_group_row_count(Some(160))
        .set_data_page_row_count_limit(60)
        .set_write_batch_size(20)
        .set_column_dictionary_enabled("texts".into(), false)
        .set_bloom_filter_enabled(true)
        .build()
}

/// Reads all columns, without and with a filter; gives the rows of the first reading.
fn read_everything(path: &str) -> Result<usize> {
    let dataset = open(path)?;
    let columns = dataset.schema().len();
    let rows = read(dataset.as_ref(), &Request::columns(0..columns))?.num_rows();
    let filter = TestFilter::new([0], |arrays, row| {
        let array = arrays[0].as_primitive_opt::<Int64Type>();
        array.is_some_and(|array| array.is_valid(row) && array.value(row) % 2 == 0)
    });
    let prune = Prune::Compare {
        column: 0,
        op: crate::prune::PruneOp::Eq,
        value: crate::scalar::Scalar::int64(62),
    };
    let filter = Some(Arc::new(filter) as Arc<dyn RowFilter>);
    let request = Request { filter, prune: Some(prune), ..Request::columns(0..columns) };
    read(dataset.as_ref(), &request)?;
    Ok(rows)
}

#[test]
fn test_flipped_bytes_give_errors_or_rows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.parquet");
    let name = path.to_str().unwrap();
    let kinds = [
        (WriterVersion::PARQUET_1_0, Compression::UNCOMPRESSED),
        (WriterVersion::PARQUET_2_0, Compression::SNAPPY),
    ];
    for (version, codec) in kinds {
        let sound = write(folder.path(), "sound.parquet", &table(), properties(version, codec));
        assert_eq!(read_everything(&sound).unwrap(), ROWS as usize);
        let sound = std::fs::read(&sound).unwrap();
        let mut numbers = Numbers(1);
        let mut errors = 0;
        for round in 0..1000 {
            let mut bytes = sound.clone();
            // A bit, a byte, or a few bytes of garbage.
            let at = numbers.below(bytes.len());
            match round % 3 {
                0 => bytes[at] ^= 1 << numbers.below(8),
                1 => bytes[at] = numbers.next() as u8,
                _ => bytes.iter_mut().skip(at).take(4).for_each(|byte| *byte = 0xff),
            }
            std::fs::write(&path, &bytes).unwrap();
            match read_everything(name) {
                // A flipped number of rows of a file without pages to back it is refused.
                Ok(rows) => assert_eq!(rows, ROWS as usize, "byte {at}, round {round}"),
                Err(error) => {
                    errors += 1;
                    let internal = matches!(error, StorageError::Internal(_));
                    assert!(!internal, "byte {at}, round {round}: {error}");
                    assert!(error.to_string().contains("damaged.parquet"), "{error}");
                }
            }
        }
        assert!(errors > 100, "{errors} errors");
    }
}

#[test]
fn test_truncated_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let properties = properties(WriterVersion::PARQUET_1_0, Compression::SNAPPY);
    let sound = write(folder.path(), "sound.parquet", &table().slice(0, 40), properties);
    let sound = std::fs::read(sound).unwrap();
    let path = folder.path().join("cut.parquet");
    for length in 0..sound.len() {
        std::fs::write(&path, &sound[..length]).unwrap();
        let error = read_everything(path.to_str().unwrap()).unwrap_err();
        assert!(matches!(&error, StorageError::Corrupt { .. }), "{length}: {error}");
        assert!(error.to_string().contains("cut.parquet"), "{error}");
    }
}

#[test]
fn test_damaged_pages_name_row_group_and_column() {
    let folder = tempfile::tempdir().unwrap();
    let properties = properties(WriterVersion::PARQUET_1_0, Compression::SNAPPY);
    let path = write(folder.path(), "x.parquet", &table(), properties);
    let reader = SerializedFileReader::new(File::open(&path).unwrap()).unwrap();
    let (start, length) = reader.metadata().row_group(1).column(2).byte_range();
    let mut bytes = std::fs::read(&path).unwrap();
    let (start, end) = (start as usize, (start + length) as usize);
    bytes[start..end].fill(0x5a);
    std::fs::write(&path, bytes).unwrap();
    let dataset = open(&path).unwrap();
    let error = read(dataset.as_ref(), &Request::columns([0, 2])).unwrap_err();
    let StorageError::Corrupt { path: file, row_group, column, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(
        (file.as_str(), *row_group, column.as_deref()),
        (path.as_str(), Some(1), Some("texts"))
    );
    // The other columns are still read.
    let rows = read(dataset.as_ref(), &Request::columns([0, 1, 5])).unwrap().num_rows();
    assert_eq!(rows, ROWS as usize);
}

#[test]
fn test_files_that_are_not_parquet() {
    let folder = tempfile::tempdir().unwrap();
    let footer = |length: u32, magic: &[u8]| {
        let mut bytes = b"PAR1 some content that is no footer".to_vec();
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(magic);
        bytes
    };
    let cases: [(&str, Vec<u8>, &str); 6] = [
        ("empty", Vec::new(), "empty"),
        ("short", b"PAR1".to_vec(), "too short"),
        ("text", b"year,carrier\n2013,UA\n".to_vec(), "does not end"),
        ("huge", footer(u32::MAX, b"PAR1"), "claims"),
        ("garbage", footer(20, b"PAR1"), "footer"),
        ("secret", footer(20, b"PARE"), "encrypted"),
    ];
    for (name, bytes, message) in cases {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let error = open(path.to_str().unwrap()).unwrap_err().to_string();
        assert!(error.contains(message) && error.contains(name), "{error}");
    }
}

#[test]
fn test_impossible_claims_are_refused_before_they_are_believed() {
    // A footer with 2^31 - 1 row groups.
    let footer = [0x49, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x07, 0x00];
    assert!(check_footer(&footer).unwrap_err().contains("2147483647"));
    assert!(check_footer(&[0x18, 0xff, 0xff, 0xff, 0xff, 0x0f]).is_err(), "a long string");
    assert!(check_footer(&[0x1c; 500]).is_err(), "deep nesting");
    assert!(check_footer(&[]).is_err());
    assert!(check_footer(&[0]).is_ok());
    let facts = |compression, values| ChunkFacts {
        compression,
        physical: parquet::basic::Type::INT64,
        type_length: 0,
        values,
    };
    // Page type, bytes unpacked and packed, then the page's own header; all numbers zigzag.
    let page = |kind: u8, unpacked: &[u8], field: u8, values: &[u8]| {
        let mut bytes = vec![0x15, kind, 0x15];
        bytes.extend_from_slice(unpacked);
        bytes.extend_from_slice(&[0x15, 16, field, 0x15]);
        bytes.extend_from_slice(values);
        bytes.extend_from_slice(&[0x15, 0, 0, 0]);
        bytes.extend_from_slice(&[0; 8]);
        bytes
    };
    let (plain, packed) = (Compression::UNCOMPRESSED, Compression::SNAPPY);
    let data = page(0, &[16], 0x2c, &[2]);
    assert_eq!(walk_pages(&data, &facts(plain, 1)).unwrap().len(), 1);
    assert!(walk_pages(&data, &facts(plain, 2)).is_err(), "too few values");
    assert!(walk_pages(&data, &facts(plain, 0)).unwrap().is_empty());
    let bomb = page(0, &[0xfe, 0xff, 0xff, 0xff, 0x0f], 0x2c, &[2]);
    assert!(walk_pages(&bomb, &facts(packed, 1)).unwrap_err().contains("unpack"));
    let many = page(0, &[16], 0x2c, &[0xfe, 0xff, 0xff, 0xff, 0x0f]);
    assert!(walk_pages(&many, &facts(plain, 5)).unwrap_err().contains("promised"));
    let dictionary = page(4, &[16], 0x4c, &[0xfe, 0xff, 0xff, 0xff, 0x0f]);
    assert!(walk_pages(&dictionary, &facts(plain, 5)).unwrap_err().contains("dictionary"));
}
