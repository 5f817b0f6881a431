//! The rows that a sort holds: columns cut into blocks of equal length, and gathering from them in any order.
//!
//! Invariants: a row is named by its number in input order; block `row >> bits` holds it, at `row & mask`. All blocks of
//! a column have one Arrow type. Nothing points into anything: state is indices and arrays.
//! Next: `keys.rs`, which reads keys off the columns.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BinaryViewBuilder, BooleanArray, PrimitiveArray,
        StringViewBuilder, UInt32Array, new_empty_array,
    },
    buffer::{BooleanBuffer, NullBuffer, ScalarBuffer},
    compute,
    datatypes::{DataType, UInt32Type},
};
use stoadb_storage::{
    LogicalType, Scalar, Vector,
    ledger::array_bytes,
    vector::{DictionaryValues, DictionaryVector, NarrowVector},
};

use super::jobs::Jobs;
use crate::error::{EngineError, Result};

/// Vectors of equal length, as they came.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) columns: Vec<Vector>,
    pub(super) rows: usize,
}

/// Bytes that a vector's rows hold; what vectors share (dictionary entries) counts for its owner.
pub(super) fn vector_bytes(vector: &Vector) -> u64 {
    match vector {
        Vector::Flat(array) => array_bytes(array.as_ref()),
        Vector::Constant { .. } => 64,
        Vector::Dictionary(vector) => array_bytes(vector.codes.as_ref()),
        Vector::Narrow(vector) => array_bytes(vector.offsets.as_ref()),
    }
}

/// One column of all rows.
#[derive(Debug)]
pub(super) enum Column {
    /// The same value in every row.
    Constant(Scalar),
    /// Values of canonical layout, by block.
    Flat(Vec<ArrayRef>),
    /// Codes by block, all into one dictionary.
    Dictionary { codes: Vec<ArrayRef>, dictionary: Arc<DictionaryValues> },
    /// Offsets by block, all from one base.
    Narrow { ty: LogicalType, base: i64, offsets: Vec<ArrayRef> },
}

/// All rows.
#[derive(Debug)]
pub(in crate::op) struct Rows {
    pub(super) columns: Vec<Column>,
    pub(in crate::op) len: usize,
    pub(super) bits: u32,
}

/// How the vectors of one column become arrays of one type.
enum Form {
    Constant(Scalar),
    Flat,
    /// By dictionary id: what is added to its codes. `None`: the only dictionary, codes stay as they are.
    Dictionary {
        starts: Option<HashMap<u64, u32>>,
        constants: Vec<(Scalar, u32)>,
        codes: DataType,
        dictionary: Arc<DictionaryValues>,
    },
    Narrow {
        ty: LogicalType,
        base: i64,
        rebase: bool,
    },
}

impl Rows {
    /// Takes the pieces over, in order, as blocks of `1 << bits` rows.
    ///
    /// # Errors
    /// `Unsupported` beyond 2^32 rows; cancellation; `Internal` for broken vectors.
    pub(super) fn build(
        pieces: Vec<Piece>,
        types: &[LogicalType],
        bits: u32,
        jobs: &Jobs<'_>,
    ) -> Result<Self> {
        let len = pieces.iter().map(|piece| piece.rows).sum::<usize>();
        if u32::try_from(len).is_err() {
            return Err(EngineError::Unsupported("sorting more than 2^32 rows at once".into()));
        }
        let form = |column| Form::choose(&pieces, column, len);
        let forms = jobs.map(types.len(), form)?;
        let blocks = cut(pieces, 1 << bits);
        let count = blocks.len();
        let slots: Vec<Mutex<Vec<Piece>>> = blocks.into_iter().map(Mutex::new).collect();
        let arrays = jobs.map(count, |block| {
            let pieces =
                std::mem::take(&mut *slots[block].lock().unwrap_or_else(PoisonError::into_inner));
            let join = |(column, form): (usize, &Form)| form.join(&pieces, column);
            forms.iter().enumerate().map(join).collect::<Result<Vec<_>>>()
        })?;
        let mut by_column: Vec<Vec<ArrayRef>> =
            types.iter().map(|_| Vec::with_capacity(count)).collect();
        for block in arrays {
            for (column, array) in by_column.iter_mut().zip(block) {
                column.extend(array);
            }
        }
        let columns = forms.into_iter().zip(by_column).zip(types);
        let columns = columns.map(|((form, blocks), ty)| form.column(blocks, ty)).collect();
        Ok(Self { columns, len, bits })
    }

