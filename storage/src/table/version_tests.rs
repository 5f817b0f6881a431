//! Versions of tables against a naive reading of the values that were put in.

use std::sync::Arc;

use arrow::{array::*, compute, datatypes::*};

use super::{
    tests::{Divisible, Random, collect, every_type, spec},
    *,
};
use crate::{
    BLOCK_ROWS, ColumnDef, Encoding, Level, LogicalType, Prune, PruneOp, Relation, RowFilter,
    SEGMENT_ROWS, Scalar, ScanSpec, Schema, Selection, StorageError, Vector,
};

fn schema(columns: &[(&str, LogicalType)]) -> Arc<Schema> {
    let column = |(name, ty): &(&str, LogicalType)| ColumnDef::new(*name, ty.clone());
    Arc::new(Schema::new(columns.iter().map(column).collect()))
}

fn schema_of(columns: &[(&str, ArrayRef)]) -> Arc<Schema> {
    let ty = |array: &ArrayRef| LogicalType::from_arrow(array.data_type()).unwrap();
    schema(&columns.iter().map(|(name, array)| (*name, ty(array))).collect::<Vec<_>>())
}

/// The vectors of some rows of an array, in every encoding that can hold them.
fn encodings(array: &ArrayRef) -> Vec<Vector> {
    let mut all = vec![Vector::Flat(Arc::clone(array))];
    if matches!(array.data_type(), DataType::Utf8View | DataType::BinaryView | DataType::Int32) {
        let plain = match array.data_type() {
            DataType::BinaryView => DataType::Binary,
            DataType::Utf8View => DataType::Utf8,
            other => other.clone(),
        };
        let ty = DataType::Dictionary(Box::new(DataType::UInt32), Box::new(plain));
        let dictionary = compute::cast(array, &DataType::clone(&ty)).unwrap();
        all.push(Vector::from_arrow(&dictionary).unwrap());
    }
    if let DataType::Decimal128(15, _) = array.data_type() {
        let values = array.as_primitive::<Decimal128Type>().iter();
        let values: Int64Array = values.map(|v| v.map(|v| v as i64)).collect();
        let ty = LogicalType::from_arrow(array.data_type()).unwrap();
        all.push(Vector::Narrow(crate::vector::NarrowVector::from_i64(ty, values)));
    }
    all
}

fn push_all(builder: &mut TableBuilder, vectors: &[Vector], step: usize) {
    let rows = vectors[0].len();
    for from in (0..rows).step_by(step) {
        let cut: Vec<_> =
            vectors.iter().map(|vector| vector.slice(from, step.min(rows - from))).collect();
        builder.push(&cut, None).unwrap();
    }
}

pub(crate) fn table_of(columns: &[(&str, ArrayRef)]) -> TableVersion {
    let schema = schema_of(columns);
    let mut builder = TableBuilder::new(Arc::clone(&schema));
    let vectors: Vec<_> = columns.iter().map(|(_, a)| Vector::Flat(Arc::clone(a))).collect();
    push_all(&mut builder, &vectors, 2048);
    TableVersion::new(schema, &builder.finish().unwrap()).unwrap()
}

pub(crate) fn ids(rows: usize) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(0..rows as i64))
}

fn taken(array: &ArrayRef, rows: &[u32]) -> ArrayData {
    compute::take(array, &UInt32Array::from(rows.to_vec()), None).unwrap().to_data()
}

#[test]
fn test_a_built_table_equals_its_input_for_every_type_and_encoding() {
    for rows in [0, 1, 2049, 6000] {
        for (name, array) in every_type(rows, 11) {
            for vector in encodings(&array) {
                let schema = schema_of(&[(name, Arc::clone(&array))]);
                let mut builder = TableBuilder::new(Arc::clone(&schema));
                push_all(&mut builder, &[vector], 999);
                let segments = builder.finish().unwrap();
                let table = TableVersion::new(schema, &segments).unwrap();
                for vector_size in [1, 7, 2048] {
                    let (columns, count) = collect(&table, spec(&table, vec![0], vector_size));
                    assert_eq!(count, rows);
                    assert_eq!(columns[0].to_data(), array.to_data(), "{name}, {rows} rows");
                }
            }
        }
    }
}

