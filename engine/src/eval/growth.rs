//! How much a function would make that makes much out of little: `range`, `repeat`, `lpad`, ...
//!
//! Invariants: what a call makes is estimated from its arguments before anything is made; a call that would make more than
//! one call may fails, and names the function. Estimates are of bytes, exact up to small factors.
//! Next: `compile.rs`, which puts the check in front of such functions.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray},
    compute::{self, CastOptions},
    datatypes::{DataType, Int64Type, IntervalMonthDayNanoType, TimeUnit},
};
use stoadb_storage::LogicalType;

use crate::{
    context::QueryContext,
    error::{EngineError, Result},
    function::ScalarFunction,
    kernel::text::MAX_BYTES,
};

/// Most bytes that one call may make.
pub(super) fn most_bytes(context: &QueryContext) -> u64 {
    context.settings().memory_limit.min(MAX_BYTES as u64)
}

/// Whether a function of that name makes much out of little.
pub(super) fn grows(name: &str) -> bool {
    matches!(
        name,
        "range"
            | "generate_series"
            | "gen_series"
            | "repeat"
            | "lpad"
            | "rpad"
            | "replace"
            | "array_repeat"
            | "list_repeat"
            | "array_resize"
            | "list_resize"
    )
}

/// A function from outside with the check in front.
pub(super) struct Bounded {
    pub(super) name: Arc<str>,
    pub(super) inner: Arc<dyn ScalarFunction>,
    pub(super) most_bytes: u64,
}

impl ScalarFunction for Bounded {
    fn evaluate(
        &self,
        args: &[ArrayRef],
        constant: &[bool],
        rows: usize,
        ty: &LogicalType,
    ) -> Result<ArrayRef> {
        check(&self.name, args, constant, rows, self.most_bytes)?;
        self.inner.evaluate(args, constant, rows, ty)
    }

    fn is_pure(&self) -> bool {
        self.inner.is_pure()
    }
}

/// Fails when a call would make more than `most_bytes`. Arguments are as `ScalarFunction::evaluate` gets them.
///
/// # Errors
/// `OutOfMemory`, naming the function.
pub(super) fn check(
    name: &str,
    args: &[ArrayRef],
    constant: &[bool],
    rows: usize,
    most_bytes: u64,
) -> Result<()> {
    let bytes = estimate(name, args, constant, rows)?;
    if bytes <= u128::from(most_bytes) {
        return Ok(());
    }
    let limit = match most_bytes == MAX_BYTES as u64 {
        true => "1 GiB, the most that one call may".to_owned(),
        false => format!("the {most_bytes} bytes of SET memory_limit"),
    };
    Err(EngineError::OutOfMemory(format!(
        "out of memory: {name}() would make more than {limit} (about {bytes} bytes)"
    )))
}

fn estimate(name: &str, args: &[ArrayRef], constant: &[bool], rows: usize) -> Result<u128> {
    let argument = |position: usize| -> Option<Argument<'_>> {
        let array = args.get(position)?;
        Some(Argument { array, constant: constant.get(position).copied().unwrap_or(false) })
    };
    let (Some(first), second) = (argument(0), argument(1)) else { return Ok(0) };
    Ok(match (name, second) {
        ("range" | "generate_series" | "gen_series", _) => series(args, constant, rows)?,
        ("repeat", Some(count)) => {
            let (bytes, counts) = (first.bytes()?, count.integers()?);
            total(rows, |row| bytes.at(row).saturating_mul(counts.at(row)))
        }
        ("lpad" | "rpad", Some(length)) => {
            let (bytes, lengths) = (first.bytes()?, length.integers()?);
            // Only fills of several bytes make a character longer than one.
            let wide = argument(2).map_or(Ok(1), |fill| fill.widest_character())?;
            total(rows, |row| lengths.at(row).saturating_mul(wide).max(bytes.at(row).min(4)))
        }
        ("replace", Some(from)) => {
            let Some(to) = argument(2) else { return Ok(0) };
            let (bytes, from, to) = (first.bytes()?, from.bytes()?, to.bytes()?);
            let most = |row: usize| match from.at(row) {
                0 => bytes.at(row),
                from => (bytes.at(row) / from).saturating_mul(to.at(row)).max(bytes.at(row)),
            };
            // What is found is not known yet; the kernel counts while it writes, up to its own limit.
            if total(rows, most) <= MAX_BYTES as u128 { total(rows, most) } else { 0 }
        }
        ("array_repeat" | "list_repeat", Some(count)) => {
            let (bytes, counts) = (first.bytes()?, count.integers()?);
            total(rows, |row| bytes.at(row).max(1).saturating_mul(counts.at(row)))
        }
        ("array_resize" | "list_resize", Some(length)) => {
            let lengths = length.integers()?;
            total(rows, |row| lengths.at(row).saturating_mul(8))
        }
        _ => 0,
    })
}

