//! The planner library's errors in our words, with their place and what may help.
//!
//! Invariant: no name of the library and none of our internal marks shows in a message.

use datafusion_common::{Column, DataFusionError, Diagnostic, SchemaError};

use crate::{
    error::{Error, ErrorKind, Span},
    planner::{places, wording},
    sql::names::{EXACT, Spelling, fold, unmark, unmark_text},
};

/// Our error of a library error.
pub fn from_datafusion(error: &DataFusionError) -> Error {
    spelled(error, &Spelling::default())
}

/// Our error of a library error, which proposes columns as they are spelled.
pub fn spelled(error: &DataFusionError, spelling: &Spelling) -> Error {
    let mut seen = Seen { span: None, spelling };
    let mut error = seen.visit(error);
    error.message = unmark_text(&error.message);
    error.hint = error.hint.map(|hint| unmark_text(&hint));
    error.or_span(seen.span)
}

impl From<DataFusionError> for Error {
    fn from(error: DataFusionError) -> Self {
        from_datafusion(&error)
    }
}

/// Whether the error says that two columns of a SELECT list have one name.
pub fn is_duplicate_name(error: &DataFusionError) -> bool {
    match error {
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => {
            is_duplicate_name(inner)
        }
        DataFusionError::Collection(errors) => errors.first().is_some_and(is_duplicate_name),
        DataFusionError::Shared(inner) => is_duplicate_name(inner),
        DataFusionError::SchemaError(error, _) => match error.as_ref() {
            SchemaError::DuplicateQualifiedField { .. }
            | SchemaError::DuplicateUnqualifiedField { .. } => true,
            SchemaError::AmbiguousReference { field } => field.relation.is_some(),
            SchemaError::FieldNotFound { .. } => false,
        },
        DataFusionError::Plan(message) => message.contains("unique expression names"),
        _ => false,
    }
}

struct Seen<'a> {
    span: Option<Span>,
    spelling: &'a Spelling,
}

impl Seen<'_> {
    fn visit(&mut self, error: &DataFusionError) -> Error {
        match error {
            DataFusionError::Context(_, inner) => self.visit(inner),
            DataFusionError::Diagnostic(diagnostic, inner) => {
                self.span = self.span.or_else(|| diagnostic_span(diagnostic));
                self.visit(inner)
            }
            DataFusionError::Collection(errors) => match errors.first() {
                Some(first) => self.visit(first),
                None => Error::internal("an empty list of errors"),
            },
            DataFusionError::Shared(inner) => self.visit(inner),
            DataFusionError::External(inner) => external(inner.as_ref()),
            DataFusionError::SchemaError(inner, _) => {
                let field = match inner.as_ref() {
                    SchemaError::AmbiguousReference { field }
                    | SchemaError::FieldNotFound { field, .. } => Some(field),
                    _ => None,
                };
                let span = field.and_then(|field| field.spans.first()).map(our_span);
                self.span = self.span.or(span);
                schema_error(inner, self.spelling)
            }
            DataFusionError::SQL(inner, _) => {
                Error::new(ErrorKind::Syntax, strip_kind(&inner.to_string()))
            }
            DataFusionError::NotImplemented(message) => {
                let text = plain(message);
                wording::reworded(&text).unwrap_or_else(|| Error::unsupported(text))
            }
            DataFusionError::Plan(message) | DataFusionError::Configuration(message) => {
                plan_error(message)
            }
            DataFusionError::Execution(message) => places::mismatch(message)
                .or_else(|| wording::reworded(&plain(message)))
                .unwrap_or_else(|| Error::new(ErrorKind::Value, plain(message))),
            DataFusionError::ArrowError(inner, _) => {
                let text = strip_kind(&inner.to_string());
                wording::reworded(&text).unwrap_or_else(|| Error::new(ErrorKind::Value, text))
            }
            DataFusionError::ResourcesExhausted(message) => {
                Error::new(ErrorKind::Memory, plain(message))
            }
            DataFusionError::IoError(inner) => Error::new(ErrorKind::Io, inner.to_string()),
            other => {
                let message = other.strip_backtrace();
                places::mismatch(&message)
                    .or_else(|| wording::reworded(&plain(&message)))
                    .unwrap_or_else(|| Error::internal(plain(&message)))
            }
        }
    }
}

