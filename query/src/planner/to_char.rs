//! Dates and times as texts: `to_char(moment, format)` with PostgreSQL's patterns, `strftime(moment, format)` with those
//! of C.
//!
//! Invariant: a format is read once per constant; what PostgreSQL has no pattern for is itself, as there.

use std::{fmt::Write, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, StringArray, StringBuilder},
    datatypes::{
        DataType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
        TimestampNanosecondType, TimestampSecondType,
    },
    temporal_conversions,
};
use chrono::{DateTime, Datelike, NaiveDateTime, Offset, Timelike, Utc, format::StrftimeItems};
use datafusion_common::{Result, exec_err, plan_err};
use datafusion_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use stoadb_engine::kernel::{DAY_NAMES, MONTH_NAMES};

use crate::functions::shown;

/// The functions of this file.
pub(super) fn moment_texts() -> impl Iterator<Item = Arc<ScalarUDF>> {
    let signature = Signature::user_defined(Volatility::Immutable);
    let inner = datafusion_functions::datetime::to_char();
    let strftime = Strftime { inner, signature: signature.clone() };
    let to_char = ToChar { signature };
    [ScalarUDF::new_from_impl(strftime), ScalarUDF::new_from_impl(to_char)]
        .into_iter()
        .map(Arc::new)
}

/// C's patterns. Times of day are left to the library's function.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Strftime {
    inner: Arc<ScalarUDF>,
    signature: Signature,
}

impl ScalarUDFImpl for Strftime {
    fn name(&self) -> &str {
        "strftime"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [time @ (DataType::Time32(_) | DataType::Time64(_)), _] => {
                Ok(vec![time.clone(), DataType::Utf8])
            }
            types => coerce_moment("strftime", types),
        }
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [moments, formats] = args.args.as_slice() else {
            return exec_err!("strftime() takes a date or timestamp and a format");
        };
        if matches!(moments.data_type(), DataType::Time32(_) | DataType::Time64(_)) {
            return self.inner.invoke_with_args(args);
        }
        let rows = args.number_rows;
        let moments = moments.to_array(rows)?;
        let formats = formats.to_array(rows)?;
        let formats: &StringArray = formats.as_string();
        let mut texts = StringBuilder::with_capacity(rows, rows * 20);
        let (mut known, mut items) = ("", Vec::new());
        for row in 0..moments.len() {
            if moments.is_null(row) || formats.is_null(row) {
                texts.append_null();
                continue;
            }
            let format = formats.value(row);
            if format != known {
                items = StrftimeItems::new(format).collect();
                known = format;
                if items.contains(&chrono::format::Item::Error) {
                    return exec_err!("'{format}' has a pattern that is none");
                }
            }
            let Some(local) = local(&moments, row) else {
                return exec_err!("a date or timestamp is out of range");
            };
            let written = match local {
                Local::Plain(local) => {
                    write!(texts, "{}", local.format_with_items(items.iter()))
                }
                Local::Zoned(zoned) => {
                    write!(texts, "{}", zoned.format_with_items(items.iter()))
                }
            };
            if written.is_err() {
                return exec_err!("'{format}' has a pattern that a date has not");
            }
            texts.append_value("");
        }
        Ok(ColumnarValue::Array(Arc::new(texts.finish())))
    }
}

