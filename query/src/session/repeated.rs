//! Queries that a connection runs again under other constants: their plans are kept as those of prepared statements are.
//!
//! Invariants: two texts are the same query if their syntax trees are equal but for the constants that are compared in
//! WHERE, ON, HAVING and QUALIFY; these become parameters, everything else stays in the key. A query is planned so when it
//! is met for the second time; what a first run does is not touched.
//! Next: `kept.rs`, which says when a plan still holds.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use stoadb_storage::Scalar;

use crate::{
    session::{kept::KeptPlan, values},
    sql::{
        ParsedStatement,
        ast::{
            BinaryOperator, Expr, JoinConstraint, JoinOperator, Query, Select, SetExpr, Statement,
            TableFactor, TableWithJoins, Value,
        },
        walk, with_stack_for_copies,
    },
};

/// How many queries a connection remembers.
const MOST_QUERIES: usize = 64;

/// The longest text that is remembered, in bytes.
const LONGEST: usize = 8 << 10;

/// The queries that a connection remembers.
#[derive(Default)]
pub(crate) struct Repeated(Mutex<Remembered>);

#[derive(Default)]
struct Remembered {
    queries: HashMap<Arc<Statement>, Arc<KeptPlan>>,
    /// Their keys with the lengths of their texts, oldest first.
    order: VecDeque<(usize, Arc<Statement>)>,
}

/// A query with parameters in the place of constants.
pub(crate) struct General {
    pub(crate) statement: ParsedStatement,
    pub(crate) values: Vec<Scalar>,
    pub(crate) kept: Arc<KeptPlan>,
}

impl Repeated {
    /// The query in its general form, if it was met before; otherwise it is remembered.
    pub(crate) fn find(&self, parsed: &ParsedStatement) -> Option<General> {
        let Statement::Query(_) = &parsed.statement else { return None };
        if parsed.placeholders > 0 || parsed.summarize || parsed.range.len() > LONGEST {
            return None;
        }
        with_stack_for_copies(parsed.range.len(), || self.find_or_remember(parsed))
    }

    fn find_or_remember(&self, parsed: &ParsedStatement) -> Option<General> {
        let mut statement = parsed.statement.clone();
        let mut values = Vec::new();
        if let Statement::Query(query) = &mut statement {
            generalize(query, &mut values);
        }
        let mut remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = remembered.queries.get(&statement).map(Arc::clone) {
            let statement = ParsedStatement {
                statement,
                range: parsed.range.clone(),
                parameters: values.len(),
                placeholders: 0,
                names: Vec::new(),
                summarize: false,
                options: parsed.options.clone(),
            };
            return Some(General { statement, values, kept });
        }
        if remembered.order.len() == MOST_QUERIES
            && let Some((length, oldest)) = remembered.order.pop_front()
        {
            with_stack_for_copies(length, || {
                remembered.queries.remove(&oldest);
                drop(oldest);
            });
        }
        let statement = Arc::new(statement);
        remembered.order.push_back((parsed.range.len(), Arc::clone(&statement)));
        remembered.queries.insert(statement, Arc::default());
        None
    }
}

fn generalize(query: &mut Query, values: &mut Vec<Scalar>) {
    for cte in query.with.iter_mut().flat_map(|with| &mut with.cte_tables) {
        generalize(&mut cte.query, values);
    }
    body(&mut query.body, values);
}

fn body(expr: &mut SetExpr, values: &mut Vec<Scalar>) {
    match expr {
        SetExpr::Select(select) => in_select(select, values),
        SetExpr::Query(query) => generalize(query, values),
        SetExpr::SetOperation { left, right, .. } => {
            body(left, values);
            body(right, values);
        }
        _ => {}
    }
}

fn in_select(select: &mut Select, values: &mut Vec<Scalar>) {
    for TableWithJoins { relation, joins } in &mut select.from {
        derived(relation, values);
        for join in joins {
            derived(&mut join.relation, values);
            if let JoinOperator::Join(on)
            | JoinOperator::Inner(on)
            | JoinOperator::Left(on)
            | JoinOperator::LeftOuter(on)
            | JoinOperator::Right(on)
            | JoinOperator::RightOuter(on)
            | JoinOperator::FullOuter(on) = &mut join.join_operator
                && let JoinConstraint::On(condition) = on
            {
                compared(condition, values);
            }
        }
    }
    for condition in [&mut select.selection, &mut select.having, &mut select.qualify] {
        condition.iter_mut().for_each(|condition| compared(condition, values));
    }
}

fn derived(factor: &mut TableFactor, values: &mut Vec<Scalar>) {
    if let TableFactor::Derived { subquery, .. } = factor {
        generalize(subquery, values);
    }
}

/// Makes parameters of the constants that a condition compares.
fn compared(condition: &mut Expr, values: &mut Vec<Scalar>) {
    let generalized = walk::change(condition, |expr| {
        match expr {
            Expr::BinaryOp { left, op, right } if is_comparison(op) => {
                parameter(left, values);
                parameter(right, values);
            }
            Expr::Between { low, high, .. } => {
                parameter(low, values);
                parameter(high, values);
            }
            _ => {}
        }
        Ok::<(), ()>(())
    });
    debug_assert!(generalized.is_ok(), "nothing here fails");
}

fn is_comparison(op: &BinaryOperator) -> bool {
    use BinaryOperator as O;
    matches!(op, O::Eq | O::NotEq | O::Lt | O::LtEq | O::Gt | O::GtEq)
}

