//! Sorts of random rows against a naive stable sort: every type, direction, place of NULLs and encoding.

use arrow::{
    array::{
        Array, ArrayRef, BinaryViewArray, BooleanArray, Decimal128Array, Float32Array,
        Float64Array, Int64Array, IntervalMonthDayNanoArray, ListArray, NullArray, StringViewArray,
        StructArray, UInt8Array, UInt16Array, UInt32Array, UInt64Array,
    },
    compute,
    datatypes::{DataType, Field, Int64Type, IntervalMonthDayNano, TimeUnit},
};
use stoadb_storage::{
    ColumnDef, DictionaryValues, Scalar, Selection,
    vector::{DictionaryVector, NarrowVector},
};

use super::*;
use crate::context::QuerySettings;
use crate::expr::ArithmeticOp;
use std::cmp::Ordering;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Value {
    Null,
    Int(i128),
    Float(f64),
    Bytes(Vec<u8>),
    Interval(i32, i32, i64),
    List(Vec<Value>),
}

/// The order of values as the language defines it, written down once more.
fn compare_values(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Null, Value::Null) => Ordering::Equal,
        (Value::Null, _) => Ordering::Greater,
        (_, Value::Null) => Ordering::Less,
        (Value::Int(a), Value::Int(b)) => a.cmp(b),
        (Value::Float(a), Value::Float(b)) => match (a.is_nan(), b.is_nan()) {
            (false, false) => a.partial_cmp(b).unwrap(),
            (a, b) => a.cmp(&b),
        },
        (Value::Bytes(a), Value::Bytes(b)) => a.cmp(b),
        (Value::Interval(am, ad, an), Value::Interval(bm, bd, bn)) => {
            let length = |m: i32, d: i32, n: i64| {
                (i128::from(m) * 30 + i128::from(d)) * 86_400_000_000_000 + i128::from(n)
            };
            length(*am, *ad, *an).cmp(&length(*bm, *bd, *bn))
        }
        (Value::List(a), Value::List(b)) => {
            let first = a.iter().zip(b).map(|(a, b)| compare_values(a, b)).find(|o| o.is_ne());
            first.unwrap_or(a.len().cmp(&b.len()))
        }
        _ => panic!("values of two types"),
    }
}

/// Whether two values are the same to the bit.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Float(a), Value::Float(b)) => a.to_bits() == b.to_bits(),
        (a, b) => a == b,
    }
}

fn types() -> Vec<LogicalType> {
    use LogicalType as T;
    let item = |ty: DataType| Arc::new(Field::new("item", ty, true));
    vec![
        T::Null,
        T::Boolean,
        T::Int8,
        T::Int16,
        T::Int32,
        T::Int64,
        T::UInt8,
        T::UInt16,
        T::UInt32,
        T::UInt64,
        T::Float32,
        T::Float64,
        T::Decimal { precision: 9, scale: 2 },
        T::Decimal { precision: 18, scale: 0 },
        T::Decimal { precision: 38, scale: 3 },
        T::Text,
        T::Blob,
        T::Date,
        T::Time(TimeUnit::Second),
        T::Time(TimeUnit::Microsecond),
        T::Timestamp(TimeUnit::Second, None),
        T::Timestamp(TimeUnit::Millisecond, None),
        T::Timestamp(TimeUnit::Microsecond, Some("Europe/Berlin".into())),
        T::Timestamp(TimeUnit::Nanosecond, None),
        T::Interval,
        T::Duration(TimeUnit::Microsecond),
        T::List(item(DataType::Int64)),
        T::List(item(DataType::Float64)),
        T::Struct(vec![Field::new("a", DataType::Utf8View, true)].into()),
    ]
}

