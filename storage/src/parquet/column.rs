//! One root column of one row group, decoded window by window into vectors.
//!
//! Invariants: values in plain layout are charged as Decoded when they are handed out; dictionary vectors charge their own decoding. All vectors of a chunk share one dictionary,
//! whose values are brought into canonical layout once.
//! Next: `chunk.rs`, which reads the bytes; `group.rs`, which steps the columns of a row group.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, AsArray, Int64Array, IntervalMonthDayNanoArray, StringViewArray,
        StringViewBuilder, new_null_array,
    },
    compute::{self, CastOptions},
    datatypes::{
        DataType, Decimal64Type, Decimal128Type, IntervalDayTimeType, IntervalMonthDayNano,
        IntervalUnit, IntervalYearMonthType,
    },
};
use parquet::{
    arrow::{
        ProjectionMask,
        arrow_reader::{ParquetRecordBatchReader, RowSelection},
        parquet_to_arrow_field_levels,
    },
    errors::ParquetError,
};

use super::{
    chunk::{Chunk, FetchedGroup},
    footer::Place,
    schema::{FileColumn, ReadAs},
};
use crate::{
    error::{Result, StorageError},
    ledger::{ColumnCharge, array_bytes},
    scalar::Scalar,
    types::LogicalType,
    vector::{DictionaryValues, DictionaryVector, NarrowVector, Vector},
};

/// Rows decoded at a time: a few vectors, so that the cost of a step is spread and the values stay in cache.
pub(crate) const DECODE_ROWS: usize = 1 << 14;

/// A column as a sequence of vectors.
pub(crate) struct ColumnStream {
    source: Source,
    place: Place,
    charge: ColumnCharge,
    window: Option<Vector>,
    /// Rows of the window already handed out.
    used: usize,
}

enum Source {
    /// The same value in every row.
    Constant(Scalar),
    /// Decoded from the file. Boxed: a decoder is large.
    Decoder(Box<Decoder>),
}

impl ColumnStream {
    /// A column that has the same value in every row.
    pub(crate) fn constant(value: Scalar, place: Place, charge: ColumnCharge) -> Self {
        Self { source: Source::Constant(value), place, charge, window: None, used: 0 }
    }

    /// Reads the chunks of a root column and starts to decode them; `selection` leaves rows out.
    pub(crate) fn open(
        chunk: &Chunk<'_>,
        ty: &LogicalType,
        place: Place,
        charge: ColumnCharge,
        selection: Option<RowSelection>,
    ) -> Result<Self> {
        let decoder = Decoder::open(chunk, ty, &place, &charge, selection)?;
        let source = Source::Decoder(Box::new(decoder));
        Ok(Self { source, place, charge, window: None, used: 0 })
    }

    /// The next `rows` rows.
    ///
    /// # Errors
    /// `Corrupt` when the column is damaged or has fewer rows.
    pub(crate) fn next(&mut self, rows: usize) -> Result<Vector> {
        let decoder = match &mut self.source {
            Source::Constant(value) => return Ok(Vector::constant(value.clone(), rows)),
            Source::Decoder(decoder) => decoder,
        };
        let mut parts = Vec::with_capacity(1);
        let mut missing = rows;
        while missing > 0 {
            let window = match &self.window {
                Some(window) if self.used < window.len() => window,
                _ => {
                    self.used = 0;
                    match decoder.next(&self.place, &self.charge)? {
                        Some(window) => self.window.insert(window),
                        None => return Err(self.place.corrupt("it has fewer rows than promised")),
                    }
                }
            };
            let part = window.slice(self.used, missing.min(window.len() - self.used));
            self.used += part.len();
            missing -= part.len();
            parts.push(part);
        }
        let vector = concat(parts)?;
        match &vector {
            Vector::Flat(array) => self.charge.decoded(array_bytes(array.as_ref())),
            Vector::Narrow(narrow) => self.charge.decoded(array_bytes(narrow.offsets.as_ref())),
            Vector::Constant { .. } | Vector::Dictionary(_) => {}
        }
        Ok(vector)
    }
}

