//! A scan over JSON files: ranges of bytes as morsels, and reading one.
//!
//! Invariants: files with a value on each line are cut into ranges, whose lines are those that begin in them; others are one
//! morsel. Ranges depend on the file's size alone. The columns of the filter are converted first, the others only in the
//! rows that it kept; a file that changes during the scan is an error.
//! Next: `convert.rs`.

use std::sync::Arc;

use hashbrown::HashMap;

use super::{
    convert::{Place, Values, unknown_key},
    dataset::{Files, Source},
    sniff::{JsonLayout, Sniffed, message},
    token::{Bad, members, skip_blanks, unescaped, value_end},
};
use crate::{
    VECTOR_SIZE,
    csv::{
        CHUNK_BYTES, MAX_RECORD,
        convert::Failure,
        input::{Compression, Input, changed, corrupt, line_at, next_batch, reopen},
    },
    error::{Result, StorageError},
    ledger::{Level, array_bytes},
    parquet::source::RangeFile,
    scan::{LocalRowFilter, MorselScan, Scan, ScanBatch, ScanSpec},
    vector::Vector,
};

/// Bytes in memory from which on a batch is given out though it is not full.
const MAX_BATCH_BYTES: usize = 4 << 20;

struct Shared {
    files: Arc<Files>,
    spec: ScanSpec,
    /// For each column of the relation, its number among those that are needed.
    slots: Vec<Option<usize>>,
    needed: usize,
    /// The column of each key.
    keys: HashMap<String, usize>,
}

/// An opened scan.
pub(crate) struct JsonScan {
    shared: Arc<Shared>,
    /// File and number of the range, in row order.
    morsels: Vec<(usize, u64)>,
}

impl JsonScan {
    /// Opens a scan; files whose constants cannot match are left out.
    pub(crate) fn new(files: Arc<Files>, spec: ScanSpec) -> Result<Self> {
        let filter = spec.filter.iter().flat_map(|filter| filter.columns());
        let (mut slots, mut needed) = (vec![None; files.sources.len()], 0);
        for &column in filter.chain(&spec.projection) {
            let missing =
                || StorageError::Internal("a scan names a column that is not there".into());
            let slot = slots.get_mut(column).ok_or_else(missing)?;
            if slot.is_none() {
                *slot = Some(needed);
                needed += 1;
            }
        }
        let mut morsels = Vec::new();
        for (file, (_, sniffed)) in files.files.iter().enumerate() {
            let prune = spec.prune.as_ref();
            if prune.is_some_and(|prune| !prune.may_match(&|column| files.range(file, column))) {
                continue;
            }
            let size = sniffed.identity.size.saturating_sub(sniffed.start);
            let ranges = match (sniffed.compression, sniffed.layout) {
                (Compression::Plain, JsonLayout::Lines) => size.div_ceil(files.morsel_bytes),
                _ => 1,
            };
            morsels.extend((0..ranges).map(|range| (file, range)));
        }
        let key = |(column, source): (usize, &Source)| match source {
            Source::Key(key) => Some((key.clone(), column)),
            _ => None,
        };
        let keys = files.sources.iter().enumerate().filter_map(key).collect();
        Ok(Self { shared: Arc::new(Shared { files, spec, slots, needed, keys }), morsels })
    }
}

impl Scan for JsonScan {
    fn morsels(&self) -> usize {
        self.morsels.len()
    }

    fn rows(&self) -> u64 {
        let first = self.morsels.iter().filter(|(_, range)| *range == 0);
        first.map(|&(file, _)| self.shared.files.rows(file)).sum()
    }

    fn open(&self, morsel: usize) -> Result<Box<dyn MorselScan>> {
        let Some(&(file, range)) = self.morsels.get(morsel) else {
            return Err(StorageError::Internal(format!("there is no morsel {morsel}")));
        };
        Ok(Box::new(RangeScan::open(&self.shared, file, range)?))
    }
}

