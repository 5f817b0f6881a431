//! From a parsed query to an optimised logical plan of the planner library.
//!
//! Invariants: the plan binds (`check.rs`), holds no correlated subquery, scans only `StoaTableSource`s, and never pushes a
//! filter into a scan. Uncorrelated scalar subqueries stay as expressions: `lower` runs them first.
//! Read: `provider.rs` (what the library asks), `optimizer.rs` (which rewrites run), `check.rs`.

pub mod aggregates; // aggregate functions: names and types
pub mod check; // what a finished plan must be like
pub mod diagnose; // the library's errors in our words
pub mod functions; // scalar functions, and how the engine calls them
pub mod hooks; // expressions that we plan ourselves
pub mod lambdas; // functions of lists that take lambdas: names and types
pub(crate) mod listed; // all functions, as a list
pub mod optimizer; // the list of rewrites
pub mod rules; // rewrites of our own
pub mod output; // names of result columns
pub mod parameters; // $1: types and values
pub mod places; // errors of calls and names, with their place
pub mod provider; // relations, functions, options
pub mod registry; // scalar functions for the engine
pub mod scalars; // scalar functions whose types are ours
pub mod source; // relations as the library sees them
pub mod subqueries; // EXISTS, IN, ANY, ALL and correlated subqueries become joins
pub(crate) mod trees; // walks over plans and expressions, compiled once
pub mod to_char; // dates and times as texts
pub mod types; // SQL type names
pub mod windows; // window functions: names and types
mod wording; // the library's errors about clauses

#[cfg(test)]
pub(crate) mod tests;

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use datafusion_common::{HashSet, config::ConfigOptions};
use datafusion_expr::{LogicalPlan, ScalarUDF};
use datafusion_sql::{
    planner::{NullOrdering, ParserOptions, SqlToRel},
    sqlparser::ast::{Cte, Statement, TableFactor},
};
use stoadb_storage::{LogicalType, Relation, Scalar, table::Series};

use self::parameters::Bound;
use crate::{
    error::{Error, ErrorKind, Result},
    sql::{
        self,
        names::{Spelling, fold},
        parse::with_stack,
        sources::{FileRequest, SeriesRequest},
    },
};

pub(crate) use aggregates::COUNT_IF;
pub use aggregates::{aggregate_function, is_count_star};
pub use functions::{LibraryFunction, scalar_functions};
pub(crate) use rules::condition_of_asof;
pub(crate) use scalars::ASOF;
pub use source::StoaTableSource;

/// A relation's name as it was written, outermost part first.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ObjectNameParts {
    /// Each part and whether it stood in double quotes.
    pub parts: Vec<(String, bool)>,
}

impl ObjectNameParts {
    /// A name of parts without quotes.
    pub fn unquoted(parts: Vec<String>) -> Self {
        Self { parts: parts.into_iter().map(|part| (part, false)).collect() }
    }

    /// The last part: the name without its schema.
    pub fn last(&self) -> &str {
        self.parts.last().map_or("", |(part, _)| part)
    }

    /// The name as the planner library knows it.
    pub fn folded(&self) -> String {
        self.parts.iter().map(|(part, _)| fold(part)).collect::<Vec<_>>().join(".")
    }
}

impl fmt::Display for ObjectNameParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<&str> = self.parts.iter().map(|(part, _)| part.as_str()).collect();
        f.write_str(&parts.join("."))
    }
}

/// What a name stands for.
pub enum CatalogEntry {
    /// One version of a table or a set of files.
    Relation(Arc<dyn Relation>),
    /// A view.
    View {
        /// The text of its query.
        sql: String,
    },
}

/// The relations that a statement may name.
pub trait Catalog {
    /// What a name stands for. Unquoted parts match in any case; quoted ones exactly first, then in any case.
    ///
    /// # Errors
    /// When the name is ambiguous or the relation cannot be opened.
    fn relation(&self, name: &ObjectNameParts) -> Result<Option<CatalogEntry>>;

