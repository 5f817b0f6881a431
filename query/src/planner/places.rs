//! What an error of planning says about calls and names, once the statement is at hand: which arguments a function takes,
//! where the call stands, that texts have single quotes.
//!
//! Invariant: a place is given only where a single one fits the error.

use std::ops::ControlFlow;

use datafusion_sql::sqlparser::ast::{
    Expr, GroupByExpr, Ident, LimitClause, OrderByKind, Query, Select, Spanned, Statement, Visitor,
};

use crate::{
    error::{Error, ErrorKind, Span},
    planner::functions,
    sql::{names::fold, parse::place, visit::Walk},
};

/// The error of a call whose arguments do not fit, out of the library's text.
pub(super) fn mismatch(text: &str) -> Option<Error> {
    for start in ["arithmetic expression ", "comparison operation ", "logical boolean operation "] {
        if let Some((_, operation)) = text.split_once(start) {
            let operation = operation.split(" to valid types").next().unwrap_or(operation);
            let message = format!("there is no operator {}", sql_types(operation.trim()));
            return Some(Error::new(ErrorKind::Type, message));
        }
    }
    let name = ["Function '", "function '", "call to '", "argument types '"]
        .iter()
        .find_map(|start| text.split_once(start))
        .map(|(_, rest)| rest.split(['\'', '(']).next().unwrap_or_default())?;
    if let Some((_, own)) = text.split_once("user-defined coercion failed with: ") {
        // What our own declarations say is said in our words already.
        let own = own.split(" No function matches").next().unwrap_or(own);
        let own = own.strip_prefix("Error during planning: ").unwrap_or(own);
        let own = own.trim().trim_end_matches('.');
        if own.starts_with(&format!("{name}()")) {
            return Some(Error::new(ErrorKind::Type, own));
        }
    } else if !text.contains("No function matches")
        && !text.contains("failed to match any signature")
        && !text.contains("Failed to coerce arguments")
    {
        return None;
    }
    let args = text.split_once(&format!("argument types '{name}(")).map(|(_, rest)| {
        let end = rest.find(")'").unwrap_or(rest.len());
        sql_types(&rest[..end])
    });
    let message = match args {
        Some(args) => format!("{name}() does not take ({args})"),
        None => format!("{name}() does not take these arguments"),
    };
    let error = Error::new(ErrorKind::Type, message);
    let mut taken: Vec<String> = functions::argument_lists(name)
        .into_iter()
        .map(|args| format!("{name}({})", sql_types(&args)))
        .collect();
    taken.dedup();
    let more = if taken.len() > 6 { ", ..." } else { "" };
    taken.truncate(6);
    match taken.is_empty() {
        true => Some(error),
        false => Some(error.with_hint(format!("it takes {}{more}", taken.join(", ")))),
    }
}

/// The library's names of types in SQL's words.
pub(super) fn sql_types(text: &str) -> String {
    let text = text.lines().next().unwrap_or_default().trim_end_matches('.');
    let mut out = String::with_capacity(text.len());
    let mut word = String::new();
    for c in text.chars().chain(std::iter::once('\0')) {
        if c.is_alphanumeric() || c == '_' {
            word.push(c);
            continue;
        }
        out.push_str(match word.as_str() {
            "Utf8" | "Utf8View" | "LargeUtf8" | "String" => "VARCHAR",
            "Binary" | "BinaryView" | "LargeBinary" => "BLOB",
            "Date32" | "Date64" | "Date" => "DATE",
            "Time32" | "Time64" => "TIME",
            "Timestamp" => "TIMESTAMP",
            "Decimal32" | "Decimal64" | "Decimal128" | "Decimal256" | "Decimal" => "DECIMAL",
            "Int8" => "TINYINT",
            "Int16" => "SMALLINT",
            "Int32" => "INTEGER",
            "Int64" | "Integer" => "BIGINT",
            "UInt8" => "UTINYINT",
            "UInt16" => "USMALLINT",
            "UInt32" => "UINTEGER",
            "UInt64" => "UBIGINT",
            "Float16" | "Float32" => "FLOAT",
            "Float64" | "Float" => "DOUBLE",
            "Boolean" => "BOOLEAN",
            "Interval" | "Duration" => "INTERVAL",
            other => other,
        });
        word.clear();
        if c != '\0' {
            out.push(c);
        }
    }
    // Units, time zones and the like say nothing here.
    let mut out = out.replace("Numeric(1)", "number");
    for noise in [
        "(Nanosecond, None)",
        "(Microsecond, None)",
        "(Millisecond, None)",
        "(Second, None)",
        "(MonthDayNano)",
        "(ns)",
        "(\u{b5}s)",
        "(ms)",
        "(s)",
    ] {
        out = out.replace(noise, "");
    }
    while let Some(start) = out.find("List(") {
        let inner = start + "List(".len();
        let Some(length) = out[inner..].find(')') else { break };
        let item = out[inner..inner + length].to_owned();
        out.replace_range(start..=inner + length, &format!("{item}[]"));
    }
    out
}

/// The error with its place and with advice that the statement's text suggests.
pub(super) fn placed(mut error: Error, statement: &Statement) -> Error {
    let about_subquery = error.kind == ErrorKind::Unsupported && error.message.contains("subquery");
    let unknown = error.message.strip_prefix("there is no column \"");
    let unknown = unknown.and_then(|rest| rest.strip_suffix('"'));
    let mut finder = Finder {
        error: &error,
        about_subquery,
        unknown,
        selects: 0,
        bound: Vec::new(),
        calls: Vec::new(),
        written: None,
    };
    let _ = statement.walk(&mut finder);
    let Finder { mut calls, written, selects, .. } = finder;
    if unknown.is_some() && selects == 1 {
        // All name the same columns: the first is as wrong as the others.
        calls.truncate(1);
    }
    if let Some(name) = &written {
        error.message = format!("there is no column \"{}\"", name.value);
    }
    if let Some(text) = written.filter(|name| name.quote_style == Some('"')) {
        let text = text.value.replace('\'', "''");
        let hint = format!("a text has single quotes: '{text}'");
        error.hint = Some(match error.hint.take().filter(|hint| hint.starts_with("did you")) {
            Some(known) => format!("{known} {hint}"),
            None => hint,
        });
    }
    match calls.as_slice() {
        [call] => error.or_span(Some(*call)),
        _ => error,
    }
}