/// One vector of several of the same column, in the encoding that they share, else in plain layout.
///
/// # Errors
/// `Internal` when the parts are not of one type.
pub(crate) fn concat(mut parts: Vec<Vector>) -> Result<Vector> {
    if parts.len() == 1
        && let Some(part) = parts.pop()
    {
        return Ok(part);
    }
    let arrays = |pick: &dyn Fn(&Vector) -> Option<ArrayRef>| {
        parts.iter().map(pick).collect::<Option<Vec<_>>>()
    };
    let joined = |arrays: &[ArrayRef]| {
        compute::concat(&arrays.iter().map(AsRef::as_ref).collect::<Vec<&dyn Array>>())
    };
    match parts.first() {
        Some(Vector::Constant { value, .. })
            if parts
                .iter()
                .all(|part| matches!(part, Vector::Constant { value: v, .. } if v == value)) =>
        {
            let rows = parts.iter().map(Vector::len).sum();
            return Ok(Vector::constant(value.clone(), rows));
        }
        Some(Vector::Dictionary(first)) => {
            let codes = arrays(&|part| match part {
                Vector::Dictionary(d) if Arc::ptr_eq(&d.dictionary, &first.dictionary) => {
                    Some(Arc::clone(&d.codes))
                }
                _ => None,
            });
            if let Some(codes) = codes {
                let codes = joined(&codes)?;
                return Ok(Vector::Dictionary(DictionaryVector { codes, ..first.clone() }));
            }
        }
        Some(Vector::Narrow(first)) => {
            let offsets = arrays(&|part| match part {
                Vector::Narrow(n) if n.base == first.base => Some(Arc::clone(&n.offsets)),
                _ => None,
            });
            if let Some(offsets) = offsets {
                let offsets = joined(&offsets)?;
                return Ok(Vector::Narrow(NarrowVector { offsets, ..first.clone() }));
            }
        }
        _ => {}
    }
    let flat = parts.iter().map(Vector::flatten).collect::<Result<Vec<_>>>()?;
    Ok(Vector::Flat(joined(&flat)?))
}

struct Decoder {
    reader: ParquetRecordBatchReader,
    /// Intervals are read twice.
    second: Option<ParquetRecordBatchReader>,
    read_as: ReadAs,
    unchecked_text: bool,
    ty: LogicalType,
    target: DataType,
    dictionary: Option<Arc<DictionaryValues>>,
    /// The decoder's own array of the dictionary's values: as long as it is the same, so is the dictionary.
    raw_dictionary: Option<ArrayRef>,
}

impl Decoder {
    fn open(
        chunk: &Chunk<'_>,
        ty: &LogicalType,
        place: &Place,
        charge: &ColumnCharge,
        selection: Option<RowSelection>,
    ) -> Result<Self> {
        let column = &chunk.footer.schema.columns[chunk.column];
        let group = FetchedGroup::fetch(chunk, place, charge, selection.as_ref())?;
        let read = match &column.dictionary {
            Some(values) => group.dictionary_type(values).unwrap_or_else(|| column.read.clone()),
            None => column.read.clone(),
        };
        let open = |read: DataType, selection| {
            place.guard(|| reader(chunk, column, &group, read, selection))
        };
        let (reader, second) = match column.read_as {
            ReadAs::Interval => {
                let months = DataType::Interval(IntervalUnit::YearMonth);
                let days = DataType::Interval(IntervalUnit::DayTime);
                (open(months, selection.clone())?, Some(open(days, selection)?))
            }
            _ => (open(read, selection)?, None),
        };
        Ok(Self {
            reader,
            second,
            read_as: column.read_as,
            unchecked_text: column.unchecked_text,
            ty: ty.clone(),
            target: ty.to_arrow(),
            dictionary: None,
            raw_dictionary: None,
        })
    }

