//! Window functions against an oracle that walks every frame of every row.

use std::{cmp::Ordering, sync::Arc};

use stoadb_storage::{ColumnDef, LogicalType, Scalar, Schema};

use crate::{
    context::{QueryContext, QuerySettings},
    expr::{ArithmeticOp, CompareOp, Expr},
    function::FunctionRegistry,
    op::{Sink, collect::Collect},
    open::execute_into,
    plan::{
        AggregateCall, AggregateFunction as F, Exclude, Frame, FrameBound as B, FrameUnit as U,
        Plan, QueryPlan, Rank, SortKey, Which, WindowCall, WindowPlan,
    },
    result::Bounds,
    scheduler::Workers,
};

/// Partition, key and value.
type Row = [Option<i64>; 3];

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        (self.0 >> 33) % n
    }

    fn value(&mut self, range: u64, null_in: u64) -> Option<i64> {
        (self.below(null_in) > 0).then(|| self.below(range) as i64 - 3)
    }
}

fn column(index: usize) -> Expr {
    Expr::column(index, LogicalType::Int64)
}

fn number(value: i64) -> Expr {
    Expr::Literal(Scalar::int64(value))
}

fn aggregate(function: F, distinct: bool, filtered: bool) -> AggregateCall {
    let ty = match function {
        F::Avg | F::Median => LogicalType::Float64,
        _ => LogicalType::Int64,
    };
    let filter = filtered.then(|| Expr::Compare {
        op: CompareOp::Gt,
        left: Box::new(column(1)),
        right: Box::new(number(2)),
    });
    let args = if function == F::CountStar { vec![] } else { vec![column(2)] };
    AggregateCall { function, args, parameters: vec![], distinct, filter, order_by: vec![], ty }
}

/// A frame and, for RANGE distances, what its bounds are away from the row's key.
#[derive(Clone)]
struct Around {
    frame: Frame,
    distances: [Option<i64>; 2],
}

fn frames(descending: bool, exclude: Exclude) -> Vec<Around> {
    let mut frames = Vec::new();
    let ends = [
        (B::Unbounded, B::Unbounded),
        (B::Unbounded, B::CurrentRow),
        (B::CurrentRow, B::Unbounded),
        (B::CurrentRow, B::CurrentRow),
    ];
    for unit in [U::Rows, U::Range, U::Groups] {
        for (start, end) in &ends {
            let frame = Frame { unit, start: start.clone(), end: end.clone(), exclude };
            frames.push(Around { frame, distances: [None, None] });
        }
    }
    for (start, end) in
        [(-2, 1), (-40, -3), (1, 3), (-1, -1), (0, 90), (i64::MIN, i64::MAX), (3, 1)]
    {
        for unit in [U::Rows, U::Groups] {
            let frame = Frame { unit, start: B::Offset(start), end: B::Offset(end), exclude };
            frames.push(Around { frame, distances: [None, None] });
        }
        if start == i64::MIN {
            continue;
        }
        let bound = |by: i64| {
            let op = if descending { ArithmeticOp::Subtract } else { ArithmeticOp::Add };
            let (left, right) = (Box::new(column(1)), Box::new(number(by)));
            let limit = Expr::Arithmetic { op, left, right, ty: LogicalType::Int64 };
            B::Key { key: column(1), limit }
        };
        let frame = Frame { unit: U::Range, start: bound(start), end: bound(end), exclude };
        frames.push(Around { frame, distances: [Some(start), Some(end)] });
    }
    frames
}

