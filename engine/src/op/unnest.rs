//! Unnest: a row for every element of its lists.
//!
//! Invariants: lists of one row are read side by side, shorter ones filled up with NULL; a row whose lists are all empty
//! or NULL gives no row. Output comes a vector at a time, however long a list is.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, ListArray, UInt32Array},
    compute,
};
use stoadb_storage::Vector;

use crate::{
    batch::Batch,
    context::QueryContext,
    error::{EngineError, Result},
    op::{LocalTransform, Step, Transform},
    plan::UnnestColumn,
};

/// An unnesting of list columns.
pub struct Unnest {
    columns: Arc<[UnnestColumn]>,
}

impl Unnest {
    /// An unnesting that gives these columns.
    pub fn new(columns: &[UnnestColumn]) -> Self {
        Self { columns: columns.into() }
    }
}

impl Transform for Unnest {
    fn local(&self, context: &Arc<QueryContext>) -> Result<Box<dyn LocalTransform>> {
        let (columns, context) = (Arc::clone(&self.columns), Arc::clone(context));
        Ok(Box::new(LocalUnnest { columns, context, current: None }))
    }
}

struct LocalUnnest {
    columns: Arc<[UnnestColumn]>,
    context: Arc<QueryContext>,
    current: Option<Current>,
}

/// A batch being unnested.
struct Current {
    batch: Batch,
    /// The list columns, flat, in the order of the output columns that read them.
    lists: Vec<ListArray>,
    /// The next row and the next place in its lists.
    row: usize,
    place: usize,
}

impl LocalTransform for LocalUnnest {
    fn step(&mut self, input: Option<Batch>) -> Result<Step> {
        self.context.check()?;
        if let Some(batch) = input {
            self.current = Some(Current::new(batch.compact()?, &self.columns)?);
        }
        let Some(current) = &mut self.current else { return Ok(Step::NeedInput) };
        let most = self.context.settings().vector_size.max(1);
        match current.next(&self.columns, most)? {
            Some(batch) => Ok(Step::HaveMore(batch)),
            None => {
                self.current = None;
                Ok(Step::NeedInput)
            }
        }
    }

    fn end_morsel(&mut self) {
        self.current = None;
    }
}

impl Current {
    fn new(batch: Batch, columns: &[UnnestColumn]) -> Result<Self> {
        let mut lists = Vec::new();
        for column in columns {
            if let UnnestColumn::Elements(index) = column {
                let array = batch.columns[*index].flatten()?;
                let list = array.as_list_opt::<i32>().cloned();
                let wrong =
                    || EngineError::Internal("unnest() of something else than lists".into());
                lists.push(list.ok_or_else(wrong)?);
            }
        }
        Ok(Self { batch, lists, row: 0, place: 0 })
    }

    /// How many rows a row becomes.
    fn count(&self, row: usize) -> usize {
        match self.lists.as_slice() {
            // Only structs are taken apart.
            [] => 1,
            lists => lists.iter().map(|list| length(list, row)).max().unwrap_or(0),
        }
    }

    /// At most `most` rows of output; `None` at the end of the batch.
    fn next(&mut self, columns: &[UnnestColumn], most: usize) -> Result<Option<Batch>> {
        // The rows that are repeated, and for each the places in its lists.
        let (mut rows, mut places) = (Vec::with_capacity(most), Vec::with_capacity(most));
        while self.row < self.batch.rows && rows.len() < most {
            let count = self.count(self.row);
            let end = count.min(self.place + most - rows.len());
            places.extend(self.place..end);
            rows.resize(places.len(), self.row as u32);
            self.place = end;
            if end >= count {
                (self.row, self.place) = (self.row + 1, 0);
            }
        }
        if rows.is_empty() {
            return Ok(None);
        }
        let rows = UInt32Array::from(rows);
        let mut lists = self.lists.iter();
        let mut output = Vec::with_capacity(columns.len());
        for column in columns {
            output.push(match column {
                UnnestColumn::Repeat(index) => self.batch.columns[*index].take(&rows)?,
                UnnestColumn::Field(index, field) => {
                    let array = self.batch.columns[*index].flatten()?;
                    Vector::Flat(compute::take(&struct_field(&array, *field)?, &rows, None)?)
                }
                UnnestColumn::Elements(_) => match lists.next() {
                    Some(list) => Vector::Flat(elements(list, &rows, &places)?),
                    None => return Err(EngineError::Internal("a list is missing".into())),
                },
            });
        }
        Ok(Some(Batch::new(output, rows.len())))
    }
}

fn length(list: &ListArray, row: usize) -> usize {
    if list.is_null(row) { 0 } else { list.value_length(row) as usize }
}