/// The types of a moment and its format.
fn coerce_moment(name: &str, types: &[DataType]) -> Result<Vec<DataType>> {
    let [moment, _] = types else {
        return plan_err!("{name}() takes a date or timestamp and a format");
    };
    let moment = match moment {
        DataType::Null => DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Date32 | DataType::Timestamp(..) => moment.clone(),
        other => {
            return plan_err!("{name}() needs a date or a timestamp, not {}", shown(other));
        }
    };
    Ok(vec![moment, DataType::Utf8])
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ToChar {
    signature: Signature,
}

impl ScalarUDFImpl for ToChar {
    fn name(&self) -> &str {
        "to_char"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        coerce_moment("to_char", types)
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let [moments, formats] = args.args.as_slice() else {
            return exec_err!("to_char() takes a date or timestamp and a format");
        };
        let moments = moments.to_array(rows)?;
        let constant = matches!(formats, ColumnarValue::Scalar(_));
        let formats = formats.to_array(if constant { 1 } else { rows })?;
        let formats: &StringArray = formats.as_string();
        let mut parsed = Vec::new();
        let mut texts = StringBuilder::with_capacity(rows, rows * 20);
        let mut text = String::new();
        for row in 0..moments.len() {
            let at = if constant { 0 } else { row };
            if moments.is_null(row) || formats.is_null(at) {
                texts.append_null();
                continue;
            }
            if row == 0 || !constant || parsed.is_empty() {
                parsed = parse(formats.value(at))?;
            }
            let Some(moment) = moment(&moments, row) else {
                return exec_err!("a date or timestamp is out of range");
            };
            text.clear();
            for item in &parsed {
                item.write(&moment, &mut text);
            }
            texts.append_value(&text);
        }
        Ok(ColumnarValue::Array(Arc::new(texts.finish())))
    }
}

/// A moment in its zone.
struct Moment {
    local: NaiveDateTime,
    /// The zone's name and how many seconds it is ahead of UTC.
    zone: Option<(String, i32)>,
}

/// A moment as its zone's clocks and calendars show it.
enum Local {
    Plain(NaiveDateTime),
    Zoned(DateTime<arrow::array::timezone::Tz>),
}

fn local(array: &ArrayRef, row: usize) -> Option<Local> {
    let moment = match array.data_type() {
        DataType::Date32 => temporal_conversions::date32_to_datetime(
            array.as_primitive::<arrow::datatypes::Date32Type>().value(row),
        )?,
        DataType::Timestamp(unit, _) => match unit {
            TimeUnit::Second => temporal_conversions::timestamp_s_to_datetime(
                array.as_primitive::<TimestampSecondType>().value(row),
            )?,
            TimeUnit::Millisecond => temporal_conversions::timestamp_ms_to_datetime(
                array.as_primitive::<TimestampMillisecondType>().value(row),
            )?,
            TimeUnit::Microsecond => temporal_conversions::timestamp_us_to_datetime(
                array.as_primitive::<TimestampMicrosecondType>().value(row),
            )?,
            TimeUnit::Nanosecond => temporal_conversions::timestamp_ns_to_datetime(
                array.as_primitive::<TimestampNanosecondType>().value(row),
            )?,
        },
        _ => return None,
    };
    let DataType::Timestamp(_, Some(zone)) = array.data_type() else {
        return Some(Local::Plain(moment));
    };
    let zone: arrow::array::timezone::Tz = zone.parse().ok()?;
    let zoned = DateTime::<Utc>::from_naive_utc_and_offset(moment, Utc).with_timezone(&zone);
    Some(Local::Zoned(zoned))
}

fn moment(array: &ArrayRef, row: usize) -> Option<Moment> {
    Some(match local(array, row)? {
        Local::Plain(local) => Moment { local, zone: None },
        Local::Zoned(zoned) => {
            let name = zoned.format("%Z").to_string();
            let ahead = zoned.offset().fix().local_minus_utc();
            Moment { local: zoned.naive_local(), zone: Some((name, ahead)) }
        }
    })
}

/// How letters are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Letters {
    Upper,
    Capital,
    Lower,
}

/// A piece of a format.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Item {
    Literal(String),
    /// A pattern by its name in capitals, without blanks and zeros in front (FM), with an ordinal ending.
    Pattern {
        name: &'static str,
        letters: Letters,
        plain: bool,
        ending: Option<Letters>,
    },
}

