//! Up to `VECTOR_SIZE` values of one column, perhaps still encoded, and the selection vector over them.
//!
//! Invariants: `Vector::Flat` holds the canonical Arrow layout of its logical type and nothing else; encodings are
//! peeled off by `Vector::flatten` only, which charges the ledger for what it decodes. A selection is ascending.
//! Next: `scan.rs`, which hands vectors out.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU64, Ordering},
};

use arrow::{
    array::{
        Array, ArrayRef, ArrowPrimitiveType, AsArray, Int64Array, PrimitiveArray, UInt32Array,
    },
    buffer::{NullBuffer, ScalarBuffer},
    compute,
    datatypes::{DataType, UInt8Type, UInt16Type, UInt32Type},
};

use crate::{
    disk::random_number,
    error::{Result, StorageError},
    ledger::{ColumnCharge, array_bytes},
    narrow, rank,
    scalar::Scalar,
    types::LogicalType,
};

/// Ascending positions within a vector: the rows that a filter kept. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Selection {
    rows: ScalarBuffer<u32>,
}

impl Selection {
    /// A selection of the given ascending positions.
    pub fn new(rows: Vec<u32>) -> Self {
        debug_assert!(rows.windows(2).all(|w| w[0] < w[1]));
        Self { rows: rows.into() }
    }

    /// The selected positions.
    pub fn rows(&self) -> &[u32] {
        &self.rows
    }

    /// How many rows are selected.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether no row is selected.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The positions that remain when `inner` selects among the rows that `self` selects.
    pub fn compose(&self, inner: &Self) -> Self {
        Self { rows: inner.rows.iter().map(|&i| self.rows[i as usize]).collect() }
    }

    /// The positions as an Arrow array without copying.
    pub fn to_array(&self) -> UInt32Array {
        UInt32Array::new(self.rows.clone(), None)
    }
}

pub use crate::rank::NULL_RANK;

/// The distinct values of a dictionary-encoded column, shared by all vectors that point into it.
#[derive(Debug)]
pub struct DictionaryValues {
    values: ArrayRef,
    id: u64,
    /// The number of its file in a saved database, once it has one.
    number: OnceLock<u64>,
    hashes: OnceLock<Box<[u32]>>,
    words: OnceLock<Box<[u64]>>,
    ranks: OnceLock<Option<Box<[u32]>>>,
}

impl DictionaryValues {
    /// A dictionary of canonical values. Values need not be distinct; NULL entries are allowed.
    pub fn new(values: ArrayRef) -> Self {
        let id = Self::next_id();
        let number = OnceLock::new();
        let (hashes, words, ranks) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        Self { values, id, number, hashes, words, ranks }
    }

    /// The dictionary of the file of a number in a saved database, with an id that was taken before.
    pub(crate) fn stored(values: ArrayRef, id: u64, number: u64) -> Self {
        Self { id, number: number.into(), ..Self::new(values) }
    }

    /// An id that no dictionary has.
    pub(crate) fn next_id() -> u64 {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        NEXT.fetch_add(1, Ordering::Relaxed)
    }

    /// The number of its file in every saved database that holds it: unique across processes.
    pub(crate) fn number(&self) -> u64 {
        *self.number.get_or_init(random_number)
    }

    /// The values, in code order.
    pub fn values(&self) -> &ArrayRef {
        &self.values
    }

    /// A process-wide unique number: the key under which an operator may keep what it computed once per entry.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// A 32-bit hash per entry, computed by `hash` on first use and kept, so that no query hashes an entry twice.
    pub fn hashes(&self, hash: impl FnOnce(&ArrayRef) -> Vec<u32>) -> &[u32] {
        self.hashes.get_or_init(|| hash(&self.values).into_boxed_slice())
    }

    /// The entries of a type of up to 64 bits as words, computed by `word` on first use and kept: rows are then read
    /// through their codes without decoding the column. What stands under a NULL entry is arbitrary.
    pub fn words(&self, word: impl FnOnce(&ArrayRef) -> Vec<u64>) -> &[u64] {
        self.words.get_or_init(|| word(&self.values).into_boxed_slice())
    }

    /// The place of each entry in SQL's order, computed on first use and kept: `ranks[a] < ranks[b]` exactly when entry
    /// `a` sorts before entry `b`, equal entries have the same rank (-0.0 and 0.0, every NaN, which is the greatest), and
    /// ranks count up from 0 without gaps. A NULL entry has `NULL_RANK`. `None` for intervals and nested types.
    /// O(entries * log(entries)) at first.
    pub fn ranks(&self) -> Option<&[u32]> {
        self.ranks.get_or_init(|| rank::ranks(&self.values).map(Vec::into_boxed_slice)).as_deref()
    }
}

/// Codes into a dictionary.
#[derive(Debug, Clone)]
pub struct DictionaryVector {
    /// `UInt8`, `UInt16` or `UInt32`; a NULL code is a NULL value. Codes under NULL are in range or zero.
    pub codes: ArrayRef,
    /// The values that the codes mean.
    pub dictionary: Arc<DictionaryValues>,
    /// Where decoding is charged.
    pub charge: Option<ColumnCharge>,
}