/// What is expected next of a file that is one array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    Open,
    First,
    Item,
    Comma,
    End,
}

/// A range of a file being read.
struct RangeScan {
    shared: Arc<Shared>,
    file: usize,
    handle: Arc<RangeFile>,
    input: Input,
    /// Lines that begin here or behind belong to later ranges.
    stop: u64,
    expected: Expected,
    /// The places of the needed columns' values: column by column, `capacity` each.
    places: Vec<Place>,
    capacity: usize,
    /// Where each value begins.
    starts: Vec<usize>,
    /// The keys of the last object as they stood in the file, and their columns.
    last_keys: Vec<(Vec<u8>, Option<usize>)>,
    /// For each column, the last row that had its key.
    seen: Vec<u64>,
    row: u64,
    /// Bytes in front of the input that the batch before stood in.
    used: usize,
    filter: Option<Box<dyn LocalRowFilter>>,
    finished: bool,
}

/// What is wrong in front of the input: where, and what.
type Wrong = (usize, String);

impl RangeScan {
    fn open(shared: &Arc<Shared>, file: usize, range: u64) -> Result<Self> {
        let (path, sniffed) = &shared.files.files[file];
        let handle = reopen(path, sniffed.identity)?;
        let begin = sniffed.start + range * shared.files.morsel_bytes;
        let lines =
            sniffed.compression == Compression::Plain && sniffed.layout == JsonLayout::Lines;
        let stop = if lines { begin + shared.files.morsel_bytes } else { u64::MAX };
        // The byte before says whether a line begins here.
        let from = if range > 0 { begin - 1 } else { begin };
        let mut input = Input::open(Arc::clone(&handle), sniffed.compression, from)?;
        if range > 0 {
            to_next_line(&mut input, stop)?;
        }
        let capacity = shared.spec.vector_size.clamp(1, VECTOR_SIZE);
        Ok(Self {
            shared: Arc::clone(shared),
            file,
            handle,
            input,
            stop,
            expected: Expected::Open,
            places: vec![(0, 0); shared.needed * capacity],
            capacity,
            starts: Vec::with_capacity(capacity),
            last_keys: Vec::new(),
            seen: vec![0; shared.files.sources.len()],
            row: 0,
            used: 0,
            filter: shared.spec.filter.as_ref().map(|filter| filter.local()).transpose()?,
            finished: false,
        })
    }

    fn entry(&self) -> &(String, Sniffed) {
        &self.shared.files.files[self.file]
    }

    fn line(&self, start: usize) -> Result<u64> {
        let offset = self.input.position() + start as u64;
        line_at(&self.handle, self.entry().1.compression, b'\n', offset)
    }

    fn corrupt(&self, start: usize, message: impl FnOnce(u64) -> String) -> Result<StorageError> {
        if self.handle.changed() {
            return Ok(changed(&self.entry().0));
        }
        Ok(corrupt(&self.entry().0, message(self.line(start)?)))
    }

    /// Reads the values of the next batch; they stand in front of the input.
    fn split(&mut self) -> Result<()> {
        self.input.advance(self.used);
        self.starts.clear();
        let mut from = 0;
        loop {
            let progress = match self.entry().1.layout {
                JsonLayout::Lines => self.lines(&mut from),
                layout => self.values(&mut from, layout == JsonLayout::Array),
            };
            match progress {
                Ok(Ok(true)) => break,
                Ok(Ok(false)) => {}
                Ok(Err(bad)) => return Err(self.corrupt(from, |line| message(line, bad))?),
                Err((at, what)) => {
                    return Err(self.corrupt(at, |line| format!("line {line}: {what}"))?);
                }
            }
            let rows = self.starts.len();
            if rows == self.capacity || (rows > 0 && from > MAX_BATCH_BYTES) {
                break;
            }
            if rows == 0 {
                self.input.advance(from);
                from = 0;
            }
            let pending = self.input.rest().len() - from;
            if pending > MAX_RECORD {
                let long =
                    |line| format!("line {line}: the value that begins here has more than 16 MiB");
                return Err(self.corrupt(from, long)?);
            }
            self.input.more(CHUNK_BYTES.max(pending))?;
        }
        self.used = from;
        Ok(())
    }

