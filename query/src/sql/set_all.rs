//! INTERSECT ALL and EXCEPT ALL by the plain set operations: rows are numbered among equal rows of their side first.
//!
//! Invariant: a row that occurs n times on a side is the numbers 1 to n there, so that the smaller number of times
//! survives an intersection and the difference an exception. `planner/rules/occurrence.rs` says which rows are equal.

use datafusion_sql::sqlparser::{
    ast::{SetExpr, SetOperator, SetQuantifier, TableFactor},
    parser::Parser,
};

use crate::{
    error::{Error, Result},
    sql::dialect::StoaDialect,
};

/// The name of the column that numbers equal rows.
pub const OCCURRENCE: &str = "__stoa_occurrence";

/// Rewrites the set operations of a query's body, nested ones included.
///
/// # Errors
/// Never for bodies that the parser made.
pub fn rewrite(body: &mut SetExpr) -> Result<()> {
    let SetExpr::SetOperation { op, set_quantifier, left, right } = body else { return Ok(()) };
    rewrite(left)?;
    rewrite(right)?;
    let (SetOperator::Intersect | SetOperator::Except, SetQuantifier::All) = (*op, *set_quantifier)
    else {
        return Ok(());
    };
    *set_quantifier = SetQuantifier::None;
    for side in [left, right] {
        let text =
            format!("SELECT *, row_number() OVER () AS {OCCURRENCE} FROM (SELECT 1) AS side");
        **side = over(&text, (**side).clone())?;
    }
    *body = over(
        &format!("SELECT * EXCLUDE ({OCCURRENCE}) FROM (SELECT 1) AS both_sides"),
        body.clone(),
    )?;
    Ok(())
}

/// A SELECT of one subquery with another body in the subquery's place.
fn over(text: &str, body: SetExpr) -> Result<SetExpr> {
    let [dialect, ..] = StoaDialect::candidates();
    let parsed = Parser::new(&dialect).try_with_sql(text).and_then(|mut p| p.parse_query());
    let mut query = parsed.map_err(|error| Error::internal(error.to_string()))?;
    if let SetExpr::Select(select) = query.body.as_mut()
        && let Some(TableFactor::Derived { subquery, .. }) =
            select.from.first_mut().map(|table| &mut table.relation)
    {
        *subquery.body = body;
        return Ok(*query.body);
    }
    Err(Error::internal(format!("not a SELECT of a subquery: {text}")))
}
