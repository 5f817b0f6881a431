//! Asks every scalar function for a simpler form of its call: `now()` becomes the statement's time, `coalesce` a CASE.
//!
//! Invariant: nothing is computed here: constants are folded by `lower/fold.rs` with the engine's kernels, so that a
//! query gives the same value or error whether its operands are constants or columns.

use datafusion_common::{
    DFSchemaRef, Result,
    tree_node::{Transformed, TreeNodeRecursion},
};
use datafusion_expr::{
    Expr, LogicalPlan, Volatility,
    expr::ScalarFunction,
    expr_rewriter::NamePreserver,
    simplify::{ExprSimplifyResult, SimplifyContext},
    utils::merge_schema,
};
use datafusion_functions::core;
use datafusion_optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

use crate::planner::trees::{PlanWalk, TreeWalk};

/// Whether every function of a plan that is not simplified yet, views and subqueries included, gives the same for the
/// same arguments at any time.
pub fn is_repeatable(plan: &LogicalPlan) -> Result<bool> {
    let mut repeatable = true;
    plan.apply_with_subqueries_dyn(|plan| {
        plan.apply_expressions_dyn(|expr| {
            expr.apply_dyn(|expr| {
                if let Expr::ScalarFunction(ScalarFunction { func, .. }) = expr
                    && func.signature().volatility != Volatility::Immutable
                {
                    repeatable = false;
                    return Ok(TreeNodeRecursion::Stop);
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(repeatable)
}

/// The rewrite.
#[derive(Debug)]
pub struct SimplifyFunctions;

impl OptimizerRule for SimplifyFunctions {
    fn name(&self) -> &'static str {
        "simplify_functions"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        let schema: DFSchemaRef = match plan.inputs().as_slice() {
            [] => std::sync::Arc::clone(plan.schema()),
            inputs => merge_schema(inputs).into(),
        };
        let context = SimplifyContext::builder()
            .with_schema(schema)
            .with_config_options(config.options())
            .with_query_execution_start_time(config.query_execution_start_time())
            .build();
        let names = NamePreserver::new(&plan);
        let named = |expr: Expr| {
            let name = names.save(&expr);
            let simplified = expr.transform_up_dyn(|expr| simplify(expr, &context))?;
            Ok(match simplified.transformed {
                true => simplified.update_data(|expr| name.restore(expr)),
                false => simplified,
            })
        };
        plan.map_expressions_dyn(|expr| match expr {
            // Its operands are the columns of the output; it has no name itself.
            Expr::GroupingSet(_) => expr.map_children_dyn(named),
            expr => named(expr),
        })
    }
}

fn simplify(expr: Expr, context: &SimplifyContext) -> Result<Transformed<Expr>> {
    let Expr::ScalarFunction(ScalarFunction { func, args }) = expr else {
        return Ok(Transformed::no(expr));
    };
    // A pattern match with a constant pattern would become a library operator that the engine does not have.
    if func.name() == "regexp_like" {
        return Ok(Transformed::no(Expr::ScalarFunction(ScalarFunction { func, args })));
    }
    // The simpler form asks an argument and then takes it: coalesce() in coalesce() would double at every level.
    if args.iter().any(branches) {
        match func.name() {
            "coalesce" => {
                return Ok(Transformed::no(Expr::ScalarFunction(ScalarFunction { func, args })));
            }
            "nvl" => return Ok(Transformed::yes(core::coalesce().call(args))),
            _ => {}
        }
    }
    Ok(match func.simplify(args, context)? {
        ExprSimplifyResult::Simplified(expr) => Transformed::yes(expr),
        ExprSimplifyResult::Original(args) => {
            Transformed::no(Expr::ScalarFunction(ScalarFunction { func, args }))
        }
    })
}

fn branches(expr: &Expr) -> bool {
    matches!(expr.exists_dyn(|expr| Ok(matches!(expr, Expr::Case(_)))), Ok(true))
}
