//! Narrow columns under another base or type: `x + c`, `x - c` and casts between whole numbers leave the offsets alone.
//!
//! Invariant: only where every value that is not NULL stays within the type and within 64 bits; everything else,
//! errors included, is left to the kernels that go row by row. Next: `arithmetic.rs`, `cast/mod.rs`.

use arrow::{array::Array, datatypes::DataType};
use stoadb_storage::{LogicalType, Vector, vector::NarrowVector};

use crate::{
    expr::ArithmeticOp,
    kernel::physical::{offset_value, with_offsets},
};

/// `left + right` or `left - right` where one side is narrow and the other one constant; `None` where it takes more than
/// another base.
pub(crate) fn shifted(
    op: ArithmeticOp,
    left: &Vector,
    right: &Vector,
    ty: &LogicalType,
) -> Option<Vector> {
    let (narrow, constant, negative) = match (op, left, right) {
        (ArithmeticOp::Add, Vector::Narrow(narrow), Vector::Constant { value, .. })
        | (ArithmeticOp::Add, Vector::Constant { value, .. }, Vector::Narrow(narrow)) => {
            (narrow, value, false)
        }
        (ArithmeticOp::Subtract, Vector::Narrow(narrow), Vector::Constant { value, .. }) => {
            (narrow, value, true)
        }
        _ => return None,
    };
    if !adds_units(&narrow.ty, constant.ty(), ty) {
        return None;
    }
    let constant = constant.as_i128()?;
    let distance = if negative { constant.checked_neg()? } else { constant };
    rebased(narrow, distance, ty).map(Vector::Narrow)
}

/// Whether adding values of two types adds their stored integers.
fn adds_units(narrow: &LogicalType, constant: &LogicalType, result: &LogicalType) -> bool {
    use LogicalType as T;
    match (narrow, constant, result) {
        (T::Decimal { scale: a, .. }, T::Decimal { scale: b, .. }, T::Decimal { scale, .. }) => {
            a == scale && b == scale
        }
        (T::Decimal { scale: 0, .. }, other, T::Decimal { scale: 0, .. })
        | (other, T::Decimal { scale: 0, .. }, T::Decimal { scale: 0, .. }) => other.is_integer(),
        (T::Date, days, T::Date) => days.is_integer(),
        _ => narrow == result && constant == result && result.is_integer(),
    }
}

/// The same whole numbers under another type.
pub(crate) fn retyped(narrow: &NarrowVector, to: &LogicalType) -> Option<Vector> {
    let scale = |ty: &LogicalType| match ty {
        LogicalType::Decimal { scale, .. } => Some(*scale),
        ty if ty.is_integer() => Some(0),
        _ => None,
    };
    let keeps = scale(&narrow.ty).is_some_and(|own| scale(to) == Some(own));
    if keeps { rebased(narrow, 0, to).map(Vector::Narrow) } else { None }
}

/// The narrow vector with `distance` added to every value, under a type.
fn rebased(narrow: &NarrowVector, distance: i128, ty: &LogicalType) -> Option<NarrowVector> {
    let (least, most) = bounds(ty)?;
    let wide = *narrow.offsets.data_type() == DataType::Int64;
    let base = i64::try_from(i128::from(narrow.base) + distance).ok()?;
    if wide && distance != 0 {
        return None;
    }
    let fits = |low: i128, high: i128| low >= least && high <= most;
    let (low, high) = match narrow.offsets.data_type() {
        DataType::UInt8 => (0, i128::from(u8::MAX)),
        DataType::UInt16 => (0, i128::from(u16::MAX)),
        DataType::UInt32 => (0, i128::from(u32::MAX)),
        _ => (i128::from(i64::MIN), i128::from(i64::MAX)),
    };
    let base_wide = i128::from(base);
    if !fits(base_wide + low, base_wide + high)
        && let Some((low, high)) = span(narrow)
        && !fits(base_wide + i128::from(low), base_wide + i128::from(high))
    {
        return None;
    }
    Some(NarrowVector { ty: ty.clone(), base, ..narrow.clone() })
}

/// The smallest and the largest offset that is not under NULL.
fn span(narrow: &NarrowVector) -> Option<(i64, i64)> {
    let nulls = narrow.offsets.nulls().filter(|nulls| nulls.null_count() > 0);
    with_offsets!(narrow.offsets, offsets => match nulls {
        None => {
            let (low, high) = (offsets.iter().min()?, offsets.iter().max()?);
            Some((offset_value(*low), offset_value(*high)))
        }
        Some(nulls) => {
            let mut valid = nulls.valid_indices().map(|row| offset_value(offsets[row]));
            let first = valid.next()?;
            Some(valid.fold((first, first), |(low, high), v| (low.min(v), high.max(v))))
        }
    })
}

