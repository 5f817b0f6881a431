//! The plan as text: an indented tree, one operator a line, inputs below in the order of `Plan::inputs`.
//!
//! Invariant: the text depends on the plan alone (and on the metrics, if given), so that it can be compared in tests.
//! Nodes are numbered in the order of the lines: the subqueries first, then the shared plans, then the main plan, each
//! in pre-order.

use std::sync::Arc;

use hashbrown::HashMap;
use stoadb_storage::{ColumnDef, Relation, Schema};

use crate::{
    access::{AccessPath, Choice, Target, extreme_keys, sorted_scan},
    error::Result,
    expr::Expr,
    op::{aggregate::statistics::can_answer, join::keeps_unmatched_left},
    open::trace::trace_column,
    plan::{AggregateCall, JoinKey, JoinKind, JoinPlan, Plan, QueryPlan, ScanPlan, UnnestColumn},
};

/// What a node of a plan did when it ran.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeMetrics {
    /// Rows that it gave.
    pub rows: u64,
    /// Batches that it gave.
    pub batches: u64,
    /// Time in it, without its inputs, over all workers, in nanoseconds.
    pub nanos: u64,
    /// Anything else worth a line: bytes touched, partitions, morsels skipped.
    pub detail: Vec<String>,
}

/// Asks a target for its choice.
type Ask<'a> = dyn Fn(&Target<'_>) -> Result<Option<Choice>> + 'a;

/// How the scan of a node is read, where an index might serve; a sort's first rows may be skipped.
fn choice(plan: &Plan, skipped: u64, details: Details) -> Option<Choice> {
    let (scan, ask): (_, &Ask<'_>) = match plan {
        Plan::Scan(scan) => (scan, &|target| target.explain_fetch()),
        Plan::Aggregate { input, groups, grouping_sets, aggregates, .. } => match &**input {
            Plan::Scan(scan) if grouping_sets.is_empty() => {
                (scan, &|target| match groups.as_slice() {
                    [] => match target.explain_answer(aggregates)? {
                        None => {
                            let keys = extreme_keys(aggregates);
                            let keys: Vec<_> = keys.iter().map(std::slice::from_ref).collect();
                            let known = target.use_statistics && may_be_answered(plan);
                            target.explain_walk(&keys, 1, known)
                        }
                        choice => Ok(choice),
                    },
                    [group] => target.explain_grouped(group, aggregates),
                    _ => Ok(None),
                })
            }
            _ => return None,
        },
        Plan::Sort { input, keys, limit: Some(limit) } => {
            let (scan, _, keys) = sorted_scan(input, keys)?;
            (scan, &move |target| {
                let first = target.explain_first(&keys, limit.saturating_sub(skipped))?;
                match first.as_ref().is_some_and(Choice::is_by_index) {
                    true => Ok(first),
                    false => Ok(target.explain_walk(&[&keys], *limit, false)?.or(first)),
                }
            })
        }
        _ => return None,
    };
    // What cannot be estimated is said to whoever runs the query.
    with_target(scan, details, |target| ask(target).ok().flatten())
}

/// Asks a scan's target, where its relation has indexes.
fn with_target<T>(
    scan: &ScanPlan,
    details: Details,
    ask: impl FnOnce(&Target<'_>) -> Option<T>,
) -> Option<T> {
    let relation = details.relations.get(scan.relation.0)?;
    if relation.indexes().is_empty() {
        return None;
    }
    let ledger = relation.ledger();
    ask(&Target {
        plan: scan,
        relation: relation.as_ref(),
        ledger: &ledger,
        path: details.access,
        use_statistics: details.statistics,
    })
}

/// What may be printed beside the plan. Node-wise facts are indexed by node number.
#[derive(Clone, Copy, Default)]
pub struct Details<'a> {
    /// The relations of the statement, for the names of columns that only a scan's filter reads.
    pub relations: &'a [Arc<dyn Relation>],
    /// How many rows the planner expects of each node.
    pub estimates: &'a [u64],
    /// What each node did.
    pub metrics: &'a [NodeMetrics],
    /// Whether statistics are used, so that aggregates which they can answer are marked.
    pub statistics: bool,
    /// Which ways to rows may be taken.
    pub access: AccessPath,
}

/// Whether statistics can answer an aggregation, as far as its plan shows.
fn may_be_answered(plan: &Plan) -> bool {
    let Plan::Aggregate { input, groups, grouping_sets, aggregates, .. } = plan else {
        return false;
    };
    let Plan::Scan(scan) = &**input else { return false };
    groups.is_empty()
        && grouping_sets.is_empty()
        && scan.is_judged()
        && aggregates.iter().all(can_answer)
}

