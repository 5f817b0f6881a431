//! Statistics of every encoding against naive ones over the decoded values, and which morsels they stand for.
//!
//! Invariant: the naive side decodes value by value and shares nothing with the kernels but the float accumulators, which
//! are tested by themselves.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, ArrowPrimitiveType, AsArray, Float32Array, Float64Array, Int64Array,
        PrimitiveArray, UInt8Array, UInt16Array, UInt32Array,
    },
    compute,
    datatypes::{DataType, Float64Type, Int64Type, UInt32Type, i256},
};

use super::{
    stats::Statistics,
    sums::{ExactSums, Sums},
    tests::{Random, every_type, spec},
    version_tests::{ids, table_of},
};
use crate::{
    BLOCK_ROWS, BlockUse, Encoding, Level, LogicalType, Prune, PruneOp, Relation, Scalar, ScanSpec,
    TableVersion, moment::MomentSum, reproducible_sum::LaneSum, vector::DictionaryValues,
};

fn scalars(array: &dyn Array) -> Vec<Scalar> {
    let scalar = |row| Scalar::from_array(array, row).unwrap();
    (0..array.len()).map(scalar).filter(|value| !value.is_null()).collect()
}

fn naive_exact(values: &[Scalar]) -> ExactSums {
    let (mut sum, mut squares) = (0, i256::ZERO);
    for value in values.iter().map(|value| value.as_i128().unwrap()) {
        sum += value;
        squares += i256::from_i128(value) * i256::from_i128(value);
    }
    let (low, high) = squares.to_parts();
    ExactSums { sum, squares: low, carries: high as u32 }
}

/// Those of rows one by one, of which a NULL has its place, too.
fn naive_float(rows: &dyn Array) -> Sums {
    let (mut lanes, mut moment) = (LaneSum::default(), MomentSum::default());
    for row in 0..rows.len() {
        let value = Scalar::from_array(rows, row).unwrap().as_f64();
        let mask = [value.is_some()].into_iter().collect();
        lanes.add(&[value.unwrap_or_default()]);
        moment.add_masked(&[value.unwrap_or(f64::NAN)], &mask);
    }
    Sums::Float { sum: lanes.total(), moment: moment.total() }
}

/// Equal, NaN to NaN.
fn same(a: &Sums, b: &Sums) -> bool {
    format!("{a:?}") == format!("{b:?}")
}

/// The encodings that can hold an array.
fn encodings(array: &ArrayRef) -> Vec<Encoding> {
    let mut all = vec![Encoding::Plain(Arc::clone(array))];
    // A dictionary of the values as they come, NULL left out; codes under NULL are zero.
    let mut entries: Vec<Scalar> = Vec::new();
    let mut codes: Vec<Option<u32>> = Vec::new();
    for row in 0..array.len() {
        let value = Scalar::from_array(array.as_ref(), row).unwrap();
        codes.push((!value.is_null()).then(|| {
            let known = entries.iter().position(|entry| *entry == value);
            known.unwrap_or_else(|| {
                entries.push(value);
                entries.len() - 1
            }) as u32
        }));
    }
    if !entries.is_empty() {
        let arrays: Vec<&dyn Array> = entries.iter().map(|entry| entry.array().as_ref()).collect();
        let values = compute::concat(&arrays).unwrap();
        let codes = codes.into_iter().collect::<PrimitiveArray<UInt32Type>>();
        let values = Arc::new(DictionaryValues::new(values));
        all.push(Encoding::Dictionary { codes: Arc::new(codes), values });
    }
    if *array.data_type() != DataType::Null {
        let runs: Vec<u32> = (1..=array.len() as u32).collect();
        all.push(Encoding::RunEnd { ends: runs.into(), values: Arc::clone(array) });
    }
    all
}