/// The patterns, those before their own beginnings.
const PATTERNS: &[&str] = &[
    "SSSSS", "SSSS", "MONTH", "Y,YYY", "YYYY", "IYYY", "IDDD", "HH24", "HH12", "A.M.", "P.M.",
    "A.D.", "B.C.", "YYY", "IYY", "DDD", "DAY", "MON", "TZH", "TZM", "FF1", "FF2", "FF3", "FF4",
    "FF5", "FF6", "HH", "MI", "MM", "SS", "MS", "US", "YY", "IY", "DD", "ID", "DY", "WW", "IW",
    "CC", "RM", "TZ", "OF", "AM", "PM", "AD", "BC", "Y", "I", "D", "W", "J", "Q",
];

fn parse(format: &str) -> Result<Vec<Item>> {
    let mut items: Vec<Item> = Vec::new();
    let mut rest = format;
    let mut plain = false;
    let literal = |items: &mut Vec<Item>, c: char| match items.last_mut() {
        Some(Item::Literal(text)) => text.push(c),
        _ => items.push(Item::Literal(c.to_string())),
    };
    while let Some(first) = rest.chars().next() {
        if first == '"' {
            let mut chars = rest[1..].char_indices();
            let mut end = rest.len();
            while let Some((at, c)) = chars.next() {
                match c {
                    '"' => {
                        end = at + 2;
                        break;
                    }
                    '\\' => chars.next().into_iter().for_each(|(_, c)| literal(&mut items, c)),
                    c => literal(&mut items, c),
                }
            }
            rest = &rest[end..];
            continue;
        }
        let begins = |word: &str| {
            rest.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
        };
        if begins("FM") || begins("TM") {
            plain = plain || begins("FM");
            rest = &rest[2..];
            continue;
        }
        if let Some(name) = PATTERNS.iter().find(|name| begins(name)) {
            let mut letters = rest.chars().filter(char::is_ascii_alphabetic);
            let letters = match (letters.next(), letters.next()) {
                (Some(first), Some(second)) if first.is_ascii_uppercase() => {
                    let capital = second.is_ascii_lowercase();
                    if capital { Letters::Capital } else { Letters::Upper }
                }
                _ => Letters::Lower,
            };
            rest = &rest[name.len()..];
            let ending = match rest.get(..2) {
                Some("TH") => Some(Letters::Upper),
                Some("th") => Some(Letters::Lower),
                _ => None,
            };
            if ending.is_some() {
                rest = &rest[2..];
            }
            items.push(Item::Pattern { name, letters, plain, ending });
            plain = false;
            continue;
        }
        literal(&mut items, first);
        rest = &rest[first.len_utf8()..];
    }
    Ok(items)
}

const ROMAN: [&str; 12] =
    ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII"];

/// What a pattern writes.
enum Piece {
    /// A number, with zeros in front up to a width.
    Number(i64, usize),
    /// A word, with blanks behind up to a width.
    Word(String, usize),
}

impl Item {
    fn write(&self, moment: &Moment, text: &mut String) {
        let (name, letters, plain, ending) = match self {
            Self::Literal(literal) => return text.push_str(literal),
            Self::Pattern { name, letters, plain, ending } => (*name, *letters, *plain, *ending),
        };
        match piece(name, moment) {
            Piece::Number(number, width) => {
                let width = if plain { 0 } else { width };
                let sign = if number < 0 { "-" } else { "" };
                // Writing to a String cannot fail.
                let _ = write!(text, "{sign}{:0width$}", number.unsigned_abs());
                if let Some(letters) = ending {
                    let ending = ordinal(number);
                    text.push_str(&in_letters(ending, letters));
                }
            }
            Piece::Word(word, width) => {
                let word = match name {
                    // Zones have their own letters.
                    "TZ" if letters == Letters::Lower => word.to_lowercase(),
                    "TZ" | "OF" | "TZH" | "TZM" | "Y,YYY" => word,
                    "AM" | "PM" | "A.M." | "P.M." | "AD" | "BC" | "A.D." | "B.C." | "RM"
                        if letters != Letters::Lower =>
                    {
                        word
                    }
                    _ => in_letters(&word, letters),
                };
                let width = if plain { 0 } else { width };
                let _ = write!(text, "{word:width$}");
            }
        }
    }
}

