//! The plan that a prepared statement keeps for its next run.
//!
//! Invariants: a kept plan is used only where planning anew would give the same answer: on the very catalog state, under the
//! settings and for the parameters that it was made for, when it depends neither on the clock nor on files. Parameters that
//! comparisons alone use may have other values of the same type: a template gets these, and is then improved as every plan
//! is, so that constants, statistics and access paths are those of the values. It keeps nothing alive: neither a catalog
//! state nor a table. A kept plan is small, so that whoever runs or drops it needs no large stack.
//! Next: `run.rs`.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use arrow::datatypes::SchemaRef;
use stoadb_engine::{Expr, QueryPlan};
use stoadb_storage::{LogicalType, Relation, Scalar, catalog::CatalogSnapshot};

use crate::{
    error::Result,
    planner::parameters,
    session::{result::Place, run::Session, settings::Settings},
};

/// Most operators and expressions of a plan that is kept.
const MOST_NODES: usize = 1000;

/// A place for the plan of one statement.
#[derive(Default)]
pub(crate) struct KeptPlan(Mutex<Option<Kept>>);

struct Kept {
    snapshot: Weak<CatalogSnapshot>,
    settings: Settings,
    parameters: Vec<Scalar>,
    relations: Vec<Weak<dyn Relation>>,
    plan: Arc<QueryPlan>,
    template: Option<Template>,
    schema: SchemaRef,
    place: Place,
}

/// A translated plan whose parameters lack their values.
pub(crate) struct Template {
    pub(crate) plan: QueryPlan,
    /// The types of these; the plan was made for the values of the others.
    pub(crate) open: Vec<Option<LogicalType>>,
}

impl Template {
    /// The values in the types of the open parameters; `None` if one has no such value.
    pub(crate) fn values(&self, parameters: &[Scalar]) -> Option<Vec<Scalar>> {
        let typed = |(index, value): (usize, &Scalar)| match self.open.get(index) {
            Some(Some(ty)) => parameters::brought(value, ty),
            _ => Some(value.clone()),
        };
        parameters.iter().enumerate().map(typed).collect()
    }
}

/// A plan to run: what the engine is to do over which relations, and the result's columns.
pub(crate) struct Runnable {
    pub(crate) plan: Arc<QueryPlan>,
    pub(crate) relations: Vec<Arc<dyn Relation>>,
    pub(crate) schema: SchemaRef,
    /// Finds the places of errors that rows raise.
    pub(crate) place: Place,
}

impl KeptPlan {
    /// Whether there is one.
    pub(crate) fn is_made(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// The plan, if it answers as the one that planning for the session would give.
    pub(crate) fn get(&self, session: &Session<'_>) -> Option<Result<Runnable>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = kept.as_ref()?;
        // The address of a state that a weak pointer is left to is not given to another one.
        let fits = std::ptr::eq(kept.snapshot.as_ptr(), Arc::as_ptr(&session.names.snapshot))
            && kept.settings == session.settings;
        let relations = if fits { kept.relations() } else { None }?;
        let plan = match kept.parameters == session.parameters {
            true => Ok(Arc::clone(&kept.plan)),
            false => {
                let template = kept.template_for(session.parameters)?;
                let values = template.values(session.parameters)?;
                session.finish(template.plan.clone(), &relations, &values).map(Arc::new)
            }
        };
        let (schema, place) = (Arc::clone(&kept.schema), kept.place.clone());
        Some(plan.map(|plan| Runnable { plan, relations, schema, place }))
    }

    /// Keeps a plan that was made for the session, if all of its relations are in the catalog: what a file holds may
    /// change.
    pub(crate) fn put(&self, session: &Session<'_>, made: &Runnable, template: Option<Template>) {
        let snapshot = &session.names.snapshot;
        let known: Vec<_> = snapshot.entries().filter_map(|(_, entry)| entry.relation()).collect();
        let is_known = |relation: &Arc<dyn Relation>| {
            known.iter().any(|known| std::ptr::addr_eq(Arc::as_ptr(known), Arc::as_ptr(relation)))
        };
        let plans = template.iter().map(|template| &template.plan).chain([&*made.plan]);
        let small = plans.map(nodes).all(|nodes| nodes <= MOST_NODES);
        let fits = made.relations.iter().all(is_known) && small;
        let kept = fits.then(|| Kept {
            snapshot: Arc::downgrade(snapshot),
            settings: session.settings.clone(),
            parameters: session.parameters.to_vec(),
            relations: made.relations.iter().map(Arc::downgrade).collect(),
            plan: Arc::clone(&made.plan),
            template,
            schema: Arc::clone(&made.schema),
            place: made.place.clone(),
        });
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = kept;
    }
}

impl Kept {
    /// What it reads, if that is still there.
    fn relations(&self) -> Option<Vec<Arc<dyn Relation>>> {
        self.relations.iter().map(Weak::upgrade).collect()
    }