#[test]
fn test_texts_become_a_dictionary_where_that_pays() {
    let arrays = every_type(20_000, 5);
    let get = |name| Arc::clone(&arrays.iter().find(|(n, _)| *n == name).unwrap().1);
    let unique: StringViewArray =
        (0..50_000).map(|i| (i % 7 != 0).then(|| format!("entirely its own text {i}"))).collect();
    let encoding = |array: ArrayRef| {
        let table = table_of(&[("c", array)]);
        let part = table.parts().next().unwrap().clone();
        part.segment.columns()[0].encoding().unwrap().clone()
    };
    let few = encoding(get("few"));
    let Encoding::Dictionary { codes, values } = few else { panic!("{}", few.name()) };
    assert_eq!((codes.data_type(), values.values().len()), (&DataType::UInt8, 16));
    assert_eq!(encoding(get("few").slice(0, 1000)).name(), "view");
    assert_eq!(encoding(get("dec18")).name(), "narrow");
    assert_eq!(encoding(get("dec38")).name(), "plain");
    // Gives the dictionary up on the way.
    let unique: ArrayRef = Arc::new(unique);
    assert_eq!(encoding(Arc::clone(&unique)).name(), "view");
    let table = table_of(&[("c", Arc::clone(&unique))]);
    assert_eq!(collect(&table, spec(&table, vec![0], 2048)).0[0].to_data(), unique.to_data());
}

#[test]
fn test_a_filter_on_dictionary_columns_decodes_nothing() {
    let arrays = every_type(20_000, 5);
    let few = &arrays.iter().find(|(n, _)| *n == "few").unwrap().1;
    let table = table_of(&[("id", ids(20_000)), ("few", Arc::clone(few))]);
    let spec = spec(&table, vec![1], 2048);
    let ledger = Arc::clone(&spec.ledger);
    let scan = table.scan(spec).unwrap();
    let mut reader = scan.open(0).unwrap();
    let mut last = None;
    while let Some(batch) = reader.next().unwrap() {
        assert!(matches!(batch.columns[0], Vector::Dictionary(_)));
        last = Some(batch.columns[0].clone());
    }
    assert_eq!(ledger.touched(1, Level::Decoded), 0);
    assert_eq!(ledger.touched(1, Level::Encoded), ledger.stored(1));
    assert_eq!(ledger.touched(0, Level::Decoded), 0);
    last.unwrap().flatten().unwrap();
    assert!(ledger.touched(1, Level::Decoded) > 0);
}