/// Runs the calls and gives, for each row of the output, the input's row number and the results as text.
fn run(
    rows: &[Row],
    descending: bool,
    nulls_first: bool,
    calls: &[WindowCall],
    threads: usize,
) -> Vec<(usize, Vec<String>)> {
    let schema = |names: usize| Schema::new(vec![ColumnDef::new("", LogicalType::Int64); names]);
    let value = |value: Option<i64>| {
        Expr::Literal(value.map_or(Scalar::null(LogicalType::Int64), Scalar::int64))
    };
    let row = |(index, row): (usize, &Row)| {
        row.iter().copied().chain([Some(index as i64)]).map(value).collect()
    };
    let rows = rows.iter().enumerate().map(row).collect();
    let input = Box::new(Plan::Values { schema: schema(4), rows });
    let mut output = schema(4);
    output.columns.extend(calls.iter().map(|call| ColumnDef::new("", call.ty())));
    let root = Plan::Window(WindowPlan {
        input,
        schema: output,
        partition_by: vec![column(0)],
        order_by: vec![SortKey { expr: column(1), descending, nulls_first }],
        calls: calls.to_vec(),
    });
    let plan = QueryPlan { root, subqueries: vec![], shared: vec![] };
    let settings = QuerySettings { threads, ..QuerySettings::default() };
    let functions = Arc::new(FunctionRegistry::default());
    let context = Arc::new(QueryContext::new(settings, functions, Vec::new()));
    let pool = Arc::new(rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap());
    let collect = Collect::new(Bounds::ALL);
    let sink: Arc<dyn Sink> = collect.clone();
    execute_into(&plan, &sink, &context, &Workers::new(pool, threads)).unwrap();
    let mut out = Vec::new();
    for batch in collect.batches() {
        for row in 0..batch.rows {
            let text = |c: usize| batch.columns[c].scalar(row).unwrap().to_string();
            let results = (4..batch.columns.len()).map(text).collect();
            out.push((text(3).parse().unwrap(), results));
        }
    }
    out
}

/// The rows in window order.
fn sorted(rows: &[Row], descending: bool, nulls_first: bool) -> Vec<usize> {
    let nulls = |a: Option<i64>, b: Option<i64>, first: bool, down: bool| match (a, b) {
        (None, None) => Ordering::Equal,
        (None, _) if first => Ordering::Less,
        (None, _) => Ordering::Greater,
        (_, None) if first => Ordering::Greater,
        (_, None) => Ordering::Less,
        (Some(a), Some(b)) if down => b.cmp(&a),
        (Some(a), Some(b)) => a.cmp(&b),
    };
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by(|&a, &b| {
        nulls(rows[a][0], rows[b][0], false, false).then(nulls(
            rows[a][1],
            rows[b][1],
            nulls_first,
            descending,
        ))
    });
    order
}

/// Whether the row at place `other` is in the frame of the row at place `at`; both are of one partition.
fn in_frame(
    rows: &[Row],
    order: &[usize],
    at: usize,
    other: usize,
    around: &Around,
    down: bool,
) -> bool {
    let key = |place: usize| rows[order[place]][1];
    // How far `other` lies after `at`, in the frame's unit.
    let after = match around.frame.unit {
        U::Rows => other as i64 - at as i64,
        U::Range | U::Groups => {
            let (low, high) = (at.min(other), at.max(other));
            let changes = (low..high).filter(|&place| key(place) != key(place + 1)).count() as i64;
            if other < at { -changes } else { changes }
        }
    };
    let side = |bound: &B, distance: Option<i64>, is_start: bool| {
        let holds = |after: i64, by: i64| if is_start { after >= by } else { after <= by };
        match (bound, distance) {
            (B::Unbounded, _) => true,
            (B::CurrentRow, _) => holds(after, 0),
            (B::Offset(by), _) => holds(after, *by),
            (B::Key { .. }, Some(by)) => match (key(at), key(other)) {
                (Some(a), Some(b)) => holds(if down { a - b } else { b - a }, by),
                (None, None) => true,
                _ => false,
            },
            (B::Key { .. }, None) => unreachable!(),
        }
    };
    let peers = key(at) == key(other);
    let kept = match around.frame.exclude {
        Exclude::Nothing => true,
        Exclude::CurrentRow => at != other,
        Exclude::Group => !peers,
        Exclude::Ties => !peers || at == other,
    };
    kept && side(&around.frame.start, around.distances[0], true)
        && side(&around.frame.end, around.distances[1], false)
}

const EXCLUDES: [Exclude; 4] =
    [Exclude::Nothing, Exclude::CurrentRow, Exclude::Group, Exclude::Ties];

fn text(value: Option<i64>) -> String {
    value.map_or("NULL".into(), |value| value.to_string())
}

fn float(value: Option<f64>) -> String {
    value.map_or("NULL".into(), |value| Scalar::float64(value).to_string())
}

