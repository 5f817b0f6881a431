//! From plan to pipelines: opening a plan runs every pipeline that ends in a breaker (build side, aggregate, sort) and
//! gives back the stream that is left.
//!
//! Invariants: a join's build side runs before its probe side is opened, so that what is known of the build keys can
//! narrow the probe side's scans; scalar subqueries run before everything that names them. `match` is exhaustive.
//! Next: `op/`, the operators; `pipeline.rs`, which runs them.

mod learn; // what joins tell the scans of their probe sides
mod recursive; // plans that read their own rows
pub(crate) mod trace; // where a column comes from
mod walk; // the first rows that pass a filter, in the order of an index

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use hashbrown::{HashMap, HashSet};
use stoadb_storage::Scalar;

use crate::{
    access::{Found, MOST_KEYS, Target, extreme_keys, sorted_scan},
    context::QueryContext,
    error::{EngineError, Result},
    expr::Expr,
    metrics::Metrics,
    op::{
        Sink, Source, Transform,
        aggregate::Aggregate,
        collect::Collect,
        entries::EntryScan,
        filter::Filter,
        join::{JoinBuild, keeps_unmatched_left},
        project::Project,
        scan::{Learnt, TableScan},
        sort::Sort,
        unnest::Unnest,
        values::Batches,
        window::Window,
    },
    pipeline::{self, Stream},
    plan::{AggregateCall, JoinPlan, Plan, QueryPlan, ScanPlan, SortKey},
    result::{Bounds, ResultStream},
    scheduler::Workers,
};

/// Runs a plan on the pool and gives its rows as they come, under the names of `schema`, whose types are the plan's.
pub fn execute(
    plan: Arc<QueryPlan>,
    schema: SchemaRef,
    context: Arc<QueryContext>,
    workers: Workers,
) -> ResultStream {
    let metrics = Arc::new(Metrics::new(plan.node_count()));
    let mut opener = Opener::new(Arc::clone(&context), Arc::clone(&metrics), workers.clone());
    let bounds = match &plan.root {
        Plan::Limit { offset, limit, .. } => {
            // What fails here fails again when the plan is opened.
            let skipped = opener.skip(&plan.root, plan.first_node()).unwrap_or(0);
            Bounds { offset: *offset - skipped, limit: limit.unwrap_or(u64::MAX) }
        }
        _ => Bounds::ALL,
    };
    let at_once = opener.is_short(&plan);
    let open = move || opener.open_root(&plan);
    ResultStream::spawn(schema, bounds, context, metrics, workers, at_once, open)
}

/// Runs a plan to its end into a sink, on the calling thread and the pool.
///
/// # Errors
/// Whatever running the plan raises.
pub fn execute_into(
    plan: &QueryPlan,
    sink: &Arc<dyn Sink>,
    context: &Arc<QueryContext>,
    workers: &Workers,
) -> Result<()> {
    let metrics = Arc::new(Metrics::new(plan.node_count()));
    let mut opener = Opener::new(Arc::clone(context), Arc::clone(&metrics), workers.clone());
    let root = opener.prepare(plan)?;
    let node = plan.first_node();
    let stream = opener.open(&root, node)?;
    pipeline::run(&stream, node, sink, context, &metrics, workers)
}

/// So many rows are read by whoever asks, without waking a thread.
const SHORT: usize = 1 << 10;

struct Opener {
    context: Arc<QueryContext>,
    metrics: Arc<Metrics>,
    workers: Workers,
    /// The values of the scalar subqueries that have run.
    subqueries: Vec<Scalar>,
    /// The rows of the shared plans that have run.
    shared: Vec<Arc<dyn Source>>,
    /// The rows of recursive queries' last runs, by the query's id.
    work: HashMap<usize, Arc<dyn Source>>,
    /// What joins have learnt about scans yet to be opened, by the scan's node number.
    learnt: HashMap<usize, Learnt>,
    /// The only rows that scans yet to be opened read, by the scan's node number.
    rows: HashMap<usize, Found>,
    /// How many of the first rows of a sort these leave out.
    skipped: HashMap<usize, u64>,
    /// Scans in whose index the first rows were looked for in vain, by the scan's node number.
    walked: HashSet<usize>,
    /// What indexes answered of aggregations yet to be opened, by the aggregation's node number.
    answers: HashMap<usize, Arc<dyn Source>>,
}

impl Opener {
    fn new(context: Arc<QueryContext>, metrics: Arc<Metrics>, workers: Workers) -> Self {
        Self {
            context,
            metrics,
            workers,
            subqueries: Vec::new(),
            shared: Vec::new(),
            work: HashMap::new(),
            learnt: HashMap::new(),
            rows: HashMap::new(),
            skipped: HashMap::new(),
            walked: HashSet::new(),
            answers: HashMap::new(),
        }
    }

