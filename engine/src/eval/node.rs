//! The instructions of a program: one node per distinct subexpression, operands by number.
//!
//! Invariant: operands stand before the nodes that use them; equal pure subexpressions are one node.
//! Next: `compile.rs`, which makes them, and `run.rs`, which runs them.

use std::sync::Arc;

use stoadb_storage::{LogicalType, Scalar};

use super::{Program, call::Native};
use crate::{
    expr::{ArithmeticOp, CompareOp, LambdaKind},
    function::ScalarFunction,
    kernel::{
        in_list::InList,
        like::{LikeOptions, Pattern},
    },
};

/// A node's number, and its register's.
pub(super) type NodeId = usize;

/// One instruction.
pub(super) struct Node {
    /// What it computes.
    pub(super) op: Op,
    /// The type of its result.
    pub(super) ty: LogicalType,
    /// Whether it, or a node below it, can fail for some value.
    pub(super) can_fail: bool,
    /// Whether it and all nodes below it depend on their operands alone.
    pub(super) is_pure: bool,
    /// About how much work a row is, all nodes below it included.
    pub(super) cost: u32,
    /// Which columns it reads.
    pub(super) columns: Columns,
}

/// The columns that a node reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Columns {
    None,
    /// One only: the number of its `Op::Column` node.
    One(NodeId),
    Many,
}

impl Columns {
    /// Both together.
    pub(super) fn union(self, other: Self) -> Self {
        match (self, other) {
            (Self::None, other) => other,
            (this, Self::None) => this,
            (this, other) if this == other => this,
            _ => Self::Many,
        }
    }
}

/// The operations.
pub(super) enum Op {
    Column(usize),
    Constant(Scalar),
    Compare(CompareOp, NodeId, NodeId),
    And(Vec<NodeId>),
    Or(Vec<NodeId>),
    Not(NodeId),
    IsNull { input: NodeId, negated: bool },
    Arithmetic(ArithmeticOp, NodeId, NodeId),
    Negate(NodeId),
    Cast { input: NodeId, or_null: bool },
    Case { branches: Vec<(NodeId, NodeId)>, otherwise: Option<NodeId> },
    Coalesce(Vec<NodeId>),
    InList { input: NodeId, list: Arc<[Scalar]>, set: InList, negated: bool },
    LikeConstant { input: NodeId, text: String, pattern: Pattern, options: LikeOptions },
    Like { input: NodeId, pattern: NodeId, options: LikeOptions },
    Native { native: Native, args: Vec<NodeId> },
    Lambda { kind: LambdaKind, body: Arc<Program>, args: Vec<NodeId> },
    External { name: Arc<str>, function: Arc<dyn ScalarFunction>, args: Vec<NodeId> },
}

impl Op {
    /// The nodes that it reads, those that it may not evaluate included.
    pub(super) fn operands(&self) -> Vec<NodeId> {
        match self {
            Self::Column(_) | Self::Constant(_) => Vec::new(),
            Self::Compare(_, a, b) | Self::Arithmetic(_, a, b) => vec![*a, *b],
            Self::Like { input, pattern, .. } => vec![*input, *pattern],
            Self::And(args)
            | Self::Or(args)
            | Self::Coalesce(args)
            | Self::Native { args, .. }
            | Self::Lambda { args, .. }
            | Self::External { args, .. } => args.clone(),
            Self::Not(input)
            | Self::Negate(input)
            | Self::IsNull { input, .. }
            | Self::Cast { input, .. }
            | Self::InList { input, .. }
            | Self::LikeConstant { input, .. } => vec![*input],
            Self::Case { branches, otherwise } => {
                let both = branches.iter().flat_map(|&(when, then)| [when, then]);
                both.chain(*otherwise).collect()
            }
        }
    }

    /// Whether it evaluates its operands itself, for some rows only.
    pub(super) fn is_lazy(&self) -> bool {
        matches!(self, Self::And(_) | Self::Or(_) | Self::Case { .. } | Self::Coalesce(_))
    }

    /// Whether two operations are the same computation.
    pub(super) fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Column(a), Self::Column(b)) => a == b,
            (Self::Constant(a), Self::Constant(b)) => a == b,
            (Self::Compare(a, b, c), Self::Compare(x, y, z)) => (a, b, c) == (x, y, z),
            (Self::Arithmetic(a, b, c), Self::Arithmetic(x, y, z)) => (a, b, c) == (x, y, z),
            (Self::And(a), Self::And(b))
            | (Self::Or(a), Self::Or(b))
            | (Self::Coalesce(a), Self::Coalesce(b)) => a == b,
            (Self::Not(a), Self::Not(b)) | (Self::Negate(a), Self::Negate(b)) => a == b,
            (Self::IsNull { input: a, negated: n }, Self::IsNull { input: b, negated: m }) => {
                (a, n) == (b, m)
            }
            (Self::Cast { input: a, or_null: n }, Self::Cast { input: b, or_null: m }) => {
                (a, n) == (b, m)
            }
            (
                Self::Case { branches: a, otherwise: n },
                Self::Case { branches: b, otherwise: m },
            ) => a == b && n == m,
            (
                Self::InList { input: a, list: k, negated: n, .. },
                Self::InList { input: b, list: l, negated: m, .. },
            ) => (a, n) == (b, m) && k == l,
            (
                Self::LikeConstant { input: a, text: k, options: n, .. },
                Self::LikeConstant { input: b, text: l, options: m, .. },
            ) => (a, k, n) == (b, l, m),
            (
                Self::Like { input: a, pattern: k, options: n },
                Self::Like { input: b, pattern: l, options: m },
            ) => (a, k, n) == (b, l, m),
            (Self::Native { native: n, args: a }, Self::Native { native: m, args: b }) => {
                n.same(m) && a == b
            }
            (Self::External { name: n, args: a, .. }, Self::External { name: m, args: b, .. }) => {
                n == m && a == b
            }
            _ => false,
        }
    }

    /// A number that equal operations share.
    pub(super) fn key(&self) -> u64 {
        let kind = match self {
            Self::Column(index) => 1 + 32 * *index as u64,
            Self::Constant(value) => {
                let bits = value.as_i128().map(|value| value as u64);
                let bytes = || value.as_bytes().map(|bytes| bytes.iter().fold(7, mix));
                let bits = bits.or_else(|| value.as_f64().map(f64::to_bits)).or_else(bytes);
                mix_u64(2, bits.unwrap_or(0))
            }
            Self::Compare(op, ..) => 3 + 32 * *op as u64,
            Self::And(_) => 4,
            Self::Or(_) => 5,
            Self::Not(_) => 6,
            Self::IsNull { .. } => 7,
            Self::Arithmetic(op, ..) => 8 + 32 * *op as u64,
            Self::Negate(_) => 9,
            Self::Cast { .. } => 10,
            Self::Case { .. } => 11,
            Self::Coalesce(_) => 12,
            Self::InList { list, .. } => 13 + 32 * list.len() as u64,
            Self::LikeConstant { text, .. } => 14 + 32 * text.len() as u64,
            Self::Like { .. } => 15,
            Self::Native { native, .. } => 16 + 32 * native.name.len() as u64,
            Self::Lambda { .. } => 18,
            Self::External { name, .. } => 17 + 32 * name.len() as u64,
        };
        self.operands().iter().fold(kind, |key, &id| mix_u64(key, id as u64))
    }
}

fn mix(key: u64, byte: &u8) -> u64 {
    mix_u64(key, u64::from(*byte))
}

fn mix_u64(key: u64, value: u64) -> u64 {
    (key ^ value).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(23)
}
