//! Casts where the planner library loses them: it names `sum(a)` and `sum(a::DOUBLE)`, or the groups `a` and `a::TEXT`,
//! alike, and then takes one for the other or refuses both.
//!
//! How: in a statement in which that happens every cast stands within as many calls of `coalesce` as its type has a
//! number; of one argument these are the argument, and gone before anything is computed.
//! Invariant: a statement without such a pair is left alone; output names stay what was written.

use std::{
    collections::{HashMap, hash_map::Entry},
    ops::ControlFlow,
};

use datafusion_sql::sqlparser::ast::{
    Expr, GroupByExpr, Ident, Query, Select, SelectItem, Spanned, Statement, Visit, VisitMut,
    Visitor, VisitorMut, visit_expressions, visit_expressions_mut,
};

use crate::{
    planner::functions::is_aggregate,
    sql::{
        calls::call_of,
        friendly::has_columns,
        names::{expression_name, fold},
    },
};

/// Tells apart what differs in casts alone.
pub fn distinguish(statement: &mut Statement) {
    let mut pairs = Pairs::default();
    if Visit::visit(statement, &mut pairs).is_break() {
        let _ = VisitMut::visit(statement, &mut Marker { types: Vec::new() });
    }
}

fn has_cast(expr: &Expr) -> bool {
    visit_expressions(expr, |expr| match expr {
        Expr::Cast { .. } => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    })
    .is_break()
}

/// An expression as the library names it: without casts.
fn without_casts(expr: &Expr) -> String {
    let mut expr = expr.clone();
    let _: ControlFlow<()> = visit_expressions_mut(&mut expr, |expr| {
        while let Expr::Cast { expr: inner, .. } | Expr::Nested(inner) = expr {
            *expr = inner.as_ref().clone();
        }
        ControlFlow::Continue(())
    });
    expr.to_string()
}

fn item(item: &SelectItem) -> Option<&Expr> {
    match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(expr),
        _ => None,
    }
}

/// Finds expressions that differ in casts alone.
#[derive(Default)]
struct Pairs {
    /// For each query that is open: the names without casts, and the first text of each.
    calls: Vec<HashMap<String, String>>,
}

fn clashes(names: &mut HashMap<String, String>, expr: &Expr) -> bool {
    let name = if has_cast(expr) { without_casts(expr) } else { expr.to_string() };
    match names.entry(name) {
        Entry::Occupied(first) => *first.get() != expr.to_string(),
        Entry::Vacant(vacant) => {
            vacant.insert(expr.to_string());
            false
        }
    }
}

impl Visitor for Pairs {
    type Break = ();

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.calls.push(HashMap::new());
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.calls.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        let items: Vec<&Expr> = select.projection.iter().filter_map(item).collect();
        let casts = items.iter().any(|item| has_cast(item));
        let GroupByExpr::Expressions(exprs, _) = &select.group_by else {
            // The groups are items of the list.
            return if casts { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        };
        let mut groups: Vec<&Expr> = Vec::new();
        for expr in exprs {
            match expr {
                Expr::Rollup(sets) | Expr::Cube(sets) | Expr::GroupingSets(sets) => {
                    groups.extend(sets.iter().flatten());
                }
                expr => groups.push(expr),
            }
        }
        let by_name = |expr: &&Expr| matches!(expr, Expr::Value(_) | Expr::Identifier(_));
        if casts && groups.iter().any(by_name) {
            // A position or a name of the list.
            groups.extend(items);
        }
        let mut names = HashMap::new();
        if groups.iter().any(|expr| has_cast(expr))
            && groups.iter().any(|expr| clashes(&mut names, expr))
        {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if let Expr::Function(function) = expr
            && (function.over.is_some() || is_aggregate(&fold(&function.name.to_string())))
            && let Some(names) = self.calls.last_mut()
            && clashes(names, expr)
        {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}

/// Puts casts into calls.
struct Marker {
    /// The types that occur; the first has the number 1.
    types: Vec<String>,
}

impl VisitorMut for Marker {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        for item in &mut select.projection {
            if let SelectItem::UnnamedExpr(expr) = item
                && has_cast(expr)
                && !has_columns(expr)
            {
                let mut alias = Ident::with_quote('"', expression_name(expr));
                alias.span = expr.span();
                *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Cast { data_type, .. } = expr {
            let name = data_type.to_string();
            let number = self.types.iter().position(|known| *known == name).unwrap_or_else(|| {
                self.types.push(name);
                self.types.len() - 1
            });
            for _ in 0..=number {
                *expr = call_of("coalesce", vec![expr.clone()]);
            }
        }
        ControlFlow::Continue(())
    }
}