#[test]
fn test_scans_with_filters_and_deletes_equal_a_naive_reading() {
    let rows = BLOCK_ROWS + 5000;
    let arrays = every_type(rows, 17);
    let columns: Vec<(&str, ArrayRef)> = [("id", ids(rows))]
        .into_iter()
        .chain(arrays.into_iter().filter(|(n, _)| ["i64", "few", "dec15", "list"].contains(n)))
        .collect();
    let table = table_of(&columns);
    let mut random = Random(5);
    let mut doomed: Vec<u64> = (0..3000).map(|_| random.below(rows) as u64).collect();
    // Whole vectors and a whole run too.
    doomed.extend(4096..8192);
    doomed.sort_unstable();
    doomed.dedup();
    let some = table.without(&doomed[..doomed.len() / 2]).unwrap();
    let thinned = some.without(&doomed[doomed.len() / 2..]).unwrap();
    let survivors = |doomed: &[u64], divisor: i64| -> Vec<u32> {
        let key = columns[1].1.as_primitive::<Int64Type>();
        let filter = Divisible::new(1, divisor);
        let live = (0..rows as u32).filter(|row| doomed.binary_search(&u64::from(*row)).is_err());
        live.filter(|&row| divisor == 0 || filter.keeps(key, row as usize)).collect()
    };
    for (version, doomed) in [(&table, &[][..]), (&thinned, &doomed[..])] {
        assert_eq!(version.rows(), (rows - doomed.len()) as u64);
        for (divisor, vector_size) in [(0, 2048), (1, 2048), (3, 7), (3, 2048), (97, 1)] {
            let want = survivors(doomed, divisor);
            let filter = Divisible::new(1, divisor);
            let seen = Arc::clone(&filter.seen);
            let filter = (divisor != 0).then_some(filter as Arc<dyn RowFilter>);
            let spec = ScanSpec { filter, ..spec(version, vec![0, 4, 2, 1, 3], vector_size) };
            let (got, count) = collect(version, spec);
            assert_eq!(count, want.len());
            for (array, column) in got.iter().zip([0, 4, 2, 1, 3]) {
                assert_eq!(array.to_data(), taken(&columns[column].1, &want));
            }
            // The filter never sees a deleted row.
            let shown = seen.load(std::sync::atomic::Ordering::Relaxed);
            assert!(divisor == 0 || shown == version.rows(), "{shown}");
        }
    }
    // Older versions stay what they were.
    assert_eq!(table.rows(), rows as u64);
    assert_eq!(collect(&table, spec(&table, vec![0], 2048)).0[0].to_data(), columns[0].1.to_data());
    let error = thinned.without(&doomed[5..6]).unwrap_err();
    assert!(matches!(error, StorageError::Conflict(_)), "{error}");
}

#[test]
fn test_row_ids_name_rows_across_parts() {
    let table = table_of(&[("id", ids(BLOCK_ROWS))]);
    let more = table_of(&[("id", ids(10))]);
    let segments: Vec<_> = more.parts().map(|part| Arc::clone(&part.segment)).collect();
    let table = table.append(&segments).unwrap();
    let id = |segment, row| RowId { segment, row };
    let positions = table.positions_of(&[id(1, 9), id(0, 3), id(1, 0), id(0, 3)]).unwrap();
    assert_eq!(positions, vec![3, BLOCK_ROWS as u64, BLOCK_ROWS as u64 + 9]);
    assert!(table.positions_of(&[id(1, 10)]).is_err());
    assert!(table.positions_of(&[id(2, 0)]).is_err());
    let thinned = table.without(&positions).unwrap();
    assert_eq!(thinned.rows(), BLOCK_ROWS as u64 + 7);
    assert!(thinned.without(&[BLOCK_ROWS as u64 + 10]).is_err());
}

#[test]
fn test_statistics_equal_naive_ones_for_every_type() {
    for (name, array) in every_type(3 * 1000, 23) {
        let table = table_of(&[(name, Arc::clone(&array))]);
        let range = table.column_range(0);
        let nulls = array.logical_null_count() as u64;
        assert_eq!(range.nulls, Some(nulls), "{name}");
        let valid: Vec<Scalar> = (0..array.len())
            .map(|row| Scalar::from_array(array.as_ref(), row).unwrap())
            .filter(|value| !value.is_null())
            .collect();
        let is_nan = |value: &Scalar| value.as_f64().is_some_and(f64::is_nan);
        assert_eq!(range.no_nan, !valid.iter().any(is_nan), "{name}");
        let check = |wide: fn(&Scalar) -> Option<i128>| {
            let values = || valid.iter().filter_map(wide);
            assert_eq!(range.min.as_ref().and_then(wide), values().min(), "{name}");
            assert_eq!(range.max.as_ref().and_then(wide), values().max(), "{name}");
        };
        match LogicalType::from_arrow(array.data_type()).unwrap() {
            LogicalType::Float32 | LogicalType::Float64 => {
                let values = || valid.iter().filter_map(Scalar::as_f64).filter(|v| !v.is_nan());
                let want = (values().fold(f64::MAX, f64::min), values().fold(f64::MIN, f64::max));
                let got = (range.min.unwrap().as_f64(), range.max.unwrap().as_f64());
                assert_eq!(got, (Some(want.0), Some(want.1)));
            }
            LogicalType::Text | LogicalType::Blob => {
                let values = || valid.iter().filter_map(Scalar::as_bytes);
                assert_eq!(range.min.as_ref().and_then(Scalar::as_bytes), values().min());
                assert_eq!(range.max.as_ref().and_then(Scalar::as_bytes), values().max());
            }
            LogicalType::Boolean => check(|value| value.as_bool().map(i128::from)),
            LogicalType::Interval
            | LogicalType::Null
            | LogicalType::List(_)
            | LogicalType::Struct(_)
            | LogicalType::Map(..) => assert!(range.min.is_none() && range.max.is_none()),
            _ => {
                assert!(range.min.is_some(), "{name}");
                check(Scalar::as_i128);
            }
        }
    }
}