fn range(ty: &LogicalType) -> (i128, i128) {
    use LogicalType as T;
    match ty {
        T::Boolean => (0, 1),
        T::Int8 => (-128, 127),
        T::Int16 => (i16::MIN.into(), i16::MAX.into()),
        T::Int32 | T::Date => (i32::MIN.into(), i32::MAX.into()),
        T::Time(_) => (0, 86_399),
        T::UInt8 => (0, 255),
        T::UInt16 => (0, u16::MAX.into()),
        T::UInt32 => (0, u32::MAX.into()),
        T::UInt64 => (0, u64::MAX.into()),
        T::Decimal { precision, .. } => {
            let most = 10_i128.pow((*precision).into()) - 1;
            (-most, most)
        }
        _ => (i64::MIN.into(), i64::MAX.into()),
    }
}

fn value(ty: &LogicalType, few: bool, random: &mut Random) -> Value {
    use LogicalType as T;
    if random.below(7) == 0 || *ty == T::Null {
        return Value::Null;
    }
    match ty {
        T::Float32 | T::Float64 => Value::Float(float(few, random)),
        T::Text | T::Blob => Value::Bytes(bytes(few, *ty == T::Blob, random)),
        T::Interval => {
            let small = |random: &mut Random| random.below(4) as i32 - 1;
            let days = small(random) * 30;
            let nanos = i64::from(small(random)) * 86_400_000_000_000;
            match random.below(20) {
                0 => Value::Interval(i32::MAX, i32::MAX, i64::MAX),
                1 => Value::Interval(i32::MIN, i32::MIN, i64::MIN),
                _ => Value::Interval(small(random), days, nanos),
            }
        }
        T::List(item) => {
            let item = LogicalType::from_arrow(item.data_type()).unwrap();
            let len = random.below(3);
            Value::List((0..len).map(|_| value(&item, true, random)).collect())
        }
        T::Struct(_) => Value::List(vec![value(&T::Text, few, random)]),
        _ => {
            let (min, max) = range(ty);
            let wide = i128::from(random.next()) << 64 | i128::from(random.next());
            Value::Int(match random.below(10) {
                0 => min,
                1 => max,
                2..=5 if !few => min + (wide >> 1).rem_euclid((max / 2 - min / 2).max(1)),
                _ => (random.below(5) as i128).clamp(min, max),
            })
        }
    }
}

fn float(few: bool, random: &mut Random) -> f64 {
    match random.below(10) {
        0 => f64::NAN,
        1 => -f64::NAN,
        2 => -0.0,
        3 => 0.0,
        4 => f64::INFINITY,
        5 => f64::NEG_INFINITY,
        _ if few => random.below(3) as f64 - 1.0,
        _ => f64::from((random.next() as u32 as f32 - 2e9) / 1e5),
    }
}

fn bytes(few: bool, zeros: bool, random: &mut Random) -> Vec<u8> {
    let len = random.below(if few { 2 } else { 40 });
    let mut bytes = b"http://same.beginning/"[..if few { 2 } else { random.below(23) }].to_vec();
    let letters: &[u8] = if zeros { &[0, 0, 1, 255] } else { b"aab\0" };
    bytes.extend((0..len).map(|_| letters[random.below(4)]));
    bytes
}

