//! A scan over CSV files: ranges of bytes as morsels, and reading one.
//!
//! Invariants: a morsel holds the records that begin in its range; ranges depend on the file's size alone. The columns of
//! the filter are converted first, the others only in the rows that it kept; a file that changes during the scan is an
//! error.
//! Next: `bounds.rs`, `convert.rs`.

use std::{
    ops::ControlFlow,
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    CHUNK_BYTES, MAX_RECORD,
    bounds::{State, advance, first_record},
    convert::{Failure, Fields, Nulls, convert},
    dataset::{ColumnSource, FileEntry},
    format::Formats,
    input::{Compression, Input, changed, corrupt, line_at, next_batch, reopen},
    split::{Malformed, Sink, Span, split},
};
use crate::{
    VECTOR_SIZE,
    error::{Result, StorageError},
    ledger::{Level, array_bytes},
    parquet::source::RangeFile,
    scan::{LocalRowFilter, MorselScan, Scan, ScanBatch, ScanSpec},
    types::Schema,
    vector::Vector,
};

/// Bytes in memory from which on a batch is given out though it is not full.
const MAX_BATCH_BYTES: usize = 4 << 20;
/// Bytes that are read at a time behind the end of a range, to the end of its last record.
const TAIL_BYTES: usize = 16 << 10;

/// Which malformed records are read all the same.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lax {
    /// Those with fewer fields, the others being NULL.
    pub padding: bool,
    /// Those of another number of fields, or with values that are none of their types: they are left out.
    pub skipping: bool,
}

/// What all morsels of a scan share.
struct Shared {
    files: Arc<[FileEntry]>,
    schema: Arc<Schema>,
    spec: ScanSpec,
    formats: Arc<Formats>,
    nulls: Arc<Nulls>,
    lax: Lax,
    morsel_bytes: u64,
    /// The distinct columns of filter and projection.
    columns: Vec<usize>,
    /// The states at the starts of the ranges of each file, as far as they are known.
    states: Vec<Mutex<Vec<State>>>,
}

/// An opened scan.
pub(crate) struct CsvScan {
    shared: Arc<Shared>,
    /// File and number of the range, in row order.
    morsels: Vec<(usize, u64)>,
}

impl CsvScan {
    /// Opens a scan; files whose constants cannot match are left out.
    pub(crate) fn new(
        files: Arc<[FileEntry]>,
        schema: Arc<Schema>,
        spec: ScanSpec,
        (formats, nulls, lax): (Arc<Formats>, Arc<Nulls>, Lax),
        morsel_bytes: u64,
    ) -> Result<Self> {
        let filter = spec.filter.iter().flat_map(|filter| filter.columns());
        let mut columns: Vec<usize> = match lax.skipping {
            // Which rows there are must not depend on what a query names.
            true => (0..schema.len()).collect(),
            false => filter.chain(&spec.projection).copied().collect(),
        };
        columns.sort_unstable();
        columns.dedup();
        if columns.last().is_some_and(|&column| column >= schema.len()) {
            return Err(StorageError::Internal("a scan names a column that is not there".into()));
        }
        let mut morsels = Vec::new();
        for (number, entry) in files.iter().enumerate() {
            let prune = spec.prune.as_ref();
            if prune.is_some_and(|prune| !prune.may_match(&|column| entry.range(column))) {
                continue;
            }
            let text = entry.sniffed.identity.size.saturating_sub(entry.sniffed.start);
            let ranges = match entry.sniffed.compression {
                Compression::Plain if entry.sniffed.dialect.comment.is_none() => {
                    text.div_ceil(morsel_bytes)
                }
                // Quotes within comments are none: such a file is read from its start.
                _ => 1,
            };
            morsels.extend((0..ranges).map(|range| (number, range)));
        }
        let states = files.iter().map(|_| Mutex::new(vec![State::Record])).collect();
        let shared =
            Shared { files, schema, spec, formats, nulls, lax, morsel_bytes, columns, states };
        Ok(Self { shared: Arc::new(shared), morsels })
    }
}

impl Scan for CsvScan {
    fn morsels(&self) -> usize {
        self.morsels.len()
    }

