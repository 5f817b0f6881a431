//! `error(message)`, which fails, and the names of types.
//!
//! Invariant: `error` fails for every row that it is computed for, and not for others.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, new_null_array},
    datatypes::DataType,
};
use datafusion_common::{Result, exec_err};
use stoadb_storage::LogicalType;

use super::{Call, Def, Gives, TEXT, shown};
use crate::sql::calls::NAMED;

pub(super) const TABLE: &[Def] = &[
    Def {
        name: "error",
        aliases: &[],
        takes: "text",
        gives: Gives::Plain(|| DataType::Null),
        body: error,
    },
    Def { name: "typeof", aliases: &["type_of"], takes: "any", gives: TEXT, body: type_of },
    Def { name: "pg_typeof", aliases: &[], takes: "any", gives: TEXT, body: pg_typeof },
    Def {
        name: NAMED,
        aliases: &[],
        takes: "constant any",
        gives: Gives::Same(1),
        body: |call| Ok(Arc::clone(&call.args[1])),
    },
    Def {
        name: "constant_or_null",
        aliases: &[],
        takes: "any any*",
        gives: Gives::Same(0),
        body: constant,
    },
];

fn error(call: &Call) -> Result<ArrayRef> {
    let messages = call.texts(0)?;
    match (0..call.rows).find_map(|row| messages.at(row)) {
        Some(message) => exec_err!("{message}"),
        None => Ok(new_null_array(&DataType::Null, call.rows)),
    }
}

fn type_of(call: &Call) -> Result<ArrayRef> {
    let name = match call.args[0].data_type() {
        DataType::Null => "\"NULL\"".to_owned(),
        ty => shown(ty),
    };
    call.give_texts(|_| Ok(Some(&name)))
}

fn pg_typeof(call: &Call) -> Result<ArrayRef> {
    let ty = LogicalType::from_arrow(call.args[0].data_type());
    let name = match ty {
        Ok(LogicalType::Null) => "unknown".to_owned(),
        Ok(LogicalType::Text) => "character varying".to_owned(),
        Ok(LogicalType::Float64) => "double precision".to_owned(),
        Ok(LogicalType::Float32) => "real".to_owned(),
        Ok(LogicalType::Decimal { .. }) => "numeric".to_owned(),
        Ok(LogicalType::Blob) => "bytea".to_owned(),
        Ok(LogicalType::Timestamp(_, None)) => "timestamp without time zone".to_owned(),
        Ok(LogicalType::Timestamp(..)) => "timestamp with time zone".to_owned(),
        _ => shown(call.args[0].data_type()).to_lowercase(),
    };
    call.give_texts(|_| Ok(Some(&name)))
}

/// The first argument, NULL where another one is.
fn constant(call: &Call) -> Result<ArrayRef> {
    let others = 1..call.args.len();
    let place = |row: usize| {
        let null = others.clone().any(|at| call.is_null(at, row));
        (!null).then(|| u64::try_from(call.place(0, row)).ok()).flatten()
    };
    let places: arrow::array::UInt64Array = (0..call.rows).map(place).collect();
    Ok(arrow::compute::take(&call.args[0], &places, None)?)
}