    /// Whether a batch is full.
    fn full(&self, from: usize) -> bool {
        let rows = self.starts.len();
        rows == self.capacity || (rows > 0 && from > MAX_BATCH_BYTES)
    }

    /// Reads lines; true at the end, false when more bytes are needed or the batch is full.
    fn lines(&mut self, from: &mut usize) -> std::result::Result<Result<bool, Bad>, Wrong> {
        loop {
            if self.full(*from) {
                return Ok(Ok(false));
            }
            if self.input.position() + *from as u64 >= self.stop {
                return Ok(Ok(true));
            }
            let (rest, ended) = (self.input.rest(), self.input.ended());
            let line = *from;
            let mut at = line;
            while matches!(rest.get(at), Some(b' ' | b'\t' | b'\r')) {
                at += 1;
            }
            match rest.get(at) {
                Some(b'\n') => {
                    *from = at + 1;
                    continue;
                }
                Some(_) => {}
                None if ended => {
                    *from = at;
                    return Ok(Ok(true));
                }
                None => return Ok(Ok(false)),
            }
            let end = match value_end(rest, at) {
                Ok(end) => end,
                Err(Bad::Incomplete) if !ended => return Ok(Ok(false)),
                Err(bad) => {
                    *from = at;
                    return Ok(Err(bad));
                }
            };
            let mut behind = end;
            while matches!(rest.get(behind), Some(b' ' | b'\t' | b'\r')) {
                behind += 1;
            }
            match rest.get(behind) {
                Some(b'\n') => {}
                None if ended => {}
                None => return Ok(Ok(false)),
                Some(_) => return Err((at, more_values("than one value stands on a line"))),
            }
            if memchr::memchr(b'\n', &rest[at..end]).is_some() {
                return Err((at, more_values("than one line is taken by a value")));
            }
            self.take(at, end)?;
            *from = (behind + 1).min(self.input.rest().len());
        }
    }

    /// Reads values of an array, or one behind the other.
    fn values(
        &mut self,
        from: &mut usize,
        array: bool,
    ) -> std::result::Result<Result<bool, Bad>, Wrong> {
        loop {
            if self.full(*from) {
                return Ok(Ok(false));
            }
            let (rest, ended) = (self.input.rest(), self.input.ended());
            let at = skip_blanks(rest, *from);
            let Some(&byte) = rest.get(at) else {
                if !ended {
                    return Ok(Ok(false));
                }
                *from = at;
                let open = array && !matches!(self.expected, Expected::End | Expected::Open);
                return match open {
                    true => Err((at, "the file ends within the array".into())),
                    false => Ok(Ok(true)),
                };
            };
            if array {
                let next = match (self.expected, byte) {
                    (Expected::Open, b'[') => Some(Expected::First),
                    (Expected::First | Expected::Comma, b']') => Some(Expected::End),
                    (Expected::Comma, b',') => Some(Expected::Item),
                    (Expected::First | Expected::Item, _) => None,
                    (Expected::Open, _) => return Err((at, "'[' is expected".into())),
                    (Expected::Comma, _) => return Err((at, "',' or ']' is expected".into())),
                    (Expected::End, _) => return Err((at, "more follows the array".into())),
                };
                if let Some(next) = next {
                    self.expected = next;
                    *from = at + 1;
                    continue;
                }
            }
            match value_end(rest, at) {
                Ok(end) if end < rest.len() || ended => {
                    self.take(at, end)?;
                    self.expected = Expected::Comma;
                    *from = end;
                }
                Ok(_) => return Ok(Ok(false)),
                Err(Bad::Incomplete) if !ended => return Ok(Ok(false)),
                Err(bad) => {
                    *from = at;
                    return Ok(Err(bad));
                }
            }
        }
    }

