//! ORDER BY, LIMIT and OFFSET.

use datafusion_expr::{Expr as Logical, Limit, Sort, SortExpr};
use stoadb_engine::{
    Expr,
    plan::{Plan, SortKey},
};
use stoadb_storage::{LogicalType, Scalar};

use super::{Lowerer, coerce, fold::fold_constant, scope::Scope};
use crate::error::{Error, ErrorKind, Result};

impl Lowerer {
    pub(super) fn sort(&mut self, node: &Sort) -> Result<Plan> {
        let input = Box::new(self.plan(&node.input)?);
        let keys = self.sort_keys(&node.expr, &Scope::new(node.input.schema()))?;
        let limit = node.fetch.map(|rows| rows as u64);
        Ok(match (keys.is_empty(), limit) {
            (false, limit) => Plan::Sort { input, keys, limit },
            (true, None) => *input,
            (true, limit) => Plan::Limit { input, offset: 0, limit },
        })
    }

    /// Sort keys; constants order nothing and are left out.
    pub(super) fn sort_keys(&mut self, keys: &[SortExpr], scope: &Scope) -> Result<Vec<SortKey>> {
        let mut lowered: Vec<SortKey> = Vec::with_capacity(keys.len());
        for key in keys {
            let expr = self.expr(&key.expr, scope)?;
            if matches!(expr, Expr::Literal(_)) || lowered.iter().any(|known| known.expr == expr) {
                continue;
            }
            lowered.push(SortKey { expr, descending: !key.asc, nulls_first: key.nulls_first });
        }
        Ok(lowered)
    }

    pub(super) fn limit(&mut self, node: &Limit) -> Result<Plan> {
        let offset = self.row_count(node.skip.as_deref(), "OFFSET")?.unwrap_or(0);
        let limit = self.row_count(node.fetch.as_deref(), "LIMIT")?;
        let mut input = self.plan(&node.input)?;
        // A sort below needs to keep no more than what passes.
        if let (Plan::Sort { limit: kept, .. }, Some(rows)) = (&mut input, limit) {
            let needed = rows.saturating_add(offset);
            *kept = Some(kept.map_or(needed, |kept| kept.min(needed)));
        }
        if let Some(rows) = limit {
            stop_recursion(&mut input, rows.saturating_add(offset));
        }
        Ok(Plan::Limit { input: Box::new(input), offset, limit })
    }

    /// The constant number of rows in LIMIT or OFFSET; NULL is no number.
    fn row_count(&mut self, expr: Option<&Logical>, clause: &str) -> Result<Option<u64>> {
        let Some(expr) = expr else { return Ok(None) };
        let schema = datafusion_common::DFSchema::empty();
        let count = match self.expr(expr, &Scope::new(&schema)) {
            Ok(expr) => fold_constant(coerce::cast(expr, &LogicalType::Int64)),
            Err(error) if error.kind == ErrorKind::Internal => return Err(not_constant(clause)),
            Err(error) => return Err(error),
        };
        match count {
            Expr::Literal(value) if value.is_null() => Ok(None),
            Expr::Literal(value) => Ok(Some(rows(&value, clause)?)),
            _ => Err(not_constant(clause)),
        }
    }
}

/// A recursive query whose rows come through one by one needs to run no longer than until there are enough.
fn stop_recursion(plan: &mut Plan, rows: u64) {
    match plan {
        Plan::Project { input, .. } => stop_recursion(input, rows),
        Plan::Recursive(plan) => {
            plan.limit = Some(plan.limit.map_or(rows, |limit| limit.min(rows)))
        }
        _ => {}
    }
}

fn rows(value: &Scalar, clause: &str) -> Result<u64> {
    let rows = value.as_i128().and_then(|rows| u64::try_from(rows).ok());
    rows.ok_or_else(|| Error::negative(clause, value))
}

fn not_constant(clause: &str) -> Error {
    Error::unsupported(format!("{clause} that is not a constant"))
}