impl DictionaryVector {
    /// The code of each row widened to 32 bits (0 or any valid code under NULL).
    pub fn codes_u32(&self) -> ScalarBuffer<u32> {
        match self.codes.data_type() {
            DataType::UInt8 => widen(self.codes.as_primitive::<UInt8Type>()),
            DataType::UInt16 => widen(self.codes.as_primitive::<UInt16Type>()),
            _ => self.codes.as_primitive::<UInt32Type>().values().clone(),
        }
    }
}

fn widen<T: ArrowPrimitiveType<Native: Into<u32>>>(codes: &PrimitiveArray<T>) -> ScalarBuffer<u32> {
    codes.values().iter().map(|&code| code.into()).collect()
}

/// Whole numbers as narrow offsets from a base (frame of reference). Also the home of decimals whose unscaled values
/// fit 64 bits, at any precision.
#[derive(Debug, Clone)]
pub struct NarrowVector {
    /// The logical type: an integer, date, time, timestamp, duration or decimal.
    pub ty: LogicalType,
    /// Added to every offset.
    pub base: i64,
    /// `UInt8`, `UInt16`, `UInt32` or `Int64` (then the base is 0); NULLs as in the column.
    pub offsets: ArrayRef,
    /// Where decoding is charged.
    pub charge: Option<ColumnCharge>,
}

impl NarrowVector {
    /// Unscaled 64-bit values without a base: how decimals are computed.
    pub fn from_i64(ty: LogicalType, values: Int64Array) -> Self {
        Self { ty, base: 0, offsets: Arc::new(values), charge: None }
    }

    /// The values (unscaled, for decimals) as 64-bit integers; the buffer is shared when there is nothing to add.
    pub fn values_i64(&self) -> ScalarBuffer<i64> {
        narrow::values_i64(self.base, &self.offsets)
    }

    /// The values in canonical layout, in one pass. Nothing is charged.
    fn flatten(&self) -> Result<ArrayRef> {
        narrow::flatten(&self.ty.to_arrow(), self.base, &self.offsets)
    }
}

/// Values of one column. Cheap to clone.
#[derive(Debug, Clone)]
pub enum Vector {
    /// The canonical Arrow layout of the type.
    Flat(ArrayRef),
    /// The same value in every row.
    Constant {
        /// The value; its array is of canonical layout.
        value: Scalar,
        /// In how many rows.
        rows: usize,
    },
    /// Codes into a dictionary.
    Dictionary(DictionaryVector),
    /// Narrow offsets from a base.
    Narrow(NarrowVector),
}

impl Vector {
    /// A vector of an Arrow array in any layout, brought into canonical layout without copying where Arrow allows.
    /// Dictionary arrays stay dictionaries.
    ///
    /// # Errors
    /// `Unsupported` when the Arrow type has no logical type.
    pub fn from_arrow(array: &ArrayRef) -> Result<Self> {
        if let DataType::Dictionary(_, value) = array.data_type()
            && !LogicalType::from_arrow(value)?.is_nested()
        {
            return dictionary_from_arrow(array);
        }
        let target = LogicalType::from_arrow(array.data_type())?.to_arrow();
        if *array.data_type() == target {
            return Ok(Self::Flat(Arc::clone(array)));
        }
        Ok(Self::Flat(compute::cast(array, &target)?))
    }

    /// The same value in every row.
    pub fn constant(value: Scalar, rows: usize) -> Self {
        Self::Constant { value, rows }
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Flat(array) => array.len(),
            Self::Constant { rows, .. } => *rows,
            Self::Dictionary(vector) => vector.codes.len(),
            Self::Narrow(vector) => vector.offsets.len(),
        }
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The logical type.
    ///
    /// # Errors
    /// `Unsupported` when a flat array breaks the invariant of its layout.
    pub fn ty(&self) -> Result<LogicalType> {
        match self {
            Self::Flat(array) => LogicalType::from_arrow(array.data_type()),
            Self::Constant { value, .. } => Ok(value.ty().clone()),
            Self::Dictionary(vector) => {
                LogicalType::from_arrow(vector.dictionary.values().data_type())
            }
            Self::Narrow(vector) => Ok(vector.ty.clone()),
        }
    }

    /// Which rows hold a value; `None` when all do. A dictionary's NULL entries count.
    pub fn nulls(&self) -> Option<NullBuffer> {
        match self {
            Self::Flat(array) => array.logical_nulls(),
            Self::Constant { value, rows } => value.is_null().then(|| NullBuffer::new_null(*rows)),
            Self::Dictionary(vector) => {
                let codes = vector.codes.nulls().cloned();
                let Some(entries) = vector.dictionary.values().logical_nulls() else {
                    return codes;
                };
                // The code of a NULL row may name no entry.
                let valid = |code: usize| code < entries.len() && entries.is_valid(code);
                let by_entry: NullBuffer =
                    vector.codes_u32().iter().map(|&code| valid(code as usize)).collect();
                NullBuffer::union(codes.as_ref(), Some(&by_entry))
            }
            Self::Narrow(vector) => vector.offsets.nulls().cloned(),
        }
    }

