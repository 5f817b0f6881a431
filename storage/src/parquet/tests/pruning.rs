//! Random predicates over files with small pages, page indexes and bloom filters: the rows that pruning leaves are those
//! of a scan that is told nothing to prune by, whatever the writer's settings and whatever an index claims.

use std::sync::Arc;

use arrow::{array::*, datatypes::DataType};
use parquet::{
    arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions},
    file::{
        metadata::PageIndexPolicy,
        properties::{WriterProperties, WriterVersion},
    },
};

use super::*;
use crate::{
    ledger::BlockUse,
    prune::{PruneOp, compare_scalars},
    scalar::Scalar,
};

const ROWS: usize = 4000;
const OPS: [PruneOp; 6] =
    [PruneOp::Eq, PruneOp::NotEq, PruneOp::Lt, PruneOp::LtEq, PruneOp::Gt, PruneOp::GtEq];

/// Clustered, so that pages differ: numbers of several kinds, floats with NaN and both zeros, texts that are longer than
/// what indexes keep, and stretches of NULLs.
fn table() -> RecordBatch {
    let mut numbers = Numbers(11);
    let mut wave = |row: usize| (row / 40 * 7 % 300 + numbers.below(20)) as i64;
    let values: Vec<i64> = (0..ROWS).map(&mut wave).collect();
    // NULLs are scattered in one half, and fill whole pages in the other.
    let null = |row: usize| if row < ROWS / 2 { row % 13 == 4 } else { row / 150 % 3 == 1 };
    let some = |row: usize| (!null(row)).then_some(values[row]);
    let float = |row: usize| {
        some(row).map(|value| match row % 101 {
            50 => f64::NAN,
            51 => -0.0,
            _ => value as f64 / 4.0 - 20.0,
        })
    };
    let long = |row: usize| {
        some(row).map(|value| format!("{}{value:04}", "\u{e9}".repeat(value as usize % 70)))
    };
    let decimals: Decimal128Array =
        (0..ROWS).map(|row| some(row).map(|v| i128::from(v) * 7 - 400)).collect();
    let wide: Decimal128Array =
        (0..ROWS).map(|row| some(row).map(|v| i128::from(v - 150) << 70)).collect();
    let bytes =
        |row: usize| some(row).map(|value| vec![(value % 256) as u8; 1 + value as usize % 3]);
    RecordBatch::try_from_iter([
        (
            "i16",
            Arc::new((0..ROWS).map(|row| some(row).map(|v| v as i16 - 150)).collect::<Int16Array>())
                as ArrayRef,
        ),
        (
            "u32",
            Arc::new(
                (0..ROWS)
                    .map(|row| some(row).map(|v| v as u32 * 10_000_000))
                    .collect::<UInt32Array>(),
            ),
        ),
        ("i64", Arc::new(values.iter().map(|v| Some(v - 100)).collect::<Int64Array>())),
        (
            "u64",
            Arc::new(
                (0..ROWS)
                    .map(|row| some(row).map(|v| u64::MAX - v as u64))
                    .collect::<UInt64Array>(),
            ),
        ),
        ("f64", Arc::new((0..ROWS).map(float).collect::<Float64Array>())),
        (
            "f32",
            Arc::new((0..ROWS).map(|row| float(row).map(|v| v as f32)).collect::<Float32Array>()),
        ),
        ("long", Arc::new((0..ROWS).map(long).collect::<StringArray>())),
        (
            "word",
            Arc::new(
                (0..ROWS)
                    .map(|row| some(row).map(|v| format!("w{}", v / 30)))
                    .collect::<StringArray>(),
            ),
        ),
        ("blob", Arc::new((0..ROWS).map(bytes).collect::<BinaryArray>())),
        (
            "date",
            Arc::new(
                (0..ROWS).map(|row| some(row).map(|v| v as i32 - 50)).collect::<Date32Array>(),
            ),
        ),
        (
            "at",
            Arc::new(
                (0..ROWS)
                    .map(|row| some(row).map(|v| v * 3600))
                    .collect::<TimestampMicrosecondArray>(),
            ),
        ),
        ("money", Arc::new(decimals.with_precision_and_scale(12, 2).unwrap())),
        ("wide", Arc::new(wide.with_precision_and_scale(38, 3).unwrap())),
        (
            "flag",
            Arc::new((0..ROWS).map(|row| some(row).map(|v| v > 140)).collect::<BooleanArray>()),
        ),
    ])
    .unwrap()
}

