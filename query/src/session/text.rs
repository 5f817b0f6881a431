//! Values as text, as `CAST(x AS VARCHAR)` gives it: what shells and tests print.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, StringViewArray},
    compute,
    datatypes::DataType,
};
use stoadb_engine::{Batch, Evaluator, Expr, Program, QueryContext, QuerySettings};
use stoadb_storage::{LogicalType, VECTOR_SIZE, Vector};

use crate::error::{Error, Result};

/// The SQL name of an Arrow type, as DESCRIBE prints it; Arrow's own name where there is none.
pub fn type_name(ty: &DataType) -> String {
    LogicalType::from_arrow(ty).map_or_else(|_| ty.to_string(), |ty| ty.to_string())
}

/// The values of a column as text; NULL stays NULL. O(values).
///
/// # Errors
/// `Unsupported` when the column's type has no counterpart in SQL.
pub fn to_text(column: &ArrayRef) -> Result<StringViewArray> {
    let ty = LogicalType::from_arrow(column.data_type())?;
    let input = Box::new(Expr::column(0, ty));
    let cast = Expr::Cast { input, ty: LogicalType::Text, or_null: false };
    let context = QueryContext::new(QuerySettings::default(), Arc::default(), Vec::new());
    let mut evaluator = Evaluator::new(&Program::compile(&[cast], &context)?);
    let mut texts = Vec::new();
    for start in (0..column.len()).step_by(VECTOR_SIZE) {
        let rows = VECTOR_SIZE.min(column.len() - start);
        let batch = Batch::new(vec![Vector::from_arrow(&column.slice(start, rows))?], rows);
        for vector in evaluator.project(&batch)? {
            texts.push(vector.flatten()?);
        }
    }
    let texts: Vec<&dyn Array> = texts.iter().map(AsRef::as_ref).collect();
    if texts.is_empty() {
        return Ok(StringViewArray::from(Vec::<&str>::new()));
    }
    Ok(compute::concat(&texts).map_err(Error::internal)?.as_string_view().clone())
}
