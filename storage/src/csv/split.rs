//! Bytes to records and fields.
//!
//! How: eight bytes at a time are compared with the delimiter and the line end; the matches are walked one by one.
//! A quote counts only where a field begins (blanks before it aside); within quotes the search is for the quote alone.
//! Invariant: a record is given to the sink whole or not at all, and what is given depends on the bytes alone, not on
//! how they were cut into buffers.
//! Next: `bounds.rs`, which must agree with this file on what a quote is; `convert.rs`.

use std::ops::ControlFlow;

use super::{MAX_RECORD, options::Dialect};

/// A field: where its text stands in the buffer, quotes left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Span {
    /// The first byte.
    pub start: u32,
    /// Bytes, and in the two highest bits whether there are escapes among them and quotes around them.
    length: u32,
}

/// The mark of a span with escapes.
const ESCAPED: u32 = 1 << 31;
/// The mark of a span that stood in quotes.
const QUOTED: u32 = 1 << 30;

impl Span {
    /// The span of a NULL that is none of the texts that mean it.
    pub(crate) const NULL: Self = Self { start: u32::MAX, length: 0 };

    /// Whether it is `NULL`.
    pub(crate) fn is_null(self) -> bool {
        self == Self::NULL
    }

    /// The bytes from `start` to `end`.
    pub(crate) fn new(start: usize, end: usize, escaped: bool) -> Self {
        // Buffers are far smaller than 2^30 bytes: `input.rs` sees to it.
        let length = (end - start) as u32;
        Self { start: start as u32, length: if escaped { length | ESCAPED } else { length } }
    }

    /// The same as one that stood in quotes.
    fn in_quotes(self) -> Self {
        Self { length: self.length | QUOTED, ..self }
    }

    /// Bytes in the file, quotes left out.
    pub(crate) fn len(self) -> usize {
        (self.length & !(ESCAPED | QUOTED)) as usize
    }

    /// Whether it stood in quotes.
    pub(crate) fn is_quoted(self) -> bool {
        self.length & QUOTED != 0
    }

    /// Whether bytes are escaped.
    pub(crate) fn is_escaped(self) -> bool {
        self.length & ESCAPED != 0
    }

    /// The text, still escaped.
    pub(crate) fn of(self, bytes: &[u8]) -> &[u8] {
        let start = self.start as usize;
        bytes.get(start..start + self.len()).unwrap_or_default()
    }
}

/// What takes the fields.
pub(crate) trait Sink {
    /// A field of the record that is being read. When a record turns out to be incomplete, it comes again.
    fn field(&mut self, column: usize, span: Span);
    /// The end of a record of `columns` fields that begins at `start`; `blank` when its line is empty.
    fn record(&mut self, start: usize, columns: usize, blank: bool) -> ControlFlow<()>;
}

/// Why a record cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// A quote is not closed before the end of the file.
    Open,
    /// A closing quote is followed by something other than a delimiter or a line end.
    AfterQuote,
    /// It has more than `MAX_RECORD` bytes.
    Long,
}

/// Reads the records that begin before `until`. Gives the start of the first record that was not read: at `until`,
/// after the sink broke off, or where the buffer ends within a record (never if `last`, when the file ends with it).
///
/// # Errors
/// A malformed record and its start.
pub(crate) fn split(
    bytes: &[u8],
    from: usize,
    until: usize,
    last: bool,
    dialect: &Dialect,
    sink: &mut impl Sink,
) -> Result<usize, (usize, Malformed)> {
    let mut marks = Marks::new(bytes, from, dialect);
    let mut start = from;
    while start < bytes.len() && start < until {
        if dialect.comment.is_some() && bytes.get(start).copied() == dialect.comment {
            let line = memchr::memchr(dialect.line_end, &bytes[start..]);
            start = match line {
                Some(length) => start + length + 1,
                None if last => bytes.len(),
                None => return Ok(start),
            };
            marks.seek(start);
            continue;
        }
        let (mut at, mut columns) = (start, 0);
        let (next, blank) = loop {
            let (span, end) = match opening(bytes, at, dialect) {
                Some(open) => match quoted(bytes, open + 1, last, dialect) {
                    Err(malformed) => return Err((start, malformed)),
                    Ok(None) => return Ok(start),
                    Ok(Some((span, end))) => {
                        marks.seek(end);
                        (span, marks.next().unwrap_or(bytes.len()))
                    }
                },
                None => match marks.next() {
                    Some(end) => (Span::new(at, trimmed(bytes, at, end, dialect), false), end),
                    None if last => {
                        let end = bytes.len();
                        (Span::new(at, trimmed(bytes, at, end, dialect), false), end)
                    }
                    None => return Ok(start),
                },
            };
            sink.field(columns, span);
            columns += 1;
            match bytes.get(end) {
                Some(&byte) if byte != dialect.line_end => at = end + 1,
                found => {
                    let blank = columns == 1 && span.len() == 0 && span.start as usize == start;
                    break (end + usize::from(found.is_some()), blank);
                }
            }
        };
        if next - start > MAX_RECORD {
            return Err((start, Malformed::Long));
        }
        let flow = sink.record(start, columns, blank);
        start = next;
        if flow.is_break() {
            break;
        }
    }
    Ok(start)
}

