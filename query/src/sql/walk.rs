//! Walks over the expressions of a clause, outside of its subqueries: these have names of their own.
//!
//! Invariant: an expression comes after those within it.

use std::ops::ControlFlow;

use datafusion_sql::sqlparser::{
    ast::{Expr, ObjectName, ObjectNamePart, Query, Visit, VisitMut, Visitor, VisitorMut},
    tokenizer::Span,
};

use crate::sql::visit::{Walk, WalkMut};

/// Whether an expression is wanted.
pub fn any(node: &impl Visit, wanted: impl FnMut(&Expr) -> bool) -> bool {
    node.walk(&mut Finder { wanted, depth: 0 }).is_break()
}

/// Calls `change` on every expression.
///
/// # Errors
/// The first that `change` raises.
pub fn change<E>(
    node: &mut impl VisitMut,
    change: impl FnMut(&mut Expr) -> Result<(), E>,
) -> Result<(), E> {
    match node.walk_mut(&mut Changer { change, depth: 0, error: std::marker::PhantomData }) {
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

/// Whether an expression holds a subquery.
pub fn has_query(expr: &Expr) -> bool {
    struct Queries;
    impl Visitor for Queries {
        type Break = ();

        fn pre_visit_query(&mut self, _query: &Query) -> ControlFlow<()> {
            ControlFlow::Break(())
        }
    }
    expr.walk(&mut Queries).is_break()
}

/// Forgets where the names of a text stood: its places are none of the statement that it becomes part of.
pub fn forget_places(node: &mut impl VisitMut) {
    struct Forget;
    impl VisitorMut for Forget {
        type Break = ();

        fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            match expr {
                Expr::Identifier(name) => name.span = Span::empty(),
                Expr::CompoundIdentifier(names) => {
                    names.iter_mut().for_each(|name| name.span = Span::empty());
                }
                Expr::Value(value) => value.span = Span::empty(),
                Expr::Function(function) => forget(&mut function.name),
                _ => {}
            }
            ControlFlow::Continue(())
        }

        fn pre_visit_relation(&mut self, name: &mut ObjectName) -> ControlFlow<()> {
            forget(name);
            ControlFlow::Continue(())
        }
    }
    fn forget(name: &mut ObjectName) {
        for part in &mut name.0 {
            if let ObjectNamePart::Identifier(name) = part {
                name.span = Span::empty();
            }
        }
    }
    let _ = node.walk_mut(&mut Forget);
}