/// The plan as text.
pub fn explain(plan: &QueryPlan) -> String {
    explain_with(plan, Details::default())
}

/// The plan as text with what is known besides.
pub fn explain_with(plan: &QueryPlan, details: Details) -> String {
    let keys = HashMap::new();
    Printer { text: String::new(), node: 0, details, is_found: false, skipped: 0, keys }.query(plan)
}

/// The number of the first node of each subquery, of each shared plan and of the main plan (the last entry).
pub fn first_nodes(plan: &QueryPlan) -> Vec<usize> {
    fn count(plan: &Plan) -> usize {
        1 + plan.inputs().into_iter().map(count).sum::<usize>()
    }
    let mut firsts = vec![0];
    let mut next = 0;
    for plan in plan.subqueries.iter().chain(&plan.shared) {
        next += count(plan);
        firsts.push(next);
    }
    firsts
}

struct Printer<'a> {
    text: String,
    node: usize,
    details: Details<'a>,
    /// Whether an index finds what the next scan would read.
    is_found: bool,
    /// How many rows the limit above skips.
    skipped: u64,
    /// The columns of scans that joins know the keys of, by the scan's node.
    keys: HashMap<usize, Vec<usize>>,
}

impl Printer<'_> {
    fn query(mut self, plan: &QueryPlan) -> String {
        for (kind, plans) in [("subquery", &plan.subqueries), ("shared", &plan.shared)] {
            for (id, plan) in plans.iter().enumerate() {
                self.text.push_str(&format!("{kind} {id}:\n"));
                self.plan(plan, 1);
            }
        }
        let depth = usize::from(!plan.subqueries.is_empty() || !plan.shared.is_empty());
        if depth > 0 {
            self.text.push_str("main:\n");
        }
        self.plan(&plan.root, depth);
        self.text
    }

    fn plan(&mut self, plan: &Plan, depth: usize) {
        let indent = "  ".repeat(depth);
        let choice = match plan {
            Plan::Scan(_) if std::mem::take(&mut self.is_found) => None,
            plan => choice(plan, self.skipped, self.details),
        };
        self.skipped = match plan {
            Plan::Limit { offset, .. } => *offset,
            Plan::Project { .. } => self.skipped,
            _ => 0,
        };
        let by_index = choice.as_ref().is_some_and(Choice::is_by_index);
        self.is_found |= by_index && !matches!(plan, Plan::Scan(_));
        self.text.push_str(&indent);
        self.text.push_str(&self.line(plan, by_index));
        if let Some(rows) = self.details.estimates.get(self.node) {
            self.text.push_str(&format!("  (~{rows} rows)"));
        }
        if let Some(metrics) = self.details.metrics.get(self.node) {
            self.text.push_str(&measured(metrics));
            for detail in &metrics.detail {
                self.text.push_str(&format!("\n{indent}  - {detail}"));
            }
        }
        if let Some(choice) = &choice {
            self.text.push_str(&format!("\n{indent}  - {}", choice.describe()));
        }
        if let Some(lookup) = self.lookup(plan).filter(|_| !by_index) {
            self.text.push_str(&format!("\n{indent}  - {lookup}"));
        }
        self.text.push('\n');
        self.node += 1;
        for input in plan.inputs() {
            self.plan(input, depth + 1);
        }
    }

    /// How a scan looks up the keys of a join, if it may.
    fn lookup(&mut self, plan: &Plan) -> Option<String> {
        match plan {
            Plan::Join(join) if !keeps_unmatched_left(join.kind) => {
                for key in join.keys.iter().filter(|key| !key.null_equal) {
                    let place = trace_column(&join.left, self.node + 1, &key.left);
                    if let Some((scan, column)) = place {
                        self.keys.entry(scan).or_default().push(column);
                    }
                }
                None
            }
            Plan::Scan(scan) => {
                let columns = self.keys.get(&self.node)?;
                let ask = |target: &Target<'_>| target.explain_lookup(columns).ok().flatten();
                with_target(scan, self.details, ask)
            }
            _ => None,
        }
    }

    /// One operator, without its inputs; whether an index gives what it asks of a scan.
    fn line(&self, plan: &Plan, by_index: bool) -> String {
        match plan {
            Plan::Values { schema, rows } => {
                format!("Values: {} rows of {}", rows.len(), names(schema))
            }
            Plan::Scan(scan) => self.scan_line(scan),
            Plan::Shared { id, .. } => format!("Shared {id}"),
            Plan::Recursive(plan) => {
                let distinct = if plan.distinct { ", distinct" } else { "" };
                let limit = plan.limit.map_or(String::new(), |limit| format!(" limit {limit}"));
                format!("Recursive {}: base, then step{distinct}{limit}", plan.id)
            }
            Plan::WorkTable { id, .. } => format!("Rows of recursive {id}"),
            Plan::Filter { input, predicate } => {
                format!("Filter: {}", predicate.named(&[input.schema()]))
            }
            Plan::Project { input, schema, exprs } => project_line(input.schema(), schema, exprs),
            Plan::Aggregate { input, groups, grouping_sets, aggregates, .. } => {
                let line = aggregate_line(input.schema(), groups, grouping_sets, aggregates);
                let answered = self.details.statistics && !by_index && may_be_answered(plan);
                if answered { line + " (from statistics where they suffice)" } else { line }
            }
            Plan::Join(join) => join_line(join),
            Plan::Sort { input, keys, limit } => {
                let keys: Vec<String> =
                    keys.iter().map(|key| key.named(&[input.schema()])).collect();
                match limit {
                    Some(limit) => format!("Sort: {} limit {limit}", keys.join(", ")),
                    None => format!("Sort: {}", keys.join(", ")),
                }
            }
            Plan::Limit { offset, limit, .. } => {
                let mut text = String::from("Limit:");
                if let Some(limit) = limit {
                    text.push_str(&format!(" {limit}"));
                }
                if *offset > 0 {
                    text.push_str(&format!(" offset {offset}"));
                }
                text
            }
            Plan::Unnest { input, columns, .. } => {
                let name = |column: &UnnestColumn| match column {
                    UnnestColumn::Repeat(_) => None,
                    UnnestColumn::Elements(index) | UnnestColumn::Field(index, _) => {
                        Some(input.schema().columns[*index].name.as_str())
                    }
                };
                let mut names: Vec<&str> = columns.iter().filter_map(name).collect();
                names.dedup();
                format!("Unnest: {}", names.join(", "))
            }
            Plan::Window(window) => window.named(),
            Plan::Union { inputs, .. } => format!("Union: {} inputs", inputs.len()),
        }
    }

    fn scan_line(&self, scan: &ScanPlan) -> String {
        let mut text = format!("Scan: {} [{}]", scan.name, names(&scan.schema));
        if let Some(filter) = &scan.filter {
            let relation = self.details.relations.get(scan.relation.0);
            let columns: Vec<&Schema> = relation.iter().map(|relation| relation.schema()).collect();
            text.push_str(&format!(" where {}", filter.named(&columns)));
        }
        text
    }
}