struct Finder<'a> {
    error: &'a Error,
    about_subquery: bool,
    /// The column that is not there.
    unknown: Option<&'a str>,
    selects: usize,
    /// The parameters of the lambdas that the node is within.
    bound: Vec<String>,
    /// Where the function or the subquery stands that the error is about.
    calls: Vec<Span>,
    /// The column that is not there, as it is written.
    written: Option<Ident>,
}

/// The position that a message says is none, as it is written behind the clause.
fn position<'a>(message: &'a str, clause: &str) -> Option<&'a str> {
    message.strip_prefix(clause).and_then(|rest| rest.split(':').next())
}

/// The place of a number, with the sign before it, whose own place the parser does not keep.
fn with_sign(expr: &Expr) -> Option<Span> {
    let span = place(expr.span())?;
    let signs = usize::from(matches!(expr, Expr::UnaryOp { .. }));
    Some(Span { column: span.column.saturating_sub(signs), ..span })
}

impl Visitor for Finder<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let message = &self.error.message;
        if self.error.span.is_some() {
            return ControlFlow::Continue(());
        }
        let asked = position(message, "ORDER BY ");
        let keys = match query.order_by.as_ref().map(|order| &order.kind) {
            Some(OrderByKind::Expressions(keys)) => keys.as_slice(),
            _ => &[],
        };
        let same = keys.iter().filter(|key| asked == Some(&key.expr.to_string()));
        self.calls.extend(same.filter_map(|key| place(key.expr.span())));
        if let Some(LimitClause::LimitOffset { limit, offset, .. }) = &query.limit_clause {
            let limit = limit.as_ref().filter(|_| message.starts_with("LIMIT "));
            let offset = offset.as_ref().map(|offset| &offset.value);
            let offset = offset.filter(|_| message.starts_with("OFFSET "));
            self.calls.extend(limit.or(offset).and_then(with_sign));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        self.selects += 1;
        let message = &self.error.message;
        if self.error.span.is_some() {
            return ControlFlow::Continue(());
        }
        if message.starts_with("WHERE ") {
            self.calls.extend(select.selection.as_ref().and_then(|expr| place(expr.span())));
        }
        if let GroupByExpr::Expressions(keys, _) = &select.group_by {
            let asked = position(message, "GROUP BY ");
            let same = keys.iter().filter(|key| asked == Some(&key.to_string()));
            self.calls.extend(same.filter_map(|key| place(key.span())));
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if let Expr::Lambda(lambda) = expr {
            let left = self.bound.len() - lambda.params.iter().count();
            self.bound.truncate(left);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Lambda(lambda) => {
                self.bound.extend(lambda.params.iter().map(|param| fold(&param.name.value)));
            }
            Expr::Function(function) if self.error.span.is_none() => {
                let name = fold(&function.name.to_string());
                let subject = self.error.message.strip_prefix(name.as_str());
                if subject.is_some_and(|rest| rest.starts_with("()")) {
                    self.calls.extend(place(function.span()));
                }
            }
            Expr::Subquery(query)
            | Expr::Exists { subquery: query, .. }
            | Expr::InSubquery { subquery: query, .. }
                if self.about_subquery && self.error.span.is_none() =>
            {
                let about_limit =
                    ["LIMIT", "OFFSET"].iter().any(|word| self.error.message.contains(word));
                if !about_limit || query.limit_clause.is_some() {
                    self.calls.extend(place(query.span()));
                }
            }
            Expr::Identifier(ident)
                if self.error.span.is_none()
                    && self.unknown == Some(&fold(&ident.value))
                    && !self.bound.contains(&fold(&ident.value)) =>
            {
                self.calls.extend(place(ident.span));
            }
            Expr::CompoundIdentifier(parts) if self.error.span.is_none() => {
                let names: Vec<String> = parts.iter().map(|part| fold(&part.value)).collect();
                if self.unknown == Some(&names.join("."))
                    || self.unknown == names.last().map(String::as_str)
                {
                    self.calls.extend(place(expr.span()));
                }
            }
            Expr::Identifier(ident)
                if self.unknown == Some(&fold(&ident.value))
                    && self.error.span == place(ident.span) =>
            {
                self.written = Some(ident.clone());
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_mismatches_in_words_of_sql() {
        let text = "Function 'repeat' requires Int64, but received String (DataType: Utf8).. No function matches the \
                    given name and argument types 'repeat(Utf8, Utf8)'. You might need to add explicit type casts.\n\
                    \tCandidate functions:\n\trepeat(String, Int64)";
        let error = mismatch(text).unwrap();
        assert_eq!(error.message, "repeat() does not take (VARCHAR, VARCHAR)");
        assert_eq!(error.hint.as_deref(), Some("it takes repeat(VARCHAR, BIGINT)"));
        assert!(mismatch("the function 'x' is fine").is_none());
        let own = "Function 'round' user-defined coercion failed with: Error during planning: round() needs a number, \
                   not VARCHAR No function matches the given name";
        assert_eq!(mismatch(own).unwrap().message, "round() needs a number, not VARCHAR");
    }
}