/// The smallest and the largest stored integer of a type, as far as 64 bits hold them.
pub(crate) fn bounds(ty: &LogicalType) -> Option<(i128, i128)> {
    use LogicalType as T;
    Some(match ty {
        T::Int8 => (i8::MIN.into(), i8::MAX.into()),
        T::Int16 => (i16::MIN.into(), i16::MAX.into()),
        T::Int32 | T::Date => (i32::MIN.into(), i32::MAX.into()),
        T::Int64 | T::Timestamp(..) | T::Duration(_) => (i64::MIN.into(), i64::MAX.into()),
        T::UInt8 => (0, u8::MAX.into()),
        T::UInt16 => (0, u16::MAX.into()),
        T::UInt32 => (0, u32::MAX.into()),
        T::UInt64 => (0, i64::MAX.into()),
        T::Decimal { precision, .. } => {
            let most = 10_i128.pow(u32::from(*precision).min(18)) - 1;
            let most = if *precision > 18 { i64::MAX.into() } else { most };
            (-most, most)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use stoadb_storage::Scalar;

    use super::*;
    use crate::kernel::{
        arithmetic::arithmetic,
        cast::cast,
        testing::{Random, display, encodings, flat_types, sample},
    };

    /// The rows as text, or that there was an error.
    fn shown(result: crate::Result<Vector>) -> Option<Vec<String>> {
        let vector = result.ok()?;
        Some((0..vector.len()).map(|row| display(&vector, row)).collect())
    }

    #[test]
    fn test_sums_with_a_constant_are_those_of_flat_columns_and_stay_narrow() {
        let mut random = Random::new(5);
        let mut kept = 0;
        for ty in
            flat_types().iter().filter(|ty| ty.is_integer() || matches!(ty, LogicalType::Date))
        {
            for round in 0..30 {
                let array = sample(ty, &mut random, 40, round % 3 * 4);
                let by = if *ty == LogicalType::Date { LogicalType::Int32 } else { ty.clone() };
                let constants = sample(&by, &mut random, 1, 0);
                let constant =
                    Vector::constant(Scalar::from_array(constants.as_ref(), 0).unwrap(), 40);
                for op in [ArithmeticOp::Add, ArithmeticOp::Subtract] {
                    let flat = Vector::Flat(Arc::clone(&array));
                    let expected = shown(arithmetic(op, &flat, &constant, 40, ty));
                    for vector in encodings(&array, &mut random) {
                        let repeated = matches!(vector, Vector::Constant { .. });
                        let actual = arithmetic(op, &vector, &constant, 40, ty);
                        if let (Vector::Narrow(_), Ok(Vector::Narrow(_))) = (&vector, &actual) {
                            kept += 1;
                        }
                        if !repeated {
                            assert_eq!(shown(actual), expected, "{ty} {op:?} {vector:?}");
                        }
                    }
                }
            }
        }
        assert!(kept > 500, "{kept}");
    }

    #[test]
    fn test_casts_between_whole_numbers_are_those_of_flat_columns() {
        let mut random = Random::new(6);
        let whole = |ty: &&LogicalType| {
            ty.is_integer() || matches!(ty, LogicalType::Decimal { precision: 0..=18, .. })
        };
        let types = flat_types();
        let mut kept = 0;
        for from in types.iter().filter(whole) {
            for to in types.iter().filter(whole) {
                for nulls in [0, 4] {
                    let array = sample(from, &mut random, 40, nulls);
                    let flat = Vector::Flat(Arc::clone(&array));
                    for or_null in [false, true] {
                        let expected = shown(cast(&flat, 40, to, or_null));
                        for vector in encodings(&array, &mut random) {
                            let actual = cast(&vector, 40, to, or_null);
                            if let (Vector::Narrow(_), Ok(Vector::Narrow(_))) = (&vector, &actual) {
                                kept += 1;
                            }
                            if !matches!(vector, Vector::Constant { .. }) {
                                assert_eq!(shown(actual), expected, "{from} {to} {vector:?}");
                            }
                        }
                    }
                }
            }
        }
        assert!(kept > 200, "{kept}");
    }
}