fn measured(metrics: &NodeMetrics) -> String {
    let millis = metrics.nanos as f64 / 1e6;
    format!("  [rows {}, batches {}, {millis:.3} ms]", metrics.rows, metrics.batches)
}

fn names(schema: &Schema) -> String {
    let names: Vec<&str> = schema.columns.iter().map(|column| column.name.as_str()).collect();
    names.join(", ")
}

/// Each output column, with its name where the expression does not show it.
fn project_line(input: &Schema, schema: &Schema, exprs: &[Expr]) -> String {
    let column = |(expr, column): (&Expr, &ColumnDef)| {
        let text = expr.named(&[input]).to_string();
        if text.eq_ignore_ascii_case(&column.name) {
            text
        } else {
            format!("{text} AS {}", column.name)
        }
    };
    let columns: Vec<String> = exprs.iter().zip(&schema.columns).map(column).collect();
    format!("Project: {}", columns.join(", "))
}

fn aggregate_line(
    input: &Schema,
    groups: &[Expr],
    sets: &[Vec<usize>],
    calls: &[AggregateCall],
) -> String {
    let groups: Vec<String> =
        groups.iter().map(|group| group.named(&[input]).to_string()).collect();
    let calls: Vec<String> = calls.iter().map(|call| call.named(&[input])).collect();
    let set = |set: &Vec<usize>| {
        let names: Vec<&str> = set.iter().map(|&group| groups[group].as_str()).collect();
        format!("({})", names.join(", "))
    };
    let mut parts = Vec::new();
    if sets.is_empty() {
        parts.extend((!groups.is_empty()).then(|| format!("by {}", groups.join(", "))));
    } else {
        let sets: Vec<String> = sets.iter().map(set).collect();
        parts.push(format!("by sets {}", sets.join(", ")));
    }
    parts.extend((!calls.is_empty()).then(|| calls.join(", ")));
    format!("Aggregate: {}", parts.join(": "))
}

