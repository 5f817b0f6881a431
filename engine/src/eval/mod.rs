//! Expressions over batches: compiled once into a `Program`, run by an `Evaluator` per worker.
//!
//! Invariants: rows that do not count never raise errors; a CASE branch, a COALESCE argument, and an operand of AND or
//! OR that can fail see only the rows that reach them; no answer depends on how a column is encoded.
//! Next: `node.rs`, `compile.rs`, `run.rs`; the inner loops are in `kernel/`.

mod call; // functions with kernels of our own
mod compile; // expressions to a program
mod dictionary; // work done once per dictionary entry
mod growth; // functions that make much out of little
mod lambda; // bodies over the elements of lists
mod lazy; // AND, OR, CASE, COALESCE
mod node; // the instructions
mod run; // registers and frames
mod select; // predicates to row positions
#[cfg(test)]
mod tests;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use stoadb_storage::{Scalar, Selection, Vector};

use self::{
    node::{Node, NodeId},
    run::{Run, State},
};
use crate::{
    batch::Batch,
    context::QueryContext,
    error::{EngineError, Result},
    expr::Expr,
};

/// Expressions compiled once and shared by the workers of a pipeline.
pub struct Program {
    nodes: Vec<Node>,
    roots: Vec<NodeId>,
    cancel: Arc<AtomicBool>,
}

impl Program {
    /// Whether some value can make it fail, and whether it gives the same for the same columns.
    fn traits(&self) -> (bool, bool) {
        let fails = self.nodes.iter().any(|node| node.can_fail);
        (fails, self.nodes.iter().all(|node| node.is_pure))
    }

    /// Compiles expressions over the columns of one input. Subexpressions are shared, constants folded.
    ///
    /// # Errors
    /// `Unsupported`, naming a function that does not exist for its argument types.
    pub fn compile(exprs: &[Expr], context: &QueryContext) -> Result<Arc<Program>> {
        Ok(Arc::new(compile::compile(exprs, context)?))
    }

    /// How many expressions it computes.
    pub fn len(&self) -> usize {
        self.roots.len()
    }

    /// Whether it computes nothing.
    pub fn is_empty(&self) -> bool {
        self.roots.is_empty()
    }

    fn check(&self) -> Result<()> {
        match self.cancel.load(Ordering::Relaxed) {
            true => Err(EngineError::Cancelled),
            false => Ok(()),
        }
    }
}

/// One worker's registers and caches for running a program.
pub struct Evaluator {
    program: Arc<Program>,
    state: State,
}

impl Evaluator {
    /// State for one worker.
    pub fn new(program: &Arc<Program>) -> Evaluator {
        Self { program: Arc::clone(program), state: State::new(program.nodes.len()) }
    }

    /// The values of all expressions for the rows of the batch that count: each vector has `batch.len()` rows. Plain
    /// column references keep their encoding and are not copied; texts computed from a dictionary stay one.
    ///
    /// # Errors
    /// `Value` when a row that counts is outside of an operation's domain; `Cancelled`.
    pub fn project(&mut self, batch: &Batch) -> Result<Vec<Vector>> {
        self.program.check()?;
        let program = &self.program;
        let mut run = Run::new(&program.nodes, batch, &mut self.state);
        let Some(selection) = &batch.selection else {
            return program.roots.iter().map(|&root| run.value(root)).collect();
        };
        let mostly = selection.len() * 4 > batch.rows * 3;
        let safe = |&root: &NodeId| !program.nodes[root].can_fail && program.nodes[root].is_pure;
        if mostly && program.roots.iter().all(safe) {
            let gather = |&root: &NodeId| Ok(run.value(root)?.select(selection)?);
            return program.roots.iter().map(gather).collect();
        }
        run.enter(selection.clone());
        program.roots.iter().map(|&root| run.value(root)).collect()
    }

    /// The rows (positions among those that count) for which the program's single boolean expression is TRUE; `None`
    /// means all of them.
    ///
    /// # Errors
    /// As `project`.
    pub fn select(&mut self, batch: &Batch) -> Result<Option<Selection>> {
        self.program.check()?;
        let &[root] = self.program.roots.as_slice() else {
            return Err(EngineError::Internal("a filter is one expression".into()));
        };
        let mut run = Run::new(&self.program.nodes, batch, &mut self.state);
        let candidates = batch.selection.as_ref().map(Selection::rows);
        let kept = run.rows_where_true(root, candidates)?;
        if kept.len() == batch.len() {
            return Ok(None);
        }
        let Some(candidates) = candidates else { return Ok(Some(Selection::new(kept))) };
        let mut kept = kept.into_iter().peekable();
        let among = (0_u32..)
            .zip(candidates)
            .filter_map(|(position, row)| kept.next_if_eq(row).map(|_| position));
        Ok(Some(Selection::new(among.collect())))
    }
}

/// The value of an expression without columns.
///
/// # Errors
/// As `Program::compile` and `Evaluator::project`.
pub fn constant(expr: &Expr, context: &QueryContext) -> Result<Scalar> {
    if let Expr::Literal(value) = expr {
        return Ok(value.clone());
    }
    let program = Program::compile(std::slice::from_ref(expr), context)?;
    let vectors = Evaluator::new(&program).project(&Batch::new(Vec::new(), 1))?;
    let missing = || EngineError::Internal("a constant has one value".into());
    Ok(vectors.first().ok_or_else(missing)?.scalar(0)?)
}
