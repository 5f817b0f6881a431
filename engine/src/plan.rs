//! The physical plan: plain data, exhaustively matched. `query` builds it; `open.rs` turns it into pipelines.
//!
//! Invariants: a plan is data (no function pointer, no table contents), so that it can be compared, cached and printed.
//! Columns are ordinals of the child's output. Every node knows its output schema (`Plan::schema`).

use stoadb_storage::{Prune, Schema};

pub use self::aggregate::{AggregateCall, AggregateFunction};
pub use self::window::{
    Exclude, Frame, FrameBound, FrameUnit, Rank, Which, WindowCall, WindowPlan,
};
use crate::expr::{CompareOp, Expr};

mod aggregate;
mod window;

/// A statement's plan: the main plan and the uncorrelated scalar subqueries that its expressions name by position.
/// A subquery may use those before it.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryPlan {
    /// What gives the result.
    pub root: Plan,
    /// Run first, in order; each has one output column.
    pub subqueries: Vec<Plan>,
    /// Plans that several `Plan::Shared` nodes read; run once, in order, when first needed.
    pub shared: Vec<Plan>,
}

/// A physical operator and its inputs.
#[derive(Debug, Clone, PartialEq)]
pub enum Plan {
    /// Rows of constant expressions.
    Values {
        /// The output columns.
        schema: Schema,
        /// The rows; each has an expression without columns per output column.
        rows: Vec<Vec<Expr>>,
    },
    /// A table or a set of files.
    Scan(ScanPlan),
    /// Reads `QueryPlan::shared[id]`, which is computed once.
    Shared {
        /// Which.
        id: usize,
        /// Its output columns.
        schema: Schema,
    },
    /// Keeps the rows for which the predicate is TRUE.
    Filter {
        /// The input.
        input: Box<Plan>,
        /// A boolean expression.
        predicate: Expr,
    },
    /// Computes expressions.
    Project {
        /// The input.
        input: Box<Plan>,
        /// The output columns.
        schema: Schema,
        /// One per output column.
        exprs: Vec<Expr>,
    },
    /// Groups and aggregates. Without groups and sets, one row. Output: group columns, then aggregates; with
    /// `grouping_sets`, a last BIGINT column `grouping_id` (bit i counted from the last group column is set when that
    /// column is not grouped by in the row's set). Rows come in the order of each group's first row, those of one
    /// grouping set after those of the set before it.
    Aggregate {
        /// The input.
        input: Box<Plan>,
        /// The output columns.
        schema: Schema,
        /// What is grouped by. NULLs are equal, NaNs are equal, -0.0 equals 0.0.
        groups: Vec<Expr>,
        /// Which group expressions each set groups by; empty for plain GROUP BY.
        grouping_sets: Vec<Vec<usize>>,
        /// The aggregates.
        aggregates: Vec<AggregateCall>,
    },
    /// Joins two inputs.
    Join(JoinPlan),
    /// Orders by keys; ties keep their input order. With `limit`, keeps only the first rows (top-k).
    Sort {
        /// The input.
        input: Box<Plan>,
        /// The keys, first the most significant.
        keys: Vec<SortKey>,
        /// How many rows are needed, offset included.
        limit: Option<u64>,
    },
    /// A plan that reads its own rows.
    Recursive(RecursivePlan),
    /// In the step of a recursive query, the rows of its last run.
    WorkTable {
        /// Which recursive query's.
        id: usize,
        /// Its output columns.
        schema: Schema,
    },
    /// Skips rows, then passes at most some.
    Limit {
        /// The input.
        input: Box<Plan>,
        /// Rows to skip.
        offset: u64,
        /// Rows to pass after these; `None` for all.
        limit: Option<u64>,
    },
    /// A row for every element of lists, read side by side; rows whose lists are all empty or NULL give none.
    Unnest {
        /// The input.
        input: Box<Plan>,
        /// The output columns.
        schema: Schema,
        /// Where each comes from.
        columns: Vec<UnnestColumn>,
    },
    /// Appends the values of window functions.
    Window(WindowPlan),
    /// All rows of all inputs, input after input. All have the same types.
    Union {
        /// The output columns.
        schema: Schema,
        /// The inputs.
        inputs: Vec<Plan>,
    },
}

/// An output column of `Plan::Unnest`, by the input's column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnnestColumn {
    /// The value, repeated for every element.
    Repeat(usize),
    /// The elements of a list; NULL past its end.
    Elements(usize),
    /// A field of a struct, repeated for every element.
    Field(usize, usize),
}

impl UnnestColumn {
    /// The input's column.
    pub fn input(&self) -> usize {
        match self {
            Self::Repeat(input) | Self::Elements(input) | Self::Field(input, _) => *input,
        }
    }

    /// The same of another column of the input.
    pub fn of(self, input: usize) -> Self {
        match self {
            Self::Repeat(_) => Self::Repeat(input),
            Self::Elements(_) => Self::Elements(input),
            Self::Field(_, field) => Self::Field(input, field),
        }
    }
}