    fn open_root(mut self, plan: &QueryPlan) -> Result<Stream> {
        let node = plan.first_node();
        match &self.prepare(plan)? {
            // The result stream applies the bounds.
            Plan::Limit { input, .. } => self.open(input, node + 1),
            root => self.open(root, node),
        }
    }

    /// Runs shared plans and scalar subqueries; gives the main plan with the subqueries' values in place.
    fn prepare(&mut self, plan: &QueryPlan) -> Result<Plan> {
        let mut node = plan.subqueries.iter().map(Plan::node_count).sum();
        for shared in &plan.shared {
            let rows = self.collect(&self.bind(shared), node, Bounds::ALL)?;
            self.shared.push(rows.source());
            node += shared.node_count();
        }
        node = 0;
        for subquery in &plan.subqueries {
            let rows = self.collect(&self.bind(subquery), node, Bounds { offset: 0, limit: 2 })?;
            let value = single_value(&rows, subquery)?;
            self.subqueries.push(value);
            node += subquery.node_count();
        }
        Ok(self.bind(&plan.root))
    }

    fn bind(&self, plan: &Plan) -> Plan {
        let mut plan = plan.clone();
        plan.for_each_expr_mut(&mut |expr| bind_subqueries(expr, &self.subqueries));
        plan
    }

    fn collect(&mut self, plan: &Plan, node: usize, bounds: Bounds) -> Result<Arc<Collect>> {
        let collect = Collect::new(bounds);
        let stream = self.open(plan, node)?;
        self.run(&stream, node, collect.clone())?;
        Ok(collect)
    }

    fn run(&self, stream: &Stream, node: usize, sink: Arc<dyn Sink>) -> Result<()> {
        pipeline::run(stream, node, &sink, &self.context, &self.metrics, &self.workers)
    }

    /// Opens the plan whose number is `node`.
    fn open(&mut self, plan: &Plan, node: usize) -> Result<Stream> {
        self.context.check()?;
        let context = Arc::clone(&self.context);
        match plan {
            Plan::Values { schema, rows } => {
                Ok(Stream::new(node, Arc::new(Batches::from_rows(schema, rows, &context)?)))
            }
            Plan::Scan(scan) => {
                let learnt = self.learnt.remove(&node).unwrap_or_default();
                let found = match self.rows.remove(&node) {
                    None => {
                        let target = Target::new(scan, &context)?;
                        target.fetch(&learnt.prunes, &learnt.keys, false)?
                    }
                    found => found,
                };
                let most = context.settings().vector_size;
                Ok(Stream::new(
                    node,
                    match found {
                        Some(Found::Entries(covered)) => {
                            Arc::new(EntryScan::new(scan, covered, most, &context)?)
                        }
                        found => {
                            Arc::new(TableScan::open(scan, learnt, rows_of(found), most, &context)?)
                        }
                    },
                ))
            }
            Plan::Shared { id, .. } => {
                let missing = || EngineError::Internal(format!("the plan names shared plan {id}"));
                Ok(Stream::new(node, Arc::clone(self.shared.get(*id).ok_or_else(missing)?)))
            }
            Plan::Recursive(plan) => Ok(Stream::new(node, self.recursive(plan, node)?)),
            Plan::WorkTable { id, .. } => {
                let missing = || EngineError::Internal(format!("recursive query {id} is not run"));
                Ok(Stream::new(node, Arc::clone(self.work.get(id).ok_or_else(missing)?)))
            }
            Plan::Filter { input, predicate } => {
                let mut stream = self.open(input, node + 1)?;
                let filter: Arc<dyn Transform> = Arc::new(Filter::new(predicate, &context)?);
                stream.push(node, &filter);
                Ok(stream)
            }
            Plan::Project { input, exprs, .. } => {
                let mut stream = self.open(input, node + 1)?;
                let project: Arc<dyn Transform> = Arc::new(Project::new(exprs, &context)?);
                stream.push(node, &project);
                Ok(stream)
            }
            Plan::Aggregate { input, schema, groups, grouping_sets, aggregates } => {
                let answer = match self.answers.remove(&node) {
                    None => answered(plan, &context)?,
                    answer => answer,
                };
                if let Some(rows) = answer {
                    return Ok(Stream::new(node, rows));
                }
                let aggregate = Aggregate::new(
                    input.schema(),
                    groups,
                    grouping_sets,
                    aggregates,
                    schema,
                    &context,
                )?;
                let stream = match &**input {
                    Plan::Scan(scan) => {
                        let alone = groups.is_empty() && grouping_sets.is_empty();
                        let calls = if alone { aggregates.as_slice() } else { &[] };
                        self.open_answered(scan, node + 1, &aggregate, calls)?
                    }
                    input => self.open(input, node + 1)?,
                };
                self.run(&stream, node, aggregate.clone())?;
                Ok(Stream::new(node, aggregate.source()))
            }
            Plan::Join(join) => self.open_join(join, node),
            Plan::Sort { input, keys, limit } => {
                if let Some(limit) = limit {
                    self.find_first(input, node + 1, keys, 0, *limit)?;
                }
                let stream = self.open(input, node + 1)?;
                let sort = Sort::new(input.schema(), keys, *limit, &context)?;
                self.run(&stream, node, sort.clone())?;
                Ok(Stream::new(node, sort.source()))
            }
            Plan::Limit { input, offset, limit } => {
                let offset = *offset - self.skip(plan, node)?;
                let bounds = Bounds { offset, limit: limit.unwrap_or(u64::MAX) };
                let collect = Collect::new(bounds);
                let stream = self.open(input, node + 1)?;
                self.run(&stream, node, collect.clone())?;
                Ok(Stream::new(node, collect.source()))
            }
            Plan::Unnest { input, columns, .. } => {
                let mut stream = self.open(input, node + 1)?;
                let unnest: Arc<dyn Transform> = Arc::new(Unnest::new(columns));
                stream.push(node, &unnest);
                Ok(stream)
            }
            Plan::Window(plan) => {
                let mut stream = self.open(&plan.input, node + 1)?;
                let (window, computed) = Window::new(plan, &context)?;
                if let Some(exprs) = computed {
                    let project: Arc<dyn Transform> = Arc::new(Project::new(&exprs, &context)?);
                    stream.push(node, &project);
                }
                self.run(&stream, node, window.clone())?;
                Ok(Stream::new(node, window.source()))
            }
            Plan::Union { inputs, .. } => {
                let mut streams = Vec::with_capacity(inputs.len());
                let mut child = node + 1;
                for input in inputs {
                    streams.push(self.open(input, child)?);
                    child += input.node_count();
                }
                Ok(Stream::concat(streams))
            }
        }
    }

