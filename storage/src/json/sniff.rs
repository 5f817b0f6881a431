//! What a file looks like: how its values are laid out, and what the keys of a sample of them hold.
//!
//! Invariant: no guess lets a malformed file pass: the scan checks every value against the layout.
//! Next: `dataset.rs`.

use std::sync::Arc;

use super::{
    guess::Guess,
    token::{Bad, skip_blanks, value_end},
};
use crate::{
    csv::{
        CHUNK_BYTES, MAX_RECORD,
        format::Formats,
        input::{Compression, Input, corrupt, line_at},
    },
    error::Result,
    parquet::source::{FileIdentity, RangeFile},
};

/// How the values of a file stand in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonLayout {
    /// One on each line.
    Lines,
    /// In one array.
    Array,
    /// One behind the other, with or without blanks between them.
    Values,
}

/// What is known of a file.
#[derive(Debug)]
pub(crate) struct Sniffed {
    /// The version of the file.
    pub identity: FileIdentity,
    /// How it is compressed.
    pub compression: Compression,
    /// How its values stand in it.
    pub layout: JsonLayout,
    /// Where the first byte behind a mark of the encoding is.
    pub start: u64,
    /// What the values of the sample are, taken together.
    pub guess: Guess,
    /// Values that were looked at, and their bytes.
    pub sampled: (u64, u64),
    /// Whether the sample is the whole file.
    pub whole: bool,
}

/// What is wrong with a value, in words.
pub(crate) fn message(line: u64, bad: Bad) -> String {
    match bad {
        Bad::Incomplete => format!("line {line}: the value that begins here does not end"),
        Bad::At(_, what) => format!("line {line}: malformed JSON: {what}"),
    }
}

/// Looks at a file. Also how many bytes that took.
///
/// # Errors
/// `Io` and `Corrupt` as reading does.
pub(crate) fn sniff(
    path: &str,
    compression: Compression,
    layout: Option<JsonLayout>,
    formats: &Formats,
    wanted: usize,
) -> Result<(Sniffed, u64)> {
    let file = Arc::new(RangeFile::open(path)?);
    let mut input = Input::open(Arc::clone(&file), compression, 0)?;
    input.begin(path)?;
    let start = input.position();
    let mut sample =
        Sample { layout: JsonLayout::Lines, guess: Guess::Null, rows: 0, bytes: 0, whole: false };
    let read = sample.read(&mut input, layout, formats, wanted);
    if let Some((at, bad)) = read? {
        let line = line_at(&file, compression, b'\n', at)?;
        return Err(corrupt(path, message(line, bad)));
    }
    let Sample { layout, guess, rows, bytes, whole } = sample;
    let identity = file.identity();
    let sampled = (rows, bytes);
    let sniffed = Sniffed { identity, compression, layout, start, guess, sampled, whole };
    Ok((sniffed, file.asked()))
}

struct Sample {
    layout: JsonLayout,
    guess: Guess,
    rows: u64,
    bytes: u64,
    whole: bool,
}

/// A place and what is wrong there.
type Wrong = Option<(u64, Bad)>;

impl Sample {
    fn read(
        &mut self,
        input: &mut Input,
        layout: Option<JsonLayout>,
        formats: &Formats,
        wanted: usize,
    ) -> Result<Wrong> {
        if !blanks(input)? {
            self.whole = true;
            self.layout = layout.unwrap_or(JsonLayout::Lines);
            return Ok(None);
        }
        let array = match layout {
            Some(layout) => layout == JsonLayout::Array,
            None => input.rest().first() == Some(&b'['),
        };
        if array {
            if input.rest().first() != Some(&b'[') {
                return Ok(Some((input.position(), Bad::At(0, "'[' is expected"))));
            }
            self.layout = JsonLayout::Array;
            input.advance(1);
        }
        while (self.rows as usize) < wanted.max(1) {
            if !blanks(input)? || (array && input.rest().first() == Some(&b']')) {
                self.whole = true;
                break;
            }
            let length = match next_value(input)? {
                Ok(length) => length,
                // The scan says so when it comes there, unless nothing at all can be read.
                Err(bad) if self.rows == 0 => return Ok(Some((input.position(), bad))),
                Err(_) => break,
            };
            let rest = input.rest();
            let Ok(text) = std::str::from_utf8(&rest[..length]) else {
                return Ok(Some((input.position(), Bad::At(0, "it is not valid UTF-8"))));
            };
            self.guess = std::mem::take(&mut self.guess).join(Guess::of(text, formats));
            let mut behind = length;
            while matches!(rest.get(behind), Some(b' ' | b'\t' | b'\r')) {
                behind += 1;
            }
            let ends_line = matches!(rest.get(behind), Some(b'\n') | None);
            if !array && (!ends_line || text.contains('\n')) {
                self.layout = JsonLayout::Values;
            }
            self.rows += 1;
            self.bytes += length as u64 + 1;
            input.advance(length);
            if array && blanks(input)? && input.rest().first() == Some(&b',') {
                input.advance(1);
            }
        }
        if let Some(layout) = layout {
            self.layout = layout;
        }
        Ok(None)
    }
}

/// Steps over blanks; whether anything follows.
///
/// # Errors
/// As `Input::more`.
pub(crate) fn blanks(input: &mut Input) -> Result<bool> {
    loop {
        input.advance(skip_blanks(input.rest(), 0));
        if !input.rest().is_empty() {
            return Ok(true);
        }
        if !input.more(CHUNK_BYTES)? {
            return Ok(false);
        }
    }
}

/// The length of the value in front of the input, all of which is in memory then.
///
/// # Errors
/// As `Input::more`; within, why it is no value.
pub(crate) fn next_value(input: &mut Input) -> Result<std::result::Result<usize, Bad>> {
    loop {
        let rest = input.rest();
        match value_end(rest, 0) {
            // A number may go on behind the bytes that are in memory.
            Ok(end) if end < rest.len() || input.ended() => return Ok(Ok(end)),
            Err(Bad::Incomplete) if input.ended() => return Ok(Err(Bad::Incomplete)),
            Err(bad @ Bad::At(..)) => return Ok(Err(bad)),
            _ if rest.len() > MAX_RECORD => {
                return Ok(Err(Bad::At(0, "the value that begins here has more than 16 MiB")));
            }
            _ => {
                let wanted = rest.len().max(CHUNK_BYTES);
                input.more(wanted)?;
            }
        }
    }
}
