//! The place of an error that a row raised, or that a relation, a column of a change or a type is missing: the only
//! operation or name of the statement that can have raised it.
//!
//! Invariant: a place is given only where one operation fits the message, and never in a statement that reads views, whose
//! operations are not in the text.

use std::ops::ControlFlow;

use datafusion_sql::sqlparser::ast::{
    AlterColumnOperation, AlterTableOperation, AssignmentTarget, BinaryOperator, ColumnDef,
    DataType, Expr, Ident, ObjectName, Spanned, Statement, TypedString, UnaryOperator, Value,
    ValueWithSpan, Visitor,
};

use crate::{
    error::{Error, ErrorKind, Span},
    planner::functions::is_known,
    sql::{names::fold, parse::place, visit::Walk},
};

/// Most operations of a kind that are worth remembering: two do not tell which one it was.
const ENOUGH: usize = 2;

/// A folded name, and where it stands.
type Named = (String, Option<Span>);

/// The operations of a statement that rows can make fail, and the names that may be of nothing.
#[derive(Debug, Default)]
pub struct Raising {
    divisions: Vec<Span>,
    /// The operator's sign, and where.
    arithmetic: Vec<(&'static str, Span)>,
    casts: Vec<Span>,
    /// Comparisons, and the number of the statement if one is with such.
    compared: Vec<(Option<String>, Span)>,
    /// Whether rules of a table or a macro's text may have raised it, too.
    hidden: bool,
    /// Texts of the statement, and where.
    texts: Vec<(String, Span)>,
    /// Relations, without their schemas.
    relations: Vec<Named>,
    /// Columns that the statement changes.
    columns: Vec<Named>,
    /// Types, at the value or the column of the type.
    types: Vec<Named>,
}

impl Raising {
    /// The operations of a statement.
    pub fn of(statement: &Statement) -> Self {
        let mut raising = Self::default();
        let _ = statement.walk(&mut raising);
        raising
    }

    /// The error with its place. `is_view` tells of a relation's folded name whether it is a view.
    #[must_use]
    pub fn placed(&self, error: Error, is_view: impl Fn(&str) -> bool) -> Error {
        if error.span.is_some() {
            return error;
        }
        if let Some((named, missing)) = self.missing(&error.message) {
            let missing = fold(missing);
            let same = named.iter().filter(|(name, _)| *name == missing);
            let span = only(same.filter_map(|(_, span)| span.as_ref()));
            return error.or_span(span);
        }
        if error.kind != ErrorKind::Value || self.relations.iter().any(|(name, _)| is_view(name)) {
            return error;
        }
        if self.hidden {
            let span = self.literal(&error.message);
            return error.or_span(span);
        }
        match (self.span(&error.message), self.comparison(&error.message)) {
            (None, Some((number, span))) => {
                let hint = format!(
                    "a text is compared with the number {number}: compare it with '{number}', or TRY_CAST it"
                );
                error.with_hint(hint).or_span(Some(span))
            }
            (span, _) => error.or_span(span),
        }
    }

    /// What a message says is not there, and where such things are named.
    fn missing<'a>(&self, message: &'a str) -> Option<(&[Named], &'a str)> {
        if let Some(ty) = message.strip_prefix("there is no type ") {
            return Some((&self.types, ty));
        }
        let known = ["there is no table '", "there is no view '"];
        if let Some(name) = known.iter().find_map(|start| message.strip_prefix(start)) {
            return Some((&self.relations, name.trim_end_matches('\'')));
        }
        let (_, name) = message.strip_prefix("the table '")?.split_once("' has no column '")?;
        Some((&self.columns, name.trim_end_matches('\'')))
    }

    fn changed(&mut self, column: &ObjectName) {
        if let Some(ident) = column.0.last().and_then(|part| part.as_ident()) {
            self.changed_name(ident);
        }
    }

    fn changed_name(&mut self, column: &Ident) {
        self.columns.push((fold(&column.value), place(column.span)));
    }

    /// The columns that an operation of ALTER TABLE names.
    fn altered(&mut self, operation: &AlterTableOperation) {
        match operation {
            AlterTableOperation::DropColumn { column_names, .. } => {
                column_names.iter().for_each(|name| self.changed_name(name));
            }
            AlterTableOperation::RenameColumn { old_column_name: name, .. } => {
                self.changed_name(name);
            }
            AlterTableOperation::AlterColumn { column_name, op } => {
                self.changed_name(column_name);
                if let AlterColumnOperation::SetDataType { data_type, .. } = op {
                    self.types.push((fold(&data_type.to_string()), place(column_name.span)));
                }
            }
            AlterTableOperation::AddColumn { column_def: column, .. } => {
                self.types.push((fold(&column.data_type.to_string()), place(column.name.span)));
            }
            _ => {}
        }
    }