fn check(encoding: &Encoding, ty: &LogicalType, array: &ArrayRef, what: &str) {
    for (start, end) in
        [(0, array.len()), (0, 1), (3, 3 + array.len() / 2), (array.len(), array.len())]
    {
        let got = Statistics::of(encoding, ty, start..end).unwrap();
        let what = format!("{what} {} {start}..{end}", encoding.name());
        let rows = array.slice(start, end - start);
        let values = scalars(rows.as_ref());
        let is_nan = |value: &&Scalar| value.as_f64().is_some_and(f64::is_nan);
        assert_eq!(got.rows, end - start, "{what}");
        assert_eq!(got.nulls, end - start - values.len(), "{what}");
        assert_eq!(got.nans, values.iter().filter(is_nan).count(), "{what}");
        match ty {
            _ if ty.is_float() => assert!(same(&got.sums, &naive_float(rows.as_ref())), "{what}"),
            LogicalType::Decimal { precision: 19..=26, .. } => {
                let Sums::Exact(sums) = got.sums else { panic!("{what}: no sums") };
                assert_eq!(sums.sum, naive_exact(&values).sum, "{what}");
            }
            LogicalType::Decimal { precision: 27.., .. } => assert_eq!(got.sums, Sums::None),
            _ if ty.is_integer() || matches!(ty, LogicalType::Decimal { .. }) => {
                assert_eq!(got.sums, Sums::Exact(naive_exact(&values)), "{what}");
            }
            _ => assert_eq!(got.sums, Sums::None, "{what}"),
        }
        let finite = values.iter().filter(|value| !is_nan(value));
        let compare = |a: &&Scalar, b: &&Scalar| crate::prune::compare_scalars(a, b).unwrap();
        if !ty.is_nested() && !matches!(ty, LogicalType::Interval | LogicalType::Null) {
            let show = |value: Option<&Scalar>| value.map(|value| value.to_string());
            let equal = |got: &Option<Scalar>, want: Option<&Scalar>| match (got, want) {
                (Some(got), Some(want)) => compare(&got, &want).is_eq(),
                (got, want) => got.is_none() && want.is_none(),
            };
            let (min, max) = (finite.clone().min_by(compare), finite.max_by(compare));
            assert!(equal(&got.min, min), "{what}: {:?} {:?}", got.min, show(min));
            assert!(equal(&got.max, max), "{what}: {:?} {:?}", got.max, show(max));
        }
    }
}

#[test]
fn test_statistics_of_every_type_and_encoding() {
    for (name, array) in every_type(400, 31) {
        let ty = LogicalType::from_arrow(array.data_type()).unwrap();
        for encoding in encodings(&array) {
            if !ty.is_nested() {
                check(&encoding, &ty, &array, name);
            }
        }
        if let Some(value) = scalars(array.as_ref()).first() {
            let rows: Vec<&dyn Array> = (0..9).map(|_| value.array().as_ref()).collect();
            let constant = Encoding::Constant(value.clone());
            check(&constant, &ty, &compute::concat(&rows).unwrap(), name);
        }
        let nulls = arrow::array::new_null_array(&ty.to_arrow(), 9);
        check(&Encoding::Constant(Scalar::null(ty.clone())), &ty, &nulls, name);
        check(&Encoding::Plain(Arc::clone(&nulls)), &ty, &nulls, name);
    }
}

fn narrow<T: ArrowPrimitiveType>(values: &[Option<u64>], from: fn(u64) -> T::Native) -> ArrayRef {
    Arc::new(values.iter().map(|value| value.map(from)).collect::<PrimitiveArray<T>>())
}

#[test]
fn test_statistics_of_narrow_offsets() {
    let mut random = Random(8);
    for nulls in [false, true] {
        for (bits, base) in [(8, -3), (16, i64::MIN), (32, i64::MAX - (1 << 33)), (8, 0), (32, -7)]
        {
            let mut value =
                || (!nulls || random.below(4) > 0).then(|| random.next() >> (64 - bits));
            let offsets: Vec<Option<u64>> = (0..300).map(|_| value()).collect();
            let plain = offsets.iter().map(|o| o.map(|o| base + o as i64)).collect::<Int64Array>();
            let array: ArrayRef = match bits {
                8 => Arc::new(offsets.iter().map(|o| o.map(|o| o as u8)).collect::<UInt8Array>()),
                16 => {
                    Arc::new(offsets.iter().map(|o| o.map(|o| o as u16)).collect::<UInt16Array>())
                }
                _ => Arc::new(offsets.iter().map(|o| o.map(|o| o as u32)).collect::<UInt32Array>()),
            };
            let encoding = Encoding::Narrow { base, offsets: array };
            check(&encoding, &LogicalType::Int64, &(Arc::new(plain) as ArrayRef), "narrow");
        }
    }
    let offsets: Vec<Option<u64>> = (0..300_u64).map(|i| (i % 5 > 0).then_some(i << 50)).collect();
    let array = narrow::<Int64Type>(&offsets, |value| value as i64 - (1 << 57));
    let ty = LogicalType::Decimal { precision: 18, scale: 2 };
    let wide = array.as_primitive::<Int64Type>();
    let wide = wide.unary::<_, arrow::datatypes::Decimal128Type>(i128::from);
    let wide: ArrayRef = Arc::new(wide.with_data_type(ty.to_arrow()));
    check(&Encoding::Narrow { base: 0, offsets: array }, &ty, &wide, "decimal");
}

