//! Every encoding of every type against the plain values: whole columns, ranges, selections, statistics, merges, deletes.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{array::*, compute, datatypes::*};

use super::{
    tests::{Random, collect, every_type, spec},
    *,
};
use crate::{
    ColumnDef, Encoding, LogicalType, Relation, SEGMENT_ROWS, Scalar, Schema, Selection, Vector,
    vector::NULL_RANK,
};

const ROWS: usize = 3000;

fn pick(array: &ArrayRef, row: impl Fn(usize) -> usize) -> ArrayRef {
    let rows = UInt32Array::from_iter_values((0..ROWS).map(|i| row(i) as u32));
    compute::take(array, &rows, None).unwrap()
}

fn distinct_bits(array: &ArrayRef) -> Vec<usize> {
    let mut found: Vec<usize> = vec![];
    for row in (0..array.len()).filter(|&row| array.is_valid(row)) {
        let value = array.slice(row, 1).to_data();
        if !found.iter().any(|&other| array.slice(other, 1).to_data() == value) {
            found.push(row);
        }
        if found.len() >= 300 {
            break;
        }
    }
    found
}

/// Columns of a type whose values are shaped so that each encoding is somebody's best.
fn shapes(array: &ArrayRef, random: &mut Random) -> Vec<(String, ArrayRef)> {
    let noise: Vec<usize> = (0..ROWS).map(|_| random.below(1 << 30)).collect();
    let valid = distinct_bits(array);
    let mut all = vec![("as it is".to_owned(), Arc::clone(array))];
    let null = (0..array.len()).find(|&row| array.is_null(row));
    if valid.is_empty() {
        return all;
    }
    let small: Vec<usize> = valid
        .iter()
        .copied()
        .filter(|&row| {
            let value = Scalar::from_array(array.as_ref(), row).unwrap();
            value.as_i128().is_some_and(|v| v.unsigned_abs() <= 100)
        })
        .collect();
    let mut add = |name: &str, palette: &[usize], at: &dyn Fn(usize) -> usize| {
        let row = |i: usize| palette[at(i) % palette.len()];
        all.push((format!("{name} of {}", palette.len()), pick(array, row)));
        if let Some(null) = null {
            let row = |i: usize| if noise[i].is_multiple_of(7) { null } else { row(i) };
            all.push((format!("{name} of {} with nulls", palette.len()), pick(array, row)));
            let row = |i: usize| if i / 700 == 1 { null } else { palette[at(i) % palette.len()] };
            all.push((format!("{name} of {}, a run null", palette.len()), pick(array, row)));
        }
    };
    for count in [1, 2, 40, 300] {
        let palette = &valid[..count.min(valid.len())];
        add("noise", palette, &|i| noise[i] >> 3);
        add("runs", palette, &|i| i / 600);
    }
    if !small.is_empty() {
        add("small noise", &small, &|i| noise[i] >> 3);
    }
    if let Some(null) = null {
        all.push(("nothing".to_owned(), pick(array, |_| null)));
    }
    all
}

