//! Refusals by name: what the planner library would drop or misread, and what we do not have.
//!
//! Invariant: every clause that passes here is either honoured by what follows or refused by it with a clear message.
//! Next: `rewrite.rs`; `planner/check.rs`, which refuses what only a plan shows.

use std::ops::ControlFlow;

use datafusion_sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArguments,
    GroupByExpr, Join, JoinConstraint, JoinOperator, LimitClause, OrderBy, OrderByKind, Query,
    Select, SelectItem, SetExpr, SetOperator, SetQuantifier, Spanned, Statement, TableAlias,
    TableFactor, TableWithJoins, Value, ValueWithSpan, Visitor,
};

use crate::{
    error::{Error, ErrorKind, Result, Span},
    planner::{
        diagnose::closest,
        functions::{all_names, is_aggregate, is_window},
        lambdas::lambda_function,
    },
    sql::{
        names::fold, parse::place, shorthand::UNPACKED, sources::is_unnested, visit::Walk, walk,
    },
};

/// Looks at every node of a query.
///
/// # Errors
/// `Unsupported`, naming the construct, with its place.
pub fn check(statement: &Statement) -> Result<()> {
    if !matches!(statement, Statement::Query(_)) {
        return Err(Error::unsupported("this statement as a query"));
    }
    match statement.walk(&mut Gate::default()) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

/// So deep a nesting is planned in well under a second; every level costs stack.
const SUBQUERY_LEVELS: usize = 50;
/// The planner library names every level of calls by all below it, for each of them.
const CALL_LEVELS: usize = 100;
/// The digits of the widest numbers that are exact.
const MOST_DIGITS: usize = 38;
/// The planner library finds the type of a lambda twice, and with it those of the lambdas within.
const LAMBDA_LEVELS: usize = 8;

#[derive(Default)]
struct Gate {
    /// How many subqueries in expressions the node is within.
    level: usize,
    /// How many calls and literals of lists, structs and maps it is within.
    calls: usize,
    /// How many lambdas it is within.
    lambdas: usize,
}

impl Gate {
    fn levels(&mut self, expr: &Expr) -> Option<(&mut usize, usize, &'static str)> {
        Some(match expr {
            Expr::Subquery(_) | Expr::InSubquery { .. } | Expr::Exists { .. } => {
                (&mut self.level, SUBQUERY_LEVELS, "subqueries")
            }
            Expr::Lambda(_) => (&mut self.lambdas, LAMBDA_LEVELS, "lambdas"),
            Expr::Function(_)
            | Expr::Array(_)
            | Expr::Struct { .. }
            | Expr::Dictionary(_)
            | Expr::Map(_)
            | Expr::Tuple(_) => (&mut self.calls, CALL_LEVELS, "calls"),
            _ => return None,
        })
    }
}

fn refuse(what: &str, span: Option<Span>) -> Result<()> {
    Err(Error::unsupported(what).or_span(span))
}

fn refuse_if(unwanted: bool, what: &str, node: &impl Spanned) -> Result<()> {
    if unwanted { refuse(what, place(node.span())) } else { Ok(()) }
}

fn flow(result: Result<()>) -> ControlFlow<Error> {
    match result {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => ControlFlow::Break(error),
    }
}

impl Visitor for Gate {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Error> {
        flow(check_query(query))
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Error> {
        flow(check_select(select))
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Error> {
        flow(check_factor(factor))
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Error> {
        if let Some((level, most, what)) = self.levels(expr) {
            *level += 1;
            let deep = *level > most;
            flow(refuse_if(deep, &format!("{what} more than {most} levels deep"), expr))?;
        }
        flow(check_expr(expr))
    }

    fn post_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Error> {
        if let Some((level, ..)) = self.levels(expr) {
            *level -= 1;
        }
        ControlFlow::Continue(())
    }
}

fn check_query(query: &Query) -> Result<()> {
    refuse_if(!query.locks.is_empty(), "FOR UPDATE and FOR SHARE", query.body.as_ref())?;
    refuse_if(query.for_clause.is_some(), "FOR XML and FOR JSON", query.body.as_ref())?;
    refuse_if(query.settings.is_some(), "SETTINGS", query.body.as_ref())?;
    refuse_if(query.format_clause.is_some(), "FORMAT", query.body.as_ref())?;
    refuse_if(!query.pipe_operators.is_empty(), "pipe operators (|>)", query.body.as_ref())?;
    if query.fetch.is_some()
        && let Some(LimitClause::LimitOffset { limit: Some(limit), .. }) = &query.limit_clause
    {
        let message = "a query has LIMIT or FETCH, not both";
        return Err(Error::new(ErrorKind::Syntax, message).or_span(place(limit.span())));
    }
    if let Some(LimitClause::LimitOffset { limit_by, .. }) = &query.limit_clause {
        refuse_if(!limit_by.is_empty(), "LIMIT BY", query.body.as_ref())?;
    }
    if let Some(OrderBy { kind, interpolate }) = &query.order_by {
        refuse_if(interpolate.is_some(), "INTERPOLATE", query.body.as_ref())?;
        if let OrderByKind::Expressions(keys) = kind {
            for key in keys {
                refuse_if(key.with_fill.is_some(), "ORDER BY ... WITH FILL", &key.expr)?;
            }
        }
    }
    check_body(query.body.as_ref())
}

fn check_body(body: &SetExpr) -> Result<()> {
    match body {
        SetExpr::Select(_) | SetExpr::Query(_) | SetExpr::Values(_) | SetExpr::Table(_) => Ok(()),
        SetExpr::SetOperation { left, op, set_quantifier, right } => {
            let by_name = matches!(
                set_quantifier,
                SetQuantifier::ByName | SetQuantifier::AllByName | SetQuantifier::DistinctByName
            );
            if matches!(op, SetOperator::Minus) {
                return refuse("MINUS (write EXCEPT)", place(right.span()));
            }
            let union = matches!(op, SetOperator::Union);
            refuse_if(by_name && !union, "BY NAME other than for UNION", right.as_ref())?;
            check_body(left)?;
            check_body(right)
        }
        SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => {
            refuse("a data-changing statement within a query", place(body.span()))
        }
    }
}

fn check_select(select: &Select) -> Result<()> {
    for (unwanted, what) in [
        (select.top.is_some(), "TOP (write LIMIT)"),
        (select.into.is_some(), "SELECT INTO (write CREATE TABLE ... AS)"),
        (!select.lateral_views.is_empty(), "LATERAL VIEW"),
        (select.prewhere.is_some(), "PREWHERE"),
        (!select.connect_by.is_empty(), "CONNECT BY"),
        (!select.cluster_by.is_empty(), "CLUSTER BY"),
        (!select.distribute_by.is_empty(), "DISTRIBUTE BY"),
        (!select.sort_by.is_empty(), "SORT BY"),
        (select.value_table_mode.is_some(), "SELECT AS VALUE and AS STRUCT"),
        (select.select_modifiers.is_some(), "these modifiers of SELECT"),
        (select.exclude.is_some(), "EXCLUDE after the last column"),
    ] {
        refuse_if(unwanted, what, select)?;
    }
    let (GroupByExpr::All(modifiers) | GroupByExpr::Expressions(_, modifiers)) = &select.group_by;
    let what = "GROUP BY ... WITH (write GROUP BY ROLLUP (...) or CUBE (...))";
    refuse_if(!modifiers.is_empty(), what, select)?;
    for item in &select.projection {
        match item {
            SelectItem::Wildcard(options) | SelectItem::QualifiedWildcard(_, options) => {
                refuse_if(options.opt_ilike.is_some(), "* ILIKE", options)?;
                let of_table = matches!(item, SelectItem::QualifiedWildcard(..));
                refuse_if(of_table && options.opt_rename.is_some(), "t.* RENAME", options)?;
                refuse_if(options.opt_alias.is_some(), "* AS", options)?;
            }
            SelectItem::ExprWithAliases { expr, .. } => refuse_if(true, "several aliases", expr)?,
            _ => {}
        }
    }
    for (clause, condition) in [("WHERE", &select.selection), ("HAVING", &select.having)] {
        let of_window = |expr: &Expr| matches!(expr, Expr::Function(call) if call.over.is_some());
        if let Some(condition) = condition
            && walk::any(condition, of_window)
        {
            let message = format!(
                "{clause} chooses rows before window functions are computed: it has no OVER"
            );
            return Err(Error::new(ErrorKind::Type, message)
                .with_hint("QUALIFY chooses by them: QUALIFY row_number() OVER (ORDER BY x) = 1")
                .or_span(place(condition.span())));
        }
    }
    select.from.iter().try_for_each(check_joins)
}

fn check_joins(table: &TableWithJoins) -> Result<()> {
    let mut left = &table.relation;
    for join in &table.joins {
        check_join(join, left)?;
        left = &join.relation;
    }
    Ok(())
}

fn check_join(join: &Join, left: &TableFactor) -> Result<()> {
    // The parser takes these words for an alias of the table before them.
    for (word, what) in [("positional", "POSITIONAL JOIN")] {
        if let Some(alias) = alias_of(left)
            && !alias.explicit
            && alias.name.quote_style.is_none()
            && alias.name.value.eq_ignore_ascii_case(word)
        {
            return refuse(what, place(alias.name.span));
        }
    }
    let constraint = match &join.join_operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)
        | JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint)
        | JoinOperator::Semi(constraint)
        | JoinOperator::LeftSemi(constraint)
        | JoinOperator::RightSemi(constraint)
        | JoinOperator::Anti(constraint)
        | JoinOperator::LeftAnti(constraint)
        | JoinOperator::RightAnti(constraint) => constraint,
        JoinOperator::CrossJoin(constraint) => {
            let none = matches!(constraint, JoinConstraint::None);
            return refuse_if(!none, "CROSS JOIN with ON or USING", &join.relation);
        }
        JoinOperator::AsOf { .. } => return Ok(()),
        JoinOperator::CrossApply | JoinOperator::OuterApply => {
            return refuse_if(true, "CROSS APPLY and OUTER APPLY (write LATERAL)", &join.relation);
        }
        JoinOperator::StraightJoin(_) => return refuse_if(true, "STRAIGHT_JOIN", &join.relation),
        JoinOperator::ArrayJoin | JoinOperator::LeftArrayJoin | JoinOperator::InnerArrayJoin => {
            return refuse_if(true, "ARRAY JOIN", &join.relation);
        }
    };
    if matches!(constraint, JoinConstraint::None) {
        let message = "a JOIN needs ON or USING; without a condition, write CROSS JOIN";
        return Err(Error::new(ErrorKind::Syntax, message).or_span(place(join.relation.span())));
    }
    Ok(())
}

fn alias_of(factor: &TableFactor) -> Option<&TableAlias> {
    match factor {
        TableFactor::Table { alias, .. }
        | TableFactor::Derived { alias, .. }
        | TableFactor::NestedJoin { alias, .. } => alias.as_ref(),
        _ => None,
    }
}

/// Refuses `f(*)`.
fn check_star(name: &str, args: &[FunctionArg], span: Option<Span>) -> Result<()> {
    let is_star =
        |arg: &FunctionArg| matches!(arg, FunctionArg::Unnamed(FunctionArgExpr::Wildcard));
    match args.iter().any(is_star) {
        true => {
            let message = format!("{name}() does not take *");
            Err(Error::new(ErrorKind::Syntax, message).or_span(span))
        }
        false => Ok(()),
    }
}

fn check_factor(factor: &TableFactor) -> Result<()> {
    let what = match factor {
        TableFactor::Table {
            name,
            args,
            with_hints,
            version,
            with_ordinality,
            partitions,
            json_path,
            index_hints,
            ..
        } => {
            for (unwanted, what) in [
                (version.is_some(), "reading an older version of a table"),
                (*with_ordinality, "WITH ORDINALITY"),
                (!partitions.is_empty(), "PARTITION (...) in FROM"),
                (json_path.is_some(), "a path behind a table's name"),
                (!with_hints.is_empty() || !index_hints.is_empty(), "table hints"),
            ] {
                refuse_if(unwanted, what, factor)?;
            }
            let args = args.as_ref().map_or(&[][..], |args| &args.args);
            return check_star(&fold(&name.to_string()), args, place(name.span()));
        }
        TableFactor::Derived { .. } => return Ok(()),
        TableFactor::NestedJoin { table_with_joins, .. } => return check_joins(table_with_joins),
        TableFactor::UNNEST { with_offset, .. } => {
            return refuse_if(*with_offset, "unnest() WITH OFFSET", factor);
        }
        TableFactor::TableFunction { .. } => "TABLE(...)",
        TableFactor::Function { name, .. } if is_unnested(name) => return Ok(()),
        TableFactor::Function { .. } => "LATERAL functions in FROM",
        TableFactor::Pivot { .. } | TableFactor::Unpivot { .. } => return Ok(()),
        TableFactor::MatchRecognize { .. } => "MATCH_RECOGNIZE",
        TableFactor::JsonTable { .. } | TableFactor::OpenJsonTable { .. } => "JSON_TABLE",
        _ => "this form of a table in FROM",
    };
    refuse_if(true, what, factor)
}

/// Whether a call is one of an aggregate.
pub fn is_aggregate_call(function: &Function) -> bool {
    function.over.is_none() && is_aggregate(&fold(&function.name.to_string()))
}

/// Whether a call has a lambda among its arguments.
pub fn has_lambda(function: &Function) -> bool {
    let FunctionArguments::List(list) = &function.args else { return false };
    let lambda = |arg: &FunctionArg| {
        matches!(arg, FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Lambda(_))))
    };
    list.args.iter().any(lambda)
}