    /// The rows of a range, without copying values.
    pub fn slice(&self, offset: usize, rows: usize) -> Self {
        match self {
            Self::Flat(array) => Self::Flat(array.slice(offset, rows)),
            Self::Constant { value, .. } => Self::Constant { value: value.clone(), rows },
            Self::Dictionary(vector) => Self::Dictionary(DictionaryVector {
                codes: vector.codes.slice(offset, rows),
                ..vector.clone()
            }),
            Self::Narrow(vector) => Self::Narrow(NarrowVector {
                offsets: vector.offsets.slice(offset, rows),
                ..vector.clone()
            }),
        }
    }

    /// The selected rows, in the encoding that the vector has.
    ///
    /// # Errors
    /// `Internal` when the selection points past the end.
    pub fn select(&self, selection: &Selection) -> Result<Self> {
        self.take(&selection.to_array())
    }

    /// The rows at the given positions (repeats and NULL positions allowed; a NULL position gives NULL), in the
    /// encoding that the vector has.
    ///
    /// # Errors
    /// `Internal` when a position is past the end.
    pub fn take(&self, rows: &UInt32Array) -> Result<Self> {
        Ok(match self {
            Self::Flat(array) => Self::Flat(compute::take(array, rows, None)?),
            Self::Constant { value, .. } if rows.null_count() == 0 => {
                Self::Constant { value: value.clone(), rows: rows.len() }
            }
            Self::Constant { value, .. } => {
                let zeros = UInt32Array::new(vec![0; rows.len()].into(), rows.nulls().cloned());
                Self::Flat(compute::take(value.array(), &zeros, None)?)
            }
            Self::Dictionary(vector) => Self::Dictionary(DictionaryVector {
                codes: compute::take(&vector.codes, rows, None)?,
                ..vector.clone()
            }),
            Self::Narrow(vector) => Self::Narrow(NarrowVector {
                offsets: compute::take(&vector.offsets, rows, None)?,
                ..vector.clone()
            }),
        })
    }

    /// The values in canonical Arrow layout. Decoding is charged to the scan that the vector came from.
    ///
    /// # Errors
    /// `Internal` when the encoding is inconsistent.
    pub fn flatten(&self) -> Result<ArrayRef> {
        let (array, charge) = match self {
            Self::Flat(array) => return Ok(Arc::clone(array)),
            Self::Constant { value, rows } => {
                let zeros = UInt32Array::new(vec![0; *rows].into(), None);
                return Ok(compute::take(value.array(), &zeros, None)?);
            }
            Self::Dictionary(vector) => {
                (compute::take(vector.dictionary.values(), &vector.codes, None)?, &vector.charge)
            }
            Self::Narrow(vector) => (vector.flatten()?, &vector.charge),
        };
        if let Some(charge) = charge {
            charge.decoded(array_bytes(array.as_ref()));
        }
        Ok(array)
    }

    /// One value.
    ///
    /// # Errors
    /// `Internal` when `row` is past the end.
    pub fn scalar(&self, row: usize) -> Result<Scalar> {
        if let Self::Constant { value, .. } = self {
            return Ok(value.clone());
        }
        Scalar::from_array(self.slice(row, 1).flatten()?.as_ref(), 0)
    }
}

fn dictionary_from_arrow(array: &ArrayRef) -> Result<Vector> {
    let dictionary = array.as_any_dictionary();
    let target = LogicalType::from_arrow(dictionary.values().data_type())?.to_arrow();
    let values = match dictionary.values() {
        values if *values.data_type() == target => Arc::clone(values),
        values => compute::cast(values, &target)?,
    };
    Ok(Vector::Dictionary(DictionaryVector {
        codes: dictionary_codes(dictionary.keys())?,
        dictionary: Arc::new(DictionaryValues::new(values)),
        charge: None,
    }))
}

/// The keys of an Arrow dictionary as codes: unsigned, of at most 32 bits, zero under NULL (where Arrow allows anything).
pub(crate) fn dictionary_codes(keys: &dyn Array) -> Result<ArrayRef> {
    let codes = match keys.data_type() {
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 => keys.slice(0, keys.len()),
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 | DataType::UInt64 => {
            let codes = compute::cast(keys, &DataType::UInt32)?;
            if codes.null_count() > keys.null_count() {
                return Err(StorageError::Unsupported("dictionaries of over 2^32 entries".into()));
            }
            codes
        }
        other => return Err(StorageError::Unsupported(format!("dictionary keys of type {other}"))),
    };
    if codes.null_count() == 0 {
        return Ok(codes);
    }
    Ok(match codes.data_type() {
        DataType::UInt8 => zero_under_null(codes.as_primitive::<UInt8Type>()),
        DataType::UInt16 => zero_under_null(codes.as_primitive::<UInt16Type>()),
        _ => zero_under_null(codes.as_primitive::<UInt32Type>()),
    })
}

fn zero_under_null<T: ArrowPrimitiveType>(codes: &PrimitiveArray<T>) -> ArrayRef {
    let values = codes.iter().map(Option::unwrap_or_default).collect();
    Arc::new(PrimitiveArray::<T>::new(values, codes.nulls().cloned()))
}
