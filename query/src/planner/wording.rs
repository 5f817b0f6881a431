//! The planner library's errors about clauses in words of SQL, with what may help.
//!
//! Invariant: a message that begins with the name of a clause or of a function is about that: `places.rs` finds it so.

use crate::{
    error::{Error, ErrorKind},
    planner::places::sql_types,
};

/// The error that a text of the library is; `None` for those that are said well enough.
pub(super) fn reworded(text: &str) -> Option<Error> {
    let of_type = |message: String| Error::new(ErrorKind::Type, message);
    let after = |start: &str| text.split_once(start).map(|(_, rest)| rest);
    if let Some(rest) = after("Cannot create filter with non-boolean predicate ") {
        let ty = rest.rsplit_once("' returning ").map_or("a value", |(_, ty)| ty);
        let error = of_type(format!("WHERE needs a condition, not {}", sql_types(ty)));
        return Some(error.with_hint("compare the value with another: x <> 0"));
    }
    if let Some(ty) = after("Join condition must be boolean type, but got ") {
        let error = of_type(format!("ON needs a condition, not {}", sql_types(ty)));
        return Some(
            error.with_hint("compare a column of one table with one of the other: a.x = b.x"),
        );
    }
    if let Some(rest) = after("Unary operator 'NOT' requires a boolean expression, got ") {
        return Some(of_type(format!("NOT needs a condition, not {}", sql_types(rest))));
    }
    if let Some(ty) = after("Expected LIMIT to be an integer or null, but got ") {
        return Some(of_type(format!("LIMIT needs a whole number of rows, not {}", sql_types(ty))));
    }
    if let Some(ty) = after("Expected OFFSET to be an integer or null, but got ") {
        return Some(of_type(format!(
            "OFFSET needs a whole number of rows, not {}",
            sql_types(ty)
        )));
    }
    if let Some(rest) = after("There isn't a common type to coerce ") {
        let (types, _) = rest.split_once(" in LIKE expression")?;
        let message = format!("LIKE compares texts, not {}", sql_types(types));
        return Some(of_type(message).with_hint("cast the value to a text: x::VARCHAR"));
    }
    if text.starts_with("Aggregate functions are not allowed in the WHERE clause") {
        let message = "WHERE chooses rows before they are grouped: it has no aggregates";
        return Some(of_type(message.into()).with_hint("HAVING chooses groups: HAVING sum(x) > 1"));
    }
    let position = match after("Order by column out of bounds, specified: ") {
        Some(rest) => rest.split_once(", max: ").map(|(asked, last)| ("ORDER BY", asked, last)),
        None => after("Cannot find column with position ")
            .and_then(|rest| rest.split_once(" in SELECT clause. Valid columns: 1 to "))
            .map(|(asked, last)| ("GROUP BY", asked, last)),
    };
    if let Some((clause, asked, last)) = position {
        let message = format!("{clause} {asked}: the columns of SELECT are 1 to {last}");
        return Some(Error::new(ErrorKind::Name, message));
    }
    for (clause, start) in [("LIMIT", "LIMIT must be >= 0, '"), ("OFFSET", "OFFSET must be >=0, '")]
    {
        if let Some(rest) = after(start) {
            return Some(Error::negative(clause, rest.split('\'').next().unwrap_or_default()));
        }
    }
    if let Some(rest) = after("Failed to coerce types ") {
        let (types, _) = rest.split_once(" in BETWEEN expression")?;
        let (one, other) = types.split_once(" and ")?;
        let (one, other) = (sql_types(one), sql_types(other));
        return Some(of_type(format!("BETWEEN cannot compare {one} with {other}")));
    }
    if text.starts_with("Too many columns! The subquery should only return one column") {
        let message = "a subquery that stands for a value has one column";
        let hint = "name one column, or join the subquery in FROM";
        return Some(of_type(message.into()).with_hint(hint));
    }
    if let Some((operation, _)) = text.split_once(" queries have different number of columns") {
        let message = format!("the queries of {operation} have different numbers of columns");
        let hint = format!("{operation} BY NAME matches columns by their names");
        return Some(match operation {
            "UNION" => of_type(message).with_hint(hint),
            _ => of_type(message),
        });
    }
    if let Some(text) = after("Invalid input syntax for type interval: ") {
        let text = text.trim_matches('"');
        let message = format!("could not convert '{text}' to INTERVAL");
        let error = Error::new(ErrorKind::Value, message);
        return Some(error.with_hint("write INTERVAL '3 days', or INTERVAL '1 year 2 months'"));
    }
    if text.starts_with("QUALIFY clause requires window functions") {
        let message = "QUALIFY needs a window function, there or in SELECT";
        return Some(of_type(message.into()).with_hint("WHERE and HAVING take other conditions"));
    }
    if text.starts_with("Window function calls cannot be nested") {
        let error = of_type("a window function cannot stand within another one".into());
        return Some(error.with_hint("a subquery can compute the inner one first"));
    }
    if text.starts_with("Aggregate function calls cannot be nested") {
        let error = of_type("an aggregate cannot stand within another one".into());
        return Some(error.with_hint("a subquery can compute the inner one first"));
    }
    if text.contains("Unnest should be rewritten to LogicalPlan::Unnest") {
        let message = "unnest() stands in SELECT or FROM, and not within conditions or aggregates";
        let hint = "unnest in a subquery: SELECT max(x) FROM (SELECT unnest(list) AS x FROM t) u";
        return Some(Error::unsupported(message).with_hint(hint));
    }
    if let Some(rest) = after("Expected parameter of type ") {
        let (types, parameter) = rest.split_once(": Conflicting types for id ")?;
        let (one, other) = types.split_once(", got ")?;
        let (one, other) = (sql_types(one), sql_types(other));
        let parameter = parameter.trim();
        let error = of_type(format!(
            "the parameter {parameter} stands where {one} is wanted and where {other} is"
        ));
        let hint = format!(
            "say by a cast which it is: {parameter}::{one} and {parameter}::{one}::{other}"
        );
        return Some(error.with_hint(hint));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_clauses_are_named() {
        let text = "Cannot create filter with non-boolean predicate 'Int64(5)' returning Int64";
        assert_eq!(reworded(text).unwrap().message, "WHERE needs a condition, not BIGINT");
        let text = "Expected parameter of type Int32, got Utf8View: Conflicting types for id $1";
        assert_eq!(
            reworded(text).unwrap().message,
            "the parameter $1 stands where INTEGER is wanted and where VARCHAR is"
        );
        assert!(reworded("the column \"a\" is ambiguous").is_none());
    }
}
