//! A join as its operators need it: keys and residual compiled, columns that nobody reads left out.
//!
//! Invariant: `kind` is `LeftAntiNullAware` only for a single key without residual; the general case is rewritten into a
//! left anti join whose residual says "equal or unknown". Next: `build.rs`, `probe.rs`.

use std::sync::Arc;

use stoadb_storage::{LogicalType, Vector};

use crate::{
    batch::Batch,
    context::QueryContext,
    error::{EngineError, Result},
    eval::{Evaluator, Program},
    expr::{CompareOp, Expr},
    plan::{JoinKey, JoinKind, JoinPlan, NearestKey},
};

use super::{gives_right, key::KeyColumn, residual::Residual};

/// A join, ready to run.
pub(super) struct Spec {
    /// The kind.
    pub(super) kind: JoinKind,
    /// The keys that the table is built on.
    pub(super) keys: Vec<KeyColumn>,
    /// How many of the plan's first keys became part of the residual.
    pub(super) keys_dropped: usize,
    /// Computes the keys of left batches.
    pub(super) left_keys: KeyExprs,
    /// Computes the keys of right batches.
    pub(super) right_keys: KeyExprs,
    /// What must hold besides.
    pub(super) residual: Option<Residual>,
    /// Which of the rows with equal keys matches, in an ASOF join.
    pub(super) nearest: Option<NearestSpec>,
    /// The types of the left columns.
    pub(super) left: Vec<LogicalType>,
    /// The types of the right columns.
    pub(super) right: Vec<LogicalType>,
    /// Which right columns are kept.
    pub(super) right_kept: Vec<bool>,
}

impl Spec {
    /// Compiles a join.
    ///
    /// # Errors
    /// Whatever compiling the expressions raises; `Internal` when a key's sides differ in type.
    pub(super) fn new(join: &JoinPlan, context: &QueryContext) -> Result<Self> {
        let types = |side: &crate::plan::Plan| -> Vec<LogicalType> {
            side.schema().columns.iter().map(|column| column.ty.clone()).collect()
        };
        let (left, right) = (types(&join.left), types(&join.right));
        let (mut kind, mut residual, mut keys_dropped) = (join.kind, join.residual.clone(), 0);
        if kind == JoinKind::LeftAntiNullAware && (join.keys.len() != 1 || residual.is_some()) {
            kind = JoinKind::LeftAnti;
            keys_dropped = 1;
            let first = join.keys.first().ok_or_else(|| {
                EngineError::Internal("a null-aware anti join without a key".into())
            })?;
            let unknown = equal_or_unknown(first, left.len());
            residual = Some(match residual {
                Some(residual) => Expr::And(vec![unknown, residual]),
                None => unknown,
            });
        }
        let keys = &join.keys[keys_dropped..];
        let side = |of: fn(&JoinKey) -> &Expr| {
            let exprs: Vec<Expr> = keys.iter().map(|key| of(key).clone()).collect();
            KeyExprs::new(exprs, context)
        };
        let (left_keys, right_keys) = (side(|key| &key.left)?, side(|key| &key.right)?);
        let residual = residual.map(|e| Residual::new(e, left.len(), context)).transpose()?;
        let nearest = join.nearest.as_ref().map(|n| NearestSpec::new(n, context)).transpose()?;
        let gives_right = gives_right(kind);
        let reads = |column| residual.as_ref().is_some_and(|r| r.right_columns().contains(&column));
        let right_kept = (0..right.len()).map(|column| gives_right || reads(column)).collect();
        let mut keys = keys.iter().map(key_column).collect::<Result<Vec<_>>>()?;
        if kind == JoinKind::LeftAntiNullAware {
            // NULL means "unknown" there, whatever the key says.
            keys.iter_mut().for_each(|key| key.null_equal = false);
        }
        Ok(Self {
            kind,
            keys,
            keys_dropped,
            left_keys,
            right_keys,
            residual,
            nearest,
            left,
            right,
            right_kept,
        })
    }
}