fn expected(call: &AggregateCall, frame: &[Row]) -> String {
    let passes = |row: &&Row| call.filter.is_none() || row[1].is_some_and(|key| key > 2);
    let rows: Vec<&Row> = frame.iter().filter(passes).collect();
    let mut values: Vec<i64> = rows.iter().filter_map(|row| row[2]).collect();
    if call.distinct {
        let mut seen = Vec::new();
        values.retain(|value| {
            !seen.contains(value) && {
                seen.push(*value);
                true
            }
        });
    }
    let first = values.first().copied();
    let sum: i64 = values.iter().sum();
    let count = values.len();
    match call.function {
        F::CountStar => rows.len().to_string(),
        F::Count => count.to_string(),
        F::Sum => text(first.map(|_| sum)),
        F::Avg => float(first.map(|_| sum as f64 / count as f64)),
        F::Min => text(values.iter().min().copied()),
        F::Max => text(values.iter().max().copied()),
        F::First => text(rows.first().and_then(|row| row[2])),
        F::AnyValue => text(first),
        F::Median => {
            values.sort_unstable();
            let middle = |k: usize| values[k] as f64;
            float(first.map(|_| middle((count - 1) / 2) / 2.0 + middle(count / 2) / 2.0))
        }
        other => unreachable!("{other:?}"),
    }
}