    fn next(&mut self, place: &Place, charge: &ColumnCharge) -> Result<Option<Vector>> {
        let Some(array) = next_array(&mut self.reader, place)? else { return Ok(None) };
        let second = match &mut self.second {
            Some(second) => next_array(second, place)?,
            None => None,
        };
        place.guard(|| self.vector(array, second, charge).map_err(plain_message)).map(Some)
    }

    fn vector(
        &mut self,
        array: ArrayRef,
        second: Option<ArrayRef>,
        charge: &ColumnCharge,
    ) -> Result<Vector> {
        match (self.read_as, second) {
            (ReadAs::Interval, Some(days)) => intervals(&array, &days).map(Vector::Flat),
            (ReadAs::Uuid, _) => uuids(&array).map(Vector::Flat),
            (ReadAs::Decimal64, _) if is_decimal64(&array) => Ok(self.narrow(unscaled64(&array))),
            (ReadAs::Decimal64 | ReadAs::Decimal128, _) => match unscaled128(&array) {
                Some(offsets) => Ok(self.narrow(offsets)),
                None => self.flat(array).map(Vector::Flat),
            },
            _ => match array.data_type() {
                DataType::Dictionary(..) => self.encoded(&array, charge),
                _ => self.flat(array).map(Vector::Flat),
            },
        }
    }

    fn narrow(&self, offsets: Int64Array) -> Vector {
        Vector::Narrow(NarrowVector::from_i64(self.ty.clone(), offsets))
    }

    /// An array in canonical layout, its text checked.
    fn flat(&self, array: ArrayRef) -> Result<ArrayRef> {
        if self.unchecked_text {
            array.to_data().validate_full()?;
        }
        canonical(array, &self.target)
    }

    fn encoded(&mut self, array: &ArrayRef, charge: &ColumnCharge) -> Result<Vector> {
        let dictionary = array.as_any_dictionary();
        let values = dictionary.values();
        if values.is_empty() {
            return Ok(Vector::Flat(new_null_array(&self.target, array.len())));
        }
        let known = match (&self.dictionary, &self.raw_dictionary) {
            (Some(known), Some(raw)) if same_buffers(raw, values) => Arc::clone(known),
            _ => {
                let canonical = canonical(Arc::clone(values), &self.target)?;
                let fresh = Arc::new(DictionaryValues::new(canonical));
                self.raw_dictionary = Some(Arc::clone(values));
                Arc::clone(self.dictionary.insert(fresh))
            }
        };
        Ok(Vector::Dictionary(DictionaryVector {
            codes: arrow::array::make_array(dictionary.keys().to_data()),
            dictionary: known,
            charge: Some(charge.clone()),
        }))
    }
}

fn reader(
    chunk: &Chunk<'_>,
    column: &FileColumn,
    group: &FetchedGroup<'_>,
    read: DataType,
    selection: Option<RowSelection>,
) -> Result<ParquetRecordBatchReader, ParquetError> {
    let descriptor = chunk.footer.metadata.file_metadata().schema_descr();
    let mask = || ProjectionMask::leaves(descriptor, column.leaves.clone());
    let hints = chunk.footer.schema.hints_with(chunk.column, read);
    let levels = parquet_to_arrow_field_levels(descriptor, mask(), Some(&hints))
        .or_else(|_| parquet_to_arrow_field_levels(descriptor, mask(), None))?;
    ParquetRecordBatchReader::try_new_with_row_groups(&levels, group, DECODE_ROWS, selection)
}

fn next_array(reader: &mut ParquetRecordBatchReader, place: &Place) -> Result<Option<ArrayRef>> {
    let batch = place.guard(|| reader.next().transpose())?;
    Ok(batch.and_then(|batch| batch.columns().first().cloned()))
}

