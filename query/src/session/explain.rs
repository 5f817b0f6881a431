//! EXPLAIN and EXPLAIN ANALYZE: the plan as text, with what each operator did and which bytes each scan touched.

use std::sync::Arc;

use stoadb_engine::{
    AccessPath, Plan, QueryContext, QueryPlan,
    explain::{Details, explain_with},
};
use stoadb_storage::{BlockUse, Level, Relation, ScanLedger};

use crate::{
    error::{Error, Result},
    session::{
        explain_json,
        result::QueryResult,
        run::{Prepared, Session, unsupported},
    },
    sql::ast::{AnalyzeFormatKind, Statement, UtilityOption},
};

/// What EXPLAIN is to give.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct How {
    /// Whether the query is run.
    analyze: bool,
    /// Whether the plan is given as JSON.
    json: bool,
}

impl How {
    /// What a statement says: `EXPLAIN [ANALYZE] [(ANALYZE, FORMAT JSON)]`.
    pub(crate) fn of(
        analyze: bool,
        format: Option<&AnalyzeFormatKind>,
        options: Option<&[UtilityOption]>,
    ) -> Result<Self> {
        let mut how = Self { analyze, json: false };
        if let Some(AnalyzeFormatKind::Keyword(format) | AnalyzeFormatKind::Assignment(format)) =
            format
        {
            how.set_format(&format.to_string())?;
        }
        for UtilityOption { name, arg } in options.unwrap_or_default() {
            let text = arg.as_ref().map(|arg| arg.to_string().trim_matches('\'').to_lowercase());
            match (name.value.to_lowercase().as_str(), text.as_deref()) {
                ("analyze", None | Some("true" | "on" | "1")) => how.analyze = true,
                ("analyze", Some("false" | "off" | "0")) => how.analyze = false,
                ("format", Some(format)) => how.set_format(format)?,
                _ => {
                    return Err(Error::unsupported(format!("the option {name} of EXPLAIN"))
                        .with_hint("EXPLAIN (ANALYZE, FORMAT json) has those that there are"));
                }
            }
        }
        Ok(how)
    }

    fn set_format(&mut self, format: &str) -> Result<()> {
        self.json = match format.to_ascii_lowercase().as_str() {
            "json" => true,
            "text" | "default" => false,
            other => return Err(Error::unsupported(format!("EXPLAIN (FORMAT {other})"))),
        };
        Ok(())
    }
}

/// `EXPLAIN [ANALYZE] query`: one row per line of the plan, or one with the plan as JSON.
pub(crate) fn explain(
    session: &Session<'_>,
    statement: &Statement,
    how: How,
) -> Result<QueryResult> {
    if !matches!(statement, Statement::Query(_)) {
        return Err(unsupported(statement));
    }
    let prepared = session.prepare(statement)?;
    let text = if how.analyze { run(session, prepared)? } else { plain(session, &prepared) };
    if how.json {
        return QueryResult::texts(vec![("plan", vec![Some(explain_json::of_text(&text))])]);
    }
    QueryResult::texts(vec![("plan", text.lines().map(|line| Some(line.into())).collect())])
}

fn plain(session: &Session<'_>, prepared: &Prepared) -> String {
    explain_with(&prepared.plan, details(session, &prepared.relations))
}

fn details<'a>(session: &Session<'_>, relations: &'a [Arc<dyn Relation>]) -> Details<'a> {
    let settings = &session.settings.engine;
    let access = settings.access_path;
    let statistics = settings.use_statistics && access != AccessPath::Scan;
    Details { relations, statistics, access, ..Details::default() }
}

