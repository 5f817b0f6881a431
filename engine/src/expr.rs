//! Scalar expressions: typed plain data, exhaustively matched.
//!
//! Invariants: every node's type is known without context (`Expr::ty`); operands of a comparison have one type, operands
//! of integer and float arithmetic have the result's type (the planner coerces; kernels never do). A plan's expressions
//! are comparable and hold no function pointer: functions are named and resolved when a plan is opened.
//! Next: `plan.rs`; `eval/`, which compiles them.

use std::sync::Arc;

use stoadb_storage::{LogicalType, Scalar};

/// A scalar expression over the columns of an operator's input.
#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    /// An input column.
    Column {
        /// Its ordinal.
        index: usize,
        /// Its type.
        ty: LogicalType,
    },
    /// A constant.
    Literal(Scalar),
    /// The one value of an uncorrelated subquery, `QueryPlan::subqueries[id]`; replaced by a literal before the plan
    /// that uses it is opened. No row gives NULL, a second row is an error.
    Subquery {
        /// Which subquery.
        id: usize,
        /// Its type.
        ty: LogicalType,
    },
    /// The value of a parameter that the plan was made without; replaced by a literal before the plan is opened.
    Parameter {
        /// Which, counted from 0.
        index: usize,
        /// Its type.
        ty: LogicalType,
    },
    /// A comparison; NULL if an operand is NULL, except for the two DISTINCT forms. Floats: NaN equals NaN and is
    /// greater than every number; -0.0 equals 0.0. Text and blobs compare bytewise.
    Compare {
        /// The operator.
        op: CompareOp,
        /// Left operand.
        left: Box<Expr>,
        /// Right operand, of the same type.
        right: Box<Expr>,
    },
    /// Three-valued AND of one or more operands.
    And(Vec<Expr>),
    /// Three-valued OR of one or more operands.
    Or(Vec<Expr>),
    /// Three-valued NOT.
    Not(Box<Expr>),
    /// `IS NULL`, never NULL itself.
    IsNull(Box<Expr>),
    /// `IS NOT NULL`.
    IsNotNull(Box<Expr>),
    /// `+ - * / %`. Overflow is an error, as are integer and decimal division by zero; float division by zero gives
    /// infinity or NaN. Beside numbers of one type it takes: decimals of different scales; date/timestamp +- interval;
    /// timestamp - timestamp (duration); date - date (bigint days); date +- integer days; interval +- interval;
    /// interval * integer; time +- interval.
    Arithmetic {
        /// The operator.
        op: ArithmeticOp,
        /// Left operand.
        left: Box<Expr>,
        /// Right operand.
        right: Box<Expr>,
        /// The result's type.
        ty: LogicalType,
    },
    /// Unary minus on numbers, intervals and durations; overflow is an error.
    Negate(Box<Expr>),
    /// A conversion. A value that does not fit is an error, or NULL if `or_null` (TRY_CAST).
    Cast {
        /// What to convert.
        input: Box<Expr>,
        /// To which type.
        ty: LogicalType,
        /// NULL instead of an error.
        or_null: bool,
    },
    /// `CASE WHEN .. THEN .. ELSE .. END`. A branch is evaluated only for the rows that reach it.
    Case {
        /// Conditions and results, in order.
        branches: Vec<(Expr, Expr)>,
        /// The result when no condition is TRUE; NULL when absent.
        otherwise: Option<Box<Expr>>,
        /// The type of all results.
        ty: LogicalType,
    },
    /// `input IN (values)`; three-valued: NULL when nothing matches and a value (or the input) is NULL.
    InList {
        /// What is looked for.
        input: Box<Expr>,
        /// The values, each of the input's type; NULLs allowed.
        list: Arc<[Scalar]>,
        /// `NOT IN`.
        negated: bool,
    },
    /// `input LIKE pattern`.
    Like {
        /// The text (or blob).
        input: Box<Expr>,
        /// The pattern.
        pattern: Box<Expr>,
        /// The escape character. None: a backslash escapes, as in PostgreSQL.
        escape: Option<char>,
        /// `NOT LIKE`.
        negated: bool,
        /// `ILIKE`.
        ignore_case: bool,
    },
    /// A lambda over the elements of lists. `args` are the lists, the first value of a reduction that has one, and what
    /// the body captures; the body's columns are its parameters, then the captures. It is no operand: its columns are
    /// its own.
    Lambda {
        /// What it is for.
        kind: LambdaKind,
        /// The lists and what else is computed outside.
        args: Vec<Expr>,
        /// What is computed for every element.
        body: Box<Expr>,
        /// The result's type.
        ty: LogicalType,
    },
    /// A named function.
    Call {
        /// The name in lower case, the key in `FunctionRegistry`.
        function: Arc<str>,
        /// The arguments.
        args: Vec<Expr>,
        /// The result's type.
        ty: LogicalType,
    },
}

