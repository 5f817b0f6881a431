//! Comparisons of two columns, or of a column and a literal, to a bitmap or straight to row positions.
//!
//! Invariants: floats have NaN = NaN, NaN above every number and -0.0 = 0.0; text and blobs compare bytewise; intervals
//! compare with months of 30 days and days of 24 hours. A narrow column meets a literal in the domain of its offsets.

mod bytes; // texts, blobs, nested values
mod narrow; // narrow columns and literals

use std::cmp::Ordering;

use arrow::{
    array::BooleanArray,
    buffer::BooleanBuffer,
    datatypes::{ArrowNativeType, IntervalMonthDayNano},
};
use stoadb_storage::{LogicalType, Vector, interval::interval_length};

use self::{
    bytes::{bytes, nested},
    narrow::{narrow_pairs, narrow_with_literal},
};
use crate::{
    error::Result,
    expr::CompareOp,
    kernel::{
        arity::{bits, bits2, compress, compress2, positions, true_rows, union_nulls},
        physical::{
            Bytes, Column, Physical, boolean_vector, booleans, column, is_constant_null,
            null_vector, with_number,
        },
    },
};

/// The three relations from which all comparisons are made, perhaps negated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Relation {
    Equal,
    Less,
    Greater,
}

impl Relation {
    fn of(op: CompareOp) -> (Self, bool) {
        match op {
            CompareOp::Eq | CompareOp::NotDistinct => (Self::Equal, false),
            CompareOp::NotEq | CompareOp::Distinct => (Self::Equal, true),
            CompareOp::Lt => (Self::Less, false),
            CompareOp::GtEq => (Self::Less, true),
            CompareOp::Gt => (Self::Greater, false),
            CompareOp::LtEq => (Self::Greater, true),
        }
    }

    fn swap(self) -> Self {
        match self {
            Self::Equal => Self::Equal,
            Self::Less => Self::Greater,
            Self::Greater => Self::Less,
        }
    }

    fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Equal => ordering.is_eq(),
            Self::Less => ordering.is_lt(),
            Self::Greater => ordering.is_gt(),
        }
    }
}

/// In what form the rows that match are wanted.
#[derive(Clone, Copy)]
enum Want<'a> {
    Bits,
    Rows(Option<&'a [u32]>),
}

/// The rows that match.
enum Truth {
    Bits(BooleanBuffer),
    Rows(Vec<u32>),
}

/// Values with the total order of SQL.
pub(crate) trait Total: Copy {
    /// Whether the two are equal.
    fn same(self, other: Self) -> bool;
    /// Whether this one is the smaller.
    fn below(self, other: Self) -> bool;
}

macro_rules! total_order {
    ($($integer:ty),*) => {$(
        impl Total for $integer {
            fn same(self, other: Self) -> bool { self == other }
            fn below(self, other: Self) -> bool { self < other }
        }
    )*};
    (float $($float:ty),*) => {$(
        impl Total for $float {
            fn same(self, other: Self) -> bool {
                (self == other) | (self.is_nan() & other.is_nan())
            }
            fn below(self, other: Self) -> bool {
                (self < other) | (!self.is_nan() & other.is_nan())
            }
        }
    )*};
}
total_order!(i8, i16, i32, i64, u8, u16, u32, u64, i128);
total_order!(float f32, f64);

/// A comparison as a boolean vector.
pub(crate) fn compare(op: CompareOp, left: &Vector, right: &Vector, rows: usize) -> Result<Vector> {
    if matches!(op, CompareOp::Distinct | CompareOp::NotDistinct) {
        let bits = not_distinct(left, right, rows)?;
        let bits = if op == CompareOp::Distinct { !&bits } else { bits };
        return Ok(boolean_vector(BooleanArray::new(bits, None)));
    }
    if is_constant_null(left) || is_constant_null(right) {
        return Ok(null_vector(&LogicalType::Boolean, rows));
    }
    if rows != 1 && both_constant(left, right) {
        let value = compare(op, &left.slice(0, 1), &right.slice(0, 1), 1)?.scalar(0)?;
        return Ok(Vector::Constant { value, rows });
    }
    let (relation, negated) = Relation::of(op);
    let bits = match relate(relation, negated, left, right, rows, Want::Bits)? {
        Truth::Bits(bits) => bits,
        Truth::Rows(kept) => bits_of_rows(&kept, rows),
    };
    let nulls = union_nulls(left.nulls().as_ref(), right.nulls().as_ref());
    Ok(boolean_vector(BooleanArray::new(bits, nulls)))
}

