//! About how many distinct values there are: a HyperLogLog sketch of 2,048 registers (standard error 2.3 %).
//!
//! Invariants: the sketch of a union is the maximum of the sketches, so segments are sketched on their own and merged;
//! values that SQL calls equal hash alike (-0.0 and 0.0, every NaN). Hashes are the same in every process.

use std::hash::BuildHasher;

use arrow::{
    array::{Array, AsArray},
    datatypes::{DataType, Float32Type, Float64Type},
};
use foldhash::fast::FixedState;

const BITS: u32 = 11;
const REGISTERS: usize = 1 << BITS;

/// A sketch of the distinct values that were added.
#[derive(Debug, Clone)]
pub(crate) struct Sketch {
    registers: Box<[u8]>,
}

impl Sketch {
    /// A sketch of nothing.
    pub(crate) fn new() -> Self {
        Self { registers: vec![0; REGISTERS].into() }
    }

    /// The sketch of which these are the registers; `None` when they are not so many.
    pub(crate) fn from_registers(registers: &[u8]) -> Option<Self> {
        (registers.len() == REGISTERS).then(|| Self { registers: registers.into() })
    }

    /// The registers, to be stored.
    pub(crate) fn registers(&self) -> &[u8] {
        &self.registers
    }

    /// Adds a value by its hash.
    fn add(&mut self, hash: u64) {
        let register = &mut self.registers[(hash >> (64 - BITS)) as usize];
        // A one at the end bounds the rank when all other bits are zero.
        #[expect(clippy::cast_possible_truncation, reason = "at most 64")]
        let rank = ((hash << BITS) | (1 << (BITS - 1))).leading_zeros() as u8 + 1;
        *register = (*register).max(rank);
    }

    /// Adds what `other` has seen.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.registers.iter_mut().zip(&other.registers) {
            *mine = (*mine).max(*theirs);
        }
    }

    /// About how many distinct values were added.
    pub(crate) fn estimate(&self) -> u64 {
        let m = REGISTERS as f64;
        let sum: f64 = self.registers.iter().map(|&rank| (-f64::from(rank)).exp2()).sum();
        let raw = 0.7213 / (1.0 + 1.079 / m) * m * m / sum;
        let zeros = self.registers.iter().filter(|&&rank| rank == 0).count();
        // Few values leave registers empty: counting those is more exact then.
        let estimate = if raw <= 2.5 * m && zeros > 0 { m * (m / zeros as f64).ln() } else { raw };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a positive estimate far below 2^64"
        )]
        let rounded = estimate.round() as u64;
        rounded
    }

    /// Adds the values of a canonical array that are not NULL; false when the type has no sketch.
    pub(crate) fn add_array(&mut self, array: &dyn Array) -> bool {
        match array.data_type() {
            DataType::Float32 => {
                let values = array.as_primitive::<Float32Type>().values();
                self.add_each(array, values, |&v| integer(normal(f64::from(v)).to_bits()));
            }
            DataType::Float64 => {
                let values = array.as_primitive::<Float64Type>().values();
                self.add_each(array, values, |&v| integer(normal(v).to_bits()));
            }
            DataType::Boolean => {
                let values = array.as_boolean();
                let truths = [values.true_count(), values.false_count()];
                for (i, _) in truths.iter().enumerate().filter(|(_, count)| **count > 0) {
                    self.add(integer(i as u64));
                }
            }
            DataType::Utf8View => {
                let values = array.as_string_view();
                self.add_bytes(array, |row| values.value(row).as_bytes());
            }
            DataType::BinaryView => {
                let values = array.as_binary_view();
                self.add_bytes(array, |row| values.value(row));
            }
            DataType::Interval(_) => return false,
            ty => {
                let Some(width) = ty.primitive_width() else { return false };
                let data = array.to_data();
                let buffer = &data.buffers()[0];
                match width {
                    1 => self.add_each(array, buffer.as_slice(), |&v| integer(v.into())),
                    2 => self.add_each(array, buffer.typed_data::<u16>(), |&v| integer(v.into())),
                    4 => self.add_each(array, buffer.typed_data::<u32>(), |&v| integer(v.into())),
                    8 => self.add_each(array, buffer.typed_data::<u64>(), |&v| integer(v)),
                    16 => self.add_each(array, buffer.typed_data::<i128>(), |&v| wide(v)),
                    _ => return false,
                }
            }
        }
        true
    }

    fn add_each<T>(&mut self, array: &dyn Array, values: &[T], hash: impl Fn(&T) -> u64) {
        match array.nulls().filter(|nulls| nulls.null_count() > 0) {
            None => values.iter().for_each(|value| self.add(hash(value))),
            Some(nulls) => nulls.valid_indices().for_each(|row| self.add(hash(&values[row]))),
        }
    }

    fn add_bytes<'a>(&mut self, array: &dyn Array, value: impl Fn(usize) -> &'a [u8]) {
        match array.nulls().filter(|nulls| nulls.null_count() > 0) {
            None => (0..array.len()).for_each(|row| self.add(bytes(value(row)))),
            Some(nulls) => nulls.valid_indices().for_each(|row| self.add(bytes(value(row)))),
        }
    }
}

