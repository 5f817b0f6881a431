//! `SELECT upper(x.s) AS s FROM t x ORDER BY x.s`, `SELECT max(s) AS s FROM t ORDER BY length(max(s))`: keys over a column
//! of the input whose name is also an alias.
//!
//! The planner library does not tell `s` and `x.s` apart beside each other. Such keys become columns of their own below
//! the sort, under names that cannot be typed, and a query around it leaves them out.
//! Invariant: the columns of the query stay. Runs on folded identifiers (`names.rs`), after `using.rs`.

use std::ops::ControlFlow;

use datafusion_common::HashSet;
use datafusion_sql::sqlparser::ast::{
    ExcludeSelectItem, Expr, Ident, ObjectName, OrderByKind, Query, SelectItem, SetExpr, Statement,
    TableAlias, TableFactor, Visitor, VisitorMut, WildcardAdditionalOptions,
};

use crate::{
    planner::functions::is_aggregate,
    sql::{
        names::{EXACT, REPEATED, fold},
        using::probe,
        visit::{Walk, WalkMut},
    },
};

/// Rewrites every query of a statement.
pub fn rewrite(statement: &mut Statement) {
    let _ = statement.walk_mut(&mut Rewriter);
}

struct Rewriter;

impl VisitorMut for Rewriter {
    type Break = ();

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let hidden = hide(query);
        if !hidden.is_empty() {
            let Statement::Query(mut outer) = around(query.clone()) else {
                return ControlFlow::Continue(());
            };
            leave_out(&mut outer, hidden);
            *query = *outer;
        }
        ControlFlow::Continue(())
    }
}

/// Makes columns of the keys that are in danger; gives their names.
fn hide(query: &mut Query) -> Vec<Ident> {
    let mut hidden = Vec::new();
    let (SetExpr::Select(select), Some(order_by)) = (query.body.as_mut(), &mut query.order_by)
    else {
        return hidden;
    };
    let OrderByKind::Expressions(keys) = &mut order_by.kind else { return hidden };
    if select.distinct.is_some() {
        return hidden;
    }
    let alias = |item: &SelectItem| match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(alias.value.clone()),
        _ => None,
    };
    let aliases: HashSet<String> = select.projection.iter().filter_map(alias).collect();
    for (position, key) in keys.iter_mut().enumerate() {
        let mut finder = Finder { aliases: &aliases, depth: 0, aggregates: 0 };
        if key.expr.walk(&mut finder).is_continue() {
            continue;
        }
        let name = Ident::with_quote('"', format!("key{REPEATED}{position}"));
        let expr = std::mem::replace(&mut key.expr, Expr::Identifier(name.clone()));
        select.projection.push(SelectItem::ExprWithAlias { expr, alias: name.clone() });
        hidden.push(name);
    }
    hidden
}

/// `SELECT * FROM (query)`.
fn around(query: Query) -> Statement {
    let name = Ident::with_quote('"', format!("{EXACT}sorted"));
    let alias = TableAlias { explicit: true, name, columns: Vec::new(), at: None };
    let factor = TableFactor::Derived {
        lateral: false,
        subquery: Box::new(query),
        alias: Some(alias),
        sample: None,
    };
    probe(&factor, Vec::new())
}

fn leave_out(query: &mut Query, names: Vec<Ident>) {
    if let SetExpr::Select(select) = query.body.as_mut() {
        let names = names.into_iter().map(|name| ObjectName::from(vec![name])).collect();
        let opt_exclude = Some(ExcludeSelectItem::Multiple(names));
        let options = WildcardAdditionalOptions { opt_exclude, ..Default::default() };
        select.projection = vec![SelectItem::Wildcard(options)];
    }
}

/// Finds a qualified column of an alias's name, or any within an aggregate, outside of subqueries.
struct Finder<'a> {
    aliases: &'a HashSet<String>,
    /// How many subqueries we are in.
    depth: usize,
    /// How many aggregates we are in.
    aggregates: usize,
}

fn aggregates(expr: &Expr) -> bool {
    matches!(expr, Expr::Function(function)
        if function.over.is_none() && is_aggregate(&fold(&function.name.to_string())))
}

impl Visitor for Finder<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _query: &Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        self.aggregates += usize::from(aggregates(expr));
        match expr {
            Expr::Identifier(name)
                if self.depth == 0 && self.aggregates > 0 && self.aliases.contains(&name.value) =>
            {
                ControlFlow::Break(())
            }
            Expr::CompoundIdentifier(parts)
                if self.depth == 0
                    && parts.last().is_some_and(|part| self.aliases.contains(&part.value)) =>
            {
                ControlFlow::Break(())
            }
            _ => ControlFlow::Continue(()),
        }
    }

    fn post_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        self.aggregates -= usize::from(aggregates(expr));
        ControlFlow::Continue(())
    }
}