fn check_expr(expr: &Expr) -> Result<()> {
    let what = match expr {
        Expr::Collate { .. } => "COLLATE (texts compare bytewise)",
        Expr::MatchAgainst { .. } => "MATCH ... AGAINST",
        Expr::JsonAccess { .. } => "JSON paths",
        Expr::Prefixed { .. } => "literals with a character set",
        Expr::InUnnest { .. } => "IN UNNEST",
        Expr::Convert { .. } => "CONVERT (write CAST)",
        Expr::IsNormalized { .. } => "IS NORMALIZED",
        Expr::Like { any: true, .. } | Expr::ILike { any: true, .. } => "LIKE ANY",
        Expr::Prior(_) => "CONNECT BY",
        Expr::OuterJoin(_) => "(+) joins (write LEFT JOIN)",
        Expr::MemberOf(_) => "MEMBER OF",
        Expr::Cast { format: Some(_), .. } => "CAST ... FORMAT",
        Expr::Function(function) => return check_function(function),
        Expr::Value(ValueWithSpan { value: Value::Number(digits, _), .. })
            if digits.len() > MOST_DIGITS && !digits.contains(['e', 'E']) =>
        {
            let is_digit = |byte: &u8| byte.is_ascii_digit();
            let count = digits.trim_start_matches(['0', '.']).bytes().filter(is_digit).count();
            let count = count.max(digits.split('.').nth(1).map_or(0, str::len));
            if count <= MOST_DIGITS {
                return Ok(());
            }
            let message = format!("{digits} has {count} digits; a DECIMAL has {MOST_DIGITS}");
            let error = Error::new(ErrorKind::Value, message).or_span(place(expr.span()));
            return Err(error.with_hint(format!("a DOUBLE has an exponent: {digits}e0")));
        }
        Expr::Value(ValueWithSpan { value: Value::Placeholder(name), .. })
            if !name.starts_with('$') =>
        {
            let message = format!("a parameter is ?, $1, $2, ... or $name, not {name}");
            return Err(Error::new(ErrorKind::Syntax, message).or_span(place(expr.span())));
        }
        _ => return Ok(()),
    };
    refuse_if(true, what, expr)
}

