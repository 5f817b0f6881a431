//! Visitors of syntax trees by reference: the parser's walks over its hundreds of node types are compiled once for all
//! visitors. A copy of them for every visitor made up half of the code that this crate gave to the optimiser.
//!
//! Invariant: nothing else calls the parser's `visit`; clippy.toml forbids it. Next: `walk.rs`, common visitors.

#![expect(clippy::disallowed_methods, reason = "this is the one place that may call them")]

use std::{marker::PhantomData, ops::ControlFlow};

use datafusion_sql::sqlparser::ast::{
    Expr, ObjectName, Query, Select, Statement, TableFactor, ValueWithSpan, Visit, VisitMut,
    Visitor, VisitorMut,
};

/// A tree that visitors can read.
pub trait Walk: Visit {
    /// Calls a visitor for every node.
    fn walk<V: Visitor>(&self, visitor: &mut V) -> ControlFlow<V::Break> {
        let mut keeper = Keeper { visitor, broken: None };
        let done = self.visit(&mut Reader(&mut keeper));
        found(done, keeper.broken)
    }

    /// Calls a function for every expression, before those within it.
    fn walk_expressions<B>(&self, call: impl FnMut(&Expr) -> ControlFlow<B>) -> ControlFlow<B> {
        self.walk(&mut Expressions(call, PhantomData))
    }
}

impl<T: Visit> Walk for T {}

/// A tree that visitors can change.
pub trait WalkMut: VisitMut {
    /// Calls a visitor for every node.
    fn walk_mut<V: VisitorMut>(&mut self, visitor: &mut V) -> ControlFlow<V::Break> {
        let mut keeper = Keeper { visitor, broken: None };
        let done = self.visit(&mut Writer(&mut keeper));
        found(done, keeper.broken)
    }

    /// Calls a function for every expression, after those within it.
    fn walk_expressions_mut<B>(
        &mut self,
        call: impl FnMut(&mut Expr) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        self.walk_mut(&mut Expressions(call, PhantomData))
    }
}

impl<T: VisitMut> WalkMut for T {}

fn found<B>(done: ControlFlow<()>, broken: Option<B>) -> ControlFlow<B> {
    match (done, broken) {
        (ControlFlow::Break(()), Some(broken)) => ControlFlow::Break(broken),
        _ => ControlFlow::Continue(()),
    }
}

struct Expressions<F, B>(F, PhantomData<B>);

impl<B, F: FnMut(&Expr) -> ControlFlow<B>> Visitor for Expressions<F, B> {
    type Break = B;

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<B> {
        (self.0)(expr)
    }
}

impl<B, F: FnMut(&mut Expr) -> ControlFlow<B>> VisitorMut for Expressions<F, B> {
    type Break = B;

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<B> {
        (self.0)(expr)
    }
}

/// The visitor that the parser sees when a tree is read.
struct Reader<'a>(&'a mut dyn Visitor<Break = ()>);

/// The same when a tree is changed.
struct Writer<'a>(&'a mut dyn VisitorMut<Break = ()>);

/// Keeps what a visitor breaks off with.
struct Keeper<'a, V, B> {
    visitor: &'a mut V,
    broken: Option<B>,
}

impl<V, B> Keeper<'_, V, B> {
    fn keep(&mut self, flow: ControlFlow<B>) -> ControlFlow<()> {
        flow.map_break(|broken| self.broken = Some(broken))
    }
}

/// Methods that hand their node on to another visitor's.
macro_rules! forward {
    ($to:ident, $($method:ident($node:ty)),* $(,)?) => {
        $(fn $method(&mut self, node: $node) -> ControlFlow<()> {
            forward!(@$to self, $method, node)
        })*
    };
    (@visitor $self:ident, $method:ident, $node:ident) => { $self.0.$method($node) };
    (@keeper $self:ident, $method:ident, $node:ident) => {{
        let flow = $self.visitor.$method($node);
        $self.keep(flow)
    }};
}

macro_rules! forward_all {
    ($to:ident, $($reference:tt)+) => {
        forward! {
            $to,
            pre_visit_query($($reference)+ Query),
            post_visit_query($($reference)+ Query),
            pre_visit_select($($reference)+ Select),
            post_visit_select($($reference)+ Select),
            pre_visit_relation($($reference)+ ObjectName),
            post_visit_relation($($reference)+ ObjectName),
            pre_visit_table_factor($($reference)+ TableFactor),
            post_visit_table_factor($($reference)+ TableFactor),
            pre_visit_expr($($reference)+ Expr),
            post_visit_expr($($reference)+ Expr),
            pre_visit_statement($($reference)+ Statement),
            post_visit_statement($($reference)+ Statement),
            pre_visit_value($($reference)+ ValueWithSpan),
            post_visit_value($($reference)+ ValueWithSpan),
        }
    };
}

impl Visitor for Reader<'_> {
    type Break = ();
    forward_all!(visitor, &);
}

impl VisitorMut for Writer<'_> {
    type Break = ();
    forward_all!(visitor, &mut);
}

impl<V: Visitor> Visitor for Keeper<'_, V, V::Break> {
    type Break = ();
    forward_all!(keeper, &);
}

impl<V: VisitorMut> VisitorMut for Keeper<'_, V, V::Break> {
    type Break = ();
    forward_all!(keeper, &mut);
}