fn external(error: &(dyn std::error::Error + Send + Sync + 'static)) -> Error {
    if let Some(error) = error.downcast_ref::<Error>() {
        return error.clone();
    }
    if let Some(error) = error.downcast_ref::<stoadb_engine::EngineError>() {
        return error.clone().into();
    }
    if let Some(error) = error.downcast_ref::<DataFusionError>() {
        return from_datafusion(error);
    }
    Error::internal(error)
}

/// A place of the library as ours.
pub(in crate::planner) fn our_span(span: datafusion_common::Span) -> Span {
    Span {
        line: usize::try_from(span.start.line).unwrap_or(0),
        column: usize::try_from(span.start.column).unwrap_or(0),
        end_line: usize::try_from(span.end.line).unwrap_or(0),
        end_column: usize::try_from(span.end.column).unwrap_or(0),
    }
}

fn diagnostic_span(diagnostic: &Diagnostic) -> Option<Span> {
    diagnostic.span.map(our_span)
}

fn schema_error(error: &SchemaError, spelling: &Spelling) -> Error {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            field_not_found(field, valid_fields, spelling)
        }
        SchemaError::AmbiguousReference { field } => {
            let message = format!("the column \"{}\" is ambiguous", shown(field));
            Error::new(ErrorKind::Name, message).with_hint("write the table's name in front of it")
        }
        SchemaError::DuplicateQualifiedField { qualifier, name } => {
            let message =
                format!("the column \"{}.{}\" occurs twice", qualifier.table(), unmark(name));
            Error::new(ErrorKind::Name, message)
                .with_hint("give one of the tables or columns another name with AS")
        }
        SchemaError::DuplicateUnqualifiedField { name } => {
            Error::new(ErrorKind::Name, format!("the column \"{}\" occurs twice", unmark(name)))
                .with_hint("give one of them another name with AS")
        }
    }
}

fn shown(column: &Column) -> String {
    match &column.relation {
        Some(relation) => format!("{}.{}", relation, unmark(&column.name)),
        None => unmark(&column.name).to_owned(),
    }
}

fn field_not_found(field: &Column, valid: &[Column], spelling: &Spelling) -> Error {
    let mark = format!("{}{EXACT}", fold(&field.name));
    let same_table =
        |column: &&Column| field.relation.is_none() || column.relation == field.relation;
    let variants: Vec<String> = valid
        .iter()
        .filter(same_table)
        .filter(|column| column.name.starts_with(&mark))
        .map(|column| format!("\"{}\"", unmark(&column.name)))
        .collect();
    if !variants.is_empty() {
        let message = format!("the column \"{}\" is ambiguous", shown(field));
        let hint = format!("candidates are {}: write one in double quotes", variants.join(", "));
        return Error::new(ErrorKind::Name, message).with_hint(hint);
    }
    if let Some(relation) = &field.relation
        && !valid.is_empty()
        && !valid.iter().any(|column| column.relation.as_ref() == Some(relation))
    {
        let message = format!("there is no table \"{relation}\" in this part of the query");
        let tables: Vec<&str> =
            valid.iter().filter_map(|column| column.relation.as_ref()).map(|r| r.table()).collect();
        let error = Error::new(ErrorKind::Name, message);
        return match closest(relation.table(), tables.iter().copied()) {
            Some(table) => error.with_hint(format!("did you mean \"{table}\"?")),
            None => error,
        };
    }
    let error = Error::new(ErrorKind::Name, format!("there is no column \"{}\"", shown(field)));
    let mut names: Vec<&str> =
        valid.iter().map(|c| spelling.of(&c.name).unwrap_or(unmark(&c.name))).collect();
    match closest(&field.name, names.iter().copied()) {
        Some(name) => error.with_hint(format!("did you mean \"{name}\"?")),
        None if names.is_empty() => error,
        None => {
            names.dedup();
            let more = if names.len() > 10 { ", ..." } else { "" };
            names.truncate(10);
            error.with_hint(format!("columns are {}{more}", names.join(", ")))
        }
    }
}