/// What a lambda is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LambdaKind {
    /// Its results are the elements of the result. Parameters: an element, its position from 1.
    Transform,
    /// Elements for which it is TRUE are those of the result. Parameters: an element, its position.
    Filter,
    /// TRUE where it is TRUE for an element; otherwise NULL where it is NULL for one. Parameters: an element, its
    /// position.
    AnyMatch,
    /// Its last result, where each becomes the first parameter of the next. Parameters: the result so far, an element,
    /// its position.
    Reduce {
        /// Whether there is a first value before the first element; otherwise that element is it.
        initial: bool,
    },
    /// Its result, NULL for the rows in which it raises an error. It has no parameters and no lists, only captures.
    Try,
}

impl LambdaKind {
    /// The name of the function.
    pub fn name(self) -> &'static str {
        match self {
            Self::Transform => "list_transform",
            Self::Filter => "list_filter",
            Self::AnyMatch => "array_any_match",
            Self::Reduce { .. } => "list_reduce",
            Self::Try => "try",
        }
    }

    /// How many parameters the body has.
    pub fn parameters(self) -> usize {
        match self {
            Self::Reduce { .. } => 3,
            Self::Transform | Self::Filter | Self::AnyMatch => 2,
            Self::Try => 0,
        }
    }
}

/// Comparison operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CompareOp {
    /// `=`
    Eq,
    /// `<>`
    NotEq,
    /// `<`
    Lt,
    /// `<=`
    LtEq,
    /// `>`
    Gt,
    /// `>=`
    GtEq,
    /// `IS DISTINCT FROM`
    Distinct,
    /// `IS NOT DISTINCT FROM`
    NotDistinct,
}

/// Arithmetic operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ArithmeticOp {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`: truncating for integers.
    Divide,
    /// `%`: the sign follows the dividend.
    Modulo,
}

impl Expr {
    /// An input column.
    pub fn column(index: usize, ty: LogicalType) -> Self {
        Self::Column { index, ty }
    }

    /// The type of the result.
    pub fn ty(&self) -> LogicalType {
        match self {
            Self::Column { ty, .. }
            | Self::Subquery { ty, .. }
            | Self::Parameter { ty, .. }
            | Self::Arithmetic { ty, .. }
            | Self::Cast { ty, .. }
            | Self::Case { ty, .. }
            | Self::Lambda { ty, .. }
            | Self::Call { ty, .. } => ty.clone(),
            Self::Literal(value) => value.ty().clone(),
            Self::Negate(input) => input.ty(),
            Self::Compare { .. }
            | Self::And(_)
            | Self::Or(_)
            | Self::Not(_)
            | Self::IsNull(_)
            | Self::IsNotNull(_)
            | Self::InList { .. }
            | Self::Like { .. } => LogicalType::Boolean,
        }
    }

    /// The operands, in order.
    pub fn children(&self) -> Vec<&Expr> {
        match self {
            Self::Column { .. }
            | Self::Literal(_)
            | Self::Subquery { .. }
            | Self::Parameter { .. } => Vec::new(),
            Self::Compare { left, right, .. } | Self::Arithmetic { left, right, .. } => {
                vec![left, right]
            }
            Self::And(args)
            | Self::Or(args)
            | Self::Call { args, .. }
            | Self::Lambda { args, .. } => args.iter().collect(),
            Self::Not(input)
            | Self::IsNull(input)
            | Self::IsNotNull(input)
            | Self::Negate(input)
            | Self::Cast { input, .. }
            | Self::InList { input, .. } => vec![input],
            Self::Like { input, pattern, .. } => vec![input, pattern],
            Self::Case { branches, otherwise, .. } => {
                let branches = branches.iter().flat_map(|(when, then)| [when, then]);
                branches.chain(otherwise.as_deref()).collect()
            }
        }
    }

    /// The operands, in order, to be changed in place.
    pub fn children_mut(&mut self) -> Vec<&mut Expr> {
        match self {
            Self::Column { .. }
            | Self::Literal(_)
            | Self::Subquery { .. }
            | Self::Parameter { .. } => Vec::new(),
            Self::Compare { left, right, .. } | Self::Arithmetic { left, right, .. } => {
                vec![left, right]
            }
            Self::And(args)
            | Self::Or(args)
            | Self::Call { args, .. }
            | Self::Lambda { args, .. } => args.iter_mut().collect(),
            Self::Not(input)
            | Self::IsNull(input)
            | Self::IsNotNull(input)
            | Self::Negate(input)
            | Self::Cast { input, .. }
            | Self::InList { input, .. } => vec![input],
            Self::Like { input, pattern, .. } => vec![input, pattern],
            Self::Case { branches, otherwise, .. } => {
                let branches = branches.iter_mut().flat_map(|(when, then)| [when, then]);
                branches.chain(otherwise.as_deref_mut()).collect()
            }
        }
    }

    /// Calls `f` on every input column's ordinal.
    pub fn for_each_column(&self, f: &mut impl FnMut(usize)) {
        if let Self::Column { index, .. } = self {
            f(*index);
        }
        for child in self.children() {
            child.for_each_column(f);
        }
    }

    /// Replaces every input column's ordinal by what `f` says.
    pub fn map_columns(&mut self, f: &mut impl FnMut(usize) -> usize) {
        if let Self::Column { index, .. } = self {
            *index = f(*index);
        }
        for child in self.children_mut() {
            child.map_columns(f);
        }
    }
}