/// A list and a struct beside the columns that predicates name.
fn with_nested(table: &RecordBatch) -> RecordBatch {
    let mut lists = ListBuilder::new(Int64Builder::new());
    for row in 0..ROWS {
        (0..row % 4).for_each(|i| lists.values().append_value((row * 10 + i) as i64));
        lists.append(row % 17 != 3);
    }
    let inner: ArrayRef = Arc::new((0..ROWS as i64).map(Some).collect::<Int64Array>());
    let field = Arc::new(arrow::datatypes::Field::new("inner", DataType::Int64, true));
    let parts = [
        ("list", Arc::new(lists.finish()) as ArrayRef),
        ("pair", Arc::new(StructArray::from(vec![(field, inner)]))),
    ];
    let schema = table.schema();
    let names = schema.fields().iter().map(|field| field.name().as_str());
    RecordBatch::try_from_iter(names.zip(table.columns().iter().cloned()).chain(parts)).unwrap()
}

/// How writers differ.
fn writers() -> Vec<WriterProperties> {
    let small = || {
        WriterProperties::builder()
            .set_data_page_row_count_limit(150)
            .set_write_batch_size(50)
            .set_max_row_group_row_count(Some(1700))
    };
    vec![
        small().set_dictionary_enabled(false).build(),
        small().set_bloom_filter_enabled(true).build(),
        small()
            .set_dictionary_enabled(false)
            .set_column_index_truncate_length(Some(3))
            .set_statistics_truncate_length(Some(2))
            .build(),
        small()
            .set_writer_version(WriterVersion::PARQUET_2_0)
            .set_dictionary_enabled(false)
            .set_bloom_filter_enabled(true)
            .set_statistics_truncate_length(None)
            .set_column_index_truncate_length(None)
            .build(),
        small().set_offset_index_disabled(true).build(),
    ]
}

/// A predicate over the first `columns` columns, with values of the table and some beside them.
fn predicate(numbers: &mut Numbers, table: &RecordBatch, depth: usize) -> Prune {
    if depth > 0 && numbers.below(3) > 0 {
        let parts =
            (0..1 + numbers.below(3)).map(|_| predicate(numbers, table, depth - 1)).collect();
        return if numbers.below(2) == 0 { Prune::And(parts) } else { Prune::Or(parts) };
    }
    let column = numbers.below(table.num_columns());
    let mut value = || loop {
        let found = Scalar::from_array(table.column(column).as_ref(), numbers.below(ROWS)).unwrap();
        if !found.is_null() {
            break found;
        }
    };
    match value() {
        first if column % 5 == 2 => {
            let values = vec![first, value(), value()];
            Prune::In { column, values }
        }
        value => match numbers.below(9) {
            6 => Prune::IsNull { column },
            7 => Prune::IsNotNull { column },
            op => Prune::Compare { column, op: OPS[op % 6], value },
        },
    }
}

