//! Filter.

use datafusion_expr::Filter;
use stoadb_engine::plan::Plan;

use super::{Lowerer, scope::Scope};
use crate::error::Result;

impl Lowerer {
    pub(super) fn filter(&mut self, node: &Filter) -> Result<Plan> {
        let input = self.plan(&node.input)?;
        let predicate = self.condition(&node.predicate, &Scope::new(node.input.schema()))?;
        Ok(Plan::Filter { input: Box::new(input), predicate })
    }
}
