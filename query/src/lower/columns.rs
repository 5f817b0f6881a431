//! Late projection: every operator gets the columns that it or something above it reads, and no others.
//!
//! Invariants: the root keeps its columns; what holds rows (join inputs, sorts, unions) gets exactly what is needed;
//! projections that only pick columns are merged into their neighbours.

use stoadb_engine::{
    Expr,
    plan::{JoinKey, JoinKind, JoinPlan, Plan, RecursivePlan, UnnestColumn, WindowPlan},
};
use stoadb_storage::Schema;

use super::{
    columns_of,
    join::{join_plan, with_nearest},
    push_down::substitute,
};

/// Drops unused columns; the plan's own output stays the same.
pub(super) fn drop_unused(plan: Plan) -> Plan {
    let all = Set::all(plan.schema().len());
    exact(plan, &all)
}

/// A set of columns.
#[derive(Clone)]
struct Set(Vec<bool>);

impl Set {
    fn all(width: usize) -> Self {
        Self(vec![true; width])
    }

    fn none(width: usize) -> Self {
        Self(vec![false; width])
    }

    fn with<'e>(mut self, exprs: impl IntoIterator<Item = &'e Expr>) -> Self {
        for expr in exprs {
            expr.for_each_column(&mut |index| self.0[index] = true);
        }
        self
    }

    fn contains(&self, index: usize) -> bool {
        self.0[index]
    }

    /// The columns, ascending.
    fn list(&self) -> Vec<usize> {
        (0..self.0.len()).filter(|&index| self.0[index]).collect()
    }
}

/// The plan with exactly the needed columns, ascending.
fn exact(plan: Plan, needed: &Set) -> Plan {
    let (plan, kept) = keep(plan, needed);
    let wanted = needed.list();
    if kept == some(&wanted) {
        return plan;
    }
    let position = positions(&kept, needed.0.len());
    let pick: Vec<usize> = wanted.iter().map(|&column| position[column]).collect();
    let schema = pick_columns(plan.schema(), &pick);
    let all = columns_of(plan.schema());
    let exprs = pick.iter().map(|&index| all[index].clone()).collect();
    project(plan, schema, exprs)
}

/// What each column of a changed plan was before; `None` for columns that the plan did not have.
type Kept = Vec<Option<usize>>;

fn some(kept: &[usize]) -> Kept {
    kept.iter().copied().map(Some).collect()
}

/// The plan with at least the needed columns, and which ones it has, in output order.
fn keep(plan: Plan, needed: &Set) -> (Plan, Kept) {
    match plan {
        Plan::Values { schema, rows } => {
            let kept = needed.list();
            let pick = |row: Vec<Expr>| kept.iter().map(|&index| row[index].clone()).collect();
            let rows = rows.into_iter().map(pick).collect();
            (Plan::Values { schema: pick_columns(&schema, &kept), rows }, some(&kept))
        }
        Plan::Scan(mut scan) => {
            let kept = needed.list();
            scan.schema = pick_columns(&scan.schema, &kept);
            scan.projection = kept.iter().map(|&index| scan.projection[index]).collect();
            (Plan::Scan(scan), some(&kept))
        }
        Plan::Shared { id, schema } => {
            let kept = (0..schema.len()).map(Some).collect();
            (Plan::Shared { id, schema }, kept)
        }
        Plan::Filter { input, mut predicate } => {
            let (input, kept) = keep(*input, &needed.clone().with([&predicate]));
            remap(&mut predicate, &positions(&kept, needed.0.len()));
            (Plan::Filter { input: Box::new(input), predicate }, kept)
        }
        Plan::Project { input, schema, exprs } => {
            let kept = needed.list();
            let mut exprs: Vec<Expr> = kept.iter().map(|&index| exprs[index].clone()).collect();
            let width = input.schema().len();
            let (input, below) = keep(*input, &Set::none(width).with(&exprs));
            let position = positions(&below, width);
            exprs.iter_mut().for_each(|expr| remap(expr, &position));
            if let Some(picked) = picks(&exprs, &kept, input.schema().len()) {
                return (input, picked);
            }
            (project(input, pick_columns(&schema, &kept), exprs), some(&kept))
        }
        plan @ Plan::Aggregate { .. } => keep_aggregate(plan, needed),
        Plan::WorkTable { id, schema } => {
            let kept = (0..schema.len()).map(Some).collect();
            (Plan::WorkTable { id, schema }, kept)
        }
        // Every column may decide which rows the next run gives.
        Plan::Recursive(plan) => {
            let kept = (0..plan.schema.len()).map(Some).collect();
            let (base, step) = (drop_unused(*plan.base), drop_unused(*plan.step));
            let (base, step) = (Box::new(base), Box::new(step));
            (Plan::Recursive(RecursivePlan { base, step, ..plan }), kept)
        }
        Plan::Window(window) => keep_window(window, needed),
        Plan::Unnest { input, schema, columns } => {
            // Lists say how many rows there are, whether they are read or not.
            let lists = |index: &usize| matches!(columns[*index], UnnestColumn::Elements(_));
            let kept: Vec<usize> = (0..columns.len())
                .filter(|index| needed.contains(*index) || lists(index))
                .collect();
            let width = input.schema().len();
            let mut below = Set::none(width);
            kept.iter().for_each(|&index| below.0[columns[index].input()] = true);
            let (input, below) = keep(*input, &below);
            let position = positions(&below, width);
            let column = |&index: &usize| columns[index].of(position[columns[index].input()]);
            let columns = kept.iter().map(column).collect();
            let (input, schema) = (Box::new(input), pick_columns(&schema, &kept));
            (Plan::Unnest { input, schema, columns }, some(&kept))
        }
        Plan::Join(join) => keep_join(join, needed),
        Plan::Sort { input, mut keys, limit } => {
            let needed = needed.clone().with(keys.iter().map(|key| &key.expr));
            let input = Box::new(exact(*input, &needed));
            let kept = some(&needed.list());
            let position = positions(&kept, needed.0.len());
            keys.iter_mut().for_each(|key| remap(&mut key.expr, &position));
            (Plan::Sort { input, keys, limit }, kept)
        }
        Plan::Limit { input, offset, limit } => {
            let (input, kept) = keep(*input, needed);
            (Plan::Limit { input: Box::new(input), offset, limit }, kept)
        }
        Plan::Union { schema, inputs } => {
            let inputs = inputs.into_iter().map(|input| exact(input, needed)).collect();
            let kept = needed.list();
            (Plan::Union { schema: pick_columns(&schema, &kept), inputs }, some(&kept))
        }
    }
}