fn total(rows: usize, bytes: impl Fn(usize) -> u128) -> u128 {
    (0..rows).fold(0, |all, row| all.saturating_add(bytes(row)))
}

/// Eight bytes for each value from start to stop.
fn series(args: &[ArrayRef], constant: &[bool], rows: usize) -> Result<u128> {
    let at = |position: usize| Argument {
        array: &args[position],
        constant: constant.get(position).copied().unwrap_or(false),
    };
    let (start, stop, step) = match args.len() {
        1 => (None, at(0).moments()?, None),
        2 => (Some(at(0).moments()?), at(1).moments()?, None),
        _ => (Some(at(0).moments()?), at(1).moments()?, Some(at(2).steps()?)),
    };
    Ok(total(rows, |row| {
        let start = start.as_ref().map_or(Some(0), |start| start.get(row));
        let step = step.as_ref().map_or(Some(1), |step| step.get(row));
        let (Some(start), Some(stop), Some(step)) = (start, stop.get(row), step) else { return 0 };
        let span = if step < 0 { start.saturating_sub(stop) } else { stop.saturating_sub(start) };
        match step.unsigned_abs() {
            0 => 0,
            step => (span.max(-1) + 1).unsigned_abs().div_ceil(step).saturating_mul(8),
        }
    }))
}

/// One argument: a value per row, or one in all.
#[derive(Clone, Copy)]
struct Argument<'a> {
    array: &'a ArrayRef,
    constant: bool,
}

/// Whole numbers per row; `None` for NULL.
struct Numbers {
    values: Vec<Option<i128>>,
    constant: bool,
}

impl Numbers {
    fn get(&self, row: usize) -> Option<i128> {
        self.values.get(if self.constant { 0 } else { row }).copied().flatten()
    }

    /// The number, 0 for NULL and below.
    fn at(&self, row: usize) -> u128 {
        self.get(row).map_or(0, |number| number.max(0).unsigned_abs())
    }
}