/// Numbers close to the ends of their types.
fn extremes() -> Vec<(String, ArrayRef)> {
    let mut all: Vec<(String, ArrayRef)> = vec![];
    for span in [200_u64, 60_000, 1 << 31, u64::MAX] {
        let at = |i: u64| i.wrapping_mul(0x9e37_79b9_7f4a_7c15) % span;
        let rows = 0..ROWS as u64;
        let low = || rows.clone().map(|i| i64::MIN.wrapping_add_unsigned(at(i)));
        let high = || rows.clone().map(|i| i64::MAX.wrapping_sub_unsigned(at(i)));
        let ints: [ArrayRef; 2] = [
            Arc::new(Int64Array::from_iter_values(low())),
            Arc::new(Int64Array::from_iter_values(high())),
        ];
        for array in ints {
            all.push((format!("ints {span}"), Arc::clone(&array)));
            for ty in [
                DataType::Timestamp(TimeUnit::Nanosecond, None),
                DataType::Duration(TimeUnit::Microsecond),
            ] {
                all.push((format!("{ty} {span}"), compute::cast(&array, &ty).unwrap()));
            }
            let wide = array.as_primitive::<Int64Type>().values().iter().map(|&v| i128::from(v));
            let wide = Decimal128Array::from_iter_values(wide);
            all.push((format!("wide decimals {span}"), Arc::new(wide)));
        }
        let unsigned: [ArrayRef; 3] = [
            Arc::new(UInt64Array::from_iter_values(rows.clone().map(|i| u64::MAX - at(i)))),
            Arc::new(UInt64Array::from_iter_values(
                rows.clone().map(|i| (1 << 63) - 1 - at(i) % (1 << 62)),
            )),
            Arc::new(UInt64Array::from_iter_values(
                rows.clone().map(|i| (1 << 63) - 100 + at(i) % 200),
            )),
        ];
        all.extend(unsigned.map(|array| (format!("unsigned {span}"), array)));
        let days = rows.clone().map(|i| i32::MIN.wrapping_add_unsigned((at(i) % (1 << 32)) as u32));
        all.push((format!("days {span}"), Arc::new(Date32Array::from_iter_values(days))));
    }
    // Texts that occur once or thrice in five rows: shares around what decides between views and a dictionary.
    for (once, length) in [(5, 3), (3, 3), (2, 3), (5, 40), (3, 40), (2, 40)] {
        let text = |i: usize| {
            (i % 11 != 7).then(|| {
                let number = if i % 5 < once { i } else { i / 900 };
                format!("{number}{}", "-".repeat(length))
            })
        };
        let texts: ArrayRef = Arc::new((0..ROWS).map(text).collect::<StringViewArray>());
        all.push((format!("{once} of 5 texts apart"), Arc::clone(&texts)));
        let blobs = compute::cast(&texts, &DataType::BinaryView).unwrap();
        all.push((format!("{once} of 5 blobs apart"), blobs));
    }
    all
}

fn segment_of(array: &ArrayRef) -> Arc<Segment> {
    let ty = LogicalType::from_arrow(array.data_type()).unwrap();
    let schema = Arc::new(Schema::new(vec![ColumnDef::new("c", ty)]));
    let mut builder = SegmentBuilder::new(schema);
    for at in (0..array.len()).step_by(1000) {
        let piece = array.slice(at, 1000.min(array.len() - at));
        builder.push(&[Vector::Flat(piece)], None).unwrap();
    }
    Arc::new(builder.finish().unwrap())
}

fn table_of(array: &ArrayRef, segments: &[Arc<Segment>]) -> TableVersion {
    let ty = LogicalType::from_arrow(array.data_type()).unwrap();
    let schema = Arc::new(Schema::new(vec![ColumnDef::new("c", ty)]));
    TableVersion::new(schema, segments).unwrap()
}

