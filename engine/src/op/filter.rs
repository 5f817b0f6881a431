//! Filter: keeps the rows for which a predicate is TRUE, by narrowing the selection.

use std::sync::Arc;

use crate::{
    batch::Batch,
    context::QueryContext,
    error::Result,
    eval::{Evaluator, Program},
    expr::Expr,
    op::{LocalTransform, Step, Transform},
};

/// A filter; its columns are not copied.
pub struct Filter {
    program: Arc<Program>,
}

impl Filter {
    /// A filter by a boolean expression.
    ///
    /// # Errors
    /// Whatever compiling the expression raises.
    pub fn new(predicate: &Expr, context: &QueryContext) -> Result<Self> {
        Ok(Self { program: Program::compile(std::slice::from_ref(predicate), context)? })
    }
}

impl Transform for Filter {
    fn local(&self, _context: &Arc<QueryContext>) -> Result<Box<dyn LocalTransform>> {
        Ok(Box::new(LocalFilter { evaluator: Evaluator::new(&self.program) }))
    }
}

struct LocalFilter {
    evaluator: Evaluator,
}

impl LocalTransform for LocalFilter {
    fn step(&mut self, input: Option<Batch>) -> Result<Step> {
        let Some(batch) = input else { return Ok(Step::NeedInput) };
        Ok(match self.evaluator.select(&batch)? {
            None => Step::HaveMore(batch),
            Some(selection) if selection.is_empty() => Step::NeedInput,
            Some(selection) => Step::HaveMore(batch.refine(selection)),
        })
    }
}
