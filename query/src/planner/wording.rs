//! The planner library's errors about clauses in words of SQL, with what may help.
//!
//! Invariant: a message that begins with the name of a clause or of a function is about that: `places.rs` finds it so.

use crate::{
    error::{Error, ErrorKind},
    planner::places::sql_types,
};

/// How texts of the library begin or go on, what they mean, and what may help.
const FIXED: [(&str, &str, &str); 6] = [
    (
        "Unsupported binary operator: PGOverlap",
        "there is no operator &&",
        "AND joins conditions, list_has_any(a, b) compares lists",
    ),
    (
        "Aggregate function calls cannot contain window function calls",
        "an aggregate cannot take the value of a window function",
        "a subquery can compute the inner one first",
    ),
    (
        "Unary operator '-' only supports",
        "- stands before numbers and intervals",
        "cast the value first: -x::INTEGER",
    ),
    (
        "WITHIN GROUP is only supported for",
        "WITHIN GROUP stands behind percentile_cont(), percentile_disc() and mode()",
        "other aggregates have ORDER BY among their arguments: string_agg(x, ',' ORDER BY x)",
    ),
    (
        "GROUPS requires an ORDER BY clause",
        "GROUPS counts groups of rows that tie: it needs ORDER BY",
        "OVER (ORDER BY x GROUPS 1 PRECEDING)",
    ),
    ("step can't be 0", "a series of steps of 0 has no end", "the third argument is the step"),
];

/// The error that a text of the library is; `None` for those that are said well enough.
pub(super) fn reworded(text: &str) -> Option<Error> {
    let fixed = FIXED.iter().find(|(start, ..)| text.contains(start));
    if let Some((_, message, hint)) = fixed {
        return Some(Error::new(ErrorKind::Type, *message).with_hint(*hint));
    }
    of_clause(text).or_else(|| of_columns(text)).or_else(|| of_values(text))
}

/// Texts about the numbers, names and types of columns.
fn of_columns(text: &str) -> Option<Error> {
    let after = |start: &str| text.split_once(start).map(|(_, rest)| rest);
    let of_type = |message: String| Error::new(ErrorKind::Type, message);
    let of_name = |message: String| Error::new(ErrorKind::Name, message);
    // A column without its table and what is done with it.
    let column = |rest: &str| {
        let name = rest.split([' ', '(', ')', ',']).next().unwrap_or_default();
        name.rsplit('.').next().unwrap_or_default().trim_matches('"').to_owned()
    };
    if let Some(rest) = after("HAVING clause references: ") {
        let message = format!(
            "column \"{}\" must appear in GROUP BY or in an aggregate function",
            column(rest)
        );
        return Some(of_name(message).with_hint("WHERE chooses rows, HAVING chooses groups"));
    }
    if let Some(rest) = after("For SELECT DISTINCT, ORDER BY expressions ") {
        let message =
            format!("SELECT DISTINCT cannot sort by \"{}\", which it drops", column(rest));
        return Some(of_name(message).with_hint("select the column, or write DISTINCT ON (...)"));
    }
    if let Some(rest) = after("Source table contains ") {
        let (columns, rest) = rest.split_once(" columns but only ")?;
        let (names, _) = rest.split_once(" names given")?;
        return Some(of_name(format!("{names} names are given to {columns} columns")));
    }
    if let Some(rest) = after("WITH query name ") {
        let (name, _) = rest.split_once(" specified more than once")?;
        return Some(of_name(format!("WITH has two queries of the name {name}")));
    }
    if let Some(rest) = after("recursive term must have the same number of columns (") {
        let (first, step) = rest.trim_end_matches(')').split_once(" != ")?;
        let message =
            format!("the step of a recursive query has {step} columns, its start {first}");
        return Some(of_type(message));
    }
    if let Some(rest) = after("Inconsistent data length across values list: got ") {
        let (found, rest) = rest.split_once(" values in row ")?;
        let (row, wanted) = rest.split_once(" but expected ")?;
        let row: usize = row.parse().ok()?;
        let message =
            format!("row {} of VALUES has {found} values, the first has {wanted}", row + 1);
        return Some(of_type(message));
    }
    if let Some(rest) = after("Inconsistent data type across values list at row ") {
        let (place, types) = rest.split_once(". Was ")?;
        let (row, column) = place.split_once(" column ")?;
        let (was, found) = types.split_once(" but found ")?;
        let (row, column): (usize, usize) = (row.parse().ok()?, column.parse().ok()?);
        let (was, found) = (sql_types(was), sql_types(found));
        let message = format!(
            "column {} of VALUES is of type {was}, but has {found} in row {}",
            column + 1,
            row + 1
        );
        return Some(of_type(message).with_hint("cast one to the type of the other"));
    }
    if let Some(rest) = after("Incompatible inputs for Union: Previous inputs were of type ") {
        let (one, rest) = rest.split_once(", but got incompatible type ")?;
        let (other, _) = rest.split_once(" on column ")?;
        let (one, other) = (sql_types(one), sql_types(other));
        return Some(of_type(format!("UNION cannot give values of {one} and of {other}")));
    }
    let table = text.strip_prefix("Invalid qualifier ")?;
    Some(of_name(format!("there is no table \"{table}\" in this part of the query")))
}

/// Texts about constants: patterns, parts of dates, digits.
fn of_values(text: &str) -> Option<Error> {
    let after = |start: &str| text.split_once(start).map(|(_, rest)| rest);
    let of_value = |message: String| Error::new(ErrorKind::Value, message);
    if let Some(rest) = after("Decimal(precision = ") {
        let (digits, rest) = rest.split_once(", scale = ")?;
        let (scale, _) = rest.split_once(')')?;
        let message =
            format!("DECIMAL({digits}, {scale}) has more digits behind the point than in all");
        return Some(Error::new(ErrorKind::Type, message));
    }
    if let Some(rest) = after("Date part '") {
        let (part, _) = rest.split_once("' not supported")?;
        let hint =
            "parts are year, quarter, month, week, day, dow, doy, hour, minute, second, epoch";
        return Some(of_value(format!("a date has no part '{part}'")).with_hint(hint));
    }
    if let Some(rest) = after("Regular expression did not compile: ") {
        let why = rest.split_once("error: ").map_or("", |(_, why)| why);
        let why = why.split(['\n', ')']).next().unwrap_or_default();
        return Some(of_value(format!("the pattern is no regular expression: {why}")));
    }
    if let Some(rest) = after("Error parsing timestamp from '") {
        let (value, rest) = rest.split_once("' using format '")?;
        let (pattern, _) = rest.split_once("': ")?;
        let message = format!("could not read '{value}' by the pattern '{pattern}'");
        return Some(of_value(message).with_hint("patterns are those of strftime: %Y-%m-%d"));
    }
    None
}

/// Texts about clauses.
fn of_clause(text: &str) -> Option<Error> {
    let of_type = |message: String| Error::new(ErrorKind::Type, message);
    let after = |start: &str| text.split_once(start).map(|(_, rest)| rest);
    if let Some(rest) = after("Cannot create filter with non-boolean predicate ") {
        let ty = rest.rsplit_once("' returning ").map_or("a value", |(_, ty)| ty);
        let error = of_type(format!("WHERE needs a condition, not {}", sql_types(ty)));
        return Some(error.with_hint(match sql_types(ty).as_str() {
            "VARCHAR" => "compare the text with another: x = 'a'",
            _ => "compare the value with another: x <> 0",
        }));
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
