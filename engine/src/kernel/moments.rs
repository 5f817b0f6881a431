//! Functions of dates and timestamps: names of months and days, ends of months, differences, timestamps of parts.
//!
//! Invariant: a difference counts the boundaries between two moments, so that two moments of one day are 0 days apart
//! and 23:59 and 0:01 are one. Every function has the signature of `NativeFn`. Next: `calendar.rs`.

use stoadb_storage::{LogicalType, TimeUnit, Vector};

use crate::{
    error::{EngineError, Result},
    kernel::{
        arity::{fallible, union_nulls},
        calendar::{Clock, DAY_NAMES, DAY_SECONDS, MONTH_NAMES, civil, days_of, month_days},
        date_part::Field,
        physical::{Column, column, column_i64, is_constant_null, null_vector},
        text::{build, integers},
    },
};

const DAY_MICROS: i64 = DAY_SECONDS * 1_000_000;

/// Days since 1970, by the calendar of the value's own zone.
fn local_days(moment: &Vector) -> Result<Column<i64>> {
    let ty = moment.ty()?;
    match &ty {
        LogicalType::Date => {
            let dates = column::<i32>(moment)?;
            let values = dates.values.iter().map(|&day| i64::from(day)).collect();
            Ok(Column { values, nulls: dates.nulls, constant: dates.constant })
        }
        LogicalType::Timestamp(unit, zone) => {
            let clock = Clock::new(*unit, zone.as_deref())?;
            let times = column_i64(moment)?;
            let day = |&value: &i64| clock.local(value).map_or(0, |local| clock.split(local).0);
            let values = times.values.iter().map(day).collect();
            Ok(Column { values, nulls: times.nulls, constant: times.constant })
        }
        other => Err(EngineError::Internal(format!("{other} has no day"))),
    }
}

/// `last_day(moment)`: the last day of its month.
pub(crate) fn last_day(args: &[Vector], rows: usize, ty: &LogicalType) -> Result<Vector> {
    if args.iter().any(is_constant_null) {
        return Ok(null_vector(ty, rows));
    }
    let days = local_days(&args[0])?;
    fallible(rows, ty, days.nulls.clone(), |row| {
        let day = days.get(row);
        let (year, month, date) = civil(day);
        let last = day + i64::from(month_days(year, month)) - i64::from(date);
        i32::try_from(last).map_err(|_| EngineError::Value("last_day is out of range".into()))
    })
}

fn names(
    function: &str,
    args: &[Vector],
    rows: usize,
    ty: &LogicalType,
    name: impl Fn(i64) -> &'static str,
) -> Result<Vector> {
    if args.iter().any(is_constant_null) {
        return Ok(null_vector(ty, rows));
    }
    let days = local_days(&args[0])?;
    build(rows, function, |row, text| {
        if !days.is_valid(row) {
            return Ok(false);
        }
        text.push_str(name(days.get(row)));
        Ok(true)
    })
}

/// `monthname(moment)`: in English.
pub(crate) fn month_name(args: &[Vector], rows: usize, ty: &LogicalType) -> Result<Vector> {
    names("monthname", args, rows, ty, |day| {
        MONTH_NAMES.get(civil(day).1.wrapping_sub(1) as usize).copied().unwrap_or_default()
    })
}

/// `dayname(moment)`: in English.
pub(crate) fn day_name(args: &[Vector], rows: usize, ty: &LogicalType) -> Result<Vector> {
    names("dayname", args, rows, ty, |day| DAY_NAMES[(day + 3).rem_euclid(7) as usize])
}

/// Whether `date_diff` counts a field.
pub(crate) fn counts(field: Field) -> bool {
    !matches!(
        field,
        Field::IsoYear
            | Field::DayOfWeek
            | Field::IsoDayOfWeek
            | Field::DayOfYear
            | Field::Epoch
            | Field::Nanosecond
    )
}

/// `date_diff(field, from, to)` of timestamps in microseconds: how many boundaries of the field lie between them.
pub(crate) fn date_diff(
    field: Field,
    from: &Vector,
    to: &Vector,
    rows: usize,
    ty: &LogicalType,
) -> Result<Vector> {
    if is_constant_null(from) || is_constant_null(to) {
        return Ok(null_vector(ty, rows));
    }
    let (from, to) = (column_i64(from)?, column_i64(to)?);
    let nulls = union_nulls(from.nulls.as_ref(), to.nulls.as_ref());
    fallible(rows, ty, nulls, |row| {
        Ok(boundary(field, to.get(row)) - boundary(field, from.get(row)))
    })
}

/// The number of a field's span that a moment lies in.
fn boundary(field: Field, micros: i64) -> i64 {
    let day = micros.div_euclid(DAY_MICROS);
    let (year, month, _) = civil(day);
    match field {
        Field::Millennium => (year - 1).div_euclid(1_000),
        Field::Century => (year - 1).div_euclid(100),
        Field::Decade => year.div_euclid(10),
        Field::Year => year,
        Field::Quarter => year * 4 + i64::from((month - 1) / 3),
        Field::Month => year * 12 + i64::from(month),
        Field::Week => (day + 3).div_euclid(7),
        Field::Hour => micros.div_euclid(3_600_000_000),
        Field::Minute => micros.div_euclid(60_000_000),
        Field::Second => micros.div_euclid(1_000_000),
        Field::Millisecond => micros.div_euclid(1_000),
        Field::Microsecond => micros,
        _ => day,
    }
}