fn check_reads(column: &Column, plain: &ArrayRef, random: &mut Random, context: &str) {
    let rows = plain.len();
    let mut ranges = vec![0..rows, 0..0, 0..1, rows - 1..rows, 599..601, 700..1400];
    for _ in 0..8 {
        let start = random.below(rows);
        ranges.push(start..start + random.below(rows - start + 1));
    }
    for range in ranges {
        let vector = column.read(range.clone()).unwrap();
        let want = plain.slice(range.start, range.len());
        assert_eq!(vector.len(), range.len(), "{context}");
        assert_eq!(vector.ty().unwrap(), *column.ty(), "{context}");
        let flat = vector.flatten().unwrap();
        assert_eq!(flat.data_type(), plain.data_type(), "{context}");
        assert_eq!(flat.to_data(), want.to_data(), "{context} {range:?}");
        let nulls = want.logical_null_count();
        assert_eq!(
            column.encoding().unwrap().null_count(range.clone()),
            nulls,
            "{context} {range:?}"
        );
        let counted = vector.nulls().map_or(0, |nulls| nulls.null_count());
        assert_eq!(counted, nulls, "{context} {range:?}");
        if range.is_empty() {
            continue;
        }
        let some: Vec<u32> = (0..range.len() as u32).filter(|i| i % 3 == 1).collect();
        let take = |rows: &UInt32Array| compute::take(&want, rows, None).unwrap().to_data();
        let selected = vector.select(&Selection::new(some.clone())).unwrap().flatten().unwrap();
        assert_eq!(selected.to_data(), take(&some.into()), "{context}");
        let picks: UInt32Array =
            (0..20).map(|i| (i % 5 != 4).then(|| random.below(range.len()) as u32)).collect();
        let taken = vector.take(&picks).unwrap().flatten().unwrap();
        assert_eq!(taken.to_data(), take(&picks), "{context}");
        let cut = random.below(range.len());
        let slice = vector.slice(cut, range.len() - cut).flatten().unwrap();
        assert_eq!(slice.to_data(), want.slice(cut, range.len() - cut).to_data(), "{context}");
        let row = random.below(range.len());
        let scalar = Scalar::from_array(want.as_ref(), row).unwrap();
        assert_eq!(vector.scalar(row).unwrap(), scalar, "{context} {row}");
    }
}

fn check_statistics(table: &TableVersion, plain: &ArrayRef, context: &str) {
    let range = table.column_range(0);
    assert_eq!(range.nulls, Some(plain.logical_null_count() as u64), "{context}");
    let value = |row| Scalar::from_array(plain.as_ref(), row).unwrap();
    let values: Vec<Scalar> = (0..plain.len()).map(value).filter(|v| !v.is_null()).collect();
    let ints: Vec<i128> = values.iter().filter_map(Scalar::as_i128).collect();
    let bound = |bound: &Option<Scalar>| bound.as_ref().and_then(Scalar::as_i128);
    if !ints.is_empty() {
        assert_eq!(bound(&range.min), ints.iter().min().copied(), "{context}");
        assert_eq!(bound(&range.max), ints.iter().max().copied(), "{context}");
    }
    let floats: Vec<f64> =
        values.iter().filter_map(Scalar::as_f64).filter(|v| !v.is_nan()).collect();
    if !floats.is_empty() {
        let bound = |bound: &Option<Scalar>| bound.as_ref().and_then(Scalar::as_f64).unwrap();
        assert!(floats.iter().all(|&v| bound(&range.min) <= v && v <= bound(&range.max)));
        assert!(floats.contains(&bound(&range.min)) && floats.contains(&bound(&range.max)));
    }
    let texts = values.iter().filter_map(Scalar::as_bytes);
    if let (Some(min), Some(max)) = (texts.clone().min(), texts.max()) {
        assert_eq!(range.min.as_ref().and_then(Scalar::as_bytes), Some(min), "{context}");
        assert_eq!(range.max.as_ref().and_then(Scalar::as_bytes), Some(max), "{context}");
    }
    let nan = values.iter().any(|v| v.as_f64().is_some_and(f64::is_nan));
    assert_eq!(range.no_nan, !nan, "{context}");
}