/// A scan of a relation with its filter.
#[derive(Debug, Clone, PartialEq)]
pub struct ScanPlan {
    /// The relation, resolved through `QueryContext::relation` when the plan is opened.
    pub relation: RelationId,
    /// The name, for EXPLAIN.
    pub name: String,
    /// The output columns.
    pub schema: Schema,
    /// The columns to return, as ordinals of the relation.
    pub projection: Vec<usize>,
    /// The predicate over the relation's columns (ordinals of the relation, not of the output).
    pub filter: Option<Expr>,
    /// What statistics can judge of the predicate.
    pub prune: Option<Prune>,
    /// Whether `prune` is TRUE for just the rows for which `filter` is.
    pub prune_is_exact: bool,
}

impl ScanPlan {
    /// What statistics can judge of the rows that are wanted, with what joins have learnt of them.
    pub(crate) fn prune_with(&self, learnt: &[Prune]) -> Option<Prune> {
        let mut all: Vec<Prune> = self.prune.iter().chain(learnt).cloned().collect();
        if all.len() > 1 { Some(Prune::And(all)) } else { all.pop() }
    }

    /// Whether the prune predicate says all that the filter says.
    pub(crate) fn is_judged(&self) -> bool {
        self.filter.is_none() || self.prune_is_exact
    }
}

/// A recursive query: the rows of `base`, then those of `step` over them, then those of `step` over these, until a run
/// gives none.
#[derive(Debug, Clone, PartialEq)]
pub struct RecursivePlan {
    /// What `Plan::WorkTable` in `step` names.
    pub id: usize,
    /// The output columns, of both plans.
    pub schema: Schema,
    /// The first rows.
    pub base: Box<Plan>,
    /// The next rows.
    pub step: Box<Plan>,
    /// Rows that came before are left out (UNION rather than UNION ALL).
    pub distinct: bool,
    /// How many rows are needed at most; runs stop when there are as many.
    pub limit: Option<u64>,
}

/// Which relation of a statement a scan reads: a position in the list that the statement was planned against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RelationId(pub usize);

/// A join. The left input is the probe side, the right input the build side.
#[derive(Debug, Clone, PartialEq)]
pub struct JoinPlan {
    /// The probe side.
    pub left: Box<Plan>,
    /// The build side.
    pub right: Box<Plan>,
    /// The kind, seen from the left.
    pub kind: JoinKind,
    /// Equality keys: an expression over the left input and one over the right input, of one type.
    pub keys: Vec<JoinKey>,
    /// What must hold besides, over the left columns followed by the right columns. In an ASOF join it is asked of the
    /// one pair that a left row has.
    pub residual: Option<Expr>,
    /// In an ASOF join, which of the right rows with equal keys a left row is paired with.
    pub nearest: Option<NearestKey>,
    /// The output columns: left then right for inner and outer joins, one side for semi and anti joins, left and a
    /// boolean for mark joins.
    pub schema: Schema,
}

/// The inequality of an ASOF join. Of the right rows for which it holds, that with the nearest moment is paired with a
/// left row, of those with equal moments the last.
#[derive(Debug, Clone, PartialEq)]
pub struct NearestKey {
    /// Over the left input.
    pub left: Expr,
    /// Over the right input, of the same type.
    pub right: Expr,
    /// How the left one compares to the right one: `>=`, `>`, `<=` or `<`.
    pub op: CompareOp,
}

/// An equality of a join.
#[derive(Debug, Clone, PartialEq)]
pub struct JoinKey {
    /// Over the left input.
    pub left: Expr,
    /// Over the right input.
    pub right: Expr,
    /// Whether NULL matches NULL (`IS NOT DISTINCT FROM`).
    pub null_equal: bool,
}

/// The kinds of joins. Rows come in the order of the probe (left) rows, matches of one row in the order of the build
/// rows; unmatched build rows come last, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JoinKind {
    /// Matching pairs.
    Inner,
    /// And left rows without a match.
    Left,
    /// And right rows without a match.
    Right,
    /// And both.
    Full,
    /// Left rows with a match.
    LeftSemi,
    /// Left rows without a match.
    LeftAnti,
    /// Left rows without a match, as NOT IN sees it: a NULL in the first key on either side means "unknown", so that a
    /// left row passes only if no right row that matches the other keys has an equal or NULL first key, and, unless no
    /// such right row exists, its own first key is not NULL.
    LeftAntiNullAware,
    /// Right rows with a match.
    RightSemi,
    /// Right rows without a match.
    RightAnti,
    /// Every left row and whether it has a match.
    LeftMark,
}

/// A sort key.
#[derive(Debug, Clone, PartialEq)]
pub struct SortKey {
    /// What to order by.
    pub expr: Expr,
    /// Largest first. NaN is larger than every number.
    pub descending: bool,
    /// NULLs before everything else.
    pub nulls_first: bool,
}