    fn rows(&self) -> u64 {
        let mut rows = 0;
        let mut last = None;
        for &(file, _) in &self.morsels {
            if last != Some(file) {
                rows += self.shared.files[file].rows();
                last = Some(file);
            }
        }
        rows
    }

    fn open(&self, morsel: usize) -> Result<Box<dyn MorselScan>> {
        let Some(&(file, range)) = self.morsels.get(morsel) else {
            return Err(StorageError::Internal(format!("there is no morsel {morsel}")));
        };
        Ok(Box::new(RangeScan::open(&self.shared, file, range)?))
    }
}

impl Shared {
    /// The state of the splitter at the start of a range of a plain file.
    fn state(
        &self,
        entry: &FileEntry,
        known: &Mutex<Vec<State>>,
        range: u64,
        file: &RangeFile,
    ) -> Result<State> {
        let (dialect, start) = (&entry.sniffed.dialect, entry.sniffed.start);
        let mut buffer = Vec::new();
        if dialect.quote.is_none() && range > 0 {
            // Without quotes the byte before says it all.
            buffer.resize(1, 0);
            file.fill(start + range * self.morsel_bytes - 1, &mut buffer)?;
            return Ok(advance(State::Plain, &buffer, dialect));
        }
        let range = usize::try_from(range).unwrap_or(usize::MAX);
        // Whoever comes later waits here for states that it needs as well.
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        while let (true, Some(&last)) = (known.len() <= range, known.last()) {
            let mut at = start + (known.len() as u64 - 1) * self.morsel_bytes;
            let end = at + self.morsel_bytes;
            let mut state = last;
            while at < end {
                let length = (end - at).min(CHUNK_BYTES as u64);
                buffer.resize(usize::try_from(length).unwrap_or(CHUNK_BYTES), 0);
                file.fill(at, &mut buffer)?;
                state = advance(state, &buffer, dialect);
                at += length;
            }
            known.push(state);
        }
        Ok(known.get(range).copied().unwrap_or(State::Record))
    }
}

/// A range of a file being read.
struct RangeScan {
    shared: Arc<Shared>,
    file: usize,
    handle: Arc<RangeFile>,
    input: Input,
    /// Records that begin here or behind belong to later ranges.
    stop: u64,
    batch: Batch,
    /// Bytes in front of the input that the batch before stood in.
    used: usize,
    filter: Option<Box<dyn LocalRowFilter>>,
    /// Bytes charged to columns.
    charged: u64,
    finished: bool,
}

/// The fields of a batch of records.
struct Batch {
    /// For each field of a record, the number of its column among those that are needed.
    slots: Vec<Option<usize>>,
    /// Column by column, `capacity` each.
    spans: Vec<Span>,
    capacity: usize,
    /// Where each record begins.
    starts: Vec<usize>,
    /// A record with another number of fields: where it begins, and how many it has.
    ragged: Option<(usize, usize)>,
    lax: Lax,
}

impl Batch {
    fn new(entry: &FileEntry, columns: &[usize], capacity: usize, lax: Lax) -> Self {
        let mut slots = vec![None; entry.sniffed.names.len()];
        let mut needed = 0;
        for &column in columns {
            if let ColumnSource::Field(field) = entry.columns[column] {
                slots[field] = Some(needed);
                needed += 1;
            }
        }
        Self {
            slots,
            spans: vec![Span::default(); needed * capacity],
            capacity,
            starts: Vec::with_capacity(capacity),
            ragged: None,
            lax,
        }
    }

    /// Leaves out a row.
    fn remove(&mut self, row: usize) {
        let rows = self.starts.len();
        for column in self.spans.chunks_mut(self.capacity) {
            column[row..rows].rotate_left(1);
        }
        self.starts.remove(row);
    }

    /// The fields of a needed column, one per record.
    fn fields(&self, field: usize) -> &[Span] {
        let slot = self.slots.get(field).copied().flatten().unwrap_or(0);
        &self.spans[slot * self.capacity..][..self.starts.len()]
    }
}

impl Sink for Batch {
    fn field(&mut self, column: usize, span: Span) {
        if let Some(Some(slot)) = self.slots.get(column) {
            self.spans[slot * self.capacity + self.starts.len()] = span;
        }
    }