/// The rows among the candidates (`None`: all) for which a comparison is TRUE.
pub(crate) fn compare_rows(
    op: CompareOp,
    left: &Vector,
    right: &Vector,
    rows: usize,
    candidates: Option<&[u32]>,
) -> Result<Vec<u32>> {
    if matches!(op, CompareOp::Distinct | CompareOp::NotDistinct) {
        let kept = booleans(&compare(op, left, right, rows)?)?;
        return Ok(match candidates {
            Some(_) => positions(rows, candidates, |row| kept.value(row)),
            None => true_rows(&kept),
        });
    }
    if is_constant_null(left) || is_constant_null(right) {
        return Ok(Vec::new());
    }
    if both_constant(left, right) {
        let value = compare(op, &left.slice(0, 1), &right.slice(0, 1), 1)?.scalar(0)?;
        return Ok(match (value.as_bool(), candidates) {
            (Some(true), Some(candidates)) => candidates.to_vec(),
            (Some(true), None) => (0..rows as u32).collect(),
            _ => Vec::new(),
        });
    }
    let (relation, negated) = Relation::of(op);
    let mut kept = match relate(relation, negated, left, right, rows, Want::Rows(candidates))? {
        Truth::Rows(kept) => kept,
        Truth::Bits(bits) => positions(rows, candidates, |row| bits.value(row)),
    };
    if let Some(nulls) = union_nulls(left.nulls().as_ref(), right.nulls().as_ref()) {
        kept.retain(|&row| nulls.is_valid(row as usize));
    }
    Ok(kept)
}

fn both_constant(left: &Vector, right: &Vector) -> bool {
    let is_constant = |vector: &Vector| matches!(vector, Vector::Constant { .. });
    is_constant(left) && is_constant(right)
}

fn bits_of_rows(kept: &[u32], rows: usize) -> BooleanBuffer {
    let mut flags = vec![false; rows];
    for &row in kept {
        flags[row as usize] = true;
    }
    BooleanBuffer::from(flags)
}

fn not_distinct(left: &Vector, right: &Vector, rows: usize) -> Result<BooleanBuffer> {
    let valid = |vector: &Vector| match vector.nulls() {
        Some(nulls) => nulls.into_inner(),
        None => BooleanBuffer::new_set(rows),
    };
    let (left_valid, right_valid) = (valid(left), valid(right));
    let both_null = !&(&left_valid | &right_valid);
    if is_constant_null(left) || is_constant_null(right) {
        return Ok(both_null);
    }
    let equal = booleans(&compare(CompareOp::Eq, left, right, rows)?)?;
    Ok(&(&(equal.values() & &left_valid) & &right_valid) | &both_null)
}