impl Argument<'_> {
    fn numbers(self, values: Vec<Option<i128>>) -> Numbers {
        Numbers { values, constant: self.constant }
    }

    /// Whole numbers of any width.
    fn integers(self) -> Result<Numbers> {
        let options = CastOptions { safe: true, ..CastOptions::default() };
        let wide = compute::cast_with_options(self.array, &DataType::Decimal128(38, 0), &options);
        let Ok(wide) = wide else { return Ok(self.numbers(vec![None; self.array.len()])) };
        let wide = wide.as_primitive::<arrow::datatypes::Decimal128Type>();
        Ok(self.numbers(wide.iter().collect()))
    }

    /// Whole numbers, or dates and times in nanoseconds.
    fn moments(self) -> Result<Numbers> {
        let to = DataType::Timestamp(TimeUnit::Microsecond, None);
        match self.array.data_type() {
            DataType::Date32 | DataType::Date64 | DataType::Timestamp(..) => {
                let micros = compute::cast(&compute::cast(self.array, &to)?, &DataType::Int64)?;
                let micros = micros.as_primitive::<Int64Type>().iter();
                Ok(self.numbers(micros.map(|micros| Some(i128::from(micros?) * 1000)).collect()))
            }
            _ => self.integers(),
        }
    }

    /// Whole numbers, or intervals in nanoseconds; months are taken for 28 days.
    fn steps(self) -> Result<Numbers> {
        const DAY: i128 = 86_400_000_000_000;
        let Some(steps) = self.array.as_primitive_opt::<IntervalMonthDayNanoType>() else {
            return self.integers();
        };
        let nanos = steps.iter().map(|step| {
            let step = step?;
            let days = i128::from(step.months) * 28 + i128::from(step.days);
            Some(days * DAY + i128::from(step.nanoseconds))
        });
        Ok(self.numbers(nanos.collect()))
    }

    /// Bytes of the values.
    fn bytes(self) -> Result<Numbers> {
        let length = |row: usize| -> Result<Option<i128>> {
            let bytes = match self.array.data_type() {
                DataType::Utf8View => self.array.as_string_view().value(row).len(),
                DataType::BinaryView => self.array.as_binary_view().value(row).len(),
                _ => self.array.slice(row, 1).to_data().get_slice_memory_size()?,
            };
            Ok(Some(bytes as i128))
        };
        let values = (0..self.array.len()).map(length).collect::<Result<_>>()?;
        Ok(self.numbers(values))
    }

    /// Most bytes of a character of a text.
    fn widest_character(self) -> Result<u128> {
        let Some(texts) = self.array.as_string_view_opt() else { return Ok(1) };
        let widest = texts.iter().flatten().flat_map(str::chars).map(char::len_utf8).max();
        Ok(widest.unwrap_or(1) as u128)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{
        Date32Array, Int64Array, IntervalMonthDayNanoArray, StringViewArray, UInt64Array,
    };
    use arrow::datatypes::IntervalMonthDayNano;

    use super::*;

    fn ints(values: &[Option<i64>]) -> ArrayRef {
        Arc::new(Int64Array::from(values.to_vec()))
    }

    fn texts(values: &[&str]) -> ArrayRef {
        Arc::new(StringViewArray::from_iter_values(values))
    }

    #[test]
    fn test_estimates_follow_the_arguments() {
        let one = |name: &str, args: &[ArrayRef]| {
            estimate(name, args, &vec![false; args.len()], args[0].len()).unwrap()
        };
        assert_eq!(one("range", &[ints(&[Some(10), None, Some(-5)])]), 8 * 11);
        assert_eq!(one("range", &[ints(&[Some(0)]), ints(&[Some(99)]), ints(&[Some(10)])]), 80);
        assert_eq!(one("range", &[ints(&[Some(99)]), ints(&[Some(0)]), ints(&[Some(-1)])]), 800);
        assert_eq!(one("range", &[ints(&[Some(0)]), ints(&[Some(9)]), ints(&[Some(0)])]), 0);
        assert!(one("range", &[ints(&[Some(i64::MIN)]), ints(&[Some(i64::MAX)])]) > 1 << 66);
        let huge: ArrayRef = Arc::new(UInt64Array::from(vec![u64::MAX]));
        assert_eq!(one("repeat", &[texts(&["ab"]), huge]), 2 * u128::from(u64::MAX));
        assert_eq!(one("repeat", &[texts(&["ab", "c"]), ints(&[None, Some(3)])]), 3);
        assert_eq!(one("lpad", &[texts(&["ab"]), ints(&[Some(9)]), texts(&["\u{20ac}"])]), 27);
        assert_eq!(one("replace", &[texts(&["aaaa"]), texts(&["aa"]), texts(&["12345"])]), 10);
        let days: ArrayRef = Arc::new(Date32Array::from(vec![0]));
        let later: ArrayRef = Arc::new(Date32Array::from(vec![9]));
        let step = IntervalMonthDayNano::new(0, 1, 0);
        let step: ArrayRef = Arc::new(IntervalMonthDayNanoArray::from(vec![step]));
        assert_eq!(one("generate_series", &[days, later, step]), 80);
        let constant = estimate("repeat", &[texts(&["ab"]), ints(&[Some(2)])], &[true, true], 5);
        assert_eq!(constant.unwrap(), 20);
    }

    #[test]
    fn test_a_call_beyond_the_budget_is_refused_by_name() {
        let args = [texts(&["x"]), ints(&[Some(1000)])];
        check("repeat", &args, &[false, false], 1, 1000).unwrap();
        let error = check("repeat", &args, &[false, false], 1, 999).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, EngineError::OutOfMemory(_)), "{text}");
        assert!(text.contains("repeat()") && text.contains("memory_limit"), "{text}");
        let args = [texts(&["x"]), ints(&[Some(1 << 40)])];
        let error = check("repeat", &args, &[false, false], 1, 1 << 30).unwrap_err().to_string();
        assert!(error.contains("1 GiB"), "{error}");
    }
}
