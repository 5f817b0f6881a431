//! Parts of relations: LIMIT n PERCENT, FETCH ... WITH TIES, TABLESAMPLE.
//!
//! Invariants: a part is a plain query over the whole, with columns whose names cannot be typed and which do not come
//! out; rows keep their order, but for samples of so many rows. A sample with a seed is the same each time.

use std::ops::ControlFlow;

use datafusion_sql::sqlparser::{
    ast::{
        Expr, Ident, LimitClause, Offset, OrderByExpr, OrderByKind, Query, SelectItem, SetExpr,
        Statement, TableAlias, TableFactor, TableSample, TableSampleKind, TableSampleMethod,
        TableSampleUnit, Value, VisitorMut,
    },
    parser::Parser,
};

use crate::{
    error::{Error, ErrorKind, Result},
    sql::{dialect::StoaDialect, names::fold, visit::WalkMut},
};

/// Stands for LIMIT in percent until it is rewritten.
pub const PERCENT_OF_ROWS: &str = "percent_of_rows";
/// The relation in a template.
const INPUT: &str = "\u{4}input";

/// A query from a text in which `{input}` stands for a relation and `{name}` for what `values` has.
pub fn template(text: &str, input: TableFactor, values: &[(&str, Expr)]) -> Result<Query> {
    let text = text.replace("{input}", &format!("\"{INPUT}\""));
    let [_, _, dialect] = StoaDialect::candidates();
    let parsed = Parser::parse_sql(&dialect, &text).map_err(Error::internal)?;
    let Some(Statement::Query(mut query)) = parsed.into_iter().next() else {
        return Err(Error::internal("a template is a query"));
    };
    let mut filler = Filler { input: Some(input), values };
    let _ = query.walk_mut(&mut filler);
    Ok(*query)
}

/// The name that stands for the n-th value of a template.
pub fn value_name(number: usize) -> String {
    format!("\u{4}value{number}")
}

struct Filler<'a> {
    input: Option<TableFactor>,
    values: &'a [(&'a str, Expr)],
}

impl VisitorMut for Filler<'_> {
    type Break = ();

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if matches!(factor, TableFactor::Table { name, .. } if name.to_string().contains(INPUT))
            && let Some(input) = self.input.take()
        {
            *factor = input;
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Identifier(name) = expr
            && let Some((_, value)) = self.values.iter().find(|(known, _)| *known == name.value)
        {
            *expr = Expr::Nested(Box::new(value.clone()));
        }
        ControlFlow::Continue(())
    }
}

/// A subquery in FROM.
pub fn derived(query: Query, alias: Option<TableAlias>) -> TableFactor {
    TableFactor::Derived { lateral: false, subquery: Box::new(query), alias, sample: None }
}

/// An alias without columns.
pub fn alias(name: &str) -> TableAlias {
    TableAlias { explicit: true, name: Ident::with_quote('"', name), columns: Vec::new(), at: None }
}

/// The parts of a query's result that LIMIT and FETCH ask for in other ways than by a number.
///
/// # Errors
/// `Unsupported` for WITH TIES over anything but a SELECT.
pub fn rewrite(query: &mut Query) -> Result<()> {
    if query.fetch.as_ref().is_some_and(|fetch| fetch.with_ties) {
        return with_ties(query);
    }
    let percent = match &query.fetch {
        Some(fetch) if fetch.percent => fetch.quantity.clone(),
        _ => None,
    };
    let percent = percent.or_else(|| percent_of_limit(query));
    let Some(percent) = percent else { return Ok(()) };
    query.fetch = None;
    let skipped = match query.limit_clause.take() {
        Some(LimitClause::LimitOffset { offset: Some(offset), .. }) => offset.value,
        _ => number("0"),
    };
    let with = query.with.take();
    let inner = std::mem::replace(query, empty());
    let text = "SELECT * EXCLUDE (\"\u{4}row\", \"\u{4}rows\") FROM (\
        SELECT *, row_number() OVER () AS \"\u{4}row\", count(*) OVER () AS \"\u{4}rows\" FROM {input}) AS \"\u{4}all\" \
        WHERE \"\u{4}row\" > \"skipped\" AND \"\u{4}row\" <= \"skipped\" \
        + CASE WHEN CAST(\"percent\" AS DOUBLE) BETWEEN 0 AND 100 \
        THEN CAST(floor(CAST(\"percent\" AS DOUBLE) * \"\u{4}rows\" / 100) AS BIGINT) \
        ELSE error('LIMIT takes 0 to 100 percent') END";
    let input = derived(inner, Some(alias("\u{4}query")));
    *query = template(text, input, &[("skipped", skipped), ("percent", percent)])?;
    query.with = with;
    Ok(())
}

