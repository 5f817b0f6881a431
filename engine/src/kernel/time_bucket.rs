//! `time_bucket(width, moment [, origin or offset])`, which is `date_bin` as well, and `date_trunc` of intervals.
//!
//! Invariants: buckets are counted from an origin: 2000-01-03, a Monday, or 2000-01-01 where the width is in months, unless
//! another one is given; of an origin, widths in months take the month alone. A timestamp with a zone is counted in its
//! zone's local time. What is constant is worked out once a vector. Next: `calendar.rs`.

use arrow::datatypes::IntervalMonthDayNano;
use stoadb_storage::{LogicalType, TimeUnit, Vector};

use crate::{
    error::{EngineError, Result},
    kernel::{
        arity::{fallible, union_nulls},
        calendar::{Clock, DAY_NANOS, civil, days_of},
        date_part::Field,
        physical::{Column, column, column_i64, is_constant_null, null_vector},
        temporal::{negate_interval, shift_timestamp},
    },
};

/// 2000-01-03 as days since 1970.
const MONDAY: i64 = 10_959;
/// Months of 2000-01 since year 0.
const JANUARY: i64 = 24_000;
const DAY_MICROS: i64 = DAY_NANOS / 1_000;

/// Where buckets begin and how long they are, in local units of the moments.
#[derive(Clone, Copy)]
enum Bucket {
    /// So many months from a month, both counted from year 0.
    Months { width: i64, origin: i64 },
    /// So many units from a moment.
    Units { width: i64, origin: i64 },
    /// So many nanoseconds, of which a unit has several, from a moment in units.
    Nanos { width: i128, origin: i64 },
}

impl Bucket {
    /// Of a width and an origin in local units.
    fn new(width: IntervalMonthDayNano, origin: Option<i64>, clock: Clock) -> Result<Self> {
        let value = |message: &str| Err(EngineError::Value(message.into()));
        let nanos = i128::from(width.days) * i128::from(DAY_NANOS) + i128::from(width.nanoseconds);
        if width.months != 0 && nanos != 0 {
            return value("a width is in months and years or in days and time, not in both");
        }
        if width.months < 0 || nanos < 0 || width.months == 0 && nanos == 0 {
            return value("the width of a time bucket must be greater than 0");
        }
        if width.months > 0 {
            let month = |origin: i64| month_of(clock.split(origin).0);
            return Ok(Self::Months {
                width: width.months.into(),
                origin: origin.map_or(JANUARY, month),
            });
        }
        let origin = match origin {
            Some(origin) => origin,
            None => clock.join(MONDAY, 0).ok_or_else(out_of_range)?,
        };
        let unit = i128::from(1_000_000_000 / clock.per_second);
        if nanos % unit != 0 {
            return Ok(Self::Nanos { width: nanos, origin });
        }
        // More units than there are moments: all on one side of the origin are in one bucket.
        let width = i64::try_from(nanos / unit).unwrap_or(i64::MAX);
        Ok(Self::Units { width, origin })
    }

    /// Where the bucket of a local moment begins.
    #[inline]
    fn begin(self, local: i64, clock: Clock) -> Option<i64> {
        match self {
            Self::Units { width, origin } => match local.checked_sub(origin) {
                Some(distance) => local.checked_sub(distance.rem_euclid(width)),
                None => {
                    let distance = i128::from(local) - i128::from(origin);
                    let within = distance.rem_euclid(i128::from(width));
                    i64::try_from(i128::from(local) - within).ok()
                }
            },
            Self::Months { width, origin } => {
                let distance = month_of(clock.split(local).0) - origin;
                let month = origin + distance.div_euclid(width) * width;
                let first = days_of(month.div_euclid(12), month.rem_euclid(12) as u32 + 1, 1);
                clock.join(first, 0)
            }
            Self::Nanos { width, origin } => {
                let unit = i128::from(1_000_000_000 / clock.per_second);
                let (local, origin) = (i128::from(local) * unit, i128::from(origin) * unit);
                let begin = local - (local - origin).rem_euclid(width);
                i64::try_from(begin.div_euclid(unit)).ok()
            }
        }
    }

    /// Whether buckets are shorter than days, so that instants rather than local times are counted off.
    fn is_short(self, clock: Clock) -> bool {
        match self {
            Self::Months { .. } => false,
            Self::Units { width, .. } => width < clock.per_day(),
            Self::Nanos { .. } => true,
        }
    }
}

/// Months since year 0.
fn month_of(day: i64) -> i64 {
    let (year, month, _) = civil(day);
    year * 12 + i64::from(month) - 1
}

fn out_of_range() -> EngineError {
    EngineError::Value("time_bucket is out of range".into())
}

