//! Scans against a naive reading of the same arrays: all types, layouts, vector sizes, filters.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use arrow::{
    array::*,
    buffer::{NullBuffer, OffsetBuffer},
    compute,
    datatypes::*,
};

use super::*;
use crate::{
    BLOCK_ROWS, Level, LocalRowFilter, Relation, Result, RowFilter, ScanSpec, Selection, Vector,
};

/// A small generator of repeatable numbers.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let mixed = (self.0 ^ (self.0 >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        mixed ^ (mixed >> 29)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

/// Canonical arrays of every type: a sixth NULL, with extremes, NaN, -0.0, short and long texts.
pub(crate) fn every_type(rows: usize, seed: u64) -> Vec<(&'static str, ArrayRef)> {
    let mut random = Random(seed);
    let mut raw = || (0..rows).map(|_| random.next() as i64).collect::<Vec<_>>();
    let bits = raw();
    let nulls: NullBuffer = raw().iter().map(|bits| bits % 6 != 0).collect();
    let nulls = Some(nulls);
    let spice = |i: usize| (bits[i].unsigned_abs() % 16) as usize;
    let ints = |extremes: [i64; 2]| -> Vec<i64> {
        let value = |i| if spice(i) < 2 { extremes[spice(i)] } else { bits[i] % 100 };
        (0..rows).map(value).collect()
    };
    let doubles: Vec<f64> = (0..rows)
        .map(|i| match spice(i) {
            0 => f64::NAN,
            1 => -0.0,
            2 => f64::INFINITY,
            3 => f64::MIN,
            _ => (bits[i] % 1000) as f64 / 8.0,
        })
        .collect();
    let texts: Vec<String> = (0..rows)
        .map(|i| match spice(i) {
            0 => String::new(),
            1..8 => format!("t{}", bits[i] % 50),
            _ => format!("a rather long text that lies out of line {}", bits[i] % 5000),
        })
        .collect();
    let few: Vec<String> = (0..rows).map(|i| format!("category {}", spice(i))).collect();
    macro_rules! prim {
        ($ty:ident, $native:ty) => {
            Arc::new(PrimitiveArray::<$ty>::new(
                ints([<$native>::MIN as i64, <$native>::MAX as i64])
                    .into_iter()
                    .map(|v| v as $native)
                    .collect(),
                nulls.clone(),
            )) as ArrayRef
        };
    }
    let strings = |texts: &[String]| {
        let values = texts.iter().enumerate();
        let valid = |i| nulls.as_ref().unwrap().is_valid(i);
        values.map(|(i, t)| valid(i).then_some(t.as_str())).collect::<StringViewArray>()
    };
    let text = strings(&texts);
    let decimal = |p, s, limit: i128| {
        let values = (0..rows).map(|i| match spice(i) {
            0 => limit,
            1 => -limit,
            _ => i128::from(bits[i] % 10_000),
        });
        let array = Decimal128Array::new(values.collect(), nulls.clone());
        Arc::new(array.with_precision_and_scale(p, s).unwrap()) as ArrayRef
    };
    let months = (0..rows).map(|i| {
        IntervalMonthDayNano::new((bits[i] % 20) as i32, (bits[i] % 31) as i32, bits[i] % 1000)
    });
    let lengths: Vec<usize> = (0..rows).map(|i| spice(i) % 3).collect();
    let items: usize = lengths.iter().sum();
    let list = ListArray::new(
        Arc::new(Field::new_list_field(DataType::Int64, true)),
        OffsetBuffer::from_lengths(lengths),
        Arc::new(Int64Array::from_iter((0..items).map(|i| (i % 5 != 0).then_some(i as i64)))),
        nulls.clone(),
    );
    let fields = Fields::from(vec![
        Field::new("x", DataType::Int32, true),
        Field::new("s", DataType::Utf8View, true),
    ]);
    let structure = StructArray::new(
        fields,
        vec![prim!(Int32Type, i32), Arc::new(text.clone())],
        nulls.clone(),
    );
    let mut map = MapBuilder::new(None, StringViewBuilder::new(), Int64Builder::new());
    for (i, &value) in bits.iter().enumerate().take(rows) {
        for key in 0..spice(i) % 3 {
            map.keys().append_value(format!("k{key}"));
            map.values().append_option((value % 2 == 0).then_some(value));
        }
        map.append(nulls.as_ref().unwrap().is_valid(i)).unwrap();
    }
    let instants = prim!(TimestampMicrosecondType, i64);
    let instants = instants.as_primitive::<TimestampMicrosecondType>().clone();
    vec![
        (
            "bool",
            Arc::new(BooleanArray::new(bits.iter().map(|b| b % 2 == 0).collect(), nulls.clone())),
        ),
        ("i8", prim!(Int8Type, i8)),
        ("i16", prim!(Int16Type, i16)),
        ("i32", prim!(Int32Type, i32)),
        ("i64", prim!(Int64Type, i64)),
        ("u8", prim!(UInt8Type, u8)),
        ("u16", prim!(UInt16Type, u16)),
        ("u32", prim!(UInt32Type, u32)),
        ("u64", prim!(UInt64Type, u64)),
        (
            "f32",
            Arc::new(Float32Array::new(doubles.iter().map(|&v| v as f32).collect(), nulls.clone())),
        ),
        ("f64", Arc::new(Float64Array::new(doubles.into(), nulls.clone()))),
        ("dec15", decimal(15, 2, 999_999_999_999_999)),
        ("dec18", decimal(18, 0, 999_999_999_999_999_999)),
        ("dec38", decimal(38, 10, 10_i128.pow(38) - 1)),
        ("text", Arc::new(text.clone())),
        ("few", Arc::new(strings(&few))),
        ("blob", Arc::new(text.to_binary_view())),
        ("date", prim!(Date32Type, i32)),
        ("time_s", prim!(Time32SecondType, i32)),
        ("time_ns", prim!(Time64NanosecondType, i64)),
        ("ts_s", prim!(TimestampSecondType, i64)),
        ("ts_ns", prim!(TimestampNanosecondType, i64)),
        ("ts_zone", Arc::new(instants.with_timezone("Europe/Berlin"))),
        ("duration", prim!(DurationMillisecondType, i64)),
        ("interval", Arc::new(IntervalMonthDayNanoArray::new(months.collect(), nulls.clone()))),
        ("null", Arc::new(NullArray::new(rows))),
        ("list", Arc::new(list)),
        ("struct", Arc::new(structure)),
        ("map", Arc::new(map.finish())),
    ]
}

