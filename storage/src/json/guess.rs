//! What the values of a key may all be.
//!
//! Invariant: a type stays possible only while every value that was seen is one of it; values that have none in common are
//! texts, written as they stand in the file.

use std::sync::Arc;

use arrow::datatypes::{Field, Fields};

use super::token::{items, members, unescaped};
use crate::{
    csv::{format::Formats, guess::Guess as TextGuess},
    types::{LogicalType, TimeUnit},
};

/// What values may be.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) enum Guess {
    /// Nothing but nulls.
    #[default]
    Null,
    /// Booleans.
    Boolean,
    /// Whole numbers of 64 bits.
    Integer,
    /// Whole numbers of up to 38 digits.
    Huge,
    /// Numbers.
    Float,
    /// Strings that are all dates, times or timestamps, or are not.
    Text(TextGuess),
    /// Arrays.
    List(Box<Guess>),
    /// Objects of these keys.
    Object(Vec<(String, Guess)>),
    /// Anything.
    Any,
}

impl Guess {
    /// What a checked value is.
    pub(crate) fn of(text: &str, formats: &Formats) -> Self {
        let bytes = text.as_bytes();
        match bytes.first() {
            Some(b'n') => Self::Null,
            Some(b't' | b'f') => Self::Boolean,
            Some(b'"') => {
                let text = unescaped(text);
                let mut guess = TextGuess::default();
                // Numbers and booleans in quotes are meant as texts.
                match text.contains(['-', ':', '/', '.']) && text.parse::<f64>().is_err() {
                    true => guess.see(text.as_bytes(), formats),
                    false => guess.see(b"\0", formats),
                }
                Self::Text(guess)
            }
            Some(b'[') => {
                let mut item = Self::Null;
                items(bytes, 0, |(start, end)| {
                    let found = Self::of(&text[start..end], formats);
                    item = std::mem::take(&mut item).join(found);
                });
                Self::List(Box::new(item))
            }
            Some(b'{') => {
                let mut known: Vec<(String, Self)> = Vec::new();
                members(bytes, 0, |key, value| {
                    let key = unescaped(&text[key.0..key.1]);
                    let found = Self::of(&text[value.0..value.1], formats);
                    if !known.iter().any(|(name, _)| *name == key) {
                        known.push((key.into_owned(), found));
                    }
                });
                Self::Object(known)
            }
            _ => number(text),
        }
    }

    /// Both taken together.
    pub(crate) fn join(self, other: Self) -> Self {
        let rank = |guess: &Self| match guess {
            Self::Integer => Some(0),
            Self::Huge => Some(1),
            Self::Float => Some(2),
            _ => None,
        };
        match (self, other) {
            (Self::Null, guess) | (guess, Self::Null) => guess,
            (Self::Boolean, Self::Boolean) => Self::Boolean,
            (Self::Text(a), Self::Text(b)) => Self::Text(a.join(b)),
            (Self::List(a), Self::List(b)) => Self::List(Box::new(a.join(*b))),
            (Self::Object(mut a), Self::Object(b)) => {
                for (key, guess) in b {
                    match a.iter_mut().find(|(known, _)| *known == key) {
                        Some((_, known)) => *known = std::mem::take(known).join(guess),
                        None => a.push((key, guess)),
                    }
                }
                Self::Object(a)
            }
            (a, b) => match (rank(&a), rank(&b)) {
                (Some(left), Some(right)) if left >= right => a,
                (Some(_), Some(_)) => b,
                _ => Self::Any,
            },
        }
    }

    /// The best type.
    pub(crate) fn ty(&self) -> LogicalType {
        match self {
            Self::Boolean => LogicalType::Boolean,
            Self::Integer => LogicalType::Int64,
            Self::Huge => LogicalType::Decimal { precision: 38, scale: 0 },
            Self::Float => LogicalType::Float64,
            Self::Text(guess) => match guess.ty() {
                ty @ (LogicalType::Date | LogicalType::Time(TimeUnit::Microsecond)) => ty,
                ty @ LogicalType::Timestamp(..) => ty,
                _ => LogicalType::Text,
            },
            Self::List(item) => {
                LogicalType::List(Arc::new(Field::new("item", item.ty().to_arrow(), true)))
            }
            Self::Object(fields) if !fields.is_empty() => {
                let field =
                    |(name, guess): &(String, Self)| Field::new(name, guess.ty().to_arrow(), true);
                LogicalType::Struct(fields.iter().map(field).collect::<Fields>())
            }
            Self::Null | Self::Object(_) | Self::Any => LogicalType::Text,
        }
    }
}

fn number(text: &str) -> Guess {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Guess::Float;
    }
    match digits.len() {
        _ if text.parse::<i64>().is_ok() => Guess::Integer,
        1..=38 => Guess::Huge,
        _ => Guess::Float,
    }
}
