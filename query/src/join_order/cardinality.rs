//! How many rows a plan gives, and how many distinct values its columns have: estimates from exact row counts, value
//! ranges and distinct counts of the relations.
//!
//! Invariants: estimates are finite, at least one row unless the input is known to be empty, and the same for the same
//! plan and statistics; the size of a set of joined leaves does not depend on the order of joining.
//! Next: `selectivity.rs`.

use std::sync::Arc;

use stoadb_engine::{
    Expr,
    plan::{JoinKind, JoinPlan, Plan, ScanPlan},
};
use stoadb_storage::{LogicalType, Relation, Scalar};

use super::{
    graph::{Condition, Graph, Mask, Member},
    selectivity::{apply, chance},
};
use crate::lower::conjuncts;

/// What is expected of a column.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ColumnEstimate {
    /// Distinct values that are not NULL.
    pub(super) distinct: f64,
    /// Whether `distinct` rests on a statistic.
    pub(super) known: bool,
    /// The smallest and the largest value, as numbers in the unit of the type's integers, and whether the values
    /// between them are whole.
    pub(super) range: Option<(f64, f64)>,
    /// Whether only whole numbers lie in the range.
    pub(super) whole: bool,
    /// The share of NULLs, if known.
    pub(super) nulls: Option<f64>,
}

impl ColumnEstimate {
    fn unknown(rows: f64) -> Self {
        let distinct = guess(rows);
        Self { distinct, known: false, range: None, whole: false, nulls: None }
    }
}

/// What is expected of a plan's output.
#[derive(Debug, Clone)]
pub(super) struct Estimate {
    /// How many rows.
    pub(super) rows: f64,
    /// One per column.
    pub(super) columns: Vec<ColumnEstimate>,
}

/// Distinct values of a column of which nothing is known: all of a small relation's, a tenth of a large one's.
fn guess(rows: f64) -> f64 {
    const SMALL: f64 = 1000.0;
    if rows <= SMALL { rows.max(1.0) } else { (rows / 10.0).max(SMALL) }
}

impl Estimate {
    /// Nothing has more distinct values than rows.
    pub(super) fn settle(mut self) -> Self {
        for column in &mut self.columns {
            column.distinct = column.distinct.min(self.rows.max(1.0));
        }
        self
    }

    /// Distinct values of an expression.
    pub(super) fn distinct(&self, expr: &Expr) -> f64 {
        match expr {
            Expr::Column { index, .. } => self.columns[*index].distinct,
            Expr::Literal(_) | Expr::Subquery { .. } => 1.0,
            other => {
                let children = other.children();
                let product: f64 = children.into_iter().map(|child| self.distinct(child)).product();
                product.clamp(1.0, self.rows.max(1.0))
            }
        }
    }

    fn scaled(mut self, share: f64) -> Self {
        if self.rows > 0.0 {
            self.rows = (self.rows * share).max(1.0);
        }
        self.settle()
    }
}