/// The same values in other Arrow layouts.
fn layouts(array: &ArrayRef) -> Vec<ArrayRef> {
    let dictionary =
        |key: DataType| DataType::Dictionary(Box::new(key), Box::new(array.data_type().clone()));
    let mut types = vec![array.data_type().clone()];
    match array.data_type() {
        DataType::Utf8View => {
            types.extend([DataType::Utf8, DataType::LargeUtf8]);
            types.push(DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)));
            types.push(dictionary(DataType::UInt16));
            types.push(dictionary(DataType::Int64));
        }
        DataType::BinaryView => types.extend([DataType::Binary, DataType::LargeBinary]),
        DataType::Decimal128(15, s) => types.push(DataType::Decimal64(15, *s)),
        DataType::Int16 | DataType::Date32 => types.push(dictionary(DataType::UInt32)),
        DataType::List(field) => types.push(DataType::LargeList(Arc::clone(field))),
        _ => {}
    }
    let cast = |ty: &DataType| compute::cast(array, ty).unwrap();
    let mut all: Vec<ArrayRef> = types.iter().map(cast).collect();
    if let DataType::Int64 = array.data_type() {
        // Runs of one row each, so that the values stay what they are.
        let ends = Int32Array::from_iter_values(1..=array.len() as i32);
        all.push(Arc::new(RunArray::<Int32Type>::try_new(&ends, array).unwrap()));
    }
    all
}