fn array(ty: &LogicalType, values: &[Value]) -> ArrayRef {
    use LogicalType as T;
    let ints = || values.iter().map(|v| if let Value::Int(i) = v { Some(*i) } else { None });
    let floats = || values.iter().map(|v| if let Value::Float(f) = v { Some(*f) } else { None });
    let bytes = || values.iter().map(|v| if let Value::Bytes(b) = v { Some(&b[..]) } else { None });
    let texts = || bytes().map(|b| b.map(|b| std::str::from_utf8(b).unwrap()));
    match ty {
        T::Null => Arc::new(NullArray::new(values.len())),
        T::Boolean => Arc::new(ints().map(|v| v.map(|v| v == 1)).collect::<BooleanArray>()),
        T::UInt64 => Arc::new(ints().map(|v| v.map(|v| v as u64)).collect::<UInt64Array>()),
        T::Decimal { .. } => {
            Arc::new(ints().collect::<Decimal128Array>().with_data_type(ty.to_arrow()))
        }
        T::Float32 => Arc::new(floats().map(|f| f.map(|f| f as f32)).collect::<Float32Array>()),
        T::Float64 => Arc::new(floats().collect::<Float64Array>()),
        T::Text => Arc::new(texts().collect::<StringViewArray>()),
        T::Blob => Arc::new(bytes().collect::<BinaryViewArray>()),
        T::Interval => {
            let one = |v: &Value| match v {
                Value::Interval(m, d, n) => Some(IntervalMonthDayNano::new(*m, *d, *n)),
                _ => None,
            };
            Arc::new(values.iter().map(one).collect::<IntervalMonthDayNanoArray>())
        }
        T::List(field) => {
            let item = LogicalType::from_arrow(field.data_type()).unwrap();
            let all: Vec<Value> = values
                .iter()
                .flat_map(|v| if let Value::List(v) = v { v.clone() } else { vec![] })
                .collect();
            let lens = values.iter().map(|v| if let Value::List(v) = v { v.len() } else { 0 });
            let offsets = arrow::buffer::OffsetBuffer::from_lengths(lens);
            let nulls = values.iter().map(|v| *v != Value::Null).collect();
            Arc::new(ListArray::new(field.clone(), offsets, array(&item, &all), Some(nulls)))
        }
        T::Struct(fields) => {
            let first = |v: &Value| if let Value::List(v) = v { v[0].clone() } else { Value::Null };
            let first: Vec<Value> = values.iter().map(first).collect();
            let nulls = values.iter().map(|v| *v != Value::Null).collect();
            Arc::new(StructArray::new(fields.clone(), vec![array(&T::Text, &first)], Some(nulls)))
        }
        _ => {
            let wide: Int64Array = ints().map(|v| v.map(|v| v as i64)).collect();
            let narrow = matches!(ty, T::Date | T::Time(TimeUnit::Second));
            let step = if narrow { DataType::Int32 } else { DataType::Int64 };
            compute::cast(&compute::cast(&wide, &step).unwrap(), &ty.to_arrow()).unwrap()
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Encoding {
    Flat,
    OneDictionary,
    ManyDictionaries,
    Narrow,
    /// Another encoding a batch.
    Mixed,
}

const ENCODINGS: [Encoding; 5] = [
    Encoding::Flat,
    Encoding::OneDictionary,
    Encoding::ManyDictionaries,
    Encoding::Narrow,
    Encoding::Mixed,
];

/// A column's values as a vector of the encoding, as far as the type has it.
fn encode(
    ty: &LogicalType,
    values: &[Value],
    encoding: Encoding,
    shared: &mut Option<(Vec<Value>, Arc<DictionaryValues>)>,
    random: &mut Random,
) -> Vector {
    if encoding == Encoding::Mixed {
        if values.iter().all(|v| same(v, &values[0])) {
            let value = Scalar::from_array(array(ty, &values[..1]).as_ref(), 0).unwrap();
            return Vector::constant(value, values.len());
        }
        let encoding = ENCODINGS[random.below(4)];
        return encode(ty, values, encoding, shared, random);
    }
    let ints: Option<Vec<Option<i64>>> = values
        .iter()
        .map(|v| match v {
            Value::Int(v) => i64::try_from(*v).ok().map(Some),
            Value::Null => Some(None),
            _ => None,
        })
        .collect();
    match (encoding, ints) {
        (Encoding::OneDictionary | Encoding::ManyDictionaries, _) if !ty.is_nested() => {
            let own: Vec<Value> = values.iter().chain(values).cloned().collect();
            let make = || (own.clone(), Arc::new(DictionaryValues::new(array(ty, &own))));
            let (entries, dictionary) = match encoding {
                Encoding::OneDictionary => shared.as_ref().unwrap().clone(),
                _ => make(),
            };
            let find = |v: &Value, random: &mut Random| {
                let start = random.below(entries.len());
                let same = |i: &usize| same(&entries[*i % entries.len()], v);
                let found = (start..start + entries.len()).find(same).unwrap() % entries.len();
                if *v == Value::Null && random.below(2) == 0 { None } else { Some(found as u32) }
            };
            let codes: UInt32Array = values.iter().map(|v| find(v, random)).collect();
            let codes: ArrayRef = match random.below(2) {
                0 if entries.len() < 65536 => compute::cast(&codes, &DataType::UInt16).unwrap(),
                _ => Arc::new(codes),
            };
            Vector::Dictionary(DictionaryVector { codes, dictionary, charge: None })
        }
        (Encoding::Narrow, Some(ints))
            if *ty != LogicalType::Boolean && *ty != LogicalType::Null =>
        {
            let base = ints.iter().flatten().min().copied().unwrap_or(0);
            let offsets = ints.iter().map(|v| v.map(|v| i128::from(v) - i128::from(base)));
            let most = offsets.clone().flatten().max().unwrap_or(0);
            let (base, offsets): (i64, ArrayRef) = match most {
                0..256 => {
                    (base, Arc::new(offsets.map(|v| v.map(|v| v as u8)).collect::<UInt8Array>()))
                }
                256..65536 => {
                    (base, Arc::new(offsets.map(|v| v.map(|v| v as u16)).collect::<UInt16Array>()))
                }
                _ => (0, Arc::new(ints.into_iter().collect::<Int64Array>())),
            };
            Vector::Narrow(NarrowVector { ty: ty.clone(), base, offsets, charge: None })
        }
        _ => Vector::Flat(array(ty, values)),
    }
}

/// Rows of columns, cut into morsels of batches.
struct Table {
    types: Vec<LogicalType>,
    columns: Vec<Vec<Value>>,
    morsels: Vec<Vec<Batch>>,
    rows: usize,
}

impl Table {
    /// The last column numbers the rows.
    fn new(types: &[LogicalType], encoding: Encoding, rows: usize, random: &mut Random) -> Self {
        let few = random.below(2) == 0;
        let column = |ty| (0..rows).map(|_| value(ty, few, random)).collect();
        let mut columns: Vec<Vec<Value>> = types.iter().map(column).collect();
        columns.push((0..rows as i128).map(Value::Int).collect());
        let types: Vec<_> = types.iter().cloned().chain([LogicalType::Int64]).collect();
        let mut shared: Vec<_> = types
            .iter()
            .zip(&columns)
            .map(|(ty, v)| {
                let all: Vec<Value> = v.iter().cloned().chain([Value::Null]).collect();
                Some((all.clone(), Arc::new(DictionaryValues::new(array(ty, &all)))))
            })
            .collect();
        let mut morsels = vec![Vec::new()];
        let mut row = 0;
        while row < rows {
            let take = (1 + random.below(40)).min(rows - row);
            // Rows that do not count, between those that do.
            let padding = random.below(3);
            let mut vectors = Vec::new();
            for ((ty, values), shared) in types.iter().zip(&columns).zip(&mut shared) {
                let mut values = values[row..row + take].to_vec();
                for _ in 0..padding {
                    values.insert(0, values[0].clone());
                }
                vectors.push(encode(ty, &values, encoding, shared, random));
            }
            let mut batch = Batch::new(vectors, take + padding);
            if padding > 0 {
                let kept = (padding as u32..(take + padding) as u32).collect();
                batch = batch.refine(Selection::new(kept));
            }
            row += take;
            morsels.last_mut().unwrap().push(batch);
            while random.below(3) == 0 {
                morsels.push(Vec::new());
            }
        }
        Self { types, columns, morsels, rows }
    }

    fn schema(&self) -> Schema {
        let column = |ty: &LogicalType| ColumnDef::new("c", ty.clone());
        Schema::new(self.types.iter().map(column).collect())
    }

    /// Row numbers in the order of a stable sort.
    fn sorted(&self, keys: &[SortKey]) -> Vec<usize> {
        let mut rows: Vec<usize> = (0..self.rows).collect();
        rows.sort_by(|&a, &b| {
            for key in keys {
                let Expr::Column { index, .. } = key.expr else { continue };
                let (a, b) = (&self.columns[index][a], &self.columns[index][b]);
                let order = match (a == &Value::Null, b == &Value::Null) {
                    (false, false) if key.descending => compare_values(b, a),
                    (false, false) => compare_values(a, b),
                    (a, b) if key.nulls_first => b.cmp(&a),
                    (a, b) => a.cmp(&b),
                };
                if order.is_ne() {
                    return order;
                }
            }
            Ordering::Equal
        });
        rows
    }
}

fn context() -> Arc<QueryContext> {
    let settings = QuerySettings { vector_size: 13, ..QuerySettings::default() };
    Arc::new(QueryContext::new(settings, Arc::default(), Vec::new()))
}

fn workers(threads: usize) -> Workers {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    Workers::new(Arc::new(pool), threads)
}

fn feed(
    sort: &Sort,
    morsels: &[Vec<Batch>],
    count: usize,
    context: &Arc<QueryContext>,
    random: &mut Random,
) {
    let mut locals: Vec<_> = (0..count).map(|_| sort.local(context).unwrap()).collect();
    for (morsel, batches) in morsels.iter().enumerate() {
        let local = &mut locals[random.below(count)];
        local.begin_morsel(morsel).unwrap();
        for batch in batches {
            local.push(batch.clone()).unwrap();
        }
        local.end_morsel().unwrap();
    }
    while !locals.is_empty() {
        let local = locals.swap_remove(random.below(locals.len()));
        local.merge().unwrap();
    }
}

fn read(sort: &Arc<Sort>, context: &Arc<QueryContext>) -> Vec<Batch> {
    let source = sort.source();
    let mut local = source.local(context).unwrap();
    let mut batches = Vec::new();
    for morsel in 0..source.morsels() {
        local.begin(morsel).unwrap();
        while let Some(batch) = local.next().unwrap() {
            assert!(batch.rows > 0 && batch.rows <= context.settings().vector_size);
            batches.push(batch);
        }
    }
    batches
}

fn flat(batches: &[Batch], column: usize) -> Option<ArrayRef> {
    let arrays: Vec<ArrayRef> =
        batches.iter().map(|b| b.columns[column].flatten().unwrap()).collect();
    let arrays: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
    (!arrays.is_empty()).then(|| compute::concat(&arrays).unwrap())
}

/// Sorts the table and compares every column of the result with the naive order.
fn check(table: &Table, keys: &[SortKey], limit: Option<u64>, pool: &Workers, random: &mut Random) {
    let context = context();
    let sizes = Sizes { block_bits: [4, 20][random.below(2)], slack: [5, 8192][random.below(2)] };
    let sort = Sort::with_sizes(&table.schema(), keys, limit, &context, sizes).unwrap();
    feed(&sort, &table.morsels, pool.threads(), &context, random);
    sort.finish(&context, pool).unwrap();
    let mut expected = table.sorted(keys);
    expected.truncate(limit.map_or(usize::MAX, |limit| limit as usize));
    let batches = read(&sort, &context);
    let at = format!("{:?} {keys:?} {limit:?} {sizes:?}", table.types);
    assert_eq!(batches.iter().map(Batch::len).sum::<usize>(), expected.len(), "{at}");
    // The numbers first: they tell more when they differ.
    for column in (0..table.types.len()).rev() {
        let values: Vec<Value> =
            expected.iter().map(|&row| table.columns[column][row].clone()).collect();
        let expected = array(&table.types[column], &values);
        let found = flat(&batches, column);
        assert!(values.is_empty() || found.unwrap().to_data() == expected.to_data(), "{at}");
    }
}

fn key(index: usize, ty: &LogicalType, random: &mut Random) -> SortKey {
    SortKey {
        expr: Expr::Column { index, ty: ty.clone() },
        descending: random.below(2) == 0,
        nulls_first: random.below(2) == 0,
    }
}

#[test]
fn test_sort_of_every_type_direction_and_encoding() {
    let mut random = Random(1);
    let pools: Vec<Workers> = [1, 2, 3, 8].map(workers).into();
    for ty in types() {
        for encoding in ENCODINGS {
            let rows = [0, 1, 2, 90, 333][random.below(5)];
            let table = Table::new(std::slice::from_ref(&ty), encoding, rows, &mut random);
            for (descending, nulls_first) in
                [(false, false), (false, true), (true, false), (true, true)]
            {
                let key = SortKey {
                    expr: Expr::Column { index: 0, ty: ty.clone() },
                    descending,
                    nulls_first,
                };
                let pool = &pools[random.below(4)];
                check(&table, std::slice::from_ref(&key), None, pool, &mut random);
                let limit = random.below(rows + 2) as u64;
                check(&table, &[key], Some(limit), pool, &mut random);
            }
        }
    }
}

#[test]
fn test_sort_by_several_keys_with_limits_and_workers() {
    let mut random = Random(2);
    let pools: Vec<Workers> = [1, 2, 3, 8].map(workers).into();
    let all = types();
    for round in 0..80 {
        let count = 2 + random.below(3);
        let types: Vec<_> = (0..count).map(|_| all[random.below(all.len())].clone()).collect();
        let rows = 1 + random.below(400);
        let table = Table::new(&types, ENCODINGS[round % 5], rows, &mut random);
        let keys: Vec<_> =
            types.iter().enumerate().map(|(i, ty)| key(i, ty, &mut random)).collect();
        for limit in [None, Some(0), Some(1), Some(7), Some(rows as u64), Some(u64::MAX)] {
            check(&table, &keys, limit, &pools[random.below(4)], &mut random);
        }
    }
}

#[test]
fn test_sort_by_expressions_and_constants() {
    let mut random = Random(3);
    let pool = workers(2);
    let table = Table::new(&[LogicalType::Int8], Encoding::Flat, 300, &mut random);
    let number = Expr::Column { index: 1, ty: LogicalType::Int64 };
    let negated = Expr::Arithmetic {
        op: ArithmeticOp::Subtract,
        left: Box::new(Expr::Literal(Scalar::int64(0))),
        right: Box::new(number),
        ty: LogicalType::Int64,
    };
    let ascending = |expr| SortKey { expr, descending: false, nulls_first: false };
    let keys = [ascending(Expr::Literal(Scalar::text("x"))), ascending(negated)];
    for limit in [None, Some(40)] {
        let context = context();
        let sort = Sort::new(&table.schema(), &keys, limit, &context).unwrap();
        feed(&sort, &table.morsels, 2, &context, &mut random);
        sort.finish(&context, &pool).unwrap();
        let expected: Int64Array =
            (0..300).rev().take(limit.unwrap_or(300) as usize).map(Some).collect();
        let batches = read(&sort, &context);
        assert_eq!(batches[0].columns.len(), 2);
        assert_eq!(flat(&batches, 1).unwrap().to_data(), expected.to_data());
    }
    check(&table, &[], None, &pool, &mut random);
    check(&table, &[], Some(11), &pool, &mut random);
}

/// Batches of one column and the row's number, of so many rows that a sort is cut into buckets.
fn large(array: ArrayRef) -> (Schema, Vec<Vec<Batch>>) {
    let ty = LogicalType::from_arrow(array.data_type()).unwrap();
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..array.len() as i64));
    let batch = |start: usize| {
        let rows = 2048.min(array.len() - start);
        let columns = [&array, &numbers].map(|array| Vector::Flat(array.slice(start, rows)));
        Batch::new(columns.into(), rows)
    };
    let starts: Vec<usize> = (0..array.len()).step_by(2048).collect();
    let morsels = starts.chunks(32).map(|s| s.iter().map(|&s| batch(s)).collect()).collect();
    let columns = [ty, LogicalType::Int64].map(|ty| ColumnDef::new("c", ty));
    (Schema::new(columns.into()), morsels)
}

fn check_large<T: Ord>(array: ArrayRef, values: &[T], descending: bool, limit: Option<u64>) {
    let (schema, morsels) = large(array);
    let mut expected: Vec<i64> = (0..values.len() as i64).collect();
    expected.sort_by(|&a, &b| {
        let order = values[a as usize].cmp(&values[b as usize]);
        if descending { order.reverse() } else { order }
    });
    expected.truncate(limit.map_or(usize::MAX, |limit| limit as usize));
    let settings = QuerySettings::default();
    let context = Arc::new(QueryContext::new(settings, Arc::default(), Vec::new()));
    let expr = Expr::Column { index: 0, ty: schema.ty(0).clone() };
    let keys = [SortKey { expr, descending, nulls_first: false }];
    let sort = Sort::new(&schema, &keys, limit, &context).unwrap();
    feed(&sort, &morsels, 3, &context, &mut Random(5));
    assert!(context.memory().used() > 0);
    sort.finish(&context, &workers(3)).unwrap();
    let found = flat(&read(&sort, &context), 1).unwrap();
    let found = arrow::array::AsArray::as_primitive::<Int64Type>(&found).values().to_vec();
    assert!(found == expected);
    drop(sort);
    assert_eq!(context.memory().used(), 0);
}

#[test]
fn test_sort_of_many_rows_with_frequent_keys() {
    let mut random = Random(4);
    let mut value = |_| match random.below(3) {
        0 => 77,
        1 => random.next() as i64,
        _ => random.below(1000) as i64,
    };
    let values: Vec<i64> = (0..300_000).map(&mut value).collect();
    let array: ArrayRef = Arc::new(Int64Array::from(values.clone()));
    check_large(Arc::clone(&array), &values, false, None);
    check_large(Arc::clone(&array), &values, true, Some(100_000));
    check_large(array, &values, true, Some(10));
    let narrow: Vec<i64> = values.iter().map(|v| v & 0xff).collect();
    check_large(Arc::new(Int64Array::from(narrow.clone())), &narrow, true, None);
}

#[test]
fn test_sort_of_many_strings_with_long_common_beginnings() {
    let mut random = Random(6);
    let mut text = |_| match random.below(2) {
        0 => format!("https://example.org/path/of/pages/{}", random.below(3000)),
        _ => format!("https://{:x}", random.next() >> random.below(64)),
    };
    let texts: Vec<String> = (0..300_000).map(&mut text).collect();
    let array: ArrayRef = Arc::new(StringViewArray::from_iter_values(&texts));
    check_large(Arc::clone(&array), &texts, false, None);
    check_large(array, &texts, true, Some(1000));
}

#[test]
fn test_sort_stops_when_cancelled_or_out_of_memory() {
    let array: ArrayRef = Arc::new(Int64Array::from_iter_values((0..100_000).rev()));
    let (schema, morsels) = large(array);
    let expr = Expr::Column { index: 0, ty: LogicalType::Int64 };
    let keys = [SortKey { expr, descending: false, nulls_first: false }];
    let context = context();
    let sort = Sort::new(&schema, &keys, None, &context).unwrap();
    feed(&sort, &morsels, 1, &context, &mut Random(7));
    context.cancel_flag().store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(matches!(sort.finish(&context, &workers(2)), Err(EngineError::Cancelled)));
    let settings = QuerySettings { memory_limit: 1 << 20, ..QuerySettings::default() };
    let context = Arc::new(QueryContext::new(settings, Arc::default(), Vec::new()));
    for (limit, fits) in [(None, false), (Some(10), true)] {
        let sort = Sort::new(&schema, &keys, limit, &context).unwrap();
        let mut local = sort.local(&context).unwrap();
        let mut failed = None;
        for (i, batches) in morsels.iter().enumerate() {
            local.begin_morsel(i).unwrap();
            let error = batches.iter().find_map(|batch| local.push(batch.clone()).err());
            failed = failed.or(error);
        }
        assert_eq!(failed.is_none(), fits, "{failed:?}");
        assert!(fits || matches!(failed, Some(EngineError::OutOfMemory(_))));
    }
}