/// Puts a parameter in the place of a number or a text.
fn parameter(expr: &mut Expr, values: &mut Vec<Scalar>) {
    let is_constant = match &*expr {
        Expr::Value(value) => {
            matches!(value.value, Value::Number(..) | Value::SingleQuotedString(_))
        }
        Expr::UnaryOp { .. } => true,
        _ => false,
    };
    let Some(value) = is_constant.then(|| values::constant(expr, &[])).flatten() else { return };
    values.push(value);
    let placeholder = Value::Placeholder(format!("${}", values.len()));
    match expr {
        Expr::Value(value) => value.value = placeholder,
        expr => *expr = Expr::Value(placeholder.into()),
    }
}

#[cfg(test)]
mod tests {
    use crate::{Connection, Database, planner::tests::queries::TPCH, session::run::Session, sql};

    fn rows(connection: &Connection, sql: &str) -> Vec<String> {
        let batches = connection.query(sql).unwrap().collect::<Result<Vec<_>, _>>().unwrap();
        let text = arrow::util::pretty::pretty_format_batches(&batches).unwrap().to_string();
        text.lines().skip(1).map(str::to_owned).collect()
    }

    #[test]
    fn test_texts_that_differ_in_constants_share_a_plan() {
        let connection = Database::open_in_memory().connect();
        connection
            .execute("CREATE TABLE t AS SELECT i, 'k' || i AS k FROM range(10) r(i)")
            .unwrap();
        for (number, count) in [(3, 3), (4, 4), (100, 10), (-1, 0), (5, 5)] {
            let answer =
                rows(&connection, &format!("SELECT count(*) AS c FROM t WHERE i < {number}"));
            assert_eq!(answer[2].trim_matches(['|', ' ']), count.to_string());
        }
        for number in [7, 8, 9, 9] {
            let answer =
                rows(&connection, &format!("SELECT i FROM t WHERE k = 'k{number}' LIMIT 5"));
            assert_eq!(answer[2].trim_matches(['|', ' ']), number.to_string());
        }
        let remembered = connection.repeated.0.lock().unwrap();
        assert_eq!((remembered.queries.len(), remembered.order.len()), (2, 2));
    }

    #[test]
    fn test_other_places_of_constants_and_other_names_are_other_queries() {
        let connection = Database::open_in_memory().connect();
        connection.execute("CREATE TABLE t AS SELECT i, i % 3 AS g FROM range(10) r(i)").unwrap();
        for _ in 0..3 {
            for limit in [1, 2] {
                let sql =
                    format!("SELECT i + {limit} AS x FROM t WHERE i >= 1 ORDER BY i LIMIT {limit}");
                assert_eq!(rows(&connection, &sql).len(), 3 + limit);
            }
            for (alias, header) in [("a", "| a"), ("b", "| b")] {
                let sql = format!("SELECT i > 5 AS {alias} FROM t WHERE i > 8");
                assert!(rows(&connection, &sql)[0].starts_with(header));
            }
            assert!(rows(&connection, "SELECT i > 5 FROM t WHERE i > 8")[0].contains("i > 5"));
            assert!(rows(&connection, "SELECT i > 4 FROM t WHERE i > 8")[0].contains("i > 4"));
            connection.execute("INSERT INTO t VALUES (9, 0)").unwrap();
        }
        assert_eq!(rows(&connection, "SELECT i > 4 FROM t WHERE i > 8").len(), 3 + 4);
    }

    #[test]
    fn test_errors_are_about_the_text() {
        let connection = Database::open_in_memory().connect();
        connection.execute("CREATE TABLE t AS SELECT i FROM range(10) r(i)").unwrap();
        for (value, place) in [("1", 8), ("10", 8), ("100", 8)] {
            let sql = format!("SELECT 1 / (i - 5) FROM t WHERE i < {value}0");
            let error =
                connection.query(&sql).and_then(|mut rows| rows.try_for_each(|row| row.map(drop)));
            let error = error.unwrap_err();
            assert_eq!(error.span.map(|span| span.column), Some(place), "{sql}");
        }
        for name in ["x", "y", "x"] {
            for _ in 0..3 {
                let sql = format!("SELECT i FROM t WHERE i > 5 AND {name} = 3");
                let error = connection.query(&sql).err().unwrap();
                assert!(error.message.contains(&format!("column \"{name}\"")), "{error}");
            }
        }
    }

    /// The plan for any constants, given the constants, is the plan for these constants.
    #[test]
    fn test_plans_are_those_of_the_constants() {
        let connection = Database::open_in_memory().connect();
        for (table, columns) in TPCH {
            let columns = columns.replace("decimal", "decimal(15, 2)");
            connection.execute(&format!("CREATE TABLE {table} ({columns})")).unwrap();
        }
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/queries/tpch");
        let mut open = 0;
        for number in 1..=22 {
            let text = std::fs::read_to_string(format!("{folder}/q{number:02}.sql")).unwrap();
            let parsed = sql::parse(&text).unwrap().remove(0);
            assert!(connection.repeated.find(&parsed).is_none());
            let general = connection.repeated.find(&parsed).unwrap();
            let state = connection.lock();
            let plain = Session::new(&connection, &state, &[]).prepare(&parsed.statement).unwrap();
            let session = Session::new(&connection, &state, &general.values);
            let opened = session.prepare_for(&general.statement.statement, true).unwrap();
            assert_eq!(opened.plan, plain.plan, "q{number}");
            open += usize::from(opened.template.is_some());
        }
        assert!(open > 10, "{open} queries compare with constants");
    }
}
