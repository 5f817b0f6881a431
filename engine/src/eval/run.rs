//! Running a program over a batch: registers per node, and a frame per set of rows.
//!
//! Invariants: a node runs at most once per frame; a frame's rows all count, so that whatever fails there fails the
//! query. Frame 0 is the whole batch; it runs a node only when all of its rows count or the node cannot fail.
//! Next: `lazy.rs`, `dictionary.rs`, `select.rs`.

use arrow::array::{Array, new_empty_array};
use stoadb_storage::{LogicalType, Scalar, Selection, Vector};

use super::{
    dictionary::{OffsetValues, Served},
    lambda,
    node::{Node, NodeId, Op},
};
use crate::{
    batch::Batch,
    error::{EngineError, Result},
    function::ScalarFunction,
    kernel::{
        arithmetic::{arithmetic, negate},
        cast::cast,
        compare::compare,
        like::{like, like_constant},
        physical::{boolean_vector, booleans, is_constant_null, null_vector, one_or_all},
    },
};

/// What an evaluator keeps from batch to batch.
pub(super) struct State {
    /// Per node, the dictionaries that it met last.
    pub(super) dictionaries: Vec<Vec<Served>>,
    /// Per node of a column, the values of the narrow offsets that it had last.
    pub(super) offsets: Vec<Option<OffsetValues>>,
    /// Register files for reuse.
    spare: Vec<Vec<Option<Vector>>>,
}

impl State {
    /// State for a program of so many nodes.
    pub(super) fn new(nodes: usize) -> Self {
        let dictionaries = std::iter::repeat_with(Vec::new).take(nodes).collect();
        let offsets = std::iter::repeat_with(|| None).take(nodes).collect();
        Self { dictionaries, offsets, spare: Vec::new() }
    }

    fn registers(&mut self, nodes: usize) -> Vec<Option<Vector>> {
        let mut registers = self.spare.pop().unwrap_or_default();
        registers.clear();
        registers.resize_with(nodes, || None);
        registers
    }
}

/// A set of rows and what is known of them.
struct Frame {
    rows: usize,
    /// Its rows in the batch; `None`: all.
    selection: Option<Selection>,
    /// Its rows in the frame below; `None` for the lowest and for one that has nothing to do with the batch.
    within: Option<Selection>,
    /// Whether its rows are dictionary entries, so that the batch's columns say nothing of them.
    entries: bool,
    registers: Vec<Option<Vector>>,
}

/// A program running over one batch.
pub(super) struct Run<'a> {
    pub(super) nodes: &'a [Node],
    columns: &'a [Vector],
    pub(super) state: &'a mut State,
    frames: Vec<Frame>,
}

impl<'a> Run<'a> {
    /// Begins with the frame of the whole batch, whatever rows of it count.
    pub(super) fn new(nodes: &'a [Node], batch: &'a Batch, state: &'a mut State) -> Self {
        let registers = state.registers(nodes.len());
        let frame =
            Frame { rows: batch.rows, selection: None, within: None, entries: false, registers };
        Self { nodes, columns: &batch.columns, state, frames: vec![frame] }
    }

    /// Turns to some rows of the current frame.
    pub(super) fn enter(&mut self, within: Selection) {
        let selection = match self.frame().map(|frame| &frame.selection) {
            Some(Some(outer)) => outer.compose(&within),
            _ => within.clone(),
        };
        let registers = self.state.registers(self.nodes.len());
        self.frames.push(Frame {
            rows: within.len(),
            selection: Some(selection),
            within: Some(within),
            entries: self.on_entries(),
            registers,
        });
    }

    /// Turns to the entries of a dictionary, which are the values of one column.
    pub(super) fn enter_entries(&mut self, column: NodeId, entries: Vector) {
        let mut registers = self.state.registers(self.nodes.len());
        let rows = entries.len();
        registers[column] = Some(entries);
        self.frames.push(Frame { rows, selection: None, within: None, entries: true, registers });
    }

    /// Turns back.
    pub(super) fn leave(&mut self) {
        if let Some(frame) = self.frames.pop() {
            self.state.spare.push(frame.registers);
        }
    }

    /// Runs `f` on some rows of the current frame, all of them if `rows` is `None`.
    pub(super) fn on_rows<R>(
        &mut self,
        rows: Option<&[u32]>,
        f: impl FnOnce(&mut Self) -> Result<R>,
    ) -> Result<R> {
        match rows {
            Some(rows) if rows.len() < self.rows() => {
                self.enter(Selection::new(rows.to_vec()));
                let result = f(self);
                self.leave();
                result
            }
            _ => f(self),
        }
    }

    fn frame(&self) -> Option<&Frame> {
        self.frames.last()
    }

    /// How many rows the current frame has.
    pub(super) fn rows(&self) -> usize {
        self.frame().map_or(0, |frame| frame.rows)
    }

