//! A mark at the end of every GROUP BY, for the planner library adds grouping columns that it takes for determined.
//!
//! The mark is a call that no column is a name of: what is grouped by it has no key that a query around it could see, and
//! what stands behind it was not written. `planner/rules/unnested.rs` takes it out again.
//! Invariant: a list of expressions has the mark, unless it has ROLLUP and its like or none at all.

use std::ops::ControlFlow;

use datafusion_sql::sqlparser::ast::{Expr, GroupByExpr, Select, Statement, Value, VisitorMut};

use crate::{
    planner::scalars::SAME,
    sql::{calls::call_of, visit::WalkMut},
};

/// Marks every GROUP BY of a statement.
pub fn mark(statement: &mut Statement) {
    let _ = statement.walk_mut(&mut Marker);
}

struct Marker;

impl VisitorMut for Marker {
    type Break = ();

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        let GroupByExpr::Expressions(groups, modifiers) = &mut select.group_by else {
            return ControlFlow::Continue(());
        };
        let sets =
            |expr: &Expr| matches!(expr, Expr::GroupingSets(_) | Expr::Cube(_) | Expr::Rollup(_));
        if !groups.is_empty() && modifiers.is_empty() && !groups.iter().any(sets) {
            groups.push(call_of(SAME, vec![Expr::value(Value::Null)]));
        }
        ControlFlow::Continue(())
    }
}