/// What the columns of a projection's input are in its output, if it only picks among them.
fn picks(exprs: &[Expr], names: &[usize], width: usize) -> Option<Kept> {
    let mut kept = vec![None; width];
    for (expr, &name) in exprs.iter().zip(names) {
        match expr {
            Expr::Column { index, .. } if kept[*index].is_none() => kept[*index] = Some(name),
            _ => return None,
        }
    }
    Some(kept)
}

fn keep_aggregate(plan: Plan, needed: &Set) -> (Plan, Kept) {
    let Plan::Aggregate { input, schema, mut groups, grouping_sets, aggregates } = plan else {
        let kept = (0..plan.schema().len()).map(Some).collect();
        return (plan, kept);
    };
    let first = groups.len();
    let count = aggregates.len();
    let mut kept: Vec<usize> = (0..first).collect();
    kept.extend((first..first + count).filter(|&index| needed.contains(index)));
    // Without groups the one row needs a column to stand in.
    if kept.is_empty() && count > 0 {
        kept.push(0);
    }
    let mut calls = Vec::with_capacity(kept.len());
    for (index, call) in aggregates.into_iter().enumerate() {
        if kept.contains(&(first + index)) {
            calls.push(call);
        }
    }
    kept.extend(first + count..schema.len());
    let width = input.schema().len();
    let mut below = Set::none(width).with(&groups);
    for call in &calls {
        let order = call.order_by.iter().map(|key| &key.expr);
        below = below.with(call.args.iter().chain(&call.filter).chain(order));
    }
    let (input, below) = keep(*input, &below);
    let position = positions(&below, width);
    groups.iter_mut().for_each(|group| remap(group, &position));
    for call in &mut calls {
        let order = call.order_by.iter_mut().map(|key| &mut key.expr);
        let exprs = call.args.iter_mut().chain(&mut call.filter).chain(order);
        exprs.for_each(|expr| remap(expr, &position));
    }
    let schema = pick_columns(&schema, &kept);
    let input = Box::new(input);
    (Plan::Aggregate { input, schema, groups, grouping_sets, aggregates: calls }, some(&kept))
}

/// Calls that nobody reads go, and with the last one the node.
fn keep_window(mut window: WindowPlan, needed: &Set) -> (Plan, Kept) {
    let width = window.input.schema().len();
    let (inputs, calls) = needed.0.split_at(width);
    let inputs = Set(inputs.to_vec());
    let mut used = calls.iter();
    window.calls.retain(|_| used.next().is_some_and(|used| *used));
    if window.calls.is_empty() {
        let (input, kept) = keep(*window.input, &inputs);
        return (input, kept);
    }
    let below = inputs.with(window.exprs());
    window.input = Box::new(exact(*window.input, &below));
    let mut kept = below.list();
    let position = positions(&some(&kept), width);
    window.for_each_own_expr_mut(&mut |expr| remap(expr, &position));
    kept.extend((width..needed.0.len()).filter(|&index| needed.contains(index)));
    window.schema = pick_columns(&window.schema, &kept);
    (Plan::Window(window), some(&kept))
}

