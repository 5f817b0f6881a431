//! Walks over the expressions of a clause, outside of its subqueries: these have names of their own.
//!
//! Invariant: an expression comes after those within it.

use std::ops::ControlFlow;

use datafusion_sql::sqlparser::ast::{Expr, Query, Visit, VisitMut, Visitor, VisitorMut};

/// Whether an expression is wanted.
pub fn any(node: &impl Visit, wanted: impl FnMut(&Expr) -> bool) -> bool {
    node.visit(&mut Finder { wanted, depth: 0 }).is_break()
}

/// Calls `change` on every expression.
///
/// # Errors
/// The first that `change` raises.
pub fn change<E>(
    node: &mut impl VisitMut,
    change: impl FnMut(&mut Expr) -> Result<(), E>,
) -> Result<(), E> {
    match node.visit(&mut Changer { change, depth: 0, error: std::marker::PhantomData }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

/// Puts something else in the place of the bare names for which `meaning` has it.
pub fn replace_names(
    node: &mut impl VisitMut,
    mut meaning: impl FnMut(&datafusion_sql::sqlparser::ast::Ident) -> Option<Expr>,
) {
    let replaced = change(node, |expr| {
        if let Expr::Identifier(ident) = expr
            && let Some(meaning) = meaning(ident)
        {
            *expr = meaning;
        }
        Ok::<(), std::convert::Infallible>(())
    });
    match replaced {
        Ok(()) => {}
        Err(never) => match never {},
    }
}

struct Finder<F> {
    wanted: F,
    depth: usize,
}

impl<F: FnMut(&Expr) -> bool> Visitor for Finder<F> {
    type Break = ();

    fn pre_visit_query(&mut self, _query: &Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        let found = self.depth == 0 && (self.wanted)(expr);
        if found { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

struct Changer<F, E> {
    change: F,
    depth: usize,
    error: std::marker::PhantomData<E>,
}

impl<E, F: FnMut(&mut Expr) -> Result<(), E>> VisitorMut for Changer<F, E> {
    type Break = E;

    fn pre_visit_query(&mut self, _query: &mut Query) -> ControlFlow<E> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<E> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<E> {
        if self.depth > 0 {
            return ControlFlow::Continue(());
        }
        match (self.change)(expr) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}
