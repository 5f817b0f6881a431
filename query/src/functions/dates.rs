//! Dates, timestamps and intervals: ages, whole units between moments, moments and intervals from numbers.
//!
//! Invariant: the calendar is the proleptic Gregorian one; months that end early end on their last day.

use arrow::{
    array::{ArrayRef, AsArray},
    datatypes::{
        DataType, Date32Type, Float64Type, IntervalMonthDayNano, IntervalMonthDayNanoType,
        Time64MicrosecondType, TimeUnit, TimestampMicrosecondType, TimestampNanosecondType,
    },
};
use chrono::{DateTime, Datelike, Months, NaiveDate, NaiveDateTime, Timelike};
use datafusion_common::{Result, exec_err};

use super::{BIGINT, Call, DOUBLE, Def, Gives, MOMENT, PERIOD};
use crate::planner::scalars::TIMESTAMP;

pub(super) const TABLE: &[Def] = &[
    Def {
        name: DATE_AND_TIME,
        aliases: &[],
        takes: "date any",
        gives: MOMENT,
        body: date_and_time,
    },
    Def { name: "age", aliases: &[], takes: "timestamp timestamp", gives: PERIOD, body: age },
    Def {
        name: "date_sub",
        aliases: &["datesub"],
        takes: "text timestamp timestamp",
        gives: BIGINT,
        body: whole_units,
    },
    Def { name: "julian", aliases: &[], takes: "timestamp", gives: DOUBLE, body: julian },
    Def { name: "yearweek", aliases: &[], takes: "timestamp", gives: BIGINT, body: yearweek },
    Def { name: "era", aliases: &[], takes: "timestamp", gives: BIGINT, body: era },
    Def {
        name: INTERVAL_TIMES,
        aliases: &[],
        takes: "interval double",
        gives: PERIOD,
        body: |call| times(call, Ok),
    },
    Def {
        name: INTERVAL_SHARE,
        aliases: &[],
        takes: "interval double",
        gives: PERIOD,
        body: |call| {
            times(call, |divisor| match divisor == 0.0 {
                true => exec_err!("division by zero"),
                false => Ok(1.0 / divisor),
            })
        },
    },
    Def {
        name: "days_in_month",
        aliases: &[],
        takes: "timestamp",
        gives: BIGINT,
        body: days_in_month,
    },
    Def {
        name: "epoch_ms",
        aliases: &[],
        takes: "any",
        gives: Gives::From(epoch_type),
        body: epoch_ms,
    },
    Def {
        name: "epoch_us",
        aliases: &[],
        takes: "timestamp",
        gives: BIGINT,
        body: |call| epoch(call, 1, 1),
    },
    Def { name: "epoch_ns", aliases: &[], takes: "any", gives: BIGINT, body: epoch_ns },
    Def {
        name: "make_time",
        aliases: &[],
        takes: "bigint bigint double",
        gives: Gives::Plain(|| DataType::Time64(TimeUnit::Microsecond)),
        body: make_time,
    },
    Def {
        name: "make_timestamp_us",
        aliases: &[],
        takes: "bigint",
        gives: MOMENT,
        body: |call| {
            let numbers = call.integers(0)?;
            call.give_numbers::<TimestampMicrosecondType>(|row| Ok(numbers.at(row)))
        },
    },
    Def {
        name: "make_timestamp_ms",
        aliases: &[],
        takes: "bigint",
        gives: MOMENT,
        body: from_millis,
    },
    Def {
        name: "make_timestamp_ns",
        aliases: &[],
        takes: "bigint",
        gives: Gives::Plain(|| DataType::Timestamp(TimeUnit::Nanosecond, None)),
        body: |call| {
            let numbers = call.integers(0)?;
            call.give_numbers::<TimestampNanosecondType>(|row| Ok(numbers.at(row)))
        },
    },
    Def {
        name: "to_millennia",
        aliases: &[],
        takes: "bigint",
        gives: PERIOD,
        body: |c| months(c, 12_000),
    },
    Def {
        name: "to_centuries",
        aliases: &[],
        takes: "bigint",
        gives: PERIOD,
        body: |c| months(c, 1_200),
    },
    Def {
        name: "to_decades",
        aliases: &[],
        takes: "bigint",
        gives: PERIOD,
        body: |c| months(c, 120),
    },
    Def { name: "to_years", aliases: &[], takes: "bigint", gives: PERIOD, body: |c| months(c, 12) },
    Def {
        name: "to_quarters",
        aliases: &[],
        takes: "bigint",
        gives: PERIOD,
        body: |c| months(c, 3),
    },
    Def { name: "to_months", aliases: &[], takes: "bigint", gives: PERIOD, body: |c| months(c, 1) },
    Def { name: "to_weeks", aliases: &[], takes: "bigint", gives: PERIOD, body: |c| days(c, 7) },
    Def { name: "to_days", aliases: &[], takes: "bigint", gives: PERIOD, body: |c| days(c, 1) },
    Def {
        name: "to_hours",
        aliases: &[],
        takes: "bigint",
        gives: PERIOD,
        body: |c| nanos(c, 3_600_000_000_000),
    },
    Def {
        name: "to_minutes",
        aliases: &[],
        takes: "bigint",
        gives: PERIOD,
        body: |c| nanos(c, 60_000_000_000),
    },
    Def {
        name: "to_seconds",
        aliases: &[],
        takes: "double",
        gives: PERIOD,
        body: |c| fractions(c, 1e9),
    },
    Def {
        name: "to_milliseconds",
        aliases: &[],
        takes: "double",
        gives: PERIOD,
        body: |c| fractions(c, 1e6),
    },
    Def {
        name: "to_microseconds",
        aliases: &[],
        takes: "bigint",
        gives: PERIOD,
        body: |c| nanos(c, 1_000),
    },
];