fn in_letters(word: &str, letters: Letters) -> String {
    match letters {
        Letters::Upper => word.to_uppercase(),
        Letters::Lower => word.to_lowercase(),
        Letters::Capital => word.to_owned(),
    }
}

fn ordinal(number: i64) -> &'static str {
    let number = number.unsigned_abs();
    match (number % 10, number % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    }
}

/// The year that people count: there is no year 0.
fn counted(year: i32) -> i64 {
    if year > 0 { i64::from(year) } else { 1 - i64::from(year) }
}

fn piece(name: &str, moment: &Moment) -> Piece {
    use Piece::{Number, Word};
    let at = &moment.local;
    let year = counted(at.year());
    let iso = at.iso_week();
    let iso_year = counted(iso.year());
    let micros = i64::from(at.nanosecond() / 1_000);
    let month = at.month0() as usize;
    let weekday = at.weekday().num_days_from_monday() as usize;
    let ahead = moment.zone.as_ref().map_or(0, |(_, ahead)| *ahead);
    match name {
        "HH" | "HH12" => Number(i64::from((at.hour() + 11) % 12 + 1), 2),
        "HH24" => Number(i64::from(at.hour()), 2),
        "MI" => Number(i64::from(at.minute()), 2),
        "SS" => Number(i64::from(at.second()), 2),
        "MS" => Number(micros / 1_000, 3),
        "US" => Number(micros, 6),
        "FF1" => Number(micros / 100_000, 1),
        "FF2" => Number(micros / 10_000, 2),
        "FF3" => Number(micros / 1_000, 3),
        "FF4" => Number(micros / 100, 4),
        "FF5" => Number(micros / 10, 5),
        "FF6" => Number(micros, 6),
        "SSSS" | "SSSSS" => Number(i64::from(at.num_seconds_from_midnight()), 0),
        "AM" | "PM" => Word(if at.hour() < 12 { "AM" } else { "PM" }.into(), 0),
        "A.M." | "P.M." => Word(if at.hour() < 12 { "A.M." } else { "P.M." }.into(), 0),
        "AD" | "BC" => Word(if at.year() > 0 { "AD" } else { "BC" }.into(), 0),
        "A.D." | "B.C." => Word(if at.year() > 0 { "A.D." } else { "B.C." }.into(), 0),
        "Y,YYY" => Word(format!("{},{:03}", year / 1_000, year % 1_000), 0),
        "YYYY" => Number(year, 4),
        "YYY" => Number(year % 1_000, 3),
        "YY" => Number(year % 100, 2),
        "Y" => Number(year % 10, 1),
        "IYYY" => Number(iso_year, 4),
        "IYY" => Number(iso_year % 1_000, 3),
        "IY" => Number(iso_year % 100, 2),
        "I" => Number(iso_year % 10, 1),
        "MONTH" => Word(MONTH_NAMES[month].into(), 9),
        "MON" => Word(MONTH_NAMES[month][..3].into(), 0),
        "MM" => Number(i64::from(at.month()), 2),
        "RM" => Word(ROMAN[month].into(), 4),
        "DAY" => Word(DAY_NAMES[weekday].into(), 9),
        "DY" => Word(DAY_NAMES[weekday][..3].into(), 0),
        "DDD" => Number(i64::from(at.ordinal()), 3),
        "IDDD" => Number(
            (i64::from(iso.week()) - 1) * 7 + i64::from(at.weekday().number_from_monday()),
            3,
        ),
        "DD" => Number(i64::from(at.day()), 2),
        "D" => Number(i64::from(at.weekday().number_from_sunday()), 1),
        "ID" => Number(i64::from(at.weekday().number_from_monday()), 1),
        "W" => Number(i64::from((at.day() - 1) / 7 + 1), 1),
        "WW" => Number(i64::from((at.ordinal() - 1) / 7 + 1), 2),
        "IW" => Number(i64::from(iso.week()), 2),
        "CC" => Number((year - 1) / 100 + 1, 2),
        // Day 0 of the Julian calendar is 1,721,425 days before the first of January of the year 1.
        "J" => Number(i64::from(at.num_days_from_ce()) + 1_721_425, 0),
        "Q" => Number(i64::from(at.month0() / 3 + 1), 1),
        "TZ" => Word(moment.zone.as_ref().map_or_else(String::new, |(name, _)| name.clone()), 0),
        "TZH" => Word(hours(ahead), 0),
        "TZM" => Word(format!("{:02}", ahead.unsigned_abs() / 60 % 60), 0),
        "OF" => match ahead.unsigned_abs() / 60 % 60 {
            0 => Word(hours(ahead), 0),
            minutes => Word(format!("{}:{minutes:02}", hours(ahead)), 0),
        },
        other => Word(other.into(), 0),
    }
}