pub(crate) fn batch(columns: &[(&str, ArrayRef)]) -> RecordBatch {
    let fields = columns.iter().map(|(name, a)| Field::new(*name, a.data_type().clone(), true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    RecordBatch::try_new(schema, columns.iter().map(|(_, a)| Arc::clone(a)).collect()).unwrap()
}

pub(crate) fn spec(
    relation: &dyn Relation,
    projection: Vec<usize>,
    vector_size: usize,
) -> ScanSpec {
    ScanSpec {
        projection,
        prune: None,
        filter: None,
        rows: None,
        vector_size,
        ledger: relation.ledger(),
    }
}

/// Reads a whole scan: the columns flattened and selected, concatenated; and the number of rows.
pub(crate) fn collect(relation: &dyn Relation, spec: ScanSpec) -> (Vec<ArrayRef>, usize) {
    let types: Vec<_> =
        spec.projection.iter().map(|&c| relation.schema().ty(c).to_arrow()).collect();
    let limit = spec.vector_size.clamp(1, crate::VECTOR_SIZE);
    let scan = relation.scan(spec).unwrap();
    let mut pieces: Vec<Vec<ArrayRef>> = types.iter().map(|ty| vec![new_empty_array(ty)]).collect();
    let mut rows = 0;
    for morsel in 0..scan.morsels() {
        let mut reader = scan.open(morsel).unwrap();
        while let Some(batch) = reader.next().unwrap() {
            assert!(batch.rows <= limit && batch.rows > 0);
            assert_eq!(batch.columns.len(), types.len());
            rows += batch.selection.as_ref().map_or(batch.rows, Selection::len);
            assert!(batch.selection.as_ref().is_none_or(|s| !s.is_empty()));
            for (vector, pieces) in batch.columns.iter().zip(&mut pieces) {
                assert_eq!(vector.len(), batch.rows);
                let vector = match &batch.selection {
                    None => vector.clone(),
                    Some(selection) => vector.select(selection).unwrap(),
                };
                pieces.push(vector.flatten().unwrap());
            }
        }
    }
    let concat = |pieces: Vec<ArrayRef>| {
        compute::concat(&pieces.iter().map(AsRef::as_ref).collect::<Vec<_>>()).unwrap()
    };
    (pieces.into_iter().map(concat).collect(), rows)
}

/// Keeps the rows whose 64-bit integer in `column` is divisible by `divisor`.
pub(crate) struct Divisible {
    pub(crate) columns: [usize; 1],
    pub(crate) divisor: i64,
    pub(crate) seen: Arc<AtomicU64>,
}

impl Divisible {
    pub(crate) fn new(column: usize, divisor: i64) -> Arc<Self> {
        Arc::new(Self { columns: [column], divisor, seen: Arc::default() })
    }

    pub(crate) fn keeps(&self, array: &Int64Array, row: usize) -> bool {
        array.is_valid(row) && array.value(row) % self.divisor == 0
    }
}

impl RowFilter for Divisible {
    fn columns(&self) -> &[usize] {
        &self.columns
    }

    fn local(&self) -> Result<Box<dyn LocalRowFilter>> {
        let Self { columns, divisor, seen } = self;
        Ok(Box::new(Self { columns: *columns, divisor: *divisor, seen: Arc::clone(seen) }))
    }
}

impl LocalRowFilter for Divisible {
    fn select(&mut self, columns: &[Vector], rows: usize) -> Result<Option<Selection>> {
        assert_eq!((columns.len(), columns[0].len()), (1, rows));
        self.seen.fetch_add(rows as u64, Ordering::Relaxed);
        let array = columns[0].flatten()?;
        let array = array.as_primitive::<Int64Type>();
        let kept: Vec<u32> =
            (0..rows).filter(|&i| self.keeps(array, i)).map(|i| i as u32).collect();
        Ok((kept.len() < rows).then(|| Selection::new(kept)))
    }
}

#[test]
fn test_batches_scan_equals_the_arrays_for_every_type_and_layout() {
    for rows in [0, 1, 2049, 5000] {
        for (name, array) in every_type(rows, 7) {
            for layout in layouts(&array) {
                for vector_size in [1, 7, 2048] {
                    let cut = rows / 3;
                    let batches = [layout.slice(0, cut), layout.slice(cut, rows - cut)];
                    let batches = batches.map(|array| batch(&[(name, array)])).to_vec();
                    let table = BatchTable::new(batches[0].schema(), batches).unwrap();
                    assert_eq!(table.rows(), rows as u64);
                    let (columns, count) =
                        collect(table.as_ref(), spec(table.as_ref(), vec![0], vector_size));
                    assert_eq!(count, rows);
                    assert_eq!(
                        columns[0].to_data(),
                        array.to_data(),
                        "{name} {}",
                        layout.data_type()
                    );
                }
            }
        }
    }
}

#[test]
fn test_batches_scan_filters_and_leaves_the_other_columns_alone() {
    let rows = BLOCK_ROWS + 3000;
    let ids = Int64Array::from_iter_values(0..rows as i64);
    let arrays = every_type(rows, 3);
    let text = &arrays.iter().find(|(name, _)| *name == "text").unwrap().1;
    let table =
        batch(&[("id", Arc::new(ids)), ("text", Arc::clone(text)), ("same", Arc::clone(text))]);
    let table = BatchTable::new(table.schema(), vec![table]).unwrap();
    let filter = Divisible::new(0, 5000);
    let spec = ScanSpec { filter: Some(filter), ..spec(table.as_ref(), vec![1], 100) };
    let ledger = Arc::clone(&spec.ledger);
    let (columns, _) = collect(table.as_ref(), spec);
    let wanted = UInt32Array::from_iter_values((0..rows as u32).step_by(5000));
    assert_eq!(columns[0].to_data(), compute::take(text, &wanted, None).unwrap().to_data());
    assert_eq!(ledger.touched(0, Level::Decoded), rows as u64 * 8);
    let part = ledger.touched(1, Level::Decoded);
    assert!(part > 0 && part < ledger.stored(1) / 20, "{part} of {}", ledger.stored(1));
    for level in [Level::Metadata, Level::Index, Level::Encoded, Level::Decoded] {
        assert_eq!(ledger.touched(2, level), 0);
    }
}

#[test]
fn test_batches_share_a_dictionary_and_charge_it_once() {
    let values: ArrayRef =
        Arc::new(StringArray::from(vec!["a", "b", "a text of more than twelve bytes"]));
    let make = |keys: Vec<Option<i32>>| {
        let array = DictionaryArray::<Int32Type>::new(Int32Array::from(keys), Arc::clone(&values));
        batch(&[("d", Arc::new(array))])
    };
    let batches = vec![make(vec![Some(0), None, Some(2)]), make(vec![Some(1)])];
    let table = BatchTable::new(batches[0].schema(), batches).unwrap();
    let spec = spec(table.as_ref(), vec![0], 2048);
    let ledger = Arc::clone(&spec.ledger);
    let scan = table.scan(spec).unwrap();
    assert_eq!(scan.morsels(), 1);
    let mut reader = scan.open(0).unwrap();
    let mut ids = vec![];
    while let Some(batch) = reader.next().unwrap() {
        let Vector::Dictionary(vector) = &batch.columns[0] else { panic!("not a dictionary") };
        ids.push(vector.dictionary.id());
    }
    assert_eq!(ids.len(), 2);
    assert_eq!(ids[0], ids[1]);
    assert_eq!(ledger.touched(0, Level::Decoded), 0);
    // Codes and a validity byte of each batch, three views and the long text.
    assert_eq!(ledger.touched(0, Level::Encoded), 3 * 4 + 1 + 4 + 1 + 3 * 16 + 32);
}

#[test]
fn test_batches_refuse_what_does_not_fit_the_schema() {
    let one = batch(&[("a", Arc::new(Int64Array::from(vec![1])))]);
    let other = batch(&[("a", Arc::new(Float64Array::from(vec![1.0])))]);
    let error = BatchTable::new(one.schema(), vec![one, other]).err().unwrap().to_string();
    assert!(
        error.contains("batch 1") && error.contains("'a' is DOUBLE instead of BIGINT"),
        "{error}"
    );
}

#[test]
fn test_an_empty_projection_counts_rows() {
    let ids = Int64Array::from_iter_values(0..5000);
    let table = batch(&[("id", Arc::new(ids))]);
    let table = BatchTable::new(table.schema(), vec![table]).unwrap();
    assert_eq!(collect(table.as_ref(), spec(table.as_ref(), vec![], 2048)).1, 5000);
    let filter: Arc<dyn RowFilter> = Divisible::new(0, 10);
    let filtered = ScanSpec { filter: Some(filter), ..spec(table.as_ref(), vec![], 2048) };
    assert_eq!(collect(table.as_ref(), filtered).1, 500);
}

#[test]
fn test_buffers_that_lie_where_wider_words_may_not_are_copied() {
    use arrow::buffer::{Buffer, ScalarBuffer};
    let values: Vec<_> =
        (0..50).map(|i| IntervalMonthDayNano::new(i, -i, i64::from(i) << 40)).collect();
    // The words of intervals have 16 bytes, their buffers lie at multiples of 8.
    let mut bytes = vec![0_i64];
    for value in &values {
        bytes.push(i64::from(value.months as u32) | i64::from(value.days) << 32);
        bytes.push(value.nanoseconds);
    }
    let buffer = Buffer::from_vec(bytes);
    let odd = buffer.as_ptr().align_offset(16) == 0;
    let buffer = if odd { buffer.slice(8) } else { Buffer::from_vec(vec![0_i64, 0, 0]) };
    let rows = buffer.len() / 16;
    let buffer = ScalarBuffer::<IntervalMonthDayNano>::new(buffer, 0, rows);
    let array: ArrayRef = Arc::new(IntervalMonthDayNanoArray::new(buffer, None));
    let ty = crate::LogicalType::from_arrow(array.data_type()).unwrap();
    let schema = crate::Schema::new(vec![crate::ColumnDef::new("i", ty)]);
    let mut builder = SegmentBuilder::new(Arc::new(schema));
    builder.push(&[Vector::Flat(Arc::clone(&array))], None).unwrap();
    builder.push(&[Vector::Flat(array.slice(0, 0))], None).unwrap();
    let segment = builder.finish().unwrap();
    let read = segment.columns()[0].read(0..rows).unwrap().flatten().unwrap();
    assert_eq!(&read, &array);
}
