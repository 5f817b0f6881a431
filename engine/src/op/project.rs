//! Project: computes expressions for the rows that count.

use std::sync::Arc;

use crate::{
    batch::Batch,
    context::QueryContext,
    error::Result,
    eval::{Evaluator, Program},
    expr::Expr,
    op::{LocalTransform, Step, Transform},
};

/// A projection. Plain columns are passed on without copying, selection included.
pub struct Project {
    /// `Some` when every expression is an input column.
    columns: Option<Arc<[usize]>>,
    program: Arc<Program>,
}

impl Project {
    /// A projection to the given expressions.
    ///
    /// # Errors
    /// Whatever compiling the expressions raises.
    pub fn new(exprs: &[Expr], context: &QueryContext) -> Result<Self> {
        let column = |expr: &Expr| match expr {
            Expr::Column { index, .. } => Some(*index),
            _ => None,
        };
        Ok(Self {
            columns: exprs.iter().map(column).collect(),
            program: Program::compile(exprs, context)?,
        })
    }
}

impl Transform for Project {
    fn local(&self, _context: &Arc<QueryContext>) -> Result<Box<dyn LocalTransform>> {
        Ok(match &self.columns {
            Some(columns) => Box::new(LocalColumns { columns: Arc::clone(columns) }),
            None => Box::new(LocalProject { evaluator: Evaluator::new(&self.program) }),
        })
    }
}

struct LocalColumns {
    columns: Arc<[usize]>,
}

impl LocalTransform for LocalColumns {
    fn step(&mut self, input: Option<Batch>) -> Result<Step> {
        let Some(batch) = input else { return Ok(Step::NeedInput) };
        let columns = self.columns.iter().map(|&index| batch.columns[index].clone()).collect();
        Ok(Step::HaveMore(Batch { columns, ..batch }))
    }
}

struct LocalProject {
    evaluator: Evaluator,
}

impl LocalTransform for LocalProject {
    fn step(&mut self, input: Option<Batch>) -> Result<Step> {
        let Some(batch) = input else { return Ok(Step::NeedInput) };
        Ok(Step::HaveMore(Batch::new(self.evaluator.project(&batch)?, batch.len())))
    }
}