fn keep_join(join: JoinPlan, needed: &Set) -> (Plan, Kept) {
    let JoinPlan { left, right, kind, keys, residual, nearest, .. } = join;
    let (left_width, right_width) = (left.schema().len(), right.schema().len());
    let mut both = Set::none(left_width + right_width).with(&residual);
    let one_side = !has_both_sides(kind);
    for index in needed.list() {
        let offset =
            if matches!(kind, JoinKind::RightSemi | JoinKind::RightAnti) { left_width } else { 0 };
        // The mark is no column of an input.
        if kind != JoinKind::LeftMark || index < left_width {
            both.0[index + offset] = true;
        }
    }
    let (left_flags, right_flags) = both.0.split_at(left_width);
    let left_needed = Set(left_flags.to_vec())
        .with(keys.iter().map(|key| &key.left))
        .with(nearest.iter().map(|key| &key.left));
    let right_needed = Set(right_flags.to_vec())
        .with(keys.iter().map(|key| &key.right))
        .with(nearest.iter().map(|key| &key.right));
    let left = exact(*left, &left_needed);
    let right = exact(*right, &right_needed);
    let (left_list, right_list) = (left_needed.list(), right_needed.list());
    let left_position = positions(&some(&left_list), left_width);
    let right_position = positions(&some(&right_list), right_width);
    let key = |JoinKey { mut left, mut right, null_equal }| {
        remap(&mut left, &left_position);
        remap(&mut right, &right_position);
        JoinKey { left, right, null_equal }
    };
    let keys = keys.into_iter().map(key).collect();
    let nearest = nearest.map(|mut key| {
        remap(&mut key.left, &left_position);
        remap(&mut key.right, &right_position);
        key
    });
    let residual = residual.map(|mut residual| {
        residual.map_columns(&mut |index| match index.checked_sub(left_width) {
            None => left_position[index],
            Some(index) => left_list.len() + right_position[index],
        });
        residual
    });
    let kept: Vec<usize> = match kind {
        JoinKind::RightSemi | JoinKind::RightAnti => right_list,
        JoinKind::LeftMark => left_list.into_iter().chain([left_width]).collect(),
        _ if one_side => left_list,
        _ => {
            let right = right_list.iter().map(|index| index + left_width);
            left_list.iter().copied().chain(right).collect()
        }
    };
    let plan = with_nearest(join_plan(kind, left, right, keys, residual), nearest);
    (plan, some(&kept))
}

fn has_both_sides(kind: JoinKind) -> bool {
    matches!(kind, JoinKind::Inner | JoinKind::Left | JoinKind::Right | JoinKind::Full)
}

/// A projection, merged with one below where nothing is computed twice, and left out where it changes nothing.
pub(crate) fn project(input: Plan, schema: Schema, exprs: Vec<Expr>) -> Plan {
    if let Plan::Project { input: below, exprs: inner, .. } = &input {
        let mut uses = vec![0_usize; inner.len()];
        exprs.iter().for_each(|expr| expr.for_each_column(&mut |index| uses[index] += 1));
        if inner.iter().zip(&uses).all(|(expr, &uses)| uses <= 1 || plain(expr)) {
            let merged = exprs.into_iter().map(|expr| substitute(expr, inner)).collect();
            return project((**below).clone(), schema, merged);
        }
    }
    let same = |(index, expr): (usize, &Expr)| matches!(expr, Expr::Column { index: i, .. } if *i == index);
    if exprs.len() == input.schema().len() && exprs.iter().enumerate().all(same) {
        return input;
    }
    Plan::Project { input: Box::new(input), schema, exprs }
}

fn pick_columns(schema: &Schema, pick: &[usize]) -> Schema {
    Schema::new(pick.iter().map(|&index| schema.columns[index].clone()).collect())
}

/// Where each old column stands among the kept ones; columns that were dropped are not asked for.
fn positions(kept: &[Option<usize>], width: usize) -> Vec<usize> {
    let mut position = vec![usize::MAX; width];
    for (new, old) in kept.iter().enumerate() {
        if let Some(old) = old {
            position[*old] = new;
        }
    }
    position
}

fn remap(expr: &mut Expr, position: &[usize]) {
    expr.map_columns(&mut |index| position[index]);
}

/// Whether an expression is a column or a constant, so that it may stand in several places.
pub(crate) fn plain(expr: &Expr) -> bool {
    matches!(expr, Expr::Column { .. } | Expr::Literal(_))
}
