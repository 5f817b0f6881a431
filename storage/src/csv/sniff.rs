//! What a file looks like: dialect, header, and what the texts of its columns may be.
//!
//! How: every delimiter is tried on the first records; the one under which all records have the same number of fields, the
//! most of them, is taken, then one under which most records have, then one under which all have behind a title. The types
//! come from a sample of records. Invariants: no guess lets a malformed record pass: the scan checks every one; a title is
//! left out only where the record behind it is a header for sure; lines that a delimiter splits unevenly are never taken for
//! a column of texts.
//! Next: `dataset.rs`.

use std::{ops::ControlFlow, sync::Arc};

use super::{
    CHUNK_BYTES, MAX_RECORD,
    convert::Nulls,
    format::Formats,
    guess::Guess,
    input::{Compression, Input, corrupt, line_at},
    options::{CsvOptions, CsvTypes, Dialect},
    split::{Malformed, Sink, Span, split, unescape},
};
use crate::{
    error::{Result, StorageError},
    parquet::source::{FileIdentity, RangeFile},
    types::distinct_names,
};

const DELIMITERS: [u8; 4] = [b',', b'|', b';', b'\t'];
/// Records on which dialects are tried.
const TRIED: usize = 1000;

/// What the caller says about all files.
pub(crate) struct Given {
    /// The options.
    pub options: CsvOptions,
    /// How dates are written.
    pub formats: Formats,
    /// Which fields are NULL.
    pub nulls: Nulls,
    /// Records to look at in each file.
    pub sample_rows: usize,
}

/// What is known of a file.
#[derive(Debug)]
pub(crate) struct Sniffed {
    /// The version of the file.
    pub identity: FileIdentity,
    /// How it is compressed.
    pub compression: Compression,
    /// How fields are laid out.
    pub dialect: Dialect,
    /// Where the first record behind the header begins.
    pub start: u64,
    /// The names of the columns, all different.
    pub names: Vec<String>,
    /// What the columns may be.
    pub guesses: Vec<Guess>,
    /// Records that were looked at, and their bytes.
    pub sampled: (u64, u64),
    /// The bytes of each column's fields among them.
    pub field_bytes: Vec<u64>,
    /// Whether the sample is the whole file.
    pub whole: bool,
}

/// Looks at a file; `None` when it holds no text at all. Also how many bytes that took.
///
/// # Errors
/// `Io` and `Corrupt` as reading does; `Value` for options that no file can have.
pub(crate) fn sniff(
    path: &str,
    given: &Given,
    header: Option<&[String]>,
) -> Result<(Option<Sniffed>, u64)> {
    let file = Arc::new(RangeFile::open(path)?);
    let compression = Compression::chosen(given.options.compression.as_deref(), path)?;
    let mut input = Input::open(Arc::clone(&file), compression, 0)?;
    input.begin(path)?;
    let line_end = match input.rest().contains(&b'\n') || !input.rest().contains(&b'\r') {
        true => b'\n',
        false => b'\r',
    };
    skip_lines(&mut input, line_end, given.options.skip)?;
    if input.rest().is_empty() && !input.more(CHUNK_BYTES)? {
        return Ok((None, file.asked()));
    }
    let front = input.position();
    let Tried { dialect, columns, title, uneven } = find_dialect(&mut input, line_end, given)?;
    let unclear = |uneven: Uneven| -> Result<()> {
        let line = |at: u64| line_at(&file, compression, line_end, at);
        let lines = [line(front + uneven.first.1)?, line(front + uneven.other.1)?];
        Err(corrupt(path, uneven.message(lines)))
    };
    if let (None, Some(uneven)) = (title, uneven) {
        unclear(uneven)?;
    }
    let mut sample = Sample::new(columns, dialect, given);
    sample.read(&mut input)?;
    let Some((first, start, end)) = sample.first.take() else {
        let line = line_at(&file, compression, line_end, input.position())?;
        let malformed = sample.malformed.unwrap_or(Malformed::Long);
        return Err(corrupt(path, malformed.message(line)));
    };
    let names = names(path, &first)?;
    if let (Some(_), Some(uneven)) = (title, uneven)
        && !sample.is_header(&first)
    {
        unclear(uneven)?;
    }
    let has_header = given.options.header.unwrap_or_else(|| {
        header.is_some_and(|known| *known == names[..])
            || names_columns(&names, &given.options)
            || sample.suggests_header(&first)
    });
    if !has_header {
        sample.see_first(&first);
    }
    let names = if has_header { names } else { numbered(first.len()) };
    let sniffed = Sniffed {
        identity: file.identity(),
        compression,
        dialect,
        start: if has_header { end } else { start },
        names: renamed(path, names, &given.options)?,
        guesses: sample.guesses,
        sampled: (sample.rows, sample.bytes),
        field_bytes: sample.field_bytes,
        whole: sample.whole,
    };
    Ok((Some(sniffed), file.asked()))
}

