//! Friendly syntax becomes plain SQL that the planner library knows.
//!
//! Invariant: a rewrite keeps the meaning and the text of the output names (which `names.rs` takes afterwards, so that
//! rewritten calls keep their name through an alias). Next: `sources.rs`, `names.rs`.

use std::ops::ControlFlow;

use datafusion_sql::sqlparser::ast::{
    AccessExpr, Array, BinaryOperator, CastKind, DataType, ExactNumberInfo, Expr, Function,
    FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, Ident, Interval, Join,
    JoinOperator, LimitClause, ObjectName, OrderBy, OrderByExpr, OrderByKind, Query, Select,
    SelectFlavor, SelectItem, SetExpr, Spanned, Statement, Subscript, TableAlias,
    TableAliasColumnDef, TableFactor, TableWithJoins, UnaryOperator, Value, VisitorMut,
    WildcardAdditionalOptions, WindowType, helpers::attached_token::AttachedToken,
};

use crate::{
    error::{Error, Result},
    sql::{
        asof,
        calls::{by_names, call, call_of, cast, is_rewritten, lambda_parameters, taken},
        frames, friendly,
        gate::is_aggregate_call,
        json, named_windows,
        names::{fold, keep_name},
        parse::place,
        pivot, set_all, shares, tuples,
        visit::{Walk, WalkMut},
    },
};

