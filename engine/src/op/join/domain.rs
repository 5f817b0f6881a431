//! The values of one build key column as codes 0, 1, 2 and so on: a lane's distance from its minimum, or the number of a
//! byte string.
//!
//! Invariants: two values have one code exactly when they are equal; a probe value that the build side cannot have has
//! the code `MISS`. Codes do not depend on encodings. Next: `key.rs`, which packs the codes of several columns.

use arrow::{
    array::{Array, ArrayRef, AsArray, UInt32Array},
    buffer::NullBuffer,
    compute,
    datatypes::DataType,
};
use stoadb_storage::{LogicalType, Vector, vector::DictionaryVector};

use crate::{error::Result, kernel::bits::NestedRows};

use super::{
    intern::Interner,
    lane::{self, Lane, LaneCodes, LaneHalves, LaneRange, MISS},
};

/// A code that a memo does not know yet.
const UNKNOWN: u64 = MISS - 1;

/// What the codes of a column, or of a part of it, are.
pub(super) enum Domain {
    /// No value at all.
    Empty,
    /// A lane's distance from `base`, up to `range`.
    Lane {
        /// Which lane.
        lane: Lane,
        /// The smallest value.
        base: i64,
        /// The largest code, below 2^64 - 2.
        range: u64,
    },
    /// 32 bits of a lane that spreads over all 64.
    Half {
        /// Which lane.
        lane: Lane,
        /// The upper ones.
        upper: bool,
    },
    /// The number of a text or blob.
    Bytes(Interner),
    /// The number of a nested value, by its normalised bytes.
    Nested(NestedRows, Interner),
}

/// What was computed once for the entries of a dictionary; one per worker and part.
#[derive(Default)]
pub(super) struct Memo {
    dictionary: Option<u64>,
    codes: Vec<u64>,
}

/// A part of a key column with its codes.
pub(super) struct Part {
    /// The key column.
    pub(super) column: usize,
    /// Its codes.
    pub(super) domain: Domain,
    /// The code of NULL: after all others where NULL matches NULL, else `MISS`.
    null: u64,
}

/// What is learnt of a build column in one pass.
pub(super) struct ColumnFacts {
    /// The codes of the build rows, chunk after chunk, where the pass gave them: then there is one part.
    pub(super) codes: Option<Vec<Vec<u64>>>,
    /// The parts that together make its key.
    pub(super) parts: Vec<Part>,
    /// Its range, for types of one lane.
    pub(super) range: Option<LaneRange>,
}

impl Part {
    fn new(column: usize, domain: Domain, null_equal: bool) -> Self {
        let null = if null_equal { domain.values() } else { MISS };
        Self { column, domain, null }
    }

    /// How many codes there are, that of NULL included; less than 2^64.
    pub(super) fn codes(&self) -> u64 {
        self.domain.values() + u64::from(self.null != MISS)
    }

    /// The distinct texts or blobs.
    pub(super) fn strings(&self) -> Option<impl Iterator<Item = &[u8]>> {
        match &self.domain {
            Domain::Bytes(interner) => Some((0..interner.len()).map(|i| interner.get(i))),
            _ => None,
        }
    }

    /// Bytes held.
    pub(super) fn memory(&self) -> u64 {
        match &self.domain {
            Domain::Bytes(interner) | Domain::Nested(_, interner) => interner.memory(),
            Domain::Empty | Domain::Lane { .. } | Domain::Half { .. } => 0,
        }
    }

    /// Appends one code per row.
    ///
    /// # Errors
    /// `Internal` when the vector is not of the column's type.
    pub(super) fn encode(
        &self,
        vector: &Vector,
        memo: &mut Memo,
        out: &mut Vec<u64>,
    ) -> Result<()> {
        let plain = |vector: &Vector, out: &mut Vec<u64>| match &self.domain {
            Domain::Empty => {
                let nulls = vector.nulls();
                let code = |row| nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
                out.extend((0..vector.len()).map(|row| if code(row) { self.null } else { MISS }));
                Ok(())
            }
            Domain::Lane { lane, base, range } => {
                let (base, range) = (*base, *range);
                let mut codes = LaneCodes { base, range, null: self.null, codes: out };
                lane::visit(vector, *lane, &mut codes)
            }
            Domain::Half { lane, upper } => {
                let mut codes = LaneHalves { upper: *upper, null: self.null, codes: out };
                lane::visit(vector, *lane, &mut codes)
            }
            Domain::Bytes(interner) => {
                let code = |bytes: &[u8]| interner.find(bytes).map_or(MISS, u64::from);
                byte_codes(&vector.flatten()?, self.null, code, out);
                Ok(())
            }
            Domain::Nested(rows, interner) => {
                let code = |bytes: &[u8]| interner.find(bytes).map_or(MISS, u64::from);
                nested_codes(rows, &vector.flatten()?, self.null, code, out)
            }
        };
        encode(vector, self.null, memo, plain, out)
    }
}