#[test]
fn test_distinct_is_about_right_across_segments() {
    let table = table_of(&[("id", ids(30_000)), ("few", every_type(30_000, 5)[15].1.clone())]);
    let segments: Vec<_> = table.parts().map(|part| Arc::clone(&part.segment)).collect();
    let twice = table.append(&segments).unwrap();
    for table in [table, twice] {
        assert!(table.distinct(0).unwrap().abs_diff(30_000) < 2_400);
        assert_eq!(table.distinct(1), Some(16));
    }
}

#[test]
fn test_blocks_that_cannot_match_are_not_read() {
    let rows = 3 * BLOCK_ROWS + 10;
    let table = table_of(&[("id", ids(rows)), ("other", ids(rows))]);
    let at_least =
        |value| Prune::Compare { column: 0, op: PruneOp::GtEq, value: Scalar::int64(value) };
    let scan = |prune| {
        let spec = ScanSpec { prune: Some(prune), ..spec(&table, vec![1], 2048) };
        let ledger = Arc::clone(&spec.ledger);
        let rows = table.scan(spec.clone()).unwrap().rows();
        (collect(&table, spec).1, rows as usize, ledger)
    };
    let (read, promised, ledger) = scan(at_least(2 * BLOCK_ROWS as i64));
    assert_eq!((read, promised), (BLOCK_ROWS + 10, BLOCK_ROWS + 10));
    assert!(ledger.touched(0, Level::Metadata) > 0);
    assert_eq!(ledger.touched(0, Level::Decoded), 0);
    assert_eq!(ledger.touched(1, Level::Decoded), (BLOCK_ROWS as u64 + 10) * 8);
    assert_eq!(scan(at_least(rows as i64)).0, 0);
    assert_eq!(scan(at_least(0)).0, rows);
}

#[test]
fn test_single_row_inserts_keep_few_parts_and_older_versions() {
    let schema = schema(&[("id", LogicalType::Int64), ("name", LogicalType::Text)]);
    let mut table = TableVersion::new(Arc::clone(&schema), &[]).unwrap();
    let mut older = vec![];
    let name = |i: i64| format!("the name of number {i}");
    for i in 0..3000_i64 {
        let mut builder = SegmentBuilder::new(Arc::clone(&schema));
        let row = [Scalar::int64(i), Scalar::text(&name(i))].map(|v| Vector::constant(v, 1));
        builder.push(&row, None).unwrap();
        table = table.append(&[Arc::new(builder.finish().unwrap())]).unwrap();
        assert!(table.parts().count() <= 32, "{}", table.parts().count());
        if i % 371 == 0 {
            // Deleted rows stay deleted while segments grow together.
            table = table.without(&[i as u64 / 2]).unwrap();
            older.push((table.clone(), older.len() + 1));
        }
    }
    older.push((table, older.len()));
    for (i, (version, deleted)) in older.iter().enumerate() {
        let total = version.positions() as i64;
        let gone: Vec<i64> = (0..*deleted as i64).map(|d| d * 371 / 2).collect();
        let want: Vec<i64> = (0..total).filter(|id| !gone.contains(id)).collect();
        let (columns, _) = collect(version, spec(version, vec![0, 1], 2048));
        assert_eq!(columns[0].as_primitive::<Int64Type>().values(), &want[..], "version {i}");
        let names = StringViewArray::from_iter_values(want.iter().map(|&i| name(i)));
        assert_eq!(columns[1].as_string_view(), &names);
    }
}