/// What is expected of a plan.
pub(super) fn estimate(plan: &Plan, relations: &[Arc<dyn Relation>]) -> Estimate {
    let of = |input: &Plan| estimate(input, relations);
    match plan {
        Plan::Values { schema, rows } => unknown(rows.len() as f64, schema.len()),
        Plan::Shared { schema, .. } => unknown(SHARED_ROWS, schema.len()),
        Plan::Scan(scan) => scanned(scan, relations),
        Plan::Filter { input, predicate } => apply(of(input), &conjuncts(predicate.clone())),
        Plan::Project { input, exprs, .. } => {
            let input = of(input);
            let column = |expr: &Expr| match expr {
                Expr::Column { index, .. } => input.columns[*index].clone(),
                other => ColumnEstimate {
                    distinct: input.distinct(other),
                    ..ColumnEstimate::unknown(input.rows)
                },
            };
            Estimate { rows: input.rows, columns: exprs.iter().map(column).collect() }
        }
        Plan::Aggregate { input, schema, groups, grouping_sets, .. } => {
            let input = of(input);
            let mut rows = input.rows.min(1.0);
            if groups.is_empty() {
                rows = 1.0;
            } else if input.rows > 0.0 {
                let product: f64 = groups.iter().map(|group| input.distinct(group)).product();
                rows = product.clamp(1.0, input.rows) * grouping_sets.len().max(1) as f64;
            }
            let mut columns: Vec<ColumnEstimate> = groups
                .iter()
                .map(|group| match group {
                    Expr::Column { index, .. } => input.columns[*index].clone(),
                    other => ColumnEstimate {
                        distinct: input.distinct(other),
                        ..ColumnEstimate::unknown(rows)
                    },
                })
                .collect();
            columns.resize(schema.len(), ColumnEstimate::unknown(rows));
            Estimate { rows, columns }.settle()
        }
        Plan::Join(join) => joined(join, of(&join.left), of(&join.right)),
        Plan::Sort { input, limit, .. } | Plan::Limit { input, limit, .. } => {
            let mut estimate = of(input);
            if let Some(limit) = limit {
                estimate.rows = estimate.rows.min(*limit as f64);
            }
            estimate.settle()
        }
        // Some runs of about as many rows.
        Plan::Recursive(plan) => unknown(of(&plan.base).rows * 10.0, plan.schema.len()),
        Plan::WorkTable { schema, .. } => unknown(SHARED_ROWS, schema.len()),
        // Lists of a few elements.
        Plan::Unnest { input, schema, .. } => unknown(of(input).rows * 4.0, schema.len()),
        Plan::Window(window) => {
            let mut estimate = of(&window.input);
            let unknown = ColumnEstimate::unknown(estimate.rows);
            estimate.columns.resize(window.schema.len(), unknown);
            estimate
        }
        Plan::Union { schema, inputs } => {
            let rows = inputs.iter().map(|input| of(input).rows).sum();
            unknown(rows, schema.len())
        }
    }
}

/// Rows of a shared plan, whose own plan is elsewhere.
const SHARED_ROWS: f64 = 1000.0;

fn unknown(rows: f64, width: usize) -> Estimate {
    Estimate { rows, columns: vec![ColumnEstimate::unknown(rows); width] }
}

fn scanned(scan: &ScanPlan, relations: &[Arc<dyn Relation>]) -> Estimate {
    let Some(relation) = relations.get(scan.relation.0) else {
        return unknown(SHARED_ROWS, scan.schema.len());
    };
    let rows = relation.rows() as f64;
    let mut all = unknown(rows, relation.schema().len());
    let mut asked = scan.projection.clone();
    if let Some(filter) = &scan.filter {
        filter.for_each_column(&mut |column| asked.push(column));
    }
    asked.sort_unstable();
    asked.dedup();
    for column in asked {
        all.columns[column] = stored(&**relation, column, rows);
    }
    let kept = match &scan.filter {
        Some(filter) => apply(all, &conjuncts(filter.clone())),
        None => all,
    };
    let columns = scan.projection.iter().map(|&column| kept.columns[column].clone()).collect();
    Estimate { rows: kept.rows, columns }
}

/// What a relation knows of a column. Whole numbers in a narrow range are taken for dense: a key, or a foreign key.
fn stored(relation: &dyn Relation, column: usize, rows: f64) -> ColumnEstimate {
    let range = relation.column_range(column);
    let nulls = range.nulls.filter(|_| rows > 0.0).map(|nulls| nulls as f64 / rows);
    let ty = relation.schema().ty(column);
    let bounds = |scalar: &Option<Scalar>| scalar.as_ref().and_then(number);
    let bounds = bounds(&range.min).zip(bounds(&range.max));
    let whole = !ty.is_float() && bounds.is_some();
    let counted = relation.distinct(column).map(|distinct| distinct as f64);
    let dense = bounds.filter(|_| is_key_like(ty)).and_then(|(low, high)| {
        /// A range up to this many times wider than the rows are many may still be of unique values.
        const SPARSE: f64 = 4.0;
        let width = high - low + 1.0;
        (width <= rows * SPARSE).then(|| width.min(rows))
    });
    let boolean = (*ty == LogicalType::Boolean).then_some(2.0);
    let known = counted.or(dense).or(boolean);
    ColumnEstimate {
        distinct: known.unwrap_or_else(|| guess(rows)).max(1.0),
        known: known.is_some(),
        range: bounds,
        whole,
        nulls,
    }
}