    fn record(&mut self, start: usize, columns: usize, blank: bool) -> ControlFlow<()> {
        if blank && self.slots.len() > 1 {
            return ControlFlow::Continue(());
        }
        if columns < self.slots.len() && self.lax.padding {
            let row = self.starts.len();
            for slot in self.slots[columns..].iter().flatten() {
                self.spans[slot * self.capacity + row] = Span::NULL;
            }
        } else if columns != self.slots.len() {
            if self.lax.skipping {
                return ControlFlow::Continue(());
            }
            self.ragged = Some((start, columns));
            return ControlFlow::Break(());
        }
        self.starts.push(start);
        match self.starts.len() < self.capacity {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    }
}

impl RangeScan {
    fn open(shared: &Arc<Shared>, file: usize, range: u64) -> Result<Self> {
        let entry = &shared.files[file];
        let sniffed = &entry.sniffed;
        let handle = reopen(&entry.path, sniffed.identity)?;
        let begin = sniffed.start + range * shared.morsel_bytes;
        let (stop, state) = match sniffed.compression {
            Compression::Plain if sniffed.dialect.comment.is_none() => {
                let state = shared.state(entry, &shared.states[file], range, &handle)?;
                (begin + shared.morsel_bytes, state)
            }
            _ => (u64::MAX, State::Record),
        };
        let mut input = Input::open(Arc::clone(&handle), sniffed.compression, begin)?;
        to_first_record(&mut input, state, stop, entry)?;
        let capacity = shared.spec.vector_size.clamp(1, VECTOR_SIZE);
        Ok(Self {
            shared: Arc::clone(shared),
            file,
            handle,
            input,
            stop,
            batch: Batch::new(entry, &shared.columns, capacity, shared.lax),
            used: 0,
            filter: shared.spec.filter.as_ref().map(|filter| filter.local()).transpose()?,
            charged: 0,
            finished: false,
        })
    }

    fn entry(&self) -> &FileEntry {
        &self.shared.files[self.file]
    }

    /// The line of the record that begins so many bytes behind the input's position.
    fn line(&self, start: usize) -> Result<u64> {
        let sniffed = &self.entry().sniffed;
        let offset = self.input.position() + start as u64;
        line_at(&self.handle, sniffed.compression, sniffed.dialect.line_end, offset)
    }

    fn corrupt(&self, start: usize, message: impl FnOnce(u64) -> String) -> Result<StorageError> {
        if self.handle.changed() {
            return Ok(changed(&self.entry().path));
        }
        Ok(corrupt(&self.entry().path, message(self.line(start)?)))
    }

    /// Splits the records of the next batch; they stand in front of the input.
    fn split(&mut self) -> Result<()> {
        self.input.advance(self.used);
        self.batch.starts.clear();
        let dialect = self.entry().sniffed.dialect;
        let mut from = 0;
        loop {
            let until = self.stop.saturating_sub(self.input.position());
            let until = usize::try_from(until).unwrap_or(usize::MAX);
            let rest = self.input.rest();
            let ended = self.input.ended();
            match split(rest, from, until, ended, &dialect, &mut self.batch) {
                Ok(next) => from = next,
                Err((start, malformed)) => {
                    return Err(self.corrupt(start, |line| malformed.message(line))?);
                }
            }
            if let Some((start, found)) = self.batch.ragged {
                let expected = self.batch.slots.len();
                return Err(self.corrupt(start, |line| ragged(line, found, expected))?);
            }
            let (rest, rows) = (self.input.rest().len(), self.batch.starts.len());
            let full = rows == self.batch.capacity || (rows > 0 && rest > MAX_BATCH_BYTES);
            if full || from >= until || (ended && from >= rest) {
                break;
            }
            if rest - from > MAX_RECORD {
                return Err(self.corrupt(from, |line| Malformed::Long.message(line))?);
            }
            // Blank lines may fill the buffer, too.
            if rows == 0 {
                self.input.advance(from);
                from = 0;
            }
            let ahead = usize::try_from(self.stop.saturating_sub(self.input.position()));
            let ahead = ahead.unwrap_or(usize::MAX).saturating_sub(self.input.rest().len());
            let least = TAIL_BYTES.max(self.input.rest().len() - from);
            self.input.more(ahead.min(CHUNK_BYTES).max(least))?;
        }
        self.used = from;
        Ok(())
    }

