//! Rules of the library within bounds: what they may not do to a plan, at the place where they would.
//!
//! Invariants: a node keeps its columns, since those above it name them by place; a total over all rows stays one row,
//! whatever condition stands above it; ASOF joins stay as they are (`asof.rs`).

use std::sync::Arc;

use datafusion_common::{
    Column, Result,
    tree_node::{Transformed, TransformedResult},
};
use datafusion_expr::{
    Expr, Filter, LogicalPlan, Projection,
    utils::{conjunction, split_conjunction_owned},
};
use datafusion_optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

use super::asof::is_asof;

/// A rule, and how it is applied.
#[derive(Debug)]
pub struct Guarded<R> {
    rule: R,
    rewrite: fn(&R, LogicalPlan, &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>>,
}

impl<R: OptimizerRule> OptimizerRule for Guarded<R> {
    fn name(&self) -> &str {
        self.rule.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.rule.apply_order()
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        (self.rewrite)(&self.rule, plan, config)
    }
}

/// A rule that leaves ORDER BY alone: the library drops keys that it takes for determined by others, also where a join has
/// repeated the rows that they were unique in.
pub fn keeping_order<R: OptimizerRule>(rule: R) -> Guarded<R> {
    let rewrite = |rule: &R, plan: LogicalPlan, config: &dyn OptimizerConfig| match plan {
        LogicalPlan::Sort(_) => Ok(Transformed::no(plan)),
        plan => rule.rewrite(plan, config),
    };
    Guarded { rule, rewrite }
}

/// A rule that leaves helper columns behind: they are projected away.
pub fn keeping_columns<R: OptimizerRule>(rule: R) -> Guarded<R> {
    let rewrite = |rule: &R, plan: LogicalPlan, config: &dyn OptimizerConfig| {
        let schema = Arc::clone(plan.schema());
        let result = rule.rewrite(plan, config)?;
        if !result.transformed || result.data.schema().fields().len() == schema.fields().len() {
            return Ok(result);
        }
        let columns = schema
            .iter()
            .map(|(qualifier, field)| Expr::Column(Column::new(qualifier.cloned(), field.name())));
        let plan = Projection::try_new(columns.collect(), Arc::new(result.data))?;
        Ok(Transformed::yes(LogicalPlan::Projection(plan)))
    };
    Guarded { rule, rewrite }
}

/// A rule that moves conditions down, kept from moving those without columns below aggregates: over no row, a total is
/// a row nevertheless, which the condition has to drop.
pub fn above_totals<R: OptimizerRule>(rule: R) -> Guarded<R> {
    let rewrite = |rule: &R, plan: LogicalPlan, config: &dyn OptimizerConfig| {
        let mut below = &plan;
        let mut conditions = Vec::new();
        while let LogicalPlan::Filter(filter) = below {
            conditions.extend(split_conjunction_owned(filter.predicate.clone()));
            below = &filter.input;
        }
        let LogicalPlan::Aggregate(_) = below else { return rule.rewrite(plan, config) };
        let (bare, rest): (Vec<Expr>, Vec<Expr>) =
            conditions.into_iter().partition(|condition| condition.column_refs().is_empty());
        let Some(bare) = conjunction(bare) else { return rule.rewrite(plan, config) };
        let Some(rest) = conjunction(rest) else { return Ok(Transformed::no(plan)) };
        let below = Filter::try_new(rest, Arc::new(below.clone()))?;
        let moved = rule.rewrite(LogicalPlan::Filter(below), config).data()?;
        let above = LogicalPlan::Filter(Filter::try_new(bare, Arc::new(moved))?);
        Ok(if above == plan { Transformed::no(above) } else { Transformed::yes(above) })
    };
    Guarded { rule, rewrite }
}

/// A rule that does not see ASOF joins.
pub fn past_asof<R: OptimizerRule>(rule: R) -> Guarded<R> {
    let rewrite = |rule: &R, plan: LogicalPlan, config: &dyn OptimizerConfig| {
        let mut below = &plan;
        while let LogicalPlan::Filter(filter) = below {
            below = &filter.input;
        }
        match below {
            LogicalPlan::Join(join) if is_asof(join) => Ok(Transformed::no(plan)),
            _ => rule.rewrite(plan, config),
        }
    };
    Guarded { rule, rewrite }
}
