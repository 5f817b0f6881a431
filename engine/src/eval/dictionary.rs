//! Work done once per dictionary entry: a pure function of one dictionary-encoded column is computed for the entries,
//! kept by the dictionary's number, and mapped through the codes.
//!
//! Invariants: the entries are computed only once the rows that asked for them are as many, so that no more than twice
//! the work of the better way is done; NULL is an entry of its own behind the last; when an entry fails, which perhaps
//! no row uses, the node is computed row by row.

use std::sync::Arc;

use arrow::{
    array::{Array, AsArray, BooleanArray, UInt32Array, new_null_array},
    buffer::{BooleanBuffer, NullBuffer},
    compute::concat,
    datatypes::{DataType, UInt8Type, UInt16Type, UInt32Type},
};
use stoadb_storage::{DictionaryValues, LogicalType, Vector, vector::DictionaryVector};

use super::{
    node::{Columns, NodeId, Op},
    run::Run,
};
use crate::{
    error::{EngineError, Result},
    kernel::{
        arity::positions,
        physical::{boolean_vector, booleans},
    },
};

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
    /// For texts: the results as a dictionary, with the result for NULL only when that is not NULL.
    dictionary: Option<Arc<DictionaryValues>>,
    /// For booleans: 0, 1, or 2 for NULL.
    truth: Vec<u8>,
    /// How many entries there are, NULL left out.
    entries: usize,
    null_to_null: bool,
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
        let Some((column, dictionary)) = self.dictionary_of(id) else { return Ok(None) };
        let Some(mapped) = self.mapped(id, column, &dictionary, self.rows())? else {
            return Ok(None);
        };
        match self.value(column)? {
            Vector::Dictionary(vector) => mapped.vector(&vector, &self.nodes[id].ty).map(Some),
            _ => Ok(None),
        }
    }

    /// The rows of the whole batch (among the candidates) for which the node is TRUE, by way of a dictionary.
    pub(super) fn rows_by_dictionary(
        &mut self,
        id: NodeId,
        candidates: Option<&[u32]>,
    ) -> Result<Option<Vec<u32>>> {
        let Some((column, dictionary)) = self.dictionary_of(id) else { return Ok(None) };
        let rows = candidates.map_or(self.rows(), <[u32]>::len);
        let Some(mapped) = self.mapped(id, column, &dictionary, rows)? else { return Ok(None) };
        let Op::Column(index) = self.nodes[column].op else { return Ok(None) };
        match self.whole_column(index) {
            Some(Vector::Dictionary(vector)) if !mapped.truth.is_empty() => {
                Ok(Some(mapped.true_rows(vector, candidates)))
            }
            _ => Ok(None),
        }
    }

    fn dictionary_of(&self, id: NodeId) -> Option<(NodeId, Arc<DictionaryValues>)> {
        let node = &self.nodes[id];
        let Columns::One(column) = node.columns else { return None };
        if !node.is_pure || self.on_entries() {
            return None;
        }
        let Op::Column(index) = self.nodes[column].op else { return None };
        match self.whole_column(index) {
            Some(Vector::Dictionary(vector)) => Some((column, Arc::clone(&vector.dictionary))),
            _ => None,
        }
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
        if entry.rows < dictionary.values().len() {
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
            LogicalType::Text | LogicalType::Blob if !matches!(values, Vector::Constant { .. }) => {
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