/// The elements at some places of some rows' lists; NULL past the end of a list.
fn elements(list: &ListArray, rows: &UInt32Array, places: &[usize]) -> Result<ArrayRef> {
    let offsets = list.value_offsets();
    let element = |(&row, &place): (&u32, &usize)| {
        let row = row as usize;
        (place < length(list, row)).then(|| offsets[row] as u32 + place as u32)
    };
    let elements: UInt32Array = rows.values().iter().zip(places).map(element).collect();
    Ok(compute::take(list.values(), &elements, None)?)
}

/// A field of structs; NULL where the struct is.
fn struct_field(array: &ArrayRef, field: usize) -> Result<ArrayRef> {
    let wrong = || EngineError::Internal("unnest() of something else than structs".into());
    let structs = array.as_struct_opt().ok_or_else(wrong)?;
    let values = structs.columns().get(field).ok_or_else(wrong)?;
    match structs.nulls() {
        Some(nulls) => Ok(compute::nullif(values, &(!nulls.inner()).into())?),
        None => Ok(Arc::clone(values)),
    }
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{Int64Array, StringViewArray},
        datatypes::Int64Type,
    };
    use stoadb_storage::Selection;

    use super::*;
    use crate::{context::QuerySettings, function::FunctionRegistry};

    type List = Option<Vec<Option<i64>>>;

    fn run(batch: Batch, columns: &[UnnestColumn], vector_size: usize) -> Vec<Vec<String>> {
        let settings = QuerySettings { vector_size, ..QuerySettings::default() };
        let functions = Arc::new(FunctionRegistry::default());
        let context = Arc::new(QueryContext::new(settings, functions, Vec::new()));
        let mut local = Unnest::new(columns).local(&context).unwrap();
        let mut rows = Vec::new();
        let mut step = local.step(Some(batch)).unwrap();
        while let Step::HaveMore(batch) = step {
            assert!((1..=vector_size).contains(&batch.rows));
            for row in 0..batch.rows {
                let text = |column: &Vector| column.scalar(row).unwrap().to_string();
                rows.push(batch.columns.iter().map(text).collect());
            }
            step = local.step(None).unwrap();
        }
        rows
    }

    fn lists(lists: &[List]) -> Vector {
        let array = ListArray::from_iter_primitive::<Int64Type, _, _>(lists.to_vec());
        Vector::from_arrow(&(Arc::new(array) as ArrayRef)).unwrap()
    }

    #[test]
    fn test_rows_of_elements_equal_nested_loops() {
        let mut state = 3_u64;
        let mut next = |n: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888);
            (state >> 33) % n
        };
        let mut list = |longest: u64| -> List {
            if next(6) == 0 {
                return None;
            }
            let length = next(longest);
            Some((0..length).map(|_| (next(5) > 0).then(|| next(100) as i64)).collect())
        };
        let first: Vec<List> = (0..40).map(|_| list(7)).collect();
        let second: Vec<List> = (0..40).map(|_| list(4)).collect();
        let names: Vec<Option<String>> =
            (0..40).map(|i| (i % 5 > 0).then(|| format!("row {i}"))).collect();
        let columns = vec![
            Vector::Flat(Arc::new(StringViewArray::from_iter(names.clone()))),
            lists(&first),
            lists(&second),
        ];
        let kept: Vec<u32> = (0..40).filter(|row| row % 3 > 0).collect();
        let mut batch = Batch::new(columns, 40);
        batch.selection = Some(Selection::new(kept.clone()));
        let text = |value: Option<String>| value.unwrap_or_else(|| "NULL".into());
        let mut wanted = Vec::new();
        for row in kept {
            let row = row as usize;
            let (a, b) = (first[row].clone(), second[row].clone());
            let (a, b) = (a.unwrap_or_default(), b.unwrap_or_default());
            for place in 0..a.len().max(b.len()) {
                let at = |list: &[Option<i64>]| {
                    text(list.get(place).copied().flatten().map(|v| v.to_string()))
                };
                let name = names[row].as_ref().map(|name| format!("'{name}'"));
                wanted.push(vec![at(&b), text(name), at(&a)]);
            }
        }
        let columns =
            [UnnestColumn::Elements(2), UnnestColumn::Repeat(0), UnnestColumn::Elements(1)];
        for vector_size in [1, 3, 64, 2048] {
            let found = run(batch.clone(), &columns, vector_size);
            assert_eq!(found, wanted, "vectors of {vector_size}");
        }
    }

    #[test]
    fn test_an_empty_batch_and_a_long_list() {
        let columns = [UnnestColumn::Elements(0)];
        let empty = Batch::new(vec![lists(&[None, Some(vec![])])], 2);
        assert!(run(empty, &columns, 8).is_empty());
        let long: List = Some((0..5000).map(Some).collect());
        let found = run(Batch::new(vec![lists(&[long])], 1), &columns, 2048);
        assert_eq!(found.len(), 5000);
        assert_eq!(found[4999], ["4999"]);
        let numbers = Vector::Flat(Arc::new(Int64Array::from(vec![1])));
        let batch = Batch::new(vec![numbers], 1);
        assert!(Current::new(batch, &columns).is_err());
    }
}
