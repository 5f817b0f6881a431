//! One harness for all expressions: a logical column is written in every encoding, whole and behind selections, and
//! each way must give what a naive row-by-row oracle gives.

mod arithmetic;
mod casts;
mod compare;
mod functions;
mod logic;

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, Int64Array, UInt8Array, UInt16Array, UInt32Array, new_null_array},
    buffer::NullBuffer,
    compute::{concat, take},
};
use stoadb_storage::{
    DictionaryValues, LogicalType, Scalar, Selection, Vector,
    vector::{DictionaryVector, NarrowVector},
};

use super::{Evaluator, Program, constant};
use crate::{
    batch::Batch,
    context::{QueryContext, QuerySettings},
    error::Result,
    expr::Expr,
};

fn context() -> QueryContext {
    QueryContext::new(QuerySettings::default(), Arc::default(), Vec::new())
}

/// A small generator of pseudo-random numbers.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }
}

/// A scalar of a type from the text that SQL would show, by Arrow's reader where ours is under test.
fn scalar(ty: &LogicalType, text: &str) -> Scalar {
    let text = Scalar::text(text);
    let LogicalType::Timestamp(unit, Some(_)) = ty else {
        let array = arrow::compute::cast(text.array(), &ty.to_arrow()).unwrap();
        return Scalar::from_array(&array, 0).unwrap();
    };
    let plain = LogicalType::Timestamp(*unit, None).to_arrow();
    let data = arrow::compute::cast(text.array(), &plain).unwrap().to_data();
    let array =
        arrow::array::make_array(data.into_builder().data_type(ty.to_arrow()).build().unwrap());
    Scalar::from_array(&array, 0).unwrap()
}

/// An array of scalars of one type.
fn array(ty: &LogicalType, values: &[Scalar]) -> ArrayRef {
    if values.is_empty() {
        return new_null_array(&ty.to_arrow(), 0);
    }
    let arrays: Vec<&dyn Array> = values.iter().map(|value| value.array().as_ref()).collect();
    let array = concat(&arrays).unwrap();
    assert_eq!(*array.data_type(), ty.to_arrow());
    array
}

/// The same values in every encoding that can hold them.
fn encodings(ty: &LogicalType, values: &[Scalar]) -> Vec<Vector> {
    let flat = array(ty, values);
    let mut vectors = vec![Vector::Flat(Arc::clone(&flat))];
    if let Some(first) = values.first()
        && values.iter().all(|value| value == first)
    {
        vectors.push(Vector::Constant { value: first.clone(), rows: values.len() });
    }
    vectors.extend(dictionaries(&flat));
    vectors.extend(narrow(ty, values));
    vectors
}

fn dictionaries(flat: &ArrayRef) -> Vec<Vector> {
    let rows = flat.len() as u32;
    let nulls: Option<NullBuffer> = flat.logical_nulls();
    // Backwards, each value twice, NULLs as NULL codes.
    let back: UInt32Array = (0..rows).rev().collect::<Vec<_>>().into();
    let entries = take(flat, &back, None).unwrap();
    let doubled = concat(&[entries.as_ref(), entries.as_ref()]).unwrap();
    let code = |row: u32| if row.is_multiple_of(2) { rows - 1 - row } else { 2 * rows - 1 - row };
    let wide = UInt32Array::new((0..rows).map(code).collect(), nulls.clone());
    let vector = |codes: ArrayRef, entries: &ArrayRef| {
        Vector::Dictionary(DictionaryVector {
            codes,
            dictionary: Arc::new(DictionaryValues::new(Arc::clone(entries))),
            charge: None,
        })
    };
    let mut vectors = vec![vector(Arc::new(wide), &doubled)];
    // NULLs as entries.
    let middle = (0..rows).map(|row| row as u16).collect::<Vec<_>>();
    vectors.push(vector(Arc::new(UInt16Array::from(middle)), flat));
    if rows > 0 && rows <= 200 {
        let small = (0..rows).map(|row| (rows - 1 - row) as u8).collect::<Vec<_>>();
        vectors.push(vector(Arc::new(UInt8Array::new(small.into(), nulls)), &entries));
    }
    vectors
}

fn narrow(ty: &LogicalType, values: &[Scalar]) -> Vec<Vector> {
    let kind = ty.is_integer()
        || matches!(
            ty,
            LogicalType::Date
                | LogicalType::Time(_)
                | LogicalType::Timestamp(..)
                | LogicalType::Duration(_)
                | LogicalType::Decimal { .. }
        );
    let read = |value: &Scalar| match value.as_i128() {
        None => Some(None),
        Some(value) => i64::try_from(value).ok().map(Some),
    };
    let Some(values) = values.iter().map(read).collect::<Option<Vec<Option<i64>>>>() else {
        return Vec::new();
    };
    if !kind {
        return Vec::new();
    }
    let vector = |base: i64, offsets: ArrayRef| {
        Vector::Narrow(NarrowVector { ty: ty.clone(), base, offsets, charge: None })
    };
    let mut vectors = vec![vector(0, Arc::new(Int64Array::from(values.clone())))];
    let base = values.iter().flatten().copied().min().unwrap_or(0);
    let offsets: Vec<Option<i128>> =
        values.iter().map(|v| v.map(|v| i128::from(v) - i128::from(base))).collect();
    let most = offsets.iter().flatten().copied().max().unwrap_or(0);
    if most <= u8::MAX.into() {
        let offsets: UInt8Array = offsets.iter().map(|v| v.map(|v| v as u8)).collect();
        vectors.push(vector(base, Arc::new(offsets)));
    }
    if most <= u16::MAX.into() {
        let offsets: UInt16Array = offsets.iter().map(|v| v.map(|v| v as u16)).collect();
        vectors.push(vector(base, Arc::new(offsets)));
    }
    if most <= u32::MAX.into() {
        let offsets: UInt32Array = offsets.iter().map(|v| v.map(|v| v as u32)).collect();
        vectors.push(vector(base, Arc::new(offsets)));
    }
    vectors
}