/// A date is counted by its first microsecond.
fn units(moment: &Vector) -> Result<Column<i64>> {
    if moment.ty()? != LogicalType::Date {
        return column_i64(moment);
    }
    let dates = column::<i32>(moment)?;
    let values = dates.values.iter().map(|&day| i64::from(day) * DAY_MICROS).collect();
    Ok(Column { values, nulls: dates.nulls, constant: dates.constant })
}

/// `time_bucket(width, moment)`, `time_bucket(width, moment, origin)` with an origin of the moment's type,
/// `time_bucket(width, moment, offset)` with an interval. The result has the moment's type.
pub(crate) fn time_bucket(args: &[Vector], rows: usize, ty: &LogicalType) -> Result<Vector> {
    if args.iter().any(is_constant_null) {
        return Ok(null_vector(ty, rows));
    }
    let [width, moment, rest @ ..] = args else {
        return Err(EngineError::Internal("time_bucket of a width and a moment".into()));
    };
    let clock = match ty {
        LogicalType::Timestamp(unit, zone) => Clock::new(*unit, zone.as_deref())?,
        _ => Clock::new(TimeUnit::Microsecond, None)?,
    };
    let (widths, moments) = (column::<IntervalMonthDayNano>(width)?, units(moment)?);
    let mut nulls = union_nulls(widths.nulls.as_ref(), moments.nulls.as_ref());
    let (mut origins, mut offsets) = (None, None);
    match rest {
        [] => {}
        [offset] if offset.ty()? == LogicalType::Interval => {
            let column = column::<IntervalMonthDayNano>(offset)?;
            nulls = union_nulls(nulls.as_ref(), column.nulls.as_ref());
            offsets = Some(column);
        }
        [origin, ..] => {
            let column = units(origin)?;
            nulls = union_nulls(nulls.as_ref(), column.nulls.as_ref());
            origins = Some(column);
        }
    }
    let bucket = |row: usize| {
        let origin = origins.as_ref().map(|origins| clock.local(origins.get(row)));
        let origin = origin.map(|origin| origin.ok_or_else(out_of_range)).transpose()?;
        Bucket::new(widths.get(row), origin, clock)
    };
    let constant = widths.constant && origins.as_ref().is_none_or(|origins| origins.constant);
    let is_empty = nulls.as_ref().is_some_and(|nulls| nulls.null_count() == rows) || rows == 0;
    let known = (constant && !is_empty).then(|| bucket(0)).transpose()?;
    let begin = |row: usize| -> Result<i64> {
        let bucket = match known {
            Some(bucket) => bucket,
            None => bucket(row)?,
        };
        let offset = offsets.as_ref().map(|offsets| offsets.get(row));
        begin_of(bucket, moments.get(row), offset, clock).ok_or_else(out_of_range)
    };
    match ty {
        LogicalType::Date => fallible(rows, ty, nulls, |row| {
            i32::try_from(begin(row)?.div_euclid(DAY_MICROS)).map_err(|_| out_of_range())
        }),
        _ => fallible(rows, ty, nulls, begin),
    }
}

/// Where the bucket of a stored moment begins, as a stored moment.
#[inline]
fn begin_of(
    bucket: Bucket,
    value: i64,
    offset: Option<IntervalMonthDayNano>,
    clock: Clock,
) -> Option<i64> {
    if let Some(offset) = offset {
        let back = shift_timestamp(clock, value, negate_interval(offset)?)?;
        return shift_timestamp(clock, begin_of(bucket, back, None, clock)?, offset);
    }
    let local = clock.local(value)?;
    let begin = bucket.begin(local, clock)?;
    if clock.zone.is_none() {
        return Some(begin);
    }
    if bucket.is_short(clock) {
        // Taken from the instant, so that a repeated hour stays the one that it is.
        return value.checked_sub(local.checked_sub(begin)?);
    }
    clock.stored(begin)
}

