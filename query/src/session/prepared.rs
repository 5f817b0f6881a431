//! PREPARE, EXECUTE, DEALLOCATE: statements under names.
//!
//! Invariant: a prepared statement is of one connection and outlives transactions; it is planned again when something
//! that its plan depends on has changed (`kept.rs`).

use std::sync::Arc;

use arrow::array::RecordBatch;
use stoadb_storage::Scalar;

use crate::{
    error::{Error, ErrorKind, Result},
    session::{
        connection::{Connection, State},
        kept::KeptPlan,
        result::QueryResult,
        run::{self, Session},
        values,
    },
    sql::{
        ParsedStatement,
        ast::{BinaryOperator, Expr, Ident, ObjectName, SelectItem, SetExpr, Statement},
        names::fold,
        rewrite::{query_of, select_all, table_factor},
    },
};

/// A statement under a name.
pub(crate) struct Named {
    statement: ParsedStatement,
    kept: KeptPlan,
}

/// Runs `PREPARE`, `EXECUTE` or `DEALLOCATE`.
pub(crate) fn run(
    connection: &Connection,
    state: &mut State,
    parsed: &ParsedStatement,
    parameters: &[Scalar],
) -> Result<QueryResult> {
    match &parsed.statement {
        Statement::Prepare { name, data_types, statement } => {
            if !data_types.is_empty() {
                return Err(Error::unsupported("types of parameters in PREPARE (write casts)"));
            }
            if matches!(statement.as_ref(), Statement::Prepare { .. } | Statement::Execute { .. }) {
                return Err(Error::unsupported(format!("PREPARE of {statement}")));
            }
            if let (Statement::Query(_), 0) = (statement.as_ref(), parsed.placeholders) {
                Session::new(connection, state, &[]).prepare(statement)?;
            }
            let statement = ParsedStatement {
                statement: statement.as_ref().clone(),
                parameters: parsed.placeholders,
                ..parsed.clone()
            };
            let named = Named { statement, kept: KeptPlan::default() };
            state.prepared.insert(fold(&name.value), Arc::new(named));
            Ok(QueryResult::changed(0))
        }
        Statement::Execute { name: Some(name), parameters: values, .. } => {
            let known = match name.0.as_slice() {
                [part] => part.as_ident().and_then(|name| state.prepared.get(&fold(&name.value))),
                _ => None,
            };
            let Some(named) = known.map(Arc::clone) else { return Err(unknown(name)) };
            let session = Session::new(connection, state, parameters);
            let values = arguments(&session, &named.statement, values)?;
            if let Some(result) = run::run_kept(connection, state, None, &values, &named.kept) {
                return result;
            }
            run::run(connection, state, &named.statement, &values, &named.kept)
        }
        Statement::Deallocate { name, .. } => {
            let all = name.quote_style.is_none() && name.value.eq_ignore_ascii_case("all");
            if all {
                state.prepared.clear();
            } else if state.prepared.remove(&fold(&name.value)).is_none() {
                return Err(unknown(name));
            }
            Ok(QueryResult::changed(0))
        }
        other => Err(run::unsupported(other)),
    }
}

fn unknown(name: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Name, format!("there is no prepared statement {name}"))
        .with_hint("PREPARE name AS ... makes one, for this connection")
}

/// The values of the parameters, by number.
fn arguments(
    session: &Session<'_>,
    statement: &ParsedStatement,
    given: &[Expr],
) -> Result<Vec<Scalar>> {
    let mut values: Vec<Option<Expr>> = vec![None; statement.parameters];
    for (place, value) in given.iter().enumerate() {
        let (number, value) = match assigned(value) {
            Some((name, value)) => {
                let number = statement.names.iter().position(|known| *known == fold(&name.value));
                let number = number.ok_or_else(|| {
                    let message = format!("the statement has no parameter ${}", name.value);
                    Error::new(ErrorKind::Name, message)
                })?;
                (number, value)
            }
            None => (place, value),
        };
        let Some(slot) = values.get_mut(number) else {
            let (given, wanted) = (given.len(), statement.parameters);
            let message = format!("the statement has {wanted} parameters, {given} were given");
            return Err(Error::new(ErrorKind::Value, message));
        };
        if slot.replace(value.clone()).is_some() {
            let name = statement.names.get(number).cloned().unwrap_or((number + 1).to_string());
            return Err(Error::new(
                ErrorKind::Value,
                format!("the parameter ${name} is given twice"),
            ));
        }
    }
    let wanted = values.len();
    let values: Vec<Expr> = values.into_iter().flatten().collect();
    if values.len() < wanted {
        let message = format!("the statement has {wanted} parameters, {} were given", values.len());
        return Err(Error::new(ErrorKind::Value, message));
    }
    if values.is_empty() {
        return Ok(Vec::new());
    }
    let constants = values.iter().map(|value| values::constant(value, session.parameters));
    if let Some(constants) = constants.collect() {
        return Ok(constants);
    }
    let mut select = select_all(table_factor(ObjectName::from(vec![Ident::new("t")]), None));
    select.from.clear();
    select.projection = values.into_iter().map(SelectItem::UnnamedExpr).collect();
    let query = Statement::Query(Box::new(query_of(SetExpr::Select(Box::new(select)))));
    let rows = session.stream(session.prepare(&query)?)?.collect::<Result<Vec<RecordBatch>>>()?;
    let row = rows.iter().find(|batch| batch.num_rows() == 1);
    let row = row.ok_or_else(|| Error::internal("arguments without a row"))?;
    row.columns().iter().map(|value| Ok(Scalar::from_array(value.as_ref(), 0)?)).collect()
}

/// The name and the value of `name := value` and `name = value`.
pub(super) fn assigned(value: &Expr) -> Option<(&Ident, &Expr)> {
    match value {
        Expr::BinaryOp { left, op: BinaryOperator::Eq | BinaryOperator::Assignment, right } => {
            match left.as_ref() {
                Expr::Identifier(name) => Some((name, right)),
                _ => None,
            }
        }
        _ => None,
    }
}