/// No code or offset stands under a NULL but 0, every code is in range, entries differ.
fn check_invariants(column: &Column, context: &str) {
    let (inner, entries) = match column.encoding().unwrap() {
        Encoding::Narrow { offsets, .. } => (offsets, usize::MAX),
        Encoding::Dictionary { codes, values } => {
            assert_eq!(values.values().null_count(), 0, "{context}");
            let mut ranks = values.ranks().unwrap_or_default().to_vec();
            ranks.sort_unstable();
            assert!(ranks.windows(2).all(|w| w[0] < w[1] && w[1] < NULL_RANK), "{context}");
            (codes, values.values().len())
        }
        Encoding::RunEnd { ends, values } => {
            assert!(ends.windows(2).all(|w| w[0] < w[1]), "{context}");
            assert_eq!(ends.last().copied(), Some(column.rows() as u32), "{context}");
            assert_eq!(ends.len(), values.len(), "{context}");
            assert_eq!(*values.data_type(), column.ty().to_arrow(), "{context}");
            return;
        }
        _ => return,
    };
    let wide = compute::cast(inner, &DataType::Int64).unwrap();
    let wide = wide.as_primitive::<Int64Type>();
    let Encoding::Dictionary { .. } = column.encoding().unwrap() else {
        let raw = compute::cast(
            &make_array(inner.to_data().into_builder().nulls(None).build().unwrap()),
            &DataType::Int64,
        )
        .unwrap();
        let raw = raw.as_primitive::<Int64Type>();
        assert!((0..wide.len()).all(|row| wide.is_valid(row) || raw.value(row) == 0), "{context}");
        return;
    };
    assert!(wide.iter().flatten().all(|code| (code as usize) < entries), "{context}");
}