/// `date + time`.
pub(crate) const DATE_AND_TIME: &str = "date_and_time_op";

fn date_and_time(call: &Call) -> Result<ArrayRef> {
    const DAY_MICROS: i64 = 86_400_000_000;
    let dates = call.numbers::<Date32Type>(0)?;
    let times = arrow::compute::cast(&call.args[1], &DataType::Time64(TimeUnit::Microsecond))?;
    let times = times.as_primitive::<Time64MicrosecondType>();
    call.give_numbers::<TimestampMicrosecondType>(|row| {
        let Some(date) = dates.at(row) else { return Ok(None) };
        if call.is_null(1, row) {
            return Ok(None);
        }
        let time = times.value(call.place(1, row));
        match i64::from(date).checked_mul(DAY_MICROS).and_then(|at| at.checked_add(time)) {
            Some(moment) => Ok(Some(moment)),
            None => exec_err!("a date plus a time is out of range"),
        }
    })
}

fn make_time(call: &Call) -> Result<ArrayRef> {
    let (hours, minutes) = (call.integers(0)?, call.integers(1)?);
    let seconds = call.numbers::<Float64Type>(2)?;
    call.give_numbers::<Time64MicrosecondType>(|row| {
        let (Some(hour), Some(minute), Some(second)) =
            (hours.at(row), minutes.at(row), seconds.at(row))
        else {
            return Ok(None);
        };
        let micros = (second * 1e6).round();
        if !(0..24).contains(&hour) || !(0..60).contains(&minute) || !(0.0..60e6).contains(&micros)
        {
            return exec_err!(
                "there is no time of {hour} hours, {minute} minutes and {second} seconds"
            );
        }
        // Below 60 million, checked above.
        Ok(Some((hour * 60 + minute) * 60_000_000 + micros as i64))
    })
}

/// An interval times a number.
pub(crate) const INTERVAL_TIMES: &str = "interval_times_op";

/// An interval divided by a number.
pub(crate) const INTERVAL_SHARE: &str = "interval_share_op";

/// An interval times a number: what is left of months goes into days of 30 to the month, of days into time.
fn times(call: &Call, factor: impl Fn(f64) -> Result<f64>) -> Result<ArrayRef> {
    let intervals = call.numbers::<IntervalMonthDayNanoType>(0)?;
    let factors = call.numbers::<Float64Type>(1)?;
    call.give_numbers::<IntervalMonthDayNanoType>(|row| {
        let (Some(interval), Some(number)) = (intervals.at(row), factors.at(row)) else {
            return Ok(None);
        };
        let factor = factor(number)?;
        let months = f64::from(interval.months) * factor;
        let days = f64::from(interval.days) * factor + (months - months.trunc()) * 30.0;
        let left = (days - days.trunc()) * 86_400e6;
        let micros = (interval.nanoseconds as f64 / 1e3 * factor + left).round();
        let fits = |x: f64| x.abs() < 2_147_483_648.0;
        if !fits(months) || !fits(days) || micros.is_nan() || micros.abs() > 9.2e15 {
            return exec_err!("an interval times {number} is more than an interval holds");
        }
        let (months, days) = (months.trunc() as i32, days.trunc() as i32);
        Ok(Some(IntervalMonthDayNano::new(months, days, micros as i64 * 1_000)))
    })
}

/// A moment of microseconds since 1970.
fn civil(micros: i64) -> Result<NaiveDateTime> {
    match DateTime::from_timestamp_micros(micros) {
        Some(moment) => Ok(moment.naive_utc()),
        None => exec_err!("a timestamp beyond the year 262,142"),
    }
}