    /// Whether the current frame's rows are dictionary entries.
    pub(super) fn on_entries(&self) -> bool {
        self.frame().is_some_and(|frame| frame.entries)
    }

    /// Whether a node's value is known for the current frame without work.
    pub(super) fn is_known(&self, id: NodeId) -> bool {
        self.register(id).is_some() || matches!(self.nodes[id].op, Op::Constant(_) | Op::Column(_))
    }

    fn register(&self, id: NodeId) -> Option<&Vector> {
        self.frame().and_then(|frame| frame.registers[id].as_ref())
    }

    fn set(&mut self, id: NodeId, vector: Vector) {
        if let Some(frame) = self.frames.last_mut() {
            debug_assert_eq!(vector.len(), frame.rows);
            frame.registers[id] = Some(vector);
        }
    }

    /// A node's values for the current frame's rows.
    pub(super) fn value(&mut self, root: NodeId) -> Result<Vector> {
        let mut pending = vec![(root, false)];
        while let Some(&mut (id, ref mut seen)) = pending.last_mut() {
            let first_visit = !std::mem::replace(seen, true);
            if self.register(id).is_some() {
                pending.pop();
                continue;
            }
            if first_visit {
                if let Some(vector) = self.shortcut(id)? {
                    self.set(id, vector);
                    pending.pop();
                    continue;
                }
                if !self.nodes[id].op.is_lazy() {
                    let operands = self.nodes[id].op.operands();
                    let known = pending.len();
                    pending.extend(operands.into_iter().map(|operand| (operand, false)));
                    if pending.len() > known {
                        continue;
                    }
                }
            }
            let vector = self.execute(id)?;
            self.set(id, vector);
            pending.pop();
        }
        let missing = || EngineError::Internal("a register is empty".into());
        self.register(root).cloned().ok_or_else(missing)
    }

    /// A node's values without running its operation.
    fn shortcut(&mut self, id: NodeId) -> Result<Option<Vector>> {
        let rows = self.rows();
        let node = &self.nodes[id];
        if let Op::Column(index) = node.op {
            if !self.on_entries() {
                return Ok(Some(self.column(index)?));
            }
            let missing = || EngineError::Internal("a second column among entries".into());
            return self.known_below(id)?.ok_or_else(missing).map(Some);
        }
        if rows == 0 {
            return Ok(Some(Vector::Flat(new_empty_array(&node.ty.to_arrow()))));
        }
        if let Op::Constant(value) = &node.op {
            return Ok(Some(Vector::Constant { value: value.clone(), rows }));
        }
        if let Some(vector) = self.known_below(id)? {
            return Ok(Some(vector));
        }
        self.by_dictionary(id)
    }

    fn column(&self, index: usize) -> Result<Vector> {
        let missing = || EngineError::Internal(format!("an expression reads column {index}"));
        let column = self.columns.get(index).ok_or_else(missing)?;
        Ok(match self.frame().and_then(|frame| frame.selection.as_ref()) {
            Some(selection) => column.select(selection)?,
            None => column.clone(),
        })
    }

    /// The batch's column itself, whatever the current frame.
    pub(super) fn whole_column(&self, index: usize) -> Option<&'a Vector> {
        self.columns.get(index)
    }

    /// Values that a frame below has computed for more rows already.
    fn known_below(&self, id: NodeId) -> Result<Option<Vector>> {
        let mut frames = self.frames.iter().rev().peekable();
        let mut rows: Option<Selection> = None;
        while let (Some(frame), Some(below)) = (frames.next(), frames.peek()) {
            let Some(within) = &frame.within else { return Ok(None) };
            let selection = match rows {
                Some(inner) => within.compose(&inner),
                None => within.clone(),
            };
            if let Some(vector) = &below.registers[id] {
                return Ok(Some(vector.select(&selection)?));
            }
            rows = Some(selection);
        }
        Ok(None)
    }

    /// Runs a node's operation; the operands of one that is not lazy are in their registers.
    fn execute(&mut self, id: NodeId) -> Result<Vector> {
        let node = &self.nodes[id];
        match &node.op {
            Op::And(operands) => self.and_or(operands, true),
            Op::Or(operands) => self.and_or(operands, false),
            Op::Case { branches, otherwise } => self.case(branches, *otherwise, &node.ty),
            Op::Coalesce(args) => self.coalesce(args, &node.ty),
            op => {
                let missing = || EngineError::Internal("an operand has no value".into());
                let value = |id: NodeId| self.register(id).cloned().ok_or_else(missing);
                let operands = op.operands().into_iter().map(value).collect::<Result<Vec<_>>>()?;
                run_op(node, &operands, self.rows())
            }
        }
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        while !self.frames.is_empty() {
            self.leave();
        }
    }
}

