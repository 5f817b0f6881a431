//! Rows in parentheses: `(a, b) IN ((1, 2), ..)`, `(a, b) IN (SELECT ..)` and `(a, b) = (1, 2)` as conditions of columns.
//!
//! Invariant: NULL comes out where SQL has it: a row is unknown to match when no column differs and one is NULL.
//! Next: `rewrite.rs`, which asks for it; EXISTS is a join (`planner/subqueries/mod.rs`).

use datafusion_sql::sqlparser::ast::{
    BinaryOperator, CaseWhen, Expr, Ident, Query, Select, SelectItem, SetExpr, Spanned, TableAlias,
    TableAliasColumnDef, TableFactor, UnaryOperator, Value, helpers::attached_token::AttachedToken,
};

use crate::{
    error::{Error, ErrorKind, Result},
    sql::{
        parse::place,
        rewrite::{query_of, select_all},
    },
};

/// The name of the subquery's rows. No identifier has a blank in front.
const ROW: &str = " row";

/// The condition that a comparison of rows stands for; `None` for other expressions. `truth`: FALSE and NULL mean the
/// same here.
///
/// # Errors
/// `Type`, with the place, for rows of different lengths.
pub fn rewritten(expr: &Expr, truth: bool) -> Result<Option<Expr>> {
    Ok(Some(match expr {
        Expr::InList { expr: row, list, negated } => {
            let Some(values) = row_of(row) else { return Ok(None) };
            let mut tests = Vec::with_capacity(list.len());
            for item in list {
                let Some(items) = row_of(item) else {
                    let message =
                        format!("a row of {} columns is compared with {item}", values.len());
                    return Err(Error::new(ErrorKind::Type, message).or_span(place(item.span())));
                };
                tests.push(equal(values, items, item)?);
            }
            not_if(*negated, nested(joined(tests, &BinaryOperator::Or)))
        }
        Expr::InSubquery { expr: row, subquery, negated } => {
            let Some(values) = row_of(row) else { return Ok(None) };
            let columns: Vec<Expr> = (0..values.len()).map(column).collect();
            let equal = equal(values, &columns, row)?;
            let found = exists(subquery, equal.clone(), values.len());
            if truth && !negated {
                return Ok(Some(found));
            }
            let unknown = Expr::IsNull(Box::new(nested(equal)));
            let unknown = exists(subquery, unknown, values.len());
            not_if(*negated, three_valued(found, unknown))
        }
        Expr::BinaryOp { left, op: op @ (BinaryOperator::Eq | BinaryOperator::NotEq), right } => {
            let (Some(values), Some(items)) = (row_of(left), row_of(right)) else {
                return Ok(None);
            };
            not_if(*op == BinaryOperator::NotEq, nested(equal(values, items, right)?))
        }
        _ => return Ok(None),
    }))
}

fn row_of(expr: &Expr) -> Option<&[Expr]> {
    match expr {
        Expr::Tuple(values) => Some(values),
        _ => None,
    }
}

fn equal(values: &[Expr], items: &[Expr], at: &Expr) -> Result<Expr> {
    if values.len() != items.len() {
        let message =
            format!("a row of {} columns is compared with one of {}", values.len(), items.len());
        return Err(Error::new(ErrorKind::Type, message).or_span(place(at.span())));
    }
    let equal = |(value, item): (&Expr, &Expr)| Expr::BinaryOp {
        left: Box::new(nested(value.clone())),
        op: BinaryOperator::Eq,
        right: Box::new(nested(item.clone())),
    };
    let tests = values.iter().zip(items).map(equal).collect();
    Ok(nested(joined(tests, &BinaryOperator::And)))
}

/// The conditions joined by an operator, in a tree of little depth.
fn joined(mut tests: Vec<Expr>, op: &BinaryOperator) -> Expr {
    match tests.len() {
        0 => Expr::Value(Value::Boolean(*op == BinaryOperator::And).into()),
        1 => tests.remove(0),
        many => {
            let right = tests.split_off(many / 2);
            Expr::BinaryOp {
                left: Box::new(nested(joined(tests, op))),
                op: op.clone(),
                right: Box::new(nested(joined(right, op))),
            }
        }
    }
}

fn nested(expr: Expr) -> Expr {
    Expr::Nested(Box::new(expr))
}

fn not_if(negated: bool, expr: Expr) -> Expr {
    match negated {
        true => Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(nested(expr)) },
        false => expr,
    }
}

fn column(position: usize) -> Expr {
    Expr::CompoundIdentifier(vec![
        Ident::with_quote('"', ROW),
        Ident::with_quote('"', format!("c{position}")),
    ])
}

/// `EXISTS (SELECT * FROM (subquery) AS row(c0, ..) WHERE condition)`.
fn exists(subquery: &Query, condition: Expr, columns: usize) -> Expr {
    let name = |position: usize| TableAliasColumnDef {
        name: Ident::with_quote('"', format!("c{position}")),
        data_type: None,
    };
    let alias = TableAlias {
        explicit: true,
        name: Ident::with_quote('"', ROW),
        columns: (0..columns).map(name).collect(),
        at: None,
    };
    let rows = TableFactor::Derived {
        lateral: false,
        subquery: Box::new(subquery.clone()),
        alias: Some(alias),
        sample: None,
    };
    let one = Expr::Value(Value::Number("1".to_owned(), false).into());
    let select = Select {
        selection: Some(condition),
        projection: vec![SelectItem::UnnamedExpr(one)],
        ..select_all(rows)
    };
    let query = query_of(SetExpr::Select(Box::new(select)));
    Expr::Exists { subquery: Box::new(query), negated: false }
}

fn three_valued(found: Expr, unknown: Expr) -> Expr {
    let value = |value: Value| Expr::Value(value.into());
    nested(Expr::Case {
        case_token: AttachedToken::empty(),
        end_token: AttachedToken::empty(),
        operand: None,
        conditions: vec![
            CaseWhen { condition: found, result: value(Value::Boolean(true)) },
            CaseWhen { condition: unknown, result: value(Value::Null) },
        ],
        else_result: Some(Box::new(value(Value::Boolean(false)))),
    })
}