    /// The template, if it serves for these values.
    fn template_for(&self, parameters: &[Scalar]) -> Option<&Template> {
        let template = self.template.as_ref()?;
        let mut values = self.parameters.iter().zip(parameters).enumerate();
        let fits = self.parameters.len() == parameters.len()
            && values.all(|(index, (made_for, value))| match template.open.get(index) {
                Some(Some(_)) => value.ty() == made_for.ty() && !value.is_null(),
                _ => value == made_for,
            });
        fits.then_some(template)
    }
}

/// How many operators and expressions a plan has.
fn nodes(plan: &QueryPlan) -> usize {
    fn expressions(expr: &Expr) -> usize {
        1 + expr.children().into_iter().map(expressions).sum::<usize>()
    }
    let mut nodes = plan.node_count();
    let QueryPlan { root, subqueries, shared } = plan;
    for part in subqueries.iter().chain(shared).chain([root]) {
        part.clone().for_each_expr_mut(&mut |expr| nodes += expressions(expr));
    }
    nodes
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, RecordBatch};
    use stoadb_storage::Scalar;

    use crate::{Connection, Database, Statement, to_text};

    fn connect() -> Connection {
        let connection = Database::open_in_memory().connect();
        connection.execute("CREATE TABLE t AS SELECT * FROM (VALUES (1), (2), (3)) v(x)").unwrap();
        connection
    }

    /// The statement's only value.
    fn value(statement: &Statement<'_>, parameters: &[Scalar]) -> String {
        let batches: Vec<_> = statement.query(parameters).unwrap().map(Result::unwrap).collect();
        to_text(batches[0].column(0)).unwrap().value(0).to_owned()
    }

    fn is_kept(statement: &Statement<'_>) -> bool {
        statement.kept().is_made()
    }

    #[test]
    fn test_a_plan_is_kept_and_never_stale() {
        let connection = connect();
        let sum = connection.prepare("SELECT sum(x) FROM t").unwrap();
        assert!(!is_kept(&sum));
        assert_eq!((value(&sum, &[]), is_kept(&sum)), ("6".into(), true));
        assert_eq!(value(&sum, &[]), "6");
        connection.execute("INSERT INTO t VALUES (10)").unwrap();
        assert_eq!(value(&sum, &[]), "16");
        connection.execute("BEGIN").unwrap();
        connection.execute("INSERT INTO t VALUES (100)").unwrap();
        assert_eq!(value(&sum, &[]), "116");
        connection.execute("INSERT INTO t VALUES (1000)").unwrap();
        assert_eq!(value(&sum, &[]), "1116");
        connection.execute("ROLLBACK").unwrap();
        assert_eq!(value(&sum, &[]), "16");
        connection.execute("DROP TABLE t").unwrap();
        assert!(sum.query(&[]).is_err());
        connection.execute("CREATE TABLE t AS SELECT 0.5 AS x").unwrap();
        assert_eq!(value(&sum, &[]), "0.5");
        connection.execute("CREATE OR REPLACE VIEW v AS SELECT 1 AS y").unwrap();
        let view = connection.prepare("SELECT y FROM v").unwrap();
        assert_eq!(value(&view, &[]), "1");
        connection.execute("CREATE OR REPLACE VIEW v AS SELECT 2 AS y").unwrap();
        assert_eq!(value(&view, &[]), "2");
    }

