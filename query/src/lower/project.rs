//! Projection and VALUES.

use datafusion_common::DFSchema;
use datafusion_expr::{Projection, Values};
use stoadb_engine::{Expr, plan::Plan};
use stoadb_storage::Schema;

use super::{Lowerer, coerce, schema_of, scope::Scope};
use crate::error::Result;

impl Lowerer {
    pub(super) fn project(&mut self, node: &Projection) -> Result<Plan> {
        let input = Box::new(self.plan(&node.input)?);
        let exprs = self.exprs(&node.expr, &Scope::new(node.input.schema()))?;
        let schema = schema_of(&node.schema)?;
        let exprs = typed(exprs, &schema);
        Ok(Plan::Project { input, schema, exprs })
    }

    pub(super) fn values(&mut self, node: &Values) -> Result<Plan> {
        let schema = schema_of(&node.schema)?;
        let nothing = DFSchema::empty();
        let scope = Scope::new(&nothing);
        let row = |row: &Vec<_>| Ok(typed(self.exprs(row, &scope)?, &schema));
        let rows = node.values.iter().map(row).collect::<Result<_>>()?;
        Ok(Plan::Values { schema, rows })
    }
}

/// The expressions in the types that the schema declares.
pub(super) fn typed(exprs: Vec<Expr>, schema: &Schema) -> Vec<Expr> {
    let columns = schema.columns.iter();
    exprs.into_iter().zip(columns).map(|(expr, column)| coerce::cast(expr, &column.ty)).collect()
}
