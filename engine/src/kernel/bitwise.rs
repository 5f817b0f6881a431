//! The bit operators `&`, `|`, `xor`, `~`, `<<` and `>>` on integers of every width.
//!
//! Invariants: both operands have the result's type. A left shift multiplies: it is an error when the product does not
//! fit; a right shift divides and rounds down, by any distance. Every function has the signature of `NativeFn`.

use stoadb_storage::{LogicalType, Vector};

use crate::{
    error::{EngineError, Result},
    kernel::{
        arity::{binary, fallible, unary, union_nulls},
        physical::{Physical, column, is_constant_null, null_vector},
    },
};

/// Runs a body with the machine type of a physical integer.
macro_rules! with_integer {
    ($ty:expr, $t:ident => $body:expr) => {{
        macro_rules! arm {
            ($int:ty) => {{
                type $t = $int;
                $body
            }};
        }
        match Physical::of($ty) {
            Physical::I8 => arm!(i8),
            Physical::I16 => arm!(i16),
            Physical::I32 => arm!(i32),
            Physical::I64 => arm!(i64),
            Physical::U8 => arm!(u8),
            Physical::U16 => arm!(u16),
            Physical::U32 => arm!(u32),
            Physical::U64 => arm!(u64),
            _ => Err(EngineError::Internal(format!("a bit operator on {}", $ty))),
        }
    }};
}

/// `a & b`.
pub(crate) fn and(args: &[Vector], rows: usize, ty: &LogicalType) -> Result<Vector> {
    if args.iter().any(is_constant_null) {
        return Ok(null_vector(ty, rows));
    }
    with_integer!(ty, T => {
        binary(&column::<T>(&args[0])?, &column::<T>(&args[1])?, rows, ty, |a, b| a & b)
    })
}

/// `a | b`.
pub(crate) fn or(args: &[Vector], rows: usize, ty: &LogicalType) -> Result<Vector> {
    if args.iter().any(is_constant_null) {
        return Ok(null_vector(ty, rows));
    }
    with_integer!(ty, T => {
        binary(&column::<T>(&args[0])?, &column::<T>(&args[1])?, rows, ty, |a, b| a | b)
    })
}

/// `xor(a, b)`.
pub(crate) fn xor(args: &[Vector], rows: usize, ty: &LogicalType) -> Result<Vector> {
    if args.iter().any(is_constant_null) {
        return Ok(null_vector(ty, rows));
    }
    with_integer!(ty, T => {
        binary(&column::<T>(&args[0])?, &column::<T>(&args[1])?, rows, ty, |a, b| a ^ b)
    })
}

/// `~a`.
pub(crate) fn not(args: &[Vector], rows: usize, ty: &LogicalType) -> Result<Vector> {
    if args.iter().any(is_constant_null) {
        return Ok(null_vector(ty, rows));
    }
    with_integer!(ty, T => unary(&column::<T>(&args[0])?, rows, ty, |a| !a))
}

/// `a << distance`.
pub(crate) fn shift_left(args: &[Vector], rows: usize, ty: &LogicalType) -> Result<Vector> {
    shift(args, rows, ty, "<<", |value, distance| match value {
        0 => Some(0),
        _ if distance > 64 => None,
        value => value.checked_mul(1_i128 << distance),
    })
}

/// `a >> distance`.
pub(crate) fn shift_right(args: &[Vector], rows: usize, ty: &LogicalType) -> Result<Vector> {
    shift(args, rows, ty, ">>", |value, distance| Some(value >> distance.min(64)))
}

fn shift(
    args: &[Vector],
    rows: usize,
    ty: &LogicalType,
    symbol: &str,
    f: impl Fn(i128, u32) -> Option<i128>,
) -> Result<Vector> {
    if args.iter().any(is_constant_null) {
        return Ok(null_vector(ty, rows));
    }
    with_integer!(ty, T => {
        let (a, b) = (column::<T>(&args[0])?, column::<T>(&args[1])?);
        fallible(rows, ty, union_nulls(a.nulls.as_ref(), b.nulls.as_ref()), |row| {
            let (value, distance) = (a.get(row), b.get(row));
            let places = i128::from(distance);
            if places < 0 {
                let message = format!("{value} {symbol} {distance}: a shift goes by 0 or more bits");
                return Err(EngineError::Value(message));
            }
            let places = u32::try_from(places).unwrap_or(u32::MAX);
            let shifted = f(i128::from(value), places).and_then(|wide| T::try_from(wide).ok());
            shifted.ok_or_else(|| {
                let message = format!("overflow: {value} {symbol} {distance} does not fit {ty}");
                EngineError::Value(message)
            })
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Array, AsArray, Int8Array, UInt64Array};
    use arrow::datatypes::{Int8Type, UInt64Type};
    use std::sync::Arc;
    use stoadb_storage::Scalar;

    fn bytes(values: Vec<Option<i8>>) -> Vector {
        Vector::Flat(Arc::new(Int8Array::from(values)))
    }

    type Kernel = fn(&[Vector], usize, &LogicalType) -> Result<Vector>;

    fn run(f: Kernel, a: i8, b: i8) -> Option<i8> {
        let args = [bytes(vec![Some(a), None]), bytes(vec![Some(b), Some(b)])];
        let result = f(&args, 2, &LogicalType::Int8).ok()?.flatten().unwrap();
        assert!(result.is_null(1));
        Some(result.as_primitive::<Int8Type>().value(0))
    }

    #[test]
    fn test_every_pair_of_bytes() {
        for a in i8::MIN..=i8::MAX {
            for b in [i8::MIN, -1, 0, 1, 2, 3, 6, 7, 8, 63, i8::MAX] {
                assert_eq!(run(and, a, b), Some(a & b));
                assert_eq!(run(or, a, b), Some(a | b));
                assert_eq!(run(xor, a, b), Some(a ^ b));
                let floor = |b: i8| (f64::from(a) / 2_f64.powi(b.into())).floor() as i8;
                assert_eq!(run(shift_right, a, b), (b >= 0).then(|| floor(b)));
                let product = f64::from(a) * 2_f64.powi(b.into());
                let fits = b >= 0 && (-128.0..=127.0).contains(&product);
                assert_eq!(run(shift_left, a, b), fits.then_some(product as i8), "{a} << {b}");
            }
        }
    }

    #[test]
    fn test_constants_and_unsigned_extremes() {
        let ty = LogicalType::UInt64;
        let most = Vector::Flat(Arc::new(UInt64Array::from(vec![u64::MAX, 1])));
        let one = UInt64Array::from(vec![63]);
        let constant = Vector::Constant { value: Scalar::from_array(&one, 0).unwrap(), rows: 2 };
        let args = [most.clone(), constant.clone()];
        let right = shift_right(&args, 2, &ty).unwrap().flatten().unwrap();
        assert_eq!(right.as_primitive::<UInt64Type>().values().as_ref(), &[1, 0]);
        assert!(shift_left(&args, 2, &ty).is_err());
        let complement = not(std::slice::from_ref(&most), 2, &ty).unwrap().flatten().unwrap();
        assert_eq!(complement.as_primitive::<UInt64Type>().values().as_ref(), &[0, u64::MAX - 1]);
        let null = Vector::Constant { value: Scalar::null(ty.clone()), rows: 2 };
        assert_eq!(and(&[most, null], 2, &ty).unwrap().flatten().unwrap().null_count(), 2);
    }
}