/// The join's kind and conditions; the inputs below are the probe side, then the build side.
fn join_line(join: &JoinPlan) -> String {
    let (left, right) = (join.left.schema(), join.right.schema());
    let key = |key: &JoinKey| {
        let op = if key.null_equal { "IS NOT DISTINCT FROM" } else { "=" };
        format!("{} {op} {}", key.left.named(&[left]), key.right.named(&[right]))
    };
    let mut text = format!("Join: {}", kind_name(join.kind));
    if join.keys.is_empty() && join.residual.is_none() && join.nearest.is_none() {
        text.push_str(" cross");
    }
    if !join.keys.is_empty() {
        let keys: Vec<String> = join.keys.iter().map(key).collect();
        text.push_str(&format!(" on {}", keys.join(", ")));
    }
    if let Some(nearest) = &join.nearest {
        let (a, b) = (&nearest.left, &nearest.right);
        let (a, b) = (a.named(&[left]).to_string(), b.named(&[right]).to_string());
        text.push_str(&format!(" nearest {a} {} {b}", nearest.op.symbol()));
    }
    if let Some(residual) = &join.residual {
        text.push_str(&format!(" if {}", residual.named(&[left, right])));
    }
    text
}

fn kind_name(kind: JoinKind) -> &'static str {
    match kind {
        JoinKind::Inner => "inner",
        JoinKind::Left => "left",
        JoinKind::Right => "right",
        JoinKind::Full => "full",
        JoinKind::LeftSemi => "left semi",
        JoinKind::LeftAnti => "left anti",
        JoinKind::LeftAntiNullAware => "left anti, null-aware",
        JoinKind::RightSemi => "right semi",
        JoinKind::RightAnti => "right anti",
        JoinKind::LeftMark => "left mark",
    }
}

#[cfg(test)]
mod tests {
    use stoadb_storage::{LogicalType, Scalar};

    use super::*;
    use crate::{expr::CompareOp, plan::RelationId};

    fn scan(name: &str, filter: Option<Expr>) -> Plan {
        let schema = Schema::new(vec![ColumnDef::new("a", LogicalType::Int64)]);
        let (relation, projection) = (RelationId(0), vec![3]);
        Plan::Scan(ScanPlan {
            relation,
            name: name.into(),
            schema,
            projection,
            filter,
            prune: None,
            prune_is_exact: false,
        })
    }

    fn plan() -> QueryPlan {
        let column = Expr::column(0, LogicalType::Int64);
        let filter = Expr::Compare {
            op: CompareOp::Gt,
            left: Box::new(Expr::column(5, LogicalType::Int64)),
            right: Box::new(Expr::Literal(Scalar::int64(7))),
        };
        let (left, right) = (Box::new(scan("t", Some(filter))), Box::new(scan("u", None)));
        let keys = vec![JoinKey { left: column.clone(), right: column, null_equal: true }];
        let schema = left.schema().clone();
        let kind = JoinKind::LeftAnti;
        let join = JoinPlan { left, right, kind, keys, residual: None, nearest: None, schema };
        let root = Plan::Limit { input: Box::new(Plan::Join(join)), offset: 2, limit: None };
        QueryPlan { root, subqueries: vec![scan("s", None)], shared: Vec::new() }
    }

    #[test]
    fn test_explain_prints_one_operator_a_line() {
        let wanted = "subquery 0:\n  Scan: s [a]\nmain:\n  Limit: offset 2\n    Join: left anti on a IS NOT DISTINCT FROM a\n      Scan: t [a] where #5 > 7\n      Scan: u [a]\n";
        assert_eq!(explain(&plan()), wanted);
    }

    #[test]
    fn test_details_stand_beside_the_node_of_their_number() {
        let metrics = |rows| NodeMetrics { rows, batches: 1, nanos: 1_500_000, detail: Vec::new() };
        let mut metrics: Vec<NodeMetrics> = (0..4).map(metrics).collect();
        metrics[3].detail.push("3 of 9 blocks skipped".into());
        let details = Details { metrics: &metrics, estimates: &[9], ..Details::default() };
        let text = explain_with(&plan(), details);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1], "  Scan: s [a]  (~9 rows)  [rows 0, batches 1, 1.500 ms]");
        assert!(lines[5].ends_with("where #5 > 7  [rows 3, batches 1, 1.500 ms]"), "{text}");
        assert_eq!(lines[6], "        - 3 of 9 blocks skipped");
        assert_eq!(lines[7], "      Scan: u [a]");
        assert_eq!(first_nodes(&plan()), [0, 1]);
    }
}