    /// The only comparison with a number, where nothing else can have converted a text, and the number.
    fn comparison(&self, message: &str) -> Option<(&str, Span)> {
        let [(Some(number), span)] = self.compared.as_slice() else { return None };
        let found = message.starts_with("could not convert '") && self.casts.is_empty();
        found.then_some((number, *span))
    }

    /// The only text of the statement that could not be converted.
    fn literal(&self, message: &str) -> Option<Span> {
        let text = message.strip_prefix("could not convert '")?.split("' to ").next()?;
        let same = self.texts.iter().filter(|(known, _)| known == text);
        only(same.map(|(_, span)| span))
    }

    fn span(&self, message: &str) -> Option<Span> {
        if message.starts_with("division by zero") {
            return only(self.divisions.iter());
        }
        if let Some(literal) = self.literal(message) {
            return Some(literal);
        }
        if message.starts_with("could not convert ") {
            return only(self.casts.iter());
        }
        let operation = message.strip_prefix("overflow: ")?.split(" does not fit").next()?;
        let signed = |(sign, _): &&(&str, Span)| match *sign {
            "-" if operation.starts_with("-(") => true,
            sign => operation.contains(&format!(" {sign} ")),
        };
        only(self.arithmetic.iter().filter(signed).map(|(_, span)| span))
    }
}

/// The span, if it is the only one.
fn only<'a>(mut spans: impl Iterator<Item = &'a Span>) -> Option<Span> {
    match (spans.next(), spans.next()) {
        (Some(span), None) => Some(*span),
        _ => None,
    }
}

/// A number as it is written.
fn number(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Value(ValueWithSpan { value: Value::Number(digits, _), .. }) => Some(digits),
        _ => None,
    }
}

impl Visitor for Raising {
    type Break = ();