    /// All names, for suggestions.
    fn relation_names(&self) -> Vec<String>;

    /// The rows of files: `FROM 'x.parquet'`, `read_parquet(...)`.
    ///
    /// # Errors
    /// When a file is missing, damaged or of an unknown kind.
    fn file(&self, request: &FileRequest) -> Result<Arc<dyn Relation>> {
        Err(Error::unsupported(format!("reading files here ({request})")))
    }

    /// The names as the text of a view means them, where these differ.
    fn for_views(&self) -> Option<Box<dyn Catalog + '_>> {
        None
    }

    /// Puts what macros stand for in the place of their calls.
    ///
    /// # Errors
    /// When a call does not fit its macro.
    fn expand(&self, _statement: &mut Statement) -> Result<()> {
        Ok(())
    }

    /// A scalar function that SQL does not have, by its folded name.
    fn scalar_function(&self, _name: &str) -> Option<Arc<ScalarUDF>> {
        None
    }

    /// How a table is stored: `storage_info('t')`. The name may be preceded by its schema's.
    ///
    /// # Errors
    /// When there is no such table.
    fn storage_info(&self, table: &str) -> Result<Arc<dyn Relation>> {
        Err(Error::unsupported(format!("storage_info('{table}') here")))
    }

    /// What an index, or all of a table, consist of: `index_info('i')`.
    ///
    /// # Errors
    /// When there is no such index and no such table.
    fn index_info(&self, index: &str) -> Result<Arc<dyn Relation>> {
        Err(Error::unsupported(format!("index_info('{index}') here")))
    }
}

/// Settings of a connection that planning depends on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PlannerSettings {
    /// Where NULLs sort when a query does not say.
    pub default_null_order: NullOrder,
    /// The zone of TIMESTAMP WITH TIME ZONE values; UTC when absent.
    pub time_zone: Option<String>,
    /// Off for tests: only the rewrites that a plan needs to run at all.
    pub optimizer: bool,
    /// Whether parameters that are nothing but operands of comparisons stay in the plan, for other values.
    pub open_parameters: bool,
}

impl Default for PlannerSettings {
    fn default() -> Self {
        Self {
            default_null_order: NullOrder::Last,
            time_zone: None,
            optimizer: true,
            open_parameters: false,
        }
    }
}

/// Where NULLs sort when a query does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NullOrder {
    /// After all values, ascending or descending.
    Last,
    /// Before all values, ascending or descending.
    First,
    /// As if NULL were larger than every value (PostgreSQL).
    Largest,
    /// As if NULL were smaller than every value.
    Smallest,
}

/// A planned query.
#[derive(Debug, Clone)]
pub struct Planned {
    /// The optimised plan.
    pub plan: LogicalPlan,
    /// The names of its columns, which may repeat.
    pub output_names: Vec<String>,
    /// The type of each parameter, by number from 1; `None` when the statement does not tell.
    pub parameters: Vec<Option<LogicalType>>,
    /// The types of the parameters that stay in the plan though they have a value, by number from 1.
    pub open: Vec<Option<LogicalType>>,
    /// Whether planning again at another time gives the same plan, as long as catalog and files are the same.
    pub repeatable: bool,
}