/// The value of a node without columns, if it does not fail.
pub(super) fn fold(nodes: &[Node], id: NodeId) -> Option<Scalar> {
    let node = &nodes[id];
    let vector = if node.op.is_lazy() {
        let mut state = State::new(nodes.len());
        let batch = Batch::new(Vec::new(), 1);
        Run::new(nodes, &batch, &mut state).value(id).ok()?
    } else {
        let operand = |id: NodeId| match &nodes[id].op {
            Op::Constant(value) => Some(Vector::Constant { value: value.clone(), rows: 1 }),
            _ => None,
        };
        let operands = node.op.operands().into_iter().map(operand).collect::<Option<Vec<_>>>()?;
        run_op(node, &operands, 1).ok()?
    };
    vector.scalar(0).ok().filter(|value| *value.ty() == node.ty)
}

/// Runs an operation on its operands' values; constant operands give a constant.
fn run_op(node: &Node, operands: &[Vector], rows: usize) -> Result<Vector> {
    let is_constant = |vector: &Vector| matches!(vector, Vector::Constant { .. });
    if rows > 1 && node.is_pure && operands.iter().all(is_constant) {
        let single: Vec<Vector> = operands.iter().map(|operand| operand.slice(0, 1)).collect();
        let value = kernel(node, &single, 1)?.scalar(0)?;
        return Ok(Vector::Constant { value, rows });
    }
    kernel(node, operands, rows)
}

fn kernel(node: &Node, operands: &[Vector], rows: usize) -> Result<Vector> {
    let any_null = || operands.iter().any(is_constant_null);
    Ok(match (&node.op, operands) {
        (Op::Compare(op, ..), [left, right]) => compare(*op, left, right, rows)?,
        (Op::Not(_), [input]) => match is_constant_null(input) {
            true => null_vector(&LogicalType::Boolean, rows),
            false => boolean_vector(arrow::compute::not(&booleans(input)?)?),
        },
        (Op::IsNull { negated, .. }, [input]) => is_null(input, *negated, rows),
        (Op::Arithmetic(..) | Op::Negate(_) | Op::Like { .. } | Op::LikeConstant { .. }, _)
            if any_null() =>
        {
            null_vector(&node.ty, rows)
        }
        (Op::InList { .. }, [input]) if is_constant_null(input) => null_vector(&node.ty, rows),
        (Op::Arithmetic(op, ..), [left, right]) => arithmetic(*op, left, right, rows, &node.ty)?,
        (Op::Negate(_), [input]) => negate(input, rows)?,
        (Op::Cast { or_null, .. }, [input]) => cast(input, rows, &node.ty, *or_null)?,
        (Op::InList { set, negated, .. }, [input]) => set.test(input, rows, *negated)?,
        (Op::LikeConstant { pattern, options, .. }, [input]) => {
            like_constant(input, rows, pattern, options.negated)?
        }
        (Op::Like { options, .. }, [input, pattern]) => like(input, pattern, rows, *options)?,
        (Op::Native { native, .. }, args) => native.run(args, rows, &node.ty)?,
        (Op::Lambda { kind, body, .. }, args) => lambda::run(*kind, body, args, rows, &node.ty)?,
        (Op::External { name, function, .. }, args) => {
            external(name, function.as_ref(), args, rows, &node.ty)?
        }
        _ => return Err(EngineError::Internal("an operation without a kernel".into())),
    })
}

fn is_null(input: &Vector, negated: bool, rows: usize) -> Vector {
    match input.nulls() {
        None => Vector::Constant { value: Scalar::boolean(negated), rows },
        Some(nulls) => {
            let bits = if negated { nulls.into_inner() } else { !nulls.inner() };
            boolean_vector(arrow::array::BooleanArray::new(bits, None))
        }
    }
}

/// A function from outside: canonical arrays in, any layout of the type out.
fn external(
    name: &str,
    function: &dyn ScalarFunction,
    args: &[Vector],
    rows: usize,
    ty: &LogicalType,
) -> Result<Vector> {
    let is_constant = |vector: &Vector| matches!(vector, Vector::Constant { .. });
    let constant: Vec<bool> = args.iter().map(is_constant).collect();
    let one = |vector: &Vector| match vector {
        Vector::Constant { value, .. } => Ok(value.array().clone()),
        _ => Ok(one_or_all(vector)?.0),
    };
    let arrays = args.iter().map(one).collect::<Result<Vec<_>>>()?;
    let result = function.evaluate(&arrays, &constant, rows, ty)?;
    if result.len() != rows {
        let message = format!("function {name} gave {} rows for {rows}", result.len());
        return Err(EngineError::Internal(message));
    }
    let vector = Vector::from_arrow(&result)?;
    if vector.ty()? == *ty {
        return Ok(vector);
    }
    cast(&vector, rows, ty, false)
}