fn is_key_like(ty: &LogicalType) -> bool {
    ty.is_integer() || matches!(ty, LogicalType::Date)
}

/// The value as a number in the unit of the type's integers.
pub(super) fn number(value: &Scalar) -> Option<f64> {
    value.as_f64().or_else(|| value.as_i128().map(|value| value as f64)).filter(|v| v.is_finite())
}

fn joined(join: &JoinPlan, left: Estimate, right: Estimate) -> Estimate {
    let pairs = join.keys.iter().map(|key| (left.distinct(&key.left), right.distinct(&key.right)));
    let pairs: Vec<(f64, f64)> = pairs.collect();
    let (left_rows, right_rows) = (left.rows, right.rows);
    let mut share = match_chance(&pairs, left_rows, right_rows);
    let mut both = Estimate { rows: left_rows * right_rows, columns: left.columns.clone() };
    both.columns.extend(right.columns.iter().cloned());
    let residual = join.residual.as_ref().map_or(1.0, |residual| chance(residual, &both));
    share *= residual;
    let most = if join.nearest.is_some() { left_rows } else { f64::INFINITY };
    let inner = (left_rows * right_rows * share).min(most);
    // The share of one side's rows that find a partner.
    let found = |own: f64, other: fn(&(f64, f64)) -> f64, mine: fn(&(f64, f64)) -> f64| {
        let keys = pairs.iter().map(|pair| (other(pair) / mine(pair)).min(1.0));
        let by_keys: f64 = if pairs.is_empty() { 1.0 } else { keys.fold(1.0, f64::min) };
        (by_keys * residual.sqrt()).clamp(if own > 0.0 { 1.0 / own } else { 0.0 }, 1.0)
    };
    let left_found = found(left_rows, |pair| pair.1, |pair| pair.0);
    let right_found = found(right_rows, |pair| pair.0, |pair| pair.1);
    /// Of a side, some rows are taken to find no partner.
    const UNMATCHED: f64 = 0.1;
    let missed = |found: f64| (1.0 - found).max(UNMATCHED);
    let sized = |rows: f64| -> Estimate {
        let some = left_rows > 0.0 || right_rows > 0.0;
        let rows = if some { rows.max(1.0) } else { 0.0 };
        Estimate { rows, columns: both.columns.clone() }.settle()
    };
    match join.kind {
        JoinKind::Inner => sized(inner),
        JoinKind::Left => sized(inner.max(left_rows)),
        JoinKind::Right => sized(inner.max(right_rows)),
        JoinKind::Full => sized(inner.max(left_rows).max(right_rows)),
        JoinKind::LeftSemi => left.scaled(left_found),
        JoinKind::LeftAnti | JoinKind::LeftAntiNullAware => left.scaled(missed(left_found)),
        JoinKind::RightSemi => right.scaled(right_found),
        JoinKind::RightAnti => right.scaled(missed(right_found)),
        JoinKind::LeftMark => {
            let mut marked = left;
            marked.columns.push(ColumnEstimate { distinct: 2.0, ..ColumnEstimate::unknown(2.0) });
            marked
        }
    }
}

/// The chance that two rows match in all keys, given the distinct values of each key on both sides. Each value of the
/// poorer side is taken to occur on the richer one. Several keys together have at most as many distinct combinations
/// as there are rows; where that limits both sides, the smaller one is taken for the key that the other refers to.
fn match_chance(keys: &[(f64, f64)], left_rows: f64, right_rows: f64) -> f64 {
    if keys.is_empty() {
        return 1.0;
    }
    let left: f64 = keys.iter().map(|(left, _)| left.max(1.0)).product();
    let right: f64 = keys.iter().map(|(_, right)| right.max(1.0)).product();
    let limited = keys.len() > 1 && left > left_rows && right > right_rows;
    let (left, right) = (left.min(left_rows.max(1.0)), right.min(right_rows.max(1.0)));
    1.0 / if limited { left.min(right) } else { left.max(right) }
}