/// The most similar of some names, if one is similar enough to be meant.
pub fn closest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let name = fold(name);
    // Every letter is like every other one.
    let limit = match name.chars().count() {
        1 => 0,
        length => (length / 3).max(1),
    };
    names
        .map(|candidate| (edit_distance(&name, &fold(candidate)), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &y) in b.iter().enumerate() {
            let change = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}

fn plan_error(message: &str) -> Error {
    if let Some(error) = places::mismatch(message) {
        return error;
    }
    let text = plain(message);
    if let Some(error) = wording::reworded(&text) {
        return error;
    }
    if let Some((_, rest)) = text.split_once(" in GROUP BY or an aggregate function: While")
        && let Some(column) = rest.split('"').nth(1)
    {
        let name = unmark(column.rsplit('.').next().unwrap_or(column));
        let message =
            format!("column \"{name}\" must appear in GROUP BY or in an aggregate function");
        return Error::new(ErrorKind::Name, message);
    }
    if let Some(rest) = text.strip_prefix("Invalid function '") {
        let name = rest.split('\'').next().unwrap_or_default();
        if super::functions::is_window(name) {
            let message = format!("{name}() is a window function: it needs OVER");
            let hint = format!("write {name}() OVER (ORDER BY ...)");
            return Error::new(ErrorKind::Name, message).with_hint(hint);
        }
        let error = Error::new(ErrorKind::Name, format!("there is no function {name}()"));
        let names = super::functions::all_names();
        return match closest(name, names.iter().map(String::as_str)) {
            Some(close) => error.with_hint(format!("did you mean {close}()?")),
            None => error,
        };
    }
    let kind = if text.contains("type") || text.contains("needs") || text.contains("coerce") {
        ErrorKind::Type
    } else {
        ErrorKind::Name
    };
    Error::new(kind, text)
}

/// Drops "Parser error: " and the like.
fn strip_kind(message: &str) -> String {
    let text = plain(message);
    match text.split_once(": ") {
        Some((kind, rest)) if kind.to_ascii_lowercase().ends_with("error") => rest.to_owned(),
        _ => text,
    }
}

/// A message without backtrace, advice about the library and its name.
fn plain(message: &str) -> String {
    let mut text = message;
    for end in [
        "\n\nbacktrace:",
        ".\nThis issue was likely caused by a bug",
        "\nThis issue was likely",
        "\nThis was likely caused",
    ] {
        text = text.split(end).next().unwrap_or(text);
    }
    let mut text = text.trim().trim_end_matches('.').to_owned();
    for prefix in [
        "Error during planning: ",
        "This feature is not implemented: ",
        "Execution error: ",
        "Schema error: ",
        "Arrow error: ",
        "Internal error: ",
    ] {
        while let Some(rest) = text.strip_prefix(prefix) {
            text = rest.to_owned();
        }
    }
    text.replace("DataFusion", "the planner")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_edit_distance_and_closest() {
        assert_eq!(edit_distance("kitten", "sitting"), 3);
        assert_eq!(edit_distance("", "abc"), 3);
        assert_eq!(closest("userd", ["userid", "url"].into_iter()), Some("userid"));
        assert_eq!(closest("abc", ["xyz"].into_iter()), None);
    }

    #[test]
    fn test_messages_are_plain() {
        let inner = DataFusionError::Plan("Error during planning: bad\n\nbacktrace: x".into());
        let error = from_datafusion(&inner.context("type_coercion"));
        assert_eq!(error.message, "bad");
    }
}
