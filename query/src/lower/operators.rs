//! The bit operators, which neither the engine nor the library has as functions: `&`, `|`, `#`, `<<`, `>>`.
//!
//! Invariants: both operands have the result's integer type (`call.rs` sees to it); NULL with anything is NULL; shifting
//! by a negative distance or by all of the bits is an error, because the machine's answer would surprise.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, PrimitiveArray},
    datatypes::{
        ArrowPrimitiveType, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type,
        UInt32Type, UInt64Type,
    },
};
use stoadb_engine::{
    EngineError,
    function::{FunctionRegistry, ScalarFunction},
};
use stoadb_storage::LogicalType;

type Result<T> = stoadb_engine::Result<T>;

/// Adds the operators that lowering calls by name.
pub fn register_operators(registry: &mut FunctionRegistry) {
    for (name, op) in [
        ("bit_and_op", BitOp::And),
        ("bit_or_op", BitOp::Or),
        ("bit_xor_op", BitOp::Xor),
        ("shift_left_op", BitOp::ShiftLeft),
        ("shift_right_op", BitOp::ShiftRight),
    ] {
        registry.register(name, Arc::new(op));
    }
}

#[derive(Debug, Clone, Copy)]
enum BitOp {
    And,
    Or,
    Xor,
    ShiftLeft,
    ShiftRight,
}

impl BitOp {
    /// The operator on values that were widened with their sign; the result is cut to `bits` bits by the caller.
    fn apply(self, left: i128, right: i128, bits: u32) -> Result<i128> {
        match self {
            Self::And => return Ok(left & right),
            Self::Or => return Ok(left | right),
            Self::Xor => return Ok(left ^ right),
            Self::ShiftLeft | Self::ShiftRight => {}
        }
        let distance = u32::try_from(right).ok().filter(|&distance| distance < bits);
        let distance = distance.ok_or_else(|| {
            EngineError::Value(format!("cannot shift a value of {bits} bits by {right} bits"))
        })?;
        Ok(match self {
            Self::ShiftLeft => left << distance,
            _ => left >> distance,
        })
    }

    fn run<T>(self, left: &ArrayRef, right: &ArrayRef, rows: usize) -> Result<ArrayRef>
    where
        T: ArrowPrimitiveType,
        T::Native: Into<i128> + TryFrom<i128>,
    {
        let bits = u32::try_from(size_of::<T::Native>() * 8).unwrap_or(u32::MAX);
        let (left, right) = (left.as_primitive::<T>(), right.as_primitive::<T>());
        let at = |array: &PrimitiveArray<T>, row: usize| {
            let row = if array.len() == 1 { 0 } else { row };
            array.is_valid(row).then(|| array.value(row).into())
        };
        let value = |row: usize| match (at(left, row), at(right, row)) {
            (Some(left), Some(right)) => {
                let wide = self.apply(left, right, bits)?;
                let cut = T::Native::try_from(wide).map_err(|_| {
                    EngineError::Value(format!("{left} << {right} is outside of {bits} bits"))
                })?;
                Ok(Some(cut))
            }
            _ => Ok(None),
        };
        let values: PrimitiveArray<T> = (0..rows).map(value).collect::<Result<_>>()?;
        Ok(Arc::new(values))
    }
}

impl ScalarFunction for BitOp {
    fn evaluate(
        &self,
        args: &[ArrayRef],
        _constant: &[bool],
        rows: usize,
        ty: &LogicalType,
    ) -> Result<ArrayRef> {
        let [left, right] = args else {
            return Err(EngineError::Internal(format!("{self:?} of {} operands", args.len())));
        };
        match ty {
            LogicalType::Int8 => self.run::<Int8Type>(left, right, rows),
            LogicalType::Int16 => self.run::<Int16Type>(left, right, rows),
            LogicalType::Int32 => self.run::<Int32Type>(left, right, rows),
            LogicalType::Int64 => self.run::<Int64Type>(left, right, rows),
            LogicalType::UInt8 => self.run::<UInt8Type>(left, right, rows),
            LogicalType::UInt16 => self.run::<UInt16Type>(left, right, rows),
            LogicalType::UInt32 => self.run::<UInt32Type>(left, right, rows),
            LogicalType::UInt64 => self.run::<UInt64Type>(left, right, rows),
            LogicalType::Null => Ok(arrow::array::new_null_array(&ty.to_arrow(), rows)),
            other => Err(EngineError::Internal(format!("{self:?} of {other}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, UInt8Array};

    use super::*;

    fn run(name: &str, left: Vec<Option<i64>>, right: Vec<Option<i64>>) -> Result<ArrayRef> {
        let mut registry = FunctionRegistry::default();
        register_operators(&mut registry);
        let rows = left.len();
        let args: [ArrayRef; 2] =
            [Arc::new(Int64Array::from(left)), Arc::new(Int64Array::from(right))];
        registry.get(name).unwrap().evaluate(&args, &[false, true], rows, &LogicalType::Int64)
    }

    #[test]
    fn test_operators_with_nulls_and_constants() {
        let values = || vec![Some(6), None, Some(-1), Some(i64::MIN)];
        let check = |name: &str, right: Option<i64>, wanted: Vec<Option<i64>>| {
            let found = run(name, values(), vec![right]).unwrap();
            assert_eq!(found.as_primitive::<Int64Type>(), &Int64Array::from(wanted), "{name}");
        };
        check("bit_and_op", Some(3), vec![Some(2), None, Some(3), Some(0)]);
        check("bit_or_op", Some(1), vec![Some(7), None, Some(-1), Some(i64::MIN + 1)]);
        check("bit_xor_op", Some(-1), vec![Some(-7), None, Some(0), Some(i64::MAX)]);
        check("shift_right_op", Some(1), vec![Some(3), None, Some(-1), Some(i64::MIN / 2)]);
        check("bit_and_op", None, vec![None; 4]);
    }

    #[test]
    fn test_shifts_out_of_range_are_errors() {
        assert!(run("shift_left_op", vec![Some(1)], vec![Some(64)]).is_err());
        assert!(run("shift_left_op", vec![Some(1)], vec![Some(-1)]).is_err());
        assert!(run("shift_left_op", vec![Some(3)], vec![Some(62)]).is_err());
        let found = run("shift_left_op", vec![Some(1)], vec![Some(62)]).unwrap();
        assert_eq!(found.as_primitive::<Int64Type>().value(0), 1 << 62);
    }

    #[test]
    fn test_unsigned_bytes_as_grouping_uses_them() {
        let args: [ArrayRef; 2] =
            [Arc::new(UInt8Array::from(vec![5, 255])), Arc::new(UInt8Array::from(vec![2]))];
        let found = BitOp::ShiftRight.evaluate(&args, &[false, true], 2, &LogicalType::UInt8);
        assert_eq!(found.unwrap().as_primitive::<UInt8Type>(), &UInt8Array::from(vec![1, 63]));
    }
}