    #[test]
    fn test_parameters_and_settings_are_those_of_the_run() {
        let connection = connect();
        let above = connection.prepare("SELECT count(*) FROM t WHERE x > $1").unwrap();
        for (bound, wanted) in [(0, "3"), (1, "2"), (1, "2"), (9, "0"), (0, "3")] {
            assert_eq!(value(&above, &[Scalar::int64(bound)]), wanted);
        }
        assert_eq!(value(&above, &[Scalar::text("2")]), "1");
        let first = "SELECT x FROM (SELECT x FROM t UNION ALL SELECT NULL) u ORDER BY x LIMIT 1";
        let first = connection.prepare(first).unwrap();
        assert_eq!(value(&first, &[]), "1");
        connection.execute("SET default_null_order = 'nulls_first'").unwrap();
        let batch = first.query(&[]).unwrap().next().unwrap().unwrap();
        assert_eq!(batch.column(0).null_count(), 1);
    }

    /// What a statement answers, row by row.
    fn rows(statement: &Statement<'_>, parameters: &[Scalar]) -> Result<String, String> {
        let batches = statement.query(parameters).map_err(|error| error.to_string())?;
        let batches: Result<Vec<_>, _> = batches.collect();
        let batches = batches.map_err(|error| error.to_string())?;
        Ok(arrow::util::pretty::pretty_format_batches(&batches).unwrap().to_string())
    }

    /// What is kept answers for other values as what is planned for them.
    #[test]
    fn test_open_parameters_give_what_planning_anew_gives() {
        let connection = Database::open_in_memory().connect();
        for sql in [
            "CREATE TABLE t AS SELECT i, i::INTEGER AS n, (i % 7)::SMALLINT AS s, i / 8 AS d, i * 0.5::DOUBLE AS x,
             (i * 1.25)::DECIMAL(12, 2) AS p, 'k' || (i % 50) AS k, date '2020-01-01' + i::INTEGER AS day,
             CASE WHEN i % 5 = 0 THEN NULL ELSE i END AS y FROM range(1000) r(i)",
            "CREATE INDEX t_n ON t (n) INCLUDE (p)",
        ] {
            connection.execute(sql).unwrap();
        }
        let whole = [5, 700, -3, 999, i64::MAX].map(Scalar::int64);
        let texts = ["k7", "k49", "", "zz", "k1"].map(Scalar::text);
        let doubles = [2.5, 1e300, f64::NAN, -0.0, 499.5].map(|value| {
            Scalar::from_array(&arrow::array::Float64Array::from(vec![value]), 0).unwrap()
        });
        let days = ["2020-02-29", "2022-09-26", "1999-12-31 10:00:00", "no day"].map(Scalar::text);
        let decimals = [Scalar::decimal(15, 2, 1), Scalar::decimal(4995, 4, 1)];
        let cases: [(&str, &[Scalar], bool); 17] = [
            ("SELECT count(*), sum(p), min(k) FROM t WHERE n < $1", &whole, true),
            ("SELECT n, k FROM t WHERE i = $1 OR $1 = y ORDER BY n", &whole, true),
            ("SELECT sum(n) FROM t WHERE n BETWEEN 3 AND $1", &whole, true),
            ("SELECT k, count(*) FROM t WHERE s IN ($1, 3) GROUP BY k ORDER BY k", &whole, true),
            ("SELECT max(x) FROM t WHERE p >= $1", &whole, true),
            ("SELECT count(*) FROM t WHERE x <= $1", &doubles, true),
            ("SELECT count(*) FROM t WHERE k = $1", &texts, true),
            (
                "SELECT count(*) FILTER (WHERE n > $1), sum(CASE WHEN n + 1 <> $1 THEN 1 END) FROM t",
                &whole,
                true,
            ),
            (
                "SELECT a.n, b.k FROM t a JOIN t b ON a.n = b.d WHERE b.n <= $1 ORDER BY 1, 2 LIMIT 20",
                &whole,
                true,
            ),
            (
                "SELECT count(*) FROM t WHERE d = (SELECT min(d) FROM t u WHERE u.n > $1)",
                &whole,
                true,
            ),
            (
                "SELECT count(*) FROM t a WHERE EXISTS (SELECT 1 FROM t b WHERE b.d = a.n AND b.n < $1)",
                &whole,
                true,
            ),
            (
                "WITH RECURSIVE r(v) AS (SELECT 1 UNION ALL SELECT v * 2 FROM r WHERE v < 100 AND v <> $1) SELECT * FROM r",
                &whole,
                true,
            ),
            (
                "SELECT k, count(*) AS c FROM t GROUP BY k HAVING count(*) > $1 - 5 ORDER BY k",
                &whole,
                false,
            ),
            ("SELECT n + $1 FROM t WHERE n < 3 ORDER BY n", &whole[..4], false),
            ("SELECT n FROM t WHERE day > $1 ORDER BY n LIMIT 3", &days, true),
            ("SELECT n FROM t WHERE x > $1 ORDER BY n LIMIT 3", &decimals, true),
            ("SELECT n FROM t WHERE k LIKE $1 ORDER BY n LIMIT 3", &texts, false),
        ];
        for (sql, values, open) in cases {
            let kept = connection.prepare(sql).unwrap();
            for value in values.iter().chain([&Scalar::null(values[0].ty().clone()), &values[0]]) {
                let parameters = std::slice::from_ref(value);
                let anew = connection.prepare(sql).unwrap();
                assert_eq!(rows(&kept, parameters), rows(&anew, parameters), "{sql} {value}");
            }
            let kept = kept.kept().0.lock().unwrap();
            assert_eq!(kept.as_ref().is_some_and(|kept| kept.template.is_some()), open, "{sql}");
        }
    }

