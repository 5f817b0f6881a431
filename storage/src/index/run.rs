//! A run: entries in order of key and row, immutable, without a pointer.
//!
//! Invariants: entries are sorted by key, those of one key by row; the NULLs of a key of one column stand at the end. A row
//! has one entry. A run has fewer than 2^32 entries. What is known of a range of positions is found without looking at
//! more than a block at each end.
//! Next: `version.rs`, which puts runs together.

use std::ops::Range;

use super::{
    bytes::{ByteList, ByteTree},
    code::{self, code_bits, decode_double, decode_whole, mask},
    column::Column,
    keys::{ByteKeys, Keys, WordKeys},
    offsets::{Pair, Word, long_sums, short_sums, wide_sums},
    range::{Cut, KeyCode, KeyRef},
    raw::Raw,
    spec::{Form, IndexSpec, NULL},
    sums::{Doubles, FloatSums, WholeSums},
    totals::{TotalSums, Totals},
};
use crate::{
    error::{Result, StorageError},
    types::LogicalType,
};

/// Row ids, narrow where they fit.
#[derive(Debug, Clone)]
pub(super) enum RowIds {
    Narrow(Vec<u32>),
    Wide(Vec<u64>),
}

impl RowIds {
    pub(super) fn push(&mut self, row: u64) {
        match (&mut *self, u32::try_from(row)) {
            (Self::Narrow(rows), Ok(row)) => rows.push(row),
            (Self::Narrow(rows), Err(_)) => {
                let mut wide: Vec<u64> = rows.iter().map(|&row| row.into()).collect();
                wide.push(row);
                *self = Self::Wide(wide);
            }
            (Self::Wide(rows), _) => rows.push(row),
        }
    }

    #[inline]
    pub(super) fn get(&self, at: usize) -> u64 {
        match self {
            Self::Narrow(rows) => rows[at].into(),
            Self::Wide(rows) => rows[at],
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Narrow(rows) => rows.len(),
            Self::Wide(rows) => rows.len(),
        }
    }

    pub(super) fn gather(self, order: &[u32]) -> Self {
        match self {
            Self::Narrow(rows) => Self::Narrow(order.iter().map(|&at| rows[at as usize]).collect()),
            Self::Wide(rows) => Self::Wide(order.iter().map(|&at| rows[at as usize]).collect()),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Narrow(rows) => rows.capacity() * 4,
            Self::Wide(rows) => rows.capacity() * 8,
        }
    }
}

/// Keys in order, before their tree is built.
#[derive(Debug)]
pub(super) enum SortedKeys {
    Narrow(Vec<u64>),
    Wide(Vec<u128>),
    /// Distinct strings and how many entries each has.
    Bytes(ByteList, Vec<u32>),
}

impl SortedKeys {
    /// No keys of a form.
    pub(super) fn new(form: Form, room: usize) -> Self {
        match form {
            Form::One { wide: false } | Form::Packed { bits: ..=64 } => {
                Self::Narrow(Vec::with_capacity(room))
            }
            Form::One { .. } | Form::Packed { .. } => Self::Wide(Vec::with_capacity(room)),
            Form::Raw | Form::Encoded => Self::Bytes(ByteList::default(), vec![]),
        }
    }
}

/// Sums of a key of one column.
#[derive(Debug, Clone)]
enum KeySums {
    None,
    /// The least code, its value, and the bits that a descending key turns.
    Whole {
        least: u128,
        base: i128,
        flip: u128,
        short: bool,
        sums: WholeSums,
    },
    Float {
        sums: FloatSums,
    },
}

/// A run.
#[derive(Debug, Clone)]
pub(super) struct Run {
    keys: Keys,
    /// How many entries have a key of one column that is not NULL.
    values: usize,
    rows: RowIds,
    key_sums: KeySums,
    pub(super) columns: Vec<Column>,
    /// The type of a float key, and the bits that a descending one turns.
    float_key: Option<(LogicalType, u64)>,
}