    fn step(&mut self) -> Result<Option<ScanBatch>> {
        let shared = Arc::clone(&self.shared);
        loop {
            self.split()?;
            if shared.lax.skipping && !self.batch.starts.is_empty() {
                self.leave_out()?;
                if self.batch.starts.is_empty() {
                    continue;
                }
            }
            let rows = self.batch.starts.len();
            if rows == 0 {
                return Ok(None);
            }
            let text = match std::str::from_utf8(&self.input.rest()[..self.used]) {
                Ok(text) => text,
                Err(error) => {
                    let wrong = |line| format!("line {line} is not valid UTF-8");
                    return Err(self.corrupt(error.valid_up_to(), wrong)?);
                }
            };
            let mut charged = 0;
            let mut filtered: Vec<(usize, Vector)> = Vec::new();
            let mut kept: Option<Vec<u32>> = None;
            if let (Some(filter), Some(local)) = (&shared.spec.filter, &mut self.filter) {
                let mut vectors = Vec::with_capacity(filter.columns().len());
                let file = Part { shared: &shared, file: self.file, batch: &self.batch, text };
                for &column in filter.columns() {
                    match file.column(column, None, &mut charged) {
                        Ok(vector) => vectors.push(vector),
                        Err(failure) => return Err(self.failed(column, failure)?),
                    }
                }
                let selection = local.select(&vectors, rows)?.filter(|found| found.len() < rows);
                if selection.as_ref().is_some_and(|found| found.is_empty()) {
                    self.charged += charged;
                    continue;
                }
                let pairs = filter.columns().iter().copied().zip(vectors);
                let needed = pairs.filter(|(column, _)| shared.spec.projection.contains(column));
                for (column, vector) in needed {
                    let vector = match &selection {
                        Some(selection) => vector.select(selection)?,
                        None => vector,
                    };
                    filtered.push((column, vector));
                }
                kept = selection.map(|selection| selection.rows().to_vec());
            }
            let file = Part { shared: &shared, file: self.file, batch: &self.batch, text };
            let mut columns = Vec::with_capacity(shared.spec.projection.len());
            for &column in &shared.spec.projection {
                if let Some((_, vector)) = filtered.iter().find(|(known, _)| *known == column) {
                    columns.push(vector.clone());
                    continue;
                }
                match file.column(column, kept.as_deref(), &mut charged) {
                    Ok(vector) => {
                        filtered.push((column, vector.clone()));
                        columns.push(vector);
                    }
                    Err(failure) => return Err(self.failed(column, failure)?),
                }
            }
            self.charged += charged;
            let rows = kept.map_or(rows, |kept| kept.len());
            return Ok(Some(ScanBatch { columns, rows, selection: None }));
        }
    }