    #[test]
    fn test_what_is_no_operand_of_a_comparison_is_planned_for() {
        let connection = connect();
        let first =
            connection.prepare("SELECT x FROM t WHERE x >= $1 ORDER BY x LIMIT $2").unwrap();
        let count = |from, limit| rows(&first, &[Scalar::int64(from), Scalar::int64(limit)]);
        assert_eq!(count(1, 1).unwrap().lines().count(), 5);
        assert_eq!(count(2, 1).unwrap(), count(2, 1).unwrap());
        assert_eq!(count(2, 2).unwrap().lines().count(), 6);
        assert_eq!(count(3, 2).unwrap().lines().count(), 5);
    }

    #[test]
    fn test_the_clock_and_chance_are_asked_anew() {
        let connection = connect();
        connection.execute("CREATE VIEW clock AS SELECT now() AS t").unwrap();
        for sql in ["SELECT now()", "SELECT t FROM clock", "SELECT (SELECT max(t) FROM clock)"] {
            let clock = connection.prepare(sql).unwrap();
            let before = value(&clock, &[]);
            std::thread::sleep(std::time::Duration::from_millis(2));
            assert_ne!(value(&clock, &[]), before, "{sql}");
            assert!(!is_kept(&clock), "{sql}");
        }
        let random = connection.prepare("SELECT random()").unwrap();
        assert_ne!(value(&random, &[]), value(&random, &[]));
    }

    #[test]
    fn test_registered_relations_are_replaced() {
        let connection = connect();
        let register = |value: i64| {
            let column: ArrayRef = Arc::new(Int64Array::from(vec![value]));
            let batch = RecordBatch::try_from_iter([("x", column)]).unwrap();
            connection.register("r", batch.schema(), vec![batch]).unwrap();
        };
        register(1);
        let statement = connection.prepare("SELECT x FROM r").unwrap();
        assert_eq!((value(&statement, &[]), is_kept(&statement)), ("1".into(), true));
        register(2);
        assert_eq!(value(&statement, &[]), "2");
    }

    #[test]
    fn test_plans_over_files_are_not_kept() {
        let path = std::env::temp_dir().join(format!("stoadb-kept-{}.csv", std::process::id()));
        std::fs::write(&path, "x\n1\n").unwrap();
        let connection = connect();
        let sql = format!("SELECT x FROM '{}'", path.display());
        let statement = connection.prepare(&sql).unwrap();
        assert_eq!((value(&statement, &[]), is_kept(&statement)), ("1".into(), false));
        std::fs::write(&path, "x\n2.5\n").unwrap();
        assert_eq!(value(&statement, &[]), "2.5");
        std::fs::remove_file(&path).unwrap();
        assert!(statement.query(&[]).is_err());
    }

    #[test]
    fn test_a_kept_plan_keeps_no_table_alive() {
        let connection = connect();
        let statement = connection.prepare("SELECT sum(x) FROM t").unwrap();
        assert_eq!(value(&statement, &[]), "6");
        connection.execute("DROP TABLE t").unwrap();
        let kept = statement.kept().0.lock().unwrap();
        let kept = kept.as_ref().unwrap();
        assert!(kept.snapshot.upgrade().is_none());
        // The worker that ran the query drops what it holds a moment after the last row was read.
        for _ in 0..1000 {
            if kept.relations.iter().all(|relation| relation.upgrade().is_none()) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        panic!("the dropped table is still there");
    }
}