#[test]
fn test_every_encoding_of_every_type_equals_the_plain_values() {
    let mut random = Random(77);
    let mut seen: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut columns: Vec<(&'static str, String, ArrayRef)> = vec![];
    for (name, array) in every_type(ROWS, 41) {
        let shapes = shapes(&array, &mut random).into_iter();
        columns.extend(shapes.map(|(shape, array)| (name, shape, array)));
    }
    columns.extend(extremes().into_iter().map(|(shape, array)| ("extremes", shape, array)));
    for (name, shape, plain) in columns {
        let context = format!("{name}: {shape}");
        let segment = segment_of(&plain);
        let column = &segment.columns()[0];
        let label = column.encoding_label();
        let context = format!("{context}: {label}");
        let labels = seen.entry(name).or_default();
        if !labels.contains(&label) {
            labels.push(label);
        }
        check_reads(column, &plain, &mut random, &context);
        check_invariants(column, &context);
        let table = table_of(&plain, &[segment]);
        check_statistics(&table, &plain, &context);
        let gone: Vec<u64> =
            (0..ROWS as u64).filter(|row| row % 5 == 2 || row / 700 == 3).collect();
        let left: Vec<u32> =
            (0..ROWS as u32).filter(|row| gone.binary_search(&u64::from(*row)).is_err()).collect();
        let thinned = table.without(&gone).unwrap();
        let got = collect(&thinned, spec(&thinned, vec![0], 2048)).0[0].to_data();
        assert_eq!(
            got,
            compute::take(&plain, &UInt32Array::from(left), None).unwrap().to_data(),
            "{context}"
        );
    }
    let has = |name: &str, wanted: &[&str]| {
        for label in wanted {
            assert!(seen[name].iter().any(|l| l == label), "{name} {label}: {:?}", seen[name]);
        }
    };
    for name in ["i16", "u16", "i32", "u32", "i64", "u64", "date", "time_s", "ts_ns", "duration"] {
        has(name, &["constant", "narrow(u8)", "run-end"]);
    }
    for name in ["f32", "f64", "dec38", "i64", "ts_s", "u64"] {
        has(name, &["constant", "dictionary(u8)", "run-end"]);
    }
    has("f64", &["plain", "dictionary(u16)"]);
    has("dec15", &["constant", "narrow(u8)", "narrow(i64)", "dictionary(u8)", "run-end"]);
    has("dec38", &["narrow(u8)"]);
    has("text", &["constant", "dictionary(u8)", "dictionary(u16)", "run-end"]);
    has("blob", &["constant", "dictionary(u8)", "dictionary(u16)", "run-end"]);
    has("extremes", &["view", "dictionary(u16)"]);
    has("bool", &["constant", "plain", "run-end"]);
    has("i8", &["constant", "plain", "run-end"]);
    has("extremes", &["plain", "narrow(u8)", "narrow(u16)", "narrow(u32)", "narrow(i64)"]);
}

#[test]
fn test_segments_of_different_encodings_are_merged() {
    let mut random = Random(5);
    for (name, array) in every_type(ROWS, 43) {
        let shapes: Vec<ArrayRef> =
            shapes(&array, &mut random).into_iter().map(|(_, array)| array).collect();
        let segments: Vec<_> = shapes.iter().map(segment_of).collect();
        let parts: Vec<&dyn Array> = shapes.iter().map(AsRef::as_ref).collect();
        let want = compute::concat(&parts).unwrap();
        let merged = merge_group(&segments).unwrap();
        let column = &merged.columns()[0];
        let got = column.read(0..want.len()).unwrap().flatten().unwrap();
        assert_eq!(got.to_data(), want.to_data(), "{name}");
        check_invariants(column, name);
        // Builders put together give the same encoding as one that saw all rows.
        let ty = LogicalType::from_arrow(array.data_type()).unwrap();
        let schema = Arc::new(Schema::new(vec![ColumnDef::new("c", ty)]));
        let mut joined = SegmentBuilder::new(Arc::clone(&schema));
        for shape in &shapes {
            let mut builder = SegmentBuilder::new(Arc::clone(&schema));
            builder.push(&[Vector::Flat(Arc::clone(shape))], None).unwrap();
            assert!(builder.bytes() > 0 || shape.len() < 1 << 16, "{name}");
            joined.append(builder).unwrap();
        }
        assert_eq!(joined.rows(), want.len());
        let joined = joined.finish().unwrap();
        let column = &joined.columns()[0];
        let got = column.read(0..want.len()).unwrap().flatten().unwrap();
        assert_eq!(got.to_data(), want.to_data(), "{name}");
        assert_eq!(
            column.encoding_label(),
            segment_of(&want).columns()[0].encoding_label(),
            "{name}"
        );
        check_statistics(&table_of(&want, &[Arc::new(joined)]), &want, name);
    }
}

fn texts(range: std::ops::Range<usize>) -> ArrayRef {
    let n = range.len();
    let text = |i: usize| {
        (i % 11 != 3).then(|| format!("a long enough value {}", range.start + i * 7 % n))
    };
    Arc::new((0..20 * n).map(text).collect::<StringViewArray>())
}

fn dictionary_of(segment: &Segment) -> (ArrayRef, u64) {
    let Encoding::Dictionary { values, .. } = segment.columns()[0].encoding().unwrap() else {
        panic!("{}", segment.columns()[0].encoding_label())
    };
    (Arc::clone(values.values()), values.id())
}

fn flat(segment: &Segment) -> ArrayData {
    segment.columns()[0].read(0..segment.rows()).unwrap().flatten().unwrap().to_data()
}

#[test]
fn test_segments_share_a_dictionary() {
    let plain = [texts(0..200), texts(100..300), texts(0..60), texts(5000..5400)];
    let segments: Vec<_> = plain.iter().map(segment_of).collect();
    let shared = vec![shared_dictionary(&segments, 0).unwrap()];
    assert!(shared[0].is_some());
    let ids: Vec<_> = (0..4)
        .map(|i| {
            let segment = with_shared(&segments[i], i, &shared).unwrap();
            assert_eq!(flat(&segment), plain[i].to_data());
            check_statistics(&table_of(&plain[i], &[Arc::clone(&segment)]), &plain[i], "shared");
            let (values, id) = dictionary_of(&segment);
            assert_eq!(values.len(), 700);
            id
        })
        .collect();
    assert!(ids.windows(2).all(|w| w[0] == w[1]));
    // One dictionary, or none, is nothing to share; and it stays in bounds.
    let one = vec![Arc::clone(&segments[0]); 2];
    assert!(shared_dictionary(&one, 0).unwrap().is_none());
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..2000));
    assert!(shared_dictionary(&[segment_of(&numbers)], 0).unwrap().is_none());
    let many = [segment_of(&texts(0..40_000)), segment_of(&texts(40_000..80_000))];
    assert_eq!(dictionary_of(&many[0]).0.len(), 40_000);
    assert!(shared_dictionary(&many, 0).unwrap().is_none());
}