/// A result from the moment of a row.
fn of_moment(call: &Call, f: impl Fn(NaiveDateTime) -> i64) -> Result<ArrayRef> {
    let moments = call.numbers::<TimestampMicrosecondType>(0)?;
    call.give_integers(|row| moments.at(row).map(|micros| civil(micros).map(&f)).transpose())
}

fn days_of(year: i32, month: u32) -> u32 {
    let first = NaiveDate::from_ymd_opt(year, month, 1);
    let next = first.and_then(|first| first.checked_add_months(Months::new(1)));
    let last = next.and_then(|next| next.pred_opt());
    last.map_or(31, |last| last.day())
}

/// The difference of two moments in years, months, days and time, as PostgreSQL counts it: borrowed days are those of
/// the earlier moment's month.
fn age(call: &Call) -> Result<ArrayRef> {
    let moments = |at| call.numbers::<TimestampMicrosecondType>(at);
    let (left, right) = (moments(0)?, moments(1)?);
    call.give_numbers::<IntervalMonthDayNanoType>(|row| {
        let (Some(a), Some(b)) = (left.at(row), right.at(row)) else { return Ok(None) };
        let (late, early, sign) = if a >= b { (a, b, 1) } else { (b, a, -1) };
        let (late, early) = (civil(late)?, civil(early)?);
        let within = |moment: NaiveDateTime| {
            i64::from(moment.num_seconds_from_midnight()) * 1_000_000_000
                + i64::from(moment.nanosecond())
        };
        let mut nanos = within(late) - within(early);
        let mut days = i64::from(late.day()) - i64::from(early.day());
        let mut months = i64::from(late.year() - early.year()) * 12 + i64::from(late.month())
            - i64::from(early.month());
        if nanos < 0 {
            nanos += 86_400_000_000_000;
            days -= 1;
        }
        if days < 0 {
            let borrowed = if sign > 0 { early } else { late };
            days += i64::from(days_of(borrowed.year(), borrowed.month()));
            months -= 1;
        }
        let narrow = |number: i64| i32::try_from(number * sign).unwrap_or(0);
        Ok(Some(IntervalMonthDayNano::new(narrow(months), narrow(days), nanos * sign)))
    })
}

/// How many whole months lie between two moments.
fn months_between(from: NaiveDateTime, to: NaiveDateTime) -> i64 {
    if to < from {
        return -months_between(to, from);
    }
    let months =
        i64::from(to.year() - from.year()) * 12 + i64::from(to.month()) - i64::from(from.month());
    let reached = u32::try_from(months).ok().and_then(|n| from.checked_add_months(Months::new(n)));
    months - i64::from(reached.is_some_and(|reached| reached > to))
}

/// How many whole units lie between two moments.
fn whole_units(call: &Call) -> Result<ArrayRef> {
    let units = call.texts(0)?;
    let moments = |at| call.numbers::<TimestampMicrosecondType>(at);
    let (from, to) = (moments(1)?, moments(2)?);
    call.give_integers(|row| {
        let (Some(unit), Some(from), Some(to)) = (units.at(row), from.at(row), to.at(row)) else {
            return Ok(None);
        };
        let months = |per: i64| Ok(Some(months_between(civil(from)?, civil(to)?) / per));
        let micros = |per: i64| Ok(to.checked_sub(from).map(|micros| micros / per));
        match unit.to_ascii_lowercase().as_str() {
            "millennium" | "millennia" => months(12_000),
            "century" | "centuries" => months(1_200),
            "decade" | "decades" => months(120),
            "year" | "years" | "y" => months(12),
            "quarter" | "quarters" => months(3),
            "month" | "months" | "mon" => months(1),
            "week" | "weeks" | "w" => micros(7 * 86_400_000_000),
            "day" | "days" | "d" => micros(86_400_000_000),
            "hour" | "hours" | "h" => micros(3_600_000_000),
            "minute" | "minutes" | "min" | "m" => micros(60_000_000),
            "second" | "seconds" | "sec" | "s" => micros(1_000_000),
            "millisecond" | "milliseconds" | "ms" => micros(1_000),
            "microsecond" | "microseconds" | "us" => micros(1),
            _ => exec_err!("there is no unit '{unit}' to count by, as in 'year', 'month' or 'day'"),
        }
    })
}

fn julian(call: &Call) -> Result<ArrayRef> {
    let moments = call.numbers::<TimestampMicrosecondType>(0)?;
    call.give_numbers::<Float64Type>(|row| {
        let days = |micros: i64| {
            let (day, within) =
                (micros.div_euclid(86_400_000_000), micros.rem_euclid(86_400_000_000));
            (day + 2_440_588) as f64 + within as f64 / 86_400_000_000.0
        };
        Ok(moments.at(row).map(days))
    })
}

fn yearweek(call: &Call) -> Result<ArrayRef> {
    of_moment(call, |moment| {
        let week = moment.iso_week();
        i64::from(week.year()) * 100 + i64::from(week.week())
    })
}