fn check_function(function: &Function) -> Result<()> {
    let name = fold(&function.name.to_string());
    let takes_lambdas = lambda_function(&name).is_some();
    refuse_if(has_lambda(function) && !takes_lambdas, &format!("lambdas in {name}()"), function)?;
    refuse_if(
        !matches!(function.parameters, FunctionArguments::None),
        "calls with two lists of arguments",
        function,
    )?;
    let list = match &function.args {
        FunctionArguments::List(list) => Some(list),
        FunctionArguments::Subquery(_) if name == "array" => None,
        FunctionArguments::Subquery(_) => {
            return refuse_if(
                true,
                "a subquery as the only argument (put it in parentheses)",
                function,
            );
        }
        FunctionArguments::None => None,
    };
    for arg in list.map_or(&[][..], |list| &list.args) {
        let (FunctionArg::Named { arg, .. }
        | FunctionArg::ExprNamed { arg, .. }
        | FunctionArg::Unnamed(arg)) = arg;
        let star = matches!(arg, FunctionArgExpr::QualifiedWildcard(_));
        refuse_if(star, "t.* as an argument", function)?;
        if matches!(arg, FunctionArgExpr::Wildcard) && list.is_some_and(|l| l.args.len() > 1) {
            let message = format!("{name}(*) takes no other argument");
            return Err(Error::new(ErrorKind::Syntax, message).or_span(place(function.span())));
        }
    }
    for clause in list.map_or(&[][..], |list| &list.clauses) {
        let what = match clause {
            FunctionArgumentClause::OrderBy(_)
            | FunctionArgumentClause::IgnoreOrRespectNulls(_) => continue,
            FunctionArgumentClause::Limit(_) => "LIMIT within an aggregate",
            FunctionArgumentClause::Having(_) => "HAVING within an aggregate",
            FunctionArgumentClause::Separator(_) => "SEPARATOR (write it as the second argument)",
            _ => "this clause within a call",
        };
        refuse_if(true, what, function)?;
    }
    if function.over.is_some() && is_window(&name) && !is_aggregate(&name) {
        let what = format!("FILTER in {name}(), which is no aggregate");
        refuse_if(function.filter.is_some(), &what, function)?;
        let distinct = list.is_some_and(|list| list.duplicate_treatment.is_some());
        refuse_if(distinct, &format!("DISTINCT in {name}(), which is no aggregate"), function)?;
        let values = ["lag", "lead", "first_value", "last_value", "nth_value", "first", "last"];
        let ignores = |clause: &FunctionArgumentClause| {
            matches!(clause, FunctionArgumentClause::IgnoreOrRespectNulls(_))
        };
        let nulls = function.null_treatment.is_some()
            || list.is_some_and(|list| list.clauses.iter().any(ignores));
        let valueless = nulls && !values.contains(&name.as_str());
        refuse_if(valueless, &format!("IGNORE NULLS in {name}()"), function)?;
    }
    let groups = is_aggregate(&name) || super::json::is_grouping(&name);
    if groups || (function.over.is_some() && is_window(&name)) {
        return Ok(());
    }
    if function.over.is_some() {
        let message = format!("{name}() is no window function: OVER has no meaning here");
        return Err(Error::new(ErrorKind::Type, message).or_span(place(function.span())));
    }
    if !["columns", UNPACKED].contains(&name.as_str()) {
        let args = list.map_or(&[][..], |list| &list.args);
        check_star(&name, args, place(function.span())).map_err(|error| {
            error.with_hint(format!("{name}(COLUMNS(*)) calls it for each column"))
        })?;
    }
    let clauses = list.is_some_and(|l| l.duplicate_treatment.is_some() || !l.clauses.is_empty());
    let aggregate_clause = clauses
        || function.filter.is_some()
        || !function.within_group.is_empty()
        || function.null_treatment.is_some();
    if aggregate_clause {
        let message =
            format!("{name}() is no aggregate: DISTINCT, ORDER BY, FILTER have no meaning here");
        let error = Error::new(ErrorKind::Type, message).or_span(place(function.span()));
        let names = all_names();
        let meant = closest(&name, names.iter().map(String::as_str));
        return Err(match meant.filter(|meant| *meant != name) {
            Some(meant) => error.with_hint(format!("did you mean {meant}()?")),
            None => error,
        });
    }
    Ok(())
}
