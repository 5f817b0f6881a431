//! Dates and timestamps as texts: ISO 8601, or a format with the specifiers of `strptime`.
//!
//! Invariant: the whole text is a date or timestamp of the format, or there is no value.
//! Next: `convert.rs`, `guess.rs`.

use crate::{
    error::{Result, StorageError},
    text::{days_of, month_days, parse_clock, parse_date, parse_offset},
};

const DAY_SECONDS: i64 = 86_400;
const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
const DAYS: [&str; 7] =
    ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

/// How dates and timestamps are written; ISO 8601 where there is no format.
#[derive(Debug, Clone, Default)]
pub(crate) struct Formats {
    /// Of dates.
    pub date: Option<Format>,
    /// Of timestamps.
    pub timestamp: Option<Format>,
}

impl Formats {
    /// What the options `dateformat` and `timestampformat` say.
    ///
    /// # Errors
    /// `Value` for a format that is none.
    pub(crate) fn new(date: Option<&str>, timestamp: Option<&str>) -> Result<Self> {
        let format =
            |name: &str, text: Option<&str>| text.map(|text| Format::parse(name, text)).transpose();
        Ok(Self {
            date: format("dateformat", date)?,
            timestamp: format("timestampformat", timestamp)?,
        })
    }

    /// A date as days since 1970.
    pub(crate) fn date(&self, text: &[u8]) -> Option<i32> {
        let day = match &self.date {
            Some(format) => format.read(text)?.day()?,
            None => match iso_day(text) {
                Some((day, 10)) if text.len() == 10 => day,
                _ => {
                    let (day, rest) = parse_date(std::str::from_utf8(text).ok()?)?;
                    rest.is_empty().then_some(day)?
                }
            },
        };
        i32::try_from(day).ok()
    }

    /// A timestamp in units since 1970. With `zoned` a zone may follow, and it is UTC without one; otherwise none may.
    pub(crate) fn timestamp(&self, text: &[u8], per_second: i64, zoned: bool) -> Option<i64> {
        let (day, within, offset) = match &self.timestamp {
            Some(format) => {
                let found = format.read(text)?;
                (found.day()?, found.clock(per_second)?, found.offset)
            }
            None => iso_timestamp(text, per_second)?,
        };
        if offset.is_some() && !zoned {
            return None;
        }
        let seconds = day.checked_mul(DAY_SECONDS)?.checked_sub(offset.unwrap_or(0))?;
        seconds.checked_mul(per_second)?.checked_add(within)
    }
}

/// A number of exactly so many digits.
fn fixed(text: &[u8]) -> Option<i64> {
    text.iter().try_fold(0, |number, byte| {
        byte.is_ascii_digit().then(|| number * 10 + i64::from(byte - b'0'))
    })
}

/// `YYYY-MM-DD` in front: the day and how many bytes it takes.
fn iso_day(text: &[u8]) -> Option<(i64, usize)> {
    let text = text.first_chunk::<10>()?;
    if text[4] != b'-' || text[7] != b'-' {
        return None;
    }
    let (year, month, day) = (fixed(&text[..4])?, fixed(&text[5..7])?, fixed(&text[8..])?);
    let (month, day) = (u32::try_from(month).ok()?, u32::try_from(day).ok()?);
    let valid = (1..=12).contains(&month) && (1..=month_days(year, month)).contains(&day);
    valid.then(|| (days_of(year, month, day), 10))
}

/// Day, units within it, and the offset of a zone in seconds.
fn iso_timestamp(text: &[u8], per_second: i64) -> Option<(i64, i64, Option<i64>)> {
    // The usual shape first: `YYYY-MM-DD hh:mm:ss`.
    if text.len() == 19
        && let Some((day, _)) = iso_day(text)
        && matches!(text[10], b' ' | b'T')
        && (text[13], text[16]) == (b':', b':')
    {
        let part = |at: usize, most: i64| fixed(&text[at..at + 2]).filter(|part| *part < most);
        let seconds = (part(11, 24)? * 60 + part(14, 60)?) * 60 + part(17, 60)?;
        return Some((day, seconds * per_second, None));
    }
    let text = std::str::from_utf8(text).ok()?;
    let (day, rest) = parse_date(text)?;
    let (within, rest) = match rest.strip_prefix(['T', ' ']) {
        Some(clock) => parse_clock(clock.trim_start(), per_second)?,
        None if rest.is_empty() => return Some((day, 0, None)),
        None => return None,
    };
    let offset = match rest.trim() {
        "" => None,
        "Z" | "z" | "UTC" => Some(0),
        zone => Some(parse_offset(zone)?),
    };
    Some((day, within, offset))
}

/// A format of dates and times.
#[derive(Debug, Clone)]
pub(crate) struct Format {
    items: Vec<Item>,
}

#[derive(Debug, Clone, Copy)]
enum Item {
    Literal(char),
    Year,
    ShortYear,
    Month,
    MonthName,
    Day,
    WeekdayName,
    Hour,
    HalfDayHour,
    Noon,
    Minute,
    Second,
    Fraction,
    Offset,
}