/// Rewrites a query in place.
///
/// # Errors
/// `Type`, with the place, when a rewritten function is called with the wrong number of arguments.
pub fn rewrite(statement: &mut Statement) -> Result<()> {
    match statement.walk_mut(&mut Rewriter) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Rewriter;

impl VisitorMut for Rewriter {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        if let Err(error) = shares::rewrite(query) {
            return ControlFlow::Break(error);
        }
        fetch_to_limit(query);
        table_to_select(&mut query.body);
        order_by_all(query);
        let expanded = named_windows::expand_order(query);
        match expanded.and_then(|()| set_all::rewrite(&mut query.body)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        if let Err(error) = asof::rewrite(select) {
            return ControlFlow::Break(error);
        }
        if select.flavor == SelectFlavor::FromFirstNoSelect || select.projection.is_empty() {
            select.projection = vec![SelectItem::Wildcard(WildcardAdditionalOptions::default())];
        }
        select.flavor = SelectFlavor::Standard;
        // Names come from the text before the rewrites below.
        for item in &mut select.projection {
            if let SelectItem::UnnamedExpr(expr) = item
                && friendly::has_columns(expr)
            {
                let alias = Ident::with_quote('"', friendly::UNNAMED);
                *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
            }
            keep_name(item, |expr| {
                !matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_)) && changes(expr)
            });
        }
        sets_of_positions(select);
        select.from.iter_mut().for_each(|table| joins(&mut table.joins));
        if let Err(error) = named_windows::expand(select) {
            return ControlFlow::Break(error);
        }
        let conditions = select.selection.iter_mut().chain(&mut select.having);
        match conditions.map(rows).find(Result::is_err) {
            Some(Err(error)) => ControlFlow::Break(error),
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Error> {
        if let TableFactor::NestedJoin { table_with_joins, .. } = factor {
            joins(&mut table_with_joins.joins);
        }
        match pivot::rewrite(factor).and_then(|()| shares::sample(factor)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        signed_base(expr);
        methods(expr);
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        match tuples::rewritten(expr, false) {
            Ok(Some(condition)) => *expr = condition,
            Ok(None) => {}
            Err(error) => return ControlFlow::Break(error),
        }
        let result = match expr {
            Expr::Value(value) => match &value.value {
                // A number with an exponent is a double; all others are exact.
                Value::Number(digits, _) if digits.contains(['e', 'E']) => {
                    let text = Value::SingleQuotedString(digits.clone()).with_span(value.span);
                    *expr = cast(Expr::Value(text), DataType::Double(ExactNumberInfo::None));
                    Ok(())
                }
                _ => Ok(()),
            },
            Expr::UnaryOp { op: UnaryOperator::BitwiseNot, expr: operand } => {
                *expr = call_of("bit_not", vec![taken(operand)]);
                Ok(())
            }
            Expr::BinaryOp {
                left,
                op: BinaryOperator::BitwiseXor | BinaryOperator::PGExp,
                right,
            } => {
                let double =
                    |side: &mut Expr| cast(taken(side), DataType::Double(ExactNumberInfo::None));
                *expr = call_of("power", vec![double(left), double(right)]);
                Ok(())
            }
            Expr::BinaryOp { left, op: BinaryOperator::PGStartsWith, right } => {
                *expr = call_of("starts_with", vec![taken(left), taken(right)]);
                Ok(())
            }
            Expr::Interval(interval) if is_ago(interval) => {
                *expr = cast(
                    taken(&mut interval.value),
                    DataType::Interval { fields: None, precision: None },
                );
                Ok(())
            }
            Expr::Interval(interval) => {
                if let Some(words) = in_words(interval) {
                    *interval.value = Expr::Value(Value::SingleQuotedString(words).into());
                }
                Ok(())
            }
            Expr::Array(array) if has_columns(array) => {
                *expr = call_of("make_array", std::mem::take(&mut array.elem));
                Ok(())
            }
            Expr::Cast { kind, expr: value, data_type: DataType::Uuid, .. } => {
                let tries = matches!(kind, CastKind::TryCast | CastKind::SafeCast);
                let name = if tries { "try_to_uuid" } else { "to_uuid" };
                *expr = call_of(name, vec![taken(value)]);
                Ok(())
            }
            Expr::TypedString(typed) if typed.data_type == DataType::Uuid => {
                *expr = call_of("to_uuid", vec![Expr::Value(typed.value.clone())]);
                Ok(())
            }
            Expr::Lambda(lambda) => {
                lambda_parameters(lambda);
                Ok(())
            }
            Expr::CompoundFieldAccess { access_chain, .. } => {
                access_chain.iter_mut().for_each(field_as_text);
                access_chain.iter_mut().for_each(whole_slice);
                Ok(())
            }
            Expr::AtTimeZone { timestamp, time_zone } => {
                *expr = call_of("timezone", vec![taken(time_zone), taken(timestamp)]);
                Ok(())
            }
            Expr::Exists { subquery, .. } => {
                exists_without_limit(subquery);
                Ok(())
            }
            Expr::Identifier(name) if is_user(name) => {
                let user = Value::SingleQuotedString("stoa".to_owned());
                *expr = Expr::Value(user.with_span(name.span));
                Ok(())
            }
            Expr::Function(function) if is_user_call(function) => {
                *expr = Expr::Value(Value::SingleQuotedString("stoa".to_owned()).into());
                Ok(())
            }
            Expr::Function(function) if is_array_of_query(function) => {
                if let FunctionArguments::Subquery(query) = &mut function.args {
                    *expr = Expr::Subquery(Box::new(list_of_query(query)));
                }
                Ok(())
            }
            Expr::Function(function) if by_names(function).is_some() => {
                if let Some(fields) = by_names(function) {
                    *expr = fields;
                }
                Ok(())
            }
            Expr::Function(function) => match framed(function).and_then(|()| call(function)) {
                Ok(Some(replacement)) => {
                    *expr = replacement;
                    Ok(())
                }
                Ok(None) => Ok(()),
                Err(error) => Err(error.or_span(place(function.name.span()))),
            },
            _ => Ok(()),
        };
        json::rewrite(expr);
        match result {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

/// `GROUP BY ROLLUP (1, 2)`: the items of the SELECT list.
fn sets_of_positions(select: &mut Select) {
    let GroupByExpr::Expressions(groups, _) = &mut select.group_by else { return };
    for group in groups {
        if matches!(group, Expr::Tuple(members) if members.is_empty()) {
            *group = Expr::GroupingSets(vec![Vec::new()]);
        }
        let (Expr::Rollup(sets) | Expr::Cube(sets) | Expr::GroupingSets(sets)) = group else {
            continue;
        };
        for member in sets.iter_mut().flatten() {
            let Expr::Value(value) = &*member else { continue };
            let Value::Number(digits, _) = &value.value else { continue };
            let position = digits.parse::<usize>().ok().and_then(|n| n.checked_sub(1));
            let item = position.and_then(|position| select.projection.get(position));
            if let Some(SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) =
                item
            {
                *member = expr.clone();
            }
        }
    }
}

/// Comparisons of rows in a condition of which FALSE and NULL mean the same.
fn rows(condition: &mut Expr) -> Result<()> {
    match condition {
        Expr::BinaryOp { left, op: BinaryOperator::And | BinaryOperator::Or, right } => {
            rows(left)?;
            rows(right)
        }
        Expr::Nested(inner) => rows(inner),
        other => {
            if let Some(rewritten) = tuples::rewritten(other, true)? {
                *other = rewritten;
            }
            Ok(())
        }
    }
}

/// Looks at the frame of a window function.
fn framed(function: &mut Function) -> Result<()> {
    match &mut function.over {
        Some(WindowType::WindowSpec(window)) => frames::rewrite(window),
        Some(WindowType::NamedWindow(_)) | None => Ok(()),
    }
}

/// `-a ^ b` is `(-a) ^ b`, as in PostgreSQL: the parser takes it for `-(a ^ b)`.
fn signed_base(expr: &mut Expr) {
    let Expr::UnaryOp { op: op @ (UnaryOperator::Minus | UnaryOperator::Plus), expr: power } = expr
    else {
        return;
    };
    let op = *op;
    if !is_power(power) {
        return;
    }
    let mut power = taken(power);
    let mut base = &mut power;
    while is_power(base)
        && let Expr::BinaryOp { left, .. } = base
    {
        base = left;
    }
    let inner = taken(base);
    *base = Expr::UnaryOp { op, expr: Box::new(inner) };
    *expr = power;
}

/// `value.f(x)` is `f(value, x)`.
fn methods(expr: &mut Expr) {
    while let Expr::CompoundFieldAccess { root, access_chain } = expr
        && let Some(at) = access_chain
            .iter()
            .position(|access| matches!(access, AccessExpr::Dot(Expr::Function(_))))
    {
        let rest = access_chain.split_off(at + 1);
        let Some(AccessExpr::Dot(Expr::Function(mut function))) = access_chain.pop() else {
            return;
        };
        let access_chain = std::mem::take(access_chain);
        let receiver = match access_chain.is_empty() {
            true => taken(root),
            false => Expr::CompoundFieldAccess { root: Box::new(taken(root)), access_chain },
        };
        if let FunctionArguments::List(list) = &mut function.args {
            list.args.insert(0, FunctionArg::Unnamed(FunctionArgExpr::Expr(receiver)));
        }
        let call = Expr::Function(function);
        *expr = match rest.is_empty() {
            true => call,
            false => Expr::CompoundFieldAccess { root: Box::new(call), access_chain: rest },
        };
    }
}

fn is_power(expr: &Expr) -> bool {
    matches!(expr, Expr::BinaryOp { op: BinaryOperator::BitwiseXor | BinaryOperator::PGExp, .. })
}

/// `value.name` is `value.'name'` to the planner library.
fn field_as_text(access: &mut AccessExpr) {
    if let AccessExpr::Dot(Expr::Identifier(name)) = access {
        *access =
            AccessExpr::Dot(Expr::Value(Value::SingleQuotedString(name.value.clone()).into()));
    }
}

/// A slice without a bound begins at the first element and ends at the last.
fn whole_slice(access: &mut AccessExpr) {
    if let AccessExpr::Subscript(Subscript::Slice { lower_bound, upper_bound, .. }) = access {
        let number = |digits: &str| Expr::Value(Value::Number(digits.to_owned(), false).into());
        lower_bound.get_or_insert_with(|| number("1"));
        upper_bound.get_or_insert_with(|| Expr::UnaryOp {
            op: UnaryOperator::Minus,
            expr: Box::new(number("1")),
        });
    }
}

/// Whether an array has columns among its elements: the planner library does not find outer ones in a literal.
fn has_columns(array: &Array) -> bool {
    array
        .walk_expressions(|expr| match expr {
            Expr::Identifier(_) | Expr::CompoundIdentifier(_) => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        })
        .is_break()
}

/// Whether a rewrite below would change the text of an expression.
fn changes(expr: &Expr) -> bool {
    expr.walk_expressions(|expr| match expr {
        expr if json::changes(expr) => ControlFlow::Break(()),
        Expr::Value(value) if matches!(&value.value, Value::Number(n, _) if n.contains(['e', 'E'])) => {
            ControlFlow::Break(())
        }
        Expr::UnaryOp { op: UnaryOperator::BitwiseNot, .. } => ControlFlow::Break(()),
        Expr::CompoundFieldAccess { .. } | Expr::Lambda(_) | Expr::AtTimeZone { .. } => ControlFlow::Break(()),
        Expr::Cast { data_type: DataType::Uuid, .. } => ControlFlow::Break(()),
        Expr::TypedString(typed) if typed.data_type == DataType::Uuid => ControlFlow::Break(()),
        Expr::Array(array) if has_columns(array) => ControlFlow::Break(()),
        Expr::BinaryOp {
            op: BinaryOperator::BitwiseXor | BinaryOperator::PGExp | BinaryOperator::PGStartsWith,
            ..
        } => {
            ControlFlow::Break(())
        }
        Expr::Function(function)
            if is_rewritten(&fold(&function.name.to_string()))
                || named_windows::is_named(function) =>
        {
            ControlFlow::Break(())
        }
        Expr::Tuple(_) => ControlFlow::Break(()),
        Expr::Interval(interval) if is_ago(interval) || in_words(interval).is_some() => {
            ControlFlow::Break(())
        }
        Expr::Identifier(name) if is_user(name) => ControlFlow::Break(()),
        Expr::Function(function) if is_user_call(function) => ControlFlow::Break(()),
        Expr::Function(function) if is_array_of_query(function) || by_names(function).is_some() => {
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    })
    .is_break()
}

/// Whether a name stands for who asks.
fn is_user(name: &Ident) -> bool {
    name.quote_style.is_none()
        && ["current_user", "session_user", "current_role"].contains(&fold(&name.value).as_str())
}

/// Such a name where the parser takes it for a call without parentheses.
fn is_user_call(function: &Function) -> bool {
    matches!(function.args, FunctionArguments::None)
        && matches!(function.name.0.as_slice(), [part] if part.as_ident().is_some_and(is_user))
}

/// `ARRAY(SELECT ..)`.
fn is_array_of_query(function: &Function) -> bool {
    matches!(function.args, FunctionArguments::Subquery(_))
        && fold(&function.name.to_string()) == "array"
}

/// The query that gives the rows of another one as a list, an empty one of none.
fn list_of_query(query: &mut Query) -> Query {
    let item = Ident::with_quote('"', "item");
    let empty = call_of("make_array", Vec::new());
    let listed = |expr| call_of("coalesce", vec![call_of("array_agg", vec![expr]), empty.clone()]);
    // Of a plain SELECT the item itself: it may use columns of the outer query.
    if let SetExpr::Select(select) = query.body.as_mut()
        && query.order_by.is_none()
        && query.limit_clause.is_none()
        && query.with.is_none()
        && select.distinct.is_none()
        && select.having.is_none()
        && matches!(&select.group_by, GroupByExpr::Expressions(keys, _) if keys.is_empty())
        && let [SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }] =
            select.projection.as_mut_slice()
        && !crate::sql::walk::any(
            expr,
            |expr| matches!(expr, Expr::Function(call) if is_aggregate_call(call)),
        )
    {
        let expr = listed(taken(expr));
        select.projection = vec![SelectItem::UnnamedExpr(expr)];
        return query.clone();
    }
    let alias = TableAlias {
        explicit: true,
        name: Ident::with_quote('"', "items"),
        columns: vec![TableAliasColumnDef { name: item.clone(), data_type: None }],
        at: None,
    };
    let relation = TableFactor::Derived {
        lateral: false,
        subquery: Box::new(query.clone()),
        alias: Some(alias),
        sample: None,
    };
    let mut select = select_all(relation);
    select.projection = vec![SelectItem::UnnamedExpr(listed(Expr::Identifier(item)))];
    query_of(SetExpr::Select(Box::new(select)))
}

/// Whether an interval counts back.
fn is_ago(interval: &Interval) -> bool {
    let Expr::Value(value) = interval.value.as_ref() else { return false };
    let Value::SingleQuotedString(text) = &value.value else { return false };
    interval.leading_field.is_none() && fold(text).trim_end().ends_with(" ago")
}

/// An interval's text with its times of the clock in units: `1 day 2 hours 3 minutes 4.5 seconds` for `1 day 02:03:04.5`.
/// `None` when there are none, or what is there is no time.
fn in_words(interval: &Interval) -> Option<String> {
    let Expr::Value(value) = interval.value.as_ref() else { return None };
    let Value::SingleQuotedString(text) = &value.value else { return None };
    if interval.leading_field.is_some() || !text.contains(':') {
        return None;
    }
    let is_number = |part: &str| {
        let mut digits = part.bytes().filter(|&byte| byte != b'.').peekable();
        digits.peek().is_some() && digits.all(|byte| byte.is_ascii_digit())
    };
    let mut words = Vec::new();
    for word in text.split_whitespace() {
        if !word.contains(':') {
            words.push(word.to_owned());
            continue;
        }
        let sign = if word.starts_with('-') { "-" } else { "" };
        let parts: Vec<&str> = word.trim_start_matches(['-', '+']).split(':').collect();
        if parts.len() > 3 || !parts.iter().all(|part| is_number(part)) {
            return None;
        }
        for (part, unit) in parts.iter().zip(["hours", "minutes", "seconds"]) {
            words.push(format!("{sign}{part} {unit}"));
        }
    }
    Some(words.join(" "))
}

fn fetch_to_limit(query: &mut Query) {
    let Some(fetch) = query.fetch.take() else { return };
    let one = || Expr::Value(Value::Number("1".to_owned(), false).into());
    let quantity = fetch.quantity.unwrap_or_else(one);
    let (offset, limit_by) = match query.limit_clause.take() {
        Some(LimitClause::LimitOffset { offset, limit_by, .. }) => (offset, limit_by),
        _ => (None, Vec::new()),
    };
    query.limit_clause = Some(LimitClause::LimitOffset { limit: Some(quantity), offset, limit_by });
}

/// Whether a row exists does not depend on how many more do, nor on their order.
fn exists_without_limit(subquery: &mut Query) {
    if let Some(LimitClause::LimitOffset { limit: Some(Expr::Value(limit)), offset: None, .. }) =
        &subquery.limit_clause
        && matches!(&limit.value, Value::Number(n, _) if n.parse::<u64>().is_ok_and(|n| n > 0))
    {
        subquery.limit_clause = None;
        subquery.order_by = None;
    }
}

/// `TABLE t` is `SELECT * FROM t`.
fn table_to_select(body: &mut SetExpr) {
    match body {
        SetExpr::SetOperation { left, right, .. } => {
            table_to_select(left);
            table_to_select(right);
        }
        SetExpr::Table(table) => {
            let parts = [&table.schema_name, &table.table_name];
            let parts: Vec<Ident> = parts.into_iter().flatten().map(Ident::new).collect();
            let relation = table_factor(ObjectName::from(parts), None);
            *body = SetExpr::Select(Box::new(select_all(relation)));
        }
        _ => {}
    }
}

/// A relation in FROM without any clause.
pub fn table_factor(name: ObjectName, alias: Option<TableAlias>) -> TableFactor {
    TableFactor::Table {
        name,
        alias,
        args: None,
        with_hints: Vec::new(),
        version: None,
        with_ordinality: false,
        partitions: Vec::new(),
        json_path: None,
        sample: None,
        index_hints: Vec::new(),
    }
}

/// A query that is nothing but its body.
pub fn query_of(body: SetExpr) -> Query {
    Query {
        with: None,
        body: Box::new(body),
        order_by: None,
        limit_clause: None,
        fetch: None,
        locks: Vec::new(),
        for_clause: None,
        settings: None,
        format_clause: None,
        pipe_operators: Vec::new(),
    }
}

/// `SELECT * FROM relation`.
pub fn select_all(relation: TableFactor) -> Select {
    Select {
        select_token: AttachedToken::empty(),
        optimizer_hints: Vec::new(),
        distinct: None,
        select_modifiers: None,
        top: None,
        top_before_distinct: false,
        projection: vec![SelectItem::Wildcard(WildcardAdditionalOptions::default())],
        exclude: None,
        into: None,
        from: vec![TableWithJoins { relation, joins: Vec::new() }],
        lateral_views: Vec::new(),
        prewhere: None,
        selection: None,
        connect_by: Vec::new(),
        group_by: GroupByExpr::Expressions(Vec::new(), Vec::new()),
        cluster_by: Vec::new(),
        distribute_by: Vec::new(),
        sort_by: Vec::new(),
        having: None,
        named_window: Vec::new(),
        qualify: None,
        window_before_qualify: false,
        value_table_mode: None,
        flavor: SelectFlavor::Standard,
    }
}

/// `ORDER BY ALL` is `ORDER BY 1, 2, ...`; with a wildcard the planner library knows the columns.
fn order_by_all(query: &mut Query) {
    let Some(OrderBy { kind, .. }) = &mut query.order_by else { return };
    let (OrderByKind::All(options), SetExpr::Select(select)) = (&*kind, query.body.as_ref()) else {
        return;
    };
    let plain = |item: &SelectItem| {
        matches!(item, SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. })
    };
    if !select.projection.iter().all(plain) {
        return;
    }
    let key = |position: usize| OrderByExpr {
        expr: Expr::Value(Value::Number((position + 1).to_string(), false).into()),
        options: *options,
        with_fill: None,
    };
    *kind = OrderByKind::Expressions((0..select.projection.len()).map(key).collect());
}

fn joins(joins: &mut [Join]) {
    for join in joins {
        join.join_operator =
            match std::mem::replace(&mut join.join_operator, JoinOperator::CrossApply) {
                JoinOperator::Semi(constraint) => JoinOperator::LeftSemi(constraint),
                JoinOperator::Anti(constraint) => JoinOperator::LeftAnti(constraint),
                other => other,
            };
    }
}