    /// The values of a column in the given order of rows.
    ///
    /// # Errors
    /// `Internal` when a row is past the end.
    pub(in crate::op) fn gather(&self, column: usize, order: &[u32]) -> Result<Vector> {
        let (blocks, wrap): (_, &dyn Fn(ArrayRef) -> Vector) = match &self.columns[column] {
            Column::Constant(value) => return Ok(Vector::constant(value.clone(), order.len())),
            Column::Flat(blocks) => (blocks, &Vector::Flat),
            Column::Dictionary { codes, dictionary } => (codes, &|codes| {
                let dictionary = Arc::clone(dictionary);
                Vector::Dictionary(DictionaryVector { codes, dictionary, charge: None })
            }),
            Column::Narrow { ty, base, offsets } => (offsets, &|offsets| {
                Vector::Narrow(NarrowVector { ty: ty.clone(), base: *base, offsets, charge: None })
            }),
        };
        let array = match blocks.as_slice() {
            [block] => {
                let rows = UInt32Array::from(order.to_vec());
                compute::take(block, &rows, None)?
            }
            blocks => interleave(blocks, order, self.bits)?,
        };
        Ok(wrap(array))
    }
}

/// Cuts pieces into blocks of exactly `rows` rows, the last one shorter.
fn cut(pieces: Vec<Piece>, rows: usize) -> Vec<Vec<Piece>> {
    let mut blocks: Vec<Vec<Piece>> = Vec::new();
    let mut room = 0;
    for piece in pieces {
        let mut start = 0;
        while start < piece.rows {
            if room == 0 {
                blocks.push(Vec::new());
                room = rows;
            }
            let take = room.min(piece.rows - start);
            let slice = |column: &Vector| match take == piece.rows {
                true => column.clone(),
                false => column.slice(start, take),
            };
            let columns = piece.columns.iter().map(slice).collect();
            if let Some(block) = blocks.last_mut() {
                block.push(Piece { columns, rows: take });
            }
            start += take;
            room -= take;
        }
    }
    blocks
}

fn interleave(blocks: &[ArrayRef], order: &[u32], bits: u32) -> Result<ArrayRef> {
    let mask = (1 << bits) - 1;
    let at = |row: u32| ((row >> bits) as usize, (row & mask) as usize);
    if blocks[0].data_type() == &DataType::Boolean {
        let blocks: Vec<&BooleanArray> = blocks.iter().map(AsArray::as_boolean).collect();
        let values = BooleanBuffer::collect_bool(order.len(), |i| {
            let (block, row) = at(order[i]);
            blocks[block].value(row)
        });
        let nulls = blocks.iter().any(|block| block.null_count() > 0).then(|| {
            NullBuffer::new(BooleanBuffer::collect_bool(order.len(), |i| {
                let (block, row) = at(order[i]);
                blocks[block].is_valid(row)
            }))
        });
        return Ok(Arc::new(BooleanArray::new(values, nulls)));
    }
    let arrays: Vec<&dyn Array> = blocks.iter().map(AsRef::as_ref).collect();
    let places: Vec<(usize, usize)> = order.iter().map(|&row| at(row)).collect();
    Ok(compute::interleave(&arrays, &places)?)
}

impl Form {
    /// The form that keeps most of the vectors' encoding.
    fn choose(pieces: &[Piece], column: usize, rows: usize) -> Result<Self> {
        let vectors = || pieces.iter().map(|piece| &piece.columns[column]);
        let Some(first) = vectors().next() else { return Ok(Self::Flat) };
        match first {
            Vector::Constant { value, .. } if vectors().all(|v| is_constant(v, value)) => {
                return Ok(Self::Constant(value.clone()));
            }
            Vector::Narrow(narrow) if vectors().all(|v| matches!(v, Vector::Narrow(_))) => {
                let same = |v: &Vector| match v {
                    Vector::Narrow(v) => {
                        v.base == narrow.base && v.offsets.data_type() == narrow.offsets.data_type()
                    }
                    _ => false,
                };
                let rebase = !vectors().all(same);
                let base = if rebase { 0 } else { narrow.base };
                return Ok(Self::Narrow { ty: narrow.ty.clone(), base, rebase });
            }
            _ => {}
        }
        let dictionary = |v: &Vector| matches!(v, Vector::Dictionary(_));
        if vectors().all(|v| dictionary(v) || matches!(v, Vector::Constant { .. }))
            && vectors().any(dictionary)
        {
            return Self::dictionary(vectors(), rows);
        }
        Ok(Self::Flat)
    }