fn number(digits: &str) -> Expr {
    Expr::Value(Value::Number(digits.to_owned(), false).into())
}

fn empty() -> Query {
    crate::sql::rewrite::query_of(SetExpr::Values(datafusion_sql::sqlparser::ast::Values {
        explicit_row: false,
        value_keyword: false,
        rows: Vec::new(),
    }))
}

fn percent_of_limit(query: &Query) -> Option<Expr> {
    use datafusion_sql::sqlparser::ast::{FunctionArg, FunctionArgExpr, FunctionArguments};
    let Some(LimitClause::LimitOffset { limit: Some(Expr::Function(call)), .. }) =
        &query.limit_clause
    else {
        return None;
    };
    let FunctionArguments::List(list) = &call.args else { return None };
    match list.args.as_slice() {
        [FunctionArg::Unnamed(FunctionArgExpr::Expr(percent))]
            if fold(&call.name.to_string()) == PERCENT_OF_ROWS =>
        {
            Some(percent.clone())
        }
        _ => None,
    }
}

/// `FETCH FIRST n ROWS WITH TIES` keeps the rows whose rank by the keys is n at most.
fn with_ties(query: &mut Query) -> Result<()> {
    let refusal =
        || Error::unsupported("WITH TIES other than behind ORDER BY with keys of a SELECT");
    let Some(fetch) = query.fetch.take() else { return Ok(()) };
    if fetch.percent {
        return Err(Error::unsupported("FETCH ... PERCENT WITH TIES"));
    }
    let keys = match query.order_by.as_ref().map(|order| &order.kind) {
        Some(OrderByKind::Expressions(keys)) if !keys.is_empty() => keys.clone(),
        None => {
            let message = "WITH TIES needs ORDER BY: rows tie by its keys";
            return Err(Error::new(ErrorKind::Syntax, message));
        }
        _ => return Err(refusal()),
    };
    let SetExpr::Select(select) = query.body.as_mut() else { return Err(refusal()) };
    if select.distinct.is_some() {
        return Err(refusal());
    }
    if select.qualify.is_some() {
        // Its rows would be ranked before it chooses among them.
        return Err(Error::unsupported("WITH TIES behind QUALIFY").with_hint(
            "put the query in FROM: SELECT * FROM (SELECT ... QUALIFY ...) q ORDER BY ...",
        ));
    }
    let mut keys: Vec<OrderByExpr> =
        keys.into_iter().map(|key| meant(key, &select.projection)).collect();
    let names: Vec<String> = (0..keys.len()).map(value_name).collect();
    let mut values = Vec::with_capacity(keys.len() + 2);
    for (key, name) in keys.iter_mut().zip(&names) {
        let stand_in = Expr::Identifier(Ident::with_quote('"', name));
        values.push((name.as_str(), std::mem::replace(&mut key.expr, stand_in)));
    }
    let shown: Vec<String> = keys.iter().map(ToString::to_string).collect();
    let quantity = fetch.quantity.unwrap_or_else(|| number("1"));
    let skipped = match &query.limit_clause {
        Some(LimitClause::LimitOffset { offset: Some(Offset { value, .. }), .. }) => value.clone(),
        _ => number("0"),
    };
    let text =
        format!("SELECT rank() OVER (ORDER BY {}) <= \"most\" + \"skipped\"", shown.join(", "));
    values.extend([("most", quantity), ("skipped", skipped)]);
    let ranked = template(&text, derived(empty(), None), &values)?;
    let SetExpr::Select(mut ranked) = *ranked.body else { return Err(refusal()) };
    let Some(SelectItem::UnnamedExpr(condition)) = ranked.projection.pop() else {
        return Err(refusal());
    };
    select.qualify = Some(condition);
    Ok(())
}