/// Plans a query. `parameters` holds the values known so far, by number from 1: `None`, or beyond the end, for those
/// that are not; they stay in the plan as placeholders.
///
/// # Errors
/// `Name`, `Type` and `Unsupported`, with the place where it is known.
pub fn plan_query(
    statement: &Statement,
    catalog: &dyn Catalog,
    settings: &PlannerSettings,
    parameters: &[Option<Scalar>],
) -> Result<Planned> {
    let options = options(settings);
    let functions = functions::functions(&options);
    guarded(statement, || {
        let (raw, spelling) = raw_plan(statement, catalog, settings, &options, &functions, 0)?;
        let raw = rules::unmark_groups(raw)?;
        let names = output::output_names(&raw, &spelling);
        let raw = rules::sort_names(raw)?;
        let repeatable = rules::is_repeatable(&raw)?;
        let raw = rules::number_occurrences(raw)?;
        let raw = rules::range_distances(raw)?;
        let leave_open = settings.open_parameters;
        let Bound { plan: raw, types, open } =
            parameters::bind(raw, parameters, leave_open, &options, &functions)?;
        let raw = subqueries::unnest(raw, &functions)?;
        let plan = optimizer::optimize(raw, &options, &functions, settings.optimizer)?;
        check::check(&plan)?;
        Ok(Planned { plan, output_names: names, parameters: types, open, repeatable })
    })
    .map_err(|error| places::placed(error, statement))
}

/// Begins the messages of errors within views.
pub const IN_VIEW: &str = "in the view ";

/// The plan of a view's text, its columns named as its result is.
fn plan_view(
    sql: &str,
    catalog: &dyn Catalog,
    settings: &PlannerSettings,
    depth: usize,
) -> Result<(LogicalPlan, Spelling)> {
    let options = options(settings);
    let functions = functions::functions(&options);
    let statements = sql::parse(sql)?;
    let [statement] = statements.as_slice() else {
        return Err(Error::new(ErrorKind::Catalog, "the text of a view is one query"));
    };
    with_stack(sql.len(), || {
        let statement = &statement.statement;
        raw_plan(statement, catalog, settings, &options, &functions, depth)
    })
}

/// Runs `plan` on a large stack; a panic of the library becomes an internal error.
fn guarded<T>(statement: &Statement, plan: impl FnOnce() -> Result<T>) -> Result<T> {
    use datafusion_sql::sqlparser::ast::Spanned;
    let lines = statement.span().end.line;
    let length = usize::try_from(lines).unwrap_or(0).saturating_mul(80);
    with_stack(length, || {
        catch_unwind(AssertUnwindSafe(plan))
            .unwrap_or_else(|_| Err(Error::internal("the planner panicked")))
    })
}

fn options(settings: &PlannerSettings) -> Arc<ConfigOptions> {
    let mut options = ConfigOptions::default();
    options.execution.time_zone.clone_from(&settings.time_zone);
    // A sorted subquery stays sorted: list() and string_agg() around it see its order.
    options.sql_parser.enable_subquery_sort_elimination = false;
    options.optimizer.skip_failed_rules = false;
    options.optimizer.max_passes = 4;
    Arc::new(options)
}

fn parser_options(settings: &PlannerSettings) -> ParserOptions {
    let null_order = match settings.default_null_order {
        NullOrder::Last => NullOrdering::NullsLast,
        NullOrder::First => NullOrdering::NullsFirst,
        NullOrder::Largest => NullOrdering::NullsMax,
        NullOrder::Smallest => NullOrdering::NullsMin,
    };
    ParserOptions::new()
        .with_parse_float_as_decimal(true)
        .with_enable_ident_normalization(false)
        .with_collect_spans(true)
        .with_default_null_ordering(null_order)
}

