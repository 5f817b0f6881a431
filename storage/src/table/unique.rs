//! Which row of a table has which key: what PRIMARY KEY and UNIQUE ask.
//!
//! How: keys are byte strings (Arrow's row format) in hash maps. A version's index is a stack of layers that later
//! versions share; each append adds one, and a layer is merged into the one before it once it is half as large, so that a
//! key is moved O(log rows) times and looked up in O(log rows) layers.
//! Invariants: of the entries of a key only that of the newest layer can be of a row that is left; positions are those of
//! one layout of the table. What other structures would have to offer is `build`, `find` and `extended`.
//! Next: `rules.rs`, `version.rs`.

use std::{collections::HashMap, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::{DataType, Float32Type, Float64Type},
    row::{RowConverter, Rows, SortField},
};

use crate::{
    error::{Result, StorageError},
    scalar::Scalar,
    table::{rules::KeyRule, segment::Segment, tail::Part},
    types::Schema,
};

/// Positions by key.
pub(crate) type Layer = HashMap<Box<[u8]>, u64>;

/// The positions of a version's rows by their keys.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeyIndex {
    layers: Vec<Arc<Layer>>,
}

impl KeyIndex {
    /// The index of parts in which no key is twice; a key that is, with the values of it, is the error. O(rows).
    pub(crate) fn build<'a>(
        parts: impl Iterator<Item = &'a Part>,
        rule: &KeyRule,
        schema: &Schema,
    ) -> Result<Self> {
        let mut layer = Layer::new();
        let mut start = 0;
        for part in parts {
            let keys = Keys::of(&part.segment, rule)?;
            for row in 0..part.segment.rows() {
                let deleted = part.deletes.as_ref().is_some_and(|mask| mask.is_deleted(row));
                if deleted || !keys.is_complete(row) {
                    continue;
                }
                if layer.insert(keys.bytes(row).into(), start + row as u64).is_some() {
                    return Err(keys.repeated(row, rule, schema));
                }
            }
            start += part.segment.rows() as u64;
        }
        Ok(Self { layers: vec![Arc::new(layer)] })
    }

    /// The position of the row that had a key last; it may be deleted.
    pub(crate) fn find(&self, key: &[u8]) -> Option<u64> {
        self.layers.iter().rev().find_map(|layer| layer.get(key).copied())
    }

    /// The index with more rows.
    pub(crate) fn extended(&self, rows: Layer) -> Self {
        let mut layers = self.layers.clone();
        let mut last = Arc::new(rows);
        while let Some(before) = layers.pop_if(|before| before.len() <= 2 * last.len()) {
            let mut merged = Arc::unwrap_or_clone(before);
            merged.extend(last.iter().map(|(key, &position)| (key.clone(), position)));
            last = Arc::new(merged);
        }
        layers.push(last);
        Self { layers }
    }
}

/// The keys of a segment's rows.
pub(crate) struct Keys {
    columns: Vec<ArrayRef>,
    rows: Rows,
}

impl Keys {
    /// The values of a key's columns.
    ///
    /// # Errors
    /// `Corrupt` when a column of a saved database is damaged.
    pub(crate) fn of(segment: &Segment, rule: &KeyRule) -> Result<Self> {
        let missing = || StorageError::Internal("a key over a column that is not there".into());
        let column = |&column: &usize| {
            let column = segment.columns().get(column).ok_or_else(missing)?;
            column.read(0..segment.rows())?.flatten()
        };
        let columns = rule.columns.iter().map(column).collect::<Result<Vec<_>>>()?;
        let fields = columns.iter().map(|column| SortField::new(column.data_type().clone()));
        let canonical: Vec<_> = columns.iter().map(canonical).collect();
        let rows = RowConverter::new(fields.collect())?.convert_columns(&canonical)?;
        Ok(Self { columns, rows })
    }

    /// Whether no value of a row's key is NULL.
    pub(crate) fn is_complete(&self, row: usize) -> bool {
        self.columns.iter().all(|column| column.is_valid(row))
    }

    /// A row's key.
    pub(crate) fn bytes(&self, row: usize) -> &[u8] {
        self.rows.row(row).data()
    }

    /// The error of a row whose key another one has.
    pub(crate) fn repeated(&self, row: usize, rule: &KeyRule, schema: &Schema) -> StorageError {
        let value = |column: &ArrayRef| {
            Scalar::from_array(column, row).map_or_else(|_| "?".into(), |value| value.to_string())
        };
        let values: Vec<String> = self.columns.iter().map(value).collect();
        StorageError::Constraint(format!(
            "two rows with the key ({}): {}",
            values.join(", "),
            rule.describe(schema)
        ))
    }
}

/// Doubles that SQL calls equal, as the same bits.
fn canonical(array: &ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::Float64 => {
            let one = |value: f64| if value.is_nan() { f64::NAN } else { value + 0.0 };
            Arc::new(array.as_primitive::<Float64Type>().unary::<_, Float64Type>(one))
        }
        DataType::Float32 => {
            let one = |value: f32| if value.is_nan() { f32::NAN } else { value + 0.0 };
            Arc::new(array.as_primitive::<Float32Type>().unary::<_, Float32Type>(one))
        }
        _ => Arc::clone(array),
    }
}