impl Run {
    /// A run of sorted entries.
    ///
    /// # Errors
    /// `Internal` when the spec cannot be.
    pub(super) fn new(
        spec: &IndexSpec,
        keys: SortedKeys,
        rows: RowIds,
        columns: Vec<Raw>,
    ) -> Result<Self> {
        let keys = match keys {
            SortedKeys::Narrow(words) => Keys::Narrow(WordKeys::new(words)),
            SortedKeys::Wide(words) => Keys::Wide(WordKeys::new(words)),
            SortedKeys::Bytes(list, counts) => {
                Keys::Bytes(ByteKeys::new(ByteTree::new(list), &counts))
            }
        };
        let columns = columns.into_iter().zip(&spec.includes);
        let columns = columns.map(|(raw, spec)| Column::new(raw, spec)).collect();
        let values = match (spec.keys.as_slice(), spec.form()?) {
            // Texts in descending order have codes for NULL too.
            ([_], Form::Encoded) => keys.lower_bound(KeyRef::Bytes(&[NULL])),
            _ => keys.len(),
        };
        let mut run =
            Self { keys, values, rows, key_sums: KeySums::None, columns, float_key: None };
        let ([key], Form::One { .. }) = (spec.keys.as_slice(), spec.form()?) else {
            return Ok(run);
        };
        if !code::has_sums(&key.ty) || run.keys.len() == 0 {
            return Ok(run);
        }
        let bits = code_bits(&key.ty)?.unwrap_or(0);
        let flip = if key.descending { mask(bits) } else { 0 };
        if key.ty.is_float() {
            run.float_key = Some((key.ty.clone(), flip as u64));
            if let Some(doubles) = run.key_doubles() {
                run.key_sums = KeySums::Float { sums: FloatSums::new(&doubles) };
            }
            return Ok(run);
        }
        let code = |at: usize| match run.keys.get(at) {
            KeyRef::Narrow(word) => u128::from(word) ^ flip,
            KeyRef::Wide(word) => word ^ flip,
            _ => 0,
        };
        let ends = [code(0), code(run.keys.len() - 1)];
        let (least, greatest) = (ends[0].min(ends[1]), ends[0].max(ends[1]));
        let [base, top] = [least, greatest].map(|code| decode_whole(&key.ty, bits, code));
        let (max, magnitude) = (greatest - least, base.unsigned_abs().max(top.unsigned_abs()));
        let short = max <= u32::MAX.into();
        let each = |range, squares| run.key_pair(range, squares, (least, flip, short));
        let sums = WholeSums::new(run.keys.len(), max, magnitude, each);
        run.key_sums = KeySums::Whole { least, base, flip, short, sums };
        Ok(run)
    }

    /// The same entries with included columns, in their order.
    pub(super) fn with_columns(self, spec: &IndexSpec, columns: Vec<Raw>) -> Self {
        let columns = columns.into_iter().zip(&spec.includes);
        Self { columns: columns.map(|(raw, spec)| Column::new(raw, spec)).collect(), ..self }
    }

    /// The same entries of rows with other ids.
    ///
    /// # Errors
    /// `Internal` when entries of one key change their order.
    pub(super) fn with_rows(&self, id: impl Fn(u64) -> u64) -> Result<Self> {
        let mut rows = RowIds::Narrow(Vec::with_capacity(self.len()));
        for at in 0..self.len() {
            let row = id(self.row(at));
            if at > 0 && rows.get(at - 1) >= row && self.key(at - 1) == self.key(at) {
                return Err(StorageError::Internal("rows of an index out of order".into()));
            }
            rows.push(row);
        }
        Ok(Self { rows, ..self.clone() })
    }

    /// The sums of the keys' distances from the least one, at few positions.
    #[inline]
    fn key_pair(
        &self,
        range: Range<usize>,
        squares: bool,
        (least, flip, short): (u128, u128, bool),
    ) -> Pair {
        match &self.keys {
            Keys::Narrow(keys) => {
                let (least, flip) = (u64::cut(least), u64::cut(flip));
                let words = keys.tree.words()[range].iter();
                match short {
                    true => short_sums(words.map(|word| ((word ^ flip) - least) as u32)),
                    false => long_sums(words.map(|word| (word ^ flip) - least), squares),
                }
            }
            Keys::Wide(keys) => {
                let words = keys.tree.words()[range].iter();
                wide_sums(words.map(|word| (word ^ flip) - least), squares)
            }
            Keys::Bytes(_) => Pair::ZERO,
        }
    }

