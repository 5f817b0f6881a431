//! Expressions over batches: compiled once into a `Program`, run by an `Evaluator` per worker.
//!
//! Invariant: rows that do not count never raise errors, and a CASE branch sees only the rows that reach it.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, Datum, Scalar as ArrowScalar, new_null_array},
    compute::{
        self,
        kernels::{boolean, cmp, numeric},
    },
};
use stoadb_storage::{LogicalType, Scalar, Selection, Vector};

use crate::{
    batch::Batch,
    context::QueryContext,
    error::{EngineError, Result},
    expr::{ArithmeticOp, CompareOp, Expr},
    function::FunctionRegistry,
};

/// Expressions compiled once and shared by the workers of a pipeline.
pub struct Program {
    exprs: Vec<Expr>,
    functions: FunctionRegistry,
}

impl Program {
    /// Compiles expressions over the columns of one input.
    ///
    /// # Errors
    /// `Unsupported`, naming a function that nobody registered.
    pub fn compile(exprs: &[Expr], context: &QueryContext) -> Result<Arc<Program>> {
        Ok(Arc::new(Self { exprs: exprs.to_vec(), functions: context.functions().clone() }))
    }

    /// How many expressions it computes.
    pub fn len(&self) -> usize {
        self.exprs.len()
    }

    /// Whether it computes nothing.
    pub fn is_empty(&self) -> bool {
        self.exprs.is_empty()
    }
}

/// One worker's state for running a program.
pub struct Evaluator {
    program: Arc<Program>,
}

impl Evaluator {
    /// State for one worker.
    pub fn new(program: &Arc<Program>) -> Evaluator {
        Self { program: Arc::clone(program) }
    }

    /// The values of all expressions for the rows of the batch that count: each vector has `batch.len()` rows.
    ///
    /// # Errors
    /// `Value` when a row that counts is outside of an operation's domain.
    pub fn project(&mut self, batch: &Batch) -> Result<Vec<Vector>> {
        let batch = batch.clone().compact()?;
        self.program.exprs.iter().map(|expr| self.eval(expr, &batch)).collect()
    }

    /// The rows (positions among those that count) for which the program's single boolean expression is TRUE; `None`
    /// means all of them.
    ///
    /// # Errors
    /// As `project`.
    pub fn select(&mut self, batch: &Batch) -> Result<Option<Selection>> {
        let batch = batch.clone().compact()?;
        let [expr] = self.program.exprs.as_slice() else {
            return Err(EngineError::Internal("a filter has one expression".into()));
        };
        let selection = rows_where_true(&self.eval(expr, &batch)?)?;
        Ok((selection.len() < batch.rows).then_some(selection))
    }

    fn eval(&self, expr: &Expr, batch: &Batch) -> Result<Vector> {
        let rows = batch.rows;
        let flat = |expr: &Expr| Ok::<_, EngineError>(self.eval(expr, batch)?.flatten()?);
        Ok(match expr {
            Expr::Column { index, .. } => batch.columns[*index].clone(),
            Expr::Literal(value) => Vector::Constant { value: value.clone(), rows },
            Expr::Subquery { .. } => return Err(EngineError::Internal("unbound subquery".into())),
            Expr::Compare { op, left, right } => {
                let (left, right) = (flat(left)?, flat(right)?);
                Vector::Flat(Arc::new(compare(*op, &left, &right)?))
            }
            Expr::And(args) | Expr::Or(args) => {
                let mut result: Option<BooleanArray> = None;
                for arg in args {
                    let value = flat(arg)?.as_boolean().clone();
                    result = Some(match (result, matches!(expr, Expr::And(_))) {
                        (None, _) => value,
                        (Some(left), true) => boolean::and_kleene(&left, &value)?,
                        (Some(left), false) => boolean::or_kleene(&left, &value)?,
                    });
                }
                let empty = || EngineError::Internal("AND without operands".into());
                Vector::Flat(Arc::new(result.ok_or_else(empty)?))
            }
            Expr::Not(input) => Vector::Flat(Arc::new(boolean::not(flat(input)?.as_boolean())?)),
            Expr::IsNull(input) => Vector::Flat(Arc::new(boolean::is_null(&flat(input)?)?)),
            Expr::IsNotNull(input) => Vector::Flat(Arc::new(boolean::is_not_null(&flat(input)?)?)),
            Expr::Arithmetic { op, left, right, ty } => {
                let (left, right) = (flat(left)?, flat(right)?);
                let result = arithmetic(*op, &left, &right)?;
                Vector::Flat(compute::cast(&result, &ty.to_arrow())?)
            }
            Expr::Negate(input) => Vector::Flat(numeric::neg(&flat(input)?)?),
            Expr::Cast { input, ty, or_null } => {
                let options = compute::CastOptions { safe: *or_null, ..Default::default() };
                let array = compute::cast_with_options(&flat(input)?, &ty.to_arrow(), &options)
                    .map_err(|error| EngineError::Value(error.to_string()))?;
                Vector::Flat(array)
            }
            Expr::Case { branches, otherwise, ty } => {
                self.case(branches, otherwise.as_deref(), ty, batch)?
            }
            Expr::InList { input, list, negated } => {
                let input = flat(input)?;
                let mut result = BooleanArray::from(vec![false; rows]);
                for value in list.iter() {
                    let equal = cmp::eq(&input, &ArrowScalar::new(Arc::clone(value.array())))?;
                    result = boolean::or_kleene(&result, &equal)?;
                }
                let result = if *negated { boolean::not(&result)? } else { result };
                Vector::Flat(Arc::new(result))
            }
            Expr::Like { input, pattern, negated, ignore_case, .. } => {
                let (input, pattern) = (flat(input)?, flat(pattern)?);
                let like = if *ignore_case { compute::ilike } else { compute::like };
                let result = like(&input, &pattern)?;
                let result = if *negated { boolean::not(&result)? } else { result };
                Vector::Flat(Arc::new(result))
            }
            Expr::Call { function, args, ty } => {
                let unknown = || EngineError::Unsupported(format!("function {function}"));
                let body = self.program.functions.get(function).ok_or_else(unknown)?;
                let args = args.iter().map(flat).collect::<Result<Vec<_>>>()?;
                let constant = vec![false; args.len()];
                Vector::from_arrow(&body.evaluate(&args, &constant, rows, ty)?)?
            }
        })
    }