/// What SQL says of a row: `None` is NULL.
fn holds(prune: &Prune, row: &dyn Fn(usize) -> Scalar) -> Option<bool> {
    let compare = |column: usize, op: PruneOp, value: &Scalar| {
        let left = row(column);
        if left.is_null() {
            return None;
        }
        let order = compare_scalars(&left, value).unwrap();
        Some(match op {
            PruneOp::Eq => order.is_eq(),
            PruneOp::NotEq => order.is_ne(),
            PruneOp::Lt => order.is_lt(),
            PruneOp::LtEq => order.is_le(),
            PruneOp::Gt => order.is_gt(),
            PruneOp::GtEq => order.is_ge(),
        })
    };
    let any = |found: &[Option<bool>]| match found {
        found if found.contains(&Some(true)) => Some(true),
        found if found.contains(&None) => None,
        _ => Some(false),
    };
    let parts = |parts: &[Prune]| parts.iter().map(|part| holds(part, row)).collect::<Vec<_>>();
    match prune {
        Prune::Compare { column, op, value } => compare(*column, *op, value),
        Prune::In { column, values } => any(&values
            .iter()
            .map(|value| compare(*column, PruneOp::Eq, value))
            .collect::<Vec<_>>()),
        Prune::IsNull { column } => Some(row(*column).is_null()),
        Prune::IsNotNull { column } => Some(!row(*column).is_null()),
        Prune::Or(list) => any(&parts(list)),
        Prune::And(list) => {
            let negated: Vec<_> =
                parts(list).into_iter().map(|part| part.map(|truth| !truth)).collect();
            any(&negated).map(|truth| !truth)
        }
    }
}

/// The predicate as a filter of rows, over all columns that it names.
fn filter(prune: &Prune) -> Arc<dyn RowFilter> {
    let mut columns = Vec::new();
    prune.visit_columns(&mut |column| columns.push(column));
    columns.sort_unstable();
    columns.dedup();
    let (prune, names) = (prune.clone(), columns.clone());
    Arc::new(TestFilter::new(columns, move |arrays, row| {
        let scalar = |column: usize| {
            let at = names.iter().position(|&name| name == column).unwrap();
            Scalar::from_array(arrays[at].as_ref(), row).unwrap()
        };
        holds(&prune, &scalar) == Some(true)
    }))
}

#[test]
fn test_pruned_scans_equal_unpruned_ones() {
    let folder = tempfile::tempdir().unwrap();
    let table = table();
    let file = with_nested(&table);
    let mut numbers = Numbers(29);
    let (mut pages, mut groups, mut rows) = (0, 0, 0);
    for (number, properties) in writers().into_iter().enumerate() {
        let path = write(folder.path(), &format!("{number}.parquet"), &file, properties);
        let dataset = open(&path).unwrap();
        for _ in 0..60 {
            let prune = predicate(&mut numbers, &table, 2);
            let projection: Vec<usize> =
                (0..3).map(|_| numbers.below(file.num_columns())).chain([14, 15]).collect();
            let vector_size = [100, 700, 2048][numbers.below(3)];
            let request = |prune: Option<Prune>, filter| Request {
                prune,
                filter: Some(filter),
                vector_size,
                projection: projection.clone(),
            };
            let whole = request(None, filter(&prune));
            let pruned = request(Some(prune.clone()), filter(&prune));
            let want = read(dataset.as_ref(), &whole).unwrap();
            let got = read(dataset.as_ref(), &pruned).unwrap();
            assert_eq!(got, want, "writer {number}: {prune:?}");
            let (_, ledger) = scan(dataset.as_ref(), &pruned).unwrap();
            pages += ledger.pages().0;
            groups += ledger.blocks(BlockUse::Skipped);
            rows += want.num_rows();
        }
    }
    assert!(
        pages > 100 && groups > 20 && rows > 1000,
        "{pages} pages, {groups} groups, {rows} rows"
    );
}

