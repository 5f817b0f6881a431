//! `IN (values)`: the values in a form that is quick to ask, built once.
//!
//! Invariant: three-valued: a row that matches nothing is NULL when the list holds a NULL; floats match as comparisons
//! do (NaN = NaN, -0.0 = 0.0). Next: `compare.rs`, for types without a set of their own.

use arrow::{
    array::BooleanArray,
    buffer::{BooleanBuffer, NullBuffer},
};
use hashbrown::HashSet;
use stoadb_storage::{LogicalType, Scalar, Vector};

use crate::{
    error::Result,
    expr::CompareOp,
    kernel::{
        arity::{bits, pack_flags, union_nulls},
        compare::compare,
        decimal::{Decimals, Unscaled},
        physical::{
            Bytes, Physical, boolean_vector, booleans, column, column_i64, with_number,
            with_offsets,
        },
    },
};

type Set<T> = HashSet<T, foldhash::fast::RandomState>;

/// Up to so many values are compared one after the other.
const FEW: usize = 8;
/// A bitmap may have so many bits per value.
const BITS_PER_VALUE: i128 = 256;

/// The values of an IN list.
pub(crate) struct InList {
    values: Values,
    has_null: bool,
}

enum Values {
    Few(Vec<i64>),
    Bitmap { least: i64, bits: Vec<bool> },
    Integers(Set<i64>),
    Wide(Set<i128>),
    Floats(Set<u64>),
    Bytes(Set<Box<[u8]>>),
    Others(Vec<Scalar>),
}

impl InList {
    /// The list for inputs of a type.
    pub(crate) fn new(list: &[Scalar], ty: &LogicalType) -> Self {
        let present = || list.iter().filter(|value| !value.is_null());
        let has_null = present().count() < list.len();
        let values = match Physical::of(ty) {
            Physical::F32 | Physical::F64 => Values::Floats(
                present().filter_map(|value| value.as_f64().map(float_key)).collect(),
            ),
            Physical::Bytes => Values::Bytes(
                present().filter_map(|value| value.as_bytes().map(Box::from)).collect(),
            ),
            Physical::Bool | Physical::Interval | Physical::Other => {
                Values::Others(present().cloned().collect())
            }
            _ => integers(present().filter_map(Scalar::as_i128).collect()),
        };
        Self { values, has_null }
    }

    /// Which rows of the input are in the list.
    pub(crate) fn test(&self, input: &Vector, rows: usize, negated: bool) -> Result<Vector> {
        let (found, nulls) = match &self.values {
            Values::Others(values) => {
                let mut found = BooleanBuffer::new_unset(rows);
                for value in values {
                    let value = Vector::Constant { value: value.clone(), rows };
                    let equal = booleans(&compare(CompareOp::Eq, input, &value, rows)?)?;
                    found = &found | equal.values();
                }
                (found, input.nulls())
            }
            Values::Bytes(set) => {
                let bytes = Bytes::new(input)?;
                (
                    BooleanBuffer::collect_bool(rows, |row| set.contains(bytes.get(row))),
                    input.nulls(),
                )
            }
            Values::Floats(set) => with_number!(Physical::of(&input.ty()?), T => {
                let column = column::<T>(input)?;
                let found = |row| set.contains(&float_key(column.get(row) as f64));
                (BooleanBuffer::collect_bool(rows, found), column.nulls.clone())
            }, _ => (BooleanBuffer::new_unset(rows), input.nulls())),
            _ => (self.integers(input, rows)?, input.nulls()),
        };
        let nulls = match self.has_null {
            true => union_nulls(nulls.as_ref(), Some(&NullBuffer::new(found.clone()))),
            false => nulls,
        };
        let bits = if negated { !&found } else { found };
        Ok(boolean_vector(BooleanArray::new(bits, nulls)))
    }

    fn integers(&self, input: &Vector, rows: usize) -> Result<BooleanBuffer> {
        if let Vector::Narrow(narrow) = input {
            return Ok(with_offsets!(narrow.offsets, offsets => self.search(offsets, narrow.base)));
        }
        let physical = Physical::of(&input.ty()?);
        if physical == Physical::I128 {
            let decimals = Decimals::new(input)?;
            return Ok(match &decimals.values {
                Unscaled::Small(column) if !column.constant => self.search(&column.values, 0),
                _ => BooleanBuffer::collect_bool(rows, |row| self.has_wide(decimals.get(row))),
            });
        }
        if physical == Physical::I64 {
            let column = column_i64(input)?;
            if !column.constant {
                return Ok(self.search(&column.values, 0));
            }
        }
        with_number!(physical, T => {
            let column = column::<T>(input)?;
            Ok(BooleanBuffer::collect_bool(rows, |row| self.has_wide(column.get(row) as i128)))
        }, _ => Ok(BooleanBuffer::new_unset(rows)))
    }

    /// Which offsets from a base are in the list: few values are brought into the domain of the offsets first.
    fn search<T>(&self, offsets: &[T], base: i64) -> BooleanBuffer
    where
        T: Copy + PartialEq + TryFrom<i128> + Into<i64>,
    {
        match &self.values {
            Values::Few(list) => {
                let offset = |&value: &i64| T::try_from(i128::from(value) - i128::from(base)).ok();
                let list: Vec<T> = list.iter().filter_map(offset).collect();
                any_of(offsets, &list)
            }
            _ => bits(offsets, |offset| self.has(base.wrapping_add(offset.into()))),
        }
    }

    fn has(&self, value: i64) -> bool {
        match &self.values {
            Values::Few(list) => list.contains(&value),
            Values::Bitmap { least, bits } => usize::try_from(value.wrapping_sub(*least))
                .is_ok_and(|at| value >= *least && bits.get(at) == Some(&true)),
            Values::Integers(set) => set.contains(&value),
            Values::Wide(set) => set.contains(&i128::from(value)),
            _ => false,
        }
    }

    fn has_wide(&self, value: i128) -> bool {
        match (&self.values, i64::try_from(value)) {
            (Values::Wide(set), _) => set.contains(&value),
            (_, Ok(value)) => self.has(value),
            _ => false,
        }
    }
}

/// Which values equal one of a few others.
fn any_of<T: Copy + PartialEq>(values: &[T], others: &[T]) -> BooleanBuffer {
    pack_flags(values.len(), |first, flags| {
        for &other in others {
            for (&value, flag) in values[first..].iter().zip(&mut *flags) {
                *flag |= u8::from(value == other);
            }
        }
    })
}

fn integers(list: Vec<i128>) -> Values {
    let narrow: Result<Vec<i64>, _> = list.iter().map(|&value| i64::try_from(value)).collect();
    let Ok(narrow) = narrow else { return Values::Wide(list.into_iter().collect()) };
    if narrow.len() <= FEW {
        return Values::Few(narrow);
    }
    let least = narrow.iter().copied().min().unwrap_or(0);
    let most = narrow.iter().copied().max().unwrap_or(0);
    let span = i128::from(most) - i128::from(least) + 1;
    if span <= BITS_PER_VALUE * narrow.len() as i128 {
        let mut bits = vec![false; usize::try_from(span).unwrap_or(0)];
        for value in narrow {
            if let Some(bit) = bits.get_mut((value - least) as usize) {
                *bit = true;
            }
        }
        return Values::Bitmap { least, bits };
    }
    Values::Integers(narrow.into_iter().collect())
}

/// Equal bits for equal floats.
fn float_key(value: f64) -> u64 {
    if value.is_nan() { f64::NAN.to_bits() } else { (value + 0.0).to_bits() }
}