    /// Whether indexes find all that a plan reads, which is little; what they found is kept for when it is opened.
    fn is_short(&mut self, plan: &QueryPlan) -> bool {
        let alone = plan.subqueries.is_empty() && plan.shared.is_empty();
        // What fails here fails again when the plan is opened.
        alone && self.find(&plan.root, plan.first_node()).unwrap_or(false)
    }

    fn find(&mut self, plan: &Plan, node: usize) -> Result<bool> {
        match plan {
            Plan::Limit { input, .. }
            | Plan::Filter { input, .. }
            | Plan::Project { input, .. } => self.find(input, node + 1),
            Plan::Sort { input, keys, limit } => {
                if let Some(limit) = limit {
                    self.find_first(input, node + 1, keys, 0, *limit)?;
                }
                self.find(input, node + 1)
            }
            Plan::Aggregate { .. } => {
                let Some(answer) = answered(plan, &self.context)? else { return Ok(false) };
                self.answers.insert(node, answer);
                Ok(true)
            }
            Plan::Scan(scan) => {
                if let hashbrown::hash_map::Entry::Vacant(entry) = self.rows.entry(node) {
                    let rows = Target::new(scan, &self.context)?.fetch(&[], &[], false)?;
                    let Some(rows) = rows else { return Ok(false) };
                    entry.insert(rows);
                }
                Ok(self.rows.get(&node).is_some_and(|rows| rows.len() <= SHORT))
            }
            _ => Ok(false),
        }
    }

    /// Notes the rows that the first `limit` ones after `offset` of a sorted input are among, where an index finds them;
    /// says whether it does.
    fn find_first(
        &mut self,
        input: &Plan,
        node: usize,
        keys: &[SortKey],
        offset: u64,
        limit: u64,
    ) -> Result<bool> {
        let Some((scan, below, keys)) = sorted_scan(input, keys) else { return Ok(false) };
        let node = node + below;
        if self.rows.contains_key(&node) {
            return Ok(self.skipped.get(&node).copied().unwrap_or(0) == offset);
        }
        let context = Arc::clone(&self.context);
        let target = Target::new(scan, &context)?;
        let rows = match target.first(&keys, offset, limit)? {
            None if offset == 0 => self.walk_once(&target, node, &[&keys], limit, false)?,
            rows => rows,
        };
        let found = rows.is_some();
        self.skipped.insert(node, offset);
        self.rows.extend(rows.map(|rows| (node, Found::Rows(rows))));
        Ok(found)
    }