impl Domain {
    /// How many codes there are without that of NULL.
    fn values(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Lane { range, .. } => range + 1,
            Self::Half { .. } => 1 << 32,
            Self::Bytes(interner) | Self::Nested(_, interner) => interner.len() as u64,
        }
    }
}

/// Encodes a vector of any encoding, given how to encode flat and narrow ones.
fn encode(
    vector: &Vector,
    null: u64,
    memo: &mut Memo,
    mut plain: impl FnMut(&Vector, &mut Vec<u64>) -> Result<()>,
    out: &mut Vec<u64>,
) -> Result<()> {
    match vector {
        Vector::Flat(array) if *array.data_type() == DataType::Null => {
            out.resize(out.len() + array.len(), null);
            Ok(())
        }
        Vector::Flat(_) | Vector::Narrow(_) => plain(vector, out),
        Vector::Constant { value, rows } => {
            let mut code = Vec::with_capacity(1);
            match value.is_null() {
                true => code.push(null),
                false => plain(&Vector::Flat(ArrayRef::clone(value.array())), &mut code)?,
            }
            out.resize(out.len() + rows, code[0]);
            Ok(())
        }
        Vector::Dictionary(dictionary) => memo.encode(dictionary, null, plain, out),
    }
}

impl Memo {
    fn encode(
        &mut self,
        vector: &DictionaryVector,
        null: u64,
        mut plain: impl FnMut(&Vector, &mut Vec<u64>) -> Result<()>,
        out: &mut Vec<u64>,
    ) -> Result<()> {
        let entries = vector.dictionary.values();
        if self.dictionary != Some(vector.dictionary.id()) {
            self.dictionary = Some(vector.dictionary.id());
            self.codes.clear();
            self.codes.resize(entries.len(), UNKNOWN);
        }
        let nulls = vector.codes.nulls().filter(|nulls| nulls.null_count() > 0);
        let is_valid = |row: usize| nulls.is_none_or(|nulls: &NullBuffer| nulls.is_valid(row));
        let positions = vector.codes_u32();
        let mut fresh = Vec::new();
        for (row, &position) in positions.iter().enumerate() {
            if is_valid(row) && self.codes[position as usize] == UNKNOWN {
                self.codes[position as usize] = MISS;
                fresh.push(position);
            }
        }
        if !fresh.is_empty() {
            let taken = compute::take(entries, &UInt32Array::from(fresh.clone()), None)?;
            let mut codes = Vec::with_capacity(fresh.len());
            if let Err(error) = plain(&Vector::Flat(taken), &mut codes) {
                self.dictionary = None;
                return Err(error);
            }
            for (position, code) in fresh.into_iter().zip(codes) {
                self.codes[position as usize] = code;
            }
        }
        match nulls {
            None => out.extend(positions.iter().map(|&position| self.codes[position as usize])),
            Some(nulls) => out.extend(positions.iter().zip(nulls).map(|(&position, valid)| {
                if valid { self.codes[position as usize] } else { null }
            })),
        }
        Ok(())
    }
}

/// The codes of a flat text or blob array.
fn byte_codes(array: &ArrayRef, null: u64, mut code: impl FnMut(&[u8]) -> u64, out: &mut Vec<u64>) {
    let rows = array.len();
    let is_null = |row| array.is_null(row);
    match array.data_type() {
        DataType::Utf8View => {
            let texts = array.as_string_view();
            out.extend((0..rows).map(|row| match is_null(row) {
                true => null,
                false => code(texts.value(row).as_bytes()),
            }));
        }
        _ => {
            let blobs = array.as_binary_view();
            out.extend((0..rows).map(|row| match is_null(row) {
                true => null,
                false => code(blobs.value(row)),
            }));
        }
    }
}

fn nested_codes(
    rows: &NestedRows,
    array: &ArrayRef,
    null: u64,
    mut code: impl FnMut(&[u8]) -> u64,
    out: &mut Vec<u64>,
) -> Result<()> {
    let encoded = rows.encode(array)?;
    out.extend(encoded.iter().enumerate().map(|(row, bytes)| match array.is_null(row) {
        true => null,
        false => code(bytes.data()),
    }));
    Ok(())
}

