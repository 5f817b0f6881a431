//! LIKE and ILIKE.
//!
//! Invariants: a pattern is compiled once per constant and once per change of value otherwise; `%` stands for any
//! text, `_` for one character (one byte in blobs), the escape character makes the next one literal. ILIKE folds case
//! by Unicode's simple rules. Next: `text.rs`.

use arrow::{
    array::{Array, BooleanArray},
    buffer::BooleanBuffer,
};
use memchr::memmem::Finder;
use regex::bytes::{Regex, RegexBuilder};
use stoadb_storage::{LogicalType, Vector};

use crate::{
    error::{EngineError, Result},
    kernel::{
        arity::union_nulls,
        physical::{Bytes, boolean_vector},
    },
};

/// How a pattern is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LikeOptions {
    /// The escape character; `None`: backslash.
    pub(crate) escape: Option<char>,
    /// ILIKE.
    pub(crate) ignore_case: bool,
    /// NOT LIKE.
    pub(crate) negated: bool,
}

/// A compiled pattern.
pub(crate) enum Pattern {
    /// Equal to a text.
    Exact(Vec<u8>),
    /// Begins with a text.
    Prefix(Vec<u8>),
    /// Ends with a text.
    Suffix(Vec<u8>),
    /// Contains a text.
    Contains(Box<Finder<'static>>),
    /// Begins, contains in order, and ends with texts.
    Pieces { prefix: Vec<u8>, inner: Vec<Finder<'static>>, suffix: Vec<u8> },
    /// Everything else.
    Regex(Box<Regex>),
}

/// A pattern's elements.
enum Token {
    Char(char),
    AnyChar,
    AnyText,
}

impl Pattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// `Value` when it ends with the escape character.
    pub(crate) fn compile(pattern: &str, options: LikeOptions, blob: bool) -> Result<Self> {
        let tokens = tokens(pattern, options.escape.unwrap_or('\\'))?;
        let plain = !tokens.iter().any(|token| matches!(token, Token::AnyChar))
            && (!options.ignore_case || !has_letters(&tokens));
        if !plain {
            return regex(&tokens, options.ignore_case, blob);
        }
        let mut pieces = vec![String::new()];
        for token in &tokens {
            match (token, pieces.last_mut()) {
                (Token::Char(c), Some(piece)) => piece.push(*c),
                _ => pieces.push(String::new()),
            }
        }
        let mut pieces: Vec<Vec<u8>> = pieces.into_iter().map(String::into_bytes).collect();
        let (Some(suffix), prefix) = (pieces.pop(), pieces.first().cloned()) else {
            return Err(EngineError::Internal("a LIKE pattern without pieces".into()));
        };
        let Some(prefix) = prefix else { return Ok(Self::Exact(suffix)) };
        let mut inner: Vec<Vec<u8>> =
            pieces.into_iter().skip(1).filter(|piece| !piece.is_empty()).collect();
        Ok(match (prefix.is_empty(), inner.len(), suffix.is_empty()) {
            (_, 0, true) => Self::Prefix(prefix),
            (true, 0, false) => Self::Suffix(suffix),
            (true, 1, true) => Self::Contains(Box::new(Finder::new(&inner.remove(0)).into_owned())),
            _ => {
                let inner = inner.iter().map(|piece| Finder::new(piece).into_owned()).collect();
                Self::Pieces { prefix, inner, suffix }
            }
        })
    }

    /// Whether a text matches.
    pub(crate) fn matches(&self, text: &[u8]) -> bool {
        match self {
            Self::Exact(exact) => text == exact.as_slice(),
            Self::Prefix(prefix) => text.starts_with(prefix),
            Self::Suffix(suffix) => text.ends_with(suffix),
            Self::Contains(finder) => finder.find(text).is_some(),
            Self::Pieces { prefix, inner, suffix } => {
                let Some(mut rest) = text.strip_prefix(prefix.as_slice()) else { return false };
                for finder in inner {
                    let Some(at) = finder.find(rest) else { return false };
                    rest = &rest[at + finder.needle().len()..];
                }
                rest.ends_with(suffix)
            }
            Self::Regex(regex) => regex.is_match(text),
        }
    }
}

fn has_letters(tokens: &[Token]) -> bool {
    tokens.iter().any(|token| matches!(token, Token::Char(c) if c.is_alphabetic()))
}

fn tokens(pattern: &str, escape: char) -> Result<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        tokens.push(match c {
            c if c == escape => Token::Char(chars.next().ok_or_else(|| {
                EngineError::Value(format!(
                    "the LIKE pattern '{pattern}' ends with its escape character"
                ))
            })?),
            '%' => Token::AnyText,
            '_' => Token::AnyChar,
            c => Token::Char(c),
        });
    }
    Ok(tokens)
}