/// A key with the item of SELECT that it names or counts in its place.
fn meant(mut key: OrderByExpr, items: &[SelectItem]) -> OrderByExpr {
    let item = match &key.expr {
        Expr::Value(value) => match &value.value {
            Value::Number(digits, _) => {
                let at = digits.parse::<usize>().ok().and_then(|at| at.checked_sub(1));
                at.and_then(|at| items.get(at))
            }
            _ => None,
        },
        Expr::Identifier(name) => items.iter().find(|item| {
            matches!(item, SelectItem::ExprWithAlias { alias, .. } if fold(&alias.value) == fold(&name.value))
        }),
        _ => None,
    };
    if let Some(SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = item {
        key.expr = expr.clone();
    }
    key
}

/// A relation with TABLESAMPLE is a query over all of it.
///
/// # Errors
/// `Unsupported` for forms of sampling that we do not have, `Value` for a part that is none.
pub fn sample(factor: &mut TableFactor) -> Result<()> {
    let (sample, name) = match factor {
        TableFactor::Table { sample: sample @ Some(_), alias, name, .. } => {
            let last = name.0.last().and_then(|part| part.as_ident());
            let named = last.map(|last| TableAlias { name: last.clone(), ..self::alias("") });
            (sample.take(), alias.take().or(named))
        }
        TableFactor::Derived { sample: sample @ Some(_), alias, .. } => {
            (sample.take(), alias.clone())
        }
        _ => return Ok(()),
    };
    let Some(TableSampleKind::BeforeTableAlias(sample) | TableSampleKind::AfterTableAlias(sample)) =
        sample
    else {
        return Ok(());
    };
    let input = std::mem::replace(factor, derived(empty(), None));
    *factor = derived(sampled(&sample, input)?, name);
    Ok(())
}

fn sampled(sample: &TableSample, input: TableFactor) -> Result<Query> {
    let refusal = || Error::unsupported("this form of TABLESAMPLE");
    if sample.bucket.is_some() || sample.offset.is_some() {
        return Err(refusal());
    }
    let quantity = sample.quantity.as_ref().ok_or_else(refusal)?;
    let rows = matches!(quantity.unit, Some(TableSampleUnit::Rows));
    let share = match rows {
        true => 0.0,
        false => match quantity.value.to_string().parse::<f64>() {
            Ok(percent) if (0.0..=100.0).contains(&percent) => percent / 100.0,
            _ => {
                let message = format!("a sample has 0 to 100 percent, not {}", quantity.value);
                return Err(Error::new(ErrorKind::Value, message));
            }
        },
    };
    let seed = sample.seed.as_ref().map(|seed| Expr::Value(seed.value.clone()));
    let seeded = seed.is_some();
    let key = match seeded {
        // The row's place and the seed make a number from 0 to 1.
        true => {
            "CAST(hash(row_number() OVER (), \"seed\") AS DOUBLE) / CAST('18446744073709551616' AS DOUBLE)"
        }
        false => "random()",
    };
    let exact = rows || matches!(sample.name, Some(TableSampleMethod::Row));
    let text = match (exact, seeded) {
        (true, _) => {
            let unit = if rows {
                "\"quantity\"".to_owned()
            } else {
                format!("{PERCENT_OF_ROWS}(\"quantity\")")
            };
            format!(
                "SELECT * EXCLUDE (\"\u{4}key\") FROM (SELECT *, {key} AS \"\u{4}key\" FROM {{input}}) AS \"\u{4}all\" \
                 ORDER BY \"\u{4}key\" LIMIT {unit}"
            )
        }
        (false, false) => {
            format!("SELECT * FROM {{input}} WHERE random() < CAST('{share}' AS DOUBLE)")
        }
        (false, true) => format!(
            "SELECT * EXCLUDE (\"\u{4}key\") FROM (SELECT *, {key} AS \"\u{4}key\" FROM {{input}}) AS \"\u{4}all\" \
             WHERE \"\u{4}key\" < CAST('{share}' AS DOUBLE)"
        ),
    };
    let mut values = vec![("quantity", quantity.value.clone())];
    values.extend(seed.map(|seed| ("seed", seed)));
    template(&text, input, &values)
}