#[test]
fn test_every_frame_equals_the_walk_over_its_rows() {
    let mut random = Random(11);
    let functions = [
        (F::CountStar, false, false),
        (F::Count, false, true),
        (F::Sum, false, false),
        (F::Avg, false, true),
        (F::Min, false, false),
        (F::Max, false, true),
        (F::First, false, false),
        (F::AnyValue, false, false),
        (F::Median, false, false),
        (F::Median, false, true),
        (F::Count, true, false),
        (F::Sum, true, false),
    ];
    for (count, partitions, keys) in [(0, 1, 1), (1, 1, 1), (40, 4, 6), (300, 2, 30), (520, 1, 90)]
    {
        for (descending, nulls_first) in [(false, false), (true, false), (true, true)] {
            let rows: Vec<Row> = (0..count)
                .map(|_| [random.value(partitions, 9), random.value(keys, 8), random.value(20, 6)])
                .collect();
            let order = sorted(&rows, descending, nulls_first);
            let excludes = match count {
                ..=40 => &EXCLUDES[..],
                // One of them a time where there are more rows.
                _ => std::slice::from_ref(&EXCLUDES[random.below(4) as usize]),
            };
            let all = excludes.iter().flat_map(|exclude| frames(descending, *exclude));
            for around in all.collect::<Vec<_>>() {
                let calls: Vec<WindowCall> = functions
                    .iter()
                    .map(|&(function, distinct, filtered)| WindowCall::Aggregate {
                        call: aggregate(function, distinct, filtered),
                        frame: around.frame.clone(),
                    })
                    .collect();
                let found = run(&rows, descending, nulls_first, &calls, 1 + count % 3);
                assert_eq!(found.iter().map(|row| row.0).collect::<Vec<_>>(), order);
                for (at, (row, results)) in found.iter().enumerate() {
                    // A part of the rows is enough of the oracle's quadratic work.
                    if count > 100 && random.below(12) > 0 {
                        continue;
                    }
                    let partition = |place: &usize| rows[order[*place]][0] == rows[*row][0];
                    let frame: Vec<Row> = (0..order.len())
                        .filter(partition)
                        .filter(|&other| in_frame(&rows, &order, at, other, &around, descending))
                        .map(|place| rows[order[place]])
                        .collect();
                    for (result, call) in results.iter().zip(&calls) {
                        let WindowCall::Aggregate { call, frame: bounds } = call else { continue };
                        assert_eq!(
                            *result,
                            expected(call, &frame),
                            "{:?} distinct {} over {bounds:?} at {at} of {count}",
                            call.function,
                            call.distinct
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn test_ranks_and_values_equal_the_definition() {
    let mut random = Random(5);
    let shift = |distance: i64, default: Option<i64>, forward, ignore_nulls| WindowCall::Shift {
        value: column(2),
        distance: number(distance),
        default: default.map(number),
        forward,
        ignore_nulls,
    };
    for exclude in EXCLUDES {
        ranks_and_values(&mut random, &shift, exclude);
    }
}

fn ranks_and_values(
    random: &mut Random,
    shift: &dyn Fn(i64, Option<i64>, bool, bool) -> WindowCall,
    exclude: Exclude,
) {
    let pick = |which, ignore_nulls| WindowCall::Pick {
        value: column(2),
        which,
        ignore_nulls,
        frame: Frame { unit: U::Rows, start: B::Offset(-3), end: B::Offset(1), exclude },
    };
    let calls = [
        WindowCall::Rank(Rank::RowNumber),
        WindowCall::Rank(Rank::Rank),
        WindowCall::Rank(Rank::DenseRank),
        WindowCall::Rank(Rank::PercentRank),
        WindowCall::Rank(Rank::CumeDist),
        WindowCall::Ntile(number(3)),
        shift(1, None, false, false),
        shift(2, Some(-77), true, false),
        shift(2, Some(-77), false, true),
        shift(-1, None, true, true),
        pick(Which::First, false),
        pick(Which::Last, true),
        pick(Which::Nth(number(2)), false),
        pick(Which::Nth(number(2)), true),
    ];
    for (count, partitions, keys) in [(0, 1, 1), (5, 1, 3), (60, 5, 4), (600, 2, 40)] {
        let rows: Vec<Row> = (0..count)
            .map(|_| [random.value(partitions, 9), random.value(keys, 8), random.value(20, 3)])
            .collect();
        let order = sorted(&rows, false, false);
        let found = run(&rows, false, false, &calls, 2);
        for (at, (row, results)) in found.iter().enumerate() {
            let partition = |place: &usize| rows[order[*place]][0] == rows[*row][0];
            let places: Vec<usize> = (0..order.len()).filter(partition).collect();
            let index = places.iter().position(|&place| place == at).unwrap();
            let key = |index: usize| rows[order[places[index]]][1];
            let values: Vec<Option<i64>> = places.iter().map(|&p| rows[order[p]][2]).collect();
            let valid: Vec<usize> = (0..values.len()).filter(|&i| values[i].is_some()).collect();
            let before = (0..index).filter(|&i| key(i) != key(index)).count();
            let upto = (0..places.len()).rfind(|&i| key(i) == key(index)).unwrap() + 1;
            let groups = (1..=index).filter(|&i| key(i) != key(i - 1)).count();
            let n = places.len();
            let (size, larger) = (n / 3, n % 3);
            let bucket = (0..3).find(|&b| index < (b + 1) * size + larger.min(b + 1)).unwrap() + 1;
            let at_index =
                |index: Option<usize>| index.and_then(|index| values.get(index).copied());
            let lag_valid = valid.iter().rev().filter(|&&i| i < index).nth(1).copied();
            let lag_one = valid.iter().rev().find(|&&i| i < index).copied();
            let kept = |&i: &usize| match exclude {
                Exclude::Nothing => true,
                Exclude::CurrentRow => i != index,
                Exclude::Group => key(i) != key(index),
                Exclude::Ties => i == index || key(i) != key(index),
            };
            let window: Vec<usize> =
                (index.saturating_sub(3)..n.min(index + 2)).filter(kept).collect();
            let window_valid: Vec<usize> =
                window.iter().copied().filter(|&i| values[i].is_some()).collect();
            let wanted = [
                (index + 1).to_string(),
                (before + 1).to_string(),
                (groups + 1).to_string(),
                float(Some(if n > 1 { before as f64 / (n - 1) as f64 } else { 0.0 })),
                float(Some(upto as f64 / n as f64)),
                bucket.to_string(),
                text(at_index(index.checked_sub(1)).flatten()),
                text(at_index(Some(index + 2)).unwrap_or(Some(-77))),
                text(lag_valid.map_or(Some(-77), |i| values[i])),
                text(lag_one.and_then(|i| values[i])),
                text(window.first().and_then(|&i| values[i])),
                text(window_valid.last().and_then(|&i| values[i])),
                text(window.get(1).and_then(|&i| values[i])),
                text(window_valid.get(1).and_then(|&i| values[i])),
            ];
            assert_eq!(results[..], wanted, "row {index} of {n} of {count}");
        }
    }
}
