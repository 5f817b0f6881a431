//! ASOF joins as the planner library carries them: ordinary joins whose whole condition is the argument of one function.
//!
//! Invariant: no condition moves below an ASOF join and none changes its kind, since which right row is the nearest
//! depends on all of them. `lower` moves what may move. Next: `lower/asof.rs`.

use datafusion_common::{Result, tree_node::Transformed};
use datafusion_expr::{Expr, Join, LogicalPlan};
use datafusion_optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

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

/// A rule of the library that does not see ASOF joins.
#[derive(Debug)]
pub struct PastAsof<R>(pub R);

impl<R: OptimizerRule> OptimizerRule for PastAsof<R> {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        let mut below = &plan;
        while let LogicalPlan::Filter(filter) = below {
            below = &filter.input;
        }
        match below {
            LogicalPlan::Join(join) if is_asof(join) => Ok(Transformed::no(plan)),
            _ => self.0.rewrite(plan, config),
        }
    }
}