/// One bit pattern for the values that SQL calls equal.
fn normal(value: f64) -> f64 {
    if value.is_nan() { f64::NAN } else { value + 0.0 }
}

fn integer(value: u64) -> u64 {
    let product = u128::from(value ^ 0x9e37_79b9_7f4a_7c15) * u128::from(0xd6e8_feb8_6659_fd93_u64);
    #[expect(clippy::cast_possible_truncation, reason = "the halves of the product are folded")]
    let folded = (product as u64) ^ ((product >> 64) as u64);
    // A second round, for the register comes from the top bits.
    folded.wrapping_mul(0x9fb2_1c65_1e98_df25) ^ (folded >> 32)
}

fn wide(value: i128) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the two halves")]
    let (low, high) = (value as u64, (value >> 64) as u64);
    integer(low ^ integer(high ^ 0x5851_f42d_4c95_7f2d))
}

/// A hash of a text or a blob, the same in every process.
pub(crate) fn bytes(value: &[u8]) -> u64 {
    FixedState::with_seed(0x5eed).hash_one(value)
}

#[cfg(test)]
mod tests {
    use arrow::array::*;

    use super::*;

    fn estimate(array: &dyn Array) -> u64 {
        let mut sketch = Sketch::new();
        assert!(sketch.add_array(array));
        sketch.estimate()
    }

    #[test]
    fn test_estimate_is_within_a_few_percent() {
        for n in [0_i64, 1, 2, 25, 1000, 10_000, 300_000] {
            for step in [1_i64, 1 << 20, 86_400_000_000] {
                let ints = Int64Array::from_iter_values((0..2 * n).map(|i| i % n * step));
                let (got, want) = (estimate(&ints) as f64, n as f64);
                assert!((got - want).abs() <= want * 0.08, "{got} for {n} by {step}");
            }
            let texts: StringViewArray = (0..n).map(|i| Some(format!("value {i}"))).collect();
            let got = estimate(&texts) as f64;
            assert!((got - n as f64).abs() <= n as f64 * 0.08, "{got} for {n} texts");
        }
    }

    #[test]
    fn test_equal_values_count_once_and_nulls_never() {
        let floats = [Some(0.0), Some(-0.0), Some(f64::NAN), Some(-f64::NAN), None];
        assert_eq!(estimate(&Float64Array::from(floats.to_vec())), 2);
        assert_eq!(estimate(&BooleanArray::from(vec![Some(true), None, Some(true)])), 1);
        assert_eq!(estimate(&Decimal128Array::from(vec![Some(-1), Some(1), None])), 2);
    }

    #[test]
    fn test_merge_is_the_union() {
        let sketch = |from: i64, to| {
            let mut sketch = Sketch::new();
            sketch.add_array(&Int64Array::from_iter_values(from..to));
            sketch
        };
        let mut both = sketch(0, 6000);
        both.merge(&sketch(3000, 9000));
        assert_eq!(both.estimate(), sketch(0, 9000).estimate());
    }
}
