//! Uncorrelated scalar subqueries: plans of their own that run first.
//!
//! Invariant: a subquery that stands in several places runs once.

use std::sync::Arc;

use datafusion_common::tree_node::TreeNodeRecursion;
use datafusion_expr::{LogicalPlan, Subquery};
use stoadb_engine::Expr;

use super::{Lowerer, planner_error};
use crate::{
    error::{Error, Result},
    planner::trees::PlanWalk,
};

/// A subquery that was lowered, with the sources that it reads: names alone do not tell sources apart.
pub(super) struct Seen {
    subquery: Subquery,
    sources: Vec<usize>,
    id: usize,
}

impl Lowerer {
    pub(super) fn scalar_subquery(&mut self, subquery: &Subquery) -> Result<Expr> {
        if let Some(column) = subquery.outer_ref_columns.first() {
            return Err(Error::unsupported(format!(
                "a scalar subquery that uses the outer column {column} in this way"
            )));
        }
        let sources = sources(&subquery.subquery)?;
        let same = |seen: &&Seen| seen.sources == sources && seen.subquery == *subquery;
        let id = match self.seen.iter().find(same) {
            Some(seen) => seen.id,
            None => {
                // It runs once and before all: no step's rows are there, nor a lambda's elements.
                let steps = std::mem::take(&mut self.recursive);
                let lambdas = std::mem::take(&mut self.lambdas);
                let plan = self.plan(&subquery.subquery);
                (self.recursive, self.lambdas) = (steps, lambdas);
                let plan = plan?;
                if plan.schema().len() != 1 {
                    return Err(Error::internal("a scalar subquery with several columns"));
                }
                self.subqueries.push(plan);
                let id = self.subqueries.len() - 1;
                self.seen.push(Seen { subquery: subquery.clone(), sources, id });
                id
            }
        };
        Ok(Expr::Subquery { id, ty: self.subqueries[id].schema().ty(0).clone() })
    }
}

/// The addresses of the table sources of a plan, nested subqueries included, in order.
fn sources(plan: &LogicalPlan) -> Result<Vec<usize>> {
    let mut sources = Vec::new();
    plan.apply_with_subqueries_dyn(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            sources.push(Arc::as_ptr(&scan.source).cast::<()>() as usize);
        }
        Ok(TreeNodeRecursion::Continue)
    })
    .map_err(planner_error)?;
    Ok(sources)
}