fn regex(tokens: &[Token], ignore_case: bool, blob: bool) -> Result<Pattern> {
    let mut text = String::from("^");
    for token in tokens {
        match token {
            Token::Char(c) => text.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
            Token::AnyChar if blob => text.push_str("(?-u:.)"),
            Token::AnyChar => text.push('.'),
            Token::AnyText => text.push_str("(?-u:.*)"),
        }
    }
    text.push('$');
    let regex = RegexBuilder::new(&text)
        .dot_matches_new_line(true)
        .case_insensitive(ignore_case)
        .size_limit(64 << 20)
        .build()
        .map_err(|error| EngineError::Value(format!("the LIKE pattern is too long: {error}")))?;
    Ok(Pattern::Regex(Box::new(regex)))
}

/// LIKE with a compiled pattern.
pub(crate) fn like_constant(
    input: &Vector,
    rows: usize,
    pattern: &Pattern,
    negated: bool,
) -> Result<Vector> {
    let bytes = Bytes::new(input)?;
    let array = &bytes.array;
    let bits = match pattern {
        Pattern::Contains(finder) if !bytes.constant => contains(array, finder, negated),
        _ => BooleanBuffer::collect_bool(rows, |row| pattern.matches(bytes.get(row)) != negated),
    };
    Ok(boolean_vector(BooleanArray::new(bits, input.nulls())))
}

/// Substring search over each value; values shorter than the needle are not touched.
fn contains(
    array: &arrow::array::BinaryViewArray,
    finder: &Finder<'_>,
    negated: bool,
) -> BooleanBuffer {
    let least = finder.needle().len();
    let views: &[u128] = array.views();
    BooleanBuffer::collect_bool(array.len(), |row| {
        let long_enough = (views[row] as u32) as usize >= least;
        (long_enough && finder.find(array.value(row)).is_some()) != negated
    })
}

/// LIKE with a pattern per row, of which the last is kept compiled.
pub(crate) fn like(
    input: &Vector,
    pattern: &Vector,
    rows: usize,
    options: LikeOptions,
) -> Result<Vector> {
    let blob = input.ty()? == LogicalType::Blob;
    let (values, patterns) = (Bytes::new(input)?, Bytes::new(pattern)?);
    let nulls = union_nulls(input.nulls().as_ref(), pattern.nulls().as_ref());
    let mut last: Option<(Vec<u8>, Pattern)> = None;
    let mut bits = vec![false; rows];
    for (row, bit) in bits.iter_mut().enumerate() {
        if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            continue;
        }
        let text = patterns.get(row);
        let compiled = match last.take() {
            Some((known, compiled)) if known == text => (known, compiled),
            _ => {
                let pattern = String::from_utf8_lossy(text);
                (text.to_vec(), Pattern::compile(&pattern, options, blob)?)
            }
        };
        *bit = compiled.1.matches(values.get(row)) != options.negated;
        last = Some(compiled);
    }
    Ok(boolean_vector(BooleanArray::new(bits.into(), nulls)))
}