fn run(session: &Session<'_>, prepared: Prepared) -> Result<String> {
    let Prepared { plan, relations, schema, .. } = prepared;
    let plan = Arc::new(plan);
    let context = session.context(relations.clone());
    let start = std::time::Instant::now();
    let workers = session.workers()?;
    let mut rows = 0;
    let mut stream =
        stoadb_engine::execute(Arc::clone(&plan), schema, Arc::clone(&context), workers);
    for batch in stream.by_ref() {
        rows += batch?.num_rows();
    }
    let elapsed = start.elapsed();
    let mut metrics = stream.metrics().snapshot();
    for (node, scan) in scans(&plan) {
        if let (Some(metrics), Some(ledger)) = (metrics.get_mut(node), context.ledgers().get(scan))
        {
            metrics.detail = ledger_lines(ledger);
        }
    }
    let details = Details { metrics: &metrics, ..details(session, &relations) };
    let mut text = explain_with(&plan, details);
    text.push_str(&totals(&context, rows, elapsed));
    Ok(text)
}

/// The scans of a plan: their node numbers and their relations.
fn scans(plan: &QueryPlan) -> Vec<(usize, usize)> {
    fn collect(plan: &Plan, node: &mut usize, scans: &mut Vec<(usize, usize)>) {
        if let Plan::Scan(scan) = plan {
            scans.push((*node, scan.relation.0));
        }
        *node += 1;
        for input in plan.inputs() {
            collect(input, node, scans);
        }
    }
    let (mut node, mut found) = (0, Vec::new());
    for plan in plan.subqueries.iter().chain(&plan.shared).chain([&plan.root]) {
        collect(plan, &mut node, &mut found);
    }
    found
}

const LEVELS: [(Level, &str); 4] = [
    (Level::Metadata, "metadata"),
    (Level::Index, "index"),
    (Level::Encoded, "encoded"),
    (Level::Decoded, "decoded"),
];

/// What a scan touched: one line for all columns, one for each that was touched.
fn ledger_lines(ledger: &ScanLedger) -> Vec<String> {
    let columns = 0..ledger.columns();
    let touched =
        |column| LEVELS.iter().map(|(level, _)| ledger.touched(column, *level)).sum::<u64>();
    let stored: u64 = columns.clone().map(|column| ledger.stored(column)).sum();
    let read: u64 = columns.clone().map(|column| ledger.read(column)).sum();
    let made: u64 = columns.clone().map(|column| ledger.made(column)).sum();
    let of_level = |level| columns.clone().map(|column| ledger.touched(column, level)).sum::<u64>();
    let (statistics, indexes) = (of_level(Level::Metadata), of_level(Level::Index));
    let mut lines =
        vec![format!("touched {} of {stored} bytes stored", read - statistics - indexes)];
    if made > 0 {
        lines[0].push_str(&format!(", made {made} by decoding"));
    }
    let beside =
        [(statistics, "statistics"), (indexes, "indexes"), (ledger.footer_bytes(), "footers")];
    for (bytes, of) in beside.into_iter().filter(|(bytes, _)| *bytes > 0) {
        lines[0].push_str(&format!(", {bytes} bytes of {of}"));
    }
    let [answered, skipped, read] =
        [BlockUse::Answered, BlockUse::Skipped, BlockUse::Read].map(|of| ledger.blocks(of));
    if answered + skipped > 0 {
        lines.push(format!(
            "of {} blocks statistics answered {answered} and skipped {skipped}, {read} were read",
            answered + skipped + read
        ));
    }
    let (skipped, read) = ledger.pages();
    if skipped > 0 {
        lines.push(format!("of {} pages the page index skipped {skipped}", skipped + read));
    }
    for column in columns.filter(|&column| touched(column) > 0) {
        let level = |(level, name): &(Level, &str)| {
            let bytes = ledger.touched(column, *level);
            (bytes > 0).then(|| format!("{name} {bytes}"))
        };
        let levels: Vec<_> = LEVELS.iter().filter_map(level).collect();
        let (name, stored) = (ledger.name(column), ledger.stored(column));
        lines.push(format!("{name}: {} of {stored} bytes stored", levels.join(", ")));
    }
    lines
}

fn totals(context: &QueryContext, rows: usize, elapsed: std::time::Duration) -> String {
    let memory = context.memory().peak();
    format!(
        "{rows} rows in {:.3} ms, {memory} bytes of memory held at most\n",
        elapsed.as_secs_f64() * 1e3
    )
}