#[test]
fn test_not_null_is_kept() {
    let mut columns =
        schema(&[("id", LogicalType::Int64), ("x", LogicalType::Int64)]).as_ref().clone();
    columns.columns[1].nullable = false;
    let mut builder = SegmentBuilder::new(Arc::new(columns));
    let good = Vector::Flat(ids(3));
    let bad = Vector::Flat(Arc::new(Int64Array::from(vec![Some(1), None, Some(3)])));
    let error = builder.push(&[good.clone(), bad.clone()], None).unwrap_err().to_string();
    assert!(error.contains("'x', which is NOT NULL"), "{error}");
    let null = Vector::constant(Scalar::null(LogicalType::Null), 3);
    assert!(builder.push(&[good.clone(), null.clone()], None).is_err());
    // The NULL is not among the selected rows.
    builder.push(&[null, bad], Some(&Selection::new(vec![0, 2]))).unwrap();
    let segment = builder.finish().unwrap();
    let read = |column: usize| segment.columns()[column].read(0..2).unwrap().flatten().unwrap();
    assert_eq!(read(0).null_count(), 2);
    assert_eq!(read(1).as_primitive::<Int64Type>(), &Int64Array::from(vec![1, 3]));
}

#[test]
fn test_small_segments_are_merged_in_order() {
    assert!(merge_groups(&[]).is_empty());
    assert!(matches!(merge_groups(&[5])[..], [std::ops::Range { start: 0, end: 1 }]));
    let quarter = SEGMENT_ROWS / 4;
    let rows = [10, 20, quarter, 30, 40, SEGMENT_ROWS, quarter - 1, quarter - 1, quarter - 1];
    assert_eq!(merge_groups(&rows), vec![0..2, 2..3, 3..5, 5..6, 6..9]);
    assert_eq!(merge_groups(&[quarter - 1; 6]), vec![0..4, 4..6]);
    let arrays = every_type(5000, 3);
    for (name, array) in &arrays {
        let cuts = [0, 1, 700, 700, 4000, 5000];
        let pieces = cuts.windows(2).map(|cut| array.slice(cut[0], cut[1] - cut[0]));
        let segments: Vec<_> = pieces
            .flat_map(|piece| {
                let table = table_of(&[(*name, piece)]);
                table.parts().map(|part| Arc::clone(&part.segment)).collect::<Vec<_>>()
            })
            .collect();
        let merged = merge_segments(&segments).unwrap();
        assert_eq!(merged.len(), 1);
        let values = merged[0].columns()[0].read(0..5000).unwrap().flatten().unwrap();
        assert_eq!(values.to_data(), array.to_data(), "{name}");
    }
}

#[test]
fn test_the_builder_cuts_segments() {
    let rows = SEGMENT_ROWS + 3000;
    let table = table_of(&[("id", ids(rows))]);
    let sizes: Vec<_> = table.parts().map(|part| part.segment.rows()).collect();
    assert_eq!(sizes, vec![SEGMENT_ROWS, 3000]);
    let scan = table.scan(spec(&table, vec![0], 2048)).unwrap();
    assert_eq!(scan.morsels(), SEGMENT_ROWS / BLOCK_ROWS + 1);
    assert_eq!(collect(&table, spec(&table, vec![0], 2048)).0[0].to_data(), ids(rows).to_data());
}

#[test]
fn test_foreign_segments_are_refused() {
    let table = table_of(&[("id", ids(3))]);
    let other = table_of(&[("id", every_type(3, 1)[14].1.clone())]);
    let segments: Vec<_> = other.parts().map(|part| Arc::clone(&part.segment)).collect();
    assert!(table.append(&segments).is_err());
}
