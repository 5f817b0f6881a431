//! What must hold besides the keys, evaluated on candidate pairs.
//!
//! Invariant: only the columns that the expression reads are gathered, and only for real pairs.

use std::sync::Arc;

use stoadb_storage::Selection;

use crate::{
    batch::Batch,
    context::QueryContext,
    error::{EngineError, Result},
    eval::{Evaluator, Program},
    expr::Expr,
};

use super::{
    Built,
    gather::{LeftRows, RightRows},
};

/// A residual over the columns that it reads.
pub(super) struct Residual {
    program: Arc<Program>,
    left: Vec<usize>,
    right: Vec<usize>,
}

impl Residual {
    /// Compiles an expression over `left_columns` left columns followed by the right ones.
    ///
    /// # Errors
    /// Whatever compiling raises.
    pub(super) fn new(mut expr: Expr, left_columns: usize, context: &QueryContext) -> Result<Self> {
        let mut columns = Vec::new();
        expr.for_each_column(&mut |column| columns.push(column));
        columns.sort_unstable();
        columns.dedup();
        let missing = columns.len();
        expr.map_columns(&mut |column| columns.binary_search(&column).unwrap_or(missing));
        let program = Program::compile(std::slice::from_ref(&expr), context)?;
        let split = columns.partition_point(|&column| column < left_columns);
        let right = columns.split_off(split).into_iter().map(|c| c - left_columns).collect();
        Ok(Self { program, left: columns, right })
    }

    /// The right columns that it reads.
    pub(super) fn right_columns(&self) -> &[usize] {
        &self.right
    }

    /// State for one worker.
    pub(super) fn local(&self) -> LocalResidual {
        let (left, right) = (self.left.clone(), self.right.clone());
        LocalResidual { evaluator: Evaluator::new(&self.program), left, right }
    }
}

/// One worker's evaluator of a residual.
pub(super) struct LocalResidual {
    evaluator: Evaluator,
    left: Vec<usize>,
    right: Vec<usize>,
}

impl LocalResidual {
    /// Which pairs of rows (positions in the batch's columns, build rows) pass; `None` when all do.
    ///
    /// # Errors
    /// Whatever evaluating raises.
    pub(super) fn select(
        &mut self,
        batch: &Batch,
        built: &Built,
        left: &LeftRows,
        right: &[u32],
    ) -> Result<Option<Selection>> {
        let mut columns = Vec::with_capacity(self.left.len() + self.right.len());
        for &column in &self.left {
            columns.push(left.gather(&batch.columns[column])?);
        }
        let rows = RightRows::new(right);
        for &column in &self.right {
            let missing = || EngineError::Internal(format!("build column {column} is not kept"));
            let column = built.columns[column].as_ref().ok_or_else(missing)?;
            columns.push(rows.gather(column)?);
        }
        self.evaluator.select(&Batch::new(columns, right.len()))
    }
}