#[test]
fn test_merged_statistics_are_those_of_all_rows() {
    let floats = |values: Vec<f64>| -> ArrayRef { Arc::new(Float64Array::from(values)) };
    let of = |array: ArrayRef| {
        let rows = array.len();
        Statistics::of(&Encoding::Plain(array), &LogicalType::Float64, 0..rows).unwrap()
    };
    let (nan, number) = (of(floats(vec![f64::NAN])), of(floats(vec![3.0, -1.0])));
    for (a, b) in [(&nan, &number), (&number, &nan)] {
        let mut both = a.clone();
        both.merge(b);
        assert_eq!((both.rows, both.nans, both.ordered()), (3, 1, 2));
        assert_eq!(both.min.unwrap().as_f64(), Some(-1.0));
        assert_eq!(both.max.unwrap().as_f64(), Some(3.0));
    }
    let mut unknown = number.clone();
    unknown.merge(&Statistics::unknown(7));
    assert!(unknown.unknown && unknown.rows == 9);
    let range = unknown.range(false);
    assert!(range.nulls.is_none() && range.min.is_none() && !range.no_nan);
    let single: ArrayRef = Arc::new(Float32Array::from(vec![0.1, f32::NAN, -0.0]));
    let known = Statistics::of(&Encoding::Plain(single), &LogicalType::Float32, 0..3).unwrap();
    assert_eq!(*known.max.unwrap().array().data_type(), DataType::Float32);
}

#[test]
fn test_whole_morsels_are_those_that_pass_as_they_are() {
    let rows = 3 * BLOCK_ROWS + 10;
    let table = table_of(&[("id", ids(rows)), ("same", ids(rows))]);
    let block = BLOCK_ROWS as i64;
    let between = |low: i64, high: i64| {
        let compare = |op, value| Prune::Compare { column: 0, op, value: Scalar::int64(value) };
        Prune::And(vec![compare(PruneOp::GtEq, low), compare(PruneOp::Lt, high)])
    };
    let whole = |table: &dyn Relation, prune| {
        let scan = table.scan(ScanSpec { prune, ..spec(table, vec![1], 2048) }).unwrap();
        (scan.whole(), scan)
    };
    let full = Some(BLOCK_ROWS as u64);
    let (found, scan) = whole(&table, None);
    assert_eq!(found, [full, full, full, Some(10)]);
    let known = scan.statistics(1, 1).unwrap();
    let sum = (block..2 * block).map(i128::from).sum();
    assert!(matches!(known.sums, Sums::Exact(ExactSums { sum: got, .. }) if got == sum));
    assert!(scan.statistics(4, 0).is_none() && scan.statistics(0, 2).is_none());
    // The first block is an edge, the second is inside, the others are skipped.
    let (found, scan) = whole(&table, Some(between(5, 2 * block)));
    assert_eq!(found, [None, full]);
    assert_eq!(scan.statistics(1, 0).unwrap().min, Some(Scalar::int64(block)));
    let all = whole(&table, Some(between(0, rows as i64))).0;
    assert_eq!(all, [full, full, full, Some(10)]);
    // A deleted row makes its block one that is read.
    let thinned = table.without(&[BLOCK_ROWS as u64 + 7]).unwrap();
    assert_eq!(whole(&thinned, None).0, [full, None, full, Some(10)]);
    let inside = Some(between(0, rows as i64));
    assert_eq!(whole(&thinned, inside).0, [full, None, full, Some(10)]);
    let gone: Vec<u64> = (0..BLOCK_ROWS as u64).collect();
    assert_eq!(whole(&table.without(&gone).unwrap(), None).0, [None, full, full, Some(10)]);
}