/// Looks through all build rows of a key column and decides on its codes. O(rows). `range` gives the range of a lane over
/// all rows.
///
/// # Errors
/// `Unsupported` when values of the type cannot be compared.
pub(super) fn inspect<'a>(
    column: usize,
    ty: &LogicalType,
    null_equal: bool,
    chunks: impl Iterator<Item: Iterator<Item = &'a Vector>>,
    range: impl Fn(Lane) -> Result<LaneRange>,
) -> Result<ColumnFacts> {
    let (mut whole, mut codes) = (None, None);
    let domains = match ty {
        LogicalType::Null => vec![Domain::Empty],
        LogicalType::Text | LogicalType::Blob => {
            let (interner, interned) = intern(chunks, None)?;
            codes = Some(interned);
            vec![Domain::Bytes(interner)]
        }
        LogicalType::List(_) | LogicalType::Struct(_) | LogicalType::Map(..) => {
            let rows = NestedRows::new(ty)?;
            let (interner, interned) = intern(chunks, Some(&rows))?;
            codes = Some(interned);
            vec![Domain::Nested(rows, interner)]
        }
        _ => {
            whole = Some(range(Lane::Whole)?).filter(|range| !range.lacking);
            match whole {
                Some(range) => lane_domains(Lane::Whole, range),
                None => {
                    let mut domains = lane_domains(Lane::High, range(Lane::High)?);
                    domains.extend(lane_domains(Lane::Low, range(Lane::Low)?));
                    domains
                }
            }
        }
    };
    let part = |domain| Part::new(column, domain, null_equal);
    let parts: Vec<Part> = domains.into_iter().map(part).collect();
    // Only now is the code of NULL known.
    let null = parts.first().map_or(MISS, |part| part.null);
    if null != MISS {
        let codes = codes.iter_mut().flatten().flatten();
        codes.filter(|code| **code == MISS).for_each(|code| *code = null);
    }
    Ok(ColumnFacts { codes, parts, range: whole })
}

/// The codes of a lane whose values lie in a range.
fn lane_domains(lane: Lane, range: LaneRange) -> Vec<Domain> {
    let Some((min, max)) = range.bounds else { return vec![Domain::Empty] };
    let range = max.wrapping_sub(min).cast_unsigned();
    if range < UNKNOWN - 1 {
        return vec![Domain::Lane { lane, base: min, range }];
    }
    vec![Domain::Half { lane, upper: true }, Domain::Half { lane, upper: false }]
}

/// The range of a lane over vectors of any encoding. Of a dictionary all entries count that a row names.
pub(super) fn range<'a>(
    vectors: impl Iterator<Item = &'a Vector>,
    lane: Lane,
) -> Result<LaneRange> {
    let mut range = LaneRange::default();
    for vector in vectors {
        match vector {
            Vector::Flat(_) | Vector::Narrow(_) => lane::visit(vector, lane, &mut range)?,
            Vector::Constant { rows: 0, .. } => {}
            Vector::Constant { value, .. } => {
                lane::visit(&Vector::Flat(ArrayRef::clone(value.array())), lane, &mut range)?;
            }
            Vector::Dictionary(_) => {
                lane::visit(&Vector::Flat(vector.flatten()?), lane, &mut range)?;
            }
        }
    }
    Ok(range)
}

/// Numbers all byte strings of vectors (texts, blobs, or nested values as `rows` writes them) and gives the numbers of all
/// rows, chunk after chunk, `MISS` for NULL.
fn intern<'a>(
    chunks: impl Iterator<Item: Iterator<Item = &'a Vector>>,
    rows: Option<&NestedRows>,
) -> Result<(Interner, Vec<Vec<u64>>)> {
    let mut interner = Interner::default();
    let mut memo = Memo::default();
    let mut chunk_codes = Vec::new();
    for chunk in chunks {
        let mut codes = Vec::new();
        for vector in chunk {
            let number = |vector: &Vector, out: &mut Vec<u64>| {
                let code = |bytes: &[u8]| u64::from(interner.intern(bytes));
                let array = vector.flatten()?;
                match rows {
                    Some(rows) => nested_codes(rows, &array, MISS, code, out)?,
                    None => byte_codes(&array, MISS, code, out),
                }
                Ok(())
            };
            encode(vector, MISS, &mut memo, number, &mut codes)?;
        }
        chunk_codes.push(codes);
    }
    Ok((interner, chunk_codes))
}
