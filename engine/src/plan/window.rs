//! Window functions as plan data.
//!
//! Invariant: what a frame means is decided here, not by the operator: defaults, `RANGE` distances and constants are
//! resolved by whoever builds the plan. Next: `op/window/`, which runs it.

use stoadb_storage::{LogicalType, Schema};

use super::{AggregateCall, Plan, SortKey};
use crate::expr::Expr;

/// Window functions over one partitioning and one order.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowPlan {
    /// The input.
    pub input: Box<Plan>,
    /// The output columns: the input's, then one per call. Rows come by partition, in the order of the partitioning
    /// values, within a partition by `order_by`; ties keep their input order.
    pub schema: Schema,
    /// Rows that are equal in these form a partition. NULLs are equal, NaNs are equal, -0.0 equals 0.0.
    pub partition_by: Vec<Expr>,
    /// The order within a partition. Rows that are equal in all keys are peers.
    pub order_by: Vec<SortKey>,
    /// What is computed.
    pub calls: Vec<WindowCall>,
}

/// One window function.
#[derive(Debug, Clone, PartialEq)]
pub enum WindowCall {
    /// Where the row stands in its partition.
    Rank(Rank),
    /// The number of the row's bucket when the partition is cut into so many of nearly equal size, the larger ones
    /// first; NULL for NULL, an error for less than 1.
    Ntile(Expr),
    /// The value of a row so many rows away; `default` (else NULL) where the partition has no such row.
    Shift {
        /// The value.
        value: Expr,
        /// How many rows, a BIGINT; negative is the other direction, NULL gives NULL.
        distance: Expr,
        /// Of the value's type.
        default: Option<Expr>,
        /// `lead` rather than `lag`.
        forward: bool,
        /// Rows whose value is NULL do not count.
        ignore_nulls: bool,
    },
    /// The value of one row of the frame; NULL where there is none.
    Pick {
        /// The value.
        value: Expr,
        /// Which row.
        which: Which,
        /// Rows whose value is NULL do not count.
        ignore_nulls: bool,
        /// The frame.
        frame: Frame,
    },
    /// An aggregate of the frame's rows.
    Aggregate {
        /// The aggregate.
        call: AggregateCall,
        /// The frame.
        frame: Frame,
    },
}

/// Functions of the row's place alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rank {
    /// From 1.
    RowNumber,
    /// The number of the first peer.
    Rank,
    /// The number of the group of peers.
    DenseRank,
    /// `(rank - 1) / (rows - 1)`, 0 in a partition of one row.
    PercentRank,
    /// The share of rows up to the last peer.
    CumeDist,
}

/// Which row of a frame.
#[derive(Debug, Clone, PartialEq)]
pub enum Which {
    /// The first.
    First,
    /// The last.
    Last,
    /// The n-th, a BIGINT from 1; an error below, NULL for NULL.
    Nth(Expr),
}

/// The rows around a row that a function sees.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    /// What bounds count.
    pub unit: FrameUnit,
    /// Where the frame starts.
    pub start: FrameBound,
    /// Where it ends, inclusive.
    pub end: FrameBound,
    /// Which of these rows are left out.
    pub exclude: Exclude,
}

/// Which rows of a frame are left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Exclude {
    /// None.
    #[default]
    Nothing,
    /// The row itself.
    CurrentRow,
    /// The row and its peers.
    Group,
    /// The row's peers, but not the row itself.
    Ties,
}

impl Frame {
    /// The whole partition.
    pub const ALL: Self = Self {
        unit: FrameUnit::Rows,
        start: FrameBound::Unbounded,
        end: FrameBound::Unbounded,
        exclude: Exclude::Nothing,
    };
}

/// What the bounds of a frame count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameUnit {
    /// Rows; `CurrentRow` is the row itself.
    Rows,
    /// Values of the order key; `CurrentRow` is its peers.
    Range,
    /// Groups of peers; `CurrentRow` is the row's own group.
    Groups,
}