#[test]
fn test_statistics_of_a_segment_stand_for_its_morsels_where_all_are_there() {
    let rows = 3 * BLOCK_ROWS + 10;
    let mut table = table_of(&[("id", ids(rows)), ("same", ids(rows))]);
    let together = |table: &TableVersion, prune| {
        let scan = table.scan(ScanSpec { prune, ..spec(table, vec![1], 2048) }).unwrap();
        let known = |first| scan.statistics_together(first, 1).map(|(n, known)| (n, known.rows));
        (0..=scan.morsels()).map(known).collect::<Vec<_>>()
    };
    assert_eq!(together(&table, None), [Some((4, rows)), None, None, None, None]);
    let value = Scalar::int64(BLOCK_ROWS as i64);
    let below = Prune::Compare { column: 0, op: PruneOp::Lt, value };
    assert_eq!(together(&table, Some(below)), [None, None]);
    // The last rows of one segment and a small one after it are one morsel.
    let two = table_of(&[("id", ids(2 * BLOCK_ROWS)), ("same", ids(2 * BLOCK_ROWS))]);
    let few = table_of(&[("id", ids(20)), ("same", ids(20))]);
    for more in [&two, &few] {
        let segments: Vec<_> = more.parts().map(|part| Arc::clone(&part.segment)).collect();
        table = table.append(&segments).unwrap();
    }
    let (four, both) = (Some((4, rows)), Some((2, 2 * BLOCK_ROWS)));
    assert_eq!(together(&table, None), [four, None, None, None, both, None, None, None]);
    let segments: Vec<_> = few.parts().map(|part| Arc::clone(&part.segment)).collect();
    let mixed = table_of(&[("id", ids(rows)), ("same", ids(rows))]).append(&segments).unwrap();
    assert_eq!(together(&mixed, None), [None; 5]);
}

#[test]
fn test_vectors_of_a_block_hold_the_same_rows() {
    let rows = BLOCK_ROWS + 3000;
    let table = table_of(&[("id", ids(rows))]);
    let table = table.without(&[5, BLOCK_ROWS as u64 + 1]).unwrap();
    let read = |size| {
        let scan = table.scan(spec(&table, vec![0], size)).unwrap();
        let (mut values, mut batches) = (Vec::new(), 0);
        for morsel in 0..scan.morsels() {
            let mut morsel = scan.open(morsel).unwrap();
            while let Some(batch) = morsel.next().unwrap() {
                batches += 1;
                let column = &batch.columns[0];
                let kept =
                    batch.selection.map_or_else(|| column.clone(), |s| column.select(&s).unwrap());
                values.extend_from_slice(
                    kept.flatten().unwrap().as_primitive::<Int64Type>().values(),
                );
            }
        }
        (values, batches)
    };
    let (values, batches) = read(BLOCK_ROWS);
    assert_eq!(batches, 2);
    assert_eq!(values.len(), rows - 2);
    assert_eq!(values, read(2048).0);
}

#[test]
fn test_the_ledger_counts_blocks_by_use() {
    let rows = 4 * BLOCK_ROWS;
    let table = table_of(&[("id", ids(rows))]);
    let value = Scalar::int64(2 * BLOCK_ROWS as i64);
    let prune = Some(Prune::Compare { column: 0, op: PruneOp::Gt, value });
    let spec = ScanSpec { prune, ..spec(&table, vec![0], 2048) };
    let ledger = Arc::clone(&spec.ledger);
    let scan = table.scan(spec).unwrap();
    let used = |of| ledger.blocks(of);
    assert_eq!(used(BlockUse::Skipped), 2);
    scan.open(0).unwrap();
    let before = ledger.touched(0, Level::Metadata);
    scan.statistics(1, 0).unwrap();
    assert!(ledger.touched(0, Level::Metadata) > before);
    scan.answered(&[1]);
    assert_eq!((used(BlockUse::Answered), used(BlockUse::Read)), (1, 1));
    assert_eq!(ledger.touched(0, Level::Decoded) + ledger.touched(0, Level::Encoded), 0);
}

#[test]
fn test_small_segments_of_one_morsel_have_exact_sums_only() {
    let doubles = |n: usize| -> ArrayRef {
        Arc::new(PrimitiveArray::<Float64Type>::from_iter_values((0..n).map(|i| i as f64)))
    };
    let one = table_of(&[("id", ids(BLOCK_ROWS)), ("x", doubles(BLOCK_ROWS))]);
    let more = table_of(&[("id", ids(10)), ("x", doubles(10))]);
    let mut table = one;
    for _ in 0..3 {
        let segments: Vec<_> = more.parts().map(|part| Arc::clone(&part.segment)).collect();
        table = table.append(&segments).unwrap();
    }
    assert!(table.parts().count() > 2);
    let scan = table.scan(spec(&table, vec![0, 1], 2048)).unwrap();
    assert_eq!(scan.whole(), [Some(BLOCK_ROWS as u64), Some(30)]);
    let known = scan.statistics(1, 0).unwrap();
    assert!(matches!(known.sums, Sums::Exact(ExactSums { sum: 135, .. })));
    let known = scan.statistics(1, 1).unwrap();
    assert_eq!((known.rows, &known.sums), (30, &Sums::None));
    assert_eq!(known.max.as_ref().and_then(Scalar::as_f64), Some(9.0));
    assert!(matches!(scan.statistics(0, 1).unwrap().sums, Sums::Float { .. }));
}