    /// Leaves out the rows of the batch that have a value that is none of its type.
    fn leave_out(&mut self) -> Result<()> {
        let shared = Arc::clone(&self.shared);
        for &column in &shared.columns {
            loop {
                let Ok(text) = std::str::from_utf8(&self.input.rest()[..self.used]) else {
                    return Ok(());
                };
                let part = Part { shared: &shared, file: self.file, batch: &self.batch, text };
                match part.column(column, None, &mut 0) {
                    Ok(_) => break,
                    Err(Failure::Row(row, _)) => self.batch.remove(row),
                    Err(Failure::Other(error)) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// The error about a column that cannot be converted.
    fn failed(&self, column: usize, failure: Failure) -> Result<StorageError> {
        let row = match failure {
            Failure::Other(error) => return Ok(error),
            Failure::Row(row, _) => row,
        };
        if self.handle.changed() {
            return Ok(changed(&self.entry().path));
        }
        let (entry, def) = (self.entry(), &self.shared.schema.columns[column]);
        let start = self.batch.starts.get(row).copied().unwrap_or(0);
        let span = match entry.columns[column] {
            ColumnSource::Field(field) => self.batch.fields(field).get(row).copied(),
            ColumnSource::Constant(_) => None,
        };
        let text = span.unwrap_or_default().of(self.input.rest());
        let text: String = String::from_utf8_lossy(text).chars().take(60).collect();
        let (path, line) = (&entry.path, self.line(start)?);
        let (name, ty) = (&def.name, &def.ty);
        Ok(StorageError::Value(format!(
            "'{path}', line {line}, column '{name}': \"{text}\" is not of the type {ty}; the options \
             types = {{'{name}': 'VARCHAR'}}, all_varchar = true, nullstr and a larger sample_size \
             are ways to read it"
        )))
    }

    /// Settles the account and looks whether the file is still the same.
    fn settle(&self) -> Result<()> {
        let asked = self.handle.asked().saturating_sub(self.charged);
        self.shared.spec.ledger.charge_footer(asked);
        if self.handle.changed() {
            return Err(changed(&self.entry().path));
        }
        Ok(())
    }
}

impl MorselScan for RangeScan {
    fn next(&mut self) -> Result<Option<ScanBatch>> {
        next_batch(self, |range| &mut range.finished, Self::step, Self::settle)
    }
}

/// What is wrong with a record of another number of fields.
fn ragged(line: u64, found: usize, expected: usize) -> String {
    let fields = if found == 1 { "field" } else { "fields" };
    format!(
        "line {line} has {found} {fields} where the others have {expected} (the options delim, quote, \
         escape and skip say how to read it)"
    )
}

/// Goes to the first record that begins at or behind the input's position, or to `stop`.
fn to_first_record(
    input: &mut Input,
    mut state: State,
    stop: u64,
    entry: &FileEntry,
) -> Result<()> {
    let dialect = &entry.sniffed.dialect;
    while state != State::Record && input.position() < stop {
        if input.rest().is_empty() && !input.more(CHUNK_BYTES)? {
            return Ok(());
        }
        match first_record(state, input.rest(), dialect) {
            Some(at) => {
                input.advance(at);
                return Ok(());
            }
            None => {
                state = advance(state, input.rest(), dialect);
                input.advance(input.rest().len());
            }
        }
    }
    Ok(())
}

/// A batch of a file, of which columns are converted.
struct Part<'a> {
    shared: &'a Shared,
    file: usize,
    batch: &'a Batch,
    text: &'a str,
}

impl Part<'_> {
    /// A column of the relation in the kept rows (`None`: all).
    fn column(
        &self,
        column: usize,
        kept: Option<&[u32]>,
        charged: &mut u64,
    ) -> std::result::Result<Vector, Failure> {
        let entry = &self.shared.files[self.file];
        let rows = kept.map_or(self.batch.starts.len(), <[u32]>::len);
        let field = match &entry.columns[column] {
            ColumnSource::Constant(value) => return Ok(Vector::constant(value.clone(), rows)),
            ColumnSource::Field(field) => *field,
        };
        let all = self.batch.fields(field);
        let gathered: Vec<Span>;
        let spans = match kept {
            Some(kept) => {
                gathered = kept.iter().map(|&row| all[row as usize]).collect();
                &gathered[..]
            }
            None => all,
        };
        let dialect = &entry.sniffed.dialect;
        let fields = Fields { text: self.text, spans, dialect, nulls: &self.shared.nulls };
        let ty = self.shared.schema.ty(column);
        let vector =
            convert(&fields, ty, &self.shared.formats).map_err(|failure| match failure {
                Failure::Row(row, what) => {
                    Failure::Row(kept.map_or(row, |kept| kept[row] as usize), what)
                }
                other => other,
            })?;
        let ledger = &self.shared.spec.ledger;
        if entry.sniffed.compression == Compression::Plain {
            let bytes = spans.iter().map(|span| span.len() as u64).sum();
            ledger.charge(column, Level::Encoded, bytes);
            *charged += bytes;
        }
        match &vector {
            Vector::Flat(array) => {
                ledger.charge(column, Level::Decoded, array_bytes(array.as_ref()));
            }
            Vector::Narrow(narrow) => {
                ledger.charge(column, Level::Decoded, array_bytes(narrow.offsets.as_ref()));
            }
            Vector::Constant { .. } | Vector::Dictionary(_) => {}
        }
        Ok(vector)
    }
}
