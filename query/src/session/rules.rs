//! Rules of tables: NOT NULL, DEFAULT, CHECK, PRIMARY KEY and UNIQUE, as they are declared and as they are kept.
//!
//! Invariants: a rule that is not kept is refused by name; the text of a default or a condition was planned before it is
//! kept, reads no other table and calls no macro: what a macro stands for is kept in its place. Keys are enforced below (`stoadb_storage::TableRules`), conditions here, over the new
//! rows before they are published.
//! Next: `create.rs`, `insert.rs`, `alter.rs`.

use std::{ops::ControlFlow, sync::Arc};

use stoadb_storage::{
    ColumnDef, LogicalType, Scalar, Schema, TableVersion,
    catalog::name::split_name,
    table::{CheckRule, KeyRule, Segment, TableRules},
};

use crate::{
    error::{Error, ErrorKind, Result},
    session::{
        change::{Target, query},
        create::{check_names, declared_types},
        insert::column_of,
        macros,
        run::Session,
    },
    sql::{
        self,
        ast::{
            CheckConstraint, ColumnDef as AstColumn, ColumnOption, Expr, Ident, IndexColumn,
            ObjectName, OneOrManyWithParens, SelectItem, SetExpr, Statement, TableConstraint,
            UnaryOperator, VisitorMut,
        },
        names::fold,
        rewrite::select_all,
        visit::WalkMut,
    },
};

/// The columns and the rules of a CREATE TABLE.
pub(crate) fn declared(
    session: &Session<'_>,
    table: &str,
    columns: &[AstColumn],
    constraints: &[TableConstraint],
) -> Result<(Schema, TableRules)> {
    let mut schema = declared_types(session, columns)?;
    check_names(&schema)?;
    let mut rules = TableRules::default();
    for (ordinal, declared) in columns.iter().enumerate() {
        for option in &declared.options {
            let name = option.name.as_ref();
            let own = [ordinal];
            match &option.option {
                ColumnOption::NotNull => schema.columns[ordinal].nullable = false,
                ColumnOption::Null => schema.columns[ordinal].nullable = true,
                ColumnOption::Default(value) => {
                    let text = default(session, &schema.columns[ordinal], value)?;
                    rules.defaults.insert(ordinal, text);
                }
                ColumnOption::Check(check) => {
                    rules.checks.push(condition(session, &schema, table, name, &check.expr)?);
                }
                ColumnOption::PrimaryKey(_) => add_key(&mut schema, &mut rules, name, &own, true)?,
                ColumnOption::Unique(_) => add_key(&mut schema, &mut rules, name, &own, false)?,
                ColumnOption::ForeignKey(_) => return Err(foreign_key()),
                ColumnOption::Generated { .. } => {
                    return Err(Error::unsupported("generated columns")
                        .with_hint("a view can compute the column"));
                }
                other => {
                    let name = &schema.columns[ordinal].name;
                    return Err(Error::unsupported(format!("{other} of the column '{name}'")));
                }
            }
        }
    }
    for constraint in constraints {
        add(session, &mut schema, &mut rules, table, constraint)?;
    }
    check_conditions(session, table, &schema, &rules)?;
    Ok((schema, rules))
}

/// Adds a constraint of a table.
pub(crate) fn add(
    session: &Session<'_>,
    schema: &mut Schema,
    rules: &mut TableRules,
    table: &str,
    constraint: &TableConstraint,
) -> Result<()> {
    let columns = |columns: &[IndexColumn]| -> Result<Vec<usize>> {
        let column = |column: &IndexColumn| match &column.column.expr {
            Expr::Identifier(name) => {
                column_of(&ObjectName::from(vec![name.clone()]), schema, table)
            }
            other => Err(Error::unsupported(format!("a key over {other}"))),
        };
        columns.iter().map(column).collect()
    };
    match constraint {
        TableConstraint::PrimaryKey(key) => {
            let columns = columns(&key.columns)?;
            add_key(schema, rules, key.name.as_ref(), &columns, true)
        }
        TableConstraint::Unique(key) => {
            let columns = columns(&key.columns)?;
            add_key(schema, rules, key.name.as_ref(), &columns, false)
        }
        TableConstraint::Check(CheckConstraint { name, expr, enforced: None }) => {
            rules.checks.push(condition(session, schema, table, name.as_ref(), expr)?);
            Ok(())
        }
        TableConstraint::ForeignKey(_) => Err(foreign_key()),
        other => Err(Error::unsupported(format!("the constraint {other}"))),
    }
}