/// The sizes of all sets of joined leaves.
pub(super) struct Sizes {
    rows: Vec<f64>,
    /// Per class, the distinct values of each leaf's first member.
    classes: Vec<Vec<(usize, f64)>>,
    /// Pairs of leaves that share several classes: what their keys together are less selective than taken apart.
    corrections: Vec<(Mask, f64)>,
    conditions: Vec<(Mask, f64)>,
}

impl Sizes {
    /// Prepares the estimates of a graph whose leaves are estimated.
    pub(super) fn new(graph: &Graph, leaves: &[Estimate]) -> Self {
        let distinct = |member: &Member| {
            let local = graph.localised(member.leaf, vec![member.expr.clone()]);
            local.first().map_or(1.0, |expr| leaves[member.leaf].distinct(expr)).max(1.0)
        };
        let class = |class: &Vec<Member>| {
            let mut members: Vec<(usize, f64)> = Vec::new();
            for member in class {
                let distinct = distinct(member);
                match members.iter_mut().find(|(leaf, _)| *leaf == member.leaf) {
                    Some((_, known)) => *known = known.min(distinct),
                    None => members.push((member.leaf, distinct)),
                }
            }
            members
        };
        let classes: Vec<Vec<(usize, f64)>> = graph.classes.iter().map(class).collect();
        let rows: Vec<f64> = leaves.iter().map(|leaf| leaf.rows).collect();
        let corrections = corrections(&classes, &rows);
        let condition = |condition: &Condition| {
            let share = match condition.sides {
                // An equality of what no single leaf has.
                Some(_) => EQUALITY_CHANCE,
                None => OTHER_CHANCE,
            };
            (condition.mask, share)
        };
        let conditions = graph.conditions.iter().map(condition).collect();
        Self { rows, classes, corrections, conditions }
    }

    /// How many rows the join of a set of leaves has.
    pub(super) fn rows(&self, set: Mask) -> f64 {
        let has = |leaf: usize| set >> leaf & 1 == 1;
        let within = |mask: Mask| mask & !set == 0;
        let leaves = self.rows.iter().enumerate().filter(|(leaf, _)| has(*leaf));
        let mut rows: f64 = leaves.map(|(_, rows)| rows).product();
        for class in &self.classes {
            let here = class.iter().filter(|(leaf, _)| has(*leaf)).map(|(_, distinct)| *distinct);
            let (product, least) = here.fold((1.0, f64::INFINITY), |(product, least), distinct| {
                (product * distinct, f64::min(least, distinct))
            });
            if least.is_finite() {
                rows *= least / product;
            }
        }
        let corrections = self.corrections.iter().filter(|(mask, _)| within(*mask));
        rows *= corrections.map(|(_, factor)| factor).product::<f64>();
        let conditions = self.conditions.iter().filter(|(mask, _)| within(*mask));
        rows *= conditions.map(|(_, share)| share).product::<f64>();
        rows.clamp(1.0, 1e30)
    }
}

/// The chance of an equality between expressions of which nothing is known.
const EQUALITY_CHANCE: f64 = 0.01;

/// The chance of any other condition between leaves.
const OTHER_CHANCE: f64 = 1.0 / 3.0;

fn corrections(classes: &[Vec<(usize, f64)>], rows: &[f64]) -> Vec<(Mask, f64)> {
    let mut corrections = Vec::new();
    for left in 0..rows.len() {
        for right in left + 1..rows.len() {
            let member = |class: &[(usize, f64)], leaf: usize| {
                class.iter().find(|(own, _)| *own == leaf).map(|(_, distinct)| *distinct)
            };
            let shared =
                classes.iter().filter_map(|class| member(class, left).zip(member(class, right)));
            let shared: Vec<(f64, f64)> = shared.collect();
            if shared.len() > 1 {
                let apart: f64 = shared.iter().map(|(one, other)| 1.0 / one.max(*other)).product();
                let together = match_chance(&shared, rows[left], rows[right]);
                corrections.push((1 << left | 1 << right, together / apart));
            }
        }
    }
    corrections
}