    /// Notes the places of a value's columns.
    fn take(&mut self, start: usize, end: usize) -> std::result::Result<(), Wrong> {
        let row = self.starts.len();
        for slot in 0..self.shared.needed {
            self.places[slot * self.capacity + row] = (0, 0);
        }
        self.starts.push(start);
        self.row += 1;
        let shared = Arc::clone(&self.shared);
        let rest = self.input.rest();
        if let Some(column) = shared.files.sources.iter().position(|s| matches!(s, Source::Value)) {
            if let Some(slot) = shared.slots[column] {
                self.places[slot * self.capacity + row] = (start as u32, end as u32);
            }
            return Ok(());
        }
        if rest[start] != b'{' {
            return match &rest[start..end] == b"null" {
                true => Ok(()),
                false => Err((start, "an object is expected".into())),
            };
        }
        let (keys, capacity) = (&mut self.last_keys, self.capacity);
        let (places, seen, stamp) = (&mut self.places, &mut self.seen, self.row);
        let (mut number, mut wrong) = (0, None);
        members(rest, start, |key, value| {
            let raw = &rest[key.0..key.1];
            let column = match keys.get(number) {
                Some((known, column)) if known == raw => *column,
                _ => {
                    let text = String::from_utf8_lossy(raw);
                    let column = shared.keys.get(unescaped(&text).as_ref()).copied();
                    keys.truncate(number);
                    keys.push((raw.to_vec(), column));
                    column
                }
            };
            number += 1;
            let name = || unescaped(&String::from_utf8_lossy(raw)).into_owned();
            match column {
                None if shared.files.strict => wrong = wrong.take().or(Some(unknown_key(&name()))),
                None => {}
                Some(column) if seen[column] == stamp => {
                    wrong = Some(format!("the key \"{}\" stands twice in an object", name()));
                }
                Some(column) => {
                    seen[column] = stamp;
                    if let Some(slot) = shared.slots[column] {
                        places[slot * capacity + row] = (value.0 as u32, value.1 as u32);
                    }
                }
            }
        });
        wrong.map_or(Ok(()), |what| Err((start, what)))
    }

    fn step(&mut self) -> Result<Option<ScanBatch>> {
        let shared = Arc::clone(&self.shared);
        loop {
            self.split()?;
            let rows = self.starts.len();
            if let Err(error) = std::str::from_utf8(&self.input.rest()[..self.used]) {
                let wrong = |line| format!("line {line} is not valid UTF-8");
                return Err(self.corrupt(error.valid_up_to(), wrong)?);
            }
            if rows == 0 {
                return Ok(None);
            }
            let mut filtered: Vec<(usize, Vector)> = Vec::new();
            let mut kept: Option<Vec<u32>> = None;
            if let Some(filter) = &shared.spec.filter {
                let vectors = filter.columns().iter().map(|&column| self.column(column, None));
                let vectors = vectors.collect::<Result<Vec<_>>>()?;
                let Some(local) = &mut self.filter else {
                    return Err(StorageError::Internal("a filter without its state".into()));
                };
                let selection = local.select(&vectors, rows)?.filter(|found| found.len() < rows);
                if selection.as_ref().is_some_and(|found| found.is_empty()) {
                    continue;
                }
                for (&column, vector) in filter.columns().iter().zip(vectors) {
                    let vector = match &selection {
                        Some(selection) => vector.select(selection)?,
                        None => vector,
                    };
                    filtered.push((column, vector));
                }
                kept = selection.map(|selection| selection.rows().to_vec());
            }
            let mut columns = Vec::with_capacity(shared.spec.projection.len());
            for &column in &shared.spec.projection {
                match filtered.iter().find(|(known, _)| *known == column) {
                    Some((_, vector)) => columns.push(vector.clone()),
                    None => columns.push(self.column(column, kept.as_deref())?),
                }
            }
            let rows = kept.map_or(rows, |kept| kept.len());
            return Ok(Some(ScanBatch { columns, rows, selection: None }));
        }
    }