impl Plan {
    /// The output columns.
    pub fn schema(&self) -> &Schema {
        match self {
            Self::Values { schema, .. }
            | Self::Shared { schema, .. }
            | Self::WorkTable { schema, .. }
            | Self::Project { schema, .. }
            | Self::Aggregate { schema, .. }
            | Self::Unnest { schema, .. }
            | Self::Union { schema, .. } => schema,
            Self::Scan(scan) => &scan.schema,
            Self::Join(join) => &join.schema,
            Self::Recursive(recursive) => &recursive.schema,
            Self::Window(window) => &window.schema,
            Self::Filter { input, .. } | Self::Sort { input, .. } | Self::Limit { input, .. } => {
                input.schema()
            }
        }
    }

    /// The inputs, left before right.
    pub fn inputs(&self) -> Vec<&Plan> {
        match self {
            Self::Values { .. } | Self::Scan(_) | Self::Shared { .. } | Self::WorkTable { .. } => {
                Vec::new()
            }
            Self::Filter { input, .. }
            | Self::Project { input, .. }
            | Self::Aggregate { input, .. }
            | Self::Sort { input, .. }
            | Self::Unnest { input, .. }
            | Self::Limit { input, .. } => vec![input],
            Self::Join(join) => vec![&join.left, &join.right],
            Self::Recursive(recursive) => vec![&recursive.base, &recursive.step],
            Self::Window(window) => vec![&window.input],
            Self::Union { inputs, .. } => inputs.iter().collect(),
        }
    }

    /// The inputs, left before right, to be changed in place.
    pub fn inputs_mut(&mut self) -> Vec<&mut Plan> {
        match self {
            Self::Values { .. } | Self::Scan(_) | Self::Shared { .. } | Self::WorkTable { .. } => {
                Vec::new()
            }
            Self::Filter { input, .. }
            | Self::Project { input, .. }
            | Self::Aggregate { input, .. }
            | Self::Sort { input, .. }
            | Self::Unnest { input, .. }
            | Self::Limit { input, .. } => vec![input],
            Self::Join(join) => vec![&mut join.left, &mut join.right],
            Self::Recursive(recursive) => vec![&mut recursive.base, &mut recursive.step],
            Self::Window(window) => vec![&mut window.input],
            Self::Union { inputs, .. } => inputs.iter_mut().collect(),
        }
    }

    /// How many operators there are. They are numbered in pre-order, inputs from left to right.
    pub fn node_count(&self) -> usize {
        1 + self.inputs().into_iter().map(Self::node_count).sum::<usize>()
    }

    /// Calls `f` on every expression of every operator.
    pub fn for_each_expr_mut(&mut self, f: &mut impl FnMut(&mut Expr)) {
        match self {
            Self::Values { rows, .. } => rows.iter_mut().flatten().for_each(f),
            Self::Shared { .. } | Self::WorkTable { .. } => {}
            Self::Recursive(recursive) => {
                recursive.base.for_each_expr_mut(f);
                recursive.step.for_each_expr_mut(f);
            }
            Self::Scan(scan) => scan.filter.iter_mut().for_each(f),
            Self::Filter { input, predicate } => {
                f(predicate);
                input.for_each_expr_mut(f);
            }
            Self::Project { input, exprs, .. } => {
                exprs.iter_mut().for_each(&mut *f);
                input.for_each_expr_mut(f);
            }
            Self::Aggregate { input, groups, aggregates, .. } => {
                groups.iter_mut().for_each(&mut *f);
                aggregates.iter_mut().for_each(|call| call.for_each_expr_mut(f));
                input.for_each_expr_mut(f);
            }
            Self::Join(join) => {
                for key in &mut join.keys {
                    f(&mut key.left);
                    f(&mut key.right);
                }
                if let Some(nearest) = &mut join.nearest {
                    f(&mut nearest.left);
                    f(&mut nearest.right);
                }
                join.residual.iter_mut().for_each(&mut *f);
                join.left.for_each_expr_mut(f);
                join.right.for_each_expr_mut(f);
            }
            Self::Sort { input, keys, .. } => {
                keys.iter_mut().for_each(|key| f(&mut key.expr));
                input.for_each_expr_mut(f);
            }
            Self::Limit { input, .. } | Self::Unnest { input, .. } => input.for_each_expr_mut(f),
            Self::Window(window) => {
                window.for_each_own_expr_mut(f);
                window.input.for_each_expr_mut(f);
            }
            Self::Union { inputs, .. } => {
                inputs.iter_mut().for_each(|input| input.for_each_expr_mut(f));
            }
        }
    }
}

impl QueryPlan {
    /// How many operators there are: those of the subqueries, of the shared plans and of the main plan, numbered in
    /// this order.
    pub fn node_count(&self) -> usize {
        self.first_node() + self.root.node_count()
    }

    /// The number of the main plan's first operator.
    pub fn first_node(&self) -> usize {
        self.subqueries.iter().chain(&self.shared).map(Plan::node_count).sum()
    }
}