/// What a text says.
#[derive(Debug, Clone, Copy, Default)]
struct Found {
    year: i64,
    month: i64,
    date: i64,
    hour: i64,
    afternoon: Option<bool>,
    minute: i64,
    second: i64,
    nanos: i64,
    offset: Option<i64>,
}

impl Found {
    fn day(&self) -> Option<i64> {
        let (month, date) = (u32::try_from(self.month).ok()?, u32::try_from(self.date).ok()?);
        let valid = (1..=12).contains(&month) && (1..=month_days(self.year, month)).contains(&date);
        valid.then(|| days_of(self.year, month, date))
    }

    fn clock(&self, per_second: i64) -> Option<i64> {
        let hour = match self.afternoon {
            Some(_) if !(1..=12).contains(&self.hour) => return None,
            Some(afternoon) => self.hour % 12 + if afternoon { 12 } else { 0 },
            None => self.hour,
        };
        if hour > 23 || self.minute > 59 || self.second > 59 {
            return None;
        }
        let seconds = (hour * 60 + self.minute) * 60 + self.second;
        Some(seconds * per_second + self.nanos / (1_000_000_000 / per_second))
    }
}

impl Format {
    /// A format from its text.
    ///
    /// # Errors
    /// `Value`, naming the option and the specifier that is not known.
    pub(crate) fn parse(option: &str, text: &str) -> Result<Self> {
        let mut items = Vec::new();
        let mut chars = text.chars();
        while let Some(char) = chars.next() {
            if char != '%' {
                items.push(Item::Literal(char));
                continue;
            }
            let mut specifier = chars.next();
            if specifier == Some('-') {
                // Without leading zeros: reading takes them or not anyway.
                specifier = chars.next();
            }
            match specifier {
                Some('Y') => items.push(Item::Year),
                Some('y') => items.push(Item::ShortYear),
                Some('m') => items.push(Item::Month),
                Some('b' | 'B' | 'h') => items.push(Item::MonthName),
                Some('d' | 'e') => items.push(Item::Day),
                Some('a' | 'A') => items.push(Item::WeekdayName),
                Some('H') => items.push(Item::Hour),
                Some('I') => items.push(Item::HalfDayHour),
                Some('p') => items.push(Item::Noon),
                Some('M') => items.push(Item::Minute),
                Some('S') => items.push(Item::Second),
                Some('f' | 'g' | 'n') => items.push(Item::Fraction),
                Some('z') => items.push(Item::Offset),
                Some('%') => items.push(Item::Literal('%')),
                Some('F') => items.extend(Self::parse(option, "%Y-%m-%d")?.items),
                Some('T') => items.extend(Self::parse(option, "%H:%M:%S")?.items),
                other => {
                    let specifier = other.map_or(String::new(), String::from);
                    return Err(StorageError::Value(format!(
                        "the option {option} has a specifier %{specifier}, which is not known"
                    )));
                }
            }
        }
        if items.is_empty() {
            return Err(StorageError::Value(format!("the option {option} must not be empty")));
        }
        Ok(Self { items })
    }

    fn read(&self, text: &[u8]) -> Option<Found> {
        let mut rest = std::str::from_utf8(text).ok()?;
        let mut found = Found { year: 1900, month: 1, date: 1, ..Found::default() };
        for item in &self.items {
            match item {
                Item::Literal(char) => rest = rest.strip_prefix(*char)?,
                Item::Year => found.year = digits(&mut rest, 4)?,
                Item::ShortYear => {
                    let year = digits(&mut rest, 2)?;
                    found.year = year + if year < 69 { 2_000 } else { 1_900 };
                }
                Item::Month => found.month = digits(&mut rest, 2)?,
                Item::MonthName => found.month = name(&mut rest, &MONTHS)? + 1,
                Item::Day => found.date = digits(&mut rest, 2)?,
                Item::WeekdayName => {
                    name(&mut rest, &DAYS)?;
                }
                Item::Hour => found.hour = digits(&mut rest, 2)?,
                Item::HalfDayHour => {
                    found.hour = digits(&mut rest, 2)?;
                    found.afternoon.get_or_insert(false);
                }
                Item::Noon => found.afternoon = Some(name(&mut rest, &["am", "pm"])? == 1),
                Item::Minute => found.minute = digits(&mut rest, 2)?,
                Item::Second => found.second = digits(&mut rest, 2)?,
                Item::Fraction => {
                    let before = rest.len();
                    let fraction = digits(&mut rest, 9)?;
                    let count = u32::try_from(before - rest.len()).ok()?;
                    found.nanos = fraction * 10_i64.pow(9 - count);
                }
                Item::Offset => {
                    let signs = |c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | ':');
                    let end = rest.find(|c| !signs(c)).unwrap_or(rest.len());
                    let (offset, tail) = match rest.strip_prefix('Z') {
                        Some(tail) => (0, tail),
                        None => (parse_offset(&rest[..end])?, &rest[end..]),
                    };
                    found.offset = Some(offset);
                    rest = tail;
                }
            }
        }
        rest.is_empty().then_some(found)
    }
}

