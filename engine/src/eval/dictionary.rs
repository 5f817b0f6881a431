//! Work done once per dictionary entry: a pure function of one dictionary-encoded column is computed for the entries,
//! kept by the dictionary's number, and mapped through the codes.
//!
//! Invariants: the entries are computed only once the rows that asked a worker for them are a share of them, so that
//! scans of few rows are spared it; NULL is an entry of its own behind the last; when an entry fails, which perhaps no row
//! uses, the node is computed row by row.

use std::sync::Arc;

use arrow::{
    array::{Array, AsArray, BooleanArray, UInt32Array, new_null_array},
    buffer::{BooleanBuffer, NullBuffer},
    compute::concat,
    datatypes::{DataType, UInt8Type, UInt16Type, UInt32Type},
};
use stoadb_storage::{
    DictionaryValues, LogicalType, Vector,
    vector::{DictionaryVector, NarrowVector},
};

use super::{
    node::{Columns, NodeId, Op},
    run::Run,
};
use crate::{
    error::{EngineError, Result},
    kernel::{
        arity::positions,
        physical::{boolean_vector, booleans},
        shift::bounds,
    },
};

/// A worker that asked for so many rows computes so many times as many entries: others of a scan of all rows save it the
/// same, and dictionaries of up to half as many entries as rows are worth it.
const ROWS_SHARE: usize = 4;
/// How many dictionaries a node remembers: that of the segment it reads, and the one before.
const REMEMBERED: usize = 2;

/// A dictionary that a node met.
pub(super) struct Served {
    id: u64,
    /// Rows that asked for it before it was computed.
    rows: usize,
    outcome: Outcome,
}

enum Outcome {
    Pending,
    Failed,
    Known(Arc<Mapped>),
}

/// A node's results for the entries of a dictionary, the last one for NULL.
pub(super) struct Mapped {
    values: Vector,
    /// Unless nested or boolean: the results as a dictionary, with the result for NULL only when that is not NULL.
    dictionary: Option<Arc<DictionaryValues>>,
    /// For booleans: 0, 1, or 2 for NULL.
    truth: Vec<u8>,
    /// How many entries there are, NULL left out.
    entries: usize,
    null_to_null: bool,
}

/// Functions of narrow offsets of so much work a row are worth a look-up instead.
const NARROW_COST: u32 = 6;
/// Entries of the dictionaries that stand for narrow offsets: at least so many.
const LEAST_ENTRIES: usize = 256;

/// The values that narrow offsets of 8 or 16 bits from a base can mean, as a dictionary whose codes are the offsets.
pub(super) struct OffsetValues {
    base: i64,
    dictionary: Arc<DictionaryValues>,
}

/// Runs a body with the codes of a vector as a slice of their own width.
macro_rules! with_codes {
    ($input:expr, $codes:ident => $body:expr) => {
        match $input.codes.data_type() {
            DataType::UInt8 => {
                let $codes: &[u8] = $input.codes.as_primitive::<UInt8Type>().values();
                $body
            }
            DataType::UInt16 => {
                let $codes: &[u16] = $input.codes.as_primitive::<UInt16Type>().values();
                $body
            }
            _ => {
                let $codes: &[u32] = $input.codes.as_primitive::<UInt32Type>().values();
                $body
            }
        }
    };
}

