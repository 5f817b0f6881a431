//! ASOF joins as the planner library carries them: ordinary joins whose whole condition is the argument of one function.
//!
//! Invariant: no condition moves below an ASOF join and none changes its kind, since which right row is the nearest
//! depends on all of them (`guarded.rs`). `lower` moves what may move. Next: `lower/asof.rs`.

use datafusion_expr::{Expr, Join};

use crate::planner::ASOF;

/// The condition of an ASOF join, if the condition of a join is one.
pub fn condition_of_asof(condition: &Expr) -> Option<&Expr> {
    match condition {
        Expr::Alias(alias) => condition_of_asof(&alias.expr),
        Expr::ScalarFunction(call) if call.name() == ASOF => call.args.first(),
        _ => None,
    }
}

/// Whether a join is an ASOF join.
pub fn is_asof(join: &Join) -> bool {
    join.filter.as_ref().is_some_and(|filter| condition_of_asof(filter).is_some())
}
