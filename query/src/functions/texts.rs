//! Texts taken apart by separators and by places, moments moved between zones.
//!
//! Invariant: places count characters from 1, from the end where they are negative; what lies outside is empty.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, AsArray, TimestampMicrosecondArray, timezone::Tz},
    datatypes::{DataType, TimeUnit, TimestampMicrosecondType},
};
use chrono::{DateTime, Duration, LocalResult, NaiveDateTime, TimeZone, Utc};
use datafusion_common::{Result, exec_err};

use super::{BIGINT, Call, Def, Gives, TEXT, TEXTS};
use crate::planner::scalars::TIMESTAMP;

pub(super) const TABLE: &[Def] = &[
    Def {
        name: "string_split",
        aliases: &["str_split", "split"],
        takes: "text text",
        gives: TEXTS,
        body: split,
    },
    Def { name: ITEM, aliases: &[], takes: "text bigint", gives: TEXT, body: item },
    Def { name: SLICE, aliases: &[], takes: "text bigint bigint", gives: TEXT, body: slice },
    Def {
        name: "timezone",
        aliases: &[],
        takes: "text zoned",
        gives: Gives::From(|types, _| {
            let zoned = matches!(types.get(1), Some(DataType::Timestamp(_, Some(_))));
            Ok(if zoned { TIMESTAMP } else { ZONED() })
        }),
        body: zone,
    },
    Def {
        name: "uuid_extract_version",
        aliases: &[],
        takes: "text",
        gives: BIGINT,
        body: |call| {
            let texts = call.texts(0)?;
            call.give_integers(|row| {
                let digit = texts.at(row).and_then(|text| text.chars().nth(14)?.to_digit(16));
                Ok(digit.map(i64::from))
            })
        },
    },
];

/// The character at a place: `'abc'[2]`.
pub(crate) const ITEM: &str = "text_item_op";
/// The characters between two places: `'abc'[1:2]`.
pub(crate) const SLICE: &str = "text_slice_op";

/// TIMESTAMP WITH TIME ZONE.
const ZONED: fn() -> DataType = || DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));

/// The type that an argument which is a moment with or without a zone is cast to.
pub(super) fn zoned(ty: &DataType) -> Option<DataType> {
    match ty {
        DataType::Timestamp(_, Some(_)) => Some(ZONED()),
        DataType::Timestamp(_, None) | DataType::Date32 => Some(TIMESTAMP),
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 | DataType::Null => {
            Some(TIMESTAMP)
        }
        _ => None,
    }
}

/// The parts between separators; without a separator the characters.
fn split(call: &Call) -> Result<ArrayRef> {
    let (texts, separators) = (call.texts(0)?, call.texts(1)?);
    call.give_text_lists(|row| {
        let Some(text) = texts.at(row) else { return Ok(None) };
        Ok(Some(match separators.at(row) {
            None => vec![Some(text.to_owned())],
            Some("") if text.is_empty() => vec![Some(String::new())],
            Some("") => text.chars().map(|c| Some(c.to_string())).collect(),
            Some(separator) => text.split(separator).map(|part| Some(part.to_owned())).collect(),
        }))
    })
}

/// The characters at the places from `first` to `last`.
fn between(text: &str, first: i64, last: i64) -> &str {
    let length = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
    let place = |place: i64| if place < 0 { length.saturating_add(place) + 1 } else { place };
    let (first, last) = (place(first).max(1), place(last).min(length));
    if first > last {
        return "";
    }
    let byte = |place: i64| {
        let place = usize::try_from(place).unwrap_or(usize::MAX);
        text.char_indices().nth(place).map_or(text.len(), |(at, _)| at)
    };
    text.get(byte(first - 1)..byte(last)).unwrap_or_default()
}

fn item(call: &Call) -> Result<ArrayRef> {
    let (texts, places) = (call.texts(0)?, call.integers(1)?);
    call.give_texts(|row| {
        let (Some(text), Some(place)) = (texts.at(row), places.at(row)) else { return Ok(None) };
        Ok(Some(if place == 0 { "" } else { between(text, place, place) }))
    })
}

fn slice(call: &Call) -> Result<ArrayRef> {
    let (texts, firsts, lasts) = (call.texts(0)?, call.integers(1)?, call.integers(2)?);
    call.give_texts(|row| {
        let (Some(text), Some(first), Some(last)) = (texts.at(row), firsts.at(row), lasts.at(row))
        else {
            return Ok(None);
        };
        Ok(Some(between(text, first, last)))
    })
}

/// What clocks of a zone show at a moment, and the moment at which they show something.
fn zone(call: &Call) -> Result<ArrayRef> {
    let (zones, moments) = (call.texts(0)?, call.numbers::<TimestampMicrosecondType>(1)?);
    let to_clock = matches!(call.args[1].data_type(), DataType::Timestamp(_, Some(_)));
    let moved = |row: usize| -> Result<Option<i64>> {
        let (Some(name), Some(moment)) = (zones.at(row), moments.at(row)) else { return Ok(None) };
        let Ok(zone) = name.parse::<Tz>() else {
            return exec_err!("there is no time zone '{name}'");
        };
        let Some(moment) = DateTime::from_timestamp_micros(moment) else {
            return exec_err!("a timestamp is out of range");
        };
        let clock = moment.naive_utc();
        Ok(Some(match to_clock {
            true => moment.with_timezone(&zone).naive_local().and_utc().timestamp_micros(),
            false => at(&zone, clock).timestamp_micros(),
        }))
    };
    let moved = (0..call.rows).map(moved).collect::<Result<TimestampMicrosecondArray>>()?;
    let array: ArrayRef = Arc::new(moved);
    Ok(Arc::new(
        array.as_primitive::<TimestampMicrosecondType>().clone().with_data_type(call.ty.clone()),
    ))
}

/// When clocks show this: the first time if twice; if never, as if they had not been moved yet.
fn at(zone: &Tz, clock: NaiveDateTime) -> DateTime<Utc> {
    match zone.from_local_datetime(&clock) {
        LocalResult::Single(moment) | LocalResult::Ambiguous(moment, _) => {
            moment.with_timezone(&Utc)
        }
        LocalResult::None => {
            let hour = Duration::hours(1);
            at_most_once(zone, clock - hour) + hour
        }
    }
}

fn at_most_once(zone: &Tz, clock: NaiveDateTime) -> DateTime<Utc> {
    match zone.from_local_datetime(&clock).earliest() {
        Some(moment) => moment.with_timezone(&Utc),
        None => clock.and_utc(),
    }
}
