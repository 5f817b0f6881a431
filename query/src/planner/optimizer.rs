//! Which rewrites of the planner library run, in which order.
//!
//! Left out on purpose: `SimplifyExpressions`, because it computes constants with the library's arithmetic and casts, which
//! wrap and truncate where ours raise and round (`lower/fold.rs` folds with the engine's own kernels instead); and beside what does not pay for an engine that does it itself: `FilterNullJoinKeys` (our join skips
//! NULL keys), `SingleDistinctToGroupBy` and `CommonSubexprEliminate` (aggregates and expression programs of the engine
//! share), `ExtractEquijoinPredicate` and `EliminateCrossJoin` (`lower` finds keys and orders joins itself; theirs have one
//! treatment of NULLs for all keys of a join, so that `=` beside `IS NOT DISTINCT FROM` changes its meaning), `UnionsToFilter` and the leaf pull-ups (they hide what storage could prune).
//! Subqueries became joins before (`subqueries/mod.rs`), but for LATERAL.
//! Invariant: `necessary` alone gives a plan that runs.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use datafusion_common::{DataFusionError, Result, alias::AliasGenerator, config::ConfigOptions};
use datafusion_expr::{LogicalPlan, registry::FunctionRegistry};
use datafusion_optimizer::{
    Analyzer, ApplyOrder, OptimizerConfig, OptimizerRule,
    decorrelate_lateral_join::DecorrelateLateralJoin,
    eliminate_duplicated_expr::EliminateDuplicatedExpr, eliminate_filter::EliminateFilter,
    eliminate_group_by_constant::EliminateGroupByConstant, eliminate_join::EliminateJoin,
    eliminate_limit::EliminateLimit, eliminate_outer_join::EliminateOuterJoin,
    optimize_projections::OptimizeProjections, optimize_unions::OptimizeUnions,
    propagate_empty_relation::PropagateEmptyRelation, push_down_filter::PushDownFilter,
    push_down_limit::PushDownLimit, replace_distinct_aggregate::ReplaceDistinctWithAggregate,
};

use crate::{
    error::Error,
    lower::any_raises,
    planner::{
        functions::Functions,
        rules::{
            ComputeLateral, SimplifyFunctions, above_totals, common_types, keeping_columns,
            keeping_order, past_asof,
        },
        trees::PlanWalk,
    },
};

type Rules = Vec<Arc<dyn OptimizerRule + Send + Sync>>;

/// The rules without which a plan cannot run.
fn necessary() -> Rules {
    vec![
        Arc::new(SimplifyFunctions),
        Arc::new(ReplaceDistinctWithAggregate::new()),
        Arc::new(ComputeLateral),
        Arc::new(keeping_columns(DecorrelateLateralJoin::new())),
    ]
}

/// All rules, in order.
fn all() -> Rules {
    vec![
        Arc::new(OptimizeUnions::new()),
        Arc::new(SimplifyFunctions),
        Arc::new(ReplaceDistinctWithAggregate::new()),
        Arc::new(EliminateJoin::new()),
        Arc::new(ComputeLateral),
        Arc::new(keeping_columns(DecorrelateLateralJoin::new())),
        Arc::new(keeping_order(EliminateDuplicatedExpr::new())),
        Arc::new(EliminateFilter::new()),
        Arc::new(EliminateLimit::new()),
        Arc::new(PropagateEmptyRelation::new()),
        Arc::new(past_asof(EliminateOuterJoin::new())),
        Arc::new(PushDownLimit::new()),
        Arc::new(above_totals(past_asof(PushDownFilter::new()))),
        Arc::new(EliminateGroupByConstant::new()),
        Arc::new(OptimizeProjections::new()),
    ]
}

/// Types the operands of a plan and rewrites it.
///
/// # Errors
/// When operands do not fit, or a construct cannot be planned.
pub fn optimize(
    plan: LogicalPlan,
    options: &Arc<ConfigOptions>,
    functions: &Arc<Functions>,
    everything: bool,
) -> Result<LogicalPlan> {
    let plan = common_types(plan)?;
    let mut plan = plan;
    for rule in Analyzer::new().rules {
        plan = rule.analyze(plan, options)?;
    }
    let mut rules = if everything { all() } else { necessary() };
    if any_raises(&plan)? {
        // It forgets the order of conditions, and asks them of rows that a join would drop; `lower` pushes with care.
        rules.retain(|rule| rule.name() != "push_down_filter");
    }
    let context = Context {
        started: Utc::now(),
        aliases: Arc::new(AliasGenerator::new()),
        options: Arc::clone(options),
        functions: Arc::clone(functions),
    };
    run(plan, &rules, &context)
}

/// Applies the rules in order, again and again until nothing changes. The library's own loop checks the plan between
/// them, in time that doubles with every level of subqueries; `check.rs` looks at the end.
fn run(mut plan: LogicalPlan, rules: &Rules, context: &Context) -> Result<LogicalPlan> {
    for _ in 0..context.options.optimizer.max_passes {
        let before = plan.clone();
        for rule in rules {
            let schema = Arc::clone(plan.schema());
            let changed = match rule.apply_order() {
                Some(ApplyOrder::TopDown) => {
                    plan.transform_down_with_subqueries_dyn(|plan| rule.rewrite(plan, context))?
                }
                Some(ApplyOrder::BottomUp) => {
                    plan.transform_up_with_subqueries_dyn(|plan| rule.rewrite(plan, context))?
                }
                None => rule.rewrite(plan, context)?,
            };
            plan = changed.data;
            if !plan.schema().logically_equivalent_names_and_types(&schema) {
                let message = format!("the rule {} changed the columns of a plan", rule.name());
                return Err(DataFusionError::External(Box::new(Error::internal(message))));
            }
        }
        if plan == before {
            break;
        }
    }
    Ok(plan)
}

struct Context {
    started: DateTime<Utc>,
    aliases: Arc<AliasGenerator>,
    options: Arc<ConfigOptions>,
    functions: Arc<Functions>,
}

impl OptimizerConfig for Context {
    fn query_execution_start_time(&self) -> Option<DateTime<Utc>> {
        Some(self.started)
    }

    fn alias_generator(&self) -> &Arc<AliasGenerator> {
        &self.aliases
    }

    fn options(&self) -> Arc<ConfigOptions> {
        Arc::clone(&self.options)
    }

    fn function_registry(&self) -> Option<&dyn FunctionRegistry> {
        Some(self.functions.as_ref())
    }
}
