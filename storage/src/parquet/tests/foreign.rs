//! Columns that the Arrow writer does not make: INTERVAL, INT96, ENUM, JSON, decimals in byte arrays.

use std::sync::Arc;

use arrow::{array::*, datatypes::IntervalMonthDayNano, datatypes::IntervalMonthDayNanoType};
use parquet::{
    data_type::{
        ByteArray, ByteArrayType, FixedLenByteArray, FixedLenByteArrayType, Int96, Int96Type,
    },
    file::writer::SerializedFileWriter,
    schema::parser::parse_message_type,
};

use super::*;
use crate::{
    prune::PruneOp,
    scalar::Scalar,
    types::{LogicalType, TimeUnit},
};

const SCHEMA: &str = "message m {
    required fixed_len_byte_array(12) i (INTERVAL);
    required int96 t;
    required binary e (ENUM);
    required binary j (JSON);
    required fixed_len_byte_array(16) d (DECIMAL(18, 2));
    required binary b (DECIMAL(10, 1));
    required fixed_len_byte_array(16) u (UUID);
}";

/// One row per entry of `json`.
fn foreign(path: &Path, json: &[&[u8]]) -> String {
    let schema = Arc::new(parse_message_type(SCHEMA).unwrap());
    let file = File::create(path).unwrap();
    let mut writer = SerializedFileWriter::new(file, schema, Arc::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let rows = json.len();
    let mut column = 0;
    while let Some(mut writer) = group.next_column().unwrap() {
        match column {
            0 | 4 | 6 => {
                let interval = [3, 0, 0, 0, 10, 0, 0, 0, 5, 0, 0, 0];
                let value: Vec<u8> = match column {
                    0 => interval.to_vec(),
                    6 => (0x00..0x100).step_by(17).map(|byte: i32| byte as u8).collect(),
                    _ => (-12345_i128).to_be_bytes().to_vec(),
                };
                let values = vec![FixedLenByteArray::from(value); rows];
                writer.typed::<FixedLenByteArrayType>().write_batch(&values, None, None).unwrap();
            }
            1 => {
                let mut value = Int96::new();
                // Noon of a day far beyond what 64-bit nanoseconds reach: 5 million days after the Julian epoch.
                let nanos = 43_200_000_000_000_u64;
                value.set_data(nanos as u32, (nanos >> 32) as u32, 5_000_000);
                let values = vec![value; rows];
                writer.typed::<Int96Type>().write_batch(&values, None, None).unwrap();
            }
            _ => {
                let value = |row: usize| match column {
                    2 => b"RED".to_vec(),
                    3 => json[row].to_vec(),
                    _ => vec![0xff, 0x38],
                };
                let values: Vec<_> = (0..rows).map(|row| ByteArray::from(value(row))).collect();
                writer.typed::<ByteArrayType>().write_batch(&values, None, None).unwrap();
            }
        }
        writer.close().unwrap();
        column += 1;
    }
    group.close().unwrap();
    writer.close().unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn test_foreign_types() {
    let folder = tempfile::tempdir().unwrap();
    let path = foreign(&folder.path().join("x.parquet"), &[b"{}", b"[1, \"\xc3\xa9\"]"]);
    let dataset = open(&path).unwrap();
    let types: Vec<_> = dataset.schema().columns.iter().map(|column| column.ty.clone()).collect();
    let expected = [
        LogicalType::Interval,
        LogicalType::Timestamp(TimeUnit::Microsecond, None),
        LogicalType::Text,
        LogicalType::Text,
        LogicalType::Decimal { precision: 18, scale: 2 },
        LogicalType::Decimal { precision: 10, scale: 1 },
        LogicalType::Text,
    ];
    assert_eq!(types, expected);
    let (batches, _) = scan(dataset.as_ref(), &Request::columns(0..7)).unwrap();
    let columns = &batches[0].columns;
    let flat = |column: usize| columns[column].flatten().unwrap();
    let interval = IntervalMonthDayNano::new(3, 10, 5_000_000);
    assert_eq!(flat(0).as_primitive::<IntervalMonthDayNanoType>().values(), &[interval, interval]);
    let micros = (5_000_000_i128 - 2_440_588) * 86_400_000_000 + 43_200_000_000;
    assert_eq!(columns[1].scalar(1).unwrap().as_i128(), Some(micros));
    assert_eq!(columns[2].scalar(0).unwrap().as_str(), Some("RED"));
    assert_eq!(columns[3].scalar(1).unwrap().as_str(), Some("[1, \"\u{e9}\"]"));
    assert!(matches!(columns[4], Vector::Narrow(_)) && matches!(columns[5], Vector::Narrow(_)));
    assert_eq!(columns[4].scalar(1).unwrap().as_i128(), Some(-12345));
    assert_eq!(columns[5].scalar(1).unwrap().as_i128(), Some(-200));
    let uuid = "00112233-4455-6677-8899-aabbccddeeff";
    assert_eq!(columns[6].scalar(1).unwrap().as_str(), Some(uuid));
    let mut request = Request::columns([6]);
    let equal = Prune::Compare { column: 6, op: PruneOp::Eq, value: Scalar::text(uuid) };
    request.prune = Some(equal);
    let (batches, _) = scan(dataset.as_ref(), &request).unwrap();
    assert_eq!(batches.iter().map(|batch| batch.rows).sum::<usize>(), 2);
}

#[test]
fn test_text_that_is_not_utf8_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = foreign(&folder.path().join("x.parquet"), &[b"{}", b"bad \xff bytes that are long"]);
    let error =
        read(open(&path).unwrap().as_ref(), &Request::columns([3])).unwrap_err().to_string();
    assert!(error.contains("x.parquet") && error.contains("column 'j'"), "{error}");
    assert_eq!(read(open(&path).unwrap().as_ref(), &Request::columns([0])).unwrap().num_rows(), 2);
}