/// One end of a frame.
#[derive(Debug, Clone, PartialEq)]
pub enum FrameBound {
    /// The partition's first row as a start, its last row as an end.
    Unbounded,
    /// The row, or its peers.
    CurrentRow,
    /// So many rows or groups further (negative: before). Not for `Range`.
    Offset(i64),
    /// For `Range`, with exactly one order key. Rows with a NULL key have their peers instead.
    Key {
        /// The order key, perhaps in a wider type that keeps its order; the same for both ends.
        key: Expr,
        /// What the key of a row at the end of the frame would be, of the same type.
        limit: Expr,
    },
}

impl WindowCall {
    /// The type of the values.
    pub fn ty(&self) -> LogicalType {
        match self {
            Self::Rank(Rank::PercentRank | Rank::CumeDist) => LogicalType::Float64,
            Self::Rank(_) | Self::Ntile(_) => LogicalType::Int64,
            Self::Shift { value, .. } | Self::Pick { value, .. } => value.ty(),
            Self::Aggregate { call, .. } => call.ty.clone(),
        }
    }

    /// The frame, for functions that have one.
    pub fn frame(&self) -> Option<&Frame> {
        match self {
            Self::Rank(_) | Self::Ntile(_) | Self::Shift { .. } => None,
            Self::Pick { frame, .. } | Self::Aggregate { frame, .. } => Some(frame),
        }
    }

    /// Calls `f` on every expression.
    pub fn for_each_expr_mut(&mut self, f: &mut impl FnMut(&mut Expr)) {
        match self {
            Self::Rank(_) => {}
            Self::Ntile(buckets) => f(buckets),
            Self::Shift { value, distance, default, .. } => {
                f(value);
                f(distance);
                default.iter_mut().for_each(f);
            }
            Self::Pick { value, which, frame, .. } => {
                f(value);
                if let Which::Nth(number) = which {
                    f(number);
                }
                frame.for_each_expr_mut(f);
            }
            Self::Aggregate { call, frame } => {
                call.for_each_expr_mut(f);
                frame.for_each_expr_mut(f);
            }
        }
    }
}

impl Frame {
    fn for_each_expr_mut(&mut self, f: &mut impl FnMut(&mut Expr)) {
        for bound in [&mut self.start, &mut self.end] {
            if let FrameBound::Key { key, limit } = bound {
                f(key);
                f(limit);
            }
        }
    }
}

impl WindowPlan {
    /// Every expression, but not those of the input.
    pub fn exprs(&self) -> Vec<&Expr> {
        let mut exprs: Vec<&Expr> = self.partition_by.iter().collect();
        exprs.extend(self.order_by.iter().map(|key| &key.expr));
        for call in &self.calls {
            match call {
                WindowCall::Rank(_) => {}
                WindowCall::Ntile(buckets) => exprs.push(buckets),
                WindowCall::Shift { value, distance, default, .. } => {
                    exprs.extend([value, distance]);
                    exprs.extend(default);
                }
                WindowCall::Pick { value, which, .. } => {
                    exprs.push(value);
                    exprs.extend(match which {
                        Which::Nth(number) => Some(number),
                        Which::First | Which::Last => None,
                    });
                }
                WindowCall::Aggregate { call, .. } => {
                    exprs.extend(call.args.iter().chain(&call.filter));
                    exprs.extend(call.order_by.iter().map(|key| &key.expr));
                }
            }
            let ends = call.frame().map(|frame| [&frame.start, &frame.end]);
            for bound in ends.into_iter().flatten() {
                if let FrameBound::Key { key, limit } = bound {
                    exprs.extend([key, limit]);
                }
            }
        }
        exprs
    }

    /// Calls `f` on every expression, but not on those of the input.
    pub fn for_each_own_expr_mut(&mut self, f: &mut impl FnMut(&mut Expr)) {
        self.partition_by.iter_mut().for_each(&mut *f);
        self.order_by.iter_mut().for_each(|key| f(&mut key.expr));
        self.calls.iter_mut().for_each(|call| call.for_each_expr_mut(f));
    }
}

