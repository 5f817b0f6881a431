//! UNION ALL.

use datafusion_expr::Union;
use stoadb_engine::plan::Plan;

use super::{Lowerer, columns_of, project::typed, schema_of};
use crate::error::{Error, Result};

impl Lowerer {
    pub(super) fn union(&mut self, node: &Union) -> Result<Plan> {
        let schema = schema_of(&node.schema)?;
        let mut inputs = Vec::with_capacity(node.inputs.len());
        for input in &node.inputs {
            let input = self.plan(input)?;
            if input.schema().len() != schema.len() {
                return Err(Error::internal("the inputs of a UNION differ in width"));
            }
            let exprs = columns_of(input.schema());
            let converted = typed(exprs.clone(), &schema);
            match input {
                // A union of unions is one union.
                Plan::Union { inputs: inner, .. } if converted == exprs => inputs.extend(inner),
                input if converted == exprs => inputs.push(input),
                input => inputs.push(Plan::Project {
                    input: Box::new(input),
                    schema: schema.clone(),
                    exprs: converted,
                }),
            }
        }
        Ok(Plan::Union { schema, inputs })
    }
}