    /// How many of the rows that a limit skips an index leaves out: all or none.
    fn skip(&mut self, plan: &Plan, mut node: usize) -> Result<u64> {
        let Plan::Limit { input, offset: offset @ 1.., .. } = plan else { return Ok(0) };
        let mut input = &**input;
        node += 1;
        while let Plan::Project { input: below, .. } = input {
            (input, node) = (below, node + 1);
        }
        let Plan::Sort { input, keys, limit: Some(limit) } = input else { return Ok(0) };
        let limit = limit.saturating_sub(*offset);
        let found = self.find_first(input, node + 1, keys, *offset, limit)?;
        Ok(if found { *offset } else { 0 })
    }

    /// The rows of a scan that statistics do not give to the aggregation.
    fn open_answered(
        &mut self,
        plan: &ScanPlan,
        node: usize,
        aggregate: &Aggregate,
        calls: &[AggregateCall],
    ) -> Result<Stream> {
        let learnt = self.learnt.remove(&node).unwrap_or_default();
        // What statistics say of the rows that pass is only what they say of all if they know the whole filter.
        let judged = learnt.is_empty() && plan.is_judged();
        let context = Arc::clone(&self.context);
        let target = Target::new(plan, &context)?;
        let may_answer = judged && target.use_statistics && target.path.allows_statistics();
        let of_statistics = may_answer && aggregate.is_of_statistics(&plan.projection);
        let extremes = if learnt.is_empty() { extreme_keys(calls) } else { Vec::new() };
        let extremes: Vec<&[SortKey]> = extremes.iter().map(std::slice::from_ref).collect();
        let found = match self.walk_once(&target, node, &extremes, 1, of_statistics)? {
            None => target.fetch(&learnt.prunes, &learnt.keys, of_statistics)?,
            rows => rows.map(Found::Rows),
        };
        let rows = aggregate.vector_rows(plan, context.settings().vector_size);
        if let Some(Found::Entries(covered)) = found {
            let scan = EntryScan::new(plan, covered, rows, &context)?;
            return Ok(Stream::new(node, Arc::new(scan)));
        }
        let mut scan = TableScan::open(plan, learnt, rows_of(found), rows, &context)?;
        if may_answer && let Some(left) = aggregate.answer(&plan.projection, scan.scan())? {
            scan = scan.only(left);
        }
        Ok(Stream::new(node, Arc::new(scan)))
    }

    fn open_join(&mut self, join: &JoinPlan, node: usize) -> Result<Stream> {
        let left = node + 1;
        let right = left + join.left.node_count();
        let build = JoinBuild::new(join, &self.context)?;
        if !keeps_unmatched_left(join.kind) && self.may_look_up(join, left)? {
            build.keep_keys(MOST_KEYS);
        }
        let stream = self.open(&join.right, right)?;
        self.run(&stream, node, build.clone())?;
        if !keeps_unmatched_left(join.kind) {
            if build.is_empty() {
                // What was learnt about the left side would be wrong the next time that it is opened.
                self.learnt.retain(|node, _| !(left..right).contains(node));
                return Ok(Stream::concat(Vec::new()));
            }
            self.learn(join, left, &build)?;
        }
        let mut stream = self.open(&join.left, left)?;
        stream.push(node, &build.probe());
        match build.unmatched() {
            Some(unmatched) => Ok(Stream::concat(vec![stream, Stream::new(node, unmatched)])),
            None => Ok(stream),
        }
    }
}

/// Positions that were found.
fn rows_of(found: Option<Found>) -> Option<Arc<[u64]>> {
    match found {
        Some(Found::Rows(rows)) => Some(rows),
        Some(Found::Entries(_)) | None => None,
    }
}

/// The rows of an aggregation over a scan, where an index answers it.
fn answered(plan: &Plan, context: &QueryContext) -> Result<Option<Arc<dyn Source>>> {
    let Plan::Aggregate { input, groups, grouping_sets, aggregates, .. } = plan else {
        return Ok(None);
    };
    let (Plan::Scan(scan), []) = (&**input, grouping_sets.as_slice()) else { return Ok(None) };
    let target = Target::new(scan, context)?;
    match groups.as_slice() {
        [] => target.answer(aggregates),
        [group] => target.grouped(group, aggregates, context),
        _ => Ok(None),
    }
}

fn bind_subqueries(expr: &mut Expr, values: &[Scalar]) {
    if let Expr::Subquery { id, .. } = expr
        && let Some(value) = values.get(*id)
    {
        *expr = Expr::Literal(value.clone());
    }
    for child in expr.children_mut() {
        bind_subqueries(child, values);
    }
}

fn single_value(rows: &Collect, subquery: &Plan) -> Result<Scalar> {
    let batches = rows.batches();
    match batches.iter().map(|batch| batch.rows).sum::<usize>() {
        0 => Ok(Scalar::null(subquery.schema().ty(0).clone())),
        1 => Ok(batches[0].columns[0].scalar(0)?),
        _ => Err(EngineError::Value(
            "more than one row returned by a subquery used as an expression".into(),
        )),
    }
}
