//! Expressions to a program: flat, subexpressions shared, constants folded.
//!
//! Invariants: compiling does not recurse over the expression, whose depth the query's author chose; a constant
//! subexpression that fails stays in the program and fails when a row reaches it. Next: `run.rs`.

use std::sync::Arc;

use hashbrown::HashMap;
use stoadb_storage::{LogicalType, Scalar};

use super::{
    Program,
    call::Native,
    growth::{self, Bounded},
    node::{Columns, Node, NodeId, Op},
    run::fold,
};
use crate::{
    context::QueryContext,
    error::{EngineError, Result},
    expr::{ArithmeticOp, CompareOp, Expr, LambdaKind},
    function::ScalarFunction,
    kernel::{
        cast,
        in_list::InList,
        like::{LikeOptions, Pattern},
    },
};

/// Compiles expressions over the columns of one input.
pub(super) fn compile(exprs: &[Expr], context: &QueryContext) -> Result<Program> {
    let mut compiler = Compiler { context, nodes: Vec::new(), known: HashMap::default() };
    let roots = exprs.iter().map(|expr| compiler.expression(expr)).collect::<Result<_>>()?;
    Ok(Program { nodes: compiler.nodes, roots, cancel: context.cancel_flag() })
}

struct Compiler<'a> {
    context: &'a QueryContext,
    nodes: Vec<Node>,
    known: HashMap<u64, Vec<NodeId>, foldhash::fast::RandomState>,
}