/// Gate, rewrites and name resolution: the plan before typing, and how its columns are spelled.
fn raw_plan(
    statement: &Statement,
    catalog: &dyn Catalog,
    settings: &PlannerSettings,
    options: &Arc<ConfigOptions>,
    functions: &Arc<functions::Functions>,
    depth: usize,
) -> Result<(LogicalPlan, Spelling)> {
    let mut statement = statement.clone();
    catalog.expand(&mut statement)?;
    sql::gate::check(&statement)?;
    sql::rewrite::rewrite(&mut statement)?;
    let mut provider = provider::Provider::new(
        catalog,
        settings,
        Arc::clone(options),
        Arc::clone(functions),
        depth,
    );
    let found = sql::sources::collect(&mut statement)?;
    let mut clashing = HashSet::new();
    for (name, request) in found.files {
        let relation = catalog.file(&request)?;
        clashing.extend(source::clashing_names(relation.schema()));
        let source = StoaTableSource::new(relation, request.to_string());
        provider.add_file(name, Arc::new(source));
    }
    for (name, function, wanted) in found.shown {
        let shown = match function {
            sql::sources::INDEX_INFO => catalog.index_info(&wanted)?,
            _ => catalog.storage_info(&wanted)?,
        };
        let source = StoaTableSource::new(shown, function.into());
        provider.add_file(name, Arc::new(source));
    }
    let mut series_names = Vec::new();
    for (name, SeriesRequest { function, first, end, step, inclusive }) in found.series {
        series_names.push((name.clone(), function.clone()));
        let series = Series::new(&function, first, end, step, inclusive)?;
        provider.add_file(name, Arc::new(StoaTableSource::new(series, function)));
    }
    for name in found.relations {
        if let Some(CatalogEntry::Relation(relation)) = catalog.relation(&name)? {
            clashing.extend(source::clashing_names(relation.schema()));
        }
        provider.add_written(name);
    }
    let planner = SqlToRel::new_with_options(&provider, parser_options(settings));
    let columns = |factor: &TableFactor, ctes: Vec<Cte>| {
        let probe = sql::using::probe(factor, ctes);
        let plan = planner.sql_statement_to_plan(probe)?;
        Ok(plan.schema().fields().iter().map(|field| field.name().clone()).collect())
    };
    let plan_as = |mut statement: Statement, rename: bool, rows: bool| -> Result<_> {
        let spelling = sql::names::fold_statement(&mut statement, &clashing, rename);
        sql::using::rewrite(&mut statement, &columns, rows)?;
        sql::order_by::rewrite(&mut statement);
        sql::grouped::mark(&mut statement);
        Ok((planner.sql_statement_to_plan(statement), spelling))
    };
    type Planned = (datafusion_common::Result<LogicalPlan>, Spelling);
    let is_duplicate =
        |planned: &Planned| matches!(&planned.0, Err(error) if diagnose::is_duplicate_name(error));
    let mut first = plan_as(statement.clone(), false, false);
    if first.as_ref().is_ok_and(is_duplicate) {
        first = plan_as(statement.clone(), true, false);
    }
    let failed = match &first {
        Ok((Ok(_), _)) => None,
        Ok((Err(error), _)) => Some(diagnose::from_datafusion(error).message),
        Err(error) => Some(error.message.clone()),
    };
    // A view's own text was tried in other ways already.
    let duplicate = first.as_ref().is_ok_and(is_duplicate);
    if failed.is_some_and(|message| !duplicate && !message.starts_with(IN_VIEW)) {
        // What it may mean otherwise counts only where it is understood.
        sql::shadowed::rename(&mut statement);
        for other in sql::whole_rows::meanings(&statement, &series_names) {
            if let Ok(other @ (Ok(_), _)) = plan_as(other, false, true) {
                first = Ok(other);
                break;
            }
        }
    }
    let mut planned = first?;
    let clashes = match &planned.0 {
        Ok(plan) => check::has_namesakes(plan)?,
        Err(error) => diagnose::is_duplicate_name(error),
    };
    if clashes {
        // The library's names say nothing of casts: `sum(i)` and `sum(i::DOUBLE)` are one to it.
        sql::calls::name_casts(&mut statement);
        // Other names for aliases beside wildcards hide them from the queries around: only where nothing else helps.
        for rename in [false, true] {
            let named = plan_as(statement.clone(), rename, false)?;
            let clashes = match &named.0 {
                Ok(plan) => !rename && check::has_namesakes(plan)?,
                Err(error) => diagnose::is_duplicate_name(error),
            };
            if !clashes {
                planned = named;
                break;
            }
        }
    }
    let plan = planned.0.map_err(|error| diagnose::spelled(&error, &provider.column_spelling()))?;
    let mut spelling = planned.1;
    spelling.extend(provider.view_spelling());
    Ok((plan, spelling))
}