/// Whether a first record is the names of the columns that the caller gives.
fn names_columns(names: &[String], options: &CsvOptions) -> bool {
    match &options.types {
        CsvTypes::Columns(given) => {
            given.len() == names.len()
                && given
                    .iter()
                    .zip(names)
                    .all(|((given, _), name)| given.eq_ignore_ascii_case(name))
        }
        _ => false,
    }
}

impl Malformed {
    /// What is wrong with the record on a line.
    pub(crate) fn message(self, line: u64) -> String {
        match self {
            Self::Open => format!("line {line}: a quote is opened and never closed"),
            Self::AfterQuote => format!(
                "line {line}: a closing quote is followed by more text (a quote within quotes is \
                 doubled; the option escape says otherwise)"
            ),
            Self::Long => {
                let limit = MAX_RECORD >> 20;
                format!(
                    "line {line}: the record that begins here has more than {limit} MiB (is a quote \
                     open?)"
                )
            }
        }
    }
}

/// Steps over lines at the start.
fn skip_lines(input: &mut Input, line_end: u8, lines: usize) -> Result<()> {
    let mut left = lines;
    while left > 0 {
        match memchr::memchr(line_end, input.rest()) {
            Some(at) => {
                input.advance(at + 1);
                left -= 1;
            }
            None => {
                input.advance(input.rest().len());
                if !input.more(CHUNK_BYTES)? {
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

/// What the first records say.
#[derive(Clone, Copy)]
struct Tried {
    dialect: Dialect,
    columns: usize,
    /// Bytes of a title in front of the records, if there seems to be one.
    title: Option<usize>,
    /// Records that a delimiter splits unevenly, where that matters.
    uneven: Option<Uneven>,
}

/// Two records that differ in their numbers of fields: these, and where they begin.
#[derive(Clone, Copy)]
struct Uneven {
    delimiter: u8,
    first: (usize, u64),
    other: (usize, u64),
}

impl Uneven {
    fn message(self, lines: [u64; 2]) -> String {
        let fields = |count: usize| format!("{count} field{}", if count == 1 { "" } else { "s" });
        let delimiter = match self.delimiter {
            b'\t' => "\\t".to_owned(),
            other => char::from(other).to_string(),
        };
        let [line, other] = lines;
        let skip = other - 1;
        format!(
            "line {line} has {} and line {other} has {} where '{delimiter}' separates them, so that it is not clear \
             what is a header and what is data; read_csv takes options that say so: skip = {skip} leaves out lines \
             in front, header = false with names = ['a', 'b', ...] names the columns, null_padding = true fills short lines \
             with NULL, delim names another character that separates fields (one that does not occur makes every line one \
             text)",
            fields(self.first.0),
            fields(self.other.0),
        )
    }
}

/// The dialect of the text in front of the input, and how many columns it gives. Lines in front that begin with `#` and
/// do not have as many fields are stepped over, as is a title.
fn find_dialect(input: &mut Input, line_end: u8, given: &Given) -> Result<Tried> {
    loop {
        let (rest, last) = (input.rest(), input.ended());
        let comment = comment_lines(rest, line_end);
        let tried = try_dialects(&rest[comment..], last, line_end, &given.options)?;
        if let Some(mut tried) = tried {
            if let Some(uneven) = &mut tried.uneven {
                uneven.first.1 += comment as u64;
                uneven.other.1 += comment as u64;
            }
            let front = match tried.title {
                Some(title) => comment + title,
                None => remarks(&rest[..comment], tried.columns, &tried.dialect),
            };
            input.advance(front);
            return Ok(tried);
        }
        let (full, wanted) = (rest.len() > MAX_RECORD, rest.len().max(CHUNK_BYTES));
        if last || full || (!input.more(wanted)? && !input.ended()) {
            // Not one whole record: reading the first one says why.
            let dialect = candidates(&[], line_end, &given.options)?;
            let dialect = dialect.into_iter().next();
            let none = || StorageError::Internal("there is no dialect to try".into());
            let dialect = dialect.ok_or_else(none)?;
            return Ok(Tried { dialect, columns: 1, title: None, uneven: None });
        }
    }
}

/// Bytes of the lines in front that begin with `#`.
fn comment_lines(text: &[u8], line_end: u8) -> usize {
    let mut at = 0;
    while text.get(at) == Some(&b'#') {
        match memchr::memchr(line_end, &text[at..]) {
            Some(end) => at += end + 1,
            None => break,
        }
    }
    at
}

/// Bytes of comment lines that are not part of the data: all, or all but a last one that is a header.
fn remarks(comment: &[u8], columns: usize, dialect: &Dialect) -> usize {
    let lines = comment.len().saturating_sub(1);
    let last_line = comment[..lines].iter().rposition(|&byte| byte == dialect.line_end);
    let last_line = last_line.map_or(0, |at| at + 1);
    let mut counts = Counts::default();
    let read = split(comment, last_line, comment.len(), true, dialect, &mut counts);
    match read.is_ok() && columns > 1 && counts.fields.first() == Some(&columns) {
        true => last_line,
        false => comment.len(),
    }
}

/// The dialects that the options leave open, best first.
fn candidates(text: &[u8], line_end: u8, options: &CsvOptions) -> Result<Vec<Dialect>> {
    let delimiters: Vec<u8> = match options.given_delimiter()? {
        Some(delimiter) => vec![delimiter],
        None => DELIMITERS.to_vec(),
    };
    let quotes = match options.given_quote()? {
        Some(quote) => vec![quote],
        // Apostrophes are text wherever there are true quotes.
        None if !text.contains(&b'"') && text.contains(&b'\'') => vec![Some(b'"'), Some(b'\'')],
        None => vec![Some(b'"')],
    };
    let comment = options.given_comment()?;
    let mut found = Vec::new();
    for quote in quotes {
        let escapes = match (options.given_escape()?, quote) {
            (Some(escape), _) => vec![escape],
            (None, Some(quote)) if memchr::memmem::find(text, &[b'\\', quote]).is_some() => {
                vec![Some(quote), Some(b'\\')]
            }
            (None, quote) => vec![quote],
        };
        for escape in escapes {
            let dialect = |&delimiter: &u8| Dialect { delimiter, quote, escape, comment, line_end };
            found.extend(delimiters.iter().map(dialect));
        }
    }
    if found.iter().any(|d| Some(d.delimiter) == d.quote || Some(d.delimiter) == d.escape) {
        let message = "delim, quote and escape must differ (quote and escape may be the same)";
        return Err(StorageError::Value(message.into()));
    }
    Ok(found)
}

/// The best dialect and what it gives; `None` when the text holds no whole record.
fn try_dialects(
    text: &[u8],
    last: bool,
    line_end: u8,
    options: &CsvOptions,
) -> Result<Option<Tried>> {
    let expected = match &options.types {
        CsvTypes::Columns(columns) => Some(columns.len()),
        _ => None,
    };
    let mut best: Option<Tried> = None;
    let mut best_score = None;
    let mut uneven = None;
    for dialect in candidates(text, line_end, options)? {
        let mut counts = Counts::default();
        let sound = split(text, 0, text.len(), last, &dialect, &mut counts).is_ok();
        let judged = match options.null_padding {
            true => counts.padded(),
            false if options.ignore_errors => counts.lax(sound),
            false => counts.judge(sound, options.skip == 0),
        };
        let Some((columns, rank)) = judged else { continue };
        let lax = options.null_padding || options.ignore_errors;
        let mine = if lax { None } else { counts.uneven(dialect.delimiter, sound) };
        uneven = uneven.or(mine);
        // Of titles, the shortest is likelier.
        let share =
            if rank == Rank::Titled { counts.usual().map(|(_, share)| share) } else { None };
        let score = Some((rank, expected == Some(columns), share, columns));
        if score > best_score {
            best_score = score;
            let title = mine.filter(|_| rank == Rank::Titled);
            let title = title.and_then(|uneven| usize::try_from(uneven.other.1).ok());
            best = Some(Tried { dialect, columns, title, uneven: mine });
        }
    }
    // A text that no delimiter splits is a column, unless one splits most of its records.
    if let Some(tried) = &mut best {
        tried.uneven = match tried.columns > 1 {
            true => tried.uneven.filter(|_| tried.title.is_some()),
            false => uneven.filter(|_| {
                options.given_delimiter().is_ok_and(|d| d.is_none()) && expected != Some(1)
            }),
        };
    }
    Ok(best)
}

/// The numbers of fields of records, and where these begin.
#[derive(Default)]
struct Counts {
    fields: Vec<usize>,
    starts: Vec<usize>,
}

/// How good a sign the numbers of fields are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Uneven,
    OneColumn,
    /// The same number in all records but the first ones.
    Titled,
    /// The same number in the first one and in most others.
    Most,
    /// The same number in all.
    All,
}

impl Sink for Counts {
    fn field(&mut self, _column: usize, _span: Span) {}

    fn record(&mut self, start: usize, columns: usize, blank: bool) -> ControlFlow<()> {
        if !blank {
            self.fields.push(columns);
            self.starts.push(start);
        }
        match self.fields.len() < TRIED {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    }
}

impl Counts {
    /// The usual number, and how many records have it.
    fn usual(&self) -> Option<(usize, usize)> {
        let mut sorted = self.fields.clone();
        sorted.sort_unstable();
        let runs = sorted.chunk_by(|a, b| a == b);
        let usual = runs.max_by_key(|run| (run.len(), run[0]))?;
        Some((usual[0], usual.len()))
    }

    /// The usual number, and how good a sign it is.
    fn judge(&self, sound: bool, may_have_title: bool) -> Option<(usize, Rank)> {
        let first = *self.fields.first()?;
        let (columns, share) = self.usual()?;
        let all = self.fields.len();
        let last_odd = self.fields.iter().rposition(|&fields| fields != columns);
        Some(match last_odd {
            None if sound && columns > 1 => (columns, Rank::All),
            _ if share * 2 > all && columns > 1 && first == columns => (columns, Rank::Most),
            Some(last)
                if sound
                    && may_have_title
                    && columns > 1
                    && share == all - last - 1
                    && share >= 2
                    && share * 2 > all =>
            {
                (columns, Rank::Titled)
            }
            None if sound => (1, Rank::OneColumn),
            _ => (first, Rank::Uneven),
        })
    }

    /// Two records of different numbers of fields, where that leaves open what is a header and what is data.
    fn uneven(&self, delimiter: u8, sound: bool) -> Option<Uneven> {
        self.titled(delimiter).or_else(|| {
            // Every record is split, though not into the same number of fields.
            let first = *self.fields.first()?;
            let other = self.fields.iter().position(|&fields| fields != first)?;
            let split = sound && self.fields.iter().all(|&fields| fields > 1);
            let at = |record: usize| (self.fields[record], self.starts[record] as u64);
            split.then(|| Uneven { delimiter, first: at(0), other: at(other) })
        })
    }

    /// As `judge`, where records of other numbers of fields than the first one are left out.
    fn lax(&self, sound: bool) -> Option<(usize, Rank)> {
        let first = *self.fields.first()?;
        let split = sound && self.fields.iter().all(|&fields| fields > 1);
        if split { Some((first, Rank::Most)) } else { self.judge(sound, false) }
    }

    /// The most fields of a record, for records that may have fewer.
    fn padded(&self) -> Option<(usize, Rank)> {
        let columns = *self.fields.iter().max()?;
        Some((columns, if columns > 1 { Rank::Most } else { Rank::OneColumn }))
    }

    /// The first record and the first one of the usual number of fields, if that is the number of most but not of it.
    fn titled(&self, delimiter: u8) -> Option<Uneven> {
        let first = *self.fields.first()?;
        let (columns, share) = self.usual()?;
        let other = self.fields.iter().position(|&fields| fields == columns)?;
        let most = columns > 1 && first != columns && share >= 2 && share * 2 >= self.fields.len();
        let at = |record: usize| (self.fields[record], self.starts[record] as u64);
        most.then(|| Uneven { delimiter, first: at(0), other: at(other) })
    }
}

/// The first record's texts (`None` for NULL), its start and its end.
type First = (Vec<Option<Vec<u8>>>, u64, u64);

/// A sample of records.
struct Sample<'a> {
    given: &'a Given,
    dialect: Dialect,
    columns: usize,
    first: Option<First>,
    guesses: Vec<Guess>,
    rows: u64,
    bytes: u64,
    field_bytes: Vec<u64>,
    whole: bool,
    malformed: Option<Malformed>,
}

impl<'a> Sample<'a> {
    fn new(columns: usize, dialect: Dialect, given: &'a Given) -> Self {
        Self {
            given,
            dialect,
            columns,
            first: None,
            guesses: vec![Guess::default(); columns],
            rows: 0,
            bytes: 0,
            field_bytes: vec![0; columns],
            whole: false,
            malformed: None,
        }
    }

    /// Reads as many records as asked for. A malformed one ends the sample.
    fn read(&mut self, input: &mut Input) -> Result<()> {
        let wanted = self.given.sample_rows.max(1) as u64;
        while self.rows < wanted {
            let (rest, position) = (input.rest(), input.position());
            let dialect = self.dialect;
            let mut records = Records {
                sample: &mut *self,
                bytes: rest,
                position,
                fields: Vec::new(),
                scratch: Vec::new(),
                first_end: false,
            };
            let read = split(rest, 0, rest.len(), input.ended(), &dialect, &mut records);
            let stopped_after_first = records.first_end;
            let read = match read {
                Ok(read) => read,
                Err((_, malformed)) => {
                    self.malformed = Some(malformed);
                    return Ok(());
                }
            };
            if stopped_after_first && let Some((_, _, end)) = &mut self.first {
                *end = position + read as u64;
            } else {
                self.bytes += read as u64;
            }
            let stuck = read == 0;
            let left = rest.len() - read;
            input.advance(read);
            if left == 0 && input.ended() {
                self.whole = true;
                return Ok(());
            }
            let more = stuck || left == 0;
            if left > MAX_RECORD
                || (more && !input.more(left.max(CHUNK_BYTES))? && stuck && !input.ended())
            {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Whether the first record names the columns: it does not fit their types, or all is text.
    fn suggests_header(&self, first: &[Option<Vec<u8>>]) -> bool {
        let formats = &self.given.formats;
        let mut pairs = first.iter().zip(&self.guesses);
        if self.guesses.iter().all(|guess| guess.is_text()) {
            return pairs.all(|(text, _)| {
                text.as_ref().is_some_and(|text| {
                    let mut guess = Guess::default();
                    guess.see(text, formats);
                    guess.is_text()
                })
            });
        }
        pairs.any(|(text, guess)| {
            text.as_ref().is_some_and(|text| !guess.is_text() && !guess.fits(text, formats))
        })
    }

    /// Whether the first record cannot be data: a text stands where all others are of another type.
    fn is_header(&self, first: &[Option<Vec<u8>>]) -> bool {
        let formats = &self.given.formats;
        let all_texts = first.iter().all(|text| {
            text.as_ref().is_some_and(|text| {
                let mut guess = Guess::default();
                guess.see(text, formats);
                guess.is_text()
            })
        });
        let typed = |guess: &Guess| !guess.is_text() && *guess != Guess::default();
        self.rows > 0 && all_texts && self.guesses.iter().any(typed)
    }

    /// Takes the first record for data.
    fn see_first(&mut self, first: &[Option<Vec<u8>>]) {
        self.rows += 1;
        for (guess, text) in self.guesses.iter_mut().zip(first) {
            if let Some(text) = text {
                guess.see(text, &self.given.formats);
            }
        }
    }
}

/// Takes the records of one buffer into a sample.
struct Records<'a, 'b> {
    sample: &'a mut Sample<'b>,
    bytes: &'a [u8],
    position: u64,
    fields: Vec<Span>,
    scratch: Vec<u8>,
    /// Whether it broke off behind the first record, so that its end is known.
    first_end: bool,
}

impl Sink for Records<'_, '_> {
    fn field(&mut self, column: usize, span: Span) {
        self.fields.truncate(column);
        self.fields.push(span);
    }

    fn record(&mut self, start: usize, columns: usize, blank: bool) -> ControlFlow<()> {
        let sample = &mut *self.sample;
        let padding = sample.given.options.null_padding && columns < sample.columns;
        if (columns != sample.columns && !padding) || (blank && sample.columns > 1) {
            return ControlFlow::Continue(());
        }
        self.fields.truncate(columns);
        let mut texts = Vec::new();
        for (column, span) in self.fields.iter().enumerate() {
            let mut text = span.of(self.bytes);
            if span.is_escaped() {
                unescape(text, &sample.dialect, &mut self.scratch);
                text = &self.scratch;
            }
            let text = (!sample.given.nulls.is_null(*span, text)).then_some(text);
            if sample.first.is_none() {
                texts.push(text.map(<[u8]>::to_vec));
            } else if let Some(text) = text {
                sample.field_bytes[column] += span.len() as u64;
                sample.guesses[column].see(text, &sample.given.formats);
            }
        }
        if sample.first.is_none() {
            texts.resize(sample.columns, None);
            sample.first = Some((texts, self.position + start as u64, 0));
            self.first_end = true;
            return ControlFlow::Break(());
        }
        sample.rows += 1;
        match sample.rows < sample.given.sample_rows as u64 {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    }
}

/// The names that a header gives.
fn names(path: &str, header: &[Option<Vec<u8>>]) -> Result<Vec<String>> {
    let numbered = numbered(header.len());
    let mut names = Vec::with_capacity(header.len());
    for (text, number) in header.iter().zip(numbered) {
        let text = match text {
            Some(text) => std::str::from_utf8(text)
                .map_err(|_| corrupt(path, "the header is not valid UTF-8".into()))?,
            None => "",
        };
        names.push(if text.trim().is_empty() { number } else { text.trim().to_owned() });
    }
    Ok(distinct_names(names.iter().map(String::as_str)))
}

/// `column0`, `column1`, ...; of equal length, so that they sort.
fn numbered(columns: usize) -> Vec<String> {
    let width = columns.saturating_sub(1).to_string().len();
    (0..columns).map(|column| format!("column{column:0width$}")).collect()
}

/// The names with those that the caller gives in place of the first ones.
fn renamed(path: &str, mut names: Vec<String>, options: &CsvOptions) -> Result<Vec<String>> {
    let columns = names.len();
    let wrong = |option: &str, given: usize| {
        let message = format!("it has {columns} columns, but {given} {option} are wanted");
        Err(StorageError::SchemaMismatch { path: path.into(), message })
    };
    if let CsvTypes::Columns(given) = &options.types {
        if given.len() != columns {
            return wrong("columns", given.len());
        }
        names = given.iter().map(|(name, _)| name.clone()).collect();
    }
    if options.names.len() > columns {
        return wrong("names", options.names.len());
    }
    for (name, given) in names.iter_mut().zip(&options.names) {
        given.clone_into(name);
    }
    Ok(distinct_names(names.iter().map(String::as_str)))
}
