//! `x IN (SELECT ..)` as a value, in a SELECT list: TRUE, FALSE or NULL, where a condition only asks whether it is TRUE.
//!
//! Invariant: NULL comes out exactly where SQL has it: for a NULL `x` or a NULL in the list, unless the list is empty or
//! a value matches. Next: `rewrite.rs`; IN in conditions is a join (`planner/predicates.rs`).

use std::ops::ControlFlow;

use datafusion_sql::sqlparser::ast::{
    Expr, Query, SelectItem, SetExpr, Statement, UnaryOperator, Value, Visit, VisitMut, Visitor,
    VisitorMut,
};

use crate::{
    error::{Error, Result},
    sql::parse::parse,
};

/// The name of the list in `MEANING`.
pub const LIST: &str = "in list";

/// What IN stands for, with `value` and `SELECT 'list'` in the places of its operands.
const MEANING: &str = "SELECT CASE \
    WHEN (SELECT count(*) FROM (SELECT 'list') AS \"in list\"(\"in value\")) = 0 THEN FALSE \
    WHEN 'value' IS NULL THEN NULL \
    WHEN (SELECT count(*) FROM (SELECT 'list') AS \"in list\"(\"in value\") \
          WHERE \"in list\".\"in value\" = 'value') > 0 THEN TRUE \
    WHEN (SELECT count(*) - count(\"in list\".\"in value\") \
          FROM (SELECT 'list') AS \"in list\"(\"in value\")) > 0 THEN NULL \
    ELSE FALSE END";

/// Whether an expression, subqueries left aside, has an IN (subquery).
pub fn has_in(expr: &Expr) -> bool {
    expr.visit(&mut Finder { depth: 0 }).is_break()
}

/// Replaces every IN (subquery) of an expression, subqueries left aside.
///
/// # Errors
/// `Internal` when the meaning above does not parse.
pub fn rewrite(expr: &mut Expr) -> Result<()> {
    match expr.visit(&mut Replacer { depth: 0 }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Finder {
    depth: usize,
}

impl Visitor for Finder {
    type Break = ();

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::InSubquery { .. } if self.depth == 0 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }
}

struct Replacer {
    depth: usize,
}

impl VisitorMut for Replacer {
    type Break = Error;

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<Error> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<Error> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        if self.depth > 0 || !matches!(expr, Expr::InSubquery { .. }) {
            return ControlFlow::Continue(());
        }
        let taken = std::mem::replace(expr, Expr::Value(Value::Null.into()));
        let Expr::InSubquery { expr: value, subquery, negated } = taken else {
            return ControlFlow::Continue(());
        };
        match meaning(*value, *subquery) {
            Ok(found) => {
                let found = Box::new(Expr::Nested(Box::new(found)));
                *expr = match negated {
                    true => Expr::UnaryOp { op: UnaryOperator::Not, expr: found },
                    false => *found,
                };
                ControlFlow::Continue(())
            }
            Err(error) => ControlFlow::Break(error),
        }
    }
}

fn meaning(value: Expr, list: Query) -> Result<Expr> {
    let wrong = || Error::internal("the meaning of IN does not parse");
    let statement = parse(MEANING)?.pop().ok_or_else(wrong)?.statement;
    let Statement::Query(query) = statement else { return Err(wrong()) };
    let SetExpr::Select(mut select) = *query.body else { return Err(wrong()) };
    let Some(SelectItem::UnnamedExpr(mut expr)) = select.projection.pop() else {
        return Err(wrong());
    };
    let mut filler = Filler { value: Expr::Nested(Box::new(value)), list };
    let _ = VisitMut::visit(&mut expr, &mut filler);
    Ok(expr)
}

struct Filler {
    value: Expr,
    list: Query,
}

impl VisitorMut for Filler {
    type Break = ();

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        if let SetExpr::Select(select) = query.body.as_ref()
            && let [SelectItem::UnnamedExpr(expr)] = select.projection.as_slice()
            && is_placeholder(expr, "list")
        {
            *query = self.list.clone();
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if is_placeholder(expr, "value") {
            *expr = self.value.clone();
        }
        ControlFlow::Continue(())
    }
}

fn is_placeholder(expr: &Expr, name: &str) -> bool {
    let Expr::Value(value) = expr else { return false };
    matches!(&value.value, Value::SingleQuotedString(text) if text == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(sql: &str) -> String {
        let statement = parse(sql).unwrap().remove(0).statement;
        let Statement::Query(query) = statement else { panic!("{sql}") };
        let SetExpr::Select(mut select) = *query.body else { panic!("{sql}") };
        let SelectItem::UnnamedExpr(expr) = &mut select.projection[0] else { panic!("{sql}") };
        let found = has_in(expr);
        let before = expr.to_string();
        rewrite(expr).unwrap();
        assert_eq!(found, before != expr.to_string());
        expr.to_string()
    }

    #[test]
    fn test_operands_take_their_places() {
        let text = rewritten("SELECT NOT (a + 1) NOT IN (SELECT b FROM t WHERE b = 'value')");
        assert!(
            text.starts_with("NOT NOT (CASE WHEN (SELECT count(*) FROM (SELECT b FROM t"),
            "{text}"
        );
        assert!(text.contains("WHEN ((a + 1)) IS NULL THEN NULL"), "{text}");
        // A text of the query's own that looks like a placeholder stays.
        assert!(text.contains("b = 'value'") && !text.contains("'list'"), "{text}");
    }

    #[test]
    fn test_conditions_of_subqueries_are_left_alone() {
        let sql = "SELECT (SELECT count(*) FROM t WHERE a IN (SELECT b FROM u))";
        assert_eq!(format!("SELECT {}", rewritten(sql)), sql);
    }
}