/// A condition, whose columns are named without the table, which may get another name, and whose macros are what they stand
/// for, whatever becomes of them.
fn condition(
    session: &Session<'_>,
    schema: &Schema,
    table: &str,
    name: Option<&Ident>,
    expr: &Expr,
) -> Result<CheckRule> {
    let mut expr = expr.clone();
    macros::expand_kept(&session.names, &mut expr)?;
    let is_column = |name: &Ident| {
        schema.columns.iter().any(|column| column.name.eq_ignore_ascii_case(&name.value))
    };
    let table = split_name(table).1;
    sql::walk::change(&mut expr, |expr| {
        if let Expr::CompoundIdentifier(names) = expr
            && let [of, column, ..] = names.as_slice()
            && of.value.eq_ignore_ascii_case(table)
            && is_column(column)
        {
            names.remove(0);
            if names.len() == 1 {
                *expr = Expr::Identifier(names.remove(0));
            }
        }
        Ok::<(), Error>(())
    })?;
    Ok(CheckRule { name: named(name), sql: expr.to_string() })
}

fn named(name: Option<&Ident>) -> Option<String> {
    name.map(|name| name.value.clone())
}

fn foreign_key() -> Error {
    Error::unsupported("FOREIGN KEY and REFERENCES")
}

fn add_key(
    schema: &mut Schema,
    rules: &mut TableRules,
    name: Option<&Ident>,
    columns: &[usize],
    primary: bool,
) -> Result<()> {
    if primary && rules.keys.iter().any(|key| key.primary) {
        return Err(Error::new(ErrorKind::Catalog, "a table has one PRIMARY KEY at most"));
    }
    for (place, &column) in columns.iter().enumerate() {
        let ColumnDef { name, ty, .. } = &schema.columns[column];
        if columns[..place].contains(&column) {
            let message = format!("the column '{name}' is twice in a key");
            return Err(Error::new(ErrorKind::Catalog, message));
        }
        if ty.is_nested() || *ty == LogicalType::Interval {
            let what = format!("a key over the column '{name}' of type {ty}");
            return Err(Error::unsupported(what));
        }
    }
    if primary {
        columns.iter().for_each(|&column| schema.columns[column].nullable = false);
    }
    rules.keys.push(KeyRule { name: named(name), columns: columns.to_vec(), primary });
    Ok(())
}

/// The text of a column's default, after it was planned as one.
pub(crate) fn default(session: &Session<'_>, column: &ColumnDef, value: &Expr) -> Result<String> {
    let mut value = value.clone();
    macros::expand_kept(&session.names, &mut value)?;
    while let Expr::Nested(inner) = value {
        value = *inner;
    }
    let text = value.to_string();
    if sql::walk::has_query(&value) {
        return Err(Error::unsupported(format!("a subquery in DEFAULT {text}")));
    }
    let planned = format!("VALUES (CAST(({text}) AS {}))", column.ty);
    let parsed = sql::parse(&planned)?;
    let Some(parsed) = parsed.first() else { return Err(Error::internal("no query")) };
    session.prepare(&parsed.statement).map_err(|error| {
        let message = format!("DEFAULT {text} of the column '{}': {}", column.name, error.message);
        Error { message, span: None, ..error }
    })?;
    Ok(text)
}

/// The default of a column, or NULL.
pub(crate) fn default_of(rules: &TableRules, column: usize) -> Result<Expr> {
    expression(rules.defaults.get(&column).map_or("NULL", String::as_str))
}

/// An expression's text as a syntax tree without places, in parentheses.
pub(crate) fn expression(text: &str) -> Result<Expr> {
    let parsed = sql::parse(&format!("SELECT ({text})"))?.pop();
    let lost = || Error::internal(format!("'{text}' is no expression"));
    let Some(Statement::Query(query)) = parsed.map(|parsed| parsed.statement) else {
        return Err(lost());
    };
    let SetExpr::Select(select) = *query.body else { return Err(lost()) };
    match select.projection.into_iter().next() {
        Some(SelectItem::UnnamedExpr(mut expr)) => {
            sql::walk::forget_places(&mut expr);
            Ok(expr)
        }
        _ => Err(lost()),
    }
}