/// The message of an error that damaged bytes caused, without the claim that the fault is ours.
fn plain_message(error: StorageError) -> String {
    match error {
        StorageError::Internal(message) => message,
        other => other.to_string(),
    }
}

fn is_decimal64(array: &ArrayRef) -> bool {
    matches!(array.data_type(), DataType::Decimal64(..))
}

fn unscaled64(array: &ArrayRef) -> Int64Array {
    let array = array.as_primitive::<Decimal64Type>();
    Int64Array::new(array.values().clone(), array.nulls().cloned())
}

/// Unscaled values in 64 bits, if all fit.
fn unscaled128(array: &ArrayRef) -> Option<Int64Array> {
    let array = array.as_primitive_opt::<Decimal128Type>()?;
    let narrow = |row: usize| match array.is_null(row) {
        true => Some(0),
        false => i64::try_from(array.value(row)).ok(),
    };
    let values = (0..array.len()).map(narrow).collect::<Option<Vec<_>>>()?;
    Some(Int64Array::new(values.into(), array.nulls().cloned()))
}

/// Months from one reading, days and milliseconds from the other.
fn intervals(months: &ArrayRef, days: &ArrayRef) -> Result<ArrayRef> {
    let kinds = (
        months.as_primitive_opt::<IntervalYearMonthType>(),
        days.as_primitive_opt::<IntervalDayTimeType>(),
    );
    let (Some(months), Some(days)) = kinds else {
        return Err(StorageError::Internal("intervals were read as another type".into()));
    };
    let join = |(&months, days): (&i32, &arrow::datatypes::IntervalDayTime)| {
        IntervalMonthDayNano::new(months, days.days, i64::from(days.milliseconds) * 1_000_000)
    };
    let values: Vec<_> = months.values().iter().zip(days.values()).map(join).collect();
    Ok(Arc::new(IntervalMonthDayNanoArray::new(values.into(), months.nulls().cloned())))
}

/// UUIDs as text: lower-case hexadecimal digits in groups of 8, 4, 4, 4 and 12 (RFC 9562).
fn uuids(array: &ArrayRef) -> Result<ArrayRef> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let Some(array) = array.as_fixed_size_binary_opt() else {
        return Err(StorageError::Internal("UUIDs were read as another type".into()));
    };
    let mut texts = StringViewBuilder::with_capacity(array.len());
    let mut text = String::with_capacity(36);
    for value in array {
        text.clear();
        for (at, byte) in value.into_iter().flatten().enumerate() {
            if matches!(at, 4 | 6 | 8 | 10) {
                text.push('-');
            }
            text.push(DIGITS[usize::from(byte >> 4)].into());
            text.push(DIGITS[usize::from(byte & 15)].into());
        }
        texts.append_option(value.map(|_| &text));
    }
    Ok(Arc::new(texts.finish()))
}

/// An array in the given canonical layout; values are kept exactly or refused.
fn canonical(array: ArrayRef, target: &DataType) -> Result<ArrayRef> {
    if array.data_type() == target {
        return Ok(array);
    }
    if let (DataType::BinaryView, DataType::Utf8View) = (array.data_type(), target) {
        let bytes = array.as_binary_view();
        let text = StringViewArray::try_new(
            bytes.views().clone(),
            bytes.data_buffers().to_vec(),
            bytes.nulls().cloned(),
        )?;
        return Ok(Arc::new(text));
    }
    let options = CastOptions { safe: false, ..CastOptions::default() };
    Ok(compute::cast_with_options(&array, target, &options)?)
}

/// Whether two arrays are the same memory.
fn same_buffers(left: &ArrayRef, right: &ArrayRef) -> bool {
    let (left, right) = (left.to_data(), right.to_data());
    left.len() == right.len()
        && left.offset() == right.offset()
        && left.buffers().len() == right.buffers().len()
        && left.buffers().iter().zip(right.buffers()).all(|(a, b)| a.ptr_eq(b))
}