/// The inequality of an ASOF join.
pub(super) struct NearestSpec {
    /// How the left moment compares to the right one.
    pub(super) op: CompareOp,
    /// Computes the moments of left batches.
    pub(super) left: KeyExprs,
    /// Computes the moments of right batches.
    pub(super) right: KeyExprs,
    /// The type of both.
    pub(super) ty: LogicalType,
}

impl NearestSpec {
    fn new(nearest: &NearestKey, context: &QueryContext) -> Result<Self> {
        let (left, right) = (nearest.left.ty(), nearest.right.ty());
        if left != right {
            let message = format!("the moments of an ASOF join of types {left} and {right}");
            return Err(EngineError::Internal(message));
        }
        Ok(Self {
            op: nearest.op,
            left: KeyExprs::new(vec![nearest.left.clone()], context)?,
            right: KeyExprs::new(vec![nearest.right.clone()], context)?,
            ty: right,
        })
    }
}

fn key_column(key: &JoinKey) -> Result<KeyColumn> {
    let (left, right) = (key.left.ty(), key.right.ty());
    let alike = match (&left, &right) {
        (LogicalType::Decimal { scale: a, .. }, LogicalType::Decimal { scale: b, .. }) => a == b,
        (LogicalType::Timestamp(a, _), LogicalType::Timestamp(b, _)) => a == b,
        (LogicalType::Null, _) | (_, LogicalType::Null) => true,
        _ => left == right || left.is_nested(),
    };
    if !alike {
        return Err(EngineError::Internal(format!("join keys of types {left} and {right}")));
    }
    Ok(KeyColumn { ty: right, null_equal: key.null_equal })
}

/// `left = right OR left IS NULL OR right IS NULL` over the columns of both sides.
fn equal_or_unknown(key: &JoinKey, left_columns: usize) -> Expr {
    let left = key.left.clone();
    let mut right = key.right.clone();
    right.map_columns(&mut |column| column + left_columns);
    Expr::Or(vec![
        Expr::Compare {
            op: CompareOp::Eq,
            left: Box::new(left.clone()),
            right: Box::new(right.clone()),
        },
        Expr::IsNull(Box::new(left)),
        Expr::IsNull(Box::new(right)),
    ])
}

/// The key expressions of one side.
pub(super) enum KeyExprs {
    /// All are columns.
    Columns(Vec<usize>),
    /// Anything.
    Program(Arc<Program>),
}

/// One worker's state for computing keys.
pub(super) enum LocalKeys {
    /// All are columns.
    Columns(Vec<usize>),
    /// Anything.
    Evaluator(Box<Evaluator>),
}

impl KeyExprs {
    fn new(exprs: Vec<Expr>, context: &QueryContext) -> Result<Self> {
        let column = |expr: &Expr| match expr {
            Expr::Column { index, .. } => Some(*index),
            _ => None,
        };
        Ok(match exprs.iter().map(column).collect() {
            Some(columns) => Self::Columns(columns),
            None => Self::Program(Program::compile(&exprs, context)?),
        })
    }

    /// State for one worker.
    pub(super) fn local(&self) -> LocalKeys {
        match self {
            Self::Columns(columns) => LocalKeys::Columns(columns.clone()),
            Self::Program(program) => LocalKeys::Evaluator(Box::new(Evaluator::new(program))),
        }
    }
}

impl LocalKeys {
    /// One vector per key, of the rows that count.
    ///
    /// # Errors
    /// Whatever evaluating raises.
    pub(super) fn evaluate(&mut self, batch: &Batch) -> Result<Vec<Vector>> {
        match self {
            Self::Columns(columns) => select(columns.iter().map(|&c| &batch.columns[c]), batch),
            Self::Evaluator(evaluator) => evaluator.project(batch),
        }
    }
}

/// The rows of some columns that count.
///
/// # Errors
/// `Internal` when the selection points past the end.
pub(super) fn select<'a>(
    columns: impl Iterator<Item = &'a Vector>,
    batch: &Batch,
) -> Result<Vec<Vector>> {
    let column = |column: &Vector| match &batch.selection {
        Some(selection) => Ok(column.select(selection)?),
        None => Ok(column.clone()),
    };
    columns.map(column).collect()
}