fn hours(ahead: i32) -> String {
    let sign = if ahead < 0 { '-' } else { '+' };
    format!("{sign}{:02}", ahead.unsigned_abs() / 3_600)
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;

    use super::*;

    fn shown(format: &str, at: NaiveDateTime, zone: Option<(&str, i32)>) -> String {
        let zone = zone.map(|(name, ahead)| (name.to_owned(), ahead));
        let moment = Moment { local: at, zone };
        let mut text = String::new();
        parse(format).unwrap().iter().for_each(|item| item.write(&moment, &mut text));
        text
    }

    /// Answers of PostgreSQL 17 for `2024-02-29 15:04:05.678901`.
    #[test]
    fn test_patterns() {
        let day = NaiveDate::from_ymd_opt(2024, 2, 29).unwrap();
        let at = day.and_hms_micro_opt(15, 4, 5, 678_901).unwrap();
        for (format, wanted) in [
            ("YYYY-MM-DD HH24:MI:SS", "2024-02-29 15:04:05"),
            ("yyyy-mm-dd hh24:mi:ss.ms", "2024-02-29 15:04:05.678"),
            ("HH:MI:SS.US AM", "03:04:05.678901 PM"),
            ("HH12 a.m.", "03 p.m."),
            ("Day, DD Month YYYY", "Thursday , 29 February  2024"),
            ("FMDay, FMDD FMMonth YYYY", "Thursday, 29 February 2024"),
            ("DY DAY day Dy MON mon Mon", "THU THURSDAY  thursday  Thu FEB feb Feb"),
            ("DDD D ID Q W WW IW CC J", "060 5 4 1 5 09 09 21 2460370"),
            ("IYYY-IW-ID IDDD", "2024-09-4 060"),
            ("Y,YYY YYY YY Y", "2,024 024 24 4"),
            ("FMMM/FMDD/YY", "2/29/24"),
            ("DDth FMMMth", "29th 2nd"),
            ("SSSS FF3 FF1 RM rm", "54245 678 6 II   ii  "),
            ("\"Year\" YYYY \"and \\\"more\\\"\"", "Year 2024 and \"more\""),
            ("BC AD", "AD AD"),
            ("x+1", "x+1"),
        ] {
            assert_eq!(shown(format, at, None), wanted, "{format}");
        }
        assert_eq!(shown("TZ tz OF TZH:TZM", at, Some(("CET", 3_600))), "CET cet +01 +01:00");
        assert_eq!(shown("OF", at, Some(("", -12_600))), "-03:30");
        let midnight = day.and_hms_opt(0, 0, 0).unwrap();
        assert_eq!(shown("HH12 HH AM", midnight, None), "12 12 AM");
        let before = NaiveDate::from_ymd_opt(0, 1, 1).unwrap().and_hms_opt(0, 0, 0).unwrap();
        assert_eq!(shown("YYYY BC", before, None), "0001 BC");
    }
}