    fn pre_visit_statement(&mut self, statement: &Statement) -> ControlFlow<()> {
        self.hidden |= matches!(
            statement,
            Statement::Insert(_)
                | Statement::Update(_)
                | Statement::Merge(_)
                | Statement::AlterTable(_)
        );
        match statement {
            Statement::Drop { names, .. } => {
                return names.iter().try_for_each(|name| self.pre_visit_relation(name));
            }
            Statement::Insert(insert) => insert.columns.iter().for_each(|name| self.changed(name)),
            Statement::Update(update) => {
                for assignment in &update.assignments {
                    if let AssignmentTarget::ColumnName(name) = &assignment.target {
                        self.changed(name);
                    }
                }
            }
            Statement::AlterTable(alter) => {
                alter.operations.iter().for_each(|operation| self.altered(operation));
            }
            Statement::CreateTable(create) => {
                let ty = |column: &ColumnDef| {
                    (fold(&column.data_type.to_string()), place(column.name.span))
                };
                self.types.extend(create.columns.iter().map(ty));
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
        let name = relation.0.last().and_then(|part| part.as_ident());
        let name = name.map(|name| fold(&name.value));
        self.relations.extend(name.map(|name| (name, place(relation.span()))));
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        let Some(span) = place(expr.span()) else { return ControlFlow::Continue(()) };
        match expr {
            Expr::BinaryOp { op, left, right } => {
                let sign = match op {
                    BinaryOperator::Divide
                    | BinaryOperator::DuckIntegerDivide
                    | BinaryOperator::Modulo => {
                        self.divisions.push(span);
                        "/"
                    }
                    BinaryOperator::Plus => "+",
                    BinaryOperator::Minus => "-",
                    BinaryOperator::Multiply => "*",
                    BinaryOperator::Eq
                    | BinaryOperator::NotEq
                    | BinaryOperator::Lt
                    | BinaryOperator::LtEq
                    | BinaryOperator::Gt
                    | BinaryOperator::GtEq => {
                        if self.compared.len() < ENOUGH {
                            let number = number(left).or(number(right));
                            self.compared.push((number.map(str::to_owned), span));
                        }
                        return ControlFlow::Continue(());
                    }
                    _ => return ControlFlow::Continue(()),
                };
                if self.arithmetic.iter().filter(|(known, _)| *known == sign).count() < ENOUGH {
                    self.arithmetic.push((sign, span));
                }
            }
            Expr::UnaryOp { op: UnaryOperator::Minus, .. } => self.arithmetic.push(("-", span)),
            Expr::Function(function) => match fold(&function.name.to_string()).as_str() {
                "mod" => self.divisions.push(span),
                name => self.hidden |= !is_known(name),
            },
            Expr::Cast { data_type, .. }
                if !matches!(data_type, DataType::Varchar(None) | DataType::Text) =>
            {
                self.casts.push(span);
                if let DataType::Custom(..) = data_type {
                    self.types.push((fold(&data_type.to_string()), Some(span)));
                }
            }
            Expr::Value(value) | Expr::TypedString(TypedString { value, .. })
                if self.texts.len() < 1_000 =>
            {
                if let Value::SingleQuotedString(text) = &value.value {
                    self.texts.push((text.clone(), span));
                }
            }
            _ => {}
        }
        self.divisions.truncate(ENOUGH);
        self.casts.truncate(ENOUGH);
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::parse;

    /// The text of the statement at the place that an error gets.
    fn placed(sql: &str, message: &str) -> Option<String> {
        let statement = parse(sql).unwrap().remove(0).statement;
        let error = Error::new(ErrorKind::Value, message);
        let span = Raising::of(&statement).placed(error, |name| name == "v").span?;
        Some(sql[span.column - 1..span.end_column - 1].to_owned())
    }

    #[test]
    fn test_places_of_the_only_operation_that_fits() {
        let zero = "division by zero";
        assert_eq!(placed("SELECT a + 1, a / b FROM t", zero).as_deref(), Some("a / b"));
        assert_eq!(placed("SELECT a % c, a / b FROM t", zero), None);
        assert_eq!(placed("SELECT a / b FROM v", zero), None);
        let text = "could not convert 'x' to INTEGER";
        assert_eq!(placed("SELECT 1 WHERE a = 'x' AND b::INT > 1", text).as_deref(), Some("'x'"));
        assert_eq!(placed("SELECT b::INT FROM t", text).as_deref(), Some("b"));
        assert_eq!(placed("SELECT b::INT, c::DATE FROM t", text), None);
        let overflow = "overflow: 1 + 2 does not fit BIGINT; cast an operand";
        assert_eq!(placed("SELECT a * b, a + b FROM t", overflow).as_deref(), Some("a + b"));
        assert_eq!(placed("SELECT b - a, a * b FROM t", overflow), None);
        let text = "could not convert 'EWR' to BIGINT";
        assert_eq!(placed("SELECT 1 FROM t WHERE o = 5", text).as_deref(), Some("o = 5"));
        assert_eq!(placed("SELECT o = 5, p < 6 FROM t", text), None);
        assert_eq!(placed("SELECT o::INT = 5 FROM t", text).as_deref(), Some("o"));
        assert_eq!(placed("SELECT 1 FROM u JOIN v2 ON s = x WHERE n = 5", text), None);
        assert_eq!(placed("SELECT m(s) FROM u WHERE n = 5", text), None);
        assert_eq!(placed("INSERT INTO i SELECT s FROM u WHERE n = 5", text), None);
        assert_eq!(placed("INSERT INTO c SELECT n / 5 FROM u", zero), None);
        let day = "could not convert '2013-02-30' to DATE";
        assert_eq!(placed("SELECT DATE '2013-02-30'", day).as_deref(), Some("'2013-02-30'"));
        let missing = "there is no table 'x'";
        assert_eq!(placed("DROP TABLE a, X", missing).as_deref(), Some("X"));
        assert_eq!(placed("INSERT INTO x VALUES (1)", missing).as_deref(), Some("x"));
        let missing = "there is no view 'x'";
        assert_eq!(placed("DROP VIEW x", missing).as_deref(), Some("x"));
        let missing = "the table 't' has no column 'nope'";
        assert_eq!(placed("INSERT INTO t(a, nope) VALUES (1)", missing).as_deref(), Some("nope"));
        assert_eq!(placed("UPDATE t SET nope = nope + 1", missing).as_deref(), Some("nope"));
        assert_eq!(placed("ALTER TABLE t DROP COLUMN Nope", missing).as_deref(), Some("Nope"));
        let missing = "there is no type INTEGR";
        assert_eq!(placed("SELECT x::integr, 1::INTEGER", missing).as_deref(), Some("x"));
        assert_eq!(placed("CREATE TABLE t (a integr)", missing).as_deref(), Some("a"));
        let negated = "overflow: -(-128) does not fit TINYINT";
        assert_eq!(placed("SELECT -a FROM t", negated).as_deref(), Some("a"));
    }
}