    /// A column of the relation in the kept rows (`None`: all).
    fn column(&self, column: usize, kept: Option<&[u32]>) -> Result<Vector> {
        let (files, rows) = (&self.shared.files, self.starts.len());
        if let Source::Constant(values) = &files.sources[column] {
            let rows = kept.map_or(rows, <[u32]>::len);
            return Ok(Vector::constant(values[self.file].clone(), rows));
        }
        let slot = self.shared.slots[column].unwrap_or(0);
        let all = &self.places[slot * self.capacity..][..rows];
        let gathered: Vec<Place>;
        let places = match kept {
            Some(kept) => {
                gathered = kept.iter().map(|&row| all[row as usize]).collect();
                &gathered[..]
            }
            None => all,
        };
        let text = &self.input.rest()[..self.used];
        // It was checked when the batch was read.
        let text = std::str::from_utf8(text).unwrap_or_default();
        let values = Values { text, places, strict: files.strict, formats: &files.formats };
        let vector = values.convert(files.schema.ty(column)).map_err(|failure| match failure {
            Failure::Other(error) => error,
            Failure::Row(row, what) => {
                let row = kept.map_or(row, |kept| kept[row] as usize);
                self.failed(column, row, what).unwrap_or_else(|error| error)
            }
        })?;
        if let Vector::Flat(array) = &vector {
            let bytes = array_bytes(array.as_ref());
            self.shared.spec.ledger.charge(column, Level::Decoded, bytes);
        }
        Ok(vector)
    }

    /// The error about a row that cannot be converted.
    fn failed(&self, column: usize, row: usize, what: Option<String>) -> Result<StorageError> {
        if self.handle.changed() {
            return Ok(changed(&self.entry().0));
        }
        let def = &self.shared.files.schema.columns[column];
        let slot = self.shared.slots[column].unwrap_or(0);
        let (start, end) = self.places[slot * self.capacity + row];
        let value = self.input.rest().get(start as usize..end as usize).unwrap_or_default();
        let value: String = String::from_utf8_lossy(value).chars().take(60).collect();
        let (path, name, ty) = (&self.entry().0, &def.name, &def.ty);
        let line = self.line(start as usize)?;
        let what = what.unwrap_or_else(|| {
            format!(
                "{value} is not of the type {ty}; the option columns = {{'{name}': 'VARCHAR'}} and a larger sample_size \
                 are ways to read it"
            )
        });
        Ok(StorageError::Value(format!("'{path}', line {line}, column '{name}': {what}")))
    }

    /// Settles the account and looks whether the file is still the same.
    fn settle(&self) -> Result<()> {
        self.shared.spec.ledger.charge_footer(self.handle.asked());
        if self.handle.changed() {
            return Err(changed(&self.entry().0));
        }
        Ok(())
    }
}

impl MorselScan for RangeScan {
    fn next(&mut self) -> Result<Option<ScanBatch>> {
        next_batch(self, |range| &mut range.finished, Self::step, Self::settle)
    }
}

fn more_values(what: &str) -> String {
    format!(
        "more {what}, where the first ones stand on a line each (the option format = 'unstructured' reads such files)"
    )
}

/// Goes behind the next line end, or to `stop`.
fn to_next_line(input: &mut Input, stop: u64) -> Result<()> {
    while input.position() < stop {
        if input.rest().is_empty() && !input.more(CHUNK_BYTES)? {
            return Ok(());
        }
        match memchr::memchr(b'\n', input.rest()) {
            Some(at) => {
                input.advance(at + 1);
                return Ok(());
            }
            None => input.advance(input.rest().len()),
        }
    }
    Ok(())
}
