//! Which types the texts of a column may all be of.
//!
//! Invariant: a type stays possible only while every text that was seen is a value of it in a spelling that nobody means
//! otherwise: `007` is no number, `1` no boolean. What is guessed here `convert.rs` reads.
//! Next: `sniff.rs`.

use super::format::Formats;
use crate::{
    text::{parse_clock, parse_float},
    types::{LogicalType, TimeUnit},
};

/// The types that are tried, best first.
const TYPES: [LogicalType; 7] = [
    LogicalType::Boolean,
    LogicalType::Int64,
    LogicalType::Decimal { precision: 38, scale: 0 },
    LogicalType::Float64,
    LogicalType::Date,
    LogicalType::Time(TimeUnit::Microsecond),
    LogicalType::Timestamp(TimeUnit::Microsecond, None),
];
const BOOLEAN: u8 = 1;
const INTEGER: u8 = 1 << 1;
const HUGE: u8 = 1 << 2;
const FLOAT: u8 = 1 << 3;
const DATE: u8 = 1 << 4;
const TIME: u8 = 1 << 5;
const TIMESTAMP: u8 = 1 << 6;
const INSTANT: u8 = 1 << 7;

/// What the texts of a column may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Guess {
    possible: u8,
    /// Whether there was a text other than NULL.
    seen: bool,
}

impl Default for Guess {
    fn default() -> Self {
        Self { possible: u8::MAX, seen: false }
    }
}

impl Guess {
    /// Takes a text into account, not one that means NULL.
    pub(crate) fn see(&mut self, text: &[u8], formats: &Formats) {
        self.seen = true;
        if self.possible != 0 {
            self.possible &= types_of(text.trim_ascii(), self.possible, formats);
        }
    }

    /// Both columns' texts taken together.
    pub(crate) fn join(self, other: Self) -> Self {
        Self { possible: self.possible & other.possible, seen: self.seen || other.seen }
    }

    /// Whether a text fits the type that was found so far.
    pub(crate) fn fits(self, text: &[u8], formats: &Formats) -> bool {
        let mut both = self;
        both.see(text, formats);
        self.ty() == both.ty() || (self.is_number() && both.is_number())
    }

    fn is_number(self) -> bool {
        self.ty().is_numeric()
    }

    /// Whether the column is text, or nothing but NULLs.
    pub(crate) fn is_text(self) -> bool {
        !self.seen || self.possible == 0
    }

    /// The best type.
    pub(crate) fn ty(self) -> LogicalType {
        if self.is_text() {
            return LogicalType::Text;
        }
        let best = TYPES.get(self.possible.trailing_zeros() as usize);
        // The bit after the last of them.
        let instant = || LogicalType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        best.map_or_else(instant, LogicalType::clone)
    }
}

/// Which of the types `among` a text without blanks around it is of.
fn types_of(text: &[u8], among: u8, formats: &Formats) -> u8 {
    let mut types = 0;
    let Some(first) = text.first() else { return 0 };
    if first.is_ascii_digit() || matches!(first, b'-' | b'.') {
        types |= number(text);
    } else if among & BOOLEAN != 0 && is_boolean(text) {
        types |= BOOLEAN;
    }
    if among & FLOAT != 0 && is_named_float(text) {
        types |= FLOAT;
    }
    if among & DATE != 0 && (formats.date.is_some() || is_dated(text)) {
        types |= if formats.date(text).is_some() { DATE } else { 0 };
    }
    if among & TIME != 0 && text.contains(&b':') {
        let text = std::str::from_utf8(text).unwrap_or_default();
        let is_time = parse_clock(text, 1_000_000).is_some_and(|(_, rest)| rest.is_empty());
        types |= if is_time { TIME } else { 0 };
    }
    let timed = formats.timestamp.is_some() || (is_dated(text) && text.contains(&b':'));
    if among & (TIMESTAMP | INSTANT) != 0 && timed {
        // A column with zones in some rows only is one of instants.
        types |= if formats.timestamp(text, 1_000_000, false).is_some() { TIMESTAMP } else { 0 };
        types |= if formats.timestamp(text, 1_000_000, true).is_some() { INSTANT } else { 0 };
    }
    types
}

fn is_boolean(text: &[u8]) -> bool {
    ["true", "false", "t", "f", "yes", "no"]
        .iter()
        .any(|word| text.eq_ignore_ascii_case(word.as_bytes()))
}

fn is_named_float(text: &[u8]) -> bool {
    let name = text.strip_prefix(b"-").unwrap_or(text);
    ["nan", "inf", "infinity"].iter().any(|word| name.eq_ignore_ascii_case(word.as_bytes()))
}

/// Whether a text begins with a year of four digits and a dash.
fn is_dated(text: &[u8]) -> bool {
    text.get(4) == Some(&b'-') && text[..4].iter().all(u8::is_ascii_digit)
}

/// The kinds of numbers that a text is.
fn number(text: &[u8]) -> u8 {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let whole = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if whole > 1 && digits[0] == b'0' {
        return 0;
    }
    let Ok(text) = std::str::from_utf8(text) else { return 0 };
    if whole < digits.len() {
        let plain = |&byte: &u8| byte.is_ascii_digit() || b".eE+-".contains(&byte);
        let is_float = digits.iter().all(plain) && parse_float::<f64>(text).is_some();
        return if is_float { FLOAT } else { 0 };
    }
    match whole {
        0 => 0,
        _ if text.parse::<i64>().is_ok() => INTEGER | HUGE | FLOAT,
        1..=38 => HUGE | FLOAT,
        _ => FLOAT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guess(texts: &[&str]) -> String {
        let mut guess = Guess::default();
        texts.iter().for_each(|text| guess.see(text.as_bytes(), &Formats::default()));
        guess.ty().to_string()
    }

    #[test]
    fn test_guess_takes_the_best_type_of_all() {
        let day = "2024-01-02";
        for (texts, ty) in [
            (&[][..], "VARCHAR"),
            (&["true", "F", "yes", "NO"], "BOOLEAN"),
            (&["y", "n"], "VARCHAR"),
            (&["1", "0"], "BIGINT"),
            (&["1", "true"], "VARCHAR"),
            (&["-9223372036854775808", " 7 "], "BIGINT"),
            (&["9223372036854775808", "1"], "DECIMAL(38,0)"),
            (&["9223372036854775808", "1.5"], "DOUBLE"),
            (&["1e5", ".5", "5.", "-nan", "Infinity"], "DOUBLE"),
            (&["1e999"], "VARCHAR"),
            (&["007"], "VARCHAR"),
            (&["-0"], "BIGINT"),
            (&["+5"], "VARCHAR"),
            (&["1_000"], "VARCHAR"),
            (&["0x10"], "VARCHAR"),
            (&["-"], "VARCHAR"),
            (&["."], "VARCHAR"),
            (&[" "], "VARCHAR"),
            (&[day, "2024-2-3"], "DATE"),
            (&["2023-02-29"], "VARCHAR"),
            (&["1-2-3"], "VARCHAR"),
            (&["3:04", "03:04:05.5"], "TIME"),
            (&["2024-01-02 03:04:05", "2024-01-02T03:04"], "TIMESTAMP"),
            (&["2024-01-02 03:04:05", "2024-01-02T03:04Z"], "TIMESTAMP WITH TIME ZONE"),
            (&[day, "2024-01-02 03:04:05"], "VARCHAR"),
        ] {
            assert_eq!(guess(texts), ty, "{texts:?}");
        }
    }
}
