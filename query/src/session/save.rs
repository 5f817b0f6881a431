//! SAVE: the tables and views of the database into a folder.
//!
//! Invariant: what is saved is what is committed; an open transaction is neither saved nor ended.
//! Next: `database.rs`, which saves and opens.

use std::path::PathBuf;

use stoadb_storage::Scalar;

use crate::{
    error::{Error, ErrorKind, Result},
    session::{
        connection::{Connection, State},
        result::QueryResult,
        values,
    },
    sql::ast::{Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Value},
};

/// `SAVE [[OR REPLACE] TO 'folder']`, as the `CALL save(['folder'])` or `CALL save_or_replace('folder')` that the parser makes
/// of it: one row says what was saved.
pub(crate) fn call(
    connection: &Connection,
    state: &State,
    call: &Function,
    parameters: &[Scalar],
) -> Result<QueryResult> {
    let replace = match call.name.to_string().to_ascii_lowercase().as_str() {
        "save" => false,
        "save_or_replace" => true,
        _ => return Err(Error::unsupported(format!("CALL {}()", call.name))),
    };
    if state.transaction.is_some() {
        let message = "a transaction is open; COMMIT or ROLLBACK it before SAVE";
        return Err(Error::new(ErrorKind::Catalog, message));
    }
    let database = connection.database();
    let folder = match folder(call, parameters)? {
        Some(folder) => folder,
        None => database.folder().ok_or_else(|| {
            let message =
                "the database has no folder yet: it was neither opened from one nor saved";
            Error::new(ErrorKind::Catalog, message).with_hint("SAVE TO 'folder'")
        })?,
    };
    let saved = if replace { database.save_over(&folder) } else { database.save(&folder) }?;
    let skipped = (!saved.skipped.is_empty()).then(|| saved.skipped.join(", "));
    QueryResult::texts(vec![
        ("saved_to", vec![Some(folder.display().to_string())]),
        ("tables", vec![Some(saved.tables.to_string())]),
        ("views", vec![Some(saved.views.to_string())]),
        ("bytes_written", vec![Some(saved.bytes_written.to_string())]),
        ("not_saved", vec![skipped]),
    ])
}

/// The folder that the statement names: a text or a parameter.
fn folder(call: &Function, parameters: &[Scalar]) -> Result<Option<PathBuf>> {
    let wrong = || {
        let message = "SAVE TO takes the path of a folder as a text";
        Error::new(ErrorKind::Type, message).with_hint("SAVE TO 'folder'")
    };
    let FunctionArguments::List(list) = &call.args else { return Err(wrong()) };
    let value = match list.args.as_slice() {
        [] => return Ok(None),
        [FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(value)))] => &value.value,
        _ => return Err(wrong()),
    };
    let text = match value {
        Value::SingleQuotedString(text) => Some(text.as_str()),
        Value::Placeholder(name) => values::parameter(name, parameters).and_then(Scalar::as_str),
        _ => None,
    };
    match text {
        Some(text) if !text.is_empty() => Ok(Some(text.into())),
        _ => Err(wrong()),
    }
}