/// Whether the conditions of a table can be asked of its rows.
pub(crate) fn check_conditions(
    session: &Session<'_>,
    table: &str,
    schema: &Schema,
    rules: &TableRules,
) -> Result<()> {
    let empty = Arc::new(TableVersion::new(Arc::new(schema.clone()), &[])?);
    let target = Target::of(table, empty);
    for check in &rules.checks {
        if sql::walk::has_query(&expression(&check.sql)?) {
            return Err(Error::unsupported(format!("a subquery in CHECK ({})", check.sql)));
        }
        let breaking = breaking(&target, check)?;
        session.reading(Arc::clone(&target.table) as Arc<_>).prepare(&breaking).map_err(
            |error| {
                let message = format!("CHECK ({}): {}", check.sql, error.message);
                Error { message, span: None, ..error }
            },
        )?;
    }
    Ok(())
}

/// The query for the rows of a table for which a condition is false.
fn breaking(target: &Target, check: &CheckRule) -> Result<Statement> {
    let mut select = select_all(target.factor());
    let expr = Box::new(expression(&check.sql)?);
    select.selection = Some(Expr::UnaryOp { op: UnaryOperator::Not, expr });
    Ok(query(None, SetExpr::Select(Box::new(select))))
}

/// Asks the conditions of a table of new rows.
///
/// # Errors
/// `Constraint`, with table, condition and row, when one is false.
pub(crate) fn enforce(
    session: &Session<'_>,
    name: &str,
    rules: &TableRules,
    schema: &Arc<Schema>,
    segments: &[Arc<Segment>],
) -> Result<()> {
    if rules.checks.is_empty() || segments.is_empty() {
        return Ok(());
    }
    let rows = Arc::new(TableVersion::new(Arc::clone(schema), segments)?);
    let target = Target::of(name, rows);
    for check in &rules.checks {
        let session = session.reading(Arc::clone(&target.table) as Arc<_>);
        for batch in session.stream(session.prepare(&breaking(&target, check)?)?)? {
            let batch = batch?;
            if batch.num_rows() == 0 {
                continue;
            }
            let columns = schema.columns.iter().zip(batch.columns());
            let shown = columns.map(|(column, values)| {
                Ok(format!("{} = {}", column.name, Scalar::from_array(values.as_ref(), 0)?))
            });
            let row = shown.collect::<Result<Vec<_>>>()?.join(", ");
            let called =
                check.name.as_ref().map_or_else(String::new, |n| format!("CONSTRAINT {n} "));
            let (table, sql) = (&target.alias.value, &check.sql);
            let message = format!(
                "the table '{table}' would have a row that breaks {called}CHECK ({sql}): {row}"
            );
            return Err(Error::new(ErrorKind::Constraint, message));
        }
    }
    Ok(())
}

/// Whether a text of an expression names a column.
pub(crate) fn names_column(text: &str, column: &str) -> Result<bool> {
    let mut columns = Columns::new(column, None);
    let _ = expression(text)?.walk_mut(&mut columns);
    Ok(columns.found)
}

/// The same with the column renamed.
pub(crate) fn with_column_renamed(text: &str, column: &str, new: &str) -> Result<String> {
    let mut expr = expression(text)?;
    let _ = expr.walk_mut(&mut Columns::new(column, Some(new)));
    match expr {
        Expr::Nested(inner) => Ok(inner.to_string()),
        other => Ok(other.to_string()),
    }
}

/// Finds a column in a condition, and gives it another name if there is one. The parameters of lambdas and the fields
/// of structs are none, whatever they are called.
struct Columns<'a> {
    column: &'a str,
    new: Option<&'a str>,
    found: bool,
    /// Parameters of the lambdas around.
    parameters: Vec<Vec<String>>,
}

impl<'a> Columns<'a> {
    fn new(column: &'a str, new: Option<&'a str>) -> Self {
        Self { column, new, found: false, parameters: Vec::new() }
    }

    fn see(&mut self, name: &mut Ident) {
        let folded = fold(&name.value);
        let hidden = self.parameters.iter().flatten().any(|parameter| *parameter == folded);
        if hidden || folded != fold(self.column) {
            return;
        }
        self.found = true;
        if let Some(new) = self.new {
            *name = Ident::with_quote('"', new);
        }
    }
}

impl VisitorMut for Columns<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::Identifier(name) => self.see(name),
            Expr::CompoundIdentifier(names) => {
                names.first_mut().into_iter().for_each(|n| self.see(n))
            }
            Expr::Lambda(lambda) => {
                let names = match &lambda.params {
                    OneOrManyWithParens::One(one) => std::slice::from_ref(one),
                    OneOrManyWithParens::Many(many) => many.as_slice(),
                };
                self.parameters.push(names.iter().map(|name| fold(&name.name.value)).collect());
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if matches!(expr, Expr::Lambda(_)) {
            self.parameters.pop();
        }
        ControlFlow::Continue(())
    }
}