/// `date_trunc(field, interval)`: what is smaller than the field becomes 0; months, days and time are not mixed.
pub(crate) fn truncate_interval(field: Field, interval: &Vector, rows: usize) -> Result<Vector> {
    let ty = LogicalType::Interval;
    if is_constant_null(interval) {
        return Ok(null_vector(&ty, rows));
    }
    let months = match field {
        Field::Millennium => 12_000,
        Field::Century => 1_200,
        Field::Decade => 120,
        Field::Year | Field::IsoYear => 12,
        Field::Quarter => 3,
        _ => 1,
    };
    let nanos = match field {
        Field::Hour => 3_600_000_000_000,
        Field::Minute => 60_000_000_000,
        Field::Second | Field::Epoch => 1_000_000_000,
        Field::Millisecond => 1_000_000,
        Field::Microsecond => 1_000,
        Field::Nanosecond => 1,
        _ => i64::MAX,
    };
    let days = match field {
        Field::Week => 7,
        Field::Day | Field::DayOfWeek | Field::IsoDayOfWeek | Field::DayOfYear => 1,
        _ if nanos < i64::MAX => 1,
        _ => i32::MAX,
    };
    let values = column::<IntervalMonthDayNano>(interval)?;
    fallible(rows, &ty, values.nulls.clone(), |row| {
        let value = values.get(row);
        let down = |value: i32, step: i32| if step == i32::MAX { 0 } else { value / step * step };
        Ok(IntervalMonthDayNano {
            months: value.months / months * months,
            days: down(value.days, days),
            nanoseconds: if nanos == i64::MAX { 0 } else { value.nanoseconds / nanos * nanos },
        })
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::{
        array::{
            Array, AsArray, Date32Array, IntervalMonthDayNanoArray, TimestampMicrosecondArray,
            TimestampSecondArray,
        },
        datatypes::{
            Date32Type, IntervalMonthDayNanoType, TimestampMicrosecondType, TimestampSecondType,
        },
    };
    use stoadb_storage::Scalar;

    use super::*;
    use crate::kernel::testing::{Random, encodings};

    const MICROS: LogicalType = LogicalType::Timestamp(TimeUnit::Microsecond, None);

    fn width(months: i32, days: i32, nanoseconds: i64) -> Vector {
        let width = IntervalMonthDayNano { months, days, nanoseconds };
        let width = Scalar::from_array(&IntervalMonthDayNanoArray::from(vec![width]), 0).unwrap();
        Vector::constant(width, 1)
    }

    fn times(values: &[Option<i64>]) -> Vector {
        Vector::Flat(Arc::new(TimestampMicrosecondArray::from(values.to_vec())))
    }

    fn micros(args: &[Vector], rows: usize) -> Vec<Option<i64>> {
        let result = time_bucket(args, rows, &MICROS).unwrap().flatten().unwrap();
        result.as_primitive::<TimestampMicrosecondType>().iter().collect()
    }

    #[test]
    fn test_buckets_hold_their_moments_and_lie_on_the_grid() {
        let mut random = Random::new(1);
        let spread = 400 * 365 * DAY_MICROS as u64;
        let values: Vec<i64> =
            (0..300).map(|_| random.below(spread) as i64 - spread as i64 / 2).collect();
        let moments = times(&values.iter().copied().map(Some).collect::<Vec<_>>());
        for (days, nanos) in
            [(0, 1_000), (0, 90_000_000_000), (1, 0), (7, 0), (1, 43_200_000_000_000)]
        {
            let step = i64::from(days) * DAY_MICROS + nanos / 1_000;
            for origin in [None, Some(12_345), Some(-77 * DAY_MICROS - 1)] {
                let mut args = vec![width(0, days, nanos), moments.clone()];
                args.extend(origin.map(|origin| times(&[Some(origin); 300])));
                let found = micros(&args, 300);
                for (found, &value) in found.into_iter().zip(&values) {
                    let found = found.unwrap();
                    assert!(found <= value && value - found < step, "{value}: {found}");
                    let origin = origin.unwrap_or(MONDAY * DAY_MICROS);
                    assert_eq!((found - origin) % step, 0, "{value}: {found}");
                }
            }
        }
        for months in [1, 2, 5, 12, 1200] {
            let found = micros(&[width(months, 0, 0), moments.clone()], 300);
            for (found, &value) in found.into_iter().zip(&values) {
                let (year, month, day) = civil(found.unwrap().div_euclid(DAY_MICROS));
                assert_eq!((day, found.unwrap() % DAY_MICROS), (1, 0));
                let (of_year, of_month, _) = civil(value.div_euclid(DAY_MICROS));
                let (begin, at) =
                    (year * 12 + i64::from(month), of_year * 12 + i64::from(of_month));
                assert!(begin <= at && at - begin < i64::from(months));
                assert_eq!((begin - 24_001) % i64::from(months), 0);
            }
        }
    }

    #[test]
    fn test_every_encoding_nulls_and_widths_by_row() {
        let mut random = Random::new(2);
        let days: Vec<Option<i32>> =
            (0..40).map(|i| (i % 7 != 0).then_some(i * 13 % 50 + 10_000)).collect();
        let array: arrow::array::ArrayRef = Arc::new(Date32Array::from(days.clone()));
        for moments in encodings(&array, &mut random) {
            let given = moments.flatten().unwrap();
            let args = [width(0, 7, 0), moments];
            let found = time_bucket(&args, 40, &LogicalType::Date).unwrap().flatten().unwrap();
            let (found, given) =
                (found.as_primitive::<Date32Type>(), given.as_primitive::<Date32Type>());
            for row in 0..40 {
                assert_eq!(found.is_null(row), given.is_null(row));
                let day = given.value(row);
                assert!(found.is_null(row) || found.value(row) == day - (day + 3) % 7);
            }
        }
        let widths = IntervalMonthDayNanoArray::from(vec![
            Some(IntervalMonthDayNano::new(1, 0, 0)),
            None,
            Some(IntervalMonthDayNano::new(0, 0, 60_000_000_000)),
        ]);
        let moments = times(&[Some(61_000_001); 3]);
        let found = micros(&[Vector::Flat(Arc::new(widths)), moments], 3);
        assert_eq!(found, [Some(0), None, Some(60_000_000)]);
        let null = Vector::constant(Scalar::null(LogicalType::Interval), 3);
        assert_eq!(micros(&[null, times(&[Some(1); 3])], 3), [None; 3]);
        assert_eq!(micros(&[width(0, 1, 0), times(&[])], 0), []);
    }

    #[test]
    fn test_extremes_zones_and_finer_widths() {
        let hour = [width(0, 0, 3_600_000_000_000), times(&[Some(i64::MAX)])];
        let found = micros(&hour, 1)[0].unwrap();
        assert!(i64::MAX - found < 3_600_000_000);
        let low = time_bucket(&[width(0, 7, 0), times(&[Some(i64::MIN)])], 1, &MICROS);
        assert!(low.unwrap_err().to_string().contains("out of range"));
        // 1.5 seconds over whole seconds: 0, 1 (from 1.5), 3.
        let ty = LogicalType::Timestamp(TimeUnit::Second, None);
        let seconds =
            |values: Vec<i64>| Vector::Flat(Arc::new(TimestampSecondArray::from(values)) as _);
        let args = [width(0, 0, 1_500_000_000), seconds(vec![0, 1, 2, 3, 4]), seconds(vec![0; 5])];
        let found = time_bucket(&args, 5, &ty).unwrap().flatten().unwrap();
        let found = found.as_primitive::<TimestampSecondType>().values().clone();
        assert_eq!(found.as_ref(), [0, 0, 1, 3, 3]);
        // A day in Berlin begins an hour or two before that of Greenwich.
        let berlin = LogicalType::Timestamp(TimeUnit::Microsecond, Some("Europe/Berlin".into()));
        let july = days_of(2024, 7, 2) * DAY_MICROS;
        let array = TimestampMicrosecondArray::from(vec![july]).with_timezone("Europe/Berlin");
        let args = [width(0, 1, 0), Vector::Flat(Arc::new(array))];
        let found = time_bucket(&args, 1, &berlin).unwrap().flatten().unwrap();
        let found = found.as_primitive::<TimestampMicrosecondType>().value(0);
        assert_eq!(found, july - 2 * 3_600_000_000);
    }

    #[test]
    fn test_wrong_widths_are_errors() {
        for (wrong, message) in [
            (width(0, 0, 0), "greater than 0"),
            (width(0, -1, 0), "greater than 0"),
            (width(-1, 0, 0), "greater than 0"),
            (width(1, 1, 0), "not in both"),
        ] {
            let error = time_bucket(&[wrong.clone(), times(&[Some(1)])], 1, &MICROS).unwrap_err();
            assert!(error.to_string().contains(message), "{error}");
            // No row, no error.
            assert_eq!(micros(&[wrong, times(&[None])], 1), [None]);
        }
    }

    #[test]
    fn test_intervals_lose_what_is_smaller() {
        let value = IntervalMonthDayNano::new(29, -17, 3_723_000_000_001);
        let vector =
            Vector::Flat(Arc::new(IntervalMonthDayNanoArray::from(vec![Some(value), None])));
        let cut = |field| {
            let found = truncate_interval(field, &vector, 2).unwrap().flatten().unwrap();
            assert!(found.is_null(1));
            found.as_primitive::<IntervalMonthDayNanoType>().value(0)
        };
        let new = IntervalMonthDayNano::new;
        assert_eq!(cut(Field::Century), new(0, 0, 0));
        assert_eq!(cut(Field::Year), new(24, 0, 0));
        assert_eq!(cut(Field::Quarter), new(27, 0, 0));
        assert_eq!(cut(Field::Month), new(29, 0, 0));
        assert_eq!(cut(Field::Week), new(29, -14, 0));
        assert_eq!(cut(Field::Day), new(29, -17, 0));
        assert_eq!(cut(Field::Hour), new(29, -17, 3_600_000_000_000));
        assert_eq!(cut(Field::Nanosecond), value);
    }
}