#[test]
fn test_equality_on_scattered_values_uses_bloom_filters() {
    let folder = tempfile::tempdir().unwrap();
    let numbers: Vec<i64> = (0..ROWS as i64).map(|i| i * 7919 % 100_003 * 2).collect();
    let decimals: Decimal128Array = numbers.iter().map(|&n| Some(i128::from(n))).collect();
    let table = RecordBatch::try_from_iter([
        ("n", Arc::new(Int64Array::from(numbers.clone())) as ArrayRef),
        ("d", Arc::new(decimals.with_precision_and_scale(9, 2).unwrap())),
        ("t", Arc::new(numbers.iter().map(|n| Some(format!("key {n}"))).collect::<StringArray>())),
        ("at", Arc::new(numbers.iter().map(|&n| Some(n)).collect::<TimestampMillisecondArray>())),
    ])
    .unwrap();
    let properties = WriterProperties::builder()
        .set_bloom_filter_fpp(0.001)
        .set_max_row_group_row_count(Some(1000))
        .build();
    let dataset = open(&write(folder.path(), "x.parquet", &table, properties)).unwrap();
    for (column, _) in table.columns().iter().enumerate() {
        for row in [0, 1234, ROWS - 1] {
            let value = Scalar::from_array(table.column(column).as_ref(), row).unwrap();
            let prune = Prune::Compare { column, op: PruneOp::Eq, value };
            let filter = Some(filter(&prune));
            let request = Request { prune: Some(prune), filter, ..Request::columns([0]) };
            assert_eq!(read(dataset.as_ref(), &request).unwrap().num_rows(), 1);
            let (_, ledger) = scan(dataset.as_ref(), &request).unwrap();
            assert_eq!(ledger.blocks(BlockUse::Read) + ledger.blocks(BlockUse::Skipped), 4);
            assert!(ledger.blocks(BlockUse::Read) <= 2, "column {column}");
        }
    }
}

/// Where the indexes of a file stand.
fn index_bytes(path: &str) -> Vec<usize> {
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Skip);
    let metadata = ArrowReaderMetadata::load(&File::open(path).unwrap(), options).unwrap();
    let mut places = Vec::new();
    for chunk in metadata.metadata().row_groups().iter().flat_map(|group| group.columns()) {
        for (offset, length) in [
            (chunk.column_index_offset(), chunk.column_index_length()),
            (chunk.offset_index_offset(), chunk.offset_index_length()),
            (chunk.bloom_filter_offset(), chunk.bloom_filter_length()),
        ] {
            if let (Some(offset), Some(length)) = (offset, length) {
                places.extend(offset as usize..offset as usize + length as usize);
            }
        }
    }
    places
}

#[test]
fn test_damaged_indexes_add_no_row_and_never_panic() {
    let folder = tempfile::tempdir().unwrap();
    let table = table();
    let mut numbers = Numbers(31);
    let (mut same, mut errors, mut fewer) = (0, 0, 0);
    for (number, properties) in
        writers().into_iter().enumerate().filter(|(number, _)| number % 2 == 1)
    {
        let path =
            write(folder.path(), &format!("{number}.parquet"), &with_nested(&table), properties);
        let sound = std::fs::read(&path).unwrap();
        let places = index_bytes(&path);
        let damaged = folder.path().join("damaged.parquet");
        for _ in 0..80 {
            let prune = predicate(&mut numbers, &table, 1);
            let request = |prune| Request { prune, filter: None, ..Request::columns([2, 6, 14]) };
            let request = Request { filter: Some(filter(&prune)), ..request(Some(prune.clone())) };
            let want = read(open(&path).unwrap().as_ref(), &request).unwrap();
            let mut bytes = sound.clone();
            for _ in 0..1 + numbers.below(3) {
                bytes[places[numbers.below(places.len())]] ^= 1 << numbers.below(8);
            }
            std::fs::write(&damaged, &bytes).unwrap();
            let dataset = open(damaged.to_str().unwrap()).unwrap();
            match read(dataset.as_ref(), &request) {
                Ok(got) if got == want => same += 1,
                // A bound or a filter's bit may lie without contradicting anything: nothing guards these bytes.
                Ok(got) => {
                    assert!(got.num_rows() < want.num_rows(), "{prune:?}");
                    fewer += 1;
                }
                Err(error) => {
                    assert!(!matches!(error, StorageError::Internal(_)), "{error}");
                    errors += 1;
                }
            }
        }
    }
    assert!(same > 100 && fewer < 16, "{same} the same, {errors} errors, {fewer} with fewer rows");
}