/// `make_timestamp(year, month, day, hour, minute, seconds)`.
pub(crate) fn make_timestamp(args: &[Vector], rows: usize, ty: &LogicalType) -> Result<Vector> {
    if args.iter().any(is_constant_null) {
        return Ok(null_vector(ty, rows));
    }
    let clock = Clock::new(TimeUnit::Microsecond, None)?;
    let whole = args[..5].iter().map(integers).collect::<Result<Vec<_>>>()?;
    let seconds = column::<f64>(&args[5])?;
    let mut nulls = seconds.nulls.clone();
    for part in &whole {
        nulls = union_nulls(nulls.as_ref(), part.nulls.as_ref());
    }
    fallible(rows, ty, nulls, |row| {
        let part = |index: usize| whole[index].get(row);
        let wrong = || {
            EngineError::Value(format!(
                "make_timestamp({}, {}, {}, {}, {}, {}): there is no such time",
                part(0),
                part(1),
                part(2),
                part(3),
                part(4),
                seconds.get(row)
            ))
        };
        let month = u32::try_from(part(1)).ok().filter(|month| (1..=12).contains(month));
        let (year, month) = (part(0), month.ok_or_else(wrong)?);
        let day = u32::try_from(part(2)).ok();
        let valid = (-200_000..=200_000).contains(&year)
            && (0..24).contains(&part(3))
            && (0..60).contains(&part(4))
            && (0.0..60.0).contains(&seconds.get(row));
        let day = day.filter(|day| valid && (1..=month_days(year, month)).contains(day));
        let day = days_of(year, month, day.ok_or_else(wrong)?);
        let micros = (seconds.get(row) * 1e6).round() as i64;
        let within = (part(3) * 60 + part(4)) * 60_000_000 + micros;
        clock.join(day, within).ok_or_else(wrong)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{AsArray, Date32Array, Float64Array, Int64Array, TimestampMicrosecondArray};
    use arrow::datatypes::{Date32Type, Int64Type, TimestampMicrosecondType};
    use std::sync::Arc;

    fn at(day: i64, micros: i64) -> i64 {
        day * DAY_MICROS + micros
    }

    #[test]
    fn test_last_day_and_names() {
        let days = [days_of(2020, 2, 1), days_of(1900, 2, 28), days_of(1969, 12, 31)];
        let dates = Date32Array::from(days.map(|day| day as i32).to_vec());
        let args = [Vector::Flat(Arc::new(dates))];
        let last = last_day(&args, 3, &LogicalType::Date).unwrap().flatten().unwrap();
        let expected = [days_of(2020, 2, 29), days_of(1900, 2, 28), days_of(1969, 12, 31)];
        assert_eq!(last.as_primitive::<Date32Type>().values().as_ref(), expected.map(|d| d as i32));
        let names = day_name(&args, 3, &LogicalType::Text).unwrap().flatten().unwrap();
        let names: Vec<_> = names.as_string_view().iter().flatten().collect();
        assert_eq!(names, ["Saturday", "Wednesday", "Wednesday"]);
        let names = month_name(&args, 3, &LogicalType::Text).unwrap().flatten().unwrap();
        let names: Vec<_> = names.as_string_view().iter().flatten().collect();
        assert_eq!(names, ["February", "February", "December"]);
    }

    #[test]
    fn test_differences_count_boundaries() {
        let diff = |field, from: i64, to: i64| {
            let vector =
                |value| Vector::Flat(Arc::new(TimestampMicrosecondArray::from(vec![value])));
            let ty = LogicalType::Int64;
            let result = date_diff(field, &vector(from), &vector(to), 1, &ty).unwrap();
            result.flatten().unwrap().as_primitive::<Int64Type>().value(0)
        };
        let (eve, morrow) = (at(days_of(1999, 12, 31), DAY_MICROS - 1), at(days_of(2000, 1, 1), 0));
        for field in [Field::Year, Field::Quarter, Field::Month, Field::Day, Field::Hour] {
            assert_eq!(diff(field, eve, morrow), 1);
            assert_eq!(diff(field, morrow, eve), -1);
        }
        assert_eq!(diff(Field::Week, eve, morrow), 0);
        assert_eq!(diff(Field::Week, morrow, at(days_of(2000, 1, 3), 0)), 1);
        assert_eq!(diff(Field::Day, at(-1, 5), at(0, 4)), 1);
    }

    #[test]
    fn test_make_timestamp_checks_its_parts() {
        let made = |parts: [i64; 5], seconds: f64| {
            let mut args: Vec<Vector> = parts
                .iter()
                .map(|&part| Vector::Flat(Arc::new(Int64Array::from(vec![part])) as _))
                .collect();
            args.push(Vector::Flat(Arc::new(Float64Array::from(vec![seconds]))));
            let ty = LogicalType::Timestamp(TimeUnit::Microsecond, None);
            let made = make_timestamp(&args, 1, &ty).ok()?.flatten().unwrap();
            Some(made.as_primitive::<TimestampMicrosecondType>().value(0))
        };
        let expected = at(days_of(2020, 2, 29), 3_723_500_000);
        assert_eq!(made([2020, 2, 29, 1, 2], 3.5), Some(expected));
        assert_eq!(made([2021, 2, 29, 1, 2], 3.5), None);
        assert_eq!(made([2020, 13, 1, 1, 2], 3.5), None);
        assert_eq!(made([2020, 2, 29, 24, 2], 3.5), None);
        assert_eq!(made([2020, 2, 29, 1, 2], f64::NAN), None);
    }
}