#[test]
fn test_zeros_of_both_signs_share_no_dictionary() {
    let doubles = |zero: f64| -> ArrayRef {
        Arc::new((0..ROWS).map(|i| Some([zero, 1.5, 1e300][i * 31 % 3])).collect::<Float64Array>())
    };
    let segments = [segment_of(&doubles(0.0)), segment_of(&doubles(-0.0))];
    assert_eq!(dictionary_of(&segments[0]).0.len(), 3);
    assert!(shared_dictionary(&segments, 0).unwrap().is_none());
    let both: ArrayRef =
        Arc::new((0..ROWS).map(|i| Some([0.0, -0.0, 7.0][i % 3])).collect::<Float64Array>());
    assert_eq!(segment_of(&both).columns()[0].encoding_label(), "plain");
}

#[test]
fn test_appended_segments_use_and_extend_the_tables_dictionary() {
    let spread = |from: usize, entries: usize| -> ArrayRef {
        let text = |i: usize| format!("category {}", from + i * 7919 % entries);
        Arc::new(StringViewArray::from_iter_values((0..SEGMENT_ROWS / 4).map(text)))
    };
    let plain = [spread(0, 200), spread(50, 100), spread(150, 200), spread(0, 350)];
    let mut table = table_of(&plain[0], &[]);
    let mut older = vec![];
    for array in &plain {
        older.push(table.clone());
        table = table.append(&[segment_of(array)]).unwrap();
    }
    older.push(table.clone());
    for (i, version) in older.iter().enumerate().skip(1) {
        let dictionaries: Vec<_> =
            version.parts().map(|part| dictionary_of(&part.segment)).collect();
        assert_eq!(dictionaries.len(), i);
        assert!(dictionaries.windows(2).all(|w| w[0].1 == w[1].1), "version {i}");
        assert_eq!(dictionaries[0].0.len(), if i < 3 { 200 } else { 350 });
        for (part, plain) in version.parts().zip(&plain) {
            assert_eq!(flat(&part.segment), plain.to_data());
        }
        // The shared entries are counted once.
        let bytes: u64 = version.parts().map(|part| part.segment.bytes()).sum();
        assert_eq!(version.bytes() < bytes, i > 1);
        assert_eq!(
            storage_info(version).iter().map(|info| info.bytes).sum::<u64>(),
            version.bytes()
        );
    }
    let labels: Vec<_> = storage_info(&table).into_iter().map(|info| info.encoding).collect();
    assert_eq!(labels, ["dictionary(u8)", "dictionary(u8)", "dictionary(u16)", "dictionary(u16)"]);
}

#[test]
fn test_storage_info_adds_up() {
    for (name, plain) in every_type(ROWS, 3) {
        let table = table_of(&plain, &[segment_of(&plain)]);
        let [info] = &storage_info(&table)[..] else { panic!("one segment, one column") };
        assert_eq!((info.segment, info.column, info.rows), (0, 0, ROWS as u64));
        assert_eq!(info.nulls, Some(plain.logical_null_count() as u64), "{name}");
        assert_eq!(info.bytes, table.bytes(), "{name}");
        let nested = LogicalType::from_arrow(plain.data_type()).unwrap().is_nested();
        let want = crate::ledger::array_bytes(plain.as_ref());
        // An array may have a bitmap without a NULL in it, and texts under NULL.
        assert!(nested || info.plain_bytes.abs_diff(want) <= want / 50, "{name}: {want} {info:?}");
        assert_eq!(info.min, table.column_range(0).min, "{name}");
    }
}