impl Run<'_> {
    /// The node's values by way of a dictionary, if it reads one column and that is dictionary-encoded.
    pub(super) fn by_dictionary(&mut self, id: NodeId) -> Result<Option<Vector>> {
        let Some((column, dictionary)) = self.dictionary_of(id)? else { return Ok(None) };
        let Some(mapped) = self.mapped(id, column, &dictionary, self.rows())? else {
            return Ok(None);
        };
        match coded(&self.value(column)?, &dictionary) {
            Some(vector) => mapped.vector(&vector, &self.nodes[id].ty).map(Some),
            None => Ok(None),
        }
    }

    /// The rows of the whole batch (among the candidates) for which the node is TRUE, by way of a dictionary.
    pub(super) fn rows_by_dictionary(
        &mut self,
        id: NodeId,
        candidates: Option<&[u32]>,
    ) -> Result<Option<Vec<u32>>> {
        let Some((column, dictionary)) = self.dictionary_of(id)? else { return Ok(None) };
        let rows = candidates.map_or(self.rows(), <[u32]>::len);
        let Some(mapped) = self.mapped(id, column, &dictionary, rows)? else { return Ok(None) };
        let Op::Column(index) = self.nodes[column].op else { return Ok(None) };
        match self.whole_column(index).and_then(|vector| coded(vector, &dictionary)) {
            Some(vector) if !mapped.truth.is_empty() => {
                Ok(Some(mapped.true_rows(&vector, candidates)))
            }
            _ => Ok(None),
        }
    }

    /// The one column that a node reads and its dictionary; for narrow columns, one that is made for the purpose.
    fn dictionary_of(&mut self, id: NodeId) -> Result<Option<(NodeId, Arc<DictionaryValues>)>> {
        let node = &self.nodes[id];
        let Columns::One(column) = node.columns else { return Ok(None) };
        if !node.is_pure || self.on_entries() {
            return Ok(None);
        }
        let Op::Column(index) = self.nodes[column].op else { return Ok(None) };
        let dictionary = match self.whole_column(index) {
            Some(Vector::Dictionary(vector)) => Some(Arc::clone(&vector.dictionary)),
            Some(Vector::Narrow(vector)) if node.cost >= NARROW_COST => {
                self.offset_values(column, vector)?
            }
            _ => None,
        };
        Ok(dictionary.map(|dictionary| (column, dictionary)))
    }

    /// The dictionary whose codes are the offsets of a narrow column; `None` where offsets are wide or, under NULL,
    /// beyond the type.
    fn offset_values(
        &mut self,
        column: NodeId,
        vector: &NarrowVector,
    ) -> Result<Option<Arc<DictionaryValues>>> {
        let used = match vector.offsets.data_type() {
            DataType::UInt8 => LEAST_ENTRIES,
            DataType::UInt16 => {
                let offsets = vector.offsets.as_primitive::<UInt16Type>().values();
                usize::from(offsets.iter().copied().max().unwrap_or(0)) + 1
            }
            _ => return Ok(None),
        };
        if let Some(known) = &self.state.offsets[column]
            && known.base == vector.base
            && known.dictionary.values().len() >= used
        {
            return Ok(Some(Arc::clone(&known.dictionary)));
        }
        let Some((_, most)) = bounds(&vector.ty) else { return Ok(None) };
        let room = usize::try_from(most - i128::from(vector.base)).unwrap_or(0).saturating_add(1);
        let entries = used.next_power_of_two().max(LEAST_ENTRIES).min(room);
        if entries < used {
            return Ok(None);
        }
        let offsets = Arc::new(UInt32Array::from_iter_values(0..entries as u32));
        let all = NarrowVector { offsets, charge: None, ..vector.clone() };
        let dictionary = Arc::new(DictionaryValues::new(Vector::Narrow(all).flatten()?));
        let values = OffsetValues { base: vector.base, dictionary: Arc::clone(&dictionary) };
        self.state.offsets[column] = Some(values);
        Ok(Some(dictionary))
    }

    fn mapped(
        &mut self,
        id: NodeId,
        column: NodeId,
        dictionary: &DictionaryValues,
        rows: usize,
    ) -> Result<Option<Arc<Mapped>>> {
        let served = &mut self.state.dictionaries[id];
        let at = match served.iter().position(|served| served.id == dictionary.id()) {
            Some(at) => at,
            None => {
                if served.len() == REMEMBERED {
                    served.remove(0);
                }
                served.push(Served { id: dictionary.id(), rows: 0, outcome: Outcome::Pending });
                served.len() - 1
            }
        };
        let entry = &mut served[at];
        match &entry.outcome {
            Outcome::Known(mapped) => return Ok(Some(Arc::clone(mapped))),
            Outcome::Failed => return Ok(None),
            Outcome::Pending => entry.rows += rows,
        }
        if entry.rows * ROWS_SHARE < dictionary.values().len() {
            return Ok(None);
        }
        let values = dictionary.values();
        let null = new_null_array(values.data_type(), 1);
        let input = Vector::Flat(concat(&[values.as_ref(), null.as_ref()])?);
        self.enter_entries(column, input);
        let result = self.value(id).and_then(|values| Mapped::new(values, &self.nodes[id].ty));
        self.leave();
        let (outcome, mapped) = match result {
            Ok(mapped) => {
                let mapped = Arc::new(mapped);
                (Outcome::Known(Arc::clone(&mapped)), Some(mapped))
            }
            Err(EngineError::Internal(message)) => return Err(EngineError::Internal(message)),
            Err(EngineError::Cancelled) => return Err(EngineError::Cancelled),
            Err(_) => (Outcome::Failed, None),
        };
        if let Some(entry) = self.state.dictionaries[id].get_mut(at) {
            entry.outcome = outcome;
        }
        Ok(mapped)
    }
}