/// One to `most` digits in front.
fn digits(rest: &mut &str, most: usize) -> Option<i64> {
    let count = rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
    let number = (count > 0).then(|| rest[..count].parse().ok()).flatten();
    *rest = &rest[count..];
    number
}

/// Which of the names stands in front, whole or as its first three letters.
fn name(rest: &mut &str, names: &[&str]) -> Option<i64> {
    let starts =
        |name: &str| rest.get(..name.len()).is_some_and(|front| front.eq_ignore_ascii_case(name));
    let mut all = names.iter().enumerate();
    let (at, length) = all.find_map(|(at, name)| {
        let front = &name[..name.len().min(3)];
        if starts(name) {
            Some((at, name.len()))
        } else {
            starts(front).then_some((at, front.len()))
        }
    })?;
    *rest = &rest[length..];
    i64::try_from(at).ok()
}

/// A format of moments as SQL's `strptime` has it.
#[derive(Debug, Clone)]
pub struct MomentFormat(Format);

impl MomentFormat {
    /// A format from its text, with the specifiers of `strptime`.
    ///
    /// # Errors
    /// `Value`, naming the specifier that is not known.
    pub fn parse(text: &str) -> Result<Self> {
        Format::parse("format", text).map(Self)
    }

    /// The moment that a text says, in microseconds since 1970, in UTC where it has an offset; `None` where it is not
    /// of the format.
    pub fn micros(&self, text: &str) -> Option<i64> {
        const PER_SECOND: i64 = 1_000_000;
        let found = self.0.read(text.as_bytes())?;
        let seconds = found.day()?.checked_mul(DAY_SECONDS)?;
        let seconds = seconds.checked_sub(found.offset.unwrap_or(0))?;
        seconds.checked_mul(PER_SECOND)?.checked_add(found.clock(PER_SECOND)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(format: &str, text: &str) -> Option<i64> {
        let timestamp = Some(Format::parse("timestampformat", format).unwrap());
        Formats { date: None, timestamp }.timestamp(text.as_bytes(), 1_000_000, true)
    }

    #[test]
    fn test_formats_read_what_they_say() {
        let noon = Some(1_709_208_000_000_000);
        assert_eq!(read("%Y-%m-%d %H:%M:%S", "2024-02-29 12:00:00"), noon);
        assert_eq!(read("%d/%m/%y %I:%M %p", "29/2/24 12:00 PM"), noon);
        assert_eq!(read("%a, %d %b %Y %T %z", "Thu, 29 Feb 2024 14:00:00 +02:00"), noon);
        assert_eq!(read("%B %-d %Y %H", "february 29 2024 12"), noon);
        assert_eq!(read("%F %T.%f", "2024-02-29 12:00:00.5"), noon.map(|n| n + 500_000));
        for (format, text) in [
            ("%Y-%m-%d", "2024-02-30"),
            ("%Y-%m-%d", "2024-02-29x"),
            ("%Y-%m-%d", "2024-02"),
            ("%H:%M", "24:00"),
            ("%I %p", "13 pm"),
            ("%b", "foo"),
        ] {
            assert_eq!(read(format, text), None, "{format} {text}");
        }
        assert!(Format::parse("dateformat", "%Q").unwrap_err().to_string().contains("%Q"));
        assert!(Format::parse("dateformat", "").is_err());
        assert!(Format::parse("dateformat", "%").is_err());
    }

    #[test]
    fn test_iso_dates_and_timestamps() {
        let formats = Formats::default();
        assert_eq!(formats.date(b"1970-01-02"), Some(1));
        assert_eq!(formats.date(b"2024-2-9"), formats.date(b"2024-02-09"));
        for bad in ["2024-02-30", "2024-02-09 ", "2024-02-09 10:00:00", "", "x", "2024-13-01"] {
            assert_eq!(formats.date(bad.as_bytes()), None, "{bad}");
        }
        let read = |text: &str, zoned| formats.timestamp(text.as_bytes(), 1_000, zoned);
        assert_eq!(read("1970-01-01 00:00:01", false), Some(1_000));
        assert_eq!(read("1970-01-01T00:00:01.25", false), Some(1_250));
        assert_eq!(read("1970-01-02", false), Some(86_400_000));
        assert_eq!(read("1970-01-01 01:00:00+01", true), Some(0));
        assert_eq!(read("1970-01-01 00:00:00Z", true), Some(0));
        for bad in ["1970-01-01 00:00:00Z", "1970-01-01 24:00:00", "1970-01-01x00:00:00", "1"] {
            assert_eq!(read(bad, false), None, "{bad}");
        }
        assert_eq!(formats.timestamp(b"300000-01-01 00:00:00", 1_000_000_000, false), None);
    }
}