/// Equal as SQL values: all NaNs are one.
fn equal(a: &Scalar, b: &Scalar) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(x), Some(y)) => {
            a.ty() == b.ty() && (x.to_bits() == y.to_bits() || (x.is_nan() && y.is_nan()))
        }
        _ => a == b,
    }
}

/// Batches that hold the columns in all encodings, paired by turns.
fn batches(columns: &[(LogicalType, Vec<Scalar>)], rows: usize) -> Vec<Batch> {
    let encoded: Vec<Vec<Vector>> =
        columns.iter().map(|(ty, values)| encodings(ty, values)).collect();
    let most = encoded.iter().map(Vec::len).max().unwrap_or(1);
    let ways = if columns.len() < 2 { most } else { most * 2 };
    (0..ways)
        .map(|way| {
            let turn = |(at, ways): (usize, &Vec<Vector>)| {
                let shift = if at == 0 { way } else { way / most * 3 + way * (1 + way / most) };
                ways[shift % ways.len()].clone()
            };
            Batch::new(encoded.iter().enumerate().map(turn).collect(), rows)
        })
        .collect()
}

/// Evaluates an expression over columns in all encodings and behind selections; `expected` has a value per row, or
/// `None` for a row that fails.
fn check(expr: &Expr, columns: &[(LogicalType, Vec<Scalar>)], expected: &[Option<Scalar>]) {
    let rows = expected.len();
    let program = Program::compile(std::slice::from_ref(expr), &context()).unwrap();
    let good: Vec<u32> = (0..rows as u32).filter(|&row| expected[row as usize].is_some()).collect();
    let sparse: Vec<u32> = good.iter().copied().filter(|row| row % 3 == 1).collect();
    for batch in batches(columns, rows) {
        let mut evaluator = Evaluator::new(&program);
        if good.len() < rows {
            let outcome = evaluator.project(&batch);
            assert!(outcome.is_err(), "{expr:?} should fail on {batch:?}");
        }
        for selected in [(good.len() < rows).then_some(&good), Some(&good), Some(&sparse)] {
            if selected.is_none() && good.len() < rows {
                continue;
            }
            let mut batch = batch.clone();
            batch.selection = selected.map(|rows| Selection::new(rows.clone()));
            let wanted: Vec<&Scalar> = match selected {
                Some(rows) => {
                    rows.iter().map(|&r| expected[r as usize].as_ref().unwrap()).collect()
                }
                None => expected.iter().flatten().collect(),
            };
            check_project(&mut evaluator, expr, &batch, &wanted);
            if expr.ty() == LogicalType::Boolean {
                check_select(&mut evaluator, &batch, &wanted);
            }
        }
    }
}

fn check_project(evaluator: &mut Evaluator, expr: &Expr, batch: &Batch, wanted: &[&Scalar]) {
    let vector = match evaluator.project(batch) {
        Ok(mut vectors) => vectors.remove(0),
        Err(error) => panic!("{expr:?} fails with {error} on {batch:?}"),
    };
    assert_eq!(vector.len(), wanted.len(), "{expr:?}");
    assert_eq!(vector.ty().unwrap(), expr.ty(), "{expr:?}");
    for (row, wanted) in wanted.iter().enumerate() {
        let got = vector.scalar(row).unwrap();
        assert!(equal(&got, wanted), "row {row}: {got} is not {wanted}: {expr:?} on {batch:?}");
    }
}

fn check_select(evaluator: &mut Evaluator, batch: &Batch, wanted: &[&Scalar]) {
    let rows: Vec<u32> = match evaluator.select(batch).unwrap() {
        Some(selection) => {
            assert!(selection.len() < batch.len());
            selection.rows().to_vec()
        }
        None => (0..batch.len() as u32).collect(),
    };
    let wanted: Vec<u32> = (0..wanted.len() as u32)
        .filter(|&row| wanted[row as usize].as_bool() == Some(true))
        .collect();
    assert_eq!(rows, wanted, "{batch:?}");
}

/// The value of an expression without columns.
fn value(expr: &Expr) -> Result<Scalar> {
    constant(expr, &context())
}

fn lit(value: Scalar) -> Expr {
    Expr::Literal(value)
}

fn text(value: &str) -> Expr {
    lit(Scalar::text(value))
}

fn call(name: &str, args: Vec<Expr>, ty: LogicalType) -> Expr {
    Expr::Call { function: name.into(), args, ty }
}

fn cast_to(input: Expr, ty: LogicalType) -> Expr {
    Expr::Cast { input: Box::new(input), ty, or_null: false }
}

/// What an expression without columns shows as text, or its error.
fn shown(expr: &Expr) -> String {
    match value(&cast_to(expr.clone(), LogicalType::Text)) {
        Ok(value) => value.as_str().map_or("NULL".into(), str::to_owned),
        Err(error) => format!("error: {error}"),
    }
}