fn era(call: &Call) -> Result<ArrayRef> {
    of_moment(call, |moment| i64::from(moment.year() > 0))
}

fn days_in_month(call: &Call) -> Result<ArrayRef> {
    of_moment(call, |moment| i64::from(days_of(moment.year(), moment.month())))
}

/// `epoch_ms` of a number is a timestamp, of a moment a number.
fn epoch_type(
    types: &[DataType],
    _constants: &[Option<&datafusion_common::ScalarValue>],
) -> Result<DataType> {
    let number = types.first().is_some_and(DataType::is_integer);
    Ok(if number { TIMESTAMP } else { DataType::Int64 })
}

fn epoch_ms(call: &Call) -> Result<ArrayRef> {
    let number = call.args[0].data_type().is_integer();
    let wanted = if number { DataType::Int64 } else { TIMESTAMP };
    let cast = Call {
        args: vec![arrow::compute::cast(&call.args[0], &wanted)?],
        constant: call.constant.clone(),
        rows: call.rows,
        ty: call.ty.clone(),
    };
    if number { from_millis(&cast) } else { epoch(&cast, 1_000, 1) }
}

fn from_millis(call: &Call) -> Result<ArrayRef> {
    let numbers = call.integers(0)?;
    call.give_numbers::<TimestampMicrosecondType>(|row| {
        let Some(millis) = numbers.at(row) else { return Ok(None) };
        match millis.checked_mul(1_000) {
            Some(micros) => Ok(Some(micros)),
            None => exec_err!("{millis} milliseconds are beyond what a timestamp holds"),
        }
    })
}

fn epoch(call: &Call, divisor: i64, factor: i64) -> Result<ArrayRef> {
    let moments = call.numbers::<TimestampMicrosecondType>(0)?;
    call.give_integers(|row| {
        let Some(micros) = moments.at(row) else { return Ok(None) };
        match micros.div_euclid(divisor).checked_mul(factor) {
            Some(epoch) => Ok(Some(epoch)),
            None => exec_err!("the epoch of this timestamp is beyond BIGINT"),
        }
    })
}

fn epoch_ns(call: &Call) -> Result<ArrayRef> {
    let nanos = match call.args[0].data_type() {
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            let nanos = DataType::Timestamp(TimeUnit::Nanosecond, None);
            let array = arrow::compute::cast(&call.args[0], &nanos)?;
            array.as_primitive::<TimestampNanosecondType>().clone()
        }
        _ => {
            let args = vec![arrow::compute::cast(&call.args[0], &TIMESTAMP)?];
            let ty = call.ty.clone();
            let cast = Call { args, constant: call.constant.clone(), rows: call.rows, ty };
            return epoch(&cast, 1, 1_000);
        }
    };
    call.give_integers(|row| {
        let place = call.place(0, row);
        Ok(arrow::array::Array::is_valid(&nanos, place).then(|| nanos.value(place)))
    })
}

fn interval(call: &Call, f: impl Fn(i64) -> Option<IntervalMonthDayNano>) -> Result<ArrayRef> {
    let numbers = call.integers(0)?;
    call.give_numbers::<IntervalMonthDayNanoType>(|row| {
        let Some(number) = numbers.at(row) else { return Ok(None) };
        match f(number) {
            Some(interval) => Ok(Some(interval)),
            None => exec_err!("{number} is more than an interval holds"),
        }
    })
}

fn months(call: &Call, per: i64) -> Result<ArrayRef> {
    interval(call, |number| {
        let months = i32::try_from(number.checked_mul(per)?).ok()?;
        Some(IntervalMonthDayNano::new(months, 0, 0))
    })
}

fn days(call: &Call, per: i64) -> Result<ArrayRef> {
    interval(call, |number| {
        let days = i32::try_from(number.checked_mul(per)?).ok()?;
        Some(IntervalMonthDayNano::new(0, days, 0))
    })
}

fn nanos(call: &Call, per: i64) -> Result<ArrayRef> {
    interval(call, |number| Some(IntervalMonthDayNano::new(0, 0, number.checked_mul(per)?)))
}

fn fractions(call: &Call, per: f64) -> Result<ArrayRef> {
    let numbers = call.numbers::<Float64Type>(0)?;
    call.give_numbers::<IntervalMonthDayNanoType>(|row| {
        let Some(number) = numbers.at(row) else { return Ok(None) };
        // To the microsecond, as SQL's intervals are written.
        let nanos = (number * per / 1e3).round() * 1e3;
        match nanos.abs() < 9.2e18 {
            true => Ok(Some(IntervalMonthDayNano::new(0, 0, nanos as i64))),
            false => exec_err!("{number} is more than an interval holds"),
        }
    })
}