/// The end of an unquoted field, without the carriage return of a line end.
fn trimmed(bytes: &[u8], start: usize, end: usize, dialect: &Dialect) -> usize {
    let returns = end > start
        && bytes.get(end).is_none_or(|&byte| byte == b'\n')
        && dialect.line_end == b'\n'
        && bytes[end - 1] == b'\r';
    end - usize::from(returns)
}

/// Where the quote of a quoted field stands that begins at `at`.
fn opening(bytes: &[u8], at: usize, dialect: &Dialect) -> Option<usize> {
    let quote = dialect.quote?;
    let mut at = at;
    while bytes.get(at).is_some_and(|&byte| dialect.blanks(byte)) {
        at += 1;
    }
    (bytes.get(at) == Some(&quote)).then_some(at)
}

/// A field after its opening quote, and the place of the delimiter or line end behind it (or the end of the bytes);
/// `None` when the bytes do not reach so far.
fn quoted(
    bytes: &[u8],
    start: usize,
    last: bool,
    dialect: &Dialect,
) -> Result<Option<(Span, usize)>, Malformed> {
    let Some(quote) = dialect.quote else { return Ok(None) };
    let incomplete = if last { Err(Malformed::Open) } else { Ok(None) };
    let escape = dialect.escape;
    let (mut at, mut escaped) = (start, false);
    let close = loop {
        let rest = bytes.get(at..).unwrap_or_default();
        let found = match escape {
            Some(escape) if escape != quote => memchr::memchr2(quote, escape, rest),
            _ => memchr::memchr(quote, rest),
        };
        let Some(found) = found.map(|found| at + found) else { return incomplete };
        let next = bytes.get(found + 1);
        if bytes[found] != quote {
            // The escape: whatever follows is part of the text.
            escaped = true;
            at = found + 2;
        } else if escape == Some(quote) && next == Some(&quote) {
            escaped = true;
            at = found + 2;
        } else if next.is_none() && !last {
            return Ok(None);
        } else {
            break found;
        }
    };
    let mut after = close + 1;
    while bytes.get(after).is_some_and(|&byte| dialect.blanks(byte)) {
        after += 1;
    }
    let span = Span::new(start, close, escaped).in_quotes();
    match bytes.get(after) {
        None => Ok(last.then_some((span, after))),
        Some(&byte) if byte == dialect.delimiter || byte == dialect.line_end => {
            Ok(Some((span, after)))
        }
        Some(b'\r') => match bytes.get(after + 1) {
            Some(b'\n') if dialect.line_end == b'\n' => Ok(Some((span, after + 1))),
            None if !last => Ok(None),
            None => Ok(Some((span, after + 1))),
            Some(_) => Err(Malformed::AfterQuote),
        },
        Some(_) => Err(Malformed::AfterQuote),
    }
}

/// The text of a field with its escapes taken back.
pub(crate) fn unescape(text: &[u8], dialect: &Dialect, to: &mut Vec<u8>) {
    to.clear();
    let Some(escape) = dialect.escape else { return to.extend_from_slice(text) };
    let mut rest = text;
    while let Some(at) = memchr::memchr(escape, rest) {
        let (before, after) = rest.split_at(at);
        to.extend_from_slice(before);
        let (kept, tail) = after[1..].split_at(after.len().saturating_sub(1).min(1));
        to.extend_from_slice(kept);
        rest = tail;
    }
    to.extend_from_slice(rest);
}

/// The places of delimiters and line ends, ascending.
struct Marks<'a> {
    bytes: &'a [u8],
    delimiter: u64,
    line_end: u64,
    /// Where the word stands that is being walked.
    base: usize,
    /// The marks of the word that were not given out: the highest bit of a byte each.
    left: u64,
}

const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;

/// The highest bit of every byte of `word` that equals the byte repeated in `pattern`.
fn equal(word: u64, pattern: u64) -> u64 {
    let differs = word ^ pattern;
    !(((differs & LOW) + LOW) | differs | LOW)
}

impl<'a> Marks<'a> {
    fn new(bytes: &'a [u8], from: usize, dialect: &Dialect) -> Self {
        let repeat = |byte: u8| u64::from_le_bytes([byte; 8]);
        let (delimiter, line_end) = (repeat(dialect.delimiter), repeat(dialect.line_end));
        let mut marks = Self { bytes, delimiter, line_end, base: from, left: 0 };
        marks.seek(from);
        marks
    }

    /// Goes on at `at`.
    fn seek(&mut self, at: usize) {
        self.base = at;
        self.left = self.word();
    }

    /// The marks of the word at the base.
    fn word(&self) -> u64 {
        let rest = self.bytes.get(self.base..).unwrap_or_default();
        let (word, valid) = match rest.first_chunk::<8>() {
            Some(word) => (u64::from_le_bytes(*word), u64::MAX),
            None => {
                let mut word = [0; 8];
                word[..rest.len()].copy_from_slice(rest);
                (u64::from_le_bytes(word), (1 << (rest.len() * 8)) - 1)
            }
        };
        (equal(word, self.delimiter) | equal(word, self.line_end)) & valid
    }

    /// The next place; `None` at the end.
    fn next(&mut self) -> Option<usize> {
        while self.left == 0 {
            self.base += 8;
            if self.base >= self.bytes.len() {
                return None;
            }
            self.left = self.word();
        }
        let at = self.base + (self.left.trailing_zeros() / 8) as usize;
        self.left &= self.left - 1;
        Some(at)
    }
}