/// The dispatch on types; operands are not constant NULLs.
fn relate(
    relation: Relation,
    negated: bool,
    left: &Vector,
    right: &Vector,
    rows: usize,
    want: Want<'_>,
) -> Result<Truth> {
    let left_constant = matches!(left, Vector::Constant { .. });
    if left_constant && !matches!(right, Vector::Constant { .. }) {
        return relate(relation.swap(), negated, right, left, rows, want);
    }
    if let (Vector::Narrow(narrow), Vector::Constant { value, .. }) = (left, right)
        && let Some(literal) = value.as_i128()
    {
        return Ok(narrow_with_literal(relation, negated, narrow, literal, want));
    }
    if let (Vector::Narrow(left), Vector::Narrow(right)) = (left, right) {
        return narrow_pairs(relation, negated, left, right, want);
    }
    let physical = Physical::of(&left.ty()?);
    with_number!(physical, T => {
        Ok(pairs(relation, negated, &column::<T>(left)?, &column::<T>(right)?, want))
    }, _ => match physical {
        Physical::Bool => {
            let bytes = |vector: &Vector| -> Result<Column<u8>> {
                let values = booleans(vector)?.values().iter().map(u8::from).collect();
                Ok(Column { values, nulls: None, constant: false })
            };
            Ok(pairs(relation, negated, &bytes(left)?, &bytes(right)?, want))
        }
        Physical::Interval => {
            let lengths = |vector: &Vector| -> Result<Column<i128>> {
                let column = column::<IntervalMonthDayNano>(vector)?;
                let values = column.values.iter().map(|&value| interval_length(value)).collect();
                Ok(Column { values, nulls: None, constant: column.constant })
            };
            Ok(pairs(relation, negated, &lengths(left)?, &lengths(right)?, want))
        }
        Physical::Bytes => {
            Ok(bytes(relation, negated, &Bytes::new(left)?, &Bytes::new(right)?, rows, want))
        }
        _ => nested(relation, negated, left, right, rows, want),
    })
}

/// Compares values of one machine type.
fn pairs<T: Total + ArrowNativeType>(
    relation: Relation,
    negated: bool,
    left: &Column<T>,
    right: &Column<T>,
    want: Want<'_>,
) -> Truth {
    let a: &[T] = &left.values;
    if right.constant {
        let literal = right.values[0];
        return match relation {
            Relation::Equal => one(a, want, |value| value.same(literal) != negated),
            Relation::Less => one(a, want, |value| value.below(literal) != negated),
            Relation::Greater => one(a, want, |value| literal.below(value) != negated),
        };
    }
    let b: &[T] = &right.values;
    match relation {
        Relation::Equal => two(a, b, want, |a, b| a.same(b) != negated),
        Relation::Less => two(a, b, want, |a, b| a.below(b) != negated),
        Relation::Greater => two(a, b, want, |a, b| b.below(a) != negated),
    }
}

fn one<T: Copy>(values: &[T], want: Want<'_>, f: impl Fn(T) -> bool) -> Truth {
    match want {
        Want::Bits => Truth::Bits(bits(values, f)),
        Want::Rows(None) => Truth::Rows(compress(values, f)),
        Want::Rows(rows) => Truth::Rows(positions(values.len(), rows, |row| f(values[row]))),
    }
}

fn two<T: Copy>(a: &[T], b: &[T], want: Want<'_>, f: impl Fn(T, T) -> bool) -> Truth {
    match want {
        Want::Bits => Truth::Bits(bits2(a, b, f)),
        Want::Rows(None) => Truth::Rows(compress2(a, b, f)),
        Want::Rows(rows) => Truth::Rows(positions(a.len(), rows, |row| f(a[row], b[row]))),
    }
}

fn all(rows: usize, truth: bool, want: Want<'_>) -> Truth {
    match (want, truth) {
        (Want::Bits, true) => Truth::Bits(BooleanBuffer::new_set(rows)),
        (Want::Bits, false) => Truth::Bits(BooleanBuffer::new_unset(rows)),
        (Want::Rows(_), false) => Truth::Rows(Vec::new()),
        (Want::Rows(Some(candidates)), true) => Truth::Rows(candidates.to_vec()),
        (Want::Rows(None), true) => Truth::Rows((0..rows as u32).collect()),
    }
}

fn tested(rows: usize, want: Want<'_>, f: impl Fn(usize) -> bool) -> Truth {
    match want {
        Want::Bits => Truth::Bits(BooleanBuffer::collect_bool(rows, f)),
        Want::Rows(candidates) => {
            let mut kept = Vec::new();
            match candidates {
                Some(candidates) => {
                    kept.extend(candidates.iter().copied().filter(|&row| f(row as usize)));
                }
                None => kept.extend((0..rows as u32).filter(|&row| f(row as usize))),
            }
            Truth::Rows(kept)
        }
    }
}