    fn key_doubles(&self) -> Option<KeyDoubles<'_>> {
        match (&self.keys, &self.float_key) {
            (Keys::Narrow(keys), Some((ty, flip))) => {
                Some(KeyDoubles { words: keys.tree.words(), ty, flip: *flip })
            }
            _ => None,
        }
    }

    /// How many entries.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The position of a cut. `O(log n)`.
    #[inline]
    pub(super) fn position(&self, cut: &Cut) -> usize {
        match cut {
            Cut::Start => 0,
            Cut::Before(KeyCode::Null) => self.keys.len(),
            Cut::Before(key) => self.keys.lower_bound(key.borrow()),
            Cut::End => self.len(),
        }
    }

    /// The key of an entry.
    #[inline]
    pub(super) fn key(&self, at: usize) -> KeyRef<'_> {
        if at < self.keys.len() { self.keys.get(at) } else { KeyRef::Null }
    }

    /// The row of an entry.
    #[inline]
    pub(super) fn row(&self, at: usize) -> u64 {
        self.rows.get(at)
    }

    /// The position of the first entry whose key is not less. `O(log n)`.
    #[inline]
    pub(super) fn first(&self, key: KeyRef<'_>) -> usize {
        self.keys.lower_bound(key)
    }

    /// The positions of the entries of a key. `O(log n)`.
    pub(super) fn equal(&self, key: KeyRef<'_>) -> Range<usize> {
        match key {
            KeyRef::Null => self.keys.len()..self.len(),
            key => self.keys.lower_bound(key)..self.keys.upper_bound(key),
        }
    }

    /// The position of the first entry that is not before a key and row. `O(log n)`.
    pub(super) fn rank(&self, key: KeyRef<'_>, row: u64) -> usize {
        let start = self.first(key);
        if start >= self.len() || self.rows.get(start) >= row || self.key(start) != key {
            return start;
        }
        let (mut low, mut high) = (start + 1, self.equal(key).end);
        while low < high {
            let mid = low.midpoint(high);
            match self.rows.get(mid) < row {
                true => low = mid + 1,
                false => high = mid,
            }
        }
        low
    }

    /// The first position of a stretch whose key is not `before` something, which keys are up to a place; the stretch's end
    /// when all are. `O(log g)` for a place that is g positions away.
    pub(super) fn seek(&self, within: Range<usize>, before: impl Fn(KeyRef<'_>) -> bool) -> usize {
        let (mut low, mut high, mut step) = (within.start, within.end, 1);
        while low < high {
            let probe = (low + step - 1).min(high - 1);
            if !before(self.key(probe)) {
                high = probe;
                break;
            }
            low = probe + 1;
            step *= 2;
        }
        while low < high {
            let mid = low.midpoint(high);
            match before(self.key(mid)) {
                true => low = mid + 1,
                false => high = mid,
            }
        }
        low
    }

    /// Whether the entry at a position is that of a key and row.
    pub(super) fn is_at(&self, at: usize, key: KeyRef<'_>, row: u64) -> bool {
        at < self.len() && self.rows.get(at) == row && self.key(at) == key
    }

    /// How many distinct keys a range has; NULL is one.
    pub(super) fn distinct(&self, range: &Range<usize>) -> usize {
        let coded = self.keys.len();
        let nulls = usize::from(range.end > coded && range.end > range.start);
        self.keys.distinct(range.start.min(coded), range.end.min(coded)) + nulls
    }

    /// Adds what is known of a key of one column, or takes it away. `O(1)`: two look-ups and half a block at each end.
    pub(super) fn add_key_to(
        &self,
        totals: &mut Totals,
        range: &Range<usize>,
        squares: bool,
        subtract: bool,
    ) {
        let range = range.start.min(self.values)..range.end.min(self.values);
        totals.count(range.len(), subtract);
        match &self.key_sums {
            KeySums::None => {}
            KeySums::Whole { least, base, flip, short, sums } => {
                let each = |range, squares| self.key_pair(range, squares, (*least, *flip, *short));
                let pair = sums.between(range.clone(), squares, each);
                let squares = squares && sums.has_squares();
                totals.add_whole(*base, range.len(), pair, squares, subtract);
            }
            KeySums::Float { sums } => {
                if let (TotalSums::Float(totals), Some(doubles)) =
                    (&mut totals.sums, self.key_doubles())
                {
                    sums.add_to(totals, range, &doubles, squares, subtract);
                }
            }
        }
    }

    /// Appends a range of keys to sorted ones, how many NULLs are in it to theirs.
    pub(super) fn append_keys(&self, range: &Range<usize>, to: &mut SortedKeys) {
        let coded = self.keys.len();
        let range = range.start.min(coded)..range.end.min(coded);
        match (&self.keys, to) {
            (Keys::Narrow(keys), SortedKeys::Narrow(all)) => {
                all.extend_from_slice(&keys.tree.words()[range]);
            }
            (Keys::Wide(keys), SortedKeys::Wide(all)) => {
                all.extend_from_slice(&keys.tree.words()[range]);
            }
            (Keys::Bytes(_), SortedKeys::Bytes(list, counts)) => {
                for at in range {
                    let KeyRef::Bytes(bytes) = self.keys.get(at) else { continue };
                    push_bytes(list, counts, bytes);
                }
            }
            _ => {}
        }
    }

    /// Levels of the tree over the keys.
    pub(super) fn height(&self) -> usize {
        self.keys.height()
    }

    /// Bytes of memory held: those of the key and the rows' ids, then those of each included column.
    pub(super) fn column_bytes(&self) -> impl Iterator<Item = usize> {
        let sums = match &self.key_sums {
            KeySums::None => 0,
            KeySums::Whole { sums, .. } => sums.bytes(),
            KeySums::Float { sums } => sums.bytes(),
        };
        let key = self.keys.bytes() + self.rows.bytes() + sums;
        std::iter::once(key).chain(self.columns.iter().map(Column::bytes))
    }
}

/// Appends a string to sorted ones with their counts.
pub(super) fn push_bytes(list: &mut ByteList, counts: &mut Vec<u32>, bytes: &[u8]) {
    match counts.last_mut() {
        Some(count) if list.get(list.len() - 1) == bytes => *count += 1,
        _ => {
            list.push(bytes);
            counts.push(1);
        }
    }
}

/// The doubles of a float key.
struct KeyDoubles<'a> {
    words: &'a [u64],
    ty: &'a LogicalType,
    flip: u64,
}

impl Doubles for KeyDoubles<'_> {
    fn len(&self) -> usize {
        self.words.len()
    }

    #[inline]
    fn each(&self, range: Range<usize>, mut see: impl FnMut(f64)) {
        for &word in &self.words[range] {
            see(decode_double(self.ty, word ^ self.flip));
        }
    }
}
