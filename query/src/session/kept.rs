//! The plan that a prepared statement keeps for its next run.
//!
//! Invariants: a kept plan is used only where planning anew would give the same one: on the very catalog state, under the
//! settings and for the parameters that it was made for, when it depends neither on the clock nor on files. It keeps
//! nothing alive: neither a catalog state nor a table. A kept plan is small, so that whoever runs or drops it needs no
//! large stack.
//! Next: `run.rs`.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use arrow::datatypes::SchemaRef;
use stoadb_engine::{Expr, QueryPlan};
use stoadb_storage::{Relation, Scalar, catalog::CatalogSnapshot};

use crate::session::{result::Place, run::Session, settings::Settings};

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
    schema: SchemaRef,
    place: Place,
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
    /// The plan, if it is the one that planning for the session would give.
    pub(crate) fn get(&self, session: &Session<'_>) -> Option<Runnable> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = kept.as_ref()?;
        // The address of a state that a weak pointer is left to is not given to another one.
        let fits = std::ptr::eq(kept.snapshot.as_ptr(), Arc::as_ptr(&session.names.snapshot))
            && kept.settings == session.settings
            && kept.parameters == session.parameters;
        if !fits {
            return None;
        }
        Some(Runnable {
            plan: Arc::clone(&kept.plan),
            relations: kept.relations.iter().map(Weak::upgrade).collect::<Option<_>>()?,
            schema: Arc::clone(&kept.schema),
            place: kept.place.clone(),
        })
    }

    /// Keeps a plan that was made for the session, if all of its relations are in the catalog: what a file holds may
    /// change.
    pub(crate) fn put(&self, session: &Session<'_>, made: &Runnable) {
        let snapshot = &session.names.snapshot;
        let known: Vec<_> = snapshot.entries().filter_map(|(_, entry)| entry.relation()).collect();
        let is_known = |relation: &Arc<dyn Relation>| {
            known.iter().any(|known| std::ptr::addr_eq(Arc::as_ptr(known), Arc::as_ptr(relation)))
        };
        let fits = made.relations.iter().all(is_known) && nodes(&made.plan) <= MOST_NODES;
        let kept = fits.then(|| Kept {
            snapshot: Arc::downgrade(snapshot),
            settings: session.settings.clone(),
            parameters: session.parameters.to_vec(),
            relations: made.relations.iter().map(Arc::downgrade).collect(),
            plan: Arc::clone(&made.plan),
            schema: Arc::clone(&made.schema),
            place: made.place.clone(),
        });
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = kept;
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
        statement.kept().0.lock().unwrap().is_some()
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
