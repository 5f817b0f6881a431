//! Functions of moments that the planner library computes in nanoseconds, which hold the years 1677 to 2262 only, and gives
//! NULL or the last of these beyond: here they are of microseconds. What is no such moment is left to the library.
//!
//! Invariant: a moment that a timestamp does not hold is an error, never another moment.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, ListArray, NullBufferBuilder, TimestampMicrosecondArray},
    buffer::OffsetBuffer,
    compute::cast,
    datatypes::{
        DataType, Field, FieldRef, Float64Type, Int64Type, IntervalMonthDayNano,
        IntervalMonthDayNanoType, IntervalUnit, TimeUnit, TimestampMicrosecondType,
    },
};
use chrono::{DateTime, Months};
use datafusion_common::{DataFusionError, Result, config::ConfigOptions, exec_err};
use datafusion_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility, type_coercion::functions::fields_with_udf,
};

const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);
const DAY_MICROS: i64 = 86_400_000_000;

/// The functions of this file.
pub(crate) fn moments(options: &ConfigOptions) -> impl Iterator<Item = Arc<ScalarUDF>> {
    [
        (datafusion_functions::datetime::to_timestamp(options), Kind::Epoch),
        (datafusion_functions_nested::range::range_udf(), Kind::Series { inclusive: false }),
        (datafusion_functions_nested::range::gen_series_udf(), Kind::Series { inclusive: true }),
    ]
    .into_iter()
    .map(|(inner, kind)| {
        let signature = Signature::user_defined(Volatility::Immutable);
        Arc::new(ScalarUDF::new_from_impl(Function { inner, kind, signature }))
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    /// `to_timestamp(seconds)`.
    Epoch,
    /// `range(start, stop, step)` and `generate_series`, which has the end, too.
    Series { inclusive: bool },
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Function {
    inner: Arc<ScalarUDF>,
    kind: Kind,
    signature: Signature,
}

impl Function {
    /// The types that our arguments are cast to; `None` for those of the library.
    fn ours(&self, types: &[DataType]) -> Option<Vec<DataType>> {
        match (self.kind, types) {
            (Kind::Epoch, [seconds]) if seconds.is_integer() => Some(vec![DataType::Int64]),
            (Kind::Epoch, [seconds]) if seconds.is_numeric() => Some(vec![DataType::Float64]),
            (Kind::Series { .. }, [start, stop, step]) => {
                let is_moment = |ty: &DataType| match ty {
                    DataType::Timestamp(unit, zone) => {
                        *unit != TimeUnit::Nanosecond && zone.as_deref().is_none_or(|z| z == "UTC")
                    }
                    _ => false,
                };
                let dates = [start, stop].contains(&&DataType::Date32)
                    && matches!(step, DataType::Interval(_));
                let moment = [start, stop].into_iter().find(|ty| is_moment(ty));
                let moment = moment.or(dates.then_some(&crate::planner::scalars::TIMESTAMP))?;
                let fits = |ty: &DataType| {
                    is_moment(ty) || ty.is_null() || ty.is_string() || *ty == DataType::Date32
                };
                if !fits(start) || !fits(stop) {
                    return None;
                }
                let DataType::Timestamp(_, zone) = moment else { return None };
                let moment = DataType::Timestamp(TimeUnit::Microsecond, zone.clone());
                Some(vec![moment.clone(), moment, INTERVAL])
            }
            _ => None,
        }
    }

    fn result(&self, types: &[DataType]) -> Result<Option<DataType>> {
        Ok(match (self.kind, self.ours(types).as_deref()) {
            (_, None) => None,
            (Kind::Epoch, Some(_)) => Some(zoned()),
            (Kind::Series { .. }, Some(types)) => {
                types.first().map(|ty| DataType::new_list(ty.clone(), true))
            }
        })
    }
}

fn zoned() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

impl ScalarUDFImpl for Function {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        if let Some(types) = self.ours(types) {
            return Ok(types);
        }
        let field = |ty: &DataType| -> FieldRef { Arc::new(Field::new("", ty.clone(), true)) };
        let fields: Vec<FieldRef> = types.iter().map(field).collect();
        let fields = fields_with_udf(&fields, self.inner.as_ref())?;
        Ok(fields.iter().map(|field| field.data_type().clone()).collect())
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match self.result(types)? {
            Some(ty) => Ok(ty),
            None => self.inner.return_type(types),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let types: Vec<DataType> =
            args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        match self.result(&types)? {
            Some(ty) => Ok(Arc::new(Field::new(self.name(), ty, true))),
            None => self.inner.return_field_from_args(args),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let types: Vec<DataType> = args.args.iter().map(ColumnarValue::data_type).collect();
        if self.ours(&types).as_ref() != Some(&types) {
            return self.inner.invoke_with_args(args);
        }
        let arrays = args.args.iter().map(|arg| arg.to_array(args.number_rows));
        let arrays = arrays.collect::<Result<Vec<_>>>()?;
        Ok(ColumnarValue::Array(match (self.kind, arrays.as_slice()) {
            (Kind::Epoch, [seconds]) => from_epoch(seconds)?,
            (Kind::Series { inclusive }, [start, stop, step]) => {
                lists(start, stop, step, inclusive)?
            }
            _ => return exec_err!("{}() has other arguments", self.name()),
        }))
    }
}

/// Moments so many seconds after 1970, to the nearest microsecond.
fn from_epoch(seconds: &ArrayRef) -> Result<ArrayRef> {
    let beyond = |seconds: &dyn std::fmt::Display| {
        exec_err!("{seconds} seconds are beyond what a timestamp holds")
    };
    let micros: TimestampMicrosecondArray = match seconds.data_type() {
        DataType::Int64 => seconds.as_primitive::<Int64Type>().try_unary(|seconds| {
            seconds.checked_mul(1_000_000).map_or_else(|| beyond(&seconds), Ok)
        })?,
        _ => seconds.as_primitive::<Float64Type>().try_unary(|seconds| {
            let micros = (seconds * 1e6).round();
            // The largest double below 2^63 is 1024 less.
            match micros.abs() < 9_223_372_036_854_775_807.0 {
                true => Ok(micros as i64),
                false => beyond(&seconds),
            }
        })?,
    };
    Ok(Arc::new(micros.with_timezone("UTC")))
}

/// A list of moments for each row.
fn lists(start: &ArrayRef, stop: &ArrayRef, step: &ArrayRef, inclusive: bool) -> Result<ArrayRef> {
    let moment = start.data_type();
    let starts = start.as_primitive::<TimestampMicrosecondType>();
    let stops = stop.as_primitive::<TimestampMicrosecondType>();
    let steps = step.as_primitive::<IntervalMonthDayNanoType>();
    let (mut values, mut lengths) = (Vec::new(), Vec::with_capacity(start.len()));
    let mut valid = NullBufferBuilder::new(start.len());
    for row in 0..start.len() {
        let before = values.len();
        let known = [start, stop, step].into_iter().all(|array| array.is_valid(row));
        valid.append(known);
        if known {
            series(starts.value(row), stops.value(row), steps.value(row), inclusive, &mut values)?;
        }
        lengths.push(values.len() - before);
    }
    if i32::try_from(values.len()).is_err() {
        return too_many();
    }
    let item: FieldRef = Arc::new(Field::new_list_field(moment.clone(), true));
    let values = TimestampMicrosecondArray::from(values);
    let values = cast(&values, moment)?;
    let offsets = OffsetBuffer::from_lengths(lengths);
    Ok(Arc::new(ListArray::try_new(item, offsets, values, valid.finish())?))
}

fn too_many<T>() -> Result<T> {
    exec_err!("a series of more than {} values", i32::MAX)
}

/// The moments from `start` to `stop`, each a step after the one before it.
fn series(
    start: i64,
    stop: i64,
    step: IntervalMonthDayNano,
    inclusive: bool,
    values: &mut Vec<i64>,
) -> Result<()> {
    let IntervalMonthDayNano { months, days, nanoseconds } = step;
    let micros = nanoseconds / 1_000;
    let parts = [i64::from(months), i64::from(days), micros];
    let (forth, back) = (parts.iter().any(|part| *part > 0), parts.iter().any(|part| *part < 0));
    if forth == back {
        let what = if forth { "goes forth and back" } else { "is of no microsecond" };
        return exec_err!("a series cannot have a step that {what}");
    }
    let within = |at: i64| match forth {
        true => at < stop || (inclusive && at == stop),
        false => at > stop || (inclusive && at == stop),
    };
    let fixed = i64::from(days).checked_mul(DAY_MICROS).and_then(|days| days.checked_add(micros));
    if let (0, Some(fixed)) = (months, fixed) {
        let count = (i128::from(stop) - i128::from(start)) / i128::from(fixed);
        match usize::try_from(count.max(0)) {
            Ok(count) if count < i32::MAX as usize => {
                values.try_reserve(count + 1).map_err(|error| {
                    DataFusionError::Execution(format!("a series of {count} values: {error}"))
                })?;
            }
            _ => return too_many(),
        }
    }
    let mut at = Some(start);
    // Beyond what a timestamp holds there is no end to reach.
    while let Some(moment) = at.filter(|at| within(*at)) {
        values.push(moment);
        at = match (months, fixed) {
            (0, Some(fixed)) => moment.checked_add(fixed),
            _ => later(moment, months, days, micros),
        };
    }
    Ok(())
}

/// A moment so many months, then days, then microseconds later; `None` where there is no such.
fn later(moment: i64, months: i32, days: i32, micros: i64) -> Option<i64> {
    let date = DateTime::from_timestamp_micros(moment)?;
    let by = Months::new(months.unsigned_abs());
    let moved = if months < 0 { date.checked_sub_months(by) } else { date.checked_add_months(by) };
    let days = i64::from(days).checked_mul(DAY_MICROS)?;
    moved?.timestamp_micros().checked_add(days)?.checked_add(micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(start: &str, stop: &str, step: (i32, i32, i64), inclusive: bool) -> Vec<String> {
        let micros = |text: &str| {
            let moment = chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").unwrap();
            moment.and_utc().timestamp_micros()
        };
        let step = IntervalMonthDayNano::new(step.0, step.1, step.2 * 1_000);
        let mut values = Vec::new();
        series(micros(start), micros(stop), step, inclusive, &mut values).unwrap();
        let text = |micros: i64| DateTime::from_timestamp_micros(micros).unwrap().to_rfc3339();
        values.into_iter().map(|micros| text(micros)[..16].to_owned()).collect()
    }

    #[test]
    fn test_series_of_moments() {
        let day = (0, 1, 0);
        assert_eq!(of("1500-01-01 00:00", "1500-01-03 00:00", day, false).len(), 2);
        assert_eq!(of("1500-01-01 00:00", "1500-01-03 00:00", day, true).len(), 3);
        assert_eq!(of("1500-01-03 00:00", "1500-01-01 00:00", day, true).len(), 0);
        assert_eq!(
            of("2020-03-31 00:00", "2020-01-30 00:00", (-1, 0, 0), true),
            ["2020-03-31T00:00", "2020-02-29T00:00"]
        );
        assert_eq!(
            of("9999-12-31 23:00", "9999-12-31 23:59", (0, 0, 3_600_000_000), true).len(),
            1
        );
        let mut values = Vec::new();
        let mixed = IntervalMonthDayNano::new(1, -1, 0);
        for step in
            [mixed, IntervalMonthDayNano::new(0, 0, 999), IntervalMonthDayNano::new(0, 0, 0)]
        {
            assert!(series(0, 1, step, true, &mut values).is_err());
        }
        assert!(
            series(i64::MIN, i64::MAX, IntervalMonthDayNano::new(0, 0, 1_000), true, &mut values)
                .is_err()
        );
        let years = IntervalMonthDayNano::new(12 * 1_000_000, 0, 0);
        series(0, i64::MAX, years, true, &mut values).unwrap();
        assert_eq!(values, [0]);
    }

    #[test]
    fn test_seconds_since_1970() {
        let of = |seconds: f64| {
            let seconds: ArrayRef = Arc::new(arrow::array::Float64Array::from(vec![seconds]));
            from_epoch(&seconds).map(|m| m.as_primitive::<TimestampMicrosecondType>().value(0))
        };
        assert_eq!(of(1e10).unwrap(), 10_000_000_000_000_000);
        assert_eq!(of(-1.5).unwrap(), -1_500_000);
        assert_eq!(of(0.000_000_6).unwrap(), 1);
        for beyond in [1e13, -1e13, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(of(beyond).is_err(), "{beyond}");
        }
        let whole = |seconds: i64| {
            let seconds: ArrayRef = Arc::new(arrow::array::Int64Array::from(vec![seconds]));
            from_epoch(&seconds).map(|m| m.as_primitive::<TimestampMicrosecondType>().value(0))
        };
        assert_eq!(whole(253_402_300_800).unwrap(), 253_402_300_800_000_000);
        assert!(whole(i64::MAX).is_err());
    }
}