    /// One dictionary out of all that occur; flat when that has far more entries than there are rows.
    fn dictionary<'a>(
        vectors: impl Iterator<Item = &'a Vector> + Clone,
        rows: usize,
    ) -> Result<Self> {
        let mut values: Vec<ArrayRef> = Vec::new();
        let mut starts: HashMap<u64, u32> = HashMap::new();
        let mut constants: Vec<(Scalar, u32)> = Vec::new();
        let mut entries = 0;
        let mut only = None;
        for vector in vectors.clone() {
            let array = match vector {
                Vector::Dictionary(vector) if !starts.contains_key(&vector.dictionary.id()) => {
                    starts.insert(vector.dictionary.id(), entries as u32);
                    only = Some(vector);
                    vector.dictionary.values()
                }
                Vector::Constant { value, .. } if constants.iter().all(|(v, _)| v != value) => {
                    constants.push((value.clone(), entries as u32));
                    value.array()
                }
                _ => continue,
            };
            values.push(Arc::clone(array));
            entries += array.len();
            let most = (2 * rows).max(1 << 10).min(u32::MAX as usize);
            if values.len() > 1 && (entries > most || constants.len() > 64) {
                return Ok(Self::Flat);
            }
        }
        if let ([_], Some(only)) = (values.as_slice(), only) {
            let mut types = vectors.filter_map(|v| match v {
                Vector::Dictionary(v) => Some(v.codes.data_type()),
                _ => None,
            });
            let same = types.all(|ty| ty == only.codes.data_type());
            let codes = if same { only.codes.data_type().clone() } else { DataType::UInt32 };
            let dictionary = Arc::clone(&only.dictionary);
            return Ok(Self::Dictionary { starts: None, constants, codes, dictionary });
        }
        let values: Vec<&dyn Array> = values.iter().map(AsRef::as_ref).collect();
        let dictionary = Arc::new(DictionaryValues::new(compute::concat(&values)?));
        let codes = DataType::UInt32;
        Ok(Self::Dictionary { starts: Some(starts), constants, codes, dictionary })
    }

    /// The array of one block; `None` for a constant column.
    fn join(&self, pieces: &[Piece], column: usize) -> Result<Option<ArrayRef>> {
        let mut arrays = Vec::with_capacity(pieces.len());
        for piece in pieces {
            arrays.push(match (self, &piece.columns[column]) {
                (Self::Constant(_), _) => return Ok(None),
                (Self::Flat, vector) => vector.flatten()?,
                (Self::Dictionary { .. }, vector) => self.codes(vector)?,
                (Self::Narrow { rebase: false, .. }, Vector::Narrow(vector)) => {
                    Arc::clone(&vector.offsets)
                }
                (Self::Narrow { .. }, Vector::Narrow(vector)) => {
                    let nulls = vector.offsets.nulls().cloned();
                    Arc::new(arrow::array::Int64Array::new(vector.values_i64(), nulls))
                }
                (Self::Narrow { .. }, _) => return Err(changed()),
            });
        }
        concat(&arrays).map(Some)
    }

    /// A vector's codes into the common dictionary.
    fn codes(&self, vector: &Vector) -> Result<ArrayRef> {
        let Self::Dictionary { starts, constants, codes, .. } = self else { return Err(changed()) };
        match vector {
            Vector::Dictionary(vector) => match starts {
                None if vector.codes.data_type() == codes => Ok(Arc::clone(&vector.codes)),
                None => Ok(compute::cast(&vector.codes, codes)?),
                Some(starts) => {
                    let start = starts.get(&vector.dictionary.id()).ok_or_else(changed)?;
                    let nulls = vector.codes.nulls().cloned();
                    let shifted: ScalarBuffer<u32> =
                        vector.codes_u32().iter().map(|code| code.wrapping_add(*start)).collect();
                    Ok(Arc::new(PrimitiveArray::<UInt32Type>::new(shifted, nulls)))
                }
            },
            Vector::Constant { value, rows } => {
                let code = constants.iter().find(|(v, _)| v == value).ok_or_else(changed)?.1;
                Ok(Arc::new(UInt32Array::from(vec![code; *rows])))
            }
            Vector::Flat(_) | Vector::Narrow(_) => Err(changed()),
        }
    }

    fn column(self, mut blocks: Vec<ArrayRef>, ty: &LogicalType) -> Column {
        if blocks.is_empty() && !matches!(self, Self::Constant(_)) {
            blocks.push(new_empty_array(&ty.to_arrow()));
            return Column::Flat(blocks);
        }
        match self {
            Self::Constant(value) => Column::Constant(value),
            Self::Flat => Column::Flat(blocks),
            Self::Dictionary { dictionary, .. } => Column::Dictionary { codes: blocks, dictionary },
            Self::Narrow { ty, base, .. } => Column::Narrow { ty, base, offsets: blocks },
        }
    }
}

fn is_constant(vector: &Vector, value: &Scalar) -> bool {
    matches!(vector, Vector::Constant { value: other, .. } if other == value)
}

fn changed() -> EngineError {
    EngineError::Internal("a sort column changed its encoding".into())
}

/// One array out of several. Views come out with buffers of their own: joining them as they are would list every
/// source's buffers once a source.
pub(in crate::op) fn concat(arrays: &[ArrayRef]) -> Result<ArrayRef> {
    let [first, _, ..] = arrays else {
        return arrays.first().cloned().ok_or_else(changed);
    };
    let rows = arrays.iter().map(|array| array.len()).sum();
    Ok(match first.data_type() {
        DataType::Utf8View => {
            let mut builder = StringViewBuilder::with_capacity(rows);
            for array in arrays {
                array.as_string_view().iter().for_each(|value| builder.append_option(value));
            }
            Arc::new(builder.finish())
        }
        DataType::BinaryView => {
            let mut builder = BinaryViewBuilder::with_capacity(rows);
            for array in arrays {
                array.as_binary_view().iter().for_each(|value| builder.append_option(value));
            }
            Arc::new(builder.finish())
        }
        _ => {
            let arrays: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
            compute::concat(&arrays)?
        }
    })
}
