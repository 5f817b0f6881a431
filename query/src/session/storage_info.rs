//! `storage_info('t')`: how a table's columns are stored, segment by segment, as a relation.
//!
//! Invariant: it shows the table as the statement sees it; bounds are the text that a cast to VARCHAR gives.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use stoadb_engine::{Expr, QueryContext, QuerySettings, eval};
use stoadb_storage::{
    BatchTable, LogicalType, Relation, Scalar, StorageError, TableVersion,
    table::{ColumnInfo, storage_info},
};

use crate::{error::Result, planner::registry::registry};

/// The rows of `storage_info` for a table.
pub(crate) fn relation(table: &TableVersion) -> Result<Arc<dyn Relation>> {
    let columns = &table.shared_schema().columns;
    let infos = storage_info(table);
    let context = QueryContext::new(QuerySettings::default(), Arc::clone(registry()), Vec::new());
    let bound = |bound: &Option<Scalar>| -> Result<Option<String>> {
        let Some(value) = bound else { return Ok(None) };
        let input = Box::new(Expr::Literal(value.clone()));
        let cast = Expr::Cast { input, ty: LogicalType::Text, or_null: false };
        Ok(eval::constant(&cast, &context)?.as_str().map(str::to_owned))
    };
    let number = |value: fn(&ColumnInfo) -> Option<u64>| -> ArrayRef {
        let values = infos.iter().map(|info| value(info).and_then(|v| i64::try_from(v).ok()));
        Arc::new(values.collect::<Int64Array>())
    };
    let name = |info: &ColumnInfo| columns.get(info.column).map(|column| column.name.clone());
    let ty = |info: &ColumnInfo| columns.get(info.column).map(|column| column.ty.to_string());
    let text = |values: Vec<Option<String>>| Arc::new(StringArray::from(values)) as ArrayRef;
    let bounds = |side: fn(&ColumnInfo) -> &Option<Scalar>| {
        infos.iter().map(|info| bound(side(info))).collect::<Result<Vec<_>>>()
    };
    let arrays = [
        ("segment_id", number(|info| u64::try_from(info.segment).ok())),
        ("column_name", text(infos.iter().map(name).collect())),
        ("column_type", text(infos.iter().map(ty).collect())),
        ("encoding", text(infos.iter().map(|info| Some(info.encoding.clone())).collect())),
        ("rows", number(|info| Some(info.rows))),
        ("bytes", number(|info| Some(info.bytes))),
        ("plain_bytes", number(|info| Some(info.plain_bytes))),
        ("nulls", number(|info| info.nulls)),
        ("min", text(bounds(|info| &info.min)?)),
        ("max", text(bounds(|info| &info.max)?)),
    ];
    let batch = RecordBatch::try_from_iter_with_nullable(
        arrays.into_iter().map(|(name, array)| (name, array, true)),
    )
    .map_err(StorageError::from)?;
    Ok(BatchTable::new(batch.schema(), vec![batch])?)
}