/// A vector as codes into its dictionary, or into the one that was made for its offsets.
fn coded(vector: &Vector, dictionary: &Arc<DictionaryValues>) -> Option<DictionaryVector> {
    match vector {
        Vector::Dictionary(vector) => Some(vector.clone()),
        Vector::Narrow(narrow) => Some(DictionaryVector {
            codes: Arc::clone(&narrow.offsets),
            dictionary: Arc::clone(dictionary),
            charge: narrow.charge.clone(),
        }),
        _ => None,
    }
}

impl Mapped {
    fn new(values: Vector, ty: &LogicalType) -> Result<Self> {
        let entries = values.len().saturating_sub(1);
        let null_to_null = values.nulls().is_some_and(|nulls| nulls.is_null(entries));
        let mut truth = Vec::new();
        let mut dictionary = None;
        match ty {
            LogicalType::Boolean => {
                let array = booleans(&values)?;
                let byte = |row| if array.is_null(row) { 2 } else { u8::from(array.value(row)) };
                truth = (0..array.len()).map(byte).collect();
            }
            ty if !ty.is_nested()
                && *ty != LogicalType::Null
                && !matches!(values, Vector::Constant { .. }) =>
            {
                let array = values.flatten()?;
                let kept = if null_to_null { entries } else { entries + 1 };
                dictionary = Some(Arc::new(DictionaryValues::new(array.slice(0, kept))));
            }
            _ => {}
        }
        Ok(Self { values, dictionary, truth, entries, null_to_null })
    }

    /// The results for a vector's rows.
    fn vector(&self, input: &DictionaryVector, ty: &LogicalType) -> Result<Vector> {
        let rows = input.codes.len();
        if let Vector::Constant { value, .. } = &self.values {
            return Ok(Vector::Constant { value: value.clone(), rows });
        }
        if *ty == LogicalType::Boolean {
            return Ok(boolean_vector(self.booleans(input)));
        }
        let keep_nulls = self.null_to_null || input.codes.null_count() == 0;
        match &self.dictionary {
            Some(dictionary) if keep_nulls => Ok(Vector::Dictionary(DictionaryVector {
                codes: Arc::clone(&input.codes),
                dictionary: Arc::clone(dictionary),
                charge: None,
            })),
            Some(dictionary) => Ok(Vector::Dictionary(DictionaryVector {
                codes: Arc::new(self.codes(input)),
                dictionary: Arc::clone(dictionary),
                charge: None,
            })),
            None => Ok(self.values.take(&self.codes(input))?),
        }
    }

    /// Codes in which NULL has a code of its own, unless it gives NULL.
    fn codes(&self, input: &DictionaryVector) -> UInt32Array {
        let codes = input.codes_u32();
        let nulls = input.codes.nulls().filter(|nulls| nulls.null_count() > 0);
        match nulls {
            Some(nulls) if !self.null_to_null => {
                let code = |(row, &code): (usize, &u32)| {
                    if nulls.is_valid(row) { code } else { self.entries as u32 }
                };
                UInt32Array::new(codes.iter().enumerate().map(code).collect(), None)
            }
            nulls => UInt32Array::new(codes, nulls.cloned()),
        }
    }

    fn booleans(&self, input: &DictionaryVector) -> BooleanArray {
        let rows = input.codes.len();
        let nulls = input.codes.nulls().filter(|nulls| nulls.null_count() > 0);
        let of_null = self.truth[self.entries];
        let has_null = self.truth[..self.entries].contains(&2) || (nulls.is_some() && of_null == 2);
        with_codes!(input, codes => {
            let truth = |row: usize| match nulls {
                Some(nulls) if nulls.is_null(row) => of_null,
                _ => self.truth[codes[row] as usize],
            };
            let values = BooleanBuffer::collect_bool(rows, |row| truth(row) == 1);
            let valid = has_null
                .then(|| NullBuffer::new(BooleanBuffer::collect_bool(rows, |row| truth(row) != 2)));
            BooleanArray::new(values, valid.filter(|valid| valid.null_count() > 0))
        })
    }

    fn true_rows(&self, input: &DictionaryVector, candidates: Option<&[u32]>) -> Vec<u32> {
        let rows = input.codes.len();
        let of_null = self.truth[self.entries] == 1;
        let nulls = input.codes.nulls().filter(|nulls| nulls.null_count() > 0);
        with_codes!(input, codes => match nulls {
            None => positions(rows, candidates, |row| self.truth[codes[row] as usize] == 1),
            Some(nulls) => positions(rows, candidates, |row| {
                if nulls.is_valid(row) { self.truth[codes[row] as usize] == 1 } else { of_null }
            }),
        })
    }
}
