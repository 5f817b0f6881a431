//! A naive evaluation of plans over BIGINT and BOOLEAN values, row by row: the oracle of the tests.
//!
//! Invariant: every operator is written from its definition in `plan.rs`, with nested loops and no cleverness.

use stoadb_engine::{
    Expr,
    expr::{ArithmeticOp, CompareOp},
    plan::{AggregateCall, AggregateFunction, JoinKind, JoinPlan, Plan, QueryPlan},
};
use stoadb_storage::Scalar;

use super::testing::Stubs;

type Value = Option<i64>;
type Row = Vec<Value>;

/// The rows of a plan over relations of rows.
pub(crate) fn run(plan: &QueryPlan, stubs: &Stubs) -> Vec<Row> {
    let mut run = Run { stubs, subqueries: Vec::new() };
    for subquery in &plan.subqueries {
        let rows = run.plan(subquery);
        assert!(rows.len() <= 1, "a scalar subquery gives {} rows", rows.len());
        run.subqueries.push(rows.first().and_then(|row| row[0]));
    }
    run.plan(&plan.root)
}

struct Run<'a> {
    stubs: &'a Stubs,
    subqueries: Vec<Value>,
}

impl Run<'_> {
    fn plan(&self, plan: &Plan) -> Vec<Row> {
        match plan {
            Plan::Values { rows, .. } => rows.iter().map(|row| self.all(row, &[])).collect(),
            Plan::Scan(scan) => {
                let stub = self.stubs.0.iter().find(|stub| stub.name == scan.name).unwrap();
                let kept =
                    |row: &&Row| scan.filter.as_ref().is_none_or(|filter| self.holds(filter, row));
                let pick = |row: &Row| scan.projection.iter().map(|&column| row[column]).collect();
                stub.data.iter().filter(kept).map(pick).collect()
            }
            Plan::Shared { .. } => unreachable!("nothing is shared here"),
            Plan::Filter { input, predicate } => {
                let mut rows = self.plan(input);
                rows.retain(|row| self.holds(predicate, row));
                rows
            }
            Plan::Project { input, exprs, .. } => {
                self.plan(input).iter().map(|row| self.all(exprs, row)).collect()
            }
            Plan::Aggregate { input, groups, grouping_sets, aggregates, .. } => {
                let rows = self.plan(input);
                let plain = vec![(0..groups.len()).collect::<Vec<_>>()];
                let sets = if grouping_sets.is_empty() { &plain } else { grouping_sets };
                let mut output = Vec::new();
                for set in sets {
                    let id = (!grouping_sets.is_empty()).then(|| {
                        let bit = |group: usize| {
                            if set.contains(&group) {
                                0
                            } else {
                                1_i64 << (groups.len() - 1 - group)
                            }
                        };
                        Some((0..groups.len()).map(bit).sum())
                    });
                    output.extend(self.grouped(&rows, groups, set, aggregates, id));
                }
                output
            }
            Plan::Join(join) => self.join(join),
            Plan::Sort { input, keys, limit } => {
                let mut rows = self.plan(input);
                rows.sort_by(|one, other| {
                    let mut order = std::cmp::Ordering::Equal;
                    for key in keys {
                        let (a, b) = (self.value(&key.expr, one), self.value(&key.expr, other));
                        let values = if key.descending { b.cmp(&a) } else { a.cmp(&b) };
                        let nulls = match (a, b, key.nulls_first) {
                            (None, Some(_), first) => Some(!first),
                            (Some(_), None, first) => Some(first),
                            _ => None,
                        };
                        let nulls = nulls.map(|later| {
                            if later {
                                std::cmp::Ordering::Greater
                            } else {
                                std::cmp::Ordering::Less
                            }
                        });
                        order = order.then(nulls.unwrap_or(values));
                    }
                    order
                });
                rows.truncate(limit.map_or(usize::MAX, |limit| limit as usize));
                rows
            }
            Plan::Limit { input, offset, limit } => {
                let rows = self.plan(input).into_iter().skip(*offset as usize);
                rows.take(limit.map_or(usize::MAX, |limit| limit as usize)).collect()
            }
            Plan::Recursive(_) | Plan::WorkTable { .. } => unreachable!("nothing recurs here"),
            Plan::Unnest { .. } => unreachable!("lists have an oracle of their own"),
            Plan::Window(_) => unreachable!("windows have an oracle of their own"),
            Plan::Union { inputs, .. } => {
                inputs.iter().flat_map(|input| self.plan(input)).collect()
            }
        }
    }

    fn grouped(
        &self,
        rows: &[Row],
        groups: &[Expr],
        set: &[usize],
        calls: &[AggregateCall],
        id: Option<Value>,
    ) -> Vec<Row> {
        let mut found: Vec<(Row, Vec<&Row>)> = Vec::new();
        if set.is_empty() {
            found.push((vec![None; groups.len()], rows.iter().collect()));
        } else {
            for row in rows {
                let part = |(group, expr): (usize, &Expr)| {
                    if set.contains(&group) { self.value(expr, row) } else { None }
                };
                let key: Row = groups.iter().enumerate().map(part).collect();
                match found.iter_mut().find(|(known, _)| *known == key) {
                    Some((_, members)) => members.push(row),
                    None => found.push((key, vec![row])),
                }
            }
        }
        let finish = |(key, members): (Row, Vec<&Row>)| {
            let mut row = key;
            row.extend(calls.iter().map(|call| self.aggregate(call, &members)));
            row.extend(id);
            row
        };
        found.into_iter().map(finish).collect()
    }

    fn aggregate(&self, call: &AggregateCall, rows: &[&Row]) -> Value {
        let kept = rows
            .iter()
            .filter(|row| call.filter.as_ref().is_none_or(|filter| self.holds(filter, row)));
        if call.function == AggregateFunction::CountStar {
            return Some(kept.count() as i64);
        }
        let mut values: Vec<i64> = kept.filter_map(|row| self.value(&call.args[0], row)).collect();
        if call.distinct {
            values.sort_unstable();
            values.dedup();
        }
        match call.function {
            AggregateFunction::Count => Some(values.len() as i64),
            AggregateFunction::Sum if values.is_empty() => None,
            AggregateFunction::Sum => Some(values.iter().sum()),
            AggregateFunction::Min => values.into_iter().min(),
            AggregateFunction::Max => values.into_iter().max(),
            other => unreachable!("{other:?}"),
        }
    }

    fn join(&self, join: &JoinPlan) -> Vec<Row> {
        assert!(join.nearest.is_none(), "ASOF joins have an oracle of their own");
        let (left, right) = (self.plan(&join.left), self.plan(&join.right));
        let matches = |l: &Row, r: &Row| {
            let key = |(i, key): (usize, &stoadb_engine::plan::JoinKey)| {
                let (a, b) = (self.value(&key.left, l), self.value(&key.right, r));
                let unknown = i == 0 && join.kind == JoinKind::LeftAntiNullAware;
                if unknown && (a.is_none() || b.is_none()) {
                    return true;
                }
                if key.null_equal { a == b } else { a.is_some() && a == b }
            };
            let both: Row = l.iter().chain(r).copied().collect();
            join.keys.iter().enumerate().all(key)
                && join.residual.as_ref().is_none_or(|residual| self.holds(residual, &both))
        };
        let (left_width, right_width) = (join.left.schema().len(), join.right.schema().len());
        let found = |l: &&Row| right.iter().any(|r| matches(l, r));
        let found_right = |r: &&Row| left.iter().any(|l| matches(l, r));
        let mut rows: Vec<Row> = Vec::new();
        match join.kind {
            JoinKind::LeftSemi => rows.extend(left.iter().filter(found).cloned()),
            JoinKind::LeftAnti | JoinKind::LeftAntiNullAware => {
                rows.extend(left.iter().filter(|l| !found(l)).cloned());
            }
            JoinKind::RightSemi => rows.extend(right.iter().filter(found_right).cloned()),
            JoinKind::RightAnti => {
                rows.extend(right.iter().filter(|r| !found_right(r)).cloned());
            }
            JoinKind::LeftMark => {
                let marked =
                    |l: &Row| l.iter().copied().chain([Some(i64::from(found(&l)))]).collect();
                rows.extend(left.iter().map(marked));
            }
            JoinKind::Inner | JoinKind::Left | JoinKind::Right | JoinKind::Full => {
                for l in &left {
                    let pairs = right.iter().filter(|r| matches(l, r));
                    rows.extend(pairs.map(|r| l.iter().chain(r).copied().collect::<Row>()));
                    if !found(&l) && matches!(join.kind, JoinKind::Left | JoinKind::Full) {
                        rows.push(l.iter().copied().chain(vec![None; right_width]).collect());
                    }
                }
                if matches!(join.kind, JoinKind::Right | JoinKind::Full) {
                    for r in right.iter().filter(|r| !found_right(r)) {
                        rows.push(
                            vec![None; left_width].into_iter().chain(r.iter().copied()).collect(),
                        );
                    }
                }
            }
        }
        rows
    }

    fn all(&self, exprs: &[Expr], row: &[Value]) -> Row {
        exprs.iter().map(|expr| self.value(expr, row)).collect()
    }

    fn holds(&self, expr: &Expr, row: &[Value]) -> bool {
        self.value(expr, row) == Some(1)
    }

    fn value(&self, expr: &Expr, row: &[Value]) -> Value {
        match expr {
            Expr::Column { index, .. } => row[*index],
            Expr::Literal(value) => literal(value),
            Expr::Subquery { id, .. } => self.subqueries[*id],
            Expr::Compare { op, left, right } => {
                compare(*op, self.value(left, row), self.value(right, row))
            }
            Expr::And(args) => {
                let values: Row = self.all(args, row);
                if values.contains(&Some(0)) {
                    return Some(0);
                }
                if values.contains(&None) { None } else { Some(1) }
            }
            Expr::Or(args) => {
                let values: Row = self.all(args, row);
                if values.contains(&Some(1)) {
                    return Some(1);
                }
                if values.contains(&None) { None } else { Some(0) }
            }
            Expr::Not(input) => self.value(input, row).map(|value| 1 - value),
            Expr::IsNull(input) => Some(i64::from(self.value(input, row).is_none())),
            Expr::IsNotNull(input) => Some(i64::from(self.value(input, row).is_some())),
            Expr::Arithmetic { op, left, right, .. } => {
                let (left, right) = (self.value(left, row)?, self.value(right, row)?);
                Some(match op {
                    ArithmeticOp::Add => left + right,
                    ArithmeticOp::Subtract => left - right,
                    ArithmeticOp::Multiply => left * right,
                    ArithmeticOp::Divide => left / right,
                    ArithmeticOp::Modulo => left % right,
                })
            }
            Expr::Negate(input) => self.value(input, row).map(|value| -value),
            Expr::Cast { input, .. } => self.value(input, row),
            Expr::Case { branches, otherwise, .. } => {
                let taken = branches.iter().find(|(when, _)| self.holds(when, row));
                match taken {
                    Some((_, then)) => self.value(then, row),
                    None => otherwise.as_ref().and_then(|expr| self.value(expr, row)),
                }
            }
            Expr::InList { input, list, negated } => {
                let input = self.value(input, row);
                let equal = list.iter().map(|value| compare(CompareOp::Eq, input, literal(value)));
                let equal: Row = equal.collect();
                let found = match (equal.contains(&Some(1)), equal.contains(&None)) {
                    (true, _) => Some(1),
                    (false, true) => None,
                    (false, false) => Some(0),
                };
                if *negated { found.map(|found| 1 - found) } else { found }
            }
            Expr::Call { function, args, .. } => {
                let args: Option<Vec<i64>> = self.all(args, row).into_iter().collect();
                let args = args?;
                Some(match &**function {
                    "bit_and_op" => args[0] & args[1],
                    "bit_or_op" => args[0] | args[1],
                    "shift_left_op" => args[0] << args[1],
                    "shift_right_op" => args[0] >> args[1],
                    other => unreachable!("{other}"),
                })
            }
            Expr::Like { .. } | Expr::Lambda { .. } | Expr::Parameter { .. } => {
                unreachable!("{expr}")
            }
        }
    }
}

fn literal(value: &Scalar) -> Value {
    let integer = value.as_i128().map(|value| value as i64);
    integer.or_else(|| value.as_bool().map(i64::from))
}

fn compare(op: CompareOp, left: Value, right: Value) -> Value {
    let known = match op {
        CompareOp::Distinct => return Some(i64::from(left != right)),
        CompareOp::NotDistinct => return Some(i64::from(left == right)),
        _ => (left?, right?),
    };
    let (left, right) = known;
    Some(i64::from(match op {
        CompareOp::Eq => left == right,
        CompareOp::NotEq => left != right,
        CompareOp::Lt => left < right,
        CompareOp::LtEq => left <= right,
        CompareOp::Gt => left > right,
        _ => left >= right,
    }))
}
