//! What a statement may mean that the planner did not understand: `SELECT t FROM t` shows rows as structs, and a derived
//! table uses columns of those before it without LATERAL, or the column of `range(3) t` is called `range`.
//!
//! Invariant: a column, of an outer query too, goes before a table of its name, as such a statement is understood without
//! this. Runs on folded identifiers. Next: `using.rs`, which knows the columns.

use std::ops::ControlFlow;

use datafusion_common::HashSet;
use datafusion_sql::sqlparser::ast::{
    Expr, Ident, OrderByExpr, Select, SelectItem, Statement, TableFactor, Value, VisitorMut,
};

use crate::sql::{
    calls::call_of,
    names::unmark,
    using::{Joined, last},
    visit::WalkMut,
    walk,
};

/// What a statement may mean, the likeliest first; `series` are what stands for functions in FROM, and their names.
pub fn meanings(statement: &Statement, series: &[(String, String)]) -> Vec<Statement> {
    let mut meanings = vec![statement.clone()];
    let mut other = statement.clone();
    if lateral(&mut other) {
        meanings.push(other.clone());
    }
    if columns_of_functions(&mut other, series) {
        meanings.push(other);
    }
    meanings
}

/// Says LATERAL before derived tables behind others; whether there was one.
fn lateral(statement: &mut Statement) -> bool {
    struct Lateral(bool);
    impl Lateral {
        fn mark(&mut self, factor: &mut TableFactor) {
            if let TableFactor::Derived { lateral, .. } = factor {
                self.0 |= !*lateral;
                *lateral = true;
            }
        }
    }
    impl VisitorMut for Lateral {
        type Break = ();

        fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
            for (at, table) in select.from.iter_mut().enumerate() {
                if at > 0 {
                    self.mark(&mut table.relation);
                }
                table.joins.iter_mut().for_each(|join| self.mark(&mut join.relation));
            }
            ControlFlow::Continue(())
        }
    }
    let mut marks = Lateral(false);
    let _ = statement.walk_mut(&mut marks);
    marks.0
}

/// Gives the columns of functions in FROM the functions' names instead of those of their aliases; whether there was one.
fn columns_of_functions(statement: &mut Statement, series: &[(String, String)]) -> bool {
    struct Columns<'a>(&'a [(String, String)], bool);
    impl VisitorMut for Columns<'_> {
        type Break = ();

        fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
            let (alias, function) = match factor {
                TableFactor::Table { name, alias: Some(alias), .. } => {
                    let known = last(name);
                    let found = self.0.iter().find(|(name, _)| *name == known);
                    (alias, found.map(|(_, function)| function.as_str()))
                }
                TableFactor::UNNEST { alias: Some(alias), .. } => (alias, Some("unnest")),
                _ => return ControlFlow::Continue(()),
            };
            if let (Some(function), [column]) = (function, alias.columns.as_mut_slice())
                && column.name.value == alias.name.value
            {
                column.name = Ident::new(function);
                self.1 = true;
            }
            ControlFlow::Continue(())
        }
    }
    let mut columns = Columns(series, false);
    let _ = statement.walk_mut(&mut columns);
    columns.1
}

fn name_of(factor: &TableFactor) -> Option<String> {
    match factor {
        TableFactor::Table { alias: Some(alias), .. }
        | TableFactor::Derived { alias: Some(alias), .. } => Some(alias.name.value.clone()),
        TableFactor::Table { name, .. } => Some(last(name)),
        _ => None,
    }
}

/// The tables of FROM whose names stand alone somewhere.
pub fn named(select: &Select, order_by: &[OrderByExpr]) -> HashSet<String> {
    let joined = select.from.iter().flat_map(|table| {
        std::iter::once(&table.relation).chain(table.joins.iter().map(|join| &join.relation))
    });
    let mut tables: HashSet<String> = joined.filter_map(name_of).collect();
    let mut used = HashSet::new();
    let mut remember = |expr: &Expr| {
        if let Expr::Identifier(ident) = expr {
            used.insert(ident.value.clone());
        }
        false
    };
    walk::any(select, &mut remember);
    order_by.iter().for_each(|key| {
        walk::any(&key.expr, &mut remember);
    });
    tables.retain(|table| used.contains(table));
    tables
}

/// Puts structs of their columns in the place of tables' names.
pub fn replace(
    select: &mut Select,
    order_by: &mut [OrderByExpr],
    all: &Joined,
    tables: &HashSet<String>,
) {
    let of = |ident: &Ident| {
        let table = &ident.value;
        if !tables.contains(table) || all.iter().any(|(name, _)| name == table) {
            return None;
        }
        let mut fields = Vec::new();
        for (name, column) in all {
            let Expr::CompoundIdentifier(parts) = column else { continue };
            if parts.first().is_some_and(|part| part.value == *table) {
                let name = Value::SingleQuotedString(unmark(name).to_owned());
                fields.extend([Expr::Value(name.into()), column.clone()]);
            }
        }
        (!fields.is_empty()).then(|| call_of("named_struct", fields))
    };
    let mut aliases = HashSet::new();
    for item in &mut select.projection {
        match item {
            SelectItem::UnnamedExpr(Expr::Identifier(ident)) => {
                if let Some(expr) = of(ident) {
                    let alias = ident.clone();
                    *item = SelectItem::ExprWithAlias { expr, alias };
                }
            }
            SelectItem::ExprWithAlias { alias, .. } => {
                aliases.insert(alias.value.clone());
            }
            _ => {}
        }
    }
    walk::replace_names(select, of);
    for key in order_by {
        walk::replace_names(&mut key.expr, |ident| {
            if aliases.contains(&ident.value) { None } else { of(ident) }
        });
    }
}