impl WindowPlan {
    /// The operator as EXPLAIN prints it.
    pub fn named(&self) -> String {
        let columns = [self.input.schema()];
        let mut over = Vec::new();
        if !self.partition_by.is_empty() {
            let keys = self.partition_by.iter().map(|key| key.named(&columns).to_string());
            over.push(format!("PARTITION BY {}", keys.collect::<Vec<_>>().join(", ")));
        }
        if !self.order_by.is_empty() {
            let keys = self.order_by.iter().map(|key| key.named(&columns));
            over.push(format!("ORDER BY {}", keys.collect::<Vec<_>>().join(", ")));
        }
        let calls: Vec<String> = self.calls.iter().map(|call| call.named(&columns)).collect();
        format!("Window: {} OVER ({})", calls.join(", "), over.join(" "))
    }
}

impl WindowCall {
    /// The call as in SELECT, without its partitioning and order.
    pub fn named(&self, columns: &[&Schema]) -> String {
        let text = |expr: &Expr| expr.named(columns).to_string();
        let nulls = |ignore: &bool| if *ignore { " IGNORE NULLS" } else { "" };
        match self {
            Self::Rank(rank) => rank.name().to_owned() + "()",
            Self::Ntile(buckets) => format!("ntile({})", text(buckets)),
            Self::Shift { value, distance, default, forward, ignore_nulls } => {
                let name = if *forward { "lead" } else { "lag" };
                let args = [Some(value), Some(distance), default.as_ref()];
                let args: Vec<String> = args.into_iter().flatten().map(text).collect();
                format!("{name}({}{})", args.join(", "), nulls(ignore_nulls))
            }
            Self::Pick { value, which, ignore_nulls, frame } => {
                let (name, number) = match which {
                    Which::First => ("first_value", String::new()),
                    Which::Last => ("last_value", String::new()),
                    Which::Nth(number) => ("nth_value", format!(", {}", text(number))),
                };
                let nulls = nulls(ignore_nulls);
                format!("{name}({}{number}{nulls}) {}", text(value), frame.named(columns))
            }
            Self::Aggregate { call, frame } => {
                format!("{} {}", call.named(columns), frame.named(columns))
            }
        }
    }
}

impl Rank {
    fn name(self) -> &'static str {
        match self {
            Self::RowNumber => "row_number",
            Self::Rank => "rank",
            Self::DenseRank => "dense_rank",
            Self::PercentRank => "percent_rank",
            Self::CumeDist => "cume_dist",
        }
    }
}

impl Frame {
    fn named(&self, columns: &[&Schema]) -> String {
        let unit = match self.unit {
            FrameUnit::Rows => "ROWS",
            FrameUnit::Range => "RANGE",
            FrameUnit::Groups => "GROUPS",
        };
        let bound = |bound: &FrameBound, unbounded: &str| match bound {
            FrameBound::Unbounded => format!("UNBOUNDED {unbounded}"),
            FrameBound::CurrentRow => "CURRENT ROW".to_owned(),
            FrameBound::Offset(by @ ..0) => format!("{} PRECEDING", by.unsigned_abs()),
            FrameBound::Offset(by) => format!("{by} FOLLOWING"),
            FrameBound::Key { limit, .. } => format!("KEY {}", limit.named(columns)),
        };
        let (start, end) = (bound(&self.start, "PRECEDING"), bound(&self.end, "FOLLOWING"));
        let exclude = match self.exclude {
            Exclude::Nothing => "",
            Exclude::CurrentRow => " EXCLUDE CURRENT ROW",
            Exclude::Group => " EXCLUDE GROUP",
            Exclude::Ties => " EXCLUDE TIES",
        };
        format!("{unit} BETWEEN {start} AND {end}{exclude}")
    }
}