    fn case(
        &self,
        branches: &[(Expr, Expr)],
        otherwise: Option<&Expr>,
        ty: &LogicalType,
        batch: &Batch,
    ) -> Result<Vector> {
        let mut remaining: Vec<u32> = (0..batch.rows as u32).collect();
        let mut arrays: Vec<ArrayRef> = vec![new_null_array(&ty.to_arrow(), 1)];
        let mut places = vec![(0, 0); batch.rows];
        for (when, then) in branches {
            let rest = batch.clone().refine(Selection::new(remaining.clone())).compact()?;
            let hits = rows_where_true(&self.eval(when, &rest)?)?;
            let rows = Selection::new(remaining.clone()).compose(&hits);
            let part = batch.clone().refine(rows.clone()).compact()?;
            for (i, &row) in rows.rows().iter().enumerate() {
                places[row as usize] = (arrays.len(), i);
            }
            arrays.push(self.eval(then, &part)?.flatten()?);
            remaining.retain(|row| rows.rows().binary_search(row).is_err());
        }
        if let Some(otherwise) = otherwise {
            let part = batch.clone().refine(Selection::new(remaining.clone())).compact()?;
            for (i, &row) in remaining.iter().enumerate() {
                places[row as usize] = (arrays.len(), i);
            }
            arrays.push(self.eval(otherwise, &part)?.flatten()?);
        }
        let arrays: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
        Ok(Vector::Flat(compute::interleave(&arrays, &places)?))
    }
}

/// The value of an expression without columns.
///
/// # Errors
/// As `Evaluator::project`.
pub fn constant(expr: &Expr, context: &QueryContext) -> Result<Scalar> {
    let program = Program::compile(std::slice::from_ref(expr), context)?;
    let vectors = Evaluator::new(&program).project(&Batch::new(Vec::new(), 1))?;
    let missing = || EngineError::Internal("a constant has one value".into());
    Ok(vectors.first().ok_or_else(missing)?.scalar(0)?)
}

fn rows_where_true(vector: &Vector) -> Result<Selection> {
    let array = vector.flatten()?;
    let array = array.as_boolean();
    let rows = (0..array.len() as u32)
        .filter(|&row| array.is_valid(row as usize) && array.value(row as usize));
    Ok(Selection::new(rows.collect()))
}

fn compare(op: CompareOp, left: &dyn Datum, right: &dyn Datum) -> Result<BooleanArray> {
    Ok(match op {
        CompareOp::Eq => cmp::eq(left, right),
        CompareOp::NotEq => cmp::neq(left, right),
        CompareOp::Lt => cmp::lt(left, right),
        CompareOp::LtEq => cmp::lt_eq(left, right),
        CompareOp::Gt => cmp::gt(left, right),
        CompareOp::GtEq => cmp::gt_eq(left, right),
        CompareOp::Distinct => cmp::distinct(left, right),
        CompareOp::NotDistinct => cmp::not_distinct(left, right),
    }?)
}

fn arithmetic(op: ArithmeticOp, left: &dyn Datum, right: &dyn Datum) -> Result<ArrayRef> {
    match op {
        ArithmeticOp::Add => numeric::add(left, right),
        ArithmeticOp::Subtract => numeric::sub(left, right),
        ArithmeticOp::Multiply => numeric::mul(left, right),
        ArithmeticOp::Divide => numeric::div(left, right),
        ArithmeticOp::Modulo => numeric::rem(left, right),
    }
    .map_err(|error| EngineError::Value(error.to_string()))
}