impl Compiler<'_> {
    /// Compiles one expression, operands before their users.
    fn expression(&mut self, root: &Expr) -> Result<NodeId> {
        let mut pending = vec![(root, false)];
        let mut done: Vec<NodeId> = Vec::new();
        while let Some((expr, operands_done)) = pending.pop() {
            let operands = operands(expr);
            if operands_done || operands.is_empty() {
                let ids = done.split_off(done.len() - operands.len());
                let node = self.node(expr, &ids)?;
                done.push(self.intern(node));
                continue;
            }
            pending.push((expr, true));
            pending.extend(operands.into_iter().rev().map(|operand| (operand, false)));
        }
        done.pop().ok_or_else(|| EngineError::Internal("an expression without a node".into()))
    }

    fn node(&self, expr: &Expr, ids: &[NodeId]) -> Result<Node> {
        let ty = expr.ty();
        let input = ids.first().copied().unwrap_or(0);
        // Whether the operation itself can fail, and about how much work it is.
        let (op, fails, cost) = match expr {
            Expr::Column { index, .. } => (Op::Column(*index), false, 0),
            Expr::Literal(value) => (Op::Constant(value.clone()), false, 0),
            Expr::Subquery { id, .. } => {
                let message = format!("subquery {id} was not computed before its use");
                return Err(EngineError::Internal(message));
            }
            Expr::Parameter { index, .. } => {
                let message = format!("parameter {} was not given a value", index + 1);
                return Err(EngineError::Internal(message));
            }
            Expr::Compare { op, .. } => {
                let text = matches!(self.nodes[input].ty, LogicalType::Text | LogicalType::Blob);
                let ordered = !matches!(op, CompareOp::Eq | CompareOp::NotEq);
                let cost = if text { 2 + 2 * u32::from(ordered) } else { 1 };
                (Op::Compare(*op, input, ids[1]), false, cost)
            }
            Expr::And(_) => (Op::And(self.ordered(ids)), false, 1),
            Expr::Or(_) => (Op::Or(self.ordered(ids)), false, 1),
            Expr::Not(_) => (Op::Not(input), false, 1),
            Expr::IsNull(_) => (Op::IsNull { input, negated: false }, false, 1),
            Expr::IsNotNull(_) => (Op::IsNull { input, negated: true }, false, 1),
            Expr::Arithmetic { op, ty, .. } => {
                let divides = matches!(op, ArithmeticOp::Divide | ArithmeticOp::Modulo);
                let cost = if divides { 6 } else { 1 };
                (Op::Arithmetic(*op, input, ids[1]), !ty.is_float(), cost)
            }
            Expr::Negate(_) => (Op::Negate(input), !ty.is_float(), 1),
            Expr::Cast { ty, or_null, .. } => {
                let from = &self.nodes[input].ty;
                let text = matches!(from, LogicalType::Text) || *ty == LogicalType::Text;
                let fails = !or_null && !cast::never_fails(from, ty);
                (Op::Cast { input, or_null: *or_null }, fails, if text { 20 } else { 2 })
            }
            Expr::Case { branches, otherwise, .. } => {
                let pairs = ids.chunks_exact(2).take(branches.len());
                let branches = pairs.map(|pair| (pair[0], pair[1])).collect();
                let otherwise = otherwise.as_ref().and(ids.last().copied());
                (Op::Case { branches, otherwise }, false, 4)
            }
            Expr::InList { list, negated, .. } => {
                let set = InList::new(list, &self.nodes[input].ty);
                (Op::InList { input, list: Arc::clone(list), set, negated: *negated }, false, 3)
            }
            Expr::Like { escape, negated, ignore_case, .. } => {
                let options =
                    LikeOptions { escape: *escape, ignore_case: *ignore_case, negated: *negated };
                self.like(input, ids[1], options)
            }
            Expr::Lambda { kind, body, .. } => {
                let body = Arc::new(compile(std::slice::from_ref(body), self.context)?);
                let (fails, pure) = body.traits();
                let reduces = matches!(kind, LambdaKind::Reduce { initial: false });
                let fails = *kind != LambdaKind::Try && (fails || reduces);
                let op = Op::Lambda { kind: *kind, body, args: ids.to_vec() };
                return Ok(self.finish(op, ty, fails, pure, 200));
            }
            Expr::Call { function, .. } => return self.call(function, ids, ty),
        };
        Ok(self.finish(op, ty, fails, true, cost))
    }

    fn finish(&self, op: Op, ty: LogicalType, fails: bool, is_pure: bool, cost: u32) -> Node {
        let mut node = Node { ty, can_fail: fails, is_pure, cost, columns: Columns::None, op };
        for operand in node.op.operands() {
            let operand = &self.nodes[operand];
            node.can_fail |= operand.can_fail;
            node.is_pure &= operand.is_pure;
            node.cost = node.cost.saturating_add(operand.cost);
            node.columns = node.columns.union(operand.columns);
        }
        node
    }

    /// Operands of AND or OR, the cheapest first if none can fail.
    fn ordered(&self, ids: &[NodeId]) -> Vec<NodeId> {
        let mut ids = ids.to_vec();
        if ids.iter().all(|&id| !self.nodes[id].can_fail && self.nodes[id].is_pure) {
            ids.sort_by_key(|&id| self.nodes[id].cost);
        }
        ids
    }

    fn like(&self, input: NodeId, pattern: NodeId, options: LikeOptions) -> (Op, bool, u32) {
        if let Op::Constant(value) = &self.nodes[pattern].op
            && let Some(text) = value.as_bytes().and_then(|bytes| str::from_utf8(bytes).ok())
        {
            let blob = self.nodes[input].ty == LogicalType::Blob;
            if let Ok(pattern) = Pattern::compile(text, options, blob) {
                let cost = if matches!(pattern, Pattern::Regex(_)) { 40 } else { 8 };
                let text = text.to_owned();
                return (Op::LikeConstant { input, text, pattern, options }, false, cost);
            }
        }
        (Op::Like { input, pattern, options }, true, 80)
    }

    fn call(&self, name: &Arc<str>, args: &[NodeId], ty: LogicalType) -> Result<Node> {
        let types: Vec<_> = args.iter().map(|&arg| self.nodes[arg].ty.clone()).collect();
        if &**name == "coalesce" && !types.is_empty() && types.iter().all(|other| *other == ty) {
            return Ok(self.finish(Op::Coalesce(args.to_vec()), ty, false, true, 2));
        }
        let constants: Vec<Option<&Scalar>> = args
            .iter()
            .map(|&arg| match &self.nodes[arg].op {
                Op::Constant(value) => Some(value),
                _ => None,
            })
            .collect();
        let most_bytes = growth::most_bytes(self.context);
        if let Some(native) = Native::resolve(name, &types, &constants, &ty) {
            let native = native.within(most_bytes);
            let (can_fail, cost) = (native.can_fail, native.cost);
            return Ok(self.finish(
                Op::Native { native, args: args.to_vec() },
                ty,
                can_fail,
                true,
                cost,
            ));
        }
        let Some(function) = self.context.functions().get(name) else {
            let types: Vec<String> = types.iter().map(ToString::to_string).collect();
            let message = format!("function {name}({})", types.join(", "));
            return Err(EngineError::Unsupported(message));
        };
        let function: Arc<dyn ScalarFunction> = match growth::grows(name) {
            false => Arc::clone(function),
            true => {
                let (name, inner) = (Arc::clone(name), Arc::clone(function));
                Arc::new(Bounded { name, inner, most_bytes })
            }
        };
        let is_pure = function.is_pure();
        let op = Op::External { name: Arc::clone(name), function, args: args.to_vec() };
        Ok(self.finish(op, ty, true, is_pure, 50))
    }

    /// The number of a node: of an equal one that is there already, of its value if it is constant, or a new one.
    fn intern(&mut self, node: Node) -> NodeId {
        if node.is_pure
            && let Some(same) = self.find(&node)
        {
            return same;
        }
        let foldable = node.is_pure
            && node.columns == Columns::None
            && !matches!(node.op, Op::Constant(_) | Op::Column(_));
        let (key, is_pure, ty) = (node.op.key(), node.is_pure, node.ty.clone());
        let id = self.nodes.len();
        self.nodes.push(node);
        if matches!(self.nodes[id].op, Op::Column(_)) {
            self.nodes[id].columns = Columns::One(id);
        }
        if foldable && let Some(value) = fold(&self.nodes, id) {
            self.nodes.pop();
            let constant = self.finish(Op::Constant(value), ty, false, true, 0);
            return self.intern(constant);
        }
        if is_pure {
            self.known.entry(key).or_default().push(id);
        }
        id
    }

    fn find(&self, node: &Node) -> Option<NodeId> {
        let candidates = self.known.get(&node.op.key())?;
        candidates.iter().copied().find(|&id| {
            let other = &self.nodes[id];
            other.ty == node.ty && other.op.same(&node.op)
        })
    }
}

/// The operands of an expression; those of an AND within an AND, or an OR within an OR, are its own.
fn operands(expr: &Expr) -> Vec<&Expr> {
    let nested = |inner: &Expr| {
        matches!((expr, inner), (Expr::And(_), Expr::And(_)) | (Expr::Or(_), Expr::Or(_)))
    };
    if !expr.children().into_iter().any(nested) {
        return expr.children();
    }
    let mut flat = Vec::new();
    let mut pending = vec![expr];
    while let Some(inner) = pending.pop() {
        if std::ptr::eq(inner, expr) || nested(inner) {
            pending.extend(inner.children().into_iter().rev());
        } else {
            flat.push(inner);
        }
    }
    flat
}
